"""SSIM, MS-SSIM, RDMs and CKA against pytorch-msssim, scikit-image, scipy and rsatoolbox, timed in turn.

Run: python -m benchmarks.metrics
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from pytorch_msssim import ms_ssim, ssim
from scipy.spatial.distance import pdist
from skimage.metrics import structural_similarity
from threadpoolctl import threadpool_limits

from benchmarks.timing import interleave, write
from neuroperc import metrics

PICTURES = [(4, 3, 256, 256), (1, 3, 1024, 1024)]
RESPONSES = [(200, 500), (1000, 200), (1000, 1000)]
NOTE = (
    "best of 5 rounds, CPU, other jobs on the machine; pictures float32, responses float64; `threads` are torch's and "
    "BLAS's; `dense` is the formula on n x n kernels in NumPy"
)


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
        "ssim with gradient": {
            "ours": lambda: gradient(lambda v: metrics.ssim(v, two, data_range=1), one),
            "pytorch_msssim": lambda: gradient(lambda v: ssim(v, two, data_range=1, size_average=False), one),
        },
    }


def gradient(function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the summed values."""
    x = at.clone().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def rdm_cases(shape: tuple[int, int]) -> dict[str, dict[str, Callable[[], object]]]:
    """Return what to time on responses of one shape: task to contestants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import rsatoolbox
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=shape)
    data = rsatoolbox.data.Dataset(x)

    def toolbox() -> object:
        return rsatoolbox.rdm.calc_rdm(data, method="correlation")

    return {
        "rdm correlation": {
            "ours": lambda: metrics.rdm(x),
            "scipy_pdist": lambda: pdist(x, "correlation"),
            "rsatoolbox": toolbox,
        },
        "rdm euclidean": {
            "ours": lambda: metrics.rdm(x, metric="euclidean"),
            "scipy_pdist": lambda: pdist(x, "euclidean"),
        },
        "cka": {
            "ours": lambda: metrics.cka(x, y),
            "dense": lambda: dense_cka(x, y),
        },
    }


def dense_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased CKA as it is written: three kernels products of n x n."""
    n = len(x)
    one = np.ones(n)
    kernels = [v @ v.T for v in (x, y)]
    for kernel in kernels:
        np.fill_diagonal(kernel, 0)

    def hsic(k: np.ndarray, z: np.ndarray) -> float:
        total = (one @ k @ one) * (one @ z @ one) / ((n - 1) * (n - 2))
        return float(np.sum(k * z) + total - 2 / (n - 2) * (one @ k) @ (z @ one))

    a, b = kernels
    return hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


def main() -> None:
    """Time every task with one thread and two."""
    torch.manual_seed(0)
    cases = [(s, picture_cases(s)) for s in PICTURES] + [(s, rdm_cases(s)) for s in RESPONSES]
    rows = []
    for threads in (1, 2):
        for shape, tasks in cases:
            for task, contestants in tasks.items():
                with threadpool_limits(threads):
                    best = interleave(contestants, repeats=5, threads=threads)
                faster = {k: v["wall_ms"] / best["ours"]["wall_ms"] for k, v in best.items()}
                on_cpu = {k: v["cpu_ms"] / best["ours"]["cpu_ms"] for k, v in best.items()}
                rows.append({"task": task, "shape": shape, "threads": threads, "best": best, "speed_up": faster,
                             "speed_up_cpu": on_cpu})  # fmt: skip
                print(task, shape, threads, {k: round(v, 2) for k, v in on_cpu.items()})
                write("metrics", rows, note=NOTE)


if __name__ == "__main__":
    main()
