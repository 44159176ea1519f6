"""Designs, encoding models, permutation, receptive fields, classification: what is refused, and by which words."""

import numpy as np
import pandas as pd
import pytest

from neuroperc import Display
from neuroperc.data import make_responses
from neuroperc.decoding import (
    decode_labels,
    design,
    encode_voxels,
    fir_delays,
    fit_prf,
    hemodynamic_response,
    noise_ceilings,
    permutation_test,
    predict_prf,
    read_bold,
    read_events,
    voxel_weights,
)

EVENTS = pd.DataFrame({"onset": [1.0, 4.0], "duration": [1.0, 1.0], "trial_type": ["a", "b"], "run": [1, 2]})
X = np.random.default_rng(0).normal(size=(20, 3))
Y = make_responses(np.random.default_rng(1).normal(size=(20, 4)), stimulus_id=np.arange(20))
DISPLAY = Display.from_px_per_deg(1, resolution_px=(6, 8))
MOVIE = np.random.default_rng(0).random((20, 6, 8))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"delays_s": None}, "one given and one None"),
        ({"hrf": "spm"}, "one given and one None"),
        ({"slice_time_ref": 2.0}, "from 0 to 1"),
        ({"tr_s": 0.0}, "tr_s must be a finite number above 0"),
        ({"n_volumes": {1: 10}}, r"every run with events, got none for \[2\]"),
        (
            {"n_volumes": {1: 10, 2: 10, 3: 10}},
            r"events must be there for every run of n_volumes, got none in run \[3\]",
        ),
        ({"n_volumes": 2}, r"onset must be within run 2, 0 to 4 s, got 4 s"),
        ({"condition": "kind"}, "condition must be a column of the events"),
        ({"tr_s": 2000}, "tr_s must be a number of seconds, at most 60, got 2000"),
        ({"delays_s": []}, "delays_s must be one finite number of seconds or several"),
        ({"delays_s": [np.nan]}, "delays_s must be one finite number of seconds or several"),
        ({"delays_s": [[0, 2]]}, "delays_s must be one finite number of seconds or several"),
        ({"delays_s": None, "hrf": lambda t: 1.0}, r"hrf must be a function that returns \(640,\) numbers"),
        ({"delays_s": None, "hrf": lambda t: t[:9]}, r"hrf must be a function that returns \(640,\) numbers"),
    ],
)
def test_designs_that_make_no_sense(change, what):
    with pytest.raises(ValueError, match=what):
        design(EVENTS, **({"tr_s": 2, "n_volumes": 10, "delays_s": [0, 2]} | change))
    with pytest.raises(ValueError, match="no rows"):
        design(EVENTS[:0], tr_s=2, n_volumes=10, delays_s=[0])


def test_designs_name_the_file(tmp_path):
    for run, onset in ((1, 1), (2, 99)):
        (tmp_path / f"r{run}.tsv").write_text(f"onset\tduration\ttrial_type\tkind\n{onset}\t1\tface\tn/a\n")
    kind = {"tr_s": 2, "n_volumes": 10, "hrf": "spm"}
    with pytest.raises(ValueError, match=r"onset in r2\.tsv must be within run 2, 0 to 20 s, got 99 s"):
        design(read_events([tmp_path / "r1.tsv", tmp_path / "r2.tsv"]), **kind)
    with pytest.raises(ValueError, match=r"onset in r2\.tsv must be within run 1"):
        design(tmp_path / "r2.tsv", **kind)
    with pytest.raises(ValueError, match=r"r1\.tsv must be a table that names every"):
        design(tmp_path / "r1.tsv", condition="kind", **kind)
    with pytest.raises(ValueError, match=r"events must be a table that names every .* row \[1\]"):
        design(EVENTS.assign(trial_type=["a", None]), **kind)


def test_an_event_of_no_run_is_not_lost():
    with pytest.raises(ValueError, match=r"events must be of a run in every row, got none in row \[1\]"):
        design(EVENTS.assign(run=[1, np.nan]), tr_s=2, n_volumes=10, hrf="spm")


def test_a_response_that_the_volumes_miss_is_refused():
    for tr_s, shift_s in ((2.0, 100.0), (40.0, 0.0)):
        with pytest.raises(ValueError, match="tr_s and shift_s must be such that volumes meet the response"):
            hemodynamic_response("spm", tr_s=tr_s, shift_s=shift_s)
    with pytest.raises(ValueError, match="tr_s must be a number of seconds, at most 60"):
        hemodynamic_response("spm", tr_s=2000)
    with pytest.raises(ValueError, match="delays_s must be one or several"):
        fir_delays(X, delays_s=[], tr_s=2, runs=np.ones(20))


def test_a_run_without_events_is_not_lost():
    with pytest.raises(
        ValueError, match=r"n_volumes must be a mapping from run to number, .* without events in run \[2\]"
    ):
        design(EVENTS.assign(run=[1, 3]), tr_s=2, n_volumes=10, hrf="spm")
    assert design(EVENTS.assign(run=[1, 3]), tr_s=2, n_volumes={1: 10, 3: 10}, hrf="spm").sizes["presentation"] == 20


def test_designs_name_their_regressors():
    found = design(EVENTS, tr_s=2, n_volumes={1: 4, 2: 3}, delays_s=[0, 2.5])
    assert found.neuroid_id.values.tolist() == ["a+0s", "a+2.5s", "b+0s", "b+2.5s"]
    assert found.time_s.values.tolist() == [0, 2, 4, 6, 0, 2, 4]
    assert found.time_s.dtype == float
    with pytest.raises(ValueError, match="hrf must be one of 'spm', 'glover', got boynton"):
        design(EVENTS, tr_s=2, n_volumes=4, hrf="boynton")
    assert design(EVENTS, tr_s=2, n_volumes=4, hrf="glover").condition.values.tolist() == ["a", "b"]


def test_long_blocks_reach_one():
    """A response function of integral 1 makes a sustained stimulus 1, and delays make it the share of the bin."""
    events = pd.DataFrame({"onset": [0.0], "duration": [60.0], "trial_type": ["a"]})
    assert design(events, tr_s=2, n_volumes=30, hrf="spm").values[-8:] == pytest.approx(1, abs=1e-3)
    assert design(events, tr_s=2, n_volumes=30, delays_s=[0]).values.ravel().tolist() == [1] * 30


def test_delays_and_responses():
    with pytest.raises(ValueError, match="whole multiples of tr_s = 2"):
        fir_delays(X, delays_s=[3], tr_s=2, runs=np.zeros(20))
    with pytest.raises(ValueError, match="one piece"):
        fir_delays(X, delays_s=[2], tr_s=2, runs=np.tile([0, 1], 10))
    with pytest.raises(ValueError, match="'spm', 'glover'"):
        hemodynamic_response("boxcar", tr_s=2)
    with pytest.raises(TypeError, match="function of seconds"):
        hemodynamic_response(3.0, tr_s=2)
    with pytest.raises(ValueError, match="integral above 0"):
        hemodynamic_response(np.zeros_like, tr_s=2)
    later = hemodynamic_response("spm", tr_s=0.5, shift_s=2)
    assert later.argmax() - hemodynamic_response("spm", tr_s=0.5).argmax() == 4


def test_encoding_refuses_what_does_not_match():
    bad = Y.copy(data=np.where(np.arange(4) == 1, np.nan, Y.values))
    for function in (encode_voxels, voxel_weights):
        with pytest.raises(ValueError, match=r"features must be \(20, feature\)"):
            function(X[:5], Y)
        with pytest.raises(ValueError, match='nan="drop"'):
            function(X, bad)
        with pytest.raises(ValueError, match="features must be finite"):
            function(np.where(X > 1, np.nan, X), Y)
        with pytest.raises(ValueError, match="groups must be a coordinate among"):
            function(X, Y, groups="run")
        with pytest.raises(ValueError, match="ones that vary"):
            function(np.ones((20, 2)), Y)
    with pytest.raises(ValueError, match="without a group on both sides"):
        encode_voxels(X, Y, groups=np.zeros(20), splits=[(np.arange(10), np.arange(10, 20))])
    with pytest.raises(ValueError, match="n_folds"):
        encode_voxels(X, Y, n_folds=30)
    with pytest.raises(ValueError, match="stimuli that repeat"):
        noise_ceilings(Y, rng=0)


@pytest.mark.parametrize(
    "function",
    [encode_voxels, voxel_weights, lambda x, y, **kind: permutation_test(x, y, n_permutations=3, rng=0, **kind)],
)
def test_what_would_leak_is_refused(function):
    series = Y.assign_coords(
        time_s=("presentation", np.tile(np.arange(5.0), 4)), run=("presentation", np.arange(20) // 5)
    )
    for groups in ("stimulus_id", np.arange(20)):
        with pytest.raises(ValueError, match=r'groups must be of several rows each.*got 20 of one row.*groups="run"'):
            function(X, series, groups=groups)
    kind = {"n_folds": 4} if function is not voxel_weights else {}
    assert function(X, series, groups="run", **kind).sizes["neuroid"] == 4
    repeated = Y.assign_coords(stimulus_id=("presentation", np.arange(20) // 2))
    with pytest.raises(
        ValueError, match=r"groups must be the same for all rows of one stimulus, got another one in row 1"
    ):
        function(X, repeated, groups=np.arange(20))
    assert function(X, repeated, **kind).sizes["neuroid"] == 4


@pytest.mark.parametrize("function", [encode_voxels, voxel_weights])
def test_volumes_named_by_run_and_number_are_a_time_series(function):
    """`read_bold` and `design` name rows so; a movie's frames keep their names and tr_s when time_s is gone."""
    trials = Y.assign_coords(stimulus_id=("presentation", [f"clip {k // 10}:{k % 10}" for k in range(20)]))
    assert function(X, trials).sizes["neuroid"] == 4  # pictures may be numbered, too
    frames = trials.assign_attrs(tr_s=2.0)
    with pytest.raises(ValueError, match="groups must be of several rows each for a time series"):
        function(X, frames)
    assert function(X, frames, groups=np.repeat(np.arange(5), 4)).sizes["neuroid"] == 4
    pictures = frames.assign_coords(stimulus_id=("presentation", [f"cat:{k * 7 % 20}" for k in range(20)]))
    assert function(X, pictures).sizes["neuroid"] == 4  # not in order: no time series
    exemplars = Y.assign_coords(stimulus_id=("presentation", [f"class {k // 4}:{k % 4}" for k in range(20)]))
    assert function(X, exemplars).sizes["neuroid"] == 4  # too few of each


@pytest.mark.parametrize(
    "function",
    [encode_voxels, voxel_weights, lambda x, y: permutation_test(x, y, n_permutations=3, rng=0)],
)
def test_no_voxel_and_features_that_are_no_numbers_are_refused(function):
    with pytest.raises(ValueError, match="responses must be of at least one voxel, got none"):
        function(X, Y[:, :0])
    for odd in (X * 1j, X.astype(str), X.astype(object)):
        with pytest.raises(ValueError, match=r"features must be real numbers, got dtype"):
            function(odd, Y)


def test_a_gpu_takes_as_many_voxels_as_its_own_memory_holds(monkeypatch):
    """A fake device: what is free on the host does not count."""
    from neuroperc.decoding import voxelwise
    from neuroperc.regression import rotate

    asked, taken = [], []

    class Counting(voxelwise.RidgeCV):
        def fit(self, features, targets, groups=None):
            taken.append(targets.shape[1])
            return super().fit(features, targets, groups)

    def free(device=None):
        asked.append(device)
        return 4 * 64 * 8 * (8 * 20 + 2 * 3) if device == "meta-gpu" else 1e12

    monkeypatch.setattr(voxelwise, "_free_bytes", free)
    monkeypatch.setattr(voxelwise, "rotate", lambda x, device: rotate(x))
    monkeypatch.setattr(voxelwise, "RidgeCV", lambda alphas, device: Counting(alphas))
    wide = make_responses(np.random.default_rng(1).normal(size=(20, 150)), stimulus_id=np.arange(20))
    voxelwise.voxel_weights(X, wide, device="meta-gpu")
    assert set(asked) == {"meta-gpu"} and taken == [64, 64, 22]


@pytest.mark.parametrize("n_repeats", [0, -1, np.nan])
def test_ceilings_are_for_a_number_of_repeats(n_repeats):
    twice = Y.assign_coords(stimulus_id=("presentation", np.arange(20) // 2))
    with pytest.raises(ValueError, match="n_repeats must be a finite number above 0"):
        noise_ceilings(twice, n_repeats=n_repeats, rng=0)


def test_permutation_refuses_what_cannot_be_tested():
    flat = Y.copy(data=np.where(np.arange(4) == 1, 3.0, Y.values))
    with pytest.raises(ValueError, match="1 constant voxels"):
        permutation_test(X, flat, n_permutations=3, rng=0)
    with pytest.raises(ValueError, match="within must be a coordinate"):
        permutation_test(X, Y, within="run", n_permutations=3, rng=0)
    with pytest.raises(ValueError, match="none that can move"):
        permutation_test(X, Y, within=np.arange(20), n_permutations=3, rng=0)
    with pytest.raises(TypeError, match="rng"):
        permutation_test(X, Y, n_permutations=3, rng=None)


def test_blocks_of_a_time_series_keep_their_order():
    found = permutation_test(X, Y, groups=np.repeat(np.arange(5), 4), n_permutations=9, rng=0)
    assert found.r.shape == (4,)
    assert found.n_permutations == 9


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"movie": MOVIE[:, :4]}, "of the display's"),
        ({"movie": MOVIE[0]}, r"\(volume, height, width\)"),
        ({"movie": np.ones_like(MOVIE)}, "one that changes"),
        ({"movie": np.where(MOVIE > 0.9, np.nan, MOVIE)}, "movie must be finite"),
        ({"bold": Y.values[:5]}, r"bold must be \(20, voxel\)"),
        ({"bold": np.full((20, 2), np.nan)}, 'nan="drop"'),
        ({"hrf": np.ones((2, 2))}, "hemodynamic_response"),
        ({"sizes_deg": [0.0]}, "sizes_deg must be finite and above 0"),
        ({"grid_step_deg": 0.0}, "grid_step_deg must be above 0"),
        ({"outside": -1.0}, "outside must be a finite number of 0 or more"),
        ({"negative_gain": -0.1}, "negative_gain must be"),
        ({"center_deg": (0.0, np.inf)}, "center_deg must be two finite"),
        ({"hrf": [0.0, 0.0]}, "hrf must be a response that the movie's 20 volumes meet"),
        ({"hrf": [0.0] * 30 + [1.0]}, "hrf must be a response that the movie's 20 volumes meet"),
        ({"bold": np.ones((20, 0))}, "bold must be"),
        ({"sizes_deg": []}, "sizes_deg must be finite and above 0"),
        ({"bold": Y.assign_coords(run=("presentation", np.arange(20) // 10))}, "bold must be of one run, got 2 runs"),
    ],
)
def test_receptive_fields_refuse(change, what):
    kind = {
        "bold": Y.values,
        "movie": MOVIE,
        "display": DISPLAY,
        "hrf": [1.0],
        "sizes_deg": [1.0],
        "n_steps": 2,
    } | change
    with pytest.raises(ValueError, match=what):
        fit_prf(kind.pop("bold"), kind.pop("movie"), **kind)


def test_predictions_need_a_place():
    for name in ("x_deg", "y_deg"):
        prf = {"x_deg": [0.0], "y_deg": [0.0], "size_deg": [1.0]} | {name: [np.nan]}
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            predict_prf(prf, MOVIE, display=DISPLAY, hrf=[1.0])
    with pytest.raises(ValueError, match="x_deg, y_deg and size_deg must be of one length"):
        predict_prf({"x_deg": [0, 1], "y_deg": [0.0], "size_deg": [1.0]}, MOVIE, display=DISPLAY, hrf=[1.0])


def test_receptive_fields_keep_the_voxels_labels():
    bold = Y.assign_coords(i=("neuroid", [4, 3, 2, 1]))
    found = fit_prf(bold, MOVIE, display=DISPLAY, hrf=[1.0])
    assert found.i.values.tolist() == [4, 3, 2, 1]
    assert found.x_deg.attrs["units"] == "deg"
    again = predict_prf(found, MOVIE, display=DISPLAY, hrf=[1.0])
    explained = 1 - ((bold.values - again) ** 2).sum(0) / ((bold.values - bold.values.mean(0)) ** 2).sum(0)
    there = np.isfinite(explained)
    np.testing.assert_allclose(explained[there], found.r2[there], atol=1e-8)


def test_classification_refuses():
    labels, runs = np.tile(["a", "b"], 10), np.repeat(np.arange(5), 4)
    for change, what in [({"labels": labels[:3]}, "labels must be one for each"),
                         ({"labels": ["a"] * 20}, "two or more"),
                         ({"runs": np.repeat([0, 1], 10)}, "four or more"), ({"patterns": X[:, 0]}, r"\(row, voxel\)"),
                         ({"patterns": np.ones((20, 3))}, "patterns must be ones that vary"),
                         ({"labels": np.r_[[np.nan] * 3, np.ones(17)]}, "labels must be there for every row, got none"),
                         ({"labels": [float("nan"), "a"] * 10}, "labels must be there for every row, got none"),
                         ({"labels": [None, *labels[1:]]}, r"got none in row \[0\]"),
                         ({"runs": np.r_[np.nan, runs[1:]]}, "runs must be there for every row, got none"),
                         ({"patterns": np.where(X > 1, np.nan, X)}, "patterns must be finite")]:  # fmt: skip
        kind = {"patterns": X, "labels": labels, "runs": runs} | change
        with pytest.raises(ValueError, match=what):
            decode_labels(kind.pop("patterns"), kind.pop("labels"), **kind)


def test_a_real_slice_is_read(data_dir):
    """Haxby et al. 2001: twelve runs of 121 volumes, 530 voxels, eight blocks a run."""
    folder = data_dir / "fmri" / "haxby2001_slice"
    runs = sorted((folder / "sub001" / "BOLD").glob("task001_run*"))
    mask = folder / "concatenated" / "mask.nii.gz"
    bold = read_bold([r / "bold_1slice.nii.gz" for r in runs], mask=mask)
    assert bold.shape == (1452, 530)
    assert bold.attrs["tr_s"] == 2.5
    whole = read_bold(folder / "concatenated" / "bold.nii.gz", mask=mask, runs=np.repeat(np.arange(12), 121))
    np.testing.assert_array_equal(whole.values, bold.values)
    events = read_events([r / "bold_events.tsv" for r in runs])
    assert events.groupby("trial_type").size().tolist() == [12] * 8
    found = design(events, tr_s=2.5, n_volumes=121, hrf="spm")
    assert found.shape == (1452, 8)
