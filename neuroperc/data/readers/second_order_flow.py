"""The second-order motion benchmark: a table an observer and two a model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from ..._check import check
from ..perceived_flow import PerceivedFlow
from ._flow_files import csv_table, file_in

MODULATIONS = ("noise", "blur", "water_wave", "random_texture", "phase_shuffle", "flow_shuffle", "swirl")
_UP = np.array([1.0, -1.0])
_MODELS = {
    "dual_final": "dual/csv_{}_final.csv", "dual_diffuse": "dual/csv_{}_v2_diffuse.csv",
    "dual_non_diffuse": "dual/csv_{}_v2_specular.csv", "one_path_diffuse": "v1mt/csv_{}_diffuse_v1.csv",
    "one_path_non_diffuse": "v1mt/csv_{}_specular_v1.csv", "raft_sintel": "raft/csv_raft_sintel_{}.csv",
    "raft_specular": "raft/csv_raft_specular_{}.csv", "videoflow": "videoflow/csv_{}_video_ori.csv",
    "videoflow_specular": "videoflow/csv_{}_video_specular.csv", "farneback": "farnback/csv_{}.csv",
    "ffv1mt": "ffv1mt/csv_{}_FFV1MT.csv", "glow_sintel": "glow/csv_{}_sintel.csv",
    "glow_specular": "glow/csv_{}_specular.csv",
}  # fmt: skip


def read_second_order_flow(folder: str | os.PathLike[str]) -> PerceivedFlow:
    """Read the second-order benchmark: 40 scenes, in each a masked patch that seven modulations move.

    Parameters
    ----------
    folder
        Where ``participant1.csv`` to ``participant3.csv`` lie; the predictions in ``models`` below it are read when
        that folder exists (then all 13 must be there).

    Returns
    -------
    PerceivedFlow
        280 probes, ``subset`` the modulation and ``movie`` the scene; three trials, the mean responses of three people.
        v is taken as down on disk, as the networks' predictions have it. What "glow" is, is not documented.

    Raises
    ------
    FileNotFoundError, ValueError
        When a file or a column is missing, or people or models differ in the number of scenes.

    References
    ----------
    .. [1] Z Sun, Y-J Chen, Y-H Yang, Y Li, S Nishida (2025). arXiv:2501.12810, whose files these are.

    Examples
    --------
    >>> data = read_second_order_flow("second_order_human")  # doctest: +SKIP
    """
    columns = ["Avg_gt_X", "Avg_gt_Y"]
    pairs = [[f"Mod{m}_avg_res_{axis}" for axis in "XY"] for m in range(1, len(MODULATIONS) + 1)]
    people = []
    for number in (1, 2, 3):
        name = f"participant{number}.csv"
        table = csv_table(folder, name, columns + sum(pairs, []))
        first = table if not people else people[0]
        check(len(table) == len(first), str(Path(folder) / name), f"a table of {len(first)} scenes", len(table))
        people.append(table)
    n = len(people[0])
    trials = np.stack([np.concatenate([p[pair].to_numpy() for pair in pairs]) for p in people]) * _UP
    truth = np.tile(people[0][columns].to_numpy(), (len(MODULATIONS), 1)) * _UP
    models = {}
    if (Path(folder) / "models").is_dir():
        models = {name: _prediction(Path(folder) / "models", pattern, n) for name, pattern in _MODELS.items()}
    table = pd.DataFrame({"movie": np.tile(np.arange(n), len(MODULATIONS)), "subset": np.repeat(MODULATIONS, n)})
    note = "sign of v inferred from the networks' predictions; the network of the folder glow is not documented"
    return PerceivedFlow("second_order", table, trials.mean(0), truth, trials, np.arange(3), models, note)


def _prediction(folder: Path, pattern: str, n: int) -> np.ndarray:
    columns = [f"type{m}" for m in range(1, len(MODULATIONS) + 1)]
    parts = []
    for axis in "xy":
        table = csv_table(folder, pattern.format(axis), columns)
        check(len(table) == n, str(file_in(folder, pattern.format(axis))), f"a table of {n} scenes", len(table))
        parts.append(table[columns].to_numpy().T.ravel())
    return np.stack(parts, 1) * _UP
