"""Szinte et al. 2024: population receptive fields of V1 beside the reference fits shipped with the data."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuroperc import decoding
from neuroperc import plot as npplot
from neuroperc._check import fail
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result

TR_S = 1.317025
NAMES = ("x_deg", "y_deg", "size_deg")


@dataclass(frozen=True)
class Config:
    """Voxels taken, shift of the response, gain asked of responses below baseline, simulation, resamples, seed."""

    every: int
    shift_volumes: float
    negative_gain: float
    n_simulated: int
    simulated_r2: float
    n_resamples: int
    seed: int


def run(config: Config) -> Measured:
    """Fit V1, compare with the reference, and recover simulated receptive fields."""
    bold, reference, movie, scene = _read(config)
    hrf = decoding.hemodynamic_response("spm", tr_s=TR_S, shift_s=config.shift_volumes * TR_S)
    found = decoding.fit_prf(bold, movie, hrf=hrf, negative_gain=config.negative_gain, **scene).to_dataframe()
    values = _compare(found, reference)
    draws = _resampled(found, reference, config)
    intervals = {k: np.quantile([d[k] for d in draws], [0.025, 0.975]).tolist() for k, v in values.items()
                 if np.ndim(v) == 0}  # fmt: skip
    glover = decoding.hemodynamic_response("glover", tr_s=TR_S)
    other = decoding.fit_prf(bold, movie, hrf=glover, negative_gain=config.negative_gain, **scene)
    either = decoding.fit_prf(bold, movie, hrf=hrf, negative_gain=0.0, **scene).to_dataframe()
    above = (reference["amplitude"] > 0).to_numpy() & (found["amplitude"] > 0).to_numpy()
    screen = (reference["x_deg"].abs() < 8.9) & (reference["y_deg"].abs() < 5)
    values |= {
        "n_voxels": len(found), "median_r2": float(found["r2"].median()),
        "median_reference_r2": float(reference["r2"].median()),
        "share_far": float((_distance(found, reference) > 1.5).mean()),
        "glover": _compare(other.to_dataframe(), reference) | {"median_r2": float(other.r2.median())},
        "best_sign": _compare(either, reference),
        "both_above_baseline": _compare(found[above], reference[above]) | {"n_voxels": int(above.sum())},
        "on_screen": _compare(found[screen], reference[screen]) | {"n_voxels": int(screen.sum())},
    }  # fmt: skip
    truth, fits = _simulate(movie, scene, hrf, config)
    for name, fit in fits.items():
        compared = _compare(fit, truth)
        values |= {f"simulated_{name}_position_error": compared["position_error"],
                   f"simulated_{name}_size_slope": compared["size_slope"]}  # fmt: skip
    shown = {name: table[[*NAMES, "r2"]].round(3).to_dict("list") for name, table in
             {"ours": found, "reference": reference}.items()}  # fmt: skip
    shown |= {"simulated": truth.round(3).to_dict("list"), "recovered": fits["right"].round(3).to_dict("list")}
    return Measured(values, intervals, "95 % interval over voxels", shown)


def _read(config: Config) -> tuple[np.ndarray, pd.DataFrame, np.ndarray, dict]:
    root = os.environ.get("NEUROPERC_DATA")
    if not root:
        fail("NEUROPERC_DATA", "the folder with fmri/szinte2024_prf_v1", root, "Set it before the run.")
    folder = Path(root, "fmri", "szinte2024_prf_v1")
    reference = pd.read_csv(folder / "gauss_parameters.tsv", sep="\t").rename(
        columns={"x": "x_deg", "y": "y_deg", "sd": "size_deg"})  # fmt: skip
    chosen = np.flatnonzero(reference["r2"] > 0.2)[:: config.every]
    bold = pd.read_csv(folder / "mask-v1_bold.tsv.gz", sep="\t", index_col=0).to_numpy()[:, chosen]
    movie = np.load(folder / "dm_gazecenter.npz")["arr_0"].transpose(0, 2, 1)  # stored (volume, x, y from the top)
    grid = pd.read_csv(folder / "grid_coordinates.tsv", sep="\t")
    x, y = np.unique(grid["x"]), np.unique(grid["y"])
    density = 1 / np.diff(y).mean(), 1 / np.diff(x).mean()
    display = Display((len(y), len(x)), px_per_deg_hw=density, geometry="small_angle")
    center = float(x.mean()), float(y.mean())
    return bold, reference.iloc[chosen].reset_index(drop=True), movie, {"display": display, "center_deg": center}


def _distance(found: pd.DataFrame, reference: pd.DataFrame) -> np.ndarray:
    return np.hypot(found["x_deg"].to_numpy() - reference["x_deg"], found["y_deg"].to_numpy() - reference["y_deg"])


def _compare(found: pd.DataFrame, reference: pd.DataFrame) -> dict:
    """Ordinary lines of ours on the reference, the median distance, and the circular correlation of polar angles."""
    ok = found["x_deg"].notna().to_numpy()
    ours, theirs = found[ok], reference[ok]
    lines = {n: np.polyfit(theirs[n], ours[n], 1) for n in NAMES}
    angles = [np.arctan2(t["y_deg"].to_numpy(), t["x_deg"].to_numpy()) for t in (ours, theirs)]
    off = [np.sin(a - np.angle(np.exp(1j * a).mean())) for a in angles]
    return {
        "x_slope": float(lines["x_deg"][0]), "y_slope": float(lines["y_deg"][0]),
        "x_intercept": float(lines["x_deg"][1]), "y_intercept": float(lines["y_deg"][1]),
        "position_error": float(np.median(_distance(ours, theirs))),
        "polar_angle": float((off[0] * off[1]).sum() / np.sqrt((off[0] ** 2).sum() * (off[1] ** 2).sum())),
        "size_slope": float(lines["size_deg"][0]),
    }  # fmt: skip


def _resampled(found: pd.DataFrame, reference: pd.DataFrame, config: Config) -> list[dict]:
    rng = np.random.default_rng(config.seed)
    rows = rng.integers(len(found), size=(config.n_resamples, len(found)))
    return [_compare(found.iloc[r], reference.iloc[r]) for r in rows]


def _simulate(movie: np.ndarray, scene: dict, hrf: np.ndarray, config: Config) -> tuple[pd.DataFrame, dict]:
    """Receptive fields on the screen with noise, fitted with the response they were made with and with a later one."""
    rng = np.random.default_rng(config.seed)
    n = config.n_simulated
    truth = pd.DataFrame({"x_deg": rng.uniform(-7, 7, n), "y_deg": rng.uniform(-4, 4, n),
                          "size_deg": rng.uniform(0.7, 2.5, n)})  # fmt: skip
    clean = decoding.predict_prf(truth, movie, hrf=hrf, **scene)
    noise_sd = clean.std(axis=0) * np.sqrt(1 / config.simulated_r2 - 1)
    noisy = clean + noise_sd * rng.normal(size=clean.shape)
    wrong = decoding.hemodynamic_response("spm", tr_s=TR_S, shift_s=(config.shift_volumes + 1) * TR_S)
    fits = {name: decoding.fit_prf(noisy, movie, hrf=h, **scene).to_dataframe() for name, h in
            {"right": hrf, "wrong": wrong}.items()}  # fmt: skip
    return truth, fits


def plot(result: Result) -> Figure:
    """Draw places and sizes beside the reference, and simulated places beside the truth."""
    ours, theirs = (pd.DataFrame(result.data[k]) for k in ("ours", "reference"))
    truth, recovered = (pd.DataFrame(result.data[k]) for k in ("simulated", "recovered"))
    with npplot.style():
        canvas = npplot.figure(1, 3, width_in=3.2, height_in=3)
        place, size, made = canvas.axes
        for name, color in (("x", "blue"), ("y", "vermilion")):
            dots = {"s": 5, "alpha": 0.5, "color": npplot.COLORS[color], "lw": 0, "rasterized": True}
            place.scatter(theirs[f"{name}_deg"], ours[f"{name}_deg"], label=name, **dots)
            made.scatter(truth[f"{name}_deg"], recovered[f"{name}_deg"], label=name, **dots)
        size.scatter(theirs["size_deg"], ours["size_deg"], s=5, alpha=0.5, color="black", lw=0)
        for ax, low, high in ((place, -14, 14), (size, 0, 8.2), (made, -9, 9)):
            ax.plot([low, high], [low, high], color=npplot.COLORS["grey"], lw=0.8, zorder=0)
            ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        place.set(xlabel="reference place (deg)", ylabel="ours (deg)", title=f"V1, {len(ours)} voxels, r² > .2")
        size.set(xlabel="reference size (deg)", ylabel="ours (deg)", title="size (SD); fits stop at 0.5 and 8 deg")
        made.set(xlabel="simulated place (deg)", ylabel="recovered (deg)",
                 title=f"{len(truth)} simulated voxels, r² = {result.config['simulated_r2']}")  # fmt: skip
        for ax in (place, made):
            ax.legend(loc="upper left", markerscale=2)
    return canvas
