"""Objects as vectors: what they look like beside where they are and whether they are the target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..._check import check, fail, integer, whole_pair
from .positions import position_table
from .scenes import ObjectScenes
from .vision import PatchNet


class ObjectEmbedding(nn.Module):
    """Embed the objects of a scene, its target, and the begin of a path.

    The flag tells the target's own token from the same object on the shelf, so that "look at the target" and "stop" can
    differ: on the shelf it is 0; for the target token, and where a path has landed on the target, 1.

    Row, column and flag each look up a row of one frozen table; the three are joined and cut to `d_position`.
    Without pictures the visual half is one learned vector for everything, which is what a patch net makes of patches
    that are all alike.

    Parameters
    ----------
    grid
        (rows, columns) of the shelf.
    table
        (at least the longer side of `grid`, width) position table; default the closed form.
    d_visual, d_position
        Lengths of the halves.
    vision
        Network from patches (m, 3, height, width) to (m, d_visual), or None for positions only.

    Raises
    ------
    ValueError, TypeError
        When the table is too small.

    References
    ----------
    Y Fang and others (2024). OAT: object-level attention transformer for gaze scanpath prediction, ECCV: object
    embedding.

    Examples
    --------
    >>> from neuroperc.search.objects import make_scenes
    >>> ObjectEmbedding((1, 2))(make_scenes([[0, 0], [0, 1]], [1])).shape  # two objects, the target, the begin
    torch.Size([1, 4, 512])
    """

    table: Tensor

    def __init__(
        self, grid: tuple[int, int], *, table: Tensor | None = None, d_visual: int = 256, d_position: int = 256,
        vision: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.grid = whole_pair("grid", grid)
        n, width = max(2, *self.grid), math.ceil(integer("d_position", d_position) / 3)
        table = position_table(n, width=max(n, width)) if table is None else torch.as_tensor(table).detach().clone()
        good = table.ndim == 2 and len(table) >= n and 3 * table.shape[1] >= d_position
        check(good, "table", f"of at least {n} rows and {width} columns", f"shape {tuple(table.shape)}")
        self.d_position, self.d_visual = d_position, integer("d_visual", d_visual)
        self.vision = vision
        self.register_buffer("table", table)
        if vision is None:
            self.plain = nn.Parameter(torch.zeros(d_visual))

    def forward(self, scenes: ObjectScenes) -> Tensor:
        """Return (scene, objects + 2, d_visual + d_position): the objects, the target once more, the begin."""
        n, batch = scenes.n_objects, torch.arange(len(scenes.target), device=scenes.target.device)
        limit = torch.tensor(self.grid, device=scenes.cells.device)
        check(bool((scenes.cells < limit).all()), "cells", f"within the grid {self.grid}", scenes.cells.amax((0, 1)))
        begin = (limit // 2).expand(len(batch), 1, 2)
        cells = torch.cat((scenes.cells, scenes.cells[batch, scenes.target][:, None], begin), 1)
        flag = torch.zeros(cells.shape[:2], dtype=torch.long, device=cells.device)
        flag[:, n] = 1
        looked_up = self.table[torch.cat((cells, flag[..., None]), -1)].flatten(2)
        return torch.cat((self._look(scenes), looked_up[..., : self.d_position]), -1)

    def _look(self, scenes: ObjectScenes) -> Tensor:
        b, n = scenes.cells.shape[:2]
        if self.vision is None:
            return self.plain.expand(b, n + 2, -1)
        if scenes.patches is None:
            fail("patches", "given to a model with a visual branch", None, "Build the model with vision=False.")
        patches = scenes.patches.float()
        seen = self.vision(patches.flatten(0, 1)).unflatten(0, (b, n))
        blank = self.vision(torch.ones_like(patches[:1, 0])).expand(b, 1, -1)  # what begin and padding look like
        target = seen[torch.arange(b, device=seen.device), scenes.target][:, None]
        return torch.cat((seen, target, blank), 1)


def step_code(n_steps: int, width: int, *, start: int = 0, like: Tensor) -> Tensor:
    """Return the sinusoidal code of steps `start` to `start` + `n_steps` - 1, (n_steps, width) (Vaswani 2017, 3.5)."""
    step = torch.arange(start, start + n_steps, device=like.device, dtype=like.dtype)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=like.device, dtype=like.dtype) * (-math.log(1e4) / width))
    return torch.stack((torch.sin(step * rate), torch.cos(step * rate)), -1).flatten(1)[:, :width]


def vision_branch(vision: bool | nn.Module, d_visual: int, pyramid_levels: int | None) -> nn.Module | None:
    """Return the network of the visual half: none, the default one, or the caller's."""
    if isinstance(vision, nn.Module):
        return vision
    return PatchNet(d_visual, pyramid_levels=pyramid_levels) if vision else None


def token_index(paths: Tensor, scenes: ObjectScenes) -> Tensor:
    """Return the decoder's inputs for teacher forcing as indices into the embedding: the begin, then the path."""
    n = scenes.n_objects
    good = paths.ndim == 3 and len(paths) == len(scenes.target)
    check(good, "paths", f"of shape ({len(scenes.target)}, path, step)", f"shape {tuple(paths.shape)}")
    check(not paths.is_floating_point(), "paths", "whole numbers", str(paths.dtype), error=TypeError)
    most = int(paths.max()) if paths.numel() else -1
    check(most < n, "paths", f"indices below the {n} objects", most)
    begin = paths.new_full((*paths.shape[:2], 1), n + 1)
    return torch.cat((begin, landed(paths, scenes.target, n)), -1)


def landed(objects: Tensor, target: Tensor, n_objects: int) -> Tensor:
    """Return (scene, ...) objects as indices into the embedding: the target's own token where it is the target."""
    wanted = target.view(-1, *[1] * (objects.ndim - 1))
    return torch.where(objects == wanted, n_objects, objects)
