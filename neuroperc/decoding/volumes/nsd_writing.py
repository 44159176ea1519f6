"""Write responses, real or simulated, in the layout of the Natural Scenes Dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, fail, finite, integer, one_of
from ._masks import Voxels, check_once, voxels_of
from .nsd import PER_SESSION, SPACE, VERSION, check_behaviour, design_trials
from .writing import write_nifti

_LIMIT = np.iinfo(np.int16).max / 300


def write_nsd(
    root: str | os.PathLike[str],
    betas: Mapping[int, xr.DataArray],
    *,
    masterordering: Any,
    subjectim: Any,
    n_shared: int,
    images: Any = None,
    maps: Mapping[int, Mapping[str, Any]] | None = None,
    trials_per_session: int = PER_SESSION,
    format: Literal["nii.gz", "hdf5"] = "nii.gz",
    version: str = VERSION,
    space: str = SPACE,
) -> None:
    """Write what `read_nsd_betas`, `nsd_trials`, `read_nsd_map`, `read_nsd_images` and `read_nsd_stimuli` read.

    Parameters
    ----------
    root
        An existing folder.
    betas
        Subject number to Responses in percent signal change, a row a trial in the design's order, whole sessions, with
        the grid's attributes; stored as int16 of 1/300 percent.
    masterordering
        (trial,) rank of the picture of each trial, from 1, the same for every subject.
    subjectim
        (subject, rank) 73k number of the picture of each rank, from 1; the first `n_shared` alike for all.
    n_shared
        How many pictures everybody sees.
    images
        (picture, height, width, 3) uint8; None writes none.
    maps
        Subject number to ``{name: (neuroid,)}``: ``"ncsnr"`` and region files; regions are -1 outside the voxels,
        ``ncsnr`` is NaN there. ``nsdgeneral`` is written with all voxels when it is not given.
    trials_per_session
        750 in NSD.
    format
        ``"hdf5"`` transposes, as NSD does.
    version, space
        Folder names.

    Raises
    ------
    ValueError
        When rows are not whole sessions, name other pictures than the design, hold NaN or more than int16 does, or when
        designs, pictures or maps do not match, or sessions of an earlier writing would stay. Everything is checked
        before the first file, and files take their places when all are whole.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from neuroperc.data import make_responses
    >>> one = make_responses(np.float32([[1, 2], [3, 4]]), stimulus_id=["nsd00007", "nsd00009"], i=0, j=0, k=[0, 1])
    >>> one.attrs |= {"volume_shape": [1, 1, 3], "affine": np.eye(4).ravel().tolist()}
    >>> folder = tempfile.mkdtemp()
    >>> write_nsd(folder, {1: one}, masterordering=[1, 2], subjectim=[[7, 9]], n_shared=1, trials_per_session=2)
    >>> from neuroperc.decoding import read_nsd_betas
    >>> read_nsd_betas(folder, 1, trials_per_session=2).values.tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    base = Path(root)
    check(base.is_dir(), "root", "a folder that exists", str(base), "Make it first.")
    one_of("format", format, ("nii.gz", "hdf5"))
    check(len(betas) > 0, "betas", "of one subject or more", "none")
    order, numbers, shared = _design(masterordering, subjectim, n_shared)
    _check_images(images, numbers)
    strange = sorted(set(maps or {}) - set(betas))
    check(not strange, "maps", f"of subjects among {sorted(betas)}", strange)
    drawn = {subject: dict((maps or {}).get(subject, {})) for subject in betas}
    for subject, rows in betas.items():
        trials = design_trials(order, numbers, shared, subject, trials_per_session)
        check_behaviour(base, subject, trials)
        _check_rows(rows, trials, subject, trials_per_session)
        drawn[subject].setdefault("nsdgeneral", np.ones(rows.sizes["neuroid"]))
        _check_maps(drawn[subject], rows.sizes["neuroid"], subject)
        _check_place(base, subject, len(trials) // trials_per_session, format, space, version)
    with _all_or_nothing(base) as made:
        _write_design(made, order, numbers, shared)
        if images is not None:
            _write_images(made, np.asarray(images), shared)
        for subject, rows in betas.items():
            voxels = voxels_of(rows)
            _write_sessions(made, subject, rows, voxels, trials_per_session, format, space, version)
            _write_maps(made, subject, drawn[subject], voxels, space, version)


def _check_place(base: Path, subject: int, n_sessions: int, format: str, space: str, version: str) -> None:
    """Raise when sessions of an earlier writing would stay and be read as if they were of this one."""
    folder = base / "nsddata_betas" / "ppdata" / f"subj{subject:02d}" / space / version
    ours = {f"betas_session{s + 1:02d}.{format}" for s in range(n_sessions)}
    others = sorted(path.name for path in folder.glob("*betas_session*") if path.name not in ours)
    check(not others, "root", f"without other betas in {folder}", others, "Remove them, or choose another folder.")


@contextmanager
def _all_or_nothing(base: Path) -> Iterator[Path]:
    """Yield a folder inside `base`; move its files one by one to their places when all are whole; remove it always."""
    with TemporaryDirectory(prefix=".nsd-", dir=base) as name:
        made = Path(name)
        yield made
        for file in [p for p in made.rglob("*") if p.is_file()]:
            file.replace(_folder(base, *file.parent.relative_to(made).parts) / file.name)


def _folder(base: Path, *parts: str) -> Path:
    found = base.joinpath(*parts)
    found.mkdir(parents=True, exist_ok=True)
    return found


def _design(masterordering: Any, subjectim: Any, n_shared: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ranks of trials, pictures of ranks by subject, and shared pictures; raise where they contradict."""
    order, numbers = np.ravel(masterordering), np.asarray(subjectim)
    for name, found in (("masterordering", order), ("subjectim", numbers)):
        check(found.dtype.kind in "iu" and found.size, name, "whole numbers", f"{found.size} of {found.dtype}")
    check(numbers.ndim == 2, "subjectim", "(subject, rank)", f"shape {numbers.shape}")
    check(n_shared <= numbers.shape[1], "n_shared", f"at most the {numbers.shape[1]} ranks of subjectim", n_shared)
    shared = numbers[:, : integer("n_shared", n_shared, 0)]
    check(bool((shared == shared[:1]).all()), "subjectim", f"alike for all in the first {n_shared} ranks", "not so")
    return order, numbers, shared[0]


def _write_design(base: Path, order: np.ndarray, numbers: np.ndarray, shared: np.ndarray) -> None:
    import scipy.io

    made = {"masterordering": order[None], "subjectim": numbers, "sharedix": shared[None]}
    scipy.io.savemat(_folder(base, "nsddata", "experiments", "nsd") / "nsd_expdesign.mat", made)


def _check_images(images: Any, numbers: np.ndarray) -> None:
    if images is None:
        return
    shape, dtype = np.shape(images), getattr(images, "dtype", None)
    right = dtype == np.uint8 and len(shape) == 4 and shape[3] == 3
    check(right, "images", "(picture, height, width, 3) uint8", f"{dtype} {shape}")
    check(numbers.max() <= shape[0], "images", f"at least {numbers.max()}, as subjectim asks", shape[0])


def _write_images(base: Path, images: np.ndarray, shared: np.ndarray) -> None:
    import h5py

    with h5py.File(_folder(base, "nsddata_stimuli", "stimuli", "nsd") / "nsd_stimuli.hdf5", "w") as file:
        file["imgBrick"] = images
    numbers = np.arange(len(images))
    table = pd.DataFrame({"nsdId": numbers, "shared1000": np.isin(numbers + 1, shared)})
    table.to_csv(_folder(base, "nsddata", "experiments", "nsd") / "nsd_stim_info_merged.csv")


def _check_rows(rows: xr.DataArray, trials: pd.DataFrame, subject: int, per_session: int) -> None:
    """Raise unless rows are the design's trials on a grid, with numbers that int16 holds; a session at a time."""
    name, n = f"betas of subject {subject}", rows.sizes["presentation"]
    check(n and n % per_session == 0 and n <= len(trials), name,
          f"whole sessions of {per_session}, at most {len(trials)} trials", f"{n} rows")  # fmt: skip
    wanted, got = trials["stimulus_id"].to_numpy()[:n], rows.coords["stimulus_id"].values
    other = np.flatnonzero(wanted != got)
    if other.size:
        fail(name, "in the order of the design", f"{got[other[0]]!r} for {wanted[other[0]]!r} in row {other[0]}")
    voxels = voxels_of(rows)
    check(voxels.affine is not None, name, "with the attribute affine", sorted(rows.attrs), "Vertices go elsewhere.")
    inside = ((voxels.index >= 0) & (voxels.index < voxels.shape)).all()
    check(
        inside, name, f"of voxels inside the grid {voxels.shape}", f"up to {tuple(voxels.index.max(axis=0).tolist())}"
    )
    check_once(name, voxels)
    for start in range(0, n, per_session):
        part = rows.values[start : start + per_session]
        low, high = float(part.min()), float(part.max())  # NaN when there is one
        if not max(-low, high) <= _LIMIT:
            finite(name, part, 'Read with nan="drop".')
            fail(name, f"within ±{_LIMIT:.1f} %", (low, high), "int16 of 1/300 % holds no more.")


def _check_maps(maps: Mapping[str, Any], n: int, subject: int) -> None:
    for key, values in maps.items():
        name = f"maps of subject {subject}"
        check(key == Path(key).name, name, "named as files", key)
        check(np.shape(values) == (n,), f"{key} in {name}", f"({n},), a number a voxel", np.shape(values))


def _write_sessions(
    base: Path,
    subject: int,
    rows: xr.DataArray,
    voxels: Voxels,
    per_session: int,
    format: str,
    space: str,
    version: str,
) -> None:
    folder = _folder(base, "nsddata_betas", "ppdata", f"subj{subject:02d}", space, version)
    for start in range(0, rows.sizes["presentation"], per_session):
        stem = f"betas_session{start // per_session + 1:02d}"
        stored = np.rint(rows.values[start : start + per_session] * 300).astype(np.int16)
        volumes = _volumes(stored, voxels)
        if format == "hdf5":
            _write_hdf5(folder / f"{stem}.hdf5", volumes, per_session, voxels.shape)
        else:
            write_nifti(folder / f"{stem}.nii.gz", volumes, n_volumes=per_session, shape=voxels.shape,
                        affine=np.asarray(voxels.affine), dtype=np.int16)  # fmt: skip


def _volumes(stored: np.ndarray, voxels: Voxels) -> Iterator[np.ndarray]:
    flat = voxels.flat
    volume = np.zeros(int(np.prod(voxels.shape)), np.int16)
    for row in stored:
        volume[flat] = row
        yield volume


def _write_hdf5(path: Path, volumes: Iterator[np.ndarray], n: int, shape: tuple[int, ...]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_dataset("betas", (n, *shape[::-1]), np.int16)
        for t, volume in enumerate(volumes):
            data[t] = volume.reshape(shape[::-1])


def _write_maps(base: Path, subject: int, maps: Mapping[str, Any], voxels: Voxels, space: str, version: str) -> None:
    name = f"subj{subject:02d}"
    for key, values in maps.items():
        of_betas = key == "ncsnr"
        place = ("nsddata_betas", "ppdata", name, space, version)
        place = place if of_betas else ("nsddata", "ppdata", name, space, "roi")
        volume = np.full(int(np.prod(voxels.shape)), np.nan if of_betas else -1, np.float32)
        volume[voxels.flat] = np.asarray(values, dtype=np.float32)
        write_nifti(_folder(base, *place) / f"{key}.nii.gz", [volume], n_volumes=1, shape=voxels.shape,
                    affine=np.asarray(voxels.affine), dtype=np.float32)  # fmt: skip
