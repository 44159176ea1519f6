"""Eccentricity-dependent pooling the way eccNET's released code does it: every ring pools the whole map, masks add up.

Written from the published rule (Gupta et al. 2021), for torch: the released layer needs TensorFlow.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class MaskedPools(nn.Module):
    """Sum over bands of mask times average pool, TensorFlow's "same" padding, stride 2.

    `merge` pools once for all bands of one window size; the released code pools once a band.
    """

    def __init__(self, windows: tuple[int, ...], radii: tuple[float, ...], shape: tuple[int, int], merge: bool) -> None:
        super().__init__()
        self.shape = shape
        rows, columns = (torch.arange(math.ceil(n / 2)) for n in shape)
        distance = torch.hypot((rows - len(rows) // 2)[:, None].double(), (columns - len(columns) // 2).double())
        edges = (-1.0, *radii, math.inf)
        masks: dict[object, Tensor] = {}
        for k, (inner, outer, window) in enumerate(zip(edges[:-1], edges[1:], windows, strict=True)):
            mask = ((distance >= inner) & (distance < outer)).float()
            key = window if merge else (k, window)
            masks[key] = masks[key] + mask if key in masks else mask
        self.masks = [(key if isinstance(key, int) else key[1], mask) for key, mask in masks.items()]

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, ceil(h / 2), ceil(w / 2))."""
        return sum(mask * self._pool(x, window) for window, mask in self.masks)

    def _pool(self, x: Tensor, window: int) -> Tensor:
        pads = []
        for length in (x.shape[-1], x.shape[-2]):
            total = max((math.ceil(length / 2) - 1) * 2 + window - length, 0)
            pads += [total // 2, total - total // 2]
        padded = functional.pad(x, pads)
        share = functional.avg_pool2d(functional.pad(torch.ones_like(x[:1, :1]), pads), window, 2)
        return functional.avg_pool2d(padded, window, 2) / share
