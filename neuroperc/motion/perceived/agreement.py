"""One model against what people saw: correlations, partial correlations and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..._check import as_rng, check, integer
from ...data import PerceivedFlow
from ...data.perceived_flow import as_flow
from . import _measures as ms

_BLOCK = 2**22  # numbers of one array of weights held at a time
_N_SPLITS = 20


@dataclass(frozen=True, eq=False)
class FlowAgreement:
    """How a model agrees with people and with the truth.

    Attributes
    ----------
    table
        Indexed by measure: ``estimate``; ``low`` and ``high``, the interval for new probes of the same movies;
        ``low_movies`` and ``high_movies``, that for new movies (NaN with fewer than three).
    without
        (movie, measure) the estimate without each movie.
    of
        What the intervals are, in words.
    n_probes, n_movies
        What they rest on.

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(90, 2))
    >>> table = pd.DataFrame({"movie": np.repeat(list("abc"), 30), "subset": "all"})
    >>> data = npc.data.PerceivedFlow("made", table, human=0.8 * truth, truth=truth)
    >>> found = npc.motion.flow_agreement(0.8 * truth, data, rng=0)
    >>> found.table.estimate[["r_human_uv", "epe_human"]].round(3).tolist()
    [1.0, 0.0]
    """

    table: pd.DataFrame
    without: pd.DataFrame
    of: str
    n_probes: int
    n_movies: int


def response_consistency(model: Any, human: Any, truth: Any) -> float:
    """Response consistency index: the mean over probes of A B C, which is high when a model errs as people do.

    ``A = |G-R| / (|G|+|R|)``, ``B = cos(R-G, M-G)``, ``C = |G-M| / (|G-M|+|R-M|)`` for truth G, response R and model M.

    Parameters
    ----------
    model, human, truth
        (n, 2) velocities.

    Returns
    -------
    float
        Below 1; the model that equals people reaches the mean of A. Probes without an error count as 0.

    Raises
    ------
    ValueError
        For other shapes or NaN.

    Examples
    --------
    >>> response_consistency([[2.0, 0.0]], [[2.0, 0.0]], [[1.0, 0.0]])
    0.3333333333333333
    """
    n = len(np.atleast_2d(np.asarray(human)))
    named = {"model": model, "human": human, "truth": truth}
    return float(ms.consistency(ms.Flows(*(as_flow(k, v, n) for k, v in named.items()))).mean())


def flow_agreement(
    prediction: Any,
    data: PerceivedFlow,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: int | np.random.Generator,
) -> FlowAgreement:
    """Compare a model's velocities with perceived and true ones.

    Measures, for u and v pooled (``uv``), ``speed`` and ``direction`` (within half a turn of the truth's, in [0, 360)):
    ``r_human``, ``r_truth``, ``partial`` (model and human given the truth) and ``difference``, r_human - r_truth on the
    same resamples. Besides ``epe_human`` and ``epe_truth`` (mean end-point errors), ``gain`` and ``r2_gain``
    (human = gain model), ``consistency`` (`response_consistency`), and, with single trials, ``ceiling_trials`` and
    ``ceiling_people`` (reliability of the mean response for new trials of these people, and for other people) and
    ``difference_uv_corrected_trials`` and ``..._people``, in which r_human is divided by the ceiling's root.

    Parameters
    ----------
    prediction
        (n, 2) velocities (vx, vy), y up, of every probe, in the unit of `data`.
    data
        What people saw.
    level
        Coverage, in (0, 1).
    n_resamples
        How many resamples. Probes, u and v together, are drawn within movies; where every movie has one probe, all
        together.
    rng
        Seed or generator.

    Returns
    -------
    FlowAgreement
        The intervals over probes are percentiles. Those over movies come from the jackknife over movies with
        Student's t (correlations on Fisher's scale): they also cover what the probes of a movie share. In 600 planted
        experiments with errors that movies share, 93 % (5 movies) to 94 % (10, 24 movies) of them held the truth.

    Raises
    ------
    ValueError
        For a shape other than (n, 2), NaN, or fewer than four probes.

    References
    ----------
    .. [1] Z Sun, Y-J Chen, Y-H Yang, S Nishida (2023). Modelling human visual motion processing with trainable motion
       energy sensing and a self-attention network. NeurIPS 36.

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(90, 2))
    >>> table = pd.DataFrame({"movie": np.repeat(list("abc"), 30), "subset": "all"})
    >>> shared = 0.5 * rng.normal(size=(90, 2))
    >>> data = npc.data.PerceivedFlow("made", table, human=truth + shared, truth=truth)
    >>> like_people = flow_agreement(truth + shared + 0.3 * rng.normal(size=(90, 2)), data, rng=0).table
    >>> bool(like_people.low["difference_uv"] > 0), bool(like_people.low["partial_uv"] > 0.5)
    (True, True)
    """
    n = len(data)
    model = as_flow("prediction", prediction, n)
    check(n >= 4, "data", "of four probes or more", n)
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    generator = as_rng(rng)
    made = ms.measures(ms.Flows(*(data.as_on_disk(flow) for flow in (model, data.human, data.truth))))
    made |= _corrected(made, ceilings(data, generator))
    movies = data.table["movie"].to_numpy()
    return _agreement(made, movies, level, integer("n_resamples", n_resamples, minimum=2), generator)


def ceilings(data: PerceivedFlow, rng: np.random.Generator, n_splits: int = _N_SPLITS) -> dict[str, ms.Measure]:
    """Return the reliability of the mean response, by `trials` of these people and by `people`, where known."""
    if data.trials is None or data.observer is None:
        return {}
    trials = data.as_on_disk(data.trials)
    people = ms.person_means(trials, data.observer)
    n = len(people)
    found: dict[str, ms.Measure] = {}
    if len(trials) > n:
        halves = ms.trial_halves(trials, n_splits, rng)
        found["trials"] = lambda w: ms.reliability(w, halves)
    if n > 1:
        sides = ms.person_halves(people, n_splits, rng)
        longer = n / (2 * (n // 2))  # Spearman and Brown once more when one of an odd number was left out

        def over_people(w: np.ndarray) -> np.ndarray:
            r = ms.reliability(w, sides)
            return longer * r / (1 + (longer - 1) * r)

        found["people"] = over_people
    return found


def _corrected(made: Mapping[str, ms.Measure], known: Mapping[str, ms.Measure]) -> dict[str, ms.Measure]:
    """Return the ceilings, and the differences in which they correct r_human."""
    found: dict[str, ms.Measure] = {}
    for name, ceiling in known.items():

        def corrected(w: np.ndarray, ceiling: ms.Measure = ceiling) -> np.ndarray:
            value = ceiling(w)
            return made["r_human_uv"](w) / np.sqrt(np.where(value > 0, value, np.nan)) - made["r_truth_uv"](w)

        found[f"ceiling_{name}"] = ceiling
        found[f"difference_uv_corrected_{name}"] = corrected
    return found


def _agreement(
    made: Mapping[str, ms.Measure], movies: np.ndarray, level: float, n_resamples: int, rng: np.random.Generator
) -> FlowAgreement:
    labels, index = np.unique(movies, return_inverse=True)
    n, counts = len(movies), np.bincount(index)
    alone = counts.max() == 1
    ones = np.ones((1, n))
    left_out = (index[None, :] != np.arange(len(labels))[:, None]).astype(float)
    step = max(1, _BLOCK // n)
    draws: dict[str, list[np.ndarray]] = {name: [] for name in made}
    for start in range(0, n_resamples, step):
        weights = _drawn(min(step, n_resamples - start), np.zeros(n, int) if alone else index, rng)
        for name, measure in made.items():
            draws[name].append(measure(weights))
    tails = [(1 - level) / 2, (1 + level) / 2]
    rows, without = {}, {}
    for name, measure in made.items():
        estimate = float(measure(ones)[0])
        drawn = np.concatenate(draws[name])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, tails) if len(drawn) > n_resamples / 2 else (np.nan, np.nan)
        without[name] = measure(left_out) if len(labels) > 1 else np.full(1, np.nan)
        rows[name] = (estimate, low, high, *_jackknife(name, estimate, without[name], level))
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["estimate", "low", "high", "low_movies", "high_movies"]
    )
    table.index.name = "measure"
    of = f"{100 * level:g} % interval over probes {'' if alone else 'within movies '}(and over movies, by jackknife)"
    return FlowAgreement(table, pd.DataFrame(without, index=pd.Index(labels, name="movie")), of, n, len(labels))


def _drawn(n_resamples: int, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (resamples, probes): how often each is drawn, as many times per movie as it has probes."""
    weights = np.empty((n_resamples, len(index)))
    for movie in range(index.max() + 1):
        own = np.flatnonzero(index == movie)
        weights[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=n_resamples)
    return weights


def _jackknife(name: str, estimate: float, without: np.ndarray, level: float) -> tuple[float, float]:
    """Return the interval for new movies from the estimates without each."""
    k = len(without)
    if k < 3 or not np.isfinite(without).all() or not np.isfinite(estimate):
        return np.nan, np.nan
    on_fisher = name.startswith(("r_", "partial"))
    if on_fisher and max(abs(estimate), np.abs(without).max()) > 1 - 1e-9:
        return np.nan, np.nan
    values, middle = (np.arctanh(without), np.arctanh(estimate)) if on_fisher else (without, estimate)
    error = np.sqrt((k - 1) / k * ((values - values.mean()) ** 2).sum())
    reach = stats.t.ppf((1 + level) / 2, k - 1) * error
    ends = np.array([middle - reach, middle + reach])
    low, high = np.tanh(ends) if on_fisher else ends
    return float(low), float(high)
