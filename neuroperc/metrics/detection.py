"""Signal detection: d′, the percent correct of named tasks, lapses, and the critical-scaling curve of metamers.

Every observer is a function of d′ with its own name, because the same d′ gives different scores in different tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from .._check import check, finite, integer, one_of, positive
from ._array import ArrayT, double, floating, restore, special, unpack

Convention = Literal["broderick", "freeman"]


def dprime_yes_no(hit_rate: ArrayT, false_alarm_rate: ArrayT) -> ArrayT:
    """d′ = z(hit rate) − z(false-alarm rate) of a yes/no task.

    Parameters
    ----------
    hit_rate, false_alarm_rate
        Shares of "yes" in trials with and without the signal, of one shape. Rates of 0 and 1 have no finite z: make
        the rates with `loglinear_rate`.

    Returns
    -------
    array
        Shape of the rates, in SDs of the noise; infinite for a rate of 0 or 1, NaN when both are the same extreme.

    Raises
    ------
    ValueError
        For rates outside [0, 1], NaN, or different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> dprime_yes_no(np.array([0.84134475]), np.array([0.15865525])).round(6)
    array([2.])
    """
    xp, first, second, dtype = _scores(hit_rate, false_alarm_rate)
    return restore(xp, first - second, dtype)


def criterion_yes_no(hit_rate: ArrayT, false_alarm_rate: ArrayT) -> ArrayT:
    """Criterion c = −(z(hit rate) + z(false-alarm rate)) / 2 of a yes/no task; 0 is unbiased, above 0 says "no" more.

    Parameters, shapes and errors are those of `dprime_yes_no`.

    Examples
    --------
    >>> import numpy as np
    >>> criterion_yes_no(np.array([0.5]), np.array([0.15865525])).round(6)
    array([0.5])
    """
    xp, first, second, dtype = _scores(hit_rate, false_alarm_rate)
    return restore(xp, -(first + second) / 2, dtype)


def loglinear_rate(n_yes: ArrayT, n_trials: ArrayT) -> ArrayT:
    """Rate (n_yes + 1/2) / (n_trials + 1), which is never 0 or 1, so that d′ stays finite.

    Raises
    ------
    ValueError
        For different shapes, or counts below 0 or above their trials.

    Examples
    --------
    >>> import numpy as np
    >>> loglinear_rate(np.array([20]), np.array([20])).round(3)
    array([0.976])
    """
    xp, (k, n) = unpack(n_yes=n_yes, n_trials=n_trials)
    check(k.shape == n.shape, "n_yes and n_trials", "of one shape", (tuple(k.shape), tuple(n.shape)))
    check(bool(xp.all((k >= 0) & (k <= n))), "n_yes", "between 0 and n_trials", "counts outside", "Check the counts.")
    return restore(xp, (double(xp, k) + 0.5) / (double(xp, n) + 1), floating(xp, k, n))


def yes_no(d: ArrayT, *, criterion: float = 0.0) -> ArrayT:
    """Proportion correct of a yes/no task with as many signal as noise trials: (Φ(d/2 − c) + Φ(d/2 + c)) / 2.

    Parameters
    ----------
    d
        d′, of any shape.
    criterion
        Distance of the criterion from the unbiased one, in SDs.

    Examples
    --------
    >>> import numpy as np
    >>> yes_no(np.array([0.0, 2.0])).round(4)
    array([0.5   , 0.8413])
    """
    return _observe(d, lambda x, cdf: (cdf(x / 2 - criterion) + cdf(x / 2 + criterion)) / 2)


def two_afc(d: ArrayT) -> ArrayT:
    """Proportion correct in two-alternative forced choice: Φ(d/√2).

    Parameters
    ----------
    d
        d′, of any shape.

    Examples
    --------
    >>> import numpy as np
    >>> two_afc(np.array([0.0, 1.0])).round(4)
    array([0.5   , 0.7602])
    """
    return _observe(d, lambda x, cdf: cdf(x / 2**0.5))


def abx_independent(d: ArrayT) -> ArrayT:
    """Proportion correct in ABX by an observer who knows the axis: Φ(d/√2)Φ(d/2) + Φ(−d/√2)Φ(−d/2).

    A and B are ordered as in 2AFC, and X is classed by itself against a fixed criterion. This is the rule of the
    foveated-metamer studies.

    Parameters
    ----------
    d
        d′, of any shape.

    Returns
    -------
    array
        Shape of `d`, from 0.5 at d = 0.

    References
    ----------
    .. [1] N A Macmillan, C D Creelman (2005). Detection theory: a user's guide.

    Examples
    --------
    >>> import numpy as np
    >>> abx_independent(np.array([0, 1, 2, 4])).round(6)
    array([0.5     , 0.599656, 0.787651, 0.975017])
    """
    return _observe(d, lambda x, cdf: _both(cdf, x / 2**0.5, x / 2))


def abx_differencing(d: ArrayT) -> ArrayT:
    """Proportion correct in ABX by an observer who compares X − A with X − B: Φ(d/√2)Φ(d/√6) + Φ(−d/√2)Φ(−d/√6).

    Without a fixed criterion (roving stimuli) X is judged by the midpoint of A and B, which is itself noisy.

    Parameters and return value are those of `abx_independent`.

    References
    ----------
    .. [1] N A Macmillan, C D Creelman (2005). Detection theory: a user's guide.

    Examples
    --------
    >>> import numpy as np
    >>> bool(abx_differencing(np.array([2.0]))[0] < abx_independent(np.array([2.0]))[0])
    True
    """
    return _observe(d, lambda x, cdf: _both(cdf, x / 2**0.5, x / 6**0.5))


def dual_pair(d: ArrayT) -> ArrayT:
    """Proportion correct when one of two pairs differs and the larger difference is chosen: Φ(d/2)² + Φ(−d/2)².

    Two halves of a screen are each shown twice and one of them changes (split screen), or four intervals are shown as
    two pairs (4IAX). The sign of the change is not known, so its size is what is compared.

    Parameters
    ----------
    d
        d′ between the two members of the pair that differs, of any shape.

    Returns
    -------
    array
        Shape of `d`, from 0.5 at d = 0.

    References
    ----------
    .. [1] N A Macmillan, C D Creelman (2005). Detection theory: a user's guide.

    Examples
    --------
    >>> import numpy as np
    >>> dual_pair(np.array([0.0, 2.0])).round(4)
    array([0.5  , 0.733])
    """
    return _observe(d, lambda x, cdf: _both(cdf, x / 2, x / 2))


def oddity(d: ArrayT) -> ArrayT:
    """Proportion correct in three-alternative oddity (the triangle test), by the exact integral.

    The two nearest of three observations are taken as the pair:
    2 ∫₀^∞ [Φ(−x√3 + d√(2/3)) + Φ(−x√3 − d√(2/3))] φ(x) dx, by Gauss–Legendre quadrature (rounding error only).

    Parameters
    ----------
    d
        d′, of any shape.

    Returns
    -------
    array
        Shape of `d`, from 1/3 at d = 0.

    Examples
    --------
    >>> import numpy as np
    >>> oddity(np.array([0, 0.5, 1, 2, 3, 4])).round(5)
    array([0.33333, 0.35583, 0.41805, 0.60481, 0.78143, 0.89766])
    """
    return _observe(d, _triangle)


def dprime(
    proportion: ArrayT, *, observer: Callable[[Any], Any] = two_afc, lapse: float = 0.0, n_alternatives: int = 2
) -> ArrayT:
    """d′ at which a named observer is correct in this proportion of trials.

    Parameters
    ----------
    proportion
        Proportion correct, of any shape.
    observer
        `two_afc`, `yes_no`, `abx_independent`, `abx_differencing`, `dual_pair`, `oddity`: any increasing function.
    lapse, n_alternatives
        Undone first, as `with_lapses` does them.

    Returns
    -------
    array
        Shape of `proportion`. 0 at and below chance, infinite where no d′ up to 40 is enough.

    Raises
    ------
    ValueError
        For proportions outside [0, 1] or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> dprime(np.array([0.5, 0.787651]), observer=abx_independent).round(4)
    array([0., 2.])
    """
    xp, (p,) = unpack(proportion=proportion)
    _rates(xp, proportion=p)
    _lapse(lapse)
    wide = (double(xp, p) - lapse / integer("n_alternatives", n_alternatives, minimum=2)) / (1 - lapse)
    low, high = xp.zeros_like(wide), xp.full_like(wide, 40.0)
    reached = observer(high) > wide
    for _ in range(60):
        middle = (low + high) / 2
        below = observer(middle) < wide
        low, high = xp.where(below, middle, low), xp.where(below, high, middle)
    value = xp.where(reached, (low + high) / 2, xp.full_like(low, xp.inf))
    return restore(xp, xp.where(wide <= observer(0 * wide), xp.zeros_like(value), value), floating(xp, p))


def with_lapses(proportion: ArrayT, *, lapse: float, n_alternatives: int) -> ArrayT:
    """Proportion correct of an observer who guesses in a share of the trials: (1 − λ) PC + λ/m.

    Parameters
    ----------
    proportion
        Proportion correct without lapses, of any shape.
    lapse
        Share λ of trials with a blind guess, in [0, 1).
    n_alternatives
        Number m of answers: 2 for ABX, 2AFC and yes/no, 3 for oddity.

    Raises
    ------
    ValueError
        For proportions outside [0, 1], NaN, a lapse outside [0, 1) or fewer than two answers.

    Examples
    --------
    >>> import numpy as np
    >>> with_lapses(np.array([1.0, 1 / 3]), lapse=0.06, n_alternatives=3).round(4)
    array([0.96  , 0.3333])
    """
    xp, (p,) = unpack(proportion=proportion)
    _rates(xp, proportion=p)
    m = integer("n_alternatives", n_alternatives, minimum=2)
    return restore(xp, (1 - _lapse(lapse)) * double(xp, p) + lapse / m, floating(xp, p))


def critical_scaling(scaling: ArrayT, *, critical: float, gain: float, convention: Convention) -> ArrayT:
    """d′ between metamers of a pooling model, as a function of the model's scaling.

    ``"broderick"``: d′ = α₀ max(0, 1 − s₀²/s²). ``"freeman"``: the same expression is d′², so the root is taken. The
    critical scaling s₀ agrees between the two; gains do not, and must not be compared.

    Parameters
    ----------
    scaling
        Scaling s of the pooling windows, above 0, of any shape.
    critical
        Critical scaling s₀, at and below which no difference is seen.
    gain
        α₀: the largest d′ (or its square).
    convention
        ``"broderick"`` or ``"freeman"``; there is no default.

    Returns
    -------
    array
        d′, shape of `scaling`.

    Raises
    ------
    ValueError
        For scalings, a critical scaling or a gain that are not above 0.

    References
    ----------
    .. [1] J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. doi:10.1038/nn.2889, eq. 17-18.

    Examples
    --------
    >>> import numpy as np
    >>> s = np.array([0.2, 0.3, 0.4, 0.5])
    >>> abx_independent(critical_scaling(s, critical=0.25, gain=5, convention="broderick")).round(6)
    array([0.5     , 0.699822, 0.922565, 0.965842])
    """
    one_of("convention", convention, ("broderick", "freeman"))
    s0 = positive("critical", critical)
    alpha = positive("gain", gain)
    xp, (s,) = unpack(scaling=scaling)
    finite("scaling", s)
    check(bool(xp.all(s > 0)), "scaling", "above 0", "values of 0 or below", "Typical values are 0.1 to 2.")
    wide = double(xp, s)
    value = alpha * xp.clip(1 - s0 * s0 / (wide * wide), min=0.0)
    if convention == "freeman":
        seen = value > 0
        value = xp.where(seen, xp.sqrt(xp.where(seen, value, xp.ones_like(value))), value)
    return restore(xp, value, floating(xp, s))


def _observe(d: Any, rule: Callable[[Any, Callable[[Any], Any]], Any]) -> Any:
    xp, (x,) = unpack(d=d)
    finite("d", x)
    return restore(xp, rule(double(xp, x), special(x).ndtr), floating(xp, x))


def _both(cdf: Callable[[Any], Any], a: Any, b: Any) -> Any:
    """Right twice, or wrong twice."""
    return cdf(a) * cdf(b) + cdf(-a) * cdf(-b)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(96)
    x = 5 * (nodes + 1)  # the density beyond 10 SD is nothing
    return x, 2 * 5 * weights * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _triangle(d: Any, cdf: Callable[[Any], Any]) -> Any:
    value = 0 * d
    for x, weight in zip(*_quadrature(), strict=True):
        shift = d * (2 / 3) ** 0.5
        value = value + float(weight) * (cdf(shift - float(x) * 3**0.5) + cdf(-shift - float(x) * 3**0.5))
    return value


def _rates(xp: Any, **named: Any) -> None:
    for name, value in named.items():
        finite(name, value)
        inside = bool(xp.all((value >= 0) & (value <= 1)))
        check(inside, name, "between 0 and 1", "values outside", "Give proportions, not percent.")


def _scores(hit_rate: Any, false_alarm_rate: Any) -> tuple[Any, Any, Any, Any]:
    xp, (h, f) = unpack(hit_rate=hit_rate, false_alarm_rate=false_alarm_rate)
    check(h.shape == f.shape, "hit_rate and false_alarm_rate", "of one shape", (tuple(h.shape), tuple(f.shape)))
    _rates(xp, hit_rate=h, false_alarm_rate=f)
    inverse = special(h).ndtri
    return xp, inverse(double(xp, h)), inverse(double(xp, f)), floating(xp, h, f)


def _lapse(lapse: float) -> float:
    check(isinstance(lapse, int | float) and 0 <= lapse < 1, "lapse", "at least 0 and below 1", lapse, "Try 0.02.")
    return float(lapse)
