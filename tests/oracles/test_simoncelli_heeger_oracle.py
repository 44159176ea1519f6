"""SimoncelliHeeger against curves made with a port of the authors' toolbox, and against a loop over its definition."""

import numpy as np
import pytest
import torch

from neuroperc.motion import SimoncelliHeeger
from neuroperc.motion.v1mt import populations as pop

SIDE_PX, N_FRAMES = 39, 15  # of the movies of the reference
PREFERRED = pop.RADIUS_CPP / np.sqrt(2)


def waves(directions_deg, sf=PREFERRED, tf=PREFERRED, *, side=SIDE_PX, n_frames=N_FRAMES):
    d = torch.deg2rad(torch.as_tensor(directions_deg, dtype=torch.float64))[:, None, None, None]
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    time = torch.arange(n_frames, dtype=torch.float64)[:, None, None]
    across = at * torch.cos(d) - at[:, None] * torch.sin(d)
    return torch.cos(2 * np.pi * (sf * across - tf * time))[:, :, None]


@pytest.fixture(scope="module")
def curves(data_dir):
    return np.load(data_dir / "motion" / "sh_model" / "sh_tuning_curves.npz")


def means(stage, movies):
    return SimoncelliHeeger(stage=stage)(movies).mean(1).numpy()


def test_direction_curves(curves):
    movies = 0.5 + 0.5 * waves(curves["dirs_deg"])
    np.testing.assert_allclose(means("v1", movies), curves["v1_grating"], atol=1e-5)
    np.testing.assert_allclose(means("mt", movies), curves["mt_grating"], atol=1e-5)


def test_plaid_curves(curves):
    d = curves["dirs_deg"]
    movies = 0.5 + 0.25 * (waves(d - 60) + waves(d + 60))
    np.testing.assert_allclose(means("v1", movies), curves["v1_plaid"], atol=1e-5)
    np.testing.assert_allclose(means("mt", movies), curves["mt_plaid"], atol=1e-5)


def test_contrast_curves(curves):
    movies = 0.5 + 0.5 * torch.as_tensor(curves["contrasts"])[:, None, None, None, None] * waves([0.0])
    np.testing.assert_allclose(means("v1", movies), curves["v1_contrast"], atol=2e-5)
    np.testing.assert_allclose(means("mt", movies)[:, 1], curves["mt_contrast"], atol=1e-5)


def test_maps_of_spatial_and_temporal_frequency(curves):
    unit = 13
    direction = np.rad2deg(pop.V1_UNITS[unit, 0])
    pairs = [(f, w) for f in curves["sfs"] for w in curves["tfs"]]
    right = torch.cat([0.5 + 0.5 * waves([0.0], f, w) for f, w in pairs])
    own = torch.cat([0.5 + 0.5 * waves([direction], f, w) for f, w in pairs])
    np.testing.assert_allclose(means("mt", right)[:, 1].reshape(6, 6), curves["mt_sf_tf"], atol=1e-4)
    np.testing.assert_allclose(means("v1", own)[:, unit].reshape(6, 6), curves["v1_sf_tf"], atol=1e-4)


def test_units_are_those_of_the_reference(curves):
    np.testing.assert_allclose(pop.V1_UNITS, curves["v1_dirs"], atol=1e-4)
    np.testing.assert_allclose(pop.MT_UNITS, curves["mt_vel"], atol=1e-4)


def test_one_unit_by_plain_loops():
    """V1 of one place and one MT unit, summed term by term from the definition."""
    movie = torch.rand(1, 9, 1, 37, 37, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = movie[0, :, 0].numpy()
    axes = pop.v1_axes()
    linear = np.zeros((28, 29, 29))
    for (a, b, c), weight in zip(pop.ORDERS, pop.monomials(axes, 3).T, strict=True):
        kernel = pop.TAPS[c][::-1, None, None] * pop.TAPS[b][None, ::-1, None] * pop.TAPS[a][None, None, :]
        windows = np.lib.stride_tricks.sliding_window_view(x, (9, 9, 9))[0]
        linear += weight[:, None, None] * np.einsum("yxtuv,tuv->yx", windows, kernel)
    energy = 1.92625 * (6.6084 * linear) ** 2
    blur = np.outer(pop.gaussian(1.6, 5), pop.gaussian(1.6, 5))
    energy = 1.02054 * np.einsum(
        "nyxuv,uv->nyx", np.lib.stride_tricks.sliding_window_view(energy, (11, 11), (1, 2)), blur
    )
    v1 = 0.99 * energy / (0.98 * 0.240054 * energy.sum(0) + 0.01)
    np.testing.assert_allclose(SimoncelliHeeger(stage="v1", pool="map")(movie)[0, 0].numpy(), v1, rtol=1e-9)
    pooled = np.einsum("nyx,yx->n", v1, np.outer(pop.gaussian(3, 9), pop.gaussian(3, 9)))
    squared = 0.576426 * np.maximum(0, 1.52696 * pop.mt_weights(pop.in_plane(pop.MT_UNITS)) @ pooled + 0.317129) ** 2
    expected = 0.0212961 * squared / (0.00212958 * squared.sum() + 0.01)
    np.testing.assert_allclose(SimoncelliHeeger()(movie)[0, 0].numpy(), expected, rtol=1e-9)


def test_second_scale_is_the_model_on_the_halved_movie():
    movie = torch.rand(1, 22, 1, 62, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = SimoncelliHeeger(stage="v1_linear", n_scales=2, pool="map")(movie)[:, :, 28:]
    smaller = movie
    for axis in (1, 3, 4):
        windows = smaller.unfold(axis, 5, 1)
        smaller = (windows * torch.tensor([1, 4, 6, 4, 1]) / 16).sum(-1)
    halved = SimoncelliHeeger(stage="v1_linear", pool="map")(smaller[:, ::2, :, ::2, ::2])
    expected = halved * torch.as_tensor(pop.v1_gains(1))[:, None, None]
    torch.testing.assert_close(both[:, ::2, :, ::2, ::2], expected, rtol=1e-12, atol=1e-14)
