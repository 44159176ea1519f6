"""The lines of an EyeLink ASC file as arrays: sample lines in bulk, all others one by one."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail

EYE_NAMES = {"L": "left", "R": "right", "LEFT": "left", "RIGHT": "right"}
_EVENTS = {"EFIX": ("fixation", 8), "ESACC": ("saccade", 11), "EBLINK": ("blink", 5)}
_HEADER = re.compile(r"\*\* ([A-Z_ ]+):(.*)")
_COORDS = re.compile(r"(GAZE_COORDS|DISPLAY_COORDS)[\s=]+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)")


@dataclass
class AscLines:
    """What the lines say, in the file's own milliseconds and pixels.

    Parameters
    ----------
    time_ms
        (n,) of all samples.
    eyes
        Name of each recorded eye: (n, 3) x, y, pupil; NaN for '.' and for eyes that a block did not record.
    events
        kind, eye, first_ms, last_ms, duration_ms and the numbers after them.
    messages
        (time in ms, text).
    blocks
        (START, END) in ms; END is NaN when the file stops before it.
    rates_hz
        Sampling rate of each block.
    coords
        left, top, right, bottom of the gaze coordinates; None when the file does not say.
    header
        The lines that begin with **.
    """

    time_ms: np.ndarray
    eyes: dict[str, np.ndarray]
    events: list[tuple[str, str, list[float]]] = field(default_factory=list)
    messages: list[tuple[float, str]] = field(default_factory=list)
    blocks: list[tuple[float, float]] = field(default_factory=list)
    rates_hz: list[float] = field(default_factory=list)
    coords: tuple[float, float, float, float] | None = None
    header: dict[str, str] = field(default_factory=dict)


def read_asc(path: Path, encoding: str | None) -> AscLines:
    """Read the file; every fault names it, the line and what to do."""
    data = _bytes(path)
    raw = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw == 10)
    starts = np.concatenate(([0], ends + 1))
    if starts[-1] == len(raw):
        starts = starts[:-1]
    first = raw[starts]
    sample = (first >= 48) & (first <= 57)
    lengths = np.diff(np.append(starts, len(raw)))
    lines = AscLines(np.empty(0), {})
    layouts: list[tuple[int, tuple[str, ...]]] = []
    for number in np.flatnonzero(~sample):
        line = data[starts[number] : starts[number] + lengths[number]]
        _other_line(lines, layouts, _decode(line, encoding), int(number), path)
    if not lines.blocks:
        remedy = "Convert the tracker's EDF with edf2asc, with samples and events."
        fail("path", "an EyeLink ASC file with a recording (START)", f"{path}, {len(starts)} lines", remedy)
    _samples(lines, layouts, raw, np.flatnonzero(sample), starts, lengths, path)
    return lines


def _bytes(path: Path) -> bytes:
    check(path.is_file(), "path", "a file that exists", str(path), "Check the name and the folder.")
    data = path.read_bytes()
    check(data.strip(), "path", "an EyeLink ASC file", f"{path}, which is empty", "Copy or convert it again.")
    if data[:11] == b"SR_RESEARCH" or b"\0" in data[:4096]:
        fail("path", "EyeLink ASC text", f"{path}, a binary file", "Convert the EDF with SR Research's edf2asc first.")
    return data


def _decode(line: bytes, encoding: str | None) -> str:
    if encoding is not None:
        return line.decode(encoding).rstrip("\r\n")
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace").rstrip("\r\n")


def _other_line(lines: AscLines, layouts: list[Any], text: str, number: int, path: Path) -> None:
    word = text[:7].split("\t")[0].split(" ")[0]
    try:
        if word == "MSG":
            _message(lines, text)
        elif word in _EVENTS:
            kind, n_words = _EVENTS[word]
            words = text.split()
            values = [np.nan if w == "." else float(w) for w in words[2:n_words]]
            if len(values) < n_words - 2:
                raise ValueError("too few numbers")
            lines.events.append((kind, EYE_NAMES[words[1]], values))
        elif word == "START":
            lines.blocks.append((float(text.split()[1]), np.nan))
        elif word == "END" and lines.blocks:
            lines.blocks[-1] = (lines.blocks[-1][0], float(text.split()[1]))
        elif word == "SAMPLES":
            _layout(lines, layouts, text, number)
        elif word == "**" and (found := _HEADER.match(text)):
            lines.header[found[1]] = found[2].strip()
    except (ValueError, IndexError, KeyError) as error:
        remedy = f"{error}. The file may be cut or edited: convert it from the EDF again."
        fail(f"line {number + 1} of {path}", f"a whole {word} line", repr(text), remedy)


def _message(lines: AscLines, text: str) -> None:
    _, time, *rest = text.replace("\t", " ", 2).split(" ", 2)
    body = rest[0] if rest else ""
    lines.messages.append((float(time), body))
    found = _COORDS.search(body)
    if found and (lines.coords is None or found[1] == "GAZE_COORDS"):
        left, top, right, bottom = (float(v) for v in found.groups()[1:])
        lines.coords = (left, top, right, bottom)


def _layout(lines: AscLines, layouts: list[Any], text: str, number: int) -> None:
    words = text.split()
    if words[1] != "GAZE":
        raise ValueError(f"samples are {words[1]}, not GAZE; convert the EDF with gaze data")
    lines.rates_hz.append(float(words[words.index("RATE") + 1]) if "RATE" in words else np.nan)
    layouts.append((number, tuple(EYE_NAMES[w] for w in words if w in ("LEFT", "RIGHT"))))


def _samples(
    lines: AscLines, layouts: list[tuple[int, tuple[str, ...]]], raw: np.ndarray, numbers: np.ndarray,
    starts: np.ndarray, lengths: np.ndarray, path: Path,
) -> None:  # fmt: skip
    if len(numbers) == 0:
        lines.eyes = {eye: np.empty((0, 3)) for _, eyes in layouts for eye in eyes}
        return
    check(layouts, str(path), "complete", "samples without a SAMPLES line", "Convert it from the EDF again.")
    block = np.searchsorted([line for line, _ in layouts], numbers) - 1
    early = numbers[block < 0]
    check(len(early) == 0, str(path), "complete", "samples before the first SAMPLES line", "Convert it again.")
    lines.time_ms = np.empty(len(numbers))
    lines.eyes = {
        eye: np.full((len(numbers), 3), np.nan) for eye in ("left", "right") if any(eye in e for _, e in layouts)
    }
    for eyes in {eyes for _, eyes in layouts}:
        mine = np.flatnonzero(np.isin(block, [i for i, (_, e) in enumerate(layouts) if e == eyes]))
        if len(mine):
            table = _numbers(raw, numbers[mine], starts, lengths, 1 + 3 * len(eyes), path)
            lines.time_ms[mine] = table[:, 0]
            for k, eye in enumerate(eyes):
                lines.eyes[eye][mine] = table[:, 1 + 3 * k : 4 + 3 * k]
    for values in lines.eyes.values():
        values[values <= -32768] = np.nan  # what old converters print for missing data


def _numbers(
    raw: np.ndarray, numbers: np.ndarray, starts: np.ndarray, lengths: np.ndarray, n_columns: int, path: Path
) -> np.ndarray:
    """Parse these sample lines' leading columns; '.' is NaN."""
    keep = np.zeros(len(starts), dtype=bool)
    keep[numbers] = True
    blob = raw[np.repeat(keep, lengths)].tobytes()
    try:
        table = pd.read_csv(
            io.BytesIO(blob), sep=r"\s+", header=None, usecols=range(n_columns), na_values=["."], dtype=np.float64,
            quoting=3, encoding="latin-1",
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError):
        table = None
    if table is None or len(table) != len(numbers) or table.shape[1] != n_columns:
        _find_fault(raw, numbers, starts, lengths, n_columns, path)
        fail(str(path), "readable", "sample lines of unequal length", "Convert it from the EDF again.")
    # A line cut short would be filled up with NaN: look at those with fewer tabs than most, and at the last one.
    tabs = np.diff(np.searchsorted(np.flatnonzero(raw == 9), np.append(starts, len(raw))))[numbers]
    short = numbers[(tabs < np.bincount(tabs).argmax()) | (numbers == numbers[-1])]
    _find_fault(raw, short, starts, lengths, n_columns, path)
    return np.asarray(table)


def _find_fault(
    raw: np.ndarray, numbers: np.ndarray, starts: np.ndarray, lengths: np.ndarray, n_columns: int, path: Path
) -> None:
    fine = re.compile(
        rb"\d+(\.\d*)?(\s+(\.|[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)){%d}(\s|$)" % (n_columns - 1), re.IGNORECASE
    )
    for number in numbers:
        line = raw[starts[number] : starts[number] + lengths[number]].tobytes()
        if not fine.match(line):
            shown = line.decode("latin-1").rstrip()
            remedy = "The file is cut or edited: convert it from the EDF again, or remove this line."
            fail(f"line {number + 1} of {path}", f"a sample with {n_columns} numbers", repr(shown), remedy)
