"""Captions that a language model continues from a prefix: ClipCap's and CapDec's layout, many voxels at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..._check import check, fail, integer
from ...nets.checkpoints import fit_state_dict, read_state_dict

_MAX_TOKENS = 67  # as the released captioner


class PrefixCaptioner:
    """Turn embeddings into a prefix of word vectors and let a language model go on, by beam search over a whole batch.

    The score of a sentence is its mean log-probability a token; a sentence ends with `stop`.

    Parameters
    ----------
    mapper
        Module from embeddings (n, feature) to prefixes (n, length, width).
    embed
        From token ids (n, t) to word vectors (n, t, width).
    logits
        From word vectors (n, t, width) to logits (n, t, vocabulary).
    decode
        From a list of token ids to text.
    stop
        Token that ends a caption; it is kept, as a full stop is.
    n_beams, max_tokens
        5 and 67 in the released captioner.

    Examples
    --------
    >>> import torch
    >>> words = ["cat", "house", "."]
    >>> table = torch.eye(3)
    >>> def logits(x):  # says what the prefix points at, then stops
    ...     return 9 * (x[:, :1] if x.shape[1] == 1 else table[2]).expand(len(x), x.shape[1], 3)
    >>> captioner = PrefixCaptioner(lambda x: x[:, None], lambda ids: table[ids], logits,
    ...                             lambda ids: " ".join(words[i] for i in ids), stop=2, n_beams=2)
    >>> captioner(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    ['cat .', 'house .']
    """

    def __init__(
        self,
        mapper: Callable[[Tensor], Tensor],
        embed: Callable[[Tensor], Tensor],
        logits: Callable[[Tensor], Tensor],
        decode: Callable[[list[int]], str],
        *,
        stop: int,
        n_beams: int = 5,
        max_tokens: int = _MAX_TOKENS,
    ) -> None:
        self.mapper, self.embed, self.logits, self.decode = mapper, embed, logits, decode
        self.stop = integer("stop", stop, minimum=0)
        self.n_beams, self.max_tokens = integer("n_beams", n_beams), integer("max_tokens", max_tokens)

    @classmethod
    def clipcap(
        cls,
        weights: str | os.PathLike[str],
        *,
        tokenizer: Any = "gpt2",
        n_beams: int = 5,
        max_tokens: int = _MAX_TOKENS,
        device: Any = None,
    ) -> PrefixCaptioner:
        """Load a ClipCap or CapDec checkpoint (``clip_project.*`` and ``gpt.*``) into transformers' GPT-2.

        Parameters
        ----------
        weights
            The file; sizes, depth and the kind of mapper are read off it.
        tokenizer
            Name or folder for transformers' GPT-2 tokenizer, or a tokenizer.
        n_beams, max_tokens
            As in the class.
        device
            Where to compute; None is the CPU.

        Returns
        -------
        PrefixCaptioner

        Raises
        ------
        RuntimeError
            Without transformers (extra ``generative``).
        ValueError
            For a file of another layout.
        """
        try:
            from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer
        except ImportError:
            fail("transformers", "installed to run GPT-2", "nothing of that name",
                 "pip install 'neuroperc[generative]', or use RetrievalCaptioner.", RuntimeError)  # fmt: skip
        state = read_state_dict(os.fspath(weights))
        wte = state.get("gpt.transformer.wte.weight")
        if wte is None:
            fail("weights", "a checkpoint with clip_project.* and gpt.*", sorted(state)[:4])
        width = wte.shape[1]
        depth = sum(key.startswith("gpt.transformer.h.") and key.endswith("ln_1.weight") for key in state)
        config = GPT2Config(vocab_size=len(wte), n_embd=width, n_layer=depth, n_head=max(1, width // 64),
                            n_positions=len(state["gpt.transformer.wpe.weight"]))  # fmt: skip
        gpt = GPT2LMHeadModel(config)
        buffers = (".attn.bias", ".attn.masked_bias")  # causal masks that older files carry along
        own = {k.removeprefix("gpt."): v for k, v in state.items() if k.startswith("gpt.") and not k.endswith(buffers)}
        own.setdefault("lm_head.weight", wte)
        fit_state_dict(gpt, own, os.fspath(weights))
        gpt.eval().to(device)
        mapper = PrefixMapper.from_state(state, width).eval().to(device)
        words = GPT2Tokenizer.from_pretrained(tokenizer) if isinstance(tokenizer, str) else tokenizer
        return cls(mapper, gpt.get_input_embeddings(), lambda x: gpt(inputs_embeds=x).logits, words.decode,
                   stop=words.encode(".")[0], n_beams=n_beams, max_tokens=max_tokens)  # fmt: skip

    def __call__(self, vectors: Any) -> list[str]:
        """Return a caption for each vector (n, feature).

        Raises
        ------
        ValueError
            When the mapper returns something else than (n, length, width).
        """
        given = vectors if isinstance(vectors, Tensor) else torch.from_numpy(np.array(vectors, dtype=np.float32))
        first = next(self.mapper.parameters(), None) if isinstance(self.mapper, nn.Module) else None
        with torch.inference_mode():
            prefix = self.mapper(given if first is None else given.to(first))
            check(prefix.ndim == 3 and len(prefix) == len(given), "mapper", "one that returns (n, length, width)",
                  f"shape {tuple(prefix.shape)}")  # fmt: skip
            tokens = self._search(prefix)
        return [self.decode(row).strip() for row in tokens]

    def _search(self, prefix: Tensor) -> list[list[int]]:
        """Return the tokens of the best sentence of each row, up to and with `stop`."""
        n, beams, at = len(prefix), self.n_beams, prefix.device
        tokens = torch.zeros(n, beams, 0, dtype=torch.long, device=at)
        total = torch.full((n, beams), -torch.inf, device=at)
        total[:, 0] = 0  # one beam to begin with: the others would be its copies
        length = torch.zeros(n, beams, device=at)
        done = torch.zeros(n, beams, dtype=torch.bool, device=at)
        wide = prefix.repeat_interleave(beams, dim=0)
        for _ in range(self.max_tokens):
            known = torch.cat([wide, self.embed(tokens.flatten(0, 1)).to(wide.dtype)], dim=1)
            step = self.logits(known)[:, -1].log_softmax(dim=-1).float().unflatten(0, (n, beams))
            n_words = step.shape[2]
            step = step.masked_fill(done[..., None], -torch.inf)
            step[..., self.stop] = torch.where(done, torch.zeros_like(total), step[..., self.stop])
            longer = length + ~done
            score = (total[..., None] + step) / longer[..., None]
            best = score.flatten(1).topk(beams, dim=1).indices
            parent, word = best // n_words, best % n_words
            total = (total[..., None] + step).flatten(1).gather(1, best)
            length, done = longer.gather(1, parent), done.gather(1, parent) | (word == self.stop)
            old = tokens.gather(1, parent[..., None].expand(-1, -1, tokens.shape[2]))
            tokens = torch.cat([old, word[..., None]], dim=2)
            if bool(done.all()):
                break
        winner = (total / length).argmax(dim=1)
        return [self._until_stop(tokens[i, k].tolist()) for i, k in enumerate(winner.tolist())]

    def _until_stop(self, row: Sequence[int]) -> list[int]:
        found = list(row)
        return found[: found.index(self.stop) + 1] if self.stop in found else found


class PrefixMapper(nn.Module):
    """ClipCap's map from an embedding to a prefix: two layers with tanh, or a transformer with a learned prefix.

    Parameters
    ----------
    n_features, width, n_prefix
        Size of embeddings and of word vectors, length of the prefix.
    n_layers
        0 for the two-layer map, else the depth of the transformer.
    n_inputs
        Vectors that the transformer makes of an embedding.
    bias
        Whether queries, keys and values of the transformer have one.

    References
    ----------
    .. [1] R Mokady et al. (2021). ClipCap. arXiv:2111.09734
    .. [2] D Nukrai et al. (2022). Text-only training for image captioning using noise-injected CLIP. arXiv:2211.00575

    Examples
    --------
    >>> import torch
    >>> PrefixMapper(512, 16, 10)(torch.zeros(3, 512)).shape
    torch.Size([3, 10, 16])
    """

    def __init__(
        self, n_features: int, width: int, n_prefix: int, *, n_layers: int = 0, n_inputs: int = 10, bias: bool = False
    ) -> None:
        super().__init__()
        self.n_prefix, self.width, self.n_inputs = n_prefix, width, n_inputs
        if n_layers == 0:
            hidden = width * n_prefix // 2
            self.model = nn.Sequential(nn.Linear(n_features, hidden), nn.Tanh(), nn.Linear(hidden, width * n_prefix))
            return
        self.linear = nn.Linear(n_features, n_inputs * width)
        self.prefix_const = nn.Parameter(torch.zeros(n_prefix, width))
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(_Layer(width, bias) for _ in range(n_layers))})

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], width: int) -> PrefixMapper:
        """Return the mapper of a checkpoint, its kind and sizes read off ``clip_project.*``."""
        own = {k.removeprefix("clip_project."): v for k, v in state.items() if k.startswith("clip_project.")}
        if "model.2.weight" in own:
            mapper = cls(own["model.0.weight"].shape[1], width, len(own["model.2.weight"]) // width)
        elif "prefix_const" in own:
            depth = sum(key.endswith("norm1.weight") for key in own)
            bias = "transformer.layers.0.attn.to_queries.bias" in own
            wide, n_features = own["linear.weight"].shape
            mapper = cls(n_features, width, len(own["prefix_const"]), n_layers=depth, n_inputs=wide // width, bias=bias)
        else:
            fail("weights", "a checkpoint with clip_project.model or clip_project.transformer", sorted(own)[:4])
        fit_state_dict(mapper, own, "clip_project")
        return mapper

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return prefixes (n, n_prefix, width) for embeddings (n, n_features)."""
        if hasattr(self, "model"):
            made: Tensor = self.model(embeddings)
            return made.unflatten(1, (self.n_prefix, self.width))
        x = self.linear(embeddings).unflatten(1, (self.n_inputs, self.width))
        x = torch.cat([x, self.prefix_const.expand(len(x), -1, -1)], dim=1)
        for layer in self.transformer["layers"]:  # type: ignore[attr-defined]
            x = layer(x)
        return x[:, self.n_inputs :]


class _Layer(nn.Module):
    """One pre-norm layer, named as in the checkpoints."""

    def __init__(self, width: int, bias: bool, n_heads: int = 8) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({
            "to_queries": nn.Linear(width, width, bias=bias),
            "to_keys_values": nn.Linear(width, 2 * width, bias=bias),
            "project": nn.Linear(width, width),
        })  # fmt: skip
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 2 * width), "fc2": nn.Linear(2 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Attend, then transform, each added to what came in."""
        seen = self.norm1(x)
        query = self.attn["to_queries"](seen).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        both = self.attn["to_keys_values"](seen).unflatten(2, (2, self.n_heads, -1))
        key, value = (both[:, :, k].transpose(1, 2) for k in (0, 1))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.attn["project"](mixed)
        found: Tensor = x + self.mlp["fc2"](self.mlp["fc1"](self.norm2(x)).relu())
        return found
