"""Haxby et al. 2001: eight categories of objects read from one slice of a brain, whole runs held out."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from neuroperc import decoding
from neuroperc import plot as npplot
from neuroperc._check import fail
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import mean_interval


@dataclass(frozen=True)
class Config:
    """Permutations of the labels, lag of the response behind the labelled volumes, resamples, and the seed."""

    n_permutations: int
    lag_s: float
    n_resamples: int
    seed: int


def run(config: Config) -> Measured:
    """Classify the 96 blocks, and the same with labels permuted within runs."""
    bold, events = _read()
    clean = decoding.clean_bold(bold)
    blocks = _block_means(clean, events, config.lag_s)
    runs, labels = events["run"].to_numpy(), events["trial_type"].to_numpy(dtype=str)
    found = decoding.decode_labels(blocks, labels, runs=runs, n_permutations=config.n_permutations, rng=config.seed)
    right = (found.predicted == found.labels).astype(float)
    interval = mean_interval(right, groups=runs, n_resamples=config.n_resamples, rng=config.seed)
    values = {
        "accuracy": found.accuracy, "p_value": found.p_value, "null_mean": float(found.null.mean()),
        "null_max": float(found.null.max()), "n_blocks": len(blocks), "n_voxels": blocks.shape[1],
    }  # fmt: skip
    shown = {"null": found.null.tolist(), "confusion": found.confusion.tolist(), "classes": found.classes.tolist()}
    return Measured(values, {"accuracy": (interval.low, interval.high)}, "95 % interval over runs", shown)


def _read() -> tuple[xr.DataArray, pd.DataFrame]:
    root = os.environ.get("NEUROPERC_DATA")
    if not root:
        fail("NEUROPERC_DATA", "the folder with fmri/haxby2001_slice", root, "Set it before the run.")
    folder = Path(root, "fmri", "haxby2001_slice")
    runs = sorted((folder / "sub001" / "BOLD").glob("task001_run*"))
    mask = folder / "concatenated" / "mask.nii.gz"
    bold = decoding.read_bold([run / "bold_1slice.nii.gz" for run in runs], mask=mask)
    return bold, decoding.read_events([run / "bold_events.tsv" for run in runs])


def _block_means(bold: xr.DataArray, events: pd.DataFrame, lag_s: float) -> np.ndarray:
    """Mean of the volumes whose middle falls in each block, (block, voxel)."""
    middle_s = bold.time_s.values + bold.attrs["tr_s"] / 2 - lag_s
    start, stop = events["onset"].to_numpy(), (events["onset"] + events["duration"]).to_numpy()
    inside = (bold.run.values == events["run"].to_numpy()[:, None]) & (middle_s >= start[:, None])
    inside &= middle_s < stop[:, None]
    return inside @ bold.values / inside.sum(axis=1, keepdims=True)


def plot(result: Result) -> Figure:
    """Draw the accuracy beside the null, and which categories are taken for which."""
    with npplot.style():
        canvas = npplot.figure(1, 2, width_in=3.6, height_in=3.2)
        left, right = canvas.axes
        accuracy = result.values["accuracy"]
        left.hist(result.data["null"], bins=np.arange(-0.5, 40) / 96, color=npplot.COLORS["grey"],
                  label="labels permuted\nwithin runs")  # fmt: skip
        claim = next(c for c in result.claims if c.key == "accuracy")
        left.axvline(accuracy, color=npplot.COLORS["vermilion"], label=f"measured,\n{claim.interval_of}")
        left.axvspan(*claim.interval, color=npplot.COLORS["vermilion"], alpha=0.2, lw=0)
        left.axvline(1 / 8, color="black", ls=":", label="chance")
        left.set(xlabel="accuracy, eight categories", ylabel="permutations", xlim=(0, 1))
        left.set_ylim(0, 1.6 * left.get_ylim()[1])
        left.legend(loc="upper center", bbox_to_anchor=(0.48, 1), fontsize=7)
        left.set_title(f"one person, {len(result.data['null'])} permutations")
        names = [name.replace("scrambledpix", "scrambled") for name in result.data["classes"]]
        shares = np.asarray(result.data["confusion"])
        drawn = right.imshow(shares, cmap="Greys", vmin=0, vmax=1)
        right.set_xticks(range(8), names, rotation=45, ha="right", rotation_mode="anchor")
        right.set_yticks(range(8), names)
        right.set(xlabel="predicted", ylabel="shown", title="12 blocks of each category")
        canvas.colorbar(drawn, ax=right, label="share", shrink=0.8)
    return canvas
