"""What synthesis refuses, and how what it accepts becomes a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._check import as_rng, check, fail, finite, integer, one_of
from .engine import NO_GRAD

Model = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def check_target(target: Tensor) -> Tensor:
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


def check_fixed(fixed: Tensor | None, target: Tensor) -> Tensor:
    """Return the share of the target that stays, as large as the target."""
    share = torch.zeros(()) if fixed is None else torch.as_tensor(fixed)
    share = share.detach().to(target)
    finite("fixed", share)
    low, high = float(share.min()), float(share.max())
    slack = 1e-4  # a coverage is a sum of many windows
    ok = low >= -slack and high <= 1 + slack
    check(ok, "fixed", "between 0 and 1", f"values from {low:.4g} to {high:.4g}")
    return like_target("fixed", share.clamp(0, 1), target)


def like_target(name: str, values: Tensor, target: Tensor) -> Tensor:
    """Return `values` as large as the target."""
    try:
        return values.expand_as(target)
    except RuntimeError:
        fail(name, f"of a shape that broadcasts to {tuple(target.shape)}", tuple(values.shape))


def check_model(model: Model, target: Tensor) -> Tensor:
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
    check(features.requires_grad, "model", "differentiable", "features without a gradient", NO_GRAD)
    return features.detach()


def _check_module(model: nn.Module, target: Tensor) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.device != target.device:
            fail("model", f"on {target.device}, as the target is", f"{name} on {tensor.device}", "Use model.to(...).")
    for name, module in model.named_modules():
        if module.training and isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)):
            fail("model", "in evaluation mode", f"{name} in training mode, which mixes pictures", "Call model.eval().")


def check_loss(loss: Loss | None, wanted: Tensor) -> Loss:
    """Return the loss, tried on matching features: one finite number a picture."""
    if loss is None:
        return mean_square
    check(callable(loss), "loss", "callable", loss, error=TypeError)
    found = loss(wanted.clone(), wanted)
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found)
    remedy = "Average over features, not over pictures: (features - wanted).square().flatten(1).mean(1)."
    check(shape == (len(wanted),), "loss", f"one that returns ({len(wanted)},), a number a picture", shape, remedy)
    finite("loss of the target itself", found.detach(), "Add a small constant to roots and denominators.")
    return loss


def mean_square(features: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference, one number a picture."""
    return (features - wanted).flatten(1).square().mean(1)


def check_rng(rng: Any, n_items: int) -> tuple[list[np.random.Generator], Any]:
    """Return one generator for all items or one for each, and what a record says of them."""
    if isinstance(rng, Sequence) and not isinstance(rng, (str, bytes)):
        check(len(rng) == n_items, "rng", f"one seed, or {n_items}, one a picture", f"{len(rng)} seeds")
        for seed in rng:
            integer("rng", seed, 0)
        return [as_rng(seed) for seed in rng], [int(seed) for seed in rng]
    return [as_rng(rng)], "generator" if isinstance(rng, np.random.Generator) else int(rng)


def start(init: Literal["noise"] | Tensor, target: Tensor, generators: list[np.random.Generator]) -> Tensor:
    """Return where the pictures start, as large as the target."""
    if isinstance(init, Tensor):
        finite("init", init)
        return like_target("init", init.detach().to(target), target).clamp(0, 1)
    one_of("init", init, ("noise",))
    shape = (len(target) // len(generators), *target.shape[1:])
    noise = np.concatenate([generator.random(shape) for generator in generators])
    return torch.from_numpy(noise).to(target)


@torch.no_grad()
def balance(model: Model, target: Tensor, wanted: Tensor) -> Tensor:
    """Return weights of the features, one over the root of how strongly each reacts to noise on the target.

    Features that react by less than 1/1000 of the strongest count as if they reacted so; features that do not react at
    all get no weight. The weights of a picture average to one.
    """
    rng, step, n_probes = np.random.default_rng(0), 1e-3, 8
    total = torch.zeros_like(wanted)
    for _ in range(n_probes):
        noise = torch.from_numpy(rng.standard_normal(tuple(target.shape[1:]))).to(target)
        total += ((model(target + step * noise) - wanted) / step).square()
    reaction = (total / n_probes).sqrt().flatten(1)
    finite("features of the target with noise on it", reaction, "Use balance=False, or make the model finite there.")
    strongest = reaction.amax(1, keepdim=True)
    weights = (reaction + 1e-3 * strongest).rsqrt()
    weights = torch.where(reaction > 1e-8 * strongest, weights, 0)
    return (weights / weights.mean(1, keepdim=True).clamp_min(1e-30)).reshape(wanted.shape)
