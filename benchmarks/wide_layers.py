"""Score a layer as wide as CrossViT-18's for V4 (775,488 units) within 4 GB: features are made when they are read.

Run: python -m benchmarks.wide_layers [640] [3200]    (640: a V4 session, a minute or two; 3200: the public V4 set)
Every case has a process of its own, whose largest resident size is what counts. Brain-Score's rule of thumb for PLS is
seven times the activations.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

import neuroperc as npc
from benchmarks.timing import RESULTS, peak_mib, write

UNITS = 775_488
_BLOCK = 4096
_RANK = 60


class Generated(BackendArray):
    """Features (n, units) with a decaying spectrum and noise, float32; any block is the same whenever it is read."""

    def __init__(self, latent: np.ndarray, units: int) -> None:
        self.latent = latent.astype(np.float32)
        self.shape = (len(latent), units)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return what xarray asks for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        start, stop, step = key[1].indices(self.shape[1])
        first, last = start // _BLOCK, (stop - 1) // _BLOCK + 1
        out = np.empty((self.shape[0], (last - first) * _BLOCK), np.float32)
        for i in range(first, last):
            rng = np.random.default_rng([7, i])
            at = out[:, (i - first) * _BLOCK : (i - first + 1) * _BLOCK]
            at[:] = rng.standard_normal(at.shape, dtype=np.float32)
            at += self.latent @ rng.standard_normal((_RANK, _BLOCK), dtype=np.float32)
        return out[key[0], start - first * _BLOCK : stop - first * _BLOCK : step]


def study(n: int, units: int = UNITS, n_neurons: int = 50) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a lazy Responses of units, and neurons that read its latents, in three noisy trials."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(n, _RANK)) * np.arange(1, _RANK + 1) ** -0.5
    names = np.array([f"picture{i:04d}" for i in range(n)])
    lazy = xr.Variable(("presentation", "neuroid"), indexing.LazilyIndexedArray(Generated(latent, units)))
    coords = {"stimulus_id": ("presentation", names), "neuroid_id": ("neuroid", np.arange(units))}
    truth = latent @ rng.normal(size=(_RANK, n_neurons))
    trials = truth / truth.std(axis=0) + rng.normal(size=(3, *truth.shape))
    v4 = npc.data.make_responses(trials.reshape(-1, n_neurons), stimulus_id=np.tile(names, 3))
    return xr.DataArray(lazy, coords=coords, attrs={"units": "a.u.", "source": "generated"}), v4


def child(n: int, units: int, estimator: Any) -> dict[str, Any]:
    """Score one case in this process and return what it took."""
    features, v4 = study(n, units)
    before = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    scores = npc.encoding.benchmark({"wide": features}, v4, estimator=estimator, n_resamples=0)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    activations_gb = 4 * n * units / 1e9
    return {
        "case": f"{estimator} {n}x{units}->50", "n": n, "units": units, "estimator": estimator,
        "peak_gb": peak_mib() * 2**20 / 1e9, "imports_gb": before * 2**20 / 1e9,
        "wall_s": spent[0], "cpu_s": spent[1], "activations_gb": activations_gb,
        "seven_times_activations_gb": 7 * activations_gb, "median_r": float(np.nanmedian(scores["raw"])),
        "score": float(scores["aggregate"][0]),
    }  # fmt: skip


def run(n: int, units: int, estimator: str) -> dict[str, Any]:
    """Score one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.wide_layers", "--child", str(n), str(units), estimator]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(sizes: list[int]) -> None:
    """Run what was asked for and write benchmarks/results/wide_layers.json, keeping its other rows."""
    path = RESULTS / "wide_layers.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for n in sizes:
        for estimator in ("ridge", "pls"):
            new = run(n, UNITS, estimator)
            print(json.dumps(new, indent=1), flush=True)
            rows = [row for row in rows if row["case"] != new["case"]] + [new]
            write("wide_layers", rows, note="10 splits; features made block by block while they are read (included)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
    else:
        main([int(word) for word in sys.argv[1:]] or [640])
