"""Captions: what comes back, bad input, words, the text space with miniatures, and the pictures."""

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

from neuroperc import plot
from neuroperc.data import make_responses
from neuroperc.decoding import (
    PrefixCaptioner,
    RetrievalCaptioner,
    caption_voxels,
    counterfactual_effect,
    distance_to_bank,
    fit_image_encoder,
    mindeye,
    nouns_by_region,
    plant_brain,
    project_weights,
    shuffle_stimuli,
    weight_stability,
    word_map,
    write_map,
    write_planted,
)
from neuroperc.decoding.captions.prefix import PrefixMapper
from neuroperc.experiment import run_experiment
from neuroperc.nets import ConSE, TextEncoder, TinyLM, WordPiece, imagenet_classes

BRAINSCUBA = Path(__file__).parents[2] / "experiments" / "luo2024_brainscuba.py"

WORDS = RetrievalCaptioner(np.eye(3), ["a cat", "a dog on a bed", "two old houses"])


def encoder(n=3, **coords):
    data = {"weight": (("neuroid", "feature"), np.eye(3)[np.arange(n) % 3] + 0.1)}
    return xr.Dataset(data, coords={k: ("neuroid", v) for k, v in coords.items()})


def said(*rows, region=None):
    coords = {} if region is None else {"region": ("neuroid", np.array(region))}
    return xr.Dataset({"caption": (("draw", "neuroid"), np.array(rows))}, coords=coords)


BANK = np.random.default_rng(0).uniform(0.1, 1, size=(300, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_bank": np.ones((4, 2))}, "shard 0 of image_bank must be \\(image, 3\\)"),
        ({"image_bank": [BANK, np.zeros((2, 3))]}, "shard 1 of image_bank must be of finite embeddings that are not 0"),
        ({"image_bank": BANK * np.nan}, "finite embeddings"),
        ({"image_bank": []}, "at least one image"),
        ({"image_bank": 3.0}, "image_bank must be an array .* got float. Open files with numpy.load"),
        ({"weights": np.zeros((2, 3))}, "weights must be finite and not all 0 in any row, got 2 such rows"),
        ({"weights": np.full((2, 3), np.nan)}, "the first is 0"),
        ({"weights": np.ones(3)}, "weights must be \\(voxel, feature\\)"),
        ({"weights": np.array([["a", "b", "c"]])}, "weights must be numbers"),
        ({"tau": 0}, "tau must be a finite number above 0, got 0. The released value is 1/150"),
        ({"share": 1.5}, "share must be above 0 and at most 1, got 1.5. 0.5 takes a random half"),
        ({"images_per_batch": 0}, "images_per_batch must be a whole number of at least 1"),
        ({"rng": None}, "rng must be an int"),
    ],
)
def test_a_projection_says_what_is_wrong(change, message):
    given = {"weights": np.eye(3), "image_bank": BANK} | change
    with pytest.raises((ValueError, TypeError), match=message):
        project_weights(given.pop("weights"), given.pop("image_bank"), **given)


def test_a_generator_serves_one_pass_only():
    found = caption_voxels(encoder(), (b for b in (BANK,)), WORDS, n_passes=1)
    assert found.sizes["draw"] == 1
    with pytest.raises(ValueError, match=r"an iterator for 5 passes. It can be read once"):
        caption_voxels(encoder(), (b for b in (BANK,)), WORDS)
    used = (b for b in (BANK,))
    project_weights(np.eye(3), used)
    with pytest.raises(ValueError, match=r"at least one image"):
        project_weights(np.eye(3), used)


def test_the_gate_is_explicit_and_keeps_labels():
    regions = np.array(["FFA", "PPA", "PPA", "EBA"])
    found = caption_voxels(encoder(4, region=regions), BANK, WORDS, noise_ceiling=[0.3, 0.05, np.nan, 0.1])
    assert found.attrs["gate"] == "noise_ceiling >= 0.1: 2 of 4 voxels"
    assert found.region.values.tolist() == ["FFA", "EBA"]
    assert found.noise_ceiling.values.tolist() == [0.3, 0.1]
    assert found.caption.dims == ("draw", "neuroid") and found.projection.shape == (5, 2, 3)
    with pytest.raises(
        ValueError, match=r"noise_ceiling must be 0.5 or more for at least one voxel, got a largest of 0.3"
    ):
        caption_voxels(encoder(4), BANK, WORDS, noise_ceiling=[0.3, 0.05, np.nan, 0.1], min_noise_ceiling=0.5)
    with pytest.raises(ValueError, match=r"one number for each of the 3 voxels"):
        caption_voxels(encoder(), BANK, WORDS, noise_ceiling=[0.1])


def test_a_captioner_is_any_function_and_is_checked():
    found = caption_voxels(encoder(), BANK, lambda x: [f"{len(x)} rows"] * len(x), captions_per_batch=2)
    assert found.caption.values[0].tolist() == ["2 rows", "2 rows", "1 rows"]
    with pytest.raises(ValueError, match=r"captioner must be a function that returns 3 captions .* got 1"):
        caption_voxels(encoder(), BANK, lambda x: ["one"])
    for odd in (lambda x: "abc", lambda x: None, lambda x: ["a", None, "c"]):
        with pytest.raises(TypeError, match="captioner must be a function that returns a list of strings"):
            caption_voxels(encoder(), BANK, odd)
    with pytest.raises(ValueError, match=r"encoder must be a Dataset with weight"):
        caption_voxels(xr.Dataset(), BANK, WORDS)


def test_retrieval_takes_the_offset_off_and_weighs_the_prior():
    shifted = np.eye(3) + np.array([[5.0, 0, 0]])
    assert WORDS(shifted) == ["a cat"] * 3
    words = RetrievalCaptioner(np.eye(3), WORDS.captions, offset=[5.0, 0, 0])
    assert words(shifted) == WORDS.captions
    fluent = RetrievalCaptioner(np.eye(3), WORDS.captions, prior=[0.0, 3.0, 0.0], temperature=0.2)
    assert fluent([[0.6, 0.5, 0.0]]) == ["a dog on a bed"]  # 2.56 + 3 nats against 3.07
    assert fluent([[0.9, 0.2, 0.0]]) == ["a cat"]  # .87 and .19 / .2 + 3
    np.testing.assert_allclose(fluent.scores([[0.6, 0.8, 0.0]]), [[3.0, 7.0, 0.0]], atol=1e-6)
    assert WORDS.nearest([[3.0, 2.0, 1.0]], k=3) == [WORDS.captions]
    for given, message in (
        ({"captions": ["one"]}, "captions must be 3"), ({"prior": [1.0]}, "prior must be of shape \\(3,\\)"),
        ({"offset": [np.nan] * 3}, "offset must be finite"), ({"temperature": 0}, "temperature must be"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            RetrievalCaptioner(np.eye(3), **({"captions": WORDS.captions} | given))
    with pytest.raises(ValueError, match=r"vectors must be \(n, 3\)"):
        WORDS(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"k must be at most the 3 captions"):
        WORDS.nearest(np.ones((1, 3)), k=4)


def test_nouns_are_whole_words_with_plurals_and_the_longest_first():
    captions = said(["Hot dogs and cats", "a dogma; catalog"], ["a hot dog", "men on buses"], region=["food", "EBA"])
    found = nouns_by_region(captions, {"hot dog": "hot dog", "dog": "dog", "cat": "cat", "man": "man", "men": "man",
                                       "bus": "bus"})  # fmt: skip
    rows = {(r.region, r.noun): r.share for r in found.itertuples()}
    assert rows == {("food", "hot dog"): 1.0, ("food", "cat"): 0.5, ("EBA", "man"): 0.5, ("EBA", "bus"): 0.5}
    assert found["rank"].tolist() == [1, 2, 1, 2] and set(found.n_captions) == {2} and set(found.n_voxels) == {1}
    assert len(nouns_by_region(captions, ["cat", "dog"], n_top=1)) == 1
    np.testing.assert_array_equal(word_map(captions), [0.0, 0.5])
    outside = said(["a cat", "a dog"], region=["", "V1"])
    assert nouns_by_region(outside, ["cat", "dog"]).noun.tolist() == ["dog"]
    unnamed = outside.assign_coords(region=("neuroid", np.array([np.nan, "V1"], dtype=object)))
    assert nouns_by_region(unnamed, ["cat", "dog"]).region.tolist() == ["V1"]
    for bad, message in (
        (lambda: nouns_by_region(captions, ["cat"], region="roi"), "region must be a coordinate among"),
        (lambda: nouns_by_region(captions, []), "nouns must be at least one word"),
        (lambda: nouns_by_region(captions, ["cat", ""]), "nouns must be words, got an empty one"),
        (lambda: word_map(captions, {" ": "cat"}), "nouns must be words, got an empty one"),
        (lambda: nouns_by_region(said(["a"], region=[""]), ["a"]), "a region for at least one voxel"),
        (lambda: word_map(captions, "person"), "nouns must be a list of words .* got person"),
        (lambda: word_map(xr.Dataset()), "a Dataset with caption"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            bad()


def test_encoders_average_repeats_within_sessions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4))
    y = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ rng.normal(size=(4, 2))
    rows = np.concatenate([rng.permutation(30), rng.permutation(30)])
    session = np.repeat([1, 2], 30)
    responses = make_responses(y[rows] * np.where(session == 1, 1, 7)[:, None] + session[:, None],
                               stimulus_id=rows, session=session)  # fmt: skip
    labelled = xr.DataArray(x[::-1], dims=("s", "f"), coords={"stimulus_id": ("s", np.arange(30)[::-1])})
    found = fit_image_encoder(labelled, responses, standardize_within="session", alphas=[1e-6])
    np.testing.assert_allclose(found.weight, fit_image_encoder(x, make_responses(
        (y - y.mean(0)) / y.std(0), stimulus_id=np.arange(30)), alphas=[1e-6]).weight, rtol=1e-4)  # fmt: skip
    for bad, message in (
        ({"standardize_within": "run"}, "standardize_within must be a coordinate among"),
        ({"solver": "adam"}, "solver must be one of 'ridge', 'sgd'"),
        ({"solver": "sgd", "epochs": 0}, "epochs must be"),
        ({"embeddings": np.zeros((60, 4))}, "embeddings must be finite and not all 0"),
        ({"embeddings": x}, "features must be \\(60, feature\\)"),
        ({"embeddings": np.r_[x, x]}, "embeddings must be alike for all rows of one stimulus, got a mean cosine of"),
    ):
        given = {"embeddings": x[rows]} | bad
        with pytest.raises(ValueError, match=message):
            fit_image_encoder(given.pop("embeddings"), responses, **given)
    with pytest.raises(ValueError, match=r"at least 12 stimuli, got 5"):
        weight_stability(x[:5], make_responses(y[:5], stimulus_id=np.arange(5)), rng=0)


def test_shuffling_deals_whole_stimuli():
    values = np.arange(24.0).reshape(12, 2)
    found = shuffle_stimuli(make_responses(values, stimulus_id=np.tile(np.arange(6), 2)), rng=1)
    means = (values[:6] + values[6:]) / 2
    assert sorted(map(tuple, found.values)) == sorted(map(tuple, means)) and not np.array_equal(found.values, means)
    with pytest.raises(ValueError, match=r"two or more stimuli"):
        shuffle_stimuli(make_responses(values, stimulus_id=[0] * 12), rng=1)


def test_counterfactuals_want_pairs():
    with pytest.raises(ValueError, match=r"two or more pairs of one width"):
        counterfactual_effect(encoder(), np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"\(pair, 3\) as the encoder is wide"):
        counterfactual_effect(encoder(), np.ones((2, 4)), np.ones((2, 4)))
    assert distance_to_bank(np.eye(3), [np.eye(3)[:2], np.eye(3)[2:]]).tolist() == [0, 0, 0]


def test_a_prefix_captioner_stops_and_checks():
    table = torch.eye(4)
    captioner = PrefixCaptioner(lambda x: x[:, None], lambda ids: table[ids], lambda x: x * 0, lambda ids: f"{ids}",
                                stop=3, n_beams=2, max_tokens=3)  # fmt: skip
    assert all(text.count(",") < 3 for text in captioner(np.ones((5, 4))))
    with pytest.raises(ValueError, match=r"mapper must be one that returns"):
        PrefixCaptioner(lambda x: x, captioner.embed, captioner.logits, captioner.decode, stop=3)(np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"clip_project.model or clip_project.transformer, got \[\]"):
        PrefixMapper.from_state({}, 8)
    mlp = PrefixMapper(6, 8, 2)
    state = {f"clip_project.{k}": v for k, v in mlp.state_dict().items()}
    x = torch.randn(3, 6)
    assert torch.equal(PrefixMapper.from_state(state, 8)(x), mlp(x)) and mlp(x).shape == (3, 2, 8)


def test_clipcap_without_transformers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RuntimeError, match=r"transformers must be installed .* pip install 'neuroperc\[generative\]'"):
        PrefixCaptioner.clipcap("coco.pt")


def vocabulary(*more):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "cafe", "!", "中", *more]
    return {w: i for i, w in enumerate(words)}


def test_wordpiece_cuts_the_longest_pieces():
    pieces = WordPiece(vocabulary())
    assert pieces("unaffable CAFÉ!\t中中 unaffably") == [2, 4, 5, 6, 7, 8, 9, 9, 1, 3]
    assert pieces("ca\u0000fe\u200b" + "x" * 101) == [2, 1, 3]
    assert pieces("unaffable", max_tokens=4) == [2, 4, 5, 3]
    with pytest.raises(ValueError, match=r"without \['\[SEP\]'\]"):
        WordPiece({k: v for k, v in vocabulary().items() if k != "[SEP]"})


def write_model(folder):
    sizes = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 16, "max_position_embeddings": 12, "model_type": "bert"}  # fmt: skip
    torch.manual_seed(1)
    made = TextEncoder(sizes, WordPiece(vocabulary())).eval()
    state = {f"bert.{k}": v for k, v in made.state_dict().items()}
    save_file(state | {"bert.pooler.dense.bias": torch.zeros(8)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocabulary()}}))
    return made


def test_text_encoders_come_from_folders_and_zip_files(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    made = write_model(folder)
    texts = ["cafe!", "unaffable cafe", "中"]
    expected = made(texts)
    np.testing.assert_allclose(expected.norm(dim=1), 1, rtol=1e-6)
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as packed:
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            packed.write(folder / name, f"inner/{name}")
    for path in (folder, tmp_path / "model.zip"):
        assert torch.equal(TextEncoder.load(path)(texts), expected)
    np.testing.assert_allclose(made(texts, texts_per_batch=1), expected, rtol=1e-5, atol=1e-6)
    for bad, error, message in (
        ("cafe", TypeError, "texts must be a list of strings"),
        ([], ValueError, "at least one"),
    ):
        with pytest.raises(error, match=message):
            made(bad)
    blob = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(blob[:200])
    with pytest.raises(ValueError, match=r"path must be a readable model"):
        TextEncoder.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"without model.safetensors"):
        TextEncoder.load(folder)
    with pytest.raises(ValueError, match=r"a folder or a zip file that exists"):
        TextEncoder.load(tmp_path / "nowhere")


def test_conse_is_a_weighted_mean_of_class_names():
    names = {"it is a cat": [1.0, 0, 0], "it is a dog": [0, 1.0, 0], "it is a car": [0, 0, 1.0]}
    space = ConSE(lambda x: x.mean(dim=(2, 3)).log(), lambda t: torch.tensor([names[s] for s in t]),
                  classes=["cat", "dog", "car"], k=2, template="it is a {}")  # fmt: skip
    images = torch.tensor([0.6, 0.3, 0.1]).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    np.testing.assert_allclose(space.embed_images(images), [[2 / 3, 1 / 3, 0]] * 2, rtol=1e-6)
    assert space.embed_text(["it is a dog"]).tolist() == [[0, 1, 0]]
    with pytest.raises(ValueError, match=r"classifier must be one with 3 classes"):
        space.embed_images(torch.ones(1, 4, 2, 2))
    with pytest.raises(ValueError, match=r"template must be a sentence with {}"):
        ConSE(lambda x: x, lambda t: torch.eye(3), classes=["a"], template="a thing", k=1)
    with pytest.raises(ValueError, match=r"k must be at most the 1 classes"):
        ConSE(lambda x: x, lambda t: torch.eye(1), classes=["a"], k=2)
    assert len(set(imagenet_classes())) > 990 and imagenet_classes()[504] == "coffee mug"


def write_llama(path, *, n_words=260, cut=0):
    rng = np.random.default_rng(0)
    dim, wide, layers, heads, kv, context = 8, 12, 2, 4, 2, 16
    sizes = [n_words * dim, layers * dim, layers * dim * dim, 2 * layers * dim * dim // 2, layers * dim * dim,
             layers * dim, 3 * layers * dim * wide, dim]  # fmt: skip
    turn = np.outer(np.arange(context), [1.0])
    blob = struct.pack("7i", dim, wide, layers, heads, kv, n_words, context)
    body = np.concatenate([rng.normal(size=sum(sizes)), np.cos(turn).ravel(), np.sin(turn).ravel()]).astype("<f4")
    path.write_bytes(blob + body.tobytes()[: len(body) * 4 - cut])


def write_words(path):
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(f"<0x{k:02X}>".encode() for k in range(256)), b" "]
    blob = struct.pack("i", 6) + b"".join(struct.pack("<fi", 0.0, len(p)) + p for p in pieces)
    path.write_bytes(blob)


def test_a_tiny_language_model_is_causal_and_checked(tmp_path):
    write_llama(tmp_path / "m.bin")
    write_words(tmp_path / "t.bin")
    model = TinyLM.load(tmp_path / "m.bin", tmp_path / "t.bin")
    tokens = model.encode("ab")
    assert tokens == [1, 259, 97 + 3, 98 + 3] and model.decode(tokens) == "ab"
    logits = model.logits(torch.tensor([tokens]))
    np.testing.assert_allclose(model.logits(torch.tensor([tokens[:2]])), logits[:, :2], rtol=1e-4, atol=1e-5)
    step = logits.log_softmax(-1)[0]
    expected = sum(float(step[i, tokens[i + 1]]) for i in range(3))
    np.testing.assert_allclose(model.log_likelihood(["ab", "ab"]), [expected] * 2, rtol=1e-5)
    with pytest.raises(ValueError, match=r"tokens must be at most 16 in a row, got 17"):
        model.logits(torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(TypeError, match=r"texts must be a list of strings"):
        model.log_likelihood("ab")
    size = (tmp_path / "m.bin").stat().st_size
    write_llama(tmp_path / "cut.bin", cut=4)
    with pytest.raises(ValueError, match=f"weights must be {size} bytes long .* It may be truncated"):
        TinyLM.load(tmp_path / "cut.bin", tmp_path / "t.bin")
    with pytest.raises(ValueError, match=r"tokenizer must be an existing file"):
        TinyLM.load(tmp_path / "m.bin", tmp_path / "no.bin")
    (tmp_path / "t.bin").write_bytes((tmp_path / "t.bin").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"tokenizer must be a file of 260 pieces, got one that ends after"):
        TinyLM.load(tmp_path / "m.bin", tmp_path / "t.bin")


def test_word_clouds_do_not_overlap_and_are_the_same_again():
    words, weights = [f"noun number {k}" for k in range(12)], np.linspace(1, 0.05, 12)
    with plot.style():
        canvas = plot.figure(width_in=4, height_in=3)
        ax = plot.word_cloud(words, weights, ax=canvas.axes[0])
    renderer = canvas.canvas.get_renderer()
    canvas.draw_without_rendering()
    shown = [t for t in ax.texts if t.get_text() in words]
    boxes = [t.get_window_extent(renderer) for t in shown]
    frame = ax.get_window_extent()
    assert len(shown) >= 8
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert all(frame.x0 - 1 <= b.x0 and b.x1 <= frame.x1 + 1 for b in boxes)
    assert [t.get_text() for t in shown] == words[: len(shown)]
    size = np.array([t.get_size() for t in shown])
    np.testing.assert_allclose(size / size[0], np.sqrt(weights[: len(shown)]), rtol=1e-6)
    if len(shown) < 12:
        assert ax.texts[-1].get_text() == f"{12 - len(shown)} rarer words left out"
    with pytest.raises(ValueError, match="words must be of one letter or more each, got an empty one"):
        plot.word_cloud(["cat", " "], [1, 2])
    again = plot.word_cloud(words, weights, ax=plot.figure(width_in=4, height_in=3).axes[0])
    assert [t.get_position() for t in again.texts] == [t.get_position() for t in ax.texts]
    for given, message in ((([], []), "weights must be 0 numbers"), ((["a"], [0.0]), "weights must be above 0")):
        with pytest.raises(ValueError, match=message):
            plot.word_cloud(*given)


def test_temperature_curves_and_noun_tables():
    ax = plot.tau_curve([1 / 10, 1 / 150], [[0.1, 0.5], [0.3, 0.7]], raw=[0.6, 0.8], label="ours")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.2, 0.6])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1/10", "1/150"]
    assert ax.lines[-1].get_ydata()[0] == pytest.approx(0.7)
    with pytest.raises(ValueError, match=r"values must be \(seed, 2\)"):
        plot.tau_curve([0.1, 0.2], [1.0])
    rows = pd.DataFrame({"region": ["A", "B"], "noun": ["cat", "dog"], "rank": [1, 9], "share": [0.5, 0.2]})
    assert [t.get_text() for t in plot.noun_table(rows).texts] == ["cat .50"]
    with pytest.raises(ValueError, match=r"a table with region, noun, rank and share, got \['share'\]"):
        plot.noun_table(rows.drop(columns="share"))


def test_the_profile_for_nsd_names_what_is_missing(monkeypatch, tmp_path):
    for name in ("NEUROPERC_NSD", "NEUROPERC_CLIP_BANK", "NEUROPERC_CLIPCAP"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        FileNotFoundError, match="NEUROPERC_NSD must be the folder of the Natural Scenes Dataset, got no"
    ):
        run_experiment(BRAINSCUBA, profile="nsd", out=tmp_path)
    monkeypatch.setenv("NEUROPERC_NSD", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"NEUROPERC_CLIP_BANK must be a \.npy file"):
        run_experiment(BRAINSCUBA, profile="nsd", out=tmp_path)


def test_the_profile_for_nsd_runs_on_a_planted_tree(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (400, 4, 4, 3)).astype(np.uint8)
    seen = pictures.reshape(400, 48) / 255
    shown = rng.permutation(np.concatenate([np.arange(400), np.arange(350)]))
    brain = plant_brain(
        seen / np.linalg.norm(seen, axis=1, keepdims=True), regions={"V1": 40}, rank=4, presentations=shown,
        n_sessions=1, ncsnr=2.0, rng=0,
    )  # fmt: skip
    write_planted(tmp_path, {1: brain}, n_shared=310, images=pictures)
    for k, kind in enumerate(("faces", "bodies", "places", "words")):
        inside = brain.responses[0].copy(data=np.arange(40.0) // 10 == k)
        write_map(inside, tmp_path / f"nsddata/ppdata/subj01/func1pt8mm/roi/floc-{kind}.nii.gz", like=brain.responses)
    np.save(tmp_path / "bank.npy", rng.uniform(size=(300, 48)).astype(np.float16))
    (tmp_path / "clipcap.pt").touch()
    for name, place in (("NSD", "."), ("CLIP_BANK", "bank.npy"), ("CLIPCAP", "clipcap.pt")):
        monkeypatch.setenv(f"NEUROPERC_{name}", str(tmp_path / place))
    asked, given = [], []

    def clip(model_name, pretrained, tokens):
        asked.append((model_name, tokens))
        return lambda codes: (given.append(codes), codes.permute(0, 2, 3, 1).flatten(1))[1]

    monkeypatch.setattr(mindeye, "open_clip_tokens", clip)
    monkeypatch.setattr(PrefixCaptioner, "clipcap", lambda weights: lambda x: ["a man and a dog"] * len(x))
    result = run_experiment(BRAINSCUBA, profile="nsd", out=tmp_path)
    assert asked == [("ViT-B-32", False)]
    np.testing.assert_array_equal((255 * torch.cat(given)).round().numpy().transpose(0, 2, 3, 1), pictures)
    # The encoder's embeddings are those the brain was planted on, so that pictures it never saw are predicted.
    assert result.values["median_test_r"] > 0.7
    measured = {claim.key: claim.ours for claim in result.claims if claim.ours is not None}
    assert set(measured) == {"stability", "person_map"} and measured["stability"] > 0.1
    assert measured["person_map"] == 0  # everybody is said to be a man
    words = pd.DataFrame(result.data["words"])
    assert set(words["region"]) == {"faces", "bodies", "places", "words"} and set(words["noun"]) == {"man", "dog"}
