"""The Responses and Scores schemas: labelled arrays of what neurons, voxels or model units answered.

A Responses is an `xarray.DataArray` with dims ``("presentation", "neuroid"[, "time"])`` and the coordinates
``stimulus_id`` and ``neuroid_id``; a row is one showing of a stimulus, so a repeated stimulus has several rows.
Labels are plain coordinates, never a MultiIndex, so that a file holds exactly what memory held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr
from numpy.typing import ArrayLike

from .._check import as_rng, check, fail, one_of

DIMS = ("presentation", "neuroid", "time")
_ROWS = 2**24  # values looked at together
SCORE_ATTRS = ("rule", "estimator", "splits", "groups", "seed")


def make_responses(
    values: ArrayLike,
    *,
    stimulus_id: ArrayLike,
    neuroid_id: ArrayLike | None = None,
    time_s: ArrayLike | None = None,
    units: str = "a.u.",
    source: str = "",
    coords: Mapping[str, tuple[str, ArrayLike]] | None = None,
    **labels: ArrayLike,
) -> xr.DataArray:
    """Make a Responses.

    Parameters
    ----------
    values
        (presentation, neuroid) or (presentation, neuroid, time); dtype is kept. NaN marks a missing answer.
    stimulus_id
        (presentation,) name of what was shown.
    neuroid_id
        (neuroid,) name of each neuron, voxel or unit; default 0, 1, 2, ...
    time_s
        (time,) centre of each time bin in seconds after the stimulus; needed when `values` has a time axis.
    units, source
        What the numbers are ("Hz", "spikes", "beta", ...) and where they come from.
    coords
        Any further coordinate as ``{name: (dim, values)}``.
    **labels
        `repetition`, `subject`, `session` (presentation) and `region`, `layer`, `x_deg`, `y_deg`, `i`, `j`, `k`
        (neuroid), one value a row or one for all.

    Returns
    -------
    xarray.DataArray

    Raises
    ------
    ValueError, TypeError
        When a length does not fit, a label is unknown, or `values` is not numeric.

    Examples
    --------
    >>> r = make_responses([[1.0, 2.0], [3.0, 4.0]], stimulus_id=["cat", "dog"], region="V4", units="Hz")
    >>> r.dims, r.region.values.tolist()
    (('presentation', 'neuroid'), ['V4', 'V4'])
    """
    array = np.asarray(values)
    if array.ndim not in (2, 3):
        fail("values", "(presentation, neuroid) or (presentation, neuroid, time)", f"shape {array.shape}")
    if array.ndim == 3 and time_s is None:
        fail("time_s", "given when values has a time axis", None, "Give the centre of each bin in seconds.")
    dims = DIMS[: array.ndim]
    sizes = dict(zip(dims, array.shape, strict=True))
    given: dict[str, tuple[str, Any]] = {"stimulus_id": ("presentation", stimulus_id)}
    given["neuroid_id"] = ("neuroid", np.arange(array.shape[1]) if neuroid_id is None else neuroid_id)
    if time_s is not None:
        given["time"] = ("time", np.asarray(time_s, dtype=np.float64))
    for name, label in labels.items():
        check(
            name in _LABELS, "labels", "among " + ", ".join(_LABELS), name, "Pass it as coords={name: (dim, values)}."
        )
        given[name] = (_LABELS[name], label)
    given |= dict(coords or {})
    fitted = {name: (dim, _fit(name, label, dim, sizes)) for name, (dim, label) in given.items()}
    made = xr.DataArray(array, dims=dims, coords=fitted, attrs={"units": units, "source": source})
    return check_responses(made)


_LABELS = dict.fromkeys(("repetition", "subject", "session"), "presentation")
_LABELS |= dict.fromkeys(("region", "layer", "x_deg", "y_deg", "i", "j", "k"), "neuroid")


def _fit(name: str, label: Any, dim: str, sizes: Mapping[str, int]) -> np.ndarray:
    """Return the label as a 1-D array of its dimension's length; one value serves all."""
    check(dim in sizes, f"the dimension of {name}", f"one of {list(sizes)}", dim)
    array = _plain(np.asarray(label))
    if array.ndim == 0:
        return np.full(sizes[dim], array[()])
    check(
        array.shape == (sizes[dim],), name, f"one value for each of the {sizes[dim]} along {dim}",
        f"shape {array.shape}", "Give one a row, in the order of values.",
    )  # fmt: skip
    return array


def _plain(array: np.ndarray) -> np.ndarray:
    """Turn arrays of Python strings into fixed-width text, which files hold and numpy sorts."""
    if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.ravel()):
        return array.astype(str)
    return array


def check_responses(responses: xr.DataArray) -> xr.DataArray:
    """Return the Responses unchanged; raise, naming what is wrong, unless it obeys the schema.

    Raises
    ------
    TypeError
        When it is not a DataArray, or its values are not numbers.
    ValueError
        When dims, coordinates or attributes differ from the schema, a label repeats where it must not, a dimension has
        a MultiIndex, or a value is infinite.

    Examples
    --------
    >>> check_responses(make_responses([[1.0]], stimulus_id=["cat"])).sizes["neuroid"]
    1
    """
    if not isinstance(responses, xr.DataArray):
        fail("responses", "an xarray.DataArray", type(responses).__name__, "Use make_responses.", TypeError)
    dims = tuple(str(d) for d in responses.dims)
    allowed = (DIMS[:2], DIMS)
    check(
        dims in allowed, "dims", "('presentation', 'neuroid') or with 'time' last", dims, "Use .transpose or .rename."
    )
    check(responses.dtype.kind in "biufc", "values", "numbers", f"dtype {responses.dtype}", error=TypeError)
    for name, dim in (("stimulus_id", "presentation"), ("neuroid_id", "neuroid")):
        ok = name in responses.coords and responses.coords[name].dims == (dim,)
        check(ok, "coords", f"with {name} along {dim}", sorted(map(str, responses.coords)), "Use make_responses.")
    for dim in dims:
        if dim in responses.indexes and responses.indexes[dim].nlevels > 1:
            fail("coords", "plain, without a MultiIndex", dim, f"Use .reset_index({dim!r}).")
    if "time" in dims:
        _check_time(responses)
    _check_finite(responses)
    for name in ("units", "source"):
        check(isinstance(responses.attrs.get(name), str), "attrs", f"with {name} (text)", dict(responses.attrs))
    _check_neuroid_ids(responses)
    return responses


def _check_time(responses: xr.DataArray) -> None:
    check(
        "time" in responses.coords,
        "coords",
        "with time, the bin centres in seconds",
        sorted(map(str, responses.coords)),
    )
    times = responses.coords["time"].values
    ok = times.dtype.kind in "iuf" and bool(np.all(np.isfinite(times))) and bool(np.all(np.diff(times) > 0))
    check(ok, "time", "finite and increasing seconds", times, "Sort with .sortby('time').")


def _check_finite(responses: xr.DataArray) -> None:
    """Look for infinities some rows at a time, so that a memory map larger than memory can be checked."""
    if responses.dtype.kind not in "fc" or responses.chunks is not None:
        return
    step = max(1, _ROWS // max(1, int(np.prod(responses.shape[1:]))))
    infinite = sum(int(np.isinf(responses[i : i + step].values).sum()) for i in range(0, len(responses), step))
    check(not infinite, "values", "finite, or NaN where missing", f"{infinite} infinite values")


def _check_neuroid_ids(responses: xr.DataArray) -> None:
    """One neuroid is one (subject-free) name: unique, or unique within `layer`."""
    ids = responses.coords["neuroid_id"].values
    # By hashing: millions of names take seconds to sort.
    keys = pd.factorize(ids, use_na_sentinel=False)[0].astype(np.int64)
    if "layer" in responses.coords and responses.coords["layer"].dims == ("neuroid",):
        keys += pd.factorize(responses.coords["layer"].values, use_na_sentinel=False)[0] * (keys.max(initial=0) + 1)
    counts = pd.Series(keys).value_counts(sort=False)
    if len(counts) and counts.max() > 1:
        name = ids[np.flatnonzero(keys == counts.idxmax())[0]]
        fail("neuroid_id", "unique (within layer)", f"'{name}' {counts.max()} times", "Rename the copies.")


def select(responses: xr.DataArray, **wanted: Any) -> xr.DataArray:
    """Return the rows and neuroids whose labels are among the wanted ones.

    xarray's ``.sel`` needs an index and refuses repeated labels, which every experiment with repeats has.

    Parameters
    ----------
    responses
        A Responses (or any DataArray with 1-D coordinates).
    **wanted
        A value or a list of values for each coordinate, or a function that takes the coordinate's values to a mask.

    Raises
    ------
    ValueError
        When a coordinate is unknown or nothing is left; the message lists what there is.

    Examples
    --------
    >>> r = make_responses(np.eye(3), stimulus_id=["a", "b", "a"], region=["V1", "V4", "V4"])
    >>> select(r, region="V4", stimulus_id=["a"]).shape
    (2, 2)
    """
    for name, values in wanted.items():
        check(name in responses.coords, "coordinate", f"among {sorted(map(str, responses.coords))}", name)
        labels = responses.coords[name]
        check(labels.ndim == 1, name, "a 1-D coordinate", labels.dims)
        mask = np.asarray(values(labels.values)) if callable(values) else np.isin(labels.values, np.atleast_1d(values))
        if not mask.any():
            there = np.unique(labels.values)[:10].tolist()
            fail(name, f"among those there are ({', '.join(map(str, there))}, ...)", values)
        responses = responses.isel({labels.dims[0]: mask})
    return responses


def average_repeats(responses: xr.DataArray) -> xr.DataArray:
    """Average the presentations of each stimulus.

    Parameters
    ----------
    responses
        A Responses.

    Returns
    -------
    xarray.DataArray
        A row a stimulus, in order of first appearance, with the coordinate `n_repeats`, rows that held any number.
        NaN is left out of each mean and stays NaN where a neuroid has no answer. Coordinates that are the same in all
        rows of every stimulus are kept, others (such as `repetition`) are dropped. Floats keep their dtype.

    Examples
    --------
    >>> r = make_responses([[1.0], [3.0], [7.0]], stimulus_id=["a", "a", "b"])
    >>> average_repeats(r).values.ravel().tolist()
    [2.0, 7.0]
    """
    check_responses(responses)
    check(responses.sizes["presentation"] > 0, "responses", "of one presentation or more", responses.shape)
    return _average(responses, np.ones(responses.sizes["presentation"], dtype=bool))


def _average(responses: xr.DataArray, use: np.ndarray) -> xr.DataArray:
    """Average the rows in `use` by stimulus; every stimulus keeps its row."""
    ids = responses.coords["stimulus_id"].values
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.intp)
    order = np.argsort(first)
    rank[order] = np.arange(first.size)
    groups = rank[inverse]
    values = responses.values.reshape(len(groups), -1)
    dtype = values.dtype if values.dtype.kind in "fc" else np.dtype(np.float64)
    wide = np.result_type(dtype, np.float32)  # float16 holds no sums, and SciPy none of it
    rows = np.flatnonzero(use)
    member = scipy.sparse.csr_matrix((np.ones(rows.size, wide), (groups[rows], rows)), (first.size, len(groups)))
    there: np.ndarray = np.asarray(values == values)  # False for NaN only
    total = member @ np.where(there, values, 0).astype(wide, copy=False)
    counts = member.real @ there.astype(wide).real
    with np.errstate(invalid="ignore"):
        means = np.asarray(total / np.where(counts > 0, counts, np.nan), dtype=dtype)
    out = responses.isel(presentation=first[order]).copy(data=means.reshape((first.size, *responses.shape[1:])))
    out = _drop_varying(out, responses, groups, first[order])
    held = np.bincount(groups[rows], weights=np.asarray(there.any(axis=1))[rows], minlength=first.size).astype(int)
    return out.assign_coords(n_repeats=("presentation", held))


def _drop_varying(out: xr.DataArray, before: xr.DataArray, groups: np.ndarray, first: np.ndarray) -> xr.DataArray:
    for name, label in before.coords.items():
        if "presentation" not in label.dims:
            continue
        here, there = label.values, label.values[first][groups]
        same = (here == there) | ((here != here) & (there != there))  # NaN equals NaN here
        if name == "n_repeats" or not bool(np.all(same)):
            out = out.drop_vars(str(name))
    return out


def split_repeats(
    responses: xr.DataArray,
    *,
    rng: int | np.random.Generator,
    unit: Literal["presentation", "repetition"] = "presentation",
) -> tuple[xr.DataArray, xr.DataArray]:
    """Average two random halves of the repeats of each stimulus, for split-half reliability.

    Parameters
    ----------
    responses
        A Responses in which every stimulus has two presentations or more.
    rng
        Seed or generator.
    unit
        "presentation": the rows of each stimulus are split on their own. "repetition": the values of the coordinate
        `repetition` are split once, the same for all stimuli, as Brain-Score does.

    Returns
    -------
    tuple of xarray.DataArray
        Two averages (see `average_repeats`) with the same stimuli in the same order. With an odd number of repeats a
        random half has one more.

    Raises
    ------
    ValueError
        When a stimulus has one presentation only, or a half of the repetitions leaves a stimulus without any.

    Examples
    --------
    >>> r = make_responses([[1.0], [1.0], [5.0], [5.0]], stimulus_id=["a", "a", "b", "b"])
    >>> first, second = split_repeats(r, rng=0)
    >>> first.values.ravel().tolist(), second.values.ravel().tolist()
    ([1.0, 5.0], [1.0, 5.0])
    """
    check_responses(responses)
    one_of("unit", unit, ("presentation", "repetition"))
    generator = as_rng(rng)
    ids, groups = np.unique(responses.coords["stimulus_id"].values, return_inverse=True)
    if unit == "presentation":
        half = _halves(groups, len(ids), generator)
    else:
        check("repetition" in responses.coords, "coords", "with repetition", sorted(map(str, responses.coords)))
        numbers, which = np.unique(responses.coords["repetition"].values, return_inverse=True)
        half = np.isin(which, generator.permutation(len(numbers))[: len(numbers) // 2])
    for side in (half, ~half):
        count = np.bincount(groups[side], minlength=len(ids))
        if len(ids) == 0 or count.min() == 0:
            name = ids[count.argmin()] if len(ids) else "none"
            fail(
                "responses", "with two or more repeats of each stimulus", f"too few of stimulus '{name}'",
                "Keep the stimuli that repeat, e.g. select(responses, stimulus_id=[...]).",
            )  # fmt: skip
    return _average(responses, half), _average(responses, ~half)


def _halves(groups: np.ndarray, n_groups: int, generator: np.random.Generator) -> np.ndarray:
    """Mark a random half of each group's rows; an odd row goes to either half with equal chance."""
    shuffled = generator.permutation(len(groups))
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    counts = np.bincount(groups, minlength=n_groups)
    place = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = counts // 2 + (counts % 2) * generator.integers(0, 2, n_groups)
    half = np.zeros(len(groups), dtype=bool)
    half[order] = place < np.repeat(size, counts)
    return half


def check_scores(scores: xr.Dataset) -> xr.Dataset:
    """Return the Scores unchanged; raise, naming what is wrong, unless it obeys the schema.

    A Scores is an `xarray.Dataset` with `raw` (layer, split, neuroid), `reliability` (neuroid) in variance units and
    `score` (layer, neuroid); its attributes say rule, estimator, splits, groups, seed and `reliability.n_repeats`.

    Raises
    ------
    TypeError, ValueError
        When it is not a Dataset, a variable or attribute is missing, or dims differ.

    Examples
    --------
    >>> attrs = dict(rule="r2", estimator="ridge", splits=2, groups="stimulus_id", seed=0)
    >>> reliability = xr.DataArray([0.9], dims="neuroid", attrs={"n_repeats": 4})
    >>> made = xr.Dataset(
    ...     {"raw": (("layer", "split", "neuroid"), [[[0.5], [0.6]]]), "reliability": reliability,
    ...      "score": (("layer", "neuroid"), [[0.3]])}, {"layer": ["conv1"]}, attrs)
    >>> check_scores(made).sizes["split"]
    2
    """
    if not isinstance(scores, xr.Dataset):
        fail("scores", "an xarray.Dataset", type(scores).__name__, error=TypeError)
    wanted = {"raw": ("layer", "split", "neuroid"), "reliability": ("neuroid",), "score": ("layer", "neuroid")}
    for name, dims in wanted.items():
        check(name in scores, "scores", f"with the variable {name} {dims}", sorted(map(str, scores.data_vars)))
        check(scores[name].dims == dims, name, f"of dims {dims}", scores[name].dims, "Use .transpose.")
    check("layer" in scores.coords, "coords", "with layer", sorted(map(str, scores.coords)))
    missing = [name for name in SCORE_ATTRS if name not in scores.attrs]
    check(not missing, "attrs", f"with {', '.join(SCORE_ATTRS)}", f"without {', '.join(missing)}")
    known = "n_repeats" in scores["reliability"].attrs or "n_repeats" in scores.coords
    check(known, "reliability", "with n_repeats, as an attribute or a coordinate", dict(scores["reliability"].attrs))
    return scores
