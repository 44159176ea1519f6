"""Optimisers against torch, scipy and the two-loop recursion; MAD and eigendistortions against closed forms."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from neuroperc.synthesis import eigendistortions, mad_competition, synthesize
from neuroperc.synthesis.steppers import LBFGS


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def picture(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(100 + seed).random(shape))


def test_adam_is_torchs_adam():
    pool = nn.AvgPool2d(4)
    target = picture(1, 1, 16, 16)
    free = torch.from_numpy(np.random.default_rng(0).random((1, 1, 16, 16))).requires_grad_()
    adam = torch.optim.Adam([free], lr=0.02)
    for _ in range(50):
        adam.zero_grad()
        (pool(free) - pool(target)).square().mean().backward()
        adam.step()
        with torch.no_grad():
            free.clamp_(0, 1)
    ours = synthesize(pool, target, steps=50, learning_rate=0.02, tolerance=0)
    torch.testing.assert_close(ours.image, free.detach(), rtol=0, atol=1e-12)


def two_loops(grad, pairs):
    """Nocedal & Wright 2006, algorithm 7.4."""
    q, alphas = grad.clone(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q = q - alphas[-1] * y
    s, y = pairs[-1]
    r = (s @ y) / (y @ y) * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - (y @ r) / (s @ y))
    return -r


def test_compact_directions_are_those_of_the_two_loop_recursion():
    """Three items that keep their steps at different times, past the point where the oldest pair is overwritten."""
    n, m = 12, 5
    curvature = draw(3, n, n)
    curvature = curvature @ curvature.mT + torch.eye(n, dtype=torch.float64)
    curvature[1] *= 50  # rejects its first steps
    stepper, x0 = LBFGS(0.5, False, m), draw(3, n, seed=1)
    state = stepper.start(x0)
    pairs, last, kept_counts = [[], [], []], [None] * 3, set()
    for _ in range(14):
        x = state["trial"]
        grad = (curvature @ x[:, :, None])[..., 0] + 0.1 * x**3
        value = 0.5 * (x * (curvature @ x[:, :, None])[..., 0]).sum(1) + 0.025 * (x**4).sum(1)
        kept = stepper.judge(state, value, grad)
        stepper.advance(state)
        for i in range(3):
            if kept[i]:
                if last[i] is not None:
                    pairs[i].append((x[i] - last[i][0], grad[i] - last[i][1]))
                last[i] = (x[i].clone(), grad[i].clone())
                if pairs[i]:
                    expected = two_loops(grad[i], pairs[i][-m:])
                    torch.testing.assert_close(state["direction"][i], expected, rtol=1e-9, atol=1e-9)
        kept_counts.add(tuple(len(p) for p in pairs))
    counts = [len(p) for p in pairs]
    assert min(counts) > m
    assert len(set(counts)) > 1


def test_lbfgs_finds_the_minimum_in_the_box():
    """Bounded least squares, solved by scipy."""
    matrix, wanted = draw(40, 30), draw(40, seed=1)

    def model(x):
        return x.flatten(1) @ matrix.T

    def loss(features, _):
        return (features - wanted).square().sum(1)

    found = synthesize(model, torch.full((1, 5, 6), 0.5).double(), loss=loss, optimizer="lbfgs", steps=400, tolerance=0)
    best = scipy.optimize.lsq_linear(matrix.numpy(), wanted.numpy(), bounds=(0, 1), tol=1e-14)
    np.testing.assert_allclose(found.loss[-1], 2 * best.cost, rtol=1e-9)
    np.testing.assert_allclose(found.image.flatten(), best.x, atol=1e-5)
    assert 0 < (best.x < 1e-6).sum() + (best.x > 1 - 1e-6).sum() < 30


def quadratic(matrix):
    def metric(x, y):
        difference = (x - y).flatten(1)
        return ((difference @ matrix) * difference).sum(1)

    return metric


def test_mad_of_two_quadratic_metrics_is_a_generalised_eigenproblem():
    first, second = (m @ m.T / 64 + torch.eye(64, dtype=torch.float64) for m in (draw(64, 64), draw(64, 64, seed=1)))
    target = torch.full((2, 1, 8, 8), 0.5, dtype=torch.float64)
    found = mad_competition(quadratic(first), quadratic(second), target, std=0.02, rng=0)
    for a, b, free, held, name in (
        (first, second, found.first, found.second, "first"),
        (second, first, found.second, found.first, "second"),
    ):
        ratios = scipy.linalg.eigvalsh(a.numpy(), b.numpy())  # of a to b
        for end, ratio in (("min", ratios[0]), ("max", ratios[-1])):
            np.testing.assert_allclose(held[f"{name}_{end}"], held["start"], rtol=1e-5)
            np.testing.assert_allclose(free[f"{name}_{end}"], ratio * held["start"], rtol=1e-5)


@pytest.mark.parametrize("n", [1, 3])
def test_eigendistortions_are_singular_vectors(n):
    """A nonlinear model and two pictures: each has its own Jacobian."""
    weight, image = draw(90, 80), picture(2, 1, 8, 10)

    def model(x):
        return torch.tanh(x.flatten(1) @ weight.T / 4)

    found = eigendistortions(model, image, n=n, tolerance=1e-9)
    assert found.error.max() <= 1e-9
    for b in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda x: model(x[None])[0], image[b]).reshape(90, 80)
        _, values, vectors = torch.linalg.svd(jacobian)
        torch.testing.assert_close(found.top_values[b], values[:n] ** 2)
        torch.testing.assert_close(found.bottom_values[b], values.flip(0)[:n] ** 2, rtol=1e-5, atol=1e-10)
        for ours, exact in ((found.top[b], vectors[:n]), (found.bottom[b], vectors.flip(0)[:n])):
            cosine = (ours.flatten(1) * exact).sum(1).abs()
            torch.testing.assert_close(cosine, torch.ones(n, dtype=torch.float64), rtol=0, atol=1e-7)


def test_eigendistortions_of_plenoptics_frontend():
    po = pytest.importorskip("plenoptic")
    image = po.process.blur_downsample(po.data.einstein(), n_scales=4).clamp(0, 1).double()
    model = po.models.LuminanceGainControl((7, 7)).eval().double()
    po.remove_grad(model)
    peer = po.Eigendistortion(image, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.synthesize(method="exact")
    ours = eigendistortions(model, image[0], tolerance=1e-7)
    torch.testing.assert_close(ours.top_values[0], peer.eigenvalues[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(ours.bottom_values[0], peer.eigenvalues[-1], rtol=1e-3, atol=1e-6)
    cosine = (ours.top[0] * peer.eigendistortions[0]).sum().abs()
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-5)
