"""ViSioNS JSON: scanpaths of visual search, one file a subject, one entry a picture.

Pixels: of the picture, whole numbers at pixel centres, y down (convention "center"); boxes are [y0, x0, y1, x1] from
outer edge to outer edge. The picture lay in the middle of the screen at its own size. The first position of each
scanpath is the one that was held when the picture appeared: it is fixation 0.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..._check import check, fail
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

_KNOWN = ("subject", "target_found", "target_bbox", "X", "Y", "T")
_OWN = ("fixation", "fixation_onset_s", "fixation_eye", "fixation_object_id")


def read_visions(path: str | os.PathLike[str], *, display: Display) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a ViSioNS scanpath file.

    Parameters
    ----------
    path
        The file: an object whose keys are pictures, each with subject, X, Y, T and usually image_height, image_width,
        screen_height, screen_width, target_bbox, target_found and more.
    display
        The screen on which the pictures were shown.

    Returns
    -------
    fixations, trials : pandas.DataFrame
        Trials in the order of the file; the target's box in target_left_deg, target_right_deg, target_bottom_deg and
        target_top_deg; all that the file says of a trial is a column under the file's own name.

    Raises
    ------
    ValueError
        When the file is not JSON, an entry lacks a key, or a picture is larger than the display.

    Warns
    -----
    UserWarning
        When T is longer than X and Y (the benchmark cut positions after the target was found), or the file names
        another screen size than the display's.

    References
    ----------
    F Travi, G Ruarte, G Bujia, J E Kamienkowski (2022). ViSioNS: visual search in natural scenes benchmark. NeurIPS
    Datasets and Benchmarks.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(32, resolution_px=(960, 1280))
    >>> fixations, trials = read_visions("subj06_scanpaths.json", display=screen)     # doctest: +SKIP
    """
    source = Path(path)
    content = read_json(source)
    check(isinstance(content, dict), str(source), "an object, one entry a picture", type(content).__name__)
    rows, paths, n_spare, screens = [], [], 0, set()
    for name, record in content.items():
        where = f"{name!r} of {source}"
        needs(record, ("subject", "X", "Y"), where)
        frame = _frame(display, record.get("image_height"), record.get("image_width"), where)
        scanpath, spare = read_path(record, frame, where)
        row = _row(name, record, frame, where)
        if spare:
            row["unplaced_durations_s"] = tuple(spare)
        rows.append(row)
        paths.append(scanpath)
        n_spare += bool(spare)
        screens.add((record.get("screen_height"), record.get("screen_width")))
    if n_spare:
        warnings.warn(report_spare(n_spare, len(rows), source), stacklevel=2)
    other = {s for s in screens if None not in s and s != display.resolution_px}
    if other:
        told = f"screen sizes {sorted(other)} (h, w) in {source} are not the display's {display.resolution_px}"
        warnings.warn(f"{told}; the display was used", stacklevel=2)
    trial_numbers(rows)
    return assemble(rows, paths, display)


def _frame(display: Display, height: Any, width: Any, where: str) -> Frame:
    """Place a picture in the middle of the display."""
    if height is None or width is None:
        return Frame(display)
    free = display.resolution_px[1] - width, display.resolution_px[0] - height
    if min(free) < 0:
        remedy = "Pass the display on which it was shown."
        fail(f"the picture of {where}", f"within the display {display.resolution_px}", (height, width), remedy)
    return Frame(display, shift=(free[0] / 2, free[1] / 2))


def _row(name: str, record: dict[str, Any], frame: Frame, where: str) -> dict[str, Any]:
    row = {key: value for key, value in record.items() if key not in (*_KNOWN, *_OWN)}
    row |= {"subject": str(record["subject"]), "stimulus_id": name, "found": record.get("target_found")}
    if record.get("target_bbox"):
        box = number_list(record, "target_bbox", where)
        check(len(box) == 4, f"target_bbox of {where}", "[y0, x0, y1, x1]", box)
        row |= frame.box_to_deg([box[1], box[0], box[3], box[2]])
        row.setdefault("target_present", True)
    return row


def write_visions(
    fixations: pd.DataFrame, trials: pd.DataFrame, path: str | os.PathLike[str], *, display: Display
) -> Path:
    """Write a ViSioNS scanpath file; the inverse of `read_visions`.

    Every trial becomes an entry, those without fixations too. Columns that the format lacks, and onsets, eyes and
    object numbers of fixations, are written as further keys when they hold something.

    Parameters
    ----------
    fixations, trials
        Tables of one subject, each stimulus shown once.
    path
        The file.
    display
        The screen. A trial without image_height and image_width has a picture that fills it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        When there are several subjects, or a stimulus has two trials: the format cannot hold them.

    Examples
    --------
    >>> import tempfile, neuroperc as npc
    >>> screen = Display.from_px_per_deg(30, resolution_px=(768, 1024))
    >>> trials = npc.data.make_trials([0, 1], subject="06", stimulus_id=["a.jpg", "b.jpg"], found=[True, False])
    >>> table = npc.data.make_fixations([[0, 0], [5, 2]], subject="06", trial=0, fixation=[0, 1], display=screen)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_visions(table, trials, folder + "/subj06_scanpaths.json", display=screen)
    ...     fixations, again = read_visions(file, display=screen)
    >>> len(fixations), again["found"].tolist()
    (2, [True, False])
    """
    target = Path(path)
    people = sorted(set(trials["subject"]))
    check(len(people) <= 1, "subject", "one in a ViSioNS file", people, "Write one file a subject.")
    twice = trials["stimulus_id"][trials["stimulus_id"].duplicated()]
    check(
        len(twice) == 0, "stimulus_id", "unique in a ViSioNS file", twice.tolist()[:3], "Write repeats to other files."
    )
    content: dict[str, Any] = {}
    for number, (row, frame, scanpath) in enumerate(
        write_paths(fixations, trials, lambda row: _row_frame(display, row))
    ):
        sizes = {"image_height": display.resolution_px[0], "image_width": display.resolution_px[1]}
        sizes |= {"screen_height": display.resolution_px[0], "screen_width": display.resolution_px[1]}
        record: dict[str, Any] = {"subject": row["subject"], **sizes}
        if not pd.isna(row["found"]):
            record["target_found"] = bool(row["found"])
        box = frame.box_to_px(row)
        if box is not None:
            record["target_bbox"] = [box[1], box[0], box[3], box[2]]
        rest = further(row, ("stimulus_id", "subject", "found", "target_present", "trial"))
        present = None if pd.isna(row["target_present"]) else bool(row["target_present"])
        if present != (True if box is not None else None):
            rest["target_present"] = present
        if row["trial"] != number:
            rest["trial"] = row["trial"]
        content[row["stimulus_id"]] = record | scanpath | rest
    write_json(content, target)
    return target


def _row_frame(display: Display, row: Mapping[str, Any]) -> Frame:
    sizes = [row.get(name) for name in ("image_height", "image_width")]
    known = [None if size is None or pd.isna(size) else int(size) for size in sizes]
    return _frame(display, known[0], known[1], str(row["stimulus_id"]))
