"""Input systems, matched distortion and test sets against SciPy, scikit-image and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from skimage.metrics import structural_similarity

from neuroperc import Display
from neuroperc.color import linear_to_srgb, srgb_to_linear
from neuroperc.data import sample_image
from neuroperc.metamers import FoveationBlur, UniformBlur, match_distortion, neurofovea_windows
from neuroperc.metamers.emergent import (
    accuracy,
    crossover_area,
    cue_conflict,
    foveal_masks,
    foveal_radii_deg,
    frequency_levels_deg,
    generalization_matrix,
    high_pass,
    low_pass,
    occlude,
    occlusion_masks,
    run_interval,
    structural_distortion,
)

DISPLAY = Display.from_px_per_deg(8, resolution_px=(48, 64))
PUBLISHED = Display.from_px_per_deg(256 / 26, resolution_px=(256, 256))


def pictures(n=3, shape=(48, 64), channels=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((n, channels, *shape)))


def photographs(n, side, seed=0):
    """Random squares of a photograph."""
    light = sample_image("china")[0].double()
    rng = np.random.default_rng(seed)
    corners = zip(rng.integers(0, light.shape[1] - side, n), rng.integers(0, light.shape[2] - side, n), strict=True)
    return torch.stack([light[:, top : top + side, left : left + side] for top, left in corners])


def test_blur_is_scipys_gaussian_filter_of_codes():
    x = pictures()
    widths = np.array([0.0, 0.05, 0.2, 0.5, 1.7])
    ours = linear_to_srgb(low_pass(x, DISPLAY, sigma_deg=widths))
    codes = linear_to_srgb(x).numpy()
    for mine, width in zip(ours, widths, strict=True):
        peer = ndimage.gaussian_filter(codes, (0, 0, 8 * width, 8 * width), mode="nearest", truncate=4.0)
        np.testing.assert_allclose(mine.numpy(), peer, atol=1e-12)
    np.testing.assert_allclose(linear_to_srgb(UniformBlur(DISPLAY, sigma_deg=0.2)(x)), ours[2], atol=1e-12)


def test_foveated_blur_is_the_sum_of_blurs_weighted_by_rings():
    display = Display.from_px_per_deg(4, resolution_px=(64, 64))
    windows = neurofovea_windows(display, scaling=0.5, cell_deg=0.5)
    masks, widths = windows.masks(), 0.1 + 0.2 * np.arange(windows.ring.max() + 1)
    codes = linear_to_srgb(pictures(2, (64, 64))).numpy()
    expected = masks[0] * codes
    for ring, width in enumerate(widths):
        layer = ndimage.gaussian_filter(codes, (0, 0, 4 * width, 4 * width), mode="nearest", truncate=4.0)
        expected = expected + masks[windows.ring == ring].sum(0) * layer
    ours = linear_to_srgb(FoveationBlur(windows, sigma_deg=widths)(srgb_to_linear(torch.from_numpy(codes))))
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)
    assert len(widths) > 2


def test_distortion_is_one_minus_scikit_images_ssim_of_codes():
    x, y = pictures(2), pictures(2, seed=1)
    expected = [
        1 - structural_similarity(a, b, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                  data_range=1.0, full=False)
        for a, b in zip(linear_to_srgb(x).numpy(), linear_to_srgb(y).numpy(), strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(structural_distortion(x, y)[:, 0], expected, atol=1e-10)


def test_distortion_of_regions_is_the_mean_of_scikit_images_map():
    x, y = pictures(1, (32, 40)), pictures(1, (32, 40), seed=1)
    regions = np.zeros((2, 32, 40))
    regions[0, 10:20, 8:30], regions[1, :3] = 1, 0.5
    a, b = (np.pad(linear_to_srgb(v)[0].numpy(), ((0, 0), (5, 5), (5, 5)), mode="reflect") for v in (x, y))
    _, whole = structural_similarity(a, b, channel_axis=0, gaussian_weights=True, sigma=1.5, data_range=1.0,
                                     use_sample_covariance=False, full=True)  # fmt: skip
    whole = whole[:, 5:-5, 5:-5].mean(0)
    expected = [1 - whole[10:20, 8:30].mean(), 1 - whole[:3].mean()]
    np.testing.assert_allclose(structural_distortion(x, y, regions=regions)[0], expected, atol=1e-10)


def test_a_planted_width_is_recovered():
    display = Display.from_px_per_deg(4, resolution_px=(40, 40))
    x = photographs(12, 40)

    def blur(images, width):
        return UniformBlur(display, sigma_deg=float(width[0]))(images)

    found = match_distortion(blur, x, structural_distortion(blur(x, [0.37]), x), bounds=(0, 2.5), rng=0)
    assert found.parameter[0] == pytest.approx(0.37, abs=1e-4)
    assert found.achieved[0] == pytest.approx(found.target[0], abs=1e-4)
    # The planted targets are the family's own, picture by picture: nothing is left for pictures to vary.
    np.testing.assert_allclose(found.difference_interval, 0, atol=1e-4)
    np.testing.assert_allclose(found.parameter_interval, 0.37, atol=2e-3)
    assert found.achieved_interval[0, 0] < found.achieved[0] < found.achieved_interval[0, 1]


def test_planted_widths_of_rings_are_recovered_together():
    display = Display.from_px_per_deg(2, resolution_px=(64, 64))
    windows = neurofovea_windows(display, scaling=0.5, cell_deg=1.0)
    regions, planted = windows.ring_masks(), np.array([0.6, 0.3, 1.1, 0.8, 1.5])

    def blur(images, widths):
        return FoveationBlur(windows, sigma_deg=widths)(images)

    x = photographs(6, 64)
    target = structural_distortion(blur(x, planted), x, regions=regions)
    found = match_distortion(blur, x, target.mean(0), bounds=(0, 4), regions=regions, rng=0, n_resamples=50)
    np.testing.assert_allclose(found.parameter, planted, atol=2e-3)
    np.testing.assert_allclose(found.achieved, target.mean(0), atol=1e-4)
    assert found.reached.all()


@pytest.mark.parametrize("side", [256, 32, 64])
def test_occluded_areas_are_the_published_formula(side):
    z = np.arange(1, 18)
    area = (z - 1) / 16 * side**2  # 16 (z - 1) 256 at 256
    found = {name: occlusion_masks((side, side), name).sum((1, 2)) for name in
             ("scotoma", "glaucoma", "left_to_right", "top_to_bottom")}  # fmt: skip
    patch = [(2 * math.ceil(math.sqrt(a) / 2)) ** 2 for a in area]
    kept = [(2 * math.ceil(math.sqrt(side**2 - a) / 2)) ** 2 for a in area]
    assert found["scotoma"].tolist() == patch
    assert found["glaucoma"].tolist() == [side**2 - k for k in kept]
    assert found["left_to_right"].tolist() == found["top_to_bottom"].tolist() == area.tolist()


def test_occluders_lie_where_they_should():
    masks = {name: occlusion_masks((256, 256), name) for name in ("scotoma", "glaucoma", "left_to_right",
                                                                  "top_to_bottom")}  # fmt: skip
    expected = np.zeros((256, 256), bool)
    expected[64:192, 64:192] = True  # area 16 * 4 * 256 = 128^2
    assert (masks["scotoma"][4] == expected).all()
    assert (masks["glaucoma"][12] == ~expected).all()
    columns = np.arange(256) < 16 * 3
    assert (masks["left_to_right"][3] == columns).all()
    assert (masks["top_to_bottom"][3] == columns[:, None]).all()
    grey = occlude(pictures(2, (256, 256)), masks["scotoma"][4:5])
    assert linear_to_srgb(grey)[0, :, :, 64:192, 64:192].mul(255).round().unique().tolist() == [128]


def test_published_filters_at_the_published_size():
    widths = frequency_levels_deg(PUBLISHED, "low") * PUBLISHED.px_per_deg
    np.testing.assert_allclose(widths, [0, 1, 3, 5, 7, 9, 15, 40])
    small = Display.from_px_per_deg(2, resolution_px=(64, 80))
    np.testing.assert_allclose(frequency_levels_deg(small, "high")[1:], np.array([3, 1.5, 1, 0.7, 0.55, 0.45, 0.4]) / 8)
    np.testing.assert_allclose(frequency_levels_deg(small, "low", keep="pixel"), [0, 0.5, 1.5, 2.5, 3.5, 4.5, 7.5, 20])


def test_high_pass_of_a_grating_has_the_transfer_of_one_minus_a_gaussian():
    display = Display.from_px_per_deg(1, resolution_px=(64, 64))
    cycles, sigma = 8 / 64, 1.2
    wave = np.cos(2 * np.pi * cycles * np.arange(64))
    x = srgb_to_linear(torch.from_numpy(0.6 + 0.2 * np.tile(wave, (64, 1))))[None, None]
    shown = linear_to_srgb(high_pass(x, display, sigma_deg=sigma, mean_code=[0.4]))[0, 0, 0].numpy()
    expected = 0.4 + 0.2 * (1 - np.exp(-2 * (np.pi * cycles * sigma) ** 2)) * wave
    np.testing.assert_allclose(shown[32, 8:-8], expected[8:-8], atol=2e-4)


def test_composites_take_every_pixel_from_one_of_two():
    display = Display.from_px_per_deg(8, resolution_px=(48, 64))
    masks = foveal_masks(display, radius_deg=[1.0, 2.5], fixation_deg=(1, 0.5))
    shown = cue_conflict(pictures(2), pictures(2, seed=1), masks).numpy()
    points = display.pixels_deg()
    for k, radius in enumerate((1.0, 2.5)):
        inside = np.hypot(points[..., 0] - 1, points[..., 1] - 0.5) <= radius
        assert (shown[k] == np.where(inside, pictures(2).numpy(), pictures(2, seed=1).numpy())).all()


def test_discs_have_equal_steps_of_area():
    masks = foveal_masks(PUBLISHED, radius_deg=foveal_radii_deg(PUBLISHED))
    np.testing.assert_allclose(masks.mean((1, 2)), np.arange(1, 9) / 9, atol=5e-4)
    half = foveal_radii_deg(PUBLISHED, n=3)[1]  # half of a square is a disc of radius side / sqrt(2 pi), if it fits
    assert half == pytest.approx(26 / math.sqrt(2 * math.pi), rel=2e-3)


def test_crossover_of_lines_is_where_they_meet():
    area = np.linspace(0, 1, 9)
    slopes = np.array([0.8, 1.0, 0.5])
    found = crossover_area(area, slopes[:, None] * area, 0.6 - 0.2 * area)
    meet = 0.6 / (slopes + 0.2)
    np.testing.assert_allclose(found.area, meet, atol=1e-12)
    interval = stats.t.interval(0.95, 2, meet.mean(), stats.sem(meet))
    np.testing.assert_allclose((found.mean, *found.interval), (meet.mean(), *interval))
    assert found.n_crossing == 3


def test_interval_over_runs_is_students():
    values = np.random.default_rng(0).normal(size=7)
    test = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(run_interval(values), (values.mean(), test.low, test.high))


def test_matrix_counts_right_answers():
    rng = np.random.default_rng(0)
    labels, shown = rng.integers(0, 4, 50), torch.from_numpy(rng.random((50, 1, 2, 2)))
    weights = {name: torch.from_numpy(rng.normal(size=(4, 4))) for name in "ab"}
    models = {name: (lambda x, w=w: x.flatten(1) @ w) for name, w in weights.items()}
    sets = {"a": shown, "b": shown.flip(-1)}
    found = generalization_matrix(models, sets, labels)
    for train in "ab":
        for test in "ab":
            scores = sets[test].flatten(1).numpy() @ weights[train].numpy()
            expected = np.mean(scores.argmax(1) == labels)
            assert float(found.sel(train=train, test=test)) == expected
            assert accuracy(models[train], sets[test], labels, batch_size=7) == expected
