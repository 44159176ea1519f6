"""What all benchmarks share: peers timed in turn in one process, and a JSON file with the machine and the commit."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"


def interleave(
    contestants: dict[str, Callable[[], object]], *, repeats: int = 5, threads: int = 1
) -> dict[str, dict[str, float]]:
    """Time every contestant once a round, `repeats` rounds after a warm-up; return the best of each, in ms.

    Other jobs share the machine, so the minimum is what counts, and `cpu_ms` with one thread is what disturbs least.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        best = {name: [np.inf, np.inf] for name in contestants}
        for function in contestants.values():
            function()
        for _ in range(repeats):
            for name, function in contestants.items():
                wall, cpu = time.perf_counter(), time.process_time()
                function()
                spent = time.perf_counter() - wall, time.process_time() - cpu
                best[name] = [min(a, b) for a, b in zip(best[name], spent, strict=True)]
    finally:
        torch.set_num_threads(before)
    return {name: {"wall_ms": 1e3 * wall, "cpu_ms": 1e3 * cpu} for name, (wall, cpu) in best.items()}


def in_a_row(contestants: dict[str, Callable[[], object]], *, repeats: int = 20, threads: int = 1) -> dict[str, float]:
    """Time every contestant on its own, again and again: what it needs lies in the cache. Best wall time in ms."""
    return {
        name: interleave({name: function}, repeats=repeats, threads=threads)[name]["wall_ms"]
        for name, function in contestants.items()
    }


def peak_mib() -> float:
    """Return the most memory that this process has held (Linux); ru_maxrss would begin with its parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def machine() -> dict[str, Any]:
    """Describe where and what was run."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    folder = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True)
    return {
        "cpu": model or platform.processor(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def write(name: str, rows: list[dict[str, Any]], **notes: Any) -> Path:
    """Write benchmarks/results/<name>.json."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **notes, "rows": rows}, indent=1) + "\n")
    return path
