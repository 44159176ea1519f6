"""Berrios & Deza 2022: rotation x adversarial training, and what it does to accuracy, robustness and the fit to V4.

Profile ``imagenet`` is the published recipe (CrossViT-18 dagger, folders of ImageNet); ``paper`` the same 2 x 2 design
with a small network on CIFAR-10. Every finished network is kept under ``experiments/.progress``: a run that was cut off
goes on with the next one, and inside a training from its last epoch.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

import neuroperc as npc
from neuroperc import plot as npplot
from neuroperc._check import atomic_path
from neuroperc.encoding import robust
from neuroperc.experiment import Measured, Result
from neuroperc.metamers.emergent import run_interval

#: (quarter turns, attack) of the four ways to train.
CELLS = {"plain": (False, False), "rotation": (True, False), "adversarial": (False, True), "joint": (True, True)}
MEASURES = ("accuracy", "rotated", "pgd", "v4")
#: README of the released code; Brain-Score's private benchmarks with the rule (r / c)² of that time.
PAPER = {
    "plain": {"top1": 0.8305, "V1": 0.473, "V2": 0.274, "V4": 0.478, "IT": 0.484, "behaviour": 0.500},
    "rotation": {"top1": 0.7922, "V1": 0.458, "V2": 0.288, "V4": 0.495, "IT": 0.503, "behaviour": 0.547},
    "adversarial": {"top1": 0.6460, "V1": 0.497, "V2": 0.343, "V4": 0.508, "IT": 0.519, "behaviour": 0.441},
    "joint": {"top1": 0.7353, "V1": 0.493, "V2": 0.342, "V4": 0.514, "IT": 0.531, "behaviour": 0.562},
}
CIFAR, V4_FOLDER = "pictures/cifar10_18000_jpeg.zip", Path("brainscore") / "cowley2023_v4"
SCREEN = npc.Display.from_px_per_deg(14, resolution_px=(112, 112))  # 8 degrees: nominal, the source does not say
SIDE = 32
CLAIMED = (
    "accuracy_adversarial_minus_plain", "accuracy_rotation_minus_plain", "accuracy_joint_minus_adversarial",
    "pgd_adversarial_minus_plain", "rotated_rotation_minus_plain", "v4_rotation_minus_plain",
    "v4_adversarial_minus_plain", "v4_joint_minus_rotation", "v4_joint_minus_adversarial",
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Pictures and network, the recipe, how networks are tested, and the seeds; an epoch for each piece of the rate."""

    pictures: Literal["cifar10", "packaged", "imagenet"]
    network: str  # "small", or a name of nets.load
    weights: str  # of nets.load; "random" otherwise
    seeds: tuple[int, ...]
    n_train: int  # 0: all
    n_test: int
    n_attack: int
    learning_rates: tuple[float, ...]
    batch_size: int
    eps_255: float
    attack_255: tuple[float, ...]
    attack_iters: int
    layers: tuple[str, ...]
    session: str
    n_v4: int  # 0: all
    splits: int
    inner_splits: int
    mixed_precision: str
    device: str
    keep: bool


def run(config: Config, progress: bool = False) -> Measured:
    """Train the four networks of every seed from the same weights in the same order, and test them."""
    if config.device == "cpu":
        torch.set_num_threads(1)  # layers are too small for more
    train, test = _pictures(config)
    v4, shown, simulated = _session(config)
    rows = []
    for seed in config.seeds:
        for cell in CELLS:
            place = _place(config, seed, cell)
            if place is not None and place.is_file():
                rows.append(json.loads(place.read_text(encoding="utf-8")))
                continue
            network = _train(config, cell, seed, train, place, progress)
            found = {"cell": cell, "seed": seed} | _tested(config, network, test, seed)
            rows.append(found | _fit_to_v4(config, network, v4, shown, seed))
            if place is not None:
                with atomic_path(place) as temporary:
                    temporary.write_text(json.dumps(rows[-1]), encoding="utf-8")
                place.with_suffix(".pt").unlink(missing_ok=True)
    return _measured(config, rows, simulated)


def _measured(config: Config, rows: list[dict[str, Any]], simulated: bool) -> Measured:
    by = {(row["cell"], row["seed"]): row for row in rows}
    table = {m: {c: [by[c, s][m] for s in config.seeds] for c in CELLS} for m in MEASURES}
    values, intervals = claimed(table)
    if config.pictures == "packaged":  # three photographs say nothing about the paper's claims
        values, intervals = dict.fromkeys(values) | {"unjudged": values}, {}
    elif simulated:
        values |= {key: None for key in values if key.startswith("v4")}
        intervals = {key: each for key, each in intervals.items() if not key.startswith("v4")}
    values["cells"] = {m: {c: _summary(each) for c, each in cells.items()} for m, cells in table.items()}
    values["chosen_layers"] = {c: [layer for s in config.seeds for layer in by[c, s]["chosen"]] for c in CELLS}
    values["v4_r"] = {c: _summary([by[c, s]["v4_r"] for s in config.seeds]) for c in CELLS}
    data = {
        "table": table, "paper": PAPER, "attack_255": config.attack_255,
        "curves": {c: [by[c, s]["curve"] for s in config.seeds] for c in CELLS},
        "layers": {c: [by[c, s]["by_layer"] for s in config.seeds] for c in CELLS},
    }  # fmt: skip
    notes = ["simulated: without a V4 session in NEUROPERC_DATA planted neurons answer"] if simulated else []
    means = ", ".join(f"{c} {np.mean(table['accuracy'][c]):.3f} / {np.mean(table['v4'][c]):.3f}" for c in CELLS)
    of = f"95 % t interval over {len(config.seeds)} seeds; differences paired within seeds" if intervals else ""
    return Measured(values, intervals, of, data, notes, f"accuracy / V4 fit: {means}")


def claimed(table: dict[str, dict[str, list[float]]]) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """Return what the claims ask for, from measure, cell and seed: each cell, differences of cells, their order."""
    each = {f"{m}_{cell}": np.array(runs) for m in MEASURES for cell, runs in table[m].items() if m != "rotated"}
    each |= {key: _difference(table, key) for key in CLAIMED}
    values: dict[str, Any] = {key: float(np.mean(runs)) for key, runs in each.items()}
    values["v4_order"] = {cell: values[f"v4_{cell}"] for cell in CELLS}
    return values, {key: run_interval(runs)[1:] for key, runs in each.items() if len(runs) > 1}


def _difference(table: dict[str, dict[str, list[float]]], key: str) -> np.ndarray:
    measure, rest = key.split("_", 1)
    first, second = rest.split("_minus_")
    return np.array(table[measure][first]) - np.array(table[measure][second])


def _summary(values: list[float]) -> list[float]:
    return list(run_interval(values)) if len(values) > 1 else [float(values[0])]


def _place(config: Config, seed: int, cell: str) -> Path | None:
    """Return the file of a finished network; its name says what the result depends on."""
    if not config.keep:
        return None
    about = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("seeds", "keep", "device")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    folder = Path(__file__).parent / ".progress" / f"berrios2022_crossvit-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{seed}-{cell}.json"


def _pictures(config: Config) -> tuple[Any, Any]:
    """Return training and test pictures: (codes, labels), or folders that are read on demand."""
    if config.pictures == "imagenet":
        return _imagenet(config)
    return _cifar(config) if config.pictures == "cifar10" else _packaged(config)


def _imagenet(config: Config) -> tuple[Any, Any]:
    """Open train/ and val/, a folder a class, under NEUROPERC_IMAGENET or imagenet/ in NEUROPERC_DATA."""
    named = os.environ.get("NEUROPERC_IMAGENET")
    root = Path(named) if named else Path(os.environ.get("NEUROPERC_DATA", "")) / "imagenet"
    if not all((root / part).is_dir() for part in ("train", "val")):
        raise FileNotFoundError(
            "NEUROPERC_IMAGENET must be a folder with train/<class>/ and val/<class>/, got "
            f"{named or 'nothing'}. The profile paper runs on CIFAR-10 instead, smoke on packaged photographs."
        )
    return robust.PictureFolder(root / "train"), robust.PictureFolder(root / "val", crop="center")


def _cifar(config: Config) -> tuple[Any, Any]:
    """Read the same number of pictures of each class, in the order of the archive; sRGB codes."""
    folder = os.environ.get("NEUROPERC_DATA")
    path, parts = Path(folder or "") / CIFAR, []
    if not folder or not path.is_file():
        raise FileNotFoundError(f"{CIFAR} must be in the folder NEUROPERC_DATA, got {folder}. The profile smoke runs "
                                "without it, on crops of packaged photographs.")  # fmt: skip
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = sorted({name.split("/")[1] for name in names})
        for part, n in (("train", config.n_train or len(names)), ("test", config.n_test)):
            of = {c: [each for each in names if each.startswith(f"{part}/{c}/")] for c in classes}
            chosen = [(name, k) for k, c in enumerate(classes) for name in of[c][: n // len(classes)]]
            pixels = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name, _ in chosen])
            codes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            parts.append((codes, torch.tensor([k for _, k in chosen])))
    return parts[0], parts[1]


def _packaged(config: Config) -> tuple[Any, Any]:
    """Cut random squares from three photographs; a class is a photograph. Training and test squares may overlap."""
    rng, parts = np.random.default_rng(0), []
    screen = npc.Display.from_px_per_deg(4, resolution_px=(96, 96))
    wide = [npc.data.sample_image(name, screen)[0] for name in ("china", "flower", "grace_hopper")]
    for n in (config.n_train, config.n_test):
        labels = np.repeat(np.arange(len(wide)), n // len(wide))
        corners = rng.integers(0, 96 - SIDE + 1, (len(labels), 2))
        crops = [wide[k][:, y : y + SIDE, x : x + SIDE] for k, (y, x) in zip(labels, corners, strict=True)]
        parts.append((npc.color.linear_to_srgb(torch.stack(crops)).clamp(0, 1), torch.from_numpy(labels)))
    return parts[0], parts[1]


class _Normalized(nn.Module):
    def forward(self, codes: Tensor) -> Tensor:
        """Subtract ImageNet's mean, divide by its standard deviation."""
        mean, sd = (codes.new_tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return (codes - mean) / sd


def _network(config: Config, seed: int, n_classes: int) -> nn.Module:
    if config.network != "small":
        chosen = None if config.weights == "random" else config.weights
        whole = {"size_px": 224, "resize_px": None}  # trained and tested at 224 px; CrossViT resamples inside
        net = npc.nets.load(config.network, weights=chosen, preprocess=whole, random_state=seed, num_classes=n_classes)
        return net.to(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _small(n_classes).to(config.device)


def _small(n_classes: int) -> nn.Module:
    """Four convolutions with batch normalisation and a linear read-out of all places."""

    def block(a: int, b: int, side: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(a, b, side, stride, side // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU())

    parts = OrderedDict(normalized=_Normalized(), conv1=block(3, 16, 5, 2), conv2=block(16, 32, 3, 1))
    parts |= {"pool": nn.MaxPool2d(2), "conv3": block(32, 48, 3, 1), "conv4": block(48, 64, 3, 2)}
    return nn.Sequential(parts | {"flat": nn.Flatten(), "classes": nn.Linear(64 * 16, n_classes)})


def _train(config: Config, cell: str, seed: int, train: Any, place: Path | None, progress: bool) -> nn.Module:
    rotate, attack = CELLS[cell]
    n_classes = len(train.classes) if hasattr(train, "classes") else int(train[1].max()) + 1
    network = _network(config, seed, n_classes)
    robust.fit_robust(
        network, train, rotate=rotate, eps=config.eps_255 / 255 if attack else 0.0,
        learning_rates=config.learning_rates, batch_size=config.batch_size, mixed_precision=config.mixed_precision,
        checkpoint=None if place is None else place.with_suffix(".pt"), random_state=seed, progress=progress,
    )  # fmt: skip
    return network.eval()


def _chunks(test: Any, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield test pictures, `n` of them spread over all classes, as many at a time as memory bears."""
    if isinstance(test, tuple):
        at = np.linspace(0, len(test[0]) - 1, min(n, len(test[0]))).astype(int)
        yield test[0][at], test[1][at]
        return
    at = np.linspace(0, len(test) - 1, min(n, len(test))).astype(int)
    for part in np.array_split(at, -(-len(at) // 256)):
        items = [test[int(i)] for i in part]
        yield torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])


def _tested(config: Config, network: nn.Module, test: Any, seed: int) -> dict[str, Any]:
    """Accuracy upright, over the four quarter turns, and against PGD of growing strength."""
    upright, turned, n = 0.0, 0.0, 0
    for x, y in _chunks(test, config.n_test):
        x, y = x.to(config.device), y.to(config.device)
        each = [robust.accuracy(network, torch.rot90(x, k, (2, 3)), y) for k in range(4)]
        upright, turned, n = upright + each[0] * len(x), turned + float(np.mean(each)) * len(x), n + len(x)
    parts = list(_chunks(test, config.n_attack))
    x, y = (torch.cat([part[i] for part in parts]).to(config.device) for i in (0, 1))
    curve = robust.attack_curve(
        network, x, y, eps=np.array(config.attack_255) / 255, iters=config.attack_iters, rng=seed
    )
    at = config.attack_255.index(config.eps_255)
    return {
        "accuracy": upright / n, "rotated": turned / n, "pgd": float(curve["accuracy"].iloc[at]),
        "curve": curve["accuracy"].tolist(),
    }  # fmt: skip


def _session(config: Config) -> tuple[xr.DataArray, npc.StimulusSet, bool]:
    """Return macaque V4 and its pictures; without data, planted neurons that read a random network."""
    folder = Path(os.environ.get("NEUROPERC_DATA", "")) / V4_FOLDER
    if folder.is_dir():
        pictures = npc.data.read_cowley_stimuli(folder, config.session, display=SCREEN, size_deg=8)
        v4 = npc.data.read_cowley_v4(folder, config.session)
        if config.n_v4:
            kept = pictures.ids[:: len(pictures.ids) // config.n_v4][: config.n_v4]
            pictures, v4 = pictures[kept], v4[np.isin(v4["stimulus_id"].values, kept)]
        return v4, pictures, False
    rng = np.random.default_rng(0)
    codes, _ = _packaged(dataclasses.replace(config, n_train=96, n_test=3))[0]
    pictures = npc.StimulusSet.from_arrays(
        codes, display=npc.Display.from_px_per_deg(4, resolution_px=(SIDE, SIDE)), encoding="srgb"
    )
    layer = _record(_network(dataclasses.replace(config, network="small"), 99, 2), pictures, ("conv2",))
    axes = npc.regression.rotate(layer.values).left[:, :10]
    truth = axes @ rng.normal(size=(10, 12))
    trials = truth / truth.std(axis=0) + 1.5 * rng.normal(size=(6, *truth.shape))
    planted = npc.data.make_responses(trials.reshape(-1, 12), stimulus_id=pictures.ids * 6, source="planted")
    return planted, pictures, True


def _record(network: nn.Module, pictures: npc.StimulusSet, layers: tuple[str, ...]) -> xr.DataArray:
    raw = {"mean": (0, 0, 0), "std": (1, 1, 1), "size_px": SIDE}
    how = {} if isinstance(network, npc.nets.Net) else {"preprocess": raw}
    return npc.record(network, pictures, list(layers), dtype="float16", **how)


def _fit_to_v4(
    config: Config, network: nn.Module, v4: xr.DataArray, pictures: npc.StimulusSet, seed: int
) -> dict[str, Any]:
    """Median signed r² / reliability of the layer chosen inside the training stimuli of every split."""
    features = _record(network, pictures, config.layers)
    found = npc.encoding.choose_layer(
        features, v4, estimator="ridge", splits=config.splits, inner_splits=config.inner_splits, rng=1
    )  # the same splits for every network
    inner = dict(zip(found["layer"].values.tolist(), found["inner"].values.mean(1).tolist(), strict=True))
    r = float(np.nanmedian(found["raw"].values.mean(0)))
    return {"v4": float(found["aggregate"]), "v4_r": r, "chosen": found["chosen"].values.tolist(), "by_layer": inner}


LOOK = dict(zip(CELLS, (npplot.COLORS[c] for c in ("grey", "sky", "vermilion", "blue")), strict=True))
TITLES = {"accuracy": "upright pictures", "rotated": "quarter turns", "pgd": "PGD", "v4": "macaque V4"}


def plot(result: Result) -> Figure:
    """Draw the 2 x 2 for each measure, the paper's numbers, and accuracy against attacks of growing strength."""
    with npplot.style():
        canvas = npplot.figure(2, 3, width_in=3.2, height_in=2.7)
        axes, n = canvas.axes, len(result.config["seeds"])
        for ax, measure in zip((axes[0], axes[1], axes[2], axes[3]), MEASURES, strict=True):
            _draw_cells(ax, measure, result)
        _draw_paper(axes[4], result.data["paper"])
        _draw_curves(axes[5], result)
        bars = (
            f"bars and lines: means of {n} seeds (dots); whiskers and bands: 95 % t intervals" if n > 1 else "one seed"
        )
        of, n_classes = OF[result.config["pictures"]]
        for ax in (*axes[:3], axes[5]):
            ax.axhline(1 / n_classes, color="black", ls=":", lw=0.8)
        axes[0].legend(fontsize=7, loc="upper right", bbox_to_anchor=(1, 1.12))
        canvas.suptitle(f"here: {of}; {bars}; dotted: chance", fontsize=9)
    return canvas


#: Pictures, and into how many classes they fall.
OF = {"cifar10": ("CIFAR-10", 10), "packaged": ("packaged photographs", 3), "imagenet": ("ImageNet", 1000)}


def _draw_cells(ax: Any, measure: str, result: Result) -> None:
    for k, cell in enumerate(CELLS):
        values = np.array(result.data["table"][measure][cell], dtype=float)
        found = _summary(values.tolist())
        ax.bar(k, found[0], color=LOOK[cell], alpha=0.55, width=0.7)
        ax.plot(np.full(len(values), k - 0.18), values, "o", ms=3, color=LOOK[cell])
        if len(found) == 3:
            ax.errorbar(k + 0.12, found[0], [[found[0] - found[1]], [found[2] - found[0]]], color="black", lw=1)
        if measure == "accuracy":
            label = "paper (ImageNet)" if k == 0 else None
            ax.plot(k + 0.12, result.data["paper"][cell]["top1"], "x", color="black", label=label)
    ax.set_xticks(range(len(CELLS)), list(CELLS), fontsize=7)
    title = TITLES[measure]
    if measure == "pgd":
        title += f", ±{result.config['eps_255']:g}/255, {result.config['attack_iters']} steps"
    ax.set(title=title, ylabel="median signed r² / reliability" if measure == "v4" else "accuracy")
    low, high = ax.get_ylim()
    ax.set_ylim(*((min(0, low), 1.05 * high) if measure == "v4" else (0, 1)))  # an interval may leave what can be


def _draw_paper(ax: Any, paper: dict[str, dict[str, float]]) -> None:
    places = ("V1", "V2", "V4", "IT", "behaviour")
    for k, cell in enumerate(CELLS):
        ax.bar(np.arange(5) + 0.2 * (k - 1.5), [paper[cell][p] for p in places], 0.18, color=LOOK[cell], label=cell)
    ax.set_xticks(range(5), places, fontsize=8)
    ax.set(title="paper: CrossViT-18†, ImageNet", ylabel="Brain-Score, (r / c)²", ylim=(0, 0.8))
    ax.legend(fontsize=7, ncol=2, loc="upper left")


def _draw_curves(ax: Any, result: Result) -> None:
    for cell, runs in result.data["curves"].items():
        ends = np.array([_summary(each) for each in np.array(runs, dtype=float).T.tolist()])
        ax.plot(result.data["attack_255"], ends[:, 0], "o-", ms=3, color=LOOK[cell], label=cell)
        if ends.shape[1] == 3:
            ax.fill_between(result.data["attack_255"], ends[:, 1], ends[:, 2], color=LOOK[cell], alpha=0.2, lw=0)
    ax.axvline(result.config["eps_255"], color="black", lw=0.6, ls=":")
    ax.annotate("trained", (result.config["eps_255"], 1), xycoords=("data", "axes fraction"), fontsize=7,
                xytext=(2, -8), textcoords="offset points")  # fmt: skip
    ax.set(title="attacks of growing strength", xlabel="bound (codes of 255)", ylabel="accuracy")
    ax.set_ylim(0, 1)
