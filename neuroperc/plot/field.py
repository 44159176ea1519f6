"""What the visual field looks like to the foveation core: pooling windows, and the cortical image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from .._check import check
from ..foveation import LogPolar, PoolingWindows
from .images import degree_axes, mark_fixation, pixels, show_image
from .look import COLORS, axes

__all__ = ["cortex", "windows"]

_WINDOWS_PER_BATCH = 16


def windows(
    pooling: PoolingWindows,
    *,
    image: Any = None,
    fixation_deg: Any = None,
    color: str = COLORS["orange"],
    linewidth_pt: float = 0.7,
    ax: Axes | None = None,
) -> Axes:
    """Draw the contour of every pooling window at half its maximum, over a picture.

    Parameters
    ----------
    pooling
        The windows.
    image
        (1 or 3, h, w) or (h, w) in [0, 1] linear light, drawn beneath.
    fixation_deg
        Gaze (x, y); default the windows' own.
    color, linewidth_pt
        Of the contours.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes
        In pixels, labelled in degrees.

    Raises
    ------
    ValueError
        When the picture is not as large as the windows' display.

    References
    ----------
    Freeman & Simoncelli 2011, Figure 1: windows are drawn where they fall to half their maximum, where neighbours of
    the raised-cosine kind touch.

    Examples
    --------
    >>> from neuroperc.display import Display
    >>> display = Display.from_px_per_deg(4, resolution_px=(48, 64))
    >>> windows(PoolingWindows(display, scaling=1.0)).get_ylabel()
    'y (deg)'
    """
    display = pooling.display
    gaze = _gaze(pooling, fixation_deg)
    height, width = display.resolution_px
    if image is None:
        ax = axes(ax, width_in=4, height_in=4 * height / width + 0.5)
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
        degree_axes(ax, display)
    else:
        ax = show_image(image, display=display, ax=ax)
    maps = _window_maps(pooling, gaze)
    half = max(float(window.max()) for _, _, window in maps) / 2
    for top, left, window in maps:
        if window.max() > half:
            rows, columns = np.arange(window.shape[0]) + top, np.arange(window.shape[1]) + left
            ax.contour(columns, rows, window, levels=[half], colors=[color], linewidths=[linewidth_pt])
    return mark_fixation(gaze, display, ax=ax)


def _gaze(module: Any, fixation_deg: Any) -> np.ndarray:
    own = module.fixation_deg if fixation_deg is None else fixation_deg
    gaze = np.asarray(own.detach().cpu() if hasattr(own, "detach") else own, dtype=float)
    check(gaze.shape == (2,), "fixation_deg", "one gaze (x, y)", gaze.shape)
    return gaze


def _window_maps(pooling: PoolingWindows, gaze: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Return (top row, left column, values) of every window that reaches the picture, cut to where it is above 0."""
    maps = []
    ones = torch.eye(pooling.n_windows)
    for start in range(0, pooling.n_windows, _WINDOWS_PER_BATCH):
        # One window a channel: unpool of a one at window i is w_i itself.
        batch = pooling.unpool(ones[None, start : start + _WINDOWS_PER_BATCH], fixation_deg=torch.as_tensor(gaze))[0]
        for window in batch.numpy():
            rows, columns = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
            if rows.size:
                # One pixel more on each side, so that contours close.
                top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
                maps.append((int(top), int(left), window[top : rows[-1] + 2, left : columns[-1] + 2]))
    return maps


def cortex(image: Any, log_polar: LogPolar, *, ax: Axes | None = None) -> Axes:
    """Draw a cortical image: eccentricity to the right as cortex spaces it, polar angle upwards.

    Parameters
    ----------
    image
        (1 or 3, n_rings, n_angles) linear light, one item of what `log_polar` returned.
    log_polar
        The module that made it.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When the image does not have the module's rings and angles.

    Examples
    --------
    >>> from neuroperc.display import Display
    >>> sampler = LogPolar(Display.from_px_per_deg(4, resolution_px=(48, 64)))
    >>> cortex(sampler(torch.rand(1, 3, 48, 64))[0], sampler).get_xlabel()
    'eccentricity (deg), as cortex spaces it'
    """
    shown = pixels(image)
    size = (log_polar.n_rings, log_polar.n_angles)
    check(shown.shape[:2] == size, "image", f"of {size[0]} rings and {size[1]} angles", shown.shape[:2])
    ax = axes(ax, width_in=3.6, height_in=min(3.6 * size[1] / size[0], 8) + 0.6)
    ax.imshow(np.swapaxes(shown, 0, 1), origin="lower", vmin=0, vmax=1, cmap="gray", aspect="equal")
    ticks = [e for e in (0, 0.5, 1, 2, 5, 10, 20, 40, 80) if e <= log_polar.max_eccentricity_deg]
    rings = [math.log1p(e / log_polar.a_deg) / log_polar.step for e in ticks]
    # Neighbouring labels need room: drop a tick that lies closer than a tenth of the axis to the one before.
    kept = [i for i, ring in enumerate(rings) if i == 0 or ring - rings[i - 1] > 0.07 * size[0]]
    ax.set_xticks([rings[i] for i in kept], [f"{ticks[i]:g}" for i in kept])
    quarter = size[1] / 4
    names = ["0\nright", "90\nup", "180\nleft", "270\ndown"]
    ax.set_yticks([i * quarter for i in range(4)], names)
    ax.set(xlabel="eccentricity (deg), as cortex spaces it", ylabel="angle around the gaze (deg)")
    ax.spines[["left", "right", "top", "bottom"]].set_visible(False)
    return ax
