"""Voxels of any grid seen along the axes of the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .._check import check

_VIEWS = {"sagittal": 0, "coronal": 1, "axial": 2}
_MARGIN_MM = 6.0


@dataclass(frozen=True, eq=False)
class Projections:
    """Pictures along x, y and z on a grid of millimetres.

    Attributes
    ----------
    low_mm
        (3,) centre of the first cell.
    step_mm
        Side of a cell.
    size
        (3,) cells.
    strongest
        View to (across, up), NaN where no voxel lies.
    depth
        View to (across, up) thickness of the brain in millimetres, or None.
    """

    low_mm: np.ndarray
    step_mm: float
    size: tuple[int, int, int]
    strongest: dict[str, np.ndarray]
    depth: dict[str, np.ndarray | None]

    def centers_mm(self, across: int, up: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of a picture's columns and rows."""
        x, y = (self.low_mm[a] + self.step_mm * np.arange(self.size[a]) for a in (across, up))
        return x, y

    def extent_mm(self, across: int, up: int) -> tuple[float, float, float, float]:
        """Left, right, bottom, top edge of a picture."""
        x, y = self.centers_mm(across, up)
        half = self.step_mm / 2
        return (float(x[0] - half), float(x[-1] + half), float(y[0] - half), float(y[-1] + half))


def project(values: np.ndarray, like: xr.DataArray, anatomy: Any, *, both_signs: bool) -> Projections:
    """Resample voxels and anatomy to millimetres by the nearest voxel, and look along the three axes."""
    have = all(a in like.coords for a in "ijk") and {"affine", "volume_shape"} <= set(like.attrs)
    check(have, "like", "with i, j, k and the attributes affine and volume_shape", sorted(like.attrs),
          "Read voxels with read_betas.")  # fmt: skip
    volume = np.full([int(n) for n in like.attrs["volume_shape"]], np.nan)
    volume[tuple(like.coords[a].values for a in "ijk")] = values
    affine = np.reshape(like.attrs["affine"], (4, 4)).astype(float)
    grids = [(volume, affine)]
    if anatomy is not None:
        brain, matrix = np.asarray(anatomy[0]), np.asarray(anatomy[1], dtype=float)
        check(brain.ndim == 3 and matrix.shape == (4, 4), "anatomy", "((i, j, k), (4, 4) affine)",
              (brain.shape, matrix.shape))  # fmt: skip
        grids.append((np.where(np.nan_to_num(brain) > 0, 1.0, np.nan), matrix))
    step = float(min(np.linalg.norm(affine[:3, :3], axis=0)))
    low, size = _box(grids, step)
    strongest = {v: _strongest(_sampled(*grids[0], low, step, size), a, both_signs) for v, a in _VIEWS.items()}
    depth: dict[str, np.ndarray | None] = dict.fromkeys(_VIEWS)
    if anatomy is not None:
        there = np.isfinite(_sampled(*grids[1], low, step, size))
        depth = {v: there.sum(axis=a) * step for v, a in _VIEWS.items()}
    return Projections(low, step, size, strongest, depth)


def _box(grids: list[tuple[np.ndarray, np.ndarray]], step: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the first cell and the number of cells around everything that is there."""
    places = []
    for volume, affine in grids:
        index = np.argwhere(np.isfinite(volume))
        places.append(index @ affine[:3, :3].T + affine[:3, 3])
    points = np.concatenate(places)
    low = points.min(axis=0) - _MARGIN_MM
    size: Any = tuple(int(n) for n in np.ceil((points.max(axis=0) + _MARGIN_MM - low) / step) + 1)
    return low, size


def _sampled(
    volume: np.ndarray, affine: np.ndarray, low: np.ndarray, step: float, size: tuple[int, int, int]
) -> np.ndarray:
    """Return the volume on the grid of millimetres, NaN outside."""
    back = np.linalg.inv(affine)
    places = [low[a] + step * np.arange(size[a]) for a in range(3)]
    x, y, z = np.meshgrid(*places, indexing="ij", sparse=True)
    index = [np.rint(back[a, 0] * x + back[a, 1] * y + back[a, 2] * z + back[a, 3]).astype(int) for a in range(3)]
    ok = np.ones(size, bool)
    for a in range(3):
        ok &= (index[a] >= 0) & (index[a] < volume.shape[a])
    found = np.full(size, np.nan)
    found[ok] = volume[index[0][ok], index[1][ok], index[2][ok]]
    return found


def _strongest(volume: np.ndarray, axis: int, both_signs: bool) -> np.ndarray:
    there = np.isfinite(volume)
    size = np.where(there, np.abs(volume) if both_signs else volume, -np.inf)
    best = np.expand_dims(size.argmax(axis=axis), axis)
    return np.asarray(np.take_along_axis(volume, best, axis).squeeze(axis))
