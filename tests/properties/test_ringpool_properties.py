"""RingPool for any table, map and gaze."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc import Display
from neuroperc.foveation import RingPool, RingTable


@st.composite
def cases(draw):
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    windows = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    steps = draw(st.lists(st.floats(0.25, 5), min_size=len(windows) - 1, max_size=len(windows) - 1))
    unit = draw(st.sampled_from(["radii_px", "radii_deg"]))
    table = RingTable(tuple(windows), **{unit: tuple(np.cumsum(steps).tolist())})
    display = Display.from_px_per_deg(10, resolution_px=(2 * height, 2 * width))
    gaze = tuple(draw(st.floats(-0.5, 0.5)) * side for side in display.extent_deg[::-1])
    pool = RingPool(display, table, stride_px=draw(st.integers(1, 3)), fixation_deg=gaze)
    return pool, (height, width), draw(st.integers(0, 99))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_every_cell_is_the_mean_of_its_own_window(case):
    pool, shape, seed = case
    x = np.random.default_rng(seed).normal(size=shape)
    window, stride = pool.window_map_px(shape).numpy(), pool.stride_px
    expected = np.empty(window.shape)
    for i, j in np.ndindex(*window.shape):
        spans = []
        for k, n, count in zip((i, j), shape, window.shape, strict=True):
            start = k * stride - max((count - 1) * stride + window[i, j] - n, 0) // 2
            spans.append(slice(max(start, 0), start + window[i, j]))
        expected[i, j] = x[spans[0], spans[1]].mean()
    np.testing.assert_allclose(pool(torch.from_numpy(x)[None, None])[0, 0].numpy(), expected, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(cases(), st.floats(-100, 100))
def test_a_constant_stays_constant_and_pooling_is_linear(case, level):
    pool, shape, seed = case
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 2, *shape)))
    torch.testing.assert_close(pool(torch.full_like(x, level)), torch.full_like(pool(x), level))
    torch.testing.assert_close(pool(3 * x + level), 3 * pool(x) + level)
