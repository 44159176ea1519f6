"""The convolutional halves: encoders up to relu4_1, decoders that undo them, and readers of their files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Widths of the decoder that the paper used, "up" where it doubles the picture (nearest neighbours).
PUBLISHED_DECODER = (512, 256, "up", 256, 256, 256, 128, "up", 128, 64, "up", 64, 3)
#: Widths of the decoder that comes with this package: 1.7 million parameters.
LIGHT_DECODER = (512, 256, "up", 128, 96, "up", 64, 48, "up", 32, 3)


class FeatureDecoder(nn.Module):
    """A picture in sRGB codes from feature maps: 3 x 3 convolutions with reflected edges and three doublings.

    Parameters
    ----------
    widths
        Channels before and after every convolution, and "up" where the map is doubled.

    Notes
    -----
    `scale`, a buffer, divides the features; it brings those of any encoder to a size near one. Parameters are numbered
    like those of the published decoder.

    Examples
    --------
    >>> FeatureDecoder((8, 4, "up", 3))(torch.rand(1, 8, 5, 6)).shape
    torch.Size([1, 3, 10, 12])
    """

    scale: Tensor

    def __init__(self, widths: Sequence[int | str] = LIGHT_DECODER) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = int(widths[0])
        for width in widths[1:]:
            if width == "up":
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
                continue
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, int(width), 3), nn.ReLU()]
            channels = int(width)
        self.layers = nn.Sequential(*layers[:-1])  # the picture itself is not rectified
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return codes (b, 3, h * 8, w * 8) of features (b, c, h, w); not clipped."""
        codes: Tensor = self.layers(features / self.scale)
        return codes


def published_encoder() -> nn.Sequential:
    """Return VGG-19 up to relu4_1 as the published file numbers its layers: a 1 x 1 colour transform comes first.

    Examples
    --------
    >>> len(published_encoder())
    31
    """
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    channels = 3
    for width in (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512):
        if width == "pool":
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            continue
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, int(width), 3), nn.ReLU()]
        channels = int(width)
    return nn.Sequential(*layers)
