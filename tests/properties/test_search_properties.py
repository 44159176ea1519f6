"""What must hold for eccNET and the search loop, whatever the picture."""

import numpy as np
import pytest
import torch
from torch import nn

from neuroperc import Display
from neuroperc.data import StimulusSet, n_fixations
from neuroperc.foveation import RingPool
from neuroperc.nets import Net, Preprocess
from neuroperc.search import ChancePriority, EccNet, TemplatePriority, simulate
from neuroperc.search._parts import pool_part
from neuroperc.search._trunk import Patch

DENSITY = 16.0


def net(seed=0, depth=5):
    torch.manual_seed(seed)
    layers, before = [], 3
    for channels, n in ((4, 2), (6, 2), (8, 3), (10, 3), (12, 3))[:depth]:
        for _ in range(n):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        layers.append(nn.MaxPool2d(2))
    return Net(nn.Sequential(*layers), Preprocess(size_px=None))


def grid(n, side, n_grid, *, background=0.2, seed=0):
    """Noise patches in all cells of a grid; the target lies in a random one."""
    rng = np.random.default_rng(seed)
    cell = side / n_grid
    middles = (np.arange(n_grid) + 0.5) * cell - side / 2
    cells = np.array([(x, -y, cell, cell) for y in middles for x in middles]) / DENSITY
    pictures = np.full((n, 1, side, side), background, np.float32)
    inner = int(cell) - 4
    for picture in pictures:
        for k in range(n_grid**2):
            top, left = (round(p * cell) + 2 for p in divmod(k, n_grid))
            picture[0, top : top + inner, left : left + inner] = rng.random((inner, inner))
    screen = Display.from_px_per_deg(DENSITY, resolution_px=(side, side))
    table = StimulusSet.from_arrays(pictures, display=screen, encoding="srgb").table
    table = table.assign(target_cell=rng.integers(n_grid**2, size=n), background=background, set_size=n_grid**2)
    truth = {"cells": np.repeat(cells[None], n, 0), "target_picture": rng.random((n, 1, 12, 12)).astype(np.float32)}
    return StimulusSet.from_arrays(pictures, display=screen, encoding="srgb", table=table, truth=truth)


@pytest.mark.parametrize("view_px", [524, 806, 1358])
@pytest.mark.parametrize("stage", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("method", ["average", "max"])
def test_a_constant_pools_to_a_constant_at_the_borders_too(stage, view_px, method):
    side = -(-view_px // 2 ** (stage - 1))
    x = torch.full((1, 1, side, side), 0.7)
    display = Display.from_px_per_deg(30, resolution_px=(view_px, view_px))
    pooled = RingPool.eccnet(display, stage, method=method)(x)
    torch.testing.assert_close(pooled, torch.full_like(pooled, 0.7), rtol=1e-6, atol=0)
    table = EccNet(net()).optics.table(stage, view_px)
    n = -(-side // 2)
    part = pool_part(
        method, Patch(x, ((0, 0),)), ((0, 0),), (n, n), sides=(side, n), table=table, gaze=(n // 2, n // 2)
    )
    torch.testing.assert_close(part, torch.full_like(part, 0.7), rtol=1e-6, atol=0)


@pytest.mark.parametrize("eccentric", [True, False])
def test_the_cropped_view_is_the_whole_view(eccentric):
    """Computing only what the picture can reach gives what the whole view gives, wherever the gaze is."""
    model = EccNet(net(), px_per_deg=DENSITY, eccentric=eccentric).double()
    image, template = (torch.rand(1, 3, n, n, dtype=torch.float64) for n in (90, 20))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for gaze in [(0, 0), (89, 89), *map(tuple, rng.integers(90, size=(6, 2)).tolist())]:
            looking = model.look(image, template, background=0.4)
            start = (looking.view_px // 2 - gaze[0], looking.view_px // 2 - gaze[1])
            assert looking._n_cached((start,)) >= 3  # the short way is taken
            short = looking([gaze])
            whole = model.look(image, template, background=0.4)
            whole._n_cached = lambda starts: 0
            torch.testing.assert_close(short, whole([gaze]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [EccNet(net(), px_per_deg=DENSITY), TemplatePriority(net(), px_per_deg=DENSITY)])
def test_kept_features_are_the_features_of_the_painted_picture(model):
    rng, model = np.random.default_rng(1), model.double()
    image, target = (torch.rand(2, 1, n, n, dtype=torch.float64) for n in (80, 16))
    with torch.no_grad():
        looking = model.look(image, target, background=0.3)
        for step in range(8):
            gaze = [(int(8 * a) + step % 2, int(8 * b)) for a, b in rng.integers(10, size=(2, 2))]  # phases come again
            kept = looking(gaze)
            torch.testing.assert_close(kept, model.look(image, target, background=0.3)(gaze), rtol=0, atol=1e-12)
            for item in (0, 1):
                top, left = rng.integers(60, size=2).tolist()
                image[item, :, top : top + 20, left : left + 25] = 0.3 if step % 3 else rng.random()
                looking.changed(item, (top, left, top + 20, min(left + 25, 80)))


def test_a_picture_and_its_gaze_may_move_together():
    """Only the place of the picture relative to the gaze counts: features far from the items do not change it."""
    model = EccNet(net(), px_per_deg=DENSITY)
    item, target = torch.rand(1, 1, 20, 20), torch.rand(1, 1, 20, 20)
    maps = []
    for shift in (0, 16):
        image = torch.full((1, 1, 96, 96), 0.2)
        image[..., 20 + shift : 40 + shift, 30:50] = item
        with torch.no_grad():
            maps.append(model.look(image, target, background=0.2)([(30 + shift, 44)])[0])
    torch.testing.assert_close(maps[0][:80], maps[1][16:], rtol=0, atol=1e-5)


def test_batches_do_not_change_the_result():
    shown, model = grid(5, 72, 3), EccNet(net(), px_per_deg=DENSITY)
    one, three = simulate(model, shown), simulate(model, shown, batch_size=3)
    assert one[0].equals(three[0])
    assert one[1].equals(three[1])


@pytest.mark.parametrize("ior", ["infinite", 2, 0])
def test_inhibition_of_return(ior):
    shown, model = grid(6, 72, 3, seed=2), EccNet(net(), px_per_deg=DENSITY)
    fixations, trials = simulate(model, shown, ior=ior, budget=10)
    assert trials["found"].any()
    for _, path in fixations[fixations["fixation"] > 0].groupby("trial"):
        cells = path["object_id"].tolist()
        memory = len(cells) if ior == "infinite" else ior
        assert all(cell not in cells[max(k - memory, 0) : k] for k, cell in enumerate(cells))
    if ior == 0:  # nothing is inhibited or painted: the model looks at one place for ever
        lost = trials.index[~trials["found"].astype(bool)]
        assert len(lost) > 0
        assert n_fixations(fixations, trials).iloc[lost].eq(10).all()


def test_everything_is_found_with_infinite_inhibition():
    shown = grid(8, 72, 3, seed=3)
    fixations, trials = simulate(EccNet(net(), px_per_deg=DENSITY), shown)
    assert trials["found"].all()
    last = fixations.groupby("trial").tail(1)
    assert last["object_id"].tolist() == shown.table["target_cell"].tolist()


def test_chance_needs_half_the_cells():
    """Without replacement the target of m equal cells comes at each turn alike: the mean is (m + 1) / 2."""
    shown = grid(160, 30, 3, seed=4)
    fixations, trials = simulate(ChancePriority(), shown, rng=1, window_deg=1 / DENSITY)
    n = n_fixations(fixations, trials).to_numpy(float)
    assert abs(n.mean() - 5) < 3 * np.sqrt((9**2 - 1) / 12 / len(n))
    assert set(n) == set(range(1, 10))
    some = fixations[fixations["trial"] < 5]
    again, other = (simulate(ChancePriority(), shown[:5], rng=k, window_deg=1 / DENSITY)[0] for k in (1, 2))
    assert again.equals(some) and not other.equals(some)
