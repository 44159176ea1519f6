"""Estimators obey scikit-learn, bad input is told what to do, ranks run out quietly, himalaya's backend is put back."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from himalaya.backend import get_backend
from sklearn.utils.estimator_checks import check_estimator

from neuroperc import regression
from neuroperc.regression import PLS, BandedRidge, RidgeCV, cross_predict, himalaya_backend, rotate, shuffle_splits


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 60)), rng.normal(size=(40, 5))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model", [PLS(1), RidgeCV([0.1, 1.0]), BandedRidge(n_iter=2, alphas=(0.1, 1.0), cv=2)], ids=str
)
def test_scikit_learns_own_checks(model):
    few = {"check_fit2d_1sample": "needs two rows"}
    few |= {"check_fit2d_predict1d": "leaves out rows, which needs three"} if isinstance(model, RidgeCV) else {}
    failed = [
        c
        for c in check_estimator(model, on_fail=None, on_skip=None, expected_failed_checks=few)
        if c["status"] == "failed"
    ]
    assert [(c["check_name"], c["exception"]) for c in failed] == []


def test_components_beyond_the_rank_change_nothing(data):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 60))
    y = data[1]
    three, ten = PLS(3).fit(x, y), PLS(10).fit(x, y)
    np.testing.assert_allclose(ten.predict(x), three.predict(x), atol=1e-8)
    assert np.abs(ten.x_rotations_[:, 3:]).max() == 0
    wide = cross_predict(x, y, splits=shuffle_splits(range(40)), n_components=10)
    assert all(np.isfinite(p).all() for p in wide.predictions)


def test_constant_features_and_constant_targets_give_the_mean(data):
    x, y = data
    y = y.copy()
    y[:, 2] = 4.0
    for model in (PLS(3), RidgeCV([1.0])):
        np.testing.assert_allclose(model.fit(x, y).predict(x)[:, 2], 4.0, atol=1e-9)
        for width in (10, 60):
            flat = model.fit(np.ones((40, width)), y).predict(np.ones((2, width)))
            np.testing.assert_allclose(flat, np.tile(y.mean(0), (2, 1)), atol=1e-12)
    folds = RidgeCV([1.0]).fit(np.ones((40, 10)), y, groups=np.arange(40) // 8)
    np.testing.assert_allclose(folds.predict(np.ones((2, 10))), np.tile(y.mean(0), (2, 1)), atol=1e-12)
    splits = shuffle_splits(range(40))
    for estimator in ("pls", "ridge"):
        held = cross_predict(np.ones((40, 60)), y, splits=splits, estimator=estimator, n_components=3)
        np.testing.assert_allclose(held.predictions[0][0], y[splits[0][0]].mean(0), atol=1e-9)


def test_a_wide_ridge_keeps_no_weights_until_asked(data):
    x, y = data
    model = RidgeCV([1.0, 10.0]).fit(x, y)
    np.testing.assert_allclose(x @ model.coef_.T + model.intercept_, model.predict(x), atol=1e-10)
    assert RidgeCV([1.0]).fit(x, y[:, 0]).coef_.shape == (60,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, y: PLS(41).fit(x, y), "n_components must be at most 40"),
        (lambda x, y: PLS(0).fit(x, y), "n_components must be a whole number"),
        (lambda x, y: RidgeCV([0.0, 1.0]).fit(x, y), "alphas must be finite and above 0"),
        (lambda x, y: RidgeCV().fit(x[:2], y[:2]), "rows must be 3 or more"),
        (lambda x, y: RidgeCV().fit(x, y, groups=[1, 2]), "groups must be one label"),
        (lambda x, y: PLS(2).fit(x, np.full_like(y, np.nan)), "known in 2 or more rows"),
        (lambda x, y: BandedRidge(bands=(3, 4)).fit(x, y), "bands must be widths that add up to 60"),
        (lambda x, y: BandedRidge(n_iter=1).fit(x, y).split_r2(x, y[:, :2]), r"y must be \(40, 5\), .* \(40, 2\)"),
        (lambda x, y: BandedRidge(n_iter=1).fit(x, y).split_r2(x, y * np.nan), "y must be finite"),
        (lambda x, y: rotate(x[0]), "features must be"),
        (lambda x, y: rotate(np.where(x > 2, np.nan, x)), "features must be finite"),
        (lambda x, y: rotate(1e200 * x), "features must be small enough for their squares, got squares of inf"),
        (lambda x, y: rotate(1e200 * x.T), "features must be small enough for their squares, got squares of inf"),
        (lambda x, y: rotate(iter([x, x[:3]])), "a block of features must be"),
        (lambda x, y: rotate(iter([])), "features must be of at least one block"),
        (lambda x, y: cross_predict(x, y[:7], splits=shuffle_splits(range(40))), "targets must be"),
        (lambda x, y: cross_predict(x, y, splits=[(range(30), range(29, 35))]), "of different rows"),
        (lambda x, y: cross_predict(x, y, splits=[(range(30), [99])]), "of rows 0 to 39"),
        (lambda x, y: cross_predict(x, y, splits=[(range(10), range(10, 20))]), "at most the number of training rows"),
        (lambda x, y: cross_predict(x, y, splits=shuffle_splits(range(40)), groups=[*range(20)] * 2), "both sides"),
        (lambda x, y: shuffle_splits(range(40), stratify=["a"] * 39 + ["b"]), "groups must be enough"),
        (lambda x, y: shuffle_splits([1, 1, 2, 2, 3, 3], stratify=[0, 1, 0, 0, 1, 1]), "same for all rows of a group"),
        (lambda x, y: shuffle_splits(range(40), test_share=1.5), "test_share must be between 0 and 1"),
        (lambda x, y: regression.fold_splits(range(4), n_folds=5), "n_folds must be at most"),
    ],
)  # fmt: skip
def test_bad_input_names_the_value_and_the_remedy(data, call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call(*data)


def test_himalayas_backend_is_put_back_after_an_error():
    before = get_backend()
    with pytest.raises(RuntimeError), himalaya_backend("torch"):
        raise RuntimeError
    assert get_backend() is before


def test_many_targets_use_the_same_answer_as_few():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 280)), rng.normal(size=(300, 270))  # both sides wider than one eigenproblem at once
    y[:, :30] += x[:, :30]
    from sklearn.cross_decomposition import PLSRegression

    peer = PLSRegression(3, scale=False, tol=1e-15, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(PLS(3).fit(x, y).predict(x), peer.predict(x), atol=1e-4)


def test_threads_do_not_meet_in_himalayas_global_backend(data):
    x, y = data
    before = get_backend()

    def fitted(kind):
        return BandedRidge(bands=(30, 30), n_iter=3, backend=kind, random_state=0).fit(x, y).coef_

    alone = [fitted(kind) for kind in ("numpy", "torch")]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fitted, ["numpy", "torch"] * 4))
    for k, coef in enumerate(found):
        np.testing.assert_array_equal(coef, alone[k % 2])
    assert get_backend() is before
