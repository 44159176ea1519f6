"""A target, its metamers, the windows they match in and what is left of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .._check import check
from ..foveation import PoolingWindows
from .field import windows as draw_windows
from .images import degree_axes, mark_fixation, show_image
from .look import figure, style

__all__ = ["metamer_sheet"]


def metamer_sheet(
    target: Any,
    metamers: Sequence[Any],
    *,
    windows: PoolingWindows,
    residual: Any,
    titles: Sequence[str] = (),
    residual_label: str = "change of mean light in a window (%)",
) -> Figure:
    """Draw the target, its metamers, the windows over the target, and a map of residuals.

    Parameters
    ----------
    target
        (1 or 3, h, w) in [0, 1] linear light.
    metamers
        One or more of the same shape.
    windows
        Where the averages are taken.
    residual
        (h, w), for each pixel what is left in the windows that see it; NaN where none does.
    titles
        One a metamer.
    residual_label
        What the map shows, with its unit.

    Returns
    -------
    matplotlib.figure.Figure
        Pictures on axes in degrees, the gaze marked.

    Raises
    ------
    ValueError
        Without a metamer, or when there is not a title for each.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.display import Display
    >>> from neuroperc.foveation import PoolingWindows
    >>> pooling = PoolingWindows(Display.from_px_per_deg(4, resolution_px=(48, 64)), 1.0)
    >>> grey = torch.full((1, 48, 64), 0.2)
    >>> len(metamer_sheet(grey, [grey], windows=pooling, residual=torch.zeros(48, 64)).axes)
    5
    """
    check(len(metamers) > 0, "metamers", "at least one picture", "none")
    titles = titles or [f"metamer {i + 1}" for i in range(len(metamers))]
    check(len(titles) == len(metamers), "titles", f"{len(metamers)}, one a metamer", len(titles))
    display, gaze = windows.display, windows.fixation_deg
    n_columns = 2 if len(metamers) == 1 else 3
    n_rows = -(-(len(metamers) + 3) // n_columns)
    height, width = display.resolution_px
    with style():
        canvas = figure(n_rows, n_columns, width_in=4.2, height_in=4.2 * height / width + 0.6)
        axes = iter(canvas.axes)
        show_image(target, display=display, fixation_deg=gaze, title="target", ax=next(axes))
        for picture, title in zip(metamers, titles, strict=True):
            show_image(picture, display=display, fixation_deg=gaze, title=title, ax=next(axes))
        draw_windows(windows, image=target, ax=next(axes)).set_title("windows at half their maximum", loc="left")
        ax = next(axes)
        values = np.asarray(residual, dtype=float)
        shown = ax.imshow(values, cmap="magma", vmin=0, vmax=max(float(np.nanmax(values, initial=0)), 1e-6))
        degree_axes(ax, display)
        mark_fixation(gaze, display, ax=ax)
        ax.set_title("what is left", loc="left")
        canvas.colorbar(shown, ax=ax, shrink=0.75, label=residual_label)
        for unused in axes:
            unused.set_axis_off()
        canvas.set_layout_engine("constrained")
    return canvas
