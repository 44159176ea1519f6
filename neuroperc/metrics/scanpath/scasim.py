"""SCASIM: an edit distance of scanpaths in seconds, weighted by the angle between fixations."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..._check import check, one_of
from ._paths import Floats, Paths, Whole, read_paths, restore, score_pairs
from ._programs import corner, edit


def scasim(
    a: Any,
    b: Any = None,
    *,
    decay: float = 0.83,
    geometry: Literal["tangent", "small_angle"] = "tangent",
    normalize: Literal["none", "duration"] = "none",
    pairs: Any = None,
) -> Any:
    """Return how many seconds of fixation differ between two scanpaths (SCASIM).

    Parameters
    ----------
    a, b, pairs
        As in `multimatch`, with x and y in degrees of visual angle from the middle of the display and durations in
        seconds.
    decay
        b in m = b^angle: how fast the likeness of two places falls, per degree; within (0, 1).
    geometry
        "tangent": the angle between the lines of sight (house degrees of a flat screen, atan per axis); "small_angle":
        the straight distance of degrees.
    normalize
        "duration" divides by the summed durations of both paths.

    Returns
    -------
    array
        () or (pairs,) or (len(a), len(b)) in seconds, 0 for equal paths. NaN where either path is empty, or a place or
        duration is missing.

    Notes
    -----
    An edit distance: to leave out a fixation costs its duration d; to put another in its place costs
    ``|d − d'| m + (d + d')(1 − m)``.

    References
    ----------
    .. [1] T von der Malsburg, S Vasishth (2011). What is the scanpath signature of syntactic reanalysis? Journal of
       Memory and Language 65. The equations of its appendix.

    Examples
    --------
    >>> a = [[0, 0, 0.2], [5, 0, 0.3]]
    >>> round(float(scasim(a, [[0, 0, 0.2], [5, 0, 0.4], [5, 5, 0.1]])), 6)
    0.2
    """
    check(0 < decay < 1, "decay", "within (0, 1)", decay, "Published: 0.83 per degree.")
    one_of("geometry", geometry, ("tangent", "small_angle"))
    one_of("normalize", normalize, ("none", "duration"))
    left = read_paths("a", a)
    right = left if b is None else read_paths("b", b)
    places = [_places(p, geometry) for p in ((left,) if b is None else (left, right))]

    def kernel(i: Whole, j: Whole) -> Floats:
        n, m = left.n[i], right.n[j]
        deleted, inserted = left.duration[: n.max(), i], right.duration[: m.max(), j]
        angle_deg = _angles(places[0][:, : n.max(), i], places[-1][:, : m.max(), j], geometry)
        near = np.power(decay, angle_deg, out=angle_deg)
        apart, both = np.abs(deleted[:, None] - inserted), deleted[:, None] + inserted
        total = corner(edit(apart * near + both * (1 - near), deleted, inserted), n, m)
        if normalize == "none":
            return total
        spent = deleted.sum(0) + inserted.sum(0)
        return np.asarray(np.where(spent > 0, total / np.where(spent > 0, spent, 1.0), 0.0))

    usable = (left.known & left.timed, right.known & right.timed)
    return restore(score_pairs(left, right, pairs, kernel, usable=usable, same=b is None), a, b)


def _places(paths: Paths, geometry: str) -> Floats:
    """Return (3 or 2, longest, n): lines of sight of length 1, or degrees."""
    if geometry == "small_angle":
        return np.stack((paths.x, paths.y))
    within = max(np.abs(paths.x).max(initial=0), np.abs(paths.y).max(initial=0)) < 90
    check(within, "x and y", "within 90 degrees of the middle", "more", "Places are in degrees; convert pixels first.")
    ray = np.stack((np.tan(np.deg2rad(paths.x)), np.tan(np.deg2rad(paths.y)), np.ones(paths.x.shape)))
    return np.asarray(ray / np.sqrt((ray**2).sum(0)))


def _angles(a: Floats, b: Floats, geometry: str) -> Floats:
    """Return (n, m, pairs) angles in degrees; by the chord, which keeps small angles."""
    chord = np.sqrt(((a[:, :, None] - b[:, None]) ** 2).sum(0))
    return chord if geometry == "small_angle" else np.rad2deg(2 * np.arcsin(np.minimum(chord / 2, 1.0)))
