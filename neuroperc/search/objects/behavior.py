"""Five numbers that describe a path over objects, and the distance between model and people made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import check

STATISTICS = ("correct", "length", "search", "refixation", "revisit")


def path_statistics(paths: Any, target: Any) -> np.ndarray:
    """Return, for each path: last object is the target, length, and the shares of first visits, refixations, revisits.

    A run is a stretch of fixations on one object. First runs on an object are search, further fixations of a run are
    refixations, later runs on it are revisits; the three shares add up to 1.

    Parameters
    ----------
    paths
        (scene, path, step) object indices, -1 after a path's end.
    target
        (scene,) index of the target.

    Returns
    -------
    ndarray
        (scene, path, 5) in the order of `STATISTICS`; NaN for an empty path.

    Raises
    ------
    ValueError
        For shapes that do not fit.

    References
    ----------
    Y Fang and others (2024). OAT, ECCV, released code.

    Examples
    --------
    >>> path_statistics([[[0, 0, 1, 0, 2]]], [2]).round(2).tolist()
    [[[1.0, 5.0, 0.6, 0.2, 0.2]]]
    """
    steps, wanted = np.asarray(paths), np.asarray(target)
    good = steps.ndim == 3 and wanted.shape == steps.shape[:1]
    check(good, "paths and target", "(scene, path, step) and (scene,)", f"shapes {steps.shape}, {wanted.shape}")
    real = steps >= 0
    length = real.sum(-1)
    last = np.take_along_axis(steps, np.maximum(length - 1, 0)[..., None], -1)[..., 0]
    turns = (real[..., 1:] & (steps[..., 1:] != steps[..., :-1])).sum(-1) + (length > 0)
    in_order = np.sort(steps, -1)
    kinds = ((in_order[..., 1:] != in_order[..., :-1]) & (in_order[..., 1:] >= 0)).sum(-1) + (in_order[..., 0] >= 0)
    correct = last == wanted[:, None]
    n = np.where(length > 0, length, np.nan)
    parts = (np.where(length > 0, correct, np.nan), n, kinds / n, (length - turns) / n, (turns - kinds) / n)
    return np.stack(parts, -1)


def behavioral_delta(paths: Any, human_paths: Any, target: Any) -> float:
    """Return the mean over the five statistics of |model - human| / human, each averaged over all paths.

    Parameters
    ----------
    paths, human_paths
        (scene, path, step) each, over the same scenes; empty paths do not count.
    target
        (scene,) index of the target.

    Returns
    -------
    float
        0 when all five means agree. A statistic that people never show (no revisits, say) counts as the model's value.

    Raises
    ------
    ValueError
        When there is no path at all.

    References
    ----------
    Y Fang and others (2024). OAT, ECCV, released code: behavioural distance.

    Examples
    --------
    >>> round(behavioral_delta([[[0, 2]]], [[[0, 1, 1, 2]]], [2]), 4)
    0.3667
    """
    means = []
    for name, each in (("paths", paths), ("human_paths", human_paths)):
        found = path_statistics(each, target).reshape(-1, len(STATISTICS))
        found = found[np.isfinite(found).all(-1)]
        check(len(found) > 0, name, "at least one path that is not empty", "none")
        means.append(found.mean(0))
    model, human = means
    return float((np.abs(model - human) / np.where(human > 0, human, 1)).mean())
