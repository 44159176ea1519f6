"""Voxels, pictures and labels of the same trials, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from .._check import check, fail, finite

_MOST_COMPARED = 1024


def checked_trials(responses: Any, images: Any, stimuli: Any, groups: Any, conditions: Any) -> tuple[Any, ...]:
    """Return voxels, the shape of a picture, flat pictures, and the labels of stimuli, groups and conditions."""
    x = np.asarray(getattr(responses, "values", responses), dtype=float)
    check(x.ndim == 2 and x.size > 0, "responses", "(row, voxel)", f"shape {x.shape}")
    finite("responses", x, 'Read with nan="drop".')
    pictures = np.asarray(_pictures(responses, images), dtype=float)
    ok = pictures.ndim > 1 and len(pictures) == len(x) and pictures[0].size > 1
    check(ok, "images", f"({len(x)}, ...), a picture of 2 or more pixels for each row", f"shape {pictures.shape}")
    finite("images", pictures)
    y = pictures.reshape(len(x), -1)
    labels = _labels("stimuli", stimuli, responses, len(x))
    check_same("images", y, labels, "of one stimulus", "Label each picture as a stimulus of its own.")
    held = labels if groups is None else _labels("groups", groups, responses, len(x))
    kinds = np.zeros(len(x), int) if conditions is None else _labels("conditions", conditions, responses, len(x))
    for name, of_row in (("groups", held), ("conditions", kinds)):
        check_same(name, of_row[:, None], labels, "of one stimulus", "A stimulus on both sides of a split leaks.")
    alone = [] if conditions is None else _of_one_stimulus(kinds, labels)
    check(not alone, "conditions", "of two or more stimuli each", f"one in {alone[:1]}", "There is nothing to tell it "
          "from: leave it out, or merge conditions.")  # fmt: skip
    n_groups = len(np.unique(held))
    check(n_groups > 3, "groups", "four or more", n_groups, "The penalty leaves a group out too.")
    return x, pictures.shape[1:], y, labels, held, kinds


def _pictures(responses: Any, images: Any) -> Any:
    if not hasattr(images, "ids"):
        return images.detach().cpu() if hasattr(images, "detach") else images
    labelled = hasattr(responses, "coords")
    check(labelled, "responses", "a Responses when images is a StimulusSet", type(responses).__name__,
          "Or give an array with a picture a row.")  # fmt: skip
    place = {name: i for i, name in enumerate(images.ids)}
    wanted = [str(name) for name in responses.coords["stimulus_id"].values]
    missing = sorted(set(wanted) - set(place))
    check(not missing, "images", "there for every stimulus of the responses", f"none for {missing[:1]}")
    shapes = sorted(set(images.shapes))
    check(len(shapes) == 1, "images", "of one size", shapes, "Read them with one resolution.")
    loaded = np.stack([np.asarray(images[i], dtype=float) for i in range(len(images))])
    return loaded[[place[name] for name in wanted]]


def _labels(name: str, given: Any, responses: Any, n: int) -> np.ndarray:
    if isinstance(given, str):
        coords = getattr(responses, "coords", {})
        check(given in coords, name, f"labels, or a coordinate among {sorted(map(str, coords))}", given)
        given = coords[given].values
    labels = np.asarray(given)
    check(labels.shape == (n,), name, f"a label for each of the {n} rows", f"shape {labels.shape}")
    return labels


def _of_one_stimulus(kinds: np.ndarray, labels: np.ndarray) -> list[Any]:
    of_stimulus = kinds[np.unique(labels, return_index=True)[1]]
    found, counts = np.unique(of_stimulus, return_counts=True)
    return list(found[counts == 1].tolist())


def check_same(name: str, values: np.ndarray, labels: np.ndarray, what: str, remedy: str) -> None:
    """Raise unless all rows of one label have one value."""
    first, own = np.unique(labels, return_index=True, return_inverse=True)[1:]
    odd = np.flatnonzero(np.any(values != values[first][own], axis=1))
    if odd.size:
        fail(
            name, f"the same for all rows {what}", f"another one in row {odd[0]} of {labels.tolist()[odd[0]]!r}", remedy
        )


def rows_by_stimulus(name: str, table: xr.DataArray, wanted: np.ndarray, whose: str) -> np.ndarray:
    """Return the row of each wanted stimulus from a labelled array that has one row a `stimulus_id`, in any order."""
    labels = table.coords["stimulus_id"]
    check(labels.ndim == 1, name, "with a stimulus_id for each row", f"one of shape {labels.shape}")
    known = labels.values
    check(len(known), name, "of one stimulus or more", "none")
    check(len(np.unique(known)) == len(known), name, "of one row a stimulus_id", "a stimulus twice",
          "Average them, or give a plain array, a row a presentation.")  # fmt: skip
    order = np.argsort(known, kind="stable")
    found = order[np.clip(np.searchsorted(known, wanted, sorter=order), 0, len(known) - 1)]
    missing = np.flatnonzero(known[found] != wanted)
    if missing.size:
        fail(name, f"there for every stimulus of the {whose}", f"none for {wanted[missing[0]]}")
    return np.asarray(table.transpose(labels.dims[0], ...).values[found])


def check_alike(name: str, rows: np.ndarray, labels: np.ndarray) -> None:
    """Raise when rows (row, ...) of one stimulus have nothing in common: they are in another order than the trials."""
    first, own = np.unique(labels, return_index=True, return_inverse=True)[1:]
    again = np.flatnonzero(first[own] != np.arange(len(rows)))[:_MOST_COMPARED]
    if not again.size:
        return
    mean = rows[first[:_MOST_COMPARED]].mean(axis=0)
    a, b = (np.reshape(rows[which] - mean, (len(again), -1)) for which in (again, first[own[again]]))
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = float(np.divide((a * b).sum(axis=1), size, out=np.ones(len(a)), where=size > 0).mean())
    check(cosine > 0.5, name, "alike for all rows of one stimulus", f"a mean cosine of {cosine:.2f}",
          "They must be in the order of the presentations, or labelled with stimulus_id.")  # fmt: skip
