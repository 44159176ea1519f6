"""Averages of products of maps: over the whole picture (around the torus), or over windows at the maps' own samples."""

from __future__ import annotations

import copy
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from ...foveation import PoolingWindows
from ._lags import autocovariance, lag_products, lag_waves
from ._phase import mean_products, mean_square, moments


class Averages(Protocol):
    """What both kinds do; x is (b, ..., h, w), and averages have the windows in place of (h, w)."""

    windowed: bool

    def mean(self, x: Tensor) -> Tensor:
        """Average."""
        ...

    def lagged(self, x: Tensor) -> Tensor:
        """Average of x(p) x(p + lag), (..., n_lags, W)."""
        ...

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        """Average of every product, (..., m, h, w) and (..., n, h, w) to (..., m, n, W)."""
        ...

    def moments(self, x: Tensor) -> Tensor:
        """Mean, and second to fourth moment about it, (..., 4, W)."""
        ...

    def extremes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Minimum and maximum."""
        ...

    def ones(self, x: Tensor) -> Tensor | float:
        """Average of one: nothing for windows that see nothing, for maps shaped like x."""
        return 1.0

    def squares(self, x: Tensor) -> Tensor:
        """Average square."""
        return self.mean(x.square())

    def residual(self, centered: Tensor) -> Tensor:
        """Average of what has no mean over the whole picture."""
        return self.mean(centered)

    def covariance(self, a: Tensor, b: Tensor) -> Tensor:
        """Average product about the averages, place by place."""
        a, b = a.double(), b.double()
        return self.mean(a * b) - self.mean(a) * self.mean(b)


class WholePicture(Averages):
    """One average a map. Pictures join at their edges, as they do for the pyramid's filters."""

    windowed = False

    def __init__(self, shape_px: tuple[int, int], lags: Tensor) -> None:
        self._exact = lag_waves(shape_px, lags)
        self._waves: dict[tuple[torch.dtype, str], tuple[Tensor, ...]] = {}

    def mean(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))[..., None]

    def squares(self, x: Tensor) -> Tensor:
        return mean_square(x)[..., None]

    def covariance(self, a: Tensor, b: Tensor) -> Tensor:
        return self.mean((a - a.mean((-2, -1), keepdim=True)) * (b - b.mean((-2, -1), keepdim=True)))

    def residual(self, centered: Tensor) -> Tensor:
        return centered.new_zeros(*centered.shape[:-2], 1)

    def lagged(self, x: Tensor) -> Tensor:
        key = (x.dtype, str(x.device))
        if key not in self._waves:
            self._waves[key] = tuple(part.to(x.device, x.dtype) for part in self._exact)
        return autocovariance(x, self._waves[key])[..., None]

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        return mean_products(a, b)[..., None]

    def moments(self, x: Tensor) -> Tensor:
        return moments(x)[..., None]

    def extremes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.amin((-2, -1))[..., None], x.amax((-2, -1))[..., None]  # ties share the slope


#: Mid-points of pairs of samples lie on samples or half-way between them, on either axis.
_OFFSETS = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))


class WindowAverages(Averages):
    """Averages over windows evaluated at the samples, and for lags at the mid-point of each pair inside the picture.

    Parameters
    ----------
    windows
        At the picture's own pixels.
    shape_px, stride_px
        The maps' samples, as in `PoolingWindows.at`.
    lags
        (n_lags, 2), down and right; the first is (0, 0).
    """

    windowed = True

    def __init__(
        self, windows: PoolingWindows, shape_px: tuple[int, int], stride_px: tuple[float, float], lags: Tensor
    ) -> None:
        self._gaze: Any = None
        self._grids = [
            windows.at(shape_px, stride_px, offset_px=(down * stride_px[0], right * stride_px[1]))
            for down, right in _OFFSETS
        ]
        kind = (lags % 2) @ torch.tensor([2, 1])
        self._groups = [
            (grid, lags[kind == k].tolist()) for k, grid in enumerate(self._grids) if bool((kind == k).any())
        ]
        order = torch.cat([(kind == k).nonzero()[:, 0] for k in range(4)])
        self._order = torch.argsort(order)
        self._shape = shape_px
        self._shares: dict[tuple[torch.dtype, str], Tensor] = {}

    def look(self, gaze: Any) -> Self:
        """Return the same for a gaze, (2,) or (b, 2) in degrees; None is the windows' own."""
        if gaze is None:
            return self
        twin = copy.copy(self)
        twin._gaze = gaze
        return twin

    def mean(self, x: Tensor) -> Tensor:
        return self._pool(self._grids[0], x)

    def ones(self, x: Tensor) -> Tensor:
        return self._share_like(x)[..., 0, :].sign()

    def lagged(self, x: Tensor) -> Tensor:
        pooled = [self._pool(grid, lag_products(x, lags)) for grid, lags in self._groups]
        means = torch.cat(pooled, -2)[..., self._order.to(x.device), :]
        share = self._share_like(x)
        seen = (share > 0) & (share[..., :1, :] > 0)
        return torch.where(seen, means / share.clamp(min=torch.finfo(share.dtype).tiny), 0.0)

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        return self._pool(self._grids[0], a[..., :, None, :, :] * b[..., None, :, :, :])

    def moments(self, x: Tensor) -> Tensor:
        wide = x.double()  # powers about the windows' own means come by subtraction
        square = wide * wide
        first, second, third, fourth = self.mean(
            torch.stack((wide, square, square * wide, square * square), -3)
        ).unbind(-2)  # fmt: skip
        about = (
            first, (second - first**2).clamp(min=0), third - 3 * first * second + 2 * first**3,
            (fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4).clamp(min=0),
        )  # fmt: skip
        return torch.stack(about, -2).to(x.dtype)

    def extremes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Minimum and maximum inside the windows' half-maximum contours; the average where that holds no pixel."""
        grid = self._grids[0]
        index, inside = self._nearest(grid, x)
        flat, start = x.flatten(-2), self.mean(x)
        start = torch.cat((start, start[..., :1]), -1)  # one more bin for pixels of no window
        index = torch.where(inside, index, grid.n_windows).flatten(-2)[:, None].expand_as(flat)
        ends = (start.scatter_reduce(-1, index, flat, way, include_self=False) for way in ("amin", "amax"))
        low, high = (end[..., :-1] for end in ends)
        return low, high

    def _nearest(self, grid: PoolingWindows, x: Tensor) -> tuple[Tensor, Tensor]:
        gaze = grid.fixation_deg if self._gaze is None else self._gaze
        eccentricity, angle = (
            torch.as_tensor(part, device=x.device) for part in grid.display.polar(torch.as_tensor(gaze).detach().cpu())
        )
        rings = torch.log(eccentricity.clamp(min=1e-9) / grid.min_eccentricity_deg) / grid.ring_spacing - 1
        ring = rings.round().long()
        wedge = (angle / grid.wedge_spacing_rad).round().long() % grid.n_wedges
        inside = (ring >= 0) & (ring < grid.n_rings)
        index = ring * grid.n_wedges + wedge
        return index.expand(len(x), *x.shape[-2:]), inside.expand(len(x), *x.shape[-2:])

    def _share_like(self, x: Tensor) -> Tensor:
        share = self._share(x)
        return share.reshape(len(share), *[1] * (x.ndim - 3), *share.shape[1:])

    def _share(self, x: Tensor) -> Tensor:
        """How much of each window's pairs lie inside the picture, (1 or b, n_lags, W); the first is 0 or 1."""
        key = (x.dtype, str(x.device))
        if self._gaze is None and key in self._shares:
            return self._shares[key]
        batch = 1 if self._gaze is None or self._gaze.ndim == 1 else len(x)
        ones = x.new_ones(batch, *self._shape)
        with torch.no_grad():
            pooled = [self._pool(grid, lag_products(ones, lags)) for grid, lags in self._groups]
            share = torch.cat(pooled, -2)[..., self._order.to(x.device), :]
        if self._gaze is None:
            self._shares[key] = share
        return share

    def _pool(self, grid: PoolingWindows, x: Tensor) -> Tensor:
        pooled = grid(x.reshape(len(x), -1, *x.shape[-2:]), self._gaze)
        return pooled.reshape(*x.shape[:-2], -1)
