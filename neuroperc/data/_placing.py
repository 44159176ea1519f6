"""Where a picture lies on the display, how it is fitted to its place, and how it is drawn there.

A picture is a flat rectangle on the monitor: `size_deg` is what it subtends when it is centred on the screen, and its
centre lies at `center_deg`. Both geometries therefore keep its aspect, and moving a picture never stretches it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .._check import check, fail, one_of, pair
from ..display import Display

Fit = Literal["error", "crop", "pad", "resize"]
FITS: tuple[Fit, ...] = ("error", "crop", "pad", "resize")


@dataclass(frozen=True)
class Place:
    """The rectangle that a picture covers, in display pixels: its centre (x, y) and its size (h, w)."""

    center_px: tuple[float, float]
    size_px: tuple[float, float]

    def pitch(self, shape_px: tuple[int, int]) -> tuple[float, float]:
        """Display pixels (vertical, horizontal) that one pixel of the picture covers."""
        return self.size_px[0] / shape_px[0], self.size_px[1] / shape_px[1]


def place_on(display: Display, size_deg: tuple[float, float], center_deg: tuple[float, float]) -> Place:
    """Return where a picture lies on the display's pixel grid."""
    middle = display.to_px((0.0, 0.0))
    corner = display.to_px((size_deg[1] / 2, size_deg[0] / 2))
    half = np.abs(corner - middle)
    x, y = display.to_px(center_deg)
    return Place((float(x), float(y)), (2 * float(half[1]), 2 * float(half[0])))


def to_picture_px(display: Display, place: Place, shape_px: tuple[int, int], points_deg: Any) -> Any:
    """Return the picture's pixel coordinates (..., 2) under monitor points in degrees."""
    points = display.to_px(points_deg)
    vertical, horizontal = place.pitch(shape_px)
    x = (points[..., 0] - place.center_px[0]) / horizontal + (shape_px[1] - 1) / 2
    y = (points[..., 1] - place.center_px[1]) / vertical + (shape_px[0] - 1) / 2
    return torch.stack((x, y), -1) if isinstance(points, Tensor) else np.stack((x, y), -1)


def to_monitor_deg(display: Display, place: Place, shape_px: tuple[int, int], points_px: Any) -> Any:
    """Return the monitor points in degrees (..., 2) of picture pixel coordinates; the inverse of `to_picture_px`."""
    points: Any = points_px if isinstance(points_px, Tensor) else np.asarray(points_px, dtype=np.float64)
    ok = points.ndim >= 1 and points.shape[-1] == 2
    check(ok, "points_px", "of shape (..., 2), (x, y)", f"shape {tuple(points.shape)}")
    vertical, horizontal = place.pitch(shape_px)
    x = (points[..., 0] - (shape_px[1] - 1) / 2) * horizontal + place.center_px[0]
    y = (points[..., 1] - (shape_px[0] - 1) / 2) * vertical + place.center_px[1]
    stacked = torch.stack((x, y), -1) if isinstance(points, Tensor) else np.stack((x, y), -1)
    return display.to_deg(stacked)


def draw(linear: Tensor, display: Display, place: Place, background: Tensor) -> Tensor:
    """Draw linear-light pictures (..., c, h, w) on a canvas of the display's size.

    Parameters
    ----------
    background
        (c,) linear light around the picture.

    Notes
    -----
    A pixel of the canvas is a triangle-weighted mean of the picture pixels around it, as wide as the coarser of the
    two grids; at the rim it mixes with the background by the area covered. A picture whose pixels fall on the
    display's pixels is therefore copied exactly.
    """
    shape = (int(linear.shape[-2]), int(linear.shape[-1]))
    pitches = place.pitch(shape)
    coverage = []
    for axis, (n_out, n_in, pitch, center) in enumerate(
        zip(display.resolution_px, shape, pitches, place.center_px[::-1], strict=True)
    ):
        # Edge of output pixel 0 in picture pixels, edges counted from the picture's top-left corner.
        start, step = (-0.5 - center) / pitch + n_in / 2, 1 / pitch
        linear = resample(linear, axis - 2, n_out, start, step)
        coverage.append(_coverage(n_out, n_in, start, step))
    alpha = torch.as_tensor(np.outer(*coverage), dtype=linear.dtype, device=linear.device)
    ground = background.to(linear)[:, None, None]
    return torch.where(alpha == 1, linear, alpha * linear + (1 - alpha) * ground)


def resample(x: Tensor, axis: int, n_out: int, start: float, step: float) -> Tensor:
    """Resample one axis: output i covers the input from edge `start + i * step` to `start + (i + 1) * step`."""
    n_in = int(x.shape[axis])
    aligned = abs(step - 1) < 1e-9 and abs(start - round(start)) < 1e-6
    if aligned and round(start) == 0 and n_out == n_in:
        return x
    index, weight = _taps(n_out, n_in, float(round(start)) if aligned else start, 1.0 if aligned else step)
    rows = torch.as_tensor(index, device=x.device)
    shape = [1] * x.ndim
    shape[axis] = n_out
    out = torch.zeros((), dtype=x.dtype, device=x.device)
    for tap in range(index.shape[1]):
        scale = torch.as_tensor(weight[:, tap], dtype=x.dtype, device=x.device).reshape(shape)
        out = out + scale * x.index_select(axis, rows[:, tap])
    return out


def _taps(n_out: int, n_in: int, start: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and weights (n_out, taps) of the triangle filter, normalised over the samples that exist."""
    center = start + (np.arange(n_out) + 0.5) * step
    reach = max(step, 1.0)
    first = np.floor(center - reach - 0.5).astype(np.int64) + 1
    # Far outside the picture any sample will do: coverage is nought there.
    index = np.clip(first, -1, n_in)[:, None] + np.arange(math.ceil(2 * reach) + 1)
    weight = np.maximum(0, 1 - np.abs(index + 0.5 - center[:, None]) / reach)
    weight[(index < 0) | (index >= n_in)] = 0
    total = weight.sum(1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    used = (weight > 0).any(0)
    keep = used if used.any() else np.arange(len(used)) == 0
    return np.clip(index[:, keep], 0, n_in - 1), weight[:, keep]


def _coverage(n_out: int, n_in: int, start: float, step: float) -> np.ndarray:
    low = start + np.arange(n_out) * step
    share = (np.minimum(low + step, n_in) - np.maximum(low, 0)) / step
    share = np.clip(share, 0, 1)
    return np.where(share > 1 - 1e-6, 1.0, np.where(share < 1e-6, 0.0, share))


@dataclass(frozen=True)
class FitPlan:
    """What is done to a picture's pixels before it is shown: nothing, a crop, a border, or a resampling.

    Parameters
    ----------
    shape_px
        (h, w) afterwards.
    box
        Edges (top, left, height, width) of the source that fill it, in source pixels; it reaches outside to pad.
    how
        "error" when nothing changes.
    """

    shape_px: tuple[int, int]
    box: tuple[float, float, float, float]
    how: Fit

    def apply(self, linear: Tensor, background: Tensor | None) -> Tensor:
        """Return the fitted picture (..., c, h, w) in linear light."""
        top, left, height, width = self.box
        if self.how == "error":
            return linear
        if self.how == "resize":
            linear = resample(linear, -2, self.shape_px[0], top, height / self.shape_px[0])
            return resample(linear, -1, self.shape_px[1], left, width / self.shape_px[1])
        if self.how == "crop":
            return linear[..., int(top) : int(top + height), int(left) : int(left + width)]
        if background is None:
            fail("background", "given to pad a picture", None)
        out = background.to(linear)[:, None, None].expand(*linear.shape[:-2], *self.shape_px).clone()
        out[..., -int(top) : -int(top) + linear.shape[-2], -int(left) : -int(left) + linear.shape[-1]] = linear
        return out


def plan_fit(
    name: str, shape_px: tuple[int, int], display: Display, size_deg: Any, fit: Fit | None
) -> tuple[FitPlan, tuple[float, float]]:
    """Return what must be done so that a picture of `shape_px` fills its place, and the place's size in degrees.

    `fit` None is "error" for callers who have no other choice to offer.

    Raises
    ------
    ValueError
        When the picture does not fit and `fit` does not allow the change; the message names both sizes.
    """
    options = "" if fit is None else "Pass fit='crop', 'pad' or 'resize', or "
    fit = one_of("fit", fit or "error", FITS)
    if size_deg is None:
        return _fill_display(name, shape_px, display, fit, options), display.extent_deg
    size = picture_size(size_deg, shape_px, display)
    wanted = place_on(display, size, (0.0, 0.0)).size_px
    if fit == "resize":
        target = max(1, round(wanted[0])), max(1, round(wanted[1]))
        return _cover(shape_px, target), size
    aspect = wanted[0] / wanted[1]
    same = abs(shape_px[0] - aspect * shape_px[1]) < 0.5 + 1e-6 or abs(shape_px[1] - shape_px[0] / aspect) < 0.5 + 1e-6
    if same:
        return _as_it_is(shape_px), size
    if fit == "error":
        fail(
            name, f"of the same aspect as size_deg {size} (height, width)", f"{shape_px} px",
            _sentence(f"{options}give one number as size_deg, the width."),
        )  # fmt: skip
    by_height = round(shape_px[0] / aspect)  # the width that goes with the picture's height
    crop_width = (by_height < shape_px[1]) == (fit == "crop")
    target = (shape_px[0], by_height) if crop_width else (round(aspect * shape_px[1]), shape_px[1])
    return _cut(shape_px, (max(target[0], 1), max(target[1], 1)), fit), size


def picture_size(size_deg: Any, shape_px: tuple[int, int], display: Display) -> tuple[float, float]:
    """Return (height, width) in degrees; one number is the width, and the picture's aspect gives the height."""
    if np.ndim(size_deg) == 0:
        width = float(size_deg)
        check(math.isfinite(width) and width > 0, "size_deg", "above 0 degrees", size_deg)
        width_px = place_on(display, (width, width), (0.0, 0.0)).size_px[1]
        height_px = width_px * shape_px[0] / shape_px[1]
        x, y = display.center_px
        return 2 * float(display.to_deg((x, y - height_px / 2))[1]), width
    height, width = pair("size_deg", size_deg, "(height, width) in degrees")
    check(height > 0 and width > 0, "size_deg", "above 0 degrees", size_deg)
    return height, width


def native_size(shape_px: tuple[int, int], display: Display) -> tuple[float, float]:
    """Return the (height, width) in degrees at which one pixel of the picture is one pixel of the display."""
    x, y = display.center_px
    corner = display.to_deg((x + shape_px[1] / 2, y - shape_px[0] / 2))
    return 2 * float(corner[1]), 2 * float(corner[0])


def _fill_display(name: str, shape: tuple[int, int], display: Display, fit: Fit, options: str) -> FitPlan:
    target = display.resolution_px
    if shape == target:
        return _as_it_is(shape)
    if fit == "resize":
        return _cover(shape, target)
    larger = shape[0] >= target[0] and shape[1] >= target[1]
    smaller = shape[0] <= target[0] and shape[1] <= target[1]
    if (fit == "crop" and larger) or (fit == "pad" and smaller):
        return _cut(shape, target, fit)
    height, width = native_size(shape, display)
    rule = {
        "error": f"of the display's size {target} px (h, w)", "crop": f"at least {target} px (h, w) to be cropped",
        "pad": f"at most {target} px (h, w) to be padded",
    }[fit]  # fmt: skip
    fail(
        name, rule, f"{shape} px",
        _sentence(f"{options}give size_deg=({height:.6g}, {width:.6g}) to show it pixel for pixel."),
    )  # fmt: skip


def _as_it_is(shape: tuple[int, int]) -> FitPlan:
    return FitPlan(shape, (0, 0, *shape), "error")


def _cut(shape: tuple[int, int], target: tuple[int, int], fit: Fit) -> FitPlan:
    top, left = (shape[0] - target[0]) // 2, (shape[1] - target[1]) // 2
    return FitPlan(target, (top, left, *target), fit)


def _cover(shape: tuple[int, int], target: tuple[int, int]) -> FitPlan:
    """Scale evenly so that the picture covers the target; what sticks out is cut evenly on both sides."""
    scale = max(target[0] / shape[0], target[1] / shape[1])
    height, width = min(target[0] / scale, shape[0]), min(target[1] / scale, shape[1])
    return FitPlan(target, ((shape[0] - height) / 2, (shape[1] - width) / 2, height, width), "resize")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
