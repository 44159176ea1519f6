"""How the model is trained: the loss over iterations, and the optimiser and schedule of the authors."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..._check import check, integer, positive
from ...recording.identity import digest
from ...training import TrainingResult, fit
from .clips import FlowClips
from .model import MotionStages, TwoStageMotion


def flow_loss(stages: MotionStages, velocity_px: Tensor, *, decay: float = 0.85, max_speed_px: float = 400.0) -> Tensor:
    """Mean absolute error of velocity, over iterations: later ones count for more.

    For predictions i = 0, ..., n - 1 it is the mean of decay^(n - 1 - i) times the absolute error, averaged over places
    with a truth and both components. Half of it is that of the trained upsampling, half that of the bilinear one with
    Stage I among its predictions; with the higher-order path, the first-order path alone is added with half the weight.

    Parameters
    ----------
    stages
        What `TwoStageMotion.stages` returned.
    velocity_px
        True (b, 2, h, w), y up, pixels per frame; NaN where there is none.
    decay
        Weight of a prediction, in shares of the next one.
    max_speed_px
        Faster truth is left out.

    Returns
    -------
    Tensor
        A number.

    Raises
    ------
    ValueError
        For another shape of the truth, or none that is finite.

    References
    ----------
    The authors' training code (repository anoymized/multi-order-motion-model); sequence weights after Teed & Deng 2020
    (RAFT), equation 7.

    Examples
    --------
    >>> import torch
    >>> still = torch.zeros(1, 2, 4, 4)
    >>> flow_loss(MotionStages((), (still, still), (still, still), None), torch.ones(1, 2, 4, 4))
    tensor(0.9625)
    """
    first = stages.velocity_px[0]
    check(velocity_px.shape == first.shape, "velocity_px", f"of shape {tuple(first.shape)}", tuple(velocity_px.shape))
    positive("decay", decay)
    known = velocity_px.isfinite().all(1, keepdim=True)
    truth = velocity_px.nan_to_num()
    known = known & (truth.norm(dim=1, keepdim=True) < positive("max_speed_px", max_speed_px))
    check(known.any(), "velocity_px", "finite and slower than max_speed_px somewhere", "no such place")

    def sequence(predictions: tuple[Tensor, ...]) -> Tensor:
        errors = torch.stack([((p - truth).abs() * known).sum() for p in predictions]) / (2 * known.sum())
        power = torch.arange(len(predictions) - 1, -1, -1, device=errors.device)
        return (errors * decay**power).mean()

    def path(one: MotionStages) -> Tensor:
        fine = one.velocity_px[1:] or one.velocity_px
        return (sequence(fine) + sequence(one.bilinear_px)) / 2

    total = path(stages)
    return total if stages.first_order is None else total + path(stages.first_order) / 2


class _Staged(nn.Module):
    """Calls `stages` when it is called: what fit wraps for several processes is only ever called."""

    def __init__(self, model: TwoStageMotion) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> MotionStages:
        return self.model.stages(codes, encoding="srgb")


def train_flow(
    model: TwoStageMotion,
    clips: FlowClips,
    *,
    steps: int = 100_000,
    batch_size: int = 2,
    learning_rate: float = 8e-5,
    weight_decay: float = 1e-6,
    warmup: float = 0.05,
    clip_norm: float = 1.0,
    decay: float = 0.85,
    mixed_precision: str | None = None,
    validate: Callable[[TwoStageMotion], float] | None = None,
    validate_every: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool = False,
    random_state: int = 0,
) -> TrainingResult:
    """Train a model in place by the recipe of the authors: AdamW, one linear cycle of the rate, clipped gradients.

    Parameters
    ----------
    model
        What is trained.
    clips
        What it sees.
    steps, batch_size, learning_rate, weight_decay, clip_norm
        Defaults are the authors'.
    warmup
        The rate rises linearly over this share of the steps and falls linearly to 0 over the rest.
    decay
        As of `flow_loss`.
    validate
        ``validate(model)`` returns a number, lower is better.
    mixed_precision, validate_every, checkpoint, checkpoint_every, progress, random_state
        As of `neuroperc.training.fit`.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        As `fit`, or for a share outside [0, 1).

    References
    ----------
    The authors' training script (repository anoymized/multi-order-motion-model).

    Examples
    --------
    >>> import neuroperc as npc
    >>> model = npc.motion.TwoStageMotion(n_scales=1, n_units=4, n_iterations=1)
    >>> clips = npc.motion.flow_training_clips(2, size_px=16, rng=0)
    >>> npc.motion.train_flow(model, clips, steps=2).steps
    2
    """
    check(isinstance(clips, FlowClips), "clips", "FlowClips", type(clips).__name__, error=TypeError)
    check(0 <= warmup < 1, "warmup", "from 0 up to below 1", warmup)
    n_steps = integer("steps", steps)
    peak = warmup * n_steps

    def cycle(step: int) -> float:
        return min((step + 1) / peak if peak else 1.0, (n_steps - step) / (n_steps - peak))

    def loss(trained: nn.Module, batch: Any) -> Tensor:
        movie, velocity = batch
        return flow_loss(trained(movie), velocity, decay=decay)

    def judge(trained: nn.Module) -> float:
        return validate(model) if validate is not None else 0.0

    return fit(
        _Staged(model), clips, loss=loss, steps=n_steps, batch_size=batch_size, schedule=cycle, clip_norm=clip_norm,
        optimizer=partial(torch.optim.AdamW, lr=learning_rate, weight_decay=weight_decay),
        validate=None if validate is None else judge, validate_every=validate_every, checkpoint=checkpoint,
        checkpoint_every=checkpoint_every, mixed_precision=mixed_precision, progress=progress,
        random_state=random_state, data_key=None if checkpoint is None else digest(
            vars(clips), *map(float, (learning_rate, weight_decay, warmup, decay))
        ),
    )  # fmt: skip
