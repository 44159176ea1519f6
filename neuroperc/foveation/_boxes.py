"""Means over boxes of any size, one box an output cell, at a cost that does not depend on the boxes.

A summed-area table turns every box into four look-ups. In float32 its entries grow to the sum of the whole map and
the differences lose all digits, so the table is float64 (53 bits hold 2^22 cells of a 24-bit picture with room to
spare). It is built for a few channels at a time, channels last: each look-up reads one short contiguous row, and the
table stays in the cache.

Both operators are linear, each the other's adjoint, so each is the other's backward pass, to any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._check import fail

_TABLE_BYTES = {"cpu": 2**22, "cuda": 2**28}  # a core's cache; enough to fill a GPU


def _channels_at_once(device: torch.device, n_entries: int, n_channels: int) -> int:
    budget = _TABLE_BYTES.get(device.type, 2**28)
    return max(1, min(n_channels, budget // (8 * n_entries)))


@torch.library.custom_op("neuroperc::box_means", mutates_args=())
def box_means(x: Tensor, corners: Tensor, count: Tensor) -> Tensor:
    """Sum `x` over boxes and divide by `count`.

    Parameters
    ----------
    x
        (b, c, h, w), any floating dtype.
    corners
        (b or 1, 4, m) int64: places of the boxes' corners (bottom right, top right, bottom left, top left) in a
        flattened (h + 1, w + 1) table, whose entry (i, j) is the sum of the rows before i and the columns before j.
    count
        (b or 1, m) float64, the number of cells in each box.

    Returns
    -------
    Tensor
        (b, c, m) in the dtype of `x`.

    Raises
    ------
    ValueError
        When `x` holds NaN or infinity (on the CPU; a GPU would have to wait for the answer).
    """
    batch, channels, height, width = x.shape
    out = x.new_empty(batch, channels, count.shape[-1])
    step = _channels_at_once(x.device, (height + 1) * (width + 1), channels)
    for start in range(0, channels, step):
        part = slice(start, min(start + step, channels))
        table = x.new_zeros(height + 1, width + 1, part.stop - start, dtype=torch.float64)
        inner, rows = table[1:, 1:], table.view(-1, part.stop - start)
        for item in range(batch):
            places, n_cells = corners[item % len(corners)], count[item % len(count)]
            inner.copy_(x[item, part].permute(1, 2, 0)).cumsum_(0).cumsum_(1)
            if x.device.type == "cpu" and not bool(table[-1, -1].isfinite().all()):
                fail("x", "finite", f"NaN or infinite values in item {item}", "Replace them first: they would spread.")
            total = rows[places[0]].sub_(rows[places[1]]).sub_(rows[places[2]]).add_(rows[places[3]])
            out[item, part] = total.div_(n_cells[:, None]).T.to(x.dtype)
    return out


@torch.library.custom_op("neuroperc::box_spread", mutates_args=())
def box_spread(y: Tensor, corners: Tensor, count: Tensor, height: int, width: int) -> Tensor:
    """Add `y / count` of each box to all its cells: the adjoint of `box_means`; (b, c, m) -> (b, c, height, width)."""
    batch, channels, _ = y.shape
    out = y.new_empty(batch, channels, height, width)
    step = _channels_at_once(y.device, (height + 1) * (width + 1), channels)
    for start in range(0, channels, step):
        part = slice(start, min(start + step, channels))
        table = y.new_empty(height + 1, width + 1, part.stop - start, dtype=torch.float64)
        rows = table.view(-1, part.stop - start)
        for item in range(batch):
            places, n_cells = corners[item % len(corners)], count[item % len(count)]
            values = y[item, part].to(torch.float64).T / n_cells[:, None]
            table.zero_()
            for place, sign in zip(places, (1, -1, -1, 1), strict=True):
                _add_rows(rows, place, values, sign)
            # Entry (i, j) counts for all cells above and left of it: a suffix sum along both axes.
            spread = table.flip(0, 1).cumsum_(0).cumsum_(1).flip(0, 1)[1:, 1:]
            out[item, part] = spread.permute(2, 0, 1).to(y.dtype)
    return out


def _add_rows(rows: Tensor, place: Tensor, values: Tensor, sign: int) -> None:
    if rows.device.type == "cuda":  # index_add_ adds in any order there; index_put_ sorts first, so it is repeatable
        rows.index_put_((place,), sign * values, accumulate=True)
    else:
        rows.index_add_(0, place, values, alpha=sign)


@box_means.register_fake
def _(x: Tensor, corners: Tensor, count: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], count.shape[-1])


@box_spread.register_fake
def _(y: Tensor, corners: Tensor, count: Tensor, height: int, width: int) -> Tensor:
    return y.new_empty(y.shape[0], y.shape[1], height, width)


def _save_means(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, corners, count = inputs
    ctx.save_for_backward(corners, count)
    ctx.shape = x.shape[-2:]


def _means_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return box_spread(grad, *ctx.saved_tensors, *ctx.shape), None, None


def _save_spread(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:3])


def _spread_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
    return box_means(grad, *ctx.saved_tensors), None, None, None, None


torch.library.register_autograd("neuroperc::box_means", _means_backward, setup_context=_save_means)
torch.library.register_autograd("neuroperc::box_spread", _spread_backward, setup_context=_save_spread)
