"""SSIM, MS-SSIM and RDMs against pytorch-msssim, scikit-image and scipy, timed in turn.

Run: python -m benchmarks.metrics
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pytorch_msssim import ms_ssim, ssim
from scipy.spatial.distance import pdist
from skimage.metrics import structural_similarity

from benchmarks.timing import interleave, write
from neuroperc import metrics

PICTURES = [(4, 3, 256, 256), (1, 3, 1024, 1024)]
RESPONSES = [(200, 500), (1000, 1000)]
NOTE = "best of 3 rounds, CPU; pictures float32, responses float64; `threads` are torch's alone"


def picture_cases(shape: tuple[int, ...]) -> dict[str, dict[str, Callable[[], object]]]:
    """Return what to time on pictures of one shape: task to contestants."""
    one = torch.rand(shape)
    two = (one + 0.1 * torch.randn(shape)).clip(0, 1)
    a, b = one.numpy(), two.numpy()

    def skimage() -> list[float]:
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
        return [structural_similarity(u, v, data_range=1, **options) for u, v in zip(a, b, strict=True)]

    return {
        "ssim": {
            "ours": lambda: metrics.ssim(one, two, data_range=1),
            "ours_numpy": lambda: metrics.ssim(a, b, data_range=1),
            "pytorch_msssim": lambda: ssim(one, two, data_range=1, size_average=False),
            "skimage": skimage,
        },
        "ms_ssim": {
            "ours": lambda: metrics.ms_ssim(one, two, data_range=1),
            "pytorch_msssim": lambda: ms_ssim(one, two, data_range=1, size_average=False),
        },
    }


def rdm_cases(shape: tuple[int, int]) -> dict[str, dict[str, Callable[[], object]]]:
    """Return what to time on responses of one shape: task to contestants."""
    x = np.random.default_rng(0).normal(size=shape)
    return {
        f"rdm {metric}": {
            "ours": lambda metric=metric: metrics.rdm(x, metric=metric),  # type: ignore[misc]
            "scipy_pdist": lambda metric=metric: pdist(x, metric),  # type: ignore[misc]
        }
        for metric in ("correlation", "euclidean")
    }


def main() -> None:
    """Time every task with one thread and two."""
    torch.manual_seed(0)
    cases = [(s, picture_cases(s)) for s in PICTURES] + [(s, rdm_cases(s)) for s in RESPONSES]
    rows = []
    for threads in (1, 2):
        for shape, tasks in cases:
            for task, contestants in tasks.items():
                best = interleave(contestants, repeats=3, threads=threads)
                faster = {k: v["wall_ms"] / best["ours"]["wall_ms"] for k, v in best.items()}
                on_cpu = {k: v["cpu_ms"] / best["ours"]["cpu_ms"] for k, v in best.items()}
                rows.append({"task": task, "shape": shape, "threads": threads, "best": best, "speed_up": faster,
                             "speed_up_cpu": on_cpu})  # fmt: skip
                print(task, shape, threads, {k: round(v, 2) for k, v in on_cpu.items()})
                write("metrics", rows, note=NOTE)


if __name__ == "__main__":
    main()
