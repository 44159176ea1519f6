"""The photographs that installed packages carry, and the clip made from one."""

import numpy as np
import pytest

import neuroperc as npc
from neuroperc.data import SAMPLES, sample_clip, sample_image
from neuroperc.data.readers.pictures import picture_shape


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_where_it_should_be(name):
    sample = SAMPLES[name]
    assert picture_shape(sample.path)[1:] == sample.size_px
    s = sample_image(name)
    assert s.shapes == [(3, *sample.size_px)]
    assert s.table.loc[name, "licence"] == sample.licence
    assert not s.table.loc[name, "path"].startswith("/")


def test_samples_cover_any_display():
    for shape in ((64, 64), (600, 900)):
        s = sample_image("flower", npc.Display.from_px_per_deg(16, resolution_px=shape))
        assert s.shapes == [(3, *shape)]
        assert 0 < float(s[0].mean()) < 1
    with pytest.raises(ValueError, match="fit='crop', 'pad' or 'resize'"):
        sample_image("flower", npc.Display.from_px_per_deg(16, resolution_px=(64, 64)), fit="error")


def test_unknown_and_missing_samples():
    with pytest.raises(ValueError, match="name must be one of 'china', 'flower', 'grace_hopper', got lena"):
        sample_image("lena")
    from dataclasses import replace

    for change in ({"file": "gone.jpg"}, {"package": "no_such_package"}):
        with pytest.raises(FileNotFoundError, match=r"Install or update it: pip install -U"):
            _ = replace(SAMPLES["china"], **change).path


def shift_of(a, b):
    """Sub-pixel shift (x right, y up) from a to b by the phase of their cross spectrum."""
    window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
    cross = np.conj(np.fft.fft2((a - a.mean()) * window)) * np.fft.fft2((b - b.mean()) * window)
    fy, fx = np.meshgrid(np.fft.fftfreq(a.shape[0]), np.fft.fftfreq(a.shape[1]), indexing="ij")
    low = (np.hypot(fx, fy) < 0.12) & (np.hypot(fx, fy) > 0)
    weight = np.abs(cross[low])
    phase = -np.angle(cross[low]) / (2 * np.pi)
    design = np.stack((fx[low], fy[low]), 1) * weight[:, None]
    x, y = np.linalg.lstsq(design, phase * weight, rcond=None)[0]
    return x, -y


@pytest.mark.parametrize(("pan", "right", "up"), [((3.0, 0.0), 2, 0), ((0.0, 1.5), 0, 1), ((-1.5, -3.0), -1, -2)])
def test_the_photograph_moves_as_its_truth_says(pan, right, up):
    display = npc.Display.from_px_per_deg(16, resolution_px=(96, 128))  # 24 fps: 1.5 degrees per second is 1 pixel
    clip = sample_clip(display, pan_deg_s=pan, duration_s=0.5, disc_radius_deg=0)
    before, after = clip[0][:-1], clip[0][1:]
    moved = np.roll(before.numpy(), (-up, right), (-2, -1))[..., 4:-4, 4:-4]
    assert np.allclose(after.numpy()[..., 4:-4, 4:-4], moved, atol=1e-5)
    assert np.all(clip.truth["velocity_deg_s"][0, :, 0, 0] == pan)


@pytest.mark.parametrize("drift", [(1.0, -2.0), (-3.0, 0.5)])
def test_the_texture_drifts_as_its_truth_says(drift):
    display = npc.Display.from_px_per_deg(16, resolution_px=(96, 128))
    clip = sample_clip(display, drift_deg_s=drift, duration_s=0.5, disc_radius_deg=9)
    grey = clip[0].mean(1).numpy()
    step = np.array([shift_of(grey[k], grey[k + 1]) for k in range(11)]).mean(0)
    assert np.allclose(step * 24 / 16, drift, atol=0.02)


def test_the_made_clip_says_that_it_is_made_and_is_seeded():
    clip = sample_clip(duration_s=0.25)
    assert clip.table["made"].all()
    assert clip.table["source"].iloc[0].startswith("made clip")
    assert clip == sample_clip(duration_s=0.25)
    assert clip != sample_clip(duration_s=0.25, rng=1)
    velocity, disc = clip.truth["velocity_deg_s"][0], clip.truth["disc"][0]
    assert np.all(velocity[:, disc] == [[0], [3]])
    assert np.all(velocity[:, ~disc] == [[2], [0]])


def test_clips_that_cannot_be_made():
    with pytest.raises(ValueError, match=r"a whole number of frames at 24 fps, got 0.3"):
        sample_clip(duration_s=0.3)
    with pytest.raises(ValueError, match="within four times the photograph's size"):
        sample_clip(duration_s=10, pan_deg_s=(50, 0))
    with pytest.raises(ValueError, match="fps must be"):
        sample_clip(fps=0)
