"""PsychoPy export: schedules in refreshes, codes, conditions, round trips."""

import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import neuroperc as npc
from neuroperc.color import linear_to_srgb
from neuroperc.data import StimulusSet, export_psychopy, read_psychopy_conditions, read_psychopy_schedule
from neuroperc.data.readers.psychopy import frame_schedule

RNG = np.random.default_rng(0)
LAB = npc.Display((8, 12), (0.2, 0.3), 0.57, refresh_hz=60)
CALIBRATED = npc.Display((8, 12), (0.2, 0.3), 0.57, calibration=npc.Calibration(gamma=(1.8, 2.0, 2.4), offset=0.02))


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def pictures(display=LAB, n=3, **options):
    return StimulusSet.from_arrays(RNG.random((n, 3, 8, 12)), display=display, ids=["a/b", "c", "d"][:n], **options)


def movie(n_frames, fps, display=LAB):
    return StimulusSet.from_arrays(RNG.random((1, n_frames, 1, 8, 12)), display=display, fps=fps)


def codes_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("fps", "refresh_hz", "pattern"),
    [
        (24, 60, [2, 3] * 12),
        (24000 / 1001, 60000 / 1001, [2, 3] * 12),
        (23.976, 59.94, [2, 3] * 12),
        (30, 60, [2] * 24),
        (60, 60, [1] * 24),
        (25, 75, [3] * 24),
        (24, 144, [6] * 24),
        (50, 60, [1, 1, 1, 1, 2] * 4 + [1, 1, 1, 1]),
        (25, 60, [2, 2, 3, 2, 3] * 4 + [2, 2, 3, 2]),
    ],
)
def test_schedules_are_exact(fps, refresh_hz, pattern):
    onset, total = frame_schedule(24, fps, refresh_hz)
    assert np.diff(onset).tolist() == pattern[:23]
    ratio = Fraction(refresh_hz).limit_denominator(1001) / Fraction(fps).limit_denominator(1001)
    assert total == 24 * ratio
    ideal = [k * ratio for k in range(24)]
    assert all(0 <= t - k < 1 for t, k in zip(ideal, onset.tolist(), strict=True))


def test_frames_cannot_be_faster_than_the_display(tmp_path):
    with pytest.raises(ValueError, match="fps must be at most the display's 60 Hz, got 72"):
        export_psychopy(movie(6, 72), tmp_path / "lab")
    assert list(tmp_path.iterdir()) == []


def test_a_movie_and_its_schedule(tmp_path):
    s = movie(4, 24)
    conditions = export_psychopy(s, tmp_path / "lab")
    schedule = read_psychopy_schedule(tmp_path / "lab")
    assert schedule["n_refreshes"].tolist() == [2, 3, 2, 3]
    assert schedule["onset_refresh"].tolist() == [0, 2, 5, 7]
    assert conditions.loc[0, ["n_frames", "n_refreshes", "duration_s"]].tolist() == [4, 10, 10 / 60]
    for k, name in enumerate(schedule["file"]):
        codes = codes_of(tmp_path / "lab" / name)
        assert np.array_equal(codes, np.rint(255 * linear_to_srgb(s[0][k, 0].numpy())))


def test_durations_that_are_no_whole_refreshes(tmp_path):
    with pytest.raises(ValueError, match=r"whole number of refreshes at 60 Hz, got 12.5 refreshes.*rounding='nearest'"):
        export_psychopy(movie(5, 24), tmp_path / "lab")
    done = export_psychopy(movie(5, 24), tmp_path / "lab", rounding="nearest")
    assert done["n_refreshes"].tolist() == [12]
    assert done["duration_s"].tolist() == [0.2]
    with pytest.raises(ValueError, match=r"got 3.3 refreshes"):
        export_psychopy(pictures(), tmp_path / "p", duration_s=0.055)
    done = export_psychopy(pictures(), tmp_path / "p", duration_s=0.055, rounding="nearest")
    assert done["duration_s"].tolist() == [0.05] * 3
    assert export_psychopy(pictures(), tmp_path / "q", duration_s=0.1)["n_refreshes"].tolist() == [6] * 3
    with pytest.raises(ValueError, match="rounding must be one of None, 'nearest'"):
        export_psychopy(pictures(), tmp_path / "r", rounding="up")
    with pytest.raises(ValueError, match="duration_s must be left out for movies"):
        export_psychopy(movie(4, 24), tmp_path / "r", duration_s=1)


def test_without_calibration_the_frames_are_srgb_and_say_so(tmp_path):
    s = pictures()
    export_psychopy(s, tmp_path / "lab")
    about = manifest(tmp_path / "lab")
    assert (about["linearised"], about["codes"], about["fingerprint"]) == (False, "srgb", s.fingerprint)
    assert json.loads((tmp_path / "lab" / "monitor.json").read_text())["gamma"] is None
    codes = codes_of(tmp_path / "lab" / "frames" / "00000.png").transpose(2, 0, 1)
    assert np.array_equal(codes, np.rint(255 * linear_to_srgb(s[0].numpy())))


@pytest.mark.parametrize("channels", [1, 3])
def test_with_calibration_the_frames_are_linearised_once(tmp_path, channels):
    x = RNG.random((1, channels, 8, 12))
    s = StimulusSet.from_arrays(x, display=CALIBRATED).to_encoding("srgb")
    export_psychopy(s, tmp_path / "lab")
    about = manifest(tmp_path / "lab")
    monitor = json.loads((tmp_path / "lab" / "monitor.json").read_text())
    assert (about["linearised"], about["codes"], about["n_clipped"]) == (True, "dac", 0)
    assert (monitor["gamma"], monitor["measured_gamma"]) == (1.0, [1.8, 2.0, 2.4])
    codes = codes_of(tmp_path / "lab" / "frames" / "00000.png").transpose(2, 0, 1)
    light = CALIBRATED.from_dac(codes)
    levels = CALIBRATED.from_dac(np.arange(256)[None, None].repeat(3, 0))[:, 0]
    for light_c, wanted, codes_c, level in zip(light, x[0].repeat(4 - channels, 0)[:3], codes, levels, strict=True):
        to_next = np.diff(level, append=2.0)[codes_c], np.diff(level, prepend=-1.0)[codes_c]
        assert (np.abs(light_c - wanted) <= np.maximum(*to_next) / 2 + 1e-9).all()


def test_dither_needs_a_calibration_and_a_seed(tmp_path):
    with pytest.raises(ValueError, match="dither must be None on a display without calibration"):
        export_psychopy(pictures(), tmp_path / "lab", dither="noise", rng=0)
    with pytest.raises(TypeError, match="rng must be"):
        export_psychopy(pictures(CALIBRATED), tmp_path / "lab", dither="noise")
    assert list(tmp_path.iterdir()) == []
    s = pictures(CALIBRATED, n=1)
    for name, options in (("a", {"dither": "noise", "rng": 3}), ("b", {"dither": "noise", "rng": 3}), ("c", {})):
        export_psychopy(s, tmp_path / name, **options)
    a, b, c = (codes_of(tmp_path / name / "frames" / "00000.png").astype(int) for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert np.abs(a - c).max() == 1


def test_conditions_round_trip(tmp_path):
    trials = pd.DataFrame(
        {
            "trial": [1, 2, 3, 4],
            "stimulus_id": ["c", "a/b", "c", "d"],
            "note": ["", None, "NA", "x,y"],
            "go": [True] * 4,
        }
    )
    made = export_psychopy(pictures(), tmp_path / "lab", trials=trials, duration_s=0.5)
    back = read_psychopy_conditions(tmp_path / "lab")
    pd.testing.assert_frame_equal(back, made)
    assert back["stimulus_id"].tolist() == ["c", "a/b", "c", "d"]
    assert back["file"].tolist() == [f"frames/0000{i}.png" for i in (1, 0, 1, 2)]
    assert list(back.columns[:4]) == list(trials.columns)
    plain = export_psychopy(pictures(), tmp_path / "all")
    pd.testing.assert_frame_equal(read_psychopy_conditions(tmp_path / "all"), plain)
    assert plain["n_refreshes"].tolist() == [0, 0, 0]  # nobody said how long


@pytest.mark.parametrize(
    ("trials", "text"),
    [
        (pd.DataFrame({"trial": [1]}), r"with stimulus_id, got \['trial'\]"),
        (pd.DataFrame({"stimulus_id": ["zzz"]}), r"unknown \['zzz'\]"),
        (pd.DataFrame({"stimulus_id": []}), "at least one trial"),
        (pd.DataFrame({"stimulus_id": ["c"], "file": ["x"]}), r"columns that the export makes, got \['file'\]"),
    ],
)
def test_bad_trials(tmp_path, trials, text):
    with pytest.raises(ValueError, match=text):
        export_psychopy(pictures(), tmp_path / "lab", trials=trials)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("geometry", ["tangent", "small_angle"])
def test_pix_units_have_their_origin_at_the_centre_and_y_up(tmp_path, geometry):
    lab = npc.Display((80, 120), (0.2, 0.3), 0.57, geometry=geometry)
    x, y = lab.to_deg((59.5 + 20, 39.5 - 10))  # 20 px to the right, 10 px up
    width, height = 2 * lab.to_deg((59.5 + 15, 39.5 - 10))
    s = StimulusSet.from_arrays(RNG.random((1, 1, 20, 30)), display=lab, size_deg=(height, width), center_deg=(x, y))
    row = export_psychopy(s, tmp_path / "lab").iloc[0]
    assert np.allclose(row[["x_pix", "y_pix", "width_pix", "height_pix"]].astype(float), [20, 10, 30, 20])
    assert row["x_deg"] == x


def test_pictures_that_are_not_pixel_for_pixel_are_drawn_on_request(tmp_path):
    s = StimulusSet.from_arrays(RNG.random((1, 1, 4, 6)), display=LAB, size_deg=LAB.extent_deg)
    with pytest.raises(ValueError, match=r"\(4, 6\) px on 8 × 12 px of the display.*Pass background="):
        export_psychopy(s, tmp_path / "lab")
    done = export_psychopy(s, tmp_path / "lab", background=0.5)
    assert np.allclose(done[["width_pix", "height_pix"]].iloc[0].astype(float), [12, 8])
    assert codes_of(tmp_path / "lab" / "frames" / "00000.png").shape == (8, 12)


def test_a_display_without_distance_names_it(tmp_path):
    s = pictures(npc.Display.from_px_per_deg(4, resolution_px=(8, 12)))
    with pytest.raises(ValueError, match="distance_m must be known for monitor export"):
        export_psychopy(s, tmp_path / "lab")


def test_folders_are_whole_and_never_overwritten_unasked(tmp_path):
    export_psychopy(pictures(), tmp_path / "lab")
    with pytest.raises(ValueError, match="which exists"):
        export_psychopy(pictures(), tmp_path / "lab")
    export_psychopy(pictures(n=1), tmp_path / "lab", overwrite=True)
    assert len(read_psychopy_schedule(tmp_path / "lab")) == 1
    (tmp_path / "lab" / "frames" / "00000.png").unlink()
    with pytest.raises(ValueError, match=r"without \['frames/00000.png'\]"):
        read_psychopy_schedule(tmp_path / "lab")
    with pytest.raises(FileNotFoundError, match=r"manifest.json in it"):
        read_psychopy_conditions(tmp_path)
