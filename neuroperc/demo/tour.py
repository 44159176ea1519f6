"""`run_demo`: every stage in turn, then the page."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from .._check import check, integer
from ..data import sample_image
from ..display import Display
from ..experiment import provenance
from . import blur, cortex, decoding, encoding, metamer, motion, responses, search, texture, windows
from .page import write_page
from .scene import Scene

__all__ = ["run_demo"]

STAGES = tuple(
    room.stage for room in (blur, windows, cortex, metamer, texture, search, motion, responses, encoding, decoding)
)


def run_demo(out: str | os.PathLike[str], *, seed: int = 0, device: str | None = None, progress: bool = True) -> Path:
    """Take a packaged photograph through every stage and write one HTML page of pictures with their numbers.

    Parameters
    ----------
    out
        Folder, made if it is missing; the page is `index.html` in it.
    seed
        Seed of every random draw.
    device
        Torch device of the tensors; default the CPU.
    progress
        Show progress bars.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ValueError
        When the seed is negative or `out` is a file.

    Examples
    --------
    >>> from neuroperc.demo import run_demo
    >>> page = run_demo("tour", progress=False)  # doctest: +SKIP
    """
    integer("seed", seed, 0)
    folder = Path(out)
    check(not folder.is_file(), "out", "a folder", str(folder), "Name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    display = Display.from_px_per_deg(16, resolution_px=(427, 640))
    photograph = sample_image("china", display)
    scene = Scene(display, photograph[0].to(device or "cpu"), str(photograph.table["credit"].iloc[0]), seed, progress)
    made, seconds = [], []
    for stage in tqdm(STAGES, desc="neuroperc demo", unit="stage", disable=not progress):
        start = time.perf_counter()
        made.append(stage(scene))
        seconds.append(time.perf_counter() - start)
    return write_page(folder / "index.html", made, seconds, _facts(scene))


def _facts(scene: Scene) -> dict[str, Any]:
    origin = provenance()
    versions = origin["versions"]
    return {
        "neuroperc": origin["neuroperc"],
        "torch": versions["torch"],
        "threads": torch.get_num_threads(),
        "seed": scene.seed,
        "device": str(scene.image.device),
        "photograph": scene.credit,
    }
