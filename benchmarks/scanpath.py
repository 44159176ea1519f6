"""Scanpath and saliency metrics against multimatch_gaze, pysaliency and the published loops, timed in turn.

Run: python -m benchmarks.scanpath
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import multimatch_gaze
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.baselines import scanpath_loops as loops
from benchmarks.timing import interleave, write
from neuroperc import metrics as m

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pysaliency imports pkg_resources, which warns
    import pysaliency

SCREEN = (720, 1280)
GRID, THRESHOLD = (8, 12), 3.5
N_PATHS = 110  # as many as studyforrest's; 5995 pairs
N_PEER_PAIRS = 30
QUICK_CALLS = 20  # calls of single pairs in one timing: they take less than the clock's and the cache's hiccups
NOTE = (
    "best of 7 rounds, one thread, other jobs on the machine (`load`); made paths, uniform on 720 x 1280 px; "
    "`per_pair_us` is wall time over the number of pairs; single pairs: 20 calls a timing; all pairs: ours 5995 pairs "
    "of 110 paths of 10 to 50 fixations, the peer 30 of them; `loops` are benchmarks/baselines/scanpath_loops.py; AUC: "
    "768 x 1024 map, 200 fixations, all pixels negative; pysaliency's AUC a fixation (AUCs) and an image "
    "(AUC_per_image, with np.trapz put back for NumPy 2.4)"
)


def path(rng: np.random.Generator, n: int) -> np.ndarray:
    """Make a path (n, 3) of pixels and seconds."""
    return np.c_[rng.uniform(0, 1280, n), rng.uniform(0, 720, n), rng.uniform(0.1, 0.5, n)]


def record(fixations: np.ndarray) -> np.recarray:
    """Return a path as multimatch_gaze wants it."""
    return np.rec.fromarrays(fixations.T, names="start_x,start_y,duration")


def peer_multimatch(pairs: list[tuple[np.recarray, np.recarray]], **options: Any) -> None:
    """Compare pair after pair."""
    for a, b in pairs:
        multimatch_gaze.docomparison(a, b, [1280, 720], **options)


def single_pairs(rng: np.random.Generator, n: int) -> dict[str, dict[str, Callable[[], object]]]:
    """Return what to time on two paths of n fixations."""
    a, b = path(rng, n), path(rng, n)
    both = [(record(a), record(b))]
    scores = loops.scanmatch_scores(GRID, THRESHOLD)
    words = [m.grid_labels(p, screen=SCREEN, grid=(5, 5)) for p in (a, b)]
    options = {"screen": SCREEN, "grid": GRID, "threshold": THRESHOLD}
    loop = (SCREEN, GRID, THRESHOLD, 0.0)
    return {
        "multimatch": {
            "ours": lambda: m.multimatch(a, b, screen=SCREEN),
            "multimatch_gaze": lambda: peer_multimatch(both),
        },
        "multimatch simplified": {
            "ours": lambda: m.multimatch(
                a, b, screen=SCREEN, merge_angle_deg=45, merge_length=147, merge_duration_s=0.2
            ),
            "multimatch_gaze": lambda: peer_multimatch(both, grouping=True, TDir=45.0, TDur=0.2, TAmp=147.0),
        },
        "scanmatch": {
            "ours": lambda: m.scanmatch(a, b, **options),
            "loops": lambda: loops.scanmatch(a, b, *loop, None, scores),
        },
        "scanmatch in bins of 0.1 s": {
            "ours": lambda: m.scanmatch(a, b, bin_s=0.1, **options),
            "loops": lambda: loops.scanmatch(a, b, *loop, 0.1, scores),
        },
        "levenshtein": {
            "ours": lambda: m.levenshtein(*words),
            "loops": lambda: loops.levenshtein(*words),
        },
        "scaled time-delay embedding": {
            "ours": lambda: m.scaled_time_delay_embedding(a, b, screen=SCREEN),
            "loops": lambda: loops.scaled_time_delay_embedding(a, b, SCREEN),
        },
        "scasim": {
            "ours": lambda: m.scasim(a / [64, 64, 1], b / [64, 64, 1]),
            "loops": lambda: loops.scasim(a / [64, 64, 1], b / [64, 64, 1]),
        },
    }


def all_pairs(rng: np.random.Generator) -> dict[str, tuple[int, dict[str, Callable[[], object]]]]:
    """Return what to time on all pairs of many paths, and how many pairs the peer does."""
    paths = [path(rng, int(n)) for n in rng.integers(10, 51, N_PATHS)]
    some = rng.choice(len(m.scanpath_pairs(N_PATHS)), N_PEER_PAIRS, replace=False)
    chosen = [(paths[i], paths[j]) for i, j in m.scanpath_pairs(N_PATHS)[some]]
    records = [(record(a), record(b)) for a, b in chosen]
    scores = loops.scanmatch_scores(GRID, THRESHOLD)
    loop = (SCREEN, GRID, THRESHOLD, 0.0, None, scores)
    few = chosen[:2]
    return {
        "multimatch": (N_PEER_PAIRS, {
            "ours": lambda: m.multimatch(paths, screen=SCREEN),
            "multimatch_gaze": lambda: peer_multimatch(records),
        }),
        "scanmatch": (N_PEER_PAIRS, {
            "ours": lambda: m.scanmatch(paths, screen=SCREEN, grid=GRID, threshold=THRESHOLD),
            "loops": lambda: [loops.scanmatch(a, b, *loop) for a, b in chosen],
        }),
        "scaled time-delay embedding": (len(few), {
            "ours": lambda: m.scaled_time_delay_embedding(paths, screen=SCREEN),
            "loops": lambda: [loops.scaled_time_delay_embedding(a, b, SCREEN) for a, b in few],
        }),
    }  # fmt: skip


def saliency_cases(rng: np.random.Generator) -> dict[str, dict[str, Callable[[], object]]]:
    """Return what to time on one map."""
    values = gaussian_filter(rng.random((768, 1024)), 20)
    points = np.c_[rng.integers(0, 1024, 200), rng.integers(0, 768, 200)].astype(float)

    class Stored(pysaliency.SaliencyMapModel):
        def _saliency_map(self, stimulus: np.ndarray) -> np.ndarray:
            return values

    model, stimuli = Stored(), pysaliency.Stimuli([np.zeros((768, 1024, 3), np.uint8)])
    fixations = pysaliency.Fixations.create_without_history(*points.T, np.zeros(200, int))
    if not hasattr(np, "trapz"):
        setattr(np, "trapz", np.trapezoid)  # noqa: B010 (removed in NumPy 2.4, and pysaliency calls it)
    return {
        "auc": {
            "ours": lambda: m.auc(values, points),
            "pysaliency AUCs": lambda: model.AUCs(stimuli, fixations),
            "pysaliency AUC_per_image": lambda: model.AUC_per_image(stimuli, fixations),
        },
        "nss": {
            "ours": lambda: m.nss(values, points),
            "pysaliency": lambda: model.NSSs(stimuli, fixations),
        },
    }


def again(function: Callable[[], object], times: int) -> Callable[[], object]:
    """Return a function that calls another so many times."""

    def repeated() -> None:
        for _ in range(times):
            function()

    return repeated


def row(task: str, shape: object, best: dict[str, dict[str, float]], counts: dict[str, int]) -> dict[str, Any]:
    """Return a row of the table, times a pair."""
    per_pair = {name: 1e3 * t["wall_ms"] / counts[name] for name, t in best.items()}
    on_cpu = {name: 1e3 * t["cpu_ms"] / counts[name] for name, t in best.items()}
    faster, faster_cpu = (
        {name: value / times["ours"] for name, value in times.items() if name != "ours"} for times in (per_pair, on_cpu)
    )
    print(task, shape, {k: round(v, 1) for k, v in per_pair.items()}, {k: round(v, 1) for k, v in faster.items()})
    return {
        "task": task, "shape": shape, "load": os.getloadavg()[0], "per_pair_us": per_pair, "speed_up": faster,
        "speed_up_cpu": faster_cpu, "best": best,
    }  # fmt: skip


SLOW = ("scaled time-delay embedding", "scasim")  # whose loops take milliseconds anyway


def main() -> None:
    """Time single pairs, all pairs, and maps."""
    warnings.simplefilter("ignore")  # multimatch_gaze divides by 0
    rng = np.random.default_rng(0)
    rows = []
    for n in (5, 10, 20, 50):
        for task, contestants in single_pairs(rng, n).items():
            calls = {k: 1 if k == "loops" and task in SLOW else QUICK_CALLS for k in contestants}
            many = {name: again(f, calls[name]) for name, f in contestants.items()}
            rows.append(row(task, f"one pair of {n} fixations", interleave(many, repeats=7), calls))
    for task, (n_peer, contestants) in all_pairs(rng).items():
        best = interleave(contestants, repeats=7)
        counts = {name: N_PATHS * (N_PATHS - 1) // 2 if name == "ours" else n_peer for name in best}
        rows.append(row(task, "all pairs", best, counts))
    for task, contestants in saliency_cases(rng).items():
        best = interleave(contestants, repeats=7)
        rows.append(row(task, "map 768 x 1024, 200 fixations", best, dict.fromkeys(best, 1)))
    write("scanpath", rows, note=NOTE)


if __name__ == "__main__":
    main()
