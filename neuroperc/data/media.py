"""Single pictures and movies: from a file to a StimulusSet of one, and back to a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .._check import check, fail, one_of, pair
from ..display import Display
from ._pixels import ArrayPixels, MoviePixels, Pixels, as_background
from ._placing import Fit
from ._scan import fit_source, movie_source, picture_source
from .readers.codes import ENCODINGS, Encoding
from .readers.movies import write_movie
from .readers.pictures import save_image
from .readers.yuv import Matrix
from .stimuli import StimulusSet

__all__ = ["load_image", "load_movie", "save_image", "save_movie"]


def load_image(
    path: str | os.PathLike[str],
    display: Display,
    *,
    size_deg: Any = None,
    center_deg: tuple[float, float] = (0.0, 0.0),
    fit: Fit = "error",
    background: float | Sequence[float] | None = None,
    channels: int | None = None,
    file_encoding: Encoding = "srgb",
) -> StimulusSet:
    """Read a picture file into a StimulusSet of one, in linear light.

    Parameters
    ----------
    path
        PNG, JPEG or TIFF, 8 or 16 bits, grey, colour or palette; turned upright as its EXIF orientation says.
    display
        The monitor that it is shown on.
    size_deg
        (height, width) that the picture subtends when centred, or one number, the width. Default: it fills the
        display, and its pixels are the display's pixels.
    center_deg
        (x, y) of the picture's centre on the display, y up.
    fit
        What may be done to a picture that does not fit. Without `size_deg`: "crop" cuts its centre to the display's
        resolution, "pad" surrounds it, "resize" scales it evenly (anti-aliased, in linear light) until it covers the
        display and cuts what sticks out. With `size_deg`: "crop" and "pad" bring it to that aspect, "resize" also to
        the display's pixels. "error" does none of this: it raises and names both sizes.
    background
        Linear light, one number or one a channel: around a padded picture (default 0.5) and behind a transparent one
        (no default: transparent pictures are refused without it).
    channels
        1 turns colour into luminance, 3 repeats grey; None keeps what the file has.
    file_encoding
        What the codes in the file mean.

    Returns
    -------
    StimulusSet
        One stimulus, in memory, whose id is the file's name without suffix; `table` also has `path`.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, unreadable, truncated, animated, transparent without a background, or does not fit.

    Warns
    -----
    UserWarning
        When the file has a colour profile that is not sRGB.

    Examples
    --------
    >>> import tempfile, torch, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(4, resolution_px=(48, 64))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     npc.data.save_image(torch.full((3, 60, 80), 0.2), f"{folder}/street.png")
    ...     street = npc.data.load_image(f"{folder}/street.png", display, fit="crop")
    >>> street, street[0].shape
    (<StimulusSet of 1 pictures, 3×48×64, linear>, torch.Size([3, 48, 64]))
    """
    source = picture_source(path, one_of("file_encoding", file_encoding, ENCODINGS), as_background(background))
    pixels, size = fit_source(str(path), source, display, size_deg, fit, background, channels)
    return _set_of_one(path, display, ArrayPixels(pixels.read("linear").contiguous(), "linear"), size, center_deg, None)


def load_movie(
    path: str | os.PathLike[str],
    display: Display,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    size_deg: Any = None,
    center_deg: tuple[float, float] = (0.0, 0.0),
    fit: Fit = "error",
    background: float | Sequence[float] | None = None,
    channels: int | None = None,
    matrix: Matrix = "auto",
) -> StimulusSet:
    """Open a movie file as a StimulusSet of one, in linear light; frames are decoded when they are read.

    Parameters
    ----------
    path
        Any file that FFmpeg decodes; turned upright as its display matrix says.
    display
        The monitor that it is shown on.
    start_s, duration_s
        The window, in seconds, rounded to whole frames; default the whole movie. `StimulusSet.frames` reads it in
        parts.
    size_deg, center_deg, fit, background, channels
        As in `load_image`.
    matrix
        "bt601" or "bt709" overrules the file; "auto" takes what the file names, else BT.709 from 720 lines or 1280
        columns on and BT.601 below. Limited and full range are read from the file.

    Returns
    -------
    StimulusSet
        One stimulus (t, c, h, w) with the file's frame rate as `fps`.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, truncated, damaged, of varying frame rate or high dynamic range, does not fit, or the
        window reaches outside it.

    Warns
    -----
    UserWarning
        When frames are interlaced or pixels are not square.

    Examples
    --------
    >>> import tempfile, torch, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(4, resolution_px=(16, 32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     npc.data.save_movie(torch.full((12, 3, 16, 32), 0.4), f"{folder}/clip.mp4", fps=24000 / 1001)
    ...     clip = npc.data.load_movie(f"{folder}/clip.mp4", display, start_s=0.25)
    ...     clip[0].shape, clip.fps
    (torch.Size([6, 3, 16, 32]), 23.976023976023978)
    """
    behind = as_background(background)
    source: MoviePixels = movie_source(path, start_s=start_s, duration_s=duration_s, matrix=matrix, background=behind)
    pixels, size = fit_source(str(path), source, display, size_deg, fit, background, channels)
    return _set_of_one(path, display, pixels, size, center_deg, source.info.fps)


def save_movie(
    movie: Any,
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    encoding: Encoding | None = None,
    lossless: bool = False,
    bits: int = 8,
    crf: int = 16,
) -> None:
    """Write a movie file, as sRGB codes; the file appears whole or not at all.

    Parameters
    ----------
    movie
        Array or tensor (t, c, h, w) in [0, 1] with 1 or 3 channels, a StimulusSet of one movie, or an iterable of
        frames (c, h, w) for movies larger than memory.
    path
        .mp4, .mov or .mkv for H.264; .mkv or .avi when lossless.
    fps
        Frames per second; a StimulusSet brings its own. 23.976023976… is written as 24000/1001, 59.94 as 2997/50.
    encoding
        What the values mean; default "linear" (a StimulusSet brings its own).
    lossless
        FFV1 in RGB: every code comes back exactly. Otherwise H.264, 4:2:0, BT.709 in limited range, which players
        show; colour detail is halved and grey movies come back with three channels.
    bits
        8, or 16 when lossless.
    crf
        Quality of H.264, from 0 (best) to 51.

    Raises
    ------
    ValueError, TypeError
        For a missing or wrong `fps`, odd sizes in H.264, NaN, values outside [0, 1], frames that differ in shape, or an
        unknown suffix.
    OSError
        When the disk is full; an old file is then untouched.

    Examples
    --------
    >>> import tempfile, numpy as np, neuroperc as npc
    >>> noise = np.random.default_rng(0).integers(0, 256, (5, 1, 9, 7)) / 255
    >>> display = npc.Display.from_px_per_deg(1, resolution_px=(9, 7))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     npc.data.save_movie(noise, f"{folder}/noise.mkv", fps=60, encoding="srgb", lossless=True)
    ...     back = npc.data.load_movie(f"{folder}/noise.mkv", display).to_encoding("srgb")[0]
    >>> bool(np.abs(back.numpy() - noise).max() < 1e-6)
    True
    """
    if isinstance(movie, StimulusSet):
        one = len(movie) == 1 and movie.fps is not None
        check(one, "movie", "a StimulusSet of one movie", repr(movie), "Select one: stimuli[[0]].")
        check(fps in (None, movie.fps), "fps", f"left out, or the set's {movie.fps}", fps)
        check(encoding in (None, movie.encoding), "encoding", f"left out, or the set's {movie.encoding!r}", encoding)
        fps, encoding = movie.fps, movie.encoding
        frames: Iterable[np.ndarray] = (f.numpy(force=True) for part in movie.frames(0) for f in part)
    else:
        frames = _frames_of(movie)
    if fps is None:
        fail("fps", "given in frames per second", None, "For example fps=24.")
    wanted = one_of("encoding", encoding or "linear", ENCODINGS)
    write_movie(frames, path, fps=fps, encoding=wanted, lossless=lossless, bits=bits, crf=crf)


def _frames_of(movie: Any) -> Iterable[np.ndarray]:
    if hasattr(movie, "ndim") and movie.ndim != 4:
        fail("movie", "of shape (t, c, h, w)", f"shape {tuple(movie.shape)}", "Give one movie at a time.")
    if isinstance(movie, (str, bytes)) or not isinstance(movie, Iterable):
        fail("movie", "an array, a tensor, a StimulusSet of one, or frames", type(movie).__name__, error=TypeError)
    return (_frame(values) for values in movie)


def _frame(values: Any) -> np.ndarray:
    frame = values.numpy(force=True) if isinstance(values, torch.Tensor) else np.asarray(values)
    good = frame.ndim == 3 and frame.shape[0] in (1, 3) and 0 not in frame.shape
    check(good, "frame", "of shape (c, h, w) with 1 or 3 channels", f"shape {frame.shape}")
    return frame


def _set_of_one(
    path: str | os.PathLike[str],
    display: Display,
    pixels: Pixels,
    size_deg: tuple[float, float],
    center_deg: tuple[float, float],
    fps: float | None,
) -> StimulusSet:
    x, y = pair("center_deg", center_deg, "(x, y) in degrees")
    row = {"path": str(path), "width_deg": size_deg[1], "height_deg": size_deg[0], "x_deg": x, "y_deg": y}
    table = pd.DataFrame([row], index=pd.Index([Path(path).stem], name="stimulus_id"))
    return StimulusSet(table, display, (pixels,), "linear", fps)
