"""Position codes whose cosine falls off as a Gaussian of distance: in closed form, and learned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..._check import as_rng, check, integer, positive


def position_table(n_positions: int, *, width: int = 86, sigma: float = 2.0) -> Tensor:
    """Return the closed form: the cosine of rows i and j is exp(-(i - j)^2 / (2 sigma^2)), all norms are sqrt(width).

    The symmetric root of that Gram matrix, spread over all columns by an orthonormal cosine basis.

    Parameters
    ----------
    n_positions
        Rows of the table: the larger side of the grid of objects.
    width
        Columns, at least `n_positions`.
    sigma
        Standard deviation of the Gaussian, in steps of the grid.

    Returns
    -------
    Tensor
        (n_positions, width), float32.

    Raises
    ------
    ValueError
        When `width` is below `n_positions`, or a number is not positive.

    References
    ----------
    Y Fang and others (2024). OAT: object-level attention transformer for gaze scanpath prediction, ECCV: distance-based
    positional encoding. The authors learn such a table; `learn_position_table` does that.

    Examples
    --------
    >>> rows = torch.nn.functional.normalize(position_table(14), dim=1)
    >>> [round(float(v), 3) for v in (rows @ rows.T)[0, :6]]
    [1.0, 0.882, 0.607, 0.325, 0.135, 0.044]
    """
    gram = _gram(n_positions, width, sigma)
    values, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    k, x = np.arange(n_positions)[:, None], np.arange(width)
    cosines = np.cos(np.pi * k * (x + 0.5) / width) * np.where(k == 0, 1, np.sqrt(2))  # rows of norm sqrt(width)
    return torch.as_tensor(root @ cosines, dtype=torch.float32)


def learn_position_table(
    n_positions: int,
    *,
    width: int = 86,
    sigma: float = 2.0,
    steps: int = 10_000,
    learning_rate: float = 0.01,
    rng: int | np.random.Generator,
) -> Tensor:
    """Learn the table with Adam from a standard normal start, as the authors of OAT did.

    The loss is
    ``[sum_ij (cos(W_i, W_j) - exp(-(i - j)^2 / (2 sigma^2)))^2 + mean_i (|W_i| - mean |W|)^2] / (P (P - 1))``.

    Parameters
    ----------
    n_positions, width, sigma
        As in `position_table`.
    steps, learning_rate
        Of Adam.
    rng
        Seed or generator of the start.

    Returns
    -------
    Tensor
        (n_positions, width), float32.

    Raises
    ------
    ValueError
        As `position_table`.

    References
    ----------
    As `position_table`; step count and rate are those of the released code.

    Examples
    --------
    >>> learn_position_table(5, steps=10, rng=0).shape
    torch.Size([5, 86])
    """
    wanted = torch.as_tensor(_gram(n_positions, width, sigma), dtype=torch.float32)
    check(n_positions > 1, "n_positions", "at least 2 for a learned table", n_positions)
    start = as_rng(rng).standard_normal((n_positions, width))
    table = torch.tensor(start, dtype=torch.float32, requires_grad=True)
    adam = torch.optim.Adam([table], lr=positive("learning_rate", learning_rate))
    with torch.enable_grad():
        for _ in range(integer("steps", steps)):
            norms = table.norm(dim=1)
            unit = table / norms[:, None]
            loss = (unit @ unit.T - wanted).square().sum() + (norms - norms.mean()).square().mean()
            adam.zero_grad()
            (loss / (n_positions * (n_positions - 1))).backward()
            adam.step()
    return table.detach()


def _gram(n_positions: int, width: int, sigma: float) -> np.ndarray:
    integer("n_positions", n_positions)
    check(integer("width", width) >= n_positions, "width", f"at least the {n_positions} positions", width,
          "Fewer columns cannot hold that many independent rows.")  # fmt: skip
    steps = np.subtract.outer(np.arange(n_positions), np.arange(n_positions))
    return np.exp(-(steps**2) / (2 * positive("sigma", sigma) ** 2))
