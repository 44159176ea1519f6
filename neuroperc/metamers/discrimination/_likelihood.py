"""The likelihood of a critical scaling, for many experiments at once.

One row is one experiment with its (n_levels,) counts. Parameters of a row are (ln s0, ln gain, t); the lapse rate is
low + (high - low) expit(t), so that it never leaves its bounds. Nothing here loops over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special
from scipy.interpolate import CubicSpline

from ... import metrics

#: Observers, each named as the function of `neuroperc.metrics` that says how often it is correct.
OBSERVERS = ("abx_independent", "abx_differencing", "dual_pair", "two_afc", "oddity")
_TOP_D = 20.0  # every observer is correct by then
_LEAST, _MOST = np.array([-4.0, -14.0]), np.array([7.0, 14.0])  # ln gain, t
_STEPS = 60  # of damped scoring; about ten are typical
_MEMORY = 4_000_000  # numbers in one block of a grid


def observer_of(name: str) -> tuple[Callable[[Any], Any], int]:
    """Return the proportion correct as a function of d′, and the number of answers."""
    return getattr(metrics, name), 3 if name == "oddity" else 2


@lru_cache(maxsize=16)
def _spline(name: str) -> tuple[CubicSpline, CubicSpline]:
    """Return PC(d) and its slope (errors below 1e-10 and 1e-8): the triangle's integral is dear."""
    d = np.linspace(0, _TOP_D, 4001)
    made = CubicSpline(d, observer_of(name)[0](d))
    return made, made.derivative()


@dataclass(frozen=True)
class Curve:
    """p correct at the tested scalings as a function of parameters, with slopes."""

    scaling: np.ndarray
    observer: str
    convention: str
    lapse_bounds: tuple[float, float]

    def lapse(self, t: np.ndarray) -> np.ndarray:
        """Return the lapse rate."""
        low, high = self.lapse_bounds
        rate: np.ndarray = low + (high - low) * special.expit(t)
        return rate

    def p(self, ln_s0: Any, ln_gain: Any, t: Any) -> np.ndarray:
        """Return p; parameters broadcast against the levels on the last axis."""
        m, lapse = observer_of(self.observer)[1], self.lapse(t)
        correct = _spline(self.observer)[0](dprime_of(self.scaling, ln_s0, ln_gain, self.convention))
        p: np.ndarray = np.clip((1 - lapse) * correct + lapse / m, 1e-9, 1 - 1e-9)
        return p

    def slopes(self, ln_s0: Any, ln_gain: Any, t: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return p (..., level) and its Jacobian (..., level, 3) by ln s0, ln gain and t."""
        m = observer_of(self.observer)[1]
        low, high = self.lapse_bounds
        part = special.expit(t)
        lapse = low + (high - low) * part
        d = dprime_of(self.scaling, ln_s0, ln_gain, self.convention)
        value, derivative = _spline(self.observer)
        correct, slope = value(d), (1 - lapse) * np.where(d < _TOP_D, derivative(d), 0.0)
        by_s0, by_gain = _dprime_slopes(self.scaling, ln_s0, ln_gain, self.convention, d)
        p = np.clip((1 - lapse) * correct + lapse / m, 1e-9, 1 - 1e-9)
        by_t = (1 / m - correct) * (high - low) * part * (1 - part)
        return p, np.stack([slope * by_s0, slope * by_gain, by_t], axis=-1)


def dprime_of(s: np.ndarray, ln_s0: Any, ln_gain: Any, convention: str) -> np.ndarray:
    """Return d′ as `metrics.critical_scaling` defines it, for arrays of parameters, up to a d′ that is always seen."""
    value = np.exp(ln_gain) * np.clip(1 - np.exp(2 * (ln_s0 - np.log(s))), 0, None)
    d: np.ndarray = np.minimum(np.sqrt(value) if convention == "freeman" else value, _TOP_D)
    return d


def _dprime_slopes(s: np.ndarray, ln_s0: Any, ln_gain: Any, convention: str, d: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of d′ by ln s0 and by ln gain."""
    ratio = np.exp(2 * (ln_s0 - np.log(s)))
    by_s0 = np.where(ratio < 1, -2 * np.exp(ln_gain) * ratio, 0.0)
    if convention == "freeman":  # of a root
        return by_s0 / (2 * np.maximum(d, 1e-6)), d / 2
    return by_s0, d


def cost_of(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of counts along the last axis, without binomial coefficients."""
    cost: np.ndarray = -(special.xlogy(k, p) + special.xlog1py(n - k, -p)).sum(axis=-1)
    return cost


def coarse(curve: Curve, k: np.ndarray, n: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least cost (row, node) on a grid of gains and lapses, and where it lies (row, node, 2).

    All rows share the grid's curves, so that their likelihoods are matrix products.
    """
    gains, lapses = np.linspace(-2.5, 5.5, 33), np.array([-3.0, 0.0, 3.0])
    grid = np.stack([a.ravel() for a in np.meshgrid(gains, lapses, indexing="ij")], axis=1)
    best, cost = np.empty((len(k), len(nodes)), dtype=np.int64), np.empty((len(k), len(nodes)))
    for j, ln_s0 in enumerate(nodes):  # nodes, not experiments: that bounds the memory
        p = curve.p(ln_s0, grid[:, :1], grid[:, 1:])
        every = -(k @ np.log(p).T + (n - k) @ np.log1p(-p).T)
        best[:, j] = every.argmin(axis=1)
        cost[:, j] = every[np.arange(len(k)), best[:, j]]
    return cost, grid[best]


def profile(
    curve: Curve, k: np.ndarray, n: np.ndarray, ln_s0: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the cost of every row over gain and lapse at its own ln s0, by Fisher scoring with Levenberg's damping.

    Shapes: k, n (row, level), ln_s0 (row,), start (row, 2). Returns cost (row,) and (ln gain, t) (row, 2).
    """
    theta, damping = start.copy(), np.full(len(k), 1e-3)
    cost = cost_of(k, n, curve.p(ln_s0[:, None], theta[:, :1], theta[:, 1:]))
    active = np.arange(len(k))
    for _ in range(_STEPS):
        now, ka, na, sa = theta[active], k[active], n[active], ln_s0[active, None]
        step = _scoring_step(curve, ka, na, sa, now, damping[active])
        tried = np.clip(now + np.clip(step, -2, 2), _LEAST, _MOST)
        new = cost_of(ka, na, curve.p(sa, tried[:, :1], tried[:, 1:]))
        gained = cost[active] - new
        better = gained >= 0
        theta[active[better]], cost[active[better]] = tried[better], new[better]
        damping[active] = np.where(better, damping[active] / 5, damping[active] * 8)
        active = active[~np.where(better, gained < 1e-8, damping[active] > 1e4)]
        if not active.size:
            break
    return cost, theta


def _scoring_step(curve: Curve, k: Any, n: Any, ln_s0: Any, theta: Any, damping: Any) -> np.ndarray:
    """Solve the damped 2 x 2 systems in closed form."""
    p, slopes = curve.slopes(ln_s0, theta[:, :1], theta[:, 1:])
    weight = n / (p * (1 - p))
    a, b, off = slopes[..., 1], slopes[..., 2], (k / n - p) * weight
    ga, gb = (off * a).sum(1), (off * b).sum(1)
    aa = (weight * a * a).sum(1) * (1 + damping) + 1e-9
    bb = (weight * b * b).sum(1) * (1 + damping) + 1e-9
    ab = (weight * a * b).sum(1)
    return np.stack([bb * ga - ab * gb, aa * gb - ab * ga], axis=1) / (aa * bb - ab * ab)[:, None]


def grid_profile(curve: Curve, k: np.ndarray, n: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return the cost profiled over the gain (row, node) with the lapse in the middle of its bounds.

    For the many resamples of a calibration: no iterations, one matrix product and a parabola through three gains.
    `n` is (level,), the same for every row.
    """
    gains = np.linspace(-2.5, 5.5, 81)
    p = curve.p(nodes[:, None, None], gains[:, None], 0.0)
    logit = special.logit(p).reshape(-1, p.shape[-1]).astype(np.float32)
    base = (n * np.log1p(-p)).sum(axis=-1).astype(np.float32)
    out, rows = np.empty((len(k), len(nodes)), dtype=np.float32), max(1, _MEMORY // base.size)
    for first in range(0, len(k), rows):
        part = k[first : first + rows].astype(np.float32)
        every = -(part @ logit.T).reshape(len(part), *base.shape) - base
        middle = np.clip(every.argmin(axis=-1), 1, len(gains) - 2)[..., None]
        left, least, right = (np.take_along_axis(every, middle + i, axis=-1)[..., 0] for i in (-1, 0, 1))
        bend, tilt = np.maximum(left - 2 * least + right, 1e-6), left - right
        edge = np.minimum(np.minimum(left, least), right)
        vertex = least - tilt**2 / (8 * bend)
        out[first : first + rows] = np.where(np.abs(tilt) <= 2 * bend, np.minimum(edge, vertex), edge)
    return out
