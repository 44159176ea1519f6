"""OAT: an encoder-decoder over objects that points at the next one, and at the target token to stop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import check, integer
from ..pointer.head import PointerHead
from .embedding import ObjectEmbedding, landed, step_code, token_index, vision_branch
from .layers import DecoderLayer, packed_tokens
from .scenes import ObjectScenes


class OAT(nn.Module):
    """Object-level attention transformer: which object is looked at next, given the scene and the path so far.

    The encoder sees the objects and the target as one more token. The decoder reads the objects fixated so far. Two
    heads compare its state with every encoded token; the classes are the objects, then the target token, which means
    stop, then a null class that only padding would have.

    Parameters
    ----------
    grid
        (rows, columns) of the shelf; books 6 by 14.
    vision
        False: positions and the target flag only. True: a `PatchNet`; or a network of your own.
    table
        Position table; default the closed form of `position_table`. See `learn_position_table`.
    d_model
        Width, half of it for looks and half for position.
    n_heads, n_layers, d_feedforward
        Of encoder and decoder.
    n_pointer_heads
        Of the pointer.
    dropout
        In training.
    pyramid_levels
        Of the `PatchNet`.
    random_state
        Seed of the initial weights.

    Raises
    ------
    ValueError, TypeError
        For sizes that do not fit.

    References
    ----------
    Y Fang and others (2024). OAT: object-level attention transformer for gaze scanpath prediction, ECCV; sizes are
    those of the released code.

    Examples
    --------
    >>> from neuroperc.search.objects import make_scenes
    >>> model = OAT(grid=(1, 3), d_model=32, n_layers=1, d_feedforward=32)
    >>> scenes = make_scenes([[0, 0], [0, 1], [0, 2]], [2])
    >>> model(scenes, torch.tensor([[[0, 2]]])).shape  # begin and two steps; three objects, stop, null
    torch.Size([1, 1, 3, 5])
    """

    def __init__(
        self, *, grid: tuple[int, int] = (6, 14), vision: bool | nn.Module = False, table: Tensor | None = None,
        d_model: int = 512, n_heads: int = 4, n_layers: int = 4, d_feedforward: int = 512, n_pointer_heads: int = 2,
        dropout: float = 0.1, pyramid_levels: int | None = None, random_state: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        check(integer("d_model", d_model) % (2 * integer("n_heads", n_heads)) == 0, "d_model",
              f"a multiple of twice the {n_heads} heads", d_model)  # fmt: skip
        integer("n_layers", n_layers)
        check(0 <= dropout < 1, "dropout", "from 0 to below 1", dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer("random_state", random_state, 0))
            half = d_model // 2
            branch = vision_branch(vision, half, pyramid_levels)
            self.embedding = ObjectEmbedding(grid, table=table, d_visual=half, d_position=half, vision=branch)
            layer = nn.TransformerEncoderLayer(d_model, n_heads, d_feedforward, dropout, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
            layers = [DecoderLayer(d_model, n_heads, d_feedforward, dropout) for _ in range(n_layers)]
            self.decoder = nn.ModuleList(layers)
            self.head = PointerHead(d_model, d_model, score="dot", n_heads=n_pointer_heads, end="slot", null=True)
            self.dropout = dropout
            for weights in self.parameters():
                if weights.ndim > 1:
                    nn.init.xavier_uniform_(weights)

    def forward(self, scenes: ObjectScenes, paths: Tensor) -> Tensor:
        """Return the scores of every class at every step of known paths (teacher forcing).

        Parameters
        ----------
        scenes
            The scenes.
        paths
            (scene, path, step) objects, -1 after a path's end.

        Returns
        -------
        Tensor
            (scene, path, step + 1, objects + 2) before the softmax; zeros where a path has ended.
        """
        index = token_index(paths, scenes)
        tokens, packed = self.embedding(scenes), packed_tokens(paths)
        steps = step_code(packed.n_steps, tokens.shape[-1], like=tokens)
        scene = torch.arange(len(paths), device=paths.device)[:, None, None].expand_as(index)
        flat, at = index.flatten()[packed.at], packed.at
        x = tokens[scene.flatten()[at], flat] + steps[at % packed.n_steps]
        x = functional.dropout(x, self.dropout, self.training)
        encoded = self.encoder(tokens[:, :-1])
        for layer in self.layers:
            x = layer(x, packed, layer.memory(encoded))
        states = packed.spread(x).view(len(paths), -1, x.shape[-1])
        scores = self.head(encoded, states).view(*index.shape, -1)
        known = torch.zeros_like(index, dtype=torch.bool).flatten().index_fill(0, at, True).view_as(index)
        return scores.masked_fill(~known[..., None], 0.0)

    @property
    def layers(self) -> list[DecoderLayer]:
        """The decoder's layers."""
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def begin(self, scenes: ObjectScenes, n_paths: int, max_steps: int) -> OATState:
        """Return the state from which `n_paths` paths a scene are drawn with `step`."""
        tokens = self.embedding(scenes)
        encoded = self.encoder(tokens[:, :-1])
        h = self.layers[0].n_heads
        shape = (len(tokens), n_paths, h, max_steps, tokens.shape[-1] // h)
        caches = [(tokens.new_empty(shape), tokens.new_empty(shape)) for _ in self.layers]
        memory = [layer.memory(encoded) for layer in self.layers]
        return OATState(tokens, scenes.target, memory, caches, self.head.keys(encoded))

    def step(self, state: OATState, last: Tensor) -> Tensor:
        """Return the scores (scene, path, objects + 1) of the next object or stop, and move the state on.

        Parameters
        ----------
        state
            From `begin`.
        last
            (scene, path) object fixated last; -1 at the begin.
        """
        width = state.tokens.shape[-1]
        n = state.tokens.shape[1] - 2
        index = torch.where(last < 0, n + 1, landed(last, state.target, n))
        x = state.tokens.gather(1, index[..., None].expand(-1, -1, width))
        x = x + step_code(1, width, start=state.n_done, like=x)
        for layer, cache, memory in zip(self.layers, state.caches, state.memory, strict=True):
            x = layer.step(x, cache, state.n_done, memory)
        state.n_done += 1
        return self.head.scores(state.keys, x)[..., :-1]


@dataclass
class OATState:
    """What is kept between the steps of paths that are being drawn."""

    tokens: Tensor
    target: Tensor
    memory: list[tuple[Tensor, Tensor]]
    caches: list[tuple[Tensor, Tensor]]
    keys: Tensor
    n_done: int = 0

    def keep(self, paths: Tensor) -> None:
        """Go on with some paths of each scene: (scene, kept) indices."""
        scene = torch.arange(len(paths), device=paths.device)[:, None]
        self.caches = [(k[scene, paths], v[scene, paths]) for k, v in self.caches]
