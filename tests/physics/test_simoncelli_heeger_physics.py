"""What the calibration and the geometry of SimoncelliHeeger promise."""

import numpy as np
import pytest
import torch

from neuroperc.display import Display
from neuroperc.motion import SimoncelliHeeger
from neuroperc.motion.v1mt import populations as pop

PREFERRED = pop.RADIUS_CPP / np.sqrt(2)


def grating(direction_deg, sf, tf, *, side, n_frames, contrast=1.0):
    d = np.deg2rad(direction_deg)
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    time = torch.arange(n_frames, dtype=torch.float64)[:, None, None]
    across = at * np.cos(d) - at[:, None] * np.sin(d)
    return (0.5 + 0.5 * contrast * torch.cos(2 * np.pi * (sf * across - tf * time)))[None, :, None]


def test_preferred_grating_gives_one_blank_a_tenth_opposite_nothing():
    model = SimoncelliHeeger()
    own = model(grating(0, PREFERRED, PREFERRED, side=39, n_frames=15)).mean(1)[0]
    assert own[1] == pytest.approx(1.0, abs=0.01)
    assert own[4] == pytest.approx(0.0, abs=1e-3)
    blank = model(torch.full((1, 9, 1, 37, 37), 0.5, dtype=torch.float64))
    assert blank.numpy() == pytest.approx(0.1, abs=1e-3)


def test_half_of_a_full_v1_response_needs_a_contrast_of_five_percent():
    full, half = (pop.steady_v1(pop.RADIUS_CPP * pop.v1_axes()[0], 1, c)[0, 0] for c in (1.0, 0.05))
    assert half / full == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("n_scales", [1, 2])
def test_closed_form_responses_are_those_of_movies(n_scales):
    angle = np.deg2rad(20)
    frequency = 0.6 * PREFERRED * np.array([np.cos(angle), np.sin(angle), 1.2])
    model = SimoncelliHeeger(stage="v1_energy", n_scales=n_scales, boundary="edge", pool="center")
    movie = grating(20, 0.6 * PREFERRED, 0.72 * PREFERRED, side=2 * model.reach_px + 9, n_frames=60)
    energy = model(movie)[0, model.reach_frames : -model.reach_frames].mean(0).view(n_scales, 28).numpy()
    pooled = 0.99 * energy / (0.98 * pop.V1_POOL * energy.sum(1, keepdims=True) + pop.SIGMA_SQUARED)
    np.testing.assert_allclose(pooled, pop.steady_v1(frequency, n_scales), atol=0.03)


def test_two_scales_answer_to_both_preferred_gratings():
    model = SimoncelliHeeger(n_scales=2)
    size = {"side": 2 * model.reach_px + 9, "n_frames": 2 * model.reach_frames + 2}
    fine, coarse = (model(grating(0, f, f, **size)).mean(1)[0] for f in (PREFERRED, PREFERRED / 2))
    assert max(fine[1], coarse[1]) == pytest.approx(1.0, abs=0.01)
    assert min(fine[1], coarse[1]) > 0.5
    assert max(fine[4], coarse[4]) < 1e-3
    assert model(torch.full((1, 25, 1, 90, 90), 0.5))[0, 0].numpy() == pytest.approx(0.1, abs=1e-3)


def test_a_mt_unit_prefers_the_speed_of_its_name():
    display = Display.from_px_per_deg(10, resolution_px=(64, 64))
    model = SimoncelliHeeger(display, fps=50, velocities_deg_s=[[5.0, 0.0], [10.0, 0.0]])
    assert model.units["speed_px_frame"].tolist() == [1.0, 2.0]
    rng = np.random.default_rng(0)
    texture = torch.from_numpy(rng.normal(size=64))
    spectrum, f = torch.fft.rfft(texture), torch.fft.rfftfreq(64, dtype=torch.float64)
    answers = []
    for speed in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0):
        shift = torch.exp(-2j * np.pi * f * speed * torch.arange(15)[:, None])
        rows = torch.fft.irfft(spectrum * shift, n=64)
        movie = 0.5 + 0.15 * rows[None, :, None, None, :].expand(1, 15, 1, 45, 64)
        answers.append(model(movie).mean(1)[0])
    best = torch.stack(answers).argmax(0)
    assert best.tolist() == [2, 4]


@pytest.mark.parametrize("direction_deg", range(0, 360, 60))
def test_directions_are_those_of_the_stimulus(direction_deg):
    model = SimoncelliHeeger()
    answer = model(grating(direction_deg, PREFERRED, PREFERRED, side=37, n_frames=9)).mean(1)[0]
    slow = model.units[np.isclose(model.units["speed_px_frame"], 1)]
    best = slow.index[int(answer.numpy()[slow.index].argmax())]
    assert slow.loc[best, "direction_deg"] == pytest.approx(direction_deg)
