"""A convolutional network as blocks between pools, run on any part of the map that a whole view would give.

Maps of level l = 1, 2, ... are what block l returns, before its own pool; level 0 is the picture. A part of a map is
a `Patch`: values and the cell where they begin. All else of the map is the ground: either a map, or one cell that
repeats for ever.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._check import check, fail

Place = tuple[int, int]


@dataclass(frozen=True)
class Patch:
    """Part of a map, (b, c, h, w), and the (row, column) of the map where each item's part begins."""

    values: Tensor
    at: tuple[Place, ...]

    @property
    def size(self) -> Place:
        """(h, w)."""
        return int(self.values.shape[-2]), int(self.values.shape[-1])


def cut(patch: Patch, at: tuple[Place, ...], size: Place, *, ground: Tensor | None, side: int | None) -> Tensor:
    """Return (b, c, *size) cells of a map from `at` on: the patch, around it the ground, beyond the map 0.

    `ground` is (c, side, side), (c, 1, 1) or None (0); `side` None is a map without borders.
    """
    x = patch.values
    out = x.new_zeros(*x.shape[:2], *size)
    for i, (row, column) in enumerate(at):
        if ground is not None:
            rows, columns = _shared(row, size[0], 0, side), _shared(column, size[1], 0, side)
            single = ground.shape[-1] == 1
            piece = ground if single else ground[:, slice(*rows), slice(*columns)]
            out[i, :, rows[0] - row : rows[1] - row, columns[0] - column : columns[1] - column] = piece
        top, left = patch.at[i]
        rows = _shared(row, size[0], top, top + patch.size[0])
        columns = _shared(column, size[1], left, left + patch.size[1])
        if rows[0] < rows[1] and columns[0] < columns[1]:
            piece = x[i, :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
            out[i, :, rows[0] - row : rows[1] - row, columns[0] - column : columns[1] - column] = piece
    return out


def _shared(start: int, length: int, low: int, high: int | None) -> Place:
    if high is None:
        return start, start + length
    first = max(start, low)
    return first, max(first, min(start + length, high))


def zero_outside(x: Tensor, at: tuple[Place, ...], side: int | None) -> Tensor:
    """Set the cells of a part that lie beyond the map's borders to 0, as the network's padding has them."""
    if side is None:
        return x
    h, w = x.shape[-2:]
    if all(min(row, column) >= 0 and row + h <= side and column + w <= side for row, column in at):
        return x
    rows = torch.tensor([[0 <= row + k < side for k in range(h)] for row, _ in at], device=x.device)
    columns = torch.tensor([[0 <= column + k < side for k in range(w)] for _, column in at], device=x.device)
    return x * (rows[:, None, :, None] & columns[:, None, None, :])


class Trunk(nn.Module):
    """Blocks of stride-1 convolutions between 2 x 2 pools, with frozen weights.

    Parameters
    ----------
    net
        A Sequential, or a network with one called `features`, as torchvision's VGG have.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        layers = getattr(net, "features", net)
        check(isinstance(layers, nn.Sequential), "backbone", "a Sequential, or a network with .features that is one",
              type(layers).__name__, "torchvision's VGG networks are.", TypeError)  # fmt: skip
        blocks: list[list[nn.Module]] = [[]]
        for name, layer in copy.deepcopy(layers).named_children():  # freezing must not reach the caller's network
            if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                _check_pool(name, layer)
                blocks.append([])
            else:
                _check_layer(name, layer)
                blocks[-1].append(layer)
        if not blocks[-1]:
            blocks.pop()
        check(len(blocks) >= 2, "backbone", "made of two blocks or more, with 2 x 2 pools between", len(blocks))
        #: Cells that each block's convolutions reach to a side.
        self.halos = tuple(sum(c.kernel_size[0] // 2 for c in b if isinstance(c, nn.Conv2d)) for b in blocks)
        self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks).eval().requires_grad_(False)

    def block(self, level: int) -> list[nn.Module]:
        """Return the layers of block `level` (from 1)."""
        return list(self.blocks[level - 1].children())

    def whole(self, level: int, x: Tensor) -> Tensor:
        """Run block `level` on a whole map, of any shape."""
        for layer in self.block(level):
            if isinstance(layer, nn.Conv2d):
                reach = layer.kernel_size[0] // 2
                x = functional.conv2d(x, layer.weight, layer.bias, padding=reach, groups=layer.groups)
            else:
                x = layer(x)
        return x

    def convolve(self, level: int, x: Tensor, at: tuple[Place, ...], side: int | None) -> Tensor:
        """Run block `level` on a part that brings its halo; the answer is smaller by it.

        Parameters
        ----------
        level
            1, 2, ...
        x
            (b, c, h, w), its cells beyond the borders 0.
        at
            Where `x` begins on the map.
        side
            Of that map, or None.
        """
        for layer in self.block(level):
            if isinstance(layer, nn.Conv2d):
                x = functional.conv2d(zero_outside(x, at, side), layer.weight, layer.bias, groups=layer.groups)
                reach = layer.kernel_size[0] // 2
                at = tuple((row + reach, column + reach) for row, column in at)
            else:
                x = layer(x)
        return x


def plain_pool(x: Tensor, method: str) -> Tensor:
    """Pool 2 x 2 at stride 2."""
    return functional.max_pool2d(x, 2) if method == "max" else functional.avg_pool2d(x, 2)


def _check_pool(name: str, pool: nn.MaxPool2d | nn.AvgPool2d) -> None:
    both = [value if isinstance(value, int) else set(value) for value in (pool.kernel_size, pool.stride)]
    if not all(value in (2, {2}) for value in both):
        fail("backbone", "pooled 2 x 2 at stride 2", f"layer {name}: {pool}")


def _check_layer(name: str, layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        kernel = layer.kernel_size
        same = layer.padding in ("same", (kernel[0] // 2, kernel[1] // 2))
        good = same and layer.padding_mode == "zeros" and layer.stride == (1, 1) and layer.dilation == (1, 1)
        check(good and kernel[0] == kernel[1] and kernel[0] % 2 == 1, "backbone",
              "made of square, odd convolutions with stride 1 and zero padding that keeps the size",
              f"layer {name}: {layer}")  # fmt: skip
        return
    cellwise = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.BatchNorm2d, nn.Identity, nn.Dropout, nn.Sigmoid)
    check(isinstance(layer, cellwise), "backbone", "made of convolutions, cell-wise layers and 2 x 2 pools",
          f"layer {name}: {layer}")  # fmt: skip
