"""The rotation x adversarial experiment: folders of classes are wired, refused when absent, and runs resume."""

import dataclasses
import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroperc.data import save_image
from neuroperc.experiment.claims import Measured, validate

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("berrios2022_crossvit_tested", FOLDER / "berrios2022_crossvit.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def config(script, profile, **changes):
    table = tomllib.loads((FOLDER / "berrios2022_crossvit.toml").read_text(encoding="utf-8"))
    return dataclasses.replace(validate(script.Config, table[profile], profile), **changes)


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.delenv("NEUROPERC_DATA", raising=False)
    monkeypatch.delenv("NEUROPERC_IMAGENET", raising=False)


def test_imagenet_is_refused_when_it_is_not_there(script, no_data, monkeypatch, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"NEUROPERC_IMAGENET must be a folder with train/<class>/.*got nothing"
    ):
        script.run(config(script, "imagenet", device="cpu"))
    monkeypatch.setenv("NEUROPERC_IMAGENET", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        script.run(config(script, "imagenet", device="cpu"))
    with pytest.raises(FileNotFoundError, match=r"cifar10_18000_jpeg\.zip must be in the folder NEUROPERC_DATA"):
        script.run(config(script, "paper"))


def test_the_published_recipe_stands_in_the_profile(script):
    found = config(script, "imagenet")
    assert found.learning_rates == script.robust.RECIPE_RATES and found.eps_255 == 2 and found.batch_size == 64
    assert found.network == "crossvit_18_dagger_408" and found.mixed_precision == "fp16"
    for profile in ("imagenet", "paper", "smoke"):
        assert config(script, profile).eps_255 in config(script, profile).attack_255


@pytest.mark.slow
def test_folders_of_classes_go_through_the_whole_experiment(script, no_data, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for k, name in enumerate(("n01", "n02")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(2):
                save_image(rng.uniform(0.5 * k, 0.5 * k + 0.5, (3, 90, 80)), tmp_path / part / name / f"{i}.png")
    monkeypatch.setenv("NEUROPERC_IMAGENET", str(tmp_path))
    small = config(
        script, "imagenet", device="cpu", network="timm:test_efficientnet", weights="random", keep=False,
        mixed_precision="no", learning_rates=(1e-3, 1e-3), batch_size=4, n_attack=2, attack_iters=1,
        attack_255=(0.0, 2.0), layers=("conv_stem", "blocks.1"), splits=2, inner_splits=2,
    )  # fmt: skip
    found = script.run(small)
    assert isinstance(found, Measured) and found.deviations  # planted neurons are told
    assert found.values["v4_order"] is None and found.values["accuracy_joint_minus_adversarial"] is not None
    assert set(found.data["table"]["accuracy"]) == {"plain", "rotation", "adversarial", "joint"}


def test_a_finished_network_is_not_trained_again(script, no_data, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "__file__", str(tmp_path / "script.py"))
    tiny = config(script, "smoke", n_train=48, n_test=12, n_attack=6, learning_rates=(1e-3, 1e-3), keep=True,
                  seeds=(0,), splits=2, layers=("conv3", "conv4"))  # fmt: skip
    first = script.run(tiny)
    files = sorted(tmp_path.glob(".progress/*/*"))
    assert [f.name for f in files] == ["0-adversarial.json", "0-joint.json", "0-plain.json", "0-rotation.json"]
    changed = json.loads(files[0].read_text()) | {"accuracy": 0.125}
    files[0].write_text(json.dumps(changed))
    monkeypatch.setattr(script, "_train", lambda *_: pytest.fail("trained again"))
    second = script.run(tiny)
    assert second.data["table"]["accuracy"]["adversarial"] == [0.125]
    assert second.data["table"]["v4"] == first.data["table"]["v4"]


def test_cells_of_a_seed_begin_with_the_same_weights(script):
    a, b, c = (script._network(config(script, "smoke"), seed, 3) for seed in (4, 4, 5))
    same = [torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True)]
    assert all(same) and not torch.equal(a.conv1[0].weight, c.conv1[0].weight)


@pytest.mark.slow
def test_crossvit_has_the_layers_of_the_profile(script):
    published = config(script, "imagenet", weights="random", device="cpu")
    net = script._network(published, 0, 1000)
    listed = script.npc.nets.layers(net, list(published.layers))
    assert set(listed) == set(published.layers)
    with torch.no_grad():
        assert script.robust.CodesNet(net)(torch.rand(1, 3, 224, 224)).shape == (1, 1000)


def test_the_stored_result_says_what_its_table_says(script):
    """Training takes an hour, claims are added in a minute: whatever is claimed follows from the stored cells."""
    stored = json.loads((FOLDER / "results" / "berrios2022_crossvit.paper.json").read_text(encoding="utf-8"))
    values, intervals = script.claimed(stored["data"]["table"])
    claims = tomllib.loads((FOLDER / "berrios2022_crossvit.toml").read_text(encoding="utf-8"))["claims"]
    assert [claim["key"] for claim in stored["claims"]] == list(claims)
    for claim in stored["claims"]:
        assert claim["ours"] == pytest.approx(values[claim["key"]], rel=1e-12)
        assert claim.get("interval", []) == pytest.approx(list(intervals.get(claim["key"], [])), rel=1e-12)


def test_claims_of_cells_against_plain_numbers(script):
    table = {m: {c: [k + i, k + i + 2.0] for i, c in enumerate(script.CELLS)} for k, m in enumerate(script.MEASURES)}
    values, intervals = script.claimed(table)
    assert values["accuracy_plain"] == 1 and values["pgd_joint"] == 6 and values["v4_rotation"] == 5
    assert values["accuracy_joint_minus_adversarial"] == 1 and values["v4_order"]["joint"] == 7
    half = 12.706204736 * 2**0.5 / 2**0.5  # Student's t with one degree of freedom times the standard error
    np.testing.assert_allclose(intervals["v4_plain"], (4 - half, 4 + half), rtol=1e-9)
    assert "v4_order" not in intervals and len(intervals) == 12 + len(script.CLAIMED)
