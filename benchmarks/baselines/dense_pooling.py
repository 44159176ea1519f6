"""Baseline: pooling as a dense separable contraction.

Re-implemented, vectorised, from the published equations of log-polar windows (Freeman & Simoncelli 2011): one map a
ring and one a wedge, contracted with the picture. It is how the field's current tool evaluates them.
"""

from __future__ import annotations

import math

import numpy as np
import torch

GAUSSIAN_SUM = sum(math.exp(-n * n / 2) for n in range(-40, 41))


def raised_cosine(x: np.ndarray, transition: float = 0.5) -> np.ndarray:
    """Flat top of width 1 - transition, cosine-squared flanks."""
    ramp = np.clip((np.abs(x) - (1 - transition) / 2) / transition, 0, 1)
    return np.cos(np.pi / 2 * ramp) ** 2


def gaussian(x: np.ndarray) -> np.ndarray:
    """Return a Gaussian with a standard deviation of one step; neighbours sum to one."""
    return np.exp(-x * x / 2) / GAUSSIAN_SUM


class DensePooling:
    """Ring and wedge maps as two dense matrices over the pixels.

    Parameters
    ----------
    eccentricity_deg, angle_rad
        (h, w) maps around the gaze.
    scaling, window, min_eccentricity_deg, n_rings, n_wedges
        The layout.
    """

    def __init__(
        self,
        eccentricity_deg,
        angle_rad,
        *,
        scaling,
        window,
        min_eccentricity_deg,
        n_rings,
        n_wedges,
        dtype=torch.float32,
    ):
        half = 0.5 if window == "cosine" else math.sqrt(2 * math.log(2))
        spacing = math.asinh(scaling / 2) / half
        shape = raised_cosine if window == "cosine" else gaussian
        u = np.log(np.maximum(eccentricity_deg.ravel(), 1e-9) / min_eccentricity_deg) / spacing - 1
        v = angle_rad.ravel() / (2 * np.pi / n_wedges)
        radial = shape(u[None] - np.arange(n_rings)[:, None])
        around = (v[None] - np.arange(n_wedges)[:, None] + n_wedges / 2) % n_wedges - n_wedges / 2
        self.shape = eccentricity_deg.shape
        self.rings = torch.as_tensor(radial, dtype=dtype)
        self.wedges = torch.as_tensor(shape(around), dtype=dtype)
        self.mass = self.rings @ self.wedges.T

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) to weighted means (b, c, n_rings * n_wedges)."""
        flat = x.flatten(2)
        sums = (flat[:, :, None] * self.rings) @ self.wedges.T
        return (sums / self.mass).flatten(2)

    def unpool(self, y: torch.Tensor) -> torch.Tensor:
        """(b, c, n) to (b, c, h, w)."""
        grid = y.reshape(*y.shape[:2], len(self.rings), len(self.wedges))
        return ((grid @ self.wedges) * self.rings).sum(2).reshape(*y.shape[:2], *self.shape)
