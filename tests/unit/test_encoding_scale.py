"""Wide layers and memory: what a score needs is known before, and stays small however wide the layer is."""

import json
import logging
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import neuroperc as npc
from neuroperc.encoding import benchmark, choose_layer
from neuroperc.encoding.scoring import _WORKSPACE_BYTES, Fitting, needed_bytes
from neuroperc.regression import shuffle_splits

ROOT = Path(__file__).parents[2]
CHILD = """
import resource, sys
sys.path.insert(0, {root!r})
from benchmarks.wide_layers import child
import json
print(json.dumps(child({n}, {units}, {estimator!r})))
"""


def scored(n, units, estimator):
    code = CHILD.format(root=str(ROOT), n=n, units=units, estimator=estimator)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def tenths(n):
    return [(np.arange(n // 10, n), np.arange(n // 10))] * 10


def fitting(estimator):
    return Fitting(estimator, 25, (1.0,), True, None)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["pls", "ridge"])
def test_the_widest_layer_of_crossvit_is_scored_within_4_gb(estimator):
    """775,488 units for 640 pictures, made as they are read: 2 GB of features, 14 GB by the rule of seven times."""
    found = scored(640, 775_488, estimator)
    assert found["peak_gb"] < 4
    assert found["peak_gb"] < found["activations_gb"]  # they were never there at once
    assert found["median_r"] > 0.7
    planned = needed_bytes([(640, 775_488)], 50, tenths(640), fitting(estimator)) / 1e9
    assert found["peak_gb"] - found["imports_gb"] <= planned < 0.5


@pytest.mark.parametrize(
    ("estimator", "n", "units", "n_neurons", "n_layers", "n_resamples", "incomplete"),
    [
        ("ridge", 200, 30_000, 20, 1, 0, False), ("pls", 200, 30_000, 20, 1, 0, False),
        ("ridge", 200, 100, 600, 1, 0, False), ("ridge", 100, 200, 1500, 3, 20, False),
        ("pls", 100, 200, 1500, 3, 20, False), ("ridge", 300, 400, 30, 1, 0, True), ("pls", 300, 400, 30, 1, 0, True),
        ("ridge", 100, 50, 1500, 1, 20, True), ("ridge", 100, 50, 1500, 1, 400, False),
    ],
)  # fmt: skip
def test_what_is_used_at_the_peak_is_what_was_planned(
    estimator, n, units, n_neurons, n_layers, n_resamples, incomplete
):
    """Every array that is made between the plan and the result is traced."""
    rng = np.random.default_rng(0)
    names = [f"p{i:03d}" for i in range(n)]
    y = rng.normal(size=(n, n_neurons))
    if incomplete:
        y[: n // 10, : n_neurons // 2] = np.nan
    v4 = npc.data.make_responses(y, stimulus_id=names)
    features = npc.data.make_responses(rng.normal(size=(n, units)).astype(np.float32), stimulus_id=names)
    layers = {f"layer{i}": features for i in range(n_layers)}
    options = {"estimator": estimator, "alphas": [1.0, 10.0], "n_resamples": n_resamples, "reliability": 0.5}
    benchmark(layers, v4.isel(neuroid=[0, -1]), **options)  # what is imported on the way
    tracemalloc.start()
    try:
        benchmark(layers, v4, **options)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    splits = shuffle_splits(np.array(names), n_splits=10, test_share=0.1, rng=1)
    planned = needed_bytes([(n, units)] * n_layers, n_neurons, splits, fitting(estimator), n_resamples=n_resamples,
                           incomplete=incomplete) - _WORKSPACE_BYTES  # fmt: skip
    assert 0.3 * planned < used < planned + 2 * y.nbytes  # the averaged target and its float64 copy are data


def test_the_plan_counts_the_predictions_of_all_layers():
    one, forty = (needed_bytes([(640, 5000)] * k, 100_000, tenths(640), fitting("ridge")) for k in (1, 40))
    assert forty - one > 39 * 640 * 100_000 * 8 and forty > 20e9


def test_the_plan_is_shown_before_the_work(caplog, capsys):
    rng = np.random.default_rng(0)
    names = [f"p{i:02d}" for i in range(40)]
    units = npc.data.make_responses(rng.normal(size=(40, 30)), stimulus_id=names, layer="conv")
    v4 = npc.data.make_responses(rng.normal(size=(40, 4)), stimulus_id=names)
    for call, size in ((benchmark, "0.04"), (choose_layer, "0.03")):
        caplog.clear()
        with caplog.at_level(logging.INFO, "neuroperc.encoding"):
            call(units, v4, estimator="ridge", splits=2, reliability=0.5, progress=True)
        words = f"memory: about {size} GB for 1 layers of up to 30 units (conv), 40 rows, 4 neurons"
        assert words in [record.getMessage() for record in caplog.records]
        assert f"layers (about {size} GB)" in capsys.readouterr().err


def test_the_plan_does_not_grow_with_the_width():
    for estimator in ("ridge", "pls"):
        narrow, wide = (needed_bytes([(640, p)], 50, tenths(640), fitting(estimator)) for p in (75_264, 775_488))
        assert narrow == wide < 2**30
        assert needed_bytes([(3200, 775_488)], 168, tenths(3200), fitting(estimator)) < 4e9


def test_a_plan_that_does_not_fit_is_refused_before_any_feature_is_read(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import wide_layers

    features, v4 = wide_layers.study(60, 50_000)
    read = []
    monkeypatch.setattr(wide_layers.Generated, "_read", lambda self, key: read.append(key))
    words = r"memory_bytes must be at least \d+ \(.* GB\) for 1 layers of up to 50000 units .wide., 60 rows, 50 neurons"
    with pytest.raises(ValueError, match=words):
        npc.encoding.benchmark({"wide": features}, v4, memory_bytes=1_000_000)
    assert not read
