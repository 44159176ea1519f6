"""Metamers judged by another path: dense windows on the exported, decoded 8-bit pictures."""

import sys
from pathlib import Path

import numpy as np
import plenoptic
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


def dense(windows, stride_px=1):
    """Windows as dense maps at every `stride_px`-th pixel."""
    points = windows.display.pixels_deg()[::stride_px, ::stride_px]
    eccentricity, angle = windows.display.polar(windows.fixation_deg, points)
    return DensePooling(
        eccentricity, angle, scaling=windows.scaling, window=windows.window, dtype=torch.float64,
        min_eccentricity_deg=windows.min_eccentricity_deg, n_rings=windows.n_rings, n_wedges=windows.n_wedges,
    )  # fmt: skip


def on_picture(windows, judge, stride_px=1):
    """Which windows have more than a hundredth of their area on the picture."""
    density = (windows.display.px_per_deg / stride_px) ** 2
    area = windows.ring_spacing * windows.wedge_spacing_rad * windows.eccentricity_deg**2 * density
    return judge.mass.flatten().numpy() > 0.01 * area


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
    seen = on_picture(model.windows, judge)
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


@pytest.mark.slow
def test_energy_metamers(photo, tmp_path):
    """Judged by plenoptic's pyramid and dense windows at the samples of each band."""
    display = npc.Display.from_px_per_deg(10, resolution_px=(128, 192))
    gray = photo.mean(0, keepdim=True)
    save_image(gray[:, 16:144, 24:216], tmp_path / "target.png")
    target = torch.from_numpy(read_picture(tmp_path / "target.png"))[:1]
    model = npc.metamers.EnergyModel(display, scaling=0.5, n_scales=4)
    corners = [(i, j) for i in (0, 16, 32) for j in (0, 24, 48)]
    model = model.fit_normalization(torch.stack([gray[:, i : i + 128, j : j + 192] for i, j in corners]))
    metamer = npc.synthesize(
        model, target, steps=2000, optimizer="lbfgs", stages="together", stage_tolerance=1e-3, balance=True,
        fixed=1 - model.coverage, rng=0,
    )  # fmt: skip
    save_image(metamer.image, tmp_path / "metamer.png")
    exported = torch.from_numpy(read_picture(tmp_path / "metamer.png"))[:1]

    pyramid = plenoptic.process.SteerablePyramidFreq((128, 192), height=4, order=3, is_complex=True, downsample=True)
    maps = [[x[None].double(), *band_energies(pyramid.double()(x[None].double()))] for x in (exported, target)]
    errors = []
    for got, wanted in zip(*maps, strict=True):
        stride = 128 // got.shape[-2]
        judge = dense(model.windows, stride)
        seen = on_picture(model.windows, judge, stride)
        got, wanted = judge.pool(got)[..., seen], judge.pool(wanted)[..., seen]
        errors.append(((got - wanted).abs() / wanted).flatten().numpy())
    together = np.concatenate(errors)
    assert np.median(together) < 0.01
    assert np.percentile(together, 95) < 0.05
    likeness = ssim_map(linear_to_srgb(exported)[None].double(), linear_to_srgb(target)[None].double(), data_range=1.0)
    outside = torch.from_numpy((display.eccentricity_deg() > 1.0)[5:-5, 5:-5])
    assert float(likeness[0, 0][outside].mean()) < 0.5


def band_energies(coefficients):
    return [coefficients[scale].abs().square().flatten(1, 2) for scale in range(4)]


@pytest.mark.slow
def test_texture_metamers(tmp_path):
    """One set of statistics for the whole picture, judged by plenoptic."""
    display = npc.Display.from_px_per_deg(10, resolution_px=(128, 128))
    save_image(plenoptic.data.reptile_skin()[0, :, 64:192, 64:192], tmp_path / "target.png")
    target = torch.from_numpy(read_picture(tmp_path / "target.png"))[:1]
    model = npc.metamers.TextureModel(display, n_scales=3)
    metamer = npc.synthesize(model, target, steps=500, optimizer="lbfgs", balance=True, n_samples=2, rng=[0, 1])
    judge = plenoptic.models.PortillaSimoncelli((128, 128), n_scales=3).double()
    wanted = judge(target[None].double())
    exported = []
    for i, image in enumerate(metamer.image):
        save_image(image, tmp_path / f"{i}.png")
        exported.append(torch.from_numpy(read_picture(tmp_path / f"{i}.png"))[:1].double())
        errors = ((judge(exported[i][None]) - wanted).abs() / wanted.abs()).flatten()
        assert float(errors.median()) < 0.01
        assert float(errors.quantile(0.95)) < 0.05
        codes = [linear_to_srgb(x)[None] for x in (exported[i], target.double())]
        assert float(ssim_map(*codes, data_range=1.0).mean()) < 0.5
    assert float((exported[0] - exported[1]).square().mean().sqrt()) > 0.05
