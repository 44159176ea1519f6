"""The view about the gaze: what a whole view would give, computed only where the picture changes it.

A view is the square of side V about the gaze; the picture lies somewhere in it and all else is background. `Blank` is
what a view without picture gives. `Looking` computes, block by block, the cells that the picture can reach.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..foveation import RingTable
from . import _maps
from ._parts import edge_after, pool_part, reached, step_level
from ._trunk import Patch, Place, cut, zero_outside

if TYPE_CHECKING:
    from .priority import EccNet

Box = tuple[int, int, int, int]
_PHASES_KEPT = 4


class Blank:
    """The view of a background and nothing else: a map a level, and what far from the borders one cell repeats."""

    def __init__(self, model: EccNet, view_px: int, ground: Tensor) -> None:
        self.model, self.view_px = model, view_px
        self._step_level = partial(step_level, model.trunk, model.optics.method)
        self.sides = [view_px]
        for _ in range(model.depth - 1):
            self.sides.append(math.ceil(self.sides[-1] / 2))
        self.tables = [model.optics.table(stage, view_px) for stage in range(1, model.depth)]
        self.pixel = model.preprocess(ground[None])[0]
        self.cells, self.edges = self._repeating()
        self.maps: dict[int, Tensor] = {}

    def _repeating(self) -> tuple[list[Tensor], list[int]]:
        """Return the cell of each level far from all borders, and how far borders reach, in cells."""
        cells, edges, x = [self.pixel], [0], self.pixel[None]
        for level, halo in enumerate(self.model.trunk.halos, start=1):
            edges.append((edge_after(edges[-1], self.table(level)) if level > 1 else 0) + halo)
            x = x.expand(-1, -1, 2 * halo + 1, 2 * halo + 1)
            x = self.model.trunk.convolve(level, x, ((0, 0),), None)
            cells.append(x[0])
        return cells, edges

    def side(self, level: int) -> int:
        """Cells on a side of the maps of a level (0 is the view's pixels)."""
        return self.sides[max(level - 1, 0)]

    def table(self, level: int) -> RingTable | None:
        """Return the rings of the pool before a level."""
        return self.tables[level - 2] if level > 1 else None

    def ground(self, level: int) -> Tensor:
        """Return the whole map of a level, (c, n, n)."""
        if level not in self.maps:
            self.maps[level] = self._grown(level) if level <= self.n_plain else self._framed(level)
        return self.maps[level]

    @property
    def n_plain(self) -> int:
        """Levels before the first pool that widens."""
        wide = [k for k, table in enumerate(self.tables, start=1) if table is not None]
        return wide[0] if wide else len(self.sides)

    def _grown(self, level: int) -> Tensor:
        """Compute a small view with the same borders, and repeat its middle row and column."""
        reach = self.edges[level] + 1
        cut_off = max(self.side(level) - (2 * reach + 1), 0)
        small_px = self.view_px - cut_off * 2 ** (level - 1)  # halving rounds as in the whole view
        x, side = Patch(self.pixel.expand(-1, small_px, small_px)[None], ((0, 0),)), small_px
        for k in range(1, level + 1):
            before, side = side, side if k == 1 else math.ceil(side / 2)
            x = step_level(
                self.model.trunk, self.model.optics.method, k, x, ((0, 0),), (side, side), sides=(before, side)
            )
        index = torch.arange(self.side(level), device=x.values.device)
        index = torch.where(index <= reach, index, (index - cut_off).clamp(min=reach))
        return x.values[0].index_select(-2, index).index_select(-1, index)

    def _framed(self, level: int) -> Tensor:
        """Compute a level along the borders, from the whole map below it; inside, its cell repeats."""
        before, n, edge = self.side(level - 1), self.side(level), self.edges[level]
        below = Patch(self.ground(level - 1)[None], ((0, 0),))
        pooled = pool_part(
            self.model.optics.method, below, ((0, 0),), (n, n), sides=(before, n), table=self.table(level),
            gaze=(n // 2, n // 2),
        )  # fmt: skip
        halo, whole = self.model.trunk.halos[level - 1], Patch(pooled, ((0, 0),))
        inner = n - 2 * edge
        bands = [
            ((0, 0), (edge, n)),
            ((n - edge, 0), (edge, n)),
            ((edge, 0), (inner, edge)),
            ((edge, n - edge), (inner, edge)),
        ]
        if inner <= 2 * halo:
            bands = [((0, 0), (n, n))]
        out = self.cells[level].repeat(1, n, n)
        for (row, column), (height, width) in bands:
            start = ((row - halo, column - halo),)
            x = cut(whole, start, (height + 2 * halo, width + 2 * halo), ground=None, side=n)
            x = self.model.trunk.convolve(level, x, start, n)
            out[:, row : row + height, column : column + width] = x[0]
        return out


class Looking:
    """A function of the gaze for a batch of pictures; see `EccNet.look`."""

    def __init__(self, model: EccNet, image: Tensor, templates: list[Tensor], ground: Tensor) -> None:
        self.model, self.image, self.templates = model, image, templates
        self._step_level = partial(step_level, model.trunk, model.optics.method)
        self.view_px = 2 * (image.shape[-2] + model.optics.margin_px)
        self.blank = _blank(model, self.view_px, ground)
        self.pixels = model.preprocess(image)
        self.changes: list[list[Box]] = [[] for _ in image]
        self._kept: list[OrderedDict[tuple[int, ...], tuple[Patch, int]]] = [OrderedDict() for _ in image]

    def changed(self, item: int, box: Box) -> None:
        """Take note that pixels [top, bottom) x [left, right) of a picture have new values."""
        top, left, bottom, right = box
        part = self.image[item : item + 1, :, top:bottom, left:right]
        self.pixels[item : item + 1, :, top:bottom, left:right] = self.model.preprocess(part)
        self.changes[item].append(box)

    def __call__(self, gaze_px: Sequence[Place], items: Sequence[int] | None = None) -> Tensor:
        """Return the priority (b, h, w) of some items' pixels for gazes at the pixels (row, column)."""
        chosen = list(range(len(self.image)) if items is None else items)
        half = self.view_px // 2
        starts = tuple((half - row, half - column) for row, column in gaze_px)
        features = self._features(chosen, starts)
        templates = [t if len(t) == 1 else t[chosen] for t in self.templates]
        maps = self.model.merge(features, templates)
        size = (self.image.shape[-2], self.image.shape[-1])
        grown = torch.stack([
            _maps.enlarge(m, self.view_px, at, size) for m, at in zip(maps, starts, strict=True)
        ])  # fmt: skip
        return self._without_margin(grown, starts).to(self.image)

    def _without_margin(self, maps: Tensor, starts: tuple[Place, ...]) -> Tensor:
        margin = self.model.optics.margin_px
        inner = tuple((row - margin, column - margin) for row, column in starts)
        return zero_outside(maps[:, None], inner, self.view_px - 2 * margin)[:, 0]

    def _features(self, items: list[int], starts: tuple[Place, ...]) -> list[Tensor]:
        """Return the matched layers' maps of the whole view at the deepest stride."""
        n_cached = self._n_cached(starts)
        found: dict[int, Tensor] = {}
        patch, whole = self._shallow(items, starts, n_cached), n_cached == 0
        for level in range(1, max(self.model.layers) + 1):
            if level < n_cached and level not in self.model.layers:
                continue
            if level <= n_cached:
                parts = [self._cached(i, level, start) for i, start in zip(items, starts, strict=True)]
                patch = Patch(torch.cat([p.values for p in parts]), tuple(p.at[0] for p in parts))
            else:
                patch = self._deeper(level, patch, whole)
            if level in self.model.layers:
                found[level] = self._tapped(level, patch, whole)
        return [found[layer] for layer in self.model.layers]

    def _n_cached(self, starts: tuple[Place, ...]) -> int:
        """Levels whose part that the picture reaches lies clear of what the view's borders reach; 0: none."""
        deepest = min(self.blank.n_plain, max(self.model.layers))
        for level in range(1, deepest + 1):
            edge, side = self.blank.edges[level], self.blank.side(level)
            for start in starts:
                at, size = self._zone(level, start, (self.image.shape[-2], self.image.shape[-1]))
                if min(at) < edge or any(a + n > side - edge for a, n in zip(at, size, strict=True)):
                    return level - 1
        return deepest

    def _zone(self, level: int, start: Place, size: Place) -> tuple[Place, Place]:
        """Return which cells of a level pixels from `start` on can reach, before any widening pool."""
        row, column = start
        height, width = size
        for k, halo in enumerate(self.model.trunk.halos[:level]):
            if k:
                (row, height), (column, width) = reached(row, height, 2), reached(column, width, 2)
            row, column, height, width = row - halo, column - halo, height + 2 * halo, width + 2 * halo
        return (row, column), (height, width)

    def _shallow(self, items: list[int], starts: tuple[Place, ...], n_cached: int) -> Patch:
        """Return the pictures themselves, or whole views when the picture comes too near to the borders."""
        patch = Patch(self.pixels[items], starts)
        if n_cached:
            return patch
        origin = ((0, 0),) * len(items)
        ground = self.blank.pixel
        whole = cut(patch, origin, (self.view_px, self.view_px), ground=ground, side=self.view_px)
        return Patch(whole, origin)

    def _cached(self, item: int, level: int, start: Place) -> Patch:
        """Return a level's part about the picture; only what has changed since the same phase was last computed."""
        if level == 0:
            return Patch(self.pixels[item : item + 1], (start,))
        step = 2 ** (level - 1)
        key = (level, start[0] % step, start[1] % step)
        at, size = self._zone(level, start, (self.image.shape[-2], self.image.shape[-1]))
        kept, done = self._kept[item], len(self.changes[item])
        if key not in kept:
            self._drop_oldest(kept, level)
            kept[key] = self._step(level, self._cached(item, level - 1, start), at, size), done
        patch, seen = kept[key]
        patch = Patch(patch.values, (at,))
        for box in self.changes[item][seen:]:
            self._update(item, level, start, patch, box)
        kept[key] = patch, done
        return patch

    def _update(self, item: int, level: int, start: Place, patch: Patch, box: Box) -> None:
        top, left, bottom, right = box
        at, size = self._zone(level, (start[0] + top, start[1] + left), (bottom - top, right - left))
        low = [max(a, b) for a, b in zip(at, patch.at[0], strict=True)]
        high = [min(a + n, b + m) for a, n, b, m in zip(at, size, patch.at[0], patch.size, strict=True)]
        part = self._step(
            level, self._cached(item, level - 1, start), (low[0], low[1]), (high[0] - low[0], high[1] - low[1])
        )
        row, column = low[0] - patch.at[0][0], low[1] - patch.at[0][1]
        patch.values[:, :, row : row + part.size[0], column : column + part.size[1]] = part.values

    def _step(self, level: int, below: Patch, at: Place, size: Place) -> Patch:
        return step_level(
            self.model.trunk,
            self.model.optics.method,
            level,
            below,
            (at,),
            size,
            sides=None,
            ground=self.blank.cells[level - 1],
        )

    @staticmethod
    def _drop_oldest(kept: OrderedDict[tuple[int, ...], tuple[Patch, int]], level: int) -> None:
        same = [key for key in kept if key[0] == level]
        if len(same) >= _PHASES_KEPT:
            del kept[same[0]]

    def _deeper(self, level: int, below: Patch, whole: bool) -> Patch:
        """Compute a level where the picture reaches, borders and rings included."""
        sides = (self.blank.side(level - 1), self.blank.side(level))
        table = self.blank.table(level)
        halo, n = self.model.trunk.halos[level - 1], sides[1]
        if whole:
            at, size = below.at, (n, n)
        else:
            at, size = self._spread(below, table, halo, n)
        ground = None if whole else self.blank.ground(level - 1)
        gaze = (n // 2, n // 2)
        return step_level(
            self.model.trunk,
            self.model.optics.method,
            level,
            below,
            at,
            size,
            sides=sides,
            ground=ground,
            table=table,
            gaze=gaze,
        )

    def _spread(self, below: Patch, table: RingTable | None, halo: int, n: int) -> tuple[tuple[Place, ...], Place]:
        window = 2 if table is None else max(table.windows_px)
        counts = [min(reached(0, length, window)[1] + 2 * halo, n) for length in below.size]

        def clamped(d: int, start: int) -> int:
            return min(max(reached(start, below.size[d], window)[0] - halo, 0), n - counts[d])

        return tuple((clamped(0, row), clamped(1, column)) for row, column in below.at), (counts[0], counts[1])

    def _tapped(self, level: int, patch: Patch, whole: bool) -> Tensor:
        """Pool a level's map 2 x 2 to the deepest stride and complete it to the whole view."""
        method = self.model.optics.method
        ground = None if whole else self.blank.ground(level)
        for k in range(level, self.model.depth):
            sides = (self.blank.side(k), self.blank.side(k + 1))
            at, size = self._spread(patch, None, 0, sides[1])
            patch = Patch(pool_part(method, patch, at, size, sides=sides, ground=ground), at)
            ground = None if ground is None else self.model.optics.plain(ground[None])[0]
        n = self.blank.side(self.model.depth)
        return cut(patch, ((0, 0),) * len(patch.at), (n, n), ground=ground, side=n)


def _blank(model: EccNet, view_px: int, ground: Tensor) -> Blank:
    """Return the blank view, kept on the model for the background used last."""
    key = (view_px, tuple(ground.flatten().tolist()), ground.dtype, ground.device)
    if key not in model._blank:
        model._blank.clear()
        model._blank[key] = Blank(model, view_px, ground)
    return model._blank[key]
