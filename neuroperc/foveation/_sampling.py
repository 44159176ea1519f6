"""Halving and interpolating pictures: what sampling a pyramid at arbitrary places needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Halve(torch.autograd.Function):
    """Binomial low-pass (1, 4, 6, 4, 1) / 16 and every other pixel; faster than `gaussian_pyramid`, edges mirrored."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        ctx.shape = image.shape[-2:]
        return _halve_axis(_halve_axis(image, -2), -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return Spread.apply(grads[0], ctx.shape)


class Spread(torch.autograd.Function):
    """The transpose of `Halve`: each is the other's gradient."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, shape: tuple[int, int]) -> Tensor:
        return _spread_axis(_spread_axis(grad, shape[1], -1), shape[0], -2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return Halve.apply(grads[0]), None


def _halve_axis(image: Tensor, axis: int) -> Tensor:
    """Add up strided slices: no padded copy, no convolution."""
    if image.shape[axis] == 1:
        return image.clone()
    pairs = image if axis == -1 else image.transpose(-1, -2)
    even, odd = pairs[..., ::2], pairs[..., 1::2]
    n, m = even.shape[-1], odd.shape[-1]
    out = even * 0.375
    out[..., :m].add_(odd, alpha=0.25)
    out[..., 1:].add_(odd[..., : n - 1], alpha=0.25)
    out[..., :-1].add_(even[..., 1:], alpha=0.0625)
    out[..., 1:].add_(even[..., :-1], alpha=0.0625)
    # What lies before the first pixel, and after the last, is what lies on its other side.
    second, last_but = min(1, n - 1), n - 1 if m == n else n - 2
    out[..., 0].add_(odd[..., 0], alpha=0.25).add_(even[..., second], alpha=0.0625)
    out[..., -1].add_(even[..., last_but], alpha=0.0625)
    if m < n:
        out[..., -1].add_(odd[..., -1], alpha=0.25)
    return out if axis == -1 else out.transpose(-1, -2)


def _spread_axis(grad: Tensor, length: int, axis: int) -> Tensor:
    """Undo each line of `_halve_axis`: what was added to an output goes back to its input."""
    if length == 1:
        return grad.clone()
    rows = grad if axis == -1 else grad.transpose(-1, -2)
    n, m = rows.shape[-1], length // 2
    even, odd = rows * 0.375, rows[..., :m] * 0.25
    odd[..., : n - 1].add_(rows[..., 1:], alpha=0.25)
    even[..., 1:].add_(rows[..., :-1], alpha=0.0625)
    even[..., :-1].add_(rows[..., 1:], alpha=0.0625)
    second, last_but = min(1, n - 1), n - 1 if m == n else n - 2
    odd[..., 0].add_(rows[..., 0], alpha=0.25)
    even[..., second].add_(rows[..., 0], alpha=0.0625)
    even[..., last_but].add_(rows[..., -1], alpha=0.0625)
    if m < n:
        odd[..., -1].add_(rows[..., -1], alpha=0.25)
    out = rows.new_empty(*rows.shape[:-1], length)
    out[..., ::2], out[..., 1::2] = even, odd
    return out if axis == -1 else out.transpose(-1, -2)


def bilinear(image: Tensor, points: Tensor) -> Tensor:
    """Interpolate (b or 1, c, h, w) at (..., n, m, 2) places (column, row), clamped to the image; (b, c, n, m)."""
    points = points.reshape(-1, *points.shape[-3:])
    batch = max(len(image), len(points))
    image, points = image.expand(batch, -1, -1, -1), points.expand(batch, -1, -1, -1)
    if image.device.type == "cpu":
        size = points.new_tensor([max(image.shape[-1] - 1, 1), max(image.shape[-2] - 1, 1)])
        return functional.grid_sample(image, points * (2 / size) - 1, padding_mode="border", align_corners=True)
    return bilinear_by_index(image, points)


def bilinear_by_index(image: Tensor, points: Tensor) -> Tensor:
    """Interpolate through indices: on CUDA their gradient adds up in a fixed order, that of `grid_sample` does not."""
    height, width = image.shape[-2:]
    x, y = points[..., 0].clamp(0, width - 1), points[..., 1].clamp(0, height - 1)
    left, top = x.detach().long().clamp(max=max(width - 2, 0)), y.detach().long().clamp(max=max(height - 2, 0))
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    item = torch.arange(len(image), device=image.device)[:, None, None]
    rows = image.permute(0, 2, 3, 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = rows[item, top, left] * (1 - fx) + rows[item, top, right] * fx
    lower = rows[item, bottom, left] * (1 - fx) + rows[item, bottom, right] * fx
    return (upper * (1 - fy) + lower * fy).permute(0, 3, 1, 2)
