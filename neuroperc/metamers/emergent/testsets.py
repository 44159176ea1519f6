"""Test sets: filtered, occluded and composed pictures, each with a leading axis of levels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..._check import check, fail, finite, integer, one_of, whole_pair
from ...color import srgb_to_linear
from ...display import Display
from ._blur import blurred, codes_of, sigmas

#: Published widths in pixels of a picture of 256 px; 0 and infinity are the original.
PUBLISHED_SIGMA = {
    "low": (0.0, 1.0, 3.0, 5.0, 7.0, 9.0, 15.0, 40.0),
    "high": (np.inf, 3.0, 1.5, 1.0, 0.7, 0.55, 0.45, 0.4),
}
_PUBLISHED_SIDE = 256
GEOMETRIES = ("scotoma", "glaucoma", "left_to_right", "top_to_bottom")
Geometry = Literal["scotoma", "glaucoma", "left_to_right", "top_to_bottom"]


def frequency_levels_deg(
    display: Display, kind: Literal["low", "high"], *, keep: Literal["picture", "pixel"] = "picture"
) -> np.ndarray:
    """Return the published widths of low-pass or high-pass Gaussians, in degrees on another display.

    Parameters
    ----------
    display
        Geometry of the pictures.
    kind
        "low" or "high".
    keep
        "picture": a width stays the same share of the shorter side, and cut-offs the same in cycles per picture.
        "pixel": a width stays the same number of pixels, and cut-offs the same share of the highest frequency there is.

    Returns
    -------
    ndarray
        (8,), from the original to the strongest filter. The original is 0 for "low" and infinity for "high".

    Raises
    ------
    ValueError
        For an unknown kind or rule.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991: 256 px pictures.

    Examples
    --------
    >>> frequency_levels_deg(Display.from_px_per_deg(10, resolution_px=(256, 256)), "low").tolist()
    [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.5, 4.0]
    """
    published = np.array(PUBLISHED_SIGMA[one_of("kind", kind, ("low", "high"))])
    one_of("keep", keep, ("picture", "pixel"))
    scale = min(display.resolution_px) / _PUBLISHED_SIDE if keep == "picture" else 1.0
    return published * scale / display.px_per_deg


def low_pass(x: Tensor, display: Display, *, sigma_deg: Any) -> Tensor:
    """Return pictures whose sRGB codes are blurred by Gaussians.

    Parameters
    ----------
    x
        (b, c, h, w), linear light; give `neuroperc.color.luminance(x)` for the grey control.
    display
        Their geometry.
    sigma_deg
        (n,) standard deviations; 0 is the original.

    Returns
    -------
    Tensor
        (n, b, c, h, w), linear light.

    Raises
    ------
    ValueError, TypeError
        When pictures do not fit the display or a width is negative.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> display = Display.from_px_per_deg(4, resolution_px=(32, 32))
    >>> low_pass(torch.rand(2, 3, 32, 32), display, sigma_deg=frequency_levels_deg(display, "low")).shape
    torch.Size([8, 2, 3, 32, 32])
    """
    codes = codes_of(x, display.resolution_px)
    linear: Tensor = srgb_to_linear(blurred(codes, sigmas("sigma_deg", sigma_deg) * display.px_per_deg).clamp(0, 1))
    return linear


def high_pass(x: Tensor, display: Display, *, sigma_deg: Any, mean_code: Any = None) -> Tensor:
    """Return what Gaussian blurs take away from pictures' sRGB codes, on the mean colour of a set.

    Parameters
    ----------
    x, display
        As in `low_pass`.
    sigma_deg
        (n,) standard deviations; infinity is the original, unchanged.
    mean_code
        (c,) sRGB codes that are added to the difference; default the means of `x` over pictures and pixels, so give the
        whole validation set, or its means.

    Returns
    -------
    Tensor
        (n, b, c, h, w), linear light; codes beyond 0 and 1 are clipped.

    Raises
    ------
    ValueError, TypeError
        When pictures do not fit the display, a width is negative, or there is not a mean a channel.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> display = Display.from_px_per_deg(4, resolution_px=(32, 32))
    >>> pictures = torch.rand(2, 3, 32, 32)
    >>> bool(torch.allclose(high_pass(pictures, display, sigma_deg=[float("inf")])[0], pictures, atol=1e-6))
    True
    """
    codes = codes_of(x, display.resolution_px)
    widths = sigmas("sigma_deg", sigma_deg, infinite=True) * display.px_per_deg
    mean = codes.mean((0, 2, 3)) if mean_code is None else torch.as_tensor(np.asarray(mean_code, dtype=float)).to(codes)
    check(mean.shape == (codes.shape[1],), "mean_code", f"({codes.shape[1]},), a code a channel", tuple(mean.shape))
    finite("mean_code", mean)
    original = np.isinf(widths)
    residual = codes - blurred(codes, np.where(original, 0.0, widths)) + mean[:, None, None]
    chosen = torch.from_numpy(original).to(codes.device)[:, None, None, None, None]
    linear: Tensor = srgb_to_linear(torch.where(chosen, codes, residual).clamp(0, 1))
    return linear


def occlusion_masks(shape_px: tuple[int, int], geometry: Geometry, *, n_levels: int = 17) -> np.ndarray:
    """Return where a picture is occluded, from nothing to everything in equal steps of area.

    Level z of n covers the share f = (z - 1) / (n - 1) of the picture. The published rule, for sides of 256 and 17
    levels, has the area A = 16 (z - 1) 256 px; here sides enter in its place:

    * "scotoma": a central patch of sides 2 ceil(side sqrt(f) / 2);
    * "glaucoma": all but a central patch of sides 2 ceil(side sqrt(1 - f) / 2);
    * "left_to_right", "top_to_bottom": the first side f columns or rows, rounded.

    With odd sides the patch's sides are odd too, and cover at least as much as asked.

    Parameters
    ----------
    shape_px
        (height, width).
    geometry
        One of `GEOMETRIES`.
    n_levels
        At least 2.

    Returns
    -------
    ndarray
        (n_levels, h, w), bool.

    Raises
    ------
    ValueError, TypeError
        For an unknown geometry or a bad size.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> occlusion_masks((256, 256), "scotoma").sum((1, 2))[[0, 1, 4, 16]].tolist()
    [0, 4096, 16384, 65536]
    """
    shape = whole_pair("shape_px", shape_px)
    one_of("geometry", geometry, GEOMETRIES)
    share = np.linspace(0, 1, integer("n_levels", n_levels, 2))
    rows, columns = (np.arange(n) for n in shape)
    if geometry in ("left_to_right", "top_to_bottom"):
        axis = columns if geometry == "left_to_right" else rows
        covered = axis < np.floor(len(axis) * share + 0.5)[:, None]
        grid = covered[:, None, :] if geometry == "left_to_right" else covered[:, :, None]
        return np.broadcast_to(grid, (len(share), *shape)).copy()
    if geometry == "glaucoma":
        return ~_patch(shape, 1 - share)
    return _patch(shape, share)


def _patch(shape: tuple[int, int], share: np.ndarray) -> np.ndarray:
    """Central patches; the margin floor((n - s) / 2) on both sides leaves 2 ceil(s / 2) of an even n."""
    inside = []
    for n in shape:
        margin = np.floor((n - n * np.sqrt(share)) / 2)[:, None]
        inside.append((np.arange(n) >= margin) & (np.arange(n) < n - margin))
    return inside[0][:, :, None] & inside[1][:, None, :] & (share > 0)[:, None, None]


def occlude(x: Tensor, masks: Any, *, background: float = 128 / 255) -> Tensor:
    """Return pictures that are grey where masks say so.

    Parameters
    ----------
    x
        (b, c, h, w), linear light.
    masks
        (n, h, w), bool, such as `occlusion_masks`.
    background
        sRGB code of the grey, 0 to 1.

    Returns
    -------
    Tensor
        (n, b, c, h, w), linear light.

    Raises
    ------
    ValueError, TypeError
        When masks are not of the pictures' size, or the grey is out of range.

    Examples
    --------
    >>> shown = occlude(torch.ones(1, 1, 16, 16), occlusion_masks((16, 16), "left_to_right"))
    >>> [round(v, 3) for v in shown[[0, 8, 16]].mean((1, 2, 3, 4)).tolist()]
    [1.0, 0.608, 0.216]
    """
    codes_of(x)
    check(0 <= background <= 1, "background", "from 0 to 1", background, "Divide 8-bit codes by 255.")
    grey = torch.tensor(float(srgb_to_linear(np.float64(background))), dtype=x.dtype, device=x.device)
    return torch.where(_as_masks(masks, x), grey, x)


def foveal_radii_deg(display: Display, *, n: int = 8, fixation_deg: Any = (0.0, 0.0)) -> np.ndarray:
    """Return radii of discs around the gaze that cover 1 / (n + 1), ..., n / (n + 1) of the picture.

    The released code has 8 foveal windows but not their sizes; equal steps of area are our choice.

    Parameters
    ----------
    display
        Geometry of the pictures.
    n
        Number of discs.
    fixation_deg
        Gaze (x, y).

    Examples
    --------
    >>> foveal_radii_deg(Display.from_px_per_deg(10, resolution_px=(256, 256)), n=3).round(2).tolist()
    [7.22, 10.21, 12.51]
    """
    eccentricity = np.asarray(display.eccentricity_deg(fixation_deg))
    return np.quantile(eccentricity, np.arange(1, integer("n", n) + 1) / (n + 1))


def foveal_masks(display: Display, *, radius_deg: Any, fixation_deg: Any = (0.0, 0.0)) -> np.ndarray:
    """Return discs around the gaze, (n, h, w) bool: pixels no farther than each radius.

    Parameters
    ----------
    display
        Geometry of the pictures.
    radius_deg
        (n,) radii.
    fixation_deg
        Gaze (x, y).

    Raises
    ------
    ValueError
        When a radius is negative or not finite, or the gaze is off the screen.

    Examples
    --------
    >>> display = Display.from_px_per_deg(10, resolution_px=(256, 256))
    >>> foveal_masks(display, radius_deg=foveal_radii_deg(display, n=3)).mean((1, 2)).round(2).tolist()
    [0.25, 0.5, 0.75]
    """
    radius = sigmas("radius_deg", radius_deg)
    return np.asarray(display.eccentricity_deg(fixation_deg)) <= radius[:, None, None]


def cue_conflict(center: Tensor, surround: Tensor, masks: Any) -> Tensor:
    """Return pictures made of two: one where masks say so, the other elsewhere.

    Parameters
    ----------
    center, surround
        (b, c, h, w), linear light.
    masks
        (n, h, w), bool: `foveal_masks`, or for the control the squares of ``occlusion_masks(shape, "scotoma")``.

    Returns
    -------
    Tensor
        (n, b, c, h, w), pixels copied.

    Raises
    ------
    ValueError, TypeError
        When pictures or masks differ in size.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> masks = occlusion_masks((16, 16), "scotoma", n_levels=5)
    >>> shown = cue_conflict(torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), masks)
    >>> shown.mean((1, 2, 3, 4)).tolist() == masks.mean((1, 2)).tolist()
    True
    """
    codes_of(center, name="center")
    codes_of(surround, name="surround")
    check(center.shape == surround.shape, "surround", f"of the shape of center {tuple(center.shape)}",
          tuple(surround.shape))  # fmt: skip
    return torch.where(_as_masks(masks, center), center, surround)


def conflict_partners(labels: Any, *, rule: Literal["next", "cycle"] = "next") -> np.ndarray:
    """Return for every picture the index of the picture of another class it is put together with.

    Parameters
    ----------
    labels
        (n,) whole numbers.
    rule
        "next": the class that follows, the last one by the first; picture j of a class with picture j of that class.
        "cycle": picture j of a class with picture j of the 1 + (j mod (K - 1))-th class that follows, so that all other
        classes come up alike (the control with square patches).

    Returns
    -------
    ndarray
        (n,) indices; where the other class has fewer pictures they are used again from the first.

    Raises
    ------
    ValueError
        When there are fewer than two classes.

    Examples
    --------
    >>> conflict_partners([0, 0, 1, 1, 2, 2]).tolist()
    [2, 3, 4, 5, 0, 1]
    >>> conflict_partners([0, 0, 1, 1, 2, 2], rule="cycle").tolist()
    [2, 5, 4, 1, 0, 3]
    """
    one_of("rule", rule, ("next", "cycle"))
    given = np.asarray(labels)
    check(given.ndim == 1 and given.dtype.kind in "iu", "labels", "(n,) whole numbers", f"{given.dtype} {given.shape}")
    classes, number, count = np.unique(given, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        fail("labels", "of two classes or more", classes.tolist(), "A conflict needs another class.")
    order = np.argsort(number, kind="stable")
    first = np.cumsum(count) - count
    rank = np.empty(len(given), dtype=np.int64)
    rank[order] = np.arange(len(given)) - first[number[order]]
    ahead = 1 if rule == "next" else 1 + rank % (len(classes) - 1)
    other = (number + ahead) % len(classes)
    return order[first[other] + rank % count[other]]


def _as_masks(masks: Any, x: Tensor) -> Tensor:
    """Masks as (n, 1, 1, h, w) on the device of pictures."""
    array = np.asarray(masks)
    good = array.dtype == bool and array.ndim == 3 and array.shape[1:] == tuple(x.shape[-2:])
    check(good, "masks", f"bool (n, {x.shape[-2]}, {x.shape[-1]})", f"{array.dtype} {array.shape}")
    return torch.from_numpy(np.ascontiguousarray(array)).to(x.device)[:, None, None]
