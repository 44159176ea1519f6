"""MAD competition: pictures that one metric calls equally far from a target, and another as far or near as can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._check import as_rng, check, fail, finite, integer, positive
from . import _inputs
from .engine import Run
from .steppers import LBFGS

#: (pictures (b, c, h, w), targets (b, c, h, w)) to one distance a picture (b,).
Metric = Callable[[Tensor, Tensor], Tensor]

_NAMES = ("first_min", "first_max", "second_min", "second_max")


@dataclass(frozen=True)
class MadCompetition:
    """Four pictures on which two metrics disagree as much as they can, as `mad_competition` returns them.

    Parameters
    ----------
    target, start
        (c, h, w) or (b, c, h, w), linear light: the reference, and the picture whose distances are held.
    images
        Like the target: "first_min" and "first_max" have the start's second distance and the smallest and largest first
        distance; "second_min" and "second_max" the other way round.
    first, second
        () or (b,): distances from the target, of "start" and of every picture in `images`.

    Examples
    --------
    >>> import torch
    >>> grey = torch.full((1, 4, 4), 0.5)
    >>> MadCompetition(grey, grey, {}, {"start": torch.tensor(0.1)}, {"start": torch.tensor(0.2)}).second["start"]
    tensor(0.2000)
    """

    target: Tensor
    start: Tensor
    images: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]


@torch.enable_grad()
def mad_competition(
    first: Metric,
    second: Metric,
    target: Tensor,
    *,
    std: float = 0.1,
    start: Tensor | None = None,
    steps: int = 1000,
    rounds: int = 20,
    progress: bool = False,
    rng: int | np.random.Generator = 0,
) -> MadCompetition:
    """Hold one metric at the value of a noisy picture, make the other as small and as large as can be, and vice versa.

    The four searches of all targets run as one batch: L-BFGS on an augmented Lagrangian [2]_, whose multipliers are
    updated after each round, within [0, 1]. They find local optima.

    Parameters
    ----------
    first, second
        Callables (pictures, targets), both (b, c, h, w), to a distance a picture (b,); differentiable, each picture on
        its own. Of a similarity such as SSIM, give one minus it.
    target
        (c, h, w) or (b, c, h, w), linear light in [0, 1].
    std
        Standard deviation of the Gaussian noise of the start, in units of light; clipped to [0, 1] with the picture.
    start
        Pictures to take instead of noisy targets; broadcasts to the target.
    steps
        Evaluations of both metrics, altogether.
    rounds
        Updates of the multipliers; steps / rounds evaluations lie between two.
    progress
        Show a progress bar.
    rng
        Seed or generator of the noise.

    Returns
    -------
    MadCompetition

    Raises
    ------
    ValueError, TypeError
        When the target is not a picture in [0, 1], a metric does not give one finite number a picture, or has no
        gradient, or does not tell the start from the target.
    RuntimeError
        When a metric becomes NaN on the way.

    References
    ----------
    .. [1] Z Wang, E P Simoncelli (2008). Maximum differentiation (MAD) competition: a methodology for comparing
       computational models of perceptual quantities. Journal of Vision 8(12):8.
    .. [2] J Nocedal, S J Wright (2006). Numerical optimization, 2nd edition, section 17.3.

    Examples
    --------
    >>> import torch
    >>> def mse(x, y):
    ...     return (x - y).square().flatten(1).mean(1)
    >>> def left(x, y):
    ...     return mse(x[..., :4], y[..., :4])
    >>> pair = mad_competition(left, mse, torch.full((1, 8, 8), 0.5), steps=200, rounds=10)
    >>> bool(pair.first["first_min"] < 0.01 * pair.first["start"]), bool(pair.first["first_max"] > pair.first["start"])
    (True, True)
    """
    positive("std", std)
    integer("rounds", rounds, 1)
    integer("steps", steps, rounds, "Every round takes at least one step.")
    batch = _inputs.check_target(target)
    begin = _begin(start, batch, std, rng)
    distances = [_check_metric(name, metric, begin, batch) for name, metric in (("first", first), ("second", second))]
    search = _Search(first, second, batch, torch.stack(distances))
    run = Run(search.objective, search.targets, None, begin.repeat(4, 1, 1, 1), LBFGS(0.01, True))
    with tqdm(total=rounds, disable=not progress, desc="MAD competition") as bar:
        for steps_left in np.diff(np.linspace(0, steps, rounds + 1).astype(int)):
            for _ in range(int(steps_left)):
                if bool(run.active.any()):
                    run.update(0.0)
            search.update(run.pictures())
            run.restart()
            bar.update()
    return _record(search, run.pictures(), begin, target)


class _Search:
    """The augmented Lagrangian of four searches a target: "first_min" of all targets, then "first_max", and so on."""

    def __init__(self, first: Metric, second: Metric, batch: Tensor, start: Tensor) -> None:
        n = len(batch)
        self.metrics, self.targets = (first, second), batch.repeat(4, 1, 1, 1)
        self.optimises_first = torch.arange(4 * n, device=batch.device) < 2 * n
        self.sign = torch.tensor([1.0, -1.0, 1.0, -1.0]).to(batch).repeat_interleave(n)
        self.start = start.to(batch).repeat(1, 4)  # (2, 4 b)
        self.multiplier = torch.zeros_like(self.sign)
        self.weight = torch.full_like(self.sign, 10.0)
        self.violation = torch.full_like(self.sign, torch.inf)

    def relative(self, pictures: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is optimised and what is held, over their values at the start, less one."""
        ratios = [m(pictures, self.targets[items]) / s[items] for m, s in zip(self.metrics, self.start, strict=True)]
        one, other = torch.stack(ratios) - 1
        swap = self.optimises_first[items]
        return torch.where(swap, one, other), torch.where(swap, other, one)

    def objective(self, pictures: Tensor, items: Tensor, stage: Tensor) -> Tensor:
        free, held = self.relative(pictures, items)
        return self.sign[items] * free + self.multiplier[items] * held + self.weight[items] / 2 * held.square()

    @torch.no_grad()
    def update(self, pictures: Tensor) -> None:
        """Update the multipliers; weigh the constraint more where it was not met much better than before."""
        _, held = self.relative(pictures, torch.arange(len(pictures), device=pictures.device))
        self.multiplier = self.multiplier + self.weight * held
        self.weight = torch.where(held.abs() > self.violation / 4, 2 * self.weight, self.weight)
        self.violation = held.abs()


def _begin(start: Tensor | None, batch: Tensor, std: float, rng: int | np.random.Generator) -> Tensor:
    if start is None:
        noise = torch.from_numpy(as_rng(rng).standard_normal(tuple(batch.shape))).to(batch)
        return (batch + std * noise).clamp(0, 1)
    check(isinstance(start, Tensor), "start", "a torch.Tensor", type(start), error=TypeError)
    finite("start", start)
    return _inputs.like_target("start", start.detach().to(batch), batch).clamp(0, 1)


def _check_metric(name: str, metric: Metric, begin: Tensor, batch: Tensor) -> Tensor:
    """Return the distances of the start."""
    check(callable(metric), name, "a callable (pictures, targets)", metric, error=TypeError)
    found = metric(begin.clone().requires_grad_(), batch)
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found)
    remedy = "Average over channels and pixels, not over pictures."
    check(shape == (len(batch),), name, f"a metric that returns ({len(batch)},), a number a picture", shape, remedy)
    check(found.requires_grad, name, "differentiable", "a distance without a gradient", _inputs.NO_GRAD)
    found = found.detach()
    finite(f"{name}'s distances of the start", found, "Add a small constant to roots and denominators.")
    bad = (found <= 0).nonzero()[:, 0].tolist()
    if bad:
        value = f"{float(found[bad[0]]):.4g} for item {bad[0]}"
        fail(name, "above 0 between start and target", value, "Use more noise; of a similarity, give one minus it.")
    return found


def _record(search: _Search, pictures: Tensor, begin: Tensor, target: Tensor) -> MadCompetition:
    n = len(begin)
    with torch.no_grad():
        values = [metric(pictures, search.targets).reshape(4, *target.shape[:-3]) for metric in search.metrics]
    first, second = (
        {"start": start[:n].reshape(target.shape[:-3])} | dict(zip(_NAMES, value, strict=True))
        for start, value in zip(search.start, values, strict=True)
    )
    images = dict(zip(_NAMES, pictures.reshape(4, *target.shape), strict=True))
    return MadCompetition(target.detach().clone(), begin.reshape(target.shape), images, first, second)
