"""EyeLink ASC files (made from the tracker's EDF by edf2asc): read and write.

Pixels: EyeLink's gaze coordinates count from the first number of GAZE_COORDS, whole numbers at pixel centres, y down
(convention "center"); they are converted to degrees once, here. Times are milliseconds on the tracker's clock, half
milliseconds at 2 kHz. The duration of an EyeLink event counts its first and its last sample: last - first + one step.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import atomic_path, check, fail, integer
from ...display import Display
from ..fixations.columns import TEXT
from ..fixations.events import number_fixations
from ..fixations.pixels import pixels_to_deg
from ..fixations.recording import EVENT_COLUMNS, EyeRecording
from ..fixations.tables import make_fixations
from ._asc import AscLines, read_asc
from ._asc_trials import Spans, trial_spans, trials_table
from ._asc_write import asc_text


def read_eyelink(
    path: str | os.PathLike[str],
    *,
    display: Display | None = None,
    size_m: tuple[float, float] | None = None,
    distance_m: float | None = None,
    subject: str | None = None,
    session: str | None = None,
    trial_start: str | None = r"TRIALID\s*(?P<trial_id>.*)",
    trial_end: str | None = r"TRIAL_RESULT",
    onset: str | None = r"SYNCTIME",
    encoding: str | None = None,
) -> EyeRecording:
    r"""Read an EyeLink ASC file with samples and events, monocular or binocular.

    Parameters
    ----------
    path
        The ASC file.
    display
        The screen; its resolution must be that of the file's GAZE_COORDS.
    size_m, distance_m
        Instead of `display`: (height, width) of the screen and viewing distance in metres; the resolution is then the
        file's.
    subject, session
        Names to give; default: what the trials' TRIAL_VAR messages say, else "".
    trial_start
        Regular expression that a message holds when a trial begins; named groups become columns of Trials. None: each
        recorded block (START to END) is a trial.
    trial_end
        Regular expression of a trial's last message; a trial without one lasts until the next begins.
    onset
        Regular expression of the message at the stimulus onset, time 0 of the trial; a trial without one has its
        time 0 at its first message.
    encoding
        Of the messages; default UTF-8, or Windows-1252 for a line that is not UTF-8.

    Returns
    -------
    EyeRecording
        `gaze` (one eye after the other), `fixations` (by the tracker's parser; one that is under way when a trial
        begins is its number 0), `trials` with `onset_s` and `duration_s` on the tracker's clock and a column for each
        TRIAL_VAR, `events`, `messages`, `display`, `sampling_hz`, and `info` (header, blocks, truncated).

    Raises
    ------
    ValueError
        When the file is missing, binary, cut within a line, without GAZE samples, its resolution differs from the
        display's, or no message matches `trial_start`.

    Warns
    -----
    UserWarning
        When the last recording has no END: the file was cut, and what there is has been read.

    Examples
    --------
    >>> recording = read_eyelink("s1.asc", size_m=(0.30, 0.53), distance_m=0.57)      # doctest: +SKIP
    >>> npc.data.n_fixations(recording.fixations, recording.trials, eye="left")       # doctest: +SKIP
    """
    source = Path(path)
    lines = read_asc(source, encoding)
    screen = _screen(lines, source, display, size_m, distance_m)
    if np.isnan(lines.blocks[-1][1]):
        warnings.warn(f"{source} has no END for its last START: it was cut; what there is was read", stacklevel=2)
    step_ms = 1000 / _rate(lines)
    _half_steps(lines, step_ms)
    spans = trial_spans(lines, source, trial_start, trial_end, onset, step_ms)
    trials = trials_table(spans, subject, session)
    origin = np.array(lines.coords[:2]) if lines.coords else np.zeros(2)
    events = _events(lines, screen, origin)
    messages = pd.DataFrame(lines.messages, columns=["time_s", "text"]).astype({"time_s": float, "text": TEXT})
    truncated = bool(np.isnan(lines.blocks[-1][1]))
    return EyeRecording(
        gaze=_gaze(lines, spans, trials, screen, origin),
        fixations=_fixations(events, spans, trials, screen),
        trials=trials,
        display=screen,
        sampling_hz=1000 / step_ms,
        events=events,
        messages=messages.assign(time_s=messages["time_s"] / 1000),
        info={"header": lines.header, "blocks_ms": lines.blocks, "truncated": truncated, "source": str(source)},
    )


def _rate(lines: AscLines) -> float:
    rates = [rate for rate in lines.rates_hz if rate == rate]
    if rates:
        if len(set(rates)) > 1:
            fail("sampling rate", "the same in all blocks", sorted(set(rates)), "Split the file by rate.")
        return rates[0]
    steps = np.diff(lines.time_ms)
    check(len(steps) > 0, "sampling rate", "stated or seen", "no RATE and fewer than two samples")
    return float(1000 / np.median(steps))


def _half_steps(lines: AscLines, step_ms: float) -> None:
    """Old converters print 2 kHz times as whole milliseconds, each one twice."""
    if step_ms < 1:
        again = np.flatnonzero(np.diff(lines.time_ms) == 0) + 1
        lines.time_ms[again] += step_ms


def _screen(
    lines: AscLines, source: Path, display: Display | None, size_m: Any, distance_m: float | None
) -> Display:  # fmt: skip
    if lines.coords is None and display is None:
        fail("display", "given", None, f"{source} has no GAZE_COORDS or DISPLAY_COORDS message.")
    if lines.coords is not None:
        left, top, right, bottom = lines.coords
        counted = round(bottom - top) + 1, round(right - left) + 1
    if display is None:
        if size_m is None or distance_m is None:
            remedy = f"Give display=, or size_m=(height, width) and distance_m=; the file has {counted} pixels (h, w)."
            fail("size_m and distance_m", "given", (size_m, distance_m), remedy)
        # The last pixel is named, so 1919 means 1920 pixels; some scripts send the count itself.
        resolution = counted if all(n % 2 == 0 for n in counted) else (counted[0] - 1, counted[1] - 1)
        return Display(resolution, size_m, distance_m)
    if lines.coords is not None:
        ok = all(n in (c, c - 1) for n, c in zip(display.resolution_px, counted, strict=True))
        check(
            ok, "display.resolution_px", f"that of {source}: {counted}", display.resolution_px, "Pass its own display."
        )
    return display


def _events(lines: AscLines, screen: Display, origin: np.ndarray) -> pd.DataFrame:
    """Return the tracker's own events: places in degrees, times in seconds on its clock, amplitudes of our geometry."""
    table = np.full((len(lines.events), 9), np.nan)
    for row, (_, _, values) in zip(table, lines.events, strict=True):
        row[: len(values)] = values
    kinds = np.array([kind for kind, _, _ in lines.events], dtype=object)
    fixation, saccade = kinds == "fixation", kinds == "saccade"
    table[~(fixation | saccade), 3:] = np.nan
    start = pixels_to_deg(table[:, 3:5] - origin, screen, convention="center")
    end = pixels_to_deg(table[:, 5:7] - origin, screen, convention="center")
    end[~saccade] = np.nan
    made = {
        "kind": kinds, "eye": [eye for _, eye, _ in lines.events], "onset_s": table[:, 0] / 1000,
        "duration_s": table[:, 2] / 1000, "x_deg": start[:, 0], "y_deg": start[:, 1], "end_x_deg": end[:, 0],
        "end_y_deg": end[:, 1], "amplitude_deg": screen.eccentricity_deg(start, points_deg=end),
        "peak_velocity_deg_s": np.where(saccade, table[:, 8], np.nan), "pupil": np.where(fixation, table[:, 5], np.nan),
    }  # fmt: skip
    return pd.DataFrame(made, columns=EVENT_COLUMNS).astype({"kind": TEXT, "eye": TEXT})


def _fixations(events: pd.DataFrame, spans: Spans, trials: pd.DataFrame, screen: Display) -> pd.DataFrame:
    """Give each fixation to the trials it overlaps: the last of one may be number 0 of the next."""
    found = events[events["kind"] == "fixation"]
    first = found["onset_s"].to_numpy()
    last = first + found["duration_s"].to_numpy()
    near_s = 1e-6  # below the clock's resolution, above rounding
    rows, trial = np.nonzero((last[:, None] > spans.start_s + near_s) & (first[:, None] < spans.stop_s - near_s))
    order = np.lexsort((first[rows], trial))
    rows, trial = rows[order], trial[order]
    table = found.iloc[rows].reset_index(drop=True)
    key = trials[["subject", "session", "trial"]].iloc[trial].reset_index(drop=True)
    # Times on the tracker's clock have up to ten digits: rounding to a microsecond removes what the difference adds.
    table = table.assign(onset_s=np.round(first[rows] - spans.zero_s[trial], 6), **key)
    return make_fixations(
        table[["x_deg", "y_deg"]].to_numpy(), **key, fixation=number_fixations(table), onset_s=table["onset_s"],
        duration_s=table["duration_s"], eye=table["eye"], display=screen,
    )  # fmt: skip


def _gaze(
    lines: AscLines, spans: Spans, trials: pd.DataFrame, screen: Display, origin: np.ndarray
) -> pd.DataFrame:  # fmt: skip
    clock = lines.time_ms / 1000
    which = np.searchsorted(spans.start_s, clock, side="right") - 1
    which[(which < 0) | (clock >= spans.stop_s[which])] = -1
    inside = which >= 0
    time_s = np.round(clock - np.where(inside, spans.zero_s[which], 0), 6)
    columns = {
        "trial": np.where(inside, trials["trial"].to_numpy()[which], -1),
        **{name: _repeat(trials[name], which) for name in ("subject", "session")},
    }
    parts = []
    for eye, values in lines.eyes.items():
        points = pixels_to_deg(values[:, :2] - origin, screen, convention="center")
        valid = np.isfinite(points).all(axis=1)
        part = {
            "subject": columns["subject"], "trial": columns["trial"], "eye": _repeat(pd.Series([eye]), which * 0),
            "time_s": time_s, "x_deg": points[:, 0], "y_deg": points[:, 1],
            "pupil": np.where(values[:, 2] > 0, values[:, 2], np.nan), "valid": valid, "session": columns["session"],
        }  # fmt: skip
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _repeat(names: pd.Series[Any], which: np.ndarray) -> pd.Series[Any]:
    """Return the name of each sample's trial; outside any trial, the first trial's."""
    return names.astype(TEXT).take(np.maximum(which, 0)).reset_index(drop=True)


def write_eyelink(recording: EyeRecording, path: str | os.PathLike[str], *, decimals: int = 2) -> Path:
    """Write gaze, fixations and trials as an EyeLink ASC file that `read_eyelink` and other tools read.

    Every trial becomes messages (TRIALID, a TRIAL_VAR for each column that holds something, SYNCTIME at its onset,
    TRIAL_RESULT), so that empty trials are kept. Fixations become EFIX lines; their `object_id` has no place there.
    Other messages are kept, except those that hold one of these words.

    Parameters
    ----------
    recording
        The tables; eyes are "left" and "right", and `trials` has `onset_s` (seconds on one clock), from which trials
        must not overlap.
    path
        The file.
    decimals
        Of pixel positions; EyeLink's own converter writes 1.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        When trials have no `onset_s` or overlap, an eye is neither left nor right, or a text has a line break.

    Examples
    --------
    >>> write_eyelink(recording, "s1.asc")      # doctest: +SKIP
    """
    target = Path(path)
    text = asc_text(recording, integer("decimals", decimals, 0))
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return target
