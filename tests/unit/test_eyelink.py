"""EyeLink ASC files: the real ones, the written ones, the broken ones."""

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc.data import n_fixations, read_eyelink, write_eyelink

SIZE = dict(size_m=(0.3, 0.4), distance_m=0.6)
HEAD = """** CONVERTED FROM s1.edf
** TYPE: EDF_FILE BINARY EVENT SAMPLE TAGGED

MSG	100 DISPLAY_COORDS 0 0 1279 1023
MSG	100 TRIALID 0
START	100 	LEFT	SAMPLES	EVENTS
PUPIL	AREA
EVENTS	GAZE	LEFT	RATE	1000.00	TRACKING	CR	FILTER	2
SAMPLES	GAZE	LEFT	RATE	1000.00	TRACKING	CR	FILTER	2
"""


def asc(tmp_path, body, head=HEAD, encoding="utf-8"):
    path = tmp_path / "s1.asc"
    path.write_bytes((head + body).encode(encoding))
    return path


def samples(first, n, x=639.5, y=511.5, step=1):
    return "".join(f"{first + k * step}\t  {x:.1f}\t  {y:.1f}\t  800.0\t...\n" for k in range(n))


def real(data_dir, name):
    path = data_dir / "search" / "eyelink_asc" / f"eyelink_{name}_example.asc"
    if name == "monocular_no_dummy":
        with pytest.warns(UserWarning, match="no END for its last START"):
            return read_eyelink(path, **SIZE)
    return read_eyelink(path, **SIZE)


@pytest.mark.parametrize("name", ["monocular_no_dummy", "binocular"])
def test_real_fixations_are_the_mean_and_span_of_their_samples(data_dir, name):
    recording = real(data_dir, name)
    gaze, step = recording.gaze, 1 / recording.sampling_hz
    checked = 0
    for row in recording.fixations.itertuples():
        inside = (gaze["trial"] == row.trial) & (gaze["eye"] == row.eye)
        inside &= gaze["time_s"].between(row.onset_s - step / 2, row.onset_s + row.duration_s - step / 2)
        mine = gaze[inside]
        # EyeLink counts the first and the last sample: duration = last - first + one step.
        full = round(row.duration_s / step)
        assert mine["time_s"].iloc[0] == pytest.approx(row.onset_s)
        assert mine["time_s"].iloc[-1] - mine["time_s"].iloc[0] + step <= row.duration_s + 1e-9
        if len(mine) == full:
            checked += 1
            pixels = npc.data.deg_to_pixels(mine[["x_deg", "y_deg"]], recording.display, convention="center")
            center = npc.data.deg_to_pixels([row.x_deg, row.y_deg], recording.display, convention="center")
            np.testing.assert_allclose(center, pixels.mean(axis=0), atol=0.1)  # the file has one decimal
    assert checked >= 1


def test_real_binocular_file(data_dir):
    recording = real(data_dir, "binocular")
    assert recording.display.resolution_px == (1080, 1920)  # its GAZE_COORDS give the count: 1920, not 1919
    assert recording.sampling_hz == 1000
    left, right = (recording.gaze[recording.gaze["eye"] == eye] for eye in ("left", "right"))
    assert len(left) == len(right) == 368
    # x 964.3, y 541.5 of 1920 x 1080: right of the centre (959.5), below it (539.5).
    assert left["x_deg"].iloc[0] > 0 > left["y_deg"].iloc[0]
    pixels = npc.data.deg_to_pixels(left[["x_deg", "y_deg"]].iloc[0], recording.display, convention="center")
    np.testing.assert_allclose(pixels, (964.3, 541.5))
    assert (~left["valid"]).sum() == 97  # the left blink, 1408787 to 1408883, of '.' samples
    assert left.loc[~left["valid"], ["x_deg", "pupil"]].isna().all().all()
    assert recording.trials["trial_id"].tolist() == ["I902C_low"]
    blinks = recording.events[recording.events["kind"] == "blink"]
    assert dict(zip(blinks["eye"], blinks["duration_s"], strict=True)) == {"left": 0.097, "right": 0.08}
    assert n_fixations(recording.fixations, recording.trials, eye="left").tolist() == [1]


def test_real_2khz_file_has_half_milliseconds(data_dir):
    recording = real(data_dir, "monocular_2khz")
    assert recording.sampling_hz == 2000
    assert recording.display.resolution_px == (1024, 1280)
    first = recording.trials.loc[recording.trials["trial"] == 0, "onset_s"].iloc[0] + recording.gaze["time_s"].iloc[:3]
    np.testing.assert_allclose(first[:2], [2154.5565, 2154.557])
    fixation = recording.events[recording.events["kind"] == "fixation"].iloc[0]
    assert fixation["onset_s"] == pytest.approx(2154.563)
    assert fixation["duration_s"] == pytest.approx(0.1325)  # 2154695.0 - 2154563.0 + 0.5 ms
    assert fixation["x_deg"] < 0 < fixation["y_deg"]  # (141.0, 132.2): upper left, and up is +y
    saccade = recording.events[recording.events["kind"] == "saccade"].iloc[0]
    assert saccade["peak_velocity_deg_s"] == 103
    assert recording.trials["trial"].tolist() == [0, 4, 1, 2, 3]  # in order of time, called by their TRIALID
    assert recording.trials["Trial_Index_"].iloc[-1] == "13"


def test_real_500hz_file_keeps_its_words_and_says_that_it_was_cut(data_dir):
    recording = real(data_dir, "monocular_no_dummy")
    assert recording.info["truncated"]
    assert "ENCODING TEST ÄÖÜ" in recording.messages["text"].tolist()
    assert recording.trials["condition"].tolist() == ["TEXT"]
    assert recording.sampling_hz == 500
    assert recording.trials["onset_s"].iloc[0] == pytest.approx(643.205)  # its SYNCTIME


@pytest.mark.parametrize("name", ["monocular", "monocular_2khz", "binocular", "monocular_no_dummy"])
def test_real_files_round_trip(data_dir, tmp_path, name):
    recording = real(data_dir, name)
    again = read_eyelink(write_eyelink(recording, tmp_path / "o.asc", decimals=6), display=recording.display)
    for table in ("gaze", "fixations", "trials"):
        pd.testing.assert_frame_equal(
            getattr(again, table), getattr(recording, table), rtol=0, atol=1e-6, check_like=True, check_exact=False
        )


def test_trials_by_messages_blocks_and_own_patterns(tmp_path):
    body = (
        "MSG\t105 SYNCTIME\n" + samples(101, 20) + "EFIX L   101\t120\t20\t  639.5\t  511.5\t    800\n"
        "MSG\t121 TRIAL_RESULT 0\nEND\t121 \tSAMPLES\tEVENTS\nMSG\t200 TRIALID 7\n"
        "MSG\t200 !V TRIAL_VAR condition easy\n"
        "START\t200 \tLEFT\tSAMPLES\tEVENTS\nSAMPLES\tGAZE\tLEFT\tRATE\t1000.00\n"
        + samples(201, 5)
        + "END\t206 \tSAMPLES\n"
    )
    path = asc(tmp_path, body)
    recording = read_eyelink(path, subject="s1", **SIZE)
    assert recording.trials["trial"].tolist() == [0, 7]
    assert recording.trials["condition"].tolist() == ["", "easy"]
    np.testing.assert_allclose(recording.trials["onset_s"], [0.105, 0.2])
    assert recording.fixations["fixation"].tolist() == [0]  # under way at SYNCTIME
    assert recording.fixations["onset_s"].tolist() == [-0.004]
    assert recording.gaze.groupby("trial").size().to_dict() == {0: 20, 7: 5}
    assert n_fixations(recording.fixations, recording.trials).tolist() == [0, 0]  # the second trial is empty, and there
    blocks = read_eyelink(path, trial_start=None, **SIZE)
    np.testing.assert_allclose(blocks.trials["duration_s"], [0.016, 0.006])
    own = read_eyelink(path, trial_start=r"VAR condition (?P<condition>\w+)", **SIZE)
    assert own.trials["condition"].tolist() == ["easy"]
    assert own.gaze["trial"].tolist() == [-1] * 20 + [0] * 5


def test_the_screen_comes_from_the_file_or_must_fit_it(tmp_path):
    path = asc(tmp_path, samples(101, 3) + "END\t104 \n")
    with pytest.raises(ValueError, match=r"size_m and distance_m must be given.*the file has \(1024, 1280\) pixels"):
        read_eyelink(path)
    with pytest.raises(ValueError, match=r"display\.resolution_px must be that of .*s1\.asc: \(1024, 1280\)"):
        read_eyelink(path, display=npc.Display.from_px_per_deg(30, resolution_px=(600, 800)))
    screen = npc.Display.from_px_per_deg(30, resolution_px=(1024, 1280))
    recording = read_eyelink(path, display=screen)
    np.testing.assert_allclose(recording.gaze[["x_deg", "y_deg"]], 0, atol=1e-12)
    none = asc(tmp_path, samples(101, 3) + "END\t104 \n", head=HEAD.replace("DISPLAY_COORDS", "COORDS"))
    with pytest.raises(ValueError, match=r"display must be given.*no GAZE_COORDS or DISPLAY_COORDS"):
        read_eyelink(none, **SIZE)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            samples(101, 3) + "104\t  63",
            r"line 13 of .*s1\.asc must be a sample with 4 numbers.*convert it from the EDF",
        ),
        (
            samples(101, 3) + "104\t  6.3.1\t 5\t 8\t...\n" + samples(105, 2),
            r"line 13 of .*must be a sample with 4 numbers",
        ),
        (samples(101, 3) + "104\t  63.1\n" + samples(105, 2), r"line 13 of .*must be a sample with 4 numbers"),
        (samples(101, 3) + "EFIX L   101\t103\n", r"line 13 of .*must be a whole EFIX line"),
        (samples(101, 3) + "EFIX Q   101\t103\t3\t1\t1\t1\n", r"line 13 of .*must be a whole EFIX line"),
        (samples(101, 3) + "MSG\tabc hello\n", r"line 13 of .*must be a whole MSG line"),
    ],
)
def test_broken_lines_are_named(tmp_path, body, message):
    with pytest.raises(ValueError, match=message):
        read_eyelink(asc(tmp_path, body), **SIZE)


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"path must be a file that exists, got .*none\.asc"):
        read_eyelink(tmp_path / "none.asc")
    (tmp_path / "s.edf").write_bytes(b"SR_RESEARCH_CORP\0\1\2")
    with pytest.raises(ValueError, match=r"path must be EyeLink ASC text.*edf2asc"):
        read_eyelink(tmp_path / "s.edf")
    (tmp_path / "e.asc").write_text("")
    with pytest.raises(ValueError, match=r"which is empty"):
        read_eyelink(tmp_path / "e.asc")
    (tmp_path / "t.asc").write_text("time\tx\ty\n0.1\t3\t4\n")
    with pytest.raises(ValueError, match=r"with a recording \(START\)"):
        read_eyelink(tmp_path / "t.asc")
    href = asc(tmp_path, samples(101, 2), head=HEAD.replace("SAMPLES\tGAZE", "SAMPLES\tHREF"))
    with pytest.raises(ValueError, match=r"samples are HREF, not GAZE"):
        read_eyelink(href, **SIZE)
    with pytest.raises(
        ValueError, match=r"trial_start must be a pattern that a message of .*begin with DISPLAY_COORDS"
    ):
        read_eyelink(asc(tmp_path, samples(101, 2) + "END\t103 \n"), trial_start="PICTURE", **SIZE)


def test_windows_text_and_old_2khz_times(tmp_path):
    head = HEAD.replace("1000.00", "2000.00")
    body = "MSG\t101 Bäume\n" + "".join(samples(101 + k, 2, step=0) for k in range(3)) + "END\t104 \n"
    recording = read_eyelink(asc(tmp_path, body, head=head, encoding="cp1252"), **SIZE)
    assert "Bäume" in recording.messages["text"].tolist()
    np.testing.assert_allclose(np.diff(recording.gaze["time_s"]), 0.0005)


def test_columns_after_the_pupil_do_not_matter(tmp_path):
    head = HEAD.replace("FILTER\t2\n", "FILTER\t2\tINPUT\tHTARGET\n")
    body = "".join(f"{101 + k}\t  10.5\t  20.5\t  800.0\t  127.0\t...\t 1.0\t 2.0\t 550.3\t....\n" for k in range(4))
    recording = read_eyelink(asc(tmp_path, body + "END\t105 \n", head=head), **SIZE)
    pixels = npc.data.deg_to_pixels(recording.gaze[["x_deg", "y_deg"]], recording.display, convention="center")
    np.testing.assert_allclose(pixels, [[10.5, 20.5]] * 4)


def test_writer_refuses_what_the_format_lacks(tmp_path):
    recording = read_eyelink(asc(tmp_path, samples(101, 5) + "END\t106 \n"), **SIZE)
    both = npc.data.EyeRecording
    fields = dict(display=recording.display, sampling_hz=1000.0, fixations=recording.fixations)
    middle = both(gaze=recording.gaze.assign(eye="cyclopean"), trials=recording.trials, **fields)
    with pytest.raises(ValueError, match=r"eye must be 'left' or 'right' in an EyeLink file"):
        write_eyelink(middle, tmp_path / "o.asc")
    timeless = both(gaze=recording.gaze, trials=recording.trials.drop(columns="onset_s"), **fields)
    with pytest.raises(ValueError, match=r"trials columns must be with onset_s"):
        write_eyelink(timeless, tmp_path / "o.asc")
    two = pd.concat([recording.trials, recording.trials.assign(trial=5)], ignore_index=True)
    with pytest.raises(ValueError, match=r"trials must be one after another"):
        write_eyelink(both(gaze=recording.gaze, trials=two, **fields), tmp_path / "o.asc")
    broken = recording.trials.assign(note="two\nlines")
    with pytest.raises(ValueError, match=r"note must be without line breaks"):
        write_eyelink(both(gaze=recording.gaze, trials=broken, **fields), tmp_path / "o.asc")
    assert not (tmp_path / "o.asc").exists()
