"""What holds for all pooling windows."""

import pytest
import torch

import neuroperc as npc
from neuroperc.foveation import PoolingWindows

DISPLAYS = {
    "small angle": npc.Display.from_px_per_deg(4, resolution_px=(61, 80)),
    "tangent": npc.Display.from_px_per_deg(4, resolution_px=(61, 80), distance_m=0.4),
}
KINDS = [("cosine", 0.6), ("gaussian", 0.5)]
GENERATOR = torch.Generator().manual_seed(0)


def rand(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("fixation", [(0, 0), (5, -3)])
@pytest.mark.parametrize("geometry", DISPLAYS)
@pytest.mark.parametrize(("window", "scaling"), KINDS)
def test_identities(window, scaling, geometry, fixation):
    pooling = PoolingWindows(DISPLAYS[geometry], scaling, window, fixation_deg=fixation)
    x, y, seen = rand(1, 2, 61, 80), rand(1, 2, pooling.n_windows), pooling.mass > 0
    left = (pooling(x) * pooling.mass * y).sum()
    right = (x * pooling.unpool(y * seen)).sum()
    assert abs(left - right) / abs(right) < 1e-10
    constant = torch.full((1, 1, 61, 80), 0.37, dtype=torch.float64)
    assert (pooling(constant)[..., seen] - 0.37).abs().max() < 1e-12
    coverage = pooling.unpool(seen.double()[None, None])[0, 0]
    covered = coverage > 1 - 1e-4  # Gaussians of the missing inner rings still reach the first few degrees
    assert covered.float().mean() > 0.5
    assert (pooling.unpool(pooling(constant))[0, 0] - 0.37 * coverage).abs().max() < 1e-12
    assert (pooling.unpool(pooling(constant))[0, 0][covered] - 0.37).abs().max() < 0.37e-4
    if window == "cosine":
        coverage = pooling.coverage
        assert ((coverage > -1e-6) & (coverage < 1 + 1e-6)).all()
        gaze = DISPLAYS[geometry].eccentricity_deg(fixation)
        assert (coverage[torch.as_tensor(gaze < 0.3)] == 0).all()  # inside the first ring no window sees
        assert (coverage[torch.as_tensor((gaze > 1.3) & (gaze < 7))] - 1).abs().max() < 1e-6


@pytest.mark.parametrize(("window", "scaling"), KINDS)
def test_autograd_is_the_adjoint_of_the_mean(window, scaling):
    pooling = PoolingWindows(DISPLAYS["small angle"], scaling, window)
    x, y = rand(1, 1, 61, 80).requires_grad_(), rand(1, 1, pooling.n_windows)
    (pooling(x) * y).sum().backward()
    mass = torch.where(pooling.mass > 0, pooling.mass, torch.inf)
    torch.testing.assert_close(x.grad, pooling.unpool(y / mass), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("geometry", DISPLAYS)
@pytest.mark.parametrize(("window", "scaling"), KINDS)
def test_gazes_by_item_equal_the_loop(window, scaling, geometry):
    display = DISPLAYS[geometry]
    pooling = PoolingWindows(display, scaling, window)
    gazes = torch.tensor([[0.0, 0.0], [3.0, 2.0], [-6.0, 1.0]], dtype=torch.float64)
    x, y = rand(3, 2, 61, 80), rand(3, 2, pooling.n_windows)
    pooled, spread = pooling(x, gazes), pooling.unpool(y, gazes)
    for i, gaze in enumerate(gazes):
        own = PoolingWindows(display, scaling, window, fixation_deg=gaze)
        torch.testing.assert_close(pooled[i : i + 1], own(x[i : i + 1]), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(pooled[i : i + 1], pooling(x[i : i + 1], gaze), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(spread[i : i + 1], own.unpool(y[i : i + 1]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("window", "scaling"), KINDS)
def test_a_shifted_gaze_is_a_shifted_picture(window, scaling):
    display = npc.Display.from_px_per_deg(4, resolution_px=(64, 64))
    pooling = PoolingWindows(display, scaling, window, max_eccentricity_deg=3)
    x = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    x[..., 26:38, 24:40] = rand(1, 1, 12, 16)
    moved = torch.roll(x, (-8, 12), (-2, -1))  # up 2 deg, right 3 deg
    still, shifted = pooling(x, (0, 0)), pooling(moved, (3, 2))
    both = (pooling(torch.ones_like(x), (0, 0)) > 0) & (pooling(torch.ones_like(x), (3, 2)) > 0)
    inner = torch.as_tensor(
        pooling.eccentricity_deg < (2.5 if window == "cosine" else 1.0)
    )  # windows that both pictures hold whole
    torch.testing.assert_close(still[both & inner], shifted[both & inner], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("window", "scaling"), [("cosine", 0.9), ("gaussian", 0.9)])
def test_gradients_reach_picture_and_gaze(window, scaling):
    display = npc.Display.from_px_per_deg(2, resolution_px=(9, 11))
    pooling = PoolingWindows(display, scaling, window, min_eccentricity_deg=0.6)
    x, gaze = rand(2, 1, 9, 11).requires_grad_(), torch.tensor([[0.13, 0.21], [-0.4, 0.3]]).double().requires_grad_()
    strong = pooling(torch.ones_like(x), gaze.detach()).detach() > 0
    mass_floor = pooling.at((9, 11)).mass  # windows with a sliver of mass have gradients too steep to difference
    keep = strong & (mass_floor > 1e-2)
    assert torch.autograd.gradcheck(lambda a: pooling(a)[..., mass_floor > 1e-6], (x,))
    assert torch.autograd.gradcheck(lambda g: pooling(x.detach(), g)[keep], (gaze,), atol=1e-4, rtol=1e-2)
    y = rand(2, 1, pooling.n_windows)
    assert torch.autograd.gradcheck(lambda g: pooling.unpool(y, g), (gaze,), atol=1e-5)


@pytest.mark.parametrize(("window", "scaling"), KINDS)
def test_compiles_whole_and_keeps_no_state(window, scaling):
    pooling = PoolingWindows(DISPLAYS["small angle"], scaling, window)
    assert pooling.state_dict() == {}
    x = rand(2, 1, 61, 80).float()
    compiled = torch.compile(pooling, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), pooling(x))
    assert torch.equal(pooling(x), pooling(x))


@pytest.mark.parametrize(("window", "scaling"), KINDS)
@pytest.mark.parametrize("n_channels", [3, 8, 11])
def test_channels_do_not_meet(window, scaling, n_channels):
    pooling = PoolingWindows(DISPLAYS["small angle"], scaling, window)
    x, y = rand(1, n_channels, 61, 80), rand(1, n_channels, pooling.n_windows)
    apart = torch.cat([pooling(x[:, i : i + 1]) for i in range(n_channels)], 1)
    torch.testing.assert_close(pooling(x), apart, rtol=1e-12, atol=1e-14)
    apart = torch.cat([pooling.unpool(y[:, i : i + 1]) for i in range(n_channels)], 1)
    torch.testing.assert_close(pooling.unpool(y), apart, rtol=1e-12, atol=1e-14)


def test_on_the_fly_equals_stored(monkeypatch):
    from neuroperc.foveation import _nodes as module

    display = DISPLAYS["small angle"]
    stored = PoolingWindows(display, 0.3, "gaussian")
    monkeypatch.setattr(module, "_MOST_ENTRIES", 1)
    monkeypatch.setattr(module, "_RUN", 1000)
    flying = PoolingWindows(display, 0.3, "gaussian")
    x = rand(1, 2, 61, 80).requires_grad_()
    torch.testing.assert_close(flying(x), stored(x), rtol=1e-10, atol=1e-12)
    y = rand(1, 2, stored.n_windows)
    torch.testing.assert_close(flying.unpool(y), stored.unpool(y), rtol=1e-10, atol=1e-12)
    (gradient,) = torch.autograd.grad((flying(x) * y).sum(), x)
    (expected,) = torch.autograd.grad((stored(x) * y).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_half_precision_and_two_threads():
    pooling = PoolingWindows(npc.Display.from_px_per_deg(16, resolution_px=(256, 256)), 0.4, "gaussian")
    x = rand(1, 1, 256, 256).float()
    assert pooling(x.half()).dtype == torch.float16
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one, back = pooling(x), pooling.unpool(pooling(x))
        torch.set_num_threads(2)
        torch.testing.assert_close(pooling(x), one)
        torch.testing.assert_close(pooling.unpool(one), back)
    finally:
        torch.set_num_threads(before)
