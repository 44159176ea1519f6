"""Scores mean what they say: known reliability, the old rule's bias, no leak, no optimism of the best layer."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroperc as npc
from neuroperc.encoding import benchmark, choose_layer, compare_models
from neuroperc.encoding.scoring import pool
from neuroperc.metrics import normalized_score, pearson, r2
from neuroperc.regression import HeldOut, cross_predict, fold_splits, shuffle_splits

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def simulate(reliability, *, n=300, n_neurons=40, n_repeats=6, seed=0):
    """Neurons whose mean over repeats has this reliability, and the model that they are."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, n_neurons))
    noise_sd = (n_repeats * (1 - reliability) / reliability) ** 0.5
    names = [f"p{i:03d}" for i in range(n)]
    trials = (truth[None] + noise_sd * rng.normal(size=(n_repeats, n, n_neurons))).reshape(-1, n_neurons)
    measured = npc.data.make_responses(trials, stimulus_id=names * n_repeats, repetition=np.repeat(range(n_repeats), n))
    return npc.data.make_responses(truth, stimulus_id=names, layer="truth"), measured


@pytest.mark.parametrize("reliability", [0.3, 0.8])
def test_a_perfect_model_scores_one_and_the_old_rule_too_much(reliability):
    perfect, measured = simulate(reliability, n=1200, n_neurons=10)
    found = {
        rule: benchmark(perfect, measured, estimator="ridge", rule=rule, n_resamples=200)
        for rule in ("signed", "brainscore-2026", "brainscore-2025")
    }
    for scores in found.values():
        assert float(scores.reliability.median()) == pytest.approx(reliability, abs=0.06)
        np.testing.assert_allclose(scores.n_repeats, 6)
    assert float(found["signed"].aggregate[0]) == pytest.approx(1, abs=0.1)
    assert float(found["brainscore-2026"].aggregate[0]) == pytest.approx(1, abs=0.1)
    ratio = float(found["brainscore-2025"].aggregate[0]) / float(found["brainscore-2026"].aggregate[0])
    assert ratio == pytest.approx(1 / reliability, rel=0.15)  # (r/c)² is r²/c divided by c once more
    if reliability < 0.5:
        assert float(found["brainscore-2025"].aggregate[0]) > 2


@pytest.mark.parametrize("estimator", ["split_half", "noise_ceiling", "explainable_variance"])
@pytest.mark.parametrize("shown", ["three times", "three times or once"])
def test_a_perfect_model_scores_one_whatever_the_number_of_repeats(estimator, shown):
    """Of three repeats halves can hold two only, and stimuli that were shown once have none."""
    perfect, measured = simulate(0.5, n=900, n_neurons=20, n_repeats=3)
    keep = np.ones(2700, dtype=bool)
    if shown != "three times":
        keep[900:] = np.tile(np.arange(900) < 600, 2)
    options = {"estimator": "ridge", "alphas": [1.0], "splits": 3, "scheme": "fold", "n_resamples": 0}
    scores = benchmark(perfect, measured[keep], reliability=estimator, **options)
    np.testing.assert_allclose(scores.n_repeats, 3 if keep.all() else 1 / (2 / 9 + 1 / 3))
    assert float(scores.aggregate[0]) == pytest.approx(1, abs=0.1)
    single = benchmark(perfect, measured[keep], reliability=estimator, repeats="keep", **options)
    np.testing.assert_allclose(single.n_repeats, 1)
    assert float(single.aggregate[0]) == pytest.approx(1, abs=0.1)
    assert (single.reliability < scores.reliability).all()


def test_sign_and_gain():
    y = np.random.default_rng(0).normal(size=(100, 5))
    np.testing.assert_allclose(normalized_score(pearson(-y, y), 1.0), -1, atol=1e-12)
    np.testing.assert_allclose(pearson(2 * y, y), 1, atol=1e-12)
    assert (r2(2 * y, y) < 1).all()


def test_r2_stands_beside_r_and_sees_gain():
    perfect, measured = simulate(0.8)
    shrunk = benchmark(perfect, measured, estimator="ridge", alphas=[600.0], n_resamples=0)
    free = benchmark(perfect, measured, estimator="ridge", alphas=[1.0], n_resamples=0)
    assert float(shrunk.raw.median()) == pytest.approx(float(free.raw.median()), abs=0.03)
    assert float(shrunk.r2.median()) < float(free.r2.median()) - 0.3


@pytest.mark.parametrize("estimator", ["pls", "ridge"])
def test_repeats_of_a_stimulus_do_not_leak(estimator):
    """conventions.md: 200 stimuli x 3 repeats, 500 random features, stimulus-locked random responses: |r| < .05."""
    rng = np.random.default_rng(0)
    names = [f"p{i:03d}" for i in range(200)]
    features = npc.data.make_responses(rng.normal(size=(200, 500)), stimulus_id=names, layer="noise")
    locked = rng.normal(size=(200, 20))
    trials = np.concatenate([locked + 0.5 * rng.normal(size=locked.shape) for _ in range(3)])
    responses = npc.data.make_responses(trials, stimulus_id=names * 3)
    scores = benchmark(features, responses, estimator=estimator, repeats="keep", scheme="fold", splits=5, n_resamples=0)
    assert abs(float(scores.raw.mean())) < 0.05
    with pytest.raises(ValueError, match="leak"):
        benchmark(features, responses, estimator=estimator, repeats="keep", groups=None)


def test_the_best_of_many_noise_layers_looks_good_until_it_is_chosen_elsewhere():
    names = [f"p{i:03d}" for i in range(60)]
    layers, index = np.repeat([f"noise{i:02d}" for i in range(15)], 8), np.tile(np.arange(8), 15)
    settings = {"estimator": "ridge", "reliability": 1.0, "rule": "r", "alphas": [1.0, 30.0], "splits": 6}
    greedy, nested = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        noise = npc.data.make_responses(rng.normal(size=(60, 120)), stimulus_id=names, neuroid_id=index, layer=layers)
        measured = npc.data.make_responses(rng.normal(size=(60, 1)), stimulus_id=names)
        greedy.append(float(benchmark(noise, measured, n_resamples=0, test_share=0.2, **settings).aggregate.max()))
        nested.append(float(choose_layer(noise, measured, test_share=0.2, **settings).aggregate))
    assert np.mean(greedy) > 0.15
    assert abs(np.mean(nested)) < np.mean(greedy) / 2


def test_a_better_model_wins_on_the_same_resamples():
    perfect, measured = simulate(0.7, n=150, n_neurons=20)
    rng = np.random.default_rng(3)
    worse = perfect.copy(data=perfect.values + 0.7 * rng.normal(size=perfect.shape))
    a, b = (benchmark(m, measured, estimator="ridge", scheme="fold", n_resamples=200) for m in (perfect, worse))
    found = compare_models(a, b, measured, rng=0)
    assert found.low > 0 and "difference" in found.of
    assert found.high - found.low < (a.interval[0, 1] - a.interval[0, 0]) + (b.interval[0, 1] - b.interval[0, 0])


def test_neurons_in_noise_average_out_of_the_median():
    perfect, measured = simulate(0.7, n=150, n_neurons=20)
    shuffled = measured.copy()
    shuffled[:, :5] = np.random.default_rng(0).normal(size=(len(measured), 5))
    scores = benchmark(perfect, shuffled, estimator="ridge", n_resamples=0)
    assert (scores.reliability[:5] < 0.4).all()
    assert float(scores.aggregate[0]) == pytest.approx(0.9, abs=0.2)
    assert isinstance(scores, xr.Dataset)


@pytest.mark.parametrize("scheme", ["fold", "shuffle"])
def test_pooled_predictions_of_noise_are_not_below_chance(scheme):
    """A split's intercept is low where its held-out rows are high: pooled as they come, noise scores below 0."""
    pooled, naive = [], []
    make = fold_splits if scheme == "fold" else shuffle_splits
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(60, 30)), rng.normal(size=(60, 60))
        held = cross_predict(x, y, splits=make(np.arange(60), rng=seed), estimator="ridge", alphas=[100.0])
        predicted, plain = pool(held, y), np.full_like(y, np.nan)
        for one, (_, test) in zip(held.predictions, held.splits, strict=True):
            plain[test] = one
        rows = np.isfinite(plain).all(axis=1)
        pooled.append(np.median(pearson(predicted[rows], y[rows])))
        naive.append(np.median(pearson(plain[rows], y[rows])))
    assert abs(np.mean(pooled)) < 0.025  # whose standard error is 0.005
    assert np.mean(naive) < -0.04


def test_pooling_does_not_mix_scales():
    """Splits whose penalties differ predict on different scales; each alone has r = 1, and so has the whole."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 3))
    splits = fold_splits(np.arange(60), n_folds=6, rng=0)
    scale = np.geomspace(0.01, 1, 6)[:, None] * np.ones(3)
    shrunk = [
        s * (y[test] - y[train].mean(0)) + y[train].mean(0) for s, (train, test) in zip(scale, splits, strict=True)
    ]
    spread = np.stack([s * y[train].std(0) for s, (train, _) in zip(scale, splits, strict=True)])
    pooled = pool(HeldOut(shrunk, splits, None, spread), y)
    assert (pearson(pooled, y) > 0.98).all()
    assert (pearson(np.concatenate(shrunk), y[np.concatenate([test for _, test in splits])]) < 0.9).all()


@pytest.mark.slow
def test_crossed_intervals_cover_the_true_score_and_split_errors_do_not():
    """500 simulated experiments: new stimuli, neurons and noise in each; scored as `benchmark` does by default."""
    spec = importlib.util.spec_from_file_location("score_coverage", EXPERIMENTS / "score_coverage.py")
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    config = experiment.Config(500, 100, 40, 30, 4, 10, 400, ("shuffle",), 0)  # the paper profile's
    values = experiment.run(config).values
    assert 0.93 <= values["crossed_signed_shuffle"] <= 0.97
    assert 0.93 <= values["crossed_r_shuffle"] <= 0.97
    assert values["splits_r_shuffle"] < 0.9
