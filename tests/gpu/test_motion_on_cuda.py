"""Movies on a GPU are answered as on the CPU."""

import numpy as np
import pytest
import torch

import neuroperc as npc

pytestmark = pytest.mark.gpu
DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))


def movie(n_frames=24, side_px=48):
    return torch.from_numpy(np.random.default_rng(0).random((2, n_frames, 1, side_px, side_px), dtype=np.float32))


def same(model, x, *, rtol=1e-3):
    with torch.no_grad():
        wanted = model(x)
        got = model.cuda()(x.cuda())
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), wanted, rtol=rtol, atol=rtol * float(wanted.abs().max()))


@pytest.mark.parametrize("compat", [None, "pymoten"])
def test_the_pyramid(compat):
    settings = {"fps": 24, "sf_cpi": (0, 2, 4), "tf_hz": (0, 2, 4), "n_directions": 8, "compat": compat}
    same(npc.motion.MotionEnergy.pyramid((48, 48), **settings), movie())


@pytest.mark.parametrize("space", ["gabor", "cauchy"])
def test_motion_energy(space):
    same(npc.motion.MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), space=space), movie(40))


def test_simoncelli_heeger():
    same(npc.motion.SimoncelliHeeger(), movie(30))


def test_the_two_stage_model_and_its_gradient():
    frames = movie(11, 64)
    cpu, gpu = npc.motion.TwoStageMotion.pretrained(), npc.motion.TwoStageMotion.pretrained().cuda()
    flows = []
    for model, x in ((cpu, frames), (gpu, frames.cuda())):
        flow = model(x)
        flow.square().mean().backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
        flows.append(flow.detach().cpu())
    torch.testing.assert_close(flows[1], flows[0], rtol=1e-2, atol=1e-2 * float(flows[0].abs().max()))
