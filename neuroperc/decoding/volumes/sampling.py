"""From voxels to vertices and back, through the depth of cortex."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse
import xarray as xr

from ..._check import check, fail, finite, one_of
from ._masks import Voxels, voxels_of
from .surfaces import PathLike, read_surface

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
How = Literal["nearest", "trilinear"]


def to_vertices(
    values: Any,
    *,
    like: xr.DataArray,
    white: Sequence[PathLike],
    pial: Sequence[PathLike],
    to_voxels: Any = None,
    depths: Sequence[float] = DEPTHS,
    how: How = "nearest",
) -> np.ndarray:
    """Average a map of voxels along the depth of cortex at every vertex.

    Parameters
    ----------
    values
        (neuroid,) or (map, neuroid); NaN is left out.
    like
        Responses with the same neuroids, as `read_betas` returns them.
    white, pial
        Files of the inner and outer surface, left and right, in millimetres.
    to_voxels
        (4, 4) from the surfaces' millimetres to voxel indices, or the path of pycortex's matrices (.xfm); None when
        surfaces and volume share their millimetres.
    depths
        From 0 (white) to 1 (pial).
    how
        ``"nearest"`` voxel or ``"trilinear"``.

    Returns
    -------
    numpy.ndarray
        (vertex,) or (map, vertex), left then right; NaN where no voxel of `like` is met.

    Raises
    ------
    ValueError
        When surfaces differ in vertices, sizes do not fit, or a matrix cannot be read.

    Examples
    --------
    >>> import tempfile, nibabel
    >>> from nibabel.gifti import GiftiDataArray, GiftiImage
    >>> from neuroperc.data import make_responses
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, z in (("white.gii", 0), ("pial.gii", 1)):
    ...     points = GiftiDataArray(np.float32([[0, 0, z], [1, 0, z], [0, 1, z]]), intent="NIFTI_INTENT_POINTSET")
    ...     triangle = GiftiDataArray(np.int32([[0, 1, 2]]), intent="NIFTI_INTENT_TRIANGLE")
    ...     nibabel.save(GiftiImage(darrays=[points, triangle]), folder / name)
    >>> voxels = make_responses([[1.0, 3.0]], stimulus_id=["a"], i=0, j=0, k=[0, 1])
    >>> voxels.attrs |= {"volume_shape": [2, 2, 2], "affine": np.eye(4).ravel().tolist()}
    >>> white, pial = [folder / "white.gii"], [folder / "pial.gii"]
    >>> to_vertices([1.0, 3.0], like=voxels, white=white, pial=pial, depths=[0, 1]).tolist()
    [2.0, nan, nan]
    """
    voxels = voxels_of(like)
    rows = np.asarray(values, dtype=np.float64)
    n = len(voxels.index)
    check(rows.ndim in (1, 2) and rows.shape[-1] == n, "values", f"({n},) or (map, {n})", f"shape {rows.shape}")
    matrix = sampling_matrix(voxels, white, pial, to_voxels, depths, how)
    flat = np.atleast_2d(rows)
    there = np.isfinite(flat)
    total = matrix @ np.where(there, flat, 0.0).T
    weight = matrix @ there.T.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(weight > 1e-9, total / weight, np.nan).T
    return np.asarray(found if rows.ndim == 2 else found[0])


def to_region_masks(
    labels: Any,
    *,
    shape: Sequence[int],
    affine: Any,
    white: Sequence[PathLike],
    pial: Sequence[PathLike],
    to_voxels: Any = None,
) -> dict[str, np.ndarray]:
    """Return for each label of vertices the voxels that it holds most of: masks in a volume from outlines on a map.

    Parameters
    ----------
    labels
        (vertex,) names, left then right, ``""`` for none, as `FlatBrain.regions`.
    shape
        (i, j, k) of the volume.
    affine
        (4, 4) voxel indices to millimetres.
    white, pial, to_voxels
        As in `to_vertices`.

    Returns
    -------
    dict
        Name to (i, j, k) of bool. No voxel is in two.

    Raises
    ------
    ValueError
        As `to_vertices`, and when no label is given.

    Examples
    --------
    >>> to_region_masks([""], shape=(2, 2, 2), affine=np.eye(4), white=[], pial=[])
    Traceback (most recent call last):
    ValueError: labels must be with at least one name, got none. ...
    """
    text = np.asarray(labels).astype(str)
    names, code = np.unique(text, return_inverse=True)
    check((names != "").any(), "labels", "with at least one name", "none", "Read the flat brain with outlines.")
    size: Any = tuple(int(s) for s in shape)
    voxels = Voxels(np.argwhere(np.ones(size, bool)), size, np.asarray(affine, dtype=float))
    matrix = sampling_matrix(voxels, white, pial, to_voxels, DEPTHS, "nearest")
    check(matrix.shape[0] == len(text), "labels", f"a name for each of the {matrix.shape[0]} vertices", len(text))
    hot = scipy.sparse.csr_matrix((np.ones(len(text)), (np.arange(len(text)), code)), (len(text), len(names)))
    votes = (matrix.T @ hot).toarray()
    winner = np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), -1).reshape(size)
    return {str(n): winner == k for k, n in enumerate(names) if n}


def sampling_matrix(
    voxels: Voxels, white: Sequence[PathLike], pial: Sequence[PathLike], to_voxels: Any, depths: Sequence[float],
    how: str,
) -> scipy.sparse.csr_matrix:  # fmt: skip
    """Return (vertex, neuroid) weights; a row sums to 1 where all its samples fall on voxels that are there."""
    one_of("how", how, ("nearest", "trilinear"))
    check(len(white) == len(pial) > 0, "white and pial", "as many files, left and right", (len(white), len(pial)))
    inner, outer = ([read_surface(p).points_mm for p in paths] for paths in (white, pial))
    for a, b, path in zip(inner, outer, pial, strict=True):
        check(len(a) == len(b), Path(path).name, f"of {len(a)} vertices, as the white surface", len(b))
    low, high = np.concatenate(inner), np.concatenate(outer)
    share = np.asarray(depths, dtype=float)
    check(share.ndim == 1 and share.size and (share >= 0).all() and (share <= 1).all(), "depths", "from 0 to 1", depths)
    matrix = _to_voxels(to_voxels, voxels)
    places = low + share[:, None, None] * (high - low)
    places = places @ matrix[:3, :3].T + matrix[:3, 3]
    column = np.full(voxels.shape, -1)
    column[tuple(voxels.index.T)] = np.arange(len(voxels.index))
    parts = _weights(places, column, how)
    vertex, neuroid, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
    size = len(low), len(voxels.index)
    return scipy.sparse.csr_matrix((weight / len(share), (vertex, neuroid)), size)


def _weights(places: np.ndarray, column: np.ndarray, how: str) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return vertex, neuroid and weight of every sample that meets a voxel."""
    base = np.floor(places if how == "trilinear" else places + 0.5).astype(int)
    rest = places - base
    parts = []
    for corner in itertools.product((0, 1), repeat=3) if how == "trilinear" else [(0, 0, 0)]:
        index = base + np.array(corner)
        weight = np.where(corner, rest, 1 - rest).prod(axis=-1) if how == "trilinear" else np.ones(index.shape[:2])
        ok = ((index >= 0) & (index < column.shape)).all(axis=-1) & (weight > 0)
        met = column[tuple(index[ok].T)]
        vertex = np.broadcast_to(np.arange(places.shape[1]), ok.shape)[ok]
        parts.append((vertex[met >= 0], met[met >= 0], weight[ok][met >= 0]))
    return parts


def _to_voxels(given: Any, voxels: Voxels) -> np.ndarray:
    if given is None:
        check(voxels.affine is not None, "to_voxels", "given when the volume has no affine", None)
        return np.asarray(np.linalg.inv(np.asarray(voxels.affine)))
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        check(path.is_file(), "to_voxels", "a file that exists", str(path))
        try:
            given = json.loads(path.read_text())["coord"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path.name} must be JSON with the matrix 'coord', as pycortex's .xfm, got {error!r}. Give the (4, 4)."
            ) from error
    matrix = np.asarray(given, dtype=float)
    if matrix.shape != (4, 4):
        fail("to_voxels", "(4, 4)", f"shape {matrix.shape}")
    finite("to_voxels", matrix)
    check(abs(np.linalg.det(matrix)) > 0, "to_voxels", "a matrix that can be inverted", matrix.tolist())
    return matrix
