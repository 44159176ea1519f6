"""Short symmetric filters whose cascades are Gaussian low-passes, and the strided sums that apply them.

Levels, by the frequency (cycles/px) they halve: 1/2 and 1/4 at full resolution, then 1/8 on every 2nd pixel, 1/16
on every 4th, and so on. A coarse level comes back by cubic B-spline interpolation, whose transfer the filters undo, so
that what a level does in all, exp(-ln 2 (f / cut)^2), is the same in every direction.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

#: Outputs made by one matrix product.
_BLOCK = 32


def _gaussian(f: np.ndarray, cut: float) -> np.ndarray:
    return np.asarray(0.5 ** ((f / cut) ** 2))


def _fit(f: np.ndarray, target: np.ndarray, weight: np.ndarray, half: int, halving: bool = False) -> tuple[float, ...]:
    """Least-squares symmetric kernel of sum one; entries 0 (centre) to `half`.

    With `halving` nothing passes at 1/2 cycle a sample: even and odd pixels count alike, so that keeping every second
    sample keeps the mean.
    """
    basis = 2 * (np.cos(2 * np.pi * f[:, None] * np.arange(1, half + 1)) - 1) * weight[:, None]
    side = np.linalg.lstsq(basis, (target - 1) * weight, rcond=None)[0]
    if halving:
        row = 2 * ((-1.0) ** np.arange(1, half + 1) - 1)
        toward = np.linalg.solve(basis.T @ basis, row)
        side = side - toward * (1 + row @ side) / (row @ toward)
    return (float(1 - 2 * side.sum()), *map(float, side))


@functools.cache
def kernels() -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Half kernels: cut 1/2, cut 1/4, from full to every 2nd pixel, and from any such level to the next."""
    f = np.linspace(0, 0.5, 201)
    finest = _fit(f, _gaussian(f, 0.5), np.ones_like(f), 5)
    second = _fit(f, _gaussian(f, 0.25), np.where(f < 0.3, 1.0, 0.3), 2)
    interpolation = np.cos(np.pi * f) ** 4
    weight = np.where(f < 0.2, 1.0, 0.5) * np.maximum(interpolation, 0.2)
    wanted = _gaussian(f, 0.125) / np.maximum(interpolation, 0.05)
    first = _fit(f, np.where(f > 0.3, 0, wanted), weight, 4, halving=True)
    wanted = 0.5 ** (0.75 * (f / 0.125) ** 2) / np.maximum(interpolation, 0.05)
    following = _fit(f, np.where(f > 0.3, 0, wanted), weight, 4, halving=True)
    return finest, second, first, following


Band = tuple[Tensor, int, int]  # a block as a matrix (inputs, outputs), inputs between blocks, inputs before the first
_BANDS: dict[tuple[tuple[float, ...], int], Band] = {}  # a plain dictionary: `torch.compile` looks through it


def _toeplitz(half: tuple[float, ...], step: int) -> Band:
    """Return a convolution with a symmetric kernel as a banded matrix."""
    key = (half, step)
    if key not in _BANDS:
        _BANDS[key] = _convolution(half, step)
    return _BANDS[key]


def _convolution(half: tuple[float, ...], step: int) -> Band:
    reach = len(half) - 1
    taps = torch.tensor([*half[:0:-1], *half], dtype=torch.float64)
    matrix = torch.zeros((_BLOCK - 1) * step + len(taps), _BLOCK, dtype=torch.float64)
    for k in range(_BLOCK):
        matrix[k * step : k * step + len(taps), k] = taps
    return matrix, _BLOCK * step, reach


def _doubling() -> Band:
    """Return cubic B-spline interpolation by two: even samples from (1, 6, 1) / 8, odd ones from (4, 4) / 8."""
    matrix = torch.zeros(_BLOCK // 2 + 2, _BLOCK, dtype=torch.float64)
    for k in range(_BLOCK // 2):
        matrix[k : k + 3, 2 * k] = torch.tensor([1.0, 6.0, 1.0], dtype=torch.float64) / 8
        matrix[k + 1 : k + 3, 2 * k + 1] = 0.5
    return matrix, _BLOCK // 2, 1


_DOUBLING = _doubling()


def _edges(x: Tensor, before: int, total: int, axis: int) -> Tensor:
    """Repeat the edge pixels: `before` in front, and behind up to `total`."""
    after = total - before - x.shape[axis]
    sizes = [-1] * x.ndim
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
    sizes[axis] = before
    front = first.expand(sizes)
    sizes[axis] = after
    return torch.cat((front, x, last.expand(sizes)), axis)


def banded(x: Tensor, band: Band, axis: int, count: int) -> Tensor:
    """Apply a banded matrix along the last or last but one axis of (..., h, w), block by block, to `count` outputs."""
    matrix, step, before = band
    matrix = matrix.to(x.device, x.dtype)
    n_blocks = -(-count // matrix.shape[1])
    x = _edges(x, before, max((n_blocks - 1) * step + len(matrix), before + x.shape[axis]), axis)
    if (
        x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not (torch.is_grad_enabled() and x.requires_grad)
    ):
        return _banded_in_place(x, matrix, step, axis, count, n_blocks)
    if axis == -2:  # (..., blocks, w, inputs)
        blocks = x.unfold(-2, len(matrix), step).narrow(-3, 0, n_blocks) @ matrix
        return blocks.transpose(-1, -2).flatten(-3, -2).narrow(-2, 0, count)
    return (x.unfold(-1, len(matrix), step)[..., :n_blocks, :] @ matrix).flatten(-2).narrow(-1, 0, count)


def _banded_in_place(x: Tensor, matrix: Tensor, step: int, axis: int, count: int, n_blocks: int) -> Tensor:
    """Write each block where it belongs, without copies of overlapping blocks."""
    shape, block = list(x.shape), matrix.shape[1]
    shape[axis] = n_blocks * block
    out = x.new_empty(shape)
    if axis == -1:
        source, target = x.view(-1, x.shape[-1]), out.view(-1, shape[-1])
        for i in range(n_blocks):
            torch.mm(source[:, i * step : i * step + len(matrix)], matrix, out=target[:, i * block : (i + 1) * block])
    else:
        flipped = matrix.T.contiguous()
        for source, target in zip(x.flatten(0, -3), out.flatten(0, -3), strict=True):
            for i in range(n_blocks):
                torch.mm(flipped, source[i * step : i * step + len(matrix)], out=target[i * block : (i + 1) * block])
    return out.narrow(axis, 0, count)


def lowpass(x: Tensor, half: tuple[float, ...], step: int = 1) -> Tensor:
    """Convolve (..., h, w) with a symmetric kernel both ways, keeping every `step`-th sample from the first on."""
    plan = _toeplitz(half, step)
    x = banded(x, plan, -2, -(-x.shape[-2] // step))
    return banded(x, plan, -1, -(-x.shape[-1] // step))


def double(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate (..., h, w) to twice the samples, cut to `shape`."""
    return banded(banded(x, _DOUBLING, -2, shape[0]), _DOUBLING, -1, shape[1])
