"""Colour pictures of 16 bits a channel through PyAV: Pillow reads and writes only their high byte."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

_WIDE = {1: "gray16le", 2: "rgba64le", 3: "rgb48le", 4: "rgba64le"}


def read_deep_colour(path: str | os.PathLike[str]) -> np.ndarray:
    """Return uint16 codes (h, w, 2 | 3 | 4) of a 16-bit PNG or TIFF; two channels are grey and alpha.

    Raises
    ------
    OSError
        When the file cannot be decoded.
    """
    try:
        with av.open(os.fspath(path)) as container:
            frame = next(container.decode(video=0))
    except (av.error.FFmpegError, StopIteration) as error:
        raise OSError(str(error) or "no picture inside") from error
    n_channels = len(frame.format.components)
    codes = frame.reformat(format=_WIDE[n_channels]).to_ndarray()
    return np.asarray(codes[..., [0, 3]] if n_channels == 2 else codes)


def write_deep_colour(codes: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write uint16 codes (h, w, 3) as a 16-bit PNG or TIFF file."""
    name, pixels = ("png", "rgb48be") if Path(path).suffix.lower() == ".png" else ("tiff", "rgb48le")
    context: Any = av.CodecContext.create(name, "w")
    context.height, context.width = codes.shape[:2]
    context.pix_fmt, context.time_base = pixels, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(codes, format=pixels)
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    Path(path).write_bytes(b"".join(bytes(packet) for packet in packets))
