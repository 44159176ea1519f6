"""Encoders with their decoders: features in which texture is exchanged, and the way back to a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ... import nets
from ..._check import fail, integer
from ...foveation import SteerablePyramid
from ...foveation.pyramid import SteerableBands
from ...nets.checkpoints import fit_state_dict, read_state_dict
from .networks import LIGHT_DECODER, PUBLISHED_DECODER, FeatureDecoder, published_encoder

#: Comes with the package; `<name>.json` beside it says how it was trained and on which pictures.
DECODER = Path(__file__).parents[1] / "weights" / "vgg16_relu4_1_decoder.safetensors"
_RELU4_1 = 19  # layers of VGG-16's `features` up to and with it


class Codec(Protocol):
    """What `NeuroFovea` asks of an encoder and its decoder.

    `encode` takes sRGB codes (b, c, h, w) and returns feature maps; `grids` says where their cells lie; `decode` turns
    such maps back into codes, which need not be clipped.
    """

    def encode(self, codes: Tensor) -> list[Tensor]:
        """Return feature maps (b, c_i, h_i, w_i)."""

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return codes (b, c, h, w)."""

    def grids(self, shape_px: tuple[int, int]) -> list[Grid]:
        """Return shape, stride and first position of the cells of every map, in pixels."""


Grid = tuple[tuple[int, int], tuple[float, float], tuple[float, float]]


class PyramidCodec(nn.Module):
    """A steerable pyramid and its inverse: needs no weights, and gives pictures back exactly.

    Texture is then Gaussian noise whose oriented bands have the picture's mean and standard deviation in every window.
    Phase and correlations between bands are lost, more than with a network's features. Colours are split into a sum
    and two differences first, so that windows keep the little chroma that most textures have. The picture is continued
    by its mirror image, because a pyramid's opposite edges touch.

    Parameters
    ----------
    n_scales
        Octaves; default as many as leave 16 cells on the shorter side of the coarsest band, 5 at most.
    n_orientations
        Orientations.

    Examples
    --------
    >>> codec = PyramidCodec()
    >>> x = torch.rand(1, 3, 64, 48, dtype=torch.float64)
    >>> bool(torch.allclose(codec.decode(codec.encode(x)), x))
    True
    """

    def __init__(self, n_scales: int | None = None, n_orientations: int = 4) -> None:
        super().__init__()
        if n_scales is not None:
            integer("n_scales", n_scales)
        self.n_scales, self.n_orientations = n_scales, integer("n_orientations", n_orientations)
        self._pyramids: dict[tuple[int, int], SteerablePyramid] = {}

    def encode(self, codes: Tensor) -> list[Tensor]:
        """Return high-pass residual, bands from fine to coarse, and low-pass residual, channel by channel."""
        margin = _margin((codes.shape[-2], codes.shape[-1]))
        wide = nn.functional.pad(codes, (margin, margin, margin, margin), mode="reflect")
        parts = self._pyramid(wide)(_opponent(wide, back=False))
        return [parts.highpass, *(band.flatten(1, 3) for band in parts.bands), parts.lowpass]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the picture."""
        highpass, *bands, lowpass = features
        split = [band.unflatten(1, (-1, self.n_orientations, 2)) for band in bands]
        wide = self._pyramid(highpass).inverse(SteerableBands(highpass, split, lowpass))
        margin = min(wide.shape[-2:]) // 10  # sides of 8 q + r became 10 q + r
        return _opponent(wide[..., margin : wide.shape[-2] - margin, margin : wide.shape[-1] - margin], back=True)

    def grids(self, shape_px: tuple[int, int]) -> list[Grid]:
        """Return shape, stride and first position of the cells of every map, in pixels."""
        margin = _margin(shape_px)
        pyramid = self._of((shape_px[0] + 2 * margin, shape_px[1] + 2 * margin))
        pairs = zip(pyramid.shapes_px, pyramid.strides_px, strict=True)
        levels: list[Grid] = [(shape, stride, (-margin, -margin)) for shape, stride in pairs]
        return [levels[0], *levels]

    def _pyramid(self, x: Tensor) -> SteerablePyramid:
        return self._of((x.shape[-2], x.shape[-1]))

    def _of(self, shape: tuple[int, int]) -> SteerablePyramid:
        if shape not in self._pyramids:
            n_scales = self.n_scales or max(1, min(5, int(math.log2(min(shape) / 16)) + 1))
            self._pyramids[shape] = SteerablePyramid(shape, n_scales=n_scales, n_orientations=self.n_orientations)
        return self._pyramids[shape]


class ConvCodec(nn.Module):
    """A convolutional encoder and the decoder that was trained to undo it.

    Parameters
    ----------
    encoder
        Codes (b, 3, h, w) in sRGB, 0 to 1, to features (b, c, h / stride_px, w / stride_px).
    decoder
        Features to codes.
    stride_px
        Side of a feature cell in pixels.

    Examples
    --------
    >>> codec = ConvCodec(nn.AvgPool2d(8), nn.Upsample(scale_factor=8))
    >>> codec.decode(codec.encode(torch.rand(2, 3, 64, 32))).shape
    torch.Size([2, 3, 64, 32])
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, stride_px: int = 8) -> None:
        super().__init__()
        # Channels last: cells are rows for the windows, and convolutions are faster on the CPU.
        self.encoder = encoder.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.decoder = decoder.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.stride_px = stride_px

    def encode(self, codes: Tensor) -> list[Tensor]:
        """Return one map of features; pictures with one channel are repeated."""
        rgb = codes.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return [self.encoder(rgb)]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return codes."""
        codes: Tensor = self.decoder(features[0].contiguous(memory_format=torch.channels_last))
        return codes

    def grids(self, shape_px: tuple[int, int]) -> list[Grid]:
        """Return shape, stride and first position of the cells, in pixels.

        Raises
        ------
        ValueError
            When a side is not a whole number of cells.
        """
        n = self.stride_px
        if shape_px[0] % n or shape_px[1] % n:
            fail("display", f"of sides divisible by {n} px for this encoder", shape_px, "Crop or pad the picture.")
        return [((shape_px[0] // n, shape_px[1] // n), (n, n), ((n - 1) / 2, (n - 1) / 2))]


def _margin(shape: tuple[int, int]) -> int:
    """Pixels of mirror image on each side of a picture: an eighth of its shorter side."""
    return min(shape) // 8


def _opponent(x: Tensor, *, back: bool) -> Tensor:
    """Turn three colours into sum, red against blue, and green against both (orthonormal), or back."""
    if x.shape[1] != 3:
        return x
    turn = x.new_tensor(((1, 1, 1), (1, 0, -1), (1, -2, 1)))
    turn = turn / turn.norm(dim=1, keepdim=True)
    return torch.einsum("dc,bchw->bdhw", turn.T if back else turn, x)


class _Prepared(nn.Module):
    """Layers behind a network's own input convention, fed with codes."""

    def __init__(self, preprocess: nets.Preprocess, layers: nn.Module) -> None:
        super().__init__()
        # "linear" here means: take the numbers as they are. They are codes, which is what the network wants.
        self.preprocess = preprocess.changed({"encoding": "linear", "size_px": None, "resize_px": None})
        self.layers = layers

    def forward(self, codes: Tensor) -> Tensor:
        features: Tensor = self.layers(self.preprocess(codes))
        return features


def vgg16_codec(
    weights: str | Path | None, *, decoder: str | Path | None = DECODER, random_state: int = 0
) -> ConvCodec:
    """Return VGG-16 up to relu4_1 with a decoder.

    Parameters
    ----------
    weights
        As in `neuroperc.nets.load`: the file of VGG-16, "default" for torchvision's, None for random ones.
    decoder
        A file of weights of `FeatureDecoder`; default the one in this package, which was trained for the original
        VGG-16 convolutions (see `neuroperc/metamers/weights`). It is made for no other weights. None: random.
    random_state
        Seed of random weights.

    Raises
    ------
    ValueError
        When a file is absent, damaged or made for another network.

    Examples
    --------
    >>> codec = vgg16_codec(None, decoder=None)
    >>> codec.encode(torch.rand(1, 3, 64, 64))[0].shape
    torch.Size([1, 512, 8, 8])
    """
    net = nets.load("vgg16", weights=weights, random_state=random_state)
    layers: Any = net.net.features
    encoder = _Prepared(net.preprocess, layers[:_RELU4_1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        back = FeatureDecoder(LIGHT_DECODER)
    if decoder is not None:
        fit_state_dict(back, read_state_dict(decoder), str(decoder))
    return ConvCodec(encoder, back)


def neurofovea_codec(vgg: str | Path, decoder: str | Path) -> ConvCodec:
    """Return NeuroFovea's own networks from the files that its authors publish.

    Parameters
    ----------
    vgg
        ``vgg_normalised.pth``: VGG-19 for pictures in 0 to 1; what lies beyond relu4_1 is left out.
    decoder
        ``decoder-content-similar.pth``.

    Raises
    ------
    ValueError
        When a file is absent, damaged or has another layout; missing and unexpected keys are listed.

    References
    ----------
    A Deza, A Jonnalagadda, M P Eckstein (2019). Towards metamerism via foveated style transfer. ICLR.
    X Huang, S Belongie (2017). Arbitrary style transfer in real-time with adaptive instance normalization. ICCV.

    Examples
    --------
    >>> neurofovea_codec("vgg_normalised.pth", "decoder-content-similar.pth")
    Traceback (most recent call last):
    ValueError: weights must be an existing file, "default", "wheel" or None, got vgg_normalised.pth.
    """
    encoder, back = published_encoder(), FeatureDecoder(PUBLISHED_DECODER)
    state = {key: value for key, value in read_state_dict(vgg).items() if not _beyond(key, len(encoder))}
    fit_state_dict(encoder, state, str(vgg))
    fit_state_dict(back.layers, read_state_dict(decoder), str(decoder))
    return ConvCodec(encoder, back)


def _beyond(key: str, n_layers: int) -> bool:
    number = key.split(".")[0]
    return number.isdigit() and int(number) >= n_layers
