"""Comparing scanpath tables, and clusters of fixations."""

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc import metrics as m
from neuroperc.data import make_fixations, make_trials

SCREEN = npc.Display.from_px_per_deg(30, resolution_px=(600, 800))


def recording(subject, stimuli, *, seed=0, n=6):
    """One person's trials, in an order of their own."""
    rng = np.random.default_rng(seed)
    trial = np.arange(len(stimuli))
    trials = make_trials(trial, subject=subject, stimulus_id=list(stimuli))
    points = rng.uniform(-8, 8, (n * len(stimuli), 2))
    table = make_fixations(
        points, subject=subject, trial=np.repeat(trial, n), fixation=np.tile(np.arange(n), len(stimuli)),
        duration_s=rng.uniform(0.1, 0.5, len(points)), object_id=rng.integers(0, 5, len(points)), display=SCREEN,
    )  # fmt: skip
    return table, trials


@pytest.fixture(scope="module")
def people():
    parts = [
        recording(name, stimuli, seed=k) for k, (name, stimuli) in enumerate([("p1", "ab"), ("p2", "ba"), ("p3", "ac")])
    ]
    return tuple(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))


def path_of(table, subject, trial):
    rows = table[(table["subject"] == subject) & (table["trial"] == trial)].sort_values("fixation")
    pixels = SCREEN.to_px(rows[["x_deg", "y_deg"]].to_numpy())
    return np.c_[pixels, rows["duration_s"]]


def test_model_against_people(people):
    humans, human_trials = people
    machine, machine_trials = recording("model", "cb", seed=9)
    found = npc.search.compare_scanpaths(
        machine, humans, display=SCREEN, machine_trials=machine_trials, human_trials=human_trials
    )
    # c was seen by p3 (second trial), b by p1 (second) and p2 (first)
    shown = found.pairs[["stimulus_id", "machine_trial", "human_subject", "human_trial"]].to_numpy().tolist()
    assert sorted(shown) == [["b", 1, "p1", 1], ["b", 1, "p2", 0], ["c", 0, "p3", 1]]
    assert found.by == "stimulus_id" and found.coverage == 1 and found.n_pairs == 3
    for row in found.pairs.itertuples():
        expected = m.multimatch(
            path_of(machine, "model", row.machine_trial), path_of(humans, row.human_subject, row.human_trial),
            screen=SCREEN.resolution_px,
        )  # fmt: skip
        np.testing.assert_allclose([getattr(row, name) for name in m.MULTIMATCH_DIMENSIONS], expected, rtol=1e-12)
    np.testing.assert_allclose(found.mean, found.pairs[list(m.MULTIMATCH_DIMENSIONS)].mean())


def test_nobody_meets_themself(people):
    humans, trials = people
    found = npc.search.compare_scanpaths(
        humans, humans, display=SCREEN, machine_trials=trials, human_trials=trials, metric="scasim"
    )
    # a: three people, b: two, c: one
    assert found.n_pairs == 4
    assert (found.pairs["machine_subject"] != found.pairs["human_subject"]).all()
    # A second session of the same person is still the same person; a copy of the table is still the table.
    again = pd.concat([humans, humans.assign(session="2")], ignore_index=True)
    twice = pd.concat([trials, trials.assign(session="2")], ignore_index=True)
    found = npc.search.compare_scanpaths(
        again, again.copy(), display=SCREEN, machine_trials=twice, human_trials=twice, metric="scasim"
    )
    assert found.n_pairs == 16 and (found.pairs["machine_subject"] != found.pairs["human_subject"]).all()
    with pytest.raises(ValueError, match="subject must be known"):
        npc.search.compare_scanpaths(
            *[humans.drop_duplicates(["trial", "fixation"]).assign(subject="")] * 2, display=SCREEN
        )


def test_trials_without_fixations_count_in_the_coverage(people):
    humans, trials = people
    blind = trials.assign(subject="p4")[:1]
    listed = pd.concat([trials, blind], ignore_index=True)
    machine, machine_trials = recording("model", "a", seed=3)
    found = npc.search.compare_scanpaths(
        machine, humans, display=SCREEN, machine_trials=machine_trials, human_trials=listed
    )
    assert found.n_pairs == 4 and found.coverage == 0.75
    assert found.mean.notna().all()


def test_without_stimuli_trials_are_paired_by_number():
    one, two = recording("model", "xy", seed=1)[0], recording("p1", "xy", seed=2)[0]
    found = npc.search.compare_scanpaths(one, two, display=SCREEN)
    assert found.by == "trial" and found.n_pairs == 2
    found = npc.search.compare_scanpaths(one.assign(picture="u"), two.assign(picture="u"), display=SCREEN, by="picture")
    assert found.by == "picture" and found.n_pairs == 4
    _, trials = recording("model", "xy", seed=1)
    assert npc.search.compare_scanpaths(one, two, display=SCREEN, machine_trials=trials).by == "trial"


@pytest.mark.parametrize(
    "metric, options",
    [
        ("multimatch", {"merge_angle_deg": 45, "merge_length_deg": 3, "merge_duration_s": 0.3}),
        ("scanmatch", {"grid": (6, 8)}),
        ("string_edit_distance", {}),
        ("time_delay_embedding", {"k": 2}),
        ("scaled_time_delay_embedding", {}),
        ("scasim", {}),
        ("sequence_score", {}),
        ("fixation_edit_distance", {"truncate": 4}),
        ("levenshtein", {"labels": "object_id"}),
    ],
)
def test_every_metric(people, metric, options):
    humans, trials = people
    found = npc.search.compare_scanpaths(
        humans, humans, display=SCREEN, machine_trials=trials, human_trials=trials, metric=metric, **options
    )
    row = found.pairs.iloc[0]
    sides = [(row[f"{who}_subject"], row[f"{who}_trial"]) for who in ("machine", "human")]
    a, b = (path_of(humans, *key) + np.array([0.5, 0.5, 0]) for key in sides)
    size = SCREEN.resolution_px
    labels = [humans[(humans["subject"] == s) & (humans["trial"] == t)]["object_id"].to_numpy(int) for s, t in sides]
    expected = {
        "multimatch": lambda: m.multimatch(
            a, b, screen=size, merge_angle_deg=45, merge_length=90, merge_duration_s=0.3
        )[3],
        "scanmatch": lambda: m.scanmatch(a, b, screen=size),
        "string_edit_distance": lambda: m.string_edit_distance(a, b, screen=size),
        "time_delay_embedding": lambda: m.time_delay_embedding(a, b, k=2) / 30,
        "scaled_time_delay_embedding": lambda: m.scaled_time_delay_embedding(a, b, screen=size),
        "scasim": lambda: m.scasim(
            *((p - [*np.array(SCREEN.center_px) + 0.5, 0]) * [1 / 30, -1 / 30, 1] for p in (a, b)),
            geometry="small_angle",
        ),
        "sequence_score": lambda: m.sequence_score(*labels),
        "fixation_edit_distance": lambda: m.levenshtein(*labels, truncate=4),
        "levenshtein": lambda: m.levenshtein(*labels),
    }[metric]()
    assert row["position" if metric == "multimatch" else metric] == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "cosine"}, "metric must be one of"),
        ({"by": "picture"}, "by must be a column"),
        (
            {"metric": "sequence_score", "labels": "cluster"},
            "labels must be a column of the fixations.*cluster_fixations",
        ),
        ({"merge_length": 3, "merge_duration_s": 1}, "merge_length must be given in degrees"),
    ],
)
def test_bad_input(options, words):
    one, two = recording("model", "xy", seed=1)[0], recording("p1", "xy", seed=2)[0]
    with pytest.raises((ValueError, TypeError), match=words):
        npc.search.compare_scanpaths(one, two, display=SCREEN, **options)


def test_nothing_in_common(people):
    humans, trials = people
    machine, machine_trials = recording("model", "z")
    with pytest.raises(ValueError, match="of common stimulus_id"):
        npc.search.compare_scanpaths(
            machine, humans, display=SCREEN, machine_trials=machine_trials, human_trials=trials
        )


def test_clusters_find_planted_regions():
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [6, 0], [0, 6]])
    planted = np.repeat([0, 1, 2], [60, 30, 10])
    points = centers[planted] + 0.3 * rng.normal(size=(100, 2))
    table = make_fixations(points, subject="p1", trial=0, fixation=np.arange(100), display=SCREEN)
    other = make_fixations([[3, 3]], subject="p1", trial=1, fixation=0, display=SCREEN)
    lost = make_fixations([[np.nan, np.nan]], subject="p2", trial=0, fixation=0, display=SCREEN)
    whole = pd.concat([table, other, lost], ignore_index=True)
    found = npc.search.cluster_fixations(whole, display=SCREEN, bandwidth_deg=1.5)
    np.testing.assert_array_equal(found["cluster"][:100].to_numpy(int), planted)  # the fullest is 0
    assert found["cluster"].iloc[100] == 0 and pd.isna(found["cluster"].iloc[101])
    one = npc.search.cluster_fixations(whole, display=SCREEN, bandwidth_deg=20)
    assert (one["cluster"].dropna() == 0).all()
    with pytest.raises(ValueError, match="bandwidth_deg must be"):
        npc.search.cluster_fixations(whole, display=SCREEN, bandwidth_deg=0)
    with pytest.raises(ValueError, match="by must be a column"):
        npc.search.cluster_fixations(whole, display=SCREEN, bandwidth_deg=1, by="picture")


def test_sequence_score_of_clusters(people):
    humans, trials = people
    labelled = npc.search.cluster_fixations(humans, display=SCREEN, bandwidth_deg=3, trials=trials)
    found = npc.search.compare_scanpaths(
        labelled, labelled, display=SCREEN, machine_trials=trials, human_trials=trials, metric="sequence_score",
        labels="cluster",
    )  # fmt: skip
    assert found.coverage == 1 and 0 < found.mean["sequence_score"] < 1
