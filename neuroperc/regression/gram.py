"""From features of any width to an n x n Gram matrix, read a block of columns at a time, and its rotation.

Ridge, and PLS without scaling, see features only through K = Xc Xcᵀ, so Z with Z Zᵀ = K gives the same fits as Xc.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._check import check, fail, finite, integer, one_of
from ._linalg import cpu, eigh, namespace, to

_BLOCK_BYTES = 2**26
_RANK = 1e-12  # eigenvalues below this share of the largest are rounding


@dataclass(frozen=True, eq=False)
class Rotated:
    """Features turned onto the principal axes of their rows: nothing that ridge or PLS can see is lost.

    Attributes
    ----------
    scores
        Z (n, r), centred over rows, with ``Z Zᵀ = Xc Xcᵀ`` and ``Zᵀ Z = diag(eigenvalues)``.
    eigenvalues
        (r,) descending, in the squared unit of the features.
    n_units
        Width of the features.
    axes
        (units, r) with ``scores = Xc @ axes`` when there are fewer units than rows, else None: it would be as large as
        the features.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(6, 1000))
    >>> found = rotate(x)
    >>> centred = x - x.mean(0)
    >>> found.scores.shape, bool(np.allclose(found.scores @ found.scores.T, centred @ centred.T))
    ((6, 5), True)
    """

    scores: Any
    eigenvalues: Any
    n_units: int
    axes: Any = None

    @property
    def left(self) -> Any:
        """The left singular vectors of the centred features, (n, r), orthonormal."""
        return self.scores / self.eigenvalues**0.5

    def unit_weights(self, features: Any, weights: Any, *, block_units: int | None = None) -> np.ndarray:
        """Return weights (r, t) on the scores as weights (units, t) on the features, which are read once more.

        Parameters
        ----------
        features
            What `rotate` was given (a generator: a fresh one).
        weights
            (r, t).
        block_units
            As in `gram_matrix`.

        Returns
        -------
        numpy.ndarray
            (units, t), so that ``(x - x.mean(0)) @ result`` equals ``scores @ weights``.

        Raises
        ------
        ValueError
            For features of another shape.
        """
        if self.axes is not None:
            return np.asarray(cpu(self.axes @ weights))
        dual = np.asarray(cpu(self.scores) / cpu(self.eigenvalues)) @ np.asarray(cpu(weights))
        parts = []
        for block in column_blocks(features, block_units=block_units):
            check(len(block) == len(dual), "features", f"of {len(dual)} rows, as they were rotated", len(block))
            wide = np.asarray(cpu(block), dtype=np.float64)
            parts.append((wide - wide.mean(axis=0)).T @ dual)
        found = np.concatenate(parts)
        check(len(found) == self.n_units, "features", f"of {self.n_units} units, as they were rotated", len(found))
        return found


def gram_matrix(
    features: Any,
    *,
    block_units: int | None = None,
    dtype: Literal["float64", "float32"] = "float64",
    device: Any = None,
) -> Any:
    """Gram matrix Xc Xcᵀ of features centred over rows, in one pass over blocks of columns.

    Parameters
    ----------
    features
        (n, units): an array, memory map, tensor or labelled array (also one that is read on demand), or an iterable of
        blocks (n, some units), such as a generator. What it needs in memory is n² numbers and one block.
    block_units
        Columns at a time; default about 64 MB, and at least n.
    dtype
        In which products are taken; sums over blocks are float64 always. float32 is twice as fast and leaves
        eigenvalues below about 1e-6 of the largest as noise.
    device
        None computes with NumPy; else a torch device.

    Returns
    -------
    array
        (n, n) float64, NumPy or torch.

    Raises
    ------
    ValueError
        For features that are not (n, units), blocks of different heights, no unit at all, NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(4, 100))
    >>> blocks = (x[:, i : i + 10] for i in range(0, 100, 10))
    >>> bool(np.allclose(gram_matrix(blocks), gram_matrix(x)))
    True
    """
    return _accumulate(features, block_units, dtype, device)[0]


def rotate(
    features: Any,
    *,
    block_units: int | None = None,
    dtype: Literal["float64", "float32"] = "float64",
    device: Any = None,
) -> Rotated:
    """Turn features onto the principal axes of their rows, once for all splits, targets and penalties.

    Parameters
    ----------
    features, block_units, dtype, device
        As in `gram_matrix`. Arrays with fewer units than rows go through their smaller covariance matrix.

    Returns
    -------
    Rotated
        With at most ``min(n - 1, units)`` columns; axes whose eigenvalue is rounding are left out. No
        column at all when no unit varies.

    Raises
    ------
    ValueError
        As `gram_matrix`.

    References
    ----------
    .. [1] T Hastie, R Tibshirani (2004). Efficient quadratic regularization for expression arrays.
       doi:10.1093/biostatistics/kxh010

    Examples
    --------
    >>> import numpy as np
    >>> rotate(np.eye(4)[:, :2]).eigenvalues.round(3)
    array([1. , 0.5])
    """
    n, p = _shape(features)
    axes: Any = None
    if p is not None and p < n:
        x = np.asarray(cpu(_column_slice(features, slice(0, p))), dtype=np.float64)
        _check_block(x, n)
        x = to(x - x.mean(axis=0), device)
        values, axes = map(_descending, eigh(_square(x.T)))
        scores = x @ axes
    else:
        kernel, p = _accumulate(features, block_units, dtype, device)
        values, left = map(_descending, eigh(kernel))
        scores = left * namespace(values).clip(values, min=0.0) ** 0.5
    floor = _RANK if dtype == "float64" else 1e-6
    rank = min(int(((values > floor * values[0]) & (values > 0)).sum()), scores.shape[0] - 1)
    return Rotated(scores[:, :rank], values[:rank], p, None if axes is None else axes[:, :rank])


def column_blocks(features: Any, *, block_units: int | None = None) -> Iterator[Any]:
    """Yield features (n, units) as blocks of columns; iterables of blocks are passed through."""
    n, p = _shape(features)
    if p is None:
        yield from features
        return
    step = integer("block_units", block_units) if block_units is not None else max(n, _BLOCK_BYTES // (8 * n))
    for start in range(0, p, step):
        yield _column_slice(features, slice(start, min(start + step, p)))


def _shape(features: Any) -> tuple[int, int | None]:
    """Return (rows, units); units are None for an iterable of blocks."""
    if not hasattr(features, "shape"):
        if not isinstance(features, Iterable) or isinstance(features, str | bytes):
            fail("features", "an array or an iterable of blocks", type(features).__name__, error=TypeError)
        return 0, None
    shape = tuple(features.shape)
    check(len(shape) == 2, "features", "(stimuli, units)", f"shape {shape}", "Flatten with .reshape(len(x), -1).")
    check(shape[0] > 1 and shape[1] > 0, "features", "of 2 or more rows and 1 or more units", f"shape {shape}")
    return int(shape[0]), int(shape[1])


def _column_slice(features: Any, columns: slice) -> Any:
    block = features[:, columns]
    return block.values if hasattr(block, "coords") else block


def _accumulate(features: Any, block_units: int | None, dtype: str, device: Any) -> tuple[Any, int]:
    one_of("dtype", dtype, ("float64", "float32"))
    total, n_units, n = None, 0, None
    for block in column_blocks(features, block_units=block_units):
        n = len(block) if n is None else n
        _check_block(block, n)
        wide = to(block, device)
        x = _as(wide - wide.mean(axis=0), dtype)  # the offset must go before digits do
        product = _square(x)
        total = _as(product, "float64") if total is None else total + _as(product, "float64")
        n_units += int(block.shape[1])
    check(total is not None, "features", "of at least one block", "none", "A generator can be used once only.")
    return total, n_units


def _square(x: Any) -> Any:
    """Return x @ x.T, of which NumPy does half, since it sees that it is symmetric; raise when it overflows."""
    xp = namespace(x)
    with np.errstate(over="ignore", invalid="ignore"):
        product = x @ x.T
    largest = float(cpu(xp.max(xp.linalg.diagonal(product))))
    check(np.isfinite(largest), "features", "small enough for their squares", f"squares of {largest}", "Scale them.")
    return product


def _check_block(block: Any, n: int) -> None:
    right = getattr(block, "ndim", 0) == 2 and len(block) == n
    check(right, "a block of features", f"({n}, some units)", getattr(block, "shape", type(block).__name__))
    finite("features", block)


def _as(x: Any, dtype: str) -> Any:
    xp = namespace(x)
    return xp.astype(x, getattr(xp, dtype), copy=False)


def _descending(x: Any) -> Any:
    xp = namespace(x)
    return xp.flip(x, axis=-1)
