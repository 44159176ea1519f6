"""Stage II: places exchange messages over a graph of all pairs, again and again with the same weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..._check import check, integer


class SeparableGRU(nn.Module):
    """A gated recurrent unit whose gates see five places along x, then five along y."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = ((1, 5), (5, 1))

        def gates() -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(2 * channels, channels, k, padding=(k[0] // 2, k[1] // 2)) for k in sizes)

        self.update, self.reset, self.candidate = gates(), gates(), gates()

    def forward(self, state: Tensor, message: Tensor) -> Tensor:
        """Return the new state (b, c, h, w)."""
        for update, reset, candidate in zip(self.update, self.reset, self.candidate, strict=True):
            both = torch.cat([state, message], 1)
            z, r = update(both).sigmoid(), reset(both).sigmoid()
            state = torch.lerp(state, candidate(torch.cat([r * state, message], 1)).tanh(), z)
        return state


class MotionGraph(nn.Module):
    """One step of recurrent attention, and the reading of energy from the value of each place.

    Parameters
    ----------
    channels
        Of the value and of the attention vector; a multiple of 4.
    chunk_places
        With more places than this the matrix of all pairs is made in rows of that many, twice, and never kept whole.

    Raises
    ------
    ValueError
        For channels that are no multiple of 4.
    """

    def __init__(self, channels: int, *, chunk_places: int = 2048) -> None:
        super().__init__()
        c = integer("channels", channels)
        check(c % 4 == 0, "channels", "a multiple of 4: half of the position code is for each axis, in pairs", c)
        self.channels, self.chunk_places = c, integer("chunk_places", chunk_places)
        self.project = nn.Sequential(nn.Linear(c, c, bias=False), nn.ReLU(), nn.Linear(c, c, bias=False))
        self.send, self.merge = nn.Linear(c, c, bias=False), nn.Linear(c, c, bias=False)
        self.merge_norm, self.mix_norm = nn.LayerNorm(c), nn.LayerNorm(c)
        self.mix = nn.Sequential(
            nn.Linear(2 * c, 4 * c, bias=False), nn.GELU(), nn.Linear(4 * c, 4 * c, bias=False), nn.GELU(),
            nn.Linear(4 * c, c, bias=False),
        )  # fmt: skip
        self.value_gru, self.attention_gru = SeparableGRU(c), SeparableGRU(c)
        self.attention_message = nn.Linear(c, c, bias=False)
        self.attention_norm = nn.LayerNorm(c)
        self.attention_mix = nn.Sequential(
            nn.Conv2d(2 * c, c, 1), nn.GELU(), nn.Conv2d(c, c, 3, padding=1), nn.GELU(),
            nn.Conv2d(c, c, 3, padding=1), nn.GELU(),
        )  # fmt: skip
        self.read = nn.Sequential(nn.Linear(c, c), nn.GELU(), nn.Linear(c, c))
        self.gain, self.semisaturation = nn.Parameter(torch.tensor(1.8)), nn.Parameter(torch.tensor(1.0))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, value: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next value and attention (b, c, h, w)."""
        x, a = _nodes(value), _nodes(attention)
        projected = self.project(a)
        # Between 1 and 1 + 3 pi, one number a clip.
        sharpness = 1 + 3 * torch.pi * projected.mean((1, 2), keepdim=True).sigmoid()
        message = propagate(functional.normalize(projected, dim=-1), self.send(x), sharpness, self.chunk_places)
        message = self.merge_norm(self.merge(message))
        message = self.mix_norm(self.mix(torch.cat([x, message], -1)))
        drive = _maps(self.attention_norm(self.attention_message(message)), value)
        drive = self.attention_mix(torch.cat([attention, drive], 1))
        return self.value_gru(value, _maps(message, value)), self.attention_gru(attention, drive)

    def energy(self, value: Tensor) -> Tensor:
        """Return squares of what is read from the value, divided by their mean over places and channels."""
        square = self.read(_nodes(value)).square()
        normalised = self.gain.abs() * square / (square.mean((1, 2), keepdim=True) + self.semisaturation.square())
        return _maps(normalised, value)


def propagate(unit: Tensor, sent: Tensor, sharpness: Tensor, chunk: int) -> Tensor:
    """Return the message to every place: D^-1/2 A D^-1/2 sent, with A = exp(sharpness * cosine).

    Parameters
    ----------
    unit
        (b, n, c) vectors of length 1.
    sent
        (b, n, c).
    sharpness
        (b, 1, 1).
    chunk
        Rows of A made at a time.
    """
    n, across = unit.shape[1], unit.transpose(1, 2)

    def rows(some: Tensor) -> Tensor:
        return torch.exp(sharpness * (some @ across - 1))  # divided by its largest entry, that of a place with itself

    if n <= chunk:
        a = rows(unit)
        scale = 1 / (a.sum(-1, keepdim=True).sqrt() + 1e-6)
        return scale * (a @ (scale * sent))

    def degree(some: Tensor) -> Tensor:
        return rows(some).sum(-1, keepdim=True)

    def message(some: Tensor, weighted: Tensor) -> Tensor:
        return rows(some) @ weighted

    parts = unit.split(chunk, 1)
    scale = 1 / (torch.cat([checkpoint(degree, p, use_reentrant=False) for p in parts], 1).sqrt() + 1e-6)
    weighted = scale * sent
    return scale * torch.cat([checkpoint(message, p, weighted, use_reentrant=False) for p in parts], 1)


def placed_code(energy: Tensor, amplitude: float = 0.45) -> Tensor:
    """Return where attention starts: energy (b, c, h, w) and a code of the position, of the size the energy had."""
    size = energy.abs().mean((1, 2, 3), keepdim=True)
    code = position_code(energy)
    joined = energy + amplitude * math.pi * size * code / code.mean()
    return joined * size / joined.abs().mean((1, 2, 3), keepdim=True)


def position_code(like: Tensor) -> Tensor:
    """Return sines and cosines of y and x (c, h, w), each running from near 0 to 2 pi; frequencies fall by 1e4."""
    channels, height, width = like.shape[1:]
    half = channels // 2
    index = torch.arange(half, dtype=like.dtype, device=like.device)
    period = 1e4 ** (2 * (index // 2) / half)

    def axis(n: int) -> Tensor:
        at = torch.arange(1, n + 1, dtype=like.dtype, device=like.device) * (2 * math.pi / (n + 1e-6))
        angle = at[None] / period[:, None]
        return torch.where((index % 2 == 0)[:, None], angle.sin(), angle.cos())

    y = axis(height)[:, :, None].expand(half, height, width)
    return torch.cat([y, axis(width)[:, None, :].expand(half, height, width)])


def _nodes(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2)


def _maps(nodes: Tensor, like: Tensor) -> Tensor:
    return nodes.transpose(1, 2).unflatten(2, like.shape[-2:])
