"""Bands, magnitudes, doubled phases and moments with slopes written out: most of the time of a synthesis goes here.

Filters F are real but for a factor, so that conj(F) = sign F. Under double differentiation every slope is autograd's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: Keeps the slope of a magnitude finite at 0; far below what a picture in float32 can hold.
_TINY = 1e-30


def _split(z: Tensor) -> tuple[Tensor, Tensor]:
    real, imaginary = torch.view_as_real(z).unbind(-1)
    return real.contiguous(), imaginary.contiguous()


def _length(real: Tensor, imaginary: Tensor) -> Tensor:
    return (real * real).add_(_TINY).addcmul_(imaginary, imaginary).sqrt_()


def _filtered(spectrum: Tensor, filters: Tensor) -> Tensor:
    return torch.fft.ifft2(spectrum[..., None, :, :] * filters, norm="forward")


def _back(grad: Tensor, filters: Tensor, sign: float) -> Tensor:
    """Adjoint of `_filtered`."""
    return (torch.fft.fft2(grad) * filters).sum(-3).mul_(sign)


def _again(plain: Callable[[Tensor], Any], x: Tensor, grads: tuple[Tensor, ...]) -> Tensor:
    return torch.autograd.grad(plain(x), x, grads, create_graph=True)[0]


def _through_mean(centered: Tensor, mean: Tensor | float = 0.0) -> Tensor:
    """Gradient of every sample through the mean that was taken away (and through the mean itself)."""
    return (mean - centered.sum((-2, -1), keepdim=True)) / (centered.shape[-2] * centered.shape[-1])


class _Oriented(torch.autograd.Function):
    @staticmethod
    def plain(spectrum: Tensor, filters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        real, imaginary = _split(_filtered(spectrum, filters))
        length = _length(real, imaginary)
        mean = length.mean((-2, -1), keepdim=True)
        return real, length - mean, mean

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, filters: Tensor, sign: float) -> tuple[Tensor, Tensor, Tensor]:
        real, imaginary = _split(_filtered(spectrum, filters))
        length = _length(real, imaginary)
        mean = length.mean((-2, -1), keepdim=True)
        centered = length.sub_(mean)
        ctx.save_for_backward(spectrum, filters, real, imaginary, centered, mean)
        ctx.sign = sign
        return real, centered, mean

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        spectrum, filters, real, imaginary, centered, mean = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _again(lambda x: _Oriented.plain(x, filters), spectrum, grads), None, None
        slope = (grads[1] + _through_mean(grads[1], grads[2])).div_(centered + mean)
        grad = torch.complex(torch.addcmul(grads[0], slope, real), slope.mul_(imaginary))
        return _back(grad, filters, ctx.sign), None, None


class _Parents(torch.autograd.Function):
    @staticmethod
    def plain(spectrum: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
        real, imaginary = _split(_filtered(spectrum, filters))
        length = _length(real, imaginary)
        doubled = torch.cat((real * real - imaginary * imaginary, 2 * real * imaginary), -3)
        return length - length.mean((-2, -1), keepdim=True), doubled / torch.cat((length, length), -3)

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, filters: Tensor, sign: float) -> tuple[Tensor, Tensor]:
        real, imaginary = _split(_filtered(spectrum, filters))
        length = _length(real, imaginary)
        n = real.shape[-3]
        doubled = real.new_empty(*real.shape[:-3], 2 * n, *real.shape[-2:])
        even, odd = doubled.narrow(-3, 0, n), doubled.narrow(-3, n, n)
        torch.mul(real, imaginary, out=odd).div_(length).mul_(2)
        torch.mul(real, real, out=even).addcmul_(imaginary, imaginary, value=-1).div_(length)
        mean = length.mean((-2, -1), keepdim=True)
        centered = length.sub_(mean)
        ctx.save_for_backward(spectrum, filters, real, imaginary, centered, mean, doubled)
        ctx.sign = sign
        return centered, doubled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        spectrum, filters, real, imaginary, centered, mean, doubled = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _again(lambda x: _Parents.plain(x, filters), spectrum, grads), None, None
        n, length = real.shape[-3], centered + mean
        even, odd = doubled.narrow(-3, 0, n), doubled.narrow(-3, n, n)
        to_even, to_odd = grads[1].narrow(-3, 0, n), grads[1].narrow(-3, n, n)
        # Along z the length changes, across it the phase, and the doubled phase twice as fast.
        along = (to_even * even).addcmul_(to_odd, odd).div_(length)
        along.add_(grads[0]).add_(_through_mean(grads[0])).div_(length)
        across = (to_odd * even).addcmul_(to_even, odd, value=-1).div_(length.mul_(length)).mul_(2)
        grad_real = (along * real).addcmul_(across, imaginary, value=-1)
        grad = torch.complex(grad_real, across.mul_(real).addcmul_(along, imaginary))
        return _back(grad, filters, ctx.sign), None, None


class _Moments(torch.autograd.Function):
    @staticmethod
    def plain(x: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        centered = x - mean
        square = centered * centered
        powers = (power.mean((-2, -1)) for power in (square, square * centered, square * square))
        return torch.stack((mean[..., 0, 0], *powers), -1)

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        moments = _Moments.plain(x)
        ctx.save_for_backward(x, moments)
        return moments

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        x, moments = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _again(_Moments.plain, x, grads)
        share = grads[0][..., None, None] / (x.shape[-2] * x.shape[-1])
        first, second, third, fourth = share.unbind(-3)
        mean, m2, m3, _ = moments[..., None, None].unbind(-3)
        centered = x - mean  # its powers' slopes have no mean: the mean was taken away
        slope = centered.mul(4 * fourth).add_(3 * third).mul_(centered).add_(2 * second).mul_(centered)
        return slope.add_(first - 3 * third * m2 - 4 * fourth * m3)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a.flatten(-2) @ b.flatten(-2).mT / (a.shape[-2] * a.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        share = grads[0] / (a.shape[-2] * a.shape[-1])
        return (share @ b.flatten(-2)).view_as(a), (share.mT @ a.flatten(-2)).view_as(b)


class _Gram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.flatten(-2) @ x.flatten(-2).mT / (x.shape[-2] * x.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        share = (grads[0] + grads[0].mT) / (x.shape[-2] * x.shape[-1])
        return (share @ x.flatten(-2)).view_as(x)


class _MeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.linalg.vector_norm(x, dim=(-2, -1)).square() / (x.shape[-2] * x.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return x * (2 / (x.shape[-2] * x.shape[-1]) * grads[0])[..., None, None]


def oriented(spectrum: Tensor, filters: Tensor, sign: float) -> tuple[Tensor, Tensor, Tensor]:
    """Complex bands of a spectrum (..., h, w): real parts (..., n, h, w), magnitudes less their means, the means."""
    return _Oriented.apply(spectrum, filters, sign)


def parents(spectrum: Tensor, filters: Tensor, sign: float) -> tuple[Tensor, Tensor]:
    """Magnitudes A of complex bands less their means, and (..., 2n, h, w): Re, then Im, of A exp(2 i phase)."""
    return _Parents.apply(spectrum, filters, sign)


def moments(x: Tensor) -> Tensor:
    """Mean and second to fourth moment about it, (..., h, w) to (..., 4)."""
    return _Moments.apply(x)


def mean_products(a: Tensor, b: Tensor) -> Tensor:
    """Averages of all products, (..., m, h, w) and (..., n, h, w) to (..., m, n)."""
    return _Gram.apply(a) if a is b else _Products.apply(a, b)


def mean_square(x: Tensor) -> Tensor:
    """(..., h, w) to (...)."""
    return _MeanSquare.apply(x)
