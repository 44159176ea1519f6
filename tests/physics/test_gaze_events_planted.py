"""Planted eye movements come back: saccades within a sample and 2 % of amplitude, blinks as nothing but blinks."""

import numpy as np
import pytest

import neuroperc as npc
from neuroperc.data import detect_events, detect_fixations, make_gaze

SMALL = npc.Display.from_px_per_deg(35, resolution_px=(1080, 1920))
FLAT = npc.Display.from_px_per_deg(35, resolution_px=(1080, 1920), distance_m=0.6)
# onset (s), duration (s), where to (deg): durations as the main sequence has them
JUMPS = (
    (0.3, 0.05, (10, 0)),
    (0.7, 0.036, (10, 5)),
    (1.1, 0.06, (-6, -5)),
    (1.6, 0.03, (-6, -7.5)),
    (2.0, 0.018, (-5, -7.5)),
)


def planted(rate_hz, noise_deg, profile, seed=0, length_s=2.5):
    """Return time, noisy gaze, and onset, offset and ends of each planted saccade."""
    time = np.arange(round(length_s * rate_hz)) / rate_hz
    points, at, truth = np.zeros((len(time), 2)), np.zeros(2), []
    for onset, duration, target in JUMPS:
        tau = np.clip((time - onset) / duration, 0, 1)
        part = tau if profile == "ramp" else 10 * tau**3 - 15 * tau**4 + 6 * tau**5  # minimum jerk
        points += part[:, None] * (np.array(target) - at)
        truth.append((onset, onset + duration, at, np.array(target, float)))
        at = np.array(target, float)
    return time, points + noise_deg * np.random.default_rng(seed).standard_normal(points.shape), truth


def above(truth, display, profile, threshold_deg_s=30.0):
    """When a noiseless saccade is faster than the threshold."""
    onset, offset, start, end = truth
    if profile == "ramp":
        return onset, offset
    tau = np.linspace(0, 1, 20_001)
    speed = 30 * tau**2 * (1 - tau) ** 2 * float(display.eccentricity_deg(start, points_deg=end)) / (offset - onset)
    fast = tau[speed > threshold_deg_s]
    return onset + fast[0] * (offset - onset), onset + fast[-1] * (offset - onset)


@pytest.mark.parametrize("display", [SMALL, FLAT], ids=["small_angle", "tangent"])
@pytest.mark.parametrize(
    ("method", "profile", "noise_deg"),
    [
        ("velocity", "minimum_jerk", 0.0),
        ("velocity", "ramp", 0.0),
        ("velocity", "ramp", 0.01),
        ("engbert_kliegl", "ramp", 0.003),
        ("engbert_kliegl", "ramp", 0.01),
    ],
)
@pytest.mark.parametrize("rate_hz", [250, 500, 1000, 2000])
def test_saccades_come_back_within_a_sample_and_two_percent(display, method, profile, noise_deg, rate_hz):
    time, points, truths = planted(rate_hz, noise_deg, profile)
    events = detect_events(make_gaze(points, time_s=time, trial=0), display, method=method)
    found = events[events["kind"] == "saccade"].reset_index(drop=True)
    assert len(found) == len(JUMPS)
    sample = 1 / rate_hz
    for truth, (_, row) in zip(truths, found.iterrows(), strict=True):
        onset, offset = above(truth, display, profile)
        last = row["onset_s"] + row["duration_s"] - sample
        # A crossing between two samples is seen at the next one: one sample, and rounding.
        assert abs(row["onset_s"] - onset) <= 1.5 * sample
        assert abs(last - offset) <= 1.5 * sample
        size = float(display.eccentricity_deg(truth[2], points_deg=truth[3]))
        assert row["amplitude_deg"] == pytest.approx(size, rel=0.02)
        np.testing.assert_allclose(row[["x_deg", "y_deg"]].astype(float), truth[2], atol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_a_hundredth_degree_moves_smooth_saccades_by_a_millisecond_at_most(seed):
    for rate_hz in (1000, 2000):
        time, points, truths = planted(rate_hz, 0.01, "minimum_jerk", seed=seed)
        events = detect_events(make_gaze(points, time_s=time, trial=0), SMALL)
        found = events[events["kind"] == "saccade"]
        onsets = [above(truth, SMALL, "minimum_jerk")[0] for truth in truths]
        assert len(found) == len(JUMPS)
        np.testing.assert_allclose(found["onset_s"], onsets, atol=1.5e-3)


def with_blinks(rate_hz, noise_deg=0.01):
    """One saccade at .5 s, blinks at 1.2 and 2.4 s whose lid drags the pupil down, and a 10 ms loss at 1.8 s."""
    rng = np.random.default_rng(1)
    time = np.arange(3 * rate_hz) / rate_hz
    points = np.clip((time - 0.5) / 0.04, 0, 1)[:, None] * (8.0, 3.0)
    points = points + noise_deg * rng.standard_normal(points.shape)
    for first, last in ((1.2, 1.35), (2.4, 2.5)):
        down = (time > first - 0.04) & (time < first)
        points[down, 1] -= 8 * (time[down] - first + 0.04) / 0.04
        up = (time > last) & (time < last + 0.04)
        points[up, 1] -= 8 * (1 - (time[up] - last) / 0.04)
        points[(time >= first) & (time <= last)] = np.nan
    points[(time > 1.8) & (time < 1.81)] = np.nan
    return time, points


@pytest.mark.parametrize("method", ["velocity", "engbert_kliegl"])
@pytest.mark.parametrize("rate_hz", [60, 250, 500, 1000, 2000])
def test_blinks_give_no_saccade_and_short_losses_split_nothing(method, rate_hz):
    time, points = with_blinks(rate_hz)
    events = detect_events(make_gaze(points, time_s=time, trial=0), SMALL, method=method)
    kinds = events["kind"].value_counts().to_dict()
    assert kinds == {"fixation": 4, "blink": 2, "saccade": 1}
    blinks = events[events["kind"] == "blink"]
    np.testing.assert_allclose(blinks["onset_s"], [1.2, 2.4], atol=1.01 / rate_hz)
    np.testing.assert_allclose(blinks["duration_s"], [0.15, 0.1], atol=2.01 / rate_hz)


def test_padding_hides_a_lid_that_hesitates_before_the_loss():
    time = np.arange(1000) / 1000
    points = 0.01 * np.random.default_rng(2).standard_normal((1000, 2))
    points[(time > 0.43) & (time < 0.5), 1] -= 8  # half closed, then closed
    points[(time >= 0.5) & (time < 0.65)] = np.nan
    gaze = make_gaze(points, time_s=time, trial=0)
    assert detect_events(gaze, SMALL)["kind"].tolist() == ["fixation", "blink", "fixation"]
    assert "saccade" in detect_events(gaze, SMALL, blink_pad_s=0.0)["kind"].tolist()


def test_fixations_are_numbered_from_the_onset():
    time, points = with_blinks(500)
    table = detect_fixations(make_gaze(points, time_s=time - 0.7, trial=3, subject="s"), SMALL)
    assert table["fixation"].tolist() == [-1, 0, 1, 2]
    assert table["trial"].unique().tolist() == [3]
    np.testing.assert_allclose(table.loc[1, ["x_deg", "y_deg"]].astype(float), (8, 3), atol=0.01)
    moving = make_gaze(points, time_s=time - 0.52, trial=0)  # the onset falls into the saccade: nobody fixates
    assert detect_fixations(moving, SMALL)["fixation"].tolist() == [-1, 1, 2, 3]


def test_a_movement_is_as_fast_wherever_the_eye_looks():
    """20 degrees a second up to the right from (25, 15) would be 22.6 a second by hypot of screen degrees."""
    time = np.arange(500) / 500
    path = np.array([FLAT.point_at(20 * max(0, t - 0.5), np.pi / 3, (25.0, 15.0)) for t in time])
    gaze = make_gaze(path, time_s=time, trial=0)
    for threshold, length_s in ((21, 1.0), (19, 0.5)):
        events = detect_events(gaze, FLAT, velocity_threshold_deg_s=threshold)
        assert events["kind"].tolist() == ["fixation"]
        assert events["duration_s"].iloc[0] == pytest.approx(length_s, abs=0.01)
