"""Problems whose answer is a sequence of their own inputs: convex hulls, round trips, sorting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..._check import as_rng, check, integer


class Problems(NamedTuple):
    """Inputs, and answers as indices into them.

    Parameters
    ----------
    points
        (problem, n, d) float32 in [0, 1].
    answers
        (problem, n) indices, -1 after an answer's end.

    Examples
    --------
    >>> Problems(np.zeros((1, 2, 1), np.float32), np.array([[0, 1]])).answers.shape
    (1, 2)
    """

    points: np.ndarray
    answers: np.ndarray


def hull_problems(n_problems: int, n_points: int, *, rng: int | np.random.Generator) -> Problems:
    """Draw points and their convex hulls: counter-clockwise, beginning with the lowest index.

    All hulls are wrapped at once, a corner a step.

    Parameters
    ----------
    n_problems
        How many.
    n_points
        Points of each, at least 3, uniform in the unit square.
    rng
        Seed or generator.

    Returns
    -------
    Problems
        Two coordinates a point.

    Raises
    ------
    ValueError, TypeError
        For fewer than 3 points.

    References
    ----------
    O Vinyals, M Fortunato, N Jaitly (2015). Pointer networks. arXiv:1506.03134, section 3.1.

    Examples
    --------
    >>> hull_problems(2, 5, rng=0).points.shape
    (2, 5, 2)
    """
    points = _points(n_problems, integer("n_points", n_points, 3), rng)
    corners = _wrap(points.astype(np.float64))
    # Begin with the lowest index: rotate each cycle.
    length = (corners >= 0).sum(1)
    first = np.where(corners >= 0, corners, n_points).argmin(1)
    step = (first[:, None] + np.arange(n_points)) % length[:, None]
    turned = np.take_along_axis(corners, step, 1)
    return Problems(points, np.where(np.arange(n_points) < length[:, None], turned, -1))


def _wrap(points: np.ndarray) -> np.ndarray:
    """Gift wrapping of (m, n, 2): from the lowest point, always to the one that has all others on the left."""
    m, n = points.shape[:2]
    rows = np.arange(m)
    start = points[..., 1].argmin(1)
    corners = np.full((m, n), -1)
    now, done = start, np.zeros(m, dtype=bool)
    for k in range(n):
        corners[:, k] = np.where(done, -1, now)
        away = points - points[rows, now][:, None]
        # A point is next when no other lies to the right of the ray to it: the crosses' minimum over others is 0.
        cross = away[:, :, None, 0] * away[:, None, :, 1] - away[:, :, None, 1] * away[:, None, :, 0]
        worst = np.where(np.arange(n) == now[:, None], -np.inf, cross.min(2))
        now = worst.argmax(1)
        done |= now == start
    return corners


def tour_problems(n_problems: int, n_points: int, *, rng: int | np.random.Generator) -> Problems:
    """Draw towns and their shortest round trips, which begin at town 0, solved exactly.

    Held and Karp's dynamic programme over subsets, all problems at once; time and memory grow as 2^n n^2.

    Parameters
    ----------
    n_problems
        How many.
    n_points
        Towns of each, 3 to 12, uniform in the unit square.
    rng
        Seed or generator.

    Returns
    -------
    Problems
        Of the two directions, the one whose second town has the lower index.

    Raises
    ------
    ValueError, TypeError
        For another number of towns.

    References
    ----------
    M Held, R Karp (1962). A dynamic programming approach to sequencing problems. doi:10.1137/0110015. Task: Vinyals
    2015, section 3.3.

    Examples
    --------
    >>> tour_problems(1, 4, rng=0).answers.shape
    (1, 4)
    """
    check(3 <= integer("n_points", n_points) <= 12, "n_points", "3 to 12 towns", n_points, "More is not exact in time.")
    points = _points(n_problems, n_points, rng)
    return Problems(points, _held_karp(points.astype(np.float64)))


def _held_karp(points: np.ndarray) -> np.ndarray:
    m, n = points.shape[:2]
    k = n - 1  # towns besides 0
    far = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    away, home = far[:, 1:, 1:], far[:, 1:, 0]
    cost = np.full((1 << k, m, k), np.inf)
    came = np.zeros((1 << k, m, k), dtype=np.int64)
    for j in range(k):
        cost[1 << j, :, j] = home[:, j]
    for towns in range(1, 1 << k):
        for j in range(k):
            before = towns ^ (1 << j)
            if towns >> j & 1 and before:
                reach = cost[before] + away[:, :, j]
                came[towns, :, j] = reach.argmin(1)
                cost[towns, :, j] = reach.min(1)
    rows, subset = np.arange(m), np.full(m, (1 << k) - 1)
    now: np.ndarray = (cost[-1] + home).argmin(1)
    tour = np.zeros((m, n), dtype=np.int64)
    for step in range(k, 0, -1):
        tour[:, step] = now + 1
        now, subset = came[subset, rows, now], subset ^ (1 << now)
    backwards = np.concatenate((tour[:, :1], tour[:, :0:-1]), 1)
    return np.where((tour[:, 1] > tour[:, -1])[:, None], backwards, tour)


def sorting_problems(n_problems: int, n_points: int, *, rng: int | np.random.Generator) -> Problems:
    """Draw numbers and the order that sorts them.

    Parameters
    ----------
    n_problems, n_points
        How many problems, and numbers in each, uniform in [0, 1].
    rng
        Seed or generator.

    Returns
    -------
    Problems
        One coordinate a point.

    Raises
    ------
    ValueError, TypeError
        For counts below 1.

    References
    ----------
    O Vinyals, S Bengio, M Kudlur (2016). Order matters: sequence to sequence for sets. arXiv:1511.06391, section 4.

    Examples
    --------
    >>> problems = sorting_problems(1, 3, rng=0)
    >>> bool((np.diff(problems.points[0, problems.answers[0], 0]) > 0).all())
    True
    """
    points = as_rng(rng).random((integer("n_problems", n_problems), integer("n_points", n_points), 1), dtype=np.float32)
    return Problems(points, points[..., 0].argsort(1))


def _points(n_problems: int, n_points: int, rng: int | np.random.Generator) -> np.ndarray:
    return as_rng(rng).random((integer("n_problems", n_problems), n_points, 2), dtype=np.float32)
