"""Voxel weights onto a bank of image embeddings: project_weights, streamed, against the published dense recipe.

The dense recipe, written anew from its description: all directions in memory, a softmax over the whole bank for a few
voxels at a time. Time in turn in one process, peak memory in processes of their own.

Run: python -m benchmarks.projection [n_images] [n_voxels]    (needs 1 kB of disk an image)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.masking import high_water_mb
from benchmarks.timing import interleave, write
from neuroperc.decoding import project_weights

WIDTH, TAU, SHARD = 512, 1 / 150, 5000
CHUNKS = (32, 256)  # voxels at a time of the dense recipe


def make(folder: Path, n_images: int, n_voxels: int) -> None:
    """Write a bank in shards of half precision, as one of two million would be kept, and weights."""
    rng = np.random.default_rng(0)
    for start in range(0, n_images, SHARD):
        block = rng.standard_normal((min(SHARD, n_images - start), WIDTH), dtype=np.float32) + 1
        np.save(folder / f"bank{start:09d}.npy", block.astype(np.float16))
    np.save(folder / "weights.npy", rng.standard_normal((n_voxels, WIDTH), dtype=np.float32))


def shards(folder: Path) -> Iterator[np.ndarray]:
    """Read one shard after another."""
    return (np.load(path) for path in sorted(folder.glob("bank*.npy")))


def ours(folder: Path) -> np.ndarray:
    """Stream the shards."""
    found: np.ndarray = project_weights(np.load(folder / "weights.npy"), lambda: shards(folder), tau=TAU)
    return found


def dense(folder: Path, chunk: int) -> np.ndarray:
    """Softmax over the whole bank, a chunk of voxels at a time."""
    bank = torch.from_numpy(np.concatenate(list(shards(folder)), dtype=np.float32))
    norms = bank.norm(dim=1, keepdim=True)
    bank /= norms
    unit = torch.nn.functional.normalize(torch.from_numpy(np.load(folder / "weights.npy")), dim=1)
    found = []
    for some in unit.split(chunk):
        share = torch.softmax(some @ bank.T / TAU, dim=1)
        found.append(torch.nn.functional.normalize(share @ bank, dim=1) * (share @ norms))
    return torch.cat(found).numpy()


def peak(who: str, folder: Path) -> float:
    """Peak resident memory in MB above the level after imports and a small warm-up, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.projection", "--peak", who, str(folder)],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return float(done.stdout.split()[-1])


def measure_peak(who: str, folder: Path) -> None:
    """Print the peak of one projection."""
    torch.set_num_threads(1)
    small = folder / "small"
    run(who, small)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = high_water_mb()
    run(who, folder)
    print(high_water_mb() - before)


def run(who: str, folder: Path) -> np.ndarray:
    """Project with one contestant: "streamed", or "dense, N voxels"."""
    return ours(folder) if who == "streamed" else dense(folder, int(who.split()[1]))


def main() -> None:
    """Time the contestants, check that they agree, and write the result."""
    if sys.argv[1:2] == ["--peak"]:
        return measure_peak(sys.argv[2], Path(sys.argv[3]))
    n_images, n_voxels = (int(a) for a in (sys.argv[1:] + ["30000", "1000"][len(sys.argv) - 1 :])[:2])
    names = ["streamed", *(f"dense, {c} voxels" for c in CHUNKS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small").mkdir()
        make(folder / "small", 500, 50)
        make(folder, n_images, n_voxels)
        first, *others = (run(who, folder) for who in names)
        off = max(float(np.abs(first - other).max() / np.abs(other).max()) for other in others)
        timed = interleave({who: lambda who=who: run(who, folder) for who in names}, repeats=2)
        rows = [{"who": who, **timed[who], "peak_mb": peak(who, folder)} for who in names]
    for row in rows:
        print(row)
    write("projection", rows, n_images=n_images, n_voxels=n_voxels, n_features=WIDTH, threads=1,
          largest_difference=off, bank_mb=n_images * WIDTH * 2 / 2**20)  # fmt: skip


if __name__ == "__main__":
    main()
