"""eccNET on a GPU looks where it looks on the CPU."""

import pytest
import torch
from torch import nn

from neuroperc.nets import Net, Preprocess
from neuroperc.search import EccNet, simulate
from neuroperc.stimuli import search_displays

pytestmark = pytest.mark.gpu


def test_maps_and_fixations_are_the_cpus():
    torch.manual_seed(0)
    layers, before = [], 3
    for channels in (8, 8, 12, 12, 16):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    backbone = Net(nn.Sequential(*layers), Preprocess(size_px=None))
    shown = search_displays(None, "vertical_shading", set_size=6, n=4, rng=0)
    cpu, gpu = EccNet(backbone), EccNet(backbone).cuda()
    image, target = shown.to_encoding("linear")[0][None], torch.rand(1, 1, 31, 31)
    a, b = (
        cpu(image, target, (1.0, -0.5), background=0.01),
        gpu(image.cuda(), target.cuda(), (1.0, -0.5), background=0.01),
    )
    torch.testing.assert_close(a, b.cpu(), rtol=0, atol=1e-3 * float(a.max()))
    assert simulate(cpu, shown)[0].equals(simulate(gpu, shown, device="cuda", batch_size=4)[0])
