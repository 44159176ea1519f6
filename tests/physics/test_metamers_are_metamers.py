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
from baselines.dense_texture import DenseWindows, dense_texture

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


@pytest.mark.slow
def test_foveated_texture_metamers(tmp_path):
    """Errors are relative, but for correlations and skew, which are 0 where nothing is aligned: theirs are absolute.

    There are fewer statistics than pixels: with more, a search finds the photograph itself again. The crop has texture
    everywhere, because plain sky is alike in any two pictures.
    """
    display = npc.Display.from_px_per_deg(32, resolution_px=(256, 256))
    grey = npc.data.sample_image("china")[0].mean(0, keepdim=True)
    save_image(grey[:, 168:424, 80:336], tmp_path / "target.png")
    target = torch.from_numpy(read_picture(tmp_path / "target.png"))[:1]
    model = npc.metamers.TextureModel(display, scaling=0.7, n_scales=3, neighborhood_px=3)
    assert model(target[None]).numel() < target.numel()
    settings = {"balance": True, "fixed": 1 - model.coverage, "rng": 0}
    near = npc.synthesize(
        model, target, steps=800, optimizer="lbfgs", stages="together", stage_tolerance=1e-3, **settings
    )
    metamer = npc.synthesize(
        model, target, steps=600, optimizer="adam", learning_rate=0.003, init=near.image, **settings
    )
    save_image(metamer.image, tmp_path / "metamer.png")
    exported = torch.from_numpy(read_picture(tmp_path / "metamer.png"))[:1]

    windows = DenseWindows(model.windows, display.resolution_px, display.px_per_deg)
    sizes = {"n_scales": 3, "n_orientations": 4, "width": 3}
    (got, _), (wanted, masses) = (dense_texture(x[0].double(), windows, **sizes) for x in (exported, target))
    area = windows.layout.ring_spacing * windows.layout.wedge_spacing_rad * windows.layout.eccentricity_deg**2
    seen = np.stack([mass > 0.01 * area * (32 / 2**s) ** 2 for s, mass in enumerate(masses)])
    errors = []
    for name, values in wanted.items():
        by_scale = name not in ("pixel_statistics", "var_highpass_residual")
        here = seen[np.broadcast_to(np.arange(values.shape[-2]) if by_scale else 0, values.shape[:-1])]
        scale = np.ones_like(values) if "correlation" in name or "skew" in name else abs(values)
        if name == "pixel_statistics":
            scale[2] = 1  # skew
        errors.append(abs(got[name] - values)[here] / scale[here])
    together = np.concatenate(errors)
    assert np.isfinite(together).all()
    assert np.median(together) < 0.01
    assert np.percentile(together, 95) < 0.05
    likeness = ssim_map(linear_to_srgb(exported)[None].double(), linear_to_srgb(target)[None].double(), data_range=1.0)
    outside = torch.from_numpy((display.eccentricity_deg() > 1.0)[5:-5, 5:-5])
    assert float(likeness[0, 0][outside].mean()) < 0.5
    fovea = model.coverage < 0.001
    codes = [(linear_to_srgb(x)[0] * 255).round() for x in (exported, target)]
    assert fovea.any() and float((codes[0] - codes[1])[fovea].abs().max()) <= 1
