"""Ridge without an explicit fit: everything follows from the residual maker R = I - H of all rows.

For the ridge with an intercept that is not penalised, R(a) = B + U diag(a / (l + a)) Uᵀ, where U, l are the left
singular vectors and eigenvalues of the centred features and B projects on what is neither in U nor constant. Held-out
residuals of any set S of rows are ``R_SS⁻¹ (R y)_S``; the residual maker of the rest is ``R_TT - R_TS R_SS⁻¹ R_ST``.
One eigendecomposition serves every split, every fold inside it, every penalty and every target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._linalg import namespace, solve


@dataclass(frozen=True)
class Best:
    """What the penalty with the least error so far gives, updated penalty by penalty.

    Attributes
    ----------
    error
        (t,) mean squared residual of left-out rows, within the training rows.
    alpha
        (t,).
    value
        (..., t) whatever goes with it.
    """

    error: Any
    alpha: Any
    value: Any

    def or_better(self, error: Any, alpha: float, value: Any) -> Best:
        """Return, target by target, the better one of this and a new penalty; the first wins a draw."""
        xp = namespace(error)
        better = error < self.error
        alphas = xp.where(better, xp.full_like(error, alpha), self.alpha)
        return Best(xp.where(better, error, self.error), alphas, xp.where(better, value, self.value))


def shrinkage(eigenvalues: Any, alpha: Any) -> Any:
    """Return a / (l + a), the share of each axis that ridge leaves in the residual."""
    return alpha / (eigenvalues + alpha)


def residual_maker(left: Any, eigenvalues: Any, outside: Any, alpha: float) -> Any:
    """Return R (n, n)."""
    half = left * shrinkage(eigenvalues, alpha) ** 0.5
    inside = half @ half.T
    return inside if outside is None else inside + outside


def outside_projector(left: Any) -> Any:
    """Return B (n, n), or None when U and the constant span everything."""
    n, r = left.shape
    if r >= n - 1:
        return None
    xp = namespace(left)
    eye = xp.eye(n, dtype=left.dtype, device=left.device)
    return eye - 1 / n - left @ left.T


def blocks_of(index: np.ndarray) -> list[np.ndarray]:
    """Return rows arranged (groups, size) for each size of group, from group numbers (row,)."""
    order = np.argsort(index, kind="stable")
    counts = np.unique(index, return_counts=True)[1]
    starts = np.cumsum(counts) - counts
    return [order[starts[counts == size][:, None] + np.arange(size)] for size in np.unique(counts)]


def left_out_error(maker: Callable[[np.ndarray], Any], residual: Any, blocks: list[np.ndarray]) -> Any:
    """Return the mean squared residual (t,) of every row when its group is left out.

    `maker` returns R within each group, (groups, size) -> (groups, size, size); `residual` is R y.
    """
    xp = namespace(residual)
    total, n = 0.0, 0
    for rows in blocks:
        here = residual[xp.asarray(rows, device=residual.device)]
        square = maker(rows)
        out = here / square if rows.shape[1] == 1 else solve(square, here)
        total = total + xp.sum(out * out, axis=(0, 1))
        n += rows.size
    return total / n
