"""MAD competition and eigendistortions: what they keep, what they change, what they refuse."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import neuroperc as npc
from neuroperc.synthesis import eigendistortions, mad_competition


def picture(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(100 + seed).random(shape))


def mse(x, y):
    return (x - y).square().flatten(1).mean(1)


def dissimilarity(x, y):
    return 1 - npc.metrics.ssim(x, y, data_range=1.0)


def smooth(*shape):
    return nn.functional.interpolate(picture(*shape), scale_factor=8, mode="bicubic").clamp(0.1, 0.9)


def test_mad_of_ssim_and_mse_holds_one_and_moves_the_other():
    """Wang & Simoncelli 2008, their figure of SSIM against MSE: one distance, very different pictures."""
    target = smooth(2, 1, 3, 3)
    found = mad_competition(dissimilarity, mse, target, std=0.05, steps=400)
    assert set(found.images) == {"first_min", "first_max", "second_min", "second_max"}
    for name, image in found.images.items():
        assert image.shape == target.shape
        assert image.min() >= 0
        assert image.max() <= 1
        torch.testing.assert_close(found.first[name], dissimilarity(image, target))
        held = found.second if name.startswith("first") else found.first
        torch.testing.assert_close(held[name], held["start"], rtol=0.01, atol=0)
    assert (found.first["first_max"] > 1.2 * found.first["start"]).all()
    assert (found.first["first_min"] < 0.5 * found.first["start"]).all()
    assert (found.second["second_max"] > 1.2 * found.second["start"]).all()
    assert (found.second["second_min"] < 0.8 * found.second["start"]).all()


def test_a_mad_picture_of_a_batch_is_the_picture_alone():
    target = smooth(2, 1, 2, 2)
    start = (target + 0.05 * (picture(2, 1, 16, 16) - 0.5)).clamp(0, 1)
    both = mad_competition(dissimilarity, mse, target, start=start, steps=60, rounds=3)
    for i in range(2):
        one = mad_competition(dissimilarity, mse, target[i], start=start[i], steps=60, rounds=3)
        for name in one.images:
            torch.testing.assert_close(one.images[name], both.images[name][i], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("first", "arguments", "error", "message"),
    [
        ("mse", {}, TypeError, "first must be a callable"),
        (lambda x, y: mse(x, y).mean(), {}, ValueError, r"first must be a metric that returns \(1,\)"),
        (lambda x, y: mse(x, y).detach(), {}, ValueError, "differentiable"),
        (lambda x, y: mse(x, y) - 1, {}, ValueError, "give one minus it"),
        (lambda x, y: mse(x, y) / 0, {}, ValueError, "small constant"),
        (mse, {"std": 0}, ValueError, "std"),
        (mse, {"rounds": 0}, ValueError, "rounds"),
        (mse, {"steps": 5}, ValueError, "at least one step"),
        (mse, {"start": torch.full((1, 8, 8), math.nan)}, ValueError, "start must be finite"),
        (mse, {"start": torch.zeros(3, 8, 8)}, ValueError, "broadcasts"),
        (mse, {"rng": None}, TypeError, "rng"),
    ],
)
def test_bad_mad_arguments(first, arguments, error, message):
    with pytest.raises(error, match=message):
        mad_competition(first, mse, picture(1, 8, 8), **arguments)


def test_the_model_answers_to_eigendistortions_as_their_values_say():
    display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    model = npc.metamers.EnergyModel(display, n_scales=2).double()
    image = picture(1, 16, 16)
    found = eigendistortions(model, image, n=2, tolerance=1e-6)
    step = 1e-5
    for vectors, values in ((found.top, found.top_values), (found.bottom, found.bottom_values)):
        answers = [
            (model((image + step * v)[None]) - model((image - step * v)[None])).norm() / (2 * step) for v in vectors
        ]
        torch.testing.assert_close(torch.stack(answers) ** 2, values, rtol=1e-4, atol=1e-5 * float(found.top_values[0]))
        gram = vectors.flatten(1) @ vectors.flatten(1).T
        torch.testing.assert_close(gram, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-10)
    assert (found.top.flatten(1) @ found.bottom.flatten(1).T).abs().max() < 1e-10


def test_a_model_with_few_features_has_changes_it_does_not_see():
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 36)))
    found = eigendistortions(lambda x: x.flatten(1) @ weight.T, picture(1, 6, 6), n=4)
    exact = torch.linalg.svdvals(weight) ** 2
    torch.testing.assert_close(found.top_values[:3], exact)
    assert found.top_values[3] < 1e-10
    assert found.bottom_values.max() < 1e-10
    assert (weight @ found.bottom.flatten(1).T).abs().max() < 1e-6


def test_products_are_limited_and_the_error_says_what_was_reached():
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((60, 64)))
    found = eigendistortions(lambda x: x.flatten(1) @ weight.T, picture(1, 8, 8), max_products=10, tolerance=1e-9)
    assert found.n_products == 10
    assert found.error > 1e-9
    assert float(found.top_values[0]) < float(torch.linalg.svdvals(weight)[0]) ** 2  # Ritz values lie inside


@pytest.mark.parametrize(
    ("model", "arguments", "error", "message"),
    [
        ("model", {}, TypeError, "callable"),
        (lambda x: x.detach(), {}, ValueError, r"torch\.no_grad"),
        (torch.clone, {"n": 0}, ValueError, "n must be"),
        (torch.clone, {"n": 33}, ValueError, "half the 64 pixels"),
        (torch.clone, {"tolerance": 0}, ValueError, "tolerance"),
        (torch.clone, {"max_products": 1}, ValueError, "max_products"),
        (torch.clone, {"rng": "seed"}, TypeError, "rng"),
    ],
)
def test_bad_eigendistortion_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        eigendistortions(model, picture(1, 8, 8), **arguments)
