"""Stage 2: pooling windows over the photograph, and what their averages keep of it."""

from __future__ import annotations

import torch

from ..foveation import PoolingWindows
from ..plot import figure, png, show_image, style
from ..plot import windows as draw_windows
from .page import Number, Stage
from .scene import GAZES_DEG, Scene


def stage(scene: Scene) -> Stage:
    """Draw raised-cosine windows and the picture rebuilt from their averages."""
    display, gaze = scene.display, GAZES_DEG[1]
    pooling = PoolingWindows(display, scaling=0.5, fixation_deg=gaze)
    averages = pooling(scene.image[None])
    rebuilt = pooling.unpool(averages)[0]
    coverage = pooling.coverage.to(scene.image)
    # The fovea inside the first ring is seen by no window: the photograph itself stands there.
    shown = rebuilt + (1 - coverage) * scene.image
    with style():
        canvas = figure(1, 2, width_in=5.2, height_in=3.6)
        left, right = canvas.axes
        draw_windows(pooling, image=scene.image, ax=left).set_title("windows at half their maximum")
        show_image(shown.clamp(0, 1), display=display, fixation_deg=gaze, title="what their averages keep", ax=right)
    constant = pooling(torch.full_like(scene.image[None], 0.25))[0, 0]
    seen = pooling.mass > 0
    worst = float((constant[seen.to(constant.device)] - 0.25).abs().max())
    numbers = (
        Number("rings x wedges", f"{pooling.n_rings} x {pooling.n_wedges}", "", "of which some lie off the picture"),
        Number("windows that see the picture", f"{int(seen.sum())}", ""),
        Number("scaling", f"{pooling.scaling:g}", "", "radial width at half maximum / eccentricity"),
        Number("numbers that are left", f"{100 * int(seen.sum()) / scene.image[0].numel():.3f}", "% of the pixels"),
        Number("largest error on a constant picture", f"{worst:.0e}", "", "averages of 0.25, in float32"),
    )
    return Stage(
        "Pooling windows",
        "packaged photograph",
        "Averages over windows whose size grows with eccentricity (Freeman and Simoncelli 2011: raised cosines on a "
        "log-polar grid, twice as long as wide). Left: every window at half its maximum. Right: each window filled "
        "with its average; neighbours sum to one, so the picture is blended without gaps.",
        png(canvas),
        "Pooling windows over the photograph, and the photograph rebuilt from window averages",
        numbers,
    )
