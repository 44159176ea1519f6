"""What the blur does to gratings, measured from the pixels."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.foveation import FoveatedBlur

SIDE = 192
DISPLAY = npc.Display.from_px_per_deg(1, resolution_px=(SIDE, SIDE))  # so that cpd are cycles per pixel
APERTURE = np.hanning(SIDE)[:, None] * np.hanning(SIDE)
POINTS = DISPLAY.pixels_deg()


def patch(frequency, direction_deg, phase=0.3):
    along = POINTS[..., 0] * np.cos(np.radians(direction_deg)) + POINTS[..., 1] * np.sin(np.radians(direction_deg))
    carrier = 2 * np.pi * frequency * along
    return 0.5 + 0.4 * APERTURE * np.cos(carrier + phase), np.exp(-1j * carrier)


def measure(blur, frequency, direction_deg):
    """Gain of a grating patch, share of its energy that turns up elsewhere, and change of mean light."""
    before, probe = patch(frequency, direction_deg)
    after = blur(torch.as_tensor(before)[None, None])[0, 0].numpy()
    gain = abs(((after - 0.5) * APERTURE * probe).sum()) / abs(((before - 0.5) * APERTURE * probe).sum())
    left = np.abs(np.fft.fft2(after - 0.5)) ** 2
    fx, fy = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE))
    radians = np.radians(direction_deg)
    near = np.minimum(
        np.hypot(fx - frequency * np.cos(radians), fy + frequency * np.sin(radians)),
        np.hypot(fx + frequency * np.cos(radians), fy - frequency * np.sin(radians)),
    )
    elsewhere = left[near > 4 / SIDE * 2].sum() / (np.abs(np.fft.fft2(before - 0.5)) ** 2).sum()
    return gain, elsewhere, after.mean() - before.mean()


@pytest.mark.parametrize("cutoff", [0.25, 0.21, 0.177, 0.15, 0.125, 0.1, 0.08, 0.0625])
@pytest.mark.parametrize("direction_deg", [0, 45, 90, 135])
def test_transfer_at_and_between_hand_overs(cutoff, direction_deg):
    blur = FoveatedBlur(DISPLAY, cutoff_cpd=np.full((SIDE, SIDE), cutoff))
    for octave, low, high in ((1, 0.47, 0.53), (0.5, 0.80, 1.0), (2, 0.0, 0.15)):
        if octave * cutoff < 0.49:
            gain, elsewhere, change = measure(blur, octave * cutoff, direction_deg)
            assert low <= gain <= high
            assert elsewhere < 0.01
            assert abs(change) < 1e-4


@pytest.mark.parametrize("cutoff", [0.3, 0.177, 0.125, 0.05, 0.0156])
def test_mean_luminance_of_gratings_that_run_off_the_picture(cutoff):
    blur = FoveatedBlur(DISPLAY, cutoff_cpd=np.full((SIDE, SIDE), cutoff))
    for direction_deg in (0, 45, 90, 135):
        along = POINTS[..., 0] * np.cos(np.radians(direction_deg)) + POINTS[..., 1] * np.sin(np.radians(direction_deg))
        grating = torch.as_tensor(0.5 + 0.4 * np.cos(2 * np.pi * cutoff * along + 0.3))[None, None]
        assert float((blur(grating) - grating).mean()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("cutoff", [0.42, 0.36, 0.3])
@pytest.mark.parametrize("direction_deg", [0, 45])
def test_transfer_near_nyquist(cutoff, direction_deg):
    blur = FoveatedBlur(DISPLAY, cutoff_cpd=np.full((SIDE, SIDE), cutoff))
    assert 0.47 <= measure(blur, cutoff, direction_deg)[0] <= 0.53
    assert measure(blur, cutoff / 2, direction_deg)[0] >= 0.80


@pytest.mark.parametrize("eccentricity", [3, 6, 10, 15, 20])
def test_transfer_follows_the_gaze(eccentricity):
    """Small patches at five eccentricities of the half-resolution map, at the model's own cut-off there."""
    display = npc.Display.from_px_per_deg(12, resolution_px=(300, 600))
    blur = FoveatedBlur(display, model="half_resolution", fixation_deg=(-20, 0))
    points = display.pixels_deg()
    x, y = points[..., 0] - (eccentricity - 20), points[..., 1]
    cutoff = float(blur.cutoff_at(eccentricity))
    sigma = 0.6 / cutoff
    envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    for direction_deg in (0, 45, 90, 135):
        along = x * np.cos(np.radians(direction_deg)) + y * np.sin(np.radians(direction_deg))
        probe = envelope * np.exp(-2j * np.pi * cutoff * along)
        before = 0.5 + 0.4 * probe.real
        after = blur(torch.as_tensor(before)[None, None])[0, 0].numpy()
        gain = abs(((after - 0.5) * probe).sum()) / abs(((before - 0.5) * probe).sum())
        # A patch this small holds an octave of frequencies and a range of cut-offs.
        assert gain == pytest.approx(0.5, abs=0.06)


def test_cut_offs_are_the_closed_forms():
    blur = FoveatedBlur(DISPLAY)
    expected = [39.24, 27.35, 19.62, 12.36, 7.34, 4.05, 2.79]
    np.testing.assert_allclose(blur.cutoff_at([0, 1, 2.3, 5, 10, 20, 30]), expected, atol=0.006)
    half = FoveatedBlur(npc.Display.from_px_per_deg(40, resolution_px=(8, 8)), model="half_resolution")
    np.testing.assert_allclose(half.cutoff_at(2.3 * (2.0 ** np.arange(5) - 1)), 20 / 2.0 ** np.arange(5), rtol=1e-12)
    contrast = FoveatedBlur(npc.Display.from_px_per_deg(40, resolution_px=(8, 8)))
    assert float(contrast.cutoff_at(2.21)) == pytest.approx(20, abs=0.05)  # blur starts at 2.21 deg on 40 px/deg


def test_threshold_cut_off_takes_full_contrast_to_threshold():
    values = np.full((SIDE, SIDE), 0.3)
    blur = FoveatedBlur(DISPLAY, cutoff_cpd=values, cutoff="threshold")
    assert measure(blur, 0.3, 0)[0] < 0.06  # a Gaussian would leave 1/64; blends of two leave a little more
    assert float(blur.cutoff_map_cpd().mean()) == pytest.approx(0.3 / np.sqrt(6))


def test_all_pass_returns_the_input_and_nyquist_too():
    x = torch.rand(1, 3, SIDE, SIDE)
    for cutoff in (np.inf, 0.5):
        assert torch.equal(FoveatedBlur(DISPLAY, cutoff_cpd=np.full((SIDE, SIDE), cutoff))(x), x)


def test_monotone_in_eccentricity():
    display = npc.Display.from_px_per_deg(16, resolution_px=(64, 512))
    blur = FoveatedBlur(display, model="half_resolution", fixation_deg=(-15, 0))
    noise = torch.rand(16, 1, 64, 512, generator=torch.Generator().manual_seed(0))
    sd = blur(noise).reshape(16, 64, 8, 64).std((0, 1, 3))
    assert (sd.diff() < 0).all()
