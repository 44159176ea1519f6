"""Two dynamic programs over many pairs at once, (n, m, pairs) with the pair last.

Cell (i, j) is index i * m + j, so an anti-diagonal is a slice of step m - 1: no copies, no masks. Pairs that are
shorter than the longest of their part are read off at their own last cell, which what lies beyond cannot change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._paths import Flags, Floats, Whole


def warp(cost: Floats, n: Whole, m: Whole) -> tuple[Whole, Whole, Flags]:
    """Find the cheapest monotone path from (0, 0) to (n - 1, m - 1) with steps down, right and diagonal.

    Parameters
    ----------
    cost
        (longest n, longest m, pairs), paid for every visited cell but the first.
    n, m
        (pairs,) sizes of each pair.

    Returns
    -------
    i, j
        (steps, pairs) visited cells, from the last to the first. At a tie the diagonal wins, then the step down.
    visited
        (steps, pairs) False after the first cell is reached.
    """
    total = _accumulate(cost)
    rows, columns, n_pairs = cost.shape
    up, left, diagonal = total[:-1, 1:], total[1:, :-1], total[:-1, :-1]
    nearest = np.minimum(up, left)
    # 0 diagonal, 1 down, 2 right
    move = (diagonal > nearest).astype(np.int8)
    move += (move != 0) & (left < up)
    move[0, 0] = 3
    back = np.array([columns + 1, columns, 1, 0])
    n_steps = int((n + m).max()) - 1
    if n_pairs == 1:
        cells = _walk(move, back.tolist(), int((n[0] - 1) * columns + m[0] - 1))
    else:
        cells = _walk_together(move.reshape(-1), back * n_pairs, (n - 1) * columns + m - 1, n_steps)
    visited = np.ones(cells.shape, dtype=np.bool_)
    np.not_equal(cells[1:], cells[:-1], out=visited[1:])
    row = np.repeat(np.arange(rows), columns)[cells]
    return row, cells - row * columns, visited


def _accumulate(cost: Floats) -> Floats:
    """Return (n + 1, m + 1, pairs) cheapest totals with a border of infinity."""
    rows, columns, n_pairs = cost.shape
    width = columns + 1
    total = np.empty((rows + 1, width, n_pairs))
    total[0], total[:, 0] = np.inf, np.inf
    total[1:, 1:] = cost
    total[1, 1] = 0.0
    flat = total.reshape(-1, n_pairs)
    buffer = np.empty((min(rows, columns), n_pairs))
    for d in range(1, rows + columns - 1):
        low, high = max(0, d - columns + 1), min(rows - 1, d)
        count = high - low + 1
        first = (low + 1) * width + d - low + 1
        end = first + (count - 1) * columns + 1
        best, here = buffer[:count], flat[first:end:columns]
        np.minimum(flat[first - width : end - width : columns], flat[first - 1 : end - 1 : columns], out=best)
        np.minimum(best, flat[first - width - 1 : end - width - 1 : columns], out=best)
        np.add(here, best, out=here)
    return total


def _walk(move: NDArray[np.int8], back: list[int], cell: int) -> Whole:
    """Walk one pair back to its first cell; plain numbers beat arrays of one."""
    moves = move.ravel().tolist()
    cells = [cell]
    while cell:
        cell -= back[moves[cell]]
        cells.append(cell)
    return np.array(cells)[:, None]


def _walk_together(moves: NDArray[np.int8], back: Whole, cell: Whole, n_steps: int) -> Whole:
    n_pairs = len(cell)
    lane = np.arange(n_pairs)
    cells = np.empty((n_steps, n_pairs), dtype=np.int64)
    cells[0] = cell * n_pairs + lane
    for previous, here in zip(cells[:-1], cells[1:], strict=True):
        np.subtract(previous, back[moves[previous]], out=here)
    return (cells - lane) // n_pairs


def edit(substitute: Floats, delete: Floats | float, insert: Floats | float) -> Floats:
    """Fill the table of an edit distance: costs to turn the first i of one sequence into the first j of the other.

    Parameters
    ----------
    substitute
        (n, m, pairs) costs.
    delete, insert
        (n, pairs) and (m, pairs) costs, or one for all.

    Returns
    -------
    ndarray
        (n + 1, m + 1, pairs) cheapest totals.

    Notes
    -----
    A row's insertions are a running minimum once their summed costs are taken off, so a row is four calls.
    """
    rows, columns, n_pairs = substitute.shape
    dtype = np.result_type(substitute.dtype, np.asarray(delete).dtype, np.asarray(insert).dtype)
    table = np.empty((rows + 1, columns + 1, n_pairs), dtype=dtype)
    down = _summed(delete, rows, n_pairs, dtype)
    along = _summed(insert, columns, n_pairs, dtype)
    table[:, 0], table[0] = down, along
    free = not along.any()
    for i in range(rows):
        above, here = table[i], table[i + 1]
        cost = delete if np.ndim(delete) == 0 else delete[i]  # type: ignore[index]
        np.add(above[:-1], substitute[i], out=here[1:])
        np.minimum(here[1:], above[1:] + cost, out=here[1:])
        if not free:
            here -= along
        np.minimum.accumulate(here, axis=0, out=here)
        if not free:
            here += along
    return table


def _summed(cost: Floats | float, n: int, n_pairs: int, dtype: np.dtype) -> Floats:
    total = np.zeros((n + 1, n_pairs), dtype=dtype)
    np.cumsum(np.broadcast_to(np.asarray(cost, dtype=dtype), (n, n_pairs)), axis=0, out=total[1:])
    return total


def corner(table: Floats, n: Whole, m: Whole) -> Floats:
    """Return (pairs,) the total of each pair's whole sequences."""
    return table[n, m, np.arange(len(n))]


def lowest(table: Floats, n: Whole, m: Whole) -> Floats:
    """Return (pairs,) the lowest total of each pair's table."""
    rows, columns = np.arange(table.shape[0])[:, None], np.arange(table.shape[1])[:, None]
    inside = (rows <= n)[:, None] & (columns <= m)[None]
    return np.where(inside, table, np.inf).min((0, 1))
