"""Stage 6: where a model looks on the way to a target, and how its time grows with the number of items."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..data import StimulusSet
from ..display import Display
from ..nets import load
from ..plot import figure, outline, png, scanpath, search_functions, style
from ..search import (
    EccNet,
    PixelPriority,
    human_reaction_times,
    picture_search,
    reaction_times,
    search_slopes,
    simulate,
)
from ..stimuli import search_displays
from .page import Number, Stage
from .scene import Scene

_TARGET_DEG = (-7.0, 11.0, 2.0, 3.0)  # the ornament on top of the tower
_TASKS = ("vertical_among_mixed", "tilted_among_mixed")
_SIZES = (4, 12)


def stage(scene: Scene) -> Stage:
    """Search the photograph for a part of it, and displays for the odd item."""
    device = scene.image.device
    picture, model, made_of = _models(scene.display.px_per_deg, device)
    shown = picture_search(scene.image, scene.display, _TARGET_DEG)
    path, trial = simulate(picture, shown, rng=scene.seed, budget=8, device=device, progress=scene.progress)
    displays = [search_displays(None, name, set_size=_SIZES, n=3, rng=scene.seed) for name in _TASKS]
    runs = [simulate(model, x, rng=scene.seed, device=device, progress=scene.progress) for x in displays]
    times = pd.concat([reaction_times(fixations, trials) for fixations, trials in runs], ignore_index=True)
    slopes = search_slopes(times).set_index("condition")["slope"].astype(float)
    human = search_slopes(human_reaction_times(), n_resamples=2).set_index("condition")["slope"].astype(float)
    lost = int((~times["found"].astype(bool)).sum())
    numbers = (
        Number("photograph: found with fixation", str(len(path) - 1) if trial["found"].all() else "not found", "",
               "the first one after the start is 1"),
        Number("eccentricity of the target", f"{(_TARGET_DEG[0] ** 2 + _TARGET_DEG[1] ** 2) ** 0.5:.1f}", "deg"),
        *(Number(f"slope, {name.replace('_', ' ')}", f"{slopes[name]:.1f}", "ms/item",
                 f"people: {human[name]:.1f} ms/item") for name in _TASKS),
        Number("displays", f"{len(times)}", "", f"{lost} without the target found"),
    )  # fmt: skip
    return Stage(
        "Where a model looks",
        f"packaged photograph at {scene.display.px_per_deg:g} px/deg, made displays at 30; {made_of}",
        "eccNET (Gupta and others 2021) slides the features of a target over the features of the picture. Its pools "
        "widen with the distance from the gaze, so that a far target has to be approached. The peak of the map is the "
        "next fixation; places looked at are not visited again. The number of fixations becomes a reaction time by "
        "one fixed line. People find an upright bar among bars of many orientations faster than a tilted one.",
        _draw(scene, path, displays[1], runs[1][0], times),
        "A scanpath on a photograph, one on a search display, and reaction times by number of items",
        numbers,
    )


def _models(px_per_deg: float, device: torch.device) -> tuple[Any, Any, str]:
    """Return eccNET for the photograph and for displays, or matching of pixels where the weights are not here."""
    folder = os.environ.get("NEUROPERC_DATA")
    file = Path(folder or ".") / "weights" / "vgg16_imagenet_convs_rgb_fp16.pt"
    if folder and file.is_file():
        net = load("vgg16", weights=file)
        natural = EccNet(net, px_per_deg=px_per_deg, mixing="equal", sharpening="natural")
        return natural.to(device), EccNet(net).to(device), "eccNET on VGG-16 with ImageNet weights"
    words = "matching of pixels instead of eccNET, as NEUROPERC_DATA holds no VGG-16"
    return PixelPriority(), PixelPriority(), words


def _draw(
    scene: Scene, path: pd.DataFrame, display: StimulusSet, fixations: pd.DataFrame, times: pd.DataFrame
) -> bytes:
    with style():
        canvas = figure(1, 3, width_in=3.7, height_in=3.2)
        left, middle, right = canvas.axes
        scanpath(path[["x_deg", "y_deg"]], scene.display, image=scene.image.cpu(), ax=left)
        outline(_TARGET_DEG, scene.display, ax=left)
        left.set_title("looking for the ornament on top")
        last = len(display) - 1
        mine = fixations[fixations["trial"] == fixations["trial"].unique()[last]]
        screen = Display.from_px_per_deg(30, resolution_px=tuple(display[last].shape[-2:]))
        scanpath(mine[["x_deg", "y_deg"]], screen, image=_light(display, last), ax=middle)
        row = display.table.iloc[last]
        outline([row[f"target_{n}_deg"] for n in ("x", "y", "width", "height")], screen, ax=middle)
        middle.set_title(f"a tilted bar among {int(row['set_size']) - 1} others")
        search_functions(times, slopes=search_slopes(times), title="model's reaction time", ax=right)
    return png(canvas)


def _light(display: StimulusSet, i: int) -> Tensor:
    return torch.as_tensor(display.to_encoding("linear")[i])
