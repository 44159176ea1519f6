"""A penalty for each of 10,000 voxels, 1000 x 768 features, 10 penalties: neuroperc, himalaya, scikit-learn, in turn.

Run: python -m benchmarks.ridge_voxels [repeats]    (scikit-learn's five folds take a minute a round)
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import torch
from himalaya.kernel_ridge import KernelRidgeCV
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from sklearn.linear_model import RidgeCV as SklearnRidgeCV
from threadpoolctl import threadpool_limits

from benchmarks.timing import interleave, write
from neuroperc.regression import RidgeCV, himalaya_backend

N, P, VOXELS = 1000, 768, 10_000
ALPHAS = np.logspace(0, 5, 10)
RUNS = np.arange(N) // (N // 5)
_BACKENDS = ("numpy", "torch")
_PEAK = """
from benchmarks.ridge_voxels import ALPHAS, RUNS, simulated
from benchmarks.timing import peak_mib
from neuroperc.regression import RidgeCV
x, y = simulated()
RidgeCV(ALPHAS).fit(x[:50], y[:50, :5])
before = peak_mib()
RidgeCV(ALPHAS).fit(x, y, groups={groups})
print(peak_mib() - before)
"""


def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Features, and voxels of which half the variance is theirs, float32, made without a float64 copy of all."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, P)).astype(np.float32)
    y = np.empty((N, VOXELS), np.float32)
    for at in range(0, VOXELS, 500):
        signal = x @ rng.normal(size=(P, 500)).astype(np.float32) / P**0.5
        y[:, at : at + 500] = signal + rng.normal(size=(N, 500))
    return x, y


def _himalaya(model: type, backend: str, x: np.ndarray, y: np.ndarray, **options: Any) -> Any:
    with himalaya_backend(backend):
        return model(alphas=ALPHAS, cv=5, **options).fit(x, y)


def contestants(*, slow: bool) -> dict[str, Any]:
    """Return what is timed: each fits all voxels and keeps its weights."""
    x, y = simulated()
    centred = x - x.mean(axis=0), y - y.mean(axis=0)  # himalaya's kernel ridge has no intercept
    found: dict[str, Any] = {
        "neuroperc 5 folds": lambda: RidgeCV(ALPHAS).fit(x, y, groups=RUNS),
        "neuroperc leave one out": lambda: RidgeCV(ALPHAS).fit(x, y),
    }
    for backend in _BACKENDS:
        found[f"himalaya ridge, {backend}"] = lambda b=backend: _himalaya(HimalayaRidgeCV, b, x, y, fit_intercept=True)
        found[f"himalaya kernel ridge, {backend}"] = lambda b=backend: _himalaya(KernelRidgeCV, b, *centred, warn=False)
    if slow:
        found["scikit-learn leave one out"] = lambda: SklearnRidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)
        found["scikit-learn 5 folds, one penalty for all"] = lambda: SklearnRidgeCV(ALPHAS, cv=5).fit(x, y)
    return found


def agreement() -> dict[str, float]:
    """Return the share of voxels with himalaya's penalty from the same folds, and the largest difference of weights."""
    x, y = simulated()
    ours = RidgeCV(ALPHAS).fit(x, y, groups=RUNS)
    theirs = _himalaya(HimalayaRidgeCV, "numpy", x, y, fit_intercept=True)
    same = np.isclose(np.asarray(theirs.best_alphas_), ours.alpha_)
    apart = np.abs(np.asarray(theirs.coef_)[:, same] - ours.coef_.T[:, same]).max()
    return {"same_penalty": float(same.mean()), "largest_difference_of_weights": float(apart)}


def extra_peak_mib(groups: str) -> float:
    """Return by how much a fit raises the peak of memory, in a fresh process."""
    code = _PEAK.format(groups=groups)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(told.stdout.split()[-1])


def main(repeats: int) -> None:
    """Write benchmarks/results/ridge_voxels.json."""
    with threadpool_limits(1):
        one = interleave(contestants(slow=True), repeats=repeats)
    fast = {k: v for k, v in contestants(slow=False).items() if k.startswith("neuroperc")}
    with threadpool_limits(2):
        two = interleave(fast, repeats=repeats, threads=2)
    best = {k: min(v[k] for n, v in one.items() if n.startswith("himalaya")) for k in ("wall_ms", "cpu_ms")}
    folds, single = one["neuroperc 5 folds"], one["neuroperc leave one out"]
    ratios = {
        "himalaya's best / our 5 folds": {k: best[k] / folds[k] for k in best},
        "scikit-learn 5 folds / ours": {
            k: one["scikit-learn 5 folds, one penalty for all"][k] / folds[k] for k in best
        },
        "scikit-learn leave one out / ours": {k: one["scikit-learn leave one out"][k] / single[k] for k in best},
        "two threads / one, wall": {n: two[n]["wall_ms"] / one[n]["wall_ms"] for n in fast},
    }
    peaks = {"5 folds": extra_peak_mib("RUNS"), "leave one out": extra_peak_mib("None")}
    row = {"case": f"{N}x{P}->{VOXELS}, {len(ALPHAS)} penalties", "one_thread": one, "two_threads": two,
           "ratios": ratios, "extra_peak_mib": peaks, "against_himalaya": agreement()}  # fmt: skip
    print(json.dumps(row, indent=1))
    write("ridge_voxels", [row], note="float32 in; scikit-learn turns it into float64 itself", repeats=repeats)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
