"""RingPool against a masked sum of plain pooling layers, one a ring (how eccNET's released code computes it)."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from neuroperc import Display
from neuroperc.foveation import RingPool, RingTable

TABLE = RingTable((2, 3, 5, 8), radii_px=(2.0, 4.0, 7.0))


def same_pads(length, window, stride):
    total = max((math.ceil(length / stride) - 1) * stride + window - length, 0)
    return total // 2, total - total // 2


def pooled(x, window, stride, method):
    (top, bottom), (left, right) = (same_pads(n, window, stride) for n in x.shape[-2:])
    pads = (left, right, top, bottom)
    if method == "max":
        return functional.max_pool2d(functional.pad(x, pads, value=-math.inf), window, stride)
    total = functional.avg_pool2d(functional.pad(x, pads), window, stride)
    return total / functional.avg_pool2d(functional.pad(torch.ones_like(x), pads), window, stride)


def masked_sum(x, table, center, stride=2, method="average"):
    """Sum over bands of mask times pooled map; distances in output cells from `center` (row, column)."""
    edges = (-1.0, *table.radii_px, math.inf)
    out = 0
    for inner, outer, window in zip(edges[:-1], edges[1:], table.windows_px, strict=True):
        band = pooled(x, window, stride, method)
        rows, columns = np.mgrid[: band.shape[-2], : band.shape[-1]]
        distance = np.hypot(rows - center[0], columns - center[1])
        mask = torch.from_numpy((distance >= inner) & (distance < outer))
        out = out + mask.to(x) * band
    return out


@pytest.mark.parametrize("shape", [(40, 40), (41, 41), (40, 55), (33, 18), (7, 5), (1, 9)])
@pytest.mark.parametrize("method", ["average", "max"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_equals_the_masked_sum_of_pools(shape, method, stride):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, *shape)))
    display = Display.from_px_per_deg(30, resolution_px=(4 * shape[0], 4 * shape[1]))
    ours = RingPool(display, TABLE, method=method, stride_px=stride)(x)
    center = [math.ceil(n / stride) // 2 for n in shape]  # eccNET: the middle cell is floor(n_out / 2)
    theirs = masked_sum(x, TABLE, center, stride, method)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("stage", [3, 4])
def test_eccnet_stage_on_a_view_of_806_px(stage):
    side = math.ceil(806 / 2 ** (stage - 1))
    x = torch.from_numpy(np.random.default_rng(1).random((1, 2, side, side)).astype(np.float32))
    pool = RingPool.eccnet(Display.from_px_per_deg(30, resolution_px=(806, 806)), stage)
    center = [math.ceil(side / 2) // 2] * 2
    torch.testing.assert_close(pool(x), masked_sum(x, pool.table, center), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1.0, 1e4])
def test_float32_keeps_its_digits_on_a_large_map_with_an_offset(level):
    x = np.random.default_rng(2).random((1, 1, 700, 700)) + level
    pool = RingPool(Display.from_px_per_deg(30, resolution_px=(700, 700)), RingTable((2, 9), radii_px=(100.0,)))
    exact, single = pool(torch.from_numpy(x)), pool(torch.from_numpy(x.astype(np.float32)))
    assert (single - exact).abs().max() < 1.2e-7 * (level + 1)
