"""What the pooled models see: gratings in their own band and place, and metamers that differ from their targets."""

import math

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import EnergyModel, LuminanceModel
from neuroperc.synthesis import synthesize

DISPLAY = Display.from_px_per_deg(8, resolution_px=(128, 128))


def grating(sf_cpd, orientation_deg, display=DISPLAY):
    """Stripes along `orientation_deg`, counter-clockwise from horizontal."""
    x, y = np.moveaxis(display.pixels_deg(), -1, 0)
    across = math.radians(orientation_deg + 90)
    wave = 0.5 + 0.5 * np.cos(2 * math.pi * sf_cpd * (math.cos(across) * x + math.sin(across) * y))
    return torch.from_numpy(wave)[None, None]


@pytest.mark.parametrize("orientation_deg", [0, 45, 90, 135])
@pytest.mark.parametrize("scale", [0, 1, 2])
def test_a_grating_shows_in_its_own_band(orientation_deg, scale):
    model = EnergyModel(DISPLAY)
    features, labels = model(grating(2 / 2**scale, orientation_deg))[0].numpy(), model.labels
    energy = np.where(labels["statistic"] == "energy", features, 0)
    best = energy.argmax()
    assert labels["scale"][best] == scale
    assert labels["sf_cpd"][best] == 2 / 2**scale
    assert labels["orientation_deg"][best] == orientation_deg
    other = (labels["orientation_deg"] != orientation_deg) | (abs(labels["scale"] - scale) > 1)
    assert energy[other].max() < 0.2 * energy[best]


def test_energy_is_where_the_grating_is():
    model = EnergyModel(DISPLAY, scaling=0.5)
    picture, labels = grating(2, 0), model.labels
    picture[:, :, DISPLAY.pixels_deg()[..., 0] < 0] = 0.5  # stripes on the right only
    features = model(picture)[0].numpy()
    band = (labels["scale"] == 0) & (labels["orientation_deg"] == 0)
    band &= (labels["eccentricity_deg"] > 2) & (labels["eccentricity_deg"] < 6)
    right = features[band & (np.cos(np.radians(labels["angle_deg"])) > 0.5)]
    left = features[band & (np.cos(np.radians(labels["angle_deg"])) < -0.5)]
    assert right.min() > 100 * left.max()


@pytest.mark.parametrize("scaling", [None, 0.5])
def test_flat_pictures_and_gratings_give_numbers(scaling):
    model = EnergyModel(DISPLAY, scaling=scaling)
    flat = model(torch.full((1, 1, 128, 128), 0.4, dtype=torch.float64, requires_grad=True))
    assert flat.isfinite().all()
    labels = model.labels
    assert flat[0][torch.from_numpy(labels["statistic"] == "energy")].abs().max() < 1e-12
    for sf_cpd in (0.01, 4):
        picture = grating(sf_cpd, 90).requires_grad_()
        features = model(picture)
        features.sum().backward()
        assert features.isfinite().all()
        assert picture.grad.isfinite().all()


def photograph_like(side):
    """Spots of many sizes: structure that pooling loses."""
    rng = np.random.default_rng(5)
    spectrum = np.fft.rfft2(rng.normal(size=(side, side))) / (1 + np.hypot(*np.meshgrid(
        np.fft.rfftfreq(side, 1 / side), np.fft.fftfreq(side, 1 / side))))  # fmt: skip
    field = np.fft.irfft2(spectrum, s=(side, side))
    return torch.from_numpy(np.clip(0.5 + 0.15 * field / field.std(), 0, 1)).float()[None]


def test_luminance_metamers_match_in_the_model_and_differ_in_pixels():
    display = Display.from_px_per_deg(4, resolution_px=(64, 64))
    model = LuminanceModel(display, scaling=0.5)
    target = photograph_like(64)
    fixed = 1 - model.coverage
    first, second = (synthesize(model, target, steps=250, fixed=fixed, rng=seed) for seed in (1, 2))
    for metamer in (first, second):
        assert metamer.loss[-1] < 2e-3 * metamer.loss[0]
        assert (metamer.image - target).square().mean().sqrt() > 0.15
        fovea = fixed > 0.999
        assert fovea.any()
        assert (metamer.image - target)[:, fovea].abs().max() < 1e-3
    assert (first.image - second.image).square().mean().sqrt() > 0.15
    apart = (model(first.image[None]) - model(second.image[None])).square().mean()
    assert apart < 1e-2 * (model(torch.rand_like(target)[None]) - model(target[None])).square().mean()


def test_energy_metamers_keep_oriented_energy():
    display = Display.from_px_per_deg(4, resolution_px=(64, 64))
    target = photograph_like(64)
    textures = torch.stack([photograph_like(64).roll(k, -1) * (0.5 + k / 40) for k in range(8)])
    model = EnergyModel(display, scaling=0.5).fit_normalization(textures)
    metamer = synthesize(model, target, steps=60, rng=1)
    assert metamer.loss[-1] < 0.05 * metamer.loss[0]
    assert (metamer.image - target).square().mean().sqrt() > 0.05
    assert metamer.settings["display"]["px_per_deg_hw"] == (4.0, 4.0)
