"""What every motion model checks about a movie."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._check import check, finite


def as_frames(movie: Any, shape_px: tuple[int, int] | None = None, least: int = 1, name: str = "movie") -> Tensor:
    """Return (batch, time, h, w) of a grey movie (batch, time, 1, h, w); raise for anything else.

    `least` is the number of frames that the model needs.
    """
    good = isinstance(movie, Tensor) and movie.is_floating_point()
    got = getattr(movie, "dtype", type(movie).__name__)
    check(good, name, "a floating torch.Tensor", got, "Use torch.as_tensor(movie).float().", TypeError)
    size = "h, w" if shape_px is None else f"{shape_px[0]}, {shape_px[1]}"
    remedy = "Turn colour into luminance first (channels=1 of load_movie), and give the model the size of the movie."
    fits = movie.ndim == 5 and movie.shape[2] == 1 and (shape_px is None or tuple(movie.shape[-2:]) == shape_px)
    check(fits, name, f"of shape (batch, time, 1, {size})", f"shape {tuple(movie.shape)}", remedy)
    check(movie.numel() > 0, name, "one frame or more of one pixel or more", f"shape {tuple(movie.shape)}")
    check(movie.shape[1] >= least, name, f"of {least} frames or more", f"{movie.shape[1]} frames",
          "Give a longer movie, or boundary='edge'.")  # fmt: skip
    frames = movie[:, :, 0]
    if not torch.compiler.is_compiling() and not math.isfinite(float(frames.detach().sum())):
        finite(f"{name} (batch, time, y, x)", frames.detach(), "Remove or replace frames with NaN or infinity first.")
    return frames
