"""Training samples a second of MindEye, small, and of the published sizes where there is a CUDA device.

``python benchmarks/mindeye.py`` writes results/mindeye.json. The small model is timed beside its backbone and projector
without the prior; on a CPU with one thread.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from timing import interleave, write

from neuroperc.decoding import MindEye

BATCH, STEPS = 64, 12


def seconds_on_cuda(sizes: dict, data: tuple[np.ndarray, np.ndarray], steps: int = 50) -> float:
    """Return seconds a step of a training on the device, start-up taken out by the difference of two lengths."""
    spent = []
    for n in (steps, 2 * steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        MindEye(**sizes, device="cuda", epochs=n / (len(data[0]) // sizes["batch_size"])).fit(*data)
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    return (spent[1] - spent[0]) / steps


def main() -> None:
    """Time a few steps of both, in turn."""
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(4 * BATCH, 3000)).astype(np.float32)
    pictures = rng.normal(size=(4 * BATCH, 384)).astype(np.float32)

    def training(steps: int, prior: bool) -> object:
        return MindEye(batch_size=BATCH, epochs=steps / 4, prior=prior).fit(betas, pictures)

    cases = {
        f"{steps} steps, {name}": lambda s=steps, p=prior: training(s, p)
        for name, prior in (("whole", True), ("without prior", False))
        for steps in (2, 2 + STEPS)
    }
    found = interleave(cases, repeats=2)
    rows = []
    for name in ("whole", "without prior"):
        ms = (found[f"{2 + STEPS} steps, {name}"]["cpu_ms"] - found[f"2 steps, {name}"]["cpu_ms"]) / STEPS
        rows.append({"task": f"width 256, 2 blocks, {name}", "device": "cpu, one thread", "cpu_ms_a_step": ms,
                     "samples_per_s": 1e3 * BATCH / ms})  # fmt: skip
        print(rows[-1])
    note = "not run on a GPU"
    if torch.cuda.is_available():
        sizes = {"width": 4096, "n_blocks": 4, "projector_width": 2048, "prior_depth": 6, "prior_heads": 12,
                 "prior_head_dims": 64, "batch_size": 32, "mixed_precision": "fp16"}  # fmt: skip
        wide = rng.normal(size=(64, 15724)).astype(np.float32), rng.normal(size=(64, 257, 768)).astype(np.float32)
        spent = seconds_on_cuda(sizes, wide)
        rows.append({"task": "published sizes", "device": torch.cuda.get_device_name(), "samples_per_s": 32 / spent})
        note = "published sizes in fp16 on the device named"
    write("mindeye", rows, batch=f"{BATCH} of 3000 voxels to one embedding of 384 numbers", gpu=note)


if __name__ == "__main__":
    main()
