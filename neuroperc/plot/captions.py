"""What captions of voxels say: words by size, nouns of each region, and what the temperature does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._check import check, finite, positive
from .look import COLORS, axes

__all__ = ["noun_table", "tau_curve", "word_cloud"]

_TURNS = np.linspace(0, 40 * np.pi, 1600)  # places that are tried, on a spiral outwards
_SHRINK = 0.85


def word_cloud(
    words: Sequence[str], weights: Any, *, max_size_pt: float = 26.0, min_size_pt: float = 6.0, ax: Axes | None = None
) -> Axes:
    """Draw words whose area goes with their weight, the heaviest in the middle, none over another.

    Parameters
    ----------
    words
        (word,) what is drawn; the order of equal weights is kept, so that the same input gives the same picture.
    weights
        (word,) above 0, such as shares of captions; the height of a word goes with the square root.
    max_size_pt, min_size_pt
        Size of the heaviest word, before all are shrunk together until they fit; words that would be smaller than the
        least are left out, and the corner says how many.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, a word is empty, or a weight is not above 0.

    Examples
    --------
    >>> [t.get_text() for t in word_cloud(["house", "street"], [0.8, 0.2]).texts]
    ['house', 'street']
    """
    names, weight = [str(w) for w in words], np.asarray(weights, dtype=float)
    check(
        weight.shape == (len(names),) and len(names) > 0, "weights", f"{len(names)} numbers, one a word", weight.shape
    )
    finite("weights", weight)
    check(all(n.strip() for n in names), "words", "of one letter or more each", "an empty one", "Leave it out.")
    check(weight.min() > 0, "weights", "above 0", weight.min(), "Leave out words that are never said.")
    ax = axes(ax)
    ax.set_axis_off()
    size = positive("max_size_pt", max_size_pt) * np.sqrt(weight / weight.max())
    order = np.argsort(-weight, kind="stable")
    least = positive("min_size_pt", min_size_pt)
    placed = _place([names[i] for i in order], size[order], least, ax)
    for (x, y, pt), k in zip(placed, order, strict=False):
        ax.text(x, y, names[k], size=pt, color=COLORS["blue"], ha="center", va="center", transform=ax.transAxes)
    if len(placed) < len(names):
        left = f"{len(names) - len(placed)} rarer words left out"
        ax.text(1, 0, left, size=6, color=COLORS["grey"], ha="right", va="bottom", transform=ax.transAxes)
    return ax


def _place(names: Sequence[str], size: np.ndarray, least: float, ax: Axes) -> list[tuple[float, float, float]]:
    """Return place and size of the words, all shrunk together until they fit or the last would be too small."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    figure = ax.get_figure(root=True)
    if figure is None:
        return []
    spot = ax.get_position()
    whole = np.array([spot.width, spot.height]) * figure.get_size_inches() * 72
    sizes = [TextPath((0, 0), n, size=1, prop=FontProperties()).get_extents().size for n in names]
    scale = 1.0
    while True:
        kept = [(n, s) for n, s in zip(sizes, size * scale, strict=True) if s >= least] or [(sizes[0], least)]
        extent = np.array([[n[0] * s * 1.08 + 3, s * 1.25] for n, s in kept]) / whole
        places = _spiral(extent)
        if places is not None or scale < 0.05:
            found = places if places is not None else np.full((len(kept), 2), 0.5)
            return [(float(x), float(y), float(s)) for (x, y), (_, s) in zip(found, kept, strict=True)]
        scale *= _SHRINK


def _spiral(extent: np.ndarray) -> np.ndarray | None:
    """Return centres in [0, 1] of boxes that do not meet, from the middle outwards; None when they do not fit."""
    tried = 0.5 + 0.5 * (_TURNS / _TURNS[-1])[:, None] * np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1)
    found: list[np.ndarray] = []
    for box in extent:
        free = (tried >= box / 2).all(axis=1) & (tried <= 1 - box / 2).all(axis=1)
        for other, place in zip(extent, found, strict=False):
            free &= (np.abs(tried - place) >= (box + other) / 2).any(axis=1)
        if not free.any():
            return None
        found.append(tried[free.argmax()])
    return np.array(found)


def tau_curve(
    taus: Any, values: Any, *, raw: Any = None, label: str = "", color: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a score of the projection against its temperature, beside what the raw weights score.

    Parameters
    ----------
    taus
        (tau,) temperatures.
    values
        (seed, tau) or (tau,) scores: every seed is a thin line, their mean a thick one.
    raw
        (seed,) or one score of the weights without projection, a dashed line.
    label, color
        Of this curve.
    ax
        Axes to draw into; call again with it for a second curve.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When shapes differ, or a temperature is not above 0.

    Examples
    --------
    >>> tau_curve([0.1, 0.02], [[0.1, 0.5], [0.2, 0.6]], raw=0.6).get_xscale()
    'log'
    """
    t, y = np.asarray(taus, dtype=float), np.atleast_2d(np.asarray(values, dtype=float))
    check(t.ndim == 1 and len(t) > 0 and t.min() > 0, "taus", "temperatures above 0", taus)
    check(y.ndim == 2 and y.shape[1] == len(t), "values", f"(seed, {len(t)})", f"shape {y.shape}")
    ax = axes(ax)
    (line,) = ax.plot(t, y.mean(axis=0), "o-", color=color, label=label or None)
    if len(y) > 1:
        ax.plot(t, y.T, color=line.get_color(), lw=0.5, alpha=0.4)
    if raw is not None:
        ax.axhline(float(np.mean(raw)), color=line.get_color(), ls="--", lw=1)
    ax.set_xscale("log")
    ax.set_xticks(t, [f"1/{1 / v:.3g}" for v in t])
    ax.minorticks_off()
    ax.set_xlabel("temperature (dashed: raw weights)" if raw is not None else "temperature")
    return ax


def noun_table(nouns: pd.DataFrame, *, n_top: int = 5, ax: Axes | None = None) -> Axes:
    """Write the nouns of each region as a table, their shares behind them as bars.

    Parameters
    ----------
    nouns
        As `decoding.nouns_by_region` returns it.
    n_top
        Rows.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When a column is missing or there is no row.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"region": ["PPA"], "noun": ["house"], "rank": [1], "share": [0.7]})
    >>> [t.get_text() for t in noun_table(rows).texts]
    ['house .70']
    """
    missing = [c for c in ("region", "noun", "rank", "share") if c not in nouns]
    check(not missing and len(nouns) > 0, "nouns", "a table with region, noun, rank and share", missing or "no rows")
    ax, regions = axes(ax), list(dict.fromkeys(nouns["region"]))
    shown = nouns[nouns["rank"] <= n_top]
    for row in shown.itertuples():
        x, y = regions.index(row.region), int(row.rank)  # type: ignore[arg-type]
        share = float(row.share)  # type: ignore[arg-type]
        ax.barh(y, 0.9 * share, left=x - 0.45, height=0.8, color=COLORS["sky"], alpha=0.5)
        ax.text(x - 0.42, y, f"{row.noun} {share:.2f}".replace(" 0.", " ."), size=7, va="center")
    ax.set(xlim=(-0.5, len(regions) - 0.5), ylim=(n_top + 0.5, 0.5), ylabel="rank")
    ax.set_xticks(range(len(regions)), regions)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
