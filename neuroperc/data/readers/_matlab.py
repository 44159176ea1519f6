"""MATLAB and NumPy array files; every way in which one can be bad becomes a message that names it."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..._check import check, fail

_BROKEN = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    NotImplementedError,
    AttributeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
_REMEDY = "It is cut or of another format: fetch it again."


def read_struct_array(path: str | os.PathLike[str], fields: Sequence[str]) -> list[Any]:
    """Return the records of the struct array in a MATLAB file (version 5 to 7) that has all of `fields`."""
    source = Path(path)
    content = read_matlab(source, squeeze_me=True, struct_as_record=False)
    arrays = {name: np.atleast_1d(v) for name, v in content.items() if not name.startswith("__")}
    near: list[str] = []
    for values in arrays.values():
        has = getattr(values[0], "_fieldnames", []) if values.size else []
        near = [name for name in fields if name not in has] if has else near
        if has and not near:
            return list(values.ravel())
    told = f"no {', '.join(near)}" if near else f"variables {', '.join(arrays) or 'none'}"
    fail(str(source), f"with a struct array of fields {', '.join(fields)}", told, "Is it another file?")


def read_matrices(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the named matrices of numbers of a MATLAB file (version 5 to 7), float64, two dimensions each."""
    source = Path(path)
    content = read_matlab(source, variable_names=[*names])
    missing = [name for name in names if name not in content]
    check(not missing, str(source), f"with {', '.join(names)}", f"without {', '.join(missing)}", "Is it another file?")
    found = {}
    for name in names:
        values = content[name]
        right = getattr(values, "dtype", np.dtype(object)).kind in "iufb" and values.ndim == 2
        check(right, f"{name} of {source}", "a matrix of numbers", f"{getattr(values, 'dtype', type(values).__name__)}")
        found[name] = np.asarray(values, dtype=np.float64)
    return found


def read_variables(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return every array of an .npz or a MATLAB file (version 5 to 7) by its name."""
    source = Path(path)
    if source.suffix.lower() == ".mat":
        content = read_matlab(source)
        return {name: np.asarray(v) for name, v in content.items() if not name.startswith("__")}
    if not source.is_file():
        fail("path", "a file that exists", str(source), "Check the name and the folder.", FileNotFoundError)
    try:
        with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _BROKEN as error:
        fail(str(source), "a whole .npz file without objects", str(error), _REMEDY)


def read_matlab(source: Path, **options: Any) -> dict[str, Any]:
    """Return what SciPy's loadmat does."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not source.is_file():
        fail("path", "a file that exists", str(source), "Check the name and the folder.", FileNotFoundError)
    try:
        content: dict[str, Any] = loadmat(source, **options)
    except (*_BROKEN, MatReadError) as error:
        fail(str(source), "a whole MATLAB file of version 5 to 7", str(error), _REMEDY)
    return content


def numbers(record: Any, name: str, where: str) -> np.ndarray:
    """Return a field as a vector of float64."""
    try:
        return np.atleast_1d(np.asarray(getattr(record, name), dtype=np.float64)).reshape(-1)
    except (TypeError, ValueError):
        fail(f"{name} of {where}", "numbers", getattr(record, name), _REMEDY)


def load_npy(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Return the array of an .npy file as it is."""
    try:
        values = np.lib.format.open_memmap(path, mode="r") if mmap_mode else np.load(path, allow_pickle=False)
    except _BROKEN as error:
        fail(str(path), "a whole .npy file", str(error), _REMEDY)
    return np.asanyarray(values)


def read_npy(path: Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return the numbers of an .npy file; None in `shape` is any length."""
    if not path.is_file():
        fail("path", "a file that exists", str(path), "Check the name and the folder.", FileNotFoundError)
    values = load_npy(path)
    fits = values.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, values.shape, strict=True))
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    check(
        fits and values.dtype.kind in "iufb", str(path), f"numbers of shape {wanted}", f"{values.dtype} {values.shape}"
    )
    return np.asarray(values, dtype=np.float64)
