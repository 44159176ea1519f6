"""Macaque V4 sessions of Cowley, Stan, Pillow & Smith (2023): spike counts in 100 ms, with their pictures."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, fail
from ...display import Display
from ..responses import make_responses
from ..stimuli import StimulusSet
from ._matlab import load_npy
from .pictures import read_picture

_AVERAGED, _RAW, _IMAGES = "responses_repeat_averaged", "responses_raw", "images"


def cowley_v4_sessions(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """List the sessions of a folder, whatever of each is there.

    Parameters
    ----------
    folder
        The one that holds `responses_repeat_averaged`, `responses_raw` and `images`.

    Returns
    -------
    pandas.DataFrame
        Indexed by session: `n_neurons`, `n_images` (from the arrays; the authors' table differs from them for some
        sessions), `repeats` (whether single trials are there), `pictures`.

    Raises
    ------
    ValueError
        When the folder holds no session.

    Examples
    --------
    >>> cowley_v4_sessions("cowley2023_v4").loc["210325", "n_neurons"]      # doctest: +SKIP
    50
    """
    root = Path(folder)
    found: dict[str, dict[str, Any]] = {}
    for path in sorted([*root.glob(f"{_AVERAGED}/responses_*.npy"), *root.glob(f"{_RAW}/responses_*.npy")]):
        shape = load_npy(path, mmap_mode="r").shape
        session = path.stem.removeprefix("responses_")
        found[session] = {
            "n_neurons": shape[0], "n_images": shape[1], "repeats": (root / _RAW / path.name).is_file(),
            "pictures": (root / _IMAGES / f"images_{session}.zip").is_file(),
        }  # fmt: skip
    check(found, "folder", f"with {_AVERAGED}/ or {_RAW}/", str(root), "Give the folder of the data set.")
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("session").sort_index()


def read_cowley_v4(folder: str | os.PathLike[str], session: str, *, repeats: bool | None = None) -> xr.DataArray:
    """Read the spike counts of a session.

    Parameters
    ----------
    folder
        As for `cowley_v4_sessions`.
    session
        Six digits, such as ``"210325"``.
    repeats
        True for single trials, False for their mean; None takes trials where the folder has them.

    Returns
    -------
    xarray.DataArray
        A Responses, units "spikes in 0.1 s"; `stimulus_id` is the picture's name (``image0001`` ...). With repeats a
        row is a trial, with the coordinate `repetition`, and trials that were not run are left out.

    Raises
    ------
    ValueError
        For a session that is not there (those that are, are listed), or without the trials that were asked for.

    References
    ----------
    .. [1] B R Cowley, P L Stan, J W Pillow, M A Smith (2023). Compact deep neural network models of visual cortex.
       bioRxiv.

    Examples
    --------
    >>> v4 = read_cowley_v4("cowley2023_v4", "210325")                      # doctest: +SKIP
    """
    known = cowley_v4_sessions(folder)
    check(session in known.index, "session", f"one of {', '.join(known.index)}", session)
    has_trials = bool(known.loc[session, "repeats"])
    trials = has_trials if repeats is None else repeats
    path = Path(folder) / (_RAW if trials else _AVERAGED) / f"responses_{session}.npy"
    check(path.is_file(), "repeats", f"{has_trials} for session {session}", trials, "The folder has only the others.")
    values = load_npy(path)
    ndim = 3 if trials else 2
    check(values.ndim == ndim, str(path), f"an array of {ndim} dimensions", values.shape, "Get the file again.")
    names = np.array([f"image{i:04d}" for i in range(1, values.shape[1] + 1)])
    source = f"Cowley et al. 2023, session {session}"
    if not trials:
        return _labelled(values.T, names, session, source)
    rows = np.moveaxis(values, 0, -1)  # (image, repeat, neuron)
    image, repeat = np.nonzero(~np.isnan(rows).all(axis=-1))
    return _labelled(rows[image, repeat], names[image], session, source, repetition=repeat)


def _labelled(values: np.ndarray, names: np.ndarray, session: str, source: str, **labels: Any) -> xr.DataArray:
    neurons = [f"{session}-{i:03d}" for i in range(values.shape[1])]
    return make_responses(
        values, stimulus_id=names, neuroid_id=neurons, region="V4", session=session, units="spikes in 0.1 s",
        source=source, **labels,
    )  # fmt: skip


def read_cowley_stimuli(
    folder: str | os.PathLike[str], session: str, *, display: Display, size_deg: float
) -> StimulusSet:
    """Read the pictures of a session, 112 x 112 px in colour.

    Parameters
    ----------
    folder, session
        As for `read_cowley_v4`.
    display
        The screen they are shown on.
    size_deg
        Their width in degrees, which the data set does not state.

    Returns
    -------
    StimulusSet
        In memory, in the order of the responses' images.

    Raises
    ------
    ValueError
        When the archive is missing or damaged, or its numbers have gaps.

    Examples
    --------
    >>> pictures = read_cowley_stimuli("cowley2023_v4", "210325", display=screen, size_deg=8)   # doctest: +SKIP
    """
    path = Path(folder) / _IMAGES / f"images_{session}.zip"
    check(path.is_file(), "session", "one with pictures", session, f"There is no {path}.")
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as place:
            members = sorted((n for n in archive.namelist() if re.search(r"image\d+\.jpg$", n)), key=_number)
            images = [read_picture(archive.extract(name, place)) for name in members]
    except (zipfile.BadZipFile, OSError) as error:
        fail(str(path), "a whole ZIP file", str(error), "Get the file again.")
    numbers = [_number(name) for name in members]
    whole = numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 0
    check(whole, str(path), "with image0001.jpg and so on without gaps", f"{len(numbers)} pictures")
    return StimulusSet.from_arrays(
        np.stack(images), display=display, ids=[f"image{i:04d}" for i in numbers], size_deg=size_deg
    )


def _number(name: str) -> int:
    return int(re.findall(r"image(\d+)\.jpg$", name)[0])
