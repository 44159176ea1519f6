"""How well layers predict neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._check import check
from .look import axes

__all__ = ["layer_profile"]


def layer_profile(
    layers: Any,
    score: Any,
    *,
    interval: Any = None,
    interval_of: str = "",
    ceiling: tuple[float, float] | None = None,
    ceiling_of: str = "",
    quantity: str = "r² / reliability",
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the scores of a model's layers in their order, with the band of what any model can reach.

    Parameters
    ----------
    layers
        (n,) names, first to last.
    score
        (n,) one a layer.
    interval
        (n, 2) lower and upper limits, drawn as bars.
    interval_of
        What the bars are; required with `interval`, and printed in the legend.
    ceiling
        (low, high) of the band.
    ceiling_of
        What the band is; required with `ceiling`, and printed in the legend.
    quantity
        Name of the vertical axis.
    label
        Name of this model.
    ax
        Axes to draw into; call again with it for a second model.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, or bars or band do not say what they are.

    Examples
    --------
    >>> layer_profile(["conv1", "conv2"], [0.2, 0.4]).get_ylabel()
    'r² / reliability'
    """
    names, y = [str(name) for name in layers], np.asarray(score, dtype=float)
    check(y.shape == (len(names),) and len(names) > 0, "score", f"{len(names)} values, one a layer", y.shape)
    check(interval is None or interval_of, "interval_of", "given with an interval", interval_of, "Say what it is.")
    check(ceiling is None or ceiling_of, "ceiling_of", "given with a ceiling", ceiling_of, "Say what it is.")
    ax, x, bars = axes(ax), np.arange(len(names)), None
    if ceiling is not None:
        ax.axhspan(*ceiling, color="black", alpha=0.12, linewidth=0, label=ceiling_of)
    if interval is not None:
        limits = np.asarray(interval, dtype=float)
        check(limits.shape == (len(names), 2), "interval", f"of shape ({len(names)}, 2)", limits.shape)
        bars = np.clip(np.stack([y - limits[:, 0], limits[:, 1] - y]), 0, None)
    words = ", ".join(part for part in (label, interval_of) if part)
    ax.errorbar(x, y, bars, fmt="o-", elinewidth=1, capsize=0, label=words or None)
    ax.set_xticks(x, names, rotation=30, ha="right")
    ax.set(ylabel=quantity, ylim=(min(0.0, ax.get_ylim()[0]), None))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return ax
