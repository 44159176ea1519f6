"""Published dissimilarity matrices with their pictures: 92 objects (monkey and human IT) and 78 photographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial.distance import squareform

from ..._check import check
from ...display import Display
from ..stimuli import StimulusSet
from ._matlab import read_matlab, read_variables
from .codes import from_codes

_MAIN = "Kriegeskorte_Neuron2008_supplementalData.mat"


def read_objects92(folder: str | os.PathLike[str]) -> xr.Dataset:
    """Read the dissimilarity matrices of 92 objects in monkey IT, human IT and human judgement.

    Parameters
    ----------
    folder
        Of the four MATLAB files.

    Returns
    -------
    xarray.Dataset
        `monkey_it` (stimulus, other) of 674 neurons and `human_it` (stimulus, other) of the group, 1 - Pearson r;
        `human_it_sessions` (subject, session, stimulus, other); `judgement` (judge, stimulus, other); `category`
        (stimulus, kind) of 0 and 1. The coordinate `stimulus_id` names the rows.

    Raises
    ------
    ValueError
        When a file is missing or not what it should be.

    References
    ----------
    .. [1] N Kriegeskorte et al. (2008). Matching categorical object representations in inferior temporal cortex of man
       and monkey. doi:10.1016/j.neuron.2008.10.043
    .. [2] M Mur et al. (2013). Human object-similarity judgments reflect and transcend the primate-IT object
       representation. doi:10.3389/fpsyg.2013.00128

    Examples
    --------
    >>> brains = read_objects92("kriegeskorte2008_92")                      # doctest: +SKIP
    """
    root = Path(folder)
    main, brains, judges = (_mat(root / name) for name in (_MAIN, "92_brainRDMs.mat", "92_behavRDMs.mat"))
    both = [squareform(np.asarray(one["RDM"], dtype=float)) for one in _field(main, "RDMs_mIT_hIT_fig1", root)]
    people = _field(brains, "RDMs", root)
    sessions = np.array([[np.asarray(one["RDM"], dtype=float) for one in row] for row in people])
    judged = np.array([np.asarray(one["RDM"], dtype=float) for one in _field(judges, "rdms_behav_92", root)])
    square = ("stimulus", "other")
    return xr.Dataset(
        {"monkey_it": (square, both[0]), "human_it": (square, both[1]), "judgement": (("judge", *square), judged),
         "human_it_sessions": (("subject", "session", *square), sessions),
         "category": (("stimulus", "kind"), np.asarray(_field(main, "categoryVectors", root)))},
        {"stimulus_id": ("stimulus", _names(92)), "kind": [str(k) for k in _field(main, "categoryLabels", root)]},
        {"source": "Kriegeskorte et al. 2008; judgement: Mur et al. 2013"},
    )  # fmt: skip


def read_objects92_stimuli(folder: str | os.PathLike[str], *, display: Display, size_deg: float) -> StimulusSet:
    """Read the 92 pictures, 175 x 175 px in colour on grey, with what they show.

    Parameters
    ----------
    folder
        As for `read_objects92`.
    display
        The screen they are shown on.
    size_deg
        Their width in degrees.

    Returns
    -------
    StimulusSet
        With the columns `category human face animal natural`.

    Raises
    ------
    ValueError
        As `read_objects92`.

    Examples
    --------
    >>> objects = read_objects92_stimuli("kriegeskorte2008_92", display=screen, size_deg=2.9)   # doctest: +SKIP
    """
    root = Path(folder)
    items = _field(_mat(root / _MAIN), "stimuli_92objs", root)
    images = [np.moveaxis(from_codes(np.asarray(one["image"], dtype=np.uint8), "linear"), -1, 0) for one in items]
    table = pd.DataFrame({"category": [str(one["category"]) for one in items]}, index=_names(len(items)))
    for column in ("human", "face", "animal", "natural"):
        table[column] = [bool(one[column]) for one in items]
    return StimulusSet.from_arrays(
        np.stack(images), display=display, ids=_names(len(items)), table=table, size_deg=size_deg
    )


def read_photographs78(folder: str | os.PathLike[str]) -> xr.Dataset:
    """Read the dissimilarity matrices of 78 photographs in human early visual cortex and IT (fMRI, 15 subjects).

    The source does not state the distance measure. The pictures lie beside it: ``StimulusSet.from_folder(folder /
    "stimuli", ...)`` gives the same names.

    Parameters
    ----------
    folder
        Of ``fmri_EVC_RDMs.npz`` and ``fmri_IT_RDMs.npz``.

    Returns
    -------
    xarray.Dataset
        `evc`, `it` (subject, stimulus, other) and `stimulus_id`.

    Raises
    ------
    ValueError
        When a file is missing or not (subject, n, n).

    Examples
    --------
    >>> brains = read_photographs78("algonauts_78")                         # doctest: +SKIP
    """
    found = {}
    for name, file in (("evc", "fmri_EVC_RDMs.npz"), ("it", "fmri_IT_RDMs.npz")):
        path = Path(folder) / file
        check(path.is_file(), "folder", f"with {file}", str(folder), "Check the name and the folder.")
        values = next(iter(read_variables(path).values()), np.empty(0))
        square = values.ndim == 3 and values.shape[1] == values.shape[2]
        check(square, str(path), "(subject, n, n)", values.shape, "Get the file again.")
        found[name] = (("subject", "stimulus", "other"), values)
    n = found["it"][1].shape[1]
    return xr.Dataset(found, {"stimulus_id": ("stimulus", [f"image_{i:02d}" for i in range(1, n + 1)])})


def _mat(path: Path) -> dict[str, Any]:
    check(path.is_file(), "folder", f"with {path.name}", str(path.parent), "Check the name and the folder.")
    return read_matlab(path, squeeze_me=True)


def _field(content: dict[str, Any], name: str, root: Path) -> Any:
    check(name in content, f"the files of {root}", f"with the variable {name}", sorted(content))
    return content[name]


def _names(n: int) -> list[str]:
    return [f"object{i:02d}" for i in range(1, n + 1)]
