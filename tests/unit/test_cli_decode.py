"""`neuroperc decode` and the demo's last stage: numbers, pictures and errors that name the remedy."""

import json
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import savemat

from neuroperc import cli
from neuroperc.data.readers.pictures import save_image

RNG = np.random.default_rng(0)
PICTURES = (RNG.random((12, 4, 4)) < 0.5).astype(np.float32)
OWN = np.tile(np.arange(12), 2)
VOXELS = PICTURES.reshape(12, 16)[OWN] @ RNG.normal(size=(16, 60)) + 0.5 * RNG.normal(size=(24, 60))
NAMES = np.array([f"p{i}" for i in OWN])


def call(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["neuroperc", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


@pytest.fixture
def volumes(tmp_path):
    """Betas on a grid of 4 x 4 x 4 with a mask of 60 voxels, trials, and a folder of pictures."""
    grid = np.zeros((64, 24), np.float32)
    grid[:60] = VOXELS.T
    affine = np.diag([2.0, 2, 2, 1])
    nib.save(nib.Nifti1Image(grid.reshape(4, 4, 4, 24), affine), tmp_path / "betas.nii.gz")
    nib.save(nib.Nifti1Image((np.arange(64) < 60).astype(np.uint8).reshape(4, 4, 4), affine), tmp_path / "mask.nii.gz")
    table = pd.DataFrame({"stimulus_id": NAMES, "run": np.repeat([1, 2, 3, 4], 6), "kind": np.where(OWN % 2, "a", "b")})
    table["trial"] = np.arange(24)
    table.to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
    (tmp_path / "shown").mkdir()
    for i, picture in enumerate(PICTURES):
        large = torch.from_numpy(picture).repeat_interleave(4, 0).repeat_interleave(4, 1)
        save_image(large.expand(3, -1, -1), tmp_path / "shown" / f"p{i}.png")
    return tmp_path


def test_pictures_come_back_from_volumes(volumes, monkeypatch, capsys):
    files = ("--mask", volumes / "mask.nii.gz", "--trials", volumes / "trials.tsv", "--pictures", volumes / "shown")
    words = ("decode", volumes / "betas.nii.gz", volumes / "out", *files, "--side-px", 4, "--condition", "kind")
    code, out, err = call(monkeypatch, capsys, *words, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["decoded"] == "pictures" and facts["n_voxels"] == 60 and facts["n_candidates"] == 6
    assert facts["sources"]["reconstruction"]["n_way"] > 0.5 > facts["sources"]["mean image"]["n_way"]
    assert facts["sources"]["encoding model"]["pixcorr"] is None
    kept = json.loads((volumes / "out" / "decode.json").read_text())
    assert kept == {k: v for k, v in facts.items() if k != "written"}
    assert (volumes / "out" / "decode.png").read_bytes()[1:4] == b"PNG"
    assert len(pd.read_csv(volumes / "out" / "rows.csv")) == 5 * 24
    (volumes / "shown" / "p3.png").unlink()
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 2 and "without ['p3']" in err


@pytest.mark.parametrize("ending", ["npz", "mat"])
def test_arrays_hold_their_labels(tmp_path, ending, monkeypatch, capsys):
    kinds = np.array(["cat", "dog", "owl"])[np.arange(24) % 3]
    signal = VOXELS + 4 * (np.arange(24) % 3)[:, None] * np.arange(60) / 60
    arrays = {"responses": signal, "stimulus_id": NAMES, "images": PICTURES[OWN], "kind": kinds,
              "run": np.repeat(np.arange(4), 6)}  # fmt: skip
    path = tmp_path / f"data.{ending}"
    np.savez(path, **arrays) if ending == "npz" else savemat(path, arrays)
    words = ("decode", path, tmp_path / "a", "--label", "kind", "--permutations", 99, "--seed", 1)
    code, out, err = call(monkeypatch, capsys, *words, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["accuracy"] > 0.6 and facts["p_value"] == 0.01 and facts["classes"] == ["cat", "dog", "owl"]
    assert pd.read_csv(tmp_path / "a" / "rows.csv")["shown"].tolist() == kinds.tolist()
    code, out, err = call(monkeypatch, capsys, "decode", path, tmp_path / "b")
    assert code == 0 and "identified among 12" in out, err


def test_what_is_missing_is_named(volumes, tmp_path, monkeypatch, capsys):
    betas, out = volumes / "betas.nii.gz", volumes / "o"
    np.savez(tmp_path / "half.npz", responses=VOXELS)
    np.savez(tmp_path / "short.npz", responses=VOXELS, stimulus_id=NAMES[:3])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "half.npz").read_bytes()[:300])
    (tmp_path / "cut.nii.gz").write_bytes(betas.read_bytes()[:200])
    given = ("--trials", volumes / "trials.tsv")
    nan = np.where(np.arange(60) == 3, np.nan, VOXELS)
    np.savez(tmp_path / "nan.npz", responses=nan, stimulus_id=NAMES, images=PICTURES[OWN])
    for words, what in [
        ((betas, out), "--trials must be a table"),
        ((betas, out, *given), "--pictures must be a folder of pictures, or --label"),
        ((betas, out, *given, "--label", "mood"), "--label must be one of the columns kind, run, stimulus_id, trial"),
        ((betas, out, *given, "--label", "kind", "--run", "day"), "--run must be one of the columns"),
        ((betas, out, *given, "--pictures", volumes / "none"), "--pictures must be a folder that exists"),
        ((betas, out, *given, "--pictures", volumes / "shown", "--condition", "mood"), "--condition must be one"),
        ((volumes / "none.nii", out), "a brain data file that exists"),
        ((tmp_path / "half.npz", out), "with responses (row, voxel) and stimulus_id (row,)"),
        ((tmp_path / "short.npz", out), "a label for each of 24 rows"),
        ((tmp_path / "cut.npz", out), "cut.npz must be a whole .npz file"),
        ((tmp_path / "cut.nii.gz", out, *given), "cut.nii.gz"),
        ((tmp_path / "nan.npz", out), "responses must be finite"),
        ((tmp_path / "half.npz", out, *given), "must be left out"),
    ]:
        code, _, err = call(monkeypatch, capsys, "decode", *words)
        assert code == 2 and what in err, (words, err)
    assert not out.exists()


def test_voxels_with_nan_are_left_out_when_asked(volumes, monkeypatch, capsys):
    image = nib.load(volumes / "betas.nii.gz")
    values = image.get_fdata(dtype=np.float32)
    values[0, 0, 2, 5] = np.nan
    nib.save(nib.Nifti1Image(values, image.affine), volumes / "betas.nii.gz")
    files = ("--mask", volumes / "mask.nii.gz", "--trials", volumes / "trials.tsv", "--label", "kind")
    words = ("decode", volumes / "betas.nii.gz", volumes / "out", *files, "--permutations", 0)
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 2 and "1 of 60 voxels with NaN" in err
    code, out, err = call(monkeypatch, capsys, *words, "--drop-nan", "--json")
    assert code == 0 and json.loads(out)["n_voxels"] == 59, err


def test_the_demo_names_a_simulated_brain(monkeypatch):
    from neuroperc.demo import decoding
    from neuroperc.demo.scene import Scene

    monkeypatch.delenv("NEUROPERC_DATA", raising=False)
    made = decoding.stage(Scene(None, None, "", 0, False))
    assert made.made_of.startswith("SIMULATED brain")
    found = {number.name: number for number in made.numbers}
    assert float(found["identified among 40"].value.split()[0]) > 10 / 40
    assert made.figure[1:4] == b"PNG"


def test_the_demo_reads_a_person(data_dir):
    from neuroperc.demo import decoding
    from neuroperc.demo.scene import Scene

    made = decoding.stage(Scene(None, None, "", 0, False))
    assert "a person's V1, 967 voxels" in made.made_of
    assert float(made.numbers[1].value.split()[0]) > 0.45
