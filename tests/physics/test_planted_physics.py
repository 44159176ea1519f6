"""What is planted is what a measurement finds: ceilings, rank, shared noise, non-linearity, maps."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from neuroperc.data import average_repeats
from neuroperc.decoding import (
    design,
    encode_voxels,
    noise_ceilings,
    plant_bold,
    plant_brain,
    read_bold,
    read_nsd_betas,
    read_nsd_map,
    region_table,
    voxel_weights,
    write_map,
    write_nsd,
    write_planted,
)
from neuroperc.decoding.planted import NCSNR
from neuroperc.foveation import SteerablePyramid

RNG = np.random.default_rng(11)
X = RNG.normal(size=(500, 100)) * np.linspace(2, 0.2, 100)
KIND = {"rank": 24, "rng": 0}


def r2(y, predicted):
    return 1 - ((y - predicted) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)


@pytest.fixture(scope="module")
def brain():
    return plant_brain(X, session_drift=0.0, **KIND)


def test_ceilings_are_recovered_at_500_images_and_three_repeats(brain):
    """Acceptance: mean absolute error of ncsnr and of the noise ceiling below .05."""
    found = noise_ceilings(brain.responses, n_splits=1, rng=0)
    assert float(abs(found.ncsnr - brain.ncsnr).mean()) < 0.05
    assert float(abs(found.noise_ceiling - brain.noise_ceiling(3)).mean()) < 0.05
    assert abs(float((found.noise_ceiling - brain.noise_ceiling(3)).mean())) < 0.01  # and without bias


def test_regions_have_the_signal_they_were_given():
    found = plant_brain(X, regions={"V1": 300, "V4": 300, "IT": 300, "elsewhere": 200}, **KIND).responses.true_ncsnr
    medians = found.groupby("region").median()
    for name in ("V1", "V4", "IT"):
        assert float(medians.sel(region=name)) == pytest.approx(NCSNR[name], rel=0.01)
    assert float(medians.sel(region="elsewhere")) == pytest.approx(NCSNR[""], rel=0.01)
    # Three repeats: the numbers that NSD reports for single trials in volumes.
    ceiling = 3 * NCSNR["V1"] ** 2 / (3 * NCSNR["V1"] ** 2 + 1)
    assert ceiling == pytest.approx(0.374, abs=0.002)


@pytest.mark.parametrize("nonlinearity", [0.0, 0.5, 1.0])
def test_the_oracle_reaches_the_ceiling_and_shuffled_responses_nothing(nonlinearity):
    made = plant_brain(X, session_drift=0.0, nonlinearity=nonlinearity, **KIND)
    y, oracle = average_repeats(made.responses).values, average_repeats(made.oracle).values
    # R2 of a perfect model is its ceiling, up to the chance correlation of 500 draws, averaged over 2,000 voxels.
    assert (r2(y, oracle) / made.noise_ceiling(3)).mean() == pytest.approx(1, abs=0.03)
    assert r2(y, oracle).mean() / made.noise_ceiling(3).mean() == pytest.approx(1, abs=0.02)
    moved = average_repeats(made.shuffled(1)).sortby("stimulus_id").values
    sorted_oracle = average_repeats(made.oracle).sortby("stimulus_id").values
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(moved.T, sorted_oracle.T, strict=True)]
    assert abs(np.mean(r)) < 0.03
    again = noise_ceilings(made.shuffled(1), n_splits=1, rng=0).noise_ceiling
    np.testing.assert_allclose(again, noise_ceilings(made.responses, n_splits=1, rng=0).noise_ceiling, rtol=1e-6)


def test_realized_variances_are_the_planted_ones(brain):
    noise = brain.responses.values - brain.oracle.values
    np.testing.assert_allclose((noise.var(axis=0) / brain.noise_sd**2).mean(), 1, atol=0.01)
    signal = average_repeats(brain.oracle).values
    np.testing.assert_allclose(signal.std(axis=0) / brain.noise_sd, brain.ncsnr, rtol=1e-4)


@pytest.mark.parametrize("rank", [8, 24])
def test_low_rank_is_the_rank(rank):
    made = plant_brain(X, rank=rank, rng=0)
    values = np.linalg.svd(made.predict(X), compute_uv=False)
    assert values[rank - 1] > 0.02 * values[0]
    assert values[rank] < 1e-10 * values[0]
    assert np.linalg.matrix_rank(made.weight) == rank
    bent = plant_brain(X, rank=rank, rng=0, nonlinearity=0.5)
    assert np.linalg.matrix_rank(bent.predict(X)) > 2 * rank  # a bend leaves the space of the drives
    assert np.linalg.matrix_rank(bent.drive_weight) == rank


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_shared_noise_is_its_share_of_the_variance_from_20_sources(share):
    made = plant_brain(X, shared_noise_share=share, session_drift=0.0, regions={"V1": 600}, **KIND)
    noise = (made.responses.values - made.oracle.values) / made.noise_sd
    values = np.linalg.svd(noise - noise.mean(axis=0), compute_uv=False) ** 2 / noise.size
    n, v = noise.shape
    edge = (1 - share) * (1 + np.sqrt(v / n)) ** 2 / v  # Marchenko and Pastur: the largest of private noise alone
    assert (values > 1.05 * edge).sum() == 20
    private = values[20:].sum() / (1 - 20 / min(n, v))  # 20 of the dimensions are taken
    assert values.sum() - private == pytest.approx(share, abs=0.02)


def test_sessions_drift_by_what_was_asked():
    made = plant_brain(X, session_drift=0.5, n_sessions=10, **KIND)
    noise = (made.responses.values - made.oracle.values) / made.noise_sd
    means = np.stack([noise[made.responses.session.values == s].mean(axis=0) for s in range(1, 11)])
    expected = 0.25 + 1 / 150  # the drift, and the error of a mean of 150 trials
    assert means.var(axis=0, ddof=1).mean() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("nonlinearity", [0.0, 0.3, 0.7, 1.0])
def test_nonlinearity_is_the_share_that_no_linear_model_explains(nonlinearity):
    scale = np.linspace(2, 0.2, 100)
    x = RNG.normal(size=(3000, 100)) * scale
    made = plant_brain(x, nonlinearity=nonlinearity, n_repeats=1, regions={"V1": 300}, **KIND)
    signal, low = made.predict(x), (x - x.mean(0)) @ made.basis.T
    explained = r2(signal, signal.mean(0) + low @ np.linalg.lstsq(low, signal, rcond=None)[0])
    np.testing.assert_allclose(explained, 1 - nonlinearity, atol=1e-8)
    # On features that were not used for planting: what 3,000 stimuli settled of 24 coefficients leaks, 24 / 3,000.
    new = RNG.normal(size=(3000, 100)) * scale
    fresh, low = made.predict(new), (new - x.mean(0)) @ made.basis.T
    found = r2(fresh, fresh.mean(0) + low @ np.linalg.lstsq(low, fresh, rcond=None)[0]).mean()
    assert found == pytest.approx(1 - nonlinearity, abs=0.02)


def test_a_linear_decoder_loses_what_bends_and_the_brain_still_holds_it():
    """From noiseless voxels at full non-linearity, ridge finds no drive that a decoder of phases finds."""
    made = plant_brain(X, nonlinearity=1.0, mixed_share=0.0, **KIND)
    drive = (X - X.mean(0)) @ made.drive_weight[0]
    signal = made.predict(X)
    together = made.responses.concept.values == made.responses.concept.values[0]
    y = signal[:, together] / made.amplitude[together]
    train, test = np.arange(500) < 350, np.arange(500) >= 350
    gram = y[train].T @ y[train]
    weights = np.linalg.solve(gram + 10 * np.eye(len(gram)), y[train].T @ drive[train])
    linear = np.corrcoef(y[test] @ weights, drive[test])[0, 1]
    nearest = train.nonzero()[0][((y[test][:, None] - y[train]) ** 2).sum(axis=2).argmin(axis=1)]
    assert abs(linear) < 0.3
    assert np.corrcoef(drive[nearest], drive[test])[0, 1] > 0.6


def test_maps_are_smooth_in_millimetres():
    made = plant_brain(X, regions={"LOC": 1728}, smooth_mm=6, **KIND)
    place = np.stack([made.responses[a] for a in "ijk"], 1) * 2.0
    unit = made.loading / np.linalg.norm(made.loading, axis=1, keepdims=True)
    away = np.linalg.norm(place[:, None] - place, axis=2)
    alike = unit @ unit.T
    near, far = alike[(away > 0) & (away <= 2)].mean(), alike[away > 18].mean()
    assert near > 0.65
    assert abs(far) < 0.15
    assert near > alike[(away > 5) & (away < 7)].mean() > far


def test_ridge_climbs_towards_the_ceiling_and_finds_the_weights(brain):
    some = {"neuroid": slice(0, None, 8)}
    mean = average_repeats(brain.responses.isel(some)).sortby("stimulus_id")
    found = encode_voxels(X, mean).r2.mean("split").values
    ceiling = brain.noise_ceiling(3)[::8]
    good = ceiling > 0.1
    assert 0.5 < found[good].mean() / ceiling[good].mean() < 1.0
    moved = average_repeats(brain.shuffled(0).isel(some)).sortby("stimulus_id")
    assert abs(encode_voxels(X, moved).r.mean("split").values.mean()) < 0.03


SHOWN = plant_brain(X[:24, :12], regions={"V1": 60, "IT": 40}, rank=6, ncsnr=1.0, rng=0)
NAMES = [f"nsd{k + 1:05d}" for k in range(24)]


def shuffled_events(n_runs, rng):
    """Every stimulus once a run for 4 s, one each 8 s, in an order of the run's own."""
    parts = [
        pd.DataFrame({"onset": 8.0 * np.arange(24) + 2, "duration": 4, "trial_type": rng.permutation(NAMES), "run": r})
        for r in range(1, n_runs + 1)
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_stimulus_that_stays_on_brings_the_planted_response():
    """The response function has an integral of 1, so the plateau is the planted number, and 4 s give their share."""
    block = pd.DataFrame({"onset": [10.0], "duration": [70.0], "trial_type": ["nsd00005"]})
    still = {"tr_s": 2.0, "noise_scale": 0, "rng": 0}
    bold = plant_bold(SHOWN, block, n_volumes=60, **still)
    planted = SHOWN.predict(SHOWN.features)[4]
    np.testing.assert_allclose(bold.values[22:40], np.tile(planted, (18, 1)), rtol=1e-4, atol=1e-4)
    assert not bold.values[:5].any()
    brief = plant_bold(SHOWN, block.assign(duration=4.0), n_volumes=60, **still)
    np.testing.assert_allclose(2.0 * brief.values.sum(axis=0), 4.0 * planted, rtol=1e-2, atol=1e-4)  # area: 4 s of it
    both = pd.concat([block, block.assign(onset=40.0, trial_type="nsd00009")])
    second = plant_bold(SHOWN, block.assign(onset=40.0, trial_type="nsd00009"), n_volumes=60, **still)
    np.testing.assert_allclose(
        plant_bold(SHOWN, both, n_volumes=60, **still).values, bold.values + second.values, atol=1e-5
    )


@pytest.mark.parametrize("ar1", [-0.3, 0.0, 0.45])
def test_noise_of_volumes_remembers_one_volume_and_no_other_run(ar1):
    events = pd.DataFrame({"onset": 0.0, "duration": 1.0, "trial_type": NAMES[0], "run": range(300)})
    kind = {"tr_s": 2.0, "n_volumes": 40}
    still = plant_bold(SHOWN, events, noise_scale=0, rng=0, **kind)
    bold = plant_bold(SHOWN, events, noise_scale=2.0, ar1=ar1, run_drift=0.0, rng=0, **kind)
    noise = ((bold - still) / (2 * SHOWN.noise_sd)).values.reshape(300, 40, 100)
    pair = np.array([(noise[:, lag:] * noise[:, : 40 - lag]).mean() for lag in range(3)])
    np.testing.assert_allclose(pair, [1, ar1, ar1**2], atol=0.02)
    np.testing.assert_allclose((noise**2).mean(axis=(0, 2))[[0, 1, -1]], 1, atol=0.06)  # stationary from the start
    assert abs((noise[1:, 0] * noise[:-1, -1]).mean()) < 0.02  # nothing crosses the edge
    flat = noise.reshape(-1, 100)
    wanted = SHOWN.shared_loading @ SHOWN.shared_loading.T
    off = ~np.eye(100, dtype=bool)
    assert np.corrcoef((flat.T @ flat / len(flat))[off], wanted[off])[0, 1] > 0.97  # the brain's shared sources
    drifting = plant_bold(SHOWN, events, ar1=ar1, run_drift=3.0, rng=0, **kind) - still
    means = (drifting / SHOWN.noise_sd).values.reshape(300, 40, 100).mean(axis=1)
    assert means.std() == pytest.approx(3.0, rel=0.03)


def test_the_signal_of_a_run_ends_with_it():
    late = pd.DataFrame({"onset": [70.0, 4.0], "duration": 8.0, "trial_type": NAMES[:2], "run": ["a", "b"]})
    bold = plant_bold(SHOWN, late, tr_s=2.0, n_volumes={"a": 40, "b": 30}, noise_scale=0, rng=0)
    assert bold.run.values.tolist() == ["a"] * 40 + ["b"] * 30
    np.testing.assert_array_equal(bold.time_s.values, np.r_[0:80:2, 0:60:2])
    own = plant_bold(SHOWN, late[1:], tr_s=2.0, n_volumes=30, noise_scale=0, rng=0)
    np.testing.assert_array_equal(bold.values[40:], own.values)  # as if run a had never been
    assert abs(bold.values[38:40]).max() > 0.1


@pytest.mark.parametrize("hrf", ["spm", "glover"])
def test_design_and_ridge_find_the_planted_betas_through_files(tmp_path, hrf):
    rng = np.random.default_rng(3)
    events = shuffled_events(6, rng)
    planted = plant_bold(SHOWN, events, tr_s=2.0, n_volumes=105, hrf=hrf, ar1=0.4, rng=1)
    for run in range(1, 7):
        rows = planted[planted.run.values == run]
        write_map(rows.values, tmp_path / f"run-{run}_bold.nii.gz", like=planted, outside=0, tr_s=2.0)
    write_map(np.ones(100), tmp_path / "mask.nii.gz", like=planted, outside=0)
    bold = read_bold([tmp_path / f"run-{k}_bold.nii.gz" for k in range(1, 7)], mask=tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(bold.values, planted.values)
    for name in ("run", "time_s", "stimulus_id", "neuroid_id", "i", "j", "k"):
        np.testing.assert_array_equal(bold[name].values, planted[name].values)
    found = betas(events, bold, hrf)
    truth = SHOWN.predict(SHOWN.features)
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.85
    slope = (found * truth).sum() / (truth**2).sum()
    assert 0.8 < slope < 1.05  # the scale, less what ridge shrinks
    other = events.assign(trial_type=rng.permutation(events["trial_type"]))
    assert abs(np.corrcoef(betas(other, bold, hrf).ravel(), truth.ravel())[0, 1]) < 0.15


def betas(events, bold, hrf):
    """Ridge of every voxel on the design, run means off, penalties chosen by leaving out runs: (stimulus, voxel)."""
    x = design(events, tr_s=2.0, n_volumes=105, hrf=hrf)
    x, y = (each.values - each.groupby("run").mean().sel(run=each.run).values for each in (x, bold))
    found = voxel_weights(x, bold.copy(data=y), groups="run").weight.values.T
    return found - found.mean(axis=0)


@pytest.mark.slow
def test_a_brain_in_real_regions_goes_through_files_and_keeps_its_ceilings(data_dir, tmp_path):
    """Regions of BOLD5000 in MNI space, 9,641 voxels, written and read in NSD's layout."""
    snr = {"EarlyVis": 0.6, "LOC": 0.5, "PPA": 0.4, "OPA": 0.3, "RSC": 0.2}
    masks = {name: data_dir / "fmri" / "bold5000_rois_mni" / f"{name}.nii.gz" for name in snr}
    x = np.random.default_rng(4).normal(size=(150, 8))
    brain = plant_brain(x, regions=masks, rank=8, ncsnr=snr, n_sessions=2, session_drift=0.0, rng=0)
    write_planted(tmp_path, {1: brain}, n_shared=20)
    betas = read_nsd_betas(tmp_path, 1, trials_per_session=225)
    mask = nibabel.load(masks["PPA"])
    np.testing.assert_allclose(np.reshape(betas.attrs["affine"], (4, 4)), mask.affine, atol=1e-6)
    np.testing.assert_array_equal(betas.attrs["volume_shape"], mask.shape)
    file = nibabel.load(sorted(tmp_path.rglob("betas_session01.nii.gz"))[0])
    np.testing.assert_allclose(file.affine, mask.affine, atol=1e-6)
    assert abs(betas.values - brain.responses.values).max() <= 0.5 / 300 + 1e-5
    codes = read_nsd_map(tmp_path, 1, "regions", like=betas)
    ijk = tuple(betas[a].values for a in "ijk")
    inside = mask.get_fdata()[ijk] > 0
    assert len(set(codes[inside & (brain.responses.region.values == "PPA")])) == 1
    ceiling = noise_ceilings(betas, n_splits=1, rng=0).noise_ceiling.values
    labelled = xr.DataArray(x, dims=("s", "f"), coords={"stimulus_id": ("s", [f"nsd{k + 1:05d}" for k in range(150)])})
    scored = encode_voxels(labelled[::-1], average_repeats(betas)).r2.mean("split").values
    region, planted = brain.responses.region.values, brain.noise_ceiling(3)
    for name in snr:
        measured, true, explained = (each[region == name].mean() for each in (ceiling, planted, scored))
        assert measured == pytest.approx(true, abs=0.015)
        # Least squares on 120 pictures and 8 features adds 8 / (120 - 8 - 1) of the noise, ridge no more, and the
        # reciprocal of the variance of 30 held-out pictures is 30 / 27 on average.
        assert 1 - (1 - true) * (1 + 8 / 111) * 30 / 27 < explained < true
    assert region_table(brain.responses)["n_voxels"].sum() == len(ceiling)


def pictures(n, rng, side=48, n_kinds=16):
    """Return pictures of three things at random places and contrasts, and an embedding: which things, not where."""
    shapes = np.kron(rng.random((n_kinds, 4, 4)) < 0.5, np.ones((3, 3))) - 0.5
    names = np.argsort(rng.random((n, n_kinds)), axis=1)[:, :3]
    shown, place = np.full((n, side, side), 0.5), rng.integers(0, side - 12, (n, 3, 2))
    for k in range(n):
        for name, (i, j), gain in zip(
            names[k], place[k], rng.uniform(0.2, 0.8, 3) * rng.choice([-1, 1], 3), strict=True
        ):
            shown[k, i : i + 12, j : j + 12] = 0.5 + gain * shapes[name]
    vectors = rng.normal(size=(n_kinds, 24))
    return shown, vectors[names].sum(axis=1) + 0.3 * rng.normal(size=(n, 24))


def gabor_energy(shown):
    """Return (picture, scale x orientation x 4 x 4): energy of quadrature pairs, averaged in a place."""
    pyramid = SteerablePyramid(shown.shape[1:], n_scales=3, n_orientations=4, tight_frame=False)
    bands = pyramid(torch.from_numpy(shown)[:, None]).bands
    energy = [torch.nn.functional.adaptive_avg_pool2d(b[:, 0].square().sum(2).sqrt(), 4) for b in bands]
    return torch.stack(energy, 1).flatten(1).numpy()


def test_each_region_is_best_explained_by_its_own_features(tmp_path):
    """V1 reads Gabor energy in receptive fields, IT an embedding; one brain, through NSD's files."""
    rng = np.random.default_rng(0)
    shown, embedding = pictures(400, rng)
    energy = gabor_energy(shown)
    energy = (energy - energy.mean(0)) / energy.std(0)
    y, x = np.mgrid[:4, :4]
    fields = {}
    for name in rng.permutation(64)[:24]:
        (j, i), turn = divmod(int(name) // 4, 4), int(name) % 4
        field = np.exp(-((x - i) ** 2 + (y - j) ** 2) / (2 * 0.6**2)) * (np.arange(4) == turn)[:, None, None]
        fields[f"{i},{j},{turn}"] = np.tile(field.ravel(), 3)
    slab = np.zeros((2, 12, 12, 3), bool)
    slab[0, :, :5], slab[1, :, 7:] = True, True
    common = {"affine": np.diag([2.0, 2, 2, 1]), "presentations": rng.permutation(np.tile(np.arange(400), 3)),
              "session_drift": 0.0}  # fmt: skip
    v1 = plant_brain(
        energy, regions={"V1": slab[0]}, concepts=fields, rank=24, ncsnr=0.8, mixed_share=0.0, rng=1, **common
    )
    it = plant_brain(embedding, regions={"IT": slab[1]}, rank=12, ncsnr=0.8, rng=2, **common)
    whole = xr.concat([v1.responses, it.responses], "neuroid").sortby(["i", "j", "k"])
    whole.attrs = v1.responses.attrs
    write_nsd(tmp_path, {1: whole}, masterordering=v1.rows + 1, subjectim=[np.arange(1, 401)], n_shared=1,
              trials_per_session=400)  # fmt: skip
    betas = read_nsd_betas(tmp_path, 1, trials_per_session=400)
    ceiling, mean = noise_ceilings(betas, n_splits=1, rng=0).noise_ceiling.values, average_repeats(betas)
    row = [int(name[3:]) - 1 for name in mean.stimulus_id.values]
    share = {}
    for features, name in ((energy, "energy"), (embedding, "embedding")):
        scored = encode_voxels(features[row], mean).r2.mean("split").values
        share[name] = {r: scored[whole.region == r].mean() / ceiling[whole.region == r].mean() for r in ("V1", "IT")}
    assert share["energy"]["V1"] > 0.8 and share["embedding"]["IT"] > 0.8  # of the ceiling
    assert share["embedding"]["V1"] < 0.1 and share["energy"]["IT"] < 0.1
    weights = voxel_weights(energy[row], mean[:, whole.region.values == "V1"]).weight.values.reshape(-1, 3, 4, 4, 4)
    planted = np.array([list(map(int, c.split(","))) for c in v1.responses.concept.values])
    order = np.lexsort([v1.responses[a].values for a in "kji"])
    power = weights.mean(axis=1).clip(0)
    best = power.reshape(len(power), -1).argmax(1)
    found = np.stack([best % 4, best // 4 % 4, best // 16], 1)
    assert (found == planted[order]).all(axis=1).mean() > 0.9  # receptive fields: column, row and orientation
