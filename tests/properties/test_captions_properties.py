"""What holds of any projection: the cone, its limits, norms apart from directions, tiles that change nothing.

Seen red: weights that enter with their norm; the mean of vectors for the mean of directions; one half for every pass.
"""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from neuroperc.decoding import RetrievalCaptioner, caption_voxels, distance_to_bank, project_weights

seeds = st.integers(0, 2**31)


def made(seed, n_voxels=6, n_images=40, n_features=8):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_voxels, n_features)), rng.normal(size=(n_images, n_features)) + rng.normal(
        size=n_features
    )


@settings(max_examples=15, deadline=None)
@given(seeds, st.floats(0.005, 2))
def test_projections_lie_in_the_cone_of_the_bank(seed, tau):
    weights, bank = made(seed, n_images=10, n_features=30)  # few images in many dimensions: a narrow cone
    for found in project_weights(weights, bank, tau=tau):
        assert nnls(bank.T, found)[1] < 1e-7 * np.linalg.norm(found)
    assert all(nnls(bank.T, w)[1] > 1e-3 for w in weights)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_low_temperature_gives_the_nearest_image_itself(seed):
    weights, bank = made(seed)
    unit = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    cosine = np.sort(weights / np.linalg.norm(weights, axis=1, keepdims=True) @ unit.T, axis=1)
    clear = cosine[:, -1] - cosine[:, -2] > 1e-4
    nearest = bank[(weights @ unit.T).argmax(axis=1)]
    np.testing.assert_allclose(project_weights(weights, bank, tau=1e-6)[clear], nearest[clear], rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_high_temperature_gives_the_mean_direction_and_the_mean_norm(seed):
    weights, bank = made(seed)
    norms = np.linalg.norm(bank, axis=1)
    mean = (bank / norms[:, None]).mean(axis=0)
    expected = mean / np.linalg.norm(mean) * norms.mean()
    np.testing.assert_allclose(project_weights(weights, bank, tau=1e9), np.tile(expected, (len(weights), 1)), rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_norms_are_decoupled_from_directions(seed):
    """Images as long as one gives unit results; stretching images changes norms alone; that of weights nothing."""
    weights, bank = made(seed)
    unit = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    base = project_weights(weights, unit, tau=0.05)
    np.testing.assert_allclose(np.linalg.norm(base, axis=1), 1, rtol=1e-12)
    stretched = project_weights(weights, unit * rng.uniform(0.1, 10, (len(unit), 1)), tau=0.05)
    np.testing.assert_allclose(stretched / np.linalg.norm(stretched, axis=1, keepdims=True), base, atol=1e-12)
    np.testing.assert_allclose(
        project_weights(weights * rng.uniform(0.1, 10, (6, 1)), unit, tau=0.05), base, atol=1e-12
    )


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 50), st.integers(1, 9), st.sampled_from([1.0, 0.5]))
def test_tiles_and_shards_change_nothing(seed, images, voxels, share):
    weights, bank = made(seed)
    cut = images % (len(bank) - 1) + 1
    whole = project_weights(weights, bank, share=share, rng=seed)
    tiled = project_weights(weights, [bank[:cut], bank[cut:]], share=share, rng=seed, images_per_batch=images,
                            voxels_per_batch=voxels)  # fmt: skip
    # A random half is drawn image by image, so that it is the same half however the bank is cut.
    np.testing.assert_allclose(tiled, whole, rtol=1e-9, atol=1e-12)


def test_kind_and_dtype_are_those_of_the_weights():
    weights, bank = made(0)
    for dtype in (torch.float64, torch.float32, torch.float16):
        found = project_weights(torch.from_numpy(weights).to(dtype), bank)
        assert isinstance(found, torch.Tensor) and found.dtype == dtype
    assert project_weights(weights.astype(np.float32), torch.from_numpy(bank)).dtype == np.float32


def test_passes_see_different_halves_and_seeds_repeat():
    weights, bank = made(3)
    encoder = xr.Dataset({"weight": (("neuroid", "feature"), weights)})
    words = RetrievalCaptioner(bank, [f"picture {k}" for k in range(len(bank))])
    one, same, other = (caption_voxels(encoder, bank, words, tau=1e-5, rng=r) for r in (0, 0, 1))
    xr.testing.assert_identical(one, same)
    assert not one.projection.equals(other.projection)
    draws = {draw.values.tobytes() for draw in one.projection}
    assert len(draws) == 5
    # At this temperature each projection is an image: the nearest of the half that its pass saw.
    assert float(np.max(distance_to_bank(one.projection.values.reshape(-1, 8), bank))) < 1e-6
    whole = caption_voxels(encoder, bank, words, tau=1e-5, share=1.0, rng=0).caption.values
    assert (whole == whole[0]).all()
    nearest = (weights @ (bank / np.linalg.norm(bank, axis=1, keepdims=True)).T).argmax(axis=1)
    assert whole[0].tolist() == [f"picture {k}" for k in nearest]


@pytest.mark.parametrize("size", [1, 3, 256])
def test_captions_do_not_hang_on_the_batch(size):
    weights, bank = made(4)
    encoder = xr.Dataset({"weight": (("neuroid", "feature"), weights)})
    words = RetrievalCaptioner(bank, [f"picture {k}" for k in range(len(bank))])
    found = caption_voxels(encoder, bank, words, captions_per_batch=size, rng=0)
    xr.testing.assert_identical(found, caption_voxels(encoder, bank, words, rng=0))
