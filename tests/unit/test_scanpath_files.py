"""COCO-Search18, ViSioNS and fixation-vector files."""

import json
import warnings

import numpy as np
import pytest

import neuroperc as npc
from neuroperc.data import (
    make_fixations,
    make_trials,
    read_coco_search,
    read_fixation_vectors,
    read_visions,
    write_coco_search,
    write_fixation_vectors,
    write_visions,
)

COCO_SCREEN = npc.Display.from_px_per_deg(30, resolution_px=(1050, 1680))
RECORD = {
    "name": "000000478726.jpg", "subject": 2, "task": "bottle", "condition": "present", "bbox": [1063, 68, 95, 334],
    "X": [848.2, 799.2, 1690.5], "Y": [517.2, 476.2, 167.5], "T": [73, 124, 438], "length": 3, "correct": 1,
    "fixOnTarget": True, "RT": 1159, "split": "train",
}  # fmt: skip


def coco(tmp_path, *records, **changes):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(list(records) or [RECORD | changes]))
    return path


def test_coco_record_means_what_it_says(tmp_path):
    fixations, trials = read_coco_search(coco(tmp_path), display=COCO_SCREEN)
    row = trials.iloc[0]
    assert (row["subject"], row["stimulus_id"], row["condition"]) == ("2", "000000478726.jpg", "present")
    assert (row["target_present"], row["correct"], row["found"], row["rt_s"]) == (True, True, True, 1.159)
    assert (row["task"], row["split"]) == ("bottle", "train")
    assert fixations["fixation"].tolist() == [0, 1, 2]  # the first position was held at the onset
    assert fixations["on_screen"].tolist() == [True, True, False]  # 1690.5 is beyond 1680, and kept
    np.testing.assert_allclose(fixations["duration_s"], [0.073, 0.124, 0.438])
    np.testing.assert_allclose(fixations.loc[0, ["x_deg", "y_deg"]].astype(float), [8.7 / 30, 7.3 / 30])
    # The box covers columns 1063 to 1157: from 1063 to 1158 when pixel 0 begins at 0; the screen's centre is 840.
    box = row[["target_left_deg", "target_right_deg", "target_bottom_deg", "target_top_deg"]].astype(float)
    np.testing.assert_allclose(box, np.array([1063 - 840, 1158 - 840, 525 - 402, 525 - 68]) / 30)
    assert npc.data.n_fixations(fixations, trials, on_screen=True).tolist() == [1]


def test_coco_file_comes_back_as_it_was(tmp_path):
    second = RECORD | {"subject": 1, "condition": "absent", "X": [], "Y": [], "T": [], "length": 0, "note": {"a": [1]}}
    del second["bbox"], second["RT"]
    path = coco(tmp_path, RECORD, second, RECORD | {"name": "b.jpg"})
    fixations, trials = read_coco_search(path, display=COCO_SCREEN)
    assert trials["trial"].tolist() == [0, 0, 1]
    again = write_coco_search(fixations, trials, tmp_path / "d.json", display=COCO_SCREEN)
    assert json.loads(again.read_text()) == json.loads(path.read_text())


def test_coco_pictures_of_another_size(tmp_path):
    small = RECORD | {"X": [255.5], "Y": [159.5], "T": [100], "length": 1, "bbox": [0, 0, 512, 320]}
    fixations, trials = read_coco_search(coco(tmp_path, small), display=COCO_SCREEN, size_px=(320, 512))
    np.testing.assert_allclose(fixations[["x_deg", "y_deg"]], 0, atol=1e-12)
    assert trials["target_right_deg"].iloc[0] == pytest.approx(28)
    path = write_coco_search(fixations, trials, tmp_path / "d.json", display=COCO_SCREEN, size_px=(320, 512))
    assert json.loads(path.read_text())[0]["bbox"] == [0, 0, 512, 320]


def test_durations_without_a_place_are_reported_and_kept(tmp_path):
    path = coco(tmp_path, T=[73, 124, 438, 250], length=4)
    with pytest.warns(UserWarning) as told:
        fixations, trials = read_coco_search(path, display=COCO_SCREEN)
    texts = [str(w.message) for w in told]
    assert any("1 of 1 trials of" in t and "more durations (T) than positions" in t for t in texts)
    assert any("length is not that of X and Y in 1 of 1" in t for t in texts)
    assert trials["unplaced_durations_s"].tolist() == [(0.25,)]
    assert len(fixations) == 3
    out = write_coco_search(fixations, trials, tmp_path / "d.json", display=COCO_SCREEN)
    assert json.loads(out.read_text())[0]["T"] == [73, 124, 438, 250]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", r"path must be whole JSON, got .*c\.json, line 1"),
        ("{}", r"c\.json must be a list of scanpaths, got dict.*ViSioNS"),
        ("[3]", r"record 0 of .*c\.json must be an object"),
        (json.dumps([{"name": "a"}]), r"record 0 of .* must be with name, subject, X, Y, T, got no subject, X, Y, T"),
        (json.dumps([RECORD | {"X": [1]}]), r"X and Y of record 0 of .* must be of one length, got 1 and 3"),
        (json.dumps([RECORD | {"X": "left"}]), r"X of record 0 of .* must be a list of numbers"),
        (json.dumps([RECORD | {"bbox": [1, 2]}]), r"bbox of record 0 of .* must be \[x, y, width, height\]"),
    ],
)
def test_coco_faults_are_named(tmp_path, text, message):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_coco_search(path, display=COCO_SCREEN)


def test_coco_refuses_two_eyes(tmp_path):
    table = make_fixations([[0, 0], [1, 0]], trial=0, fixation=0, eye=["left", "right"], display=COCO_SCREEN)
    with pytest.raises(ValueError, match=r"fixations must be of one eye a trial"):
        write_coco_search(table, make_trials([0]), tmp_path / "d.json", display=COCO_SCREEN)


def real_visions(data_dir, tmp_path, name):
    whole = json.loads((data_dir / "search" / "visions_format" / "sample_scanpaths.json").read_text())
    path = tmp_path / "subj_scanpaths.json"
    path.write_text(json.dumps(whole[name]))
    return path


def test_real_visions_coco_part(data_dir, tmp_path):
    path = real_visions(data_dir, tmp_path, "COCOSearch18")
    with pytest.warns(UserWarning) as told:
        fixations, trials = read_visions(path, display=COCO_SCREEN)
    texts = " ".join(str(w.message) for w in told)
    assert "2 of 3 trials" in texts  # positions were cut when the target was found, durations were not
    assert "(1050, 1650)" in texts  # the files misstate the screen, whose width is the pictures' 1680
    assert trials["found"].tolist() == [True, True, False]
    assert fixations.groupby("trial").size().tolist() == [2, 4, 3]
    assert fixations["x_deg"].iloc[0] == pytest.approx((848.7 - 839.5) / 30)
    # target_bbox is [y0, x0, y1, x1]: 334, 157, 534, 449
    box = trials.loc[0, ["target_left_deg", "target_right_deg", "target_bottom_deg", "target_top_deg"]].astype(float)
    np.testing.assert_allclose(box, np.array([157 - 840, 449 - 840, 525 - 534, 525 - 334]) / 30)
    inside = (fixations["x_deg"].between(box.iloc[0], box.iloc[1])) & fixations["y_deg"].between(
        box.iloc[2], box.iloc[3]
    )
    assert inside[fixations["trial"] == 0].tolist() == [False, False]  # (463, 498) lies 14 px right of it
    out = write_visions(fixations, trials, tmp_path / "out.json", display=COCO_SCREEN)
    assert json.loads(out.read_text()) == json.loads(path.read_text())


def test_real_visions_interiors_lie_in_the_middle_of_the_screen(data_dir, tmp_path):
    screen = npc.Display.from_px_per_deg(30, resolution_px=(960, 1280))
    path = real_visions(data_dir, tmp_path, "Interiors_Responses")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixations, trials = read_visions(path, display=screen)
    pixels = npc.data.deg_to_pixels(fixations[["x_deg", "y_deg"]], screen, convention="center")
    np.testing.assert_allclose(pixels[0], (561.8 + 128, 306.3 + 96))  # 1024 x 768 on 1280 x 960
    assert fixations["duration_s"].isna().tolist() == [False, False, True]  # two durations, three positions
    out = write_visions(fixations, trials, tmp_path / "out.json", display=screen)
    assert json.loads(out.read_text()) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"must be an object, one entry a picture, got list"),
        ({"a.jpg": {"subject": "1", "X": [1]}}, r"'a.jpg' of .* must be with subject, X, Y, got no Y"),
        ({"a.jpg": {"subject": "1", "X": [1], "Y": [1], "image_height": 2000, "image_width": 9}},
         r"the picture of 'a.jpg' of .* must be within the display \(1050, 1680\)"),
    ],
)  # fmt: skip
def test_visions_faults_are_named(tmp_path, content, message):
    path = tmp_path / "v.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_visions(path, display=COCO_SCREEN)


def test_visions_holds_one_person_and_one_trial_a_picture(tmp_path):
    none = make_fixations([], trial=[], fixation=[], on_screen=[])
    with pytest.raises(ValueError, match=r"subject must be one in a ViSioNS file"):
        write_visions(none, make_trials([0, 0], subject=["a", "b"]), tmp_path / "v.json", display=COCO_SCREEN)
    with pytest.raises(ValueError, match=r"stimulus_id must be unique in a ViSioNS file"):
        write_visions(none, make_trials([0, 1], stimulus_id="a.jpg"), tmp_path / "v.json", display=COCO_SCREEN)


def test_real_fixation_vectors(data_dir):
    screen = npc.Display.from_px_per_deg(40, resolution_px=(720, 1280))
    folder = data_dir / "search" / "multimatch" / "fixvectors"
    fixations, trials = read_fixation_vectors(folder, display=screen)
    assert (len(trials), len(fixations)) == (110, 3402)
    assert sorted(trials["subject"].unique()) == ["01", "19"]
    first = fixations[(fixations["subject"] == "01") & (fixations["trial"] == 0)]
    pixels = npc.data.deg_to_pixels(first[["x_deg", "y_deg"]], screen, convention="center")
    np.testing.assert_allclose(pixels[0], (656.3, 553.2))
    assert first["duration_s"].iloc[0] == pytest.approx(0.321)
    one = read_fixation_vectors(folder / "segment_0_sub-01.tsv", display=screen)[0]
    assert len(one) == len(first)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trial_1.tsv", "x\ty\n1\t2\n", r"trial_1\.tsv must be with the columns start_x, start_y, duration"),
        (
            "trial_1.tsv",
            "start_x\tstart_y\tduration\n1\tleft\t3\n",
            r"start_y must be numbers, or n/a, got 'left' in row 1",
        ),
        ("gaze.tsv", "start_x\tstart_y\tduration\n", r"pattern must be one that matches gaze\.tsv"),
    ],
)
def test_fixation_vector_faults_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_fixation_vectors(tmp_path, display=COCO_SCREEN)


def test_fixation_vectors_refuse_what_they_cannot_hold(tmp_path):
    trials = make_trials([0])
    late = make_fixations([[0, 0]], trial=0, fixation=1, display=COCO_SCREEN)
    with pytest.raises(ValueError, match=r"fixation of trial .* must be 0, 1, 2"):
        write_fixation_vectors(late, trials, tmp_path, display=COCO_SCREEN)
    lost = make_fixations([[np.nan] * 2], trial=0, fixation=0, display=COCO_SCREEN)
    with pytest.raises(ValueError, match=r"fixations must be of known places"):
        write_fixation_vectors(lost, trials, tmp_path, display=COCO_SCREEN)
    with pytest.raises(ValueError, match=r"path must be a folder with \.tsv files"):
        read_fixation_vectors(tmp_path, display=COCO_SCREEN)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = coco(tmp_path)
    fixations, trials = read_coco_search(path, display=COCO_SCREEN)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match=r"could not be written.*nothing was changed"):
        write_coco_search(fixations, trials, path, display=COCO_SCREEN)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]
