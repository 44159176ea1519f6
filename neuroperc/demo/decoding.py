"""Stage 9: pictures read from a person's primary visual cortex, or from a simulated one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..data import read_miyawaki_v1, read_miyawaki_v1_stimuli
from ..decoding import Reconstruction, reconstruct
from ..display import Display
from ..plot import figure, identification_curve, picture_rows, png, style
from .page import Number, Stage
from .scene import Scene

_FILE = Path("fmri", "miyawaki2008_structured", "miyawaki_structured_28x28_sessions.mat")
_SHOWN = 12


def stage(scene: Scene) -> Stage:
    """Reconstruct what was shown, whatever is judged held out, and pick it among others."""
    found, made_of, held_out, encoding = _real(scene) or _simulated(scene)
    summary = found.summary(n_resamples=200, rng=scene.seed)
    read, guess, predicted = (summary.loc[name] for name in ("reconstruction", "mean image", "encoding model"))
    most = int(found.of("reconstruction")["n_candidates"].min())
    numbers = (
        Number("pixel correlation", _with_interval(read, "pixcorr"), "r",
               f"mean training picture: {guess['pixcorr']:.2f}"),
        Number(f"identified among {most}", _with_interval(read, "n_way"), "", f"chance {found.chance():.2g}"),
        Number("identified of two", _with_interval(read, "two_way"), "", "chance 0.5"),
        Number(f"encoding model, identified among {most}", _with_interval(predicted, "n_way"), "",
               "by predicted voxels instead of pixels"),
    )  # fmt: skip
    return Stage(
        "Reading pictures from a brain",
        made_of,
        f"Ridge regression from voxels to pixels, {held_out}. A picture that was merely remembered from training would "
        "look as good, so what counts is whether the picture that was read is more like the one shown than like others "
        "of its kind; brackets are 95 % intervals over pictures. " + encoding,
        _draw(found, most),
        "Pictures shown and pictures read from voxels, and how often the shown one is identified",
        numbers,
    )


def _with_interval(row: Any, name: str) -> str:
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _real(scene: Scene) -> tuple[Reconstruction, str, str, str] | None:
    folder = os.environ.get("NEUROPERC_DATA")
    if not folder or not Path(folder, _FILE).is_file():
        return None
    path = Path(folder, _FILE)
    v1 = read_miyawaki_v1(path)
    shown = read_miyawaki_v1_stimuli(path, display=Display.from_px_per_deg(4, resolution_px=(64, 64)), size_deg=7)
    found = reconstruct(v1, shown, groups="condition", conditions="condition", progress=scene.progress)
    return (
        found, f"a person's V1, {v1.shape[1]} voxels, {len(v1)} trials (Miyawaki and others 2008, subject 1)",
        "fitted to three sets of shapes or letters and judged on the fourth, of which it has seen none",
        "With trials held out instead of pictures, the same method would claim a pixel correlation of 0.96.",
    )  # fmt: skip


def _simulated(scene: Scene) -> tuple[Reconstruction, str, str, str]:
    """Voxels with Gaussian receptive fields on random figures of 10 x 10 patches, four noisy trials of each."""
    rng = np.random.default_rng(scene.seed)
    figures = (rng.random((40, 5, 5)) < 0.5).astype(float).repeat(2, axis=1).repeat(2, axis=2)
    y, x = np.mgrid[:10, :10]
    at, size = rng.uniform(0, 9, (2, 300, 1, 1)), rng.uniform(0.7, 1.5, (300, 1, 1))
    fields = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * size**2)).reshape(300, 100)
    signal = figures.reshape(40, 100) @ fields.T
    order = np.tile(np.arange(40), 4)
    voxels = (signal / signal.std())[order] + 1.5 * rng.normal(size=(160, 300))
    found = reconstruct(voxels, figures[order], stimuli=order, n_folds=10, progress=scene.progress)
    return (
        found, "SIMULATED brain: 300 made voxels with Gaussian receptive fields, 40 made figures, four noisy trials",
        "every figure judged while all its trials were held out",
        "Set NEUROPERC_DATA to see a real person's V1 here.",
    )  # fmt: skip


def _draw(found: Reconstruction, most: int) -> bytes:
    names = found.of("reconstruction")["stimulus"].to_numpy()
    known, first = np.unique(names, return_index=True)
    some = np.linspace(0, len(known) - 1, min(_SHOWN, len(known))).astype(int)
    side = found.images.shape[-1]
    read = np.stack([found.predictions[names == known[i]].mean(axis=0).reshape(side, side) for i in some])
    rows = {"shown": found.images[first[some]].reshape(-1, side, side), "read": read.clip(0, 1)}
    counts = np.arange(2, most + 1) if most < 12 else np.unique(np.linspace(2, most, 12).astype(int))
    with style():
        canvas = figure(1, 1, width_in=10.0, height_in=2.6)
        canvas.clear()
        parts = canvas.subplot_mosaic([["pictures", "curve"]], width_ratios=[2.4, 1.0])
        picture_rows(rows, title="mean over trials", ax=parts["pictures"])
        for source in ("reconstruction", "encoding model"):
            share = [float(found.identification(int(n), source=source).mean()) for n in counts]
            identification_curve(counts, share, label=source, ax=parts["curve"])
    return png(canvas)
