"""Spatial quadrature pairs of two families, in pixels, and their spectra."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

SpatialFamily = Literal["gabor", "cauchy"]
FAMILIES: tuple[SpatialFamily, ...] = ("gabor", "cauchy")


class SpatialPair(NamedTuple):
    """Even and odd kernels, (directions, size, size), rows downwards; `reach_px` from the centre to the edge."""

    even: np.ndarray
    odd: np.ndarray
    reach_px: int
    highest: float  # spatial frequency in cycles per pixel above which less than a thousandth of the amplitude is left


def spatial_pair(
    family: SpatialFamily, sf: float, directions_rad: np.ndarray, sd_cycles: float, aspect: float
) -> SpatialPair:
    """Make the kernels of one spatial frequency `sf` (cycles per pixel); a preferred grating of amplitude 1 gives 1.

    Gabor: exp(-(x'^2 + g^2 y'^2) / 2 s^2) times cosine and sine of 2 pi f x', s = `sd_cycles` / f, g = `aspect`.
    Cauchy: cos^4(a) times cosine and sine of 4 a, a = atan(x' / sc), times exp(-g^2 y'^2 / 2 sc^2); its spectrum is
    f^3 exp(-2 pi f sc), largest at f = 3 / (2 pi sc) (Kiani, Hanks & Shadlen 2008 with sc = 0.35 deg: 1.36 c/deg).
    """
    scale = sd_cycles / sf if family == "gabor" else 3 / (2 * np.pi * sf)
    across = scale * max(1.0, 1 / aspect)
    reach = int(np.ceil(3.5 * across if family == "gabor" else max(8 * scale, 3.5 * across)))
    at = np.arange(-reach, reach + 1)
    d = directions_rad[:, None, None]
    x, y = at[None, None, :], -at[None, :, None]
    along, beside = x * np.cos(d) + y * np.sin(d), -x * np.sin(d) + y * np.cos(d)
    width = np.exp(-((aspect * beside) ** 2) / (2 * scale**2))
    if family == "gabor":
        envelope = width * np.exp(-(along**2) / (2 * scale**2))
        even, odd = envelope * np.cos(2 * np.pi * sf * along), envelope * np.sin(2 * np.pi * sf * along)
        highest = sf + 3.7 * sf * max(1.0, aspect) / (2 * np.pi * sd_cycles)
    else:
        angle = np.arctan(along / scale)
        envelope = width * np.cos(angle) ** 4
        even, odd = envelope * np.cos(4 * angle), envelope * np.sin(4 * angle)
        highest = np.hypot(5.1 * sf, 3.7 * aspect / (2 * np.pi * scale))
    sums = envelope.sum((1, 2), keepdims=True)
    pairs = [k - envelope * k.sum((1, 2), keepdims=True) / sums for k in (even, odd)]
    gain = (pairs[0] * np.cos(2 * np.pi * sf * along)).sum((1, 2), keepdims=True)
    return SpatialPair(pairs[0] / gain, pairs[1] / gain, reach, float(highest))
