"""Attacks against closed forms on linear models; training against a loop written out."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from neuroperc.color import srgb_to_linear
from neuroperc.encoding import robust
from neuroperc.encoding.robust.training import _prepared
from neuroperc.nets import Net, Preprocess
from neuroperc.training.batches import Plan


@pytest.fixture
def linear():
    """A two-class linear model whose loss grows along a known direction, and pictures far from 0 and 1."""
    rng = np.random.default_rng(0)
    w = torch.from_numpy(rng.normal(size=(3, 4, 4)))
    x = torch.from_numpy(rng.uniform(0.4, 0.6, (5, 3, 4, 4)))

    def model(codes):
        score = (codes * w).sum((1, 2, 3))
        return torch.stack([score, -score], 1)

    return model, w, x, torch.tensor([0, 1, 0, 1, 1])


def _away(w, labels):
    """Direction in which the true class's score falls."""
    return torch.stack([-w if label == 0 else w for label in labels])


@pytest.mark.parametrize("random_start", [True, False])
def test_fgsm_of_a_linear_model_steps_along_the_sign(linear, random_start):
    model, w, x, y = linear
    found = robust.fgsm(model, x, y, eps=0.05, step=0.2, random_start=random_start, rng=1)
    torch.testing.assert_close(found, x + 0.05 * _away(w, y).sign(), rtol=0, atol=1e-12)


def test_fgsm_default_step_from_a_random_start_is_five_quarters_of_eps(linear):
    model, w, x, y = linear
    start = torch.from_numpy(np.random.default_rng(3).uniform(-0.05, 0.05, tuple(x.shape)))
    expected = x + (start + 1.25 * 0.05 * _away(w, y).sign()).clamp(-0.05, 0.05)
    torch.testing.assert_close(robust.fgsm(model, x, y, eps=0.05, rng=3), expected, rtol=0, atol=1e-12)


def test_l2_pgd_of_a_linear_model_reaches_the_pole_of_the_ball(linear):
    model, w, x, y = linear
    found = robust.pgd(model, x, y, eps=0.1, norm="l2", iters=60, step=0.05, rng=0)
    torch.testing.assert_close(found, x + 0.1 * _away(w, y) / w.norm(), rtol=0, atol=1e-5)


def test_targeted_pgd_goes_the_other_way(linear):
    model, w, x, y = linear
    found = robust.pgd(model, x, y, eps=0.05, targeted=True, iters=5, step=0.05, rng=0)
    torch.testing.assert_close(found, x - 0.05 * _away(w, y).sign(), rtol=0, atol=1e-12)


def test_pgd_stops_at_black_and_white():
    x = torch.tensor([0.02, 0.98]).reshape(1, 1, 1, 2)
    push = torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 2)

    def model(codes):
        score = (codes * push).sum((1, 2, 3))
        return torch.stack([-score, score], 1)

    found = robust.pgd(model, x, torch.tensor([0]), eps=0.1, rng=0)
    assert found.flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("encoding", ["srgb", "linear"])
@pytest.mark.parametrize("size_px", [None, 20])
def test_codes_net_is_the_net_behind_decoding(encoding, size_px):
    torch.manual_seed(0)
    net = Net(nn.Conv2d(3, 4, 3), Preprocess(encoding=encoding, size_px=size_px, channel_order="bgr"))
    codes = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(robust.on_codes(net)(codes), net(srgb_to_linear(codes)), rtol=0, atol=2e-5)


def test_an_attack_on_a_net_is_one_on_its_codes_before_normalisation():
    """The normalised tensor moves by eps / std, not by eps."""
    preprocess = Preprocess(mean=(0.4,) * 3, std=(0.25,) * 3, size_px=None)
    net = Net(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), preprocess)
    x = torch.full((1, 3, 4, 4), 0.5)
    found = robust.fgsm(net, x, torch.tensor([0]), eps=2 / 255, random_start=False, rng=0)
    assert (found - x).abs().max().item() == pytest.approx(2 / 255, abs=1e-7)
    seen = robust.CodesNet(net)._as_it_is
    assert (seen(found) - seen(x)).abs().max().item() == pytest.approx(2 / 255 / 0.25, abs=1e-6)


def test_quarter_turns_are_rot90():
    x = torch.rand(64, 3, 5, 5)
    found = robust.rotate_quarter(x, 7)
    turns = np.random.default_rng(7).integers(4, size=64)
    assert set(turns) == {0, 1, 2, 3}
    expected = torch.stack([torch.rot90(each, int(k), (1, 2)) for each, k in zip(x, turns, strict=True)])
    assert torch.equal(found, expected)


def test_grey_pictures_have_the_luma_of_the_coloured_ones():
    x = torch.rand(200, 3, 4, 4)
    found = _prepared(x, np.random.default_rng(0), rotate=False, flip=False, grayscale_share=0.25)
    changed = (found != x).flatten(1).any(1)
    assert stats.binomtest(int(changed.sum()), 200, 0.25).pvalue > 1e-3
    grey = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    torch.testing.assert_close(found[changed], grey[changed][:, None].expand(-1, 3, -1, -1), rtol=0, atol=1e-6)


def test_every_second_picture_is_mirrored():
    x = torch.rand(200, 3, 4, 4)
    found = _prepared(x, np.random.default_rng(0), rotate=False, flip=True, grayscale_share=0)
    mirrored = (found == x.flip(3)).flatten(1).all(1)
    assert torch.equal(found[~mirrored], x[~mirrored])
    assert stats.binomtest(int(mirrored.sum()), 200, 0.5).pvalue > 1e-3


def _net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 3))


def test_training_is_the_published_loop_written_out():
    """Wong et al. 2020, algorithm 3, with the batches, noise and learning rates of the recipe."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.uniform(size=(20, 3, 6, 6))).float(), torch.arange(20) % 3
    eps, rates = 8 / 255, (1e-3, 4e-3, 2e-3)
    ours, plain = _net(), _net()
    result = robust.fit_robust(ours, (x, y), eps=eps, rotate=True, flip=False, batch_size=8, learning_rates=rates,
                               weight_decay=1e-2, random_state=5)  # fmt: skip
    optimizer, plan = torch.optim.Adam(plain.parameters(), lr=1.0, weight_decay=1e-2), Plan(20, 8, 1, 0, 5)
    per_epoch = 3
    for step in range(2 * per_epoch):
        optimizer.param_groups[0]["lr"] = np.interp(step / per_epoch, (0, 1, 2), rates)
        items, _ = plan.at(step)
        torch.manual_seed(int(np.random.SeedSequence((5, step, 0, 1)).generate_state(2)[0]))
        noise = np.random.default_rng(int(torch.randint(2**62, ())))
        turned = torch.stack([torch.rot90(x[i], int(k), (1, 2)) for i, k in
                              zip(items, noise.integers(4, size=len(items)), strict=True)])  # fmt: skip
        delta = torch.from_numpy(noise.uniform(-eps, eps, tuple(turned.shape))).float()
        start = (turned + delta).clamp(0, 1).requires_grad_(True)
        functional.cross_entropy(plain(start), y[items]).backward()
        attacked = turned + (start.detach() - turned + 1.25 * eps * start.grad.sign()).clamp(-eps, eps)
        optimizer.zero_grad()
        functional.cross_entropy(plain(attacked.clamp(0, 1)), y[items]).backward()
        optimizer.step()
    np.testing.assert_allclose(result.history["learning_rate"], [0.001, 0.002, 0.003, 0.004, 0.01 / 3, 0.008 / 3])
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-6)


def test_the_default_recipe_is_the_published_one():
    x, y = torch.rand(65, 3, 4, 4), torch.zeros(65, dtype=torch.long)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    rate = robust.fit_robust(net, (x, y)).history["learning_rate"]
    assert len(rate) == 12  # six epochs of two batches of 64
    np.testing.assert_allclose(rate[::2], [8e-5, 2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5], rtol=1e-12)
    np.testing.assert_allclose(rate[1], 1.4e-4, rtol=1e-12)
