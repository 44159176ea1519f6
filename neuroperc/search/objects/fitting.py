"""Training on paths: teacher forcing, and the behavioural distance that picks the best epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import check, integer, positive
from ...metrics import behavioral_delta, object_statistics
from ...recording.identity import digest
from ...training import TrainingResult, fit
from .drawing import sample_paths
from .scenes import ObjectScenes, ObjectTrials


def path_statistics(paths: Tensor, target: Tensor) -> np.ndarray:
    """Return `metrics.object_statistics` of every path of every scene.

    Parameters
    ----------
    paths
        (scene, path, step) objects, -1 after a path's end.
    target
        (scene,) index of the target.

    Returns
    -------
    ndarray
        (scene * path, 5), the paths of a scene side by side; NaN for an empty path.

    Examples
    --------
    >>> path_statistics(torch.tensor([[[0, 0, 1, 0, 2]]]), torch.tensor([2])).tolist()
    [[1.0, 5.0, 0.6, 0.2, 0.2]]
    """
    return object_statistics(paths.flatten(0, 1).cpu().numpy(), target.repeat_interleave(paths.shape[1]).cpu().numpy())


def path_targets(paths: Tensor, n_objects: int) -> Tensor:
    """Return the class of each next step, (scene, path, step + 1): objects, then stop (`n_objects`), -1 for nothing.

    Examples
    --------
    >>> path_targets(torch.tensor([[[2, 0, -1]]]), 4).tolist()
    [[[2, 0, 4, -1]]]
    """
    longer = functional.pad(paths, (0, 1), value=-1)
    length = (paths >= 0).sum(-1, keepdim=True)
    return longer.scatter(-1, length, torch.where(length > 0, n_objects, -1))


def path_loss(model: nn.Module, scenes: ObjectScenes, paths: Tensor) -> Tensor:
    """Return the mean cross-entropy of each next object and of the stop, under teacher forcing.

    Parameters
    ----------
    model
        `OAT` or `PointerDecoder`.
    scenes, paths
        As in `OAT.forward`.

    Returns
    -------
    Tensor
        A number, in nats a step.

    Examples
    --------
    >>> from neuroperc.search.objects import OAT, make_scenes
    >>> model = OAT(grid=(1, 3), d_model=32, n_layers=1)
    >>> path_loss(model, make_scenes([[0, 0], [0, 1], [0, 2]], [2]), torch.tensor([[[0, 2]]])).ndim
    0
    """
    wanted = path_targets(paths, scenes.n_objects)
    return functional.cross_entropy(model(scenes, paths).flatten(0, 2), wanted.flatten(), ignore_index=-1)


@torch.no_grad()
def next_object_probability(model: nn.Module, scenes: ObjectScenes, paths: Tensor) -> Tensor:
    """Return the probability of what was looked at next, averaged over the steps of each path, the stop included.

    Parameters
    ----------
    model, scenes, paths
        As in `path_loss`; the model is asked in its current mode.

    Returns
    -------
    Tensor
        (scene, path); NaN for an empty path.

    Examples
    --------
    >>> from neuroperc.search.objects import OAT, make_scenes
    >>> model = OAT(grid=(1, 3), d_model=32, n_layers=1).eval()
    >>> found = next_object_probability(model, make_scenes([[0, 0], [0, 1], [0, 2]], [2]), torch.tensor([[[0, 2]]]))
    >>> 0 < float(found) < 1
    True
    """
    n, wanted = scenes.n_objects, path_targets(paths, scenes.n_objects)
    scores = model(scenes, paths)[..., : n + 1].clone()
    scores[:, :, 0, n] = -torch.inf
    right = functional.softmax(scores, -1).gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
    known = wanted >= 0
    return (right * known).sum(-1) / known.sum(-1)


def fit_paths(
    model: nn.Module,
    train: ObjectTrials,
    *,
    validation: ObjectTrials | None = None,
    epochs: float,
    batch_size: int = 4,
    learning_rate: float = 1e-4,
    clip_norm: float = 1.0,
    patience: int | None = None,
    n_samples: int = 20,
    mixed_precision: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    progress: bool = False,
    random_state: int = 0,
) -> TrainingResult:
    """Train on people's paths with Adam; keep the epoch whose sampled paths behave most like people's.

    Parameters
    ----------
    model
        `OAT` or `PointerDecoder`, trained in place.
    train
        Scenes and paths.
    validation
        Its behavioural distance, after each epoch, picks the weights; without it the last ones stay.
    epochs
        At most.
    batch_size
        Scenes a step, with all their paths.
    learning_rate, clip_norm
        Of Adam, and the largest norm of the gradient.
    patience
        Epochs without a new best one before training stops.
    n_samples
        Paths a scene drawn for the validation.
    checkpoint_every
        Epochs between two states written to `checkpoint`.
    mixed_precision, checkpoint, progress, random_state
        As in `neuroperc.training.fit`.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError, RuntimeError, OSError
        As `neuroperc.training.fit`.

    References
    ----------
    Y Fang and others (2024). OAT, ECCV, released code: Adam 1e-4, clipping at 1, batches of 20 paths, early stopping
    on the behavioural distance. Here a batch is whole scenes, so that people share its encoding.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.search.objects import OAT, make_scenes
    >>> trials = ObjectTrials(make_scenes([[0, 0], [0, 1], [0, 2]], [2]), torch.tensor([[[0, 2]]]), np.array(["a"]))
    >>> fit_paths(OAT(grid=(1, 3), d_model=32, n_layers=1), trials, epochs=2).steps
    2
    """
    longest = train.paths.shape[-1]
    integer("n_samples", n_samples)

    def collate(items: Sequence[int]) -> tuple[ObjectScenes, Tensor]:
        part = train.take(list(items))
        return part.scenes, part.paths

    def validate(trained: nn.Module) -> float:
        if validation is None:
            return 0.0
        scenes = validation.scenes.to(next(trained.parameters()).device)
        drawn = sample_paths(trained, scenes, n_samples=n_samples, max_steps=longest, rng=random_state)  # type: ignore[arg-type]
        found = behavioral_delta(*(path_statistics(p, validation.scenes.target) for p in (drawn, validation.paths)))
        rule = "a recording in which people refixate and revisit"
        check(math.isfinite(found), "validation", rule, f"a distance of {found}", "Use other scenes, or none.")
        return found

    n_steps = math.ceil(len(train.paths) / integer("batch_size", batch_size))
    rate = positive("learning_rate", learning_rate)
    return fit(
        model, list(range(len(train.paths))), loss=lambda m, batch: path_loss(m, *batch), collate=collate,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=rate, fused=True), epochs=epochs,
        batch_size=batch_size, clip_norm=clip_norm,
        validate=None if validation is None else validate, patience=patience,
        mixed_precision=mixed_precision, checkpoint=checkpoint,
        checkpoint_every=integer("checkpoint_every", checkpoint_every) * n_steps, progress=progress,
        random_state=random_state, data_key=None if checkpoint is None else digest(rate, train),
    )  # fmt: skip
