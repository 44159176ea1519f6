"""Behaviour picture by picture: the i2n signature of object recognition, and error consistency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._check import as_rng, check, finite, integer

_CAP = 5.0  # d' of a perfect score, which has no finite one


def model_i2n(probabilities: ArrayLike, truth: ArrayLike, *, objects: ArrayLike | None = None) -> np.ndarray:
    """Signature of a classifier: how well it tells each picture's object from every other object.

    Parameters
    ----------
    probabilities
        (image, object) probability of each object.
    truth
        (image,) the object shown, as an index or one of `objects`.
    objects
        (object,) names of the columns; default their indices.

    Returns
    -------
    numpy.ndarray
        (image, object) d' above the mean of the object's pictures; NaN at the object itself.

    Raises
    ------
    ValueError
        For shapes that do not fit, an unknown object, or negative probabilities.

    References
    ----------
    .. [1] R Rajalingham et al. (2018). Large-scale, high-resolution comparison of the core visual object recognition
       behavior of humans, monkeys, and state-of-the-art deep artificial neural networks.
       doi:10.1523/JNEUROSCI.0388-18.2018

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> model_i2n(p, [0, 0, 1]).round(3)
    array([[   nan,  0.514],
           [   nan, -0.514],
           [ 0.   ,    nan]])
    """
    p = np.asarray(probabilities, dtype=float)
    wide = p.ndim == 2 and p.shape[0] > 0 and p.shape[1] > 1
    check(wide, "probabilities", "(image, object) of 1 or more images and 2 or more objects", f"shape {p.shape}")
    finite("probabilities", p)
    check(bool(np.all(p >= 0)), "probabilities", "0 or more", float(p.min()))
    shown = _indices(truth, np.arange(p.shape[1]) if objects is None else np.asarray(objects), len(p))
    own = p[np.arange(len(p)), shown][:, None]
    total = p + own
    choice = np.divide(p, total, out=np.full_like(p, 0.5), where=total > 0)
    choice[np.arange(len(p)), shown] = np.nan
    return _signature(choice, shown)


def human_i2n(trials: pd.DataFrame, *, images: ArrayLike, truth: ArrayLike, objects: ArrayLike) -> np.ndarray:
    """Signature of observers from match-to-sample trials.

    Parameters
    ----------
    trials
        A row a trial: `stimulus_id`, `sample_obj` (shown), `dist_obj` (the other choice offered), `choice`.
    images, truth
        (image,) stimulus ids and their objects: the rows of the result.
    objects
        (object,) names: its columns.

    Returns
    -------
    numpy.ndarray
        (image, object) as `model_i2n`; NaN also where a pair was never offered.

    Raises
    ------
    ValueError
        When a column is missing, a trial names an unknown picture or object, or its choice was not offered.

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"stimulus_id": ["a", "a", "b", "b"], "sample_obj": ["dog", "dog", "cat", "cat"],
    ...                        "dist_obj": ["cat", "cat", "dog", "dog"], "choice": ["dog", "cat", "cat", "dog"]})
    >>> human_i2n(trials, images=["a", "b"], truth=["dog", "cat"], objects=["cat", "dog"])
    array([[ 0., nan],
           [nan,  0.]])
    """
    columns = ("stimulus_id", "sample_obj", "dist_obj", "choice")
    missing = [c for c in columns if c not in trials]
    check(not missing, "trials", f"with the columns {', '.join(columns)}", f"without {', '.join(missing)}")
    names, kinds = np.asarray(images), np.asarray(objects)
    shown = _indices(truth, kinds, len(names))
    row = _indices(trials["stimulus_id"], names, len(trials), "trials.stimulus_id")
    other = _indices(trials["dist_obj"], kinds, len(trials), "trials.dist_obj")
    of_row = kinds[shown][row]
    for name, ok, rule in (
        ("sample_obj", trials["sample_obj"] == of_row, "the object of the trial's picture"),
        ("dist_obj", trials["dist_obj"] != of_row, "another object than the one shown"),
        ("choice", (trials["choice"] == of_row) | (trials["choice"] == trials["dist_obj"]), "one of the two offered"),
    ):
        strange = trials[name][~ok.to_numpy()].tolist()
        check(not strange, f"trials.{name}", rule, strange[:3], "Leave trials without an answer out.")
    offered, wrong = np.zeros((2, len(names), len(kinds)))
    np.add.at(offered, (row, other), 1)
    np.add.at(wrong, (row, other), (trials["choice"] == trials["dist_obj"]).to_numpy())
    choice = np.divide(wrong, offered, out=np.full_like(wrong, np.nan), where=offered > 0)
    choice[np.arange(len(names)), shown] = np.nan
    return _signature(choice, shown)


def i2n(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson correlation of two signatures over the entries that both have.

    Parameters
    ----------
    first, second
        (image, object), as of `model_i2n` and `human_i2n`.

    Returns
    -------
    float
        NaN when fewer than two entries are shared or one side is constant.

    Raises
    ------
    ValueError
        For different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[np.nan, 1.0], [-1.0, np.nan], [0.5, np.nan]])
    >>> round(i2n(a, 2 * a), 6)
    1.0
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    check(a.shape == b.shape, "the two signatures", "of one shape", (a.shape, b.shape))
    both = np.isfinite(a) & np.isfinite(b)
    x, y = a[both], b[both]
    if both.sum() < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def i2n_ceiling(
    trials: pd.DataFrame,
    *,
    images: ArrayLike,
    truth: ArrayLike,
    objects: ArrayLike,
    n_splits: int = 2,
    rng: int | np.random.Generator,
) -> np.ndarray:
    """Agreement of the signatures of two random halves of the trials, without Spearman-Brown, as Brain-Score has it.

    A model's score is the mean over halves of ``i2n / sqrt(ceiling)``.

    Parameters
    ----------
    trials, images, truth, objects
        As in `human_i2n`.
    n_splits
        How many divisions.
    rng
        Seed or generator.

    Returns
    -------
    numpy.ndarray
        (n_splits,) correlations.

    Raises
    ------
    ValueError
        As `human_i2n`.

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"stimulus_id": list("aabb") * 50, "sample_obj": ["dog", "dog", "cat", "cat"] * 50,
    ...                        "dist_obj": ["cat", "cat", "dog", "dog"] * 50, "choice": ["dog", "cat"] * 100})
    >>> i2n_ceiling(trials, images=["a", "b"], truth=["dog", "cat"], objects=["cat", "dog"], rng=0).shape
    (2,)
    """
    generator = as_rng(rng)
    found = []
    for _ in range(integer("n_splits", n_splits)):
        order = generator.permutation(len(trials))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        sides = [human_i2n(trials.iloc[half], images=images, truth=truth, objects=objects) for half in halves]
        found.append(i2n(*sides))
    return np.array(found)


def error_consistency(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Cohen's kappa of which trials two observers get right: agreement beyond what their accuracies give by chance.

    Parameters
    ----------
    first, second
        (..., trial) truth values or 0 and 1; leading axes (subject, condition) broadcast.

    Returns
    -------
    numpy.ndarray
        (...) kappa, at most 1; NaN where chance agreement is 1 (both always right, or both always wrong). Brain-Score
        reports the absolute value of the mean over subjects and conditions.

    Raises
    ------
    ValueError
        For values other than 0 and 1, or different numbers of trials.

    References
    ----------
    .. [1] R Geirhos, K Meding, F A Wichmann (2020). Beyond accuracy: quantifying trial-by-trial behaviour. NeurIPS.

    Examples
    --------
    >>> error_consistency([1, 1, 0, 0], [1, 1, 0, 0]).item(), error_consistency([1, 1, 0, 0], [1, 0, 1, 0]).item()
    (1.0, 0.0)
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    for name, x in (("first", a), ("second", b)):
        ok = x.ndim > 0 and x.shape[-1] > 0 and bool(np.isin(x, (0, 1)).all())
        check(ok, name, "(..., trial) of 0 and 1", f"shape {x.shape}", "Give whether each trial was correct.")
    pairs = zip(a.shape[-2::-1], b.shape[-2::-1], strict=False)
    fits = a.shape[-1] == b.shape[-1] and all(m == n or 1 in (m, n) for m, n in pairs)
    check(fits, "first and second", "of the same trials", (a.shape, b.shape))
    observed = (a == b).mean(axis=-1)
    right = a.mean(axis=-1), b.mean(axis=-1)
    chance = right[0] * right[1] + (1 - right[0]) * (1 - right[1])
    return np.divide(observed - chance, 1 - chance, out=np.full(np.shape(chance), np.nan), where=np.asarray(chance < 1))


def _signature(choice: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return d' above the object's mean from p(d | i), the share of choices of object d for picture i."""
    from scipy.special import ndtri

    n_objects = choice.shape[1]
    false_alarm = np.stack([_mean(choice[shown == d]) for d in range(n_objects)])  # [d, t]: t chosen for a picture of d
    with np.errstate(invalid="ignore"):
        dprime = ndtri(1 - choice) - ndtri(false_alarm.T[shown])
    dprime = np.clip(dprime, -_CAP, _CAP)
    return dprime - np.stack([_mean(dprime[shown == t]) for t in range(n_objects)])[shown]


def _mean(x: np.ndarray) -> np.ndarray:
    """Mean over rows without NaN, and NaN where there is none."""
    n = np.isfinite(x).sum(axis=0)
    return np.divide(np.nansum(x, axis=0), n, out=np.full(x.shape[1], np.nan), where=n > 0)


def _indices(labels: Any, known: np.ndarray, n: int, name: str = "truth") -> np.ndarray:
    found = np.asarray(labels)
    check(found.shape == (n,), name, f"{n} labels", f"shape {found.shape}")
    at = {value: i for i, value in enumerate(known.tolist())}
    check(len(at) == len(known), "objects and images", "of different names", "a name twice")
    strange = [label for label in found.tolist() if label not in at]
    check(not strange, name, f"among {known[:5].tolist()} ...", strange[:3])
    return np.array([at[label] for label in found.tolist()], dtype=int)
