"""fit: the one training loop, on Accelerate."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from .._check import check, fail, integer, one_of, positive
from .batches import Plan, as_dataset, loader, n_epochs_or_steps, own_randomness, seed_step
from .checkpoint import read_checkpoint, write_checkpoint
from .schedules import Schedule, check_schedule, learning_rate_factor

_log = logging.getLogger("neuroperc.training")
_SERIES = ("loss", "learning_rate", "gradient_norm", "validation", "validation_step")


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind, apart from the model's weights.

    Attributes
    ----------
    history
        "loss", "learning_rate" and "gradient_norm" (before clipping), a number a step; "validation" and
        "validation_step" (steps done by then), a number a validation.
    best
        Lowest validation, or None without `validate`.
    best_step
        Steps done by then, or None.
    stopped_early
        Whether `patience` ran out before the steps did.
    steps
        Optimiser steps done, those before a resume included.

    Examples
    --------
    >>> TrainingResult({"loss": np.array([1.0, 0.5])}, None, None, False, 2).history["loss"][-1]
    np.float64(0.5)
    """

    history: dict[str, np.ndarray]
    best: float | None
    best_step: int | None
    stopped_early: bool
    steps: int


def fit(
    model: nn.Module,
    data: Any,
    *,
    loss: Callable[[nn.Module, Any], Tensor],
    optimizer: Optimizer | Callable[[Any], Optimizer] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    schedule: Schedule = "constant",
    warmup_steps: int = 0,
    decay_every: int | None = None,
    decay_factor: float = 0.1,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    mixed_precision: str | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    data_key: str | None = None,
    n_workers: int = 0,
    collate: Callable[[Sequence[Any]], Any] | None = None,
    progress: bool = False,
    random_state: int = 0,
) -> TrainingResult:
    """Train a model in place.

    The model is trained where it is; started with ``accelerate launch``, each process trains its share of every batch.
    Order and random numbers of a step follow from `random_state` and the step alone, so that a run that was killed and
    resumed gives the same bits as one that was not. The global generators are put back as they were.

    Parameters
    ----------
    model
        Left in its own modes, with the weights of the best validation, or else the last ones; averaged ones where
        `ema_decay` is given.
    data
        A dataset with ``__len__`` and ``__getitem__`` (a StimulusSet, say), or tensors or arrays of one length.
    loss
        ``loss(model, batch)`` returns the mean loss of a batch, a scalar. It calls the model it is given, which may be
        wrapped for several processes.
    optimizer
        An optimiser of the model's parameters, or a function that makes one of them, such as
        ``functools.partial(torch.optim.SGD, lr=0.1)``. None is AdamW with a rate of 0.001.
    epochs, steps
        Length of the training, in passes through the data or in optimiser steps: one of them.
    batch_size
        Items a step, of each process.
    schedule, warmup_steps, decay_every, decay_factor
        As in `learning_rate_factor`.
    clip_norm
        Gradients with a larger norm, over all parameters, are scaled down to it.
    ema_decay
        Weights are averaged: after each step, average = decay x average + (1 - decay) x weights, from the initial
        weights on. Buffers are copied.
    mixed_precision
        "no", "bf16" or "fp16" (CUDA only); None is what ``accelerate launch`` says, else "no".
    validate
        ``validate(model)`` returns a number, lower is better. It is called in eval mode without gradients, with the
        averaged weights where there are such. With several processes that of the first one counts.
    validate_every, checkpoint_every
        In steps; default is once an epoch. Both also happen after the last step.
    patience
        Stop after this many validations in a row without a new best one.
    checkpoint
        File that keeps the state of the training. If it is there, the training goes on from it.
    data_key
        Text that stands for the data and for what the loss depends on, such as a hash of them: a checkpoint of other
        ones is refused. None compares only what `fit` itself is told.
    n_workers
        Processes that read the data; they do not change the numbers.
    collate
        Makes a batch of a list of items; default is torch's.
    progress
        Show a bar.
    random_state
        Seed of order and random numbers; the model's initial weights are the caller's.

    Returns
    -------
    TrainingResult

    Raises
    ------
    RuntimeError
        When the loss or the gradients are not finite; the message names the step.
    ValueError
        For settings that exclude one another, or a checkpoint that is damaged or of another training.
    OSError
        When a checkpoint cannot be written; the one before it stays whole.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.training import fit
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> line = torch.nn.Linear(1, 1)
    >>> result = fit(line, (x, 3 * x + 1), loss=lambda m, b: (m(b[0]) - b[1]).square().mean(),
    ...              optimizer=lambda p: torch.optim.SGD(p, lr=0.2), epochs=80, schedule="cosine")
    >>> result.steps, round(line.weight.item(), 2), round(line.bias.item(), 2)
    (160, 3.0, 1.0)
    """
    integer("batch_size", batch_size)
    integer("random_state", random_state, 0)
    _check_settings(epochs, steps, clip_norm, ema_decay, mixed_precision, validate, patience)
    for name, every in (("validate_every", validate_every), ("checkpoint_every", checkpoint_every)):
        if every is not None:
            integer(name, every)
    items = as_dataset(data)
    with _accelerator(model, mixed_precision) as accelerator, own_randomness():
        plan = Plan(len(items), batch_size, accelerator.num_processes, accelerator.process_index, random_state)
        check(plan.per_epoch > 0, "data", f"at least {plan.n_processes} items, one a process", len(items))
        n_steps = n_epochs_or_steps(epochs, steps, plan.per_epoch)
        check_schedule(schedule, n_steps, warmup_steps, decay_every, decay_factor)
        settings = {
            "n_items": len(items), "batch_size": batch_size, "n_processes": plan.n_processes, "n_steps": n_steps,
            "random_state": random_state, "schedule": schedule if isinstance(schedule, str) else "function",
            "warmup_steps": warmup_steps, "decay_every": decay_every, "decay_factor": decay_factor,
            "clip_norm": clip_norm, "ema_decay": ema_decay, "mixed_precision": accelerator.mixed_precision,
            "validate_every": validate_every or plan.per_epoch, "patience": patience,
            "data_key": data_key,
        }  # fmt: skip
        run = _Run(
            model, accelerator, plan, settings, loss, _optimizer(optimizer, model), validate,
            lambda step: learning_rate_factor(
                step, n_steps=n_steps, schedule=schedule, warmup_steps=warmup_steps, decay_every=decay_every,
                decay_factor=decay_factor,
            ),
            None if checkpoint is None else Path(checkpoint), checkpoint_every or plan.per_epoch,
        )  # fmt: skip
        return run.train(items, n_workers, collate, progress)


def _check_settings(
    epochs: Any, steps: Any, clip_norm: Any, ema_decay: Any, mixed_precision: Any, validate: Any, patience: Any
) -> None:
    if epochs is not None:
        positive("epochs", epochs)
    if steps is not None:
        integer("steps", steps)
    if clip_norm is not None:
        positive("clip_norm", clip_norm)
    if ema_decay is not None:
        positive("ema_decay", ema_decay)
        check(ema_decay < 1, "ema_decay", "below 1", ema_decay, "Typical values are 0.99 to 0.9999.")
    one_of("mixed_precision", mixed_precision, (None, "no", "bf16", "fp16"))
    if patience is not None:
        integer("patience", patience)
        check(validate is not None, "validate", "given with patience", validate, "Without it nothing can get worse.")


@contextmanager
def _accelerator(model: nn.Module, mixed_precision: str | None) -> Iterator[Any]:
    """Yield an Accelerator for the model's device, and leave no trace of it in the process.

    Accelerate keeps its settings in class-level dictionaries, so that a second training with another precision or
    device, or the caller's own Accelerator, would meet those of the first.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import DistributedDataParallelKwargs

    first = next(model.parameters(), None)
    check(first is not None, "model", "a module with parameters", type(model).__name__, "There is nothing to train.")
    on_cpu = first is None or first.device.type == "cpu"
    check(
        mixed_precision != "fp16" or not on_cpu, "mixed_precision", "'no' or 'bf16' for a model on the CPU",
        mixed_precision, "Move the model to a CUDA device, or use 'bf16'.",
    )  # fmt: skip
    distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1
    holders = [AcceleratorState, GradientState] + ([] if distributed else [PartialState])
    kept = [dict(holder._shared_state) for holder in holders]
    for holder in holders:
        holder._shared_state.clear()
    try:
        quiet = DistributedDataParallelKwargs(broadcast_buffers=True)
        yield Accelerator(cpu=on_cpu, mixed_precision=mixed_precision, kwargs_handlers=[quiet])
    finally:
        for holder, state in zip(holders, kept, strict=True):
            holder._shared_state.clear()
            holder._shared_state.update(state)


def _optimizer(given: Any, model: nn.Module) -> Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    check(len(parameters) > 0, "model", "a module with trainable parameters", "none", "Set requires_grad on some.")
    made = torch.optim.AdamW(parameters, lr=1e-3) if given is None else given
    made = made if isinstance(made, Optimizer) else made(parameters)
    if not isinstance(made, Optimizer):
        fail("optimizer", "a torch Optimizer or a function that makes one", type(made).__name__, error=TypeError)
    own = {id(p) for p in model.parameters()}
    strange = sum(id(p) not in own for group in made.param_groups for p in group["params"])
    check(strange == 0, "optimizer", "one of this model's parameters", f"{strange} others", "Make it from model.")
    return made


@dataclass
class _Run:
    """The state of one training and the steps that change it."""

    model: nn.Module
    accelerator: Any
    plan: Plan
    settings: dict[str, Any]
    loss: Callable[[nn.Module, Any], Tensor]
    optimizer: Optimizer
    validate: Callable[[nn.Module], float] | None
    factor: Callable[[int], float]
    checkpoint: Path | None
    checkpoint_every: int
    step: int = 0
    waited: int = 0
    stopped: bool = False
    best: float | None = None
    best_step: int | None = None
    best_state: dict[str, Tensor] | None = None
    average: dict[str, Tensor] | None = None
    series: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _SERIES})

    def train(self, items: Any, n_workers: int, collate: Any, progress: bool) -> TrainingResult:
        modes = [(part, part.training) for part in self.model.modules()]
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        home, own_forward = next(self.model.parameters()).device, vars(self.model).get("forward")
        wrapped, optimizer = self.accelerator.prepare(self.model, self.optimizer)
        try:
            if self.settings["ema_decay"] is not None:
                self.average = _copied(self.model)
            self._resume()
            n_steps = self.settings["n_steps"]
            show = progress and self.accelerator.is_main_process
            with tqdm(total=n_steps, initial=self.step, disable=not show) as bar:
                while self.step < n_steps and not self.stopped:
                    for batch in loader(items, self.plan, self.step, n_steps, n_workers, collate):
                        self._update(wrapped, optimizer, rates, batch)
                        self._after_step()
                        bar.update()
                        bar.set_postfix(loss=f"{self.series['loss'][-1]:.4g}", refresh=False)
                        if self.stopped:
                            break
            final = self.best_state or self.average
            if final is not None:
                self.model.load_state_dict(final)
        finally:
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            for name, before in (("forward", own_forward), ("_original_forward", None)):
                self.model.__dict__.pop(name, None)  # prepare put autocast around them
                if before is not None:
                    self.model.__dict__[name] = before
            self.model.to(home)
            for part, mode in modes:
                part.training = mode
        history = {name: np.array(values) for name, values in self.series.items()}
        return TrainingResult(history, self.best, self.best_step, self.stopped, self.step)

    def _update(self, wrapped: nn.Module, optimizer: Any, rates: list[float], batch: Any) -> None:
        from accelerate.utils import send_to_device

        rate = self.factor(self.step)
        for group, base in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = base * rate
        self.model.train()
        seed_step(self.plan, self.step, 1)
        with self.accelerator.autocast():
            value = self.loss(wrapped, send_to_device(batch, self.accelerator.device))
        if not isinstance(value, Tensor) or value.numel() != 1:
            fail("loss", "a function that returns one number as a tensor", value, "Take the mean over the batch.")
        weighted = value.reshape(()) * self.plan.weight(self.step)
        mean = float(self.accelerator.reduce(weighted.detach().float(), "mean"))
        self._check_finite("loss", mean)
        self.accelerator.backward(weighted)
        limit = self.settings["clip_norm"]
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), math.inf if limit is None else limit))
        if self.accelerator.scaler is None:  # with fp16 a gradient that overflows is skipped, and the scale lowered
            self._check_finite("the gradient's norm", norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.series["loss"].append(mean)
        self.series["learning_rate"].append(rates[0] * rate)
        self.series["gradient_norm"].append(norm)
        self.step += 1

    def _check_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            where = "" if self.checkpoint is None else f" {self.checkpoint} holds the state before."
            remedy = f"Lower the learning rate, set clip_norm, or look at the data of this step.{where}"
            fail(name, "finite", f"{value} at step {self.step}", remedy, RuntimeError)

    def _after_step(self) -> None:
        last = self.step == self.settings["n_steps"]
        self._average()
        if self.validate is not None and (self.step % self.settings["validate_every"] == 0 or last):
            self._validate()
        if self.checkpoint is not None and (self.step % self.checkpoint_every == 0 or last or self.stopped):
            self._save()

    @torch.no_grad()
    def _average(self) -> None:
        if self.average is None:
            return
        parameters = dict(self.model.named_parameters())
        for name, value in self.model.state_dict().items():
            if name in parameters and value.is_floating_point():
                self.average[name].lerp_(value, 1 - self.settings["ema_decay"])
            elif isinstance(value, Tensor):
                self.average[name].copy_(value)

    @torch.no_grad()
    def _validate(self) -> None:
        raw = None if self.average is None else _copied(self.model)
        modes = [(part, part.training) for part in self.model.modules()]
        if self.average is not None:
            self.model.load_state_dict(self.average)
        self.model.eval()
        seed_step(self.plan, self.step, 2)
        value = float(self.validate(self.model)) if self.validate is not None else math.nan
        from accelerate.utils import broadcast

        value = float(broadcast(torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)))
        self._check_finite("the validation", value)
        self.series["validation"].append(value)
        self.series["validation_step"].append(self.step)
        if self.best is None or value < self.best:
            self.best, self.best_step, self.waited, self.best_state = value, self.step, 0, _copied(self.model)
        else:
            self.waited += 1
        patience = self.settings["patience"]
        self.stopped = patience is not None and self.waited >= patience and self.step < self.settings["n_steps"]
        if raw is not None:
            self.model.load_state_dict(raw)
        for part, mode in modes:
            part.training = mode

    def _save(self) -> None:
        scaler = self.accelerator.scaler
        content = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average,
            "scaler": None if scaler is None else scaler.state_dict(), "best_state": self.best_state,
            "series": self.series, "step": self.step, "waited": self.waited, "stopped": self.stopped,
            "best": self.best, "best_step": self.best_step,
        }  # fmt: skip
        if self.accelerator.is_main_process and self.checkpoint is not None:
            write_checkpoint(self.checkpoint, self.settings, content)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        content = None if self.checkpoint is None else read_checkpoint(self.checkpoint, self.settings)
        if content is None:
            return
        device = self.accelerator.device
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError) as error:
            fail(
                "checkpoint", "of this model and optimiser", f"{self.checkpoint} ({str(error).splitlines()[0]})",
                "Build both as they were, or name another file.",
            )  # fmt: skip
        for name in ("series", "step", "waited", "stopped", "best", "best_step"):
            setattr(self, name, content[name])
        for name in ("average", "best_state"):
            state = content[name]
            setattr(self, name, None if state is None else {key: value.to(device) for key, value in state.items()})
        if content["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(content["scaler"])
        _log.info("resumed %s at step %d of %d", self.checkpoint, self.step, self.settings["n_steps"])


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
