"""Readers of the search data sets: made miniature files with every trap in them, and the real files where they are."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

import neuroperc as npc
from neuroperc import data
from neuroperc.data.readers.pictures import read_picture

SCREEN = npc.Display.from_px_per_deg(32, resolution_px=(1024, 1280))


def real(*parts):
    if "NEUROPERC_DATA" not in os.environ:
        pytest.skip("NEUROPERC_DATA is not set: the search data sets are not here")
    return Path(os.environ["NEUROPERC_DATA"], "search", *parts)


# --- Interiors -------------------------------------------------------------------------------------------------------


def record(name="XYZ", trial=1, found=1, x=(512.5, 300.0), y=(384.5, 200.0), old=None, **more):
    n = len(x)
    t, dur = np.arange(n) * 250.0 + 1000, np.full(n, 200.0)
    before = old or {"x": np.array(x), "y": np.array(y), "t": t, "dur": dur}
    made = {
        "subj": name, "image_name": "room.jpg", "target_name": "room_template_1.jpg", "trial_order": trial,
        "image_size": np.array([768, 1024]), "screen_size": np.array([960, 1280]),
        "target_rect": np.array([229, 560, 301, 632]), "nsaccades_allowed": 4,
        "initial_position": np.array([512.5, 384.5]), "target_found": found, "search_rt": 1.25,
        "x": np.array(x), "y": np.array(y), "t": t, "dur": dur, "old": before,
    }  # fmt: skip
    return made | more


def save_interiors(path, *records):
    names = list(records[0])
    array = np.empty((1, len(records)), dtype=[(name, object) for name in names])
    for i, each in enumerate(records):
        for name in names:
            array[0, i][name] = each[name]
    savemat(path, {"info_per_subj_final": array})
    return path


def test_interiors_positions_boxes_and_people(tmp_path):
    file = save_interiors(tmp_path / "a.mat", record(), record("ABC", 2), record("XYZ", 3, x=(), y=(), found=0))
    fixations, trials = data.read_interiors(file, display=SCREEN)
    assert trials["subject"].tolist() == ["01", "02", "01"]
    assert trials["trial"].tolist() == [1, 2, 3]
    assert "XYZ" not in fixations.to_csv() + trials.to_csv()
    # (512.5, 384.5) of MATLAB is the middle of the photograph, which lies in the middle of any screen.
    np.testing.assert_allclose(fixations.loc[0, ["x_deg", "y_deg"]].astype(float), 0, atol=1e-9)
    np.testing.assert_allclose(fixations.loc[1, ["x_deg", "y_deg"]].astype(float), [-212.5 / 32, 184.5 / 32])
    np.testing.assert_allclose(fixations["onset_s"][:2], [0, 0.25])
    np.testing.assert_allclose(fixations["duration_s"][:2], 0.2)
    box = trials.loc[0, ["target_left_deg", "target_right_deg", "target_bottom_deg", "target_top_deg"]].astype(float)
    # 72 pixels from 229 (MATLAB), whose outer edge is 228.
    np.testing.assert_allclose(box, np.array([228 - 512, 300 - 512, 384 - 631, 384 - 559]) / 32)
    assert trials["n_saccades_allowed"].tolist() == [4, 4, 4]
    assert trials["found"].tolist() == [True, True, False]
    assert trials["rt_s"].tolist() == [1.25] * 3
    assert data.n_fixations(fixations, trials).tolist() == [1, 1, 0]  # the empty trial counts
    other = npc.Display.from_px_per_deg(32, resolution_px=(960, 1280))
    assert data.read_interiors(file, display=other)[0].equals(fixations)


def shifted_record():
    """A trial without success as released: beside-the-picture fixation dropped, moved by (96, 128), cut to the edge."""
    old = {"x": np.array([500.0, -20.0, 1000.0, 400.0]), "y": np.array([380.0, 300.0, 700.0, 100.0]),
           "t": np.array([1000.0, 1250, 1500, 1750]), "dur": np.full(4, 200.0)}  # fmt: skip
    return record(found=0, x=(596.0, 1024.0, 496.0), y=(508.0, 768.0, 228.0), old=old) | {
        "t": np.array([1000.0, 1500, 1750])
    }


def test_interiors_recorded_positions_undo_the_released_ones(tmp_path):
    file = save_interiors(tmp_path / "a.mat", shifted_record())
    recorded, _ = data.read_interiors(file, display=SCREEN)
    released, _ = data.read_interiors(file, display=SCREEN, positions="released")
    x = recorded["x_deg"].to_numpy() * 32 + 512.5
    np.testing.assert_allclose(x, [500, -20, 1000, 400])
    assert recorded["on_picture"].tolist() == [True, False, True, True]
    assert recorded["on_screen"].all()
    np.testing.assert_allclose(released["x_deg"] * 32 + 512.5, [596, 1024, 496])
    np.testing.assert_allclose(recorded["onset_s"], [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(released["onset_s"], [0, 0.5, 0.75])


def test_interiors_found_paths_end_where_the_released_ones_do(tmp_path):
    old = {"x": np.array([500.0, 300.0, 310.0]), "y": np.array([380.0, 200.0, 210.0]),
           "t": np.array([1000.0, 1250, 1500]), "dur": np.full(3, 200.0)}  # fmt: skip
    file = save_interiors(tmp_path / "a.mat", record(found=1, old=old))
    assert len(data.read_interiors(file, display=SCREEN)[0]) == 2
    bad = save_interiors(tmp_path / "b.mat", record(found=1, old=old | {"t": np.array([1.0, 2.0, 3.0])}))
    with pytest.raises(ValueError, match=r"t of record 0 of .*b\.mat must be among the recorded times"):
        data.read_interiors(bad, display=SCREEN)


def test_interiors_refusals(tmp_path):
    good = save_interiors(tmp_path / "a.mat", record(), record("ABC"))
    with pytest.raises(FileNotFoundError, match="path must be a file that exists"):
        data.read_interiors(tmp_path / "none.mat", display=SCREEN)
    content = good.read_bytes()
    for n in (0, 60, 200, len(content) // 2, len(content) - 40):
        cut = tmp_path / f"cut{n}.mat"
        cut.write_bytes(content[:n])
        with pytest.raises(ValueError, match=rf"cut{n}\.mat must be (a whole MATLAB file|with a struct array)"):
            data.read_interiors(cut, display=SCREEN)
    (tmp_path / "text.mat").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"text\.mat must be"):
        data.read_interiors(tmp_path / "text.mat", display=SCREEN)
    savemat(tmp_path / "other.mat", {"numbers": np.arange(3)})
    with pytest.raises(ValueError, match=r"other\.mat must be with a struct array of fields.*got variables numbers"):
        data.read_interiors(tmp_path / "other.mat", display=SCREEN)
    few = {k: v for k, v in record().items() if k not in ("dur", "old")}
    with pytest.raises(ValueError, match="got no dur, old"):
        data.read_interiors(save_interiors(tmp_path / "few.mat", few), display=SCREEN)
    uneven = record() | {"dur": np.array([200.0])}
    with pytest.raises(ValueError, match=r"x, y, t and dur of record 0 .*of one length, got \[2, 2, 2, 1\]"):
        data.read_interiors(save_interiors(tmp_path / "u.mat", uneven), display=SCREEN, positions="released")
    words = record() | {"x": "nothing"}
    with pytest.raises(ValueError, match=r"x of record 0 .*must be numbers"):
        data.read_interiors(save_interiors(tmp_path / "w.mat", words), display=SCREEN, positions="released")
    small = npc.Display.from_px_per_deg(32, resolution_px=(600, 800))
    with pytest.raises(ValueError, match=r"the picture of record 0 .*must be within the display \(600, 800\)"):
        data.read_interiors(good, display=small)
    with pytest.raises(ValueError, match="positions must be one of"):
        data.read_interiors(good, display=SCREEN, positions="raw")
    with pytest.raises(ValueError, match=r"trials must be unique"):
        data.read_interiors(save_interiors(tmp_path / "twice.mat", record(), record()), display=SCREEN)


@pytest.fixture(scope="module")
def interiors():
    return data.read_interiors(real("interiors", "info_all_subj.mat"), display=SCREEN)


def test_interiors_found_by_saccades_allowed(interiors):
    _, trials = interiors
    assert (len(trials), trials["subject"].nunique(), trials["stimulus_id"].nunique()) == (7455, 57, 134)
    share = trials.groupby("n_saccades_allowed")["found"].mean()
    for allowed, published in ((2, 0.130), (4, 0.328), (8, 0.620), (12, 0.713)):
        assert share[allowed] == pytest.approx(published, abs=0.0005)


def test_interiors_positions_agree_with_the_place_where_people_had_to_begin(interiors):
    """The released paths of trials without success are displaced; the recorded ones begin where they should."""
    released, trials = data.read_interiors(real("interiors", "info_all_subj.mat"), display=SCREEN, positions="released")
    assert len(released) == 47383
    found = {}
    for name, table in (("recorded", interiors[0]), ("released", released)):
        first = table[table["fixation"] == 0].merge(trials, on=["subject", "session", "trial"])
        away = np.hypot(first["x_deg"] - first["initial_x_deg"], first["y_deg"] - first["initial_y_deg"])
        found[name] = away.groupby(first["found"].astype(bool)).median()
    assert found["recorded"][True] == pytest.approx(found["released"][True], abs=0.1)
    assert found["recorded"][False] < 1.7
    assert found["released"][False] > 5


def test_interiors_boxes_cut_out_the_targets(interiors):
    _, trials = interiors
    checked = 0
    for name, rows in trials.groupby("stimulus_id"):
        file, row = real("interiors", "images", f"{name}.jpg"), rows.iloc[0]
        if checked == 4 or not file.is_file():
            continue
        picture = read_picture(file, encoding="srgb")[0]
        target = read_picture(real("interiors", "templates", f"{row['target_name']}.jpg"), encoding="srgb")[0]
        left = round(row["target_left_deg"] * 32 + 512)
        top = round(384 - row["target_top_deg"] * 32)
        errors = {(dy, dx): np.abs(picture[top + dy : top + dy + 72, left + dx : left + dx + 72] - target).mean()
                  for dy in (0, 1) for dx in (0, 1)}  # fmt: skip
        assert min(errors, key=errors.get) == (0, 0)
        assert errors[0, 0] < 0.025
        checked += 1
    assert checked == 4


# --- VSA -------------------------------------------------------------------------------------------------------------


def save_vsa(root, fix, cp, lengths, observer="human_all", targets=None):
    for part, stem, values in (
        ("fix", observer, fix),
        ("cp", f"CP_{observer}", cp),
        ("ifix", f"I_{observer}", lengths),
    ):
        (root / part).mkdir(parents=True, exist_ok=True)
        np.save(root / part / f"{stem}.npy", values)
    if targets is not None:
        np.save(root / "target_pos.npy", targets)
    return root


def people(n_pictures=2, longest=4, start=(512, 640)):
    fix = np.zeros((15 * n_pictures, longest, 2), dtype=int)
    fix[:, 0] = start
    fix[:, 1] = np.arange(15 * n_pictures)[:, None] + (100, 200)
    cp = np.zeros((15 * n_pictures, longest), dtype=int)
    cp[:, 1] = 1
    return fix, cp, np.full((15 * n_pictures, 1), 2)


def test_vsa_rows_and_columns_people_and_padding(tmp_path):
    fix, cp, lengths = people()
    fix[3, 2], lengths[3] = (0, 0), 4  # two fixations in the very corner of the screen are not padding
    fix[3, 3] = (700, -421)
    cp[3] = [0, 0, 0, 1]
    cp[5] = 0
    root = save_vsa(tmp_path / "Waldo", fix, cp, lengths, targets=np.array([[512.0, 640.0], [100.0, 1226.0]]))
    fixations, trials = data.read_vsa_scanpaths(root)
    assert len(trials) == 30
    assert trials["subject"].tolist()[:4] == ["01", "01", "02", "02"]  # subject-major
    assert trials["stimulus_id"].tolist()[:3] == ["Waldo-000", "Waldo-001", "Waldo-000"]
    assert trials["found"].tolist()[4:7] == [True, False, True]
    assert trials["budget"].unique().tolist() == [3]
    mine = fixations[(fixations["subject"] == "02") & (fixations["trial"] == 1)]
    assert mine["fixation"].tolist() == [0, 1, 2, 3]
    # (row, column): x = (column - 639.5) / 31.2, y = (511.5 - row) / 31.2.
    np.testing.assert_allclose(mine["x_deg"] * 31.2 + 639.5, [640, 203, 0, -421])
    np.testing.assert_allclose(511.5 - mine["y_deg"] * 31.2, [512, 103, 0, 700])
    assert mine["on_screen"].tolist() == [True, True, True, False]
    assert trials["target_x_deg"].tolist()[:2] == pytest.approx([0.5 / 31.2, (1226 - 639.5) / 31.2])


def test_vsa_schematic_places_are_remapped(tmp_path):
    fix, cp, lengths = people(start=(640, 512))
    fix[:, 1] = (90, 512)
    fix[1, 1] = (915, 36)
    root = save_vsa(tmp_path / "ObjArr", fix, cp, lengths)
    fixations, _ = data.read_vsa_scanpaths(root)
    second = fixations[fixations["fixation"] == 1]
    np.testing.assert_allclose(second["x_deg"].to_numpy()[:2] * 31.2 + 639.5, [340, 790])
    np.testing.assert_allclose(511.5 - second["y_deg"].to_numpy()[:2] * 31.2, [512, 252])
    # The six places lie on a ring: 9.6 degrees from the middle.
    assert np.hypot(second["x_deg"].iloc[0], second["y_deg"].iloc[0]) == pytest.approx(300 / 31.2, abs=0.03)
    fix[0, 1] = (91, 512)
    save_vsa(tmp_path / "ObjArr", fix, cp, lengths)
    with pytest.raises(ValueError, match=r"places of .*ObjArr must be among 90, 365.*got \[91.0\]"):
        data.read_vsa_scanpaths(root)


def test_vsa_found_that_is_not_in_the_paths_order_is_unknown(tmp_path):
    fix, cp, lengths = people()
    cp[0] = [0, 0, 0, 1]  # found after three fixations in a path of one
    root = save_vsa(tmp_path / "NaturalDesign", fix, cp, lengths)
    assert data.read_vsa_scanpaths(root)[1]["found"].isna().all()
    curve = data.read_vsa_found(root)
    assert curve["n_found"].tolist() == [0, 29, 0, 1]
    np.testing.assert_allclose(curve["share_found"], [0, 29 / 30, 29 / 30, 1])


def test_vsa_models(tmp_path):
    fix, cp, lengths = (part[:2] for part in people())
    root = save_vsa(tmp_path / "Waldo", fix, cp, lengths, observer="mine")
    _, trials = data.read_vsa_scanpaths(root, observer="mine")
    assert trials["subject"].tolist() == ["mine", "mine"]
    with pytest.raises(FileNotFoundError, match=r"observer must be one with a file in .*got other. There are mine"):
        data.read_vsa_scanpaths(root, observer="other")


def test_vsa_item_scanpaths(tmp_path):
    fix = np.zeros((2, 5, 2))
    fix[0, :2] = [(169, 169), (177, 19)]
    fix[1, :1] = [(169, 169)]
    np.save(tmp_path / "curvature_line_in_curves.npy", fix)
    screen = npc.Display.from_px_per_deg(30, resolution_px=(339, 339))
    fixations, trials = data.read_vsa_item_scanpaths(tmp_path / "curvature_line_in_curves.npy", display=screen)
    assert data.n_fixations(fixations, trials).tolist() == [1, 0]
    np.testing.assert_allclose(fixations[["x_deg", "y_deg"]], [[0, 0], [-5, -8 / 30], [0, 0]], atol=1e-9)
    assert trials["condition"].unique().tolist() == ["curvature_line_in_curves"]


def test_vsa_refusals(tmp_path):
    root = save_vsa(tmp_path / "Waldo", *people())
    with pytest.raises(ValueError, match="folder's name must be one of 'ObjArr', 'NaturalDesign', 'Waldo'"):
        data.read_vsa_scanpaths(tmp_path)
    with pytest.raises(ValueError, match="folder must be one that exists"):
        data.read_vsa_scanpaths(tmp_path / "else" / "Waldo")
    content = (root / "fix" / "human_all.npy").read_bytes()
    for n in (0, 5, 100, len(content) - 8):
        (root / "fix" / "human_all.npy").write_bytes(content[:n])
        with pytest.raises(ValueError, match=r"human_all\.npy must be a whole \.npy file"):
            data.read_vsa_scanpaths(root)
    fix, cp, lengths = people()
    for part, message in (
        ((fix[..., 0], cp, lengths), r"human_all\.npy must be numbers of shape \(any, any, 2\)"),
        ((fix[:-1], cp[:-1], lengths[:-1]), "of a multiple of 15 rows, got 29"),
        ((fix, cp[:-1], lengths), r"CP_human_all\.npy must be numbers of shape \(30, any\)"),
        ((fix, cp * 2, lengths), r"CP_human_all\.npy must be rows with a single 1 or none"),
        ((fix, cp, lengths * 9), r"I_human_all\.npy must be lengths of 1 to 4, got 18 to 18"),
        ((fix, cp, lengths * 0), r"I_human_all\.npy must be lengths of 1 to 4, got 0 to 0"),
    ):
        save_vsa(root, *part)
        with pytest.raises(ValueError, match=message):
            data.read_vsa_scanpaths(root)
    save_vsa(root, fix, cp, lengths)
    (root / "cp" / "CP_human_all.npy").unlink()
    with pytest.raises(FileNotFoundError, match="path must be a file that exists"):
        data.read_vsa_found(root)


@pytest.mark.parametrize(
    ("experiment", "observer", "n", "found", "by_five", "saccade_deg"),
    [
        ("ObjArr", "human", 4500, 0.932, None, 9.6),
        ("ObjArr", "eccNET", 300, 1.0, None, 9.6),
        ("ObjArr", "IVSN", 300, 1.0, None, 9.6),
        ("NaturalDesign", "human", 3600, 0.901, 0.559, 6.2),
        ("NaturalDesign", "eccNET", 240, 0.971, 0.346, 5.8),
        ("NaturalDesign", "IVSN", 240, 0.979, 0.417, 16.0),
        ("Waldo", "human", 1005, 0.752, None, 4.8),
        ("Waldo", "eccNET", 67, 0.776, None, 4.9),
        ("Waldo", "IVSN", 67, 0.836, None, 19.0),
    ],
)
def test_vsa_published_shares_and_saccades(experiment, observer, n, found, by_five, saccade_deg):
    root = real("vsa", "human_scanpaths", experiment)
    fixations, trials = data.read_vsa_scanpaths(root, observer=observer)
    curve = data.read_vsa_found(root, observer=observer)
    assert len(trials) == n
    assert curve["share_found"].iloc[-1] == pytest.approx(found, abs=0.0005)
    if by_five is not None:
        assert curve["share_found"][5] == pytest.approx(by_five, abs=0.0005)
    saccades = data.saccades(fixations, data.vsa_display())
    assert saccades["amplitude_deg"].median() == pytest.approx(saccade_deg, abs=0.05)
    unknown = observer == "human" and experiment != "Waldo"
    assert trials["found"].isna().all() == unknown
    off = {"NaturalDesign": 106, "Waldo": 309}.get(experiment, 0) if observer == "human" else 0
    lost = fixations[~fixations["on_screen"]].drop_duplicates(["subject", "trial"])
    assert len(lost) == off


def test_vsa_item_scanpaths_end_on_the_predicted_fixation():
    predictions = npc.search.read_vsa_predictions(real("vsa"))
    mine = predictions[(predictions["model"] == "eccNET") & (predictions["condition"] == "line_among_curves")]
    screen = npc.stimuli.search_displays(None, "line_among_curves", set_size=8, n=1, rng=0).display
    fixations, trials = data.read_vsa_item_scanpaths(
        real("vsa", "eccNET_fixations", "curvature_line_in_curves.npy"), display=screen, subject="eccNET"
    )
    assert fixations["on_screen"].all()
    np.testing.assert_array_equal(data.n_fixations(fixations, trials), mine["n_fixations"])


def test_studyforrest_vectors():
    screen = npc.Display.from_px_per_deg(40, resolution_px=(720, 1280))
    fixations, trials = data.read_fixation_vectors(real("multimatch", "fixvectors"), display=screen)
    assert trials.groupby("trial")["subject"].agg(list).map(sorted).tolist() == [["01", "19"]] * 55
    assert fixations["on_screen"].all()
    assert fixations["duration_s"].between(0.01, 10).all()
    raw = pd.read_csv(real("multimatch", "fixvectors", "segment_10_sub-19.tsv"), sep="\t")
    mine = fixations[(fixations["trial"] == 10) & (fixations["subject"] == "19")]
    np.testing.assert_allclose(screen.to_px(mine[["x_deg", "y_deg"]].to_numpy()), raw[["start_x", "start_y"]])
