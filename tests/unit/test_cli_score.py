"""`neuroperc score`: pictures and a file of responses in; the numbers of `benchmark`, a table and a figure out."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

import neuroperc as npc
from neuroperc import cli
from neuroperc.cli.score import layers_of
from neuroperc.data.readers.pictures import save_image
from neuroperc.encoding import scoring

NET = ("--model", "squeezenet1_1", "--weights", "random", "--px-per-deg", 8)
FIT = ("--estimator", "ridge", "--splits", 3)
LAYERS = ("--layer", "features.3", "--layer", "features.6")


def call(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["neuroperc", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Thirty pictures of noise in a folder, and three trials of six neurons that read one layer of the network."""
    root, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    (root / "shown").mkdir()
    for i in range(30):
        coarse = rng.random((3, 4, 4)).repeat(8, 1).repeat(8, 2)
        save_image(coarse, root / "shown" / f"p{i:02d}.png")
    display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    pictures = npc.StimulusSet.from_folder(root / "shown", display)
    net = npc.nets.load("squeezenet1_1", weights=None, random_state=1)
    features = npc.record(net, pictures, ["features.3", "features.6"])
    deep = features.values[:, features.layer.values == "features.6"]
    truth = npc.regression.rotate(deep).left[:, :5] @ rng.normal(size=(5, 6))
    trials = truth / truth.std(0) + 0.5 * rng.normal(size=(3, *truth.shape))
    names = [f"p{i:02d}" for i in range(30)] * 3
    region = np.array(["V4"] * 6)
    v4 = npc.data.make_responses(trials.reshape(-1, 6), stimulus_id=names, region=region)
    npc.data.write_responses(v4, root / "v4.nc")
    np.savez(root / "v4.npz", responses=v4.values, stimulus_id=np.array(names), region=region)
    return root, features, v4


def test_the_files_hold_what_benchmark_returns(study, tmp_path, monkeypatch, capsys):
    root, features, v4 = study
    words = ("score", root / "shown", root / "v4.npz", tmp_path / "out", *NET, *FIT, *LAYERS, "--json")
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    facts = json.loads(out)
    assert [path.rsplit("/", 1)[1] for path in facts["written"]] == [
        "layers.csv", "scores.json", "scores.nc", "layers.png",
    ]  # fmt: skip
    direct = npc.encoding.benchmark(features, v4, estimator="ridge", splits=3, rng=1)
    stored = npc.data.read_scores(tmp_path / "out" / "scores.nc")
    np.testing.assert_allclose(stored.raw, direct.raw, atol=1e-7)
    table = pd.read_csv(tmp_path / "out" / "layers.csv")
    assert table["layer"].tolist() == ["features.3", "features.6"]
    np.testing.assert_allclose(table["score"], direct.aggregate, atol=1e-6)
    np.testing.assert_allclose(table[["low", "high"]], direct.interval, atol=1e-6)
    assert facts["best_layer"] == "features.6" == npc.encoding.best_layer(direct)
    assert facts["rule"] == "signed" and facts["n_stimuli"] == 30 and facts["weights"] == "random"
    assert facts["layers"] == json.loads((tmp_path / "out" / "scores.json").read_text())["layers"]
    assert (tmp_path / "out" / "layers.png").read_bytes()[1:4] == b"PNG"


def test_netcdf_and_arrays_give_one_table_and_the_text_says_the_rule(study, tmp_path, monkeypatch, capsys):
    root, _, _ = study
    found = []
    for file in ("v4.nc", "v4.npz"):
        words = ("score", root / "shown", root / file, tmp_path / file[3:], *NET, *FIT, "--layer", "features.6")
        code, out, err = call(monkeypatch, capsys, *words, "--rule", "brainscore-2026")
        assert code == 0, err
        assert "rule brainscore-2026 (r² / c), ridge, 3 splits, 6 neurons, 30 stimuli" in out
        found.append(pd.read_csv(tmp_path / file[3:] / "layers.csv"))
    pd.testing.assert_frame_equal(*found)


def test_a_second_run_is_refused_or_goes_on(study, tmp_path, monkeypatch, capsys):
    root, _, _ = study
    words = ("score", root / "shown", root / "v4.nc", tmp_path / "out", *NET, *FIT, *LAYERS)
    real, calls = scoring.compute_cell, []

    def dies(*args):
        calls.append(args[0].name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(scoring, "compute_cell", dies)
    code, _, _ = call(monkeypatch, capsys, *words)
    assert code == 130  # as a shell reports Ctrl-C
    code, _, err = call(monkeypatch, capsys, *words)
    assert code == 2 and "add --resume" in err
    code, _, err = call(monkeypatch, capsys, *words, "--resume")
    assert code == 0, err
    assert calls == ["features.3", "features.6", "features.6"]
    code, _, err = call(monkeypatch, capsys, *words, "--resume")
    assert code == 0 and len(calls) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "squeezenet1_1"), "--model must be of different names"),
        (("--model", "squeezenet1_0", "--weights", "none.pt"), "'default', 'random'"),
        (("--model", "squeezenet1_0"), "Layers of torchvision:squeezenet1_0: features, features.0"),
        (
            ("--model", "squeezenet1_0", "--layer", "alexnet=features.2"),
            "'squeezenet1_1', 'squeezenet1_0', got alexnet",
        ),
        (("--fixation-deg", "1,0"), "--fixation-deg must be given with --foveate or --visual-deg, got (1.0, 0.0)"),
        (("--fixation-deg", "1", "--foveate"), "two numbers with a comma"),
        (("--layer", "conv9"), "conv9"),
        (("--rule", "r9", *LAYERS), "brainscore-2026"),
        (("--estimator", "lasso", *LAYERS), "'pls', 'ridge'"),
        (("--weights", "none.pt", *LAYERS), "none.pt"),
        (("--size-deg", "4,4", *LAYERS), "got both"),
    ],
)
def test_bad_options_name_value_and_remedy(study, tmp_path, monkeypatch, capsys, words, message):
    root, _, _ = study
    code, _, err = call(monkeypatch, capsys, "score", root / "shown", root / "v4.nc", tmp_path / "out", *NET, *words)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--stratify", "kind"), "stratify must be a coordinate of the presentations"),
        (("--reliability", -1), "reliability must be above 0"),
        (("--rule", "ev", "--reliability", 0), "reliability must be above 0"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_a_network_runs(
    study, tmp_path, monkeypatch, capsys, models, words, message
):
    root, _, _ = study
    more = ("--model", "squeezenet1_0") * (models - 1)
    code, _, err = call(monkeypatch, capsys, "score", root / "shown", root / "v4.nc", tmp_path / "out", *NET, *more,
                        *LAYERS, *words)  # fmt: skip
    assert code == 2 and message in err and not (tmp_path / "out").exists()


def test_bad_files_name_the_file_and_the_remedy(study, tmp_path, monkeypatch, capsys):
    root, _, v4 = study
    other = v4.assign_coords(stimulus_id=("presentation", [f"q{name}" for name in v4.stimulus_id.values]))
    npc.data.write_responses(other, tmp_path / "other.nc")
    np.savez(tmp_path / "bare.npz", activity=v4.values)
    np.savez(tmp_path / "objects.npz", responses=v4.values, stimulus_id=v4.stimulus_id.values.astype(object))
    (tmp_path / "table.csv").write_text("a,b\n")
    (tmp_path / "torn.nc").write_bytes((root / "v4.nc").read_bytes()[:500])
    (tmp_path / "torn.npz").write_bytes((root / "v4.npz").read_bytes()[:300])
    for file, message in (
        ("torn.npz", "a whole .npz file"),
        ("none.nc", "none.nc"),
        ("other.nc", "30 of 30 without one, such as ['qp00'"),
        ("bare.npz", "np.savez(path, responses=..., stimulus_id=...)"),
        ("objects.npz", "as text, not as objects"),
        ("table.csv", "'.nc', '.npz'"),
        ("torn.nc", "torn.nc"),
    ):
        words = ("score", root / "shown", tmp_path / file, tmp_path / "out", *NET, *LAYERS)
        code, _, err = call(monkeypatch, capsys, *words)
        assert code == 2, file
        assert message in err, file
        assert not (tmp_path / "out").exists()
    code, _, err = call(monkeypatch, capsys, "score", tmp_path / "nowhere", root / "v4.nc", tmp_path / "out", *NET)
    assert code == 2 and "nowhere" in err


def test_constant_neurons_and_missing_trials_are_counted(study, tmp_path, monkeypatch, capsys):
    root, _, v4 = study
    odd = v4.copy()
    odd[:, 2] = 1.0
    odd[:30, 4] = np.nan  # one repeat was not recorded
    npc.data.write_responses(odd, tmp_path / "odd.nc")
    words = ("score", root / "shown", tmp_path / "odd.nc", tmp_path / "out", *NET, *FIT, *LAYERS, "--json")
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    facts = json.loads(out)
    assert [row["n_undefined"] for row in facts["layers"]] == [1, 1] and facts["undefined_neuroids"] == [2]
    code, out, err = call(monkeypatch, capsys, *words[:-1], "--resume")
    assert code == 0 and "6 neurons (1 without a score: 2), 30 stimuli" in out, err


def areas_file(root, v4, path):
    """Two neurons an area: three areas of six neurons."""
    regions = np.array(["IT", "V1", "V4"]).repeat(2)
    npc.data.write_responses(v4.assign_coords(region=("neuroid", regions)), path)
    return regions


def test_several_models_give_one_table_and_one_figure(study, tmp_path, monkeypatch, capsys):
    root, features, v4 = study
    regions = areas_file(root, v4, tmp_path / "areas.nc")
    words = ("score", root / "shown", tmp_path / "areas.nc", tmp_path / "out", *NET, *FIT, "--model", "squeezenet1_0",
             "--layer", "squeezenet1_0=features.5", "--layer", "squeezenet1_1=features.3",
             "--layer", "squeezenet1_1=features.6")  # fmt: skip
    code, out, err = call(monkeypatch, capsys, *words, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert [path.rsplit("/", 1)[1] for path in facts["written"]] == ["models.csv", "models.json", "models.png"]
    table = pd.read_csv(tmp_path / "out" / "models.csv")
    assert list(dict.fromkeys(table["region"])) == ["V1", "V4", "IT"]  # in the order of the hierarchy
    first = table[(table["model"] == "squeezenet1_1") & (table["region"] == "V4")]
    assert first["layer"].tolist() == ["features.3", "features.6"]
    assert len(table) == 3 * (2 + 1) and set(table["weights"]) == {"random"}
    direct = npc.encoding.benchmark(features, v4.isel(neuroid=regions == "V4"), estimator="ridge", splits=3, rng=1)
    np.testing.assert_allclose(first["score"], direct.pooled, atol=1e-6)
    np.testing.assert_allclose(first[["low", "high"]], direct.interval, atol=1e-6)
    r = np.median(direct.raw.mean("split"), axis=1)
    np.testing.assert_allclose(first["r"], r, atol=1e-6)
    ends = np.percentile(np.sqrt(direct.reliability), [25, 75])
    np.testing.assert_allclose(first[["ceiling_low", "ceiling_high"]], [ends, ends], atol=1e-6)
    assert len(facts["best"]) == 6 and [row["model"] for row in facts["slopes"]] == ["squeezenet1_1", "squeezenet1_0"]
    assert (tmp_path / "out" / "models.png").read_bytes()[1:4] == b"PNG"
    code, out, err = call(monkeypatch, capsys, *words, "--resume")
    assert code == 0 and "squeezenet1_0" in out and "models.png" in out, err


def test_layers_of_the_one_model_may_name_it(study, tmp_path, monkeypatch, capsys):
    root, _, v4 = study
    npc.data.write_responses(v4, tmp_path / "v4.nc")
    words = ("score", root / "shown", tmp_path / "v4.nc", tmp_path / "out", *NET, *FIT, "--json")
    code, out, err = call(monkeypatch, capsys, *words, "--layer", "squeezenet1_1=features.3")
    assert code == 0 and [row["layer"] for row in json.loads(out)["layers"]] == ["features.3"], err
    code, _, err = call(monkeypatch, capsys, *words, "--layer", "resnet18=features.3", "--resume")
    assert code != 0 and "MODEL of --layer MODEL=GLOB must be one of 'squeezenet1_1', got resnet18" in err


def test_layers_that_are_known_need_not_be_named(study):
    net = npc.nets.load("squeezenet1_1", weights=None, random_state=1)
    assert layers_of(net, ()) == list(npc.nets.OBSERVERS["squeezenet1_1"].layers)
    assert layers_of(net, ["features.6"]) == ["features.6"]


def test_a_fovea_stands_before_the_network(study, tmp_path, monkeypatch, capsys):
    root, _, v4 = study
    words = ("score", root / "shown", root / "v4.nc", tmp_path / "out", *NET, *FIT, "--layer", "features.6")
    code, _, err = call(monkeypatch, capsys, *words, "--foveate", "--fixation-deg", "-1,0.5", "--visual-deg", 6)
    assert code == 0, err
    display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    pictures = npc.StimulusSet.from_folder(root / "shown", display)
    net = npc.nets.load("squeezenet1_1", weights=None, random_state=1)
    seen = npc.record(net, pictures, "features.6", foveate=npc.foveation.FoveatedBlur(display), visual_deg=6,
                      fixation_deg=(-1, 0.5))  # fmt: skip
    direct = npc.encoding.benchmark(seen, v4, estimator="ridge", splits=3, rng=1)
    stored = npc.data.read_scores(tmp_path / "out" / "scores.nc")
    np.testing.assert_allclose(stored.raw, direct.raw, atol=1e-7)
