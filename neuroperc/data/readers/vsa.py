"""Scanpaths of people and models in the natural-search part of the visual search asymmetry release, as .npy files.

Pixels of a screen of 1280 by 1024, y down, centres at whole numbers (convention "center"). "NaturalDesign" and "Waldo"
store (row, column); "ObjArr" stores (x, y) on a schematic grid, whose points stand for the six places on a ring and the
middle. Position 0 is the start. Rows of zeros fill paths up, and a fixation may lie at (0, 0): lengths come from ifix.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._check import check, fail, one_of
from ...display import Display
from ..fixations.pixels import pixels_to_deg
from ..fixations.tables import check_fixations, make_fixations, make_trials
from ._matlab import read_npy

EXPERIMENTS = ("ObjArr", "NaturalDesign", "Waldo")
N_PEOPLE = 15
_SCHEMATIC_X = {90: 340, 365: 490, 640: 640, 915: 790, 1190: 940}
_SCHEMATIC_Y = {36: 252, 512: 512, 988: 772}


def vsa_display() -> Display:
    """Return the screen of the experiments: 1024 by 1280 pixels, 156 of them 5 degrees.

    Returns
    -------
    Display

    Examples
    --------
    >>> vsa_display().px_per_deg
    31.2
    """
    return Display.from_px_per_deg(156 / 5, resolution_px=(1024, 1280))


def read_vsa_scanpaths(
    folder: str | os.PathLike[str], *, observer: str = "human", display: Display | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the scanpaths of one observer in one experiment.

    Parameters
    ----------
    folder
        The experiment's folder, named "ObjArr", "NaturalDesign" or "Waldo", with the folders fix, cp and ifix.
    observer
        "human" (15 people), or a model whose file lies in fix, such as "eccNET" or "IVSN".
    display
        The screen; default `vsa_display()`.

    Returns
    -------
    fixations, trials : pandas.DataFrame
        Fixation 0 is the start; off-screen fixations are kept with on_screen False. Trial and stimulus_id number the
        pictures, subject is "01" to "15" or the model. ``found`` is <NA> where the file that says so (cp) is not in
        the order of the scanpaths, which holds for people in ObjArr and NaturalDesign: `read_vsa_found` counts it over
        all trials. Also budget (most fixations after the start) and, where the file is there, target_x_deg and
        target_y_deg.

    Raises
    ------
    FileNotFoundError, ValueError
        When a file is missing, cut, or of another shape, or a place is not on the schematic grid.

    References
    ----------
    S K Gupta et al. (2021). Visual search asymmetry. NeurIPS, supplement; M Zhang et al. (2018). Finding any Waldo with
    zero-shot invariant and efficient visual search. Nature Communications.

    Examples
    --------
    >>> fixations, trials = read_vsa_scanpaths("human_scanpaths/Waldo", observer="human")      # doctest: +SKIP
    """
    root, screen = _experiment(folder), vsa_display() if display is None else display
    fix, hits, lengths = _load(root, observer)
    n_people = N_PEOPLE if observer == "human" else 1
    remedy = "Rows are people times pictures, one person after the other."
    check(len(fix) % n_people == 0, f"fix of {root}", f"of a multiple of {n_people} rows", len(fix), remedy)
    n_pictures = len(fix) // n_people
    person = [observer] if n_people == 1 else [f"{k:02d}" for k in range(1, n_people + 1)]
    picture = np.tile(np.arange(n_pictures), n_people)
    found = hits.any(axis=1)
    aligned = bool((hits.argmax(axis=1)[found] + 1 == lengths[found]).all())
    subject = np.repeat(person, n_pictures)
    trials = make_trials(
        picture, subject=subject, stimulus_id=[f"{root.name}-{k:03d}" for k in picture], condition=root.name,
        target_present=True, found=found if aligned else None, budget=fix.shape[1] - 1,
        **_targets(root, n_pictures, n_people, screen),
    )  # fmt: skip
    row = np.repeat(np.arange(len(fix)), lengths)
    number = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    points = _to_px(root, fix[row, number])
    fixations = make_fixations(
        pixels_to_deg(points, screen, convention="center"), trial=picture[row], fixation=number, subject=subject[row],
        display=screen,
    )  # fmt: skip
    return check_fixations(fixations, trials), trials


def read_vsa_found(folder: str | os.PathLike[str], *, observer: str = "human") -> pd.DataFrame:
    """Count after how many fixations the target was found, over all trials of one observer.

    Parameters
    ----------
    folder, observer
        As in `read_vsa_scanpaths`.

    Returns
    -------
    pandas.DataFrame
        A row for every number of fixations from 0, the start, to the budget: fixation, n_found (with exactly so
        many), n_trials, share_found (with so many or fewer).

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_vsa_scanpaths`.

    Examples
    --------
    >>> curve = read_vsa_found("human_scanpaths/NaturalDesign")                      # doctest: +SKIP
    >>> curve.loc[5, "share_found"]                                                  # doctest: +SKIP
    """
    _, hits, _ = _load(_experiment(folder), observer)
    counts = np.bincount(hits.argmax(axis=1)[hits.any(axis=1)], minlength=hits.shape[1])
    share = np.cumsum(counts) / len(hits)
    return pd.DataFrame(
        {"fixation": np.arange(len(counts)), "n_found": counts, "n_trials": len(hits), "share_found": share}
    )


def read_vsa_item_scanpaths(
    path: str | os.PathLike[str], *, display: Display, subject: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a model's scanpaths on item arrays: one .npy file a task, (display, fixation, 2), (row, column) in pixels.

    Parameters
    ----------
    path
        The file.
    display
        The screen that the array fills, as ``neuroperc.stimuli.search_displays(None, ...).display``.
    subject
        Name of the model.

    Returns
    -------
    fixations, trials : pandas.DataFrame
        Fixation 0 is the start; a path ends before the zeros that fill it up. Found is <NA>: it stands in the stored
        predictions.

    Raises
    ------
    FileNotFoundError, ValueError
        When the file is missing, cut, or of another shape.

    Examples
    --------
    >>> screen = Display.from_px_per_deg(30, resolution_px=(339, 339))
    >>> read_vsa_item_scanpaths("eccNET_fixations/curvature_line_in_curves.npy", display=screen)   # doctest: +SKIP
    """
    source = Path(path)
    fix = read_npy(source, (None, None, 2))
    shown = (fix != 0).any(-1)
    lengths = np.where(shown.any(1), shown.shape[1] - shown[:, ::-1].argmax(1), 0)
    row = np.repeat(np.arange(len(fix)), lengths)
    number = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    points = pixels_to_deg(fix[row, number][:, ::-1], display, convention="center")
    trials = make_trials(
        np.arange(len(fix)), subject=subject, stimulus_id=[f"{source.stem}-{k:03d}" for k in range(len(fix))],
        condition=source.stem, target_present=True,
    )  # fmt: skip
    fixations = make_fixations(points, trial=row, fixation=number, subject=subject, display=display)
    return check_fixations(fixations, trials), trials


def _experiment(folder: str | os.PathLike[str]) -> Path:
    root = Path(folder)
    one_of("folder's name", root.name, EXPERIMENTS)
    check(root.is_dir(), "folder", "one that exists", str(root), "Check the name.")
    return root


def _load(root: Path, observer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return fix (n, longest, 2), cp (n, longest) as truth values, and lengths (n,)."""
    stem = "human_all" if observer == "human" else observer
    file = root / "fix" / f"{stem}.npy"
    if not file.is_file():
        there = ", ".join(sorted(p.stem for p in (root / "fix").glob("*.npy"))) or "no files"
        fail("observer", f"one with a file in {root / 'fix'}", observer, f"There are {there}.", FileNotFoundError)
    fix = read_npy(file, (None, None, 2))
    cp = root / "cp" / f"CP_{stem}.npy"
    hits = read_npy(cp, (len(fix), None))
    good = bool(np.isin(hits, (0, 1)).all()) and bool((hits.sum(1) <= 1).all())
    check(good, str(cp), "rows with a single 1 or none", "other numbers")
    ifix = root / "ifix" / f"I_{stem}.npy"
    lengths = read_npy(ifix, (len(fix), 1))[:, 0].astype(int)
    fits = bool(((lengths >= 1) & (lengths <= fix.shape[1])).all())
    check(fits, str(ifix), f"lengths of 1 to {fix.shape[1]}", f"{lengths.min()} to {lengths.max()}")
    return fix, hits > 0, lengths


def _to_px(root: Path, points: np.ndarray) -> np.ndarray:
    """Return (n, 2) of (x, y) on the screen."""
    if root.name != "ObjArr":
        return points[:, ::-1]
    columns = []
    for values, places in zip(points.T, (_SCHEMATIC_X, _SCHEMATIC_Y), strict=True):
        odd = sorted(set(values.tolist()) - set(places))
        check(not odd, f"places of {root}", f"among {', '.join(map(str, places))}", odd[:5], "Is it another file?")
        columns.append(np.array([places[v] for v in values.tolist()], dtype=float))
    return np.stack(columns, -1)


def _targets(root: Path, n_pictures: int, n_people: int, display: Display) -> dict[str, Any]:
    file = root / "target_pos.npy"
    if not file.is_file():
        return {}
    place = pixels_to_deg(read_npy(file, (n_pictures, 2))[:, ::-1], display, convention="center")
    return {"target_x_deg": np.tile(place[:, 0], n_people), "target_y_deg": np.tile(place[:, 1], n_people)}
