"""OAT, the pointer and their problems against loops, torch's own layers, scipy and brute force."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from neuroperc import Display
from neuroperc.data import assign_objects, read_amazon_covers
from neuroperc.metrics import behavioral_delta, levenshtein, sequence_score
from neuroperc.search import objects as npo
from neuroperc.search import pointer as npp
from neuroperc.search.objects.layers import DecoderLayer, packed_tokens

SHELF = np.stack(np.divmod(np.arange(12), 4), -1)


def small_oat(**changes):
    return npo.OAT(**{"grid": (3, 4), "d_model": 32, "n_layers": 2, "d_feedforward": 48, "random_state": 3, **changes})


@pytest.fixture
def paths():
    generator = torch.Generator().manual_seed(0)
    paths = torch.randint(12, (3, 2, 5), generator=generator)
    paths[0, 0, 1] = 5  # the target
    paths[0, 0, 2:] = -1
    paths[1, 1, 4:] = -1
    paths[2, 1] = -1  # nobody's
    return paths


def test_pointer_of_two_heads_equals_a_loop():
    torch.manual_seed(0)
    head = (
        npp.PointerHead(6, 5, score="dot", n_heads=2, end="slot", null=True, d_hidden=4).double().requires_grad_(False)
    )
    encoded, states = torch.randn(2, 3, 6, dtype=torch.float64), torch.randn(2, 4, 5, dtype=torch.float64)
    found = head(encoded, states)
    wk, bk = head.to_keys.weight, head.to_keys.bias
    wq, bq = head.to_queries.weight, head.to_queries.bias
    mix = head.combine.weight[0]
    for b, t, j in itertools.product(range(2), range(4), range(3)):
        total = 0.0
        for h in range(2):
            rows = slice(4 * h, 4 * h + 4)
            key, query = wk[rows] @ encoded[b, j] + bk[rows], wq[rows] @ states[b, t] + bq[rows]
            total += mix[h] * (key @ query) / math.sqrt(4)
        assert found[b, t, j].item() == pytest.approx(float(total), abs=1e-12)
    assert (found[..., 3] == 0).all()


def test_additive_pointer_equals_a_loop():
    torch.manual_seed(0)
    head = npp.PointerHead(6, 5, d_hidden=4).double().requires_grad_(False)
    encoded, states = torch.randn(2, 3, 6, dtype=torch.float64), torch.randn(2, 4, 5, dtype=torch.float64)
    found = head(encoded, states)
    assert found.shape == (2, 4, 4)
    for b, t, j in itertools.product(range(2), range(4), range(4)):
        key = head.stop if j == 3 else encoded[b, j]
        inner = torch.tanh(head.to_keys.weight @ key + head.to_queries.weight @ states[b, t])
        assert found[b, t, j].item() == pytest.approx(float(head.v[0] @ inner), abs=1e-12)


def test_decoder_layer_is_torchs(paths):
    torch.manual_seed(0)
    ours = DecoderLayer(16, 4, 24, 0.0)
    peer = torch.nn.TransformerDecoderLayer(16, 4, 24, 0.0, batch_first=True).eval()
    cross = (
        torch.cat((ours.cross_query.weight, ours.cross_memory.weight)),
        torch.cat((ours.cross_query.bias, ours.cross_memory.bias)),
    )
    with torch.no_grad():
        for layer, weights, out in (
            (peer.self_attn, (ours.self_in.weight, ours.self_in.bias), ours.self_out),
            (peer.multihead_attn, cross, ours.cross_out),
        ):
            layer.in_proj_weight.copy_(weights[0])
            layer.in_proj_bias.copy_(weights[1])
            layer.out_proj.load_state_dict(out.state_dict())
        peer.linear1.load_state_dict(ours.widen.state_dict())
        peer.linear2.load_state_dict(ours.narrow.state_dict())
    packed, memory = packed_tokens(paths), torch.randn(3, 7, 16)
    x = torch.randn(len(packed.at), 16)
    found = packed.spread(ours(x, packed, ours.memory(memory)))
    causal = torch.nn.Transformer.generate_square_subsequent_mask(6)
    wanted = peer(packed.spread(x), memory.repeat_interleave(2, 0), tgt_mask=causal, tgt_is_causal=True)
    torch.testing.assert_close(packed.gather(found), packed.gather(wanted), atol=1e-6, rtol=1e-5)


def test_whole_oat_equals_a_plain_transcription(paths):
    """Embed, encode, decode one path at a time with torch's attention, and score with a loop over heads."""
    model = small_oat().eval()
    scenes = npo.make_scenes(SHELF, [5, 0, 11])
    with torch.no_grad():
        found = model(scenes, paths)
        table = model.embedding.table

        def embed(cell, flag):
            position = torch.cat((table[cell[0]], table[cell[1]], table[flag]))[:16]
            return torch.cat((model.embedding.plain, position))

        for s, p in ((0, 0), (1, 1), (2, 0)):
            target = int(scenes.target[s])
            items = [embed(SHELF[k], 0) for k in range(12)]
            encoded = model.encoder(torch.stack([*items, embed(SHELF[target], 1)])[None])
            path = [k for k in paths[s, p].tolist() if k >= 0]
            inputs = torch.stack([embed((3 // 2, 4 // 2), 0), *[embed(SHELF[k], int(k == target)) for k in path]])
            for t in range(len(inputs)):
                for c in range(0, 32, 2):
                    rate = 10000 ** (-c / 32)
                    inputs[t, c] += math.sin(t * rate)
                    inputs[t, c + 1] += math.cos(t * rate)
            x = inputs
            for layer in model.decoder:
                one = packed_tokens(torch.tensor([[path]]))
                x = layer(x, one, layer.memory(encoded))
            wanted = model.head(encoded, x[None])[0]
            torch.testing.assert_close(found[s, p, : len(path) + 1], wanted, atol=2e-5, rtol=1e-4)
            assert (found[s, p, len(path) + 1 :] == 0).all()
        assert (found[2, 1] == 0).all()


@pytest.mark.parametrize("sigma", [1.5, 2.0, 2.5])
def test_position_code_is_the_gaussian(sigma):
    table = npo.position_table(14, sigma=sigma)
    norms = table.norm(dim=1)
    torch.testing.assert_close(norms, torch.full((14,), math.sqrt(86)), atol=1e-4, rtol=0)
    cosine = (table @ table.T / 86).numpy()
    far = np.subtract.outer(np.arange(14), np.arange(14))
    np.testing.assert_allclose(cosine, np.exp(-(far**2) / (2 * sigma**2)), atol=5e-4)
    if sigma == 2:  # what the released tables show
        np.testing.assert_allclose(cosine[0, :6], [1, 0.882, 0.607, 0.325, 0.135, 0.044], atol=6e-4)


def test_learned_position_code_converges_to_the_closed_form():
    learned = torch.nn.functional.normalize(npo.learn_position_table(11, steps=2500, rng=0), dim=1)
    closed = torch.nn.functional.normalize(npo.position_table(11), dim=1)
    np.testing.assert_allclose(learned @ learned.T, closed @ closed.T, atol=5e-3)
    start = torch.nn.functional.normalize(npo.learn_position_table(11, steps=1, rng=0), dim=1)
    assert (start @ start.T - closed @ closed.T).abs().max() > 0.3


def test_behavioral_distance_of_paths_by_hand():
    people = torch.tensor([[[0, 0, 1, 0, 2], [1, 2, -1, -1, -1], [-1] * 5]])
    model = torch.tensor([[[2, 1, 0, -1, -1]]])
    goal = torch.tensor([2])
    human = npo.path_statistics(people, goal)
    np.testing.assert_allclose(human[:2], [[1, 5, 0.6, 0.2, 0.2], [1, 2, 1, 0, 0]])
    assert np.isnan(human[2]).all()
    wanted = (1 + 0.5 / 3.5 + 0.2 / 0.8 + 1 + 1) / 5  # people: 1, 3.5, .8, .1, .1; model: 0, 3, 1, 0, 0
    assert behavioral_delta(npo.path_statistics(model, goal), human) == pytest.approx(wanted)
    assert behavioral_delta(human, human) == 0


@pytest.mark.parametrize("n", [3, 5, 12, 40])
def test_hulls_are_scipys(n):
    problems = npp.hull_problems(60, n, rng=n)
    for points, answer in zip(problems.points, problems.answers, strict=True):
        corners = ConvexHull(points.astype(float)).vertices  # counter-clockwise
        corners = np.roll(corners, -corners.argmin())
        assert answer[answer >= 0].tolist() == corners.tolist()
        assert (answer[len(corners) :] == -1).all()


@pytest.mark.parametrize("n", [3, 4, 6])
def test_round_trips_are_those_of_brute_force(n):
    problems = npp.tour_problems(30, n, rng=n)
    best = np.full(30, np.inf)
    for order in itertools.permutations(range(1, n)):
        best = np.minimum(best, npp.tour_length(problems.points, np.tile([0, *order], (30, 1))))
    np.testing.assert_allclose(npp.tour_length(problems.points, problems.answers), best, rtol=1e-12)
    assert (problems.answers[:, 0] == 0).all()
    assert (problems.answers[:, 1] <= problems.answers[:, -1]).all()


def test_amazon_covers_give_the_known_numbers(data_dir):
    path = data_dir / "search" / "sti_amazon" / "Amazon.json"
    if not path.is_file():
        pytest.skip("search/sti_amazon/Amazon.json is not in NEUROPERC_DATA")
    display = Display.from_px_per_deg(40, resolution_px=(1600, 2560))
    fixations, trials, objects = read_amazon_covers(path, display=display)
    n = fixations.groupby(["subject", "trial"]).size()
    assert (len(trials), len(fixations), len(objects)) == (600, 8683, 8400)
    assert (round(n.mean(), 1), round(n.std(ddof=0), 1), n.max()) == (14.5, 13.5, 91)
    assert trials["found"].mean() == pytest.approx(0.938, abs=5e-4)
    last = fixations.groupby(["subject", "trial"]).tail(1).merge(trials, on=["subject", "session", "trial"])
    inside = last["x_deg"].between(last["target_left_deg"], last["target_right_deg"])
    inside &= last["y_deg"].between(last["target_bottom_deg"], last["target_top_deg"])
    assert inside.mean() == pytest.approx(0.827, abs=5e-4)
    record = json.loads(path.read_text())["1.jpg"]  # 1600 by 2559 pixels
    first = fixations[(fixations["subject"] == "1") & (fixations["trial"] == 0)].iloc[0]
    np.testing.assert_allclose(
        display.to_px([first["x_deg"], first["y_deg"]]), np.add(record["fixations"]["1"][0], (0.5, 0)), atol=1e-9
    )
    kept = npo.object_trials(fixations, trials, objects)
    statistics = np.nanmean(npo.path_statistics(kept.paths, kept.scenes.target), 0)
    assert int((kept.paths[..., 0] >= 0).sum()) == 585
    np.testing.assert_allclose(statistics, [0.850, 12.89, 0.783, 0.172, 0.045], rtol=1e-3, atol=5e-4)


def test_assign_objects_equals_a_loop():
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(-5, 5, (9, 2)), rng.uniform(0.5, 3, (9, 2))
    boxes = np.stack((corner[:, 0], corner[:, 0] + size[:, 0], corner[:, 1], corner[:, 1] + size[:, 1]), -1)
    points = rng.uniform(-8, 8, (200, 2))
    for (x, y), found in zip(points, assign_objects(points, boxes), strict=True):
        inside = [k for k, (a, b, c, d) in enumerate(boxes) if a <= x <= b and c <= y <= d]
        middle = [np.hypot(x - (a + b) / 2, y - (c + d) / 2) for a, b, c, d in boxes]
        assert found == min(inside or range(9), key=middle.__getitem__)


def test_person_with_person_on_the_amazon_covers(data_dir):
    path = data_dir / "search" / "sti_amazon" / "Amazon.json"
    if not path.is_file():
        pytest.skip("search/sti_amazon/Amazon.json is not in NEUROPERC_DATA")
    display = Display.from_px_per_deg(40, resolution_px=(1600, 2560))
    paths = npo.object_trials(*read_amazon_covers(path, display=display)).paths.numpy()
    people = [p[p[:, 0] >= 0] for p in paths]
    score, edits = (np.concatenate([metric(p) for p in people]) for metric in (sequence_score, levenshtein))
    assert len(score) == len(edits) == 1425
    assert score.mean() == pytest.approx(0.207, abs=5e-4)
    assert edits.mean() == pytest.approx(14.2, abs=0.05)
