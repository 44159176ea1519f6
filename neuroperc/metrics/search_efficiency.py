"""How fast a searcher finds its target: fixations to the target, found-by-k curves, scanpath ratio.

`fixation = 0`, the one present at onset, counts as zero fixations: a path that starts with it and lands on the target
next is found at 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._check import check, integer
from .scanpath._paths import numpy_of, pad_paths

Floats = NDArray[np.float64]


def fixations_to_target(paths: Any, boxes: Any, *, initial: bool = True) -> Floats:
    """Count the fixations until the first one on the target.

    Parameters
    ----------
    paths
        Scanpaths as in `multimatch`: (n, 2 or 3), a list, or a batch padded with NaN; any one unit.
    boxes
        (4,) or (paths, 4) of the target's x0, y0, x1, y1 in the same unit; a place on the edge is not inside.
    initial
        Whether paths begin with the fixation present at onset, which counts as none. False: the first is number 1.

    Returns
    -------
    ndarray
        (paths,); NaN where the target is never fixated. Lost fixations are on no target and still count.

    Raises
    ------
    ValueError
        For another number of boxes or corners in the wrong order.

    References
    ----------
    .. [1] Z Yang et al. (2020). Predicting goal-directed human attention using inverse reinforcement learning.

    Examples
    --------
    >>> path = [[50, 50], [20, 60], [85, 15]]
    >>> fixations_to_target([path, path[:2]], [80, 10, 90, 20])
    array([ 2., nan])
    """
    values, _, _ = pad_paths("paths", paths)
    corners = _boxes(boxes, len(values))
    place = values[..., :2]
    inside = np.asarray(((place > corners[:, None, :2]) & (place < corners[:, None, 2:])).all(-1))
    if not inside.shape[1]:
        return np.full(len(values), np.nan)
    first = np.argmax(inside, axis=1) + (0 if initial else 1)
    return np.where(inside.any(1), first, np.nan)


def _boxes(boxes: Any, n: int) -> Floats:
    corners = numpy_of("boxes", boxes).astype(np.float64)
    fine = corners.ndim in (1, 2) and corners.shape[-1] == 4 and (corners.ndim == 1 or len(corners) in (1, n))
    check(fine, "boxes", f"(4,) or ({n}, 4)", f"shape {corners.shape}", "x0, y0, x1, y1 a path.")
    ordered = bool((corners[..., :2] < corners[..., 2:]).all())
    check(ordered, "boxes", "x0, y0, x1, y1 with x0 < x1 and y0 < y1", corners.tolist(), "Is it x, y, width, height?")
    return np.broadcast_to(corners, (n, 4))


def found_by(n_to_target: Any, *, max_fixations: int) -> Floats:
    """Return the share of trials in which the target was found within k fixations, k = 0 ... max_fixations.

    Parameters
    ----------
    n_to_target
        (..., trials) fixations until the target, NaN for not found; a trial that was not found still counts.
    max_fixations
        Length of the curve. Its entry 0 holds the trials whose initial fixation was on the target.

    Returns
    -------
    ndarray
        (..., max_fixations + 1), never falling, in [0, 1].

    Raises
    ------
    ValueError
        Without trials, or for negative or fractional counts.

    Examples
    --------
    >>> found_by([1, 2, 2, float("nan")], max_fixations=3)
    array([0.  , 0.25, 0.75, 0.75])
    """
    counts = numpy_of("n_to_target", n_to_target).astype(np.float64)
    most = integer("max_fixations", max_fixations, minimum=0)
    check(counts.ndim >= 1 and counts.shape[-1] > 0, "n_to_target", "one number a trial", f"shape {counts.shape}")
    known = counts[~np.isnan(counts)]
    whole = bool(((known >= 0) & (known == np.round(known))).all())
    check(whole, "n_to_target", "whole numbers of 0 or more, or NaN", known.min(initial=0))
    return (counts[..., None] <= np.arange(most + 1)).mean(-2)


def tfp_auc(curve: Any) -> Floats:
    """Return the area under a found-by-k curve, the sum over k with step 0 (TFP-AUC).

    Parameters
    ----------
    curve
        (..., k + 1) of `found_by`. Areas are comparable for one number of steps only; divide by it for the mean.

    Returns
    -------
    ndarray
        (...).

    References
    ----------
    .. [1] Z Yang et al. (2020). Predicting goal-directed human attention using inverse reinforcement learning.

    Examples
    --------
    >>> float(tfp_auc([0, 0.25, 0.75, 0.75]))
    1.75
    """
    return np.asarray(_curve("curve", curve).sum(-1))


def probability_mismatch(curve: Any, reference: Any) -> Floats:
    """Return how far two found-by-k curves lie apart, their absolute difference summed over k.

    Parameters
    ----------
    curve, reference
        (..., k + 1) of `found_by`, equally long.

    Returns
    -------
    ndarray
        (...), 0 for equal curves.

    Examples
    --------
    >>> float(probability_mismatch([0, 0.5, 1], [0, 0.25, 0.75]))
    0.5
    """
    one, two = _curve("curve", curve), _curve("reference", reference)
    same = one.shape[-1] == two.shape[-1]
    check(same, "curve and reference", "equally long", f"{one.shape[-1]} and {two.shape[-1]}", "Use one max_fixations.")
    return np.asarray(np.abs(one - two).sum(-1))


def _curve(name: str, curve: Any) -> Floats:
    values = numpy_of(name, curve).astype(np.float64)
    fine = values.ndim >= 1 and values.size > 0 and bool(((values >= 0) & (values <= 1)).all())
    check(fine, name, "shares in [0, 1]", f"shape {values.shape}", "Use found_by.")
    return values


def scanpath_ratio(paths: Any, boxes: Any) -> Floats:
    """Return how direct the way to the target was: the straight distance over the length of the path.

    Parameters
    ----------
    paths, boxes
        As in `fixations_to_target`; paths begin with the fixation present at onset.

    Returns
    -------
    ndarray
        (paths,) distance from the first fixation to the target's centre over the path's length up to the target, at
        most 1. NaN where the target is not found, the path starts on it, or a place on the way is missing.

    References
    ----------
    .. [1] Z Yang et al. (2020). Predicting goal-directed human attention using inverse reinforcement learning.

    Examples
    --------
    >>> scanpath_ratio([[0, 0], [0, 30], [40, 30]], [30, 20, 50, 40]).round(3)
    array([0.714])
    """
    values, _, _ = pad_paths("paths", paths)
    corners = _boxes(boxes, len(values))
    landed = fixations_to_target(paths, boxes)
    steps = np.hypot(*np.moveaxis(np.diff(values[..., :2], axis=1), -1, 0))
    way = np.where(np.arange(steps.shape[1]) < landed[:, None], steps, 0.0).sum(1)
    centre = (corners[:, :2] + corners[:, 2:]) / 2
    straight = np.hypot(*(values[:, 0, :2] - centre).T) if values.shape[1] else np.full(len(values), np.nan)
    fine = (landed > 0) & (way > 0)
    return np.where(fine, np.minimum(straight / np.where(fine, way, 1.0), 1.0), np.nan)
