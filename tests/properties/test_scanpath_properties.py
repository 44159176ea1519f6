"""Laws of scanpath and search metrics: identity, symmetry, invariance, bounds, padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc import metrics as m

few = settings(max_examples=40, deadline=None)
SCREEN = (300.0, 400.0)


@st.composite
def paths(draw, shortest=3, longest=9):
    """Paths with repeated places, durations of 0, and saccades of length 0 among them."""
    n = draw(st.integers(shortest, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    step = draw(st.sampled_from([1e-9, 50.0]))
    xy = np.round(rng.uniform(0, 1, (n, 2)) * SCREEN[::-1] / step) * step
    duration = np.round(rng.uniform(0, 0.5, n), draw(st.sampled_from([1, 6])))
    return np.c_[xy, duration]


words = st.lists(st.integers(0, 4), min_size=1, max_size=9).map(np.array)


@few
@given(paths(), paths())
def test_multimatch(a, b):
    same = m.multimatch(a, a, screen=SCREEN)
    np.testing.assert_allclose(same, np.ones(5), atol=1e-12)
    found = m.multimatch(a, b, screen=SCREEN)
    assert ((found >= -1e-12) & (found <= 1 + 1e-12)).all()
    # Nothing changes when both move, or when the unit does.
    move = np.array([7, -3, 0])
    np.testing.assert_allclose(m.multimatch(a + move, b + move, screen=SCREEN), found, atol=1e-9)
    unit = np.array([2.0, 2, 1])
    np.testing.assert_allclose(m.multimatch(a * unit, b * unit, screen=(600, 800)), found, atol=1e-12)
    options = {"merge_angle_deg": 40, "merge_length": 60, "merge_duration_s": 0.3}
    simpler = m.multimatch(a, b, screen=SCREEN, **options)
    assert np.isfinite(simpler).all()


@few
@given(paths(), paths())
def test_multimatch_is_symmetric_up_to_ties(a, b):
    a[:, :2] += np.random.default_rng(0).normal(size=(len(a), 2))  # no two alignments cost the same
    np.testing.assert_allclose(m.multimatch(a, b, screen=SCREEN), m.multimatch(b, a, screen=SCREEN), atol=1e-9)


@few
@given(st.lists(paths(shortest=1), min_size=2, max_size=6))
def test_a_batch_is_its_pairs(some):
    """Many pairs together take another way through the tables than one pair alone."""
    for metric in (
        lambda a, b, **k: m.multimatch(a, b, screen=SCREEN, **k),
        lambda a, b, **k: m.scanmatch(a, b, screen=SCREEN, **k),
        lambda a, b, **k: m.scasim(a, b, geometry="small_angle", **k),
        lambda a, b, **k: m.scaled_time_delay_embedding(a, b, screen=SCREEN, **k),
    ):
        every = metric(some, some, pairs="all")
        for i, a in enumerate(some):
            for j, b in enumerate(some):
                np.testing.assert_allclose(every[i, j], metric(a, b), atol=1e-12)


@few
@given(words, words, words)
def test_edit_distance_is_a_metric(a, b, c):
    assert m.levenshtein(a, a) == 0
    assert m.levenshtein(a, b) == m.levenshtein(b, a)
    assert m.levenshtein(a, c) <= m.levenshtein(a, b) + m.levenshtein(b, c)
    assert abs(len(a) - len(b)) <= m.levenshtein(a, b) <= max(len(a), len(b))
    assert m.levenshtein(a[::-1], b[::-1]) == m.levenshtein(a, b)


@few
@given(words, words)
def test_sequence_score(a, b):
    assert m.sequence_score(a, a) == 1
    score = m.sequence_score(a, b)
    assert score == m.sequence_score(b, a) and 0 <= score <= 1
    # Shared labels and edits: what is not shared must be edited.
    longest = max(len(a), len(b))
    assert m.levenshtein(a, b) >= longest * (1 - score) - 1e-9


@few
@given(paths(shortest=1), paths(shortest=1))
def test_scanmatch_scasim_embedding(a, b):
    assert m.scanmatch(a, a, screen=SCREEN) == pytest.approx(1)
    assert m.scanmatch(a, b, screen=SCREEN) == pytest.approx(m.scanmatch(b, a, screen=SCREEN), abs=1e-12)
    assert -1e-12 <= m.scanmatch(a, b, screen=SCREEN) <= 1 + 1e-12
    flipped = [p * [1, -1, 1] + [0, SCREEN[0], 0] for p in (a, b)]
    centred = [p - [SCREEN[1] / 2, SCREEN[0] / 2, 0] for p in (a, b)]
    assert m.scanmatch(*centred, screen=SCREEN, origin="center") == pytest.approx(m.scanmatch(a, b, screen=SCREEN))
    assert m.string_edit_distance(*flipped, screen=SCREEN, grid=(1, 4)) == m.string_edit_distance(
        a, b, screen=SCREEN, grid=(1, 4)
    )
    assert m.scasim(a, a, geometry="small_angle") == pytest.approx(0, abs=1e-12)
    spent = a[:, 2].sum() + b[:, 2].sum()
    apart = m.scasim(a, b, geometry="small_angle")
    assert abs(a[:, 2].sum() - b[:, 2].sum()) - 1e-9 <= apart <= spent + 1e-9
    assert apart == pytest.approx(m.scasim(b, a, geometry="small_angle"), abs=1e-12)
    assert m.time_delay_embedding(a, a, k=1) == 0
    for k in range(1, min(len(a), len(b)) + 1):
        mean, most = (m.time_delay_embedding(a, b, k=k, reduce=r) for r in ("mean", "max"))
        assert 0 <= mean <= most + 1e-12
        # More of a to choose from never lies farther away.
        assert mean <= m.time_delay_embedding(a[:k], b, k=k) + 1e-9
    assert 0 < m.scaled_time_delay_embedding(a, b, screen=SCREEN) <= 1


@few
@given(st.lists(words, min_size=1, max_size=6))
def test_object_statistics_sum_to_one(some):
    table = m.object_statistics(some, target=[int(w[-1]) for w in some])
    np.testing.assert_allclose(table[:, 2:].sum(1), 1, atol=1e-12)
    assert (table[:, 0] == 1).all() and table[:, 1].tolist() == [len(w) for w in some]
    np.testing.assert_allclose(table[:, 2] * table[:, 1], [len(set(w.tolist())) for w in some])


@few
@given(st.lists(st.one_of(st.integers(0, 9).map(float), st.just(float("nan"))), min_size=1, max_size=9))
def test_found_curves(counts):
    curve = m.found_by(counts, max_fixations=9)
    assert (np.diff(curve) >= 0).all() and curve[-1] == np.mean(~np.isnan(counts))
    # The area under the curve says the same as the mean count over trials, those not found counting as the budget.
    capped = np.where(np.isnan(counts), 10, counts)
    assert m.tfp_auc(curve) == pytest.approx(10 - capped.mean())
    assert m.probability_mismatch(curve, curve) == 0


@few
@given(st.integers(0, 2**32 - 1))
def test_auc_is_a_rank(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(20, 30)), 1)
    points = np.c_[rng.integers(0, 30, 15), rng.integers(0, 20, 15)].astype(float)
    found = m.auc(values, points)
    np.testing.assert_allclose(m.auc(np.exp(values), points), found, atol=1e-12)  # a monotone change is none
    np.testing.assert_allclose(m.auc(-values, points), 1 - found, atol=1e-12)
    np.testing.assert_allclose(m.nss(3 * values + 5, points), m.nss(values, points), atol=1e-9)
    everywhere = np.stack(np.meshgrid(np.arange(30), np.arange(20)), -1).reshape(-1, 2).astype(float)
    assert m.auc(values, everywhere).mean() == pytest.approx(0.5)
    assert m.nss(values, everywhere).mean() == pytest.approx(0, abs=1e-12)
    density = np.exp(values) / np.exp(values).sum()
    gain = m.information_gain(np.log(density), np.full((20, 30), -np.log(600)), everywhere)
    expected = m.map_divergence(np.ones((20, 30)), density, minimum=0) / np.log(2)
    assert (density.ravel() * gain).sum() == pytest.approx(expected)
