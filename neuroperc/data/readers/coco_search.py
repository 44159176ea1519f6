"""COCO-Search18 JSON: scanpaths of people who search photographs for one of 18 objects.

Pixels: EyeLink's, whole numbers at pixel centres, y down (convention "center"); boxes are [x, y, width, height] from
the outer edge of their top-left pixel. The first position of each scanpath is the one that was held when the picture
appeared: it is fixation 0. The files say how long fixations lasted, not when they began.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from ..._check import check, pair
from ...display import Display
from ._bids_files import read_json, write_json
from ._scanpaths import (
    Frame,
    assemble,
    further,
    needs,
    number_list,
    read_path,
    report_spare,
    trial_numbers,
    write_paths,
)

_KNOWN = ("name", "subject", "condition", "bbox", "X", "Y", "T", "length", "correct", "fixOnTarget", "RT")
_BLANK = "condition_inferred"  # our key: the trial has no condition, the record's follows from target_present
_OWN = (_BLANK, "fixation", "fixation_onset_s", "fixation_eye", "fixation_object_id")


def read_coco_search(
    path: str | os.PathLike[str], *, display: Display, size_px: tuple[float, float] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a COCO-Search18 JSON file.

    Parameters
    ----------
    path
        The file: a list of records with name, subject, X, Y, T and usually task, condition, bbox, length, correct,
        fixOnTarget, RT, split.
    display
        The screen, which the pictures filled: 1050 by 1680 pixels in the experiment.
    size_px
        (height, width) of the pictures whose pixels the file counts, when they are not the display's: (320, 512) in
        files made for training networks.

    Returns
    -------
    fixations, trials : pandas.DataFrame
        Positions off the screen are kept, with `on_screen` False. The target's box is in the columns target_left_deg,
        target_right_deg, target_bottom_deg and target_top_deg; task and split are columns too. Trials are numbered in
        the order of the file for each subject.

    Raises
    ------
    ValueError
        When the file is not JSON, a record lacks a key, or X and Y differ in length; file and record are named.

    Warns
    -----
    UserWarning
        When T is longer than X and Y, or `length` is not their length.

    References
    ----------
    Y Chen, Z Yang, S Ahn, D Samaras, M Hoai, G Zelinsky (2021). COCO-Search18 fixation dataset for predicting
    goal-directed attention control. doi:10.1038/s41598-021-87715-9

    Examples
    --------
    >>> screen = Display.from_px_per_deg(30, resolution_px=(1050, 1680))
    >>> fixations, trials = read_coco_search("coco_search18_fixations_TP_train.json", display=screen)  # doctest: +SKIP
    """
    source = Path(path)
    records = read_json(source)
    check(
        isinstance(records, list), str(source), "a list of scanpaths", type(records).__name__, "Is it ViSioNS' format?"
    )
    frame = _frame(display, size_px)
    rows, paths, n_spare, n_odd = [], [], 0, 0
    for number, record in enumerate(records):
        where = f"record {number} of {source}"
        needs(record, ("name", "subject", "X", "Y", "T"), where)
        scanpath, spare = read_path(record, frame, where)
        row = _row(record, frame, where)
        if spare:
            row["unplaced_durations_s"] = tuple(spare)
        rows.append(row)
        paths.append(scanpath)
        n_spare += bool(spare)
        n_odd += record.get("length", len(scanpath["points"])) != len(scanpath["points"])
    if n_spare:
        warnings.warn(report_spare(n_spare, len(records), source), stacklevel=2)
    if n_odd:
        warnings.warn(f"length is not that of X and Y in {n_odd} of {len(records)} records of {source}", stacklevel=2)
    trial_numbers(rows)
    return assemble(rows, paths, display)


def _frame(display: Display, size_px: tuple[float, float] | None) -> Frame:
    height, width = display.resolution_px if size_px is None else pair("size_px", size_px)
    return Frame(display, (display.resolution_px[1] / width, display.resolution_px[0] / height))


def _row(record: dict[str, Any], frame: Frame, where: str) -> dict[str, Any]:
    row = {key: value for key, value in record.items() if key not in (*_KNOWN, *_OWN)}
    condition = str(record.get("condition") or "")
    row.setdefault("target_present", {"present": True, "absent": False}.get(condition))
    condition = "" if record.get(_BLANK) else condition
    row |= {"subject": str(record["subject"]), "stimulus_id": record["name"], "condition": condition}
    row |= {"correct": record.get("correct"), "found": record.get("fixOnTarget")}
    if record.get("RT") is not None:
        row["rt_s"] = record["RT"] / 1000
    if record.get("bbox"):
        box = number_list(record, "bbox", where)
        check(len(box) == 4, f"bbox of {where}", "[x, y, width, height]", box)
        row |= frame.box_to_deg([box[0], box[1], box[0] + box[2], box[1] + box[3]])
    return row


def write_coco_search(
    fixations: pd.DataFrame,
    trials: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    display: Display,
    size_px: tuple[float, float] | None = None,
) -> Path:
    """Write a COCO-Search18 JSON file; the inverse of `read_coco_search`, to which it leaves the words.

    Every trial becomes a record, those without fixations too. Columns that the format lacks, and onsets, eyes and
    object numbers of fixations, are written as further keys when they hold something.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> import tempfile, neuroperc as npc
    >>> screen = Display.from_px_per_deg(30, resolution_px=(1050, 1680))
    >>> trials = npc.data.make_trials([0, 1], subject="1", stimulus_id=["a.jpg", "b.jpg"], condition="present")
    >>> table = npc.data.make_fixations([[0, 0], [5, 2]], subject="1", trial=0, fixation=[0, 1], display=screen)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_coco_search(table, trials, folder + "/paths.json", display=screen)
    ...     fixations, again = read_coco_search(file, display=screen)
    >>> len(fixations), len(again)
    (2, 2)
    """
    target = Path(path)
    frame = _frame(display, size_px)
    records = []
    counts: dict[str, int] = {}
    for row, _, scanpath in write_paths(fixations, trials, lambda row: frame):
        record = {"name": row["stimulus_id"], "subject": _as_number(row["subject"]), "condition": _condition(row)}
        box = frame.box_to_px(row)
        if box is not None:
            record["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        record |= scanpath | {"length": len(scanpath["X"])}
        record |= _answers(row)
        rest = further(
            row, ("stimulus_id", "subject", "condition", "target_present", "correct", "found", "rt_s", "trial")
        )
        person = row["subject"] + "\n" + row["session"]
        if row["trial"] != counts.get(person, 0):
            rest["trial"] = row["trial"]
        if _present(row["target_present"]) != {"present": True, "absent": False}.get(record["condition"]):
            rest["target_present"] = _present(row["target_present"])
        if record["condition"] != row["condition"]:
            rest[_BLANK] = True
        counts[person] = counts.get(person, 0) + 1
        records.append(record | rest)
    write_json(records, target)
    return target


def _condition(row: dict[str, Any]) -> str:
    present = _present(row["target_present"])
    return row["condition"] or ("" if present is None else "present" if present else "absent")


def _present(value: Any) -> bool | None:
    return None if pd.isna(value) else bool(value)


def _answers(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not pd.isna(row["correct"]):
        found["correct"] = int(row["correct"])
    if not pd.isna(row["found"]):
        found["fixOnTarget"] = bool(row["found"])
    if not pd.isna(row["rt_s"]):
        found["RT"] = round(row["rt_s"] * 1000, 9)
    return found


def _as_number(name: str) -> int | str:
    """Subjects are numbers in these files; other names stay text."""
    return int(name) if name.isdecimal() and str(int(name)) == name else name
