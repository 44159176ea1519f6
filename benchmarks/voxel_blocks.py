"""Encoding models of 200,000 voxels from a file: memory, a kill half-way, and going on.

Run: python -m benchmarks.voxel_blocks [voxels]    (all: a file of 800 MB in the temporary folder, minutes to hours)
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import peak_mib, write

TRIALS, FEATURES, VOXELS, BATCH = 1000, 512, 200_000, 4096


def responses_file(path: Path, n_voxels: int) -> None:
    """Write responses of which half the variance is linear in the features, a block of voxels at a time."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(TRIALS, FEATURES)).astype(np.float32)
    np.save(path.with_name("features.npy"), x)
    y = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(TRIALS, n_voxels))
    for at in range(0, n_voxels, 2000):
        stop = min(at + 2000, n_voxels)
        signal_ = x @ rng.normal(size=(FEATURES, stop - at)).astype(np.float32) / FEATURES**0.5
        y[:, at:stop] = signal_ + rng.normal(size=signal_.shape)
    y.flush()


def fit(folder: Path) -> None:
    """Fit all voxels with five folds and ten penalties; print the peak of memory and the mean score."""
    import xarray as xr

    from neuroperc.decoding import encode_voxels

    y = np.load(folder / "responses.npy", mmap_mode="r")
    coords = {"stimulus_id": ("presentation", np.arange(TRIALS)), "neuroid_id": ("neuroid", np.arange(y.shape[1]))}
    responses = xr.DataArray(y, dims=("presentation", "neuroid"), coords=coords, attrs={"units": "z", "source": "made"})
    alphas = np.logspace(-2, 4, 10)
    found = encode_voxels(np.load(folder / "features.npy"), responses, alphas=alphas, store=folder / "store",
                          voxels_per_batch=BATCH, progress=True)  # fmt: skip
    anonymous = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    told = {"peak_rss_mib": peak_mib(), "anonymous_at_the_end": anonymous, "cpu_s": time.process_time(),
            "mean_r": float(found.r.mean())}  # fmt: skip
    print(json.dumps(told))


def main(n_voxels: int) -> None:
    """Kill a fit after a third of its blocks, go on, and write benchmarks/results/voxel_blocks.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        responses_file(folder / "responses.npy", n_voxels)
        n_blocks = -(-n_voxels // BATCH)
        command = [sys.executable, "-m", "benchmarks.voxel_blocks", "fit", name]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while len(_blocks(folder)) < max(1, n_blocks // 3) and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = {path: path.stat().st_mtime_ns for path in _blocks(folder)}
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - start
        kept = sum(path.stat().st_mtime_ns == at for path, at in before.items())
        row = {
            "case": f"{TRIALS} trials x {FEATURES} features -> {n_voxels} voxels, 5 folds, 10 penalties",
            "blocks": n_blocks, "done_before_the_kill": len(before), "not_done_again": kept,
            "response_file_mib": (folder / "responses.npy").stat().st_size / 2**20, "wall_s": seconds,
            **json.loads(told.stdout.splitlines()[-1]),
        }  # fmt: skip
    print(json.dumps(row, indent=1))
    write("voxel_blocks", [row], note="peak_rss_mib counts pages of the response file that the system may drop")


def _blocks(folder: Path) -> list[Path]:
    return sorted((folder / "store").glob("voxels*.npy"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["fit"]:
        fit(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else VOXELS)
