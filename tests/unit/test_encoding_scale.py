"""Wide layers and memory: what a score needs is known before, and stays small however wide the layer is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuroperc as npc
from neuroperc.encoding.scoring import needed_bytes

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


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["pls"])
def test_the_widest_layer_of_crossvit_is_scored_within_4_gb(estimator):
    """775,488 units for 640 pictures, made as they are read: 2 GB of features, 14 GB by the rule of seven times."""
    found = scored(640, 775_488, estimator)
    assert found["peak_gb"] < 4
    assert found["peak_gb"] < found["activations_gb"]  # they were never there at once
    assert found["median_r"] > 0.7


def test_the_plan_does_not_grow_with_the_width_and_bounds_what_is_used():
    splits = [(np.arange(64, 640), np.arange(64))] * 10
    for estimator in ("ridge", "pls"):
        narrow, wide = (needed_bytes((640, p), 50, splits, estimator) for p in (75_264, 775_488))
        assert narrow == wide < 2**30
        assert needed_bytes((3200, 775_488), 168, [(np.arange(320, 3200), np.arange(320))] * 10, estimator) < 4e9


def test_a_plan_that_does_not_fit_is_refused_before_any_feature_is_read(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import wide_layers

    features, v4 = wide_layers.study(60, 50_000)
    read = []
    monkeypatch.setattr(wide_layers.Generated, "_read", lambda self, key: read.append(key))
    with pytest.raises(ValueError, match=r"memory_bytes must be at least \d+ \(.* GB\) for layer wide, got 1000000"):
        npc.encoding.benchmark({"wide": features}, v4, memory_bytes=1_000_000)
    assert not read
