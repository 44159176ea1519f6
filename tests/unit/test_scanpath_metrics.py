"""Scanpath metrics: reference values, shapes, the NaN policy, bad input."""

import json

import numpy as np
import pytest
import scipy.io
import torch

from neuroperc import metrics as m

SCREEN = (768, 1024)
ON_PATHS = {
    "multimatch": lambda a, b=None, **k: m.multimatch(a, b, screen=SCREEN, **k),
    "multimatch_simplified": lambda a, b=None, **k: m.multimatch(
        a, b, screen=SCREEN, merge_angle_deg=45, merge_length=150, merge_duration_s=0.3, **k
    ),
    "scanmatch": lambda a, b=None, **k: m.scanmatch(a, b, screen=SCREEN, grid=(8, 12), **k),
    "scanmatch_binned": lambda a, b=None, **k: m.scanmatch(a, b, screen=SCREEN, bin_s=0.1, **k),
    "scanmatch_gap": lambda a, b=None, **k: m.scanmatch(a, b, screen=SCREEN, gap=-0.5, **k),
    "string_edit_distance": lambda a, b=None, **k: m.string_edit_distance(a, b, screen=SCREEN, **k),
    "tde": lambda a, b=None, **k: m.time_delay_embedding(a, b, k=2, **k),
    "tde_hausdorff": lambda a, b=None, **k: m.time_delay_embedding(a, b, k=2, reduce="max", norm="l2", **k),
    "stde": lambda a, b=None, **k: m.scaled_time_delay_embedding(a, b, screen=SCREEN, **k),
    "scasim": lambda a, b=None, **k: m.scasim(a, b, geometry="small_angle", **k),
}
ON_LABELS = {
    "levenshtein": m.levenshtein,
    "fixation_edit_distance": m.fixation_edit_distance,
    "sequence_score": m.sequence_score,
}


def make_paths(n=7, seed=0, shortest=3, longest=12):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(shortest, longest + 1, n)
    return [np.c_[rng.uniform(0, 1024, k), rng.uniform(0, 768, k), rng.uniform(0.05, 0.6, k)] for k in sizes]


@pytest.fixture(scope="module")
def example(data_dir):
    stored = scipy.io.loadmat(data_dir / "search/scanmatch/ScanMatch_DataExample.mat")
    return [stored[f"data{k}"] * [1, 1, 1e-3] for k in (1, 2, 3)]


@pytest.fixture(scope="module")
def amazon(data_dir):
    """Scanpaths over 6 x 14 covers: labels, targets, pictures, people; those within three SD of the mean length."""
    stored = json.loads((data_dir / "search/sti_amazon/Amazon.json").read_text())
    rows = []
    for picture, trial in stored.items():
        grid = {"screen": (trial["size"]["height"], trial["size"]["width"]), "grid": (6, 14), "outside": "clip"}
        box = trial["ground_truth"][0]
        target = m.grid_labels([(box["xmin"] + box["xmax"]) / 2, (box["ymin"] + box["ymax"]) / 2], **grid)
        for person, fixations in trial["fixations"].items():
            rows.append((m.grid_labels(np.array(fixations, dtype=float), **grid), int(target), picture, person))
    n = np.array([len(row[0]) for row in rows])
    kept = np.abs(n - n.mean()) <= 3 * n.std()
    return [[row[k] for row, keep in zip(rows, kept, strict=True) if keep] for k in range(4)]


def test_scanmatch_example(example):
    options = {"screen": SCREEN, "grid": (8, 12)}
    np.testing.assert_allclose(m.scanmatch(example, **options), [0.617831, 0.258243, 0.230499], atol=5e-7)
    found = m.scanmatch(example, bin_s=0.1, **options)
    np.testing.assert_allclose(found, [0.672514, 0.228297, 0.253819], atol=5e-7)


def test_string_edit_distance_example(example):
    assert m.string_edit_distance(example, screen=SCREEN, whole_pixels=True).tolist() == [9, 18, 19]


def test_time_delay_embedding_example(example):
    a, b, _ = example
    assert m.time_delay_embedding(a, b, k=3) == pytest.approx(72.934, abs=5e-4)
    assert m.time_delay_embedding(a, b, k=3, reduce="max") == pytest.approx(173.488, abs=5e-4)
    assert m.scaled_time_delay_embedding(a, b, screen=SCREEN) == pytest.approx(0.906481, abs=5e-7)


def test_people_on_amazon_covers(amazon):
    labels, target, picture, person = amazon
    table = m.object_statistics(labels, target)
    assert len(table) == 585
    assert table[:, 1].mean() == pytest.approx(12.89, abs=5e-3)
    np.testing.assert_allclose(table.mean(0)[[0, 2, 3, 4]], [0.850, 0.783, 0.172, 0.045], atol=5e-4)
    pairs = m.scanpath_pairs(len(labels), subject=person, stimulus=picture)
    assert len(pairs) == 1425
    assert m.sequence_score(labels, pairs=pairs).mean() == pytest.approx(0.207, abs=5e-4)
    assert m.levenshtein(labels, pairs=pairs).mean() == pytest.approx(14.2, abs=0.05)


@pytest.mark.parametrize("name", ON_PATHS)
def test_every_way_to_ask_gives_the_same_number(name):
    metric, paths = ON_PATHS[name], make_paths()
    others = make_paths(seed=1)
    one_by_one = np.stack([metric(a, b) for a, b in zip(paths, others, strict=True)])
    padded = [np.full((len(s), 15, 3), np.nan) for s in (paths, others)]
    for batch, source in zip(padded, (paths, others), strict=True):
        for row, path in zip(batch, source, strict=True):
            row[: len(path)] = path
    np.testing.assert_allclose(metric(paths, others), one_by_one, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(metric(*padded), one_by_one, rtol=1e-12, atol=1e-12)
    every = metric(paths, others, pairs="all")
    assert every.shape[:2] == (7, 7)
    np.testing.assert_allclose(every[range(7), range(7)], one_by_one, rtol=1e-12, atol=1e-12)
    listed = metric(paths, others, pairs=[[2, 2], [0, 0]])
    np.testing.assert_allclose(listed, one_by_one[[2, 0]], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(metric(paths[3], others), every[3], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(metric(paths), metric(paths, paths, pairs=m.scanpath_pairs(7)), rtol=1e-12, atol=1e-12)
    assert metric([], []).shape[0] == 0


@pytest.mark.parametrize("name", ON_LABELS)
def test_labels_every_way(name):
    metric, rng = ON_LABELS[name], np.random.default_rng(2)
    one, two = ([rng.integers(0, 4, k) for k in rng.integers(1, 9, 6)] for _ in range(2))
    each = np.array([metric(a, b) for a, b in zip(one, two, strict=True)])
    padded = [np.array([np.r_[v, np.full(9 - len(v), -1)] for v in side]) for side in (one, two)]
    np.testing.assert_array_equal(metric(one, two), each)
    np.testing.assert_array_equal(metric(*padded), each)
    np.testing.assert_array_equal(metric(*(np.where(p < 0, np.nan, p) for p in padded)), each)
    np.testing.assert_array_equal(np.diag(metric(one, two, pairs="all")), each)
    equal = np.array([a[0] == b[0] for a, b in zip(one, two, strict=True)])
    np.testing.assert_array_equal(metric(one, two, truncate=1), equal if name == "sequence_score" else ~equal)


@pytest.mark.parametrize("name", ON_PATHS)
def test_nan_policy(name):
    metric, good = ON_PATHS[name], make_paths(n=1, longest=6)[0]
    lost = good.copy()
    lost[1, :2] = np.nan
    empty, one = good[:0], good[:1]
    found = metric([good, good, good, good], [good, lost, empty, one])
    flat = found if found.ndim == 1 else found[:, 0]
    assert np.isfinite(flat[0]) and np.isnan(flat[1]) and np.isnan(flat[2])
    # One fixation is too few for saccades and for stretches of two.
    assert np.isnan(flat[3]) == name.startswith(("multimatch", "tde"))
    assert m.coverage(found) == np.mean(~np.isnan(flat))
    assert np.isnan(metric(empty, good)).all()
    padded = np.full((1, len(good) + 3, 3), np.nan)
    padded[0, : len(good)] = good
    np.testing.assert_array_equal(metric(padded, [good])[0], found[0])


def test_lost_durations_cost_what_needs_them():
    a, b = make_paths(n=2)
    timeless = a[:, :2]
    found = m.multimatch(timeless, b, screen=SCREEN)
    np.testing.assert_array_equal(found[:4], m.multimatch(a, b, screen=SCREEN)[:4])
    assert np.isnan(found[4])
    half = a.copy()
    half[1, 2] = np.nan
    np.testing.assert_array_equal(m.multimatch(half, b, screen=SCREEN), found)
    assert np.isnan(m.multimatch(half, b, screen=SCREEN, merge_length=50, merge_duration_s=0.2)).all()
    assert np.isnan(m.scasim(half / 100, b / 100)) and np.isnan(m.scanmatch(half, b, screen=SCREEN, bin_s=0.1))
    assert np.isfinite(m.scanmatch(half, b, screen=SCREEN))


def test_missing_labels():
    found = m.sequence_score([[0, 1, 2], [0, -1, 2], []], [[0, 1, 2]] * 3)
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])
    assert m.coverage(found) == pytest.approx(1 / 3)
    # A missing label beyond the cut does no harm.
    assert m.sequence_score([0, 1, -1], [0, 1, 2], truncate=2) == 1


def test_off_screen():
    inside, off = [[10, 10, 0.1], [500, 700, 0.1]], [[10, 10, 0.1], [500, 769, 0.1]]
    assert np.isnan(m.scanmatch(inside, off, screen=SCREEN))
    assert m.scanmatch(inside, off, screen=SCREEN, outside="clip") == 1
    assert np.isnan(m.string_edit_distance(inside, off, screen=SCREEN))
    centred = [[-502, -374, 0.1], [-12, 316, 0.1]]
    assert (
        m.scanmatch(inside, inside, screen=SCREEN) == m.scanmatch(centred, centred, screen=SCREEN, origin="center") == 1
    )
    # MultiMatch takes places as they are.
    off3 = [*off, [0, 0, 0.1]]
    assert np.isfinite(m.multimatch(off3, off3, screen=SCREEN)).all()


def test_multimatch_where_the_peer_raises():
    line = np.c_[np.arange(6) * 100.0, np.arange(6) * 50.0, np.full(6, 0.1)]
    tiny = np.c_[np.arange(6) * 2.0, np.zeros(6), np.full(6, 0.1)]
    options = {"screen": SCREEN, "merge_angle_deg": 45, "merge_length": 150, "merge_duration_s": 0.3}
    for path in (line, tiny, np.tile([[5.0, 5, 0.1]], (4, 1)), np.c_[line[:, :2], np.zeros(6)]):
        np.testing.assert_allclose(m.multimatch(path, path, **options), np.ones(5))
        assert np.isfinite(m.multimatch([path, line], [line, tiny], **options)).all()


def test_simplification_by_hand():
    path = np.array([[0, 0, 0.5], [100, 0, 0.1], [200, 5, 0.5], [200, 205, 0.5], [0, 205, 0.5]])
    merged = np.delete(path, 1, axis=0)
    options = {"merge_angle_deg": 10, "merge_duration_s": 0.3}
    other = make_paths(n=1)[0]
    other[:, 2] = 0.5  # no fixation is short
    found = m.multimatch(path, other, screen=SCREEN, **options)
    np.testing.assert_allclose(found, m.multimatch(merged, other, screen=SCREEN), rtol=1e-13)
    assert not np.allclose(found, m.multimatch(path, other, screen=SCREEN))


def test_scanmatch_with_own_matrix_and_regions():
    regions = np.zeros((2, 2), dtype=int)
    regions[:, 1], regions[1, 1] = 1, -1
    alike = np.array([[1.0, 0.25], [0.25, 1.0]])
    a, b = [[10, 10], [90, 10]], [[10, 90], [10, 10]]
    options = {"screen": (100, 100), "substitution": alike, "regions": regions}
    assert m.scanmatch(a, b, **options) == pytest.approx((1 + 0.25) / 2)
    assert np.isnan(m.scanmatch(a, [[90, 90]], **options))
    identity = np.eye(25)
    cells = [m.grid_labels(p, screen=(100, 100), grid=(5, 5)) for p in (a, b)]
    found = m.scanmatch(a, b, screen=(100, 100), grid=(5, 5), substitution=identity)
    assert found == m.sequence_score(*cells)
    # Two alignments of one label: with a gap the best entry of the table is not its last.
    lead, tail = [[10, 10]], [[10, 10], [90, 90], [90, 90]]
    assert m.scanmatch(lead, tail, screen=(100, 100), gap=-1) == pytest.approx(1 / 3)


def test_duration_bins():
    assert m.repeat_by_duration([1, 2], [0.25, 0.35], bin_s=0.1).tolist() == [1, 1, 2, 2, 2, 2]
    assert m.repeat_by_duration([1, 2], [0.25, 0.15], bin_s=0.05, rounding="floor").tolist() == [1] * 5 + [2] * 3
    brief = [[10, 10, 0.01], [20, 20, 0.02]]
    assert np.isnan(m.scanmatch(brief, brief, screen=SCREEN, bin_s=0.1))


def test_scasim_by_hand():
    near = 0.83**2.0
    assert m.scasim([[0, 0, 0.2]], [[0, 2, 0.3]], geometry="small_angle") == pytest.approx(
        0.1 * near + 0.5 * (1 - near)
    )
    # Far apart it is cheaper to leave both out than to exchange them; the two cost the same when m is 0.
    assert m.scasim([[0, 0, 0.2]], [[80, 0, 0.3]], geometry="small_angle") == pytest.approx(0.5, abs=1e-6)
    angle = np.rad2deg(np.arccos(1 / np.sqrt(1 + 2 * np.tan(np.deg2rad(20)) ** 2)))
    assert angle == pytest.approx(27.2363, abs=1e-4)
    expected = 0.4 * (1 - 0.83**angle)
    assert m.scasim([[0, 0, 0.2]], [[20, 20, 0.2]]) == pytest.approx(expected, rel=1e-12)
    assert m.scasim([[0, 0, 0.2]], [[5, 0, 0.2]], normalize="duration") == pytest.approx(1 - 0.83**5)


def test_tensors_in_tensors_out():
    a, b = make_paths(n=2)
    for name, metric in ON_PATHS.items():
        found = metric(torch.as_tensor(a), torch.as_tensor(b))
        assert isinstance(found, torch.Tensor) and found.dtype == torch.float64, name
        np.testing.assert_array_equal(found.numpy(), metric(a, b))
        single = metric([torch.as_tensor(a, dtype=torch.float32)], [torch.as_tensor(b, dtype=torch.float32)])
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single[0], metric(a, b), rtol=1e-3, atol=1e-5)
    assert isinstance(m.levenshtein(torch.tensor([1, 2]), torch.tensor([1, 3])), torch.Tensor)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: m.multimatch(p, p, screen=(0, 10)), "screen must be a .height, width. above 0"),
        (lambda p: m.multimatch(p[:, :1], p, screen=SCREEN), "a must be rows of x, y, duration"),
        (lambda p: m.multimatch(p, -p, screen=SCREEN), "durations of b must be 0 s or more, or NaN, got -"),
        (lambda p: m.multimatch(p * np.inf, p, screen=SCREEN), "a must be finite"),
        (lambda p: m.multimatch([p, p], [p], screen=SCREEN), 'equally many paths, got 2 and 1. Pass pairs="all"'),
        (lambda p: m.multimatch([p], [p], screen=SCREEN, pairs=[[0, 1]]), "indices below 1 and 1"),
        (lambda p: m.multimatch(p, p, screen=SCREEN, pairs="each"), "'all', indices"),
        (lambda p: m.multimatch(p, p, screen=SCREEN, merge_length=9), "merge_duration_s"),
        (lambda p: m.multimatch(p, p, screen=SCREEN, merge_length=-9, merge_duration_s=1), "merge_length must be"),
        (lambda p: m.scanmatch(p, p, screen=SCREEN, gap=1), "gap must be 0 or less, got 1"),
        (lambda p: m.scanmatch(p, p, screen=SCREEN, substitution=np.eye(3)), r"\(48, 48\)"),
        (lambda p: m.scanmatch(p, p, screen=SCREEN, regions=np.zeros((2, 2), int)), "substitution must be given"),
        (lambda p: m.scanmatch(p, p, screen=SCREEN, bin_s=0), "bin_s must be"),
        (lambda p: m.string_edit_distance(p, p, screen=SCREEN, origin="middle"), "origin must be one of"),
        (lambda p: m.string_edit_distance(p, p, screen=SCREEN, grid=(0, 5)), "grid must be"),
        (lambda p: m.time_delay_embedding(p, p, k=0), "k must be a whole number of at least 1, got 0"),
        (lambda p: m.time_delay_embedding(p, p, k=2, reduce="sum"), "reduce must be one of"),
        (lambda p: m.scasim(p, p), "within 90 degrees of the middle"),
        (lambda p: m.scasim(p / 100, p / 100, decay=1.2), "decay must be within"),
        (lambda p: m.levenshtein([0.5, 1], [1, 2]), "a must be whole numbers"),
        (lambda p: m.levenshtein(p, p), None),
        (lambda p: m.levenshtein(np.zeros((2, 2, 2)), [1]), "shape"),
        (lambda p: m.repeat_by_duration([1], [np.nan], bin_s=0.1), "none missing"),
        (lambda p: m.scanpath_pairs(3, subject=["a"]), "of shape .3,."),
    ],
)
def test_bad_input(call, words):
    path = np.round(make_paths(n=1)[0] * 100) / 100
    with pytest.raises((ValueError, TypeError), match=words):
        call(path)


def test_words_are_not_numbers():
    with pytest.raises(TypeError, match="array of real numbers"):
        m.levenshtein(["a", "b"], ["b"])
    with pytest.raises((TypeError, ValueError)):
        m.multimatch([[1, 2, 3], [4, 5]], [[1, 2, 3]], screen=SCREEN)


def test_object_statistics():
    found = m.object_statistics([[3, 3, 5, 3, 7], [2], [], [1, -1, 2]], target=[7, 1, 0, 2])
    np.testing.assert_array_equal(found[:2], [[1, 5, 0.6, 0.2, 0.2], [0, 1, 1, 0, 0]])
    assert np.isnan(found[2:]).all()
    assert m.behavioral_delta(found, found[:2]) == pytest.approx(0)
    shifted = found[:2] * [1, 2, 1, 1, 1]
    assert m.behavioral_delta(shifted, found[:2]) == pytest.approx(1 / 5)
    assert np.isnan(m.behavioral_delta(found[:1], found[1:2]))
    assert np.isnan(m.behavioral_delta(found[2:], found[:1]))
    with pytest.raises(ValueError, match="one for each of 2 paths"):
        m.object_statistics([[1], [2]], target=[1, 2, 3])
    with pytest.raises(ValueError, match=r"\(paths, 5\)"):
        m.behavioral_delta(np.zeros((3, 4)), found)


def test_search_efficiency():
    path = np.array([[50.0, 50], [20, 60], [85, 15], [10, 10]])
    box = [80, 10, 90, 20]
    late, never, at_once = path[[0, 1, 3, 2]], path[:2], path[[2, 0]]
    found = m.fixations_to_target([path, late, never, at_once, []], box)
    np.testing.assert_array_equal(found, [2, 3, np.nan, 0, np.nan])
    np.testing.assert_array_equal(m.fixations_to_target([path], box, initial=False), [3])
    on_edge = np.array([[80.0, 15]])
    assert np.isnan(m.fixations_to_target(on_edge, box)).all()
    curve = m.found_by(found, max_fixations=3)
    np.testing.assert_allclose(curve, [0.2, 0.2, 0.4, 0.6])
    assert m.tfp_auc(curve) == pytest.approx(1.4)
    assert m.probability_mismatch(curve, m.found_by([0.0], max_fixations=3)) == pytest.approx(4 - 1.4)
    ratio = m.scanpath_ratio([path, never, at_once], box)
    way = np.hypot(30, 10) + np.hypot(65, 45)
    np.testing.assert_allclose(ratio, [np.hypot(35, 35) / way, np.nan, np.nan])
    lost = path.copy()
    lost[1] = np.nan
    assert m.fixations_to_target(lost, box) == 2 and np.isnan(m.scanpath_ratio(lost, box)).all()
    for call, words in (
        (lambda: m.fixations_to_target(path, [80, 10, 10, 10]), "Is it x, y, width, height"),
        (lambda: m.found_by([], max_fixations=3), "one number a trial"),
        (lambda: m.found_by([1.5], max_fixations=3), "whole numbers"),
        (lambda: m.probability_mismatch([0, 1], [0, 1, 1]), "equally long"),
        (lambda: m.tfp_auc([0, 2]), "shares in"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
