"""The foveation core on CUDA: the CPU's numbers, repeatable, within its memory. Not run where there is no device."""

import pytest
import torch

import neuroperc as npc
from neuroperc.foveation import FoveatedBlur, LogPolar, PoolingWindows, RingPool, RingTable, SteerablePyramid, _sparse

pytestmark = pytest.mark.gpu

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(96, 128))
GAZES = [(1.0, -2.0), (-3.0, 0.5)]
TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-5}, torch.float64: {"rtol": 1e-9, "atol": 1e-11}}


def rand(*shape, dtype=torch.float32):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


MODULES = {
    "blur": lambda: FoveatedBlur(DISPLAY, model="half_resolution", half_resolution_deg=1.0),
    "cosine": lambda: PoolingWindows(DISPLAY, 0.5),
    "gaussian": lambda: PoolingWindows(DISPLAY, 0.4, "gaussian"),
    "ring pool": lambda: RingPool(DISPLAY, RingTable((2, 3, 5), radii_px=(8.0, 20.0))),
    "log-polar": lambda: LogPolar(DISPLAY),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gazes", [None, GAZES], ids=["default", "by item"])
@pytest.mark.parametrize("name", list(MODULES))
def test_equals_the_cpu_and_repeats(name, gazes, dtype):
    module, x = MODULES[name](), rand(2, 3, 96, 128, dtype=dtype)
    on_cpu, there = module(x, gazes), module.cuda()(x.cuda(), gazes)
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), on_cpu, **TOLERANCE[dtype])
    assert torch.equal(module(x.cuda(), gazes), there)


@pytest.mark.parametrize("name", ["blur", "cosine", "gaussian"])
def test_gradients_equal_the_cpu_s_and_repeat(name):
    module, x = MODULES[name](), rand(2, 3, 96, 128, dtype=torch.float64)

    def gradient(picture):
        picture = picture.clone().requires_grad_()
        return torch.autograd.grad(module(picture).square().sum(), picture)[0]

    there = gradient(x.cuda())
    torch.testing.assert_close(there.cpu(), gradient(x), **TOLERANCE[torch.float64])
    assert torch.equal(gradient(x.cuda()), there)


@pytest.mark.parametrize("window", ["cosine", "gaussian"])
def test_unpool_equals_the_cpu(window):
    pooling = PoolingWindows(DISPLAY, 0.4, window)
    y = rand(2, 3, pooling.n_windows)
    torch.testing.assert_close(pooling.unpool(y.cuda()).cpu(), pooling.unpool(y), **TOLERANCE[torch.float32])


def test_triton_equals_the_plain_sums():
    pytest.importorskip("triton")
    from neuroperc.foveation._triton import row_sums

    pooling = PoolingWindows(DISPLAY, 0.3, "gaussian")
    matrix = pooling._plan(torch.float64, torch.device("cuda")).entries[3:]
    x = rand(7, 96 * 128, dtype=torch.float64).cuda()
    torch.testing.assert_close(row_sums(*matrix, x), _sparse.row_sums(*matrix, x), rtol=1e-12, atol=1e-12)


def test_a_large_batch_fits():
    display = npc.Display.from_px_per_deg(32, resolution_px=(1024, 1024))
    pooling, x = PoolingWindows(display, 0.5, "gaussian"), torch.rand(16, 3, 1024, 1024, device="cuda")
    pooling(x)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    pooling(x)
    assert torch.cuda.max_memory_allocated() - before < 4 * x.numel() * x.element_size()


def test_compiles_whole():
    blur, x = MODULES["blur"](), rand(2, 3, 96, 128).cuda()
    plain = blur(x)
    torch.testing.assert_close(torch.compile(blur, fullgraph=True)(x), plain, rtol=1e-4, atol=1e-5)


def test_steerable_pyramid_equals_the_cpu_s():
    pyramid, x = SteerablePyramid((96, 128), n_scales=3, n_orientations=4), rand(1, 1, 96, 128, dtype=torch.float64)
    there, here = pyramid(x.cuda()), pyramid(x)
    for a, b in zip(there.bands, here.bands, strict=True):
        torch.testing.assert_close(a.cpu(), b, **TOLERANCE[torch.float64])
