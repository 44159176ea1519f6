"""Maps back to files: NIfTI volume by volume, GIFTI for surfaces, whole or not at all."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import xarray as xr

from ..._check import atomic_path, check, fail, positive
from ._masks import Voxels, check_once, voxels_of

_SIDES = {"L": ("lh", "CortexLeft"), "R": ("rh", "CortexRight")}
_INTENTS = {"estimate": "NIFTI_INTENT_ESTIMATE", "shape": "NIFTI_INTENT_SHAPE", "label": "NIFTI_INTENT_LABEL"}


def write_map(
    values: Any,
    path: str | os.PathLike[str],
    *,
    like: xr.DataArray,
    name: str = "",
    outside: float = float("nan"),
    tr_s: float | None = None,
    intent: Literal["", "estimate", "shape", "label"] = "",
) -> None:
    """Write one number a voxel, or rows of them, on the grid that the voxels came from.

    Parameters
    ----------
    values
        (neuroid,) or (map, neuroid): scores, weights, betas, predictions. Written as float32.
    path
        .nii, .nii.gz, or .gii for vertices. Vertices of two hemispheres (coordinate `hemi`, "L" and "R") go into two
        files: the name holds ``{hemi}``, which becomes lh and rh.
    like
        Responses with the same neuroids, as `read_betas` and `read_bold` return them.
    name
        What the map is, at most 15 characters in a NIfTI file (`intent_name`).
    outside
        Written where there is no voxel.
    tr_s
        Seconds between rows, when they are a time series.
    intent
        Of a GIFTI file; by default a shape for one map and an estimate for several.

    Raises
    ------
    ValueError
        When values and neuroids differ in number, a voxel is there twice, values are beyond float32, `like` has no
        grid, the ending is unknown, or the folder is missing.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> from pathlib import Path
    >>> from neuroperc.decoding import read_betas
    >>> folder = Path(tempfile.mkdtemp())
    >>> nibabel.Nifti1Image(np.ones((2, 1, 2, 3), np.float32), np.diag([2., 2., 2., 1.])).to_filename(folder / "b.nii")
    >>> betas = read_betas(folder / "b.nii", trials={"stimulus_id": ["a", "b", "c"]})
    >>> write_map([1, 2, 3, 4], folder / "map.nii.gz", like=betas, name="score")
    >>> nibabel.load(folder / "map.nii.gz").get_fdata()[:, 0].tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    voxels = voxels_of(like)
    check_once("like", voxels)
    with np.errstate(over="ignore"):
        rows = np.atleast_2d(np.asarray(values, dtype=np.float32))
    n = len(voxels.index)
    check(rows.ndim == 2 and len(rows) and rows.shape[1] == n, "values", f"({n},) or (map, {n}), a number a neuroid",
          f"shape {np.shape(values)}")  # fmt: skip
    grown = np.isinf(rows) & np.isfinite(np.atleast_2d(np.asarray(values, dtype=np.float64)))
    check(not grown.any(), "values", "within float32", f"{int(grown.sum())} larger ones", "Divide them.")
    if tr_s is not None:
        positive("tr_s", tr_s)
    target = Path(path)
    check(target.name.endswith((".nii", ".nii.gz", ".gii")), "path", "a .nii, .nii.gz or .gii file", target.name)
    if target.name.endswith(".gii"):
        check(voxels.surface, "path", "a .nii or .nii.gz file for voxels of a volume", target.name)
        return _write_sides(rows, target, like, voxels, outside, name, intent)
    check(not intent, "intent", "for .gii files only", intent)
    filled = (_fill(row, voxels, outside) for row in rows)
    check("affine" in like.attrs, "like", "with the attribute affine", sorted(like.attrs), "Write vertices as .gii.")
    codes = int(like.attrs.get("sform_code", 1)), int(like.attrs.get("qform_code", 0))
    return write_nifti(target, filled, n_volumes=len(rows), shape=voxels.shape, affine=np.asarray(voxels.affine),
                       dtype=np.float32, codes=codes, name=name, tr_s=tr_s)  # fmt: skip


def _write_sides(
    rows: np.ndarray, target: Path, like: xr.DataArray, voxels: Voxels, outside: float, name: str, intent: str
) -> None:
    """Write a GIFTI file a hemisphere, both or none."""
    sides = like.coords["hemi"].values.astype(str) if "hemi" in like.coords else np.full(len(voxels.index), "")
    known = sorted(set(sides.tolist()))
    one = len(known) == 1 and "{hemi}" not in target.name
    check(one or "{hemi}" in target.name, "path", "a name with {hemi}, for vertices of two hemispheres", target.name)
    check(set(known) <= {"", *_SIDES}, "hemi", "L or R", known)
    with ExitStack() as together:
        for side in known:
            chosen = sides == side
            part = Voxels(voxels.index[chosen], voxels.shape, None, True)
            path = target.with_name(target.name.replace("{hemi}", _SIDES.get(side, ("", ""))[0]))
            check(not path.is_dir(), "path", "the name of a file", f"the folder {path}")
            arrays = [_fill(row[chosen], part, outside) for row in rows]
            image = _gifti_image(arrays, name=name, intent=intent, structure=_SIDES.get(side, ("", ""))[1])
            nibabel.save(image, together.enter_context(atomic_path(path)))


def _fill(row: np.ndarray, voxels: Voxels, outside: float) -> np.ndarray:
    volume = np.full(int(np.prod(voxels.shape)), outside, np.float32)
    volume[voxels.flat] = row
    return volume


def write_nifti(
    path: Path, volumes: Iterable[np.ndarray], *, n_volumes: int, shape: tuple[int, ...], affine: np.ndarray,
    dtype: Any, codes: tuple[int, int] = (1, 0), name: str = "", tr_s: float | None = None,
) -> None:  # fmt: skip
    """Write volumes, flat in Fortran order, one after another."""
    check(len(name.encode()) <= 15, "name", "at most 15 characters in a NIfTI file", name, "Shorten it.")
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape if n_volumes == 1 else (*shape, n_volumes))
    header.set_qform(affine, code=codes[1], strip_shears=True)
    header.set_sform(affine, code=codes[0] or 1)
    header.set_xyzt_units("mm", "sec" if tr_s else None)
    if tr_s:
        header["pixdim"][4] = tr_s
    header["intent_name"] = name.encode()
    header["vox_offset"] = 352
    with atomic_path(path) as temporary, open(temporary, "wb") as file:  # noqa: PTH123
        zipped = path.name.endswith(".gz")
        with gzip.GzipFile("", "wb", 3, file, mtime=0) if zipped else nullcontext(file) as out:
            out.write(header.binaryblock + b"\0" * 4)
            for volume in volumes:
                out.write(np.ascontiguousarray(volume, dtype=dtype).tobytes())


def _gifti_image(arrays: list[np.ndarray], *, name: str = "", intent: str = "", structure: str = "") -> Any:
    """Return a GIFTI image with an array a map, one number a vertex."""
    kind = intent or ("shape" if len(arrays) == 1 else "estimate")
    if kind not in _INTENTS:
        fail("intent", f"one of {sorted(_INTENTS)}", kind)
    made = [nibabel.gifti.GiftiDataArray(a.astype(np.float32), intent=_INTENTS[kind], datatype="NIFTI_TYPE_FLOAT32",
                                         meta=nibabel.gifti.GiftiMetaData({"Name": name})) for a in arrays]  # fmt: skip
    meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure} if structure else {})
    return nibabel.gifti.GiftiImage(darrays=made, meta=meta)
