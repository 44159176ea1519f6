"""What Display refuses, and what it says."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc._check import as_rng, atomic_path, finite

DISPLAY = npc.Display.from_px_per_deg(10, resolution_px=(40, 60))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"resolution_px": (0, 10)}, r"resolution_px must be two whole numbers of at least 1, got \(0, 10\)"),
        ({"resolution_px": (10.5, 10)}, "resolution_px"),
        ({"resolution_px": (10,)}, "resolution_px"),
        ({"resolution_px": (10, 10), "size_m": (-1, 1), "distance_m": 1}, "size_m must be above 0"),
        ({"resolution_px": (10, 10), "size_m": (1, float("nan")), "distance_m": 1}, "size_m"),
        ({"resolution_px": (10, 10), "size_m": (1, 1)}, "distance_m must be given"),
        ({"resolution_px": (10, 10)}, "distance_m must be given"),
        ({"resolution_px": (10, 10), "size_m": (1, 1), "distance_m": 0}, "distance_m must be a finite number above 0"),
        ({"resolution_px": (10, 10), "px_per_deg_hw": (3, 3), "geometry": "tangent"}, "distance_m"),
        ({"resolution_px": (10, 10), "px_per_deg_hw": (3, 3), "geometry": "round"}, "geometry must be one of"),
        ({"resolution_px": (10, 10), "px_per_deg_hw": (3, -3)}, "px_per_deg_hw must be above 0"),
        ({"resolution_px": (10, 10), "px_per_deg_hw": (3, 3), "refresh_hz": -60}, "refresh_hz"),
        ({"resolution_px": (1, 1), "px_per_deg_hw": (3, 3), "size_m": (1, 1), "distance_m": 1}, "left out"),
        ({"resolution_px": (10, 10), "px_per_deg_hw": (3, 3), "calibration": 2.2}, "calibration must be a Calibration"),
    ],
)
def test_bad_displays_are_refused(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        npc.Display(**arguments)


@pytest.mark.parametrize("value", [0, -3, float("nan"), float("inf")])
def test_px_per_deg_must_be_positive(value):
    with pytest.raises(ValueError, match="px_per_deg must be a finite number above 0"):
        npc.Display.from_px_per_deg(value, resolution_px=(10, 10))


def test_from_px_per_deg_is_small_angle_unless_distance_is_given():
    assert DISPLAY.geometry == "small_angle"
    assert DISPLAY.refresh_hz == 60.0
    assert DISPLAY.extent_deg == (4.0, 6.0)
    assert DISPLAY.nyquist_cpd == 5
    measured = npc.Display.from_px_per_deg(10, resolution_px=(40, 60), distance_m=0.6)
    assert measured.geometry == "tangent"
    assert measured.px_per_deg == pytest.approx(10)


@pytest.mark.parametrize(
    ("fixation", "words"),
    [
        ((3.2, 0), r"fixation_deg must be on the screen \(x within 3, y within 2 degrees\), got \(3.2, 0\)"),
        ((0, float("nan")), "fixation_deg must be finite"),
        ((0, 0, 0), r"got shape \(3,\)"),
        (np.zeros((2, 3)), "shape"),
        (torch.tensor([[0.0, 0.0], [0.0, 2.5]]), r"got \(0, 2.5\)"),
    ],
)
def test_bad_fixations_are_refused(fixation, words):
    with pytest.raises(ValueError, match=words):
        DISPLAY.check_fixation(fixation)


def test_fixation_batch_must_match():
    assert DISPLAY.check_fixation(np.zeros((3, 2)), batch=3).shape == (3, 2)
    with pytest.raises(ValueError, match=r"\(2,\) or \(4, 2\)"):
        DISPLAY.check_fixation(np.zeros((3, 2)), batch=4)


def test_on_screen_is_floor_of_x_plus_half():
    edge = DISPLAY.to_deg([[-0.6, 0], [-0.5, 0], [59.49, 39.49], [59.5, 0], [0, -0.6], [np.nan, 0]])
    np.testing.assert_array_equal(DISPLAY.on_screen(edge), [False, True, True, False, False, False])
    flat = npc.Display((40, 60), (0.3, 0.4), 0.5)
    np.testing.assert_array_equal(flat.on_screen([[0, 0], [170, 0], [-95, 0]]), [True, False, False])


def test_points_behind_a_flat_screen_are_refused():
    with pytest.raises(ValueError, match="within 90 degrees"):
        npc.Display((40, 60), (0.3, 0.4), 0.5).to_px((95, 0))


def test_exports_without_a_distance_name_it():
    for export in (DISPLAY.to_bids, DISPLAY.to_psychopy):
        with pytest.raises(ValueError, match="distance_m must be known"):
            export()
    with pytest.raises(ValueError, match="ScreenSize"):
        npc.Display.from_bids({"ScreenDistance": 0.6, "ScreenResolution": [10, 10]})


def test_scale_to_broken_pixels_is_refused():
    with pytest.raises(ValueError, match="factor must be one that makes"):
        DISPLAY.scale(1 / 7)


def test_from_dict_names_what_is_wrong():
    with pytest.raises(ValueError, match="colour"):
        npc.Display.from_dict({"resolution_px": [3, 3], "colour": 1})
    with pytest.raises(ValueError, match="with resolution_px"):
        npc.Display.from_dict({})


def test_repr_html_names_units():
    html = DISPLAY._repr_html_()
    assert "px/°" in html and "cpd" in html and "Hz" in html


def test_check_template_counts_and_points():
    values = np.zeros((2, 3))
    values[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"values must be finite, got 1 NaN .* index \(1, 2\)"):
        finite("values", values)
    with pytest.raises(ValueError, match="x must be finite, got 6 NaN"):
        finite("x", torch.full((6,), float("inf")))
    with pytest.raises(TypeError, match="rng must be an int or a numpy"):
        as_rng(None)


def test_files_are_whole_or_untouched(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert target.read_text() == "old"
    with pytest.raises(OSError, match="nothing was changed"), atomic_path(target):
        raise OSError(28, "No space left on device")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(ValueError, match="folder that exists"), atomic_path(tmp_path / "no" / "b.txt"):
        pass
