"""Simulated experiments, and how often they find a difference between two critical scalings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from ..._check import as_rng, check, finite, integer, non_negative, one_of, positive
from ...metrics.detection import Convention
from ._likelihood import OBSERVERS, Curve
from .fitting import Observer, _levels, lapse_bounds, point_estimates


def simulate_critical_scaling(
    scaling: Any,
    *,
    critical: Any,
    gain: Any,
    n_trials: int,
    observer: Observer,
    convention: Convention,
    lapse: float = 0.02,
    rng: int | np.random.Generator,
) -> np.ndarray:
    """Draw counts of correct answers of observers with known critical scalings.

    Parameters
    ----------
    scaling
        (n_levels,) tested scalings.
    critical, gain
        s₀ and α₀, above 0, of shapes that broadcast: one value an experiment.
    n_trials
        Trials a level.
    observer, convention
        As in `fit_critical_scaling`.
    lapse
        Share of trials with a blind guess.
    rng
        Seed or generator.

    Returns
    -------
    ndarray
        (..., n_levels) whole numbers.

    Raises
    ------
    ValueError
        For values out of range or unknown names.

    Examples
    --------
    >>> counts = simulate_critical_scaling([0.2, 0.3, 0.5], critical=[0.25] * 100, gain=5, n_trials=36,
    ...                                    observer="abx_independent", convention="broderick", rng=0)
    >>> counts.shape, counts.mean(axis=0).round(0).tolist()
    ((100, 3), [19.0, 25.0, 34.0])
    """
    s = _levels(scaling)
    one_of("observer", observer, OBSERVERS)
    one_of("convention", convention, ("broderick", "freeman"))
    s0, alpha = np.broadcast_arrays(np.asarray(critical, dtype=float), np.asarray(gain, dtype=float))
    for name, values in (("critical", s0), ("gain", alpha)):
        finite(name, values)
        check(bool((values > 0).all()), name, "above 0", float(values.min()))
    share = lapse_bounds(float(lapse))[0]
    curve = Curve(s, observer, convention, (share, share))
    p = curve.p(np.log(s0)[..., None], np.log(alpha)[..., None], np.zeros(1))
    counts: np.ndarray = as_rng(rng).binomial(integer("n_trials", n_trials), p)
    return counts


@dataclass(frozen=True)
class Power:
    """How often simulated experiments find a difference.

    Attributes
    ----------
    power
        Share of experiments whose test is significant; with equal critical scalings, the rate of false alarms.
    low, high
        95 % Wilson interval of that share over simulated experiments.
    share_inside
        Share of fits whose s₀ lies between the lowest and the highest tested scaling.
    n_experiments
        How many were simulated.

    Examples
    --------
    >>> Power(0.8, 0.72, 0.86, 0.99, 100).power
    0.8
    """

    power: float
    low: float
    high: float
    share_inside: float
    n_experiments: int


def critical_scaling_power(
    scaling: Any,
    *,
    critical: tuple[float, float],
    gain: float,
    n_subjects: int,
    n_trials: int,
    subject_sd: float,
    observer: Observer,
    convention: Convention,
    difference_sd: float = 0.0,
    gain_sd: float = 0.0,
    lapse: float = 0.02,
    alpha: float = 0.05,
    n_experiments: int = 500,
    rng: int | np.random.Generator,
) -> Power:
    """Simulate experiments in which every subject does two conditions, and test the difference of ln s₀.

    Each subject's s₀ is fitted in each condition, and a two-sided paired t test over subjects decides: subjects, not
    trials, are what generalizes. A fit outside the tested scalings counts as the nearest tested one.

    Parameters
    ----------
    scaling
        (n_levels,) tested scalings, in both conditions.
    critical
        s₀ of the two conditions for the average subject.
    gain
        α₀ of the average subject.
    n_subjects, n_trials
        Subjects, and trials a subject, condition and level.
    subject_sd
        SD over subjects of ln s₀, common to a subject's two conditions.
    observer, convention
        As in `fit_critical_scaling`.
    difference_sd
        SD over subjects of the difference of ln s₀ between conditions.
    gain_sd
        SD over subjects of ln α₀.
    lapse
        Share of trials with a blind guess; the fit takes it as unknown between 0 and 0.06, or up to it.
    alpha
        Level of the test.
    n_experiments
        How many are simulated.
    rng
        Seed or generator.

    Returns
    -------
    Power

    Raises
    ------
    ValueError
        For numbers out of range, or fewer than two subjects.

    Examples
    --------
    >>> found = critical_scaling_power([0.1, 0.15, 0.22, 0.33, 0.5], critical=(0.15, 0.25), gain=4, n_subjects=6,
    ...                                n_trials=24, subject_sd=0.1, observer="abx_independent",
    ...                                convention="broderick", n_experiments=50, rng=0)
    >>> found.power > 0.5
    True
    """
    s = _levels(scaling)
    check(len(critical) == 2, "critical", "two critical scalings, one a condition", critical)
    pair = [positive("critical", value) for value in critical]
    subjects, many = integer("n_subjects", n_subjects, minimum=2), integer("n_experiments", n_experiments)
    check(0 < alpha < 1, "alpha", "between 0 and 1", alpha, "Use 0.05.")
    generator = as_rng(rng)
    spread = generator.standard_normal((3, many, subjects, 1))
    sides = np.array([-0.5, 0.5]) * spread[1] * non_negative("difference_sd", difference_sd)
    ln_s0 = np.log(pair) + spread[0] * non_negative("subject_sd", subject_sd) + sides
    gains = np.exp(np.log(positive("gain", gain)) + spread[2] * non_negative("gain_sd", gain_sd))
    counts = simulate_critical_scaling(s, critical=np.exp(ln_s0), gain=gains, n_trials=n_trials, observer=observer,
                                       convention=convention, lapse=lapse, rng=generator)  # fmt: skip
    curve = Curve(s, observer, convention, (0.0, max(0.06, lapse)))
    rows = counts.reshape(-1, len(s)).astype(float)
    found = point_estimates(curve, rows, np.full(rows.shape, float(n_trials)))[:, 0].reshape(many, subjects, 2)
    inside = (found >= np.log(s.min())) & (found < np.log(s.max()))
    held = np.clip(found, np.log(s.min()), np.log(s.max()))
    difference = held[..., 1] - held[..., 0]
    sem = difference.std(axis=1, ddof=1) / np.sqrt(subjects)
    # Without any spread a difference is certain, and no difference is none.
    t = np.abs(difference.mean(axis=1)) / np.maximum(sem, 1e-12)
    n_found = int((2 * special.stdtr(subjects - 1, -t) < alpha).sum())
    interval = stats.binomtest(n_found, many).proportion_ci(0.95, method="wilson")
    return Power(n_found / many, float(interval.low), float(interval.high), float(inside.mean()), many)
