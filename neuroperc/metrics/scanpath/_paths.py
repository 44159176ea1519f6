"""Reading scanpaths and label sequences of any shape, and pairing them; what all scanpath metrics share.

Inside, a set of paths lies side by side with the path last: arrays of (longest, n), so that a step along all paths is
one contiguous row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from ..._check import check, fail

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

_CELLS = 2**17  # cells of the dynamic program worked on at a time: what stays in the cache


_ONLY = np.zeros(1, dtype=np.int64)


class Paths(NamedTuple):
    """Scanpaths side by side: x, y, duration (longest, n), 0 beyond each path's end."""

    x: Floats
    y: Floats
    duration: Floats
    n: Whole  # fixations in each path
    known: Flags  # at least one fixation and every place is known
    timed: Flags  # every duration is known
    single: bool


class Labels(NamedTuple):
    """Label sequences side by side: (longest, n), -1 beyond each one's end."""

    label: Whole
    n: Whole
    known: Flags
    single: bool


def numpy_of(name: str, values: Any) -> NDArray[Any]:
    """Return a NumPy array of real numbers from an array, a tensor or nested lists."""
    if array_api_compat.is_torch_array(values):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        fail(name, "an array of one shape", "lists of different lengths", "Pass several paths as a list of arrays.")
    if array.dtype.kind not in "fiub":
        fail(name, "an array of real numbers", f"dtype {array.dtype}", "Convert it to numbers first.", TypeError)
    return array


def read_paths(name: str, paths: Any) -> Paths:
    """Read one path (n, 2 or 3), a list of such, or a batch (paths, longest, 2 or 3) padded with NaN at its end."""
    values, n, single = pad_paths(name, paths)
    return _paths(name, values, n, single=single)


def pad_paths(name: str, paths: Any) -> tuple[Floats, Whole, bool]:
    """Return paths as a batch (paths, longest, 2 or 3) padded with NaN, their lengths, and whether it was only one."""
    if _is_list(paths, 2):
        items = [numpy_of(f"{name}[{i}]", p) for i, p in enumerate(paths)]
        items = [p.reshape(0, 3) if p.size == 0 else p for p in items]
        for i, item in enumerate(items):
            _check_path(f"{name}[{i}]", item, 2)
        values = np.full((len(items), max((len(p) for p in items), default=0), 3), np.nan)
        for row, item in zip(values, items, strict=True):
            row[: len(item), : item.shape[1]] = item
        return values, np.array([len(p) for p in items], dtype=np.int64), False
    array = numpy_of(name, paths).astype(np.float64, copy=False)
    array = array.reshape(0, 3) if array.shape == (0,) else array
    check(array.ndim in (2, 3), name, "(n, 3), (n, 2), a list of such, or a padded batch (paths, n, 3)",
          f"shape {array.shape}")  # fmt: skip
    _check_path(name, array, array.ndim)
    if array.ndim == 2:
        return array[None], np.array([len(array)]), True
    return array, _lengths(np.asarray(~np.isnan(array).all(-1))), False


def _lengths(there: Flags) -> Whole:
    """Return where each row of (rows, longest) ends: after the last place that is there."""
    n = np.where(there, np.arange(1, there.shape[1] + 1), 0)
    return np.asarray(n.max(1, initial=0), dtype=np.int64)


def _is_list(values: Any, ndim: int) -> bool:
    """Whether a list holds several sequences of `ndim` axes, and is not itself the rows of one."""
    return isinstance(values, list | tuple) and (
        len(values) == 0 or any(np.ndim(v) == ndim or np.size(v) == 0 for v in map(_plain, values))
    )


def _plain(values: Any) -> Any:
    return values if hasattr(values, "ndim") and hasattr(values, "shape") else _ragged(values)


def _ragged(values: Any) -> Any:
    try:
        return np.asarray(values)
    except ValueError:  # a list of lists of different lengths: neither
        return np.zeros((1,) * 9)


def _check_path(name: str, array: NDArray[Any], ndim: int) -> None:
    fine = array.ndim == ndim and array.shape[-1] in (2, 3)
    check(fine, name, "rows of x, y, duration or of x, y", f"shape {array.shape}", "One row a fixation.")


def _paths(name: str, values: Floats, n: Whole, *, single: bool) -> Paths:
    bare = not np.isfinite(values).all() or values.shape[2] == 2
    table = values.transpose(2, 1, 0)
    if (table[2:] < 0).any():
        fail(f"the durations of {name}", "0 s or more, or NaN", float(np.nanmin(table[2])), "Durations are in seconds.")
    if not bare:  # nothing is lost and nothing padded
        x, y, duration = np.ascontiguousarray(table)
        return Paths(x, y, duration, n, n > 0, np.ones(len(n), dtype=np.bool_), single)
    if np.isinf(values).any():
        fail(name, "finite, or NaN where a fixation is lost", "infinite values", "Replace infinite values first.")
    inside = np.arange(values.shape[1])[:, None] < n
    x, y = table[:2]
    duration = table[2] if len(table) == 3 else np.full(x.shape, np.nan)
    lost, untimed = np.isnan(x) | np.isnan(y), np.isnan(duration)
    known = (n > 0) & ~(lost & inside).any(0)
    timed = np.asarray(~(untimed & inside).any(0))
    x, y, duration = (np.where(inside & ~bad, v, 0.0) for v, bad in ((x, lost), (y, lost), (duration, untimed)))
    return Paths(x, y, duration, n, known, timed, single)


def join(a: Paths, b: Paths) -> Paths:
    """Return the paths of both side by side, those of `a` first."""
    rows = max(len(a.x), len(b.x))
    made = np.zeros((3, rows, len(a.n) + len(b.n)))
    made[:, : len(a.x), : len(a.n)] = a.x, a.y, a.duration
    made[:, : len(b.x), len(a.n) :] = b.x, b.y, b.duration
    n, known, timed = (np.concatenate(pair) for pair in zip(a[3:6], b[3:6], strict=True))
    return Paths(made[0], made[1], made[2], n, known, timed, single=False)


def read_labels(name: str, labels: Any) -> Labels:
    """Read one sequence (n,), a list of such, or a batch (sequences, longest) padded with negative numbers or NaN."""
    if _is_list(labels, 1):
        items = [numpy_of(f"{name}[{i}]", v) for i, v in enumerate(labels)]
        for i, item in enumerate(items):
            check(item.ndim == 1, f"{name}[{i}]", "a sequence (n,) of labels", f"shape {item.shape}")
        n = np.array([len(v) for v in items], dtype=np.int64)
        values = np.full((len(items), int(n.max(initial=0))), -1, dtype=np.int64)
        for row, item in zip(values, items, strict=True):
            row[: len(item)] = _whole(name, item)
        return _labels(values, n, single=False)
    values = _whole(name, numpy_of(name, labels))
    check(values.ndim in (1, 2), name, "(n,), a list of such, or a padded batch (sequences, n)",
          f"shape {values.shape}")  # fmt: skip
    if values.ndim == 1:
        return _labels(values[None], np.array([len(values)]), single=True)
    return _labels(values, _lengths(values >= 0), single=False)


def _whole(name: str, values: NDArray[Any]) -> Whole:
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
        check(bool((values == np.round(values)).all()), name, "whole numbers", "fractions", "Labels are indices.")
    return values.astype(np.int64)


def _labels(values: Whole, n: Whole, *, single: bool) -> Labels:
    inside = np.arange(values.shape[1])[:, None] < n
    known = (n > 0) & ~((values.T < 0) & inside).any(0)
    return Labels(np.where(inside, values.T, -1), n, known, single)


def pair_up(a: Paths | Labels, b: Paths | Labels, pairs: Any, *, same: bool) -> tuple[Whole, Whole, tuple[int, ...]]:
    """Return which path of `a` meets which of `b`, and the shape of the answer."""
    n_a, n_b = len(a.n), len(b.n)
    if isinstance(pairs, str):
        check(pairs == "all", "pairs", "'all', indices (pairs, 2), or None", pairs)
        rows, columns = np.indices((n_a, n_b)).reshape(2, -1)
        return rows, columns, (n_a, n_b)
    if pairs is None and same:
        rows, columns = np.triu_indices(n_a, 1)
        return rows, columns, (len(rows),)
    if pairs is None:
        n = _common(n_a, n_b, a.single, b.single)
        rows, columns = (np.zeros(n, np.int64) if s else np.arange(n) for s in (a.single, b.single))
        return rows, columns, () if a.single and b.single else (n,)
    index = numpy_of("pairs", pairs)
    index = index.reshape(0, 2) if index.size == 0 else index
    fine = index.ndim == 2 and index.shape[1] == 2 and (index.size == 0 or index.dtype.kind in "iu")
    check(fine, "pairs", "whole numbers (pairs, 2)", f"shape {index.shape}, {index.dtype}", "Use scanpath_pairs.")
    index = index.astype(np.int64)
    inside = (index >= 0).all() and (index < [n_a, n_b]).all()
    check(inside, "pairs", f"indices below {n_a} and {n_b}", f"{index.max(initial=0)} and {index.min(initial=0)}")
    return index[:, 0], index[:, 1], (len(index),)


def _common(n_a: int, n_b: int, single_a: bool, single_b: bool) -> int:
    if single_a != single_b:
        return n_b if single_a else n_a
    check(n_a == n_b, "a and b", "equally many paths", f"{n_a} and {n_b}", 'Pass pairs="all" for every combination.')
    return n_a


def score_pairs(
    a: Paths | Labels,
    b: Paths | Labels,
    pairs: Any,
    kernel: Callable[[Whole, Whole], Floats],
    *,
    usable: tuple[Flags, Flags],
    same: bool,
    tail: tuple[int, ...] = (),
) -> Floats:
    """Score pairs of paths of like length together; NaN where either is not usable.

    `kernel` takes the indices of the paths, (p,) each, and returns (p, *tail).
    """
    if a.single and b.single and pairs is None and not same:
        if not (usable[0][0] and usable[1][0]):
            return np.full(tail, np.nan)
        return kernel(_ONLY, _ONLY)[0]
    rows, columns, shape = pair_up(a, b, pairs, same=same)
    out = np.full((len(rows), *tail), np.nan)
    keep = np.flatnonzero(usable[0][rows] & usable[1][columns])
    if len(keep) == 1:
        out[keep] = kernel(rows[keep], columns[keep])
    elif len(keep):
        keep = keep[np.lexsort((b.n[columns[keep]], a.n[rows[keep]]))]
        size = (a.n[rows[keep]] + 1) * (b.n[columns[keep]] + 1)
        for part in np.split(keep, _cuts(size)):
            out[part] = kernel(rows[part], columns[part])
    return out.reshape(shape + tail)


def _cuts(size: Whole) -> list[int]:
    """Where to cut pairs, sorted by length, into parts of about the same work."""
    work = np.cumsum(size) // _CELLS
    return [int(i) for i in np.flatnonzero(np.diff(work)) + 1]


def restore(scores: Floats, *sources: Any) -> Any:
    """Return the scores in the library, on the device and in the floating type of what came in."""
    tensor = next((t for s in sources if (t := _tensor(s)) is not None), None)
    if tensor is None:
        return scores
    import torch

    dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.float64
    return torch.as_tensor(scores, dtype=dtype, device=tensor.device)


def _tensor(source: Any) -> Any:
    if isinstance(source, Sequence) and len(source):
        source = source[0]
    return source if array_api_compat.is_torch_array(source) else None
