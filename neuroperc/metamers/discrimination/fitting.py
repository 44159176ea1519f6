"""Critical scaling by maximum likelihood, with intervals that say when the tested scalings do not hold it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special
from scipy.stats import chi2

from ..._check import as_rng, check, finite, integer, one_of
from ...metrics.detection import Convention
from ._likelihood import OBSERVERS, Curve, coarse, cost_of, grid_profile, profile

Observer = Literal["abx_independent", "abx_differencing", "dual_pair", "two_afc", "oddity"]
IntervalKind = Literal["calibrated", "profile", "bootstrap"]

_BLOCK = 2000  # experiments fitted at once
_BELOW = 0.1  # scalings down to a tenth of the lowest tested one are searched; d′ hardly changes below
_STEPS = 22  # of golden section and of bisection, between nodes


@dataclass(frozen=True, eq=False)
class CriticalScalingFit:
    """Critical scalings of one experiment or of many, with their data.

    Every estimate has the leading shape of `n_correct`: () for one experiment, (n,) for n of them.

    Attributes
    ----------
    critical
        s₀ of greatest likelihood. Read it only where `identifiable`.
    low, high
        Limits of its interval. A limit outside the tested scalings is open: 0 below, infinity above.
    identifiable
        Whether both limits lie within the tested scalings. Where not, performance at the tested scalings does not say
        where s₀ is: `low` = 0 when it stays above chance down to the lowest scaling, `high` = infinity when it may be
        at chance up to the highest, both when nothing is known.
    gain, lapse
        α₀ (its meaning depends on `convention`) and λ of greatest likelihood.
    log_likelihood
        Of the fit, without binomial coefficients.
    deviance
        Twice the log-likelihood ratio to one free proportion a scaling.
    calibration
        (..., 2) factors on the χ² limit of the likelihood ratio, of `low` and `high`; 1 unless
        ``interval="calibrated"``.
    scaling, n_correct, n_trials
        What was fitted.
    observer, convention, interval, level, lapse_bounds
        How it was fitted.

    Examples
    --------
    >>> scaling = [0.1, 0.15, 0.22, 0.33, 0.5]
    >>> fit = fit_critical_scaling(scaling, [18, 17, 26, 33, 35], [36] * 5, observer="abx_independent",
    ...                            convention="broderick", interval="profile")
    >>> bool(fit.identifiable), round(float(fit.critical), 2)
    (True, 0.17)
    """

    critical: np.ndarray
    low: np.ndarray
    high: np.ndarray
    identifiable: np.ndarray
    gain: np.ndarray
    lapse: np.ndarray
    log_likelihood: np.ndarray
    deviance: np.ndarray
    calibration: np.ndarray
    scaling: np.ndarray
    n_correct: np.ndarray
    n_trials: np.ndarray
    observer: Observer
    convention: Convention
    interval: IntervalKind
    level: float
    lapse_bounds: tuple[float, float]

    def proportion_correct(self, scaling: Any) -> np.ndarray:
        """Return the fitted proportions correct at other scalings (n,), of shape (..., n)."""
        s = _levels(scaling)
        curve = Curve(s, self.observer, self.convention, (0.0, 1.0))
        lapse = np.clip(self.lapse, 1e-300, 1 - 1e-16)[..., None]
        return curve.p(np.log(self.critical)[..., None], np.log(self.gain)[..., None], special.logit(lapse))

    def __repr__(self) -> str:
        n, known = self.critical.size, int(self.identifiable.sum())
        what = f"{100 * self.level:g} % {self.interval} interval"
        if n > 1:
            return f"<CriticalScalingFit of {n} experiments, {known} identifiable, {what}>"
        state = "" if known else ", not identifiable from the tested scalings"
        return f"<CriticalScalingFit s0 = {self.critical:.4g}, {what} {self.low:.4g} to {self.high:.4g}{state}>"


def fit_critical_scaling(
    scaling: Any,
    n_correct: Any,
    n_trials: Any,
    *,
    observer: Observer,
    convention: Convention,
    lapse: float | tuple[float, float] = (0.0, 0.06),
    interval: IntervalKind = "calibrated",
    level: float = 0.95,
    n_resamples: int = 200,
    rng: int | np.random.Generator | None = None,
) -> CriticalScalingFit:
    """Fit the critical scaling s₀ of metamers to counts of correct answers, for many experiments at once.

    d′(s) = α₀ max(0, 1 − s₀²/s²) or its root, p = (1 − λ) PC(d′) + λ/m; s₀, α₀ and λ are fitted by maximum likelihood.
    Point fits are unstable when s₀ lies outside the tested scalings, therefore every fit comes with an interval and
    with `identifiable`.

    Parameters
    ----------
    scaling
        (n_levels,) tested scalings, above 0, at least three different ones.
    n_correct
        (..., n_levels) counts; leading axes are experiments (subjects, conditions, simulations).
    n_trials
        Counts that broadcast against `n_correct`.
    observer
        What turns d′ into the proportion correct: a function of `neuroperc.metrics` by name. ``"abx_independent"`` is
        what the foveated-metamer studies use for ABX and for split-screen 2AFC; ``"dual_pair"`` is the rule of the
        split screen by differences; ``"oddity"`` is the exact triangle integral with three answers.
    convention
        Whether the expression is d′ (``"broderick"``) or d′² (``"freeman"``). s₀ agrees between them, gains do not.
    lapse
        A fixed lapse rate, or the bounds within which it is fitted.
    interval
        ``"profile"``: the scalings whose profile likelihood is within χ²/2 of the best. With the kink at s₀ and some
        tens of trials a scaling it covers too rarely. ``"calibrated"``: at each end of that interval, data are drawn
        as if s₀ were there, and the limit is multiplied by their mean likelihood ratio (1 in theory, never taken
        below 1). ``"bootstrap"``: percentiles of s₀ over parametric resamples; kept for comparison.
    level
        Coverage, in (0, 1).
    n_resamples
        Resamples of each experiment (calibrated, bootstrap).
    rng
        Seed or generator; needed unless ``interval="profile"``.

    Returns
    -------
    CriticalScalingFit

    Raises
    ------
    ValueError
        For fewer than three scalings, values that are not above 0, counts that are not whole, below 0 or above their
        trials, levels without trials, or unknown names.
    TypeError
        When counts are not numbers, or resampling has no `rng`.

    Notes
    -----
    The interval holds the noise of trials only. Differences between people need `fit_critical_scaling_groups`, or a
    fit a person and an interval over people.

    References
    ----------
    .. [1] J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. doi:10.1038/nn.2889, eq. 17-18.

    Examples
    --------
    >>> import numpy as np
    >>> scaling = np.array([0.3, 0.4, 0.5, 0.7, 1.0])
    >>> seen_everywhere = fit_critical_scaling(scaling, [33, 35, 34, 36, 35], 36, observer="abx_independent",
    ...                                        convention="broderick", rng=0)
    >>> bool(seen_everywhere.identifiable), float(seen_everywhere.low)  # s0 lies below what was tested
    (False, 0.0)
    """
    s, k, n = _counts(scaling, n_correct, n_trials)
    one_of("observer", observer, OBSERVERS)
    one_of("convention", convention, ("broderick", "freeman"))
    one_of("interval", interval, ("calibrated", "profile", "bootstrap"))
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    bounds = lapse_bounds(lapse)
    curve = Curve(s, observer, convention, bounds)
    rows, trials = k.reshape(-1, len(s)), n.reshape(-1, len(s))
    generator = None if interval == "profile" else as_rng(rng)
    resamples = integer("n_resamples", n_resamples, minimum=20)
    blocks = [
        _fit_block(curve, rows[i : i + _BLOCK], trials[i : i + _BLOCK], interval, level, resamples, generator)
        for i in range(0, len(rows), _BLOCK)
    ]
    peak, calibration, low, high = (np.concatenate(part) for part in zip(*blocks, strict=True))
    shape = k.shape[:-1]
    best = _Peak(*peak.T)
    saturated = cost_of(rows, trials, np.clip(rows / trials, 1e-12, 1 - 1e-12))
    made = {
        "critical": np.exp(best.ln_s0), "low": low, "high": high, "identifiable": (low > 0) & np.isfinite(high),
        "gain": np.exp(best.ln_gain), "lapse": curve.lapse(best.t), "log_likelihood": -best.cost,
        "deviance": 2 * (best.cost - saturated),
    }  # fmt: skip
    return CriticalScalingFit(
        **{name: values.reshape(shape) for name, values in made.items()}, calibration=calibration.reshape(*shape, 2),
        scaling=s, n_correct=k, n_trials=n, observer=observer, convention=convention, interval=interval, level=level,
        lapse_bounds=bounds,
    )  # fmt: skip


class _Peak(NamedTuple):
    """The maximum of each row's likelihood."""

    ln_s0: np.ndarray
    ln_gain: np.ndarray
    t: np.ndarray
    cost: np.ndarray


class _Surface(NamedTuple):
    """Costs at nodes of ln s0 (infinite where hopeless) with their nuisance parameters."""

    nodes: np.ndarray
    cost: np.ndarray
    theta: np.ndarray


def _fit_block(
    curve: Curve, k: np.ndarray, n: np.ndarray, interval: str, level: float, resamples: int, rng: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the peaks (row, 4), calibration, low and high of some experiments."""
    limit = chi2.ppf(level, 1) / 2
    surface = _surface(curve, k, n, 2 * limit)
    peak = _peak(curve, k, n, surface)
    factor = np.ones((len(k), 2))
    if interval == "bootstrap":
        low, high = _percentiles(curve, n, peak, level, resamples, rng)
        return np.stack(peak, axis=1), factor, low, high
    if interval == "calibrated":
        factor = _calibration(curve, n, surface, _ends(surface, peak, limit * factor)[0], resamples, rng)
        surface = _surface(curve, k, n, limit * float(factor.max())) if factor.max() > 2 else surface
    return np.stack(peak, axis=1), factor, *_limits(curve, k, n, surface, peak, limit * factor)


def point_estimates(curve: Curve, k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return (ln s0, ln gain, t, cost) of every row (row, 4), without intervals."""
    blocks = [(k[i : i + _BLOCK], n[i : i + _BLOCK]) for i in range(0, len(k), _BLOCK)]
    peaks = [_peak(curve, k_part, n_part, _surface(curve, k_part, n_part, 0.0)) for k_part, n_part in blocks]
    return np.concatenate([np.stack(peak, axis=1) for peak in peaks])


def _nodes(s: np.ndarray) -> np.ndarray:
    """Return ln s0 from far below the lowest scaling to the highest; every tested scaling (a kink) is a node."""
    ln_s = np.log(np.unique(s))
    below = np.linspace(ln_s[0] + np.log(_BELOW), ln_s[0], 13)
    return np.concatenate([below, *(np.linspace(a, b, 9)[1:] for a, b in itertools.pairwise(ln_s))])


def _surface(curve: Curve, k: np.ndarray, n: np.ndarray, within: float) -> _Surface:
    """Profile the nodes that may lie within `within` of the best; the grid of gains leaves an error below 1 + 0.2 %."""
    nodes = _nodes(curve.scaling)
    cost, start = coarse(curve, k, n, nodes)
    margin = within + 1 + 0.002 * n.sum(axis=1)
    row, node = np.nonzero(cost <= (cost.min(axis=1) + margin)[:, None])
    found, theta = profile(curve, k[row], n[row], nodes[node], start[row, node])
    cost[:], start = np.inf, start.copy()
    cost[row, node], start[row, node] = found, theta
    return _Surface(nodes, cost, start)


def _peak(curve: Curve, k: np.ndarray, n: np.ndarray, surface: _Surface) -> _Peak:
    """Refine the best node by golden section on both sides of it: the likelihood is smooth between nodes."""
    rows, best = np.arange(len(k)), surface.cost.argmin(axis=1)
    top = len(surface.nodes) - 1
    low = surface.nodes[np.concatenate([np.maximum(best - 1, 0), best])]
    high = surface.nodes[np.concatenate([best, np.minimum(best + 1, top)])]
    kk, nn, ratio = np.tile(k, (2, 1)), np.tile(n, (2, 1)), (5**0.5 - 1) / 2
    theta = np.tile(surface.theta[rows, best], (2, 1))
    inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    at_inner, theta = profile(curve, kk, nn, inner, theta)
    at_outer, theta = profile(curve, kk, nn, outer, theta)
    for _ in range(_STEPS):
        left = at_inner <= at_outer
        low, high = np.where(left, low, inner), np.where(left, outer, high)
        kept, at_kept = np.where(left, inner, outer), np.where(left, at_inner, at_outer)
        fresh = np.where(left, high - ratio * (high - low), low + ratio * (high - low))
        at_fresh, theta = profile(curve, kk, nn, fresh, theta)
        inner, outer = np.where(left, fresh, kept), np.where(left, kept, fresh)
        at_inner, at_outer = np.where(left, at_fresh, at_kept), np.where(left, at_kept, at_fresh)
    half = len(k)
    places = np.stack([surface.nodes[best], *((low + high) / 2).reshape(2, half)])
    starts = np.stack([surface.theta[rows, best], theta[:half], theta[half:]])
    each = [profile(curve, k, n, place, start) for place, start in zip(places, starts, strict=True)]
    costs = np.stack([cost for cost, _ in each])
    which = costs.argmin(axis=0)
    chosen = np.stack([t for _, t in each])[which, rows]
    return _Peak(places[which, rows], chosen[:, 0], chosen[:, 1], costs[which, rows])


def _calibration(
    curve: Curve, n: np.ndarray, surface: _Surface, ends: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return for the node at each end (row, 2) the mean likelihood ratio when s0 is there, at least 1.

    The lapse rate hardly matters to it and is held in the middle of its bounds, which leaves a grid over s0 and gain.
    """
    rows = np.arange(len(n))[:, None]
    gain = surface.theta[rows, ends][..., 0]
    p = curve.p(surface.nodes[ends][..., None], gain[..., None], np.zeros(1))
    factor = np.ones(ends.shape)
    for design in np.unique(n, axis=0):  # experiments with the same trials share one grid
        same = np.flatnonzero((n == design).all(axis=1))
        drawn = rng.binomial(design.astype(int), p[same][:, :, None], (len(same), 2, resamples, len(design)))
        cost = grid_profile(curve, drawn.reshape(-1, len(design)), design, surface.nodes)
        cost = cost.reshape(len(same), 2, resamples, -1)
        at_truth = np.take_along_axis(cost, ends[same][..., None, None], axis=-1)[..., 0]
        factor[same] = np.maximum(1, 2 * (at_truth - cost.min(axis=-1)).mean(axis=-1))
    return factor


def _ends(surface: _Surface, peak: _Peak, limit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the outermost nodes (row, 2) within the two limits (row, 2) of the peak, and whether there are any."""
    inside = surface.cost[:, None] <= (peak.cost[:, None] + limit)[..., None]
    first, last = inside[:, 0].argmax(axis=1), inside.shape[-1] - 1 - inside[:, 1, ::-1].argmax(axis=1)
    nearest = np.abs(surface.nodes - peak.ln_s0[:, None]).argmin(axis=1)[:, None]
    some = inside.any(axis=-1)
    return np.where(some, np.stack([first, last], axis=1), nearest), some


def _limits(
    curve: Curve, k: np.ndarray, n: np.ndarray, surface: _Surface, peak: _Peak, limit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the outermost scalings within `limit` (row, 2) of the peak; 0 or infinity beyond the tested range."""
    nodes, rows = surface.nodes, np.arange(len(k))
    ends, some = _ends(surface, peak, limit)
    found = []
    for side, sign in enumerate((-1, 1)):
        node, most = ends[:, side], peak.cost + limit[:, side]
        at_peak = ~some[:, side] | (sign * (peak.ln_s0 - nodes[node]) > 0)
        within = np.where(at_peak, peak.ln_s0, nodes[node])
        theta = np.where(at_peak[:, None], np.stack([peak.ln_gain, peak.t], 1), surface.theta[rows, node])
        # The next node outwards is not inside: the limit lies between.
        beyond = np.searchsorted(nodes, within + sign * 1e-12, side="left" if sign > 0 else "right")
        outside = nodes[np.clip(beyond - (sign < 0), 0, len(nodes) - 1)]
        for _ in range(_STEPS):
            middle = (within + outside) / 2
            cost, theta = profile(curve, k, n, middle, theta)
            good = cost <= most
            within, outside = np.where(good, middle, within), np.where(good, outside, middle)
        found.append(within)
    return _opened(curve, *found)


def _opened(curve: Curve, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn limits of ln s0 into scalings, and into 0 or infinity where they leave the tested range."""
    least, most = np.log(curve.scaling.min()), np.log(curve.scaling.max())
    return np.where(low <= least + 1e-9, 0.0, np.exp(low)), np.where(high >= most - 1e-9, np.inf, np.exp(high))


def _percentiles(
    curve: Curve, n: np.ndarray, peak: _Peak, level: float, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of s0 over parametric resamples, open where they leave the tested range."""
    p = curve.p(peak.ln_s0[:, None], peak.ln_gain[:, None], peak.t[:, None])
    drawn = rng.binomial(n.astype(int)[:, None], p[:, None], (len(n), resamples, n.shape[1])).astype(float)
    flat, trials = drawn.reshape(-1, n.shape[1]), np.repeat(n, resamples, axis=0)
    found = point_estimates(curve, flat, trials)[:, 0]
    ends = np.quantile(found.reshape(len(n), resamples), [(1 - level) / 2, (1 + level) / 2], axis=1)
    return _opened(curve, *ends)


def lapse_bounds(lapse: Any) -> tuple[float, float]:
    """Return the lowest and highest lapse rate."""
    single = isinstance(lapse, int | float)
    check(single or len(tuple(lapse)) == 2, "lapse", "a number or (lowest, highest)", lapse)
    low, high = (lapse, lapse) if single else lapse
    inside = 0 <= low <= high < 1
    check(inside, "lapse", "at least 0 and below 1, the lowest first", lapse, "Give shares, such as (0, 0.06).")
    return float(low), float(high)


def _levels(scaling: Any) -> np.ndarray:
    s = np.asarray(scaling)
    check(s.dtype.kind in "fiu", "scaling", "an array of numbers", f"dtype {s.dtype}", error=TypeError)
    check(s.ndim == 1 and s.size > 0, "scaling", "one value a level", f"shape {s.shape}")
    finite("scaling", s)
    check(bool((s > 0).all()), "scaling", "above 0", float(s.min()), "Typical values are 0.1 to 2.")
    return s.astype(float)


def _counts(scaling: Any, n_correct: Any, n_trials: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = _levels(scaling)
    n_levels = len(np.unique(s))
    check(n_levels >= 3, "scaling", "three or more different values", np.unique(s).tolist(), "Test more scalings.")
    counts = {}
    for name, value in {"n_correct": n_correct, "n_trials": n_trials}.items():
        array = np.asarray(value)
        check(array.dtype.kind in "fiu", name, "an array of numbers", f"dtype {array.dtype}", error=TypeError)
        finite(name, array)
        whole = bool((array == np.round(array)).all())
        check(whole, name, "whole numbers", "fractions", "Give how many answers were correct, not the proportion.")
        counts[name] = array.astype(float)
    k = counts["n_correct"]
    check(k.ndim >= 1 and k.size > 0 and k.shape[-1] == len(s), "n_correct", f"of shape (..., {len(s)})", k.shape)
    try:
        n = np.broadcast_to(counts["n_trials"], k.shape)
    except ValueError:
        check(False, "n_trials", f"a shape that broadcasts to {k.shape}", counts["n_trials"].shape)
    check(bool((n > 0).all()), "n_trials", "1 or more at every level", n.min(), "Leave out levels without trials.")
    check(bool((k >= 0).all() and (k <= n).all()), "n_correct", "between 0 and n_trials", "counts outside")
    return s, k, n
