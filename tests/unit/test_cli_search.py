"""`neuroperc search` and `neuroperc stimuli search`: tables and pictures that agree with each other."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc import cli
from neuroperc.data.readers.pictures import read_picture, save_image


def call(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["neuroperc", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


@pytest.fixture
def spot(tmp_path):
    """A coloured spot 3 deg right of and 1 deg below the middle of noise, 8 px/deg."""
    image = torch.from_numpy(0.1 * np.random.default_rng(0).random((3, 64, 96), dtype=np.float32))
    image[0, 36:44, 67:76] = 1.0
    save_image(image, tmp_path / "spot.png")
    return tmp_path / "spot.png"


def test_pixels_find_a_spot_at_once(spot, tmp_path, monkeypatch, capsys):
    words = ("search", spot, tmp_path / "out", "--target", "3,-1,1,1", "--model", "pixels", "--px-per-deg", 8, "--json")
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    assert [path.rsplit("/", 1)[1] for path in json.loads(out)["written"]] == [
        "fixations.csv", "trials.csv", "scanpath.png",
    ]  # fmt: skip
    fixations, trials = (pd.read_csv(tmp_path / "out" / name) for name in ("fixations.csv", "trials.csv"))
    assert trials["found"].tolist() == [True]
    assert fixations["fixation"].tolist() == [0, 1]
    last = fixations[["x_deg", "y_deg"]].iloc[1]
    assert np.hypot(last["x_deg"] - 3, last["y_deg"] + 1) < 1.2
    assert (tmp_path / "out" / "scanpath.png").read_bytes()[1:4] == b"PNG"


def test_chance_follows_the_seed_and_ends_with_the_budget(spot, tmp_path, monkeypatch, capsys):
    tables = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = ("search", spot, tmp_path / folder, "--target", "-5.5,3.5,0.25,0.25", "--model", "chance")
        code, _, err = call(monkeypatch, capsys, *words, "--px-per-deg", 8, "--budget", 4, "--seed", seed)
        assert code == 0, err
        tables.append(pd.read_csv(tmp_path / folder / "fixations.csv"))
        assert len(tables[-1]) <= 5
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0][["x_deg", "y_deg"]].equals(tables[2][["x_deg", "y_deg"]])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "3,-1,1"), "4 numbers"),
        (("--target", "30,-1,1,1"), "inside the picture"),
        (("--target", "3,-1,1,1", "--model", "eyes"), "eccnet"),
        (("--target", "3,-1,1,1", "--model", "pixels", "--weights", "w.pt"), "left out"),
        (("--target", "3,-1,1,1", "--template", "none.png"), "none.png"),
    ],
)
def test_bad_search_options_name_value_and_remedy(spot, tmp_path, monkeypatch, capsys, words, message):
    code, _, err = call(monkeypatch, capsys, "search", spot, tmp_path / "out", "--px-per-deg", 8, *words)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_displays_are_files_with_tables(tmp_path, monkeypatch, capsys):
    words = ("stimuli", "search", "curve_among_lines", tmp_path / "new", "--set-size", 8, "--n", 2, "--seed", 5)
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    table = pd.read_csv(tmp_path / "new" / "displays.csv", dtype={"stimulus_id": str})
    items = pd.read_csv(tmp_path / "new" / "items.csv", dtype={"stimulus_id": str})
    assert len(table) == 2
    assert items.groupby("stimulus_id").size().tolist() == [8, 8]
    assert items.groupby("stimulus_id")["is_target"].sum().tolist() == [1, 1]
    shown = npc.stimuli.search_displays(None, "curve_among_lines", set_size=8, n=2, rng=5).to_encoding("linear")
    for i, name in enumerate(table["stimulus_id"]):
        written = torch.from_numpy(read_picture(tmp_path / "new" / f"{name}.png"))
        torch.testing.assert_close(written[:1], torch.as_tensor(shown[i]).to(written), atol=5e-3, rtol=0)


def test_displays_are_written_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    for name, words, message in (
        ("a", ("curve_among_circles",), "curve_among_lines"),
        ("b", ("t_among_ls", "--set-size", 40), "40"),
    ):
        code, _, err = call(monkeypatch, capsys, "stimuli", "search", words[0], tmp_path / name, *words[1:])
        assert code == 2
        assert message in err
        assert not list(tmp_path.iterdir())
