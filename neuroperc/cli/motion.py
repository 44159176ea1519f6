"""Motion energy of a movie file, and moving stimuli as movie files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._check import atomic_path, check, one_of
from ..color import luminance
from ..data import StimulusSet, save_movie
from ..data.readers.movies import MovieInfo, probe_movie, read_frames
from ..display import Display
from ..motion import MotionEnergy
from ..plot import direction_tuning, figure, png, style
from ..stimuli import dots, gratings, plaids
from .pictures import check_files, check_parent, torch_device

__all__ = ["motion_files", "stimulus_file"]

_PART = 32  # frames decoded at a time


def motion_files(
    source: Path,
    target: Path,
    *,
    sf_cpi: Sequence[float] = (0, 2, 4, 8, 16),
    tf_hz: Sequence[float] = (0, 2, 4),
    n_directions: int = 8,
    device: str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write the motion-energy pyramid of a movie: ``energy.npy``, ``filters.csv`` and ``energy.png``.

    Parameters
    ----------
    source
        A movie.
    target
        A folder, made if it is missing.
    sf_cpi, tf_hz, n_directions
        Of the pyramid, as in `neuroperc.motion.MotionEnergy.pyramid`.
    device
        Torch device.
    progress
        Show a bar.

    Returns
    -------
    list of pathlib.Path
        What was written. ``energy.npy`` is (frames, filters), float32: log(root of energy + 1e-5), as encoding models
        take it; memory does not grow with the movie's length but for it. The figure shows roots of energy.

    Raises
    ------
    ValueError, FileNotFoundError
        For a movie that cannot be read or frequencies that it cannot carry.
    """
    check_files(source, target, "movie")
    info, place = probe_movie(source), torch_device(device)
    pyramid = MotionEnergy.pyramid(info.shape[-2:], fps=float(info.rate), sf_cpi=tuple(sf_cpi), tf_hz=tuple(tf_hz),
                                   n_directions=n_directions).to(place)  # fmt: skip
    with torch.no_grad():
        energy = torch.cat([x.float().cpu() for x in pyramid.stream(_parts(info, place, progress))]).numpy()
    target.mkdir(exist_ok=True)
    with atomic_path(target / "energy.npy") as path, path.open("wb") as file:
        np.save(file, energy)
    with atomic_path(target / "filters.csv") as path:
        pyramid.filters.to_csv(path, index=False)
    with atomic_path(target / "energy.png") as path:
        path.write_bytes(_draw(pyramid.filters, energy))
    return [target / name for name in ("energy.npy", "filters.csv", "energy.png")]


def _parts(info: MovieInfo, device: torch.device, progress: bool) -> Iterator[Tensor]:
    """Yield luminance in linear light, (k, 1, h, w)."""
    held: list[np.ndarray] = []
    for frame in tqdm(read_frames(info), total=info.n_frames, unit="frame", disable=not progress):
        held.append(np.asarray(frame))
        if len(held) == _PART:
            yield luminance(torch.from_numpy(np.stack(held)).to(device))
            held = []
    if held:
        yield luminance(torch.from_numpy(np.stack(held)).to(device))


def _draw(filters: Any, energy: np.ndarray) -> bytes:
    moving = filters[(filters["tf_hz"] > 0) & (filters["sf_cpi"] > 0)].dropna(subset=["direction_deg"])
    groups = moving.groupby(["tf_hz", "direction_deg"]).groups
    rates = sorted({rate for rate, _ in groups})
    angles = sorted({angle for _, angle in groups})
    root = np.exp(energy)
    mean = np.array([[root[:, list(groups[rate, angle])].mean() for angle in angles] for rate in rates])
    with style():
        canvas = figure(1, 1, width_in=4.4, height_in=3.8)
        labels = [f"{rate:g} Hz" for rate in rates]
        words = "root of motion energy, mean over the movie"
        direction_tuning(angles, mean, labels=labels, title=words, ax=canvas.axes[0])
        return png(canvas)


_MAKERS: dict[str, Callable[..., StimulusSet]] = {"grating": gratings, "plaid": plaids, "dots": dots}


def stimulus_file(
    kind: str,
    target: Path,
    *,
    px_per_deg: float,
    size_deg: float,
    duration_s: float,
    fps: float,
    seed: int = 0,
    **options: Any,
) -> list[Path]:
    """Write one moving stimulus as a movie, with a table of what it shows beside it.

    Parameters
    ----------
    kind
        "grating", "plaid" or "dots".
    target
        A movie file: .mkv is lossless, .mp4 plays everywhere. The table has its name and the suffix .csv.
    px_per_deg, size_deg, duration_s, fps
        Geometry and time; the movie is a square.
    seed
        Of what is random.
    **options
        As `neuroperc.stimuli.gratings`, `plaids` or `dots` take them.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ValueError
        For values that the pixels or frames cannot show.
    """
    one_of("kind", kind, tuple(_MAKERS))
    check_parent(target)
    side = round(size_deg * px_per_deg)
    check(side >= 2, "--size-deg", "at least two pixels", size_deg)
    display = Display.from_px_per_deg(px_per_deg, resolution_px=(side, side), refresh_hz=fps)
    shown = _MAKERS[kind](
        display, rng=seed, size_deg=display.extent_deg, duration_s=duration_s, fps=fps, rounding="nearest", **options
    )
    save_movie(shown, target, lossless=target.suffix in (".mkv", ".avi"))
    table = target.with_suffix(".csv")
    with atomic_path(table) as path:
        shown.table.to_csv(path)
    return [target, table]
