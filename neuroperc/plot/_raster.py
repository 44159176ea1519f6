"""Pixels of a flat mesh: which triangle each lies in, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse

from ..decoding import FlatBrain

_CHUNK = 50_000  # triangles at a time


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixels that a flat brain covers.

    Attributes
    ----------
    shape
        (height, width), row 0 at the bottom.
    step_mm
        Side of a pixel.
    low_mm
        (x, y) of the lower left corner.
    pixels
        (pixel,) places in the flat picture.
    covered
        (height, width) whether the mesh is there.
    weights
        (pixel, vertex) barycentric, rows sum to 1.
    """

    shape: tuple[int, int]
    step_mm: float
    low_mm: np.ndarray
    pixels: np.ndarray
    covered: np.ndarray
    weights: scipy.sparse.csr_matrix

    @property
    def extent_mm(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top, as matplotlib's imshow takes them."""
        x, y = self.low_mm
        return (float(x), float(x + self.shape[1] * self.step_mm), float(y), float(y + self.shape[0] * self.step_mm))

    @property
    def nearest(self) -> np.ndarray:
        """(pixel,) vertex with the largest weight."""
        best = self.weights.data.reshape(-1, 3).argmax(axis=1)
        return np.asarray(self.weights.indices.reshape(-1, 3)[np.arange(len(best)), best])

    def picture(self, values: np.ndarray) -> np.ndarray:
        """Return (height, width) of vertex values; vertices that are NaN are left out, NaN where they are most."""
        there = np.isfinite(values)
        share = self.weights @ there.astype(float)
        total = self.weights @ np.where(there, values, 0.0)
        return self.fill(np.where(share >= 0.5, total / np.maximum(share, 1e-12), np.nan))

    def fill(self, values: np.ndarray, outside: Any = np.nan) -> np.ndarray:
        """Return (height, width) of pixel values."""
        found = np.full(self.shape, outside, dtype=values.dtype)
        found.ravel()[self.pixels] = values
        return found

    def covers(self, points_mm: np.ndarray) -> np.ndarray:
        """Return (point,) whether the mesh is there."""
        x, y = np.floor((points_mm - self.low_mm) / self.step_mm).astype(int).T
        ok = (x >= 0) & (y >= 0) & (x < self.shape[1]) & (y < self.shape[0])
        ok[ok] = self.covered[y[ok], x[ok]]
        return np.asarray(ok)


@lru_cache(maxsize=4)
def rasterize(brain: FlatBrain, height_px: int) -> Raster:
    """Return the raster of a flat brain, kept for the next map of the same brain."""
    low, high = brain.points_mm.min(axis=0), brain.points_mm.max(axis=0)
    step = float((high - low)[1] / height_px)
    shape = height_px, int(np.ceil((high - low)[0] / step))
    corners = ((brain.points_mm - low) / step - 0.5)[brain.triangles]
    parts = [_inside(corners[k : k + _CHUNK], shape) for k in range(0, len(corners), _CHUNK)]
    pixel, weight = (np.concatenate(p) for p in zip(*((p, w) for p, _, w in parts), strict=True))
    triangle = np.concatenate([t + k * _CHUNK for k, (_, t, _) in enumerate(parts)])
    pixels, first = np.unique(pixel, return_index=True)  # where flat triangles overlap, the first is shown
    columns = brain.triangles[triangle[first]]
    rows = np.arange(0, columns.size + 1, 3)
    size = len(pixels), len(brain.points_mm)
    matrix = scipy.sparse.csr_matrix((weight[first].ravel(), columns.ravel(), rows), size)
    covered = np.zeros(shape, bool)
    covered.ravel()[pixels] = True
    return Raster(shape, step, low, pixels, covered, matrix)


def _inside(corners: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixel, triangle and barycentric weights of every pixel centre that lies in a triangle."""
    limit = np.array(shape[::-1]) - 1
    low = np.clip(np.ceil(corners.min(axis=1)), 0, limit).astype(int)
    high = np.clip(np.floor(corners.max(axis=1)), -1, limit).astype(int)
    size = np.maximum(high - low + 1, 0)
    count = size.prod(axis=1)
    triangle = np.repeat(np.arange(len(corners)), count)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[triangle, 0] + within % size[triangle, 0], low[triangle, 1] + within // size[triangle, 0]
    a, b, c = (corners[triangle, k] for k in range(3))
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    dx, dy = x - a[:, 0], y - a[:, 1]
    safe = np.where(area == 0, 1.0, area)
    second = (dx * v[:, 1] - dy * v[:, 0]) / safe
    third = (u[:, 0] * dy - u[:, 1] * dx) / safe
    weights = np.stack([1 - second - third, second, third], axis=1)
    ok = (weights.min(axis=1) >= -1e-9) & (area != 0)
    kept = np.clip(weights[ok], 0, 1)
    return (y * shape[1] + x)[ok], triangle[ok], kept / kept.sum(axis=1, keepdims=True)
