"""BrainIO assemblies, spikes and stimulus sets."""

import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroperc as npc
from neuroperc.data import (
    make_responses,
    read_brainio,
    read_brainio_spikes,
    read_brainio_stimuli,
    write_brainio,
    write_brainio_stimuli,
)

SCREEN = npc.Display.from_px_per_deg(8, resolution_px=(32, 48))


def test_real_assembly_with_time_and_old_names(data_dir):
    r = read_brainio(data_dir / "brainscore" / "brainio_samples" / "assy_test_package_assembly.nc")
    assert r.dims == ("presentation", "neuroid", "time")
    assert r.values[..., 0].tolist() == np.arange(1, 19).reshape(6, 3).tolist()
    assert r.stimulus_id.values.tolist() == [f"n{k}" for k in range(6)]
    assert r.neuroid_id.values.tolist() == ["A", "B", "C"]
    assert (r.time.item(), r.time_bin_start_s.item(), r.time_bin_end_s.item()) == (0.005, 0.0, 0.01)


def test_real_assembly_of_the_new_name(data_dir):
    r = read_brainio(data_dir / "brainscore" / "brainio_samples" / "assy_test_TestMe.nc")
    assert r.dims == ("presentation", "neuroid")
    assert r.repetition.values.tolist() == [1, 1, 2, 1, 1, 1]
    averaged = npc.data.average_repeats(r)
    assert averaged.stimulus_id.values.tolist() == ["n0", "n1", "n4", "n9"]
    np.testing.assert_array_equal(averaged.sel(presentation=0), r.values[[0, 3]].mean(axis=0))


def test_real_spikes(data_dir):
    path = data_dir / "brainscore" / "brainio_samples" / "assy_test_package_assembly_extras.nc"
    spikes = read_brainio_spikes(path)
    assert len(spikes) == 1000
    assert spikes["time_s"].iloc[0] == pytest.approx(0.06778308398662739)
    assert spikes["time_s"].max() == pytest.approx(21.116089791561826)
    assert spikes.loc[0, ["neuroid_id", "region", "row"]].tolist() == ["A-019", "V4", 4]
    with pytest.raises(ValueError, match=r"path must be an assembly of presentations.*Use read_brainio_spikes"):
        read_brainio(path)


@pytest.mark.parametrize("model", ["alexnet", "resnet18", "resnet34"])
def test_real_choices(data_dir, model):
    p = read_brainio(data_dir / "brainscore" / "brainio_samples" / f"{model}-probabilities.nc")
    assert p.dims == ("presentation", "choice")
    assert p.shape == (240, 24)
    np.testing.assert_allclose(p.sum("choice"), 1, atol=1e-5)
    assert "zebra" in p.choice.values


def test_written_files_are_those_brainscore_packages(tmp_path):
    r = make_responses(
        np.arange(12.0, dtype="f4").reshape(2, 3, 2), stimulus_id=["a", "b"], neuroid_id=["x", "y", "z"], region="V4",
        time_s=[0.075, 0.085], repetition=[0, 1], units="Hz", source="made",
    )  # fmt: skip
    path = write_brainio(r, tmp_path / "assy.nc", stimulus_set_identifier="me.Set", identifier="me.Assembly")
    with xr.open_dataset(path, engine="h5netcdf") as stored:
        data = stored["data"].load()
    assert data.dims == ("presentation", "neuroid", "time_bin")
    assert not data.indexes
    assert data.time_bin_start.values.tolist() == [70, 80]
    assert data.time_bin_end.values.tolist() == [80, 90]
    assert data.time_bin_start.dtype == np.int64
    assert data.attrs["stimulus_set_identifier"] == "me.Set"
    back = read_brainio(path)
    np.testing.assert_array_equal(back.values, r.values)
    np.testing.assert_allclose(back.time, r.time)
    assert back.dtype == r.dtype
    xr.testing.assert_equal(back.drop_vars(["time", "time_bin_start_s", "time_bin_end_s"]), r.drop_vars("time"))


@pytest.mark.parametrize("variable", ["data", "__xarray_dataarray_variable__"])
def test_both_names_and_stimulus_columns(tmp_path, variable):
    coords = {"image_id": ("presentation", ["a", "b"]), "neuroid_id": ("neuroid", ["x"])}
    xr.Dataset({variable: (("presentation", "neuroid"), [[1.0], [2.0]])}, coords).to_netcdf(
        tmp_path / "a.nc", engine="h5netcdf"
    )
    table = pd.DataFrame({"object": ["car", "dog", "cat"]}, index=["b", "c", "a"])
    r = read_brainio(tmp_path / "a.nc", stimuli=table)
    assert r.stimulus_id.values.tolist() == ["a", "b"]
    assert r.object.values.tolist() == ["cat", "car"]
    with pytest.raises(ValueError, match=r"stimuli must be with a row for every stimulus of .*got \['a'\]"):
        read_brainio(tmp_path / "a.nc", stimuli=table.drop("a"))


def test_faults_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"path must be a file that exists"):
        read_brainio(tmp_path / "none.nc")
    r = make_responses([[1.0, 2.0]], stimulus_id=["a"])
    path = write_brainio(r, tmp_path / "a.nc", stimulus_set_identifier="s")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"path must be a whole netCDF-4 file, got .*a\.nc"):
        read_brainio(path)
    xr.Dataset({"x": ("presentation", [1])}).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(
        ValueError, match=r"must be with the variable data or __xarray_dataarray_variable__, got \['x'\]"
    ):
        read_brainio(tmp_path / "x.nc")
    xr.Dataset({"data": (("presentation", "neuroid"), [[1.0]])}).to_netcdf(tmp_path / "y.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"must be with stimulus_id or image_id"):
        read_brainio(tmp_path / "y.nc")
    with pytest.raises(ValueError, match=r"path must be a file of spike events"):
        read_brainio_spikes(tmp_path / "y.nc")
    timed = make_responses(np.zeros((1, 1, 1)), stimulus_id=["a"], time_s=[0.1])
    with pytest.raises(ValueError, match=r"time must be evenly spaced, or with the edges of its bins"):
        write_brainio(timed, tmp_path / "t.nc", stimulus_set_identifier="s")


def pictures(n=3):
    rng = np.random.default_rng(0)
    values = np.round(rng.random((n, 3, 32, 48)) * 255).astype("f4") / 255
    ids = [f"im{k}" for k in range(n)][::-1]
    table = pd.DataFrame({"object": ["cat", "dog", "car"]}, index=pd.Index(ids, name="stimulus_id"))
    return npc.data.StimulusSet.from_arrays(values, display=SCREEN, encoding="srgb", ids=ids, table=table)


def test_stimulus_set_round_trip(tmp_path):
    stimuli = pictures()
    files = write_brainio_stimuli(stimuli, tmp_path / "s.csv", tmp_path / "s.zip")
    assert pd.read_csv(files[0])["filename"].tolist() == ["im2.png", "im1.png", "im0.png"]
    back = read_brainio_stimuli(*files, tmp_path / "files", display=SCREEN, encoding="srgb")
    assert back.ids == stimuli.ids  # the order of the table, not of the names
    assert back.table["object"].tolist() == ["cat", "dog", "car"]
    for k in range(3):
        np.testing.assert_allclose(back[k], stimuli[k], atol=1e-6)
    first = [path.read_bytes() for path in files]
    assert first == [path.read_bytes() for path in write_brainio_stimuli(stimuli, *files)]


def test_old_tables_and_folders_in_the_zip(tmp_path):
    files = write_brainio_stimuli(pictures(), tmp_path / "s.csv", tmp_path / "s.zip")
    table = pd.read_csv(files[0]).rename(columns={"stimulus_id": "image_id"}).drop(columns="filename")
    table.to_csv(files[0])
    with zipfile.ZipFile(files[1]) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as archive:
        archive.mkdir("images")
        for name, data in contents.items():
            archive.writestr(f"images/{name}", data)
    back = read_brainio_stimuli(files[0], tmp_path / "deep.zip", tmp_path / "files", display=SCREEN)
    assert back.ids == ["im2", "im1", "im0"]


def test_stimulus_faults_are_named(tmp_path):
    files = write_brainio_stimuli(pictures(), tmp_path / "s.csv", tmp_path / "s.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(files[1].read_bytes()[:500])
    with pytest.raises(ValueError, match=r"zip_path must be a whole ZIP archive, got .*cut\.zip"):
        read_brainio_stimuli(files[0], cut, tmp_path / "f", display=SCREEN)
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as archive:
        archive.writestr("im2.png", b"x")
    with pytest.raises(
        ValueError, match=r"few\.zip must be with the file of every stimulus, got none for \['im1', 'im0'\]"
    ):
        read_brainio_stimuli(files[0], tmp_path / "few.zip", tmp_path / "f", display=SCREEN)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../out.png", b"x")
    with pytest.raises(ValueError, match=r"evil\.zip must be of files inside its own folder"):
        read_brainio_stimuli(files[0], tmp_path / "evil.zip", tmp_path / "f", display=SCREEN)
    assert not (tmp_path / "out.png").exists()
    (tmp_path / "t.csv").write_text("name\na\n")
    with pytest.raises(ValueError, match=r"t\.csv must be with the column stimulus_id or image_id"):
        read_brainio_stimuli(tmp_path / "t.csv", files[1], tmp_path / "f", display=SCREEN)
    (tmp_path / "t.csv").write_text("stimulus_id\na\na\n")
    with pytest.raises(ValueError, match=r"stimulus_id of .* must be unique"):
        read_brainio_stimuli(tmp_path / "t.csv", files[1], tmp_path / "f", display=SCREEN)
