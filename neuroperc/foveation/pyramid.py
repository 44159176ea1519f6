"""Gaussian, Laplacian and steerable pyramids of pictures of any size and any leading dimensions."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._check import check, fail, integer, whole_pair
from ._banded import double, lowpass

_BINOMIAL = (6 / 16, 4 / 16, 1 / 16)


def _picture(x: Tensor, shape: tuple[int, int] | None = None) -> None:
    ok = isinstance(x, Tensor) and x.is_floating_point()
    check(ok, "x", "a floating torch.Tensor", getattr(x, "dtype", type(x)), "Use x.float().", TypeError)
    wanted = "(..., h, w)" if shape is None else f"(..., {shape[0]}, {shape[1]})"
    good = x.ndim >= 2 and x.numel() > 0 and (shape is None or tuple(x.shape[-2:]) == shape)
    check(good, "x", wanted, tuple(x.shape), "Make the pyramid for this size.")


def _levels(n_levels: int, shape: tuple[int, int]) -> int:
    most = 1 + int(math.log2(min(shape)))
    integer("n_levels", n_levels)
    check(n_levels <= most, "n_levels", f"at most {most} for a picture of {shape[0]} x {shape[1]}", n_levels)
    return n_levels


def gaussian_pyramid(x: Tensor, n_levels: int) -> list[Tensor]:
    """Return the picture and its low-pass halves; sample i of level k sits at pixel i * 2**k.

    Parameters
    ----------
    x
        (..., h, w), floating.
    n_levels
        Number of levels, the picture included.

    Returns
    -------
    list of Tensor
        (..., ceil(h / 2**k), ceil(w / 2**k)).

    Raises
    ------
    ValueError, TypeError
        When `x` is not a picture or is too small for `n_levels`.

    References
    ----------
    P J Burt, E H Adelson (1983). The Laplacian pyramid as a compact image code.

    Examples
    --------
    >>> [tuple(level.shape) for level in gaussian_pyramid(torch.rand(3, 9, 12), 3)]
    [(3, 9, 12), (3, 5, 6), (3, 3, 3)]
    """
    _picture(x)
    levels = [x.reshape(-1, *x.shape[-2:])]
    for _ in range(_levels(n_levels, (x.shape[-2], x.shape[-1])) - 1):
        levels.append(lowpass(levels[-1], _BINOMIAL, 2))
    return [level.reshape(*x.shape[:-2], *level.shape[-2:]) for level in levels]


def laplacian_pyramid(x: Tensor, n_levels: int) -> list[Tensor]:
    """Return what each level of the Gaussian pyramid has beyond the enlarged next one, and the last level.

    Arguments, shapes and errors as in `gaussian_pyramid`; `from_laplacian_pyramid` undoes it exactly.

    Examples
    --------
    >>> x = torch.rand(2, 1, 13, 10, dtype=torch.float64)
    >>> bool(torch.allclose(from_laplacian_pyramid(laplacian_pyramid(x, 3)), x))
    True
    """
    levels = gaussian_pyramid(x, n_levels)
    return [fine - _enlarge(coarse, fine) for fine, coarse in pairwise(levels)] + levels[-1:]


def from_laplacian_pyramid(levels: list[Tensor]) -> Tensor:
    """Return the picture whose `laplacian_pyramid` is `levels`.

    Examples
    --------
    >>> from_laplacian_pyramid([torch.zeros(4, 4), torch.ones(2, 2)])[0]
    tensor([1., 1., 1., 1.])
    """
    check(len(levels) > 0, "levels", "at least one", "none")
    out = levels[-1]
    for level in reversed(levels[:-1]):
        out = level + _enlarge(out, level)
    return out


def _enlarge(coarse: Tensor, like: Tensor) -> Tensor:
    shape = (like.shape[-2], like.shape[-1])
    return double(coarse.reshape(-1, *coarse.shape[-2:]), shape).reshape(like.shape)


class SteerableBands(NamedTuple):
    """A steerable pyramid: `bands[s]` is (..., n_orientations, 2, h_s, w_s), the 2 a pair in quadrature.

    Examples
    --------
    >>> parts = SteerablePyramid((16, 16), n_scales=1, n_orientations=2)(torch.zeros(16, 16))
    >>> parts.lowpass.shape
    torch.Size([8, 8])
    """

    highpass: Tensor
    bands: list[Tensor]
    lowpass: Tensor


class SteerablePyramid(nn.Module):
    """Split pictures into oriented bands of one octave each, in quadrature pairs, and put them together again.

    Parameters
    ----------
    shape_px
        (height, width) of the pictures, any size.
    n_scales
        Octave bands.
    n_orientations
        Orientations; the filters' angular order is one less.
    tight_frame
        Scale every coefficient so that energy is kept: sum x^2 = sum highpass^2 + sum bands^2 + sum lowpass^2. If not,
        band values are contrasts: a unit grating at a band's centre has amplitude near 1 at every scale.

    Attributes
    ----------
    shapes_px : list of (int, int)
        (height, width) of the bands of every scale, then of the low-pass residual.
    strides_px : list of (float, float)
        (vertical, horizontal) distance of their samples in pixels: sample i sits at pixel i * stride.
    frequencies_cpp : list of float
        Centre frequency of every scale in cycles per pixel.
    orientations_deg : list of float
        Orientation of the stripes each band prefers, counter-clockwise from horizontal, [0, 180).

    Raises
    ------
    ValueError, TypeError
        When the picture is too small for `n_scales`, or a count is not a whole number.

    Notes
    -----
    Quadrature pairs are two real channels and all transforms real FFTs. Filters live on the frequencies of the full
    picture, so any size, odd ones too, is split and rebuilt exactly.

    References
    ----------
    E P Simoncelli, W T Freeman (1995). The steerable pyramid. ICIP.
    J Portilla, E P Simoncelli (2000). A parametric texture model. IJCV 40 (quadrature pairs).

    Examples
    --------
    >>> pyramid = SteerablePyramid((33, 40), n_scales=3, n_orientations=4)
    >>> x = torch.rand(2, 1, 33, 40, dtype=torch.float64)
    >>> parts = pyramid(x)
    >>> [tuple(band.shape) for band in parts.bands]
    [(2, 1, 4, 2, 33, 40), (2, 1, 4, 2, 17, 20), (2, 1, 4, 2, 9, 10)]
    >>> bool(torch.allclose(pyramid.inverse(parts), x))
    True
    """

    def __init__(
        self, shape_px: tuple[int, int], *, n_scales: int, n_orientations: int, tight_frame: bool = True
    ) -> None:
        super().__init__()
        self.shape_px = whole_pair("shape_px", shape_px)
        self.n_scales, self.n_orientations = integer("n_scales", n_scales), integer("n_orientations", n_orientations)
        self.tight_frame = bool(tight_frame)
        most = int(math.log2(min(self.shape_px))) - 1
        if n_scales > most:
            fail("n_scales", f"at most {most} for a picture of {self.shape_px}", n_scales, "Use fewer or a larger one.")
        shapes = [self.shape_px]
        for _ in range(n_scales):
            shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
        self.shapes_px = shapes
        self.strides_px = [(self.shape_px[0] / h, self.shape_px[1] / w) for h, w in shapes]
        self.frequencies_cpp = [0.25 / 2**s for s in range(n_scales)]
        self.orientations_deg = [(90 - 180 * b / n_orientations) % 180 for b in range(n_orientations)]
        self._masks: dict[tuple[torch.dtype, str], list[Tensor]] = {}

    def forward(self, x: Tensor) -> SteerableBands:
        """Split pictures.

        Parameters
        ----------
        x
            (..., h, w), floating; half precision is computed in float32.

        Returns
        -------
        SteerableBands
            `highpass` (..., h, w), `bands` a list of (..., n_orientations, 2, h_s, w_s) from fine to coarse, and
            `lowpass` (..., h_n, w_n).
        """
        _picture(x, self.shape_px)
        image = x if x.dtype == torch.float64 else x.float()
        high, low, *scales = self._filters(image.dtype, image.device)
        spectrum = torch.fft.rfft2(image)
        highpass = self._to_pixels(spectrum * high, self.shape_px, 0)
        spectrum = spectrum * low
        bands = []
        for s in range(self.n_scales):
            oriented, next_low = scales[2 * s], scales[2 * s + 1]
            bands.append(self._to_pixels(spectrum[..., None, None, :, :] * oriented, self.shapes_px[s], s))
            spectrum = _crop(spectrum * next_low, self.shapes_px[s], self.shapes_px[s + 1])
        rest = self._to_pixels(spectrum, self.shapes_px[-1], self.n_scales)
        return SteerableBands(highpass, bands, rest)

    def inverse(self, parts: SteerableBands) -> Tensor:
        """Return the picture (..., h, w) of a pyramid; exact for what `forward` returned."""
        check(len(parts.bands) == self.n_scales, "parts", f"of {self.n_scales} scales", len(parts.bands))
        high, low, *scales = self._filters(parts.lowpass.dtype, parts.lowpass.device)
        spectrum = self._to_spectrum(parts.lowpass, self.n_scales)
        for s in range(self.n_scales - 1, -1, -1):
            oriented, next_low = scales[2 * s], scales[2 * s + 1]
            spectrum = _uncrop(spectrum, self.shapes_px[s + 1], self.shapes_px[s]) * next_low
            own = self._to_spectrum(parts.bands[s], s) * oriented.conj()
            share = 1.0 if self.tight_frame else 0.5  # of each of the pair
            spectrum = spectrum + share * own.sum((-4, -3))
        spectrum = spectrum * low + self._to_spectrum(parts.highpass, 0) * high
        return torch.fft.irfft2(spectrum, s=self.shape_px)

    def _gain(self, s: int) -> float:
        """From the amplitude of a band's samples to coefficients: fewer samples, each with more energy."""
        if not self.tight_frame:
            return 1.0
        return math.sqrt(math.prod(self.shape_px) / math.prod(self.shapes_px[s]))

    def _to_pixels(self, spectrum: Tensor, shape: tuple[int, int], s: int) -> Tensor:
        # rfft2 does not divide by the number of pixels: what is cropped keeps its amplitude after this division.
        scale = self._gain(s) * math.prod(shape) / math.prod(self.shape_px)
        return torch.fft.irfft2(spectrum, s=shape) * scale

    def _to_spectrum(self, values: Tensor, s: int) -> Tensor:
        scale = math.prod(self.shape_px) / (math.prod(self.shapes_px[s]) * self._gain(s))
        return torch.fft.rfft2(values) * scale

    def _filters(self, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        key = (dtype, str(device))
        if key not in self._masks:
            built = self._build()
            complexes = torch.complex128 if dtype == torch.float64 else torch.complex64
            self._masks[key] = [f.to(device, complexes if f.is_complex() else dtype) for f in built]
        return self._masks[key]

    def _build(self) -> list[Tensor]:
        """High- and low-pass of the whole, then for every scale its oriented pairs and the low-pass to the next."""
        ring, angle = self._polar(self.shape_px)
        filters = [_rise(ring, 0), _fall(ring, 0)]
        order = self.n_orientations - 1
        const = 4.0**order * math.factorial(order) ** 2 / (self.n_orientations * math.factorial(2 * order))
        # Both of a pair hold the whole energy of their orientation: half each keeps it.
        gain = math.sqrt(const / 2) if self.tight_frame else 1.0
        for s in range(self.n_scales):
            ring, angle = self._polar(self.shapes_px[s])
            turn = torch.arange(self.n_orientations, dtype=torch.float64) * (math.pi / self.n_orientations)
            cosine = torch.cos(angle - turn[:, None, None])
            even = (-1j) ** order * cosine**order * _rise(ring, s + 1)
            odd = even * (-1j * torch.sign(cosine))
            pair = torch.stack((even, odd), 1) * (gain if self.tight_frame else math.sqrt(const))
            filters += [pair, _fall(ring, s + 1)]
        return filters

    def _polar(self, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Base-2 log of frequency over Nyquist, and direction, at the half-plane of a level; rows count downward."""
        (h, w), (full_h, full_w) = shape, self.shape_px
        rows = torch.fft.fftfreq(h, 1 / h, dtype=torch.float64)[:, None] * (2 / full_h)
        columns = torch.fft.rfftfreq(w, 1 / w, dtype=torch.float64)[None] * (2 / full_w)
        radius = torch.sqrt(rows**2 + columns**2)
        return torch.log2(radius.clamp(min=1e-12)), torch.atan2(rows, columns.expand_as(radius))

    def extra_repr(self) -> str:
        """Show the layout when printed."""
        return f"shape_px={self.shape_px}, n_scales={self.n_scales}, n_orientations={self.n_orientations}"


def _rise(ring: Tensor, s: int) -> Tensor:
    """Raised-cosine high-pass over the octave below 2^-s of Nyquist."""
    return torch.cos(math.pi / 2 * (-(ring + s)).clamp(0, 1))


def _fall(ring: Tensor, s: int) -> Tensor:
    return torch.sin(math.pi / 2 * (-(ring + s)).clamp(0, 1))


def _crop(spectrum: Tensor, shape: tuple[int, int], smaller: tuple[int, int]) -> Tensor:
    """Keep the lower frequencies of a half-plane."""
    top, bottom = -(-smaller[0] // 2), smaller[0] // 2
    kept = torch.cat((spectrum[..., :top, :], spectrum[..., shape[0] - bottom :, :]), -2)
    return kept[..., : smaller[1] // 2 + 1]


def _uncrop(spectrum: Tensor, shape: tuple[int, int], larger: tuple[int, int]) -> Tensor:
    """Put a half-plane into a larger one."""
    top, bottom = -(-shape[0] // 2), shape[0] // 2
    gap = spectrum.new_zeros(*spectrum.shape[:-2], larger[0] - shape[0], spectrum.shape[-1])
    tall = torch.cat((spectrum[..., :top, :], gap, spectrum[..., shape[0] - bottom :, :]), -2)
    return nn.functional.pad(tall, (0, larger[1] // 2 + 1 - tall.shape[-1]))
