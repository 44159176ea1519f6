"""Averages of x(p) x(p + lag) for the lags of a neighbourhood: over the torus by Fourier, or as maps to be pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def neighborhood(width_px: int) -> Tensor:
    """Lags (down, right) of a square neighbourhood, half of them as the rest are mirrored, (0, 0) first.

    The order is that of the lower triangle of the square, row by row, as in plenoptic.
    """
    place = torch.tril_indices(width_px, width_px).T
    middle = width_px // 2
    mirrored = (place[:, 0] == place[:, 1]) & (place[:, 0] >= middle)
    return torch.cat((torch.zeros(1, 2, dtype=torch.long), place[~mirrored] - middle))


class _Autocovariance(torch.autograd.Function):
    """Mean of x(p) x(p + lag) around the torus for a few lags, by the power spectrum at those lags alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor, counted: Tensor, pick: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x)
        ctx.save_for_backward(x, spectrum, rows, columns, pick)
        power = (spectrum * spectrum.conj()).real.contiguous()
        return (rows @ (power @ counted)).flatten(-2) @ pick

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, spectrum, rows, columns, pick = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone wants the second derivative
            spectrum = torch.fft.rfft2(x)
        table = (grads[0] @ pick.mT).unflatten(-1, (len(rows), -1))
        gain = rows.mT @ table @ (2 * columns).mT
        back = torch.fft.irfft2(spectrum * gain.to(spectrum.dtype), s=x.shape[-2:], norm="forward")
        return back, None, None, None, None


def lag_waves(shape: tuple[int, int], lags: Tensor) -> tuple[Tensor, ...]:
    """Cosines and sines that take a power spectrum (h, w // 2 + 1) to autocovariances at lags (n, 2), (down, right)."""
    (h, w), n = shape, int(lags.abs().max()) + 1
    steps = torch.arange(n, dtype=torch.float64)
    rows = 2 * math.pi / h * steps[:, None] * torch.arange(h, dtype=torch.float64)
    columns = 2 * math.pi / w * torch.arange(w // 2 + 1, dtype=torch.float64)[:, None] * steps
    waves = torch.cat((columns.cos(), columns.sin()), 1)
    counted = 2 * waves  # the other half of the plane
    counted[0] = waves[0]
    if w % 2 == 0:
        counted[-1] = waves[-1]
    down, right = lags.abs().T
    pick, index = torch.zeros(2 * n, 2 * n, len(lags), dtype=torch.float64), torch.arange(len(lags))
    pick[down, right, index] = 1  # cos(a + b) = cos a cos b - sin a sin b
    pick[n + down, n + right, index] -= torch.sign(lags.prod(1)).double()
    return torch.cat((rows.cos(), rows.sin())), waves, counted, pick.flatten(0, 1) / (h * w) ** 2


def autocovariance(x: Tensor, waves: tuple[Tensor, ...]) -> Tensor:
    """(..., h, w) to (..., n_lags), lags and transforms from `lag_waves`."""
    return _Autocovariance.apply(x, *waves)


class _LagProducts(torch.autograd.Function):
    """x(m - a) x(m + b) on all samples m, a + b the lag, a its half rounded down; 0 where a sample lies outside.

    The pair's mid-point is m, or half a sample further where the lag is odd.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, lags: list[list[int]]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.lags = lags
        out = x.new_zeros(*x.shape[:-2], len(lags), *x.shape[-2:])
        for i, (first, second, middle) in enumerate(_overlaps(x, lags)):
            torch.mul(x[first], x[second], out=out.select(-3, i)[middle])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone wants the second derivative
            return torch.autograd.grad(_plain_products(x, ctx.lags), x, grads[0], create_graph=True)[0], None
        back = torch.zeros_like(x)
        for i, (first, second, middle) in enumerate(_overlaps(x, ctx.lags)):
            grad = grads[0].select(-3, i)[middle]
            back[first].addcmul_(grad, x[second])
            back[second].addcmul_(grad, x[first])
        return back, None


def lag_products(x: Tensor, lags: list[list[int]]) -> Tensor:
    """(..., h, w) to maps (..., n_lags, h, w) of products of samples a lag apart, at their mid-points."""
    return _LagProducts.apply(x, lags)


def _plain_products(x: Tensor, lags: list[list[int]]) -> Tensor:
    height, width = x.shape[-2:]
    maps = []
    for first, second, (_, rows, columns) in _overlaps(x, lags):
        margins = (columns.start, width - columns.stop, rows.start, height - rows.stop)
        maps.append(nn.functional.pad(x[first] * x[second], margins))
    return torch.stack(maps, -3)


def _overlaps(x: Tensor, lags: Sequence[Sequence[int]]) -> list[tuple[Any, Any, Any]]:
    """Slices of the first and second sample of all pairs inside, and of the map at their mid-points."""
    out: list[tuple[Any, Any, Any]] = []
    for lag in lags:
        starts: list[list[slice]] = [[], [], []]
        for size, step in zip(x.shape[-2:], lag, strict=True):
            a = step // 2
            b = step - a
            low, high = max(a, -b, 0), min(size + a, size - b, size)
            for place, shift in zip(starts, (-a, b, 0), strict=True):
                place.append(slice(low + shift, max(high, low) + shift))
        first, second, middle = ((..., *place) for place in starts)
        out.append((first, second, middle))
    return out
