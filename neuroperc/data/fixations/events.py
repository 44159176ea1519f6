"""Fixations, saccades and blinks from gaze samples; the detectors are pymovements' (extra ``gaze``)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..._check import check, fail, non_negative, one_of, positive
from ...display import Display
from .columns import KEY
from .tables import check_gaze, make_fixations
from .velocity import Trace, make_trace, runs, spread_deg_s, velocity

Method = Literal["velocity", "engbert_kliegl"]
_FLOOR_DEG_S = 0.1  # thresholds of noiseless (made) gaze
_COLUMNS = (
    *KEY, "eye", "kind", "onset_s", "duration_s", "x_deg", "y_deg", "end_x_deg", "end_y_deg", "amplitude_deg",
    "peak_velocity_deg_s",
)  # fmt: skip


@dataclass(frozen=True)
class _Settings:
    method: Method
    velocity_threshold_deg_s: float
    n_sd: float
    min_fixation_s: float
    min_saccade_s: float
    max_gap_s: float
    blink_pad_s: float


def detect_events(
    gaze: pd.DataFrame,
    display: Display,
    *,
    method: Method = "velocity",
    velocity_threshold_deg_s: float = 30.0,
    n_sd: float = 6.0,
    min_fixation_s: float = 0.05,
    min_saccade_s: float = 0.006,
    max_gap_s: float = 0.02,
    blink_pad_s: float = 0.1,
) -> pd.DataFrame:
    """Find fixations, saccades and blinks in gaze samples.

    Velocities are those of the line of sight (angles between rays), averaged over five points about 2 ms apart at
    high sampling rates; begin and end of each saccade are then placed with the shortest difference that the noise
    allows. Samples lost for longer than `max_gap_s` count as a blink; they and `blink_pad_s` around them belong to no
    fixation or saccade. Between two blinks and saccades lies a fixation when it lasts `min_fixation_s`.

    Parameters
    ----------
    gaze
        Gaze table, regularly sampled within each trial and eye.
    display
        The screen.
    method
        "velocity": moving above `velocity_threshold_deg_s` [1]_. "engbert_kliegl": moving outside an ellipse of
        `n_sd` median-based standard deviations of the trial's velocities [2]_.
    velocity_threshold_deg_s
        For "velocity", in degrees a second.
    n_sd
        For "engbert_kliegl", the paper's lambda.
    min_fixation_s, min_saccade_s
        Shorter ones are not told from the movement, or the stillness, around them.
    max_gap_s
        Losses up to this long are bridged by a straight line.
    blink_pad_s
        Left out before and after each blink, in seconds, where the lid moves the measured pupil.

    Returns
    -------
    pandas.DataFrame
        A row an event: subject, session, trial, eye, kind ("fixation", "saccade", "blink"), onset_s, duration_s
        (from first to last sample, both counted, as EyeLink does), x_deg, y_deg (mean of a fixation, start of a
        saccade), end_x_deg, end_y_deg, amplitude_deg and peak_velocity_deg_s (saccades). A saccade's start and end are
        medians of 20 ms beside it. Samples of trial -1 are left out.

    Raises
    ------
    ImportError
        Without pymovements.
    ValueError
        When sampling is irregular or a setting is out of range.

    References
    ----------
    .. [1] D D Salvucci, J H Goldberg (2000). Identifying fixations and saccades in eye-tracking protocols.
       doi:10.1145/355017.355028
    .. [2] R Engbert, R Kliegl (2003). Microsaccades uncover the orientation of covert attention.
       doi:10.1016/S0042-6989(03)00084-1

    Examples
    --------
    >>> events = detect_events(gaze, screen, method="engbert_kliegl")               # doctest: +SKIP
    >>> events.loc[events["kind"] == "saccade", "amplitude_deg"].median()           # doctest: +SKIP
    """
    one_of("method", method, ("velocity", "engbert_kliegl"))
    positive("velocity_threshold_deg_s", velocity_threshold_deg_s)
    positive("n_sd", n_sd)
    positive("min_fixation_s", min_fixation_s)
    for name, value in (("min_saccade_s", min_saccade_s), ("max_gap_s", max_gap_s), ("blink_pad_s", blink_pad_s)):
        non_negative(name, value)
    settings = _Settings(method, velocity_threshold_deg_s, n_sd, min_fixation_s, min_saccade_s, max_gap_s, blink_pad_s)
    detector = _pymovements()
    rows: list[dict[str, Any]] = []
    for key, time_s, points, valid in by_eye(gaze):
        if len(time_s) >= 5:
            trace = make_trace(time_s, points, valid, max_gap_s, blink_pad_s, str(key))
            rows += [key | event for event in _events(trace, display, settings, detector)]
    made = pd.DataFrame({name: [row.get(name, np.nan) for row in rows] for name in _COLUMNS})
    text = {name: made[name].astype(pd.Series([""]).dtype) for name in ("subject", "session", "eye", "kind")}
    return made.assign(**text).astype({"trial": np.int64, **dict.fromkeys(_COLUMNS[5:], np.float64)})


def detect_fixations(
    gaze: pd.DataFrame, display: Display, *, method: Method = "velocity", **settings: Any
) -> pd.DataFrame:
    """Find the fixations in gaze samples.

    Parameters
    ----------
    gaze, display, method, **settings
        As in `detect_events`, whose fixations these are.

    Returns
    -------
    pandas.DataFrame
        Fixations table. Number 0 is the fixation present at time 0, the trial's onset; those that ended before are
        negative. Trials without a fixation have no row: keep Trials for the denominators.

    Raises
    ------
    ImportError, ValueError
        As `detect_events`.

    Examples
    --------
    >>> fixations = detect_fixations(recording.gaze, recording.display)            # doctest: +SKIP
    >>> n_fixations(fixations, recording.trials, eye="left")                       # doctest: +SKIP
    """
    events = detect_events(gaze, display, method=method, **settings)
    table = events[events["kind"] == "fixation"]
    return make_fixations(
        table[["x_deg", "y_deg"]].to_numpy(), trial=table["trial"], fixation=number_fixations(table),
        subject=table["subject"], session=table["session"], onset_s=table["onset_s"], duration_s=table["duration_s"],
        eye=table["eye"], display=display,
    )  # fmt: skip


def number_fixations(table: pd.DataFrame) -> pd.Series[Any]:
    """Return each fixation's number in its trial and eye: 0 spans the onset, earlier ones are negative."""
    keys = [*KEY, "eye"]
    ordered = table.sort_values("onset_s", kind="stable")
    before = ordered["onset_s"] + ordered["duration_s"] <= 1e-9  # the rounding of a sum
    at = ~before & (ordered["onset_s"] <= 0)
    groups = ordered[keys].assign(before=before, at=at).groupby(keys, sort=False)
    place = groups.cumcount()
    n_before, n_at = groups["before"].transform("sum"), groups["at"].transform("sum")
    # With nobody at the onset the first one after it is 1: the number 0 stays free.
    number = place - n_before + ((n_at == 0) & ~before).astype(int)
    return pd.Series(number.astype(np.int64).reindex(table.index))


def by_eye(gaze: pd.DataFrame) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]]:
    """Yield key, time, points and validity of each trial and eye, in order of appearance."""
    table = check_gaze(gaze)
    if "session" not in table:
        table = table.assign(session="")
    names = [*KEY, "eye"]
    for key, rows in table[table["trial"] >= 0].groupby(names, sort=False):
        points = rows[["x_deg", "y_deg"]].to_numpy()
        valid = rows["valid"].to_numpy() & np.isfinite(points).all(axis=1)
        yield dict(zip(names, key, strict=True)), rows["time_s"].to_numpy(), points, valid


def _pymovements() -> Any:
    try:
        import pymovements.events
    except ImportError as error:
        remedy = "Install it with: pip install 'neuroperc[gaze]'"
        fail("pymovements", "installed to detect events", f"{error}", remedy, ImportError)
    return pymovements.events


def _events(trace: Trace, display: Display, settings: _Settings, detector: Any) -> list[dict[str, Any]]:
    """Return the events of one trace, in order of time."""
    rate = 1 / trace.step_s
    stride = max(1, round(0.002 * rate))
    fast = velocity(trace.points_deg, display, trace.step_s, stride, five=rate >= 200)
    found = [_event(trace, "blink", first, last) for first, last in trace.losses]
    if np.isfinite(fast).any():
        if settings.method == "velocity":
            radius = np.full(2, settings.velocity_threshold_deg_s)
        else:
            radius = settings.n_sd * np.maximum(spread_deg_s(fast), _FLOOR_DEG_S)
        moving = _moving(fast, radius, trace, settings, detector)
        moving = _sharpen(moving, radius, trace, display, stride, slack=1 if settings.method == "velocity" else 4)
        found += _still_and_jumps(moving, fast, trace, display, settings)
    return sorted(found, key=lambda event: float(event["onset_s"]))


def _moving(fast: np.ndarray, radius: np.ndarray, trace: Trace, settings: _Settings, detector: Any) -> np.ndarray:
    """Ask pymovements which samples move."""
    shortest = max(0, round(settings.min_saccade_s / trace.step_s) - 1)  # it counts steps, not samples
    lost = np.isnan(fast).any(axis=1)
    if settings.method == "velocity":
        still = detector.ivt(fast, minimum_duration=0, velocity_threshold=float(radius[0]))
        moving = ~lost
        for first, last in still.frame.select("onset", "offset").iter_rows():
            moving[first : last + 1] = False
    else:
        threshold = radius / settings.n_sd
        quick = detector.microsaccades(fast, minimum_duration=0, threshold=threshold, threshold_factor=settings.n_sd)
        moving = np.zeros(len(fast), dtype=bool)
        for first, last in quick.frame.select("onset", "offset").iter_rows():
            moving[first : last + 1] = True
    for first, last in runs(moving):
        if last - first < shortest:
            moving[first : last + 1] = False
    return moving


def _sharpen(
    moving: np.ndarray, radius: np.ndarray, trace: Trace, display: Display, stride: int, slack: int
) -> np.ndarray:
    """Move the ends of each run of movement to where the sharpest usable velocity crosses the threshold.

    A five-point average smears a saccade over twice its stride on either side; a short difference does not, and is
    usable when three standard deviations of its noise stay below the threshold. Engbert and Kliegl's threshold lies in
    the noise of any shorter difference, so there the noise may be up to four times the threshold and replaces it.
    """
    for width in range(1, stride + 1):
        sharp = velocity(trace.points_deg, display, trace.step_s, width, five=False)
        noise = 3 * spread_deg_s(sharp[~moving]) / 0.6745  # of a Gaussian, the median of squares is 0.6745^2 var
        if bool(np.all(noise <= slack * radius)):
            break
    limit = np.maximum(radius, noise) if slack > 1 else radius
    over = np.sum((np.nan_to_num(sharp) / limit) ** 2, axis=1) > 1
    out = np.zeros_like(moving)
    for first, last in runs(moving):
        low, high = max(0, first - 2 * stride), min(len(moving) - 1, last + 2 * stride)
        inside = runs(over[first : last + 1]) + first
        longer = inside[inside[:, 1] > inside[:, 0]]  # a single sample above the threshold may be noise
        inside = longer if len(longer) else inside
        if len(inside) == 0:
            out[first : last + 1] = True
            continue
        start, stop = int(inside[0, 0]), int(inside[-1, 1])
        while start > low and start <= first and over[start - 1]:
            start -= 1
        while stop < high and stop >= last and over[stop + 1]:
            stop += 1
        out[start : stop + 1] = True
    return out


def _still_and_jumps(
    moving: np.ndarray, fast: np.ndarray, trace: Trace, display: Display, settings: _Settings
) -> list[dict[str, Any]]:
    shortest = settings.min_fixation_s / trace.step_s - 0.5
    still = [(a, b) for a, b in runs(~moving & ~trace.blind) if b - a + 1 >= shortest]
    found = [_event(trace, "fixation", a, b) | _place(trace, a, b) for a, b in still]
    beside = max(3, round(0.02 / trace.step_s))
    speed = np.hypot(*fast.T)
    for (before, first), (last, after) in itertools.pairwise(still):
        if trace.blind[first : last + 1].any():
            continue
        start = np.nanmedian(trace.points_deg[max(before, first - beside + 1) : first + 1], axis=0)
        end = np.nanmedian(trace.points_deg[last : min(after, last + beside - 1) + 1], axis=0)
        found.append(
            _event(trace, "saccade", first + 1, last - 1)
            | dict(x_deg=start[0], y_deg=start[1], end_x_deg=end[0], end_y_deg=end[1])
            | dict(amplitude_deg=float(display.eccentricity_deg(start, points_deg=end)))
            | dict(peak_velocity_deg_s=float(np.nanmax(speed[first + 1 : last])))
        )
    return found


def _event(trace: Trace, kind: str, first: int, last: int) -> dict[str, Any]:
    onset = trace.start_s + first * trace.step_s
    return {"kind": kind, "onset_s": onset, "duration_s": (last - first + 1) * trace.step_s}


def _place(trace: Trace, first: int, last: int) -> dict[str, Any]:
    points = trace.points_deg[first : last + 1][trace.seen[first : last + 1]]
    check(len(points) > 0, "fixation", "seen in one sample or more", (first, last))
    return {"x_deg": points[:, 0].mean(), "y_deg": points[:, 1].mean()}
