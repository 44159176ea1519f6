"""Pointer networks on small problems: convex hulls, shortest round trips, sorting.

A network a problem is trained on problems drawn anew for every step; its state is kept under .cache, so that a stopped
run goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.search import pointer as npp
from neuroperc.training import fit

CACHE = Path(__file__).parents[1] / ".cache" / "vinyals2015_pointer"
TASKS: dict[str, tuple[Callable[..., npp.Problems], int]] = {
    "sort5": (npp.sorting_problems, 5),
    "hull5": (npp.hull_problems, 5),
    "hull10": (npp.hull_problems, 10),
    "tour5": (npp.tour_problems, 5),
    "tour10": (npp.tour_problems, 10),
}


@dataclass(frozen=True)
class Config:
    """Steps of each problem (0 leaves it out), batch, units, rate, how many problems are tested, beams, seed."""

    steps: dict[str, int]
    batch_size: int
    d_hidden: int
    learning_rate: float
    n_test: int
    n_beams: int
    n_resamples: int
    seed: int


class Drawn:
    """Problems without end: step k of the training sees problems drawn from (seed, k)."""

    def __init__(self, task: str, n_steps: int, config: Config) -> None:
        self.make, self.n_points = TASKS[task]
        self.n_steps, self.batch_size, self.seed = n_steps, config.batch_size, config.seed

    def __len__(self) -> int:
        """How many steps there are."""
        return self.n_steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return a whole batch."""
        problems = self.make(self.batch_size, self.n_points, rng=np.random.default_rng((self.seed, 1, step)))
        return torch.as_tensor(problems.points), torch.as_tensor(problems.answers)


def run(config: Config, progress: bool = False) -> Measured:
    """Train what is asked for, then solve problems that no network has seen."""
    torch.set_num_threads(1)
    values: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}
    losses = {}
    for task in TASKS:
        steps = config.steps.get(task, 0)
        net, losses[task] = _trained(task, steps, config, progress) if steps else (None, [])
        kind = task.rstrip("0123456789")
        found, ends = {"sort": _sorting, "hull": _hulls, "tour": _tours}[kind](task, net, config)
        values |= found
        intervals |= ends
    values["steps"] = config.steps
    return Measured(values, intervals, f"95 % interval over {config.n_test} problems, one network", {"losses": losses})


def _trained(task: str, steps: int, config: Config, progress: bool) -> tuple[npp.PointerNet, list[float]]:
    """Return the network of one problem and a hundred values of its loss."""
    key = hashlib.sha256(json.dumps([asdict(config) | {"steps": steps}, task], sort_keys=True).encode()).hexdigest()[
        :12
    ]
    CACHE.mkdir(parents=True, exist_ok=True)
    net = npp.PointerNet(1 if task.startswith("sort") else 2, d_hidden=config.d_hidden, random_state=config.seed)
    result = fit(
        net, Drawn(task, steps, config), loss=lambda model, batch: model.loss(*batch), steps=steps, batch_size=1,
        optimizer=lambda p: torch.optim.Adam(p, lr=config.learning_rate), schedule="cosine",
        warmup_steps=min(100, steps // 10), clip_norm=2.0, collate=lambda items: items[0],
        checkpoint=CACHE / f"{task}_{key}.checkpoint", checkpoint_every=500,
        progress=progress, random_state=config.seed,
    )  # fmt: skip
    loss = result.history["loss"]
    return net.eval(), [float(part.mean()) for part in np.array_split(loss, min(100, len(loss)))]


def _problems(task: str, config: Config) -> tuple[npp.Problems, Tensor]:
    make, n_points = TASKS[task]
    problems = make(config.n_test, n_points, rng=np.random.default_rng((config.seed, 2)))
    return problems, torch.as_tensor(problems.points)


def _interval(value: np.ndarray, config: Config) -> list[float]:
    picks = np.random.default_rng(config.seed).integers(len(value), size=(config.n_resamples, len(value)))
    return np.quantile(value[picks].mean(1), [0.025, 0.975]).tolist()


def _sorting(task: str, net: npp.PointerNet | None, config: Config) -> tuple[dict[str, Any], dict[str, list[float]]]:
    if net is None:
        return {f"{task}_correct": None}, {}
    problems, points = _problems(task, config)
    right = (npp.solve(net, points, rule="all").numpy() == problems.answers).all(1).astype(float)
    return {f"{task}_correct": float(right.mean())}, {f"{task}_correct": _interval(right, config)}


def _hulls(task: str, net: npp.PointerNet | None, config: Config) -> tuple[dict[str, Any], dict[str, list[float]]]:
    if net is None:
        return dict.fromkeys((f"{task}_correct", f"{task}_area", f"{task}_simple")), {}
    problems, points = _problems(task, config)
    answers = npp.solve(net, points, rule="distinct", n_beams=config.n_beams).numpy()
    scores = npp.hull_scores(problems.points, answers, problems.answers)
    one_by_one = [
        npp.hull_scores(*(part[k : k + 1] for part in (problems.points, answers, problems.answers))).correct
        for k in range(len(answers))
    ]
    found = {f"{task}_{name}": value for name, value in scores._asdict().items()}
    greedy = npp.solve(net, points, rule="distinct").numpy()
    found[f"{task}_greedy_correct"] = npp.hull_scores(problems.points, greedy, problems.answers).correct
    return found, {f"{task}_correct": _interval(np.array(one_by_one), config)}


def _tours(task: str, net: npp.PointerNet | None, config: Config) -> tuple[dict[str, Any], dict[str, list[float]]]:
    if net is None:
        return dict.fromkeys((f"{task}_length", f"{task}_ratio", f"{task}_optimal_length")), {}
    problems, points = _problems(task, config)
    answers = npp.solve(net, points, rule="all", n_beams=config.n_beams).numpy()
    length, best = (npp.tour_length(problems.points, order) for order in (answers, problems.answers))
    ratio = length.mean() / best.mean()
    found = {f"{task}_length": float(length.mean()), f"{task}_ratio": float(ratio),
             f"{task}_optimal_length": float(best.mean()),
             f"{task}_exact": float((length < best * (1 + 1e-6)).mean())}  # fmt: skip
    return found, {f"{task}_length": _interval(length, config)}


NAMES = {"sort5": "sorting five numbers", "hull5": "hull of five points", "hull10": "hull of ten points",
         "tour5": "round trip, five towns", "tour10": "round trip, ten towns"}  # fmt: skip


def plot(result: Result) -> Figure:
    """Draw the training loss of every network."""
    with npplot.style():
        canvas = npplot.figure(1, 1, width_in=4.2, height_in=3)
        ax = canvas.axes[0]
        for task, color in zip(TASKS, npplot.COLORS.values(), strict=False):
            loss: Sequence[float] = result.data["losses"][task]
            steps = result.config["steps"].get(task, 0)
            if loss:
                ax.plot((np.arange(len(loss)) + 0.5) * steps / len(loss), loss, color=color, label=NAMES[task])
        ax.set(xlabel="step", ylabel="cross-entropy (nats a step)", ylim=(0, None))
        ax.legend()
    return canvas
