"""Stage 3: the photograph on cortex, and back."""

from __future__ import annotations

import torch

from ..foveation import LogPolar
from ..plot import cortex as draw_cortex
from ..plot import figure, png, show_image, style
from .page import Number, Stage
from .scene import GAZES_DEG, Scene


def stage(scene: Scene) -> Stage:
    """Sample the photograph log-polarly and put it back."""
    display, gaze = scene.display, GAZES_DEG[0]
    sampler = LogPolar(display, a_deg=0.75, n_rings=96, fixation_deg=gaze, max_eccentricity_deg=24)
    on_cortex = sampler(scene.image[None])
    back = sampler.inverse(on_cortex)[0]
    eccentricity = torch.as_tensor(display.eccentricity_deg(gaze))
    with style():
        canvas = figure(1, 2, width_in=5.2, height_in=3.9)
        left, right = canvas.axes
        draw_cortex(on_cortex[0].clamp(0, 1), sampler, ax=left).set_title("on cortex")
        show_image(back.clamp(0, 1), display=display, fixation_deg=gaze, title="and back", ax=right)
    error = (back - scene.image).cpu().square().mean(0)
    bands = ((0, 1), (2, 4), (8, 12), (16, 24))
    rms = [float(error[(eccentricity >= a) & (eccentricity < b)].mean().sqrt()) for a, b in bands]
    numbers = (
        Number("samples", f"{sampler.n_rings} x {sampler.n_angles}", "", "rings x angles"),
        Number("share of the pixels", f"{100 * sampler.n_rings * sampler.n_angles / error.numel():.1f}", "%"),
        Number("magnification halves at", f"{sampler.a_deg:g}", "deg", "a in 1 / (e + a)"),
        *(
            Number(f"RMS error at {a} to {b} deg", f"{value:.3f}", "of white, linear light")
            for (a, b), value in zip(bands, rms, strict=True)
        ),
    )
    return Stage(
        "The cortical image",
        "packaged photograph",
        "Cortex gives every ring around the gaze the same number of samples. Left: rows are angles, columns are rings, "
        "spaced equally in ln(e + a); grey is off the photograph. Right: the picture those samples stand for. It is "
        "sharpest at the gaze; how large the error is elsewhere depends on the detail there too (the sky has little).",
        png(canvas),
        "The photograph in cortical coordinates, and the picture rebuilt from it",
        numbers,
    )
