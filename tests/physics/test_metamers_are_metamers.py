"""Metamers judged by another path: dense windows on the exported, decoded 8-bit pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.color import linear_to_srgb
from neuroperc.data.readers.pictures import read_picture, save_image
from neuroperc.metrics import ssim_map

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from baselines.dense_pooling import DensePooling

DISPLAY = npc.Display.from_px_per_deg(12, resolution_px=(160, 240))


@pytest.fixture(scope="module")
def photo():
    full = npc.data.sample_image("china")[0]
    small = torch.nn.functional.interpolate(full[None], size=(160, 240), mode="bilinear", antialias=True)[0]
    return small.clamp(0, 1)


def dense(windows):
    eccentricity, angle = DISPLAY.polar(windows.fixation_deg, DISPLAY.pixels_deg())
    return DensePooling(
        eccentricity, angle, scaling=windows.scaling, window=windows.window, dtype=torch.float64,
        min_eccentricity_deg=windows.min_eccentricity_deg, n_rings=windows.n_rings, n_wedges=windows.n_wedges,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [0.3, 0.5, 0.7])
def test_luminance_metamers(photo, scaling, tmp_path):
    model = npc.metamers.LuminanceModel(DISPLAY, scaling=scaling)
    metamer = npc.synthesize(
        model, photo, steps=300, optimizer="lbfgs", fixed=1 - model.coverage, n_samples=2, rng=[0, 1]
    )
    exported = []
    for i, image in enumerate(metamer.image):
        save_image(image, tmp_path / f"{i}.png")
        exported.append(torch.from_numpy(read_picture(tmp_path / f"{i}.png")).double())
    save_image(photo, tmp_path / "target.png")
    target = torch.from_numpy(read_picture(tmp_path / "target.png")).double()

    judge = dense(model.windows)
    area = model.windows.ring_spacing * model.windows.wedge_spacing_rad * model.windows.eccentricity_deg**2 * 12**2
    seen = judge.mass.flatten().numpy() > 0.01 * area  # windows with a hundredth of their area on the picture
    wanted = judge.pool(target[None])[..., seen]
    outside = (DISPLAY.eccentricity_deg() > 1.0)[5:-5, 5:-5]
    fovea = 1 - model.coverage > 0.999
    assert int(fovea.sum()) > 20
    for picture in exported:
        errors = ((judge.pool(picture[None])[..., seen] - wanted).abs() / wanted).flatten().numpy()
        assert np.median(errors) < 0.01
        assert np.percentile(errors, 95) < 0.05
        likeness = ssim_map(linear_to_srgb(picture)[None], linear_to_srgb(target)[None], data_range=1.0)
        assert float(likeness.mean((0, 1))[torch.from_numpy(outside)].mean()) < 0.5
        codes = (255 * (linear_to_srgb(picture) - linear_to_srgb(target))).abs()
        assert float(codes[:, fovea].max()) < 1.01
    assert float((exported[0] - exported[1]).square().mean().sqrt()) > 0.05
