"""Movie files through PyAV: what is inside, frames in a window, and writing, lossy (H.264) or exact (FFV1)."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from ..._check import atomic_path, check, fail, integer, one_of, positive
from .codes import Encoding, composite, from_codes, to_codes
from .yuv import Matrix, codes_to_yuv420, frame_to_codes, is_linear

MOVIE_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv")

_COUNTED = ("mpeg", "mpegvideo", "h264", "hevc", "m4v")  # program and elementary streams
_HIGHEST_MKV_FPS = 400  # Matroska counts in milliseconds: above this, neighbouring frames could swap places


@dataclass(frozen=True)
class MovieInfo:
    """What a movie file holds.

    Parameters
    ----------
    path
        The file.
    n_frames
        Frames in the whole file.
    shape
        (channels, height, width) of an upright frame.
    rate
        Frames per second, exact.
    start_pts, time_base
        Time stamp of the first frame and its unit in seconds.
    linear
        Whether the codes are linear light; else they are read as sRGB.
    counted
        Whether time stamps cannot be trusted (MPEG program streams): frames are then counted from the beginning.
    """

    path: str
    n_frames: int
    shape: tuple[int, int, int]
    rate: Fraction
    start_pts: int
    time_base: Fraction
    linear: bool = False
    counted: bool = False

    @property
    def fps(self) -> float:
        """Frames per second; the float nearest to the file's fraction."""
        return float(self.rate)


def probe_movie(path: str | os.PathLike[str]) -> MovieInfo:
    """Return what a movie file holds; walks through the packets and decodes the first frame.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, holds no movie, is truncated, or has a varying frame rate or high dynamic range.

    Warns
    -----
    UserWarning
        When the frames are interlaced or their pixels are not square.
    """
    file = Path(path)
    if not file.is_file():
        fail("path", "a movie file that exists", str(path), "Check the folder and the spelling.", FileNotFoundError)
    stat = file.stat()
    return _probe(os.fspath(path), stat.st_mtime_ns, stat.st_size)


def read_frames(
    info: MovieInfo,
    start: int = 0,
    stop: int | None = None,
    *,
    encoding: Encoding = "linear",
    background: float | Sequence[float] | None = None,
    matrix: Matrix = "auto",
) -> Iterator[np.ndarray]:
    """Yield frames `start` to `stop` (excluded) as float32 (c, h, w) in [0, 1], one at a time.

    Parameters
    ----------
    info
        From `probe_movie`.
    start, stop
        Frame numbers from 0.
    encoding
        "linear" light or "srgb" code values; video codes are read as sRGB.
    background
        Linear light behind transparent pixels.
    matrix
        "bt601" or "bt709" overrules the file; "auto" takes what the file names, else BT.709 from 720 lines or 1280
        columns on and BT.601 below.

    Raises
    ------
    ValueError
        When a frame is missing or damaged.
    """
    one_of("matrix", matrix, ("auto", "bt601", "bt709"))
    stop = info.n_frames if stop is None else stop
    expected = start
    try:
        for index, frame in _decoded(info, start):
            if index >= stop:
                break
            if index >= start:
                check(
                    index == expected and not frame.is_corrupt,
                    "movie",
                    "whole",
                    f"{info.path} damaged at frame {expected}",
                )
                expected += 1
                yield _values(frame, info, encoding, background, matrix)
    except (av.error.FFmpegError, av.error.InvalidDataError) as error:
        fail("movie", "a whole file", f"{info.path} ({error})", f"Frame {expected} cannot be decoded; fetch it again.")
    check(
        expected == stop, "movie", f"whole ({stop} frames)", f"{info.path} with {expected} frames",
        "It is truncated; fetch it again.",
    )  # fmt: skip


def write_movie(
    frames: Iterable[np.ndarray],
    path: str | os.PathLike[str],
    *,
    fps: float,
    encoding: Encoding = "linear",
    lossless: bool = False,
    bits: int = 8,
    crf: int = 16,
) -> None:
    """Write frames (c, h, w) in [0, 1] to a movie file (atomic); see `neuroperc.data.save_movie`."""
    rate = as_rate("fps", fps)
    _check_target(Path(path), float(rate), lossless, bits)
    integer("crf", crf, 0)
    with atomic_path(path) as temporary:
        try:
            _encode(frames, temporary, rate, encoding, lossless, bits, crf)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and error.errno and error.errno > 0:
                raise OSError(error.errno, error.strerror) from error
            fail("movie", "one that the encoder takes", f"{path} ({error})")


def as_rate(name: str, value: float) -> Fraction:
    """Return the exact rate that a float stands for: 24000/1001 for 23.976023976…, 2997/50 for 59.94.

    Examples
    --------
    >>> as_rate("fps", 24000 / 1001), as_rate("fps", 59.94), as_rate("fps", 60.0)
    (Fraction(24000, 1001), Fraction(2997, 50), Fraction(60, 1))
    """
    number = positive(name, value)
    simple = Fraction(number).limit_denominator(1001)
    close = simple > 0 and abs(float(simple) - number) <= 1e-9 * number
    return simple if close else Fraction(number).limit_denominator(1_000_000)


@functools.lru_cache(maxsize=4096)
def _probe(path: str, mtime_ns: int, size: int) -> MovieInfo:
    del mtime_ns, size  # they are here so that a file that has changed is looked at again
    try:
        with av.open(path) as container:
            check(bool(container.streams.video), "path", "a file with a movie in it", path)
            stream = container.streams.video[0]
            stamps = sorted(p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard)
            rate, base = stream.average_rate or stream.guessed_rate, stream.time_base
            counted = container.format.name in _COUNTED
            declared = stream.frames or _frames_from_duration(container, rate)
            aspect, context = stream.sample_aspect_ratio, stream.codec_context
            linear = is_linear(path, int(context.colorspace), int(context.color_trc))
        with av.open(path) as container:
            frame = next(container.decode(video=0))
    except (av.error.FFmpegError, StopIteration) as error:
        fail("movie", "a whole movie file", f"{path} ({error})", "It is truncated, damaged or of another format.")
    whole = bool(stamps) and len(stamps) >= declared
    remedy = "It is truncated; fetch it again."
    check(whole, "movie", f"whole ({declared} frames by its header)", f"{path} with {len(stamps)}", remedy)
    if rate is None or base is None:
        fail("movie", "a file with a frame rate", path, "Re-encode it with ffmpeg -r RATE.")
    rate = _exact_rate(rate)
    if not counted:
        _check_steady(path, stamps, base, rate)
    if aspect not in (None, 0, 1):
        text = f"{path} has pixels of aspect {aspect}, taken as square here. Give size_deg, or resample it with ffmpeg."
        warnings.warn(text, stacklevel=3)
    if frame.interlaced_frame:
        text = f"{path} is interlaced: two moments share a frame. De-interlace it with ffmpeg's yadif filter."
        warnings.warn(text, stacklevel=3)
    codes, _ = frame_to_codes(frame)
    n_channels, height, width = _turned(codes, frame.rotation).shape
    return MovieInfo(path, len(stamps), (n_channels, height, width), rate, stamps[0], base, linear, counted)


def _exact_rate(rate: Fraction) -> Fraction:
    """Undo the rounding of containers that store a frame's duration in nanoseconds (Matroska).

    The candidates lie further apart than the tolerance: 59.94 and 60000/1001 differ by 1e-6.
    """
    for denominator in (1, 1001, 2, 3, 4, 5, 8, 10, 20, 25, 50, 100, 125, 200, 250, 500, 1000):
        candidate = Fraction(round(rate * denominator), denominator)
        if candidate > 0 and abs(rate / candidate - 1) < 2e-7:
            return candidate
    return rate


def _frames_from_duration(container: Any, rate: Fraction | None) -> int:
    """Return how many frames there must be at least where only a duration is declared (Matroska).

    Sound may last longer than the pictures, so this holds for files without it; two frames of slack for rounding.
    """
    if container.duration is None or rate is None or len(container.streams) > 1:
        return 1
    return int(container.duration * rate / av.time_base) - 2


def _check_steady(path: str, stamps: list[int], base: Fraction, rate: Fraction) -> None:
    ideal = np.arange(len(stamps)) / float(rate)
    late = (np.asarray(stamps) - stamps[0]) * float(base) - ideal
    worst = int(np.abs(late).argmax())
    if abs(late[worst]) >= 0.5 / rate:
        fail(
            "movie", "of constant frame rate", f"{path} with frame {worst} {late[worst] * 1000:.3g} ms off its place",
            "Re-encode it with ffmpeg -fps_mode cfr.",
        )  # fmt: skip


def _decoded(info: MovieInfo, start: int) -> Iterator[tuple[int, Any]]:
    """Yield (frame number, frame), from `start` or somewhat earlier."""
    if start > 0 and not info.counted:
        frames = _walk(info, seek_to=start)
        for index, frame in frames:
            if index > start or (index == start and frame.is_corrupt):
                break  # this format cannot seek exactly: walk from the beginning instead
            if index == start:
                yield index, frame
                yield from frames
                return
        frames.close()
    yield from _walk(info)


def _walk(info: MovieInfo, seek_to: int | None = None) -> Generator[tuple[int, Any], None, None]:
    step = info.time_base * info.rate
    with av.open(info.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if seek_to is not None:
            container.seek(info.start_pts + int(seek_to / step), stream=stream)
        for number, frame in enumerate(container.decode(stream)):
            index = number if info.counted or frame.pts is None else round((frame.pts - info.start_pts) * step)
            if index >= 0:
                yield index, frame


def _values(frame: Any, info: MovieInfo, encoding: Encoding, background: Any, matrix: Matrix) -> np.ndarray:
    codes, alpha = frame_to_codes(frame, matrix)
    # Sixteen-bit codes and one table: deterministic, and ten times faster than a power for every pixel.
    deep = np.rint(codes * np.float32(65535)).astype(np.uint16)
    values = from_codes(deep, encoding, "linear" if info.linear else "srgb")
    if alpha is not None:
        values = composite(values, alpha, background, encoding, info.path)
    return _turned(values, frame.rotation)


def _turned(values: np.ndarray, rotation: int) -> np.ndarray:
    """Turn a frame counter-clockwise by its display matrix, a multiple of 90 degrees."""
    quarter, rest = divmod(rotation, 90)
    check(rest == 0, "movie", "turned by a multiple of 90 degrees", rotation, "Turn it with ffmpeg first.")
    return np.ascontiguousarray(np.rot90(values, quarter, axes=(-2, -1))) if quarter % 4 else values


def _check_target(path: Path, fps: float, lossless: bool, bits: int) -> None:
    suffix = path.suffix.lower()
    one_of("bits", bits, (8, 16))
    if lossless:
        one_of("path's suffix for a lossless movie", suffix, (".mkv", ".avi"))
    else:
        one_of("path's suffix", suffix, (".mp4", ".mov", ".mkv"))
        check(bits == 8, "bits", "8 for H.264", bits, "Pass lossless=True and a .mkv path for 16 bits.")
    if suffix == ".mkv":
        check(fps <= _HIGHEST_MKV_FPS, "fps", f"at most {_HIGHEST_MKV_FPS} in a .mkv file", fps, "Use .avi or .mp4.")


def _encode(
    frames: Iterable[np.ndarray], path: Path, rate: Fraction, encoding: Encoding, lossless: bool, bits: int, crf: int
) -> None:
    with av.open(os.fspath(path), "w") as container:
        stream, shape = None, None
        for number, values in enumerate(frames):
            codes = to_codes(values, encoding, 16 if bits == 16 or not lossless else 8)
            if stream is None:
                shape = codes.shape
                stream = _stream(container, shape, rate, lossless, bits, crf)
            check(codes.shape == shape, "frames", f"all of shape {shape}", codes.shape)
            frame = _lossless_frame(codes) if lossless else _lossy_frame(codes)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        if stream is None:
            fail("movie", "at least one frame", "none")
        container.mux(stream.encode(None))


def _stream(container: Any, shape: tuple[int, ...], rate: Fraction, lossless: bool, bits: int, crf: int) -> Any:
    n_channels, height, width = shape
    stream = container.add_stream("ffv1" if lossless else "libx264", rate=rate)
    stream.width, stream.height = width, height
    stream.codec_context.time_base = 1 / rate
    if lossless:
        stream.pix_fmt = {(1, 8): "gray", (1, 16): "gray16le", (3, 8): "bgr0", (3, 16): "gbrp16le"}[n_channels, bits]
        return stream
    even = height % 2 == 0 and width % 2 == 0
    check(even, "movie", "of even height and width for H.264", (height, width), "Crop it, or pass lossless=True.")
    stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": "medium"}
    context = stream.codec_context
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = 1, 1, 1, 13
    return stream


def _lossy_frame(codes: np.ndarray) -> Any:
    return av.VideoFrame.from_ndarray(codes_to_yuv420(codes / 65535), format="yuv420p")


def _lossless_frame(codes: np.ndarray) -> Any:
    deep = codes.dtype == np.uint16
    if len(codes) == 1:
        return av.VideoFrame.from_ndarray(codes[0], format="gray16le" if deep else "gray")
    packed = np.ascontiguousarray(codes.transpose(1, 2, 0))
    frame = av.VideoFrame.from_ndarray(packed, format="rgb48le" if deep else "rgb24")
    return frame.reformat(format="gbrp16le" if deep else "bgr0")
