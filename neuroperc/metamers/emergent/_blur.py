"""Gaussian blur of sRGB codes with many widths at once, and the check of what comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._check import check, fail, finite
from ...color import linear_to_srgb

_TRUNCATE = 4.0  # kernels end after so many standard deviations


def codes_of(x: Any, shape_px: tuple[int, int] | None = None, name: str = "x") -> Tensor:
    """Return sRGB codes of pictures (b, c, h, w) in linear light, or raise."""
    ok = isinstance(x, Tensor) and x.is_floating_point()
    remedy = "Use linear light: srgb_to_linear(codes / 255)."
    check(ok, name, "a floating torch.Tensor", getattr(x, "dtype", type(x)), remedy, TypeError)
    wanted = ("h", "w") if shape_px is None else shape_px
    good = x.ndim == 4 and x.shape[1] in (1, 3) and x.numel() > 0
    if not (good and (shape_px is None or tuple(x.shape[-2:]) == tuple(shape_px))):
        fail(name, f"(b, 1 or 3, {wanted[0]}, {wanted[1]})", tuple(x.shape), "Give the Display the picture is for.")
    finite(name, x)
    codes: Tensor = linear_to_srgb(x.clamp(0, 1))
    return codes


def sigmas(name: str, value: Any, *, infinite: bool = False) -> np.ndarray:
    """Return standard deviations of 0 or more, (n,)."""
    array = np.atleast_1d(np.asarray(value, dtype=float))
    good = array.ndim == 1 and array.size > 0 and bool((array >= 0).all())
    good = good and (infinite or bool(np.isfinite(array).all()))
    check(good, name, "one or more numbers of 0 or more", value, "0 leaves a picture as it is.")
    return array


def blurred(codes: Tensor, sigma_px: np.ndarray) -> Tensor:
    """Blur (b, c, h, w) with every width: (n, b, c, h, w). Edge pixels are repeated; kernels end after 4 SD."""
    down, across = (_matrices(n, sigma_px, codes) for n in codes.shape[-2:])
    return down[:, None, None] @ codes @ across[:, None, None].mT


def _matrices(n: int, sigma_px: np.ndarray, like: Tensor) -> Tensor:
    """Return sampled Gaussians as matrices (n_sigmas, n, n) whose rows sum to one."""
    radius = (_TRUNCATE * sigma_px + 0.5).astype(int)
    offset = np.arange(-radius.max(), radius.max() + 1)
    taps = np.exp(-0.5 * (offset / np.maximum(sigma_px, 1e-9)[:, None]) ** 2)
    taps *= np.abs(offset) <= radius[:, None]
    taps /= taps.sum(1, keepdims=True)
    row = np.arange(n)[:, None]
    entry = torch.from_numpy((row * n + np.clip(row + offset, 0, n - 1)).ravel())
    values = torch.from_numpy(np.tile(taps, n))
    out = torch.zeros(len(sigma_px), n * n, dtype=torch.float64).index_add_(1, entry, values)
    return out.unflatten(1, (n, n)).to(like)
