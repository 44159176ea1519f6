"""Temporal dynamics of perceived flow: MATLAB files."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from ..perceived_flow import PerceivedFlow
from ._flow_files import matlab_array

_UP = np.array([1.0, -1.0])
_PROBED = 7  # the eighth frame is the target
_FITS = ("ridge_truth", "ridge_flownet2", "gaussian_truth", "gaussian_flownet2")


def read_temporal_flow(folder: str | os.PathLike[str]) -> PerceivedFlow:
    """Read ``Temporal_*.mat``: five movies, played both ways, probed at four places and five times by four people.

    The true and FlowNet2's motion are those of the probed frame. The sign of v is not documented; the predictions of
    FlowNet2, which has v down, agree with the files as they are, so it is taken as down.

    Parameters
    ----------
    folder
        Where the files lie.

    Returns
    -------
    PerceivedFlow
        200 probes with 16 trials: four people, each shown four mirrored versions (responses are already turned back).
        ``models``: FlowNet2 and the authors' four fits of a window in time.

    Raises
    ------
    FileNotFoundError, ValueError
        When a file is missing, unreadable, or has another shape.

    Examples
    --------
    >>> data = read_temporal_flow("temporal_flow")  # doctest: +SKIP
    """
    raw = matlab_array(folder, "Temporal_Response_raw", (2, 4, 4, 2, 5, 5, 4))  # uv loc flip way time movie person
    truth = matlab_array(folder, "Temporal_GT", (2, 4, 2, 5, 5, 15))[..., _PROBED]
    network = matlab_array(folder, "Temporal_FN2", (2, 4, 2, 5, 5, 14))[..., _PROBED]
    fits = matlab_array(folder, "Temporal_AllObservers", (2, 4, 2, 5, 5, 4))

    def flat(uv: np.ndarray) -> np.ndarray:
        return uv.transpose(4, 3, 2, 1, 0).reshape(-1, 2) * _UP

    trials = raw.transpose(6, 2, 5, 4, 3, 1, 0).reshape(16, -1, 2) * _UP
    movie, time, way, place = (i.ravel() for i in np.indices((5, 5, 2, 4)))
    table = pd.DataFrame({"movie": movie, "subset": "all", "time": time, "reversed": way == 1, "location": place})
    models = {"flownet2": flat(network)} | {name: flat(fits[..., i]) for i, name in enumerate(_FITS)}
    note = "sign of v inferred from FlowNet2's predictions"
    return PerceivedFlow(
        "temporal_flow", table, trials.mean(0), flat(truth), trials, np.repeat(np.arange(4), 4), models, note
    )
