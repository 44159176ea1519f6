"""From Fixations to scanpaths, counts, density and saccades."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..._check import check, fail, one_of, positive
from ...display import Display
from .columns import KEY
from .tables import check_fixations, check_trials


@dataclass(frozen=True)
class Scanpaths:
    """Scanpaths side by side, padded with NaN (object_id: -1); iterating gives each path's own (length, 2) points.

    Parameters
    ----------
    points_deg
        (n, longest, 2) of (x, y).
    onset_s, duration_s
        (n, longest) in seconds.
    object_id
        (n, longest) index of the fixated item, -1 for none.
    lengths
        (n,) number of fixations in each path.
    index
        DataFrame of n rows: subject, session, trial.

    Examples
    --------
    >>> from neuroperc.data import make_fixations
    >>> paths = scanpaths(make_fixations([[0, 0], [3, 4]], trial=0, fixation=[0, 1], on_screen=True))
    >>> [path.tolist() for path in paths]
    [[[0.0, 0.0], [3.0, 4.0]]]
    """

    points_deg: np.ndarray
    onset_s: np.ndarray
    duration_s: np.ndarray
    object_id: np.ndarray
    lengths: np.ndarray
    index: pd.DataFrame

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (path[:n] for path, n in zip(self.points_deg, self.lengths, strict=True))


def scanpaths(
    fixations: pd.DataFrame, trials: pd.DataFrame | None = None, *, eye: str | None = None, initial: bool = True
) -> Scanpaths:
    """Arrange Fixations as one path a trial, in the order of their numbers.

    Parameters
    ----------
    fixations
        Fixations table.
    trials
        Trials table: one path a row, in its order, empty ones too. Default: the trials that have fixations.
    eye
        Which eye, needed when the table holds more than one.
    initial
        Whether paths begin with fixation 0, the one present at onset. Those before it are never part of a path.

    Returns
    -------
    Scanpaths

    Raises
    ------
    ValueError
        When the table holds two eyes and `eye` is not given, or a fixation's trial is unknown.

    Examples
    --------
    >>> from neuroperc.data import make_fixations, make_trials
    >>> table = make_fixations([[0, 0], [3, 4]], trial=0, fixation=[0, 1], on_screen=True)
    >>> paths = scanpaths(table, make_trials([0, 1]))
    >>> paths.points_deg.shape, paths.lengths.tolist()
    ((2, 2, 2), [2, 0])
    """
    table = one_eye(check_fixations(fixations, trials), eye)
    table = table[table["fixation"] >= (0 if initial else 1)].sort_values("fixation", kind="stable")
    source = table if trials is None else trials
    index = source[list(KEY)].drop_duplicates().reset_index(drop=True)
    if trials is None:
        index = index.sort_values(list(KEY), kind="stable").reset_index(drop=True)
    row = pd.MultiIndex.from_frame(index).get_indexer(pd.MultiIndex.from_frame(table[list(KEY)]))
    lengths = np.bincount(row, minlength=len(index)).astype(np.int64)
    order = np.argsort(row, kind="stable")
    column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def spread(values: np.ndarray, empty: float) -> np.ndarray:
        shape = (len(index), int(lengths.max(initial=0)), *values.shape[1:])
        out = np.full(shape, empty, dtype=values.dtype)
        out[row[order], column] = values[order]
        return out

    points, objects = table[["x_deg", "y_deg"]].to_numpy(), table["object_id"].fillna(-1).to_numpy(np.int64)
    onset, duration = (spread(table[name].to_numpy(), np.nan) for name in ("onset_s", "duration_s"))
    return Scanpaths(spread(points, np.nan), onset, duration, spread(objects, -1), lengths, index)


def one_eye(table: pd.DataFrame, eye: str | None) -> pd.DataFrame:
    """Return the rows of one eye; refuse to guess which of two."""
    eyes = sorted(table["eye"].unique())
    if eye is None and len(eyes) > 1:
        fail("eye", f"one of {', '.join(map(repr, eyes))}", None, "The table holds several eyes: choose one with eye=.")
    if eye is not None and len(eyes):
        one_of("eye", eye, eyes)
    return table if eye is None else table[table["eye"] == eye]


def n_fixations(
    fixations: pd.DataFrame, trials: pd.DataFrame, *, eye: str | None = None, on_screen: bool = False
) -> pd.Series[Any]:
    """Count the fixations of every trial; the one present at onset (number 0) and earlier ones never count.

    Parameters
    ----------
    fixations, trials
        The tables; every trial has an answer, 0 where nobody fixated anything.
    eye
        Which eye, needed when the table holds more than one.
    on_screen
        Whether to count only those on the screen.

    Returns
    -------
    pandas.Series
        Whole numbers with the index of `trials`.

    Examples
    --------
    >>> from neuroperc.data import make_fixations, make_trials
    >>> table = make_fixations([[0, 0], [3, 4]], trial=0, fixation=[0, 1], on_screen=True)
    >>> n_fixations(table, make_trials([0, 1])).tolist()
    [1, 0]
    """
    table = one_eye(check_fixations(fixations, trials), eye)
    table = table[(table["fixation"] >= 1) & (table["on_screen"] | (not on_screen))]
    known = pd.MultiIndex.from_frame(check_trials(trials)[list(KEY)])
    row = known.get_indexer(pd.MultiIndex.from_frame(table[list(KEY)]))
    return pd.Series(np.bincount(row, minlength=len(trials)), index=trials.index, name="n_fixations")


def fixation_density(
    fixations: pd.DataFrame,
    display: Display,
    *,
    sigma_deg: float = 1.0,
    weights: Literal["count", "duration"] = "count",
    initial: bool = False,
) -> np.ndarray:
    """Return the probability, per pixel, of a fixation: a Gaussian around each fixation on the screen.

    Parameters
    ----------
    fixations
        Fixations table; pool over people and trials by choosing its rows.
    display
        The screen. In tangent geometry the Gaussian is one of the angle between lines of sight.
    sigma_deg
        Standard deviation in degrees; a common choice is 1.
    weights
        "count": every fixation alike; "duration": in proportion to its duration.
    initial
        Whether fixation 0 takes part; its place was set by the experiment.

    Returns
    -------
    ndarray
        (h, w) float64, sum 1.

    Raises
    ------
    ValueError
        When no fixation is on the screen, or a weight is missing.

    References
    ----------
    O Le Meur, T Baccino (2013). Methods for comparing scanpaths and saliency maps. doi:10.3758/s13428-012-0226-9

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.data import make_fixations
    >>> screen = Display.from_px_per_deg(8, resolution_px=(33, 65))
    >>> table = make_fixations([[1, 0]], trial=0, fixation=1, display=screen)
    >>> density = fixation_density(table, screen, sigma_deg=0.5)
    >>> [int(i) for i in np.unravel_index(density.argmax(), density.shape)]
    [16, 40]
    """
    positive("sigma_deg", sigma_deg)
    one_of("weights", weights, ("count", "duration"))
    table = check_fixations(fixations)
    table = table[table["on_screen"] & (table["fixation"] >= (0 if initial else 1))]
    weight = np.ones(len(table)) if weights == "count" else table["duration_s"].to_numpy()
    check(np.all(np.isfinite(weight)), "duration_s", "known for every fixation", "NaN", "Use weights='count'.")
    check(
        weight.sum() > 0, "fixations", "with one or more on the screen", f"{len(table)} rows", "Fixation 0 is left out."
    )
    points = table[["x_deg", "y_deg"]].to_numpy()
    grow = _separable if display.geometry == "small_angle" else _angular
    density = grow(points, weight, display, sigma_deg)
    return np.asarray(density / density.sum())


def _separable(points: np.ndarray, weight: np.ndarray, display: Display, sigma_deg: float) -> np.ndarray:
    grid = display.pixels_deg()
    x, y = (
        np.exp(-0.5 * ((points[:, k, None] - g) / sigma_deg) ** 2) for k, g in enumerate((grid[0, :, 0], grid[:, 0, 1]))
    )
    return np.asarray((y * weight[:, None]).T @ x)


def _angular(points: np.ndarray, weight: np.ndarray, display: Display, sigma_deg: float) -> np.ndarray:
    """Gaussians of the angle between rays, each over the pixels within five standard deviations."""
    grid = display.pixels_deg()
    density = np.zeros(display.resolution_px)
    for point, w in zip(points, weight, strict=True):
        # An angle e spans at most e / cos(eccentricity) of screen degrees on either axis.
        reach = 5 * sigma_deg / np.cos(np.deg2rad(min(80.0, np.abs(point).max() + 5 * sigma_deg)))
        rows = slice(*np.searchsorted(-grid[:, 0, 1], (-point[1] - reach, -point[1] + reach)))
        columns = slice(*np.searchsorted(grid[0, :, 0], (point[0] - reach, point[0] + reach)))
        angle = display.eccentricity_deg(point, points_deg=grid[rows, columns])
        density[rows, columns] += w * np.exp(-0.5 * (angle / sigma_deg) ** 2)
    return density


def saccades(fixations: pd.DataFrame, display: Display) -> pd.DataFrame:
    """Return the jumps between fixations that follow one another.

    Parameters
    ----------
    fixations
        Fixations table.
    display
        The screen: amplitudes are angles between lines of sight, never `hypot` of degrees, in tangent geometry.

    Returns
    -------
    pandas.DataFrame
        A row a saccade: subject, session, trial, eye, `saccade` (number of the fixation it leads to), x_deg, y_deg,
        end_x_deg, end_y_deg, amplitude_deg, direction_deg (counter-clockwise from rightward, [0, 360)), onset_s and
        duration_s (from the end of one fixation to the next). Pairs with a number missing between them, or with an
        unknown place, have none.

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.data import make_fixations
    >>> flat = Display.from_px_per_deg(30, resolution_px=(1200, 2400), distance_m=0.6)
    >>> table = make_fixations([[20, 0], [20, 10]], trial=0, fixation=[0, 1], display=flat)
    >>> round(float(saccades(table, flat)["amplitude_deg"].iloc[0]), 4)
    9.408
    """
    keys = [*KEY, "eye"]
    table = check_fixations(fixations).sort_values([*keys, "fixation"], kind="stable").reset_index(drop=True)
    after = table.groupby(keys, sort=False).shift(-1)
    pair = (after["fixation"] == table["fixation"] + 1) & table["x_deg"].notna() & after["x_deg"].notna()
    first, second = table[pair], after[pair]
    start, end = (t[["x_deg", "y_deg"]].to_numpy(dtype=np.float64) for t in (first, second))
    amplitude, angle = display.polar(start, points_deg=end)
    begin = first["onset_s"] + first["duration_s"]
    made = first[keys].assign(
        saccade=second["fixation"].astype(np.int64), x_deg=start[:, 0], y_deg=start[:, 1], end_x_deg=end[:, 0],
        end_y_deg=end[:, 1], amplitude_deg=amplitude, direction_deg=np.rad2deg(angle) % 360, onset_s=begin,
        duration_s=second["onset_s"] - begin,
    )  # fmt: skip
    return made.reset_index(drop=True)
