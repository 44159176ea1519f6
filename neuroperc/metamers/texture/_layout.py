"""Names, shapes and order of the groups of texture statistics, and the redundant entries that features leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def default_weights(n_scales: int, *, windowed: bool) -> dict[str, Any]:
    """Return what groups count for in the distance that synthesis minimises, where it is not 1.

    Of the whole picture it is plenoptic's recipe for textures. Windows add factors that bring contrasts, of about 0.1
    and without their growth by scales, to the size of the many correlations, which do not know contrast.
    """
    weights: dict[str, Any] = {"pixel_statistics": (1, 1, 1, 1, 0, 0), "var_highpass_residual": 100}
    if windowed:
        contrast = 4.0 ** -np.arange(n_scales + 1)
        weights["pixel_statistics"] = (10, 40, 1, 1, 0, 0)
        weights["std_reconstructed"] = 10 * contrast
        weights["magnitude_std"] = weights["magnitude_mean"] = 20 * contrast[:-1]
    return weights


@dataclass(frozen=True)
class Group:
    """One group: entries of one channel (or pair of channels), and which axes hold scales and orientations."""

    shape: tuple[int, ...]
    scale_axis: int | None = None
    orientation_axis: int | None = None
    per_channel: bool = True

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    def index(self, axis: int | None, unknown: int) -> np.ndarray:
        """Position on an axis for every entry, (size,); `unknown` without such an axis."""
        if axis is None:
            return np.full(self.size, unknown)
        return np.indices(self.shape)[axis].ravel()


def groups(n_scales: int, n_orientations: int, n_lags: int, *, windowed: bool, n_channels: int) -> dict[str, Group]:
    """Return the groups that `measure` gives, in its order; `n_lags` without (0, 0)."""
    s, k = n_scales, n_orientations
    table = {
        "pixel_statistics": Group((6,)),
        "auto_correlation_magnitude": Group((n_lags, k, s), 2, 1),
        "skew_reconstructed": Group((s + 1,), 0),
        "kurtosis_reconstructed": Group((s + 1,), 0),
        "auto_correlation_reconstructed": Group((n_lags, s + 1), 1),
        "std_reconstructed": Group((s + 1,), 0),
        "cross_orientation_correlation_magnitude": Group((k * (k - 1) // 2, s), 1),
        "magnitude_std": Group((k, s), 1, 0),
    }
    if windowed:
        table["magnitude_mean"] = Group((k, s), 1, 0)
    if s > 1:
        table["cross_scale_correlation_magnitude"] = Group((k, k, s - 1), 2)
        table["cross_scale_correlation_real"] = Group((k, 2 * k, s - 1), 2)
    table["var_highpass_residual"] = Group((1,))
    if n_channels > 1:
        table["cross_channel_correlation_pixel"] = Group((), per_channel=False)
        table["cross_channel_correlation_reconstructed"] = Group((s + 1,), 0, per_channel=False)
        table["cross_channel_correlation_magnitude"] = Group((k, k, s), 2, per_channel=False)
    return table


def complete(name: str, values: Tensor, lags: Tensor, n_orientations: int) -> Tensor:
    """Write redundant entries out: autocorrelations over the whole square, orientations with orientations."""
    if name.startswith("auto_correlation"):
        width = 2 * int(lags.max()) + 1
        square = values.new_ones(*values.shape[:2], width * width, *values.shape[3:])
        down, right = lags[1:].T + width // 2
        square[:, :, down * width + right] = values
        square[:, :, (width - 1 - down) * width + width - 1 - right] = values
        return square.unflatten(2, (width, width))
    if name.startswith("cross_orientation"):
        square = values.new_ones(*values.shape[:2], n_orientations**2, *values.shape[3:])
        row, column = torch.tril_indices(n_orientations, n_orientations, -1)
        square[:, :, row * n_orientations + column] = values
        square[:, :, column * n_orientations + row] = values
        return square.unflatten(2, (n_orientations, n_orientations))
    return values


def tame(name: str, values: Tensor) -> Tensor:
    """Compress what can be of any size: asinh of skew, and log of kurtosis, which is 1 at least."""
    if name == "pixel_statistics":
        mean, variance, skew, kurtosis, *extremes = values.unbind(2)
        skew, kurtosis = tame("skew", skew), tame("kurtosis", kurtosis)
        return torch.stack((mean, variance, skew, kurtosis, *extremes), 2)
    if name.startswith("skew"):
        return values.asinh()
    return values.clamp(min=0.5).log() if name.startswith("kurtosis") else values
