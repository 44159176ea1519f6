"""Pixels of other people's files to degrees and back; every reader names its source's convention and converts once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..._check import one_of
from ...display import Display

PixelConvention = Literal["center", "corner", "one_based", "screen_center_up"]
_OFFSET = {"center": 0.0, "corner": -0.5, "one_based": -1.0}


def pixels_to_deg(
    points_px: ArrayLike,
    display: Display,
    *,
    convention: PixelConvention,
    frame_px: tuple[float, float] | None = None,
) -> np.ndarray:
    """Convert a file's pixel positions to degrees.

    Parameters
    ----------
    points_px
        (..., 2) of (x, y) as the file has them; NaN stays NaN.
    display
        The screen.
    convention
        Where the source has its numbers: "center": (0, 0) is the centre of the top-left pixel, y down (EyeLink,
        NumPy); "corner": (0, 0) is the outer corner of that pixel, so its centre is (0.5, 0.5), y down (HTML canvas,
        OpenGL windows, flipped); "one_based": (1, 1) is its centre, y down (MATLAB); "screen_center_up": the screen's
        centre is (0, 0) and y runs up (PsychoPy's "pix").
    frame_px
        (height, width) of the picture of which the positions are pixels, when it fills the display at another
        resolution; default: the display's own.

    Returns
    -------
    ndarray
        (..., 2) float64 of (x, y) in degrees from the display's centre, y up.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(32, resolution_px=(512, 512))
    >>> pixels_to_deg([255.5, 255.5], screen, convention="center").tolist()
    [0.0, 0.0]
    >>> pixels_to_deg([256, 256], screen, convention="corner").tolist()
    [0.0, 0.0]
    >>> bool(screen.on_screen(pixels_to_deg([-0.6, 10], screen, convention="center")))
    False
    """
    points = np.asarray(points_px, dtype=np.float64)
    one_of("convention", convention, (*_OFFSET, "screen_center_up"))
    height, width = display.resolution_px if frame_px is None else frame_px
    scale = np.array([display.resolution_px[1] / width, display.resolution_px[0] / height])
    if convention == "screen_center_up":
        center = np.asarray(display.center_px)
        return np.asarray(display.to_deg(center + points * scale * (1, -1)))
    return np.asarray(display.to_deg((points + _OFFSET[convention] + 0.5) * scale - 0.5))


def deg_to_pixels(
    points_deg: ArrayLike,
    display: Display,
    *,
    convention: PixelConvention,
    frame_px: tuple[float, float] | None = None,
) -> np.ndarray:
    """Convert degrees to a file's pixel positions; the inverse of `pixels_to_deg`, to which it leaves the words.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(32, resolution_px=(512, 512))
    >>> deg_to_pixels([0, 1], screen, convention="one_based").tolist()
    [256.5, 224.5]
    """
    one_of("convention", convention, (*_OFFSET, "screen_center_up"))
    height, width = display.resolution_px if frame_px is None else frame_px
    scale = np.array([display.resolution_px[1] / width, display.resolution_px[0] / height])
    points = np.asarray(display.to_px(np.asarray(points_deg, dtype=np.float64)))
    if convention == "screen_center_up":
        return np.asarray((points - np.asarray(display.center_px)) * (1, -1) / scale)
    return np.asarray((points + 0.5) / scale - 0.5 - _OFFSET[convention])
