"""Do intervals of neural scores cover? New stimuli, neurons and noise in every run, and the true score known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import neuroperc as npc
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import score_interval
from neuroperc.regression import RidgeCV

ALPHAS = np.logspace(-1, 5, 7)
GAIN = (0.3, 0.9)  # share of a neuron's signal that the features carry, as a correlation
CLAIMED = ("crossed_signed_shuffle", "crossed_r_shuffle", "crossed_signed_fold", "crossed_r_fold", "splits_r_shuffle")
NOISE_SD = (0.8, 2.0)  # of one trial; the signal has 1


@dataclass(frozen=True)
class Config:
    """Simulated experiments, and the size of each."""

    n_runs: int
    n_stimuli: int
    n_units: int
    n_neurons: int
    n_repeats: int
    n_splits: int
    n_resamples: int
    schemes: tuple[str, ...]
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Simulate experiments and count how often the true score lies inside the interval."""
    truth = true_scores(config)
    values: dict[str, Any] = dict.fromkeys(CLAIMED)
    data: dict[str, Any] = {"truth": truth}
    for scheme in config.schemes:
        found = [one_run(config, scheme, seed) for seed in range(config.n_runs)]
        table = {key: np.array([one[key] for one in found]) for key in found[0]}
        for name, rule in (("crossed_signed", "signed"), ("crossed_r", "r"), ("splits_r", "r")):
            low, high = table[name].T
            inside = (low <= truth[rule]) & (truth[rule] <= high)
            if f"{name}_{scheme}" in values:
                values[f"{name}_{scheme}"] = float(inside.mean())
            data[f"{name}_{scheme}"] = {
                "coverage": float(inside.mean()), "missed_below": float((high < truth[rule]).mean()),
                "missed_above": float((low > truth[rule]).mean()), "median_width": float(np.median(high - low)),
                "mean_estimate": float(table[f"{name}_estimate"].mean()),
            }  # fmt: skip
        if scheme == config.schemes[0]:
            data["shown"] = {name: table[name][:40] for name in ("crossed_r", "splits_r")}
            data["shown"] |= {f"{name}_estimate": table[f"{name}_estimate"][:40] for name in ("crossed_r", "splits_r")}
    return Measured(values, data=data)


def spectrum(n_units: int) -> np.ndarray:
    """Return the standard deviation of every unit."""
    return np.arange(1, n_units + 1) ** -0.5


def neurons(config: Config, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw neurons from their population: weights, gain and noise."""
    weights = rng.normal(size=(config.n_units, n))
    weights = weights / np.sqrt(((spectrum(config.n_units)[:, None] * weights) ** 2).sum(axis=0))
    return {"weights": weights, "gain": rng.uniform(*GAIN, size=n), "noise_sd": rng.uniform(*NOISE_SD, size=n)}


def signals(features: np.ndarray, drawn: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return (stimulus, neuron) signals of variance 1; half of what the features lack is shared by all neurons."""
    n, t = len(features), len(drawn["gain"])
    hidden = (rng.normal(size=(n, 1)) + rng.normal(size=(n, t))) / 2**0.5
    return drawn["gain"] * (features @ drawn["weights"]) + np.sqrt(1 - drawn["gain"] ** 2) * hidden


def true_scores(config: Config) -> dict[str, float]:
    """Return population medians of r and of r² / c, for fits to a split's training stimuli and endless new ones."""
    rng = np.random.default_rng(config.seed + 10_000)
    sd, r, scores = spectrum(config.n_units), [], []
    n_train = config.n_stimuli - round(0.1 * config.n_stimuli)
    for _ in range(40):
        features = sd * rng.normal(size=(n_train, config.n_units))
        drawn = neurons(config, 500, rng)
        noise = drawn["noise_sd"] / config.n_repeats**0.5 * rng.normal(size=(n_train, 500))
        coefficients = RidgeCV(ALPHAS).fit(features, signals(features, drawn, rng) + noise).coef_.T
        on_axes, wanted = sd[:, None] * coefficients, sd[:, None] * drawn["weights"]
        c = 1 / (1 + drawn["noise_sd"] ** 2 / config.n_repeats)
        agreement = (on_axes * wanted).sum(axis=0) / np.sqrt((on_axes**2).sum(axis=0))
        r.append(drawn["gain"] * agreement * np.sqrt(c))
        scores.append(np.sign(r[-1]) * r[-1] ** 2 / c)
    return {"r": float(np.median(np.concatenate(r))), "signed": float(np.median(np.concatenate(scores)))}


def one_run(config: Config, scheme: Any, seed: int) -> dict[str, Any]:
    """Simulate one experiment and return its intervals."""
    rng = np.random.default_rng([config.seed, seed])
    features = spectrum(config.n_units) * rng.normal(size=(config.n_stimuli, config.n_units))
    drawn = neurons(config, config.n_neurons, rng)
    signal = signals(features, drawn, rng)
    trials = signal + drawn["noise_sd"] * rng.normal(size=(config.n_repeats, *signal.shape))
    names = [f"s{i:03d}" for i in range(config.n_stimuli)]
    layer = npc.data.make_responses(features, stimulus_id=names, layer="features")
    answers = npc.data.make_responses(trials.reshape(-1, config.n_neurons), stimulus_id=names * config.n_repeats)
    scores = npc.encoding.benchmark(layer, answers, estimator="ridge", alphas=ALPHAS, scheme=scheme, rng=seed,
                                    splits=config.n_splits, n_resamples=config.n_resamples)  # fmt: skip
    low, high = scores["interval"].values[0]
    of_r = crossed_r(scores, answers, config, seed)
    by_split = np.median(scores["raw"].values[0], axis=1)
    mean, error = by_split.mean(), float(by_split.std() / config.n_splits**0.5)
    return {
        "crossed_signed": (low, high), "crossed_signed_estimate": float(scores["pooled"][0]),
        "crossed_r": (of_r.low, of_r.high), "crossed_r_estimate": of_r.estimate,
        "splits_r": (mean - 1.96 * error, mean + 1.96 * error), "splits_r_estimate": mean,
    }  # fmt: skip


def crossed_r(scores: xr.Dataset, answers: xr.DataArray, config: Config, seed: int) -> Any:
    """Return the interval of the median r of the same held-out predictions."""
    predicted = scores["prediction"].values[0]
    target = npc.data.average_repeats(answers)
    target = target.values[np.argsort(target["stimulus_id"].values)]
    predicted = predicted[np.argsort(scores["stimulus_id"].values)]
    rows = np.isfinite(predicted).all(axis=1)
    return score_interval(
        predicted[rows], target[rows], rule="r", how="median", n_resamples=config.n_resamples, rng=seed
    )


def plot(result: Result) -> Figure:
    """Draw the first intervals of each kind, those that miss the truth in colour."""
    shown, truth = result.data["shown"], result.data["truth"]["r"]
    with npplot.style():
        canvas = npplot.figure(1, 2, width_in=3.6, height_in=3.6)
        titles = {"crossed_r": "over stimuli and neurons", "splits_r": "1.96 standard errors over splits"}
        scheme = next(key for key in result.data if key.startswith("splits_r_")).removeprefix("splits_r_")
        for ax, (name, title) in zip(canvas.axes, titles.items(), strict=True):
            low, high = np.asarray(shown[name], float).T
            missed = (low > truth) | (high < truth)
            colors = np.where(missed, npplot.COLORS["vermilion"], npplot.COLORS["blue"])
            ax.hlines(np.arange(len(low)), low, high, colors=colors, linewidth=1.2)
            ax.plot([], color=npplot.COLORS["blue"], label="95 % interval that covers the truth")
            ax.plot([], color=npplot.COLORS["vermilion"], label="one that misses it")
            ax.plot(np.asarray(shown[f"{name}_estimate"], float), np.arange(len(low)), "k.", markersize=3)
            ax.axvline(truth, color="black", linestyle=":", linewidth=0.9, label="truth")
            coverage = result.data[f"{name}_{scheme}"]["coverage"]
            ax.set(xlabel="median r over neurons", yticks=[], title=f"{title}: {100 * coverage:.0f} % cover")
        ends = [ax.get_xlim() for ax in canvas.axes]
        for ax in canvas.axes:
            ax.set_xlim(min(low for low, _ in ends), max(high for _, high in ends))
        canvas.axes[0].set_ylabel("the first 40 simulated experiments")
        canvas.legend(*canvas.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return canvas
