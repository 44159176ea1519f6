"""Volumes as Responses: one row a trial (betas) or a time point (BOLD), one neuroid a voxel or vertex."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, fail, one_of, positive
from ...data import make_responses
from ._masks import Voxels, choose_voxels, read_volume
from ._sources import Source, open_source

PathLike = str | os.PathLike[str]
Nan = Literal["raise", "drop", "keep"]
_TRIAL_KEY = ("subject", "session", "run")
_OF_VOXELS = ("neuroid", "neuroid_id", "i", "j", "k", "vertex")
_LONGEST_TR_S = 60.0


def read_betas(
    path: PathLike,
    *,
    mask: Any = None,
    trials: Any,
    scale: float | None = None,
    nan: Nan = "raise",
    units: str = "beta",
) -> xr.DataArray:
    """Read one volume a trial, streamed: a volume and the result are all that is in memory.

    Parameters
    ----------
    path
        NIfTI (.nii, .nii.gz), MGH (.mgh, .mgz), GIFTI (.gii, an array a trial) or NSD's HDF5 (data set ``betas``,
        (trial, k, j, i)).
    mask
        Path of a volume on the same grid, whose voxels above 0 are read; or a boolean array (i, j, k) or (vertex,);
        None reads every voxel.
    trials
        Table, or path of a .tsv or .csv, with a row for each volume in order and the column ``stimulus_id``. Every
        column becomes a coordinate. `trial`, and `stimulus_id` with `repetition`, must each name a row once within its
        `subject`, `session` and `run`, as far as there are such columns.
    scale
        Factor to `units`, for numbers stored without a scaling of their own. Needed for integers: NSD's betas are
        ``scale=1/300``, and ``scale=1`` takes the numbers as they are. A file with its own scaling refuses it.
    nan
        What to do with voxels that hold NaN in any trial: ``"raise"``, ``"drop"`` them, or ``"keep"`` them.
    units
        Written to ``attrs``.

    Returns
    -------
    xarray.DataArray
        Responses (presentation, neuroid), float32, voxels in C order of (i, j, k), with the coordinates `i`, `j`, `k`
        (or `vertex`) and the attributes `affine` (16 numbers), `volume_shape`, `sform_code`, `qform_code`.

    Raises
    ------
    ValueError
        Naming the file: when it is unreadable or truncated, the mask lies on another grid or is empty, rows and volumes
        differ in number, a trial is there twice, the scaling is missing or doubled, or voxels hold NaN or infinity.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp(), "betas.nii.gz")
    >>> stored = np.arange(24, dtype=np.int16).reshape(2, 2, 3, 2)
    >>> nibabel.Nifti1Image(stored, np.eye(4)).to_filename(file)
    >>> betas = read_betas(file, mask=stored[..., 0] > 18, trials={"stimulus_id": ["cat", "dog"]}, scale=1 / 300)
    >>> betas.shape, (betas.values * 300).round().tolist()
    ((2, 2), [[20.0, 22.0], [21.0, 23.0]])
    """
    one_of("nan", nan, ("raise", "drop", "keep"))
    source = open_source(path)
    table = trial_table(trials, source)
    factor = _factor(source, scale)
    voxels = choose_voxels(mask, source)
    values = extract(source, voxels, factor)
    values, voxels = _without_nan(values, voxels, nan, [source])
    return label_rows(values, voxels, table, source, units)


def read_map(path: PathLike) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a file of one volume or one map of a surface, whole: a mask, an anatomy, scores.

    Parameters
    ----------
    path
        As in `read_betas`.

    Returns
    -------
    tuple
        (i, j, k) or (vertex,) float64 with the file's own scaling and NaN, and the (4, 4) affine (None without one).

    Raises
    ------
    ValueError
        Naming the file: when it is unreadable or holds several volumes.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> file = Path(tempfile.mkdtemp(), "mask.nii.gz")
    >>> nibabel.Nifti1Image(np.uint8([[[0]], [[1]]]), np.eye(4)).to_filename(file)
    >>> values, affine = read_map(file)
    >>> values.ravel().tolist()
    [0.0, 1.0]
    """
    values, source = read_volume(path)
    return (values[:, 0, 0] if source.is_surface else values), source.affine


def read_bold(
    path: PathLike | Sequence[PathLike],
    *,
    mask: Any = None,
    tr_s: float | None = None,
    runs: Any = None,
    nan: Nan = "raise",
) -> xr.DataArray:
    """Read one volume a time point from one file or one file a run, streamed.

    Parameters
    ----------
    path
        A file, or a list of files, one a run; kinds as in `read_betas`.
    mask
        As in `read_betas`.
    tr_s
        Seconds between volumes; None takes the header's. A header that says something else raises.
    runs
        With one file: (volume,) labels of runs, which must be in one piece each; None is one run. With a list: a label
        a file; None counts from 1.
    nan
        As in `read_betas`.

    Returns
    -------
    xarray.DataArray
        Responses (presentation, neuroid), float32, in the file's units; coordinates `run`, `time_s` (start of the
        volume within its run) and a `stimulus_id` that names run and volume; attribute `tr_s`.

    Raises
    ------
    ValueError
        As `read_betas`, and when the time between volumes is unknown or contradicts the header, or a run is torn apart.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp(), "bold.nii")
    >>> nibabel.Nifti1Image(np.ones((2, 1, 1, 4), np.float32), np.eye(4)).to_filename(file)
    >>> bold = read_bold(file, tr_s=2, runs=["a", "a", "b", "b"])
    >>> bold.time_s.values.tolist(), bold.stimulus_id.values.tolist()
    ([0.0, 2.0, 0.0, 2.0], ['a:0', 'a:1', 'b:0', 'b:1'])
    """
    one_of("nan", nan, ("raise", "drop", "keep"))
    several = not isinstance(path, str | os.PathLike)
    paths: Any = list(path) if several else [path]  # type: ignore[arg-type]
    check(paths, "path", "at least one file", "an empty list")
    sources = [open_source(p) for p in paths]
    interval_s = _interval_s(sources, tr_s)
    labels = _run_labels(sources, runs, several)
    voxels = choose_voxels(mask, sources[0])
    parts = []
    for source in sources:
        here = choose_voxels(mask, source)
        _same_voxels(here, voxels, source, sources[0])
        parts.append(extract(source, here, 1.0))
    values, voxels = _without_nan(np.concatenate(parts), voxels, nan, sources)
    within = _count_within(labels)
    table = pd.DataFrame({"stimulus_id": [f"{r}:{v}" for r, v in zip(labels, within, strict=True)], "run": labels})
    table["time_s"] = within * interval_s
    found = label_rows(values, voxels, table, sources[0], "a.u.")
    found.attrs["tr_s"] = interval_s
    return found


def read_events(path: PathLike | Sequence[PathLike], *, runs: Any = None) -> pd.DataFrame:
    r"""Read BIDS event tables, one a run, into one table.

    Parameters
    ----------
    path
        A .tsv, or a list of them.
    runs
        A label a file; None counts from 1.

    Returns
    -------
    pandas.DataFrame
        ``run onset duration trial_type`` and what else the files have; onset and duration in seconds.
        ``attrs["files"]`` maps a run to its file's name, for messages.

    Raises
    ------
    ValueError
        Naming the file: when it is missing, has no rows, lacks a column, an onset or duration is not a number, or a
        ``trial_type`` is n/a.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp(), "events.tsv")
    >>> _ = file.write_text("onset\tduration\ttrial_type\n15.0\t22.5\tface\n")
    >>> read_events(file)["trial_type"].tolist()
    ['face']
    """
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(p) for p in path]
    check(paths, "path", "at least one file", "an empty list")
    labels = list(range(1, len(paths) + 1)) if runs is None else list(runs)
    check(len(labels) == len(paths), "runs", f"a label for each of the {len(paths)} files", f"{len(labels)} labels")
    check(len(set(labels)) == len(labels), "runs", "a different label for each file", labels)
    tables = [check_events(read_table(p), p.name).assign(run=r) for p, r in zip(paths, labels, strict=True)]
    joined = pd.concat(tables, ignore_index=True)
    joined.attrs["files"] = {r: p.name for r, p in zip(labels, paths, strict=True)}
    return joined[["run", *[c for c in joined if c != "run"]]]


def check_events(events: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the table of events; raise unless it has rows, onsets and durations that are numbers, and names."""
    check(len(events), name, "a table with events", "no rows", "Leave out runs without events.")
    for column in ("onset", "duration", "trial_type"):
        check(column in events, name, f"a table with the column {column}", list(events), "See the BIDS events page.")
    for column in ("onset", "duration"):
        numbers = pd.to_numeric(events[column], errors="coerce")
        bad = np.flatnonzero(~np.isfinite(numbers))
        check(not bad.size, name, f"a table whose {column} is a number of seconds",
              f"{events[column].to_numpy()[bad[:1]]} in row {bad[:1]}", "Fill or drop the row.")  # fmt: skip
        events = events.assign(**{column: numbers})
    unnamed = np.flatnonzero(events["trial_type"].isna())
    check(not unnamed.size, name, "a table that names every trial_type", f"none in row {unnamed[:1]}",
          "Name the event or drop the row.")  # fmt: skip
    low = events["duration"].min()
    check(low >= 0, name, "a table with durations of 0 or more", low)
    return events


def read_table(path: PathLike) -> pd.DataFrame:
    """Read a .tsv or .csv; what is n/a, empty or NaN is missing, and an event may be called null or None."""
    file = Path(path)
    check(file.is_file(), "path", "a table that exists", str(file), "Check the folder and the name.")
    try:
        sep = "," if ".csv" in file.suffixes else "\t"
        return pd.read_csv(file, sep=sep, keep_default_na=False, na_values=["", "n/a", "N/A", "NA", "NaN", "nan"])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        fail(file.name, "a table of tab-separated (.tsv) or comma-separated (.csv) text", f"{error}")


def trial_table(trials: Any, source: Source) -> pd.DataFrame:
    """Return the trials of a file; raise unless there is one distinct row a volume."""
    name = Path(trials).name if isinstance(trials, str | os.PathLike) else "trials"
    table = read_table(trials) if isinstance(trials, str | os.PathLike) else pd.DataFrame(trials)
    check("stimulus_id" in table, name, "a table with the column stimulus_id", list(table), "Name what was shown.")
    file = source.path.name
    check(len(table) == source.n_volumes, name, f"of {source.n_volumes} rows, one for each volume of {file}",
          f"{len(table)} rows", "Keep trials without an answer as rows.")  # fmt: skip
    lost = [c for c in table if c in _OF_VOXELS]
    check(not lost, name, f"without a column named as {', '.join(_OF_VOXELS)}", ", ".join(lost), "Rename it.")
    unnamed = table["stimulus_id"].isna()
    check(
        not unnamed.any(), name, "a table that names every stimulus", f"no stimulus_id in row {int(unnamed.argmax())}"
    )
    for own in (("trial",), ("stimulus_id", "repetition")):
        key = [*(c for c in _TRIAL_KEY if c in table), *own]
        if set(own) <= set(table) and table.duplicated(key).any():
            copy = ", ".join(f"{k} {v}" for k, v in table.loc[table.duplicated(key), key].iloc[0].items())
            fail(name, f"a table with every trial of {file} once", f"{copy} twice", "Drop the copy.")
    return table.reset_index(drop=True)


def _factor(source: Source, scale: float | None) -> float:
    """Return what stored numbers are multiplied with beside the header's own scaling."""
    name = source.path.name
    if scale is not None:
        positive("scale", scale)
        check(not source.has_own_scaling, "scale", f"None for {name}, which scales itself",
              f"{scale:g} beside scl_slope {source.slope:g} and scl_inter {source.inter:g}",
              "Values would be scaled twice.")  # fmt: skip
        return float(scale)
    if source.dtype.kind in "iu" and not source.has_own_scaling:
        fail("scale", f"given for {name}, which holds integers without a scaling", None,
             "NSD's betas: scale=1/300. Numbers as stored: scale=1.")  # fmt: skip
    return 1.0


def extract(source: Source, voxels: Voxels, factor: float, out: np.ndarray | None = None) -> np.ndarray:
    """Return (volume, voxel) float32, read volume by volume."""
    values = np.empty((source.n_volumes, len(voxels.index)), np.float32) if out is None else out
    flat = voxels.flat
    slope, inter = source.slope * factor, source.inter * factor
    for row, volume in zip(values, source.volumes(), strict=True):
        taken = volume.take(flat)
        row[:] = taken if (slope, inter) == (1.0, 0.0) else taken * slope + inter
    infinite = int(np.isinf(values).sum())
    check(not infinite, source.path.name, "free of infinite values in the mask", f"{infinite} of them")
    return values


def _without_nan(values: np.ndarray, voxels: Voxels, nan: str, sources: list[Source]) -> tuple[np.ndarray, Voxels]:
    if nan == "keep":
        return values, voxels
    bad = np.isnan(values.sum(axis=0))
    if not bad.any():
        return values, voxels
    row = int(np.isnan(values[:, bad]).any(axis=1).argmax())
    name = np.repeat([s.path.name for s in sources], [s.n_volumes for s in sources])[row]
    first = tuple(voxels.index[np.isnan(values[row])][0].tolist())
    count = f"{int(bad.sum())} of {bad.size} voxels with NaN, the first at {first}"
    check(nan == "drop", name, f"free of NaN inside {voxels.name}", count, 'Use nan="drop" or nan="keep".')
    check(not bad.all(), name, "with at least one voxel without NaN", count)
    kept = Voxels(voxels.index[~bad], voxels.shape, voxels.affine, voxels.surface, voxels.name)
    return values[:, ~bad], kept


def label_rows(
    values: np.ndarray, voxels: Voxels, table: pd.DataFrame, source: Source, units: str, hemi: str = ""
) -> xr.DataArray:
    """Return the Responses of a table's rows and a mask's voxels."""
    columns = {str(c): ("presentation", table[c].to_numpy()) for c in table if c != "stimulus_id"}
    found = make_responses(
        values, stimulus_id=table["stimulus_id"].to_numpy(), neuroid_id=voxels.names(hemi), units=units,
        source=source.path.name, coords={**columns, **voxels.coords()},
    )  # fmt: skip
    found.attrs["volume_shape"] = list(voxels.shape)
    if voxels.affine is not None:
        found.attrs |= {"affine": voxels.affine.ravel().tolist(), "sform_code": source.codes[0],
                        "qform_code": source.codes[1]}  # fmt: skip
    return found


def check_interval_s(name: str, tr_s: Any) -> float:
    """Return seconds between volumes; raise for what must be milliseconds."""
    seconds = positive(name, tr_s)
    check(seconds <= _LONGEST_TR_S, name, f"a number of seconds, at most {_LONGEST_TR_S:g}", f"{seconds:g}",
          "Divide milliseconds by 1000.")  # fmt: skip
    return seconds


def _interval_s(sources: list[Source], tr_s: float | None) -> float:
    if tr_s is not None:
        check_interval_s("tr_s", tr_s)
    for source in sources:
        _ = source.tr_s is None or check_interval_s(f"tr_s of {source.path.name}", source.tr_s)
    known = [(s.path.name, s.tr_s) for s in sources if s.tr_s is not None]
    if tr_s is None:
        check(known, "tr_s", f"given: {sources[0].path.name} has no time between volumes", None, "In seconds.")
    wanted = known[0][1] if tr_s is None else float(tr_s)
    for name, value in known:
        close = value is not None and wanted is not None and abs(value - wanted) <= 1e-3 * wanted
        check(close, "tr_s", f"{value:g}, as the header of {name} says", wanted, "Mend the header, or the argument.")
    return float(wanted or 0.0)


def _run_labels(sources: list[Source], runs: Any, several: bool) -> np.ndarray:
    """Return (volume,) labels; each run in one piece."""
    sizes = [s.n_volumes for s in sources]
    if several:
        given = list(range(1, len(sources) + 1)) if runs is None else list(runs)
        check(
            len(given) == len(sources), "runs", f"a label for each of the {len(sources)} files", f"{len(given)} labels"
        )
        check(len(set(given)) == len(given), "runs", "a different label for each file", given)
        return np.repeat(np.asarray(given), sizes)
    labels = np.ones(sizes[0], dtype=int) if runs is None else np.asarray(runs)
    name = sources[0].path.name
    check(labels.shape == (sizes[0],), "runs", f"a label for each of the {sizes[0]} volumes of {name}", labels.shape)
    starts = np.r_[True, labels[1:] != labels[:-1]]
    check(starts.sum() == len(np.unique(labels)), "runs", "in one piece each", "a run that comes twice")
    return labels


def _count_within(labels: np.ndarray) -> np.ndarray:
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    return np.arange(len(labels)) - np.repeat(starts, np.diff(np.r_[starts, len(labels)]))


def _same_voxels(here: Voxels, first: Voxels, source: Source, other: Source) -> None:
    from ._masks import same_grid

    same_grid(source.path.name, here.shape, here.affine, other.path.name, first.shape, first.affine)
