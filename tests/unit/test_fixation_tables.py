"""The Trials, Fixations and Gaze schemas, scanpaths, counts, density, saccades and pixel conventions."""

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc.data import (
    FIXATION_COLUMNS,
    GAZE_COLUMNS,
    TRIAL_COLUMNS,
    check_fixations,
    check_gaze,
    check_trials,
    deg_to_pixels,
    fixation_density,
    make_fixations,
    make_gaze,
    make_trials,
    n_fixations,
    pixels_to_deg,
    saccades,
    scanpaths,
)

SMALL = npc.Display.from_px_per_deg(8, resolution_px=(64, 96))
FLAT = npc.Display.from_px_per_deg(30, resolution_px=(1200, 2400), distance_m=0.6)


def test_columns_are_those_of_the_conventions():
    assert list(make_trials([0])) == list(TRIAL_COLUMNS)
    stated = "subject session trial stimulus_id condition set_size target_present response correct rt_s found"
    assert " ".join(TRIAL_COLUMNS) == stated + " excluded reason"
    assert " ".join(GAZE_COLUMNS) == "subject trial eye time_s x_deg y_deg pupil valid"
    assert {"subject", "session", "trial", "fixation", "eye", "on_screen", "object_id"} <= set(FIXATION_COLUMNS)


def test_tables_read_from_csv_are_put_right(tmp_path):
    trials = make_trials([3, 1], subject=["01", "02"], set_size=[4, None], correct=[True, None], rt_s=[0.5, np.nan])
    trials.to_csv(tmp_path / "t.csv", index=False)
    back = check_trials(pd.read_csv(tmp_path / "t.csv", dtype={"subject": str}))
    pd.testing.assert_frame_equal(back, trials)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(trial=[0, 0]), ValueError, "trials must be unique in subject, session, trial.*Renumber"),
        (dict(trial=[0.5, 1]), ValueError, "trial must be whole numbers.*not whole"),
        (dict(rt_s=[-1, 0]), ValueError, "rt_s must be 0 or more seconds.*'rt_s': -1.0.*row 0"),
        (dict(rt_s="fast"), ValueError, "rt_s must be numbers"),
        (dict(found=["yes", "no"]), ValueError, "found must be True, False or None.*'yes' is neither"),
        (dict(excluded=[True, None]), ValueError, "excluded must be True or False.*missing"),
        (dict(set_size=[-2, 1]), ValueError, "set_size must be 0 or more"),
        (dict(subject=["a"]), ValueError, "subject must be one value for each of 2 rows, got 1 values"),
    ],
)
def test_make_trials_refuses(change, error, message):
    settings = dict(trial=[0, 1]) | change
    with pytest.raises(error, match=message):
        make_trials(settings.pop("trial"), **settings)


def test_checks_name_missing_columns_and_wrong_objects():
    with pytest.raises(ValueError, match=r"trials columns must be complete, got none of rt_s.*make_trials"):
        check_trials(make_trials([0]).drop(columns="rt_s"))
    with pytest.raises(TypeError, match=r"fixations must be a pandas.DataFrame, got list"):
        check_fixations([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(points_deg=[[0, np.nan], [0, 0]], on_screen=[False, True]), "x_deg, y_deg must be finite in both"),
        (dict(points_deg=[[np.nan] * 2, [0, 0]], on_screen=True), "NaN with on_screen False"),
        (dict(points_deg=[[np.inf, 0], [0, 0]], on_screen=False), "x_deg, y_deg must be finite"),
        (dict(points_deg=[1, 2, 3]), r"points_deg must be of shape \(n, 2\)"),
        (dict(fixation=[0, 0]), "unique in subject, session, trial, eye, fixation"),
        (dict(eye="middle"), "eye must be one of 'left', 'right'"),
        (dict(duration_s=-0.1), "duration_s must be 0 or more"),
        (dict(on_screen=None), "on_screen must be given, or computed from display"),
    ],
)
def test_make_fixations_refuses(change, message):
    settings = dict(points_deg=[[0, 0], [1, 1]], trial=0, fixation=[0, 1], on_screen=True) | change
    with pytest.raises(ValueError, match=message):
        make_fixations(settings.pop("points_deg"), **settings)


def test_fixations_of_unknown_trials_are_refused():
    table = make_fixations([[0, 0]], trial=7, fixation=0, on_screen=True)
    with pytest.raises(ValueError, match=r"trial must be one of the trials"):
        check_fixations(table, make_trials([0]))


def test_gaze_checks():
    with pytest.raises(ValueError, match=r"time_s must be increasing within a trial and eye"):
        make_gaze([[0, 0], [0, 0]], time_s=[0.1, 0.1], trial=0)
    with pytest.raises(ValueError, match=r"NaN with valid False"):
        make_gaze([[0, np.nan]], time_s=[0], trial=0, valid=True)
    both = make_gaze([[0, 0]] * 4, time_s=[0, 1, 0, 1], trial=0, eye=["left", "left", "right", "right"])
    assert len(check_gaze(both)) == 4
    half = make_gaze([[0, np.nan]], time_s=[0], trial=0)
    assert not half["valid"].any()


def test_off_screen_at_minus_0_6_pixels():
    display = npc.Display.from_px_per_deg(32, resolution_px=(512, 512))
    points = pixels_to_deg([(-0.6, 10), (-0.5, 10), (511.4, 10), (511.5, 10)], display, convention="center")
    table = make_fixations(points, trial=0, fixation=range(4), display=display)
    assert table["on_screen"].tolist() == [False, True, True, False]


@pytest.mark.parametrize("display", [SMALL, FLAT])
@pytest.mark.parametrize("convention", ["center", "corner", "one_based", "screen_center_up"])
@pytest.mark.parametrize("frame_px", [None, (32, 48)])
def test_pixel_conventions_invert_and_agree_on_the_centre(display, convention, frame_px):
    height, width = frame_px or display.resolution_px
    center = {
        "center": ((width - 1) / 2, (height - 1) / 2), "corner": (width / 2, height / 2),
        "one_based": ((width + 1) / 2, (height + 1) / 2), "screen_center_up": (0, 0),
    }[convention]  # fmt: skip
    points = np.array([center, (center[0] + 3, center[1] + 5)])
    degrees = pixels_to_deg(points, display, convention=convention, frame_px=frame_px)
    np.testing.assert_allclose(degrees[0], 0, atol=1e-12)
    assert degrees[1, 0] > 0
    assert (degrees[1, 1] > 0) == (convention == "screen_center_up")  # up on the screen is +y
    np.testing.assert_allclose(deg_to_pixels(degrees, display, convention=convention, frame_px=frame_px), points)
    with pytest.raises(ValueError, match=r"convention must be one of"):
        pixels_to_deg(points, display, convention="matlab")


def paths_tables():
    trials = make_trials([0, 1, 2], subject="s")
    points = [[0, 0], [3, 4], [1, 1], [9, 9]]
    table = make_fixations(
        points,
        subject="s",
        trial=[0, 0, 0, 2],
        fixation=[0, 1, 2, 1],
        object_id=[None, 5, 6, None],
        on_screen=[1, 1, 1, 0],
    )
    return table, trials


def test_scanpaths_keep_trials_without_fixations():
    table, trials = paths_tables()
    paths = scanpaths(table, trials)
    assert len(paths) == 3
    assert paths.lengths.tolist() == [3, 0, 1]
    assert [p.shape for p in paths] == [(3, 2), (0, 2), (1, 2)]
    assert paths.object_id.tolist() == [[-1, 5, 6], [-1] * 3, [-1] * 3]
    assert np.isnan(paths.points_deg[1]).all()
    without = scanpaths(table.sample(frac=1, random_state=0), trials, initial=False)
    assert without.lengths.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(without.points_deg[0, :2], [[3, 4], [1, 1]])
    assert scanpaths(table).lengths.tolist() == [3, 1]


def test_scanpaths_ask_which_eye():
    table = make_fixations([[0, 0], [1, 0]], trial=0, fixation=0, eye=["left", "right"], on_screen=True)
    with pytest.raises(ValueError, match=r"eye must be one of 'left', 'right', got None"):
        scanpaths(table)
    assert scanpaths(table, eye="right").points_deg[0, 0].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"eye must be one of"):
        scanpaths(table, eye="cyclopean")


def test_the_fixation_at_onset_and_earlier_ones_never_count():
    table, trials = paths_tables()
    assert n_fixations(table, trials).tolist() == [2, 0, 1]
    assert n_fixations(table, trials, on_screen=True).tolist() == [2, 0, 0]
    early = make_fixations([[0, 0]] * 3, subject="s", trial=1, fixation=[-1, 0, 1], on_screen=True)
    counts = n_fixations(early, trials.iloc[::-1])
    assert counts.to_dict() == {2: 0, 1: 1, 0: 0}  # aligned with the rows of trials, whatever their order


def test_density_is_a_probability_with_the_asked_width():
    table = make_fixations([[1.0, -0.5]], trial=0, fixation=1, display=SMALL)
    density = fixation_density(table, SMALL, sigma_deg=0.5)
    grid = SMALL.pixels_deg()
    assert density.sum() == pytest.approx(1)
    mean = np.tensordot(density, grid, 2)
    np.testing.assert_allclose(mean, [1.0, -0.5], atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.tensordot(density, (grid - mean) ** 2, 2)), 0.5, rtol=1e-4)


def test_density_in_tangent_geometry_is_of_the_angle_between_rays():
    display = npc.Display.from_px_per_deg(6, resolution_px=(200, 400), distance_m=0.5)
    table = make_fixations([[22.0, 8.0], [0, 0]], trial=0, fixation=[1, 2], display=display)
    density = fixation_density(table, display, sigma_deg=1.5)
    full = np.zeros(display.resolution_px)
    for point in ((22.0, 8.0), (0, 0)):
        full += np.exp(-0.5 * (display.eccentricity_deg(point) / 1.5) ** 2)
    np.testing.assert_allclose(density, full / full.sum(), atol=1e-5 * density.max())


def test_density_weights_and_refusals():
    table = make_fixations([[0, 0], [2, 0]], trial=0, fixation=[1, 2], duration_s=[0.1, 0.3], display=SMALL)
    density = fixation_density(table, SMALL, sigma_deg=0.1, weights="duration")
    right = SMALL.pixels_deg()[..., 0] > 1
    assert density[right].sum() == pytest.approx(0.75, abs=1e-6)
    with pytest.raises(ValueError, match=r"fixations must be with one or more on the screen"):
        fixation_density(make_fixations([[0, 0]], trial=0, fixation=0, display=SMALL), SMALL)
    with pytest.raises(ValueError, match=r"duration_s must be known"):
        fixation_density(table.assign(duration_s=np.nan), SMALL, weights="duration")
    with pytest.raises(ValueError, match=r"sigma_deg must be a finite number above 0"):
        fixation_density(table, SMALL, sigma_deg=0)


def test_saccade_amplitudes_are_angles_and_directions_counter_clockwise():
    points = [[20, 0], [20, 10], [0, 0], [-1, 0]]
    table = make_fixations(
        points, trial=0, fixation=[0, 1, 2, 3], onset_s=[0, 0.3, 0.6, 0.9], duration_s=0.25, display=FLAT
    )
    found = saccades(table, FLAT)
    assert found["amplitude_deg"].iloc[0] == pytest.approx(9.4080, abs=5e-5)  # hypot would say 10
    assert found["saccade"].tolist() == [1, 2, 3]
    assert found["direction_deg"].iloc[2] == pytest.approx(180)
    np.testing.assert_allclose(found["onset_s"], [0.25, 0.55, 0.85])
    np.testing.assert_allclose(found["duration_s"], 0.05)
    gone = saccades(table[table["fixation"] != 1], FLAT)
    assert gone["saccade"].tolist() == [3]  # no jump across the missing number


def test_saccades_do_not_cross_trials_or_eyes():
    eye = ["left", "left", "left", "right"]
    table = make_fixations([[0, 0]] * 4, trial=[0, 0, 1, 1], fixation=[0, 1, 2, 2], eye=eye, display=FLAT)
    assert saccades(table, FLAT)["trial"].tolist() == [0]


def test_empty_tables_go_through():
    none = make_fixations([], trial=[], fixation=[], on_screen=[])
    trials = make_trials([0, 1])
    assert n_fixations(none, trials).tolist() == [0, 0]
    assert scanpaths(none, trials).points_deg.shape == (2, 0, 2)
    assert len(saccades(none, FLAT)) == 0
