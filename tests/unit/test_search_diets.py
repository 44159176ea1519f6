"""Training diets: closed forms, an independent warp, and that straight lines bend as they should."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from neuroperc.search import DIETS, BlackGrid, Fisheye, Rotate90, training_diet

PICTURES = torch.from_numpy(np.random.default_rng(0).random((2, 3, 48, 64)))


def test_rotation_is_numpys():
    np.testing.assert_array_equal(Rotate90()(PICTURES).numpy(), np.rot90(PICTURES.numpy(), 1, (-2, -1)))
    assert torch.equal(Rotate90(4)(PICTURES), PICTURES)
    assert torch.equal(Rotate90(3)(Rotate90()(PICTURES)), PICTURES)
    lit = torch.linspace(1, 0, 8).double()[None, :, None].expand(1, 8, 8)  # bright at the top
    assert torch.equal(Rotate90()(lit)[0, 0], lit[0, :, 0])  # bright at the left


def test_grid_is_the_published_one():
    made = BlackGrid()(torch.ones(2, 3, 224, 224))
    dark = np.flatnonzero(made[0, 0, 0].numpy() == 0)
    assert dark.tolist() == [k + j for k in (45, 95, 145, 195) for j in range(5)]
    assert torch.equal(made, made.transpose(-1, -2))
    assert made.mean() == pytest.approx((204 / 224) ** 2)
    assert torch.equal(BlackGrid()(made), made)


def test_fisheye_equals_an_independent_warp():
    k, (height, width) = 1.3, PICTURES.shape[-2:]
    y, x = np.indices((height, width)) - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    corner = np.hypot(height, width) / 2
    r = np.hypot(x, y)
    source = corner * (np.exp(k * r / corner) - 1) / (np.exp(k) - 1)
    theta = np.arctan2(y, x)
    at = (source * np.sin(theta) + (height - 1) / 2, source * np.cos(theta) + (width - 1) / 2)
    theirs = map_coordinates(PICTURES[1, 2].numpy(), at, order=1, mode="nearest")
    mine = Fisheye(k, n_samples=1)(PICTURES)[1, 2].numpy()
    np.testing.assert_allclose(mine, theirs, atol=1e-10)


def test_fisheye_bends_lines_off_the_middle_and_magnifies_it():
    picture = torch.zeros(1, 101, 101)
    picture[:, :, 50] = picture[:, :, 62] = 1
    made = Fisheye(1.5)(picture)[0]
    columns = torch.arange(101.0)
    right = made * (columns > 56)

    def place(row):
        return float((right[row] * columns).sum() / right[row].sum())

    assert place(50) > place(10) + 3  # bulges away from the middle
    assert place(10) == pytest.approx(place(90), abs=0.1)
    middle = made * (columns <= 56)
    straight = (middle * columns).sum(1) / middle.sum(1)
    assert float((straight[5:95] - 50).abs().max()) < 1.0
    # What lay 12 pixels from the middle now lies where the warp's inverse says.
    corner = 101 / np.sqrt(2)
    assert place(50) - 50 == pytest.approx(corner * np.log1p(12 / corner * np.expm1(1.5)) / 1.5, abs=0.1)


def test_fisheye_keeps_the_mean_range_and_nothing():
    made = Fisheye(1.5)(PICTURES)
    assert made.shape == PICTURES.shape
    assert made.min() >= PICTURES.min()
    assert made.max() <= PICTURES.max()
    assert torch.equal(Fisheye(0)(PICTURES), PICTURES)
    assert torch.equal(Fisheye(1.5)(torch.full((1, 9, 9), 0.25)), torch.full((1, 9, 9), 0.25))
    small = torch.rand(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Fisheye(1.0), small)


@pytest.mark.parametrize("name", DIETS)
@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 3, 16, 16), (2, 4, 1, 16, 16)])
def test_diets_take_any_batch(name, shape):
    x = torch.rand(shape)
    made = training_diet(name)(x)
    assert made.shape == x.shape
    assert made.dtype == x.dtype
    flat = x.reshape(-1, *shape[-3:])
    torch.testing.assert_close(made.reshape(flat.shape)[-1], training_diet(name)(flat[-1]))


def test_diet_refusals():
    with pytest.raises(ValueError, match="name must be one of 'plain', 'rotated', 'fisheye', 'grid', got fish"):
        training_diet("fish")
    with pytest.raises(ValueError, match="strength must be a finite number of 0 or more, got -1"):
        Fisheye(-1)
    with pytest.raises(ValueError, match="period_px must be a whole number of at least 6, got 5"):
        BlackGrid(5, 5)
    for diet in (Fisheye(), BlackGrid(), Rotate90()):
        with pytest.raises(ValueError, match=r"pictures must be of shape \(..., c, h, w\), got shape \(4, 4\)"):
            diet(torch.ones(4, 4))
        with pytest.raises(TypeError, match=r"pictures must be floating point in \[0, 1\], got torch.uint8"):
            diet(torch.ones(1, 4, 4, dtype=torch.uint8))
        with pytest.raises(TypeError, match="pictures must be a tensor"):
            diet(np.ones((1, 4, 4)))
