"""Folders that appear whole, and the tables inside them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._check import check, fail

#: What text columns are made of: pandas 3 has a type for text, pandas 2 keeps objects.
TEXT = pd.Series(["a"]).dtype


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it on success, remove it on any failure.

    Raises
    ------
    ValueError
        When the parent folder is missing, or `path` exists and `overwrite` is False.
    OSError
        When the disk is full or not writable; what was at `path` is untouched.
    """
    target = Path(path)
    if not target.parent.is_dir():
        fail("path", "in a folder that exists", str(target), f"Make the folder {target.parent} first.")
    if target.exists() and not overwrite:
        fail("path", "a new folder", f"{target}, which exists", "Pass overwrite=True to replace it.")
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        _swap(temporary, target)
    except OSError as error:
        raise OSError(
            error.errno, f"{target} could not be written ({error.strerror or error}); nothing was changed. Free space "
            "or choose another folder"
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, target: Path) -> None:
    """Put `new` in the place of `target`; the old one goes only after the new one stands."""
    if not target.exists():
        new.rename(target)
        return
    old = new.with_name(new.name + "-old")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink()


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write a manifest that people can read."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """Read a manifest and check that it is of the kind that is wanted.

    Raises
    ------
    FileNotFoundError, ValueError
        When it is missing, damaged, of another kind, or of a later version than this reader knows.
    """
    if not path.is_file():
        fail("folder", f"one with a {path.name} in it", str(path.parent), "Check the path.", FileNotFoundError)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        fail(path.name, "whole JSON", f"{path} ({error})", "It is damaged; save the folder again.")
    right = isinstance(content, dict) and content.get("kind") == kind
    check(right, path.name, f"of kind {kind!r}", f"{path}")
    check(content.get("version") == 1, path.name, "of version 1", content.get("version"), "Update neuroperc.")
    return dict(content)


def write_table(table: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Write a table as CSV; return what CSV cannot say (types, missing text), for the manifest.

    Raises
    ------
    TypeError
        When a column holds something other than numbers, truth values or text.
    """
    table = table.reset_index()
    kinds: dict[str, Any] = {}
    for name, column in table.items():
        check(isinstance(name, str), "table", "one whose column names are text", name, error=TypeError)
        kinds[str(name)] = _kind(str(name), column)
    table.to_csv(path, index=False, lineterminator="\n")
    return kinds


def read_table(path: Path, kinds: dict[str, Any]) -> pd.DataFrame:
    """Read what `write_table` wrote, identical in values and types."""
    if not path.is_file():
        fail("folder", f"one with a {path.name} in it", str(path.parent), "It is incomplete; save it again.")
    raw = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    missing = [name for name in kinds if name not in raw.columns]
    check(not missing, path.name, f"with the columns {missing}", list(raw.columns), "Save the folder again.")
    columns = {name: _typed(raw[name], kind, path) for name, kind in kinds.items()}
    return pd.DataFrame(columns)


def _truth(value: str) -> bool:
    return {"True": True, "False": False}[value]


#: Types of counts and yes-or-no columns that may be missing, as in Trials, and how each is read.
_NULLABLE: dict[str, Callable[[str], Any]] = {"Int64": int, "boolean": _truth}


def is_text(column: pd.Series[Any]) -> bool:
    """Whether a column holds text only, apart from missing values."""
    known = column.dtype in (TEXT, np.dtype(object))
    return known and all(isinstance(value, str) for value in column[column.notna()])


def _kind(name: str, column: pd.Series[Any]) -> dict[str, Any]:
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return {"dtype": str(dtype)}
    if str(dtype) in _NULLABLE:
        return {"dtype": str(dtype)}
    missing = column.isna().to_numpy()
    remedy = "Turn it into numbers, truth values or text, or keep it in truth."
    check(is_text(column), f"column {name!r}", "of numbers, truth values or text", f"{dtype}", remedy, TypeError)
    return {"dtype": "text", "missing": [int(row) for row in np.flatnonzero(missing)]}


def _typed(raw: pd.Series[Any], kind: dict[str, Any], path: Path) -> Any:
    dtype = kind["dtype"]
    if dtype == "text":
        missing = set(kind["missing"])
        return pd.Series([None if row in missing else value for row, value in enumerate(raw)], dtype=TEXT)
    try:
        if dtype in _NULLABLE:
            read = _NULLABLE[dtype]
            return pd.array([read(v) if v else pd.NA for v in raw], dtype=dtype)
        if dtype == "bool":
            return raw.map({"True": True, "False": False}).astype(bool)
        if dtype.startswith("float"):
            return np.array([float(v) if v else np.nan for v in raw], dtype=dtype)
        return np.array([int(v) for v in raw], dtype=dtype)
    except (KeyError, ValueError) as error:
        fail(path.name, f"numbers in column {raw.name!r}", f"{path} ({error})", "It was edited; save it again.")
