"""From energy to flow, and from places to pixels."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sensing import Edge


class FlowDecoder(nn.Module):
    """Flow (u, v), v down, in cells per frame: four 1 x 1 convolutions and a 3 x 3 one, linear throughout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, channels, channels // 2, channels // 4, max(channels // 8, 1))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths))
        self.flow = nn.Conv2d(widths[3] + widths[4], 2, 3, padding=1)

    def forward(self, energy: Tensor) -> Tensor:
        """Return (b, 2, h, w) of energy (b, c, h, w)."""
        seen = [energy]
        for layer in self.layers:
            seen.append(layer(seen[-1]))
        flow: Tensor = self.flow(torch.cat([seen[4], seen[3]], 1))
        return flow


class ConvexUpsampler(nn.Module):
    """Flow at every pixel as a weighted mean of the nine cells around, with weights read from flow and attention."""

    def __init__(self, channels: int, cell_px: int, edge: Edge) -> None:
        super().__init__()
        self.cell_px, self.edge = cell_px, edge
        self.weights = nn.Sequential(
            nn.Conv2d(2 + channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(), nn.Conv2d(channels, 9 * cell_px**2, 3, padding=1),
        )  # fmt: skip

    def forward(self, flow: Tensor, attention: Tensor) -> Tensor:
        """Return flow in pixels per frame (b, 2, h * cell, w * cell)."""
        k, (height, width) = self.cell_px, flow.shape[-2:]
        share = self.weights(torch.cat([flow, attention], 1)).unflatten(1, (9, k, k)).softmax(1)
        padded = functional.pad(k * flow, (1,) * 4, mode="constant" if self.edge == "zero" else self.edge)
        around = functional.unfold(padded, 3).view(len(flow), 2, 9, height, width)
        fine = torch.einsum("bnijhw,bdnhw->bdhiwj", share, around)
        return fine.reshape(len(flow), 2, height * k, width * k)


def bilinear(flow: Tensor, cell_px: int) -> Tensor:
    """Return flow in pixels per frame at every pixel, by bilinear interpolation."""
    return functional.interpolate(flow, scale_factor=cell_px, mode="bilinear", align_corners=True) * cell_px
