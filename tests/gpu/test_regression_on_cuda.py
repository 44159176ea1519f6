"""The fitting engine on a GPU gives the numbers of NumPy."""

import numpy as np
import pytest

from neuroperc.regression import RidgeCV, cross_predict, gram_matrix, shuffle_splits

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 300))
Y = X[:, :40] @ RNG.standard_normal((40, 7)) + RNG.standard_normal((120, 7))
Y[:10, 3] = np.nan


def test_gram_matrix():
    found = gram_matrix(X, device="cuda")
    assert found.device.type == "cuda"
    np.testing.assert_allclose(found.cpu().numpy(), gram_matrix(X), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n_units", [40, 300])
@pytest.mark.parametrize("groups", [None, np.arange(120) // 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-7), (np.float32, 1e-3)])
def test_ridge(n_units, groups, dtype, tolerance):
    x, y = X[:, :n_units].astype(dtype), Y.astype(dtype)
    here, there = (RidgeCV(np.logspace(0, 5, 8), device=device).fit(x, y, groups=groups) for device in (None, "cuda"))
    np.testing.assert_array_equal(there.alpha_, here.alpha_)
    for name in ("coef_", "intercept_", "best_score_"):
        wanted = getattr(here, name)
        np.testing.assert_allclose(getattr(there, name), wanted, rtol=0, atol=tolerance * abs(wanted).max())


@pytest.mark.parametrize("settings", [{"n_components": 5}, {"estimator": "ridge", "alphas": np.logspace(0, 5, 8)}])
def test_cross_validated_predictions(settings):
    splits = shuffle_splits(range(len(X)), n_splits=3, rng=0)
    here, there = (cross_predict(X, Y, splits=splits, device=device, **settings) for device in (None, "cuda"))
    for a, b in zip(here.predictions, there.predictions, strict=True):
        np.testing.assert_allclose(np.asarray(b), a, rtol=1e-6, atol=1e-6 * np.nanmax(np.abs(a)))
