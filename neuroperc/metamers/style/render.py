"""`NeuroFovea`: metamers in one forward pass, by exchanging texture in the periphery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..._check import as_rng, check, fail, finite, non_negative, one_of, positive
from ...color import linear_to_srgb, luminance, srgb_to_linear
from ...display import Display
from .codecs import Codec, PyramidCodec
from .transfer import SUPPORT, transfer
from .windows import Cells, neurofovea_windows

#: Fitted by the authors for 26 deg on 512 px and a gaze at the centre.
PUBLISHED_D = 1.281


def texture_strength(radius_deg: Any, d: float = PUBLISHED_D) -> np.ndarray:
    """Return how much texture windows of a size take: alpha(r) = tanh(d r / 2) = -1 + 2 / (1 + exp(-d r)).

    Parameters
    ----------
    radius_deg
        Radius of a window, any shape.
    d
        Rate per degree.

    References
    ----------
    A Deza, A Jonnalagadda, M P Eckstein (2019). Towards metamerism via foveated style transfer. ICLR (gamma function).

    Examples
    --------
    >>> texture_strength([0.25, 0.5, 1, 2, 3, 4]).round(4).tolist()
    [0.1588, 0.3097, 0.5652, 0.8568, 0.958, 0.9882]
    """
    return np.tanh(positive("d", d) * np.asarray(radius_deg, dtype=float) / 2)


def colored_noise(codes: Tensor, rng: int | np.random.Generator) -> Tensor:
    """Return Gaussian noise with the mean and the covariance of the colours of each picture.

    Noise is whitened by its own covariance first, so that its mean and covariance are exactly the picture's.

    Parameters
    ----------
    codes
        (b, c, h, w).
    rng
        Seed or generator; NumPy draws, so that every device gets the same noise.

    Returns
    -------
    Tensor
        (b, c, h, w), not clipped.

    Examples
    --------
    >>> noise = colored_noise(torch.rand(1, 3, 32, 32, dtype=torch.float64) * 0.2, rng=0)
    >>> noise.shape, round(noise.mean().item(), 1)
    (torch.Size([1, 3, 32, 32]), 0.1)
    """
    white = torch.from_numpy(as_rng(rng).standard_normal(tuple(codes.shape), dtype=np.float32)).to(codes.device)
    colors, white = codes.double().flatten(2), white.double().flatten(2)
    mean = colors.mean(-1, keepdim=True)
    white = white - white.mean(-1, keepdim=True)
    n = white.shape[-1]
    root = _root(torch.einsum("bcn,bdn->bcd", colors - mean, colors - mean) / n)
    unroot = torch.linalg.inv(_root(torch.einsum("bcn,bdn->bcd", white, white) / n))
    return (mean + root @ (unroot @ white)).reshape(codes.shape).to(codes.dtype)


def _root(covariance: Tensor) -> Tensor:
    """Symmetric square root."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()[:, None] @ vectors.mT


class NeuroFovea(nn.Module):
    """Pictures whose periphery is replaced by texture with the same statistics, in one forward pass.

    Features of coloured noise get the picture's mean and standard deviation in every window (adaptive instance
    normalisation), are mixed with the picture's features by a strength that grows with the window, and are decoded. The
    fovea is never changed. Judge the result against `reference`, the decoded features of the picture itself.

    Parameters
    ----------
    display
        Geometry of the pictures.
    scaling
        Width of a window divided by its eccentricity.
    codec
        Encoder and decoder: `PyramidCodec` (the default, needs no weights), `vgg16_codec(path)` or
        `neurofovea_codec(vgg, decoder)`.
    fixation_deg
        Gaze (x, y).
    d
        Rate of the strength tanh(d r / 2) of a window of radius r; `fit_texture_strength` finds it anew.
    assign
        "soft": a cell takes from all windows by their weights, which sum to one. "last": windows are supports, and of
        those that overlap the last one has the cell, as in the released code.
    epsilon
        Added to variances in the normalisation. 0 makes means and standard deviations exact; released: 1e-5.
    refine
        Codes to codes, run on what the decoder returns; such as a trained refinement net.
    min_eccentricity_deg, cell_deg
        As in `neurofovea_windows`.

    Attributes
    ----------
    windows : NeuroFoveaWindows
    alpha : ndarray
        (n_windows,) strength of every window.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range.

    Notes
    -----
    The fit of `d` by the authors holds for a gaze at the centre of 26 deg. On a GPU the sparse products may differ in
    the last bits from run to run.

    References
    ----------
    A Deza, A Jonnalagadda, M P Eckstein (2019). Towards metamerism via foveated style transfer. ICLR.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(96, 96))
    >>> model = NeuroFovea(display, scaling=0.5)
    >>> picture = torch.rand(1, 3, 96, 96)
    >>> model(picture, rng=0).shape
    torch.Size([1, 3, 96, 96])
    >>> bool(torch.allclose(model.reference(picture), picture, atol=1e-5))
    True
    """

    #: Takes house images (linear light) as they are.
    preprocess = None

    def __init__(
        self,
        display: Display,
        *,
        scaling: float,
        codec: Codec | None = None,
        fixation_deg: Any = (0.0, 0.0),
        d: float = PUBLISHED_D,
        assign: Literal["soft", "last"] = "soft",
        epsilon: float = 0.0,
        refine: Callable[[Tensor], Tensor] | None = None,
        min_eccentricity_deg: float = 6 * 26 / 512,
        cell_deg: float | None = None,
    ) -> None:
        super().__init__()
        self.windows = neurofovea_windows(
            display, scaling=scaling, fixation_deg=fixation_deg, min_eccentricity_deg=min_eccentricity_deg,
            cell_deg=cell_deg,
        )  # fmt: skip
        self.display = display
        self.codec: Any = PyramidCodec() if codec is None else codec
        self.assign = one_of("assign", assign, ("soft", "last"))
        self.epsilon = non_negative("epsilon", epsilon)
        self.refine = refine
        self.alpha = texture_strength(self.windows.radius_deg, d)
        self._cells = [self._split(self.windows.at(*grid)) for grid in self.codec.grids(display.resolution_px)]

    def forward(self, x: Tensor, *, rng: int | np.random.Generator, alpha: Any = None) -> Tensor:
        """Return a metamer of each picture.

        Parameters
        ----------
        x
            Linear light in [0, 1], (b, 1 or 3, h, w), (h, w) the display's resolution.
        rng
            Seed or generator of the noise; another one gives another metamer.
        alpha
            Strength: a number for all windows or (n_windows,); default `alpha` of the model. Window 0 never changes.

        Returns
        -------
        Tensor
            Like `x`.

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a picture or a strength is not in [0, 1].
        """
        content, noise = self.encoded(x, rng)
        return self.decoded(self.mix(content, noise, alpha), x)

    def reference(self, x: Tensor) -> Tensor:
        """Return what the decoder makes of a picture's own features, D(E(x)); arguments and errors as in `forward`."""
        return self.decoded(self.codec.encode(self._codes(x)), x)

    def encoded(self, x: Tensor, rng: int | np.random.Generator) -> tuple[list[Tensor], list[Tensor]]:
        """Return features of pictures and of noise in their colours; arguments and errors as in `forward`."""
        codes = self._codes(x)
        return self.codec.encode(codes), self.codec.encode(colored_noise(codes, rng))

    def decoded(self, features: list[Tensor], like: Tensor) -> Tensor:
        """Decode, refine and clip features; return linear light with as many channels as `like`."""
        codes = self.codec.decode(features)
        codes = codes if self.refine is None else self.refine(codes)
        linear = srgb_to_linear(codes.clamp(0, 1))
        return luminance(linear) if linear.shape[1] != like.shape[1] else linear

    def mix(self, content: list[Tensor], noise: list[Tensor], alpha: Any = None) -> list[Tensor]:
        """Return features in which noise took the place of content, window by window.

        Parameters
        ----------
        content, noise
            Maps (b, c, h, w) that the codec's `encode` returned.
        alpha
            As in `forward`.
        """
        weights = self._strength(alpha)
        return [
            _mix(one, other, *cells, weights.to(one), self.epsilon)
            for one, other, cells in zip(content, noise, self._cells, strict=True)
        ]

    def _split(self, cells: Cells) -> tuple[Cells, Cells]:
        """Weights for statistics and for the mixture."""
        if self.assign == "soft":
            return cells, cells
        supports = cells.supports(SUPPORT)
        return supports, supports.last()

    def _strength(self, alpha: Any) -> Tensor:
        given = self.alpha if alpha is None else np.asarray(alpha, dtype=float)
        n = self.windows.n_windows
        check(given.shape in ((), (n,)), "alpha", f"one number or ({n},)", given.shape)
        ok = bool(np.isfinite(given).all() and given.min() >= 0 and given.max() <= 1)
        check(ok, "alpha", "from 0 (the picture) to 1 (texture only)", alpha)
        return torch.from_numpy(np.broadcast_to(given, (n,)).copy())

    def _codes(self, x: Tensor) -> Tensor:
        ok = isinstance(x, Tensor) and x.is_floating_point()
        remedy = "Use linear light: srgb_to_linear(codes / 255)."
        check(ok, "x", "a floating torch.Tensor", getattr(x, "dtype", type(x)), remedy, TypeError)
        height, width = self.display.resolution_px
        good = x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[-2:] == (height, width) and len(x) > 0
        if not good:
            rule = f"(b, 1 or 3, {height}, {width})"
            fail("x", rule, tuple(x.shape), "Give the Display the picture was made for.")
        finite("x", x)
        return linear_to_srgb(x.clamp(0, 1))

    def extra_repr(self) -> str:
        """Show the windows when printed."""
        return f"{self.windows}, assign={self.assign!r}, largest strength {self.alpha.max():.3f}"


def _mix(content: Tensor, noise: Tensor, statistics: Cells, mixture: Cells, alpha: Tensor, epsilon: float) -> Tensor:
    """Exchange texture in maps (b, c, h, w), picture by picture; cells become rows."""
    statistics, mixture = statistics.like(content), mixture.like(content)
    pairs = zip(content.flatten(2).mT, noise.flatten(2).mT, strict=True)
    mixed = [transfer(one, other, statistics, mixture, alpha, epsilon) for one, other in pairs]
    rows = content.is_contiguous(memory_format=torch.channels_last)  # then cells are rows already
    layout = torch.channels_last if rows else torch.contiguous_format
    return torch.stack(mixed).mT.unflatten(-1, content.shape[-2:]).contiguous(memory_format=layout)
