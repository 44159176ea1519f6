"""Priorities without a model: chance, and matching pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._check import as_rng, check, finite
from ..nets import Preprocess
from . import _maps

_MEAN = (123.68, 116.779, 103.939)


class ChancePriority:
    """Priority without a model: independent uniform noise at every pixel and fixation.

    Parameters
    ----------
    rng
        Seed or generator of calls; `simulate` gives every display its own.

    Examples
    --------
    >>> ChancePriority(rng=0)(torch.zeros(2, 1, 4, 6), torch.zeros(1, 1, 2, 2)).shape
    torch.Size([2, 4, 6])
    """

    fingerprint = "chance"

    def __init__(self, *, rng: int | np.random.Generator = 0) -> None:
        self.rng = as_rng(rng)

    def __call__(
        self, image: Tensor, target: Tensor, fixation_deg: Any = (0.0, 0.0), *, background: Any = 0.0
    ) -> Tensor:
        """Return noise in [0, 1), (b, h, w)."""
        return self.look(image, target, rngs=[self.rng] * len(image))([(0, 0)] * len(image))

    def look(self, image: Tensor, target: Tensor, *, background: Any = 0.0, rngs: Any = None) -> Any:
        """Return a function of the gaze, as `EccNet.look`."""
        check_pictures("image", image)
        streams = [self.rng] * len(image) if rngs is None else list(rngs)
        return _Noise(image, streams)


class _Noise:
    def __init__(self, image: Tensor, rngs: list[np.random.Generator]) -> None:
        self.image, self.rngs = image, rngs

    def __call__(self, gaze_px: Sequence[tuple[int, int]], items: Sequence[int] | None = None) -> Tensor:
        chosen = range(len(self.image)) if items is None else items
        shape = self.image.shape[-2:]
        return torch.stack([torch.from_numpy(self.rngs[i].random(tuple(shape))) for i in chosen]).to(self.image)

    def changed(self, item: int, box: tuple[int, int, int, int]) -> None:
        """Take note of nothing."""


class PixelPriority:
    """Pixel matching: the target's pixels slide over the picture's, no network.

    The map is the cross-correlation of both pictures' codes less their channel means, blurred by a Gaussian of sigma
    3 px (7 px wide), as the control of Gupta et al. 2021. It is computed once a picture: what is painted over later
    changes nothing.

    Parameters
    ----------
    preprocess
        How codes are made; default VGG-16's of Caffe.

    Examples
    --------
    >>> PixelPriority()(torch.rand(2, 1, 24, 26), torch.rand(1, 1, 5, 5)).shape
    torch.Size([2, 24, 26])
    """

    def __init__(self, *, preprocess: Preprocess | None = None) -> None:
        caffe = Preprocess(range="0-255", mean=_MEAN, std=(1.0, 1.0, 1.0), size_px=None)
        self.preprocess = caffe if preprocess is None else preprocess
        self.fingerprint = f"pixels {self.preprocess!r}"

    def __call__(
        self, image: Tensor, target: Tensor, fixation_deg: Any = (0.0, 0.0), *, background: Any = 0.0
    ) -> Tensor:
        """Return the map (b, h, w), its smallest value 0; it does not depend on gaze or background."""
        check_pictures("image", image)
        check_pictures("target", target)
        x, t = self.preprocess(image).double(), self.preprocess(target).double()
        size = [x.shape[d] + t.shape[d] - 1 for d in (-2, -1)]
        product = torch.fft.rfft2(x, size) * torch.fft.rfft2(t, size).conj()
        matched = torch.fft.irfft2(product, size).sum(1)
        shift = [(t.shape[d] - 1) // 2 for d in (-2, -1)]
        matched = matched.roll(shift, (-2, -1))[:, : x.shape[-2], : x.shape[-1]]
        smooth = _maps.smooth(matched, 7, 3.0)
        return (smooth - smooth.amin((-2, -1), keepdim=True)).to(image)

    def look(self, image: Tensor, target: Tensor, *, background: Any = 0.0, rngs: Any = None) -> Any:
        """Return a function of the gaze, as `EccNet.look`."""
        return _Fixed(self(image, target))


class _Fixed:
    def __init__(self, maps: Tensor) -> None:
        self.maps = maps

    def __call__(self, gaze_px: Sequence[tuple[int, int]], items: Sequence[int] | None = None) -> Tensor:
        return self.maps if items is None else self.maps[list(items)]

    def changed(self, item: int, box: tuple[int, int, int, int]) -> None:
        """Take note of nothing."""


def check_pictures(name: str, x: Any) -> None:
    """Raise unless `x` is a batch of finite floating pictures."""
    check(isinstance(x, Tensor) and x.is_floating_point(), name, "a floating torch.Tensor",
          getattr(x, "dtype", type(x).__name__), "Linear light in [0, 1].", TypeError)  # fmt: skip
    good = x.ndim == 4 and x.shape[1] in (1, 3) and x.numel() > 0
    check(good, name, "(batch, 1 or 3 channels, height, width)", tuple(x.shape), "Add the batch axis with x[None].")
    finite(name, x)
