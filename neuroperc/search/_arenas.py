"""What a search display offers: cells that can be chosen, where the target is, and what it looks like, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._check import check, fail
from ..color import srgb_to_linear
from ..data import StimulusSet

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Arena:
    """One display: boxes are (top, left, bottom, right) pixels, half open."""

    stimulus_id: str
    shape_px: tuple[int, int]
    px_per_deg: float
    cells: tuple[Box, ...]
    target: Box
    background: float  # linear light


def read_arenas(shown: StimulusSet, regime: str) -> list[Arena]:
    """Return an `Arena` a stimulus.

    Raises
    ------
    ValueError, TypeError
        When the set is not one of pictures, or lacks what the regime needs.
    """
    check(isinstance(shown, StimulusSet), "shown", "a StimulusSet", type(shown).__name__, error=TypeError)
    check(shown.fps is None, "shown", "a set of pictures", f"movies at {shown.fps} fps")
    column = "target_cell" if regime == "items" else "target_width_deg"
    if column not in shown.table or (regime == "items" and "cells" not in shown.truth):
        boxes = "columns target_x_deg, target_y_deg, target_width_deg, target_height_deg"
        needs = "truth['cells'] and a column target_cell" if regime == "items" else boxes
        fail("shown", f"with {needs} for regime={regime!r}", sorted({*shown.table.columns, *shown.truth}),
             "stimuli.search_displays makes such sets.")  # fmt: skip
    remedy = "Give truth={'target_picture': ...}, (n, c, h, w) in sRGB values."
    check("target_picture" in shown.truth, "shown.truth", "with 'target_picture'", sorted(shown.truth), remedy)
    return [_arena(shown, i, name, regime) for i, name in enumerate(shown.ids)]


def _arena(shown: StimulusSet, i: int, name: str, regime: str) -> Arena:
    row, shape = shown.table.iloc[i], shown.shapes[i]
    two = shown.picture_px(i, np.array([[0.0, 0.0], [1e-3, 0.0]]))
    cells: tuple[Box, ...] = ()
    if regime == "items":
        given = np.asarray(shown.truth["cells"][i], dtype=float)
        cells = _boxes(shown, i, given[np.isfinite(given).all(-1)])
        index = int(row["target_cell"])
        check(0 <= index < len(cells), f"target_cell of {name!r}", f"one of its {len(cells)} cells", index)
        target = cells[index]
    else:
        names = ("target_x_deg", "target_y_deg", "target_width_deg", "target_height_deg")
        (target,) = _boxes(shown, i, np.array([[float(row[n]) for n in names]]))
    inside = target[0] < shape[-2] and target[1] < shape[-1] and target[2] > 0 and target[3] > 0
    empty = target[0] >= target[2] or target[1] >= target[3]
    check(inside and not empty, f"the target of {name!r}", "on the picture", f"pixels {target} of {shape[-2:]}",
          "Without a target there is nothing to find.")  # fmt: skip
    ground = float(srgb_to_linear(np.float64(row["background"]))) if "background" in row else 0.0
    density = float((two[1, 0] - two[0, 0]) * 1e3)
    return Arena(name, (shape[-2], shape[-1]), density, cells, target, ground)


def _boxes(shown: StimulusSet, i: int, places_deg: np.ndarray) -> tuple[Box, ...]:
    """Return the pixels whose centres lie in boxes (m, 4) of x, y, width, height; neighbours share none."""
    bad = ~np.isfinite(places_deg).all(-1) | (places_deg[:, 2:] <= 0).any(-1)
    check(not bad.any(), "a box", "finite (x, y, width, height) in degrees", places_deg[bad][:1].tolist())
    middle, half = places_deg[:, :2], places_deg[:, 2:] / 2
    corners = shown.picture_px(i, np.stack([middle + half * (-1, 1), middle + half * (1, -1)], 1))
    edges = np.ceil(np.round(corners, 6)).astype(int)  # a pixel on an edge belongs to the box on its right or below
    return tuple((top, left, bottom, right) for (left, top), (right, bottom) in edges.tolist())


def target_pictures(shown: StimulusSet) -> Tensor:
    """Return the targets' pictures (n, c, h, w), linear light."""
    pictures = np.asarray(shown.truth["target_picture"])
    good = pictures.ndim == 4 and pictures.dtype.kind == "f"
    check(good, "truth['target_picture']", "floating pictures (n, c, h, w)", f"{pictures.dtype} {pictures.shape}")
    return torch.from_numpy(np.asarray(srgb_to_linear(pictures)))
