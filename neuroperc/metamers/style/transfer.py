"""Adaptive instance normalisation in all windows at once: sparse (windows x cells) matrix products, no loop."""

from __future__ import annotations

import torch
from torch import Tensor

from .windows import Cells

#: Supports of the published code: weights above this on the encoder's grid.
SUPPORT = 1e-3
#: Below this share of its squared mean a variance is rounding error.
_ROUNDING = 1e-10
#: Numbers that are squared at a time, so that they stay in the cache whatever the size of the picture.
_RUN = 1 << 18


def window_statistics(features: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Return weighted mean and variance of every window and channel; two passes, centred before squaring.

    Parameters
    ----------
    features
        (n_cells, c).
    cells
        Weights of the windows.

    Returns
    -------
    mean, variance : Tensor
        (n_windows, c). The variance is the unbiased one (for weights of 0 and 1 its divisor is n - 1); 0 for windows of
        one cell. Windows without cells have 0 in both.

    Examples
    --------
    >>> one = torch.zeros(4, dtype=torch.int64)
    >>> cells = Cells(1, 4, one, torch.arange(4), torch.ones(4))
    >>> [round(v.item(), 4) for v in window_statistics(torch.tensor([[1.0], [2.0], [3.0], [6.0]]), cells)]
    [3.0, 4.6667]
    """
    mass = cells.weight.new_zeros(cells.n_windows).index_add(0, cells.window, cells.weight)
    share = cells.weight / mass[cells.window]
    mean = _sums(cells.window, cells.cell, share, (cells.n_windows, cells.n_cells), features)
    variance = torch.zeros_like(mean)
    run = max(1, _RUN // features.shape[1])
    for start in range(0, len(share), run):
        own = slice(start, start + run)
        window = cells.window[own]
        centered = features[cells.cell[own]].sub_(mean[window])  # a fresh copy: nothing else sees it
        variance.index_add_(0, window, centered.square_().mul_(share[own, None]))
    shared = share.new_zeros(cells.n_windows).index_add(0, cells.window, share.square())  # 1 / n of weights 0 and 1
    freedom = 1 - shared
    correction = torch.where(freedom > 1e-6, 1 / freedom.clamp(min=1e-6), torch.zeros_like(freedom))
    return mean, variance * correction[:, None]


def transfer(
    content: Tensor, noise: Tensor, statistics: Cells, assignment: Cells, strength: Tensor, epsilon: float = 0.0
) -> Tensor:
    """Mix content with noise that was given the content's mean and standard deviation, window by window.

    In window i, T_i = (Z - mean Z) (sd C / sd Z) + mean C; the result is sum_i v_i ((1 - a_i) C + a_i T_i), v the
    assignment and a the strength. Each T_i is an affine function of Z, so that the sums over windows are those of its
    slope and its offset: two more matrix products.

    Parameters
    ----------
    content, noise
        (n_cells, c) features C and Z.
    statistics
        Weights for mean and standard deviation.
    assignment
        Weights of the mixture; what they leave of 1 at a cell stays content.
    strength
        (n_windows,) a, from 0 (content) to 1 (texture only).
    epsilon
        Added to variances; with 0, channels in which the noise does not vary take the content's mean.

    Examples
    --------
    >>> cells = Cells(1, 4, torch.zeros(4, dtype=torch.int64), torch.arange(4), torch.ones(4))
    >>> mixed = transfer(torch.tensor([[1.0], [2.0], [3.0], [6.0]]), torch.rand(4, 1), cells, cells, torch.ones(1))
    >>> round(mixed.mean().item(), 4), round(mixed.var().item(), 4)
    (3.0, 4.6667)
    """
    mean, variance = window_statistics(content, statistics)
    noise_mean, noise_variance = window_statistics(noise, statistics)
    varies = noise_variance + epsilon > _ROUNDING * noise_mean.square()
    slope = ((variance + epsilon) / torch.where(varies, noise_variance + epsilon, torch.ones_like(variance))).sqrt()
    slope = torch.where(varies, slope, torch.zeros_like(slope))
    affine = strength[:, None] * torch.cat((slope, mean - slope * noise_mean), 1)
    shape = assignment.n_cells, assignment.n_windows
    gain, offset = _sums(assignment.cell, assignment.window, assignment.weight, shape, affine).chunk(2, 1)
    exchanged = _sums(assignment.cell, assignment.window, assignment.weight, shape, strength[:, None])
    return torch.addcmul(torch.addcmul(offset, gain, noise), 1 - exchanged, content)


def _sums(rows: Tensor, columns: Tensor, weight: Tensor, shape: tuple[int, int], values: Tensor) -> Tensor:
    """Product of a sparse matrix with a dense one."""
    matrix = torch.sparse_coo_tensor(torch.stack((rows, columns)), weight, shape, check_invariants=False)
    return torch.sparse.mm(matrix, values)
