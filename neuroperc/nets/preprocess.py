"""What a network's weights expect of a picture, written down once and applied in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from .._check import check, fail, one_of
from ..color import linear_to_srgb, luminance

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _size(name: str, value: Any) -> tuple[int, int]:
    """Return (h, w) as ints; one int is a square."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    whole = len(both) == 2 and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in both)
    check(whole, name, "one whole number of pixels or (height, width)", value)
    return both[0], both[1]


@dataclass(frozen=True)
class Preprocess:
    """How house images become the input of a network.

    Calling it takes linear light in [0, 1], shape (..., c, h, w) with 1 or 3 channels, and returns what the network
    eats: encoded, resized, cropped, with its channels in order, scaled and normalised, in that order.

    Parameters
    ----------
    encoding
        "srgb" for networks trained on ordinary picture files (nearly all), "linear" for those fed with light.
    range
        Numbers of a full-scale picture before `mean` and `std` are applied.
    channel_order
        Order in which the network takes its colour channels; `mean` and `std` are in this order.
    mean, std
        Per channel, in units of `range`. Their length is the number of channels: with one, the picture is reduced
        to its luminance.
    size_px
        (h, w) or one int: what the network sees; None leaves the size as it comes.
    resize_px
        Resize before a central crop to `size_px`: an int is the length of the shorter side, (h, w) is exact. None
        resizes the whole picture to `size_px`, so that nothing is cut off and its aspect ratio becomes the network's.
    interpolation
        Always with an anti-aliasing filter, except "nearest".

    Raises
    ------
    ValueError
        For an unknown option, unequal lengths of `mean` and `std`, a std of 0 or a crop larger than the picture.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.nets import Preprocess
    >>> caffe = Preprocess(range="0-255", channel_order="bgr", mean=(104, 117, 123), std=(1, 1, 1), size_px=224)
    >>> caffe(torch.zeros(2, 3, 100, 80)).shape
    torch.Size([2, 3, 224, 224])
    >>> caffe(torch.zeros(2, 3, 100, 80))[0, :, 0, 0].tolist()
    [-104.0, -117.0, -123.0]
    """

    encoding: Literal["srgb", "linear"] = "srgb"
    range: Literal["0-1", "0-255"] = "0-1"
    channel_order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    size_px: tuple[int, int] | int | None = (224, 224)
    resize_px: int | tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        one_of("encoding", self.encoding, ("srgb", "linear"))
        one_of("range", self.range, ("0-1", "0-255"))
        one_of("channel_order", self.channel_order, ("rgb", "bgr"))
        one_of("interpolation", self.interpolation, ("bilinear", "bicubic", "nearest"))
        mean, std = tuple(map(float, self.mean)), tuple(map(float, self.std))
        check(len(mean) == len(std) and len(mean) in (1, 3), "mean and std", "1 or 3 numbers each", (mean, std))
        check(all(s > 0 for s in std), "std", "above 0", std)
        # Frozen fields are brought to one form, so that equal settings compare and hash equal.
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)
        if self.size_px is not None:
            object.__setattr__(self, "size_px", _size("size_px", self.size_px))
        if self.resize_px is not None and not isinstance(self.resize_px, int):
            object.__setattr__(self, "resize_px", _size("resize_px", self.resize_px))

    @property
    def n_channels(self) -> int:
        """Channels the network takes."""
        return len(self.mean)

    def whole(self) -> Preprocess:
        """Return the same with nothing cut off: the whole picture is resized to `size_px`."""
        return replace(self, resize_px=None)

    def changed(self, changes: Preprocess | Mapping[str, Any] | None) -> Preprocess:
        """Return a full replacement as it is, a mapping of fields as changes to this one, None as no change."""
        if changes is None:
            return self
        if isinstance(changes, Preprocess):
            return changes
        if not isinstance(changes, Mapping):
            fail("preprocess", "a Preprocess, a mapping of its fields or None", changes, error=TypeError)
        unknown = sorted(set(changes) - set(self.__dataclass_fields__))
        check(not unknown, "preprocess", "a mapping of " + ", ".join(self.__dataclass_fields__), unknown)
        return replace(self, **changes)

    def __call__(self, images: Tensor) -> Tensor:
        """Return `images` as the network wants them; differentiable.

        Raises
        ------
        TypeError, ValueError
            When `images` are not float tensors of shape (..., c, h, w) with 1 or 3 channels.
        """
        _check_images(images)
        lead = images.shape[:-3]
        x = images.reshape(-1, *images.shape[-3:])
        x = luminance(x) if self.n_channels == 1 else x.expand(-1, 3, -1, -1)
        x = linear_to_srgb(x) if self.encoding == "srgb" else x
        x = self._crop(self._resize(x))
        x = x.flip(-3) if self.channel_order == "bgr" else x
        # One multiply-add: std and the range are folded together.
        full = 255.0 if self.range == "0-255" else 1.0
        scale = torch.tensor([full / s for s in self.std], dtype=x.dtype, device=x.device)[:, None, None]
        shift = torch.tensor([m / s for m, s in zip(self.mean, self.std, strict=True)], dtype=x.dtype, device=x.device)
        x = x * scale - shift[:, None, None]
        return x.reshape(*lead, *x.shape[-3:])

    def _resize(self, x: Tensor) -> Tensor:
        target = self._resized_px(x.shape[-2], x.shape[-1])
        if target is None or target == tuple(x.shape[-2:]):
            return x
        if self.interpolation == "nearest":
            return functional.interpolate(x, target, mode="nearest-exact")
        x = functional.interpolate(x, target, mode=self.interpolation, align_corners=False, antialias=True)
        # Cubic weights overshoot; picture files, on which these networks were trained, cannot.
        return x.clamp(0, 1) if self.interpolation == "bicubic" else x

    def _resized_px(self, height: int, width: int) -> tuple[int, int] | None:
        if self.resize_px is None:
            return self.size_px  # type: ignore[return-value]  # __post_init__ made it a pair
        if not isinstance(self.resize_px, int):
            return self.resize_px
        short, long = min(height, width), max(height, width)
        other = int(self.resize_px * long / short)
        return (self.resize_px, other) if height <= width else (other, self.resize_px)

    def _crop(self, x: Tensor) -> Tensor:
        if self.resize_px is None or self.size_px is None:
            return x
        height, width = _size("size_px", self.size_px)
        top, left = round((x.shape[-2] - height) / 2), round((x.shape[-1] - width) / 2)
        if top < 0 or left < 0:
            fail("size_px", f"at most the resized picture {tuple(x.shape[-2:])}", (height, width), "Raise resize_px.")
        return x[..., top : top + height, left : left + width]


def _check_images(images: Any) -> None:
    if not isinstance(images, Tensor):
        fail("images", "a torch tensor", type(images).__name__, "Convert with torch.as_tensor.", TypeError)
    if not images.is_floating_point():
        fail(
            "images", "floating point, linear light in [0, 1]", str(images.dtype),
            "Decode 8-bit codes first: srgb_to_linear(codes / 255).", TypeError,
        )  # fmt: skip
    shape = tuple(images.shape)
    ok = len(shape) >= 3 and shape[-3] in (1, 3) and min(shape) > 0
    check(ok, "images", "of shape (batch, 1 or 3 channels, height, width)", shape, "Add the batch axis with x[None].")
