"""Reading a folder of JPEGs in batches: StimulusSet against torchvision's ImageFolder with a DataLoader.

torchvision returns sRGB code values; `torchvision_linear` adds the decoding to linear light that ours includes.

Run: python -m benchmarks.folder_loading
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torchvision import datasets, transforms

from benchmarks.timing import interleave, write
from neuroperc import Display
from neuroperc.color import srgb_to_linear
from neuroperc.data import StimulusSet, sample_image, save_image

CASES = [(32, 400), (224, 60), (512, 16)]


def contestants(folder: Path, side: int) -> dict:
    """Return four ways to read every picture of a folder in batches of 16."""
    linear = StimulusSet.from_folder(folder, Display.from_px_per_deg(32, resolution_px=(side, side)))
    codes = linear.to_encoding("srgb")
    loader = torch.utils.data.DataLoader(datasets.ImageFolder(folder, transforms.ToTensor()), 16)
    ours, theirs = next(codes.batches(16))[1], next(iter(loader))[0]
    if not torch.allclose(ours, theirs, atol=1e-6):
        raise RuntimeError("the contestants must read the same pictures")
    return {
        "ours_linear": lambda: [x for _, x in linear.batches(16)],
        "ours_srgb": lambda: [x for _, x in codes.batches(16)],
        "torchvision_srgb": lambda: [x for x, _ in loader],
        "torchvision_linear": lambda: [srgb_to_linear(x) for x, _ in loader],
    }


def main() -> None:
    """Time one and two threads on three sizes."""
    rows = []
    for side, n in CASES:
        picture = sample_image("china", Display.from_px_per_deg(32, resolution_px=(side, side)))[0]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a").mkdir()
            for k in range(n):
                save_image(picture.roll(k, -1), Path(folder) / "a" / f"{k:04d}.jpg")
            for threads in (1, 2):
                best = interleave(contestants(Path(folder), side), repeats=7, threads=threads)
                rows.append({
                    "side_px": side, "n": n, "threads": threads, "best": best,
                    "speed_up_cpu": {k: v["cpu_ms"] / best["ours_linear"]["cpu_ms"] for k, v in best.items()},
                })  # fmt: skip
                print(side, threads, {k: round(v, 2) for k, v in rows[-1]["speed_up_cpu"].items()})
    write("folder_loading", rows, note="best of 7 rounds; JPEG quality 95, 4:4:4; no worker processes; files cached")


if __name__ == "__main__":
    main()
