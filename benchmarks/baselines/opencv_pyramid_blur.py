"""Baseline: the OpenCV pyramid recipe for foveated blur.

Re-implemented, vectorised, from its published description (half-resolution form of Perry & Geisler 2002; six levels,
each enlarged to full size; full-size blending masks; a 5 x 5 kernel).
"""

from __future__ import annotations

import cv2
import numpy as np


def pyramid(picture: np.ndarray, n_levels: int) -> list[np.ndarray]:
    """Levels of a Gaussian pyramid, each enlarged to full size."""
    levels, current = [picture], picture
    for k in range(1, n_levels):
        current = cv2.pyrDown(current)
        full = current
        for _ in range(k):
            full = cv2.pyrUp(full)
        levels.append(full[: picture.shape[0], : picture.shape[1]])
    return levels


def blur(
    picture: np.ndarray,
    fixations_px: list[tuple[float, float]],
    *,
    px_per_deg: float = 7.5,
    k: float = 3.0,
    half_deg: float = 2.5,
    sigma: float = 0.248,
    n_levels: int = 6,
) -> np.ndarray:
    """Blend the levels of an (h, w, 3) picture by eccentricity; several gazes count by the nearest."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    distance = np.min([np.hypot(x - fx, y - fy) for fx, fy in fixations_px], axis=0)
    resolution = half_deg / (distance / px_per_deg + half_deg)
    cut = [sigma / 2.0**i * np.sqrt(2 * np.log(2)) for i in range(n_levels)]
    edges = [1.0, *(min(c / cut[0], 1.0) for c in cut[1:])]
    transfers = [np.exp(-0.5 * (2.0 ** (i - k + 3) * resolution * cut[0] / sigma) ** 2) for i in range(n_levels)]
    levels = pyramid(picture, n_levels)
    out = np.zeros(picture.shape, np.float64)
    total = np.zeros((height, width), np.float64)
    for i in range(n_levels):
        mask = np.zeros((height, width))
        if i + 1 < n_levels:
            inside = (resolution <= edges[i]) & (resolution > edges[i + 1])
            share = (0.5 - transfers[i + 1]) / (transfers[i] - transfers[i + 1] + 1e-12)
            mask[inside] = np.clip(share[inside], 0, 1)
        if i > 0:
            inside = (resolution <= edges[i - 1]) & (resolution > edges[i])
            share = (0.5 - transfers[i]) / (transfers[i - 1] - transfers[i] + 1e-12)
            mask[inside] = 1 - np.clip(share[inside], 0, 1)
        if i == n_levels - 1:
            mask[resolution <= edges[i]] = 1
        total += mask
        out += mask[..., None] * levels[i]
    return (out / np.maximum(total, 1e-12)[..., None]).astype(picture.dtype)
