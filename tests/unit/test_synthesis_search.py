"""Optimisers, stages, losses, samples: each picture on its own; killed runs go on to the same bits."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import neuroperc as npc
from neuroperc.synthesis import Metamer, synthesize
from neuroperc.synthesis.steppers import _TRIES, LBFGS

POOL = nn.AvgPool2d(4)
BOTH = ("adam", "lbfgs")


def picture(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(100 + seed).random(shape))


class Energy(nn.Module):
    """Averages of light and of squared differences, two groups of features."""

    def __init__(self):
        super().__init__()
        self.scales = {"light": slice(0, 16), "edges": slice(16, 32)}

    def forward(self, x):
        edges = (x - x.roll(1, -1)).square()
        return torch.cat((POOL(x).flatten(1), POOL(edges).flatten(1)), 1)


ENERGY = Energy()


def same_bits(a, b):
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("image", "loss", "penalty", "converged"))


def close(a, b, atol):
    torch.testing.assert_close(a.image, b.image, rtol=0, atol=atol)
    torch.testing.assert_close(a.loss, b.loss, rtol=0, atol=atol)


def test_lbfgs_needs_far_fewer_steps_than_adam():
    target = picture(1, 16, 16)
    slow = synthesize(ENERGY, target, steps=300, learning_rate=0.02)
    fast = synthesize(ENERGY, target, steps=60, optimizer="lbfgs")
    assert fast.loss[-1] < slow.loss[-1]
    assert fast.image.min() >= 0
    assert fast.image.max() <= 1
    assert bool((fast.loss.diff() <= 0).all())  # only pictures that are better are kept


def test_light_may_leave_the_range_with_a_penalty_only():
    target = torch.zeros(1, 16, 16, dtype=torch.float64)
    inside = synthesize(ENERGY, target, steps=30, optimizer="lbfgs")
    assert not inside.penalty.any()
    outside = synthesize(ENERGY, target, steps=30, optimizer="lbfgs", penalty=1e-3)
    assert outside.penalty.max() > 0
    assert outside.image.min() >= 0


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("stages", [None, "together"])
@pytest.mark.parametrize("optimizer", BOTH)
def test_a_picture_in_a_batch_is_the_picture_alone(optimizer, stages, balance):
    """The second starts near its target, so that it settles, or changes stage, at other steps than the others."""
    target, init = picture(3, 1, 16, 16), picture(3, 1, 16, 16, seed=1)
    init[1] = 0.99 * target[1] + 0.01 * init[1]
    arguments = {"steps": 120, "optimizer": optimizer, "tolerance": 1e-7, "balance": balance, "stages": stages}
    batch = synthesize(ENERGY, target, init=init, **arguments)
    for i in range(3):
        alone = synthesize(ENERGY, target[i], init=init[i], **arguments)
        n = len(alone.loss)
        torch.testing.assert_close(alone.image, batch.image[i], rtol=0, atol=1e-7)
        torch.testing.assert_close(alone.loss, batch.loss[:n, i], rtol=1e-6, atol=1e-12)
        assert bool(alone.converged) == bool(batch.converged[i])


@pytest.mark.parametrize("optimizer", BOTH)
def test_permuting_the_pictures_permutes_the_results(optimizer):
    target, init, order = picture(4, 1, 16, 16), picture(4, 1, 16, 16, seed=1), [2, 0, 3, 1]
    arguments = {"steps": 60, "optimizer": optimizer, "stages": "together", "tolerance": 1e-8}
    one = synthesize(ENERGY, target, init=init, **arguments)
    other = synthesize(ENERGY, target[order], init=init[order], **arguments)
    torch.testing.assert_close(one.image[order], other.image, rtol=0, atol=1e-9)
    torch.testing.assert_close(one.loss[:, order], other.loss, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stages", [None, "together", "alone"])
@pytest.mark.parametrize("optimizer", BOTH)
def test_a_matched_picture_converges_at_once(optimizer, stages):
    target = picture(2, 1, 16, 16)
    metamer = synthesize(ENERGY, target, init=target, optimizer=optimizer, stages=stages)
    assert metamer.converged.all()
    assert metamer.settings["updates"] <= 3
    assert torch.equal(metamer.image, target)


def test_seeds_of_single_pictures():
    target = picture(2, 1, 16, 16)
    batch = synthesize(POOL, target, steps=5, rng=[3, 4])
    for i, seed in enumerate((3, 4)):
        torch.testing.assert_close(synthesize(POOL, target[i], steps=5, rng=seed).image, batch.image[i])
    assert batch.settings["rng"] == [3, 4]


def test_samples_are_different_metamers_of_one_target():
    target = picture(2, 3, 16, 16)
    metamer = synthesize(POOL, target, steps=60, optimizer="lbfgs", n_samples=3)
    assert metamer.image.shape == (6, 3, 16, 16)
    assert torch.equal(metamer.target, target.repeat_interleave(3, 0))
    apart = metamer.distances()
    assert apart[~torch.eye(6, dtype=torch.bool)].min() > 0.1
    assert metamer.loss[-1].max() < 1e-4 * metamer.loss[0].min()
    assert synthesize(POOL, target[0], steps=1, n_samples=1).image.shape == (3, 16, 16)
    assert synthesize(POOL, target[0], steps=1, n_samples=2).image.shape == (2, 3, 16, 16)


def test_stages_count_features_in_turn():
    """While only light counts, the loss is that of light; at the end of the run it is that of all."""
    target = picture(1, 16, 16)
    metamer = synthesize(ENERGY, target, steps=400, stages="together", optimizer="lbfgs", stage_tolerance=1e-3)
    start = ENERGY(picture_of_noise(target))
    light = (start - ENERGY(target[None]))[:, :16].square().sum() / 32
    torch.testing.assert_close(metamer.loss[0], light)
    change = int(metamer.loss.diff().argmax()) + 1  # the edges begin to count
    over_50 = (metamer.loss[50:] - metamer.loss[:-50]).abs()
    assert change == 51 + int((over_50 < 1e-3).nonzero()[0, 0])
    assert metamer.loss[change - 1] < 1e-6
    assert metamer.loss[-1] < 1e-4 * metamer.loss[change]
    assert max(float(r) for r in metamer.residuals.values()) < 0.05


def picture_of_noise(target):
    return torch.from_numpy(np.random.default_rng(0).random((1, *target.shape)))


@pytest.mark.parametrize("stages", ["together", ["light"], [slice(0, 16)], [torch.arange(32) < 16], [[*range(16)]]])
def test_names_and_indices_choose_the_same_features(stages):
    arguments = {"steps": 60, "optimizer": "lbfgs", "stage_tolerance": 1.0}
    named = synthesize(ENERGY, picture(1, 16, 16), stages="together", **arguments)
    assert same_bits(named, synthesize(ENERGY, picture(1, 16, 16), stages=stages, **arguments))


def test_stages_take_any_loss():
    """One with weights for every feature, as large as the features, is where other packages fail."""
    weights = torch.linspace(1, 2, 32, dtype=torch.float64)

    def weighted(features, wanted):
        return (weights * (features - wanted)).norm(dim=1)

    target = picture(2, 1, 16, 16)
    for stages in ("together", "alone"):
        metamer = synthesize(ENERGY, target, steps=250, stages=stages, loss=weighted, optimizer="lbfgs")
        assert metamer.loss[-1].max() < 1e-3 * metamer.loss[0].min()
        torch.testing.assert_close(metamer.loss[-1], weighted(ENERGY(metamer.image), ENERGY(target)))


def test_balance_helps_where_features_differ_in_size():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24, bias=False)).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        sizes = torch.logspace(-1, 1, 24, dtype=torch.float64)
        model[1].weight.copy_(torch.from_numpy(rng.standard_normal((24, 64))) * sizes[:, None])
    target = picture(1, 8, 8)
    found = [synthesize(model, target, steps=60, optimizer="lbfgs", balance=b) for b in (False, True)]
    errors = [((model(m.image[None]) - model(target[None])) / sizes).square().mean() for m in found]
    assert errors[1] < 0.1 * errors[0]


def test_averaging_is_the_mean_of_the_pictures_it_names():
    target, pictures = picture(1, 16, 16), []

    def model(x):
        pictures.append(x.detach().clone())
        return POOL(x)

    averaged = synthesize(model, target, steps=20, averaging=(5, 4))
    steps = pictures[1:21]  # after the target
    torch.testing.assert_close(averaged.image, torch.stack([steps[i][0] for i in (4, 8, 12, 16)]).mean(0))
    torch.testing.assert_close(averaged.loss[-1], POOL(averaged.image - target).square().mean())


class KilledError(Exception):
    pass


class Mortal(Energy):
    """The model on a machine that dies at the n-th call."""

    def __init__(self, n_calls):
        super().__init__()
        self.left = n_calls

    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            raise KilledError
        return super().forward(x)


Mortal.__qualname__ = Energy.__qualname__


@pytest.mark.parametrize("calls", [14, 40, 75, 110])
@pytest.mark.parametrize(
    "arguments",
    [
        {"optimizer": "adam", "averaging": (5, 3)},
        {"optimizer": "lbfgs"},
        {"optimizer": "lbfgs", "penalty": 0.1, "balance": True},
    ],
)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, calls, arguments):
    """Two samples and stages: the first stage ends about step 51, and one picture settles before the other."""
    target, file = picture(1, 16, 16).float(), tmp_path / "run"
    init = torch.cat((picture(1, 1, 16, 16, seed=1).float(), target[None] + 1e-4))
    arguments = arguments | {"steps": 120, "stages": "together", "n_samples": 2, "init": init, "stage_tolerance": 1.0}
    whole = synthesize(ENERGY, target, **arguments)
    arguments |= {"checkpoint": file, "checkpoint_every": 7}
    with pytest.raises(KilledError):
        synthesize(Mortal(calls), target, **arguments)
    again = synthesize(ENERGY, target, **arguments)
    assert same_bits(whole, again)
    assert all(torch.equal(whole.residuals[name], again.residuals[name]) for name in whole.residuals)


SCRIPT = """
import sys, torch
import neuroperc as npc
torch.set_num_threads(1)
display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
model = npc.metamers.EnergyModel(display, scaling=0.5)
target = torch.linspace(0, 1, 1024).reshape(1, 32, 32).sin().square()
arguments = {"steps": 120, "stages": "together", "stage_tolerance": 1.0, "optimizer": "lbfgs", "n_samples": 2}
killed = npc.synthesize(model, target, checkpoint=sys.argv[1], checkpoint_every=1, **arguments)
killed.save(sys.argv[1] + ".killed")
npc.synthesize(model, target, **arguments).save(sys.argv[1] + ".whole")
"""


@pytest.mark.slow
def test_a_process_killed_from_outside_goes_on_to_the_same_bits(tmp_path):
    command, file = [sys.executable, "-c", SCRIPT, str(tmp_path / "run")], tmp_path / "run"
    process = subprocess.Popen(command, env=os.environ)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert file.exists()
    assert not (tmp_path / "run.killed.json").exists(), "the run ended before it was killed"
    subprocess.run(command, check=True, env=os.environ)
    assert same_bits(*(Metamer.load(tmp_path / f"run.{name}") for name in ("killed", "whole")))


def test_energy_model_names_its_scales():
    display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    model = npc.metamers.EnergyModel(display, scaling=0.5)
    for n_channels in (1, 3):
        scales, labels = model.scales(n_channels), model.labels_for(n_channels)
        assert list(scales) == ["luminance", *(f"scale {k}" for k in reversed(range(model.n_scales)))]
        together = np.concatenate(list(scales.values()))
        assert sorted(together) == list(range(len(labels["scale"])))
        assert set(labels["scale"][scales["scale 1"]]) == {1}
    metamer = synthesize(model, picture(3, 32, 32), steps=2, stages="alone")
    assert list(metamer.residuals) == list(model.scales(3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"loss": "mse"}, TypeError, "callable"),
        ({"loss": lambda f, w: (f - w).square().mean()}, ValueError, r"a number a picture.*not over pictures"),
        ({"loss": lambda f, w: (f - w).flatten(1).norm(dim=1).reciprocal()}, ValueError, "small constant"),
        ({"stages": "coarse"}, ValueError, "'together', 'alone' or a list"),
        ({"stages": 3}, TypeError, "'together', 'alone' or a list"),
        ({"stages": ["light", "colour"]}, ValueError, r"'light', 'edges'.*colour"),
        ({"stages": [slice(40, 50)]}, ValueError, "at least one feature"),
        ({"stages": [[99]]}, ValueError, "names or indices"),
        ({"stage_tolerance": -1}, ValueError, "stage_tolerance"),
        ({"n_samples": 0}, ValueError, "n_samples"),
        ({"n_samples": 2, "init": torch.zeros(1, 16, 16)}, ValueError, "different for every sample"),
        ({"rng": [1, 2]}, ValueError, "2 seeds"),
        ({"rng": [1.5]}, TypeError, "rng"),
        ({"averaging": 5}, TypeError, r"\(start, every\)"),
        ({"averaging": (5, 0)}, ValueError, "every"),
        ({"averaging": (5, 2), "optimizer": "lbfgs"}, ValueError, "only improve"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        synthesize(ENERGY, picture(1, 16, 16), **arguments)


def test_stages_by_name_need_names():
    with pytest.raises(ValueError, match=r"`scales`: a mapping"):
        synthesize(POOL, picture(1, 16, 16), stages="together")


def test_a_step_into_nan_is_taken_back():
    """L-BFGS shortens the step where Adam would have to give up."""

    def model(x):
        return (x - 0.2).sqrt().flatten(1)

    target, init = torch.full((1, 4, 4), 0.3, dtype=torch.float64), torch.full((1, 4, 4), 0.9, dtype=torch.float64)
    metamer = synthesize(model, target, init=init, steps=60, optimizer="lbfgs", learning_rate=0.75)
    assert metamer.loss[-1] < 1e-10


def test_a_checkpoint_of_another_search_is_refused(tmp_path):
    file = tmp_path / "run"
    synthesize(ENERGY, picture(1, 16, 16), steps=2, checkpoint=file)
    for other in (
        {"optimizer": "lbfgs"},
        {"stages": "alone"},
        {"balance": True},
        {"loss": lambda f, w: (f - w).norm(dim=1)},
    ):
        with pytest.raises(ValueError, match=next(iter(other))):
            synthesize(ENERGY, picture(1, 16, 16), steps=2, checkpoint=file, **other)


def test_report_says_how_good_every_picture_is():
    target = picture(2, 1, 16, 16)
    metamer = synthesize(ENERGY, target, steps=3)
    table = metamer.report()
    assert list(table.columns) == ["loss", "converged", "ssim", "rms", "residual light", "residual edges"]
    difference, wanted = ENERGY(metamer.image) - ENERGY(target), ENERGY(target)
    light = difference[:, :16].norm(dim=1) / wanted[:, :16].norm(dim=1)
    np.testing.assert_allclose(table["residual light"], light)
    np.testing.assert_allclose(table["rms"], (metamer.image - target).square().mean((1, 2, 3)).sqrt())
    codes = [npc.color.linear_to_srgb(x) for x in (metamer.image, target)]
    np.testing.assert_allclose(table["ssim"], npc.metrics.ssim(*codes, data_range=1.0))
    apart = (metamer.image[0] - metamer.image[1]).square().mean().sqrt()
    torch.testing.assert_close(metamer.distances(), torch.stack((0 * apart, apart, apart, 0 * apart)).reshape(2, 2))
    shown = metamer._repr_html_()
    assert "SSIM with the target" in shown
    assert "residual of edges" in shown
    assert "nearest other picture" in shown


def test_files_keep_residuals_and_older_ones_are_read(tmp_path):
    metamer = synthesize(ENERGY, picture(1, 16, 16), steps=1)
    record = metamer.save(tmp_path / "new")
    assert Metamer.load(record).residuals == metamer.residuals
    text = record.read_text().replace('"version": 2', '"version": 3')
    record.write_text(text)
    with pytest.raises(ValueError, match=r"version 2 or older.*Update neuroperc"):
        Metamer.load(record)
    older = Metamer(metamer.image, metamer.target, metamer.loss, metamer.penalty, metamer.converged, {})
    record = older.save(tmp_path / "old")
    record.write_text(record.read_text().replace('"version": 2,', ""))
    assert Metamer.load(record).residuals == {}


def test_lbfgs_forgets_its_history_where_no_step_helps():
    """Down the gradient after many refusals in a row; a step that changes nothing is refused."""
    stepper = LBFGS(0.1, bounded=False)
    weights = torch.linspace(1, 5, 6)[None]
    state = stepper.start(torch.ones(1, 6))
    for _ in range(5):
        stepper.judge(state, (weights * state["trial"] ** 2).sum(1), 2 * weights * state["trial"])
        stepper.advance(state)
    assert int(state["count"]) > 0
    best, gradient = state["kept"].clone(), state["grad"].clone()
    for refused in range(1, _TRIES + 1):
        assert not stepper.judge(state, state["value"].clone(), torch.full((1, 6), 7.0))
        assert int(state["refused"]) == refused
        stepper.advance(state)
    assert int(state["count"]) == 0
    torch.testing.assert_close(state["kept"], best)
    torch.testing.assert_close(state["direction"], -gradient)
    torch.testing.assert_close((state["trial"] - best).abs().max(), torch.tensor(0.1))


def test_lbfgs_stays_where_every_pixel_is_held_at_its_bound():
    stepper = LBFGS(0.1, bounded=True)
    state = stepper.start(torch.full((1, 4), 0.3))
    for _ in range(40):
        stepper.judge(state, state["trial"].sum(1), torch.ones(1, 4))
        stepper.advance(state)
    assert torch.equal(state["kept"], torch.zeros(1, 4))
    assert torch.equal(state["trial"], torch.zeros(1, 4))
