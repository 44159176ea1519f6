"""From fixations to reaction times, slopes on set size, and the asymmetry between two tasks."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._check import as_rng, check, fail, integer, one_of
from ..data import check_fixations, check_trials, n_fixations
from ._slopes import ROUNDING_S, Slope, fit, limits, share_not_found
from .predictions import TASKS, human_reaction_times

NotFound = Literal["set_size", "nan", "budget"]
_NOT_FOUND: tuple[NotFound, ...] = ("set_size", "nan", "budget")

#: Reaction time = INTERCEPT_S + PER_FIXATION_S x fixations: the line of the released code, fitted by its authors.
INTERCEPT_S, PER_FIXATION_S = 0.376271, 0.252359


class SlopeComparison(NamedTuple):
    """An F test of whether two tasks share one line of reaction time on set size.

    Attributes
    ----------
    f_value, p_value
        The statistic and its tail; NaN when the two lines leave no residual.
    df_model, df_residual
        Degrees of freedom: 2 (a task's own intercept and slope) and the number of trials less 4.

    Examples
    --------
    >>> SlopeComparison(4.0, 0.02, 2, 176).df_model
    2
    """

    f_value: float
    p_value: float
    df_model: int
    df_residual: int


def reaction_times(
    fixations: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    intercept_s: float = INTERCEPT_S,
    per_fixation_s: float = PER_FIXATION_S,
    not_found: NotFound = "set_size",
) -> pd.DataFrame:
    """Turn numbers of fixations into reaction times: intercept_s + per_fixation_s x n.

    Parameters
    ----------
    fixations, trials
        The tables. A scanpath ends with the fixation that found the target, and n is how many it has; the one present
        at onset (number 0) does not count. Excluded trials are left out.
    intercept_s, per_fixation_s
        The line, in seconds; the default is that of [1]_.
    not_found
        n of a trial whose target was not found: "set_size" (as published), the number of items on its display; "nan",
        not known; "budget", the fixations that were made in vain.

    Returns
    -------
    pandas.DataFrame
        subject, session, trial, stimulus_id, condition, set_size, found, n_fixations (n as above) and rt_s.

    Raises
    ------
    ValueError
        When a trial does not say whether its target was found, or lacks the set size that it needs.

    References
    ----------
    .. [1] S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans share
       similar inherent biases. NeurIPS; the line is that of the released code.

    Examples
    --------
    >>> import neuroperc as npc
    >>> trials = npc.data.make_trials([0, 1], set_size=[3, 6], found=[True, False])
    >>> table = npc.data.make_fixations([[0, 0], [1, 1], [2, 2]], trial=0, fixation=[0, 1, 2], on_screen=True)
    >>> reaction_times(table, trials)["n_fixations"].tolist()
    [2.0, 6.0]
    """
    one_of("not_found", not_found, _NOT_FOUND)
    kept = check_trials(trials)
    kept = kept[~kept["excluded"]].reset_index(drop=True)
    unknown = kept["found"].isna()
    remedy = "Set found to True or False in every trial, or exclude the trial."
    check(not unknown.any(), "found", "known", f"{int(unknown.sum())} trials without it", remedy)
    keys = ["subject", "session", "trial"]
    mine = check_fixations(fixations, trials).merge(kept[keys], on=keys, how="inner")
    made = n_fixations(mine, kept).to_numpy(dtype=float)
    counts = _fill(made, kept["found"].to_numpy(dtype=bool), kept["set_size"], made, not_found)
    table = kept[[*keys, "stimulus_id", "condition", "set_size", "found"]]
    return table.assign(n_fixations=counts, rt_s=intercept_s + per_fixation_s * counts)


def _fill(
    counts: np.ndarray, found: np.ndarray, set_size: pd.Series[Any], budget: np.ndarray, not_found: str
) -> np.ndarray:
    """Give targets that were not found their number of fixations."""
    if not_found == "set_size":
        sizes = set_size.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        lost = ~found & np.isnan(sizes)
        check(not lost.any(), "set_size", "known where the target was not found", f"{int(lost.sum())} trials without",
              "Use not_found='nan' or 'budget'.")  # fmt: skip
    else:
        sizes = np.full(len(counts), np.nan) if not_found == "nan" else budget
    return np.where(found, counts, sizes)


def search_slopes(
    rt: pd.DataFrame,
    *,
    by: str | Sequence[str] = "condition",
    unit: Literal["ms", "s"] = "ms",
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Fit mean reaction time on set size: ordinary least squares, one unweighted point a set size.

    Parameters
    ----------
    rt
        Rows with rt_s, set_size, the columns of `by`, and where known found and stimulus_id, as `reaction_times` or
        `human_reaction_times` gives them. Unknown reaction times are left out.
    by
        Column or columns; every combination has a slope.
    unit
        "ms" or "s" an item.
    level
        Coverage of the intervals.
    n_resamples
        How often displays are drawn anew within each set size.
    rng
        Seed or generator of these draws.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, slope, low, high (NaN where a set size has one display), intercept, is_zero (the slope is
        exactly 0: as many fixations at every set size), share_not_found, n_displays, n_set_sizes, unit, interval_of.

    Raises
    ------
    ValueError
        When a column is missing or a group has one set size.

    Examples
    --------
    >>> import neuroperc as npc
    >>> slopes = search_slopes(npc.search.human_reaction_times()).set_index("condition")["slope"]
    >>> round(float(slopes["l_among_ts"]), 2)
    33.0
    """
    groups = [by] if isinstance(by, str) else list(by)
    factor = {"ms": 1000.0, "s": 1.0}[one_of("unit", unit, ("ms", "s"))]
    _check_table("rt", rt, [*groups, "set_size", "rt_s"])
    _check_level(level)
    generator, n = as_rng(rng), integer("n_resamples", n_resamples, minimum=2)
    rows = []
    for key, part in rt.groupby(groups, sort=False):
        slope = fit(part, n, level, generator, str(key[0] if len(key) == 1 else key))
        low, high = limits(slope.draws, level)
        rows.append(
            dict(zip(groups, key, strict=True))
            | {
                "slope": slope.estimate * factor, "low": low * factor, "high": high * factor,
                "intercept": slope.intercept * factor, "is_zero": slope.estimate == 0.0,
                "share_not_found": share_not_found(part), "n_displays": slope.n_displays,
                "n_set_sizes": slope.n_set_sizes, "unit": f"{unit} per item",
                "interval_of": f"{100 * level:g} % interval over displays within set size",
            }
        )  # fmt: skip
    check(rows, "rt", "with rows", "none")
    return pd.DataFrame(rows)


def asymmetry_index(slope_hard: ArrayLike, slope_easy: ArrayLike) -> Any:
    """Return (hard - easy) / (hard + easy) of two slopes, each cut at 0 from below; 0 when both are 0.

    Parameters
    ----------
    slope_hard, slope_easy
        Slopes in any one unit; "hard" is the task in which people are slower, so that positive means as people do.

    Returns
    -------
    ndarray or float
        In [-1, 1]; NaN for NaN. It is 1 or -1 whenever one slope is 0 or negative, however small the other one:
        `asymmetry_table` says where.

    References
    ----------
    S K Gupta et al. (2021). Visual search asymmetry. NeurIPS; as in the released code.

    Examples
    --------
    >>> asymmetry_index(96.0, 45.0), asymmetry_index(4.0, -1.0), asymmetry_index(0.0, 0.0)
    (0.3617021276595745, 1.0, 0.0)
    """
    hard, easy = (np.maximum(np.asarray(s, dtype=float), 0.0) for s in (slope_hard, slope_easy))
    total = hard + easy
    index = np.where(total == 0, 0.0, (hard - easy) / np.where(total == 0, 1.0, total))
    return float(index) if index.ndim == 0 else index


def compare_slopes(rt: pd.DataFrame, *, conditions: tuple[str, str]) -> SlopeComparison:
    """Test whether two tasks have one line: least squares of rt_s ~ set_size against rt_s ~ set_size * condition.

    Parameters
    ----------
    rt
        Rows with condition, set_size and rt_s, one a display; unknown reaction times are left out.
    conditions
        The two tasks.

    Returns
    -------
    SlopeComparison

    Raises
    ------
    ValueError
        When a task is missing or has fewer than two set sizes or three rows.

    References
    ----------
    Nested models and their analysis of variance as in the released code of S K Gupta et al. (2021).

    Examples
    --------
    >>> rt = pd.DataFrame({"condition": ["a"] * 4 + ["b"] * 4, "set_size": [1, 1, 2, 2] * 2,
    ...                    "rt_s": [0.5, 0.6, 0.5, 0.6, 0.5, 0.6, 0.9, 1.0]})
    >>> compare_slopes(rt, conditions=("a", "b")).p_value < 0.05
    True
    """
    _check_table("rt", rt, ["condition", "set_size", "rt_s"])
    table = rt[rt["condition"].isin(list(conditions)) & rt["rt_s"].notna()]
    for name in conditions:
        part = table[table["condition"] == name]
        enough = len(part) >= 3 and part["set_size"].nunique() >= 2
        check(enough, f"rt of {name!r}", "three rows or more at two set sizes or more", f"{len(part)} rows")
    size, y = (table[name].to_numpy(dtype=float) for name in ("set_size", "rt_s"))
    task = (table["condition"] == conditions[1]).to_numpy(dtype=float)
    y = y - y.mean()
    one = np.ones_like(y)
    plain = _residual(np.stack([one, size], 1), y)
    full = _residual(np.stack([one, size, task, size * task], 1), y)
    df = len(y) - 4
    if full <= 1e-20 * max(1.0, float(y @ y)):
        return SlopeComparison(float("nan"), float("nan"), 2, df)
    from scipy.stats import f

    f_value = (plain - full) / 2 / (full / df)
    return SlopeComparison(float(f_value), float(f.sf(f_value, 2, df)), 2, df)


def asymmetry_table(
    predictions: pd.DataFrame,
    *,
    not_found: NotFound = "set_size",
    intercept_s: float = INTERCEPT_S,
    per_fixation_s: float = PER_FIXATION_S,
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Return the asymmetry index of every model in each of the six experiments.

    Parameters
    ----------
    predictions
        What `read_vsa_predictions` gives (n_fixations, found and budget), or reaction times (rt_s), as
        `reaction_times` or `human_reaction_times` give them; condition, set_size and, where there are several, model.
    not_found, intercept_s, per_fixation_s
        As in `reaction_times`, for tables without rt_s.
    level, n_resamples, rng
        As in `search_slopes`.

    Returns
    -------
    pandas.DataFrame
        A row a model and experiment: model, experiment, hard and easy (the task with the larger and the smaller slope
        of people), slope_hard_ms and slope_easy_ms an item, asymmetry_index, low, high (interval over displays within
        set size), n_zero_slopes (how many of the two slopes are 0 or negative: with one the index is 1 or -1 and with
        two it is 0, whatever the model does otherwise), share_zero (of the resamples in which one or both are),
        share_not_found_hard and _easy, f_value and p_value (`compare_slopes`), human_index, interval_of. A model
        without one of the tasks has NaN.

    Raises
    ------
    ValueError
        When a column is missing, or no task of the six experiments is there.

    References
    ----------
    S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans share similar
    inherent biases. NeurIPS.

    Examples
    --------
    >>> import neuroperc as npc
    >>> table = asymmetry_table(npc.search.human_reaction_times())
    >>> table["asymmetry_index"].round(3).tolist()
    [0.809, 0.701, 0.362, 0.404, 0.611, 0.5]
    """
    _check_level(level)
    generator, n = as_rng(rng), integer("n_resamples", n_resamples, minimum=2)
    table = _with_rt(predictions, one_of("not_found", not_found, _NOT_FOUND), intercept_s, per_fixation_s)
    pairs = _pairs()
    known = {name for pair in pairs.values() for name in pair}
    here = set(table["condition"]) & known
    check(here, "condition", f"one of {', '.join(sorted(known))}", sorted(set(table["condition"]))[:5])
    rows = []
    for model, part in table.groupby("model", sort=False):
        for experiment, pair in pairs.items():
            if here & set(pair):
                rows.append({"model": model, "experiment": experiment} | _row(part, pair, n, level, generator))
    result = pd.DataFrame(rows).astype({"n_zero_slopes": "Int64"})
    slopes = _human_slopes()
    human = {e: asymmetry_index(*(slopes[name] for name in pair)) for e, pair in pairs.items()}
    words = f"{100 * level:g} % interval over displays within set size"
    return result.assign(human_index=result["experiment"].map(human), interval_of=words)


def _row(table: pd.DataFrame, pair: tuple[str, str], n: int, level: float, rng: np.random.Generator) -> dict[str, Any]:
    parts = [table[table["condition"] == name] for name in pair]
    row: dict[str, Any] = {"hard": pair[0], "easy": pair[1]}
    nothing = Slope(np.nan, np.nan, np.full(n, np.nan), 0, 0)
    hard, easy = (fit(p, n, level, rng, name) if len(p) else nothing for p, name in zip(parts, pair, strict=True))
    draws = np.stack([hard.draws, easy.draws])
    draws = np.where(np.abs(draws) < ROUNDING_S, 0.0, draws)
    low, high = limits(asymmetry_index(*draws), level)
    known = bool(np.isfinite(draws).all())
    enough = all(len(p) >= 3 for p in parts) and all(p["rt_s"].notna().sum() > len(set(p["set_size"])) for p in parts)
    test = compare_slopes(table, conditions=pair) if enough else SlopeComparison(np.nan, np.nan, 2, 0)
    zeros = sum(s.estimate <= 0 for s in (hard, easy))
    return row | {
        "slope_hard_ms": hard.estimate * 1000, "slope_easy_ms": easy.estimate * 1000,
        "asymmetry_index": asymmetry_index(hard.estimate, easy.estimate), "low": low, "high": high,
        "n_zero_slopes": pd.NA if min(map(len, parts)) == 0 else zeros,
        "share_zero": float((draws <= 0).any(0).mean()) if known else np.nan,
        "share_not_found_hard": share_not_found(parts[0]), "share_not_found_easy": share_not_found(parts[1]),
        "f_value": test.f_value, "p_value": test.p_value,
    }  # fmt: skip


def _with_rt(table: pd.DataFrame, not_found: str, intercept_s: float, per_fixation_s: float) -> pd.DataFrame:
    _check_table("predictions", table, ["condition", "set_size"])
    if "model" not in table:
        table = table.assign(model="")
    if "rt_s" in table:
        return table
    _check_table("predictions", table, ["n_fixations", "found", "budget"])
    counts, found, budget = (table[name].to_numpy(dtype=float) for name in ("n_fixations", "found", "budget"))
    filled = _fill(counts, found > 0, table["set_size"], budget, not_found)
    return table.assign(rt_s=intercept_s + per_fixation_s * filled)


@functools.cache
def _human_slopes() -> Mapping[str, float]:
    slopes = search_slopes(human_reaction_times(), n_resamples=2)
    return dict(zip(slopes["condition"], slopes["slope"], strict=True))


def _pairs() -> dict[str, tuple[str, str]]:
    """Return each experiment's (hard, easy) task: the larger and the smaller slope of people."""
    slopes = _human_slopes()
    pairs: dict[str, tuple[str, str]] = {}
    for experiment in dict.fromkeys(task.experiment for task in TASKS):
        names = [task.condition for task in TASKS if task.experiment == experiment]
        easy, hard = sorted(names, key=slopes.__getitem__)
        pairs[experiment] = (hard, easy)
    return pairs


def _residual(design: np.ndarray, y: np.ndarray) -> float:
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(((y - fitted) ** 2).sum())


def _check_table(name: str, table: Any, columns: list[str]) -> None:
    if not isinstance(table, pd.DataFrame):
        fail(name, "a pandas.DataFrame", type(table).__name__, error=TypeError)
    missing = [column for column in columns if column not in table]
    check(not missing, name, f"with the columns {', '.join(columns)}", f"no {', '.join(missing)}")


def _check_level(level: float) -> None:
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
