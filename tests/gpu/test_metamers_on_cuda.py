"""Models, rendering and synthesis on CUDA: the CPU's numbers. Not run where there is no device."""

import pytest
import torch

import neuroperc as npc

pytestmark = pytest.mark.gpu

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(96, 128))
MODELS = {
    "luminance": lambda: npc.metamers.LuminanceModel(DISPLAY, scaling=0.5),
    "energy": lambda: npc.metamers.EnergyModel(DISPLAY, scaling=0.5, n_scales=3),
    "texture": lambda: npc.metamers.TextureModel(DISPLAY, n_scales=3),
    "foveated texture": lambda: npc.metamers.TextureModel(DISPLAY, scaling=0.5, n_scales=3),
}


def rand(*shape, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(MODELS))
def test_features_and_slopes_equal_the_cpu_s(name):
    x = rand(1, 1, 96, 128)
    found = []
    for device in ("cpu", "cuda"):
        model, picture = MODELS[name]().to(device), x.to(device).requires_grad_()
        features = model(picture)
        found.append((features.detach().cpu(), torch.autograd.grad(features.square().sum(), picture)[0].cpu()))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-7, atol=1e-9)


def test_a_render_equals_the_cpu_s():
    x, model = rand(1, 3, 96, 128, dtype=torch.float32), npc.metamers.NeuroFovea(DISPLAY, scaling=0.5)
    here = model(x, rng=0)
    torch.testing.assert_close(model.cuda()(x.cuda(), rng=0).cpu(), here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_synthesis_starts_from_the_same_noise_and_gets_as_far(optimizer):
    target = rand(1, 96, 128)
    losses = []
    for device in ("cpu", "cuda"):
        model = MODELS["luminance"]().to(device)
        metamer = npc.synthesize(model, target.to(device), steps=20, optimizer=optimizer, rng=0)
        assert metamer.image.device.type == device
        losses.append(metamer.loss.cpu())
    torch.testing.assert_close(losses[1][0], losses[0][0], rtol=1e-9, atol=0)
    torch.testing.assert_close(losses[1][-1], losses[0][-1], rtol=1e-2, atol=1e-9)
