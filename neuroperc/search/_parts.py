"""Parts of a level's map: pooled 2 x 2 or in rings, then convolved, as the whole map would be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from ..display import Display
from ..foveation import RingPool, RingTable
from ._trunk import Patch, Place, Trunk, cut, plain_pool, zero_outside


@dataclass(frozen=True)
class Optics:
    """How the view is pooled; fields as in `EccNet`, `slopes` None for pools that do not widen."""

    px_per_deg: float
    slopes: tuple[float, ...] | None
    fovea_deg: float
    ring_deg: float
    margin_px: int
    method: str

    def table(self, stage: int, view_px: int) -> RingTable | None:
        """Return the ring table of the pool after block `stage`, or None when all its windows are 2 x 2."""
        if self.slopes is None or self.slopes[stage - 1] == 0:
            return None
        table = RingTable.eccnet(
            stage, resolution_px=(view_px, view_px), px_per_deg=self.px_per_deg, fovea_deg=self.fovea_deg,
            ring_deg=self.ring_deg, slope=self.slopes[stage - 1],
        )  # fmt: skip
        return None if set(table.windows_px) == {2} else table

    def plain(self, x: Tensor, times: int = 1) -> Tensor:
        """Pool whole maps 2 x 2, `times` times; a last odd row or column is a window of its own."""
        for _ in range(times):
            odd = [n % 2 for n in (x.shape[-1], x.shape[-2])]
            x = functional.pad(x, (0, odd[0], 0, odd[1]), mode="replicate") if any(odd) else x
            x = plain_pool(x, self.method)
        return x


@lru_cache(maxsize=64)
def _ring_pool(table: RingTable, method: str, shape: Place) -> RingPool:
    return RingPool(Display.from_px_per_deg(30.0, resolution_px=shape), table, method=method)  # type: ignore[arg-type]


def edge_after(edge: int, table: RingTable | None) -> int:
    """Cells of a pooled map that see the outermost `edge` cells of a map, at either border."""
    if table is None:
        return (edge + 1) // 2
    return (edge + (max(table.windows_px) + 1) // 2 + 1) // 2 + 1


def step_level(
    trunk: Trunk,
    method: str,
    level: int,
    below: Patch,
    at: tuple[Place, ...],
    size: Place,
    *,
    sides: tuple[int, int] | None,
    ground: Tensor | None = None,
    table: RingTable | None = None,
    gaze: Place = (0, 0),
) -> Patch:
    """Compute a part of a level's map from a patch of the map below.

    Parameters
    ----------
    at, size
        The part wanted.
    sides
        Sides of the map below and of this one; None for planes without borders.
    ground
        What surrounds the patch below.
    table, gaze
        Rings of the pool between both, about this cell; None for 2 x 2.
    """
    halo = trunk.halos[level - 1]
    start = tuple((row - halo, column - halo) for row, column in at)
    wanted = (size[0] + 2 * halo, size[1] + 2 * halo)
    if level == 1:
        x = cut(below, start, wanted, ground=ground, side=None if sides is None else sides[0])
    else:
        x = pool_part(method, below, start, wanted, sides=sides, ground=ground, table=table, gaze=gaze)
    return Patch(trunk.convolve(level, x, start, None if sides is None else sides[1]), at)


def pool_part(
    method: str,
    below: Patch,
    at: tuple[Place, ...],
    size: Place,
    *,
    sides: tuple[int, int] | None,
    ground: Tensor | None = None,
    table: RingTable | None = None,
    gaze: Place = (0, 0),
) -> Tensor:
    """Return a part of the pooled map, 0 beyond its borders."""
    if table is not None and sides is not None:
        return _ring_part(method, below, at, size, sides, ground, table, gaze)
    first = tuple((2 * row, 2 * column) for row, column in at)
    x = cut(below, first, (2 * size[0], 2 * size[1]), ground=ground, side=None if sides is None else sides[0])
    if sides is not None and sides[0] % 2:
        for i, (row, column) in enumerate(first):  # the last window of an odd map has one row or column
            if 0 < sides[0] - row < 2 * size[0]:
                x[i, :, sides[0] - row] = x[i, :, sides[0] - row - 1]
            if 0 < sides[0] - column < 2 * size[1]:
                x[i, :, :, sides[0] - column] = x[i, :, :, sides[0] - column - 1]
    return zero_outside(plain_pool(x, method), at, None if sides is None else sides[1])


def _ring_part(
    method: str, below: Patch, at: tuple[Place, ...], size: Place, sides: tuple[int, int], ground: Tensor | None,
    table: RingTable, gaze: Place,
) -> Tensor:  # fmt: skip
    """Pool a crop that has the map's parity and reaches over the windows, or up to the map's border."""
    n_in, n_out = sides
    spare = max(table.windows_px) // 4 + 1
    count = min(size[0] + 2 * spare, n_out), min(size[1] + 2 * spare, n_out)
    first = tuple(
        (min(max(row - spare, 0), n_out - count[0]), min(max(column - spare, 0), n_out - count[1]))
        for row, column in at
    )
    shape = (2 * count[0] - n_in % 2, 2 * count[1] - n_in % 2)
    crop = cut(below, tuple((2 * r, 2 * c) for r, c in first), shape, ground=ground, side=n_in)
    pool = _ring_pool(table, method, shape)
    cells = torch.tensor([(gaze[1] - c + 0.5, gaze[0] - r + 0.5) for r, c in first], dtype=torch.float64)
    ratio = torch.tensor([shape[1] / count[1], shape[0] / count[0]], dtype=torch.float64)
    pooled = pool(crop, fixation_deg=pool.display.to_deg(cells * ratio - 0.5).to(crop.device))
    return cut(Patch(pooled, first), at, size, ground=None, side=n_out)


def reached(start: int, length: int, window: int) -> tuple[int, int]:
    """Return first and number of the pooled cells whose windows can see `length` cells from `start` on.

    The number is the same whatever the start, so that items of a batch stay of one size.
    """
    back, forward = (window + 1) // 2, (window - 1) // 2  # bounds for maps of odd and of even side
    return (start - back + 1) // 2, (length - 1 + back + forward) // 2 + 1
