"""Distances of partners, wide distances and inversion against plain loops and closed forms."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy.stats import spearmanr
from torch import nn

import neuroperc as npc
from neuroperc.encoding import compare_stimuli, hierarchy_slope, invert, rsa
from neuroperc.encoding._distances import correlation_distances
from neuroperc.encoding._inputs import take_layers
from neuroperc.encoding.inversion import total_variation
from neuroperc.metrics import rdm


def pairs(n=7, p=40, seed=0, noise=0.7):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, p)) + 3
    second = first + noise * rng.normal(size=(n, p))
    ids = [f"o{i}" for i in range(n)], [f"m{i}" for i in range(n)]
    order = rng.permutation(2 * n)  # rows in any order
    rows = np.concatenate([first, second])[order]
    units = npc.data.make_responses(rows, stimulus_id=np.array(ids[0] + ids[1])[order], layer="conv")
    return first, second, units, ids


def apart(a, b):
    return 1 - np.corrcoef(a, b)[0, 1]


def test_partners_against_plain_loops():
    first, second, units, ids = pairs()
    found = compare_stimuli(units, *ids, n_resamples=50, rng=0)
    n = len(first)
    own = [apart(first[i], second[i]) for i in range(n)]
    other = [apart(first[i], second[j]) for i, j in itertools.permutations(range(n), 2)]
    geometry = [[apart(x[i], x[j]) for i, j in itertools.combinations(range(n), 2)] for x in (first, second)]
    np.testing.assert_allclose(found.each.values[0], own, atol=1e-12)
    assert float(found.distance[0]) == pytest.approx(np.mean(own), abs=1e-12)
    assert float(found.baseline[0]) == pytest.approx(np.mean(other), abs=1e-12)
    assert float(found.relative[0]) == pytest.approx(np.mean(own) / np.mean(other), abs=1e-12)
    assert float(found.rdm_agreement[0]) == pytest.approx(spearmanr(*geometry).statistic, abs=1e-12)


def test_wide_distances_are_those_of_the_matrix(monkeypatch):
    monkeypatch.setattr("neuroperc.regression.gram._BLOCK_BYTES", 8 * 14 * 16)  # blocks of 16 units
    _, _, units, ids = pairs(p=1000, noise=2.0)
    units = units + 50.0  # answers far from zero
    rows = xr.DataArray(np.zeros((14, 1)), dims=("presentation", "neuroid"),
                        coords={"stimulus_id": ("presentation", [*ids[0], *ids[1]])})  # fmt: skip
    layer = take_layers(units, "layer", rows)[0][0]
    np.testing.assert_allclose(correlation_distances(layer), rdm(layer[:, :].astype(float)), atol=1e-12)


def test_rsa_of_units_is_rsa_of_their_matrix():
    _, _, units, ids = pairs(n=8)
    people = rdm(np.random.default_rng(3).normal(size=(3, 16, 20)))
    labelled = xr.DataArray(people, dims=("subject", "stimulus", "other"),
                            coords={"stimulus_id": ("stimulus", units["stimulus_id"].values)})  # fmt: skip
    ours = rsa(units, labelled, n_resamples=5, rng=0)
    theirs = rsa({"conv": rdm(units.values)}, people, n_resamples=5, rng=0)
    np.testing.assert_allclose(ours.agreement.values, theirs.agreement.values, atol=1e-12)
    assert len(ids[0]) == 8


def test_slopes_against_scipy():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"model": "m", "weights": "w", "region": list("abcde"), "depth": rng.integers(3, size=5) / 2,
         "score": rng.random(5), "best": True}
    )  # fmt: skip
    found = hierarchy_slope(table).loc["m"]
    for name in ("depth", "score"):
        assert found[f"of_{name}"] == pytest.approx(spearmanr(np.arange(5), table[name]).statistic)


def test_total_variation_of_a_ramp():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8 + torch.arange(8.0)[:, None] / 4
    assert float(total_variation(ramp)[0]) == pytest.approx((1 / 64 + 1 / 16) ** 0.5, rel=1e-6)
    assert float(total_variation(torch.zeros(1, 3, 4, 4))[0]) <= 1e-4


def test_a_linear_layer_that_keeps_all_gives_the_picture_back():
    """A rotation of the pixels has one inverse; L-BFGS finds it."""
    torch.manual_seed(0)
    turn = nn.Linear(48, 48)
    nn.init.orthogonal_(turn.weight)
    net = nn.Sequential(nn.Flatten(), turn, nn.ReLU()).double()
    target = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    made = invert(net, target, "1", optimizer="lbfgs", steps=60)
    assert float((made.image - target).abs().max()) < 1e-4
    assert float(made.residuals["1"].max()) < 1e-4
    # The least-norm step towards the target of a layer that keeps half of the picture leaves the other half.
    half = nn.Sequential(nn.Flatten(), nn.Linear(48, 24, bias=False)).double()
    nn.init.orthogonal_(half[1].weight)
    start = torch.full_like(target, 0.5)
    w = half[1].weight.detach()
    expected = (start.flatten(1) + (target - start).flatten(1) @ w.T @ w).reshape(target.shape)
    made = invert(half, target, "1", init=start, optimizer="lbfgs", steps=60)
    inside = (expected >= 0).all() and (expected <= 1).all()
    assert bool(inside) and float((made.image - expected).abs().max()) < 1e-3
