"""TextureModel over the whole picture against plenoptic's PortillaSimoncelli, group by group, in float64."""

import itertools

import numpy as np
import plenoptic
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import TextureModel

PICTURES = ("einstein", "curie", "reptile_skin", "parrot")
GRID = list(itertools.product((2, 3, 4), (2, 3, 4), (3, 5, 7, 9)))
RAW = {"pixel_statistics": 1, "var_highpass_residual": 1}


def picture(name):
    """The parrot is 254 x 266, which plenoptic's model refuses: its middle."""
    image = getattr(plenoptic.data, name)().double()
    return image[..., 7:247, 5:261] if name == "parrot" else image


def models(shape, n_scales, n_orientations, width):
    ours = TextureModel(
        Display.from_px_per_deg(10, resolution_px=shape), n_scales=n_scales, n_orientations=n_orientations,
        neighborhood_px=width, weights=RAW,
    )  # fmt: skip
    peer = plenoptic.models.PortillaSimoncelli(
        shape, n_scales=n_scales, n_orientations=n_orientations, spatial_corr_width=width
    ).double()
    return ours, peer


def compare(image, n_scales, n_orientations, width):
    ours, peer = models(tuple(image.shape[-2:]), n_scales, n_orientations, width)
    expected = peer(image)
    groups = peer.convert_to_dict(expected)
    found = ours.statistics(image)
    assert list(found) == list(groups)
    for name, values in groups.items():
        assert found[name].shape == values.shape, name
        told = ~values.isnan()  # what plenoptic leaves out as redundant
        torch.testing.assert_close(
            found[name][told], values[told], rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
    torch.testing.assert_close(ours(image), expected.flatten(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PICTURES)
def test_every_group_equals_plenoptics(name):
    compare(picture(name), 4, 4, 7)


@pytest.mark.parametrize(("n_scales", "n_orientations", "width"), [(2, 3, 9), (3, 2, 3), (4, 3, 5)])
def test_other_sizes_equal_plenoptics(n_scales, n_orientations, width):
    compare(picture("reptile_skin")[..., :128, :192], n_scales, n_orientations, width)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(("n_scales", "n_orientations", "width"), GRID)
def test_the_whole_grid_equals_plenoptics(name, n_scales, n_orientations, width):
    compare(picture(name), n_scales, n_orientations, width)


def test_channels_and_batches_are_plenoptics_channels_and_batches():
    """Three channels: plenoptic takes them one by one; ours adds what is between them, after them."""
    image = torch.cat([picture(name)[..., :128, :128] for name in ("einstein", "curie", "reptile_skin")], 1)
    image = torch.cat((image, image.flip(-1)))
    ours, peer = models((128, 128), 3, 4, 5)
    expected = peer(image).flatten(1)
    torch.testing.assert_close(ours(image)[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-4)


def test_slopes_equal_plenoptics():
    image = picture("curie")[..., :64, :64]
    ours, peer = models((64, 64), 2, 4, 5)
    direction = torch.from_numpy(np.random.default_rng(0).standard_normal(peer(image).shape))
    slopes = []
    for model in (ours, peer):
        x = image.clone().requires_grad_()
        slopes.append(torch.autograd.grad((model(x).flatten() * direction.flatten()).sum(), x)[0])
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-4 * float(slopes[1].abs().max()))


def test_finite_where_plenoptic_gives_nan():
    """A square wave: bands that hold nothing (plenoptic issue 385). What does not divide by them is the same."""
    wave = torch.zeros(1, 1, 256, 256, dtype=torch.float64)
    wave[..., torch.arange(256) % 32 < 16] = 1
    ours, peer = models((256, 256), 4, 4, 7)
    expected = peer(wave)
    assert expected.isnan().any()
    groups = peer.convert_to_dict(expected)
    wave.requires_grad_()
    found = ours(wave)
    assert found.isfinite().all()
    assert torch.autograd.grad(found.square().sum(), wave)[0].isfinite().all()
    for name in ("pixel_statistics", "std_reconstructed", "magnitude_std", "var_highpass_residual"):
        torch.testing.assert_close(ours.statistics(wave.detach())[name], groups[name], rtol=1e-4, atol=1e-4)
