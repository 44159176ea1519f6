"""HuPerFlow: tables of means and of single responses, and the clips of one session."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..._check import check, fail, integer, one_of, positive
from ..perceived_flow import PerceivedFlow
from ._flow_files import csv_table, file_in
from .codes import ENCODINGS, Encoding
from .pictures import read_picture

DATASETS = (
    "KITTI", "vKITTI2", "Sintel-NV", "VIPER", "Spring", "Monkaa", "MHOF", "Driving", "FlyingThings", "TartanAir"
)  # fmt: skip
_KEY = ["Dataset", "Session", "Movie", "Location"]
# The list of a session shows every probe four times, and responses 1-4, 5-8, ... agree with one another (r = .6 once the
# probe's mean is out) and not across: each block of four is taken as one person.
_TRIALS_A_BLOCK = 4
_PROBED = (7, 8)  # the motion asked for is from the eighth frame to the ninth


@dataclass(frozen=True, eq=False)
class FlowClip:
    """Frames of a movie with the probes of its perceived flow.

    Attributes
    ----------
    frames
        (time, 3, h, w) in [0, 1].
    encoding
        What the numbers are, "srgb" codes or "linear" light.
    probed
        Between which two frames (from 0) the motion was asked for.
    flow
        The probes, with ``x_px`` and ``y_px``.

    Examples
    --------
    >>> clip = read_huperflow_clip("kitti_session1", "huperflow", movie=1)  # doctest: +SKIP
    >>> clip.frames[list(clip.probed)].shape  # doctest: +SKIP
    torch.Size([2, 3, 374, 1238])
    """

    frames: Tensor
    encoding: Encoding
    probed: tuple[int, int]
    flow: PerceivedFlow


def read_huperflow(folder: str | os.PathLike[str], *, longest_px: float = 60.0) -> PerceivedFlow:
    """Read HuPerFlow: ten data sets, twelve sessions of two movies each, ten probes a movie, sixteen responses a probe.

    Parameters
    ----------
    folder
        Where ``HuPerFlow_AveragedPerceivedFlow.csv`` and ``HuPerFlow_RawPerceivedFlow.csv`` lie.
    longest_px
        Single responses longer than this (pixels per frame) are slips and become NaN; the means are the released ones.
        Inf keeps all.

    Returns
    -------
    PerceivedFlow
        2,400 probes, ``subset`` the data set; v is up on disk already. Coordinates are turned from 1-based to 0-based.

    Raises
    ------
    FileNotFoundError, ValueError
        When a file or a column is missing, or the two tables list other probes.

    Examples
    --------
    >>> data = read_huperflow("huperflow")  # doctest: +SKIP
    """
    if not np.isinf(longest_px):
        positive("longest_px", longest_px)
    columns = [*_KEY, "Coordinate_y", "Coordinate_x", "GT_u", "GT_v"]
    mean = csv_table(folder, "HuPerFlow_AveragedPerceivedFlow.csv", [*columns, "Resp_u_mean", "Resp_v_mean"])
    raw = csv_table(folder, "HuPerFlow_RawPerceivedFlow.csv", [*columns, "Trial", "Resp_u", "Resp_v"])
    mean, raw = mean.sort_values(_KEY), raw.sort_values([*_KEY, "Trial"])
    n_trials = int(raw["Trial"].max())
    same = len(raw) == n_trials * len(mean)
    same = same and np.array_equal(raw[_KEY].to_numpy()[::n_trials], mean[_KEY].to_numpy())
    check(same, "HuPerFlow_RawPerceivedFlow.csv", f"{n_trials} trials of each of the {len(mean)} probes of the means",
          f"{len(raw)} rows", "Take both files from one release.")  # fmt: skip
    trials = raw[["Resp_u", "Resp_v"]].to_numpy().reshape(len(mean), n_trials, 2).transpose(1, 0, 2).copy()
    absent = int(np.isnan(trials).any(-1).sum())
    slips = np.hypot(trials[..., 0], trials[..., 1]) > longest_px
    trials[slips] = np.nan
    names = [DATASETS[int(i) - 1] for i in mean["Dataset"]]
    movie = [f"{d}/{s:02d}/{m}" for d, s, m in zip(names, mean["Session"], mean["Movie"], strict=True)]
    table = pd.DataFrame({"movie": movie, "subset": names, "location": mean["Location"].to_numpy(),
                          "x_px": mean["Coordinate_x"].to_numpy() - 1, "y_px": mean["Coordinate_y"].to_numpy() - 1})  # fmt: skip
    note = (f"{absent} of {trials.shape[0] * trials.shape[1]} responses are missing and {int(slips.sum())} longer than "
            f"{longest_px:g} px are left out of the ceilings; blocks of four trials are taken as one person")  # fmt: skip
    return PerceivedFlow("huperflow", table, mean[["Resp_u_mean", "Resp_v_mean"]].to_numpy(),
                         mean[["GT_u", "GT_v"]].to_numpy(), trials, np.arange(n_trials) // _TRIALS_A_BLOCK, note=note,
                         v_on_disk="up")  # fmt: skip


def read_huperflow_clip(
    folder: str | os.PathLike[str],
    responses: str | os.PathLike[str] | PerceivedFlow,
    *,
    movie: int = 1,
    dataset: str = "KITTI",
    session: int = 1,
    encoding: Encoding = "srgb",
) -> FlowClip:
    """Read the 15 frames of one movie of a session, with the responses at its probes.

    Parameters
    ----------
    folder
        Where ``Mov1_F01.png`` ... (or jpg) and ``KITTI_mov1.csv`` lie.
    responses
        The folder of `read_huperflow`, or what it returned.
    movie
        1 or 2.
    dataset, session
        Of which data set and session the folder is.
    encoding
        "srgb" codes, as optical-flow programs expect, or "linear" light.

    Returns
    -------
    FlowClip

    Raises
    ------
    FileNotFoundError, ValueError
        When frames are missing or differ in size, or the list of probes is not that of the responses.

    Examples
    --------
    >>> clip = read_huperflow_clip("kitti_session1", "huperflow")  # doctest: +SKIP
    """
    number = integer("movie", movie)
    one_of("dataset", dataset, DATASETS)
    one_of("encoding", encoding, ENCODINGS)
    data = responses if isinstance(responses, PerceivedFlow) else read_huperflow(responses)
    name = f"{dataset}/{integer('session', session):02d}/{number}"
    rows = (data.table["movie"] == name).to_numpy()
    check(rows.any(), "movie", f"a movie of {data!r}", name)
    flow = data.select(rows)
    listed = csv_table(folder, f"{dataset}_mov{number}.csv", ["LocationIndex", "PicX", "PicY", "GT_u", "GT_v"])
    listed = listed.drop_duplicates("LocationIndex").sort_values("LocationIndex")  # a person sees each four times
    path = file_in(folder, f"{dataset}_mov{number}.csv")
    here = np.column_stack([listed["PicX"] - 1, listed["PicY"] - 1, listed["GT_u"], listed["GT_v"]])
    there = np.column_stack([flow.table["x_px"], flow.table["y_px"], flow.truth])
    same = here.shape == there.shape and np.allclose(here, there, atol=1e-6)
    check(same, str(path), f"the probes of movie {name}", f"{len(here)} other probes", "Check session and movie.")
    return FlowClip(_frames(Path(folder), number, encoding), encoding, _PROBED, flow)


def _frames(folder: Path, movie: int, encoding: Encoding) -> Tensor:
    frames = []
    for k in range(1, 16):
        found = [p for p in (folder / f"Mov{movie}_F{k:02d}{suffix}" for suffix in (".png", ".jpg")) if p.is_file()]
        if not found:
            file_in(folder, f"Mov{movie}_F{k:02d}.png")
        picture = read_picture(found[0], encoding=encoding)
        if frames and picture.shape != frames[0].shape:
            fail(str(found[0]), f"of the size {frames[0].shape} of the first frame", picture.shape)
        frames.append(picture)
    return torch.from_numpy(np.stack(frames))
