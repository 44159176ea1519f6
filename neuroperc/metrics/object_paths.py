"""Statistics of scanpaths over objects: where they end, how long they are, and how often they come back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._check import check
from .scanpath._paths import numpy_of, read_labels

OBJECT_STATISTICS = ("correct", "length", "search", "refixation", "revisit")


def object_statistics(labels: Any, target: Any) -> NDArray[np.float64]:
    """Return five statistics of each object-level scanpath.

    Parameters
    ----------
    labels
        (n,) object fixated at each step, a list of such, or a batch padded at its end with -1 or NaN.
    target
        The object searched for: one, or one a path.

    Returns
    -------
    ndarray
        (paths, 5), or (5,) for one path: `OBJECT_STATISTICS`. correct: whether the last object is the target; length;
        and, as shares of the length, search: fixations that open an object's first visit; refixation: further
        fixations of the object under the eye; revisit: fixations that return to an object left before. These three sum
        to 1. NaN for an empty path or one with a missing label.

    Raises
    ------
    ValueError
        For another number of targets.

    References
    ----------
    .. [1] Y Fang et al. (2024). OAT: object-level attention transformer for gaze scanpath prediction. ECCV.

    Examples
    --------
    >>> object_statistics([3, 3, 5, 3, 7], target=7)
    array([1. , 5. , 0.6, 0.2, 0.2])
    """
    read = read_labels("labels", labels)
    goals = numpy_of("target", target)
    fine = goals.ndim == 0 or goals.shape == read.n.shape
    check(fine, "target", f"one, or one for each of {len(read.n)} paths", f"shape {goals.shape}")
    label, n = read.label.T, read.n
    inside = np.arange(label.shape[1]) < n[:, None]
    stays = np.zeros(label.shape, dtype=np.bool_)
    stays[:, 1:] = label[:, 1:] == label[:, :-1]
    first = _first_of_each(label)
    length = np.maximum(n, 1)
    counts = [(inside & kind).sum(1) / length for kind in (first, stays, ~first & ~stays)]
    last = np.take_along_axis(label, np.maximum(n - 1, 0)[:, None], 1)[:, 0] if label.shape[1] else n * 0 - 1
    table = np.stack([last == goals, n, *counts], 1).astype(np.float64)
    table[~read.known] = np.nan
    return table[0] if read.single else table


def _first_of_each(label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the first place of every label in its row."""
    first = np.zeros(label.size, dtype=np.bool_)
    base = int(label.max(initial=0)) + 2
    key = np.arange(len(label))[:, None] * base + label + 1
    first[np.unique(key, return_index=True)[1]] = True
    return first.reshape(label.shape)


def behavioral_delta(model: Any, human: Any) -> float:
    """Return how far a model's statistics lie from people's: their mean absolute difference as a share of people's.

    Parameters
    ----------
    model, human
        (paths, 5) of `object_statistics`; paths without a value are left out of the means.

    Returns
    -------
    float
        0 for equal means; NaN when either side has no path or a human mean is 0.

    References
    ----------
    .. [1] Y Fang et al. (2024). OAT: object-level attention transformer for gaze scanpath prediction. ECCV.

    Examples
    --------
    >>> human, model = object_statistics([[1, 1, 2, 1]], target=1), object_statistics([[1, 1, 1, 1, 2, 1]], target=1)
    >>> round(behavioral_delta(model, human), 4)
    0.4333
    """
    means = []
    for name, value in (("model", model), ("human", human)):
        table = np.atleast_2d(numpy_of(name, value)).astype(np.float64)
        check(table.ndim == 2 and table.shape[1] == len(OBJECT_STATISTICS), name, "(paths, 5) of object_statistics",
              f"shape {table.shape}")  # fmt: skip
        there = table[~np.isnan(table).any(1)]
        means.append(there.mean(0) if len(there) else np.full(table.shape[1], np.nan))
    fine = means[1] != 0
    share = np.where(fine, np.abs(means[0] - means[1]) / np.where(fine, means[1], 1.0), np.nan)
    return float(share.mean())
