"""OAT on the Amazon covers: scanpaths over 84 books from positions and the target flag only, split by picture.

Every seed is its own split, its own start and its own file under .cache, so that a stopped run goes on where it was.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from neuroperc import plot as npplot
from neuroperc.data import read_amazon_covers
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import OBJECT_STATISTICS, behavioral_delta, levenshtein, multimatch, nss, sequence_score
from neuroperc.search import objects as npo

COVERS = "search/sti_amazon/Amazon.json"
CACHE = Path(__file__).parents[1] / ".cache" / "fang2024_oat_amazon"
TRAINED = ("oat", "pointer_additive", "pointer_dot")
UNTRAINED = ("random", "random_to_target", "center", "nearest", "nearest_to_target")
CONTROL = "people_elsewhere"
MODELS = (*TRAINED, *UNTRAINED, CONTROL)
ABOUT_PEOPLE = ("n_paths", "human_statistics", "human_sequence_similarity", "human_edit_distance",
                "delta_beside_one_person", "oat_sequence_similarity", "oat_edit_distance")  # fmt: skip
GRID = (6, 14)


@dataclass(frozen=True)
class Config:
    """Which paths, how many seeds, how long and how large the models, and what is drawn from them."""

    paths: Literal["amazon", "made"]
    seed: int
    n_seeds: int
    epochs: int
    patience: int
    d_model: int
    n_layers: int
    learning_rate: float
    mixed_precision: Literal["no", "bf16"]
    d_pointer: int
    pointer_learning_rate: float
    batch_scenes: int
    n_samples: int
    n_validation_samples: int
    n_resamples: int
    device: str = "cpu"


def run(config: Config, progress: bool = False) -> Measured:
    """Train each seed, or read what it left behind; then compare people with people and with every model."""
    torch.set_num_threads(1)
    trials, grid = _amazon() if config.paths == "amazon" else _made(config.seed)
    seeds = [_seed(config, k, trials, grid, progress) for k in range(config.n_seeds)]
    tested = [_tested(trials, seed) for seed in seeds]
    people = _people(trials)
    values, intervals = _claims(config, tested, people)
    data = {"measures": _summary(tested), "people": people, "curves": [seed["curves"] for seed in seeds]}
    values |= {"n_seeds": len(seeds), "n_test_pictures": sum(len(t["picture"]) for t in tested),
               "table": data["measures"], "by_seed": [_delta(config, [t]) for t in tested],
               "epochs_run": [seed["epochs"] for seed in seeds]}  # fmt: skip
    if config.paths == "made":
        values |= dict.fromkeys(ABOUT_PEOPLE)
        intervals = {name: ends for name, ends in intervals.items() if name not in ABOUT_PEOPLE}
    of = f"95 % interval over test pictures of {len(seeds)} seeds"
    return Measured(values, intervals, of, data=data)


def _amazon() -> tuple[npo.ObjectTrials, tuple[int, int]]:
    folder = os.environ.get("NEUROPERC_DATA")
    path = Path(folder or "") / COVERS
    if not folder or not path.is_file():
        raise FileNotFoundError(f"{COVERS} must be in the folder NEUROPERC_DATA, got {folder}. The profile smoke runs "
                                "without it, on made paths.")  # fmt: skip
    # Only which cell is looked at counts here, so that any display on which the collages fit will do.
    display = Display.from_px_per_deg(40, resolution_px=(1600, 2560))
    return npo.object_trials(*read_amazon_covers(path, display=display)), GRID


def _made(seed: int) -> tuple[npo.ObjectTrials, tuple[int, int]]:
    """Twenty shelves of 3 by 4, four searchers each, who go to a near object and sometimes look again."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.divmod(np.arange(12), 4), -1)
    target = rng.integers(12, size=20)
    scenes = npo.make_scenes(cells, target)
    visits = npo.nearest_paths(scenes, n_samples=4, rng=rng)
    more = torch.as_tensor(rng.random((20, 4, 3)) < 0.5)  # the target again, then back to the first one and home
    target = scenes.target[:, None, None].expand(20, 4, 1)
    looks = torch.cat((visits, visits.new_full((20, 4, 3), -1)), -1)
    end = (visits >= 0).sum(-1, keepdim=True)
    looks.scatter_(-1, end, torch.where(more[..., :1], target, -1))
    end += more[..., :1]
    looks.scatter_(-1, end, torch.where(more[..., 1:2], visits[..., :1], -1))
    looks.scatter_(-1, end + 1, torch.where(more[..., 1:2], target, -1))
    return npo.ObjectTrials(scenes, looks, np.array([f"{k:02d}" for k in range(20)])), (3, 4)


def _seed(config: Config, k: int, trials: npo.ObjectTrials, grid: tuple[int, int], progress: bool) -> dict[str, Any]:
    """Return the test pictures of one seed and every model's paths on them."""
    own = dataclasses.asdict(config) | {"k": k}
    own = {name: value for name, value in own.items() if name not in ("n_seeds", "n_resamples", "device")}
    key = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"seed{k}_{key}.pt"
    if path.is_file():
        return torch.load(path, weights_only=False)
    train, validation, test = npo.grouped_split(trials.stimulus_id, fold=k, rng=config.seed)
    parts = [trials.take(rows) for rows in (train, validation, test)]
    found: dict[str, Any] = {"test": test, "paths": {}, "curves": {}, "epochs": {}, "next": {}}
    longest = parts[0].paths.shape[-1]
    for name in TRAINED:
        model = _model(config, name, grid, k).to(config.device)
        oat = name == "oat"
        fitted = npo.fit_paths(
            model, parts[0], validation=parts[1], epochs=config.epochs, batch_size=config.batch_scenes,
            learning_rate=config.learning_rate if oat else config.pointer_learning_rate, patience=config.patience,
            n_samples=config.n_validation_samples, mixed_precision=config.mixed_precision if oat else "no",
            checkpoint=path.with_suffix(f".{name}.checkpoint"), checkpoint_every=5,
            progress=progress, random_state=config.seed + k,
        )  # fmt: skip
        found["curves"][name] = fitted.history["validation"].tolist()
        found["epochs"][name] = len(fitted.history["validation"])
        scenes, people = parts[2].scenes.to(config.device), parts[2].paths.to(config.device)
        drawn = npo.sample_paths(model, scenes, n_samples=config.n_samples, max_steps=longest, rng=config.seed)
        found["paths"][name] = drawn.cpu()
        found["paths"][name + "_greedy"] = npo.greedy_paths(model, scenes, max_steps=longest)[:, None].cpu()
        found["next"][name] = float(npo.next_object_probability(model.eval(), scenes, people).nanmean())
    found["paths"] |= _untrained(config, parts[0], parts[2].scenes, k)
    torch.save(found, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    for name in TRAINED:
        path.with_suffix(f".{name}.checkpoint").unlink(missing_ok=True)
    return found


def _model(config: Config, name: str, grid: tuple[int, int], k: int) -> nn.Module:
    seed = config.seed + k
    if name == "oat":
        return npo.OAT(grid=grid, d_model=config.d_model, n_layers=config.n_layers, d_feedforward=config.d_model,
                       random_state=seed)  # fmt: skip
    score: Any = name.removeprefix("pointer_")
    return npo.PointerDecoder(grid=grid, score=score, d_model=config.d_pointer, random_state=seed)


def _untrained(config: Config, train: npo.ObjectTrials, scenes: npo.ObjectScenes, k: int) -> dict[str, Tensor]:
    rng = np.random.default_rng((config.seed, k))
    lengths = (train.paths >= 0).sum(-1)
    paths, lengths = train.paths[lengths > 0], lengths[lengths > 0].numpy()
    how: dict[str, Any] = {"n_samples": config.n_samples, "rng": rng}
    alike, middle = (npo.object_priority(scenes, kind=kind) for kind in ("random", "center"))
    picked = rng.integers(len(paths), size=(len(scenes.target), config.n_samples))
    return {
        "random": npo.priority_paths(scenes, alike, lengths=lengths, **how),
        "random_to_target": npo.priority_paths(scenes, alike, **how),
        "center": npo.priority_paths(scenes, middle, lengths=lengths, **how),
        "nearest": npo.nearest_paths(scenes, lengths=lengths, **how),
        "nearest_to_target": npo.nearest_paths(scenes, **how),
        CONTROL: paths[torch.as_tensor(picked)],
    }


def multimatch_of_objects(a: np.ndarray, b: np.ndarray, *, pairs: Any = None) -> np.ndarray:
    """MultiMatch of cell centres, mean of vector, direction, length and position; NaN below three fixations."""
    points = []
    for paths in (a, b):
        row, column = np.divmod(paths, GRID[1])
        place = np.stack(((column + 0.5) * 183, (row + 0.5) * 267, np.ones(paths.shape)), -1)
        points.append(np.where(paths[..., None] >= 0, place, np.nan))
    return multimatch(*points, screen=(1600, 2560), pairs=pairs)[..., :4].mean(-1)


MEASURES: dict[str, Callable[..., Any]] = {
    "sequence_similarity": sequence_score,
    "edit_distance": levenshtein,
    "multimatch": multimatch_of_objects,
}


def _mean(values: np.ndarray) -> float:
    """Return the mean of the values that are there; NaN for none."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if there.size else float("nan")


def _statistics(paths: Tensor, target: Tensor) -> np.ndarray:
    """Return (picture, path, 5)."""
    return npo.path_statistics(paths, target).reshape(*paths.shape[:2], 5)


def _nss(people: np.ndarray, drawn: np.ndarray, n_objects: int, *, binary: bool) -> float:
    """Return how far above the mean the map of drawn fixations is where people looked, over cells."""
    seen = np.bincount(drawn[drawn >= 0], minlength=n_objects).astype(float)
    seen = (seen > 0).astype(float) if binary else seen
    looked = people[people >= 0]
    return float(nss(seen[None], np.stack((looked, np.zeros_like(looked)), -1)).mean())


def _tested(trials: npo.ObjectTrials, seed: dict[str, Any]) -> dict[str, Any]:
    """Return, for every test picture, people's and models' statistics and mean similarity of models with people."""
    test = trials.take(seed["test"])
    out: dict[str, Any] = {"picture": test.stimulus_id, "next": seed["next"],
                           "human": _statistics(test.paths, test.scenes.target)}  # fmt: skip
    people = [paths[paths[:, 0] >= 0] for paths in test.paths.numpy()]
    for name, paths in seed["paths"].items():
        drawn = paths.numpy()
        out[name] = {"statistics": _statistics(paths, test.scenes.target)}
        for measure, metric in MEASURES.items():
            of_picture = [_mean(metric(p, d, pairs="all")) for p, d in zip(people, drawn, strict=True)]
            out[name][measure] = np.array(of_picture)
        for measure, binary in (("nss_binary", True), ("nss", False)):
            out[name][measure] = np.array([
                _nss(p, d, test.scenes.n_objects, binary=binary) for p, d in zip(people, drawn, strict=True)
            ])  # fmt: skip
    return out


def _people(trials: npo.ObjectTrials) -> dict[str, Any]:
    """Return people beside people: statistics, similarity of all pairs on a picture, one person beside the others."""
    statistics = _statistics(trials.paths, trials.scenes.target)
    people = [paths[paths[:, 0] >= 0] for paths in trials.paths.numpy()]
    found = {
        measure: np.concatenate([metric(*(p[k] for k in np.triu_indices(len(p), 1))) for p in people if len(p) > 1])
        for measure, metric in MEASURES.items()
    }
    apart = [
        behavioral_delta(statistics[:, k], np.delete(statistics, k, 1).reshape(-1, 5))
        for k in range(statistics.shape[1])
    ]
    return {"statistics": dict(zip(OBJECT_STATISTICS, np.nanmean(statistics, (0, 1)), strict=True)),
            "n_paths": int(np.isfinite(statistics[..., 0]).sum()), "n_pairs": len(found["edit_distance"]),
            "delta_of_one_person": float(np.mean(apart)), "delta_by_person": apart,
            **{measure: _mean(values) for measure, values in found.items()}}  # fmt: skip


def _delta(config: Config, tested: list[dict[str, Any]], weights: np.ndarray | None = None) -> dict[str, Any]:
    """Return every model's behavioural distance over all test pictures, each counted `weights` (resample, picture)."""
    n = sum(len(t["picture"]) for t in tested)
    w = np.ones((1, n)) if weights is None else weights

    def mean(parts: list[np.ndarray]) -> np.ndarray:
        paths = np.concatenate([np.nansum(part, 1) for part in parts])
        counts = np.concatenate([np.isfinite(part[..., 0]).sum(1) for part in parts])
        return (w @ paths) / (w @ counts)[:, None]

    human = mean([t["human"] for t in tested])
    found = {}
    for name in MODELS:
        model = mean([t[name]["statistics"] for t in tested])
        found[name] = (np.abs(model - human) / np.where(human > 0, human, 1)).mean(1)
    return found if weights is not None else {name: float(value[0]) for name, value in found.items()}


def _measure(tested: list[dict[str, Any]], name: str, measure: str, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean over people's paths of one measure (each picture's mean counts its number of people)."""
    value = np.concatenate([t[name][measure] for t in tested])
    people = np.concatenate([np.isfinite(t["human"][..., 0]).sum(1) for t in tested])
    w = np.ones((1, len(value))) if weights is None else weights
    there = np.isfinite(value)  # MultiMatch needs three fixations
    value, people = np.where(there, value, 0), people * there
    return (w @ (value * people)) / (w @ people)


def _summary(tested: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in (n for n in tested[0] if n not in ("picture", "human", "next")):
        statistics = np.concatenate([np.nanmean(t[name]["statistics"], 1) for t in tested]).mean(0)
        out[name] = dict(zip(OBJECT_STATISTICS, statistics, strict=True))
        out[name] |= {
            measure: float(_measure(tested, name, measure)[0]) for measure in (*MEASURES, "nss_binary", "nss")
        }
        if name in TRAINED:
            out[name]["next_object_probability"] = float(np.mean([t["next"][name] for t in tested]))
    human = np.concatenate([t["human"].reshape(-1, 5) for t in tested])
    return out | {"people": dict(zip(OBJECT_STATISTICS, np.nanmean(human, 0), strict=True))}


def _claims(
    config: Config, tested: list[dict[str, Any]], people: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    n = sum(len(t["picture"]) for t in tested)
    rng = np.random.default_rng(config.seed)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=config.n_resamples).astype(float)
    delta, spread = _delta(config, tested), _delta(config, tested, draws)
    rivals = [name for name in MODELS if name not in ("oat", CONTROL)]
    best = min(rivals, key=lambda name: delta[name])
    values: dict[str, Any] = {
        "delta": delta, "best_rival": best, "oat_delta": delta["oat"],
        "delta_beside_best_rival": delta["oat"] - delta[best],
        "delta_beside_people_elsewhere": delta["oat"] - delta[CONTROL],
        "delta_beside_one_person": delta["oat"] - people["delta_of_one_person"],
        "human_statistics": list(people["statistics"].values()), "n_paths": people["n_paths"],
        **{f"human_{measure}": people[measure] for measure in MEASURES},
    }  # fmt: skip
    resampled = {"oat_delta": spread["oat"], "delta_beside_best_rival": spread["oat"] - spread[best],
                 "delta_beside_people_elsewhere": spread["oat"] - spread[CONTROL]}  # fmt: skip
    for measure, sign in (("sequence_similarity", 1), ("edit_distance", -1)):
        all_means = {name: float(_measure(tested, name, measure)[0]) for name in MODELS}
        top = max(rivals, key=lambda name: sign * all_means[name])
        values |= {f"oat_{measure}": all_means["oat"], f"best_rival_{measure}": top,
                   f"{measure}_beside_best_rival": all_means["oat"] - all_means[top]}  # fmt: skip
        drawn = {name: _measure(tested, name, measure, draws) for name in ("oat", top)}
        resampled |= {f"oat_{measure}": drawn["oat"], f"{measure}_beside_best_rival": drawn["oat"] - drawn[top]}
    return values, {name: np.quantile(value, [0.025, 0.975]).tolist() for name, value in resampled.items()}


def plot(result: Result) -> Figure:
    """Draw behavioural distance and sequence similarity of every model, people's beside them."""
    names = [*TRAINED, *UNTRAINED, CONTROL]
    labels = [name.replace("_", " ").replace("oat", "OAT") for name in names]
    with npplot.style():
        canvas = npplot.figure(1, 3, width_in=3.6, height_in=3.3)
        left, middle, right = canvas.axes
        table, people, seeds = (result.data[name] for name in ("measures", "people", "curves"))
        colors = [npplot.COLORS["vermilion"]] + [npplot.COLORS["blue"]] * 2 + [npplot.COLORS["grey"]] * 6
        shown = [
            [result.values["delta"][name] for name in names],
            [table[name]["sequence_similarity"] for name in names],
        ]
        marks = people["delta_of_one_person"], people["sequence_similarity"]
        titles = "behavioural distance to people (0: alike)", "sequence similarity to people (1: alike)"
        for ax, heights, mark, title in zip((left, middle), shown, marks, titles, strict=True):
            ax.barh(labels, heights, color=colors)
            ax.axvline(mark, color="black", lw=1, ls="--")
            ax.invert_yaxis()
            ax.set_xlabel(title)
        for k, found in enumerate(result.values["by_seed"]):
            left.plot([found[name] for name in names], np.arange(len(names)) - 0.15 + 0.3 * k / len(seeds), "k.", ms=3)
        left.set_title(
            f"test sets of {len(seeds)} seeds together (bars),\none by one (dots); dashed: one person", fontsize=9
        )
        middle.set_title("mean over pictures;\ndashed: person with person", fontsize=9)
        right.set_title("training, a line a seed", fontsize=9)
        middle.set_yticklabels([])
        for k, curves in enumerate(seeds):
            for name, color in zip(TRAINED, ("vermilion", "blue", "sky"), strict=True):
                right.plot(np.arange(1, len(curves[name]) + 1), curves[name], color=npplot.COLORS[color], lw=0.8,
                           label=labels[names.index(name)] if k == 0 else None)  # fmt: skip
        right.xaxis.get_major_locator().set_params(integer=True)
        right.set(xlabel="epoch", ylabel="behavioural distance, validation", ylim=(0, None))
        right.legend()
    return canvas
