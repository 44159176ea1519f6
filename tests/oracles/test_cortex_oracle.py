"""LogPolar against SciPy: mirrored binomial pyramid, `map_coordinates` at closed-form places, closed-form levels."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from neuroperc import Display
from neuroperc.foveation import LogPolar
from neuroperc.foveation._sampling import Halve, bilinear, bilinear_by_index

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def scipy_log_polar(image, px_per_deg, a, n_rings, n_angles, reach, gaze_px):
    ecc = a * (1 + reach / a) ** (np.arange(n_rings + 1) / (n_rings - 1)) - a
    angle = 2 * np.pi * np.arange(n_angles) / n_angles
    x = gaze_px[0] + px_per_deg * ecc[:-1, None] * np.cos(angle)
    y = gaze_px[1] - px_per_deg * ecc[:-1, None] * np.sin(angle)
    along = 2 * ecc[:-1] * np.sin(np.pi / n_angles)
    spacing = px_per_deg * np.maximum(np.diff(ecc), along)
    level = np.log2(np.maximum(spacing, 1))[:, None]
    out = 0
    for k in range(int(np.ceil(level.max())) + 1):
        places = [np.clip(p / 2**k, 0, n - 1) for p, n in zip((y, x), image.shape, strict=True)]
        out = out + np.clip(1 - abs(level - k), 0, None) * ndimage.map_coordinates(image, places, order=1)
        for axis in (0, 1):
            image = ndimage.convolve1d(image, BINOMIAL, axis=axis, mode="mirror")
        image = image[::2, ::2]
    return out


@pytest.mark.parametrize("gaze_deg", [(0, 0), (1.5, -0.75)])
@pytest.mark.parametrize(("n_rings", "n_angles"), [(12, 40), (30, 30), (64, 200)])
@pytest.mark.parametrize("shape", [(96, 96), (75, 90)])
def test_equals_the_pyramid_sampled_by_scipy(shape, n_rings, n_angles, gaze_deg):
    image = np.random.default_rng(0).random(shape)
    display = Display.from_px_per_deg(12, resolution_px=shape)
    module = LogPolar(display, a_deg=0.5, n_rings=n_rings, n_angles=n_angles, max_eccentricity_deg=2.3)
    gaze_px = display.to_px(gaze_deg)
    theirs = scipy_log_polar(image, 12, 0.5, n_rings, n_angles, 2.3, gaze_px)
    ours = module(torch.from_numpy(image)[None, None], gaze_deg)[0, 0].numpy()
    seen = module.covered(gaze_deg).numpy()
    assert seen.mean() > 0.9
    np.testing.assert_allclose(ours[seen], theirs[seen], rtol=0, atol=1e-9)


def test_the_two_interpolators_agree_with_scipy():
    rng = np.random.default_rng(1)
    image, points = rng.random((2, 3, 7, 9)), rng.uniform(-2, 11, (2, 5, 6, 2))
    image, points = torch.from_numpy(image), torch.from_numpy(points)
    for ours in (bilinear(image, points), bilinear_by_index(image, points)):
        for b, c in np.ndindex(2, 3):
            places = [points[b, ..., 1].clamp(0, 6).numpy(), points[b, ..., 0].clamp(0, 8).numpy()]
            theirs = ndimage.map_coordinates(image[b, c].numpy(), places, order=1)
            np.testing.assert_allclose(ours[b, c].numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (2, 3), (3, 2), (4, 5), (9, 8)])
def test_halving_is_a_mirrored_binomial_filter(shape):
    image = np.random.default_rng(2).random(shape)
    theirs = image
    for axis in (0, 1):
        theirs = ndimage.convolve1d(theirs, BINOMIAL, axis=axis, mode="mirror")
    np.testing.assert_allclose(
        Halve.apply(torch.from_numpy(image)[None, None])[0, 0].numpy(), theirs[::2, ::2], atol=1e-12
    )
    leaf = torch.from_numpy(image)[None, None].requires_grad_()
    assert torch.autograd.gradcheck(Halve.apply, leaf)
    assert torch.autograd.gradgradcheck(lambda x: Halve.apply(x).square(), leaf)
