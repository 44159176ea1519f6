"""Claims, results, running, the ledger: rules, errors, round trips."""

import json
import textwrap

import numpy as np
import pytest

from neuroperc.experiment import (
    Claim,
    Measured,
    Result,
    ledger,
    load_results,
    provenance,
    run_experiment,
    write_ledger,
)

SCRIPT = """
from dataclasses import dataclass

import neuroperc.plot
from neuroperc.experiment import Measured


@dataclass(frozen=True)
class Config:
    steps: int
    seed: int = 0


def run(config, progress=False):
    return Measured(
        {"near": config.steps / 10, "order": {"a": 1.0, "b": 2.0 + config.seed}, "left_out": None},
        intervals={"near": (0.1, 0.9)},
        interval_of="95 % interval over pictures",
        data={"x": [1.0, 2.0]},
        deviations=["not run on a GPU"],
    )


def plot(result):
    figure = neuroperc.plot.figure()
    figure.axes[0].plot(result.data["x"])
    return figure
"""
TABLE = """
title = "Author 2000: a title"
[smoke]
steps = 4
[paper]
steps = 40
[deviations]
smoke = ["reduced design"]
paper = []
[claims.near]
text = "a number | with a bar"
published = 0.5
tolerance = 0.1
unit = "deg"
source = "Fig. 1"
verified = "paper"
[claims.order]
text = "an ordering"
ordering = "a < b"
source = "Fig. 2"
verified = "no"
[claims.left_out]
text = "something large"
at_least = 3
source = "Fig. 3"
verified = "abstract"
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "author2000.py"
    path.write_text(SCRIPT)
    path.with_suffix(".toml").write_text(TABLE)
    return path


def claim(**rule):
    return Claim("key", "text", "source", "no", **rule)


@pytest.mark.parametrize(
    ("rule", "ours", "holds"),
    [
        ({"published": 0.5, "tolerance": 0.1}, 0.4, True),
        ({"published": 0.5, "tolerance": 0.1}, 0.39, False),
        ({"published": 0.3, "tolerance": 0.1}, 0.2, True),  # 0.3 - 0.2 is above 0.1 in binary
        ({"published": (1.0, 2.0), "tolerance": 0.0}, [1, 2], True),
        ({"published": (1.0, 2.0), "tolerance": 0.0}, np.array([1, 3]), False),
        ({"at_least": 0.8}, 0.8, True),
        ({"at_least": 0.8}, 0.79, False),
        ({"at_most": 0.15, "at_least": 0.1}, 0.2, False),
        ({"ordering": "a < b < c"}, {"a": 1, "b": 2, "c": 3}, True),
        ({"ordering": "a < b < c"}, {"a": 1, "b": 1, "c": 3}, False),
        ({"published": 0.5, "tolerance": 0.1}, float("nan"), False),
        ({"at_least": 0.8}, None, None),
    ],
)
def test_a_claim_is_judged_by_its_rule(rule, ours, holds):
    assert claim(**rule).measured(ours).holds is holds


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "judged by one rule"),
        ({"published": 1.0}, "without a tolerance"),
        ({"published": 1.0, "tolerance": 0.1, "at_least": 0.5}, "2 rules"),
        ({"published": 1.0, "tolerance": -0.1}, "0 or more, got -0.1"),
        ({"ordering": "a > b"}, "joined by <"),
        ({"at_least": 1.0, "interval": (0.0, 1.0)}, "names what it is"),
    ],
)
def test_a_claim_without_a_clear_rule_is_refused(rule, says):
    with pytest.raises(ValueError, match=says):
        claim(**rule)


@pytest.mark.parametrize(
    ("rule", "ours", "says"),
    [
        ({"published": (1.0, 2.0), "tolerance": 0.0}, [1.0], "2 numbers, as many as were published, got 1"),
        ({"ordering": "a < b"}, {"a": 1.0}, "a mapping with a, b"),
        ({"at_least": 1.0}, {"a": 1.0}, "a number or a sequence"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(rule, ours, says):
    with pytest.raises(ValueError, match=says):
        _ = claim(**rule).measured(ours).holds


def test_run_writes_json_and_png_and_the_ledger_lists_every_claim(script, tmp_path):
    result = run_experiment(script)
    assert [c.holds for c in result.claims] == [True, True, None]
    assert result.deviations == ("reduced design", "not run on a GPU")
    folder = tmp_path / "results"
    assert sorted(p.name for p in folder.iterdir()) == ["author2000.smoke.json", "author2000.smoke.png"]
    assert (folder / "author2000.smoke.png").read_bytes().startswith(b"\x89PNG")
    assert load_results(folder) == [result]
    text = ledger(folder)
    expected = [
        "2 of 3 claims hold, 0 do not, 1 were not measured",
        "a number \\| with a bar",
        "0.5 ± 0.1 deg",
        "0.4 [0.1, 0.9] (95 % interval over pictures)",
        "reduced design; not run on a GPU",
        "≥ 3",
    ]
    assert [part for part in expected if part not in text] == []
    assert write_ledger(folder, dry_run=True)[1] is False
    assert write_ledger(folder)[1] is False
    assert write_ledger(folder, dry_run=True)[1] is True


def test_a_claim_that_fails_stays_with_its_number(script, tmp_path):
    result = run_experiment(script, profile="paper", out=tmp_path / "out")
    assert result.claims[0].holds is False
    assert "| 4 [0.1, 0.9] (95 % interval over pictures) | **no** |" in ledger(tmp_path / "out")


def test_seed_replaces_the_profile_and_the_same_run_gives_the_same_picture(script, tmp_path):
    first = run_experiment(script, seed=3, out=tmp_path / "a")
    again = run_experiment(script, seed=3, out=tmp_path / "b")
    assert first.config == {"steps": 4, "seed": 3}
    assert first.values["order"]["b"] == 5.0
    assert first.artifacts == again.artifacts


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("steps = 4\n", "step = 4\n", r"\[smoke\] must be .* got step = 4. Did you mean steps\?"),
        ("steps = 4\n", "steps = 'many'\n", r"\[smoke\] steps must be valid, got many"),
        ("steps = 4\n", "", r"\[smoke\] steps must be given"),
        ("tolerance = 0.1", "tolerence = 0.1", "Did you mean tolerance"),
        ("tolerance = 0.1", "", "judged by one rule"),
        ("verified = \"paper\"", "", "verified must be given"),
        ('smoke = ["reduced design"]', "", r"Write `smoke = \[\]` when there are none"),
        ("[deviations]", "[deviation]", "a table with 'deviations'"),
        ("[claims.near]", "[claims.far]", "claims.far must be measured by run"),
        ("title =", "title", "valid TOML"),
        ("[smoke]", "[smok]", "profile must be one of"),
    ],
)  # fmt: skip
def test_a_faulty_table_fails_at_once_and_says_why(script, old, new, says):
    table = script.with_suffix(".toml")
    assert old in TABLE
    table.write_text(TABLE.replace(old, new))
    with pytest.raises(ValueError, match=says):
        run_experiment(script)
    assert not (script.parent / "results").exists()


def test_unknown_names_and_settings_are_refused(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no folder ./experiments here"):
        run_experiment("author2000")
    with pytest.raises(ValueError, match="Config has no device"):
        run_experiment(script, device="cuda")
    with pytest.raises(ValueError, match="in a folder that exists"):
        run_experiment(script, out=tmp_path / "no" / "such")
    script.write_text("Config = None\n")
    with pytest.raises(ValueError, match="Config, run and plot, got no run"):
        run_experiment(script)


def test_a_name_is_found_under_experiments(script, tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    for path in (script, script.with_suffix(".toml")):
        path.rename(tmp_path / "experiments" / path.name)
    monkeypatch.chdir(tmp_path)
    assert run_experiment("author2000").name == "author2000"
    assert (tmp_path / "experiments" / "results" / "author2000.smoke.json").is_file()
    with pytest.raises(ValueError, match="There are author2000"):
        run_experiment("author2001")


def test_a_failing_plot_leaves_the_old_results(script):
    run_experiment(script)
    folder = script.parent / "results"
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    script.write_text(SCRIPT.replace("return figure", "raise OSError(28, 'No space left on device')"))
    with pytest.raises(OSError, match="No space"):
        run_experiment(script, seed=5)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_redrawing_replaces_the_picture_and_keeps_the_numbers(script, tmp_path):
    old = run_experiment(script, seed=5)
    script.write_text(SCRIPT.replace("return Measured(", "raise RuntimeError(").replace('["x"])', '["x"], "k")'))
    new = run_experiment(script, redraw=True)
    folder = script.parent / "results"
    assert (new.values, new.data, new.config, new.claims) == (old.values, old.data, old.config, old.claims)
    assert {k: v for k, v in new.provenance.items() if k != "drawn"} == old.provenance
    assert set(new.provenance["drawn"]) == {"commit", "date"}
    assert new.artifacts != old.artifacts
    assert load_results(folder) == [new]
    write_ledger(folder)  # the picture is the result's
    with pytest.raises(ValueError, match=r"written by `neuroperc run`, got .*author2000.paper.json"):
        run_experiment(script, profile="paper", redraw=True)
    with pytest.raises(ValueError, match="seed and device must be left out with redraw"):
        run_experiment(script, seed=1, redraw=True)


def test_damaged_results_are_named(script, tmp_path):
    run_experiment(script)
    folder = script.parent / "results"
    path = folder / "author2000.smoke.json"
    whole = path.read_text()
    (folder / "author2000.smoke.png").write_bytes(b"another picture")
    with pytest.raises(ValueError, match=r"author2000.smoke.png must be the picture of its result"):
        write_ledger(folder)
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a whole file written by `neuroperc run`, got .*author2000.smoke.json"):
        load_results(folder)
    record = json.loads(whole)
    del record["claims"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="whole file"):
        load_results(folder)


def test_results_survive_json_with_arrays_and_values_that_json_lacks():
    measured = claim(published=(1.0, 2.0), tolerance=0.5).measured(np.array([1.0, np.nan]))
    result = Result("n", "t", "smoke", {}, (measured,), (), provenance=provenance())
    read = Result.from_dict(json.loads(json.dumps(result.to_dict())))
    assert read.claims[0].holds is False
    assert read.provenance == result.provenance


def test_provenance_outside_a_checkout_has_no_commit(tmp_path):
    script = tmp_path / "lone.py"
    script.write_text(textwrap.dedent(SCRIPT))
    assert provenance(script)["commit"] is None
    assert set(provenance()) >= {"neuroperc", "versions", "commit", "device", "threads", "date"}


def test_a_plain_mapping_is_enough():
    assert Measured({"a": 1}).deviations == ()
