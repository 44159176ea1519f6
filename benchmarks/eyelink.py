"""Reading a long EyeLink ASC file: `read_eyelink` against `pymovements.gaze.from_asc`.

Ours returns degrees, trials, numbered fixations and messages; the peer returns pixels, events and messages. The file is
made here: drifting gaze with a blink every 5 s, fixations of 250 samples and a trial every second.

Run: POLARS_MAX_THREADS=1 python -m benchmarks.eyelink
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pymovements

from benchmarks.timing import interleave, write
from neuroperc import Display
from neuroperc.data import EyeRecording, make_fixations, make_gaze, make_trials, read_eyelink, write_eyelink

SCREEN = Display((1080, 1920), (0.3, 0.53), 0.6)
CASES = [("monocular", 1000, 200_000), ("monocular", 2000, 200_000), ("binocular", 1000, 100_000)]


def make_file(path: Path, eyes: str, rate_hz: int, n: int) -> Path:
    """Write a recording of n samples."""
    rng = np.random.default_rng(0)
    trial, within = np.divmod(np.arange(n), rate_hz)
    gaze = []
    for eye in ("left", "right") if eyes == "binocular" else ("left",):
        points = 8 * np.sin(np.arange(n)[:, None] / rate_hz * (0.7, 1.1)) + rng.normal(0, 0.02, (n, 2))
        points[np.arange(n) % (5 * rate_hz) < 0.1 * rate_hz] = np.nan
        gaze.append(make_gaze(points, time_s=within / rate_hz, trial=trial, eye=eye, pupil=900.0, session=""))
    n_trials = int(trial[-1]) + 1
    start = np.arange(0.1, 0.9, 0.3)
    fixations = make_fixations(
        rng.normal(0, 5, (n_trials * len(start), 2)), trial=np.repeat(np.arange(n_trials), len(start)), eye="left",
        fixation=np.tile(np.arange(len(start)), n_trials), onset_s=np.tile(start, n_trials), duration_s=0.25,
        display=SCREEN,
    )  # fmt: skip
    table = pd.concat(gaze, ignore_index=True)
    trials = make_trials(np.arange(n_trials), onset_s=100.0 + np.arange(n_trials), duration_s=1.0, condition="a")
    return write_eyelink(EyeRecording(table, fixations, trials, SCREEN, float(rate_hz)), path, decimals=1)


def main() -> None:
    """Time three files on one thread."""
    warnings.simplefilter("ignore")
    rows = []
    for eyes, rate_hz, n in CASES:
        with tempfile.TemporaryDirectory() as folder:
            path = make_file(Path(folder) / "long.asc", eyes, rate_hz, n)
            ours = read_eyelink(path, display=SCREEN)
            theirs = pymovements.gaze.from_asc(str(path), events=True, messages=True)
            if len(ours.gaze) != len(theirs.samples) * (2 if eyes == "binocular" else 1):
                raise RuntimeError("the contestants must read the same samples")
            best = interleave(
                {
                    "ours": lambda path=path: read_eyelink(path, display=SCREEN),
                    "pymovements": lambda path=path: pymovements.gaze.from_asc(str(path), events=True, messages=True),
                },
                repeats=3,
            )
            ratio = {kind: best["pymovements"][kind] / best["ours"][kind] for kind in ("wall_ms", "cpu_ms")}
            size_mb = path.stat().st_size / 1e6
        rows.append(
            {"eyes": eyes, "rate_hz": rate_hz, "n_samples": n, "size_mb": size_mb, "best": best, "speed_up": ratio}
        )
        print(eyes, rate_hz, n, {k: round(v, 1) for k, v in ratio.items()}, {k: v["wall_ms"] for k, v in best.items()})
    write("eyelink", rows, peer=f"pymovements {pymovements.__version__}", note="best of 3 rounds, one thread")


if __name__ == "__main__":
    main()
