"""Bad input to motion energy, and how it meets record and movie files."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.motion import MotionEnergy, temporal_filters

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sf_cpi": (2, 30)}, r"sf_cpi must be at most 24, Nyquist for 48 rows, got .*30"),
        ({"sf_cpi": (0,)}, "sf_cpi must be a list with one above 0"),
        ({"sf_cpi": (-1, 2)}, "sf_cpi must be a list of 0 or more"),
        ({"sf_cpi": (2, 2)}, "sf_cpi must be without repetition"),
        ({"tf_hz": (0, 13)}, r"tf_hz must be at most 12, Nyquist at 24 fps, got .*13"),
        ({"n_directions": 7}, "n_directions must be even"),
        ({"labels": "other"}, "labels must be one of"),
        ({"compat": "moten"}, "compat must be one of"),
        ({"boundary": "reflect"}, "boundary must be one of"),
        ({"stage": "cube"}, "stage must be one of"),
    ],
)
def test_pyramids_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        MotionEnergy.pyramid((48, 48), 24, **options)


@pytest.mark.parametrize(("fps", "compat", "least"), [(1.0, "pymoten", "1.5"), (2.5, None, "3")])
def test_too_slow_movies(fps, compat, least):
    with pytest.raises(ValueError, match=f"fps must be at least {least}"):
        MotionEnergy.pyramid((48, 48), fps, tf_hz=(0,), compat=compat)


def nan_movie():
    x = torch.zeros(1, 5, 1, 48, 48)
    x[0, 3, 0, 1, 2] = float("nan")
    return x


@pytest.mark.parametrize(
    ("movie", "error", "message"),
    [
        (torch.zeros(1, 0, 1, 48, 48), ValueError, "movie must be one frame or more"),
        (torch.zeros(1, 5, 1, 48, 40), ValueError, r"movie must be of shape \(batch, time, 1, 48, 48\), got shape"),
        (torch.zeros(1, 5, 3, 48, 48), ValueError, "Turn colour into luminance first"),
        (torch.zeros(5, 1, 48, 48), ValueError, "movie must be of shape"),
        (torch.zeros(1, 5, 1, 48, 48, dtype=torch.uint8), TypeError, "movie must be a floating torch.Tensor"),
        (np.zeros((1, 5, 1, 48, 48)), TypeError, "movie must be a floating torch.Tensor"),
        (nan_movie(), ValueError, r"1 NaN or infinite values, the first at index \(0, 3, 1, 2\)"),
    ],
)
def test_movies_that_cannot_be(movie, error, message):
    with pytest.raises(error, match=message):
        MotionEnergy.pyramid((48, 48), 24)(movie)


def test_short_movies_without_margins():
    pyramid = MotionEnergy.pyramid((48, 48), 24, boundary="valid")
    with pytest.raises(ValueError, match="movie must be of 17 frames or more, got 5 frames"):
        pyramid(torch.zeros(1, 5, 1, 48, 48))
    with pytest.raises(ValueError, match="movie must be of 17 frames or more"):
        list(pyramid.stream([torch.zeros(5, 1, 48, 48)]))
    with pytest.raises(ValueError, match="parts must be one or more"):
        list(pyramid.stream([]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sf_cpd": (1, 5)}, r"sf_cpd must be at most 4, Nyquist of the display, got 5"),
        ({"sf_cpd": ()}, "sf_cpd and tf_hz must be lists of one or more"),
        ({"tf_hz": (20.0,)}, r"fps must be at least .* for filters that pass 20 Hz, got 60"),
        ({"n_directions": 5}, "n_directions must be even"),
        ({"space": "dog"}, "space must be one of"),
        ({"time": "later"}, "time must be one of"),
        ({"fps": 0}, "fps must be a finite number above 0"),
    ],
)
def test_dense_energy_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        MotionEnergy(DISPLAY, **options)


def test_pictures_too_small_for_the_filters():
    small = torch.zeros(1, 40, 1, 8, 8)
    for boundary in ("reflect", "valid"):
        with pytest.raises(ValueError, match=f"of .* pixels or more on each side for boundary='{boundary}'"):
            MotionEnergy(DISPLAY, sf_cpd=(0.5,), boundary=boundary)(small)
    assert MotionEnergy(DISPLAY, sf_cpd=(0.5,), boundary="zero")(small).shape == (1, 40, 8)


def test_temporal_filters_say_what_is_missing():
    with pytest.raises(ValueError, match="rate_hz must be left out when tf_hz is given"):
        temporal_filters("adelson_bergen", fps=60, tf_hz=4, rate_hz=60)
    with pytest.raises(ValueError, match="rate_hz must be given for 'adelson_bergen' only"):
        temporal_filters("gabor", fps=60, rate_hz=60)


def test_record_keeps_filters_as_neuroids_over_time():
    """The fifth user story, on a small screen."""
    lab = npc.Display(resolution_px=(96, 128), size_m=(0.10, 0.133), distance_m=0.57, refresh_hz=120)
    plaids = npc.stimuli.plaids(
        lab, sf_cpd=2, tf_hz=4, direction_deg=range(0, 360, 90), duration_s=0.5, ramp_s=0.05, rng=0
    )
    model = npc.motion.MotionEnergy(lab, fps=plaids.fps, sf_cpd=(2.0,), n_directions=12, boundary="zero")
    energy = npc.record(model, plaids)
    assert energy.dims == ("presentation", "neuroid", "time") and energy.shape == (4, 12, 60)
    assert energy.time.values[-1] < 0.5
    late = energy.isel(time=slice(45, 50)).mean("time").values
    # Components move 60 degrees to either side of the pattern.
    best = np.sort(model.filters["direction_deg"].to_numpy()[np.argsort(late, 1)[:, -2:]], 1)
    assert best.tolist() == [[60, 300], [30, 150], [120, 240], [210, 330]]
    with pytest.raises(ValueError, match="fps"):
        npc.record(npc.motion.MotionEnergy(lab, fps=60), plaids)
    pyramid = MotionEnergy.pyramid(plaids.shapes[0][-2:], plaids.fps, sf_cpi=(0, 2))
    assert npc.record(pyramid, plaids).shape == (4, len(pyramid.filters), 60)


def test_movie_files_stream_and_broken_ones_are_named(tmp_path):
    display = npc.Display.from_px_per_deg(8, resolution_px=(48, 64))
    frames = np.random.default_rng(0).random((40, 3, 48, 64), dtype=np.float32)
    npc.data.save_movie(frames, tmp_path / "clip.mp4", fps=24000 / 1001)
    clip = npc.data.load_movie(tmp_path / "clip.mp4", display, channels=1)
    pyramid = MotionEnergy.pyramid((48, 64), clip.fps)
    parts = list(pyramid.stream(clip.frames(0, size=9)))
    torch.testing.assert_close(torch.cat(parts), pyramid(clip[0][None])[0], rtol=0, atol=1e-3)
    (tmp_path / "broken.mp4").write_bytes(b"not a movie")
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        npc.data.load_movie(tmp_path / "broken.mp4", display)
