"""Macaque IT spikes of Zhang, Meyers, Bichot, Serre, Poggio & Desimone (2011): 132 sites, 7 objects, 3 positions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr

from ..._check import check
from ..responses import make_responses
from ._matlab import read_variables

_NEEDED = ("spikes_packed", "site", "object", "position", "object_names", "position_names", "site_names",
           "t_start_ms")  # fmt: skip


def read_zhang_it(path: str | os.PathLike[str], *, window_s: tuple[float, float] = (0.1, 0.4)) -> xr.DataArray:
    """Read firing rates of sequentially recorded IT sites, arranged as if they had been recorded together.

    Parameters
    ----------
    path
        The archive ``zhang_desimone_spikes.npz`` (1 ms rasters, packed bits).
    window_s
        Start and end in seconds after the picture's onset, within -0.5 and 0.5.

    Returns
    -------
    xarray.DataArray
        A Responses in Hz: a row is the k-th trial of every site with one object at one place, NaN where a site had
        fewer; `stimulus_id` is ``object-position``, `repetition` is k; coordinates `object` and `position`. Noise
        correlations between sites mean nothing here.

    Raises
    ------
    ValueError
        When the file is missing or incomplete, or the window is empty or outside the recording.

    References
    ----------
    .. [1] Y Zhang et al. (2011). Object decoding with attention in inferior temporal cortex.
       doi:10.1073/pnas.1100999108

    Examples
    --------
    >>> it = read_zhang_it("zhang_desimone_spikes.npz")                     # doctest: +SKIP
    """
    check(Path(path).is_file(), "path", "a file that exists", str(path), "Check the name and the folder.")
    data = read_variables(path)
    missing = [name for name in _NEEDED if name not in data]
    check(not missing, str(path), f"with {', '.join(_NEEDED)}", f"without {missing}")
    spikes = np.unpackbits(data["spikes_packed"], axis=1)
    start, stop = (round(1000 * t) - int(data["t_start_ms"]) for t in window_s)
    check(0 <= start < stop <= spikes.shape[1], "window_s", "two rising times within the recording", window_s)
    rate = spikes[:, start:stop].sum(axis=1, dtype=np.int64) / (window_s[1] - window_s[0])
    objects, places = data["object_names"], data["position_names"]
    condition = data["object"].astype(int) * len(places) + data["position"]
    site = data["site"].astype(int)
    trial = _count_within(site * len(objects) * len(places) + condition)
    row, known = _rows(condition, trial)
    values = np.full((len(known), len(data["site_names"])), np.nan)
    values[row, site] = rate
    shown = objects[known[:, 0] // len(places)], places[known[:, 0] % len(places)]
    names = [f"{a}-{b}" for a, b in zip(*shown, strict=True)]
    return make_responses(
        values, stimulus_id=names, neuroid_id=data["site_names"], repetition=known[:, 1], region="IT", units="Hz",
        source="Zhang et al. 2011, sequentially recorded",
        coords={"object": ("presentation", shown[0]), "position": ("presentation", shown[1])},
    )  # fmt: skip


def _count_within(labels: np.ndarray) -> np.ndarray:
    """Return how many equal labels came before each."""
    order = np.argsort(labels, kind="stable")
    counts = np.unique(labels, return_counts=True)[1]
    found = np.empty(len(labels), dtype=int)
    found[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return found


def _rows(condition: np.ndarray, trial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each spike train's row, and the (condition, trial) of each row."""
    known, row = np.unique(np.stack([condition, trial], axis=1), axis=0, return_inverse=True)
    return row.ravel(), known
