"""Stage 5: a metamer in one pass, and what each kind of window takes from the picture."""

from __future__ import annotations

import torch

from ..color import linear_to_srgb
from ..display import Display
from ..metamers import NeuroFovea
from ..metrics import ssim
from ..plot import figure, png, show_image, style
from .page import Number, Stage
from .scene import Scene

_SCALINGS = (0.3, 0.5, 0.7)


def stage(scene: Scene) -> Stage:
    """Exchange the texture of the periphery, at three sizes of window."""
    display = Display.from_px_per_deg(10, resolution_px=(256, 384))
    small = torch.nn.functional.interpolate(scene.image[None], size=(256, 384), mode="bilinear", antialias=True)
    target = small.clamp(0, 1)
    models = [NeuroFovea(display, scaling=s).to(target.device) for s in _SCALINGS]
    with torch.no_grad():
        made = [model(target, rng=scene.seed).clamp(0, 1) for model in models]
        again = models[1](target, rng=scene.seed + 1).clamp(0, 1)
    codes = [linear_to_srgb(x.double()) for x in (target, *made)]
    likeness = [float(ssim(x, codes[0], data_range=1.0)) for x in codes[1:]]
    fovea = torch.as_tensor(display.eccentricity_deg() < 1)
    change = float((made[1] - target)[..., fovea.to(target.device)].abs().max())
    with style():
        canvas = figure(2, 2, width_in=5.2, height_in=3.6)
        titles = ["photograph", *(f"windows of {s:g} times eccentricity" for s in _SCALINGS)]
        for ax, picture, title in zip(canvas.axes, (target, *made), titles, strict=True):
            show_image(picture[0], display=display, fixation_deg=(0, 0), title=title, ax=ax)
    numbers = (
        Number("windows", ", ".join(str(m.windows.n_windows) for m in models), "", "the fovea is one of them"),
        Number(
            "largest strength", ", ".join(f"{m.alpha.max():.2f}" for m in models), "", "tanh(1.281 r / 2), r in deg"
        ),
        Number("SSIM to the photograph", ", ".join(f"{x:.2f}" for x in likeness), "", "on sRGB code values"),
        Number("largest change within 1 deg", f"{change:.3f}", "of white, linear light"),
        Number("two seeds differ by (RMS)", f"{float((made[1] - again).square().mean().sqrt()):.3f}", "of white"),
    )
    return Stage(
        "A metamer in one pass",
        "packaged photograph at 10 px/deg; steerable pyramid in place of VGG",
        "NeuroFovea (Deza, Jonnalagadda and Eckstein 2019) gives coloured noise the mean and standard deviation that "
        "the picture's features have in every window, and mixes the two the more the larger the window is. Here the "
        "features are those of a steerable pyramid, which needs no trained weights; the published method takes "
        "VGG-19's. The strength was fitted by its authors to a display of 26 deg.",
        png(canvas),
        "A photograph and three metamers whose texture was exchanged in windows of growing size",
        numbers,
    )
