"""From events and features to regressors of a time series: delays and haemodynamic responses that stop at run edges."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from .._check import check, fail, finite, integer, one_of
from ..data import make_responses
from .volumes import named_hrf
from .volumes.reading import check_events, check_interval_s, read_table

_FINE_S = 0.05  # onsets are kept to this
Hrf = Literal["spm", "glover"] | Callable[[np.ndarray], np.ndarray]


def design(
    events: pd.DataFrame | str | os.PathLike[str],
    *,
    tr_s: float,
    n_volumes: int | Mapping[Any, int],
    slice_time_ref: float = 0.5,
    delays_s: Any = None,
    hrf: Hrf | None = None,
    condition: str = "trial_type",
) -> xr.DataArray:
    """Turn events into regressors, one row a volume, either at explicit delays (FIR) or through a response function.

    Volume v of a run is taken to be measured at ``(v + slice_time_ref) tr_s`` after the run's start.

    Parameters
    ----------
    events
        Columns ``onset duration`` (s), `condition`, and ``run`` when there are several; or the path of a BIDS table.
    tr_s
        Seconds between volumes.
    n_volumes
        Of every run, or a mapping from run to number, which is needed where numbers of runs leave one out.
    slice_time_ref
        0 for the volume's start, 0.5 for its middle.
    delays_s
        FIR: the regressor of delay d at time t is the share of ``[t - d - tr_s/2, t - d + tr_s/2]`` during which the
        condition was on; an event without duration counts 1 where its onset falls.
    hrf
        ``"spm"``, ``"glover"``, or a function from seconds to response: regressors are boxcars convolved with it, its
        integral over 32 s taken as 1; an event without duration is an impulse of one second's area.
    condition
        Column whose values are the conditions.

    Returns
    -------
    xarray.DataArray
        Presentations are volumes, with `run` and `time_s`; neuroids are regressors, with `condition` and `delay_s`
        (NaN for `hrf`).

    Raises
    ------
    ValueError
        When events are missing, lie outside their run or in a run of unknown length, or not exactly one of `delays_s`
        and `hrf` is given.

    References
    ----------
    .. [1] A M Dale (1999). Optimal experimental design for event-related fMRI.
       doi:10.1002/(SICI)1097-0193(1999)8:2/3<109::AID-HBM7>3.0.CO;2-W

    Examples
    --------
    >>> import pandas as pd
    >>> events = pd.DataFrame({"onset": [2.0], "duration": [2.0], "trial_type": ["face"]})
    >>> found = design(events, tr_s=2, n_volumes=5, slice_time_ref=0, delays_s=[1, 3])
    >>> found.neuroid_id.values.tolist(), found.values.T.tolist()
    (['face+1s', 'face+3s'], [[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])
    """
    tr_s = check_interval_s("tr_s", tr_s)
    check(0 <= slice_time_ref <= 1, "slice_time_ref", "from 0 to 1", slice_time_ref, "0.5 is the middle of a volume.")
    check((delays_s is None) != (hrf is None), "delays_s and hrf", "one given and one None", (delays_s, hrf))
    table = events if isinstance(events, pd.DataFrame) else read_table(events)
    check(condition in table, "condition", f"a column of the events, {list(table)}", condition)
    table = table if condition == "trial_type" else table.drop(columns="trial_type", errors="ignore")
    name = "events" if isinstance(events, pd.DataFrame) else Path(events).name
    table = check_events(table.rename(columns={condition: "trial_type"}), name)
    table = table if "run" in table else table.assign(run=1)
    files = events.attrs.get("files", {}) if isinstance(events, pd.DataFrame) else dict.fromkeys(table["run"], name)
    lengths = _lengths(table, n_volumes, tr_s, files)
    conditions = sorted(table["trial_type"].unique().tolist(), key=str)
    delays = np.array([np.nan]) if delays_s is None else np.atleast_1d(np.asarray(delays_s, dtype=float))
    check(delays_s is None or (delays.ndim == 1 and delays.size and np.isfinite(delays).all()), "delays_s",
          "one finite number of seconds or several", delays_s)  # fmt: skip
    rows = []
    for run, n in lengths.items():
        times = (np.arange(n) + slice_time_ref) * tr_s
        parts = [table[(table["run"] == run) & (table["trial_type"] == c)] for c in conditions]
        shape = [_fir(p, times, delays, tr_s) if hrf is None else _convolved(p, times, n * tr_s, hrf) for p in parts]
        rows.append(np.concatenate(shape, axis=1))
    return _labelled(np.concatenate(rows), lengths, conditions, delays, tr_s)


def _lengths(
    table: pd.DataFrame, n_volumes: int | Mapping[Any, int], tr_s: float, files: Mapping[Any, str]
) -> dict[Any, int]:
    lost = np.flatnonzero(table["run"].isna())
    check(not lost.size, "events", "of a run in every row", f"none in row {lost[:1]}", "Name its run or drop the row.")
    runs = table["run"].drop_duplicates().tolist()
    if isinstance(n_volumes, Mapping):
        missing = [r for r in runs if r not in n_volumes]
        check(not missing, "n_volumes", "given for every run with events", f"none for {missing}")
        empty = [r for r in n_volumes if r not in runs]
        check(not empty, "events", "there for every run of n_volumes", f"none in run {empty}", "Leave such runs out.")
        lengths = {r: integer("n_volumes", n) for r, n in n_volumes.items()}
    else:
        lengths = dict.fromkeys(runs, integer("n_volumes", n_volumes))
        whole = table["run"].dtype.kind in "iu"
        gaps = sorted(set(range(min(runs), max(runs))) - set(runs)) if whole else []
        check(not gaps, "n_volumes", "a mapping from run to number, where a run has no events",
              f"{n_volumes} without events in run {gaps}", "Name the runs that you want.")  # fmt: skip
    ends = table["run"].map(lengths) * tr_s
    outside = (table["onset"] < 0) | (table["onset"] >= ends)
    if outside.any():
        row = table[outside].iloc[0]
        name = f"onset in {files[row['run']]}" if row["run"] in files else "onset"
        fail(name, f"within run {row['run']}, 0 to {lengths[row['run']] * tr_s:g} s", f"{row['onset']:g} s",
             "Onsets are seconds from the run's first volume.")  # fmt: skip
    return lengths


def _fir(events: pd.DataFrame, times: np.ndarray, delays: np.ndarray, tr_s: float) -> np.ndarray:
    """Return (volume, delay) shares of each bin during which the condition was on."""
    start, width = events["onset"].to_numpy()[:, None, None], events["duration"].to_numpy()[:, None, None]
    low = (times[:, None] - delays - tr_s / 2)[None]
    overlap = np.minimum(start + width, low + tr_s) - np.maximum(start, low)
    share = np.clip(overlap, 0, None) / tr_s
    # The tolerance lets an onset on the edge of a bin fall in one bin in spite of rounding.
    inside = (start >= low - 1e-9) & (start < low + tr_s - 1e-9)
    found: np.ndarray = np.where(width > 0, share, inside).sum(axis=0)
    return found


def _convolved(events: pd.DataFrame, times: np.ndarray, duration_s: float, hrf: Hrf) -> np.ndarray:
    """Return (volume, 1): the integral of the response over the time that the condition was on."""
    ages = np.arange(0, max(duration_s, 32.0) + _FINE_S, _FINE_S)
    total = np.zeros_like(ages)
    shape = _sampled(hrf, _FINE_S)
    total[: len(shape)] = shape[: len(ages)]
    step = np.concatenate([[0.0], np.cumsum((total[1:] + total[:-1]) / 2 * _FINE_S)])
    age = times[:, None] - events["onset"].to_numpy()
    width = events["duration"].to_numpy()
    on = np.interp(age, ages, step, left=0.0) - np.interp(age - width, ages, step, left=0.0)
    impulse = np.interp(age, ages, total, left=0.0, right=0.0)
    return np.where(width > 0, on, impulse).sum(axis=1, keepdims=True)


def _sampled(hrf: Hrf, dt_s: float) -> np.ndarray:
    """Return the response at 0, dt_s, ... below 32 s with integral 1."""
    if isinstance(hrf, str):
        return named_hrf(one_of("hrf", hrf, ("spm", "glover")), dt_s=dt_s)
    if not callable(hrf):
        fail("hrf", '"spm", "glover" or a function of seconds', type(hrf).__name__, error=TypeError)
    times = np.arange(0, 32, dt_s)
    found = np.asarray(hrf(times), dtype=float)
    check(found.shape == times.shape, "hrf", f"a function that returns {times.shape} numbers for as many seconds",
          f"shape {found.shape}")  # fmt: skip
    finite("hrf", found)
    area = found.sum() * dt_s
    check(area > 0, "hrf", "a response with an integral above 0", area)
    return found / area


def hemodynamic_response(hrf: Hrf = "spm", *, tr_s: float, shift_s: float = 0.0) -> np.ndarray:
    """Return a response function at 0, tr_s, 2 tr_s, ... with sum 1, as `fit_prf` convolves with it.

    Parameters
    ----------
    hrf
        ``"spm"``, ``"glover"``, or a function from seconds to response.
    tr_s
        Seconds between volumes.
    shift_s
        Later by so much; half a volume earlier (-tr_s/2) when volumes are taken as measured in their middle and frames
        as shown from their start.

    Returns
    -------
    numpy.ndarray
        (time,) over 32 s.

    Raises
    ------
    ValueError
        For an unknown name or a response without area.

    Examples
    --------
    >>> kernel = hemodynamic_response("spm", tr_s=2.0)
    >>> len(kernel), round(float(kernel.sum()), 6), int(kernel.argmax())
    (16, 1.0, 3)
    """
    check_interval_s("tr_s", tr_s)
    fine = _sampled(hrf, 0.01)
    wanted = np.arange(0, 32, tr_s) - shift_s
    found = np.interp(wanted, np.arange(len(fine)) * 0.01, fine, left=0.0, right=0.0)
    check(found.sum() > 0, "tr_s and shift_s", "such that volumes meet the response", (tr_s, shift_s),
          "It lasts 32 s.")  # fmt: skip
    return np.asarray(found / found.sum())


def fir_delays(features: Any, *, delays_s: Any, tr_s: float, runs: Any) -> np.ndarray:
    """Features at several lags side by side, 0 before a run's start: nothing crosses from one run into the next.

    Parameters
    ----------
    features
        (volume, feature).
    delays_s
        Whole multiples of `tr_s`, 0 or more; 2, 4, 6, 8 s is usual for movies.
    tr_s
        Seconds between volumes.
    runs
        (volume,) labels, each run in one piece.

    Returns
    -------
    numpy.ndarray
        (volume, delay x feature), delay by delay, float.

    Raises
    ------
    ValueError
        For a delay between volumes or below 0, a run in several pieces, or lengths that differ.

    References
    ----------
    .. [1] S Nishimoto et al. (2011). doi:10.1016/j.cub.2011.08.031

    Examples
    --------
    >>> fir_delays([[1], [2], [3], [4]], delays_s=[0, 2], tr_s=2, runs=["a", "a", "b", "b"]).T.tolist()
    [[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 3.0]]
    """
    x, labels = np.asarray(features, dtype=float), np.asarray(runs)
    check(x.ndim == 2, "features", "(volume, feature)", f"shape {x.shape}")
    check(labels.shape == (len(x),), "runs", f"a label for each of the {len(x)} volumes", f"shape {labels.shape}")
    check_interval_s("tr_s", tr_s)
    wanted = np.atleast_1d(np.asarray(delays_s, dtype=float))
    check(wanted.size and np.isfinite(wanted).all(), "delays_s", "one or several finite numbers", delays_s)
    lags = np.rint(wanted / tr_s).astype(int)
    check(np.allclose(lags * tr_s, wanted, atol=1e-6) and lags.min() >= 0, "delays_s",
          f"whole multiples of tr_s = {tr_s:g}, 0 or more", wanted, "Resample the features first.")  # fmt: skip
    starts = np.r_[True, labels[1:] != labels[:-1]]
    check(starts.sum() == len(np.unique(labels)), "runs", "in one piece each", "a run that comes twice")
    first = np.maximum.accumulate(np.where(starts, np.arange(len(x)), 0))
    found = np.zeros((len(x), len(lags), x.shape[1]))
    for k, lag in enumerate(lags):
        rows = np.flatnonzero(np.arange(len(x)) - lag >= first)
        found[rows, k] = x[rows - lag]
    return found.reshape(len(x), -1)


def _labelled(
    values: np.ndarray, lengths: dict[Any, int], conditions: list[Any], delays: np.ndarray, tr_s: float
) -> xr.DataArray:
    runs = np.repeat(np.asarray(list(lengths)), list(lengths.values()))
    within = np.concatenate([np.arange(n) for n in lengths.values()])
    pairs = [(c, d) for c in conditions for d in delays]
    names = [f"{c}" if np.isnan(d) else f"{c}+{d:g}s" for c, d in pairs]
    made = make_responses(
        values, stimulus_id=[f"{r}:{v}" for r, v in zip(runs, within, strict=True)], neuroid_id=names, units="1",
        source="design", coords={
            "run": ("presentation", runs), "time_s": ("presentation", within * tr_s),
            "condition": ("neuroid", [str(c) for c, _ in pairs]), "delay_s": ("neuroid", [d for _, d in pairs]),
        },
    )  # fmt: skip
    made.attrs["tr_s"] = float(tr_s)
    return made
