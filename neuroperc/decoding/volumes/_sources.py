"""Files of volumes as streams: one volume is in memory at a time, as the file stores it.

NIfTI and MGH store the first axis fastest (Fortran order); NSD's HDF5 files are the transpose in C order, which is the
same sequence of bytes. So every source yields flat volumes in Fortran order and one index serves all.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from ..._check import check, fail

GIFTI = (".gii", ".gii.gz")
FREESURFER = (".mgh", ".mgz")
_KINDS = ".nii, .nii.gz, .img/.hdr, .mgh, .mgz, .gii or .hdf5"


@dataclass(frozen=True, eq=False)
class Source:
    """Where volumes lie.

    Attributes
    ----------
    path
        The file.
    shape
        (i, j, k) of a volume; (vertices, 1, 1) of a surface.
    n_volumes
        How many.
    affine
        (4, 4) from voxel indices to millimetres, None when the file has none.
    dtype
        As stored.
    slope, inter
        Stored numbers times slope plus inter are the values.
    codes
        NIfTI's (sform, qform) codes.
    tr_s
        Time between volumes by the header, None when it says nothing.
    """

    path: Path
    shape: tuple[int, int, int]
    n_volumes: int
    affine: np.ndarray | None
    dtype: np.dtype[Any]
    slope: float = 1.0
    inter: float = 0.0
    codes: tuple[int, int] = (0, 0)
    tr_s: float | None = None
    data: Any = None

    def __post_init__(self) -> None:
        """Raise unless the file holds real numbers."""
        check(self.dtype.kind in "biuf", self.path.name, "of real numbers, whole or float", f"{self.dtype}",
              "Save one part or channel a file.")  # fmt: skip

    @property
    def is_surface(self) -> bool:
        """Whether the first axis counts vertices: FreeSurfer's files hold those as (vertex, 1, 1), and volumes too."""
        name = self.path.name
        return name.endswith(GIFTI) or (name.endswith(FREESURFER) and self.shape[1:] == (1, 1))

    @property
    def has_own_scaling(self) -> bool:
        """Whether the header scales what is stored."""
        return (self.slope, self.inter) != (1.0, 0.0)

    def volumes(self) -> Iterator[np.ndarray]:
        """Yield every volume, flat in Fortran order, as stored; the buffer is used again for the next one."""
        if self.path.suffix in (".hdf5", ".h5"):
            yield from _hdf5_volumes(self)
        elif self.path.name.endswith(GIFTI):
            yield from np.asarray(self.data)
        else:
            yield from _streamed(self)


def open_source(path: str | os.PathLike[str]) -> Source:
    """Read the header of a file of volumes.

    Raises
    ------
    ValueError
        When the file is missing, unreadable or of another kind; the message names it.
    TypeError
        When `path` is not a path.
    """
    if not isinstance(path, str | os.PathLike):
        fail("path", "the path of a file", f"{type(path).__name__}", "Arrays are assigned, not read.", TypeError)
    found = Path(path)
    check(found.is_file(), "path", "a file that exists", str(found), "Check the folder and the name.")
    if found.suffix in (".hdf5", ".h5"):
        return _hdf5(found)
    if found.suffix in (".mgh", ".mgz"):
        return _mgh(found)
    with readable(found):
        try:
            image: Any = nibabel.load(found)
        except ValueError as error:  # an array that is shorter than the file says
            raise ImageFileError(str(error)) from error
    if found.name.endswith(GIFTI):
        return _gifti(found, image)
    proxy = image.dataobj
    shape: Any = tuple(int(n) for n in image.shape)
    check(3 <= len(shape) <= 4, found.name, "of 3 or 4 dimensions", f"shape {shape}", "Split the file by volumes.")
    check(0 not in shape, found.name, "of at least one voxel and one volume", f"shape {shape}")
    place = np.asarray(image.affine, float)
    invertible = bool(np.isfinite(place).all()) and abs(np.linalg.det(place)) > 0
    check(invertible, found.name, "with an affine that can be inverted", place[:3].tolist(), "Mend its header.")
    codes = (
        (int(image.header["sform_code"]), int(image.header["qform_code"])) if "sform_code" in image.header else (0,) * 2
    )
    return Source(
        found, shape[:3], shape[3] if len(shape) == 4 else 1, place, np.dtype(proxy.dtype),
        float(proxy.slope), float(proxy.inter), codes, _tr_s(image, len(shape)), proxy.offset,
    )  # fmt: skip


def _tr_s(image: Any, n_dims: int) -> float | None:
    """Return seconds between volumes, or None when the header gives no unit or no number."""
    if n_dims < 4 or not hasattr(image.header, "get_xyzt_units"):
        return None
    per_second = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(image.header.get_xyzt_units()[1])
    zoom = float(image.header.get_zooms()[3])
    return zoom * per_second if per_second and zoom > 0 else None


def _mgh(path: Path) -> Source:
    """Read FreeSurfer's header here: nibabel's reader leaves the file open."""
    from nibabel.freesurfer.mghformat import MGHHeader

    with readable(path), nibabel.openers.ImageOpener(str(path)) as file:
        header = MGHHeader.from_fileobj(file)
        shape, affine, dtype = header.get_data_shape(), header.get_affine(), header.get_data_dtype()
    sizes: Any = (*(int(n) for n in shape), 1)[:4]
    check(len(sizes) == 4 and 0 not in sizes, path.name, "of at least one value and one volume", f"shape {shape}")
    return Source(path, sizes[:3], sizes[3], np.asarray(affine, float), np.dtype(dtype), data=header.get_data_offset())


def _gifti(path: Path, image: Any) -> Source:
    arrays = [np.asarray(a.data) for a in image.darrays]
    check(arrays, path.name, "a GIFTI file with data", "no array")
    shapes = sorted({a.shape for a in arrays}, key=str)
    check(len(shapes) == 1, path.name, "of one number of vertices in every array", shapes, "Meshes: read_surface.")
    rows = np.stack([a.ravel() for a in arrays]) if arrays[0].ndim == 1 or len(arrays) > 1 else arrays[0].T
    return Source(path, (rows.shape[1], 1, 1), len(rows), None, rows.dtype, data=rows)


def _hdf5(path: Path) -> Source:
    import h5py

    with readable(path), h5py.File(path, "r") as file:
        check("betas" in file, path.name, "an HDF5 file with the data set betas, as NSD's", sorted(file))
        stored = file["betas"]
        shape: Any = getattr(stored, "shape", ())  # a group has neither
        dtype = getattr(stored, "dtype", np.dtype(object))
    check(len(shape) == 4 and 0 not in shape, path.name, "of shape (trial, k, j, i), none of them 0", f"shape {shape}")
    return Source(path, shape[:0:-1], int(shape[0]), None, dtype)


def _hdf5_volumes(source: Source) -> Iterator[np.ndarray]:
    import h5py

    with readable(source.path), h5py.File(source.path, "r") as file:
        stored = file["betas"]
        for t in range(source.n_volumes):
            yield stored[t].ravel()


def _streamed(source: Source) -> Iterator[np.ndarray]:
    size = int(np.prod(source.shape))
    buffer = np.empty(size, source.dtype)
    view = memoryview(buffer.view(np.uint8).data)
    body = source.path.with_suffix(".img") if source.path.suffix == ".hdr" else source.path
    with readable(source.path), nibabel.openers.ImageOpener(str(body)) as file:
        file.seek(int(source.data))
        stream: Any = file.fobj
        for t in range(source.n_volumes):
            got = 0
            while got < len(view):
                n = stream.readinto(view[got:])
                if not n:
                    fail(source.path.name, f"{source.n_volumes} whole volumes, as its header says",
                         f"a file that ends in volume {t + 1}", "It is truncated: copy it again.")  # fmt: skip
                got += n
            yield buffer
        # At its end a gzip file checks its sum: changed bytes are seen.
        while source.path.suffix in (".gz", ".mgz") and stream.read(2**20):
            pass


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what a library says about a broken file into the house message, with the file's name."""
    try:
        yield
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.name} must be a readable file of volumes ({_KINDS}), got {error}. Copy {path} again."
        ) from error
    except Exception as error:
        if type(error).__module__.startswith("xml"):
            raise ValueError(f"{path.name} must be a readable GIFTI file, got {error}. Copy {path} again.") from error
        raise
