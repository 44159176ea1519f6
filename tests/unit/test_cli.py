"""The command line: what is written, what is printed, and one red line for every error."""

import json
import sys

import numpy as np
import pytest
import torch

from neuroperc import cli
from neuroperc.cli.pictures import foveate_files
from neuroperc.data.readers.movies import probe_movie, read_frames, write_movie
from neuroperc.data.readers.pictures import read_picture, save_image
from neuroperc.display import Display
from neuroperc.foveation import FoveatedBlur

PX_PER_DEG = 20.0  # the picture is 16 by 4.8 deg: its far end is blurred


@pytest.fixture
def noise(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        save_image(rng.random((3, 96, 320)), tmp_path / f"{name}.png")
    return tmp_path / "one.png"


@pytest.fixture
def movie(tmp_path):
    write_movie(np.random.default_rng(0).random((6, 3, 96, 320)), tmp_path / "walk.mkv", fps=10.0, lossless=True)
    return tmp_path / "walk.mkv"


def call(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["neuroperc", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


def blurred(picture, fixation_deg):
    display = Display.from_px_per_deg(PX_PER_DEG, resolution_px=picture.shape[-2:])
    return FoveatedBlur(display)(torch.as_tensor(picture)[None], fixation_deg)[0].numpy()


def test_one_picture_one_gaze_is_what_the_blur_returns(noise, tmp_path, monkeypatch, capsys):
    seen = tmp_path / "seen.png"
    words = ("foveate", noise, seen, "--fixation", "-5,2", "--px-per-deg", PX_PER_DEG, "--json")
    code, out, _ = call(monkeypatch, capsys, *words)
    assert code == 0
    assert json.loads(out) == {"written": [str(seen)]}
    expected = blurred(read_picture(noise), (-5.0, 2.0))
    assert np.abs(read_picture(seen) - expected).max() < 0.005  # half an 8-bit code where sRGB is steepest
    assert np.abs(read_picture(noise) - expected).max() > 0.1


def test_a_folder_and_several_gazes_name_their_files(noise, tmp_path):
    written = foveate_files(tmp_path, tmp_path / "seen", fixations_deg=[(0, 0), (-2.5, 1)], size_deg=(4.8, 16))
    names = ["one_x+0_y+0.png", "one_x-2.5_y+1.png", "two_x+0_y+0.png", "two_x-2.5_y+1.png"]
    assert [p.name for p in written] == names
    same = foveate_files(noise, tmp_path / "same.png", fixations_deg=[(-2.5, 1)], px_per_deg=PX_PER_DEG)
    assert same[0].read_bytes() == written[1].read_bytes()


def test_a_movie_follows_its_gaze_over_a_blink(movie, tmp_path):
    trace = tmp_path / "trace.csv"
    rows = [(0.0, -4, 0), (0.2, "", ""), (0.5, 6, 2)]  # a lost sample, interpolated over
    trace.write_text("time_s,x_deg,y_deg\n" + "\n".join(",".join(map(str, row)) for row in rows))
    (seen,) = foveate_files(movie, tmp_path / "seen.mkv", gaze=trace, px_per_deg=PX_PER_DEG)
    frames = list(read_frames(probe_movie(movie)))
    shown = list(read_frames(probe_movie(seen)))
    assert len(shown) == len(frames) == 6
    for i in (0, 3, 5):
        gaze = (-4 + 10 * i / 5, 2 * i / 5)
        assert np.abs(shown[i] - blurred(frames[i], gaze)).max() < 0.005
    assert np.abs(shown[5] - blurred(frames[5], (-4.0, 0.0))).max() > 0.05


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "absent.png"}, "IN must be a file or folder that exists"),
        ({"source": "empty"}, "a folder with .png"),
        ({"source": "text.png"}, "a whole PNG, JPEG or TIFF file"),
        ({"target": "one.png"}, "another file than IN"),
        ({"target": "seen.gif"}, "a folder or a .png"),
        ({"target": "no/such"}, "in a folder that exists"),
        ({"px_per_deg": None}, "Pixels per degree ="),
        ({"px_per_deg": 0.0}, "px_per_deg must be a finite number above 0"),
        ({"size_deg": (4.8, 16)}, "--size-deg instead, got both"),
        ({"px_per_deg": None, "size_deg": (16, 4.8)}, "For a height of 16 deg the width is 53.33 deg"),
        ({"fixations_deg": [(9, 0)]}, "which reaches ±8 by ±2.4 deg"),
        ({"fixations_deg": [(0, 0), (1, 1)]}, "a folder for several fixations"),
        ({"gaze": "trace.csv"}, "left out for pictures"),
        ({"device": "cuda:7"}, "There is no CUDA device here"),
        ({"device": "abacus"}, "a torch device such as cpu"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(noise, tmp_path, change, says, monkeypatch):
    if change.get("device") == "cuda:7":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("not a picture")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    call = {"source": "one.png", "target": "seen.png", "px_per_deg": PX_PER_DEG, **change}
    for name in ("source", "target", "gaze"):
        if name in call:
            call[name] = tmp_path / call[name]
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        foveate_files(call.pop("source"), call.pop("target"), **call)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time_s,x_deg\n0,1\n", "no y_deg"),
        ("", "a CSV file with a header"),
        ("time_s,x_deg,y_deg\n0,1,left\n", "must be numbers"),
        ("time_s,x_deg,y_deg\n0,,\n", "without one"),
        ("time_s,x_deg,y_deg\n0,1,1\n0,2,2\n", "increasing"),
        ("time_s,x_deg,y_deg\n0,1,1\n0.2,1,1\n", "over the whole movie, 0 to 0.5 s, got 0 to 0.2 s"),
    ],
)
def test_a_bad_gaze_trace_is_named(movie, tmp_path, text, says):
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    with pytest.raises(ValueError, match=says):
        foveate_files(movie, tmp_path / "seen.mkv", gaze=trace, px_per_deg=PX_PER_DEG)
    assert not (tmp_path / "seen.mkv").exists()


def test_an_error_is_one_line_and_exit_code_2(noise, monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys, "foveate", noise, noise, "--px-per-deg", "4")
    assert (code, out) == (2, "")
    assert err.startswith("neuroperc: OUT must be another file than IN")
    assert len(err.splitlines()) == 1
    code, _, err = call(monkeypatch, capsys, "foveate", noise, "out", "--px-per-deg", "4", "--fixation", "1;2")
    assert (code, err.splitlines()[0]) == (
        2,
        "neuroperc: --fixation must be two numbers with a comma, got 1;2. Write for example --fixation 2.5,-1.",
    )
    code, _, err = call(monkeypatch, capsys, "run", "nothing_of_the_kind")
    assert code == 2
    assert "experiment must be" in err


def test_debug_shows_the_traceback(noise, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["neuroperc", "--debug", "run", "nothing_of_the_kind"])
    with pytest.raises(ValueError, match="experiment must be"):
        cli.main()


def test_info_is_complete_and_says_what_the_data_folder_holds(tmp_path, monkeypatch, capsys):
    (tmp_path / "search").mkdir()
    monkeypatch.setenv("NEUROPERC_DATA", str(tmp_path))
    code, out, _ = call(monkeypatch, capsys, "info", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["data holds"] == "search"
    assert {"neuroperc", "versions", "device", "threads", "cuda", "commit"} <= set(facts)
    monkeypatch.delenv("NEUROPERC_DATA")
    assert "packaged samples only" in call(monkeypatch, capsys, "info")[1]


def test_report_check_exits_1_until_the_ledger_is_written(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, capsys, "report", tmp_path, "--check")[0] == 1
    assert not (tmp_path / "LEDGER.md").exists()
    assert call(monkeypatch, capsys, "report", tmp_path)[0] == 0
    assert call(monkeypatch, capsys, "report", tmp_path, "--check")[0] == 0


def test_version(monkeypatch, capsys):
    assert call(monkeypatch, capsys, "--version")[1].startswith("neuroperc ")
