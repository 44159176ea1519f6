"""Scanpath metrics against multimatch_gaze, scikit-learn, and the published equations written out as loops."""

import sys
import warnings
from pathlib import Path

import multimatch_gaze
import numpy as np
import pytest
from sklearn.cluster import MeanShift

from neuroperc import metrics as m
from neuroperc.search.clustering import mean_shift

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from baselines import scanpath_loops as loops

SCREEN = (720, 1280)
THRESHOLDS = [(45.0, 0.3, 147.0), (45.0, 0.05, 150.0), (30.0, 0.1, 100.0), (0.0, 0.3, 200.0), (60.0, 0.5, 0.0)]


@pytest.fixture(scope="module")
def segments(data_dir):
    folder = data_dir / "search/multimatch/fixvectors"
    return [[np.loadtxt(folder / f"segment_{k}_sub-{s}.tsv", skiprows=1) for k in range(55)] for s in ("01", "19")]


def peer(a, b, **options):
    records = [np.rec.fromarrays(p.T, names="start_x,start_y,duration") for p in (a, b)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = multimatch_gaze.docomparison(*records, screensize=[1280, 720], **options)
    return np.array([float(np.ravel(v)[0]) for v in found])


def test_multimatch_on_studyforrest(segments):
    found = m.multimatch(*segments, screen=SCREEN)
    assert found.shape == (55, 5)
    np.testing.assert_allclose(found, [peer(a, b) for a, b in zip(*segments, strict=True)], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[10], [0.990821, 0.699017, 0.989271, 0.947669, 0.655633], atol=5e-7)


@pytest.mark.parametrize("angle_deg, duration_s, length", THRESHOLDS)
def test_simplified_multimatch_on_studyforrest(segments, angle_deg, duration_s, length):
    options = {"merge_angle_deg": angle_deg, "merge_duration_s": duration_s, "merge_length": length}
    found = m.multimatch(*segments, screen=SCREEN, **options)
    assert np.isfinite(found).all()  # also where the peer raises
    n_equal = 0
    for k, (a, b) in enumerate(zip(*segments, strict=True)):
        try:
            expected = peer(a, b, grouping=True, TDir=angle_deg, TDur=duration_s, TAmp=length)
        except (IndexError, ValueError):
            continue
        np.testing.assert_allclose(found[k], expected, rtol=0, atol=1e-9)
        n_equal += 1
    assert n_equal >= 45
    if (angle_deg, duration_s, length) == THRESHOLDS[0]:
        assert n_equal == 50
        np.testing.assert_allclose(found[10], [0.950758, 0.956375, 0.940824, 0.944912, 0.782609], atol=1e-6)


def test_multimatch_of_random_pairs_in_large_parts():
    rng = np.random.default_rng(0)
    paths = [np.c_[rng.uniform(0, 1280, n), rng.uniform(0, 720, n), rng.uniform(0.1, 0.6, n)] for n in range(3, 23)]
    paths[4][3] = paths[4][2]  # a saccade of length 0
    every = m.multimatch(paths, screen=SCREEN)
    pairs = m.scanpath_pairs(len(paths))
    for k in rng.choice(len(pairs), 40, replace=False):
        np.testing.assert_allclose(every[k], peer(paths[pairs[k, 0]], paths[pairs[k, 1]]), rtol=0, atol=1e-9)


def test_edit_distances_are_those_of_the_loops():
    rng = np.random.default_rng(1)
    words = [rng.integers(0, 5, n) for n in rng.integers(1, 15, 12)]
    pairs = m.scanpath_pairs(len(words))
    ones = np.eye(5)
    for k, (i, j) in enumerate(pairs):
        a, b = words[i], words[j]
        assert m.levenshtein(words)[k] == loops.levenshtein(a, b)
        expected = loops.needleman_wunsch(a, b, ones, 0.0)[-1, -1] / max(len(a), len(b))
        assert m.sequence_score(words)[k] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("gap", [0.0, -0.7])
@pytest.mark.parametrize("bin_s", [None, 0.1])
def test_scanmatch_is_that_of_the_loop(gap, bin_s):
    rng = np.random.default_rng(2)
    paths = [np.c_[rng.uniform(0, 1280, n), rng.uniform(0, 720, n), rng.uniform(0.06, 0.5, n)] for n in range(1, 11)]
    found = m.scanmatch(paths, screen=SCREEN, grid=(6, 10), threshold=2.5, gap=gap, bin_s=bin_s)
    for k, (i, j) in enumerate(m.scanpath_pairs(len(paths))):
        expected = loops.scanmatch(paths[i], paths[j], SCREEN, (6, 10), 2.5, gap, bin_s)
        assert found[k] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_time_delay_embedding_is_that_of_the_loop(norm):
    rng = np.random.default_rng(3)
    paths = [np.c_[rng.uniform(0, 1280, n), rng.uniform(0, 720, n)] for n in (3, 5, 8, 9)]
    every = {k: m.time_delay_embedding(paths, paths, k=k, norm=norm, pairs="all") for k in (1, 3)}
    furthest = m.time_delay_embedding(paths, paths, k=3, reduce="max", norm=norm, pairs="all")
    scaled = m.scaled_time_delay_embedding(paths, paths, screen=SCREEN, norm=norm, pairs="all")
    for i, a in enumerate(paths):
        for j, b in enumerate(paths):
            for k, found in every.items():
                assert found[i, j] == pytest.approx(loops.time_delay_embedding(a, b, k, norm=norm), rel=1e-12)
            expected = loops.time_delay_embedding(a, b, 3, reduce=max, norm=norm)
            assert furthest[i, j] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            assert scaled[i, j] == pytest.approx(loops.scaled_time_delay_embedding(a, b, SCREEN, norm=norm), rel=1e-12)


def test_scasim_is_the_recursion():
    rng = np.random.default_rng(4)
    paths = [np.c_[rng.uniform(-12, 12, n), rng.uniform(-9, 9, n), rng.uniform(0, 0.5, n)] for n in (1, 4, 6, 9)]
    found = m.scasim(paths, paths, pairs="all")
    for i, a in enumerate(paths):
        for j, b in enumerate(paths):
            assert found[i, j] == pytest.approx(loops.scasim(a, b), abs=1e-12)


def test_mean_shift_is_that_of_scikit_learn():
    rng = np.random.default_rng(5)
    for bandwidth in (0.8, 2.0, 5.0):
        points = np.concatenate([rng.normal(c, 0.7, (40, 2)) for c in ((0, 0), (4, 1), (-3, 6))])
        expected = MeanShift(bandwidth=bandwidth).fit(points).labels_
        found = mean_shift(points, bandwidth, 300)
        # Numbers may differ between equally full regions: compare who is with whom.
        np.testing.assert_array_equal(found[:, None] == found, expected[:, None] == expected)
