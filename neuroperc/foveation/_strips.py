"""The blend of `_octaves` strip by strip, in buffers that stay in the cache: no gradient, one gaze, CPU.

Same numbers as `_octaves.blend` within rounding; what a strip does not need (levels of weight zero there) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import _octaves as octaves

_STRIP = 3 * 32 * 1024  # samples worked on at a time by one thread: a handful of such buffers fit its cache
_PLANES = 4  # planes in one strip
LEAST = 16  # px; smaller pictures are blended at once


class Strip(NamedTuple):
    """Rows of the picture, whether they need the coarse levels and level 2, and the columns that need 1 and 0."""

    top: int
    bottom: int
    coarse: bool
    second: bool
    first: slice | None
    picture: slice | None


class Plan(NamedTuple):
    """Weights of the levels, (h_k, w_k), down to the coarsest that anyone needs, and the strips."""

    masks: list[Tensor]
    strips: list[Strip]


def make_plan(masks: Sequence[Tensor]) -> Plan:
    """See what each strip of a picture with three channels needs."""
    masks = list(masks)
    while len(masks) > 2 and bool((masks[-1] == 1).all()):
        masks.pop()
    height, width = masks[0].shape
    rows = max(8, _STRIP // (3 * width) // 2 * 2)
    strips = []
    for top in range(0, height, rows):
        part = [mask[top : top + rows] for mask in masks[:3]]
        coarse = len(masks) > 2 and bool((part[2] < 1).any())
        second = len(masks) == 2 or bool((part[2] > 0).any())
        strips.append(Strip(top, min(top + rows, height), coarse, second, _columns(part[1]), _columns(part[0])))
    return Plan(masks, strips)


def blend(x: Tensor, plan: Plan) -> Tensor:
    """Blend (..., h, w); see `_octaves.blend`."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    shape = (-1, x.shape[-2], x.shape[-1])
    for picture, target in zip(x.reshape(shape).split(_PLANES), out.view(shape).split(_PLANES), strict=True):
        _blend_planes(picture, target, plan)
    return out


def _blend_planes(x: Tensor, out: Tensor, plan: Plan) -> None:
    coarse = _coarse(x, plan)
    for strip in plan.strips:
        target = out[:, strip.top : strip.bottom]
        if strip.coarse and coarse is not None:
            _double(coarse, strip, target)
        if strip.second:
            fine = _smooth(x, strip, slice(0, x.shape[-1]), octaves.LEVEL_2)
            if strip.coarse:
                torch.lerp(target, fine, plan.masks[2][strip.top : strip.bottom], out=target)
            else:
                target.copy_(fine)
        for level, columns in ((1, strip.first), (0, strip.picture)):
            if columns is not None:
                rows = slice(strip.top, strip.bottom)
                fine = _smooth(x, strip, columns, octaves.LEVEL_1) if level else x[:, rows, columns]
                part = target[..., columns]
                torch.lerp(part, fine, plan.masks[level][rows, columns], out=part)


def _coarse(x: Tensor, plan: Plan) -> Tensor | None:
    """Level 3 with all coarser ones blended in."""
    coarsest = len(plan.masks)
    if coarsest < 3:
        return None
    n, (height, width) = len(x), octaves.shape_at((x.shape[-2], x.shape[-1]), 3)
    level = x.new_empty(n, height, width)
    rows = max(4, _STRIP // (n * x.shape[-1]))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        _halve(x, top, level[:, top:bottom])
    return octaves.merge([level, *octaves.coarser(level, coarsest)], plan.masks)


def _columns(mask: Tensor) -> slice | None:
    """From the first column with any weight to the last."""
    some = torch.nonzero((mask > 0).any(0)).flatten()
    return slice(int(some[0]), int(some[-1]) + 1) if len(some) else None


def _rows(x: Tensor, top: int, bottom: int) -> Tensor:
    """Rows of (n, h, w), mirrored beyond the picture."""
    above, below = max(-top, 0), max(bottom - x.shape[1], 0)
    inside = x[:, max(top, 0) : bottom]
    if not above and not below:
        return inside
    return torch.cat((x[:, :above].flip(1), inside, x[:, x.shape[1] - below :].flip(1)), 1)


def _margins(x: Tensor, before: int, after: int) -> None:
    """Fill the outermost columns with the mirrored ones beside them."""
    if before:
        x[..., :before] = x[..., before : 2 * before].flip(-1)
    if after:
        size = x.shape[-1]
        x[..., size - after :] = x[..., size - 2 * after : size - after].flip(-1)


def _smooth(x: Tensor, strip: Strip, columns: slice, shares: Sequence[float]) -> Tensor:
    """Level 1 or 2 on the strip's rows and these columns."""
    reach, (n, _, width) = len(shares), x.shape
    rows = _rows(x, strip.top - reach, strip.bottom + reach)
    height, count = strip.bottom - strip.top, columns.stop - columns.start
    low, high = max(columns.start - reach, 0), min(columns.stop + reach, width)
    before, after = low - (columns.start - reach), columns.stop + reach - high
    wide, work = (x.new_empty(n, height, count + 2 * reach) for _ in range(2))
    inner = slice(before, before + high - low)
    octaves.pairs(rows[..., low:high], -2, height, 1, shares, even=False, out=wide[..., inner], work=work[..., inner])
    _margins(wide, before, after)
    out = x.new_empty(n, height, count)
    return octaves.pairs(wide, -1, count, 1, shares, even=False, out=out, work=work[..., :count])


def _halve(x: Tensor, top: int, out: Tensor) -> None:
    """Rows of level 3 from `top` on."""
    shares, (n, height, width) = octaves.TO_LEVEL_3, out.shape
    reach = len(shares)
    rows = _rows(x, 2 * top - reach, 2 * (top + height) + reach)
    after = 2 * width + reach - x.shape[-1]
    wide, work = (x.new_empty(n, height, reach + 2 * width + reach) for _ in range(2))
    inner = slice(reach, reach + x.shape[-1])
    octaves.pairs(rows, -2, height, 2, shares, even=True, out=wide[..., inner], work=work[..., inner])
    _margins(wide, reach, after)
    octaves.pairs(wide, -1, width, 2, shares, even=True, out=out, work=work[..., :width])


def _double(coarse: Tensor, strip: Strip, out: Tensor) -> None:
    """Interpolate the strip's rows from level 3."""
    n, _, width = coarse.shape
    top, count = strip.top // 2, -(-(strip.bottom - strip.top) // 2)
    rows = _rows(coarse, top - 1, top + count + 1)
    tall = coarse.new_empty(n, 2 * count, width + 2)
    for target, left, middle in _quarters(tall[..., 1:-1], rows, -2):
        torch.lerp(middle, left, octaves.FARTHER, out=target)
    _margins(tall, 1, 1)
    for target, left, middle in _quarters(out, tall[:, : out.shape[1]], -1):
        torch.lerp(middle, left, octaves.FARTHER, out=target)


def _quarters(out: Tensor, x: Tensor, axis: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Even and odd samples of `out`, with the farther and the nearer neighbour each lies between."""
    for odd in (0, 1):
        target = out[:, odd::2] if axis == -2 else out[..., odd::2]
        size = target.shape[axis]
        yield target, x.narrow(axis, 2 * odd, size), x.narrow(axis, 1, size)
