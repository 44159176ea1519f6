"""BrainIO stimulus sets: a CSV with `stimulus_id` and `filename`, and a flat ZIP of the files it names."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from ..._check import atomic_path, check, fail
from ...display import Display
from ..stimuli import StimulusSet
from .pictures import png_bytes


def read_brainio_stimuli(
    csv_path: str | os.PathLike[str],
    zip_path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    display: Display,
    **placing: Any,
) -> StimulusSet:
    """Read a BrainIO stimulus set of pictures.

    Parameters
    ----------
    csv_path
        A row a stimulus, with `stimulus_id` (or the old `image_id`) and `filename`; other columns become columns of the
        set's table. Without `filename` the files are those whose name without suffix is the id.
    zip_path
        The files.
    folder
        Where they are unpacked; made when it is not there.
    display
        The screen.
    **placing
        size_deg, center_deg, fit, background, channels and encoding of `StimulusSet.from_folder`.

    Returns
    -------
    StimulusSet
        In the order of the CSV; its pictures stay in `folder`.

    Raises
    ------
    ValueError
        When a file is missing, damaged or leaves the folder, a column is missing, or an id repeats.

    Examples
    --------
    >>> cats = read_brainio_stimuli("cats.csv", "cats.zip", "cats/", display=screen, size_deg=8)     # doctest: +SKIP
    """
    table = _table(Path(csv_path))
    names = _unpack(Path(zip_path), Path(folder))
    if "filename" not in table:
        by_stem = {PurePosixPath(name).stem: name for name in names}
        table = table.assign(filename=[by_stem.get(str(i), "") for i in table.index])
    missing = [str(i) for i, name in table["filename"].items() if name not in names]
    check(
        not missing, str(zip_path), "with the file of every stimulus", f"none for {missing[:5]}", "Get the whole set."
    )
    stems = [PurePosixPath(name).stem for name in table["filename"]]
    check(len(set(stems)) == len(stems), "filename", "unique without suffix", sorted(stems)[:5])
    kept = table.drop(columns="filename").set_axis(pd.Index(stems, name="stimulus_id"))
    for name in names - set(table["filename"]):
        (Path(folder) / name).unlink()  # a file that the CSV does not name is no stimulus
    found = StimulusSet.from_folder(folder, display, table=kept, **placing)[stems]
    return dataclasses.replace(found, table=found.table.set_axis(table.index))


def _table(path: Path) -> pd.DataFrame:
    check(path.is_file(), "csv_path", "a file that exists", str(path), "Check the name and the folder.")
    try:
        table = pd.read_csv(path, dtype={"stimulus_id": str, "image_id": str, "filename": str})
    except (ValueError, UnicodeDecodeError) as error:
        fail("csv_path", "a whole CSV table", f"{path} ({error})", "The file is damaged: copy it again.")
    if "stimulus_id" not in table:
        table = table.rename(columns={"image_id": "stimulus_id"})
    check("stimulus_id" in table, str(path), "with the column stimulus_id or image_id", list(table))
    table = table.loc[:, [not str(name).startswith("Unnamed") for name in table]]
    twice = table["stimulus_id"][table["stimulus_id"].duplicated()].tolist()
    check(not twice, f"stimulus_id of {path}", "unique", twice[:5])
    return table.set_index("stimulus_id")


def _unpack(path: Path, folder: Path) -> set[str]:
    check(path.is_file(), "zip_path", "a file that exists", str(path), "Check the name and the folder.")
    folder.mkdir(parents=True, exist_ok=True)
    names = set()
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                name = PurePosixPath(entry.filename)
                if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
                    fail(str(path), "of files inside its own folder", entry.filename, "Do not unpack it.")
                target = folder / name.name
                check(name.name not in names, str(path), "of files with different names", name.name)
                with atomic_path(target) as temporary:
                    temporary.write_bytes(archive.read(entry))
                names.add(name.name)
    except zipfile.BadZipFile as error:
        fail("zip_path", "a whole ZIP archive", f"{path} ({error})", "The file is truncated or damaged: copy it again.")
    return names


def write_brainio_stimuli(
    stimuli: StimulusSet, csv_path: str | os.PathLike[str], zip_path: str | os.PathLike[str]
) -> tuple[Path, Path]:
    """Write pictures as a BrainIO stimulus set: 8-bit sRGB PNGs in a flat ZIP, and the table as CSV.

    Parameters
    ----------
    stimuli
        A set of pictures, not movies.
    csv_path, zip_path
        The two files; the same set gives the same bytes.

    Returns
    -------
    tuple of pathlib.Path

    Raises
    ------
    ValueError
        For movies, or ids that cannot be file names.

    Examples
    --------
    >>> write_brainio_stimuli(stimuli, "cats.csv", "cats.zip")       # doctest: +SKIP
    """
    check(stimuli.fps is None, "stimuli", "pictures", "movies", "BrainIO's flat ZIP holds one file a stimulus.")
    bad = [name for name in stimuli.ids if set(name) & set('/\\:*?"<>|') or name in ("", ".", "..")]
    check(not bad, "stimulus_id", "usable as a file name", bad[:5], "Rename these stimuli.")
    table = stimuli.table.reset_index()
    table.insert(1, "filename", [f"{name}.png" for name in stimuli.ids])
    with atomic_path(zip_path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for i, name in enumerate(stimuli.ids):
            entry = zipfile.ZipInfo(f"{name}.png")  # its default date keeps the bytes the same
            archive.writestr(entry, png_bytes(np.asarray(stimuli[i]), stimuli.encoding))
    with atomic_path(csv_path) as temporary:
        table.drop(columns="path", errors="ignore").to_csv(temporary, index=False)
    return Path(csv_path), Path(zip_path)
