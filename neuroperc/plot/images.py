"""Pictures on axes in degrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._check import check, finite, one_of
from ..color import linear_to_srgb
from ..display import Display
from .look import axes

__all__ = ["degree_axes", "mark_fixation", "pixels", "show_image"]


def pixels(image: Any, encoding: str = "linear") -> np.ndarray:
    """Return (h, w, 3) or (h, w) sRGB values in [0, 1] of a (c, h, w) or (h, w) picture, NumPy or torch."""
    one_of("encoding", encoding, ("linear", "srgb"))
    array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    legal = array.ndim == 2 or (array.ndim == 3 and array.shape[0] in (1, 3))
    check(legal, "image", "one picture, (1 or 3, h, w) or (h, w)", array.shape, "Index the batch first.")
    check(array.dtype.kind == "f", "image", "floating point in [0, 1]", array.dtype, "Divide 8-bit codes by 255.")
    finite("image", array)
    array = np.clip(array.astype(np.float64), 0, 1)
    array = linear_to_srgb(array) if encoding == "linear" else array
    if array.ndim == 2:
        return array
    return array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)


def degree_axes(ax: Axes, display: Display, *, step_deg: float | None = None) -> None:
    """Label pixel axes in degrees; right for flat screens too, where degrees are not evenly spaced."""
    height, width = display.extent_deg
    if step_deg is None:
        wanted = max(height, width) / 6
        step_deg = min((0.5, 1, 2, 5, 10, 20, 30), key=lambda step: abs(np.log(step / wanted)))
    for letter, column, extent in (("x", 0, width), ("y", 1, height)):
        n_steps = int(extent / 2 / step_deg)
        ticks_deg = np.arange(-n_steps, n_steps + 1) * step_deg
        points = np.zeros((len(ticks_deg), 2))
        points[:, column] = ticks_deg
        ticks_px = display.to_px(points)[:, column]
        labels = [f"{tick:g}" for tick in ticks_deg]
        ax.set(**{f"{letter}ticks": ticks_px, f"{letter}ticklabels": labels, f"{letter}label": f"{letter} (deg)"})
    ax.spines[["left", "right", "top", "bottom"]].set_visible(False)


def show_image(
    image: Any,
    *,
    display: Display | None = None,
    fixation_deg: Any = None,
    encoding: str = "linear",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a picture; with a display, on axes in degrees.

    Parameters
    ----------
    image
        (1 or 3, h, w) or (h, w) in [0, 1], NumPy or torch; values outside are clipped for the screen.
    display
        Geometry of the picture, which fills it; without it the axes are hidden.
    fixation_deg
        (x, y) to mark with a cross.
    encoding
        "linear" light or "srgb" code values.
    title
        Text above the picture.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes
        Its data coordinates are pixels; ``display.to_px`` gives those of a point in degrees.

    Raises
    ------
    ValueError
        When the picture is not one picture, or does not have the display's size.

    Examples
    --------
    >>> from neuroperc.display import Display
    >>> display = Display.from_px_per_deg(8, resolution_px=(32, 48))
    >>> show_image(np.full((3, 32, 48), 0.5), display=display).get_xlabel()
    'x (deg)'
    """
    shown = pixels(image, encoding)
    height, width = shown.shape[:2]
    ax = axes(ax, width_in=4, height_in=4 * height / width + 0.5)
    ax.imshow(shown, vmin=0, vmax=1, cmap="gray")
    ax.set_title(title, loc="left")
    if display is None:
        check(fixation_deg is None, "fixation_deg", "left out without a display", fixation_deg)
        ax.set_axis_off()
        return ax
    check(
        (height, width) == display.resolution_px,
        "image",
        f"as large as the display, {display.resolution_px}",
        (height, width),
    )
    degree_axes(ax, display)
    return ax if fixation_deg is None else mark_fixation(fixation_deg, display, ax=ax)


def mark_fixation(fixation_deg: Any, display: Display, *, ax: Axes) -> Axes:
    """Mark a gaze (x, y) in degrees with a cross that shows on dark and on light.

    Examples
    --------
    >>> from neuroperc.display import Display
    >>> display = Display.from_px_per_deg(8, resolution_px=(32, 48))
    >>> len(mark_fixation((1, -1), display, ax=show_image(np.full((32, 48), 0.5), display=display)).lines)
    2
    """
    x, y = display.to_px(np.asarray(fixation_deg, dtype=float))
    ax.plot(x, y, "+", color="white", markersize=11, markeredgewidth=3.2)
    ax.plot(x, y, "+", color="#D00000", markersize=10, markeredgewidth=1.6)
    return ax
