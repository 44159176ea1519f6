"""Amazon covers, scenes, paths, pointers: what comes in wrong, and small facts."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from neuroperc import Display
from neuroperc.data import assign_objects, make_fixations, make_trials, read_amazon_covers
from neuroperc.search import objects as npo
from neuroperc.search import pointer as npp

SCREEN = Display.from_px_per_deg(10, resolution_px=(60, 140))
RECORD = {
    "fixations": {"1": [[5, 5], [65, 25]], "2": [[139, 59]], "3": []},
    "ground_truth": [{"xmin": 61, "ymin": 21, "xmax": 68, "ymax": 28}],
    "size": {"height": 60, "width": 140}, "target": "target_0.jpg",
}  # fmt: skip
CELLS = [[0, 0], [0, 1], [1, 0], [1, 1]]
SCENES = npo.make_scenes(CELLS, [3])


def write(tmp_path, content):
    path = tmp_path / "Amazon.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_collage_means_what_it_says(tmp_path):
    fixations, trials, objects = read_amazon_covers(write(tmp_path, {"1.jpg": RECORD}), display=SCREEN)
    assert trials["subject"].tolist() == ["1", "2", "3"]  # the one without fixations too
    assert trials["found"].tolist() == [True, False, False]
    assert trials["target"].unique().tolist() == ["target_0.jpg"]
    # Cells are 10 by 10 pixels: (65, 25) is in row 2, column 6, and so is the target.
    assert fixations["object_id"].tolist() == [0, 2 * 14 + 6, 5 * 14 + 13]
    assert trials["target_object_id"].unique().tolist() == [34]
    assert fixations["fixation"].tolist() == [1, 2, 1]
    # Pixel 5 of 140 lies 64.5 pixels left of the centre; rows run downwards, degrees upwards.
    np.testing.assert_allclose(fixations.loc[0, ["x_deg", "y_deg"]].astype(float), [-6.45, 2.45])
    box = trials.loc[0, ["target_left_deg", "target_right_deg", "target_bottom_deg", "target_top_deg"]].astype(float)
    np.testing.assert_allclose(box, [-0.9, -0.1, 0.1, 0.9])  # columns 61 to 68: from 61 to 69 of 140, centre at 70
    first = objects.iloc[0]
    np.testing.assert_allclose(first[["left_deg", "right_deg", "bottom_deg", "top_deg"]].astype(float), [-7, -6, 2, 3])
    kept = npo.object_trials(fixations, trials, objects)
    assert kept.paths.tolist() == [[[0, 34], [83, -1]]]


def test_a_smaller_collage_is_centred(tmp_path):
    record = RECORD | {"size": {"height": 50, "width": 130}, "fixations": {"1": [[64.5, 24.5]]}}
    fixations, _, _ = read_amazon_covers(write(tmp_path, {"1.jpg": record}), display=SCREEN)
    np.testing.assert_allclose(fixations[["x_deg", "y_deg"]], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"1.jpg": ', "whole JSON"),
        ([RECORD], "an object of collages, got list"),
        ({}, "an object of collages"),
        ({"1.jpg": [1]}, "1.jpg of .* must be an object"),
        ({"1.jpg": {k: v for k, v in RECORD.items() if k != "size"}}, "no size"),
        ({"1.jpg": RECORD | {"size": {"height": 0, "width": 140}}}, "size of 1.jpg"),
        ({"1.jpg": RECORD | {"size": {"height": 61, "width": 140}}}, "within the display"),
        ({"1.jpg": RECORD | {"ground_truth": []}}, "a list of one box"),
        ({"1.jpg": RECORD | {"ground_truth": [{"xmin": 1, "ymin": 1, "xmax": 1, "ymax": 3}]}}, "on its 60 by 140"),
        ({"1.jpg": RECORD | {"ground_truth": [{"xmin": "a", "ymin": 1, "xmax": 1, "ymax": 3}]}}, "a box on its"),
        ({"1.jpg": RECORD | {"fixations": {"1": [[1, 2], [3]]}}}, "person 1 in 1.jpg"),
        ({"1.jpg": RECORD | {"fixations": {"2": [[1, None]]}}}, "person 2 in 1.jpg"),
        ({"1.jpg": RECORD | {"fixations": {"1": [[1, "x"]]}}}, "person 1 in 1.jpg"),
        ({"1.jpg": RECORD | {"fixations": [[1, 2]]}}, "an object of people"),
        ({"1.jpg": RECORD | {"fixations": {"1": [[float("nan"), 2]]}}}, "person 1 in 1.jpg"),
    ],
)
def test_malformed_covers_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_amazon_covers(write(tmp_path, content), display=SCREEN)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="Check the name and the folder"):
        read_amazon_covers(tmp_path / "none.json", display=SCREEN)


def test_copies_of_one_path_are_reported(tmp_path):
    """The code released with OAT gave everybody the last person's path."""
    path = [[k, k] for k in range(6)]
    record = RECORD | {"fixations": {"1": path, "2": path, "3": path}}
    with pytest.warns(UserWarning, match="2 paths of .* are copies"):
        read_amazon_covers(write(tmp_path, {"1.jpg": record}), display=SCREEN)
    other = RECORD | {"fixations": {"1": path, "2": path[::-1]}}
    read_amazon_covers(write(tmp_path, {"1.jpg": other, "2.jpg": other}), display=SCREEN)  # warnings are errors here


@pytest.mark.parametrize(
    ("points", "boxes", "message"),
    [
        ([[0, 0, 0]], [[0, 1, 0, 1]], "points_deg must be of shape"),
        ([[0, np.nan]], [[0, 1, 0, 1]], "points_deg must be finite"),
        ([[0, 0]], np.empty((0, 4)), "at least one"),
        ([[0, 0]], [[1, 0, 0, 1]], "with area"),
        ([[0, 0]], [[0, np.inf, 0, 1]], "boxes_deg must be finite"),
    ],
)
def test_objects_need_points_and_boxes(points, boxes, message):
    with pytest.raises(ValueError, match=message):
        assign_objects(points, boxes)


def test_overlapping_boxes_are_told_apart_by_their_centres():
    assert assign_objects([[0.9, 0.5], [1.3, 0.5]], [[0, 2, 0, 1], [1, 2, 0, 1]]).tolist() == [0, 1]


def recording(n_objects=4, **changes):
    trials = make_trials([0, 1], stimulus_id=["a", "b"], target_object_id=[1, 2])
    columns = {"trial": [0, 0, 1], "fixation": [1, 2, 1], "object_id": [0, 1, 2], "on_screen": True, **changes}
    fixations = make_fixations([[0, 0]] * 3, **columns)
    which = np.arange(n_objects)
    objects = pd.concat([
        pd.DataFrame({"stimulus_id": name, "object_id": which, "row": which // 2, "column": which % 2}) for name in "ab"
    ])  # fmt: skip
    return fixations, trials, objects


def test_recordings_become_scenes():
    fixations, trials, objects = recording()
    found = npo.object_trials(fixations, trials, objects.sample(frac=1, random_state=0))
    assert found.paths.tolist() == [[[0, 1]], [[2, -1]]]
    assert found.scenes.cells[0].tolist() == CELLS
    assert found.scenes.target.tolist() == [1, 2]
    assert npo.object_trials(fixations, trials.assign(excluded=[True, False]), objects).stimulus_id.tolist() == ["b"]


def test_paths_far_from_the_mean_length_are_left_out():
    trials = make_trials(range(12), stimulus_id="a", target_object_id=0)
    fixations = make_fixations([[0, 0]] * 61, trial=[*range(11), *[11] * 50], fixation=[*[1] * 11, *range(1, 51)],
                               object_id=0, on_screen=True)  # fmt: skip
    objects = recording()[2].query("stimulus_id == 'a'")
    assert npo.object_trials(fixations, trials, objects).paths.shape == (1, 11, 1)
    assert npo.object_trials(fixations, trials, objects, length_sd=None).paths.shape == (1, 12, 50)


def test_broken_recordings_are_named():
    fixations, trials, objects = recording()
    with pytest.raises(ValueError, match="no target_object_id"):
        npo.object_trials(fixations, trials.drop(columns="target_object_id"), objects)
    with pytest.raises(ValueError, match="no row"):
        npo.object_trials(fixations, trials, objects.drop(columns="row"))
    with pytest.raises(ValueError, match="1 fixations without"):
        npo.object_trials(recording(object_id=[0, None, 2])[0], trials, objects)
    with pytest.raises(ValueError, match="as many in every stimulus, got 3 to 4"):
        npo.object_trials(fixations, trials, objects.iloc[1:])
    with pytest.raises(ValueError, match="below the 4 objects"):
        npo.object_trials(recording(object_id=[0, 9, 2])[0], trials, objects)
    with pytest.raises(ValueError, match="none for"):
        npo.object_trials(fixations, trials, objects.query("stimulus_id == 'a'"))
    with pytest.raises(ValueError, match="one a stimulus"):
        npo.object_trials(fixations, trials.assign(stimulus_id="a"), objects)
    with pytest.raises(ValueError, match="none of 2"):
        npo.object_trials(fixations, trials.assign(excluded=True), objects)


@pytest.mark.parametrize(
    ("cells", "target", "patches", "error", "message"),
    [
        (CELLS, [4], None, ValueError, "an index among the 4 objects"),
        (CELLS, [-1], None, ValueError, "an index among the 4 objects"),
        (CELLS, [0.5], None, TypeError, "whole numbers"),
        ([[0, -1], [0, 0]], [0], None, ValueError, "from 0, got -1"),
        ([[0, 1, 2]], [0], None, ValueError, "of shape"),
        (CELLS, [], None, ValueError, "one a scene"),
        (CELLS, [0], np.zeros((1, 3, 3, 2, 2)), ValueError, r"of shape \(1, 4, channel"),
        (CELLS, [0], np.full((1, 4, 3, 2, 2), 255.0), ValueError, r"in \[0, 1\], got from 255"),
    ],
)
def test_scenes_are_checked(cells, target, patches, error, message):
    with pytest.raises(error, match=message):
        npo.make_scenes(cells, target, patches)


def test_models_refuse_what_does_not_fit():
    model = npo.OAT(grid=(2, 2), d_model=16, n_heads=2, n_layers=1, d_feedforward=16)
    with pytest.raises(ValueError, match="below the 4 objects, got 4"):
        model(SCENES, torch.tensor([[[4]]]))
    with pytest.raises(ValueError, match=r"of shape \(1, path, step\)"):
        model(SCENES, torch.tensor([[0, 1]]))
    with pytest.raises(TypeError, match="whole numbers"):
        model(SCENES, torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="within the grid"):
        model(npo.make_scenes([[0, 0], [0, 2]], [0]), torch.tensor([[[0]]]))
    with pytest.raises(ValueError, match="patches must be given"):
        npo.OAT(grid=(2, 2), d_model=16, n_layers=1, vision=True)(SCENES, torch.tensor([[[0]]]))
    with pytest.raises(ValueError, match="multiple of twice the 4 heads, got 20"):
        npo.OAT(d_model=20)
    with pytest.raises(ValueError, match="dropout must be"):
        npo.OAT(d_model=16, dropout=1)
    with pytest.raises(ValueError, match="at least 14 rows"):
        npo.OAT(table=npo.position_table(6))
    with pytest.raises(ValueError, match="max_steps must be"):
        npo.greedy_paths(model, SCENES, max_steps=0)
    with pytest.raises(TypeError, match="Pass rng=0"):
        npo.sample_paths(model, SCENES, max_steps=3, rng=None)
    with pytest.raises(ValueError, match="OAT, PointerDecoder"):
        npo.greedy_paths(torch.nn.Linear(1, 1), SCENES, max_steps=2)
    with pytest.raises(ValueError, match="patches must be of shape"):
        npo.PatchNet()(torch.zeros(2, 1, 40, 40))
    with pytest.raises(ValueError, match="2, 3 or 4, got 5"):
        npo.PatchNet(pyramid_levels=5)


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a, b, c = (npo.OAT(grid=(2, 2), d_model=16, n_layers=1, random_state=k) for k in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.head.to_keys.weight, c.head.to_keys.weight)


def test_the_size_of_the_paper():
    model = npo.OAT()
    assert model.embedding(npo.make_scenes(np.stack(np.divmod(np.arange(84), 14), -1), [3])).shape == (1, 86, 512)
    assert (len(model.decoder), len(model.encoder.layers), model.head.n_heads, model.head.d_hidden) == (4, 4, 2, 512)
    assert model.embedding.table.shape == (14, 86)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: npo.position_table(14, width=10), "at least the 14 positions, got 10"),
        (lambda: npo.position_table(0), "n_positions must be"),
        (lambda: npo.position_table(3, sigma=0), "sigma must be"),
        (lambda: npo.learn_position_table(1, rng=0), "at least 2"),
        (lambda: npo.grouped_split([1, 2, 3], fractions=(0.5, 0.4), rng=0), "together 1"),
        (lambda: npo.grouped_split([1, 1, 2], rng=0), "large enough for 2 groups"),
        (lambda: npo.object_priority(SCENES, kind="color"), "Use 'random' or 'center'"),
        (lambda: npo.object_priority(SCENES, kind="loud"), "kind must be one of"),
        (lambda: npo.priority_paths(SCENES, torch.ones(1, 3), rng=0), "priority must be of shape"),
        (lambda: npo.priority_paths(SCENES, -torch.ones(1, 4), rng=0), "priority must be 0 or more"),
        (lambda: npp.PointerHead(4, 4, score="cosine"), "score must be one of"),
        (lambda: npp.PointerHead(4, 4, end="never"), "end must be one of"),
        (lambda: npp.PointerHead(4, 4)(torch.zeros(2, 3, 4), torch.zeros(1, 3, 4)), "inputs and queries"),
        (lambda: npp.hull_problems(3, 2, rng=0), "n_points must be"),
        (lambda: npp.tour_problems(3, 13, rng=0), "3 to 12 towns, got 13"),
        (lambda: npp.hull_scores(np.zeros((1, 3, 3)), [[0]], [[0]]), "points, answers, truth"),
        (lambda: npp.tour_length(np.zeros((1, 3, 2)), [[0, 1]]), "points and answers"),
        (lambda: npp.solve(npp.PointerNet(d_hidden=4), torch.rand(1, 3, 2), rule="none"), "rule must be one of"),
        (lambda: npp.PointerNet(d_hidden=4)(torch.rand(1, 3, 2), torch.zeros(2, 3).long()), "points and answers"),
    ],
)
def test_bad_numbers_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_training_resumes_and_picks_the_best_epoch(tmp_path):
    scenes = npo.make_scenes(CELLS, [3, 0, 1])
    paths = torch.tensor([[[0, 0, 1, 0, 3]], [[1, 1, 3, 1, 0]], [[2, 2, 3, 2, 1]]])
    trials = npo.ObjectTrials(scenes, paths, np.array(["a", "b", "c"]))
    how = {"validation": trials, "batch_size": 2, "learning_rate": 3e-3, "n_samples": 6, "random_state": 4}
    whole, parts = (npo.OAT(grid=(2, 2), d_model=16, n_heads=2, n_layers=1, d_feedforward=16) for _ in range(2))
    result = npo.fit_paths(whole, trials, epochs=4, **how)
    assert len(result.history["validation"]) == 4
    assert result.best == result.history["validation"].min()
    file = tmp_path / "state.pt"
    npo.fit_paths(parts, trials, epochs=4, checkpoint=file, **how)
    again = npo.OAT(grid=(2, 2), d_model=16, n_heads=2, n_layers=1, d_feedforward=16, random_state=9)
    done = npo.fit_paths(again, trials, epochs=4, checkpoint=file, **how)  # all of it is in the file
    assert done.steps == result.steps
    others = npo.ObjectTrials(npo.make_scenes(CELLS, [3, 0, 2]), paths, np.array(["a", "b", "c"]))
    for data, other in (
        (others, how),
        (trials._replace(paths=paths.flip(0)), how),
        (trials, how | {"learning_rate": 1e-3}),
    ):
        with pytest.raises(ValueError, match="checkpoint must be of a training with"):
            npo.fit_paths(again, data, epochs=4, checkpoint=file, **other)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_people_who_never_return_cannot_judge():
    trials = npo.ObjectTrials(SCENES, torch.tensor([[[0, 3]]]), np.array(["a"]))
    model = npo.PointerDecoder(grid=(2, 2), d_model=8)
    with pytest.raises(ValueError, match="people refixate and revisit"):
        npo.fit_paths(model, trials, validation=trials, epochs=1)
