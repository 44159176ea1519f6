"""How good a recording is, and its correction by a target whose place is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..._check import check, fail, pair, positive
from ...display import Display
from .columns import KEY
from .events import by_eye
from .tables import check_gaze
from .velocity import clock

_TEXT = pd.Series([""]).dtype


def gaze_quality(
    gaze: pd.DataFrame,
    display: Display,
    *,
    target_deg: ArrayLike | None = None,
    window_s: float = 0.1,
) -> pd.DataFrame:
    """Measure precision, accuracy and loss of each trial and eye.

    Parameters
    ----------
    gaze
        Gaze table, regularly sampled within each trial and eye.
    display
        The screen.
    target_deg
        (x, y) that was to be fixated, or (n, 2), one a row of the result; without it accuracy is NaN. Give the samples
        of the target's showing only.
    window_s
        Length of the windows in which precision is measured; its median over windows is hardly moved by saccades.

    Returns
    -------
    pandas.DataFrame
        A row a trial and eye: subject, session, trial, eye, n_samples (with those missing between), sampling_hz,
        loss (fraction of samples not valid), rms_s2s_deg (root mean square of the angle between successive samples),
        sd_deg (root mean square distance from the window's centre), accuracy_deg (angle between target and median
        gaze). NaN where there is too little to measure.

    References
    ----------
    K Holmqvist, M Nyström, F Mulvey (2012). Eye tracker data quality: what it is and how to measure it.
    doi:10.1145/2168556.2168563

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.data import make_gaze
    >>> screen = Display.from_px_per_deg(32, resolution_px=(512, 512))
    >>> samples = make_gaze([[0.5, 0.0]] * 10, time_s=np.arange(10) / 100, trial=0, pupil=1.0)
    >>> gaze_quality(samples, screen, target_deg=(0, 0))[["rms_s2s_deg", "accuracy_deg"]].values.tolist()
    [[0.0, 0.5]]
    """
    positive("window_s", window_s)
    rows = []
    for key, time_s, points, valid in by_eye(gaze):
        step, place = clock(time_s, str(key)) if len(time_s) > 1 else (np.nan, np.zeros(1, dtype=np.intp))
        n = int(place[-1]) + 1
        full = np.full((n, 2), np.nan)
        full[place[valid]] = points[valid]
        row = key | {"n_samples": n, "sampling_hz": 1 / step, "loss": float(np.isnan(full).any(axis=1).mean())}
        row |= _precision(full, display, max(2, round(window_s / step)) if n > 1 else 2)
        rows.append(row | {"center": np.nanmedian(points[valid], axis=0) if valid.any() else np.full(2, np.nan)})
    table = pd.DataFrame(
        rows, columns=[*KEY, "eye", "n_samples", "sampling_hz", "loss", "rms_s2s_deg", "sd_deg", "center"]
    )
    centers = np.array(table.pop("center").tolist()).reshape(-1, 2)
    accuracy = np.full(len(table), np.nan)
    if target_deg is not None:
        accuracy = display.eccentricity_deg(_targets(target_deg, len(table)), points_deg=centers)
    return table.assign(accuracy_deg=accuracy)


def _precision(points: np.ndarray, display: Display, width: int) -> dict[str, float]:
    n = len(points) // width * width
    windows = points[:n].reshape(-1, width, 2)
    windows = windows[np.isfinite(windows).all(axis=(1, 2))]
    if len(windows) == 0:
        return {"rms_s2s_deg": np.nan, "sd_deg": np.nan}
    jumps = display.eccentricity_deg(windows[:, :-1], points_deg=windows[:, 1:])
    away = display.eccentricity_deg(windows.mean(axis=1, keepdims=True), points_deg=windows)
    s2s, sd = (float(np.median(np.sqrt((a**2).mean(axis=1)))) for a in (jumps, away))
    return {"rms_s2s_deg": s2s, "sd_deg": sd}


def _targets(target_deg: ArrayLike, n_rows: int) -> np.ndarray:
    targets = np.asarray(target_deg, dtype=np.float64)
    if targets.shape not in ((2,), (n_rows, 2)):
        fail("target_deg", f"(x, y), or one a trial and eye: ({n_rows}, 2)", f"shape {targets.shape}")
    return np.broadcast_to(targets, (n_rows, 2))


def drift_correct(
    gaze: pd.DataFrame,
    display: Display,
    *,
    target_deg: ArrayLike,
    window_s: tuple[float, float],
    max_offset_deg: float = 2.0,
    min_samples: int = 10,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shift the gaze of each trial and eye so that it lies on a target that was surely fixated.

    Parameters
    ----------
    gaze
        Gaze table.
    display
        The screen.
    target_deg
        (x, y) of the fixation mark, or (n, 2), one a trial and eye in order of appearance.
    window_s
        From when to when, after the trial's onset, the mark was fixated; before the onset is negative.
    max_offset_deg
        Cap: a larger offset is no drift (the mark was not fixated); the trial is left as it is and reported.
    min_samples
        Fewer valid samples in the window: left as it is and reported.

    Returns
    -------
    corrected, report : pandas.DataFrame
        The shifted Gaze, and a row a trial and eye: subject, session, trial, eye, n_samples, offset_x_deg,
        offset_y_deg (median gaze minus target, in screen degrees), offset_deg (the angle), applied, reason.

    Raises
    ------
    ValueError
        When the window is empty or the number of targets does not fit.

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.data import make_gaze
    >>> screen = Display.from_px_per_deg(32, resolution_px=(512, 512))
    >>> samples = make_gaze([[0.5, -0.25]] * 20, time_s=np.arange(-10, 10) / 100, trial=0)
    >>> corrected, report = drift_correct(samples, screen, target_deg=(0, 0), window_s=(-0.1, 0))
    >>> float(corrected["x_deg"].abs().max()), bool(report["applied"].iloc[0])
    (0.0, True)
    """
    start, stop = pair("window_s", window_s, "(from, to) in seconds")
    check(stop > start, "window_s", "(from, to) with to after from", window_s)
    positive("max_offset_deg", max_offset_deg)
    table = check_gaze(gaze)
    names = [name for name in (*KEY, "eye") if name in table]
    inside = table["valid"] & table["x_deg"].notna() & table["y_deg"].notna() & table["time_s"].between(start, stop)
    keys = table.loc[table["trial"] >= 0, names].drop_duplicates().reset_index(drop=True)
    groups = table[inside].groupby(names, sort=False)
    medians = keys.merge(groups[["x_deg", "y_deg"]].median().reset_index(), how="left", on=names)
    counts = keys.merge(groups.size().rename("n_samples").reset_index(), how="left", on=names)["n_samples"]
    targets = _targets(target_deg, len(keys))
    center = medians[["x_deg", "y_deg"]].to_numpy()
    offset, angle = center - targets, display.eccentricity_deg(targets, points_deg=center)
    few, far = counts.fillna(0).to_numpy() < min_samples, ~(angle <= max_offset_deg)
    reason = np.where(few, f"fewer than {min_samples} samples", np.where(far, f"more than {max_offset_deg:g} deg", ""))
    report = keys.assign(
        n_samples=counts.fillna(0).astype(np.int64), offset_x_deg=offset[:, 0], offset_y_deg=offset[:, 1],
        offset_deg=angle, applied=~few & ~far, reason=pd.Series(reason, dtype=_TEXT),
    )  # fmt: skip
    if "session" not in report:
        report.insert(1, "session", "")
    return _shift(table, keys, names, np.where(report["applied"].to_numpy()[:, None], offset, 0.0)), report


def _shift(table: pd.DataFrame, keys: pd.DataFrame, names: list[str], offset: np.ndarray) -> pd.DataFrame:
    row = pd.MultiIndex.from_frame(keys).get_indexer(pd.MultiIndex.from_frame(table[names]))
    moved: dict[str, Any] = {}
    for k, name in enumerate(("x_deg", "y_deg")):
        moved[name] = table[name] - np.where(row >= 0, np.append(offset[:, k], 0.0)[row], 0.0)
    return table.assign(**moved)
