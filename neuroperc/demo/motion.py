"""Stage 7: the direction of every part of a clip, and what V1 and MT units make of gratings and plaids."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..data import sample_clip
from ..display import Display
from ..motion import SimoncelliHeeger
from ..plot import direction_tuning, figure, flow, png, show_image, style
from ..stimuli import gratings, plaids
from .page import Number, Stage
from .scene import Scene

_RING_DEG = np.arange(0.0, 360.0, 30.0)
_TURNS_DEG = np.arange(0.0, 360.0, 15.0)
_SPEEDS_DEG_S = (1.0, 2.0, 3.0)


def stage(scene: Scene) -> Stage:
    """Read velocities from MT units, and show them gratings and plaids."""
    clip = sample_clip(rng=scene.seed)
    truth, found = clip.truth["velocity_deg_s"][0], _velocities(clip[0], clip.display, float(clip.fps or 0))
    moving = np.isfinite(found).all(0)
    error = np.degrees(np.angle(_complex(found) / _complex(truth)))[moving]
    tuning, units = _tuning()
    numbers = (
        Number("median error of direction", f"{np.median(np.abs(error)):.0f}", "deg",
               "population vector of 36 MT units"),
        *(Number(f"{name}: agreement of plaid and grating tuning", f"{np.corrcoef(*rows)[0, 1]:.2f}", "",
                 "1: follows the pattern") for name, rows in tuning.items()),
        Number("V1 unit prefers", units, "", "the components of the plaids are such gratings"),
    )  # fmt: skip
    with style():
        canvas = figure(1, 5, width_in=2.6, height_in=2.7)
        show_image(clip[0][-1], display=clip.display, title="last frame", ax=canvas.axes[0])
        top = float(np.hypot(*truth).max())
        flow(truth, clip.display, max_speed_deg_s=top, title="true", ax=canvas.axes[1])
        flow(found, clip.display, max_speed_deg_s=top, title="read from MT", wheel=False, ax=canvas.axes[2])
        for ax, (name, rows) in zip(canvas.axes[3:5], tuning.items(), strict=True):
            words = "direction from the preferred one"
            direction_tuning(_TURNS_DEG, rows, labels=("gratings", "plaids"), title=name, unit=words, ax=ax)
    return Stage(
        "What moves where",
        "made clip: the photograph pans, a disc of noise drifts; made gratings and plaids",
        "V1 units of Simoncelli and Heeger's model (1998) answer to one orientation moving at one speed; MT units add "
        "up those that fit one velocity. Hue is direction, as in the wheel. To a plaid, two gratings 120 deg apart, a "
        "V1 unit answers twice, once for each component; an MT unit answers to the direction of the pattern.",
        png(canvas),
        "A frame, its true flow, the flow read from model MT, and direction tuning of a V1 and an MT unit",
        numbers,
    )  # fmt: skip


def _velocities(movie: torch.Tensor, display: Display, fps: float) -> np.ndarray:
    """Return the population vector of MT units at every pixel, (2, h, w) deg/s; NaN where the filters reach out."""
    angle = np.radians(_RING_DEG)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    velocities = np.concatenate([speed * ring for speed in _SPEEDS_DEG_S])
    model = SimoncelliHeeger(display, fps=fps, velocities_deg_s=velocities, pool="map")
    with torch.no_grad():
        answer = model(movie.mean(1, keepdim=True)[None])[0].mean(0)
    strength = (answer - answer.amin(0)).numpy() ** 2
    vector = np.einsum("nhw,nc->chw", strength, velocities) / np.maximum(strength.sum(0), 1e-12)
    out = np.full((2, *display.resolution_px), np.nan)
    top, left = (np.array(out.shape[1:]) - vector.shape[1:]) // 2
    out[:, top : top + vector.shape[1], left : left + vector.shape[2]] = vector
    return out


def _tuning() -> tuple[dict[str, np.ndarray], str]:
    """Return responses to gratings and plaids (2, directions) of a V1 and an MT unit, directions from the preferred."""
    display, fps = Display.from_px_per_deg(8, resolution_px=(64, 64), refresh_hz=24), 24.0
    first = SimoncelliHeeger(display, fps=fps, stage="v1")
    unit = int(first.units["direction_deg"].abs().argmin())
    sf, tf, best = (float(first.units[name].iloc[unit]) for name in ("sf_cpd", "tf_hz", "direction_deg"))
    toward = [float(angle) for angle in (best + _TURNS_DEG) % 360]
    shown: dict[str, Any] = {"size_deg": 8, "duration_s": 0.5, "fps": fps}
    one = gratings(display, sf_cpd=sf, tf_hz=tf, direction_deg=toward, contrast=0.5, **shown)
    two = plaids(display, sf_cpd=sf, tf_hz=tf, direction_deg=toward, component_contrast=0.25, **shown)
    velocity = [tf / sf * np.cos(np.radians(best)), tf / sf * np.sin(np.radians(best))]
    second = SimoncelliHeeger(display, fps=fps, velocities_deg_s=[velocity])
    tuning = {}
    with torch.no_grad():
        for name, model, index in (("V1 unit", first, unit), ("MT unit", second, 0)):
            answers = [torch.stack([model(s[i][None])[0, :, index].mean() for i in range(len(s))]) for s in (one, two)]
            tuning[name] = torch.stack(answers).double().numpy()
    return tuning, f"{sf:.2g} cpd, {tf:.2g} Hz"


def _complex(field: np.ndarray) -> np.ndarray:
    return field[0] + 1j * field[1]
