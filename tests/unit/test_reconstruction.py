"""Pictures from voxels: planted ones come back, guesses stand at chance, and what would leak is refused."""

import itertools

import numpy as np
import pytest
from scipy.io import savemat

import neuroperc as npc
from neuroperc.data import make_responses
from neuroperc.decoding import reconstruct
from neuroperc.decoding._ranks import chance_of_first, ranks, similarities

RNG = np.random.default_rng(0)
PICTURES = (RNG.random((24, 5, 5)) < 0.5).astype(float)
OWN = np.repeat(np.arange(24), 2)
VOXELS = PICTURES.reshape(24, 25)[OWN] @ RNG.normal(size=(25, 120)) + RNG.normal(size=(48, 120))
DISPLAY = npc.Display.from_px_per_deg(4, resolution_px=(32, 32))


@pytest.fixture(scope="module")
def found():
    return reconstruct(VOXELS, PICTURES[OWN], stimuli=OWN, conditions=OWN % 2, n_folds=8)


def test_planted_pictures_come_back_and_guesses_stand_at_chance(found):
    mean = found.summary(n_resamples=50, rng=0)
    assert mean.loc["reconstruction", "pixcorr"] > 0.7 > mean.loc["mean image", "pixcorr"] + 0.4
    assert mean.loc["reconstruction", "n_way"] > 0.9 and mean.loc["encoding model", "n_way"] > 0.9
    assert mean.loc["mean image", "two_way"] == 0.5
    assert mean.loc["mean image", "n_way"] == pytest.approx(1 / 12, abs=1e-12) == found.chance()
    assert mean.loc["reconstruction", "pixcorr_low"] < mean.loc["reconstruction", "pixcorr"]
    assert np.isnan(mean.loc["encoding model", "pixcorr"])
    # The shown picture was not among the training ones; the nearest of them says less than the reconstruction.
    assert mean.loc["nearest image", "n_way"] < 0.5 * mean.loc["reconstruction", "n_way"]
    np.testing.assert_allclose(found.identification(12), found.of("reconstruction")["n_way"])
    np.testing.assert_allclose(found.identification(2), found.of("reconstruction")["two_way"])


def test_more_candidates_are_harder_where_there_is_noise():
    noisy = VOXELS + np.random.default_rng(1).normal(scale=12, size=VOXELS.shape)
    found = reconstruct(noisy, PICTURES[OWN], stimuli=OWN, conditions=OWN % 2, n_folds=8)
    share = [found.identification(n).mean() for n in (2, 5, 12)]
    assert 1 > share[0] > share[1] > share[2] > found.chance()


def test_it_is_the_ridge_that_scikit_learn_refits(found):
    """One held-out fold by hand: standardised by its training rows, the penalty by leaving out groups."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    from neuroperc.regression import fold_splits

    train, test = fold_splits(OWN, n_folds=8, rng=1)[3]
    x, y = VOXELS[train], PICTURES.reshape(24, 25)[OWN[train]]
    mean, spread = x.mean(axis=0), x.std(axis=0)
    x, scale = (x - mean) / spread, 120.0
    folds = list(GroupKFold(len(np.unique(OWN[train]))).split(x, y, OWN[train]))
    alphas = scale * np.logspace(-4, 3, 15)
    errors = np.zeros((15, 25))
    for (k, alpha), (a, b) in itertools.product(enumerate(alphas), folds):
        errors[k] += ((Ridge(alpha).fit(x[a], y[a]).predict(x[b]) - y[b]) ** 2).sum(axis=0)
    best = alphas[errors.argmin(axis=0)]
    expected = Ridge(best).fit(x, y).predict((VOXELS[test] - mean) / spread)
    np.testing.assert_allclose(found.predictions[test].reshape(len(test), 25), expected, atol=1e-8)
    np.testing.assert_allclose(found.mean_image[test[0]].ravel(), y.mean(axis=0), atol=1e-12)
    same = PICTURES[OWN[train]][OWN[train] % 2 == OWN[test[0]] % 2]
    np.testing.assert_allclose(found.class_mean[test[0]], same.mean(axis=0), atol=1e-12)


def test_pixel_correlation_is_numpys(found):
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(found.predictions, found.images, strict=True)]
    np.testing.assert_allclose(found.of("reconstruction")["pixcorr"], expected, atol=1e-12)


def test_shuffled_pictures_are_at_chance_and_gain_offset_and_order_of_voxels_change_nothing():
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(20):
        one = reconstruct(VOXELS[rng.permutation(48)], PICTURES[OWN], stimuli=OWN, n_folds=6, encoding=False)
        shares.append(one.of("reconstruction")["two_way"].mean())
    assert abs(np.mean(shares) - 0.5) < 4 * np.std(shares) / 20**0.5
    once, again = (
        reconstruct(x, PICTURES[OWN], stimuli=OWN, n_folds=6)
        for x in (VOXELS, (VOXELS * rng.uniform(1, 9, 120) - 5)[:, ::-1])
    )
    np.testing.assert_allclose(again.predictions, once.predictions, atol=1e-8)
    weighted = reconstruct(
        np.c_[VOXELS, rng.normal(size=(48, 2000))], PICTURES[OWN], stimuli=OWN, n_folds=6, screen=5, encoding=False
    )
    plain = reconstruct(
        np.c_[VOXELS, rng.normal(size=(48, 2000))], PICTURES[OWN], stimuli=OWN, n_folds=6, encoding=False
    )
    assert weighted.of("reconstruction")["pixcorr"].mean() > plain.of("reconstruction")["pixcorr"].mean()


def test_ranks_by_counting():
    rng = np.random.default_rng(2)
    pattern, reference, candidates = rng.normal(size=(6, 9)), rng.normal(size=(6, 9)), rng.normal(size=(4, 9))
    expected = [[np.dot(p, c - r) / np.linalg.norm(p) / np.linalg.norm(c - r) for c in candidates]
                for p, r in zip(pattern, reference, strict=True)]  # fmt: skip
    np.testing.assert_allclose(similarities(pattern, reference, candidates), expected, atol=1e-12)
    like = np.array([[0.5, 0.9, 0.5, 0.1], [0.3, 0.2, 0.1, 0.8]])
    better, tied, there = ranks(like, np.array([0, 3]), np.array([[True] * 4, [True, True, False, True]]))
    assert (better.tolist(), tied.tolist(), there.tolist()) == ([1, 0], [1, 0], [4, 3])
    # All draws of two others out of three: one is better, one as good (a coin), one worse.
    draws = [
        np.prod([{0.9: 0, 0.5: 0.5, 0.1: 1}[v] for v in two]) for two in itertools.combinations([0.9, 0.5, 0.1], 2)
    ]
    assert chance_of_first(better, tied, there, 3)[0] == pytest.approx(np.mean(draws))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"responses": VOXELS[:, 0]}, r"responses must be \(row, voxel\)"),
        ({"responses": np.where(VOXELS > 5, np.nan, VOXELS)}, 'responses must be finite.*nan="drop"'),
        ({"responses": np.ones_like(VOXELS)}, "ones that vary in every fold"),
        ({"images": PICTURES}, r"images must be \(48, ...\)"),
        ({"images": np.where(PICTURES[OWN] > 0, np.inf, 0)}, "images must be finite"),
        ({"stimuli": OWN // 2}, "images must be the same for all rows of one stimulus"),
        ({"stimuli": OWN[:5]}, "stimuli must be a label for each of the 48 rows"),
        ({"stimuli": "stimulus_id"}, "stimuli must be labels, or a coordinate among"),
        ({"groups": np.arange(48)}, "groups must be the same for all rows of one stimulus.*leaks"),
        ({"groups": np.arange(48) // 24}, "groups must be four or more, got 2"),
        ({"conditions": np.arange(48)}, "conditions must be the same for all rows"),
        ({"conditions": np.where(OWN == 3, "odd", "even")}, "conditions must be of two or more stimuli.*one in .'odd'"),
        ({"screen": -1}, "screen must be a whole number of at least 0"),
        ({"n_folds": 99}, "n_folds must be at most"),
    ],
)
def test_what_does_not_fit_is_refused(change, what):
    options = {"responses": VOXELS, "images": PICTURES[OWN], "stimuli": OWN} | change
    with pytest.raises((ValueError, TypeError), match=what):
        reconstruct(options.pop("responses"), options.pop("images"), **options)


def test_results_refuse_what_they_do_not_have(found):
    with pytest.raises(ValueError, match="source must be one of 'reconstruction'"):
        found.of("oracle")
    with pytest.raises(ValueError, match="at most 12, the candidates of the smallest condition"):
        found.identification(13)
    for n in (13, 1, 0):
        with pytest.raises(ValueError, match="n_candidates must be"):
            found.chance(n)


def test_a_stimulus_set_is_matched_by_id():
    names = [f"p{i}" for i in range(24)]
    pictures = npc.StimulusSet.from_arrays(PICTURES[::-1, None], display=DISPLAY, ids=names[::-1], size_deg=1.25)
    labelled = make_responses(VOXELS, stimulus_id=[names[i] for i in OWN])
    one = reconstruct(labelled, pictures, n_folds=6, encoding=False)
    np.testing.assert_array_equal(one.images[:, 0], PICTURES[OWN])
    with pytest.raises(ValueError, match="none for \\['p0'\\]"):
        reconstruct(labelled, pictures[names[1:]], n_folds=6)
    with pytest.raises(ValueError, match="a Responses when images is a StimulusSet"):
        reconstruct(VOXELS, pictures, stimuli=OWN)


def written(path, side=28, sessions=(21, 25, 27, 29), **change):
    """A tiny file of the layout: 12 trials of 3 pictures, stored out of order, column by column."""
    rng = np.random.default_rng(0)
    pictures = rng.random((3, side, side))
    values, order = rng.normal(size=(12, 5)), rng.permutation(12)
    shown, label = np.arange(12) % 3, np.repeat(sessions, 3)
    flat = pictures.swapaxes(1, 2).reshape(3, -1)
    parts = {}
    for name, rows in (("Trn", order[:9]), ("Test", order[9:])):
        parts |= {f"fmri{name}": values[rows], f"stim{name}": flat[shown[rows]], f"label{name}": label[rows][:, None]}
    parts |= {"train_indices": order[None, :9], "test_indices": order[None, 9:]} | change
    savemat(path, {k: v for k, v in parts.items() if v is not None})
    return pictures, values, shown


def test_trials_return_to_their_order_and_pictures_stand_upright(tmp_path):
    pictures, values, shown = written(tmp_path / "v1.mat")
    v1 = npc.data.read_miyawaki_v1(tmp_path / "v1.mat")
    np.testing.assert_array_equal(v1.values, values)
    assert v1.stimulus_id.values.tolist() == [f"picture{k + 1:02d}" for k in shown]
    assert v1.repetition.values.tolist() == np.repeat(range(4), 3).tolist()
    seen = np.unique(v1.condition.values)
    assert seen.tolist() == ["letters 1a", "letters 1b", "letters 2", "shapes"]
    images = npc.data.read_miyawaki_v1_stimuli(tmp_path / "v1.mat", display=DISPLAY, size_deg=7)
    np.testing.assert_allclose(np.asarray(images["picture02"])[0], pictures[1], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"fmriTrn": None}, "without fmriTrn"),
        ({"stimTrn": np.zeros((9, 100)), "stimTest": np.zeros((3, 100))}, r"\(12, 784\) together"),
        ({"fmriTest": np.zeros((3, 4))}, "of one width"),
        ({"labelTest": np.ones((2, 1))}, "one for each of 12 trials, got 11"),
        ({"fmriTrn": np.full((9, 5), np.nan)}, "must be finite"),
        ({"train_indices": np.zeros((1, 9))}, "a place for each of 12 trials"),
        ({"labelTrn": np.full((9, 1), 3)}, "session numbers 21 to 32, got .3"),
        ({"fmriTrn": np.array([["a"]], dtype=object)}, "a matrix of numbers"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path, change, what):
    written(tmp_path / "v1.mat", **change)
    with pytest.raises(ValueError, match=what):
        npc.data.read_miyawaki_v1(tmp_path / "v1.mat")


def test_digits_and_broken_files(tmp_path):
    written(tmp_path / "d.mat", sessions=(1, 2, 1, 2), train_indices=None, test_indices=None)
    digits = npc.data.read_digits69(tmp_path / "d.mat")
    assert sorted(set(digits.digit.values)) == ["6", "9"]
    assert len(npc.data.read_digits69_stimuli(tmp_path / "d.mat", display=DISPLAY, size_deg=7)) == 12
    written(tmp_path / "e.mat")
    with pytest.raises(ValueError, match=r"1 \(six\) or 2 \(nine\), got \[21"):
        npc.data.read_digits69(tmp_path / "e.mat")
    (tmp_path / "cut.mat").write_bytes((tmp_path / "d.mat").read_bytes()[:700])
    (tmp_path / "text.mat").write_text("no MATLAB file\n" * 20)
    for name in ("cut.mat", "text.mat"):
        with pytest.raises(ValueError, match=rf"{name} must be a whole MATLAB file"):
            npc.data.read_digits69(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="a file that exists"):
        npc.data.read_miyawaki_v1(tmp_path / "none.mat")


def test_real_people(data_dir):
    """Measured baselines: V1 of one person, and sixes and nines; the published layout is what we think it is."""
    folder = data_dir / "fmri"
    v1 = npc.data.read_miyawaki_v1(folder / "miyawaki2008_structured" / "miyawaki_structured_28x28_sessions.mat")
    assert v1.shape == (119, 967)
    assert np.unique(v1.stimulus_id, return_counts=True)[1].tolist().count(4) == 10
    digits = npc.data.read_digits69(folder / "digits69_vangerven2010" / "digit69_28x28.mat")
    assert digits.shape == (100, 3092) and (digits.digit.values == "6").sum() == 50
