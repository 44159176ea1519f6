"""Visual search displays: items in the cells of a grid, in degrees, with item tables and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from .._check import as_rng, check, fail, integer, one_of
from ..data import StimulusSet
from ..data.readers.pictures import jpeg_codes
from ..display import Display
from ._search_designs import DESIGNS, Design
from ._search_tiles import Tile, side_px

Polarity = Literal["paper", "reversed"]

#: The tasks that `search_displays` knows.
SEARCH_TASKS: tuple[str, ...] = tuple(DESIGNS)

_PAPER_PX_PER_DEG = 30.0
_BOX = ("x_deg", "y_deg", "width_deg", "height_deg")
_NUMBERS = ("cell", *_BOX, "angle_deg", "is_target", "variant")


@dataclass(frozen=True)
class _Item:
    number: int
    cell: int
    corner: tuple[int, int]  # (left, top) in pixels
    tile: Tile
    is_target: bool


@dataclass(frozen=True)
class _Scene:
    """The pixels of a design on a display: everything that its displays share."""

    design: Design
    display: Display
    n_px: int
    tile_px: int
    n_jitter: int
    ground_code: int
    targets: tuple[Tile, ...]
    distractors: tuple[Tile, ...]

    def edges(self) -> np.ndarray:
        """Pixel at which each row or column of cells begins, and where the last one ends."""
        n = self.design.n_grid
        return np.floor(np.arange(n + 1) * self.n_px / n).astype(int)

    def boxes_deg(self, boxes_px: np.ndarray) -> np.ndarray:
        """(m, 4) of left, top, right, bottom outer edges in picture pixels to x, y, width, height in degrees."""
        shift = np.asarray(self.display.center_px) - self.n_px / 2
        corners = self.display.to_deg(boxes_px.reshape(-1, 2, 2) + shift)
        middle = self.display.to_deg(boxes_px.reshape(-1, 2, 2).mean(1) + shift)
        return np.concatenate([middle, np.abs(corners[:, 1] - corners[:, 0])], -1)


def search_displays(
    display: Display | None,
    name: str,
    *,
    set_size: int | Sequence[int] | None = None,
    n: int | None = None,
    polarity: Polarity = "paper",
    jpeg_quality: int | None = None,
    rng: int | np.random.Generator,
) -> StimulusSet:
    """Make search displays: one target among distractors, each in a cell of its own, jittered inside it.

    Parameters
    ----------
    display
        The monitor; the square display lies in its middle, drawn at its pixels per degree. None is the paper's own:
        30 pixels per degree, no larger than the display.
    name
        The task, one of `SEARCH_TASKS`. The six asymmetries of Gupta et al. [1]_ are "curve_among_lines" and
        "line_among_curves" (white on black); "vertical_shading" and "horizontal_shading" (discs on grey, target
        brighter at the top among brighter at the bottom, or left among right); "non_cross_among_crosses" and
        "cross_among_non_crosses"; "t_among_ls" and "l_among_ts"; "tilted_among_vertical" and "vertical_among_tilted";
        "vertical_among_mixed" and "tilted_among_mixed" (black on white). Further tasks of our own design:
        "turned_t_among_ls", "turned_l_among_ts", "two_among_fives", "five_among_twos", "feature" (red among green
        bars) and "conjunction" (red vertical among green vertical and red horizontal).
    set_size
        Items on a display, target included: one number or several. Default: the experiment's.
    n
        Displays for each set size. Default: the experiment's.
    polarity
        "paper", or "reversed": every code c becomes 255 - c (a disc lit from above is then lit from below).
    jpeg_quality
        Pass displays and targets through a JPEG of this quality, 1 to 95; the authors' own pictures were JPEGs of
        unknown quality. None leaves them exact.
    rng
        Seed or generator. The first displays do not depend on `n`.

    Returns
    -------
    StimulusSet
        Pictures (1 or 3, h, w) with ``encoding="srgb"``: value x 255 is the 8-bit code that the paper shows its
        networks; `to_encoding("linear")` gives their light. Columns of the table: experiment, condition, set_size,
        px_per_deg, target_x_deg, target_y_deg, target_width_deg, target_height_deg, target_cell (row by row from the
        top left), background (sRGB value) and target (same number, same target picture). In `truth`, a row a stimulus:
        ``masks`` (h, w) uint8, 0 or one more than the number of the item whose ink it is; ``target_picture`` (c, h, w)
        in sRGB values, the target's tile as it stands in the display; ``items`` and ``item_kind``, ``cells``: read
        them with `item_table` and `cell_table`.

    Raises
    ------
    ValueError
        For an unknown task, more items than cells, a display smaller than the view, or pixels too coarse for the
        items' strokes.

    Notes
    -----
    Jitter is uniform over whole pixels, below the whole number of pixels by which the cell exceeds the item. The
    target's number among the items is random. What the published description leaves open is ours: bars that end
    between pixels are drawn by area, and a target picture has the orientation of the target on that display.

    References
    ----------
    .. [1] S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans share
       similar inherent biases. NeurIPS. Stimuli as in the released generators.
    .. [2] J M Wolfe (1998). Visual search. In H Pashler (ed.), Attention: T among L, 2 among 5, features and
       conjunctions.

    Examples
    --------
    >>> shown = search_displays(None, "curve_among_lines", set_size=(8, 16), n=2, rng=0)
    >>> len(shown), shown[0].shape, shown.table["set_size"].tolist()
    (4, torch.Size([1, 339, 339]), [8, 8, 16, 16])
    >>> item_table(shown).groupby("kind").size().to_dict()
    {'curve': 4, 'line': 44}
    """
    one_of("name", name, SEARCH_TASKS)
    design = DESIGNS[name]
    sizes = _set_sizes(design.set_sizes if set_size is None else set_size, design)
    count = design.n_displays if n is None else integer("n", n)
    scene = _scene(design, display, one_of("polarity", polarity, ("paper", "reversed")))
    if jpeg_quality is not None:
        quality = integer("jpeg_quality", jpeg_quality)
        check(quality <= 95, "jpeg_quality", "1 to 95", quality, "Leave it out for exact pictures.")
    seeds = [each for size_rng in as_rng(rng).spawn(len(sizes)) for each in size_rng.spawn(count)]
    layouts = [_layout(scene, m, seed) for m, seed in zip(np.repeat(sizes, count).tolist(), seeds, strict=True)]
    ids = [f"{name}-{m:02d}-{k:03d}" for m in sizes for k in range(count)]
    return _assemble(scene, name, ids, layouts, jpeg_quality)


def item_table(stimuli: StimulusSet) -> pd.DataFrame:
    """Return the items of search displays, a row an item.

    Parameters
    ----------
    stimuli
        What `search_displays` made, or a part of it.

    Returns
    -------
    pandas.DataFrame
        stimulus_id, item, cell, x_deg, y_deg (middle of its tile), width_deg, height_deg, kind, angle_deg (long axis,
        counter-clockwise from horizontal), is_target, variant.

    Raises
    ------
    ValueError
        When the set holds no items.

    Examples
    --------
    >>> shown = search_displays(None, "conjunction", set_size=3, n=1, rng=0)
    >>> item_table(shown)["is_target"].sum()
    np.int64(1)
    """
    items, kinds = _truth(stimuli, "items"), _truth(stimuli, "item_kind")
    shown = np.isfinite(items[..., 0])
    table = pd.DataFrame(items[shown], columns=pd.Index(_NUMBERS))
    table = table.astype({"cell": int, "is_target": bool, "variant": int})
    row, number = np.nonzero(shown)
    table.insert(0, "stimulus_id", np.asarray(stimuli.ids)[row])
    table.insert(1, "item", number)
    table.insert(7, "kind", kinds[shown])
    return table


def cell_table(stimuli: StimulusSet) -> pd.DataFrame:
    """Return the cells of search displays, a row a cell: stimulus_id, cell, x_deg, y_deg, width_deg, height_deg.

    Cells count row by row from the top left; together they cover the display, and each holds one item or none.

    Parameters
    ----------
    stimuli
        What `search_displays` made, or a part of it.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        When the set holds no cells.

    Examples
    --------
    >>> shown = search_displays(None, "t_among_ls", set_size=3, n=2, rng=0)
    >>> len(cell_table(shown))
    18
    """
    cells = _truth(stimuli, "cells")
    table = pd.DataFrame(cells.reshape(-1, 4), columns=pd.Index(_BOX))
    table.insert(0, "stimulus_id", np.repeat(stimuli.ids, cells.shape[1]))
    table.insert(1, "cell", np.tile(np.arange(cells.shape[1]), len(stimuli)))
    return table


def _truth(stimuli: StimulusSet, name: str) -> np.ndarray:
    if not isinstance(stimuli, StimulusSet) or name not in stimuli.truth:
        found = list(stimuli.truth) if isinstance(stimuli, StimulusSet) else type(stimuli).__name__
        fail("stimuli", f"search displays, with truth[{name!r}]", found, "Make them with search_displays.")
    return stimuli.truth[name]


def _set_sizes(set_size: Any, design: Design) -> list[int]:
    single = np.ndim(set_size) == 0
    sizes = [integer("set_size", m) for m in ([set_size] if single else set_size)]
    most = design.n_grid**2
    check(sizes, "set_size", "one number or more", "none")
    check(max(sizes) <= most, "set_size", f"at most {most}, the cells of the grid", max(sizes), "Show fewer items.")
    check(len(set(sizes)) == len(sizes), "set_size", "different numbers", sizes, "Use n for more displays.")
    return sizes


def _scene(design: Design, display: Display | None, polarity: str) -> _Scene:
    density = _PAPER_PX_PER_DEG if display is None else display.px_per_deg
    n_px, tile_px = side_px(design.view_deg, density), side_px(design.item_deg, density)
    if display is None:
        display = Display.from_px_per_deg(density, resolution_px=(n_px, n_px))
    fits = min(display.resolution_px) >= n_px
    remedy = "Use a larger display, fewer pixels per degree, or None for the paper's own."
    check(
        fits, "display", f"at least {design.view_deg} degrees ({n_px} px) high and wide", display.resolution_px, remedy
    )
    fine = density * design.finest_deg >= 1 - 1e-9
    rule = f"of at least {1 / design.finest_deg:.3g} pixels per degree, one for the thinnest stroke"
    check(fine, "display", rule, f"{density:.3g}", "Use a finer display.")
    n_jitter = int((design.view_deg / design.n_grid - design.item_deg) * density + 1e-9)
    check(n_jitter >= 1, "display", "fine enough for items to fit into their cells", f"{density:.3g} px per deg")
    targets, distractors = design.tiles(density)
    ground = design.ground_code
    if polarity == "reversed":
        ground = 255 - ground
        targets, distractors = (
            tuple(Tile(t.kind, t.variant, t.angle_deg, 255 - t.codes) for t in looks)
            for looks in (targets, distractors)
        )
    return _Scene(design, display, n_px, tile_px, n_jitter, ground, targets, distractors)


def _negative(tile: Tile) -> Tile:
    return replace(tile, codes=255 - tile.codes)


def _layout(scene: _Scene, m: int, rng: np.random.Generator) -> list[_Item]:
    """Choose cells, places, the target and every item's look."""
    design, edges = scene.design, scene.edges()
    cells = rng.permutation(design.n_grid**2)[:m]
    jitter = rng.integers(scene.n_jitter, size=(m, 2))
    target = int(rng.integers(m))
    looks = _looks(design.rule, len(scene.distractors), m, rng)
    target_look = int(_looks(design.rule, len(scene.targets), m, rng)[target])
    others = iter(looks) if design.rule == "balanced" else iter(np.delete(looks, target))
    items = []
    for number, cell in enumerate(cells.tolist()):
        row, column = divmod(cell, design.n_grid)
        corner = int(edges[column] + jitter[number, 0]), int(edges[row] + jitter[number, 1])
        is_target = number == target
        tile = scene.targets[target_look] if is_target else scene.distractors[int(next(others))]
        items.append(_Item(number, cell, corner, tile, is_target))
    return items


def _looks(rule: str, n_looks: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """Return the number of a look for each of m items."""
    if rule == "cycle":
        return np.arange(m) % n_looks
    if rule == "random":
        return rng.integers(n_looks, size=m)
    rounds = np.tile(np.arange(n_looks), (-(-m // n_looks), 1))
    return rng.permuted(rounds, axis=1).reshape(-1)[:m]


def _assemble(scene: _Scene, name: str, ids: list[str], layouts: list[list[_Item]], quality: int | None) -> StimulusSet:
    longest = max(len(items) for items in layouts)
    drawn = [_draw(scene, items) for items in layouts]
    targets = [next(item for item in items if item.is_target) for items in layouts]
    pictures = [t.tile.codes for t in targets]
    codes = [c for c, _ in drawn]
    if quality is not None:
        codes, pictures = ([jpeg_codes(c, quality) for c in part] for part in (codes, pictures))
    items = [_numbers(scene, each, longest) for each in layouts]
    cells = _cells_deg(scene)
    table = pd.DataFrame({
        "experiment": scene.design.experiment, "condition": name, "set_size": [len(each) for each in layouts],
        "px_per_deg": scene.display.px_per_deg,
        **{f"target_{column}": [row[t.number, 1 + k] for row, t in zip(items, targets, strict=True)]
           for k, column in enumerate(_BOX)},
        "target_cell": [t.cell for t in targets], "background": scene.ground_code / 255,
        "target": [t.tile.variant for t in targets],
    }, index=pd.Index(ids, name="stimulus_id"))  # fmt: skip
    truth = {
        "masks": np.stack([mask for _, mask in drawn]),
        "items": np.stack(items),
        "item_kind": np.array([[i.tile.kind for i in each] + [""] * (longest - len(each)) for each in layouts]),
        "cells": np.broadcast_to(cells, (len(ids), *cells.shape)),
        "target_picture": (np.stack(pictures) / 255).astype(np.float32),
    }
    values = [(c / 255).astype(np.float32) for c in codes]
    size = scene.display.crop((scene.n_px, scene.n_px)).extent_deg
    return StimulusSet.from_arrays(
        values, display=scene.display, encoding="srgb", table=table, truth=truth, size_deg=size
    )


def _draw(scene: _Scene, items: list[_Item]) -> tuple[np.ndarray, np.ndarray]:
    """Return codes (c, h, w) and the number of the item, from 1, at each pixel with ink."""
    n, side = scene.n_px, scene.tile_px
    codes = np.full((len(scene.targets[0].codes), n, n), scene.ground_code, dtype=np.uint8)
    mask = np.zeros((n, n), dtype=np.uint8)
    for item in items:
        left, top = item.corner
        window = np.s_[top : top + side, left : left + side]
        codes[:, *window] = item.tile.codes
        mask[window] = (item.tile.codes != scene.ground_code).any(0) * (item.number + 1)
    return codes, mask


def _numbers(scene: _Scene, items: list[_Item], longest: int) -> np.ndarray:
    """Return (longest, 8): the numbers that `item_table` shows, NaN where there is no item."""
    corners = np.array([item.corner for item in items], dtype=float)
    table = np.full((longest, len(_NUMBERS)), np.nan)
    table[: len(items), 0] = [item.cell for item in items]
    table[: len(items), 1:5] = scene.boxes_deg(np.concatenate([corners, corners + scene.tile_px], -1))
    table[: len(items), 5:] = [(item.tile.angle_deg, item.is_target, item.tile.variant) for item in items]
    return table


def _cells_deg(scene: _Scene) -> np.ndarray:
    edges = scene.edges().astype(float)
    left, top = np.meshgrid(edges[:-1], edges[:-1])
    right, bottom = np.meshgrid(edges[1:], edges[1:])
    return scene.boxes_deg(np.stack([left, top, right, bottom], -1).reshape(-1, 4))
