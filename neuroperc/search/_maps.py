"""From feature maps to one map of priority: match, mix, sharpen, enlarge."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

#: OpenCV's own kernels for a sigma of 0 (they are not its formula's).
_SMALL = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
    9: tuple(k / 256 for k in (4, 13, 30, 51, 60, 51, 30, 13, 4)),
}


def match(features: Tensor, template: Tensor) -> Tensor:
    """Slide each item's template over its features: cross-correlation, zero padding that keeps the size.

    Parameters
    ----------
    features
        (b, c, h, w).
    template
        (b or 1, c, kh, kw).

    Returns
    -------
    Tensor
        (b, h, w).
    """
    batch, channels, height, width = features.shape
    template = template.expand(batch, -1, -1, -1)
    pads = [pad for k in (template.shape[-1], template.shape[-2]) for pad in ((k - 1) // 2, k // 2)]
    x = functional.pad(features, pads).reshape(1, batch * channels, height + sum(pads[2:]), width + sum(pads[:2]))
    return functional.conv2d(x, template, groups=batch)[0]


def mix(matches: Tensor, data_driven: bool) -> Tensor:
    """Scale each layer's map (b, layers, h, w) to its range and average: weights are the maps' maxima, or equal."""
    matches = matches.double()
    low, high = matches.amin((-2, -1), keepdim=True), matches.amax((-2, -1), keepdim=True)
    span = high - low
    scaled = torch.where(span > 0, (matches - low) / span.where(span > 0, torch.ones_like(span)), 0.0)
    weight = high if data_driven else torch.ones_like(high)
    total = weight.sum(1, keepdim=True)
    weight = torch.where(total > 0, weight / total.where(total > 0, torch.ones_like(total)), 1 / matches.shape[1])
    return (weight * scaled).sum(1)


def gaussian(size: int, sigma: float) -> list[float]:
    """Return OpenCV's Gaussian of `size` cells; a sigma of 0 means its rule for that size."""
    if sigma <= 0 and size in _SMALL:
        return list(_SMALL[size])
    sigma = sigma if sigma > 0 else 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    values = [math.exp(-((k - (size - 1) / 2) ** 2) / (2 * sigma**2)) for k in range(size)]
    return [value / sum(values) for value in values]


def smooth(x: Tensor, size: int, sigma: float) -> Tensor:
    """Blur maps (b, h, w) as cv2.GaussianBlur does; borders are mirrored about their cells."""
    kernel = torch.tensor(gaussian(size, sigma), dtype=x.dtype, device=x.device)
    half = size // 2
    x = functional.pad(x[:, None], (half, half, half, half), mode="reflect")
    return functional.conv2d(functional.conv2d(x, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def sharpen(x: Tensor, kernels: tuple[tuple[int, float], tuple[int, float]]) -> Tensor:
    """Add a difference of Gaussians of itself to the map, three times."""
    for _ in range(3):
        x = x + smooth(x, *kernels[0]) - smooth(x, *kernels[1])
    return x


def enlarge(x: Tensor, side: int, at: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return a part of a map (h, w) enlarged to (side, side) as cv2.resize(..., INTER_AREA) enlarges.

    Each cell becomes a plateau; only pixels that straddle two cells are mixed. Pixels beyond the view are 0.
    """
    lower, share, inside = zip(*(_steps(x.shape[d], side, at[d], size[d], x) for d in (0, 1)), strict=True)
    for axis in (0, 1):
        upper = (lower[axis] + 1).clamp(max=x.shape[axis] - 1)
        weight = share[axis][:, None] if axis == 0 else share[axis]
        x = x.index_select(axis, lower[axis]) * (1 - weight) + x.index_select(axis, upper) * weight
    return x * (inside[0][:, None] & inside[1])


def _steps(n_in: int, n_out: int, start: int, length: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    index = torch.arange(start, start + length, dtype=torch.float64, device=like.device)
    inside = (index >= 0) & (index < n_out)
    index = index.clamp(0, n_out - 1)
    factor = n_out / n_in
    lower = torch.floor(index * (1 / factor))  # OpenCV's order: rounding decides which cell a pixel falls in
    share = (index + 1) - (lower + 1) * factor
    share = torch.where((share <= 0) | (lower >= n_in - 1), 0.0, share - torch.floor(share))
    return lower.clamp(max=n_in - 1).long(), share.to(like.dtype), inside
