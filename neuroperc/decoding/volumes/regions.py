"""Labels of voxels, and a table of regions."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..._check import check
from ._masks import read_volume, same_grid, voxels_of


def label_voxels(
    responses: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    names: Mapping[int, str] | None = None,
    to: str = "region",
    outside: str = "",
) -> xr.DataArray:
    """Add a coordinate with the label that a volume (or surface file) gives each voxel.

    Parameters
    ----------
    responses
        As `read_betas` and `read_bold` return them.
    path
        File of whole numbers on the same grid; 0, negative numbers (NSD's -1) and NaN are no region.
    names
        Number to name, such as ``{1: "V1v", 2: "V1d"}``; None uses the number.
    to
        Name of the coordinate.
    outside
        Label of voxels in no region.

    Returns
    -------
    xarray.DataArray
        The same responses with the coordinate.

    Raises
    ------
    ValueError
        When the grids differ, labels are not whole, or a label has no name.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> from pathlib import Path
    >>> from neuroperc.decoding import read_betas
    >>> folder = Path(tempfile.mkdtemp())
    >>> nibabel.Nifti1Image(np.ones((3, 1, 1, 2), np.float32), np.eye(4)).to_filename(folder / "b.nii")
    >>> nibabel.Nifti1Image(np.float32([[[-1]], [[1]], [[2]]]), np.eye(4)).to_filename(folder / "roi.nii")
    >>> betas = read_betas(folder / "b.nii", trials={"stimulus_id": ["a", "b"]})
    >>> label_voxels(betas, folder / "roi.nii", names={1: "V1v", 2: "V1d"}).region.values.tolist()
    ['', 'V1v', 'V1d']
    """
    voxels = voxels_of(responses)
    labels, file = read_volume(path)
    same_grid(file.path.name, file.shape, file.affine, "responses", voxels.shape, voxels.affine)
    here = labels[tuple(voxels.index.T)]
    here = np.where(np.isfinite(here), here, 0.0)
    whole = np.rint(here)
    check(np.array_equal(whole, here), file.path.name, "a file of whole numbers", here[whole != here][:1],
          'Resample labels with interpolation="nearest".')  # fmt: skip
    numbers = np.unique(whole[whole > 0]).astype(int).tolist()
    known = {n: str(n) for n in numbers} if names is None else names
    missing = [n for n in numbers if n not in known]
    check(not missing, "names", f"with every label of {file.path.name}", f"none for {missing[:10]}")
    text = np.array([known[int(n)] if n > 0 else outside for n in whole])
    return responses.assign_coords({to: ("neuroid", text)})


def region_table(responses: xr.DataArray, *, by: str = "region") -> pd.DataFrame:
    """Count and place the voxels of each region.

    Parameters
    ----------
    responses
        With the coordinate `by`.
    by
        Name of a neuroid coordinate.

    Returns
    -------
    pandas.DataFrame
        A row a region: ``n_voxels`` and, for volumes, the centre in millimetres ``x_mm y_mm z_mm``.

    Raises
    ------
    ValueError
        Without that coordinate.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> from pathlib import Path
    >>> from neuroperc.decoding import read_betas
    >>> file = Path(tempfile.mkdtemp(), "b.nii")
    >>> nibabel.Nifti1Image(np.ones((3, 1, 1, 2), np.float32), np.diag([2., 2., 2., 1.])).to_filename(file)
    >>> betas = read_betas(file, trials={"stimulus_id": ["a", "b"]})
    >>> betas = betas.assign_coords(region=("neuroid", ["V1", "V1", "V2"]))
    >>> region_table(betas)[["n_voxels", "x_mm"]].values.tolist()
    [[2.0, 1.0], [1.0, 4.0]]
    """
    check(by in responses.coords and responses.coords[by].dims == ("neuroid",), "by", "a coordinate of the neuroids",
          by, "Add it with label_voxels.")  # fmt: skip
    voxels = voxels_of(responses)
    table = pd.DataFrame({by: responses.coords[by].values, "n_voxels": 1})
    if voxels.affine is None:
        return table.groupby(by, sort=True).agg({"n_voxels": "sum"})
    points = np.c_[voxels.index, np.ones(len(voxels.index))] @ voxels.affine.T
    for axis, column in enumerate(("x_mm", "y_mm", "z_mm")):
        table[column] = points[:, axis]
    return table.groupby(by, sort=True).agg({"n_voxels": "sum", "x_mm": "mean", "y_mm": "mean", "z_mm": "mean"})
