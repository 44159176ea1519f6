"""Pixels to pooling windows and back by way of nodes: a pixel touches a few, a filter takes them to the windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ._banded import banded
from ._sparse import gather, scatter, transpose
from ._taps import GAUSSIAN_REACH, cosine_taps, spline_taps, window_band

#: B-spline order and oversampling: peak errors of 3e-7 and 1e-12 (tests/oracles/test_pooling_dense.py).
_SPLINE = {torch.float32: (6, 4), torch.float64: (10, 6)}
#: Entries above which they are not stored but computed on the fly, in runs of `_RUN` pixels.
_MOST_ENTRIES = 1 << 26
_RUN = 1 << 19
#: Entries below which the transpose is stored as well.
_FEW_ENTRIES = 1 << 22

Entries = tuple[Tensor, ...]


@dataclass(frozen=True)
class Nodes:
    """A log-polar grid, ring by ring: the raised-cosine windows themselves, or a finer grid for Gaussian ones.

    Pixels come as (m, n_pixels), nodes as (m, n_nodes), windows as (m, n_windows); u and v are the pixels' log-polar
    coordinates in window steps.
    """

    window: Literal["cosine", "gaussian"]
    n_rings: int
    n_wedges: int
    transition: float
    dtype: torch.dtype

    @property
    def order(self) -> int:
        """Nodes a pixel touches along each axis."""
        return 2 if self.window == "cosine" else _SPLINE[self.dtype][0]

    @property
    def oversampling(self) -> int:
        """Nodes a window step."""
        return 1 if self.window == "cosine" else _SPLINE[self.dtype][1]

    @property
    def pad(self) -> int:
        """Nodes on either side of the rings."""
        return 1 if self.window == "cosine" else GAUSSIAN_REACH * self.oversampling

    @property
    def n_radial(self) -> int:
        return (self.n_rings - 1) * self.oversampling + 1 + 2 * self.pad

    @property
    def n_angular(self) -> int:
        return self.n_wedges * self.oversampling

    @property
    def n_nodes(self) -> int:
        return self.n_radial * self.n_angular

    def store(self, u: Tensor, v: Tensor) -> Entries:
        """Return what `pool` and `unpool` need of (n_pixels,) coordinates.

        The rows of a sparse matrix (pixels x nodes): pointers, columns, values; where there are few, those of its
        transpose too; where there are too many to store, u and v.
        """
        if u.numel() * self.order**2 > _MOST_ENTRIES:
            return u, v
        runs = [self._rows(u[i : i + _RUN], v[i : i + _RUN]) for i in range(0, u.numel(), _RUN)]
        counts, columns, values = (torch.cat(parts) for parts in zip(*runs, strict=True))
        pointers = nn.functional.pad(torch.cumsum(counts, 0), (1, 0)).int()
        if columns.numel() < _FEW_ENTRIES:  # the transpose makes pooling a gather too: no write conflicts
            return pointers, columns, values, *transpose(pointers, columns, values, self.n_nodes)
        return pointers, columns, values

    def pool(self, pixels: Tensor, entries: Entries) -> Tensor:
        """Sum pixels over windows."""
        if len(entries) == 6:
            nodes = gather(entries[3:], entries[:3], pixels)
        elif len(entries) == 3:
            nodes = scatter(entries, pixels, self.n_nodes)
        else:
            nodes = _Spread.apply(self, pixels, *entries)
        return self.to_windows(nodes)

    def unpool(self, windows: Tensor, entries: Entries) -> Tensor:
        """Spread windows over pixels: the transpose of `pool`."""
        nodes = self.from_windows(windows)
        return (
            _Interpolate.apply(self, nodes, *entries) if len(entries) == 2 else gather(entries[:3], entries[3:], nodes)
        )

    def spread(self, pixels: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """From pixels to nodes, one pair of taps after the other; differentiable in u and v."""
        nodes = pixels.new_zeros(pixels.shape[0], self.n_nodes)
        for index, weight in self._taps_by_pairs(u, v):
            update = pixels * weight
            if nodes.device.type == "cpu":
                add = nodes.index_add if update.requires_grad else nodes.index_add_
                nodes = add(1, index, update)
            else:  # index_put sorts, so that sums are repeatable on CUDA
                rows = torch.arange(len(nodes), device=nodes.device)[:, None]
                nodes = nodes.index_put((rows, index[None]), update, accumulate=True)
        return nodes

    def interpolate(self, nodes: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """From nodes to pixels; differentiable in u and v."""
        pixels = nodes.new_zeros(nodes.shape[0], u.shape[0])
        for index, weight in self._taps_by_pairs(u, v):
            pixels = pixels + nodes[:, index] * weight
        return pixels

    def to_windows(self, nodes: Tensor) -> Tensor:
        """Filter."""
        nodes = nodes.reshape(-1, self.n_radial, self.n_angular)
        if self.window == "cosine":
            return nodes[:, 1:-1].reshape(len(nodes), -1)
        band = window_band(self.order, self.oversampling, back=False)
        rings = banded(nodes, band, -2, self.n_rings, "zero")
        around = torch.cat((rings[..., -self.pad :], rings, rings[..., : self.pad]), -1)
        return banded(around, band, -1, self.n_wedges, "zero").reshape(len(nodes), -1)

    def from_windows(self, windows: Tensor) -> Tensor:
        """Return nodes from windows: the transpose of `to_windows`."""
        windows = windows.reshape(-1, self.n_rings, self.n_wedges)
        if self.window == "cosine":
            return nn.functional.pad(windows, (0, 0, 1, 1)).reshape(len(windows), -1)
        band, reach = window_band(self.order, self.oversampling, back=True), GAUSSIAN_REACH
        around = torch.cat((windows[..., -reach:], windows, windows[..., :reach]), -1)
        angular = banded(around, band, -1, self.n_angular, "zero")
        return banded(angular, band._replace(before=2 * reach), -2, self.n_radial, "zero").reshape(len(windows), -1)

    def _taps(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First node and weights on both axes; radial nodes are shifted by the padding."""
        if self.window == "cosine":
            first_u, weight_u = cosine_taps(u, self.transition)
            first_v, weight_v = cosine_taps(v, self.transition)
        else:
            first_u, weight_u = spline_taps(u * self.oversampling, self.order)
            first_v, weight_v = spline_taps(v * self.oversampling, self.order)
        return first_u + self.pad, weight_u, first_v, weight_v

    def _rows(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Entries a pixel, and the column and value of each, dropping zeros and what lies off the rings."""
        first_u, weight_u, first_v, weight_v = self._taps(u, v)
        step = torch.arange(self.order)
        radial, angular = first_u[:, None] + step, torch.remainder(first_v[:, None] + step, self.n_angular)
        weight_u = torch.where((radial >= 0) & (radial < self.n_radial), weight_u, 0.0).to(self.dtype)
        value = weight_u[:, :, None] * weight_v.to(self.dtype)[:, None, :]
        kept = value != 0
        columns = (radial.int() * self.n_angular)[:, :, None] + angular.int()[:, None, :]
        return kept.sum((1, 2)), columns[kept], value[kept]

    def _taps_by_pairs(self, u: Tensor, v: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the node of every pixel and its weight, one radial and one angular tap at a time."""
        first_u, weight_u, first_v, weight_v = self._taps(u, v)
        for a in range(self.order):
            radial = first_u + a
            inside = (radial >= 0) & (radial < self.n_radial)
            share = torch.where(inside, weight_u[..., a], torch.zeros_like(weight_u[..., a])).to(self.dtype)
            row = radial.clamp(0, self.n_radial - 1) * self.n_angular
            for b in range(self.order):
                column = torch.remainder(first_v + b, self.n_angular)
                yield row + column, share * weight_v[..., b].to(self.dtype)


class _Spread(torch.autograd.Function):
    """`Nodes.spread` in runs, with taps computed on the fly; linear, so nothing is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, nodes: Nodes, pixels: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.parts = nodes, u, v
        sums = pixels.new_zeros(pixels.shape[0], nodes.n_nodes)
        for i in range(0, len(u), _RUN):
            run = slice(i, i + _RUN)
            for index, weight in nodes._taps_by_pairs(u[run], v[run]):
                sums.index_add_(1, index, pixels[:, run] * weight)
        return sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        nodes, u, v = ctx.parts
        return None, _Interpolate.apply(nodes, grads[0].contiguous(), u, v), None, None


class _Interpolate(torch.autograd.Function):
    """`Nodes.interpolate` in runs, with taps computed on the fly."""

    @staticmethod
    def forward(ctx: Any, nodes: Nodes, values: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.parts = nodes, u, v
        pixels = values.new_empty(values.shape[0], len(u))
        for i in range(0, len(u), _RUN):
            run = slice(i, i + _RUN)
            pixels[:, run] = nodes.interpolate(values, u[run], v[run])
        return pixels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        nodes, u, v = ctx.parts
        return None, _Spread.apply(nodes, grads[0].contiguous(), u, v), None, None
