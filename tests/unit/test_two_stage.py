"""Bad input to the two-stage motion model and its training, and how it meets record."""

import json

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.motion import FlowClips, MotionSensing, MotionStages, TwoStageMotion, flow_loss, train_flow

SMALL = {"n_scales": 2, "n_units": 4, "spread": 2.0, "n_iterations": 1}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_scales": 0}, ValueError, "n_scales must be a whole number of at least 1, got 0"),
        ({"n_units": 2.5}, TypeError, "n_units must be a whole number"),
        ({"n_scales": 1, "n_units": 6}, ValueError, "channels must be a multiple of 4"),
        ({"spread": 1.0}, ValueError, "spread must be above 1"),
        ({"n_frames": 5}, ValueError, "n_frames must be a whole number of at least 6, got 5"),
        ({"n_iterations": -1}, ValueError, "n_iterations must be a whole number of at least 0"),
        ({"n_iterations": 0, "higher_order": True}, ValueError, "n_iterations must be 1 or more with higher_order"),
        ({"cell_px": 4, "higher_order": True}, ValueError, "cell_px and units must be 8 and a multiple of 8"),
        ({"edge": "mirror"}, ValueError, "edge must be one of 'zero', 'replicate'"),
        ({"chunk_places": 0}, ValueError, "chunk_places must be a whole number of at least 1"),
    ],
)
def test_models_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        TwoStageMotion(**SMALL | options)


def nan_clip():
    clip = torch.zeros(1, 11, 1, 16, 16)
    clip[0, 3, 0, 1, 2] = float("nan")
    return clip


@pytest.mark.parametrize(
    ("movie", "error", "message"),
    [
        (torch.zeros(1, 10, 1, 16, 16), ValueError, r"of shape \(batch, 11, 1 or 3, h, w\).*Cut out the 11 frames"),
        (torch.zeros(1, 0, 1, 16, 16), ValueError, r"movie must be of shape \(batch, 11"),
        (torch.zeros(0, 11, 1, 16, 16), ValueError, r"movie must be of shape \(batch, 11"),
        (torch.zeros(1, 11, 2, 16, 16), ValueError, "1 or 3"),
        (torch.zeros(11, 1, 16, 16), ValueError, "movie must be of shape"),
        (torch.zeros(1, 11, 1, 16, 16, dtype=torch.uint8), TypeError, "movie must be a floating torch.Tensor"),
        (np.zeros((1, 11, 1, 16, 16)), TypeError, "movie must be a floating torch.Tensor"),
        (torch.full((1, 11, 1, 16, 16), 200.0), ValueError, r"within \[0, 1\], got 200 to 200. Divide 8-bit codes"),
        (nan_clip(), ValueError, r"1 NaN or infinite values, the first at index \(0, 3, 0, 1, 2\)"),
    ],
)
def test_clips_that_cannot_be(movie, error, message):
    with pytest.raises(error, match=message):
        TwoStageMotion(**SMALL)(movie)


def test_pictures_too_small_or_of_odd_sides():
    with pytest.raises(ValueError, match=r"movie must be of \d+ pixels or more on each side for its scales, got 8 x 8"):
        TwoStageMotion(n_iterations=1)(torch.zeros(1, 11, 1, 5, 7))
    with pytest.raises(ValueError, match="sides that are multiples of 8 pixels, got 20 x 24"):
        MotionSensing(n_scales=2, spread=2.0)(torch.zeros(1, 11, 1, 20, 24))
    with pytest.raises(ValueError, match="movie must be of 11 frames, got 12 frames"):
        MotionSensing(n_scales=2, spread=2.0)(torch.zeros(1, 12, 1, 24, 24))
    # The model itself repeats the last pixels, and cuts them off again.
    assert TwoStageMotion(**SMALL)(torch.rand(1, 11, 1, 20, 29)).shape == (1, 2, 20, 29)


def test_a_higher_order_model_takes_fifteen_frames():
    model = TwoStageMotion(**SMALL, higher_order=True)
    assert model.n_frames == 15
    with pytest.raises(ValueError, match="Cut out the 15 frames"):
        model(torch.rand(1, 11, 3, 16, 16))
    grey = torch.rand(1, 15, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(grey), model(grey.expand(-1, -1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_labels_need_both_display_and_fps():
    with pytest.raises(ValueError, match="display and fps must be given together"):
        MotionSensing().units(fps=30)
    display = npc.Display.from_px_per_deg(16, resolution_px=(64, 64))
    table = MotionSensing().units(display, fps=30)
    assert len(table) == 256
    np.testing.assert_allclose(table["speed_deg_s"], table["tf_hz"] / table["sf_cpd"])
    np.testing.assert_allclose(table["sf_cpd"], 16 * table["sf_cpp"])
    with pytest.raises(TypeError, match="display must be a Display"):
        TwoStageMotion(**SMALL).velocity_deg_s(torch.zeros(1, 11, 1, 16, 16), 8, fps=30)


def test_files_that_are_not_weights(tmp_path):
    missing = tmp_path / "none.safetensors"
    with pytest.raises(ValueError, match=r"path must be of weights with a .json file beside them"):
        TwoStageMotion.pretrained(missing)
    TwoStageMotion(**SMALL).save(missing)
    missing.write_bytes(missing.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"path must be of weights that TwoStageMotion.save wrote"):
        TwoStageMotion.pretrained(missing)
    TwoStageMotion(**SMALL).save(missing)
    missing.with_suffix(".json").write_text(json.dumps({"model": {"n_scale": 2}}))
    with pytest.raises(ValueError, match="n_scale"):
        TwoStageMotion.pretrained(missing)


def test_published_files_that_are_not(tmp_path):
    with pytest.raises(ValueError, match=r"settings must be edge, n_iterations or chunk_places, got .*n_units"):
        TwoStageMotion.from_published(tmp_path / "x.pth", n_units=3)
    with pytest.raises(ValueError, match="existing file"):
        TwoStageMotion.from_published(tmp_path / "x.pth")
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"published layout, got one without ffv1.spatial_filter.0.fs"):
        TwoStageMotion.from_published(tmp_path / "x.pth", n_iterations=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be a whole number of at least 1"),
        ({"n_frames": 10}, ValueError, "n_frames must be odd"),
        ({"size_px": -8}, ValueError, "size_px must be two whole numbers"),
        ({"max_speed_px": 0}, ValueError, "max_speed_px must be a finite number above 0"),
        ({"rng": None}, TypeError, "rng must be an int or a numpy.random.Generator"),
    ],
)
def test_training_clips_that_cannot_be(arguments, error, message):
    with pytest.raises(error, match=message):
        npc.motion.flow_training_clips(**{"n": 2, "size_px": 16, "rng": 0} | arguments)


def test_clips_and_truth_that_do_not_fit():
    movies, velocity = torch.zeros(2, 11, 16, 16, dtype=torch.uint8), torch.zeros(2, 2, 16, 16)
    with pytest.raises(ValueError, match="movies must be uint8 codes"):
        FlowClips(movies.float(), velocity, ["a", "b"])
    with pytest.raises(ValueError, match=r"velocity_px must be of shape \(2, 2, 16, 16\), got \(2, 2, 8, 8\)"):
        FlowClips(movies, velocity[..., :8, :8], ["a", "b"])
    with pytest.raises(ValueError, match="kind must be 2 labels"):
        FlowClips(movies, velocity, ["a"])


def test_losses_that_cannot_be():
    still = torch.zeros(1, 2, 4, 4)
    stages = MotionStages((), (still,), (still,), None)
    with pytest.raises(ValueError, match="velocity_px must be of shape"):
        flow_loss(stages, torch.zeros(1, 2, 5, 5))
    with pytest.raises(ValueError, match="velocity_px must be finite and slower"):
        flow_loss(stages, torch.full((1, 2, 4, 4), float("nan")))
    with pytest.raises(TypeError, match="clips must be FlowClips"):
        train_flow(TwoStageMotion(**SMALL), still, steps=1)
    clips = FlowClips(torch.zeros(1, 11, 16, 16, dtype=torch.uint8), torch.zeros(1, 2, 16, 16), ["a"])
    with pytest.raises(ValueError, match="warmup must be from 0 up to below 1"):
        train_flow(TwoStageMotion(**SMALL), clips, steps=1, warmup=1.0)


def test_recorded_energy_is_that_of_the_stage():
    display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32), refresh_hz=30)
    shown = npc.stimuli.gratings(display, sf_cpd=1, tf_hz=3, direction_deg=[0, 90], duration_s=11 / 30)
    model = TwoStageMotion(**SMALL)
    found = npc.record(model, shown, layers=["stage1"])
    with torch.no_grad():
        wanted = model.stages(torch.stack(list(shown))).energy[0].flatten(1).numpy()
    assert found.sizes["presentation"] == 2
    np.testing.assert_allclose(np.sort(found.values.reshape(2, -1)), np.sort(wanted), rtol=1e-4)
