"""A recording as the files of a BIDS data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail
from ..fixations.columns import KEY, TRIAL_COLUMNS
from ..fixations.pixels import deg_to_pixels
from ..fixations.recording import EyeRecording
from ._bids_files import label, write_json, write_table

_RUN = ["subject", "session"]
_EVENTS = (
    "onset", "duration", "trial_type", "blink", "message", "x_coordinate", "y_coordinate", "end_x_deg", "end_y_deg",
    "amplitude_deg", "peak_velocity_deg_s", "pupil", "trial", "fixation", "object_id",
)  # fmt: skip


def write_dataset(recording: EyeRecording, root: Path, task: str, name: str) -> Path:
    """Write every run, then what they share."""
    trials = recording.trials
    screen = recording.display.to_bids()
    if recording.display.geometry != "tangent":
        screen["Geometry"] = recording.display.geometry
    if "onset_s" not in trials or not np.isfinite(trials["onset_s"]).all():
        remedy = "Add each trial's onset in seconds on one clock: trials.assign(onset_s=...)."
        fail("trials", "with onset_s for every trial", list(trials.columns), remedy)
    check(len(trials) > 0, "trials", "one or more", "none", "A data set needs subjects.")
    runs = trials[_RUN].drop_duplicates().to_numpy().tolist()
    for name_of, table in (("events", recording.events), ("messages", recording.messages)):
        known = len(runs) == 1 or len(table) == 0 or set(_RUN) <= set(table)
        check(known, name_of, "with subject and session when there are several", list(table), "Add these columns.")
    for subject, session in runs:
        _write_run(recording, root, task, label("subject", subject), session)
    about = {key: {"Description": text} for key, text in _TRIALS.items()}
    write_json({"TaskName": task, "StimulusPresentation": screen, **about}, root / f"task-{task}_events.json")
    content = {"Name": name, "BIDSVersion": "1.11.0", "DatasetType": "raw", "GeneratedBy": [{"Name": "neuroperc"}]}
    write_json(content, root / "dataset_description.json")
    return root


_TRIALS = {
    "trial": "Number of the trial", "stimulus_id": "Name of the stimulus", "set_size": "Number of items",
    "target_present": "Whether a target was shown", "rt_s": "Response time in seconds", "found": "Target found",
    "excluded": "Left out of analyses", "reason": "Why it was left out",
}  # fmt: skip


def _write_run(recording: EyeRecording, root: Path, task: str, subject: str, session: str) -> None:
    folder = root / f"sub-{subject}" / (f"ses-{label('session', session)}" if session else "") / "beh"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{subject}" + (f"_ses-{session}" if session else "") + f"_task-{task}"
    mine = {"subject": subject, "session": session}
    trials, fixations, gaze = (_rows(t, mine) for t in (recording.trials, recording.fixations, recording.gaze))
    onset = trials.set_index("trial")["onset_s"]
    clock = gaze["time_s"].to_numpy() + onset.reindex(gaze["trial"]).fillna(0).to_numpy()
    zero_s = float(clock.min()) if len(clock) else 0.0
    order = [name for name in TRIAL_COLUMNS if name not in KEY]
    extra = [name for name in trials if name not in (*KEY, *order, "onset_s", "duration_s")]
    started = np.round(trials["onset_s"] - zero_s, 9)
    table = trials.assign(onset=started, duration=trials.get("duration_s", np.nan))
    write_table(table[["onset", "duration", "trial", *order, *extra]], folder / f"{stem}_events.tsv", header=True)
    eyes = [
        eye
        for eye in ("left", "right", "cyclopean", "")
        if (gaze["eye"] == eye).any() or (fixations["eye"] == eye).any()
    ]
    for number, eye in enumerate(eyes, start=1):
        check(eye, "eye", "'left', 'right' or 'cyclopean' in BIDS", repr(eye), "Name it, e.g. .assign(eye='left').")
        base = folder / f"{stem}_recording-eye{number}"
        seen = (gaze["eye"] == eye).to_numpy()
        _write_samples(recording, gaze[seen], clock[seen], zero_s, eye, base)
        events = _rows(recording.events, mine)
        said = _rows(recording.messages, mine).iloc[: None if number == 1 else 0]
        starts = fixations["onset_s"].to_numpy() + onset.reindex(fixations["trial"]).to_numpy()
        held = fixations.assign(onset_s=np.round(starts, 9))
        _write_events(recording, held[held["eye"] == eye], events[events["eye"] == eye], said, base)


def _rows(table: pd.DataFrame, run: dict[str, str]) -> pd.DataFrame:
    mask = np.ones(len(table), dtype=bool)
    for name, value in run.items():
        mask &= (table[name] == value).to_numpy() if name in table else True
    return table[mask]


def _pixels(recording: EyeRecording, table: pd.DataFrame) -> dict[str, Any]:
    points = deg_to_pixels(table[["x_deg", "y_deg"]].to_numpy(), recording.display, convention="center")
    return {"x_coordinate": np.round(points[:, 0], 6), "y_coordinate": np.round(points[:, 1], 6)}


def _write_samples(
    recording: EyeRecording, gaze: pd.DataFrame, clock: np.ndarray, zero_s: float, eye: str, base: Path
) -> None:
    order = np.argsort(clock, kind="stable")
    place = _pixels(recording, gaze)
    columns = {"timestamp": np.round(clock, 9), **place, "pupil_size": gaze["pupil"], "trial": gaze["trial"]}
    table = pd.DataFrame(columns | {"valid": gaze["valid"].astype(int)}, index=gaze.index).iloc[order]
    write_table(table, base.with_name(base.name + "_physio.tsv.gz"), header=False)
    about = {
        "PhysioType": "eyetrack",
        "RecordedEye": eye,
        "SampleCoordinateSystem": "gaze-on-screen",
        "SamplingFrequency": recording.sampling_hz,
        "StartTime": float(clock.min() - zero_s) if len(clock) else 0.0,
        "Columns": list(table),
        "timestamp": {"Description": "Time on the tracker's clock", "Units": "s"},
        "x_coordinate": {"Description": "Column; 0 is the centre of the leftmost pixel", "Units": "pixel"},
        "y_coordinate": {"Description": "Row, downwards; 0 is the centre of the top pixel", "Units": "pixel"},
        "pupil_size": {"Description": "Pupil size as the tracker gives it", "Units": "a.u."},
        "trial": {"Description": "Number of the trial; -1 between trials"},
        "valid": {"Description": "1 where the sample can be used"},
    }
    write_json(about, base.with_name(base.name + "_physio.json"))


def _write_events(
    recording: EyeRecording, fixations: pd.DataFrame, events: pd.DataFrame, messages: pd.DataFrame, base: Path
) -> None:
    """Write what happened; `fixations` come with onset_s on the clock, and events may name some of them again."""
    tracked = events[events["kind"] == "fixation"]
    pupil = dict(zip(tracked["onset_s"].round(6), tracked["pupil"], strict=True))
    rows = [fixations.assign(kind="fixation", pupil=fixations["onset_s"].round(6).map(pupil))]
    again = (events["kind"] == "fixation") & events["onset_s"].round(6).isin(fixations["onset_s"].round(6))
    rows.append(events[~again])
    rows = [part.assign(**_pixels(recording, part), trial_type=part["kind"], onset=part["onset_s"]) for part in rows]
    rows.append(messages.assign(onset=messages["time_s"], message=messages["text"]))
    parts = [part.assign(duration=part["duration_s"]) if "duration_s" in part else part for part in rows if len(part)]
    table = pd.concat([part.astype(object) for part in parts]) if parts else pd.DataFrame()
    table = table.reindex(columns=list(_EVENTS)).sort_values("onset", kind="stable")
    table["onset"] = table["onset"].astype(float).round(9)
    table["blink"] = table["trial_type"].map({"fixation": 0, "saccade": 0, "blink": 1})
    write_table(table.astype({"blink": "Int64"}), base.with_name(base.name + "_physioevents.tsv.gz"), header=False)
    about = {
        "Columns": list(_EVENTS),
        "Description": "Fixations, saccades, blinks and messages",
        "OnsetSource": "timestamp",
        "onset": {"Units": "s"},
        "duration": {"Units": "s"},
        "trial_type": {"Levels": {"fixation": "A fixation", "saccade": "A saccade", "blink": "A blink"}},
        "blink": {"Levels": {"0": "The eye was open", "1": "The eye was closed"}},
        "x_coordinate": {"Description": "Mean of a fixation, start of a saccade", "Units": "pixel"},
        "y_coordinate": {"Description": "Mean of a fixation, start of a saccade", "Units": "pixel"},
        "fixation": {"Description": "Place in the trial's scanpath; 0 is the fixation present at its onset"},
    }
    write_json(about, base.with_name(base.name + "_physioevents.json"))
