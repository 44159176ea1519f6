"""The text of an EyeLink ASC file from tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..._check import check, fail
from ..fixations.columns import KEY
from ..fixations.pixels import deg_to_pixels
from ..fixations.recording import EyeRecording

Line = tuple[float, int, str]
_OWN = ("TRIALID", "TRIAL_VAR", "SYNCTIME", "TRIAL_RESULT", "GAZE_COORDS", "DISPLAY_COORDS", "RECCFG")
_LETTER = {"left": "L", "right": "R"}


def asc_text(recording: EyeRecording, decimals: int) -> str:
    """Return the whole file: every line has a time and a rank among those of the same time."""
    step_ms = 1000 / recording.sampling_hz
    eyes = _eyes(recording)
    spans = _spans(recording, step_ms)
    lines = [*_trial_lines(recording.trials, spans), *_fixation_lines(recording, spans, decimals)]
    lines += _sample_lines(recording, spans, eyes, decimals)
    for time_s, text in recording.messages[["time_s", "text"]].itertuples(index=False):
        if not any(word in text for word in _OWN):
            lines.append((time_s * 1000, 5, f"MSG\t{_ms(time_s * 1000)} {_one_line('message', text)}"))
    lines.sort(key=lambda line: (round(line[0], 3), line[1]))
    first = lines[0][0] if lines else 0.0
    last = (lines[-1][0] if lines else 0.0) + step_ms
    sides = "\t".join(eye.upper() for eye in eyes)
    rate = f"{sides}\tRATE\t{recording.sampling_hz:.2f}\tTRACKING\tCR\tFILTER\t2"
    height, width = recording.display.resolution_px
    head = ["** CONVERTED FROM tables by neuroperc", "** TYPE: EDF_FILE BINARY EVENT SAMPLE TAGGED", ""]
    head += [f"MSG\t{_ms(first)} DISPLAY_COORDS 0 0 {width - 1} {height - 1}"]
    head += [f"MSG\t{_ms(first)} RECCFG CR {recording.sampling_hz:g} 2 1 {''.join(_LETTER[eye] for eye in eyes)}"]
    head += [f"MSG\t{_ms(first)} GAZE_COORDS 0.00 0.00 {width - 1:.2f} {height - 1:.2f}"]
    head += [f"START\t{_ms(first)} \t{sides}\tSAMPLES\tEVENTS", "PRESCALER\t1", "VPRESCALER\t1", "PUPIL\tAREA"]
    head += [f"EVENTS\tGAZE\t{rate}", f"SAMPLES\tGAZE\t{rate}"]
    tail = [f"END\t{_ms(last)} \tSAMPLES\tEVENTS\tRES\t   0.00\t   0.00", ""]
    return "\n".join([*head, *(text for _, _, text in lines), *tail])


def _ms(value: float) -> str:
    """Whole milliseconds where they are whole, else as many decimals as the microsecond needs."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _one_line(name: str, text: str) -> str:
    check(not any(c in text for c in "\n\r"), name, "without line breaks", repr(text), "Replace them.")
    return text


def _eyes(recording: EyeRecording) -> list[str]:
    seen = set(recording.gaze["eye"].unique()) | set(recording.fixations["eye"].unique())
    wrong = sorted(seen - set(_LETTER))
    check(not wrong, "eye", "'left' or 'right' in an EyeLink file", wrong, "Rename the eye, e.g. .assign(eye='left').")
    return [eye for eye in _LETTER if eye in seen] or ["left"]


def _spans(recording: EyeRecording, step_ms: float) -> pd.DataFrame:
    """Return each trial's start, zero and stop in ms, indexed by its key; trials must follow one another."""
    trials, fixations = recording.trials, recording.fixations
    if "onset_s" not in trials:
        remedy = "Add each trial's onset on the tracker's clock: trials.assign(onset_s=...)."
        fail("trials columns", "with onset_s", list(trials.columns), remedy)
    zero = trials["onset_s"].to_numpy() * 1000
    check(bool(np.isfinite(zero).all()), "onset_s", "known for every trial", "NaN", "Give every trial its onset.")
    spans = pd.DataFrame({"start": zero, "zero": zero, "stop": zero})
    spans.index = pd.MultiIndex.from_frame(trials[list(KEY)])
    keys = [name for name in KEY if name in recording.gaze]
    samples = recording.gaze[recording.gaze["trial"] >= 0].groupby(keys)["time_s"].agg(["min", "max"]) * 1000
    samples = samples.reindex(pd.MultiIndex.from_frame(trials[keys]))
    ends = fixations.assign(end_s=fixations["onset_s"] + fixations["duration_s"])
    events = ends.groupby(list(KEY)).agg({"onset_s": "min", "end_s": "max"}).reindex(spans.index) * 1000
    length = events["end_s"].to_numpy()
    if "duration_s" in trials:
        known = trials["duration_s"].to_numpy(dtype=float) * 1000
        length = np.where(np.isnan(known), length, known)
    spans["start"] = zero + np.fmin(samples["min"].to_numpy(), 0.0)
    spans["stop"] = zero + np.fmax(np.fmax(length, samples["max"].to_numpy() + step_ms), step_ms)
    return _in_a_row(spans, zero + events["onset_s"].to_numpy())


def _in_a_row(spans: pd.DataFrame, first_fixation: np.ndarray) -> pd.DataFrame:
    start, stop = spans["start"].to_numpy(), spans["stop"].to_numpy()
    order = np.argsort(start, kind="stable")
    before = np.full(len(spans), -np.inf)
    before[order[1:]] = stop[order[:-1]]
    clash = np.flatnonzero(start < before - 1e-3)
    if len(clash):
        remedy = "Shift the onsets so that no two trials overlap."
        fail("trials", "one after another", f"{spans.index[clash[0]]}, which begins before the last one ends", remedy)
    # A fixation under way when the trial before ended belongs to both; an earlier one pulls this trial's start.
    return spans.assign(start=np.fmin(start, np.maximum(first_fixation, before)))


def _trial_lines(trials: pd.DataFrame, spans: pd.DataFrame) -> Iterator[Line]:
    names = [name for name in trials if name not in ("onset_s", "duration_s")]
    for row, (start, zero, stop) in zip(
        trials[names].astype(object).itertuples(index=False), spans.itertuples(index=False), strict=True
    ):
        values = dict(zip(names, row, strict=True))
        yield start, 2, f"MSG\t{_ms(start)} TRIALID {values.get('trial_id') or values['trial']}"
        for name, value in values.items():
            check(not set(str(name)) & set(" \t\n"), "column name", "one word", name, "Rename the column.")
            if name != "trial_id" and not pd.isna(value) and value != "":
                text = _one_line(str(name), str(value))
                yield start, 3, f"MSG\t{_ms(start)} !V TRIAL_VAR {name} {text}"
        yield zero, 5, f"MSG\t{_ms(zero)} SYNCTIME"
        yield stop, 1, f"MSG\t{_ms(stop)} TRIAL_RESULT 0"


def _fixation_lines(recording: EyeRecording, spans: pd.DataFrame, decimals: int) -> Iterator[Line]:
    table, step = recording.fixations, 1000 / recording.sampling_hz
    lost = table["onset_s"].isna() | table["duration_s"].isna()
    check(not lost.any(), "fixations", "with onset_s and duration_s", f"{int(lost.sum())} without", "Drop or set them.")
    zero = spans["zero"].reindex(pd.MultiIndex.from_frame(table[list(KEY)])).to_numpy()
    points = deg_to_pixels(table[["x_deg", "y_deg"]], recording.display, convention="center")
    first = zero + table["onset_s"].to_numpy() * 1000
    length = table["duration_s"].to_numpy() * 1000
    seen = set()
    for a, d, (x, y), eye in zip(first, length, points, table["eye"], strict=True):
        if (eye, _ms(a)) in seen:
            continue  # the last fixation of one trial that is number 0 of the next
        seen.add((eye, _ms(a)))
        place = "   .\t   ." if np.isnan(x) else f"  {x:.{decimals}f}\t  {y:.{decimals}f}"
        yield a, 6, f"SFIX {_LETTER[eye]}   {_ms(a)}"
        yield a + d - step, 8, f"EFIX {_LETTER[eye]}   {_ms(a)}\t{_ms(a + d - step)}\t{_ms(d)}\t{place}\t      0"


def _sample_lines(recording: EyeRecording, spans: pd.DataFrame, eyes: list[str], decimals: int) -> Iterator[Line]:
    gaze = recording.gaze
    keys = [name for name in KEY if name in gaze]
    zero = spans.reset_index().set_index(keys)["zero"]
    if not zero.index.is_unique:
        fail("gaze", "with a session column", keys, "Trials repeat across sessions: add session to gaze.")
    clock = zero.reindex(pd.MultiIndex.from_frame(gaze[keys])).fillna(0).to_numpy() + gaze["time_s"].to_numpy() * 1000
    points = deg_to_pixels(gaze[["x_deg", "y_deg"]], recording.display, convention="center")
    points[~gaze["valid"].to_numpy()] = np.nan
    ticks = np.round(clock * 1000).astype(np.int64)  # microseconds, so that both eyes meet
    times, row = np.unique(ticks, return_inverse=True)
    cells: np.ndarray = np.full((len(times), len(eyes)), _sample(np.nan, np.nan, 0, 0), dtype=object)
    column = gaze["eye"].map({eye: k for k, eye in enumerate(eyes)}).to_numpy(dtype=np.intp)
    rows = np.column_stack((points, gaze["pupil"].fillna(0))).tolist()
    texts = [_sample(x, y, pupil, decimals) for x, y, pupil in rows]
    cells[row, column] = np.array(texts, dtype=object)
    flags = "." * (3 if len(eyes) == 1 else 5)
    for tick, cell in zip(times.tolist(), cells.tolist(), strict=True):
        time = tick / 1000
        tabs = "\t".join(cell)
        yield time, 7, f"{_ms(time)}\t{tabs}\t{flags}"


def _sample(x: float, y: float, pupil: float, decimals: int) -> str:
    return f"  {x:.{decimals}f}\t  {y:.{decimals}f}\t  {pupil:.1f}" if x == x else "   .\t   .\t    0.0"
