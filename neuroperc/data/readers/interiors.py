"""Interiors: 57 people searching 134 indoor photographs, as one MATLAB struct array with a record a trial.

Pixels: MATLAB's, (1, 1) is the centre of the photograph's first pixel, y down (convention "one_based"). A target's
rectangle [x0, y0, x1, y1] has 72 by 72 pixels from x0, y0 on; cut out so, it is the target's own picture.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..._check import check, one_of
from ...display import Display
from ._matlab import numbers, read_struct_array
from ._scanpaths import Frame, assemble

Positions = Literal["recorded", "released"]
_FIELDS = (
    "subj", "image_name", "target_name", "trial_order", "image_size", "screen_size", "target_rect",
    "nsaccades_allowed", "initial_position", "target_found", "search_rt", "x", "y", "t", "dur", "old",
)  # fmt: skip


def read_interiors(
    path: str | os.PathLike[str], *, display: Display, positions: Positions = "recorded"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the Interiors data set.

    Parameters
    ----------
    path
        ``info_all_subj.mat``.
    display
        The screen; photographs lay in its middle at their own size. The file has no viewing distance, and two screen
        sizes (1280 by 960 and 1280 by 1024, in the trials' columns screen_width and screen_height).
    positions
        "recorded": the positions before the data set's last step of processing, which the file keeps too. That step
        dropped some fixations (most of them beside the photograph), cut coordinates to its edges, and moved the paths
        of every trial whose target was not found by (96, 128) or (128, 128) pixels: the margins around the photograph,
        in the wrong order or twice. Paths end where the released ones do. "released": x and y as the file has them.

    Returns
    -------
    fixations, trials : pandas.DataFrame
        Fixation 0 is held when the photograph appears; onsets are from its beginning. Fixations say whether they are
        ``on_picture``. People are numbered in the order of the file ("01", "02", ...; the file has their initials).
        Trials: number of saccades allowed (n_saccades_allowed, and as condition), found, rt_s, the target's box
        (target_left_deg, target_right_deg, target_bottom_deg, target_top_deg) and picture (target_name), the required
        first position (initial_x_deg, initial_y_deg), image_height, image_width, screen_height, screen_width. Trials
        without fixations stay.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, cut or another one, lists of a trial differ in length, or a photograph does not fit
        on the display.

    References
    ----------
    M Sclar, G Bujia, S Vita, G Solovey, J E Kamienkowski (2020). Modeling human visual search. arXiv:2009.08373.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(32, resolution_px=(960, 1280))
    >>> fixations, trials = read_interiors("info_all_subj.mat", display=screen)        # doctest: +SKIP
    >>> trials.groupby("n_saccades_allowed")["found"].mean()                           # doctest: +SKIP
    """
    one_of("positions", positions, ("recorded", "released"))
    source = Path(path)
    records = read_struct_array(source, _FIELDS)
    names = dict.fromkeys(str(record.subj) for record in records)
    people = {name: f"{number:02d}" for number, name in enumerate(names, start=1)}
    frames: dict[tuple[int, int], Frame] = {}
    rows, paths, inside = [], [], []
    for number, record in enumerate(records):
        where = f"record {number} of {source}"
        size = _size(record, "image_size", where)
        frame = frames.setdefault(size, _frame(display, size, where))
        points_px, onset_ms, duration_ms = _path(record, positions, where)
        rows.append(_row(record, people[str(record.subj)], frame, size, where))
        inside.append(_inside(points_px, size))
        paths.append({
            "points": frame.to_deg(points_px), "fixation": np.arange(len(points_px)), "duration_s": duration_ms / 1000,
            "onset_s": (onset_ms - onset_ms[:1]) / 1000,
        })  # fmt: skip
    fixations, trials = assemble(rows, paths, display)
    return fixations.assign(on_picture=np.concatenate(inside)), trials


def _path(record: Any, positions: str, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n, 2) pixels from 0, and begins and durations in milliseconds."""
    x, y, t, duration = _lists(record, where)
    if positions == "recorded":
        last = t[-1:] if record.target_found else np.array([])
        x, y, t, duration = _lists(record.old, f"old of {where}")
        if last.size:
            check(last[0] in t, f"t of {where}", "among the recorded times", float(last[0]), "The file is damaged.")
            n = int(np.flatnonzero(t == last[0])[0]) + 1
            x, y, t, duration = x[:n], y[:n], t[:n], duration[:n]
    return np.stack((x, y), -1) - 1, t, duration


def _lists(record: Any, where: str) -> list[np.ndarray]:
    lists = [numbers(record, name, where) for name in ("x", "y", "t", "dur")]
    lengths = [len(values) for values in lists]
    check(len(set(lengths)) == 1, f"x, y, t and dur of {where}", "of one length", lengths, "The file is damaged.")
    return lists


def _size(record: Any, name: str, where: str) -> tuple[int, int]:
    size = numbers(record, name, where)
    check(len(size) == 2 and bool((size > 0).all()), f"{name} of {where}", "(height, width)", size.tolist())
    return int(size[0]), int(size[1])


def _frame(display: Display, size: tuple[int, int], where: str) -> Frame:
    free = display.resolution_px[1] - size[1], display.resolution_px[0] - size[0]
    remedy = "Pass the display on which it was shown."
    check(min(free) >= 0, f"the picture of {where}", f"within the display {display.resolution_px}", size, remedy)
    return Frame(display, shift=(free[0] / 2, free[1] / 2))


def _inside(points_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    index = np.floor(points_px + 0.5)
    return np.asarray(((index >= 0) & (index < (size[1], size[0]))).all(-1))


def _row(record: Any, subject: str, frame: Frame, size: tuple[int, int], where: str) -> dict[str, Any]:
    box = numbers(record, "target_rect", where)
    check(len(box) == 4, f"target_rect of {where}", "[x0, y0, x1, y1]", box.tolist())
    start = numbers(record, "initial_position", where)
    check(len(start) == 2, f"initial_position of {where}", "(x, y)", start.tolist())
    x, y = frame.to_deg(start - 1)[0]
    n_allowed, rt_s = int(record.nsaccades_allowed), float(record.search_rt)
    screen = _size(record, "screen_size", where)
    return {
        "subject": subject, "trial": int(record.trial_order), "stimulus_id": Path(str(record.image_name)).stem,
        "condition": f"{n_allowed} saccades", "target_present": True, "found": bool(record.target_found),
        "rt_s": rt_s, "n_saccades_allowed": n_allowed, "target_name": Path(str(record.target_name)).stem,
        **frame.box_to_deg((box - 1).tolist()), "initial_x_deg": float(x), "initial_y_deg": float(y),
        "image_height": size[0], "image_width": size[1], "screen_height": screen[0], "screen_width": screen[1],
    }  # fmt: skip
