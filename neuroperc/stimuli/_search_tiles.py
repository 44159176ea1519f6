"""The pictures of single search items: grey or colour codes of 0 to 255, drawn in degrees.

Edges that fall between pixels are drawn by area (16 x 16 samples a pixel), so that items of equal ink in degrees have
equal ink in pixels. The tilted bars of the orientation experiments start upright on whole pixels and are turned by
bilinear interpolation, as the paper's were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform

_SAMPLES = 16
Box = tuple[float, float, float, float]
Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Tile:
    """One way in which an item looks.

    Attributes
    ----------
    kind
        What it is, such as "curve".
    variant
        Number of its orientation or mirror image.
    angle_deg
        Orientation of its long axis, counter-clockwise from horizontal, [0, 180); NaN where it has none.
    codes
        (c, h, w) uint8.
    """

    kind: str
    variant: int
    angle_deg: float
    codes: np.ndarray


def side_px(size_deg: float, px_per_deg: float) -> int:
    """Return whole pixels."""
    return max(1, round(size_deg * px_per_deg))


def area(size_deg: float, px_per_deg: float, inside: Shape) -> np.ndarray:
    """Return the share of every pixel of a square tile that lies inside a shape, (n, n) in [0, 1].

    `inside` is asked for x (right) and y (up) in degrees from the tile's centre.
    """
    n = side_px(size_deg, px_per_deg)
    at = ((np.arange(n * _SAMPLES) + 0.5) / (n * _SAMPLES) - 0.5) * size_deg
    hit = inside(at[None, :], -at[:, None])
    share = np.broadcast_to(hit, (len(at), len(at))).reshape(n, _SAMPLES, n, _SAMPLES).mean((1, 3))
    return np.asarray(share)


def boxes(*edges: Box) -> Shape:
    """Return the union of upright rectangles (left, right, bottom, top)."""

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        hits = [(x > left) & (x < right) & (y > bottom) & (y < top) for left, right, bottom, top in edges]
        return np.asarray(np.logical_or.reduce(hits))

    return inside


def arc(radius_deg: float, opening_rad: float, stroke_deg: float) -> Shape:
    """Return an arc that bulges to the right; the middle of its sagitta lies at (0, 0)."""
    middle = radius_deg * (1 + np.cos(opening_rad / 2)) / 2

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        radius, angle = np.hypot(x + middle, y), np.arctan2(y, x + middle)
        return (np.abs(radius - radius_deg) < stroke_deg / 2) & (np.abs(angle) < opening_rad / 2)

    return inside


def spun(shape: Shape, clockwise_deg: float) -> Shape:
    """Return the shape turned about (0, 0)."""
    c, s = np.cos(np.deg2rad(clockwise_deg)), np.sin(np.deg2rad(clockwise_deg))

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return shape(c * x - s * y, s * x + c * y)

    return inside


def upright_bar(tile_deg: float, height_deg: float, width_deg: float, px_per_deg: float) -> np.ndarray:
    """Return a bar of whole pixels in the middle of a tile, (n, n) of 0 and 1."""
    n, height, width = (side_px(size, px_per_deg) for size in (tile_deg, height_deg, width_deg))
    ink = np.zeros((n, n))
    top, left = (n - height) // 2, (n - width) // 2
    ink[top : top + height, left : left + width] = 1
    return ink


def turned(ink: np.ndarray, clockwise_deg: float) -> np.ndarray:
    """Return the tile turned about its centre, bilinear; a multiple of 90 degrees only moves pixels."""
    quarters, rest = divmod(clockwise_deg, 90)
    if rest == 0:
        return np.rot90(ink, -int(quarters))
    angle, center = np.deg2rad(clockwise_deg), (len(ink) - 1) / 2
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # of (row, column)
    offset = center - back @ (center, center)
    return np.asarray(np.clip(affine_transform(ink, back, offset, order=1), 0, 1))


def painted(ink: np.ndarray, ink_code: Sequence[int], ground_code: int) -> np.ndarray:
    """Mix codes by the ink's share: (c, h, w) uint8."""
    color = np.asarray(ink_code, dtype=float)[:, None, None]
    return np.rint(ground_code + (color - ground_code) * ink).astype(np.uint8)


def shaded_disc(size_deg: float, step_deg: float, px_per_deg: float, ground_code: int, *, bright_at: str) -> np.ndarray:
    """Return a disc with a staircase of the 16 greys 255, 238, ..., 0 away from its bright side, (1, n, n) uint8."""
    n = side_px(size_deg, px_per_deg)
    level = np.minimum((np.arange(n) / (step_deg * px_per_deg) + 1e-9).astype(int), 15)
    codes = np.broadcast_to(255 - 17 * level[:, None], (n, n))
    from_center = np.arange(n) - (n - 1) / 2
    disc = np.hypot(from_center[:, None], from_center) < n / 2
    turn = {"top": 0, "left": 1, "bottom": 2, "right": 3}[bright_at]
    return np.rot90(np.where(disc, codes, ground_code), turn).astype(np.uint8)[None]


def four_views(kind: str, codes: np.ndarray) -> tuple[Tile, ...]:
    """Return a tile as it is, upside down, with rows and columns swapped, and that mirrored left to right."""
    swapped = codes.swapaxes(-1, -2)
    views = (codes, codes[:, ::-1], swapped, swapped[..., ::-1])
    return tuple(Tile(kind, i, float("nan"), np.ascontiguousarray(view)) for i, view in enumerate(views))
