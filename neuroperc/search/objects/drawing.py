"""Paths out of a trained model: the most likely step by step, or many samples at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._check import as_rng, check, integer
from .scenes import ObjectScenes


class PathModel(Protocol):
    """What `OAT` and `PointerDecoder` share."""

    training: bool

    def __call__(self, scenes: ObjectScenes, paths: Tensor, /) -> Tensor:
        """Return the scores of known paths."""

    def begin(self, scenes: ObjectScenes, n_paths: int, max_steps: int) -> Any:
        """Return a state."""

    def step(self, state: Any, last: Tensor) -> Tensor:
        """Return the scores of the next step."""

    def train(self, mode: bool = True) -> Any:
        """Set the mode."""


def sample_paths(
    model: PathModel,
    scenes: ObjectScenes,
    *,
    n_samples: int = 100,
    max_steps: int,
    rng: int | np.random.Generator,
) -> Tensor:
    """Draw paths from a model, all samples of all scenes together.

    Stopping at once is not allowed; the null class is never drawn. Finished paths are taken out of the batch as soon as
    that halves it.

    Parameters
    ----------
    model
        `OAT`, `PointerDecoder`, or anything with their `begin` and `step`.
    scenes
        The scenes.
    n_samples
        Paths a scene.
    max_steps
        Paths end here at the latest; the longest of the training set is usual.
    rng
        Seed or generator; a number a path and step is drawn by NumPy, so that devices agree.

    Returns
    -------
    Tensor
        (scene, sample, max_steps) object indices, -1 after a path's end.

    Raises
    ------
    ValueError, TypeError
        When a count is below 1 or `rng` is neither seed nor generator.

    References
    ----------
    Y Fang and others (2024). OAT, ECCV: 100 sampled paths a trial.

    Examples
    --------
    >>> from neuroperc.search.objects import OAT, make_scenes
    >>> model = OAT(grid=(1, 3), d_model=32, n_layers=1)
    >>> scenes = make_scenes([[0, 0], [0, 1], [0, 2]], [2])
    >>> sample_paths(model, scenes, n_samples=5, max_steps=4, rng=0).shape
    torch.Size([1, 5, 4])
    """
    shape, generator = (len(scenes.target), integer("n_samples", n_samples)), as_rng(rng)

    def pick(scores: Tensor, paths: Tensor) -> Tensor:
        drawn = torch.as_tensor(generator.random(shape), device=scores.device).gather(1, paths)
        sums = functional.softmax(scores.double(), -1).cumsum(-1)
        sums = sums / sums[..., -1:]
        return torch.searchsorted(sums, drawn[..., None], right=True)[..., 0].clamp(max=scores.shape[-1] - 1)

    return _draw(model, scenes, n_samples, max_steps, pick)


def greedy_paths(model: PathModel, scenes: ObjectScenes, *, max_steps: int) -> Tensor:
    """Return the path that takes the most likely object at every step.

    Parameters
    ----------
    model, scenes, max_steps
        As in `sample_paths`.

    Returns
    -------
    Tensor
        (scene, max_steps) object indices, -1 after a path's end.

    Raises
    ------
    ValueError, TypeError
        When `max_steps` is below 1.

    Examples
    --------
    >>> from neuroperc.search.objects import OAT, make_scenes
    >>> model = OAT(grid=(1, 3), d_model=32, n_layers=1)
    >>> greedy_paths(model, make_scenes([[0, 0], [0, 1], [0, 2]], [2]), max_steps=4).shape
    torch.Size([1, 4])
    """
    return _draw(model, scenes, 1, max_steps, lambda scores, _: scores.argmax(-1))[:, 0]


@torch.no_grad()
def _draw(
    model: PathModel, scenes: ObjectScenes, n_paths: int, max_steps: int, pick: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    integer("max_steps", max_steps)
    check(hasattr(model, "begin"), "model", "OAT, PointerDecoder or one like them", type(model).__name__)
    n, device, mode = scenes.n_objects, scenes.target.device, model.training
    out = torch.full((len(scenes.target), n_paths, max_steps), -1, device=device)
    paths = torch.arange(n_paths, device=device).expand(len(out), -1)
    last, active = torch.full_like(paths, -1), torch.ones_like(paths, dtype=torch.bool)
    model.train(False)
    try:
        state = model.begin(scenes, n_paths, max_steps)
        for step in range(max_steps):
            scores = model.step(state, last)
            if step == 0:
                scores[..., n] = -torch.inf
            choice = pick(scores, paths)
            active = active & (choice != n)
            out[torch.arange(len(out), device=device)[:, None], paths, step] = torch.where(active, choice, -1)
            last = torch.where(active, choice, 0)
            most = int(active.sum(1).max())
            if most == 0:
                break
            if most <= paths.shape[1] // 2:
                order = (~active).int().argsort(dim=1, stable=True)[:, :most]
                paths, last, active = (x.gather(1, order) for x in (paths, last, active))
                state.keep(order)
    finally:
        model.train(mode)
    return out
