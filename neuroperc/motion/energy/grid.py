"""The filters of an encoding-model pyramid: where they are, what they prefer, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ..._check import check
from ...display import Display

Compat = Literal["pymoten"] | None
Labels = Literal["stimulus", "pymoten"]

SD_CYCLES = 0.6  # envelope s.d. in cycles of the carrier
LARGEST_SD = 0.3  # in picture heights
SPACING_SD = 3.5  # distance of centres in s.d.
TIME_SD = 0.3  # s.d. of the temporal envelope, as a share of the window
TIME_SD_CYCLES = 10.0


@dataclass(frozen=True)
class Scale:
    """The filters of one spatial frequency: one envelope, centres on a lattice. Units are picture heights."""

    sf_cpi: float
    sd: float
    x: np.ndarray
    y: np.ndarray  # from the top

    @property
    def n_centers(self) -> int:
        """Centres in the lattice."""
        return len(self.x) * len(self.y)


def make_scales(sf_cpi: np.ndarray, aspect: float) -> list[Scale]:
    """Return a scale for each spatial frequency above 0."""
    scales = []
    for f in sf_cpi[sf_cpi > 0]:
        sd = min(SD_CYCLES / f, LARGEST_SD)
        pitch = SPACING_SD * sd
        half = [max(int(np.floor((side - pitch) / pitch / 2)), 0) for side in (aspect, 1.0)]
        x, y = (pitch * np.arange(-n, n + 1) + side / 2 for n, side in zip(half, (aspect, 1.0), strict=True))
        scales.append(Scale(float(f), sd, x, y))
    return scales


def axes(shape_px: tuple[int, int], compat: Compat) -> tuple[np.ndarray, np.ndarray]:
    """Return the (y, x) of rows and columns in picture heights.

    Pixel centres of square pixels; pymoten spreads the first and the last pixel onto the edges of the picture.
    """
    height, width = shape_px
    if compat == "pymoten":
        return np.linspace(0, 1, height), np.linspace(0, width / height, width)
    return (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / height


def make_table(
    scales: list[Scale], tf_hz: np.ndarray, n_directions: int, local_dc: bool, opposite: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a row a filter in pymoten's order, and the column of `EnergyPyramid`'s own layout that each one is.

    Order: spatial frequency, direction, x, y, temporal frequency; the filter without carrier follows its sibling of
    direction 0. Without a temporal frequency directions d and d + 180 are one filter, written d. The own layout is
    (sense, tf, pair) for tf > 0, then (tf = 0, pair), then (tf, centre); a pair is (scale, direction < 180, y, x).
    With `opposite`, a filter that is written d answers motion towards d + 180, as in pymoten.
    """
    half = n_directions // 2
    moving = np.flatnonzero(tf_hz > 0)
    n_pairs = half * sum(s.n_centers for s in scales)
    still_at = 2 * len(moving) * n_pairs
    dc_at = still_at + n_pairs * int((tf_hz == 0).any())
    n_centers = sum(s.n_centers for s in scales)
    parts, first_pair, first_center = [], 0, 0
    for scale in scales:
        d, ix, iy, t, dc = (
            a.ravel()
            for a in np.meshgrid(
                np.arange(n_directions), np.arange(len(scale.x)), np.arange(len(scale.y)),
                np.arange(len(tf_hz)), [0, 1], indexing="ij",
            )
        )  # fmt: skip
        keep = np.where(dc == 1, local_dc & (d == 0), (tf_hz[t] > 0) | (d < half))
        d, ix, iy, t, dc = (a[keep] for a in (d, ix, iy, t, dc))
        center = iy * len(scale.x) + ix
        pair = first_pair + (d % half) * scale.n_centers + center
        rank = np.searchsorted(moving, t)
        own = np.where(tf_hz[t] > 0, (((d // half) ^ opposite) * len(moving) + rank) * n_pairs + pair, still_at + pair)
        own = np.where(dc == 1, dc_at + t * n_centers + first_center + center, own)
        parts.append({
            "x": scale.x[ix], "y": scale.y[iy], "direction_deg": d * (360.0 / n_directions),
            "sf_cpi": np.where(dc == 1, 0.0, scale.sf_cpi), "sd": np.full(len(d), scale.sd), "tf_hz": tf_hz[t],
            "own": own,
        })  # fmt: skip
        first_pair, first_center = first_pair + half * scale.n_centers, first_center + scale.n_centers
    table = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return table.drop(columns="own"), table["own"].to_numpy().copy()


def public_table(table: pd.DataFrame, shape_px: tuple[int, int], display: Display | None, turned: bool) -> pd.DataFrame:
    """Return the table with places and frequencies in degrees (NaN when the display is not known).

    `turned` adds 180 degrees to the direction of everything that has one.
    """
    height, width = shape_px
    has_direction = (table["tf_hz"] > 0) & (table["sf_cpi"] > 0)
    direction = np.where(has_direction & turned, (table["direction_deg"] + 180) % 360, table["direction_deg"])
    per_height = np.nan if display is None else height / display.px_per_deg
    return pd.DataFrame({
        "direction_deg": direction,
        "sf_cpd": table["sf_cpi"] / per_height,
        "tf_hz": table["tf_hz"],
        "x_deg": (table["x"] - width / height / 2) * per_height,
        "y_deg": (0.5 - table["y"]) * per_height,
        "sd_deg": table["sd"] * per_height,
        "speed_deg_s": np.where(has_direction, table["tf_hz"] / (table["sf_cpi"] / per_height).replace(0, np.nan), 0),
        "sf_cpi": table["sf_cpi"],
        "x_image": table["x"],
        "y_image": table["y"],
        "sd_image": table["sd"],
    })  # fmt: skip


def check_frequencies(sf_cpi: np.ndarray, tf_hz: np.ndarray, height_px: int, fps: float) -> None:
    """Raise for frequencies that the pixels or the frames cannot show."""
    check(sf_cpi.ndim == 1 and len(sf_cpi) > 0 and (sf_cpi >= 0).all(), "sf_cpi", "a list of 0 or more", sf_cpi)
    check((sf_cpi > 0).any(), "sf_cpi", "a list with one above 0", sf_cpi, "0 adds the filters without a carrier.")
    limit = height_px / 2
    remedy = "Use lower frequencies, or a larger picture."
    check((sf_cpi <= limit).all(), "sf_cpi", f"at most {limit:g}, Nyquist for {height_px} rows", sf_cpi.max(), remedy)
    check(tf_hz.ndim == 1 and len(tf_hz) > 0 and (tf_hz >= 0).all(), "tf_hz", "a list of 0 or more", tf_hz)
    remedy = "Use lower frequencies, or a faster movie."
    check((tf_hz <= fps / 2).all(), "tf_hz", f"at most {fps / 2:g}, Nyquist at {fps:g} fps", tf_hz.max(), remedy)
    for name, values in (("sf_cpi", sf_cpi), ("tf_hz", tf_hz)):
        check(len(np.unique(values)) == len(values), name, "without repetition", values)
