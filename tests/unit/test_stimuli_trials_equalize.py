"""Trial lists and equalized pictures: what is refused, what is balanced, what is reported."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc.data import check_trials
from neuroperc.stimuli import equalize, trials

DISPLAY = npc.Display.from_px_per_deg(8, resolution_px=(32, 40))
SIDES = {"side": ["left", "right"]}


def longest(values):
    return max(len(list(run)) for _, run in itertools.groupby(values))


def pictures(n=3, channels=1, seed=0, low=0.3, high=0.6):
    made = low + (high - low) * np.random.default_rng(seed).random((n, channels, 32, 40))
    made *= np.linspace(0.8, 1.2, n)[:, None, None, None]
    return npc.StimulusSet.from_arrays(made, display=DISPLAY)


def test_every_cell_and_combination_occurs_as_often_as_asked():
    table = trials(
        ["a", "b"], factors={"sf_cpd": [1, 2]}, balance={**SIDES, "order": [0, 1]}, repeats=8, n_blocks=2, rng=0
    )
    assert len(table) == 32
    assert set(table.groupby(["block", "stimulus_id", "sf_cpd"]).size()) == {4}
    assert set(table.groupby(["stimulus_id", "sf_cpd", "side", "order"]).size()) == {2}
    assert table["block"].is_monotonic_increasing
    assert set(table["condition"]) == {"sf_cpd=1", "sf_cpd=2"}
    pd.testing.assert_frame_equal(check_trials(table), table)


def test_the_seed_decides_the_order():
    first, again, other = (trials(list("abcd"), repeats=5, rng=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert first["stimulus_id"].tolist() != other["stimulus_id"].tolist()


def test_positions_are_uniform_without_constraints():
    first = [trials(list("abcd"), repeats=1, rng=seed)["stimulus_id"][0] for seed in range(150)]
    counts = pd.Series(first).value_counts()
    assert len(counts) == 4
    assert counts.min() > 20  # 37.5 expected, SD 5.3


@pytest.mark.parametrize("seed", range(20))
def test_runs_stay_short_also_across_blocks(seed):
    table = trials(
        ["a", "b", "c"], balance=SIDES, repeats=6, n_blocks=3, max_run={"stimulus_id": 1, "side": 2}, rng=seed
    )
    assert longest(table["stimulus_id"]) == 1
    assert longest(table["side"]) <= 2


@pytest.mark.parametrize("seed", range(10))
def test_the_tightest_order_that_exists_is_found(seed):
    table = trials(["a", "b"], repeats=20, max_run={"stimulus_id": 1}, rng=seed)
    assert longest(table["stimulus_id"]) == 1


def test_a_factor_may_be_a_column_of_the_schema():
    table = trials(factors={"set_size": [8, 16], "condition": ["easy", "hard"]}, rng=0)
    assert sorted(table["set_size"]) == [8, 8, 16, 16]
    assert set(table["condition"]) == {"easy", "hard"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stimuli": ["a", "b"], "balance": SIDES, "repeats": 3}, "repeats must be a multiple of 2.*got 3. Use 4"),
        ({"stimuli": ["a"], "repeats": 3, "n_blocks": 2}, "multiple of n_blocks = 2, got 3. Use 4"),
        ({"stimuli": ["a", "a"]}, "different ids, got .'a'. more than once"),
        ({"stimuli": []}, "stimuli must be at least one"),
        ({}, "stimuli or factors must be given"),
        ({"stimuli": ["a"], "factors": {"side": [1]}, "balance": SIDES}, "different columns"),
        ({"stimuli": ["a"], "factors": {"trial": [1, 2]}}, "columns other than"),
        ({"stimuli": ["a"], "factors": {"correct": [True]}}, "known before the trial"),
        ({"stimuli": ["a"], "factors": {"x": []}}, "one level or more"),
        ({"stimuli": ["a"], "factors": {"x": [1, 1]}}, "different levels"),
        ({"stimuli": ["a", "b"], "max_run": {"side": 2}}, "max_run must be of the columns stimulus_id, got side"),
        ({"stimuli": ["a"], "max_run": {"stimulus_id": 2}}, "two levels or more"),
        ({"stimuli": ["a", "b"], "max_run": {"stimulus_id": 0}}, "at least 1, got 0"),
        ({"stimuli": ["a"], "rng": -1}, "seed of 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        trials(**{"rng": 0, **options})


def test_an_order_that_cannot_exist_is_refused():
    # All three columns must alternate at once, so that from any trial only its opposite may follow.
    runs = {"stimulus_id": 1, "side": 1, "x": 1}
    with pytest.raises(ValueError, match=r"max_run must be such that an order exists.*Allow longer runs"):
        trials(["a", "b"], factors={"x": [0, 1]}, balance=SIDES, repeats=2, max_run=runs, rng=0)


@pytest.mark.parametrize(
    "options", [{"stimuli": "ab"}, {"stimuli": ["a"], "factors": {"x": "ab"}}, {"stimuli": ["a"], "factors": [1]},
                {"stimuli": ["a"], "rng": None}, {"stimuli": ["a"], "repeats": 1.5}]
)  # fmt: skip
def test_wrong_types_are_refused(options):
    with pytest.raises(TypeError, match="must be"):
        trials(**{"rng": 0, **options})


def test_the_list_goes_into_a_psychopy_folder(tmp_path):
    lab = npc.Display(resolution_px=(32, 40), size_m=(0.3, 0.4), distance_m=0.57)
    shown = npc.StimulusSet.from_arrays(np.zeros((2, 1, 32, 40)), display=lab, ids=["a", "b"])
    table = trials(shown, balance=SIDES, repeats=2, rng=0)
    npc.data.export_psychopy(shown, tmp_path / "lab", trials=table, duration_s=0.1)
    read = npc.data.read_psychopy_conditions(tmp_path / "lab")
    assert read["stimulus_id"].tolist() == table["stimulus_id"].tolist()
    assert read["side"].tolist() == table["side"].tolist()
    assert json.loads((tmp_path / "lab" / "manifest.json").read_text())["columns"][:3] == [
        "subject",
        "session",
        "trial",
    ]


def grey(x):
    return np.tensordot([0.2126, 0.7152, 0.0722], x, (0, 0)) if len(x) == 3 else x[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_luminance_is_matched_and_contrast_stays(channels):
    old = pictures(channels=channels)
    made = equalize(old, match="luminance", target=0.4)
    for before, after in zip(old, made.stimuli, strict=True):
        a, b = grey(before.numpy()), grey(after.numpy())
        assert b.mean() == pytest.approx(0.4, abs=1e-12)
        assert b.std() / b.mean() == pytest.approx(a.std() / a.mean(), abs=1e-12)
    assert made.report["n_clipped"].sum() == 0
    assert made.stimuli.ids == old.ids


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_is_matched_and_luminance_stays(channels):
    old = pictures(channels=channels)
    made = equalize(old, match="contrast")
    wanted = np.mean([grey(p.numpy()).std() / grey(p.numpy()).mean() for p in old])
    assert made.target == pytest.approx(wanted)
    for before, after in zip(old, made.stimuli, strict=True):
        a, b = grey(before.numpy()), grey(after.numpy())
        assert b.mean() == pytest.approx(a.mean(), abs=1e-12)
        assert b.std() / b.mean() == pytest.approx(wanted, abs=1e-12)


def test_contrast_is_measured_in_the_window():
    window = np.zeros((32, 40))
    window[8:24, 10:30] = 1
    made = equalize(pictures(), match="contrast", target=0.1, window=window)
    for picture in made.stimuli:
        inside = picture.numpy()[0, 8:24, 10:30]
        assert inside.std() / inside.mean() == pytest.approx(0.1, abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_histograms_become_the_average_histogram(channels):
    old = pictures(channels=channels)
    made = equalize(old, match="histogram")
    average = np.mean([np.sort(grey(p.numpy()).ravel()) for p in old], axis=0)
    for before, after in zip(old, made.stimuli, strict=True):
        a, b = grey(before.numpy()).ravel(), grey(after.numpy()).ravel()
        np.testing.assert_allclose(np.sort(b), average, atol=1e-12)
        assert (np.diff(b[np.argsort(a)]) >= -1e-12).all()  # the order of pixels stays
    assert made.report["residual"].max() < 1e-12


def test_equal_pixels_stay_equal_in_a_histogram_and_say_so():
    old = np.random.default_rng(0).random((2, 1, 32, 40)) * 0.5 + 0.2
    old[0, :, :16] = 0.25
    made = equalize(npc.StimulusSet.from_arrays(old, display=DISPLAY), match="histogram")
    assert made.stimuli[0][0, :16].unique().numel() == 1
    assert made.report["residual"].iloc[0] > 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_spectra_become_the_average_spectrum_with_phases_kept(channels):
    old = pictures(channels=channels)
    made = equalize(old, match="spectrum")
    spectra = [np.fft.fft2(grey(p.numpy())) for p in old]
    average = np.mean(np.abs(spectra), axis=0)
    for before, after in zip(spectra, made.stimuli, strict=True):
        after = np.fft.fft2(grey(after.numpy()))
        np.testing.assert_allclose(np.abs(after).ravel()[1:], average.ravel()[1:], rtol=1e-9)
        assert after[0, 0] == pytest.approx(before[0, 0])
        kept = np.abs(before) > 1e-6
        np.testing.assert_allclose(np.angle(after / before)[kept], 0, atol=1e-9)


def test_clipping_is_counted_and_its_residual_reported():
    made = equalize(pictures(), match="contrast", target=0.9)
    raw = made.report
    assert (raw["n_clipped"] > 0).all()
    assert (raw["least"] < 0).all()
    assert (raw["residual"] < -0.01).all()
    first = made.stimuli[0].numpy()
    assert int(((first == 0) | (first == 1)).sum()) == raw["n_clipped"].iloc[0]
    assert "values clipped in 3" in repr(made)
    with pytest.raises(ValueError, match=r"stimulus '0000' must be within \[0, 1\] after equalizing"):
        equalize(pictures(), match="contrast", target=0.9, out_of_gamut="raise")


def test_encoding_precision_movies_and_places_survive():
    codes = (0.3 + 0.3 * np.random.default_rng(0).random((2, 1, 32, 40))).astype(np.float32)
    shown = npc.StimulusSet.from_arrays(codes, display=DISPLAY, encoding="srgb", size_deg=(4, 5), center_deg=(1, 2))
    made = equalize(shown, match="luminance", target=0.2).stimuli
    assert made.encoding == "srgb"
    assert made[0].dtype == torch.float32
    assert made.to_encoding("linear")[1].mean().item() == pytest.approx(0.2, abs=1e-6)
    assert made.table["x_deg"].tolist() == [1, 1]
    clip = npc.StimulusSet.from_arrays(
        0.5 * np.random.default_rng(0).random((2, 3, 1, 32, 40)), display=DISPLAY, fps=30
    )
    assert equalize(clip, match="contrast", target=0.2).report["after"].tolist() == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize(
    ("stimuli", "options", "says"),
    [
        (pictures(), {"match": "colour"}, "match must be one of"),
        (pictures(), {"match": "luminance", "target": 0}, "target must be a finite number above 0"),
        (pictures(), {"match": "luminance", "target": 1.5}, "White is 1"),
        (pictures(), {"match": "spectrum", "target": 0.5}, "left out for match='spectrum'"),
        (pictures(), {"match": "contrast", "window": np.zeros((32, 40))}, "some above 0"),
        (pictures(), {"match": "contrast", "window": np.ones((3, 3))}, "window must be of shape"),
        (npc.StimulusSet.from_arrays(np.zeros((1, 1, 32, 40)), display=DISPLAY), {"match": "luminance"}, "above 0"),
        (npc.StimulusSet.from_arrays(np.full((1, 1, 32, 40), 0.5), display=DISPLAY), {"match": "contrast"},
         "more than one luminance"),
    ],
)  # fmt: skip
def test_bad_requests_are_named(stimuli, options, says):
    with pytest.raises(ValueError, match=says):
        equalize(stimuli, **options)


def test_only_stimulus_sets_are_equalized():
    with pytest.raises(TypeError, match="stimuli must be a StimulusSet"):
        equalize(np.zeros((1, 1, 4, 4)), match="luminance")
