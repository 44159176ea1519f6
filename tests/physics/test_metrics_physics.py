"""The numbers that the conventions promise, and laws that hold whatever the code."""

import numpy as np
import pytest

from neuroperc import metrics as m

SIGNAL, NOISE, N = 1.0, 2.0, 4


@pytest.fixture(scope="module")
def trials():
    """Four repeats of single-trial signal variance 1 and noise variance 2."""
    rng = np.random.default_rng(0)
    shape = (N, 20_000, 6)
    return rng.normal(size=shape[1:]) * SIGNAL**0.5 + rng.normal(size=shape) * NOISE**0.5


def test_noise_ceiling_of_the_conventions(trials):
    found = m.noise_ceiling(trials)
    np.testing.assert_allclose(found.ncsnr.mean(), 0.7071, atol=0.006)
    np.testing.assert_allclose(found.at(4).value.mean(), 0.667, atol=0.006)
    np.testing.assert_allclose(found.n_repeats, 4)


def test_split_half_of_the_conventions(trials):
    np.testing.assert_allclose(m.split_half(trials, rng=0).value.mean(), 0.667, atol=0.006)
    np.testing.assert_allclose(m.split_half_correlation(trials, rng=0).mean(), 0.5, atol=0.006)


def test_explainable_variance_of_the_conventions(trials):
    found = m.explainable_variance(trials)
    np.testing.assert_allclose(found.n_repeats, 1)
    np.testing.assert_allclose(found.value.mean(), 0.333, atol=0.006)
    np.testing.assert_allclose(found.at(4).value.mean(), 0.667, atol=0.006)


def test_the_conversions_exactly():
    one = m.Reliability(np.array([1 / 3]), np.array([1.0]), "explainable_variance")
    np.testing.assert_allclose(one.ncsnr, 0.5**0.5, rtol=1e-14)
    np.testing.assert_allclose(one.at(4).value, 2 / 3, rtol=1e-14)
    np.testing.assert_allclose(one.at(4).at(7).at(1).value, 1 / 3, rtol=1e-14)
    np.testing.assert_allclose(m.spearman_brown(np.array(0.5)), 2 / 3, rtol=1e-14)


def test_estimators_agree_with_unequal_repeats(trials):
    holes = trials.copy()
    holes[2:, ::2] = np.nan
    n = 1 / np.mean([1 / 2, 1 / 4])
    for found in (m.noise_ceiling(holes), m.explainable_variance(holes)):
        np.testing.assert_allclose(found.at(4).value.mean(), 2 / 3, atol=0.012)
    np.testing.assert_allclose(m.noise_ceiling(holes).n_repeats, n)


def test_a_perfect_model_scores_one_and_its_negative_minus_one(trials):
    signal = np.random.default_rng(0).normal(size=trials.shape[1:])
    reliability = m.noise_ceiling(trials).value
    r = m.pearson(signal, trials.mean(0))
    np.testing.assert_allclose(m.normalized_score(r, reliability).mean(), 1, atol=0.01)
    np.testing.assert_allclose(m.normalized_score(-r, reliability).mean(), -1, atol=0.01)


def test_nothing_above_one_is_clipped():
    assert m.normalized_score(np.array([0.9]), 0.5).item() == pytest.approx(1.62)
    assert m.convert_reliability(np.array([1.1]), from_n=2, to_n=2).item() == pytest.approx(1.1)
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 5))
    assert m.score_interval(y, y, reliability=0.5, rng=0).estimate == pytest.approx(2)


def test_brainscore_rules_of_the_readme():
    raw = np.array([[0.22545]])
    assert m.brainscore(raw, 0.81580, rule="brainscore-2025").item() == pytest.approx(0.0764, abs=5e-5)
    assert m.brainscore(raw, 0.81580, rule="brainscore-2026").item() == pytest.approx(0.0623, abs=5e-5)


def test_r_ignores_gain_and_r2_does_not():
    y = np.random.default_rng(0).normal(size=(100, 3))
    np.testing.assert_allclose(m.pearson(2 * y + 1, y), 1)
    assert (m.r2(2 * y + 1, y) < 0).all()


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "euclidean"])
def test_chance_of_identification(similarity):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400, 20))
    assert m.two_way_identification(a, b, similarity=similarity).mean() == pytest.approx(0.5, abs=0.05)
    hits = m.top_k_retrieval(a, b, k=5, n_candidates=50, similarity=similarity)
    assert hits.mean() == pytest.approx(5 / 50, abs=0.03)
    same = np.broadcast_to(a[:1], a.shape)
    np.testing.assert_allclose(m.two_way_identification(same, same, similarity=similarity), 0.5)
    np.testing.assert_allclose(m.top_k_retrieval(same, same, k=3, similarity=similarity), 3 / 400, rtol=1e-9)


def test_random_pools_average_to_the_exact_retrieval():
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(60, 6))
    query = gallery + 1.5 * rng.normal(size=gallery.shape)
    exact = m.top_k_retrieval(query, gallery, k=2, n_candidates=10)
    drawn = np.zeros(60)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (query, gallery)]
    score = unit[0] @ unit[1].T
    for _ in range(1500):
        keys = rng.random((60, 60))
        np.fill_diagonal(keys, 2)
        pool = np.argsort(keys, axis=1)[:, :9]
        drawn += (np.take_along_axis(score, pool, 1) > score.diagonal()[:, None]).sum(1) < 2
    np.testing.assert_allclose(drawn / 1500, exact, atol=0.06)
    assert drawn.mean() / 1500 == pytest.approx(exact.mean(), abs=0.006)


D = np.array([0, 0.5, 1, 1.5, 2, 3, 4])


def test_abx_of_the_specification():
    expected = [0.5, 0.527275, 0.599656, 0.694410, 0.787651, 0.918510, 0.975017]
    np.testing.assert_allclose(m.abx_independent(D), expected, atol=6e-7)


def test_oddity_of_the_specification():
    expected = [1 / 3, 0.35583, 0.41805, 0.60481, 0.78143, 0.89766]
    np.testing.assert_allclose(m.oddity(D[[0, 1, 2, 4, 5, 6]]), expected, atol=6e-6)


def test_critical_scaling_of_the_specification():
    s = np.array([0.1, 0.25, 0.3, 0.4, 0.5, 0.75, 1])
    d = m.critical_scaling(s, critical=0.25, gain=5, convention="broderick")
    expected = [0.5, 0.5, 0.699822, 0.922565, 0.965842, 0.986051, 0.990004]
    np.testing.assert_allclose(m.abx_independent(d), expected, atol=6e-7)
    root = m.critical_scaling(s, critical=0.25, gain=5, convention="freeman")
    np.testing.assert_allclose(root**2, d, atol=1e-12)


def simulate(rule, d, n=400_000):
    """Play the task with Gaussian observations; return the proportion correct."""
    rng = np.random.default_rng(1)
    a, b, x = rng.normal(size=(3, n))
    b = b + d
    if rule == "two_afc":
        return np.mean(b > a)
    if rule == "yes_no":
        return (np.mean(a < d / 2) + np.mean(b > d / 2)) / 2
    if rule == "oddity":
        p = rng.normal(size=n)
        return np.mean((abs(a - p) < abs(b - a)) & (abs(a - p) < abs(b - p)))
    is_b = rng.random(n) < 0.5
    x = x + d * is_b
    criterion = d / 2 if rule == "abx_independent" else (a + b) / 2
    # X is B when it falls on the side of the interval that looked like B.
    return np.mean(((x > criterion) == (b > a)) == is_b)


@pytest.mark.parametrize("d", [0.7, 2.0])
@pytest.mark.parametrize("rule", ["two_afc", "yes_no", "abx_independent", "abx_differencing", "oddity"])
def test_observers_play_the_task(rule, d):
    assert getattr(m, rule)(np.array(d)).item() == pytest.approx(simulate(rule, d), abs=0.003)


@pytest.mark.parametrize("rule", ["two_afc", "yes_no", "abx_independent", "abx_differencing", "oddity"])
def test_dprime_undoes_the_observer(rule):
    observer = getattr(m, rule)
    alternatives = 3 if rule == "oddity" else 2
    seen = m.with_lapses(observer(D), lapse=0.04, n_alternatives=alternatives)
    found = m.dprime(seen, observer=observer, lapse=0.04, n_alternatives=alternatives)
    np.testing.assert_allclose(found, D, atol=1e-6)


@pytest.mark.parametrize("shape", ["weibull", "logistic", "cumulative_normal"])
def test_a_planted_psychometric_function_is_found(shape):
    truth = m.PsychometricFunction(shape, location=2.0, spread=0.5, lapse=0.03)
    x = np.linspace(0.5, 5, 9)
    n = np.full(9, 4000)
    fit = m.fit_psychometric(x, np.random.default_rng(0).binomial(n, truth(x)), n, shape=shape)
    assert fit.in_range
    assert fit.function.lapse == pytest.approx(0.03, abs=0.01)
    for percent in (60, 75, 90):
        expected = truth.threshold(percent_correct=percent)
        assert fit.function.threshold(percent_correct=percent) == pytest.approx(expected, abs=0.06)
    assert fit.deviance < 25  # chi-square with 6 degrees of freedom


def test_threshold_interval_covers():
    truth = m.PsychometricFunction("cumulative_normal", location=2.0, spread=0.7, lapse=0.02)
    x, n = np.linspace(0.5, 4, 7), np.full(7, 60)
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        fit = m.fit_psychometric(x, rng.binomial(n, truth(x)), n, shape="cumulative_normal", lapse=0.02)
        low, high = fit.threshold_interval(percent_correct=75, n_resamples=200, rng=rng)
        hits += low <= 2.0 <= high
    assert 88 <= hits <= 99


def covered(draw, truth, runs=500):
    """Count how often an interval holds the truth."""
    hits = 0
    for seed in range(runs):
        found = draw(np.random.default_rng(seed), seed + 10_000)  # streams of their own
        hits += found.low <= truth <= found.high
    return hits / runs


def test_coverage_of_a_mean_over_stimuli_and_neuroids():
    def draw(rng, seed):
        parts = 0.5 * rng.normal(size=(60, 1)), 0.3 * rng.normal(size=(1, 30)), rng.normal(size=(60, 30))
        return m.mean_interval(sum(parts), n_resamples=300, rng=seed)

    assert 0.93 <= covered(draw, 0.0) <= 0.97


def predictions(rng, gain, n=80, p=40):
    """Return gains, targets that share a part between neuroids, and noise, all of variance 1."""
    shared, own = rng.normal(size=(n, 1)), rng.normal(size=(n, p))
    return rng.uniform(*gain, size=p), (0.4 * shared + own) / 1.16**0.5, rng.normal(size=(n, p))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "truth"), [("r", 0.5), ("signed", 0.28)])
def test_coverage_of_a_score(rule, truth):
    def draw(rng, seed):
        gain, target, noise = predictions(rng, (0.2, 0.8))
        predicted = gain * target + np.sqrt(1 - gain**2) * noise
        return m.score_interval(predicted, target, rule=rule, n_resamples=400, rng=seed)

    assert 0.93 <= covered(draw, truth) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["sessions", "scattered", "few"])
def test_coverage_of_a_score_where_no_neuroid_saw_every_stimulus(shape):
    """Two sessions that share half of their stimuli, rows missing at random, or six stimuli for each neuroid."""

    def draw(rng, seed):
        gain, target, noise = predictions(rng, (0.2, 0.8), n=100)
        predicted = gain * target + np.sqrt(1 - gain**2) * noise
        if shape == "sessions":
            target[75:, :20] = target[:25, 20:] = np.nan
        elif shape == "few":
            target[rng.permuted(np.tile(np.arange(100), (40, 1)), axis=1).T >= 6] = np.nan
        else:
            target[rng.random(target.shape) < 0.25] = np.nan
        return m.score_interval(predicted, target, rule="r", n_resamples=400, nan_policy="omit", rng=seed)

    assert 0.93 <= covered(draw, 0.5) <= 0.97


@pytest.mark.slow
def test_coverage_of_a_difference():
    def draw(rng, seed):
        gain, target, noise = predictions(rng, (0.4, 0.8))
        other = 0.8 * noise + 0.6 * rng.normal(size=noise.shape)
        first = gain * target + np.sqrt(1 - gain**2) * noise
        second = (gain - 0.1) * target + np.sqrt(1 - (gain - 0.1) ** 2) * other
        return m.difference_interval(first, second, target, rule="r", n_resamples=400, rng=seed)

    assert 0.93 <= covered(draw, 0.1) <= 0.97


def test_pairing_narrows_the_difference():
    rng = np.random.default_rng(0)
    gain, target, noise = predictions(rng, (0.4, 0.8))
    first = gain * target + np.sqrt(1 - gain**2) * noise
    second = first + 0.1 * rng.normal(size=noise.shape)
    one = m.score_interval(first, target, rng=0)
    both = m.difference_interval(first, second, target, rng=0)
    assert both.high - both.low < 0.4 * (one.high - one.low)
    assert m.difference_interval(first, first, target, rng=0)[:3] == (0, 0, 0)


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=50), 8)
    rows = m.mean_interval(values, rng=0)
    groups = m.mean_interval(values, groups=np.repeat(np.arange(50), 8), rng=0)
    assert (groups.high - groups.low) / (rows.high - rows.low) == pytest.approx(8**0.5, rel=0.15)
    assert groups.n_groups == 50
