"""Perturbations of a picture's codes, inside a bound, that make a network err."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._check import as_rng, check, integer, non_negative, one_of
from .codes import check_codes, check_labels, on_codes

Norm = Literal["linf", "l2"]
NORMS: tuple[Norm, ...] = ("linf", "l2")


def fgsm(
    model: Callable[[Tensor], Any],
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    rng: int | np.random.Generator,
    step: float | None = None,
    random_start: bool = True,
) -> Tensor:
    """One step along the sign of the gradient, within ±eps of every code.

    Parameters
    ----------
    model
        Takes sRGB codes (b, c, h, w) in [0, 1], normalises inside and returns a score a class; or a `nets.Net`, whose
        own preprocessing is then applied to the codes. It stays in the mode it is in.
    images
        (b, c, h, w) sRGB codes in [0, 1].
    labels
        (b,) true classes.
    eps
        Largest change of a code, as a share of the full range (2/255, say).
    rng
        Seed or generator of the start.
    step
        Length of the step; default 1.25 eps with a random start, as in fast adversarial training, else eps.
    random_start
        Start from codes changed uniformly within ±eps.

    Returns
    -------
    Tensor
        (b, c, h, w) codes within eps of `images` and within [0, 1]; without gradient.

    Raises
    ------
    ValueError, TypeError
        For codes outside [0, 1] (a normalised tensor, say), labels that do not fit, or a negative eps.

    References
    ----------
    .. [1] I J Goodfellow, J Shlens, C Szegedy (2015). Explaining and harnessing adversarial examples. arXiv:1412.6572.
    .. [2] E Wong, L Rice, J Z Kolter (2020). Fast is better than free: revisiting adversarial training.
       arXiv:2001.03994, algorithm 3.

    Examples
    --------
    >>> import torch
    >>> line = lambda x: torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], 1)
    >>> grey = torch.full((1, 1, 2, 2), 0.5)
    >>> found = fgsm(line, grey, torch.tensor([0]), eps=0.1, random_start=False, rng=0)
    >>> [round(v, 6) for v in found.flatten().tolist()]
    [0.4, 0.4, 0.4, 0.4]
    """
    length = (1.25 * eps if random_start else eps) if step is None else step
    return pgd(model, images, labels, eps=eps, step=length, iters=1, random_start=random_start, rng=rng)


def pgd(
    model: Callable[[Tensor], Any],
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    rng: int | np.random.Generator,
    step: float | None = None,
    iters: int = 10,
    restarts: int = 1,
    norm: Norm = "linf",
    targeted: bool = False,
    random_start: bool = True,
) -> Tensor:
    """Projected gradient descent: many small steps, each put back inside the bound and inside [0, 1].

    Parameters
    ----------
    model, images, rng, random_start
        As in `fgsm`.
    labels
        (b,) true classes; the wanted ones when `targeted`.
    eps
        Bound of the change: of each code for ``"linf"``, of the Euclidean length over a picture's codes for ``"l2"``.
    step
        Length of a step in the same norm; default 2.5 eps / iters.
    iters
        Steps.
    restarts
        Random starts; of each picture the result with the largest margin for a wrong class is kept.
    norm
        ``"linf"`` or ``"l2"``.
    targeted
        Go towards `labels` instead of away from them.

    Returns
    -------
    Tensor
        (b, c, h, w) codes inside the bound and inside [0, 1]; without gradient. Gradients of the model's parameters
        are not touched.

    Raises
    ------
    ValueError, TypeError
        As `fgsm`.

    References
    ----------
    .. [1] A Madry, A Makelov, L Schmidt, D Tsipras, A Vladu (2018). Towards deep learning models resistant to
       adversarial attacks. arXiv:1706.06083.

    Examples
    --------
    >>> import torch
    >>> line = lambda x: torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], 1)
    >>> grey = torch.full((1, 1, 2, 2), 0.5)
    >>> found = pgd(line, grey, torch.tensor([0]), eps=0.2, norm="l2", random_start=False, rng=0)
    >>> [round(v, 3) for v in found.flatten().tolist()]
    [0.4, 0.4, 0.4, 0.4]
    """
    check_codes(images)
    labels = check_labels(labels, len(images))
    non_negative("eps", eps)
    integer("iters", iters)
    integer("restarts", restarts)
    one_of("norm", norm, NORMS)
    length = non_negative("step", 2.5 * eps / iters if step is None else step)
    generator, shown = as_rng(rng), on_codes(model)
    clean = images.detach()
    best, best_margin = clean, torch.full((len(clean),), -math.inf, device=clean.device)
    for _ in range(restarts):
        x = _start(clean, eps, norm, generator) if random_start else clean
        for _ in range(iters):
            gradient = _gradient(shown, x, labels)
            ahead = x + length * _direction(-gradient if targeted else gradient, norm)
            x = _inside(ahead, clean, eps, norm)
        if restarts == 1:
            return x
        margin = _margin(shown, x, labels, targeted)
        better = margin > best_margin
        best, best_margin = torch.where(better[:, None, None, None], x, best), torch.maximum(margin, best_margin)
    return best


def _start(clean: Tensor, eps: float, norm: Norm, rng: np.random.Generator) -> Tensor:
    shape = tuple(clean.shape)
    if norm == "linf":
        noise = rng.uniform(-eps, eps, shape)
    else:  # uniform in the ball: direction of a Gaussian, length by the d-th root
        noise = rng.standard_normal(shape)
        radius = eps * rng.uniform(size=(len(clean), 1, 1, 1)) ** (1 / np.prod(shape[1:]))
        noise *= radius / np.sqrt((noise**2).sum((1, 2, 3), keepdims=True))
    return _inside(clean + torch.from_numpy(noise).to(clean), clean, eps, norm)


def _gradient(model: Callable[[Tensor], Any], x: Tensor, labels: Tensor) -> Tensor:
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        scores = model(x)
        right = isinstance(scores, Tensor) and scores.ndim == 2 and scores.shape[1] > 1
        check(right, "model's answer", "scores of shape (batch, classes)",
              getattr(scores, "shape", type(scores).__name__))  # fmt: skip
        check(int(labels.max()) < scores.shape[1], "labels", f"below the {scores.shape[1]} classes of the model",
              int(labels.max()))  # fmt: skip
        # Summed, not averaged: only its direction counts, and half precision does not lose a small one. Cross-entropy
        # is log(1 + exp(m)) of this margin m, so m itself has the same direction, and one where a network is sure.
        own = scores.gather(1, labels[:, None])[:, 0]
        margin = scores.scatter(1, labels[:, None], -math.inf).logsumexp(1) - own
        sure = margin < math.log(torch.finfo(scores.dtype).tiny) / 2
        loss = torch.where(sure, margin, functional.cross_entropy(scores, labels, reduction="none")).sum()
        (gradient,) = torch.autograd.grad(loss, x)
    return gradient


def _direction(gradient: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    length = gradient.flatten(1).norm(dim=1)[:, None, None, None]
    return torch.where(length > 0, gradient / length.clamp_min(torch.finfo(gradient.dtype).tiny), 0.0)


def _inside(x: Tensor, clean: Tensor, eps: float, norm: Norm) -> Tensor:
    """Project to the bound, then to [0, 1]; the second never leaves the first, because `clean` lies in both."""
    if norm == "linf":
        return torch.minimum(torch.maximum(x, (clean - eps).clamp(0, 1)), (clean + eps).clamp(0, 1))
    change = x - clean
    length = change.flatten(1).norm(dim=1)[:, None, None, None]
    change = torch.where(length > eps, change * (eps / length.clamp_min(torch.finfo(x.dtype).tiny)), change)
    return (clean + change).clamp(0, 1)


@torch.no_grad()
def _margin(model: Callable[[Tensor], Any], x: Tensor, labels: Tensor, targeted: bool) -> Tensor:
    """How far the best wrong class is above the true one (the wanted one above the rest): above 0 is success."""
    scores = model(x).float()
    own = scores.gather(1, labels[:, None])[:, 0]
    rest = scores.scatter(1, labels[:, None], -math.inf).amax(1)
    return own - rest if targeted else rest - own
