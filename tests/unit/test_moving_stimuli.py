"""Moving stimuli: records, places, files, and what is refused."""

import pickle

import numpy as np
import pytest

import neuroperc as npc

S = npc.stimuli
DISPLAY = npc.Display.from_px_per_deg(16, resolution_px=(64, 64))
SHORT = {"duration_s": 0.2}
MAKERS = {
    "gratings": lambda rng: S.gratings(DISPLAY, sf_cpd=[1, 2], tf_hz=5, phase_deg="random", rng=rng, **SHORT),
    "plaids": lambda rng: S.plaids(DISPLAY, sf_cpd=2, tf_hz=5, phase_deg="random", rng=rng, **SHORT),
    "barber_poles": lambda rng: S.barber_poles(DISPLAY, sf_cpd=2, tf_hz=5, aspect=[2, 3], **SHORT),
    "dots": lambda rng: S.dots(DISPLAY, speed_deg_s=4, coherence=[0.3, 1], lifetime_frames=5, rng=rng, **SHORT),
    "optic_flow": lambda rng: S.optic_flow(DISPLAY, expansion_hz=[1, -1], rng=rng, **SHORT),
    "drifting_noise": lambda rng: S.drifting_noise(DISPLAY, speed_deg_s=[1, 2], rng=rng, **SHORT),
    "motion_clouds": lambda rng: S.motion_clouds(DISPLAY, sf_cpd=2, sf_bandwidth_cpd=1, rng=rng, **SHORT),
    "phi_motion": lambda rng: S.phi_motion(DISPLAY, step_deg=1 / 8, check_deg=1 / 8, reverse=[0, 1], rng=rng, **SHORT),
    "second_order": lambda rng: S.second_order(DISPLAY, sf_cpd=1, tf_hz=5, modulation=["contrast", "flicker", "blur"],
                                               rng=rng, **SHORT),
    "gabor_arrays": lambda rng: S.gabor_arrays(DISPLAY, speed_deg_s=2, element="plaid", rng=rng, **SHORT),
    "flow_clips": lambda rng: S.flow_clips(DISPLAY, n=2, rng=rng, **SHORT),
}  # fmt: skip
RANDOM = sorted(set(MAKERS) - {"barber_poles"})


@pytest.mark.parametrize("name", MAKERS)
def test_the_record_makes_the_same_bytes(name, tmp_path):
    made = MAKERS[name](7)
    again = S.regenerate(made.table["record"].tolist())
    assert again == made
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(made, again, strict=True))
    assert S.regenerate(made.table["record"].iloc[-1])[0].equal(made[-1])
    made.save(tmp_path / "set")
    stored = npc.StimulusSet.load(tmp_path / "set")
    assert stored.fingerprint == made.fingerprint and S.regenerate(stored.table["record"].tolist()) == made
    assert pickle.loads(pickle.dumps(made)).fingerprint == made.fingerprint


@pytest.mark.parametrize("name", RANDOM)
def test_seeds_decide_and_the_global_generator_does_not(name):
    first = MAKERS[name](1)
    np.random.seed(3)  # noqa: NPY002  # the global generator must not matter
    assert MAKERS[name](1).fingerprint == first.fingerprint
    assert MAKERS[name](np.random.default_rng(1)).fingerprint == first.fingerprint
    assert MAKERS[name](2).fingerprint != first.fingerprint


@pytest.mark.parametrize("name", MAKERS)
def test_any_stretch_is_the_same_as_in_the_whole(name):
    made = MAKERS[name](0)
    whole = made[0]
    assert whole.shape == (12, 1, 64, 64) and whole.min() >= 0 and whole.max() <= 1
    for start, stop in ((0, 3), (5, 9), (11, 12)):
        assert made.pixels[0].read("linear", start, stop).equal(whole[start:stop])
    assert sum(part.shape[0] for part in made.frames(0, size=5)) == 12


@pytest.mark.parametrize("name", MAKERS)
def test_dense_truth(name):
    made = MAKERS[name](0)
    flow = made.truth["flow_deg_s"]
    assert flow.shape[0] == len(made) and flow.shape[1] in (1, 12) and flow.shape[2:] == (2, 64, 64)
    assert made.truth["velocity_deg_s"].shape == (len(made), 2)
    assert S.flow_px(made, made.ids[0]).shape == (12, 2, 64, 64)
    assert np.isfinite(flow).any()


def test_psychopy_gets_frames_pixel_for_pixel(tmp_path):
    lab = npc.Display(resolution_px=(120, 161), size_m=(0.03, 0.04), distance_m=0.57, refresh_hz=120)
    plaids = S.plaids(
        lab, sf_cpd=2, tf_hz=4, direction_deg=range(0, 360, 180), duration_s=0.1, size_deg=2, center_deg=(0.4, -0.3)
    )
    trials = S.trials(plaids, repeats=3, rng=0)
    table = npc.data.export_psychopy(plaids, tmp_path / "lab", trials=trials)
    assert len(table) == 6 and (table["n_refreshes"] == 12).all()
    npc.data.save_movie(plaids[[0]], tmp_path / "one.mkv", lossless=True)
    x = npc.data.load_movie(tmp_path / "one.mkv", lab, fit="pad", background=0.5)[0]
    assert x.shape[0] == 12


@pytest.mark.parametrize(("size", "center"), [(None, (0, 0)), (2, (0.5, -0.5)), ((2, 3), (0, 0)), (1.03, (0.21, 0.1))])
@pytest.mark.parametrize(
    "display", [DISPLAY, npc.Display(resolution_px=(201, 300), size_m=(0.06, 0.09), distance_m=0.57)]
)
def test_patches_lie_on_the_displays_pixels(size, center, display):
    options = {} if size is None else {"size_deg": size}
    made = S.gratings(display, sf_cpd=1, center_deg=center, **SHORT, **options)
    h, w = made.shapes[0][-2:]
    drawn = made.on_display(0, 0.5)
    corner = made.picture_deg(0, (0, 0))
    column, row = np.round(display.to_px(corner)).astype(int)
    np.testing.assert_allclose(display.to_px(corner), [column, row], atol=1e-6)
    assert drawn[:, :, row : row + h, column : column + w].equal(made[0])
    if size is not None:
        got = made.table[["height_deg", "width_deg"]].iloc[0].to_numpy(dtype=float)
        assert np.abs(got - np.broadcast_to(size, 2)).max() <= 1.01 / display.px_per_deg
    assert abs(made.table[["x_deg", "y_deg"]].iloc[0].to_numpy(dtype=float) - center).max() <= 0.51 / display.px_per_deg


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: S.gratings(DISPLAY, sf_cpd=9), "sf_cpd must be at most 8, Nyquist of the display, got 9"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, tf_hz=31), "tf_hz must be within 30, Nyquist at 60 fps, got 31"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, contrast=1.2), "contrast must be at most 1"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, contrast=0.9, background=0.6), "Multiply the contrast by 0.7"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, duration_s=0.51), "a whole number of frames .*nearest"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, ramp_s=0.3), "ramp_s must be at most half of duration_s"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, size_deg=7), "size_deg and center_deg must be on the display"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, fps=75), "fps must be at most the display's 60 Hz"),
        (lambda: S.gratings(DISPLAY, sf_cpd=float("nan")), "sf_cpd must be finite"),
        (lambda: S.gratings(DISPLAY, sf_cpd=[]), "sf_cpd must be one value or more"),
        (lambda: S.gratings(DISPLAY, sf_cpd=4, waveform="missing_fundamental"), "low enough for the third harmonic"),
        (lambda: S.gratings(DISPLAY, sf_cpd=1, tf_hz=2, motion="step"), "tf_hz must be left out for motion='step'"),
        (lambda: S.plaids(DISPLAY, sf_cpd=2, tf_hz=4, component_contrast=0.6), "Multiply the contrast by 0.833"),
        (lambda: S.plaids(DISPLAY, sf_cpd=2), "tf_hz and speed_deg_s must be one of the two"),
        (lambda: S.plaids(DISPLAY, sf_cpd=(1, 2, 3), tf_hz=4), "sf_cpd must be one number, or 2"),
        (lambda: S.dots(DISPLAY, speed_deg_s=2, coherence=51.2, rng=0), "0.512 is 51.2"),
        (lambda: S.dots(DISPLAY, speed_deg_s=2, n_dots=5, density_per_deg2=1, rng=0), "per_deg2 must be left out"),
        (lambda: S.drifting_noise(DISPLAY, speed_deg_s=2, rms_contrast=0.6, rng=0), "Multiply the contrast"),
        (lambda: S.drifting_noise(DISPLAY, speed_deg_s=2, low_cpd=7.9, size_deg=1, rng=0), "pass band"),
        (lambda: S.motion_clouds(DISPLAY, sf_cpd=2, sf_bandwidth_cpd=1, orientation_deg=3, rng=0), "given together"),
        (lambda: S.phi_motion(DISPLAY, step_deg=0.1, check_deg=0.125, rng=0), "a whole number of pixels"),
        (lambda: S.phi_motion(DISPLAY, step_deg=0.125, check_deg=0.125, direction_deg=45, rng=0), "one of 0, 90, 180"),
        (lambda: S.second_order(DISPLAY, sf_cpd=1, tf_hz=2, modulation="smell", rng=0), "modulation must be one of"),
        (lambda: S.gabor_arrays(DISPLAY, speed_deg_s=2, sd_deg=0.3, rng=0), "spacing_deg must be at least 6 sd_deg"),
        (lambda: S.gabor_arrays(DISPLAY, speed_deg_s=20, rng=0), "speed_deg_s times sf_cpd must be within 30"),
        (lambda: S.barber_poles(DISPLAY, sf_cpd=2, tf_hz=4, aspect=9), "aspect must be such that the rectangle fits"),
        (lambda: S.regenerate("{}"), "records must be of one of the kinds"),
        (lambda: S.regenerate("no json"), "records must be texts"),
    ],
)  # fmt: skip
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="rng must be an int"):
        S.dots(DISPLAY, speed_deg_s=2, rng=None)
    with pytest.raises(TypeError, match=r"arguments must be among .*, got \['sise_deg'\]"):
        S.gratings(DISPLAY, sf_cpd=1, sise_deg=3)
    with pytest.raises(TypeError, match="display must be a Display"):
        S.gratings("lab", sf_cpd=1)


def test_nearest_rounding_tells_what_was_realised():
    made = S.gratings(DISPLAY, sf_cpd=1, duration_s=0.51, ramp_s=0.051, rounding="nearest", fps=24)
    assert made.table["duration_s"].iloc[0] == 0.5 and made.table["ramp_s"].iloc[0] == pytest.approx(1 / 24)
    assert made.fps == 24
