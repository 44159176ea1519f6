"""Write responses, real or simulated, in the layout of the Natural Scenes Dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import atomic_path, check, one_of
from ._masks import Voxels, voxels_of
from .nsd import PER_SESSION, SPACE, VERSION, nsd_trials
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
    """Write what `read_nsd_betas`, `nsd_trials`, `read_nsd_map` and `read_nsd_images` read.

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
        When rows are not whole sessions, name other pictures than the design, or exceed what int16 holds.

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
    _write_design(base, np.asarray(masterordering), np.asarray(subjectim), n_shared)
    if images is not None:
        _write_images(base, np.asarray(images), np.asarray(subjectim), n_shared)
    for subject, rows in betas.items():
        trials = nsd_trials(base, subject, trials_per_session=trials_per_session)
        _check_rows(rows, trials, subject, trials_per_session)
        voxels = voxels_of(rows)
        _write_sessions(base, subject, rows, voxels, trials_per_session, format, space, version)
        given = dict((maps or {}).get(subject, {}))
        given.setdefault("nsdgeneral", np.ones(len(voxels.index)))
        _write_maps(base, subject, given, voxels, space, version)


def _folder(base: Path, *parts: str) -> Path:
    found = base.joinpath(*parts)
    found.mkdir(parents=True, exist_ok=True)
    return found


def _write_design(base: Path, order: np.ndarray, images: np.ndarray, n_shared: int) -> None:
    import scipy.io

    check(images.ndim == 2, "subjectim", "(subject, rank)", f"shape {images.shape}")
    shared = images[:, :n_shared]
    check(bool((shared == shared[:1]).all()), "subjectim", f"alike for all in the first {n_shared} ranks", "not so")
    made = {"masterordering": order[None], "subjectim": images, "sharedix": shared[:1]}
    with atomic_path(_folder(base, "nsddata", "experiments", "nsd") / "nsd_expdesign.mat") as temporary:
        scipy.io.savemat(temporary, made)


def _write_images(base: Path, images: np.ndarray, subjectim: np.ndarray, n_shared: int) -> None:
    import h5py

    right = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
    check(right, "images", "(picture, height, width, 3) uint8", f"{images.dtype} {images.shape}")
    check(subjectim.max() <= len(images), "images", f"at least {subjectim.max()}, as subjectim asks", len(images))
    with (
        atomic_path(_folder(base, "nsddata_stimuli", "stimuli", "nsd") / "nsd_stimuli.hdf5") as temporary,
        h5py.File(temporary, "w") as file,
    ):
        file["imgBrick"] = images
    numbers = np.arange(len(images))
    table = pd.DataFrame({"nsdId": numbers, "shared1000": np.isin(numbers + 1, subjectim[0, :n_shared])})
    with atomic_path(_folder(base, "nsddata", "experiments", "nsd") / "nsd_stim_info_merged.csv") as temporary:
        table.to_csv(temporary)


def _check_rows(rows: xr.DataArray, trials: pd.DataFrame, subject: int, per_session: int) -> None:
    n = rows.sizes["presentation"]
    check(n and n % per_session == 0 and n <= len(trials), f"betas of subject {subject}",
          f"whole sessions of {per_session}, at most {len(trials)} trials", f"{n} rows")  # fmt: skip
    wanted, got = trials["stimulus_id"].to_numpy()[:n], rows.coords["stimulus_id"].values
    other = np.flatnonzero(wanted != got)
    if other.size:
        check(False, f"betas of subject {subject}", "in the order of the design",
              f"{got[other[0]]!r} for {wanted[other[0]]!r} in row {other[0]}")  # fmt: skip
    low, high = float(rows.min()), float(rows.max())
    check(max(-low, high) <= _LIMIT, f"betas of subject {subject}", f"within ±{_LIMIT:.1f} %", (low, high),
          "int16 of 1/300 % holds no more.")  # fmt: skip


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

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        data = file.create_dataset("betas", (n, *shape[::-1]), np.int16)
        for t, volume in enumerate(volumes):
            data[t] = volume.reshape(shape[::-1])


def _write_maps(base: Path, subject: int, maps: Mapping[str, Any], voxels: Voxels, space: str, version: str) -> None:
    name = f"subj{subject:02d}"
    for key, values in maps.items():
        known = np.asarray(values, dtype=np.float32)
        check(known.shape == (len(voxels.index),), key, f"({len(voxels.index)},), a number a voxel", known.shape)
        of_betas = key == "ncsnr"
        place = ("nsddata_betas", "ppdata", name, space, version)
        place = place if of_betas else ("nsddata", "ppdata", name, space, "roi")
        volume = np.full(int(np.prod(voxels.shape)), np.nan if of_betas else -1, np.float32)
        volume[voxels.flat] = known
        write_nifti(_folder(base, *place) / f"{key}.nii.gz", [volume], n_volumes=1, shape=voxels.shape,
                    affine=np.asarray(voxels.affine), dtype=np.float32)  # fmt: skip
