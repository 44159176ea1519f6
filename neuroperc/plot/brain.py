"""Brains: flat maps with outlines of regions, and glass brains (maximum projections)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .._check import check, integer
from ..decoding import FlatBrain
from ._projection import Projections, project
from ._raster import Raster, rasterize
from .look import COLORS, axes, figure

__all__ = ["flat_map", "glass_brain"]

_MARGIN = 0.12  # around the regions in focus, of their extent
_TEXT_PT = 7.0


def flat_map(
    values: Any,
    brain: FlatBrain,
    *,
    quantity: str = "",
    unit: str = "",
    limits: tuple[float, float] | None = None,
    cmap: str | Colormap | None = None,
    regions: Sequence[str] | None = None,
    focus: Sequence[str] | None = None,
    colors: Mapping[str, str] | None = None,
    height_px: int = 1024,
    ax: Axes | None = None,
) -> Axes:
    """Draw a map of cortex unfolded, over its folds, with outlines and names of regions.

    Parameters
    ----------
    values
        (vertex,) numbers, left hemisphere first; NaN shows the folds. Or (vertex,) of names, ``""`` for none, each in
        its colour.
    brain
        As `read_flat_brain` returns it. How its pixels lie in its triangles is kept for the next map.
    quantity, unit
        What the numbers are, printed at the colour bar: ``"noise ceiling"``, ``"%"``.
    limits
        Of the colours; None takes the 1st and 99th percentile, about 0 when numbers have both signs.
    cmap
        None takes one for numbers of one sign, or of both.
    regions
        Whose outlines are drawn; None draws all.
    focus
        Regions that fill the picture; None shows both hemispheres whole.
    colors
        Name to colour, for names; None takes the house's in turn.
    height_px
        Of the whole map.
    ax
        Axes to draw into; None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When values and vertices differ in number, nothing is there to show, or a region has no outline.

    Examples
    --------
    >>> from neuroperc.decoding import FlatBrain
    >>> square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    >>> flat = FlatBrain(square, np.array([[0, 1, 2], [0, 2, 3]]), 4, {"V1": (square[[0, 1, 2, 0]],)})
    >>> ax = flat_map([0.1, 0.2, 0.3, 0.4], flat, quantity="r", height_px=50)
    >>> [text.get_text() for text in ax.texts if text.get_text()]
    ['1 mm', 'L', 'V1']
    """
    shown = np.asarray(values)
    n = len(brain.points_mm)
    check(shown.shape == (n,), "values", f"({n},), one a vertex", f"shape {shown.shape}", "Use to_vertices.")
    strange = sorted({*(regions or ()), *(focus or ())} - set(brain.outlines))
    check(not strange, "regions and focus", f"among the outlines {sorted(brain.outlines)}", strange)
    raster = rasterize(brain, integer("height_px", height_px))
    window = _window(brain, raster, focus)
    width = 5.4 if focus else 7.2
    ax = axes(ax, width_in=width, height_in=width * (window[3] - window[2]) / (window[1] - window[0]) + 0.6)
    picture = _underlay(brain, raster)
    if shown.dtype.kind in "UO":
        picture = _named(shown.astype(str), raster, picture, colors, ax)
        scale = None
    else:
        picture, scale = _numbered(shown.astype(float), raster, picture, limits, cmap)
    ax.imshow(picture, origin="lower", extent=raster.extent_mm, interpolation="antialiased")
    names = list(brain.outlines) if regions is None else list(regions)
    _draw_outlines(brain, raster, names, ax)
    _frame(brain, window, ax)
    _write_names(brain, raster, names, ax)
    if scale is not None:
        _color_bar(scale, quantity, unit, ax)
    return ax


def _window(brain: FlatBrain, raster: Raster, focus: Sequence[str] | None) -> tuple[float, float, float, float]:
    """Return left, right, bottom, top of what is shown."""
    if not focus:
        return raster.extent_mm
    points = np.concatenate([line for name in focus for line in brain.outlines[name]])
    low, high = points.min(axis=0), points.max(axis=0)
    pad = _MARGIN * float((high - low).max())
    return (float(low[0]) - pad, float(high[0]) + pad, float(low[1]) - pad, float(high[1]) + pad)


def _underlay(brain: FlatBrain, raster: Raster) -> np.ndarray:
    """Return (height, width, 4): sulci dark, gyri light, nothing outside."""
    grey = np.full(raster.shape, 0.72)
    if brain.curvature is not None:
        spread = np.nanpercentile(np.abs(brain.curvature), 80) or 1.0
        grey = 0.66 - 0.16 * np.tanh(2 * np.nan_to_num(raster.picture(brain.curvature)) / spread)
    return np.stack([grey, grey, grey, raster.covered], axis=-1)


def _numbered(
    values: np.ndarray, raster: Raster, under: np.ndarray, limits: Any, cmap: Any
) -> tuple[np.ndarray, mpl.cm.ScalarMappable]:
    picture = raster.picture(values)
    there = np.isfinite(picture)
    check(there.any(), "values", "a number somewhere on the map", "NaN at every pixel")
    scale = _scale(values[np.isfinite(values)], limits, cmap)
    under[there] = scale.to_rgba(picture[there])
    return under, scale


def _scale(values: np.ndarray, limits: tuple[float, float] | None, cmap: Any) -> mpl.cm.ScalarMappable:
    """Return colours for numbers: two-sided about 0 when both signs matter."""
    low, high = np.percentile(values, [1, 99]) if limits is None else limits
    both = low < 0 < high and min(-low, high) > 0.05 * max(-low, high)
    if limits is None:
        top = max(-low, high)
        low, high = (-top, top) if both else (min(low, 0) if low > -0.05 * top else low, high)
        high = high if high > low else low + 1
    check(low < high, "limits", "two numbers, the smaller first", limits)
    chosen = cmap or ("RdBu_r" if both else "inferno")
    return mpl.cm.ScalarMappable(Normalize(low, high), chosen)


def _named(values: np.ndarray, raster: Raster, under: np.ndarray, colors: Any, ax: Axes) -> np.ndarray:
    every, code = np.unique(values, return_inverse=True)
    names = [str(n) for n in every if n]
    check(names, "values", "a name somewhere", 'only ""')
    chosen = _colors(names) if colors is None else dict(colors)
    missing = [n for n in names if n not in chosen]
    check(not missing, "colors", "given for every name", f"none for {missing}")
    here = raster.fill(code[raster.nearest], outside=-1)
    for number, name in enumerate(every):
        if name:
            mask = here == number
            under[mask, :3] = 0.75 * np.array(to_rgb(chosen[str(name)])) + 0.25 * under[mask, :3]
    handles = [Patch(color=chosen[n], label=n) for n in names]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=min(len(names), 10), fontsize=7,
              handlelength=1.0, columnspacing=1.0, frameon=False)  # fmt: skip
    return under


def _colors(names: list[str]) -> dict[str, Any]:
    """Return the house's colours, or as many different ones as there are names."""
    if len(names) <= len(COLORS):
        return dict(zip(names, COLORS.values(), strict=False))
    many = mpl.colormaps["tab20" if len(names) <= 20 else "gist_rainbow"]
    step = 20 if len(names) <= 20 else len(names)
    return {n: many(k / step + 0.5 / step) for k, n in enumerate(names)}


def _draw_outlines(brain: FlatBrain, raster: Raster, names: Sequence[str], ax: Axes) -> None:
    around = [patheffects.withStroke(linewidth=2.2, foreground="black")]
    for name in names:
        for line in brain.outlines[name]:
            fine = _resampled(line, raster.step_mm)
            seen = np.where(raster.covers(fine)[:, None], fine, np.nan)
            ax.plot(*seen.T, color="white", linewidth=1.0, path_effects=around, solid_joinstyle="round")


def _write_names(brain: FlatBrain, raster: Raster, names: Sequence[str], ax: Axes) -> None:
    """Write each region's name inside it, or beside it, where no other name stands; leave it out elsewhere."""
    ax.apply_aspect()
    width_pt = 72 * ax.get_position().width * ax.get_figure(root=True).get_figwidth()  # type: ignore[union-attr]
    pt_mm = (ax.get_xlim()[1] - ax.get_xlim()[0]) / width_pt
    taken = np.zeros((0, 4))
    around = [patheffects.withStroke(linewidth=1.6, foreground="black")]
    for name in names:
        half = np.array([0.33 * len(name) * _TEXT_PT, 0.6 * _TEXT_PT]) * pt_mm
        for line in brain.outlines[name]:
            places = _places(line, half)
            places = places[raster.covers(places)]
            boxes = np.concatenate([places - half, places + half], axis=1)
            apart = (boxes[:, None, :2] >= taken[:, 2:]) | (boxes[:, None, 2:] <= taken[:, :2])
            free = np.flatnonzero(np.all(np.any(apart, axis=2), axis=1))
            if free.size:
                taken = np.concatenate([taken, boxes[free[:1]]])
                x, y = places[free[0]]
                ax.text(x, y, name, color="white", fontsize=_TEXT_PT, ha="center", va="center",
                        clip_on=True, path_effects=around)  # fmt: skip


def _places(line: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return points where a name of a given half size may stand: inside at several heights, then around."""
    low, high = line.min(axis=0), line.max(axis=0)
    middle = []
    for share in (0.5, 0.35, 0.65, 0.2, 0.8):
        y = low[1] + share * (high[1] - low[1])
        a, b = line[:, 1], np.roll(line[:, 1], -1)
        crossed = np.flatnonzero((a > y) != (b > y))
        at = (y - a[crossed]) / (b - a)[crossed]
        x = np.sort(line[crossed, 0] + at * (np.roll(line[:, 0], -1) - line[:, 0])[crossed])
        widths = x[1::2] - x[0::2]
        best = widths.argmax() if widths.size else 0
        middle.append([x[0::2][best] + widths[best] / 2, y] if widths.size else [*((low + high) / 2)])
    center = (low + high) / 2
    gap = half * 1.2
    beside = [[low[0] - gap[0], center[1]], [high[0] + gap[0], center[1]], [center[0], low[1] - gap[1]],
              [center[0], high[1] + gap[1]]]  # fmt: skip
    return np.array(middle + beside)


def _resampled(line: np.ndarray, step_mm: float) -> np.ndarray:
    """Return the line with a point a pixel, so that it ends where the surface does."""
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    at = np.linspace(0, along[-1], max(2, int(along[-1] / step_mm)))
    return np.stack([np.interp(at, along, line[:, k]) for k in (0, 1)], axis=1)


def _frame(brain: FlatBrain, window: tuple[float, float, float, float], ax: Axes) -> None:
    """Set the window, draw a scale bar, and say which hemisphere is which."""
    left, right, bottom, top = window
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set_axis_off()
    bar = max((b for b in (2, 5, 10, 20, 50, 100) if b <= (right - left) / 6), default=1)
    x, y = left + 0.02 * (right - left), bottom + 0.02 * (top - bottom)
    ax.plot([x, x + bar], [y, y], color="black", linewidth=2, solid_capstyle="butt")
    ax.text(x + bar / 2, y + 0.012 * (top - bottom), f"{bar} mm", fontsize=7, ha="center", va="bottom")
    sides = [("L", 0.01, "left", brain.n_left > 0), ("R", 0.99, "right", brain.n_left < len(brain.points_mm))]
    for name, place, align, there in sides:
        if there:
            ax.text(place, 0.99, name, transform=ax.transAxes, fontsize=10, fontweight="bold", ha=align, va="top")


def _color_bar(scale: mpl.cm.ScalarMappable, quantity: str, unit: str, ax: Axes) -> None:
    made: Any = ax.get_figure()
    bar = made.colorbar(scale, ax=ax, orientation="horizontal", fraction=0.035, pad=0.02, aspect=30, shrink=0.4)
    bar.set_label(_caption(quantity, unit), fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)


def _caption(quantity: str, unit: str) -> str:
    return f"{quantity} ({unit})" if quantity and unit else quantity or unit


def glass_brain(
    values: Any,
    *,
    like: xr.DataArray,
    anatomy: tuple[Any, Any] | None = None,
    quantity: str = "",
    unit: str = "",
    limits: tuple[float, float] | None = None,
    cmap: str | Colormap | None = None,
) -> Figure:
    """Draw the strongest value along each line of sight, from the side, from behind and from above, in millimetres.

    Parameters
    ----------
    values
        (neuroid,), NaN for nothing.
    like
        Responses of the same voxels, as `read_betas` returns them. Voxels may lie on an oblique grid.
    anatomy
        ``(volume, affine)`` as `read_map` returns them, on any grid: its voxels above 0 are drawn as the brain.
    quantity, unit, limits, cmap
        As in `flat_map`. "Strongest" is farthest from 0 when numbers have both signs, else largest.

    Returns
    -------
    matplotlib.figure.Figure
        Sagittal, coronal and axial Axes and a colour bar; left is left.

    Raises
    ------
    ValueError
        When values and voxels differ in number, or all are NaN.

    Examples
    --------
    >>> from neuroperc.data import make_responses
    >>> one = make_responses([[1.0, 2.0]], stimulus_id=["a"], i=[0, 3], j=0, k=0)
    >>> one.attrs |= {"volume_shape": [4, 1, 1], "affine": np.diag([2.0, 2.0, 2.0, 1.0]).ravel().tolist()}
    >>> [ax.get_xlabel() for ax in glass_brain([0.1, 0.4], like=one, quantity="r").axes[:3]]
    ['y (mm)', 'x (mm)', 'x (mm)']
    """
    numbers = np.asarray(values, dtype=float)
    n = like.sizes["neuroid"]
    check(numbers.shape == (n,), "values", f"({n},), one a voxel", f"shape {numbers.shape}")
    check(np.isfinite(numbers).any(), "values", "a number at one voxel or more", "NaN at every voxel")
    scale = _scale(numbers[np.isfinite(numbers)], limits, cmap)
    low, high = scale.get_clim()
    found = project(numbers, like, anatomy, both_signs=low is not None and low < 0 < (high or 0))
    width = [found.size[a] * found.step_mm for a in (1, 0, 0)]
    height = max(found.size[1:]) * found.step_mm
    made = figure(1, 3, width_in=2.6, height_in=2.1 * 3 * height / sum(width) + 0.6)
    cast(Any, made.axes[0]).get_gridspec().set_width_ratios(width)
    for ax, view in zip(made.axes, ("sagittal", "coronal", "axial"), strict=True):
        _draw_view(found, view, scale, ax)
    bar = made.colorbar(scale, ax=made.axes, fraction=0.02, pad=0.01, aspect=25, shrink=0.7)
    bar.set_label(_caption(quantity, unit), fontsize=8)
    bar.outline.set_visible(False)
    return made


def _draw_view(found: Projections, view: str, scale: mpl.cm.ScalarMappable, ax: Axes) -> None:
    across, up = {"sagittal": (1, 2), "coronal": (0, 2), "axial": (0, 1)}[view]
    extent = found.extent_mm(across, up)
    depth = found.depth[view]
    if depth is not None:
        ax.contourf(*found.centers_mm(across, up), depth.T, levels=[0.5, np.inf], colors=["#F1F1F1"])
        levels = [0.5, *(np.array([0.4, 0.7, 0.9]) * depth.max())]
        ax.contour(*found.centers_mm(across, up), depth.T, levels=sorted({round(v, 3) for v in levels}),
                   colors=["#555555", "#BBBBBB", "#CCCCCC", "#DDDDDD"], linewidths=[1.0, 0.5, 0.5, 0.5])  # fmt: skip
    ax.imshow(np.ma.masked_invalid(found.strongest[view].T), origin="lower", extent=extent, cmap=scale.cmap,
              norm=cast(Any, scale.norm), interpolation="nearest", zorder=3)  # fmt: skip
    ax.set(xlabel=f"{'xyz'[across]} (mm)", ylabel=f"{'xyz'[up]} (mm)", title=view, aspect="equal",
           xlim=extent[:2], ylim=extent[2:])  # fmt: skip
    if view != "sagittal":
        for name, place, align in (("L", 0.02, "left"), ("R", 0.98, "right")):
            ax.text(place, 0.98, name, transform=ax.transAxes, ha=align, va="top", fontsize=9, fontweight="bold")
