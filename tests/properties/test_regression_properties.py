"""What must hold whatever the data: rotations, offsets, blocks, and that nothing leaks."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc.metrics import pearson
from neuroperc.regression import PLS, RidgeCV, cross_predict, fold_splits, gram_matrix, rotate, shuffle_splits


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(30, 8), (20, 60)]))
def test_neither_fit_sees_a_rotation_of_the_features_or_an_offset(seed, shape):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    turn = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0]
    for model in (PLS(3), RidgeCV([1.0, 10.0])):
        before, after = model.fit(x, y).predict(x), model.fit(x @ turn + 7, y + 3).predict(x @ turn + 7)
        np.testing.assert_allclose(after, before + 3, atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_the_gram_matrix_does_not_depend_on_how_features_come(tmp_path_factory, seed, step):
    x = np.random.default_rng(seed).normal(size=(12, 70)) + 100
    centred = x - x.mean(0)
    path = tmp_path_factory.mktemp("gram") / "x.npy"
    np.save(path, x)
    kinds = (x, np.load(path, mmap_mode="r"), torch.as_tensor(x), xr.DataArray(x, dims=("presentation", "neuroid")),
             (x[:, i : i + step] for i in range(0, 70, step)))  # fmt: skip
    for kind in kinds:
        np.testing.assert_allclose(gram_matrix(kind, block_units=step), centred @ centred.T, atol=1e-9)
    np.testing.assert_allclose(gram_matrix(x, dtype="float32"), centred @ centred.T, atol=2e-4)


@pytest.mark.parametrize("shape", [(40, 9), (20, 90)])
def test_weights_of_units_come_back(shape):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(min(shape[0] - 1, shape[1]), 4))
    turned = rotate(x)
    np.testing.assert_allclose((x - x.mean(0)) @ turned.unit_weights(x, w, block_units=7), turned.scores @ w, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 30), st.integers(1, 4))
def test_no_split_tears_a_group_apart(seed, n_groups, repeats):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(n_groups), repeats))
    folds = fold_splits(groups, n_folds=3, rng=seed)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(groups)))
    for train, test in [*shuffle_splits(groups, test_share=0.3, rng=seed), *folds]:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(groups)


def test_stimulus_locked_noise_is_predicted_by_rows_and_not_by_groups():
    """The leakage check of conventions.md: 200 stimuli x 3 repeats, 500 random features, random locked responses."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 3)
    x = rng.normal(size=(200, 500))[groups]
    y = rng.normal(size=(200, 20))[groups] + 0.5 * rng.normal(size=(600, 20))
    found = {}
    for name, labels in {"groups": groups, "rows": np.arange(600)}.items():
        splits = fold_splits(labels, n_folds=5, rng=0)
        for estimator in ("pls", "ridge"):
            held = cross_predict(x, y, splits=splits, estimator=estimator, groups=labels)
            r = [pearson(p, y[test], nan_policy="omit") for p, (_, test) in zip(held.predictions, splits, strict=True)]
            found[name, estimator] = float(np.nanmean(r))
    assert max(abs(found["groups", e]) for e in ("pls", "ridge")) < 0.05
    assert min(found["rows", e] for e in ("pls", "ridge")) > 0.5


def test_targets_fit_alone_or_together_and_miss_their_own_rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 80)), rng.normal(size=(50, 4))
    y[:10, 1] = np.nan
    together = RidgeCV([1.0, 10.0]).fit(x, y)
    alone = RidgeCV([1.0, 10.0]).fit(x[10:], y[10:, 1])
    np.testing.assert_allclose(together.predict(x)[:, 1], alone.predict(x), atol=1e-9)
    np.testing.assert_allclose(together.coef_[1], alone.coef_, atol=1e-9)
    np.testing.assert_allclose(together.intercept_[1], alone.intercept_, atol=1e-9)
    shared = PLS(3).fit(x, y)
    np.testing.assert_allclose(shared.predict(x)[:, 1], PLS(3).fit(x[10:], y[10:, 1]).predict(x), atol=1e-9)
    assert shared.predict(x).shape == (50, 4)
    np.testing.assert_allclose(x @ shared.coef_.T + shared.intercept_, shared.predict(x), atol=1e-9)
