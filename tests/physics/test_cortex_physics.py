"""LogPolar: rings in closed form, what survives, what must not, and the geometry of the samples."""

import math

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.foveation import LogPolar

FLAT = Display.from_px_per_deg(16, resolution_px=(256, 256))
TANGENT = Display(resolution_px=(240, 320), size_m=(0.3, 0.4), distance_m=0.3)


def grating(display, sf_cpd, orientation_deg=30.0, phase_rad=0.3):
    x, y = np.moveaxis(display.pixels_deg(), -1, 0)
    angle = math.radians(orientation_deg)
    wave = np.cos(2 * math.pi * sf_cpd * (math.cos(angle) * x + math.sin(angle) * y) + phase_rad)
    return torch.from_numpy(wave)[None, None]


def test_rings_are_uniform_in_log_of_eccentricity_plus_a():
    module = LogPolar(FLAT, a_deg=0.75, n_rings=33, max_eccentricity_deg=7)
    ecc = module.eccentricities_deg.numpy()
    assert ecc[0] == 0
    np.testing.assert_allclose(ecc[-1], 7, rtol=1e-12)
    np.testing.assert_allclose(ecc[16], math.sqrt(0.75 * 7.75) - 0.75, rtol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(ecc + 0.75)), math.log(7.75 / 0.75) / 32, rtol=1e-9)


def test_default_sampling_is_a_pixel_at_the_gaze_and_isotropic_at_the_edge():
    module = LogPolar(FLAT, a_deg=2.0)
    ecc = module.eccentricities_deg
    assert 0.9 < ecc[1] * 16 <= 1.02
    along = 2 * math.pi * ecc[-1] / module.n_angles
    assert abs(along / (ecc[-1] - ecc[-2]) - 1) < 0.03


@pytest.mark.parametrize("display", [FLAT, TANGENT])
@pytest.mark.parametrize("gaze", [(0.0, 0.0), (-3.0, 2.0)])
def test_samples_lie_where_polar_says(display, gaze):
    """A ramp survives low-pass and interpolation, so that its sampled values are positions on the screen."""
    module = LogPolar(display, a_deg=1.0, n_rings=20, n_angles=40, max_eccentricity_deg=3, fixation_deg=gaze)
    rows, columns = np.indices(display.resolution_px, dtype=float)
    x, y = module(torch.from_numpy(np.stack((columns, rows)))[None])[0]
    ecc, angle = display.polar(gaze, display.to_deg(torch.stack((x, y), -1)))
    expected = torch.exp(1j * module.angles_rad) * module.eccentricities_deg[:, None]
    torch.testing.assert_close(torch.polar(ecc, angle), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("display", [FLAT, TANGENT])
def test_a_constant_stays_constant_there_and_back(display):
    module = LogPolar(display, a_deg=1.0, background=0.0)
    picture = torch.full((2, 3, *display.resolution_px), 0.7)
    cortex = module(picture, [(0.0, 0.0), (6.5, -5.0)])
    covered = module.covered([(0.0, 0.0), (6.5, -5.0)])
    assert (cortex.movedim(1, -1)[covered] - 0.7).abs().max() < 1e-6
    assert (cortex.movedim(1, -1)[~covered] == 0).all()
    back = module.inverse(cortex, [(0.0, 0.0), (6.5, -5.0)])
    ecc = display.eccentricity_deg([(0.0, 0.0), (6.5, -5.0)])
    reached = torch.from_numpy(ecc <= module.max_eccentricity_deg)
    assert (back.movedim(1, -1)[reached] - 0.7).abs().max() < 1e-5
    assert (back.movedim(1, -1)[~reached] == 0).all()


def test_round_trip_keeps_what_the_local_spacing_can_carry():
    """Error against cycles per sample: below a twelfth 8 %, and no pattern above 0.75 returns."""
    module = LogPolar(FLAT, a_deg=0.5, n_rings=48)
    spacing = torch.from_numpy(FLAT.eccentricity_deg() + 0.5) * module.step
    inside = torch.from_numpy(FLAT.eccentricity_deg()) < 7
    for sf_cpd in (0.25, 0.5, 1.0, 2.0, 4.0):
        picture = grating(FLAT, sf_cpd)
        back = module.inverse(module(picture))
        kept, lost = (spacing * sf_cpd < 1 / 12) & inside, (spacing * sf_cpd > 0.75) & inside
        assert not kept.any() or (back - picture)[0, 0][kept].square().mean().sqrt() < 0.08 / math.sqrt(2)
        assert not lost.any() or back[0, 0][lost].square().mean() < 0.005
        assert kept.any() or lost.any()


def test_gratings_finer_than_the_sampling_do_not_alias():
    module = LogPolar(FLAT, a_deg=0.5, n_rings=32, max_eccentricity_deg=7)
    cycles, energy = [], []
    for orientation_deg in (0, 30, 45, 90, 135):
        for sf_cpd in (1, 2, 3, 4, 6):
            energy.append(module(grating(FLAT, sf_cpd, orientation_deg))[0, 0].square().mean(-1) / 0.5)
            cycles.append(sf_cpd * (module.eccentricities_deg + 0.5) * module.step)  # a sample
    energy, cycles = np.stack(energy), np.stack(cycles)
    assert (cycles > 1).sum() > 100
    assert energy[cycles > 0.55].max() < 0.15
    assert energy[cycles > 0.75].max() < 0.02
    assert energy[cycles > 1].max() < 0.001


def test_a_shifted_gaze_equals_a_shifted_picture():
    module = LogPolar(FLAT, a_deg=0.5, n_rings=40, max_eccentricity_deg=4)
    picture = torch.from_numpy(np.random.default_rng(0).random((1, 1, 256, 256)))
    moved = torch.roll(picture, (-32, -16), (-2, -1))  # whole steps of the coarsest level
    torch.testing.assert_close(module(picture, (1.0, -2.0)), module(moved), rtol=0, atol=1e-12)
    back = module.inverse(module(picture, (1.0, -2.0)), (1.0, -2.0))
    near = torch.from_numpy(FLAT.eccentricity_deg()) < 3.9
    shifted = torch.roll(back, (-32, -16), (-2, -1))
    torch.testing.assert_close(shifted[0, 0][near], module.inverse(module(moved))[0, 0][near], rtol=0, atol=1e-6)
