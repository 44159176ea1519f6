"""Foveate files: pictures, folders of pictures, movies with a gaze trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._check import check, fail, finite
from ..data.readers.movies import MOVIE_SUFFIXES, MovieInfo, probe_movie, read_frames, write_movie
from ..data.readers.pictures import PICTURE_SUFFIXES, read_picture, save_image
from ..display import Display
from ..foveation import FoveatedBlur

__all__ = ["check_files", "check_on_picture", "check_parent", "display_of", "foveate_files", "torch_device"]

_WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_LONGEST_GAP_S = 0.1  # a trace may end this long before the last frame; beyond it the gaze is unknown


def foveate_files(
    source: Path,
    target: Path,
    *,
    fixations_deg: Sequence[tuple[float, float]] = (),
    px_per_deg: float | None = None,
    size_deg: tuple[float, float] | None = None,
    gaze: Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write pictures or a movie as a fovea resolves them.

    Parameters
    ----------
    source
        A picture, a folder of pictures, or a movie.
    target
        A file for one picture with one gaze or a movie; else a folder.
    fixations_deg
        Gazes (x, y) from the picture's centre, y up; the centre when there is none.
    px_per_deg, size_deg
        One of the two: pixels per degree, or (height, width) of the picture in degrees.
    gaze
        For a movie: CSV with ``time_s, x_deg, y_deg``.
    device
        Torch device.
    progress
        Show a bar.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ValueError, FileNotFoundError
        For input that cannot be read, a gaze off the picture, or contradicting sizes.
    """
    check(source.exists(), "IN", "a file or folder that exists", str(source), error=FileNotFoundError)
    check(
        (px_per_deg is None) != (size_deg is None),
        "--px-per-deg",
        "given, or --size-deg instead",
        "both" if px_per_deg is not None else "neither",
        "Pixels per degree = pixels / cm of your screen times the viewing distance in cm times 0.01745.",
    )
    where = torch_device(device)
    gazes = list(fixations_deg) or [(0.0, 0.0)]
    if source.suffix.lower() in MOVIE_SUFFIXES:
        one = len(gazes) == 1 and not (gaze is not None and fixations_deg)
        check(one, "gaze of a movie", "one --fixation or one --gaze trace", f"{len(gazes)} fixations and {gaze}")
        return [_foveate_movie(source, target, gazes[0], gaze, px_per_deg, size_deg, where, progress)]
    check(gaze is None, "--gaze", "left out for pictures", str(gaze), "Use --fixation X,Y.")
    jobs = _jobs(source, target, gazes)
    blur: FoveatedBlur | None = None
    for path, fixation, written in tqdm(jobs, desc="foveate", unit="picture", disable=not progress):
        picture = torch.from_numpy(read_picture(path)).to(where)
        display = display_of(tuple(picture.shape[-2:]), px_per_deg, size_deg)
        check_on_picture(display, fixation, path)
        if blur is None or blur.display != display:
            blur = FoveatedBlur(display).to(where)
        save_image(_seen(blur, picture, fixation), written)
    return [written for _, _, written in jobs]


def _seen(blur: FoveatedBlur, picture: Tensor, fixation_deg: Sequence[float] | np.ndarray) -> Tensor:
    gaze = torch.as_tensor(np.asarray(fixation_deg), dtype=picture.dtype, device=picture.device)
    with torch.inference_mode():
        return blur(picture[None], gaze)[0].clamp(0, 1).cpu()


def check_files(source: Path, target: Path, what: str = "picture") -> None:
    """Refuse a source that is no file, and a target that is no folder to be."""
    check(source.is_file(), "IN", f"a {what} file that exists", str(source), error=FileNotFoundError)
    check(target.suffix == "", "OUT", "a folder", str(target), "Give it no suffix.")
    check_parent(target)


def check_parent(target: Path) -> None:
    """Refuse a target whose folder does not exist."""
    check(target.parent.is_dir(), "OUT", "in a folder that exists", str(target), f"Make {target.parent} first.")


def torch_device(name: str | None) -> torch.device:
    """Return the device of an option, the CPU by default."""
    try:
        device = torch.device(name or "cpu")
    except RuntimeError:
        fail("--device", "a torch device such as cpu, cuda or cuda:1", name or "")
    missing = device.type == "cuda" and not torch.cuda.is_available()
    check(not missing, "--device", "a device of this machine", name, "There is no CUDA device here; use cpu.")
    return device


def display_of(shape_px: tuple[int, ...], px_per_deg: float | None, size_deg: tuple[float, float] | None) -> Display:
    """Return the display that a picture of this shape fills."""
    shape = (shape_px[0], shape_px[1])
    if size_deg is None:
        return Display.from_px_per_deg(px_per_deg or 0, resolution_px=shape)
    check(min(size_deg) > 0, "--size-deg", "above 0 degrees", size_deg)
    vertical, horizontal = shape[0] / size_deg[0], shape[1] / size_deg[1]
    check(
        abs(vertical / horizontal - 1) < 0.02,
        "--size-deg",
        f"in the proportion of the picture, {shape[0]} by {shape[1]} px",
        size_deg,
        f"For a height of {size_deg[0]:g} deg the width is {size_deg[0] * shape[1] / shape[0]:.4g} deg.",
    )
    return Display.from_px_per_deg((vertical * horizontal) ** 0.5, resolution_px=shape)


def check_on_picture(display: Display, fixation_deg: tuple[float, float], path: Path) -> None:
    """Refuse a gaze beside the picture."""
    height, width = display.extent_deg
    check(
        bool(np.all(display.on_screen(fixation_deg))),
        "--fixation",
        f"on the picture, which reaches ±{width / 2:.4g} by ±{height / 2:.4g} deg",
        fixation_deg,
        f"{path.name} is measured from its centre, x right and y up.",
    )


def _jobs(source: Path, target: Path, gazes: list[tuple[float, float]]) -> list[tuple[Path, tuple[float, float], Path]]:
    """Return (file to read, gaze, file to write) of every picture."""
    if source.is_dir():
        pictures = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        check(pictures, "IN", f"a folder with {', '.join(PICTURE_SUFFIXES)} files", str(source))
        check(target.suffix == "", "OUT", "a folder for a folder of pictures", str(target))
    else:
        pictures = [source]
    if target.suffix.lower() in _WRITABLE:
        check(len(gazes) == 1, "OUT", "a folder for several fixations", str(target), "Give it no suffix.")
        check(target.resolve() != source.resolve(), "OUT", "another file than IN", str(target))
        return [(source, gazes[0], target)]
    check(target.suffix == "", "OUT", f"a folder or a {', '.join(_WRITABLE)} file", str(target))
    check_parent(target)
    check(not source.is_dir() or target.resolve() != source.resolve(), "OUT", "another folder than IN", str(target))
    target.mkdir(exist_ok=True)
    jobs = []
    for path in pictures:
        suffix = path.suffix if path.suffix.lower() in _WRITABLE else ".png"
        jobs += [(path, (x, y), target / f"{path.stem}_x{x:+g}_y{y:+g}{suffix}") for x, y in gazes]
    return jobs


def _foveate_movie(
    source: Path,
    target: Path,
    fixation_deg: tuple[float, float],
    gaze: Path | None,
    px_per_deg: float | None,
    size_deg: tuple[float, float] | None,
    device: torch.device,
    progress: bool,
) -> Path:
    check(target.resolve() != source.resolve(), "OUT", "another file than IN", str(target))
    info = probe_movie(source)
    display = display_of(info.shape[1:], px_per_deg, size_deg)
    if gaze is None:
        check_on_picture(display, fixation_deg, source)
        gazes = np.tile(np.asarray(fixation_deg), (info.n_frames, 1))
    else:
        gazes = _gaze_by_frame(gaze, info)
    blur = FoveatedBlur(display).to(device)

    def frames() -> Iterator[np.ndarray]:
        bar = tqdm(read_frames(info), total=info.n_frames, desc="foveate", unit="frame", disable=not progress)
        for frame, point in zip(bar, gazes, strict=True):
            yield _seen(blur, torch.from_numpy(frame).to(device), point).numpy()

    write_movie(frames(), target, fps=info.fps, lossless=target.suffix.lower() == ".mkv")
    return target


def _gaze_by_frame(path: Path, info: MovieInfo) -> np.ndarray:
    """Return (n_frames, 2) gaze at the time of each frame, interpolated over lost samples."""
    check(path.is_file(), "--gaze", "a CSV file that exists", str(path), error=FileNotFoundError)
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        fail("--gaze", "a CSV file with a header", f"{path} ({error})")
    columns = ["time_s", "x_deg", "y_deg"]
    missing = [name for name in columns if name not in table]
    check(not missing, "--gaze", f"a table with the columns {', '.join(columns)}", f"no {', '.join(missing)}")
    numeric = all(table[name].dtype.kind in "fi" for name in columns)
    check(
        numeric, "--gaze", "numbers", ", ".join(f"{n}: {table[n].dtype}" for n in columns), "Leave lost samples empty."
    )
    time_s, x_deg, y_deg = (table[name].to_numpy(dtype=float) for name in columns)
    finite("time_s of --gaze", time_s)
    valid = np.isfinite(x_deg) & np.isfinite(y_deg)
    check(valid.any(), "--gaze", "a trace with valid samples", f"{len(table)} rows without one")
    time_s, x_deg, y_deg = time_s[valid], x_deg[valid], y_deg[valid]
    check(bool((np.diff(time_s) > 0).all()), "time_s of --gaze", "increasing", "a step back or a repeat", "Sort it.")
    frames_s = np.arange(info.n_frames) / info.fps
    covered = time_s[0] <= frames_s[0] + _LONGEST_GAP_S and time_s[-1] >= frames_s[-1] - _LONGEST_GAP_S
    check(
        covered,
        "--gaze",
        f"a trace over the whole movie, 0 to {frames_s[-1]:.4g} s",
        f"{time_s[0]:.4g} to {time_s[-1]:.4g} s",
        "Time 0 is the first frame.",
    )
    return np.stack([np.interp(frames_s, time_s, x_deg), np.interp(frames_s, time_s, y_deg)], axis=-1)
