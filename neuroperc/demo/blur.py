"""Stage 1: the photograph as a fovea resolves it, at three gazes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..color import linear_to_srgb
from ..foveation import FoveatedBlur
from ..metrics import ssim
from ..plot import COLORS, figure, png, show_image, style
from .page import Number, Stage
from .scene import GAZES_DEG, Scene


def stage(scene: Scene) -> Stage:
    """Blur the photograph at three gazes and draw the cut-off that was used."""
    display = scene.display
    blur = FoveatedBlur(display, model="half_resolution").to(scene.image.device)
    batch = scene.image.expand(len(GAZES_DEG), -1, -1, -1)
    start = time.perf_counter()
    seen = blur(batch, fixation_deg=GAZES_DEG)
    milliseconds = 1e3 * (time.perf_counter() - start) / len(GAZES_DEG)
    with style():
        canvas = figure(2, 2, width_in=5.2, height_in=3.6)
        for ax, picture, gaze in zip(canvas.axes, seen, GAZES_DEG, strict=False):
            title = f"gaze at ({gaze[0]:g}, {gaze[1]:g}) deg"
            show_image(picture.clamp(0, 1), display=display, fixation_deg=gaze, title=title, ax=ax)
        _draw_cutoff(canvas.axes[3], blur)
    codes = linear_to_srgb(seen.clamp(0, 1)), linear_to_srgb(batch)
    alike = ssim(*codes, data_range=1.0).reshape(len(GAZES_DEG), -1).mean(1)
    change = float((seen.mean((1, 2, 3)) - scene.image.mean()).abs().max())
    numbers = (
        Number("cut-off at the gaze, 5, 10 and 20 deg", _join(blur.cutoff_at(torch.tensor([0.0, 5, 10, 20]))), "cpd"),
        Number("the display's Nyquist frequency", f"{display.nyquist_cpd:.1f}", "cpd", "beyond it nothing is shown"),
        Number("SSIM to the photograph, by gaze", _join(alike, 3), "", "on sRGB code values"),
        Number("largest change of mean light", f"{100 * change:.3f}", "% of white"),
        Number("time a picture", f"{milliseconds:.0f}", "ms", "gazes that differ by item"),
    )
    return Stage(
        "What a fovea keeps",
        "packaged photograph",
        "Resolution halves 2.3 deg from the gaze, is a third at 4.6 deg, and so on (the half-resolution rule of Perry "
        "and Geisler 2002). A pattern at the cut-off frequency keeps half its contrast; finer ones fade, unaliased.",
        png(canvas),
        "The photograph blurred around three gazes, and the cut-off against eccentricity",
        numbers,
    )


def _join(values: Iterable[Any], digits: int = 2) -> str:
    return ", ".join(f"{float(v):.{digits}f}" for v in values)


def _draw_cutoff(ax: Any, blur: FoveatedBlur) -> None:
    eccentricity = np.linspace(0, 25, 201)
    curves = {"half-resolution (shown)": blur, "contrast threshold (default)": FoveatedBlur(blur.display)}
    for (label, kind), color in zip(curves.items(), (COLORS["blue"], COLORS["vermilion"]), strict=True):
        ax.plot(eccentricity, kind.cutoff_at(eccentricity), label=label, color=color)
    nyquist = blur.display.nyquist_cpd
    ax.axhline(nyquist, color=COLORS["grey"], linewidth=0.9, linestyle=":", label="Nyquist of the display")
    ax.set(xlabel="eccentricity (deg)", ylabel="half-amplitude cut-off (cpd)", yscale="log", ylim=(0.4, 60))
    ax.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    ax.legend()
