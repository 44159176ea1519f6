"""Two dynamic programs over many pairs at once, (n, m, pairs) with the pair last.

Cell (i, j) is index i * m + j, so an anti-diagonal is a slice of step m - 1: no copies, no masks. Pairs that are
shorter than the longest of their part are read off at their own last cell, which what lies beyond cannot change.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ._paths import Floats, Whole

_FEW_CELLS = 500  # up to here one pair is quicker in plain numbers
_SLAB = 2**13  # numbers worked on at a time where they are not needed again
Aligned = tuple[Whole, Whole, Whole]


class Memory:
    """Arrays that many parts of a job use in turn: fresh ones cost more than the sums in them."""

    def __init__(self) -> None:
        self._held: dict[str, Floats] = {}

    def take(self, name: str, *shape: int) -> Floats:
        """Return an array of this shape with whatever was in it."""
        size = math.prod(shape)
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size)
        return self._held[name][:size].reshape(shape)


def align_vectors(a: Floats, b: Floats, n: Whole, m: Whole, memory: Memory) -> Aligned:
    """Align vectors v_i with w_j along the cheapest monotone path from the first cell to the last.

    Steps go down, right and diagonally; every visited cell but the first costs |v_i - w_j|.

    Parameters
    ----------
    a, b
        (2, longest n, pairs) and (2, longest m, pairs).
    n, m
        (pairs,) sizes of each pair.
    memory
        Where tables are held.

    Returns
    -------
    i, j
        (pairs, steps) visited cells from the last to the first, and (0, 0) from there on. At a tie the diagonal wins,
        then the step down.
    count
        (pairs,) how many cells are visited.
    """
    rows, columns, n_pairs = a.shape[1], b.shape[1], len(n)
    total = memory.take("total", rows + 1, columns + 1, n_pairs)
    total[0], total[:, 0] = np.inf, np.inf
    _fill_distances(total[1:, 1:], a, b, memory)
    total[1, 1] = 0.0
    if n_pairs == 1:
        cells = np.array([_warp_one(total[1:, 1:, 0].tolist())])
        count = np.array([cells.shape[1]])
    else:
        _accumulate(total, memory)
        cells, count = _walk(total, n, m)
    i = np.repeat(np.arange(rows), columns).take(cells)
    return i, cells - i * columns, count


def _fill_distances(table: Floats, a: Floats, b: Floats, memory: Memory) -> None:
    rows, columns, n_pairs = table.shape
    step = max(1, _SLAB // (columns * n_pairs))
    x, y = (memory.take(name, min(step, rows), columns, n_pairs) for name in ("x", "y"))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        k = len(a[0][part])
        np.subtract(b[0], a[0][part, None], out=x[:k])
        np.multiply(x[:k], x[:k], out=x[:k])
        np.subtract(b[1], a[1][part, None], out=y[:k])
        np.multiply(y[:k], y[:k], out=y[:k])
        np.add(x[:k], y[:k], out=x[:k])
        np.sqrt(x[:k], out=table[part])


def _accumulate(total: Floats, memory: Memory) -> None:
    """Turn costs with a border of infinity into cheapest totals, one anti-diagonal after the other."""
    n_pairs = total.shape[2]
    rows, columns = total.shape[0] - 1, total.shape[1] - 1
    width = columns + 1
    flat = total.reshape(-1, n_pairs)
    buffer = memory.take("best", min(rows, columns), n_pairs)
    for d in range(1, rows + columns - 1):
        low, high = max(0, d - columns + 1), min(rows - 1, d)
        first = (low + 1) * width + d - low + 1
        end = first + (high - low) * columns + 1
        best, here = buffer[: high - low + 1], flat[first:end:columns]
        np.minimum(flat[first - width : end - width : columns], flat[first - 1 : end - 1 : columns], out=best)
        np.minimum(best, flat[first - width - 1 : end - width - 1 : columns], out=best)
        np.add(here, best, out=here)


def _walk(total: Floats, n: Whole, m: Whole) -> tuple[Whole, Whole]:
    """Go back from each pair's last cell to the first one over the smallest totals."""
    width, n_pairs = total.shape[1], len(n)
    flat, lane = total.reshape(-1), np.arange(n_pairs)
    # diagonal, up, left: `argmin` takes the first at a tie
    back = np.array([width + 1, width, 1]) * n_pairs
    origin = (width + 1) * n_pairs + lane
    here = (n * width + m) * n_pairs + lane
    visited = [here]
    for _ in range(int((n + m).max()) - 2):
        nearest = flat.take(here[:, None] - back).argmin(1)
        here = np.maximum(here - back.take(nearest), origin)
        visited.append(here)
        if (here == origin).all():
            break
    cells = (np.stack(visited, 1) - lane[:, None]) // n_pairs
    count = (cells != width + 1).sum(1) + 1
    row = cells // width
    return cells - width - row, count


def _warp_one(cost: list[list[float]]) -> list[int]:
    """Do the same for one pair: plain numbers beat arrays of a few."""
    rows = [list(itertools.accumulate(cost[0]))]
    for line in cost[1:]:
        previous = rows[-1]
        diagonal = previous[0]
        left = line[0] + diagonal
        row = [left]
        for step, up in zip(line[1:], previous[1:], strict=True):
            best = diagonal if diagonal <= up else up
            left = step + (best if best <= left else left)
            row.append(left)
            diagonal = up
        rows.append(row)
    columns = len(rows[0])
    i, j = len(rows) - 1, columns - 1
    cells = [i * columns + j]
    while i and j:
        up, left, diagonal = rows[i - 1][j], rows[i][j - 1], rows[i - 1][j - 1]
        across = diagonal <= up and diagonal <= left
        down = across or up <= left
        i, j = i - down, j - (across or not down)
        cells.append(i * columns + j)
    return cells + [k * columns for k in range(i - 1, -1, -1)] + list(range(j - 1, -1, -1))


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
    if n_pairs == 1 and rows * columns <= _FEW_CELLS:
        lists = (substitute[:, :, 0].tolist(), *(_each(c, k) for c, k in ((delete, rows), (insert, columns))))
        return np.array(_edit_one(*lists))[:, :, None]
    dtype = np.result_type(substitute.dtype, np.asarray(delete).dtype, np.asarray(insert).dtype)
    table = np.empty((rows + 1, columns + 1, n_pairs), dtype=dtype)
    down = _summed(delete, rows, n_pairs, dtype)
    along = _summed(insert, columns, n_pairs, dtype)
    table[:, 0], table[0] = down, along
    free = not along.any() and not down.any()
    rows_of = zip(table[:-1, :-1], table[:-1, 1:], table[1:], table[1:, 1:], substitute, strict=True)
    for i, (before, above, here, inner, change) in enumerate(rows_of):
        np.add(before, change, out=inner)
        if free:
            np.minimum(inner, above, out=inner)
            np.minimum.accumulate(here, axis=0, out=here)
            continue
        np.minimum(inner, above + (delete if np.ndim(delete) == 0 else delete[i]), out=inner)  # type: ignore[index]
        here -= along
        np.minimum.accumulate(here, axis=0, out=here)
        here += along
    return table


def _each(cost: Floats | float, n: int) -> list[float]:
    return [cost] * n if isinstance(cost, int | float) else cost[:, 0].tolist()


def _edit_one(substitute: list[list[float]], delete: list[float], insert: list[float]) -> list[list[float]]:
    """Do the same for one small pair: plain numbers beat arrays of a few."""
    previous = [0, *itertools.accumulate(insert)]
    rows = [previous]
    for line, gone in zip(substitute, delete, strict=True):
        left = previous[0] + gone
        row = [left]
        diagonal = previous[0]
        for step, up, new in zip(line, previous[1:], insert, strict=True):
            change, drop = diagonal + step, up + gone
            left += new
            if change < left:
                left = change
            if drop < left:
                left = drop
            row.append(left)
            diagonal = up
        rows.append(row)
        previous = row
    return rows


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
