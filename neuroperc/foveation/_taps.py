"""Where a coordinate falls on a grid of windows, and how much each neighbour gets.

A coordinate t (in window steps) touches `k` consecutive grid nodes; `taps` returns the first of them and the k weights.
Raised cosines touch two windows. Gaussians touch all, so they are drawn on a finer grid by B-splines first, and a short
fixed filter (the Gaussian with the spline divided out) goes from the finer grid to the windows.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ._banded import Band

#: Sum of exp(-n^2 / 2) over all integers: makes Gaussians one step apart sum to one.
GAUSSIAN_SUM = sum(math.exp(-n * n / 2) for n in range(-40, 41))

#: Half-width, in window steps, beyond which a Gaussian (2e-13 of its peak) is zero.
GAUSSIAN_REACH = 8


def cosine_taps(t: Tensor, transition: float) -> tuple[Tensor, Tensor]:
    """First node (...,) and two weights (..., 2) of the flat-topped raised cosine; they sum to one."""
    first = torch.floor(t.detach())
    ramp = ((t - first - (1 - transition) / 2) / transition).clamp(0, 1)
    # At the foot of the flank the cosine is 6e-17, not 0: an exact zero keeps the pixel out of the sparse matrix.
    near = torch.where(ramp < 1, torch.cos(math.pi / 2 * ramp), 0.0).square()
    return first.long(), torch.stack((near, torch.sin(math.pi / 2 * ramp).square()), -1)


def spline_taps(t: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """First node and the `order` weights of the B-spline of even `order` (order 4 is the cubic), summing to one."""
    first = torch.floor(t.detach())
    r = (t - first)[..., None]
    pieces = torch.ones_like(r)
    for k in range(2, order + 1):  # Cox-de Boor on whole knots; entry i is the spline at r + i
        i = torch.arange(k, dtype=t.dtype, device=t.device)
        left = torch.nn.functional.pad(pieces, (0, 1))
        right = torch.nn.functional.pad(pieces, (1, 0))
        pieces = ((r + i) * left + (k - r - i) * right) / (k - 1)
    return first.long() - (order // 2 - 1), pieces.flip(-1)


_FILTERS: dict[tuple[int, int], Tensor] = {}  # a plain dictionary: `torch.compile` looks through it


def gaussian_filter(order: int, oversampling: int) -> Tensor:
    """Return samples at j / oversampling, |j| <= reach * oversampling, that B-splines turn into the Gaussian."""
    key = (order, oversampling)
    if key not in _FILTERS:
        _FILTERS[key] = torch.from_numpy(_gaussian_filter(order, oversampling))
    return _FILTERS[key]


def _gaussian_filter(order: int, oversampling: int) -> np.ndarray:
    n = 2 * 32 * oversampling
    frequency = np.fft.rfftfreq(n, 1 / oversampling)  # cycles per window step
    spectrum = np.exp(-2 * (math.pi * frequency) ** 2) * math.sqrt(2 * math.pi) / GAUSSIAN_SUM
    # Dividing by the periodised spline makes the reproduced Gaussian exact at the nodes.
    spline = sum(np.sinc(frequency / oversampling + k) ** order for k in range(-8, 9))
    samples = np.fft.irfft(spectrum / spline, n) * oversampling
    reach = GAUSSIAN_REACH * oversampling
    return np.concatenate((samples[-reach:], samples[: reach + 1]))


_BANDS: dict[tuple[int, int, bool], Band] = {}
_WINDOWS_A_BLOCK = 16


def window_band(order: int, oversampling: int, *, back: bool) -> Band:
    """Return the filter from the finer grid to windows (or back) as a banded matrix; see `_banded.banded`.

    Forward, the grid starts `GAUSSIAN_REACH` windows before the first; back, that many zero windows stand before it.
    """
    key = (order, oversampling, back)
    if key not in _BANDS:
        taps, q, n = gaussian_filter(order, oversampling), oversampling, _WINDOWS_A_BLOCK
        forward = taps.new_zeros((n - 1) * q + len(taps), n)
        for k in range(n):
            forward[k * q : k * q + len(taps), k] = taps
        # Back: nodes of one block are reached by its own windows and by those within reach on both sides.
        around = 2 * GAUSSIAN_REACH
        backward = taps.new_zeros(n + around, n * q)
        for k in range(n + around):  # window k of the block lies at node (k - around) * q, its filter around it
            start = (k - around) * q
            low, high = max(start, 0), min(start + len(taps), n * q)
            if high > low:
                backward[k, low:high] = taps[low - start : high - start]
        _BANDS[(order, q, False)] = Band(forward, n * q, 0)
        _BANDS[(order, q, True)] = Band(backward, n, 0)
    return _BANDS[key]
