"""The public strategies make what the schemas accept, and the assertions can fail."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

import neuroperc as npc
from neuroperc import testing
from neuroperc.data import check_fixations, check_gaze, check_responses, check_trials

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCREEN = npc.Display.from_px_per_deg(4, resolution_px=(10, 12))


@given(testing.displays(max_side_px=20))
@few
def test_displays(display):
    assert max(display.resolution_px) <= 20
    assert display.px_per_deg > 0


@given(testing.images(SCREEN, n=3, channels=1, dtype=torch.float64))
@few
def test_images(pictures):
    assert pictures.shape == (3, 1, 10, 12)
    assert pictures.dtype == torch.float64
    assert 0 <= pictures.min() <= pictures.max() <= 1


@given(testing.stimulus_sets(max_n=3))
@few
def test_stimulus_sets(stimuli):
    assert 1 <= len(stimuli) <= 3
    assert stimuli[0].shape[-2:] == stimuli.display.resolution_px
    assert stimuli.encoding in ("linear", "srgb")


@given(testing.response_arrays(n_stimuli=7, n_neuroids=2))
@few
def test_response_arrays(values):
    assert values.shape == (7, 2)
    assert np.isfinite(values).all()


@given(testing.responses(max_stimuli=4, max_repeats=3))
@few
def test_responses(responses):
    check_responses(responses)
    assert "repetition" in responses.coords
    n = len(set(responses.stimulus_id.values.tolist()))
    assert npc.data.average_repeats(responses).sizes["presentation"] == n


@given(testing.trials_and_fixations())
@few
def test_trials_and_fixations(tables):
    trials, fixations = tables
    check_trials(trials)
    check_fixations(fixations)
    assert set(fixations["trial"]) <= set(trials["trial"])


@given(testing.gaze(sampling_hz=250.0))
@few
def test_gaze(samples):
    check_gaze(samples)
    assert np.allclose(np.diff(samples["time_s"]), 1 / 250)
    assert (samples["valid"] == samples["x_deg"].notna()).all()


def test_the_same_seed_is_the_same_data():
    made = []

    @given(testing.response_arrays())
    @settings(max_examples=5, deadline=None, derandomize=True, database=None)
    def collect(values):
        made.append(values)

    collect()
    first, made = made, []
    collect()
    for a, b in zip(first, made, strict=True):
        np.testing.assert_array_equal(a, b)


def test_assert_numpy_equals_torch_can_fail():
    x = np.arange(4.0)
    testing.assert_numpy_equals_torch(lambda v: v * 2, x)
    with pytest.raises(AssertionError, match="Not equal"):
        testing.assert_numpy_equals_torch(lambda v: v * (2 if isinstance(v, np.ndarray) else 3), x)
    with pytest.raises(AssertionError, match="ndarray came out"):
        testing.assert_numpy_equals_torch(np.asarray, x)


def test_assert_batch_equals_loop_can_fail():
    x = torch.arange(6.0).reshape(3, 2)
    testing.assert_batch_equals_loop(lambda v: v + 1, x)
    with pytest.raises(AssertionError, match="Not equal"):
        testing.assert_batch_equals_loop(lambda v: v - v.mean(0), x)


def test_without_hypothesis_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"hypothesis must be installed .* pip install 'neuroperc\[test\]'"):
        testing.displays()


def test_bad_sampling():
    with pytest.raises(ValueError, match="sampling_hz must be above 0, got 0"):
        testing.gaze(sampling_hz=0)
