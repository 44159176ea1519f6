"""Codes make the light that was asked for."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc import color

XYY = ((0.64, 0.33, 21.26), (0.30, 0.60, 71.52), (0.15, 0.06, 7.22))
LEVELS = np.linspace(0, 1, 52)
TABLE = np.column_stack((LEVELS**1.9, LEVELS**2.4, 0.7 * LEVELS**2.1 + 0.3 * LEVELS)) * 80 + 0.4


def shown(calibration):
    return npc.Display.from_px_per_deg(30, resolution_px=(64, 64), calibration=calibration)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize(
    "calibration",
    [npc.Calibration(table=TABLE), npc.Calibration(gamma=(1.8, 2.2, 2.5), offset=(0.0, -0.05, 0.1))],
    ids=["table", "gain-offset-gamma"],
)
def test_codes_give_the_asked_light_within_half_a_step(calibration, bits):
    display = shown(calibration)
    light = np.random.default_rng(0).uniform(0, 1, (3, 64, 64))
    frames = display.to_dac(light, bits=bits)
    assert frames.n_clipped == 0
    realised = display.from_dac(frames.codes, bits=bits)
    top = 2**bits - 1
    for channel in range(3):
        steps = calibration.decode(np.arange(top + 1) / top, channel)
        below = np.clip(np.searchsorted(steps, light[channel], side="right") - 1, 0, top - 1)
        half = (steps[below + 1] - steps[below]) / 2
        assert (abs(realised[channel] - light[channel]) <= half + 1e-12).all()


def test_a_one_percent_grating_survives_dither():
    display = npc.Display.from_px_per_deg(30, resolution_px=(600, 600), calibration=npc.Calibration(table=TABLE))
    x = display.pixels_deg()[..., 0]
    wave = np.cos(2 * np.pi * 2 * x)
    light = np.broadcast_to(0.5 * (1 + 0.01 * wave), (3, 600, 600))
    frames = display.to_dac(light, bits=8, dither="noise", rng=0)
    realised = display.from_dac(frames.codes)
    for channel in range(3):
        contrast = 2 * (realised[channel] * wave).mean() / realised[channel].mean()
        assert contrast == pytest.approx(0.01, abs=0.0005)  # 1 +- 0.05 % contrast
        assert realised[channel].mean() == pytest.approx(0.5, abs=1e-4)
    again = display.to_dac(light, bits=8, dither="noise", rng=0)
    np.testing.assert_array_equal(again.codes, frames.codes)


def test_out_of_gamut_is_counted_and_never_rescaled():
    display = shown(npc.Calibration(gamma=2.2))
    frames = display.to_dac(np.array([[-0.1, 0.25], [0.5, 1.2]]))
    assert frames.n_clipped == 2
    assert frames.codes.dtype == np.uint8
    inside = display.to_dac(np.array([[0.25, 0.5]]))
    assert frames.codes[0, 1] == inside.codes[0, 0] and frames.codes[1, 0] == inside.codes[0, 1]
    assert frames.codes[0, 0] == 0 and frames.codes[1, 1] == 255


def test_torch_frames_and_bad_frames():
    display = shown(npc.Calibration(gamma=(2.0, 2.2, 2.4)))
    light = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert display.to_dac(light, bits=10).codes.dtype == np.uint16
    with pytest.raises(ValueError, match="channels differ"):
        display.to_dac(np.zeros((8, 8)))
    with pytest.raises(ValueError, match="linear must be finite"):
        display.to_dac(np.full((3, 8, 8), np.nan))
    with pytest.raises(ValueError, match="bits must be one of"):
        display.to_dac(light, bits=9)
    with pytest.raises(TypeError, match="rng must be"):
        display.to_dac(light, dither="noise")
    with pytest.raises(ValueError, match="calibration must be measured"):
        npc.Display.from_px_per_deg(30, resolution_px=(8, 8)).to_dac(light)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gamma": -1}, "gamma"),
        ({"gamma": (2, 2, float("nan"))}, "gamma"),
        ({"table": [0, 0.5, 0.4, 1]}, "table must be increasing"),
        ({"table": [0.0]}, "two levels"),
        ({"white_cd_m2": 1, "black_cd_m2": 2}, "white_cd_m2 must be above"),
        ({"primaries_xyy": ((1, 2), (3, 4))}, "primaries_xyy"),
        ({"spectra": np.ones((4, 3))}, "wavelength_nm"),
        ({"spectra": np.ones((4, 3)), "wavelength_nm": [400, 500]}, "n_wavelengths"),
    ],
)
def test_bad_calibrations_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        npc.Calibration(**fields)


def test_srgb_curve_and_round_trip():
    codes = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(color.linear_to_srgb(color.srgb_to_linear(codes)), codes, atol=1e-9)
    tensor = torch.linspace(0, 1, 11, dtype=torch.float64)
    np.testing.assert_allclose(color.srgb_to_linear(tensor).numpy(), color.srgb_to_linear(tensor.numpy()), atol=1e-12)
    with pytest.raises(TypeError, match="Divide 8-bit codes by 255"):
        color.srgb_to_linear(np.array([0, 255], dtype=np.uint8))
    slope = torch.tensor(0.0, requires_grad=True)
    color.srgb_to_linear(slope).backward()
    assert torch.isfinite(slope.grad)


def test_srgb_curve_equals_scikit_image():
    from skimage.color import colorconv, rgb2xyz

    rgb = np.random.default_rng(0).uniform(0, 1, (5, 5, 3))
    linear = rgb2xyz(rgb) @ np.linalg.inv(colorconv.xyz_from_rgb).T  # undo their matrix: the curve is left
    np.testing.assert_allclose(color.srgb_to_linear(rgb), linear, atol=1e-9)
    grey = color.luminance(rgb, axis=-1)[..., 0]
    np.testing.assert_allclose(grey, rgb @ [0.2126, 0.7152, 0.0722], atol=1e-12)


def test_cone_and_dkl_spaces():
    calibration = npc.Calibration(primaries_xyy=XYY)
    rgb = np.random.default_rng(0).uniform(0, 1, (3, 6, 7))
    lms = color.rgb_to_cone(rgb, calibration)
    np.testing.assert_allclose(color.cone_to_rgb(lms, calibration), rgb, atol=1e-12)
    # L + M is luminance: the calibrated primaries' Y, up to the rounding of the published coefficients.
    big_y = np.tensordot([21.26, 71.52, 7.22], rgb, 1)
    np.testing.assert_allclose(lms[0] + lms[1], big_y, rtol=1e-4)
    grey = (0.5, 0.5, 0.5)
    dkl = color.rgb_to_dkl(rgb, calibration, background=grey)
    np.testing.assert_allclose(color.dkl_to_rgb(dkl, calibration, background=grey), rgb, atol=1e-12)
    axes = color.dkl_to_rgb(np.eye(3)[:, :, None] * 0.1, calibration, background=grey)
    for index, silent in enumerate([None, "luminance", "luminance"]):
        change = color.cone_matrix(calibration) @ (axes[:, index, 0] - 0.5)
        background = color.cone_matrix(calibration) @ np.array(grey)
        if silent:
            assert abs(change[0] + change[1]) < 1e-10  # isoluminant
        assert np.linalg.norm(change / background) == pytest.approx(0.1)  # pooled cone contrast
    s_change = color.cone_matrix(calibration) @ (axes[:, 2, 0] - 0.5)
    np.testing.assert_allclose(s_change[:2], 0, atol=1e-10)  # the S axis moves S alone


def test_cones_from_spectra_and_refusals():
    nm = np.arange(400, 701, 10.0)
    spectra = np.stack([np.exp(-(((nm - c) / 20) ** 2)) for c in (610, 540, 460)], 1)
    sensitivity = np.stack([np.exp(-(((nm - c) / 40) ** 2)) for c in (565, 540, 440)], 1)
    calibration = npc.Calibration(spectra=spectra, wavelength_nm=nm)
    matrix = color.cone_matrix(calibration, sensitivity)
    np.testing.assert_allclose(matrix, 10 * sensitivity.T @ spectra)
    with pytest.raises(ValueError, match="fundamentals must be given"):
        color.cone_matrix(calibration)
    with pytest.raises(ValueError, match="Measure the primaries"):
        color.cone_matrix(npc.Calibration())
    with pytest.raises(ValueError, match="background"):
        color.dkl_matrix(npc.Calibration(primaries_xyy=XYY), (0, 0.5, 0.5))
    with pytest.raises(ValueError, match="3 channels"):
        color.rgb_to_cone(np.zeros((2, 4, 4)), npc.Calibration(primaries_xyy=XYY))
