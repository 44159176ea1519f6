"""Deza & Konkle 2020: networks behind four input systems, tested on filtered, occluded and composed pictures."""

import base64
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from neuroperc import plot as npplot
from neuroperc.color import linear_to_srgb, srgb_to_linear
from neuroperc.data import sample_image
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metamers import emergent
from neuroperc.training import fit

SIDE, EXTENT_DEG = 32, 26.0
SYSTEMS = ("reference", "foveation_texture", "uniform_blur", "foveation_blur")
TEXTURE = {"scaling": 0.4, "cell_deg": EXTENT_DEG / SIDE}  # a cell of the pyramid's finest band is a pixel
CIFAR = "pictures/cifar10_18000_jpeg.zip"
GREYS = ("scotoma", "glaucoma", "left_to_right", "top_to_bottom")


@dataclass(frozen=True)
class Config:
    """Which pictures and how many, how many networks a system, how long they learn, and the seed of everything."""

    pictures: Literal["cifar10", "packaged"]
    n_train: int
    n_test: int
    n_calibration: int
    n_runs: int
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Match the systems, show every picture through each, train, and test."""
    torch.set_num_threads(1)  # layers are too small for more
    display = Display.from_px_per_deg(SIDE / EXTENT_DEG, resolution_px=(SIDE, SIDE))
    load = _cifar if config.pictures == "cifar10" else _packaged
    train, test = load(config)
    calibration = train[0][:: max(1, len(train[0]) // config.n_calibration)][: config.n_calibration]
    matched = emergent.match_input_systems(display, calibration, rng=config.seed, **TEXTURE)
    shown = {name: [_shown(matched.systems[name], x, config.seed) for x, _ in (train, test)] for name in SYSTEMS}
    counted = tqdm(range(config.n_runs), desc="runs", disable=not progress)
    runs = [_run(config, k, shown, display, train[1], test[1]) for k in counted]
    matrix = xr.concat([matrix for matrix, _ in runs], "run").to_numpy()
    curves = {kind: np.stack([found[kind] for _, found in runs]) for kind in runs[0][1]}  # run, system, level, label
    crossings = {kind: _crossings(curves[kind], _areas(kind, display)) for kind in ("disc", "square")}
    values, intervals = _claims(matrix, curves, crossings["disc"])
    if config.pictures == "packaged":  # three photographs say nothing about the paper's claims
        values, intervals = dict.fromkeys(values) | {"differences": values}, {}
    values |= _described(matched, matrix, curves, crossings)
    data = {
        "matrix": matrix, "examples": _examples(matched.systems, display, config.seed),
        "curves": curves, "areas": {kind: _areas(kind, display) for kind in crossings}, "crossings": crossings,
    }  # fmt: skip
    of = f"95 % t interval over {config.n_runs} runs"
    return Measured(values, intervals, of, data=data)


def _cifar(config: Config) -> list[tuple[Tensor, np.ndarray]]:
    """Read the same number of pictures of each class, in the order of the archive; linear light."""
    folder = os.environ.get("NEUROPERC_DATA")
    path = Path(folder or "") / CIFAR
    if not folder or not path.is_file():
        raise FileNotFoundError(f"{CIFAR} must be in the folder NEUROPERC_DATA, got {folder}. The profile smoke runs "
                                "without it, on crops of packaged photographs.")  # fmt: skip
    parts = []
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        classes = sorted({name.split("/")[1] for name in names if name.startswith("test/")})
        for part, n in (("train", config.n_train), ("test", config.n_test)):
            chosen = [
                (name, k)
                for k, label in enumerate(classes)
                for name in [each for each in names if each.startswith(f"{part}/{label}/")][: n // len(classes)]
            ]
            pixels = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name, _ in chosen])
            codes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            parts.append((srgb_to_linear(codes), np.array([k for _, k in chosen])))
    return parts


def _packaged(config: Config) -> list[tuple[Tensor, np.ndarray]]:
    """Cut random squares from three photographs; a class is a photograph. Training and test squares may overlap."""
    rng, parts = np.random.default_rng(config.seed), []
    names = ("china", "flower", "grace_hopper")
    wide = [sample_image(name, Display.from_px_per_deg(4, resolution_px=(96, 96)))[0] for name in names]
    for n in (config.n_train, config.n_test):
        labels = np.repeat(np.arange(len(names)), n // len(names))
        corners = rng.integers(0, 96 - SIDE + 1, (len(labels), 2))
        crops = [
            wide[k][:, top : top + SIDE, left : left + SIDE]
            for k, (top, left) in zip(labels, corners, strict=True)
        ]  # fmt: skip
        parts.append((torch.stack(crops), labels))
    return parts


@torch.no_grad()
def _shown(system: nn.Module, x: Tensor, seed: int) -> Tensor:
    """Pass pictures through a system, a new noise for each; linear light."""
    rng = np.random.default_rng(seed)
    return torch.cat([system(part, rng=rng) for part in x.split(256)])


def _tests(x: Tensor, labels: np.ndarray, display: Display) -> dict[str, tuple[Tensor, np.ndarray]]:
    """Return codes (n_levels, b, c, h, w) and labels (2, b) of every test; labels are the same where one counts."""
    only = np.stack((labels, labels))
    low = emergent.frequency_levels_deg(display, "low")
    high = emergent.frequency_levels_deg(display, "high", keep="pixel")
    sets = {
        "low": (emergent.low_pass(x, display, sigma_deg=low), only),
        "high": (emergent.high_pass(x, display, sigma_deg=high), only),
    }
    for geometry in GREYS:
        sets[geometry] = (emergent.occlude(x, emergent.occlusion_masks((SIDE, SIDE), geometry)), only)
    for kind, rule in (("disc", "next"), ("square", "cycle")):
        other = emergent.conflict_partners(labels, rule=rule)
        sets[kind] = (emergent.cue_conflict(x, x[other], _masks(kind, display)), np.stack((labels, labels[other])))
    return {name: (linear_to_srgb(light), wanted) for name, (light, wanted) in sets.items()}


def _masks(kind: str, display: Display) -> np.ndarray:
    """Windows that show the class of the centre, from nothing to everything."""
    if kind == "square":
        return emergent.occlusion_masks((SIDE, SIDE), "scotoma")
    discs = emergent.foveal_masks(display, radius_deg=emergent.foveal_radii_deg(display, n=8))
    return np.concatenate((np.zeros_like(discs[:1]), discs, np.ones_like(discs[:1])))


def _areas(kind: str, display: Display) -> np.ndarray:
    return _masks(kind, display).mean((1, 2))


class _Net(nn.Module):
    """Three strided convolutions and a linear read-out of all places; input is normalised as ImageNet's is."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406))[:, None, None])
        self.register_buffer("sd", torch.tensor((0.229, 0.224, 0.225))[:, None, None])
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(48, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, n_classes),
        )  # fmt: skip

    def forward(self, codes: Tensor) -> Tensor:
        """Return a score a class."""
        return self.layers((codes - self.mean) / self.sd)


def _run(
    config: Config, number: int, shown: dict[str, Any], display: Display, y_train: np.ndarray, y_test: np.ndarray
) -> tuple[xr.DataArray, dict[str, np.ndarray]]:
    """Train one network a system from the same weights and in the same order; return matrix and curves."""
    seed, nets = 1000 * config.seed + number, {}
    for name in SYSTEMS:
        torch.manual_seed(seed)
        nets[name] = _Net(int(y_train.max()) + 1)
        _train(nets[name], linear_to_srgb(shown[name][0]), y_train, config, seed)
    codes = {name: linear_to_srgb(shown[name][1]) for name in SYSTEMS}
    matrix = emergent.generalization_matrix(nets, codes, y_test)
    found = []
    for name in SYSTEMS:  # made anew in every run: kept, they would take gigabytes
        tests = _tests(shown[name][1], y_test, display)
        found.append({kind: emergent.accuracy(nets[name], *test) for kind, test in tests.items()})
    return matrix, {kind: np.stack([each[kind] for each in found]) for kind in found[0]}


def _train(net: nn.Module, codes: Tensor, labels: np.ndarray, config: Config, seed: int) -> None:
    per_epoch = -(-len(codes) // config.batch_size)

    def halved(step: int) -> float:  # at a quarter and at half of the epochs
        done = step / (per_epoch * config.epochs)
        return 0.5 ** ((done >= 0.25) + (done >= 0.5))

    fit(
        net, (codes, torch.from_numpy(labels)), loss=lambda m, b: functional.cross_entropy(m(b[0]), b[1]),
        optimizer=lambda p: torch.optim.SGD(p, config.learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True),
        epochs=config.epochs, batch_size=config.batch_size, schedule=halved, random_state=seed,
    )  # fmt: skip


def _crossings(curves: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(n_systems, n_runs) area at which the centre's label takes over."""
    found = [emergent.crossover_area(areas, *np.moveaxis(curves[:, k], -1, 0)).area for k in range(len(SYSTEMS))]
    return np.stack(found)


def _claims(
    matrix: np.ndarray, curves: dict[str, np.ndarray], crossings: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Differences within runs: mean and interval."""
    own = np.diagonal(matrix, axis1=1, axis2=2).T
    scores = {
        "own_test": own,
        "high_frequency": curves["high"][:, :, 1:, 0].mean(-1).T,
        "scotoma": curves["scotoma"][:, :, 1:-1, 0].mean(-1).T,
    }
    differences = {
        f"{what}_texture_minus_{SYSTEMS[k]}": score[1] - score[k]
        for what, score in scores.items()
        for k in ((0, 2, 3) if what == "scotoma" else (2, 3))
    }
    uniform = (crossings[0] + crossings[2]) / 2
    differences |= {f"center_bias_{SYSTEMS[k]}": crossings[k] - uniform for k in (1, 3)}
    found = {name: _interval(each) for name, each in differences.items()}
    return {name: each[0] for name, each in found.items()}, {name: each[1:] for name, each in found.items()}


def _interval(differences: np.ndarray) -> tuple[float, float, float]:
    kept = differences[np.isfinite(differences)]
    return emergent.run_interval(kept) if len(kept) > 1 else (float("nan"),) * 3


def _described(
    matched: emergent.MatchedSystems, matrix: np.ndarray, curves: dict[str, np.ndarray], crossings: dict[str, Any]
) -> dict[str, Any]:
    """Everything that is no claim, and how well the systems are matched."""
    parts = {"uniform": matched.uniform, "rings": matched.rings}
    match = {
        name: {
            "sigma_deg": part.parameter, "sigma_interval_deg": part.parameter_interval, "target": part.target,
            "achieved": part.achieved, "reached": part.reached, "difference_interval": part.difference_interval,
        }
        for name, part in parts.items()
    }  # fmt: skip
    gaps = [np.abs(part.achieved - part.target)[part.reached].max() for part in parts.values()]
    return {
        "matched_distortion": float(max(gaps)),
        "match": match,
        "interval_of_match": matched.uniform.of,
        "own_test_accuracy": {name: _interval(matrix[:, k, k]) for k, name in enumerate(SYSTEMS)},
        "mean_accuracy": {
            kind: dict(zip(SYSTEMS, curves[kind][:, :, 1:, 0].mean((0, 2)).tolist(), strict=True))
            for kind in ("low", "high", *GREYS)
        },
        "crossover_area": {
            kind: {name: _interval(area) for name, area in zip(SYSTEMS, each, strict=True)}
            for kind, each in crossings.items()
        },
    }


def _examples(systems: dict[str, nn.Module], display: Display, seed: int) -> dict[str, str]:
    """Return a packaged photograph as every system shows it, as PNG; training pictures stay where they are."""
    light = sample_image("china", display)[0][None]
    pictures = {}
    for name in SYSTEMS:
        codes = linear_to_srgb(_shown(systems[name], light, seed))[0].permute(1, 2, 0).numpy()
        buffer = io.BytesIO()
        Image.fromarray(np.round(255 * codes).astype(np.uint8)).save(buffer, "PNG")
        pictures[name] = base64.b64encode(buffer.getvalue()).decode()
    return pictures


def plot(result: Result) -> Figure:
    """Draw what systems show, the matrix, accuracy by filter and occlusion, and cue conflict."""
    with npplot.style():
        canvas = npplot.figure(2, 4, width_in=3.2, height_in=2.8)
        axes = canvas.axes
        _draw_examples(axes[0], result.data["examples"])
        _draw_matrix(axes[1], np.mean(result.data["matrix"], 0))
        curves = {kind: np.array(each) for kind, each in result.data["curves"].items()}
        levels = {
            kind: [f"{each:g}" for each in widths] for kind, widths in
            (("low", (0, 1, 3, 5, 7, 9, 15, 40)), ("high", (np.inf, 3, 1.5, 1, 0.7, 0.55, 0.45, 0.4)))
        }  # fmt: skip
        for ax, kind, title in ((axes[2], "low", "low-pass"), (axes[3], "high", "high-pass")):
            _draw_curves(ax, np.arange(8), curves[kind][..., 0])
            ax.set_xticks(np.arange(8), levels[kind])
            ax.set(title=title, ylabel="accuracy")
        axes[2].set_xlabel("SD of the Gaussian (px of 256)")
        axes[3].set_xlabel("SD of the Gaussian (px)")
        for ax, kind in ((axes[4], "scotoma"), (axes[5], "glaucoma")):
            _draw_curves(ax, np.linspace(0, 100, 17), curves[kind][..., 0])
            ax.set(title=f"occlusion: {kind}", xlabel="occluded area (%)", ylabel="accuracy")
        _draw_conflict(axes[6], 100 * np.array(result.data["areas"]["disc"]), curves["disc"])
        _draw_crossings(axes[7], np.array(result.data["crossings"]["disc"], dtype=float))
        axes[4].legend(loc="upper right", fontsize=7)
        n_classes = {"cifar10": 10}.get(result.config["pictures"], 3)
        for ax in axes[2:6]:
            ax.axhline(1 / n_classes, color="black", ls=":", lw=0.8)
        canvas.suptitle(
            f"bands and bars: 95 % t intervals over {result.config['n_runs']} runs; dotted: chance", fontsize=9
        )
    return canvas


LOOK = dict(zip(SYSTEMS, (npplot.COLORS[c] for c in ("grey", "vermilion", "sky", "blue")), strict=True))
LABELS = dict(zip(SYSTEMS, ("reference", "foveation-texture", "uniform blur", "foveation-blur"), strict=True))


def _draw_examples(ax: Any, pictures: dict[str, str]) -> None:
    tiles = [np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[name])))) for name in SYSTEMS]
    high = tiles[0].shape[0] // 4  # room for a name over each
    framed = [np.pad(tile, ((high, 0), (1, 1), (0, 0)), constant_values=255) for tile in tiles]
    rows = [np.concatenate(framed[:2], 1), np.concatenate(framed[2:], 1)]
    ax.imshow(np.concatenate(rows), interpolation="nearest")
    side, tall = framed[0].shape[1], framed[0].shape[0]
    for k, name in enumerate(SYSTEMS):
        ax.text(side * (k % 2 + 0.5) - 0.5, tall * (k // 2) + high - 2, LABELS[name], ha="center", fontsize=6.5)
    ax.set_axis_off()


def _draw_matrix(ax: Any, matrix: np.ndarray) -> None:
    ax.imshow(matrix, cmap="cividis")
    for (i, j), value in np.ndenumerate(matrix):
        dark = value < (matrix.min() + matrix.max()) / 2
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
    short = ("ref.", "texture", "uniform", "fov.-blur")
    ax.set_xticks(range(4), short, fontsize=7)
    ax.set_yticks(range(4), short, fontsize=7)
    ax.set(title="accuracy (mean over runs)", xlabel="tested on", ylabel="trained on")


def _draw_curves(ax: Any, x: np.ndarray, curves: np.ndarray) -> None:
    """Mean over runs and its 95 % t interval; curves are (run, system, level)."""
    for k, name in enumerate(SYSTEMS):
        ends = np.array([emergent.run_interval(each) for each in curves[:, k].T])
        ax.plot(x, ends[:, 0], color=LOOK[name], label=LABELS[name])
        ax.fill_between(x, ends[:, 1], ends[:, 2], color=LOOK[name], alpha=0.2, lw=0)
    ax.set_ylim(0, min(1.0, 1.15 * curves.max()))


def _draw_conflict(ax: Any, area: np.ndarray, curves: np.ndarray) -> None:
    for k, name in enumerate(SYSTEMS):
        ax.plot(area, curves[:, k, :, 0].mean(0), color=LOOK[name])
        ax.plot(area, curves[:, k, :, 1].mean(0), color=LOOK[name], ls="--")
    ax.set(title="centre's class —, surround's - -", xlabel="area of the central disc (%)", ylabel="accuracy")
    ax.set_ylim(0, None)


def _draw_crossings(ax: Any, crossings: np.ndarray) -> None:
    for k, name in enumerate(SYSTEMS):
        mean, low, high = _interval(100 * crossings[k])
        ax.plot(np.full(crossings.shape[1], k) + 0.15, 100 * crossings[k], "o", color=LOOK[name], alpha=0.4, ms=3)
        ax.errorbar([k], [mean], [[mean - low], [high - mean]], fmt="o", color=LOOK[name], capsize=3)
    ax.set_xticks(range(4), ("ref.", "texture", "uniform", "fov.-blur"), fontsize=7)
    ax.set(title="centre bias: cross-over", ylabel="area of the disc (%)")
