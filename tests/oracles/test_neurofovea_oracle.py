"""NeuroFovea against its published rules: masks in closed form, the sequential loop, numbers of the released masks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroperc import Display
from neuroperc.metamers import ConvCodec, FeatureDecoder, NeuroFovea, neurofovea_windows
from neuroperc.metamers.style.networks import PUBLISHED_DECODER, published_encoder
from neuroperc.metamers.style.render import colored_noise
from neuroperc.metamers.style.transfer import transfer

PUBLISHED = Display.from_px_per_deg(512 / 26, resolution_px=(512, 512))


@pytest.mark.parametrize(
    ("scaling", "count", "wedges", "center_deg", "least", "most"),
    [
        (0.25, 377, 50, 2.87, None, 0.729),
        (0.3, 301, 42, 2.47, 0.180, 0.806),
        (0.4, 187, 31, 2.22, None, 0.860),
        (0.5, 126, 25, 2.21, 0.272, 0.908),
        (0.6, 103, 21, 1.80, None, 0.924),
        (0.7, 91, 18, 1.20, None, 0.934),
    ],
)
@pytest.mark.parametrize("px_per_deg", [512 / 26, 19.69])
def test_counts_and_strengths_of_the_released_masks(scaling, count, wedges, center_deg, least, most, px_per_deg):
    display = Display.from_px_per_deg(px_per_deg, resolution_px=(512, 512))
    windows = neurofovea_windows(display, scaling=scaling)
    alpha = np.tanh(1.281 * windows.radius_deg / 2)
    assert (windows.n_windows, windows.n_wedges) == (count, wedges)
    assert windows.eccentricity_deg[1] == pytest.approx(center_deg, abs=0.006)
    assert alpha.max() == pytest.approx(most, abs=6e-4)
    if least is not None:
        assert alpha[1:].min() == pytest.approx(least, abs=6e-4)


def _published_mask(scaling, k, m):
    """Raised cosine of ring k and wedge m on 512 x 512 px, written out from the fit to the released masks."""
    rows, columns = np.mgrid[:512, :512] - 255.5
    spacing, n_wedges = 2 * np.arcsinh(scaling / 2), round(4 * np.pi / scaling)

    def f(x):
        ramp = np.clip((np.abs(x) - 0.25) / 0.5, 0, 1)
        return np.cos(np.pi / 2 * ramp) ** 2

    u = np.log(np.hypot(rows, columns) / 6) / spacing - k
    v = (np.arctan2(rows, columns) + np.pi) / (2 * np.pi / n_wedges) - (m - 0.25)
    return f(u) * f((v + n_wedges / 2) % n_wedges - n_wedges / 2)


@pytest.mark.parametrize(("scaling", "first_ring"), [(0.3, 7), (0.7, 2)])
def test_masks_in_closed_form(scaling, first_ring):
    windows = neurofovea_windows(PUBLISHED, scaling=scaling)
    masks = windows.masks()
    for index in (1, 2, windows.n_wedges // 2, windows.n_wedges + 3, 3 * windows.n_wedges):
        ring, wedge = divmod(index - 1, windows.n_wedges)
        np.testing.assert_allclose(masks[index], _published_mask(scaling, first_ring + ring, wedge), atol=1e-6)


def test_cells_are_an_antialiased_resize_of_the_masks():
    display = Display.from_px_per_deg(10, resolution_px=(128, 160))
    windows = neurofovea_windows(display, scaling=0.5)
    cells = windows.at((16, 20), (8, 8), (3.5, 3.5))
    dense = np.zeros((windows.n_windows, 16 * 20))
    dense[cells.window, cells.cell] = cells.weight
    masks = torch.from_numpy(windows.masks())[:, None]
    resized = functional.interpolate(masks, (16, 20), mode="bilinear", antialias=True)[:, 0]
    np.testing.assert_allclose(dense[1:], resized[1:].flatten(1), atol=2e-6)


def _published_loop(content, noise, masks, alpha):
    """Later windows overwrite earlier ones; standard deviations have N - 1 and an epsilon inside the root."""
    out = torch.zeros_like(content)
    for mask, a in zip(masks, alpha, strict=True):
        c, z = content[:, :, mask], noise[:, :, mask]
        c_sd, z_sd = ((part.var(-1, keepdim=True) + 1e-5).sqrt() for part in (c, z))
        texture = (z - z.mean(-1, keepdim=True)) / z_sd * c_sd + c.mean(-1, keepdim=True)
        out[:, :, mask] = (1 - a) * c + a * texture
    return out


@pytest.mark.parametrize("scaling", [0.4, 0.6])
def test_last_equals_the_published_loop(scaling):
    torch.manual_seed(0)
    display = Display.from_px_per_deg(256 / 26, resolution_px=(256, 256))
    model = NeuroFovea(
        display, scaling=scaling, codec=ConvCodec(nn.AvgPool2d(8), nn.Identity()), assign="last", epsilon=1e-5
    )
    content, noise = (torch.randn(2, 12, 32, 32, dtype=torch.float64).relu() for _ in range(2))
    masks = torch.from_numpy(model.windows.masks()).double()[:, None]
    supports = functional.interpolate(masks, (32, 32), mode="bilinear", antialias=True)[:, 0] > 1e-3
    assert (supports.sum(0) > 1).double().mean() > 0.5  # so that the order matters
    alpha = model.alpha.copy()
    expected = _published_loop(content, noise, supports, alpha)
    (mixed,) = model.mix([content], [noise])
    torch.testing.assert_close(mixed, expected, rtol=1e-9, atol=1e-9)


def test_soft_equals_a_sum_over_windows():
    torch.manual_seed(1)
    display = Display.from_px_per_deg(10, resolution_px=(128, 128))
    windows = neurofovea_windows(display, scaling=0.5)
    cells = windows.at((16, 16), (8, 8), (3.5, 3.5))
    alpha = torch.from_numpy(np.tanh(windows.radius_deg))
    content, noise = (torch.randn(256, 5, dtype=torch.float64) for _ in range(2))
    dense = torch.zeros(windows.n_windows, 256, dtype=torch.float64)
    dense[cells.window, cells.cell] = cells.weight
    dense[0] = 1 - dense.sum(0)
    expected = torch.zeros_like(content)
    for window, a in zip(dense, alpha, strict=True):
        w = window[:, None] / window.sum()
        mean, other = (w * content).sum(0), (w * noise).sum(0)
        sd, other_sd = (w * (content - mean) ** 2).sum(0).sqrt(), (w * (noise - other) ** 2).sum(0).sqrt()
        texture = (noise - other) / other_sd * sd + mean
        expected += window[:, None] * ((1 - a) * content + a * texture)
    torch.testing.assert_close(transfer(content, noise, cells, cells, alpha), expected, rtol=1e-9, atol=1e-9)


def test_colored_noise_has_the_colours_of_the_picture():
    picture = torch.rand(2, 3, 40, 50, dtype=torch.float64)
    picture[:, 1] = 0.7 * picture[:, 0] + 0.3 * picture[:, 1]
    noise = colored_noise(picture, rng=3)
    for one, other in zip(picture.flatten(2), noise.flatten(2), strict=True):
        torch.testing.assert_close(other.mean(1), one.mean(1), rtol=0, atol=1e-12)
        torch.testing.assert_close(torch.cov(other), torch.cov(one), rtol=0, atol=1e-12)
    assert (
        abs(float(torch.corrcoef(torch.stack((noise[0, 0, :, 1:].flatten(), noise[0, 0, :, :-1].flatten())))[0, 1]))
        < 0.1
    )


def test_networks_are_those_of_the_published_files():
    """Counts of parameters and numbers of the layers with parameters, as in the released state dicts."""
    encoder, decoder = published_encoder(), FeatureDecoder(PUBLISHED_DECODER).layers
    assert sum(p.numel() for p in encoder.parameters()) == 3_505_740
    assert sum(p.numel() for p in decoder.parameters()) == 3_505_219
    numbers = [[int(key.split(".")[0]) for key in net.state_dict() if "bias" in key] for net in (encoder, decoder)]
    assert numbers == [[0, 2, 5, 9, 12, 16, 19, 22, 25, 29], [1, 5, 8, 11, 14, 18, 21, 25, 28]]
    assert encoder(torch.rand(1, 3, 64, 48)).shape == (1, 512, 8, 6)
    assert decoder(torch.rand(1, 512, 4, 3)).shape == (1, 3, 32, 24)


def test_published_networks_reflect_at_their_edges():
    """So that a uniform picture has uniform features, and those a uniform picture: zeros at the edges would show."""
    torch.manual_seed(0)
    with torch.no_grad():
        features = published_encoder()(torch.full((1, 3, 64, 64), 0.4))
        codes = FeatureDecoder(PUBLISHED_DECODER)(features)
    for x in (features, codes):
        torch.testing.assert_close(x, x[..., :1, :1].expand_as(x), rtol=1e-4, atol=1e-6)
