"""Zarr: numbers only, larger than memory, whole or not at all."""

import sys
import tracemalloc

import numpy as np
import pytest
import torch

from neuroperc.data import open_zarr, save_zarr

VALUES = np.random.default_rng(0).random((23, 4, 5)).astype(np.float32)
DIMS = ("stimulus", "row", "column")


@pytest.mark.parametrize("source", [VALUES, torch.from_numpy(VALUES), VALUES.astype(np.int16), VALUES > 0.5])
def test_an_array_comes_back(tmp_path, source):
    where = save_zarr(source, tmp_path / "a.zarr", dims=DIMS, attrs={"units": "spikes/s"})
    store = open_zarr(where)
    assert np.array_equal(store[...], np.asarray(source))
    assert store.dtype == np.asarray(source).dtype
    assert store.metadata.dimension_names == DIMS
    assert dict(store.attrs) == {"units": "spikes/s"}


@pytest.mark.parametrize("rows", [1, 3, 7, 23, 100])
def test_blocks_of_any_length_make_one_array(tmp_path, rows):
    blocks = (VALUES[k : k + rows] for k in range(0, len(VALUES), rows))
    store = open_zarr(save_zarr(blocks, tmp_path / "a", dims=DIMS, chunks=(5, 4, 5)))
    assert np.array_equal(store[...], VALUES)
    assert store.chunks == (5, 4, 5)


def test_writing_and_reading_stay_small(tmp_path):
    n, width = 400, 8192  # 25 MB in blocks of 64 KiB
    rng = np.random.default_rng(0)
    row = rng.random((1, width))
    tracemalloc.start()
    save_zarr((row + k for k in range(n)), tmp_path / "a", dims=("sample", "unit"), chunks=(16, width))
    assert open_zarr(tmp_path / "a")[250, 7] == row[0, 7] + 250
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.parametrize(
    ("array", "options", "error", "text"),
    [
        (np.array(["a"]), {"dims": ["n"]}, TypeError, "numbers, got dtype <U1. Text .* keep labels in netCDF"),
        (np.array([None]), {"dims": ["n"]}, TypeError, "numbers, got dtype object"),
        (VALUES, {"dims": ["n"]}, ValueError, r"dims must be 3 names, one an axis"),
        (VALUES, {"dims": DIMS, "chunks": (5, 4)}, ValueError, "chunks must be 3 whole numbers"),
        (VALUES, {"dims": DIMS, "chunks": (0, 4, 5)}, ValueError, "at least 1"),
        (np.float64(3), {"dims": []}, ValueError, "one axis or more"),
        (iter(()), {"dims": DIMS}, ValueError, "an empty iterable"),
        (iter([VALUES, VALUES[:, :2]]), {"dims": DIMS}, ValueError, "block must be of shape"),
        (iter([VALUES, VALUES.astype(float)]), {"dims": DIMS}, ValueError, "block must be of shape"),
        ("text", {"dims": ["n"]}, TypeError, "array must be an array, a tensor, or an iterable of them, got str"),
    ],
)
def test_what_zarr_cannot_hold_is_refused_and_leaves_nothing(tmp_path, array, options, error, text):
    with pytest.raises(error, match=text):
        save_zarr(array, tmp_path / "a", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_stream_leaves_the_old_array(tmp_path):
    save_zarr(VALUES, tmp_path / "a", dims=DIMS)

    def broken():
        yield VALUES
        raise RuntimeError("power cut")

    with pytest.raises(ValueError, match="which exists. Pass overwrite=True"):  # noqa: RUF043
        save_zarr(VALUES, tmp_path / "a", dims=DIMS)
    with pytest.raises(RuntimeError, match="power cut"):
        save_zarr(broken(), tmp_path / "a", dims=DIMS, overwrite=True)
    assert np.array_equal(open_zarr(tmp_path / "a")[...], VALUES)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_is_not_there_or_damaged(tmp_path):
    with pytest.raises(ValueError, match="the folder of a Zarr 3 array, got"):
        open_zarr(tmp_path)
    save_zarr(VALUES, tmp_path / "a", dims=DIMS)
    (tmp_path / "a" / "zarr.json").write_text("{")
    with pytest.raises(ValueError, match="a whole Zarr 3 array"):
        open_zarr(tmp_path / "a")


def test_without_the_extra_the_message_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'neuroperc\[scale\]'"):
        save_zarr(VALUES, tmp_path / "a", dims=DIMS)
    with pytest.raises(ModuleNotFoundError, match="zarr must be installed"):
        open_zarr(tmp_path / "a")
