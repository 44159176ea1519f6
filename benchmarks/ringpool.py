"""RingPool against the masked sum of pooled maps (eccNET's way), on eccNET's own layers and views.

Run: python -m benchmarks.ringpool
"""

from __future__ import annotations

import math

import torch

from benchmarks.baselines.eccnet_pooling import MaskedPools
from benchmarks.timing import interleave, write
from neuroperc import Display
from neuroperc.foveation import RingPool

CASES = [(3, 256, 524), (3, 256, 806), (4, 512, 806), (3, 256, 1358), (4, 512, 1358)]


def contestants(ours: RingPool, side: int, channels: int) -> tuple[dict, dict, float]:
    """Return what to time, forward and with backward, and the largest difference between ours and theirs."""
    table, x = ours.table, torch.rand(1, channels, side, side)
    released = MaskedPools(table.windows_px, table.radii_px, (side, side), merge=False)
    merged = MaskedPools(table.windows_px, table.radii_px, (side, side), merge=True)
    error = max(float((ours(x) - pool(x)).abs().max()) for pool in (released, merged))
    last = torch.channels_last
    cases = {
        "ours": (ours, x),
        "masked_sum": (released, x),
        "masked_sum_one_pool_a_window_channels_last": (merged, x.contiguous(memory_format=last)),
    }
    forward = {name: (lambda f=f, x=x: f(x)) for name, (f, x) in cases.items()}
    leaves = {name: (f, x.clone().requires_grad_()) for name, (f, x) in cases.items()}
    both = {name: (lambda f=f, x=x: torch.autograd.grad(f(x).sum(), x)) for name, (f, x) in leaves.items()}
    return forward, both, error


def main() -> None:
    """Time forward, and forward with backward, with one thread and two."""
    rows = []
    for stage, channels, view in CASES:
        side = math.ceil(view / 2 ** (stage - 1))
        ours = RingPool.eccnet(Display.from_px_per_deg(30, resolution_px=(view, view)), stage)
        forward, both, error = contestants(ours, side, channels)
        for threads in (1, 2):
            for task, functions in (("forward", forward), ("forward and backward", both)):
                with torch.set_grad_enabled(task != "forward"):
                    best = interleave(functions, repeats=3, threads=threads)
                rows.append({
                    "task": task, "stage": stage, "channels": channels, "view_px": view, "map_px": side,
                    "bands": len(ours.table.windows_px), "threads": threads, "largest_difference": error, "best": best,
                    "speed_up": {k: v["wall_ms"] / best["ours"]["wall_ms"] for k, v in best.items()},
                    "speed_up_cpu": {k: v["cpu_ms"] / best["ours"]["cpu_ms"] for k, v in best.items()},
                })  # fmt: skip
                print(task, stage, view, threads, {k: round(v, 1) for k, v in rows[-1]["speed_up"].items()})
    write("ringpool", rows, note="best of 3 rounds, float32, CPU; masked_sum is eccNET's released rule in torch")


if __name__ == "__main__":
    main()
