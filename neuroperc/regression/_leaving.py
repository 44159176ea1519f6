"""Left-out errors of every penalty for many targets, a few columns at a time: what is held stays in the cache.

Memory beyond the projections is one batch of columns and the residual makers of a few penalties. Products are taken
where `left` is, by NumPy or torch; errors come out as NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._linalg import cpu, inv, namespace
from ._loo import shrinkage

_BATCH_BYTES = {True: 2**23, False: 2**28}  # on a CPU about what its last cache holds, elsewhere large products
_MAKER_BYTES = 2**25

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
    xp, n = namespace(left), len(left)
    spanned = left.shape[1] == n - 1  # the axes hold all that varies, so R is their sum and nothing cancels
    start = 0.0 if spanned else 1.0
    shares = shrinkage(values, xp.asarray(alphas[:, None], device=left.device)) - start
    errors = np.zeros((len(alphas), on_axes.shape[1]))
    for rows in blocks:
        every = rows.size == n and np.array_equal(rows.reshape(-1), np.arange(n))
        index = xp.asarray(rows.reshape(-1), device=left.device)
        own = left if every else left[index]

        def targets(columns: slice, every: bool = every, index: Any = index) -> Any:
            return take(columns) if every else take(columns)[index]

        if rows.shape[1] == 1:
            _add_singles(errors, own, shares, start, n, targets, on_axes)
        else:
            _add_groups(errors, own.reshape(*rows.shape, left.shape[1]), shares, start, n, targets, on_axes)
    return errors / n


def _add_singles(errors: np.ndarray, own: Any, shares: Any, start: float, n: int, targets: Take, on_axes: Any) -> None:
    """Add the squares of rows (m, r) that are left out one by one to errors (penalties, t)."""
    xp, m = namespace(own), len(own)
    squares = xp.astype(own, xp.float64)
    squares *= squares
    inverse = xp.astype(1 / (start * (1 - 1 / n) + squares @ shares.T), own.dtype, copy=False)[:, :, None]
    factors = xp.astype(shares, own.dtype, copy=False).T[:, :, None]
    for columns in batches(m * len(shares), errors.shape[1], own.device):
        shrunk = factors * on_axes[:, None, columns]  # penalties side by side: one wide product
        wide = shrunk.reshape(len(shrunk), shrunk.shape[1] * shrunk.shape[2])
        out = (own @ wide).reshape(m, *shrunk.shape[1:])
        if start:
            out += targets(columns)[:, None]
        out *= inverse
        errors[:, columns] += cpu(xp.einsum("nat,nat->at", out, out))


def _add_groups(errors: np.ndarray, own: Any, shares: Any, start: float, n: int, targets: Take, on_axes: Any) -> None:
    """Add the squares of groups of rows (g, size, r) that are left out together to errors (penalties, t)."""
    xp, (g, size, r) = namespace(own), own.shape
    wide = xp.astype(own, xp.float64, copy=False)
    step = max(1, _MAKER_BYTES // (8 * g * size * (size + r)))
    for first in range(0, len(shares), step):
        makers = [_maker(wide, share, start, n, own.dtype) for share in shares[first : first + step]]
        for columns in batches(g * size, errors.shape[1], own.device):
            y = targets(columns).reshape(g, size, -1) if start else None
            projected = xp.asarray(on_axes[:, columns], copy=True)  # without the gaps between columns of a slice
            for a, (inverse, turned) in enumerate(makers, first):
                out = (turned @ projected).reshape(g, size, -1)
                if y is not None:
                    out += inverse @ y
                errors[a, columns] += cpu(xp.einsum("gnt,gnt->t", out, out))


def _maker(own: Any, share: Any, start: float, n: int, dtype: Any) -> tuple[Any, Any]:
    """Return R_gg⁻¹ (g, size, size), and R_gg⁻¹ U_g diag(share) of all groups, (g size, r)."""
    xp, (g, size, r) = namespace(own), own.shape
    shrunk = own * share
    eye = xp.eye(size, dtype=xp.float64, device=own.device)
    inverse = xp.astype(inv(shrunk @ own.swapaxes(-1, -2) + start * (eye - 1 / n)), dtype, copy=False)
    return inverse, (inverse @ xp.astype(shrunk, dtype, copy=False)).reshape(g * size, r)
