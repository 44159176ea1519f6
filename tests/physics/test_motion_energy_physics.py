"""What motion energy must do: directions, latencies, tuning widths, illusions, and pymoten's faults mended."""

import itertools

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.motion import MotionEnergy, temporal_filters

SPACE, TIME = ("gabor", "cauchy"), ("adelson_bergen", "watson_ahumada", "gabor")
WHEN = {"adelson_bergen": 43, "watson_ahumada": 28, "gabor": 22}  # frames whose filters see no end of the movie
DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(64, 64))
AXIS = np.arange(96) / 95  # pymoten's pixels


def grating(direction_deg, *, sf_cpd=1.0, tf_hz=4.0, phase_deg=0.0, contrast=0.5, display=DISPLAY, fps=60.0, size=64):
    x = (np.arange(size) - (size - 1) / 2) / display.px_per_deg
    a, t = np.deg2rad(direction_deg), np.arange(44)[:, None, None] / fps
    phase = 2 * np.pi * (sf_cpd * (x * np.cos(a) - x[:, None] * np.sin(a)) - tf_hz * t) + np.deg2rad(phase_deg)
    return torch.from_numpy(0.5 + 0.5 * contrast * np.cos(phase))[None, :, None]


def pymoten_grating(direction_deg, sf_cpi, tf_hz, phase_rad=0.0, fps=15.0):
    """Full-contrast gratings in L*, one for each entry of the lists."""
    d, f, w, p = (np.reshape(v, (-1, 1, 1, 1)) for v in np.broadcast_arrays(direction_deg, sf_cpi, tf_hz, phase_rad))
    t = np.arange(31)[:, None, None] / fps
    across = AXIS * np.cos(np.deg2rad(d)) - AXIS[:, None] * np.sin(np.deg2rad(d))
    return torch.from_numpy(50 + 50 * np.cos(2 * np.pi * (f * across - w * t) + p))[:, :, None]


@pytest.mark.parametrize(("space", "time"), list(itertools.product(SPACE, TIME)))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rightward_gratings_drive_the_rightward_filter(space, time, dtype):
    energy = MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), space=space, time=time, boundary="valid")
    right, left = energy.filters.index[energy.filters["direction_deg"] == 0][0], 4
    assert energy.filters["direction_deg"][left] == 180
    for direction, more, less in ((0, right, left), (180, left, right)):
        answer = energy(grating(direction).to(dtype))[0, WHEN[time]]
        assert answer.dtype == dtype
        assert answer[more] / answer[less] > (5 if time == "adelson_bergen" else 100)


@pytest.mark.parametrize(("space", "time"), list(itertools.product(SPACE, TIME)))
def test_every_direction_label_is_that_of_the_stimulus(space, time):
    energy = MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), space=space, time=time)
    movies = torch.cat([grating(d) for d in range(0, 360, 45)])
    best = energy(movies)[:, WHEN[time]].argmax(1)
    assert energy.filters["direction_deg"].to_numpy()[best].tolist() == list(range(0, 360, 45))


@pytest.mark.parametrize("compat", [None, "pymoten"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_direction_label_of_the_pyramid_is_that_of_the_stimulus(compat, dtype):
    directions = np.arange(0, 360, 45)
    movies = pymoten_grating(directions, 8.0, 2.0).to(dtype)
    pyramid = MotionEnergy.pyramid((96, 96), 15, compat=compat)
    table = pyramid.filters
    central = (table["sf_cpi"] == 8) & (table["tf_hz"] == 2) & np.isclose(table["x_image"], 0.5)
    central &= np.isclose(table["y_image"], 0.5)
    answer = pyramid(movies)[:, 15, torch.tensor(central.to_numpy())]
    assert table[central]["direction_deg"].to_numpy()[answer.argmax(1)].tolist() == directions.tolist()
    swapped = MotionEnergy.pyramid((96, 96), 15, compat=compat, labels="pymoten").filters[central]
    assert swapped["direction_deg"].to_numpy()[answer.argmax(1)].tolist() == ((directions + 180) % 360).tolist()


def test_latencies():
    pair = temporal_filters("adelson_bergen", fps=2000, rate_hz=60)
    fast, slow = (1e3 * pair.time_s[np.argmax(f)] for f in (pair.lead, pair.lag))
    # The peak of n = 5 solves x^3 - 7 x^2 - 42 x + 210 = 0, that of n = 3 x^3 - 5 x^2 - 20 x + 60 = 0; x = k t.
    roots = [np.roots(c) for c in ([1, -5, -20, 60], [1, -7, -42, 210])]
    closed = [1e3 / 60 * min(r.real for r in root if r.real > 0) for root in roots]
    assert abs(fast - closed[0]) < 0.5 and abs(slow - closed[1]) < 0.5
    assert abs(fast - 38) < 1 and abs(slow - 64) < 1
    half = temporal_filters("adelson_bergen", fps=2000, rate_hz=30)
    assert abs(1e3 * half.time_s[np.argmax(half.lead)] - 2 * fast) < 1
    for family in TIME:
        filters = temporal_filters(family, fps=500, tf_hz=4)
        lead, lag = (1e3 * filters.time_s[np.argmax(f)] for f in (filters.lead, filters.lag))
        assert 15 < lag - lead < 70, family  # about a quarter of a cycle
        assert abs(filters.lead.sum()) < 1e-12 and abs(filters.lag.sum()) < 1e-12
        assert abs(filters.tf_hz - 4) < 0.2


def test_spectra_of_the_temporal_filters():
    pair = temporal_filters("adelson_bergen", fps=1000, rate_hz=60)
    f = np.linspace(0, 20, 4001)
    gain = np.abs(np.exp(-2j * np.pi * f[:, None] * pair.time_s) @ np.stack([pair.lead, pair.lag], 1))
    np.testing.assert_allclose(f[gain.argmax(0)], [4.39, 3.68], atol=0.02)
    high = [f[gain[:, i] >= 0.5][[0, -1]] for i in (0, 1)]
    np.testing.assert_allclose(high, [[1.35, 9.8], [1.14, 7.8]], atol=0.05)
    exact = temporal_filters("watson_ahumada", fps=240, tf_hz=4)
    h = np.exp(-2j * np.pi * np.array([4.0, -4.0])[:, None] * exact.time_s) @ (exact.lead + 1j * exact.lag)
    assert abs(h[1]) < 0.01 * abs(h[0])  # the Hilbert partner passes one direction only


@pytest.mark.parametrize(("space", "time"), list(itertools.product(SPACE, TIME)))
def test_amplitude_is_linear_in_contrast_and_energy_blind_to_phase(space, time):
    energy = MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), space=space, time=time, stage="sqrt", pool="map")
    low, high = (energy(grating(0, contrast=c))[0, 20:40, 0, 32, 32] for c in (0.4, 0.8))
    torch.testing.assert_close(2 * low, high, rtol=1e-9, atol=0)
    phases = torch.stack([energy(grating(0, phase_deg=p))[0, WHEN[time], 0, 32, 32] ** 2 for p in range(0, 360, 45)])
    if time != "adelson_bergen":  # which is only about in quadrature
        assert (phases.max() - phases.min()) / phases.mean() < 0.01
    still = energy(torch.full((1, 40, 1, 64, 64), 0.7, dtype=torch.float64))
    assert still.abs().max() < 1e-12


def test_preferred_grating_has_its_own_amplitude():
    energy = MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), time="gabor", stage="sqrt", pool="map", boundary="valid")
    answer = energy(grating(90, contrast=0.6))[0, 22, 2]  # the grating's amplitude is 0.3
    np.testing.assert_allclose(answer.mean(), 0.3, rtol=0.01)
    pyramid = MotionEnergy.pyramid((96, 96), 15, stage="sqrt")
    best = pyramid(pymoten_grating(0, 8.0, 2.0))[0, 15].max()
    np.testing.assert_allclose(best, 50, rtol=0.01)
    dc = (pyramid.filters["sf_cpi"] == 0) & (pyramid.filters["tf_hz"] == 0)
    plain = pyramid(torch.full((1, 12, 1, 96, 96), 37.0, dtype=torch.float64))[..., torch.tensor(dc.to_numpy())]
    np.testing.assert_allclose(plain, 37.0, rtol=1e-12)


def half_width(values, at):
    k, half = values.argmax(), values.max() / 2
    return np.interp(-half, -values[k:], at[k:]) - np.interp(half, values[: k + 1], at[: k + 1])


def test_tuning_of_one_filter():
    """The published filter of 8 cycles per image and 2 Hz, 96 by 96 px at 15 fps."""
    pyramid = MotionEnergy.pyramid((96, 96), 15, sf_cpi=(8,), tf_hz=(2,), compat="pymoten", stage="energy")
    table = pyramid.filters
    at = table.index[
        (table["direction_deg"] == 0) & np.isclose(table["x_image"], 0.5) & np.isclose(table["y_image"], 0.5)
    ]

    def energy(*args):
        return pyramid(pymoten_grating(*args))[:, 15, int(at[0])].numpy()

    direction = np.arange(-60, 61, 2.0)
    values = energy(direction, 8.0, 2.0)
    np.testing.assert_allclose([half_width(values**p, direction) / 2 for p in (0.5, 1)], [18.0, 12.7], rtol=0.02)
    octaves = np.linspace(1.5, 4.5, 61)
    values = energy(0.0, 2**octaves, 2.0)
    np.testing.assert_allclose([half_width(values**p, octaves) for p in (0.5, 1)], [0.93, 0.65], rtol=0.02)
    tf = np.arange(-2.0, 5.01, 0.125)
    amplitude = np.mean([energy(0.0, 8.0, tf, p) for p in np.arange(4) * np.pi / 4], 0) ** 0.5
    gain = amplitude / amplitude.max()
    assert tf[gain.argmax()] == 2.0
    np.testing.assert_allclose(np.interp(0.5, gain[16:33], tf[16:33]), 0.87, rtol=0.02)
    np.testing.assert_allclose(np.interp(-0.5, -gain[32:], tf[32:]), 3.13, rtol=0.02)
    np.testing.assert_allclose(gain[tf == 0][0], 0.042, atol=0.001)
    right, left = gain[tf == 2][0], gain[tf == -2][0]
    np.testing.assert_allclose((right - left) / (right + left), 0.910, rtol=0.02)
    grid = np.stack([energy(0.0, f, np.array([1.0, 2.0, 3.0])) for f in (6.0, 8.0, 10.0)])
    singular = np.linalg.svd(grid, compute_uv=False)
    assert singular[0] ** 2 / (singular**2).sum() > 0.999  # separable


def test_grey_drives_pymotens_directional_filters_and_not_ours():
    grey = torch.full((1, 24, 1, 96, 96), 50.0, dtype=torch.float64)
    for compat in ("pymoten", None):
        pyramid = MotionEnergy.pyramid((96, 96), 15, compat=compat, stage="sqrt")
        directional = torch.tensor((pyramid.filters["sf_cpi"] > 0).to_numpy())
        answer = pyramid(grey)[0, :, directional]
        if compat:
            np.testing.assert_allclose(answer[12].max(), 28796, rtol=1e-3)  # beside 54,000 for a preferred grating
            moving = torch.tensor((pyramid.filters["tf_hz"] == 2).to_numpy()) & directional
            np.testing.assert_allclose(pyramid(grey)[0, 0, moving].max(), 6897, rtol=1e-3)  # the onset
        else:
            assert answer.max() < 1e-10


def test_still_pictures_do_not_drive_moving_filters():
    picture = np.random.default_rng(0).random((96, 96))
    movie = torch.from_numpy(np.broadcast_to(picture, (20, 96, 96)).copy())[None, :, None]
    pyramid = MotionEnergy.pyramid((96, 96), 24000 / 1001, stage="sqrt")
    moving = torch.tensor((pyramid.filters["tf_hz"] > 0).to_numpy())
    assert pyramid(movie)[..., moving].max() < 1e-10
    assert pyramid(movie)[..., ~moving].max() > 1e-3


def test_fractional_frame_rates_keep_hertz():
    """At 29.97 fps a filter of 2 Hz still prefers 2 Hz; pymoten takes whole numbers only."""
    fps = 30000 / 1001
    pyramid = MotionEnergy.pyramid((48, 48), fps, sf_cpi=(4,), tf_hz=(2,), stage="sqrt")
    x, t = np.arange(48) / 48, np.arange(41)[:, None, None] / fps
    tf = np.arange(0, 4.01, 0.25)
    movies = [np.broadcast_to(np.cos(2 * np.pi * (4 * x - w * t)), (41, 48, 48)) for w in tf]
    answer = pyramid(torch.from_numpy(np.stack(movies))[:, :, None])[:, 20]
    right = int(pyramid.filters.index[pyramid.filters["direction_deg"] == 0][0])
    assert tf[int(answer[:, right].argmax())] == 2.0


def test_the_table_in_degrees():
    display = npc.Display.from_px_per_deg(12, resolution_px=(96, 144))
    table = MotionEnergy.pyramid((96, 144), 15, display=display).filters
    np.testing.assert_allclose(table["sf_cpd"], table["sf_cpi"] / 8)  # the picture is 8 degrees high
    moving = (table["tf_hz"] > 0) & (table["sf_cpi"] > 0)
    np.testing.assert_allclose(table["speed_deg_s"][moving], (table["tf_hz"] / table["sf_cpd"])[moving])
    assert table["x_deg"].abs().max() < 6 and table["y_deg"].abs().max() < 4
    np.testing.assert_allclose(table["y_deg"], (0.5 - table["y_image"]) * 8)


def opponent_index(stimuli, rectified=False):
    movie = 100 * stimuli[0][None].double()
    movie = (movie - 50).abs() if rectified else movie
    pyramid = MotionEnergy.pyramid((96, 96), 15, compat="pymoten", stage="energy")
    table, answer = pyramid.filters, pyramid(movie)[0, 5:-5].mean(0).numpy()
    moves = (table["sf_cpi"] > 0) & (table["tf_hz"] > 0)
    right, left = (answer[moves & (table["direction_deg"] == d)].sum() for d in (0, 180))
    return (right - left) / (right + left)


PATCH = {"size_deg": 8, "duration_s": 2}
SCREEN = npc.Display.from_px_per_deg(12, resolution_px=(96, 96), refresh_hz=15)


def test_first_order_illusions():
    """Reverse-phi and the missing fundamental go against their steps, phi and square waves with them."""
    phi = [npc.stimuli.phi_motion(SCREEN, step_deg=1 / 6, check_deg=1 / 6, reverse=r, rng=0, **PATCH) for r in (0, 1)]
    waves = [
        npc.stimuli.gratings(SCREEN, sf_cpd=0.5, waveform=w, motion="step", hold_frames=2, **PATCH)
        for w in ("square", "missing_fundamental")
    ]
    measured = [opponent_index(s) for s in (*phi, *waves)]
    np.testing.assert_allclose(measured, [0.98, -0.98, 0.96, -0.50], atol=0.05)


def test_second_order_motion_is_seen_after_rectification_only():
    made = [npc.stimuli.second_order(SCREEN, sf_cpd=0.5, tf_hz=2, rng=seed, **PATCH) for seed in range(6)]
    assert abs(np.mean([opponent_index(s) for s in made])) < 0.09
    np.testing.assert_allclose(opponent_index(made[0], rectified=True), 0.995, atol=0.005)
    balanced = [
        npc.stimuli.second_order(SCREEN, sf_cpd=0.5, tf_hz=2, modulation="drift_balanced", rng=seed, **PATCH)
        for seed in range(12)
    ]
    index = np.array([opponent_index(s) for s in balanced])
    assert abs(index.mean()) < 2.5 * index.std(ddof=1) / np.sqrt(len(index))  # balanced over samples


def test_timing_causal_is_centred_later():
    pyramid = {t: MotionEnergy.pyramid((48, 48), 15, sf_cpi=(4,), timing=t) for t in ("centred", "causal")}
    movie = torch.from_numpy(np.random.default_rng(0).random((1, 40, 1, 48, 48)))
    later = pyramid["causal"].window // 2
    torch.testing.assert_close(pyramid["causal"](movie)[:, 2 * later :], pyramid["centred"](movie)[:, later:-later])
    changed = movie.clone()
    changed[:, 30:] += 0.5
    for model in (
        pyramid["causal"],
        MotionEnergy(DISPLAY, fps=60, sf_cpd=(1.0,), time="watson_ahumada", timing="causal"),
    ):
        assert torch.equal(model(movie)[:, :30], model(changed)[:, :30])
