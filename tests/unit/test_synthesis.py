"""synthesize and Metamer: independence of items, resuming, files, and what they refuse."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from neuroperc.synthesis import Metamer, synthesize

POOL = nn.AvgPool2d(4)


def picture(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(100 + seed).random(shape))  # never the noise of the start


class KilledError(Exception):
    pass


def killed_at(n_calls):
    """Return the pooled energy on a machine that dies at the n-th call."""
    left = iter(range(n_calls))

    def model(x):
        if next(left, None) is None:
            raise KilledError
        return pooled_energy(x)

    model.__qualname__ = pooled_energy.__qualname__
    return model


def pooled_energy(x):
    return torch.cat((POOL(x), POOL(x.square())), 1)


def same_bits(a, b):
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("image", "loss", "penalty", "converged"))


def test_features_match_and_pixels_do_not():
    target = picture(3, 16, 16)
    first, second = (synthesize(POOL, target, steps=300, rng=seed) for seed in (0, 1))
    for metamer in (first, second):
        assert metamer.image.shape == target.shape
        assert metamer.loss[-1] < 1e-4 * metamer.loss[0]
        assert (metamer.image - target).square().mean() > 1000 * metamer.loss[-1]
        assert metamer.image.min() >= 0
        assert metamer.image.max() <= 1
    assert (first.image - second.image).abs().mean() > 0.1
    assert same_bits(first, synthesize(POOL, target, steps=300, rng=0))


def test_last_loss_is_that_of_the_picture():
    target = picture(2, 1, 16, 16)
    for penalty in (0.0, 0.5):
        metamer = synthesize(pooled_energy, target, steps=7, penalty=penalty)
        assert metamer.loss.shape == metamer.penalty.shape == (8, 2)
        loss = (pooled_energy(metamer.image) - pooled_energy(target)).square().flatten(1).mean(1)
        torch.testing.assert_close(metamer.loss[-1], loss)


def test_a_batch_equals_the_loop():
    """Items settle at different steps: the second starts at its target, the third close to it."""
    target = picture(3, 1, 16, 16)
    init = picture(3, 1, 16, 16, seed=1)
    init[1] = target[1]
    init[2] = 0.7 * target[2] + 0.3 * init[2]
    batch = synthesize(pooled_energy, target, steps=105, init=init, tolerance=1e-5)
    updates = set()
    for i in range(3):
        one = synthesize(pooled_energy, target[i], steps=105, init=init[i], tolerance=1e-5)
        torch.testing.assert_close(one.image, batch.image[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(one.loss, batch.loss[: len(one.loss), i], rtol=0, atol=1e-12)
        assert bool(one.converged) == bool(batch.converged[i])
        updates.add(one.settings["updates"])
    assert len(updates) == 3
    assert batch.converged.tolist() == [False, True, True]


def test_noise_of_a_batch_is_that_of_one_generator():
    target, rng = picture(2, 1, 8, 8), np.random.default_rng(3)
    one_by_one = torch.stack([synthesize(POOL, t, steps=5, rng=rng).image for t in target])
    torch.testing.assert_close(synthesize(POOL, target, steps=5, rng=np.random.default_rng(3)).image, one_by_one)


def test_fixed_pixels_are_the_targets_and_the_rest_is_free():
    target, fixed = picture(1, 16, 16), torch.zeros(16, 16)
    fixed[4:12, 4:12] = 1
    metamer = synthesize(POOL, target, steps=50, fixed=fixed)
    assert torch.equal(metamer.image[:, fixed == 1], target[:, fixed == 1])
    assert (metamer.image - target)[:, fixed == 0].abs().mean() > 0.1
    half = synthesize(POOL, target, steps=0, fixed=torch.tensor(0.5), init=torch.ones(()))
    torch.testing.assert_close(half.image, 0.5 * target + 0.5)


def test_penalty_lets_light_leave_the_range_on_the_way():
    target = torch.zeros(1, 8, 8, dtype=torch.float64)
    inside = synthesize(torch.clone, target, steps=20, learning_rate=0.1)
    outside = synthesize(torch.clone, target, steps=20, learning_rate=0.1, penalty=0.1)  # Adam overshoots black
    assert not inside.penalty.any()
    assert outside.penalty.max() > 0
    assert outside.penalty[-1] == 0
    assert outside.image.min() >= 0


@pytest.mark.parametrize("calls", [2, 21, 74])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, calls):
    """The first picture settles after 51 updates, so the last case is resumed with one picture under way."""
    target, file = picture(2, 1, 8, 8).float(), tmp_path / "run.safetensors"
    init = picture(2, 1, 8, 8, seed=1).float()
    init[0] = target[0]
    arguments = {"steps": 80, "tolerance": 1e-7, "init": init}
    whole = synthesize(pooled_energy, target, **arguments)
    assert whole.converged.tolist() == [True, False]
    arguments |= {"checkpoint": file, "checkpoint_every": 10}
    with pytest.raises(KilledError):
        synthesize(killed_at(calls), target, **arguments)
    assert file.exists() == (calls > 10)
    assert same_bits(whole, synthesize(pooled_energy, target, **arguments))
    assert same_bits(whole, synthesize(pooled_energy, target, **arguments))  # a finished run


def test_a_generator_ends_where_the_unbroken_run_leaves_it(tmp_path):
    target, file = picture(1, 8, 8), tmp_path / "run"
    for make in (np.random.default_rng, lambda seed: np.random.Generator(np.random.MT19937(seed))):
        first, second = make(5), make(6)
        synthesize(POOL, target, steps=3, rng=first, checkpoint=file)
        synthesize(POOL, target, steps=3, rng=second, checkpoint=file)
        assert first.random() == second.random()
        file.unlink()


def test_a_finished_run_can_be_extended(tmp_path):
    target, file = picture(1, 8, 8), tmp_path / "run"
    synthesize(POOL, target, steps=10, checkpoint=file, penalty=0.1)
    longer = synthesize(POOL, target, steps=25, checkpoint=file, penalty=0.1)
    assert same_bits(longer, synthesize(POOL, target, steps=25, penalty=0.1))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = tmp_path / "run"
    synthesize(POOL, picture(1, 8, 8), steps=2, checkpoint=file)
    with pytest.raises(ValueError, match=r"learning_rate = 0\.02.*delete it"):
        synthesize(POOL, picture(1, 8, 8), steps=2, checkpoint=file, learning_rate=0.02)
    with pytest.raises(ValueError, match="target_sha256"):
        synthesize(POOL, picture(1, 8, 8, seed=1), steps=2, checkpoint=file)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match="Delete it to start anew"):
        synthesize(POOL, picture(1, 8, 8), steps=2, checkpoint=file)
    with pytest.raises(ValueError, match="folder that exists"):
        synthesize(POOL, picture(1, 8, 8), steps=2, checkpoint=tmp_path / "no" / "run")


def test_save_and_load_keep_every_bit(tmp_path):
    metamer = synthesize(POOL, picture(2, 3, 8, 8).float(), steps=4)
    for path in (metamer.save(tmp_path / "a.b"), tmp_path / "a.b.safetensors"):
        loaded = Metamer.load(path)
        assert same_bits(loaded, metamer)
        assert torch.equal(loaded.target, metamer.target)
        assert loaded.image.dtype == torch.float32
        assert loaded.settings == metamer.settings
    assert {p.name for p in tmp_path.iterdir()} == {"a.b.json", "a.b.safetensors"}


def test_load_names_what_is_wrong(tmp_path):
    metamer = synthesize(POOL, picture(1, 8, 8), steps=1)
    record = metamer.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"other\.json is missing"):
        Metamer.load(tmp_path / "other")
    store = tmp_path / "m.safetensors"
    whole = store.read_bytes()
    store.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="changed since"):
        Metamer.load(record)
    store.write_bytes(whole)
    text = record.read_text()
    record.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match="metamer's JSON"):
        Metamer.load(record)
    record.write_text(json.dumps({"settings": {}}))
    with pytest.raises(ValueError, match="KeyError"):
        Metamer.load(record)
    with pytest.raises(ValueError, match="Make the folder"):
        metamer.save(tmp_path / "no" / "m")


def test_notebook_view_shows_both_pictures():
    shown = synthesize(POOL, picture(6, 3, 8, 8), steps=1)._repr_html_()
    assert shown.count("<img") == 8
    assert "and 2 more" in shown
    assert synthesize(POOL, picture(1, 8, 8), steps=1)._repr_html_().count("data:image/png;base64") == 2


def test_settings_say_how_it_was_made():
    settings = synthesize(POOL, picture(1, 8, 8), steps=3, rng=7).settings
    assert settings["rng"] == 7
    assert settings["model"] == "AvgPool2d"
    assert (settings["steps"], settings["updates"]) == (3, 3)
    assert json.loads(json.dumps(settings)) == settings


def test_works_inside_no_grad_and_leaves_the_model_alone():
    model = nn.Conv2d(1, 2, 3).double()
    with torch.no_grad():
        metamer = synthesize(model, picture(1, 8, 8), steps=5)
    assert metamer.loss[-1] < metamer.loss[0]
    assert all(p.grad is None for p in model.parameters())
    assert not metamer.image.requires_grad


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (np.zeros((1, 8, 8)), TypeError, "torch.as_tensor"),
        (torch.zeros(1, 8, 8, dtype=torch.uint8), TypeError, "by 255"),
        (torch.zeros(8, 8), ValueError, r"\(c, h, w\) or \(b, c, h, w\)"),
        (torch.zeros(0, 1, 8, 8), ValueError, "none of them 0"),
        (torch.full((1, 8, 8), 2.0), ValueError, r"in \[0, 1\], got values from 2 to 2"),
        (torch.full((1, 8, 8), math.nan), ValueError, "64 NaN"),
    ],
)
def test_bad_targets(target, error, message):
    with pytest.raises(error, match=message):
        synthesize(POOL, target)


def sqrt_of_difference(x):
    return (x - x.mean()).abs().sqrt()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("vgg", TypeError, "callable"),
        (lambda x: [x], TypeError, "floating tensor"),
        (lambda x: x.sum(), ValueError, "1 rows of features"),
        (lambda x: x / 0, ValueError, "small constant"),
        (lambda x: x.detach(), ValueError, r"Remove torch\.no_grad"),
        (lambda x: x.round() + 0 * x, ValueError, "zero gradient"),
        (lambda x: torch.where(x > 0.9, x / (x - x), x), ValueError, "finite"),
        (nn.Sequential(nn.Dropout(0.5)), ValueError, r"model\.eval\(\)"),
        (nn.BatchNorm2d(1).double(), ValueError, "mixes pictures"),
    ],
)
def test_bad_models(model, error, message):
    with pytest.raises(error, match=message):
        synthesize(model, picture(1, 8, 8), steps=2)


def test_nan_on_the_way_names_step_and_remedy():
    with pytest.raises(RuntimeError, match=r"item 0 at step 0.*constant"):
        synthesize(sqrt_of_difference, picture(1, 8, 8), steps=5, init=torch.full((), 0.5))
    with pytest.raises(RuntimeError, match=r"loss must be finite.*learning_rate"):
        synthesize(lambda x: x.log(), torch.full((1, 4, 4), 0.5), steps=500, init=torch.zeros(()), rng=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": -1}, ValueError, "steps"),
        ({"steps": 2.5}, TypeError, "steps"),
        ({"optimizer": "sgd"}, ValueError, "one of 'adam'"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"penalty": -1}, ValueError, "penalty"),
        ({"tolerance": math.nan}, ValueError, "tolerance"),
        ({"init": "pink"}, ValueError, "one of 'noise'"),
        ({"init": torch.zeros(2, 8, 8)}, ValueError, "broadcasts"),
        ({"init": torch.full((1, 8, 8), math.nan)}, ValueError, "init must be finite"),
        ({"fixed": torch.full((8, 8), 1.5)}, ValueError, "between 0 and 1"),
        ({"fixed": torch.zeros(9, 8)}, ValueError, "broadcasts"),
        ({"rng": None}, TypeError, "rng"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        synthesize(POOL, picture(1, 8, 8), **arguments)
