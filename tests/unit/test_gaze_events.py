"""Event detection, quality and drift correction: what they refuse, keep and report."""

import sys

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc.data import (
    detect_events,
    detect_fixations,
    drift_correct,
    gaze_quality,
    make_gaze,
    make_trials,
    n_fixations,
)

SCREEN = npc.Display.from_px_per_deg(32, resolution_px=(512, 512))


def still(n=500, rate_hz=500, at=(1.0, 2.0), noise_deg=0.005, seed=0, start_s=0.0, **more):
    rng = np.random.default_rng(seed)
    points = np.array(at) + noise_deg * rng.standard_normal((n, 2))
    return make_gaze(points, time_s=start_s + np.arange(n) / rate_hz, **{"trial": 0, **more})


def test_missing_pymovements_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymovements", None)
    monkeypatch.setitem(sys.modules, "pymovements.events", None)
    with pytest.raises(ImportError, match=r"pymovements must be installed.*pip install 'neuroperc\[gaze\]'"):
        detect_events(still(), SCREEN)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(method="idt"), "method must be one of 'velocity', 'engbert_kliegl', got idt"),
        (dict(velocity_threshold_deg_s=0), "velocity_threshold_deg_s must be a finite number above 0"),
        (dict(n_sd=-1), "n_sd must be"),
        (dict(min_fixation_s=0), "min_fixation_s must be"),
        (dict(blink_pad_s=-0.1), "blink_pad_s must be a finite number of 0 or more"),
    ],
)
def test_settings_are_checked(setting, message):
    with pytest.raises(ValueError, match=message):
        detect_events(still(), SCREEN, **setting)


def test_irregular_sampling_is_refused_and_named():
    gaze = still(20)
    gaze.loc[10:, "time_s"] += 0.0008
    with pytest.raises(ValueError, match=r"time_s must be regular, a multiple of 0\.002 s apart, got 0\.0028 s after"):
        detect_events(gaze, SCREEN)


def test_missing_rows_count_as_lost_samples():
    whole = still(1000)
    gaze = whole[~whole["time_s"].between(0.8, 0.9)]
    assert detect_events(gaze, SCREEN)["kind"].tolist() == ["fixation", "blink", "fixation"]
    assert gaze_quality(gaze, SCREEN)["loss"].iloc[0] == pytest.approx(0.051, abs=0.002)


def test_trials_without_any_eye_have_no_events_and_still_count():
    lost = still(200, trial=1).assign(x_deg=np.nan, y_deg=np.nan, valid=False)
    gaze = pd.concat([still(200), lost, still(3, trial=2)], ignore_index=True)
    for method in ("velocity", "engbert_kliegl"):
        fixations = detect_fixations(gaze, SCREEN, method=method)
        assert fixations["trial"].tolist() == [0]
        assert n_fixations(fixations, make_trials([0, 1, 2])).tolist() == [0, 0, 0]
    assert len(detect_events(gaze.iloc[:0], SCREEN)) == 0


def test_eyes_and_sessions_stay_apart_and_gaze_between_trials_is_left_out():
    parts = [still(100, eye="left", session="a"), still(100, eye="right", session="a", at=(-3, 0)),
             still(100, trial=-1, session="a"), still(100, eye="left", session="b")]  # fmt: skip
    fixations = detect_fixations(pd.concat(parts, ignore_index=True), SCREEN)
    assert fixations[["session", "eye"]].to_numpy().tolist() == [["a", "left"], ["a", "right"], ["b", "left"]]
    assert fixations["x_deg"].round().tolist() == [1, -3, 1]


def test_noiseless_gaze_has_a_threshold():
    events = detect_events(still(noise_deg=0), SCREEN, method="engbert_kliegl")
    assert events["kind"].tolist() == ["fixation"]
    assert events["duration_s"].iloc[0] == pytest.approx(1.0)  # from first to last sample, both counted


def test_quality_measures_planted_noise_and_offset():
    sd = 0.02
    report = gaze_quality(still(5000, noise_deg=sd), SCREEN, target_deg=(1.0, 1.5)).iloc[0]
    assert report["rms_s2s_deg"] == pytest.approx(2 * sd, rel=0.05)  # sqrt(2) for the pair, sqrt(2) for two axes
    assert report["sd_deg"] == pytest.approx(np.sqrt(2) * sd, rel=0.05)
    assert report["accuracy_deg"] == pytest.approx(0.5, abs=0.01)
    assert report["sampling_hz"] == pytest.approx(500)
    assert (report["n_samples"], report["loss"]) == (5000, 0)


def test_quality_of_nothing_is_nan_and_targets_are_checked():
    lost = still(50).assign(x_deg=np.nan, y_deg=np.nan, valid=False)
    report = gaze_quality(lost, SCREEN, target_deg=(0, 0)).iloc[0]
    assert report["loss"] == 1
    assert np.isnan(report[["rms_s2s_deg", "sd_deg", "accuracy_deg"]].astype(float)).all()
    with pytest.raises(ValueError, match=r"target_deg must be \(x, y\), or one a trial and eye: \(1, 2\)"):
        gaze_quality(still(), SCREEN, target_deg=[[0, 0], [1, 1]])


def test_drift_is_corrected_capped_and_reported():
    near = still(200, at=(0.4, -0.3), start_s=-0.2)
    far = still(200, at=(5.0, 0.0), start_s=-0.2, trial=1)
    few = still(200, at=(0.4, 0.0), start_s=0.1, trial=2)
    gaze = pd.concat([near, far, few], ignore_index=True)
    corrected, report = drift_correct(gaze, SCREEN, target_deg=(0, 0), window_s=(-0.2, 0))
    assert report["applied"].tolist() == [True, False, False]
    assert report["reason"].tolist() == ["", "more than 2 deg", "fewer than 10 samples"]
    np.testing.assert_allclose(report[["offset_x_deg", "offset_y_deg"]].iloc[0], (0.4, -0.3), atol=0.002)
    assert report["offset_deg"].iloc[0] == pytest.approx(0.5, abs=0.002)
    means = corrected.groupby("trial")["x_deg"].mean()
    np.testing.assert_allclose(means, (0, 5, 0.4), atol=0.002)
    pd.testing.assert_frame_equal(corrected[corrected["trial"] == 1], gaze[gaze["trial"] == 1])


def test_drift_settings_are_checked():
    with pytest.raises(ValueError, match=r"window_s must be \(from, to\) with to after from"):
        drift_correct(still(), SCREEN, target_deg=(0, 0), window_s=(0.2, 0.1))
    with pytest.raises(ValueError, match="max_offset_deg"):
        drift_correct(still(), SCREEN, target_deg=(0, 0), window_s=(0, 0.1), max_offset_deg=0)
