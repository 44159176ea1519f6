"""One run of a BIDS data set: its trials, and the samples and events of each recorded eye."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, one_of
from ...display import Display
from ..fixations.columns import KINDS, TEXT, TRIAL_COLUMNS
from ..fixations.events import number_fixations
from ..fixations.pixels import pixels_to_deg
from ..fixations.recording import EVENT_COLUMNS
from ..fixations.tables import make_fixations, make_gaze, make_trials
from ._bids_files import entities, numbers, read_table, require, sidecar

_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
_SECONDS |= {"us": 1e-6, "µs": 1e-6, "microseconds": 1e-6, "ns": 1e-9}
_PLACE = ["x_coordinate", "y_coordinate"]


@dataclass(frozen=True)
class Physio:
    """A `_physio.tsv.gz`: its sidecar, table, the seconds in a unit of its timestamps, and their times in seconds."""

    path: Path
    meta: Mapping[str, Any]
    table: pd.DataFrame
    scale_s: float
    time_s: np.ndarray


@dataclass(frozen=True)
class Run:
    """An `_events.tsv` and what was recorded with it."""

    path: Path
    root: Path
    key: dict[str, str]
    display: Display
    origin: tuple[str, ...]
    trials: pd.DataFrame
    eyes: list[Physio]


def open_run(path: Path, root: Path, display: Display | None, trial_type: str | None) -> Run:
    """Read the trials of a run and the samples of its eyes."""
    pairs, _ = entities(path)
    stem = path.name.removesuffix("_events.tsv")
    eyes = [_open_physio(file, root) for file in sorted(path.parent.glob(f"{stem}_recording-*_physio.tsv.gz"))]
    # Event onsets count from the first sample, timestamps on the tracker's clock.
    first = [eye.time_s[0] - float(eye.meta.get("StartTime", 0)) for eye in eyes if len(eye.time_s)]
    presentation = sidecar(path, root).get("StimulusPresentation", {})
    key = {"subject": pairs["sub"], "session": pairs.get("ses", "")}
    return Run(
        path=path,
        root=root,
        key=key,
        display=display or _display(presentation, path),
        origin=tuple(presentation.get("ScreenOrigin", ("top", "left"))),
        trials=_trials(path, min(first, default=0.0), trial_type, key),
        eyes=eyes,
    )


def _open_physio(path: Path, root: Path) -> Physio:
    meta = sidecar(path, root)
    one_of(f"PhysioType of {path.name}", meta.get("PhysioType", "eyetrack"), ("eyetrack",))
    one_of(f"SampleCoordinateSystem of {path.name}", require(meta, "SampleCoordinateSystem", path), ("gaze-on-screen",))
    one_of(f"RecordedEye of {path.name}", require(meta, "RecordedEye", path), ("left", "right", "cyclopean"))
    table = read_table(path, list(require(meta, "Columns", path)))
    missing = {"timestamp", *_PLACE} - set(table)
    check(not missing, f"Columns of {path.name}", f"with {', '.join(sorted(missing))}", list(table))
    stamps = numbers(table, "timestamp", path)
    scale = _scale(_field(meta, "timestamp", "Units"), stamps, float(require(meta, "SamplingFrequency", path)), path)
    return Physio(path, meta, table, scale, stamps * scale)


def _field(meta: Mapping[str, Any], column: str, name: str) -> Any:
    about = meta.get(column)
    return about.get(name) if isinstance(about, Mapping) else None


def _scale(unit: Any, stamps: np.ndarray, rate_hz: float, path: Path) -> float:
    """Return the seconds in one unit of the timestamps; told by the sampling rate where the sidecar is silent."""
    if unit is not None:
        return _SECONDS[one_of(f"Units of timestamp in {path.name}", str(unit).lower(), list(_SECONDS))]
    ratio = float(np.median(np.diff(stamps))) * rate_hz if len(stamps) > 1 else 1.0
    fits = [scale for scale in (1.0, 1e-3, 1e-6, 1e-9) if abs(ratio * scale - 1) < 0.1]
    check(fits, f"timestamps of {path}", "seconds, ms, µs or ns at SamplingFrequency", f"{ratio:g} a sample")
    return fits[0]


def _display(presentation: Mapping[str, Any], path: Path) -> Display:
    for name in ("ScreenDistance", "ScreenResolution", "ScreenSize"):
        require(presentation, name, path)
    distance = presentation["ScreenDistance"]
    if isinstance(distance, int | float) and distance > 10:
        text = "m, which looks like centimetres; BIDS wants metres: correct the sidecar or pass display="
        warnings.warn(f"ScreenDistance of {path} is {distance} {text}", stacklevel=4)
    return Display.from_bids(dict(presentation), geometry=presentation.get("Geometry", "tangent"))


def _trials(path: Path, zero_s: float, trial_type: str | None, key: Mapping[str, str]) -> pd.DataFrame:
    table = read_table(path)
    missing = {"onset", "duration"} - set(table)
    check(not missing, f"columns of {path}", f"with {', '.join(sorted(missing))}", list(table))
    if trial_type is not None:
        check("trial_type" in table, f"columns of {path}", "with trial_type", list(table))
        table = table[table["trial_type"] == trial_type].reset_index(drop=True)
    names = {"trial_type": "condition", "response_time": "rt_s", "stim_file": "stimulus_id"}
    table = table.rename(columns={old: new for old, new in names.items() if old in table and new not in table})
    columns: dict[str, Any] = {"onset_s": np.round(numbers(table, "onset", path) + zero_s, 9)}
    columns["duration_s"] = numbers(table, "duration", path)
    for name in table.columns.difference(["onset", "duration", "trial", *key], sort=False):
        kind = KINDS[name] if name in TRIAL_COLUMNS else "text"
        values = table[name].replace("", "False") if kind == "yes/no" else table[name]
        columns[name] = numbers(table, name, path) if kind in ("number", "count") else values
    return make_trials(table["trial"] if "trial" in table else np.arange(len(table)), **columns, **key)


def read_eye(run: Run, physio: Physio) -> dict[str, pd.DataFrame]:
    """Return the tables of one eye: gaze, and fixations, events and messages where they were written."""
    table, path, eye = physio.table, physio.path, physio.meta["RecordedEye"]
    trial = _trial_of(run, table, physio.time_s, path)
    points = _points(run, table, physio)
    known = np.isfinite(points).all(axis=1)
    gaze = make_gaze(
        points, time_s=np.round(physio.time_s - _onset(run, trial), 9), trial=trial, eye=eye, **run.key,
        pupil=numbers(table, "pupil_size", path) if "pupil_size" in table else np.nan,
        valid=known & (numbers(table, "valid", path) > 0) if "valid" in table else known,
    )  # fmt: skip
    events = path.with_name(path.name.replace("_physio.", "_physioevents."))
    more = _read_events(run, physio, events, gaze) if events.is_file() else {}
    return {"gaze": gaze, **more}


def _trial_of(run: Run, table: pd.DataFrame, time_s: np.ndarray, path: Path) -> np.ndarray:
    """Return the trial of each row: what the table says, or in whose time it lies; -1 for none."""
    if "trial" in table:
        given = numbers(table, "trial", path)
        return np.where(np.isnan(given), -1, given).astype(np.int64)
    if len(run.trials) == 0:
        return np.full(len(time_s), -1)
    ordered = run.trials.sort_values("onset_s")
    onset = ordered["onset_s"].to_numpy()
    stop = onset + ordered["duration_s"].to_numpy()
    stop = np.where(np.isnan(stop), np.append(onset[1:], np.inf), stop)
    which = np.searchsorted(onset, time_s, side="right") - 1
    inside = (which >= 0) & (time_s < stop[which])
    return np.where(inside, ordered["trial"].to_numpy()[which], -1)


def _onset(run: Run, trial: np.ndarray) -> np.ndarray:
    """Return the onset of each row's trial; 0 outside trials, where times stay on the clock."""
    onset = run.trials.set_index("trial")["onset_s"].reindex(trial).to_numpy(dtype=np.float64)
    check(not np.isnan(onset[trial >= 0]).any(), f"trials of {run.path}", "those that the samples name", "others")
    return np.where(trial < 0, 0.0, onset)


def _points(run: Run, table: pd.DataFrame, physio: Physio) -> np.ndarray:
    """Return places in degrees, y up."""
    if not set(_PLACE) <= set(table):
        return np.full((len(table), 2), np.nan)
    raw = np.stack([numbers(table, name, physio.path) for name in _PLACE], -1)
    unit = str(_field(physio.meta, "x_coordinate", "Units") or "pixel").lower()
    one_of(f"Units of x_coordinate in {physio.path.name}", unit, ("pixel", "pixels", "px", "deg", "degree", "degrees"))
    if unit.startswith("deg"):
        return raw
    one_of("ScreenOrigin", run.origin, (("top", "left"), ("bottom", "left")))
    if run.origin[0] == "bottom":
        raw[:, 1] = run.display.resolution_px[0] - 1 - raw[:, 1]
    return pixels_to_deg(raw, run.display, convention="center")


def _read_events(run: Run, physio: Physio, path: Path, gaze: pd.DataFrame) -> dict[str, pd.DataFrame]:
    about = sidecar(path, run.root)
    one_of(f"OnsetSource of {path.name}", about.get("OnsetSource", "timestamp"), ("timestamp",))
    table = read_table(path, list(require(about, "Columns", path)))
    # The standard's own examples give durations in the timestamps' unit.
    unit = _field(about, "duration", "Units")
    scale = physio.scale_s if unit is None else _SECONDS[str(unit).lower()]
    kind = table["trial_type"] if "trial_type" in table else pd.Series("", index=table.index)
    if "blink" in table:
        kind = kind.mask((kind == "") & (numbers(table, "blink", path) > 0), "blink")
    points = _points(run, table, physio)
    found = table.assign(
        kind=kind, eye=physio.meta["RecordedEye"], x_deg=points[:, 0], y_deg=points[:, 1],
        onset_s=np.round(numbers(table, "onset", path) * physio.scale_s, 9),
        duration_s=numbers(table, "duration", path) * scale,
    )  # fmt: skip
    made = {"fixations": _fixations(run, found[kind == "fixation"], path, gaze, physio.time_s)}
    events = found[found["kind"].isin(["fixation", "saccade", "blink"])]
    more = {name: numbers(events, name, path) if name in events else np.nan for name in EVENT_COLUMNS[6:]}
    tidy = events.assign(**more)[list(EVENT_COLUMNS)].astype({"kind": TEXT, "eye": TEXT})
    made["events"] = tidy.drop_duplicates(["kind", "onset_s"]).assign(**run.key)
    if "message" in table:
        said = found[found["message"] != ""]
        text = said["message"].str.replace(r'^"(.*)"$', r"\1", regex=True)
        made["messages"] = pd.DataFrame({"time_s": said["onset_s"], "text": text.astype(TEXT)}).assign(**run.key)
    return made


def _fixations(run: Run, found: pd.DataFrame, path: Path, gaze: pd.DataFrame, clock_s: np.ndarray) -> pd.DataFrame:
    trial = _trial_of(run, found, found["onset_s"].to_numpy(), path)
    found = found[trial >= 0].assign(**run.key, trial=trial[trial >= 0])
    points = found[["x_deg", "y_deg"]].to_numpy(copy=True)
    start = found["onset_s"].to_numpy()
    stop = start + found["duration_s"].to_numpy()
    if "fixation" not in found:  # a file of others, with times only: the place is the samples' mean
        for row in range(len(found)):
            inside = gaze["valid"].to_numpy() & (clock_s > start[row] - 1e-6) & (clock_s < stop[row] - 1e-6)
            points[row] = gaze.loc[inside, ["x_deg", "y_deg"]].mean()
    found = found.assign(onset_s=np.round(start - _onset(run, found["trial"].to_numpy()), 9))
    return make_fixations(
        points, trial=found["trial"], onset_s=found["onset_s"], duration_s=found["duration_s"], eye=found["eye"],
        fixation=numbers(found, "fixation", path) if "fixation" in found else number_fixations(found),
        object_id=numbers(found, "object_id", path) if "object_id" in found else None, display=run.display, **run.key,
    )  # fmt: skip
