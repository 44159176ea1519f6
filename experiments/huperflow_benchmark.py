"""Perceived flow: what four data sets say of people, and of models whose answers are at hand."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from neuroperc import data as npdata
from neuroperc import motion
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result


@dataclass(frozen=True)
class Config:
    """Resamples of the intervals."""

    n_resamples: int


def baselines() -> dict[str, Callable]:
    """Return Farneback's and DIS flow of OpenCV, or nothing without it."""
    try:
        import cv2
    except ImportError:
        return {}

    def of(compute: Callable) -> Callable:
        def model(frames: torch.Tensor) -> torch.Tensor:
            codes = [(255 * f.permute(1, 2, 0).numpy()).round().astype(np.uint8) for f in frames[0]]
            flow = compute(*(cv2.cvtColor(c, cv2.COLOR_RGB2GRAY) for c in codes))
            return torch.from_numpy(flow * np.float32([1, -1])).permute(2, 0, 1)[None]  # OpenCV has v down

        return model

    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return {
        "farneback": of(lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 5, 15, 3, 5, 1.2, 0)),
        "dis": of(lambda a, b: dis.calc(a, b, None)),
    }


def run(config: Config) -> Measured:
    """Run the four harnesses and the pictures of KITTI's session 1."""
    folder = os.environ.get("NEUROPERC_DATA", "")
    root = Path(folder) / "motion"
    if not folder or not root.is_dir():
        return Measured({}, deviations=["not measured: NEUROPERC_DATA does not lead to the perceived-flow files"])
    kind = {"n_resamples": config.n_resamples, "rng": 0}
    truth = npdata.read_sintel_slow(root / "sintel_slow_human").truth
    sintel = motion.sintel_slow(root / "sintel_slow_human", {"truth": truth}, **kind)
    huper = motion.huperflow(root / "huperflow", **kind)
    temporal = motion.temporal_flow(root / "temporal_flow", **kind)
    second = motion.second_order(root / "second_order_human", **kind)
    known = baselines()
    session = motion.kitti_session(root / "kitti_session1", root / "huperflow", known, **kind)
    people = sintel.people.loc["all"]
    network = temporal.models[temporal.models.model == "flownet2"].set_index("measure")
    order = second.mean("r_human_uv")
    values = {
        "sintel": people[["r_uv", "r_speed", "r_direction", "epe", "consistency"]].tolist(),
        "huperflow_r": huper.people.r_uv.tolist(),
        "huperflow_ceiling": huper.people.ceiling_trials.tolist(),
        "huperflow_ceiling_people": huper.people.ceiling_people.tolist(),
        "temporal": [temporal.people.r_uv.iloc[0], *network.estimate[["r_human_uv", "r_truth_uv", "partial_uv"]]],
        "second_order": order.to_dict(),
        "second_order_best": float(order["dual_final"]),
        "second_order_diffuse": float(order["dual_diffuse"]),
        "people_are_reliable": float((huper.people.ceiling_trials - huper.people.ceiling_people).min()),
        "kitti_people": float(session.people.r_uv.iloc[0]),
    }
    intervals = {"temporal_difference": _interval(temporal, "flownet2")}
    values["temporal_difference"] = float(network.estimate["difference_uv"])
    table = session.models.set_index(["model", "measure"]).estimate
    for name in known:
        values[f"kitti_{name}_truth"] = float(table[name, "r_truth_uv"])
        values[f"kitti_{name}"] = float(table[name, "difference_uv"])
        values[f"kitti_{name}_partial"] = float(table[name, "partial_uv"])
        intervals |= {f"kitti_{name}": _interval(session, name),
                      f"kitti_{name}_partial": _interval(session, name, "partial_uv")}  # fmt: skip
    shown = huper.people[["r_uv", "ceiling_trials", "ceiling_people"]]
    data = {
        "datasets": shown.index.tolist(),
        "n_probes": huper.people.n_probes.tolist(),
        "people": shown.to_numpy().tolist(),
        "second_order": order.to_dict(),
        "second_order_people": float(second.people.r_uv.mean()),
    }
    notes = [] if known else ["OpenCV is not installed: no Farneback, no DIS"]
    return Measured(values, intervals, "95 % interval over probes within movies", data=data, deviations=notes)


def _interval(report: motion.FlowReport, model: str, measure: str = "difference_uv") -> tuple[float, float]:
    row = report.models[(report.models.model == model) & (report.models.measure == measure)].iloc[0]
    return float(row.low), float(row.high)


def plot(result: Result) -> Figure:
    """Draw people against the truth and their ceilings, and models of the second-order benchmark."""
    with npplot.style():
        canvas = npplot.figure(1, 2, width_in=5.5, height_in=3.8)
        left, right = canvas.axes[:2]
        if not result.data:
            left.set_title("not measured: no data")
            return canvas
        r, trials, people = np.array(result.data["people"]).T
        place = np.arange(len(r))
        left.plot(place, np.sqrt(trials), "_", ms=14, mew=2, label="ceiling, same people")
        left.plot(place, np.sqrt(people), "_", ms=14, mew=2, label="ceiling, other people")
        probes = "-".join(dict.fromkeys(map(str, (min(result.data["n_probes"]), max(result.data["n_probes"])))))
        left.bar(place, r, color="0.7", label="mean answer and truth")
        left.set(
            ylabel="correlation of u and v",
            ylim=(0, 1.02),
            title=f"HuPerFlow, {probes} probes a set: people, the truth and the ceilings",
        )
        left.set_xticks(place, result.data["datasets"], rotation=40, ha="right")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3)
        order = sorted(result.data["second_order"].items(), key=lambda item: item[1])
        right.barh([name.replace("_", " ") for name, _ in order], [value for _, value in order], color="0.5")
        right.axvline(result.data["second_order_people"], color="k", lw=1, ls="--", label="people and truth")
        right.set(xlabel="correlation with people", title="second-order motion, mean over seven modulations")
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28))
    return canvas
