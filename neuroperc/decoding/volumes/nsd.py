"""The Natural Scenes Dataset as its folders lie on disk.

Traps, each with a test: the 73k numbers of the design file count from 1 and the picture file from 0; HDF5 betas are the
transpose of NIfTI betas; both hold integers of 1/300 percent signal change; ncsnr holds NaN; regions are floats with
-1 outside cortex.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check, fail, integer
from ._masks import Voxels, choose_voxels, read_volume, same_grid, voxels_of
from ._sources import Source, open_source
from .reading import extract, label_rows, read_table

VERSION = "betas_fithrf_GLMdenoise_RR"
SPACE = "func1pt8mm"
SCALE = 1 / 300
PER_SESSION = 750
_SESSION = re.compile(r"([lr]h\.)?betas_session(?P<number>\d\d)\.(nii|nii\.gz|hdf5|mgh)")
#: Percent: a trial's median is a few percent or less, and 300 times that, about a hundred or more, when not scaled.
_TYPICAL = 30.0

PathLike = str | os.PathLike[str]


def nsd_trials(
    root: PathLike, subject: int, *, sessions: Sequence[int] | None = None, trials_per_session: int = PER_SESSION
) -> pd.DataFrame:
    """List a subject's trials from ``nsd_expdesign.mat``.

    Parameters
    ----------
    root
        The folder with ``nsddata``.
    subject
        1 to 8.
    sessions
        Numbers from 1; None takes the sessions that the design holds.
    trials_per_session
        750 in NSD.

    Returns
    -------
    pandas.DataFrame
        In order: ``subject session trial stimulus_id image_73k repetition shared``. `session` and `trial` (within a
        session) count from 1, `repetition` from 0; `image_73k` counts from 1 as the design file does, and
        ``stimulus_id`` is ``nsd`` with its five digits, as the files of the shared pictures are named.

    Raises
    ------
    ValueError
        Naming the file: when it is missing, lacks a variable, or contradicts itself or ``behav/responses.tsv``; for
        sessions that the design does not hold, or a session twice.

    References
    ----------
    .. [1] E J Allen et al. (2022). A massive 7T fMRI dataset. doi:10.1038/s41593-021-00962-x

    Examples
    --------
    >>> import tempfile, numpy as np, scipy.io
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp(), "nsddata/experiments/nsd")
    >>> folder.mkdir(parents=True)
    >>> made = {"masterordering": [[1, 2, 1]], "subjectim": [[7, 9]], "sharedix": [[7]]}
    >>> scipy.io.savemat(folder / "nsd_expdesign.mat", made)
    >>> nsd_trials(folder.parents[2], 1, trials_per_session=3)[["stimulus_id", "repetition", "shared"]].values.tolist()
    [['nsd00007', 0, True], ['nsd00009', 0, False], ['nsd00007', 1, True]]
    """
    table = design_trials(*read_design(Path(root)), subject, trials_per_session)
    known = table["session"].drop_duplicates().tolist()
    wanted = known if sessions is None else [integer("sessions", s) for s in sessions]
    strange = sorted(set(wanted) - set(known))
    check(not strange, "sessions", f"among 1 to {len(known)}", strange, "Sessions count from 1.")
    check(len(set(wanted)) == len(wanted), "sessions", "different ones", wanted, "Every trial is read once.")
    check_behaviour(Path(root), subject, table)
    return pd.concat([table[table["session"] == s] for s in wanted], ignore_index=True)


def design_trials(
    order: np.ndarray, pictures: np.ndarray, shared: np.ndarray, subject: int, trials_per_session: int
) -> pd.DataFrame:
    """Return what `nsd_trials` does for all sessions of a design: ranks, pictures of each rank, shared pictures."""
    name, n = "nsd_expdesign.mat", integer("trials_per_session", trials_per_session)
    check(1 <= integer("subject", subject) <= len(pictures), "subject", f"1 to {len(pictures)}", subject)
    check(n <= len(order), "trials_per_session", f"at most the {len(order)} trials of {name}", n, "750 in NSD.")
    images = pictures[subject - 1]
    ok = order.min() >= 1 and order.max() <= len(images) and images.min() >= 1
    check(ok, name, "numbered from 1", f"ranks {order.min()} to {order.max()}, pictures from {images.min()}")
    same = np.array_equal(images[: len(shared)], shared)
    check(same, name, "one whose shared pictures come first for every subject", f"others for subject {subject}")
    known = np.arange(1, len(order) // n + 1)
    rank = order[: len(known) * n]
    table = pd.DataFrame({"subject": subject, "session": np.repeat(known, n)})
    table["trial"] = np.tile(np.arange(1, n + 1), len(known))
    table["image_73k"] = images[rank - 1]
    table["stimulus_id"] = stimulus_names(table["image_73k"])
    table["repetition"] = table.groupby("image_73k").cumcount()
    table["shared"] = rank <= len(shared)
    return table


def stimulus_names(image_73k: Any) -> list[str]:
    """Return NSD's names of pictures numbered from 1."""
    return [f"nsd{int(n):05d}" for n in image_73k]


def read_design(root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return masterordering, subjectim (both from 1) and sharedix of ``nsd_expdesign.mat``."""
    import scipy.io

    path = root / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat"
    check(path.is_file(), "root", "the folder of NSD, with nsddata/experiments/nsd/nsd_expdesign.mat", str(root))
    try:
        made = scipy.io.loadmat(path)
    except Exception as error:  # scipy raises whatever the bytes lead it to
        raise ValueError(f"{path.name} must be a readable MATLAB file, got {error}. Copy {path} again.") from error
    for name in ("masterordering", "subjectim", "sharedix"):
        check(name in made, path.name, f"with the variable {name}", sorted(k for k in made if k[0] != "_"))
    order, shared = (made[name].ravel().astype(int) for name in ("masterordering", "sharedix"))
    return order, made["subjectim"].astype(int), shared


def check_behaviour(root: Path, subject: int, table: pd.DataFrame) -> None:
    """Raise when the table of responses, where it is on disk, shows other pictures."""
    path = root / "nsddata" / "ppdata" / f"subj{subject:02d}" / "behav" / "responses.tsv"
    if not path.is_file():
        return
    seen = read_table(path)
    check({"SESSION", "73KID"} <= set(seen), path.name, "with the columns SESSION and 73KID", list(seen))
    for session, part in seen.groupby("SESSION"):
        ours = table.loc[table["session"] == session, "image_73k"].to_numpy()
        theirs = part["73KID"].to_numpy()
        same = len(ours) == 0 or np.array_equal(ours, theirs)
        check(same, path.name, "in agreement with nsd_expdesign.mat", f"other pictures in session {session}",
              "One of the files belongs to another release.")  # fmt: skip


def read_nsd_betas(
    root: PathLike,
    subject: int,
    *,
    sessions: Sequence[int] | None = None,
    region: str | None = "nsdgeneral",
    version: str = VERSION,
    space: str = SPACE,
    trials_per_session: int = PER_SESSION,
) -> xr.DataArray:
    """Read single-trial betas of sessions that lie on disk, in percent signal change.

    Parameters
    ----------
    root
        The folder with ``nsddata`` and ``nsddata_betas``.
    subject
        1 to 8.
    sessions
        Numbers from 1; None takes all sessions on disk.
    region
        Name of a file in ``roi``, without ending, whose voxels above 0 are read; None reads every voxel. On fsaverage
        None only.
    version, space
        Folder names; space ``"fsaverage"`` reads both hemispheres (.mgh, already scaled).
    trials_per_session
        750 in NSD.

    Returns
    -------
    xarray.DataArray
        Responses with the columns of `nsd_trials` as coordinates, `i j k` or `vertex` and `hemi`; voxels that are NaN
        in any session are left out.

    Raises
    ------
    ValueError
        Naming the file, as `read_betas`; when no session is on disk, a session is asked for twice, a file has another
        scaling than 1/300, or holds floats 300 times too large.

    Examples
    --------
    >>> import tempfile
    >>> read_nsd_betas(tempfile.gettempdir(), 1)
    Traceback (most recent call last):
    ValueError: root must be the folder of NSD, with subj01's betas_fithrf_GLMdenoise_RR in func1pt8mm, got ...
    """
    folder = _beta_folder(Path(root), subject, space, version)
    found = _sessions_on_disk(folder, sessions)
    trials = nsd_trials(root, subject, sessions=found, trials_per_session=trials_per_session)
    if space == "fsaverage":
        check(region is None, "region", "None on fsaverage", region, "Select vertices with label_voxels afterwards.")
        sides = [_read_side(folder, found, trials, f"{h}.", None, trials_per_session) for h in ("lh", "rh")]
        joined = [s.assign_coords(hemi=("neuroid", [h] * s.sizes["neuroid"])) for s, h in zip(sides, "LR", strict=True)]
        return xr.concat(joined, "neuroid", combine_attrs="override")
    mask = None if region is None else _roi_path(Path(root), subject, space, region)
    return _read_side(folder, found, trials, "", mask, trials_per_session)


def _beta_folder(root: Path, subject: int, space: str, version: str) -> Path:
    name = f"subj{integer('subject', subject):02d}"
    folder = root / "nsddata_betas" / "ppdata" / name / space / version
    check(folder.is_dir(), "root", f"the folder of NSD, with {name}'s {version} in {space}", str(root),
          f"Expected {folder}.")  # fmt: skip
    return folder


def _sessions_on_disk(folder: Path, sessions: Sequence[int] | None) -> list[int]:
    names = (_SESSION.fullmatch(p.name) for p in folder.glob("*betas_session*"))  # half a download is none
    there = sorted({int(found["number"]) for found in names if found})
    wanted = there if sessions is None else list(sessions)
    missing = sorted(set(wanted) - set(there))
    check(wanted and not missing, "sessions", f"on disk in {folder} ({there})", missing or "none", "Download them.")
    return wanted


def _read_side(
    folder: Path, sessions: list[int], trials: pd.DataFrame, side: str, mask: Any, per_session: int
) -> xr.DataArray:
    """Return all sessions of one space or hemisphere; a session is in memory only once."""
    sources = [_session_file(folder, side, s) for s in sessions]
    voxels = choose_voxels(mask, sources[0])
    values = np.empty((len(trials), len(voxels.index)), np.float32)
    for n, source in enumerate(sources):
        same_grid(source.path.name, source.shape, source.affine, sources[0].path.name, voxels.shape, voxels.affine)
        check(source.n_volumes == per_session, source.path.name, f"of {per_session} trials", f"{source.n_volumes}",
              "Copy the session again, or give trials_per_session.")  # fmt: skip
        rows = values[n * per_session : (n + 1) * per_session]
        extract(source, voxels, _nsd_factor(source), rows)
        _check_size(rows[0], source)
    there = ~np.isnan(values).any(axis=0)
    check(there.any(), sources[0].path.name, "with a voxel that is not NaN", f"none in {voxels.name}")
    voxels = Voxels(voxels.index[there], voxels.shape, voxels.affine, voxels.surface, voxels.name)
    columns = trials.drop(columns="subject").assign(subject=trials["subject"])
    values = values if there.all() else values[:, there]
    return label_rows(values, voxels, columns, sources[0], "% signal change", side.replace(".", "-"))


def _session_file(folder: Path, side: str, session: int) -> Source:
    stem = f"{side}betas_session{session:02d}"
    for ending in (".nii.gz", ".nii", ".hdf5", ".mgh"):
        if (folder / f"{stem}{ending}").is_file():
            return open_source(folder / f"{stem}{ending}")
    fail("sessions", f"files named {stem} with .nii.gz, .nii, .hdf5 or .mgh", sorted(p.name for p in folder.iterdir()))


def _nsd_factor(source: Source) -> float:
    """Return 1/300 for bare integers and 1 for what is scaled already; raise for any other scaling."""
    if not source.has_own_scaling:
        return SCALE if source.dtype.kind in "iu" else 1.0
    right = source.inter == 0 and abs(source.slope - SCALE) < 1e-6
    check(right, source.path.name, "scaled by 1/300 or not at all", f"scl_slope {source.slope:g}, "
          f"scl_inter {source.inter:g}", "Another program has written it.")  # fmt: skip
    return 1.0


def _check_size(values: np.ndarray, source: Source) -> None:
    """Raise when the first trial of a session of floats is 300 times too large: its median is tens of percent."""
    if source.dtype.kind != "f" or source.is_surface:
        return
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    typical = float(np.median(size)) if size.size else 0.0
    check(typical <= _TYPICAL, source.path.name, "in percent signal change", f"floats of median size {typical:.0f}",
          "They are NSD's integers, 300 times too large: divide by 300, or copy the session again.")  # fmt: skip


def _roi_path(root: Path, subject: int, space: str, name: str) -> Path:
    folder = root / "nsddata" / "ppdata" / f"subj{subject:02d}" / space / "roi"
    for ending in (".nii.gz", ".nii"):
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    there = sorted({p.name.removesuffix(".gz").removesuffix(".nii") for p in folder.glob("*.nii*")})
    fail("region", f"a file in {folder} ({', '.join(there[:20])})", name)


def read_nsd_map(
    root: PathLike, subject: int, name: str, *, like: xr.DataArray, version: str = VERSION, space: str = SPACE
) -> np.ndarray:
    """Read a map (``"ncsnr"``) or the labels of a region file at given voxels.

    Parameters
    ----------
    root, subject, version, space
        As in `read_nsd_betas`.
    name
        ``"ncsnr"``, or the name of a file in ``roi``: prf-visualrois (1-7 are V1v V1d V2v V2d V3v V3d hV4), streams,
        floc-faces, ...
    like
        Responses of `read_nsd_betas`.

    Returns
    -------
    numpy.ndarray
        (neuroid,) float64; NaN where ncsnr has it, -1 where a region file says outside.

    Raises
    ------
    ValueError
        When there is no such file or it lies on another grid.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> read_nsd_map("nowhere", 1, "streams", like=make_responses(np.eye(2), stimulus_id=["a", "b"]))
    Traceback (most recent call last):
    ValueError: responses must be with the attribute volume_shape, got ['source', 'units']. Read ...
    """
    voxels = voxels_of(like)
    base = Path(root)
    if name == "ncsnr":
        folder = _beta_folder(base, subject, space, version)
        path = folder / "ncsnr.nii.gz"
        check(path.is_file(), "name", f"on disk as {path}", name)
    else:
        path = _roi_path(base, subject, space, name)
    values, file = read_volume(path)
    same_grid(file.path.name, file.shape, file.affine, "like", voxels.shape, voxels.affine)
    return np.asarray(values[tuple(voxels.index.T)])
