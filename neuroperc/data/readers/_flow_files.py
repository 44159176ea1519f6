"""What the readers of perceived flow share: files that exist, arrays and columns that are there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail


def file_in(folder: str | os.PathLike[str], name: str) -> Path:
    """Return a file that exists."""
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} must be a file, got nothing there. Give the folder that holds {name}.")
    return path


def matlab_array(folder: str | os.PathLike[str], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array `name` of the MATLAB file `name`.mat; raise unless it has the known shape."""
    import scipy.io

    path = file_in(folder, f"{name}.mat")
    try:
        found = scipy.io.loadmat(path)
    except (ValueError, TypeError, OSError, NotImplementedError) as error:
        fail(str(path), "a MATLAB file of version 5 to 7", str(error), "Is it complete?")
    check(name in found, str(path), f"a file with the array {name}", [k for k in found if not k.startswith("_")])
    array = np.asarray(found[name], dtype=np.float64)
    check(array.shape == shape, f"{name} in {path}", f"of shape {shape}", array.shape)
    return array


def csv_table(folder: str | os.PathLike[str], name: str, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """Return a table with at least these columns, all of numbers."""
    path = file_in(folder, name)
    try:
        table = pd.read_csv(path, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        fail(str(path), "a table of comma-separated values", str(error), "Is it complete?")
    missing = [c for c in columns if c not in table]
    check(not missing, str(path), f"a table with the columns {', '.join(columns)}", f"no {', '.join(missing)}")
    check(len(table) > 0, str(path), "a table of one row or more", "none")
    words = [c for c in columns if table[c].dtype.kind not in "iuf"]
    if words:
        fail(f"column {words[0]} of {path}", "numbers", repr(table[words[0]].iloc[0]), "Correct the file.")
    return table
