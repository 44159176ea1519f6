"""Which scanpaths to compare with which, and how many comparisons came out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._check import check
from ._paths import numpy_of


def scanpath_pairs(n: int, *, subject: Any = None, stimulus: Any = None) -> NDArray[np.int64]:
    """Return every pair of different scanpaths, each once; never one person with themself.

    Parameters
    ----------
    n
        Number of scanpaths.
    subject
        (n,) who made each; pairs of one person are left out, which would inflate how alike people seem.
    stimulus
        (n,) what each was made on; only pairs of the same stimulus are returned.

    Returns
    -------
    ndarray
        (pairs, 2) indices i < j.

    Examples
    --------
    >>> scanpath_pairs(4, subject=["s1", "s1", "s2", "s3"], stimulus=[0, 0, 0, 1]).tolist()
    [[0, 2], [1, 2]]
    """
    check(n >= 0, "n", "0 or more", n)
    i, j = np.triu_indices(n, 1)
    for name, value, alike in (("subject", subject, False), ("stimulus", stimulus, True)):
        if value is None:
            continue
        labels = np.asarray(value)
        check(labels.shape == (n,), name, f"of shape ({n},)", f"shape {labels.shape}", "One value a scanpath.")
        keep = (labels[i] == labels[j]) == alike
        i, j = i[keep], j[keep]
    return np.stack((i, j), 1)


def coverage(scores: Any) -> float:
    """Return the share of comparisons that have a score.

    Parameters
    ----------
    scores
        (pairs,) or (pairs, dimensions) answers of a scanpath metric, NaN where undefined; one with dimensions counts
        when any of them is there.

    Returns
    -------
    float
        NaN when nothing was compared.

    Examples
    --------
    >>> coverage([0.5, float("nan"), 0.7, 0.9])
    0.75
    """
    values = numpy_of("scores", scores)
    there = ~np.isnan(values)
    if values.ndim > 1:
        there = there.any(-1)
    return float(there.mean()) if there.size else float("nan")
