"""What corruptions share: filters, resampling, cloud-like fields. Arrays are (..., h, w) float32."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

Rngs = list[np.random.Generator]


def normal(rngs: Rngs, shape: tuple[int, ...]) -> np.ndarray:
    """Draw (b, *shape) standard normal numbers, each picture from its own generator."""
    return np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs])


def uniform(rngs: Rngs, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Draw (b, *shape) uniform numbers, each picture from its own generator."""
    return np.stack([rng.uniform(low, high, shape) for rng in rngs]).astype(np.float32)


def gaussian(
    x: np.ndarray, sd: float, mode: Literal["nearest", "reflect"] = "nearest", truncate: float = 4.0
) -> np.ndarray:
    """Blur the last two axes."""
    return ndimage.gaussian_filter(x, (0,) * (x.ndim - 2) + (sd, sd), mode=mode, truncate=truncate)


def mirrored(index: np.ndarray, n: int) -> np.ndarray:
    """Reflect indices about the centres of the first and last pixel, as often as needed."""
    period = max(2 * (n - 1), 1)
    return np.abs((np.asarray(index) + n - 1) % period - (n - 1))


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter (b, c, h, w) with one symmetric kernel of odd sides, edges mirrored."""
    (h, w), (kh, kw) = x.shape[2:], kernel.shape
    rows, columns = mirrored(np.arange(-(kh // 2), h + kh // 2), h), mirrored(np.arange(-(kw // 2), w + kw // 2), w)
    wide = torch.from_numpy(np.ascontiguousarray(x[:, :, rows[:, None], columns]))
    taps = torch.from_numpy(kernel.astype(np.float32))[None, None]
    return functional.conv2d(wide.flatten(0, 1)[:, None], taps).reshape(x.shape).numpy()


def zoomed(x: np.ndarray, factor: float) -> np.ndarray:
    """Magnify the last two axes about their centre, bilinear; the size stays."""
    return zoom_matrix(x.shape[-2], factor) @ x @ zoom_matrix(x.shape[-1], factor).T


def zoom_matrix(n: int, factor: float) -> np.ndarray:
    """Return the (n, n) matrix that reads position c + (i - c) / factor, c the centre."""
    at = (n - 1) / 2 + (np.arange(n) - (n - 1) / 2) / factor
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(n)), 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def area_matrix(n: int, m: int) -> np.ndarray:
    """Return the (m, n) matrix of means over m equal stretches of n pixels; a pixel that is cut counts by its share."""
    edges = np.arange(m + 1) * n / m
    low, high = np.maximum(edges[:-1, None], np.arange(n)), np.minimum(edges[1:, None], np.arange(n) + 1)
    return (np.clip(high - low, 0, None) * m / n).astype(np.float32)


def sample(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Read (b, c, h, w) at (b, h, w) positions in pixels, bilinear, edges mirrored."""
    h, w = x.shape[2:]
    grid = np.stack([2 * columns / (w - 1) - 1, 2 * rows / (h - 1) - 1], axis=-1).astype(np.float32)
    found = functional.grid_sample(
        torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(grid), padding_mode="reflection", align_corners=True
    )
    return found.numpy()


def smear(x: np.ndarray, angle_deg: np.ndarray, radius: int, sd: float) -> np.ndarray:
    """Average (b, c, h, w) along a line that starts at each pixel: half a Gaussian of 2 radius + 1 taps, edges held."""
    b, _, h, w = x.shape
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sd**2))
    weights /= weights.sum()
    turn = np.deg2rad(angle_deg)
    light, total = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), np.zeros((b, h, w, x.shape[1]), np.float32)
    for i, weight in enumerate(weights):
        rows = np.clip(np.arange(h) + np.rint(i * np.sin(turn)).astype(int)[:, None], 0, h - 1)
        columns = np.clip(np.arange(w) + np.rint(i * np.cos(turn)).astype(int)[:, None], 0, w - 1)
        total += np.float32(weight) * light[np.arange(b)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return total.transpose(0, 3, 1, 2)


def plasma(rngs: Rngs, shape: tuple[int, int], decay: float) -> np.ndarray:
    """Draw (b, h, w) fractal clouds in [0, 1] by midpoint displacement (diamond-square) on a torus.

    The displacement of each level is `decay`² times smaller than that of the level before.
    """
    n = 2 ** int(np.ceil(np.log2(max(shape))))
    field, step, size = np.zeros((len(rngs), n, n), np.float32), n, 1.0
    while step > 1:
        half, m = step // 2, n // step
        corner = field[:, ::step, ::step]
        middle = _mean4(corner, (1, -1), (2, -1)) + size * uniform(rngs, (m, m), -1, 1)
        field[:, half::step, half::step] = middle
        over = corner + np.roll(corner, -1, 2) + middle + np.roll(middle, 1, 1)
        beside = corner + np.roll(corner, -1, 1) + middle + np.roll(middle, 1, 2)
        field[:, ::step, half::step] = over / 4 + size * uniform(rngs, (m, m), -1, 1)
        field[:, half::step, ::step] = beside / 4 + size * uniform(rngs, (m, m), -1, 1)
        step, size = half, size / decay**2
    field -= field.min((1, 2), keepdims=True)
    return (field / field.max((1, 2), keepdims=True))[:, : shape[0], : shape[1]]


def _mean4(x: np.ndarray, first: tuple[int, int], second: tuple[int, int]) -> np.ndarray:
    """Average a corner with its three neighbours across two rolled axes."""
    pair = x + np.roll(x, first[1], first[0])
    return (pair + np.roll(pair, second[1], second[0])) / 4
