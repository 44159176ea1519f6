"""Arguments, shapes, batches and gradients of SimoncelliHeeger."""

import numpy as np
import pytest
import torch

from neuroperc.display import Display
from neuroperc.motion import SimoncelliHeeger

DISPLAY = Display.from_px_per_deg(8, resolution_px=(48, 48))


def noise(*shape, dtype=torch.float32):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stage", ["v1_linear", "v1_energy", "v1", "mt_linear", "mt"])
def test_edges_keep_the_size_and_the_middle(stage):
    movie = noise(2, 11, 1, 41, 43)
    valid = SimoncelliHeeger(stage=stage, pool="map")(movie)
    model = SimoncelliHeeger(stage=stage, pool="map", boundary="edge")
    whole = model(movie)
    assert whole.shape == (2, 11, len(model.units), 41, 43)
    r, f = model.reach_px, model.reach_frames
    torch.testing.assert_close(whole[:, f:-f, :, r:-r, r:-r], valid, rtol=1e-4, atol=1e-5)


def test_pools():
    movie = noise(1, 10, 1, 44, 42)
    maps, mean, center = (SimoncelliHeeger(pool=p)(movie) for p in ("map", "mean", "center"))
    torch.testing.assert_close(maps.mean((-1, -2)), mean)
    torch.testing.assert_close(maps[..., 4, 3], center)


def test_a_batch_is_its_movies_and_long_movies_are_their_blocks(monkeypatch):
    movie = noise(3, 40, 1, 38, 38)
    together = SimoncelliHeeger()(movie)
    torch.testing.assert_close(together, torch.cat([SimoncelliHeeger()(m[None]) for m in movie]))
    monkeypatch.setattr("neuroperc.motion.v1mt.model._MEMORY", 1)
    torch.testing.assert_close(SimoncelliHeeger()(movie), together)


def test_float32_and_float64_agree_and_the_movie_decides():
    movie = noise(1, 9, 1, 37, 37, dtype=torch.float64)
    model = SimoncelliHeeger()
    assert model(movie).dtype == torch.float64
    torch.testing.assert_close(model(movie.float()).double(), model(movie), rtol=1e-3, atol=1e-4)


def test_gradient():
    movie = noise(1, 9, 1, 37, 37, dtype=torch.float64).requires_grad_()
    model = SimoncelliHeeger()
    model(movie)[0, 0, 1].backward()
    step, at = 1e-5, (0, 4, 0, 18, 20)
    bumps = []
    for sign in (1, -1):
        moved = movie.detach().clone()
        moved[at] += sign * step
        bumps.append(float(model(moved)[0, 0, 1]))
    assert float(movie.grad[at]) == pytest.approx((bumps[0] - bumps[1]) / (2 * step), rel=1e-4)


def test_units_say_what_they_prefer():
    units = SimoncelliHeeger(DISPLAY, fps=60, stage="v1", n_scales=2).units
    assert len(units) == 56
    np.testing.assert_allclose(units["tf_hz"] / units["sf_cpd"], units["speed_deg_s"])
    np.testing.assert_allclose(units["sf_cpd"][28:], units["sf_cpd"][:28].to_numpy() / 2)
    table = SimoncelliHeeger(DISPLAY, fps=60).units
    assert np.isnan(table.loc[0, "direction_deg"])
    assert table.loc[1, "speed_deg_s"] == pytest.approx(60 / 8)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ({"display": DISPLAY}, ValueError, "display and fps must be given together"),
        ({"fps": 60}, ValueError, "display and fps must be given together"),
        ({"display": DISPLAY, "fps": -1}, ValueError, "fps must be"),
        ({"stage": "v2"}, ValueError, "'v1_linear'"),
        ({"n_scales": 0}, ValueError, "n_scales must be a whole number of at least 1, got 0"),
        ({"pool": "max"}, ValueError, "pool must be one of"),
        ({"boundary": "zero"}, ValueError, "boundary must be one of"),
        ({"velocities_deg_s": [[1, 0]]}, ValueError, "display and fps must be given with velocities_deg_s"),
        ({"display": DISPLAY, "fps": 60, "velocities_deg_s": [1, 0]}, ValueError, "shape \\(n, 2\\)"),
        ({"display": DISPLAY, "fps": 60, "velocities_deg_s": [[np.nan, 0]]}, ValueError, "velocities_deg_s must be finite"),
    ],
)  # fmt: skip
def test_bad_arguments(kind, error, words):
    with pytest.raises(error, match=words):
        SimoncelliHeeger(**kind)


@pytest.mark.parametrize(
    ("movie", "error", "words"),
    [
        (torch.zeros(1, 8, 1, 37, 37), ValueError, "9 frames or more, got 8 frames"),
        (torch.zeros(1, 9, 1, 36, 37), ValueError, "37 pixels or more on each side, got 36 x 37"),
        (torch.zeros(9, 1, 37, 37), ValueError, "shape \\(batch, time, 1, h, w\\)"),
        (torch.zeros(1, 9, 3, 37, 37), ValueError, "Turn colour into luminance"),
        (torch.zeros(1, 0, 1, 37, 37), ValueError, "got shape"),
        (torch.zeros(1, 9, 1, 37, 37, dtype=torch.uint8), TypeError, "floating"),
        (torch.full((1, 9, 1, 37, 37), float("nan")), ValueError, "the first at index \\(0, 0, 0, 0\\)"),
    ],
)
def test_bad_movies(movie, error, words):
    with pytest.raises(error, match=words):
        SimoncelliHeeger()(movie)
