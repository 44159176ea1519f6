"""Gaze of one trial and eye on a regular clock: gaps, blinks and the velocity of the line of sight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._check import fail
from ...display import Display


@dataclass(frozen=True)
class Trace:
    """One eye in one trial, on a clock without holes.

    Parameters
    ----------
    start_s, step_s
        Time of the first sample and between samples, in seconds.
    points_deg
        (n, 2); NaN in `blind`, short gaps filled by straight lines.
    seen
        (n,) whether the tracker saw the eye there.
    blind
        (n,) lost for longer than a gap, and the padding around it.
    losses
        (k, 2) first and last sample of each such loss, without padding.
    """

    start_s: float
    step_s: float
    points_deg: np.ndarray
    seen: np.ndarray
    blind: np.ndarray
    losses: np.ndarray


def runs(mask: np.ndarray) -> np.ndarray:
    """Return (k, 2) first and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return np.stack((edges[::2], edges[1::2] - 1), -1)


def clock(time_s: np.ndarray, name: str) -> tuple[float, np.ndarray]:
    """Return the sampling step and the whole-number place of each sample; refuse irregular times."""
    gaps = np.diff(time_s)
    step = float(np.median(gaps))
    counts = np.rint(gaps / step)
    off = np.abs(gaps - counts * step) > 0.25 * step
    if off.any() or (counts < 1).any():
        worst = int(np.argmax(np.abs(gaps - counts * step)))
        fail(
            "time_s", f"regular, a multiple of {step:.6g} s apart",
            f"{gaps[worst]:.6g} s after {time_s[worst]:.6g} s in {name}", "Resample the gaze to an even clock first.",
        )  # fmt: skip
    return step, np.concatenate(([0], np.cumsum(counts))).astype(np.intp)


def make_trace(
    time_s: np.ndarray, points: np.ndarray, valid: np.ndarray, max_gap_s: float, pad_s: float, name: str
) -> Trace:
    """Put samples on a clock, fill short gaps, and blank long losses with the padding around them."""
    step, place = clock(time_s, name)
    n = int(place[-1]) + 1
    on_clock = np.full((n, 2), np.nan)
    on_clock[place[valid]] = points[valid]
    seen = ~np.isnan(on_clock).any(axis=1)
    blind, pad = np.zeros(n, dtype=bool), round(pad_s / step)
    losses = []
    for first, last in runs(~seen):
        if (last - first + 1) * step > max_gap_s:
            losses.append((first, last))
            blind[max(0, first - pad) : last + pad + 1] = True
        elif first == 0 or last == n - 1:
            blind[first : last + 1] = True  # too short for a blink, but nothing to draw a line to
    if seen.any():
        where = np.arange(n)
        on_clock = np.stack([np.interp(where, where[seen], on_clock[seen, k]) for k in (0, 1)], -1)
    on_clock[blind] = np.nan
    return Trace(float(time_s[0]), step, on_clock, seen, blind, np.array(losses, dtype=np.intp).reshape(-1, 2))


def _moved(points: np.ndarray, display: Display, before: int, after: int) -> np.ndarray:
    """Angular displacement, (n, 2), from `before` samples earlier to `after` samples later; NaN off the ends."""
    out = np.full(points.shape, np.nan)
    n = len(points)
    if n > before + after:
        distance, angle = display.polar(points[: n - before - after], points_deg=points[before + after :])
        out[before : n - after] = np.stack((distance * np.cos(angle), distance * np.sin(angle)), -1)
    return out


def velocity(points: np.ndarray, display: Display, step_s: float, stride: int, five: bool) -> np.ndarray:
    """Return the velocity of the line of sight, (n, 2) in degrees a second, x right and y up.

    Displacements are angles between rays, so that a movement of the eye is as fast wherever it looks.

    Parameters
    ----------
    points
        (n, 2) in screen degrees; NaN spreads to the samples that need them.
    display
        The screen, for its geometry.
    step_s
        Seconds between samples.
    stride
        Samples on either side of the central difference.
    five
        Whether to use Engbert and Kliegl's five-point average, (x[+2s] + x[+s] - x[-s] - x[-2s]) / 6s dt.
    """
    out = _moved(points, display, stride, stride)
    if five:
        out = (out + _moved(points, display, 2 * stride, 2 * stride)) / 3
    out = out / (2 * stride * step_s)
    for before, after in ((1, 1), (0, 1), (1, 0)):  # near ends and blinks shorter differences must do
        lost = np.isnan(out).any(axis=1)
        if not lost.any():
            break
        out[lost] = (_moved(points, display, before, after) / ((before + after) * step_s))[lost]
    return out


def spread_deg_s(speeds: np.ndarray) -> np.ndarray:
    """Median-based standard deviation on each axis, which saccades do not move (Engbert and Kliegl 2003, eq. 2)."""
    if np.isnan(speeds).all():
        return np.zeros(2)
    return np.asarray(np.sqrt(np.nanmedian((speeds - np.nanmedian(speeds, axis=0)) ** 2, axis=0)))
