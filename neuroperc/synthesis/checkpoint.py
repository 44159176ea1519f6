"""The file that lets a killed synthesis go on where it was: tensors, and everything else as JSON in their header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from .._check import atomic_path, fail

if TYPE_CHECKING:
    from .optimize import _Run


def write_checkpoint(
    path: str | os.PathLike[str], run: _Run, settings: dict[str, Any], generator: np.random.Generator
) -> None:
    """Write pictures, optimiser state, histories and generator state, whole or not at all."""
    tensors = {f"picture.{i}": picture.detach() for i, picture in enumerate(run.pictures)}
    for i, picture in enumerate(run.pictures):
        for name, value in run.optimizer.state[picture].items():
            tensors[f"optimizer.{i}.{name}"] = torch.as_tensor(value)
    tensors["active"] = run.active
    for name, history in (("losses", run.losses), ("excesses", run.excesses)):
        tensors[name] = torch.stack(history) if history else torch.zeros(0, len(run.pictures), dtype=torch.float64)
    state = {"settings": settings, "step": run.step, "rng": _plain(generator.bit_generator.state)}
    data = to_bytes({k: v.cpu().contiguous() for k, v in tensors.items()}, {"state": json.dumps(state)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_checkpoint(
    path: str | os.PathLike[str], run: _Run, settings: dict[str, Any], generator: np.random.Generator
) -> None:
    """Bring `run` and `generator` to where the file left them; do nothing when there is no file.

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
    run.step = state["step"]
    run.active = tensors["active"]
    run.losses, run.excesses = list(tensors["losses"]), list(tensors["excesses"])
    with torch.no_grad():
        for i, picture in enumerate(run.pictures):
            picture.copy_(tensors[f"picture.{i}"])
            names = [name for name in tensors if name.startswith(f"optimizer.{i}.")]
            run.optimizer.state[picture] = {
                # "step" stays on the CPU, where Adam keeps it.
                (key := name.rsplit(".", 1)[1]): tensors[name] if key == "step" else tensors[name].to(picture.device)
                for name in names
            }
            if not names:
                del run.optimizer.state[picture]
    generator.bit_generator.state = _arrays(state["rng"])


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
