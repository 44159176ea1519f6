"""NeuroFovea's arguments, files and failures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import neuroperc as npc
from neuroperc import Display
from neuroperc.metamers import (
    ConvCodec,
    FeatureDecoder,
    NeuroFovea,
    PyramidCodec,
    fit_texture_strength,
    neurofovea_codec,
    neurofovea_windows,
    ring_ssim,
    texture_strength,
    vgg16_codec,
)
from neuroperc.metamers.style.codecs import DECODER
from neuroperc.metamers.style.networks import PUBLISHED_DECODER, published_encoder

SMALL = Display.from_px_per_deg(6, resolution_px=(96, 96))
VGG = "weights/vgg16_imagenet_convs_rgb_fp16.pt"


@pytest.fixture(scope="module")
def model():
    return NeuroFovea(SMALL, scaling=0.5, cell_deg=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scaling": -1}, r"scaling must be a finite number above 0, got -1\. Published values"),
        ({"scaling": float("nan")}, "scaling must be a finite number above 0, got nan"),
        ({"scaling": 30}, "scaling must be small enough for 2 wedges"),
        ({"scaling": 0.05}, "scaling must be large enough for windows of 1.75 cells.*Raise it"),
        ({"fixation_deg": (40, 0)}, "fixation_deg must be on the screen"),
        ({"fixation_deg": (0, float("inf"))}, "fixation_deg must be finite"),
        ({"fixation_deg": ((0, 0), (1, 1))}, "fixation_deg must be two numbers"),
        ({"cell_deg": 0}, "cell_deg must be a finite number above 0, got 0"),
        ({"min_eccentricity_deg": -0.1}, "min_eccentricity_deg must be"),
    ],
)
def test_windows_refuse(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        neurofovea_windows(SMALL, **({"scaling": 0.5} | change))


def test_windows_refuse_what_is_no_display():
    with pytest.raises(TypeError, match=r"display must be a Display, got \(96, 96\)"):
        neurofovea_windows((96, 96), scaling=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"assign": "first"}, "assign must be one of 'soft', 'last', got first"),
        ({"epsilon": -1}, "epsilon must be"),
        ({"d": 0}, "d must be a finite number above 0, got 0"),
    ],
)
def test_renderer_refuses_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        NeuroFovea(SMALL, scaling=0.5, **change)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (
            torch.zeros(1, 3, 96, 96, dtype=torch.uint8),
            r"x must be a floating torch.Tensor, got torch.uint8\. Use linear",
        ),
        (np.zeros((1, 3, 96, 96)), "x must be a floating torch.Tensor"),
        (torch.zeros(1, 96, 96, 3), r"x must be \(b, 1 or 3, 96, 96\), got \(1, 96, 96, 3\)\. Give the Display"),
        (torch.zeros(3, 96, 96), r"x must be \(b, 1 or 3, 96, 96\)"),
        (torch.zeros(0, 3, 96, 96), r"x must be \(b, 1 or 3, 96, 96\)"),
        (torch.full((1, 3, 96, 96), float("nan")), "x must be finite, got 27648 NaN"),
    ],
)
def test_renderer_refuses_pictures(model, picture, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model(picture, rng=0)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [(1.2, "alpha must be from 0"), (-0.1, "alpha must be from 0"), (float("nan"), "alpha must be from 0"),
     ([0.1, 0.2], "alpha must be one number or")],
)  # fmt: skip
def test_renderer_refuses_strengths(model, alpha, message):
    with pytest.raises(ValueError, match=message):
        model(torch.rand(1, 1, 96, 96), rng=0, alpha=alpha)


def test_noise_needs_a_seed(model):
    with pytest.raises(TypeError, match="rng must be an int or a numpy"):
        model(torch.rand(1, 1, 96, 96), rng=None)


def test_a_strength_a_window(model):
    picture = torch.rand(1, 3, 96, 96)
    assert torch.equal(model(picture, rng=0, alpha=model.alpha), model(picture, rng=0))
    only = np.zeros(model.windows.n_windows)
    only[5] = 1
    changed = (model(picture, rng=0, alpha=only) - picture).abs().amax((0, 1)).numpy()
    mask = model.windows.masks()[5]
    assert changed[mask > 0.9].mean() > 20 * changed[(mask == 0)].mean()


def test_strength_of_large_and_small_windows():
    np.testing.assert_allclose(texture_strength([0, 1e-3, 100], d=2.0), [0, 1e-3, 1], rtol=1e-6)


def test_display_must_hold_whole_cells():
    display = Display.from_px_per_deg(6, resolution_px=(90, 96))
    with pytest.raises(ValueError, match=r"display must be of sides divisible by 8 px.*got \(90, 96\)\. Crop or pad"):
        NeuroFovea(display, scaling=0.5, codec=ConvCodec(nn.AvgPool2d(8), nn.Upsample(scale_factor=8)))


def test_pyramid_refuses_no_scales():
    with pytest.raises(ValueError, match="n_scales must be a whole number of at least 1, got 0"):
        PyramidCodec(0)


def test_refinement_is_run_on_codes(model):
    seen = []

    def refine(codes):
        seen.append(codes)
        return codes * 0 + 0.5

    refined = NeuroFovea(SMALL, scaling=0.5, cell_deg=0.5, refine=refine)
    picture = torch.rand(1, 3, 96, 96)
    out = refined(picture, rng=0)
    torch.testing.assert_close(out, torch.full_like(out, ((0.5 + 0.055) / 1.055) ** 2.4))
    torch.testing.assert_close(npc.color.srgb_to_linear(seen[0].clamp(0, 1)), model(picture, rng=0))


def test_single_and_double_precision_agree(model):
    picture = torch.rand(1, 1, 96, 96)
    double = model(picture.double(), rng=0)
    assert double.dtype == torch.float64
    torch.testing.assert_close(model(picture, rng=0).double(), double, rtol=0, atol=1e-4)


def _published_files(folder: Path) -> tuple[Path, Path, nn.Module, nn.Module]:
    """Write state dicts of the published layout: a VGG that goes on to relu5_4, and its decoder."""
    torch.manual_seed(0)
    encoder, decoder = published_encoder(), FeatureDecoder(PUBLISHED_DECODER)
    beyond = {f"{n}.{kind}": torch.zeros(1) for n in (32, 35, 38, 42, 45, 48, 51) for kind in ("weight", "bias")}
    vgg, back = folder / "vgg_normalised.pth", folder / "decoder-content-similar.pth"
    torch.save(encoder.state_dict() | beyond, vgg)
    torch.save(decoder.layers.state_dict(), back)
    return vgg, back, encoder, decoder


def test_published_files_are_read(tmp_path):
    vgg, back, encoder, decoder = _published_files(tmp_path)
    codec = neurofovea_codec(vgg, back)
    codes = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (features,) = codec.encode(codes)
        torch.testing.assert_close(features, encoder(codes), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(codec.decode([features]), decoder(features), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        shown = NeuroFovea(SMALL, scaling=0.5, cell_deg=0.5, codec=codec)(torch.rand(1, 3, 96, 96), rng=0)
    assert bool(shown.isfinite().all())


def test_damaged_and_wrong_files_are_named(tmp_path):
    vgg, back, *_ = _published_files(tmp_path)
    with pytest.raises(ValueError, match=r"weights must be an existing file.*nothing\.pth"):
        neurofovea_codec(tmp_path / "nothing.pth", back)
    with pytest.raises(
        ValueError, match=r"made for this network, got .*vgg_normalised\.pth with .*missing \(1\.weight"
    ):
        neurofovea_codec(vgg, vgg)
    with pytest.raises(ValueError, match=r"made for this network, got .*decoder-content-similar\.pth with .*missing"):
        neurofovea_codec(back, back)
    whole = back.read_bytes()
    back.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"readable .*decoder-content-similar\.pth.*truncated"):
        neurofovea_codec(vgg, back)
    back.write_text("not a state dict")
    with pytest.raises(ValueError, match="weights must be"):
        neurofovea_codec(vgg, back)


def test_a_decoder_of_another_width_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(FeatureDecoder((512, 8, "up", "up", "up", 3)).state_dict(), path)
    with pytest.raises(ValueError, match=r"made for this network, got .*other\.safetensors"):
        vgg16_codec(None, decoder=path)


def test_random_networks_follow_their_seed():
    codes = torch.rand(1, 3, 32, 32)
    one, same, other = (vgg16_codec(None, decoder=None, random_state=k) for k in (0, 0, 1))
    with torch.no_grad():
        assert torch.equal(one.decode(one.encode(codes)), same.decode(same.encode(codes)))
        assert not torch.equal(one.encode(codes)[0], other.encode(codes)[0])


def test_rings_of_other_pictures_are_refused(model):
    picture = torch.rand(1, 3, 96, 96)
    with pytest.raises(ValueError, match=r"x and reference must be both \(b, c, 96, 96\)"):
        ring_ssim(picture, picture[..., :90], model.windows)


@pytest.mark.parametrize(
    ("target", "message"),
    [([0.5], r"target_ssim must be \(\d,\), a number a ring, got \(1,\)"), ("nan", "target_ssim must be finite"),
     ("high", r"target_ssim must be within reach in a ring")],
)  # fmt: skip
def test_targets_that_no_strength_reaches(model, target, message):
    n_rings = len(model.windows.ring_masks())
    filled = {"nan": np.full(n_rings, np.nan), "high": np.full(n_rings, -0.9)}
    with pytest.raises(ValueError, match=message):
        fit_texture_strength(
            model, torch.rand(1, 1, 96, 96), filled[target] if isinstance(target, str) else target, rng=0, n_levels=3
        )


def test_packaged_decoder_and_its_side_file():
    state = npc.nets.checkpoints.read_state_dict(DECODER)
    assert DECODER.stat().st_size <= 5e6
    assert all(value.dtype == torch.float16 for value in state.values())
    side = json.loads(DECODER.with_suffix(".json").read_text())
    assert side["seed"] == 0
    assert side["held_out_psnr_db"]["mean"] > 15
    assert {picture["licence"] for picture in side["training_pictures"]} <= {
        "public domain", "CC0 1.0", "CC BY 2.0", "CC BY 3.0", "no known copyright restrictions",
    }  # fmt: skip
    assert vgg16_codec(None).decoder.scale > 1


@pytest.mark.slow
def test_packaged_decoder_decodes_photographs(data_dir):
    display = Display.from_px_per_deg(10, resolution_px=(256, 256))
    picture = npc.data.sample_image("china", display)[0][None]
    codec = vgg16_codec(data_dir / VGG)
    model = NeuroFovea(display, scaling=0.5, codec=codec)
    with torch.no_grad():
        decoded = model.reference(picture)
    codes = [npc.color.linear_to_srgb(p.double()) for p in (picture, decoded)]
    stated = json.loads(DECODER.with_suffix(".json").read_text())["held_out_psnr_db"]["china"]
    assert float(npc.metrics.psnr(codes[1], codes[0], data_range=1.0)) == pytest.approx(stated, abs=1.0)
