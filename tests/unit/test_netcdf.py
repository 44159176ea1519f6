"""Responses and Scores in netCDF files."""

import numpy as np
import pytest
import xarray as xr

from neuroperc.data import make_responses, read_responses, read_scores, write_responses, write_scores


def made(dtype="f8"):
    values = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    if np.dtype(dtype).kind == "f":
        values[0, 0] = np.nan
    coords = {
        "flag": ("presentation", [True, False, True]),
        "when": ("presentation", np.array(["2020-01-01", "2021-02-03", "2022-01-01"], "M8[ns]")),
        "word": ("presentation", ["", "Öl", "long text"]),
        "weight": ("presentation", [np.nan, 1.0, 2.0]),
    }
    r = make_responses(values, stimulus_id=["a", "bcd", "ü"], coords=coords, units="Hz", source="made")
    r.attrs |= {"none": None, "list": [1, "x"], "deep": {"x": [1]}, "yes": True, "n": 3, "f": 0.5, "empty": ""}
    r.attrs |= {"single": np.float32(3), "array": np.arange(3)}
    r["stimulus_id"].attrs["long_name"] = "name"
    return r


@pytest.mark.parametrize("compress", [0, 4])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i8", "?", "c8"])
def test_round_trip_is_identical_in_every_dtype(tmp_path, dtype, compress):
    r = made(dtype)
    r.name = "hello" if dtype == "f4" else None
    back = read_responses(write_responses(r, tmp_path / "r.nc", compress=compress))
    xr.testing.assert_identical(back, r)
    assert back.dtype == r.dtype
    assert {k: v.dtype for k, v in back.coords.items()} == {k: v.dtype for k, v in r.coords.items()}
    assert {k: type(v) for k, v in back.attrs.items()} == {k: type(v) for k, v in r.attrs.items()}


def test_time_axis_round_trip(tmp_path):
    r = make_responses(np.zeros((1, 2, 3), "f4"), stimulus_id=["a"], time_s=[0.1, 0.2, 0.7])
    xr.testing.assert_identical(read_responses(write_responses(r, tmp_path / "r.nc")), r)


def test_scores_round_trip(tmp_path):
    attrs = dict(rule="r2", estimator="ridge", splits=2, groups="stimulus_id", seed=0, chosen=None)
    reliability = xr.DataArray([0.9], dims="neuroid", attrs={"n_repeats": 4})
    raw = (("layer", "split", "neuroid"), [[[0.5], [0.6]]])
    variables = {"raw": raw, "reliability": reliability, "score": (("layer", "neuroid"), [[np.nan]])}
    s = xr.Dataset(variables, {"layer": ["conv1"]}, attrs)
    xr.testing.assert_identical(read_scores(write_scores(s, tmp_path / "s.nc")), s)


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_truncated_file_is_named(tmp_path, keep):
    path = write_responses(made(), tmp_path / "r.nc")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"path must be a whole netCDF-4 file, got .*r\.nc.*copy or write it again"):
        read_responses(path)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"path must be a file that exists, got .*none\.nc"):
        read_responses(tmp_path / "none.nc")
    xr.Dataset({"x": [1]}).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"with the variable responses.*read_brainio"):
        read_responses(tmp_path / "x.nc")


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_responses(made(), tmp_path / "r.nc")
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(OSError, match=r"could not be written.*nothing was changed"):
        write_responses(made("f4"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.nc"]


def test_attributes_that_no_file_holds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"attrs must be text, numbers"):
        write_responses(made().assign_attrs(thing=object()), tmp_path / "r.nc")
    with pytest.raises(ValueError, match=r"compress must be a zlib level"):
        write_responses(made(), tmp_path / "r.nc", compress=10)
