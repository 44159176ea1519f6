"""MindEye against numbers worked out by hand, closed forms, and other libraries."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from torch import nn

from neuroperc.decoding import BrainDiffuser, brain_to_image, image_to_brain, mindeye

# Unit vectors in the plane at 0, 90 and 60 degrees; the cosines are written out.
BRAIN = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 3**0.5 / 2]], dtype=torch.float64)
PICTURE = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 1.0]], dtype=torch.float64)
COSINES = [[1.0, 0.5, 0.0], [0.0, 3**0.5 / 2, 1.0], [0.5, 1.0, 3**0.5 / 2]]
AMONG = [[1.0, 0.5, 0.0], [0.5, 1.0, 3**0.5 / 2], [0.0, 3**0.5 / 2, 1.0]]


def cross_entropy(logits, wanted):
    """Written with loops and math alone."""
    total = 0.0
    for row, shares in zip(logits, wanted, strict=True):
        normalizer = math.log(sum(math.exp(v) for v in row))
        total -= sum(q * (v - normalizer) for q, v in zip(shares, row, strict=True))
    return total / len(logits)


def softmax(row):
    weights = [math.exp(v) for v in row]
    return [w / sum(weights) for w in weights]


def turned(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def test_bimixco_three_by_three_by_hand():
    logits = [[v / 0.5 for v in row] for row in COSINES]
    wanted = [[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.4, 0.0, 0.6]]  # the second trial is its own partner
    by_hand = (cross_entropy(logits, wanted) + cross_entropy(turned(logits), turned(wanted))) / 2
    partner, share = torch.tensor([1, 1, 0]), torch.tensor([0.7, 0.2, 0.6], dtype=torch.float64)
    found = mindeye.bimixco_loss(3 * BRAIN, 7 * PICTURE, partner, share, temperature=0.5)
    assert found.item() == pytest.approx(by_hand, abs=1e-12)


def test_soft_clip_three_by_three_by_hand():
    logits = [[v / 0.5 for v in row] for row in COSINES]
    teacher = [softmax([v / 0.5 for v in row]) for row in AMONG]
    by_hand = (cross_entropy(logits, teacher) + cross_entropy(turned(logits), teacher)) / 2
    found = mindeye.soft_clip_loss(3 * BRAIN, 7 * PICTURE, temperature=0.5)
    assert found.item() == pytest.approx(by_hand, abs=1e-12)


def test_bimixco_with_nothing_mixed_in_is_symmetric_infonce():
    generator = torch.Generator().manual_seed(0)
    brain, picture = (torch.randn(16, 5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    p, t = (nn.functional.normalize(v.flatten(1), dim=1) for v in (brain, picture))
    own = torch.arange(16)
    logits = p @ t.T / 0.006
    peer = (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2
    partner = torch.randperm(16, generator=generator)
    found = mindeye.bimixco_loss(brain, picture, partner, torch.ones(16))
    assert found.item() == pytest.approx(peer.item(), rel=1e-12)


def test_soft_clip_is_least_at_the_teachers_entropy():
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    unit = nn.functional.normalize(picture, dim=1)
    teacher = (unit @ unit.T / 0.1).softmax(-1)
    entropy = -(teacher * teacher.log()).sum(-1).mean().item()
    brain = picture.clone().requires_grad_()
    loss = mindeye.soft_clip_loss(brain, picture, temperature=0.1)
    (slope,) = torch.autograd.grad(loss, brain)
    assert loss.item() == pytest.approx(entropy, abs=1e-12)
    assert slope.abs().max() < 1e-10
    for _ in range(5):
        other = picture + 0.3 * torch.randn(12, 6, generator=generator, dtype=torch.float64)
        assert mindeye.soft_clip_loss(other, picture, temperature=0.1).item() > entropy


def test_temperature_and_learning_rate_at_their_ends():
    assert mindeye.soft_clip_temperature(0.0) == pytest.approx(0.004, abs=1e-15)
    assert mindeye.soft_clip_temperature(1.0) == pytest.approx(0.0075, abs=1e-15)
    # A quarter of the way: 0.0075 - 0.0035 (1 + cos 45°) / 2.
    assert mindeye.soft_clip_temperature(0.25) == pytest.approx(0.0075 - 0.00175 * (1 + 2**-0.5), abs=1e-15)
    assert mindeye.one_cycle_factor(0, n_steps=240, warmup=0.05) == pytest.approx(1 / 25)
    assert mindeye.one_cycle_factor(239, n_steps=240, warmup=0.05) == pytest.approx(1 / 25000)


def test_one_cycle_is_pytorchs():
    n_steps = 90
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=n_steps, pct_start=0.2, final_div_factor=1000, cycle_momentum=False
    )
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        peer.step() if len(rates) < n_steps else None
    ours = [0.1 * mindeye.one_cycle_factor(k, n_steps=n_steps, warmup=0.2) for k in range(n_steps)]
    np.testing.assert_allclose(ours, rates, rtol=1e-9)


def test_cosine_schedule_by_its_formula():
    def curve(t):
        return math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2

    found = mindeye.cosine_signal_shares(100)
    # Products of 1 - beta telescope until beta reaches 0.999, at the last step alone.
    np.testing.assert_allclose(found[:99], [curve(t) / curve(0) for t in range(1, 100)], rtol=1e-10)
    assert found[99] == pytest.approx(found[98] * 0.001, rel=1e-9)
    assert found[49] == pytest.approx(0.4938, abs=5e-5)


def test_a_step_back_is_bayes_rule():
    """q(x_t-1 | x_t, x_0): the prior from x_0 times the likelihood of x_t, both Gaussian."""
    prior = mindeye.DiffusionPrior(n_tokens=1, n_dims=2, depth=1, n_heads=1, head_dims=2, n_steps=100)
    left = mindeye.cosine_signal_shares(100)
    before, kept = left[:-1], left[1:] / left[:-1]  # of x_0 in x_t-1, of x_t-1 in x_t
    from_clean, from_noised = 1 / (1 - before), kept / (1 - kept)  # precisions
    variance = 1 / (from_clean + from_noised)
    np.testing.assert_allclose(prior.variance[1:], variance, rtol=1e-4)
    np.testing.assert_allclose(prior.of_clean[1:], variance * from_clean * before**0.5, rtol=1e-4)
    np.testing.assert_allclose(prior.of_noised[1:], variance * from_noised / kept**0.5, rtol=1e-4)


def test_sampling_gives_a_gaussian_back_from_its_posterior_mean():
    class _KnownMean(mindeye.DiffusionPrior):
        """Answers with the exact posterior mean of Gaussian data."""

        mean, sd = 3.0, 0.5

        def denoise(self, noised, step, brain, *, keep_brain=None, keep_picture=None):
            a = self.signal[step][:, None, None]
            gain = a.sqrt() * self.sd**2 / (a * self.sd**2 + 1 - a)
            return self.mean + gain * (noised - a.sqrt() * self.mean)

    # The smaller of DDPM's two variances falls short by a share that goes with 1 / steps: 4 % at 100, 0.4 % at 1000.
    prior = _KnownMean(n_tokens=1, n_dims=4, depth=1, n_heads=1, head_dims=4, n_steps=1000)
    drawn = prior.sample(torch.zeros(3000, 1, 4), rng=0) * 4**0.5
    assert drawn.mean().item() == pytest.approx(3.0, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_published_sizes_by_arithmetic():
    with torch.device("meta"):
        backbone = mindeye.Backbone({"1": 15724}, n_tokens=257, n_dims=768, width=4096, n_blocks=4)
        projector = mindeye.Projector(768, width=2048)
        prior = mindeye.DiffusionPrior(n_tokens=257, n_dims=768, depth=6, n_heads=12, head_dims=64)

    def count(module):
        return sum(p.numel() for p in module.parameters())

    entry = 15724 * 4096 + 4096 + 2 * 4096
    blocks = 4 * (4096 * 4096 + 4096 + 2 * 4096)
    head = 4096 * 257 * 768 + 257 * 768
    assert count(backbone) == entry + blocks + head
    assert round(count(backbone) / 1e6) == 940
    assert (round(entry / 1e6, 1), round(blocks / 1e6, 1), round(head / 1e6, 1)) == (64.4, 67.2, 808.6)
    hidden = 768 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 768 + 768
    assert count(projector) == hidden + 2 * (768 + 2048 + 2048)
    assert round(count(projector) / 1e6, 1) == 7.4
    layer = 3 * 768 * 768 + 768 * 768 + 2 * 4 * 768 * 768 + 5 * 768 + 4 * 768
    tokens = 3 * 257 * 768 + 100 * 768 + 32 * 12
    assert count(prior) == 6 * layer + tokens + 2 * 768 + 768 * 768


def test_retrieval_is_the_mean_of_draws_without_replacement():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(60, 8))
    brain = image + 1.5 * rng.normal(size=image.shape)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (brain, image)]
    cosine = unit[0] @ unit[1].T
    hits = {"brain_to_image": [], "image_to_brain": []}
    for _ in range(400):
        some = rng.choice(60, 20, replace=False)
        part = cosine[np.ix_(some, some)]
        hits["brain_to_image"].append((part.argmax(axis=1) == np.arange(20)).mean())
        hits["image_to_brain"].append((part.argmax(axis=0) == np.arange(20)).mean())
    for name, function in (("brain_to_image", brain_to_image), ("image_to_brain", image_to_brain)):
        spread = 4 * np.std(hits[name]) / 400**0.5
        assert function(brain, image, n_candidates=20).mean() == pytest.approx(np.mean(hits[name]), abs=spread)


@pytest.mark.parametrize("transductive", [False, True])
def test_brain_diffuser_is_ridge_and_its_rescaling(transductive):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(90, 2, 3)) * 5 + 2
    x = y.reshape(90, 6) @ rng.normal(size=(6, 20)) + rng.normal(size=(90, 20)) + 7
    train, test = slice(60), slice(60, None)
    model = BrainDiffuser(alpha=40.0, transductive=transductive).fit(x[train], y[train])
    scaled = (x - x[train].mean(0)) / x[train].std(0)
    flat = y.reshape(90, 6)
    said = Ridge(alpha=40.0).fit(scaled[train], flat[train]).predict(scaled[test])
    reference = said
    if not transductive:
        from neuroperc.regression import fold_splits

        parts = [
            (b, Ridge(alpha=40.0).fit(scaled[a], flat[a]).predict(scaled[b]))
            for a, b in fold_splits(np.arange(60), n_folds=5, rng=0)
        ]
        reference = np.concatenate([p for _, p in parts])
    wanted = (said - reference.mean(0)) / reference.std(0) * flat[train].std(0) + flat[train].mean(0)
    np.testing.assert_allclose(model.predict(x[test]).reshape(30, 6), wanted, rtol=1e-6)


def test_evaluation_measures_are_those_of_scikit_image_and_numpy():
    from skimage.color import rgb2gray
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    shown = rng.random((4, 3, 40, 40))
    made = np.clip(shown + 0.2 * rng.normal(size=shown.shape), 0, 1)
    table = mindeye.evaluate_reconstructions(made, shown, encoding="srgb", resize_px=None, rng=0).set_index("measure")
    r = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(made, shown, strict=True)])
    assert table.loc["PixCorr", "estimate"] == pytest.approx(r, abs=1e-6)
    grey = [[rgb2gray(v.transpose(1, 2, 0)) for v in pictures] for pictures in (made, shown)]
    peer = np.mean([
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
        for a, b in zip(*grey, strict=True)
    ])  # fmt: skip
    assert table.loc["SSIM", "estimate"] == pytest.approx(peer, abs=1e-5)


def test_retrieved_pictures_are_scikit_learns_nearest_neighbours():
    rng = np.random.default_rng(0)
    known, asked = rng.normal(3, 1, (40, 2, 5)), rng.normal(3, 1, (7, 2, 5))
    pictures = np.repeat(np.arange(40) / 40, 12).reshape(40, 3, 2, 2)
    found = mindeye.RetrievalGenerator(known, pictures)(torch.from_numpy(asked), n_samples=6)
    flat = [x.reshape(len(x), 10) - known.reshape(40, 10).mean(0) for x in (known, asked)]
    wanted = NearestNeighbors(n_neighbors=6, metric="cosine").fit(flat[0]).kneighbors(flat[1], return_distance=False)
    np.testing.assert_allclose(found[:, :, 0, 0, 0].numpy() * 40, wanted, atol=1e-4)


def test_the_decoder_comes_near_least_squares_where_pictures_are_linear_in_embeddings():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(192, 4))
    patterns = 0.1 * rng.normal(size=(4, 3, 8, 8))
    pictures = 0.5 + np.einsum("nk,kchw->nchw", np.tanh(x), patterns).clip(-0.5, 0.5)
    seen, new = slice(128), slice(128, None)
    decoder = mindeye.PictureDecoder(width=32, noise_sd=0.0, epochs=60, random_state=0).fit(x[seen], pictures[seen])
    made = decoder(torch.from_numpy(x[new]))[:, 0].numpy()
    linear = Ridge(alpha=1e-3).fit(x[seen], pictures[seen].reshape(128, -1)).predict(x[new]).reshape(made.shape)
    error, least, spread = (
        ((guess - pictures[new]) ** 2).mean() for guess in (made, linear, pictures[seen].mean(0)[None])
    )
    assert error < 1.5 * least < 0.3 * spread
