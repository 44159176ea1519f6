"""How people search photographs: Interiors (57 people), and the stored people and models of the asymmetry paper."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuroperc import data
from neuroperc import plot as npplot
from neuroperc._check import fail
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import mean_interval, multimatch

ALLOWED = (2, 4, 8, 12)
OBSERVERS = ("human", "eccNET", "IVSN")
KEY = ["subject", "session", "trial"]
MULTIMATCH = ("vector", "direction", "length", "position", "duration")
BINS_DEG = np.arange(0, 31, 1.0)


@dataclass(frozen=True)
class Config:
    """Photographs of Interiors, pixels per degree taken for them, resamples, and the seed."""

    n_pictures: int
    px_per_deg: float
    n_resamples: int
    seed: int


def run(config: Config) -> Measured:
    """Found rates, human-human MultiMatch and saccade sizes."""
    folder = os.environ.get("NEUROPERC_DATA")
    if not folder:
        fail("NEUROPERC_DATA", "the folder with search/interiors and search/vsa", folder, "Set it before the run.")
    root = Path(folder, "search")
    display = Display.from_px_per_deg(config.px_per_deg, resolution_px=(1024, 1280))
    people = data.read_interiors(root / "interiors" / "info_all_subj.mat", display=display)
    released = data.read_interiors(root / "interiors" / "info_all_subj.mat", display=display, positions="released")
    natural = {name: _stored(root / "vsa" / "human_scanpaths" / name) for name in ("ObjArr", "NaturalDesign", "Waldo")}
    scores, pictures = _people_with_people(*_some(config, released), config)
    intervals = [mean_interval(s, groups=pictures, n_resamples=config.n_resamples, rng=config.seed) for s in scores.T]
    curve = _found_curve(*_some(config, people))
    jumps = {name: data.saccades(fixations, display)["amplitude_deg"] for name, (fixations, _) in
             {"recorded": people, "released": released}.items()}  # fmt: skip
    share = people[1].groupby("n_saccades_allowed")["found"].mean()
    values = {
        "found_by_saccades_allowed": [float(share[k]) for k in ALLOWED],
        "human_human_multimatch": scores.mean(0).tolist(),
        "n_human_pairs": len(scores),
        "found_in_the_end": [natural[name]["human"]["found"] for name in natural],
        "natural_found_by_five": [natural["NaturalDesign"][o]["curve"][5] for o in OBSERVERS],
        **{f"median_saccade_{o.lower()}": [natural[name][o]["median_deg"] for name in natural] for o in OBSERVERS},
        "eccentricity_makes_saccades_human": {
            o.lower(): abs(natural["NaturalDesign"][o]["median_deg"] - natural["NaturalDesign"]["human"]["median_deg"])
            for o in OBSERVERS[1:]
        },
        "start_error": {name: _start_error(*tables) for name, tables in (("recorded", people), ("released", released))},
        "interiors_median_saccade_deg": {name: float(values.median()) for name, values in jumps.items()},
        "interiors_n_fixations": {"recorded": len(people[0]), "released": len(released[0])},
    }
    shown = {
        "interiors_curve": curve.tolist(), "natural": natural, "bins_deg": BINS_DEG,
        "multimatch_intervals": [[i.low, i.high] for i in intervals],
        "multimatch_interval_of": intervals[0].of.replace("stimuli", "photographs"),
        "interiors_histogram": _histogram(jumps["recorded"]),
    }  # fmt: skip
    return Measured(values, data=shown)


def _some(config: Config, tables: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    fixations, trials = tables
    names = sorted(set(trials["stimulus_id"]))
    spread = np.linspace(0, len(names) - 1, min(config.n_pictures, len(names))).round().astype(int)
    trials = trials[trials["stimulus_id"].isin([names[i] for i in spread])].reset_index(drop=True)
    return fixations.merge(trials[KEY], on=KEY).reset_index(drop=True), trials


def _people_with_people(fixations: pd.DataFrame, trials: pd.DataFrame, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """MultiMatch of all pairs of people who found the target in one photograph; its released pixels and seconds."""
    display = Display.from_px_per_deg(config.px_per_deg, resolution_px=(768, 1024))
    scores, pictures = [], []
    for name, part in trials[trials["found"].astype(bool)].groupby("stimulus_id"):
        paths = data.scanpaths(fixations.merge(part[KEY], on=KEY), part)
        points = display.to_px(paths.points_deg)
        both = np.concatenate([points, paths.duration_s[..., None]], -1)
        found = multimatch([path[:n] for path, n in zip(both, paths.lengths, strict=True) if n >= 3],
                           screen=(768, 1024))  # fmt: skip
        scores.append(found[np.isfinite(found).all(-1)])
        pictures += [name] * len(scores[-1])
    return np.concatenate(scores), np.array(pictures)


def _found_curve(fixations: pd.DataFrame, trials: pd.DataFrame) -> np.ndarray:
    """Share found within k fixations after the first, in the trials that allowed twelve saccades."""
    long = trials[trials["n_saccades_allowed"] == 12].reset_index(drop=True)
    n = data.n_fixations(fixations.merge(long[KEY], on=KEY), long).to_numpy()
    found = long["found"].to_numpy(dtype=bool)
    return np.array([(found & (n <= k)).mean() for k in range(13)])


def _start_error(fixations: pd.DataFrame, trials: pd.DataFrame) -> list[float]:
    """Median distance of fixation 0 from the required place, degrees: targets found, targets not found."""
    first = fixations[fixations["fixation"] == 0].merge(trials, on=KEY)
    away = np.hypot(first["x_deg"] - first["initial_x_deg"], first["y_deg"] - first["initial_y_deg"])
    found = first["found"].to_numpy(dtype=bool)
    return [float(away[found].median()), float(away[~found].median())]


def _stored(folder: Path) -> dict[str, dict[str, object]]:
    """Read what is known of people and both models in one experiment."""
    result: dict[str, dict[str, object]] = {}
    for observer in OBSERVERS:
        fixations, _ = data.read_vsa_scanpaths(folder, observer=observer)
        curve = data.read_vsa_found(folder, observer=observer)["share_found"]
        sizes = data.saccades(fixations, data.vsa_display())["amplitude_deg"]
        result[observer] = {
            "found": float(curve.iloc[-1]), "curve": curve.tolist(), "median_deg": float(sizes.median()),
            "histogram": _histogram(sizes),
        }  # fmt: skip
    return result


def _histogram(sizes: pd.Series) -> list[float]:
    counts, _ = np.histogram(sizes.dropna(), BINS_DEG)
    return (counts / sizes.notna().sum()).tolist()


def plot(result: Result) -> Figure:
    """Found curves, saccade sizes, and how alike people are."""
    with npplot.style():
        canvas = npplot.figure(1, 3, width_in=3.6, height_in=3)
        curves, sizes, alike = canvas.axes
        colors = {"human": "black", "eccNET": npplot.COLORS["blue"], "IVSN": npplot.COLORS["vermilion"]}
        natural = result.data["natural"]["NaturalDesign"]
        middle = np.asarray(result.data["bins_deg"])[:-1] + 0.5
        for name, color in colors.items():
            curve = natural[name]["curve"][:21]
            curves.plot(range(len(curve)), curve, color=color, label=f"{name}, natural (240)")
            sizes.step(middle, natural[name]["histogram"], where="mid", color=color, label=f"{name}, natural")
        curves.plot(result.data["interiors_curve"], color=npplot.COLORS["grey"], label="people, Interiors, 12 saccades")
        sizes.step(middle, result.data["interiors_histogram"], where="mid", color=npplot.COLORS["grey"],
                   label="people, Interiors")  # fmt: skip
        curves.set(
            xlabel="fixations after the start", ylabel="share of targets found", ylim=(0, 1), title="search efficiency"
        )
        sizes.set(xlabel="saccade (deg)", ylabel="share of saccades", title="saccade sizes")
        means = np.asarray(result.values["human_human_multimatch"])
        limits = np.asarray(result.data["multimatch_intervals"])
        published = next(c for c in result.claims if c.key == "human_human_multimatch").published
        x = np.arange(len(MULTIMATCH))
        alike.errorbar(x, means, np.abs(limits.T - means), fmt="o", color="black",
                       label=f"all pairs ({result.data['multimatch_interval_of']})")  # fmt: skip
        alike.plot(x + 0.15, published, "x", color=npplot.COLORS["vermilion"], label="758 random pairs")
        alike.set(xticks=x, xticklabels=MULTIMATCH, ylabel="similarity", ylim=(0.5, 1), title="people with people")
        curves.legend(loc="lower right", fontsize=6.5)
        sizes.legend(fontsize=6.5)
        alike.legend(loc="lower left", fontsize=6.5)
    return canvas
