"""Cortical surfaces: meshes, flat maps with outlines of regions, curvature."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import scipy.sparse

from ..._check import check
from ._sources import readable
from ._svg import read_shapes

PathLike = str | os.PathLike[str]
_SMOOTHING = 4  # rounds of averaging over neighbours, of computed curvature


@dataclass(frozen=True, eq=False)
class Surface:
    """A mesh.

    Attributes
    ----------
    points_mm
        (vertex, 3).
    triangles
        (triangle, 3) numbers of vertices.

    Examples
    --------
    >>> Surface(np.eye(3), np.array([[0, 1, 2]])).points_mm.shape
    (3, 3)
    """

    points_mm: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True, eq=False)
class FlatBrain:
    """Both hemispheres unfolded side by side, left one first.

    Attributes
    ----------
    points_mm
        (vertex, 2), y up.
    triangles
        (triangle, 3) numbers of vertices; vertices of cuts and of the medial wall are in none.
    n_left
        Vertices of the left hemisphere.
    outlines
        Region to its (point, 2) lines.
    curvature
        (vertex,) positive in sulci, in 1/mm when computed; None when not given.

    Examples
    --------
    >>> square = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])
    >>> around = np.array([[-1.0, -1.0], [20.0, -1.0], [-1.0, 20.0]])
    >>> FlatBrain(square, np.array([[0, 1, 2], [0, 2, 3]]), 4, {"V1": (around,)}).regions.tolist()
    ['V1', 'V1', 'V1', 'V1']
    """

    points_mm: np.ndarray
    triangles: np.ndarray
    n_left: int
    outlines: Mapping[str, tuple[np.ndarray, ...]] = field(default_factory=dict)
    curvature: np.ndarray | None = None

    @property
    def regions(self) -> np.ndarray:
        """(vertex,) name of the region whose outline holds it, the first when there are several; "" for none."""
        found = np.full(len(self.points_mm), "", dtype=f"<U{max([1, *map(len, self.outlines)])}")
        flat = np.zeros(len(found), bool)
        flat[self.triangles] = True
        for name, lines in reversed(list(self.outlines.items())):
            for line in lines:
                found[inside(self.points_mm, line) & flat] = name
        return found


def read_surface(path: PathLike) -> Surface:
    """Read a mesh from a GIFTI file (.gii, .gii.gz).

    Raises
    ------
    ValueError
        Naming the file: when it is missing, unreadable, or has no points or triangles.

    Examples
    --------
    >>> import tempfile, nibabel
    >>> from nibabel.gifti import GiftiDataArray, GiftiImage
    >>> file = Path(tempfile.mkdtemp(), "lh.gii")
    >>> points = GiftiDataArray(np.eye(3, dtype=np.float32), intent="NIFTI_INTENT_POINTSET")
    >>> triangle = GiftiDataArray(np.int32([[0, 1, 2]]), intent="NIFTI_INTENT_TRIANGLE")
    >>> nibabel.save(GiftiImage(darrays=[points, triangle]), file)
    >>> read_surface(file).triangles.tolist()
    [[0, 1, 2]]
    """
    name, image = _load(path)
    points = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    triangles = image.get_arrays_from_intent("NIFTI_INTENT_TRIANGLE")
    check(points and triangles, name, "a surface with points and triangles", f"{len(image.darrays)} arrays without",
          "Maps are read by read_betas.")  # fmt: skip
    where, which = np.asarray(points[0].data, dtype=np.float64), np.asarray(triangles[0].data, dtype=np.int64)
    check(bool(np.isfinite(where).all()), name, "of finite points", "NaN or infinity")
    ok = which.size and which.min() >= 0 and which.max() < len(where)
    check(ok, name, f"of triangles among its {len(where)} vertices", (which.min(initial=0), which.max(initial=0)))
    return Surface(where, which)


def _load(path: PathLike) -> tuple[str, Any]:
    found = Path(path)
    check(found.is_file(), "path", "a file that exists", str(found), "Check the folder and the name.")
    check(found.name.endswith((".gii", ".gii.gz")), "path", "a .gii or .gii.gz file", found.name)
    with readable(found):
        return found.name, nibabel.load(found)


def read_flat_brain(
    left: PathLike, right: PathLike, *, outlines: PathLike | None = None, layer: str = "rois",
    curvature: Sequence[PathLike] | None = None,
) -> FlatBrain:  # fmt: skip
    """Read a flat map of both hemispheres, and the outlines drawn over it.

    Parameters
    ----------
    left, right
        GIFTI files of the flat surfaces.
    outlines
        An Inkscape drawing as pycortex keeps it (overlays.svg, .svg.gz): its page is the two flat maps side by side,
        each pushed to the middle.
    layer
        Of the drawing: ``"rois"`` or ``"sulci"``.
    curvature
        Left and right file: of numbers (positive in sulci, as FreeSurfer's), or of a folded surface, whose mean
        curvature is then computed and smoothed a little.

    Returns
    -------
    FlatBrain

    Raises
    ------
    ValueError
        Naming the file: when one is unreadable, vertices differ in number, or the page has another shape than the maps.

    References
    ----------
    .. [1] J S Gao et al. (2015). Pycortex: an interactive surface visualizer for fMRI.
       doi:10.3389/fninf.2015.00023

    Examples
    --------
    >>> read_flat_brain("nowhere.gii", "nowhere.gii")
    Traceback (most recent call last):
    ValueError: path must be a file that exists, got nowhere.gii. Check the folder and the name.
    """
    sides = [read_surface(left), read_surface(right)]
    points = [s.points_mm[:, :2].copy() for s in sides]
    points[0][:, 0] -= points[0][:, 0].max()
    points[1][:, 0] -= points[1][:, 0].min()
    merged, n_left = np.concatenate(points), len(points[0])
    triangles = np.concatenate([sides[0].triangles, sides[1].triangles + n_left])
    bent = None
    if curvature is not None:
        check(len(curvature) == 2, "curvature", "two files, left and right", curvature)
        parts = [_curvature(p) for p in curvature]
        for path, part, side in zip(curvature, parts, sides, strict=True):
            check(len(part) == len(side.points_mm), Path(path).name, f"of {len(side.points_mm)} vertices, as the flat "
                  "map", len(part))  # fmt: skip
        bent = np.concatenate(parts)
    drawn = {} if outlines is None else _outlines(Path(outlines), layer, merged)
    return FlatBrain(merged, triangles, n_left, drawn, bent)


def _outlines(path: Path, layer: str, points: np.ndarray) -> dict[str, tuple[np.ndarray, ...]]:
    """Return lines in the flat map's millimetres: the page is the box around all vertices, y down."""
    (width, height), shapes = read_shapes(path, layer)
    low, high = points.min(axis=0), points.max(axis=0)
    wanted = (high - low)[0] / (high - low)[1]
    same = abs(width / height / wanted - 1) < 0.01
    check(same, path.name, f"a page of the flat maps' shape, {wanted:.3f} wide for its height",
          f"{width / height:.3f}", "It was drawn on another subject's surfaces.")  # fmt: skip
    flip = np.array([1.0, -1.0])
    scale = (high - low) / (width, height)
    start = np.array([low[0], high[1]])
    return {n: tuple(line * scale * flip + start for line in lines) for n, lines in shapes.items() if n}


def _curvature(path: PathLike) -> np.ndarray:
    name, image = _load(path)
    if not image.get_arrays_from_intent("NIFTI_INTENT_POINTSET"):
        check(len(image.darrays) == 1, name, "a file of one map, or a surface", f"{len(image.darrays)} arrays")
        return np.asarray(image.darrays[0].data, dtype=np.float64).ravel()
    return mean_curvature(read_surface(path))


def mean_curvature(surface: Surface) -> np.ndarray:
    """Return (vertex,) mean curvature in 1/mm, positive in sulci, by the cotangent formula, smoothed over neighbours.

    References
    ----------
    .. [1] M Meyer et al. (2003). Discrete differential-geometry operators for triangulated 2-manifolds, equation 8.
       doi:10.1007/978-3-662-05105-4_2
    """
    p, t = surface.points_mm, surface.triangles
    n = len(p)
    i, j, k = (t[:, (c, (c + 1) % 3, (c + 2) % 3)] for c in range(3))
    corners = np.concatenate([i, j, k])
    a, b = p[corners[:, 1]] - p[corners[:, 0]], p[corners[:, 2]] - p[corners[:, 0]]
    twice = np.linalg.norm(np.cross(a, b), axis=1)
    cotangent = (a * b).sum(axis=1) / np.maximum(twice, 1e-12)
    one, two = corners[:, 1], corners[:, 2]  # the edge that faces the corner
    cotangent = np.clip(cotangent, -20, 20)
    weight = scipy.sparse.coo_matrix((np.r_[cotangent, cotangent], (np.r_[one, two], np.r_[two, one])), (n, n)).tocsr()
    normal = np.cross(p[t[:, 1]] - p[t[:, 0]], p[t[:, 2]] - p[t[:, 0]])
    spread = scipy.sparse.csr_matrix((np.ones(t.size), t.ravel(), np.arange(0, t.size + 1, 3)), (len(t), n)).T
    area = spread @ np.linalg.norm(normal, axis=1) / 6
    normals = spread @ normal
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    laplacian = weight @ p - np.asarray(weight.sum(axis=1)) * p
    found = (laplacian * normals).sum(axis=1) / np.maximum(4 * area, 1e-12)
    near: Any = scipy.sparse.csr_matrix((np.ones(len(weight.data)), weight.indices, weight.indptr), (n, n))
    near = near + scipy.sparse.identity(n, format="csr")
    near = scipy.sparse.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near
    for _ in range(_SMOOTHING):
        found = near @ found
    return np.asarray(found)


def inside(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return (point,) whether each lies within a closed line, by the even-odd rule."""
    low, high = line.min(axis=0), line.max(axis=0)
    found = ((points >= low) & (points <= high)).all(axis=1)
    rows = np.flatnonzero(found)
    start, end = line, np.roll(line, -1, axis=0)
    rise = end[:, 1] - start[:, 1]
    x, y = points[rows, 0, None], points[rows, 1, None]
    between = (start[:, 1] > y) != (end[:, 1] > y)
    cross = start[:, 0] + (y - start[:, 1]) / np.where(rise == 0, 1, rise) * (end[:, 0] - start[:, 0])
    found[rows] = ((between & (x < cross)).sum(axis=1) % 2).astype(bool)
    return np.asarray(found)
