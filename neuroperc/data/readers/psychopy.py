"""Folders that a PsychoPy script shows: frames, their refresh schedule, conditions and the monitor.

PsychoPy itself is not needed: these are PNG, CSV and JSON files. Every position and size is also given in PsychoPy's
"pix" units (origin at the centre, y up), which are the same in every geometry.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ... import __version__
from ..._check import as_rng, check, fail, one_of, positive
from ...display import Display
from .._folders import TEXT, atomic_folder, read_json, read_table, write_json, write_table
from .._placing import place_on
from .._tables import PLACEMENT
from ..stimuli import StimulusSet
from .codes import to_codes
from .movies import as_rate
from .pictures import write_picture

_KIND = "neuroperc.psychopy"


class _Timing(NamedTuple):
    """When the frames of one stimulus are on: the refresh at which each begins, and how many it stays."""

    onset_refresh: np.ndarray
    n_refreshes: np.ndarray


def export_psychopy(
    stimuli: StimulusSet,
    folder: str | os.PathLike[str],
    *,
    trials: pd.DataFrame | None = None,
    duration_s: float | None = None,
    rounding: Literal["nearest"] | None = None,
    background: float | Sequence[float] | None = None,
    dither: Literal["noise"] | None = None,
    rng: int | np.random.Generator | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Write stimuli as a folder of frames, `conditions.csv`, `schedule.csv`, `monitor.json` and `manifest.json`.

    With a calibrated display the frames hold codes for the graphics card: they are linearised, and gamma must not be
    applied again (`manifest.json` says `"linearised": true`, and the monitor's gamma is then 1). Without a calibration
    they hold sRGB codes for a monitor that is set to sRGB.

    Parameters
    ----------
    stimuli
        Pictures or movies; their display needs `size_m` and `distance_m`.
    folder
        A new folder, which appears whole or not at all.
    trials
        One row a trial with `stimulus_id`; its rows and columns make up `conditions.csv`, in its order. Default: a row
        a stimulus.
    duration_s
        How long pictures stay on; movies bring their own duration.
    rounding
        None raises when a duration is not a whole number of refreshes; "nearest" rounds it, and `duration_s` of the
        result is what will be seen.
    background
        Linear light. When given, every frame is drawn on the whole display; else each must have the display's pixels
        where it is shown, because PsychoPy would resample codes instead of light.
    dither, rng
        As in `Display.to_dac`; needs a calibration.
    overwrite
        Replace a folder that is there.
    progress
        Show a bar.

    Returns
    -------
    DataFrame
        What `conditions.csv` holds; `read_psychopy_conditions` returns the same. Columns: those of `trials`,
        `stimulus_id file n_frames n_refreshes duration_s x_deg y_deg width_deg height_deg x_pix y_pix width_pix
        height_pix`.

    Raises
    ------
    ValueError
        When movies are faster than the display refreshes, a duration is not a whole number of refreshes, a picture is
        not pixel for pixel, a trial names an unknown stimulus, or the display's size or distance is unknown.
    OSError
        When the disk is full; nothing is left behind.

    Notes
    -----
    Frame k of a movie begins at refresh floor(k r), r = refresh_hz / fps as an exact fraction (Bresenham's line): no
    frame is ever a refresh late, and 24 fps on 60 Hz is the pattern 2, 3, 2, 3.

    References
    ----------
    Bresenham (1965), IBM Systems Journal 4, 25-30. Peirce et al. (2019), Behavior Research Methods 51, 195-203.

    Examples
    --------
    >>> import tempfile, numpy as np, neuroperc as npc
    >>> lab = npc.Display(resolution_px=(6, 8), size_m=(0.3, 0.4), distance_m=0.57, refresh_hz=60)
    >>> clip = npc.data.StimulusSet.from_arrays(np.zeros((1, 4, 1, 6, 8)), display=lab, fps=24)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     conditions = npc.data.export_psychopy(clip, f"{folder}/lab")
    ...     npc.data.read_psychopy_schedule(f"{folder}/lab")["n_refreshes"].tolist()
    [2, 3, 2, 3]
    """
    display = stimuli.display
    monitor = display.to_psychopy()
    one_of("rounding", rounding, (None, "nearest"))
    if dither is not None and display.calibration is None:
        fail("dither", "None on a display without calibration", dither, "Pass calibration= to the Display.")
    shown = stimuli if background is None else stimuli.to_display(background)
    _check_pixel_for_pixel(shown)
    timing = [_timing(shown, shape, duration_s, rounding) for shape in shown.shapes]
    conditions = _conditions(shown, timing, trials)
    generator = None if rng is None else as_rng(rng)
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        n_clipped = _write_frames(shown, temporary, dither, generator, progress)
        schedule = _schedule(shown, timing)
        calibrated = display.calibration is not None
        if calibrated:
            monitor |= {"measured_gamma": monitor["gamma"], "gamma": 1.0}
        write_json(monitor, temporary / "monitor.json")
        manifest = {
            "kind": _KIND, "version": 1, "neuroperc": __version__, "linearised": calibrated,
            "codes": "dac" if calibrated else "srgb", "bits": 8, "n_clipped": n_clipped, "fps": stimuli.fps,
            "refresh_hz": display.refresh_hz, "fingerprint": shown.fingerprint, "display": display.to_dict(),
            "conditions": write_table(conditions.set_index("stimulus_id"), temporary / "conditions.csv"),
            "schedule": write_table(schedule.set_index("stimulus_id"), temporary / "schedule.csv"),
            "columns": list(conditions.columns),
        }  # fmt: skip
        write_json(manifest, temporary / "manifest.json")
    return conditions


def read_psychopy_conditions(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the conditions of a folder that `export_psychopy` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        When the folder is not such a one or is incomplete.

    Examples
    --------
    >>> import tempfile, numpy as np, neuroperc as npc
    >>> lab = npc.Display(resolution_px=(6, 8), size_m=(0.3, 0.4), distance_m=0.57)
    >>> picture = npc.data.StimulusSet.from_arrays(np.zeros((1, 1, 6, 8)), display=lab, ids=["dark"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = npc.data.export_psychopy(picture, f"{folder}/lab", duration_s=0.1)
    ...     read_psychopy_conditions(f"{folder}/lab")[["stimulus_id", "n_refreshes"]].to_numpy().tolist()
    [['dark', 6]]
    """
    manifest = read_json(Path(folder) / "manifest.json", _KIND)
    return read_table(Path(folder) / "conditions.csv", manifest["conditions"])[manifest["columns"]]


def read_psychopy_schedule(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the refresh schedule of a folder: `stimulus_id frame file onset_refresh n_refreshes`.

    Raises
    ------
    FileNotFoundError, ValueError
        When the folder is not such a one, is incomplete, or names a frame that is not there.

    Examples
    --------
    >>> import tempfile, numpy as np, neuroperc as npc
    >>> lab = npc.Display(resolution_px=(6, 8), size_m=(0.3, 0.4), distance_m=0.57, refresh_hz=75)
    >>> clip = npc.data.StimulusSet.from_arrays(np.zeros((1, 3, 1, 6, 8)), display=lab, fps=25)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = npc.data.export_psychopy(clip, f"{folder}/lab")
    ...     read_psychopy_schedule(f"{folder}/lab")["onset_refresh"].tolist()
    [0, 3, 6]
    """
    root = Path(folder)
    manifest = read_json(root / "manifest.json", _KIND)
    schedule = read_table(root / "schedule.csv", manifest["schedule"])
    missing = [name for name in schedule["file"] if not (root / name).is_file()]
    check(
        not missing, "folder", "one with every frame of schedule.csv", f"{root} without {missing[:3]}", "Export again."
    )
    return schedule


def frame_schedule(n_frames: int, fps: float, refresh_hz: float) -> tuple[np.ndarray, Fraction]:
    """Return the refresh at which each frame begins, and the exact number of refreshes that all of them last.

    Raises
    ------
    ValueError
        When there are more frames than refreshes in a second.

    Examples
    --------
    >>> onset, total = frame_schedule(5, 24, 60)
    >>> onset.tolist(), total
    ([0, 2, 5, 7, 10], Fraction(25, 2))
    """
    ratio = as_rate("refresh_hz", refresh_hz) / as_rate("fps", fps)
    remedy = "Show every second frame, or use a faster display."
    check(ratio >= 1, "fps", f"at most the display's {refresh_hz:g} Hz", fps, remedy)
    onset = [k * ratio.numerator // ratio.denominator for k in range(n_frames)]
    return np.array(onset, dtype=np.int64), n_frames * ratio


def _timing(
    stimuli: StimulusSet, shape: tuple[int, ...], duration_s: float | None, rounding: Literal["nearest"] | None
) -> _Timing:
    refresh_hz = stimuli.display.refresh_hz
    if stimuli.fps is None:
        if duration_s is None:
            return _Timing(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        onset, exact = np.zeros(1, dtype=np.int64), _refreshes(positive("duration_s", duration_s), refresh_hz)
    else:
        check(duration_s is None, "duration_s", "left out for movies, which last as long as they do", duration_s)
        onset, exact = frame_schedule(shape[0], stimuli.fps, refresh_hz)
    total = round(exact)
    if total != exact and rounding is None:
        fail(
            "duration", f"a whole number of refreshes at {refresh_hz:g} Hz", f"{float(exact):.6g} refreshes",
            "Change it, or pass rounding='nearest' and use the durations that come back.",
        )  # fmt: skip
    total = max(total, int(onset[-1]) + 1)
    return _Timing(onset, np.diff(onset, append=total))


def _refreshes(duration_s: float, refresh_hz: float) -> Fraction:
    """Return the refreshes in a duration: exactly whole when only the float's rounding says otherwise."""
    rate = as_rate("refresh_hz", refresh_hz)
    exact = Fraction(duration_s) * rate
    whole = round(exact)
    return Fraction(whole) if abs(exact - whole) <= 1e-6 else exact


def _check_pixel_for_pixel(stimuli: StimulusSet) -> None:
    for name, shape, row in zip(stimuli.ids, stimuli.shapes, _places(stimuli), strict=True):
        covered = row["height_pix"], row["width_pix"]
        same = np.allclose(covered, shape[-2:], rtol=0, atol=1e-3)
        check(
            same, f"stimulus {name!r}", "shown pixel for pixel",
            f"{shape[-2:]} px on {covered[0]:.6g} × {covered[1]:.6g} px of the display (h, w)",
            "Pass background= to draw it on the whole display in linear light first.",
        )  # fmt: skip


def _places(stimuli: StimulusSet) -> list[dict[str, float]]:
    """Position and size in PsychoPy's pix units."""
    center = stimuli.display.center_px
    rows = []
    for width, height, x, y in stimuli.table[list(PLACEMENT)].astype(float).itertuples(index=False):
        place = place_on(stimuli.display, (height, width), (x, y))
        rows.append({
            "x_pix": place.center_px[0] - center[0], "y_pix": center[1] - place.center_px[1],
            "width_pix": place.size_px[1], "height_pix": place.size_px[0],
        })  # fmt: skip
    return rows


def _conditions(stimuli: StimulusSet, timing: list[_Timing], trials: pd.DataFrame | None) -> pd.DataFrame:
    own = pd.DataFrame({
        "stimulus_id": pd.Series(stimuli.ids, dtype=TEXT),
        "file": pd.Series([_file(stimuli, i, 0) for i in range(len(stimuli))], dtype=TEXT),
        "n_frames": [len(t.onset_refresh) for t in timing],
        "n_refreshes": [int(t.n_refreshes.sum()) for t in timing],
    })  # fmt: skip
    own["duration_s"] = own["n_refreshes"] / stimuli.display.refresh_hz
    placement = stimuli.table[["x_deg", "y_deg", "width_deg", "height_deg"]].astype(float).reset_index(drop=True)
    own = pd.concat([own, placement, pd.DataFrame(_places(stimuli))], axis=1)
    if trials is None:
        return own
    check("stimulus_id" in trials.columns, "trials", "a table with stimulus_id", list(trials.columns))
    check(len(trials) > 0, "trials", "at least one trial", "an empty table")
    shared = [name for name in trials.columns if name in own.columns and name != "stimulus_id"]
    check(not shared, "trials", "without columns that the export makes", shared, "Rename them.")
    names = trials["stimulus_id"].astype(str)
    unknown = sorted(set(names) - set(stimuli.ids))
    check(not unknown, "trials", "of stimuli in the set", f"unknown {unknown[:5]}", "Make them from the same set.")
    rows = own.set_index("stimulus_id").loc[names.tolist()].reset_index(drop=True)
    given = trials.assign(stimulus_id=names.astype(TEXT)).reset_index(drop=True)
    return pd.concat([given, rows], axis=1)


def _schedule(stimuli: StimulusSet, timing: list[_Timing]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({
            "stimulus_id": pd.Series([name] * len(t.onset_refresh), dtype=TEXT),
            "frame": np.arange(len(t.onset_refresh)),
            "file": pd.Series([_file(stimuli, i, k) for k in range(len(t.onset_refresh))], dtype=TEXT),
            "onset_refresh": t.onset_refresh, "n_refreshes": t.n_refreshes,
        })
        for i, (name, t) in enumerate(zip(stimuli.ids, timing, strict=True))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _file(stimuli: StimulusSet, i: int, frame: int) -> str:
    """Numbers, not ids: ids may hold what a file name cannot."""
    return f"frames/{i:05d}.png" if stimuli.fps is None else f"frames/{i:05d}/{frame:05d}.png"


def _write_frames(
    stimuli: StimulusSet, root: Path, dither: Literal["noise"] | None, rng: np.random.Generator | None, progress: bool
) -> int:
    n_clipped = 0
    (root / "frames").mkdir()
    linear = stimuli.to_encoding("linear" if stimuli.display.calibration else "srgb")
    for i in tqdm(range(len(stimuli)), disable=not progress, desc="exporting"):
        if stimuli.fps is not None:
            (root / "frames" / f"{i:05d}").mkdir()
        parts = [linear[i][None]] if stimuli.fps is None else linear.frames(i)
        frame = 0
        for part in parts:
            for picture in part.numpy(force=True):
                codes, clipped = _codes(picture, stimuli.display, dither, rng)
                write_picture(codes, root / _file(stimuli, i, frame))
                n_clipped, frame = n_clipped + clipped, frame + 1
    return n_clipped


def _codes(
    picture: np.ndarray, display: Display, dither: Literal["noise"] | None, rng: np.random.Generator | None
) -> tuple[np.ndarray, int]:
    if display.calibration is None:
        return to_codes(picture, "srgb"), 0
    if len(picture) == 1 and not display.calibration.channels_alike:
        picture = np.repeat(picture, 3, axis=0)
    return display.to_dac(picture, bits=8, dither=dither, rng=rng)
