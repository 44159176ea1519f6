"""The encoding-model pyramid beside pymoten 0.1.3 itself, and both spatial banks beside dense kernels."""

import moten
import numpy as np
import pytest
import torch

from neuroperc.motion import MotionEnergy
from neuroperc.motion.energy.banks import CroppedBank, SeparableBank
from neuroperc.motion.energy.grid import axes, make_scales

SIZES = {"square": ((96, 96), 15), "wide": ((72, 128), 24), "tall": ((60, 44), 15), "odd": ((37, 51), 30)}


def peer(shape_px, fps, **options):
    return moten.pyramids.MotionEnergyPyramid(stimulus_vhsize=shape_px, stimulus_fps=fps, **options)


def peer_responses(pyramid, movie):
    return moten.core.project_stimulus(movie, pyramid.filters, dtype="float64")


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(moten.core, "iterator_func", lambda items, *_, **__: items)


@pytest.mark.parametrize("name", SIZES)
def test_log_responses_are_pymotens(name):
    shape, fps = SIZES[name]
    movie = np.random.default_rng(0).random((24, *shape)) * 100
    theirs = peer_responses(peer(shape, fps), movie)
    ours = MotionEnergy.pyramid(shape, fps, compat="pymoten")
    x = torch.from_numpy(movie)[None, :, None]
    np.testing.assert_allclose(ours(x)[0].numpy(), theirs, rtol=0, atol=1e-9)
    assert ours(x.float()).dtype == torch.float32
    np.testing.assert_allclose(ours(x.float())[0].numpy(), theirs, rtol=0, atol=1e-3)


def test_other_frequencies_and_directions_are_pymotens():
    movie = np.random.default_rng(1).random((20, 40, 60)) * 100
    options = {"temporal_frequencies": [0, 1.5, 3, 6], "spatial_frequencies": [0, 3, 7]}
    directions = [0, 60, 120, 180, 240, 300]
    theirs = peer(movie.shape[1:], 24, spatial_directions=directions, **options)
    ours = MotionEnergy.pyramid(
        movie.shape[1:], 24, tf_hz=(0, 1.5, 3, 6), sf_cpi=(0, 3, 7), n_directions=6, compat="pymoten", stage="sqrt"
    )
    want = np.exp(peer_responses(theirs, movie)) - 1e-5
    np.testing.assert_allclose(ours(torch.from_numpy(movie)[None, :, None])[0].numpy(), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "highest", "n"),
    [
        ((96, 96), 16, 1380),
        ((96, 96), 32, 6555),
        ((144, 256), 16, 2530),
        ((144, 256), 32, 11845),
        ((96, 128), 16, 1840),
    ],
)
def test_the_table_is_pymotens(shape, highest, n):
    sf = [f for f in (0, 2, 4, 8, 16, 32) if f <= highest]
    theirs = peer(shape, 24, spatial_frequencies=sf).parameters
    ours = MotionEnergy.pyramid(shape, 24, sf_cpi=sf, compat="pymoten", labels="pymoten").filters
    assert len(ours) == n == len(theirs["centerh"])
    columns = {"x_image": "centerh", "y_image": "centerv", "direction_deg": "direction", "sf_cpi": "spatial_freq",
               "sd_image": "spatial_env", "tf_hz": "temporal_freq"}  # fmt: skip
    for name, other in columns.items():
        np.testing.assert_allclose(ours[name], np.asarray(theirs[other], dtype=float), atol=1e-12, err_msg=name)


def test_stimulus_labels_differ_by_half_a_turn_where_there_is_a_direction():
    theirs = MotionEnergy.pyramid((48, 48), 15, compat="pymoten", labels="pymoten").filters
    ours = MotionEnergy.pyramid((48, 48), 15, compat="pymoten").filters
    moves = (ours["tf_hz"] > 0) & (ours["sf_cpi"] > 0)
    assert ((ours["direction_deg"] - theirs["direction_deg"]) % 360 == np.where(moves, 180, 0)).all()


def dense(scales, n_directions, y, x, frames, limit):
    """Every Gabor on every pixel, one by one."""
    odd, even, plain = [], [], []
    for s in scales:
        for d in np.arange(n_directions // 2) * 2 * np.pi / n_directions:
            for cy in s.y:
                for cx in s.x:
                    dx, dy = x[None] - cx, cy - y[:, None]
                    window = np.exp(-(dx**2 + dy**2) / (2 * s.sd**2))
                    phase = 2 * np.pi * s.sf_cpi * (dx * np.cos(d) + dy * np.sin(d))
                    o, e = window * np.sin(phase), window * np.cos(phase)
                    seen = abs(o) + abs(e) > limit
                    odd.append((frames * (o * seen)).sum((1, 2)))
                    even.append((frames * (e * seen)).sum((1, 2)))
                    if d == 0:
                        plain.append((frames * (window * (window > limit))).sum((1, 2)))
    return [np.stack(part, 1) for part in (odd, even, plain)]


@pytest.mark.parametrize("n_directions", [2, 6, 8, 12])
@pytest.mark.parametrize(("bank", "limit", "compat"), [(SeparableBank, 0.0, None), (CroppedBank, 1e-3, "pymoten")])
def test_both_banks_are_dense_products(bank, limit, compat, n_directions):
    y, x = axes((24, 34), compat)
    scales = make_scales(np.array([2.0, 5.0, 9.0]), 34 / 24)
    frames = np.random.default_rng(0).random((3, 24, 34))
    made = bank(scales, n_directions, y, x)(torch.from_numpy(frames))
    for ours, want in zip(made, dense(scales, n_directions, y, x, frames, limit), strict=True):
        np.testing.assert_allclose(ours.numpy(), want, atol=1e-11)
