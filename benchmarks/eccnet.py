"""One eccNET display against the plain way: whole views, one average pool a ring, everything again at every fixation.

Run: NEUROPERC_DATA=... python -m benchmarks.eccnet
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from benchmarks.baselines.eccnet import PlainEccNet
from benchmarks.timing import interleave, write
from neuroperc import nets, stimuli
from neuroperc.search import EccNet, simulate

WEIGHTS = "weights/vgg16_imagenet_convs_rgb_fp16.pt"
#: Task, set size, kernels' name, background (sRGB), seed of the display.
CASES = [
    ("horizontal_shading", 12, "lighting", 27 / 255, 0), ("line_among_curves", 32, "curvature", 0.0, 1),
    ("tilted_among_vertical", 12, "orientation", 1.0, 0), ("cross_among_non_crosses", 3, "intersection", 1.0, 0),
]  # fmt: skip


def contestants(backbone, task, set_size, sharpening, background, seed):  # noqa: D103
    shown = stimuli.search_displays(None, task, set_size=set_size, n=1, rng=seed)
    warm, plain = EccNet(backbone, sharpening=sharpening), _plain(backbone, sharpening, background)
    paths = {}

    def searched(name, model):
        paths[name] = simulate(model(), shown)[0]

    return paths, {
        "ours": lambda: searched("ours", lambda: warm),
        "ours_first_display": lambda: searched("ours_first_display", lambda: EccNet(backbone, sharpening=sharpening)),
        "plain": lambda: searched("plain", lambda: plain),
    }


def _plain(backbone, sharpening, background):
    linear = ((background + 0.055) / 1.055) ** 2.4 if background > 0.04045 else background / 12.92
    kernels = EccNet(backbone, sharpening=sharpening).sharpening
    return PlainEccNet(backbone, background=linear, kernels=kernels)


def main() -> None:
    """Time whole searches, one thread."""
    path = Path(os.environ.get("NEUROPERC_DATA", "")) / WEIGHTS
    backbone, rows = nets.load("vgg16", weights=path if path.is_file() else None), []
    for task, set_size, *rest in CASES:
        paths, functions = contestants(backbone, task, set_size, *rest)
        best = interleave(functions, repeats=1, threads=1)
        rows.append({
            "task": task, "set_size": set_size, "n_fixations": len(paths["ours"]) - 1,
            "identical_fixations": all(paths["ours"].equals(p) for p in paths.values()), "best": best,
            "speed_up": {k: best["plain"]["wall_ms"] / v["wall_ms"] for k, v in best.items()},
            "speed_up_cpu": {k: best["plain"]["cpu_ms"] / v["cpu_ms"] for k, v in best.items()},
        })  # fmt: skip
        print(task, rows[-1]["n_fixations"], rows[-1]["identical_fixations"], rows[-1]["speed_up_cpu"], flush=True)
        write("eccnet", rows, note="one display searched to its end, float32, CPU, one thread; ours: the empty view is "
              "kept from the display before, as in any experiment; ours_first_display: computed anew; "
              "VGG-16 " + ("with ImageNet weights" if path.is_file() else "with random weights"))  # fmt: skip


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
