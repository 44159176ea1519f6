"""PointerDecoder: the pointer network's decoder over the same objects, the plain rival of OAT."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..._check import check, integer
from ..pointer.head import PointerHead, Score
from .embedding import ObjectEmbedding, landed, token_index, vision_branch
from .scenes import ObjectScenes


class PointerDecoder(nn.Module):
    """An LSTM that reads the objects fixated so far and points at the next one; objects are embedded, not encoded.

    It has the interface of `OAT`: the last of its classes, the target token, means stop.

    Parameters
    ----------
    grid, vision, table, pyramid_levels, random_state
        As in `OAT`.
    score
        "additive" or "dot", see `PointerHead`.
    d_model
        Width of the embedding, half for looks and half for position, and of the LSTM.

    Raises
    ------
    ValueError, TypeError
        For sizes that do not fit.

    References
    ----------
    O Vinyals, M Fortunato, N Jaitly (2015). Pointer networks. arXiv:1506.03134.

    Examples
    --------
    >>> from neuroperc.search.objects import make_scenes
    >>> model = PointerDecoder(grid=(1, 3), d_model=16)
    >>> model(make_scenes([[0, 0], [0, 1], [0, 2]], [2]), torch.tensor([[[0, 2]]])).shape
    torch.Size([1, 1, 3, 4])
    """

    def __init__(
        self, *, grid: tuple[int, int] = (6, 14), score: Score = "additive", vision: bool | nn.Module = False,
        table: Tensor | None = None, d_model: int = 512, pyramid_levels: int | None = None, random_state: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        check(integer("d_model", d_model) % 2 == 0, "d_model", "even", d_model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer("random_state", random_state, 0))
            half = d_model // 2
            branch = vision_branch(vision, half, pyramid_levels)
            self.embedding = ObjectEmbedding(grid, table=table, d_visual=half, d_position=half, vision=branch)
            self.lstm = nn.LSTM(d_model, d_model, batch_first=True)
            self.head = PointerHead(d_model, d_model, score=score, end="slot", d_hidden=max(1, d_model // 2))

    def forward(self, scenes: ObjectScenes, paths: Tensor) -> Tensor:
        """Return the scores (scene, path, step + 1, objects + 1) of known paths, as `OAT.forward`."""
        tokens = self.embedding(scenes)
        index = token_index(paths, scenes)
        scene = torch.arange(len(paths), device=paths.device)[:, None, None]
        states, _ = self.lstm(tokens[scene, index.clamp(min=0)].flatten(0, 1))
        known = torch.cat((paths[..., :1] >= 0, paths >= 0), -1).flatten(1)
        # Additive scores are dear: padding goes to the end and is cut off.
        order = (~known).int().argsort(dim=1, stable=True)[:, : int(known.sum(1).max())]
        states = states.reshape(len(paths), -1, states.shape[-1])
        asked = states.gather(1, order[..., None].expand(-1, -1, states.shape[-1]))
        found = self.head(tokens[:, :-1], asked) * known.gather(1, order)[..., None]
        out = found.new_zeros(*known.shape, found.shape[-1])
        return out.scatter(1, order[..., None].expand_as(found), found).view(*index.shape, -1)

    def begin(self, scenes: ObjectScenes, n_paths: int, max_steps: int) -> LSTMState:
        """Return the state from which `n_paths` paths a scene are drawn with `step`."""
        tokens = self.embedding(scenes)
        zeros = tokens.new_zeros(len(tokens), n_paths, self.lstm.hidden_size)
        return LSTMState(tokens, scenes.target, self.head.keys(tokens[:, :-1]), zeros, zeros)

    def step(self, state: LSTMState, last: Tensor) -> Tensor:
        """Return the scores (scene, path, objects + 1) of the next object or stop, as `OAT.step`."""
        n = state.tokens.shape[1] - 2
        index = torch.where(last < 0, n + 1, landed(last, state.target, n))
        x = state.tokens.gather(1, index[..., None].expand(-1, -1, state.tokens.shape[-1]))
        before = state.hidden.flatten(0, 1)[None], state.cell.flatten(0, 1)[None]
        out, (hidden, cell) = self.lstm(x.flatten(0, 1)[:, None], before)
        state.hidden, state.cell = (v[0].view(*last.shape, -1) for v in (hidden, cell))
        return self.head.scores(state.keys, out.view(*last.shape, -1))


@dataclass
class LSTMState:
    """What is kept between the steps of paths that are being drawn."""

    tokens: Tensor
    target: Tensor
    keys: Tensor
    hidden: Tensor
    cell: Tensor

    def keep(self, paths: Tensor) -> None:
        """Go on with some paths of each scene: (scene, kept) indices."""
        scene = torch.arange(len(paths), device=paths.device)[:, None]
        self.hidden, self.cell = self.hidden[scene, paths], self.cell[scene, paths]
