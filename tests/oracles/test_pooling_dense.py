"""Pooling windows against the dense separable contraction and the published counts and spacings."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.foveation import PoolingWindows

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from baselines.dense_pooling import DensePooling


def square(side=256, width=None):
    return npc.Display.from_px_per_deg(max(side, width or side) / 30, resolution_px=(side, width or side))


def dense(pooling, fixation):
    points = pooling.display.pixels_deg(pooling._shape_px, pooling._stride_px)
    eccentricity, angle = pooling.display.polar(fixation, points)
    return DensePooling(
        eccentricity, angle, scaling=pooling.scaling, window=pooling.window, dtype=torch.float64,
        min_eccentricity_deg=pooling.min_eccentricity_deg, n_rings=pooling.n_rings, n_wedges=pooling.n_wedges,
    )  # fmt: skip


@pytest.mark.parametrize("fixation", [(0, 0), (6, -2)], ids=["centre", "off-centre"])
@pytest.mark.parametrize("shape", [(128, 128), (95, 160)], ids=["square", "wide and odd"])
@pytest.mark.parametrize(
    ("window", "scaling"), [("cosine", 0.5), ("cosine", 0.3), ("gaussian", 0.5), ("gaussian", 0.25)]
)
def test_equals_the_dense_contraction(window, scaling, shape, fixation):
    pooling = PoolingWindows(square(*shape), scaling, window, fixation_deg=fixation)
    oracle = dense(pooling, fixation)
    x = torch.rand(2, 2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.rand(2, 2, pooling.n_windows, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected, back = oracle.pool(x), oracle.unpool(y)
    seen = pooling.mass > 0
    assert seen.sum() > 0.4 * pooling.n_windows
    torch.testing.assert_close(pooling.mass[seen], oracle.mass.flatten()[seen], rtol=1e-6, atol=1e-9)
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-4)):
        out = pooling(x.to(dtype))
        assert out.dtype == dtype
        assert (out.double() - expected)[..., seen].abs().max() < tolerance
        assert (pooling.unpool(y.to(dtype)).double() - back).abs().max() < tolerance


def test_windows_without_mass_are_those_off_the_picture():
    pooling = PoolingWindows(square(), 0.25, "gaussian", fixation_deg=(9, 9))
    lost = dense(pooling, (9, 9)).mass.flatten()[pooling.mass == 0]
    area = (
        pooling.ring_spacing * pooling.wedge_spacing_rad * (pooling.eccentricity_deg * pooling.display.px_per_deg) ** 2
    )
    assert (lost.numpy() < 2e-10 * area[(pooling.mass == 0).numpy()]).all()
    assert (pooling(torch.ones(1, 1, 256, 256))[0, 0][pooling.mass == 0] == 0).all()


def test_at_evaluates_the_same_windows_on_a_pyramid_level():
    pooling = PoolingWindows(square(96, 130), 0.4, "gaussian", fixation_deg=(2, 1))
    level = pooling.at((48, 65), (2.0, 2.0))
    x = torch.rand(1, 1, 48, 65, dtype=torch.float64)
    seen = level.mass > 0
    assert (level(x) - dense(level, (2, 1)).pool(x))[..., seen].abs().max() < 1e-6
    assert level.n_windows == pooling.n_windows
    torch.testing.assert_close(
        level(torch.full((1, 1, 48, 65), 0.3))[..., seen], torch.tensor(0.3).expand(1, 1, int(seen.sum()))
    )


@pytest.mark.parametrize(
    ("scaling", "cosine", "gaussian", "wedges"),
    [
        (0.25, 0.249353, 0.105891, (50, 50, 119)),
        (0.3, 0.298886, 0.126925, (42, 42, 99)),
        (0.4, 0.397380, 0.168752, (31, 32, 74)),
        (0.5, 0.494933, 0.210179, (25, 25, 60)),
        (0.6, 0.591346, 0.251122, (21, 21, 50)),
        (0.7, 0.686443, 0.291506, (18, 18, 43)),
        (0.87, 0.844665, 0.358696, (14, 15, 35)),
    ],
)
def test_spacing_and_wedge_table(scaling, cosine, gaussian, wedges):
    display = square(64)
    freeman = PoolingWindows(display, scaling, convention="freeman")
    broderick = PoolingWindows(display, scaling)
    smooth = PoolingWindows(display, scaling, "gaussian")
    assert (freeman.n_wedges, broderick.n_wedges, smooth.n_wedges) == wedges
    assert broderick.ring_spacing == pytest.approx(cosine, abs=5e-7)
    assert smooth.ring_spacing == pytest.approx(gaussian, abs=5e-7)


def test_published_counts_and_scalings():
    display = square()
    for scaling, window, counts in (
        (0.5, "cosine", (8, 25)),
        (0.5, "gaussian", (23, 60)),
        (0.25, "gaussian", (41, 119)),
    ):
        pooling = PoolingWindows(display, scaling, window, max_eccentricity_deg=15)
        assert (pooling.n_rings, pooling.n_wedges) == counts
    # pooling-windows' own test vectors: n rings between two eccentricities fix the spacing, and that the scaling.
    for n, low, high, spacing, scaling in (
        (4, 0.5, 15, 0.8502993454, 0.8761474338),
        (4, 5, 10, 0.1732867951, 0.1735036895),
    ):
        assert math.log(high / low) / n == pytest.approx(spacing, abs=1e-9)
        pooling = PoolingWindows(display, scaling, min_eccentricity_deg=low)
        assert pooling.ring_spacing == pytest.approx(spacing, abs=1e-9)


def test_neurofovea_layout():
    """0.025 of the half-size as e0, freeman's wedges: ring centres r_k = 6 exp(k w_e) px; here k = n + 1."""
    display = npc.Display.from_px_per_deg(512 / 26, resolution_px=(512, 512))
    pooling = PoolingWindows(display, 0.4, convention="freeman", min_eccentricity_deg=6 / (512 / 26))
    radius = pooling.eccentricity_deg[:: pooling.n_wedges] * 512 / 26
    assert radius[4] == pytest.approx(43.76, abs=0.005)
    assert pooling.n_wedges == 31


def test_half_maximum_width_is_the_scaling():
    for window in ("cosine", "gaussian"):
        display = npc.Display.from_px_per_deg(40, resolution_px=(801, 801))
        pooling = PoolingWindows(display, 0.5, window)
        ring = pooling.n_wedges * int(np.searchsorted(pooling.eccentricity_deg[:: pooling.n_wedges], 4))
        row = pooling.window_maps(ring)[0, 400, 400:].numpy()
        above = np.flatnonzero(row > row.max() / 2)
        assert (above[-1] - above[0] + 1) / 40 == pytest.approx(0.5 * pooling.eccentricity_deg[ring], abs=0.06)


@pytest.mark.parametrize("offset_px", [(0.0, 2.0), (1.0, -3.0)])
def test_a_shifted_grid_is_every_other_grid(offset_px):
    """Half-way samples of a stride of 4 are samples of a stride of 1, and the offset is (down, right)."""
    display = npc.Display.from_px_per_deg(4, resolution_px=(40, 48))
    windows = PoolingWindows(display, scaling=0.7)
    down, right = (int(part) for part in offset_px)
    grid = windows.at((9, 10), (4.0, 4.0), offset_px=(offset_px[0] + 4, offset_px[1] + 4))
    index = torch.arange(windows.n_windows)
    expected = windows.window_maps(index)[:, down + 4 :: 4, right + 4 :: 4][:, :9, :10]
    torch.testing.assert_close(grid.window_maps(index), expected, rtol=0, atol=1e-6)
