"""The published side of the six search asymmetries: people's reaction times, and models' stored fixation counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .._check import check, fail


class Task(NamedTuple):
    """One task of an asymmetry experiment: its name here, its file there, and people's mean reaction times."""

    experiment: str
    condition: str
    file: str
    set_sizes: tuple[int, ...]
    human_ms: tuple[float, ...]


#: The two tasks of each experiment, in the order of the paper.
TASKS = (
    Task("curvature", "curve_among_lines", "curvature_curve_in_lines", (8, 16, 32), (510, 516.4, 529.2)),
    Task("curvature", "line_among_curves", "curvature_line_in_curves", (8, 16, 32), (565, 640, 750)),
    Task("lighting", "vertical_shading", "lightning_dir_top_down", (1, 6, 12), (426.667, 432, 472)),
    Task("lighting", "horizontal_shading", "lightning_dir_left_right", (1, 6, 12), (488, 674.667, 754.667)),
    Task("cross", "non_cross_among_crosses", "intersection_non_cross", (3, 6, 9), (645, 780, 915)),
    Task("cross", "cross_among_non_crosses", "intersection_cross", (3, 6, 9), (829, 1117, 1405)),
    Task("l_vs_t", "t_among_ls", "intersection_Ts", (3, 6, 9), (541, 583, 625)),
    Task("l_vs_t", "l_among_ts", "intersection_Ls", (3, 6, 9), (573, 672, 771)),
    Task("orientation_homogeneous", "tilted_among_vertical", "categorization_homo_t20", (1, 4, 8, 12),
         (414.737, 437.895, 441.053, 444.211)),
    Task("orientation_homogeneous", "vertical_among_tilted", "categorization_homo_t0", (1, 4, 8, 12),
         (431.579, 547.368, 552.632, 557.895)),
    Task("orientation_heterogeneous", "vertical_among_mixed", "categorization_hetero_t0", (1, 4, 8, 12),
         (431.579, 568.421, 633.684, 707.368)),
    Task("orientation_heterogeneous", "tilted_among_mixed", "categorization_hetero_t20", (1, 4, 8, 12),
         (526.316, 831.579, 1084.211, 1326.316)),
)  # fmt: skip
_ONE_EARLY = ("chance", "pixelMatch")
_COLUMNS = ("model", "experiment", "condition", "set_size", "display", "found", "n_fixations", "budget")


def human_reaction_times() -> pd.DataFrame:
    """Return people's mean reaction times in the twelve tasks.

    Returns
    -------
    pandas.DataFrame
        A row a task and set size: experiment, condition, set_size, rt_s. They are means over people; the spread was
        not published with them.

    References
    ----------
    Digitised by S K Gupta et al. (2021, released code) from J M Wolfe et al. (1992; curvature, orientation), D A
    Kleffner and V S Ramachandran (1992; shading), and J M Wolfe and J S DiMase (2003; crosses, L and T).

    Examples
    --------
    >>> table = human_reaction_times()
    >>> table[table["condition"] == "t_among_ls"]["rt_s"].tolist()
    [0.541, 0.583, 0.625]
    """
    rows = [
        (task.experiment, task.condition, size, ms / 1000)
        for task in TASKS
        for size, ms in zip(task.set_sizes, task.human_ms, strict=True)
    ]
    return pd.DataFrame(rows, columns=["experiment", "condition", "set_size", "rt_s"])


def read_vsa_predictions(folder: str | os.PathLike[str], *, realign: bool = False) -> pd.DataFrame:
    r"""Read the stored predictions of Gupta et al.: one folder a model, one CSV file a task, one row a display.

    In a row the column of the landing fixation holds 1 (column 0 is the start in the middle); a row of zeros is a
    target that was not found. Rows come in blocks of increasing set size.

    Parameters
    ----------
    folder
        The folder with the models' folders, or the one above it that calls it ``model_predictions``.
    realign
        The files of the models "chance" and "pixelMatch" were written one row early, so that the first display of a
        task lies in the last row and one display of every set size counts as another's. False keeps them as they are,
        which gives the published numbers; True puts them right.

    Returns
    -------
    pandas.DataFrame
        model, experiment, condition (the names of `neuroperc.stimuli.search_displays`), set_size, display, found,
        n_fixations (number of the landing fixation; NaN when not found), budget (the most it could be).

    Raises
    ------
    ValueError
        When there is no model, or a file is damaged or does not divide into its set sizes.

    References
    ----------
    S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans share
    similar inherent biases. NeurIPS. Released code and predictions.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "mine")
    ...     path.mkdir()
    ...     _ = (path / "intersection_Ts.csv").write_text("0,1,0,0\n0,0,1,0\n0,0,0,0\n")
    ...     table = read_vsa_predictions(folder)
    >>> table[["condition", "set_size", "n_fixations"]].to_numpy().tolist()
    [['t_among_ls', 3, 1.0], ['t_among_ls', 6, 2.0], ['t_among_ls', 9, nan]]
    """
    root = Path(folder)
    if (root / "model_predictions").is_dir():
        root = root / "model_predictions"
    check(root.is_dir(), "folder", "one that exists", str(folder), "Check the name.")
    tables = [table for model in sorted(p for p in root.iterdir() if p.is_dir()) for table in _model(model, realign)]
    remedy = f"A model is a folder with files such as {TASKS[0].file}.csv."
    check(tables, "folder", "with a folder for every model", str(root), remedy)
    return pd.concat(tables, ignore_index=True)[list(_COLUMNS)]


def _model(folder: Path, realign: bool) -> Iterator[pd.DataFrame]:
    for task in TASKS:
        path = folder / f"{task.file}.csv"
        if not path.is_file():
            continue
        hits = _read(path)
        if realign and folder.name in _ONE_EARLY:
            hits = np.roll(hits, 1, axis=0)
        n_sizes = len(task.set_sizes)
        remedy = f"Rows are displays in blocks of {', '.join(map(str, task.set_sizes))} items."
        check(len(hits) % n_sizes == 0, str(path), f"a multiple of {n_sizes} rows", f"{len(hits)} rows", remedy)
        n_each = len(hits) // n_sizes
        found = hits.any(axis=1)
        yield pd.DataFrame({
            "model": folder.name, "experiment": task.experiment, "condition": task.condition,
            "set_size": np.repeat(task.set_sizes, n_each), "display": np.tile(np.arange(n_each), n_sizes),
            "found": found, "n_fixations": np.where(found, hits.argmax(axis=1), np.nan), "budget": hits.shape[1] - 1,
        })  # fmt: skip


def _read(path: Path) -> np.ndarray:
    """Return (display, fixation) of truth values."""
    remedy = "It is cut or of another format: fetch it again."
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        rows = [[float(v) for v in line.split(",")] for line in lines]
    except (ValueError, UnicodeDecodeError) as error:
        fail(str(path), "rows of 0 and 1 with commas", str(error), remedy)
    widths = sorted({len(row) for row in rows})
    check(len(widths) == 1, str(path), "rows of one length", f"lengths {widths}", remedy)
    values = np.array(rows)
    good = bool(np.isin(values, (0, 1)).all()) and bool((values.sum(axis=1) <= 1).all())
    check(good, str(path), "rows with a single 1 or none", "other numbers", remedy)
    return values > 0
