"""LogPolar: batches, gradients, compiling, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.foveation import LogPolar

DISPLAY = Display.from_px_per_deg(4, resolution_px=(24, 32))
TANGENT = Display(resolution_px=(24, 32), size_m=(0.3, 0.4), distance_m=0.5)
GAZES = torch.tensor([[0.0, 0.0], [1.3, -0.7], [-2.2, 1.1]], dtype=torch.float64)


def module(display=DISPLAY, **arguments):
    return LogPolar(display, **{"a_deg": 0.7, "n_rings": 9, "n_angles": 12, "max_eccentricity_deg": 2.5} | arguments)


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


@pytest.mark.parametrize("display", [DISPLAY, TANGENT])
def test_a_gaze_per_item_equals_the_loop(display):
    log_polar, picture = module(display, max_eccentricity_deg=6), random(3, 2, 24, 32)
    cortex = log_polar(picture, GAZES)
    each = [log_polar(picture[i : i + 1], GAZES[i]) for i in range(3)]
    torch.testing.assert_close(cortex, torch.cat(each), rtol=0, atol=1e-12)
    back = torch.cat([log_polar.inverse(each[i], GAZES[i]) for i in range(3)])
    torch.testing.assert_close(log_polar.inverse(cortex, GAZES), back, rtol=0, atol=1e-12)
    assert torch.equal(log_polar.covered(GAZES), torch.stack([log_polar.covered(g) for g in GAZES]))


def test_default_gaze_is_the_constructors():
    picture = random(2, 1, 24, 32)
    there, here = module(fixation_deg=(1.3, -0.7)), module()
    assert torch.equal(there(picture), here(picture, (1.3, -0.7)))
    torch.testing.assert_close(there.inverse(there(picture)), here.inverse(here(picture, GAZES[1]), GAZES[1]))
    single = there(picture).float()
    torch.testing.assert_close(there.inverse(single), there.inverse(single.double()).float(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("display", [DISPLAY, TANGENT])
def test_gradients_for_picture_and_gaze(display):
    log_polar = module(display, n_rings=5, n_angles=6)
    picture, gazes = random(2, 1, 24, 32).requires_grad_(), GAZES[1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(log_polar, (picture, gazes), fast_mode=True)
    cortex = random(2, 1, 5, 6, seed=2).requires_grad_()
    inside = (torch.from_numpy(display.eccentricity_deg(GAZES[1:].numpy())) < 2)[:, None]

    def back(cortex, gazes):  # the outermost ring is an edge
        return log_polar.inverse(cortex, gazes) * inside

    assert torch.autograd.gradcheck(back, (cortex, gazes), fast_mode=True)


def test_the_gradient_at_the_centre_is_finite():
    """All angles of the first ring meet there; a root or an angle would give NaN."""
    gaze = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    log_polar = LogPolar(Display.from_px_per_deg(4, resolution_px=(25, 33)), a_deg=0.7)
    cortex = log_polar(random(1, 1, 25, 33), gaze)
    log_polar.inverse(cortex, gaze).square().sum().backward()
    assert gaze.grad.isfinite().all()
    assert gaze.grad.abs().max() > 0


def test_compiles_as_one_graph():
    log_polar, picture = module(), random(3, 2, 24, 32).float()

    def there_and_back(x, gaze):
        return log_polar.inverse(log_polar(x, gaze), gaze)

    compiled = torch.compile(there_and_back, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(picture, GAZES), there_and_back(picture, GAZES))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    log_polar = module()
    cortex = log_polar(random(1, 1, 24, 32).to(dtype))
    assert cortex.dtype == dtype
    assert log_polar.inverse(cortex).dtype == dtype


def test_background_may_differ_between_channels():
    cortex = module(max_eccentricity_deg=8, background=(0.1, 0.2, 0.3))(random(1, 3, 24, 32))
    off = ~module(max_eccentricity_deg=8).covered()
    assert off.any()
    torch.testing.assert_close(cortex[0][:, off].mean(-1), torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))


def test_one_pixel_high_pictures_and_an_empty_state_dict():
    thin = LogPolar(Display.from_px_per_deg(4, resolution_px=(1, 32)))
    assert thin.inverse(thin(random(1, 1, 1, 32))).shape == (1, 1, 1, 32)
    assert not thin.state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a_deg": 0}, "a_deg must be a finite number above 0"),
        ({"a_deg": math.nan}, "a_deg"),
        ({"n_rings": 1}, "n_rings must be a whole number of at least 2"),
        ({"n_angles": 3}, "at least 4"),
        ({"max_eccentricity_deg": -1}, "max_eccentricity_deg"),
        ({"max_eccentricity_deg": 200}, "below 180"),
        ({"background": math.inf}, "background must be finite"),
        ({"fixation_deg": (9, 0)}, "on the screen"),
        ({"fixation_deg": [(0, 0), (1, 1)]}, "one default gaze"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        module(**arguments)


@pytest.mark.parametrize(
    ("picture", "gaze", "message"),
    [
        (torch.zeros(1, 24, 32), None, r"\(b, c, 24, 32\)"),
        (torch.zeros(1, 1, 32, 24), None, "Give the Display"),
        (torch.zeros(0, 1, 24, 32), None, r"\(b, c, 24, 32\)"),
        (torch.full((1, 1, 24, 32), math.nan), None, "768 NaN"),
        (torch.zeros(2, 1, 24, 32), torch.zeros(3, 2), "shape"),
        (torch.zeros(1, 1, 24, 32), (math.nan, 0), "finite"),
    ],
)
def test_bad_pictures(picture, gaze, message):
    with pytest.raises(ValueError, match=message):
        module()(picture, gaze)


def test_bad_types_channels_and_cortices():
    with pytest.raises(TypeError, match=r"x\.float"):
        module()(torch.zeros(1, 1, 24, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="2 channels"):
        module(background=(0.1, 0.2, 0.3))(torch.zeros(1, 2, 24, 32))
    with pytest.raises(ValueError, match="forward returned"):
        module().inverse(torch.zeros(1, 1, 9, 11))
