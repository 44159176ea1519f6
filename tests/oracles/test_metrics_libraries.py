"""Every metric against the library that the field already uses for it."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import sklearn.metrics
import torch
from pytorch_msssim import ms_ssim as msssim_ms_ssim
from pytorch_msssim import ssim as msssim_ssim
from scipy.spatial.distance import pdist
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from neuroperc import metrics as m


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 9))
    return x, 0.6 * x + rng.normal(size=x.shape)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    coarse = torch.as_tensor(rng.random((2, 3, 24, 24)))
    one = torch.nn.functional.interpolate(coarse, size=(177, 190), mode="bilinear")
    return one, (one + 0.1 * torch.as_tensor(rng.normal(size=one.shape))).clip(0, 1)


def test_pearson_and_spearman(columns):
    x, y = columns
    ties = np.round(x), np.round(y)
    for i in range(x.shape[1]):
        assert m.pearson(x, y)[i] == pytest.approx(scipy.stats.pearsonr(x[:, i], y[:, i])[0], abs=1e-13)
        expected = scipy.stats.spearmanr(ties[0][:, i], ties[1][:, i])[0]
        assert m.spearman(*ties)[i] == pytest.approx(expected, abs=1e-13)


def test_omitted_rows_are_those_of_the_column(columns):
    x, y = (v.copy() for v in columns)
    x[::7, 2], y[3, 2], y[:5, 4] = np.nan, np.nan, np.nan
    for ours, theirs in ((m.pearson, scipy.stats.pearsonr), (m.spearman, scipy.stats.spearmanr)):
        found = ours(x, y, nan_policy="omit")
        for i in range(x.shape[1]):
            ok = ~np.isnan(x[:, i] + y[:, i])
            assert found[i] == pytest.approx(theirs(x[ok, i], y[ok, i])[0], abs=1e-13)


def test_r2_and_explained_variance(columns):
    x, y = columns
    np.testing.assert_allclose(m.r2(x, y), sklearn.metrics.r2_score(y, x, multioutput="raw_values"), rtol=1e-12)
    expected = sklearn.metrics.explained_variance_score(y, x, multioutput="raw_values")
    np.testing.assert_allclose(m.explained_variance(x, y), expected, rtol=1e-12)


def test_partial_correlation_is_the_correlation_of_residuals(columns):
    x, y = columns
    given = [np.roll(x, 1, axis=1), np.roll(y, 2, axis=1)]
    found = m.partial_correlation(x, y, given)
    for i in range(x.shape[1]):
        design = np.column_stack([np.ones(len(x)), *(g[:, i] for g in given)])
        rest = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x[:, i], y[:, i])]
        assert found[i] == pytest.approx(scipy.stats.pearsonr(*rest)[0], abs=1e-12)


@pytest.mark.parametrize("metric", ["correlation", "euclidean"])
def test_rdm_is_scipys_pdist(columns, metric):
    x = columns[0] + 100
    np.testing.assert_allclose(m.rdm_vector(m.rdm(x, metric=metric)), pdist(x, metric), rtol=1e-9)


def test_rdm_crossnobis_and_comparisons_are_rsatoolbox(columns):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import rsatoolbox
    x, y = columns
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sets = [rsatoolbox.data.Dataset(v) for v in (x, y)]
        theirs = [rsatoolbox.rdm.calc_rdm(s, method="correlation") for s in sets]
        for method, name in (("spearman", "spearman"), ("pearson", "corr"), ("cosine", "cosine")):
            found = m.rdm_agreement(m.rdm(x), m.rdm(y), method=method)
            assert found == pytest.approx(rsatoolbox.rdm.compare(*theirs, method=name).item(), abs=1e-10)
        folds = np.random.default_rng(2).normal(size=(3, 6, 5)) + np.arange(6)[:, None]
        described = {"stimulus": np.tile(np.arange(6), 3), "fold": np.repeat(np.arange(3), 6)}
        data = rsatoolbox.data.Dataset(folds.reshape(18, 5), obs_descriptors=described)
        expected = rsatoolbox.rdm.calc_rdm(data, method="crossnobis", descriptor="stimulus", cv_descriptor="fold")
    np.testing.assert_allclose(m.rdm_vector(m.rdm(x)), theirs[0].dissimilarities[0], rtol=1e-10)
    np.testing.assert_allclose(m.rdm_vector(m.crossnobis(folds)), expected.dissimilarities[0], rtol=1e-10)


def test_hsic_and_cka_by_their_formulas(columns):
    x, y = columns
    n = len(x)
    k, z = x @ x.T, y @ y.T
    centring = np.eye(n) - 1 / n
    biased = np.trace(k @ centring @ z @ centring) / (n - 1) ** 2
    np.fill_diagonal(k, 0)
    np.fill_diagonal(z, 0)
    one = np.ones(n)
    unbiased = (
        np.trace(k @ z) + (one @ k @ one) * (one @ z @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ z @ one
    )
    assert m.hsic(x, y) == pytest.approx(unbiased / (n * (n - 3)), rel=1e-10)
    assert m.hsic(x, y, unbiased=False) == pytest.approx(biased, rel=1e-10)
    expected = np.linalg.norm(x.T @ centring @ y) ** 2
    expected /= np.linalg.norm(x.T @ centring @ x) * np.linalg.norm(y.T @ centring @ y)
    assert m.cka(x, y, unbiased=False) == pytest.approx(expected, rel=1e-10)


def test_ssim_is_scikit_images(pictures):
    a, b = (v.numpy() for v in pictures)
    for i in range(2):
        expected, everywhere = structural_similarity(
            a[i], b[i], data_range=1, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            full=True,
        )  # fmt: skip
        assert m.ssim(a, b, data_range=1)[i] == pytest.approx(expected, abs=1e-12)
        inner = everywhere[:, 5:-5, 5:-5]
        np.testing.assert_allclose(m.ssim_map(a[i], b[i], data_range=1), inner, atol=1e-12)
    expected = peak_signal_noise_ratio(a[0], b[0], data_range=1)
    assert m.psnr(a[0], b[0], data_range=1) == pytest.approx(expected, abs=1e-10)


def test_ssim_and_ms_ssim_are_pytorch_msssims(pictures):
    a, b = pictures
    ours, theirs = m.ssim(a, b, data_range=1), msssim_ssim(a, b, data_range=1, size_average=False)
    torch.testing.assert_close(ours, theirs, atol=3e-6, rtol=0)
    # Its window is float32, which is where these 1e-6 come from.
    # On even sizes only: at odd ones that package pads the pyramid with zeros.
    a, b = a[..., :176, :176], b[..., :176, :176]
    ours, theirs = m.ms_ssim(a, b, data_range=1), msssim_ms_ssim(a, b, data_range=1, size_average=False)
    torch.testing.assert_close(ours, theirs, atol=3e-6, rtol=0)


def test_ssim_is_plenoptics(pictures):
    from plenoptic.metric import ssim

    a, b = (v.float() for v in pictures)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ssim(a, b).mean(-1)
    torch.testing.assert_close(m.ssim(a, b, data_range=1), expected, atol=2e-6, rtol=0)


def test_two_way_identification_is_the_double_loop(columns):
    x, y = columns
    r = np.corrcoef(x, y)[: len(x), len(x) :]
    wins = [[r[i, i] > r[i, j] for j in range(len(x)) if j != i] for i in range(len(x))]
    np.testing.assert_allclose(m.two_way_identification(x, y), np.mean(wins, axis=1))


def test_top_k_is_sklearns(columns):
    x, y = columns
    score = sklearn.metrics.pairwise.cosine_similarity(x, y)
    for k in (1, 5):
        expected = sklearn.metrics.top_k_accuracy_score(np.arange(len(x)), score, k=k)
        assert m.top_k_retrieval(x, y, k=k).mean() == pytest.approx(expected)


@pytest.mark.parametrize("shape", ["weibull", "logistic", "cumulative_normal"])
def test_psychometric_shapes_are_scipys_distributions(shape):
    f = m.PsychometricFunction(shape, location=1.5, spread=0.4, lapse=0.05, n_alternatives=3)
    x = np.linspace(0, 4, 30)
    oracle = {
        "weibull": scipy.stats.weibull_min(1 / 0.4, scale=1.5),
        "logistic": scipy.stats.logistic(1.5, 0.4),
        "cumulative_normal": scipy.stats.norm(1.5, 0.4),
    }[shape]
    expected = 0.95 * (1 / 3 + 2 / 3 * oracle.cdf(x)) + 0.05 / 3
    np.testing.assert_allclose(f(x), expected, atol=1e-12)
    assert f.threshold(percent_correct=80) == pytest.approx(oracle.ppf((0.8 - 1 / 3) * 1.5), rel=1e-12)


@pytest.mark.parametrize("shape", ["weibull", "logistic", "cumulative_normal"])
def test_no_optimiser_finds_a_greater_likelihood(shape):
    x, n = np.linspace(0.5, 4, 7), np.full(7, 60)
    truth = m.PsychometricFunction("cumulative_normal", location=2.0, spread=0.7, lapse=0.02)
    for seed in range(4):
        k = np.random.default_rng(seed).binomial(n, truth(x))

        def cost(v, k=k):
            p = m.PsychometricFunction(shape, *np.exp(v), lapse=0.02)(x)
            return -(k * np.log(p) + (n - k) * np.log1p(-p)).sum()

        options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 2000}
        theirs = scipy.optimize.minimize(cost, np.log([2, 0.5]), method="Nelder-Mead", options=options)
        ours = m.fit_psychometric(x, k, n, shape=shape, lapse=0.02)
        assert -ours.log_likelihood <= theirs.fun + 1e-5


def test_dprime_yes_no_is_scipys_normal():
    h, f = np.array([0.9, 0.6]), np.array([0.2, 0.3])
    z = scipy.stats.norm.ppf
    np.testing.assert_allclose(m.dprime_yes_no(h, f), z(h) - z(f), rtol=1e-12)
    np.testing.assert_allclose(m.criterion_yes_no(h, f), -(z(h) + z(f)) / 2, rtol=1e-12)


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(size=40)
    found = m.mean_interval(values, n_resamples=20_000, rng=0)
    expected = scipy.stats.t.interval(0.95, 39, values.mean(), scipy.stats.sem(values))
    np.testing.assert_allclose(found[1:3], expected, atol=0.02)


@pytest.mark.parametrize(("n_repeats", "few"), [(1, False), (2, False), (1, True)])
def test_an_interval_with_missing_rows_is_a_loop_over_resamples(n_repeats, few):
    """Rows drawn again, one neuroid after the other, each with the rows that it has; SciPy's r, NumPy's median.

    Where a neuroid has few rows, some resamples hold two different ones: a line, of which any r is 1 or -1.
    """
    rng = np.random.default_rng(3)
    n, p = 40, 7
    target = rng.normal(size=(n, p))
    predicted = target + rng.normal(size=(n, p))
    for j in range(p):
        target[5 * j : 5 * j + 6, j] = np.nan
    predicted[rng.random((n, p)) < 0.1] = np.nan
    if few:
        predicted[:, :4], target[:, :4] = rng.normal(size=(2, n, 4))
        target[5:, :4] = np.nan
    groups = np.repeat(np.arange(n // n_repeats), n_repeats)
    found = m.score_interval(predicted, target, groups=groups, rule="r", how="median", n_resamples=60,
                             nan_policy="omit", rng=5)  # fmt: skip
    again, drawn = np.random.default_rng(5), [[], []]
    n_groups = n // n_repeats
    weights = again.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=60)
    units = again.integers(p, size=(60, p))
    for weight, chosen in zip(weights, units, strict=True):
        rows = np.repeat(np.arange(n), weight[groups])
        r = np.array([present_r(predicted[rows, j], target[rows, j]) for j in range(p)])
        drawn[0].append(np.nanmedian(r[chosen]))
        drawn[1].append(np.nanmedian(r))
    estimate = np.median([present_r(predicted[:, j], target[:, j]) for j in range(p)])
    ends = np.quantile(np.array(drawn[0]) - np.mean(drawn[0]), [0.025, 0.975]) + 2 * estimate - np.mean(drawn[1])
    np.testing.assert_allclose(found[:3], [estimate, *ends], atol=1e-12)


def present_r(x, y):
    there = np.isfinite(x) & np.isfinite(y)
    if len(np.unique(x[there])) < 3:
        return np.nan
    return scipy.stats.pearsonr(x[there], y[there]).statistic
