"""The second path: features of a 3-D network, whose motion energy is sensed as that of the picture is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .sensing import Edge, EnergyUnits


class _Block(nn.Module):
    """Two 3 x 3 x 3 convolutions and a shortcut; the stride is in space only."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(before, after, 3, stride=(1, stride, stride), padding=1, bias=False)
        self.second = nn.Conv3d(after, after, 3, padding=1, bias=False)
        self.norm = nn.InstanceNorm3d(after)
        same = stride == 1 and before == after
        self.shortcut = None if same else nn.Conv3d(before, after, 1, stride=(1, stride, stride), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.second(self.norm(self.first(x)).relu()))
        return (inner + (x if self.shortcut is None else self.norm(self.shortcut(x)))).relu()


class HigherOrderPath(nn.Module):
    """Energy (b, c, h / 8, w / 8) of what a residual 3-D network makes of colour movies.

    Parameters
    ----------
    channels
        Units, one for each feature; widths on the way are an eighth, a quarter and half of them.
    n_frames, n_taps
        Frames of a clip, and of the units' temporal kernels.
    radius_px
        Of the units' spatial kernels, on the grid of features.
    edge
        As of `MotionSensing`.
    rng
        Seed or generator of the units.
    """

    def __init__(self, channels: int, n_frames: int, n_taps: int, radius_px: int, edge: Edge, rng: Any) -> None:
        super().__init__()
        w = [channels // 8, channels // 4, channels // 2, channels]
        self.stem = nn.Conv3d(3, w[0], (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        self.norm = nn.InstanceNorm3d(w[0])
        plan = ((w[0], w[0], 1), (w[0], w[1], 2), (w[1], w[1], 1), (w[1], w[2], 2), (w[2], w[2], 1), (w[2], w[3], 1),
                (w[3], w[3], 1))  # fmt: skip
        self.blocks = nn.Sequential(*(_Block(*each) for each in plan))
        self.squash = nn.Conv3d(channels, channels, 3, padding=1)
        self.gain, self.semisaturation = nn.Parameter(torch.tensor(4.0)), nn.Parameter(torch.tensor(0.2))
        self.units = EnergyUnits(1, channels, radius_px, n_taps, n_frames, edge, rng)
        for part in (self.stem, *self.blocks.modules()):
            if isinstance(part, nn.Conv3d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, movie: Tensor) -> Tensor:
        """Return energy of movies (b, time, 3, h, w), codes in [0, 1]."""
        features = self.blocks(self.norm(self.stem(movie.transpose(1, 2))).relu())
        features = self.squash(features).sigmoid()
        mean = features.mean((1, 2, 3, 4), keepdim=True)  # of each clip: the published code takes that of the batch
        features = self.gain.abs() * features / (mean + self.semisaturation.square())
        energy = self.units.energy(features.transpose(1, 2).flatten(0, 1), len(movie), 0, grouped=True)
        return self.units.normalised(energy, (1,))
