"""Read a brain: categories or pictures from betas in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from .. import __version__
from .._check import atomic_path, check, fail, integer
from ..color import luminance
from ..data import make_responses
from ..data.readers._matlab import read_variables
from ..data.readers.pictures import PICTURE_SUFFIXES, read_picture
from ..decoding import Decoding, Reconstruction, decode_labels, read_betas, reconstruct
from ..plot import COLORS, confusion, figure, identification_curve, picture_rows, png, style
from .pictures import check_files

__all__ = ["decode_files", "summary_lines"]

_ARRAYS = (".npz", ".mat")
_MOST_SHOWN = 12


def decode_files(
    source: Path,
    target: Path,
    *,
    mask: Path | None = None,
    trials: Path | None = None,
    scale: float | None = None,
    drop_nan: bool = False,
    label: str | None = None,
    run: str = "run",
    permutations: int = 1000,
    pictures: Path | None = None,
    condition: str | None = None,
    hold_out: str | None = None,
    side_px: int = 28,
    screen: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Write what a brain tells: ``decode.json``, ``decode.png`` and a table of rows.

    Parameters
    ----------
    source
        Betas, a volume a trial (NIfTI and what `read_betas` reads, with `trials`), or an .npz or .mat file with
        ``responses`` (row, voxel), ``stimulus_id`` and other labels (row,), and maybe ``images`` (row, height, width).
    target
        A folder, made if it is missing.
    mask, trials, scale
        As in `read_betas`.
    drop_nan
        Leave out voxels that hold NaN in any volume.
    label, run, permutations
        With `label`, the name of a column of categories, they are classified with whole runs held out.
    pictures
        A folder with a picture a stimulus, named by `stimulus_id`; then pictures are reconstructed.
    condition, hold_out
        Columns: candidates of identification come from one condition; what is held out whole (default: a stimulus).
    side_px
        Pictures of the folder are averaged to a grey square of so many pixels.
    screen
        As in `reconstruct`.
    seed
        Of permutations, folds and intervals.
    progress
        Show a bar.

    Returns
    -------
    dict
        The numbers, and ``written``.

    Raises
    ------
    ValueError, FileNotFoundError
        For input that cannot be read or does not fit together.
    """
    check_files(source, target, "brain data")
    responses, images = _read(source, mask, trials, scale, drop_nan)
    if label is not None:
        check(pictures is None, "--pictures", "left out with --label", str(pictures), "Decode one thing at a time.")
        shown, runs = _column(responses, "--label", label), _column(responses, "--run", run)
        classified = decode_labels(responses.values, shown, runs=runs, n_permutations=permutations, rng=seed)
        facts, table, canvas = _categories(classified)
    else:
        shown = images if pictures is None else _pictures(responses, pictures, side_px)
        if shown is None:
            fail("--pictures", "a folder of pictures, or --label a column of categories", "neither",
                 "An .npz or .mat file may hold the pictures as images.")  # fmt: skip
        for option, name in (("--condition", condition), ("--hold-out", hold_out)):
            _ = name is None or _column(responses, option, name)
        found = reconstruct(responses, shown, conditions=condition, groups=hold_out, screen=screen, progress=progress,
                            rng=seed)  # fmt: skip
        facts, table, canvas = _reconstruction(found, seed)
    facts = {**facts, "n_rows": len(responses), "n_voxels": responses.shape[1], "seed": seed, "neuroperc": __version__}
    target.mkdir(exist_ok=True)
    with atomic_path(target / "rows.csv") as path:
        table.to_csv(path, index=False)
    with atomic_path(target / "decode.png") as path:
        path.write_bytes(png(canvas))
    with atomic_path(target / "decode.json") as path:
        path.write_text(json.dumps(facts, indent=1) + "\n")
    return {**facts, "written": [str(target / name) for name in ("decode.json", "decode.png", "rows.csv")]}


def summary_lines(facts: dict[str, Any]) -> list[str]:
    """Return what `decode_files` found, in words."""
    if facts["decoded"] == "categories":
        tested = "not tested" if facts["p_value"] is None else f"p {facts['p_value']:.3g}"
        return [f"accuracy {facts['accuracy']:.3f} (chance {facts['chance']:.3f}, {tested})"]
    read, guess = (facts["sources"][name] for name in ("reconstruction", "mean image"))
    return [
        f"pixel correlation {read['pixcorr']:.3f} (mean picture {guess['pixcorr']:.3f})",
        f"identified among {facts['n_candidates']}: {read['n_way']:.3f} (chance {facts['n_way_chance']:.3f})",
    ]


def _read(
    source: Path, mask: Path | None, trials: Path | None, scale: float | None, drop_nan: bool
) -> tuple[xr.DataArray, Any]:
    """Return a Responses, and pictures (row, ...) when they are in the file."""
    if source.suffix.lower() not in _ARRAYS:
        check(trials is not None, "--trials", "a table with a row a volume and the column stimulus_id", None)
        nan: Any = "drop" if drop_nan else "raise"
        return read_betas(source, mask=mask, trials=trials, scale=scale, nan=nan), None
    given = mask is not None or trials is not None or scale is not None or drop_nan
    check(not given, "--mask, --trials, --scale and --drop-nan", "left out", f"given for {source}",
          "An array file holds its own labels.")  # fmt: skip
    arrays = read_variables(source)
    for name in ("responses", "stimulus_id"):
        check(name in arrays, str(source), "with responses (row, voxel) and stimulus_id (row,)", sorted(arrays))
    values, images = arrays.pop("responses"), arrays.pop("images", None)
    check(
        values.ndim == 2 and values.dtype.kind in "iuf", f"responses of {source}", "numbers (row, voxel)", values.shape
    )
    labels = {name: a.ravel() for name, a in arrays.items() if a.size == len(values) and a.dtype.kind in "iufUS"}
    check("stimulus_id" in labels, f"stimulus_id of {source}", f"a label for each of {len(values)} rows",
          arrays["stimulus_id"].shape)  # fmt: skip
    names = [str(name).strip() for name in labels.pop("stimulus_id")]
    coords = {name: ("presentation", a.astype(str) if a.dtype.kind in "US" else a) for name, a in labels.items()}
    return make_responses(values, stimulus_id=names, source=source.name, coords=coords), images


def _column(responses: xr.DataArray, option: str, name: str) -> np.ndarray:
    known = sorted(str(n) for n, c in responses.coords.items() if c.dims == ("presentation",))
    check(name in known, option, f"one of the columns {', '.join(known)}", name)
    values: np.ndarray = responses.coords[name].values
    return values


def _pictures(responses: xr.DataArray, folder: Path, side_px: int) -> np.ndarray:
    """Return (row, 1, side, side) luminance of each row's picture."""
    check(folder.is_dir(), "--pictures", "a folder that exists", str(folder), error=FileNotFoundError)
    side = integer("--side-px", side_px, minimum=2)
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in PICTURE_SUFFIXES}
    names = responses.coords["stimulus_id"].values.astype(str).tolist()
    missing = sorted(set(names) - set(files))
    check(not missing, "--pictures", "a folder with a picture for every stimulus_id", f"{folder} without {missing[:1]}")
    small = {}
    for name in sorted(set(names)):
        grey = luminance(torch.from_numpy(read_picture(files[name])))
        small[name] = torch.nn.functional.adaptive_avg_pool2d(grey[None], side)[0].numpy()
    return np.stack([small[name] for name in names])


def _categories(found: Decoding) -> tuple[dict[str, Any], pd.DataFrame, Any]:
    chance = 1 / len(found.classes)
    p_value = None if np.isnan(found.p_value) else found.p_value
    facts = {"decoded": "categories", "accuracy": found.accuracy, "chance": chance, "p_value": p_value,
             "n_permutations": len(found.null), "classes": found.classes.tolist()}  # fmt: skip
    with style():
        canvas = figure(1, 2, width_in=3.4, height_in=3.0)
        left, right = canvas.axes
        if len(found.null):
            left.hist(found.null, bins=20, color=COLORS["grey"], label="labels permuted within runs")
        left.axvline(found.accuracy, color=COLORS["vermilion"], label="measured")
        left.axvline(chance, color="black", ls=":", label="one of as many classes")
        left.set(xlabel="share of rows named", ylabel="permutations", xlim=(0, 1), title=_p_words(p_value))
        left.set_ylim(0, 1.45 * left.get_ylim()[1])
        left.legend(loc="upper left", fontsize=7)
        confusion(found.confusion, found.classes, ax=right)
    return facts, pd.DataFrame({"shown": found.labels, "predicted": found.predicted}), canvas


def _p_words(p_value: float | None) -> str:
    return "not tested" if p_value is None else f"p = {p_value:.2g}"


def _reconstruction(found: Reconstruction, seed: int) -> tuple[dict[str, Any], pd.DataFrame, Any]:
    summary = found.summary(rng=seed)
    sources = {str(name): {k: None if np.isnan(v) else float(v) for k, v in row.items()}
               for name, row in summary.to_dict("index").items()}  # fmt: skip
    table = found.of("reconstruction")
    facts = {"decoded": "pictures", "sources": sources, "interval": "95 % over stimuli",
             "two_way_chance": 0.5, "n_way_chance": found.chance(),
             "n_candidates": int(table["n_candidates"].min())}  # fmt: skip
    with style():
        canvas = figure(1, 2, width_in=4.2, height_in=3.0)
        left, right = canvas.axes
        _draw_pictures(found, left)
        _draw_curve(found, right)
    return facts, found.scores, canvas


def _draw_pictures(found: Reconstruction, ax: Any) -> None:
    """Draw some stimuli and the mean of what was read in their trials; features that are no pictures are left out."""
    names = found.of("reconstruction")["stimulus"].to_numpy()
    known, first = np.unique(names, return_index=True)
    if (
        found.images.ndim < 3
        or found.images.ndim > 4
        or (found.images.ndim == 4 and found.images.shape[1] not in (1, 3))
    ):
        ax.set_axis_off()
        return
    some = np.linspace(0, len(known) - 1, min(_MOST_SHOWN, len(known))).astype(int)
    top = max(1.0, float(found.images.max()))
    read = np.stack([found.predictions[names == known[i]].mean(axis=0) for i in some])
    rows = {"shown": found.images[first[some]], "read": read, "guess": found.mean_image[first[some]]}
    picture_rows({name: (pictures / top).clip(0, 1) for name, pictures in rows.items()}, ax=ax)


def _draw_curve(found: Reconstruction, ax: Any) -> None:
    most = int(found.of("reconstruction")["n_candidates"].min())
    if most < 2:
        ax.set_axis_off()
        return
    counts = np.unique(np.linspace(2, most, min(12, most - 1)).astype(int))
    for source in ("reconstruction", "encoding model", "mean image"):
        share = [float(found.identification(int(n), source=source).mean()) for n in counts]
        identification_curve(counts, share, label=source, ax=ax)
