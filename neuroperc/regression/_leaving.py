"""Left-out errors of every penalty for many targets, a few columns at a time: what is held stays in the cache.

Memory beyond the projections is one batch of columns and the residual makers of a few penalties. Products are taken
where `left` is, by NumPy or torch; errors come out as NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ._linalg import cpu, inv, namespace
from ._loo import shrinkage

_BATCH_BYTES = {True: 2**21, False: 2**28}  # on a CPU what its cache holds, elsewhere enough for large products
_MAKER_BYTES = 2**25
_FOLDS = 20  # groups up to which the other rows of each are gathered

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
        index = xp.asarray(rows, device=left.device)
        if rows.shape[1] == 1:
            _add_singles(errors, _Ways(left, index, start, take, on_axes), shares)
        else:
            folds = len(rows) <= _FOLDS and n - rows.shape[1] < left.shape[1] + start * rows.shape[1]
            _add_groups(errors, (_ByRows if folds else _ByAxes)(left, index, start, take, on_axes), shares)
    return errors / n


@dataclass(frozen=True, eq=False)
class _Ways:
    """What all ways to the residuals of left-out groups share.

    Attributes
    ----------
    left, start, take, on_axes
        As in `left_out_errors`.
    rows
        (groups, size) rows that are left out together.
    """

    left: Any
    rows: Any
    start: float
    take: Take
    on_axes: Any

    @cached_property
    def own(self) -> Any:
        """(groups, size, r) left singular vectors of the groups."""
        return self.left[self.rows.reshape(-1)].reshape(*self.rows.shape, -1)

    def targets(self, columns: slice, rows: Any) -> Any:
        """Return centred targets (groups, rows of each, some)."""
        y = self.take(columns)
        return y[rows.reshape(-1)].reshape(*rows.shape, -1)

    def inverse(self, share: Any) -> Any:
        """Return R_gg⁻¹ (groups, size, size), float64."""
        xp, n, size = namespace(self.left), len(self.left), self.rows.shape[1]
        wide = xp.astype(self.own, xp.float64, copy=False)
        eye = xp.eye(size, dtype=xp.float64, device=self.left.device)
        return inv((wide * share) @ wide.swapaxes(-1, -2) + self.start * (eye - 1 / n))


class _ByAxes(_Ways):
    """Many small groups: R_gg⁻¹ U_g diag(share) Uᵀ y + start R_gg⁻¹ y_g."""

    def maker(self, share: Any) -> tuple[Any, Any]:
        xp, dtype = namespace(self.left), self.left.dtype
        inverse = self.inverse(share)
        turned = xp.astype(inverse @ (self.own * share), dtype, copy=False)
        return turned.reshape(-1, turned.shape[-1]), xp.astype(inverse, dtype, copy=False)

    def given(self, columns: slice) -> tuple[Any, Any]:
        projected = namespace(self.left).asarray(self.on_axes[:, columns], copy=True)  # without gaps between columns
        return projected, self.targets(columns, self.rows) if self.start else None

    def left_out(self, maker: tuple[Any, Any], given: tuple[Any, Any]) -> Any:
        out = (maker[0] @ given[0]).reshape(*self.rows.shape, -1)
        if given[1] is not None:
            out += maker[1] @ given[1]
        return out


class _ByRows(_Ways):
    """A few folds: y_g + R_gg⁻¹ R_go y_o with o the other rows, which are fewer than the axes and the group."""

    @cached_property
    def others(self) -> Any:
        """(groups, rows that stay)."""
        xp, n = namespace(self.left), len(self.left)
        inside = np.zeros((len(self.rows), n), dtype=bool)
        np.put_along_axis(inside, np.asarray(cpu(self.rows)), True, axis=1)
        return xp.asarray(np.nonzero(~inside)[1].reshape(len(self.rows), -1), device=self.left.device)

    def maker(self, share: Any) -> Any:
        xp, dtype, n = namespace(self.left), self.left.dtype, len(self.left)
        across = (self.own * xp.astype(share, dtype, copy=False)) @ self.left[self.others].swapaxes(-1, -2)
        return xp.astype(self.inverse(share), dtype, copy=False) @ (across - self.start / n)

    def given(self, columns: slice) -> tuple[Any, Any]:
        return self.targets(columns, self.others), self.targets(columns, self.rows)

    def left_out(self, maker: Any, given: tuple[Any, Any]) -> Any:
        out = maker @ given[0]
        out += given[1]
        return out


def _add_groups(errors: np.ndarray, ways: _ByAxes | _ByRows, shares: Any) -> None:
    """Add the squares of groups that are left out together to errors (penalties, t)."""
    xp, n = namespace(ways.left), len(ways.left)
    step = max(1, _MAKER_BYTES // (8 * ways.rows.shape[0] * ways.rows.shape[1] * n))
    for first in range(0, len(shares), step):
        makers = [ways.maker(share) for share in shares[first : first + step]]
        for columns in batches(n, errors.shape[1], ways.left.device):
            given = ways.given(columns)
            for a, maker in enumerate(makers, first):
                out = ways.left_out(maker, given)
                errors[a, columns] += cpu(xp.einsum("gnt,gnt->t", out, out))


def _add_singles(errors: np.ndarray, ways: _Ways, shares: Any) -> None:
    """Add the squares of rows that are left out one by one to errors (penalties, t)."""
    xp, n, m = namespace(ways.left), len(ways.left), len(ways.rows)
    own = ways.left if m == n else ways.own[:, 0]  # a sum does not ask for their order
    squares = xp.astype(own, xp.float64)
    squares *= squares
    inverse = xp.astype(1 / (ways.start * (1 - 1 / n) + squares @ shares.T), own.dtype, copy=False)[:, :, None]
    factors = xp.astype(shares, own.dtype, copy=False).T[:, :, None]
    for columns in batches(m * len(shares), errors.shape[1], own.device):
        shrunk = factors * ways.on_axes[:, None, columns]  # penalties side by side: one wide product
        wide = shrunk.reshape(len(shrunk), shrunk.shape[1] * shrunk.shape[2])
        out = (own @ wide).reshape(m, *shrunk.shape[1:])
        if ways.start:
            out += (ways.take(columns) if m == n else ways.targets(columns, ways.rows)[:, 0])[:, None]
        out *= inverse
        errors[:, columns] += cpu(xp.einsum("nat,nat->at", out, out))
