"""What the estimators share: checked input, and targets sorted by the rows that they miss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._check import check

_BLOCK_BYTES = 2**26


def by_missing_rows(targets: Any, minimum: int = 2) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows, columns) for each pattern of NaN: these columns are complete in exactly these rows.

    Columns with fewer than `minimum` rows are left out, as are none at all.
    """
    there = ~np.isnan(np.asarray(targets))
    if there.all():
        yield np.arange(there.shape[0]), np.arange(there.shape[1])
        return
    patterns, which = np.unique(there, axis=1, return_inverse=True)
    for i, pattern in enumerate(patterns.T):
        if pattern.sum() >= minimum:
            yield np.flatnonzero(pattern), np.flatnonzero(which.ravel() == i)


def checked_fit(estimator: Any, features: Any, targets: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return float features (n, p), float targets (n, t), and whether the targets were a vector."""
    from sklearn.utils.validation import check_array, check_consistent_length, validate_data

    if targets is None:  # scikit-learn's own words, which its checks look for
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    x = validate_data(estimator, features, dtype=[np.float64, np.float32], ensure_min_samples=2)
    y = check_array(
        targets, input_name="y", dtype=[np.float64, np.float32], ensure_2d=False, ensure_all_finite="allow-nan",
        estimator=estimator,
    )  # fmt: skip
    check(y.ndim in (1, 2), "y", "(row,) or (row, target)", f"shape {y.shape}")
    check_consistent_length(x, y)
    flat = y.ndim == 1
    y = y[:, None] if flat else y
    n_there = (~np.isnan(y)).sum(axis=0)
    check(n_there.min() >= 2, "y", "known in 2 or more rows of each target",
          f"{n_there.min()} in column {n_there.argmin()}", "Drop that target.")  # fmt: skip
    return x, y, flat


def checked_predict(estimator: Any, features: Any) -> np.ndarray:
    """Return float features of the width that was fitted."""
    from sklearn.utils.validation import check_is_fitted, validate_data

    check_is_fitted(estimator)
    x: np.ndarray = validate_data(estimator, features, dtype=[np.float64, np.float32], reset=False)
    return x


def centred(x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return these rows in float64 about their mean, and the mean."""
    wide = np.asarray(x if len(rows) == len(x) else x[rows], dtype=np.float64)
    mean: np.ndarray = wide.mean(axis=0)
    return wide - mean, mean


def column_means(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the float64 column means of these rows without a float64 copy of them all."""
    step = max(1, _BLOCK_BYTES // (8 * len(rows)))
    take = slice(None) if len(rows) == len(x) else rows
    starts = range(0, x.shape[1], step)
    return np.concatenate([x[:, i : i + step][take].mean(axis=0, dtype=np.float64) for i in starts])
