"""What nilearn does for us: resampling, cleaning of time series, canonical haemodynamic responses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ..._check import check, finite, one_of, positive
from ...data import check_responses
from ._sources import open_source
from .writing import write_nifti


def resample_volume(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    like: str | os.PathLike[str],
    interpolation: Literal["nearest", "linear", "continuous"],
) -> None:
    """Write a volume on the grid of another file, by nilearn.

    Parameters
    ----------
    path
        Volume to resample.
    out
        .nii or .nii.gz to write, as float32.
    like
        File whose grid it gets.
    interpolation
        ``"nearest"`` for masks and labels.

    Raises
    ------
    ValueError
        When a file is unreadable, holds several volumes, or nothing of the volume falls on the grid.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> fine, coarse = np.diag([1., 1., 1., 1.]), np.diag([2., 2., 2., 1.])
    >>> nibabel.Nifti1Image(np.ones((8, 8, 8), np.float32), fine).to_filename(folder / "mask.nii")
    >>> nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), coarse).to_filename(folder / "bold.nii")
    >>> resample_volume(folder / "mask.nii", folder / "small.nii", like=folder / "bold.nii", interpolation="nearest")
    >>> nibabel.load(folder / "small.nii").get_fdata().sum().item()
    64.0
    """
    import nibabel
    from nilearn.image import resample_img
    from nilearn.image.resampling import BoundingBoxError

    one_of("interpolation", interpolation, ("nearest", "linear", "continuous"))
    source, target = open_source(path), open_source(like)
    check(source.n_volumes == 1, source.path.name, "of one volume", source.n_volumes, "Split it.")
    check(Path(out).name.endswith((".nii", ".nii.gz")), "out", "a .nii or .nii.gz file", Path(out).name)
    check(source.affine is not None and target.affine is not None, "path", "a volume with an affine", source.path.name)
    try:
        image = resample_img(
            nibabel.load(source.path), target_affine=target.affine, target_shape=target.shape,
            interpolation=interpolation, copy_header=True, force_resample=True,
        )  # fmt: skip
        values = np.asarray(image.dataobj, dtype=np.float32)
    except BoundingBoxError:
        values = np.zeros(1, np.float32)
    check(np.nan_to_num(values).any(), source.path.name, f"a volume that reaches into {target.path.name}",
          "nothing but 0 there", "Check both affines.")  # fmt: skip
    write_nifti(Path(out), [values.ravel(order="F")], n_volumes=1, shape=target.shape,
                affine=np.asarray(target.affine), dtype=np.float32, codes=target.codes)  # fmt: skip


def clean_bold(
    bold: xr.DataArray,
    *,
    detrend: bool = True,
    standardize: bool = True,
    high_pass_hz: float | None = None,
    low_pass_hz: float | None = None,
    confounds: Any = None,
) -> xr.DataArray:
    """Detrend, filter, take confounds out and z-score a time series, each run on its own, by nilearn.

    Parameters
    ----------
    bold
        As `read_bold` returns it.
    detrend
        Take out a straight line.
    standardize
        Divide by the standard deviation (N - 1) of each run and voxel.
    high_pass_hz, low_pass_hz
        Cut-offs of a Butterworth filter; None for none.
    confounds
        (volume, confound), such as motion; None for none.

    Returns
    -------
    xarray.DataArray
        The same rows and voxels, float32.

    Raises
    ------
    ValueError
        Without runs or the time between volumes, for NaN, confounds of another length, or cut-offs out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.data import make_responses
    >>> drift = np.linspace(0, 9, 40)[:, None] + np.random.default_rng(0).normal(size=(40, 2))
    >>> bold = make_responses(drift, stimulus_id=np.arange(40), coords={"run": ("presentation", np.repeat([1, 2], 20))})
    >>> bold.attrs["tr_s"] = 2.0
    >>> clean = clean_bold(bold)
    >>> bool(np.allclose(clean[:20].mean("presentation"), 0, atol=1e-6)), clean[:20].std("presentation", ddof=1).values
    (True, array([1., 1.], dtype=float32))
    """
    from nilearn.signal import clean

    check_responses(bold)
    check("run" in bold.coords and "tr_s" in bold.attrs, "bold", "with the coordinate run and the attribute tr_s",
          sorted(map(str, bold.coords)), "Read it with read_bold.")  # fmt: skip
    values = np.asarray(bold.values, dtype=np.float64)
    n_bad = int(np.isnan(values).any(axis=0).sum())
    check(not n_bad, "bold", "free of NaN", f"{n_bad} voxels with NaN", 'Read it with nan="drop".')
    runs = np.unique(bold.coords["run"].values, return_inverse=True)[1]
    extra = None if confounds is None else _confounds(confounds, len(values))
    _check_band(high_pass_hz, low_pass_hz, 0.5 / float(bold.attrs["tr_s"]))
    cleaned = clean(
        values, runs=runs, detrend=detrend, standardize="zscore_sample" if standardize else False, confounds=extra,
        high_pass=high_pass_hz, low_pass=low_pass_hz, t_r=float(bold.attrs["tr_s"]), ensure_finite=False,
        filter="butterworth" if high_pass_hz or low_pass_hz else False,
    )  # fmt: skip
    return bold.copy(data=np.asarray(cleaned, dtype=np.float32))


def _confounds(given: Any, n: int) -> np.ndarray:
    found = np.asarray(given, dtype=float)
    found = found[:, None] if found.ndim == 1 else found
    check(found.ndim == 2 and len(found) == n, "confounds", f"({n}, confound)", f"shape {found.shape}")
    finite("confounds", found, "The first rows of derivatives are n/a: fill them with 0.")
    return found


def _check_band(high_pass_hz: float | None, low_pass_hz: float | None, limit_hz: float) -> None:
    """Raise for cut-offs that nilearn would leave out with a warning."""
    top = limit_hz
    if low_pass_hz is not None:
        check(positive("low_pass_hz", low_pass_hz) < limit_hz, "low_pass_hz", "below half of the volumes a second, "
              f"{limit_hz:g} Hz", low_pass_hz)  # fmt: skip
        top = low_pass_hz
    if high_pass_hz is not None:
        check(positive("high_pass_hz", high_pass_hz) < top, "high_pass_hz", f"below {top:g} Hz", high_pass_hz)


def named_hrf(name: Literal["spm", "glover"], *, dt_s: float) -> np.ndarray:
    """Return nilearn's canonical response over 32 s at times 0, dt_s, 2 dt_s, ...; its integral is 1.

    Parameters
    ----------
    name
        ``"spm"`` or ``"glover"``.
    dt_s
        Time step.

    Returns
    -------
    numpy.ndarray
        (time,).

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> round(0.1 * int(named_hrf("spm", dt_s=0.1).argmax()), 1)
    5.0
    """
    from nilearn.glm.first_level.hemodynamic_models import glover_hrf, spm_hrf

    one_of("name", name, ("spm", "glover"))
    positive("dt_s", dt_s)
    # nilearn shifts by one of its steps and stretches by another: at 0.01 s neither matters.
    fine = {"spm": spm_hrf, "glover": glover_hrf}[name](0.01, oversampling=1)
    times = np.linspace(0, 32, len(fine))
    found = np.interp(np.arange(0, 32, dt_s), times, fine)
    return np.asarray(found / (found.sum() * dt_s))
