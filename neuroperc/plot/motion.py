"""Flow in colour, and tuning to direction on a circle."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.projections.polar import PolarAxes

from .._check import check, finite, positive
from ..display import Display
from .images import degree_axes
from .look import COLORS, axes

__all__ = ["direction_tuning", "flow"]


def flow(
    velocity_deg_s: Any,
    display: Display,
    *,
    max_speed_deg_s: float | None = None,
    title: str = "",
    wheel: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw a field of velocities: hue is direction, saturation is speed; a wheel in the corner says which is which.

    Parameters
    ----------
    velocity_deg_s
        (2, h, w) degrees per second, y up; NaN where there is none (grey).
    display
        Geometry of the field.
    max_speed_deg_s
        Speed of full saturation; default the 99th percentile.
    title
        Title of the axes; with the wheel, the speed of full saturation is added.
    wheel
        Whether to draw the wheel.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When the field is not (2, h, w) of the display's resolution, or nothing in it is finite.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(24, 32))
    >>> flow(np.ones((2, 24, 32)), display, title="made").get_title()
    'made (full colour: 1.4 deg/s)'
    """
    field = np.asarray(velocity_deg_s, dtype=float)
    wanted = (2, *display.resolution_px)
    check(field.shape == wanted, "velocity_deg_s", f"of shape {wanted}", field.shape, "x, then y up.")
    known = np.isfinite(field).all(0)
    check(bool(known.any()), "velocity_deg_s", "finite somewhere", "NaN everywhere")
    speed = np.hypot(*np.where(known, field, 0.0))
    given = np.percentile(speed[known], 99) if max_speed_deg_s is None else positive("max_speed_deg_s", max_speed_deg_s)
    top = float(given)
    ax = axes(ax)
    ax.imshow(np.where(known[..., None], _colors(field, top), 0.6), interpolation="nearest")
    degree_axes(ax, display)
    ax.set_title(f"{title} (full colour: {top:.2g} deg/s)".strip() if wheel else title)
    if wheel:
        _wheel(ax)
    return ax


def _colors(field: np.ndarray, top: float) -> np.ndarray:
    x, y = np.nan_to_num(field)
    hue = np.arctan2(y, x) / (2 * np.pi) % 1.0
    saturation = np.clip(np.hypot(x, y) / max(top, 1e-12), 0.0, 1.0)
    return np.asarray(hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], -1)))


def _wheel(ax: Axes) -> None:
    inset = ax.inset_axes((0.8, 0.02, 0.18, 0.18))
    y, x = np.mgrid[1:-1:64j, -1:1:64j]
    disc = np.hypot(x, y) <= 1
    pixels = np.concatenate([_colors(np.stack([x, y]), 1.0), disc[..., None].astype(float)], -1)
    inset.imshow(pixels)
    inset.set_axis_off()
    inset.set_aspect("equal")


def direction_tuning(
    direction_deg: Any, response: Any, *, labels: Any = None, title: str = "", unit: str = "", ax: Axes | None = None
) -> PolarAxes:
    """Draw responses against direction on a circle, a closed line a unit.

    Parameters
    ----------
    direction_deg
        (n,) directions of motion, counter-clockwise from rightward.
    response
        (n,) or (units, n) responses, 0 or more.
    labels
        Names of the units.
    title
        Title of the axes.
    unit
        What the radius is, below the circle.
    ax
        Axes to draw into; plain axes are replaced by polar ones in the same place.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, a value is not finite or below 0.

    Examples
    --------
    >>> len(direction_tuning([0, 90, 180, 270], [1, 0.5, 0, 0.5]).lines)
    1
    """
    angle, values = np.radians(np.asarray(direction_deg, dtype=float)), np.atleast_2d(np.asarray(response, dtype=float))
    fits = angle.ndim == 1 and values.shape == (len(values), len(angle))
    check(fits, "response", f"(units, {angle.size})", values.shape)
    finite("response", values)
    check(bool((values >= 0).all()), "response", "0 or more, a radius", float(values.min()), "Logarithms need np.exp.")
    order = np.argsort(angle)
    closed = np.append(order, order[0])
    palette = [color for name, color in COLORS.items() if name != "grey"]
    circle = _polar(axes(ax))
    for i, row in enumerate(values):
        name = None if labels is None else str(labels[i])
        circle.plot(angle[closed], row[closed], "-", color=palette[i % len(palette)], label=name)
    circle.set_title(title)
    circle.set_xticks(np.radians([0, 90, 180, 270]))
    circle.set_yticks([])
    circle.set_rmin(0.0)
    circle.set_xlabel(unit)
    if labels is not None:
        circle.legend(loc="lower left", bbox_to_anchor=(0.85, 0.85))
    return circle


def _polar(ax: Axes) -> PolarAxes:
    """Return polar axes in the place of `ax`."""
    if isinstance(ax, PolarAxes):
        return ax
    figure, place = cast(Figure, ax.figure), cast(SubplotSpec, ax.get_subplotspec())
    ax.remove()
    return cast(PolarAxes, figure.add_subplot(place, projection="polar"))
