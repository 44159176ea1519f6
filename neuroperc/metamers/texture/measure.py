"""From maps and averages to groups of statistics: the formulas that the global and the foveated form share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from .averages import Averages
from .maps import Maps, double_phase, magnitude, split

#: Added to variances before dividing by them, as a share of the picture's variance: with nothing to correlate,
#: correlations go to 0. Windows in which nothing happens are common, pictures of that kind are not.
SHARE = {"picture": 1e-9, "windows": 1e-6}
#: The same in units of squared light, for pictures without contrast.
LEAST = 1e-12
#: Below these (share, and squared light) a map has the skew and kurtosis of a Gaussian.
_MOMENT_SHARE, _MOMENT_LEAST = 1e-6, 1e-8


class _Magnitude(NamedTuple):
    """Magnitudes less their mean over the picture; the mean over the picture, and what windows still find."""

    centered: Tensor  # (b, c, K, h, w)
    whole: Tensor  # (b, c, K, 1)
    mean: Tensor  # (b, c, K, W)
    variance: Tensor  # (b, c, K, W)


def measure(x: Tensor, maps: Maps, averages: Sequence[Averages]) -> dict[str, Tensor]:
    """Return groups (b, ..., W) without redundant entries, in the order of the features; scales come last.

    `averages` are those of every scale and of the low-pass residual.
    """
    contrast = x.var((-2, -1))[..., None, None]
    floor = SHARE["windows" if averages[0].windowed else "picture"] * contrast + LEAST
    first, second = zip(*combinations(range(x.shape[1]), 2), strict=True) if x.shape[1] > 1 else ((), ())
    pairs = list(first), list(second)
    pixel, channels = _pixel(x, averages[0], contrast, floor, pairs)
    low = _lowpass(maps.lowpass, averages, contrast, floor, pairs)
    band = _bands(maps, averages, floor, pairs)
    groups: dict[str, Tensor | None] = {
        "pixel_statistics": pixel,
        "auto_correlation_magnitude": band["lags"],
        "skew_reconstructed": low["skew"],
        "kurtosis_reconstructed": low["kurtosis"],
        "auto_correlation_reconstructed": low["lags"],
        "std_reconstructed": low["std"],
        "cross_orientation_correlation_magnitude": band["orientations"],
        "magnitude_std": band["std"],
        "magnitude_mean": band["mean"] if averages[0].windowed else None,
        "cross_scale_correlation_magnitude": band.get("scales"),
        "cross_scale_correlation_real": band.get("phases"),
        "var_highpass_residual": averages[0].mean(maps.highpass.square())[:, :, None],
        "cross_channel_correlation_pixel": channels,
        "cross_channel_correlation_reconstructed": low.get("channels"),
        "cross_channel_correlation_magnitude": band.get("channels"),
    }
    return {name: values for name, values in groups.items() if values is not None}


def _pixel(
    x: Tensor, averages: Averages, contrast: Tensor, floor: Tensor, pairs: tuple[list[int], list[int]]
) -> tuple[Tensor, Tensor | None]:
    """Mean, variance, skew, kurtosis, minimum and maximum (b, c, 6, W), and correlations of channels (b, P, W)."""
    mean, second, third, fourth = averages.moments(x)
    if not averages.windowed:
        second = contrast[..., 0]  # over n - 1, as everybody's
    skew, kurtosis = _shape(second, third, fourth, contrast[..., 0])
    pixel = torch.stack((mean, second, skew, kurtosis, *averages.extremes(x)), -2)
    return pixel, _between_channels(x, averages, second, floor[..., 0], pairs) if pairs[0] else None


def _shape(second: Tensor, third: Tensor, fourth: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
    """Skew and kurtosis, going over into 0 and 3 where there is no variance."""
    least = (_MOMENT_SHARE * contrast) ** 2 + _MOMENT_LEAST**2
    square = second.square() + least
    return third / square**0.75, (fourth + 3 * least) / square


def _between_channels(
    x: Tensor, averages: Averages, second: Tensor, floor: Tensor, pairs: tuple[list[int], list[int]]
) -> Tensor:
    first, other = pairs
    centered, _, local = averages.center(x)
    inverse = (second + floor).rsqrt()
    mean = averages.mean(centered[:, first] * centered[:, other]) - local[:, first] * local[:, other]
    return mean * inverse[:, first] * inverse[:, other]


def _lowpass(
    maps: list[Tensor], averages: Sequence[Averages], contrast: Tensor, floor: Tensor,
    pairs: tuple[list[int], list[int]],
) -> dict[str, Tensor]:  # fmt: skip
    found: dict[str, list[Tensor]] = {name: [] for name in ("skew", "kurtosis", "lags", "std", "channels")}
    for s, (low, average) in enumerate(zip(maps, averages, strict=True)):
        mean, second, third, fourth = average.moments(low)
        skew, kurtosis = _shape(second, third, fourth, contrast[..., 0])
        found["skew"].append(skew)
        found["kurtosis"].append(kurtosis)
        found["std"].append(4.0**s * (second + LEAST).sqrt())
        lagged = average.lagged(low)[:, :, 1:] - mean.square()[:, :, None]
        found["lags"].append(_bounded(lagged / (second + floor[..., 0])[:, :, None], average))
        if pairs[0]:
            found["channels"].append(_between_channels(low, average, second, floor[..., 0], pairs))
    return {name: torch.stack(values, -2) for name, values in found.items() if values}


def _bounded(correlation: Tensor, average: Averages) -> Tensor:
    """Pairs reach beyond their window's edge: what they find there can exceed what the window knows."""
    return correlation.clamp(-1, 1) if average.windowed else correlation


def _bands(
    maps: Maps, averages: Sequence[Averages], floor: Tensor, pairs: tuple[list[int], list[int]]
) -> dict[str, Tensor]:
    names = ("lags", "orientations", "std", "mean", "scales", "phases", "channels")
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for s, (band, average) in enumerate(zip(maps.bands, averages, strict=False)):
        real, imaginary = split(band)
        own, lagged = _own(magnitude(real, imaginary), average)
        found["lags"].append(_bounded(lagged / (own.variance + floor)[:, :, :, None], average).transpose(2, 3))
        found["std"].append(4.0**s * (own.variance + LEAST).sqrt())
        found["mean"].append(4.0**s * (own.whole + own.mean))
        pick = torch.tril_indices(band.shape[2], band.shape[2], -1)
        found["orientations"].append(_correlate(own, own, average, floor, floor)[:, :, pick[0], pick[1]])
        if pairs[0]:
            first, second = (_Magnitude(*(part[:, side] for part in own)) for side in pairs)
            across = _correlate(first, second, average, floor[:, pairs[0]], floor[:, pairs[1]])
            found["channels"].append(across)
        if s < len(maps.parents):
            scales, phases = _parents(real, own, maps.parents[s], average, floor)
            found["scales"].append(scales)
            found["phases"].append(phases)
    return {name: torch.stack(values, -2) for name, values in found.items() if values}


def _own(length: Tensor, average: Averages) -> tuple[_Magnitude, Tensor]:
    """Magnitudes about their mean, and their autocovariances (b, c, K, n_lags, W)."""
    centered, whole, local = average.center(length)
    lagged = average.lagged(centered) - local.square()[..., None, :]
    return _Magnitude(centered, whole, local, lagged[..., 0, :].clamp(min=0)), lagged[..., 1:, :]


def _correlate(a: _Magnitude, b: _Magnitude, average: Averages, floor_a: Tensor, floor_b: Tensor) -> Tensor:
    """Correlations (b, c, m, n, W)."""
    covariance = average.products(a.centered, b.centered) - a.mean[:, :, :, None] * b.mean[:, :, None]
    return covariance * (a.variance + floor_a).rsqrt()[:, :, :, None] * (b.variance + floor_b).rsqrt()[:, :, None]


def _parents(
    real: Tensor, own: _Magnitude, parent: Tensor, average: Averages, floor: Tensor
) -> tuple[Tensor, Tensor]:
    """Correlations with the next coarser scale: of magnitudes, and of real parts with its doubled phases."""
    pair = split(parent)
    length = magnitude(*pair)
    centered, whole, local = average.center(length)
    variance = (average.mean(centered.square()) - local.square()).clamp(min=0)
    scales = _correlate(own, _Magnitude(centered, whole, local, variance), average, floor, floor)
    inverse = (average.mean(real.square()) + floor).rsqrt()[:, :, :, None]
    phases = []
    for part in double_phase(*pair, length):
        weight = (average.mean(part.square()) + floor).rsqrt()[:, :, None]
        phases.append(average.products(real, part) * inverse * weight)
    return scales, torch.cat(phases, 3)
