"""A tiny language model in llama2.c's layout, to say how likely a sentence is; stories260K is one."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._check import check, fail, integer

_BEGIN, _BYTES = 1, 3  # token that starts a text; the first of the 256 single bytes


class TinyLM:
    """A Llama-like model read from a llama2.c file, for the likelihood of sentences and for continuing them.

    Made by `load`.

    Parameters
    ----------
    weights
        Tensors by llama2.c's names, each layer's stacked.
    vocabulary
        Bytes of each token.
    scores
        Merge score of each token: the highest merges first.
    n_heads, n_kv_heads
        Heads of queries; of keys and values.

    Examples
    --------
    >>> model = TinyLM.load("stories260K.bin", "tok512.bin")  # doctest: +SKIP
    >>> model.log_likelihood(["The dog ran to the park."])  # doctest: +SKIP
    """

    def __init__(
        self, weights: dict[str, Tensor], vocabulary: Sequence[bytes], scores: Sequence[float], *, n_heads: int,
        n_kv_heads: int,
    ) -> None:  # fmt: skip
        self.weights, self.vocabulary = weights, list(vocabulary)
        self._place = {piece: k for k, piece in reversed(list(enumerate(self.vocabulary)))}
        self._scores = list(scores)
        self.n_heads, self.n_kv_heads = n_heads, n_kv_heads
        self.n_layers, self.context = len(weights["wq"]), len(weights["freqs_cos"])

    @classmethod
    def load(cls, weights: str | os.PathLike[str], tokenizer: str | os.PathLike[str]) -> TinyLM:
        """Read a llama2.c checkpoint (version 0, float32) and its tokenizer.

        Raises
        ------
        ValueError
            When a file is missing, truncated, or of another layout.
        """
        blob = _bytes("weights", weights)
        check(len(blob) > 28, "weights", "a llama2.c file with a header of 28 bytes", f"{len(blob)} bytes")
        dim, wide, n_layers, heads, kv, vocabulary, context = struct.unpack("7i", blob[:28])
        shared, vocabulary = vocabulary > 0, abs(vocabulary)
        right = min(dim, wide, n_layers, heads, kv, vocabulary, context) > 0 and dim % heads == 0 and heads % kv == 0
        check(right, "weights", "a llama2.c file of version 0", f"sizes {struct.unpack('7i', blob[:28])}")
        half, narrow = dim // heads // 2, dim * kv // heads
        shapes: dict[str, tuple[int, ...]] = {
            "tok_embeddings": (vocabulary, dim), "attention_norm": (n_layers, dim), "wq": (n_layers, dim, dim),
            "wk": (n_layers, narrow, dim), "wv": (n_layers, narrow, dim), "wo": (n_layers, dim, dim),
            "ffn_norm": (n_layers, dim), "w1": (n_layers, wide, dim), "w2": (n_layers, dim, wide),
            "w3": (n_layers, wide, dim), "norm": (dim,), "freqs_cos": (context, half), "freqs_sin": (context, half),
        }  # fmt: skip
        if not shared:
            shapes["output"] = (vocabulary, dim)
        wanted = 28 + 4 * sum(int(np.prod(s)) for s in shapes.values())
        check(len(blob) == wanted, "weights", f"{wanted} bytes long for its sizes", len(blob), "It may be truncated.")
        found, at = {}, 28
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            found[name] = torch.from_numpy(np.frombuffer(blob, "<f4", size, at).reshape(shape).copy())
            at += 4 * size
        pieces, scores = _pieces(_bytes("tokenizer", tokenizer), vocabulary)
        return cls(found, pieces, scores, n_heads=heads, n_kv_heads=kv)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text: a leading space, single characters or bytes, the best pair merged first."""
        tokens = [_BEGIN]
        for letter in f" {text}" if text else "":
            piece = letter.encode()
            tokens += [self._place[piece]] if piece in self._place else [b + _BYTES for b in piece]
        while True:
            pairs = [(self._place.get(self.vocabulary[a] + self.vocabulary[b], -1), i)
                     for i, (a, b) in enumerate(pairwise(tokens[1:]), start=1)]  # fmt: skip
            known = [(self._scores[k], -i, k) for k, i in pairs if k >= 0]
            if not known:
                return tokens
            _, place, merged = max(known)
            tokens[-place : 2 - place] = [merged]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text = b"".join(self._raw(t) for t in tokens if t != _BEGIN)
        return text.decode("utf-8", "replace").removeprefix(" ")

    def _raw(self, token: int) -> bytes:
        return bytes([token - _BYTES]) if _BYTES <= token < _BYTES + 256 else self.vocabulary[token]

    def logits(self, tokens: Tensor) -> Tensor:
        """Return (n, t, vocabulary) logits for tokens (n, t).

        Raises
        ------
        ValueError
            For more tokens than the model's context holds.
        """
        w, n_tokens = self.weights, tokens.shape[1]
        check(n_tokens <= self.context, "tokens", f"at most {self.context} in a row", n_tokens)
        x = w["tok_embeddings"][tokens]
        for k in range(self.n_layers):
            x = x + self._attend(_rms(x, w["attention_norm"][k]), k)
            seen = _rms(x, w["ffn_norm"][k])
            gate = torch.nn.functional.silu(seen @ w["w1"][k].T)
            x = x + (gate * (seen @ w["w3"][k].T)) @ w["w2"][k].T
        return _rms(x, w["norm"]) @ w.get("output", w["tok_embeddings"]).T

    def _attend(self, x: Tensor, k: int) -> Tensor:
        w, n = self.weights, x.shape[1]
        heads = {"wq": self.n_heads, "wk": self.n_kv_heads, "wv": self.n_kv_heads}
        q, key, v = ((x @ w[name][k].T).unflatten(2, (h, -1)).transpose(1, 2) for name, h in heads.items())
        cos, sin = w["freqs_cos"][:n], w["freqs_sin"][:n]
        q, key = _turned(q, cos, sin), _turned(key, cos, sin)
        key, v = (t.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1) for t in (key, v))
        seen = torch.nn.functional.scaled_dot_product_attention(q, key, v, is_causal=True)
        return seen.transpose(1, 2).flatten(2) @ w["wo"][k].T

    def log_likelihood(self, texts: Sequence[str]) -> np.ndarray:
        """Return the log-probability of each text in nats, all its tokens together, (text,).

        Raises
        ------
        TypeError
            For one string instead of a list.
        """
        if isinstance(texts, str):
            fail("texts", "a list of strings", texts, error=TypeError)
        found = np.empty(len(texts))
        with torch.inference_mode():
            for k, text in enumerate(texts):
                tokens = torch.tensor([self.encode(text)])
                chance = self.logits(tokens[:, :-1]).log_softmax(dim=-1)
                found[k] = float(chance.gather(2, tokens[:, 1:, None]).double().sum())
        return found

    def continue_text(self, text: str, *, n_tokens: int) -> str:
        """Return the text with its `n_tokens` likeliest next tokens, one after another; stops where a text ends."""
        tokens = self.encode(text)
        with torch.inference_mode():
            for _ in range(integer("n_tokens", n_tokens)):
                following = int(self.logits(torch.tensor([tokens[-self.context :]]))[0, -1].argmax())
                if following == _BEGIN:
                    break
                tokens.append(following)
        return self.decode(tokens)


def _bytes(name: str, path: str | os.PathLike[str]) -> bytes:
    check(Path(path).is_file(), name, "an existing file", os.fspath(path))
    return Path(path).read_bytes()


def _pieces(blob: bytes, n: int) -> tuple[list[bytes], list[float]]:
    """Return the bytes and the merge score of each token."""
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4  # the longest piece's length comes first
    while len(pieces) < n:
        check(at + 8 <= len(blob), "tokenizer", f"a file of {n} pieces", f"one that ends after {len(pieces)}")
        score, length = struct.unpack_from("<fi", blob, at)
        pieces.append(blob[at + 8 : at + 8 + length])
        scores.append(score)
        at += 8 + length
    return pieces, scores


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt() * weight


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Any:
    """Turn neighbouring pairs by their place (rotary embedding)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
