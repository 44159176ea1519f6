"""Left-out errors of every penalty for many targets, a few columns at a time: what is held stays in the cache.

Memory beyond the projections is one batch of columns and the inverses of a few penalties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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
        some = range(first, min(first + step, len(alphas)))
        inverses = [[_inverse(left, shares[a], start, rows) for rows in blocks] for a in some]
        for columns in batches(n, t):
            y = None if spanned else take(columns)
            for a, each in zip(some, inverses, strict=True):
                residual = left @ (factors[a][:, None] * on_axes[:, columns])
                residual = residual if y is None else np.add(residual, y, out=residual)
                errors[a, columns] = sum(_squares(residual, r, i) for r, i in zip(blocks, each, strict=True)) / n
    return errors


def _inverse(left: np.ndarray, share: np.ndarray, start: float, rows: np.ndarray) -> Any:
    """Return R_gg⁻¹ of groups (g, size): (g, size, size), or (g,) when each is one row."""
    n, own = len(left), left[rows].astype(np.float64)
    if rows.shape[1] == 1:
        return (1 / (start * (1 - 1 / n) + (own[:, 0] * own[:, 0]) @ share)).astype(left.dtype)
    inside = (own * share) @ own.swapaxes(-1, -2) + start * (np.eye(rows.shape[1]) - 1 / n)
    return np.linalg.inv(inside).astype(left.dtype)


def _squares(residual: np.ndarray, rows: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Return the sum of squares (t,), float64, of what is left out of these groups."""
    if rows.shape[1] == 1:
        every = len(rows) == len(residual) and np.array_equal(rows[:, 0], np.arange(len(residual)))
        out = np.multiply(residual if every else residual[rows[:, 0]], inverse[:, None])
        return np.asarray(np.einsum("nt,nt->t", out, out))
    out = inverse @ residual[rows]
    return np.asarray(np.einsum("gnt,gnt->t", out, out))
