"""Closed forms and peers of captions: the dense projection, scikit-learn's ridge, every sentence tried, torch's layers,
the documented cosine of MiniLM, the text that llama2.c prints.

Seen red: sums that do not fade when the maximum rises; the norm averaged with the direction; attention to
padding; pairs turned the other way; a beam that may change after its stop; a softmax of 150 times the embeddings' norm.
"""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from neuroperc.data import make_responses
from neuroperc.decoding import PrefixCaptioner, fit_image_encoder, project_weights
from neuroperc.decoding.captions.prefix import PrefixMapper
from neuroperc.decoding.voxelwise import feature_scale
from neuroperc.nets import TextEncoder, TinyLM
from neuroperc.nets.text import WordPiece
from neuroperc.regression import rotate

LLAMA2C = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
    "big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" "
    "Lily was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"\nLily "
    "was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't want to "
    "help her mom, so she"
)


def dense(weights, bank, tau):
    """The equation in one softmax over the whole bank, in float64."""
    weights, bank = np.asarray(weights, dtype=float), np.asarray(bank, dtype=float)
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    norms = np.linalg.norm(bank, axis=1)
    logits = unit @ (bank / norms[:, None]).T / tau
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    mean = share @ (bank / norms[:, None])
    return mean / np.linalg.norm(mean, axis=1, keepdims=True) * (share @ norms)[:, None]


@pytest.mark.parametrize("tau", [1 / 10, 1 / 50, 1 / 150, 1 / 500])
@pytest.mark.parametrize("kind", ["array", "shards", "function", "half", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streamed_projection_is_the_dense_one(tau, kind, dtype):
    rng = np.random.default_rng(0)
    weights, bank = rng.normal(size=(40, 24)).astype(dtype), 3 * rng.normal(size=(777, 24)).astype(dtype) + 1
    bank = bank[np.argsort(bank @ weights[0])]  # ascending: the running maximum must rise again and again
    if kind == "half":
        bank = bank.astype(np.float16)
    shards = [bank[:100], bank[100:101], bank[101:]]
    given = {"array": bank, "half": bank, "shards": shards, "function": lambda: iter(shards)}.get(kind)
    if kind == "torch":
        found = project_weights(torch.from_numpy(weights), torch.from_numpy(bank), tau=tau, images_per_batch=50).numpy()
    else:
        found = project_weights(weights, given, tau=tau, images_per_batch=50, voxels_per_batch=7)
    assert found.dtype == dtype
    # Single precision knows a cosine to about 1e-7, which the temperature divides.
    tolerance = 1e-10 if dtype == "float64" else max(1e-5, 3e-7 / tau)
    expected = dense(weights, bank, tau)
    off = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert off.max() < tolerance


def test_the_closed_form_is_scikit_learns():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 12))
    y = x @ rng.normal(size=(12, 5)) / 4 + rng.normal(size=(90, 5))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32).astype(float)
    alphas = np.logspace(-2, 4, 13)
    scale = feature_scale(rotate(unit))
    theirs = RidgeCV(alphas=alphas * scale, alpha_per_target=True).fit(unit, y)
    twice = make_responses(np.concatenate([y + 1, y - 1]), stimulus_id=np.tile(np.arange(90), 2))
    ours = fit_image_encoder(np.concatenate([5 * x, x]), twice, alphas=alphas)
    np.testing.assert_allclose(ours.weight, theirs.coef_, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(ours.alpha, theirs.alpha_ / scale, rtol=1e-5)


class Sentences:
    """A language model of 4 words whose next word hangs on the last word, its place and the prefix."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.table = torch.from_numpy(np.eye(4, 6)).float()
        self.first = torch.from_numpy(rng.normal(size=(6, 4))).float()
        self.next = torch.from_numpy(2 * rng.normal(size=(6, 4))).float()
        self.place = torch.from_numpy(rng.normal(size=(8, 4))).float()  # so that no two sentences tie

    def logits(self, x):
        return x @ self.next + x[:, :1] @ self.first + self.place[: x.shape[1]]


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_best_of_all_sentences(seed):
    model, n_words, longest, stop = Sentences(seed), 4, 4, 3
    prefix = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 6))).float()
    captioner = PrefixCaptioner(lambda x: x[:, None], lambda ids: model.table[ids], model.logits,
                                lambda ids: "".join("abc."[i] for i in ids), stop=stop, n_beams=256,
                                max_tokens=longest)  # fmt: skip
    for row, said in zip(prefix, captioner(prefix), strict=True):
        best = max(_sentences(n_words, longest, stop), key=lambda s: _score(model, row, s))
        assert said == captioner.decode(list(best))


@pytest.mark.parametrize("n_beams", [1, 2, 3])
def test_a_narrow_beam_is_that_of_one_sentence_at_a_time(n_beams):
    """Sentences that have ended keep one place in the beam, and a batch is the same as its rows."""
    for seed in range(12):
        model, prefix = Sentences(seed), torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 6))).float()
        captioner = PrefixCaptioner(lambda x: x[:, None], lambda ids, m=model: m.table[ids], model.logits,
                                    lambda ids: "".join("abc."[i] for i in ids), stop=3, n_beams=n_beams,
                                    max_tokens=6)  # fmt: skip
        assert captioner(prefix) == [captioner.decode(_one_beam(model, row, n_beams, 6, 3)) for row in prefix]


def test_a_sentence_that_has_ended_takes_one_place_only():
    """A beam of two must not fill with continuations of a finished sentence, or the better one is lost."""
    rows = {"a": [0.2, 0.2, 0.4, 0.2], "b": [0.25] * 4, "c": [1e-6, 1e-6, 1.0, 1e-6], ".": [1e-6, 1.0, 1e-6, 1e-6]}
    chance = torch.tensor([*rows.values(), [0.4, 0.05, 0.05, 0.5]]).log()  # the last: at the start
    table, decode = torch.eye(5), lambda ids: "".join("abc."[i] for i in ids)
    captioner = PrefixCaptioner(
        lambda x: x[:, None], lambda ids: table[ids], lambda x: x @ chance, decode, stop=3, n_beams=2, max_tokens=6
    )
    assert captioner(table[4:]) == ["accccc"]  # mean log-probability -0.31; "." alone has -0.69


def _one_beam(model, row, n_beams, longest, stop):
    beams = [()]
    for _ in range(longest):
        longer = [b for b in beams if b and b[-1] == stop]
        longer += [(*b, word) for b in beams if not b or b[-1] != stop for word in range(4)]
        beams = sorted(longer, key=lambda s: -_score(model, row, s))[:n_beams]
    return list(beams[0])


def _sentences(n_words, longest, stop):
    for n in range(1, longest + 1):
        for sentence in itertools.product(range(n_words), repeat=n):
            if stop not in sentence[:-1] and (sentence[-1] == stop or n == longest):
                yield sentence


def _score(model, row, sentence):
    known = torch.cat([row[None], model.table[list(sentence)]])[None]
    chance = model.logits(known).log_softmax(dim=-1)[0, :-1]
    return float(chance[range(len(sentence)), list(sentence)].mean())


def test_the_prefix_mapper_is_torchs_transformer():
    """A pre-norm layer of torch with ReLU and twice the width is the same map."""
    torch.manual_seed(0)
    mapper = PrefixMapper(20, 32, 5, n_layers=2, n_inputs=3, bias=True)
    state = {f"clip_project.{k}": torch.randn_like(v) / 6 for k, v in mapper.state_dict().items()}
    loaded = PrefixMapper.from_state(state, 32).eval()
    own = {k.removeprefix("clip_project."): v for k, v in state.items()}
    x = torch.randn(4, 20)
    expected = (x @ own["linear.weight"].T + own["linear.bias"]).reshape(4, 3, 32)
    expected = torch.cat([expected, own["prefix_const"].expand(4, 5, 32)], dim=1)
    for k in range(2):
        layer = torch.nn.TransformerEncoderLayer(32, 8, 64, dropout=0, batch_first=True, norm_first=True).eval()
        p = f"transformer.layers.{k}."
        layer.load_state_dict({
            **{f"self_attn.in_proj_{n}": torch.cat([own[f"{p}attn.to_{q}.{n}"] for q in ("queries", "keys_values")])
               for n in ("weight", "bias")},
            "self_attn.out_proj.weight": own[p + "attn.project.weight"],
            "self_attn.out_proj.bias": own[p + "attn.project.bias"],
            "linear1.weight": own[p + "mlp.fc1.weight"], "linear1.bias": own[p + "mlp.fc1.bias"],
            "linear2.weight": own[p + "mlp.fc2.weight"], "linear2.bias": own[p + "mlp.fc2.bias"],
            "norm1.weight": own[p + "norm1.weight"], "norm1.bias": own[p + "norm1.bias"],
            "norm2.weight": own[p + "norm2.weight"], "norm2.bias": own[p + "norm2.bias"],
        })  # fmt: skip
        expected = layer(expected)
    with torch.inference_mode():
        np.testing.assert_allclose(loaded(x), expected[:, 3:].detach(), rtol=1e-4, atol=1e-5)


@pytest.fixture
def encoder():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "##s", "on", "a", "mat", "."]
    sizes = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 40, "max_position_embeddings": 20}  # fmt: skip
    torch.manual_seed(0)
    made = TextEncoder(sizes, WordPiece({w: i for i, w in enumerate(words)})).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made


def test_the_text_encoder_is_torchs_transformer(encoder):
    ids = torch.tensor([encoder.tokenizer("The cats sat on a mat.")])
    state = encoder.state_dict()
    x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = encoder.embeddings["LayerNorm"](x + state["embeddings.token_type_embeddings.weight"][0])
    for k in range(2):
        p = f"encoder.layer.{k}."
        layer = torch.nn.TransformerEncoderLayer(16, 4, 40, dropout=0, activation="gelu", batch_first=True,
                                                 layer_norm_eps=1e-12).eval()  # fmt: skip
        own = [p + f"attention.self.{n}." for n in ("query", "key", "value")]
        renamed = {"self_attn.in_proj_weight": torch.cat([state[n + "weight"] for n in own]),
                   "self_attn.in_proj_bias": torch.cat([state[n + "bias"] for n in own])}  # fmt: skip
        for ours, theirs in (("attention.output.dense", "self_attn.out_proj"), ("intermediate.dense", "linear1"),
                             ("output.dense", "linear2"), ("attention.output.LayerNorm", "norm1"),
                             ("output.LayerNorm", "norm2")):  # fmt: skip
            renamed |= {f"{theirs}.{n}": state[f"{p}{ours}.{n}"] for n in ("weight", "bias")}
        layer.load_state_dict(renamed)
        x = layer(x)
    expected = torch.nn.functional.normalize(x.mean(dim=1), dim=1).detach()
    # Beside a longer sentence its end is padding, which must not count.
    found = encoder(["The cats sat on a mat.", "the cat sat on the mat on the mat on the mat."])
    np.testing.assert_allclose(found[:1], expected, rtol=1e-4, atol=1e-5)


def test_minilm_gives_the_documented_cosine():
    path = Path(os.environ.get("NEUROPERC_DATA", ""), "weights", "all-minilm-l6-v2")
    if not path.exists():
        pytest.skip("NEUROPERC_DATA/weights/all-minilm-l6-v2 is not there: put the model's files in it to check them")
    found = TextEncoder.load(path)(["A man is eating food.", "A man is eating a piece of bread.", "Stocks fell."])
    cosine = (found @ found.T).numpy()
    assert cosine[0, 1] == pytest.approx(0.755, abs=0.001)
    assert abs(cosine[0, 2]) < 0.15


def test_stories_are_those_that_llama2c_prints(data_dir):
    folder = data_dir / "weights" / "stories260K"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    model = TinyLM.load(folder / "stories260K.bin", folder / "tok512.bin")
    assert model.continue_text("", n_tokens=200) == LLAMA2C
    likely, unlikely = model.log_likelihood(
        ["The boy went to the park with his mom.", "Park mom the his boy to with went the."]
    )
    assert likely > unlikely + 20
