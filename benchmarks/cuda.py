"""Every room on a CUDA device; blur and pooling as a share of the bytes a second that a copy moves.

``python benchmarks/cuda.py`` writes results/cuda.json; batches of 16 RGB pictures of 1024 x 1024, metamers of one
picture of 512 x 512 (their papers say "about 1 s" for NeuroFovea and hours for synthesis), motion pyramids in frames
a second and as a share of a matrix product's speed, cross-validated fits beside NumPy's, ridge of 10,000 voxels beside
himalaya's on the same device. It needs a device and says so without one; no result is committed until it has been run
on one.
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
    rows += metamers() + motion() + fits() + voxels()
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


def motion() -> list[dict]:
    """Time motion-energy pyramids, 96 x 96, and one large matrix product."""
    a = torch.rand(4096, 4096, device="cuda")
    peak = 2 * 4096**3 / seconds(lambda: a @ a)
    rows = []
    for frequencies in ((0, 2, 4, 8, 16), (0, 2, 4, 8, 16, 32)):
        pyramid = npc.motion.MotionEnergy.pyramid((96, 96), fps=24, sf_cpi=frequencies).cuda()
        movie = torch.rand(4, 240, 1, 96, 96, device="cuda")
        with torch.no_grad():
            pyramid(movie)
            spent = seconds(lambda: pyramid(movie))  # noqa: B023
        table = pyramid.filters
        pairs = table[["x_image", "y_image", "sf_cpi"]].assign(axis_deg=table["direction_deg"] % 180).drop_duplicates()
        frames = movie.shape[0] * movie.shape[1]
        flop = 2 * 2 * len(pairs) * 96 * 96 * frames  # one product with both filters of every pair
        rows.append({"task": f"motion pyramid, {len(table)} filters, 96 x 96", "ms": 1e3 * spent,
                     "frames_per_s": frames / spent, "share_of_product": flop / spent / peak})  # fmt: skip
        print(rows[-1])
    return rows


def fits() -> list[dict]:
    """Time ten splits of PLS and ridge, 3200 x 1000 to 168, on the device and with NumPy."""
    import numpy as np

    from neuroperc.regression import cross_predict, shuffle_splits

    rng = np.random.default_rng(0)
    x = rng.standard_normal((3200, 1000))
    y = x[:, :100] @ rng.standard_normal((100, 168)) + 10 * rng.standard_normal((3200, 168))
    splits = shuffle_splits(range(3200), n_splits=10, rng=0)
    rows = []
    for estimator in ("pls", "ridge"):
        spent = {}
        for device in ("cuda", None):
            spent[device] = seconds(
                lambda: cross_predict(x, y, splits=splits, estimator=estimator, device=device),  # noqa: B023
                repeats=3,
            )
        rows.append({"task": f"{estimator}, ten splits, 3200 x 1000 to 168", "ms": 1e3 * spent["cuda"],
                     "times_numpy": spent[None] / spent["cuda"]})  # fmt: skip
        print(rows[-1])
    return rows


def voxels(n_voxels: int = 10_000, device: str = "cuda") -> list[dict]:
    """Time ridge of 1000 x 768 features to voxels, ten penalties, in turn with himalaya; float32 in, from the host."""
    import numpy as np
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV as HimalayaRidgeCV

    from neuroperc.regression import RidgeCV, himalaya_backend

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 768), dtype=np.float32)
    y = x @ rng.standard_normal((768, n_voxels), dtype=np.float32) / 768**0.5
    y += rng.standard_normal(y.shape, dtype=np.float32)
    alphas, runs = np.logspace(0, 5, 10), np.arange(1000) // 200
    centred = x - x.mean(axis=0), y - y.mean(axis=0)  # himalaya's kernel ridge has no intercept

    def himalaya(model: type, data: tuple[np.ndarray, np.ndarray], **options: bool) -> object:
        with himalaya_backend("torch_cuda" if device == "cuda" else "torch"):
            return model(alphas=alphas, cv=5, **options).fit(*data)

    tasks: dict[str, Callable[[], object]] = {
        "neuroperc, 5 folds": lambda: RidgeCV(alphas, device=device).fit(x, y, groups=runs),
        "neuroperc, leave one out": lambda: RidgeCV(alphas, device=device).fit(x, y),
        "neuroperc, 5 folds, NumPy": lambda: RidgeCV(alphas).fit(x, y, groups=runs),
        "himalaya ridge, 5 folds": lambda: himalaya(HimalayaRidgeCV, (x, y), fit_intercept=True),
        "himalaya kernel ridge, 5 folds": lambda: himalaya(KernelRidgeCV, centred, warn=False),
    }
    spent = {name: [seconds(task, repeats=1) for _ in range(2)][1:] for name, task in tasks.items()}  # warmed up
    for _ in range(3):
        for name, task in tasks.items():
            spent[name].append(seconds(task, repeats=1))
    best = min(min(times) for name, times in spent.items() if name.startswith("himalaya"))
    rows = [{"task": f"{name}: ridge, 1000 x 768 to {n_voxels}", "ms": 1e3 * min(times),
             "times_himalayas_best": best / min(times)} for name, times in spent.items()]  # fmt: skip
    print(*rows, sep="\n")
    return rows


if __name__ == "__main__":
    main()
