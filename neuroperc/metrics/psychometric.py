"""Psychometric functions with lapses, fitted by maximum likelihood, and thresholds with bootstrap intervals.

p(x) = (1 − λ)·PC(x) + λ/m, PC = γ + (1 − γ)·F(x): F runs from 0 to 1, γ is the guessing rate, λ the share of trials
with a blind guess among m answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from .._check import as_rng, check, fail, finite, integer, one_of, positive

Shape = Literal["weibull", "logistic", "cumulative_normal"]

_SHAPES = ("weibull", "logistic", "cumulative_normal")
_STEPS = 80  # of damped scoring; 10 to 20 are typical


@dataclass(frozen=True)
class PsychometricFunction:
    """A psychometric function; call it with stimulus levels to get the proportion of correct answers.

    Attributes
    ----------
    shape
        ``"weibull"``: F = 1 − exp(−(x/location)^(1/spread)), x ≥ 0; ``"logistic"``: F = 1/(1 + exp(−(x − location)/
        spread)); ``"cumulative_normal"``: F = Φ((x − location)/spread).
    location
        Place on the axis of x, in its unit (F = 0.632 for Weibull, 0.5 for the others).
    spread
        Width, in the unit of x; for Weibull one over the exponent (a width of log x).
    lapse
        Share λ of trials with a blind guess.
    n_alternatives
        Number m of answers.
    guess
        Proportion γ at F = 0. None means 1/m; 0 suits the share of "yes" in a detection task.

    Raises
    ------
    ValueError
        For an unknown shape, a spread or Weibull location that is not above 0, or a lapse or guess outside [0, 1).

    Examples
    --------
    >>> f = PsychometricFunction("cumulative_normal", location=2.0, spread=0.5, lapse=0.04)
    >>> f([0.0, 2.0, 9.0]).round(3), round(f.threshold(percent_correct=75), 6)
    (array([0.5 , 0.74, 0.98]), 2.0)
    """

    shape: Shape
    location: float
    spread: float
    lapse: float = 0.0
    n_alternatives: int = 2
    guess: float | None = None

    def __post_init__(self) -> None:
        one_of("shape", self.shape, _SHAPES)
        positive("spread", self.spread)
        (positive if self.shape == "weibull" else _number)("location", self.location)
        _share("lapse", self.lapse)
        integer("n_alternatives", self.n_alternatives, minimum=2)
        if self.guess is None:
            object.__setattr__(self, "guess", 1 / self.n_alternatives)
        _share("guess", self.guess)

    def __call__(self, x: Any) -> np.ndarray:
        """Proportion correct at stimulus levels `x`, of any shape, lapses included."""
        levels = np.asarray(x, dtype=float)
        finite("x", levels)
        if self.shape == "weibull":
            check(bool((levels >= 0).all()), "x", "0 or more for a Weibull function", float(levels.min()),
                  'Use shape="logistic" on a logarithmic axis.')  # fmt: skip
        u = np.log(self.location) if self.shape == "weibull" else self.location
        cumulative, _ = _cumulative(self.shape, levels, np.asarray(u), np.asarray(np.log(self.spread)))
        floor = _floor(self)
        correct: np.ndarray = (1 - self.lapse) * (floor + (1 - floor) * cumulative) + self.lapse / self.n_alternatives
        return correct

    def threshold(self, *, percent_correct: float) -> float:
        """Stimulus level at which an observer without lapses would be correct in `percent_correct` % of trials.

        Parameters
        ----------
        percent_correct
            In percent, above the guessing rate and below 100. There is no default: 75 % of 2AFC and 79.4 % of a
            staircase are different thresholds.

        Raises
        ------
        ValueError
            For a percentage at or below the guessing rate, or of 100 or more.

        Examples
        --------
        >>> PsychometricFunction("logistic", location=1.0, spread=0.2).threshold(percent_correct=75)
        1.0
        """
        return float(_threshold(self.shape, self.location, self.spread, _share_above(self, percent_correct)))


@dataclass(frozen=True, eq=False)
class PsychometricFit:
    """A fitted psychometric function with its data.

    Attributes
    ----------
    function
        The `PsychometricFunction` of greatest likelihood.
    x, n_correct, n_trials
        What was fitted, a value a level.
    log_likelihood
        Of the fit, without the binomial coefficients.
    deviance
        Twice the log-likelihood ratio to the model with one free proportion a level; it is large when the shape is
        wrong.
    in_range
        Whether the location lies within the tested levels; outside them the fit extrapolates.
    lapse_bounds
        Bounds in which the lapse rate was fitted; equal when it was fixed.

    Examples
    --------
    >>> fit = fit_psychometric([1, 2, 3, 4], [21, 26, 35, 39], [40] * 4, shape="logistic", lapse=0.02)
    >>> fit.in_range, round(fit.function.threshold(percent_correct=75), 1)
    (True, 2.4)
    """

    function: PsychometricFunction
    x: np.ndarray
    n_correct: np.ndarray
    n_trials: np.ndarray
    log_likelihood: float
    deviance: float
    in_range: bool
    lapse_bounds: tuple[float, float]

    def threshold_interval(
        self, *, percent_correct: float, level: float = 0.95, n_resamples: int = 1000, rng: int | np.random.Generator
    ) -> tuple[float, float]:
        """Percentile interval of the threshold by parametric bootstrap over trials.

        Every resample draws binomial counts from the fitted function and is fitted anew, all of them at once.

        Parameters
        ----------
        percent_correct
            As in `PsychometricFunction.threshold`.
        level
            Coverage, in (0, 1).
        n_resamples
            How many data sets are drawn.
        rng
            Seed or generator.

        Returns
        -------
        tuple
            ``(low, high)`` in the unit of x. It holds the noise of trials only, not differences between subjects.

        Examples
        --------
        >>> fit = fit_psychometric([1, 2, 3, 4], [21, 26, 35, 39], [40] * 4, shape="logistic", lapse=0.02)
        >>> low, high = fit.threshold_interval(percent_correct=75, rng=0)
        >>> low < fit.function.threshold(percent_correct=75) < high
        True
        """
        share = _share_above(self.function, percent_correct)
        check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
        draws = as_rng(rng).binomial(
            self.n_trials.astype(int), self.function(self.x), (integer("n_resamples", n_resamples, 2), len(self.x))
        )
        f = self.function
        theta, _ = _fit(f.shape, self.x, draws, self.n_trials, _floor(f), f.n_alternatives, self.lapse_bounds)
        location = np.exp(theta[:, 0]) if f.shape == "weibull" else theta[:, 0]
        found = _threshold(f.shape, location, np.exp(theta[:, 1]), share)
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def fit_psychometric(
    x: Any,
    n_correct: Any,
    n_trials: Any,
    *,
    shape: Shape,
    n_alternatives: int = 2,
    lapse: float | tuple[float, float] = (0.0, 0.06),
    guess: float | None = None,
) -> PsychometricFit:
    """Fit a psychometric function to counts by maximum likelihood.

    Parameters
    ----------
    x
        (n_levels,) stimulus levels, of which a higher one is easier (negate x otherwise); 0 or more for Weibull.
    n_correct, n_trials
        (n_levels,) counts.
    shape
        ``"weibull"``, ``"logistic"`` or ``"cumulative_normal"``.
    n_alternatives
        Number m of answers.
    lapse
        A fixed lapse rate, or the bounds within which it is fitted.
    guess
        As in `PsychometricFunction`.

    Returns
    -------
    PsychometricFit
        Look at ``in_range`` before using a threshold.

    Raises
    ------
    ValueError
        For different lengths, fewer than two different levels, counts that are not whole, below 0 or above their
        trials, levels without trials, NaN, or proportions that do not vary.

    References
    ----------
    .. [1] F A Wichmann, N J Hill (2001). The psychometric function: I. doi:10.3758/BF03194544

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.05, 0.1, 0.2, 0.4])
    >>> fit = fit_psychometric(x, [55, 70, 92, 99], [100] * 4, shape="weibull", lapse=0.01)
    >>> 0.1 < fit.function.threshold(percent_correct=75) < 0.12
    True
    """
    levels, k, n = _counts(x, n_correct, n_trials)
    one_of("shape", shape, _SHAPES)
    if shape == "weibull":
        check(bool((levels >= 0).all() and (levels > 0).any()), "x", "0 or more for a Weibull function",
              float(levels.min()), 'Use shape="logistic" on a logarithmic axis.')  # fmt: skip
    bounds = (lapse, lapse) if isinstance(lapse, int | float) else (float(lapse[0]), float(lapse[1]))
    for bound in bounds:
        _share("lapse", bound)
    check(bounds[0] <= bounds[1], "lapse", "a number or (lowest, highest)", lapse)
    m = integer("n_alternatives", n_alternatives, minimum=2)
    floor = 1 / m if guess is None else _share("guess", guess)
    theta, lapses = _fit(shape, levels, k[None], n, floor, m, bounds)
    location, spread = float(theta[0, 0]), float(np.exp(theta[0, 1]))
    location = float(np.exp(location)) if shape == "weibull" else location
    function = PsychometricFunction(shape, location, spread, float(lapses[0]), m, floor)
    likelihood = float(-_cost(k, n, function(levels)))
    deviance = 2 * (float(-_cost(k, n, k / n)) - likelihood)
    inside = bool(levels.min() <= location <= levels.max())
    return PsychometricFit(function, levels, k, n, likelihood, deviance, inside, bounds)


def _counts(x: Any, n_correct: Any, n_trials: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    named = {"x": x, "n_correct": n_correct, "n_trials": n_trials}
    found = []
    for name, value in named.items():
        array = np.asarray(value)
        check(array.dtype.kind in "fiu", name, "an array of numbers", f"dtype {array.dtype}", error=TypeError)
        check(array.ndim == 1 and array.size > 0, name, "one value a level", f"shape {array.shape}")
        finite(name, array)
        found.append(array.astype(float))
    sizes = {name: len(a) for name, a in zip(named, found, strict=True)}
    check(len(set(sizes.values())) == 1, "x, n_correct and n_trials", "of one length", sizes)
    levels, k, n = found
    check(bool((k == k.round()).all() and (n == n.round()).all()), "counts", "whole numbers", "fractions",
          "Give how many answers were correct, not the proportion.")  # fmt: skip
    check(bool((n > 0).all()), "n_trials", "1 or more at every level", n.min(), "Leave out levels without trials.")
    check(bool((k >= 0).all() and (k <= n).all()), "n_correct", "between 0 and n_trials", k.tolist())
    check(len(np.unique(levels)) > 1, "x", "two or more different levels", np.unique(levels).tolist())
    if len(np.unique(k / n)) == 1:
        fail("n_correct / n_trials", "different between levels", float((k / n)[0]), "Test easier and harder levels.")
    return levels, k, n


def _cumulative(shape: str, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return F and its derivatives by u (location, or its log for Weibull) and v (log spread)."""
    if shape == "weibull":
        shown = x > 0
        exponent = np.exp(-v)
        log_t = np.clip((np.log(np.where(shown, x, 1.0)) - u) * exponent, -600, 6.5)
        t = np.where(shown, np.exp(log_t), 0.0)
        slope = np.exp(-t) * t
        return -np.expm1(-t), [-slope * exponent, -slope * log_t]
    z = np.clip((x - u) * np.exp(-v), -700, 700)
    if shape == "logistic":
        value = special.expit(z)
        density = value * special.expit(-z)
    else:
        value = special.ndtr(z)
        density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return value, [-density * np.exp(-v), -density * z]


def _cost(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    cost: np.ndarray = -(special.xlogy(k, p) + special.xlog1py(n - k, -p)).sum(axis=-1)
    return cost


def _model(shape: str, x: Any, theta: Any, floor: float, m: int, bounds: tuple[float, float]) -> tuple[Any, Any, Any]:
    """Return p (batch, level), its Jacobian (batch, level, 3) and the lapse rates of a batch of parameters."""
    part = special.expit(theta[:, 2:])
    width = bounds[1] - bounds[0]
    lapse = bounds[0] + width * part
    value, slopes = _cumulative(shape, x, theta[:, :1], theta[:, 1:2])
    correct = floor + (1 - floor) * value
    # A proportion of exactly 0 or 1 would make one miss impossible and its cost infinite.
    p = np.clip((1 - lapse) * correct + lapse / m, 1e-9, 1 - 1e-9)
    by_lapse = (1 / m - correct) * width * part * (1 - part)
    by = [(1 - lapse) * (1 - floor) * s for s in slopes]
    return p, np.stack([*by, by_lapse], axis=-1), lapse[:, 0]


def _starts(shape: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a grid of first guesses, and the lowest and highest parameters allowed."""
    axis = np.log(x[x > 0]) if shape == "weibull" else x
    low, high = axis.min(), axis.max()
    span = high - low if high > low else max(1.0, abs(high))
    places, widths = np.linspace(low, high, 5), np.log(span * np.array([0.05, 0.2, 0.6]))
    grid = np.stack([a.ravel() for a in np.meshgrid(places, widths, [0.0], indexing="ij")], axis=1)
    least = np.array([low - 3 * span, np.log(1e-3 * span), -8.0])
    most = np.array([high + 3 * span, np.log(20 * span), 8.0])
    return grid, least, most


def _fit(
    shape: str, x: np.ndarray, k: np.ndarray, n: np.ndarray, floor: float, m: int, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fit every row of k (batch, level) by damped Fisher scoring; return parameters (batch, 3) and lapse rates."""
    grid, least, most = _starts(shape, x)
    p, _, _ = _model(shape, x, grid, floor, m, bounds)
    every = np.stack([_cost(k, n, row) for row in p], axis=1)
    best: tuple[np.ndarray, np.ndarray] | None = None
    # One data set starts from its three best places, so that no flat valley decides; resamples from their best one.
    for rank in np.argsort(every, axis=1)[:, : 3 if len(k) == 1 else 1].T:
        theta, cost = _score(shape, x, k, n, floor, m, bounds, grid[rank], least, most)
        if best is None:
            best = theta, cost
        else:
            better = cost < best[1]
            best = np.where(better[:, None], theta, best[0]), np.where(better, cost, best[1])
    theta = best[0] if best is not None else grid[:1]
    return theta, _model(shape, x, theta, floor, m, bounds)[2]


def _score(
    shape: str, x: Any, k: Any, n: Any, floor: float, m: int, bounds: Any, theta: Any, least: Any, most: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Fisher scoring with Levenberg's damping of every row at once; rows that have settled are left alone."""
    theta, damping = theta.copy(), np.full(len(k), 1e-3)
    cost = _cost(k, n, _model(shape, x, theta, floor, m, bounds)[0])
    active = np.arange(len(k))
    for _ in range(_STEPS):
        now = theta[active]
        p, slopes, _ = _model(shape, x, now, floor, m, bounds)
        weight = n / (p * (1 - p))
        gradient = np.einsum("bl,bli->bi", weight * (k[active] / n - p), slopes)
        information = np.swapaxes(slopes * weight[..., None], 1, 2) @ slopes
        diagonal = np.einsum("bii->bi", information)
        loaded = information + (damping[active, None] * diagonal + 1e-9)[:, :, None] * np.eye(3)
        tried = np.clip(now + np.linalg.solve(loaded, gradient[..., None])[..., 0], least, most)
        new_cost = _cost(k[active], n, _model(shape, x, tried, floor, m, bounds)[0])
        gain = cost[active] - new_cost
        better = gain >= 0
        theta[active[better]], cost[active[better]] = tried[better], new_cost[better]
        damping[active] = np.where(better, damping[active] / 5, damping[active] * 8)
        settled = np.where(better, gain < 1e-8, damping[active] > 1e3)
        active = active[~settled]
        if not active.size:
            break
    return theta, cost


def _threshold(shape: str, location: Any, spread: Any, share: float) -> Any:
    if shape == "weibull":
        return location * (-np.log1p(-share)) ** spread
    return location + spread * float(special.logit(share) if shape == "logistic" else special.ndtri(share))


def _floor(function: PsychometricFunction) -> float:
    return 1 / function.n_alternatives if function.guess is None else function.guess


def _share_above(function: PsychometricFunction, percent_correct: float) -> float:
    """Return F at a percentage of correct answers."""
    floor = _floor(function)
    inside = isinstance(percent_correct, int | float) and 100 * floor < percent_correct < 100
    check(inside, "percent_correct", f"a percentage above {100 * floor:g} (guessing) and below 100", percent_correct,
          "Give percent, such as 75.")  # fmt: skip
    return (percent_correct / 100 - floor) / (1 - floor)


def _share(name: str, value: Any) -> float:
    inside = isinstance(value, int | float) and 0 <= value < 1
    check(inside, name, "at least 0 and below 1", value, "Give a share, not percent.")
    return float(value)


def _number(name: str, value: Any) -> float:
    check(isinstance(value, int | float) and bool(np.isfinite(value)), name, "a finite number", value)
    return float(value)
