"""Where planted voxels lie and what they are tuned to: patches of concepts, smooth in millimetres."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import check, fail, finite, integer

_MADE = {"EarlyVis": 600, "LOC": 600, "PPA": 300, "OPA": 300, "RSC": 200}
_SIDE = 12  # voxels, of a made grid
_WAVES = 256  # of a smooth field
_JITTER = 0.25  # spread of tuning within a patch, against a concept of length 1


@dataclass(frozen=True, eq=False)
class Layout:
    """Voxels of a planted brain in C order of (i, j, k)."""

    index: np.ndarray
    region: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray
    names: tuple[str, ...]

    @property
    def place_mm(self) -> np.ndarray:
        """(voxel, 3)."""
        return np.asarray(self.index @ self.affine[:3, :3].T + self.affine[:3, 3])


@dataclass(frozen=True, eq=False)
class Tuning:
    """Directions of all voxels: ``loading @ basis``; and what they are called."""

    basis: np.ndarray
    loading: np.ndarray
    coords: dict[str, Any]


def lay_out(regions: Mapping[str, Any] | None, affine: Any) -> Layout:
    """Return the voxels of masks, or of a made grid."""
    given = dict(_MADE if regions is None else regions)
    check(given, "regions", "at least one", given)
    if all(isinstance(v, int | np.integer) for v in given.values()):
        check(affine is None, "affine", "None for a made grid", "given", "Give masks as regions.")
        masks, matrix = _made_grid({n: integer(f"regions[{n!r}]", v) for n, v in given.items()})
    else:
        masks, matrix = _read_masks(given, affine)
    owner = np.full(next(iter(masks.values())).shape, -1)
    for number, (name, mask) in reversed(list(enumerate(masks.items()))):
        check(mask.any(), f"regions[{name!r}]", "a mask of at least one voxel", "an empty one")
        owner[mask] = number
    index = np.argwhere(owner >= 0)
    names = tuple(masks)
    region = np.array(names)[owner[tuple(index.T)]]
    shape: Any = owner.shape
    return Layout(index, region, shape, matrix, tuple(n for n in names if (region == n).any()))


def _made_grid(sizes: dict[str, int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Stack the regions along j, in slices of 12 x 12 voxels of 2 mm."""
    depth = {n: -(-v // _SIDE**2) for n, v in sizes.items()}
    total = sum(depth.values())
    masks, start = {}, 0
    for name, n in sizes.items():
        mask = np.zeros((total, _SIDE, _SIDE), bool)
        mask[start : start + depth[name]].reshape(-1)[:n] = True
        masks[name] = mask.transpose(1, 0, 2)
        start += depth[name]
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = -_SIDE, -total - 40.0, -_SIDE
    return masks, matrix


def _read_masks(given: dict[str, Any], affine: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    from .volumes._masks import read_volume, same_grid

    masks: dict[str, np.ndarray] = {}
    matrix = None if affine is None else np.asarray(affine, dtype=float)
    first = ""
    for name, mask in given.items():
        if isinstance(mask, str | os.PathLike):
            values, file = read_volume(mask)
            masks[name], here, label = np.isfinite(values) & (values > 0), file.affine, file.path.name
        else:
            masks[name], here, label = np.asarray(mask), None, f"regions[{name!r}]"
            check(masks[name].dtype == bool and masks[name].ndim == 3, label, "(i, j, k) of bool, a path, or for all "
                  "regions a number of voxels", getattr(mask, "shape", mask))  # fmt: skip
        first = first or label
        same_grid(label, masks[name].shape, here, first, next(iter(masks.values())).shape, matrix)
        matrix = here if matrix is None else matrix
    if matrix is None or matrix.shape != (4, 4):
        fail("affine", "(4, 4) from voxel indices to millimetres", None if matrix is None else matrix.shape)
    return masks, matrix


def map_tuning(
    layout: Layout, n_features: int, *, rank: int, concepts: Mapping[str, Any] | None,
    preferred: Mapping[str, Sequence[str]] | None, mixed_share: float, split: tuple[str, str, str] | None,
    smooth_mm: float, rng: np.random.Generator,
) -> Tuning:  # fmt: skip
    """Give every voxel a direction: the concept of its patch, at borders two, and a smooth deviation."""
    names, points, basis = _concept_space(concepts, n_features, rank, rng)
    allowed = _allowed(layout, names, preferred)
    place = layout.place_mm / smooth_mm
    field = smooth_field(place, len(names), rng)
    first, second, share = _two_best(np.where(allowed, field, -np.inf), mixed_share)
    part = np.zeros(len(first), int)
    if split is not None:
        part = _split(layout, split, names)
        for side in (1, 2):
            first[part == side] = names.index(split[side])
        share[part > 0] = 0.0
    loading = (1 - share)[:, None] * points[first] + share[:, None] * points[second]
    loading = loading + _JITTER / np.sqrt(rank) * smooth_field(place, rank, rng)
    labels = np.array(names)
    coords = {"concept": ("neuroid", labels[first]), "second_share": ("neuroid", share), "part": ("neuroid", part),
              "second_concept": ("neuroid", np.where(share > 0, labels[second], ""))}  # fmt: skip
    return Tuning(basis, loading / np.linalg.norm(loading, axis=1, keepdims=True), coords)


def _concept_space(
    concepts: Mapping[str, Any] | None, n_features: int, rank: int, rng: np.random.Generator
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names, (concept, rank) unit points, and the (rank, feature) orthonormal basis."""
    if concepts is None:
        basis = np.linalg.qr(rng.standard_normal((n_features, rank)))[0].T
        points = rng.standard_normal((2 * rank, rank))
        names = [f"concept{k:02d}" for k in range(2 * rank)]
    else:
        check(len(concepts) > 0, "concepts", "at least one", dict(concepts))
        names = [str(n) for n in concepts]
        vectors = np.stack([np.asarray(v, dtype=np.float64) for v in concepts.values()])
        check(vectors.shape[1:] == (n_features,), "concepts", f"directions of {n_features} numbers", vectors.shape[1:])
        finite("concepts", vectors)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        check(lengths.min() > 0, "concepts", "directions longer than 0", names[int(lengths.argmin())])
        basis = _widened(np.linalg.svd(vectors / lengths, full_matrices=False)[2][:rank], rank, rng)
        points = vectors @ basis.T
    return names, points / np.linalg.norm(points, axis=1, keepdims=True), basis


def _widened(basis: np.ndarray, rank: int, rng: np.random.Generator) -> np.ndarray:
    """Add random directions until there are `rank`."""
    extra = rng.standard_normal((rank - len(basis), basis.shape[1]))
    stacked: np.ndarray = np.linalg.qr(np.concatenate([basis, extra]).T)[0].T
    return stacked


def _allowed(layout: Layout, names: list[str], preferred: Mapping[str, Sequence[str]] | None) -> np.ndarray:
    """Return (voxel, concept): which concepts a voxel's region may prefer."""
    found = np.ones((len(layout.index), len(names)), bool)
    for region, wanted in (preferred or {}).items():
        check(region in layout.names, "preferred", f"of the regions {layout.names}", region)
        strange = [c for c in wanted if c not in names]
        check(wanted and not strange, f"preferred[{region!r}]", "names of concepts", strange or wanted)
        found[layout.region == region] = np.isin(names, list(wanted))
    return found


def smooth_field(place: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (voxel, n) Gaussian fields of unit variance and unit scale, as sums of random plane waves."""
    waves = rng.standard_normal((place.shape[1], _WAVES))
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    weights = rng.standard_normal((_WAVES, n))
    return np.asarray(np.sqrt(2 / _WAVES) * np.cos(place @ waves + phase) @ weights)


def _two_best(field: np.ndarray, mixed_share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the strongest and second concept, and the second's share: 1/2 at a border, 1/5 where mixing ends."""
    if field.shape[1] == 1:
        zero = np.zeros(len(field), int)
        return zero, zero.copy(), np.zeros(len(field))
    order = np.argsort(field, axis=1)[:, -2:]
    first, second = order[:, 1], order[:, 0]
    rows = np.arange(len(field))
    gap = field[rows, first] - field[rows, second]
    rank = np.argsort(np.argsort(gap)) / len(gap)
    mixed = (rank < mixed_share) & np.isfinite(gap)
    share = np.where(mixed, 0.5 - 0.3 * rank / max(mixed_share, 1e-9), 0.0)
    return first, second, share


def _split(layout: Layout, split: tuple[str, str, str], names: list[str]) -> np.ndarray:
    """Return 1 and 2 for the halves of a region along its longest axis, 0 elsewhere."""
    if len(split) != 3:
        fail("split", "(region, concept, concept)", split)
    check(split[0] in layout.names, "split", f"of the regions {layout.names}", split[0])
    strange = [c for c in split[1:] if c not in names]
    check(not strange, "split", "of known concepts", strange, "Give concepts=, or their made names, concept00, ...")
    inside = layout.region == split[0]
    place = layout.place_mm[inside]
    place = place - place.mean(axis=0)
    along = place @ np.linalg.svd(place, full_matrices=False)[2][0]
    part = np.zeros(len(inside), int)
    part[inside] = np.where(along > np.median(along), 2, 1)
    return part
