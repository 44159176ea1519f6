"""`neuroperc metamer`: pictures, a table whose numbers can be found again in the pictures, and a sheet."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc import cli
from neuroperc.cli.metamers import metamer_files
from neuroperc.data.readers.pictures import read_picture, save_image


@pytest.fixture
def photo(tmp_path):
    image = npc.data.sample_image("flower")[0][:, 100:212, 200:328]
    save_image(image, tmp_path / "flower.png")
    return tmp_path / "flower.png"


def call(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["neuroperc", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


def test_luminance_metamers_match_in_windows_and_differ_in_pixels(photo, tmp_path, monkeypatch, capsys):
    words = ("metamer", photo, tmp_path / "out", "--px-per-deg", 8, "--seeds", 2, "--seed", 3, "--fixation", "1,-0.5")
    code, out, _ = call(monkeypatch, capsys, *words, "--steps", 60, "--scaling", 0.6, "--json")
    assert code == 0
    written = [path.rsplit("/", 1)[1] for path in json.loads(out)["written"]]
    names = ["flower_luminance_s0.6_seed3.png", "flower_luminance_s0.6_seed4.png"]
    assert written == [*names, "metamers.csv", "sheet.png"]
    table = pd.read_csv(tmp_path / "out" / "metamers.csv")
    assert table["file"].tolist() == names
    assert table["seed"].tolist() == [3, 4]
    one, two, target = (torch.from_numpy(read_picture(p)) for p in (*[tmp_path / "out" / n for n in names], photo))
    assert (one - two).square().mean().sqrt() > 0.03
    for picture, row in zip((one, two), table.itertuples(), strict=True):
        rms = float((picture - target).double().square().mean().sqrt())
        assert rms == pytest.approx(row.rms_linear, abs=1e-6)
        assert rms > 0.03
        assert row.window_light_error_median_pct < 1
    assert (tmp_path / "out" / "sheet.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("model", ["energy", "texture", "neurofovea"])
def test_other_models_come_closer_than_noise(photo, tmp_path, model):
    written = metamer_files(photo, tmp_path / "out", model=model, steps=12, px_per_deg=8, scaling=0.8)
    made, target = torch.from_numpy(read_picture(written[0])), torch.from_numpy(read_picture(photo))
    noise = torch.from_numpy(np.random.default_rng(0).random(target.shape, dtype=np.float32))
    windows = npc.foveation.PoolingWindows(npc.Display.from_px_per_deg(8, resolution_px=(112, 128)), 0.8)
    errors = [(windows(x[None]) - windows(target[None])).square().mean() for x in (made, noise)]
    assert errors[0] < 0.5 * errors[1]
    assert (made - target).abs().max() > 0.02


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "mine"), "--model must be one of 'luminance', 'energy', 'texture', 'neurofovea', got"),
        (("--fixation", "12,0"), "--fixation must be on the picture"),
        (("--scaling", "-1"), "scaling must be a finite number above 0, got -1"),
        (("--weights", "vgg.pt"), "--weights must be left out for this model"),
    ],
)
def test_bad_options_are_one_red_line_and_write_nothing(photo, tmp_path, monkeypatch, capsys, words, said):
    code, _, err = call(monkeypatch, capsys, "metamer", photo, tmp_path / "out", "--px-per-deg", 8, *words)
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def test_missing_picture_and_file_as_folder(photo, tmp_path):
    with pytest.raises(FileNotFoundError, match="IN must be a picture file that exists"):
        metamer_files(tmp_path / "none.png", tmp_path / "out", px_per_deg=8)
    with pytest.raises(ValueError, match="OUT must be a folder"):
        metamer_files(photo, tmp_path / "out.png", px_per_deg=8)
