"""The file that lets a killed synthesis go on where it was: tensors, and everything else as JSON in their header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from .._check import atomic_path, fail

if TYPE_CHECKING:
    from .engine import Run


def write_checkpoint(
    path: str | os.PathLike[str], run: Run, settings: dict[str, Any], generators: list[np.random.Generator]
) -> None:
    """Write pictures, optimiser state, histories and generator state, whole or not at all."""
    state = {"settings": settings, "step": run.step, "rng": [_plain(g.bit_generator.state) for g in generators]}
    data = to_bytes({k: v.detach().cpu().contiguous() for k, v in run.tensors().items()}, {"state": json.dumps(state)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_checkpoint(
    path: str | os.PathLike[str], run: Run, settings: dict[str, Any], generators: list[np.random.Generator]
) -> None:
    """Bring `run` and the generators to where the file left them; do nothing when there is no file.

    Raises
    ------
    ValueError
        When the file is damaged or was written with other arguments.
    """
    path = Path(path)
    if not path.exists():
        return
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        fail(
            "checkpoint", "a file that synthesize wrote", f"{path} ({type(error).__name__}: {error})",
            "Delete it to start anew, or name another file.",
        )  # fmt: skip
    _check_same(path, state["settings"], json.loads(json.dumps(settings)))
    run.restore(tensors, state["step"])
    for generator, saved in zip(generators, state["rng"], strict=True):
        generator.bit_generator.state = _arrays(saved)


def _check_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for key in sorted(set(before) | set(now)):
        if before.get(key) != now.get(key):
            fail(
                "checkpoint", f"of a run with {key} = {now.get(key)!r}", f"{path}, with {key} = {before.get(key)!r}",
                "Use the same arguments and versions, name another file, or delete it.",
            )  # fmt: skip


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return {"array": state.tolist(), "dtype": str(state.dtype)} if isinstance(state, np.ndarray) else state


def _arrays(state: Any) -> Any:
    if isinstance(state, dict) and set(state) == {"array", "dtype"}:
        return np.asarray(state["array"], dtype=state["dtype"])
    return {key: _arrays(value) for key, value in state.items()} if isinstance(state, dict) else state
