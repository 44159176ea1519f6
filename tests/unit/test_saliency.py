"""Saliency metrics: places off the map, how maps are assigned, tensors, bad input."""

import numpy as np
import pytest
import torch

from neuroperc import metrics as m

MAPS = np.arange(24.0).reshape(2, 3, 4)
UNIFORM = np.full((3, 4), -np.log(12))


def test_pixel_of_a_place():
    points = np.array([[0.49, 0.49], [0.5, 0], [3.49, 2.49], [3.5, 0], [-0.51, 0], [np.nan, 1]])
    found = m.auc(MAPS[0], points)
    np.testing.assert_allclose(found, [0.5 / 12, 1.5 / 12, 11.5 / 12, np.nan, np.nan, np.nan])
    for values in (m.nss(MAPS[0], points), m.log_likelihood(UNIFORM, points)):
        np.testing.assert_array_equal(np.isnan(values), np.isnan(found))
    np.testing.assert_allclose(m.log_likelihood(UNIFORM, points[:3]), 0, atol=1e-12)


def test_which_map():
    points = np.array([[0.0, 0], [0, 0]])
    own = m.nss(MAPS, points)  # as many maps as fixations: one each
    np.testing.assert_array_equal(own, m.nss(MAPS, points, image=[0, 1]))
    assert m.nss(MAPS[0], points).shape == (2,)
    with pytest.raises(ValueError, match="image must be given for 2 maps and 3 fixations"):
        m.nss(MAPS, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="image must be from 0 to 1"):
        m.nss(MAPS, points, image=[0, 2])


def test_shuffled_negatives():
    points = np.array([[3.0, 2], [0, 0], [1, 0]])
    found = m.auc(MAPS, points, image=[0, 1, 1], negatives="shuffled")
    np.testing.assert_allclose(found, [1, 0, 0])
    np.testing.assert_allclose(
        m.auc(MAPS[0], points, negatives="shuffled", other_px=[[3, 2], [0, 0]]), [0.75, 0.25, 0.5]
    )
    with pytest.raises(ValueError, match="other_px must be given when there is one image"):
        m.auc(MAPS[0], points, negatives="shuffled")
    with pytest.raises(ValueError, match="other_px must be given only with"):
        m.auc(MAPS[0], points, other_px=points)


def test_constant_and_empty_maps():
    flat, points = np.full((3, 4), 0.1), np.array([[1.0, 1]])
    assert m.nss(flat, points)[0] == 0 and m.auc(flat, points)[0] == 0.5
    assert m.map_correlation(flat, MAPS[0]) == 0
    assert m.map_similarity(np.zeros((3, 4)), flat) == pytest.approx(1)
    assert m.map_divergence(flat, flat) == pytest.approx(0, abs=1e-12)
    lone = np.zeros((3, 4))
    lone[0, 0] = 1
    assert m.map_divergence(lone, flat, minimum=0) == np.inf
    assert m.map_divergence(flat, lone, minimum=0) == pytest.approx(np.log(12))


def test_zero_probability_is_minus_infinity():
    density = np.array([[0.5, 0.5], [0, 0]])
    with np.errstate(divide="ignore"):
        assert m.log_likelihood(np.log(density), np.array([[0.0, 1]]))[0] == -np.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors(dtype):
    rng = np.random.default_rng(0)
    maps = rng.random((2, 150, 160))
    maps[1] = np.round(maps[1], 2) + 0.01
    points, image = np.c_[rng.integers(0, 160, 30), rng.integers(0, 150, 30)].astype(float), np.repeat([0, 1], 15)
    tensor, places = torch.as_tensor(maps, dtype=dtype), torch.as_tensor(points, dtype=dtype)
    log_density = np.log(maps / maps.sum((1, 2), keepdims=True))
    tolerance = {"rtol": 1e-10, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-3}
    logs = torch.as_tensor(log_density, dtype=dtype)
    pairs = [
        (m.nss(tensor, places, image=image), m.nss(maps, points, image=image)),
        *((m.auc(tensor, places, image=image, negatives=k), m.auc(maps, points, image=image, negatives=k))
          for k in ("all", "non_fixated", "shuffled")),
        (m.information_gain(logs, logs.flip(0), places, image=image),
         m.information_gain(log_density, log_density[::-1], points, image=image)),
        (m.map_correlation(tensor, tensor.flip(0)), m.map_correlation(maps, maps[::-1])),
        (m.map_divergence(tensor, tensor.flip(0)), m.map_divergence(maps, maps[::-1])),
        (m.map_similarity(tensor, tensor.flip(0)), m.map_similarity(maps, maps[::-1])),
    ]  # fmt: skip
    for found, expected in pairs:
        assert isinstance(found, torch.Tensor) and found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, **tolerance)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: m.nss(np.full((3, 4), np.nan), p), "maps must be finite"),
        (lambda p: m.auc(np.where(MAPS[0] == 5, np.inf, MAPS[0]), p), "maps must be finite"),
        (lambda p: m.nss(MAPS[None], p), r"maps must be \(h, w\) or \(images, h, w\)"),
        (lambda p: m.nss(MAPS[0], p[:, :1]), r"points_px must be \(n, 2\)"),
        (lambda p: m.auc(MAPS[0], p, negatives="none"), "negatives must be one of"),
        (lambda p: m.log_likelihood(MAPS[0], p), "probabilities that sum to 1 over pixels"),
        (lambda p: m.information_gain(UNIFORM, UNIFORM[:2], p), "baseline_log_density must be of size"),
        (lambda p: m.nss(MAPS[0], p[:0]), "points_px must be not empty"),
        (lambda p: m.map_correlation(MAPS[0], MAPS), "of one shape"),
        (lambda p: m.map_similarity(MAPS[0] * np.nan, MAPS[0]), "a must be finite"),
        (lambda p: m.map_divergence(MAPS[0], MAPS[0], minimum=-1), "minimum must be 0 or more"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.array([[1.0, 1]]))


def test_libraries_do_not_mix():
    with pytest.raises(TypeError, match="of one library"):
        m.nss(torch.as_tensor(MAPS[0]), np.array([[1.0, 1]]))
