"""The emergent room's arguments and failures; each message names the value and the remedy."""

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.metamers import (
    FoveationBlur,
    UniformBlur,
    input_systems,
    match_distortion,
    match_input_systems,
    neurofovea_windows,
)
from neuroperc.metamers.emergent import (
    accuracy,
    conflict_partners,
    crossover_area,
    cue_conflict,
    foveal_masks,
    foveal_radii_deg,
    frequency_levels_deg,
    high_pass,
    low_pass,
    occlude,
    occlusion_masks,
    run_interval,
    structural_distortion,
)

DISPLAY = Display.from_px_per_deg(2, resolution_px=(32, 32))
X = torch.full((2, 3, 32, 32), 0.5)
MASKS = occlusion_masks((32, 32), "scotoma", n_levels=3)


def windows():
    return neurofovea_windows(DISPLAY, scaling=0.5, cell_deg=0.5)


def blur(images, width):
    return UniformBlur(DISPLAY, sigma_deg=float(width[0]))(images)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: UniformBlur((32, 32), sigma_deg=1), r"display must be a Display, got \(32, 32\)"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=-1), r"sigma_deg must be one or more numbers of 0 or more, got -1"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=[1, 2]), r"sigma_deg must be one number, got \[1, 2\]"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=float("nan")), "sigma_deg must be .* got nan"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=float("inf")), "sigma_deg must be .* got inf"),
        (lambda: FoveationBlur(DISPLAY, sigma_deg=[1]), "windows must be NeuroFoveaWindows"),
        (lambda: FoveationBlur(windows(), sigma_deg=[1] * 9), r"a number a ring, got 9 numbers"),
        (lambda: input_systems(DISPLAY, sigma_deg=1, ring_sigma_deg=[1], scaling=-1), "scaling must be"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=1)(X[..., :20]), r"x must be \(b, 1 or 3, 32, 32\), got \(2, 3"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=1)(X.mul(255).to(torch.uint8)), "floating torch.Tensor.*codes / 255"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=1)(X * float("nan")), "x must be finite, got 6144 NaN"),
        (lambda: UniformBlur(DISPLAY, sigma_deg=1)(X[:0]), r"x must be \(b, 1 or 3, 32, 32\), got \(0,"),
        (lambda: match_input_systems(DISPLAY, X, rng=0, max_sigma_deg=0), "max_sigma_deg must be"),
        (lambda: match_input_systems(DISPLAY, X.numpy(), rng=0), "images must be a floating torch.Tensor"),
        (lambda: match_input_systems(DISPLAY, X, rng=None), "rng must be an int"),
        (lambda: structural_distortion(X, X[:1]), "reference must be of the shape of x"),
        (lambda: structural_distortion(X, X, regions=np.ones((2, 8, 8))), r"regions must be \(n, 32, 32\)"),
        (lambda: structural_distortion(X, X, regions=np.zeros((1, 32, 32))), "none all 0, got"),
        (lambda: structural_distortion(X, X, regions=np.full((1, 32, 32), np.nan)), "regions must be finite"),
        (lambda: match_distortion(blur, X, 0.1, bounds=(1, 1), rng=0), r"low < high, got \(1, 1\)"),
        (lambda: match_distortion(blur, X, [0.1, 0.2], bounds=(0, 1), rng=0), r"target must be one number, \(1,\)"),
        (lambda: match_distortion(blur, X, np.nan, bounds=(0, 1), rng=0), "target must be finite"),
        (lambda: match_distortion(blur, X, 0.9, bounds=(0, 1), rng=0), r"within reach .* got \[0.9\]. Widen"),
        (lambda: match_distortion(blur, X, 0.1, bounds=(0, 1), rng=0, n_resamples=0), "n_resamples must be"),
        (lambda: match_distortion(blur, X, 0.1, bounds=(0, 1), rng=0, tolerance=0), "tolerance must be"),
        (lambda: frequency_levels_deg(DISPLAY, "band"), "kind must be one of 'low', 'high', got band"),
        (lambda: frequency_levels_deg(DISPLAY, "low", keep="area"), "keep must be one of"),
        (lambda: low_pass(X, DISPLAY, sigma_deg=[np.inf]), "sigma_deg must be"),
        (lambda: low_pass(X, DISPLAY, sigma_deg=[]), "sigma_deg must be"),
        (lambda: high_pass(X, DISPLAY, sigma_deg=1, mean_code=[0.5]), r"mean_code must be \(3,\), a code a channel"),
        (lambda: high_pass(X, DISPLAY, sigma_deg=1, mean_code=[np.nan] * 3), "mean_code must be finite"),
        (lambda: occlusion_masks((32, 0), "scotoma"), "shape_px must be"),
        (lambda: occlusion_masks((32, 32), "ring"), "geometry must be one of 'scotoma'"),
        (lambda: occlusion_masks((32, 32), "scotoma", n_levels=1), "n_levels must be a whole number of at least 2"),
        (lambda: occlude(X, MASKS.astype(float)), r"masks must be bool \(n, 32, 32\), got float64"),
        (lambda: occlude(X, MASKS[:, :8]), r"masks must be bool \(n, 32, 32\), got bool \(3, 8, 32\)"),
        (lambda: occlude(X, MASKS, background=128), "background must be from 0 to 1, got 128. Divide 8-bit codes"),
        (lambda: foveal_radii_deg(DISPLAY, n=0), "n must be a whole number of at least 1"),
        (lambda: foveal_radii_deg(DISPLAY, fixation_deg=(30, 0)), "fixation_deg must be on the screen"),
        (lambda: foveal_masks(DISPLAY, radius_deg=[-1]), "radius_deg must be"),
        (lambda: cue_conflict(X, X[:1], MASKS), "surround must be of the shape of center"),
        (lambda: conflict_partners([1, 1, 1]), r"labels must be of two classes or more, got \[1\]"),
        (lambda: conflict_partners([0.5, 1.0]), "labels must be .* whole numbers, got float64"),
        (lambda: conflict_partners([0, 1], rule="random"), "rule must be one of"),
        (lambda: accuracy(lambda x: x.mean((2, 3)), X, [0]), "x and labels must be"),
        (lambda: accuracy(lambda x: x.mean((2, 3)), X[:0], []), "x and labels must be"),
        (lambda: run_interval([1.0]), "values must be .n_runs,. of two runs or more"),
        (lambda: run_interval([1.0, np.nan]), "values must be finite"),
        (lambda: crossover_area([0, 1, 0.5], [0, 0, 0], [0, 0, 0]), "area must be .n,. never falling"),
        (lambda: crossover_area([0, 1], [[0, 1, 1]], [[0, 1, 1]]), r"foveal must be \(n_runs, 2\)"),
        (lambda: crossover_area([0, 1], [0, np.nan], [1, 0]), "accuracies must be finite"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_runs_without_a_crossing_are_counted_out():
    found = crossover_area([0.0, 0.5, 1.0], [[0, 0.2, 0.4], [0, 0.5, 1.0]], [[1, 0.9, 0.8], [1, 0.5, 0.0]])
    assert np.isnan(found.area[0]) and found.area[1] == 0.5
    assert found.n_crossing == 1 and found.mean == 0.5
    assert np.isnan(found.interval).all()
    none = crossover_area([0.0, 1.0], [0, 0.1], [1, 1])
    assert none.n_crossing == 0 and np.isnan(none.mean)


def test_a_region_that_cannot_be_reached_is_flagged_and_stands_at_its_bound():
    rng = np.random.default_rng(0)
    pictures = torch.from_numpy(rng.random((3, 1, 32, 32)))
    regions = np.zeros((2, 32, 32))
    regions[0, :16], regions[1, 16:] = 1, 1

    def half_blur(images, parameter):
        # The lower half is blurred most at 1 and little at 2: its target lies beyond that of both bounds.
        widths = np.array([parameter[0], max(parameter[1] * (2.1 - parameter[1]), 0)])
        parts = low_pass(images, DISPLAY, sigma_deg=widths)
        return torch.cat((parts[0][..., :16, :], parts[1][..., 16:, :]), -2)

    ends = [structural_distortion(half_blur(pictures, [0, p]), pictures, regions=regions).mean(0)[1] for p in (1, 2)]
    assert ends[0] > ends[1] + 0.1
    target = [0.2, sum(ends) / 2]
    found = match_distortion(half_blur, pictures, target, bounds=(0, 2), regions=regions, rng=0, n_resamples=20)
    assert found.reached.tolist() == [True, False]
    assert found.parameter[1] == 2
    assert found.achieved[0] == pytest.approx(0.2, abs=1e-3)


def test_a_network_keeps_its_mode():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(3 * 32 * 32, 2))
    assert net.training
    accuracy(net, X, [0, 1])
    assert net.training
    assert not accuracy(net.eval(), X, [0, 1]) > 1 and not net.training


def test_intervals_follow_the_seed():
    pictures = torch.from_numpy(np.random.default_rng(0).random((4, 1, 32, 32)))
    found = [match_distortion(blur, pictures, 0.3, bounds=(0, 2), rng=seed, n_resamples=50) for seed in (0, 0, 1)]
    assert (found[0].parameter_interval == found[1].parameter_interval).all()
    assert (found[0].parameter_interval != found[2].parameter_interval).any()
