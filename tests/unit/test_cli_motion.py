"""`neuroperc motion` and `neuroperc stimuli grating | plaid | dots`."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc import cli


def call(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["neuroperc", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


SMALL = ("--px-per-deg", 8, "--size-deg", 6, "--fps", 24, "--json")


def test_energy_of_a_grating_is_largest_in_its_direction(tmp_path, monkeypatch, capsys):
    movie = tmp_path / "up.mkv"
    words = ("stimuli", "grating", movie, "--direction-deg", 90, "--sf-cpd", 0.6667, "--tf-hz", 4, *SMALL)
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    assert json.loads(out)["written"] == [str(movie), str(movie.with_suffix(".csv"))]
    table = pd.read_csv(movie.with_suffix(".csv"))
    assert table["direction_deg"].tolist() == [90]
    code, _, err = call(monkeypatch, capsys, "motion", movie, tmp_path / "out", "--sf-cpi", "4", "--tf-hz", "4")
    assert code == 0, err
    energy, filters = np.load(tmp_path / "out" / "energy.npy"), pd.read_csv(tmp_path / "out" / "filters.csv")
    assert energy.shape == (24, len(filters))
    moving = filters["sf_cpi"] > 0
    mean = pd.Series(energy.mean(0))[moving].groupby(filters["direction_deg"]).mean()
    assert mean.idxmax() == 90
    assert mean[90] > 5 * mean[270]
    assert (tmp_path / "out" / "energy.png").read_bytes()[1:4] == b"PNG"


def test_streamed_energy_is_that_of_the_whole_movie(tmp_path, monkeypatch, capsys):
    """More frames than are decoded at a time."""
    movie = tmp_path / "dots.mkv"
    code, _, err = call(monkeypatch, capsys, "stimuli", "dots", movie, "--duration-s", 3, *SMALL)
    assert code == 0, err
    code, _, err = call(monkeypatch, capsys, "motion", movie, tmp_path / "out", "--sf-cpi", "2,4")
    assert code == 0, err
    display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    frames = npc.data.load_movie(movie, display)[0]
    light = torch.einsum("tcyx,c->tyx", frames, torch.tensor([0.2126, 0.7152, 0.0722]))[None, :, None]
    whole = npc.motion.MotionEnergy.pyramid((48, 48), fps=24, sf_cpi=(2, 4))(light)[0]
    assert len(whole) == 72
    np.testing.assert_allclose(np.load(tmp_path / "out" / "energy.npy"), whole.numpy(), rtol=2e-4, atol=1e-5)


def test_colour_is_taken_by_its_luminance(tmp_path, monkeypatch, capsys):
    """A green grating is .7152 as bright as a grey one, a blue one .0722."""
    x, t = np.arange(48), np.arange(24)
    wave = 0.5 + 0.4 * np.cos(2 * np.pi * (4 * x / 48 - 4 * t[:, None, None] / 24)) + np.zeros((24, 48, 1))
    means = []
    for name, channels in (("grey", (0, 1, 2)), ("green", (1,)), ("blue", (2,))):
        movie = np.zeros((24, 3, 48, 48))
        movie[:, channels] = wave[:, None]
        npc.data.save_movie(movie, tmp_path / f"{name}.mkv", fps=24, lossless=True, bits=16)
        words = ("motion", tmp_path / f"{name}.mkv", tmp_path / name, "--sf-cpi", "4", "--tf-hz", "4")
        assert call(monkeypatch, capsys, *words)[0] == 0
        means.append(np.load(tmp_path / name / "energy.npy").max())
    # Responses are logarithms of roots of energy: light that is halved takes away log 2.
    np.testing.assert_allclose(np.subtract(means[1:], means[0]), np.log([0.7152, 0.0722]), rtol=0.01)


def test_dots_follow_the_seed_and_a_plaid_has_two_components(tmp_path, monkeypatch, capsys):
    display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    movies = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = ("stimuli", "dots", tmp_path / f"{name}.mkv", "--seed", seed, "--coherence", 0.5, *SMALL)
        assert call(monkeypatch, capsys, *words)[0] == 0
        movies.append(npc.data.load_movie(tmp_path / f"{name}.mkv", display)[0])
    torch.testing.assert_close(movies[0], movies[1], rtol=0, atol=0)
    assert float((movies[0] - movies[2]).abs().max()) > 0.1
    assert call(monkeypatch, capsys, "stimuli", "plaid", tmp_path / "p.mkv", "--contrast", 0.4, *SMALL)[0] == 0
    plaid = npc.data.load_movie(tmp_path / "p.mkv", display)[0]
    contrast = float((plaid.max() - plaid.min()) / (plaid.max() + plaid.min()))
    assert contrast == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stimuli", "grating", "g.mkv", "--sf-cpd", 20, *SMALL), "Nyquist"),
        (("stimuli", "grating", "g.txt", *SMALL), ".mkv"),
        (("stimuli", "plaid", "p.mkv", "--contrast", 0.9, *SMALL), "contrast"),
        (("motion", "none.mkv", "out"), "none.mkv"),
        (("motion", "text.mkv", "out"), "text.mkv"),
        (("motion", "text.mkv", "out", "--tf-hz", "a,b"), "--tf-hz"),
    ],
)
def test_bad_input_names_value_and_leaves_nothing(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mkv").write_text("not a movie")
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["text.mkv"]
