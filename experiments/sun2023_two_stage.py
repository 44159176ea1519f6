"""Sun et al. 2023: a small two-stage model, trained on made clips, against its first stage, flow algorithms and people.

The profile "paper" is the recipe of the weights that come with the package. Clips and their seeds are fixed by
`Config.seed`; none has a plaid, second-order or apparent motion in it. With `checkpoint` a killed training goes on.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from neuroperc import plot as npplot
from neuroperc import stimuli
from neuroperc.data import StimulusSet
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import endpoint_error
from neuroperc.motion import FlowClips, TwoStageMotion, flow_training_clips, kitti_session, plaid_tuning, train_flow

FPS, PX_PER_DEG, N_DIRECTIONS = 30.0, 8.0, 12  # of the test stimuli, and directions of gratings and plaids
_NETWORKS = ("stage1_alone", "two_stage")
GRATINGS = [(sf, tf) for sf in (0.5, 1.0, 2.0) for tf in (1.875, 3.75, 7.5)]  # cycles per degree, hertz


@dataclass(frozen=True)
class Config:
    """Size of the model and of the training, seed, where to put weights and state of training ("" for nowhere)."""

    n_scales: int
    n_units: int
    spread: float
    radius_px: int
    n_iterations: int
    n_train: int
    n_test: int
    size_px: int
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    n_samples: int
    threads: int
    save: str
    checkpoint: str


def run(config: Config, progress: bool = False) -> Measured:
    """Train both models on the same clips in the same order, and test them."""
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        return _run(config, progress)
    finally:
        torch.set_num_threads(before)


def _run(config: Config, progress: bool) -> Measured:
    test = flow_training_clips(config.n_test, size_px=config.size_px, rng=np.random.default_rng((config.seed, 2)))
    models, history = _trained(config, progress)
    if config.save:
        models["two_stage"].save(config.save, note=_note(config, history))
        for state in _states(config):
            state.unlink(missing_ok=True)  # the next run trains anew
        models["two_stage"] = TwoStageMotion.pretrained(config.save)  # measured as it is stored
    values: dict[str, Any] = {"n_parameters": {k: _size(m) for k, m in models.items()}}
    held_out, intervals = _held_out(models, test, config.seed)
    tuning = _tuning(models["two_stage"], min(config.n_samples, 2))
    values |= held_out | tuning[0] | _illusions(models, config)
    people, deviations = _people(models)
    values |= people.pop("values")
    intervals |= people.pop("intervals", {})
    data = {"loss": history["loss"], "index": tuning[1], "people": people, "shown": _shown(models["two_stage"], test)}
    return Measured(values, intervals, "95 % interval over held-out clips, or over probes", data, deviations)


def _size(model: TwoStageMotion) -> int:
    return sum(p.numel() for p in model.parameters())


def _states(config: Config) -> list[Path]:
    """Return the files that keep the state of training."""
    return [Path(f"{config.checkpoint}.{name}.pt") for name in _NETWORKS if config.checkpoint]


def _trained(config: Config, progress: bool) -> tuple[dict[str, TwoStageMotion], dict[str, Any]]:
    clips = flow_training_clips(
        config.n_train, size_px=config.size_px, augment=True, rng=np.random.default_rng((config.seed, 1))
    )
    states = _states(config) or [None, None]
    models, history = {}, {"loss": {}}
    for name, state in zip(_NETWORKS, states, strict=True):
        if state is not None:
            state.parent.mkdir(parents=True, exist_ok=True)
        model = TwoStageMotion(
            n_scales=config.n_scales, n_units=config.n_units, spread=config.spread, radius_px=config.radius_px,
            edge="replicate", n_iterations=config.n_iterations if name == "two_stage" else 0, random_state=config.seed,
        )  # fmt: skip
        result = train_flow(
            model, clips, steps=config.steps, batch_size=config.batch_size, learning_rate=config.learning_rate,
            checkpoint=state, checkpoint_every=50, progress=progress, random_state=config.seed,
        )  # fmt: skip
        losses = result.history["loss"]
        width = max(1, len(losses) // 100)
        history["loss"][name] = losses[: len(losses) // width * width].reshape(-1, width).mean(1).tolist()
        models[name] = model.eval()
    return models, history


def _note(config: Config, history: dict[str, Any]) -> dict[str, Any]:
    """Say what the weights are and how they came about."""
    recipe = {k: v for k, v in asdict(config).items() if k not in ("save", "checkpoint")}
    return {
        "what": "a small two-stage motion model (after Sun et al. 2023), trained from random weights",
        "recipe": "experiments/sun2023_two_stage.py, profile paper",
        "settings": recipe,
        "training_clips": "made by neuroperc.motion.flow_training_clips; no pictures of others",
        "licence": "that of this package",
        "final_loss": history["loss"]["two_stage"][-1],
    }


@torch.no_grad()
def _predicted(model: TwoStageMotion, clips: FlowClips) -> list[np.ndarray]:
    """Return the velocity of Stage I and of every iteration, each (n, 2, h, w)."""
    parts = [model.stages(movie, encoding="srgb").velocity_px for movie, _ in clips.batches(16)]
    return [torch.cat(each).numpy() for each in zip(*parts, strict=True)]


def _held_out(models: dict[str, TwoStageMotion], test: FlowClips, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """End-point error of every clip and model, means by kind, and the paired difference that is required."""
    truth = test.velocity_px.numpy()
    flows: dict[str, np.ndarray] = {"no_motion": np.zeros_like(truth)}
    flows["stage1_alone"] = _predicted(models["stage1_alone"], test)[-1]
    steps = _predicted(models["two_stage"], test)
    flows |= {"two_stage": steps[-1], "stage1_within": steps[0]}
    for name, algorithm in algorithms().items():
        middle = test.movies.shape[1] // 2
        pairs = test.movies[:, middle : middle + 2].numpy()
        flows[name] = np.stack([algorithm(first, second) for first, second in pairs])
    each = {name: np.nanmean(endpoint_error(flow, truth), axis=(1, 2)) for name, flow in flows.items()}
    means = {name: float(errors.mean()) for name, errors in each.items()}
    kinds = {k: {n: float(e[test.kind == k].mean()) for n, e in each.items()} for k in sorted(set(test.kind))}
    less = each["stage1_alone"] - each["two_stage"]
    drawn = np.random.default_rng(seed).integers(len(less), size=(2000, len(less)))
    by_step = [float(np.nanmean(endpoint_error(flow, truth), axis=(1, 2)).mean()) for flow in steps]
    values: dict[str, Any] = {
        "epe_all_px": means, "epe_by_kind_px": kinds, "epe_by_iteration_px": by_step, "epe_less_px": float(less.mean()),
    }  # fmt: skip
    shapes = np.isin(test.kind, ("textured", "plain"))
    on_shapes = {name: float(errors[shapes].mean()) for name, errors in each.items()}
    compared = (
        ("epe_px", "stage1_alone", means), ("epe_farneback_px", "farneback", means), ("epe_dis_px", "dis", means),
        ("epe_shapes_farneback_px", "farneback", on_shapes), ("epe_shapes_dis_px", "dis", on_shapes),
    )  # fmt: skip
    for key, other, of in compared:
        values[key] = {name: of[name] for name in ("two_stage", other)} if other in of else None
    return values, {"epe_less_px": np.quantile(less[drawn].mean(1), [0.025, 0.975])}


def algorithms() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return OpenCV's flow algorithms, if there: from two uint8 pictures to (2, h, w) velocity, y up."""
    if importlib.util.find_spec("cv2") is None:
        return {}
    import cv2

    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def signed(flow: np.ndarray) -> np.ndarray:
        return np.moveaxis(flow, -1, 0) * np.array([1, -1])[:, None, None]

    return {
        "farneback": lambda a, b: signed(cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)),
        "dis": lambda a, b: signed(dis.calc(a, b, None)),
    }


def _display(side: int = 64) -> tuple[Display, dict[str, Any]]:
    """Return a display on which test stimuli have the size of the training clips, and how they are shown."""
    display = Display.from_px_per_deg(PX_PER_DEG, resolution_px=(side, side), refresh_hz=FPS)
    return display, {"size_deg": side / PX_PER_DEG, "duration_s": 11 / FPS}


def _tuning(model: TwoStageMotion, n_phases: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pattern index Z_p - Z_c of every unit, each with the grating that drives it best, in 12 directions."""
    display, shown = _display()

    def energies(movies: Tensor) -> Tensor:
        """Mean energy (batch, stages * units), without the places at the border."""
        return torch.cat([e[..., 1:-1, 1:-1].mean((2, 3)) for e in model.stages(movies).energy], 1)

    found = [
        plaid_tuning(
            energies, display, sf_cpd=sf, tf_hz=tf, n_directions=N_DIRECTIONS, contrast=0.5, n_phases=n_phases, rng=0,
            **shown,
        )
        for sf, tf in GRATINGS
    ]  # fmt: skip
    best = np.stack([each.responses["gratings"].mean(0).max(0) for each in found]).argmax(0)
    every = np.stack([each.table["index"].to_numpy() for each in found])[best, np.arange(len(best))]
    kinds = np.stack([each.table["kind"].to_numpy() for each in found])[best, np.arange(len(best))]
    names = ["stage1", *(f"iteration_{i + 1}" for i in range(model.n_iterations))]
    index = dict(zip(names, every.reshape(len(names), -1), strict=True))
    counts = {
        name: {"median_index": float(np.median(index[name])), "units": len(of)}
        | {kind: int((of == kind).sum()) for kind in ("pattern", "component", "unclassed")}
        for name, of in zip(names, kinds.reshape(len(names), -1), strict=True)
    }
    medians = {"stage1": counts["stage1"]["median_index"], "stage2": counts[names[-1]]["median_index"]}
    plain = {name: values.tolist() for name, values in index.items()}
    return {"pattern_index": medians, "tuning": counts | {"n_directions": N_DIRECTIONS}}, plain


def _illusions(models: dict[str, TwoStageMotion], config: Config) -> dict[str, Any]:
    """Velocity along the direction of the jumps, in shares of the true speed, for four directions and some samples."""
    display, shown = _display()
    directions = [0.0, 90.0, 180.0, 270.0]
    common = {"direction_deg": directions, **shown}
    made: dict[str, list[StimulusSet]] = {"phi": [], "reverse_phi": [], "drift_balanced": [], "missing_fundamental": []}
    for seed in range(config.n_samples):
        for name in ("phi", "reverse_phi"):
            made[name].append(
                stimuli.phi_motion(display, step_deg=0.25, check_deg=0.25, reverse=name != "phi", rng=seed, **common)
            )
        made["drift_balanced"].append(
            stimuli.second_order(display, sf_cpd=0.5, tf_hz=3.75, modulation="drift_balanced", rng=seed, **common)
        )
        made["missing_fundamental"].append(
            stimuli.gratings(
                display,
                sf_cpd=0.5,
                waveform="missing_fundamental",
                motion="step",
                phase_deg="random",
                rng=seed,
                hold_frames=2,
                **common,
            )
        )
    table = {name: {stimulus: _along(model, sets) for stimulus, sets in made.items()} for name, model in models.items()}
    return {f"{stimulus}_share": table["two_stage"][stimulus] for stimulus in made} | {"illusions": table}


@torch.no_grad()
def _along(model: TwoStageMotion, sets: list[StimulusSet]) -> float:
    shares = []
    for each in sets:
        movies = torch.stack(list(each))
        seen = model(movies)[..., 8:-8, 8:-8].mean((2, 3)).double().numpy() * FPS / PX_PER_DEG
        truth = each.truth["velocity_deg_s"]
        shares.append((seen * truth).sum(1) / (truth**2).sum(1))
    return float(np.mean(shares))


def _people(models: dict[str, TwoStageMotion]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Compare with what people saw in session 1 of KITTI, when the data are there."""
    names = ("kitti_r", "kitti_partial")
    folder = Path(os.environ.get("NEUROPERC_DATA", "nowhere")) / "motion"
    if not (folder / "kitti_session1").is_dir():
        return {"values": dict.fromkeys(names)}, ("human flow not compared: NEUROPERC_DATA is not set",)

    def clip(model: TwoStageMotion, smaller: int) -> Callable[[Tensor], Tensor]:
        def flow(frames: Tensor) -> Tensor:
            size = frames.shape[-2:]
            small = [n // smaller for n in size]
            middle = functional.interpolate(frames[0, 2:13], small, mode="bilinear", antialias=True)[None].clamp(0, 1)
            seen = model(middle, encoding="srgb")
            gain = torch.tensor([size[1] / small[1], size[0] / small[0]])[:, None, None]
            return functional.interpolate(seen, size, mode="bilinear") * gain

        return flow

    def pair(algorithm: Callable[..., np.ndarray]) -> Callable[[Tensor], Tensor]:
        def flow(frames: Tensor) -> Tensor:
            grey = (frames[0] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
            first, second = (grey * 255).round().to(torch.uint8).numpy()
            return torch.from_numpy(algorithm(first, second).astype(np.float32))[None]

        return flow

    # Speeds in these movies are beyond those of the training clips: at a quarter of the size they are not.
    callables = {name: clip(model, 4) for name, model in models.items()}
    callables["two_stage_full_size"] = clip(models["two_stage"], 1)
    callables |= {name: pair(algorithm) for name, algorithm in algorithms().items()}
    shown = {name: "pair" if name in algorithms() else "clip" for name in callables}
    report = kitti_session(folder / "kitti_session1", folder / "huperflow", callables, shown=shown, rng=0)
    rows = report.models.set_index(["model", "measure"])
    wanted = {"r_human": "r_human_uv", "r_truth": "r_truth_uv", "partial": "partial_uv", "epe_human": "epe_human"}
    table = {
        name: {ours: rows.loc[(name, theirs), ["estimate", "low", "high"]].tolist() for ours, theirs in wanted.items()}
        for name in callables
    }
    mine = table["two_stage"]
    values = {
        "kitti": table, "kitti_n_probes": len(report.data),
        "kitti_r": {"r_truth": mine["r_truth"][0], "r_human": mine["r_human"][0]}, "kitti_partial": mine["partial"][0],
    }  # fmt: skip
    return {"values": values, "intervals": {"kitti_partial": mine["partial"][1:]}}, ()


def _shown(model: TwoStageMotion, test: FlowClips) -> list[dict[str, Any]]:
    """Return the middle frame, true and predicted velocity of the first textured and the first plain clip, coarsely."""
    found = []
    for kind in ("textured", "plain"):
        k = int(np.flatnonzero(test.kind == kind)[0]) if (test.kind == kind).any() else 0
        one = FlowClips(test.movies[k : k + 1], test.velocity_px[k : k + 1], test.kind[k : k + 1])
        seen = _predicted(model, one)[-1][0, :, 4::8, 4::8]
        found.append({
            "frame": test.movies[k, 5].tolist(), "truth": test.velocity_px[k, :, 4::8, 4::8].tolist(),
            "seen": seen.round(3).tolist(),
        })  # fmt: skip
    return found


def plot(result: Result) -> Figure:
    """Draw training, errors, an example, and the pattern index of Stage I and Stage II."""
    with npplot.style():
        canvas = npplot.figure(2, 3, width_in=4, height_in=3.2)
        loss, errors, index, *rest = canvas.axes
        for name, values in result.data["loss"].items():
            loss.plot(np.linspace(0, result.config["steps"], len(values)), values, label=_NAMES[name], lw=1)
        loss.set(xlabel="step", ylabel="training loss (px per frame)", yscale="log")
        loss.yaxis.set_major_formatter("{x:g}")
        loss.yaxis.set_minor_formatter("{x:g}")
        loss.legend()
        means = result.values["epe_all_px"]
        errors.barh([_NAMES[name] for name in means], list(means.values()), color="0.6")
        errors.set(xlabel=f"mean end-point error, {result.config['n_test']} held-out clips (px per frame)")
        every = np.concatenate([np.asarray(v) for v in result.data["index"].values()])
        bins = np.linspace(every.min() - 0.1, every.max() + 0.1, 25)
        last = list(result.data["index"])[-1]
        for name, label in (("stage1", "Stage I"), (last, "Stage II")):
            index.hist(result.data["index"][name], bins, alpha=0.6, label=label)
        index.axvline(0, color="0.3", lw=0.8)
        index.set(xlabel="$Z_p - Z_c$ (component | pattern)", ylabel="units")
        index.legend()
        for ax, example, title in zip(rest, result.data["shown"], ("textured shapes", "plain shapes"), strict=False):
            _example(ax, example)
            ax.set_title(f"held out: {title}")
        _bars(rest[2], result)
    return canvas


_NAMES = {
    "two_stage": "two stages", "stage1_alone": "Stage I alone", "stage1_within": "its Stage I",
    "no_motion": "no motion", "farneback": "Farneback", "dis": "DIS",
}  # fmt: skip


def _example(ax: Any, example: dict[str, Any]) -> None:
    ax.imshow(np.asarray(example["frame"]), cmap="gray", vmin=0, vmax=255)
    at = np.arange(4, len(example["frame"]), 8)
    for key, color in (("truth", npplot.COLORS["blue"]), ("seen", npplot.COLORS["vermilion"])):
        u, v = np.asarray(example[key], dtype=float)
        ax.quiver(at, at, u, v, color=color, scale=40, width=0.008, label={"truth": "true", "seen": "model"}[key])
    ax.legend(loc="upper right", frameon=True)
    ax.set_axis_off()


def _bars(ax: Any, result: Result) -> None:
    """Draw what each model sees of the illusions."""
    table = result.values["illusions"]
    stimuli_shown = list(next(iter(table.values())))
    for k, (name, shares) in enumerate(table.items()):
        ax.barh(np.arange(len(shares)) + 0.35 * k, list(shares.values()), 0.35, label=_NAMES[name])
    ax.set_yticks(np.arange(len(stimuli_shown)) + 0.17, [s.replace("_", " ") for s in stimuli_shown])
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlabel="seen velocity / true velocity")
    ax.legend()
