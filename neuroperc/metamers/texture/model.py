"""`TextureModel`: Portilla and Simoncelli's statistics as a model whose metamers are textures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..._check import check, fail, finite, integer
from ...display import Display
from ..models import _PooledModel
from .averages import Averages, WholePicture, WindowAverages
from .lags import neighborhood
from .layout import DEFAULT_WEIGHTS, Group, complete, groups
from .maps import TextureMaps
from .measure import measure


class TextureModel(_PooledModel):
    """doc"""

    def __init__(
        self,
        display: Display,
        *,
        scaling: float | None = None,
        n_scales: int = 4,
        n_orientations: int = 4,
        neighborhood_px: int = 7,
        window: Literal["gaussian", "cosine"] = "cosine",
        min_eccentricity_deg: float = 0.5,
        max_eccentricity_deg: float | None = None,
        fixation_deg: Any = (0.0, 0.0),
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            display, scaling=scaling, window=window, min_eccentricity_deg=min_eccentricity_deg,
            max_eccentricity_deg=max_eccentricity_deg, fixation_deg=fixation_deg,
        )  # fmt: skip
        self.n_scales = integer("n_scales", n_scales)
        self.n_orientations = integer("n_orientations", n_orientations)
        self.neighborhood_px = integer("neighborhood_px", neighborhood_px)
        check(neighborhood_px % 2 == 1, "neighborhood_px", "odd", neighborhood_px)
        self.shapes_px = [display.resolution_px]
        for _ in range(n_scales):
            self.shapes_px.append((-(-self.shapes_px[-1][0] // 2), -(-self.shapes_px[-1][1] // 2)))
        smallest = min(self.shapes_px[-1])
        if smallest < max(neighborhood_px, 2):
            remedy = f"The coarsest of {n_scales} scales has {self.shapes_px[-1]} samples: use fewer scales."
            fail("neighborhood_px", f"at most {smallest}", neighborhood_px, remedy)
        self._lags = neighborhood(neighborhood_px)
        self._maps = TextureMaps(self.shapes_px, n_orientations)
        self._averages = [self._average(shape) for shape in self.shapes_px]
        self._weights = self._check_weights({} if weights is None else weights)

    def _average(self, shape: tuple[int, int]) -> Averages:
        if self.windows is None:
            return WholePicture(shape, self._lags)
        stride = self.display.resolution_px[0] / shape[0], self.display.resolution_px[1] / shape[1]
        return WindowAverages(self.windows, shape, stride, self._lags)

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Features."""
        found = self._measure(x, fixation_deg)
        table = self._groups(x.shape[1])
        weighted = {name: values * self._weight(name, values) for name, values in found.items()}
        own = torch.cat([weighted[name].flatten(2, -2) for name, group in table.items() if group.per_channel], 2)
        between = [
            weighted[name].reshape(len(x), -1, self.n_windows) for name, group in table.items() if not group.per_channel
        ]
        return torch.cat([own.flatten(1)] + [values.flatten(1) for values in between], 1)

    def statistics(self, x: Tensor, fixation_deg: Any = None) -> dict[str, Tensor]:
        """Groups."""
        found = self._measure(x, fixation_deg)
        tables = {name: complete(name, values, self._lags, self.n_orientations) for name, values in found.items()}
        return {name: values[..., 0] if self.windows is None else values for name, values in tables.items()}

    def _measure(self, x: Tensor, fixation_deg: Any) -> dict[str, Tensor]:
        self._check_picture(x)
        picture = x if x.dtype == torch.float64 else x.float()
        averages = self._averages
        if self.windows is not None and fixation_deg is not None:
            gaze = self.display.check_fixation(fixation_deg, batch=len(x))
            averages = [average.look(gaze) for average in averages]
        return measure(picture, self._maps(picture), averages)

    def _groups(self, n_channels: int) -> dict[str, Group]:
        return groups(
            self.n_scales, self.n_orientations, len(self._lags) - 1,
            windowed=self.windows is not None, n_channels=n_channels,
        )  # fmt: skip

    def _check_weights(self, weights: Mapping[str, Any]) -> dict[str, Tensor]:
        known, out = self._groups(2), {}
        for name, value in (DEFAULT_WEIGHTS | dict(weights)).items():
            check(name in known, "weights", "of groups " + ", ".join(known), name)
            out[name] = torch.as_tensor(np.asarray(value, dtype=float))
            finite(f"weights[{name!r}]", out[name])
            try:
                out[name] = out[name].expand(known[name].shape)
            except RuntimeError:
                fail(f"weights[{name!r}]", f"one number, or of shape {known[name].shape}", tuple(out[name].shape))
        return out

    def _weight(self, name: str, values: Tensor) -> Tensor | float:
        return self._weights[name].to(values)[..., None] if name in self._weights else 1.0
