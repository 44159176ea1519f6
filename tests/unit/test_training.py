"""fit: closed forms, exact resume, early stopping, errors that name the step, two processes against one."""

import json
import math
import random
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neuroperc.training import TrainingResult, fit, learning_rate_factor

SGD = partial(torch.optim.SGD, lr=0.1)


def squared(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def problem(n=50, seed=0):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return x, x.sum(1, keepdim=True) + 0.5


def network(dropout=0.3):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))


def line():
    torch.manual_seed(2)
    return nn.Linear(4, 1)


class Noisy:
    """A dataset that draws from all three global generators."""

    def __len__(self):
        return 37

    def __getitem__(self, i):
        x = torch.full((4,), i / 37) + torch.randn(4)
        return x, torch.tensor([random.random() + np.random.random()])  # noqa: NPY002


def same(a, b):
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_plain_training_equals_a_hand_written_loop():
    x, y = problem()
    ours, hand = line(), line()
    result = fit(ours, (x, y), loss=squared, optimizer=SGD, epochs=2, batch_size=16, random_state=5)
    optimizer, losses = SGD(hand.parameters()), []
    for epoch in range(2):
        order = np.random.default_rng((5, epoch)).permutation(50)
        for k in range(0, 50, 16):
            value = squared(hand, (x[order[k : k + 16]], y[order[k : k + 16]]))
            losses.append(value.item())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    same(ours, hand)
    assert isinstance(result, TrainingResult) and result.steps == 8 and not result.stopped_early
    np.testing.assert_array_equal(result.history["loss"], np.array(losses))
    assert result.best is None


SETTINGS = {
    "loss": squared, "epochs": 6, "batch_size": 8, "schedule": "cosine", "warmup_steps": 3, "clip_norm": 1.0,
    "ema_decay": 0.9, "checkpoint_every": 4, "random_state": 3,
}  # fmt: skip


@pytest.mark.parametrize("n_workers", [0, 1])
def test_resume_gives_the_same_bits(tmp_path, n_workers):
    """Killed in the middle of an epoch; dropout, batch norm, a random dataset, Adam, EMA, validation."""
    calls = 0

    def dies(model, batch):
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return squared(model, batch)

    def validate(model):
        return float(model(torch.ones(3, 4)).square().sum() + torch.rand(()))

    settings = SETTINGS | {"validate": validate, "validate_every": 3, "patience": 50}
    whole, cut = network(), network()
    expected = fit(whole, Noisy(), **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, Noisy(), **settings | {"loss": dies}, checkpoint=tmp_path / "state.pt", n_workers=n_workers)
    again = network()
    torch.manual_seed(99)
    with torch.no_grad():
        again[0].weight.zero_()  # whatever the caller starts with, the file decides
    got = fit(again, Noisy(), **settings, checkpoint=tmp_path / "state.pt")
    same(whole, again)
    assert got.steps == expected.steps == 30 and (got.best, got.best_step) == (expected.best, expected.best_step)
    for name, values in expected.history.items():
        np.testing.assert_array_equal(values, got.history[name])
    # A finished training is read back without a step.
    finished = network()
    fit(finished, Noisy(), **settings | {"loss": None}, checkpoint=tmp_path / "state.pt")
    same(whole, finished)


@pytest.mark.slow
def test_a_real_kill(tmp_path):
    """SIGKILL in another process, then resumed there."""
    script = textwrap.dedent(
        """
        import os, signal, sys, torch
        from torch import nn
        from neuroperc.training import fit
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5), nn.Linear(5, 1))
        calls = 0
        def loss(model, batch):
            global calls
            calls += 1
            if sys.argv[1] == "die" and calls == 9:
                os.kill(os.getpid(), signal.SIGKILL)
            return model(batch[0]).square().mean()
        where = None if sys.argv[2] == "none" else sys.argv[2]
        fit(model, torch.arange(60.0).reshape(20, 3), loss=loss, epochs=4, batch_size=4, checkpoint=where,
            checkpoint_every=3)
        torch.save(model.state_dict(), sys.argv[3])
        """
    )

    def run(*arguments):
        return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True).returncode

    assert run("die", tmp_path / "c.pt", tmp_path / "a.pt") == -signal.SIGKILL
    assert run("live", tmp_path / "c.pt", tmp_path / "a.pt") == 0
    assert run("live", "none", tmp_path / "b.pt") == 0
    a, b = torch.load(tmp_path / "a.pt"), torch.load(tmp_path / "b.pt")
    assert all(torch.equal(a[key], b[key]) for key in b)


def test_early_stop_keeps_the_best_weights():
    values, seen = iter([3.0, 1.0, 2.0, 1.5, 0.0]), []

    def validate(model):
        assert not model.training and not torch.is_grad_enabled()
        seen.append({key: value.clone() for key, value in model.state_dict().items()})
        return next(values)

    model = line()
    model.eval()
    result = fit(
        model, problem(), loss=squared, steps=100, batch_size=25, validate=validate, validate_every=1, patience=2
    )
    assert result.stopped_early and result.steps == 4 and (result.best, result.best_step) == (1.0, 2)
    assert result.history["validation"].tolist() == [3, 1, 2, 1.5]
    assert torch.equal(model.weight, seen[1]["weight"]) and not model.training


def test_clipping_scales_the_gradient_to_the_norm():
    x, y = problem()
    model = line()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    result = fit(model, (x, 100 * y), loss=squared, optimizer=SGD, steps=1, batch_size=50, clip_norm=0.25)
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert result.history["gradient_norm"][0] > 10
    assert float(moved.norm()) == pytest.approx(0.1 * 0.25, rel=1e-4)


def test_average_is_the_closed_form():
    x, y = problem()
    weights, decay = [line().weight.detach().clone()], 0.8

    def watch(model, batch):
        if len(weights) > 1 or watch.called:
            weights.append(model.weight.detach().clone())
        watch.called = True
        return squared(model, batch)

    watch.called = False
    averaged, last = line(), line()
    fit(averaged, (x, y), loss=watch, optimizer=SGD, steps=6, batch_size=50, ema_decay=decay)
    fit(last, (x, y), loss=squared, optimizer=SGD, steps=6, batch_size=50)
    weights.append(last.weight.detach())
    n = len(weights) - 1
    expected = decay**n * weights[0] + sum((1 - decay) * decay ** (n - k) * weights[k] for k in range(1, n + 1))
    assert n == 6 and torch.allclose(averaged.weight, expected, atol=1e-6)


def test_schedules_are_the_closed_forms():
    n, warm = 20, 4
    cosine = [learning_rate_factor(k, n_steps=n, schedule="cosine", warmup_steps=warm) for k in range(n)]
    expected = [(k + 1) / 4 if k < 4 else 0.5 * (1 + math.cos(math.pi * (k - 4) / 16)) for k in range(n)]
    np.testing.assert_allclose(cosine, expected, rtol=1e-12)
    stairs = [learning_rate_factor(k, n_steps=6, schedule="step", decay_every=2, decay_factor=0.5) for k in range(6)]
    assert stairs == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert learning_rate_factor(3, n_steps=6, schedule=lambda k: 1 / (1 + k)) == 0.25
    model, optimizer = line(), None
    optimizer = SGD(model.parameters())
    result = fit(
        model, problem(), loss=squared, optimizer=optimizer, steps=20, batch_size=10, schedule="cosine", warmup_steps=4
    )
    np.testing.assert_allclose(result.history["learning_rate"], 0.1 * np.array(cosine), rtol=1e-12)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_nan_names_the_step(tmp_path):
    def bad(model, batch):
        bad.calls += 1
        return squared(model, batch) * (math.nan if bad.calls == 4 else 1)

    bad.calls = 0
    with pytest.raises(RuntimeError, match=r"loss must be finite, got nan at step 3\. .*state\.pt holds"):
        fit(line(), problem(), loss=bad, steps=9, batch_size=25, checkpoint=tmp_path / "state.pt")
    with pytest.raises(RuntimeError, match=r"gradient's norm must be finite, got \w+ at step 0"):
        fit(line(), problem(), loss=lambda m, b: m(b[0]).mul(0).abs().sqrt().sum(), steps=1)


def test_bf16_runs_in_bf16_and_leaves_the_model_plain():
    seen = set()

    def loss(model, batch):
        out = model[0](batch[0])
        seen.add(out.dtype)
        return squared(model, batch)

    model = nn.Sequential(nn.Linear(4, 1))
    fit(model, problem(), loss=loss, steps=3, mixed_precision="bf16")
    assert seen == {torch.bfloat16} and model.state_dict()["0.weight"].dtype == torch.float32
    assert model(torch.ones(1, 4)).dtype == torch.float32 and "forward" not in vars(model)
    fit(model, problem(), loss=squared, steps=1, mixed_precision="no")


def test_nothing_global_is_left_behind():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    mine = Accelerator(cpu=True, mixed_precision="bf16")
    model = network()
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    fit(model, Noisy(), loss=squared, steps=2, mixed_precision="no")
    assert mine.mixed_precision == "bf16"
    assert torch.equal(state[0], torch.get_rng_state()) and state[2] == random.getstate()
    assert (state[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    AcceleratorState._reset_state(True)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"steps": None}, ValueError, "epochs and steps"),
        ({"epochs": 1}, ValueError, "epochs and steps"),
        ({"steps": 0}, ValueError, "steps"),
        ({"steps": 2.5}, TypeError, "steps"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"schedule": "linear"}, ValueError, "'cosine'"),
        ({"schedule": "step"}, ValueError, "decay_every"),
        ({"warmup_steps": 7}, ValueError, "warmup_steps"),
        ({"clip_norm": -1}, ValueError, "clip_norm"),
        ({"ema_decay": 1.0}, ValueError, "ema_decay"),
        ({"mixed_precision": "fp8"}, ValueError, "mixed_precision"),
        ({"mixed_precision": "fp16"}, ValueError, "CUDA"),
        ({"patience": 3}, ValueError, "validate"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"optimizer": lambda p: 3}, TypeError, "optimizer"),
        ({"optimizer": lambda p: SGD(nn.Linear(1, 1).parameters())}, ValueError, "this model's parameters"),
        ({"loss": lambda m, b: m(b[0])}, ValueError, "mean over the batch"),
        ({"checkpoint": "/nowhere/at/all.pt"}, ValueError, "folder that exists"),
        ({"validate": lambda m: math.nan}, RuntimeError, "validation must be finite"),
    ],
)
def test_settings_refused(settings, error, words):
    with pytest.raises(error, match=words):
        fit(line(), problem(), **{"loss": squared, "steps": 4} | settings)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ((torch.zeros(3, 1), torch.zeros(4, 1)), ValueError, r"one length, got \[3, 4\]"),
        (iter([1, 2]), TypeError, "length and items"),
        (torch.zeros(0, 4), ValueError, "not empty"),
    ],
)
def test_data_refused(data, error, words):
    with pytest.raises(error, match=words):
        fit(line(), data, loss=squared, steps=4)
    with pytest.raises(ValueError, match="trainable"):
        fit(line().requires_grad_(False), problem(), loss=squared, steps=4)


def test_a_checkpoint_needs_no_ending(tmp_path):
    fit(line(), problem(), loss=squared, steps=4, checkpoint=tmp_path / "state")
    assert fit(line(), problem(), loss=squared, steps=4, checkpoint=tmp_path / "state").steps == 4


def test_checkpoints_refused(tmp_path):
    path = tmp_path / "state.pt"
    fit(line(), problem(), loss=squared, steps=4, checkpoint=path)
    with pytest.raises(ValueError, match=r"clip_norm = 2\.0, got .*None.*delete it"):
        fit(line(), problem(), loss=squared, steps=4, checkpoint=path, clip_norm=2.0)
    with pytest.raises(ValueError, match="this model"):
        fit(nn.Linear(4, 2), problem(), loss=squared, steps=4, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="whole file that fit wrote"):
        fit(line(), problem(), loss=squared, steps=4, checkpoint=path)


WORKER = """
import json, sys, torch
from neuroperc.training import fit
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))
x = torch.randn(45, 4, generator=torch.Generator().manual_seed(7))
result = fit(model, (x, x[:, :1] * x[:, 1:2]), loss=lambda m, b: (m(b[0]) - b[1]).square().mean(), epochs=3,
             batch_size=int(sys.argv[1]), clip_norm=0.5, ema_decay=0.9, schedule="cosine", checkpoint=sys.argv[3],
             validate=lambda m: float(m(x).square().mean()))
import os
if os.environ.get("RANK", "0") == "0":
    weights = torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()
    with open(sys.argv[2], "w") as file:
        json.dump({"weights": weights, "loss": result.history["loss"].tolist(), "steps": result.steps,
                   "world": os.environ.get("WORLD_SIZE", "1")}, file)
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_the_double_batch(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    # Accelerate's launcher of several processes; a model on the CPU keeps them there, joined by gloo.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
              "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
              "--num_cpu_threads_per_process", "1", "--main_process_port", "0"]  # fmt: skip
    for command, size, name in ((launch, "5", "two"), ([sys.executable], "10", "one")):
        arguments = ["worker.py", size, f"{name}.json", f"{name}.pt"]
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads(Path(tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert two["world"] == "2" and one["world"] == "1" and one["steps"] == two["steps"] == 15
    # 45 items in batches of 10: the last batch of each epoch is dealt out unevenly, 3 and 2.
    np.testing.assert_allclose(one["weights"], two["weights"], atol=1e-6)
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)
