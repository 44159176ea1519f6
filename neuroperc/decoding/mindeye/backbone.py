"""From voxels to the tokens of an image embedding: entries, residual trunk, projector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, cat, nn

from ..._check import check, integer, one_of

Entry = Literal["dropout", "linear"]


class Backbone(nn.Module):
    """Residual network from the voxels of one or several subjects to tokens of an image embedding.

    Every subject has an entry of its own; all else is shared. Sizes as published (subject 1 of NSD): ``Backbone({"1":
    15724}, n_tokens=257, n_dims=768, width=4096, n_blocks=4)``, 940 million parameters.

    Parameters
    ----------
    n_voxels
        Voxels of each subject by name.
    n_tokens, n_dims
        Tokens of the embedding, and numbers in each.
    width
        Of the shared space.
    n_blocks
        Residual blocks: linear, LayerNorm, GELU, dropout, and the block's input added.
    entry
        ``"dropout"``, MindEye's: linear, LayerNorm, GELU, dropout. ``"linear"``, MindEye2's: one linear map a subject.
    entry_dropout, block_dropout
        Shares that are dropped in training.

    Raises
    ------
    ValueError
        Without a subject, or for a size below 1.

    References
    ----------
    .. [1] P S Scotti et al. (2023). Reconstructing the Mind's Eye. arXiv:2305.18274, section 3.2.
    .. [2] P S Scotti et al. (2024). MindEye2. arXiv:2403.11207: the entry that is linear for each subject.

    Examples
    --------
    >>> import torch
    >>> net = Backbone({"s1": 30, "s2": 20}, n_tokens=4, n_dims=8, width=16, n_blocks=2)
    >>> net([("s1", torch.zeros(5, 30)), ("s2", torch.zeros(3, 20))]).shape
    torch.Size([8, 4, 8])
    """

    def __init__(
        self,
        n_voxels: Mapping[str, int],
        *,
        n_tokens: int,
        n_dims: int,
        width: int = 256,
        n_blocks: int = 2,
        entry: Entry = "dropout",
        entry_dropout: float = 0.5,
        block_dropout: float = 0.15,
    ) -> None:
        super().__init__()
        check(len(n_voxels) > 0, "n_voxels", "the voxels of one or more subjects", dict(n_voxels))
        one_of("entry", entry, ("dropout", "linear"))
        for name, value in (("n_tokens", n_tokens), ("n_dims", n_dims), ("width", width)):
            integer(name, value)
        self.shape = (n_tokens, n_dims)
        self.subjects = tuple(n_voxels)
        self.entries = nn.ModuleList(
            nn.Linear(integer("n_voxels", n), width)
            if entry == "linear"
            else nn.Sequential(nn.Linear(integer("n_voxels", n), width), *_after(width, entry_dropout))
            for n in n_voxels.values()
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), *_after(width, block_dropout))
            for _ in range(integer("n_blocks", n_blocks, minimum=0))
        )
        self.head = nn.Linear(width, n_tokens * n_dims)

    def shared(self, voxels: Sequence[tuple[str, Tensor]]) -> Tensor:
        """Return the shared space (trial, width) of pairs (subject, (trial, voxel)), joined in their order."""
        parts = []
        for subject, pattern in voxels:
            one_of("subject", subject, self.subjects)
            parts.append(self.entries[self.subjects.index(subject)](pattern))
        return cat(parts)

    def forward(self, voxels: Sequence[tuple[str, Tensor]]) -> Tensor:
        """Return tokens (trial, token, dim) of pairs (subject, (trial, voxel))."""
        x = self.shared(voxels)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).unflatten(-1, self.shape)


class Projector(nn.Sequential):
    """Three layers on each token, for the contrastive loss and for retrieval: the backbone's tokens stay as they are.

    Parameters
    ----------
    n_dims
        Numbers in a token, in and out.
    width
        Of the two hidden layers; published: 2048.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, section 3.2.

    Examples
    --------
    >>> import torch
    >>> Projector(8, width=16)(torch.zeros(5, 4, 8)).shape
    torch.Size([5, 4, 8])
    """

    def __init__(self, n_dims: int, *, width: int = 256) -> None:
        sizes = (integer("n_dims", n_dims), integer("width", width), width, n_dims)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.LayerNorm(before), nn.GELU(), nn.Linear(before, after)]
        super().__init__(*layers)


def _after(width: int, dropout: float) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)
