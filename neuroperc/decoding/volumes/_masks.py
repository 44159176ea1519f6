"""Which voxels: a mask on the grid of a file, and where its voxels lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..._check import check, fail
from ._sources import Source, open_source

#: Millimetres by which two grids may differ, at the far corner.
TOLERANCE_MM = 1e-2


@dataclass(frozen=True, eq=False)
class Voxels:
    """Chosen voxels of a grid, in C order of (i, j, k).

    Attributes
    ----------
    index
        (voxel, 3).
    shape
        Of the grid.
    affine
        (4, 4), or None.
    surface
        Whether the grid counts vertices.
    name
        Of the file that chose them.
    """

    index: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray | None
    surface: bool = False
    name: str = "mask"

    @property
    def flat(self) -> np.ndarray:
        """(voxel,) places in a volume that is flat in Fortran order."""
        return np.ravel_multi_index(tuple(self.index.T), self.shape, order="F")

    def coords(self) -> dict[str, tuple[str, Any]]:
        """Return the coordinates of a Responses."""
        if self.surface:
            return {"vertex": ("neuroid", self.index[:, 0])}
        return {axis: ("neuroid", self.index[:, a]) for a, axis in enumerate("ijk")}

    def names(self, hemi: str = "") -> np.ndarray:
        """Return a name for each voxel that is the same in every file on this grid."""
        index = self.index[:, :1] if self.surface else self.index
        return np.array([hemi + "-".join(map(str, row)) for row in index.tolist()])


def read_volume(path: str | os.PathLike[str]) -> tuple[np.ndarray, Source]:
    """Return the first volume of a file as float (i, j, k), with NaN where it has NaN."""
    source = open_source(path)
    check(source.n_volumes == 1, source.path.name, "of one volume", f"{source.n_volumes} volumes")
    [stored] = source.volumes()
    flat = np.asarray(stored, dtype=np.float64) * source.slope + source.inter
    return flat.reshape(source.shape, order="F"), source


def choose_voxels(mask: Any, source: Source) -> Voxels:
    """Return the voxels of `source` that a mask (path, boolean array, or None for all) holds; raise on another grid."""
    name, affine = "mask", source.affine
    if mask is None:
        inside = np.ones(source.shape, dtype=bool)
    elif isinstance(mask, str | os.PathLike):
        values, file = read_volume(mask)
        inside, name = np.isfinite(values) & (values > 0), file.path.name
        same_grid(name, file.shape, file.affine, source.path.name, source.shape, source.affine)
        affine = file.affine if affine is None else affine
    else:
        inside = np.asarray(mask)
        check(inside.dtype == bool, "mask", "a path or a boolean array", f"dtype {inside.dtype}", "Use mask > 0.")
        inside = inside.reshape(-1, 1, 1) if inside.ndim == 1 else inside
        same_grid("mask", inside.shape, None, source.path.name, source.shape, source.affine)
    check(inside.any(), name, "a mask with at least one voxel above 0", f"no voxel for {source.path.name}",
          "Check the label, or whether resampling lost it.")  # fmt: skip
    return Voxels(np.argwhere(inside), source.shape, affine, source.is_surface, name)


def same_grid(
    name: str, shape: tuple[int, ...], affine: np.ndarray | None, other: str, other_shape: tuple[int, ...],
    other_affine: np.ndarray | None,
) -> None:  # fmt: skip
    """Raise, naming both files, unless they lie on the same grid."""
    remedy = f"Bring it there with resample_volume({name!r}, like={other!r}, ...)."
    check(tuple(shape) == tuple(other_shape), name, f"on the grid {tuple(other_shape)} of {other}",
          f"shape {tuple(shape)}", remedy)  # fmt: skip
    if affine is None or other_affine is None:
        return
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij"), -1).reshape(-1, 4)
    away = np.linalg.norm(corners @ (affine - other_affine).T, axis=1).max()
    check(away <= TOLERANCE_MM, name, f"on the grid of {other}", f"an affine that is up to {away:.3g} mm away", remedy)


def voxels_of(responses: xr.DataArray) -> Voxels:
    """Return the voxels of responses that were read by this package."""
    attrs = responses.attrs
    remedy = "Read them with read_betas or read_bold, and keep attrs."
    check("volume_shape" in attrs, "responses", "with the attribute volume_shape", sorted(attrs), remedy)
    surface = "vertex" in responses.coords
    axes = ("vertex",) if surface else ("i", "j", "k")
    missing = [a for a in axes if a not in responses.coords]
    check(not missing, "responses", "with the coordinates i, j, k", f"none of {missing}", remedy)
    index = np.stack([responses.coords[a].values for a in axes], axis=1)
    if surface:
        index = np.pad(index, ((0, 0), (0, 2)))
    affine = np.reshape(attrs["affine"], (4, 4)) if "affine" in attrs else None
    shape = tuple(int(n) for n in attrs["volume_shape"])
    if len(shape) != 3:
        fail("volume_shape", "three numbers", shape)
    return Voxels(index, (shape[0], shape[1], shape[2]), affine, surface, str(Path(attrs.get("source", "")).name))


def check_once(name: str, voxels: Voxels) -> None:
    """Raise unless each voxel of a volume is there once: of two only the last would be written."""
    if voxels.surface:
        return
    flat = np.ravel_multi_index(tuple(voxels.index.T), voxels.shape, mode="wrap")
    first = np.unique(flat, return_index=True)[1]
    twice = np.delete(voxels.index, first, axis=0)[:1].tolist()
    check(not twice, name, "of each voxel once", f"{tuple(*twice)} twice", "Write one brain a file.")
