"""Which object a fixation is on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..._check import check, finite


def assign_objects(points_deg: ArrayLike, boxes_deg: ArrayLike) -> np.ndarray:
    """Return the index of the box that contains each point, or else of the box whose centre is nearest.

    Where boxes overlap, the one whose centre is nearest among those that contain the point counts.

    Parameters
    ----------
    points_deg
        (n, 2) of (x, y).
    boxes_deg
        (m, 4) of (left, right, bottom, top); edges belong to a box.

    Returns
    -------
    ndarray
        (n,) whole numbers.

    Raises
    ------
    ValueError
        For NaN, other shapes, no box, or a box without area.

    Examples
    --------
    >>> assign_objects([[0.2, 0.5], [1.4, 0.5], [9, 9]], [[0, 1, 0, 1], [1, 2, 0, 1]]).tolist()
    [0, 1, 1]
    """
    points, boxes = np.asarray(points_deg, dtype=np.float64), np.asarray(boxes_deg, dtype=np.float64)
    check(points.ndim == 2 and points.shape[1] == 2, "points_deg", "of shape (n, 2)", f"shape {points.shape}")
    good = boxes.ndim == 2 and boxes.shape[1] == 4 and len(boxes) > 0
    check(good, "boxes_deg", "of shape (m, 4), at least one", f"shape {boxes.shape}")
    finite("points_deg", points, "A fixation whose place is not known is on no object: leave it out.")
    finite("boxes_deg", boxes)
    left, right, bottom, top = boxes.T
    flat = (right <= left) | (top <= bottom)
    check(not flat.any(), "boxes_deg", "(left, right, bottom, top) with area", boxes[flat][:1].tolist())
    x, y = points[:, :1], points[:, 1:]
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    far = (x - (left + right) / 2) ** 2 + (y - (bottom + top) / 2) ** 2
    # Among boxes that contain the point, else among all of them.
    return np.where(inside | ~inside.any(1, keepdims=True), far, np.inf).argmin(1)
