"""Perceived flow of slow Sintel movies: two MATLAB files."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from ..perceived_flow import PerceivedFlow
from ._flow_files import matlab_array

_MOVIES = ("ambush_2", "ambush_4", "cave_4", "market_6", "temple_3")


def read_sintel_slow(folder: str | os.PathLike[str]) -> PerceivedFlow:
    """Read ``HumanResp.mat`` and ``SintelGT.mat``: 36 probes in each of five Sintel movies.

    Velocities lie on disk as (u, v) with v down; the scale of the pixels is not documented. Which of the 36 places
    is which is not either, so probes have no coordinates. Responses are means over people; single ones were not
    released, so there is no noise ceiling.

    Parameters
    ----------
    folder
        Where both files lie.

    Returns
    -------
    PerceivedFlow
        180 probes, ``subset`` "all".

    Raises
    ------
    FileNotFoundError, ValueError
        When a file is missing, unreadable, or has another shape.

    References
    ----------
    .. [1] Y-H Yang, Z Sun, T Fukiage, S Nishida (2023), iScience; as used by Z Sun, Y-J Chen, Y-H Yang, S Nishida
       (2023), NeurIPS, whose files these are.

    Examples
    --------
    >>> data = read_sintel_slow("sintel_slow_human")  # doctest: +SKIP
    """
    flows = []
    for name in ("HumanResp", "SintelGT"):
        uv = matlab_array(folder, name, (2, 36, len(_MOVIES)))
        flows.append(uv.transpose(2, 1, 0).reshape(-1, 2) * np.array([1.0, -1.0]))
    table = pd.DataFrame({"movie": np.repeat(_MOVIES, 36), "subset": "all", "location": np.tile(np.arange(36), 5)})
    note = "scale of the vectors and places of the probes are not documented; means over people only"
    return PerceivedFlow("sintel_slow", table, *flows, note=note)
