"""Stage 4: a different picture with the same averages."""

from __future__ import annotations

import torch

from ..data import StimulusSet
from ..display import Display
from ..metamers import LuminanceModel
from ..plot import figure, png, show_image, style
from ..synthesis import synthesize
from .page import Number, Stage
from .scene import Scene

_STEPS = 150


def stage(scene: Scene) -> Stage:
    """Synthesise a pooled-luminance metamer from white noise."""
    display = Display.from_px_per_deg(10, resolution_px=(256, 384))
    half = torch.nn.functional.interpolate(scene.image[None], size=(256, 384), mode="bilinear", antialias=True)
    target = StimulusSet.from_arrays(half.clamp(0, 1).cpu(), display=display)[0].to(scene.image.device)
    model = LuminanceModel(display, scaling=0.2)
    result = synthesize(
        model, target, steps=_STEPS, learning_rate=0.05, fixed=1 - model.coverage, rng=scene.seed,
        progress=scene.progress,
    )  # fmt: skip
    image = result.image.reshape(target.shape)
    with torch.no_grad():
        before = (model(torch.rand_like(target)[None]) - model(target[None])).square().mean().sqrt()
        after = (model(image[None]) - model(target[None])).square().mean().sqrt()
    difference = (image - target).square().mean().sqrt()
    with style():
        canvas = figure(1, 2, width_in=5.2, height_in=3.6)
        show_image(target, display=display, fixation_deg=(0, 0), title="target", ax=canvas.axes[0])
        show_image(image.clamp(0, 1), display=display, fixation_deg=(0, 0), title="metamer", ax=canvas.axes[1])
    numbers = (
        Number("windows", f"{model.n_windows}", "", "Gaussian, scaling 0.2"),
        Number("pixels differ by (RMS)", f"{float(difference):.3f}", "of white, linear light"),
        Number("window averages differ by (RMS)", f"{float(after):.5f}", "of white"),
        Number("for plain noise that would be", f"{float(before):.3f}", "of white"),
        Number("steps of gradient descent", f"{_STEPS}", ""),
    )
    return Stage(
        "A pooled-luminance metamer",
        "packaged photograph at 10 px/deg",
        "The right picture started as white noise and was changed until its window averages match those of the left. "
        "Its pixels stay far from the target's, its averages do not: for a model that sees only averages the two are "
        "the same. The fovea, inside the first ring, was pasted from the target. Windows this large are an "
        "illustration: whether people confuse the two is a matter for an experiment, not claimed here.",
        png(canvas),
        "A target photograph and its pooled-luminance metamer",
        numbers,
    )
