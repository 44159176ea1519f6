"""Geometry against published formulas: PsychoPy (re-derived), pymovements (installed), the tangent table."""

import math

import numpy as np
import pytest
from pymovements.transforms import numpy as transforms_numpy

import neuroperc as npc

SCREENS = [((1080, 1920), (0.30, 0.53), 0.57), ((1024, 1280), (0.30, 0.38), 0.60), ((767, 511), (0.2, 0.31), 0.33)]


@pytest.mark.parametrize(("resolution", "size", "distance"), SCREENS)
def test_to_deg_equals_pymovements_pix2deg(resolution, size, distance):
    display = npc.Display(resolution, size, distance)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (200, 2)) * (np.array(resolution[::-1]) - 1)
    theirs = transforms_numpy.pix2deg(
        points,
        screen_px=resolution[::-1],
        screen_cm=[100 * s for s in size[::-1]],
        distance_cm=100 * distance,
        origin="upper left",
    )
    ours = display.to_deg(points)
    np.testing.assert_allclose(ours * [1, -1], theirs, rtol=0, atol=1e-9)


def test_degflat_is_tangent_and_deg_is_small_angle():
    size, distance, resolution = (0.30, 0.53), 0.57, (1080, 1920)
    flat = npc.Display(resolution, size, distance)
    small = npc.Display(resolution, size, distance, geometry="small_angle")
    x_deg = np.linspace(-20, 20, 41)
    px_per_cm = resolution[1] / (size[1] * 100)
    deg_flat_px = np.tan(np.radians(x_deg)) * distance * 100 * px_per_cm
    points = np.stack((x_deg, np.zeros_like(x_deg)), -1)
    np.testing.assert_allclose(flat.to_px(points)[:, 0] - 959.5, deg_flat_px, atol=1e-9)
    # PsychoPy's "deg" takes 0.017455 cm per cm of distance and degree where a radian has pi / 180.
    psychopy_px = x_deg * distance * 100 * 0.017455 * px_per_cm
    ours = small.to_px(points)[:, 0] - 959.5
    np.testing.assert_allclose(ours * (0.017455 / (math.pi / 180)), psychopy_px, atol=1e-9)
    assert abs(0.017455 / (math.pi / 180) - 1) < 2e-4


def test_psychopy_vertical_pitch_is_stated():
    display = npc.Display((1024, 1280), (0.30, 0.38), 0.57)
    monitor = display.to_psychopy()
    assert monitor["size_pix"] == [1280, 1024]
    assert monitor["width_cm"] == pytest.approx(38)
    assert monitor["units"] == "degFlatPos"
    assert monitor["pixel_aspect"] == pytest.approx((30 / 1024) / (38 / 1280))
    assert abs(monitor["pixel_aspect"] - 1) == pytest.approx(0.0132, abs=1e-4)


def test_tangent_table_of_harrington_and_deza():
    distance_px = 2087.5
    display = npc.Display((2049, 2049), (2049e-4, 2049e-4), distance_px * 1e-4)
    points = display.to_px([[e, 0.0] for e in (5, 10, 15, 20, 25, 30)])
    radius = points[:, 0] - 1024
    np.testing.assert_allclose(radius, distance_px * np.tan(np.radians([5, 10, 15, 20, 25, 30])), atol=1e-9)
    np.testing.assert_allclose(radius, [182.63, 368.08, 559.34, 759.79, 973.42, 1205.22], atol=0.005)
    linear = display.px_per_deg * np.array([10, 20, 30])
    np.testing.assert_allclose(1 - linear / radius[[1, 3, 5]], [0.010, 0.041, 0.093], atol=5e-4)


def test_svis_field_of_view():
    display = npc.Display((40, 40), (0.40, 0.40), 0.45)
    assert display.extent_deg[1] == pytest.approx(47.92, abs=0.005)
    assert display.extent_deg[1] == pytest.approx(2 * math.degrees(math.atan(20 / 45)), abs=1e-9)


def test_eccentricity_is_the_angle_between_rays():
    display = npc.Display.from_px_per_deg(20, resolution_px=(2000, 2000), distance_m=0.5)
    assert float(display.eccentricity_deg((0, 0), (20, 20))) == pytest.approx(27.2363, abs=5e-5)
    assert float(display.eccentricity_deg((20, 0), (20, 10))) == pytest.approx(9.4080, abs=5e-5)
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-40, 40, (2, 100, 2))
    rays = [np.column_stack((np.tan(np.radians(p)), np.ones(100))) for p in (a, b)]
    rays = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rays]
    expected = np.degrees(np.arccos((rays[0] * rays[1]).sum(1)))
    np.testing.assert_allclose(display.eccentricity_deg(a, b), expected, atol=1e-6)


def test_freeman_simoncelli_origin_is_the_half_integer_centre():
    display = npc.Display.from_px_per_deg(10, resolution_px=(4, 6))
    assert display.center_px == (2.5, 1.5)
    np.testing.assert_array_equal(display.to_px((0, 0)), [2.5, 1.5])
    np.testing.assert_allclose(display.to_deg((0, 0)), [-0.25, 0.15], atol=1e-12)  # top left: x negative, y positive
