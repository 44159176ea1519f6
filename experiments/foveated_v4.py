"""Does foveation raise the fit of macaque V4? A network sees pictures plain, foveated, or blurred evenly."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

import neuroperc as npc
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.foveation import FoveatedBlur

FOLDER = Path("brainscore") / "cowley2023_v4"
PX = 112  # of the pictures, along each side
PAPER_ONLY = ("wide", "wide_over_control", "off_centre", "off_centre_over_control")
NO_DATA = "simulated: the folder NEUROPERC_DATA holds no V4 session, so 40 planted neurons answer 64 crops"


@dataclass(frozen=True)
class Config:
    """A session, how many of its pictures, layers (claims are about the last), and ways of looking.

    A view is (name, width of the picture in degrees, gaze x in degrees).
    """

    session: str
    n_pictures: int | None
    layers: tuple[str, ...]
    views: tuple[tuple[str, float, float], ...]
    n_resamples: int
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Score layers for the plain pictures, and for each view and its control; compare them pair by pair."""
    torch.manual_seed(config.seed)
    v4, codes, deviations = _session(config)
    net = npc.nets.efficientnet_lite0()
    net.net.to(memory_format=torch.channels_last)  # the same numbers to rounding, in two thirds of the time

    def scored(size_deg: float, foveate: FoveatedBlur | None) -> xr.Dataset:
        pictures = _pictures(codes, size_deg)
        units = npc.record(net, pictures, list(config.layers), foveate=foveate, dtype="float16", progress=progress)
        return npc.encoding.benchmark(units, v4, estimator="ridge", rule=_rule(v4), n_resamples=config.n_resamples,
                                      rng=config.seed)  # fmt: skip

    plain = scored(config.views[0][1], None)
    shown: dict[str, Any] = {"plain": _profile(plain)}
    differences: dict[str, dict[str, Any]] = {}
    for name, size_deg, gaze_deg in config.views:
        display = npc.Display.from_px_per_deg(PX / size_deg, resolution_px=(PX, PX))
        blur = FoveatedBlur(display, model="half_resolution", fixation_deg=(gaze_deg, 0.0))
        control, facts = matched_blur(blur, codes)
        both = {name: scored(size_deg, blur), f"{name}, control": scored(size_deg, control)}
        shown |= {key: _profile(one) for key, one in both.items()}
        pairs = {"plain": (both[name], plain), "control": (both[name], both[f"{name}, control"])}
        differences[name] = facts | {key: _difference(*pair, v4, config) for key, pair in pairs.items()}
    values = _claims(differences, config)
    values["acuity"] = _acuity_change(codes, config.views[0][1])
    values["plain_r"] = shown["plain"]["r"][-1]
    simulated = bool(deviations)
    data = {"shown": shown, "differences": differences, "layers": list(config.layers)}
    data["example"] = _example(codes, config)
    main = differences[config.views[0][0]]
    text = f"{config.layers[-1]}: plain r {values['plain_r']:.3f}"
    for key in ("plain", "control"):
        middle, low, high = main[key]["last"]
        text += f"; foveated - {key} {middle:+.4f} [{low:+.4f}, {high:+.4f}]"
    judged = {key: None if simulated else value for key, value in values.items()}
    return Measured(judged, data=data, deviations=deviations, summary=text + " (simulated)" * simulated)


def _session(config: Config) -> tuple[xr.DataArray, npc.StimulusSet, list[str]]:
    """Return trials, and pictures that are moved from screen to screen by `_pictures`."""
    folder = Path(os.environ.get("NEUROPERC_DATA", "")) / FOLDER
    screen = npc.Display.from_px_per_deg(PX / 8, resolution_px=(PX, PX))
    if folder.is_dir():
        pictures = npc.data.read_cowley_stimuli(folder, config.session, display=screen, size_deg=8)
        v4 = npc.data.read_cowley_v4(folder, config.session)
        if config.n_pictures is not None:
            chosen = np.sort(np.random.default_rng(config.seed).permutation(len(pictures))[: config.n_pictures])
            pictures = pictures[[pictures.ids[i] for i in chosen]]
            v4 = v4.isel(presentation=np.isin(v4["stimulus_id"].values, pictures.ids))
        return v4, pictures, []
    rng = np.random.default_rng(config.seed)
    photo = np.asarray(npc.data.sample_image("china", npc.Display.from_px_per_deg(20, resolution_px=(427, 640)))[0])
    corners = rng.integers((427 - PX, 640 - PX), size=(64, 2))
    crops = np.stack([photo[:, t : t + PX, s : s + PX] for t, s in corners])
    pictures = npc.StimulusSet.from_arrays(crops, display=screen)
    truth = np.random.default_rng(1).normal(size=(64, 40))
    trials = truth + rng.normal(size=(4, *truth.shape))
    return npc.data.make_responses(trials.reshape(-1, 40), stimulus_id=pictures.ids * 4), pictures, [NO_DATA]


def _pictures(pictures: npc.StimulusSet, size_deg: float) -> npc.StimulusSet:
    """Return the same pictures on a screen on which they are so large."""
    display = npc.Display.from_px_per_deg(PX / size_deg, resolution_px=(PX, PX))
    images = torch.stack([pictures[i] for i in range(len(pictures))])
    return npc.StimulusSet.from_arrays(images, display=display, ids=pictures.ids, size_deg=size_deg)


def matched_blur(blur: FoveatedBlur, pictures: npc.StimulusSet, n: int = 48) -> tuple[FoveatedBlur, dict[str, float]]:
    """Return a blur with one cut-off everywhere that takes as much out of pictures as `blur` does.

    As much: the same mean squared change of linear light over `n` pictures. The filters are those of the core too.
    """
    some = torch.stack([pictures[i] for i in np.linspace(0, len(pictures) - 1, min(n, len(pictures))).astype(int)])
    with torch.no_grad():
        seen = blur(some)
        wanted = float((seen - some).square().mean())
        low, high = 0.02 * blur.display.nyquist_cpd, blur.display.nyquist_cpd
        for _ in range(14):
            cutoff = (low * high) ** 0.5
            made = FoveatedBlur(blur.display, cutoff_cpd=np.full(blur.display.resolution_px, cutoff))
            low, high = (cutoff, high) if float((made(some) - some).square().mean()) > wanted else (low, cutoff)
        same = made(some)
    facts = {
        "cutoff_share_of_nyquist": cutoff / blur.display.nyquist_cpd, "rms_change": wanted**0.5,
        "rms_change_control": float((same - some).square().mean()) ** 0.5,
        "ssim": _ssim(some, seen), "ssim_control": _ssim(some, same),
    }  # fmt: skip
    return made, facts


def _ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    codes = [npc.color.linear_to_srgb(npc.color.luminance(x)) for x in (a, b)]
    return float(npc.metrics.ssim(*codes, data_range=1.0).mean())


def _rule(v4: xr.DataArray) -> str:
    single = len(np.unique(v4["stimulus_id"])) == v4.sizes["presentation"]
    return "r" if single else "signed"


def _difference(first: xr.Dataset, second: xr.Dataset, v4: xr.DataArray, config: Config) -> dict[str, Any]:
    """Return (difference, low, high) of the median score a layer, and of each neuron's r in the last layer."""
    options = {"n_resamples": config.n_resamples, "rng": config.seed}
    found = [npc.encoding.compare_models(first, second, v4, layer=(name, name), **options) for name in config.layers]
    by_neuron = (first["raw"].values[-1] - second["raw"].values[-1]).mean(axis=0)
    every = [(one.estimate, one.low, one.high) for one in found]
    return {"by_layer": every, "last": every[-1], "neurons": by_neuron, "share_higher": float((by_neuron > 0).mean())}


def _claims(differences: dict[str, Any], config: Config) -> dict[str, Any]:
    """Return lower ends of the intervals, which the claims judge, and what else is stored."""
    values: dict[str, Any] = dict.fromkeys(PAPER_ONLY)
    for i, (key, view) in enumerate(zip(("main", "wide", "off_centre"), config.views, strict=False)):
        found = differences[view[0]]
        values |= {key: found["plain"]["last"][1], f"{key}_over_control": found["control"]["last"][1]}
        if i == 0:
            ssim = {"foveated": found["ssim"], "control": found["ssim_control"]}
            values |= {"match": found["rms_change_control"] / found["rms_change"], "ssim": ssim}
    return values


def _acuity_change(pictures: npc.StimulusSet, size_deg: float) -> float:
    """Return the largest change that the eye's acuity limit makes to pictures of so few pixels."""
    display = npc.Display.from_px_per_deg(PX / size_deg, resolution_px=(PX, PX))
    some = torch.stack([pictures[i] for i in range(min(8, len(pictures)))])
    return float((FoveatedBlur(display)(some) - some).abs().max())


def _profile(scores: xr.Dataset) -> dict[str, Any]:
    r = np.nanmedian(scores["raw"].values, axis=2).mean(axis=1)
    return {"r": r.tolist(), "score": scores["pooled"].values, "interval": scores["interval"].values,
            "formula": scores.attrs["formula"], "interval_of": scores["interval"].attrs["of"]}  # fmt: skip


def _example(pictures: npc.StimulusSet, config: Config) -> dict[str, Any]:
    """Return a packaged photograph as the network would see it in the first view (grey, code values).

    Plain, foveated, control; the photographs that the monkey saw are not ours to pass on.
    """
    name, size_deg, gaze_deg = config.views[0]
    display = npc.Display.from_px_per_deg(PX / size_deg, resolution_px=(PX, PX))
    blur = FoveatedBlur(display, model="half_resolution", fixation_deg=(gaze_deg, 0.0))
    one = npc.data.sample_image("grace_hopper", display, fit="resize")[0][None]
    control, _ = matched_blur(blur, pictures)
    grey = [npc.color.luminance(x)[0, 0] for x in (one, blur(one), control(one))]
    codes = [npc.color.linear_to_srgb(x).mul(255).round().clamp(0, 255).int() for x in grey]
    return dict(zip(("plain", f"foveated, {name}", "control"), codes, strict=True))


def plot(result: Result) -> Figure:
    """Draw an example, the profiles, and the paired differences of every view."""
    with npplot.style():
        canvas = npplot.figure(1, 5, width_in=2.5, height_in=3.0)
        for ax, (name, codes) in zip(canvas.axes[:3], result.data["example"].items(), strict=True):
            ax.imshow(np.asarray(codes), cmap="gray", vmin=0, vmax=255)
            ax.set_title(name)
            ax.set_axis_off()
        layers, first = result.data["layers"], list(result.data["shown"])[:3]
        ax = canvas.axes[3]
        for name in first:
            one = result.data["shown"][name]
            kind = "control" if name.endswith("control") else "foveated"
            label = name if name == "plain" else f"{kind}, {name.removesuffix(', control')}"
            npplot.layer_profile(
                layers, np.asarray(one["score"], float), interval=np.asarray(one["interval"], float),
                interval_of="95 %", label=label, quantity=f"median {one['formula']}", ax=ax,
            )  # fmt: skip
        ax.set_ylim(0, 1)
        _differences(canvas.axes[4], result)
    return canvas


def _differences(ax: Any, result: Result) -> None:
    found = result.data["differences"]
    for k, (key, color) in enumerate((("plain", "blue"), ("control", "vermilion"))):
        middle, low, high = np.array([one[key]["last"] for one in found.values()], dtype=float).T
        x = np.arange(len(found)) + 0.2 * (k - 0.5)
        ax.errorbar(
            x,
            middle,
            (middle - low, high - middle),
            fmt="o",
            color=npplot.COLORS[color],
            label=f"foveated - {key}, 95 %",
        )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(found)), [name.replace(", ", ",\n") for name in found])
    ax.set(
        ylabel=f"difference of\nmedian scores, {result.data['layers'][-1]}",
        xlim=(-0.6, len(found) - 0.4),
    )
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
