"""PLS and RidgeCV against scikit-learn and himalaya: Brain-Score's sizes, one BLAS thread, timed in turn.

Run: python -m benchmarks.regression [narrow] [wide]    (wide: scikit-learn alone takes minutes)
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV as SklearnRidgeCV
from threadpoolctl import threadpool_limits

from benchmarks.timing import RESULTS, interleave, write
from neuroperc.metrics import pearson
from neuroperc.regression import PLS, RidgeCV, himalaya_backend

ALPHAS = np.logspace(0, 5, 10)


def simulated(n: int, p: int, t: int) -> tuple[np.ndarray, ...]:
    """Features with a decaying spectrum and targets with unit noise; a tenth more rows to test on."""
    rng = np.random.default_rng(0)
    m = n + n // 9
    rank = min(m, p, 600)
    latent = rng.normal(size=(m, rank)) * np.arange(1, rank + 1) ** -0.5
    x = latent @ rng.normal(size=(rank, p)) + 0.1 * rng.normal(size=(m, p))
    y = latent @ rng.normal(size=(rank, t))
    y = y / y.std(axis=0) + rng.normal(size=y.shape)
    return x[:n], y[:n], x[n:], y[n:]


def main(parts: list[str]) -> None:
    """Time what was asked for and write benchmarks/results/regression.json, keeping its other rows."""
    warnings.filterwarnings("ignore")  # scikit-learn says that its iteration stopped early
    path = RESULTS / "regression.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    with threadpool_limits(1):
        new = [*(narrow() if "narrow" in parts else []), *(wide() if "wide" in parts else [])]
    names = {row["case"] for row in new}
    rows = [row for row in rows if row["case"] not in names] + new
    print(json.dumps(new, indent=1))
    write(
        "regression", rows, threads=1, note="best of the rounds; himalaya in float32, its own 5 folds; wide: one round"
    )


def narrow() -> list[dict[str, Any]]:
    """2880 x 1000 -> 168: nine tenths of Majaj & Hong's 3200 pictures, 1000 units, IT."""
    x, y, x_new, y_new = simulated(2880, 1000, 168)
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    pls = {"neuroperc": lambda: PLS(25).fit(x, y), "sklearn": lambda: PLSRegression(25, scale=False).fit(x, y)}
    ridge = {
        "neuroperc": lambda: RidgeCV(ALPHAS).fit(x, y),
        "sklearn": lambda: SklearnRidgeCV(ALPHAS, alpha_per_target=True).fit(x, y),
        "himalaya": lambda: HimalayaRidgeCV(alphas=ALPHAS, fit_intercept=True, cv=5).fit(x32, y32),
    }
    with himalaya_backend("numpy"):
        return [
            _row("pls25 2880x1000->168", interleave(pls, repeats=3), pls, x_new, y_new),
            _row("ridge 10 alphas 2880x1000->168", interleave(ridge, repeats=3), ridge, x_new, y_new),
        ]


def wide() -> list[dict[str, Any]]:
    """576 x 15,680 -> 50 and 576 x 75,264 -> 50: a V4 session and two layers of EfficientNet-Lite0 at 224 px."""
    found = []
    for p in (15_680, 75_264):
        x, y, x_new, y_new = simulated(576, p, 50)
        pls = {"neuroperc": lambda x=x, y=y: PLS(25).fit(x, y),
               "sklearn": lambda x=x, y=y: PLSRegression(25, scale=False).fit(x, y)}  # fmt: skip
        models: dict[str, Any] = {}
        times = {name: _once(name, fit, models) for name, fit in pls.items()}
        kept = {name: (lambda model=model: model) for name, model in models.items()}
        found.append(_row(f"pls25 576x{p}->50", times, kept, x_new, y_new))
    return found


def _once(name: str, fit: Callable[[], Any], models: dict[str, Any]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    models[name] = fit()
    return {"wall_ms": 1e3 * (time.perf_counter() - wall), "cpu_ms": 1e3 * (time.process_time() - cpu)}


def _row(
    case: str, times: dict[str, dict[str, float]], fits: dict[str, Callable[[], Any]], x: np.ndarray, y: np.ndarray
) -> dict[str, Any]:
    median = {name: float(np.median(pearson(np.asarray(fit().predict(x), float), y))) for name, fit in fits.items()}
    ours = times["neuroperc"]
    ratios = {f"{name} / neuroperc": {k: t[k] / ours[k] for k in t} for name, t in times.items() if name != "neuroperc"}
    return {"case": case, "times": times, "ratios": ratios, "held_out_median_r": median}


if __name__ == "__main__":
    main(sys.argv[1:] or ["narrow", "wide"])
