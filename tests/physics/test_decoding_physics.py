"""Planted truths: lags, noise ceilings, leakage, receptive fields."""

import numpy as np
import pandas as pd
import pytest

from neuroperc import Display
from neuroperc.data import make_responses
from neuroperc.decoding import (
    design,
    encode_voxels,
    fit_prf,
    hemodynamic_response,
    noise_ceilings,
    permutation_test,
    predict_prf,
)


@pytest.mark.parametrize("reference", [0.0, 0.5])
def test_a_lag_of_five_seconds_is_found(reference):
    """Each volume averages what happens within a repetition time around its reference; onsets are off the grid."""
    rng = np.random.default_rng(0)
    tr_s, n = 2.0, 200
    onsets = np.sort(rng.choice(np.arange(5, 380, 9), 30, replace=False)) + rng.uniform(0, 2, 30)
    events = pd.DataFrame({"onset": onsets, "duration": 1.0, "trial_type": "a"})
    fine = np.arange(0, n * tr_s + 2, 0.001)
    active = ((fine[:, None] >= onsets + 5) & (fine[:, None] < onsets + 6)).any(1)
    middle = (np.arange(n) + reference) * tr_s
    total = np.concatenate([[0], np.cumsum(active) * 0.001])
    bold = (np.interp(middle + 1, fine, total[1:]) - np.interp(middle - 1, fine, total[1:])) / tr_s
    delays = np.arange(0, 10.5, 0.5)
    found = design(events, tr_s=tr_s, n_volumes=n, slice_time_ref=reference, delays_s=delays)
    error = ((found.values - bold[:, None]) ** 2).mean(0)
    assert delays[error.argmin()] == 5
    assert error.min() < 1e-5
    fir = design(events, tr_s=tr_s, n_volumes=n, slice_time_ref=reference, delays_s=[1, 3, 5, 7, 9]).values
    weights = np.linalg.lstsq(fir, bold, rcond=None)[0]
    np.testing.assert_allclose(weights, [0, 0, 1, 0, 0], atol=0.01)


def test_noise_ceilings_agree_with_the_conventions():
    """Single-trial signal variance 1, noise 2, n = 4: ncsnr .7071, NC(4) and Spearman-Brown .667, EV .333 of one."""
    rng = np.random.default_rng(0)
    n, v = 400, 2000
    signal = np.repeat(rng.normal(size=(n, v)), 4, axis=0)
    made = make_responses(signal + np.sqrt(2) * rng.normal(size=(4 * n, v)), stimulus_id=np.repeat(np.arange(n), 4))
    four = noise_ceilings(made, rng=0).mean()
    for name in ("noise_ceiling", "split_half", "explainable_variance"):
        assert float(four[name]) == pytest.approx(2 / 3, abs=0.01)
    assert float(four.ncsnr) == pytest.approx(0.7071, abs=0.01)
    one = noise_ceilings(made, n_repeats=1, n_splits=5, rng=0).mean()
    for name in ("noise_ceiling", "split_half", "explainable_variance"):
        assert float(one[name]) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("counts", [(1, 2, 3), (2, 3, 6)])
def test_unequal_repeats_recover_the_same_ratio(counts):
    rng = np.random.default_rng(0)
    counts = np.tile(counts, 200)
    ids = np.repeat(np.arange(600), counts)
    values = rng.normal(size=(600, 400))[ids] + np.sqrt(2) * rng.normal(size=(len(ids), 400))
    found = noise_ceilings(make_responses(values, stimulus_id=ids), n_repeats=4, rng=0).mean()
    assert float(found.ncsnr) == pytest.approx(0.7071, abs=0.02)
    for name in ("noise_ceiling", "split_half", "explainable_variance"):
        assert float(found[name]) == pytest.approx(2 / 3, abs=0.02)


def test_stimuli_that_repeat_do_not_leak():
    """200 stimuli x 3 repeats, 500 random features, stimulus-locked random responses: grouped |r| < .05, rows > .5."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(200), 3)
    x = rng.normal(size=(200, 500))[ids]
    y = rng.normal(size=(200, 30))[ids] + 0.5 * rng.normal(size=(600, 30))
    made = make_responses(y, stimulus_id=ids)
    honest = encode_voxels(x, made, alphas=np.logspace(-3, 7, 11))
    assert abs(float(honest.r.mean())) < 0.05
    with pytest.raises(ValueError, match=r"groups must be the same for all rows of one stimulus.*leak"):
        encode_voxels(x, made, groups=np.arange(600))
    by_rows = make_responses(y, stimulus_id=np.arange(600))
    leaking = encode_voxels(x, by_rows, alphas=np.logspace(-3, 7, 11))
    assert float(leaking.r.mean()) > 0.5


def test_a_planted_relation_is_significant_everywhere_it_is():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 10))
    y = rng.normal(size=(120, 200))
    y[:, :50] += x @ rng.normal(size=(10, 50)) / np.sqrt(10)
    found = permutation_test(x, make_responses(y, stimulus_id=np.arange(120)), n_permutations=199, rng=0)
    assert float((found.p_max[:50] < 0.05).mean()) > 0.9
    assert float((found.p_max[50:] < 0.05).mean()) < 0.05
    assert float((found.q[50:] < 0.05).sum() / (found.q < 0.05).sum()) < 0.1
    assert bool((found.p_max >= found.p).all())


@pytest.fixture(scope="module")
def scene():
    display = Display((24, 32), size_m=(0.24, 0.32), distance_m=0.6)
    points = display.pixels_deg()
    x, y = points[..., 0], points[..., 1]
    frames = [np.zeros_like(x)] * 8
    for angle in (0, 90, 180, 270):
        along = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
        frames += [(abs(along - c) < 1.5).astype(float) for c in np.linspace(-14, 14, 24)]
        frames += [np.zeros_like(x)] * 8
    rng = np.random.default_rng(0)
    truth = pd.DataFrame({"x_deg": rng.uniform(-10, 10, 60), "y_deg": rng.uniform(-8, 8, 60),
                          "size_deg": rng.uniform(0.8, 3, 60)})  # fmt: skip
    return display, np.stack(frames), truth


def test_receptive_fields_are_recovered_exactly_without_noise(scene):
    display, movie, truth = scene
    hrf = hemodynamic_response("spm", tr_s=1.3)
    bold = predict_prf({**truth, "amplitude": 2.0, "baseline": 100.0}, movie, display=display, hrf=hrf)
    found = fit_prf(bold, movie, display=display, hrf=hrf, n_steps=60)
    for name in ("x_deg", "y_deg", "size_deg"):
        np.testing.assert_allclose(found[name], truth[name], atol=0.02)
    np.testing.assert_allclose(found.amplitude, 2, rtol=0.02)
    np.testing.assert_allclose(found.baseline, 100, rtol=1e-3)
    assert float(found.r2.min()) > 0.9999


def test_a_wrong_response_function_moves_sizes_more_than_places(scene):
    display, movie, truth = scene
    right, late = (hemodynamic_response("spm", tr_s=1.3, shift_s=s) for s in (0, 1.3))
    rng = np.random.default_rng(1)
    bold = predict_prf(truth, movie, display=display, hrf=right)
    bold = bold + 0.5 * bold.std(0) * rng.normal(size=bold.shape)
    errors = {}
    for name, hrf in {"right": right, "late": late}.items():
        found = fit_prf(bold, movie, display=display, hrf=hrf)
        distance = np.hypot(found.x_deg.values - truth.x_deg, found.y_deg.values - truth.y_deg)
        ratio = float(np.nanmedian(found.size_deg.values / truth.size_deg))
        errors[name] = float(np.median(distance)), ratio, float(found.r2.mean())
    assert errors["right"][0] < 0.4
    assert errors["late"][0] < 0.6
    assert abs(errors["right"][1] - 1) < 0.12
    assert abs(np.log(errors["late"][1])) > abs(np.log(errors["right"][1]))
    assert errors["late"][2] < errors["right"][2]


def test_noise_and_silence_have_no_field(scene):
    display, movie, _ = scene
    rng = np.random.default_rng(0)
    bold = np.c_[np.zeros(len(movie)), rng.normal(size=(len(movie), 40))]
    found = fit_prf(bold, movie, display=display, hrf=hemodynamic_response("spm", tr_s=1.3))
    assert np.isnan(found.x_deg[0])
    assert float(found.r2[0]) == 0
    assert float(found.r2.mean()) < 0.15
