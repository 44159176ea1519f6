"""Blur, pooling and metamers on a CUDA device; blur and pooling as a share of the bytes a second that a copy moves.

``python benchmarks/cuda.py`` writes results/cuda.json; batches of 16 RGB pictures of 1024 x 1024, metamers of one
picture of 512 x 512 (their papers say "about 1 s" for NeuroFovea and hours for synthesis). It needs a device and
says so without one; no result is committed until it has been run on one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from timing import write

import neuroperc as npc
from neuroperc.foveation import FoveatedBlur, PoolingWindows

_STEPS = 50


def seconds(function: Callable[[], object], repeats: int = 20) -> float:
    """Return the best of several runs, waiting for the device."""
    best = float("inf")
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Time blur, pooling and its adjoint, and a copy, in turn."""
    if not torch.cuda.is_available():
        sys.exit("benchmarks/cuda.py needs a CUDA device; torch.cuda.is_available() is False.")
    display = npc.Display.from_px_per_deg(32, resolution_px=(1024, 1024))
    x = torch.rand(16, 3, 1024, 1024, device="cuda")
    out = torch.empty_like(x)
    copy_s = seconds(lambda: out.copy_(x))
    moved = 2 * x.numel() * x.element_size()  # read once, written once: the least any of these must move
    rows = [{"task": "copy", "ms": 1e3 * copy_s, "share_of_copy": 1.0, "gb_per_s": moved / copy_s / 1e9}]
    tasks: dict[str, Callable[[], object]] = {}
    for model in ("contrast_threshold", "half_resolution"):
        blur = FoveatedBlur(display, model=model)
        tasks[f"blur {model}"] = lambda blur=blur: blur(x)
    for window, scaling in (("cosine", 0.5), ("gaussian", 0.25)):
        pooling = PoolingWindows(display, scaling, window)
        y = torch.rand(16, 3, pooling.n_windows, device="cuda")
        tasks[f"pool {window} {scaling}"] = lambda p=pooling: p(x)
        tasks[f"unpool {window} {scaling}"] = lambda p=pooling, y=y: p.unpool(y)
    for name, task in tasks.items():
        task()
        spent = seconds(task)
        bytes_ = moved if name.startswith("blur") else moved // 2  # pooling only reads the picture, unpooling writes it
        speed = bytes_ / spent
        rows.append(
            {"task": name, "ms": 1e3 * spent, "share_of_copy": speed / (moved / copy_s), "gb_per_s": speed / 1e9}
        )
        print(rows[-1])
    rows += metamers()
    write("cuda", rows, batch="16 x 3 x 1024 x 1024 float32", aim="share_of_copy above 0.5")


def metamers() -> list[dict]:
    """Time one NeuroFovea picture and a step of an energy synthesis, 512 x 512."""
    display = npc.Display.from_px_per_deg(512 / 26, resolution_px=(512, 512))
    x = torch.rand(1, 3, 512, 512, device="cuda")
    renderer = npc.metamers.NeuroFovea(display, scaling=0.4, codec=npc.metamers.vgg16_codec(None, decoder=None)).cuda()
    energy = npc.metamers.EnergyModel(display, scaling=0.4).cuda()

    def synthesis() -> object:
        return npc.synthesize(energy, x[0], steps=_STEPS, optimizer="adam", tolerance=0)

    with torch.no_grad():
        render_s = seconds(lambda: renderer(x, rng=0), repeats=5)
    synthesis()
    step_s = seconds(synthesis, repeats=2) / _STEPS
    return [
        {"task": "NeuroFovea, VGG-16 (random weights), 512 x 512", "ms": 1e3 * render_s},
        {"task": "EnergyModel synthesis, 512 x 512 RGB", "ms": 1e3 * step_s, "steps_per_s": 1 / step_s},
    ]


if __name__ == "__main__":
    main()
