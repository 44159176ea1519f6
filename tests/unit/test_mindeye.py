"""MindEye: shapes, choices, repetitions, subjects, resuming, adapters, and what is said about bad input."""

import pickle

import numpy as np
import pytest
import torch
import xarray as xr

from neuroperc.data import make_responses
from neuroperc.decoding import BrainDiffuser, MindEye, mindeye
from neuroperc.decoding.mindeye import estimator
from neuroperc.decoding.mindeye._data import Pictures, by_subject, prepare

SMALL = {"width": 16, "n_blocks": 1, "projector_width": 16, "prior_depth": 1, "prior_heads": 2, "prior_head_dims": 4,
         "prior_steps": 5, "epochs": 2, "batch_size": 8}  # fmt: skip


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(24, 3, 5))
    betas = pictures.reshape(24, 15) @ rng.normal(size=(15, 10)) + rng.normal(size=(24, 10))
    return betas, pictures


def test_what_comes_out_has_the_shape_of_the_embeddings(made):
    betas, pictures = made
    model = MindEye(**SMALL).fit(betas, pictures)
    for found in (model.embed(betas[:4]), model.project(betas[:4]), model.predict(betas[:4])):
        assert found.shape == (4, 3, 5)
    np.testing.assert_allclose(np.linalg.norm(model.predict(betas)[:, 0], axis=-1), 1, rtol=1e-5)
    flat = MindEye(**SMALL).fit(betas, pictures[:, 0])
    assert flat.predict(betas[:4], n_samples=3).shape == (4, 5)


def test_trials_and_embeddings_are_matched_by_stimulus(made):
    betas, pictures = made
    names = np.repeat([f"p{k}" for k in range(12)], 2)
    trials = make_responses(betas, stimulus_id=names)
    table = xr.DataArray(pictures[:12, 0], dims=("s", "f"), coords={"stimulus_id": ("s", names[::2])})
    wanted = MindEye(**SMALL).fit(trials, np.repeat(pictures[:12, 0], 2, axis=0)).project(betas)
    for embeddings in (table, table[::-1], table.T):
        np.testing.assert_array_equal(MindEye(**SMALL).fit(trials, embeddings).project(betas), wanted)
    for embeddings, says in (
        (xr.concat([table, table[:1]], "s"), "embeddings must be of one row a stimulus_id, got a stimulus twice"),
        (table[1:], "embeddings must be there for every stimulus of the betas, got none for p0"),
        (
            np.concatenate([pictures[:12, 0]] * 2),
            "embeddings must be alike for all rows of one stimulus, got a mean",
        ),
    ):
        with pytest.raises(ValueError, match=says):
            MindEye(**SMALL).fit(trials, embeddings)


def test_the_linear_baseline_keeps_repeats_together(made):
    betas, pictures = made
    names = np.repeat(np.arange(12), 2)
    twice = np.repeat(pictures[:12, 0], 2, axis=0)
    own = BrainDiffuser(alpha=None).fit(make_responses(betas, stimulus_id=names), twice)
    wanted = BrainDiffuser(alpha=None).fit(betas, twice, groups=names)
    np.testing.assert_array_equal(own.predict(betas), wanted.predict(betas))
    np.testing.assert_array_equal(own.ridge_.alpha_, wanted.ridge_.alpha_)


@pytest.mark.parametrize(
    ("kind", "n_mixed"), [({}, 10), ({"contrastive": "bimixco"}, 30), ({"contrastive": "softclip"}, 0)]
)
def test_the_first_third_is_mixed_and_then_the_temperature_rises(made, monkeypatch, kind, n_mixed):
    """30 steps: BiMixCo in the 10 that begin before .33 of them, then SoftCLIP from .004 to .0075."""
    betas, pictures = made
    seen: list[tuple[str, float]] = []

    def watch(name, value):
        right = getattr(estimator, name)

        def watched(*args, **kwargs):
            seen.append((name, value(*args, **kwargs)))
            return right(*args, **kwargs)

        monkeypatch.setattr(estimator, name, watched)

    watch("bimixco_loss", lambda b, p, partner, share: float(share.min()))
    watch("soft_clip_loss", lambda b, p, temperature: temperature)
    watch("mix_subjects", lambda *_, **__: 0.0)
    MindEye(**SMALL | {"epochs": 10} | kind).fit(betas, pictures)
    losses = [name for name, _ in seen if name != "mix_subjects"]
    assert losses == ["bimixco_loss"] * n_mixed + ["soft_clip_loss"] * (30 - n_mixed)
    assert len(seen) - len(losses) == n_mixed  # nothing is mixed afterwards
    rising = [value for name, value in seen if name == "soft_clip_loss"]
    assert rising == sorted(rising)
    if rising:
        assert rising[-1] == pytest.approx(0.0075) and rising[0] == pytest.approx(0.004, abs=1e-5)


def test_same_seed_same_bits_and_another_seed_others(made):
    betas, pictures = made
    first, again, other = (MindEye(**SMALL, random_state=s).fit(betas, pictures).project(betas) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 1e-3


def test_responses_with_labels_are_repetitions_of_pictures(made):
    betas, pictures = made
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(24), 2))
    noise = np.random.default_rng(2).normal(size=(48, 10))
    names = np.array([f"p{k:02d}" for k in range(24)])
    responses = make_responses(betas[rows] + noise, stimulus_id=names[rows])
    labelled = xr.DataArray(pictures[::-1], dims=("presentation", "token", "dim"),
                            coords={"stimulus_id": ("presentation", names[::-1])})  # fmt: skip
    stacked = np.stack([(betas[rows] + noise)[rows == k] for k in range(24)])
    found = [
        MindEye(**SMALL).fit(*data).project(betas)
        for data in ((responses, labelled), (responses, pictures[rows]), (stacked, pictures))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], atol=1e-4)  # rows are summed in another order


def test_pictures_go_through_their_repetitions_when_these_are_unequal(made):
    names = ["a", "a", "a", "b", "b", "c"]
    values = np.arange(6.0)[:, None] * np.ones((6, 2))
    part = prepare("", make_responses(values, stimulus_id=names), np.eye(6)[[0, 0, 0, 1, 1, 2]])
    assert part.rows.tolist() == [[0, 1, 2], [3, 4, 3], [5, 5, 5]]
    (name, voxels, tokens), = by_subject([Pictures([part])[k] for k in range(3)])  # fmt: skip
    assert (name, voxels.shape, tokens.shape) == ("", (3, 3, 2), (3, 1, 6))


def test_repetitions_take_turns_from_step_to_step(made, monkeypatch):
    _, pictures = made
    seen = []
    whole = mindeye.Backbone.forward
    monkeypatch.setattr(mindeye.Backbone, "forward", lambda self, v: (seen.append(v[0][1]), whole(self, v))[1])
    repetitions = np.random.default_rng(0).choice([-1.0, 1.0], (24, 1, 10)) * np.array([1.0, 2.0, 3.0])[:, None]
    MindEye(**SMALL, contrastive="softclip").fit(repetitions, pictures)
    size = [x.abs().max().item() for x in seen[:6]]
    assert size[0] < size[1] < size[2] and size[:3] == pytest.approx(size[3:], rel=1e-5)


def test_a_killed_training_goes_on_bit_for_bit(made, tmp_path, monkeypatch):
    betas, pictures = made
    whole = MindEye(**SMALL).fit(betas, pictures).project(betas)
    steps, right = [], mindeye.Backbone.forward

    def stumbling(self, voxels):
        if len(steps) == 4:
            raise KeyboardInterrupt
        steps.append(1)
        return right(self, voxels)

    monkeypatch.setattr(mindeye.Backbone, "forward", stumbling)
    with pytest.raises(KeyboardInterrupt):
        MindEye(**SMALL).fit(betas, pictures, checkpoint=tmp_path / "state.pt")
    monkeypatch.setattr(mindeye.Backbone, "forward", right)
    resumed = MindEye(**SMALL).fit(betas, pictures, checkpoint=tmp_path / "state.pt")
    np.testing.assert_array_equal(resumed.project(betas), whole)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(resumed)).project(betas), whole)


@pytest.mark.parametrize(
    ("change", "scale"),
    [({"learning_rate": 1e-2}, 1), ({"prior_weight": 1.0}, 1), ({"contrastive": "softclip"}, 1), ({}, 2)],
)
def test_a_training_on_other_data_or_settings_does_not_take_the_old_weights(made, tmp_path, change, scale):
    betas, pictures = made
    MindEye(**SMALL).fit(betas, pictures, checkpoint=tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"data_key = .*state\.pt.*Use the same data and arguments"):
        MindEye(**SMALL | change).fit(betas**scale, pictures, checkpoint=tmp_path / "state.pt")
    same = {"learning_rate": np.float64(MindEye().learning_rate)}
    assert MindEye(**SMALL | same).fit(betas, pictures, checkpoint=tmp_path / "state.pt").history_.steps > 0


def test_subjects_share_everything_but_their_entry_and_a_new_one_starts_from_it(made):
    betas, pictures = made
    both = MindEye(**SMALL, entry="linear").fit(
        {"s1": betas, "s2": betas[:20, :7]}, {"s1": pictures, "s2": pictures[:20]}
    )
    assert both.project(betas[:3], subject="s1").shape == both.project(betas[:3, :7], subject="s2").shape == (3, 3, 5)
    assert [tuple(e.weight.shape) for e in both.network_.backbone.entries] == [(16, 10), (16, 7)]
    rate = {**SMALL, "learning_rate": 1e-12, "weight_decay": 0.0}
    new = MindEye(**rate, entry="linear").fit({"s3": betas[:, :4]}, {"s3": pictures}, pretrained=both)
    torch.testing.assert_close(new.network_.backbone.head.weight, both.network_.backbone.head.weight)
    known = MindEye(**rate, entry="linear").fit({"s2": betas[:, :7]}, {"s2": pictures}, pretrained=both)
    torch.testing.assert_close(known.network_.backbone.entries[0].weight, both.network_.backbone.entries[1].weight)
    with pytest.raises(ValueError, match=r"subject must be one of 's1', 's2'"):
        both.project(betas)
    with pytest.raises(ValueError, match="pretrained must be of the same sizes"):
        MindEye(**{**SMALL, "width": 8}, entry="linear").fit(betas, pictures, pretrained=both)


@pytest.mark.parametrize("contrastive", ["bimixco_softclip", "bimixco", "softclip", "none"])
@pytest.mark.parametrize("prior", [True, False])
def test_every_choice_trains(made, contrastive, prior):
    betas, pictures = made
    model = MindEye(**SMALL, contrastive=contrastive, prior=prior, projector=prior).fit(betas, pictures)
    assert model.history_.steps == 6 and np.isfinite(model.predict(betas)).all()


def test_matrices_decay_and_biases_do_not(made):
    betas, pictures = made
    model = MindEye(**SMALL).fit(betas, pictures)
    decayed, kept = model._optimizer(list(model.network_.parameters())).param_groups
    assert decayed["weight_decay"] == 0.01 and all(p.ndim > 1 for p in decayed["params"])
    assert kept["weight_decay"] == 0 and all(p.ndim == 1 for p in kept["params"]) and kept["params"]


def test_constant_voxels_say_nothing(made):
    betas, pictures = made
    dead = np.concatenate([betas, np.full((24, 1), 7.0)], axis=1)
    model = MindEye(**SMALL).fit(dead, pictures)
    other = dead.copy()
    other[:, -1] = 1e6
    np.testing.assert_array_equal(model.project(dead), model.project(other))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b, p: (np.where(b > 2, np.nan, b), p), r"betas must be finite, got \d+ NaN"),
        (lambda b, p: (b, np.where(p > 2, np.inf, p)), "embeddings must be finite"),
        (lambda b, p: (b[:5], p), r"embeddings must be \(picture, dim\) or .* of the 5 pictures"),
        (lambda b, p: (b[:0], p[:0]), "betas must be .* not empty"),
        (lambda b, p: (b[:1], p[:1]), "betas must be of voxels that vary"),
        (lambda b, p: (b[:, 0], p), r"betas must be \(picture, voxel\)"),
        (lambda b, p: (b * 0, p), "betas must be of voxels that vary"),
        (lambda b, p: (b, p * 0), "embeddings must be with a first token that is not zero"),
        (lambda b, p: ({"a": b}, p), "embeddings must be a mapping with the subjects"),
    ],
)
def test_bad_data_is_named(made, change, says):
    with pytest.raises(ValueError, match=says):
        MindEye(**SMALL).fit(*change(*made))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"contrastive": "mse"}, "contrastive must be one of"),
        ({"mixing_share": 1.5}, "mixing_share must be from 0 to 1, got 1.5"),
        ({"contrastive": "none", "prior_weight": 0}, "prior_weight must be above 0"),
        ({"entry": "deep"}, "entry must be one of 'dropout', 'linear'"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2"),
        ({"null_share": 1.0}, "null_share must be from 0 to below 1"),
        ({"width": 0}, "width must be a whole number of at least 1"),
    ],
)
def test_bad_settings_are_named(made, settings, says):
    with pytest.raises(ValueError, match=says):
        MindEye(**{**SMALL, **settings}).fit(*made)


def test_using_it_wrongly_is_named(made):
    betas, pictures = made
    with pytest.raises(RuntimeError, match="MindEye must be fitted first"):
        MindEye().project(betas)
    with pytest.raises(RuntimeError, match="BrainDiffuser must be fitted first"):
        BrainDiffuser().predict(betas)
    model = MindEye(**SMALL).fit(betas, pictures)
    with pytest.raises(ValueError, match="betas must be of 10 voxels, as in training, got 9"):
        model.project(betas[:, :9])
    with pytest.raises(RuntimeError, match="pretrained must be fitted first"):
        MindEye(**SMALL).fit(betas, pictures, pretrained=MindEye())
    with pytest.raises(ValueError, match="betas must be of two or more pictures when transductive"):
        BrainDiffuser(transductive=True).fit(betas, pictures).predict(betas[:1])
    with pytest.raises(ValueError, match="alpha must be a finite number above 0"):
        BrainDiffuser(alpha=0).fit(betas, pictures)
    with pytest.raises(ValueError, match="betas must be of voxels that vary, got constant voxels only"):
        BrainDiffuser().fit(np.ones_like(betas), pictures)
    plain, unnamed = np.asarray(betas), xr.DataArray(np.asarray(betas), dims=("picture", "voxel"))
    found = (BrainDiffuser().fit(x, pictures).predict(plain) for x in (plain, unnamed))
    np.testing.assert_array_equal(*found)


def test_low_level_at_published_size_gives_stable_diffusions_latents():
    with torch.device("meta"):
        net = mindeye.LowLevel(15724, width=4096, n_blocks=4)
        latents, patches = net(torch.zeros(2, 15724))
    assert latents.shape == (2, 4, 64, 64) and patches.shape == (2, 256, 512)


def test_low_level_learns_a_picture_from_voxels():
    torch.manual_seed(0)
    net = mindeye.LowLevel(12, width=32, n_blocks=1, side=2, channels=(8, 8, 8), n_patch_dims=8)
    voxels = torch.randn(8, 12)
    target, patches = torch.randn(8, 4, 8, 8) * 0.18215, torch.randn(8, 4, 8)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    net.eval()  # no dropout: it is about fitting
    losses = []
    for _ in range(150):
        said, student = net(voxels)
        loss = mindeye.low_level_loss(said, target, student, patches, patches)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_evaluation_says_what_is_wrong():
    shown = np.random.default_rng(0).random((4, 3, 16, 16))
    for change, says in (
        ({"reconstructions": shown[:3]}, "reconstructions must be of the images' shape"),
        ({"reconstructions": shown * 2}, r"reconstructions must be within \[0, 1\]"),
        ({"images": shown[:, :1]}, r"images must be \(n, 3, h, w\)"),
        ({"encoding": "raw"}, "encoding must be one of"),
        ({"nearest": [0, 0, 0, 0]}, "training_images must be given with nearest"),
        ({"nearest": [0, 0, 0, 9], "training_images": shown}, "nearest must be the number of a training image"),
        ({"conditions": ["a"]}, "conditions must be one for each"),
        ({"interval": "sem"}, "interval must be one of"),
        ({"resize_px": 0}, "resize_px must be a whole number of at least 1"),
    ):
        given = {"reconstructions": shown, "images": shown, "encoding": "srgb", "rng": 0} | change
        with pytest.raises(ValueError, match=says):
            mindeye.evaluate_reconstructions(given.pop("reconstructions"), given.pop("images"), **given)


def test_the_decoder_and_the_copier_are_generators(made):
    _, tokens = made
    pictures = np.random.default_rng(0).random((24, 3, 8, 8))
    decoder = mindeye.PictureDecoder(width=32, epochs=1).fit(tokens, pictures)
    generators: list[mindeye.ImageGenerator] = [decoder, mindeye.RetrievalGenerator(tokens, pictures)]
    asked = torch.from_numpy(tokens[:2])
    for generator in generators:
        found = generator(asked, n_samples=3, rng=0)
        assert found.shape == (2, 3, 3, 8, 8) and found.min() >= 0 and found.max() <= 1
        with pytest.raises(ValueError, match="start must be None for a"):
            generator(asked, start=torch.zeros(2, 3, 8, 8))
        with pytest.raises(ValueError, match="embeddings must be of 15 numbers, as in training, got 10"):
            generator(asked[:, :2])
        with pytest.raises(ValueError, match="embeddings must be finite"):
            generator(asked * torch.nan)
    with pytest.raises(ValueError, match="n_samples must be at most the 24 training pictures, got 25"):
        generators[1](asked, n_samples=25)
    with pytest.raises(RuntimeError, match="PictureDecoder must be fitted first"):
        mindeye.PictureDecoder()(asked)


@pytest.mark.parametrize(
    ("settings", "pictures", "says"),
    [
        ({}, np.zeros((24, 3, 12, 12)), "images must be square, with a side of 8, 16, 32, 64"),
        ({}, np.zeros((24, 3, 8, 16)), "images must be square"),
        ({}, np.zeros((24, 3, 4, 4)), "images must be square"),
        ({}, np.zeros((23, 3, 8, 8)), "embeddings must be one for each of the 23 pictures"),
        ({}, np.zeros((24, 8, 8, 3)), r"images must be \(picture, 3, h, w\)"),
        ({}, np.full((24, 3, 8, 8), 2.0), r"images must be within \[0, 1\]"),
        ({}, np.zeros((24, 3, 8, 8), np.uint8), "images must be floating point"),
        ({}, np.full((24, 3, 8, 8), np.nan), "images must be finite"),
        ({"width": 33}, np.zeros((24, 3, 8, 8)), "width must be a multiple of 8, got 33"),
        ({"noise_sd": -1}, np.zeros((24, 3, 8, 8)), "noise_sd must be a finite number"),
    ],
)
def test_bad_pictures_for_the_decoder_are_named(made, settings, pictures, says):
    with pytest.raises(ValueError, match=says):
        mindeye.PictureDecoder(**settings).fit(made[1], pictures)
    if not settings and "square" not in says:
        with pytest.raises(ValueError, match=says):
            mindeye.RetrievalGenerator(made[1], pictures)


def test_a_killed_decoder_goes_on_bit_for_bit(made, tmp_path, monkeypatch):
    _, tokens = made
    pictures, asked = np.random.default_rng(0).random((24, 3, 8, 8)), torch.from_numpy(tokens)
    settings = {"width": 32, "epochs": 3, "batch_size": 8}
    whole = mindeye.PictureDecoder(**settings).fit(tokens, pictures)(asked)
    right, steps = mindeye.PictureDecoder._loss, []

    def stumbling(self, network, batch):
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        return right(self, network, batch)

    monkeypatch.setattr(mindeye.PictureDecoder, "_loss", stumbling)
    with pytest.raises(KeyboardInterrupt):
        mindeye.PictureDecoder(**settings).fit(tokens, pictures, checkpoint=tmp_path / "state.pt")
    monkeypatch.setattr(mindeye.PictureDecoder, "_loss", right)
    resumed = mindeye.PictureDecoder(**settings).fit(tokens, pictures, checkpoint=tmp_path / "state.pt")
    torch.testing.assert_close(resumed(asked), whole, rtol=0, atol=0)
    other = mindeye.PictureDecoder(**settings, random_state=1).fit(tokens, pictures)(asked)
    assert (other - whole).abs().max() > 1e-3
    for changed, shown in (({"noise_sd": 0.0}, pictures), ({}, pictures[::-1])):
        with pytest.raises(ValueError, match="data_key"):
            mindeye.PictureDecoder(**settings | changed).fit(tokens, shown, checkpoint=tmp_path / "state.pt")
