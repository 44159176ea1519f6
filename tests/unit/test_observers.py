"""Networks as observers: layers by area, tables of models and areas, what is refused and why."""

from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import nn

import neuroperc as npc
from neuroperc import plot
from neuroperc.encoding import compare_stimuli, hierarchy_slope, invert, score_models
from neuroperc.foveation import FoveatedBlur
from neuroperc.metrics import rdm

SHAPES = {"V1": (577, 448), "V2": (577, 1344), "V4": (577, 1344), "IT": (577, 448), "behavior": (1, 448)}


def built(name):
    """The library's network without numbers."""
    import timm
    from torchvision import models

    with torch.device("meta"):
        return models.get_model(name, weights=None) if name in models.list_models() else timm.create_model(name)


def test_the_layers_of_areas_are_those_of_the_authors():
    crossvit = npc.nets.region_layers("crossvit_18_dagger_408")
    assert crossvit == {
        "V1": "blocks.1.blocks.1.0.norm1", "V2": "blocks.1.blocks.1.0.mlp.act", "V4": "blocks.1.blocks.1.0.mlp.act",
        "IT": "blocks.1.blocks.1.4.norm2", "behavior": "blocks.2.revert_projs.1.2",
    }  # fmt: skip
    crossvit.clear()
    assert list(npc.nets.region_layers("crossvit_18_dagger_408")) == list(npc.nets.REGIONS)
    for name, layers in npc.nets.REGION_LAYERS.items():
        assert set(layers.values()) <= {path for path, _ in built(name).named_modules()}
    with pytest.raises(ValueError, match=r"crossvit_18_dagger_408.*got vgg99"):
        npc.nets.region_layers("vgg99")


@pytest.mark.parametrize("name", npc.nets.OBSERVERS)
def test_every_candidate_exists_with_all_its_layers(name):
    observer = npc.nets.OBSERVERS[name]
    paths = [path for path, _ in built(observer.name).named_modules()]
    assert all(any(fnmatchcase(path, glob) for path in paths) for glob in observer.layers)
    n = sum(any(fnmatchcase(path, glob) for glob in observer.layers) for path in paths)
    assert 4 <= n <= 20 and observer.family


@pytest.mark.slow
def test_crossvit_runs_at_224_pixels_through_every_layer(tmp_path):
    """32 pictures, untrained; layers go to disk one by one, so that memory holds one batch and the network."""
    net = npc.nets.load("crossvit_18_dagger_408", weights=None, preprocess={"size_px": 224, "resize_px": None})
    assert sum(p.numel() for p in net.parameters()) == 44_606_560
    rng = np.random.default_rng(0)
    display = npc.Display.from_px_per_deg(28, resolution_px=(224, 224))
    pictures = npc.StimulusSet.from_arrays(rng.random((32, 3, 224, 224), dtype=np.float32), display=display)
    layers = npc.nets.region_layers("crossvit_18_dagger_408")
    found = npc.record(net, pictures, list(dict.fromkeys(layers.values())), batch_size=2, dtype="float16",
                       store=tmp_path, memory_bytes=2**20)  # fmt: skip
    labels = found["layer"].values
    for region, shape in SHAPES.items():
        units = np.flatnonzero(labels == layers[region])
        assert len(units) == shape[0] * shape[1]
        some = found.isel(neuroid=units[:: max(1, len(units) // 50)]).values
        assert some.shape[0] == 32 and np.isfinite(some).all() and (some.std(axis=0) > 0).any()


@pytest.fixture(scope="module")
def small():
    """Two networks, pictures, and two areas that are layers of the first."""
    rng = np.random.default_rng(0)
    display = npc.Display.from_px_per_deg(4, resolution_px=(16, 16))
    pictures = npc.StimulusSet.from_arrays(rng.random((150, 3, 16, 16)), display=display)
    nets = {}
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3)]
        net = nn.Sequential(*layers).eval()
        nets[name] = npc.nets.Net(net, npc.nets.Preprocess(size_px=16), name=name, weights=("random", "w.pt")[seed])
    answers = {k: npc.record(nets["first"], pictures, k).values for k in ("0", "4")}
    early = xr.DataArray(rdm(answers["0"]), dims=("stimulus", "other"),
                         coords={"stimulus_id": ("stimulus", list(pictures.ids))})  # fmt: skip
    truth = answers["4"][:, :6]
    trials = np.concatenate([truth + 0.05 * truth.std() * rng.normal(size=truth.shape) for _ in range(3)])
    late = npc.data.make_responses(trials, stimulus_id=list(pictures.ids) * 3)
    return nets, pictures, early, late


GLOBS = {"first": ["0", "2", "4"], "second": "?"}


def test_models_by_areas_in_one_table(small):
    nets, pictures, early, late = small
    regions = {"V1": (pictures, early), "IT": (pictures, late)}
    table = score_models(nets, regions, layers=GLOBS, n_resamples=20, rng=0, estimator="ridge", splits=3)
    assert len(table) == 2 * (3 + 5) and set(table["weights"]) == {"random", "w.pt"}
    best = table[table["best"]].set_index(["model", "region"])
    assert best.loc[("first", "V1"), ["layer", "depth"]].tolist() == ["0", 0.0]
    assert best.loc[("first", "V1"), "score"] == pytest.approx(1)
    assert best.loc[("first", "IT"), ["layer", "depth"]].tolist() == ["4", 1.0]
    assert best.loc[("first", "IT"), "score"] > 0.9 > best.loc[("second", "IT"), "score"]
    assert best.loc[("first", "IT"), "measure"] == "sign(r) r² / c, ridge"
    alone = npc.encoding.benchmark(npc.record(nets["first"], pictures, "4", dtype="float16"), late, estimator="ridge",
                                   splits=3, n_resamples=20, rng=0)  # fmt: skip
    assert best.loc[("first", "IT"), ["score", "low", "high"]].tolist() == [
        float(alone.pooled[0]), *alone.interval.values[0].tolist(),
    ]  # fmt: skip
    ax = plot.model_regions(table)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["first (random weights)", "second"]
    assert "1.000\n0" in [t.get_text() for t in ax.texts]


def test_one_argument_puts_a_fovea_before_every_model(small):
    nets, pictures, early, _ = small
    blur = FoveatedBlur(pictures.display, model="half_resolution", half_resolution_deg=0.5)
    args = {"layers": GLOBS, "n_resamples": 5, "rng": 0}
    plain = score_models(nets, {"V1": (pictures, early)}, **args)
    seen = score_models(nets, {"V1": (pictures, early)}, shown={"foveate": blur}, **args)
    units = npc.record(nets["first"], pictures, "0", foveate=blur, dtype="float16")
    expected = npc.metrics.rdm_agreement(rdm(units.values.astype(float)), early.values)
    assert seen["score"][0] == pytest.approx(float(expected), abs=1e-6) and plain["score"][0] - seen["score"][0] > 0.01


def test_later_areas_deeper_layers(small):
    nets, pictures, early, late = small
    regions = {"V1": (pictures, early), "V4": (pictures, early), "IT": (pictures, late)}
    table = score_models({"first": nets["first"]}, regions, layers=GLOBS, n_resamples=5, rng=0, splits=3,
                         estimator="ridge")  # fmt: skip
    slopes = hierarchy_slope(table)
    assert slopes.loc["first", "of_depth"] == pytest.approx(3**0.5 / 2)  # ranks 1.5 1.5 3 against 1 2 3
    assert hierarchy_slope(table, regions=["IT", "V4", "V1"]).loc["first", "of_depth"] == pytest.approx(-(3**0.5) / 2)
    ax = plot.hierarchy(table, slopes)
    assert ax.get_legend_handles_labels()[1] == ["first (random weights): 0.87"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["V1", "V4", "IT"]


def test_bad_tables_are_named(small):
    nets, pictures, early, _ = small
    for call, words in (
        (lambda: score_models(nets, {"V1": (pictures, early)}, rng=0), "layers must be given for first"),
        (lambda: score_models(nets, {"V1": early}, layers=GLOBS, rng=0), "StimulusSet, DataArray"),
        (lambda: score_models({}, {}, rng=0), "one or more each"),
        (lambda: score_models(nets, {"V1": (pictures, early.drop_vars("stimulus_id"))}, layers=GLOBS, rng=0),
         "coordinate stimulus_id"),
        (lambda: plot.model_regions(pd.DataFrame({"model": []})), "missing"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()
    table = pd.DataFrame({"model": "m", "weights": "w", "region": ["V1", "IT"], "depth": 0, "score": 0, "best": True})
    with pytest.raises(ValueError, match="always 1 or -1"):
        hierarchy_slope(table)
    with pytest.raises(ValueError, match=r"scored for m.*V4"):
        hierarchy_slope(table, regions=["V1", "V4", "IT"])


def test_a_front_end_of_other_degrees_is_refused(small):
    nets, pictures, _, _ = small
    other = FoveatedBlur(npc.Display.from_px_per_deg(8, resolution_px=(16, 16)))
    with pytest.raises(ValueError, match=r"foveate.display must be the stimuli's \(4 px/deg.*got 8 px/deg"):
        npc.record(nets["first"], pictures, "0", foveate=other)


def test_bad_pairs_of_pictures_are_named():
    rng = np.random.default_rng(0)
    ids = [f"a{i}" for i in range(5)], [f"b{i}" for i in range(5)]
    values = rng.normal(size=(10, 6))
    units = npc.data.make_responses(values, stimulus_id=[*ids[0], *ids[1]])
    values[3] = 1.0
    flat = npc.data.make_responses(values, stimulus_id=[*ids[0], *ids[1]])
    for args, words in (
        ((units, ids[0], ids[1][:4]), "same number"), ((units, ids[0][:3], ids[1][:3]), "4 or more"),
        ((units, ids[0], ids[0]), "all different"), ((units, ids[0], [*ids[1][:4], "c"]), "1 missing.*'c'"),
        ((flat, *ids), "row 3 constant"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            compare_stimuli(*args, rng=0)


def test_bad_inversions_are_named():
    net, target = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), torch.rand(3, 8, 8)
    for options, words in (
        ({"layer": "conv"}, "layer must be among"), ({"max_change": 0.1}, "given with pictures as init"),
        ({"jitter_px": 2, "optimizer": "lbfgs"}, "0 with optimizer='lbfgs'"), ({"tv": -1.0}, "tv must be"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            invert(net, target, **{"steps": 2, **options})
    with pytest.raises(TypeError, match=r"torch.nn.Module, got function"):
        invert(lambda x: x, target)
    twice = nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 2)
    with pytest.raises(ValueError, match="0@0, 0@1"):
        invert(twice, target, "0")
