"""From correlations to scores: division by reliability, named rules, and summaries that count what is undefined."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from ..._check import check, one_of
from .._array import ArrayT, divide, double, floating, nan_mean, nan_median, restore, unpack

Rule = Literal["signed", "r", "r_over_ceiling", "r_over_sqrt_ceiling", "ev_legacy", "ev"]

RULES: dict[str, str] = {
    "signed": "sign(r) r² / c",
    "r": "r",
    "r_over_ceiling": "r / c",
    "r_over_sqrt_ceiling": "r / √c",
    "ev_legacy": "(r / c)²",
    "ev": "r² / c",
}
"""The rules `normalized_score` and `brainscore` know, by name; c is a reliability in variance units."""

_YEARS = {"brainscore-2025": "ev_legacy", "brainscore-2026": "ev"}


class Summary(NamedTuple):
    """One number for many columns, with how many of them it rests on.

    Attributes
    ----------
    value
        The median or mean over the columns that are defined; NaN when none is.
    n
        How many columns were defined.
    n_undefined
        How many were NaN (constant targets, no reliability) and therefore left out.
    how
        ``"median"`` or ``"mean"``.

    Examples
    --------
    >>> Summary(value=0.3, n=3, n_undefined=1, how="median").value
    0.3
    """

    value: float
    n: int
    n_undefined: int
    how: str


def normalized_score(r: ArrayT, reliability: ArrayT | float, *, rule: Rule = "signed") -> ArrayT:
    """Divide correlations by reliability, per neuroid, before anything is averaged.

    The default ``sign(r) r² / reliability`` is the share of the explainable variance that is explained: a perfect model
    of noisy data scores 1, its negative −1, and nothing is clipped, so that sampling noise can pass 1.

    Parameters
    ----------
    r
        Correlations with the mean over repeats, such as (split, neuroid).
    reliability
        Fraction of the variance of that mean that is signal, for the same number of repeats; broadcast against `r`.
    rule
        One of `RULES`: ``"signed"``, ``"r"``, ``"r_over_ceiling"``, ``"r_over_sqrt_ceiling"`` (the noise-corrected
        correlation), ``"ev_legacy"`` and ``"ev"``. The legacy rule squares a reliability, which is a variance ratio
        already, and so over-credits noisy data.

    Returns
    -------
    array
        Shape of `r`; NaN where r is NaN or the reliability is not above 0 (nothing to explain). `summarize` counts it.

    Raises
    ------
    ValueError
        For an unknown rule or shapes that do not broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> normalized_score(np.array([0.5, -0.5, 0.5]), np.array([0.25, 0.25, 0.0]))
    array([ 1., -1., nan])
    """
    one_of("rule", rule, tuple(RULES))
    xp, (a, c) = _two(r, reliability)
    value, ceiling = xp.broadcast_arrays(double(xp, a), double(xp, c))
    if rule == "r":
        return restore(xp, value, floating(xp, a))
    ok = ceiling > 0
    if rule == "r_over_ceiling":
        top, bottom = value, ceiling
    elif rule == "r_over_sqrt_ceiling":
        top, bottom = value, xp.sqrt(xp.where(ok, ceiling, xp.ones_like(ceiling)))
    elif rule == "ev_legacy":
        top, bottom = value * value, ceiling * ceiling
    else:
        top, bottom = (xp.sign(value) if rule == "signed" else 1) * value * value, ceiling
    return restore(xp, divide(xp, top, bottom, ok), floating(xp, a))


def summarize(scores: ArrayT, *, how: Literal["median", "mean"] = "median") -> Summary:
    """Median or mean of the defined scores, with the number that was undefined beside it.

    Parameters
    ----------
    scores
        (neuroid,), or any shape, which is then flattened. NaN marks undefined.
    how
        ``"median"`` or ``"mean"``.

    Returns
    -------
    Summary
        ``value, n, n_undefined, how``.

    Raises
    ------
    ValueError
        For an unknown `how` or an empty array.

    Examples
    --------
    >>> import numpy as np
    >>> summarize(np.array([0.1, 0.3, np.nan, 0.8]))
    Summary(value=0.3, n=3, n_undefined=1, how='median')
    """
    one_of("how", how, ("median", "mean"))
    xp, (a,) = unpack(scores=scores)
    flat = xp.reshape(double(xp, a), (-1,))
    n_undefined = int(xp.sum(xp.astype(xp.isnan(flat), xp.int64)))
    value = (nan_median if how == "median" else nan_mean)(xp, flat, 0)
    return Summary(float(value), flat.shape[0] - n_undefined, n_undefined, how)


def brainscore(raw: ArrayT, ceiling: ArrayT | float, *, rule: str = "ev") -> ArrayT:
    """Brain-Score's order of work: median over neuroids, mean over splits, and only then the division by the ceiling.

    Parameters
    ----------
    raw
        (split, neuroid) correlations.
    ceiling
        (split, neuroid) reliabilities, reduced in the same way, or one number.
    rule
        One of `RULES`, or ``"brainscore-2025"`` ((r/c)², all numbers published up to 2025) or ``"brainscore-2026"``
        (r²/c).

    Returns
    -------
    array
        0-d: the score.

    Raises
    ------
    ValueError
        For an unknown rule or an array that is not (split, neuroid).

    References
    ----------
    .. [1] M Schrimpf et al. (2018). Brain-Score: which artificial neural network is most brain-like? doi:10.1101/407007

    Examples
    --------
    >>> import numpy as np
    >>> raw = np.array([[0.22545]])
    >>> [round(float(brainscore(raw, 0.81580, rule=rule)), 4) for rule in ("brainscore-2025", "brainscore-2026")]
    [0.0764, 0.0623]
    """
    one_of("rule", rule, (*RULES, *_YEARS))
    xp, (a, c) = _two(raw, ceiling)
    centre = nan_mean(xp, _per_split(xp, a, "raw"), 0)
    top = double(xp, c) if c.ndim == 0 else nan_mean(xp, _per_split(xp, c, "ceiling"), 0)
    name: Any = _YEARS.get(rule, rule)
    score: ArrayT = normalized_score(centre, top, rule=name)
    return restore(xp, score, floating(xp, a))


def brainscore_sem(raw: ArrayT) -> ArrayT:
    """Brain-Score's error: the standard deviation (ddof 0) of the splits' medians over √splits.

    Its splits overlap, so this is too small to be an interval; it exists to match published tables. Intervals of this
    package are `score_interval` and `difference_interval`.

    Parameters
    ----------
    raw
        (split, neuroid) correlations.

    Returns
    -------
    array
        0-d.

    Raises
    ------
    ValueError
        For an array that is not (split, neuroid).

    Examples
    --------
    >>> import numpy as np
    >>> brainscore_sem(np.array([[0.1, 0.2, 0.3], [0.3, 0.4, 0.5]]))
    array(0.07071068)
    """
    xp, (a,) = unpack(raw=raw)
    medians = _per_split(xp, a, "raw")
    return restore(xp, xp.std(medians, axis=0) / medians.shape[0] ** 0.5, floating(xp, a))


def _two(first: Any, second: Any) -> tuple[Any, list[Any]]:
    """Unpack an array and a partner that may be a plain number."""
    xp, (a,) = unpack(r=first)
    if isinstance(second, int | float):
        second = xp.asarray(float(second), dtype=xp.float64, device=a.device)
    return unpack(r=a, reliability=second)


def _per_split(xp: Any, x: Any, name: str) -> Any:
    check(x.ndim == 2, name, "(split, neuroid)", f"shape {tuple(x.shape)}", "Add an axis of length 1 for one split.")
    return nan_median(xp, double(xp, x), 1)
