"""The pictures of the Natural Scenes Dataset, and the table of where they come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail
from ._sources import readable
from .nsd import stimulus_names
from .reading import read_table

PathLike = str | os.PathLike[str]
_SIDES = ["crop_top", "crop_bottom", "crop_left", "crop_right"]


def read_nsd_stimuli(root: PathLike) -> pd.DataFrame:
    r"""Read where NSD's pictures come from: ``nsd_stim_info_merged.csv``, whose numbers count from 0.

    Parameters
    ----------
    root
        The folder with ``nsddata``.

    Returns
    -------
    pandas.DataFrame
        A row a picture, by number: ``stimulus_id image_73k`` as in `nsd_trials` (`image_73k` counts from 1), ``shared``
        (among the pictures for everybody), then what else the file has. ``cropBox`` becomes ``crop_top crop_bottom
        crop_left crop_right``: the shares of the COCO picture's height and width that were cut off. Trials get columns
        by ``trials.join(stimuli.set_index("stimulus_id")[["cocoId"]], on="stimulus_id")``.

    Raises
    ------
    ValueError
        Naming the file: when it is missing, lacks ``nsdId`` or ``shared1000``, has a picture twice, or a ``cropBox``
        that is not four shares from 0 to 1.

    References
    ----------
    .. [1] E J Allen et al. (2022). A massive 7T fMRI dataset. doi:10.1038/s41593-021-00962-x; NSD Data Manual,
       Experiments.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp(), "nsddata/experiments/nsd")
    >>> folder.mkdir(parents=True)
    >>> text = ",cocoId,cocoSplit,cropBox,nsdId,shared1000\n0,532481,val2017,\"(0, 0, 0.25, 0.125)\",0,False\n"
    >>> _ = (folder / "nsd_stim_info_merged.csv").write_text(text)
    >>> found = read_nsd_stimuli(folder.parents[2])
    >>> found[["stimulus_id", "image_73k", "cocoId", "crop_left"]].values.tolist()
    [['nsd00001', 1, 532481, 0.25]]
    """
    path = Path(root) / "nsddata" / "experiments" / "nsd" / "nsd_stim_info_merged.csv"
    check(path.is_file(), "root", f"the folder of NSD, with nsddata/experiments/nsd/{path.name}", str(root))
    table = read_table(path)
    table = table.drop(columns=[c for c in table if str(c).startswith("Unnamed")])
    for column, kinds in (("nsdId", "iu"), ("shared1000", "biu")):
        check(column in table and table[column].dtype.kind in kinds, path.name,
              "with the columns nsdId (whole numbers) and shared1000 (True or False)", list(table))  # fmt: skip
    odd = table["nsdId"][(table["nsdId"] < 0) | table["nsdId"].duplicated()].tolist()
    check(not odd, path.name, "of every picture once, numbered from 0", "number " + ", ".join(map(str, odd[:3])))
    table = table.sort_values("nsdId", ignore_index=True)
    number = table.pop("nsdId") + 1
    table.insert(0, "stimulus_id", stimulus_names(number))
    table.insert(1, "image_73k", number)
    table.insert(2, "shared", table.pop("shared1000").astype(bool))
    if "cropBox" in table:
        table[_SIDES] = _crop_shares(table.pop("cropBox"), path.name)
    return table


def _crop_shares(boxes: pd.Series, name: str) -> np.ndarray:
    """Return (picture, 4) from texts such as "(0, 0, 0.25, 0.125)"."""
    parts = boxes.astype(str).str.strip("() ").str.split(",", expand=True)
    shares = parts.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~((shares >= 0) & (shares < 1)).all(axis=1)) if shares.shape[1] == 4 else np.array([0])
    if bad.size:
        fail(name, "with a cropBox of four shares from 0 to 1, (top, bottom, left, right)",
             f"{boxes[bad[0]]!r} in row {bad[0]}")  # fmt: skip
    return shares


def read_nsd_images(root: PathLike, image_73k: Any) -> np.ndarray:
    """Read pictures by their 73k number, which counts from 1.

    Parameters
    ----------
    root
        The folder with ``nsddata_stimuli``.
    image_73k
        (n,) numbers from 1, as in `nsd_trials`; any order, repeats allowed.

    Returns
    -------
    numpy.ndarray
        (n, height, width, 3) uint8, sRGB codes as stored.

    Raises
    ------
    ValueError
        When the file is missing or broken, or a number is not 1 to the number of pictures.

    Examples
    --------
    >>> import tempfile, h5py, numpy as np
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp(), "nsddata_stimuli/stimuli/nsd")
    >>> folder.mkdir(parents=True)
    >>> with h5py.File(folder / "nsd_stimuli.hdf5", "w") as file:
    ...     file["imgBrick"] = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    >>> read_nsd_images(folder.parents[2], [3, 1, 3])[:, 0, 0, 0].tolist()
    [2, 0, 2]
    """
    import h5py

    path = Path(root) / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"
    check(path.is_file(), "root", "the folder of NSD, with nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5", str(root))
    numbers = np.atleast_1d(np.asarray(image_73k))
    check(numbers.dtype.kind in "iu" and numbers.ndim == 1, "image_73k", "(n,) whole numbers", numbers.dtype)
    with readable(path):
        file = h5py.File(path, "r")
    with file:
        check("imgBrick" in file, path.name, "an HDF5 file with the data set imgBrick, as NSD's", sorted(file))
        stored = file["imgBrick"]
        ok = numbers.size > 0 and numbers.min() >= 1 and numbers.max() <= len(stored)
        check(ok, "image_73k", f"1 to {len(stored)}", numbers, "They count from 1.")
        wanted, back = np.unique(numbers - 1, return_inverse=True)
        return np.asarray(stored[wanted])[back]
