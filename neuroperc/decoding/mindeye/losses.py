"""The two contrastive losses, their schedules, and the mixing of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..._check import as_rng, check, positive

MIXCO_TEMPERATURE = 0.006
SOFT_TEMPERATURES = (0.004, 0.0075)


def mix_voxels(
    voxels: Tensor, *, rng: int | np.random.Generator, concentration: float = 0.15, probability: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix each trial of a batch with another one, by shares drawn from a Beta distribution.

    Parameters
    ----------
    voxels
        (trial, voxel).
    rng
        Seed or generator.
    concentration
        Both parameters of the Beta distribution: 0.15 gives mostly shares near 0 and 1.
    probability
        That a trial is mixed at all.

    Returns
    -------
    mixed : torch.Tensor
        (trial, voxel): ``share * voxels + (1 - share) * voxels[partner]``.
    partner : torch.Tensor
        (trial,) whose pattern was mixed in; a trial can be its own partner.
    share : torch.Tensor
        (trial,) of the trial itself; 1 where nothing was mixed in.

    Raises
    ------
    ValueError
        For a probability outside [0, 1] or a concentration that is not above 0.

    References
    ----------
    .. [1] P S Scotti et al. (2023). Reconstructing the Mind's Eye. arXiv:2305.18274, section 3.1.

    Examples
    --------
    >>> import torch
    >>> mixed, partner, share = mix_voxels(torch.eye(4), rng=0)
    >>> torch.allclose(mixed, share[:, None] * torch.eye(4) + (1 - share[:, None]) * torch.eye(4)[partner])
    True
    """
    positive("concentration", concentration)
    check(0 <= probability <= 1, "probability", "from 0 to 1", probability)
    generator, n = as_rng(rng), len(voxels)
    drawn = generator.beta(concentration, concentration, n)
    drawn[generator.random(n) >= probability] = 1
    share = torch.as_tensor(drawn, dtype=voxels.dtype, device=voxels.device)
    partner = torch.as_tensor(generator.permutation(n), device=voxels.device)
    return share[:, None] * voxels + (1 - share[:, None]) * voxels[partner], partner, share


def mix_subjects(
    voxels: Sequence[Tensor], *, rng: int | np.random.Generator, concentration: float = 0.15, probability: float = 0.5
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Mix trials within each subject; partners are counted through the whole batch, one subject after the other.

    Parameters
    ----------
    voxels
        (trial, voxel) of each subject; subjects differ in voxels and may differ in trials.
    rng, concentration, probability
        As in `mix_voxels`.

    Returns
    -------
    mixed : list of torch.Tensor
        As `voxels`.
    partner, share : torch.Tensor
        (all trials,). A partner's number is its place in the joined batch, so that it never points at another subject.

    Raises
    ------
    ValueError
        As `mix_voxels`.

    Examples
    --------
    >>> import torch
    >>> mixed, partner, share = mix_subjects([torch.ones(2, 5), torch.ones(3, 7)], rng=0)
    >>> bool((partner[:2] < 2).all() and (partner[2:] >= 2).all())
    True
    """
    generator, first = as_rng(rng), 0
    mixed, partners, shares = [], [], []
    for part in voxels:
        found, partner, share = mix_voxels(part, rng=generator, concentration=concentration, probability=probability)
        mixed.append(found)
        partners.append(partner + first)
        shares.append(share)
        first += len(part)
    return mixed, torch.cat(partners), torch.cat(shares)


def bimixco_loss(
    brain: Tensor, target: Tensor, partner: Tensor, share: Tensor, *, temperature: float = MIXCO_TEMPERATURE
) -> Tensor:
    """Contrastive loss of mixed trials in both directions: a mixed pattern belongs to both of its pictures.

    Parameters
    ----------
    brain
        (trial, ...) embeddings of the mixed patterns; what follows is flattened and taken to length 1.
    target
        (trial, ...) embeddings of the pictures.
    partner, share
        Of `mix_voxels`.
    temperature
        Divides the cosines.

    Returns
    -------
    torch.Tensor
        The mean over the batch and both directions, float32 or wider.

    Raises
    ------
    ValueError
        For shapes that differ or a temperature that is not above 0.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, equation 1.

    Examples
    --------
    >>> import torch
    >>> mixed = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    >>> loss = bimixco_loss(mixed, torch.eye(2), torch.tensor([1, 0]), torch.tensor([0.5, 1.0]), temperature=1.0)
    >>> round(loss.item(), 4)
    0.5473
    """
    logits, _ = _similarities(brain, target, temperature)
    n = len(logits)
    check(partner.shape == (n,) and share.shape == (n,), "partner and share", f"one for each of the {n} trials",
          (tuple(partner.shape), tuple(share.shape)))  # fmt: skip
    rows, own = torch.arange(n, device=logits.device), share.to(logits)
    # Added, not written: a trial that is its own partner keeps a whole share of 1.
    wanted = torch.diag(own).index_put((rows, partner), 1 - own, accumulate=True)
    return _both_directions(logits, wanted, wanted.T)


def soft_clip_loss(brain: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Contrastive loss whose targets are soft: how similar the pictures of the batch are among themselves.

    Parameters
    ----------
    brain, target
        (trial, ...) embeddings; what follows is flattened and taken to length 1.
    temperature
        Divides the cosines, of brain and pictures and of pictures among themselves.

    Returns
    -------
    torch.Tensor
        The mean over the batch and both directions, float32 or wider. It is never below the teacher's entropy, and
        reaches it where `brain` equals `target`.

    Raises
    ------
    ValueError
        For shapes that differ or a temperature that is not above 0.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, equation 2.

    Examples
    --------
    >>> import torch
    >>> pictures = torch.eye(3)
    >>> right, wrong = (soft_clip_loss(b, pictures, temperature=0.1) for b in (pictures, pictures.flip(0)))
    >>> bool(right < wrong)
    True
    """
    logits, pictures = _similarities(brain, target, temperature)
    with torch.autocast(logits.device.type, enabled=False):
        teacher = (pictures @ pictures.T / temperature).softmax(dim=-1)
    return _both_directions(logits, teacher, teacher)


def soft_clip_temperature(progress: float, *, limits: tuple[float, float] = SOFT_TEMPERATURES) -> float:
    """Half a cosine from the first to the second limit as `progress` goes from 0 to 1.

    Raises
    ------
    ValueError
        For a progress outside [0, 1].

    Examples
    --------
    >>> [round(soft_clip_temperature(p), 5) for p in (0, 0.5, 1)]
    [0.004, 0.00575, 0.0075]
    """
    check(0 <= progress <= 1, "progress", "from 0 to 1", progress)
    start, end = limits
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle_factor(
    step: int, *, n_steps: int, warmup: float = 2 / 240, first_factor: float = 1 / 25, final_factor: float = 1 / 25000
) -> float:
    """Return what the highest learning rate is multiplied by: half a cosine up, half a cosine down.

    Parameters
    ----------
    step
        From 0 to n_steps - 1.
    n_steps
        Length of the training.
    warmup
        Share of the steps before the peak.
    first_factor, final_factor
        At the first and at the last step.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For a warm-up share outside (0, 1).

    References
    ----------
    .. [1] L N Smith, N Topin (2017). Super-convergence. arXiv:1708.07120.

    Examples
    --------
    >>> [round(one_cycle_factor(k, n_steps=5, warmup=0.4), 5) for k in range(5)]
    [0.04, 1.0, 0.75001, 0.25003, 4e-05]
    """
    check(0 < warmup < 1, "warmup", "a share of the steps between 0 and 1", warmup)
    peak = warmup * n_steps - 1
    if step < peak:
        start, end, done = first_factor, 1.0, step / peak
    else:
        start, end, done = 1.0, final_factor, min((step - peak) / max(n_steps - 1 - peak, 1e-9), 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def _similarities(brain: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return cosines over temperature (brain, picture) and the unit pictures, in float32 or wider.

    Half precision overflows in the squared length of 257 x 768 numbers and cannot tell cosines apart at temperature
    0.004, so autocast stops here.
    """
    positive("temperature", temperature)
    check(brain.shape == target.shape and brain.ndim >= 2, "brain and target", "of one shape (trial, ...)",
          (tuple(brain.shape), tuple(target.shape)))  # fmt: skip
    wide = torch.promote_types(torch.promote_types(brain.dtype, target.dtype), torch.float32)
    with torch.autocast(brain.device.type, enabled=False):
        p, t = (normalize(v.flatten(1).to(wide), dim=-1) for v in (brain, target))
        return p @ t.T / temperature, t


def _both_directions(logits: Tensor, of_rows: Tensor, of_columns: Tensor) -> Tensor:
    """Average the cross entropies of brain to pictures and of pictures to brains."""
    rows = -(of_rows * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
    columns = -(of_columns * logits.T.log_softmax(dim=-1)).sum(dim=-1).mean()
    return (rows + columns) / 2
