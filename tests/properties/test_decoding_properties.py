"""What must not change the result, and what must stay apart."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc import Display
from neuroperc.data import make_responses
from neuroperc.decoding import (
    decode_labels,
    design,
    encode_voxels,
    fir_delays,
    fit_prf,
    noise_ceilings,
    permutation_test,
    predict_prf,
    read_betas,
    voxel_weights,
    voxelwise,
    write_map,
)
from neuroperc.decoding.permutation import permuted_rows
from neuroperc.regression import ridge


@settings(max_examples=15, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 5)] * 4), seed=st.integers(0, 99), zipped=st.booleans())
def test_volumes_survive_a_round_trip(tmp_path_factory, shape, seed, zipped):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("v")
    affine = np.eye(4)
    affine[:3] = rng.normal(size=(3, 4)) + 3 * np.eye(3, 4)
    values = rng.normal(size=shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, affine), folder / "a.nii")
    trials = {"stimulus_id": np.arange(shape[3])}
    first = read_betas(folder / "a.nii", trials=trials)
    file = folder / ("b.nii.gz" if zipped else "b.nii")
    write_map(first, file, like=first)
    second = read_betas(file, trials=trials)
    np.testing.assert_array_equal(second.values, first.values)
    np.testing.assert_allclose(second.attrs["affine"], first.attrs["affine"], atol=1e-5)
    np.testing.assert_array_equal(nibabel.load(file).get_fdata().reshape(shape), values)


def responses(v=40, n=60, repeats=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8))
    ids = np.repeat(np.arange(n), repeats)
    y = (x @ rng.normal(size=(8, v)))[ids] + 3 * rng.normal(size=(n * repeats, v))
    return x[ids], make_responses(y, stimulus_id=ids, i=np.arange(v), j=0, k=0)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_batches_of_voxels_change_nothing(n):
    x, y = responses()
    for function, kind in (
        (encode_voxels, {}),
        (voxel_weights, {}),
        (permutation_test, {"n_permutations": 9, "rng": 0}),
    ):
        whole, parts = function(x, y, **kind), function(x, y, voxels_per_batch=n, **kind)
        for name in whole:
            np.testing.assert_allclose(parts[name], whole[name], rtol=2e-4, atol=1e-5, err_msg=name)
    whole, parts = (noise_ceilings(y, voxels_per_batch=k, rng=0) for k in (None, n))
    np.testing.assert_allclose(parts.noise_ceiling, whole.noise_ceiling, rtol=1e-6)


@pytest.mark.parametrize("n_features", [8, 200])
def test_a_torch_device_changes_nothing(n_features, monkeypatch):
    took = []
    errors, predict = ridge.left_out_errors, voxelwise.cross_predict
    monkeypatch.setattr(ridge, "left_out_errors", lambda left, *a: (took.append(type(left)), errors(left, *a))[1])
    monkeypatch.setattr(
        voxelwise, "cross_predict", lambda z, *a, **k: (took.append(type(z.scores)), predict(z, *a, **k))[1]
    )
    x, y = responses()
    x = np.hstack([x, np.random.default_rng(1).normal(size=(60, 200))[y.stimulus_id]])[:, :n_features]
    how = {"voxels_per_batch": 15, "alphas": np.logspace(0, 5, 6)}  # at 0.001 wide features interpolate
    here, there = (encode_voxels(x, y, device=device, **how) for device in (None, "cpu"))
    for name in here:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-10, atol=1e-10, err_msg=name)
    here, there = (voxel_weights(x, y, device=device, **how) for device in (None, "cpu"))
    for name in here:  # float32
        np.testing.assert_allclose(there[name], here[name], rtol=1e-6, atol=1e-7, err_msg=name)
    assert took == ([np.ndarray] * 3 + [torch.Tensor] * 3) * 2  # three batches each


def test_order_of_voxels_and_unit_of_features_change_nothing():
    x, y = responses()
    order = np.random.default_rng(1).permutation(40)
    whole = encode_voxels(x, y)
    np.testing.assert_allclose(encode_voxels(x, y[:, order]).r, whole.r[:, order], atol=1e-7)
    np.testing.assert_array_equal(encode_voxels(x, y[:, order]).i, order)
    scaled = encode_voxels(1e4 * x, y)
    np.testing.assert_allclose(scaled.r, whole.r, atol=1e-7)
    np.testing.assert_allclose(scaled.alpha, whole.alpha, rtol=1e-6)


def test_features_are_matched_by_stimulus():
    x, y = responses()
    labels = np.array([f"s{i:03d}" for i in y.stimulus_id.values])
    y = y.assign_coords(stimulus_id=("presentation", labels))
    order = np.random.default_rng(1).permutation(60)
    table = make_responses(x[::2][order], stimulus_id=labels[::2][order])
    np.testing.assert_allclose(encode_voxels(table, y).r, encode_voxels(x, y).r, atol=1e-8)
    # As many features as stimuli: rows and columns can be mixed up.
    square, names = np.random.default_rng(2).normal(size=(60, 60)), table.stimulus_id.values
    labelled = xr.DataArray(square, dims=("s", "f"), coords={"stimulus_id": ("s", names)})
    np.testing.assert_array_equal(encode_voxels(labelled.T, y).r, encode_voxels(labelled, y).r)
    with pytest.raises(ValueError, match="there for every stimulus of the responses, got none for s0"):
        encode_voxels(table[:30], y)
    with pytest.raises(ValueError, match="one row a stimulus_id"):
        encode_voxels(make_responses(x, stimulus_id=labels), y)


@pytest.mark.parametrize("kind", ["delays", "hrf"])
@pytest.mark.parametrize("reference", [0.0, 0.5])
def test_nothing_crosses_the_edge_of_a_run(kind, reference):
    how = {"delays_s": [0, 4, 8]} if kind == "delays" else {"hrf": "spm"}
    early = pd.DataFrame({"onset": [3.0], "duration": 1.0, "trial_type": "a", "run": 2})
    late = pd.DataFrame({"onset": [37.0], "duration": 1.0, "trial_type": "a", "run": 1})
    both = design(pd.concat([late, early]), tr_s=2, n_volumes=20, slice_time_ref=reference, **how)
    alone = design(early, tr_s=2, n_volumes=20, slice_time_ref=reference, **how)
    np.testing.assert_array_equal(both.values[20:], alone.values)
    assert both.run.values.tolist() == [1] * 20 + [2] * 20
    x = np.arange(1.0, 41)[:, None]
    lagged = fir_delays(x, delays_s=[6], tr_s=2, runs=both.run.values)
    assert lagged[20:23].tolist() == [[0], [0], [0]]
    assert lagged[23, 0] == 21


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), n_runs=st.integers(1, 4), n_groups=st.integers(2, 5), size=st.integers(1, 3))
def test_permutations_keep_groups_whole_and_inside(seed, n_runs, n_groups, size):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_runs * n_groups), size)
    within = groups // n_groups
    mixed = rng.permutation(len(groups))
    groups, within = groups[mixed], within[mixed]
    order = permuted_rows(groups, within=within, rng=seed)
    assert sorted(order) == list(range(len(groups)))
    draws = [permuted_rows(groups, within=within, rng=s) for s in range(12)]
    assert len({tuple(d) for d in draws}) > 1
    np.testing.assert_array_equal(within[order], within)
    for g in np.unique(groups):
        came = order[groups == g]
        assert len(set(groups[came])) == 1
        assert (np.diff(came) > 0).all()


def test_groups_that_cannot_move_are_refused():
    with pytest.raises(ValueError, match="none that can move"):
        permuted_rows([0, 1, 1, 2, 2, 2], rng=0)
    with pytest.raises(ValueError, match="a group in two of them"):
        permuted_rows([0, 0, 1, 1], within=[0, 1, 0, 1], rng=0)


def test_p_values_are_uniform_without_a_relation():
    rng = np.random.default_rng(0)
    y = make_responses(rng.normal(size=(40, 300)), stimulus_id=np.arange(40))
    found = permutation_test(rng.normal(size=(40, 5)), y, n_permutations=99, alphas=[1.0, 100.0], rng=0)
    assert abs(float((found.p <= 0.1).mean()) - 0.1) < 0.05
    assert float(found.p_max.min()) > 0.01
    assert float(found.q.min()) > 0.05
    assert found.p_resolution == 0.01


def test_labels_within_runs_give_chance():
    rng = np.random.default_rng(0)
    labels, runs = np.tile(list("abcd"), 8), np.repeat(np.arange(8), 4)
    found = decode_labels(rng.normal(size=(32, 50)), labels, runs=runs, n_permutations=200, rng=0)
    assert abs(found.null.mean() - 0.25) < 0.02
    assert 0.02 < found.p_value <= 1


def test_a_shifted_picture_shifts_the_field():
    display = Display.from_px_per_deg(2, resolution_px=(16, 20))
    movie = np.random.default_rng(0).random((40, 16, 20)) > 0.7
    truth = {"x_deg": [1.0, -2.0], "y_deg": [0.5, 1.0], "size_deg": [1.0, 0.8]}
    bold = predict_prf(truth, movie, display=display, hrf=[0.5, 0.5])
    here = fit_prf(bold, movie, display=display, hrf=[0.5, 0.5])
    there = fit_prf(bold, movie, display=display, hrf=[0.5, 0.5], center_deg=(3.0, -1.0))
    np.testing.assert_allclose(there.x_deg, here.x_deg + 3, atol=1e-3)
    np.testing.assert_allclose(there.y_deg, here.y_deg - 1, atol=1e-3)
    mirrored = fit_prf(5 - 3 * bold, movie, display=display, hrf=[0.5, 0.5], negative_gain=0.1)
    np.testing.assert_allclose(mirrored.amplitude, -3 * here.amplitude, rtol=1e-3)
    batched = fit_prf(bold, movie, display=display, hrf=[0.5, 0.5], voxels_per_batch=1)
    np.testing.assert_allclose(batched.x_deg, here.x_deg, atol=1e-9)
