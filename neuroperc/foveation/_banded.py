"""Short filters as banded matrices: a block of outputs is one matrix product with the inputs it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ._sparse import unwatched

#: Outputs made by one matrix product.
_BLOCK = 32

Edges = Literal["repeat", "zero"]


class Band(NamedTuple):
    """One block of a filter: its matrix (inputs, outputs), inputs from block to block, and inputs before the first."""

    matrix: Tensor
    step: int
    before: int


_BANDS: dict[tuple[tuple[float, ...], int], Band] = {}  # a plain dictionary: `torch.compile` looks through it


def _convolution(half: tuple[float, ...], step: int) -> Band:
    """Return a convolution with a symmetric kernel, given from its centre on, that keeps every `step`-th sample."""
    key = (half, step)
    if key not in _BANDS:
        taps = torch.tensor([*half[:0:-1], *half], dtype=torch.float64)
        matrix = torch.zeros((_BLOCK - 1) * step + len(taps), _BLOCK, dtype=torch.float64)
        for k in range(_BLOCK):
            matrix[k * step : k * step + len(taps), k] = taps
        _BANDS[key] = Band(matrix, _BLOCK * step, len(half) - 1)
    return _BANDS[key]


def _doubling() -> Band:
    """Return cubic B-spline interpolation by two: even samples from (1, 6, 1) / 8, odd ones from (4, 4) / 8."""
    matrix = torch.zeros(_BLOCK // 2 + 2, _BLOCK, dtype=torch.float64)
    for k in range(_BLOCK // 2):
        matrix[k : k + 3, 2 * k] = torch.tensor([1.0, 6.0, 1.0], dtype=torch.float64) / 8
        matrix[k + 1 : k + 3, 2 * k + 1] = 0.5
    return Band(matrix, _BLOCK // 2, 1)


_DOUBLING = _doubling()


def banded(x: Tensor, band: Band, axis: int, count: int, edges: Edges) -> Tensor:
    """Filter along the last or last but one axis of (..., h, w), to `count` outputs; see `Band`.

    What lies beyond the picture is its edge repeated, or zero.
    """
    band = band._replace(matrix=band.matrix.to(x.device, x.dtype))
    whole = x.device.type != "cpu" or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if whole:  # one large product is what a GPU and the compiler like
        return _by_unfolding(x, band, axis, count, edges)
    return _block_by_block(x, band, axis, count, edges) if unwatched(x) else _Banded.apply(x, band, axis, count, edges)


def _block_by_block(x: Tensor, band: Band, axis: int, count: int, edges: Edges) -> Tensor:
    shape = list(x.shape)
    shape[axis] = count
    out = x.new_empty(shape)
    source, target = _matrices(x, axis), _matrices(out, axis)
    for inputs, outputs, matrix in _blocks(band, x.shape[axis], count, edges):
        for one, other in zip(source, target, strict=True):
            if axis == -1:
                torch.mm(one[:, inputs], matrix, out=other[:, outputs])
            else:
                torch.mm(matrix.T, one[inputs], out=other[outputs])
    return out


def _block_by_block_back(y: Tensor, band: Band, axis: int, size: int, edges: Edges) -> Tensor:
    """Return the transpose of `_block_by_block`: to `size` inputs."""
    shape = list(y.shape)
    shape[axis] = size
    out = y.new_zeros(shape)
    source, target = _matrices(y, axis), _matrices(out, axis)
    for inputs, outputs, matrix in _blocks(band, size, y.shape[axis], edges):
        for one, other in zip(source, target, strict=True):
            if axis == -1:
                other[:, inputs].addmm_(one[:, outputs], matrix.T)
            else:
                other[inputs].addmm_(matrix, one[outputs])
    return out


def _matrices(x: Tensor, axis: int) -> Sequence[Tensor]:
    """Return matrices to be filtered: one of all rows along the last axis, else one a picture."""
    x = x.contiguous()
    return [x.view(-1, x.shape[-1])] if axis == -1 else x.view(-1, *x.shape[-2:]).unbind()


class _Banded(torch.autograd.Function):
    """The filter with its transpose as the way back, and the other way round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Band, axis: int, count: int, edges: Edges) -> Tensor:
        ctx.how, ctx.size = (band, axis, edges), x.shape[axis]
        return _block_by_block(x, band, axis, count, edges)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        band, axis, edges = ctx.how
        return _BandedBack.apply(grads[0], band, axis, ctx.size, edges), None, None, None, None


class _BandedBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, band: Band, axis: int, size: int, edges: Edges) -> Tensor:
        ctx.how, ctx.count = (band, axis, edges), y.shape[axis]
        return _block_by_block_back(y, band, axis, size, edges)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        band, axis, edges = ctx.how
        return _Banded.apply(grads[0], band, axis, ctx.count, edges), None, None, None, None


def _blocks(band: Band, size: int, count: int, edges: Edges) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield each block's inputs, as far as there are, its outputs and its matrix."""
    matrix, step, before = band
    for i in range(-(-count // matrix.shape[1])):
        outputs = slice(i * matrix.shape[1], min((i + 1) * matrix.shape[1], count))
        first = i * step - before
        low, high = min(max(first, 0), size - 1), max(min(first + len(matrix), size), 1)
        part = matrix[:, : outputs.stop - outputs.start]
        inside = part[low - first : high - first]
        if edges == "repeat" and (first < 0 or first + len(matrix) > size):
            inside = inside.clone()
            inside[0] += part[: low - first].sum(0)
            inside[-1] += part[high - first :].sum(0)
        yield slice(low, high), outputs, inside


def _by_unfolding(x: Tensor, band: Band, axis: int, count: int, edges: Edges) -> Tensor:
    """Return the same, block beside block in one product, for `torch.compile` and function transforms."""
    matrix, step, before = band
    n_blocks = -(-count // matrix.shape[1])
    x = _pad(x, axis, before, max((n_blocks - 1) * step + len(matrix), before + x.shape[axis]), edges)
    if axis == -2:  # (..., blocks, w, inputs)
        blocks = x.unfold(-2, len(matrix), step).narrow(-3, 0, n_blocks) @ matrix
        return blocks.transpose(-1, -2).flatten(-3, -2).narrow(-2, 0, count)
    return (x.unfold(-1, len(matrix), step)[..., :n_blocks, :] @ matrix).flatten(-2).narrow(-1, 0, count)


def _pad(x: Tensor, axis: int, before: int, total: int, edges: Edges) -> Tensor:
    """Put `before` samples in front, and as many behind as make `total`."""
    sizes = [-1] * x.ndim
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
    if edges == "zero":
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    sizes[axis] = before
    front = first.expand(sizes)
    sizes[axis] = total - before - x.shape[axis]
    return torch.cat((front, x, last.expand(sizes)), axis)


def lowpass(x: Tensor, half: tuple[float, ...], step: int = 1) -> Tensor:
    """Convolve (..., h, w) with a symmetric kernel both ways, keeping every `step`-th sample from the first on."""
    plan = _convolution(half, step)
    x = banded(x, plan, -2, -(-x.shape[-2] // step), "repeat")
    return banded(x, plan, -1, -(-x.shape[-1] // step), "repeat")


def double(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate (..., h, w) to twice the samples, cut to `shape`."""
    return banded(banded(x, _DOUBLING, -2, shape[0], "repeat"), _DOUBLING, -1, shape[1], "repeat")
