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


def decimate(fine: Tensor, taps: Tensor, q: int, count: int) -> Tensor:
    """Filter the last axis and keep every q-th of the valid samples, `count` of them, in blocks of matrix products."""
    block = 16
    length = (block - 1) * q + len(taps)
    n_blocks = -(-count // block)
    fine = torch.nn.functional.pad(fine, (0, (n_blocks - 1) * block * q + length - fine.shape[-1]))
    kernel = taps.new_zeros(length, block)
    for k in range(block):
        kernel[k * q : k * q + len(taps), k] = taps
    return (fine.unfold(-1, length, block * q) @ kernel).flatten(-2)[..., :count]


def expand(coarse: Tensor, taps: Tensor, q: int) -> Tensor:
    """Put q - 1 zeros between samples and filter fully: the transpose of `decimate`."""
    block = 16
    count = coarse.shape[-1]
    wide = -(-(len(taps) - 1) // q)  # samples that reach a node from the left
    total = (count - 1) * q + len(taps)
    n_blocks = -(-total // (block * q))
    coarse = torch.nn.functional.pad(coarse, (wide, n_blocks * block - count))
    kernel = taps.new_zeros(block + wide, block * q)
    for k in range(block + wide):  # sample k of a block lies at node (k - wide) * q
        start = (k - wide) * q
        low, high = max(start, 0), min(start + len(taps), block * q)
        kernel[k, low:high] = taps[low - start : high - start]
    return (coarse.unfold(-1, block + wide, block) @ kernel).flatten(-2)[..., :total]
