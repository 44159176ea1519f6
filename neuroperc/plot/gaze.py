"""Where the eye went."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._check import check, finite
from ..display import Display
from .images import degree_axes, show_image
from .look import COLORS, axes

__all__ = ["outline", "scanpath"]


def scanpath(
    points_deg: Any,
    display: Display,
    *,
    image: Any = None,
    duration_s: Any = None,
    label: str = "",
    color: str = COLORS["orange"],
    ax: Axes | None = None,
) -> Axes:
    """Draw fixations in order, numbered from 0 (the one present at onset), joined by saccades.

    Parameters
    ----------
    points_deg
        (n, 2) positions (x, y) in degrees, y up.
    display
        Geometry of the screen.
    image
        Picture under the scanpath.
    duration_s
        (n,) fixation durations in seconds; a disc's area is proportional to them.
    label
        Name of this scanpath.
    color
        Of discs and lines.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When points are not (n, 2), not finite, or durations do not match.

    Examples
    --------
    >>> from neuroperc.display import Display
    >>> display = Display.from_px_per_deg(8, resolution_px=(32, 48))
    >>> len(scanpath([(0, 0), (2, 1)], display).texts)
    2
    """
    points = np.asarray(points_deg, dtype=float)
    check(points.ndim == 2 and points.shape[1] == 2 and len(points) > 0, "points_deg", "(n, 2)", points.shape)
    finite("points_deg", points)
    if image is not None:
        ax = show_image(image, display=display, ax=ax)
    elif ax is None:
        ax = axes(ax)
        height, width = display.resolution_px
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
        degree_axes(ax, display)
    size_pt2: Any = 110.0
    if duration_s is not None:
        duration = np.asarray(duration_s, dtype=float)
        check(duration.shape == (len(points),), "duration_s", f"{len(points)} durations", duration.shape)
        check(bool((duration > 0).all()), "duration_s", "above 0 seconds", float(duration.min()))
        size_pt2 = 110.0 * duration / duration.mean()
    x, y = display.to_px(points).T
    ax.plot(x, y, "-", color=color, linewidth=1.4, label=label or None)
    ax.scatter(x, y, s=size_pt2, color=color, edgecolor="white", linewidth=0.8, zorder=3)
    for order, (column, row) in enumerate(zip(x, y, strict=True)):
        ax.text(column, row, str(order), ha="center", va="center", fontsize=7, zorder=4)
    if label:
        ax.legend()
    return ax


def outline(box_deg: Any, display: Display, *, ax: Axes, label: str = "", color: str = COLORS["vermilion"]) -> Axes:
    """Draw a box, such as a target's, on a picture that `show_image` or `scanpath` has drawn.

    Parameters
    ----------
    box_deg
        x and y of its centre (y up), width, height.
    display
        Geometry of the picture.
    ax
        Axes to draw into.
    label
        Name for the legend.
    color
        Of the line.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When the box is not four finite numbers.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(32, 48))
    >>> ax = scanpath([(0, 0), (2, 1)], display)
    >>> len(outline((2, 1, 1, 1), display, ax=ax).lines)
    2
    """
    box = np.asarray(box_deg, dtype=float)
    check(box.shape == (4,), "box_deg", "x, y, width and height", box.shape)
    finite("box_deg", box)
    x, y, width, height = box
    corners = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1)]) * (width / 2, height / 2) + (x, y)
    columns, rows = display.to_px(corners).T
    ax.plot(columns, rows, "--", color=color, linewidth=1.2, label=label or None)
    if label:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)  # off the picture
    return ax
