"""The rate-distortion step: a parameter at which pictures are distorted as much as is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._check import as_rng, check, fail, finite, integer, pair, positive
from ...metrics import ssim, ssim_map
from ._blur import codes_of

_MARGIN = 5  # pixels that SSIM's 11 x 11 window reaches beyond its centre
_OVERLAP = 0.7  # of a step to the one before, where regions depend on one another: wrong turns can be taken back
_GRID = np.geomspace(
    0.4, 2.5, 15
)  # times a parameter's distance from its lower bound: there the bootstrap knows curves


@dataclass(frozen=True)
class DistortionMatch:
    """A parameter for each region, the distortion it gives, and intervals over pictures.

    Attributes
    ----------
    parameter
        (n,) in the family's unit.
    parameter_interval
        (n, 2) 95 % interval over pictures.
    target, achieved
        (n,) mean distortion that was wanted, and that of the family at `parameter`.
    achieved_interval
        (n, 2) 95 % interval over pictures of the achieved one, at the fixed parameter.
    difference_interval
        (n, 2) 95 % interval of achieved minus target; pairs of pictures are resampled together.
    reached
        (n,) whether the target lies between the distortions with all parameters at one bound and at the other; regions
        where it does not stand at the nearer bound.
    distortion
        (b, n) of every calibration picture at `parameter`, for paired tests.
    of
        What the intervals are.

    Examples
    --------
    >>> one = np.ones(1)
    >>> ends = np.ones((1, 2))
    >>> DistortionMatch(one, ends, one, one, ends, ends, one > 0, np.ones((5, 1))).of
    '95 % bootstrap interval over pictures'
    """

    parameter: np.ndarray
    parameter_interval: np.ndarray
    target: np.ndarray
    achieved: np.ndarray
    achieved_interval: np.ndarray
    difference_interval: np.ndarray
    reached: np.ndarray
    distortion: np.ndarray
    of: str = "95 % bootstrap interval over pictures"


def structural_distortion(x: Tensor, reference: Tensor, *, regions: Any = None) -> np.ndarray:
    """Return 1 - SSIM of sRGB codes, of whole pictures or averaged over regions.

    Parameters
    ----------
    x, reference
        Pictures in linear light, (b, c, h, w), at least 11 px on each side.
    regions
        (n, h, w) weights of 0 or more, such as ``windows.ring_masks()``. Pictures are continued by their mirror image
        then, so that regions at the border count; whole pictures count where SSIM's window fits, as usual.

    Returns
    -------
    ndarray
        (b, 1), or (b, n).

    Raises
    ------
    ValueError, TypeError
        When shapes differ, or a region is empty.

    References
    ----------
    Z Wang, A C Bovik, H R Sheikh, E P Simoncelli (2004). Image quality assessment. doi:10.1109/TIP.2003.819861.

    Examples
    --------
    >>> picture = torch.rand(2, 3, 32, 32)
    >>> structural_distortion(picture, picture).round(6).tolist()
    [[0.0], [0.0]]
    """
    first, second = codes_of(x).double(), codes_of(reference, name="reference").double()
    check(first.shape == second.shape, "reference", f"of the shape of x {tuple(x.shape)}", tuple(reference.shape))
    if regions is None:
        return 1 - ssim(first, second, data_range=1.0)[:, None].cpu().numpy()
    weights = torch.as_tensor(np.asarray(regions, dtype=float), device=x.device)
    good = weights.ndim == 3 and weights.shape[1:] == x.shape[-2:]
    check(good, "regions", f"(n, {x.shape[-2]}, {x.shape[-1]})", tuple(weights.shape))
    finite("regions", weights)
    mass = weights.sum((1, 2))
    check(bool((weights >= 0).all() and (mass > 0).all()), "regions", "weights of 0 or more, none all 0", mass.tolist())
    wide = (functional.pad(codes, (_MARGIN,) * 4, mode="reflect") for codes in (first, second))
    similarity = ssim_map(*wide, data_range=1.0).mean(1)
    return 1 - (torch.einsum("bhw,rhw->br", similarity, weights) / mass).cpu().numpy()


def match_distortion(
    family: Callable[[Tensor, np.ndarray], Tensor],
    images: Tensor,
    target: Any,
    *,
    bounds: Any,
    regions: Any = None,
    rng: int | np.random.Generator,
    n_resamples: int = 1000,
    tolerance: float = 1e-5,
    batch_size: int = 64,
) -> DistortionMatch:
    """Find the parameter at which a family of transforms distorts a calibration set as much as is wanted.

    Bisection of all regions at once. Regions overlap, in their weights and in SSIM's window, so one region's distortion
    depends a little on its neighbours' parameters; steps then shrink by 0.7 instead of 0.5, so that wrong turns can be
    taken back.

    Parameters
    ----------
    family
        ``family(images, parameter)`` returns pictures (b, c, h, w) in linear light; `parameter` is (n,). Distortion
        must grow with it.
    images
        Calibration set and what the pictures are compared with, (b, c, h, w), linear light.
    target
        1 - SSIM: one number, (n,), or (b, n) of each picture; the mean over pictures is matched, and the last form lets
        the intervals pair pictures.
    bounds
        (low, high), lowest and highest parameter.
    regions
        (n, h, w) weights; None is the whole picture, n = 1.
    rng
        Seed or generator of the bootstrap.
    n_resamples
        Resamples of pictures.
    tolerance
        Last step, as a share of the bounds' distance.
    batch_size
        The family is called with so many pictures at a time.

    Returns
    -------
    DistortionMatch

    Raises
    ------
    ValueError
        When an argument is out of its range or no region can reach its target.

    Notes
    -----
    For the interval of the parameter all regions' parameters are varied together around the solution: their distances
    from the lower bound by factors of 0.4 to 2.5; the interval ends there at the latest.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991 (rate-distortion).

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.metamers import UniformBlur
    >>> display = Display.from_px_per_deg(4, resolution_px=(32, 32))
    >>> def blur(x, sigma):
    ...     return UniformBlur(display, sigma_deg=sigma[0])(x)
    >>> pictures = torch.rand(4, 1, 32, 32)
    >>> planted = structural_distortion(blur(pictures, [0.2]), pictures)
    >>> match_distortion(blur, pictures, planted, bounds=(0, 2), rng=0).parameter.round(3).tolist()
    [0.2]
    """
    low, high = pair("bounds", bounds, "(low, high)")
    check(low < high, "bounds", "(low, high) with low < high", bounds)
    n_resamples = integer("n_resamples", n_resamples, 2)
    rng = as_rng(rng)
    check(0 < positive("tolerance", tolerance) < 1, "tolerance", "below 1", tolerance)
    ratio = 0.5 if regions is None else _OVERLAP
    n = 1 if regions is None else len(regions)
    aims = _targets(target, len(codes_of(images, name="images")), n)

    parts = images.split(integer("batch_size", batch_size))

    @torch.no_grad()
    def measured(parameter: np.ndarray) -> np.ndarray:
        return np.concatenate([structural_distortion(family(x, parameter), x, regions=regions) for x in parts])

    aim = aims.mean(0)
    ends = [measured(np.full(n, end)).mean(0) for end in (low, high)]
    reached = (aim >= ends[0] - 1e-9) & (aim <= ends[1] + 1e-9)
    if not reached.any():
        rule = f"within reach (from {ends[0].round(4).tolist()} to {ends[1].round(4).tolist()}) in some region"
        fail("target", rule, aim.round(4).tolist(), "Widen the bounds.")
    bound = np.where(aim > ends[1], high, low)
    parameter, step = np.full(n, (low + high) / 2), (high - low) / 4
    for _ in range(math.ceil(math.log(tolerance) / math.log(ratio))):
        stepped = np.clip(parameter + step * np.sign(aim - measured(parameter).mean(0)), low, high)
        parameter = np.where(reached, stepped, bound)
        step *= ratio
    found = measured(parameter)
    grid = np.clip(low + (parameter - low) * _GRID[:, None], low, high)
    curves = np.stack([measured(row) for row in grid])
    return _with_intervals(parameter, found, aims, (grid, curves), reached, n_resamples, rng)


def _targets(target: Any, n_pictures: int, n: int) -> np.ndarray:
    """(n_pictures or 1, n)."""
    aims = np.asarray(target, dtype=float)
    shapes = ((), (n,), (n_pictures, n))
    check(aims.shape in shapes, "target", f"one number, ({n},) or ({n_pictures}, {n})", aims.shape)
    finite("target", aims)
    return np.broadcast_to(aims, (n_pictures if aims.ndim == 2 else 1, n))


def _with_intervals(
    parameter: np.ndarray,
    found: np.ndarray,
    aims: np.ndarray,
    known: tuple[np.ndarray, np.ndarray],
    reached: np.ndarray,
    n_resamples: int,
    rng: np.random.Generator,
) -> DistortionMatch:
    """Resample pictures: shares (n_resamples, b) weigh distortions, targets and curves alike."""
    grid, curves = known
    n_pictures = len(found)
    share = rng.multinomial(n_pictures, np.full(n_pictures, 1 / n_pictures), n_resamples) / n_pictures
    achieved = share @ found
    wanted = share @ np.broadcast_to(aims, found.shape)
    rising = np.maximum.accumulate(np.einsum("sb,gbn->gsn", share, curves), axis=0)
    resampled = (_inverted(grid, rising, wanted), achieved, achieved - wanted)
    inverse, level, difference = (np.quantile(each, (0.025, 0.975), axis=0).T for each in resampled)
    return DistortionMatch(parameter, inverse, aims.mean(0), found.mean(0), level, difference, reached, found)


def _inverted(grid: np.ndarray, rising: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where curves (g, s, n) over a grid (g, n) reach (s, n), by linear interpolation; the grid's ends at most."""
    above = np.clip((rising < wanted).sum(0), 1, len(grid) - 1)
    region = np.broadcast_to(np.arange(grid.shape[1]), above.shape)
    sample = np.arange(len(wanted))[:, None]
    left, right = rising[above - 1, sample, region], rising[above, sample, region]
    share = np.clip((wanted - left) / np.maximum(right - left, 1e-12), 0, 1)
    start, stop = grid[above - 1, region], grid[above, region]
    return start + share * (stop - start)
