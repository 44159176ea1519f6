"""What must hold for any scene: order of objects, batches, stops, samples, training."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroperc.search import objects as npo
from neuroperc.search import pointer as npp

SHELF = np.stack(np.divmod(np.arange(12), 4), -1)


def models():
    sizes = {"grid": (3, 4), "d_model": 32, "random_state": 1}
    return {
        "oat": npo.OAT(n_layers=2, d_feedforward=32, **sizes).eval(),
        "additive": npo.PointerDecoder(score="additive", **sizes).eval(),
        "dot": npo.PointerDecoder(score="dot", **sizes).eval(),
    }


MODELS = models()
SCENES = npo.make_scenes(SHELF, [5, 0, 11])
PATHS = torch.tensor([[[1, 2, 5, -1], [3, 3, -1, -1]], [[0, -1, -1, -1], [7, 6, 5, 0]], [[11, 10, 9, 8], [-1] * 4]])


def shelf_with_pictures(seed, n_scenes=2):
    """Made displays: coloured objects on grey, one of them loud; the target is told by its colour."""
    rng = np.random.default_rng(seed)
    color = rng.uniform(0.2, 0.8, (n_scenes, 12, 3, 1, 1))
    patches = np.broadcast_to(color, (n_scenes, 12, 3, 30, 20)).copy()
    patches += rng.uniform(-0.05, 0.05, patches.shape)
    target = rng.integers(12, size=n_scenes)
    return npo.make_scenes(SHELF, target, patches.clip(0, 1).astype(np.float32))


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permuting_objects_permutes_the_pointer(name, seed):
    order = np.random.default_rng(seed).permutation(12)  # new place k holds the object that was at order[k]
    place = torch.as_tensor(np.argsort(order))
    moved = npo.make_scenes(SHELF[order], place[SCENES.target].numpy())
    paths = torch.where(PATHS < 0, -1, place[PATHS.clamp(min=0)])
    with torch.no_grad():
        before, after = MODELS[name](SCENES, PATHS), MODELS[name](moved, paths)
    columns = torch.cat((torch.as_tensor(order), torch.arange(12, before.shape[-1])))
    torch.testing.assert_close(after, before[..., columns], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_looking_at_the_target_is_not_stopping(name):
    """Without the flag the target on the shelf and the target token would be one and the same key."""
    with torch.no_grad():
        scores = MODELS[name](SCENES, PATHS)[:, :, 0]
    at = scores.gather(-1, SCENES.target[:, None, None].expand(-1, 2, 1))[..., 0]
    known = PATHS[..., 0] >= 0
    assert ((at - scores[..., 12]).abs() > 1e-4)[known].all()


@pytest.mark.parametrize("name", MODELS)
def test_padding_and_neighbours_in_a_batch_change_nothing(name):
    with torch.no_grad():
        whole = MODELS[name](SCENES, PATHS)
        alone = MODELS[name](SCENES.take([0]), PATHS[:1, 1:, :2])
    torch.testing.assert_close(alone[0, 0], whole[0, 1, :3], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_past_alone_decides(name):
    changed = PATHS.clone()
    changed[1, 1, 2] = 9
    with torch.no_grad():
        before, after = MODELS[name](SCENES, PATHS), MODELS[name](SCENES, changed)
    torch.testing.assert_close(before[1, 1, :3], after[1, 1, :3], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before[1, 1, 3], after[1, 1, 3], atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_step_by_step_equals_teacher_forcing(name):
    model, whole = MODELS[name], torch.tensor([[[1, 2, 5, 5], [3, 3, 0, 1]], [[0, 1, 4, 4], [7, 6, 5, 0]]])
    scenes = SCENES.take([0, 1])
    with torch.no_grad():
        forced = model(scenes, whole)[..., :13]
        state = model.begin(scenes, 2, 5)
        last = torch.full((2, 2), -1)
        for step in range(5):
            torch.testing.assert_close(model.step(state, last), forced[:, :, step], atol=2e-5, rtol=1e-4)
            if step == 1:  # drop the first path of one scene, swap those of none
                state.keep(torch.tensor([[1], [0]]))
                whole = torch.stack((whole[0, 1:], whole[1, :1]))
                forced = torch.stack((forced[0, 1:], forced[1, :1]))
            if step < 4:
                last = whole[:, :, step]


@pytest.mark.parametrize("name", MODELS)
def test_stop_ends_a_path_and_cannot_come_first(name):
    paths = npo.sample_paths(MODELS[name], SCENES, n_samples=60, max_steps=9, rng=0)
    real = paths >= 0
    assert real[..., 0].all()  # stop is forbidden at the begin
    assert (real[..., 1:] <= real[..., :-1]).all()  # once over, over
    assert len(real.sum(-1).unique()) > 3
    assert paths.max() < 12  # neither stop nor the null class is an object


def test_pointing_at_the_target_token_is_the_stop():
    """The last encoder slot is the target token: a head whose queries meet only that slot stops after one object."""
    model = models()["oat"]

    class Drawn(torch.nn.Module):
        def begin(self, scenes, n_paths, max_steps):
            state = model.begin(scenes, n_paths, max_steps)
            assert state.keys.shape[2] == scenes.n_objects + 1
            return state

        def step(self, state, last):
            return model.step(state, last) + torch.where(torch.arange(13) == 12, 1e4, 0.0)

    paths = npo.sample_paths(Drawn(), SCENES, n_samples=7, max_steps=5, rng=0)
    assert ((paths >= 0).sum(-1) == 1).all()
    targets = npo.path_targets(PATHS, 12)
    assert targets[0, 0].tolist() == [1, 2, 5, 12, -1]
    assert targets[2, 1].tolist() == [-1] * 5


@pytest.mark.parametrize("name", ["oat", "dot"])
def test_samples_follow_the_model(name):
    model, scene = MODELS[name], SCENES.take([1])
    paths = npo.sample_paths(model, scene, n_samples=6000, max_steps=2, rng=1)[0]
    with torch.no_grad():
        scores = model(scene, paths[None, :1, :1])[0, 0, :, :13].clone()
    scores[0, 12] = -torch.inf
    first = torch.bincount(paths[:, 0], minlength=13) / 6000
    wanted = scores[0].softmax(-1)
    assert ((first - wanted).abs() < 4 * (wanted / 6000).sqrt() + 1e-3).all()
    begun = paths[paths[:, 0] == paths[0, 0]]  # and the second step, given the first
    second = torch.bincount(torch.where(begun[:, 1] < 0, 12, begun[:, 1]), minlength=13) / len(begun)
    wanted = scores[1].softmax(-1)
    assert ((second - wanted).abs() < 4.5 * (wanted / len(begun)).sqrt() + 2e-3).all()


def test_the_same_seed_gives_the_same_paths_and_modes_are_put_back():
    model = models()["oat"].train()
    a, b = (npo.sample_paths(model, SCENES, n_samples=8, max_steps=6, rng=5) for _ in range(2))
    assert torch.equal(a, b)
    assert model.training
    assert not torch.equal(a, npo.sample_paths(model, SCENES, n_samples=8, max_steps=6, rng=6))


def test_greedy_takes_the_most_likely_step():
    model = MODELS["oat"]
    path = npo.greedy_paths(model, SCENES, max_steps=5)
    with torch.no_grad():
        scores = model(SCENES, path[:, None])[:, 0, :, :13].clone()
    scores[:, 0, 12] = -torch.inf
    best = scores.argmax(-1)
    for s in range(3):
        n = int((path[s] >= 0).sum())
        assert path[s, :n].tolist() == best[s, :n].tolist()
        assert n == 5 or best[s, n] == 12


def test_the_table_is_frozen_and_the_rest_learns():
    model = npo.OAT(grid=(3, 4), d_model=32, n_layers=1, d_feedforward=32)
    table = model.embedding.table.clone()
    trials = npo.ObjectTrials(SCENES, PATHS, np.array(["a", "b", "c"]))
    before = npo.path_loss(model, SCENES, PATHS).item()
    result = npo.fit_paths(model, trials, epochs=80, batch_size=3, learning_rate=3e-3)
    assert result.steps == 80
    assert npo.path_loss(model.eval(), SCENES, PATHS).item() < 0.5 * before
    assert torch.equal(model.embedding.table, table)
    seen = npo.next_object_probability(model, SCENES, PATHS)
    assert torch.isnan(seen[2, 1])
    assert (seen[torch.isfinite(seen)] > 0.1).all()


def test_pictures_alone_can_tell_the_target():
    """Two objects may change places: with pictures the model follows the look, without it cannot."""
    scenes = shelf_with_pictures(0)
    model = npo.OAT(grid=(3, 4), vision=True, d_model=32, n_layers=1, d_feedforward=32).eval()
    path = torch.tensor([[[1, 2]], [[3, 4]]])
    swapped = scenes.patches.clone()
    swapped[:, [6, 7]] = swapped[:, [7, 6]]
    with torch.no_grad():
        a, b = model(scenes, path), model(npo.make_scenes(SHELF, scenes.target.numpy(), swapped), path)
    assert not torch.allclose(a, b, atol=1e-4)
    assert npo.PatchNet(pyramid_levels=3)(scenes.patches[0]).shape == (12, 256)


@pytest.mark.parametrize(("levels", "n"), [(None, 1440), (2, 160), (3, 672), (4, 2720)])
def test_patch_net_has_the_published_number_of_features(levels, n):
    assert npo.PatchNet(pyramid_levels=levels).out.in_features == n


def test_patch_net_does_not_see_brightness_and_gain():
    net, patch = npo.PatchNet().eval(), torch.rand(2, 3, 40, 30)
    torch.testing.assert_close(net(patch), net(0.3 + 0.4 * patch), atol=1e-5, rtol=1e-4)


def test_baselines_know_what_they_should():
    scenes = shelf_with_pictures(3, 40)
    row = torch.arange(40)
    color = npo.object_priority(scenes, kind="color")
    assert (color.argmax(1) == scenes.target).all()  # nothing is as like the target as the target
    loud = scenes.patches.clone()
    loud[row, 4] = 0
    loud[row, 4, 0, ::2] = 1  # one object of red stripes
    salient = npo.object_priority(npo.make_scenes(SHELF, scenes.target.numpy(), loud), kind="saliency")
    assert (salient.argmax(1) == 4).float().mean() > 0.9
    found = npo.priority_paths(scenes, color, n_samples=50, rng=0)
    blind = npo.priority_paths(scenes, npo.object_priority(scenes, kind="random"), n_samples=50, rng=0)
    length = [(p >= 0).sum(-1).double().mean().item() for p in (found, blind)]
    assert length[0] < 0.6 * length[1]
    assert length[1] == pytest.approx(6.5, abs=0.3)  # chance: halfway through 12 objects
    middle = npo.object_priority(scenes, kind="center", sigma=1)
    cells = torch.as_tensor(SHELF)
    assert middle[0, (cells == torch.tensor([1, 1])).all(1)] > 3 * middle[0, 0]
    torch.testing.assert_close(middle.sum(1), torch.ones(40, dtype=torch.float64))


def test_searchers_without_training_visit_no_object_twice():
    scenes = npo.make_scenes(SHELF, [5, 0])
    near = npo.nearest_paths(scenes, n_samples=30, rng=0)
    cells = torch.as_tensor(SHELF).double()
    for paths in (near, npo.priority_paths(scenes, npo.object_priority(scenes, kind="random"), n_samples=30, rng=0)):
        for s in range(2):
            for path in paths[s].tolist():
                path = [k for k in path if k >= 0]
                assert len(set(path)) == len(path)
                assert path[-1] == scenes.target[s]
    for path in near[0].tolist():
        path = [k for k in path if k >= 0]
        for k in range(1, len(path)):
            far = torch.cdist(cells[[path[k - 1]]], cells)[0]
            left = [j for j in range(12) if j not in path[:k]]
            assert far[path[k]] == far[left].min()


@given(st.lists(st.integers(0, 20), min_size=12, max_size=60), st.integers(0, 5), st.integers(0, 100))
def test_no_picture_is_in_two_parts(groups, fold, seed):
    groups = np.array([*groups, *range(12)])
    parts = npo.grouped_split(groups, fold=fold, rng=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not set(groups[parts[a]]) & set(groups[parts[b]])


def test_test_sets_of_folds_do_not_overlap():
    tests = [npo.grouped_split(np.arange(100), fold=k, rng=0)[2] for k in range(10)]
    assert sorted(np.concatenate(tests).tolist()) == list(range(100))


@pytest.mark.parametrize("rule", ["free", "distinct", "all"])
def test_answers_are_legal(rule):
    net = npp.PointerNet(d_hidden=16, spread=None).eval()
    answers = npp.solve(net, torch.rand(50, 6, 2), rule=rule, n_beams=3).numpy()
    real = answers >= 0
    assert real[:, 0].all()
    assert (real[:, 1:] <= real[:, :-1]).all()
    if rule == "all":
        assert (np.sort(answers, 1) == np.arange(6)).all()
    if rule == "distinct":
        assert all(len(set(a[a >= 0])) == (a >= 0).sum() for a in answers)


def test_a_wide_beam_finds_the_most_likely_answer():
    torch.manual_seed(0)
    net, points = npp.PointerNet(d_hidden=16, spread=None).eval().requires_grad_(False), torch.rand(30, 4, 2)
    net.head.v.mul_(40)  # so that answers differ,
    net.writer.weight_hh_l0.mul_(6)  # and the way there matters
    net.writer.weight_ih_l0.mul_(6)
    orders = torch.tensor(list(itertools.permutations(range(4))))
    legal = []
    for order in orders:  # under the rule only indices not used before compete
        scores = net(points, order.expand(30, -1))
        total = torch.zeros(30)
        for t in range(4):
            left = [k for k in range(4) if k not in order[:t]]
            total += torch.log_softmax(scores[:, t, left], -1)[:, left.index(int(order[t]))]
        legal.append(total)
    best = orders[torch.stack(legal).argmax(0)]
    assert torch.equal(npp.solve(net, points, rule="all", n_beams=24), best)
    assert len(best.unique(dim=0)) > 5


def test_hull_scores_see_what_is_wrong():
    points = np.tile([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.4]], (3, 1, 1)).astype(float)
    truth = np.tile([0, 1, 2, 3, -1], (3, 1))
    answers = np.array([[2, 3, 0, 1, -1], [0, 2, 1, 3, -1], [0, 1, 2, -1, -1]])  # turned; crossed; a corner short
    one = [npp.hull_scores(points[k : k + 1], answers[k : k + 1], truth[k : k + 1]) for k in range(3)]
    assert one[0] == (1, 1, 1)
    assert (one[1].correct, one[1].simple) == (0, 0)
    assert np.isnan(one[1].area)
    assert one[2] == (0, 0.5, 1)
    assert npp.hull_scores(points, answers, truth).correct == pytest.approx(1 / 3)
    assert np.isnan(npp.tour_length(points[:1], [[0, 1, 1, 2, 3]])[0])


def test_pointer_net_learns_to_sort_three_numbers():
    problems = npp.sorting_problems(4000, 3, rng=0)
    net = npp.PointerNet(1, d_hidden=32)
    points, answers = torch.as_tensor(problems.points), torch.as_tensor(problems.answers)
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    for k in range(150):
        part = slice(128 * k % 3968, 128 * k % 3968 + 128)
        adam.zero_grad()
        net.loss(points[part], answers[part]).backward()
        adam.step()
    fresh = npp.sorting_problems(300, 3, rng=1)
    found = npp.solve(net, torch.as_tensor(fresh.points), rule="all").numpy()
    assert (found == fresh.answers).all(1).mean() > 0.8
