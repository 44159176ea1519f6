"""Trials in an EyeLink ASC file: from when to when, and what the messages say about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import fail
from ..fixations.columns import KINDS, TEXT, TRIAL_COLUMNS, coerce
from ..fixations.tables import make_trials
from ._asc import AscLines

_VARIABLE = re.compile(r"TRIAL_VAR\s+(\S+)[ \t]?(.*)")


@dataclass(frozen=True)
class Spans:
    """Trials on the tracker's clock, in order: start <= t < stop, with time 0 at `zero`; `words` from messages."""

    start_s: np.ndarray
    stop_s: np.ndarray
    zero_s: np.ndarray
    words: list[dict[str, str]]


def trial_spans(
    lines: AscLines, source: Path, trial_start: str | None, trial_end: str | None, onset: str | None, step_ms: float
) -> Spans:
    """Cut the recording into trials by its messages, or by its blocks when there is no pattern."""
    ordered = sorted(lines.messages, key=lambda message: message[0])
    times = [t for t, _ in ordered] + [t for block in lines.blocks for t in block]
    last = float(np.nanmax([*times, *lines.time_ms[-1:]])) + step_ms
    if trial_start is None:
        cuts = [int(np.searchsorted(times[: len(ordered)], start)) for start, _ in lines.blocks]
        starts: list[tuple[float, dict[str, str]]] = [(start, {}) for start, _ in lines.blocks]
        stops = [last if np.isnan(stop) else stop for _, stop in lines.blocks]
    else:
        cuts = [k for k, (_, text) in enumerate(ordered) if re.search(trial_start, text)]
        _check_found(cuts, lines, source, trial_start)
        starts = [(ordered[k][0], _groups(trial_start, ordered[k][1])) for k in cuts]
        stops = [start for start, _ in starts[1:]] + [last]
    rows = []
    for (start, groups), stop, first, beyond in zip(starts, stops, cuts, [*cuts[1:], len(ordered)], strict=True):
        inside = ordered[first:beyond]
        words = {m[1]: m[2].strip() for _, text in inside if (m := _VARIABLE.search(text))}
        end = _first(trial_end if trial_start else None, inside, stop)
        zero = _first(onset, [message for message in inside if message[0] < end], start)
        rows.append((start, end, zero, words | groups))
    start_ms, stop_ms, zero_ms = (np.array([row[k] for row in rows], dtype=np.float64) for k in range(3))
    return Spans(start_ms / 1000, stop_ms / 1000, zero_ms / 1000, [row[3] for row in rows])


def _check_found(cuts: list[int], lines: AscLines, source: Path, pattern: str) -> None:
    if not cuts:
        firsts = sorted({text.split(" ")[0] for _, text in lines.messages})[:12]
        remedy = f"Its messages begin with {', '.join(firsts)}; trial_start=None takes each START to END as a trial."
        fail("trial_start", f"a pattern that a message of {source} matches", f"r'{pattern}'", remedy)


def _groups(pattern: str, text: str) -> dict[str, str]:
    found = re.search(pattern, text)
    return {} if found is None else {name: value.strip() for name, value in found.groupdict("").items()}


def _first(pattern: str | None, messages: list[tuple[float, str]], default: float) -> float:
    return next((t for t, text in messages if pattern is not None and re.search(pattern, text)), default)


def trials_table(spans: Spans, subject: str | None, session: str | None) -> pd.DataFrame:
    """Make Trials; what messages call by a column's name fills that column where it fits, else `var_<name>`."""
    n = len(spans.words)
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for words in spans.words for name in words):
        values = pd.Series([words.get(name, "") for words in spans.words], dtype=TEXT)
        kind = KINDS.get(name) if name in TRIAL_COLUMNS else None
        fitted = values if kind in (None, "text") else _fit(name, values.replace("", _EMPTY[str(kind)]))
        free = name not in ("onset_s", "duration_s") and (name not in KINDS or kind is not None)
        columns[name if free and fitted is not None else f"var_{name}"] = values if fitted is None else fitted
    trial = columns.pop("trial", None)
    if trial is not None and len(set(trial)) < n:
        columns["var_trial"], trial = trial.astype(TEXT), None
    if trial is None and "trial_id" in columns and len(set(columns["trial_id"])) == n:
        trial = _fit("trial", columns["trial_id"])
    columns |= {name: value for name, value in (("subject", subject), ("session", session)) if value is not None}
    duration = np.round(spans.stop_s - spans.zero_s, 6)
    return make_trials(np.arange(n) if trial is None else trial, **columns, onset_s=spans.zero_s, duration_s=duration)


_EMPTY = {"yes/no": "False", "flag": "", "count": "nan", "number": "nan", "whole": "-"}


def _fit(name: str, values: pd.Series[Any]) -> pd.Series[Any] | None:
    try:
        return coerce(name, values)
    except ValueError:
        return None
