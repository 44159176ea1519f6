"""Score several networks against the areas of one file: one table, one JSON, one figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .. import __version__
from .._check import atomic_path, check, one_of
from ..encoding import hierarchy_slope, score_models
from ..nets import REGIONS, load
from ..plot import figure, hierarchy, layer_profile, model_regions, png, style
from .pictures import torch_device
from .score import check_target, layers_of, own_layers, shown_as, study

__all__ = ["compare_files"]

_FILES = ("models.csv", "models.json", "models.png")


def compare_files(
    source: Path,
    responses: Path,
    target: Path,
    *,
    models: Sequence[str],
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
    """Write every layer of every model against every area: ``models.csv``, ``models.json``, ``models.png``.

    Parameters
    ----------
    models
        Names for `neuroperc.nets.load`.
    weights
        Of all of them: ``"default"`` or ``"random"``.
    chosen
        Layers and globs: ``GLOB`` of every model, ``MODEL=GLOB`` of one; a model without any has those of
        `neuroperc.nets.OBSERVERS`.
    source, responses, target, rule, estimator, splits, stratify, reliability, px_per_deg, size_deg, visual_deg, \
foveate, fixation_deg, resume, seed, device, progress
        As in `score.score_files`. The areas are those that the responses' label `region` names.

    Returns
    -------
    dict
        What ``models.json`` holds, and ``written``, the files.

    Raises
    ------
    ValueError, FileNotFoundError
        As `score.score_files`, and for a model that is named twice.
    """
    check(len(set(models)) == len(models), "--model", "of different names", list(models))
    one_of("--weights of several models", weights, ("default", "random"))
    pictures, answers = study(source, responses, target, rule=rule, estimator=estimator, splits=splits, resume=resume,
                              px_per_deg=px_per_deg, size_deg=size_deg)  # fmt: skip
    settings: dict[str, Any] = {"rule": rule, "stratify": stratify}
    if reliability is not None:
        settings["reliability"] = reliability
    areas = by_region(answers, responses.stem)
    for data in areas.values():
        check_target(data, splits=splits, rng=seed, **settings)
    front = shown_as(pictures, visual_deg, foveate, fixation_deg) | {"device": torch_device(device)}
    nets = {name: load(name, weights=None if weights == "random" else weights, random_state=seed) for name in models}
    wanted = {name: layers_of(net, own_layers(name, chosen, models)) for name, net in nets.items()}
    target.mkdir(exist_ok=True)
    shown = front | {"store": target / "store" / "features", "memory_bytes": 0}
    table = score_models(nets, {area: (pictures, data) for area, data in areas.items()}, layers=wanted, shown=shown,
                         n_resamples=1000, rng=seed, progress=progress, estimator=estimator, splits=splits,
                         store=target / "store" / "cells", **settings)  # fmt: skip
    slopes = hierarchy_slope(table) if len(areas) > 2 else None
    best = table[table["best"]]
    facts = {
        "neuroperc": __version__, "rule": rule, "estimator": estimator, "splits": splits, "seed": seed,
        "foveate": foveate, "fixation_deg": fixation_deg, "visual_deg": visual_deg,
        "n_neuroids": {area: data.sizes["neuroid"] for area, data in areas.items()},
        "best": json.loads(best.to_json(orient="records")),
        "slopes": None if slopes is None else json.loads(slopes.reset_index().to_json(orient="records")),
    }  # fmt: skip
    with atomic_path(target / "models.csv") as path:
        table.assign(rule=rule, neuroperc=__version__).to_csv(path, index=False)
    with atomic_path(target / "models.json") as path:
        path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with atomic_path(target / "models.png") as path:
        path.write_bytes(_draw(table, slopes))
    return facts | {"written": [str(target / name) for name in _FILES]}


def by_region(answers: xr.DataArray, otherwise: str) -> dict[str, xr.DataArray]:
    """Return the responses of each area in the order of the hierarchy, unknown ones last; one area without labels."""
    if "region" not in answers.coords:
        return {otherwise: answers}
    labels = answers["region"].values.astype(str)
    found = list(dict.fromkeys(labels))
    ordered = sorted(found, key=lambda name: REGIONS.index(name) if name in REGIONS else len(REGIONS))
    return {name: answers.isel(neuroid=np.flatnonzero(labels == name)).dropna("presentation", how="all")
            for name in ordered}  # fmt: skip


def _draw(table: pd.DataFrame, slopes: pd.DataFrame | None) -> bytes:
    """Draw the best layers' scores, the layers' correlations by area with what bounds them, and the hierarchy."""
    areas = list(dict.fromkeys(table["region"]))
    widths_in = [2.4 + 1.5 * len(areas)] + [3.4] * (len(areas) + (slopes is not None))  # layers' names are long
    with style():
        canvas = figure(1, len(widths_in), width_in=sum(widths_in) / len(widths_in), height_in=3.4)
        heat, *others = canvas.axes
        grid: Any = heat.get_gridspec()
        grid.set_width_ratios(widths_in)
        model_regions(table, ax=heat)
        for area, ax in zip(areas, others, strict=False):
            _profiles(table[table["region"] == area], area, ax)
        if slopes is not None:
            hierarchy(table, slopes, ax=others[-1])
        return png(canvas)


def _profiles(rows: pd.DataFrame, area: str, ax: Any) -> None:
    """Draw the layers of every model in one area, with what bounds r; the table has their names."""
    low, high = rows[["ceiling_low", "ceiling_high"]].iloc[0]
    band: dict[str, Any] = {}
    if np.isfinite(low):
        band = {"ceiling": (low, high), "ceiling_of": "√reliability, middle half of neurons"}
    for name, own in rows.groupby("model", sort=False):
        layer_profile(own["layer"], own["r"], label=str(name), quantity=f"r in {area}, held-out", ax=ax, **band)
        band = {}
    most = rows.groupby("model").size().max()
    ax.set_xticks(range(most), range(1, most + 1), rotation=0)
    ax.set_xlabel("layer, first to last")
