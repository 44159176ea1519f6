"""Scotti et al. 2023: MindEye, small, against ridge on planted brains; parts left out in turn; a profile for NSD."""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import t as student
from tqdm.auto import tqdm

from neuroperc import decoding
from neuroperc import plot as npplot
from neuroperc.decoding import mindeye
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import pearson
from neuroperc.regression import RidgeCV

CELLS = Path(__file__).parent / ".progress"
VARIANTS: dict[str, dict[str, Any]] = {
    "MindEye": {},
    "BiMixCo alone": {"contrastive": "bimixco"},
    "SoftCLIP alone": {"contrastive": "softclip"},
    "no contrast": {"contrastive": "none"},
    "no prior (MSE)": {"prior": False},
    "no projector": {"projector": False},
    "MSE alone": {"contrastive": "none", "prior": False},
}
MEASURES = ("embedding_r", "brain_to_image", "image_to_brain")
NSD_CLAIMS = ("retrieval_brain_to_image", "retrieval_image_to_brain")
NOT_HERE = ("pixcorr", "ssim", "alexnet_2", "alexnet_5", "inception", "clip", "efficientnet", "swav")


@dataclass(frozen=True)
class Config:
    """Planted brains and their cells, or NSD; sizes of the network; the seed of everything."""

    data: Literal["planted", "nsd"]
    nonlinearity: tuple[float, ...]
    n_trials: tuple[int, ...]
    n_seeds: int
    n_test: int
    n_voxels: int
    n_dims: int
    rank: int
    ncsnr: float
    n_repeats: int
    width: int
    n_blocks: int
    projector_width: int
    prior_depth: int
    epochs: float
    batch_size: int
    learning_rate: float
    n_samples: int
    ablation_nonlinearity: float
    ablation_n_trials: int
    keep_cells: bool
    judged: bool
    device: str
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Fit every cell, or those that are not yet there; compare with ridge on the same patterns."""
    if config.data == "nsd":
        return _nsd(config, progress)
    torch.set_num_threads(1)
    grid = [(a, n, s) for a in config.nonlinearity for n in config.n_trials for s in range(config.n_seeds)]
    jobs = [(a, n, s, "MindEye", False) for a, n, s in grid] + [
        (config.ablation_nonlinearity, config.ablation_n_trials, s, name, name == "MindEye")
        for name in (*VARIANTS, "shuffled")
        for s in range(config.n_seeds)
    ]
    found = [_kept(config, *job) for job in tqdm(jobs, disable=not progress, desc="cells")]
    shape = (len(config.nonlinearity), len(config.n_trials), config.n_seeds)
    curves = {
        f"{who}_{what}": np.array([cell[who][what] for cell in found[: len(grid)]]).reshape(shape)
        for who in ("ridge", "mindeye") for what in MEASURES
    }  # fmt: skip
    rest = found[len(grid) :]
    table = {
        name: {what: [cell["mindeye"][what] for cell in rest[k * config.n_seeds : (k + 1) * config.n_seeds]]
               for what in MEASURES}
        for k, name in enumerate((*VARIANTS, "shuffled"))
    }  # fmt: skip
    table["ridge"] = {what: [cell["ridge"][what] for cell in rest[: config.n_seeds]] for what in MEASURES}
    table["noiseless test"] = {what: [c["oracle"][what] for c in rest[: config.n_seeds]] for what in MEASURES}
    values, intervals = _claims(config, curves, table)
    if not config.judged:  # trainings of a few seconds say nothing about claims
        unjudged = {key: each for key, each in values.items() if isinstance(each, float)}
        values, intervals = values | dict.fromkeys(unjudged) | {"unjudged": unjudged}, {}
    of = f"95 % t interval over {config.n_seeds} planted brains"
    return Measured(values, intervals, of, data={"curves": curves, "table": table})


def _kept(config: Config, nonlinearity: float, n: int, seed: int, variant: str, oracle: bool = False) -> dict[str, Any]:
    """Read a cell that was made before with the same settings, or make it and keep it."""
    if not config.keep_cells:
        return _cell(config, nonlinearity, n, seed, variant, oracle)
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("nonlinearity", "n_trials", "n_seeds")}
    sources = [Path(__file__), *sorted(Path(mindeye.__file__).parent.glob("*.py"))]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    key = json.dumps([settings, nonlinearity, n, seed, variant, oracle, code], sort_keys=True)
    path = CELLS / f"mindeye-{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"
    if not path.is_file():
        CELLS.mkdir(exist_ok=True)
        made = _cell(config, nonlinearity, n, seed, variant, oracle)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(made))
        temporary.replace(path)
    return json.loads(path.read_text())


def _cell(config: Config, nonlinearity: float, n: int, seed: int, variant: str, oracle: bool = False) -> dict[str, Any]:
    """Fit ridge and MindEye to the same trials of one brain and score them on pictures that neither saw."""
    rng = np.random.default_rng((config.seed, seed))
    total = n + config.n_test
    # As CLIP's: a large part that all pictures share (cosines about .7), and few directions in which they differ.
    x = rng.normal(size=(total, config.rank)) @ rng.normal(size=(config.rank, config.n_dims)) / config.rank**0.5
    x += 0.1 * rng.normal(size=x.shape) + 1.5 * rng.normal(size=config.n_dims)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    brain = decoding.plant_brain(
        x, regions={"V1": config.n_voxels}, rank=config.rank, nonlinearity=nonlinearity, n_repeats=config.n_repeats,
        ncsnr=config.ncsnr, rng=rng,
    )  # fmt: skip
    order = np.argsort(brain.rows, kind="stable")
    trials = brain.responses.values[order].reshape(total, config.n_repeats, -1)
    clean = brain.predict(x[n:])
    seen, tested = trials[:n], trials[n:]
    shown = x[:n] if variant != "shuffled" else x[:n][rng.permutation(n)]
    mean, sd = seen.mean(axis=(0, 1)), seen.std(axis=(0, 1))
    patterns = (trials.mean(axis=1) - mean) / sd
    ridge = RidgeCV(np.logspace(0, 6, 13)).fit(patterns[:n], shown)
    model = decoding.MindEye(
        width=config.width, n_blocks=config.n_blocks, projector_width=config.projector_width,
        prior_depth=config.prior_depth, epochs=config.epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, random_state=1000 * config.seed + seed,
        **VARIANTS.get(variant, {}),
    ).fit(seen, shown)  # fmt: skip
    scores = {"ridge": _scores(*[ridge.predict(patterns[n:])] * 2, x[n:])}
    asked = [("mindeye", tested)] + ([("oracle", clean)] if oracle else [])
    for name, patterns_ in asked:
        said = model.predict(patterns_, n_samples=config.n_samples, rng=seed)
        scores[name] = _scores(said, said if model.contrastive == "none" else model.project(patterns_), x[n:])
    return scores


def _scores(predicted: np.ndarray, projected: np.ndarray, shown: np.ndarray) -> dict[str, float]:
    """Mean correlation over pictures of each number of the embedding; top 1 among all test pictures."""
    return {
        "embedding_r": float(np.mean(pearson(predicted, shown))),
        "brain_to_image": float(decoding.brain_to_image(projected, shown, n_candidates=None).mean()),
        "image_to_brain": float(decoding.image_to_brain(projected, shown, n_candidates=None).mean()),
    }


def _interval(values: Any) -> tuple[float, float, float]:
    x = np.asarray(values, dtype=float)
    half = student.ppf(0.975, len(x) - 1) * x.std(ddof=1) / len(x) ** 0.5
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)


def _claims(config: Config, curves: dict[str, np.ndarray], table: dict[str, Any]) -> tuple[dict, dict]:
    """Judge differences within brains: ends of their intervals where a claim is about significance."""
    gain = {what: curves[f"mindeye_{what}"] - curves[f"ridge_{what}"] for what in MEASURES}
    linear, bent = _interval(gain["embedding_r"][0, -1]), _interval(gain["embedding_r"][-1, -1])
    values: dict[str, Any] = {"lowest_gain_linear": linear[1], "lowest_gain_nonlinear": bent[1]}
    intervals: dict[str, Any] = {}
    whole = np.array(table["MindEye"]["brain_to_image"])
    for key, name in (("bimixco", "BiMixCo alone"), ("softclip", "SoftCLIP alone"), ("projector", "no projector")):
        mean, low, high = _interval(whole - np.array(table[name]["brain_to_image"]))
        values[f"both_minus_{key}"], intervals[f"both_minus_{key}"] = mean, (low, high)
    values["shuffled_r"], *ends = _interval(table["shuffled"]["embedding_r"])
    intervals["shuffled_r"] = tuple(ends)
    values |= dict.fromkeys((*NSD_CLAIMS, *NOT_HERE))
    values["gain"] = {
        what: [[_interval(seeds) for seeds in by_n] for by_n in each] for what, each in gain.items()
    }  # fmt: skip
    values["table"] = {name: {what: _interval(v) for what, v in each.items()} for name, each in table.items()}
    values["chance"] = 1 / config.n_test
    return values, intervals


def _nsd(config: Config, progress: bool) -> Measured:
    """Train on one subject of NSD with CLIP's tokens; retrieval among 300 of the shared pictures."""
    folder = os.environ.get("NEUROPERC_NSD")
    if not folder or not Path(folder).is_dir():
        raise FileNotFoundError(
            f"NEUROPERC_NSD must be the folder of the Natural Scenes Dataset, got {folder}. Ask for access at "
            "naturalscenesdataset.org; the profiles smoke and paper run without it, on planted brains."
        )
    encoder = mindeye.open_clip_tokens("ViT-L-14", pretrained="openai", device=config.device)
    betas = decoding.read_nsd_betas(folder, 1)
    shared = betas.shared.values
    names, first = np.unique(betas.stimulus_id.values, return_index=True)
    numbers = betas.image_73k.values[first]
    parts = [numbers[k : k + 64] for k in range(0, len(numbers), 64)]
    tokens = []
    for part in tqdm(parts, disable=not progress, desc="CLIP"):
        codes = torch.from_numpy(np.asarray(decoding.read_nsd_images(folder, part))).float() / 255
        codes = codes.permute(0, 3, 1, 2) if codes.shape[-1] == 3 else codes
        with torch.no_grad():
            tokens.append(encoder(codes.to(config.device)).half().cpu().numpy())
    place = {name: k for k, name in enumerate(names)}
    shown = np.concatenate(tokens)
    model = decoding.MindEye(
        width=config.width, n_blocks=config.n_blocks, projector_width=config.projector_width,
        prior_depth=config.prior_depth, prior_heads=12, prior_head_dims=64, epochs=config.epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, mixed_precision="fp16",
        device=config.device, random_state=config.seed,
    )  # fmt: skip
    own = betas[~shared]
    checkpoint = CELLS / "mindeye-nsd.pt"
    CELLS.mkdir(exist_ok=True)
    labelled = xr.DataArray(
        shown, dims=("presentation", "token", "dim"), coords={"stimulus_id": ("presentation", names)}
    )  # fmt: skip
    model.fit(own, labelled, checkpoint=checkpoint, progress=progress)
    tested = betas[shared].groupby("stimulus_id").mean()
    said, wanted = model.project(tested.values), shown[[place[s] for s in tested.stimulus_id.values]]
    values: dict[str, Any] = dict.fromkeys(
        ("lowest_gain_linear", "lowest_gain_nonlinear", "both_minus_bimixco", "both_minus_softclip",
         "both_minus_projector", "shuffled_r", *NOT_HERE)
    )  # fmt: skip
    values["retrieval_brain_to_image"] = 100 * decoding.brain_to_image(said, wanted).mean()
    values["retrieval_image_to_brain"] = 100 * decoding.image_to_brain(said, wanted).mean()
    return Measured(values, data={})


def plot(result: Result) -> Figure:
    """Draw prediction, gain and retrieval over non-linearity, and the table of parts left out."""
    with npplot.style():
        canvas = npplot.figure(1, 4, width_in=3.3, height_in=3.0)
        if not result.data:
            for ax in canvas.axes:
                ax.set_axis_off()
            return canvas
        curves = {key: np.array(each) for key, each in result.data["curves"].items()}
        config = result.config
        _draw_curves(canvas.axes[0], curves, config)
        _draw_gain(canvas.axes[1], curves, config)
        _draw_retrieval(canvas.axes[2], curves, config)
        _draw_table(canvas.axes[3], result.data["table"], config)
        canvas.suptitle(
            f"planted brains (simulated), generated embeddings; bands and bars: 95 % t intervals over "
            f"{config['n_seeds']} brains", fontsize=9,
        )  # fmt: skip
    return canvas


LOOK = {"ridge": npplot.COLORS["grey"], "mindeye": npplot.COLORS["blue"]}
STYLES = ("-", "--", ":")


def _band(ax: Any, x: Any, seeds: np.ndarray, **look: Any) -> None:
    ends = np.array([_interval(each) for each in seeds])
    ax.plot(x, ends[:, 0], marker="o", ms=3, **look)
    ax.fill_between(x, ends[:, 1], ends[:, 2], color=look["color"], alpha=0.15, lw=0)


def _draw_curves(ax: Any, curves: dict[str, np.ndarray], config: dict[str, Any]) -> None:
    for k, n in enumerate(config["n_trials"]):
        for who, label in (("ridge", "ridge"), ("mindeye", "MindEye")):
            _band(ax, config["nonlinearity"], curves[f"{who}_embedding_r"][:, k], color=LOOK[who], ls=STYLES[k],
                  label=f"{label}, {n:,} pictures")  # fmt: skip
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set(title="predicted embedding", xlabel="planted non-linearity", ylabel="r with the picture's embedding")
    ax.set_ylim(-0.6, 1.05)
    ax.legend(loc="lower left", fontsize=7, handlelength=3)


def _draw_gain(ax: Any, curves: dict[str, np.ndarray], config: dict[str, Any]) -> None:
    colors = [npplot.COLORS[c] for c in ("sky", "blue", "purple")]
    for k, n in enumerate(config["n_trials"]):
        gain = curves["mindeye_embedding_r"][:, k] - curves["ridge_embedding_r"][:, k]
        _band(ax, config["nonlinearity"], gain, color=colors[k], ls=STYLES[k], label=f"{n:,} pictures")
    ax.axhline(0, color="0.3", lw=0.8)
    ax.set(title="MindEye minus ridge", xlabel="planted non-linearity", ylabel="difference of r, within brains")
    ax.legend(loc="upper left", fontsize=7, handlelength=3)


def _draw_retrieval(ax: Any, curves: dict[str, np.ndarray], config: dict[str, Any]) -> None:
    ways = (("brain_to_image", "-", "brain to image"), ("image_to_brain", "--", "image to brain"))
    for who, label in (("ridge", "ridge"), ("mindeye", "MindEye")):
        for what, ls, way in ways:
            _band(ax, config["nonlinearity"], curves[f"{who}_{what}"][:, -1], color=LOOK[who], ls=ls,
                  label=f"{label}, {way}")  # fmt: skip
    ax.axhline(1 / config["n_test"], color="0.3", lw=0.8)
    ax.set(title=f"retrieval, {config['n_trials'][-1]:,} pictures", xlabel="planted non-linearity",
           ylabel=f"top 1 of {config['n_test']} (line: chance)")  # fmt: skip
    ax.set_ylim(0, 1.05)
    ax.legend(loc="lower left", fontsize=6.5, handlelength=3, frameon=True, framealpha=0.8, edgecolor="none")


def _draw_table(ax: Any, table: dict[str, Any], config: dict[str, Any]) -> None:
    place_of = f"non-linearity {config['ablation_nonlinearity']:g}, {config['ablation_n_trials']:,} pictures"
    looks = (("embedding_r", "blue", "embedding r"), ("brain_to_image", "vermilion", "brain to image"),
             ("image_to_brain", "orange", "image to brain"))  # fmt: skip
    for k, (what, color, label) in enumerate(looks):
        ends = np.array([_interval(each[what]) for each in table.values()])
        place = np.arange(len(ends)) + 0.22 * (k - 1)
        ax.errorbar(ends[:, 0], place, xerr=np.abs(ends[:, 1:] - ends[:, :1]).T, fmt="o", ms=3.5, lw=1.2,
                    color=npplot.COLORS[color], label=label)  # fmt: skip
    ax.set_yticks(range(len(table)), list(table))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xlim(-0.3, 1.0)
    ax.set(xlabel=f"r, or share found\n({place_of})")
    ax.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=3, fontsize=7, handletextpad=0.2, columnspacing=0.8)
