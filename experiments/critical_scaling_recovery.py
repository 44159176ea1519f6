"""Critical scaling: whether the intervals cover, and whether the windows of simulated observers are found."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from neuroperc import metamers, synthesize
from neuroperc import plot as npplot
from neuroperc.data import StimulusSet, sample_image
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result

TESTED = np.geomspace(0.063, 0.27, 8)  # the range of the energy model's published experiment
SYNTHESIZED = np.geomspace(0.15, 2.0, 8)
OBSERVERS = (0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Config:
    """Simulated experiments a truth; steps of synthesis, pictures' side and trials of the simulated observers."""

    n_experiments: int
    n_trials: int
    steps: int
    side_px: int
    repeats: int
    seed: int


def run(config: Config) -> Measured:
    """Simulate experiments with known truth, then observers whose windows are known."""
    values, data = {}, {}
    for convention in ("broderick", "freeman"):
        for name, truth in (("inside", 0.12), ("below", 0.03), ("above", 0.4)):
            options = {"observer": "abx_independent", "convention": convention}
            counts = metamers.simulate_critical_scaling(
                TESTED, critical=[truth] * config.n_experiments, gain=5, n_trials=config.n_trials, lapse=0.02,
                rng=config.seed, **options,
            )  # fmt: skip
            fit = metamers.fit_critical_scaling(TESTED, counts, config.n_trials, rng=config.seed, **options)
            values[f"flagged_{name}_{convention}"] = float(1 - fit.identifiable.mean())
            if name == "inside":
                values[f"coverage_{convention}"] = float(((fit.low <= truth) & (truth <= fit.high)).mean())
    values |= _observers(config, data)
    return Measured(values, data=data)


def _observers(config: Config, data: dict) -> dict:
    """Metamers of LuminanceModel at many scalings, judged by LuminanceModels of three scalings with noise."""
    display = Display.from_px_per_deg(config.side_px / 16, resolution_px=(config.side_px, config.side_px))
    large = Display.from_px_per_deg(200 / 16, resolution_px=(200, 200))
    photograph = sample_image("flower", large)[0].mean(0, keepdim=True)[None]
    original = torch.nn.functional.interpolate(photograph, size=display.resolution_px, mode="area")
    pictures, rows = [], []
    for s in SYNTHESIZED:
        model = metamers.LuminanceModel(display, scaling=float(s))
        made = synthesize(model, original.repeat(2, 1, 1, 1), steps=config.steps, rng=config.seed)
        pictures += list(made.image)
        rows += [{"image": "flower", "model": "luminance", "scaling": float(s), "seed": i} for i in range(2)]
    shown = StimulusSet.from_arrays(torch.stack(pictures), display=display, table=pd.DataFrame(rows))
    task = metamers.abx_task(shown, repeats=config.repeats, rng=config.seed)
    critical = {}
    for own in OBSERVERS:
        observer = metamers.LuminanceModel(display, scaling=own)
        largest = metamers.task_dprime(task, observer, noise_sd=1.0).max()
        answers = metamers.simulate_observer(task, observer, noise_sd=largest / 5, lapse=0.02, rng=config.seed)
        level, k, n, _ = metamers.count_correct(answers)
        fit = metamers.fit_critical_scaling(
            level, k, n, observer="abx_independent", convention="broderick", rng=config.seed
        )
        critical[f"windows_{own}"] = float(fit.critical)
        data[f"observer_{own}"] = {
            "scaling": level, "n_correct": k, "n_trials": n, "critical": float(fit.critical), "low": float(fit.low),
            "high": float(fit.high), "identifiable": bool(fit.identifiable), "curve_at": _fine(level),
            "curve": fit.proportion_correct(_fine(level)), "deviance": float(fit.deviance),
        }  # fmt: skip
    ratios = [critical[f"windows_{own}"] / own for own in OBSERVERS]
    return {"critical_order": critical, "critical_ratio": ratios}


def _fine(level: np.ndarray) -> np.ndarray:
    return np.geomspace(level.min() / 1.5, level.max() * 1.5, 200)


def plot(result: Result) -> Figure:
    """Draw the answers of the three observers with their fits."""
    with npplot.style():
        canvas = npplot.figure(1, len(OBSERVERS), width_in=3.6, height_in=3.2)
        for ax, own in zip(canvas.axes, OBSERVERS, strict=True):
            d = result.data[f"observer_{own}"]
            npplot.psychometric(
                d["scaling"], d["n_correct"], d["n_trials"],
                curve=lambda x, d=d: np.interp(np.log(x), np.log(d["curve_at"]), d["curve"]),
                threshold=(d["critical"], float(d["low"]), float(d["high"])),
                interval_of="95 % interval of s₀ (trials)", quantity="scaling of the metamers", ax=ax,
            )  # fmt: skip
            ax.axvline(own, color="black", linestyle="--", linewidth=0.9, label="the observer's own windows")
            ax.set_ylim(0.1, 1.02)
            ax.get_legend().remove()
            ax.set_title(f"simulated observer, windows of scaling {own:g}")
        canvas.legend(*canvas.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return canvas
