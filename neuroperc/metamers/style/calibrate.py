"""How much texture a window may take: matching NeuroFovea's distortion to a given one, ring by ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ..._check import check, fail, finite, integer
from ...color import linear_to_srgb
from ...metrics import ssim_map
from .render import NeuroFovea, texture_strength
from .windows import NeuroFoveaWindows

_EDGE = 5  # pixels at the border where SSIM's 11 x 11 window does not fit


@dataclass(frozen=True)
class StrengthFit:
    """A rate of the strength, and the points through which it goes.

    Attributes
    ----------
    d
        Rate per degree of tanh(d r / 2); give it to `NeuroFovea`.
    radius_deg
        (n_rings,) mean radius of the windows of a ring.
    alpha
        (n_rings,) strength at which the ring has the wanted SSIM.
    rates
        (n_levels,) rates that were rendered.
    ssim
        (n_levels, n_rings) SSIM to the reference at these, mean over pictures.
    reached
        (n_rings,) whether any rate gives the wanted SSIM; the others have strength 0 or 1 and did not take part.

    Examples
    --------
    >>> one = np.ones(1)
    >>> StrengthFit(1.2, one, texture_strength(one, 1.2), one, one[None], one > 0).d
    1.2
    """

    d: float
    radius_deg: np.ndarray
    alpha: np.ndarray
    rates: np.ndarray
    ssim: np.ndarray
    reached: np.ndarray


def ring_ssim(x: Tensor, reference: Tensor, windows: NeuroFoveaWindows) -> np.ndarray:
    """Return the SSIM of sRGB codes, averaged over each ring of windows.

    Parameters
    ----------
    x, reference
        Pictures in linear light, (b, c, h, w).
    windows
        Windows on the same display.

    Returns
    -------
    ndarray
        (b, n_rings). The outermost 5 pixels, where SSIM is not defined, do not count.

    Raises
    ------
    ValueError
        When pictures differ in shape or were made for another display.

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.metamers import neurofovea_windows
    >>> windows = neurofovea_windows(Display.from_px_per_deg(10, resolution_px=(96, 96)), scaling=0.5)
    >>> picture = torch.rand(1, 3, 96, 96)
    >>> ring_ssim(picture, picture, windows).round(6)
    array([[1., 1.]])
    """
    shape = windows.display.resolution_px
    good = x.shape == reference.shape and x.ndim == 4 and x.shape[-2:] == shape
    check(good, "x and reference", f"both (b, c, {shape[0]}, {shape[1]})", (tuple(x.shape), tuple(reference.shape)))
    similarity = ssim_map(linear_to_srgb(x.double()), linear_to_srgb(reference.double()), data_range=1.0).mean(1)
    masks = torch.from_numpy(windows.ring_masks()).to(similarity)[:, _EDGE:-_EDGE, _EDGE:-_EDGE]
    sums = torch.einsum("bhw,rhw->br", similarity, masks)
    return (sums / masks.sum((1, 2))).cpu().numpy()


def fit_texture_strength(
    model: NeuroFovea, images: Tensor, target_ssim: Any, *, rng: int | np.random.Generator, n_levels: int = 11
) -> StrengthFit:
    """Find the rate d at which a model distorts its reference as much, ring by ring, as is wanted.

    Pictures are rendered with rates from 0 to infinity. In each ring the rate with the wanted SSIM is found by
    interpolation, which gives the ring's strength; then one tanh(d r / 2), averaged over the windows of a ring, is
    fitted to all rings' strengths by least squares. (With one strength in all windows instead, outer neighbours would
    be too weak while a ring is judged, which biased planted rates by 4 to 10 %.)

    Parameters
    ----------
    model
        Renderer; its own strengths play no part.
    images
        Linear light, (b, c, h, w).
    target_ssim
        (n_rings,) wanted SSIM, mean over pictures; such as `ring_ssim` of another model's metamers and their originals.
    rng
        Seed or generator of the noise.
    n_levels
        Rates that are tried; the window of median size has strengths evenly spaced from 0 to 1.

    Raises
    ------
    ValueError
        When `target_ssim` does not fit the rings, or no ring can reach it.

    References
    ----------
    A Deza, A Jonnalagadda, M P Eckstein (2019). Towards metamerism via foveated style transfer. ICLR (experiment 1).

    Examples
    --------
    >>> from neuroperc import Display
    >>> display = Display.from_px_per_deg(10, resolution_px=(96, 96))
    >>> model, picture = NeuroFovea(display, scaling=0.5), torch.rand(1, 1, 96, 96)
    >>> wanted = ring_ssim(model(picture, rng=0), model.reference(picture), model.windows)[0]
    >>> fit_texture_strength(model, picture, wanted, rng=0).reached
    array([ True,  True])
    """
    windows = model.windows
    n_rings = int(windows.ring[-1]) + 1
    target = np.asarray(target_ssim, dtype=float)
    check(target.shape == (n_rings,), "target_ssim", f"({n_rings},), a number a ring", target.shape)
    finite("target_ssim", target)
    levels = np.linspace(0, 1, integer("n_levels", n_levels, 3))
    typical = float(np.median(windows.radius_deg[windows.radius_deg > 0]))
    rates = 2 * np.arctanh(np.minimum(levels, 1 - 1e-12)) / typical
    curves = _curves(model, images, rates, rng)
    falling = np.minimum.accumulate(curves)
    found = np.array([np.interp(-target[k], -falling[:, k], levels) for k in range(n_rings)])
    wanted = 2 * np.arctanh(np.minimum(found, 1 - 1e-12)) / typical
    alpha = np.array([_ring_mean(windows, np.tanh(rate * windows.radius_deg / 2))[k] for k, rate in enumerate(wanted)])
    reached = (target <= falling[0] + 1e-9) & (target >= falling[-1] - 1e-9)
    if not reached.any():
        rule = f"within reach in a ring (from {falling[-1].round(3).tolist()} to {falling[0].round(3).tolist()})"
        fail("target_ssim", rule, target.round(3).tolist(), "Compare pictures of one kind, in sRGB codes.")
    d, radius = _rate(windows, alpha, reached), _ring_mean(windows, windows.radius_deg)
    return StrengthFit(d, radius, alpha, rates, curves, reached)


def _curves(model: NeuroFovea, images: Tensor, rates: np.ndarray, rng: int | np.random.Generator) -> np.ndarray:
    """SSIM to the reference, (n_levels, n_rings), mean over pictures; features are computed once."""
    with torch.no_grad():
        reference = model.reference(images)
        content, noise = model.encoded(images, rng)
        rows = []
        for rate in rates:
            mixed = model.mix(content, noise, np.tanh(rate * model.windows.radius_deg / 2))
            rows.append(ring_ssim(model.decoded(mixed, images), reference, model.windows).mean(0))
    return np.stack(rows)


def _rate(windows: NeuroFoveaWindows, alpha: np.ndarray, reached: np.ndarray) -> float:
    def error(log_d: float) -> float:
        predicted = _ring_mean(windows, texture_strength(windows.radius_deg, float(np.exp(log_d))))
        return float(np.square(predicted - alpha)[reached].sum())

    found = minimize_scalar(error, bounds=(np.log(1e-3), np.log(1e3)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _ring_mean(windows: NeuroFoveaWindows, values: np.ndarray) -> np.ndarray:
    """Mean over the windows of every ring, weighted by their area above half maximum."""
    ring, area = windows.ring[1:], windows.radius_deg[1:] ** 2
    return np.bincount(ring, area * values[1:]) / np.maximum(np.bincount(ring, area), 1e-12)
