"""What the two-stage motion model must do whatever its weights, and what the small trained one must see."""

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc.color import srgb_to_linear
from neuroperc.motion import FlowClips, MotionSensing, MotionStages, TwoStageMotion, flow_loss, train_flow
from neuroperc.motion.flow.graph import MotionGraph, propagate

SMALL = {"n_scales": 2, "n_units": 8, "spread": 2.0, "n_iterations": 2}
DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(64, 64), refresh_hz=30)


@pytest.mark.parametrize("higher_order", [False, True])
def test_a_batch_equals_its_clips_one_by_one(higher_order):
    model = TwoStageMotion(**SMALL, higher_order=higher_order).double()
    channels = 3 if higher_order else 1
    clips = (
        torch.rand(3, model.n_frames, channels, 32, 40, dtype=torch.float64)
        * torch.tensor([1, 0.5, 0.1])[:, None, None, None, None]
    )
    with torch.no_grad():
        together, alone = model(clips), torch.cat([model(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


def test_chunked_attention_equals_whole_with_gradients():
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(2, 23, 6, dtype=torch.float64), dim=-1).requires_grad_()
    sent = torch.randn(2, 23, 4, dtype=torch.float64, requires_grad=True)
    sharpness = torch.tensor([2.0, 9.0], dtype=torch.float64)[:, None, None].requires_grad_()
    grown = [
        torch.autograd.grad(propagate(unit, sent, sharpness, chunk).square().sum(), (unit, sent, sharpness))
        for chunk in (100, 5)
    ]
    torch.testing.assert_close(propagate(unit, sent, sharpness, 5), propagate(unit, sent, sharpness, 23))
    for whole, chunked in zip(*grown, strict=True):
        torch.testing.assert_close(chunked, whole)
    whole, chunked = TwoStageMotion(**SMALL), TwoStageMotion(**SMALL, chunk_places=7)
    clip = torch.rand(1, 11, 1, 40, 48)
    torch.testing.assert_close(chunked(clip), whole(clip), rtol=1e-4, atol=1e-5)


def test_chunks_keep_the_matrix_of_pairs_out_of_memory():
    graph, made = MotionGraph(4, chunk_places=16), []
    exp = torch.exp

    def watched(x):
        made.append(x.shape)
        return exp(x)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch, "exp", watched)
        graph(torch.rand(1, 4, 10, 10), torch.rand(1, 4, 10, 10))
    assert len(made) > 6
    assert max(shape[1] for shape in made) == 16


def grating(direction_deg, sf_cpp, tf_cpf, side=96, frames=11):
    t, y, x = np.meshgrid(np.arange(frames), np.arange(side), np.arange(side), indexing="ij")
    d = np.deg2rad(direction_deg)
    turns = sf_cpp * (x * np.cos(d) - y * np.sin(d)) - tf_cpf * t
    return torch.from_numpy(0.5 + 0.4 * np.cos(2 * np.pi * turns))[None, :, None]


def test_units_prefer_what_their_labels_say():
    sensing = MotionSensing(n_scales=4, n_units=6, spread=4.0, rng=3).double()
    sensing.tau.data.fill_(4.0)  # sharp in time
    table = sensing.units()
    for unit in (0, 9, 14, 23):
        row = table.iloc[unit]
        at = row.direction_deg, row.sf_cpp, row.tf_cpf

        def answer(direction, sf, tf, unit=unit):
            with torch.no_grad():
                frames = grating(direction, sf, tf)[:, :, 0].flatten(0, 1)[:, None]
                for _ in range(unit // 6 + 1):
                    frames = torch.nn.functional.interpolate(frames, scale_factor=sensing.ratio, mode="bilinear")
                energy = sensing.energy(frames, 1, unit // 6)[0, unit % 6]
            inner = slice(energy.shape[0] // 3, -energy.shape[0] // 3)
            return float(energy[inner, inner].mean()) - 0.09

        best = answer(*at)
        around = [answer(at[0] + turn, *at[1:]) for turn in (90, 180, 270)]
        assert best > 3 * max(around)
        if row.sf_cpp > 0.02:
            published_label = row.sf_cpp / sensing.ratio
            assert best > answer(at[0], published_label, at[2])


def test_tuned_units_peak_at_their_labels():
    sensing, directions = MotionSensing(rng=1), np.arange(0, 360, 45.0)
    with torch.no_grad():
        movies = torch.cat([grating(d, 0.1, 0.12, side=64) for d in directions]).float()
        energy = sensing(movies)[..., 2:-2, 2:-2].mean((2, 3)).numpy()
    vector = np.exp(1j * np.deg2rad(directions)) @ energy
    # Driven above the mean over units, and by direction: what drives a unit of other frequencies says little of it.
    chosen = (energy.max(0) > 4) & (abs(vector) > 0.3 * energy.sum(0))
    label = sensing.units()["direction_deg"].to_numpy()
    off = abs((np.rad2deg(np.angle(vector)) - label + 180) % 360 - 180)[chosen]
    assert len(off) >= 20
    assert np.median(off) < 10
    assert off.max() < 30


def test_energy_stays_finite_and_has_its_mean():
    sensing = MotionSensing()
    dark, noise = sensing(torch.zeros(1, 11, 1, 64, 64)), sensing(torch.rand(1, 11, 1, 64, 64))
    assert torch.isfinite(dark).all()
    assert torch.isfinite(noise).all()
    assert abs(float(noise.detach().mean()) - 4) < 0.05  # gain 4, before training
    assert torch.isfinite(TwoStageMotion(**SMALL)(torch.zeros(1, 11, 1, 32, 32))).all()


def test_everything_trainable_is_reached_by_the_loss():
    model = TwoStageMotion(**SMALL, higher_order=True)
    stages = model.stages(torch.rand(1, 15, 3, 32, 32))
    assert len(stages.energy) == len(stages.velocity_px) == len(stages.first_order.bilinear_px) == 3
    flow_loss(stages, torch.randn(1, 2, 32, 32)).backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []


def test_loss_by_hand():
    steps = tuple(torch.full((1, 2, 2, 2), v) for v in (4.0, 1.0, 0.0))
    truth = torch.full((1, 2, 2, 2), 1.0)
    truth[0, 0, 0, 0] = float("nan")  # the place is left out, not taken for 0
    fine, coarse = (0.5 * 0 + 1.0 * 1) / 2, (0.25 * 3 + 0.5 * 0 + 1.0 * 1) / 3
    stages = MotionStages((), steps, steps, None)
    assert flow_loss(stages, truth, decay=0.5).item() == pytest.approx((fine + coarse) / 2)
    both = stages._replace(first_order=stages)
    assert flow_loss(both, truth, decay=0.5).item() == pytest.approx(1.5 * (fine + coarse) / 2)


@pytest.mark.parametrize("draw", [[a, b, c, d, 1.0] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)])
def test_varied_clips_keep_their_truth(draw, monkeypatch):
    picture = np.random.default_rng(0).integers(256, size=(16, 16)).astype(np.uint8)
    movie = np.stack([np.roll(picture, (-3 * t, 2 * t), (0, 1)) for t in range(5)])  # right by 2, up by 3
    velocity = np.broadcast_to(np.array([2.0, 3.0])[:, None, None], (2, 16, 16)).copy()
    clips = FlowClips(movie[None], velocity[None], ["noise"], augment=True)
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(draw, dtype=torch.float64))
    seen, moved = clips[0]
    (vx,), (vy,) = (moved[k].unique().int().tolist() for k in (0, 1))
    torch.testing.assert_close(seen[3, 0], seen[2, 0].roll((-vy, vx), (0, 1)))


def test_training_clips_are_seeded_and_true():
    clips = npc.motion.flow_training_clips(20, size_px=32, rng=7)
    again = npc.motion.flow_training_clips(20, size_px=32, rng=7)
    assert torch.equal(clips.movies, again.movies)
    assert torch.equal(clips.velocity_px.nan_to_num(), again.velocity_px.nan_to_num())
    assert np.unique(clips.kind, return_counts=True)[1].tolist() == [3, 3, 4, 10]
    k = int(np.flatnonzero(clips.kind == "noise")[0])
    velocity = clips.velocity_px[k, :, 0, 0].tolist()
    first, second = (srgb_to_linear(clips.movies[k, t].double() / 255) for t in (5, 6))
    # The texture's light moves on a torus: its Fourier phases turn by the velocity.
    a, b = (torch.fft.fft2(f) for f in (first, second))
    f = torch.fft.fftfreq(32, dtype=torch.float64)
    turned = a * torch.exp(-2j * torch.pi * (f[None] * velocity[0] - f[:, None] * velocity[1]))
    low = (f.abs()[None] < 0.2) & (f.abs()[:, None] < 0.2) & (a.abs() > 0.5)
    assert float(((turned - b).abs() / b.abs())[low].median()) < 0.05


def test_training_can_be_repeated_and_resumed(tmp_path):
    clips = npc.motion.flow_training_clips(6, size_px=16, augment=True, rng=0)
    whole, killed, resumed = (TwoStageMotion(n_scales=1, n_units=4, n_iterations=1) for _ in range(3))
    common = {"steps": 5, "learning_rate": 1e-3, "validate_every": 4}
    before = {name: value.clone() for name, value in whole.state_dict().items()}

    def kill(_):
        raise KeyboardInterrupt

    train_flow(whole, clips, **common, validate=lambda _: 0.0)
    saved = {"checkpoint": tmp_path / "state.pt", "checkpoint_every": 2}
    with pytest.raises(KeyboardInterrupt):
        train_flow(killed, clips, **common, **saved, validate=kill)
    for other in ({"decay": 0.5}, {"learning_rate": 2e-3}):
        with pytest.raises(ValueError, match="checkpoint must be of a training with"):
            train_flow(resumed, clips, **common | other, **saved, validate=kill)
    with pytest.raises(ValueError, match="checkpoint must be of a training with data_key"):
        train_flow(resumed, npc.motion.flow_training_clips(6, size_px=16, augment=True, rng=1), **common, **saved)
    assert train_flow(resumed, clips, **common, **saved, validate=lambda _: 0.0).steps == 5
    after = whole.state_dict()
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, after[name]), name
    assert sum(not torch.equal(before[name], after[name]) for name in after) > 40


def test_saved_weights_come_back(tmp_path):
    model = TwoStageMotion(**SMALL, edge="replicate", random_state=4)
    model.save(tmp_path / "mine.safetensors", note={"what": "random"})
    again = TwoStageMotion.pretrained(tmp_path / "mine.safetensors")
    assert again.settings() == model.settings()
    clip = torch.rand(1, 11, 1, 32, 32)
    torch.testing.assert_close(again(clip), model(clip), rtol=0.05, atol=0.02)  # half precision


@pytest.fixture(scope="module")
def trained():
    return TwoStageMotion.pretrained()


@pytest.mark.parametrize("direction", [0.0, 90.0, 180.0, 270.0])
def test_trained_model_sees_where_things_go(trained, direction):
    for movies in (
        npc.stimuli.drifting_noise(
            DISPLAY, speed_deg_s=7.5, direction_deg=direction, rng=1, size_deg=8, duration_s=11 / 30
        ),
        npc.stimuli.gratings(DISPLAY, sf_cpd=1, tf_hz=5, direction_deg=direction, size_deg=8, duration_s=11 / 30),
    ):
        with torch.no_grad():
            seen = trained(movies[0][None])[0, :, 8:-8, 8:-8].mean((1, 2)).numpy() * 30 / 8
        truth = movies.truth["velocity_deg_s"][0]
        # The direction is the claim; speeds of a model this small are off, gratings by up to 60 %.
        off = np.rad2deg(np.arccos(seen @ truth / np.linalg.norm(seen) / np.linalg.norm(truth)))
        assert off < 30
        assert np.linalg.norm(seen) > 0.3 * np.linalg.norm(truth)


def test_mirrored_movies_give_mirrored_velocity(trained):
    clips = npc.motion.flow_training_clips(6, rng=11)
    movie = clips.movies[:, :, None].float() / 255
    with torch.no_grad():
        plain, mirrored = (trained(m, encoding="srgb") for m in (movie, movie.flip(-1)))
    wanted = plain.flip(-1) * torch.tensor([-1.0, 1.0])[:, None, None]
    assert float((mirrored - wanted).norm(dim=1).mean()) < 0.35 * float(plain.norm(dim=1).mean())


def test_velocity_in_degrees(trained):
    clip = torch.rand(1, 11, 1, 32, 32)
    with torch.no_grad():
        px, deg = trained(clip), trained.velocity_deg_s(clip, DISPLAY, fps=60)
    torch.testing.assert_close(deg, px * 60 / 8)
