"""Amazon book covers (DFKI's STI data set): people search collages of 84 covers for one of them.

Pixels: whole numbers at pixel centres of the collage, y down (convention "center"); boxes hold xmin to xmax and ymin to
ymax, both included. Nothing says whether the first fixation was there at the onset, so paths are counted from 1. Of the
covers only the target's box is known: objects are the cells of a uniform grid.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail, whole_pair
from ...display import Display
from ..fixations.objects import assign_objects
from ..fixations.tables import make_fixations, make_trials
from ._bids_files import read_json
from ._scanpaths import BOX, Frame, needs

_EDGES = ("left_deg", "right_deg", "bottom_deg", "top_deg")


def read_amazon_covers(
    path: str | os.PathLike[str], *, display: Display, grid: tuple[int, int] = (6, 14)
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the Amazon part of the STI data set: fixations, trials and the objects of every collage.

    Parameters
    ----------
    path
        Amazon.json: collage -> fixations of each person, ground_truth box, size, target.
    display
        The screen, on which each collage stands centred with its own pixels. The file names neither screen nor
        distance; collages have up to 1600 by 2560 pixels.
    grid
        (rows, columns) of covers.

    Returns
    -------
    fixations : pandas.DataFrame
        `object_id` is the cell that holds the point, else the nearest one, counted row by row from the top left.
    trials : pandas.DataFrame
        A row a person and collage. `found`: a fixation fell into the target's box; `target`: name of its picture;
        `target_object_id`: its cell; its box is in target_left_deg, target_right_deg, target_bottom_deg and
        target_top_deg.
    objects : pandas.DataFrame
        A row a cell of a collage: stimulus_id, object_id, row, column, x_deg, y_deg, left_deg, right_deg, bottom_deg,
        top_deg.

    Raises
    ------
    ValueError
        When the file is not JSON or of another format, or a collage has no box, no size, or one larger than the screen;
        the collage is named.

    Warns
    -----
    UserWarning
        When two people have the same path of five or more fixations: the code released with OAT copied the last
        person's path to all six.

    References
    ----------
    H Sattar, S Müller, M Fritz, A Bulling (2015). Prediction of search targets from fixations in open-world settings.
    Annotations: S Stauden, M Barz, D Sonntag (2018). Visual search target inference using bag of deep visual words.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(40, resolution_px=(1600, 2560))
    >>> fixations, trials, objects = read_amazon_covers("Amazon.json", display=screen)  # doctest: +SKIP
    """
    source = Path(path)
    records = read_json(source)
    is_object = isinstance(records, Mapping) and len(records) > 0
    check(
        is_object, str(source), "an object of collages", type(records).__name__, "Is it another file of the data set?"
    )
    n_rows, n_columns = whole_pair("grid", grid)
    rows, places, tables = [], [], []
    counts: dict[str, int] = {}
    for name, record in records.items():
        frame, size, box = _collage(record, display, f"{name} of {source}")
        cells = _cells(name, frame, size, (n_rows, n_columns))
        tables.append(cells)
        edges = cells[list(_EDGES)].to_numpy()
        target = frame.box_to_deg([box[0], box[1], box[2] + 1, box[3] + 1])
        middle = [(target[BOX[0]] + target[BOX[1]]) / 2, (target[BOX[2]] + target[BOX[3]]) / 2]
        shared = {"stimulus_id": name, "target": str(record["target"]), **target}
        shared["target_object_id"] = int(assign_objects([middle], edges)[0])
        people = _paths(record["fixations"], f"{name} of {source}")
        for subject, points_px in people.items():
            points = frame.to_deg(points_px)
            trial = counts[subject] = counts.get(subject, -1) + 1
            rows.append({"subject": subject, "trial": trial, "found": _any_inside(points, target), **shared})
            places.append((points, assign_objects(points, edges)))
    _report_copies(places, rows, source)
    return (*_tables(rows, places, display), pd.concat(tables, ignore_index=True))


def _collage(record: Any, display: Display, where: str) -> tuple[Frame, tuple[int, int], list[int]]:
    """Return the collage's frame, its (height, width) and the target's (xmin, ymin, xmax, ymax)."""
    needs(record, ("fixations", "ground_truth", "size", "target"), where)
    needs(record["size"], ("height", "width"), f"size of {where}")
    size = whole_pair(f"size of {where}", (record["size"]["height"], record["size"]["width"]))
    room = [d - s for d, s in zip(display.resolution_px, size, strict=True)]
    check(min(room) >= 0, f"size of {where}", f"within the display's {display.resolution_px}", size,
          "Give the display on which the collages were shown whole.")  # fmt: skip
    boxes = record["ground_truth"]
    check(isinstance(boxes, list) and len(boxes) == 1, f"ground_truth of {where}", "a list of one box", boxes)
    needs(boxes[0], ("xmin", "ymin", "xmax", "ymax"), f"ground_truth of {where}")
    edges = [boxes[0][key] for key in ("xmin", "ymin", "xmax", "ymax")]
    numbers = all(isinstance(v, int | float) for v in edges)
    good = numbers and 0 <= edges[0] < edges[2] < size[1] and 0 <= edges[1] < edges[3] < size[0]
    check(good, f"ground_truth of {where}", f"a box on its {size[0]} by {size[1]} pixels", boxes[0])
    return Frame(display, shift=(room[1] / 2, room[0] / 2)), size, edges


def _cells(name: str, frame: Frame, size: tuple[int, int], grid: tuple[int, int]) -> pd.DataFrame:
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    high, wide = size[0] / grid[0], size[1] / grid[1]
    # Outer edges count from 0 at the left and top of pixel 0, whose centre is 0.
    (left, top), (right, bottom) = (
        frame.to_deg(np.stack(((column + k) * wide, (row + k) * high), -1) - 0.5).T for k in (0, 1)
    )
    middle = frame.to_deg(np.stack(((column + 0.5) * wide, (row + 0.5) * high), -1) - 0.5)
    edges = dict(zip(_EDGES, (left, right, bottom, top), strict=True))
    places = {"stimulus_id": name, "object_id": np.arange(len(row)), "row": row, "column": column}
    return pd.DataFrame({**places, "x_deg": middle[:, 0], "y_deg": middle[:, 1], **edges})


def _paths(people: Any, where: str) -> dict[str, np.ndarray]:
    check(isinstance(people, Mapping), f"fixations of {where}", "an object of people", type(people).__name__)
    found = {}
    for subject, points in people.items():
        try:
            array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
            good = np.shape(points) in (array.shape, (0,)) and bool(np.isfinite(array).all())
        except (TypeError, ValueError):
            good = False
        if not good:
            fail(f"fixations of person {subject} in {where}", "a list of [x, y] pixels", points, "The file is damaged.")
        found[str(subject)] = array
    return found


def _any_inside(points: np.ndarray, target: Mapping[str, float]) -> bool:
    left, right, bottom, top = (target[name] for name in BOX)
    x, y = points.T
    return bool(((x >= left) & (x <= right) & (y >= bottom) & (y <= top)).any())


def _report_copies(places: list[Any], rows: list[dict[str, Any]], source: Path) -> None:
    seen, copies = set(), 0
    for (points, _), row in zip(places, rows, strict=True):
        key = (row["stimulus_id"], points.tobytes())
        copies += len(points) >= 5 and key in seen
        seen.add(key)
    if copies:
        message = f"{copies} paths of {source} are copies of another person's path over the same collage"
        warnings.warn(message + ": statistics count them as people.", stacklevel=3)


def _tables(rows: list[dict[str, Any]], places: list[Any], display: Display) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = pd.DataFrame(rows)
    trials = make_trials(table["trial"], target_present=True, **{str(n): table[n] for n in table if n != "trial"})
    n = [len(points) for points, _ in places]
    which = np.repeat(np.arange(len(n)), n)
    fixations = make_fixations(
        np.concatenate([points for points, _ in places]), subject=table["subject"].to_numpy()[which],
        trial=table["trial"].to_numpy()[which], fixation=np.concatenate([np.arange(1, k + 1) for k in n]),
        object_id=np.concatenate([objects for _, objects in places]), display=display,
    )  # fmt: skip
    return fixations, trials
