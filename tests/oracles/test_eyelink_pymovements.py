"""pymovements reads the same samples and events from EyeLink files, the real ones and those we write."""

import warnings

import numpy as np
import pymovements
import pytest

import neuroperc as npc

NAMES = ["monocular", "monocular_2khz", "binocular", "monocular_no_dummy"]


def peers_samples(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gaze = pymovements.gaze.from_asc(str(path), events=True)
    frame = gaze.samples
    columns = [c for c in frame.columns if c in ("pixel", "pixel_left", "pixel_right")]
    return np.array(frame["time"]), np.array(frame["pixel"].to_list() if "pixel" in columns else []), gaze


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return npc.data.read_eyelink(path, size_m=(0.3, 0.4), distance_m=0.6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("written", [False, True])
def test_samples_agree(data_dir, tmp_path, name, written):
    path = data_dir / "search" / "eyelink_asc" / f"eyelink_{name}_example.asc"
    recording = read(path)
    if written:
        path = npc.data.write_eyelink(recording, tmp_path / "o.asc", decimals=1)
    time, pixels, _ = peers_samples(path)
    onset = recording.trials.set_index("trial")["onset_s"]
    parts = []
    for eye in recording.gaze["eye"].unique():
        gaze = recording.gaze[recording.gaze["eye"] == eye]
        clock = gaze["time_s"].to_numpy() + onset.reindex(gaze["trial"]).fillna(0).to_numpy()
        np.testing.assert_allclose(clock * 1000, time, atol=1e-6)
        parts.append(npc.data.deg_to_pixels(gaze[["x_deg", "y_deg"]], recording.display, convention="center"))
    ours = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(ours, np.array(pixels, dtype=float), atol=1e-6 if not written else 1e-4)


def test_samples_of_a_made_recording_agree(tmp_path):
    rng = np.random.default_rng(0)
    display = npc.Display((1080, 1920), (0.3, 0.53), 0.6)
    time = np.arange(400) / 500
    points = np.cumsum(rng.normal(0, 0.05, (400, 2)), axis=0)
    points[100:150] = np.nan
    gaze = npc.data.make_gaze(points, time_s=time, trial=0, eye="left", pupil=500.0, session="")
    none = npc.data.make_fixations([], trial=[], fixation=[], on_screen=[])
    trials = npc.data.make_trials([0], onset_s=[12.0])
    recording = npc.data.EyeRecording(gaze, none, trials, display, 500.0)
    path = npc.data.write_eyelink(recording, tmp_path / "o.asc", decimals=4)
    clock, pixels, _ = peers_samples(path)
    np.testing.assert_allclose(clock, 12000 + time * 1000)
    expected = npc.data.deg_to_pixels(points, display, convention="center")
    np.testing.assert_allclose(np.array(pixels, dtype=float), expected, atol=5.1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_events_agree(data_dir, name):
    path = data_dir / "search" / "eyelink_asc" / f"eyelink_{name}_example.asc"
    recording = read(path)
    frame = peers_samples(path)[2].events.frame
    for kind in ("fixation", "saccade", "blink"):
        theirs = sorted(
            (float(on), float(off)) for name, on, off in frame.select("name", "onset", "offset").iter_rows()
            if name.startswith(kind)
        )  # fmt: skip
        mine = recording.events[recording.events["kind"] == kind]
        if kind == "saccade":  # the peer drops saccades that begin in a blink, with '.' for a place; we keep them
            mine = mine[mine["x_deg"].notna()]
        last = mine["onset_s"] + mine["duration_s"] - 1 / recording.sampling_hz
        ours = sorted(zip(mine["onset_s"] * 1000, last * 1000, strict=True))
        np.testing.assert_allclose(np.array(ours).reshape(-1, 2), np.array(theirs).reshape(-1, 2), atol=1e-6)
