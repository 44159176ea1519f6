"""Between integer codes in a file and values in [0, 1], and what lies behind transparent pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..._check import check, fail, finite, one_of
from ...color import linear_to_srgb, srgb_to_linear

Encoding = Literal["linear", "srgb"]
ENCODINGS: tuple[Encoding, ...] = ("linear", "srgb")


def to_codes(values: np.ndarray, encoding: Encoding, bits: int = 8, file_encoding: Encoding = "srgb") -> np.ndarray:
    """Return the nearest integer codes, uint8 or uint16, of values in [0, 1]."""
    one_of("bits", bits, (8, 16))
    if values.dtype.kind != "f":
        remedy = "Divide integer codes by their largest code and pass encoding='srgb'."
        fail("image", "floating point in [0, 1]", str(values.dtype), remedy, TypeError)
    finite("image", values)
    low, high = float(values.min()), float(values.max())
    inside = low >= -1e-6 and high <= 1 + 1e-6
    check(inside, "image", "within [0, 1]", f"{low:.6g} to {high:.6g}", "Clip it, or lower its contrast.")
    exact = np.clip(values.astype(np.float64), 0, 1)
    if encoding != file_encoding:
        exact = linear_to_srgb(exact) if encoding == "linear" else srgb_to_linear(exact)
    return np.rint(exact * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def from_codes(codes: np.ndarray, encoding: Encoding, file_encoding: Encoding = "srgb") -> np.ndarray:
    """Return float32 values in [0, 1] of uint8 or uint16 codes; the exact inverse of `to_codes` on codes."""
    # Computed once in float64 for every code, so that a pixel's value never depends on its neighbours or the machine.
    return np.asarray(_table(codes.dtype, encoding, file_encoding)[codes])


def composite(
    values: np.ndarray, alpha: np.ndarray, background: float | Sequence[float] | None, encoding: Encoding, name: str
) -> np.ndarray:
    """Put (c, h, w) values with alpha (h, w) in front of a background of linear light."""
    if bool((alpha == 1).all()):
        return values
    if background is None:
        share = float((alpha < 1).mean())
        fail(
            "picture", "opaque, or come with a background", f"{name} with {100 * share:.3g} % transparent pixels",
            "Pass background=0.5 (linear light) to say what is behind it.",
        )  # fmt: skip
    behind = background_column(background, len(values))[:, None, None]
    light = srgb_to_linear(values.astype(np.float64)) if encoding == "srgb" else values.astype(np.float64)
    light = alpha * light + (1 - alpha) * behind
    if encoding == "srgb":
        light = linear_to_srgb(light)
    return light.astype(np.float32)


def background_column(background: float | Sequence[float], n_channels: int) -> np.ndarray:
    """Return one linear-light value in [0, 1] a channel, shape (n_channels,), from one number or one a channel."""
    remedy = "Give one number, or one a channel, between 0 (black) and 1 (white)."
    try:
        column = np.asarray(background, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        fail("background", "linear light", background, remedy, TypeError)
    ok = column.size in (1, n_channels) and bool(((column >= 0) & (column <= 1)).all())
    check(ok, "background", f"one or {n_channels} values of linear light in [0, 1]", background, remedy)
    return np.asarray(np.broadcast_to(column, (n_channels,)))


@functools.cache
def _table(dtype: np.dtype[Any], encoding: Encoding, file_encoding: Encoding) -> np.ndarray:
    levels = np.arange(np.iinfo(dtype).max + 1) / np.iinfo(dtype).max
    if encoding != file_encoding:
        levels = srgb_to_linear(levels) if encoding == "linear" else linear_to_srgb(levels)
    return levels.astype(np.float32)
