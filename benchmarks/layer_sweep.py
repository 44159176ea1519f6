"""A sweep of 40 layers of EfficientNet-Lite0 over 640 pictures and 50 neurons: recording, PLS and ridge.

Run: python -m benchmarks.layer_sweep [n_pictures] [pls] [ridge]    (default 640 pls ridge)
With NEUROPERC_DATA set the pictures and neurons are those of macaque V4, session 210325; else noise of their sizes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from threadpoolctl import threadpool_limits

import neuroperc as npc
from benchmarks.timing import write
from neuroperc.recording import list_layers

_DISPLAY = npc.Display.from_px_per_deg(14, resolution_px=(112, 112))


def study(n: int) -> tuple[npc.StimulusSet, xr.DataArray, str]:
    """Return pictures, the trials of 50 neurons, and what they are."""
    folder = Path(os.environ.get("NEUROPERC_DATA", "no-data")) / "brainscore" / "cowley2023_v4"
    if folder.is_dir():
        pictures = npc.data.read_cowley_stimuli(folder, "210325", display=_DISPLAY, size_deg=8)
        pictures = pictures[list(range(min(n, len(pictures))))]
        v4 = npc.data.read_cowley_v4(folder, "210325")
        return pictures, v4.isel(presentation=np.isin(v4["stimulus_id"].values, pictures.ids)), "macaque V4, 210325"
    rng = np.random.default_rng(0)
    pictures = npc.StimulusSet.from_arrays(rng.random((n, 3, 112, 112), np.float32), display=_DISPLAY)
    answers = rng.normal(size=(1, n, 50)) + rng.normal(size=(4, n, 50))
    return pictures, npc.data.make_responses(answers.reshape(-1, 50), stimulus_id=pictures.ids * 4), "noise"


def sweep(net: npc.nets.Net, pictures: npc.StimulusSet, n_layers: int = 40) -> list[str]:
    """Return that many convolutions and activations, evenly through the network."""
    table = list_layers(net, pictures[[0]])
    names = table.loc[table["units"] > 100, "layer"].tolist()
    names = [name for name in names if name != "output" and not name.endswith(("drop", "drop_path", "aa"))]
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, n_layers).astype(int))]


def main(words: list[str]) -> None:
    """Run the sweep and write benchmarks/results/layer_sweep.json."""
    n = next((int(word) for word in words if word.isdigit()), 640)
    estimators = [word for word in words if not word.isdigit()] or ["ridge", "pls"]
    torch.set_num_threads(1)
    pictures, v4, what = study(n)
    net = npc.nets.efficientnet_lite0()
    net.net.to(memory_format=torch.channels_last)
    names = sweep(net, pictures)
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as store:
        wall, cpu = time.perf_counter(), time.process_time()
        features = npc.record(net, pictures, names, dtype="float16", store=store, memory_bytes=0)
        rows.append({"case": f"record {len(names)} layers", "units": features.sizes["neuroid"],
                     "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu})  # fmt: skip
        for estimator in estimators:
            wall, cpu = time.perf_counter(), time.process_time()
            options: Any = {"estimator": estimator, "rule": "brainscore-2026"}
            scores = npc.encoding.benchmark(features, v4, n_resamples=200, **options)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            r = np.nanmedian(scores["raw"].values, axis=2).mean(axis=1)
            best = int(np.argmax(r))
            rows.append({
                "case": f"{estimator}, {len(names)} layers", "wall_s": spent[0], "cpu_s": spent[1],
                "cpu_s_a_layer": spent[1] / len(names), "best_layer": names[best], "best_r": float(r[best]),
                "layers": dict(zip(names, np.round(r, 4).tolist(), strict=True)),
            })  # fmt: skip
            write("layer_sweep", rows, n_pictures=len(pictures), n_neurons=v4.sizes["neuroid"], neurons=what, threads=1)


if __name__ == "__main__":
    main(sys.argv[1:])
