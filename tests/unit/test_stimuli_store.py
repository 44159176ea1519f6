"""A StimulusSet in a folder: formats, atomicity, damage."""

import json
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc.data import StimulusSet
from neuroperc.data import _store as store

DISPLAY = npc.Display.from_px_per_deg(4, resolution_px=(8, 12))


def make(fps=None, ragged=False):
    rng = np.random.default_rng(0)
    lead = () if fps is None else (3,)
    items = [rng.random((*lead, 3, 8, 12), dtype=np.float32), rng.random((*lead, 3, 4, 6), dtype=np.float32)]
    items = items if ragged else [items[0], 1 - items[0]]
    table = pd.DataFrame({
        "label": ["NA", None], "text": ["a,b\n\"c\"", ""], "n": np.array([1, -2], np.int16), "seen": [True, False],
        "rt_s": [0.1, np.nan], "half": np.array([1 / 3, 2.5], np.float32),
    })  # fmt: skip
    return StimulusSet.from_arrays(
        items, display=DISPLAY, ids=["007", "x/y z"], fps=fps, table=table, size_deg=(1, 1.5), center_deg=(0.25, -0.5),
        truth={"mask": rng.random((2, 4, 4)) > 0.5, "word": np.array(["é", "long word"])},
    )  # fmt: skip


@contextmanager
def disk_of(n_bytes):
    """Files may not grow beyond this: what a full disk does to a writer."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("encoding", ["linear", "srgb"])
@pytest.mark.parametrize("fps", [None, 24000 / 1001])
@pytest.mark.parametrize(("format", "ragged"), [("npy", False), ("npy", True), ("zarr", False)])
def test_exact_formats_come_back_identical(tmp_path, format, ragged, fps, encoding):
    s = make(fps, ragged).to_encoding(encoding)
    s.save(tmp_path / "s", format=format)
    back = StimulusSet.load(tmp_path / "s", verify=True)
    assert back == s
    assert back.fingerprint == s.fingerprint
    pd.testing.assert_frame_equal(back.table, s.table)
    assert back.fps == fps


@pytest.mark.parametrize(("format", "bits"), [("png8", 8), ("png16", 16)])
@pytest.mark.parametrize("fps", [None, 24])
def test_png_formats_round_to_the_nearest_srgb_code(tmp_path, format, bits, fps):
    s = make(fps, ragged=True)
    s.save(tmp_path / "s", format=format)
    back = StimulusSet.load(tmp_path / "s", verify=True)
    for a, b in zip(s.to_encoding("srgb"), back.to_encoding("srgb"), strict=True):
        assert float((a - b).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6
    back.save(tmp_path / "again", format=format)
    assert StimulusSet.load(tmp_path / "again").fingerprint == back.fingerprint


def test_float64_stays_float64(tmp_path):
    s = StimulusSet.from_arrays(np.random.default_rng(0).random((2, 1, 8, 12)), display=DISPLAY)
    s.save(tmp_path / "s")
    assert StimulusSet.load(tmp_path / "s")[0].dtype == s[0].dtype
    assert StimulusSet.load(tmp_path / "s") == s


def test_a_calibrated_display_comes_back(tmp_path):
    table = tuple(np.linspace(0, 1, 9) ** 2.1)
    lab = npc.Display((8, 12), (0.2, 0.3), 0.57, 59.94, calibration=npc.Calibration(table=table, gamma=(2, 2.1, 2.2)))
    s = StimulusSet.from_arrays(np.zeros((1, 1, 8, 12)), display=lab)
    s.save(tmp_path / "s")
    assert StimulusSet.load(tmp_path / "s") == s


def test_parts_of_a_stored_movie_are_read_alone(tmp_path):
    s = make(24)
    s.save(tmp_path / "s")
    back = StimulusSet.load(tmp_path / "s")
    assert [part.shape[0] for part in back.frames(1, size=2)] == [2, 1]
    assert (next(back.frames(1, size=2)) == s[1][:2]).all()


def test_nothing_is_overwritten_unasked(tmp_path):
    make().save(tmp_path / "s")
    with pytest.raises(ValueError, match=r"which exists\. Pass overwrite=True"):
        make().save(tmp_path / "s")
    make()[:1].save(tmp_path / "s", overwrite=True)
    assert len(StimulusSet.load(tmp_path / "s")) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_file_in_the_way_may_be_replaced(tmp_path):
    (tmp_path / "s").write_text("x")
    make().save(tmp_path / "s", overwrite=True)
    assert len(StimulusSet.load(tmp_path / "s")) == 2


@pytest.mark.parametrize("format", ["npy", "png8", "png16", "zarr"])
def test_a_full_disk_changes_nothing(tmp_path, format):
    make()[:1].save(tmp_path / "s")
    noise = np.random.default_rng(0).random((2, 3, 100, 100), dtype=np.float32)
    big = StimulusSet.from_arrays(noise, display=DISPLAY, size_deg=1)
    with disk_of(8192), pytest.raises(OSError, match=r"s could not be written .*nothing was changed. Free space"):
        big.save(tmp_path / "s", format=format, overwrite=True)
    assert len(StimulusSet.load(tmp_path / "s", verify=True)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_folder_that_cannot_be_swapped_in_leaves_the_old_one(tmp_path, monkeypatch):
    make()[:1].save(tmp_path / "s")
    rename = Path.rename

    def refuse(self, target):
        if self.name.startswith(".s-") and not self.name.endswith("-old") and Path(target).name == "s":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="nothing was changed"):
        make().save(tmp_path / "s", overwrite=True)
    monkeypatch.undo()
    assert len(StimulusSet.load(tmp_path / "s", verify=True)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_killed_run_leaves_no_half_folder(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        make().save(tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_bad_targets_and_formats(tmp_path):
    with pytest.raises(ValueError, match="in a folder that exists"):
        make().save(tmp_path / "no" / "s")
    with pytest.raises(ValueError, match="format must be one of 'npy', 'zarr', 'png8', 'png16', got jpg"):
        make().save(tmp_path / "s", format="jpg")
    with pytest.raises(ValueError, match="all of one shape for Zarr"):
        make(ragged=True).save(tmp_path / "s", format="zarr")
    with pytest.raises(ValueError, match="named so that a file can be"):
        StimulusSet.from_arrays(np.zeros((1, 1, 8, 12)), display=DISPLAY, truth={"a/b": [1]}).save(tmp_path / "s")


@pytest.mark.parametrize(
    "column", [[{"a": 1}, {}], pd.to_datetime(["2020-01-01", "2020-01-02"]), [1, "one"], pd.Categorical([1, 2])]
)
def test_columns_that_a_csv_cannot_hold_are_refused(tmp_path, column):
    s = StimulusSet.from_arrays(np.zeros((2, 1, 8, 12)), display=DISPLAY, table=pd.DataFrame({"odd": column}))
    with pytest.raises(TypeError, match="column 'odd' must be of numbers, truth values or text"):
        s.save(tmp_path / "s")


DAMAGE = {
    "no folder": (lambda f: None, "stimuli.json in it", FileNotFoundError),
    "no manifest": (lambda f: (f / "stimuli.json").unlink(), "stimuli.json in it", FileNotFoundError),
    "half a manifest": (lambda f: (f / "stimuli.json").write_text('{"kind"'), "whole JSON", ValueError),
    "another manifest": (lambda f: (f / "stimuli.json").write_text('{"kind": "x"}'), "of kind", ValueError),
    "a later version": (lambda f: edit(f, version=2), "of version 1, got 2. Update neuroperc", ValueError),
    "no table": (lambda f: (f / "table.csv").unlink(), "one with a table.csv", ValueError),
    "a row less": (lambda f: shorten(f / "table.csv"), "2 rows, one a stimulus", ValueError),
    "no column": (lambda f: (f / "table.csv").write_text("a,b\n1,2\n"), "with the columns", ValueError),
    "words for numbers": (lambda f: swap(f / "table.csv", "-2", "two"), "numbers in column 'n'", ValueError),
    "no truth": (lambda f: (f / "truth" / "mask.npy").unlink(), "truth must be stored whole", ValueError),
}


def edit(folder, **changes):
    manifest = json.loads((folder / "stimuli.json").read_text())
    (folder / "stimuli.json").write_text(json.dumps(manifest | changes))


def shorten(path):
    path.write_text("\n".join(path.read_text().split("\n")[:-2]) + "\n")


def swap(path, old, new):
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_folders_say_what_is_missing(tmp_path, damage):
    break_it, text, error = DAMAGE[damage]
    if damage != "no folder":
        make().save(tmp_path / "s")
        break_it(tmp_path / "s")
    with pytest.raises(error, match=text):
        StimulusSet.load(tmp_path / "s")


@pytest.mark.parametrize("ragged", [False, True])
def test_truncated_pixels_are_named_when_they_are_read(tmp_path, ragged):
    make(ragged=ragged).save(tmp_path / "s")
    path = sorted((tmp_path / "s" / "pixels").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:300])
    s = StimulusSet.load(tmp_path / "s")
    with pytest.raises(ValueError, match=rf"stored whole, got .*{path.name}"):
        s[1]


def test_a_changed_pixel_changes_the_fingerprint_and_fails_verification(tmp_path):
    make().save(tmp_path / "s")
    s = StimulusSet.load(tmp_path / "s")
    before = s.fingerprint
    path = tmp_path / "s" / "pixels" / "all.npy"
    stored = np.load(path)
    stored[1, 0, 0, 0] = 0.123
    np.save(path, stored)
    assert s.fingerprint != before
    with pytest.raises(ValueError, match="with 'x/y z' changed"):
        StimulusSet.load(tmp_path / "s", verify=True)


def test_saving_shows_progress(tmp_path, capsys):
    make().save(tmp_path / "s", progress=True)
    assert "saving" in capsys.readouterr().err
