"""Recording layers of EfficientNet-Lite0: `record` against torchvision's `create_feature_extractor` in a plain loop.

Both get the same photographs' crops in linear light, encode and normalise them with the same `Preprocess`, and end with
one float32 array (stimuli, units) that holds all layers; torchvision's extractor traces the network with torch.fx
(which needs to be told not to look into timm's Conv2dSame, whose padding depends on the size).

Run: python -m benchmarks.record
"""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from timm.layers import Conv2dSame
from torchvision.models.feature_extraction import create_feature_extractor

import neuroperc as npc
from benchmarks.timing import interleave, write
from neuroperc import nets
from neuroperc.data import StimulusSet, sample_image
from neuroperc.recording import record

# (side of the pictures, how many, layers)
LAYERS = ["blocks.2", "blocks.4", "conv_head"]
CASES = [(224, 32, LAYERS), (64, 96, LAYERS)]
BATCH = 16


def crops(n: int, side: int) -> torch.Tensor:
    """Crops of three photographs."""
    rng, found = np.random.default_rng(0), []
    for k in range(n):
        image = sample_image(("china", "flower", "grace_hopper")[k % 3])[0]
        y, x = (int(rng.integers(0, s - side)) for s in image.shape[-2:])
        found.append(image[:, y : y + side, x : x + side])
    return torch.stack(found)


def contestants(side: int, n: int, layers: list[str], folder: str) -> dict:
    """Return the ways to record, after checking that they give the same numbers."""
    pixels = crops(n, side)
    stimuli = StimulusSet.from_arrays(pixels, display=npc.Display.from_px_per_deg(32, resolution_px=(side, side)))
    net = nets.efficientnet_lite0(preprocess={"size_px": side, "resize_px": None})
    extractor = create_feature_extractor(net.net, return_nodes=layers, tracer_kwargs={"leaf_modules": [Conv2dSame]})

    def plain() -> np.ndarray:
        rows = []
        with torch.no_grad():
            for start in range(0, n, BATCH):
                out = extractor(net.preprocess(pixels[start : start + BATCH]))
                rows.append(np.concatenate([out[name].flatten(1).numpy() for name in layers], 1))
        return np.concatenate(rows)

    def stored() -> object:
        return record(net, stimuli, layers, batch_size=BATCH, store=tempfile.mkdtemp(dir=folder))

    filled = tempfile.mkdtemp(dir=folder)
    ours = record(net, stimuli, layers, batch_size=BATCH, store=filled)
    if not np.allclose(ours.values, plain(), rtol=1e-4, atol=1e-4):
        raise RuntimeError("the contestants must record the same answers")
    return {
        "torchvision_loop": plain,
        "record": lambda: record(net, stimuli, layers, batch_size=BATCH),
        "record_to_disk": stored,
        "record_from_cache": lambda: record(net, stimuli, layers, batch_size=BATCH, store=filled),
    }


def main() -> None:
    """Time every case with one thread and with two."""
    rows = []
    for side, n, layers in CASES:
        with tempfile.TemporaryDirectory() as folder:
            for threads in (1, 2):
                best = interleave(contestants(side, n, layers, folder), repeats=4, threads=threads)
                peer = best["torchvision_loop"]
                kind = "cpu_ms" if threads == 1 else "wall_ms"
                rows.append({
                    "side_px": side, "n": n, "layers": layers, "threads": threads, "best": best,
                    f"speed_up_{kind[:-3]}": {k: peer[kind] / v[kind] for k, v in best.items()},
                })  # fmt: skip
                print(side, n, len(layers), threads, {k: round(peer[kind] / v[kind], 2) for k, v in best.items()})
    write("record", rows, note="best of 4 rounds, batches of 16; record also lists the layers with one picture, checks "
          "every answer for NaN, seeds each batch and labels the result")  # fmt: skip


if __name__ == "__main__":
    main()
