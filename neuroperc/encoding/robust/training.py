"""Joint rotation-invariant and adversarial training, on the package's one loop."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import as_rng, check, integer, non_negative, positive
from ...nets import Net
from ...recording.identity import digest
from ...training import TrainingResult, fit
from .attacks import fgsm
from .codes import CodesNet, check_codes

#: Learning rates at the ends of the six epochs of the published recipe; linear in between.
RECIPE_RATES = (8e-5, 2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6)
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma, on codes


def rotate_quarter(images: Tensor, rng: int | np.random.Generator) -> Tensor:
    """Turn every picture of a batch by 0, 90, 180 or 270 degrees, each as likely.

    Exact: codes move, none is interpolated, and no border appears, because pictures must be square.

    Parameters
    ----------
    images
        (b, c, n, n). Crop to a square first.
    rng
        Seed or generator.

    Returns
    -------
    Tensor
        (b, c, n, n).

    Raises
    ------
    ValueError
        For pictures that are not square.

    References
    ----------
    .. [1] W Berrios, A Deza (2022). Joint rotational invariance and adversarial training of a dual-stream Transformer
       yields state of the art Brain-Score for Area V4. arXiv:2203.06649.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> rotate_quarter(x, 1).flatten().tolist() == torch.rot90(x, 1, (2, 3)).flatten().tolist()
    True
    """
    check(isinstance(images, Tensor) and images.ndim == 4, "images", "a tensor (batch, channel, height, width)",
          tuple(getattr(images, "shape", ())), "Add the batch axis with x[None].")  # fmt: skip
    check(images.shape[2] == images.shape[3], "images", "square", tuple(images.shape),
          "Crop them first: a quarter turn of another shape would leave borders.")  # fmt: skip
    turns = torch.from_numpy(as_rng(rng).integers(4, size=len(images))).to(images.device)
    turned = torch.stack([torch.rot90(images, k, (2, 3)) for k in range(4)])
    return turned[turns, torch.arange(len(images), device=images.device)]


def fit_robust(
    model: nn.Module,
    data: Any,
    *,
    rotate: bool = True,
    eps: float = 2 / 255,
    step: float | None = None,
    flip: bool = True,
    grayscale_share: float = 0.0,
    learning_rates: Sequence[float] = RECIPE_RATES,
    batch_size: int = 64,
    weight_decay: float = 1e-4,
    mixed_precision: str | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    n_workers: int = 0,
    progress: bool = False,
    random_state: int = 0,
) -> TrainingResult:
    """Train with random quarter turns and one-step adversarial pictures; the defaults are the published recipe.

    Each batch is turned, mirrored, attacked by `fgsm` from a random start, and the weights follow the loss on the
    attacked pictures (fast adversarial training). Adam; cross-entropy; one epoch for each piece of the learning rate.
    Order and random numbers follow from `random_state` and the step, so that a killed run goes on with the same bits.

    Parameters
    ----------
    model
        Takes sRGB codes and normalises inside, or a `nets.Net` (trained in place).
    data
        (images, labels): (n, c, h, h) sRGB codes and (n,) classes; or a dataset of such pairs, as `PictureFolder`.
    rotate
        Turn pictures by 0, 90, 180 or 270 degrees. They must be square.
    eps
        Bound of the attack on each code; 0 trains without attack.
    step
        Step of the attack; default 1.25 eps.
    flip
        Mirror every second picture left to right.
    grayscale_share
        Share of pictures turned grey, in [0, 1].
    learning_rates
        Rates at the start, after one epoch, after two, ...; linear in between.
    batch_size, validate, checkpoint, checkpoint_every, n_workers, mixed_precision, progress, random_state
        As in `training.fit`.
    weight_decay
        Of Adam (L2 on the gradient, not decoupled).

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        As `training.fit`; for fewer than two learning rates; for pictures that are not square.

    References
    ----------
    .. [1] W Berrios, A Deza (2022), released configuration crossvit-18-dagger-408. Its quarter turns of pictures that
       are not square left black borders; here the crop comes first.
    .. [2] E Wong, L Rice, J Z Kolter (2020). arXiv:2001.03994, algorithm 3.

    Examples
    --------
    >>> import torch
    >>> torch.manual_seed(0).initial_seed()
    0
    >>> x, y = torch.rand(64, 1, 4, 4), torch.arange(64) % 2
    >>> x[y == 1] *= 0.4
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    >>> found = fit_robust(net, (x, y), learning_rates=[0.05] * 11, batch_size=32, eps=0.02)
    >>> found.steps, bool((net(x).argmax(1) == y).float().mean() > 0.9)
    (20, True)
    """
    rates = [positive("learning_rates", float(rate)) for rate in learning_rates]
    check(len(rates) > 1, "learning_rates", "two or more: at the start and after each epoch", rates)
    non_negative("eps", eps)
    non_negative("weight_decay", weight_decay)
    check(0 <= non_negative("grayscale_share", grayscale_share) <= 1, "grayscale_share", "in [0, 1]", grayscale_share)
    integer("batch_size", batch_size)
    per_epoch = _steps_per_epoch(data, batch_size)

    def factor(k: int) -> float:
        return float(np.interp(k / per_epoch, range(len(rates)), rates)) / rates[0]

    prepare = functools.partial(_prepared, rotate=rotate, flip=flip, grayscale_share=grayscale_share)

    def loss(wrapped: nn.Module, batch: Any) -> Tensor:
        # The loop seeds torch for every step and process; NumPy's noise is then the same on every device.
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        x = prepare(check_codes(batch[0]), rng)
        if eps > 0:
            inner = getattr(wrapped, "module", wrapped)  # several processes: the attack needs no reduction
            x = fgsm(inner, x, batch[1], eps=eps, step=step, rng=rng)
        return functional.cross_entropy(wrapped(x), batch[1])

    return fit(
        CodesNet(model) if isinstance(model, Net) else model, data, loss=loss,
        optimizer=lambda p: torch.optim.Adam(p, lr=rates[0], weight_decay=weight_decay),
        steps=per_epoch * (len(rates) - 1), batch_size=batch_size, schedule=factor, mixed_precision=mixed_precision,
        validate=validate, checkpoint=checkpoint, checkpoint_every=checkpoint_every, n_workers=n_workers,
        progress=progress, random_state=random_state,
        data_key=None if checkpoint is None else digest(
            per_epoch, rotate, eps, step, flip, grayscale_share, rates, float(weight_decay),
            tuple(data) if isinstance(data, tuple | list) else None,  # a folder is known by its number of pictures
        ),
    )  # fmt: skip


def _steps_per_epoch(data: Any, batch_size: int) -> int:
    """As the loop counts them: `batch_size` items a step and process."""
    n = len(data[0]) if isinstance(data, tuple | list) else len(data)
    check(n > 0, "data", "not empty", "0 items")
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    whole, rest = divmod(n, batch_size * n_processes)
    return whole + (rest >= n_processes)


def _prepared(images: Tensor, rng: np.random.Generator, *, rotate: bool, flip: bool, grayscale_share: float) -> Tensor:
    if grayscale_share > 0 and images.shape[1] == 3:
        grey = torch.einsum("bchw,c->bhw", images, images.new_tensor(_GREY))[:, None].expand_as(images).clamp(0, 1)
        images = torch.where(_drawn(rng, images, grayscale_share), grey, images)
    if flip:
        images = torch.where(_drawn(rng, images, 0.5), images.flip(3), images)
    return rotate_quarter(images, rng) if rotate else images


def _drawn(rng: np.random.Generator, images: Tensor, share: float) -> Tensor:
    chosen = torch.from_numpy(rng.uniform(size=len(images)) < share)
    return chosen.to(images.device)[:, None, None, None]
