"""Fixation vectors: a table a scanpath, with start_x, start_y (pixels) and duration (s), as MultiMatch tools read.

Pixels: whole numbers at pixel centres, y down (convention "center"). A file holds one trial; its first position is the
one that was held when the picture appeared: it is fixation 0.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail
from ...display import Display
from ..fixations.columns import KEY, KINDS
from ..fixations.pixels import deg_to_pixels, pixels_to_deg
from ..fixations.tables import check_fixations, check_trials, make_fixations, make_trials
from ._bids_files import numbers, read_table, write_table

_COLUMNS = ["start_x", "start_y", "duration"]
_TRIALS = "trials.tsv"


def read_fixation_vectors(
    path: str | os.PathLike[str],
    *,
    display: Display,
    pattern: str = r"(?:segment|trial)[_-](?P<trial>-?\d+)(?:_sub-(?P<subject>[^_.]+))?(?:_ses-(?P<session>[^_.]+))?",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Read fixation vectors: one file, or all ``.tsv`` files of a folder.

    Parameters
    ----------
    path
        A file with the columns start_x, start_y, duration, or a folder of such files; a ``trials.tsv`` beside them, as
        `write_fixation_vectors` writes it, says what else is known of the trials.
    display
        The screen whose pixels are counted.
    pattern
        Regular expression for file names with the groups trial and, where there are several, subject and session. A
        single file that does not match is trial 0.

    Returns
    -------
    fixations, trials : pandas.DataFrame
        A file without rows is a trial without fixations.

    Raises
    ------
    ValueError
        When there is no file, a column is missing, a number cannot be read, or a name in a folder does not match.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(40, resolution_px=(720, 1280))
    >>> fixations, trials = read_fixation_vectors("fixvectors/", display=screen)      # doctest: +SKIP
    """
    source = Path(path)
    files = sorted(p for p in source.glob("*.tsv") if p.name != _TRIALS) if source.is_dir() else [source]
    check(files, "path", "a folder with .tsv files", str(source), "Check the name.")
    keys, tables = [], []
    for file in files:
        found = re.search(pattern, file.name)
        if found is None and source.is_dir():
            fail(
                "pattern",
                f"one that matches {file.name}",
                f"r'{pattern}'",
                "Give a pattern with the groups trial, subject.",
            )
        groups = found.groupdict("") if found else {"trial": "0"}
        keys.append(
            {"subject": groups.get("subject", ""), "session": groups.get("session", ""), "trial": groups["trial"]}
        )
        table = read_table(file)
        missing = [name for name in _COLUMNS if name not in table]
        remedy = "Fixation vectors are tables with tabs."
        check(not missing, str(file), f"with the columns {', '.join(_COLUMNS)}", list(table), remedy)
        tables.append(np.stack([numbers(table, name, file) for name in _COLUMNS], -1))
    listed = source / _TRIALS
    trials = _read_trials(listed) if source.is_dir() and listed.is_file() else make_trials(**_columns(keys))
    n = [len(table) for table in tables]
    key = pd.DataFrame(keys).loc[np.repeat(np.arange(len(keys)), n)].reset_index(drop=True)
    values = np.concatenate(tables)
    points = pixels_to_deg(values[:, :2], display, convention="center")
    number = np.concatenate([np.arange(k) for k in n])
    fixations = make_fixations(points, fixation=number, duration_s=values[:, 2], display=display, **_columns(key))
    return check_fixations(fixations, trials), trials


def _columns(keys: Any) -> dict[str, Any]:
    table = pd.DataFrame(keys)
    return {name: table[name] for name in KEY}


def _read_trials(path: Path) -> pd.DataFrame:
    table = read_table(path)
    check(
        "trial" in table, str(path), "with the column trial", list(table), "Remove it to take trials from file names."
    )
    columns: dict[str, Any] = {}
    for name in table:
        kind = KINDS.get(str(name))
        values = table[name].replace("", "False") if kind == "yes/no" else table[name]
        columns[str(name)] = numbers(table, str(name), path) if kind in ("number", "count") else values
    return make_trials(**columns)


def write_fixation_vectors(
    fixations: pd.DataFrame, trials: pd.DataFrame, folder: str | os.PathLike[str], *, display: Display
) -> Path:
    """Write a fixation-vector file a trial, ``trial_<trial>_sub-<subject>[_ses-<session>].tsv``, and ``trials.tsv``.

    The format has no place for onsets, eyes and object numbers; positions, durations and all columns of Trials come
    back from `read_fixation_vectors`.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ValueError
        When a trial has two eyes, fixations that do not begin at 0 and follow one another, or an unknown place.

    Examples
    --------
    >>> import tempfile, neuroperc as npc
    >>> screen = Display.from_px_per_deg(40, resolution_px=(720, 1280))
    >>> trials = npc.data.make_trials([0, 1], subject="01")
    >>> table = npc.data.make_fixations([[0, 0], [5, 2]], subject="01", trial=0, fixation=[0, 1], display=screen)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fixations, again = read_fixation_vectors(write_fixation_vectors(table, trials, folder, display=screen),
    ...                                              display=screen)
    >>> len(fixations), len(again)
    (2, 2)
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    table = check_fixations(fixations, trials).sort_values([*KEY, "fixation"], kind="stable")
    points = np.round(deg_to_pixels(table[["x_deg", "y_deg"]], display, convention="center"), 9)
    check(bool(np.isfinite(points).all()), "fixations", "of known places", "NaN", "Drop fixations without a place.")
    table = table.assign(start_x=points[:, 0], start_y=points[:, 1], duration=table["duration_s"])
    groups = dict(iter(table.groupby(list(KEY), sort=False)))
    for key in check_trials(trials)[list(KEY)].itertuples(index=False, name=None):
        rows = groups.get(key, table.iloc[:0])
        whole = rows["fixation"].tolist() == list(range(len(rows)))
        check(whole, f"fixation of trial {key}", "0, 1, 2, ... of one eye", rows["fixation"].tolist()[:10])
        subject, session, trial = key
        wrong = [name for name in (subject, session) if not re.fullmatch(r"[^_./\\]*", name)]
        check(not wrong, "subject and session", "without _ . and slashes", wrong, "They are part of the file's name.")
        parts = [f"trial_{trial}", f"sub-{subject}" if subject else "", f"ses-{session}" if session else ""]
        name = "_".join(part for part in parts if part)
        write_table(rows[_COLUMNS], root / f"{name}.tsv", header=True)
    write_table(trials, root / _TRIALS, header=True)
    return root
