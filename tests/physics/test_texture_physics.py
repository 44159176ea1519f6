"""What texture statistics must say of pictures whose statistics are known in closed form."""

import math

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import TextureModel
from neuroperc.metamers.texture import _measure
from neuroperc.metamers.texture._averages import WholePicture

SIDE = 128
DISPLAY = Display.from_px_per_deg(8, resolution_px=(SIDE, SIDE))


def noise(seed=0, n=1):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 1, SIDE, SIDE)))


def grating(cycles, stripes_deg, contrast=1.0, phase=0.0):
    """Whole cycles a picture along each axis, so that edges join."""
    row, column = np.mgrid[:SIDE, :SIDE]
    across = math.radians(stripes_deg + 90)
    fx, fy = round(cycles * math.cos(across)), -round(cycles * math.sin(across))  # rows count down
    wave = np.cos(2 * np.pi * (fx * column + fy * row) / SIDE + phase)
    return torch.from_numpy(0.5 + 0.5 * contrast * wave)[None, None]


def test_pixels_of_a_grating():
    """Mean 1/2, variance c^2 / 8, no skew, kurtosis 3/2."""
    found = TextureModel(DISPLAY).statistics(grating(16, 90, 0.6))["pixel_statistics"][0, 0]
    expected = torch.tensor([0.5, 0.36 / 8 * SIDE**2 / (SIDE**2 - 1), 0, 1.5, 0.2, 0.8], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("scale", "cycles"), [(0, 32), (1, 16), (2, 8)])
@pytest.mark.parametrize("orientation", range(4))
def test_a_grating_is_found_at_its_scale_and_orientation(scale, cycles, orientation):
    """One band's magnitude is the largest: 4^s times c / 2, by the windows' mean of it."""
    stripes_deg = (90 - 45 * orientation) % 180
    model = TextureModel(DISPLAY, scaling=0.9, n_scales=3)
    means = model.statistics(grating(cycles, stripes_deg))["magnitude_mean"][0, 0]
    means = means / 4.0 ** torch.arange(3)[:, None]
    seen = (means > 0).all(0).all(0)
    assert seen.sum() > 10
    best = means[..., seen].flatten(0, 1).argmax(0)
    assert (best == orientation * 3 + scale).all()


def test_a_gratings_lowpass_autocorrelation_is_a_cosine():
    """Around the torus exactly: cos(2 pi f d)."""
    model = TextureModel(DISPLAY, n_scales=3, neighborhood_px=7)
    found = model.statistics(grating(8, 90))["auto_correlation_reconstructed"][0, 0, :, :, 0]
    expected = torch.cos(2 * math.pi * 8 / SIDE * torch.arange(-3, 4, dtype=torch.float64))
    torch.testing.assert_close(found, expected.expand(7, 7), rtol=0, atol=1e-6)


def test_magnitudes_of_a_grating_do_not_vary():
    found = TextureModel(DISPLAY).statistics(grating(16, 90))
    assert found["magnitude_std"].max() < 1e-4
    assert found["auto_correlation_magnitude"][0, 0, 0, 0].abs().max() < 1e-3  # nothing to correlate


def test_doubled_phases_lock_where_scales_align():
    """A line's bands are in phase at all scales: cos and its octave below, doubled, correlate; in noise they do not."""
    line = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    line[..., SIDE // 2] = 1
    model = TextureModel(DISPLAY, n_scales=3)
    locked = model.statistics(line)["cross_scale_correlation_real"][0, 0, 0, [0, 4]].norm(dim=0)
    free = model.statistics(noise())["cross_scale_correlation_real"][0, 0, 0, [0, 4]].norm(dim=0)
    assert (locked > 0.5).all()
    assert (free < 0.1).all()


def test_gaussian_noise():
    """Skew 0, kurtosis 3 at every scale; phases of neighbouring scales are independent."""
    model = TextureModel(Display.from_px_per_deg(8, resolution_px=(512, 512)), n_scales=2)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 1, 512, 512)))
    found = model.statistics(x)
    assert found["skew_reconstructed"].abs().max() < 0.1
    assert (found["kurtosis_reconstructed"] - 3).abs().max() < 0.2
    assert found["cross_scale_correlation_real"].abs().max() < 0.05


def test_contrast_scales_deviations_and_leaves_correlations():
    model, x = TextureModel(DISPLAY), 0.5 + noise()
    half = model.statistics(0.5 + 0.5 * noise())
    for name, values in model.statistics(x).items():
        if "correlation" in name or "skew" in name or "kurtosis" in name:
            torch.testing.assert_close(half[name], values, rtol=1e-6, atol=1e-6)
        elif "std" in name:
            torch.testing.assert_close(2 * half[name], values, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(4 * half["var_highpass_residual"], model.statistics(x)["var_highpass_residual"])


def test_statistics_of_the_whole_do_not_see_place():
    """Whole pictures: moved around the torus, by steps that every scale's samples know."""
    model, x = TextureModel(DISPLAY), noise()
    torch.testing.assert_close(model(x.roll((16, -32), (-2, -1))), model(x), rtol=1e-6, atol=1e-8)


def test_windows_see_place_and_only_their_own():
    """A change in a corner moves windows near it, and not those on the other side (short of the joined edges)."""
    model = TextureModel(DISPLAY, scaling=0.5, n_scales=2, neighborhood_px=3)
    x = noise() * 0.1 + 0.5
    other = x.clone()
    other[..., :16, :16] += 0.1 * noise(1)[..., :16, :16]
    found, moved = (model.statistics(picture)["magnitude_mean"][0, 0, :, 0] for picture in (x, other))
    change = (found - moved).abs().amax(0).numpy() / found.mean().item()
    x_deg = model.windows.eccentricity_deg * np.cos(np.radians(model.windows.angle_deg))
    y_deg = model.windows.eccentricity_deg * np.sin(np.radians(model.windows.angle_deg))
    assert change.max() > 0.05
    assert change[(abs(x_deg - 3) < 2) & (abs(y_deg + 3) < 2)].max() < 1e-3


def test_averages_over_windows_add_up_to_the_whole():
    """Weighted by mass, energies of windows are the whole picture's, but for the fovea that none covers."""
    model = TextureModel(DISPLAY, scaling=0.5, n_scales=2, min_eccentricity_deg=0.1)
    x = noise() * 0.1 + 0.5
    windows, whole = model.statistics(x), TextureModel(DISPLAY, n_scales=2).statistics(x)
    share = model.windows.mass.double() / model.windows.mass.sum()
    highpass = (windows["var_highpass_residual"][0, 0, 0] * share).sum()
    torch.testing.assert_close(highpass, whole["var_highpass_residual"][0, 0, 0], rtol=5e-3, atol=0)


def test_windows_of_a_texture_agree_with_the_whole():
    """Where statistics are the same everywhere, large windows find what the whole picture has."""
    display = Display.from_px_per_deg(16, resolution_px=(512, 512))
    spectrum = torch.fft.rfft2(torch.from_numpy(np.random.default_rng(2).standard_normal((512, 512))))
    frequency = (torch.fft.fftfreq(512)[:, None] ** 2 + torch.fft.rfftfreq(512)[None] ** 2).sqrt()
    x = torch.fft.irfft2(spectrum / (0.05 + frequency))
    x = (0.5 + 0.1 * x / x.std())[None, None].float()
    settings = {"n_scales": 2, "neighborhood_px": 5}
    windows = TextureModel(display, scaling=1.0, **settings)
    local, whole = windows.statistics(x), TextureModel(display, **settings).statistics(x)
    ring = torch.from_numpy((windows.windows.eccentricity_deg > 6) & (windows.windows.eccentricity_deg < 12))
    assert ring.sum() >= 10
    for name in ("auto_correlation_magnitude", "auto_correlation_reconstructed", "cross_scale_correlation_magnitude",
                 "cross_orientation_correlation_magnitude", "cross_scale_correlation_real"):  # fmt: skip
        found = local[name][0, 0][..., ring].mean(-1)
        torch.testing.assert_close(found, whole[name][0, 0], rtol=0, atol=0.1)


def test_one_window_over_everything_is_the_whole_picture(monkeypatch):
    """With the windows put aside for one that covers all, both forms agree on all but lags, which end at the border."""
    settings = {"n_scales": 3, "neighborhood_px": 3}
    model = TextureModel(DISPLAY, scaling=0.9, **settings)
    monkeypatch.setattr(type(model.windows), "forward", lambda self, x, gaze=None: x.mean((-2, -1))[..., None])
    monkeypatch.setattr(type(model._averages[0]), "extremes", WholePicture.extremes)
    monkeypatch.setattr(_measure, "_WINDOWS", _measure._WHOLE)
    x = torch.from_numpy(np.random.default_rng(3).random((1, 2, SIDE, SIDE)))
    local, whole = model.statistics(x), TextureModel(DISPLAY, **settings).statistics(x)
    for name, values in whole.items():
        if not name.startswith(
            ("pixel", "auto_correlation", "cross_channel_correlation_pixel")
        ):  # variances over n and over n - 1
            torch.testing.assert_close(local[name][..., 0], values, rtol=1e-9, atol=1e-9)
        elif name.startswith("auto_correlation"):
            torch.testing.assert_close(local[name][..., 0, 0], values[..., 0], rtol=0, atol=0.01)
