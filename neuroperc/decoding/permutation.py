"""Permutation tests of encoding and decoding: one pass of the hat matrix a permutation, selection inside each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .._check import as_rng, check, finite, integer
from ..regression import cross_predict, fold_splits, rotate
from .voxelwise import aligned, feature_scale, neuroid_coords, voxel_batches


def permutation_test(
    features: Any,
    responses: xr.DataArray,
    *,
    groups: Any = "stimulus_id",
    within: Any = None,
    n_permutations: int = 1000,
    n_folds: int = 5,
    alphas: Any = (1.0,),
    voxels_per_batch: int | None = None,
    progress: bool = False,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Test whether held-out predictions of each voxel are better than with permuted stimuli.

    Held-out predictions are a fixed matrix times the responses, so a permutation costs one matrix product. The
    statistic is the correlation of predictions and responses over all rows, each fold's means taken out, the best over
    `alphas`: chosen again in every permutation, so that p is exact however many there are.

    Parameters
    ----------
    features, responses, voxels_per_batch, progress
        As in `encode_voxels`.
    groups
        What is exchanged as a whole and never torn apart by a fold: ``"stimulus_id"``, or blocks of a time series.
        Groups of the same number of rows change places, their rows in order.
    within
        Coordinate or labels; groups change places within equal labels only, such as ``"run"``. None is everywhere.
    n_permutations
        p is never below ``1 / (n_permutations + 1)``.
    n_folds
        Of groups.
    alphas
        Penalties, scaled as in `encode_voxels`.
    rng
        Seed or generator of folds and permutations.

    Returns
    -------
    xarray.Dataset
        (neuroid): ``r`` the statistic, ``p`` of each voxel alone, ``p_max`` corrected for all voxels by the largest
        statistic, ``q`` by Benjamini and Hochberg; attributes `n_permutations` and `p_resolution`.

    Raises
    ------
    ValueError
        For NaN, constant voxels, groups of which none can change places or that tear a stimulus apart, or a time series
        by single rows.

    References
    ----------
    .. [1] T E Nichols, A P Holmes (2002). Nonparametric permutation tests for functional neuroimaging.
       doi:10.1002/hbm.1058
    .. [2] B Phipson, G K Smyth (2010). Permutation p-values should never be zero. doi:10.2202/1544-6115.1585

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 5))
    >>> y = np.c_[x[:, 0] + rng.normal(size=60), rng.normal(size=60)]
    >>> found = permutation_test(x, make_responses(y, stimulus_id=np.arange(60)), n_permutations=99, rng=0)
    >>> float(found.p[0]), bool(found.p[1] > 0.05), found.p_resolution
    (0.01, True, 0.01)
    """
    from scipy.stats import false_discovery_control

    x, y, labels = aligned(features, responses, groups)
    blocks = _within(within, responses)
    integer("n_permutations", n_permutations)
    generator = as_rng(rng)
    splits = fold_splits(labels, n_folds=n_folds, rng=generator)
    orders = [permuted_rows(labels, within=blocks, rng=generator) for _ in range(n_permutations)]
    maker = _held_out_maker(x, splits, alphas, labels)
    top = np.full(n_permutations, -np.inf)
    seen, counts = [], []
    batches = list(voxel_batches(y.shape[1], 4 * maker.shape[0] * 4, voxels_per_batch))
    for columns in tqdm(batches, disable=not progress, desc="voxels"):
        here = _standardized(y[:, columns])
        real = _statistic(maker, here, splits)
        count = np.zeros(len(real), dtype=int)
        for k, order in enumerate(orders):
            null = _statistic(maker, here[order], splits)
            count += null >= real
            top[k] = max(top[k], null.max())
        seen.append(real)
        counts.append(count)
    r, n = np.concatenate(seen), n_permutations + 1
    p = (np.concatenate(counts) + 1) / n
    p_max = ((top[:, None] >= r).sum(axis=0) + 1) / n if r.size < 10_000 else _exceed(top, r, n)
    data = {"r": r, "p": p, "p_max": p_max, "q": false_discovery_control(p)}
    made = xr.Dataset({k: ("neuroid", v) for k, v in data.items()}, coords=neuroid_coords(responses))
    return made.assign_attrs(n_permutations=n_permutations, p_resolution=1 / n)


def _exceed(top: np.ndarray, r: np.ndarray, n: int) -> np.ndarray:
    return np.asarray((len(top) - np.searchsorted(np.sort(top), r, side="left") + 1) / n)


def _within(within: Any, responses: xr.DataArray) -> np.ndarray:
    n = responses.sizes["presentation"]
    if isinstance(within, str):
        check(within in responses.coords, "within", f"a coordinate among {sorted(map(str, responses.coords))}", within)
        within = responses.coords[within].values
    return np.zeros(n, dtype=int) if within is None else np.asarray(within)


def permuted_rows(groups: Any, *, within: Any = None, rng: int | np.random.Generator) -> np.ndarray:
    """Return an order of rows in which groups of the same number of rows have changed places.

    Parameters
    ----------
    groups
        (row,) labels; rows of one group move together and keep their order.
    within
        (row,) labels within which groups move; None is everywhere.
    rng
        Seed or generator.

    Returns
    -------
    numpy.ndarray
        (row,) indices.

    Raises
    ------
    ValueError
        When a group lies in two of `within`, or nothing can move.

    Examples
    --------
    >>> permuted_rows(["a", "a", "b", "b", "c", "c"], rng=3).tolist()
    [4, 5, 2, 3, 0, 1]
    """
    labels = np.unique(np.asarray(groups), return_inverse=True)[1]
    blocks = np.zeros(len(labels), int) if within is None else np.unique(np.asarray(within), return_inverse=True)[1]
    check(blocks.shape == labels.shape, "within", f"a label for each of the {len(labels)} rows", blocks.shape)
    rows = np.argsort(labels, kind="stable")
    size = np.bincount(labels)
    start = np.cumsum(size) - size
    place = blocks[rows[start]]
    check(np.array_equal(place[labels], blocks), "groups", "each inside one of within", "a group in two of them")
    generator = as_rng(rng)
    order, moved = np.empty(len(labels), dtype=int), False
    for kind in np.unique(np.stack([place, size]), axis=1).T:
        members = np.flatnonzero((place == kind[0]) & (size == kind[1]))
        moved |= len(members) > 1
        mine = rows[start[members][:, None] + np.arange(kind[1])]
        order[mine] = mine[generator.permutation(len(members))]
    check(moved, "groups", "at least two of the same number of rows (within one label of within)", "none that can move",
          "Use smaller groups, or a coarser within.")  # fmt: skip
    return order


def _held_out_maker(x: np.ndarray, splits: Sequence[Any], alphas: Any, labels: np.ndarray) -> np.ndarray:
    """Return (alpha x row, row), float32: held-out predictions are this times the responses.

    Ridge with a fixed penalty is linear in what it is fitted to, so predicting the identity gives the matrix.
    """
    turned = rotate(x)
    penalties = np.atleast_1d(np.asarray(alphas, dtype=float)) * feature_scale(turned)
    n = len(x)
    made = np.empty((len(penalties), n, n), np.float32)
    for k, alpha in enumerate(penalties):
        found = cross_predict(turned, np.eye(n), splits=splits, estimator="ridge", alphas=[alpha], groups=labels)
        for (_, test), rows in zip(splits, found.predictions, strict=True):
            made[k, test] = rows - rows.mean(axis=0)
    return made.reshape(-1, n)


def _standardized(y: np.ndarray) -> np.ndarray:
    finite("responses", y, 'Read with nan="drop".')
    flat = np.ptp(y, axis=0) == 0
    check(not flat.any(), "responses", "ones that vary", f"{int(flat.sum())} constant voxels", "Leave them out.")
    wide = y - y.mean(axis=0, dtype=np.float64)
    return np.asarray(wide / wide.std(axis=0), dtype=np.float32)


def _statistic(maker: np.ndarray, y: np.ndarray, splits: Sequence[Any]) -> np.ndarray:
    """Return the best correlation over penalties (voxel,) of held-out predictions with responses, fold means out."""
    n, v = y.shape
    predicted = (maker @ y).reshape(-1, n, v)
    target = np.empty_like(y)
    for _, test in splits:
        target[test] = y[test] - y[test].mean(axis=0)
    cross = np.einsum("anv,nv->av", predicted, target)
    power = np.einsum("anv,anv->av", predicted, predicted) * np.einsum("nv,nv->v", target, target)
    found: np.ndarray = (cross / np.sqrt(np.where(power > 0, power, np.inf))).max(axis=0).astype(np.float64)
    return found
