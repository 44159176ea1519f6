"""Distances of short stretches of two scanpaths: time-delay embedding and its scaled form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ..._check import check, integer, one_of, pair
from ._paths import Flags, Floats, Paths, Whole, read_paths, restore, score_pairs

Norm = Literal["l1", "l2"]


def time_delay_embedding(
    a: Any,
    b: Any = None,
    *,
    k: int,
    reduce: Literal["mean", "max"] = "mean",
    norm: Norm = "l1",
    pairs: Any = None,
) -> Any:
    """Return how far the stretches of k fixations of `b` lie from the nearest stretches of `a` (TDE).

    Parameters
    ----------
    a, b, pairs
        As in `multimatch`; durations play no part. `a` is the reference: the distance is not symmetric.
    k
        Fixations in a stretch.
    reduce
        "mean" over the stretches of `b`, or "max", the Hausdorff distance.
    norm
        How far two stretches lie apart: "l1", the mean of their k distances, or "l2", the root of their summed squares
        divided by k.

    Returns
    -------
    array
        () or (pairs,) or (len(a), len(b)) in the unit of the places: for each stretch of `b` the distance of the
        nearest one of `a`, then their mean or maximum. NaN where either path has fewer than k fixations or a place is
        missing.

    Notes
    -----
    Both norms are in use under this name. With "l1" a distance does not shrink with k, and it is what the reference
    values of the toolbox's example were made with; released code (FixaTons) has "l2".

    References
    ----------
    .. [1] W Wang, C Chen, Y Wang, T Jiang, F Fang, Y Yao (2011). Simulating human saccadic scanpaths on natural images.

    Examples
    --------
    >>> a = [[0, 0], [10, 0], [10, 10]]
    >>> b = [[0, 3], [10, 4]]
    >>> float(time_delay_embedding(a, b, k=2)), float(time_delay_embedding(a, b, k=2, norm="l2"))
    (3.5, 2.5)
    """
    size = integer("k", k)
    one_of("reduce", reduce, ("mean", "max"))

    def kernel(far: Floats, n: Whole, m: Whole) -> Floats:
        distance = next(d for stretch, d in enumerate(_nearest(far, norm), 1) if stretch == size)
        there = np.isfinite(distance)
        known = np.where(there, distance, 0.0)
        return np.asarray(known.max(0) if reduce == "max" else known.sum(0) / there.sum(0))

    return _on_places(a, b, pairs, kernel, fewest=size, unit=1.0, norm=norm)


def scaled_time_delay_embedding(
    a: Any, b: Any = None, *, screen: tuple[float, float], norm: Norm = "l1", pairs: Any = None
) -> Any:
    """Return how alike two scanpaths are in stretches of every length (STDE).

    Parameters
    ----------
    a, b, norm, pairs
        As in `time_delay_embedding`.
    screen
        (height, width) in the unit of the places; the longer side scales.

    Returns
    -------
    array
        () or (pairs,) or (len(a), len(b)) in (0, 1]: the mean over k = 1 ... min(n, m) of exp(−TDE_k) with places in
        units of the longer side; 1 when `b` lies on `a`. NaN where either path is empty or a place is missing.

    References
    ----------
    .. [1] D Zanca, V Serchi, P Piu, F Rosini, A Rufa (2018). FixaTons: a collection of human fixations datasets and
       metrics for scanpath similarity.

    Examples
    --------
    >>> a = [[0, 0], [10, 0], [10, 10]]
    >>> float(scaled_time_delay_embedding(a, a, screen=(20, 20)))
    1.0
    """
    height, width = pair("screen", screen)
    check(height > 0 and width > 0, "screen", "a (height, width) above 0", screen)

    def kernel(far: Floats, n: Whole, m: Whole) -> Floats:
        total = np.zeros(len(n))
        for distance in _nearest(far, norm):
            there = np.isfinite(distance)
            count = there.sum(0)
            mean = np.where(there, distance, 0.0).sum(0) / np.maximum(count, 1)
            total += np.where(count > 0, np.exp(-mean), 0.0)
        return np.asarray(total / np.minimum(n, m))

    return _on_places(a, b, pairs, kernel, fewest=1, unit=max(height, width), norm=norm)


def _nearest(far: Floats, norm: Norm) -> Iterator[Floats]:
    """Yield, for k = 1, 2, ..., the distance of each stretch of b (m - k + 1, pairs) to the nearest one of a.

    Stretches are sums along the diagonals of the table of (squared) distances; each k adds one more shifted copy.
    """
    sums = far.copy()
    rows, columns = far.shape[:2]
    for k in range(min(rows, columns)):
        if k:
            sums = sums[: rows - k, : columns - k]
            sums += far[k:, k:]
        least = sums.min(0)
        yield (least if norm == "l1" else np.sqrt(least)) / (k + 1)


def _on_places(a: Any, b: Any, pairs: Any, kernel: Any, *, fewest: int, unit: float, norm: Norm) -> Any:
    one_of("norm", norm, ("l1", "l2"))
    left = read_paths("a", a)
    right = left if b is None else read_paths("b", b)
    beyond = [_beyond(p) for p in (left, right)]

    def of_pairs(i: Whole, j: Whole) -> Floats:
        n, m = left.n[i], right.n[j]
        (ax, ay, past_a), (bx, by, past_b) = (
            (p.x[: k.max(), at] / unit, p.y[: k.max(), at] / unit, past[: k.max(), at])
            for p, k, at, past in ((left, n, i, beyond[0]), (right, m, j, beyond[1]))
        )
        far = (ax[:, None] - bx) ** 2 + (ay[:, None] - by) ** 2
        if norm == "l1":
            np.sqrt(far, out=far)
        if past_a.any() or past_b.any():
            far[past_a[:, None] | past_b] = np.inf  # no stretch runs beyond the end of a path
        return np.asarray(kernel(far, n, m))

    usable = (left.known & (left.n >= fewest), right.known & (right.n >= fewest))
    return restore(score_pairs(left, right, pairs, of_pairs, usable=usable, same=b is None), a, b)


def _beyond(paths: Paths) -> Flags:
    return np.asarray(np.arange(len(paths.x))[:, None] >= paths.n)
