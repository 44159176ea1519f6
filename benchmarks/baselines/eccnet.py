"""eccNET the plain way: the whole view through the whole network at every fixation, one average pool a ring.

Written from the published rule (Gupta et al. 2021) with torch and OpenCV: the released code needs TensorFlow 2 and
libraries of its time.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.baselines.eccnet_pooling import MaskedPools
from neuroperc.foveation import RingTable

SLOPES = (0.0, 0.0, 0.07, 0.16, 0.32)


class PlainEccNet:
    """A priority ``(image, target, fixation_deg) -> map`` for pictures in linear light, one at a time."""

    def __init__(self, backbone, *, px_per_deg=30.0, layers=(3, 4, 5), slopes=SLOPES, kernels=((3, 1), (5, 3)),
                 background=0.0, margin=64, data_driven=True, method="average") -> None:  # fmt: skip
        self.features = getattr(backbone.net, "features", backbone.net)
        self.preprocess = backbone.preprocess.changed({"size_px": None, "resize_px": None})
        self.px_per_deg, self.layers, self.slopes, self.kernels = px_per_deg, layers, slopes, kernels
        self.background, self.margin, self.data_driven, self.method = background, margin, data_driven, method
        self.n_blocks = sum(isinstance(layer, nn.MaxPool2d) for layer in self.features)
        self.n_blocks += not isinstance(self.features[-1], nn.MaxPool2d)

    @torch.no_grad()
    def __call__(self, image: Tensor, target: Tensor, fixation_deg) -> Tensor:
        """Return (1, h, w)."""
        height, width = image.shape[-2:]
        x, y = np.asarray(fixation_deg, dtype=float).reshape(2) * self.px_per_deg
        gaze = math.floor((height - 1) / 2 - y + 0.5), math.floor((width - 1) / 2 + x + 0.5)
        pad = height + self.margin
        canvas = torch.full((1, image.shape[1], height + 2 * pad, width + 2 * pad), self.background)
        canvas[..., pad : pad + height, pad : pad + width] = image
        view = self.preprocess(canvas)[..., gaze[0] : gaze[0] + 2 * pad, gaze[1] : gaze[1] + 2 * pad]
        searched, wanted = self._search(view), self._target(self.preprocess(target))
        mixed = self._mixed([self._match(s, t) for s, t in zip(searched, wanted, strict=True)])
        full = cv2.resize(mixed, (2 * pad, 2 * pad), interpolation=cv2.INTER_AREA)
        full = full - full.min()
        full[: self.margin], full[-self.margin :], full[:, : self.margin], full[:, -self.margin :] = 0, 0, 0, 0
        row, column = pad - gaze[0], pad - gaze[1]
        shown = np.zeros((height, width))
        rows, columns = (np.arange(a, a + n) for a, n in ((row, height), (column, width)))
        r, c = ((v >= 0) & (v < 2 * pad) for v in (rows, columns))
        shown[np.ix_(r, c)] = full[np.ix_(rows[r], columns[c])]
        return torch.from_numpy(shown).to(image)[None]

    def _plain(self, x: Tensor) -> Tensor:
        if self.method == "max":
            return functional.max_pool2d(x, 2, ceil_mode=True)
        return functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)

    def _blocks(self, x: Tensor, rings: int | None):
        """Yield every block's last map before its pool; `rings` is the view's side, or None for plain pools."""
        stage = 1
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                yield x
                x, stage = self._pool(x, stage, rings), stage + 1
            else:
                x = layer(x)
        if stage == self.n_blocks:
            yield x

    def _pool(self, x: Tensor, stage: int, rings: int | None) -> Tensor:
        if rings is None or stage == self.n_blocks:  # nothing reads the last pool
            return self._plain(x)
        table = RingTable.eccnet(
            stage, resolution_px=(rings, rings), px_per_deg=self.px_per_deg, slope=self.slopes[stage - 1]
        )
        return MaskedPools(table.windows_px, table.radii_px, tuple(x.shape[-2:]), merge=False)(x)

    def _search(self, view: Tensor) -> list[Tensor]:
        found = {}
        rings = None if self.slopes is None else view.shape[-1]
        for level, x in enumerate(self._blocks(view, rings), start=1):
            if level in self.layers:
                found[level] = x
                for _ in range(level, self.n_blocks):
                    found[level] = self._plain(found[level])
        return [found[level] for level in self.layers]

    def _target(self, target: Tensor) -> list[Tensor]:
        found = {}
        for level, x in enumerate(self._blocks(target, None), start=1):
            if level in self.layers:
                found[level] = x
                for _ in range(level, self.n_blocks + 1):
                    found[level] = self._plain(found[level])
        return [found[level] for level in self.layers]

    def _match(self, features: Tensor, template: Tensor) -> np.ndarray:
        pads = [pad for k in (template.shape[-1], template.shape[-2]) for pad in ((k - 1) // 2, k // 2)]
        return functional.conv2d(functional.pad(features, pads), template)[0, 0].numpy()

    def _mixed(self, matches: list[np.ndarray]) -> np.ndarray:
        weights = np.array([m.max() for m in matches]) if self.data_driven else np.ones(len(matches))
        weights = weights / weights.sum()
        scaled = [cv2.normalize(m, None, 0.0, 1.0, cv2.NORM_MINMAX, cv2.CV_32F) for m in matches]
        out = sum(w * m.astype(np.float64) for w, m in zip(weights, scaled, strict=True))
        (k1, s1), (k2, s2) = self.kernels
        for _ in range(3):
            out = out + cv2.GaussianBlur(out, (k1, k1), s1) - cv2.GaussianBlur(out, (k2, k2), s2)
        return out
