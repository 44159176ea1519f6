"""What attacks, training and corruptions must keep whatever the model and the picture."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import neuroperc as npc
from neuroperc.encoding import attack_curve, corrupt, corrupt_stimuli, corruption_table, fit_robust, robust
from neuroperc.encoding.corruptions import FAMILIES


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(6 * 49, 4)
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(size=(12, 3, 16, 16))).float()
    x[0], x[1] = 0, 1
    return x, torch.arange(12) % 4


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("options", [{}, {"targeted": True}, {"restarts": 3, "iters": 3}, {"step": 5.0}])
def test_attacks_stay_inside_the_bound_and_inside_the_picture(norm, options, batch):
    x, y = batch
    eps = 0.03 if norm == "linf" else 0.5
    found = robust.pgd(network().eval(), x, y, eps=eps, norm=norm, rng=0, **options)
    change = (found.double() - x.double()).flatten(1)
    assert change.norm(dim=1, p=float("inf") if norm == "linf" else 2).max() <= eps + 1e-6
    assert found.min() >= 0 and found.max() <= 1
    assert change.abs().max() > eps / 10


def test_attacks_leave_the_model_and_its_gradients_alone(batch):
    x, y = batch
    model = network().eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    found = robust.pgd(model, x, y, eps=0.03, rng=0)
    assert not found.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_network_that_is_very_sure_is_no_safer(norm):
    """Cross-entropy has no gradient where the scores are far apart: the classes' margin has."""
    torch.manual_seed(0)
    net, x = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2)), torch.rand(6, 3, 4, 4)
    settings = {"eps": 1.0 if norm == "l2" else 0.2, "norm": norm, "rng": 0}
    plain, sure = (robust.pgd(lambda z, gain=gain: gain * net(z), x, net(x).argmax(1), **settings) for gain in (1, 1e4))
    torch.testing.assert_close(net(plain).argmax(1), net(sure).argmax(1))
    assert (net(sure).argmax(1) != net(x).argmax(1)).any()


def test_scores_that_are_no_numbers_are_no_class():
    x, y = torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="model's answer must be free of NaN"):
        robust.accuracy(lambda z: z.flatten(1) * float("nan"), x, y)


def test_attacks_repeat_with_the_seed_and_raise_the_loss(batch):
    x, y = batch
    model = network().eval()
    first, again = (robust.pgd(model, x, y, eps=0.05, rng=3) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, robust.pgd(model, x, y, eps=0.05, rng=4))
    loss = nn.CrossEntropyLoss(reduction="none")
    with torch.no_grad():
        assert bool((loss(model(first), y) > loss(model(x), y)).all())


def test_more_restarts_never_fool_less(batch):
    x, y = batch
    model = network().eval()
    margins = []
    for restarts in (1, 4):
        with torch.no_grad():
            scores = model(robust.pgd(model, x, y, eps=0.02, iters=2, restarts=restarts, norm="l2", rng=0))
        own = scores.gather(1, y[:, None])[:, 0]
        margins.append(scores.scatter(1, y[:, None], -torch.inf).amax(1) - own)
    assert bool((margins[1] >= margins[0] - 1e-5).all())


def test_the_attack_curve_starts_clean_and_never_rises(batch):
    x, y = batch
    model = network()
    model.train()
    y = model.eval()(x).argmax(1)
    model.train()
    table = attack_curve(model, x, y, eps=(0, 0.01, 0.05, 0.3), rng=0, batch_size=5)
    assert table["accuracy"].iloc[0] == 1 == robust.accuracy(model, x, y)
    assert bool((table["accuracy"].diff().dropna() <= 0).all()) and table["accuracy"].iloc[-1] < 0.5
    assert bool(((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all())
    assert model.training and table.attrs["interval_of"]


def test_quarter_turns_are_uniform_and_move_every_code():
    x = torch.arange(9.0).reshape(1, 1, 3, 3).expand(4000, 1, 3, 3)
    found = robust.rotate_quarter(x, 0)
    assert torch.equal(found.flatten(1).sort(1).values, x.flatten(1))
    counts = torch.bincount(found[:, 0, 0, 0].long(), minlength=9)[[0, 2, 6, 8]]
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path, batch):
    x, y = batch
    options = {"learning_rates": (1e-3, 2e-3, 1e-3), "batch_size": 4, "eps": 0.03, "grayscale_share": 0.5}
    whole = network()
    fit_robust(whole, (x, y), **options)

    class Killed(Exception):
        pass

    def kill(_):
        raise Killed

    half, path = network(), tmp_path / "half.pt"
    with pytest.raises(Killed):
        fit_robust(half, (x, y), **options, checkpoint=path, checkpoint_every=1, validate=kill)
    resumed = network(1)
    for other in ({"batch_size": 6}, {"eps": 0.02}, {"rotate": False}, {"grayscale_share": 0.4}, {"weight_decay": 0.0}):
        with pytest.raises(ValueError, match="checkpoint must be of a training with"):
            fit_robust(resumed, (x, y), **options | other, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint must be of a training with data_key"):
        fit_robust(resumed, (1 - x, y), **options, checkpoint=path)
    kept = torch.load(path, weights_only=True)
    assert 0 < kept["step"] < 6
    fit_robust(resumed, (x, y), **options, checkpoint=path)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_a_net_is_trained_in_place(batch):
    x, y = batch
    net = npc.nets.Net(network(), npc.nets.Preprocess(size_px=None))
    before = [p.clone() for p in net.parameters()]
    fit_robust(net, (x, y), learning_rates=(1e-2, 1e-2), batch_size=12)
    assert not any(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


class Centered(nn.Module):
    def forward(self, codes):
        return codes.flatten(1) - 0.5


def test_adversarial_training_makes_a_network_robust():
    """A weak code everywhere always tells the class, a strong one in four of five pictures: only this one survives.

    The setting of Tsipras et al. 2019 (arXiv:1805.12152): robustness costs accuracy.
    """
    rng = np.random.default_rng(0)
    y = torch.arange(256) % 2
    sign = (2.0 * y - 1)[:, None, None, None]
    told = torch.where(torch.arange(256) % 10 < 8, 1.0, -1.0)[:, None, None, None]
    x = 0.5 + 0.02 * sign + 0.01 * torch.from_numpy(rng.normal(size=(256, 1, 6, 6))).clamp(-2, 2).float()
    x[:, :, :1, :2] = 0.5 + 0.2 * sign * told
    found = {}
    for eps in (0.0, 0.05):
        torch.manual_seed(0)
        net = nn.Sequential(Centered(), nn.Linear(36, 2))
        fit_robust(net, (x, y), eps=eps, rotate=False, flip=False, learning_rates=[0.1] * 61, batch_size=256)
        found[eps] = attack_curve(net, x, y, eps=(0, 0.05), rng=0)["accuracy"].tolist()
    assert found[0.0][0] > 0.95 and found[0.0][1] < 0.3, found
    assert 0.75 < found[0.05][0] < 0.85 and found[0.05][1] > 0.75, found


@pytest.fixture(scope="module")
def photographs():
    display = npc.Display.from_px_per_deg(8, resolution_px=(224, 224))
    names = ("flower", "china")
    light = torch.stack([npc.data.sample_image(name, display)[0] for name in names])
    return npc.color.linear_to_srgb(light).clamp(0, 1).float()


#: Published parameters that grow unlike the change they make: frost and fog thin out where they get coarser, elastic
#: severities 1 and 2 are large smooth warps, 3 to 5 are small rough ones.
NOT_MONOTONE = {"frost", "fog", "elastic"}


@pytest.mark.parametrize("kind", FAMILIES)
def test_corruptions_grow_with_severity_and_stay_in_range(kind, photographs):
    found = [corrupt(photographs, kind, severity, rng=0) for severity in range(1, 6)]
    for x in found:
        assert x.shape == photographs.shape and x.dtype == photographs.dtype
        assert x.min() >= 0 and x.max() <= 1
    errors = [float((x - photographs).square().mean()) for x in found]
    assert errors[0] > 1e-4
    if kind not in NOT_MONOTONE:
        assert all(np.diff(errors) > 0), errors
    else:
        later = errors[2:] if kind == "elastic" else [errors[0], errors[-1]]
        assert all(np.diff(later) > 0), errors


@pytest.mark.parametrize("published", ["imagenet", "cifar10"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_picture_is_corrupted_alike_alone_in_a_batch_and_in_any_order(kind, published):
    x = torch.rand(3, 3, 20, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = corrupt(x, kind, 3, rng=5, ids=["a", "b", "c"], published=published)
    for order in ([1], [2, 0, 1]):
        part = corrupt(x[order], kind, 3, rng=5, ids=["abc"[i] for i in order], published=published)
        torch.testing.assert_close(part, whole[order], rtol=0, atol=2e-6)
    assert torch.equal(whole, corrupt(x, kind, 3, rng=5, ids=["a", "b", "c"], published=published))
    if kind in ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "snow", "frost", "fog", "elastic"):
        assert not torch.equal(whole, corrupt(x, kind, 3, rng=6, ids=["a", "b", "c"], published=published))


@pytest.mark.parametrize("kind", FAMILIES)
def test_grey_pictures_and_small_ones_are_taken(kind):
    for severity in (1, 5):
        found = corrupt(torch.rand(2, 1, 8, 11), kind, severity, rng=0)
        assert found.shape == (2, 1, 8, 11) and bool(torch.isfinite(found).all())


def test_corrupted_stimuli_keep_place_encoding_and_truth():
    display = npc.Display.from_px_per_deg(8, resolution_px=(40, 40))
    values = np.random.default_rng(0).uniform(size=(3, 3, 32, 24)).astype(np.float32)
    pictures = npc.StimulusSet.from_arrays(
        values, display=display, ids=["a", "b", "c"], size_deg=(2, 1.5), center_deg=(1, -1), truth={"class": [0, 1, 2]}
    )
    found = corrupt_stimuli(pictures, "contrast", 2, rng=0)
    assert found.encoding == "linear" and found.ids == pictures.ids
    assert found.table[["width_deg", "x_deg"]].equals(pictures.table[["width_deg", "x_deg"]])
    assert found.truth["class"].tolist() == [0, 1, 2]
    codes = npc.color.linear_to_srgb(torch.from_numpy(values))
    expected = npc.color.srgb_to_linear(corrupt(codes, "contrast", 2, rng=0))
    torch.testing.assert_close(torch.stack([found[i] for i in range(3)]), expected, rtol=0, atol=1e-5)


def test_the_table_counts_errors_of_every_cell():
    x = torch.rand(10, 3, 16, 16)
    y = torch.arange(10) % 2
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    kinds = ["gaussian_noise", "pixelate"]
    table = corruption_table(net, x, y, kinds=kinds, severities=[2, 5], rng=3, batch_size=4)
    assert table["kind"].tolist() == ["none", *np.repeat(kinds, 2)] and table["n_pictures"].eq(10).all()
    for row in table.iloc[1:].itertuples():
        with torch.no_grad():
            right = (net(corrupt(x, row.kind, row.severity, rng=3)).argmax(1) == y).float().mean().item()
        assert row.accuracy == pytest.approx(right) and row.error == pytest.approx(1 - right)
        assert row.family == FAMILIES[row.kind]
