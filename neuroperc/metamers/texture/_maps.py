"""The pictures that texture statistics are taken of: bands, their magnitudes, and partial low-pass pictures."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ._phase import oriented, parents


class Maps(NamedTuple):
    """What pictures (b, c, h, w) are split into; lists run from fine to coarse, K is the number of orientations.

    `highpass` is (b, c, h, w); `lowpass[s]` (b, c, h_s, w_s) holds all below scale s - 1, without the mean. Of the
    bands: `real[s]` and `magnitude[s]`, less its mean, are (b, c, K, h_s, w_s), `mean[s]` is (b, c, K, 1, 1). Of the
    bands of scale s + 1 on the samples of scale s: `parent[s]`, their magnitude less its mean, and `doubled[s]`
    (b, c, 2K, h_s, w_s), real and imaginary part at twice the phase.
    """

    highpass: Tensor
    lowpass: list[Tensor]
    real: list[Tensor]
    magnitude: list[Tensor]
    mean: list[Tensor]
    parent: list[Tensor]
    doubled: list[Tensor]


class TextureMaps:
    """Splits pictures by the filters of the complex steerable pyramid, without a tight frame (contrasts).

    Each map takes one inverse transform. Partial reconstructions need no detour over bands: the squared filters of all
    bands and of the residual below a scale add up to the squared low-pass of that scale.
    """

    def __init__(self, shapes_px: list[tuple[int, int]], n_orientations: int) -> None:
        self.shapes_px, self.n_orientations = shapes_px, n_orientations
        self._filters: dict[tuple[torch.dtype, str], dict[str, list[Tensor]]] = {}

    def __call__(self, x: Tensor) -> Maps:
        """Split pictures (b, c, h, w)."""
        filters = self.filters(x.dtype, x.device)
        spectrum = torch.fft.fft2(x)
        half = spectrum[..., : x.shape[-1] // 2 + 1]
        highpass = torch.fft.irfft2(half * filters["high"][0], s=x.shape[-2:], norm="forward")
        maps = Maps(highpass, [], [], [], [], [], [])
        sign = (-1.0) ** (self.n_orientations - 1)  # (-i)^order is the filters' only factor that is not real
        for s, (shape, low) in enumerate(zip(self.shapes_px, filters["low"], strict=True)):
            spectrum = crop(spectrum, shape)
            half = spectrum[..., : shape[1] // 2 + 1]
            maps.lowpass.append(torch.fft.irfft2(half * low, s=shape, norm="forward"))
            if s < len(filters["band"]):
                own = oriented(spectrum, filters["band"][s], sign)
                for group, values in zip((maps.real, maps.magnitude, maps.mean), own, strict=True):
                    group.append(values)
            if s < len(filters["parent"]):
                magnitude, doubled = parents(spectrum, filters["parent"][s], sign)
                maps.parent.append(magnitude)
                maps.doubled.append(doubled)
        return maps

    def filters(self, dtype: torch.dtype, device: torch.device) -> dict[str, list[Tensor]]:
        """Return the filters, made once for each dtype and device; dividing by the number of pixels is in them."""
        key = (dtype, str(device))
        if key not in self._filters:
            kind = torch.complex128 if dtype == torch.float64 else torch.complex64
            self._filters[key] = {
                name: [one.to(device, kind) for one in group] for name, group in self._build().items()
            }
        return self._filters[key]

    def _build(self) -> dict[str, list[Tensor]]:
        n_scales = len(self.shapes_px) - 1
        rings = [self._polar(shape)[0][:, : shape[1] // 2 + 1] for shape in self.shapes_px]
        share = 1 / math.prod(self.shapes_px[0])
        low = [share * _fall(ring, s) ** 2 for s, ring in enumerate(rings)]
        for one in low:
            one[0, 0] = 0
        return {
            "high": [share * _rise(rings[0], 0)],
            "low": low,
            "band": [share * self._oriented(self.shapes_px[s], s) for s in range(n_scales)],
            "parent": [share * self._oriented(self.shapes_px[s], s + 1) for s in range(n_scales - 1)],
        }

    def _oriented(self, shape: tuple[int, int], s: int) -> Tensor:
        """Bands of scale s at the frequencies of a grid: one-sided, so that real and imaginary parts are a pair."""
        ring, angle = self._polar(shape)
        order = self.n_orientations - 1
        const = 4.0**order * math.factorial(order) ** 2 / (self.n_orientations * math.factorial(2 * order))
        turn = torch.arange(self.n_orientations, dtype=torch.float64) * (math.pi / self.n_orientations)
        cosine = torch.cos(angle - turn[:, None, None])
        oriented = (-1j) ** order * math.sqrt(const) * cosine**order * (1 + torch.sign(cosine))
        return oriented * _fall(ring, s) * _rise(ring, s + 1)

    def _polar(self, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Base-2 log of frequency over the picture's Nyquist, and direction; rows count downward."""
        (h, w), (full_h, full_w) = shape, self.shapes_px[0]
        rows = torch.fft.fftfreq(h, 1 / h, dtype=torch.float64)[:, None] * (2 / full_h)
        columns = torch.fft.fftfreq(w, 1 / w, dtype=torch.float64)[None] * (2 / full_w)
        radius = torch.sqrt(rows**2 + columns**2)
        return torch.log2(radius.clamp(min=1e-12)), torch.atan2(rows, columns.expand_as(radius))


def _rise(ring: Tensor, s: int) -> Tensor:
    """Raised-cosine high-pass over the octave below 2^-s of Nyquist."""
    return torch.cos(math.pi / 2 * (-(ring + s)).clamp(0, 1))


def _fall(ring: Tensor, s: int) -> Tensor:
    return torch.sin(math.pi / 2 * (-(ring + s)).clamp(0, 1))


def crop(spectrum: Tensor, shape: tuple[int, int]) -> Tensor:
    """Keep the lowest frequencies of a full plane."""
    for dim, size in ((-2, shape[0]), (-1, shape[1])):
        if size < (length := spectrum.shape[dim]):
            ends = spectrum.narrow(dim, 0, -(-size // 2)), spectrum.narrow(dim, length - size // 2, size // 2)
            spectrum = torch.cat(ends, dim)
    return spectrum
