"""EnergyModel and LuminanceModel against plenoptic's complex pyramid and windows written out in full."""

import numpy as np
import plenoptic
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import EnergyModel, LuminanceModel

SIDE, PX_PER_DEG = 64, 4
DISPLAY = Display.from_px_per_deg(PX_PER_DEG, resolution_px=(SIDE, SIDE))


def dense_windows(model, gaze_deg, stride):
    """Gaussian windows exp(-((u - n)^2 + (v - m)^2) / 2) at every stride-th pixel, (n_windows, pixels)."""
    place = (np.arange(0, SIDE, stride) - (SIDE - 1) / 2) / PX_PER_DEG
    z = (place[None, :] - gaze_deg[0]) - 1j * (place[:, None] + gaze_deg[1])  # y is up
    layout = model.windows
    with np.errstate(divide="ignore"):
        u = np.log(abs(z) / 0.5) / layout.ring_spacing - 1
    v = np.angle(z) * layout.n_wedges / (2 * np.pi)
    radial = np.exp(-((u.ravel() - np.arange(layout.n_rings)[:, None]) ** 2) / 2)
    angular = 0
    for turn in (-1, 0, 1):
        wedge = np.arange(layout.n_wedges)[:, None] + turn * layout.n_wedges
        angular = angular + np.exp(-((v.ravel() - wedge) ** 2) / 2)
    return (radial[:, None] * angular[None]).reshape(-1, u.size)


def compare(features, windows, band):
    """Windows that hardly reach the grid have no say in either."""
    mass = windows.sum(1)
    seen = mass > 1e-2
    assert seen.mean() > 0.5
    expected = windows[seen] @ band.ravel() / mass[seen]
    np.testing.assert_allclose(features[seen], expected, rtol=1e-4, atol=1e-4 * band.mean())


@pytest.mark.parametrize("gaze_deg", [(0.0, 0.0), (2.5, -1.25)])
def test_features_are_dense_averages_of_plenoptics_bands(gaze_deg):
    model = EnergyModel(DISPLAY, scaling=0.6, n_scales=3)
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, SIDE, SIDE)))
    features = model(image, gaze_deg).reshape(13, -1).numpy()
    compare(features[0], dense_windows(model, gaze_deg, 1), image[0, 0].numpy())
    luminance = LuminanceModel(DISPLAY, scaling=0.6)(image, gaze_deg)
    np.testing.assert_array_equal(luminance[0].numpy(), features[0])
    pyramid = plenoptic.process.SteerablePyramidFreq((SIDE, SIDE), height=3, order=3, is_complex=True, tight_frame=True)
    coefficients = pyramid(image)
    for scale in range(3):
        windows = dense_windows(model, gaze_deg, 2**scale)
        for orientation in range(4):
            band = coefficients[scale][0, 0, orientation].abs().square().numpy()
            compare(features[1 + 4 * scale + orientation], windows, band)
