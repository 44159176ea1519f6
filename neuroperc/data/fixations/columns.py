"""The columns of Trials, Fixations and Gaze: their names, their kinds, and the checks that the tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..._check import check, fail

KEY = ("subject", "session", "trial")
EYES = ("left", "right", "cyclopean", "")
KINDS: dict[str, str] = {
    "subject": "text", "session": "text", "trial": "whole", "stimulus_id": "text", "condition": "text",
    "set_size": "count", "target_present": "flag", "response": "text", "correct": "flag", "rt_s": "number",
    "found": "flag", "excluded": "yes/no", "reason": "text",
    "fixation": "whole", "x_deg": "number", "y_deg": "number", "onset_s": "number", "duration_s": "number",
    "eye": "text", "on_screen": "yes/no", "object_id": "count",
    "time_s": "number", "pupil": "number", "valid": "yes/no",
}  # fmt: skip
TRIAL_COLUMNS = (
    *KEY, "stimulus_id", "condition", "set_size", "target_present", "response", "correct", "rt_s", "found",
    "excluded", "reason",
)  # fmt: skip
FIXATION_COLUMNS = (
    *KEY, "fixation", "x_deg", "y_deg", "onset_s", "duration_s", "eye", "on_screen", "object_id",
)  # fmt: skip
GAZE_COLUMNS = ("subject", "trial", "eye", "time_s", "x_deg", "y_deg", "pupil", "valid")


def points_table(name: str, points: ArrayLike) -> np.ndarray:
    """Return (n, 2) float64; no points at all may come as an empty list."""
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 2)
    check(array.ndim == 2 and array.shape[1] == 2, name, "of shape (n, 2), (x, y)", f"shape {array.shape}")
    return array


def build(columns: Mapping[str, Any], more: Mapping[str, Any], n_rows: int) -> pd.DataFrame:
    """Make a table of `n_rows` from columns that hold one value for all rows or one a row."""
    made = {name: _column(name, values, n_rows) for name, values in {**columns, **more}.items()}
    return pd.DataFrame(made, index=pd.RangeIndex(n_rows))


def _column(name: str, values: Any, n_rows: int) -> pd.Series[Any]:
    if values is None or values is pd.NA or isinstance(values, str) or np.ndim(values) == 0:
        one = coerce(name, pd.Series([values]))
        return one.repeat(n_rows).reset_index(drop=True)
    series: pd.Series[Any] = pd.Series(values).reset_index(drop=True)
    check(len(series) == n_rows, name, f"one value for each of {n_rows} rows", f"{len(series)} values")
    return coerce(name, series)


def coerce(name: str, series: pd.Series[Any]) -> pd.Series[Any]:
    """Turn a column into its kind; raise with its first values when one does not fit."""
    kind = KINDS.get(name)
    if kind is None or _is_kind(series, kind):
        return series
    try:
        return _CAST[kind](series)
    except (TypeError, ValueError) as error:
        fail(name, _RULE[kind], repr(series.iloc[:5].tolist()), str(error))


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or bool(value != value)


def _text(series: pd.Series[Any]) -> pd.Series[Any]:
    values = ["" if _missing(v) else str(v) for v in series.tolist()]
    return pd.Series(values, index=series.index, dtype=TEXT)


def _number(series: pd.Series[Any]) -> pd.Series[Any]:
    values = series.tolist() if str(series.dtype) in ("object", "Int64", "Float64", "boolean") else series
    plain = [np.nan if _missing(v) else v for v in values] if isinstance(values, list) else values
    return pd.Series(plain, index=series.index).astype(np.float64)


def _count(series: pd.Series[Any]) -> pd.Series[Any]:
    numbers = _number(series)
    if (numbers % 1 != 0)[numbers.notna()].any():
        raise ValueError("A value is not whole.")
    return numbers.astype("Int64")


def _whole(series: pd.Series[Any]) -> pd.Series[Any]:
    if series.dtype.kind in "iu":
        return series.astype(np.int64)
    counts = _count(series)
    if counts.isna().any():
        raise TypeError("A value is missing.")
    return counts.astype(np.int64)


_FLAGS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def _flag(series: pd.Series[Any]) -> pd.Series[Any]:
    words = [None if _missing(v) or v == "" else str(v).lower() for v in series.tolist()]
    unknown = [w for w in words if w is not None and w not in _FLAGS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is neither.")
    flags = [None if w is None else _FLAGS[w] for w in words]
    return pd.Series(flags, index=series.index, dtype="boolean")


def _yes_no(series: pd.Series[Any]) -> pd.Series[Any]:
    flags = _flag(series)
    if flags.isna().any():
        raise TypeError("A value is missing.")
    return flags.astype(bool)


TEXT = pd.Series([""]).dtype  # pandas 3: str; before: object
_CAST: dict[str, Callable[[pd.Series[Any]], pd.Series[Any]]] = {
    "text": _text, "whole": _whole, "count": _count, "number": _number, "flag": _flag, "yes/no": _yes_no,
}  # fmt: skip
_RULE = {
    "text": "text", "whole": "whole numbers", "count": "whole numbers, or None", "number": "numbers, or NaN",
    "flag": "True, False or None", "yes/no": "True or False",
}  # fmt: skip


def _is_kind(series: pd.Series[Any], kind: str) -> bool:
    dtype = series.dtype
    if kind == "text":
        return bool(dtype == TEXT) and str(dtype) != "object" and not series.isna().any()
    wanted = {"whole": "int64", "count": "Int64", "number": "float64", "flag": "boolean", "yes/no": "bool"}
    return str(dtype) == wanted[kind]


def check_columns(name: str, table: Any, columns: Iterable[str]) -> pd.DataFrame:
    """Return the table with every column of its kind; tables read from CSV come with looser ones."""
    if not isinstance(table, pd.DataFrame):
        fail(name, "a pandas.DataFrame", type(table).__name__, f"Use make_{name}.", TypeError)
    missing = [column for column in columns if column not in table]
    if missing:
        fail(f"{name} columns", "complete", f"none of {', '.join(missing)}", f"Use make_{name}, which fills them.")
    wrong = [column for column in columns if not _is_kind(table[column], KINDS[column])]
    if wrong:
        table = table.assign(**{column: coerce(column, table[column]) for column in wrong})
    bad_eye = sorted(set(table["eye"].unique()) - set(EYES)) if "eye" in table else []
    check(not bad_eye, "eye", "one of " + ", ".join(map(repr, EYES)), bad_eye)
    return table


def check_unique(name: str, table: pd.DataFrame, keys: tuple[str, ...]) -> None:
    """Raise, showing the first, when two rows have the same key."""
    again = table.duplicated(list(keys))
    if again.any():
        row = table.loc[again, list(keys)].iloc[0].to_dict()
        fail(name, "unique in " + ", ".join(keys), f"a second row for {row}", "Renumber or drop the copies.")


def check_points(table: pd.DataFrame, flag: str) -> None:
    """Raise when a place is infinite, or is not known where `flag` says it is."""
    points = table[["x_deg", "y_deg"]].to_numpy()
    known = np.isfinite(points)
    lost = np.isnan(points)
    fine = known.all(axis=1) | (lost.all(axis=1) & ~table[flag].to_numpy())
    if flag == "valid":  # a sample with one lost coordinate exists in recordings: it is only not valid
        fine = known.all(axis=1) | (~np.isinf(points).any(axis=1) & ~table[flag].to_numpy())
    rule = f"finite in both coordinates, or NaN with {flag} False"
    check_rows("x_deg, y_deg", table, pd.Series(fine, index=table.index), rule, ("x_deg", "y_deg", flag))


def check_rows(name: str, table: pd.DataFrame, fine: Any, rule: str, show: tuple[str, ...] | None = None) -> None:
    """Raise, showing the first such row, unless `fine` holds in every row."""
    mask = np.asarray(fine, dtype=bool)
    if not mask.all():
        row = int(np.flatnonzero(~mask)[0])
        value = table.iloc[row][list(show or (name,))].to_dict()
        fail(name, rule, f"{value} in row {row} ({int((~mask).sum())} such rows)")
