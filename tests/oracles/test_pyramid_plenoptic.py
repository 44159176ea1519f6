"""The steerable pyramid against plenoptic's."""

import math

import numpy as np
import plenoptic
import pytest
import torch

from neuroperc.foveation import SteerablePyramid


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("tight_frame", [True, False])
def test_equals_plenoptic(order, tight_frame):
    x = torch.rand(1, 1, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    peer = plenoptic.process.SteerablePyramidFreq(
        (64, 64), height=3, order=order, is_complex=True, downsample=True, tight_frame=tight_frame
    ).double()(x)
    ours = SteerablePyramid((64, 64), n_scales=3, n_orientations=order + 1, tight_frame=tight_frame)(x)
    for s in range(3):
        band = peer[s]  # (1, 1, orientations, h, w), complex
        # Without the tight frame plenoptic's amplitudes grow fourfold a scale; ours stay contrasts.
        gain = 1.0 if tight_frame else 4.0**s
        torch.testing.assert_close(ours.bands[s][:, :, :, 0] * gain, band.real, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.bands[s][:, :, :, 1] * gain, band.imag, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.highpass, peer["residual_highpass"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stripes_deg", [0, 45, 90, 135])
def test_orientation_is_that_of_the_stripes(stripes_deg):
    pyramid = SteerablePyramid((64, 64), n_scales=3, n_orientations=4, tight_frame=False)
    y, x = np.mgrid[63.0:-1:-1, :64]
    across = math.radians(stripes_deg + 90)
    grating = np.cos(2 * np.pi * pyramid.frequencies_cpp[1] * (x * math.cos(across) + y * math.sin(across)))
    energy = [band.square().sum((-1, -2, -3)) for band in pyramid(torch.as_tensor(grating)).bands]
    assert pyramid.orientations_deg[int(energy[1].argmax())] == stripes_deg
    assert energy[1].sum() * 4 > 5 * (energy[0].sum() / 4 + energy[2].sum())
