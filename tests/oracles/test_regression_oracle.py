"""PLS, ridge and their cross-validation against scikit-learn, himalaya and the definition written out."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge
from sklearn.linear_model import RidgeCV as SklearnRidgeCV
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from neuroperc.metrics import explained_variance, r2
from neuroperc.regression import PLS, BandedRidge, RidgeCV, _leaving, cross_predict, himalaya_backend, shuffle_splits

ALPHAS = [0.1, 1.0, 10.0, 100.0, 1000.0]


def simulated(n, p, t, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 15)) * np.geomspace(3, 0.3, 15)
    x = latent @ rng.normal(size=(15, p)) + rng.normal(size=(n, p)) + 5
    y = latent @ rng.normal(size=(15, t)) + rng.normal(size=(n, t)) - 2
    return x, (y - y.mean(0)) / y.std(0)


@pytest.mark.parametrize(("n", "p", "t"), [(150, 40, 9), (60, 400, 9), (60, 400, 1), (40, 30, 90)])
def test_pls_is_scikit_learns_run_to_convergence(n, p, t):
    x, y = simulated(n, p, t)
    new = simulated(25, p, t, seed=1)[0]
    for k in (1, 4, 12):
        ours = PLS(k).fit(x, y)
        peer = PLSRegression(k, scale=False, tol=1e-15, max_iter=200_000).fit(x, y)
        np.testing.assert_allclose(ours.predict(new), peer.predict(new).reshape(-1, t), atol=1e-4)
        np.testing.assert_allclose(ours.coef_, peer.coef_.reshape(t, p), atol=1e-5)


def test_pls_with_every_component_is_least_squares():
    x, y = simulated(80, 10, 3)
    design = np.column_stack([np.ones(80), x])
    exact = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(PLS(10).fit(x, y).predict(x), exact, atol=1e-10)


@pytest.mark.parametrize(("n", "p"), [(60, 20), (40, 300)])
def test_leave_one_out_is_the_refitted_one(n, p):
    x, y = simulated(n, p, 4)
    error = np.zeros((len(ALPHAS), n, 4))
    for i in range(n):
        rest = np.arange(n) != i
        for j, alpha in enumerate(ALPHAS):
            error[j, i] = (y[i] - Ridge(alpha).fit(x[rest], y[rest]).predict(x[[i]])[0]) ** 2
    mean = error.mean(axis=1)
    found = RidgeCV(ALPHAS).fit(x, y)
    np.testing.assert_allclose(-found.best_score_, mean.min(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(found.alpha_, np.array(ALPHAS)[mean.argmin(axis=0)])
    shared = RidgeCV(ALPHAS, alpha_per_target=False).fit(x, y)
    assert set(shared.alpha_) == {ALPHAS[mean.mean(axis=1).argmin()]}


@pytest.mark.parametrize("few", [1, 64])
@pytest.mark.parametrize("size", [3, 14])
@pytest.mark.parametrize(("n", "p"), [(60, 20), (42, 300)])
def test_leaving_groups_out_is_the_refitted_one(n, p, size, few, monkeypatch):
    monkeypatch.setattr(_leaving, "_FEW_ROWS", few)  # one after the other, and side by side
    x, y = simulated(n, p, 3)
    groups = np.arange(n) // size
    groups[: size + 1] = 0  # groups of different sizes
    error = np.zeros((len(ALPHAS), n, 3))
    for g in np.unique(groups):
        out = groups == g
        for j, alpha in enumerate(ALPHAS):
            error[j, out] = (y[out] - Ridge(alpha).fit(x[~out], y[~out]).predict(x[out])) ** 2
    found = RidgeCV(ALPHAS).fit(x, y, groups=groups)
    np.testing.assert_allclose(-found.best_score_, error.mean(axis=1).min(axis=0), rtol=1e-9)


@pytest.mark.parametrize(("n", "p"), [(90, 20), (50, 400)])
def test_ridge_is_scikit_learn_and_the_closed_form(n, p):
    x, y = simulated(n, p, 6)
    ours = RidgeCV(ALPHAS).fit(x, y)
    peer = SklearnRidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)
    np.testing.assert_array_equal(ours.alpha_, peer.alpha_)
    np.testing.assert_allclose(ours.predict(x), peer.predict(x), atol=1e-8)
    centred = x - x.mean(0)
    for column, alpha in enumerate(ours.alpha_):
        weights = np.linalg.solve(
            centred.T @ centred + alpha * np.eye(p), centred.T @ (y[:, column] - y[:, column].mean())
        )
        np.testing.assert_allclose(ours.coef_[column], weights, atol=1e-8)


def test_ridge_is_himalayas():
    from himalaya.ridge import RidgeCV as HimalayaRidgeCV

    x, y = simulated(80, 30, 5)
    one = RidgeCV([10.0]).fit(x, y)
    with himalaya_backend("numpy"):
        peer = HimalayaRidgeCV(alphas=[10.0], fit_intercept=True, cv=3).fit(x, y)
        np.testing.assert_allclose(one.predict(x), peer.predict(x), atol=1e-6)


def test_one_band_is_ridge():
    x, y = simulated(80, 30, 5)
    banded = BandedRidge(alphas=[10.0], n_iter=1, random_state=0).fit(x, y)
    np.testing.assert_allclose(banded.predict(x), RidgeCV([10.0]).fit(x, y).predict(x), atol=1e-6)


@pytest.mark.parametrize(
    "groups", [None, np.arange(60) // 3, np.arange(60) // 12, np.r_[np.zeros(4), np.arange(1, 57)]]
)
@pytest.mark.parametrize("p", [20, 59, 500])
def test_ridge_by_torch_is_numpys(p, groups, monkeypatch):
    x, y = simulated(60, p, 150)
    alphas = np.logspace(-1, 3, 7)
    y[:2, 3] = np.nan
    here = RidgeCV(alphas).fit(x, y, groups=groups)
    monkeypatch.setitem(_leaving._BATCH_BYTES, True, 1)  # 64 targets at a time
    monkeypatch.setattr(_leaving, "_MAKER_BYTES", 1)  # and one penalty
    monkeypatch.setattr(_leaving, "_FEW_ROWS", 1)
    there = RidgeCV(alphas, device="cpu").fit(x, y, groups=groups)
    np.testing.assert_array_equal(there.alpha_, here.alpha_)
    for name in ("coef_", "intercept_", "best_score_"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=1e-10, err_msg=name)
    np.testing.assert_allclose(there.predict(x), here.predict(x), atol=1e-10)
    single = (RidgeCV(alphas, device=d).fit(x.astype("f4"), y.astype("f4")).coef_ for d in (None, "cpu"))
    np.testing.assert_allclose(*single, atol=2e-4)


def two_bands(n=300, seed=0):
    """Ten features and thirty that correlate with them; a third of the 30 targets follow each band, a third both."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, 10)) + 2
    second = first @ rng.normal(size=(10, 30)) / 10 + rng.normal(size=(n, 30))
    ours, theirs = first @ rng.normal(size=(10, 30)) / 3, second @ rng.normal(size=(30, 30)) / 6
    ours[:, 10:20] = theirs[:, :10] = 0
    return np.hstack([first, second]), ours + theirs + 0.7 * rng.normal(size=(n, 30)) - 5


def test_two_bands_and_their_shares_are_himalayas():
    from himalaya.ridge import GroupRidgeCV
    from himalaya.scoring import r2_score_split

    x, y = two_bands()
    fit, test = np.arange(200), np.arange(200, 300)
    folds = [(np.flatnonzero(fit % 4 != k), np.flatnonzero(fit % 4 == k)) for k in range(4)]
    ours = BandedRidge((10, 30), alphas=ALPHAS, n_iter=15, cv=folds, random_state=3).fit(x[fit], y[fit])
    peer = GroupRidgeCV([0] * 10 + [1] * 30, cv=folds, random_state=3, fit_intercept=True,
                        solver_params={"alphas": np.array(ALPHAS), "n_iter": 15, "progress_bar": False})  # fmt: skip
    with himalaya_backend("numpy"):
        peer.fit(x[fit], y[fit])
        np.testing.assert_allclose(ours.predict(x[test]), peer.predict(x[test]), atol=1e-8)
        np.testing.assert_allclose(ours.deltas_, peer.deltas_, atol=1e-8)
        at = (x[test] - x[test].mean(0)).T
        parts = np.stack([at[:10].T @ peer.coef_[:10], at[10:].T @ peer.coef_[10:]])
        expected = r2_score_split(y[test] - y[test].mean(0), parts)
    np.testing.assert_allclose(ours.split_r2(x[test], y[test]), expected, atol=1e-10)


def test_a_band_wider_than_rows_is_himalayas_and_a_weighted_kernels(monkeypatch):
    from himalaya.kernel_ridge import WeightedKernelRidge
    from himalaya.ridge import GroupRidgeCV

    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 210)) + 3
    y = x[:, :5] @ rng.normal(size=(5, 4)) + 0.3 * x[:, 100:110] @ rng.normal(size=(10, 4)) + rng.normal(size=(50, 4))
    fit, new = slice(0, 40), slice(40, 50)
    widths = []  # of what himalaya is given
    given = GroupRidgeCV.fit
    monkeypatch.setattr(GroupRidgeCV, "fit", lambda self, x, y: widths.append(x.shape[1]) or given(self, x, y))
    ours = BandedRidge((10, 200), alphas=ALPHAS, n_iter=20, cv=4, random_state=3).fit(x[fit], y[fit])
    assert widths == [10 + 39]
    options = {"alphas": np.array(ALPHAS), "n_iter": 20, "progress_bar": False, "warn": False}
    peer = GroupRidgeCV([0] * 10 + [1] * 200, cv=4, random_state=3, fit_intercept=True, solver_params=options)
    a, b, mean = x[fit] - x[fit].mean(0), x[new] - x[fit].mean(0), y[fit].mean(0)
    kernels, across = ([rows[:, :10] @ a[:, :10].T, rows[:, 10:] @ a[:, 10:].T] for rows in (a, b))
    with himalaya_backend("numpy"):
        peer.fit(x[fit], y[fit])
        np.testing.assert_allclose(ours.deltas_, peer.deltas_, atol=1e-8)
        np.testing.assert_allclose(ours.predict(x[new]), peer.predict(x[new]), atol=1e-8)
        dual = WeightedKernelRidge(1.0, ours.deltas_, "precomputed", solver_params={"tol": 1e-10, "max_iter": 100_000})
        said = dual.fit(np.stack(kernels), y[fit] - mean).predict(np.stack(across)) + mean
    np.testing.assert_allclose(ours.predict(x[new]), said, atol=1e-5)
    assert ours.coef_.shape == (4, 210)


def test_a_wide_band_without_variance_is_still_a_band():
    rng = np.random.default_rng(0)
    x = np.hstack([np.ones((30, 50)), rng.normal(size=(30, 4))])
    y = x[:, -4:] @ rng.normal(size=(4, 3))
    found = BandedRidge((50, 4), alphas=[0.01], n_iter=5, random_state=0).fit(x, y)
    assert found.deltas_.shape == (2, 3) and found.coef_.shape == (3, 54)
    assert np.all(found.coef_[:, :50] == 0)
    np.testing.assert_allclose(found.split_r2(x, y)[0], 0, atol=1e-12)
    np.testing.assert_allclose(found.predict(x), y, atol=0.05)


def test_shares_of_bands_add_up_to_what_the_whole_explains():
    x, y = two_bands()
    y[:, 4] = 3.0
    model = BandedRidge((10, 25, 5), alphas=ALPHAS, n_iter=5, random_state=0).fit(x[:200], y[:200])
    for rows in (slice(0, 200), slice(200, 300)):
        whole = explained_variance(model.predict(x[rows]), y[rows])
        np.testing.assert_allclose(model.split_r2(x[rows], y[rows]).sum(0), whole, atol=1e-12)
    np.testing.assert_allclose(model.split_r2(x[:200], y[:200]).sum(0), r2(model.predict(x[:200]), y[:200]), atol=1e-9)
    one = BandedRidge((10, 25, 5), alphas=ALPHAS, n_iter=5, random_state=0).fit(x[:200], y[:200, 7])
    np.testing.assert_allclose(one.split_r2(x, y[:, 7]), model.split_r2(x, y)[:, 7], atol=1e-10)
    assert np.isnan(model.split_r2(x, y)[:, 4]).all()


def test_planted_bands_are_found_in_the_targets_that_follow_them():
    x, y = two_bands(900)
    first, second = BandedRidge((10, 30), n_iter=60, random_state=0).fit(x[:600], y[:600]).split_r2(x[600:], y[600:])
    assert (abs(second[:10]) < 0.05).all() and (first[:10] > 0.4).all()
    assert (abs(first[10:20]) < 0.05).all() and (second[10:20] > 0.3).all()
    assert (np.minimum(first, second)[20:] > 0.1).all()


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(("n", "p"), [(90, 20), (60, 500)])
def test_one_rotation_serves_every_split(n, p, device):
    x, y = simulated(n, p, 5)
    y[:12, 2] = np.nan
    y[30:34, 3] = np.nan
    splits = shuffle_splits(range(n), n_splits=4)
    pls = cross_predict(x, y, splits=splits, n_components=6, device=device)
    ridge = cross_predict(x, y, splits=splits, estimator="ridge", alphas=ALPHAS, device=device)
    for i, (train, test) in enumerate(splits):
        there = ~np.isnan(y[test])
        expected = PLS(6).fit(x[train], y[train]).predict(x[test])
        np.testing.assert_allclose(pls.predictions[i][there], expected[there], atol=1e-9)
        assert np.isnan(pls.predictions[i][~there]).all()
        fitted = RidgeCV(ALPHAS).fit(x[train], y[train])
        np.testing.assert_allclose(ridge.predictions[i][there], fitted.predict(x[test])[there], atol=1e-9)
        np.testing.assert_array_equal(ridge.alphas[i], fitted.alpha_)


def test_groups_inside_the_training_fold():
    x, y = simulated(60, 200, 3)
    groups = np.repeat(np.arange(20), 3)
    splits = shuffle_splits(groups, n_splits=3, test_share=0.2)
    found = cross_predict(x, y, splits=splits, estimator="ridge", alphas=ALPHAS, groups=groups)
    for i, (train, test) in enumerate(splits):
        fitted = RidgeCV(ALPHAS).fit(x[train], y[train], groups=groups[train])
        np.testing.assert_array_equal(found.alphas[i], fitted.alpha_)
        np.testing.assert_allclose(found.predictions[i], fitted.predict(x[test]), atol=1e-9)


def test_splits_are_brain_scores():
    kinds = np.repeat(["face", "car"], 30)
    ours = shuffle_splits(range(60), stratify=kinds, rng=1)
    theirs = StratifiedShuffleSplit(10, test_size=0.1, random_state=1).split(np.zeros(60), kinds)
    plain = ShuffleSplit(10, test_size=0.1, random_state=1).split(np.zeros(60))
    for (_, mine), (_, peer) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, np.sort(peer))
    for (_, mine), (_, peer) in zip(shuffle_splits(range(60)), plain, strict=True):
        np.testing.assert_array_equal(mine, np.sort(peer))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_spread_of_a_split_is_that_of_its_fitted_values(device):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 90))
    y = x[:, :4] @ rng.normal(size=(4, 5)) + rng.normal(size=(60, 5))
    y[:10, 2] = np.nan
    splits = shuffle_splits(range(60), n_splits=3)
    for estimator, model in (("ridge", RidgeCV()), ("pls", PLS(5))):
        held = cross_predict(x, y, splits=splits, estimator=estimator, n_components=5, device=device)
        for i, (train, _) in enumerate(splits):
            for columns, rows in (([0, 1, 3, 4], train), ([2], train[train >= 10])):
                fitted = np.asarray(model.fit(x[rows], y[np.ix_(rows, columns)]).predict(x[rows]))
                np.testing.assert_allclose(held.spread[i, columns], fitted.reshape(len(rows), -1).std(0), rtol=1e-8)
