"""Finished cells of a sweep on disk: keyed by all that they depend on, whole or absent."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._check import atomic_path, check
from ..regression.gram import column_blocks

_log = logging.getLogger("neuroperc.encoding")
_VERSION = 3  # of the numbers: raised when the same input gives other scores


def digest(array: Any) -> str:
    """Return the sha256 of an array's values, shape and type; features are read a block at a time."""
    state = hashlib.sha256(json.dumps([list(array.shape), str(getattr(array, "dtype", ""))]).encode())
    blocks = column_blocks(array) if getattr(array, "ndim", 2) == 2 else [array]
    for block in blocks:
        state.update(np.ascontiguousarray(block).data)
    return state.hexdigest()


def cell_key(features: Any, about: Mapping[str, Any]) -> str:
    """Return the name of a cell: a hash of the features and of everything else that its numbers depend on."""
    text = json.dumps({"version": _VERSION, "features": digest(features), **about}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Cells:
    """A folder of finished cells; None keeps nothing."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            check(not self.folder.is_file(), "store", "a folder", str(self.folder))
            self.folder.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> dict[str, np.ndarray] | None:
        """Return a cell, or None when it is not there or not whole."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.cell"
        if not path.is_file():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            _log.warning("%s is damaged: its checksum differs; this cell is computed again", path)
            return None
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as stored:
            return dict(stored)

    def write(self, key: str, cell: Mapping[str, np.ndarray]) -> None:
        """Keep a cell: written under a temporary name, with its checksum, and renamed."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **dict(cell))
        content = buffer.getvalue()
        with atomic_path(self.folder / f"{key}.cell") as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def drop(self, key: str) -> None:
        """Remove a cell, if it is there."""
        if self.folder is not None:
            (self.folder / f"{key}.cell").unlink(missing_ok=True)
