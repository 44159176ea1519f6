"""Voxel-wise encoding models on the shared regression engine: a penalty a voxel, whole groups held out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .._check import check, finite, positive
from ..data import check_responses
from ..metrics import explainable_variance, noise_ceiling, pearson, spearman_brown, split_half, stack_repeats
from ..metrics import r2 as share_of_variance
from ..regression import RidgeCV, Rotated, cross_predict, fold_splits, rotate
from ._blocks import BlockStore, block_step, fit_blocks
from ._trials import check_same, rows_by_stimulus

_FEWEST_VOLUMES = 10  # as many rows in order are no accident of names such as "cat:0" and "cat:1"
#: Penalties for features of any size: they are scaled with the features' mean variance.
ALPHAS = tuple(float(a) for a in np.logspace(-3, 7, 21))


def noise_ceilings(
    responses: xr.DataArray,
    *,
    n_repeats: float | None = None,
    n_splits: int = 20,
    voxels_per_batch: int | None = None,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Three estimates of the share of variance that a model can explain, for the same number of repeats.

    Parameters
    ----------
    responses
        Responses (presentation, neuroid); rows of one `stimulus_id` are repeats, as many as there are of each.
    n_repeats
        Repeats that are averaged when a model is scored; None is the (harmonic) mean number recorded.
    n_splits
        Random halves of the split-half estimate.
    voxels_per_batch
        Voxels at a time; None by free memory. It does not change the noise ceiling and the explainable variance.
    rng
        Seed or generator of the halves.

    Returns
    -------
    xarray.Dataset
        ``noise_ceiling split_half explainable_variance`` (neuroid), fractions of the variance of a mean over
        `n_repeats`; ``ncsnr`` by the noise ceiling; ``n_repeats``. The two others can fall below 0; nothing is clipped.

    Raises
    ------
    ValueError
        When no stimulus repeats.

    References
    ----------
    .. [1] E J Allen et al. (2022). A massive 7T fMRI dataset. doi:10.1038/s41593-021-00962-x, Methods.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> rng = np.random.default_rng(0)
    >>> trials = np.repeat(rng.normal(size=(400, 50)), 4, axis=0) + np.sqrt(2) * rng.normal(size=(1600, 50))
    >>> found = noise_ceilings(make_responses(trials, stimulus_id=np.repeat(np.arange(400), 4)), rng=0)
    >>> [round(float(found[name].mean()), 1) for name in ("noise_ceiling", "split_half", "explainable_variance")]
    [0.7, 0.7, 0.7]
    """
    check_responses(responses)
    check("time" not in responses.dims, "responses", "without a time axis", responses.dims)
    if n_repeats is not None:
        positive("n_repeats", n_repeats)
    labels = responses.coords["stimulus_id"].values
    check(len(np.unique(labels)) < len(labels), "responses", "of stimuli that repeat", f"{len(labels)} shown once",
          "Select those that repeat.")  # fmt: skip
    rows = []
    for columns in voxel_batches(responses.shape[1], 12 * 8 * len(labels), voxels_per_batch):
        trials, _ = stack_repeats(responses.isel(neuroid=columns).values.astype(np.float64), labels)
        ceiling = noise_ceiling(trials)
        to = np.asarray(ceiling.n_repeats, dtype=float) if n_repeats is None else n_repeats
        each = [ceiling, split_half(trials, n_splits=n_splits, rng=rng), explainable_variance(trials)]
        at = [_convert(e, to) for e in each]
        rows.append(np.stack([*at, ceiling.ncsnr, np.broadcast_to(to, at[0].shape)]))
    names = ("noise_ceiling", "split_half", "explainable_variance", "ncsnr", "n_repeats")
    values = np.concatenate(rows, axis=1)
    data = {name: ("neuroid", row) for name, row in zip(names, values, strict=True)}
    return xr.Dataset(data, coords=neuroid_coords(responses), attrs={"n_splits": n_splits})


def _convert(reliability: Any, to: Any) -> np.ndarray:
    """Return the reliability of a mean over `to` repeats, a number or one a voxel."""
    return np.asarray(spearman_brown(reliability.value, factor=to / np.asarray(reliability.n_repeats)))


def encode_voxels(
    features: Any,
    responses: xr.DataArray,
    *,
    groups: Any = "stimulus_id",
    n_folds: int = 5,
    splits: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    alphas: Any = ALPHAS,
    voxels_per_batch: int | None = None,
    store: str | os.PathLike[str] | None = None,
    client: Any = None,
    device: Any = None,
    progress: bool = False,
    rng: int | np.random.Generator = 1,
) -> xr.Dataset:
    """Score ridge models of every voxel on groups that took no part in fitting or in choosing the penalty.

    One rotation of the features serves all folds, penalties and voxels; each voxel's penalty is chosen within the
    training rows by leaving out whole groups in closed form.

    Parameters
    ----------
    features
        (presentation, feature) in the rows of `responses`, or a labelled array with one row a `stimulus_id`.
    responses
        Responses (presentation, neuroid). Average repeats first, or keep them: groups hold them together.
    groups
        Name of a coordinate, or (presentation,) labels: ``"run"`` for time series. All rows of a stimulus belong to
        one group, and a group of a time series (rows with `time_s`; or with the attribute `tr_s`, and
        named ``"clip:0" "clip:1"`` ... in order) holds several rows.
    n_folds
        Of groups; the number of groups leaves out one at a time.
    splits
        ``(train, test)`` rows instead of folds.
    alphas
        Penalties, times the mean variance of a feature and the number of rows over 1000, so that they fit features in
        any unit.
    voxels_per_batch
        Voxels at a time; None by free memory. The result does not depend on it.
    store
        Folder that keeps every finished batch: a fit that was killed goes on from there, and voxels whose responses
        have changed since are fitted again. None keeps nothing.
    client
        A `distributed.Client` whose workers fit batches; None fits here. The result is the same.
    device
        None fits with NumPy; else a torch device, such as ``"cuda"``. Both compute in float64.
    progress
        Show a bar over batches.
    rng
        Order of the groups in folds.

    Returns
    -------
    xarray.Dataset
        ``r``, ``r2`` (its 0 is the mean of the held-out rows) and ``alpha``, each (split, neuroid); the voxels'
        coordinates; the rotation of the features costs the same for one voxel and a hundred thousand.

    Raises
    ------
    ValueError
        For NaN, rows that do not match, groups that tear a stimulus apart, a time series by single rows, fewer groups
        than folds, splits that tear a group apart, or a store that belongs to another fit.

    Notes
    -----
    Responses on disk (a DataArray about a memory map) are read a batch at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(120, 30))
    >>> y = x @ rng.normal(size=(30, 4)) + rng.normal(size=(120, 4))
    >>> found = encode_voxels(x, make_responses(y, stimulus_id=np.arange(120)))
    >>> found.r.dims, bool(found.r.mean() > 0.9)
    (('split', 'neuroid'), True)
    """
    x, y_all, labels = aligned(features, responses, groups)
    turned = rotate(x, device=device)
    scale = feature_scale(turned)
    penalties = np.atleast_1d(np.asarray(alphas, dtype=float)) * scale
    pairs = list(splits) if splits is not None else fold_splits(labels, n_folds=n_folds, rng=rng)
    step = block_step(8 * len(x) * (8 + 3 * len(pairs)), voxels_per_batch, _free_bytes(device) / _workers(client))
    kept = None
    if store is not None:
        settings = [x, np.asarray(alphas, dtype=float), labels.astype(str), *(rows for pair in pairs for rows in pair)]
        kept, step = BlockStore.open(store, settings, step)
    batches = list(voxel_batches(responses.shape[1], 1, step))
    shared = (turned, pairs, penalties, labels)
    parts = fit_blocks(score_block, y_all, batches, *shared, store=kept, client=client, progress=progress)
    values = np.concatenate(parts, axis=2)
    values[2] /= scale
    data = {n: (("split", "neuroid"), v) for n, v in zip(("r", "r2", "alpha"), values, strict=True)}
    attrs = {"estimator": "ridge", "splits": f"{len(pairs)}", "groups": groups if isinstance(groups, str) else "given",
             "alpha_scale": scale, "source": responses.attrs.get("source", "")}  # fmt: skip
    return xr.Dataset(data, coords=neuroid_coords(responses), attrs=attrs)


def score_block(y: np.ndarray, turned: Rotated, pairs: Any, penalties: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return r, R² and penalties (3, split, voxel) of some voxels (row, voxel)."""
    y = np.asarray(y, dtype=np.float64)
    finite("responses", y, 'Read with nan="drop".')
    found = cross_predict(turned, y, splits=pairs, estimator="ridge", alphas=penalties, groups=labels)
    scores = [_scores(y[test], p) for (_, test), p in zip(pairs, found.predictions, strict=True)]
    return np.stack([*np.stack(scores, axis=1), np.asarray(found.alphas)])


def _scores(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(pearson(y, predicted)), np.asarray(share_of_variance(predicted, y))])


def _workers(client: Any) -> int:
    return 1 if client is None else max(1, len(client.scheduler_info()["workers"]))


def voxel_weights(
    features: Any,
    responses: xr.DataArray,
    *,
    groups: Any = "stimulus_id",
    alphas: Any = ALPHAS,
    voxels_per_batch: int | None = None,
    device: Any = None,
    progress: bool = False,
) -> xr.Dataset:
    """Fit every voxel's ridge weights on all rows, the penalty chosen by leaving out whole groups.

    Parameters are those of `encode_voxels`.

    Returns
    -------
    xarray.Dataset
        ``weight`` (neuroid, feature) in response per unit of feature, ``intercept`` and ``alpha`` (neuroid), float32.

    Raises
    ------
    ValueError
        As `encode_voxels`.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = x @ [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]] + 5
    >>> found = voxel_weights(x, make_responses(y, stimulus_id=np.arange(60)))
    >>> abs(found.weight.values.round(2)).tolist(), found.intercept.values.round(2).tolist()
    ([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [5.0, 5.0])
    """
    x, y_all, labels = aligned(features, responses, groups)
    scale = feature_scale(rotate(x, device=device))
    penalties = np.atleast_1d(np.asarray(alphas, dtype=float)) * scale
    parts = []
    batches = list(voxel_batches(responses.shape[1], 8 * (8 * len(x) + 2 * x.shape[1]), voxels_per_batch, device))
    for columns in tqdm(batches, disable=not progress, desc="voxels"):
        y = np.asarray(y_all[:, columns], dtype=np.float64)
        finite("responses", y, 'Read with nan="drop".')
        found = RidgeCV(penalties, device=device).fit(x, y, groups=labels)
        parts.append((found.coef_.astype(np.float32), found.intercept_, found.alpha_ / scale))
    weight, intercept, alpha = (np.concatenate(p).astype(np.float32) for p in zip(*parts, strict=True))
    data = {
        "weight": (("neuroid", "feature"), weight),
        "intercept": ("neuroid", intercept),
        "alpha": ("neuroid", alpha),
    }
    return xr.Dataset(data, coords=neuroid_coords(responses), attrs={"alpha_scale": scale})


def aligned(features: Any, responses: xr.DataArray, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features in the rows of the responses, their values, and the groups' labels."""
    check_responses(responses)
    check("time" not in responses.dims, "responses", "without a time axis", responses.dims, "Select or average bins.")
    n = responses.sizes["presentation"]
    named = "stimulus_id" in getattr(features, "coords", {})
    wanted = responses.coords["stimulus_id"].values
    x = rows_by_stimulus("features", features, wanted, "responses") if named else np.asarray(features)
    check(responses.sizes["neuroid"] > 0, "responses", "of at least one voxel", "none")
    check(x.dtype.kind in "biuf", "features", "real numbers", f"dtype {x.dtype}", "Convert them with .astype(float).")
    check(x.ndim == 2 and len(x) == n, "features", f"({n}, feature), a row for each of the responses'",
          f"shape {x.shape}", "Label them with stimulus_id, or repeat rows.")  # fmt: skip
    finite("features", x)
    if isinstance(groups, str):
        check(groups in responses.coords, "groups", f"a coordinate among {sorted(map(str, responses.coords))}", groups)
        groups = responses.coords[groups].values
    labels = np.asarray(groups)
    check(labels.shape == (n,), "groups", f"a label for each of the {n} rows", f"shape {labels.shape}")
    _check_groups(labels, responses)
    return x, responses.values, labels


def _check_groups(labels: np.ndarray, responses: xr.DataArray) -> None:
    """Raise when rows held out have a repeat, or their neighbours in time, among the rows fitted."""
    names = responses.coords["stimulus_id"].values
    check_same("groups", labels[:, None], names, "of one stimulus",
               "Rows of one stimulus on both sides of a split leak: use groups='stimulus_id'.")  # fmt: skip
    timed = "time_s" in responses.coords and responses.coords["time_s"].dims == ("presentation",)
    series = timed or ("tr_s" in responses.attrs and _counts_up(names))
    check(not series or len(np.unique(labels)) < len(labels), "groups", "of several rows each for a time series",
          f"{len(labels)} of one row",
          'Neighbouring volumes leak: use groups="run", or drop time_s and tr_s from rows of trials.')  # fmt: skip


def _counts_up(names: np.ndarray) -> bool:
    """Return whether rows are named as volumes by `read_bold`: what was shown, a colon, and 0, 1, 2, ... in order."""
    parts = [str(name).rpartition(":") for name in names]
    if not all(colon and number.isdecimal() for _, colon, number in parts):
        return False
    shown, number = np.array([p[0] for p in parts]), np.array([int(p[2]) for p in parts])
    same = shown[1:] == shown[:-1]
    longest = np.diff(np.flatnonzero(np.r_[True, ~same, True])).max()
    return bool(longest >= _FEWEST_VOLUMES and (np.diff(number)[same] == 1).all())


def feature_scale(turned: Any) -> float:
    """Return the factor that makes penalties fit features in any unit: their variance times rows over 1000."""
    total = float(turned.eigenvalues.sum())
    check(total > 0, "features", "ones that vary", "constant features")
    return total / turned.n_units / 1000


def neuroid_coords(responses: xr.DataArray) -> dict[str, Any]:
    """Return the coordinates that belong to voxels."""
    return {str(n): c for n, c in responses.coords.items() if c.dims == ("neuroid",)}


def voxel_batches(n_voxels: int, bytes_each: int, voxels_per_batch: int | None, device: Any = None) -> Iterator[slice]:
    """Yield slices of voxels: as many at a time as asked for, or as a quarter of the device's free memory holds."""
    step = block_step(bytes_each, voxels_per_batch, _free_bytes(device))
    for start in range(0, n_voxels, step):
        yield slice(start, min(start + step, n_voxels))


def _free_bytes(device: Any = None) -> float:
    """Return free memory of the GPU, or as the system tells it, else two gigabytes."""
    if device is not None:
        import torch

        if torch.device(device).type == "cuda":
            return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 2e9
