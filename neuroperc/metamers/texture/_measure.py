"""From maps and averages to groups of statistics: the formulas that the global and the foveated form share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from ._averages import Averages
from ._maps import Maps


class _Floors(NamedTuple):
    """Shares of the picture's variance below which there is nothing to divide by."""

    #: Added to variances that covariances are divided by, so that correlations go to 0.
    second: float
    #: Below this, skew and kurtosis go over into those of a Gaussian.
    higher: float


#: Windows in which nothing happens are common, pictures in which nothing happens are not.
_WHOLE, _WINDOWS = _Floors(1e-9, 1e-6), _Floors(1e-6, 1e-4)
#: The same in units of squared light, for pictures without contrast.
_LEAST = _Floors(1e-12, 1e-8)
#: Keeps the slope of a standard deviation finite; 4**s times its root is what an empty map shows.
_LEAST_ROOT = 1e-16


def measure(x: Tensor, maps: Maps, averages: Sequence[Averages]) -> dict[str, Tensor]:
    """Return groups (b, ..., W) without redundant entries, in the order of the features; scales come last.

    `averages` are those of every scale and of the low-pass residual.
    """
    windowed = averages[0].windowed
    contrast = x.var((-2, -1))[..., None]  # (b, c, 1)
    floors = _WINDOWS if windowed else _WHOLE
    floor = floors.second * contrast + _LEAST.second
    least = (floors.higher * contrast).square() + _LEAST.higher**2
    pixel, second = _pixel(x, averages[0], contrast, least)
    low = _lowpass(maps.lowpass, averages, least, floor)
    band = _bands(maps, averages, floor)
    groups: dict[str, Tensor] = {"pixel_statistics": pixel, "auto_correlation_magnitude": band["lags"]}
    groups |= {f"{name}_reconstructed": low[name] for name in ("skew", "kurtosis", "auto_correlation", "std")}
    groups |= {"cross_orientation_correlation_magnitude": band["orientations"], "magnitude_std": band["std"]}
    if windowed:
        groups["magnitude_mean"] = band["mean"]
    if maps.parent:
        groups |= _between_scales(maps, averages, band["inverse"], band["residual"], floor)
    groups["var_highpass_residual"] = averages[0].squares(maps.highpass)[:, :, None]
    if x.shape[1] > 1:
        first, other = (list(side) for side in zip(*combinations(range(x.shape[1]), 2), strict=True))
        groups |= _between_channels(x, maps, averages, (first, other), (second, low["second"], band, floor))
    return groups


def _pixel(x: Tensor, averages: Averages, contrast: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, variance, skew, kurtosis, minimum, maximum (b, c, 6, W); and the variance."""
    mean, second, third, fourth = averages.moments(x).unbind(-2)
    if not averages.windowed:
        second = contrast  # over n - 1
    skew, kurtosis = _shape(second, third, fourth, least)
    return torch.stack((mean, second, skew, kurtosis, *averages.extremes(x)), -2), second


def _shape(second: Tensor, third: Tensor, fourth: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Skew and kurtosis, going over into 0 and 3 where there is no variance."""
    square = second.square() + least
    return third / square**0.75, (fourth + 3 * least) / square


def _lowpass(maps: list[Tensor], averages: Sequence[Averages], least: Tensor, floor: Tensor) -> dict[str, Tensor]:
    """Return groups of the low-pass pictures, (b, c, ..., S + 1, W)."""
    pairs = list(zip(maps, averages, strict=True))
    moments = torch.stack([average.moments(low) for low, average in pairs], -2)
    mean, second, third, fourth = moments.unbind(-3)
    lagged = torch.stack([average.lagged(low)[:, :, 1:] for low, average in pairs], -2)
    skew, kurtosis = _shape(second, third, fourth, least[:, :, None])
    correlation = (lagged - mean.square()[:, :, None]) / (second + floor[:, :, None])[:, :, None]
    return {
        "skew": skew,
        "kurtosis": kurtosis,
        "auto_correlation": _bounded(correlation, averages),
        "std": _growth(second) * (second + _LEAST_ROOT).sqrt(),
        "second": second,
    }


def _growth(values: Tensor) -> Tensor:
    """Amplitudes grow fourfold a scale, by convention; (..., n_scales, W)."""
    return 4.0 ** torch.arange(values.shape[-2], device=values.device, dtype=values.dtype)[:, None]


def _bounded(correlation: Tensor, averages: Sequence[Averages]) -> Tensor:
    """Pairs reach beyond their window's edge: what they find there can exceed what the window knows."""
    return correlation.clamp(-1, 1) if averages[0].windowed else correlation


def _bands(maps: Maps, averages: Sequence[Averages], floor: Tensor) -> dict[str, Tensor]:
    """Return groups of the magnitudes, (b, c, ..., S, W), and the inverse of their standard deviations."""
    pairs = list(zip(maps.magnitude, averages, strict=False))
    residual = torch.stack([average.residual(band) for band, average in pairs], -2)
    lagged = torch.stack([average.lagged(band) for band, average in pairs], -2)
    lagged = lagged - residual.square()[:, :, :, None]  # (b, c, K, 1 + n_lags, S, W)
    variance = lagged[:, :, :, 0].clamp(min=0)
    inverse = (variance + floor[:, :, None, None]).rsqrt()
    gram = torch.stack([average.products(band, band) for band, average in pairs], -2)
    row, column = torch.tril_indices(gram.shape[2], gram.shape[2], -1)
    covariance = gram[:, :, row, column] - residual[:, :, row] * residual[:, :, column]
    whole = torch.stack(
        [mean[..., 0] * average.ones(mean) for mean, average in zip(maps.mean, averages, strict=False)], -2
    )
    return {
        "lags": _bounded(lagged[:, :, :, 1:] * inverse.square()[:, :, :, None], averages).transpose(2, 3),
        "std": _growth(variance) * (variance + _LEAST_ROOT).sqrt(),
        "mean": _growth(variance) * (whole + residual),
        "orientations": covariance * inverse[:, :, row] * inverse[:, :, column],
        "inverse": inverse,
        "residual": residual,
    }


def _between_scales(
    maps: Maps, averages: Sequence[Averages], inverse: Tensor, residual: Tensor, floor: Tensor
) -> dict[str, Tensor]:
    """Correlations with the next coarser scale: of magnitudes, and of real parts with its doubled phases."""
    scales = list(zip(maps.real, maps.magnitude, maps.parent, maps.doubled, averages, strict=False))
    least = floor[:, :, None, None]

    def stacked(values: list[Tensor]) -> Tensor:
        return torch.stack(values, -2)

    mean = stacked([average.residual(parent) for *_, parent, _, average in scales])
    variance = stacked([average.squares(parent) for *_, parent, _, average in scales]) - mean.square()
    covariance = stacked([average.products(own, parent) for _, own, parent, _, average in scales])
    covariance = covariance - residual[:, :, :, None, :-1] * mean[:, :, None]
    own = inverse[:, :, :, None, :-1] * (variance.clamp(min=0) + least).rsqrt()[:, :, None]
    left = (stacked([average.squares(real) for real, *_, average in scales]) + least).rsqrt()
    right = (stacked([average.squares(doubled) for *_, doubled, average in scales]) + least).rsqrt()
    phases = stacked([average.products(real, doubled) for real, _, _, doubled, average in scales])
    return {
        "cross_scale_correlation_magnitude": covariance * own,
        "cross_scale_correlation_real": phases * left[:, :, :, None] * right[:, :, None],
    }


def _between_channels(
    x: Tensor, maps: Maps, averages: Sequence[Averages], pairs: tuple[list[int], list[int]],
    known: tuple[Tensor, Tensor, dict[str, Tensor], Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    """Correlations of the same place in two channels: pixels, low-pass pictures, magnitudes of all orientations."""
    first, other = pairs
    pixel, second, band, floor = known

    weight = (pixel + floor).rsqrt()
    low_weight = (second + floor[:, :, None]).rsqrt()
    pictures = [(x, averages[0]), *zip(maps.lowpass, averages, strict=True)]
    own, *low = (average.covariance(one[:, first], one[:, other]).to(x.dtype) for one, average in pictures)
    scales = list(zip(maps.magnitude, averages, strict=False))
    across = torch.stack([average.products(own[:, first], own[:, other]) for own, average in scales], -2)
    residual, inverse = band["residual"], band["inverse"]
    across = across - residual[:, first, :, None] * residual[:, other, None]
    return {
        "cross_channel_correlation_pixel": own * weight[:, first] * weight[:, other],
        "cross_channel_correlation_reconstructed": torch.stack(low, -2) * low_weight[:, first] * low_weight[:, other],
        "cross_channel_correlation_magnitude": across * inverse[:, first, :, None] * inverse[:, other, None],
    }
