"""Tasks, observers and fits of critical scaling: shapes, balance, round trips, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc import metamers as mm
from neuroperc.data import check_trials, make_trials

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(24, 32))
SCALING = np.geomspace(0.063, 0.27, 8)
ABX = {"observer": "abx_independent", "convention": "broderick"}


def metamers_of(images=("street", "wood"), scalings=(0.3, 0.5), samples=2, original=True):
    rows = [{"image": i, "scaling": s, "seed": k} for i in images for s in scalings for k in range(samples)]
    rows += [{"image": i, "scaling": np.nan, "seed": -1} for i in images] if original else []
    pictures = np.random.default_rng(0).random((len(rows), 1, 24, 32))
    return npc.StimulusSet.from_arrays(pictures, display=DISPLAY, table=pd.DataFrame(rows))


BUILDERS = {
    "abx": lambda s, **k: mm.abx_task(s, repeats=12, rng=0, **k),
    "split_screen": lambda s, **k: mm.split_screen_task(s, repeats=12, bar_deg=0.5, rng=0, **k),
    "oddity": lambda s, **k: mm.oddity_task(s, repeats=12, rng=0, **k),
}


@pytest.mark.parametrize("comparison", ["synth_synth", "original_synth"])
@pytest.mark.parametrize("name", list(BUILDERS))
def test_answers_are_balanced_and_right(name, comparison):
    stimuli = metamers_of()
    task = BUILDERS[name](stimuli, comparison=comparison)
    check_trials(task.trials)
    cells = task.trials.groupby(["image", "scaling", "answer", "swapped"]).size()
    assert set(cells) == {12 // (6 if name == "oddity" else 4)}
    table = stimuli.table.reset_index()
    for shown, (_, row) in zip(task.index, task.trials.iterrows(), strict=True):
        used = table.iloc[shown.ravel()]
        assert set(used["image"]) == {row["image"]}
        expected = {row["scaling"]} if comparison == "synth_synth" else {row["scaling"], None}
        assert {None if np.isnan(s) else s for s in used["scaling"]} == expected
        assert len(set(shown.ravel())) == 2
        if name == "abx":
            a, b, x = shown[:, 0]
            assert row["answer"] == ("first" if x == a else "second")
            assert a != b
        elif name == "oddity":
            places, counts = np.unique(shown[:, 0], return_counts=True)
            assert row["answer"] == str(1 + int(np.flatnonzero(shown[:, 0] == places[counts.argmin()])[0]))
        else:
            assert shown[0, 0] == shown[0, 1]
            changed = np.flatnonzero(shown[0] != shown[1])
            assert row["answer"] == ["left", "right"][int(changed[0])]
            assert len(changed) == 1


def test_pairs_of_samples_take_turns():
    task = mm.abx_task(metamers_of(("street",), (0.3,), samples=3), repeats=12, rng=0)
    pairs = [tuple(sorted(p)) for p in task.trials[["first_id", "second_id"]].to_numpy().tolist()]
    assert sorted(pd.Series(pairs).value_counts()) == [4, 4, 4]


def test_the_split_screen_is_drawn_half_by_half_with_its_bar():
    stimuli = metamers_of()
    task = BUILDERS["split_screen"](stimuli)
    trial = int(np.flatnonzero(task.trials["answer"] == "left")[0])
    before, after = task.pictures(trial)
    (same, _), (changed, kept) = task.index[trial]
    assert same == kept
    np.testing.assert_array_equal(after[..., 20:], before[..., 20:])  # right of the bar
    np.testing.assert_array_equal(after[..., :12], stimuli[int(changed)][..., :12])
    assert after[0, 5, 15:17].tolist() == [0.5, 0.5]  # the bar is grey
    assert after[0, 11:13, 15:17].min() == 1.0  # the spot is white
    # Both flanks are half way at three eighths of the width from the middle.
    assert task.bar_deg == 0.5


def test_a_saved_task_comes_back(tmp_path):
    task = BUILDERS["split_screen"](metamers_of())
    task.save(tmp_path / "task")
    again = mm.Task.load(tmp_path / "task")
    assert again.stimuli == task.stimuli
    pd.testing.assert_frame_equal(again.trials, task.trials)
    np.testing.assert_array_equal(again.index, task.index)
    assert (again.name, again.bar_deg, dict(again.timing)) == (task.name, task.bar_deg, dict(task.timing))
    data = task.to_xarray()
    assert data["codes"].dtype == np.uint8
    codes = np.round(255 * npc.color.linear_to_srgb(data["linear"].to_numpy()))
    np.testing.assert_array_equal(data["codes"], codes)
    assert {"image", "scaling", "seed"} <= set(data.coords)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mm.abx_task(metamers_of(), repeats=3, rng=0), "repeats must be a multiple of 4"),
        (lambda: mm.oddity_task(metamers_of(), repeats=4, rng=0), "repeats must be a multiple of 6"),
        (lambda: mm.abx_task(metamers_of(samples=1), rng=0), "in two samples or more, got 1"),
        (lambda: mm.abx_task(metamers_of(original=False), comparison="original_synth", rng=0), "no original"),
        (lambda: mm.abx_task(metamers_of(), comparison="both", rng=0), "comparison must be one of"),
        (lambda: mm.split_screen_task(metamers_of(), bar_deg=4, rng=0), "at most half of the 4 degrees"),
        (lambda: mm.abx_task(metamers_of(scalings=(), original=True), rng=0), "metamers with a scaling"),
        (lambda: mm.simulate_observer(BUILDERS["abx"](metamers_of()), lambda x: x, noise_sd=0, rng=0), "noise_sd must"),
        (lambda: mm.simulate_observer(BUILDERS["abx"](metamers_of()), lambda x: x, noise_sd=1, rule="oddity", rng=0),
         "rule must be one of 'abx_independent'"),
        (lambda: mm.simulate_observer(BUILDERS["abx"](metamers_of()), lambda x: x / 0, noise_sd=1, rng=0), "features"),
        (lambda: mm.simulate_observer(BUILDERS["abx"](metamers_of()), lambda x: x, noise_sd=1, lapse=1, rng=0),
         "lapse must be"),
    ],
)  # fmt: skip
def test_bad_tasks_are_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_tasks_need_their_columns_and_still_pictures():
    with pytest.raises(TypeError, match="stimuli must be a StimulusSet"):
        mm.abx_task(torch.zeros(2, 1, 4, 4), rng=0)
    plain = npc.StimulusSet.from_arrays(np.zeros((2, 1, 24, 32)), display=DISPLAY)
    with pytest.raises(ValueError, match="column 'image'"):
        mm.abx_task(plain, rng=0)


def test_excluded_and_unanswered_trials_do_not_count():
    table = make_trials(
        range(6), correct=[True, True, None, False, True, True], excluded=[False, False, False, False, True, False],
        subject=list("aaabbb"), scaling=[0.2, 0.5, 0.2, 0.2, 0.5, 0.5],
    )  # fmt: skip
    level, k, n, groups = mm.count_correct(table, by="subject")
    assert level.tolist() == [0.2, 0.5]
    assert k.tolist() == [[1, 1], [0, 1]]
    assert n.tolist() == [[1, 1], [1, 1]]
    assert groups["subject"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="every group has every level"):
        mm.count_correct(table[table["trial"] != 5], by="subject")
    with pytest.raises(ValueError, match="a known answer"):
        mm.count_correct(table.assign(excluded=True))


def fit(counts, n=36, **options):
    return mm.fit_critical_scaling(SCALING, counts, n, **{**ABX, "interval": "profile", **options})


def test_one_experiment_and_a_batch_give_the_same():
    counts = mm.simulate_critical_scaling(SCALING, critical=[0.1, 0.12, 0.15], gain=5, n_trials=36, rng=0, **ABX)
    many = fit(counts)
    for i, row in enumerate(counts):
        one = fit(row)
        assert one.critical.shape == ()
        assert float(one.critical) == pytest.approx(many.critical[i], rel=1e-6)
        assert float(one.low) == pytest.approx(many.low[i], rel=1e-6)
    assert fit(counts[None]).high.shape == (1, 3)
    assert "3 experiments" in repr(many)


def test_what_is_not_identifiable_is_open():
    everywhere = fit([34, 35, 36, 35, 36, 36, 35, 36])
    nowhere = fit([18, 17, 19, 18, 18, 17, 19, 18])
    assert (float(everywhere.low), bool(everywhere.identifiable)) == (0.0, False)
    assert (float(nowhere.low), float(nowhere.high), bool(nowhere.identifiable)) == (0.0, np.inf, False)
    assert "not identifiable" in repr(nowhere)


@pytest.mark.parametrize("interval", ["calibrated", "profile", "bootstrap"])
def test_intervals_hold_the_estimate_and_grow_with_their_level(interval):
    counts = mm.simulate_critical_scaling(SCALING, critical=[0.12] * 4, gain=5, n_trials=36, rng=2, **ABX)
    narrow, wide = (fit(counts, interval=interval, level=level, rng=0, n_resamples=100) for level in (0.6, 0.95))
    assert (narrow.low <= narrow.critical).all()
    assert (narrow.critical <= narrow.high).all()
    assert (wide.low < narrow.low).all()
    assert (wide.high >= narrow.high).all()
    assert (wide.calibration >= 1).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"counts": [40] * 8}, ValueError, "n_correct must be between 0 and n_trials"),
        ({"counts": [1.5] * 8}, ValueError, "n_correct must be whole numbers, got fractions"),
        ({"counts": [1] * 7}, ValueError, r"of shape \(..., 8\)"),
        ({"counts": ["a"] * 8}, TypeError, "an array of numbers"),
        ({"n": 0, "counts": [0] * 8}, ValueError, "n_trials must be 1 or more"),
        ({"n": [1, 2], "counts": [0] * 8}, ValueError, "broadcasts"),
        ({"counts": [np.nan] * 8}, ValueError, "n_correct must be finite"),
        ({"observer": "yes"}, ValueError, "observer must be one of"),
        ({"convention": "d"}, ValueError, "convention must be one of"),
        ({"lapse": (0.1, 0.0)}, ValueError, "lapse must be at least 0 and below 1"),
        ({"level": 95}, ValueError, "level must be between 0 and 1, got 95"),
        ({"interval": "calibrated"}, TypeError, "rng must be an int"),
    ],
)
def test_bad_counts_are_named(options, error, says):
    with pytest.raises(error, match=says):
        fit(**{"counts": [20] * 8, **options})


def test_bad_scalings_are_named():
    for scaling, says in (([0.1, 0.2, 0.2], "three or more different"), ([0, 0.1, 0.2], "above 0"), ([], "one value")):
        with pytest.raises(ValueError, match=says):
            mm.fit_critical_scaling(scaling, np.zeros(len(scaling), dtype=int), 36, **ABX, interval="profile")
    with pytest.raises(ValueError, match="critical must be above 0"):
        mm.simulate_critical_scaling(SCALING, critical=-1, gain=5, n_trials=36, rng=0, **ABX)
    with pytest.raises(ValueError, match="n_subjects must be a whole number of at least 2"):
        mm.critical_scaling_power(SCALING, critical=(0.1, 0.2), gain=5, n_subjects=1, n_trials=36, subject_sd=0.1,
                                  rng=0, **ABX)  # fmt: skip


def group_trials(effects, n=36, seed=0, image_effects=(0.0,), critical=0.12):
    rng, rows = np.random.default_rng(seed), []
    for i, subject in enumerate(effects):
        for j, image in enumerate(image_effects):
            counts = mm.simulate_critical_scaling(
                SCALING, critical=critical * np.exp(subject + image), gain=5, n_trials=n, rng=rng, **ABX
            )
            rows += [(f"s{i}", f"i{j}", s, t < k) for s, k in zip(SCALING, counts, strict=True) for t in range(n)]
    table = pd.DataFrame(rows, columns=["subject", "image", "scaling", "correct"])
    return make_trials(np.arange(len(table)), **{name: table[name] for name in table})


def test_groups_shrink_towards_each_other_and_find_their_members():
    effects = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
    found = mm.fit_critical_scaling_groups(group_trials(effects, image_effects=(-0.1, 0.1)), prior="energy", **ABX)
    row = found.comparisons.iloc[0]
    assert row["low"] < 0.12 < row["high"]
    assert row["identifiable"]
    assert found.converged
    ln = np.log(found.subjects["critical"] / row["critical"])
    assert np.corrcoef(ln, effects)[0, 1] > 0.95
    sd = found.spread.set_index(["over", "of"])["sd"]
    assert 0.15 < sd["subject", "critical"] < 0.45  # 0.28 planted
    assert sd["image", "critical"] < 0.25
    assert found.subjects["lapse"].between(0, 0.1).all()


def test_a_group_out_of_range_is_flagged():
    table = group_trials([0.0, 0.1], critical=0.02)
    row = mm.fit_critical_scaling_groups(table, prior="energy", **ABX).comparisons.iloc[0]
    assert not row["identifiable"]
    with pytest.raises(ValueError, match=r"no \['image'\]"):
        mm.fit_critical_scaling_groups(table.drop(columns="image"), prior="energy", **ABX)
    with pytest.raises(ValueError, match="prior must be one of"):
        mm.fit_critical_scaling_groups(table, prior="texture", **ABX)
