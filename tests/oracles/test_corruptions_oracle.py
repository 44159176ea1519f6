"""Every corruption against its closed form or an independent library."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from skimage.color import hsv2rgb, rgb2hsv

from neuroperc.encoding.corruptions import SEVERITIES, corrupt
from neuroperc.encoding.corruptions import _sampling as sampling
from neuroperc.encoding.corruptions import noise_and_blur as first
from neuroperc.encoding.corruptions import weather_and_digital as second


def rngs(n=1, seed=0):
    return [np.random.default_rng([seed, k]) for k in range(n)]


def ramp(n=32, m=32):
    """Rises by 1 a row and by 100 a column: every position can be read off."""
    return (np.arange(n)[:, None] + 100.0 * np.arange(m)).astype(np.float32)[None, None]


@pytest.fixture(scope="module")
def photograph():
    rng = np.random.default_rng(1)
    smooth = sampling.gaussian(rng.uniform(size=(2, 3, 48, 48)).astype(np.float32), 2.0)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


@pytest.mark.parametrize("severity", [1, 3])
def test_gaussian_noise_has_the_published_sd(severity):
    grey = torch.full((4, 3, 64, 64), 0.5)
    found = corrupt(grey, "gaussian_noise", severity, rng=0) - 0.5
    sd = (0.08, 0.12, 0.18)[severity - 1]
    # clipping at ±0.5 takes almost nothing from these two
    assert found.std().item() == pytest.approx(sd, rel=0.02)
    assert abs(found.mean().item()) < 4 * sd / np.sqrt(found.numel())


def test_shot_noise_has_the_variance_of_photons():
    x = np.full((1, 3, 100, 100), 0.3, np.float32)
    found = first.shot_noise(x, 60, rngs())
    assert found.var() == pytest.approx(0.3 / 60, rel=0.04)
    np.testing.assert_allclose(found * 60, np.rint(found * 60), atol=1e-4)


def test_impulse_noise_sets_half_to_black_and_half_to_white():
    found = first.impulse_noise(np.full((1, 3, 200, 200), 0.5, np.float32), 0.17, rngs())
    black, white = int((found == 0).sum()), int((found == 1).sum())
    for count in (black, white):
        assert stats.binomtest(count, found.size, 0.085).pvalue > 1e-4
    assert black + white + int((found == 0.5).sum()) == found.size


@pytest.mark.parametrize(("radius", "edge_sd"), SEVERITIES["imagenet"]["defocus_blur"])
def test_defocus_is_opencvs_filtering_with_the_disk(radius, edge_sd, photograph):
    import cv2

    side, taps = (8, 3) if radius <= 8 else (radius, 5)
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    disk = cv2.GaussianBlur(np.pad(disk / disk.sum(), 2), (taps, taps), edge_sd, borderType=cv2.BORDER_CONSTANT)
    expected = np.stack([cv2.filter2D(channel, -1, disk) for channel in photograph[0]])
    np.testing.assert_allclose(first.defocus_blur(photograph, (radius, edge_sd), rngs())[0], expected, atol=2e-6)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_glass_swaps_are_those_of_the_loop_over_pixels(reach):
    x = np.random.default_rng(0).uniform(size=(3, 2, 17, 23)).astype(np.float32)
    steps = first.neighbours((17, 23), reach, rngs(3))
    expected = x.copy()
    for picture, step in zip(expected, steps, strict=True):
        for h in range(17 - reach, reach, -1):
            for w in range(23 - reach, reach, -1):
                other = (h + step[0, h, w], w + step[1, h, w])
                kept = picture[:, h, w].copy()
                picture[:, h, w] = picture[:, other[0], other[1]]
                picture[:, other[0], other[1]] = kept
    found = first.shuffled(x, steps, reach)
    assert np.array_equal(found, expected)
    assert np.array_equal(np.sort(found.reshape(3, 2, -1)), np.sort(x.reshape(3, 2, -1)))


@pytest.mark.parametrize(("angle_deg", "step"), [(0, (0, 1)), (90, (1, 0)), (45, (1, 1)), (-90, (-1, 0))])
def test_smear_of_a_point_is_half_a_gaussian_along_the_line(angle_deg, step):
    x = np.zeros((1, 1, 41, 41), np.float32)
    x[0, 0, 20, 20] = 1
    found = sampling.smear(x, np.array([angle_deg]), radius=5, sd=2.5)[0, 0]
    if abs(angle_deg) == 45:  # several taps round to one pixel
        line = np.diag(found)
        assert found.sum() == pytest.approx(line.sum())
    else:
        taps = np.exp(-(np.arange(11) ** 2) / (2 * 2.5**2))
        line = [found[20 - i * step[0], 20 - i * step[1]] for i in range(11)]
        np.testing.assert_allclose(line, taps / taps.sum(), rtol=1e-5)
    assert found.sum() == pytest.approx(1, rel=1e-5)


def test_zoom_reads_positions_about_the_centre():
    x = ramp()
    center = x[..., 15:17, 15:17].mean()
    np.testing.assert_allclose(sampling.zoomed(x, 1.25), center + (x - center) / 1.25, rtol=1e-5)
    factors = np.arange(1, 1.11, 0.01)
    expected = center + (x - center) * (1 + (1 / factors).sum()) / (1 + len(factors))
    np.testing.assert_allclose(first.zoom_blur(x, (1.11, 0.01), rngs()), expected, rtol=1e-5)


def test_snow_without_flakes_pales_as_published():
    x = np.random.default_rng(0).uniform(size=(1, 3, 16, 16)).astype(np.float32)
    grey = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    expected = 0.7 * x + 0.3 * np.maximum(x, 1.5 * grey + 0.5)
    np.testing.assert_allclose(second.snow(x, (0.1, 0.3, 3, 9.0, 10, 4, 0.7), rngs()), expected, rtol=1e-5)


def test_flakes_are_noise_above_the_threshold_and_symmetric_under_half_a_turn():
    black = np.zeros((1, 1, 64, 64), np.float32)
    found = second.snow(black, (0.1, 0.3, 1, 0.5, 0, 1, 1.0), rngs())  # no zoom, no smear, no paling
    np.testing.assert_allclose(found, found[:, :, ::-1, ::-1])
    share = stats.norm.sf(0.5, 0.1, 0.3)
    lit = 1 - (1 - share) ** 2  # of the layer or of its turned copy
    assert (found > 0).mean() == pytest.approx(lit, abs=4 * np.sqrt(lit / 2048))


def test_frost_is_a_mixture():
    """The same ice over black and over white: the difference is the published share of the picture."""
    black, white = np.zeros((1, 3, 32, 32), np.float32), np.ones((1, 3, 32, 32), np.float32)
    ice = second.frost(black, (0.8, 0.6), rngs())
    np.testing.assert_allclose(second.frost(white, (0.8, 0.6), rngs()) - ice, 0.8, rtol=1e-5)
    assert ice.min() >= 0.6 * 0.2 * 0.85 - 1e-6 and ice.max() <= 0.6 + 1e-6


def test_fog_is_clouds_scaled_to_the_pictures_maximum():
    x = np.full((1, 1, 64, 64), 0.5, np.float32)
    clouds = sampling.plasma(rngs(), (64, 64), 2.0)
    assert clouds.min() == 0 and clouds.max() == 1
    np.testing.assert_allclose(second.fog(x, (1.5, 2.0), rngs())[:, 0], (0.5 + 1.5 * clouds) * 0.25, rtol=1e-5)


def test_clouds_are_the_midpoint_displacement_of_the_corners():
    """With 4 px: corner, centre, edges, written out from the recursion."""
    draws = np.random.default_rng([0, 0])
    u = [draws.uniform(-1, 1, (1, 1)).astype(np.float32) for _ in range(3)]
    center, over, beside = u[0][0, 0], u[1][0, 0], u[2][0, 0]
    coarse = np.array([[0, center / 2 + over], [center / 2 + beside, center]])  # means of two corners (0), two centres
    v = [draws.uniform(-1, 1, (2, 2)).astype(np.float32) for _ in range(3)]
    mean = (coarse + np.roll(coarse, -1, 0) + np.roll(coarse, -1, 1) + np.roll(coarse, (-1, -1), (0, 1))) / 4
    middle = mean + v[0] / 9
    expected = np.zeros((4, 4))
    expected[::2, ::2], expected[1::2, 1::2] = coarse, middle
    expected[::2, 1::2] = (coarse + np.roll(coarse, -1, 1) + middle + np.roll(middle, 1, 0)) / 4 + v[1] / 9
    expected[1::2, ::2] = (coarse + np.roll(coarse, -1, 0) + middle + np.roll(middle, 1, 1)) / 4 + v[2] / 9
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(sampling.plasma(rngs(), (4, 4), 3.0)[0], expected, atol=1e-5)


def test_brightness_is_scikit_images_hsv(photograph):
    x = photograph.astype(np.float64)
    x[0, :, 0, 0] = 0
    hsv = rgb2hsv(np.moveaxis(x, 1, -1))
    hsv[..., 2] = np.clip(hsv[..., 2] + 0.3, 0, 1)
    np.testing.assert_allclose(second.brightness(x, 0.3, rngs()), np.moveaxis(hsv2rgb(hsv), -1, 1), atol=1e-6)


def test_contrast_keeps_each_channels_mean_and_scales_its_sd(photograph):
    found = second.contrast(photograph, 0.3, rngs())
    np.testing.assert_allclose(found.mean((2, 3)), photograph.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.std((2, 3)), 0.3 * photograph.std((2, 3)), rtol=1e-4)


def test_elastic_without_shifts_is_one_affine_map_of_the_drawn_points():
    x = ramp(48, 48)
    found = second.elastic(x, (0.0, 0.0, 2.0), rngs())[0, 0]
    points = 24 + 16 * np.array([(1, 1), (1, -1), (-1, -1)])
    draws = np.random.default_rng([0, 0])
    draws.uniform(-1, 1, (2, 48, 48))
    moved = points + draws.uniform(-2, 2, (3, 2))
    # What stood at a point now stands where the point moved to.
    for (y, z), (v, w) in zip(points, moved, strict=True):
        i, j = int(v), int(w)
        a, b = v - i, w - j
        read = (found[i, j] * (1 - a) * (1 - b) + found[i + 1, j] * a * (1 - b) + found[i, j + 1] * (1 - a) * b
                + found[i + 1, j + 1] * a * b)  # fmt: skip
        assert read == pytest.approx(y + 100 * z, rel=1e-4)


def test_elastic_shifts_are_smoothed_noise():
    """Without the affine part two ramps show the shifts themselves; their SD is that of a filtered uniform."""
    x = np.mgrid[:128, :128].astype(np.float32)[None]
    shift = (second.elastic(x, (12.2, 2.44, 0.0), rngs()) - x)[0, :, 16:-16, 16:-16]
    taps = np.exp(-(np.arange(-7, 8) ** 2) / (2 * 2.44**2))
    sd = 12.2 * np.sqrt(1 / 3) * ((taps / taps.sum()) ** 2).sum()
    # about 120 independent patches: 95 % of SDs lie within 13 %
    np.testing.assert_allclose(shift.std((1, 2)), sd, rtol=0.13)
    assert abs(np.corrcoef(shift[0].ravel(), shift[1].ravel())[0, 1]) < 0.3


def test_pixelate_is_pillows_box_where_blocks_are_whole(photograph):
    def box(channel):  # floats: 8-bit pictures would be rounded twice
        image = Image.fromarray(channel)
        return np.asarray(image.resize((24, 24), Image.Resampling.BOX).resize((48, 48), Image.Resampling.BOX))

    found = second.pixelate(photograph, 0.5, rngs(2))[0]
    np.testing.assert_allclose(found, np.stack([box(channel) for channel in photograph[0]]), atol=1e-6)
    blocks = found.reshape(3, 24, 2, 24, 2)
    assert np.ptp(blocks, axis=(2, 4)).max() == 0


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_pixels_that_are_cut_count_by_their_share(share):
    weights = sampling.area_matrix(48, int(48 * share))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(0), int(48 * share) / 48, atol=1e-5)


def test_jpeg_is_pillows_default_file(photograph):
    codes = np.rint(photograph[0] * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(codes.transpose(1, 2, 0)).save(stream, "JPEG", quality=15)
    expected = np.asarray(Image.open(stream)).transpose(2, 0, 1)
    found = second.jpeg(codes[None] / np.float32(255), 15, rngs())[0]
    np.testing.assert_array_equal(np.rint(255 * found), expected)
