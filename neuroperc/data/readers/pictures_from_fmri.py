"""Voxels with the small pictures that were shown: Miyawaki et al. 2008 (V1) and van Gerven et al. 2010 (sixes, nines).

Both come as MATLAB files of one layout: ``fmriTrn stimTrn labelTrn`` and the same with ``Test``, pictures of 28 x 28 px
a row each, column by column.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, finite
from ...display import Display
from ..responses import make_responses
from ..stimuli import StimulusSet
from ._matlab import read_matrices

_SIDE = 28
_PARTS = ("Trn", "Test")
_FIELDS = tuple(f"{kind}{part}" for kind in ("fmri", "stim", "label") for part in _PARTS)
_ORDER = ("train_indices", "test_indices")
#: The condition of each session: shapes, two sets of letters in the middle, large letters.
_CONDITIONS = {**dict.fromkeys(range(21, 25), "shapes"), 25: "letters 1a", 26: "letters 1a", 27: "letters 1b",
               28: "letters 1b", **dict.fromkeys(range(29, 33), "letters 2")}  # fmt: skip


def read_miyawaki_v1(path: str | os.PathLike[str]) -> xr.DataArray:
    """Read one person's V1 while shapes and letters of 10 x 10 patches were shown.

    Parameters
    ----------
    path
        ``miyawaki_structured_28x28_sessions.mat``: trials in sessions 21 to 32, in their order.

    Returns
    -------
    xarray.DataArray
        A Responses (119, 967), z-scored over all trials by who made the file: `stimulus_id` of 20 pictures shown four
        to eight times, `repetition`, `session`, and `condition` (five pictures each).

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is cut, or not what it should be.

    References
    ----------
    .. [1] Y Miyawaki et al. (2008). Visual image reconstruction from human brain activity using a combination of
       multiscale local image decoders. doi:10.1016/j.neuron.2008.11.004

    Examples
    --------
    >>> v1 = read_miyawaki_v1("miyawaki_structured_28x28_sessions.mat")     # doctest: +SKIP
    """
    values, _, session, names = _miyawaki(path)
    condition = np.array([_CONDITIONS[number] for number in session])
    return make_responses(
        values, stimulus_id=names, session=session, repetition=_repetition(names), region="V1", units="z",
        source="Miyawaki et al. 2008, subject 1, structured images",
        coords={"condition": ("presentation", condition)},
    )  # fmt: skip


def read_miyawaki_v1_stimuli(path: str | os.PathLike[str], *, display: Display, size_deg: float) -> StimulusSet:
    """Read the 20 pictures of `read_miyawaki_v1`, 28 x 28 px with edges smoothed by who made the file.

    Parameters
    ----------
    path
        As for `read_miyawaki_v1`.
    display
        The screen they are shown on.
    size_deg
        Their width in degrees.

    Returns
    -------
    StimulusSet
        With the column `condition`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_miyawaki_v1`.

    Examples
    --------
    >>> shown = read_miyawaki_v1_stimuli("miyawaki.mat", display=screen, size_deg=11.5)     # doctest: +SKIP
    """
    _, images, session, names = _miyawaki(path)
    known, first = np.unique(names, return_index=True)
    table = pd.DataFrame({"condition": [_CONDITIONS[n] for n in session[first]]}, index=known.tolist())
    return StimulusSet.from_arrays(
        images[first][:, None], display=display, ids=known.tolist(), table=table, size_deg=size_deg
    )


def read_digits69(path: str | os.PathLike[str]) -> xr.DataArray:
    """Read one person's V1, V2 and V3 while a hundred hand-written sixes and nines were shown, once each.

    Parameters
    ----------
    path
        ``digit69_28x28.mat``.

    Returns
    -------
    xarray.DataArray
        A Responses (100, 3092): `stimulus_id` and `digit` ("6" or "9"). The file does not say which voxel lies where,
        or in which order the pictures came.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is cut, or not what it should be.

    References
    ----------
    .. [1] M A J van Gerven, F P de Lange, T Heskes (2010). Neural decoding with hierarchical generative models.
       doi:10.1162/NECO_a_00047

    Examples
    --------
    >>> brain = read_digits69("digit69_28x28.mat")                          # doctest: +SKIP
    """
    values, _, digit, names = _digits(path)
    return make_responses(
        values, stimulus_id=names, region="V1-V3", source="van Gerven et al. 2010",
        coords={"digit": ("presentation", digit)},
    )  # fmt: skip


def read_digits69_stimuli(path: str | os.PathLike[str], *, display: Display, size_deg: float) -> StimulusSet:
    """Read the hundred digits of `read_digits69`.

    Parameters
    ----------
    path
        As for `read_digits69`.
    display
        The screen they are shown on.
    size_deg
        Their width in degrees.

    Returns
    -------
    StimulusSet
        With the column `digit`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_digits69`.

    Examples
    --------
    >>> shown = read_digits69_stimuli("digit69_28x28.mat", display=screen, size_deg=9)      # doctest: +SKIP
    """
    _, images, digit, names = _digits(path)
    table = pd.DataFrame({"digit": digit}, index=names)
    return StimulusSet.from_arrays(images[:, None], display=display, ids=names, table=table, size_deg=size_deg)


def _miyawaki(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return responses, pictures, session and stimulus of every trial in its order."""
    values, images, session = _read(path, ordered=True)
    odd = [int(n) for n in np.unique(session) if int(n) not in _CONDITIONS]
    check(not odd, f"the labels of {Path(path)}", "session numbers 21 to 32", odd,
          "The files with condition labels hold the same trials: take the sessions file.")  # fmt: skip
    which = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)[1].ravel()
    # Names follow the order in which pictures first appear.
    first = np.unique(which, return_index=True)[1]
    rank = np.argsort(np.argsort(first))
    return values, images, session.astype(int), [f"picture{rank[k] + 1:02d}" for k in which]


def _digits(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    values, images, label = _read(path, ordered=False)
    odd = sorted(set(label.tolist()) - {1.0, 2.0})
    check(not odd, f"the labels of {Path(path)}", "1 (six) or 2 (nine)", odd, "Is it another file?")
    return values, images / 255, ["6" if n == 1 else "9" for n in label], [f"digit{i:03d}" for i in range(len(values))]


def _read(path: str | os.PathLike[str], *, ordered: bool) -> tuple[np.ndarray, ...]:
    """Return responses, pictures (n, 28, 28) and labels of all trials, in their order where it is known."""
    found = read_matrices(path, (*_FIELDS, *(_ORDER if ordered else ())))
    where = str(Path(path))
    values, flat, label = (
        _joined(where, *(found[f"{kind}{part}"] for part in _PARTS)) for kind in ("fmri", "stim", "label")
    )
    n = len(values)
    check(flat.shape == (n, _SIDE**2), f"stimTrn and stimTest of {where}", f"({n}, {_SIDE**2}) together", flat.shape)
    check(label.size == n, f"labelTrn and labelTest of {where}", f"one for each of {n} trials", label.size)
    finite(f"fmriTrn and fmriTest of {where}", values, "Fetch the file again.")
    finite(f"stimTrn and stimTest of {where}", flat, "Fetch the file again.")
    order = np.concatenate([found[name].ravel() for name in _ORDER]) if ordered else np.arange(n)
    places = len(np.unique(order))
    check(places == order.size == n, f"train_indices and test_indices of {where}", f"a place for each of {n} trials",
          f"{places} places for {order.size}", "Fetch the file again.")  # fmt: skip
    rows = np.argsort(order)
    images = flat.reshape(n, _SIDE, _SIDE).swapaxes(1, 2)  # MATLAB counts down the columns
    return values[rows], images[rows], label.ravel()[rows]


def _joined(where: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    fits = train.shape[1:] == test.shape[1:]
    check(fits, f"the training and test trials of {where}", "of one width", (train.shape, test.shape))
    return np.concatenate([train, test])


def _repetition(names: list[str]) -> np.ndarray:
    """Return how often each picture has been shown before."""
    return pd.Series(names).groupby(names).cumcount().to_numpy()
