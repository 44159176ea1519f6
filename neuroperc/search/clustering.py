"""Clusters of fixations by mean shift: the labels that sequence scores need."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._check import check, fail, integer, positive
from ..data import check_fixations, check_trials
from ..data.fixations.columns import KEY
from ..display import Display

_CLOSE = 1e-3  # a mean that moves by less, in bandwidths, has arrived


def cluster_fixations(
    fixations: pd.DataFrame,
    *,
    display: Display,
    bandwidth_deg: float,
    trials: pd.DataFrame | None = None,
    by: str | None = None,
    max_steps: int = 300,
) -> pd.DataFrame:
    """Group the fixations that all people made on a stimulus into regions.

    Parameters
    ----------
    fixations
        Fixations table of everyone whose paths will be compared: cluster people and models together, or label the
        models' fixations by adding them to the table.
    display
        The screen: distances are taken on it, in degrees at its centre.
    bandwidth_deg
        Radius of the mean-shift window. It sets how many regions come out, and published cluster files do not say
        theirs; report it.
    trials
        Trials table, for the stimulus of each trial.
    by
        Column that says what belongs together, in `trials` or `fixations`; default: ``"stimulus_id"`` where there is
        one, else ``"trial"``.
    max_steps
        Steps of the mean shift at most.

    Returns
    -------
    pandas.DataFrame
        The table with one column more: `cluster`, whole numbers from 0 for the region with most fixations, within each
        stimulus; missing where the place is not known.

    Raises
    ------
    ValueError
        When `by` is in neither table.

    Notes
    -----
    Mean shift with a flat kernel [1]_: from every fixation the window moves to the mean of what it holds until it
    stays. Of windows that end within a bandwidth of one another the fuller one is kept; a fixation belongs to the
    nearest one kept.

    References
    ----------
    .. [1] D Comaniciu, P Meer (2002). Mean shift: a robust approach toward feature space analysis.

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.data import make_fixations
    >>> screen = Display.from_px_per_deg(30, resolution_px=(600, 800))
    >>> places = [[0, 0], [0.2, 0], [5, 5], [0, 0.1]]
    >>> table = make_fixations(places, trial=0, fixation=range(4), display=screen)
    >>> cluster_fixations(table, display=screen, bandwidth_deg=1)["cluster"].tolist()
    [0, 0, 1, 0]
    """
    radius = positive("bandwidth_deg", bandwidth_deg)
    steps = integer("max_steps", max_steps)
    table = check_fixations(fixations)
    stimulus = stimulus_of(table, trials, by)[0]
    points = np.asarray(display.to_px(table[["x_deg", "y_deg"]].to_numpy(np.float64))) / display.px_per_deg
    known = ~np.isnan(points).any(1)
    cluster = pd.Series(pd.NA, index=table.index, dtype="Int64")
    for rows in pd.Series(np.arange(len(table))[known]).groupby(stimulus.to_numpy()[known], sort=False):
        at = rows[1].to_numpy()
        cluster.iloc[at] = mean_shift(points[at], radius, steps)
    return table.assign(cluster=cluster)


def mean_shift(points: np.ndarray, radius: float, max_steps: int) -> np.ndarray:
    """Return the region (n,) of points (n, 2), numbered from the fullest; all windows move together."""
    centers, fullness = points.copy(), np.zeros(len(points))
    moving = np.arange(len(points))
    for _ in range(max_steps):
        if not len(moving):
            break
        inside = _within(centers[moving], points, radius)
        fullness[moving] = inside.sum(1)
        new = inside @ points / inside.sum(1, keepdims=True)
        far = np.hypot(*(new - centers[moving]).T) > _CLOSE * radius
        centers[moving] = new
        moving = moving[far]
    order = np.lexsort((-centers[:, 1], -centers[:, 0], -fullness))
    kept: list[int] = []
    for k in order:
        if not kept or np.hypot(*(centers[kept] - centers[k]).T).min() > radius:
            kept.append(int(k))
    away = np.hypot(*np.moveaxis(points[:, None] - centers[kept], -1, 0))
    return np.argmin(away, axis=1)


def _within(centers: np.ndarray, points: np.ndarray, radius: float) -> np.ndarray:
    away = np.hypot(*np.moveaxis(centers[:, None] - points, -1, 0))
    return (away <= radius).astype(np.float64)


def stimulus_of(table: pd.DataFrame, trials: pd.DataFrame | None, by: str | None) -> tuple[pd.Series, str]:
    """Return the value of `by` in each row of a table with subject, session and trial, and its name."""
    if trials is not None:
        listed = check_trials(trials)
        wanted = "stimulus_id" if by is None else by
        if wanted in listed and (by is not None or (listed[wanted] != "").any()):
            joined = table[list(KEY)].merge(listed[list({*KEY, wanted})], on=list(KEY), how="left")
            check(bool(joined[wanted].notna().all()), "trials", "all that have fixations", "a trial without a row")
            return joined[wanted].set_axis(table.index), wanted
    name = by if by is not None else "stimulus_id" if "stimulus_id" in table else "trial"
    if name not in table:
        fail("by", "a column of trials or fixations", name, "Pass trials= with that column.")
    return table[name], name
