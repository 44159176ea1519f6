"""What must hold of MindEye: directions, precision, null tokens, modes of the prior, baselines, planted brains."""

import numpy as np
import pytest
import torch
from torch import nn

from neuroperc.decoding import MindEye, brain_to_image, image_to_brain, mindeye, plant_brain
from neuroperc.metrics import pearson
from neuroperc.regression import RidgeCV


def test_retrieval_goes_the_way_its_name_says():
    # Every brain is most like picture 0; each picture is most like its own brain, for picture k by angle.
    angles = np.deg2rad([0.0, 50.0, 70.0])
    image = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    brain = np.stack([np.cos(angles / 4), np.sin(angles / 4)], axis=1)
    cosine = brain @ image.T
    assert (cosine.argmax(axis=1) == 0).all() and cosine.argmax(axis=0).tolist() == [0, 2, 2]
    assert brain_to_image(brain, image, n_candidates=None).tolist() == [1.0, 0.0, 0.0]
    assert image_to_brain(brain, image, n_candidates=None).tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_stay_finite_in_half_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(257, 768, generator=generator)  # squared length 197376, beyond half precision
    picture = shared + 0.1 * torch.randn(6, 257, 768, generator=generator)
    partner, share = torch.randperm(6, generator=generator), torch.rand(6, generator=generator)
    for loss in (
        lambda b, p: mindeye.bimixco_loss(b, p, partner, share),
        lambda b, p: mindeye.soft_clip_loss(b, p, temperature=0.004),
    ):
        brain = (picture + 0.1 * torch.randn(picture.shape, generator=generator)).to(dtype).requires_grad_()
        value = loss(brain, picture.to(dtype))
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(brain.grad).all() and brain.grad.abs().max() > 0
        # The same rounded numbers in float32: only the input is rounded, not the work.
        assert value.item() == pytest.approx(loss(brain.detach().float(), picture.to(dtype).float()).item(), rel=1e-5)


def test_autocast_does_not_blur_the_losses():
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(64, generator=generator) + 0.1 * torch.randn(32, 64, generator=generator)
    brain = picture + 0.1 * torch.randn(picture.shape, generator=generator)
    plain = mindeye.soft_clip_loss(brain, picture, temperature=0.004)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = mindeye.soft_clip_loss(brain, picture, temperature=0.004)
    assert plain.item() > 0.1
    assert cast.item() == pytest.approx(plain.item(), rel=1e-6)


def test_partners_never_cross_subjects_and_mixtures_are_convex():
    rng = np.random.default_rng(0)
    parts = [torch.from_numpy(rng.normal(size=(n, v))) for n, v in ((40, 5), (60, 9))]
    mixed, partner, share = mindeye.mix_subjects(parts, rng=1)
    assert (partner[:40] < 40).all() and (partner[40:] >= 40).all()
    assert sorted(partner.tolist()) == list(range(100))
    again = share[40:, None] * parts[1] + (1 - share[40:, None]) * parts[1][partner[40:] - 40]
    torch.testing.assert_close(mixed[1], again)
    many = mindeye.mix_voxels(torch.zeros(20000, 1, dtype=torch.float64), rng=0)[2].numpy()
    untouched = (many == 1).mean()
    drawn = many[many < 1]
    # Beta(.15, .15): mean 1/2, variance 1 / (4 (2 * .15 + 1)).
    assert untouched == pytest.approx(0.5, abs=0.015)
    assert (drawn.mean(), drawn.var()) == pytest.approx((0.5, 1 / 5.2), abs=0.012)


def test_repetitions_mix_as_often_as_published():
    one = torch.eye(3, dtype=torch.float64)[None].repeat(20000, 1, 1)  # what comes out are the weights
    weights = mindeye.mix_repetitions(one, rng=0).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    single, mean = (weights.max(axis=1) == 1).mean(), (np.ptp(weights, axis=1) < 1e-12).mean()
    assert (single, mean) == pytest.approx((0.2, 0.3), abs=0.012)


def test_null_tokens_stand_in_for_what_is_left_out():
    torch.manual_seed(0)
    prior = mindeye.DiffusionPrior(n_tokens=2, n_dims=8, depth=1, n_heads=2, head_dims=4, n_steps=6)
    x, step = torch.randn(4, 2, 8), torch.tensor([0, 1, 2, 3])
    a, b = torch.randn(2, 4, 2, 8)
    nobody, everybody = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    torch.testing.assert_close(
        prior.denoise(x, step, a, keep_brain=nobody), prior.denoise(x, step, b, keep_brain=nobody)
    )
    assert (prior.denoise(x, step, a) - prior.denoise(x, step, b)).abs().max() > 1e-3
    torch.testing.assert_close(prior.denoise(x, step, a, keep_brain=everybody), prior.denoise(x, step, a))
    torch.testing.assert_close(
        prior.denoise(x, step, a, keep_picture=nobody), prior.denoise(-x, step, a, keep_picture=nobody)
    )
    # Sampling: guidance 0 ignores the brain, 1 does not, and training sees the null tokens.
    torch.testing.assert_close(prior.sample(a, rng=0, guidance=0.0), prior.sample(b, rng=0, guidance=0.0))
    assert (prior.sample(a, rng=0) - prior.sample(b, rng=0)).abs().max() > 1e-3
    # One step ends at the prediction itself, so that guidance shows its formula: null + w (conditional - null).
    single = mindeye.DiffusionPrior(n_tokens=2, n_dims=8, depth=1, n_heads=2, head_dims=4, n_steps=1)
    zero, one, two = (single.sample(a, rng=0, guidance=g) for g in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two, 2 * one - zero)
    prior.loss(a.repeat(8, 1, 1), x.repeat(8, 1, 1), rng=0).backward()
    assert prior.null_brain.grad.abs().max() > 0 and prior.null_picture.grad.abs().max() > 0
    always = mindeye.DiffusionPrior(n_tokens=2, n_dims=8, depth=1, n_heads=2, head_dims=4, n_steps=6, null_share=0.0)
    always.loss(a, x, rng=0).backward()
    assert always.null_brain.grad is None or always.null_brain.grad.abs().max() == 0


def test_every_token_sees_every_other_and_knows_its_place():
    torch.manual_seed(0)
    prior = mindeye.DiffusionPrior(n_tokens=3, n_dims=8, depth=1, n_heads=2, head_dims=4, n_steps=6)
    x, step, brain = torch.randn(1, 3, 8), torch.tensor([2]), torch.randn(1, 3, 8)
    before = prior.denoise(x, step, brain)
    for place in range(3):  # not causal: the last token moves the first answer
        other = x.clone()
        other[:, place, 0] += 1
        assert (prior.denoise(other, step, brain) - before).abs().amax(-1).min() > 1e-6
    swapped = prior.denoise(x, step, brain[:, [1, 0, 2]])
    assert (swapped - before).abs().max() > 1e-4  # order of the brain's tokens counts


@pytest.mark.slow
def test_the_prior_finds_both_modes_and_the_brain_picks_one():
    torch.manual_seed(0)
    prior = mindeye.DiffusionPrior(n_tokens=1, n_dims=4, depth=1, n_heads=2, head_dims=8, n_steps=30)
    rng = np.random.default_rng(0)
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-3)
    corner, told_as = torch.tensor([[0.5, 0.5, -0.5, -0.5], [1.0, -1.0, 1.0, -1.0]])
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    for _ in range(600):
        sign = torch.from_numpy(rng.choice([-1.0, 1.0], 64)).float()
        told = torch.from_numpy(rng.choice([0.0, 1.0], 64)).float()  # half of the brains say which mode
        brain = (sign * told)[:, None, None] * told_as
        optimizer.zero_grad()
        prior.loss(brain, sign[:, None, None] * corner, rng=rng).backward()
        optimizer.step()
        rate.step()
    prior.eval()
    unknown = prior.sample(torch.zeros(400, 1, 4), rng=1)[:, 0] @ corner
    assert 0.35 < (unknown > 0).float().mean() < 0.65
    assert ((unknown.abs() - 1).abs() < 0.25).float().mean() > 0.9  # at the modes, not at their mean
    known = prior.sample(told_as.repeat(100, 1, 1), rng=1)[:, 0] @ corner
    assert (known > 0).float().mean() > 0.97


def test_baselines_are_what_they_say_and_foils_match():
    rng = np.random.default_rng(0)
    kinds = rng.random((3, 3, 12, 12)) * 0.7
    labels = np.repeat([0, 1, 2], 8)
    shown = np.clip(kinds[labels] + 0.15 * rng.random((24, 3, 12, 12)), 0, 1)
    training = np.clip(kinds + 0.1, 0, 1)
    # The reconstruction knows the kind and nothing more, as a decoder of categories would.
    table = mindeye.evaluate_reconstructions(
        training[labels], shown, encoding="srgb", resize_px=None, rng=0, two_way={"pixels": lambda x: x.flatten(1)},
        distance={"pixels": lambda x: x.flatten(1)}, conditions=labels, training_images=training, nearest=labels,
    ).set_index(["source", "measure"])  # fmt: skip
    own = table.loc["reconstruction"]
    assert own.loc["two-way pixels", "estimate"] > 0.8
    assert own.loc["two-way pixels, matched foils", "low"] < 0.5 < own.loc["two-way pixels, matched foils", "high"]
    assert table.loc[("mean training image", "two-way pixels"), "estimate"] == pytest.approx(0.5, abs=1e-6)
    nearest = table.loc["nearest training image"]
    assert nearest["estimate"].to_numpy() == pytest.approx(own["estimate"].to_numpy())
    r = own.loc["PixCorr", "estimate"]
    assert own.loc["distance pixels", "estimate"] == pytest.approx(1 - r, abs=1e-5)
    assert (table.low <= table.estimate + 1e-9).all() and (table.estimate <= table.high + 1e-9).all()


def test_linear_light_and_codes_of_one_picture_score_alike():
    from neuroperc.color import srgb_to_linear

    rng = np.random.default_rng(0)
    codes, made = rng.random((2, 5, 3, 20, 20)).astype(np.float32)
    tables = [
        mindeye.evaluate_reconstructions(f(made), f(codes), encoding=e, resize_px=24, rng=0)
        for f, e in ((np.asarray, "srgb"), (srgb_to_linear, "linear"))
    ]
    np.testing.assert_allclose(tables[0].estimate, tables[1].estimate, atol=1e-5)


def test_fisher_intervals_cover():
    rng = np.random.default_rng(0)
    z = np.arctanh(0.4) + 0.3 * rng.normal(size=(400, 25))
    ends = np.array([mindeye.fisher_z_interval(np.tanh(row)) for row in z])
    assert 0.92 < ((ends[:, 1] < 0.4) & (ends[:, 2] > 0.4)).mean() < 0.98


def test_selection_takes_the_sample_that_the_projector_means():
    rng = np.random.default_rng(0)
    projected = rng.normal(size=(20, 4, 6))
    best = rng.integers(5, size=20)
    candidates = rng.normal(size=(20, 5, 4, 6))
    candidates[np.arange(20), best] = 0.01 * (projected + 0.2 * rng.normal(size=projected.shape))  # small, and alike
    np.testing.assert_array_equal(mindeye.select_reconstructions(candidates, projected), best)
    training = rng.normal(size=(30, 4, 6))
    training[7] = 0.01 * projected[3]
    assert mindeye.nearest_training_image(projected, training, rows_per_batch=6)[3] == 7


def test_brain_diffusers_answers_do_not_depend_on_the_other_test_trials():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(80, 4))
    x = y @ rng.normal(size=(4, 12)) + rng.normal(size=(80, 12))
    model, original = (mindeye.BrainDiffuser(alpha=30.0, transductive=t).fit(x[:50], y[:50]) for t in (False, True))
    np.testing.assert_allclose(model.predict(x[50:])[:5], model.predict(x[50:55]), rtol=1e-10)
    assert abs(original.predict(x[50:])[:5] - original.predict(x[50:55])).max() > 0.05


@pytest.mark.slow
def test_mindeye_beats_ridge_on_a_brain_without_linear_signal_and_not_on_a_linear_one():
    """The specification's small size: one token of 384 numbers, a width of 256, two blocks."""
    rng = np.random.default_rng(0)
    n, n_test = 1000, 150
    x = rng.normal(size=(n + n_test, 4)) @ rng.normal(size=(4, 384))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gain = []
    for nonlinearity in (0.0, 1.0):
        brain = plant_brain(
            x, regions={"V1": 300}, rank=4, nonlinearity=nonlinearity, n_repeats=1, ncsnr=1.5, rng=0
        )  # fmt: skip
        betas = brain.responses.values[np.argsort(brain.rows)]
        model = MindEye(
            width=256, n_blocks=2, projector_width=64, epochs=75, batch_size=64, learning_rate=1e-3, prior=False
        )
        said = model.fit(betas[:n], x[:n]).predict(betas[n:])
        mean, sd = betas[:n].mean(0), betas[:n].std(0)
        ridge = RidgeCV(np.logspace(0, 6, 13)).fit((betas[:n] - mean) / sd, x[:n]).predict((betas[n:] - mean) / sd)
        gain.append(np.mean(pearson(said, x[n:])) - np.mean(pearson(ridge, x[n:])))
    assert gain[0] < 0.02
    assert gain[1] > 0.3


def test_dropout_is_off_when_it_answers():
    rng = np.random.default_rng(0)
    betas, x = rng.normal(size=(20, 8)), rng.normal(size=(20, 3))
    model = MindEye(width=8, n_blocks=1, projector_width=8, epochs=1, batch_size=8, prior=False).fit(betas, x)
    assert any(isinstance(part, nn.Dropout) for part in model.network_.modules())
    np.testing.assert_array_equal(model.project(betas), model.project(betas))
