"""Accuracy, and how it falls with the strength of an attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..._check import as_rng, check, integer, non_negative
from .attacks import Norm, pgd
from .codes import check_codes, check_labels, on_codes

INTERVAL_OF = "95 % Wilson interval over pictures"


def accuracy(model: Callable[[Tensor], Any], images: Tensor, labels: Tensor, *, batch_size: int = 256) -> float:
    """Return the share of pictures whose class has the largest score; the model runs in eval mode.

    Parameters
    ----------
    model, images, labels
        As in `fgsm`.
    batch_size
        Pictures at a time.

    Raises
    ------
    ValueError, TypeError
        As `fgsm`.

    Examples
    --------
    >>> import torch
    >>> accuracy(lambda x: x.mean((2, 3)), torch.eye(3)[:, :, None, None], torch.tensor([0, 1, 1]))
    0.6666666666666666
    """
    return float(correct(model, images, labels, batch_size).mean())


@torch.no_grad()
def correct(model: Callable[[Tensor], Any], images: Tensor, labels: Tensor, batch_size: int = 256) -> np.ndarray:
    """Return (n,) whether each picture is told right."""
    check_codes(images)
    labels = check_labels(labels, len(images))
    integer("batch_size", batch_size)
    shown = on_codes(model)
    with evaluating(shown):
        parts = zip(images.split(batch_size), labels.split(batch_size), strict=True)
        return torch.cat([_best(shown(x)) == y for x, y in parts]).cpu().numpy()


def _best(scores: Tensor) -> Tensor:
    lost = int(scores.isnan().sum())
    check(not lost, "model's answer", "free of NaN", f"{lost} NaN", "NaN is no class: look at the model.")
    return scores.argmax(1)


def attack_curve(
    model: Callable[[Tensor], Any],
    images: Tensor,
    labels: Tensor,
    *,
    eps: Sequence[float] = (0, 1 / 255, 2 / 255, 4 / 255, 8 / 255),
    rng: int | np.random.Generator,
    norm: Norm = "linf",
    step: float | None = None,
    iters: int = 10,
    restarts: int = 1,
    batch_size: int = 256,
    progress: bool = False,
) -> pd.DataFrame:
    """Accuracy against PGD of growing strength.

    What lies inside a smaller bound lies inside a larger one: a picture that was fooled once counts as fooled from
    there on, so that the curve never rises.

    Parameters
    ----------
    model, images, labels, norm, step, iters, restarts, rng
        As in `pgd`; the model runs in eval mode, and pictures and model lie on one device.
    eps
        Bounds in ascending order; 0 is the clean picture.
    batch_size
        Pictures at a time.
    progress
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        A row a bound: `eps`, `accuracy`, `low`, `high` (95 % Wilson interval over pictures, also named in
        ``attrs["interval_of"]``), `n_pictures`.

    Raises
    ------
    ValueError, TypeError
        As `pgd`, and for bounds that do not ascend.

    Examples
    --------
    >>> import torch
    >>> line = lambda x: torch.stack([x.mean((1, 2, 3)) - 0.5, 0.5 - x.mean((1, 2, 3))], 1)
    >>> x = torch.linspace(0.51, 0.6, 10)[:, None, None, None].expand(10, 1, 4, 4)
    >>> table = attack_curve(line, x, torch.zeros(10, dtype=torch.long), eps=(0, 0.055, 0.2), rng=0)
    >>> table["accuracy"].tolist()
    [1.0, 0.5, 0.0]
    """
    bounds = [non_negative("eps", float(each)) for each in eps]
    check(len(bounds) > 0 and all(np.diff(bounds) > 0), "eps", "one or more bounds in ascending order", bounds)
    generator, shown = as_rng(rng), on_codes(model)
    standing, rows = correct(shown, images, labels, batch_size), []
    with evaluating(shown):
        for bound in tqdm(bounds, desc="eps", disable=not progress):
            for part in np.array_split(np.flatnonzero(standing), -(-int(standing.sum()) // batch_size) or 1):
                if bound == 0 or len(part) == 0:
                    continue
                x, y = images[part], labels[part]
                fooling = pgd(shown, x, y, eps=bound, step=step, iters=iters, restarts=restarts, norm=norm,
                              rng=generator)  # fmt: skip
                standing[part] = correct(shown, fooling, y, batch_size)
            rows.append({"eps": bound, **share(standing)})
    table = pd.DataFrame(rows)
    table.attrs = {"interval_of": INTERVAL_OF, "norm": norm, "iters": iters, "restarts": restarts}
    return table


def share(right: np.ndarray) -> dict[str, float | int]:
    """Return the share that is true, with its 95 % Wilson interval."""
    n = len(right)
    interval = stats.binomtest(int(right.sum()), n).proportion_ci(0.95, method="wilson")
    return {"accuracy": float(right.mean()), "low": interval.low, "high": interval.high, "n_pictures": n}


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put a module into eval mode for a while."""
    modes = [(part, part.training) for part in model.modules()] if isinstance(model, nn.Module) else []
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
