"""The file that lets a killed training go on where it was, whole or not at all."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from .._check import atomic_path, fail

_FORMAT = 1


def write_checkpoint(path: Path, settings: dict[str, Any], content: dict[str, Any]) -> None:
    """Write tensors and plain values; a reader sees the old file or the whole new one."""
    with atomic_path(path) as temporary:
        try:
            with temporary.open("wb") as file:  # torch makes of a path what a name with one dot cannot bear
                torch.save({"format": _FORMAT, "settings": json.dumps(settings, sort_keys=True), **content}, file)
        except RuntimeError as error:  # torch's writer says so when the disk is full
            raise OSError(28, str(error).splitlines()[0]) from error


def read_checkpoint(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return what `write_checkpoint` wrote, or None when there is no file.

    Raises
    ------
    ValueError
        When the file is damaged or belongs to a training with other settings.
    """
    if not path.exists():
        return None
    remedy = "Delete it to start anew, or name another file."
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        before = json.loads(content["settings"])
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        fail("checkpoint", "a whole file that fit wrote", f"{path} ({type(error).__name__}: {error})", remedy)
    now = json.loads(json.dumps(settings))
    for key in sorted(set(before) | set(now)):
        if before.get(key) != now.get(key):
            fail(
                "checkpoint", f"of a training with {key} = {now.get(key)!r}", f"{path}, with {before.get(key)!r}",
                "Use the same data and arguments, or delete it to start anew, or name another file.",
            )  # fmt: skip
    return dict(content)
