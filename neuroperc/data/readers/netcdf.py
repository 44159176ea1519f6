"""Responses and Scores in netCDF-4 files (h5netcdf): what comes back is identical to what went in."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..._check import atomic_path, check, fail
from ..responses import check_responses, check_scores

RESPONSES = "responses"
_JSON = "neuroperc_json"
_NAME = "neuroperc_name"
_VIEWS = {"float16": "uint16"}


def write_responses(responses: xr.DataArray, path: str | os.PathLike[str], *, compress: int = 0) -> Path:
    """Write a Responses to a netCDF-4 file.

    The file is written under a temporary name and renamed, so that a killed run leaves the old file or none.

    Parameters
    ----------
    responses
        A Responses.
    path
        The file, usually ``.nc``.
    compress
        zlib level 0 (none) to 9.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError, TypeError
        When it is not a Responses, or an attribute cannot be stored.
    OSError
        When the disk is full; nothing is changed then.

    Examples
    --------
    >>> import tempfile, neuroperc as npc
    >>> r = npc.data.make_responses([[1.0, 2.0]], stimulus_id=["cat"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_responses(r, folder + "/r.nc")
    ...     read_responses(path).identical(r)
    True
    """
    check_responses(responses)
    return write_netcdf(responses.to_dataset(name=RESPONSES), path, name=responses.name, compress=compress)


def read_responses(path: str | os.PathLike[str]) -> xr.DataArray:
    """Read a Responses written by `write_responses`; see there.

    Raises
    ------
    ValueError
        When the file is missing, truncated, not netCDF-4 or holds no Responses; the message names it.

    Examples
    --------
    >>> responses = read_responses("v4.nc")       # doctest: +SKIP
    """
    dataset, name = read_netcdf(path)
    if RESPONSES not in dataset:
        fail(
            "path", f"a file with the variable {RESPONSES}", f"{path} with {sorted(map(str, dataset.data_vars))}",
            "Brain-Score's files are read by read_brainio.",
        )  # fmt: skip
    return check_responses(dataset[RESPONSES].rename(name))


def write_scores(scores: xr.Dataset, path: str | os.PathLike[str], *, compress: int = 0) -> Path:
    """Write a Scores to a netCDF-4 file; as `write_responses`.

    Examples
    --------
    >>> write_scores(scores, "scores.nc")         # doctest: +SKIP
    """
    check_scores(scores)
    return write_netcdf(scores, path, compress=compress)


def read_scores(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a Scores written by `write_scores`; as `read_responses`.

    Examples
    --------
    >>> scores = read_scores("scores.nc")         # doctest: +SKIP
    """
    return check_scores(read_netcdf(path)[0])


def write_netcdf(
    dataset: xr.Dataset, path: str | os.PathLike[str], *, name: Hashable | None = None, compress: int = 0
) -> Path:
    """Write any Dataset without a MultiIndex; attributes that netCDF lacks are kept as JSON."""
    check(compress in range(10), "compress", "a zlib level, 0 to 9", compress)
    stored = dataset.copy(deep=False)
    for key, variable in dataset.variables.items():
        stored[key] = _store(variable)
    stored.attrs = _store_attrs(dataset.attrs)
    if name is not None:
        stored.attrs[_NAME] = str(name)
    encoding: dict[Hashable, dict[str, Any]] = {}
    for key, variable in stored.variables.items():
        encoding[key] = {"_FillValue": None} if variable.dtype.kind in "fc" else {}
        if compress and variable.ndim and variable.dtype.kind in "fiub":
            encoding[key] |= {"zlib": True, "complevel": compress}
    target = Path(path)
    with atomic_path(target) as temporary:
        stored.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
    return target


def read_netcdf(path: str | os.PathLike[str]) -> tuple[xr.Dataset, str | None]:
    """Read what `write_netcdf` wrote, whole; returns the Dataset and the name given to it."""
    dataset = open_whole(path)
    name = dataset.attrs.pop(_NAME, None)
    dataset.attrs = _load_attrs(dataset.attrs)
    for key, variable in dataset.variables.items():
        dataset[key] = _load(variable)
    return dataset, name


def open_whole(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a netCDF-4 file into memory; errors name the file and what to do."""
    source = Path(path)
    check(source.is_file(), "path", "a file that exists", str(source), "Check the name and the folder.")
    try:
        with xr.open_dataset(source, engine="h5netcdf") as lazy:
            return lazy.load()
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        remedy = "The file is truncated or not netCDF-4: copy or write it again."
        fail("path", "a whole netCDF-4 file", f"{source} ({error})", remedy)


def _store(variable: xr.Variable) -> xr.Variable:
    """Half floats have no netCDF type: keep their bits; text is stored without its width."""
    view = _VIEWS.get(variable.dtype.name)
    attrs = _store_attrs(variable.attrs)
    if view is None:
        return xr.Variable(variable.dims, variable.values, attrs)
    return xr.Variable(variable.dims, variable.values.view(view), attrs | {"neuroperc_dtype": variable.dtype.name})


def _load(variable: xr.Variable) -> xr.Variable:
    values, attrs = variable.values, _load_attrs(variable.attrs)
    bits = attrs.pop("neuroperc_dtype", None)
    if bits is not None:
        values = values.view(bits)
    if values.dtype.kind == "O" and all(isinstance(v, str) for v in values.ravel()):
        values = values.astype(str)
    return xr.Variable(variable.dims, values, attrs)


def _store_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Keep text and numbers as they are, all else as JSON whose names are listed in one attribute."""
    plain: dict[str, Any] = {str(k): v for k, v in attrs.items() if isinstance(v, str) and v and "\0" not in v}
    plain |= {str(k): v for k, v in attrs.items() if isinstance(v, np.ndarray | np.integer | np.floating)}
    for key, value in plain.items():
        if isinstance(value, np.ndarray) and (value.dtype.kind not in "iuf" or value.size < 2 or value.ndim != 1):
            fail(f"attribute {key}", "a 1-D array of two or more numbers, text, a number, or a list", value)
    other = {str(k): v for k, v in attrs.items() if str(k) not in plain}
    if other:
        try:
            plain[_JSON] = json.dumps(other)
        except TypeError as error:
            fail("attrs", "text, numbers, lists, dicts or None", str(other), f"{error}; drop or convert it first.")
    return plain


def _load_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    plain = {str(k): v for k, v in attrs.items() if k != _JSON}
    return plain | (json.loads(attrs[_JSON]) if _JSON in attrs else {})
