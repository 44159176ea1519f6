"""BrainIO (Brain-Score) files: packaged assemblies in netCDF, spike events, and stimulus sets as CSV and ZIP.

Both historic names of the variable are read (``data`` and ``__xarray_dataarray_variable__``), and ``image_id`` becomes
`stimulus_id`. BrainIO counts time in milliseconds, `time_bin_start` to `time_bin_end`; a Responses has seconds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, fail, one_of
from ..responses import check_responses
from .netcdf import open_whole, write_netcdf

_VARIABLES = ("data", "__xarray_dataarray_variable__")


def read_brainio(path: str | os.PathLike[str], *, stimuli: pd.DataFrame | None = None) -> xr.DataArray:
    """Read a packaged BrainIO assembly.

    Parameters
    ----------
    path
        The netCDF file.
    stimuli
        A table indexed by stimulus_id, such as `StimulusSet.table`; its columns become coordinates of the
        presentations, as Brain-Score has it when it loads an assembly.

    Returns
    -------
    xarray.DataArray
        A neural assembly (dims presentation, neuroid and, where the file has time bins, time) is a Responses, with
        `time` in seconds at the bin's centre beside `time_bin_start_s` and `time_bin_end_s`. A behavioural one keeps
        its dims, presentation and choice.

    Raises
    ------
    ValueError
        When the file is missing, truncated or no assembly, or a presentation's stimulus has no row in `stimuli`.

    Examples
    --------
    >>> v4 = read_brainio("assy_dicarlo_MajajHong2015_public.nc")       # doctest: +SKIP
    >>> v4 = npc.data.select(v4, region="V4").squeeze("time")             # doctest: +SKIP
    """
    array = _modern(_variable(path))
    dims = set(map(str, array.dims))
    if dims == {"event"}:
        fail("path", "an assembly of presentations", f"{path}, which holds spike events", "Use read_brainio_spikes.")
    if "presentation" not in dims:
        fail("path", "an assembly of presentations", f"{path} with dims {tuple(array.dims)}")
    check("stimulus_id" in array.coords, str(path), "with stimulus_id or image_id", sorted(map(str, array.coords)))
    if stimuli is not None:
        array = _with_stimuli(array, stimuli, path)
    if "neuroid" not in dims:
        return array
    if "time_bin" in dims:
        array = _seconds(array, path)
    wanted = [dim for dim in ("presentation", "neuroid", "time") if dim in array.dims]
    check(set(wanted) == set(array.dims), f"dims of {path}", "presentation, neuroid, time_bin", tuple(array.dims))
    return check_responses(array.transpose(*wanted))


def _variable(path: str | os.PathLike[str]) -> xr.DataArray:
    dataset = open_whole(path)
    names = [name for name in _VARIABLES if name in dataset]
    check(names, str(path), "with the variable " + " or ".join(_VARIABLES), sorted(map(str, dataset.data_vars)))
    array = dataset[names[0]].rename(None)
    attrs = {"units": "a.u.", "source": Path(path).name} | {str(k): v for k, v in (dataset.attrs | array.attrs).items()}
    return array.assign_attrs(attrs)


def _modern(array: xr.DataArray) -> xr.DataArray:
    """Undo what old packaging did to names, and give text its width back."""
    if "image_id" in array.coords and "stimulus_id" not in array.coords:
        array = array.rename(image_id="stimulus_id")
    for old in [str(name) for name in array.coords if str(name).endswith("_")]:
        name = old[:-1]  # resetting an index of one level left an underscore behind its name
        name = f"{name}_id" if name in ("neuroid", "presentation") else name
        if name not in array.coords:
            array = array.assign_coords({name: array.coords[old].variable}).drop_vars(old)
    for key, label in array.coords.items():
        if label.dtype.kind == "O" and all(isinstance(v, str) for v in label.values.ravel()):
            array = array.assign_coords({key: (label.dims, label.values.astype(str))})
    return array


def _with_stimuli(array: xr.DataArray, stimuli: pd.DataFrame, path: str | os.PathLike[str]) -> xr.DataArray:
    table = stimuli.set_axis(stimuli.index.astype(str))
    ids = array.coords["stimulus_id"].values.astype(str)
    missing = sorted(set(ids.tolist()) - set(table.index))
    check(not missing, "stimuli", f"with a row for every stimulus of {path}", missing[:5], "Pass the set it was shown.")
    rows = table.loc[ids]
    new = {str(c): ("presentation", rows[c].to_numpy()) for c in rows if str(c) not in array.coords}
    return array.assign_coords({n: (d, v.astype(str) if v.dtype.kind == "O" else v) for n, (d, v) in new.items()})


def _seconds(array: xr.DataArray, path: str | os.PathLike[str]) -> xr.DataArray:
    for name in ("time_bin_start", "time_bin_end"):
        check(name in array.coords, f"coords of {path}", f"with {name} in ms", sorted(map(str, array.coords)))
    start, end = (array.coords[name].values.astype(np.float64) for name in ("time_bin_start", "time_bin_end"))
    array = array.drop_vars(["time_bin_start", "time_bin_end", *(n for n in array.coords if n == "time_bin")])
    named = array.rename(time_bin="time").assign_coords(
        time=(start + end) / 2000, time_bin_start_s=("time", start / 1000), time_bin_end_s=("time", end / 1000)
    )
    return named.sortby("time")


def write_brainio(
    responses: xr.DataArray, path: str | os.PathLike[str], *, stimulus_set_identifier: str, identifier: str = ""
) -> Path:
    """Write a Responses as a BrainIO assembly that Brain-Score's tools load.

    Parameters
    ----------
    responses
        A Responses. With time it has `time_bin_start_s` and `time_bin_end_s`, or evenly spaced bins. Brain-Score merges
        the stimuli's columns when it loads the file: drop them first, for instance with ``.drop_vars``.
    path
        The file, ``.nc``.
    stimulus_set_identifier
        Name of the stimulus set to which `stimulus_id` belongs.
    identifier
        Name of the assembly.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        When the bins of time are not known, or values are complex.

    Examples
    --------
    >>> import tempfile, neuroperc as npc
    >>> r = npc.data.make_responses([[1.0, 2.0]], stimulus_id=["cat"], region="V4", units="Hz")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_brainio(r, folder + "/assy.nc", stimulus_set_identifier="me.Cats")
    ...     read_brainio(path).values.tolist()
    [[1.0, 2.0]]
    """
    check_responses(responses)
    check(responses.dtype.kind != "c", "values", "real in BrainIO", responses.dtype)
    check(stimulus_set_identifier, "stimulus_set_identifier", "the name of a stimulus set", stimulus_set_identifier)
    array = responses.astype(np.float32) if responses.dtype == np.float16 else responses
    if "time" in array.dims:
        start, end = _bins_ms(array)
        drop = [n for n in ("time", "time_bin_start_s", "time_bin_end_s") if n in array.coords]
        bins = {"time_bin_start": ("time_bin", start), "time_bin_end": ("time_bin", end)}
        array = array.drop_vars(drop).rename(time="time_bin").assign_coords(bins)
    array = array.assign_attrs(stimulus_set_identifier=stimulus_set_identifier, identifier=identifier)
    return write_netcdf(array.to_dataset(name="data"), path, compress=9)


def _bins_ms(array: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the bins in ms, whole where they are."""
    if {"time_bin_start_s", "time_bin_end_s"} <= set(array.coords):
        start, end = (array.coords[name].values * 1000 for name in ("time_bin_start_s", "time_bin_end_s"))
    else:
        centers = array.coords["time"].values * 1000
        steps = np.diff(centers)
        if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=1e-6):
            remedy = "Add the coordinates time_bin_start_s and time_bin_end_s along time."
            fail("time", "evenly spaced, or with the edges of its bins", centers / 1000, remedy)
        start, end = centers - steps[0] / 2, centers + steps[0] / 2
    start, end = np.round(start, 6), np.round(end, 6)
    whole = bool(np.all(start % 1 == 0) and np.all(end % 1 == 0))
    return (start.astype(np.int64), end.astype(np.int64)) if whole else (start, end)


def read_brainio_spikes(path: str | os.PathLike[str], *, unit: Literal["ms", "s"] = "ms") -> pd.DataFrame:
    """Read a BrainIO file of spike events.

    Parameters
    ----------
    path
        The netCDF file, of dimension event.
    unit
        Of the times in the file, which does not say it; BrainIO counts in ms.

    Returns
    -------
    pandas.DataFrame
        A row a spike: `time_s`, `neuroid_id` and the file's other columns.

    Raises
    ------
    ValueError
        When the file is missing, truncated or holds no events.

    Examples
    --------
    >>> spikes = read_brainio_spikes("assy_spikes.nc")                     # doctest: +SKIP
    """
    one_of("unit", unit, ("ms", "s"))
    array = _modern(_variable(path))
    if array.dims != ("event",):
        fail("path", "a file of spike events", f"{path} with dims {array.dims}", "Use read_brainio.")
    check("neuroid_id" in array.coords, f"coords of {path}", "with neuroid_id", sorted(map(str, array.coords)))
    columns = {str(name): label.values for name, label in array.coords.items()}
    time = array.values.astype(np.float64) * (1e-3 if unit == "ms" else 1.0)
    return pd.DataFrame({"time_s": time, "neuroid_id": columns.pop("neuroid_id"), **columns})
