"""Metamers of a picture file: pictures, a table, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .. import __version__
from .._check import atomic_path, check, integer, one_of
from ..data.readers.pictures import read_picture, save_image
from ..display import Display
from ..foveation import PoolingWindows
from ..metamers import EnergyModel, LuminanceModel, NeuroFovea, TextureModel, vgg16_codec
from ..metrics import ssim
from ..plot import metamer_sheet, png
from ..synthesis import synthesize
from .pictures import check_files, check_on_picture, display_of, torch_device

__all__ = ["metamer_files"]

_MODELS: dict[str, Any] = {"luminance": LuminanceModel, "energy": EnergyModel, "texture": TextureModel}
_NAMES = (*_MODELS, "neurofovea")
_WINDOW: dict[str, Any] = {"luminance": "gaussian", "energy": "gaussian", "texture": "cosine", "neurofovea": "cosine"}


def metamer_files(
    source: Path,
    target: Path,
    *,
    model: str = "luminance",
    scaling: float = 0.5,
    fixation_deg: tuple[float, float] = (0.0, 0.0),
    seeds: Sequence[int] = (0,),
    steps: int = 1500,
    px_per_deg: float | None = None,
    size_deg: tuple[float, float] | None = None,
    weights: Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write metamers of a picture, ``metamers.csv`` and ``sheet.png``.

    Parameters
    ----------
    source
        A picture.
    target
        A folder, made if it is missing.
    model
        "luminance", "energy" or "texture" are synthesised; "neurofovea" is rendered in one pass.
    scaling
        Width of a window divided by its eccentricity.
    fixation_deg
        Gaze (x, y) from the picture's centre, y up.
    seeds
        One a metamer.
    steps
        Evaluations of a synthesis at most.
    px_per_deg, size_deg
        One of the two: pixels per degree, or (height, width) of the picture in degrees.
    weights
        For "neurofovea": a VGG-16 file; without it the steerable pyramid, which needs none, takes its place.
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
        For input that cannot be read, an unknown model, a gaze off the picture, or contradicting sizes.
    """
    one_of("--model", model, _NAMES)
    check_files(source, target)
    check(len(seeds) > 0, "--seeds", "at least 1", len(seeds))
    integer("--steps", steps)
    check(weights is None or model == "neurofovea", "--weights", "left out for this model", model)
    picture = torch.from_numpy(read_picture(source)).to(torch_device(device))
    display = display_of((picture.shape[-2], picture.shape[-1]), px_per_deg, size_deg)
    check_on_picture(display, fixation_deg, source)
    made, facts = _make(model, display, picture, scaling, fixation_deg, seeds, steps, weights, progress)
    target.mkdir(exist_ok=True)
    stem = f"{source.stem}_{model}_s{scaling:g}"
    files = [target / f"{stem}_seed{seed}.png" for seed in seeds]
    for image, path in zip(made, files, strict=True):
        save_image(image.cpu(), path)
    windows = PoolingWindows(display, scaling, _WINDOW[model], fixation_deg)
    shown = [torch.from_numpy(read_picture(path)) for path in files]
    rows, residual = _judge(shown, picture.cpu(), windows)
    settings = {
        "model": model, "scaling": scaling, "x_deg": fixation_deg[0], "y_deg": fixation_deg[1], "steps": steps,
        "px_per_deg": display.px_per_deg, "geometry": display.geometry, "neuroperc": __version__,
        "torch": torch.__version__,
    }  # fmt: skip
    table = pd.DataFrame({"file": [p.name for p in files], "seed": list(seeds)} | facts | rows | settings)
    with atomic_path(target / "metamers.csv") as path:
        table.to_csv(path, index=False)
    titles = [f"{model}, s = {scaling:g}, seed {seed}" for seed in seeds]
    sheet = metamer_sheet(picture.cpu(), shown, windows=windows, residual=residual, titles=titles)
    with atomic_path(target / "sheet.png") as path:
        path.write_bytes(png(sheet))
    return [*files, target / "metamers.csv", target / "sheet.png"]


def _make(
    name: str,
    display: Display,
    picture: Tensor,
    scaling: float,
    fixation_deg: tuple[float, float],
    seeds: Sequence[int],
    steps: int,
    weights: Path | None,
    progress: bool,
) -> tuple[list[Tensor], dict[str, Any]]:
    """Return a metamer a seed, and columns that say how the synthesis went."""
    if name == "neurofovea":
        codec = None if weights is None else vgg16_codec(weights)
        renderer = NeuroFovea(display, scaling=scaling, fixation_deg=fixation_deg, codec=codec).to(picture.device)
        bar = tqdm(seeds, desc="metamer", unit="picture", disable=not progress)
        with torch.no_grad():
            return [renderer(picture[None], rng=seed)[0].clamp(0, 1) for seed in bar], {}
    model = _MODELS[name](display, scaling=scaling, fixation_deg=fixation_deg).to(picture.device)
    result = synthesize(
        model, picture, steps=steps, optimizer="lbfgs", balance=name != "luminance", fixed=1 - model.coverage,
        stages=None if name == "luminance" else "together", stage_tolerance=1e-3, n_samples=len(seeds), rng=list(seeds),
        progress=progress,
    )  # fmt: skip
    images = result.image.reshape(-1, *picture.shape)
    report = result.report().reset_index(drop=True)
    columns = [str(c) for c in report if str(c).startswith(("loss", "converged", "residual"))]
    return list(images), {c.replace(" ", "_"): report[c].to_numpy() for c in columns}


def _judge(pictures: list[Tensor], target: Tensor, windows: PoolingWindows) -> tuple[dict[str, Any], np.ndarray]:
    """Measure written pictures: likeness, and relative errors of the windows' mean light; and a map of the latter."""
    batch, wanted = torch.stack(pictures), target[None]
    seen = (windows.mass > 0).numpy()
    means = windows(wanted.mean(1, keepdim=True))[0, 0]
    errors = ((windows(batch.mean(1, keepdim=True))[:, 0] - means).abs() / means.clamp(min=1e-6)).numpy() * 100
    rows = {
        "ssim_linear": ssim(batch.double(), wanted.double().expand_as(batch), data_range=1.0).numpy(),
        "rms_linear": (batch - wanted).double().square().mean((1, 2, 3)).sqrt().numpy(),
        "window_light_error_median_pct": np.median(errors[:, seen], axis=1),
        "window_light_error_p95_pct": np.percentile(errors[:, seen], 95, axis=1),
    }
    average = torch.from_numpy(np.where(seen, errors.mean(0), 0).astype(np.float32))
    coverage = windows.coverage
    residual = windows.unpool(average[None, None])[0, 0] / coverage.clamp(min=1e-6)
    return rows, torch.where(coverage > 0.5, residual, torch.nan).numpy()
