"""Left-out errors of every penalty for many targets, a few columns at a time: what is held stays in the cache.

The residual maker of ridge is R = start I + U diag(shares) Uᵀ, where the intercept is one more axis, which leaves
nothing; start is 0 where the axes hold all that varies, so that R is their sum and nothing cancels. With its group g
left out a row has the residual R_gg⁻¹ (R y)_g = y_g + R_gg⁻¹ U_g diag(shares) z, where z = Uᵀy - U_gᵀ y_g is what the
others project. Products are taken where `left` is, by NumPy or torch; errors come out as NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._linalg import cpu, inv, namespace
from ._loo import shrinkage

_BATCH_BYTES = {True: 2**23, False: 2**28}  # on a CPU about what its last cache holds, elsewhere large products
_MAKER_BYTES = 2**26
_FEW_ROWS = 64  # of a group: fewer are left out side by side, more one after the other

Take = Callable[[slice], Any]


def batches(n_rows: int, n_targets: int, device: Any = "cpu") -> Iterator[slice]:
    """Yield slices of targets of which a few (n_rows, targets) arrays fit into the cache."""
    step = max(64, _BATCH_BYTES[str(device) == "cpu"] // (8 * n_rows))
    for at in range(0, n_targets, step):
        yield slice(at, min(at + step, n_targets))


def left_out_errors(
    left: Any, values: Any, take: Take, n_targets: int, alphas: np.ndarray, blocks: list[np.ndarray]
) -> tuple[np.ndarray, Any]:
    """Return the mean squared residual (alphas, t) of every row when its group is left out, and left.T @ y (r, t).

    `take` returns centred targets (n, some) of a slice; blocks are rows (groups, size).
    """
    xp, (n, r) = namespace(left), left.shape
    start = 0.0 if r == n - 1 else 1.0
    shares = shrinkage(values, xp.asarray(alphas[:, None], device=left.device)) - start
    if start:
        left = xp.concat([left, xp.full((n, 1), n**-0.5, dtype=left.dtype, device=left.device)], axis=1)
        shares = xp.concat([shares, xp.full((len(alphas), 1), -1.0, dtype=shares.dtype, device=left.device)], axis=1)
    blocks = [xp.asarray(rows, device=left.device) for rows in blocks]
    errors = np.zeros((len(alphas), n_targets))
    large = max(_FEW_ROWS, r / len(alphas))  # from here on making z costs less than it spares
    folds = [rows for block in blocks if block.shape[1] > large for rows in block]
    small = [block for block in blocks if block.shape[1] <= large]
    on_axes = _add_folds(errors, left, shares, start, take, folds, small)
    for block in small:
        _add_groups(errors, left, shares, start, take, on_axes, block)
    return errors / n, on_axes[:r]


def _add_folds(
    errors: np.ndarray, left: Any, shares: Any, start: float, take: Take, folds: list[Any], small: list[Any]
) -> Any:
    """Add the squares of rows that large groups leave out to errors (penalties, t); return left.T @ y of all rows."""
    xp = namespace(left)
    none = xp.zeros(0, dtype=xp.int64, device=left.device)
    others = xp.concat([none, *(block.reshape(-1) for block in small)]) if folds else slice(None)
    on_axes = xp.empty((left.shape[1], errors.shape[1]), dtype=left.dtype, device=left.device)
    fits = max(_MAKER_BYTES, min(5 * left.nbytes, 4 * _MAKER_BYTES)) // left.nbytes
    step = max(1, fits) if folds else len(shares)  # each step takes the projections anew
    for first in range(0, len(shares), step):
        some = slice(first, first + step)
        makers = [_fold_maker(left[rows], shares[some], start) for rows in folds]
        for columns in batches(len(left), errors.shape[1], left.device):
            squares, on_axes[:, columns] = _of_folds(left, take(columns), folds, others, makers)
            errors[some, columns] += squares
    return on_axes


def _of_folds(left: Any, y: Any, folds: list[Any], others: Any, makers: list[Any]) -> tuple[Any, Any]:
    """Return the squares (penalties, t) of a few targets (n, t) in rows of folds, and left.T @ y of all rows."""
    parts = [left[rows].T @ y[rows] for rows in folds]
    total = sum(parts, left[others].T @ y[others])
    each = zip(folds, makers, parts, strict=True)
    return sum(_squares(maker, total - part, y[rows]) for rows, maker, part in each), total


def _squares(maker: Any, z: Any, y: Any) -> Any:
    out = (maker @ z).reshape(-1, *y.shape)
    out += y
    return cpu(namespace(out).einsum("ant,ant->at", out, out))


def _fold_maker(own: Any, shares: Any, start: float) -> Any:
    """Return R_gg⁻¹ U_g diag(shares), (penalties size, r), of one group (size, r)."""
    shrunk, inverse = _inverse(own, shares[:, None], start)
    return (inverse @ shrunk).reshape(-1, own.shape[1])


def _inverse(own: Any, shares: Any, start: float) -> tuple[Any, Any]:
    """Return U_g diag(shares) and R_gg⁻¹ of groups (..., size, r) as `own` is, computed in float64."""
    xp = namespace(own)
    wide = xp.astype(own, xp.float64, copy=False)
    shrunk = wide * shares
    eye = xp.eye(own.shape[-2], dtype=xp.float64, device=own.device)
    inverse = inv(shrunk @ wide.swapaxes(-1, -2) + start * eye)
    return tuple(xp.astype(one, own.dtype, copy=False) for one in (shrunk, inverse))


def _inverses(own: Any, shares: Any, start: float) -> Any:
    """Return R_gg⁻¹ (g, size, size) for each penalty; single rows need no more than their squares."""
    xp, size = namespace(own), own.shape[1]
    if size > 1:
        return [_inverse(own, share, start)[1] for share in shares]
    squares = xp.astype(own[:, 0], xp.float64) ** 2
    return xp.astype(1 / (start + shares @ squares.T), own.dtype, copy=False)[:, :, None, None]


def _add_groups(errors: np.ndarray, left: Any, shares: Any, start: float, take: Take, on_axes: Any, block: Any) -> None:
    """Add the squares of many small groups (g, size) of rows, or of single rows, to errors (penalties, t)."""
    xp, size = namespace(left), block.shape[1]
    own = left[block]
    flat = own.reshape(-1, left.shape[1])
    inverses = _inverses(own, shares, start)
    factors = xp.astype(shares, left.dtype, copy=False)[:, :, None]
    for columns in batches(len(flat), errors.shape[1], left.device):
        projected = xp.asarray(on_axes[:, columns], copy=True)  # without the gaps between columns of a slice
        y = take(columns)[block] if start else None
        for a, inverse in enumerate(inverses):
            out = (flat @ (factors[a] * projected)).reshape(*block.shape, -1)
            if start:
                out += y
            out = inverse * out if size == 1 else inverse @ out
            errors[a, columns] += cpu(xp.einsum("gnt,gnt->t", out, out))
