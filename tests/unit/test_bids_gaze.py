"""BIDS eye tracking: what we write, what others write, what is broken."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc.data import EyeRecording, make_fixations, make_gaze, make_trials, read_bids_gaze, write_bids_gaze

SCREEN = npc.Display((1080, 1920), (0.3, 0.53), 0.6, refresh_hz=120)


def recording(subject="01", eye="left", **changes):
    gaze = make_gaze([[1, 2], [1, 2.5], [np.nan] * 2], time_s=[-0.002, 0, 0.002], trial=4, subject=subject, eye=eye,
                     pupil=[900, 901, np.nan], session="")  # fmt: skip
    fixations = make_fixations([[1, 2.2]], trial=4, fixation=0, subject=subject, onset_s=-0.002, duration_s=0.004,
                               eye=eye, display=SCREEN)  # fmt: skip
    trials = make_trials([4, 5], subject=subject, onset_s=[3.0, 9.0], duration_s=[2.0, np.nan], note=["é", ""])
    fields = dict(gaze=gaze, fixations=fixations, trials=trials, display=SCREEN, sampling_hz=500.0)
    return EyeRecording(**(fields | changes))


def test_files_are_as_the_standard_has_them(tmp_path):
    write_bids_gaze(recording(), tmp_path, task="search")
    stem = tmp_path / "sub-01" / "beh" / "sub-01_task-search_recording-eye1_physio"
    about = json.loads(stem.with_suffix(".json").read_text())
    assert about["PhysioType"] == "eyetrack"
    assert about["RecordedEye"] == "left"
    assert about["SampleCoordinateSystem"] == "gaze-on-screen"
    assert about["SamplingFrequency"] == 500
    assert about["Columns"][:4] == ["timestamp", "x_coordinate", "y_coordinate", "pupil_size"]
    assert about["x_coordinate"]["Units"] == "pixel"
    rows = gzip.decompress(stem.with_suffix(".tsv.gz").read_bytes()).decode().splitlines()
    assert len(rows) == 3  # no header
    time, x, y, pupil, *_ = rows[1].split("\t")
    expected = npc.data.deg_to_pixels([1, 2.5], SCREEN, convention="center")
    np.testing.assert_allclose([float(v) for v in (time, x, y, pupil)], [3.0, *expected, 901], atol=1e-6)
    assert float(y) < 539.5  # up is up: fewer rows from the top
    assert rows[2].split("\t")[1:4] == ["n/a"] * 3
    screen = json.loads((tmp_path / "task-search_events.json").read_text())["StimulusPresentation"]
    assert screen["ScreenResolution"] == [1920, 1080]
    assert (screen["ScreenDistance"], screen["ScreenSize"]) == (0.6, [0.53, 0.3])
    assert (tmp_path / "dataset_description.json").is_file()


def test_same_tables_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_bids_gaze(recording(), tmp_path / name, task="search")
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_two_people_two_eyes_and_a_small_angle_screen(tmp_path):
    flat = npc.Display((1080, 1920), (0.3, 0.53), 0.6, geometry="small_angle")
    parts = [recording("01"), recording("01", eye="right"), recording("02")]
    gaze, fixations = (pd.concat([getattr(p, n) for p in parts], ignore_index=True) for n in ("gaze", "fixations"))
    trials = pd.concat([parts[0].trials, parts[2].trials], ignore_index=True)
    whole = EyeRecording(gaze, fixations, trials, flat, 500.0)
    write_bids_gaze(whole, tmp_path, task="x")
    back = read_bids_gaze(tmp_path)
    assert back.display == flat
    pd.testing.assert_frame_equal(back.trials, whole.trials, check_like=True)
    pd.testing.assert_frame_equal(back.gaze, whole.gaze, check_like=True, rtol=0, atol=1e-6)
    one = read_bids_gaze(tmp_path, subject="02")
    assert one.trials["subject"].unique().tolist() == ["02"]
    with pytest.raises(ValueError, match=r"folder must be a BIDS data set.*asked for \{'sub': '03'\}"):
        read_bids_gaze(tmp_path, subject="03")


def foreign(
    tmp_path, *, columns=("timestamp", "x_coordinate", "y_coordinate"), physio=None, presentation=None, events=None
):
    """A data set as eye2bids and others make it: milliseconds, sidecars higher up, no trial numbers."""
    folder = tmp_path / "sub-01" / "ses-1" / "beh"
    folder.mkdir(parents=True)
    stem = folder / "sub-01_ses-1_task-view"
    about = {"PhysioType": "eyetrack", "Columns": list(columns), "SamplingFrequency": 1000, "StartTime": 0}
    about |= {"SampleCoordinateSystem": "gaze-on-screen", "x_coordinate": {"Units": "pixel"}}
    (tmp_path / "task-view_physio.json").write_text(json.dumps(about | (physio or {})))
    (folder / f"{stem.name}_recording-eye1_physio.json").write_text(json.dumps({"RecordedEye": "right"}))
    rows = [f"{7186800 + k}\t{959.5 if k < 10 else 1059.5}\t{539.5}" for k in range(20)]
    (folder / f"{stem.name}_recording-eye1_physio.tsv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    screen = {"ScreenDistance": 0.6, "ScreenResolution": [1920, 1080], "ScreenSize": [0.53, 0.3]}
    shown = {"StimulusPresentation": {"ScreenOrigin": ["top", "left"], **screen, **(presentation or {})}}
    (tmp_path / "task-view_events.json").write_text(json.dumps(shown))
    text = events or "onset\tduration\ttrial_type\tresponse_time\n0.002\t0.005\tface\tn/a\n0.010\tn/a\thouse\t0.8\n"
    (folder / f"{stem.name}_events.tsv").write_text(text)
    told = {"Columns": ["onset", "duration", "trial_type", "blink", "message"], "OnsetSource": "timestamp"}
    (tmp_path / "task-view_physioevents.json").write_text(json.dumps(told))
    lines = (
        '7186790\tn/a\tn/a\tn/a\t"RECCFG CR 1000 2 0 R"\n7186803\t4\tfixation\t0\tn/a\n7186811\t6\tsaccade\t1\tn/a\n'
    )
    (folder / f"{stem.name}_recording-eye1_physioevents.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


@pytest.mark.parametrize("unit", [None, "ms"])
def test_data_sets_of_others(tmp_path, unit):
    foreign(tmp_path, physio={"timestamp": {"Units": unit}} if unit else None)
    found = read_bids_gaze(tmp_path)
    assert found.trials["condition"].tolist() == ["face", "house"]
    assert found.trials["rt_s"].tolist()[1] == 0.8
    np.testing.assert_allclose(found.trials["onset_s"], [7186.802, 7186.81])
    assert found.gaze["trial"].tolist() == [-1] * 2 + [0] * 5 + [-1] * 3 + [1] * 10
    assert found.gaze["eye"].unique().tolist() == ["right"]
    np.testing.assert_allclose(found.gaze["time_s"].iloc[2:7], np.arange(5) / 1000, atol=1e-9)
    # The fixation's place is the mean of its samples; it began 1 ms after the onset.
    row = found.fixations.iloc[0]
    assert (row["fixation"], row["onset_s"], row["duration_s"]) == (1, 0.001, 0.004)
    np.testing.assert_allclose([row["x_deg"], row["y_deg"]], 0, atol=1e-9)
    assert found.events["kind"].tolist() == ["fixation", "saccade"]
    assert found.messages["text"].tolist() == ["RECCFG CR 1000 2 0 R"]


def test_an_origin_at_the_bottom_is_turned_over(tmp_path):
    foreign(tmp_path, presentation={"ScreenOrigin": ["bottom", "left"]})
    path = next(tmp_path.rglob("*_physio.tsv.gz"))
    path.write_bytes(gzip.compress(b"7186800\t959.5\t1000\n7186801\t959.5\t1000\n"))
    assert read_bids_gaze(tmp_path).gaze["y_deg"].iloc[0] > 10


def test_only_rows_of_a_trial_type(tmp_path):
    foreign(tmp_path)
    assert read_bids_gaze(tmp_path, trial_type="house").trials["condition"].tolist() == ["house"]


def test_centimetres_are_suspected(tmp_path):
    foreign(tmp_path, presentation={"ScreenDistance": 60})
    with pytest.warns(UserWarning, match=r"ScreenDistance of .* is 60 m, which looks like centimetres"):
        read_bids_gaze(tmp_path)


def truncate(folder):
    path = next(folder.glob("*_physio.tsv.gz"))
    path.write_bytes(path.read_bytes()[:-20])


def spoil(folder):
    path = next(folder.glob("*_physio.tsv.gz"))
    path.write_bytes(gzip.compress(b"7186800\t1.0\t2.0\n7186801\tright\t2.0\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(physio={"Columns": ["timestamp", "x", "y"]}),
            r"Columns of .*eye1_physio.* must be with x_coordinate, y_coord",
        ),
        (dict(physio={"SampleCoordinateSystem": "gaze-in-world"}), r"SampleCoordinateSystem of .* must be one of"),
        (dict(physio={"x_coordinate": {"Units": "furlong"}}), r"Units of x_coordinate in .* must be one of"),
        (dict(physio={"timestamp": {"Units": "day"}}), r"Units of timestamp in .* must be one of"),
        (dict(physio={"PhysioType": "generic"}), r"PhysioType of .* must be one of 'eyetrack'"),
        (dict(physio={"SamplingFrequency": 77}), r"timestamps of .* must be seconds, ms"),
        (dict(presentation={"ScreenOrigin": ["center", "center"]}), r"ScreenOrigin must be one of"),
        (dict(events="time\tduration\n0\t1\n"), r"columns of .*_events\.tsv must be with onset"),
        (dict(events="onset\tduration\nsoon\t1\n"), r"onset must be numbers, or n/a, got 'soon' in row 1"),
    ],
)
def test_broken_data_sets_are_named(tmp_path, change, message):
    foreign(tmp_path, **change)
    with pytest.raises(ValueError, match=message):
        read_bids_gaze(tmp_path)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncate, r"path must be a whole table.*_physio\.tsv\.gz.*copy or write it again"),
        (spoil, r"x_coordinate must be numbers, or n/a, got 'right' in row 2"),
        (lambda f: (f.parents[2] / "task-view_events.json").write_text("{"), r"path must be whole JSON, got .*line 1"),
        (lambda f: (f.parents[2] / "task-view_events.json").write_text("{}"), r"must be with ScreenDistance"),
    ],
)
def test_damaged_files_are_named(tmp_path, harm, message):
    harm(foreign(tmp_path))
    with pytest.raises(ValueError, match=message):
        read_bids_gaze(tmp_path)


def test_missing_folder_and_several_tasks(tmp_path):
    with pytest.raises(ValueError, match=r"folder must be a folder that exists"):
        read_bids_gaze(tmp_path / "none")
    for task in ("a", "b"):
        write_bids_gaze(recording(), tmp_path, task=task)
    with pytest.raises(ValueError, match=r"task must be one of a, b"):
        read_bids_gaze(tmp_path)
    assert len(read_bids_gaze(tmp_path, task="b").trials) == 2


@pytest.mark.parametrize(
    ("change", "task", "message"),
    [
        ({}, "visual search", r"task must be letters and digits"),
        (dict(trials=recording().trials.drop(columns="onset_s")), "x", r"trials must be with onset_s"),
        (dict(gaze=recording().gaze.assign(eye="")), "x", r"eye must be 'left', 'right' or 'cyclopean' in BIDS"),
        (
            dict(display=npc.Display.from_px_per_deg(30, resolution_px=(9, 9))),
            "x",
            r"distance_m must be known for BIDS",
        ),
        (dict(messages=pd.DataFrame({"time_s": [0.1], "text": ["a\tb"]})), "x", r"text must be without tabs"),
    ],
)
def test_writer_refuses(tmp_path, change, task, message):
    with pytest.raises(ValueError, match=message):
        write_bids_gaze(recording(**change), tmp_path, task=task)


def test_events_of_several_people_need_their_names(tmp_path):
    parts = [recording("01"), recording("02")]
    tables = {n: pd.concat([getattr(p, n) for p in parts], ignore_index=True) for n in ("gaze", "fixations", "trials")}
    said = pd.DataFrame({"time_s": [0.1], "text": ["hello"]})
    with pytest.raises(ValueError, match=r"messages must be with subject and session"):
        write_bids_gaze(recording(**tables, messages=said), tmp_path, task="x")
    write_bids_gaze(recording(**tables, messages=said.assign(subject="02", session="")), tmp_path, task="x")
    assert read_bids_gaze(tmp_path).messages[["subject", "text"]].to_numpy().tolist() == [["02", "hello"]]
