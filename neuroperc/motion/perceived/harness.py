"""One call a data set: what people saw against the truth, and every model against both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..._check import as_rng, check, fail, one_of
from ...data import (
    FlowClip,
    PerceivedFlow,
    read_huperflow,
    read_huperflow_clip,
    read_second_order_flow,
    read_sintel_slow,
    read_temporal_flow,
)
from . import _measures as ms
from .agreement import ceilings, flow_agreement

Predictions = Mapping[str, Any]
_SPLITS_OF_CEILING = 200


@dataclass(frozen=True, eq=False)
class FlowReport:
    """What people saw and how models compare.

    Attributes
    ----------
    people
        A row a subset: ``n_probes n_movies``; people's mean response against the truth (``r_uv r_speed r_direction
        epe epe_median angle_deg gain speed_ratio``); end-point errors of no motion and of the mean perceived motion of a
        movie (``epe_zero epe_movie``); ``consistency`` of a model equal to people; and, with single trials,
        ``ceiling_trials ceiling_people`` and ``r_between`` (mean correlation of two people); NaN without.
    models
        A row a subset, model and measure: ``estimate low high low_movies high_movies``.
    without
        A row a subset, model and movie: the estimates without that movie.
    of
        What the intervals are.
    data
        What was compared.

    Examples
    --------
    >>> report = sintel_slow("sintel_slow_human", {"mine": velocities}, rng=0)  # doctest: +SKIP
    >>> report.people.r_uv.round(3).tolist()  # doctest: +SKIP
    [0.924]
    """

    people: pd.DataFrame
    models: pd.DataFrame
    without: pd.DataFrame
    of: str
    data: PerceivedFlow

    def mean(self, measure: str) -> pd.Series:
        """Return the mean of a measure over subsets, one number a model."""
        rows = self.models[self.models["measure"] == measure]
        check(len(rows) > 0, "measure", "one of " + ", ".join(sorted(set(self.models["measure"]))), measure)
        return rows.groupby("model", sort=False)["estimate"].mean()


def flow_report(
    data: PerceivedFlow,
    predictions: Predictions | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: int | np.random.Generator = 0,
) -> FlowReport:
    """Compare people with the truth, and models with both, subset by subset.

    Parameters
    ----------
    data
        What people saw.
    predictions
        Name to (n, 2) velocities (vx, vy), y up, in the unit of `data`; they join the ones that came with the data.
    level, n_resamples, rng
        As in `flow_agreement`. Models share their resamples.

    Returns
    -------
    FlowReport

    Raises
    ------
    ValueError
        For another shape or NaN; the model is named.

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> truth = np.random.default_rng(0).normal(size=(90, 2))
    >>> table = pd.DataFrame({"movie": np.repeat(list("abc"), 30), "subset": "all"})
    >>> data = npc.data.PerceivedFlow("made", table, human=0.8 * truth, truth=truth)
    >>> report = flow_report(data, {"truth": truth})
    >>> report.mean("epe_truth").tolist(), round(float(report.people.gain.iloc[0]), 3)
    ([0.0], 0.8)
    """
    from ...data.perceived_flow import as_flow

    joined = dict(data.models)
    for name, values in dict(predictions or {}).items():
        joined[name] = as_flow(f"predictions[{name!r}]", values, len(data))
    seed = int(as_rng(rng).integers(2**31))
    people, models, without, of = [], [], [], ""
    for subset in dict.fromkeys(data.table["subset"]):
        rows = (data.table["subset"] == subset).to_numpy()
        part = data.select(rows)
        people.append({"subset": subset} | _people(part, np.random.default_rng(seed)))
        for name, values in joined.items():
            found = flow_agreement(values[rows], part, level=level, n_resamples=n_resamples, rng=seed)
            of = found.of
            models.append(found.table.reset_index().assign(subset=subset, model=name))
            without.append(found.without.reset_index().assign(subset=subset, model=name))
    empty = pd.DataFrame(columns=["subset", "model", "measure", "estimate", "low", "high", "low_movies", "high_movies"])
    return FlowReport(
        pd.DataFrame(people).set_index("subset"),
        pd.concat(models, ignore_index=True)[list(empty.columns)] if models else empty,
        pd.concat(without, ignore_index=True) if without else pd.DataFrame(columns=["movie", "subset", "model"]),
        of, data,
    )  # fmt: skip


def _people(data: PerceivedFlow, rng: np.random.Generator) -> dict[str, Any]:
    human, truth = data.as_on_disk(data.human), data.as_on_disk(data.truth)
    flows = ms.Flows(human, human, truth)
    ones = np.ones((1, len(data)))
    made = {name: float(m(ones)[0]) for name, m in ms.measures(flows).items() if name.startswith(("r_truth", "cons"))}
    apart, angle = ms.speed(human - truth), ms.angles(flows)
    turned = np.abs(angle.human - angle.truth)[(ms.speed(human) > 0) & (ms.speed(truth) > 0)]
    by_movie = pd.DataFrame(human).groupby(data.table["movie"].to_numpy())
    steady = ms.speed(human - by_movie.transform("mean").to_numpy()).mean() if by_movie.size().max() > 1 else np.nan
    speeds = ms.speed(human), ms.speed(truth)
    found = {
        "n_probes": len(data), "n_movies": data.table["movie"].nunique(),
        **{f"r_{k}": made[f"r_truth_{k}"] for k in ("uv", "speed", "direction")},
        "epe": apart.mean(), "epe_median": np.median(apart), "angle_deg": np.rad2deg(np.median(turned)),
        "gain": (speeds[0] * speeds[1]).sum() / (speeds[1] ** 2).sum(),
        "speed_ratio": speeds[0].mean() / speeds[1].mean(),
        "epe_zero": speeds[0].mean(), "epe_movie": steady, "consistency": made["consistency"],
        "ceiling_trials": np.nan, "ceiling_people": np.nan, "r_between": _between(data, ones),
    }  # fmt: skip
    known = ceilings(data, rng, _SPLITS_OF_CEILING)
    return found | {f"ceiling_{name}": float(measure(ones)[0]) for name, measure in known.items()}


def _between(data: PerceivedFlow, ones: np.ndarray) -> float:
    """Return the mean correlation of two people, over the probes that both answered."""
    if data.trials is None or data.observer is None:
        return np.nan
    people = ms.person_means(data.as_on_disk(data.trials), data.observer)
    pairs = [(people[i], people[j]) for i in range(len(people)) for j in range(i)]
    r = [ms.correlation(ones * np.isfinite(a + b).all(1), *np.nan_to_num([a, b]))[0] for a, b in pairs]
    return float(np.mean(r)) if r else np.nan


def sintel_slow(
    folder: str | os.PathLike[str], predictions: Predictions | None = None, *, n_resamples: int = 1000,
    rng: int | np.random.Generator = 0,
) -> FlowReport:  # fmt: skip
    """Report on 180 probes of five slow Sintel movies.

    Parameters
    ----------
    folder
        Of `neuroperc.data.read_sintel_slow`.
    predictions
        Name to (180, 2) velocities (vx, vy), y up, movie by movie in the order of the files.
    n_resamples, rng
        As in `flow_agreement`.

    Returns
    -------
    FlowReport
        Without ceilings: single responses were not released.

    Examples
    --------
    >>> sintel_slow("sintel_slow_human").people.r_uv  # doctest: +SKIP
    """
    return flow_report(read_sintel_slow(folder), predictions, n_resamples=n_resamples, rng=rng)


def huperflow(
    folder: str | os.PathLike[str], predictions: Predictions | None = None, *, longest_px: float = 60.0,
    n_resamples: int = 1000, rng: int | np.random.Generator = 0,
) -> FlowReport:  # fmt: skip
    """Report on HuPerFlow, data set by data set: 240 probes in 24 movies each.

    Parameters
    ----------
    folder
        Of `neuroperc.data.read_huperflow`.
    predictions
        Name to (2400, 2) velocities (vx, vy), y up, sorted by data set, session, movie and place.
    longest_px
        Single responses longer than this are left out of the ceilings.
    n_resamples, rng
        As in `flow_agreement`.

    Returns
    -------
    FlowReport

    Examples
    --------
    >>> huperflow("huperflow").people.ceiling_trials  # doctest: +SKIP
    """
    data = read_huperflow(folder, longest_px=longest_px)
    return flow_report(data, predictions, n_resamples=n_resamples, rng=rng)


def temporal_flow(
    folder: str | os.PathLike[str], predictions: Predictions | None = None, *, n_resamples: int = 1000,
    rng: int | np.random.Generator = 0,
) -> FlowReport:  # fmt: skip
    """Report on the temporal-dynamics set: 200 probes, with FlowNet2 and the authors' four fits.

    Parameters and return as in `sintel_slow`; see `neuroperc.data.read_temporal_flow`.

    Examples
    --------
    >>> temporal_flow("temporal_flow").mean("r_human_uv")  # doctest: +SKIP
    """
    return flow_report(read_temporal_flow(folder), predictions, n_resamples=n_resamples, rng=rng)


def second_order(
    folder: str | os.PathLike[str], predictions: Predictions | None = None, *, n_resamples: int = 1000,
    rng: int | np.random.Generator = 0,
) -> FlowReport:  # fmt: skip
    """Report on the second-order benchmark: 40 scenes by seven modulations, with the 13 released sets of predictions.

    Predictions are (280, 2), modulation by modulation; ``report.mean("r_human_uv")`` is the figure of the paper.
    Parameters and return otherwise as in `sintel_slow`; see `neuroperc.data.read_second_order_flow`.

    Examples
    --------
    >>> second_order("second_order_human").mean("r_human_uv")  # doctest: +SKIP
    """
    return flow_report(read_second_order_flow(folder), predictions, n_resamples=n_resamples, rng=rng)


def kitti_session(
    folder: str | os.PathLike[str],
    responses: str | os.PathLike[str] | PerceivedFlow,
    models: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    shown: Literal["pair", "clip"] | Mapping[str, Literal["pair", "clip"]] = "pair",
    encoding: Literal["srgb", "linear"] = "srgb",
    n_resamples: int = 1000,
    rng: int | np.random.Generator = 0,
) -> FlowReport:
    """Report on models that see the pictures: session 1 of HuPerFlow's KITTI.

    Parameters
    ----------
    folder
        Frames ``Mov1_F01.png`` ... and ``KITTI_mov1.csv``; of movie 2 too, when its frames lie there.
    responses
        Folder of `neuroperc.data.read_huperflow`, or what it returned.
    models
        Name to a callable from frames (1, time, 3, h, w) to flow (1, 2, h, w): (vx, vy), y up, in pixels per frame,
        from the eighth frame to the ninth.
    shown
        What a model is given: ``"pair"``, those two frames, or ``"clip"``, all 15; for all, or name by name.
    encoding
        Of the frames.
    n_resamples, rng
        As in `flow_agreement`.

    Returns
    -------
    FlowReport
        Ten probes a movie.

    Raises
    ------
    FileNotFoundError, ValueError
        For missing files, or a flow of another shape or with NaN at a probe; the model is named.

    Examples
    --------
    >>> report = kitti_session("kitti_session1", "huperflow", {"still": lambda f: 0 * f[:, 0, :2]})  # doctest: +SKIP
    """
    data = responses if isinstance(responses, PerceivedFlow) else read_huperflow(responses)
    numbers = [m for m in (1, 2) if m == 1 or any(Path(folder).glob(f"Mov{m}_F01.*"))]
    clips = [read_huperflow_clip(folder, data, movie=m, encoding=encoding) for m in numbers]
    names = [f"KITTI/01/{m}" for m in numbers]
    found = {}
    for name, model in models.items():
        given = shown if isinstance(shown, str) else shown.get(name, "pair")
        one_of("shown", given, ("pair", "clip"))
        found[name] = np.concatenate([_seen(name, model, clip, given) for clip in clips])
    return flow_report(data.select(data.table["movie"].isin(names).to_numpy()), found, n_resamples=n_resamples, rng=rng)


def _seen(name: str, model: Callable[[Tensor], Tensor], clip: FlowClip, given: str) -> np.ndarray:
    frames = clip.frames[list(clip.probed)] if given == "pair" else clip.frames
    with torch.no_grad():
        flow = model(frames[None])
    points = clip.flow.table[["x_px", "y_px"]].to_numpy()
    check(isinstance(flow, Tensor), f"models[{name!r}]", "a callable that returns a Tensor", type(flow).__name__,
          error=TypeError)  # fmt: skip
    size = (1, 2, *frames.shape[-2:])
    check(tuple(flow.shape) == size, f"models[{name!r}]", f"a callable that returns flow {size}", tuple(flow.shape),
          "Return (vx, vy), y up, at every pixel of the input.")  # fmt: skip
    return flow_at(flow[0], points)


def flow_at(flow: Tensor, points_px: Any) -> np.ndarray:
    """Read a field of velocities at points, bilinearly between pixels.

    Parameters
    ----------
    flow
        (2, h, w).
    points_px
        (n, 2) places (x, y) from the centre of the top-left pixel, y down.

    Returns
    -------
    numpy.ndarray
        (n, 2), float64.

    Raises
    ------
    ValueError
        For points off the field.

    Examples
    --------
    >>> import torch
    >>> flow_at(torch.arange(8.0).view(2, 2, 2), [[0.5, 0.0], [1, 1]])
    array([[0.5, 4.5],
           [3. , 7. ]])
    """
    field = flow.detach().cpu().double().numpy()
    points = np.atleast_2d(np.asarray(points_px, dtype=float))
    check(field.ndim == 3 and points.shape[-1] == 2, "flow and points_px", "(2, h, w) and (n, 2)",
          (field.shape, points.shape))  # fmt: skip
    height, width = field.shape[1:]
    inside = ((points >= 0) & (points <= [width - 1, height - 1])).all(1)
    if not inside.all():
        fail("points_px", f"on the field of {width} by {height} pixels", points[~inside][0].tolist(), "Check (x, y).")
    low = np.minimum(np.floor(points).astype(int), np.maximum([width - 2, height - 2], 0))
    part = points - low
    x, y = low.T
    x1, y1 = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    top = field[:, y, x] * (1 - part[:, 0]) + field[:, y, x1] * part[:, 0]
    bottom = field[:, y1, x] * (1 - part[:, 0]) + field[:, y1, x1] * part[:, 0]
    return (top * (1 - part[:, 1]) + bottom * part[:, 1]).T
