"""Search a picture file for a part of it, and write search displays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from .._check import atomic_path, check, integer, one_of
from ..data._folders import atomic_folder
from ..data.readers.pictures import read_picture, save_image
from ..nets import load
from ..plot import figure, outline, png, scanpath, style
from ..search import ChancePriority, EccNet, PixelPriority, TemplatePriority, picture_search, simulate
from ..stimuli import cell_table, item_table, search_displays
from .pictures import check_files, check_parent, display_of, torch_device

__all__ = ["display_files", "search_files"]

_NAMES = ("eccnet", "ivsn", "pixels", "chance")


def search_files(
    source: Path,
    target: Path,
    *,
    box_deg: tuple[float, float, float, float],
    model: str = "eccnet",
    template: Path | None = None,
    weights: Path | None = None,
    budget: int = 20,
    px_per_deg: float | None = None,
    size_deg: tuple[float, float] | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write where a model looks for a target: ``fixations.csv``, ``trials.csv`` and ``scanpath.png``.

    Parameters
    ----------
    source
        A picture.
    target
        A folder, made if it is missing.
    box_deg
        Where the target is: x, y of its centre from the picture's centre, y up, width and height.
    model
        "eccnet" and "ivsn" need VGG-16; "pixels" matches pixels; "chance" is noise.
    template
        What the target looks like; default: the box's part of the picture.
    weights
        For VGG-16: a file; default torchvision's, from the network or its cache.
    budget
        Most fixations after the start.
    px_per_deg, size_deg
        One of the two: pixels per degree, or (height, width) of the picture in degrees.
    seed
        Of the chance model.
    device
        Torch device.
    progress
        Show a bar.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ValueError, FileNotFoundError
        For input that cannot be read, an unknown model, or a box off the picture.
    """
    one_of("--model", model, _NAMES)
    integer("--budget", budget, 1)
    check_files(source, target)
    there = template is None or template.is_file()
    check(there, "--template", "a picture file that exists", str(template), error=FileNotFoundError)
    check(weights is None or model in ("eccnet", "ivsn"), "--weights", "left out for this model", model)
    picture = torch.from_numpy(read_picture(source))
    display = display_of((picture.shape[-2], picture.shape[-1]), px_per_deg, size_deg)
    known = None if template is None else torch.from_numpy(read_picture(template))
    shown = picture_search(picture, display, box_deg, template=known, stimulus_id=source.stem)
    place = torch_device(device)
    priority = _model(model, weights, display.px_per_deg)
    priority = priority.to(place) if isinstance(priority, torch.nn.Module) else priority
    fixations, trials = simulate(priority, shown, rng=seed, budget=budget, device=place, progress=progress)
    target.mkdir(exist_ok=True)
    for table, name in ((fixations, "fixations.csv"), (trials, "trials.csv")):
        with atomic_path(target / name) as path:
            table.assign(model=model, neuroperc=__version__).to_csv(path, index=False)
    found = bool(trials["found"].iloc[0])
    steps = len(fixations) - 1
    words = f"{model}: found with fixation {steps}" if found else f"{model}: not found in {steps} fixations"
    with style():
        canvas = figure(1, 1, width_in=6.0, height_in=6.0 * picture.shape[-2] / picture.shape[-1] + 0.6)
        ax = scanpath(fixations[["x_deg", "y_deg"]], display, image=picture, ax=canvas.axes[0])
        ax.set_title(words)
        outline(box_deg, display, label="target", ax=ax)
    with atomic_path(target / "scanpath.png") as path:
        path.write_bytes(png(canvas))
    return [target / name for name in ("fixations.csv", "trials.csv", "scanpath.png")]


def _model(name: str, weights: Path | None, px_per_deg: float) -> Any:
    if name == "pixels":
        return PixelPriority()
    if name == "chance":
        return ChancePriority()
    net = load("vgg16", weights="default" if weights is None else weights)
    if name == "ivsn":
        return TemplatePriority(net, px_per_deg=px_per_deg)
    return EccNet(net, px_per_deg=px_per_deg, mixing="equal", sharpening="natural")


def display_files(
    name: str,
    target: Path,
    *,
    set_sizes: Sequence[int] = (),
    n: int | None = None,
    jpeg_quality: int | None = None,
    reversed_polarity: bool = False,
    seed: int = 0,
) -> list[Path]:
    """Write search displays as 8-bit pictures with ``displays.csv``, ``items.csv`` and ``cells.csv``.

    Parameters
    ----------
    name
        The task, as in `neuroperc.stimuli.search_displays`.
    target
        A new folder, which appears whole or not at all.
    set_sizes, n
        Items on a display, and displays for each number; default the experiment's.
    jpeg_quality
        Pass the pictures through a JPEG of this quality.
    reversed_polarity
        Exchange dark and light.
    seed
        Of the displays.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ValueError
        For an unknown task, sizes that do not fit, or a folder that is there.
    """
    check_parent(target)
    check(not target.exists(), "OUT", "a new folder", str(target), "Name another one, or move it away.")
    shown = search_displays(
        None, name, set_size=list(set_sizes) or None, n=n, jpeg_quality=jpeg_quality,
        polarity="reversed" if reversed_polarity else "paper", rng=seed,
    )  # fmt: skip
    tables = {"displays.csv": shown.table, "items.csv": item_table(shown), "cells.csv": cell_table(shown)}
    light = shown.to_encoding("linear")
    with atomic_folder(target) as folder:
        for i, stimulus_id in enumerate(shown.ids):
            save_image(light[i], folder / f"{stimulus_id}.png")
        for file, table in tables.items():
            table.to_csv(folder / file, index=file == "displays.csv")
    return [target / f"{stimulus_id}.png" for stimulus_id in shown.ids] + [target / file for file in tables]
