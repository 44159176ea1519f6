"""On planted voxels: the noun comes back, nothing comes back when stimuli are shuffled, SGD finds what ridge finds.

Seen red: labels of the encoder in another order; a control that forgets to shuffle.
"""

import numpy as np
import pytest
import torch
import xarray as xr

from neuroperc.data import make_responses
from neuroperc.decoding import (
    RetrievalCaptioner,
    caption_voxels,
    counterfactual_effect,
    distance_to_bank,
    fit_image_encoder,
    plant_brain,
    project_weights,
    read_map,
    shuffle_stimuli,
    weight_stability,
    word_map,
    write_map,
)

N_NOUNS, WIDTH = 30, 48


def made(seed=0, n_images=900, **options):
    """Scenes of two nouns with an offset; voxels tuned to one noun each."""
    rng = np.random.default_rng(seed)
    nouns = rng.standard_normal((N_NOUNS, WIDTH))
    nouns /= np.linalg.norm(nouns, axis=1, keepdims=True)
    offset = rng.standard_normal(WIDTH) / WIDTH**0.5

    def pictures(n):
        scenes = np.argsort(rng.random((n, N_NOUNS)), axis=1)[:, :2]
        detail = 0.4 * rng.standard_normal((n, WIDTH)) / WIDTH**0.5
        return nouns[scenes[:, 0]] + 0.7 * nouns[scenes[:, 1]] + detail + offset

    names = [f"noun{k}" for k in range(N_NOUNS)]
    seen = pictures(n_images)
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    brain = plant_brain(unit, regions={"LOC": 150, "PPA": 50}, rank=24, n_repeats=2, mixed_share=0.0,
                        concepts=dict(zip(names, nouns, strict=True)), rng=rng, **options)  # fmt: skip
    rows = xr.DataArray(unit, dims=("s", "f"), coords={"stimulus_id": ("s", _names(brain))})
    return brain, rows, pictures(3000), pictures(600), nouns, names


def _names(brain):
    labels = np.empty(len(brain.features), dtype=brain.responses.stimulus_id.dtype)
    labels[brain.rows] = brain.responses.stimulus_id.values
    return labels


@pytest.fixture(scope="module")
def planted():
    return made()


def test_nouns_come_back_and_do_not_when_shuffled(planted):
    brain, rows, bank, _, nouns, names = planted
    words = RetrievalCaptioner(nouns - nouns.mean(0), names, offset=bank.mean(0))
    encoder = fit_image_encoder(rows, brain.responses, standardize_within="session")
    truth = encoder.concept.values
    captions = caption_voxels(encoder, bank, words, tau=1 / 50)
    assert (captions.caption.values == truth).mean() > 0.7
    agree = (captions.caption.values == captions.caption.values[0]).all(axis=0)
    assert agree.mean() > 0.5
    control = fit_image_encoder(rows, shuffle_stimuli(brain.responses, rng=1))
    guessed = caption_voxels(control, bank, words, tau=1 / 50).caption.values
    # 200 voxels in smooth patches and five passes of 1/30: the standard error of so few patches is large.
    assert (guessed == truth).mean() < 0.12


def test_projections_lie_where_images_lie(planted):
    brain, rows, bank, held_out, _, _ = planted
    weights = fit_image_encoder(rows, brain.responses).weight.values
    raw = distance_to_bank(weights, held_out).mean()
    between = distance_to_bank(held_out[:200], held_out[200:]).mean()
    projected = distance_to_bank(project_weights(weights, bank), held_out).mean()
    assert projected < 1.5 * between < raw


def test_the_gate_keeps_the_voxels_that_can_be_read():
    brain, rows, bank, _, nouns, names = made(3, n_images=300, ncsnr=0.2, ncsnr_spread=1.0)
    words = RetrievalCaptioner(nouns - nouns.mean(0), names, offset=bank.mean(0))
    encoder = fit_image_encoder(rows, brain.responses)
    ceiling = brain.noise_ceiling(2)
    every = caption_voxels(encoder, bank, words, tau=1 / 50, n_passes=1)
    kept = caption_voxels(encoder, bank, words, tau=1 / 50, n_passes=1, noise_ceiling=ceiling, min_noise_ceiling=0.2)
    assert kept.sizes["neuroid"] == (ceiling >= 0.2).sum()
    right = [(c.caption.values[0] == c.concept.values).mean() for c in (every, kept)]
    assert right[1] > right[0] + 0.1


def test_the_person_map_of_gated_voxels_lies_where_they_lie(planted, tmp_path):
    brain, rows, bank, _, nouns, names = planted
    said = [f"a man with a {name}" if k % 3 == 0 else f"a {name}" for k, name in enumerate(names)]
    words = RetrievalCaptioner(nouns - nouns.mean(0), said, offset=bank.mean(0))
    encoder = fit_image_encoder(rows, brain.responses, standardize_within="session")
    ceiling, betas = brain.noise_ceiling(2), brain.responses
    gate = float(np.median(ceiling))
    found = caption_voxels(
        encoder, bank, words, tau=1 / 50, n_passes=3, noise_ceiling=ceiling, min_noise_ceiling=gate
    )  # fmt: skip
    person = word_map(found)
    write_map(person, tmp_path / "person.nii.gz", like=betas[:, np.isin(betas.neuroid_id, person.neuroid_id)])
    volume = read_map(tmp_path / "person.nii.gz")[0][tuple(betas[a].values for a in "ijk")]
    np.testing.assert_array_equal(np.isnan(volume), ceiling < gate)
    np.testing.assert_allclose(volume[ceiling >= gate], person.values)
    people = np.array([names.index(c) % 3 == 0 for c in betas.concept.values])[ceiling >= gate]
    assert person.values[people].mean() > 0.7 > 0.2 > person.values[~people].mean()


def test_halves_agree_as_signal_does(planted):
    brain, rows, *_ = planted
    found = weight_stability(rows, brain.responses, n_splits=2, rng=0)
    assert found.stability.mean() > 0.6 > 0.2 > abs(float(found.shuffled.mean()))
    ceiling = brain.noise_ceiling(2)
    assert np.corrcoef(found.stability.mean("split"), ceiling)[0, 1] > 0.5


def test_counterfactuals_tell_the_cause_from_its_company(planted):
    brain, rows, bank, _, nouns, names = planted
    encoder = fit_image_encoder(rows, brain.responses)
    base = bank[:80]
    effects = np.stack([counterfactual_effect(encoder, base + noun, base).effect.values for noun in nouns], axis=1)
    truth = np.array([names.index(c) for c in encoder.concept.values])
    assert (effects.argmax(axis=1) == truth).mean() > 0.8
    found = counterfactual_effect(encoder, base + nouns[0], base)
    own = truth == 0
    assert (found.effect.values[own] > 5 * found["sem"].values[own]).all() and (found.share.values[own] > 0.95).all()


def test_sgd_finds_what_ridge_finds():
    brain, rows, *_ = made(5, n_images=600)
    ridge = fit_image_encoder(rows, brain.responses, standardize_within="session")
    options = {"solver": "sgd", "standardize_within": "session", "random_state": 1}
    # Twenty epochs of 600 pictures are a hundredth of the paper's steps, so the rate is higher.
    sgd = fit_image_encoder(rows, brain.responses, learning_rate=2e-2, epochs=20, **options)

    def cosine(a, b):
        return float(((a * b).sum("feature") / np.sqrt((a**2).sum("feature") * (b**2).sum("feature"))).mean())

    assert cosine(ridge.weight, sgd.weight) > 0.9
    start, again = (fit_image_encoder(rows, brain.responses, learning_rate=1e-9, epochs=1, **options) for _ in range(2))
    assert cosine(ridge.weight, start.weight) < 0.2
    assert np.isnan(sgd.alpha).all() and sgd.region.equals(ridge.region)
    np.testing.assert_array_equal(start.weight, again.weight)


def test_the_rate_falls_to_half(monkeypatch):
    """The released schedule: the factor after 100 epochs is one half, constant within an epoch."""
    seen = {}
    monkeypatch.setattr("neuroperc.decoding.captions.encoder.fit", lambda *a, **k: seen.update(k))
    x = np.random.default_rng(0).normal(size=(70, 4))
    fit_image_encoder(x, make_responses(x, stimulus_id=np.arange(70)), solver="sgd")
    factor = seen["schedule"]
    assert [factor(k) for k in (0, 2, 3)] == [1, 1, 0.5**0.01]  # 70 pictures are three steps of 32
    assert factor(3 * 50) == 0.5**0.5 and factor(3 * 100) == 0.5
    step = seen["optimizer"]([torch.nn.Parameter(torch.zeros(1))])
    assert (step.defaults["lr"], step.defaults["weight_decay"], seen["batch_size"]) == (3e-4, 1.5e-2, 32)
