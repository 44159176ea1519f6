"""Intervals of scores: stimuli and neuroids are resampled, crossed, and compared models share their resamples.

A crossed bootstrap counts the part of the noise that is particular to one stimulus and one neuroid three times (Owen's
pigeonhole bootstrap), and a score with squares in it is biased by resampling. Both are measured here by resampling one
side at a time, and taken out; what is left covers as often as it says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from .._check import as_rng, check, integer, one_of
from ._array import ArrayT, complete, constant, divide, double, missing, nan_median, same_shape, take_along, unpack
from .agreement.scores import RULES, Rule, normalized_score

How = Literal["median", "mean"]

FEWEST_GROUPS = 5  # of a score: with four, what is called 95 % covers 73 to 76 % for one neuroid
_FEWEST_DRAWN = 3  # different groups of a resample: with two, r is 1 or -1 whatever their values
_BLOCK = 2**21  # numbers of one intermediate array held at a time


class Interval(NamedTuple):
    """A number with its interval, and what the interval is of.

    Attributes
    ----------
    estimate
        The number from the data themselves.
    low, high
        The ends of the interval.
    level
        Its nominal coverage.
    n_groups
        How many stimuli (groups) were resampled.
    n_neuroids
        How many neuroids were resampled.
    n_undefined
        How many neuroids have no score (constant, no reliability, values in fewer than five groups) and are left out.
    of
        What the interval is, in words, for the label of an error bar.
    undefined
        The columns of those that are left out.

    Examples
    --------
    >>> import numpy as np
    >>> found = mean_interval(np.arange(50.0), rng=0)
    >>> found.estimate, found.n_groups, found.of
    (24.5, 50, 'mean, 95 % interval over stimuli')
    """

    estimate: float
    low: float
    high: float
    level: float
    n_groups: int
    n_neuroids: int
    n_undefined: int
    of: str
    undefined: tuple[int, ...] = ()


def score_interval(
    prediction: ArrayT,
    target: ArrayT,
    *,
    groups: Any = None,
    reliability: ArrayT | float = 1.0,
    rule: Rule = "signed",
    how: How = "mean",
    level: float = 0.95,
    n_resamples: int = 1000,
    nan_policy: Literal["raise", "omit"] = "raise",
    rng: int | np.random.Generator,
) -> Interval:
    """Interval of a neural score for a new draw of both stimuli and neuroids.

    Per neuroid the Pearson correlation over rows is divided by its reliability (`normalized_score`); the score is the
    mean or median over neuroids. Predictions must be held-out ones, as of cross-validation; models are not refitted.

    A neuroid has a score with five groups or more. A resample in which fewer than three different ones of its groups
    were drawn says nothing of it (through two points goes a line) and leaves it out. With fewer than about ten groups
    the square of r is biased upwards, and what is called 95 % covers 90 to 95 %.

    Parameters
    ----------
    prediction, target
        (row, neuroid).
    groups
        (row,) label of what is resampled together, such as ``stimulus_id``; None means every row is its own.
    reliability
        Per neuroid, or one number; it is resampled with its neuroid and otherwise taken as known.
    rule
        One of `RULES`.
    how
        ``"mean"`` or ``"median"`` over neuroids.
    level
        Coverage, in (0, 1).
    n_resamples
        How many resamples.
    nan_policy
        ``"omit"`` leaves a row out for the neuroids that miss it, in the score and in every resample; ``"raise"`` is an
        error.
    rng
        Seed or generator.

    Returns
    -------
    Interval
        Estimate and ends; nothing is clipped.

    Raises
    ------
    ValueError
        For different shapes, fewer than five groups, NaN that is not to be omitted, infinity, or labels that do not
        fit the rows.

    References
    ----------
    .. [1] A B Owen (2007). The pigeonhole bootstrap. doi:10.1214/07-AOAS122
    .. [2] A C Cameron, J B Gelbach, D L Miller (2011). Robust inference with multiway clustering.
       doi:10.1198/jbes.2010.07136

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(200, 30))
    >>> found = score_interval(truth + rng.normal(size=truth.shape), truth, rng=0)
    >>> found.low < 0.5 < found.high, found.of
    (True, '95 % interval over stimuli and neuroids')
    """
    xp, scores, index, ones = _prepare([prediction], target, groups, reliability, rule, nan_policy)
    return _interval(xp, scores[0], index, ones, how, level, n_resamples, rng, "")


def difference_interval(
    first: ArrayT,
    second: ArrayT,
    target: ArrayT,
    *,
    groups: Any = None,
    reliability: ArrayT | float = 1.0,
    rule: Rule = "signed",
    how: How = "mean",
    level: float = 0.95,
    n_resamples: int = 1000,
    nan_policy: Literal["raise", "omit"] = "raise",
    rng: int | np.random.Generator,
) -> Interval:
    """Interval of the score of `first` minus the score of `second`, paired on the same resamples.

    The noise that two models share (hard stimuli, odd neuroids) cancels, so the interval is narrower than the two
    single ones suggest. With ``how="median"`` it is the difference of the two medians.

    Parameters
    ----------
    first, second, target
        (row, neuroid): the predictions of two models of the same data.
    groups, reliability, rule, how, level, n_resamples, nan_policy, rng
        As in `score_interval`; a row that one of the three misses is left out for all.

    Returns
    -------
    Interval
        Above 0 when `first` is better.

    Raises
    ------
    ValueError
        As `score_interval`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(200, 30))
    >>> good, bad = (truth + sd * rng.normal(size=truth.shape) for sd in (1.0, 1.5))
    >>> difference_interval(good, bad, truth, rng=0).low > 0
    True
    """
    xp, scores, index, ones = _prepare([first, second], target, groups, reliability, rule, nan_policy)

    def difference(w: Any) -> Any:
        return xp.stack([score(w) for score in scores])

    return _interval(xp, difference, index, ones, how, level, n_resamples, rng, "difference, ")


def mean_interval(
    values: ArrayT,
    *,
    groups: Any = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: int | np.random.Generator,
) -> Interval:
    """Interval of the mean of values that each belong to one stimulus and one neuroid (or subject), both resampled.

    For one column (row, 1) or a vector (row,), such as the shares of `two_way_identification`, only rows are resampled.

    Parameters
    ----------
    values
        (row,) or (row, neuroid).
    groups, level, n_resamples, rng
        As in `score_interval`.

    Returns
    -------
    Interval
        Of the mean.

    Raises
    ------
    ValueError
        For NaN, fewer than three groups, or labels that do not fit the rows.

    Examples
    --------
    >>> import numpy as np
    >>> found = mean_interval(np.arange(400) / 399, rng=0)
    >>> found.low < 0.5 < found.high, round(found.high - found.low, 2), found.of
    (True, 0.06, 'mean, 95 % interval over stimuli')
    """
    xp, (a,) = unpack(values=values)
    check(a.ndim in (1, 2), "values", "(row,) or (row, neuroid)", tuple(a.shape), "Average other axes first.")
    complete(xp, values=a)
    wide = double(xp, a if a.ndim == 2 else a[:, None])
    index, n_groups = _groups(groups, wide.shape[0], _FEWEST_DRAWN)
    sums = _by_group(xp, wide, index, n_groups)
    counts = xp.asarray(np.bincount(index).astype(float), dtype=xp.float64, device=a.device)

    def score(w: Any) -> Any:
        return (w @ sums) / (w @ counts)[:, None]

    return _interval(xp, score, index, xp.ones_like(counts)[None], "mean", level, n_resamples, rng, "mean, ")


def _prepare(
    predictions: list[Any], target: Any, groups: Any, reliability: Any, rule: Rule, nan_policy: Any
) -> tuple[Any, list[Callable[[Any], Any]], np.ndarray, Any]:
    one_of("rule", rule, tuple(RULES))
    one_of("nan_policy", nan_policy, ("raise", "omit"))
    named = {f"prediction {i + 1}" if len(predictions) > 1 else "prediction": p for i, p in enumerate(predictions)}
    xp, arrays = unpack(**named, target=target)
    same_shape(**dict(zip([*named, "target"], arrays, strict=True)))
    check(arrays[0].ndim == 2, "prediction", "(row, neuroid)", tuple(arrays[0].shape), "Add an axis of length 1.")
    gone = missing(xp, nan_policy, **dict(zip([*named, "target"], arrays, strict=True)))
    n_rows, n_units = arrays[0].shape
    index, n_groups = _groups(groups, n_rows, FEWEST_GROUPS)
    ceiling = reliability
    if isinstance(reliability, int | float):
        ceiling = xp.full((n_units,), float(reliability), dtype=xp.float64, device=arrays[0].device)
    _, (_, ceiling) = unpack(target=arrays[0], reliability=ceiling)
    check(tuple(ceiling.shape) == (n_units,), "reliability", f"one for each of the {n_units} neuroids",
          tuple(ceiling.shape))  # fmt: skip
    y = double(xp, arrays[-1])
    scores = [_scorer(xp, double(xp, x), y, gone, index, n_groups, ceiling, rule) for x in arrays[:-1]]
    return xp, scores, index, xp.ones((1, n_groups), dtype=xp.float64, device=y.device)


def _groups(groups: Any, n_rows: int, fewest: int) -> tuple[np.ndarray, int]:
    labels = np.arange(n_rows) if groups is None else np.asarray(groups)
    check(labels.shape == (n_rows,), "groups", f"one label for each of the {n_rows} rows", f"shape {labels.shape}")
    known, index = np.unique(labels, return_inverse=True)
    check(len(known) >= fewest, "groups", f"{fewest} or more different labels", len(known), "Too few to say anything.")
    return index, len(known)


def _by_group(xp: Any, x: Any, index: np.ndarray, n_groups: int) -> Any:
    """Sum the rows of each group."""
    if n_groups == len(index):
        return x[xp.asarray(np.argsort(index), device=x.device)]
    member = np.zeros((n_groups, len(index)))
    member[index, np.arange(len(index))] = 1
    return xp.asarray(member, dtype=xp.float64, device=x.device) @ x


def _scorer(
    xp: Any, x: Any, y: Any, gone: Any, index: np.ndarray, n_groups: int, ceiling: Any, rule: Rule
) -> Callable[[Any], Any]:
    """Return the function from weights (resample, group) to scores (resample, neuroid): six matrix products.

    `gone` (row, neuroid) marks what is missing, None that nothing is: it adds nothing to the sums, nor to the counts.
    """

    def there(values: Any) -> Any:
        return values if gone is None else xp.where(gone, xp.zeros_like(values), values)

    counts = _by_group(xp, there(xp.ones_like(y if gone is not None else y[:, :1])), index, n_groups)
    present = xp.astype(counts > 0, xp.float64)
    enough = xp.sum(present, axis=0) >= FEWEST_GROUPS
    means = [xp.sum(there(v), axis=0) / xp.clip(xp.sum(counts, axis=0), min=1.0) for v in (x, y)]
    x, y = there(x - means[0]), there(y - means[1])
    sums = [_by_group(xp, v, index, n_groups) for v in (x, y, x * x, y * y, x * y)]

    def score(w: Any) -> Any:
        n = xp.clip(w @ counts, min=1.0)
        mean_x, mean_y, square_x, square_y, product = ((w @ s) / n for s in sums)
        # What centring leaves of a column that does not vary is rounding.
        var_x, var_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
        drawn = xp.astype(w > 0, xp.float64) @ present >= _FEWEST_DRAWN
        ok = (var_x > 1e-13 * square_x) & (var_y > 1e-13 * square_y) & enough & drawn
        ok = ok & ~constant(xp, var_x, means[0], 1) & ~constant(xp, var_y, means[1], 1)
        one = xp.ones_like(var_x)
        size = xp.sqrt(xp.where(ok, var_x, one)) * xp.sqrt(xp.where(ok, var_y, one))
        r = xp.clip(divide(xp, product - mean_x * mean_y, size, ok), min=-1.0, max=1.0)
        return normalized_score(r, ceiling, rule=rule)

    return score


def _reduce(xp: Any, scores: Any, units: np.ndarray | None, how: str) -> Any:
    """Average (..., resample, neuroid) over neuroids, drawn anew for each resample; a pair becomes its difference."""
    if units is not None:
        at = xp.asarray(units, device=scores.device)
        scores = take_along(xp, scores, xp.broadcast_to(at, (*scores.shape[:-2], *at.shape)))
    if how == "median":
        found = nan_median(xp, scores, -1)
    else:
        ok = ~xp.isnan(scores)
        n = xp.sum(xp.astype(ok, xp.float64), axis=-1)
        found = divide(xp, xp.sum(xp.where(ok, scores, xp.zeros_like(scores)), axis=-1), n, n > 0)
    return found[0] - found[1] if found.ndim == 2 else found


def _interval(
    xp: Any, score: Callable[[Any], Any], index: np.ndarray, ones: Any, how: str, level: float, n_resamples: int,
    rng: int | np.random.Generator, what: str,
) -> Interval:  # fmt: skip
    one_of("how", how, ("median", "mean"))
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    generator, n_groups = as_rng(rng), int(index.max()) + 1
    integer("n_resamples", n_resamples, minimum=2)
    by_unit = score(ones)
    n_units = by_unit.shape[-1]
    estimate = float(_reduce(xp, by_unit, None, how)[0])
    drawn_parts: tuple[list[Any], ...] = ([], [], [])
    step = max(1, _BLOCK // max(n_groups, n_units))
    for start in range(0, n_resamples, step):
        m = min(step, n_resamples - start)
        weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=m).astype(float)
        units = generator.integers(n_units, size=(m, n_units))
        drawn = score(xp.asarray(weights, dtype=xp.float64, device=by_unit.device))
        same = xp.broadcast_to(by_unit, (*by_unit.shape[:-2], m, n_units))
        for kept, (values, chosen) in zip(drawn_parts, ((drawn, units), (drawn, None), (same, units)), strict=True):
            found = _reduce(xp, values, chosen, how)
            kept.append(np.asarray(found.cpu() if hasattr(found, "cpu") else found))
    parts = [np.concatenate(kept) for kept in drawn_parts]
    low, high = _ends(estimate, parts, (n_groups, n_units), how, level)
    undefined = xp.isnan(by_unit) if by_unit.ndim == 2 else xp.any(xp.isnan(by_unit), axis=0)
    left_out = np.flatnonzero(np.asarray(undefined.cpu() if hasattr(undefined, "cpu") else undefined)).tolist()
    over = "stimuli and neuroids" if n_units > 1 else "stimuli"
    words = f"{what}{100 * level:g} % interval over {over}"
    return Interval(estimate, low, high, level, n_groups, n_units, len(left_out), words, tuple(left_out))


def _ends(
    estimate: float, parts: list[np.ndarray], sizes: tuple[int, int], how: str, level: float
) -> tuple[float, float]:
    """Percentiles of the crossed draws, after their interaction's surplus and their bias are taken out."""
    ok = np.isfinite(np.stack(parts)).all(axis=0)
    if not np.isfinite(estimate) or ok.sum() < 2:
        return float("nan"), float("nan")
    draws, rows_only, units_only = (part[ok] for part in parts)
    # The parts of a median do not add up, so it keeps the whole spread; measured coverage is 95 % all the same. Of one
    # or two neuroids it is the mean.
    spread = 1.0 if how == "median" and sizes[1] > 2 else _spread(draws, rows_only, units_only, sizes, level)
    bias = rows_only.mean() - estimate
    low, high = np.quantile(draws - draws.mean(), [(1 - level) / 2, (1 + level) / 2])
    return float(estimate - bias + spread * low), float(estimate - bias + spread * high)


def _spread(
    draws: np.ndarray, rows_only: np.ndarray, units_only: np.ndarray, sizes: tuple[int, int], level: float
) -> float:
    """Return by what the crossed draws must be stretched to spread as the estimate does."""
    from scipy.stats import norm, t

    surplus = max(0.0, draws.var() - rows_only.var() - units_only.var())
    # Drawing n of n is short of variance by (n − 1) / n; the rest is Student's correction (Satterthwaite).
    of = [part.var() * n / max(n - 1, 1) for part, n in zip((rows_only, units_only), sizes, strict=True)]
    # The noise of single cells is in the rows' part, in the units' part and in the surplus: once is enough.
    wanted = max(*of, sum(of) - surplus)
    if draws.var() == 0 or wanted == 0:
        return 0.0
    freedom = sum(of) ** 2 / sum(v * v / max(n - 1, 1) for v, n in zip(of, sizes, strict=True))
    tail = (1 + level) / 2
    return float(np.sqrt(wanted / draws.var()) * t.ppf(tail, freedom) / norm.ppf(tail))
