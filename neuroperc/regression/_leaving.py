"""Left-out errors of every penalty for many targets, a few columns at a time: what is held stays in the cache.

Memory beyond the projections is one batch of columns and the inverses of a few penalties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ._loo import shrinkage

_BATCH_BYTES = 2**21
_INVERSE_BYTES = 2**25

Take = Callable[[slice], np.ndarray]


def batches(n_rows: int, n_targets: int) -> Iterator[slice]:
    """Yield slices of targets of which a few (n_rows, targets) arrays fit into the cache."""
    step = max(64, _BATCH_BYTES // (8 * n_rows))
    for at in range(0, n_targets, step):
        yield slice(at, min(at + step, n_targets))


def left_out_errors(
    left: np.ndarray, values: np.ndarray, take: Take, on_axes: np.ndarray, alphas: np.ndarray, blocks: list[np.ndarray]
) -> np.ndarray:
    """Return the mean squared residual (alphas, t) of every row when its group is left out.

    `take` returns centred targets (n, some) of a slice, `on_axes` (r, t) is left.T @ y. With a the penalty, the
    residual maker is R = start B + U diag(share) Uᵀ, and what is left out of a group is R_gg⁻¹ (R y)_g.
    """
    n, t = len(left), on_axes.shape[1]
    spanned = left.shape[1] == n - 1  # the axes hold all that varies, so R is their sum and nothing cancels
    start = 0.0 if spanned else 1.0
    shares = np.ascontiguousarray((shrinkage(values[:, None], alphas) - start).T)
    factors = shares.astype(left.dtype)
    errors = np.empty((len(alphas), t))
    step = max(1, _INVERSE_BYTES // (8 * sum(b.shape[0] * b.shape[1] ** 2 for b in blocks)))
    for first in range(0, len(alphas), step):
        some = slice(first, min(first + step, len(alphas)))
        inverses = [_inverses(left, shares[some], start, rows) for rows in blocks]
        for columns in batches(n * (some.stop - first), t):
            shrunk = factors[some].T[:, :, None] * on_axes[:, None, columns]  # penalties side by side: one wide product
            residual = (left @ shrunk.reshape(len(shrunk), -1)).reshape(n, *shrunk.shape[1:])
            if not spanned:
                residual += take(columns)[:, None]
            errors[some, columns] = sum(_squares(residual, r, i) for r, i in zip(blocks, inverses, strict=True)) / n
    return errors


def _inverses(left: np.ndarray, shares: np.ndarray, start: float, rows: np.ndarray) -> np.ndarray:
    """Return R_gg⁻¹ of groups (g, size) at each penalty: (penalties, g, size, size), or (g, penalties) of one row."""
    n, size = len(left), rows.shape[1]
    if size == 1:
        squares = np.square(left if _all_in_turn(rows, n) else left[rows[:, 0]], dtype=np.float64)
        return np.asarray((1 / (start * (1 - 1 / n) + squares @ shares.T)).astype(left.dtype))
    own, rest = left[rows].astype(np.float64), start * (np.eye(size) - 1 / n)
    found = [np.linalg.inv((own * share) @ own.swapaxes(-1, -2) + rest).astype(left.dtype) for share in shares]
    return np.stack(found)


def _all_in_turn(rows: np.ndarray, n: int) -> bool:
    return len(rows) == n and np.array_equal(rows[:, 0], np.arange(n))


def _squares(residual: np.ndarray, rows: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Return the sum of squares (penalties, t) of what is left out of these groups."""
    if rows.shape[1] == 1:
        out = residual if _all_in_turn(rows, len(residual)) else residual[rows[:, 0]]
        out = out * inverse[:, :, None]
        return np.asarray(np.einsum("nat,nat->at", out, out))
    out = inverse @ residual[rows].transpose(2, 0, 1, 3)
    return np.asarray(np.einsum("agnt,agnt->at", out, out))
