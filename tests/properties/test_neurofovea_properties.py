"""What must hold for every picture, window and network: sums, statistics, identity at strength 0, planted strengths."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc import Display
from neuroperc.data import sample_image
from neuroperc.metamers import (
    NeuroFovea,
    PyramidCodec,
    fit_texture_strength,
    neurofovea_windows,
    ring_ssim,
    vgg16_codec,
)
from neuroperc.metamers.style.transfer import transfer, window_statistics

SMALL = Display.from_px_per_deg(128 / 26, resolution_px=(128, 128))


@given(
    scaling=st.floats(0.3, 0.9),
    shape=st.tuples(st.integers(90, 130), st.integers(90, 130)),
    gaze=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
)
@settings(max_examples=15, deadline=None)
def test_windows_sum_to_one_for_any_display_and_gaze(scaling, shape, gaze):
    display = Display.from_px_per_deg(10, resolution_px=shape)
    windows = neurofovea_windows(display, scaling=scaling, fixation_deg=gaze, cell_deg=0.3)
    masks = windows.masks()
    assert masks.shape == (windows.n_windows, *shape)
    assert masks.min() >= 0
    np.testing.assert_allclose(masks.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(windows.ring_masks().sum(0), masks[1:].sum(0), atol=1e-5)
    fovea = display.eccentricity_deg(gaze) < 0.5 * windows.eccentricity_deg[1]
    assert (masks[0][fovea] == 1).all()


def test_windows_move_with_the_gaze():
    one = neurofovea_windows(SMALL, scaling=0.5, cell_deg=0.5)
    step = 16 / SMALL.px_per_deg
    moved = neurofovea_windows(SMALL, scaling=0.5, cell_deg=0.5, fixation_deg=(step, step))
    np.testing.assert_allclose(moved.masks()[1:40, :-16, 16:], one.masks()[1:40, 16:, :-16], atol=1e-6)


def test_every_window_has_the_mean_and_spread_of_the_content():
    """Random features behind random weights: exact whatever the network."""
    codec = vgg16_codec(None, decoder=None)
    display = Display.from_px_per_deg(192 / 26, resolution_px=(192, 192))
    model = NeuroFovea(display, scaling=0.5, codec=codec)
    with torch.no_grad():
        content, noise = (f[0][0].flatten(1).T for f in model.encoded(sample_image("flower", display)[0][None], 0))
    cells = model._cells[0][0].like(content)
    mean, variance = window_statistics(content, cells)
    _, other = window_statistics(noise, cells)
    checked = 0
    for window in range(1, model.windows.n_windows):
        alone = torch.zeros(model.windows.n_windows)
        alone[window] = 1
        own = cells.window == window
        only = type(cells)(
            cells.n_windows, cells.n_cells, cells.window[own], cells.cell[own], torch.ones(int(own.sum()))
        )
        texture = transfer(content, noise, cells, only, alone)
        after, spread = (s[window] for s in window_statistics(texture, cells))
        alive = (other[window] > 0) & (variance[window] > 0)
        torch.testing.assert_close(after, mean[window], rtol=1e-5, atol=1e-5 * float(mean.abs().max()))
        torch.testing.assert_close(spread[alive].sqrt(), variance[window][alive].sqrt(), rtol=1e-5, atol=1e-7)
        checked += int(alive.sum())
    assert checked > 10_000


def test_variance_survives_a_large_mean():
    cells = neurofovea_windows(SMALL, scaling=0.5).at((16, 16), (8, 8), (3.5, 3.5))
    x = torch.rand(256, 3, dtype=torch.float64)
    expected = window_statistics(x, cells)[1]
    shifted = window_statistics((x + 300).float(), cells.like(torch.ones(1)))[1]
    torch.testing.assert_close(shifted.double(), expected, rtol=2e-3, atol=1e-6)


def test_noise_without_variation_leaves_the_mean_and_no_nan():
    cells = neurofovea_windows(SMALL, scaling=0.5).at((16, 16), (8, 8), (3.5, 3.5))
    content = torch.rand(256, 2, dtype=torch.float64)
    ones = torch.ones(cells.n_windows, dtype=torch.float64)
    mixed = transfer(content, torch.full_like(content, 0.3), cells, cells, ones)
    mean, _ = window_statistics(content, cells)
    assert bool(mixed.isfinite().all())
    assert mixed.min() >= content.min() - 1e-9
    assert float((mixed - content.mean(0)).abs().mean()) < float((content - content.mean(0)).abs().mean())
    assert float(mean[1:].min()) > 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("assign", ["soft", "last"])
@pytest.mark.parametrize("codec", [PyramidCodec(), vgg16_codec(None, decoder=None)], ids=["pyramid", "vgg16"])
def test_strength_zero_is_the_reference_exactly(codec, assign, channels):
    model = NeuroFovea(SMALL, scaling=0.5, codec=codec, assign=assign)
    picture = sample_image("china", SMALL)[0][None, :channels]
    with torch.no_grad():
        assert torch.equal(model(picture, rng=0, alpha=0), model.reference(picture))
        assert not torch.equal(model(picture, rng=0), model.reference(picture))
        assert model(picture, rng=0).shape == picture.shape


@pytest.mark.parametrize("shape", [(128, 128), (97, 131)])
def test_pyramid_gives_the_picture_back(shape):
    display = Display.from_px_per_deg(5, resolution_px=shape)
    picture = sample_image("china", display)[0][None]
    model = NeuroFovea(display, scaling=0.5)
    assert float((model.reference(picture) - picture).abs().max()) < 1e-5


def test_fovea_stays_and_periphery_changes():
    picture = sample_image("china", SMALL)[0][None]
    model = NeuroFovea(SMALL, scaling=0.5, cell_deg=0.4)
    one, other = model(picture, rng=0), model(picture, rng=1)
    assert torch.equal(one, model(picture, rng=0))
    eccentricity = torch.from_numpy(SMALL.eccentricity_deg())
    change = (one - picture).abs().mean(1)[0]
    assert change[eccentricity < 0.8].mean() < 0.02
    assert change[eccentricity > 8].mean() > 0.05
    assert (one - other).abs().mean(1)[0][eccentricity > 8].mean() > 0.05


def test_pictures_of_a_batch_do_not_touch():
    pictures = torch.stack([sample_image(name, SMALL)[0] for name in ("china", "flower")])
    model = NeuroFovea(SMALL, scaling=0.5)
    noise = np.random.default_rng(0)
    both = model(pictures, rng=0)
    noise.standard_normal((1, 3, 128, 128), dtype=np.float32)  # the first picture's
    torch.testing.assert_close(model(pictures[1:], rng=noise), both[1:], rtol=0, atol=1e-6)


def test_differentiable_in_the_picture():
    display = Display.from_px_per_deg(8, resolution_px=(48, 48))
    picture = torch.rand(1, 1, 48, 48, dtype=torch.float64, requires_grad=True)
    model = NeuroFovea(display, scaling=0.5, cell_deg=0.3)
    (slope,) = torch.autograd.grad(model(picture, rng=0).square().mean(), picture)
    step = 1e-6 * torch.randn_like(picture)
    with torch.no_grad():
        change = model(picture + step, rng=0).square().mean() - model(picture - step, rng=0).square().mean()
    assert float(change / 2) == pytest.approx(float((slope * step).sum()), rel=1e-3)


@pytest.mark.parametrize("planted", [0.4, 1.281])
def test_planted_strength_is_found(planted):
    pictures = torch.stack([sample_image(name, SMALL)[0] for name in ("china", "flower")])
    true = NeuroFovea(SMALL, scaling=0.5, cell_deg=0.3, d=planted)
    wanted = ring_ssim(true(pictures, rng=1), true.reference(pictures), true.windows).mean(0)
    found = fit_texture_strength(NeuroFovea(SMALL, scaling=0.5, cell_deg=0.3), pictures, wanted, rng=0)
    assert found.reached.all()
    assert found.d == pytest.approx(planted, rel=0.06)
    assert (np.diff(found.ssim[:, 2:], axis=0) < 0).all()  # more texture, less alike
