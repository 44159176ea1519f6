"""RingPool: eccNET's tables, the gaze, gradients, compiling, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.foveation import RingPool, RingTable
from neuroperc.foveation._boxes import box_means, box_spread

SQUARE = Display.from_px_per_deg(8, resolution_px=(96, 96))
TABLE = RingTable((2, 3, 5), radii_px=(3.0, 6.0))


def random(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


# Search spec 1.2: foveal radii, ring widths and windows of the released code, for 30 px per degree.
@pytest.mark.parametrize(
    ("stage", "fovea", "step", "first", "last"),
    [
        (1, 60, 15, (2,) * 6, 2),
        (2, 30, 8, (2,) * 6, 2),
        (3, 16, 4, (2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8), 12),
        (4, 8, 2, (2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9), 14),
        (5, 4, 1, (2, 3, 3, 4, 5, 5, 6), 14),
    ],
)
def test_eccnet_tables_of_a_1358_px_view(stage, fovea, step, first, last):
    table = RingTable.eccnet(stage, resolution_px=(1358, 1358))
    half = math.ceil(1358 / 2**stage) / 2
    assert table.radii_px[0] == fovea
    assert set(np.diff(table.radii_px)) == {step}
    assert table.radii_px[-1] < half <= table.radii_px[-1] + step
    assert table.windows_px[: len(first)] == first
    assert table.windows_px[-1] == last


def test_eccnet_small_map_is_all_fovea():
    table = RingTable.eccnet(3, resolution_px=(177, 177))
    assert table == RingTable((2,), radii_px=())


def test_eccnet_slope_and_density_are_arguments():
    assert set(RingTable.eccnet(3, resolution_px=(800, 600), slope=0).windows_px) == {2}
    assert RingTable.eccnet(1, resolution_px=(800, 800), px_per_deg=10).radii_px[0] == 20


def test_window_map_follows_the_gaze():
    pool = RingPool(SQUARE, RingTable((1, 7), radii_px=(0.5,)))
    both = pool.window_map_px((24, 24), fixation_deg=[(0, 0), (-4.5, 4.5)])
    assert both.shape == (2, 12, 12)
    assert np.argwhere(both.numpy() == 1).tolist() == [[0, 6, 6], [1, 1, 1]]


def test_radii_in_degrees_use_the_display():
    lab = Display(resolution_px=(200, 400), size_m=(0.5, 1.0), distance_m=0.4)
    pool = RingPool(lab, RingTable((2, 6), radii_deg=(20.0,)))
    window = pool.window_map_px((100, 200), fixation_deg=(15, -5))  # 50 x 100 cells of 4 x 4 px
    centers = lab.to_deg(np.stack(np.meshgrid(np.arange(100) * 4 + 1.5, np.arange(50) * 4 + 1.5), -1))
    assert ((window == 2).numpy() == (lab.eccentricity_deg((15, -5), centers) < 20)).all()


def test_a_fixation_per_item_equals_the_loop():
    x, gaze = random(3, 2, 24, 24), torch.tensor([[0.0, 0.0], [4.0, -3.0], [-5.9, 5.9]], dtype=torch.float64)
    for method in ("average", "max"):
        pool = RingPool(SQUARE, TABLE, method=method)
        loop = torch.cat([pool(x[i : i + 1], gaze[i]) for i in range(3)])
        assert torch.equal(pool(x, gaze), loop)


def test_default_fixation_is_the_constructors():
    x = random(1, 1, 24, 24)
    assert torch.equal(RingPool(SQUARE, TABLE, fixation_deg=(3, 2))(x), RingPool(SQUARE, TABLE)(x, (3, 2)))


@pytest.mark.parametrize("method", ["average", "max"])
def test_gradients(method):
    x = random(2, 1, 5, 6).requires_grad_()
    display = Display.from_px_per_deg(8, resolution_px=(50, 60))
    pool = RingPool(display, RingTable((2, 3, 4), radii_px=(0.5, 1.5)), method=method)
    gaze = torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: pool(t, gaze), x)
    assert torch.autograd.gradgradcheck(lambda t: pool(t, gaze) ** 2, x)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # raised inside opcheck
def test_box_operators_are_registered_soundly():
    x = random(1, 2, 5, 6).requires_grad_()
    corners, count = torch.tensor([[[34, 41], [6, 6], [28, 35], [0, 0]]]), torch.full((1, 2), 30.0, dtype=torch.float64)
    torch.library.opcheck(box_means, (x, corners, count))
    torch.library.opcheck(box_spread, (random(1, 2, 2).requires_grad_(), corners, count, 5, 6))


@pytest.mark.parametrize("method", ["average", "max"])
def test_compiles_as_one_graph(method):
    pool, x = RingPool(SQUARE, TABLE, method=method), random(2, 3, 24, 24, dtype=torch.float32).requires_grad_()
    gaze = torch.tensor([[0.0, 0.0], [4.0, -3.0]])
    compiled = torch.compile(pool, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, gaze), pool(x, gaze))
    (grad,) = torch.autograd.grad(compiled(x, gaze).square().sum(), x)
    (eager,) = torch.autograd.grad(pool(x, gaze).square().sum(), x)
    torch.testing.assert_close(grad, eager)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_and_half_precision_does_not_overflow(dtype):
    pool = RingPool(SQUARE, RingTable((2, 24), radii_px=(2.0,)))
    out = pool(torch.full((1, 1, 24, 24), 500.0, dtype=dtype))
    assert out.dtype == dtype
    assert (out == 500).all()


def test_nothing_in_the_state_dict():
    assert not RingPool(SQUARE, TABLE).state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"windows_px": (2, 3), "radii_px": (1.0,), "radii_deg": (1.0,)}, "but not both"),
        ({"windows_px": (2, 3)}, "but not both"),
        ({"windows_px": (2, 3), "radii_px": (1.0, 2.0)}, "one fewer than windows_px"),
        ({"windows_px": (2, 3, 4), "radii_deg": (2.0, 2.0)}, "increasing"),
        ({"windows_px": (2, 0), "radii_px": (1.0,)}, "at least 1"),
        ({"windows_px": (), "radii_px": ()}, "at least one window"),
        ({"windows_px": (2, 3), "radii_px": (math.nan,)}, "finite number above 0"),
    ],
)
def test_bad_tables(arguments, message):
    with pytest.raises(ValueError, match=message):
        RingTable(**arguments)


def test_bad_table_types():
    with pytest.raises(TypeError, match="whole number"):
        RingTable((2, 2.5), radii_px=(1.0,))
    with pytest.raises(TypeError, match="sequences"):
        RingTable(2, radii_px=())
    with pytest.raises(ValueError, match="stage must be one of"):
        RingTable.eccnet(6, resolution_px=(100, 100))
    with pytest.raises(ValueError, match="ring_deg must be one cell"):
        RingTable.eccnet(5, resolution_px=(400, 400), px_per_deg=8)
    with pytest.raises(TypeError, match=r"RingTable\.eccnet"):
        RingPool(SQUARE, (2, 3))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 24, 24), r"\(b, c, h, w\)"),
        (torch.zeros(1, 0, 24, 24), "none of them 0"),
        (torch.zeros(1, 1, 24, 48), "whole display"),
        (torch.full((1, 1, 24, 24), math.nan), "finite"),
    ],
)
def test_bad_maps(x, message):
    with pytest.raises(ValueError, match=message):
        RingPool(SQUARE, TABLE)(x)


def test_bad_types_and_gazes():
    pool = RingPool(SQUARE, TABLE)
    with pytest.raises(TypeError, match=r"x\.float"):
        pool(torch.zeros(1, 1, 24, 24, dtype=torch.int64))
    with pytest.raises(ValueError, match="on the screen"):
        pool(torch.zeros(1, 1, 24, 24), (40, 0))
    with pytest.raises(ValueError, match="shape"):
        pool(torch.zeros(2, 1, 24, 24), torch.zeros(3, 2))
