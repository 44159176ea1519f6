"""Textures layer by layer: channels averaged over places, starts with the same histogram, partners made once."""

import dataclasses
import importlib.util
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import neuroperc as npc
from neuroperc.experiment.claims import validate

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("texture_matched_tested", FOLDER / "texture_matched_layers.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def config(script):
    table = tomllib.loads((FOLDER / "texture_matched_layers.toml").read_text(encoding="utf-8"))
    smoke = validate(script.Config, table["smoke"], "smoke")
    return dataclasses.replace(smoke, n_pictures=2, size_px=32, n_scales=1, steps=30, keep=True)


def test_channels_are_averaged_over_their_places(script):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, stride=2))
    pictures = torch.rand(6, 3, 11, 9)
    units = npc.record(net, pictures, ["0", "1"], preprocess=None, encoding="linear")
    found = script._means(units)
    assert found["layer"].values.tolist() == ["0"] * 4 + ["1"] * 5
    with torch.no_grad():
        first = net[0](pictures)
        expected = torch.cat([first.mean((2, 3)), net[1](first).mean((2, 3))], 1)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-5)


def test_starts_have_the_pictures_histogram(script):
    picture = 0.05 + 0.9 * torch.rand(1, 8, 8)
    start = script._shuffled(picture, 0)
    assert torch.equal(start.flatten().sort().values, picture.flatten().sort().values)
    assert not torch.equal(start, picture) and not torch.equal(start, script._shuffled(picture, 1))


def test_partners_are_made_once_and_for_the_settings_that_they_depend_on(script, config, monkeypatch, tmp_path):
    monkeypatch.delenv("NEUROPERC_DATA", raising=False)
    monkeypatch.setattr(script, "__file__", str(tmp_path / "script.py"))
    originals, told = script._originals(config)
    assert told == [script.NO_DATA] and originals[0].shape == (3, 32, 32)
    partners, facts = script._partners(config, originals, False)
    kept = sorted(file.name for file in tmp_path.glob(".progress/*/*.json"))
    assert kept == ["crop0.json", "crop1.json"]
    assert not set(partners.ids) & set(originals.ids) and 0 < facts["matched"] < 0.2
    monkeypatch.setattr(script.npc, "synthesize", lambda *_, **__: pytest.fail("made again"))
    again, _ = script._partners(dataclasses.replace(config, n_resamples=7), originals, False)
    assert torch.equal(again[1], partners[1])
    with pytest.raises(pytest.fail.Exception, match="made again"):
        script._partners(dataclasses.replace(config, steps=31), originals, False)
