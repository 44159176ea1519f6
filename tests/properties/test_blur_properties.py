"""What holds for every foveated blur and every pyramid."""

import pytest
import torch

import neuroperc as npc
from neuroperc.foveation import (
    FoveatedBlur,
    SteerablePyramid,
    from_laplacian_pyramid,
    gaussian_pyramid,
    laplacian_pyramid,
)

DISPLAYS = [
    npc.Display.from_px_per_deg(6, resolution_px=(37, 50)),
    npc.Display.from_px_per_deg(6, resolution_px=(37, 50), distance_m=0.4),
]


def rand(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("display", DISPLAYS, ids=["small angle", "tangent"])
def test_gazes_by_item_equal_the_loop(display):
    blur = FoveatedBlur(display, model="half_resolution", half_resolution_deg=0.5)
    gazes, x = torch.tensor([[0.0, 0.0], [3.0, 2.0], [-2.0, 1.0]]).double(), rand(3, 2, 37, 50)
    together = blur(x, gazes)
    for i, gaze in enumerate(gazes):
        own = FoveatedBlur(display, model="half_resolution", half_resolution_deg=0.5, fixation_deg=gaze)
        torch.testing.assert_close(together[i : i + 1], own(x[i : i + 1]), rtol=1e-9, atol=1e-9)
    nearest = blur(x[:1], gazes[None])
    assert torch.allclose(blur.cutoff_map_cpd(gazes).amax(0), blur.cutoff_map_cpd(gazes[None])[0])
    assert nearest.shape == (1, 2, 37, 50)


def test_a_shifted_gaze_is_a_shifted_picture():
    display = npc.Display.from_px_per_deg(8, resolution_px=(128, 128))
    blur = FoveatedBlur(display, model="half_resolution", half_resolution_deg=0.5)
    x = torch.full((1, 1, 128, 128), 0.5, dtype=torch.float64)
    x[..., 56:72, 48:64] = rand(1, 1, 16, 16)
    moved = blur(torch.roll(x, (-16, 24), (-2, -1)), (3, 2))  # by multiples of the coarsest stride near the patch
    still = torch.roll(blur(x, (0, 0)), (-16, 24), (-2, -1))
    torch.testing.assert_close(moved[..., 32:64, 64:96], still[..., 32:64, 64:96], rtol=0, atol=2e-3)


def test_gradients_reach_picture_and_gaze():
    display = npc.Display.from_px_per_deg(4, resolution_px=(10, 12))
    blur = FoveatedBlur(display, model="half_resolution", half_resolution_deg=0.31)
    x, gaze = rand(2, 1, 10, 12).requires_grad_(), torch.tensor([[0.11, 0.07], [-0.43, 0.29]]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: blur(a), (x,))
    assert torch.autograd.gradcheck(lambda g: blur(x.detach(), g), (gaze,), atol=1e-4)


def test_with_gradient_equals_without_and_compiled():
    blur = FoveatedBlur(DISPLAYS[0], model="half_resolution", half_resolution_deg=0.5)
    assert blur.state_dict() == {}
    x = rand(2, 3, 37, 50).float()
    plain = blur(x)
    torch.testing.assert_close(blur(x.clone().requires_grad_()).detach(), plain, rtol=1e-5, atol=1e-6)
    compiled = torch.compile(blur, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), plain, rtol=1e-5, atol=1e-6)
    assert torch.equal(blur(x), plain)
    torch.testing.assert_close(blur(x.double()).float(), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(37, 50), (64, 64), (51, 130)])
@pytest.mark.parametrize("lowest", [0.3, 0.06, 0.004])
def test_strips_equal_the_whole(shape, lowest, monkeypatch):
    """What is computed strip by strip without a gradient is what is computed at once with one."""
    from neuroperc.foveation import _strips

    monkeypatch.setattr(_strips, "_STRIP", 3 * 10 * shape[1])
    display = npc.Display.from_px_per_deg(1, resolution_px=shape)
    x = rand(2, 5, *shape)
    for gaze in ((0, 0), (-shape[1] / 3, shape[0] / 3)):
        blur = FoveatedBlur(display, cutoff_cpd=lambda e: lowest + 0.5 * torch.exp(-e / 9), fixation_deg=gaze)
        whole = blur(x.clone().requires_grad_()).detach()
        assert (whole - x).abs().max() > 0.1
        torch.testing.assert_close(blur(x), whole, rtol=0, atol=1e-14)
        torch.testing.assert_close(blur(x, gaze), whole, rtol=0, atol=1e-14)


def test_constant_stays_constant():
    blur = FoveatedBlur(DISPLAYS[0], model="half_resolution", half_resolution_deg=0.2)
    x = torch.full((1, 1, 37, 50), 0.42, dtype=torch.float64)
    assert (blur(x) - x).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(64, 64), (33, 40), (37, 51), (17, 90)])
@pytest.mark.parametrize("n_orientations", [2, 3, 4])
def test_steerable_pyramid_is_a_tight_frame(shape, n_orientations):
    pyramid = SteerablePyramid(shape, n_scales=2, n_orientations=n_orientations)
    x = rand(2, 1, 1, *shape)
    parts = pyramid(x)
    assert (pyramid.inverse(parts) - x).abs().max() < 1e-10
    energy = sum(part.square().sum() for part in (parts.highpass, *parts.bands, parts.lowpass))
    assert float(energy / x.square().sum()) == pytest.approx(1, abs=1e-10)
    assert parts.bands[1].shape == (2, 1, 1, n_orientations, 2, *pyramid.shapes_px[1])
    assert pyramid(x.float()).highpass.dtype == torch.float32


def test_laplacian_pyramid_comes_back():
    x = rand(2, 3, 21, 34)
    assert (from_laplacian_pyramid(laplacian_pyramid(x, 4)) - x).abs().max() < 1e-12
    assert (gaussian_pyramid(torch.ones(5, 21, 34), 3)[2] - 1).abs().max() < 1e-6
    torch.testing.assert_close(gaussian_pyramid(x, 2)[1][1, 2], gaussian_pyramid(x[1, 2], 2)[1])
    assert torch.autograd.gradcheck(lambda a: laplacian_pyramid(a, 2)[0], (rand(1, 6, 7).requires_grad_(),))
