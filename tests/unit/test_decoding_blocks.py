"""Voxels block by block: kept on disk, gone on after a kill, spread over workers; the numbers stay the same."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from neuroperc.data import make_responses
from neuroperc.decoding import encode_voxels

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 10))
Y = make_responses(X @ RNG.normal(size=(10, 40)) + 2 * RNG.normal(size=(60, 40)), stimulus_id=np.arange(60))
WHOLE = encode_voxels(X, Y)


def same(found, atol=1e-12):
    for name in ("r", "r2", "alpha"):
        np.testing.assert_allclose(found[name].values, WHOLE[name].values, rtol=1e-10, atol=atol)


def test_a_store_is_read_back_and_only_changed_voxels_are_fitted_again(tmp_path):
    same(encode_voxels(X, Y, voxels_per_batch=10, store=tmp_path / "s"))
    files = sorted((tmp_path / "s").glob("voxels*.npy"))
    assert len(files) == 4
    np.save(files[1], np.zeros_like(np.load(files[1])))  # what is read, not made again, shows
    again = encode_voxels(X, Y, store=tmp_path / "s", device="cpu")  # a fit may go on on another device
    assert again.r.values[:, 10:20].max() == 0
    np.testing.assert_allclose(again.r.values[:, 20:], WHOLE.r.values[:, 20:], rtol=1e-10)
    changed = Y.copy(data=np.where(np.arange(40) == 12, -Y.values, Y.values))
    np.testing.assert_allclose(encode_voxels(X, changed, store=tmp_path / "s").r.values, WHOLE.r.values, rtol=1e-10)
    assert len(list((tmp_path / "s").glob("voxels*.npy"))) == 5


def test_a_store_of_another_fit_and_damaged_ones_are_refused(tmp_path):
    encode_voxels(X, Y, voxels_per_batch=20, store=tmp_path / "s")
    for change in ({"alphas": [1.0]}, {"n_folds": 4}, {"rng": 2}, {"groups": np.arange(60) // 2}):
        with pytest.raises(ValueError, match="store must be empty, or of the same features"):
            encode_voxels(X, Y, store=tmp_path / "s", **change)
    with pytest.raises(ValueError, match="store must be empty"):
        encode_voxels(2 * X + X[:, ::-1] ** 2, Y, store=tmp_path / "s")
    block = sorted((tmp_path / "s").glob("voxels*.npy"))[0]
    block.write_bytes(block.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"voxels00000000.*a whole \.npy file"):
        encode_voxels(X, Y, store=tmp_path / "s")
    (tmp_path / "s" / "blocks.json").write_text("{")
    with pytest.raises(ValueError, match="written by encode_voxels"):
        encode_voxels(X, Y, store=tmp_path / "s")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="store must be a folder"):
        encode_voxels(X, Y, store=tmp_path / "file")


def test_a_killed_fit_goes_on(tmp_path):
    """A process is killed between blocks; another one finishes, and finished blocks are not written again."""
    np.savez(tmp_path / "data.npz", x=X, y=Y.values)
    code = textwrap.dedent(
        """
        import sys, time, numpy as np
        from neuroperc.data import make_responses
        from neuroperc.decoding import encode_voxels, voxelwise
        once = voxelwise.score_block
        def slow(*parts):
            time.sleep(float(sys.argv[2]))
            return once(*parts)
        voxelwise.score_block = slow
        with np.load(sys.argv[1] + "/data.npz") as data:
            y = make_responses(data["y"], stimulus_id=np.arange(60))
            found = encode_voxels(data["x"], y, voxels_per_batch=5, store=sys.argv[1] + "/s")
        np.save(sys.argv[1] + "/r.npy", found.r.values)
        """
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.Popen([*command, "0.5"])
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "s").glob("voxels*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("voxels*.npy")}
    assert 2 <= len(done) < 8
    subprocess.run([*command, "0"], check=True, env={**os.environ})
    assert all(path.stat().st_mtime_ns == at for path, at in done.items())
    assert not list((tmp_path / "s").glob(".voxels*"))
    assert json.loads((tmp_path / "s" / "blocks.json").read_text())["voxels_per_batch"] == 5
    np.testing.assert_allclose(np.load(tmp_path / "r.npy"), WHOLE.r.values, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_workers_give_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        same(encode_voxels(X, Y, voxels_per_batch=3, client=client, store=tmp_path / "s"), atol=1e-10)
        bad = Y.copy(data=np.where(np.arange(40) == 39, np.nan, Y.values))
        with pytest.raises(ValueError, match='nan="drop"'):
            encode_voxels(X, bad, voxels_per_batch=3, client=client)
    assert len(list((tmp_path / "s").glob("voxels*.npy"))) == 14


def test_memory_maps_are_read_block_by_block(tmp_path):
    np.save(tmp_path / "y.npy", Y.values)
    same(encode_voxels(X, Y.copy(data=np.load(tmp_path / "y.npy", mmap_mode="r")), voxels_per_batch=7))
