"""Properties of motion energy that hold for any movie."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.motion import MotionEnergy

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(40, 48))
STAGES = ("linear", "energy", "sqrt", "log", "opponent", "normalised")


def movie(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


@pytest.mark.parametrize("compat", [None, "pymoten"])
@pytest.mark.parametrize("boundary", [None, "edge", "zero", "valid"])
@pytest.mark.parametrize("parts", [1, 3, 7, 64])
def test_streaming_equals_the_whole_movie(compat, boundary, parts):
    pyramid = MotionEnergy.pyramid((24, 32), 24, sf_cpi=(0, 2, 5), compat=compat, boundary=boundary)
    x = movie(70, 1, 24, 32)
    streamed = torch.cat(list(pyramid.stream(x.split(parts))))
    torch.testing.assert_close(streamed, pyramid(x[None])[0], rtol=1e-12, atol=1e-12)
    assert len(streamed) == (70 - pyramid.window + 1 if boundary == "valid" else 70)


@pytest.mark.parametrize("make", ["pyramid", "pymoten", "dense", "map"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_is_its_movies_one_by_one_and_single_precision_is_close(make, stage):
    model = {
        "pyramid": lambda: MotionEnergy.pyramid((40, 48), 30, sf_cpi=(0, 3), stage=stage),
        "pymoten": lambda: MotionEnergy.pyramid((40, 48), 30, sf_cpi=(0, 3), stage=stage, compat="pymoten"),
        "dense": lambda: MotionEnergy(DISPLAY, fps=30, sf_cpd=(1.0,), tf_hz=(2.0, 4.0), time="gabor", stage=stage),
        "map": lambda: MotionEnergy(DISPLAY, fps=30, sf_cpd=(1.0,), time="gabor", stage=stage, pool="map"),
    }[make]()
    x = movie(3, 24, 1, 40, 48)
    together = model(x)
    assert together.shape[:3] == (3, 24, len(model.filters)) and together.dtype == torch.float64
    torch.testing.assert_close(together, torch.cat([model(one[None]) for one in x]), rtol=1e-10, atol=1e-12)
    single = model(x.float())
    assert single.dtype == torch.float32
    scale = together.abs().max()
    assert (single - together).abs().max() / scale < (1e-2 if stage in ("log", "normalised") else 1e-4)


@pytest.mark.parametrize("boundary", ["reflect", "zero", "valid"])
@pytest.mark.parametrize("space", ["gabor", "cauchy"])
def test_the_mean_is_that_of_the_map(boundary, space):
    """Sampling as finely as the kernels' pass band needs does not change what is seen."""
    options = {"fps": 30, "sf_cpd": (0.5,), "time": "gabor", "space": space, "boundary": boundary}
    display = npc.Display.from_px_per_deg(8, resolution_px=(160, 160))
    x = npc.stimuli.drifting_noise(display, speed_deg_s=6, size_deg=20, duration_s=0.4, rng=0)[0][
        None, :, :, :140
    ].double()
    mean = MotionEnergy(display, **options)(x)
    each = MotionEnergy(display, **options, pool="map")(x).mean((-1, -2))
    torch.testing.assert_close(mean, each, rtol=0.1, atol=0)
    assert abs(float(mean.mean() / each.mean()) - 1) < 0.03


def test_dense_kernels_are_what_the_map_correlates_with():
    """One filter's answer at one place and time, written out as a sum over a box of space and time."""
    display = npc.Display.from_px_per_deg(8, resolution_px=(40, 40))
    energy = MotionEnergy(display, fps=30, sf_cpd=(1.5,), time="gabor", n_directions=6, pool="map", boundary="valid")
    x = movie(1, 60, 1, 40, 40)
    scale, pair = energy._scales[0], energy.temporal[0]
    r, half = scale.reach_px, len(pair.time_s) // 2
    answer = energy(x)
    assert answer.shape[-2:] == (40 - 2 * r, 40 - 2 * r)
    for direction in (0, 1, 2):
        box = x[0, 30 - half : 31 + half, 0, 4 : 5 + 2 * r, 7 : 8 + 2 * r].numpy()[::-1]
        even, odd = (np.tensordot(box, k[direction].numpy(), 2) for k in (scale.even, scale.odd))
        real, imaginary = pair.lead @ even - pair.lag @ odd, pair.lead @ odd + pair.lag @ even
        np.testing.assert_allclose(answer[0, 30, direction, 4, 7], (real**2 + imaginary**2) / 4, rtol=1e-9)


@pytest.mark.parametrize("compat", [None, "pymoten"])
def test_gradients(compat):
    pyramid = MotionEnergy.pyramid((8, 10), 9, sf_cpi=(0, 2), compat=compat)
    x = movie(1, 6, 1, 8, 10).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pyramid(x)[..., ::5], (x,))
    black = torch.zeros(1, 8, 1, 8, 10, dtype=torch.float64, requires_grad=True)
    pyramid(black).sum().backward()
    assert black.grad.isfinite().all()
    energy = MotionEnergy(DISPLAY, fps=30, sf_cpd=(1.0,), time="gabor", boundary="zero", stage="log")
    x = movie(1, 4, 1, 6, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: energy(x)[0, :, :3], (x,))


@pytest.mark.parametrize("model", ["pyramid", "dense"])
def test_stages_follow_from_energy(model):
    def make(stage):
        if model == "pyramid":
            return MotionEnergy.pyramid((24, 24), 24, sf_cpi=(0, 3), stage=stage)
        return MotionEnergy(
            DISPLAY, fps=30, sf_cpd=(1.0, 1.5), tf_hz=(3.0, 4.0), time="gabor", boundary="zero", stage=stage
        )

    x = movie(1, 24, 1, 24, 24)
    made = {stage: make(stage) for stage in STAGES[1:]}
    answer = {stage: m(x) for stage, m in made.items()}
    table = made["energy"].filters
    torch.testing.assert_close(answer["sqrt"] ** 2, answer["energy"])
    torch.testing.assert_close(answer["log"], (answer["sqrt"] + 1e-5).log())
    names = [n for n in ("sf_cpd", "sf_cpi", "tf_hz", "x_image", "y_image") if n in table and table[n].notna().all()]
    keys = {tuple(row): i for i, row in enumerate(table[["direction_deg", *names]].round(9).to_numpy())}
    has = (table["tf_hz"] > 0) & (table.get("sf_cpi", table["sf_cpd"]) > 0)
    for i, row in table[has].iterrows():
        other = keys[tuple(np.round([(row["direction_deg"] + 180) % 360, *row[names]], 9))]
        e, o = answer["energy"][..., i], answer["energy"][..., other]
        torch.testing.assert_close(answer["opponent"][..., i], e - o, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(answer["normalised"][..., i], (e - o) / (e + o), rtol=1e-6, atol=1e-9)
    assert (answer["opponent"][..., torch.tensor(~has.to_numpy())] == 0).all()


def test_the_bank_stays_small():
    for shape, sf in (((96, 96), (0, 2, 4, 8, 16)), ((96, 96), (0, 2, 4, 8, 16, 32)), ((144, 256), (0, 2, 4, 8, 16))):
        for compat in (None, "pymoten"):
            pyramid = MotionEnergy.pyramid(shape, 24, sf_cpi=sf, compat=compat)
            n_pairs = len(pyramid._center) + len(set(pyramid._center.tolist()))
            dense = n_pairs * 2 * shape[0] * shape[1] * 8
            assert pyramid.n_bytes < dense / (4 if compat else 100)
