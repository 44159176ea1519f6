"""Bad input of the tuning functions."""

import numpy as np
import pytest
import torch

from neuroperc import motion
from neuroperc.display import Display
from neuroperc.stimuli import gratings

DISPLAY = Display.from_px_per_deg(8, resolution_px=(16, 16))
D = np.arange(0, 360, 30)


@pytest.fixture
def movies():
    return gratings(DISPLAY, sf_cpd=1, tf_hz=[2.0, 4.0], duration_s=0.1)


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (lambda m: m, {}, r"\(batch, time, unit\) or \(batch, unit\), got \(2, 6, 1, 16, 16\)"),
        (lambda m: m[:1, :, 0, 0], {}, "a callable that returns"),
        (lambda m: None, {}, "got NoneType"),
        (lambda m: m[:, :, 0, 0] * float("nan"), {}, "the model's answer .* must be finite"),
        (lambda m: m[:, :, 0, 0], {"skip_s": 0.1}, "shorter than the answer of 6 frames"),
        (lambda m: m[:, :, 0, 0], {"skip_s": -1}, "skip_s must be"),
    ],
)
def test_bad_models(movies, model, kind, words):
    with pytest.raises((ValueError, TypeError), match=words):
        motion.respond(model, movies, **kind)


def test_model_and_movies_of_different_fps(movies):
    model = motion.SimoncelliHeeger(DISPLAY, fps=30)
    with pytest.raises(ValueError, match="30.0 frames per second of the model, got 60"):
        motion.respond(model, movies)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: motion.direction_statistics(np.zeros((12, 2)), D), r"\(repeat, condition, unit\)"),
        (lambda: motion.direction_statistics(np.zeros((1, 11, 2)), D), "11 values, as many as responses"),
        (lambda: motion.direction_statistics(np.zeros((1, 3, 2)), [0, 90, 200]), "evenly spaced"),
        (lambda: motion.direction_statistics(np.full((1, 12, 1), np.nan), D), "responses must be finite"),
        (lambda: motion.direction_statistics(np.ones((1, 12, 1)), D, level=2), "level must be between"),
        (lambda: motion.plaid_statistics(np.ones((1, 12, 1)), np.ones((1, 12, 2)), D), "of the shape"),
        (lambda: motion.plaid_statistics(*(np.ones((1, 8, 1)),) * 2, np.arange(0, 360, 45)), "twice a whole number"),
        (lambda: motion.speed_statistics(np.ones((1, 3, 3, 1)), [0, 1, 2], [1, 2, 3]), "frequencies above 0"),
        (lambda: motion.speed_statistics(np.ones((1, 3, 3, 1)), [1, 2], [1, 2, 3]), "three or more"),
        (lambda: motion.contrast_statistics(np.ones((1, 4, 1)), [0.1, 0.2, 0.3, 0.4]), "five or more contrasts"),
        (lambda: motion.opponent_index([1.0, -1.0], [0, 180]), "energies of 0 or more, got -1.0"),
        (lambda: motion.opponent_index([1.0, 1.0], [0, 90]), "180 degrees for one unit or more"),
        (lambda: motion.opponent_index([1.0, 1.0], [0, 90, 180]), "one a unit"),
    ],
)
def test_bad_arrays(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_few_repeats_have_no_interval():
    curve = np.exp(np.cos(np.deg2rad(D)))[None, :, None]
    table = motion.direction_statistics(np.concatenate([curve, curve]), D)
    assert np.isnan(table.direction_index_low[0])
    assert motion.direction_statistics(np.concatenate([curve] * 3), D).direction_index_low[0] > 0


def test_a_unit_that_never_answers_has_no_tuning():
    table = motion.direction_statistics(np.zeros((1, 12, 1)), D)
    assert np.isnan(table[["direction_index", "circular_variance"]]).all(axis=None)


def test_tables_are_seeded():
    energy = motion.MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), n_directions=4)
    kind = {"sf_cpd": 1, "tf_hz": 4, "n_directions": 4, "n_phases": 3, "duration_s": 0.25}
    first, again, other = (motion.direction_tuning(energy, DISPLAY, rng=r, **kind).table for r in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    assert torch.is_grad_enabled()
