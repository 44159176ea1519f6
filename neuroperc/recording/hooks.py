"""What a model's layers put out, caught by forward hooks: names, shapes, numbers, and an early way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._check import fail

#: Name of the model's own output.
OUTPUT = "output"


@dataclass(frozen=True)
class Tap:
    """One tensor that one call of one module puts out.

    `path` is "" for the model's own output, `key` the way through a nested output ("0", "hidden.1").
    """

    path: str
    call: int
    key: str
    label: str
    kind: str
    shape: tuple[int, ...]


class _EnoughError(Exception):
    """Raised in a hook when all wanted tensors are in hand; never leaves this file."""


def tensors_in(output: Any, key: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield (key, tensor) for every tensor in nested tuples, lists and mappings."""
    if isinstance(output, Tensor):
        yield key, output
        return
    if isinstance(output, Mapping):
        parts: Iterable[tuple[Any, Any]] = output.items()
    elif isinstance(output, tuple | list):
        parts = enumerate(output)
    else:
        return
    for name, part in parts:
        yield from tensors_in(part, f"{key}.{name}" if key else str(name))


@contextmanager
def hooked(modules: Mapping[str, nn.Module], see: Callable[[str, int, Any], None]) -> Iterator[None]:
    """Call `see(path, call, output)` after every call of the modules, while the context lasts."""
    calls = dict.fromkeys(modules, 0)

    def hook_for(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[path] += 1
            see(path, calls[path] - 1, output)

        return hook

    handles = [module.register_forward_hook(hook_for(path)) for path, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def survey(model: nn.Module, run: Callable[[], Any]) -> list[Tap]:
    """Return every tensor put out during `run`, in order; modules called several times are told apart as ``path@call``.

    A nested output is told apart as ``path:key``. The model's own output comes last.
    """
    modules = {path: module for path, module in model.named_modules() if path}
    seen: list[tuple[str, int, str, tuple[int, ...]]] = []

    def see(path: str, call: int, output: Any) -> None:
        seen.extend((path, call, key, tuple(tensor.shape)) for key, tensor in tensors_in(output))

    with hooked(modules, see):
        see("", 0, run())
    n_calls: dict[str, int] = {}
    for path, call, _, _ in seen:
        n_calls[path] = max(n_calls.get(path, 0), call + 1)
    taps = []
    for path, call, key, shape in seen:
        label = path or (OUTPUT if OUTPUT not in modules else "")
        label += f"@{call}" if n_calls[path] > 1 else ""
        label += f":{key}" if key else ""
        kind = type(modules[path] if path else model).__name__
        taps.append(Tap(path, call, key, label, kind, shape))
    return taps


def catch(model: nn.Module, taps: list[Tap], run: Callable[[], Any], take: Callable[[Tap, Tensor], None]) -> None:
    """Run the model, hand each tap's tensor to `take`, and stop after the last one.

    Raises
    ------
    RuntimeError
        When a layer is not called as it was when the layers were surveyed.
    """
    modules = dict(model.named_modules())
    waiting = {(tap.path, tap.call, tap.key): tap for tap in taps}

    def see(path: str, call: int, output: Any) -> None:
        for key, tensor in tensors_in(output):
            tap = waiting.pop((path, call, key), None)
            if tap is not None:
                take(tap, tensor)
        if not waiting:
            raise _EnoughError

    try:
        with hooked({tap.path: modules[tap.path] for tap in taps if tap.path}, see):
            see("", 0, run())
    except _EnoughError:
        return
    missing = [tap.label for tap in waiting.values()]
    fail(
        "layers", "called in the same way for every batch", f"no output of {missing}",
        "The model's control flow depends on its input: record that layer with batch_size=1.", RuntimeError,
    )  # fmt: skip


def rows(tensor: Tensor, n: int, frames: int | None, time_dim: int | None) -> Tensor:
    """Return (n, units) or (n, units, time) of a layer's output; frames of one movie lie together on the batch axis."""
    if frames is not None:
        return tensor.reshape(n, frames, -1).transpose(1, 2)
    if time_dim is not None:
        moved = tensor.movedim(time_dim, -1)
        return moved.reshape(n, -1, moved.shape[-1])
    return tensor.reshape(n, -1)


def copied(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a copy on the CPU: a later in-place operation (``ReLU(inplace=True)``) must not reach it."""
    return tensor.detach().to(device="cpu", dtype=dtype, copy=True).contiguous()
