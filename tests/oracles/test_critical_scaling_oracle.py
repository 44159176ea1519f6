"""The likelihood against metrics' own functions, the fit and its limits against scipy.optimize, slopes."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binom, chi2

from neuroperc import metamers as mm
from neuroperc import metrics
from neuroperc.metamers.discrimination._likelihood import OBSERVERS, Curve, grid_profile

SCALING = np.geomspace(0.063, 0.27, 8)


def p_of(observer, convention, s0, gain, lapse):
    d = metrics.critical_scaling(SCALING, critical=s0, gain=gain, convention=convention)
    alternatives = 3 if observer == "oddity" else 2
    return metrics.with_lapses(getattr(metrics, observer)(d), lapse=lapse, n_alternatives=alternatives)


def cost_of(theta, counts, observer, convention):
    s0, gain = np.exp(np.clip(theta[:2], -9, 7))
    p = np.clip(p_of(observer, convention, s0, gain, 0.06 / (1 + np.exp(-theta[2]))), 1e-9, 1 - 1e-9)
    return -binom.logpmf(counts, 36, p).sum() + binom.logpmf(counts, 36, counts / 36).sum()


@pytest.mark.parametrize("convention", ["broderick", "freeman"])
@pytest.mark.parametrize("observer", OBSERVERS)
def test_the_curve_is_that_of_metrics(observer, convention):
    counts = np.arange(18, 34, 2)
    fit = mm.fit_critical_scaling(SCALING, counts, 36, observer=observer, convention=convention, interval="profile")
    expected = p_of(observer, convention, float(fit.critical), float(fit.gain), float(fit.lapse))
    np.testing.assert_allclose(fit.proportion_correct(SCALING), expected, atol=1e-9)
    assert float(fit.log_likelihood) == pytest.approx(
        (counts * np.log(expected) + (36 - counts) * np.log1p(-expected)).sum(), abs=1e-7
    )


def test_the_vector_of_the_specification():
    s = np.array([0.3, 0.4, 0.5, 0.75, 1.0])
    p = Curve(s, "abx_independent", "broderick", (0, 0)).p(np.log(0.25), np.log(5), 0.0)
    np.testing.assert_allclose(p, [0.699822, 0.922565, 0.965842, 0.986051, 0.990004], atol=6e-7)


@pytest.mark.parametrize("convention", ["broderick", "freeman"])
@pytest.mark.parametrize("observer", OBSERVERS)
def test_slopes_are_those_of_finite_differences(observer, convention):
    curve, at, step = Curve(SCALING, observer, convention, (0.0, 0.06)), np.array([np.log(0.1), 1.2, 0.4]), 1e-6
    _, slopes = curve.slopes(*at)
    for i in range(3):
        high, low = (curve.p(*(at + sign * step * np.eye(3)[i])) for sign in (1, -1))
        np.testing.assert_allclose(slopes[:, i], (high - low) / (2 * step), atol=2e-6)


@pytest.mark.parametrize(("observer", "convention"), [("abx_independent", "broderick"), ("dual_pair", "freeman")])
def test_no_optimizer_finds_more_likelihood(observer, convention):
    options = {"observer": observer, "convention": convention}
    counts = mm.simulate_critical_scaling(SCALING, critical=[0.12] * 3, gain=4, n_trials=36, rng=4, **options)
    fit = mm.fit_critical_scaling(SCALING, counts, 36, interval="profile", **options)
    for i, row in enumerate(counts):
        starts = [(np.log(a), b, -1.0) for a in (0.09, 0.13) for b in (1.0, 2.0)]
        runs = [minimize(cost_of, start, (row, observer, convention), method="Nelder-Mead") for start in starts]
        best = min(run.fun for run in runs)
        assert fit.deviance[i] / 2 <= best + 1e-4
        # At a closed limit the likelihood, maximised over the rest, has fallen by half a chi-square quantile.
        for limit, outwards in ((fit.low[i], -1), (fit.high[i], 1)):
            if not 0 < limit < np.inf:
                continue
            falls = []
            for shift in (-0.004, 0.004):
                place = np.log(limit) + shift * outwards
                nuisance = [
                    minimize(lambda x, c=row, at=place: cost_of((at, *x), c, observer, convention), (b, -1.0),
                             method="Nelder-Mead").fun
                    for b in (0.5, 2.0, 5.0)
                ]  # fmt: skip
                falls.append(min(nuisance) - fit.deviance[i] / 2)
            assert falls[0] < chi2.ppf(0.95, 1) / 2 < falls[1]


def test_the_calibration_grid_is_a_profile():
    rng = np.random.default_rng(0)
    curve = Curve(SCALING, "abx_independent", "broderick", (0.03, 0.03))
    counts = rng.binomial(36, curve.p(np.log(0.12), np.log(4), 0.0), (5, 8))
    nodes = np.log([0.09, 0.12, 0.16])
    fine = np.linspace(-2.5, 5.5, 20001)
    grid = grid_profile(curve, counts, np.full(8, 36.0), nodes)
    for i, row in enumerate(counts):
        for j, node in enumerate(nodes):
            p = curve.p(node, fine[:, None], 0.0)
            exact = (-(row * np.log(p) + (36 - row) * np.log1p(-p)).sum(axis=1)).min()
            assert grid[i, j] == pytest.approx(exact, abs=0.03)
