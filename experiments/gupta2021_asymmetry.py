"""Gupta et al. 2021: eccNET searches the displays of six search asymmetries, beside people and ablated models.

Every finished display is kept under ``experiments/.progress``: a run that was cut off goes on with the next one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from neuroperc import nets, stimuli
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.search import (
    ChancePriority,
    EccNet,
    PixelPriority,
    TemplatePriority,
    asymmetry_index,
    asymmetry_table,
    human_reaction_times,
    reaction_times,
    read_vsa_predictions,
    search_slopes,
    simulate,
)

WEIGHTS = "weights/vgg16_imagenet_convs_rgb_fp16.pt"
#: Each experiment's tasks, the one that people find harder first, and the kernels that sharpen its maps.
EXPERIMENTS = {
    "curvature": (("line_among_curves", "curve_among_lines"), "curvature"),
    "lighting": (("horizontal_shading", "vertical_shading"), "lighting"),
    "cross": (("cross_among_non_crosses", "non_cross_among_crosses"), "intersection"),
    "l_vs_t": (("l_among_ts", "t_among_ls"), "intersection"),
    "orientation_homogeneous": (("vertical_among_tilted", "tilted_among_vertical"), "orientation"),
    "orientation_heterogeneous": (("tilted_among_mixed", "vertical_among_mixed"), "orientation"),
}
MODELS = ("eccnet", "ivsn", "top_layer", "no_eccentricity", "pixels", "chance")
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Config:
    """Which experiments and models, displays for each set size (0: the paper's 30 or 36), and the seed of displays."""

    experiments: tuple[str, ...]
    models: tuple[str, ...]
    n_displays: int
    seed: int
    keep: bool


def run(config: Config, progress: bool = False) -> Measured:
    """Let every model search the same displays."""
    torch.set_num_threads(1)
    backbone, trained = _backbone()
    tables = []
    for name in config.models:
        for experiment in config.experiments:
            conditions, sharpening = EXPERIMENTS[experiment]
            model = _model(name, backbone, sharpening)
            for condition in conditions:
                searched = simulate(
                    model, _displays(config, condition), rng=config.seed, progress=progress,
                    checkpoint=_checkpoint(config, name, condition),
                )  # fmt: skip
                tables.append(reaction_times(*searched, not_found="set_size").assign(model=name))
    rt = pd.concat(tables, ignore_index=True)
    whole = trained and set(config.experiments) == set(EXPERIMENTS)
    values, intervals = _claims(rt, config, whole)
    deviations = [] if trained else ["random weights: NEUROPERC_DATA is unset, so nothing is claimed"]
    means = rt.groupby(["model", "condition", "set_size"])["rt_s"].mean().reset_index()
    data = {"means": means.to_dict("list"), "human": human_reaction_times().to_dict("list"), "paper": _published()}
    return Measured(values, intervals, "95 % interval over displays within set size", data, deviations)


def _published() -> dict[str, list[Any]] | None:
    """Return the mean reaction times of the authors' own eccNET, from their stored predictions, when they are there."""
    folder = Path(os.environ.get("NEUROPERC_DATA") or "") / "search" / "vsa"
    if not folder.is_dir():
        return None
    table = read_vsa_predictions(folder)
    table = table[table["model"] == "eccNET"]
    n = table["n_fixations"].where(table["found"], table["set_size"])
    means = table.assign(rt_s=0.376271 + 0.252359 * n).groupby(["condition", "set_size"])["rt_s"].mean()
    return means.reset_index().to_dict("list")


def _backbone() -> tuple[nets.Net, bool]:
    folder = os.environ.get("NEUROPERC_DATA")
    trained = folder is not None and (Path(folder) / WEIGHTS).is_file()
    return nets.load("vgg16", weights=Path(folder) / WEIGHTS if trained and folder else None), trained


def _model(name: str, backbone: nets.Net, sharpening: str) -> Any:
    if name == "eccnet":
        return EccNet(backbone, sharpening=sharpening)
    if name == "top_layer":
        return EccNet(backbone, sharpening=sharpening, layers=(5,))
    if name in ("ivsn", "no_eccentricity"):
        layers = (5,) if name == "ivsn" else (3, 4, 5)
        return TemplatePriority(backbone, sharpening=sharpening, layers=layers)
    return PixelPriority() if name == "pixels" else ChancePriority()


def _displays(config: Config, condition: str) -> Any:
    names = [name for pair, _ in EXPERIMENTS.values() for name in pair]
    rng = np.random.default_rng([config.seed, names.index(condition)])
    return stimuli.search_displays(None, condition, n=config.n_displays or None, rng=rng)


def _checkpoint(config: Config, model: str, condition: str) -> Path | None:
    if not config.keep:
        return None
    folder = Path(__file__).parent / ".progress" / f"gupta2021_asymmetry-{config.n_displays}-{config.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{model}-{condition}.json"


def _claims(rt: pd.DataFrame, config: Config, whole: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return eccNET's indices and the models' means; None where a profile has too little for them."""
    table = asymmetry_table(rt, n_resamples=N_RESAMPLES)
    slopes = search_slopes(rt, by=["model", "condition"], n_resamples=N_RESAMPLES)
    values: dict[str, Any] = {"slopes_ms": slopes.to_dict("list"), "indices": table.to_dict("list")}
    human = asymmetry_table(human_reaction_times(), n_resamples=2).set_index("experiment")["asymmetry_index"]
    values["human_indices"] = human[list(EXPERIMENTS)].tolist()
    intervals: dict[str, Any] = {}
    own = table[table["model"] == "eccnet"].set_index("experiment")
    means = dict(_means(rt, config.seed)) if whole else {}
    whole = whole and "eccnet" in means
    for experiment in EXPERIMENTS:
        values[f"eccnet_{experiment}"] = float(own.loc[experiment, "asymmetry_index"]) if whole else None
        if whole:
            intervals[f"eccnet_{experiment}"] = own.loc[experiment, ["low", "high"]].tolist()
    for model in MODELS:
        values[f"mean_{model}"] = means[model][0] if model in means else None
        if model in means:
            intervals[f"mean_{model}"] = means[model][1:]
    values["order"] = {name: means[name][0] for name in MODELS} if set(MODELS) <= set(means) else None
    other = [e for e in EXPERIMENTS if e != "orientation_homogeneous"]
    values["human_polarity"] = own.loc[other, "asymmetry_index"].tolist() if whole else None
    values["wrong_polarity"] = values["eccnet_orientation_homogeneous"]
    return values, intervals


def _means(rt: pd.DataFrame, seed: int) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield each model's mean of six indices and its interval; models are resampled alike."""
    for model, part in rt.groupby("model", sort=False):
        rng, drawn = np.random.default_rng(seed), []
        for (hard, easy), _ in EXPERIMENTS.values():
            pair = [_drawn_slopes(part[part["condition"] == name], rng) for name in (hard, easy)]
            drawn.append(asymmetry_index(*pair))
        mean = np.mean(drawn, axis=0)
        yield str(model), (float(mean[0]), *np.quantile(mean[1:], (0.025, 0.975)).tolist())


def _drawn_slopes(rt: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return the slope of a task (first) and those of displays drawn anew within each set size."""
    means, sizes = [], []
    for size, part in rt.groupby("set_size"):
        x = part["rt_s"].to_numpy()
        drawn = x[rng.integers(len(x), size=(N_RESAMPLES, len(x)))].mean(1)
        means.append(np.concatenate([[x.mean()], drawn]))
        sizes.append(float(size))
    centered = np.array(sizes) - np.mean(sizes)
    slope = centered @ (np.array(means) - np.mean(means, axis=0)) / (centered @ centered)
    return np.where(np.abs(slope) < 1e-12, 0.0, slope)


def plot(result: Result) -> Figure:
    """Draw reaction time on set size for eccNET and people, the six indices, and every model's mean index."""
    with npplot.style():
        canvas = npplot.figure(2, 4, width_in=2.9, height_in=2.7)
        means, human = pd.DataFrame(result.data["means"]), pd.DataFrame(result.data["human"])
        own = means[means["model"] == "eccnet"]
        for ax, (experiment, (pair, _)) in zip(canvas.axes, EXPERIMENTS.items(), strict=False):
            _draw_times(ax, experiment, pair, own, human, result.data["paper"])
        _draw_indices(canvas.axes[6], result)
        _draw_models(canvas.axes[7], result)
        each = result.config["n_displays"] or "30 or 36"
        canvas.suptitle(
            f"eccNET here: dots and lines (mean of {each} displays a set size); eccNET in the paper: crosses; "
            "people: dashed; bars: 95 % intervals over displays within set size", fontsize=9,
        )  # fmt: skip
    return canvas


def _draw_times(
    ax: Any, experiment: str, pair: tuple[str, str], own: pd.DataFrame, human: pd.DataFrame, paper: Any
) -> None:
    colors = (npplot.COLORS["vermilion"], npplot.COLORS["blue"])
    drawn = [(human, {"ls": "--", "lw": 1}), (own, {"marker": "o", "ms": 4})]
    if paper is not None:
        drawn.append((pd.DataFrame(paper), {"marker": "x", "ms": 5, "lw": 0}))
    for condition, color in zip(pair, colors, strict=True):
        for table, look in drawn:
            part = table[table["condition"] == condition].sort_values("set_size")
            label = _spaced(condition) if table is own else None
            ax.plot(part["set_size"], 1000 * part["rt_s"], color=color, label=label, **look)
    ax.set(title=_spaced(experiment), xlabel="set size (items)", ylabel="reaction time (ms)")
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    ax.legend(loc="upper left")


def _spaced(name: str) -> str:
    """Return a name with spaces, and the letters T and L as letters."""
    letters = {"l": "L", "t": "T", "ls": "Ls", "ts": "Ts"}
    return " ".join(letters.get(word, word) for word in name.split("_"))


def _draw_indices(ax: Any, result: Result) -> None:
    table = pd.DataFrame(result.values["indices"])
    table = table[table["model"] == "eccnet"].set_index("experiment")
    y = np.arange(len(EXPERIMENTS))
    published = {claim.key: claim.published for claim in result.claims}
    ax.plot([published[f"eccnet_{e}"] for e in EXPERIMENTS], y - 0.2, "x", color=npplot.COLORS["grey"], label="paper")
    ax.plot(result.values["human_indices"], y + 0.2, "D", ms=4, color="black", label="people")
    here = [e for e in EXPERIMENTS if e in table.index]
    at, value = [list(EXPERIMENTS).index(e) for e in here], table.loc[here, "asymmetry_index"].to_numpy(float)
    ends = np.abs(table.loc[here, ["low", "high"]].to_numpy(float).T - value)
    ax.errorbar(value, at, xerr=ends, fmt="o", color=npplot.COLORS["vermilion"], label="eccNET here")
    ax.axvline(0, color="black", lw=0.5)
    ax.set_yticks(y, [_spaced(e).replace("orientation ", "orientation\n") for e in EXPERIMENTS], fontsize=7)
    ax.set(title="asymmetry index (0: none)", xlim=(-1.15, 1.15), ylim=(len(y) - 0.4, -0.6))
    ax.legend(loc="upper center", bbox_to_anchor=(0.35, -0.1), ncol=3, columnspacing=0.8, handletextpad=0.2)


def _draw_models(ax: Any, result: Result) -> None:
    claims = {claim.key: claim for claim in result.claims}
    for k, model in enumerate(MODELS):
        claim = claims[f"mean_{model}"]
        ax.plot(claim.published, k - 0.2, "x", color=npplot.COLORS["grey"], label="paper" if k == 0 else None)
        if claim.ours is not None:
            ends = np.abs(np.array(claim.interval)[:, None] - claim.ours)
            label = "here" if k == 0 else None
            ax.errorbar([claim.ours], [k], xerr=ends, fmt="o", color=npplot.COLORS["vermilion"], label=label)
    ax.axvline(0, color="black", lw=0.5)
    ax.set_yticks(
        range(len(MODELS)), [m.replace("_", " ").replace("eccnet", "eccNET").replace("ivsn", "IVSN") for m in MODELS]
    )
    ax.set(title="mean asymmetry index", xlim=(-1.05, 1.05), ylim=(len(MODELS) - 0.4, -0.6))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncol=2)
