"""PointerNet: an LSTM reads a problem, another points at its answer, and a search keeps answers legal."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import check, integer, one_of
from .head import PointerHead, Score

Rule = Literal["free", "distinct", "all"]


class PointerNet(nn.Module):
    """Sequence to sequence, whose output vocabulary is the input sequence.

    Parameters
    ----------
    n_inputs
        Numbers an input: 2 for points.
    d_hidden
        Units of the two LSTMs and of the pointer.
    score
        "additive" as in the paper, or "dot"; see `PointerHead`.
    spread
        Weights start uniformly between minus and plus this; None leaves torch's own start.
    random_state
        Seed of the initial weights.

    Raises
    ------
    ValueError, TypeError
        For sizes below 1.

    References
    ----------
    O Vinyals, M Fortunato, N Jaitly (2015). Pointer networks. arXiv:1506.03134, section 2.3.

    Examples
    --------
    >>> PointerNet(d_hidden=8)(torch.rand(4, 5, 2), torch.tensor([[0, 1, 2, -1]] * 4)).shape
    torch.Size([4, 5, 6])
    """

    def __init__(
        self, n_inputs: int = 2, *, d_hidden: int = 256, score: Score = "additive", spread: float | None = 0.08,
        random_state: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer("random_state", random_state, 0))
            self.reader = nn.LSTM(integer("n_inputs", n_inputs), integer("d_hidden", d_hidden), batch_first=True)
            self.writer = nn.LSTM(n_inputs, d_hidden, batch_first=True)
            self.head = PointerHead(d_hidden, d_hidden, score=score)
            self.start = nn.Parameter(torch.zeros(n_inputs))
            if spread is not None:
                for weights in self.parameters():
                    nn.init.uniform_(weights, -spread, spread)

    def forward(self, points: Tensor, answers: Tensor) -> Tensor:
        """Return the scores of every input and of the end, at every step of known answers.

        Parameters
        ----------
        points
            (problem, n, n_inputs).
        answers
            (problem, step) indices, -1 after an answer's end.

        Returns
        -------
        Tensor
            (problem, step + 1, n + 1) before the softmax; column n is the end.
        """
        good = points.ndim == 3 and answers.ndim == 2 and len(points) == len(answers)
        check(good, "points and answers", "(problem, n, d) and (problem, step)",
              f"{tuple(points.shape)}, {tuple(answers.shape)}")  # fmt: skip
        encoded, state = self.reader(points)
        pointed = points.gather(1, answers.clamp(min=0)[..., None].expand(-1, -1, points.shape[-1]))
        inputs = torch.cat((self.start.expand(len(points), 1, -1), pointed), 1)
        return self.head(encoded, self.writer(inputs, state)[0])

    def loss(self, points: Tensor, answers: Tensor) -> Tensor:
        """Return the mean cross-entropy of each index and of the end."""
        wanted = functional.pad(answers, (0, 1), value=-1)
        length = (answers >= 0).sum(1, keepdim=True)
        wanted = wanted.scatter(1, length, points.shape[1])
        return functional.cross_entropy(self(points, answers).flatten(0, 1), wanted.flatten(), ignore_index=-1)


@torch.no_grad()
def solve(net: PointerNet, points: Tensor, *, rule: Rule = "distinct", n_beams: int = 1) -> Tensor:
    """Return the answers that a beam search finds, every answer a legal one.

    Parameters
    ----------
    net
        The trained network.
    points
        (problem, n, n_inputs).
    rule
        "free": any index, any length up to n. "distinct": no index twice. "all": every index once, from 0 on when the
        answer is a round trip or not: the network decides, but it cannot stop early.
    n_beams
        Answers kept at each step; 1 is greedy.

    Returns
    -------
    Tensor
        (problem, n) indices, -1 after an answer's end.

    Raises
    ------
    ValueError
        For an unknown rule.

    References
    ----------
    O Vinyals, M Fortunato, N Jaitly (2015). Pointer networks. arXiv:1506.03134, section 4.4: beam search over
    valid tours.

    Examples
    --------
    >>> sorted(solve(PointerNet(d_hidden=8), torch.rand(1, 4, 2), rule="all", n_beams=2)[0].tolist())
    [0, 1, 2, 3]
    """
    one_of("rule", rule, ("free", "distinct", "all"))
    m, n, width = points.shape
    k, rows = integer("n_beams", n_beams), torch.arange(m, device=points.device)[:, None]
    encoded, state = net.reader(points)
    keys = net.head.keys(encoded)[:, None].expand(-1, k, -1, -1, -1).flatten(0, 1)
    state = tuple(s.repeat_interleave(k, 1) for s in state)
    inputs = net.start.expand(m * k, 1, -1)
    total = points.new_full((m, k), -torch.inf)
    total[:, 0] = 0  # all beams are alike at first: one of them counts
    answers = torch.full((m, k, n), -1, device=points.device)
    used, ended = torch.zeros(m, k, n + 1, dtype=torch.bool, device=points.device), total.new_zeros(m, k).bool()
    for step in range(n):
        hidden, state = net.writer(inputs, state)
        log = functional.log_softmax(_legal(net.head.scores(keys, hidden).view(m, k, n + 1), used, ended, rule), -1)
        total, best = (total[..., None] + log).flatten(1).topk(k)
        beam, choice = best // (n + 1), best % (n + 1)
        answers, used, ended = answers[rows, beam], used[rows, beam], ended[rows, beam]
        ended = ended | (choice == n)
        answers[:, :, step] = torch.where(ended, -1, choice)
        used = used.scatter(2, choice[..., None], True)
        flat = (rows * k + beam).flatten()
        state = tuple(s[:, flat] for s in state)
        at = choice.clamp(max=n - 1)[..., None].expand(-1, -1, width)
        inputs = points.gather(1, at).flatten(0, 1)[:, None]
    return answers[:, 0]


def _legal(scores: Tensor, used: Tensor, ended: Tensor, rule: str) -> Tensor:
    """Close what may not come next: indices used before, the end at once or too early, anything after the end."""
    n = scores.shape[-1] - 1
    closed = torch.zeros_like(used) if rule == "free" else used.clone()
    closed[..., n] = ~used.any(-1)
    if rule == "all":
        closed[..., n] = ~used[..., :n].all(-1)
    elif rule == "distinct":
        closed[..., n] &= ~used[..., :n].all(-1)
    closed = torch.where(ended[..., None], torch.arange(n + 1, device=scores.device) < n, closed)
    return scores.masked_fill(closed, -torch.inf)
