"""TextureModel over windows against windows written out in full and pairs visited lag by lag, in float64."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import TextureModel

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from baselines.dense_texture import LEAST, SHARE, DenseWindows, Level, dense_texture, split

SHAPE, PX_PER_DEG, N_SCALES, N_ORIENTATIONS, WIDTH = (36, 44), 4.0, 2, 3, 5
DISPLAY = Display.from_px_per_deg(PX_PER_DEG, resolution_px=SHAPE)


@pytest.fixture(scope="module")
def model():
    return TextureModel(DISPLAY, scaling=0.9, n_scales=N_SCALES, n_orientations=N_ORIENTATIONS, neighborhood_px=WIDTH)


def pictures(n_channels):
    """Smooth noise with a step: means and variances differ from window to window."""
    noise = np.random.default_rng(0).random((n_channels, *SHAPE))
    smooth = sum(np.roll(noise, (i, j), (1, 2)) for i, j in itertools.product((-1, 0, 1), repeat=2)) / 9
    smooth[:, :, 25:] *= 0.4
    return torch.from_numpy(smooth)[None]


def scale_of(name, shape):
    """The scale of every entry, without the axis of windows: scales are a group's last axis but that."""
    by_scale = name not in ("pixel_statistics", "var_highpass_residual")
    return np.broadcast_to(np.arange(shape[-2]) if by_scale else 0, shape[:-1])


@pytest.mark.parametrize("gaze_deg", [(0.0, 0.0), (1.5, -2.25)])
def test_groups_are_dense_averages(model, gaze_deg):
    picture = pictures(1)
    found = {name: values[0, 0].numpy() for name, values in model.statistics(picture, gaze_deg).items()}
    windows = DenseWindows(model.windows, SHAPE, PX_PER_DEG, gaze_deg)
    sizes = {"n_scales": N_SCALES, "n_orientations": N_ORIENTATIONS, "width": WIDTH}
    expected, masses = dense_texture(picture[0, 0], windows, **sizes)
    assert set(expected) == set(found)
    found["pixel_statistics"] = found["pixel_statistics"][:4]
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape, name
        seen = np.stack([mass > 1e-2 for mass in masses])[scale_of(name, wanted.shape)]
        assert seen.mean() > 0.4
        np.testing.assert_allclose(found[name][seen], wanted[seen], rtol=1e-6, atol=1e-6, err_msg=name)


def test_extremes_are_those_inside_half_maximum_contours(model):
    picture = pictures(1)
    found = model.statistics(picture, (1.5, -2.25))["pixel_statistics"][0, 0].numpy()
    windows = DenseWindows(model.windows, SHAPE, PX_PER_DEG, (1.5, -2.25)).at(*np.mgrid[: SHAPE[0], : SHAPE[1]])
    radial = windows.reshape(model.windows.n_rings, model.windows.n_wedges, *SHAPE)
    # A pixel is inside both half-maximum contours where its window is the greatest of its ring and of its wedge.
    nearest = windows.reshape(len(windows), -1).argmax(0)
    covered = radial.sum((0, 1)).ravel() > 0.5
    x = picture[0, 0].numpy().ravel()
    for i in np.unique(nearest[covered]):
        mine = x[covered & (nearest == i)]
        np.testing.assert_allclose(found[4:, i], (mine.min(), mine.max()))


def test_channels_are_dense_correlations(model):
    picture = pictures(3)
    found = {name: values[0].numpy() for name, values in model.statistics(picture).items()}
    floor = SHARE * picture[0].numpy().var((1, 2), ddof=1) + LEAST
    dense = DenseWindows(model.windows, SHAPE, PX_PER_DEG)
    split_up = [split(channel, N_SCALES, N_ORIENTATIONS) for channel in picture[0]]
    for pair, (a, b) in enumerate(itertools.combinations(range(3), 2)):
        for s, shape in enumerate(split_up[0][3]):
            level = Level(dense, shape)
            seen = level.mass > 1e-2

            def correlation(one, two, level=level, a=a, b=b):
                one, two = one - one.mean(), two - two.mean()
                scale = (level.covariance(one, one) + floor[a]) * (level.covariance(two, two) + floor[b])
                return level.covariance(one, two) / np.sqrt(scale)

            low = correlation(split_up[a][1][s], split_up[b][1][s])
            values = found["cross_channel_correlation_reconstructed"][pair, s]
            np.testing.assert_allclose(values[seen], low[seen], rtol=1e-6, atol=1e-6)
            if s == 0:
                pixel = correlation(picture[0, a].numpy(), picture[0, b].numpy())
                values = found["cross_channel_correlation_pixel"][pair]
                np.testing.assert_allclose(values[seen], pixel[seen], rtol=1e-6, atol=1e-6)
            if s < N_SCALES:
                for k, j in itertools.product(range(N_ORIENTATIONS), repeat=2):
                    cross = correlation(abs(split_up[a][2][s][k]), abs(split_up[b][2][s][j]))
                    values = found["cross_channel_correlation_magnitude"][pair, k, j, s]
                    np.testing.assert_allclose(values[seen], cross[seen], rtol=1e-6, atol=1e-6)
