"""Large numeric arrays on disk in chunks (Zarr 3, extra `scale`): larger than memory, written whole or not at all.

Numbers only. Text has no settled layout in Zarr, so labels belong in netCDF.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..._check import check, fail
from .._folders import atomic_folder


def save_zarr(
    array: Any,
    path: str | os.PathLike[str],
    *,
    dims: Sequence[str],
    chunks: Sequence[int] | None = None,
    attrs: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write numbers to a Zarr array; the folder appears when it is complete.

    Parameters
    ----------
    array
        An array or tensor, or an iterable of blocks that are joined along the first axis, so that the whole need not
        fit into memory.
    path
        The folder to make.
    dims
        A name an axis, for example ("presentation", "neuroid").
    chunks
        Shape of a chunk; default: about 4 MiB of whole rows.
    attrs
        Numbers, strings and lists kept beside the data (units, source).
    overwrite
        Replace a folder that is there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModuleNotFoundError
        Without the extra `scale`.
    TypeError
        For text and objects.
    ValueError
        When blocks, `dims` or `chunks` do not match, or the folder exists.
    OSError
        When the disk is full; nothing is left behind.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> blocks = (np.full((2, 3), float(k)) for k in range(4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     where = save_zarr(blocks, f"{folder}/features.zarr", dims=("stimulus", "unit"))
    ...     store = open_zarr(where)
    ...     store.shape, store[5].tolist()
    ((8, 3), [2.0, 2.0, 2.0])
    """
    zarr = _zarr()
    whole = hasattr(array, "shape") and hasattr(array, "__getitem__")
    blocks = map(_block, [array] if whole else _iterable(array))
    try:
        first = next(blocks)
    except StopIteration:
        fail("array", "an array or at least one block", "an empty iterable")
    names = [str(name) for name in dims]
    check(len(names) == first.ndim, "dims", f"{first.ndim} names, one an axis", dims)
    check(first.ndim > 0 and 0 not in first.shape[1:], "array", "of one axis or more, none empty", first.shape)
    shape = _chunk_shape(first, chunks)
    with atomic_folder(path, overwrite=overwrite) as temporary:
        store = zarr.create_array(
            os.fspath(temporary / "array"), shape=first.shape if whole else (0, *first.shape[1:]), chunks=shape,
            dtype=first.dtype, dimension_names=names, attributes=dict(attrs or {}),
        )  # fmt: skip
        if whole:
            store[...] = first
        else:
            _append(store, chain([first], blocks), first, shape[0])
        for part in (temporary / "array").iterdir():
            part.rename(temporary / part.name)
        (temporary / "array").rmdir()
    return Path(path)


def open_zarr(path: str | os.PathLike[str]) -> Any:
    """Open a Zarr array for reading; indexing reads only the chunks that are needed.

    Returns
    -------
    zarr.Array
        With `.shape`, `.dtype`, `.metadata.dimension_names` and `.attrs`; `store[a:b]` is a NumPy array.

    Raises
    ------
    ModuleNotFoundError
        Without the extra `scale`.
    ValueError
        When there is no Zarr array at `path`.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     where = save_zarr(np.eye(4), f"{folder}/eye.zarr", dims=("row", "column"))
    ...     open_zarr(where)[2].tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    zarr = _zarr()
    folder = Path(path)
    if not (folder / "zarr.json").is_file():
        fail("path", "the folder of a Zarr 3 array", str(path), "Make one with save_zarr.")
    try:
        return zarr.open_array(os.fspath(folder), mode="r")
    except Exception as error:  # zarr raises types of its own, and KeyError or JSON errors for damaged metadata
        fail("path", "a whole Zarr 3 array", f"{path} ({error})", "Its zarr.json is damaged; save it again.")


def _zarr() -> Any:
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "zarr must be installed to read and write Zarr arrays, got nothing. Run: pip install 'neuroperc[scale]'."
        ) from error
    return zarr


def _iterable(array: Any) -> Iterable[Any]:
    if isinstance(array, (str, bytes)) or not isinstance(array, Iterable):
        fail("array", "an array, a tensor, or an iterable of them", type(array).__name__, error=TypeError)
    return array


def _block(values: Any) -> np.ndarray:
    block = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    numeric = block.dtype.kind in "biufc"
    remedy = "Text and objects have no settled layout in Zarr: keep labels in netCDF."
    check(numeric, "array", "numbers", f"dtype {block.dtype}", remedy, TypeError)
    return block


def _chunk_shape(first: np.ndarray, chunks: Sequence[int] | None) -> tuple[int, ...]:
    if chunks is None:
        row = max(1, int(np.prod(first.shape[1:])) * first.dtype.itemsize)
        return max(1, 2**22 // row), *first.shape[1:]
    good = len(chunks) == first.ndim and all(isinstance(n, (int, np.integer)) and n >= 1 for n in chunks)
    check(good, "chunks", f"{first.ndim} whole numbers of at least 1", chunks)
    return tuple(int(n) for n in chunks)


def _append(store: Any, blocks: Iterable[np.ndarray], first: np.ndarray, rows: int) -> None:
    """Join blocks along the first axis, written in whole chunks so that no chunk is compressed twice."""
    waiting: list[np.ndarray] = []
    for block in blocks:
        same = block.shape[1:] == first.shape[1:] and block.dtype == first.dtype
        check(same, "block", f"of shape (n, {first.shape[1:]}) and {first.dtype}", f"{block.shape} {block.dtype}")
        waiting.append(block)
        n_waiting = sum(map(len, waiting))
        if n_waiting >= rows:
            joined = np.concatenate(waiting)
            full = n_waiting - n_waiting % rows
            store.append(joined[:full], axis=0)
            waiting = [joined[full:]]
    if sum(map(len, waiting)):
        store.append(np.concatenate(waiting), axis=0)
