"""How good answers are: hulls by identity and area, round trips by length."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..._check import check


class HullScores(NamedTuple):
    """Shares over problems.

    Parameters
    ----------
    correct
        The same polygon: the same indices in the same cyclic order.
    area
        Share of the true hull's area that the answer covers, over answers that are simple polygons; NaN without any.
    simple
        Share of answers that are simple polygons. Below 0.99 the paper calls the area a failure.

    Examples
    --------
    >>> HullScores(1.0, 1.0, 1.0).simple
    1.0
    """

    correct: float
    area: float
    simple: float


def hull_scores(points: Any, answers: Any, truth: Any) -> HullScores:
    """Compare answers with true convex hulls.

    Parameters
    ----------
    points
        (problem, n, 2).
    answers, truth
        (problem, step) indices, -1 after the end.

    Returns
    -------
    HullScores

    Raises
    ------
    ValueError
        For shapes that do not fit.

    References
    ----------
    O Vinyals, M Fortunato, N Jaitly (2015). Pointer networks. arXiv:1506.03134, section 4.2.

    Examples
    --------
    >>> square = [[[0, 0], [1, 0], [1, 1], [0, 1]]]
    >>> hull_scores(square, [[2, 3, 0, 1]], [[0, 1, 2, 3]])
    HullScores(correct=1.0, area=1.0, simple=1.0)
    """
    places, given, right = np.asarray(points, dtype=np.float64), np.asarray(answers), np.asarray(truth)
    good = places.ndim == 3 and places.shape[2] == 2 and len(given) == len(right) == len(places) > 0
    check(good, "points, answers, truth", "(problem, n, 2) and twice (problem, step)",
          f"shapes {places.shape}, {given.shape}, {right.shape}")  # fmt: skip
    simple = _is_simple(places, given)
    share = np.abs(_area(places, given)) / np.abs(_area(places, right))
    same = _same_cycle(given, right)
    area = float(share[simple].mean()) if simple.any() else float("nan")
    return HullScores(float(same.mean()), area, float(simple.mean()))


def tour_length(points: Any, answers: Any) -> np.ndarray:
    """Return the length of each round trip; NaN for one that leaves a town out or visits one twice.

    Parameters
    ----------
    points
        (problem, n, 2).
    answers
        (problem, n) indices.

    Returns
    -------
    ndarray
        (problem,).

    Raises
    ------
    ValueError
        For shapes that do not fit.

    Examples
    --------
    >>> tour_length([[[0, 0], [0, 1], [1, 1], [1, 0]]], [[0, 1, 2, 3]]).tolist()
    [4.0]
    """
    places, order = np.asarray(points, dtype=np.float64), np.asarray(answers)
    good = places.ndim == 3 and order.shape == places.shape[:2]
    check(good, "points and answers", "(problem, n, d) and (problem, n)", f"shapes {places.shape}, {order.shape}")
    at = np.take_along_axis(places, order.clip(0)[..., None], 1)
    length = np.linalg.norm(at - np.roll(at, 1, 1), axis=-1).sum(1)
    whole = (np.sort(order, 1) == np.arange(order.shape[1])).all(1)
    return np.where(whole, length, np.nan)


def _same_cycle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether two padded cycles are one: each turned so that its lowest index comes first."""
    width = max(a.shape[1], b.shape[1])

    def turned(cycle: np.ndarray) -> np.ndarray:
        cycle = np.pad(cycle, ((0, 0), (0, width - cycle.shape[1])), constant_values=-1)
        length = np.maximum((cycle >= 0).sum(1), 1)
        first = np.where(cycle >= 0, cycle, np.iinfo(cycle.dtype).max).argmin(1)
        step = (first[:, None] + np.arange(width)) % length[:, None]
        return np.where(np.arange(width) < length[:, None], np.take_along_axis(cycle, step, 1), -1)

    return (turned(a) == turned(b)).all(1) & (a >= 0).any(1)


def _corners(points: np.ndarray, cycle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return begins and ends (problem, edge, 2) of the edges, and which edges there are."""
    length = (cycle >= 0).sum(1)
    step = np.arange(cycle.shape[1])
    after = np.where(step + 1 < length[:, None], step + 1, 0)
    begin = np.take_along_axis(points, cycle.clip(0)[..., None], 1)
    return begin, np.take_along_axis(begin, after[..., None], 1), step < length[:, None]


def _area(points: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    begin, end, real = _corners(points, cycle)
    cross = begin[..., 0] * end[..., 1] - begin[..., 1] * end[..., 0]
    return (cross * real).sum(1) / 2


def _is_simple(points: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """Whether a cycle has three corners or more, none twice, and no two edges that cross."""
    begin, end, real = _corners(points, cycle)
    in_order = np.sort(cycle, 1)
    twice = ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)).any(1)

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        u, v = b - a, c - a
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    p, q = (v[:, :, None] for v in (begin, end))
    r, s = (v[:, None] for v in (begin, end))
    cross = (side(p, q, r) * side(p, q, s) < 0) & (side(r, s, p) * side(r, s, q) < 0)
    cross &= real[:, :, None] & real[:, None]
    return (real.sum(1) >= 3) & ~twice & ~cross.any((1, 2))
