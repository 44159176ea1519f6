"""Comparing systems: accuracy, train by test matrices, and where a centre's label gives way to the surround's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy import stats
from torch import Tensor, nn

from ..._check import check, finite, integer


@torch.no_grad()
def accuracy(model: Callable[[Tensor], Tensor], x: Tensor, labels: Any, *, batch_size: int = 256) -> float | np.ndarray:
    """Return the share of pictures whose largest output is their label.

    Parameters
    ----------
    model
        (b, c, h, w) to outputs (b, k), in the encoding of `x`; a Module is put into eval mode meanwhile.
    x
        (b, c, h, w), or with leading axes of levels (..., b, c, h, w).
    labels
        (b,), or (m, b) for several labels of each picture.
    batch_size
        Pictures at a time.

    Returns
    -------
    float or ndarray
        Leading axes of `x`, then (m,) when there are several labels; a float when neither is there.

    Raises
    ------
    ValueError
        When pictures and labels differ in number.

    Examples
    --------
    >>> accuracy(lambda x: x.mean((2, 3)), torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4), [0, 1, 0])
    0.6666666666666666
    """
    wanted = torch.as_tensor(np.asarray(labels))
    good = x.ndim >= 4 and wanted.ndim in (1, 2) and wanted.shape[-1] == x.shape[-4] > 0
    shapes = f"{tuple(x.shape)} and {tuple(wanted.shape)}"
    check(good, "x and labels", "(..., b, c, h, w) and (b,) or (m, b), b above 0", shapes)
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        chosen = torch.cat(
            [model(part).argmax(1).cpu() for part in x.flatten(0, -4).split(integer("batch_size", batch_size))]
        )
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
    right = chosen.reshape(*x.shape[:-4], *(1,) * (wanted.ndim - 1), x.shape[-4]) == wanted
    shares = right.double().mean(-1).numpy()
    return float(shares) if shares.ndim == 0 else shares


def generalization_matrix(
    models: Mapping[str, Callable[[Tensor], Tensor]], pictures: Mapping[str, Tensor], labels: Any
) -> xr.DataArray:
    """Return the accuracy of every model on every system's pictures.

    Parameters
    ----------
    models
        By the name of the system they were trained with.
    pictures
        One test set (b, c, h, w) as each system shows it, by the system's name, in the models' encoding.
    labels
        (b,).

    Returns
    -------
    DataArray
        dims ("train", "test"); several runs are stacked by ``xarray.concat(matrices, "run")``.

    Examples
    --------
    >>> white = {"a": torch.ones(2, 2, 4, 4), "b": torch.zeros(2, 2, 4, 4)}
    >>> generalization_matrix({"a": lambda x: x.mean((2, 3))}, white, [0, 1]).values.tolist()
    [[0.5, 0.5]]
    """
    rows = [[accuracy(model, x, labels) for x in pictures.values()] for model in models.values()]
    return xr.DataArray(rows, coords={"train": list(models), "test": list(pictures)}, dims=("train", "test"))


def run_interval(values: Any) -> tuple[float, float, float]:
    """Return the mean over runs and its 95 % interval by Student's t.

    Parameters
    ----------
    values
        (n_runs,), at least two.

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    ValueError
        For fewer than two runs or NaN.

    Examples
    --------
    >>> [round(v, 3) for v in run_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    array = np.asarray(values, dtype=float)
    check(array.ndim == 1 and len(array) > 1, "values", "(n_runs,) of two runs or more", array.shape)
    finite("values", array)
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(array.mean() - half), float(array.mean() + half)


@dataclass(frozen=True)
class Crossover:
    """Where the label of the fovea and that of the surround are told equally often.

    Attributes
    ----------
    area
        (n_runs,) share of the picture; NaN where curves do not cross.
    mean
        Over runs that cross.
    interval
        95 % interval of the mean over these runs (Student's t); NaN for fewer than two.
    n_crossing
        How many runs cross.
    of
        What the interval is.

    Examples
    --------
    >>> Crossover(np.array([0.4, 0.5]), 0.45, (0.3, 0.6), 2).of
    '95 % t interval over runs'
    """

    area: np.ndarray
    mean: float
    interval: tuple[float, float]
    n_crossing: int
    of: str = "95 % t interval over runs"


def crossover_area(area: Any, foveal: Any, peripheral: Any) -> Crossover:
    """Return the area of the foveal window at which accuracies for both labels meet.

    Between neighbouring areas the difference of the accuracies is taken as linear; the first change from peripheral to
    foveal counts. A smaller area is a stronger bias towards the centre.

    Parameters
    ----------
    area
        (n,) never falling, share of the picture that shows the foveal class.
    foveal, peripheral
        (n_runs, n) or (n,) accuracy for each label.

    Raises
    ------
    ValueError
        When areas fall or shapes differ.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> crossover_area([0.0, 0.5, 1.0], [[0.0, 0.4, 1.0]], [[1.0, 0.6, 0.0]]).area.round(3).tolist()
    [0.583]
    """
    x = np.asarray(area, dtype=float)
    gap = np.atleast_2d(np.asarray(foveal, dtype=float)) - np.atleast_2d(np.asarray(peripheral, dtype=float))
    good = x.ndim == 1 and len(x) > 1 and bool((np.diff(x) >= 0).all())
    check(good, "area", "(n,) never falling, two or more", np.asarray(area).tolist())
    check(gap.ndim == 2 and gap.shape[1] == len(x), "foveal", f"(n_runs, {len(x)})", np.shape(foveal))
    finite("accuracies", gap)
    crosses = (gap[:, :-1] < 0) & (gap[:, 1:] >= 0)
    at = crosses.argmax(1)
    run = np.arange(len(gap))
    before, after = gap[run, at], gap[run, at + 1]
    share = np.where(crosses.any(1), before / np.where(after == before, 1, before - after), np.nan)
    found = x[at] + share * (x[at + 1] - x[at])
    kept = found[np.isfinite(found)]
    mean = float(kept.mean()) if len(kept) else np.nan
    interval = run_interval(kept)[1:] if len(kept) > 1 else (np.nan, np.nan)
    return Crossover(found, mean, interval, len(kept))
