"""TextureModel beside plenoptic's PortillaSimoncelli, and over windows without a peer; results/texture.json."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plenoptic
import torch
from timing import interleave, write

from neuroperc import Display
from neuroperc.metamers import TextureModel


def both_ways(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Features and the gradient of their sum of squares."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(model(x).square().sum(), x)[0]


def noise(batch: int, side: int) -> torch.Tensor:
    """Pictures in [0, 1]."""
    return torch.from_numpy(np.random.default_rng(0).random((batch, 1, side, side), dtype=np.float32))


if __name__ == "__main__":
    rows = []
    for side, batch in ((256, 1), (512, 1), (256, 8)):
        x = noise(batch, side)
        ours = TextureModel(Display.from_px_per_deg(side / 26, resolution_px=(side, side)))
        peer = plenoptic.models.PortillaSimoncelli((side, side))
        for task in ("forward", "forward and backward"):
            run = both_ways if task == "forward and backward" else (lambda model, x: model(x))
            contest = {
                "ours": lambda a=ours, x=x, run=run: run(a, x),
                "plenoptic": lambda a=peer, x=x, run=run: run(a, x),
            }
            times = interleave(contest, repeats=9, threads=1)
            ratio = times["plenoptic"]["cpu_ms"] / times["ours"]["cpu_ms"]
            rows.append({"task": task, "side_px": side, "batch": batch, "threads": 1, "times": times, "ratio": ratio})
            print(task, side, batch, {k: round(v["cpu_ms"], 1) for k, v in times.items()}, round(ratio, 2))
    for side in (256, 512):
        x = noise(1, side)
        windows = TextureModel(Display.from_px_per_deg(side / 26, resolution_px=(side, side)), scaling=0.5)
        for task in ("forward", "forward and backward"):
            run = both_ways if task == "forward and backward" else (lambda model, x: model(x))
            times = interleave({"ours": lambda a=windows, x=x, run=run: run(a, x)}, repeats=5, threads=1)
            rows.append({"task": f"{task} over {windows.n_windows} windows", "side_px": side, "batch": 1, "threads": 1,
                         "scaling": 0.5, "times": times})  # fmt: skip
            print(task, side, "windows", round(times["ours"]["cpu_ms"], 1))
    write("texture", rows, note="ratios are of CPU time: other jobs shared the machine; plenoptic has no windows")
