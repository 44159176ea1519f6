"""Find the picture and movie files of a folder and make a source of pixels of each."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from .._check import check, fail, non_negative, one_of, positive
from ..display import Display
from ._pixels import ChannelPixels, FittedPixels, FramePixels, MoviePixels, PicturePixels, Pixels, as_background
from ._placing import Fit, plan_fit
from .readers.codes import ENCODINGS, Encoding
from .readers.movies import MOVIE_SUFFIXES, probe_movie
from .readers.pictures import PICTURE_SUFFIXES, picture_shape
from .readers.yuv import Matrix

Background = float | Sequence[float] | None


class Found(NamedTuple):
    """What a folder holds: an id, a path from the folder, a source and a size in degrees for each stimulus."""

    ids: list[str]
    paths: list[str]
    pixels: tuple[Pixels, ...]
    sizes_deg: list[tuple[float, float]]
    fps: float | None


def scan_folder(
    folder: str | os.PathLike[str],
    display: Display,
    *,
    size_deg: Any,
    fit: Fit,
    background: Background,
    channels: int | None,
    file_encoding: Encoding,
    fps: float | None,
) -> Found:
    """Return a source of pixels a stimulus, fitted to its place; see `StimulusSet.from_folder`."""
    root = Path(folder).absolute()
    one_of("file_encoding", file_encoding, ENCODINGS)
    files, movies = _files(root)
    behind = as_background(background)
    sources: list[tuple[Path, Path, Pixels]]
    if movies:
        check(fps is None, "fps", "left out for movie files, which carry their own", fps)
        fps = _one_rate(files)
        sources = [(path, path.with_suffix(""), movie_source(path, background=behind)) for path in files]
    elif fps is not None:
        positive("fps", fps)
        folders = [(where, sorted(group, key=_natural)) for where, group in groupby(files, key=lambda f: f.parent)]
        sources = [(where, where, _frames(group, file_encoding, behind)) for where, group in folders]
    else:
        sources = [(path, path.with_suffix(""), picture_source(path, file_encoding, behind)) for path in files]
    fitted = [fit_source(str(path), s, display, size_deg, fit, background, channels) for path, _, s in sources]
    return Found(
        _ids([name for _, name, _ in sources], [path for path, _, _ in sources], root),
        [path.relative_to(root).as_posix() for path, _, _ in sources],
        tuple(pixels for pixels, _ in fitted), [size for _, size in fitted], fps,
    )  # fmt: skip


def picture_source(
    path: str | os.PathLike[str], file_encoding: Encoding = "srgb", background: tuple[float, ...] | None = None
) -> Pixels:
    """Return a source for one picture file; its header is read, its pixels are not."""
    return PicturePixels(picture_shape(path), (os.fspath(path),), file_encoding, background)


def movie_source(
    path: str | os.PathLike[str],
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    matrix: Matrix = "auto",
    background: tuple[float, ...] | None = None,
) -> MoviePixels:
    """Return a source for a window of a movie file.

    Raises
    ------
    ValueError
        When the window reaches outside the movie or holds no frame.
    """
    info = probe_movie(path)
    first = round(non_negative("start_s", start_s) * info.rate)
    length = info.n_frames - first if duration_s is None else round(positive("duration_s", duration_s) * info.rate)
    whole_s = float(info.n_frames / info.rate)
    if length < 1 or first + length > info.n_frames:
        asked = f"{start_s:g} s" if duration_s is None else f"{start_s:g} s to {start_s + duration_s:g} s"
        fail("start_s and duration_s", f"within the movie's {whole_s:.6g} s ({info.n_frames} frames)", asked)
    return MoviePixels((length, *info.shape), info, first, matrix, background)


def fit_source(
    name: str,
    source: Pixels,
    display: Display,
    size_deg: Any,
    fit: Fit,
    background: Background,
    channels: int | None,
) -> tuple[Pixels, tuple[float, float]]:
    """Return the source with the channels asked for and fitted to its place, and the place's (h, w) in degrees."""
    one_of("channels", channels, (None, 1, 3))
    if channels not in (None, source.shape[-3]):
        source = ChannelPixels(source, int(channels or 0))
    plan, size = plan_fit(name, (source.shape[-2], source.shape[-1]), display, size_deg, fit)
    if plan.how == "error":
        return source, size
    # Mid-grey in linear light unless the caller says otherwise; transparent pictures never get it by default.
    return FittedPixels(source, plan, as_background(0.5 if background is None else background)), size


def _files(root: Path) -> tuple[list[Path], bool]:
    """Return the picture or the movie files below a folder in alphabetic order, and whether they are movies."""
    if not root.is_dir():
        fail("folder", "a folder that exists", str(root), "Check the path.", FileNotFoundError)
    files = sorted(
        (p for p in root.rglob("*") if p.is_file() and not any(n.startswith(".") for n in p.relative_to(root).parts)),
        key=lambda path: path.as_posix(),
    )
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    movies = [path for path in files if path.suffix.lower() in MOVIE_SUFFIXES]
    suffixes = " ".join((*PICTURE_SUFFIXES, *MOVIE_SUFFIXES))
    what = f"{root} with {len(files)} other files"
    check(bool(pictures or movies), "folder", "one with picture or movie files in it", what, f"Known are {suffixes}.")
    mixed = f"{root} with {len(pictures)} pictures and {len(movies)} movies"
    check(not (pictures and movies), "folder", "one of pictures or of movies", mixed, "Put them into two folders.")
    return movies or pictures, bool(movies)


def _one_rate(files: list[Path]) -> float:
    rates: dict[float, str] = {}
    for path in files:
        rates.setdefault(probe_movie(path).fps, path.name)
    check(len(rates) == 1, "movies", "all of one frame rate", rates, "Make one set a rate, or re-encode some.")
    return next(iter(rates))


def _frames(files: list[Path], file_encoding: Encoding, background: tuple[float, ...] | None) -> Pixels:
    shapes: dict[tuple[int, int, int], str] = {}
    for path in files:
        shapes.setdefault(picture_shape(path), path.name)
    check(len(shapes) == 1, "frames", f"all of one size in {files[0].parent}", shapes, "Crop them to one size.")
    paths = tuple(os.fspath(path) for path in files)
    return FramePixels((len(files), *next(iter(shapes))), paths, file_encoding, background)


def _natural(path: Path) -> list[Any]:
    """Sort frame_2 before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _ids(names: list[Path], paths: list[Path], root: Path) -> list[str]:
    seen: dict[str, Path] = {}
    for name, path in zip(names, paths, strict=True):
        label = name.relative_to(root).as_posix()
        label = root.name if label == "." else label
        if label in seen:
            both = f"{label!r} for {seen[label].name} and {path.name}"
            fail("stimulus_id", "unique", both, "Rename one of the files: ids leave out the suffix.")
        seen[label] = path
    return list(seen)
