"""simulate: tables, regimes, budgets, checkpoints, bad input; priorities with bad input."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from neuroperc import Display
from neuroperc.data import StimulusSet, check_fixations
from neuroperc.nets import Net, Preprocess
from neuroperc.search import ChancePriority, EccNet, PixelPriority, TemplatePriority, reaction_times, simulate
from neuroperc.search._arenas import read_arenas
from neuroperc.stimuli import search_displays


def fixed(values):
    """A priority that is the same everywhere and always; it has no `look`."""
    maps = torch.as_tensor(np.asarray(values, dtype=float))
    return lambda image, target, fixation_deg: maps.expand(len(image), *maps.shape)


def picture_set(shape=(40, 60), density=10.0, target=(2.0, 1.0, 0.8, 0.6), **columns):
    screen = Display.from_px_per_deg(density, resolution_px=shape)
    table = StimulusSet.from_arrays(np.zeros((1, 1, *shape), np.float32), display=screen).table
    names = ("target_x_deg", "target_y_deg", "target_width_deg", "target_height_deg")
    table = table.assign(**dict(zip(names, target, strict=True)), **columns)
    truth = {"target_picture": np.zeros((1, 1, 6, 6), np.float32)}
    return StimulusSet.from_arrays(
        np.zeros((1, 1, *shape), np.float32), display=screen, table=table, truth=truth, encoding="srgb"
    )


def tiny(depth=2, **options):
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return Net(nn.Sequential(*layers), Preprocess(size_px=None, **options))


def test_tables_of_an_item_array():
    shown = search_displays(None, "t_among_ls", set_size=(3, 6), n=2, rng=0)
    fixations, trials = simulate(ChancePriority(), shown, rng=3)
    assert trials["stimulus_id"].tolist() == shown.ids
    assert trials["condition"].unique().tolist() == ["t_among_ls"]
    assert trials["experiment"].unique().tolist() == ["l_vs_t"]
    assert trials["set_size"].tolist() == [3, 3, 6, 6]
    assert trials["target_present"].all() and trials["found"].all()
    check_fixations(fixations, trials)
    start = fixations[fixations["fixation"] == 0]
    assert start[["x_deg", "y_deg"]].abs().to_numpy().max() < 0.02  # pixel 307 of 615
    assert start["object_id"].isna().all()
    step = fixations["onset_s"] - 0.252359 * fixations["fixation"]
    assert step.abs().max() < 1e-12 and (fixations["duration_s"] == 0.252359).all()
    landed = fixations[fixations["fixation"] > 0]
    cells = shown.truth["cells"][0][landed["object_id"].astype(int)]
    off = np.abs(landed[["x_deg", "y_deg"]].to_numpy() - cells[:, :2])
    assert (off <= cells[:, 2:] / 2 + 1e-9).all()
    rt = reaction_times(fixations, trials)
    assert rt["n_fixations"].tolist() == landed.groupby("trial").size().tolist()
    timeless, _ = simulate(ChancePriority(), shown, rng=3, fixation_s=None)
    assert timeless["onset_s"].isna().all()


def test_the_target_ends_the_search_even_when_the_gaze_lands_beside_its_cell():
    """A window of 1/3 degree about the gaze reaches 5 px: cells next to the target's are recognised from their rim."""
    shown = search_displays(None, "t_among_ls", set_size=9, n=1, rng=0)
    target = int(shown.table["target_cell"].iloc[0])
    row, column = divmod(target, 3)
    values = np.zeros((615, 615))
    left = column * 205
    beside = left - 3 if column else left + 205 + 3
    values[row * 205 + 100, beside] = 1.0
    fixations, trials = simulate(fixed(values), shown)
    assert trials["found"].tolist() == [True]
    assert len(fixations) == 2
    assert fixations["object_id"].iloc[1] != target
    values = np.roll(values, 4 if column == 0 else -4, axis=1)
    fixations, _ = simulate(fixed(values), shown)
    assert len(fixations) > 2


def test_a_fixated_cell_is_painted_and_the_first_largest_value_wins():
    shown, seen = search_displays(None, "curve_among_lines", set_size=8, n=1, rng=1), []

    def priority(image, target, fixation_deg):
        seen.append(image.clone())
        return torch.ones(len(image), *image.shape[-2:])

    fixations, _ = simulate(priority, shown)
    assert fixations["object_id"].tolist()[1] == 0  # reading order
    assert fixations["object_id"].tolist()[1:] == list(range(len(fixations) - 1))
    edges = np.floor(np.arange(7) * 339 / 6).astype(int)
    for k, image in enumerate(seen):
        for cell in range(k):
            r, c = divmod(cell, 6)
            assert (image[0, 0, edges[r] : edges[r + 1], edges[c] : edges[c + 1]] == 0).all()
        r, c = divmod(k, 6)
        rest = np.s_[edges[r] : edges[r + 1], edges[c] : edges[c + 1]]
        assert torch.equal(image[0, 0][rest], shown.to_encoding("linear")[0][0][rest])


def test_cells_are_whole_pixels_and_share_none():
    shown = search_displays(None, "curve_among_lines", set_size=8, n=1, rng=1)
    edges = np.floor(np.arange(7) * 339 / 6).astype(int).tolist()
    expected = [(edges[r], edges[c], edges[r + 1], edges[c + 1]) for r in range(6) for c in range(6)]
    assert list(read_arenas(shown, "items")[0].cells) == expected


def test_every_display_has_its_own_stream():
    shown = search_displays(None, "t_among_ls", set_size=3, n=4, rng=0)
    fixations, _ = simulate(ChancePriority(), shown, rng=3, batch_size=2)
    assert fixations[fixations["fixation"] == 1]["x_deg"].nunique() == 4


def test_natural_pictures():
    shown = picture_set()
    values = np.zeros((40, 60))
    values[1, 50], values[2, 52], values[20, 10] = 3.0, 2.9, 2.0
    fixations, trials = simulate(fixed(values), shown, ior_deg=1.0, budget=3)
    places = shown.picture_px(0, fixations[["x_deg", "y_deg"]].to_numpy()).round().astype(int).tolist()
    assert places[:3] == [[30, 20], [50, 1], [10, 20]]  # the second peak lies in the inhibited square
    assert trials["found"].tolist() == [False] and len(fixations) == 4
    values[9, 49] = 2.5  # target: x 45.5 to 53.5, y 6.5 to 12.5 px; this gaze reaches it
    _, trials = simulate(fixed(values), shown, ior_deg=1.0, budget=3)
    assert trials["found"].tolist() == [True]
    at_start, found = simulate(fixed(values), picture_set(target=(0.0, 0.0, 1.0, 1.0)))
    assert len(at_start) == 1 and found["found"].tolist() == [True]


def test_finite_inhibition_of_natural_pictures_forgets():
    values = np.zeros((40, 60))
    values[5, 50], values[35, 10] = 3.0, 2.0
    fixations, _ = simulate(fixed(values), picture_set(target=(2.5, -1.5, 0.2, 0.2)), ior=1, ior_deg=1.0, budget=4)
    x = picture_set().picture_px(0, fixations[["x_deg", "y_deg"]].to_numpy())[:, 0].round().tolist()
    assert x == [30, 50, 10, 50, 10]


def test_a_killed_run_goes_on_with_the_next_display(tmp_path):
    shown = search_displays(None, "t_among_ls", set_size=(3, 9), n=2, rng=0)
    path, calls = tmp_path / "search.json", []

    class Dies(ChancePriority):
        def look(self, *args, **options):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return super().look(*args, **options)

    with pytest.raises(KeyboardInterrupt):
        simulate(Dies(), shown, rng=5, checkpoint=path)
    assert len(json.loads(path.read_text())["trials"]) == 2
    resumed = simulate(Dies(), shown, rng=5, checkpoint=path)
    assert len(calls) == 5  # two before, one that died, two after
    whole = simulate(ChancePriority(), shown, rng=5)
    assert resumed[0].equals(whole[0]) and resumed[1].equals(whole[1])
    assert [p.name for p in tmp_path.iterdir()] == ["search.json"]
    with pytest.raises(ValueError, match="same seed"):
        simulate(ChancePriority(), shown, rng=6, checkpoint=path)
    with pytest.raises(ValueError, match="same rules"):
        simulate(ChancePriority(), shown, rng=5, ior=3, checkpoint=path)
    with pytest.raises(ValueError, match="same shown"):
        simulate(ChancePriority(), shown[:3], rng=5, checkpoint=path)
    with pytest.raises(ValueError, match="same model"):
        simulate(PixelPriority(), shown, rng=5, checkpoint=path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(ValueError, match="Delete it to start anew"):
        simulate(ChancePriority(), shown, rng=5, checkpoint=path)


def test_fingerprints_tell_weights_and_settings_apart():
    torch.manual_seed(0)
    a, b = tiny(), tiny()
    same = EccNet(a, px_per_deg=16, layers=(2,)).fingerprint
    assert same == EccNet(a, px_per_deg=16, layers=(2,)).fingerprint
    assert len({same, EccNet(b, px_per_deg=16, layers=(2,)).fingerprint,
                EccNet(a, px_per_deg=20, layers=(2,)).fingerprint,
                TemplatePriority(a, px_per_deg=16, layers=(2,)).fingerprint}) == 4  # fmt: skip


def test_freezing_does_not_reach_the_callers_network():
    backbone = tiny()
    model = EccNet(backbone, px_per_deg=16, layers=(2,))
    assert all(p.requires_grad for p in backbone.parameters())
    assert not any(p.requires_grad for p in model.parameters())
    image = torch.rand(1, 3, 40, 40, requires_grad=True)
    model(image, torch.rand(1, 3, 10, 10)).sum().backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize(("options", "match"), [
    ({"layers": ()}, "layers must be different blocks, 1 to 2"), ({"layers": (3,)}, r"1 to 2, got \(3,\)"),
    ({"layers": (1, 1)}, "different"), ({"px_per_deg": 0}, "px_per_deg"), ({"px_per_deg": float("nan")}, "px_per_deg"),
    ({"mixing": "best"}, "'data', 'equal'"), ({"sharpening": "waldo"}, "curvature"),
    ({"sharpening": ((2, 1), (5, 3))}, "odd"), ({"method": "median"}, "average"), ({"slopes": ()}, "at least 1"),
    ({"slopes": (-0.1,)}, "slopes"), ({"slopes": (0.1,), "eccentric": False}, "left out when eccentric=False"),
    ({"margin_px": -1}, "margin_px"),
])  # fmt: skip
def test_bad_settings(options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        EccNet(tiny(), **({"layers": (2,)} | options))


@pytest.mark.parametrize(("net", "match"), [
    (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), "two blocks or more"),
    (nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1)), "stride 1"),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1)), "keeps the size"),
    (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 2), nn.ReLU()), "pooled 2 x 2"),
    (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten()), "layer 2: Flatten"),
    (nn.Linear(3, 4), "Sequential"),
])  # fmt: skip
def test_backbones_that_are_no_trunk(net, match):
    with pytest.raises((ValueError, TypeError), match=match):
        EccNet(Net(net, Preprocess(size_px=None)), layers=(1,))
    with pytest.raises(TypeError, match=r"nets\.Net"):
        EccNet(net)


@pytest.mark.parametrize(("change", "match"), [
    ({"image": torch.zeros(3, 40, 40)}, r"x\[None\]"), ({"image": torch.zeros(1, 2, 40, 40)}, "1 or 3 channels"),
    ({"image": torch.zeros(1, 3, 40, 40, dtype=torch.uint8)}, "floating"),
    ({"image": torch.full((1, 3, 40, 40), torch.nan)}, "finite"), ({"target": torch.zeros(1, 3, 0, 4)}, "target"),
    ({"target": torch.zeros(2, 3, 8, 8)}, "1 or 1 pictures"), ({"fixation_deg": (9, 0)}, "on the screen"),
    ({"fixation_deg": (np.nan, 0)}, "finite"), ({"background": 1.5}, r"\[0, 1\]"), ({"background": (0, 1)}, "numbers"),
])  # fmt: skip
def test_bad_pictures(change, match):
    given = {"image": torch.zeros(1, 3, 40, 40), "target": torch.zeros(1, 3, 8, 8), "fixation_deg": (0, 0)} | change
    model = EccNet(tiny(), px_per_deg=16, layers=(2,))
    with pytest.raises((ValueError, TypeError), match=match):
        model(given["image"], given["target"], given["fixation_deg"], background=given.get("background", 0.0))


def test_a_blank_display_gives_a_map_without_nan():
    model = EccNet(tiny(), px_per_deg=16, layers=(1, 2))
    out = model(torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 8, 8))
    assert out.isfinite().all()


@pytest.mark.parametrize(("options", "match"), [
    ({"ior": -1}, "ior"), ({"ior": "short"}, "ior"), ({"budget": 0}, "budget"), ({"window_deg": 0}, "window_deg"),
    ({"ior_deg": -2.0}, "ior_deg"), ({"batch_size": 0}, "batch_size"), ({"rng": "a"}, "rng"), ({"rng": -1}, "rng"),
    ({"regime": "waldo"}, "items"), ({"fixation_s": -1}, "fixation_s"), ({"regime": "natural"}, None),
])  # fmt: skip
def test_bad_arguments(options, match):
    shown = search_displays(None, "t_among_ls", set_size=3, n=1, rng=0)
    if match is None:  # search displays have the columns of both regimes
        assert len(simulate(ChancePriority(), shown, budget=2, **options)[1]) == 1
        return
    with pytest.raises((ValueError, TypeError), match=match):
        simulate(ChancePriority(), shown, **options)


def test_bad_sets(tmp_path):
    with pytest.raises(TypeError, match="a StimulusSet"):
        simulate(ChancePriority(), [1])
    shown = picture_set()
    with pytest.raises(ValueError, match=r"truth\['cells'\]"):
        simulate(ChancePriority(), shown, regime="items")
    with pytest.raises(ValueError, match="on the picture"):
        simulate(ChancePriority(), picture_set(target=(9.0, 0.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="width, height"):
        simulate(ChancePriority(), picture_set(target=(0.0, 0.0, np.nan, 1.0)))
    with pytest.raises(ValueError, match="target_picture"):
        simulate(ChancePriority(), dataclasses.replace(shown, truth={}))
    with pytest.raises(ValueError, match=r"px_per_deg=10\.0"):
        simulate(TemplatePriority(tiny(), layers=(1,)), shown)
    displays = search_displays(None, "t_among_ls", set_size=3, n=1, rng=0)
    lost = dataclasses.replace(displays, table=displays.table.assign(target_cell=9))
    with pytest.raises(ValueError, match="one of its 9 cells, got 9"):
        simulate(ChancePriority(), lost)
    with pytest.raises(ValueError, match=r"of shape \(1, 40, 60\)"):
        simulate(lambda image, target, gaze: image, shown)
    with pytest.raises(ValueError, match="Make the folder"):
        simulate(ChancePriority(), shown, checkpoint=tmp_path / "no" / "such.json")
