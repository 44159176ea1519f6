"""Left-out errors of every penalty for many targets, a few columns at a time: what is held stays in the cache.

Memory beyond the projections is one batch of columns and the inverses of a few penalties. Products are taken where
`left` is, by NumPy or torch; errors come out as NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._linalg import cpu, namespace
from ._loo import shrinkage

_BATCH_BYTES = {True: 2**21, False: 2**28}  # on a CPU what its cache holds, elsewhere enough for large products
_INVERSE_BYTES = 2**25

Take = Callable[[slice], Any]


def batches(n_rows: int, n_targets: int, device: Any = "cpu") -> Iterator[slice]:
    """Yield slices of targets of which a few (n_rows, targets) arrays fit into the cache."""
    step = max(64, _BATCH_BYTES[str(device) == "cpu"] // (8 * n_rows))
    for at in range(0, n_targets, step):
        yield slice(at, min(at + step, n_targets))


def left_out_errors(
    left: Any, values: Any, take: Take, on_axes: Any, alphas: np.ndarray, blocks: list[np.ndarray]
) -> np.ndarray:
    """Return the mean squared residual (alphas, t) of every row when its group is left out.

    `take` returns centred targets (n, some) of a slice, `on_axes` (r, t) is left.T @ y. With a the penalty, the
    residual maker is R = start B + U diag(share) Uᵀ, and what is left out of a group is R_gg⁻¹ (R y)_g.
    """
    xp, n, t = namespace(left), len(left), on_axes.shape[1]
    spanned = left.shape[1] == n - 1  # the axes hold all that varies, so R is their sum and nothing cancels
    start = 0.0 if spanned else 1.0
    shares = shrinkage(values, xp.asarray(alphas[:, None], device=left.device)) - start
    factors = xp.astype(shares, left.dtype, copy=False)
    groups = [xp.asarray(rows, device=left.device) for rows in blocks]
    errors = np.empty((len(alphas), t))
    step = max(1, _INVERSE_BYTES // (8 * sum(b.shape[0] * b.shape[1] ** 2 for b in blocks)))
    for first in range(0, len(alphas), step):
        some = slice(first, min(first + step, len(alphas)))
        inverses = [_inverses(left, shares[some], start, rows) for rows in groups]
        for columns in batches(n * (some.stop - first), t, left.device):
            shrunk = factors[some].T[:, :, None] * on_axes[:, None, columns]  # penalties side by side: one wide product
            wide = shrunk.reshape(len(shrunk), shrunk.shape[1] * shrunk.shape[2])
            residual = (left @ wide).reshape(n, *shrunk.shape[1:])
            if not spanned:
                residual += take(columns)[:, None]
            squares = sum(_squares(residual, r, i) for r, i in zip(groups, inverses, strict=True))
            errors[some, columns] = cpu(squares) / n
    return errors


def _inverses(left: Any, shares: Any, start: float, rows: Any) -> Any:
    """Return R_gg⁻¹ of groups (g, size) at each penalty: (penalties, g, size, size), or (g, penalties) of one row."""
    xp, n, size = namespace(left), len(left), rows.shape[1]
    if size == 1:
        squares = xp.astype(left if _all_in_turn(rows, n) else left[rows[:, 0]], xp.float64)
        squares *= squares
        return xp.astype(1 / (start * (1 - 1 / n) + squares @ shares.T), left.dtype, copy=False)
    own = xp.astype(left[rows], xp.float64, copy=False)
    rest = start * (xp.eye(size, dtype=xp.float64, device=left.device) - 1 / n)
    turned = own.swapaxes(-1, -2)
    return xp.stack([xp.astype(xp.linalg.inv((own * share) @ turned + rest), left.dtype) for share in shares])


def _all_in_turn(rows: Any, n: int) -> bool:
    xp = namespace(rows)
    return len(rows) == n and bool(xp.all(rows[:, 0] == xp.arange(n, device=rows.device)))


def _squares(residual: Any, rows: Any, inverse: Any) -> Any:
    """Return the sum of squares (penalties, t) of what is left out of these groups."""
    xp = namespace(residual)
    if rows.shape[1] == 1:
        out = residual if _all_in_turn(rows, len(residual)) else residual[rows[:, 0]]
        out = out * inverse[:, :, None]
        return xp.einsum("nat,nat->at", out, out)
    out = inverse @ xp.permute_dims(residual[rows], (2, 0, 1, 3))
    return xp.einsum("agnt,agnt->at", out, out)
