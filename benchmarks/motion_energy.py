"""The motion energy pyramid beside pymoten in all its ways, and a minute of a large movie; results/motion_energy.json.

Ratios are of CPU time on one thread. pymoten makes its filters at every call; ours are made once (`build_ms`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import moten
import numpy as np
import torch
from timing import interleave, peak_mib, write

from neuroperc.motion import MotionEnergy

CASES = {
    "96x96, 1380": ((96, 96), 15, (0, 2, 4, 8, 16), 100),
    "96x96, 6555": ((96, 96), 15, (0, 2, 4, 8, 16, 32), 100),
    "144x256, 2530": ((144, 256), 24, (0, 2, 4, 8, 16), 100),
}


def peers(shape_px: tuple[int, int], fps: int, sf: tuple[int, ...], movie: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return pymoten's two backends for a CPU, filter by filter and in batches, in float64."""
    moten.core.iterator_func = lambda items, *_, **__: items
    pyramid = moten.pyramids.MotionEnergyPyramid(
        stimulus_vhsize=shape_px, stimulus_fps=fps, spatial_frequencies=list(sf)
    )

    def call(backend: str, batched: bool) -> Any:
        moten.backend.set_backend(backend)
        x = movie if backend == "numpy" else torch.from_numpy(movie)
        run = moten.core.project_stimulus_batched if batched else moten.core.project_stimulus
        return run(x, pyramid.filters, dtype="float64" if backend == "numpy" else torch.float64)

    return {
        f"pymoten {backend}{' batched' if batched else ''}": lambda b=backend, k=batched: call(b, k)
        for backend in ("numpy", "torch") for batched in (False, True)
    }  # fmt: skip


def ours(
    shape_px: tuple[int, int], fps: int, sf: tuple[int, ...], movie: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our pyramid in both ways and precisions, and what making it costs."""
    contest, build = {}, {}
    for compat in ("pymoten", None):
        began = time.process_time()
        pyramid = MotionEnergy.pyramid(shape_px, fps, sf_cpi=sf, compat=compat)
        n_pairs = len(pyramid._center) + len(set(pyramid._center.tolist()))
        build[f"compat={compat}"] = {
            "build_ms": 1e3 * (time.process_time() - began), "bank_mb": pyramid.n_bytes / 1e6,
            "dense_float64_mb": n_pairs * 2 * shape_px[0] * shape_px[1] * 8 / 1e6,
        }  # fmt: skip
        for dtype in (torch.float64, torch.float32):
            x = torch.from_numpy(movie).to(dtype)[None, :, None]
            name = f"ours compat={compat} {str(dtype).removeprefix('torch.')}"
            contest[name] = lambda p=pyramid, x=x: p(x)
    return contest, build


def minute(fps: int = 24, seconds: int = 60) -> dict[str, Any]:
    """Stream a minute of 576 by 1024 px, frames made on the way; memory is the process' largest beyond the start."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.random((24, 1, 576, 1024), dtype=np.float32))

    def parts() -> Iterator[torch.Tensor]:
        for _ in range(fps * seconds // 24):
            yield noise

    before = peak_mib() * 2**20 / 1e6
    pyramid = MotionEnergy.pyramid((576, 1024), fps)
    began, frames = time.process_time(), 0
    for made in pyramid.stream(parts()):
        frames += len(made)
    spent = time.process_time() - began
    grown = peak_mib() * 2**20 / 1e6 - before
    return {"frames": frames, "filters": len(pyramid.filters), "cpu_s": spent, "frames_per_s": frames / spent,
            "memory_mb": grown, "bank_mb": pyramid.n_bytes / 1e6}  # fmt: skip


def main(repeats: int) -> None:
    """Run everything."""
    with torch.no_grad():
        rows = [{"case": "576x1024 at 24 fps, 60 s, streamed, float32", **minute()}]
        print(rows[0])
        for name, (shape, fps, sf, frames) in CASES.items():
            movie = np.random.default_rng(0).random((frames, *shape)) * 100
            contest, build = ours(shape, fps, sf, movie)
            times = interleave(contest | peers(shape, fps, sf, movie), repeats=repeats, threads=1)
            best = min(v["cpu_ms"] for k, v in times.items() if k.startswith("pymoten"))
            ratios = {k: best / v["cpu_ms"] for k, v in times.items() if k.startswith("ours")}
            rows.append({"case": name, "shape_px": shape, "fps": fps, "sf_cpi": sf, "frames": frames, "threads": 1,
                         "times": times, "ratio_to_best_peer": ratios, "memory": build})  # fmt: skip
            print(
                name, {k: round(v["cpu_ms"], 1) for k, v in times.items()}, {k: round(v, 1) for k, v in ratios.items()}
            )
    write("motion_energy", rows, note="ratios are of CPU time on one thread: other jobs shared the machine")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
