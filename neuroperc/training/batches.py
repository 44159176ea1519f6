"""Which items each step sees: a function of the seed and the step alone, whatever the number of workers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from .._check import check, fail


def as_dataset(data: Any) -> Any:
    """Return something with a length and items: arrays side by side become a dataset of tuples."""
    if isinstance(data, Tensor | np.ndarray):
        data = (data,)
    if isinstance(data, tuple | list) and data and all(isinstance(part, Tensor | np.ndarray) for part in data):
        lengths = [len(part) for part in data]
        check(len(set(lengths)) == 1, "data", "arrays of one length", lengths)
        data = TensorDataset(*(torch.as_tensor(part) for part in data))
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        fail(
            "data", "a dataset with a length and items, or tensors of one length", type(data).__name__,
            "Wrap a stream in a class with __len__ and __getitem__: exact resume needs items that can be asked for.",
            TypeError,
        )  # fmt: skip
    check(len(data) > 0, "data", "not empty", "0 items")
    return data


@dataclass(frozen=True)
class Plan:
    """Shuffles items anew each epoch and deals each global batch out to the processes."""

    n_items: int
    batch_size: int
    n_processes: int
    process: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps an epoch; a last batch with fewer items than processes is left out."""
        whole, rest = divmod(self.n_items, self.batch_size * self.n_processes)
        return whole + (rest >= self.n_processes)

    def at(self, step: int) -> tuple[np.ndarray, int]:
        """Return this process's items of a step, and how many all processes have together."""
        epoch, index = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.n_items)
        width = self.batch_size * self.n_processes
        together = order[index * width : (index + 1) * width]
        return np.array_split(together, self.n_processes)[self.process], len(together)

    def weight(self, step: int) -> float:
        """Return what a process's mean loss counts for, so that their average is the mean over items."""
        own, together = self.at(step)
        return len(own) * self.n_processes / together

    def epoch_from(self, step: int, stop: int) -> Iterator[list[tuple[int, int]]]:
        """Yield (step, item) pairs, a list a step, to the end of the epoch or to `stop`."""
        for k in range(step, min((step // self.per_epoch + 1) * self.per_epoch, stop)):
            yield [(k, int(item)) for item in self.at(k)[0]]


class _Seeded(Dataset[Any]):
    """Draws the random numbers of a dataset (augmentation, say) from the step, also inside a worker process."""

    def __init__(self, items: Any, plan: Plan) -> None:
        self.items, self.plan = items, plan

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Any]:
        seed_step(self.plan, keys[0][0], 0)
        return [self.items[item] for _, item in keys]

    def __getitem__(self, key: tuple[int, int]) -> Any:
        return self.__getitems__([key])[0]


def seed_step(plan: Plan, step: int, part: int) -> None:
    """Seed torch, NumPy and random for one step of one process: part 0 draws the data, part 1 runs the model."""
    state = np.random.SeedSequence((plan.seed, step, plan.process, part)).generate_state(2)
    torch.manual_seed(int(state[0]))
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))  # noqa: NPY002  # datasets that others wrote draw from it


@contextmanager
def own_randomness() -> Iterator[None]:
    """Put the global generators back as they were afterwards."""
    # Reading the state of a generator that nobody used yet is fine; CUDA's are saved where CUDA is in use.
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def loader(
    items: Any, plan: Plan, step: int, stop: int, n_workers: int, collate: Callable[[Sequence[Any]], Any] | None
) -> DataLoader[Any]:
    """Return the batches from `step` to the end of its epoch; those before it are never read."""
    keys = list(plan.epoch_from(step, stop))
    return DataLoader(
        _Seeded(items, plan), batch_sampler=keys, num_workers=n_workers,
        collate_fn=collate or default_collate, generator=torch.Generator().manual_seed(plan.seed),
    )  # fmt: skip


def n_epochs_or_steps(epochs: Any, steps: Any, per_epoch: int) -> int:
    """Return the number of steps of the whole training."""
    check(
        (epochs is None) != (steps is None), "epochs and steps", "one given, the other left out", (epochs, steps),
        "Say epochs=10, or steps=1000.",
    )  # fmt: skip
    return math.ceil(epochs * per_epoch) if steps is None else steps
