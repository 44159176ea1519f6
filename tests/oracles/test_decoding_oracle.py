"""Peers and closed forms: nilearn for masks and regressors, scipy and scikit-learn for fits, brute force for tests.

Seen red: `predict_prf` without the response function or the pixels' areas; a slope by size without its square; response
functions a second late; C order for Fortran order; folds without their mean; penalties chosen by rows; r2 with its
arguments exchanged; ceilings of twice the repeats.
"""

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

from neuroperc import Display
from neuroperc.data import make_responses
from neuroperc.decoding import (
    decode_labels,
    design,
    encode_voxels,
    fit_prf,
    hemodynamic_response,
    noise_ceilings,
    permutation_test,
    predict_prf,
    read_betas,
    resample_volume,
    voxel_weights,
)
from neuroperc.decoding.voxelwise import feature_scale
from neuroperc.regression import fold_splits, rotate


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_masking_is_nilearns(tmp_path, ending):
    from nilearn.maskers import NiftiMasker

    rng = np.random.default_rng(0)
    affine = np.diag([-2.0, 2, 3, 1])
    image = nibabel.Nifti1Image(rng.integers(0, 3000, (9, 8, 7, 5)).astype(np.int16), affine)
    image.header.set_slope_inter(1 / 300, -2)
    nibabel.save(image, tmp_path / f"b{ending}")
    nibabel.save(nibabel.Nifti1Image((rng.random((9, 8, 7)) > 0.5).astype(np.uint8), affine), tmp_path / "m.nii")
    theirs = NiftiMasker(mask_img=str(tmp_path / "m.nii"), dtype="float32", standardize=None)
    theirs = theirs.fit_transform(str(tmp_path / f"b{ending}"))
    ours = read_betas(tmp_path / f"b{ending}", mask=tmp_path / "m.nii", trials={"stimulus_id": range(5)})
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-6, atol=1e-6)


def test_labels_are_resampled_as_nilearn_does(tmp_path):
    from nilearn.image import resample_to_img

    rng = np.random.default_rng(0)
    fine = nibabel.Nifti1Image(rng.integers(0, 5, (12, 12, 12)).astype(np.float32), np.eye(4))
    coarse = nibabel.Nifti1Image(np.zeros((5, 4, 6), np.float32), np.diag([2.0, 2, 2, 1]))
    nibabel.save(fine, tmp_path / "fine.nii")
    nibabel.save(coarse, tmp_path / "coarse.nii")
    resample_volume(
        tmp_path / "fine.nii", tmp_path / "out.nii.gz", like=tmp_path / "coarse.nii", interpolation="nearest"
    )
    theirs = resample_to_img(fine, coarse, interpolation="nearest", force_resample=True, copy_header=True)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "out.nii.gz").get_fdata(), theirs.get_fdata())


@pytest.mark.parametrize("hrf", ["spm", "glover"])
@pytest.mark.parametrize("reference", [0.0, 0.5])
def test_regressors_are_nilearns(hrf, reference):
    from nilearn.glm.first_level import compute_regressor

    rng = np.random.default_rng(0)
    onsets, tr_s, n = np.sort(rng.uniform(0, 90, 8)), 2.0, 60
    events = pd.DataFrame({"onset": onsets, "duration": 3.0, "trial_type": "a"})
    ours = design(events, tr_s=tr_s, n_volumes=n, slice_time_ref=reference, hrf=hrf).values[:, 0]
    times = (np.arange(n) + reference) * tr_s
    condition = np.stack([onsets, np.full(8, 3.0), np.ones(8)])
    theirs = compute_regressor(condition, hrf, times, oversampling=200)[0][:, 0]
    # nilearn's scale depends on its sampling, so shapes are compared.
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9999
    assert abs(ours.max() / (theirs.max() / theirs.sum() * ours.sum()) - 1) < 5e-3


def test_a_gaussian_response_function_by_hand():
    """A function of seconds: boxcars are integrated exactly, impulses sampled."""
    events = pd.DataFrame({"onset": [4.0, 20.0], "duration": [6.0, 0.0], "trial_type": ["long", "short"]})

    def exponential(t):
        return np.exp(-t / 3)

    found = design(events, tr_s=1.0, n_volumes=40, slice_time_ref=0, hrf=exponential)
    t = np.arange(40.0)
    long = np.where(t < 4, 0, 1 - np.exp(-(t - 4) / 3)) - np.where(t < 10, 0, 1 - np.exp(-(t - 10) / 3))
    np.testing.assert_allclose(found.sel(neuroid=0), long, atol=0.01)
    short = np.where(t < 20, 0, np.exp(-(t - 20) / 3) / 3)
    np.testing.assert_allclose(found.sel(neuroid=1)[21:], short[21:], atol=0.01)


def planted(n=90, p=12, v=7, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    return x, x @ rng.normal(size=(p, v)) + noise * rng.normal(size=(n, v))


@pytest.mark.parametrize("wide", [False, True])
def test_voxels_have_scikit_learns_weights_and_penalties(wide):
    from sklearn.linear_model import RidgeCV

    x, y = planted(60, 100 if wide else 12, noise=3.0)
    alphas = np.logspace(-1, 4, 6)
    scale = feature_scale(rotate(x))
    theirs = RidgeCV(alphas * scale, alpha_per_target=True).fit(x, y)
    ours = voxel_weights(x, make_responses(y, stimulus_id=np.arange(60)), alphas=alphas)
    np.testing.assert_allclose(ours.alpha * scale, theirs.alpha_, rtol=1e-5)
    np.testing.assert_allclose(ours.weight, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=1e-5)


def test_scores_by_refitting_every_fold_and_penalty():
    """Grouped K-fold outside, whole groups left out inside, all by scikit-learn's plain ridge."""
    from sklearn.linear_model import Ridge

    x, y = planted(48, 10, 3, noise=4.0)
    groups = np.repeat(np.arange(12), 4)
    alphas = [0.1, 10.0, 1000.0]
    ours = encode_voxels(x, make_responses(y, stimulus_id=groups), n_folds=4, alphas=alphas, rng=5)
    scale = ours.attrs["alpha_scale"]
    for s, (train, test) in enumerate(fold_splits(groups, n_folds=4, rng=5)):
        for v in range(3):
            errors = []
            for alpha in alphas:
                total = 0.0
                for g in np.unique(groups[train]):
                    kept, out = train[groups[train] != g], train[groups[train] == g]
                    total += ((y[out, v] - Ridge(alpha * scale).fit(x[kept], y[kept, v]).predict(x[out])) ** 2).sum()
                errors.append(total)
            best = alphas[int(np.argmin(errors))]
            predicted = Ridge(best * scale).fit(x[train], y[train, v]).predict(x[test])
            assert ours.alpha[s, v] == pytest.approx(best)
            assert float(ours.r[s, v]) == pytest.approx(np.corrcoef(predicted, y[test, v])[0, 1], abs=1e-8)
            r2 = 1 - ((y[test, v] - predicted) ** 2).sum() / ((y[test, v] - y[test, v].mean()) ** 2).sum()
            assert float(ours.r2[s, v]) == pytest.approx(r2, abs=1e-8)


def test_permutations_by_refitting():
    """The hat matrix gives what refitting the ridge to permuted responses gives."""
    from sklearn.linear_model import Ridge

    from neuroperc._check import as_rng
    from neuroperc.decoding.permutation import permuted_rows

    x, y = planted(40, 6, 3, noise=6.0)
    ids = np.repeat(np.arange(20), 2)
    alphas, n = [1.0, 300.0], 19
    ours = permutation_test(x, make_responses(y, stimulus_id=ids), n_permutations=n, n_folds=4, alphas=alphas, rng=3)
    generator = as_rng(3)
    splits = fold_splits(ids, n_folds=4, rng=generator)
    orders = [np.arange(40)] + [permuted_rows(ids, rng=generator) for _ in range(n)]
    scale = feature_scale(rotate(x))

    def statistic(values):
        best = -np.inf
        for alpha in alphas:
            predicted, target = np.empty(40), np.empty(40)
            for train, test in splits:
                held = Ridge(alpha * scale).fit(x[train], values[train]).predict(x[test])
                predicted[test], target[test] = held - held.mean(), values[test] - values[test].mean()
            best = max(best, predicted @ target / np.sqrt(predicted @ predicted * (target @ target)))
        return best

    table = np.array([[statistic(y[order, v]) for v in range(3)] for order in orders])
    np.testing.assert_allclose(ours.r, table[0], atol=1e-5)
    np.testing.assert_allclose(ours.p, (table[1:] >= table[0]).sum(0) / 20 + 1 / 20, atol=1e-9)
    np.testing.assert_allclose(ours.p_max, ((table[1:].max(1)[:, None] >= table[0]).sum(0) + 1) / 20, atol=1e-9)


def test_classes_as_ridge_classifiers_refitted():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    labels, runs = np.tile(list("abc"), 6), np.repeat(np.arange(6), 3)
    x = (labels[:, None] == np.unique(labels)) @ rng.normal(size=(3, 30)) + 1.5 * rng.normal(size=(18, 30))
    found = decode_labels(x, labels, runs=runs, alphas=[20.0])
    indicators = (labels[:, None] == np.unique(labels)).astype(float)
    for run in range(6):
        scores = Ridge(20.0).fit(x[runs != run], indicators[runs != run]).predict(x[runs == run])
        assert found.predicted[runs == run].tolist() == np.unique(labels)[scores.argmax(1)].tolist()


def bars(display, n=15):
    """Bars that sweep in four directions, with blanks between."""
    points = display.pixels_deg()
    x, y = points[..., 0], points[..., 1]
    frames = [np.zeros_like(x)] * 6
    half = max(abs(x).max(), abs(y).max())
    for angle in (0, 90, 180, 270, 45, 225):
        along = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
        frames += [(abs(along - c) < half / 8).astype(float) for c in np.linspace(-half, half, n)]
        frames += [np.zeros_like(x)] * 6
    return np.stack(frames)


def test_fits_are_scipys():
    display = Display.from_px_per_deg(2, resolution_px=(24, 32))
    movie = bars(display)
    hrf = hemodynamic_response("spm", tr_s=1.5)
    rng = np.random.default_rng(0)
    truth = {"x_deg": rng.uniform(-5, 5, 6), "y_deg": rng.uniform(-4, 4, 6), "size_deg": rng.uniform(0.7, 2, 6),
             "amplitude": rng.uniform(0.5, 2, 6), "baseline": rng.normal(size=6)}  # fmt: skip
    bold = predict_prf(truth, movie, display=display, hrf=hrf)
    bold = bold + 0.5 * bold.std(0) * rng.normal(size=bold.shape)
    found = fit_prf(bold, movie, display=display, hrf=hrf, n_steps=60)
    names = ("x_deg", "y_deg", "size_deg", "amplitude", "baseline")
    for v in range(6):

        def residual(parameters, v=v):
            one = {name: [value] for name, value in zip(names, parameters, strict=True)}
            return predict_prf(one, movie, display=display, hrf=hrf)[:, 0] - bold[:, v]

        start = [float(truth[name][v]) for name in names]
        best = least_squares(residual, start, xtol=1e-12, ftol=1e-12)
        ours = np.array([float(found[name][v]) for name in names])
        np.testing.assert_allclose(ours[:3], best.x[:3], atol=2e-3)
        assert 2 * best.cost >= (residual(ours) ** 2).sum() * (1 - 1e-6)


def test_predictions_are_the_plain_sum():
    """The separable product equals the sum over every pixel, weighted by its area on a flat screen."""
    display = Display((10, 14), size_m=(0.2, 0.3), distance_m=0.3)
    movie = np.random.default_rng(0).random((8, 10, 14))
    hrf = np.array([0.1, 0.6, 0.3])
    points = display.pixels_deg() + np.array([1.0, -0.5])
    gauss = np.exp(-((points[..., 0] - 3) ** 2 + (points[..., 1] + 2) ** 2) / (2 * 4.0**2))
    area = np.outer(abs(np.gradient(points[:, 0, 1])), np.gradient(points[0, :, 0]))
    neural = (movie * gauss * area).sum((1, 2))
    wanted = 2 * np.convolve(neural, hrf)[:8] + 7
    one = {"x_deg": [3], "y_deg": [-2], "size_deg": [4], "amplitude": [2], "baseline": [7]}
    found = predict_prf(one, movie, display=display, hrf=hrf, center_deg=(1.0, -0.5))
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-10)


def test_noise_ceilings_with_unequal_repeats_by_hand():
    """1/n is its mean over stimuli: (A/1 + B/2 + C/3)/(A + B + C)."""
    rng = np.random.default_rng(0)
    counts = np.tile([1, 2, 3], 40)
    ids = np.repeat(np.arange(120), counts)
    values = rng.normal(size=(120, 3))[ids] + rng.normal(size=(len(ids), 3))
    found = noise_ceilings(make_responses(values, stimulus_id=ids), rng=0)
    n = 1 / ((1 + 1 / 2 + 1 / 3) / 3)
    np.testing.assert_allclose(found.n_repeats, n)
    np.testing.assert_allclose(found.noise_ceiling, found.ncsnr**2 / (found.ncsnr**2 + 1 / n), rtol=1e-6)
    shown = [values[ids == s] for s in range(120)]
    noise = sum(((v - v.mean(0)) ** 2).sum(0) for v in shown) / sum(len(v) - 1 for v in shown)
    signal = np.clip(values.var(0, ddof=1) - noise, 0, None)
    np.testing.assert_allclose(found.ncsnr, np.sqrt(signal / noise), rtol=1e-6)
