"""MultiMatch: five similarities of two scanpaths after aligning their saccades (Jarodzka 2010; Dewhurst 2012)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..._check import check, non_negative, pair
from ._paths import Floats, Paths, Whole, join, read_paths, restore, score_pairs
from ._programs import Memory, align_vectors
from ._simplify import Saccades, saccades, simplify

_TINY = np.finfo(np.float64).tiny
MULTIMATCH_DIMENSIONS = ("vector", "direction", "length", "position", "duration")


def multimatch(
    a: Any,
    b: Any = None,
    *,
    screen: tuple[float, float],
    pairs: Any = None,
    merge_angle_deg: float | None = None,
    merge_length: float | None = None,
    merge_duration_s: float | None = None,
) -> Any:
    """Compare scanpaths by the shape, direction, length, position and duration of their aligned saccades.

    Parameters
    ----------
    a, b
        A scanpath (n, 3) of x, y, duration in seconds (or (n, 2) without durations), a list of them, or a batch
        (paths, longest, 3) padded with rows of NaN at the end. x and y in any one unit, that of `screen`. One path
        against many is compared with each. Without `b`, the paths of `a` are compared with one another, each pair once.
    screen
        (height, width) in the same unit; its diagonal D normalises.
    pairs
        None pairs them one to one; (p, 2) indices into `a` and `b`, such as `scanpath_pairs` gives; ``"all"`` compares
        every path of `a` with every one of `b`.
    merge_angle_deg, merge_length, merge_duration_s
        Simplification, off by default: successive saccades that turn by less than the angle over a fixation shorter
        than the duration are merged, and so are saccades shorter than the length (in the unit of `screen`) beside such
        a fixation, again and again until nothing changes. One that is not given merges nothing; the duration is needed.

    Returns
    -------
    array
        (..., 5) similarities: vector ``1 − med|v − w|/2D``, direction ``1 − med(angle)/π``,
        length ``1 − med|ρ − ρ'|/D``, position ``1 − med|p − p'|/D``, duration ``1 − med(|d − d'|/max(d, d'))``;
        shape (5,) for one pair, (pairs, 5), or (len(a), len(b), 5) for ``"all"``. Tensors give tensors
        (the alignment itself runs in NumPy on the CPU).

        NaN: all five when either path has fewer than three fixations or a fixation without a place; the duration alone
        when a duration is missing (all five with simplification, which needs them). `coverage` counts what is left.

    Raises
    ------
    ValueError
        For another shape, infinite values, negative durations, or a simplification without its duration.

    Notes
    -----
    Saccades are aligned by the cheapest monotone path through ‖v_i − w_j‖, found by dynamic programming along
    anti-diagonals for many pairs at once; at exact ties the diagonal wins. Points off the screen are used as they are.

    Results equal those of the published toolbox's Python port, its treatment of a path's last saccade included, and are
    defined where that raises: parallel saccades (rounding gives a cosine above 1) turn by 0; a single remaining short
    saccade stays; a saccade of length 0 has direction 0
    in the comparison and none in the simplification; two durations of 0 are alike.

    References
    ----------
    .. [1] H Jarodzka, K Holmqvist, M Nyström (2010). A vector-based, multidimensional scanpath similarity measure.
    .. [2] R Dewhurst et al. (2012). It depends on how you look at it: scanpath comparison in multiple dimensions with
       MultiMatch. Behavior Research Methods 44.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[10, 10, 0.2], [60, 15, 0.3], [60, 80, 0.25], [20, 90, 0.4]])
    >>> b = a + [0, 10, 0.1]
    >>> multimatch(a, b, screen=(100, 100)).round(3)
    array([1.   , 1.   , 1.   , 0.929, 0.714])
    >>> multimatch([a, b, a[:2]], screen=(100, 100)).round(3)[:, 3]
    array([0.929,   nan,   nan])
    """
    height, width = pair("screen", screen)
    check(height > 0 and width > 0, "screen", "a (height, width) above 0", screen)
    merging = _merging(merge_angle_deg, merge_length, merge_duration_s)
    left = read_paths("a", a)
    right = left if b is None else read_paths("b", b)
    tables = _tables(left, right, merging)
    diagonal = math.hypot(height, width)
    norm = np.array([2 * diagonal, math.pi, diagonal, diagonal, 1.0])
    usable = [(p.n >= 3) & p.known & (p.timed if merging else True) for p in (left, right)]
    memory = Memory()

    def kernel(i: Whole, j: Whole) -> Floats:
        scores = 1 - _medians(tables, i, j, memory) / norm
        scores[~(left.timed[i] & right.timed[j]), 4] = np.nan
        return scores

    found = score_pairs(left, right, pairs, kernel, usable=(usable[0], usable[1]), same=b is None, tail=(5,))
    return restore(found, a, b)


def _merging(angle_deg: float | None, length: float | None, duration_s: float | None) -> dict[str, float] | None:
    if angle_deg is None and length is None and duration_s is None:
        return None
    remedy = "Simplification needs merge_duration_s and merge_angle_deg or merge_length."
    complete = duration_s is not None and not (angle_deg is None and length is None)
    check(complete, "merge_duration_s", "given with merge_angle_deg or merge_length", duration_s, remedy)
    named = {"angle_deg": angle_deg, "length": length, "duration_s": duration_s}
    return {name: non_negative(f"merge_{name}", 0.0 if value is None else value) for name, value in named.items()}


class _Table(NamedTuple):
    """What is known of the saccades of every path before pairs are formed."""

    n: Whole
    first: int  # its first path
    values: Floats  # (7, longest, n): dx, dy, length, angle, x, y, duration


def _tables(left: Paths, right: Paths, merging: dict[str, float] | None) -> tuple[_Table, _Table]:
    if merging is None:
        one = _table(saccades(left), 0)
        return one, one if right is left else _table(saccades(right), 0)
    both = left if right is left else join(left, right)
    found = saccades(both)
    one = _table(simplify(found, **merging) if len(found.dx) else found, 0)
    return one, one if right is left else one._replace(first=len(left.n))


def _table(s: Saccades, first: int) -> _Table:
    length, angle = np.sqrt(s.dx**2 + s.dy**2), np.arctan2(s.dy, s.dx)
    return _Table(s.n, first, np.stack((s.dx, s.dy, length, angle, s.x, s.y, s.duration)))


def _medians(tables: tuple[_Table, _Table], i: Whole, j: Whole, memory: Memory) -> Floats:
    """Return (pairs, 5) medians of the differences along the alignment."""
    a, b = tables
    j = j + b.first
    n, m = a.n[i], b.n[j]
    vectors = [t.values[:2, : int(k.max()), at] for t, k, at in ((a, n, i), (b, m, j))]
    row, column, count = align_vectors(vectors[0], vectors[1], n, m, memory)
    at_a, at_b = (memory.take(name, 7, *row.shape) for name in "ab")
    # mode="clip" writes straight to `out`; every index is inside
    for t, place, paths, out in ((a, row, i, at_a), (b, column, j, at_b)):
        where = place * t.values.shape[2] + paths[:, None]
        t.values.reshape(7, -1).take(where, axis=1, out=out, mode="clip")
    longest = np.maximum(np.maximum(at_a[6], at_b[6]), _TINY)
    at_a -= at_b
    np.abs(at_a, out=at_a)
    dx, dy, length, turn, x, y, duration = at_a
    np.minimum(turn, 2 * math.pi - turn, out=turn)
    np.divide(duration, longest, out=duration)
    dx *= dx
    dy *= dy
    dx += dy
    np.sqrt(dx, out=dx)
    x *= x
    y *= y
    x += y
    np.sqrt(x, out=x)
    differences = memory.take("differences", 5, *row.shape)
    for place, value in zip(differences, (dx, turn, length, x, duration), strict=True):
        place[:] = value
    if len(i) > 1:
        np.copyto(differences, np.inf, where=np.arange(row.shape[1]) >= count[:, None])
    differences.sort(-1)
    lane = np.arange(len(i))
    return ((differences[:, lane, (count - 1) // 2] + differences[:, lane, count // 2]) / 2).T
