"""Arrays of drifting Gabors or plaids: local motions that are, or are not, those of one global velocity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np

from .._check import check, non_negative, one_of, positive
from ..data import StimulusSet
from ..display import Display
from ._made import (
    Kind,
    Patch,
    Row,
    Shown,
    as_times,
    assemble,
    check_sf,
    check_tf,
    crossed,
    placed,
    seeded,
    steady,
    vector,
)


def gabor_arrays(
    display: Display,
    *,
    speed_deg_s: float | Sequence[float],
    direction_deg: float | Sequence[float] = 0.0,
    signal_share: float | Sequence[float] = 1.0,
    element: Literal["gabor", "plaid"] = "gabor",
    sf_cpd: float = 2.0,
    sd_deg: float = 0.15,
    spacing_deg: float = 1.0,
    contrast: float = 0.5,
    orientations: Literal["random", "same"] = "random",
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make a grid of still windows whose carriers drift as parts of one rigid motion would.

    A Gabor with normal n drifts at V cos(direction - n), so its temporal frequency is sf times that; a plaid of two
    gratings, 90 degrees apart, moves with the whole velocity. The rest are noise: they take a random direction.

    Parameters
    ----------
    display
        The monitor.
    speed_deg_s, direction_deg
        Global velocity V.
    signal_share
        Share of elements that follow it, exactly ``round(share * n)``.
    element
        One-dimensional or two-dimensional.
    sf_cpd, sd_deg, contrast
        Carrier, s.d. of the Gaussian window, Michelson contrast of the carrier (of both gratings together).
    spacing_deg
        Of the grid, at least 6 s.d.
    orientations
        ``"random"``, or ``"same"``: all normals along `direction_deg`.
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth`: ``velocity_deg_s``, the global one; ``flow_deg_s`` (n, 1, 2, h, w), each element's rigid velocity
        within 2 s.d., NaN between; ``element_deg`` (n, e, 2), ``normal_deg`` (n, e), ``is_signal`` (n, e).

    Raises
    ------
    ValueError
        As `gratings`, and when elements would overlap.

    References
    ----------
    .. [1] K Amano, M Edwards, DR Badcock & S Nishida (2009). Adaptive pooling of visual motion signals by the human
       visual system revealed with a novel multi-element stimulus. doi:10.1167/9.3.4

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(16, resolution_px=(96, 96))
    >>> s = npc.stimuli.gabor_arrays(display, speed_deg_s=2, signal_share=0.5, rng=0)
    >>> s.truth["is_signal"].sum(), s.truth["element_deg"].shape
    (np.int64(18), (1, 36, 2))
    """
    common = placed(display, shown)
    check_sf(display, sf_cpd)
    positive("sd_deg", sd_deg)
    least = 6 * sd_deg
    check(spacing_deg >= least, "spacing_deg", f"at least 6 sd_deg = {least:.4g}", spacing_deg, "Elements would meet.")
    fixed: Row = {"element": one_of("element", element, ("gabor", "plaid")), "sf_cpd": float(sf_cpd),
                  "sd_deg": float(sd_deg), "spacing_deg": float(spacing_deg),
                  "contrast": positive("contrast", contrast),
                  "orientations": one_of("orientations", orientations, ("random", "same"))}  # fmt: skip
    rows = []
    for row in crossed(speed_deg_s=speed_deg_s, direction_deg=direction_deg, signal_share=signal_share):
        non_negative("speed_deg_s", row["speed_deg_s"])
        check(0 <= row["signal_share"] <= 1, "signal_share", "within [0, 1]", row["signal_share"])
        check_tf(common["fps"], row["speed_deg_s"] * sf_cpd, "speed_deg_s times sf_cpd")
        rows.append(row | fixed | common)
    return assemble(GABOR_ARRAY, display, seeded(rows, rng))


def _elements(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    """Return places (e, 2), normals (e, k), phases (e, k), velocities (e, 2), signal (e,); row by row from the top."""
    rng = np.random.default_rng(row["seed"])
    counts = [max(1, int(n / patch.px_per_deg / row["spacing_deg"] + 1e-6)) for n in patch.shape_px]
    y, x = ((np.arange(n) - (n - 1) / 2) * row["spacing_deg"] for n in counts)
    grid = np.stack(np.meshgrid(x, -y), -1).reshape(-1, 2)
    n = len(grid)
    normal = rng.uniform(0, 360, n) if row["orientations"] == "random" else np.full(n, float(row["direction_deg"]))
    signal = rng.permutation(n) < round(row["signal_share"] * n)
    direction = np.where(signal, row["direction_deg"], rng.uniform(0, 360, n))
    k = 1 if row["element"] == "gabor" else 2
    phase = rng.random((n, k))
    velocity = np.stack([vector(row["speed_deg_s"], d) for d in direction])
    return {"at": grid, "normal": normal[:, None] + 90.0 * np.arange(k), "phase": phase, "velocity": velocity,
            "signal": signal, "counts": np.array(counts)}  # fmt: skip


def _nearest(row: Row, patch: Patch, counts: np.ndarray) -> np.ndarray:
    """Return the element that every pixel belongs to, (h, w)."""

    def index(values: np.ndarray, n: int) -> np.ndarray:
        return np.clip(np.floor(values / row["spacing_deg"] + n / 2), 0, n - 1).astype(int)

    return index(-patch.y_deg, counts[0]) * counts[1] + index(patch.x_deg, counts[1])


def _draw(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    e = _elements(row, patch)
    mine = _nearest(row, patch, e["counts"])
    dx, dy = patch.x_deg - e["at"][mine, 0], patch.y_deg - e["at"][mine, 1]
    window = np.exp(-(dx**2 + dy**2) / (2 * row["sd_deg"] ** 2))
    time = as_times(row, start, stop)
    radians = np.deg2rad(e["normal"])
    tf = row["sf_cpd"] * (e["velocity"][:, :1] * np.cos(radians) + e["velocity"][:, 1:] * np.sin(radians))
    carrier = np.zeros((stop - start, *patch.shape_px))
    for k in range(tf.shape[1]):  # one grating, or two
        across = row["sf_cpd"] * (dx * np.cos(radians[mine, k]) + dy * np.sin(radians[mine, k])) + e["phase"][mine, k]
        carrier += np.cos(2 * np.pi * (across - tf[mine, k] * time))
    return row["contrast"] / tf.shape[1] * window * carrier


def _truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    e = _elements(row, patch)
    mine = _nearest(row, patch, e["counts"])
    dx, dy = patch.x_deg - e["at"][mine, 0], patch.y_deg - e["at"][mine, 1]
    truth = steady(vector(row["speed_deg_s"], row["direction_deg"]), row, patch)
    seen = (np.hypot(dx, dy) <= 2 * row["sd_deg"]) & ~np.isnan(truth["flow_deg_s"][0, 0])
    flow = np.where(seen, np.moveaxis(e["velocity"][mine], -1, 0), np.nan)
    truth["flow_deg_s"] = flow.astype(np.float32)[None]
    return truth | {"element_deg": e["at"], "normal_deg": e["normal"][:, 0], "is_signal": e["signal"]}


def _peak(row: Row) -> float:
    return row["contrast"]


GABOR_ARRAY = Kind("gabor_array", _draw, _truth, _peak)
