"""PointerHead: scores that end in a softmax over the inputs themselves."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ..._check import check, integer, one_of

Score = Literal["additive", "dot"]
End = Literal["learned", "slot"]


class PointerHead(nn.Module):
    """Score every input for every decoder state; the softmax of the scores is the answer, nothing is mixed.

    Parameters
    ----------
    d_keys, d_queries
        Width of the inputs' states and of the decoder's.
    score
        "additive", v tanh(W1 e + W2 d) as in the pointer network, or "dot", (W1 e + b1) (W2 d + b2) / sqrt(d_hidden).
    n_heads
        Scores a pair; several are combined by a learned linear map to one.
    end
        "learned": a key of its own, the last column, says stop. "slot": the caller's last input does.
    null
        Whether a further column is added whose scores are 0 in every head: the class of padding, dropped when paths
        are drawn.
    d_hidden
        Width of W1 e and W2 d in each head; default `d_keys`.

    Raises
    ------
    ValueError, TypeError
        For an unknown score or end, or sizes below 1.

    References
    ----------
    O Vinyals, M Fortunato, N Jaitly (2015). Pointer networks. arXiv:1506.03134, equation 3. Two heads and the null
    column: Y Fang and others (2024). OAT: object-level attention transformer for gaze scanpath prediction, ECCV.

    Examples
    --------
    >>> head = PointerHead(8, 8, score="dot", n_heads=2, end="slot")
    >>> head(torch.zeros(3, 5, 8), torch.zeros(3, 2, 8)).shape
    torch.Size([3, 2, 5])
    """

    def __init__(
        self, d_keys: int, d_queries: int, *, score: Score = "additive", n_heads: int = 1, end: End = "learned",
        null: bool = False, d_hidden: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.score: str = one_of("score", score, ("additive", "dot"))
        self.end: str = one_of("end", end, ("learned", "slot"))
        self.n_heads, self.null = integer("n_heads", n_heads), null
        self.d_hidden = integer("d_hidden", d_keys if d_hidden is None else d_hidden)
        bias = score == "dot"
        self.to_keys = nn.Linear(integer("d_keys", d_keys), n_heads * self.d_hidden, bias=bias)
        self.to_queries = nn.Linear(integer("d_queries", d_queries), n_heads * self.d_hidden, bias=bias)
        if score == "additive":
            self.v = nn.Parameter(torch.empty(n_heads, self.d_hidden).uniform_(-0.08, 0.08))
        if n_heads > 1:
            # No bias: it would move every column alike, the null column too.
            self.combine = nn.Linear(n_heads, 1, bias=False)
        if end == "learned":
            self.stop = nn.Parameter(torch.empty(d_keys).uniform_(-0.08, 0.08))

    def keys(self, inputs: Tensor) -> Tensor:
        """Return what many calls of `scores` need of the inputs (b, n, d_keys): (b, heads, n[+1], d_hidden)."""
        if self.end == "learned":
            inputs = torch.cat((inputs, self.stop.expand(len(inputs), 1, -1)), 1)
        return self._by_head(self.to_keys(inputs))

    def scores(self, keys: Tensor, queries: Tensor) -> Tensor:
        """Return (b, t, n[+1][+1]): the inputs, the stop, the null column, for decoder states (b, t, d_queries)."""
        asked = self._by_head(self.to_queries(queries))
        if self.score == "dot":
            found = asked @ keys.transpose(-1, -2) / math.sqrt(self.d_hidden)
        else:
            found = (torch.tanh(keys[:, :, None] + asked[:, :, :, None]) * self.v[:, None, None]).sum(-1)
        found = self.combine(found.movedim(1, -1))[..., 0] if self.n_heads > 1 else found[:, 0]
        return torch.cat((found, found.new_zeros(*found.shape[:-1], 1)), -1) if self.null else found

    def forward(self, inputs: Tensor, queries: Tensor) -> Tensor:
        """Return the scores of `inputs` (b, n, d_keys) for `queries` (b, t, d_queries)."""
        fits = inputs.ndim == 3 and queries.ndim == 3 and len(inputs) == len(queries)
        check(fits, "inputs and queries", "(b, n, d) and (b, t, d)", f"{tuple(inputs.shape)}, {tuple(queries.shape)}")
        return self.scores(self.keys(inputs), queries)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, self.d_hidden)).transpose(1, 2)
