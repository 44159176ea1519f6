"""Ninety-two objects in monkey IT, human IT and networks (Kriegeskorte et al. 2008), and which layer is which area."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import spearmanr

import neuroperc as npc
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import rdm, rdm_agreement, rdm_noise_ceiling, rdm_vector

SIZE_DEG = 2.9  # of the 92 pictures; the networks see them whole, whatever it is
PAPER_ONLY = ("random_best", "order", "log_evc", "log_it", "hierarchy")
NO_DATA = "simulated: NEUROPERC_DATA holds no dissimilarity matrices, so planted ones of 40 crops stand in"
PEOPLE = "human IT, each of four people"  # score: mean of a model's correlations with each
WHOLE = {"resize_px": None}  # the whole picture, nothing cropped
#: Trained networks beside EfficientNet-Lite0: file under the folder of weights, and what the weights take.
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MobileNetV2": (
        "mobilenet_v2", "mobilenet_v2/mobilenet_v2_1.0_224_quant.pt", WHOLE | {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
    "SqueezeNet": (
        "squeezenet1_1", "squeezenet/squeezenet1_1.pt",
        WHOLE | {"range": "0-255", "mean": (123.0, 117.0, 104.0), "std": (1.0,) * 3, "size_px": 227},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Layers of EfficientNet-Lite0, draws of random weights, and whether more areas and networks are compared.

    `n_v4_pictures` of a macaque V4 session are used for V4; 0 leaves areas other than IT out.
    """

    layers: tuple[str, ...]
    n_random: int
    n_v4_pictures: int
    n_resamples: int
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Compare brains with one another, networks with brains, and layers with areas."""
    torch.manual_seed(config.seed)
    root = Path(os.environ.get("NEUROPERC_DATA", "")) / "brainscore"
    real = (root / "kriegeskorte2008_92").is_dir()
    brains, pictures = _objects(root) if real else _planted(config.seed)
    models: dict[str, Any] = {"EfficientNet-Lite0": npc.nets.efficientnet_lite0(preprocess=WHOLE)}
    for i in range(config.n_random):
        models[f"EfficientNet-Lite0, random {i}"] = npc.nets.load(
            "tf_efficientnet_lite0", weights=None, preprocess=models["EfficientNet-Lite0"].preprocess, random_state=i
        )
    wide = bool(config.n_v4_pictures) and real
    models |= _others() if wide else {}
    people = brains["human_it_sessions"].mean("session")
    regions = {"monkey IT": (pictures, brains["monkey_it"]), "human IT": (pictures, brains["human_it"])}
    regions[PEOPLE] = (pictures, people)
    table = _table(models, regions, config, progress)
    values: dict[str, Any] = dict.fromkeys(PAPER_ONLY) | _brains(brains) | _networks(table, config)
    data: dict[str, Any] = {"profiles": _profiles(table, regions), "layers": list(config.layers)}
    data["ceiling"] = values["ceiling"]
    if wide:
        areas = _areas(root, config.n_v4_pictures)
        seen = _first_draws(models)
        more = _table(seen, areas, config, progress)
        kept = table[(table["region"] == "monkey IT") & table["model"].isin(list(seen))].assign(region="IT")
        all_areas = pd.concat([more, kept], ignore_index=True)
        slopes = npc.encoding.hierarchy_slope(all_areas)
        values |= _logs(root) | {"hierarchy": float(slopes.loc["EfficientNet-Lite0", "of_depth"])}
        data |= {"areas": all_areas.to_dict("list"), "slopes": slopes["of_depth"].to_dict()}
    text = (
        f"monkey and human IT r {values['pearson']:.4f}; best layer {values['best_layer']}: "
        f"r {values['monkey']:.3f} with monkey IT, {values['human']:.3f} with human IT"
    )
    judged = {key: value if real else None for key, value in values.items()}
    intervals = _intervals(table) if real else {}
    return Measured(judged, intervals=intervals, interval_of="95 % interval over stimuli", data=data,
                    deviations=[] if real else [NO_DATA], summary=text + " (simulated)" * (not real))  # fmt: skip


def _first_draws(models: dict[str, Any]) -> dict[str, Any]:
    """Leave out random weights but for their first draw."""
    return {name: model for name, model in models.items() if not re.search(r", random [1-9]\d*$", name)}


def _objects(root: Path) -> tuple[xr.Dataset, npc.StimulusSet]:
    screen = npc.Display.from_px_per_deg(175 / SIZE_DEG, resolution_px=(175, 175))
    folder = root / "kriegeskorte2008_92"
    pictures = npc.data.read_objects92_stimuli(folder, display=screen, size_deg=SIZE_DEG)
    return npc.data.read_objects92(folder), pictures


def _planted(seed: int) -> tuple[xr.Dataset, npc.StimulusSet]:
    """Return matrices of two brains that share a geometry with two categories, and crops of photographs."""
    rng, n, side = np.random.default_rng(seed), 40, 64
    screen = npc.Display.from_px_per_deg(20, resolution_px=(427, 640))
    photo = np.asarray(npc.data.sample_image("china", screen)[0])
    corners = rng.integers((427 - side, 640 - side), size=(n, 2))
    crops = np.stack([photo[:, t : t + side, s : s + side] for t, s in corners])
    pictures = npc.StimulusSet.from_arrays(crops, display=npc.Display.from_px_per_deg(20, resolution_px=(side, side)))
    animate = np.arange(n) % 2
    shared = rng.normal(size=(n, 50)) + 2 * np.outer(animate, rng.normal(size=50))
    made = rdm(shared + rng.normal(size=(6, n, 50)))
    square = ("stimulus", "other")
    return xr.Dataset(
        {"monkey_it": (square, made[0]), "human_it": (square, made[1]),
         "human_it_sessions": (("subject", "session", *square), made[2:, None]),
         "category": (("stimulus", "kind"), animate[:, None])},
        {"stimulus_id": ("stimulus", list(pictures.ids)), "kind": ["animate"]},
    ), pictures  # fmt: skip


def _others() -> dict[str, Any]:
    folder = Path(os.environ["NEUROPERC_DATA"]) / "weights"
    return {
        name: npc.nets.load(net, weights=folder / file, preprocess=settings)
        for name, (net, file, settings) in OTHERS.items()
        if (folder / file).is_file()
    }


def _table(models: dict[str, Any], regions: dict[str, Any], config: Config, progress: bool) -> pd.DataFrame:
    for model in models.values():
        model.net.to(memory_format=torch.channels_last)  # the same numbers to rounding, faster
    layers = {name: config.layers for name in models if name.startswith("EfficientNet")}
    return npc.encoding.score_models(models, regions, layers=layers, shown={"dtype": "float16"},
                                     n_resamples=config.n_resamples, rng=config.seed, progress=progress)  # fmt: skip


def _brains(brains: xr.Dataset) -> dict[str, Any]:
    """Return how brains agree, what is reliable, and how animate and inanimate objects part."""
    monkey, human = brains["monkey_it"].values, brains["human_it"].values
    people = brains["human_it_sessions"].mean("session").values
    animate = brains["category"].sel(kind="animate").values.astype(bool)
    across = rdm_vector((animate[:, None] != animate).astype(float)) > 0
    found: dict[str, Any] = {
        "pearson": float(rdm_agreement(monkey, human, method="pearson")),
        "spearman": float(rdm_agreement(monkey, human)), "ceiling": list(rdm_noise_ceiling(people)),
    }  # fmt: skip
    for name, matrix in (("animacy_monkey", monkey), ("animacy_human", human)):
        vector = rdm_vector(matrix)
        found[name] = {"within": float(vector[~across].mean()), "across": float(vector[across].mean())}
    return found


def _networks(table: pd.DataFrame, config: Config) -> dict[str, Any]:
    """Return what the claims about layers ask for."""
    trained = table[table["model"] == "EfficientNet-Lite0"].set_index(["region", "layer"])["score"]
    monkey, human = trained["monkey IT"], trained["human IT"]
    found: dict[str, Any] = {
        "monkey": float(monkey.max()), "human": float(human.max()), "best_layer": str(monkey.idxmax()),
        "peak": {"first": float(monkey[config.layers[0]]), "last": float(monkey[config.layers[-1]]),
                 "blocks.5": float(monkey["blocks.5"])},
    }  # fmt: skip
    random = table[(table["weights"] == "random") & table["best"] & (table["region"] == "monkey IT")]["score"]
    if len(random):
        found |= {"random_best": float(random.mean()), "random_draws": random.tolist()}
        found["order"] = {"random": float(random.max()), "trained": found["monkey"]}
    return found


def _intervals(table: pd.DataFrame) -> dict[str, Any]:
    best = table[table["best"] & (table["model"] == "EfficientNet-Lite0")].set_index("region")
    rows = {"monkey": best.loc["monkey IT"], "human": best.loc["human IT"]}
    return {name: (float(row["low"]), float(row["high"])) for name, row in rows.items()}


def _profiles(table: pd.DataFrame, regions: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name in ("EfficientNet-Lite0", "EfficientNet-Lite0, random 0"):
        for region in regions:
            rows = table[(table["model"] == name) & (table["region"] == region)]
            if len(rows):
                found[f"{name} | {region}"] = rows[["score", "low", "high"]].to_numpy().tolist()
    return found


def _areas(root: Path, n_v4: int) -> dict[str, Any]:
    """Return human early visual cortex (78 photographs) and macaque V4, both as dissimilarity matrices."""
    folder = root / "algonauts_78"
    screen = npc.Display.from_px_per_deg(14, resolution_px=(112, 112))
    photographs = npc.data.read_photographs78(folder)
    shown = npc.StimulusSet.from_folder(folder / "stimuli", display=screen, size_deg=8, fit="resize")
    evc = photographs["evc"].mean("subject")
    v4 = npc.data.average_repeats(npc.data.read_cowley_v4(root / "cowley2023_v4", "210325"))
    chosen = np.linspace(0, v4.sizes["presentation"] - 1, n_v4).astype(int)
    v4 = v4.isel(presentation=chosen)
    ids = v4["stimulus_id"].values.tolist()
    pictures = npc.data.read_cowley_stimuli(root / "cowley2023_v4", "210325", display=screen, size_deg=8)[ids]
    z = (v4.values - v4.values.mean(axis=0)) / v4.values.std(axis=0)
    matrix = xr.DataArray(rdm(z), dims=("stimulus", "other"), coords={"stimulus_id": ("stimulus", ids)})
    return {"EVC": (shown, evc.assign_coords(stimulus_id=photographs["stimulus_id"])), "V4": (pictures, matrix)}


def _logs(root: Path) -> dict[str, Any]:
    """Return the ceilings of the file beside the data: mean squared Spearman correlation with the mean matrix."""
    photographs = npc.data.read_photographs78(root / "algonauts_78")
    found = {}
    for name in ("evc", "it"):
        vectors = rdm_vector(photographs[name].values)
        n, total = len(vectors), vectors.sum(axis=0)
        lower = [spearmanr((total - one) / (n - 1), one).statistic ** 2 for one in vectors]
        upper = [spearmanr(total / n, one).statistic ** 2 for one in vectors]
        found[f"log_{name}"] = [float(np.mean(lower)), float(np.mean(upper))]
    return found


def plot(result: Result) -> Figure:
    """Draw layer profiles against both species, and which layer stands for which area."""
    layers, first = result.data["layers"], "EfficientNet-Lite0"
    with npplot.style():
        canvas = npplot.figure(1, 3 if "areas" in result.data else 1, width_in=4.6, height_in=4.2)
        ax = canvas.axes[0]
        band: dict[str, Any] = {
            "ceiling": result.data["ceiling"],
            "ceiling_of": "bounds of any model, each of four people",
        }
        for name, rows in result.data["profiles"].items():
            if name.endswith("human IT"):
                continue  # correlations with the mean matrix: the band is not theirs
            values, label = np.asarray(rows, dtype=float), name.removeprefix(first).replace(" |", "").strip(" ,")
            of = "95 % over stimuli and people" if name.endswith(PEOPLE) else "95 % over stimuli"
            npplot.layer_profile(layers, values[:, 0], interval=values[:, 1:], interval_of=of,
                                 quantity="Spearman r of dissimilarities", label=label, ax=ax, **band)  # fmt: skip
            band = {}
        if result.values.get("pearson") is not None:
            ax.axhline(result.values["spearman"], color="black", linestyle=":", linewidth=0.8)
            ax.annotate("monkey IT and human IT", (0, result.values["spearman"]), xytext=(0, 2),
                        textcoords="offset points", fontsize=7)  # fmt: skip
        ax.set_xlabel(f"layer of {first}")
        if "areas" in result.data:
            table = pd.DataFrame(result.data["areas"])
            npplot.model_regions(table, ax=canvas.axes[1])
            npplot.hierarchy(table, pd.DataFrame({"of_depth": result.data["slopes"]}).astype(float), ax=canvas.axes[2])
    return canvas
