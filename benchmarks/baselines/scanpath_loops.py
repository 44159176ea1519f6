"""Scanpath metrics the way papers print them and released code runs them: a loop for every sum.

Written from the published equations: Levenshtein (1966), Needleman & Wunsch (1970), ScanMatch (Cristino et al. 2010),
time-delay embedding (Wang et al. 2011) and its scaled form (Zanca et al. 2018), SCASIM (von der Malsburg & Vasishth
2011).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def levenshtein(a: np.ndarray, b: np.ndarray) -> int:
    """Fill the table of edits cell by cell."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, change)
    return table[-1][-1]


def needleman_wunsch(a: np.ndarray, b: np.ndarray, score: np.ndarray, gap: float) -> np.ndarray:
    """Return the (n + 1, m + 1) table of best scores."""
    table = np.zeros((len(a) + 1, len(b) + 1))
    for i in range(len(a) + 1):
        table[i, 0] = gap * i
    for j in range(len(b) + 1):
        table[0, j] = gap * j
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            match = table[i - 1, j - 1] + score[a[i - 1], b[j - 1]]
            table[i, j] = max(match, table[i - 1, j] + gap, table[i, j - 1] + gap)
    return table


def scanmatch(
    a: np.ndarray,
    b: np.ndarray,
    screen: tuple[float, float],
    grid: tuple[int, int],
    threshold: float,
    gap: float = 0.0,
    bin_s: float | None = None,
    score: np.ndarray | None = None,
) -> float:
    """Score two paths (n, 3) of pixels and seconds; `score` is `scanmatch_scores`, made once by who compares many."""
    score = scanmatch_scores(grid, threshold) if score is None else score
    one, two = (_string(path, screen, grid, bin_s) for path in (a, b))
    return float(needleman_wunsch(one, two, score, gap).max() / (score.max() * max(len(one), len(two))))


def scanmatch_scores(grid: tuple[int, int], threshold: float) -> np.ndarray:
    """Return the threshold minus the distance of every two cells."""
    n = grid[0] * grid[1]
    score = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            score[i, j] = threshold - math.dist(divmod(i, grid[1]), divmod(j, grid[1]))
    return score


def _string(path: np.ndarray, screen: tuple[float, float], grid: tuple[int, int], bin_s: float | None) -> np.ndarray:
    string = []
    for fixation in path:
        row = min(int(fixation[1] / (screen[0] / grid[0])), grid[0] - 1)
        column = min(int(fixation[0] / (screen[1] / grid[1])), grid[1] - 1)
        times = 1 if bin_s is None else round(fixation[2] / bin_s)
        string += [row * grid[1] + column] * times
    return np.array(string)


def time_delay_embedding(
    a: np.ndarray, b: np.ndarray, k: int, reduce: Callable[[list[float]], float] | None = None, norm: str = "l1"
) -> float:
    """Compare every stretch of b with every stretch of a, point by point."""
    least = []
    for j in range(len(b) - k + 1):
        found = []
        for i in range(len(a) - k + 1):
            apart = np.zeros(k)
            for t in range(k):
                p, q = a[i + t], b[j + t]
                apart[t] = np.sqrt((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2)
            found.append(np.linalg.norm(apart) if norm == "l2" else apart.sum())
        least.append(min(found) / k)
    return reduce(least) if reduce else sum(least) / len(least)


def scaled_time_delay_embedding(a: np.ndarray, b: np.ndarray, screen: tuple[float, float], norm: str = "l1") -> float:
    """Average exp(-distance) over stretches of every length."""
    side = max(screen)
    alike = [
        np.exp(-time_delay_embedding(a[:, :2] / side, b[:, :2] / side, k, norm=norm))
        for k in range(1, min(len(a), len(b)) + 1)
    ]
    return float(sum(alike) / len(alike))


def scasim(a: np.ndarray, b: np.ndarray, decay: float = 0.83) -> float:
    """Fill the table of edits in seconds; places in degrees of a flat screen."""
    table = np.zeros((len(a) + 1, len(b) + 1))
    table[1:, 0], table[0, 1:] = np.cumsum(a[:, 2]), np.cumsum(b[:, 2])
    for i, (*p, d) in enumerate(a, 1):
        for j, (*q, e) in enumerate(b, 1):
            one, two = ([*(math.tan(math.radians(v)) for v in place), 1.0] for place in (p, q))
            across = math.hypot(*np.cross(one, two))
            near = decay ** math.degrees(math.atan2(across, np.dot(one, two)))
            change = abs(d - e) * near + (d + e) * (1 - near)
            table[i, j] = min(table[i - 1, j] + d, table[i, j - 1] + e, table[i - 1, j - 1] + change)
    return float(table[-1, -1])
