"""Psychometric curves with their data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import beta

from .._check import check, finite, integer
from .look import axes

__all__ = ["psychometric"]


def psychometric(
    level: Any,
    n_correct: Any,
    n_trials: Any,
    *,
    curve: Callable[[np.ndarray], np.ndarray] | None = None,
    threshold: tuple[float, float, float] | None = None,
    interval_of: str = "",
    n_alternatives: int = 2,
    quantity: str = "scaling",
    log: bool = True,
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw proportions correct with their intervals, the fitted curve, and the threshold with its interval.

    Parameters
    ----------
    level
        (n,) stimulus levels, such as scalings.
    n_correct, n_trials
        (n,) counts. Their bars are exact 95 % intervals of a proportion (Clopper–Pearson); the legend says so.
    curve
        Proportion correct at levels (k,), such as ``fit.proportion_correct`` or a `PsychometricFunction`.
    threshold
        (estimate, low, high), such as ``(fit.critical, fit.low, fit.high)``: a vertical line and a band. An open limit
        (0 or infinite) is drawn to the edge with an arrow.
    interval_of
        What the band is; required with `threshold`, and printed in the legend.
    n_alternatives
        Number of answers; chance is dotted.
    quantity
        Name of the horizontal axis.
    log
        Whether it is logarithmic.
    label
        Name of these data.
    ax
        Axes to draw into; call again with it for a second curve.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, counts are impossible, or the band does not say what it is.

    Examples
    --------
    >>> psychometric([0.2, 0.3, 0.5], [18, 25, 34], [36, 36, 36], label="ABX").get_ylabel()
    'proportion correct'
    """
    x, k, n = (
        np.asarray(values, dtype=float) for values in (level, n_correct, np.broadcast_to(n_trials, np.shape(level)))
    )
    check(x.ndim == 1 and x.size > 0, "level", "a list of numbers", x.shape)
    check(len(x) == k.size == n.size, "n_correct and n_trials", f"{len(x)} counts, as many as levels", (k.size, n.size))
    for name, values in (("level", x), ("n_correct", k), ("n_trials", n)):
        finite(name, values)
    check(bool((n > 0).all() and (k >= 0).all() and (k <= n).all()), "n_correct", "between 0 and n_trials", k.tolist())
    check(not log or bool((x > 0).all()), "level", "above 0 on a logarithmic axis", float(x.min()), "Pass log=False.")
    check(
        threshold is None or interval_of, "interval_of", "given with a threshold", interval_of, "Say what the band is."
    )
    ax = axes(ax)
    # Clopper and Pearson: quantiles of beta distributions
    low = np.where(k > 0, beta.ppf(0.025, np.maximum(k, 0.5), n - k + 1), 0)
    high = np.where(k < n, beta.ppf(0.975, k + 1, np.maximum(n - k, 0.5)), 1)
    p = k / n
    bars = ax.errorbar(
        x,
        p,
        [p - low, high - p],
        fmt="o",
        capsize=0,
        elinewidth=1,
        label=f"{label}, 95 % interval of each proportion".lstrip(", "),
    )
    color = bars.lines[0].get_color()
    edges = np.log([x.min(), x.max()]) if log else np.array([x.min(), x.max()])
    margin = 0.08 * (edges[1] - edges[0])
    fine = np.linspace(edges[0] - margin, edges[1] + margin, 400)
    fine = np.exp(fine) if log else fine
    if curve is not None:
        ax.plot(fine, curve(fine), color=color)
    if log:
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{value:.2g}" for value in x])
        ax.minorticks_off()
    chance = 1 / integer("n_alternatives", n_alternatives, 2)
    ax.set(xlim=(fine[0], fine[-1]), ylim=(max(0, min(chance - 0.1, low.min() - 0.02)), 1.02))
    if threshold is not None:
        _threshold(ax, threshold, interval_of, color, (fine[0], fine[-1]))
    first = "chance" not in ax.get_legend_handles_labels()[1]
    ax.axhline(chance, color="black", linestyle=":", linewidth=0.8, label="chance" if first else None)
    ax.set(xlabel=quantity, ylabel="proportion correct")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def _threshold(ax: Axes, threshold: Any, interval_of: str, color: Any, limits: tuple[float, float]) -> None:
    estimate, low, high = (float(value) for value in threshold)
    left, right = max(low, limits[0]), min(high, limits[1])
    ax.axvspan(left, right, color=color, alpha=0.15, linewidth=0, label=interval_of)
    if limits[0] < estimate < limits[1]:
        ax.axvline(estimate, color=color, linewidth=0.8)
    y = 0.03
    for is_open, at, arrow in ((low < limits[0], 0.0, "◂"), (high > limits[1], 1.0, "▸")):
        if is_open:  # DejaVu, matplotlib's own font, has these arrows
            ax.text(at, y, arrow, transform=ax.transAxes, color=color, ha="left" if at == 0 else "right", fontsize=11)
