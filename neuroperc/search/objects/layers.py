"""Decoder layers that touch only real tokens in training, and keep what they computed when paths are drawn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Packed(NamedTuple):
    """Where the tokens of ragged paths lie in their padded form."""

    at: Tensor
    n_scenes: int
    n_paths: int
    n_steps: int

    def spread(self, x: Tensor) -> Tensor:
        """Lay tokens (t, d) out as (scene * path, step, d), zeros elsewhere."""
        out = x.new_zeros(self.n_scenes * self.n_paths * self.n_steps, x.shape[-1])
        return out.index_copy(0, self.at, x).view(-1, self.n_steps, x.shape[-1])

    def gather(self, x: Tensor) -> Tensor:
        """Return the tokens (t, d) of a padded array."""
        return x.reshape(-1, x.shape[-1])[self.at]


class DecoderLayer(nn.Module):
    """A post-norm transformer decoder layer over (scene, path, step) tokens; paths of a scene share its memory.

    The same function as `torch.nn.TransformerDecoderLayer` (a test says so), but padding costs nothing and the memory's
    keys are computed once a scene.

    Parameters
    ----------
    d_model, n_heads, d_feedforward
        Widths, and number of heads.
    dropout
        Share of numbers dropped in training.

    References
    ----------
    A Vaswani and others (2017). Attention is all you need. arXiv:1706.03762.

    Examples
    --------
    >>> layer = DecoderLayer(8, 2, 16, 0.0)
    >>> layer(torch.zeros(2, 8), Packed(torch.arange(2), 1, 1, 2), layer.memory(torch.zeros(1, 3, 8))).shape
    torch.Size([2, 8])
    """

    def __init__(self, d_model: int, n_heads: int, d_feedforward: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.self_in, self.self_out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.cross_query, self.cross_out = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.cross_memory = nn.Linear(d_model, 2 * d_model)
        self.widen, self.narrow = nn.Linear(d_model, d_feedforward), nn.Linear(d_feedforward, d_model)
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in range(3))

    def memory(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (scene, head, object, d) of the encoded objects."""
        keys, values = self._heads(self.cross_memory(encoded), 2)
        return keys, values

    def forward(self, x: Tensor, packed: Packed, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Return tokens (t, d) for tokens (t, d) of whole paths."""
        q, k, v = self._heads(packed.spread(self.self_in(x)), 3)
        x = self._add(0, x, self.self_out(packed.gather(self._mix(q, k, v, causal=True))))
        asked = packed.spread(self.cross_query(x)).view(packed.n_scenes, -1, x.shape[-1])
        (q,) = self._heads(asked, 1)
        x = self._add(1, x, self.cross_out(packed.gather(self._mix(q, *memory))))
        return self._add(2, x, self._feed(x))

    def step(self, x: Tensor, cache: tuple[Tensor, Tensor], step: int, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Return (scene, path, d) for the tokens of one step; `cache` (scene, path, head, longest, d) is filled."""
        shape = x.shape
        q, k, v = self._heads(self.self_in(x).view(-1, 1, shape[-1] * 3), 3)
        for kept, new in zip(cache, (k, v), strict=True):
            kept.flatten(0, 1)[:, :, step] = new[:, :, 0]
        k, v = (kept.flatten(0, 1)[:, :, : step + 1] for kept in cache)
        x = self._add(0, x, self.self_out(self._mix(q, k, v).view(shape)))
        (q,) = self._heads(self.cross_query(x), 1)
        x = self._add(1, x, self.cross_out(self._mix(q, *memory)))
        return self._add(2, x, self._feed(x))

    def _feed(self, x: Tensor) -> Tensor:
        return self.narrow(functional.dropout(self.widen(x).relu(), self.dropout, self.training))

    def _add(self, k: int, x: Tensor, more: Tensor) -> Tensor:
        return self.norms[k](x + functional.dropout(more, self.dropout, self.training))

    def _heads(self, x: Tensor, n: int) -> list[Tensor]:
        """Split (b, t, n * d) into n times (b, head, t, d of a head)."""
        return [part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in x.chunk(n, -1)]

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
        drop = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=causal)
        return mixed.transpose(1, 2).flatten(2)


def packed_tokens(paths: Tensor) -> Packed:
    """Return where begin and steps of (scene, path, step) paths lie among `step + 1` columns; empty paths have none."""
    real = (paths[..., :1] >= 0), (paths >= 0)
    at = torch.cat(real, -1).flatten().nonzero()[:, 0]
    return Packed(at, paths.shape[0], paths.shape[1], paths.shape[2] + 1)
