"""Features on disk: one `.npy` a layer, filled batch by batch, resumable after a kill, lazily read.

A result is a folder named by its key::

    store/3f1c.../features.npy.part   rows written so far              features.npy    all rows
                  progress.jsonl      a line a batch, with checksum    manifest.json   what it is; written last

A result exists when its manifest does. Whatever was torn by a kill or a crash fails its checksum and is made again.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from .._check import atomic_path, check, fail

_FORMAT = 1
_FEATURES, _PART, _PROGRESS, _MANIFEST, _LOCK = (
    "features.npy", "features.npy.part", "progress.jsonl", "manifest.json", "lock",
)  # fmt: skip
_CHUNK = 2**24
_NOTED = ("start", "stop", "crc32")


@dataclass(frozen=True)
class Features:
    """One layer's result: where it lies and what it must look like.

    `shape` is (presentation, neuroid) or (presentation, neuroid, time).
    """

    folder: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one presentation."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    @property
    def data_path(self) -> Path:
        """The finished file."""
        return self.folder / _FEATURES

    def complete(self) -> bool:
        """Tell whether a finished result lies here, whole: its header, its length and every batch's checksum agree."""
        manifest = _read_json(self.folder / _MANIFEST)
        if manifest is None or manifest.get("key") != self.key or not self.data_path.is_file():
            return False
        batches = _batches(manifest.get("batches"))
        whole = sum(stop - start for start, stop, _ in batches) == self.shape[0]
        return (
            whole and self._header_fits(self.data_path) and len(self._intact(self.data_path, batches)) == len(batches)
        )

    def missing_bytes(self) -> int:
        """Return how much disk the result still needs: an unfinished file has holes where nothing was written yet."""
        part = self.folder / _PART
        held = part.stat().st_blocks * 512 if part.exists() else 0
        return max(self.shape[0] * self.row_bytes - held, 0)

    def _header_fits(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
                offset = file.tell()
        except (OSError, ValueError):
            return False
        size = offset + self.shape[0] * self.row_bytes
        return (shape, fortran, dtype) == (self.shape, False, self.dtype) and path.stat().st_size == size

    def _intact(self, path: Path, batches: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Return the batches whose bytes have the checksum that was noted when they were written."""
        good = []
        with path.open("rb") as file:
            offset = _data_offset(file)
            for start, stop, checksum in batches:
                file.seek(offset + start * self.row_bytes)
                left, found = (stop - start) * self.row_bytes, 0
                while left > 0 and (piece := file.read(min(left, _CHUNK))):
                    found = zlib.crc32(piece, found)
                    left -= len(piece)
                if left == 0 and found == checksum:
                    good.append((start, stop, checksum))
        return good


class Writer:
    """Fills one `Features`; whatever an earlier, killed run wrote with the same batches is kept.

    Parameters
    ----------
    features
        The result to be made.
    batch_size
        Rows a batch. A run that was killed with another batch size starts again, so that a resumed result has the
        same bytes as an uninterrupted one.
    about
        What goes into the manifest.
    """

    def __init__(self, features: Features, batch_size: int, about: Mapping[str, Any]) -> None:
        self.features = features
        self._about = dict(about)
        self._header = {"format": _FORMAT, "key": features.key, "shape": list(features.shape),
                        "dtype": features.dtype.str, "batch_size": batch_size}  # fmt: skip
        self._batches: dict[int, tuple[int, int, int]] = {}
        self._part = features.folder / _PART
        self._progress = features.folder / _PROGRESS
        (features.folder / _MANIFEST).unlink(missing_ok=True)
        if features.data_path.exists():  # killed between the two renames at the end
            features.data_path.replace(self._part)
        self._resume() or self._begin()

    def has(self, start: int) -> bool:
        """Tell whether the batch that begins at this row is there already."""
        return start in self._batches

    def write(self, start: int, rows: np.ndarray) -> None:
        """Write one batch, then note its checksum."""
        data = np.ascontiguousarray(rows, dtype=self.features.dtype)
        with _disk(self.features.folder):
            with self._part.open("r+b") as file:
                file.seek(_data_offset(file) + start * self.features.row_bytes)
                file.write(data.data)
            self._note((start, start + len(data), zlib.crc32(data.data)))

    def finish(self) -> None:
        """Bring everything to the disk, give the file its name and write the manifest, in that order."""
        with _disk(self.features.folder):
            with self._part.open("r+b") as file:
                os.fsync(file.fileno())
            self._part.replace(self.features.data_path)
            batches = sorted(self._batches.values())
            manifest = self._about | self._header | {"batches": batches}
            with atomic_path(self.features.folder / _MANIFEST) as temporary:
                temporary.write_text(json.dumps(manifest, indent=1))
            self._progress.unlink()

    def _resume(self) -> bool:
        """Take over the batches of an earlier run that are noted and intact."""
        lines = _read_lines(self._progress)
        if not lines or lines[0] != self._header or not self.features._header_fits(self._part):
            return False
        noted = _batches([[line.get(name) for name in _NOTED] for line in lines[1:]])
        good = self.features._intact(self._part, noted)
        self._batches = {batch[0]: batch for batch in good}
        with _disk(self.features.folder), atomic_path(self._progress) as temporary:
            text = [json.dumps(self._header), *(_line(batch) for batch in sorted(self._batches.values()))]
            temporary.write_text("\n".join(text) + "\n")
        return True

    def _begin(self) -> bool:
        features = self.features
        with _disk(features.folder):
            with self._part.open("wb") as file:
                header = {"descr": features.dtype.str, "fortran_order": False, "shape": features.shape}
                np.lib.format.write_array_header_1_0(file, header)
                file.truncate(file.tell() + features.shape[0] * features.row_bytes)
            self._progress.write_text(json.dumps(self._header) + "\n")
        return True

    def _note(self, batch: tuple[int, int, int]) -> None:
        with self._progress.open("a") as file:
            file.write(_line(batch) + "\n")
        self._batches[batch[0]] = batch


@contextmanager
def locked(folders: Sequence[Path]) -> Iterator[None]:
    """Hold the folders for one process; a killed process lets go by itself.

    Raises
    ------
    RuntimeError
        When another process is writing one of them.
    """
    try:
        import fcntl
    except ImportError:  # no advisory locks on this platform
        yield
        return
    handles = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            handle = (folder / _LOCK).open("w")
            handles.append(handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fail(
                    "store", "written by one process at a time", f"{folder} held by another",
                    "Wait for it to finish; the result will then be found.", RuntimeError,
                )  # fmt: skip
        yield
    finally:
        for handle in handles:
            handle.close()


def check_room(store: Path, needed_bytes: int) -> None:
    """Raise before the work when the disk cannot hold the result."""
    free = shutil.disk_usage(store).free
    rule, got = f"on a disk with {needed_bytes / 1e6:.0f} MB free", f"{free / 1e6:.0f} MB in {store}"
    check(needed_bytes <= free, "store", rule, got, "Choose fewer layers, dtype='float16', or another disk.", OSError)


class LazyColumns(BackendArray):
    """Several `.npy` files side by side along `neuroid`; only what is asked for is read."""

    def __init__(self, parts: Sequence[Features]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([part.shape[1] for part in parts])
        self.shape = (parts[0].shape[0], int(self._ends[-1]), *parts[0].shape[2:])
        self.dtype = parts[0].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        columns = np.arange(self.shape[1])[key[1]]
        wanted = np.atleast_1d(columns)
        owner = np.searchsorted(self._ends, wanted, side="right")
        blocks = []
        for index in np.unique(owner):
            part = self._parts[index]
            inside = wanted[owner == index] - (self._ends[index] - part.shape[1])
            blocks.append(_read_block(part, key[0], inside, key[2:]))
        axis = 0 if np.isscalar(np.arange(self.shape[0])[key[0]]) else 1
        joined = np.concatenate(blocks, axis) if blocks else np.empty(0, self.dtype)
        return joined if np.ndim(columns) else joined.take(0, axis)


def _read_block(part: Features, rows: Any, columns: np.ndarray, rest: tuple[Any, ...]) -> np.ndarray:
    """Copy rows x columns out of one file; the map is closed again, so that no page of it stays with us."""
    mapped = np.load(part.data_path, mmap_mode="r", allow_pickle=False)
    first, last = int(columns.min()), int(columns.max())
    # The span is cut out first: a list of rows then copies no more than the columns around the wanted ones.
    picked = mapped[:, first : last + 1][rows]
    if columns.size != last - first + 1:
        picked = picked.take(columns - first, axis=picked.ndim - len(part.shape) + 1)
    return np.array(picked[(..., *rest)] if rest else picked)


def lazy_variable(parts: Sequence[Features]) -> xr.Variable:
    """Return the features of several layers side by side, as a variable that reads on demand."""
    columns = LazyColumns(parts)
    dims = ("presentation", "neuroid", "time")[: len(columns.shape)]
    return xr.Variable(dims, indexing.LazilyIndexedArray(columns))


def list_cache(store: str | os.PathLike[str]) -> pd.DataFrame:
    """List what a store holds.

    Parameters
    ----------
    store
        Folder that was given to `record`.

    Returns
    -------
    pandas.DataFrame
        A row a result: `key`, `model`, `layer`, `n_presentations`, `n_units`, `megabytes`, `complete`, `created`.

    Raises
    ------
    ValueError
        When the folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from neuroperc.recording import list_cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(list_cache(folder))
    0
    """
    root = Path(store)
    check(root.is_dir(), "store", "a folder", str(root), "Give the folder that was given to record.")
    found = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        manifest = _read_json(folder / _MANIFEST)
        lines = _read_lines(folder / _PROGRESS)
        about = manifest or (lines[0] if lines else None)
        if about is None:
            continue
        size = sum(path.stat().st_size for path in (folder / _FEATURES, folder / _PART) if path.exists())
        found.append(
            {"key": folder.name, "model": about.get("model", ""), "layer": about.get("layer", ""),
             "n_presentations": about["shape"][0], "n_units": about["shape"][1], "megabytes": size / 1e6,
             "complete": manifest is not None, "created": about.get("created", "")}
        )  # fmt: skip
    columns = ["key", "model", "layer", "n_presentations", "n_units", "megabytes", "complete", "created"]
    return pd.DataFrame(found, columns=columns)


def clear_cache(store: str | os.PathLike[str], keys: Iterable[str] | None = None) -> int:
    """Remove results from a store; return how many.

    Parameters
    ----------
    store
        Folder that was given to `record`.
    keys
        As listed by `list_cache`; None removes every result. Other files in the folder are left alone.

    Raises
    ------
    ValueError
        When a key is not there.

    Examples
    --------
    >>> import tempfile
    >>> from neuroperc.recording import clear_cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clear_cache(folder)
    0
    """
    there = list(list_cache(store)["key"])
    chosen = there if keys is None else list(keys)
    for key in chosen:
        check(key in there, "keys", "among those of list_cache", key)
    for key in chosen:
        shutil.rmtree(Path(store) / key)
    return len(chosen)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno, f"{folder} could not be written ({error.strerror}). What is there stays valid: free some "
            "space and run the same call again to go on from here"
        ) from error  # fmt: skip


def _data_offset(file: Any) -> int:
    file.seek(0)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return int(file.tell())


def _line(batch: tuple[int, int, int]) -> str:
    return json.dumps(dict(zip(_NOTED, batch, strict=True)))


def _batches(noted: Any) -> list[tuple[int, int, int]]:
    """Return (start, stop, checksum) of each batch, without entries that are not three whole numbers."""
    entries = noted if isinstance(noted, list) else []
    return [tuple(b) for b in entries if isinstance(b, list) and [type(x) for x in b] == [int] * 3]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Read whole lines; a kill may have left half of the last one."""
    try:
        text = path.read_text()
    except (OSError, ValueError):
        return []
    lines = []
    for line in text.split("\n")[:-1]:
        try:
            found = json.loads(line)
        except ValueError:
            break
        lines.append(found if isinstance(found, dict) else {})
    return lines
