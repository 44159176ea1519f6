"""The benchmark's bookkeeping: alignment, exclusions that are counted, errors with a remedy, resuming after a kill."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroperc as npc
from neuroperc.encoding import benchmark, choose_layer, compare_models, scoring
from neuroperc.metrics import Reliability

NAMES = [f"picture{i:02d}" for i in range(60)]


def units(seed=0, widths=(30, 120)):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(60, sum(widths)))
    labels = np.repeat([f"layer{i}" for i in range(len(widths))], widths)
    index = np.concatenate([np.arange(w) for w in widths])
    return npc.data.make_responses(values, stimulus_id=NAMES, neuroid_id=index, layer=labels)


def neurons(model, seed=1, n_repeats=4, noise_sd=1.0):
    rng = np.random.default_rng(seed)
    truth = model.values[:, :5] @ rng.normal(size=(5, 8)) / 5**0.5
    trials = [truth + noise_sd * rng.normal(size=truth.shape) for _ in range(n_repeats)]
    kind = np.tile(np.array(["face", "car"])[np.arange(60) % 2], n_repeats)
    return npc.data.make_responses(
        np.concatenate(trials), stimulus_id=NAMES * n_repeats, repetition=np.repeat(range(n_repeats), 60),
        coords={"kind": ("presentation", kind)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return units()


@pytest.fixture(scope="module")
def v4(model):
    return neurons(model)


def test_scores_obey_the_schema_and_say_how_they_were_made(model, v4, tmp_path):
    scores = benchmark(model, v4, estimator="ridge", splits=4, n_resamples=50)
    assert scores.raw.shape == (2, 4, 8)
    assert scores.layer.values.tolist() == ["layer0", "layer1"]
    assert scores.aggregate[0] > 0.5 > scores.aggregate[1]
    assert scores.attrs["formula"] == "sign(r) r² / c"
    assert (scores.attrs["splits"], scores.attrs["groups"], scores.attrs["seed"]) == (4, "stimulus_id", 1)
    assert "stimuli and neuroids" in scores.interval.attrs["of"]
    low, high = scores.interval.values.T
    assert ((low < scores.pooled) & (scores.pooled < high)).all()
    path = npc.data.write_scores(scores, tmp_path / "scores.nc")
    xr.testing.assert_identical(npc.data.read_scores(path).raw, scores.raw)


def test_rows_may_come_in_any_order_and_more_stimuli_than_needed(model, v4):
    order = np.random.default_rng(0).permutation(60)
    extra = units(seed=5).isel(presentation=[0]).assign_coords(stimulus_id=("presentation", ["another"]))
    shuffled = xr.concat([model.isel(presentation=order), extra], "presentation")
    a = benchmark(model, v4, splits=3, n_components=4, n_resamples=0)
    b = benchmark(shuffled, v4, splits=3, n_components=4, n_resamples=0)
    np.testing.assert_allclose(a.raw, b.raw, atol=1e-9)
    assert b.attrs["n_stimuli_unused"] == 1
    mixed = model.isel(neuroid=np.random.default_rng(1).permutation(150))  # layers no longer lie side by side
    c = benchmark(mixed, v4, splits=3, n_components=4, n_resamples=0).sel(layer=a.layer.values)
    np.testing.assert_allclose(a.raw, c.raw, atol=1e-9)
    by_name = {"one": model.isel(neuroid=model.layer == "layer0").drop_vars("layer")}
    np.testing.assert_allclose(benchmark(by_name, v4, splits=3, n_components=4, n_resamples=0).raw[0], a.raw[0])


def test_torch_gives_the_numbers_of_numpy(model, v4):
    for estimator in ("pls", "ridge"):
        a, b = (
            benchmark(model, v4, estimator=estimator, splits=3, n_components=4, n_resamples=0, device=d)
            for d in (None, "cpu")
        )
        np.testing.assert_allclose(a.raw, b.raw, atol=1e-9)


def test_features_on_disk_are_read_in_blocks(model, v4, tmp_path):
    net = npc.nets.load("squeezenet1_1", weights=None, preprocess={"size_px": 64, "resize_px": None})
    display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    pictures = npc.StimulusSet.from_arrays(
        np.random.default_rng(0).random((60, 3, 32, 32), np.float32), display=display, ids=NAMES
    )
    layers = ["features.3", "features.7"]
    lazy = npc.record(net, pictures, layers, store=tmp_path, memory_bytes=0)
    whole = npc.record(net, pictures, layers)
    a, b = (benchmark(f, v4, estimator="ridge", splits=3, n_resamples=0) for f in (lazy, whole))
    np.testing.assert_allclose(a.raw, b.raw, atol=1e-9)


def test_what_cannot_be_scored_is_counted(model, v4):
    odd = v4.copy()
    odd[:, 2] = 3.0
    odd[np.isin(odd.stimulus_id, NAMES[:20]), 4] = np.nan
    odd[:, 6] = np.nan
    for estimator in ("pls", "ridge"):
        scores = benchmark(model, odd, estimator=estimator, splits=5, n_components=4, n_resamples=20)
        assert scores.n_undefined.values.tolist() == [2, 2]
        assert np.isnan(scores.score[:, [2, 6]]).all()
        assert np.isfinite(scores.score[:, [0, 1, 3, 4, 5, 7]]).all()
        assert scores.n_rows.values.tolist() == [60, 60, 60, 60, 40, 60, 0, 60]
        assert np.isfinite(scores.aggregate).all()
    alone = benchmark(model, v4.isel(neuroid=[4]), estimator="ridge", splits=5, n_resamples=0)
    assert not np.isnan(alone.raw).any()


def patchy(v4, step=5):
    """Every neuron misses other stimuli, so that none is complete."""
    odd = v4.copy()
    for j in range(8):
        odd[np.isin(odd.stimulus_id, NAMES[step * j : step * (j + 1)]), j] = np.nan
    return odd


def test_neurons_that_miss_different_stimuli_have_intervals(model, v4):
    odd = patchy(v4)
    whole, some = (benchmark(model, v, estimator="ridge", splits=5, scheme="fold", n_resamples=200) for v in (v4, odd))
    assert np.isfinite(some.interval).all() and some.n_not_pooled.values.tolist() == [0, 0]
    assert some.is_pooled.all() and "stimuli and neuroids" in some.interval.attrs["of"]
    assert abs(some.pooled[0] - whole.pooled[0]) < 0.1 and some.interval[0, 0] < some.pooled[0] < some.interval[0, 1]
    r = [npc.metrics.pearson(p, y, nan_policy="omit") for p, y in
         zip(some.prediction.values, [npc.data.average_repeats(odd).values] * 2, strict=True)]  # fmt: skip
    expected = [np.median(np.sign(x) * x**2 / some.reliability.values) for x in r]
    np.testing.assert_allclose(some.pooled, expected, atol=1e-12)
    apart = compare_models(some, some, odd, layer=("layer0", "layer1"), n_resamples=200, rng=0)
    assert apart.low > 0 and apart.estimate == pytest.approx(float(some.pooled[0] - some.pooled[1]))


def test_one_incomplete_neuron_stays_and_one_without_rows_is_named(model, v4):
    odd = v4.copy()
    odd[np.isin(odd.stimulus_id, NAMES[:20]), 4] = np.nan
    odd[:, 6] = np.nan
    scores = benchmark(model, odd, estimator="ridge", splits=5, n_resamples=20)
    assert scores.n_not_pooled.values.tolist() == [1, 1]
    assert scores.neuroid_id.values[~scores.is_pooled.values[0]].tolist() == [scores.neuroid_id.values[6]]
    apart = compare_models(scores, scores, odd, layer=("layer0", "layer1"), n_resamples=20, rng=0)
    assert (apart.n_undefined, apart.undefined) == (1, (6,))


def test_a_neuron_with_too_few_rows_for_pls_is_counted_and_named(model, v4, caplog):
    odd = v4.copy()
    odd[np.isin(odd.stimulus_id, NAMES[20:]), 3] = np.nan  # 20 of 60 stimuli, 25 components
    with caplog.at_level(logging.WARNING, "neuroperc.encoding"):
        scores = benchmark(model, odd, splits=4, n_resamples=20)
    name = scores.neuroid_id.values[3].item()
    assert [r.getMessage() for r in caplog.records] == [
        f"neuroids [{name!r}] have fewer than 25 training rows in a split, and so no score"
    ]
    assert scores.n_undefined.values.tolist() == scores.n_not_pooled.values.tolist() == [1, 1]
    assert np.isnan(scores.score[:, 3]).all() and scores.n_rows[3] == 20
    others = benchmark(model, odd.isel(neuroid=[0, 1, 2, 4, 5, 6, 7]), splits=4, n_resamples=0)
    np.testing.assert_allclose(scores.raw.values[..., [0, 1, 2, 4, 5, 6, 7]], others.raw, atol=1e-9)
    assert benchmark(model, odd, estimator="ridge", splits=4, n_resamples=0).n_undefined.values.tolist() == [0, 0]


def test_a_neuron_short_in_inner_splits_only_keeps_its_score(model, v4, caplog):
    odd = v4.copy()
    odd[np.isin(odd.stimulus_id, NAMES[40:]), 3] = np.nan  # of 40 stimuli about 32 train outside, 26 inside
    odd[np.isin(odd.stimulus_id, NAMES[20:]), 5] = np.nan
    with caplog.at_level(logging.WARNING, "neuroperc.encoding"):
        found = choose_layer(model, odd, splits=3, inner_splits=2, n_components=28, test_share=0.2)
    names = found.neuroid_id.values[[5, 3]].tolist()
    assert [r.getMessage() for r in caplog.records] == [
        f"neuroids [{name!r}] have fewer than 28 training rows in a split, and so no {what}"
        for name, what in zip(names, ("score", "say in the choice"), strict=True)
    ]
    one = benchmark(model, odd, splits=3, n_components=28, test_share=0.2, n_resamples=0)
    expected = [one.raw.sel(layer=name).values[i] for i, name in enumerate(found.chosen.values)]
    np.testing.assert_allclose(found.raw, expected, atol=1e-9)
    assert np.isfinite(found.score).values.tolist() == [True] * 5 + [False] + [True] * 2


def test_a_feature_that_is_not_finite_names_layer_unit_and_stimulus(model, v4):
    odd = model.copy()
    odd[4, 30 + 70], odd[9, 30 + 80] = np.nan, np.inf
    words = "layer layer1 must be finite, got 2 NaN or infinite values, the first in unit 70 for stimulus picture04"
    order = np.random.default_rng(0).permutation(150)
    for given in (odd, odd.isel(presentation=slice(None, None, -1))):
        with pytest.raises(ValueError, match=words):
            benchmark(given, v4, estimator="ridge", n_resamples=0)
    mixed = odd.isel(neuroid=order)  # layers no longer lie side by side
    with pytest.raises(ValueError, match=r"layer layer1 must be finite, got 2"):
        benchmark(mixed, v4, estimator="ridge", n_resamples=0)


@pytest.mark.parametrize("constant", [0.0, 3.3, 1e-20])
def test_a_dead_layer_does_not_stop_a_sweep(model, v4, constant):
    """A mean of sixty 3.3 is not 3.3: what is left is rounding, which must not be scored."""
    dead = model.copy()
    dead[:, model.layer.values == "layer0"] = constant
    for estimator in ("pls", "ridge"):
        scores = benchmark(dead, v4, estimator=estimator, splits=3, n_components=4, n_resamples=20)
        assert scores.n_undefined.values.tolist() == scores.n_not_pooled.values.tolist() == [8, 0]
        assert np.isnan(scores.aggregate[0])
        torn = v4.copy(data=np.where(np.arange(len(v4))[:, None] % 5 == np.arange(v4.shape[1]), np.nan, v4.values))
        scores = benchmark(dead, torn, estimator=estimator, splits=3, n_components=4, n_resamples=0)
        assert np.isnan(scores.aggregate[0]) and np.isfinite(scores.aggregate[1])


def test_a_dead_layer_takes_as_few_stimuli_as_any_other(model, v4):
    few = {"dead": model.copy(data=np.zeros(model.shape)), "other": model}
    first = np.isin(v4.stimulus_id, v4.stimulus_id.values[:20])
    scores = benchmark(few, v4[first], estimator="ridge", splits=3, test_share=0.2, n_resamples=0)
    assert np.isnan(scores.aggregate[0]) and np.isfinite(scores.aggregate[1])


def test_predictions_that_are_rounding_have_no_score(model, v4):
    scores = benchmark(model, v4, estimator="ridge", alphas=[1e300], splits=3, n_resamples=20)
    assert scores.n_undefined.values.tolist() == scores.n_not_pooled.values.tolist() == [8, 8]
    faint = benchmark(
        model.copy(data=1e-6 * model.values), v4, estimator="ridge", alphas=[1e-3], splits=3, n_resamples=0
    )
    same = benchmark(model, v4, estimator="ridge", alphas=[1e9], splits=3, n_resamples=0)
    np.testing.assert_allclose(faint.raw, same.raw, atol=1e-4)


def test_two_held_out_stimuli_are_a_line_and_no_correlation(model, v4):
    odd = v4.copy()
    splits = [(np.arange(i, 60), np.arange(i)) for i in (6, 10)]
    odd[np.isin(odd.stimulus_id, NAMES[2:6]), 3] = np.nan
    scores = benchmark(model, odd, estimator="ridge", splits=splits, n_resamples=0)
    assert np.isnan(scores.raw[:, 0, 3]).all() and np.isfinite(scores.raw[:, 1]).all()
    assert scores.n_undefined.values.tolist() == [0, 0]


def test_four_groups_have_scores_and_no_interval(model, v4):
    quarter = v4.assign_coords(session=("presentation", np.tile(np.arange(60) // 15, 4)))
    scores = benchmark(model, quarter, estimator="ridge", groups="session", scheme="fold", splits=4, n_resamples=20)
    assert np.isfinite(scores.score).all() and np.isnan(scores.interval).all()
    assert scores.n_not_pooled.values.tolist() == [8, 8] and "5 groups of stimuli" in scores.interval.attrs["of"]


def test_stratified_test_sets_keep_their_shares(model, v4):
    scores = benchmark(model, v4, estimator="ridge", splits=5, stratify="kind", n_resamples=0)
    assert scores.attrs["stratify"] == "kind"
    with pytest.raises(ValueError, match=r"stratify must be a coordinate of the presentations .*kind.*, got nothing"):
        benchmark(model, v4, stratify="nothing")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, v: benchmark(m, v.isel(presentation=slice(0, 60))), "reliability must be above 0"),
        (lambda m, v: benchmark(m, v, rule="r3"), "rule must be one of 'signed'"),
        (lambda m, v: benchmark(m, v, estimator="lasso"), "estimator must be one of 'pls', 'ridge'"),
        (lambda m, v: benchmark(m, v, by="stage"), r"of the units \(layer, neuroid_id\), got stage"),
        (lambda m, v: benchmark(m.isel(presentation=slice(0, 50)), v), "10 missing, such as .'picture50'"),
        (lambda m, v: benchmark(xr.concat([m, m[:1]], "presentation"), v), "got 'picture00' twice"),
        (lambda m, v: benchmark(m, v, n_components=55), "n_components must be at most the number of training rows, 54"),
        (lambda m, v: benchmark(m, v, repeats="keep", groups=None), "groups must be given when stimuli repeat"),
        (lambda m, v: benchmark(m, v, memory_bytes=1000),
         r"at least \d+ .*for 2 layers of up to 120 units .layer1., 60 rows, 8 neurons, got 1000"),
        (lambda m, v: benchmark(m, v, test_share=0.01), "3 or more test stimuli each, got 1"),
        (lambda m, v: benchmark(m, v, splits=30, scheme="fold"), "3 or more test stimuli each, got 2"),
        (lambda m, v: benchmark(m, v, splits=[(np.arange(40.0), np.arange(50))]), r"pairs .* got \[\('float64', \(40,"),
        (lambda m, v: benchmark(m, v, splits=[(np.arange(60) < 40, np.arange(60) > 40)]), r"numbers, got \[\('bool"),
        (lambda m, v: benchmark(m, v, splits=[(np.arange(40),)]), r"splits must be pairs \(train, test\)"),
        (lambda m, v: benchmark(m, v, splits=[(np.arange(40), np.arange(50, 70))]), "of rows 0 to 59, got 0 to 69"),
        (lambda m, v: benchmark(m, v, rng=2**32), "rng must be a seed below"),
        (lambda m, v: benchmark(m, v, repeats="keep", groups="repetition"), "groups must be the same for all rows"),
        (lambda m, v: choose_layer(m, v[np.isin(v.stimulus_id, NAMES[:21])]), "inner_splits must be with 3 or more"),
        (lambda m, v: choose_layer(m, v.copy(data=np.ones(v.shape)), reliability=1.0), "layers must be with a score"),
        (lambda m, v: benchmark(m, v, reliability=[0.5, 0.5]), "one for each of the 8 neuroids"),
        (lambda m, v: choose_layer(m, v, rule="brainscore-2026"), "rule must be one of"),
        (lambda m, v: benchmark({}, v), "layers must be at least one"),
    ],
)  # fmt: skip
def test_bad_input_names_the_value_and_the_remedy(model, v4, call, words):
    with pytest.raises(ValueError, match=words):
        call(model, v4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, v: benchmark(m, v, splits=2.5), "splits must be a whole number or pairs .* got 2.5"),
        (lambda m, v: benchmark(m, v, rng=None), "rng must be an int or a numpy.random.Generator, got None"),
        (lambda m, v: choose_layer(m, v, rng="1"), "rng must be an int or a numpy.random.Generator, got 1"),
        (lambda m, v: benchmark(m.astype(complex), v), "layer layer0 must be real numbers, got dtype complex128"),
        (lambda m, v: benchmark(m, v.astype(complex)), "responses must be real numbers, got dtype complex128"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_name(model, v4, call, words):
    with pytest.raises(TypeError, match=words):
        call(model, v4)


def test_numbers_of_numpy_and_half_precision_are_numbers(model, v4):
    options = {"estimator": "ridge", "n_resamples": 0}
    plain = benchmark(model, v4, splits=3, rng=1, **options)
    xr.testing.assert_identical(benchmark(model, v4, splits=np.int64(3), rng=np.int64(1), **options), plain)
    half = benchmark(model, v4.astype("float16"), splits=3, rng=1, **options)
    np.testing.assert_allclose(half.raw, plain.raw, atol=5e-3)


def test_only_scores_of_one_kind_are_compared(model, v4):
    a, b = (benchmark(model, v4, estimator="ridge", splits=n, n_resamples=0) for n in (2, 3))
    with pytest.raises(ValueError, match="splits of the two scores must be the same"):
        compare_models(a, b, v4, rng=0)
    with pytest.raises(ValueError, match="layer must be one of layer0, layer1, got conv9"):
        compare_models(a, a, v4, layer=("layer0", "conv9"), rng=0)
    options = {"estimator": "ridge", "splits": 2, "n_resamples": 0}
    for other, words in (
        (benchmark(model, v4, test_share=0.3, **options), "held_out of the two scores must be the same"),
        (benchmark(model, v4, reliability=0.5, **options), "reliability of the two scores must be the same"),
        (benchmark(model, v4[:, ::-1], **options), "neuroid_id of the two scores must be the same"),
    ):
        with pytest.raises(ValueError, match=words):
            compare_models(a, other, v4, rng=0)
    for responses in (v4[::-1], v4[:, ::-1], v4[:, :5].assign_coords(neuroid_id=("neuroid", range(5)))):
        with pytest.raises(ValueError, match=r"those of the two scores|one for each of"):
            compare_models(a, a, responses, layer=("layer0", "layer1"), rng=0)
    with pytest.raises(TypeError, match=r"scores must be an xarray.Dataset, got DataArray"):
        compare_models(a.raw, a, v4, rng=0)
    single = npc.data.average_repeats(v4)
    alone = benchmark(model, single, groups=None, reliability=0.8, **options)
    assert compare_models(alone, alone, single, layer=("layer0", "layer1"), rng=0).low > 0


def test_a_store_is_a_folder(model, v4, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="store must be a folder"):
        benchmark(model, v4, store=tmp_path / "file")


def test_a_given_reliability_is_used(model, v4):
    one = benchmark(model, v4, estimator="ridge", splits=3, reliability=0.5, n_resamples=0)
    assert (one.reliability == 0.5).all()
    given = Reliability(np.full(8, 0.25), np.full(8, 4.0), "split_half")
    two = benchmark(model, v4, estimator="ridge", splits=3, reliability=given, n_resamples=0)
    np.testing.assert_allclose(two.score, 2 * one.score)
    none = benchmark(model, v4.isel(presentation=slice(0, 60)), estimator="ridge", splits=3, rule="r", n_resamples=0)
    assert np.isnan(none.reliability).all() and np.isfinite(none.score).all()


KILL = """
import os, sys
sys.path.insert(0, {folder!r})
from test_encoding_scores import units, neurons
from neuroperc.encoding import scoring
real, calls = scoring.compute_cell, []
def dying(*args):
    calls.append(1)
    if len(calls) == 3:
        os._exit(9)                                # as a kill: nothing is cleaned up
    return real(*args)
scoring.compute_cell = dying
model = units(widths=(20, 30, 40, 50))
scoring.benchmark(model, neurons(model), estimator="ridge", splits=3, store={store!r}, n_resamples=0)
"""


def test_a_killed_sweep_loses_one_layer_and_a_damaged_file_is_made_again(tmp_path, monkeypatch, caplog):
    folder = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILL.format(folder=folder, store=str(tmp_path))], check=False)
    assert done.returncode == 9
    assert len(list(tmp_path.glob("*.cell"))) == 2
    model = units(widths=(20, 30, 40, 50))
    v4, calls, real = neurons(model), [], scoring.compute_cell
    monkeypatch.setattr(scoring, "compute_cell", lambda *args: calls.append(args[0].name) or real(*args))
    settings = {"estimator": "ridge", "splits": 3, "n_resamples": 0}
    resumed = benchmark(model, v4, store=tmp_path, **settings)
    assert calls == ["layer2", "layer3"]
    victim = sorted(tmp_path.glob("*.cell"))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING, logger="neuroperc.encoding"):
        again = benchmark(model, v4, store=tmp_path, **settings)
    assert len(calls) == 3 and "damaged" in caplog.text
    plain = benchmark(model, v4, **settings)
    for scores in (resumed, again):
        xr.testing.assert_identical(scores, plain)


def test_a_killed_choice_of_layers_goes_on(model, v4, tmp_path, monkeypatch):
    from neuroperc.encoding import layers as choosing

    options = {"estimator": "ridge", "splits": 2, "inner_splits": 2}
    whole, real, turned = choose_layer(model, v4, **options), choosing.turn, []

    def dies(device, layer):
        turned.append(layer.name)
        if len(turned) == 2:
            raise KeyboardInterrupt
        return real(device, layer)

    monkeypatch.setattr(choosing, "turn", dies)
    with pytest.raises(KeyboardInterrupt):
        choose_layer(model, v4, store=tmp_path, **options)
    again = choose_layer(model, v4, store=tmp_path, **options)
    assert turned == ["layer0", "layer1", "layer1"]
    xr.testing.assert_identical(again, whole)
    choose_layer(model, v4, store=tmp_path, **(options | {"inner_splits": 3}))
    assert turned[3:] == ["layer0", "layer1"]


def test_another_argument_or_feature_is_another_cell(model, v4, tmp_path, monkeypatch):
    calls, real = [], scoring.compute_cell
    monkeypatch.setattr(scoring, "compute_cell", lambda *args: calls.append(1) or real(*args))
    base = {"estimator": "ridge", "splits": 3, "store": tmp_path, "n_resamples": 0}
    changed = model.copy()
    changed[3, 140] += 1e-6
    for layers, responses, more, new in (
        (model, v4, {}, 2), (model, v4, {}, 0), (model, v4, {"rule": "ev"}, 0), (model, v4, {"rng": 2}, 2),
        (model, v4, {"alphas": [1.0]}, 2), (changed, v4, {}, 1), (model, v4 + 1.0, {}, 2),
    ):  # fmt: skip
        before = len(calls)
        benchmark(layers, responses.assign_attrs(v4.attrs), **base | more)
        assert len(calls) - before == new, more
