"""The spatial step: from frames to the responses of quadrature pairs at the centres of every scale.

Filters of directions d and d + 180 and of all temporal frequencies share one pair. A bank returns, for every frame,
``(odd, even, plain)``: the products with the sine and the cosine carrier, (frames, pairs), and with the envelope alone,
(frames, centres). A pair is (scale, direction < 180, y, x).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .grid import Scale

_SUPPORT = 1e-3  # pymoten leaves out pixels where |sin| + |cos| of the Gabor is not above this


class Products(NamedTuple):
    """What a bank returns."""

    odd: Tensor
    even: Tensor
    plain: Tensor


class _Factors(NamedTuple):
    """One scale's Gaussians and carriers along an axis, (pixels, kinds, centres), of the directions in [0, 90]."""

    along_x: Tensor
    along_y: Tensor


class SeparableBank:
    """Exact Gabors by two matrix products, because a round Gabor is the sum of two products of x and y factors.

    With n centres an axis and D directions below 180 a frame of P pixels takes about P n (D + 1) multiplications
    instead of P n^2 (2 D + 1), and memory is that of a few rows and columns.

    Carriers: cos(p + q) = cos p cos q - sin p sin q and sin(p + q) = sin p cos q + cos p sin q, with p along x, q along
    y (up); direction 180 - d has -p.
    """

    def __init__(self, scales: list[Scale], n_directions: int, y: np.ndarray, x: np.ndarray) -> None:
        self.n_at_once = max(8, 2**20 // (len(y) * len(x)))  # frames that are quickest together
        self.directions = np.arange(n_directions // 2) * (2 * np.pi / n_directions)
        self._oblique = [i for i, d in enumerate(self.directions) if 1e-9 < d < np.pi / 2 - 1e-9]
        self._upright = [i for i, d in enumerate(self.directions) if abs(d - np.pi / 2) <= 1e-9]
        self._scales = scales
        self._x = [torch.from_numpy(self._kinds(x, s.x, s, np.cos, +1)) for s in scales]
        self._y = [torch.from_numpy(self._kinds(y, s.y, s, np.sin, -1)) for s in scales]
        self._cache: dict[tuple[torch.dtype, torch.device], list[_Factors]] = {}

    def _kinds(self, at: np.ndarray, centers: np.ndarray, scale: Scale, part: np.ufunc, sign: int) -> np.ndarray:
        """Return (pixels, kinds, centres): the envelope, then cosine and sine of the axial or upright, the obliques."""
        distance = at[:, None] - centers
        envelope = np.exp(-(distance**2) / (2 * scale.sd**2))
        own = [0] if sign > 0 else self._upright
        phases = [sign * 2 * np.pi * scale.sf_cpi * part(self.directions[i]) * distance for i in (*own, *self._oblique)]
        kinds = [envelope, *(envelope * f(p) for p in phases for f in (np.cos, np.sin))]
        return np.stack(kinds, 1)

    @property
    def n_bytes(self) -> int:
        """Memory of the factors in float64."""
        return sum(f.numel() * 8 for f in (*self._x, *self._y))

    def _factors(self, like: Tensor) -> list[_Factors]:
        key = (like.dtype, like.device)
        if key not in self._cache:
            self._cache[key] = [_Factors(x.to(like), y.to(like)) for x, y in zip(self._x, self._y, strict=True)]
        return self._cache[key]

    def __call__(self, frames: Tensor) -> Products:
        """Return the products of frames (n, h, w)."""
        n, height, width = frames.shape
        factors = self._factors(frames)
        wide = torch.cat([f.along_x.flatten(1) for f in factors], 1)
        columns = (frames.reshape(-1, width) @ wide).view(n, height, -1).transpose(1, 2)  # (n, kinds and centres, h)
        parts = [
            self._scale(part, f)
            for part, f in zip(columns.split([f.along_x[0].numel() for f in factors], 1), factors, strict=True)
        ]
        return Products(*(torch.cat(p, 1) for p in zip(*parts, strict=True)))

    def _scale(self, columns: Tensor, f: _Factors) -> Products:
        """Finish one scale: columns is (n, x kinds and x centres, h)."""
        n, _, height = columns.shape
        n_x, n_y = f.along_x.shape[-1], f.along_y.shape[-1]
        columns = columns.reshape(n, -1, n_x, height)
        odd: dict[int, Tensor] = {}
        even: dict[int, Tensor] = {}
        flat = _rows(columns[:, :3], f.along_y[:, :1])  # the envelope along y: (n, 3, n_x, 1, n_y)
        plain, even[0], odd[0] = flat[:, 0, :, 0], flat[:, 1, :, 0], flat[:, 2, :, 0]
        if self._upright:
            upright = _rows(columns[:, :1], f.along_y[:, 1:3])[:, 0]
            even[self._upright[0]], odd[self._upright[0]] = upright[:, :, 0], upright[:, :, 1]
        first = 3 if self._upright else 1
        for k, i in enumerate(self._oblique):
            both = _rows(columns[:, 3 + 2 * k : 5 + 2 * k], f.along_y[:, first + 2 * k : first + 2 * k + 2])
            cc, cs, sc, ss = both[:, 0, :, 0], both[:, 0, :, 1], both[:, 1, :, 0], both[:, 1, :, 1]
            mirrored = len(self.directions) - i
            even[i], even[mirrored] = cc - ss, cc + ss
            odd[i], odd[mirrored] = cs + sc, cs - sc
        order = range(len(self.directions))
        stacked = [torch.stack([part[i] for i in order], 1).transpose(2, 3).reshape(n, -1) for part in (odd, even)]
        return Products(*stacked, plain.transpose(1, 2).reshape(n, n_x * n_y))


def _rows(columns: Tensor, along_y: Tensor) -> Tensor:
    """Contract (n, kinds, n_x, h) with (h, kinds, n_y): (n, kinds, n_x, kinds, n_y)."""
    height, kinds, n_y = along_y.shape
    out = columns.reshape(-1, height) @ along_y.reshape(height, -1)
    return out.view(*columns.shape[:-1], kinds, n_y)


class CroppedBank:
    """pymoten's Gabors: those of `SeparableBank` with pixels near zero left out, so that they are not separable.

    Kernels are stored on the pixels of their support, as many for all centres of a scale.
    """

    n_at_once = 24  # frames: what is gathered stays in the cache

    def __init__(self, scales: list[Scale], n_directions: int, y: np.ndarray, x: np.ndarray) -> None:
        self.directions = np.arange(n_directions // 2) * (2 * np.pi / n_directions)
        self._index, self._kernels = [], []
        for scale in scales:
            rows, columns = _boxes(y, scale.y, scale.sd), _boxes(x, scale.x, scale.sd)  # (centres, box)
            index = rows[:, None, :, None] * len(x) + columns[None, :, None, :]  # (n_y, n_x, box h, box w)
            far_y = y[rows] - scale.y[:, None]
            far_x = x[columns] - scale.x[:, None]
            kernels = self._make(far_y[:, None, :, None], far_x[None, :, None, :], scale)
            index, kernels = _packed(index.reshape(scale.n_centers, -1), kernels)
            self._index.append(torch.from_numpy(index))
            self._kernels.append(torch.from_numpy(kernels))
        self._n_pixels = len(y) * len(x)
        self._cache: dict[tuple[torch.dtype, torch.device], list[tuple[Tensor, Tensor]]] = {}

    def _make(self, far_y: np.ndarray, far_x: np.ndarray, scale: Scale) -> np.ndarray:
        """Return (centres, 2 D + 1, box): sines, cosines, the envelope."""
        envelope = np.exp(-(far_x**2 + far_y**2) / (2 * scale.sd**2))
        d = self.directions.reshape(-1, 1, 1, 1, 1)
        phase = 2 * np.pi * scale.sf_cpi * (np.cos(d) * far_x - np.sin(d) * far_y)
        odd, even = envelope * np.sin(phase), envelope * np.cos(phase)
        support = np.abs(odd) + np.abs(even) > _SUPPORT
        made = np.concatenate([odd * support, even * support, (envelope * (envelope > _SUPPORT))[None]])
        return made.reshape(len(made), scale.n_centers, -1).transpose(1, 0, 2)

    @property
    def n_bytes(self) -> int:
        """Memory of the kernels in float64."""
        return sum(k.numel() * 8 for k in self._kernels)

    def _on(self, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        key = (like.dtype, like.device)
        if key not in self._cache:
            pairs = zip(self._index, self._kernels, strict=True)
            self._cache[key] = [(index.to(like.device), kernels.to(like)) for index, kernels in pairs]
        return self._cache[key]

    def __call__(self, frames: Tensor) -> Products:
        """Return the products of frames (n, h, w)."""
        n, half = len(frames), len(self.directions)
        pixels = frames.reshape(n, -1).T
        gathered = pixels.contiguous()
        odd, even, plain = [], [], []
        for index, kernels in self._on(frames):
            if index.shape[1] == self._n_pixels:  # the support is the picture
                out = (kernels.reshape(-1, self._n_pixels) @ pixels).view(len(index), -1, n)
            else:
                crops = gathered.index_select(0, index.reshape(-1)).view(*index.shape, n)
                out = torch.bmm(kernels, crops)  # (centres, 2 D + 1, n)
            out = out.permute(2, 1, 0)
            odd.append(out[:, :half].reshape(n, -1))
            even.append(out[:, half : 2 * half].reshape(n, -1))
            plain.append(out[:, -1])
        return Products(torch.cat(odd, 1), torch.cat(even, 1), torch.cat(plain, 1))


def _packed(index: np.ndarray, kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the pixels where one kernel of a centre is not 0: corners of the boxes go."""
    used = (kernels != 0).any(1)
    n = int(used.sum(1).max())
    order = np.argsort(~used, axis=1, kind="stable")[:, :n]  # pixels stay in their order
    packed = np.take_along_axis(kernels, order[:, None], 2)
    return np.take_along_axis(index, order, 1), np.ascontiguousarray(packed)


def _boxes(at: np.ndarray, centers: np.ndarray, sd: float) -> np.ndarray:
    """Return (centres, n) pixel indices that hold every pixel within the support; n is the same for all centres."""
    reach = sd * np.sqrt(2 * np.log(np.sqrt(2) / _SUPPORT))
    low = np.searchsorted(at, centers - reach, "left")
    high = np.searchsorted(at, centers + reach, "right")
    n = int((high - low).max())
    start = np.clip(low, 0, len(at) - n)
    return start[:, None] + np.arange(n)
