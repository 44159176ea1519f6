"""PoolingWindows against the dense separable contraction: speed, build time, memory, and independence of scaling.

``python benchmarks/pooling.py`` writes results/pooling.json; it takes two minutes on two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import torch
from baselines.dense_pooling import DensePooling
from timing import in_a_row, interleave, write

import neuroperc as npc
from neuroperc.foveation import PoolingWindows

LARGE = """
import json, time
import torch
import neuroperc as npc
from neuroperc.foveation import PoolingWindows
def high_water():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1])  # kB; unlike ru_maxrss it does not inherit the parent's
torch.set_num_threads(1)
display = npc.Display.from_px_per_deg(48.5, resolution_px=(2048, 2600))
PoolingWindows(npc.Display.from_px_per_deg(8, resolution_px=(64, 64)), 0.5)(torch.rand(1, 1, 64, 64))
x = torch.rand(1, 1, 2048, 2600)
before = high_water()
t = [time.perf_counter()]
windows = PoolingWindows(display, 0.01, "gaussian"); t.append(time.perf_counter())
y = windows(x); t.append(time.perf_counter())
z = windows.unpool(y); t.append(time.perf_counter())
peak = high_water()
print(json.dumps({"n_windows": windows.n_windows, "build_s": t[1] - t[0], "forward_s": t[2] - t[1],
                  "adjoint_s": t[3] - t[2], "peak_gb": peak / 2**20, "above_baseline_gb": (peak - before) / 2**20}))
"""


def contest(window: str, scaling: float, threads: int) -> dict:
    """Time ours, the published contraction and our best dense order on one 512 x 512 picture."""
    display = npc.Display.from_px_per_deg(512 / 30, resolution_px=(512, 512))
    start = time.perf_counter()
    ours = PoolingWindows(display, scaling, window)
    build = time.perf_counter() - start
    eccentricity, angle = display.polar()
    dense = DensePooling(
        eccentricity, angle, scaling=scaling, window=window, min_eccentricity_deg=0.5,
        n_rings=ours.n_rings, n_wedges=ours.n_wedges,
    )  # fmt: skip
    x, y = torch.rand(1, 1, 512, 512), torch.rand(1, 1, ours.n_windows)
    rings, wedges = dense.rings.reshape(-1, 512, 512), dense.wedges.reshape(-1, 512, 512)
    grid = y.reshape(1, 1, ours.n_rings, ours.n_wedges)
    forwards = {
        "ours": lambda: ours(x),
        "dense": lambda: dense.pool(x),
        "einsum": lambda: torch.einsum("bchw,ehw,ahw->bcea", x, rings, wedges),
    }
    adjoints = {
        "ours": lambda: ours.unpool(y),
        "dense": lambda: dense.unpool(y),
        "einsum": lambda: torch.einsum("bcea,ehw,ahw->bchw", grid, rings, wedges),
    }
    forward = interleave(forwards, repeats=7, threads=threads)
    adjoint = interleave(adjoints, repeats=7, threads=threads)
    warm = in_a_row(forwards, threads=threads), in_a_row(adjoints, threads=threads)
    entries = sum(part.numel() * part.element_size() for part in ours._plan(torch.float32, torch.device("cpu")).entries)
    return {
        "window": window, "scaling": scaling, "threads": threads, "forward": forward, "adjoint": adjoint,
        "forward_ratio": min(forward["dense"]["wall_ms"], forward["einsum"]["wall_ms"]) / forward["ours"]["wall_ms"],
        "adjoint_ratio_to_published_einsum": adjoint["einsum"]["wall_ms"] / adjoint["ours"]["wall_ms"],
        "adjoint_ratio_to_best_dense_order": adjoint["dense"]["wall_ms"] / adjoint["ours"]["wall_ms"],
        "in_a_row_ms": {"forward": warm[0], "adjoint": warm[1]},
        "in_a_row_forward_ratio": min(warm[0]["dense"], warm[0]["einsum"]) / warm[0]["ours"],
        "in_a_row_adjoint_ratio_to_published_einsum": warm[1]["einsum"] / warm[1]["ours"],
        "build_s": build, "ours_mb": entries / 2**20, "dense_mb": 4 * (rings.numel() + wedges.numel()) / 2**20,
    }  # fmt: skip


def independence() -> dict:
    """Time s = 0.05 beside s = 0.5, one thread."""
    display = npc.Display.from_px_per_deg(512 / 30, resolution_px=(512, 512))
    x = torch.rand(1, 1, 512, 512)
    out = {}
    for window in ("cosine", "gaussian"):
        fine, coarse = PoolingWindows(display, 0.05, window), PoolingWindows(display, 0.5, window)
        y, z = torch.rand(1, 1, fine.n_windows), torch.rand(1, 1, coarse.n_windows)
        times = interleave(
            {
                "forward 0.05": lambda a=fine: a(x),
                "forward 0.5": lambda a=coarse: a(x),
                "adjoint 0.05": lambda a=fine, b=y: a.unpool(b),
                "adjoint 0.5": lambda a=coarse, b=z: a.unpool(b),
            },
            repeats=9,
        )
        ms = {name: t["cpu_ms"] for name, t in times.items()}
        ratio = {kind: ms[f"{kind} 0.05"] / ms[f"{kind} 0.5"] for kind in ("forward", "adjoint")}
        out[window] = {"cpu_ms": ms, "ratio": ratio}
    return out


if __name__ == "__main__":
    runs = [contest(w, s, n) for w, s in (("cosine", 0.5), ("gaussian", 0.25)) for n in (1, 2)]
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    large = json.loads(done.stdout.splitlines()[-1])
    scaling = independence()
    write("pooling", runs, scaling_independence=scaling, gaussian_001_at_2048x2600=large)
    for run in runs:
        print({k: round(v, 2) for k, v in run.items() if isinstance(v, float)}, run["window"], run["threads"])
    print(scaling, large)
