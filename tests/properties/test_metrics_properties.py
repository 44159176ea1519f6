"""Laws of every metric: NumPy and torch agree, order does not matter, a batch is its loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc import metrics as m
from neuroperc.testing import response_arrays

few = settings(max_examples=20, deadline=None)


def trials_of(x):
    return np.stack([x, x + np.sin(7 * x), x + np.cos(5 * x), x - 0.5 * np.sin(3 * x)])


def intervals(a, b):
    """Return an interval as an array in the library of `a`."""
    found = m.score_interval(a, b, reliability=0.5, n_resamples=20, rng=0)[:3]
    return torch.tensor(found, dtype=torch.float64) if isinstance(a, torch.Tensor) else np.array(found)


#: Functions of two (row, column) arrays, one for each public metric.
OF_TWO = {
    "pearson": m.pearson,
    "spearman": m.spearman,
    "r2": m.r2,
    "explained_variance": m.explained_variance,
    "partial_correlation": lambda a, b: m.partial_correlation(a, b, a * a + b),
    "rdm": lambda a, b: m.rdm(a),
    "rdm_euclidean": lambda a, b: m.rdm(b, metric="euclidean"),
    "rdm_agreement": lambda a, b: m.rdm_agreement(m.rdm(a), m.rdm(b), method="pearson"),
    "crossnobis": lambda a, b: m.crossnobis(a.reshape(2, -1, a.shape[1])),
    "hsic": m.hsic,
    "cka_biased": lambda a, b: m.cka(a, b, unbiased=False),
    "normalized_score": lambda a, b: m.normalized_score(m.pearson(a, b), abs(b[0]) + 0.1),
    "brainscore": lambda a, b: m.brainscore(a, abs(b) + 0.1),
    "brainscore_sem": lambda a, b: m.brainscore_sem(a),
    "two_way_identification": m.two_way_identification,
    "two_way_euclidean": lambda a, b: m.two_way_identification(a, b, similarity="euclidean"),
    "top_k_retrieval": lambda a, b: m.top_k_retrieval(a, b, k=2, n_candidates=4),
    "pixel_correlation": m.pixel_correlation,
    "rmse": m.rmse,
    "psnr": lambda a, b: m.psnr(a, b, data_range=1),
    "ssim": lambda a, b: m.ssim(a, b, data_range=1, window_px=3),
    "ms_ssim": lambda a, b: m.ms_ssim(a, b, data_range=1, window_px=3, weights=(0.5, 0.5)),
    "endpoint_error": lambda a, b: m.endpoint_error(a[:, :2], b[:, :2], axis=-1),
    "abx_independent": lambda a, b: m.abx_independent(a),
    "abx_differencing": lambda a, b: m.abx_differencing(a),
    "yes_no": lambda a, b: m.yes_no(a, criterion=0.3),
    "two_afc": lambda a, b: m.two_afc(a),
    "oddity": lambda a, b: m.oddity(a),
    "dprime": lambda a, b: m.dprime(1 / (1 + abs(a)), observer=m.abx_independent),
    "with_lapses": lambda a, b: m.with_lapses(1 / (1 + abs(a)), lapse=0.1, n_alternatives=3),
    "dprime_yes_no": lambda a, b: m.dprime_yes_no(1 / (2 + abs(a)), 1 / (2 + abs(b))),
    "criterion_yes_no": lambda a, b: m.criterion_yes_no(1 / (2 + abs(a)), 1 / (2 + abs(b))),
    "loglinear_rate": lambda a, b: m.loglinear_rate(abs(a), abs(a) + abs(b)),
    "critical_scaling": lambda a, b: m.critical_scaling(abs(a) + 0.1, critical=0.4, gain=2, convention="freeman"),
    "score_interval": intervals,
}

#: Functions of (repeat, stimulus, neuroid).
OF_TRIALS = {
    "noise_ceiling": lambda t: m.noise_ceiling(t).value,
    "explainable_variance": lambda t: m.explainable_variance(t).value,
    "split_half": lambda t: m.split_half(t, rng=3).value,
    "split_half_repeat": lambda t: m.split_half_correlation(t, by="repeat", rng=3),
    "ncsnr": lambda t: m.noise_ceiling(t).ncsnr,
}


@pytest.mark.parametrize("name", OF_TWO)
@given(x=response_arrays(n_stimuli=12, n_neuroids=5), y=response_arrays(n_stimuli=12, n_neuroids=5))
@few
def test_numpy_and_torch_agree(name, x, y):
    ours, theirs = OF_TWO[name](x, y), OF_TWO[name](torch.as_tensor(x), torch.as_tensor(y))
    assert isinstance(theirs, torch.Tensor)
    assert theirs.dtype == torch.float64
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", OF_TRIALS)
@given(x=response_arrays(n_stimuli=12, n_neuroids=5))
@few
def test_numpy_and_torch_agree_on_trials(name, x):
    ours, theirs = OF_TRIALS[name](trials_of(x)), OF_TRIALS[name](torch.as_tensor(trials_of(x)))
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OF_TWO)
def test_float32_comes_back_as_float32(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12, 5))
    found = OF_TWO[name](torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32))
    assert found.dtype == (torch.float64 if name == "score_interval" else torch.float32)
    np.testing.assert_allclose(found.numpy(), OF_TWO[name](x, y), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    "name", ["pearson", "spearman", "r2", "explained_variance", "partial_correlation", "hsic", "cka_biased", "rmse"]
)
@given(x=response_arrays(n_stimuli=12, n_neuroids=5), y=response_arrays(n_stimuli=12, n_neuroids=5), data=st.data())
@few
def test_the_order_of_stimuli_does_not_matter(name, x, y, data):
    order = data.draw(st.permutations(range(len(x))))
    np.testing.assert_allclose(OF_TWO[name](x[order], y[order]), OF_TWO[name](x, y), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["two_way_identification", "two_way_euclidean", "top_k_retrieval"])
@given(x=response_arrays(n_stimuli=12, n_neuroids=5), y=response_arrays(n_stimuli=12, n_neuroids=5), data=st.data())
@few
def test_identification_follows_the_order(name, x, y, data):
    order = data.draw(st.permutations(range(len(x))))
    np.testing.assert_allclose(OF_TWO[name](x[order], y[order]), OF_TWO[name](x, y)[order], atol=1e-12)


@pytest.mark.parametrize("name", ["noise_ceiling", "explainable_variance"])
@given(x=response_arrays(n_stimuli=12, n_neuroids=5), data=st.data())
@few
def test_the_order_of_repeats_does_not_matter(name, x, data):
    trials = trials_of(x)
    order = data.draw(st.permutations(range(len(trials))))
    np.testing.assert_allclose(OF_TRIALS[name](trials[order]), OF_TRIALS[name](trials), rtol=1e-9, atol=1e-12)


def test_the_size_of_chunks_does_not_matter():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 7))
    for function in (m.two_way_identification, m.top_k_retrieval):
        for similarity in ("pearson", "cosine", "euclidean"):
            whole = function(a, b, similarity=similarity)
            np.testing.assert_array_equal(function(a, b, similarity=similarity, chunk=4), whole)


@pytest.mark.parametrize(
    "name", ["ssim", "ms_ssim", "pixel_correlation", "rmse", "psnr", "rdm", "cka", "rdm_agreement"]
)
def test_a_batch_is_its_loop(name):
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 2, 40, 47)) if "ssim" in name or name in ("rmse", "psnr") else rng.random((2, 3, 9, 6))
    function = {
        "ssim": lambda u, v: m.ssim(u, v, data_range=1),
        "ms_ssim": lambda u, v: m.ms_ssim(u, v, data_range=1, weights=(0.5, 0.5)),
        "pixel_correlation": lambda u, v: m.pixel_correlation(u[..., None, :, :], v[..., None, :, :]),
        "rmse": m.rmse,
        "psnr": lambda u, v: m.psnr(u, v, data_range=1),
        "rdm": lambda u, v: m.rdm(u),
        "cka": m.cka,
        "rdm_agreement": lambda u, v: m.rdm_agreement(m.rdm(u), m.rdm(v)),
    }[name]
    np.testing.assert_allclose(function(a, b), [function(u, v) for u, v in zip(a, b, strict=True)], rtol=1e-12)


@given(x=response_arrays(n_stimuli=12, n_neuroids=5), gain=st.floats(0.1, 10), offset=st.floats(-10, 10))
@few
def test_what_gain_and_offset_change(x, gain, offset):
    y = np.roll(x, 1, axis=0) + x
    np.testing.assert_allclose(m.pearson(gain * x + offset, y), m.pearson(x, y), atol=1e-9)
    np.testing.assert_allclose(m.pearson(-x, y), -m.pearson(x, y), atol=1e-12)
    np.testing.assert_allclose(m.explained_variance(x + offset, y), m.explained_variance(x, y), atol=1e-8)
    np.testing.assert_allclose(m.cka(gain * x + offset, y), m.cka(x, y), rtol=1e-6, atol=1e-9)


@given(st.floats(0, 0.99), st.floats(0.5, 50), st.floats(0.5, 50))
def test_reliability_there_and_back(value, n, other):
    there = m.convert_reliability(np.array(value), from_n=n, to_n=other)
    np.testing.assert_allclose(m.convert_reliability(there, from_n=other, to_n=n), value, atol=1e-12)


@given(st.floats(0, 6), st.floats(0.01, 2))
def test_observers_rise_with_d(d, more):
    for observer in (m.two_afc, m.yes_no, m.abx_independent, m.abx_differencing, m.oddity):
        assert observer(np.array(d + more)) >= observer(np.array(d)) - 1e-15


@pytest.mark.parametrize("name", ["ssim", "ms_ssim", "pearson", "r2", "cka_biased", "rmse", "normalized_score"])
def test_gradients_are_those_of_finite_differences(name):
    rng = np.random.default_rng(0)
    x, y = (torch.as_tensor(rng.normal(size=(12, 5))) for _ in range(2))
    assert torch.autograd.gradcheck(lambda v: OF_TWO[name](v, y), (x.requires_grad_(),), eps=1e-6, atol=1e-5)
