"""Moving stimuli measured from their pixels: contrast, orientation, phase, frequencies, velocities, coherence."""

import numpy as np
import pytest

import neuroperc as npc

S = npc.stimuli
DISPLAY = npc.Display.from_px_per_deg(16, resolution_px=(96, 96))
LAB = npc.Display(resolution_px=(1080, 1920), size_m=(0.30, 0.53), distance_m=0.57, refresh_hz=59.94)


def light(stimuli, i=0):
    return stimuli[i][:, 0].double().numpy()


def fitted(picture, sf_cpd, direction_deg, px_per_deg=16.0):
    """Return (contrast, phase in degrees) of a grating at the picture's centre by least squares."""
    y, x = ((np.arange(n) - (n - 1) / 2) / px_per_deg for n in picture.shape)
    a = np.deg2rad(direction_deg)
    phase = 2 * np.pi * sf_cpd * (x * np.cos(a) - y[:, None] * np.sin(a))
    basis = np.stack([np.ones(picture.size), np.cos(phase).ravel(), np.sin(phase).ravel()], 1)
    mean, c, s = np.linalg.lstsq(basis, picture.ravel(), rcond=None)[0]
    return np.hypot(c, s) / mean, np.rad2deg(np.arctan2(-s, c)) % 360


@pytest.mark.parametrize("direction", [0, 30, 90, 135, 270])
def test_gratings_have_the_contrast_phase_and_direction_asked_for(direction):
    s = S.gratings(DISPLAY, sf_cpd=1.5, tf_hz=4, direction_deg=direction, contrast=0.3, phase_deg=50, background=0.4)
    movie = light(s)
    contrast, phase = fitted(movie[0], 1.5, direction)
    np.testing.assert_allclose([contrast, phase, movie.mean()], [0.3, 50, 0.4], rtol=1e-3)
    later = fitted(movie[5], 1.5, direction)[1]
    np.testing.assert_allclose((phase - later) % 360, 4 * 5 / 60 * 360, atol=1e-2)  # it moves towards `direction`


def test_frequencies_on_a_tangent_screen_at_59_94_hz():
    s = S.gratings(LAB, sf_cpd=2, tf_hz=7.4925, contrast=0.5, size_deg=2, duration_s=8, rounding="nearest")
    n = s.shapes[0][0]
    assert n == 480 and abs(s.table["duration_s"].iloc[0] - 480 / 59.94) < 1e-12
    middle = s.pixels[0].read("linear")[:, 0, s.shapes[0][2] // 2, s.shapes[0][3] // 2].double().numpy()
    turns = np.unwrap(np.angle(_analytic(middle - middle.mean()))) / (2 * np.pi)
    slope = np.polyfit(np.arange(n) / s.fps, turns, 1)[0]
    assert abs(abs(slope) / 7.4925 - 1) < 1e-6
    # Degrees are true ones: every pixel on the row has the phase of its own visual angle.
    row = s.pixels[0].read("linear", 0, 1)[0, 0, s.shapes[0][2] // 2].double().numpy()
    x = LAB.pixels_deg()[540, :, 0][960 - len(row) // 2 : 960 + len(row) // 2]
    np.testing.assert_allclose(row, 0.5 + 0.25 * np.cos(2 * np.pi * 2 * x), atol=2e-4)


def _analytic(signal):
    spectrum = np.fft.fft(signal)
    spectrum[len(signal) // 2 :] = 0
    return np.fft.ifft(spectrum)


def test_square_waves_and_their_missing_fundamental():
    both = [
        light(S.gratings(DISPLAY, sf_cpd=0.5, contrast=0.4, waveform=w))[0] for w in ("square", "missing_fundamental")
    ]
    contrasts = [[fitted(p, k * 0.5, 0)[0] for k in (1, 3, 5)] for p in both]
    series = 0.4 * 4 / np.pi / np.array([1, 3, 5])
    np.testing.assert_allclose(contrasts, [series, series * [0, 1, 1]], atol=1e-6)


def test_counterphase_does_not_move():
    movie = light(S.gratings(DISPLAY, sf_cpd=1, tf_hz=4, motion="counterphase", contrast=0.5))
    np.testing.assert_allclose(
        movie, 0.5 + (movie[:1] - 0.5) * np.cos(2 * np.pi * 4 * np.arange(30) / 60)[:, None, None], atol=1e-6
    )


def test_plaids_have_their_components_contrast_and_the_velocity_of_the_crossing():
    s = S.plaids(DISPLAY, sf_cpd=2, tf_hz=4, direction_deg=[0, 90], component_contrast=0.25)
    for i, direction in enumerate((0, 90)):
        for offset in (-60, 60):
            assert abs(fitted(light(s, i)[3], 2, direction + offset)[0] - 0.25) < 0.004  # the other one leaks a little
    np.testing.assert_allclose(s.truth["velocity_deg_s"], [[4, 0], [0, 4]], atol=1e-9)
    # At that velocity the whole pattern translates.
    a, b = light(s)[0], light(s)[12]  # 0.2 s: 0.8 deg or 12.8 px; 15 frames: 1 deg or 16 px
    np.testing.assert_allclose(light(s)[15][:, 16:], a[:, :-16], atol=1e-6)
    assert np.abs(b[:, 13:] - a[:, :-13]).max() > 0.01


def test_type_ii_plaids_and_others():
    two = S.plaids(DISPLAY, sf_cpd=2, speed_deg_s=2, direction_deg=30, component_offsets_deg=(48.2, 70.5))
    np.testing.assert_allclose(two.truth["velocity_deg_s"][0], 2 * np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)]))
    normals = np.deg2rad([78.2, 100.5])
    speeds = np.linalg.norm(two.truth["component_velocity_deg_s"][0], axis=1)
    np.testing.assert_allclose(speeds, 2 * np.cos(normals - np.pi / 6), rtol=1e-9)
    one = S.plaids(DISPLAY, sf_cpd=2, tf_hz=(0, 4))
    np.testing.assert_allclose(one.truth["component_velocity_deg_s"][0, 0], 0, atol=1e-12)
    tri = S.plaids(DISPLAY, sf_cpd=2, tf_hz=4, component_offsets_deg=(0, 120, 240), component_contrast=0.2)
    assert np.isnan(tri.truth["velocity_deg_s"]).all()  # three equal drifts share no velocity


def test_apertures_blend_to_the_background_and_ramps_are_symmetric():
    for aperture in ("disc", "gaussian", "raised_cosine"):
        s = S.gratings(DISPLAY, sf_cpd=2, contrast=0.8, aperture=aperture, background=0.3, size_deg=6)
        picture = light(s)[0]
        np.testing.assert_allclose(picture[0, 0], 0.3, atol=0.02)
        np.testing.assert_allclose(fitted(picture[44:52, 44:52], 2, 0)[0], 0.8, rtol=0.05)
    ramped = S.gratings(DISPLAY, sf_cpd=1, contrast=0.5, ramp_s=0.1, duration_s=0.5)
    contrast = np.array([fitted(p, 1, 0)[0] for p in light(ramped)])
    np.testing.assert_allclose(contrast, contrast[::-1], rtol=1e-5)
    np.testing.assert_allclose(contrast[6:-6], 0.5, rtol=1e-5)
    np.testing.assert_allclose(contrast[[2, 3]].mean(), 0.25, rtol=1e-4)


@pytest.mark.parametrize("coherence", [0, 0.29, 0.57, 0.58, 0.512, 1])
@pytest.mark.parametrize("algorithm", ["limited_lifetime", "white_noise", "brownian", "interleaved"])
def test_realised_coherence_is_the_one_asked_for(coherence, algorithm):
    s = S.dots(DISPLAY, speed_deg_s=4, coherence=coherence, n_dots=100, algorithm=algorithm, rng=1)
    signal, tracks = s.truth["is_signal"][0], s.truth["tracks_deg"][0]
    n_sets = 3 if algorithm == "interleaved" else 1
    assert (signal[n_sets:].sum(1) == round(100 * coherence)).all()
    moved = tracks[n_sets:] - tracks[:-n_sets]
    field = 6.0
    moved = (moved + field / 2) % field - field / 2
    step = 4 * n_sets / 60
    with np.errstate(invalid="ignore"):
        carried = np.isclose(moved, [step, 0], atol=1e-9).all(-1)
    assert (carried[signal[n_sets:]]).all()
    assert carried[~signal[n_sets:]].sum() < 5  # noise takes the signal's step by chance only


def test_lifetimes_are_exact_and_density_stays_uniform():
    s = S.dots(DISPLAY, speed_deg_s=6, coherence=1, n_dots=240, lifetime_frames=4, duration_s=1, rng=2)
    signal = s.truth["is_signal"][0]
    for dot in range(0, 240, 17):
        new = np.flatnonzero(~signal[1:, dot]) + 1
        assert (np.diff(new) == 4).all()
    assert np.bincount(np.flatnonzero(~signal[1:5].T.ravel()) % 4).tolist() == [60] * 4
    flow = S.dots(DISPLAY, speed_deg_s=6, coherence=1, n_dots=600, duration_s=1, rng=3)
    x = flow.truth["tracks_deg"][0, -1]
    counts = np.histogram2d(x[:, 0], x[:, 1], bins=4, range=[[-3, 3]] * 2)[0]
    assert abs(counts - 600 / 16).max() < 4 * np.sqrt(600 / 16)
    assert abs(x).max() <= 3


def test_dots_lie_where_the_tracks_say():
    s = S.dots(DISPLAY, speed_deg_s=3.3, n_dots=1, diameter_deg=0.5, contrast=0.6, direction_deg=70, rng=4)
    for k in (0, 7, 20):
        excess = light(s)[k] - 0.5
        y, x = np.mgrid[:96, :96]
        at = s.truth["tracks_deg"][0, k, 0] * 16 * [1, -1] + 47.5
        if (np.abs(at - 47.5) < 40).all():
            np.testing.assert_allclose([(excess * v).sum() / excess.sum() for v in (x, y)], at, atol=0.05)
        np.testing.assert_allclose(excess.max(), 0.3, rtol=1e-3)  # Weber contrast
    both = S.dots(DISPLAY, speed_deg_s=3, polarity="both", n_dots=100, reverse_phi=True, rng=4)
    light_dots = both.truth["is_light"][0]
    assert (light_dots.sum(1) == 50).all() and (light_dots[1:] != light_dots[:-1]).all()


def test_optic_flow_is_the_derivative_of_its_tracks():
    s = S.optic_flow(
        DISPLAY, translation_deg_s=(1, -0.5), expansion_hz=0.4, rotation_deg_s=30, focus_deg=(1, 0.5), rng=0
    )
    tracks, fps = s.truth["tracks_deg"][0], s.fps
    v = (tracks[2:] - tracks[:-2]) * fps / 2
    jump = (np.abs(v) > 5).any(-1)
    dx, dy = tracks[1:-1, :, 0] - 1, tracks[1:-1, :, 1] - 0.5
    w = np.deg2rad(30)
    want = np.stack([1 + 0.4 * dx - w * dy, -0.5 + 0.4 * dy + w * dx], -1)
    assert jump.mean() < 0.4
    np.testing.assert_allclose(v[~jump], want[~jump], atol=1e-3)
    flow = s.truth["flow_deg_s"][0, 0]
    x = (np.arange(96) - 47.5) / 16
    np.testing.assert_allclose(flow[0, 10], 1 + 0.4 * (x - 1) - w * (-x[10] - 0.5), atol=1e-5)


@pytest.mark.parametrize("make", ["noise", "cloud"])
def test_textures_move_with_their_velocity(make):
    if make == "noise":
        s = S.drifting_noise(DISPLAY, speed_deg_s=7.5, direction_deg=90, rms_contrast=0.15, rng=0)
        movie = light(s)
        np.testing.assert_allclose(movie[2], np.roll(movie[0], -4, 0), atol=1e-6)  # 2 px a frame, upwards
        np.testing.assert_allclose([p.std() / p.mean() for p in movie], 0.15, rtol=1e-5)
    else:
        velocity = {"speed_deg_s": 3.75, "direction_deg": 90, "speed_bandwidth": 0.01}
        s = S.motion_clouds(DISPLAY, sf_cpd=2, sf_bandwidth_cpd=1, **velocity, rng=0)
        movie = light(s)
        np.testing.assert_allclose(movie.std() / movie.mean(), 0.15, rtol=1e-5)
        gained = [np.corrcoef(np.roll(movie[9], -k, 0).ravel(), movie[10].ravel())[0, 1] for k in (-1, 0, 1, 2)]
        assert np.argmax(gained) == 2 and gained[2] > 0.97  # 1 px a frame, upwards


def test_spectra_of_textures():
    pink = light(S.drifting_noise(DISPLAY, speed_deg_s=0, exponent=1.5, rms_contrast=0.1, rng=1, duration_s=1 / 60))[0]
    f = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96)) * 16
    amplitude = np.abs(np.fft.fft2(pink))
    ring = (f > 0.5) & (f < 6)
    slope = np.polyfit(np.log(f[ring]), np.log(amplitude[ring]), 1)[0]
    assert abs(slope + 1.5) < 0.1
    stripes = {"orientation_deg": 30, "orientation_bandwidth_deg": 8}
    cloud = light(S.motion_clouds(DISPLAY, sf_cpd=2, sf_bandwidth_cpd=0.5, **stripes, rng=1))
    power = (np.abs(np.fft.fft2(cloud - cloud.mean())) ** 2).sum(0)
    fy, fx = -np.fft.fftfreq(96)[:, None] * 16, np.fft.fftfreq(96)[None] * 16
    normal = np.rad2deg(np.angle((power * np.exp(2j * np.arctan2(fy, fx))).sum())) / 2 % 180
    assert abs(normal - 120) < 2  # stripes along 30 vary along 120
    assert abs((power * f).sum() / power.sum() - 2) < 0.3


def test_motion_cloud_amplitudes_follow_the_published_envelope():
    from neuroperc.stimuli._made import Patch
    from neuroperc.stimuli.noise import cloud_envelope

    row = {"sf_cpd": 2.0, "sf_bandwidth_cpd": 1.0, "speed_deg_s": 8.0, "direction_deg": 0.0, "speed_bandwidth": 0.5,
           "orientation_deg": -1.0, "exponent": 0.0, "n_frames": 32, "fps": 64.0}  # fmt: skip
    patch = Patch((32, 32), (0, 0), (0, 0), np.empty(0), np.empty(0), 16.0)
    gain = cloud_envelope(row, patch)
    f0, bandwidth, v = 2 / 16, 1 / 16, 8 * 16 / 64
    for k, j, i in ((3, 0, 2), (28, 2, 5), (0, 31, 4)):
        fx, fy, ft = i / 32, -np.fft.fftfreq(32)[j], -np.fft.fftfreq(32)[k]
        f, radius = np.hypot(fx, fy), np.sqrt(fx**2 + fy**2 + ft**2)
        ring = np.exp(-(np.log(f / f0) ** 2) / (2 * np.log((f0 + bandwidth) / f0) ** 2)) / f
        # In NumPy's sign of time a pattern moving right has ft = -V fx.
        plane = np.exp(-((np.fft.fftfreq(32)[k] + v * fx) ** 2) / (2 * (0.5 * radius) ** 2))
        np.testing.assert_allclose(gain[k, j, i], ring * plane, rtol=1e-9)
        assert ft == -np.fft.fftfreq(32)[k]


@pytest.mark.parametrize(
    "modulation", ["contrast", "drift_balanced", "flicker", "orientation", "frequency", "blur", "texture"]
)
def test_second_order_motion_leaves_mean_luminance_flat(modulation):
    made = [S.second_order(DISPLAY, sf_cpd=0.5, tf_hz=2, modulation=modulation, rng=seed) for seed in range(3)]
    movies = np.stack([light(s) for s in made])
    columns = movies.mean((0, 1, 3))
    np.testing.assert_allclose(columns, 0.5, atol=0.02)
    # Along the envelope's drift luminance has no component at its frequency beyond chance.
    turns = np.exp(-2j * np.pi * (0.5 * np.arange(96) / 16 - 2 * np.arange(30)[:, None] / 60))
    assert np.abs((movies.mean(2) * turns).mean((1, 2))).mean() < 0.006
    if modulation == "contrast":
        envelope = np.abs(movies - 0.5).mean(2)
        assert np.abs((envelope * turns).mean((1, 2))).mean() > 0.05


def test_gabor_elements_drift_by_the_cosine_of_their_normal():
    s = S.gabor_arrays(DISPLAY, speed_deg_s=3, direction_deg=20, signal_share=0.5, size_deg=6, rng=0)
    assert s.truth["is_signal"].sum() == 18
    movie, sf = light(s), 2.0
    for e in (0, 7, 20, 35):
        at = s.truth["element_deg"][0, e] * 16 * [1, -1] + 47.5
        rows, columns = (slice(round(at[k]) - 4, round(at[k]) + 5) for k in (1, 0))
        normal = s.truth["normal_deg"][0, e]
        local = [fitted_local(movie[k, rows, columns] - 0.5, sf, normal, at, rows, columns) for k in (0, 1)]
        turned = (local[0] - local[1] + np.pi) % (2 * np.pi) - np.pi
        v = s.truth["flow_deg_s"][0, 0, :, round(at[1]), round(at[0])]
        across = v @ [np.cos(np.deg2rad(normal)), np.sin(np.deg2rad(normal))]
        np.testing.assert_allclose(turned, 2 * np.pi * sf * across / 60, atol=0.02)
        if s.truth["is_signal"][0, e]:
            np.testing.assert_allclose(v, 3 * np.array([np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))]), rtol=1e-6)


def fitted_local(piece, sf, normal, at, rows, columns):
    x = (np.arange(columns.start, columns.stop) - at[0]) / 16
    y = (at[1] - np.arange(rows.start, rows.stop)[:, None]) / 16
    a = np.deg2rad(normal)
    phase = 2 * np.pi * sf * (x * np.cos(a) + y * np.sin(a))
    window = np.exp(-(x**2 + y**2) / (2 * 0.15**2))
    basis = np.stack([(window * f(phase)).ravel() for f in (np.cos, np.sin)], 1)
    c, s = np.linalg.lstsq(basis, piece.ravel(), rcond=None)[0]
    return np.arctan2(-s, c)


@pytest.mark.parametrize("textured", [True, False])
def test_flow_clips_carry_their_pixels_along_the_flow(textured):
    clip = S.flow_clips(DISPLAY, n=1, n_shapes=3, max_speed_deg_s=8, max_rotation_deg_s=60, textured=textured, rng=5)
    movie, truth = light(clip), clip.truth
    assert set(np.unique(truth["shape_map"])) <= {0, 1, 2, 3}
    flow = S.flow_px(clip, 0)
    k, (y, x) = 14, np.mgrid[:96, :96]
    from scipy.ndimage import binary_erosion, map_coordinates

    ahead = map_coordinates(movie[k + 1], [y + flow[k, 1], x + flow[k, 0]], order=3, mode="nearest")
    same = np.zeros((96, 96), bool)
    for i in range(4):
        both = (truth["shape_map"][0, k] == i) & (truth["shape_map"][0, k + 1] == i)
        same |= binary_erosion(both, iterations=4)
    same[:4] = same[-4:] = False
    same[:, :4] = same[:, -4:] = False
    assert same.mean() > 0.4
    error = np.abs(ahead - movie[k])[same]
    still = np.abs(movie[k + 1] - movie[k])[same]
    assert np.median(error) < 0.1 * np.median(still) + 1e-3 and error.mean() < 0.01


def test_phi_moves_by_its_step():
    s = S.phi_motion(DISPLAY, step_deg=2 / 16, check_deg=2 / 16, direction_deg=90, reverse=[False, True], rng=0)
    plain, reverse = light(s, 0), light(s, 1)
    np.testing.assert_array_equal(plain[1], np.roll(plain[0], -2, 0))
    np.testing.assert_allclose(reverse[1] - 0.5, -(plain[1] - 0.5), atol=1e-7)
