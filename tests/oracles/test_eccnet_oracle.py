"""EccNet against the plain way (whole view, one pool a ring, everything again), OpenCV, SciPy, published tables."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn
from torch.nn import functional

from neuroperc import Display
from neuroperc.data import StimulusSet
from neuroperc.nets import Net, Preprocess
from neuroperc.search import EccNet, PixelPriority, TemplatePriority, _maps, simulate

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.baselines.eccnet import PlainEccNet

DENSITY = 16.0  # pixels per degree


def net(blocks=((4, 2), (6, 2), (8, 3), (10, 3), (12, 3)), seed=0):
    """A small VGG: (channels, convolutions) a block, random weights that keep activity alive."""
    torch.manual_seed(seed)
    layers, before = [], 3
    for channels, n in blocks:
        for _ in range(n):
            conv = nn.Conv2d(before, channels, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight)
            nn.init.uniform_(conv.bias, -0.2, 0.3)
            layers += [conv, nn.ReLU()]
            before = channels
        layers.append(nn.MaxPool2d(2))
    return Net(nn.Sequential(*layers), Preprocess(size_px=None))


def display(rng, side=96, n_grid=3, background=0.0):
    """A picture with items in some cells of a grid, one of them the target, and what `simulate` needs to know."""
    picture = np.full((1, side, side), background, np.float32)
    cell, item = side // n_grid, 18
    looks = rng.random((3, item, item)).astype(np.float32).round()
    chosen = rng.permutation(n_grid**2)[:5]
    for number, place in enumerate(chosen):
        top, left = (k * cell + rng.integers(cell - item) for k in divmod(int(place), n_grid))
        picture[0, top : top + item, left : left + item] = looks[0 if number == 0 else rng.integers(1, 3)]
    return picture, int(chosen[0]), looks[:1]


def displays(n, side=96, n_grid=3, background=0.0, seed=0):
    rng = np.random.default_rng(seed)
    made = [display(rng, side, n_grid, background) for _ in range(n)]
    screen = Display.from_px_per_deg(DENSITY, resolution_px=(side, side))
    middles = (np.arange(n_grid) + 0.5) * side / n_grid - side / 2
    cells = np.array([(x, -y, side / n_grid, side / n_grid) for y in middles for x in middles]) / DENSITY
    pictures = np.stack([picture for picture, _, _ in made])
    table = StimulusSet.from_arrays(pictures, display=screen, encoding="srgb").table
    table = table.assign(target_cell=[k for _, k, _ in made], background=background, set_size=5, condition="made")
    truth = {"cells": np.repeat(cells[None], n, 0), "target_picture": np.stack([look for _, _, look in made])}
    return StimulusSet.from_arrays(pictures, display=screen, encoding="srgb", table=table, truth=truth)


@pytest.mark.parametrize("view_px", [524, 806, 1358])
@pytest.mark.parametrize("stage", [1, 2, 3, 4, 5])
def test_ring_tables_are_the_published_rule(stage, view_px):
    table = EccNet(net()).optics.table(stage, view_px)
    if stage < 3:
        assert table is None  # plain 2 x 2
        return
    side, per_deg, slope = np.ceil(view_px / 2**stage), (8, 4, 2)[stage - 3], (0.07, 0.16, 0.32)[stage - 3]
    outer = [round(4 * per_deg / 2)]
    while outer[-1] < side / 2:
        outer.append(outer[-1] + round(per_deg / 2))
    assert list(table.radii_px) == outer[:-1]
    assert list(table.windows_px) == [2] + [2 + round(slope * (2 * r - 4 * per_deg)) for r in outer[1:]]


@pytest.mark.parametrize(("stage", "first", "last"), [
    (3, [2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8], 12), (4, [2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9], 14),
])  # fmt: skip
def test_ring_tables_of_a_view_of_1358_px(stage, first, last):
    table = EccNet(net()).optics.table(stage, 1358)
    assert list(table.windows_px[: len(first)]) == first
    assert table.windows_px[-1] == last
    assert len(table.windows_px) == 19  # the fovea, 17 rings and the outside


@pytest.mark.parametrize("options", [
    {}, {"mixing": "equal"}, {"layers": (5,)}, {"layers": (4, 3)}, {"sharpening": "intersection"},
    {"eccentric": False}, {"method": "max", "eccentric": False, "layers": (3,)},
])  # fmt: skip
@pytest.mark.parametrize("background", [0.0, 1.0])
def test_maps_equal_the_plain_way(options, background):
    backbone, shown = net(), displays(3, background=background, seed=1)
    ours = EccNet(backbone, px_per_deg=DENSITY, **options)
    plain = PlainEccNet(
        backbone, px_per_deg=DENSITY, background=background, layers=ours.layers, data_driven=ours.mixing == "data",
        slopes=None if options.get("eccentric") is False else (0, 0, 0.07, 0.16, 0.32), kernels=ours.sharpening,
        method=ours.optics.method,
    )  # fmt: skip
    for i, fixation in enumerate([(0.0, 0.0), (-2.6, 1.3), (2.9, -2.9)]):
        image, target = shown.to_encoding("linear")[i][None], torch.rand(1, 1, 20 + i, 23)
        a = ours(image, target, fixation, background=background)
        b = plain(image, target, fixation)
        assert b.max() > 0.1
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_twenty_displays_have_the_maps_and_fixations_of_the_plain_way():
    backbone, shown = net(seed=2), displays(20, seed=3)
    ours = EccNet(backbone, px_per_deg=DENSITY)
    plain = PlainEccNet(backbone, px_per_deg=DENSITY)
    largest = []

    def compared(image, target, fixation):
        maps = plain(image, target, fixation)
        largest.append(float((ours(image, target, fixation) - maps).abs().max()))
        return maps

    (a, trials), (b, same) = simulate(ours, shown, batch_size=5), simulate(compared, shown)
    assert a.equals(b)
    assert trials.equals(same)
    assert len(a) > 50
    assert max(largest) < 1e-5


def test_pictures_that_fill_the_view_are_computed_whole():
    backbone = net()
    image, target = torch.rand(1, 3, 64, 150), torch.rand(1, 3, 16, 16)
    a = EccNet(backbone, px_per_deg=DENSITY)(image, target, (4.0, 1.0))
    b = PlainEccNet(backbone, px_per_deg=DENSITY)(image, target, (4.0, 1.0))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert (a[0, :, 0] == 0).all()  # left of the view
    assert (a > 0).any()


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch pads even kernels on the right, as TensorFlow does
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 2), (6, 5)])
def test_matching_keeps_the_size_as_same_padding_does(size):
    features, template = torch.rand(2, 5, 11, 13), torch.rand(2, 5, *size)
    theirs = [functional.conv2d(f[None], t[None], padding="same")[0] for f, t in zip(features, template, strict=True)]
    torch.testing.assert_close(_maps.match(features, template), torch.cat(theirs))


@pytest.mark.parametrize(("size", "sigma"), [(3, 1.0), (5, 3.0), (7, 5.0), (3, 0.0), (5, 1.0), (9, 0.0)])
def test_blur_is_opencvs(size, sigma):
    x = np.random.default_rng(0).random((17, 23))
    ours = _maps.smooth(torch.from_numpy(x)[None], size, sigma)[0]
    np.testing.assert_allclose(ours, cv2.GaussianBlur(x, (size, size), sigma), atol=1e-12)


@pytest.mark.parametrize(("n", "side"), [(51, 806), (85, 1358), (33, 524), (21, 330), (1, 7)])
def test_enlarged_maps_are_opencvs(n, side):
    x = np.random.default_rng(0).random((n, n))
    ours = _maps.enlarge(torch.from_numpy(x), side, (0, 0), (side, side))
    theirs = cv2.resize(x, (side, side), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ours, theirs, atol=2e-7)  # OpenCV keeps the weights in single precision
    assert int(ours.argmax()) == int(theirs.argmax())


@pytest.mark.parametrize("size", [(5, 5), (4, 7)])
def test_pixel_matching_is_a_blurred_correlation(size):
    rng = np.random.default_rng(0)
    image, target = (torch.from_numpy(rng.random((1, 1, *shape))) for shape in ((20, 26), size))
    codes = Preprocess(encoding="linear", range="0-255", mean=(100.0,), std=(1.0,), size_px=None)
    ours = PixelPriority(preprocess=codes)(image, target)[0].numpy()
    x, t = 255 * image[0, 0].numpy() - 100, 255 * target[0, 0].numpy() - 100
    pads = [((k - 1) // 2, k // 2) for k in size]
    theirs = cv2.GaussianBlur(correlate2d(np.pad(x, pads), t, "valid"), (7, 7), 3)
    np.testing.assert_allclose(ours, theirs - theirs.min(), rtol=1e-6, atol=1e-4)


def test_template_priority_is_eccnet_without_eccentricity():
    backbone = net()
    image, target = torch.rand(1, 3, 60, 60), torch.rand(1, 3, 16, 16)
    ivsn = TemplatePriority(backbone, px_per_deg=DENSITY)
    a = ivsn(image, target, (1.0, 0.5))
    b = PlainEccNet(backbone, px_per_deg=DENSITY, layers=(5,), slopes=None, method="max")(image, target, (1.0, 0.5))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert not torch.allclose(a, EccNet(backbone, px_per_deg=DENSITY)(image, target, (1.0, 0.5)))
