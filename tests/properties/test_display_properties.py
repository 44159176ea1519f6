"""Properties of every display."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroperc as npc

sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


@st.composite
def displays(draw):
    resolution = draw(sizes)
    if draw(st.booleans()):
        return npc.Display.from_px_per_deg(draw(st.floats(1, 100)), resolution_px=resolution)
    size = draw(st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)))
    geometry = draw(st.sampled_from(["tangent", "small_angle"]))
    return npc.Display(resolution, size, draw(st.floats(0.3, 3)), geometry=geometry)


points = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5)


@given(displays(), points)
@settings(max_examples=100, deadline=None)
def test_pixels_to_degrees_and_back(display, unit):
    px = np.array(unit) * (np.array(display.resolution_px[::-1]) - 1)
    np.testing.assert_allclose(display.to_px(display.to_deg(px)), px, atol=1e-8)


@given(displays(), points, st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)))
@settings(max_examples=100, deadline=None)
def test_polar_and_back(display, unit, where):
    extent = np.array(display.extent_deg[::-1])
    fixation = np.array(where) * extent
    targets = display.to_deg(np.array(unit) * (np.array(display.resolution_px[::-1]) - 1))
    eccentricity, angle = display.polar(fixation, targets)
    np.testing.assert_allclose(display.point_at(eccentricity, angle, fixation), targets, atol=1e-7)
    swapped = display.eccentricity_deg(targets, fixation)
    np.testing.assert_allclose(swapped, eccentricity, atol=1e-7)


@given(displays())
@settings(max_examples=50, deadline=None)
def test_dict_round_trip_through_json(display):
    assert npc.Display.from_dict(json.loads(json.dumps(display.to_dict()))) == display


@given(sizes, st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)), st.floats(0.3, 3), st.floats(30, 240))
@settings(max_examples=50, deadline=None)
def test_bids_round_trip(resolution, size, distance, refresh):
    display = npc.Display(resolution, size, distance, refresh_hz=refresh)
    assert npc.Display.from_bids(json.loads(json.dumps(display.to_bids()))) == display


def test_numpy_and_torch_agree_and_fixation_has_a_gradient():
    for geometry in ("tangent", "small_angle"):
        display = npc.Display((31, 45), (0.3, 0.5), 0.4, geometry=geometry)
        fixation = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
        for ours, theirs in zip(display.polar(fixation), display.polar(fixation.numpy()), strict=True):
            assert ours.shape == (2, 31, 45)
            np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)
        grid = torch.as_tensor(display.pixels_deg()[::7, ::9])
        moving = fixation[0].clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda f, d=display, g=grid: d.polar(f, g)[0], (moving,))


def test_gradient_at_the_fixated_pixel_is_finite():
    display = npc.Display.from_px_per_deg(10, resolution_px=(5, 5))
    fixation = torch.zeros(2, requires_grad=True)
    eccentricity, angle = display.polar(fixation)
    (eccentricity.sum() + angle.sum()).backward()
    assert torch.isfinite(fixation.grad).all()


@pytest.mark.parametrize("geometry", ["tangent", "small_angle"])
def test_crop_and_scale_keep_degrees(geometry):
    display = npc.Display((1080, 1920), (0.30, 0.53), 0.57, geometry=geometry)
    assert display.crop((540, 960)).px_per_deg == pytest.approx(display.px_per_deg)
    half = display.scale(0.5)
    assert half.resolution_px == (540, 960)
    assert half.extent_deg == pytest.approx(display.extent_deg)
    corner = display.crop((540, 960)).to_deg((0, 0))
    np.testing.assert_allclose(corner, display.to_deg((480, 270)), atol=1e-12)


def test_subsampled_grid_sits_on_the_full_one():
    display = npc.Display((10, 11), (0.2, 0.2), 0.5)
    np.testing.assert_array_equal(display.pixels_deg((5, 6), (2, 2)), display.pixels_deg()[::2, ::2])
