"""Slopes of mean reaction time on set size, and their spread over displays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._check import check

ROUNDING_S = 1e-12  # slopes of a picosecond an item are rounding


class Slope(NamedTuple):
    """A slope in seconds an item, with draws of it for another sample of displays."""

    estimate: float
    intercept: float
    draws: np.ndarray
    n_displays: int
    n_set_sizes: int


def fit(table: pd.DataFrame, n_resamples: int, level: float, rng: np.random.Generator, where: str) -> Slope:
    """Fit mean reaction time on set size, unweighted, one point a set size; resample displays within set size.

    Resampled means are stretched by sqrt(n / (n - 1)) and by Student's t over the normal (Satterthwaite): without this
    a bootstrap of few displays is too sure.
    """
    lost = int(table["set_size"].isna().sum())
    check(lost == 0, f"set_size of {where}", "known", f"{lost} rows without it", "Drop them, or add the numbers.")
    shown = table["set_size"].to_numpy(dtype=float)
    sizes = np.unique(shown)
    remedy = "A slope needs displays with different numbers of items."
    check(len(sizes) >= 2, f"set_size of {where}", "two values or more", sizes.tolist(), remedy)
    spread = sizes - sizes.mean()
    weight = spread / (spread**2).sum()  # ordinary least squares: slope = sum of weight x mean
    rt, ids = table["rt_s"].to_numpy(dtype=float), _display_ids(table)
    means, draws, variance, freedom, n_displays = [], np.zeros(n_resamples), 0.0, 0.0, 0
    for size, w in zip(sizes, weight, strict=True):
        total, count = _by_display(rt[shown == size], ids[shown == size])
        mean = total.sum() / count.sum() if count.sum() else np.nan
        n = len(total)
        n_displays += n
        means.append(mean)
        if n < 2:
            draws += np.nan
            continue
        drawn = rng.integers(n, size=(n_resamples, n))
        known = count[drawn].sum(1)
        shift = np.where(known > 0, total[drawn].sum(1) / np.maximum(known, 1) - mean, 0.0) * np.sqrt(n / (n - 1))
        draws += w * shift
        part = (w * shift).var()
        variance, freedom = variance + part, freedom + part**2 / (n - 1)
    slope = float(weight @ means)
    slope = 0.0 if abs(slope) < ROUNDING_S else slope
    intercept = float(np.mean(means) - slope * sizes.mean())
    draws = slope + draws * _student(variance, freedom, level)
    return Slope(slope, intercept, draws, n_displays, len(sizes))


def _display_ids(table: pd.DataFrame) -> np.ndarray:
    """Return a number for every display; rows without a stimulus_id are displays of their own."""
    if "stimulus_id" not in table:
        return np.arange(len(table))
    codes, names = pd.factorize(table["stimulus_id"])
    own = (codes < 0) | np.isin(codes, np.flatnonzero(names == ""))
    return np.where(own, len(names) + np.arange(len(table)), codes)


def _by_display(rt: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the known reaction times of every display."""
    _, index = np.unique(ids, return_inverse=True)
    known = np.isfinite(rt)
    return np.bincount(index, weights=np.where(known, rt, 0.0)), np.bincount(index, weights=known.astype(float))


def _student(variance: float, freedom: float, level: float) -> float:
    from scipy.stats import norm, t

    if variance == 0:
        return 1.0
    tail = (1 + level) / 2
    return float(t.ppf(tail, variance**2 / freedom) / norm.ppf(tail))


def limits(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Return the percentiles of draws; NaN when any is not known."""
    if not np.isfinite(draws).all():
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_not_found(table: pd.DataFrame) -> float:
    """Return the share of trials whose target was not found; NaN when nobody says."""
    found: Any = table["found"] if "found" in table else pd.Series(dtype="boolean")
    known = found.dropna()
    return float(1 - known.astype(float).mean()) if len(known) else float("nan")
