"""`client=`: a Dask cluster gives the numbers of one process, and a dead worker or a killed client loses little."""

import os
import pickle
import threading

import numpy as np
import pytest
import torch
import xarray as xr

import neuroperc as npc
from neuroperc.encoding import _spreading, scoring
from neuroperc.encoding._cells import Cells
from neuroperc.recording.cluster import spread

distributed = pytest.importorskip("distributed")
NAMES = [f"picture{i:02d}" for i in range(60)]


@pytest.fixture(scope="module")
def client():
    """Two workers in threads of this process."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as connected,
    ):
        yield connected


def model(widths=(30, 120)):
    rng = np.random.default_rng(0)
    labels = np.repeat([f"layer{i}" for i in range(len(widths))], widths)
    index = np.concatenate([np.arange(w) for w in widths])
    values = rng.normal(size=(60, sum(widths)))
    return npc.data.make_responses(values, stimulus_id=NAMES, neuroid_id=index, layer=labels)


def neurons(units, n=8, n_repeats=4):
    rng = np.random.default_rng(1)
    truth = units.values[:, 28:33] @ rng.normal(size=(5, n)) / 5**0.5  # every layer knows something
    trials = truth + rng.normal(size=(n_repeats, *truth.shape))
    found = npc.data.make_responses(trials.reshape(-1, n), stimulus_id=NAMES * n_repeats)
    found[:, 2] = 1.0  # never varies
    found[np.isin(found.stimulus_id, NAMES[:20]), 4] = np.nan  # was not shown a third of the pictures
    return found


def pictures(n=10):
    display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    pixels = np.random.default_rng(0).random((n, 3, 32, 32), np.float32)
    return npc.StimulusSet.from_arrays(pixels, display=display, ids=NAMES[:n])


def net():
    return npc.nets.load("squeezenet1_1", weights=None, preprocess={"size_px": 64, "resize_px": None})


@pytest.mark.parametrize(
    "options", [{"estimator": "ridge"}, {"estimator": "ridge", "alpha_per_target": False}, {"n_components": 4}]
)
def test_a_cluster_gives_the_numbers_of_one_process(client, monkeypatch, options):
    monkeypatch.setattr(_spreading, "NEURONS", 3)  # several parts for eight neurons
    units = model()
    v4 = neurons(units)
    alone = npc.encoding.benchmark(units, v4, splits=4, n_resamples=20, **options)
    together = npc.encoding.benchmark(units, v4, splits=4, n_resamples=20, client=client, **options)
    assert alone.layer.values.tolist() == together.layer.values.tolist()
    for name in alone.data_vars:
        np.testing.assert_allclose(together[name], alone[name], atol=1e-10, rtol=1e-10, err_msg=name)
    assert together.attrs == alone.attrs


def test_a_layer_is_chosen_on_a_cluster(client, tmp_path):
    units = model()
    v4, options = neurons(units), {"estimator": "ridge", "splits": 2, "inner_splits": 2}
    alone = npc.encoding.choose_layer(units, v4, **options)
    together = npc.encoding.choose_layer(units, v4, client=client, store=tmp_path, **options)
    for name in ("raw", "inner", "score"):
        np.testing.assert_allclose(together[name], alone[name], atol=1e-10, err_msg=name)
    assert together.chosen.values.tolist() == alone.chosen.values.tolist()
    assert len(list(tmp_path.glob("*.cell"))) == 2


def test_parts_cover_every_split_and_neuron_once():
    for one_by_one in (True, False):
        times = np.zeros((10, 1300), dtype=int)
        for splits, columns in _spreading.parts_of(10, 1300, one_by_one=one_by_one):
            times[splits, columns] += 1
        assert (times == 1).all()
    assert len(_spreading.parts_of(10, 1300, one_by_one=True)) == 12


def test_features_in_a_store_are_read_by_the_workers(client, tmp_path, monkeypatch):
    units = npc.record(net(), pictures(), ["features.3", "features.6"], store=tmp_path, memory_bytes=0)
    trials = np.random.default_rng(0).normal(size=(3, 10, 4)) + units.values[:, :4]
    v4 = npc.data.make_responses(trials.reshape(-1, 4), stimulus_id=NAMES[:10] * 3)
    settings = {"estimator": "ridge", "splits": 3, "test_share": 0.3, "n_resamples": 0}
    alone = npc.encoding.benchmark(units, v4, **settings)
    sent = watched(monkeypatch)
    together = npc.encoding.benchmark(units, v4, client=client, **settings)
    xr.testing.assert_allclose(together, alone, rtol=1e-10, atol=1e-10)
    assert sent[0][0] == "turn" and len(sent[0][1]) == 2
    assert all(len(pickle.dumps(layer)) < 20_000 for layer in sent[0][1])  # paths, not the features
    assert units.nbytes > 1_000_000
    in_memory = watched(monkeypatch)
    npc.encoding.benchmark(units.load(), v4, client=client, **settings)
    assert in_memory[0] == ("turn", [])  # turned in this process: features do not travel


def watched(monkeypatch):
    """Return the list that what goes to the cluster will be added to."""
    sent, real = [], spread

    def noting(client, function, items, *, shared=None):
        sent.append((function.__name__, list(items)))
        return real(client, function, items, shared=shared)

    monkeypatch.setattr(_spreading, "spread", noting)
    return sent


def test_recordings_are_the_same_bytes(client, tmp_path):
    shown, layers = pictures(), ["features.3", "features.6"]
    alone = npc.record(net(), shown, layers, batch_size=3)
    xr.testing.assert_identical(npc.record(net(), shown, layers, batch_size=3, client=client), alone)
    kept = npc.record(net(), shown, layers, batch_size=3, store=tmp_path, client=client)
    np.testing.assert_array_equal(kept.values, alone.values)
    again = npc.record(net(), shown, layers, batch_size=3, store=tmp_path)  # found, not made
    np.testing.assert_array_equal(again.values, alone.values)


def test_an_error_on_a_worker_comes_back_as_it_is(client):
    units = model()
    with pytest.raises(ValueError, match="n_components must be at most the number of training rows, 35"):
        npc.encoding.benchmark(units, neurons(units), n_components=55, client=client)
    with pytest.raises(ValueError, match="NaN or infinity in layer 0"):
        npc.record(Broken(), pictures(), ["0"], preprocess=None, client=client)


class Broken(torch.nn.Module):
    """A module whose layer answers NaN."""

    def __init__(self):
        super().__init__()
        self.add_module("0", torch.nn.ReLU())

    def forward(self, x):
        return self._modules["0"](x * float("nan"))


def test_a_worker_that_dies_while_shared_data_is_sent(client, monkeypatch):
    send, tries = client.scatter, []

    def sometimes(*args, **kwargs):
        tries.append(kwargs["hash"])
        if len(tries) < 3:
            raise OSError("stream is closed")
        return send(*args, **kwargs)

    monkeypatch.setattr(client, "scatter", sometimes)
    assert dict(spread(client, lambda shared, item: shared * item, [1, 2], shared=3)) == {0: 3, 1: 6}
    assert tries == [False] * 3
    monkeypatch.setattr("time.sleep", lambda s: None)
    monkeypatch.setattr(client, "scatter", lambda *_, **__: (_ for _ in ()).throw(OSError("no worker answers")))
    with pytest.raises(OSError, match="no worker answers"):
        list(spread(client, lambda shared, item: item, [1], shared=3))


def test_a_client_is_a_client():
    units = model()
    with pytest.raises(TypeError, match=r"client must be a connected distributed.Client, got tcp://.*dask_jobqueue"):
        npc.encoding.benchmark(units, neurons(units), estimator="ridge", client="tcp://10.0.0.1:8786")
    with pytest.raises(TypeError, match="client must be a connected"):
        npc.record(net(), pictures(), ["features.3"], client=3)


def test_finished_parts_of_a_layer_outlive_the_client(client, tmp_path, monkeypatch):
    monkeypatch.setattr(_spreading, "NEURONS", 3)
    units = model()
    v4, settings = neurons(units), {"estimator": "ridge", "splits": 4, "n_resamples": 0}
    real, calls = Cells.write, []

    def dies(self, key, cell):
        real(self, key, cell)
        calls.append(key)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Cells, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        npc.encoding.benchmark(units, v4, store=tmp_path, client=client, **settings)
    monkeypatch.setattr(Cells, "write", real)
    assert len(list(tmp_path.glob("*.cell"))) == 3
    sent = watched(monkeypatch)
    resumed = npc.encoding.benchmark(units, v4, store=tmp_path, client=client, **settings)
    assert (
        sum(len(items) for name, items in sent if name == "_fit") == 2 * 6 - 3
    )  # two layers of two blocks of splits and three of neurons
    assert len(list(tmp_path.glob("*.cell"))) == 2  # whole layers; their parts are gone
    monkeypatch.setattr(scoring, "compute_cell", None)  # one process finds the cluster's cells
    xr.testing.assert_identical(npc.encoding.benchmark(units, v4, store=tmp_path, **settings), resumed)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path):
    """Processes this time, and one of them dies at its fourth piece of work; the other takes over."""

    def slow_square(shared, item):  # inside, so that it is sent by value: workers cannot import the tests
        import os
        import time

        time.sleep(0.3)
        flag = shared[0]
        if item == 3 and not flag.exists():
            flag.touch()
            os._exit(9)
        return shared[1][item] ** 2

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as two,
    ):
        shared = tmp_path / "died", np.arange(8)
        found = dict(spread(two, slow_square, list(range(8)), shared=shared))
        assert found == {i: i * i for i in range(8)} and (tmp_path / "died").exists()
        units = model(widths=(30, 120, 60))
        v4 = neurons(units)
        settings = {"estimator": "ridge", "splits": 10, "n_resamples": 0}
        alone = npc.encoding.benchmark(units, v4, **settings)
        victims = sorted(two.scheduler_info()["workers"])
        timer = threading.Timer(0.2, lambda: two.run(os._exit, 9, workers=victims[:1], on_error="ignore"))
        timer.start()
        together = npc.encoding.benchmark(units, v4, client=two, **settings)
        timer.join()
        xr.testing.assert_allclose(together, alone, rtol=1e-10, atol=1e-10)
        shown = pictures()
        recorded = npc.record(net(), shown, ["features.3"], batch_size=2, client=two)
        xr.testing.assert_identical(recorded, npc.record(net(), shown, ["features.3"], batch_size=2))
