"""Simplification of saccade sequences, all paths at once (Jarodzka, Holmqvist & Nyström 2010; Dewhurst et al. 2012)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._paths import Flags, Floats, Paths, Whole


class Saccades(NamedTuple):
    """Saccades side by side, (longest, n): start, vector, and the duration of the fixation where each starts."""

    x: Floats
    y: Floats
    dx: Floats
    dy: Floats
    duration: Floats
    n: Whole  # saccades in each path
    last: Floats  # (n,) duration of the fixation where the path ends


def saccades(paths: Paths) -> Saccades:
    """Return the saccades of paths; those beyond a path's end are 0."""
    n = np.maximum(paths.n - 1, 0)
    dx, dy = paths.x[1:] - paths.x[:-1], paths.y[1:] - paths.y[:-1]
    if not paths.single:
        inside = np.arange(len(dx))[:, None] < n
        dx, dy = np.where(inside, dx, 0.0), np.where(inside, dy, 0.0)
    last = paths.duration[n, np.arange(len(n))] if len(paths.duration) else np.zeros(len(n))
    return Saccades(paths.x[:-1], paths.y[:-1], dx, dy, paths.duration[:-1], n, last)


def simplify(paths: Saccades, *, angle_deg: float, length: float, duration_s: float) -> Saccades:
    """Merge saccades of like direction, then short ones, until neither removes a fixation."""
    x, y, dx, dy, duration = (v.copy() for v in paths[:5])
    done = Saccades(x, y, dx, dy, duration, paths.n.copy(), paths.last)
    active, now, fixations = np.arange(len(paths.n)), paths, paths.n + 1
    while len(active):
        now, counted = _merge_short(_merge_aligned(now, angle_deg, duration_s), length, duration_s)
        for whole, part in zip(done[:5], now[:5], strict=True):
            whole[:, active] = part
        done.n[active] = now.n
        going = counted != fixations
        active, fixations = active[going], counted[going]
        x, y, dx, dy, duration = (v[:, going] for v in now[:5])
        now = Saccades(x, y, dx, dy, duration, now.n[going], now.last[going])
    return done


def _merge_aligned(s: Saccades, angle_deg: float, duration_s: float) -> Saccades:
    """Merge where two saccades turn by less than `angle_deg` over a short fixation; length 0 has no direction."""
    first, second = (s.dx[:-1], s.dy[:-1]), (s.dx[1:], s.dy[1:])
    dot = first[0] * second[0] + first[1] * second[1]
    norms = np.hypot(*first) * np.hypot(*second)
    cosine = np.where(norms > 0, dot / np.where(norms > 0, norms, 1.0), np.nan)
    turn_deg = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    merge = _pairs_of_runs(s, (turn_deg < angle_deg) & (s.duration[1:] < duration_s))
    return _merged(s, merge)


def _merge_short(s: Saccades, length: float, duration_s: float) -> tuple[Saccades, Whole]:
    """Merge saccades shorter than `length` beside a short fixation; also return the fixations the reference counts.

    The last saccade has none after it: it is summed with the one before it as that one was at the start of this pass,
    and takes its place, as in the published toolbox. A path's only saccade has none before it and stays.
    """
    short = np.sqrt(s.dx**2 + s.dy**2) < length
    brief = s.duration < duration_s
    merge = _pairs_of_runs(s, short[:-1] & (brief[:-1] | brief[1:]))
    lane, end = np.arange(len(s.n)), np.maximum(s.n - 1, 0)
    taken = np.zeros(len(lane), dtype=np.bool_)
    if len(merge):
        taken = merge[np.maximum(end - 1, 0), lane] & (s.n > 1)
    closing = (s.n > 1) & ~taken & short[end, lane] & ((s.last < duration_s) | brief[end, lane])
    before = np.maximum(end - 1, 0)
    sum_x, sum_y = (v[end, lane] + v[before, lane] for v in (s.dx, s.dy))
    made = _merged(s, merge)
    n = made.n - closing
    slot = np.maximum(n - 1, 0)
    dx, dy = made.dx.copy(), made.dy.copy()
    for target, total in ((dx, sum_x), (dy, sum_y)):
        target[slot[closing], lane[closing]] = total[closing]
    beyond = np.arange(len(dx))[:, None] >= n
    x, y, dx, dy, duration = (np.where(beyond, 0.0, v) for v in (made.x, made.y, dx, dy, made.duration))
    # The toolbox's list of durations keeps one entry more after such an end, and its loop stops by that list's length.
    return Saccades(x, y, dx, dy, duration, n, s.last), n + 1 + closing


def _pairs_of_runs(s: Saccades, wanted: Flags) -> Flags:
    """Go from left to right: a saccade merged with its successor takes that one out of the running."""
    wanted = wanted & (np.arange(len(wanted))[:, None] < s.n - 1)
    position = np.arange(1, len(wanted) + 1)[:, None]
    run_start = np.maximum.accumulate(np.where(wanted, 0, position), axis=0)
    return wanted & ((position - run_start) % 2 == 1)


def _merged(s: Saccades, merge: Flags) -> Saccades:
    """Add to every merged saccade its successor, take the successors out, and close the gaps."""
    if not merge.any():
        return s
    gone = np.zeros(s.dx.shape, dtype=np.bool_)
    gone[1:] = merge
    dx, dy = s.dx.copy(), s.dy.copy()
    dx[:-1] += np.where(merge, s.dx[1:], 0.0)
    dy[:-1] += np.where(merge, s.dy[1:], 0.0)
    n = s.n - gone.sum(0)
    order = np.argsort(gone | (np.arange(len(gone))[:, None] >= s.n), axis=0, kind="stable")
    inside = np.arange(len(gone))[:, None] < n
    moved = (np.where(inside, np.take_along_axis(v, order, 0), 0.0) for v in (s.x, s.y, dx, dy, s.duration))
    x, y, dx, dy, duration = moved
    return Saccades(x, y, dx, dy, duration, n, s.last)
