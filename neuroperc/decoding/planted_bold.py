"""A planted brain's time series: events through a haemodynamic response, in noise that remembers the volume before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.signal import lfilter

from .._check import as_rng, check, non_negative
from .design import Hrf, design
from .planted import PlantedBrain
from .voxelwise import neuroid_coords


def plant_bold(
    brain: PlantedBrain,
    events: pd.DataFrame | str | os.PathLike[str],
    *,
    tr_s: float,
    n_volumes: int | Mapping[Any, int],
    hrf: Hrf = "spm",
    slice_time_ref: float = 0.5,
    ar1: float = 0.3,
    noise_scale: float = 1.0,
    run_drift: float = 0.1,
    rng: int | np.random.Generator,
) -> xr.DataArray:
    """Simulate the volumes that a planted brain gives while events run, as `read_bold` would return them.

    The signal is ``design(events, hrf=hrf) @ brain.predict(features)``: a stimulus that stays on brings a voxel to its
    planted response. The noise of a volume keeps the brain's shared sources and its `noise_sd`, and each source is a
    stationary AR(1) process of its own in every run: nothing crosses from one run into the next.

    Parameters
    ----------
    brain
        As `plant_brain` returns it; the values of its `responses` are not used.
    events
        As in `design`; the column ``trial_type`` names stimuli as the brain's `stimulus_id` does.
    tr_s, n_volumes, slice_time_ref, hrf
        As in `design`.
    ar1
        Correlation of the noise with that of the volume before, above -1 and below 1.
    noise_scale
        Standard deviation of a volume's noise in units of the brain's `noise_sd`; 0 leaves the signal alone.
    run_drift
        Standard deviation of a voxel's mean over runs, in units of its noise.
    rng
        Seed or generator of the noise.

    Returns
    -------
    xarray.DataArray
        Responses (volume, neuroid) in % signal change with `run time_s` and all that is known of the neuroids.

    Raises
    ------
    ValueError
        As `design`, for an event that shows no stimulus of the brain, and for numbers out of range.

    References
    ----------
    .. [1] K J Friston et al. (2002). Classical and Bayesian inference in neuroimaging: applications.
       doi:10.1006/nimg.2002.1091, on AR(1) noise of volumes.

    Examples
    --------
    >>> from neuroperc.decoding import plant_brain
    >>> x = np.random.default_rng(0).normal(size=(20, 8))
    >>> brain = plant_brain(x, regions={"V1": 30}, rank=4, rng=0)
    >>> events = pd.DataFrame({"onset": [4.0, 20.0], "duration": 4.0, "trial_type": ["nsd00001", "nsd00007"]})
    >>> bold = plant_bold(brain, events, tr_s=2.0, n_volumes=25, rng=0)
    >>> bold.shape, bold.time_s.values[:3].tolist()
    ((25, 30), [0.0, 2.0, 4.0])
    """
    check(-1 < ar1 < 1, "ar1", "above -1 and below 1", ar1, "0 is noise without memory.")
    scale, drift = non_negative("noise_scale", noise_scale), non_negative("run_drift", run_drift)
    shown = design(events, tr_s=tr_s, n_volumes=n_volumes, slice_time_ref=slice_time_ref, hrf=hrf)
    names = brain.responses.coords["stimulus_id"].values.astype(str)
    row = dict(zip(names.tolist(), brain.rows.tolist(), strict=True))
    wanted = shown.coords["condition"].values.tolist()
    strange = [name for name in wanted if name not in row]
    check(not strange, "events", "of stimuli that the brain was shown", strange[:3], "Name them by stimulus_id.")
    values = shown.values @ brain.predict(brain.features[[row[name] for name in wanted]])
    values += _noise(brain, shown.coords["run"].values, ar1, drift, as_rng(rng)) * (scale * brain.noise_sd)
    grid = {k: v for k, v in brain.responses.attrs.items() if k not in ("units", "source")}
    return xr.DataArray(
        values.astype(np.float32), dims=("presentation", "neuroid"),
        coords={k: shown.coords[k] for k in ("stimulus_id", "run", "time_s")} | neuroid_coords(brain.responses),
        attrs={"units": "% signal change", "source": "planted time series (simulated)", "tr_s": float(tr_s), **grid},
    )  # fmt: skip


def _noise(brain: PlantedBrain, runs: np.ndarray, ar1: float, drift: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise (volume, voxel) of SD 1 about each run's mean: shared and private sources, each AR(1)."""
    n_voxels, n_shared = brain.shared_loading.shape
    private = np.sqrt(np.clip(1 - (brain.shared_loading**2).sum(axis=1), 0, None))
    parts = []
    for length in np.diff(np.r_[np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]]), len(runs)]):
        drawn = rng.standard_normal((length, n_voxels + n_shared))
        # The first volume already has the variance of all others: the process did not start with the run.
        drawn[1:] *= np.sqrt(1 - ar1**2)
        own, shared = np.split(lfilter([1.0], [1.0, -ar1], drawn, axis=0), [n_voxels], axis=1)
        parts.append(private * own + shared @ brain.shared_loading.T + drift * rng.standard_normal(n_voxels))
    return np.concatenate(parts)
