"""Planted brains: geometry, order, names, controls, files, refusals."""

import nibabel
import numpy as np
import pandas as pd
import pytest

from neuroperc.data import average_repeats
from neuroperc.decoding import (
    nsd_trials,
    plant_bold,
    plant_brain,
    read_nsd_betas,
    read_nsd_images,
    read_nsd_map,
    region_table,
    write_map,
    write_planted,
)

X = np.random.default_rng(5).normal(size=(60, 20))
SMALL = {"V1": 40, "PPA": 30}
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2.0, 0.1, -70], [0, -0.1, 2.0, -20], [0, 0, 0, 1]])


def planted(**change):
    kind = {"regions": SMALL, "rank": 5, "rng": 0} | change
    return plant_brain(kind.pop("features", X), **kind)


def test_the_same_seed_gives_the_same_brain():
    one, two, other = planted(), planted(), planted(rng=1)
    np.testing.assert_array_equal(one.responses.values, two.responses.values)
    np.testing.assert_array_equal(one.weight, two.weight)
    assert abs(np.corrcoef(one.responses.values.ravel(), other.responses.values.ravel())[0, 1]) < 0.1


def test_masks_give_real_geometry(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.random((9, 8, 7)) > 0.7
    second = rng.random((9, 8, 7)) > 0.7
    for name, mask in (("a", first), ("b", second)):
        nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE).to_filename(tmp_path / f"{name}.nii.gz")
    paths = {"V1": tmp_path / "a.nii.gz", "V2": tmp_path / "b.nii.gz"}
    found = planted(regions=paths).responses
    index = np.argwhere(first | second)
    np.testing.assert_array_equal(np.stack([found[a] for a in "ijk"], 1), index)
    np.testing.assert_array_equal(found.region, np.where(first, "V1", "V2")[tuple(index.T)])  # the first mask wins
    np.testing.assert_allclose(np.reshape(found.attrs["affine"], (4, 4)), AFFINE, atol=1e-6)
    arrays = planted(regions={"V1": first, "V2": second}, affine=AFFINE).responses
    np.testing.assert_allclose(arrays.values, found.values, atol=1e-3)
    np.testing.assert_allclose(region_table(arrays)["n_voxels"], [first.sum(), (second & ~first).sum()])
    write_map(found[0], tmp_path / "one.nii.gz", like=found)
    image = nibabel.load(tmp_path / "one.nii.gz")
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    np.testing.assert_array_equal(image.get_fdata()[first | second], found.values[0])


def test_trials_sessions_and_repeats_are_counted():
    counts = np.r_[np.full(20, 3), np.full(40, 1)]
    found = planted(n_repeats=counts, n_sessions=4).responses
    ids, seen = np.unique(found.stimulus_id, return_counts=True)
    np.testing.assert_array_equal(seen, counts)
    assert ids[0] == "nsd00001"
    assert np.unique(found.session, return_counts=True)[1].tolist() == [25] * 4
    for name in ids[:3]:
        assert found.repetition.values[found.stimulus_id.values == name].tolist() == [0, 1, 2]
    order = np.array([3, 1, 3, 0])
    shown = planted(presentations=order, n_sessions=2)
    assert shown.responses.stimulus_id.values.tolist() == ["nsd00004", "nsd00002", "nsd00004", "nsd00001"]
    assert shown.responses.trial.values.tolist() == [1, 2, 1, 2]


def test_oracle_and_prediction_of_new_features():
    brain = planted(nonlinearity=0.6)
    oracle = brain.oracle
    np.testing.assert_allclose(oracle.values, brain.predict(X)[brain.rows], rtol=1e-5, atol=1e-5)
    assert oracle.stimulus_id.values.tolist() == brain.responses.stimulus_id.values.tolist()
    once = average_repeats(oracle)
    np.testing.assert_allclose(once.values.std(axis=0), brain.amplitude, rtol=1e-4)
    new = np.random.default_rng(1).normal(size=(3, 20))
    assert brain.predict(new).shape == (3, 70)
    linear = planted()
    expected = (new - X.mean(0)) @ linear.weight.T
    np.testing.assert_allclose(linear.predict(new), expected, atol=1e-10)


def test_shuffled_keeps_reliability_and_loses_the_stimulus():
    brain = planted(n_repeats=4)
    moved = brain.shuffled(0)
    np.testing.assert_array_equal(moved.values, brain.responses.values)
    pairs = set(zip(brain.responses.stimulus_id.values, moved.stimulus_id.values, strict=True))
    assert len(pairs) == 60  # one to one
    assert sum(a == b for a, b in pairs) < 6


def test_voxels_are_tuned_to_the_concepts_they_name():
    concepts = {n: v for n, v in zip(["face", "place", "word", "food"], np.eye(20)[:4], strict=True)}
    brain = planted(concepts=concepts, preferred={"PPA": ["place"], "V1": ["face", "word"]}, mixed_share=0.0, rank=6)
    named = brain.responses.concept.values
    assert set(named[brain.responses.region == "PPA"]) == {"place"}
    assert set(named[brain.responses.region == "V1"]) <= {"face", "word"}
    directions = brain.drive_weight / np.linalg.norm(brain.drive_weight, axis=1, keepdims=True)
    best = np.array(list(concepts))[(directions @ np.array(list(concepts.values())).T).argmax(axis=1)]
    np.testing.assert_array_equal(best, named)


def test_a_third_mixes_two_concepts_at_borders():
    brain = plant_brain(X, rank=5, rng=0)
    share = brain.responses.second_share.values
    assert np.mean(share > 0) == pytest.approx(1 / 3, abs=0.01)
    assert share.max() == pytest.approx(0.5, abs=0.01)
    assert share[share > 0].min() == pytest.approx(0.2, abs=0.01)
    assert set(brain.responses.second_concept.values[share == 0]) == {""}


def test_a_planted_split_has_two_halves():
    concepts = dict(zip(["person", "crowd", "ball"], np.eye(20)[:3], strict=True))
    brain = planted(concepts=concepts, split=("V1", "person", "crowd"), regions={"V1": 200, "LOC": 50})
    part, name = brain.responses.part.values, brain.responses.concept.values
    inside = brain.responses.region.values == "V1"
    assert set(part[~inside]) == {0}
    assert abs(int((part == 1).sum()) - 100) <= 1
    assert set(name[part == 1]) == {"person"}
    assert set(name[part == 2]) == {"crowd"}
    place = np.stack([brain.responses[a] for a in "ijk"], 1)
    spread = [np.ptp(place[part == k], axis=0).min() for k in (1, 2)]
    whole = np.ptp(place[inside], axis=0)
    assert min(spread) < whole.max()  # halves lie side by side


@pytest.mark.parametrize("form", ["nii.gz", "hdf5"])
def test_brains_written_as_nsd_read_back_to_the_last_bit_of_int16(tmp_path, form):
    """Two subjects, four shared pictures, the real reader."""
    order = np.random.default_rng(2).permutation(np.tile(np.arange(24), 3))
    numbers = [np.arange(1, 25), np.r_[1:5, 31:51]]
    brains = {}
    for s in (1, 2):
        brains[s] = plant_brain(
            X[:24], stimulus_id=[f"nsd{n:05d}" for n in numbers[s - 1]], regions=SMALL, rank=4, presentations=order,
            n_sessions=3, rng=s,
        )  # fmt: skip
    images = np.random.default_rng(0).integers(0, 255, (50, 8, 8, 3)).astype(np.uint8)
    write_planted(tmp_path, brains, n_shared=4, images=images, format=form)
    for s, brain in brains.items():
        back = read_nsd_betas(tmp_path, s, trials_per_session=24)
        np.testing.assert_array_equal(np.rint(back.values * 300), np.rint(brain.responses.values * 300))
        for name in ("stimulus_id", "session", "repetition", "i", "j", "k", "neuroid_id", "trial"):
            np.testing.assert_array_equal(back[name].values, brain.responses[name].values)
        if form == "nii.gz":
            np.testing.assert_allclose(back.attrs["affine"], brain.responses.attrs["affine"], atol=1e-6)
        np.testing.assert_allclose(read_nsd_map(tmp_path, s, "ncsnr", like=back), brain.ncsnr, rtol=1e-6)
        codes = read_nsd_map(tmp_path, s, "regions", like=back)
        np.testing.assert_array_equal(
            codes == codes[0], brain.responses.region.values == brain.responses.region.values[0]
        )
    trials = nsd_trials(tmp_path, 2, trials_per_session=24)
    assert trials["shared"].sum() == 12
    np.testing.assert_array_equal(
        read_nsd_images(tmp_path, trials["image_73k"][:3]), images[trials["image_73k"][:3] - 1]
    )


def test_brains_that_cannot_be_written_are_refused(tmp_path):
    brain = planted(n_sessions=7)
    with pytest.raises(ValueError, match="n_sessions must be a divisor"):
        write_planted(tmp_path, {1: brain}, n_shared=1)
    with pytest.raises(ValueError, match="subjects from 1"):
        write_planted(tmp_path, {2: planted()}, n_shared=1)
    with pytest.raises(ValueError, match="of one order of trials"):
        write_planted(tmp_path, {1: planted(), 2: planted(rng=3)}, n_shared=1)
    with pytest.raises(ValueError, match="stimulus_id must be named as NSD's"):
        write_planted(tmp_path, {1: planted(stimulus_id=[f"p{k}" for k in range(60)])}, n_shared=1)
    assert not list(tmp_path.iterdir())


def test_unseen_stimuli_have_no_name_to_shuffle():
    with pytest.raises(ValueError, match="none of 57"):
        planted(presentations=np.array([0, 1, 2]), n_sessions=1).shuffled(0)


BAD = [
    ({"features": X[:, 0]}, r"features must be \(stimulus, feature\), got shape \(60,\)"),
    ({"features": np.where(X > 2, np.nan, X)}, "features must be finite"),
    ({"features": X[:8]}, "features must be of at least 10 stimuli for a rank of 5, got 8. Lower rank"),
    ({"features": np.ones((60, 20))}, "features must be ones that vary"),
    ({"rank": 21}, "rank must be at most 20"),
    ({"nonlinearity": 1.5}, "nonlinearity must be from 0 to 1, got 1.5"),
    ({"shared_noise_share": -0.1}, "shared_noise_share must be from 0 to 1"),
    ({"session_drift": -1}, "session_drift must be a finite number of 0 or more"),
    ({"n_repeats": [1, 2]}, "n_repeats must be one whole number, or one for each of the 60"),
    ({"n_repeats": 0}, "n_repeats must be"),
    ({"presentations": [60]}, "presentations must be .* 0 to 59"),
    ({"n_sessions": 1000}, "n_sessions must be at most 180"),
    ({"stimulus_id": ["a"] * 60}, "60 different names"),
    ({"ncsnr": {"V1": 0.4}}, r"ncsnr must be given for every region, got none for \['PPA'\]"),
    ({"ncsnr": 0}, "ncsnr must be a finite number above 0"),
    ({"regions": {}}, "regions must be at least one"),
    ({"regions": {"V1": np.zeros((2, 2, 2), bool)}, "affine": np.eye(4)}, "a mask of at least one voxel"),
    ({"regions": {"V1": np.ones((2, 2, 2))}, "affine": np.eye(4)}, "of bool"),
    ({"regions": {"V1": np.ones((2, 2, 2), bool)}}, r"affine must be \(4, 4\)"),
    ({"regions": {"V1": np.ones((2, 2, 2), bool), "V2": np.ones((3, 2, 2), bool)}, "affine": np.eye(4)},
     "must be on the grid"),
    ({"affine": np.eye(4)}, "affine must be None for a made grid"),
    ({"concepts": {"face": np.ones(3)}}, "concepts must be directions of 20 numbers"),
    ({"concepts": {"face": np.zeros(20)}}, "concepts must be directions longer than 0, got face"),
    ({"preferred": {"V9": ["concept00"]}}, "preferred must be of the regions"),
    ({"preferred": {"V1": ["nothing"]}}, "names of concepts"),
    ({"split": ("V9", "concept00", "concept01")}, "split must be of the regions"),
    ({"split": ("V1", "concept00", "nothing")}, "split must be of known concepts"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what"), BAD)
def test_what_cannot_be_planted_is_named(change, what):
    with pytest.raises(ValueError, match=what):
        planted(**change)


def test_prediction_refuses_other_features():
    with pytest.raises(ValueError, match=r"features must be \(n, 20\)"):
        planted().predict(np.ones((3, 7)))


SEEN = pd.DataFrame({"onset": [2.0], "duration": 2.0, "trial_type": ["nsd00003"]})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ar1": 1.0}, "ar1 must be above -1 and below 1, got 1.0. 0 is noise without memory"),
        ({"noise_scale": -1}, "noise_scale must be a finite number of 0 or more, got -1"),
        ({"run_drift": np.nan}, "run_drift must be"),
        ({"events": SEEN.assign(trial_type="face")}, r"of stimuli that the brain was shown, got \['face'\]. Name them"),
        ({"events": SEEN.assign(onset=50.0)}, "onset must be within run 1"),
        ({"hrf": "gamma"}, "must be one of 'spm', 'glover', got gamma"),
    ],
)
def test_what_cannot_be_a_time_series_is_named(change, what):
    with pytest.raises(ValueError, match=what):
        plant_bold(planted(), **{"events": SEEN, "tr_s": 2.0, "n_volumes": 20, "rng": 0} | change)


def test_time_series_know_their_voxels_and_their_seed():
    brain = planted()
    one, two, other = (plant_bold(brain, SEEN, tr_s=2.0, n_volumes=20, rng=k) for k in (0, 0, 1))
    np.testing.assert_array_equal(one.values, two.values)
    assert abs(one.values - other.values).max() > 0.1
    for name in ("region", "true_ncsnr", "concept"):
        np.testing.assert_array_equal(one[name].values, brain.responses[name].values)
    assert (one.attrs["units"], one.attrs["tr_s"]) == ("% signal change", 2.0) and "simulated" in one.attrs["source"]
