"""Bad input to every metric: the error names what came in and what to do; what is undefined is NaN and counted."""

import inspect

import numpy as np
import pytest
import torch

from neuroperc import metrics as m

X = np.random.default_rng(0).normal(size=(12, 5))
PICTURE = np.random.default_rng(1).random((3, 16, 16))

PAIRS = {
    "pearson": m.pearson,
    "spearman": m.spearman,
    "r2": m.r2,
    "explained_variance": m.explained_variance,
    "partial_correlation": lambda a, b: m.partial_correlation(a, b, a),
    "hsic": m.hsic,
    "cka": m.cka,
    "rmse": m.rmse,
    "pixel_correlation": m.pixel_correlation,
    "psnr": lambda a, b: m.psnr(a, b, data_range=1),
    "ssim": lambda a, b: m.ssim(a, b, data_range=1, window_px=3),
    "two_way": m.two_way_identification,
    "top_k": m.top_k_retrieval,
    "interval": lambda a, b: m.score_interval(a, b, rng=0),
    "difference": lambda a, b: m.difference_interval(a, a, b, rng=0),
}
LONG = {"two_way": "two_way_identification", "top_k": "top_k_retrieval", "interval": "score_interval",
        "difference": "difference_interval"}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_shapes_that_differ(name):
    with pytest.raises(ValueError, match=r"must be of (one shape|the same stimuli), got .*11"):
        PAIRS[name](X, X[:11])


@pytest.mark.parametrize("name", PAIRS)
def test_nan_is_found_and_counted(name):
    bad = X.copy()
    bad[3, 1] = bad[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"must be finite, got 2 NaN or infinite values, the first at index \(3, 1\)"):
        PAIRS[name](bad, X)


@pytest.mark.parametrize("name", PAIRS)
def test_empty_arrays(name):
    with pytest.raises(ValueError, match=r"must be not empty, got shape \(0, 5\)"):
        PAIRS[name](X[:0], X[:0])


@pytest.mark.parametrize("name", PAIRS)
def test_wrong_types(name):
    with pytest.raises(TypeError, match="an array of real numbers, got dtype complex128"):
        PAIRS[name](X + 0j, X)
    with pytest.raises(TypeError, match="an array of real numbers, got dtype <U"):
        PAIRS[name](X.astype(str), X)
    with pytest.raises(TypeError, match="of one library"):
        PAIRS[name](X, torch.as_tensor(X))


def test_constant_targets_are_nan_and_counted():
    y = X.copy()
    y[:, 1], y[:, 3] = 7.0, 0.1
    for function in (m.pearson, m.spearman, m.r2, m.explained_variance):
        found = function(X, y)
        assert np.isnan(found).tolist() == [False, True, False, True, False]
        summary = m.summarize(found)
        assert (summary.n, summary.n_undefined) == (3, 2)
        assert np.isfinite(summary.value)
    interval = m.score_interval(X, y, rng=0)
    assert interval.n_undefined == 2
    assert np.isfinite(interval[:3]).all()


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_constant_features_have_no_alignment(library):
    """The mean of twelve 3.3 is not 3.3: what is left is no representation."""
    flat, x = library(np.full((12, 4), 3.3)), library(X)
    for unbiased in (True, False):
        assert np.isnan(float(m.cka(flat, x, unbiased=unbiased))) and float(m.hsic(flat, x, unbiased=unbiased)) == 0
    half = library(np.concatenate([X, np.full((12, 4), 3.3)], 1))
    assert float(m.cka(half, x)) == pytest.approx(1)


def test_missing_rows_are_left_out_for_their_neuroid_only():
    y = X.copy()
    y[:4, 0], y[2:, 1], y[:, 2] = np.nan, np.nan, np.nan  # 8, 2 and 0 rows are left
    found = m.score_interval(X + 1, y, nan_policy="omit", rng=0)
    assert (found.n_neuroids, found.n_undefined, found.undefined) == (5, 2, (1, 2))
    assert found.estimate == pytest.approx(1)
    of_two = m.difference_interval(X, -X, y, nan_policy="omit", rng=0)
    assert of_two.estimate == pytest.approx(2) and of_two.undefined == (1, 2)
    tensors = m.score_interval(torch.as_tensor(X + 1), torch.as_tensor(y), nan_policy="omit", rng=0)
    assert tensors[:3] == pytest.approx(found[:3]) and tensors.undefined == (1, 2)
    y[5:, 0] = np.nan  # and now 1: with four rows or fewer no interval says anything
    assert m.score_interval(X + 1, y, nan_policy="omit", rng=0).undefined == (0, 1, 2)
    nothing = m.score_interval(X, np.full_like(X, np.nan), nan_policy="omit", rng=0)
    assert np.isnan(nothing[:3]).all() and nothing.n_undefined == 5


def test_the_median_of_one_or_two_neuroids_has_the_interval_of_their_mean():
    y = X + X[::-1]
    for k in (1, 2):
        mean, median = (m.score_interval(X[:, :k], y[:, :k], how=how, rng=0) for how in ("mean", "median"))
        assert median[:3] == pytest.approx(mean[:3], abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_nobody_advises_an_argument_that_is_not_there(name):
    with pytest.raises(ValueError, match="must be finite") as error:
        PAIRS[name](np.where(X > 0, np.nan, X), X)
    has_policy = "nan_policy" in inspect.signature(getattr(m, LONG.get(name, name))).parameters
    assert ("nan_policy" in str(error.value)) == has_policy


def test_infinite_values_are_refused_whatever_the_policy():
    bad = X.copy()
    bad[0, 0] = np.inf
    with pytest.raises(ValueError, match="must be finite, got 1"):
        m.pearson(bad, X, nan_policy="omit")


def test_unknown_names_list_the_known_ones():
    for call in (
        lambda: m.rdm(X, metric="cosine"),
        lambda: m.normalized_score(X[0], 1.0, rule="best"),
        lambda: m.two_way_identification(X, X, similarity="dot"),
        lambda: m.summarize(X, how="mode"),
        lambda: m.critical_scaling(abs(X), critical=1, gain=1, convention="mine"),
        lambda: m.fit_psychometric([1, 2], [1, 2], [2, 2], shape="probit"),
        lambda: m.score_interval(X, X, how="mode", rng=0),
    ):
        with pytest.raises(ValueError, match="must be one of "):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.ssim(PICTURE, PICTURE, data_range=0), "data_range must be a finite number above 0, got 0"),
        (lambda: m.ssim(PICTURE, PICTURE, data_range=1, window_px=4), "window_px must be odd, got 4"),
        (lambda: m.ssim(PICTURE, PICTURE, data_range=1, window_px=17), "at least 17 px on each side"),
        (lambda: m.ms_ssim(PICTURE, PICTURE, data_range=1), "at least 161 px on each side for 5 scales"),
        (lambda: m.endpoint_error(X, X, axis=-1), "two components long on axis -1"),
        (lambda: m.rdm_vector(X), r"matrix must be \(..., n, n\)"),
        (lambda: m.hsic(X[:3], X[:3]), "number of stimuli must be at least 4, got 3"),
        (lambda: m.noise_ceiling(X[:1]), r"responses must be \(repeat, stimulus, ...\)"),
        (lambda: m.top_k_retrieval(X, X, n_candidates=13), "n_candidates must be at most the 12 entries"),
        (lambda: m.top_k_retrieval(X, X, k=4, n_candidates=3), "k must be at most the 3 candidates, got 4"),
        (lambda: m.score_interval(X, X, groups=[1, 2], rng=0), "groups must be one label for each of the 12 rows"),
        (lambda: m.score_interval(X, X, groups=[1] * 12, rng=0), "groups must be 5 or more different labels, got 1"),
        (lambda: m.score_interval(X[:4], X[:4], rng=0), "groups must be 5 or more different labels, got 4"),
        (lambda: m.mean_interval(X[:2], rng=0), "groups must be 3 or more different labels, got 2"),
        (lambda: m.score_interval(X, X, level=95, rng=0), "level must be between 0 and 1, got 95"),
        (lambda: m.score_interval(X, X, reliability=np.ones(4), rng=0), "reliability must be one for each of the 5"),
        (lambda: m.dprime_yes_no(np.array([90.0]), np.array([0.1])), "hit_rate must be between 0 and 1"),
        (lambda: m.loglinear_rate(np.array([3]), np.array([2])), "n_yes must be between 0 and n_trials"),
        (lambda: m.with_lapses(X, lapse=0.1, n_alternatives=2), "proportion must be between 0 and 1"),
        (lambda: m.with_lapses(abs(X) / 9, lapse=1, n_alternatives=2), "lapse must be at least 0 and below 1, got 1"),
        (lambda: m.critical_scaling(X, critical=1, gain=1, convention="freeman"), "scaling must be above 0"),
        (lambda: m.fit_psychometric([1, 2], [1, 3], [2, 2], shape="logistic"), "n_correct must be between 0 and n_tri"),
        (lambda: m.fit_psychometric([1, 2], [0.5, 1], [2, 2], shape="logistic"), "counts must be whole numbers"),
        (lambda: m.fit_psychometric([1, 1], [1, 2], [2, 2], shape="logistic"), "two or more different levels"),
        (lambda: m.fit_psychometric([1, 2], [2, 2], [2, 2], shape="logistic"), "different between levels"),
        (lambda: m.fit_psychometric([1, 2], [1], [2, 2], shape="logistic"), "must be of one length"),
        (lambda: m.fit_psychometric([-1, 2], [1, 2], [2, 2], shape="weibull"), "0 or more for a Weibull"),
        (lambda: m.fit_psychometric([1, np.nan], [1, 2], [2, 2], shape="logistic"), "x must be finite"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_seed_is_asked_for():
    with pytest.raises(TypeError, match=r"rng must be an int or a numpy\.random\.Generator, got None"):
        m.score_interval(X, X, rng=None)


def test_the_percentage_of_a_threshold_is_asked_for():
    f = m.PsychometricFunction("logistic", location=1.0, spread=0.2)
    with pytest.raises(TypeError, match="percent_correct"):
        f.threshold()
    for bad in (0.75, 50, 100):
        with pytest.raises(ValueError, match=r"percent_correct must be a percentage above 50 .* Give percent, such as"):
            f.threshold(percent_correct=bad)


def test_a_location_outside_the_levels_is_said():
    fit = m.fit_psychometric([1, 2, 3], [50, 51, 54], [100] * 3, shape="cumulative_normal", lapse=0.0)
    assert not fit.in_range


def test_intervals_are_the_same_for_the_same_seed():
    first, second = (m.score_interval(X, X + 1, rng=4) for _ in range(2))
    assert first == second
    assert m.score_interval(torch.as_tensor(X), torch.as_tensor(X + 1), rng=4)[:3] == pytest.approx(first[:3])


def test_extreme_rates_are_infinite_and_the_loglinear_rate_is_not():
    assert np.isposinf(m.dprime_yes_no(np.array(1.0), np.array(0.5)))
    rates = m.loglinear_rate(np.array([20, 0]), np.array([20, 20]))
    assert np.isfinite(m.dprime_yes_no(rates[:1], rates[1:])).all()


def test_stack_repeats_keeps_the_order():
    trials, names = m.stack_repeats(X[:4], ["b", "a", "b", "b"])
    assert names == ["b", "a"]
    assert trials.shape == (3, 2, 5)
    np.testing.assert_array_equal(trials[:, 0], X[[0, 2, 3]])
    assert np.isnan(trials[1:, 1]).all()
    with pytest.raises(ValueError, match="labels must be one for each of the 4 rows"):
        m.stack_repeats(X[:4], ["a"])
