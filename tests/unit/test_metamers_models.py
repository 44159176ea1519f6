"""LuminanceModel and EnergyModel: features and their names, gazes, gradients, normalisation, and what they refuse."""

import math

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import EnergyModel, LuminanceModel

DISPLAY = Display.from_px_per_deg(4, resolution_px=(32, 40))
GAZES = torch.tensor([[0.0, 0.0], [2.0, -1.0]], dtype=torch.float64)


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_no_scaling_means_averages_of_the_whole_picture():
    x = random(2, 3, 32, 40)
    torch.testing.assert_close(LuminanceModel(DISPLAY)(x), x.mean((-2, -1)))
    model = EnergyModel(DISPLAY)
    features = model(x).reshape(2, 3, 17)
    torch.testing.assert_close(features[..., 0], x.mean((-2, -1)))
    bands = torch.cat([band.square().sum(-3).mean((-2, -1)) for band in model.pyramid(x).bands], -1)
    torch.testing.assert_close(features[..., 1:], bands)


@pytest.mark.parametrize("scaling", [None, 0.5])
@pytest.mark.parametrize("kind", [LuminanceModel, EnergyModel])
def test_every_feature_has_its_labels(kind, scaling):
    model = kind(DISPLAY, scaling=scaling)
    for n_channels in (1, 3):
        labels = model.labels_for(n_channels)
        n_features = model(random(1, n_channels, 32, 40)).shape[1]
        assert {len(v) for v in labels.values()} == {n_features}
        assert sorted(set(labels["channel"])) == list(range(n_channels))
    assert all(np.array_equal(v, model.labels_for(1)[k]) for k, v in model.labels.items() if k == "statistic")


def test_labels_point_at_the_feature():
    """Raise one channel of one picture: only features with that channel's label move."""
    model, x = EnergyModel(DISPLAY, scaling=0.5), random(1, 3, 32, 40)
    brighter = x.clone()
    brighter[:, 1] *= 0.5
    moved = (model(x) != model(brighter))[0].numpy()
    labels = model.labels_for(3)
    assert set(labels["channel"][moved]) == {1}
    luminance = labels["statistic"] == "luminance"
    assert np.isnan(labels["sf_cpd"][luminance]).all()
    assert (labels["scale"][luminance] == -1).all()
    assert sorted(set(labels["sf_cpd"][~luminance])) == [0.125, 0.25, 0.5, 1.0]
    assert np.array_equal(labels["eccentricity_deg"][luminance], np.tile(model.windows.eccentricity_deg, 3))


def test_small_pictures_have_fewer_scales():
    sizes = {32: 4, 64: 5, 128: 6, 300: 6}
    for side, n_scales in sizes.items():
        assert EnergyModel(Display.from_px_per_deg(4, resolution_px=(side, 320))).n_scales == n_scales
    with pytest.raises(ValueError, match="n_scales must be at most 4"):
        EnergyModel(DISPLAY, n_scales=6)


@pytest.mark.parametrize("kind", [LuminanceModel, EnergyModel])
def test_a_gaze_per_item_equals_the_loop(kind):
    model, x = kind(DISPLAY, scaling=0.5), random(2, 1, 32, 40)
    loop = torch.cat([model(x[i : i + 1], GAZES[i]) for i in range(2)])
    torch.testing.assert_close(model(x, GAZES), loop, rtol=1e-10, atol=1e-12)
    there = kind(DISPLAY, scaling=0.5, fixation_deg=(2.0, -1.0))
    torch.testing.assert_close(there(x[1:]), loop[1:], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [LuminanceModel, EnergyModel])
def test_gradients_for_picture_and_gaze(kind):
    model = kind(DISPLAY, scaling=0.8)
    x, gaze = (
        random(1, 1, 32, 40).requires_grad_(),
        torch.tensor([[1.03, 0.52]], dtype=torch.float64, requires_grad=True),
    )
    seen = model(x, gaze).detach() != 0  # a window enters or leaves a coarse grid at once
    assert torch.autograd.gradcheck(lambda x: model(x), x, fast_mode=True)
    assert torch.autograd.gradcheck(lambda g: model(x.detach(), g) * seen, gaze, fast_mode=True, atol=1e-4)


def test_normalisation_makes_z_scores_of_whole_picture_averages():
    pictures = random(6, 1, 32, 40) * torch.linspace(0.3, 1, 6)[:, None, None, None]
    plain = EnergyModel(DISPLAY)
    model = plain.fit_normalization(pictures)
    z = model(pictures)
    torch.testing.assert_close(z.mean(0), torch.zeros(17, dtype=torch.float64), rtol=0, atol=1e-10)
    torch.testing.assert_close(z.std(0), torch.ones(17, dtype=torch.float64))
    assert torch.equal(plain.band_sd, torch.ones(17, dtype=torch.float64))  # the first model stays as it was
    batches = plain.fit_normalization(pictures[i : i + 2] for i in (0, 2, 4))
    torch.testing.assert_close(batches.band_sd, model.band_sd)
    again = EnergyModel(DISPLAY, normalization=(model.band_mean, model.band_sd))
    assert torch.equal(again(pictures), z)
    assert set(model.state_dict()) == {"band_mean", "band_sd"}


def test_normalisation_of_windows_uses_the_same_numbers():
    pictures = random(4, 1, 32, 40) * torch.linspace(0.3, 1, 4)[:, None, None, None]
    plain = EnergyModel(DISPLAY, scaling=0.5)
    model = plain.fit_normalization(pictures)
    expected = (plain(pictures).reshape(4, 17, -1) - model.band_mean[:, None]) / model.band_sd[:, None]
    torch.testing.assert_close(model(pictures).reshape(4, 17, -1), expected)


@pytest.mark.parametrize("kind", [LuminanceModel, EnergyModel])
def test_compiles_as_one_graph(kind):
    model, x = kind(DISPLAY, scaling=0.5), random(1, 1, 32, 40).float()
    expected = model(x)  # builds the windows
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), expected)


def test_takes_house_images_as_they_are():
    assert LuminanceModel(DISPLAY).preprocess is None
    assert EnergyModel(DISPLAY).preprocess is None
    assert LuminanceModel(DISPLAY, scaling=0.5).coverage.shape == (32, 40)
    assert (EnergyModel(DISPLAY).coverage == 1).all()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 32, 40), ValueError, r"\(b, c, 32, 40\)"),
        (torch.zeros(1, 1, 40, 32), ValueError, "Give the Display"),
        (torch.zeros(0, 1, 32, 40), ValueError, r"\(b, c, 32, 40\)"),
        (torch.full((1, 1, 32, 40), math.nan), ValueError, "1280 NaN"),
        (torch.zeros(1, 1, 32, 40, dtype=torch.uint8), TypeError, "by 255"),
    ],
)
@pytest.mark.parametrize("kind", [LuminanceModel, EnergyModel])
def test_bad_pictures(kind, x, error, message):
    with pytest.raises(error, match=message):
        kind(DISPLAY)(x)


def test_bad_arguments():
    with pytest.raises(TypeError, match="a Display"):
        LuminanceModel((32, 40))
    with pytest.raises(ValueError, match="scaling"):
        EnergyModel(DISPLAY, scaling=-1)
    with pytest.raises(ValueError, match="17 maps"):
        EnergyModel(DISPLAY, normalization=(np.zeros(3), np.ones(3)))
    with pytest.raises(ValueError, match="above 0 for every standard deviation"):
        EnergyModel(DISPLAY, normalization=(0, 0))
    with pytest.raises(ValueError, match="finite"):
        EnergyModel(DISPLAY, normalization=(math.nan, 1))
    with pytest.raises(ValueError, match="two pictures"):
        EnergyModel(DISPLAY).fit_normalization(random(1, 1, 32, 40))
    with pytest.raises(ValueError, match="two pictures"):
        EnergyModel(DISPLAY).fit_normalization([])
    with pytest.raises(ValueError, match="photographs"):
        EnergyModel(DISPLAY).fit_normalization(torch.zeros(3, 1, 32, 40))
