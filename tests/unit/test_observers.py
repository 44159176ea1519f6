"""Networks as observers: layers by area, tables of models and areas, what is refused and why."""

import copy
import importlib.util
import sys
from fnmatch import fnmatchcase
from pathlib import Path

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


@pytest.mark.slow
@pytest.mark.parametrize("name", npc.nets.OBSERVERS)
def test_every_candidate_answers_in_all_its_layers(name):
    """Two pictures at the network's own size, untrained: a forward pass, not a list of modules."""
    whole = {"resize_px": None} | ({"size_px": 224} if "crossvit" in name else {})
    net = npc.nets.load(name, weights=None, preprocess=whole)
    side = net.preprocess.size_px[0]
    display = npc.Display.from_px_per_deg(side / 8, resolution_px=(side, side))
    light = np.random.default_rng(0).random((2, 3, side, side), dtype=np.float32)
    pictures = npc.StimulusSet.from_arrays(light, display=display)
    observer = npc.nets.OBSERVERS[name]
    areas = set(npc.nets.REGION_LAYERS.get(name, {}).values())
    # Untrained, the last answers of some are too small for half precision.
    found = npc.record(net, pictures, [*observer.layers, *areas], batch_size=1, dtype="float32")
    labels, values = found["layer"].values.astype(str), found.values
    recorded = list(dict.fromkeys(labels))
    assert (
        len(recorded) >= 4
        and areas <= set(recorded)
        and all(any(fnmatchcase(each, g) for each in recorded) for g in observer.layers)
    )
    for layer in recorded:
        own = values[:, labels == layer].astype(float)
        assert np.isfinite(own).all() and own.std() > 0 and np.abs(own[0] - own[1]).max() > 0, layer


@pytest.mark.slow
def test_candidates_are_scored_and_drawn_together():
    """Neurons that read a layer of one network: the table finds it there, and draws both networks."""
    rng = np.random.default_rng(0)
    display = npc.Display.from_px_per_deg(8, resolution_px=(64, 64))
    pictures = npc.StimulusSet.from_arrays(rng.random((24, 3, 64, 64), dtype=np.float32), display=display)
    names = ("efficientvit_m0", "shvit_s1")
    nets = {name: npc.nets.load(name, weights=None, preprocess={"resize_px": None}) for name in names}
    stage = npc.record(nets["shvit_s1"], pictures, "stages.1")
    truth = npc.regression.rotate(stage.values).left[:, :8]
    trials = np.concatenate([truth + 0.02 * rng.normal(size=truth.shape) for _ in range(2)])
    v4 = npc.data.make_responses(trials, stimulus_id=list(pictures.ids) * 2)
    it = xr.DataArray(rdm(stage.values), dims=("stimulus", "other"),
                      coords={"stimulus_id": ("stimulus", list(pictures.ids))})  # fmt: skip
    table = score_models(nets, {"V4": (pictures, v4), "IT": (pictures, it)}, n_resamples=10, rng=0, splits=3,
                         estimator="ridge")  # fmt: skip
    assert set(table["model"]) == set(names) and set(table["weights"]) == {"random"}
    assert np.isfinite(table[["score", "low", "high"]].to_numpy()).all()
    best = table[table["best"]].set_index(["model", "region"])
    assert best.loc[("shvit_s1", "IT"), "layer"] == "stages.1"
    assert best.loc[("shvit_s1", "IT"), "score"] > 0.99 > best.loc[("efficientvit_m0", "IT"), "score"]
    ax = plot.model_regions(table)
    assert [t.get_text() for t in ax.get_yticklabels()] == [f"{name} (random weights)" for name in names]
    assert len(ax.texts) == 4


def test_only_further_draws_of_random_weights_are_left_out():
    """Names may end in a digit of their own."""
    path = Path(__file__).parents[2] / "experiments" / "kriegeskorte2008_rdms.py"
    spec = importlib.util.spec_from_file_location("kriegeskorte2008_rdms_tested", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    del sys.modules[spec.name]
    models = dict.fromkeys(["EfficientNet-Lite0", *(f"EfficientNet-Lite0, random {i}" for i in (0, 1, 2, 11)),
                            *script.OTHERS])  # fmt: skip
    kept = list(script._first_draws(models))
    assert kept == ["EfficientNet-Lite0", "EfficientNet-Lite0, random 0", "MobileNetV2", "SqueezeNet"]


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
    alone = npc.encoding.benchmark(npc.record(nets["first"], pictures, "4"), late, estimator="ridge", splits=3,
                                   n_resamples=20, rng=0)  # fmt: skip
    assert best.loc[("first", "IT"), ["score", "low", "high"]].tolist() == [
        float(alone.pooled[0]), *alone.interval.values[0].tolist(),
    ]  # fmt: skip
    ax = plot.model_regions(table)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["first (random weights)", "second"]
    assert "1.000\n0" in [t.get_text() for t in ax.texts]


def test_an_area_of_constant_neurons_leaves_the_others_their_scores(small):
    nets, pictures, early, late = small
    regions = {"V1": (pictures, early), "IT": (pictures, late.copy(data=np.ones(late.shape)))}
    table = score_models({"first": nets["first"]}, regions, layers={"first": GLOBS["first"]}, n_resamples=20, rng=0,
                         estimator="ridge", splits=3, reliability=1.0)  # fmt: skip
    nothing = table[table["region"] == "IT"]
    assert not nothing["best"].any() and nothing["score"].isna().all()
    assert nothing["n_undefined"].eq(late.sizes["neuroid"]).all()
    assert nothing["n_not_pooled"].eq(late.sizes["neuroid"]).all()
    assert table[table["region"] == "V1"]["best"].sum() == 1


def test_answers_too_small_for_half_precision_are_scored_in_full_or_told_by_name(small):
    """Untrained networks without much normalisation, such as MobileNetV2, answer 1e-8 in their last layers."""
    nets, pictures, early, _ = small
    faint = npc.nets.Net(torch.nn.Sequential(copy.deepcopy(nets["first"].net[0])), nets["first"].preprocess)
    with torch.no_grad():
        for parameter in faint.parameters():
            parameter.mul_(1e-9)
    regions, asked = {"V1": (pictures, early)}, {"faint": ["0"], "first": ["0"]}
    table = score_models({"faint": faint, "first": nets["first"]}, regions, layers=asked, n_resamples=5, rng=0)
    assert table["score"][0] == pytest.approx(table["score"][1], abs=1e-3)
    with (
        pytest.warns(RuntimeWarning, match="layer 0 has no answer above 6.1e-05, .* use dtype='float32'"),
        pytest.raises(ValueError, match="layer 0 must be with units that differ"),
    ):
        score_models({"faint": faint}, regions, layers={"faint": ["0"]}, shown={"dtype": "float16"}, rng=0)


def test_one_argument_puts_a_fovea_before_every_model(small):
    nets, pictures, early, _ = small
    blur = FoveatedBlur(pictures.display, model="half_resolution", half_resolution_deg=0.5)
    args = {"layers": GLOBS, "n_resamples": 5, "rng": 0}
    plain = score_models(nets, {"V1": (pictures, early)}, **args)
    seen = score_models(nets, {"V1": (pictures, early)}, shown={"foveate": blur}, **args)
    units = npc.record(nets["first"], pictures, "0", foveate=blur)
    expected = npc.metrics.rdm_agreement(rdm(units.values.astype(float)), early.values)
    assert seen["score"][0] == pytest.approx(float(expected), abs=1e-6) and plain["score"][0] - seen["score"][0] > 0.01


def test_later_areas_deeper_layers(small):
    nets, pictures, early, late = small
    regions = {"V1": (pictures, early), "V4": (pictures, early), "IT": (pictures, late)}
    table = score_models({"first": nets["first"]}, regions, layers={"first": GLOBS["first"]}, n_resamples=5, rng=0,
                         splits=3, estimator="ridge")  # fmt: skip
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
        (lambda: score_models(nets, {"V1": (pictures, early)}, layers={"third": ["0"]}, rng=0),
         r"layers must be of the models \(first, second\), got \['third'"),
        (lambda: score_models(nets, {"V1": (pictures, early)}, layers=GLOBS, n_resamples=0, rng=0), "n_resamples must"),
        (lambda: score_models(nets, {"V1": (early, pictures)}, layers=GLOBS, rng=0), "got .'DataArray', 'StimulusSet'"),
        (lambda: hierarchy_slope(pd.DataFrame({"model": []})), "table must be one of score_models, got without"),
        (lambda: score_models(nets, {"V1": (pictures, early.drop_vars("stimulus_id"))}, layers=GLOBS, rng=0),
         "coordinate stimulus_id"),
        (lambda: plot.model_regions(pd.DataFrame({"model": []})), "missing"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()
    table = pd.DataFrame({"model": "m", "weights": "w", "region": ["V1", "IT"], "depth": 0, "score": 0, "best": True})
    with pytest.raises(ValueError, match="always 1 or -1"):
        hierarchy_slope(table)
    twice = pd.concat([table, table.assign(region=["V4", "IT"])])
    with pytest.raises(ValueError, match="one best layer of m in an area"):
        hierarchy_slope(twice)
    with pytest.raises(TypeError, match="models must be a mapping of names, got list"):
        score_models(list(nets.values()), {"V1": (pictures, early)}, rng=0)
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


def test_pictures_that_a_layer_cannot_tell_apart_have_no_relative_distance():
    ids = [f"a{i}" for i in range(5)], [f"b{i}" for i in range(5)]
    answers = np.random.default_rng(0).normal(size=(5, 60))
    same = npc.data.make_responses(np.tile(answers[:1], (10, 1)), stimulus_id=[*ids[0], *ids[1]])
    found = compare_stimuli(same, *ids, n_resamples=10, rng=0)
    assert found.distance[0] == found.baseline[0] == 0 and np.isnan([found.relative[0], found.rdm_agreement[0]]).all()
    twins = npc.data.make_responses(np.tile(answers, (2, 1)), stimulus_id=[*ids[0], *ids[1]])
    assert compare_stimuli(twins, *ids, n_resamples=10, rng=0).relative[0] == 0


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
    silent = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Threshold(9, 0))
    with pytest.raises(ValueError, match="layer must be one that answers to the target, got 1 with zeros only"):
        invert(silent, target, "1", steps=2)
    twice = nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 2)
    with pytest.raises(ValueError, match="0@0, 0@1"):
        invert(twice, target, "0")
