"""Score the layers of a network against neurons: pictures and a file of responses in, table, JSON and figure out."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .. import __version__
from .._check import atomic_path, check, fail, integer, one_of
from ..data import StimulusSet, make_responses, read_brainio, read_responses, write_scores
from ..data.readers.pictures import PICTURE_SUFFIXES, picture_shape
from ..encoding import benchmark, best_layer
from ..encoding._inputs import take_target
from ..encoding.scoring import mean_over_splits, take_splits
from ..foveation import FoveatedBlur
from ..metrics import RULES
from ..nets import OBSERVERS, Net, layers, load
from ..plot import figure, layer_profile, png, style
from ..recording import record
from .pictures import check_parent, display_of, torch_device

__all__ = ["check_target", "layers_of", "read_answers", "score_files", "shown_as", "study"]

_FILES = ("layers.csv", "scores.json", "scores.nc", "layers.png")
_PARTS = ("responses", "stimulus_id")


def score_files(
    source: Path,
    responses: Path,
    target: Path,
    *,
    model: str,
    weights: str = "default",
    chosen: Sequence[str] = (),
    rule: str = "signed",
    estimator: str = "pls",
    splits: int = 10,
    stratify: str | None = None,
    reliability: float | None = None,
    px_per_deg: float | None = None,
    size_deg: tuple[float, float] | None = None,
    visual_deg: float | None = None,
    foveate: bool = False,
    fixation_deg: tuple[float, float] | None = None,
    resume: bool = False,
    seed: int = 1,
    device: str | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Write how well each layer predicts each neuron: ``layers.csv``, ``scores.json``, ``scores.nc``, ``layers.png``.

    Parameters
    ----------
    source
        A folder of pictures, named as the responses name them, or one that `StimulusSet.save` wrote.
    responses
        A file for `read_answers`.
    target
        A new folder. Features and finished layers are kept in its ``store``, so that a killed run can go on.
    model, weights, device
        As in `neuroperc.nets.load` and `neuroperc.record`; ``weights="random"`` draws them. Statistics stay on the CPU.
    chosen
        Layers and globs; default those of `neuroperc.nets.OBSERVERS`.
    rule, estimator, splits, stratify, progress
        As in `neuroperc.encoding.benchmark`.
    reliability
        Of every neuron, where the file has no repeats.
    px_per_deg, size_deg
        One of the two for a folder of pictures: pixels per degree, or (height, width) of a picture in degrees.
    visual_deg, fixation_deg
        As in `neuroperc.record`.
    foveate
        Put `neuroperc.foveation.FoveatedBlur` of the pictures' display before the network.
    resume
        Go on in a folder that is there.
    seed
        Of splits, halves, resamples and random weights.

    Returns
    -------
    dict
        What ``scores.json`` holds, and ``written``, the files.

    Raises
    ------
    ValueError, FileNotFoundError
        For files that cannot be read, stimuli without a picture, unknown layers or options, or a folder that is there.
    """
    pictures, answers = study(source, responses, target, rule=rule, estimator=estimator, splits=splits, resume=resume,
                              px_per_deg=px_per_deg, size_deg=size_deg)  # fmt: skip
    settings: dict[str, Any] = {"rule": rule, "stratify": stratify}
    if reliability is not None:
        settings["reliability"] = reliability
    check_target(answers, splits=splits, rng=seed, **settings)
    front = shown_as(pictures, visual_deg, foveate, fixation_deg) | {"device": torch_device(device)}
    net = load(model, weights=None if weights == "random" else weights, random_state=seed)
    wanted = layers_of(net, own_layers(model, chosen, [model]))
    target.mkdir(exist_ok=True)
    features = record(net, pictures, wanted, store=target / "store" / "features", memory_bytes=0, progress=progress,
                      **front)  # fmt: skip
    settings |= {"estimator": estimator, "store": target / "store" / "cells", "progress": progress}
    scores = benchmark(features, answers, splits=splits, rng=seed, **settings)
    return _write(scores, net, target)


def study(
    source: Path, responses: Path, target: Path, *, rule: str, estimator: str, splits: int, resume: bool,
    px_per_deg: float | None, size_deg: tuple[float, float] | None,
) -> tuple[StimulusSet, xr.DataArray]:  # fmt: skip
    """Check the options that need no work, and return the pictures that have responses, and the responses."""
    one_of("--rule", rule, (*RULES, "brainscore-2025", "brainscore-2026"))
    one_of("--estimator", estimator, ("pls", "ridge"))
    integer("--splits", splits, 1)
    check_parent(target)
    check(resume or not target.exists(), "OUT", "a new folder", str(target), "Name another one, or add --resume.")
    check(not target.is_file(), "OUT", "a folder", str(target), "Give it no suffix.")
    answers = read_answers(responses)
    return _shown(_pictures(source, px_per_deg, size_deg), answers, source), answers


def check_target(
    answers: xr.DataArray, *, splits: int, rng: int, rule: str, stratify: str | None, reliability: Any = "split_half"
) -> None:
    """Raise what `benchmark` would raise about the responses before a network has run for hours."""
    target = take_target(answers, groups="stimulus_id", stratify=stratify, repeats="average", reliability=reliability,
                         rule=rule, rng=rng)  # fmt: skip
    take_splits(target, splits, "shuffle", 0.1, rng)


def shown_as(
    pictures: StimulusSet, visual_deg: float | None, foveate: bool, fixation_deg: tuple[float, float] | None
) -> dict[str, Any]:
    """Return the arguments of `record` that say how pictures are looked at."""
    seen = foveate or visual_deg is not None
    check(fixation_deg is None or seen, "--fixation-deg", "given with --foveate or --visual-deg", fixation_deg,
          "Without either, the gaze changes nothing.")  # fmt: skip
    blur = FoveatedBlur(pictures.display) if foveate else None
    return {"visual_deg": visual_deg, "foveate": blur, "fixation_deg": fixation_deg}


def read_answers(path: Path) -> xr.DataArray:
    """Read a Responses: netCDF of neuroperc or of BrainIO, or ``.npz`` with plain arrays.

    Parameters
    ----------
    path
        ``.nc``, or ``.npz`` with `responses` (presentation, neuroid) and `stimulus_id` (presentation,), and, where
        there are any, `neuroid_id` and `region` (neuroid,) and `repetition`, `session` or other labels (presentation,).

    Raises
    ------
    ValueError, FileNotFoundError
        When the file is not there, of another kind, or lacks an array.
    """
    check(path.is_file(), "RESPONSES", "a file that exists", str(path), error=FileNotFoundError)
    one_of("the suffix of RESPONSES", path.suffix.lower(), (".nc", ".npz"))
    if path.suffix.lower() == ".npz":
        return _from_arrays(path)
    try:
        return read_responses(path)
    except ValueError as error:
        if "read_brainio" not in str(error):
            raise
    found = read_brainio(path)
    short = "time" in found.dims and found.sizes["time"] == 1
    return found.squeeze("time", drop=True) if short else found


def _from_arrays(path: Path) -> xr.DataArray:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        fail(
            "RESPONSES", "a whole .npz file of plain arrays", f"{path} ({error})", "Save names as text, not as objects."
        )
    missing = [name for name in _PARTS if name not in arrays]
    check(not missing, "RESPONSES", f"an .npz file with the arrays {' and '.join(_PARTS)}",
          f"{path} with {sorted(arrays)}", "Make it with np.savez(path, responses=..., stimulus_id=...).")  # fmt: skip
    values, names = arrays.pop("responses"), arrays.pop("stimulus_id")
    check(values.ndim == 2, "responses", "(presentation, neuroid)", f"shape {values.shape}", "Average over time first.")
    neuroid_id = arrays.pop("neuroid_id", None)
    coords = {}
    for name, label in arrays.items():
        dim = {values.shape[0]: "presentation", values.shape[1]: "neuroid"}
        fits = label.ndim == 1 and len(label) in dim
        check(fits, f"{name} in {path.name}", f"of length {values.shape[0]} or {values.shape[1]}", label.shape)
        coords[name] = ("neuroid" if name in ("region", "x_deg", "y_deg") else dim[len(label)], label)
    return make_responses(values, stimulus_id=names.astype(str), neuroid_id=neuroid_id, coords=coords)


def _pictures(source: Path, px_per_deg: float | None, size_deg: tuple[float, float] | None) -> StimulusSet:
    check(source.is_dir(), "PICTURES", "a folder that exists", str(source), error=FileNotFoundError)
    if (source / "stimuli.json").is_file():
        known = px_per_deg is None and size_deg is None
        check(known, "--px-per-deg and --size-deg", "left out for a saved StimulusSet", str(source), "It has its own.")
        return StimulusSet.load(source)
    check(
        (px_per_deg is None) != (size_deg is None),
        "--px-per-deg",
        "given, or --size-deg instead",
        "both" if px_per_deg is not None else "neither",
        "Stimuli have a size in degrees, which --visual-deg goes by.",
    )
    files = [path for path in source.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES]
    check(files, "PICTURES", f"a folder with {', '.join(PICTURE_SUFFIXES)} files", str(source))
    shapes = np.array([picture_shape(path)[-2:] for path in files])
    height, width = shapes.max(axis=0)
    return StimulusSet.from_folder(source, display_of((int(height), int(width)), px_per_deg, size_deg), channels=3)


def _shown(pictures: StimulusSet, answers: xr.DataArray, source: Path) -> StimulusSet:
    """Return the pictures that have responses, before any of them goes through the network."""
    asked = dict.fromkeys(answers.coords["stimulus_id"].values.astype(str).tolist())
    have = set(pictures.ids)
    missing = [name for name in asked if name not in have]
    check(not missing, "stimulus_id of RESPONSES", f"the names of pictures in {source}",
          f"{len(missing)} of {len(asked)} without one, such as {missing[:3]}",
          f"Pictures are named like {pictures.ids[:3]}: their paths without the suffix.")  # fmt: skip
    return pictures if len(asked) == len(have) else pictures[[name for name in pictures.ids if name in asked]]


def own_layers(name: str, chosen: Sequence[str], models: Sequence[str]) -> list[str]:
    """Return the layers that were asked of one model."""
    pairs = [text.rpartition("=") for text in chosen]
    for model, _, _ in pairs:
        one_of("MODEL of --layer MODEL=GLOB", model or name, tuple(models))
    return [glob for model, _, glob in pairs if model in ("", name)]


def layers_of(net: Net, chosen: Sequence[str]) -> list[str]:
    """Return the layers asked for, or those that `nets.OBSERVERS` names; an unknown one is an error before any work."""
    known = OBSERVERS.get(net.name.rpartition(":")[2].split(".")[0])
    wanted = list(chosen) or list(known.layers if known else ())
    shallow = [path for path in layers(net) if path.count(".") < 2]
    check(wanted, "--layer", "given once or more", "none", f"Layers of {net.name}: {', '.join(shallow[:40])}.")
    layers(net, [name.split("@")[0].split(":")[0] for name in wanted])
    return wanted


def _write(scores: xr.Dataset, net: Net, target: Path) -> dict[str, Any]:
    table = _table(scores)
    attrs = {name: value for name, value in scores.attrs.items() if isinstance(value, str | int | float)}
    ceiling = np.nanmedian(scores["reliability"].values) if np.isfinite(scores["reliability"].values).any() else None
    facts = {
        "model": net.name, "weights": net.weights, "neuroperc": __version__, **attrs,
        "n_neuroids": scores.sizes["neuroid"], "undefined_neuroids": _undefined(scores),
        "n_stimuli": len(np.unique(scores["stimulus_id"].values)),
        "median_reliability": None if ceiling is None else float(ceiling),
        "best_layer": best_layer(scores) if np.isfinite(scores["aggregate"].values).any() else None,
        "interval_of": scores["interval"].attrs["of"],
        "layers": json.loads(table.to_json(orient="records")),
    }  # fmt: skip
    write_scores(scores.assign_attrs(model=net.name, weights=net.weights), target / "scores.nc")
    with atomic_path(target / "layers.csv") as path:
        table.assign(model=net.name, rule=scores.attrs["rule"], neuroperc=__version__).to_csv(path, index=False)
    with atomic_path(target / "scores.json") as path:
        path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with atomic_path(target / "layers.png") as path:
        path.write_bytes(_draw(scores, net.name))
    return facts | {"written": [str(target / name) for name in _FILES]}


def _undefined(scores: xr.Dataset) -> list[Any]:
    """Return the names of neurons that no layer has a score of: constant, without reliability, too few rows."""
    nowhere = np.isnan(scores["score"].values).all(axis=0)
    found: list[Any] = scores["neuroid_id"].values[nowhere].tolist()
    return found


def _table(scores: xr.Dataset) -> pd.DataFrame:
    r = np.array([np.nanmedian(x) if np.isfinite(x).any() else np.nan for x in scores["raw"].values])
    table = pd.DataFrame({"layer": scores["layer"].values.astype(str), "score": scores["aggregate"].values})
    table["median_r"] = r
    table["pooled"] = scores["pooled"].values
    table[["low", "high"]] = scores["interval"].values
    table["n_undefined"] = scores["n_undefined"].values
    table["n_not_pooled"] = scores["n_not_pooled"].values
    return table


def _draw(scores: xr.Dataset, name: str) -> bytes:
    """Draw r with the band that reliability allows, and the score by the rule with its interval."""
    names = scores["layer"].values
    r = mean_over_splits(scores["raw"].values)
    r = np.where(np.isfinite(r).any(axis=1, keepdims=True), r, 0)  # a layer that predicts nothing at all
    low, middle, high = np.nanpercentile(r, [25, 50, 75], axis=1)
    reliability = scores["reliability"].values
    known = reliability[reliability > 0]
    band = tuple(np.sqrt(np.percentile(known, [25, 75]))) if len(known) else None
    with style():
        canvas = figure(1, 2, width_in=max(3.6, 0.32 * len(names) + 1.6), height_in=3.6)
        left, right = canvas.axes
        layer_profile(
            names, middle, interval=np.stack([low, high], -1), interval_of="middle half of neurons", ceiling=band,
            ceiling_of="√reliability, middle half" if band else "", quantity="Pearson r, held-out stimuli", ax=left,
        )  # fmt: skip
        rule = scores.attrs["rule"]
        layer_profile(
            names, scores["pooled"].values, interval=scores["interval"].values, interval_of="95 % interval",
            quantity=f"median {scores.attrs['formula']}", ax=right,
        )  # fmt: skip
        if rule != "r":
            right.axhline(1, color="black", linestyle=":", linewidth=0.8)
            right.set_ylim(top=max(1.1, right.get_ylim()[1]))
            right.annotate("all that is reliable", (1, 1), xycoords=("axes fraction", "data"), xytext=(0, 2),
                           textcoords="offset points", va="bottom", ha="right", fontsize=8)  # fmt: skip
        left.set_xlabel(f"layer of {name}")
        right.set_xlabel(f"rule {rule}, {scores.attrs['estimator']}, {scores.attrs['splits']} splits")
        return png(canvas)
