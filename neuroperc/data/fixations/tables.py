"""The three tables of an eye-movement experiment: a row a trial, a fixation, a gaze sample.

They are plain `pandas.DataFrame` with fixed columns (further columns are allowed) and join on `subject`, `session`
and `trial`. Denominators come from Trials: a trial without any fixation has no row in Fixations and still counts.
Text columns hold ``""`` where nothing is known, numbers NaN, and counts and yes-or-no columns ``<NA>``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..._check import fail
from ...display import Display
from .columns import (
    FIXATION_COLUMNS,
    GAZE_COLUMNS,
    KEY,
    TRIAL_COLUMNS,
    build,
    check_columns,
    check_points,
    check_rows,
    check_unique,
    points_table,
)


def make_trials(
    trial: ArrayLike,
    *,
    subject: Any = "",
    session: Any = "",
    stimulus_id: Any = "",
    condition: Any = "",
    set_size: Any = None,
    target_present: Any = None,
    response: Any = "",
    correct: Any = None,
    rt_s: Any = np.nan,
    found: Any = None,
    excluded: Any = False,
    reason: Any = "",
    **more: Any,
) -> pd.DataFrame:
    """Make a Trials table; every argument is one value for all trials or one a trial.

    Parameters
    ----------
    trial
        Whole numbers, unique within subject and session.
    subject, session, stimulus_id, condition, response, reason
        Text (other values are turned into text); `reason` says why a trial is excluded.
    set_size
        Number of items shown, or None.
    target_present, correct, found
        True, False or None (does not apply, not known).
    rt_s
        Response time in seconds; NaN for none (timed out).
    excluded
        Whether analyses leave the trial out.
    **more
        Further columns of your own.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError, TypeError
        When lengths differ or a value does not fit its column.

    Examples
    --------
    >>> trials = make_trials([0, 1], subject="s1", stimulus_id=["a", "b"], rt_s=[0.61, float("nan")])
    >>> trials["rt_s"].isna().tolist()
    [False, True]
    """
    columns = dict(
        subject=subject, session=session, trial=trial, stimulus_id=stimulus_id, condition=condition, set_size=set_size,
        target_present=target_present, response=response, correct=correct, rt_s=rt_s, found=found, excluded=excluded,
        reason=reason,
    )  # fmt: skip
    return check_trials(build(columns, more, len(np.atleast_1d(np.asarray(trial)))))


def make_fixations(
    points_deg: ArrayLike,
    *,
    trial: Any,
    fixation: Any,
    subject: Any = "",
    session: Any = "",
    onset_s: Any = np.nan,
    duration_s: Any = np.nan,
    eye: Any = "",
    on_screen: Any = None,
    object_id: Any = None,
    display: Display | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Make a Fixations table.

    Parameters
    ----------
    points_deg
        (n, 2) of (x, y) in degrees from the display's centre, y up; NaN, NaN where the place is not known.
    trial, subject, session
        To which trial each fixation belongs.
    fixation
        Place in the scanpath: 0 is the fixation present at onset and is never counted; those that ended before the
        onset are negative.
    onset_s, duration_s
        Begin after the trial's onset, and length, in seconds; NaN where not known.
    eye
        "left", "right", "cyclopean" or "" (not known).
    on_screen
        Whether the point falls on a pixel; computed when `display` is given.
    object_id
        Index of the fixated item, or None.
    display
        The screen, to compute `on_screen`.
    **more
        Further columns of your own.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError, TypeError
        When lengths differ, a value does not fit its column, or neither `on_screen` nor `display` is given.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(32, resolution_px=(512, 512))
    >>> table = make_fixations([[0, 0], [9, 0]], trial=0, fixation=[0, 1], display=screen)
    >>> table["on_screen"].tolist()
    [True, False]
    """
    points = points_table("points_deg", points_deg)
    if on_screen is None:
        if display is None:
            fail("on_screen", "given, or computed from display", None, "Pass display=.")
        on_screen = display.on_screen(points)
    columns = dict(
        subject=subject, session=session, trial=trial, fixation=fixation, x_deg=points[:, 0], y_deg=points[:, 1],
        onset_s=onset_s, duration_s=duration_s, eye=eye, on_screen=on_screen, object_id=object_id,
    )  # fmt: skip
    return check_fixations(build(columns, more, len(points)))


def make_gaze(
    points_deg: ArrayLike,
    *,
    time_s: ArrayLike,
    trial: Any,
    subject: Any = "",
    eye: Any = "",
    pupil: Any = np.nan,
    valid: Any = None,
    **more: Any,
) -> pd.DataFrame:
    """Make a Gaze table.

    Parameters
    ----------
    points_deg
        (n, 2) of (x, y) in degrees from the display's centre, y up; NaN where the eye was not seen.
    time_s
        (n,) seconds after the trial's onset, increasing within a trial and eye.
    trial, subject
        To which trial each sample belongs; -1 for samples outside any trial.
    eye
        "left", "right", "cyclopean" or "" (not known).
    pupil
        Pupil size in the tracker's unit; NaN for none.
    valid
        Whether the sample can be used; default: where both coordinates are there.
    **more
        Further columns, such as `session`.

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> make_gaze([[0, 0], [float("nan")] * 2], time_s=[0, 0.002], trial=0)["valid"].tolist()
    [True, False]
    """
    points = points_table("points_deg", points_deg)
    columns = dict(
        subject=subject, trial=trial, eye=eye, time_s=time_s, x_deg=points[:, 0], y_deg=points[:, 1], pupil=pupil,
        valid=np.isfinite(points).all(axis=1) if valid is None else valid,
    )  # fmt: skip
    return check_gaze(build(columns, more, len(points)))


def check_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the Trials; raise, naming column and row, unless they obey the schema.

    Raises
    ------
    TypeError, ValueError
        When a column is missing or of another kind, a key repeats, or a number cannot be.

    Examples
    --------
    >>> len(check_trials(make_trials([0, 1], excluded=[True, False], reason=["blink", ""])))
    2
    """
    checked = check_columns("trials", trials, TRIAL_COLUMNS)
    check_unique("trials", checked, KEY)
    check_rows("rt_s", checked, ~(checked["rt_s"] < 0) & ~np.isinf(checked["rt_s"]), "0 or more seconds, or NaN")
    check_rows("set_size", checked, ~(checked["set_size"] < 0).fillna(False), "0 or more")
    return checked


def check_fixations(fixations: pd.DataFrame, trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the Fixations; raise, naming column and row, unless they obey the schema.

    Parameters
    ----------
    fixations
        The table.
    trials
        When given, every fixation must belong to one of these trials.

    Raises
    ------
    TypeError, ValueError
        When a column is missing or of another kind, a fixation's number repeats within trial and eye, a point is half
        known, an unknown point is said to be on the screen, or a trial is unknown.

    Examples
    --------
    >>> table = make_fixations([[0, 0]], trial=0, fixation=0, on_screen=True)
    >>> len(check_fixations(table, make_trials([0, 1])))
    1
    """
    checked = check_columns("fixations", fixations, FIXATION_COLUMNS)
    check_unique("fixations", checked, (*KEY, "eye", "fixation"))
    check_points(checked, "on_screen")
    rule = "0 or more seconds, or NaN"
    check_rows("duration_s", checked, ~(checked["duration_s"] < 0) & ~np.isinf(checked["duration_s"]), rule)
    check_rows("onset_s", checked, ~np.isinf(checked["onset_s"]), "finite, or NaN")
    if trials is not None:
        known = pd.MultiIndex.from_frame(check_trials(trials)[list(KEY)])
        inside = pd.MultiIndex.from_frame(checked[list(KEY)]).isin(known)
        check_rows("trial", checked, pd.Series(inside, index=checked.index), "one of the trials", KEY)
    return checked


def check_gaze(gaze: pd.DataFrame) -> pd.DataFrame:
    """Return the Gaze; raise, naming column and row, unless it obeys the schema.

    Raises
    ------
    TypeError, ValueError
        When a column is missing or of another kind, time does not increase within a trial and eye, or a sample marked
        valid has no place.

    Examples
    --------
    >>> len(check_gaze(make_gaze([[0, 0], [1, 1]], time_s=[0, 0.001], trial=0)))
    2
    """
    checked = check_columns("gaze", gaze, GAZE_COLUMNS)
    check_points(checked, "valid")
    check_rows("time_s", checked, np.isfinite(checked["time_s"]), "finite")
    keys = [name for name in (*KEY, "eye") if name in checked]
    step = checked.groupby(keys, sort=False, observed=True)["time_s"].diff()
    check_rows("time_s", checked, ~(step <= 0), "increasing within a trial and eye", (*keys, "time_s"))
    return checked
