"""eccNET, its ablations and people search the same photographs of Interiors: share found and saccade sizes.

Every finished photograph is kept under ``experiments/.progress``: a run that was cut off goes on with the next one.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn.functional import interpolate

from neuroperc import data, nets
from neuroperc import plot as npplot
from neuroperc._check import fail
from neuroperc.data import StimulusSet
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import mean_interval
from neuroperc.search import ChancePriority, EccNet, TemplatePriority, picture_search, simulate

WEIGHTS = "weights/vgg16_imagenet_convs_rgb_fp16.pt"
KEY = ["subject", "session", "trial"]
ALLOWED = 12
MODELS = ("eccnet", "ivsn", "chance")
MODEL_PX_PER_DEG = 30.0
BINS_DEG = np.arange(0, 31, 1.0)


@dataclass(frozen=True)
class Config:
    """Photographs (spread over those that lie here), pixels per degree taken for them, models, resamples, and seed."""

    n_pictures: int
    px_per_deg: float
    models: tuple[str, ...]
    n_resamples: int
    seed: int
    keep: bool


def run(config: Config, progress: bool = False) -> Measured:
    """Let every model search the photographs that people searched, twelve saccades long."""
    torch.set_num_threads(1)
    folder = os.environ.get("NEUROPERC_DATA")
    if not folder:
        fail("NEUROPERC_DATA", "the folder with search/interiors and weights", folder, "Set it before the run.")
    root = Path(folder, "search", "interiors")
    screen = Display.from_px_per_deg(config.px_per_deg, resolution_px=(1024, 1280))
    fixations, trials = data.read_interiors(root / "info_all_subj.mat", display=screen)
    trials = _shown(trials, root / "images", config.n_pictures)
    fixations = fixations.merge(trials[KEY], on=KEY).reset_index(drop=True)
    tables = {"people": (fixations, trials, screen)}
    backbone = nets.load("vgg16", weights=Path(folder, WEIGHTS)) if set(config.models) - {"chance"} else None
    for name in config.models:
        tables[name] = _search(_model(name, backbone), trials, root / "images", config, name, progress)
    found = {who: _found_curves(f, t) for who, (f, t, _) in tables.items()}
    sizes = {who: _sizes(f, t, display) for who, (f, t, display) in tables.items()}
    medians = {who: float(s["amplitude_deg"].median()) for who, s in sizes.items()}
    whole = set(MODELS) <= set(config.models)
    away = {who: abs(medians[who] - medians["people"]) for who in config.models}
    values = {
        "found_by_twelve": {who: float(curve[:, -1].mean()) for who, curve in found.items()} if whole else None,
        "eccentricity_makes_saccades_human": {k: away[k] for k in ("eccnet", "ivsn")} if whole else None,
        "found_above_chance": {k: float(found[k][:, -1].mean()) for k in ("chance", "eccnet")} if whole else None,
        "median_saccade_deg": medians,
        "n": {who: [len(t), len(sizes[who])] for who, (_, t, _) in tables.items()},
    }
    shown = {
        "curves": {who: _interval(curve, config) for who, curve in found.items()},
        "histograms": {who: _histogram(s["amplitude_deg"]) for who, s in sizes.items()}, "bins_deg": BINS_DEG,
        "median_intervals": {who: _median_interval(s, config) for who, s in sizes.items()},
    }  # fmt: skip
    return Measured(values, data=shown)


def _shown(trials: pd.DataFrame, folder: Path, n_pictures: int) -> pd.DataFrame:
    """Trials that allowed twelve saccades, on photographs that lie in the folder."""
    here = sorted(set(trials["stimulus_id"]) & {path.stem for path in folder.glob("*.jpg")})
    if not here:
        fail("NEUROPERC_DATA", f"a folder with photographs of Interiors in {folder}", "none of those searched")
    spread = np.unique(np.linspace(0, len(here) - 1, min(n_pictures, len(here))).round().astype(int))
    keep = trials["stimulus_id"].isin([here[i] for i in spread]) & (trials["n_saccades_allowed"] == ALLOWED)
    return trials[keep].reset_index(drop=True)


def _model(name: str, backbone: nets.Net | None) -> Any:
    if name == "eccnet":
        return EccNet(backbone, sharpening="natural", mixing="equal")
    if name == "ivsn":
        return TemplatePriority(backbone, sharpening="natural", mixing="equal", layers=(5,))
    return ChancePriority()


def _search(
    model: Any, trials: pd.DataFrame, folder: Path, config: Config, name: str, progress: bool
) -> tuple[pd.DataFrame, pd.DataFrame, Display]:
    fixations, done, display = [], [], None
    for k, (picture, part) in enumerate(trials.groupby("stimulus_id")):
        row = part.iloc[0]
        shown = _picture(folder / f"{picture}.jpg", row, config)
        display = shown.display
        kept = None
        if config.keep:
            place = Path(__file__).parent / ".progress" / f"interiors_models-{config.px_per_deg:g}-{config.seed}"
            place.mkdir(parents=True, exist_ok=True)
            kept = place / f"{name}-{picture}.json"
        seed = config.seed + k if name == "chance" else config.seed  # the others draw nothing
        one = simulate(model, shown, rng=seed, budget=ALLOWED, checkpoint=kept, progress=progress)
        for table, tables in zip(one, (fixations, done), strict=True):
            tables.append(table.assign(trial=len(done)))
    return pd.concat(fixations, ignore_index=True), pd.concat(done, ignore_index=True), display


def _picture(path: Path, row: pd.Series, config: Config) -> StimulusSet:
    """Return the photograph and its target, resampled from the people's pixels per degree to the model's."""
    scale = MODEL_PX_PER_DEG / config.px_per_deg
    resolution = (round(768 * scale), round(1024 * scale))
    whole = Display.from_px_per_deg(config.px_per_deg, resolution_px=(768, 1024))
    linear = data.load_image(path, whole).to_encoding("linear")[0]
    image = interpolate(linear[None], size=resolution, mode="bilinear", antialias=True)[0].clamp(0, 1)
    display = Display.from_px_per_deg(MODEL_PX_PER_DEG, resolution_px=resolution)
    sides = [row[f"target_{side}_deg"] for side in ("left", "right", "bottom", "top")]
    left, right, bottom, top = (float(v) for v in sides)
    box = ((left + right) / 2, (bottom + top) / 2, right - left, top - bottom)
    colored = image.expand(3, -1, -1) if len(image) == 1 else image
    return picture_search(colored, display, box, stimulus_id=path.stem)


def _found_curves(fixations: pd.DataFrame, trials: pd.DataFrame) -> np.ndarray:
    """Share found within k fixations after the first, (pictures, 13): people are averaged within a photograph."""
    trials = trials.reset_index(drop=True)
    n = data.n_fixations(fixations.merge(trials[KEY], on=KEY), trials).to_numpy()
    within = trials["found"].to_numpy(dtype=bool)[:, None] & (n[:, None] <= np.arange(ALLOWED + 1))
    return pd.DataFrame(within.astype(float)).groupby(trials["stimulus_id"].to_numpy()).mean().to_numpy()


def _sizes(fixations: pd.DataFrame, trials: pd.DataFrame, display: Display) -> pd.DataFrame:
    jumps = data.saccades(fixations, display).merge(trials[[*KEY, "stimulus_id"]], on=KEY)
    return jumps[jumps["amplitude_deg"].notna()].reset_index(drop=True)


def _histogram(sizes: pd.Series) -> list[float]:
    counts, _ = np.histogram(sizes, BINS_DEG)
    return (counts / len(sizes)).tolist()


def _interval(curves: np.ndarray, config: Config) -> list[list[float]]:
    """Mean over photographs with a 95 % interval over photographs, for each k."""
    intervals = [mean_interval(column, n_resamples=config.n_resamples, rng=config.seed) for column in curves.T]
    return [[float(c.mean()), i.low, i.high] for c, i in zip(curves.T, intervals, strict=True)]


def _median_interval(sizes: pd.DataFrame, config: Config) -> list[float]:
    """95 % interval of the median saccade: photographs are drawn again with all their saccades."""
    rng = np.random.default_rng(config.seed)
    parts = [part["amplitude_deg"].to_numpy() for _, part in sizes.groupby("stimulus_id")]
    draws = rng.integers(len(parts), size=(config.n_resamples, len(parts)))
    medians = [np.median(np.concatenate([parts[i] for i in draw])) for draw in draws]
    return [float(v) for v in np.percentile(medians, [2.5, 97.5])]


def plot(result: Result) -> Figure:
    """Found curves and saccade sizes of people and models."""
    looks = {
        "people": ("people", "black"), "eccnet": ("eccNET", npplot.COLORS["blue"]),
        "ivsn": ("no eccentricity (IVSN)", npplot.COLORS["vermilion"]), "chance": ("chance", npplot.COLORS["grey"]),
    }  # fmt: skip
    with npplot.style():
        canvas = npplot.figure(1, 2, width_in=3.8, height_in=3.2)
        curves, sizes = canvas.axes
        middle = np.asarray(result.data["bins_deg"])[:-1] + 0.5
        for who, (label, color) in looks.items():
            if who not in result.data["curves"]:
                continue
            mean, *ends = np.array(result.data["curves"][who]).T
            curves.plot(mean, color=color, label=label)
            curves.fill_between(range(len(mean)), *ends, color=color, alpha=0.15, linewidth=0)
            median = result.values["median_saccade_deg"][who]
            low, high = result.data["median_intervals"][who]
            text = f"{label}: median {median:.1f} deg ({low:.1f} to {high:.1f})"
            sizes.step(middle, result.data["histograms"][who], where="mid", color=color, label=text)
        curves.set(xlabel="saccades", ylabel="share of targets found", ylim=(0, 1))
        sizes.set(xlabel="saccade (deg)", ylabel="share of saccades")
        n_photographs = result.values["n"]["chance"][0]
        canvas.suptitle(f"{n_photographs} photographs; bands and brackets: 95 % intervals over them", fontsize=9)
        for ax in (curves, sizes):
            ax.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return canvas
