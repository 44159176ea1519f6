"""Nishimoto et al. 2011: the motion energy pyramid of their encoding models, beside pymoten, with its faults mended."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.motion import EnergyPyramid, MotionEnergy, temporal_filters

SPEED = Path(__file__).parents[1] / "benchmarks" / "results" / "motion_energy.json"
DIRECTIONS = np.arange(0, 360, 45)


@dataclass(frozen=True)
class Config:
    """Side and frame rate of the gratings, and directions of the tuning curve."""

    side_px: int
    fps: int
    n_curve: int


def run(config: Config) -> Measured:
    """Count filters, find what drives them, and measure one filter's tuning."""
    shape = (config.side_px, config.side_px)
    counts = [
        len(MotionEnergy.pyramid(s, 24, sf_cpi=sf, compat="pymoten").filters)
        for s, sf in (((96, 96), (0, 2, 4, 8, 16)), ((96, 96), (0, 2, 4, 8, 16, 32)), ((144, 256), (0, 2, 4, 8, 16)))
    ]
    ours = MotionEnergy.pyramid(shape, config.fps, stage="sqrt")
    same = MotionEnergy.pyramid(shape, config.fps, stage="sqrt", compat="pymoten")
    theirs = MotionEnergy.pyramid(shape, config.fps, stage="sqrt", compat="pymoten", labels="pymoten")
    grey = torch.full((1, 2 * config.fps, 1, *shape), 50.0, dtype=torch.float64)
    moving = torch.tensor(((ours.filters["tf_hz"] == 2) & (ours.filters["sf_cpi"] > 0)).to_numpy())
    carrier = torch.tensor((ours.filters["sf_cpi"] > 0).to_numpy())
    answers = [p(grey)[0] for p in (same, ours)]
    pair = temporal_filters("adelson_bergen", fps=2000, rate_hz=60)
    curve = np.linspace(-90, 270, config.n_curve + 1)
    values = {
        "counts": counts,
        "parity": _parity(config),
        "directions": _share_right(ours, config),
        "directions_pymoten": _share_right(theirs, config),
        "grey_pymoten": float(answers[0][config.fps, carrier].max()),
        "grey": float(answers[1][:, carrier].max()),
        "onset_pymoten": float(answers[0][0, moving].max()),
        "latency": [1e3 * float(pair.time_s[np.argmax(f)]) for f in (pair.lead, pair.lag)],
        "half_width": _half_width(same, config),
        "speed": _speed(),
    }
    curves = {"direction_deg": curve, "ours": _curve(ours, curve, config), "pymoten": _curve(theirs, curve, config)}
    return Measured(values, data=curves)


def _parity(config: Config) -> float:
    """Largest difference of log responses to pymoten itself on a movie of noise; needs `pip install pymoten`."""
    import moten

    movie = np.random.default_rng(0).random((2 * config.fps, config.side_px, config.side_px)) * 100
    peer = moten.pyramids.MotionEnergyPyramid(stimulus_vhsize=movie.shape[1:], stimulus_fps=config.fps)
    theirs = moten.core.project_stimulus_batched(movie, peer.filters, dtype="float64")
    same = MotionEnergy.pyramid(movie.shape[1:], config.fps, compat="pymoten")
    return float(np.abs(same(torch.from_numpy(movie)[None, :, None])[0].numpy() - theirs).max())


def _gratings(directions: np.ndarray, config: Config, pymoten: bool) -> torch.Tensor:
    """Full-contrast gratings of 8 cycles a picture and 2 Hz in L*, (directions, time, 1, y, x)."""
    n = config.side_px
    at = np.linspace(0, 1, n) if pymoten else (np.arange(n) + 0.5) / n
    d, t = np.deg2rad(directions)[:, None, None, None], np.arange(2 * config.fps + 1)[:, None, None] / config.fps
    across = at * np.cos(d) - at[:, None] * np.sin(d)
    return torch.from_numpy(50 + 50 * np.cos(2 * np.pi * (8 * across - 2 * t)))[:, :, None]


def _answers(pyramid: EnergyPyramid, directions: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Return (labels, root energies (directions, filters)) of the central filters of 8 cycles and 2 Hz."""
    table = pyramid.filters
    middle = np.isclose(table["x_image"], 0.5) & np.isclose(table["y_image"], 0.5)
    central = np.flatnonzero(middle & (table["sf_cpi"] == 8) & (table["tf_hz"] == 2))
    movies = _gratings(directions, config, pyramid.compat == "pymoten")
    made = torch.cat([pyramid(one[None])[:, config.fps, central] for one in movies])
    return table["direction_deg"].to_numpy()[central], made.numpy()


def _share_right(pyramid: EnergyPyramid, config: Config) -> float:
    labels, answers = _answers(pyramid, DIRECTIONS, config)
    return float(np.mean(labels[answers.argmax(1)] == DIRECTIONS))


def _curve(pyramid: EnergyPyramid, directions: np.ndarray, config: Config) -> np.ndarray:
    labels, answers = _answers(pyramid, directions, config)
    return answers[:, np.flatnonzero(labels == 0)[0]] / answers.max()


def _half_width(pyramid: EnergyPyramid, config: Config) -> list[float]:
    """Half width at half height of amplitude and of energy."""
    directions = np.arange(0, 41, 2.0)
    labels, answers = _answers(pyramid, directions, config)
    amplitude = answers[:, np.flatnonzero(labels == 0)[0]]
    return [float(np.interp(-0.5, -((amplitude / amplitude[0]) ** p), directions)) for p in (1, 2)]


def _speed() -> list[float]:
    """Ratio of CPU time to pymoten's best way, double and single precision, as benchmarks/motion_energy.py found it."""
    rows = json.loads(SPEED.read_text())["rows"]
    ratio = next(row["ratio_to_best_peer"] for row in rows if row["case"] == "96x96, 1380")
    return [ratio[f"ours compat=pymoten {dtype}"] for dtype in ("float64", "float32")]


def plot(result: Result) -> Figure:
    """Draw what drives the filter that is called rightward."""
    with npplot.style():
        canvas = npplot.figure(1, 1, width_in=5, height_in=3.2)
        ax = canvas.axes[0]
        curves = result.data
        for name, label in (("ours", "neuroperc"), ("pymoten", "pymoten's label")):
            ax.plot(curves["direction_deg"], curves[name], label=label)
        ax.set_xlabel("direction of the grating (degrees)")
        ax.set_ylabel("amplitude of the filter labelled 0°\n(share of the largest)")
        ax.set_xticks(np.arange(-90, 271, 45))
        ax.legend(loc="upper center")
    return canvas
