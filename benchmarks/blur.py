"""FoveatedBlur against the OpenCV pyramid recipe on a 1024 x 1024 RGB picture, and against a plain copy of it.

``python benchmarks/blur.py`` writes results/blur.json.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from baselines.opencv_pyramid_blur import blur as recipe
from timing import interleave, write

import neuroperc as npc
from neuroperc.foveation import FoveatedBlur

if __name__ == "__main__":
    display = npc.Display.from_px_per_deg(32, resolution_px=(1024, 1024))
    blurs = {kind: FoveatedBlur(display, model=kind) for kind in ("half_resolution", "contrast_threshold")}
    x = torch.rand(1, 3, 1024, 1024)
    picture = np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())
    codes = (picture * 255).astype(np.uint8)
    runs = []
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        times = interleave(
            {
                "ours half_resolution": lambda: blurs["half_resolution"](x),
                "ours contrast_threshold": lambda: blurs["contrast_threshold"](x),
                "opencv recipe float32": lambda: recipe(picture, [(511.5, 511.5)]),
                "opencv recipe uint8": lambda: recipe(codes, [(511.5, 511.5)]),
                "copy": lambda: x.clone(),
            },
            repeats=7, threads=threads,
        )  # fmt: skip
        wall = {name: t["wall_ms"] for name, t in times.items()}
        peer = min(wall["opencv recipe float32"], wall["opencv recipe uint8"])
        ratios = {name: peer / wall[name] for name in wall if name.startswith("ours")}
        copies = {name: wall[name] / wall["copy"] for name in wall if name.startswith("ours")}
        runs.append({"threads": threads, "times": times, "faster_than_recipe": ratios, "copies_of_the_picture": copies})
        print(threads, ratios, copies)
    write("blur", runs, picture="1024 x 1024 RGB float32")
