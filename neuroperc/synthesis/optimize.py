"""`synthesize`: gradient descent on a picture until a model's features match those of a target."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import __version__
from .._check import as_rng, check, fail, finite, integer, non_negative, one_of, positive
from .checkpoint import read_checkpoint, write_checkpoint
from .metamer import Metamer

Model = Callable[[Tensor], Tensor]

_PLATEAU_STEPS = 50


@torch.enable_grad()
def synthesize(
    model: Model,
    target: Tensor,
    *,
    steps: int = 500,
    init: Literal["noise"] | Tensor = "noise",
    fixed: Tensor | None = None,
    optimizer: Literal["adam"] = "adam",
    learning_rate: float = 0.01,
    penalty: float = 0.0,
    tolerance: float = 1e-9,
    progress: bool = False,
    rng: int | np.random.Generator = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 50,
) -> Metamer:
    """Change a picture until the model cannot tell it from the target.

    The loss of a picture is the mean squared difference between its features and its target's. The pictures of a batch
    do not influence one another: each has its own optimiser state, and stops on its own.

    Parameters
    ----------
    model
        Any callable from pictures (b, c, h, w) to features (b, ...), differentiable, each picture on its own.
    target
        (c, h, w) or (b, c, h, w), linear light in [0, 1]. It decides device and dtype.
    steps
        Updates at most.
    init
        "noise", uniform in [0, 1] and independent for all pixels, or a picture that broadcasts to the target.
    fixed
        Share of the target that every picture keeps, 0 to 1, (h, w) or anything that broadcasts to the target: 1 pastes
        the target's pixels in, as one minus the coverage of pooling windows does for the fovea [1]_.
    optimizer
        "adam".
    learning_rate
        Of the optimiser, in units of light.
    penalty
        0: after each step light outside [0, 1] is brought back to it. Above 0: this times the squared excess, summed
        over the picture, is added to the loss instead, and the range is enforced once, at the end.
    tolerance
        A picture is done when its loss (with penalty) changes by less than this over 50 steps; 0 never stops early.
    progress
        Show a progress bar.
    rng
        Seed or generator of the noise.
    checkpoint
        File to continue from when it exists and to keep up to date: a run that was killed and is started again with
        the same arguments ends with the same bits. `steps` may be raised to go on with a finished run.
    checkpoint_every
        Steps between writes.

    Returns
    -------
    Metamer
        Pictures of the target's shape, histories of loss and penalty, and the settings.

    Raises
    ------
    ValueError, TypeError
        When the target is not a picture in [0, 1], the model gives NaN, gives no gradient, or mixes pictures, or the
        checkpoint belongs to other arguments.
    RuntimeError
        When loss or gradient become NaN on the way.

    References
    ----------
    .. [1] W F Broderick, G Rufo, J Winawer, E P Simoncelli. Foveated metamers of the early visual system.

    Examples
    --------
    >>> import torch
    >>> target = torch.rand(1, 16, 16)
    >>> pooled = torch.nn.AvgPool2d(4)
    >>> metamer = synthesize(pooled, target, steps=100, rng=0)
    >>> bool(metamer.loss[-1] < 0.01 * metamer.loss[0])
    True
    """
    integer("steps", steps, 0)
    one_of("optimizer", optimizer, ("adam",))
    positive("learning_rate", learning_rate)
    non_negative("penalty", penalty)
    non_negative("tolerance", tolerance)
    integer("checkpoint_every", checkpoint_every, 1)
    batch = _check_target(target)
    share = _check_fixed(fixed, batch)
    wanted = _check_model(model, batch)
    seed = rng if not isinstance(rng, np.random.Generator) else "generator"
    generator = as_rng(rng)
    start = _start(init, batch, generator)
    settings = _settings(model, batch, init, share, seed) | {
        "optimizer": optimizer, "learning_rate": learning_rate, "penalty": penalty, "tolerance": tolerance,
    }  # fmt: skip
    run = _Run(model, batch, wanted, start, share, learning_rate, penalty)
    if checkpoint is not None:
        read_checkpoint(checkpoint, run, settings, generator)
    with tqdm(total=steps, initial=min(run.step, steps), disable=not progress, desc="synthesize") as bar:
        while run.step < steps and run.active.any():
            run.update(tolerance)
            bar.update()
            bar.set_postfix(loss=f"{run.losses[-1].mean():.3g}", refresh=False)
            if checkpoint is not None and run.step % checkpoint_every == 0:
                write_checkpoint(checkpoint, run, settings, generator)
    if checkpoint is not None:
        write_checkpoint(checkpoint, run, settings, generator)
    return run.finish(target, settings | {"steps": steps})


class _Run:
    """Pictures under way. Each is a parameter of its own: pictures that are done leave the batch and nothing else."""

    def __init__(
        self, model: Model, target: Tensor, wanted: Tensor, start: Tensor, share: Tensor, rate: float, penalty: float
    ) -> None:
        self.model, self.target, self.wanted, self.share, self.penalty = model, target, wanted, share, penalty
        self.pictures = [nn.Parameter(picture.clone()) for picture in start]
        self.optimizer = torch.optim.Adam(self.pictures, lr=rate)
        self.active = torch.ones(len(target), dtype=torch.bool)
        self.step = 0
        self.losses: list[Tensor] = []  # (b,) float64 on the CPU, one an update
        self.excesses: list[Tensor] = []

    def update(self, tolerance: float) -> None:
        """Measure, let pictures go whose loss has settled, and move the others one step."""
        items = self.active.nonzero()[:, 0].tolist()
        blended = self._blend([self.pictures[i] for i in items], items)
        loss, excess = self._measure(blended, items)
        self._record(loss, excess, items)
        grads = torch.autograd.grad((loss + self.penalty * excess).sum(), [self.pictures[i] for i in items])
        self._check_gradients(grads, loss, items)
        self.active &= ~self._settled(tolerance)
        for picture in self.pictures:
            picture.grad = None  # Adam leaves parameters without a gradient, and their state, alone
        for item, grad in zip(items, grads, strict=True):
            if self.active[item]:
                self.pictures[item].grad = grad
        self.optimizer.step()
        self.step += 1
        if not self.penalty:
            with torch.no_grad():
                for picture in self.pictures:
                    picture.clamp_(0, 1)

    def finish(self, target: Tensor, settings: dict[str, Any]) -> Metamer:
        items = list(range(len(self.pictures)))
        with torch.no_grad():
            image = self._blend(self.pictures, items).clamp(0, 1)
            self._record(*self._measure(image, items), items)
        shape = (-1, len(items)) if target.ndim == 4 else (-1,)
        return Metamer(
            image=image.reshape(target.shape),
            target=target.detach().clone(),
            loss=torch.stack(self.losses).reshape(shape),
            penalty=torch.stack(self.excesses).reshape(shape),
            converged=(~self.active).reshape(shape[1:]),
            settings=settings | {"updates": self.step},
        )

    def _blend(self, pictures: list[nn.Parameter], items: list[int]) -> Tensor:
        free = torch.stack(list(pictures))
        return free + self.share[items] * (self.target[items] - free)

    def _measure(self, pictures: Tensor, items: list[int]) -> tuple[Tensor, Tensor]:
        features = self.model(pictures)
        loss = (features - self.wanted[items]).flatten(1).square().mean(1)
        excess = (pictures - pictures.clamp(0, 1)).flatten(1).square().sum(1)
        return loss, excess

    def _record(self, loss: Tensor, excess: Tensor, items: list[int]) -> None:
        bad = (~(loss + excess).isfinite()).nonzero()[:, 0].tolist()
        if bad:
            fail(
                "loss", "finite", f"NaN or infinity for item {items[bad[0]]} at step {self.step}",
                "Lower learning_rate, or find the operation in the model that divides by zero.", RuntimeError,
            )  # fmt: skip
        for history, values in ((self.losses, loss), (self.excesses, excess)):
            row = history[-1].clone() if history else torch.zeros(len(self.target), dtype=torch.float64)
            row[items] = values.detach().double().cpu()
            history.append(row)

    def _settled(self, tolerance: float) -> Tensor:
        if len(self.losses) <= _PLATEAU_STEPS:
            return torch.zeros_like(self.active)
        now, then = (self.losses[k] + self.penalty * self.excesses[k] for k in (-1, -1 - _PLATEAU_STEPS))
        return (now - then).abs() < tolerance

    def _check_gradients(self, grads: tuple[Tensor, ...], loss: Tensor, items: list[int]) -> None:
        for item, grad, value in zip(items, grads, loss, strict=True):
            if not bool(grad.isfinite().all()):
                fail(
                    "gradient", "finite", f"NaN or infinity for item {item} at step {self.step}",
                    "Square roots, norms and divisions need a small constant where their input can be 0.", RuntimeError,
                )  # fmt: skip
            if self.step == 0 and bool(value > 0) and not bool(grad.any()):
                fail("model", "sensitive to the picture", f"a zero gradient for item {item}", _REMEDY_GRADIENT)


_REMEDY_GRADIENT = (
    "Remove torch.no_grad, .detach(), .item(), rounding, comparisons and NumPy calls from the model's forward."
)


def _check_target(target: Tensor) -> Tensor:
    """Return the target as a detached batch."""
    check(isinstance(target, Tensor), "target", "a torch.Tensor", type(target), "Use torch.as_tensor.", TypeError)
    check(target.is_floating_point(), "target", "floating", target.dtype, "Divide 8-bit codes by 255.", TypeError)
    shaped = target.ndim in (3, 4) and target.numel() > 0
    check(shaped, "target", "(c, h, w) or (b, c, h, w), none of them 0", tuple(target.shape))
    finite("target", target)
    low, high = float(target.min()), float(target.max())
    if low < 0 or high > 1:
        fail("target", "linear light in [0, 1]", f"values from {low:.4g} to {high:.4g}", "Divide by the white level.")
    return target.detach().reshape(-1, *target.shape[-3:])


def _check_fixed(fixed: Tensor | None, target: Tensor) -> Tensor:
    """Return the share of the target that stays, as large as the target."""
    share = torch.zeros(()) if fixed is None else torch.as_tensor(fixed)
    share = share.detach().to(target)
    finite("fixed", share)
    low, high = float(share.min()), float(share.max())
    slack = 1e-4  # a coverage is a sum of many windows
    ok = low >= -slack and high <= 1 + slack
    check(ok, "fixed", "between 0 and 1", f"values from {low:.4g} to {high:.4g}")
    return _like_target("fixed", share.clamp(0, 1), target)


def _like_target(name: str, values: Tensor, target: Tensor) -> Tensor:
    try:
        return values.expand_as(target)
    except RuntimeError:
        fail(name, f"of a shape that broadcasts to {tuple(target.shape)}", tuple(values.shape))


def _check_model(model: Model, target: Tensor) -> Tensor:
    """Run the model once on the target, with gradients, and return the features that are wanted."""
    check(callable(model), "model", "callable", model, error=TypeError)
    if isinstance(model, nn.Module):
        _check_module(model, target)
    probe = target.clone().requires_grad_()
    features = model(probe)
    if not isinstance(features, Tensor) or not features.is_floating_point():
        fail("model", "one that returns a floating tensor", type(features), "Wrap it to return one.", TypeError)
    rows = features.ndim >= 1 and len(features) == len(target) and features.numel() > 0
    check(rows, "model", f"one that returns {len(target)} rows of features, one a picture", tuple(features.shape))
    finite("model's features of the target", features.detach(), "Add a small constant to roots and denominators.")
    check(features.requires_grad, "model", "differentiable", "features without a gradient", _REMEDY_GRADIENT)
    return features.detach()


def _check_module(model: nn.Module, target: Tensor) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.device != target.device:
            fail("model", f"on {target.device}, as the target is", f"{name} on {tensor.device}", "Use model.to(...).")
    for name, module in model.named_modules():
        if module.training and isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)):
            fail("model", "in evaluation mode", f"{name} in training mode, which mixes pictures", "Call model.eval().")


def _start(init: Literal["noise"] | Tensor, target: Tensor, generator: np.random.Generator) -> Tensor:
    if isinstance(init, Tensor):
        finite("init", init)
        return _like_target("init", init.detach().to(target), target).clamp(0, 1)
    one_of("init", init, ("noise",))
    return torch.from_numpy(generator.random(tuple(target.shape))).to(target)


def _settings(model: Model, target: Tensor, init: Any, share: Tensor, seed: Any) -> dict[str, Any]:
    """Return what identifies a run, in JSON's types."""
    settings = {
        "model": getattr(model, "__qualname__", type(model).__qualname__),
        "target_sha256": _sha256(target),
        "init": init if isinstance(init, str) else _sha256(init),
        "fixed": _sha256(share) if bool(share.any()) else None,
        "rng": seed if isinstance(seed, str) else int(seed),
        "dtype": str(target.dtype).removeprefix("torch."),
        "device": target.device.type,
        "versions": {"neuroperc": __version__, "torch": str(torch.__version__)},
    }
    display = getattr(model, "display", None)
    return settings if display is None else settings | {"display": display.to_dict()}


def _sha256(tensor: Tensor) -> str:
    array = np.ascontiguousarray(tensor.detach().cpu().double().numpy())
    return hashlib.sha256(str(array.shape).encode() + array.tobytes()).hexdigest()
