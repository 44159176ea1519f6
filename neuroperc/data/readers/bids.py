"""BIDS 1.11 eye tracking: read and write whole data sets of gaze, fixations and trials.

Pixels: BIDS leaves open where a pixel's number sits. They are taken as centres of pixels (convention "center") with the
origin that ScreenOrigin names, and written with the origin at the top left, y down. Times are written in seconds, in
the column `timestamp` and as event onsets alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..._check import check, fail
from ...display import Display
from ..fixations.recording import EyeRecording, empty_events, empty_messages
from ..fixations.tables import make_fixations, make_gaze, make_trials
from ._bids_files import entities, label
from ._bids_run import open_run, read_eye
from ._bids_write import write_dataset


def write_bids_gaze(recording: EyeRecording, folder: str | os.PathLike[str], *, task: str, name: str = "gaze") -> Path:
    """Write a recording as a BIDS data set.

    For every subject and session: trials as ``_events.tsv``, the samples of each eye as
    ``_recording-eye<n>_physio.tsv.gz``, its fixations, saccades, blinks and messages as ``_physioevents.tsv.gz``, all
    with sidecars, and the screen as StimulusPresentation of ``task-<task>_events.json``. Columns of ours that BIDS
    lacks are further columns there, so that `read_bids_gaze` gives the same tables back.

    Parameters
    ----------
    recording
        Its display has a size and distance; its trials have `onset_s`, seconds on one clock.
    folder
        The data set's root; made when it is not there.
    task, name
        The task's label and the data set's name.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ValueError
        When a subject, session or task is not a BIDS label, an eye is not known, or `onset_s` is missing.

    Examples
    --------
    >>> write_bids_gaze(recording, "dataset", task="search")        # doctest: +SKIP
    """
    return write_dataset(recording, Path(folder), label("task", task), name)


def read_bids_gaze(
    folder: str | os.PathLike[str],
    *,
    task: str | None = None,
    subject: str | None = None,
    session: str | None = None,
    display: Display | None = None,
    trial_type: str | None = None,
) -> EyeRecording:
    """Read the eye tracking of a BIDS data set.

    Parameters
    ----------
    folder
        The data set's root, where dataset_description.json lies.
    task, subject, session
        Labels to read; default all, of one task.
    display
        The screen; default: StimulusPresentation of the events' sidecars.
    trial_type
        Only rows of ``_events.tsv`` with this trial_type are trials; default: all rows.

    Returns
    -------
    EyeRecording
        Samples and events belong to the trial that their column `trial` names, or in whose time they lie.

    Raises
    ------
    ValueError
        When the folder holds no eye tracking, several tasks, a table is cut, a required field is missing, a unit or
        coordinate system is not known, or screens differ.

    Warns
    -----
    UserWarning
        When ScreenDistance looks like centimetres.

    References
    ----------
    Brain Imaging Data Structure 1.11, "Physiological recordings", eye tracking.

    Examples
    --------
    >>> recording = read_bids_gaze("dataset", task="search")        # doctest: +SKIP
    """
    root = Path(folder)
    files = _files(root, {"task": task, "sub": subject, "ses": session})
    screens: list[Display] = []
    rates: set[float] = set()
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ("gaze", "fixations", "trials", "events", "messages")}
    for path in files:
        run = open_run(path, root, display, trial_type)
        screens.append(run.display)
        parts["trials"].append(run.trials)
        for physio in run.eyes:
            rates.add(float(physio.meta["SamplingFrequency"]))
            for key, table in read_eye(run, physio).items():
                parts[key].append(table)
    check(
        all(screen == screens[0] for screen in screens), "screens", "the same in all runs", "several", "Read one task."
    )
    check(len(rates) <= 1, "SamplingFrequency", "the same in all runs", sorted(rates), "Read one subject at a time.")
    return EyeRecording(
        gaze=_join(parts["gaze"], make_gaze([], time_s=[], trial=[], session=[])),
        fixations=_join(parts["fixations"], make_fixations([], trial=[], fixation=[], on_screen=[])),
        trials=_join(parts["trials"], make_trials([])),
        display=screens[0],
        sampling_hz=rates.pop() if rates else 1000.0,
        events=_join(parts["events"], empty_events()),
        messages=_join(parts["messages"], empty_messages()),
        info={"source": str(root), "task": entities(files[0])[0].get("task", "")},
    )


def _join(tables: list[pd.DataFrame], empty: pd.DataFrame) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty


def _files(root: Path, wanted: Mapping[str, str | None]) -> list[Path]:
    """Return the events files of the runs to read."""
    check(root.is_dir(), "folder", "a folder that exists", str(root), "Check the name.")
    found = []
    for path in sorted(root.glob("sub-*/**/*_events.tsv")):
        pairs, _ = entities(path)
        if all(value is None or pairs.get(key) == value for key, value in wanted.items()):
            found.append(path)
    there = sorted({entities(path)[0].get("task", "") for path in root.glob("sub-*/**/*_events.tsv")})
    if not found:
        asked = {key: value for key, value in wanted.items() if value is not None}
        fail("folder", "a BIDS data set with _events.tsv files", f"{root} with tasks {there}, asked for {asked}")
    tasks = {entities(path)[0].get("task", "") for path in found}
    check(
        len(tasks) == 1, "task", f"one of {', '.join(sorted(tasks))}", None, "The data set has several tasks: choose."
    )
    return found
