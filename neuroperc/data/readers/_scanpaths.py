"""What the JSON formats of scanpaths share: the frame of their pixels, target boxes, and the way to tables and back.

Columns that a format lacks are written as further keys under our own names, which other readers pass over, so that a
table comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail
from ...display import Display
from ..fixations.columns import KEY, TRIAL_COLUMNS
from ..fixations.tables import check_fixations, check_trials, make_fixations, make_trials

BOX = ("target_left_deg", "target_right_deg", "target_bottom_deg", "target_top_deg")
_LISTS = {
    "fixation": "fixation",
    "fixation_onset_s": "onset_s",
    "fixation_eye": "eye",
    "fixation_object_id": "object_id",
}


@dataclass(frozen=True)
class Frame:
    """A picture's pixels on the display: display pixel = (picture pixel + 0.5) * scale - 0.5 + shift, as (x, y)."""

    display: Display
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def to_deg(self, points_px: Any) -> np.ndarray:
        """Picture pixels, centres at whole numbers and y down, to degrees."""
        points = (np.asarray(points_px, dtype=np.float64).reshape(-1, 2) + 0.5) * self.scale - 0.5
        return np.asarray(self.display.to_deg(points + self.shift))

    def to_px(self, points_deg: Any) -> np.ndarray:
        """Degrees to picture pixels."""
        points = np.asarray(self.display.to_px(np.asarray(points_deg, dtype=np.float64).reshape(-1, 2)))
        return np.asarray((points - self.shift + 0.5) / self.scale - 0.5)

    def box_to_deg(self, edges_px: Sequence[float]) -> dict[str, float]:
        """(left, top, right, bottom) outer edges, where pixel 0 begins at 0, to the BOX columns."""
        (left, top), (right, bottom) = self.to_deg(np.asarray(edges_px, dtype=np.float64) - 0.5)
        return dict(zip(BOX, (float(v) for v in (left, right, bottom, top)), strict=True))

    def box_to_px(self, row: Mapping[str, Any]) -> list[float] | None:
        """Return (left, top, right, bottom), or None for a trial without a box."""
        left, right, bottom, top = (row.get(name, np.nan) for name in BOX)
        if pd.isna(left):
            return None
        return [as_file_number(v) for v in (self.to_px([(left, top), (right, bottom)]) + 0.5).ravel()]


def as_file_number(value: float) -> float | int:
    """Return a number for a file: nine decimals, whole numbers as such (848.7, not 848.7000000000001)."""
    number = round(float(value), 9)
    return int(number) if number.is_integer() else number


def number_list(record: Mapping[str, Any], key: str, where: str) -> list[float]:
    """Return a list of numbers from a record; null is NaN."""
    values = record.get(key, [])
    ok = isinstance(values, list) and all(v is None or isinstance(v, int | float) for v in values)
    if not ok:
        fail(f"{key} of {where}", "a list of numbers", repr(values), "The file is damaged or of another format.")
    return [np.nan if v is None else float(v) for v in values]


def needs(record: Any, keys: Sequence[str], where: str) -> None:
    """Raise when a record is no object or lacks a key."""
    check(isinstance(record, Mapping), where, "an object", repr(record), "Is the file of another format?")
    missing = [key for key in keys if key not in record]
    check(not missing, where, f"with {', '.join(keys)}", f"no {', '.join(missing)}", "Is the file of another format?")


def read_path(record: Mapping[str, Any], frame: Frame, where: str) -> tuple[dict[str, Any], list[float]]:
    """Return a record's scanpath, points in degrees, and the durations, in seconds, that have no position."""
    x, y = number_list(record, "X", where), number_list(record, "Y", where)
    check(len(x) == len(y), f"X and Y of {where}", "of one length", f"{len(x)} and {len(y)}", "The file is damaged.")
    n = len(x)
    seconds = [t / 1000 for t in number_list(record, "T", where)]
    path: dict[str, Any] = {"points": frame.to_deg(np.stack((x, y), -1)), "duration_s": [*seconds, *[np.nan] * n][:n]}
    path["fixation"] = record.get("fixation", list(range(n)))
    for key, column in list(_LISTS.items())[1:]:
        if key in record:
            path[column] = record[key]
    for column, values in path.items():
        check(len(values) == n, f"{column} of {where}", f"of {n} entries, as X", len(values), "The file is damaged.")
    return path, seconds[n:]


def assemble(
    rows: list[dict[str, Any]], paths: list[dict[str, Any]], display: Display
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make Fixations and Trials from a row and a path a trial."""
    table = pd.DataFrame(rows)
    if len(table) == 0:
        return make_fixations([], trial=[], fixation=[], on_screen=[]), make_trials([])
    if "excluded" in table:
        table["excluded"] = table["excluded"].eq(True)
    trials = make_trials(table["trial"], **{str(name): table[name] for name in table if name != "trial"})
    n = [len(path["fixation"]) for path in paths]
    key = trials[list(KEY)].loc[trials.index.repeat(n)].reset_index(drop=True)
    empty = {"onset_s": np.nan, "eye": "", "object_id": None}
    columns = {
        name: [v for path, k in zip(paths, n, strict=True) for v in path.get(name, [empty.get(name)] * k)]
        for name in ("fixation", "duration_s", "onset_s", "eye", "object_id")
    }
    points = np.concatenate([path["points"] for path in paths])
    fixations = make_fixations(points, **key, **columns, display=display)
    return fixations, trials


def write_paths(
    fixations: pd.DataFrame, trials: pd.DataFrame, frame_of: Callable[[Mapping[str, Any]], Frame]
) -> Iterator[tuple[dict[str, Any], Frame, dict[str, Any]]]:
    """Yield each trial's row, its frame, and X, Y, T (ms) with further keys for what those cannot say."""
    table = check_fixations(fixations, trials).sort_values([*KEY, "fixation"], kind="stable")
    eyes = table.groupby(list(KEY))["eye"].nunique()
    two = eyes[eyes > 1]
    check(len(two) == 0, "fixations", "of one eye a trial", f"two in {two.index.tolist()[:1]}", "Choose an eye's rows.")
    groups = {key: rows for key, rows in table.groupby(list(KEY), sort=False)}
    for cells in check_trials(trials).to_dict("records"):
        row = {str(name): value for name, value in cells.items()}
        rows = groups.get(tuple(row[name] for name in KEY), table.iloc[:0])
        frame = frame_of(row)
        points = frame.to_px(rows[["x_deg", "y_deg"]].to_numpy())
        spare = row.get("unplaced_durations_s")
        durations = [*rows["duration_s"], *(spare if isinstance(spare, list | tuple) else ())]
        path: dict[str, Any] = {
            "X": [_json(v) for v in points[:, 0]], "Y": [_json(v) for v in points[:, 1]],
            "T": _strip([_json(d * 1000) for d in durations]),
        }  # fmt: skip
        for key, column in _LISTS.items():
            values = [_json(v) for v in rows[column]]
            usual = list(range(len(rows))) if key == "fixation" else [None if column != "eye" else ""] * len(rows)
            if values != usual:
                path[key] = values
        yield row, frame, path


def _strip(values: list[Any]) -> list[Any]:
    """Leave out durations that are not known at the end of a path."""
    while values and values[-1] is None:
        values = values[:-1]
    return values


def _json(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating):
        return as_file_number(float(value))
    return value.item() if isinstance(value, np.generic) else value


def further(row: Mapping[str, Any], written: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a trial that the format does not carry and that say something."""
    rest = {key: _json(value) for key, value in row.items() if key not in (*written, *BOX, "unplaced_durations_s")}
    return {key: value for key, value in rest.items() if not _silent(key, value)}


def _silent(key: str, value: Any) -> bool:
    if value is None:
        return True
    return (key in TRIAL_COLUMNS and isinstance(value, str) and not value) or (key == "excluded" and value is False)


def trial_numbers(rows: list[dict[str, Any]]) -> None:
    """Give each trial its number within subject and session, in the order of the file, where it does not say."""
    count: dict[tuple[str, str], int] = {}
    for row in rows:
        person = str(row["subject"]), str(row.get("session", ""))
        row.setdefault("trial", count.get(person, 0))
        count[person] = count.get(person, 0) + 1


def report_spare(n_spare: int, n_trials: int, path: Path) -> str:
    """Say that durations have no position."""
    return (
        f"{n_spare} of {n_trials} trials of {path} have more durations (T) than positions (X, Y); those without a "
        "position are kept in the trials' column unplaced_durations_s and are no fixations"
    )
