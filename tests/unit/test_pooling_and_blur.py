"""What PoolingWindows, FoveatedBlur and the pyramids refuse, and what they say."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.foveation import FoveatedBlur, PoolingWindows, SteerablePyramid, gaussian_pyramid

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(48, 64))
POOLING = PoolingWindows(DISPLAY, 0.5)
BLUR = FoveatedBlur(DISPLAY)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scaling": 0}, "scaling must be a finite number above 0, got 0"),
        ({"scaling": float("nan")}, "scaling must be a finite number"),
        ({"scaling": 0.5, "window": "box"}, "window must be one of 'cosine', 'gaussian'"),
        ({"scaling": 0.5, "min_eccentricity_deg": 5}, "max_eccentricity_deg must be above min_eccentricity_deg"),
        ({"scaling": 0.5, "max_eccentricity_deg": -1}, "max_eccentricity_deg"),
        ({"scaling": 0.5, "aspect": 0}, "aspect"),
        ({"scaling": 0.5, "transition": 1.5}, "transition must be at most 1"),
        ({"scaling": 0.5, "convention": "mine"}, "convention"),
        ({"scaling": 9.0, "window": "gaussian"}, "wedges a ring"),
        ({"scaling": 0.5, "fixation_deg": (9, 0)}, "fixation_deg must be on the screen"),
        ({"scaling": 0.5, "fixation_deg": [(0, 0), (1, 1)]}, "one default gaze"),
    ],
)
def test_bad_windows_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        PoolingWindows(DISPLAY, **arguments)


@pytest.mark.parametrize("module", [POOLING, BLUR], ids=["pooling", "blur"])
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(1, 1, 48, 63), ValueError, r"x must be \(b, c, 48, 64\), got \(1, 1, 48, 63\)"),
        (torch.zeros(48, 64), ValueError, "Give the Display the picture was made for"),
        (torch.zeros(0, 1, 48, 64), ValueError, "x must be"),
        (torch.zeros(1, 1, 48, 64, dtype=torch.uint8), TypeError, "floating"),
        (np.zeros((1, 1, 48, 64)), TypeError, "torch.Tensor"),
        (torch.full((1, 1, 48, 64), float("nan")), ValueError, "finite"),
    ],
)
def test_bad_pictures_are_refused(module, x, error, words):
    with pytest.raises(error, match=words):
        module(x)


@pytest.mark.parametrize("module", [POOLING, BLUR], ids=["pooling", "blur"])
@pytest.mark.parametrize(
    ("fixation", "words"), [((5, 0), "on the screen"), ((float("nan"), 0), "finite"), (np.zeros((3, 2)), r"\(2, 2\)")]
)
def test_bad_gazes_are_refused(module, fixation, words):
    with pytest.raises(ValueError, match=words):
        module(torch.zeros(2, 1, 48, 64), fixation)


def test_bad_averages_and_indices_are_refused():
    with pytest.raises(ValueError, match=r"pooled must be \(b, c, "):
        POOLING.unpool(torch.zeros(1, 1, 7))
    with pytest.raises(TypeError, match="floating"):
        POOLING.unpool(torch.zeros(1, 1, POOLING.n_windows, dtype=torch.int64))
    with pytest.raises(ValueError, match="index must be from 0 to"):
        POOLING.window_maps(POOLING.n_windows)
    with pytest.raises(ValueError, match="stride_px must be above 0"):
        POOLING.at((24, 32), (0, 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "pinhole"}, "model must be one of"),
        ({"cutoff": "3 dB"}, "cutoff must be one of"),
        ({"half_resolution_deg": -2.3}, "half_resolution_deg"),
        ({"contrast_threshold": 2.0}, "contrast_threshold must be below 1"),
        ({"contrast": 0.01}, "contrast must be above contrast_threshold"),
        ({"cutoff_cpd": np.ones((3, 3))}, r"a map of shape \(48, 64\)"),
        ({"cutoff_cpd": np.full((48, 64), np.nan)}, "3072 NaN"),
        ({"cutoff_cpd": np.full((48, 64), -1.0)}, "above 0 cycles per degree"),
        ({"cutoff_cpd": lambda e: e * float("nan")}, "finite"),
        ({"cutoff_cpd": lambda e: -1 - e}, "above 0"),
        ({"cutoff_cpd": lambda e: 3.0}, "a tensor of shape"),
        ({"fixation_deg": (0, 4)}, "on the screen"),
    ],
)
def test_bad_blurs_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        FoveatedBlur(DISPLAY, **arguments)


def test_pyramids_refuse_what_they_cannot_split():
    with pytest.raises(ValueError, match="n_scales must be at most 3"):
        SteerablePyramid((16, 40), n_scales=4, n_orientations=4)
    with pytest.raises(ValueError, match="n_levels must be at most 4"):
        gaussian_pyramid(torch.zeros(9, 12), 5)
    with pytest.raises(TypeError, match="floating"):
        gaussian_pyramid(torch.zeros(9, 12, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match=r"x must be \(\.\.\., 16, 40\)"):
        SteerablePyramid((16, 40), n_scales=2, n_orientations=4)(torch.zeros(16, 41))


def test_labels_and_names():
    assert POOLING.n_windows == POOLING.n_rings * POOLING.n_wedges == len(POOLING.eccentricity_deg)
    assert POOLING.centers_deg.shape == (POOLING.n_windows, 2)
    np.testing.assert_allclose(np.hypot(*POOLING.centers_deg.T), POOLING.eccentricity_deg)
    np.testing.assert_allclose(POOLING.width_deg, 0.5 * POOLING.eccentricity_deg)
    assert "rings" in repr(POOLING) and "half_amplitude" in repr(BLUR)
