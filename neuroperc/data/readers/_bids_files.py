"""Files of a BIDS data set: names, sidecars by inheritance, tables without header."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import atomic_path, check, fail

_LABEL = re.compile(r"[0-9a-zA-Z+]+")


def label(name: str, value: str) -> str:
    """Return a label that may stand in a BIDS file name."""
    remedy = "BIDS names are letters and digits: rename, e.g. trials.assign(subject='01')."
    check(_LABEL.fullmatch(value), name, "letters and digits", repr(value), remedy)
    return value


def entities(path: Path) -> tuple[dict[str, str], str]:
    """Return the key-label pairs of a file's name and its suffix (`physio`, `events`, ...)."""
    *pairs, suffix = path.name.split(".")[0].split("_")
    return dict(pair.split("-", 1) for pair in pairs if "-" in pair), suffix


def sidecar(path: Path, root: Path) -> dict[str, Any]:
    """Merge the JSON files that speak of this one: those higher up hold for all below, the nearest wins."""
    mine, suffix = entities(path)
    merged: dict[str, Any] = {}
    folders = [root, *reversed([p for p in path.parents if root in p.parents])]
    for folder in folders:
        found = []
        for candidate in folder.glob(f"*{suffix}.json"):
            theirs, kind = entities(candidate)
            if kind == suffix and theirs.items() <= mine.items():
                found.append((len(theirs), candidate))
        for _, candidate in sorted(found):
            merged |= read_json(candidate)
    return merged


def read_json(path: Path) -> Any:
    """Read a JSON file; errors name the file and the line."""
    check(path.is_file(), "path", "a file that exists", str(path), "Check the name and the folder.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", "?")
        fail(
            "path", "whole JSON", f"{path}, line {line}: {error}", "The file is cut or edited: copy or write it again."
        )


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a TSV (header first) or, given its columns, a headerless TSV.GZ; all cells are text, 'n/a' is ''."""
    check(path.is_file(), "path", "a file that exists", str(path), "Check the name and the folder.")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
        if columns is not None and not text.strip():
            return pd.DataFrame({name: pd.Series([""]).iloc[:0] for name in columns})
        table = pd.read_csv(
            io.StringIO(text), sep="\t", header=0 if columns is None else None, names=columns, dtype=str, quoting=3,
            na_values=["n/a"], keep_default_na=False, index_col=False,
        )  # fmt: skip
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, ValueError) as error:
        shape = f" with the columns {columns} of its sidecar" if columns else ""
        fail(
            "path", f"a whole table{shape}", f"{path} ({error})", "The file is cut or damaged: copy or write it again."
        )
    return table.fillna("")


def numbers(table: pd.DataFrame, name: str, path: Path) -> np.ndarray:
    """Return a column as float64; '' is NaN. Errors name the file, column and line."""
    text = table[name]
    values = pd.to_numeric(text.replace("", "nan"), errors="coerce")
    wrong = np.flatnonzero(values.isna() & ~text.str.lower().isin(["", "nan"]))
    if len(wrong):
        where = f"{text.iloc[wrong[0]]!r} in row {wrong[0] + 1} of {path}"
        fail(name, "numbers, or n/a", where, "The file is damaged, or its sidecar's Columns are wrong.")
    return values.to_numpy(dtype=np.float64)


def write_table(table: pd.DataFrame, path: Path, *, header: bool) -> None:
    """Write a TSV, gzipped where the name says so, with 'n/a' for what is missing; same table, same bytes."""
    cells = table.astype(object).where(table.notna() & (table != ""), "n/a")
    broken = cells.map(lambda cell: isinstance(cell, str) and any(c in cell for c in "\t\n\r"))
    if broken.to_numpy().any():
        fail("text", "without tabs and line breaks", repr(cells[broken].stack().iloc[0]), "Replace them.")
    text = cells.to_csv(sep="\t", header=header, index=False, quoting=3, lineterminator="\n")
    with atomic_path(path) as temporary:
        data = text.encode("utf-8")
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def require(metadata: Mapping[str, Any], key: str, path: Path) -> Any:
    """Return a required field of a file's sidecar."""
    remedy = f"Add {key} to the JSON file beside it, or higher up."
    check(key in metadata, f"the sidecar of {path.name}", f"with {key}", sorted(metadata), remedy)
    return metadata[key]
