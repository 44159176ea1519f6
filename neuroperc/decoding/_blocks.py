"""Voxels a block at a time: here or on the workers of a Dask client, each block kept on disk when it is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from tqdm.auto import tqdm

from .._check import atomic_path, check, fail, integer
from ..recording.cluster import spread

Task = Callable[..., np.ndarray]
_MANIFEST = "blocks.json"


@dataclass(frozen=True)
class BlockStore:
    """A folder with one `.npy` a block, named by what went into it, and `blocks.json` with the fit they belong to."""

    folder: Path
    key: str

    @classmethod
    def open(cls, folder: str | os.PathLike[str], settings: Sequence[Any], step: int) -> tuple[BlockStore, int]:
        """Return the store of a fit with these settings and its voxels a block: those of before when it is resumed."""
        root, key = Path(folder), digest(*settings)
        check(not root.is_file(), "store", "a folder", str(root), "Name another one.")
        root.mkdir(parents=True, exist_ok=True)
        path = root / _MANIFEST
        if path.is_file():
            try:
                known = json.loads(path.read_text())
                found, step = str(known["fit"]), int(known["voxels_per_batch"])
            except (ValueError, KeyError, TypeError) as error:
                fail(str(path), "written by encode_voxels", str(error), "Remove the folder.")
            check(found == key, "store", "empty, or of the same features, rows, splits and penalties", str(root),
                  "Name another folder, or remove this one.")  # fmt: skip
        else:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps({"fit": key, "voxels_per_batch": step}) + "\n")
        return cls(root, key), step

    def path(self, block: slice, values: np.ndarray) -> Path:
        """Return where the result of these voxels lies: other values have another name."""
        return self.folder / f"voxels{block.start:08d}-{digest(self.key, values)}.npy"


def digest(*parts: Any) -> str:
    """Return 16 hexadecimal digits that depend on arrays and plain values."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        array = np.ascontiguousarray(part) if isinstance(part, np.ndarray) and part.dtype != object else None
        found.update(repr(part if array is None else (array.shape, str(array.dtype))).encode())
        found.update(b"" if array is None else array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def settings_of(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the parameters but for where it runs; numbers that are equal look alike."""
    found = {k: v for k, v in estimator.get_params().items() if k != "device"}
    return {k: float(v) if isinstance(v, Real) and not isinstance(v, bool) else v for k, v in found.items()}


def fit_blocks(
    task: Task, values: np.ndarray, blocks: Sequence[slice], *shared: Any, store: BlockStore | None, client: Any,
    progress: bool,
) -> list[np.ndarray]:  # fmt: skip
    """Return ``task(values[:, block], *shared)`` of every block, those in the store without doing them again."""
    found: list[Any] = [None] * len(blocks)
    with tqdm(total=len(blocks), disable=not progress, desc="blocks of voxels") as bar:
        todo = []
        for i, block in enumerate(blocks):
            path = None if store is None else store.path(block, np.asarray(values[:, block]))
            if path is not None and path.is_file():
                found[i] = _load(path)
                bar.update()
            else:
                todo.append((i, block, path))
        run = _here if client is None else _on_workers
        for i, path, result in run(task, values, todo, shared, client):
            if path is not None:
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    np.save(file, result)
            found[i] = result
            bar.update()
    return found


def _load(path: Path) -> np.ndarray:
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        fail(str(path), "a whole .npy file", str(error), "Remove it; its block is fitted again.")
    return found


def _here(
    task: Task, values: np.ndarray, todo: list[Any], shared: tuple[Any, ...], _: Any
) -> Iterator[tuple[Any, ...]]:
    for i, block, path in todo:
        yield i, path, task(np.asarray(values[:, block]), *shared)


def _on_workers(
    task: Task, values: np.ndarray, todo: list[Any], shared: tuple[Any, ...], client: Any
) -> Iterator[tuple[Any, ...]]:
    """Let the workers do it; a few blocks are on the way, so that neither side holds all voxels."""
    for at, result in spread(client, _fit_one, _Columns(values, todo), shared=(task, shared)):
        i, _, path = todo[at]
        yield i, path, result


class _Columns(Sequence[np.ndarray]):
    """The voxels of each block, read when they are asked for."""

    def __init__(self, values: np.ndarray, todo: list[Any]) -> None:
        self.values, self.todo = values, todo

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, at: Any) -> Any:
        return np.ascontiguousarray(self.values[:, self.todo[at][1]])


def _fit_one(shared: tuple[Task, tuple[Any, ...]], block: np.ndarray) -> np.ndarray:
    task, rest = shared
    return task(block, *rest)


def block_step(n_bytes_each: int, voxels_per_batch: int | None, free_bytes: float) -> int:
    """Return how many voxels to take at a time: as many as asked for, or as a quarter of free memory holds."""
    if voxels_per_batch is not None:
        return integer("voxels_per_batch", voxels_per_batch)
    return max(64, int(free_bytes / 4 / n_bytes_each))
