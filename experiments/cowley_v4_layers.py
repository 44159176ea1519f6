"""Macaque V4 (Cowley et al. 2023) from the layers of EfficientNet-Lite0: the best one lies in the middle."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

import neuroperc as npc
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result

FOLDER = Path("brainscore") / "cowley2023_v4"
DISPLAY = npc.Display.from_px_per_deg(14, resolution_px=(112, 112))  # 8 degrees: nominal, the source does not say
PAPER_ONLY = (
    "ridge_r", "r2_over_c", "pls_r", "pixels_pls_r", "order", "random_r", "second_order", "second_r", "second_random",
    "second_peak", "second_best", "second_pls_r", "second_pls_random", "second_pls_best",
)  # fmt: skip
NO_DATA = (
    "simulated: the folder NEUROPERC_DATA holds no V4 session, so 40 planted neurons answer 96 crops of photographs"
)


@dataclass(frozen=True)
class Config:
    """Sessions (the first one with repeats), layers from first to last, and what is compared."""

    session: str
    second_session: str | None
    layers: tuple[str, ...]
    pls: bool
    random_weights: bool
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Score pixels and the layers of the trained network, and of the random one, on one session or two."""
    torch.manual_seed(config.seed)
    v4, pictures, deviations = _session(config)
    trained = npc.nets.efficientnet_lite0()
    features = {"pixels": _pixels(pictures)} | _record(trained, pictures, config.layers, progress)
    ridge = _score(features, v4, "ridge", config.seed, progress)
    values: dict[str, Any] = dict.fromkeys(PAPER_ONLY) | _summary(ridge, config.layers)
    data = {"ridge": _profile(ridge), "ceiling": values["ceiling"]}
    if config.pls:
        values |= _cells(ridge, config.layers)
        pls = _medians(_score(features, v4, "pls", config.seed, progress))
        values |= {"pls_r": [pls[name] for name in config.layers], "pixels_pls_r": pls["pixels"]}
        data["pls"] = list(pls.values())
    if config.random_weights:
        random = npc.nets.load("tf_efficientnet_lite0", weights=None, preprocess=trained.preprocess)
        of_random = _score(_record(random, pictures, config.layers, progress), v4, "ridge", config.seed, progress)
        data["random"] = _profile(of_random)
        values["random_r"] = list(_medians(of_random).values())
        values["order"] = {"pixels": values["pixels_r"], "random": max(values["random_r"]), "trained": values["best_r"]}
        if config.second_session and not deviations:
            values |= _second(config, trained, random, progress)
    best, r, c = values["best_layer"], values["best_r"], values["ceiling"]
    simulated = bool(deviations)
    judged = {key: None if simulated else value for key, value in values.items()}
    text = f"{best}: ridge r {r:.3f}, ceiling {c:.3f}, r²/c {values['best_r2_over_c']:.3f}"
    return Measured(judged, data=data, deviations=deviations, summary=text + " (simulated)" * simulated)


def _session(config: Config) -> tuple[xr.DataArray, npc.StimulusSet, list[str]]:
    folder = Path(os.environ.get("NEUROPERC_DATA", "")) / FOLDER
    if folder.is_dir():
        pictures = npc.data.read_cowley_stimuli(folder, config.session, display=DISPLAY, size_deg=8)
        return npc.data.read_cowley_v4(folder, config.session), pictures, []
    pictures = _crops(96, config.seed)
    return _planted(pictures, config.seed), pictures, [NO_DATA]


def _crops(n: int, seed: int) -> npc.StimulusSet:
    rng = np.random.default_rng(seed)
    screen = npc.Display.from_px_per_deg(20, resolution_px=(427, 640))
    photographs = [np.asarray(npc.data.sample_image(name, screen)[0]) for name in ("china", "flower")]
    top, left = rng.integers(427 - 112, size=n), rng.integers(640 - 112, size=n)
    crops = [photographs[i % 2][:, t : t + 112, s : s + 112] for i, (t, s) in enumerate(zip(top, left, strict=True))]
    return npc.StimulusSet.from_arrays(np.stack(crops), display=DISPLAY)


def _planted(pictures: npc.StimulusSet, seed: int) -> xr.DataArray:
    """Six noisy trials of neurons that read the principal axes of a middle layer."""
    rng = np.random.default_rng(seed)
    layer = _record(npc.nets.efficientnet_lite0(), pictures, ("blocks.3",), False)["blocks.3"]
    axes = npc.regression.rotate(layer.values).left[:, :10]
    truth = axes @ rng.normal(size=(10, 40))
    trials = truth / truth.std(axis=0) + 1.5 * rng.normal(size=(6, *truth.shape))
    return npc.data.make_responses(trials.reshape(-1, 40), stimulus_id=pictures.ids * 6, source="planted")


def _pixels(pictures: npc.StimulusSet) -> xr.DataArray:
    """28 x 28 code values in colour."""
    codes = npc.color.linear_to_srgb(torch.stack([pictures[i] for i in range(len(pictures))]))
    small = torch.nn.functional.interpolate(codes, size=(28, 28), mode="area")
    return npc.data.make_responses(small.reshape(len(small), -1).numpy(), stimulus_id=pictures.ids, layer="pixels")


def _record(net: Any, pictures: npc.StimulusSet, layers: tuple[str, ...], progress: bool) -> dict[str, xr.DataArray]:
    net.net.to(memory_format=torch.channels_last)  # the same numbers to rounding, in two thirds of the time
    found = npc.record(net, pictures, list(layers), dtype="float16", progress=progress)
    return {name: found.isel(neuroid=found["layer"].values == name) for name in layers}


def _score(features: Any, v4: xr.DataArray, estimator: Any, seed: int, progress: bool) -> xr.Dataset:
    single = len(np.unique(v4["stimulus_id"])) == v4.sizes["presentation"]
    rule = "r" if single else "brainscore-2026"
    return npc.encoding.benchmark(features, v4, estimator=estimator, rule=rule, rng=seed, progress=progress)


def _medians(scores: xr.Dataset) -> dict[str, float]:
    """Median r over neurons, mean over splits, a layer."""
    r = np.nanmedian(scores["raw"].values, axis=2).mean(axis=1)
    return dict(zip(scores["layer"].values.tolist(), r.tolist(), strict=True))


def _summary(scores: xr.Dataset, layers: tuple[str, ...]) -> dict[str, Any]:
    r = _medians(scores)
    inside = {name: r[name] for name in layers}
    best = max(inside, key=lambda name: inside[name])
    fractions = _fractions(scores)
    middle = max(inside[name] for name in layers[1:-1])
    return {
        "best_layer": best, "best_r": r[best], "best_r2_over_c": fractions[best],
        "ceiling": float(np.nanmedian(scores["ceiling"].values, axis=1).mean()),
        "pixels_r": r["pixels"], "pixels_r2_over_c": fractions["pixels"],
        "peak": {"first": r[layers[0]], "last": r[layers[-1]], "middle": middle},
        "peak_first": {"first": r[layers[0]], "middle": middle},
        "n_reliable": int((scores["reliability"] > 0.3).sum()),
    }  # fmt: skip


def _fractions(scores: xr.Dataset) -> dict[str, float]:
    return dict(zip(scores["layer"].values.tolist(), scores["aggregate"].values.tolist(), strict=True))


def _cells(scores: xr.Dataset, layers: tuple[str, ...]) -> dict[str, Any]:
    """Return r and its share of what is reliable, a number a layer."""
    r, fractions = _medians(scores), _fractions(scores)
    return {"ridge_r": [r[name] for name in layers], "r2_over_c": [fractions[name] for name in layers]}


def _second(config: Config, trained: Any, random: Any, progress: bool) -> dict[str, Any]:
    """Return the other animal's best r; its single trials are not in the data set, so r stays undivided."""
    folder = Path(os.environ["NEUROPERC_DATA"]) / FOLDER
    name = str(config.second_session)
    pictures = npc.data.read_cowley_stimuli(folder, name, display=DISPLAY, size_deg=8)
    v4 = npc.data.read_cowley_v4(folder, name)
    features = {"pixels": _pixels(pictures)} | _record(trained, pictures, config.layers, progress)
    of_random = _record(random, pictures, config.layers, progress)
    found: dict[str, Any] = {}
    for estimator, key in (("ridge", "second"), ("pls", "second_pls"))[: 1 + config.pls]:
        r = _medians(_score(features, v4, estimator, config.seed, progress))
        chance = max(_medians(_score(of_random, v4, estimator, config.seed, progress)).values())
        found |= _ordered(r, config.layers, key) | {f"{key}_random": chance}
        if estimator == "ridge":
            trained_r = found["second_r"][1]
            found["second_order"] = {"pixels": r["pixels"], "random": chance, "trained": trained_r}
    return found


def _ordered(r: dict[str, float], layers: tuple[str, ...], key: str) -> dict[str, Any]:
    """Return r of pixels and of the best layer, and which layers are above which."""
    inside = [r[name] for name in layers]
    others = max(r[name] for name in layers if name != "blocks.3")
    return {
        f"{key}_r": [r["pixels"], max(inside)], f"{key}_layers": inside,
        f"{key}_peak": {"first": inside[0], "last": inside[-1], "middle": max(inside[1:-1])},
        f"{key}_best": {"others": others, "blocks.3": r["blocks.3"]},
    }  # fmt: skip


def _profile(scores: xr.Dataset) -> dict[str, Any]:
    found = {
        "layers": scores["layer"].values.tolist(),
        "score": scores["pooled"].values,
        "r": list(_medians(scores).values()),
    }
    return found | {"interval": scores["interval"].values, "interval_of": scores["interval"].attrs["of"]}


def plot(result: Result) -> Figure:
    """Draw the explained share of the explainable variance, layer by layer."""
    with npplot.style():
        canvas = npplot.figure(1, 1, width_in=5.2, height_in=3.6)
        ax = canvas.axes[0]
        order = result.data["ridge"]["layers"]
        for name, label in (("ridge", "trained"), ("random", "random weights")):
            if name in result.data:
                score, interval = _in_order(order, result.data[name])
                npplot.layer_profile(
                    order, score, interval=interval, interval_of="95 % interval over stimuli and neurons",
                    quantity="median r² / reliability", label=label, ax=ax,
                )  # fmt: skip
        ax.axhline(1, color="black", linestyle=":", linewidth=0.8)
        ax.annotate("all that is reliable", (0, 1), xytext=(0, -2), textcoords="offset points", va="top", fontsize=8)
        ax.set(ylim=(0, 1.05), xlabel="layer of EfficientNet-Lite0")
    return canvas


def _in_order(order: list[str], shown: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n,) and intervals (n, 2), NaN where a profile lacks a layer."""
    score, interval = np.full(len(order), np.nan), np.full((len(order), 2), np.nan)
    at = [order.index(layer) for layer in shown["layers"]]
    score[at], interval[at] = np.asarray(shown["score"], float), np.asarray(shown["interval"], float)
    return score, interval
