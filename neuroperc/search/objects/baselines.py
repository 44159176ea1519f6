"""Searchers that need no training: by a fixed priority of objects, and always to the nearest new one."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._check import as_rng, check, fail, integer, one_of, positive
from .scenes import ObjectScenes

Priority = Literal["random", "center", "color", "saliency"]


def object_priority(scenes: ObjectScenes, *, kind: Priority, sigma: float = 2.0, sharpness: float = 5.0) -> Tensor:
    """Return how likely a searcher without memory would look at each object.

    Parameters
    ----------
    scenes
        The scenes; with patches for "color" and "saliency".
    kind
        "random": all alike. "center": a Gaussian of the distance from the grid's centre. "color": similarity of the
        mean RGB to the target's. "saliency": how far mean colour and contrast of an object stand out of its scene.
    sigma
        Of "center", in grid steps.
    sharpness
        Of "color" and "saliency": log priority changes by this over the scene's range.

    Returns
    -------
    Tensor
        (scene, object), each row adding up to 1, float64.

    Raises
    ------
    ValueError
        When pictures are needed and missing.

    Examples
    --------
    >>> from neuroperc.search.objects import make_scenes
    >>> object_priority(make_scenes([[0, 0], [0, 1], [0, 2]], [0]), kind="center", sigma=1).argmax().item()
    1
    """
    one_of("kind", kind, ("random", "center", "color", "saliency"))
    cells = scenes.cells.double()
    if kind == "random":
        log = cells.new_zeros(cells.shape[:2])
    elif kind == "center":
        middle = (cells.amin(1, keepdim=True) + cells.amax(1, keepdim=True)) / 2
        log = -(cells - middle).square().sum(-1) / (2 * positive("sigma", sigma) ** 2)
    else:
        value = _color_likeness(scenes) if kind == "color" else _saliency(scenes)
        low, high = value.amin(1, keepdim=True), value.amax(1, keepdim=True)
        log = positive("sharpness", sharpness) * (value - low) / (high - low).clamp(min=1e-9)
    return functional.softmax(log, -1)


def _patches(scenes: ObjectScenes) -> Tensor:
    if scenes.patches is None:
        fail("patches", "given for this priority", None, "Use 'random' or 'center' where there are no pictures.")
    return scenes.patches.double()


def _color_likeness(scenes: ObjectScenes) -> Tensor:
    color = _patches(scenes).mean((-2, -1))
    target = color[torch.arange(len(color), device=color.device), scenes.target]
    return -(color - target[:, None]).norm(dim=-1)


def _saliency(scenes: ObjectScenes) -> Tensor:
    patches = _patches(scenes)
    color, contrast = patches.mean((-2, -1)), patches.std((-2, -1), unbiased=False).mean(-1)
    apart = [(v - v.mean(1, keepdim=True)).norm(dim=-1) for v in (color, contrast[..., None])]
    return sum((v / v.amax(1, keepdim=True).clamp(min=1e-9) for v in apart), torch.zeros_like(contrast))


def priority_paths(
    scenes: ObjectScenes,
    priority: Tensor,
    *,
    n_samples: int = 100,
    lengths: Any | None = None,
    rng: int | np.random.Generator,
) -> Tensor:
    """Draw paths that visit objects by priority, none twice.

    Parameters
    ----------
    scenes
        The scenes.
    priority
        (scene, object), as `object_priority` returns.
    n_samples
        Paths a scene.
    lengths
        Path lengths to draw from, such as those of the training set. None: a path ends on the target.
    rng
        Seed or generator.

    Returns
    -------
    Tensor
        (scene, sample, step) object indices, -1 after a path's end.

    Raises
    ------
    ValueError
        When priorities are negative or do not fit the scenes.

    Examples
    --------
    >>> from neuroperc.search.objects import make_scenes
    >>> scenes = make_scenes([[0, 0], [0, 1], [0, 2]], [2])
    >>> priority_paths(scenes, object_priority(scenes, kind="random"), n_samples=2, lengths=[2], rng=0).shape
    torch.Size([1, 2, 2])
    """
    generator, weights = as_rng(rng), torch.as_tensor(priority).double()
    fits = weights.shape == scenes.cells.shape[:2]
    check(fits, "priority", f"of shape {tuple(scenes.cells.shape[:2])}", f"shape {tuple(weights.shape)}")
    check(bool((weights >= 0).all()), "priority", "0 or more", float(weights.min()))
    shape = (len(weights), integer("n_samples", n_samples), scenes.n_objects)
    noise = torch.as_tensor(generator.gumbel(size=shape), device=weights.device)
    order = (weights.log()[:, None] + noise).argsort(-1, descending=True)  # Gumbel: draws without replacement
    if lengths is None:
        return _until_target(order, scenes.target)
    last = torch.as_tensor(generator.choice(np.asarray(lengths, dtype=np.int64), size=shape[:2])).to(order.device)
    return _cut(order, last.clamp(1, scenes.n_objects))


def nearest_paths(
    scenes: ObjectScenes, *, n_samples: int = 100, lengths: Any | None = None, rng: int | np.random.Generator
) -> Tensor:
    """Walk to the nearest object not yet visited, from a random start; ties are broken at random.

    Parameters
    ----------
    scenes, n_samples, lengths, rng
        As in `priority_paths`.

    Returns
    -------
    Tensor
        (scene, sample, step) object indices, -1 after a path's end.

    Raises
    ------
    ValueError
        As `priority_paths`.

    Examples
    --------
    >>> from neuroperc.search.objects import make_scenes
    >>> path = nearest_paths(make_scenes([[0, 0], [0, 1], [0, 2]], [2]), n_samples=1, lengths=[3], rng=0)[0, 0]
    >>> sorted(path.tolist())
    [0, 1, 2]
    """
    generator, cells = as_rng(rng), scenes.cells.double()
    b, n = cells.shape[:2]
    integer("n_samples", n_samples)
    far = torch.cdist(cells, cells)[:, None].expand(b, n_samples, n, n)
    now = torch.as_tensor(generator.integers(n, size=(b, n_samples)), device=cells.device)
    seen = torch.zeros(b, n_samples, n, dtype=torch.bool, device=cells.device).scatter(2, now[..., None], True)
    order = [now]
    for _ in range(n - 1):
        away = far.gather(2, now[..., None, None].expand(-1, -1, 1, n))[:, :, 0]
        jitter = torch.as_tensor(generator.random(size=(b, n_samples, n)), device=cells.device)
        now = (away + 1e-6 * jitter).masked_fill(seen, torch.inf).argmin(-1)
        seen = seen.scatter(2, now[..., None], True)
        order.append(now)
    visits = torch.stack(order, -1)
    if lengths is None:
        return _until_target(visits, scenes.target)
    last = torch.as_tensor(generator.choice(np.asarray(lengths, dtype=np.int64), size=(b, n_samples)))
    return _cut(visits, last.to(visits.device).clamp(1, n))


def _until_target(order: Tensor, target: Tensor) -> Tensor:
    return _cut(order, (order == target[:, None, None]).int().argmax(-1) + 1)


def _cut(order: Tensor, length: Tensor) -> Tensor:
    step = torch.arange(order.shape[-1], device=order.device)
    return torch.where(step < length[..., None], order, -1)[..., : int(length.max())]
