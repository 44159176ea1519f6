"""Agreement of two pictures or two flow fields: SSIM, MS-SSIM, pixel correlation, RMSE, PSNR, end-point error.

Every function takes arrays as they are and converts nothing. SSIM and PSNR were defined on gamma-encoded code values
(sRGB); `neuroperc.color.linear_to_srgb` makes those from the linear light of house images. Say which one you used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np

from .._check import check, finite, integer, positive
from ._array import ArrayT, double, floating, restore, same_shape, unpack
from .agreement.correlation import pearson

WANG2003 = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales of MS-SSIM, fine to coarse (Wang, Simoncelli & Bovik 2003)."""

_BLOCK = 32  # outputs of one banded product; 32 to 64 rows of 11 taps keep the multiplier in the cache
_STRIP = 2**19  # numbers of one picture worked on at a time on a CPU, so that the maps stay in the cache


def ssim(
    image: ArrayT,
    reference: ArrayT,
    *,
    data_range: float,
    sigma_px: float = 1.5,
    window_px: int = 11,
    k: tuple[float, float] = (0.01, 0.03),
) -> ArrayT:
    """Structural similarity with an 11 × 11 Gaussian window, averaged over the picture.

    Population covariance, windows that lie wholly inside the picture, channels averaged. Symmetric in both pictures and
    differentiable in torch.

    Parameters
    ----------
    image, reference
        (h, w), (c, h, w), (b, c, h, w) or with more leading axes, of one shape. SSIM expects code values (sRGB).
    data_range
        The range that the encoding could take: 1 for [0, 1], 255 for 8-bit codes.
    sigma_px, window_px
        Standard deviation and odd side of the window, in pixels.
    k
        The two stabilising constants, as fractions of `data_range`.

    Returns
    -------
    array
        Leading axes: () for one picture, (b,) for a batch. 1 for equal pictures, −1 at worst.

    Raises
    ------
    ValueError
        For different shapes, pictures smaller than the window, NaN, or a bad range, window or constant.
    TypeError
        For mixed libraries or values that are not numbers.

    References
    ----------
    .. [1] Z Wang, A C Bovik, H R Sheikh, E P Simoncelli (2004). Image quality assessment: from error visibility to
       structural similarity. doi:10.1109/TIP.2003.819861, eq. 13.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.random.default_rng(0).random((3, 32, 32))
    >>> float(ssim(picture, picture, data_range=1.0)), bool(ssim(picture, 1 - picture, data_range=1.0) < 0)
    (1.0, True)
    """
    xp, x, y, dtype = _pictures(image, reference)
    window = _window(data_range, sigma_px, window_px, k, x.shape)
    full, _ = _similarity(xp, x, y, window)
    return restore(xp, _per_picture(xp, full, x.shape), dtype)


def ssim_map(
    image: ArrayT,
    reference: ArrayT,
    *,
    data_range: float,
    sigma_px: float = 1.5,
    window_px: int = 11,
    k: tuple[float, float] = (0.01, 0.03),
) -> ArrayT:
    """SSIM at every place where the window fits.

    Parameters and errors are those of `ssim`.

    Returns
    -------
    array
        (..., h − window_px + 1, w − window_px + 1), channels kept. Entry (0, 0) belongs to the pixel
        ((window_px − 1)/2, (window_px − 1)/2).

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.random.default_rng(0).random((3, 32, 40))
    >>> ssim_map(picture, picture, data_range=1.0).shape
    (3, 22, 30)
    """
    xp, x, y, dtype = _pictures(image, reference)
    window = _window(data_range, sigma_px, window_px, k, x.shape)
    first, second = _planes(xp, x), _planes(xp, y)
    strips = [similarity for _, similarity, _ in _strips(xp, first, second, window, n_planes=first.shape[0])]
    found: Any = xp.concat(strips, axis=-2)
    return restore(xp, xp.reshape(found, _leading(x) + tuple(found.shape[-2:])), dtype)


def ms_ssim(
    image: ArrayT,
    reference: ArrayT,
    *,
    data_range: float,
    weights: Sequence[float] = WANG2003,
    sigma_px: float = 1.5,
    window_px: int = 11,
    k: tuple[float, float] = (0.01, 0.03),
) -> ArrayT:
    """Multi-scale SSIM: contrast and structure at every scale, luminance at the coarsest.

    Between scales 2 × 2 pixels are averaged; an odd last row or column is repeated first. Terms below 0 count as 0.

    Parameters
    ----------
    image, reference, data_range, sigma_px, window_px, k
        As in `ssim`.
    weights
        Exponent of each scale, fine to coarse; their number is the number of scales.

    Returns
    -------
    array
        Leading axes, channels averaged; in [0, 1].

    Raises
    ------
    ValueError
        As `ssim`, and when the coarsest scale is smaller than the window (161 px for five scales).

    References
    ----------
    .. [1] Z Wang, E P Simoncelli, A C Bovik (2003). Multiscale structural similarity for image quality assessment.
       doi:10.1109/ACSSC.2003.1292216, eq. 7.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.random.default_rng(0).random((1, 176, 176))
    >>> float(ms_ssim(picture, picture, data_range=1.0))
    1.0
    """
    xp, x, y, dtype = _pictures(image, reference)
    check(len(weights) > 0, "weights", "one exponent for each scale, at least one", tuple(weights))
    exponents = [positive("each of weights", w) for w in weights]
    least = (window_px - 1) * 2 ** (len(exponents) - 1) + 1
    check(min(x.shape[-2:]) >= least, "image", f"at least {least} px on each side for {len(exponents)} scales",
          tuple(x.shape), "Give fewer weights or a larger picture.")  # fmt: skip
    window = _window(data_range, sigma_px, window_px, k, x.shape)
    value = None
    for level, exponent in enumerate(exponents):
        similarity, structure = _similarity(xp, x, y, window)
        term = structure if level < len(exponents) - 1 else similarity
        above = term > 0
        powered = xp.where(above, xp.where(above, term, xp.ones_like(term)) ** exponent, xp.zeros_like(term))
        value = powered if value is None else value * powered
        if level < len(exponents) - 1:
            x, y = _halve(xp, x), _halve(xp, y)
    return restore(xp, _per_picture(xp, value, x.shape), dtype)


def pixel_correlation(image: ArrayT, reference: ArrayT) -> ArrayT:
    """Pearson correlation over all pixels and channels of each picture.

    Parameters
    ----------
    image, reference
        (h, w), (c, h, w), (b, c, h, w) or with more leading axes, of one shape.

    Returns
    -------
    array
        Leading axes, in [−1, 1]; NaN where a picture is uniform.

    Raises
    ------
    ValueError
        For different shapes or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.random.default_rng(0).random((2, 3, 8, 8))
    >>> pixel_correlation(picture, 1 - picture)
    array([-1., -1.])
    """
    xp, x, y, dtype = _pictures(image, reference)
    return restore(xp, pearson(_flat(xp, x), _flat(xp, y), axis=-1), dtype)


def rmse(image: ArrayT, reference: ArrayT) -> ArrayT:
    """Root mean squared error over all pixels and channels of each picture, in the unit of the pixels.

    Parameters, shapes and errors are those of `pixel_correlation`.

    Examples
    --------
    >>> import numpy as np
    >>> rmse(np.full((1, 4, 4), 0.5), np.full((1, 4, 4), 0.25))
    array(0.25)
    """
    xp, x, y, dtype = _pictures(image, reference)
    squares = _mean_square(xp, x, y)
    above = squares > 0
    return restore(xp, xp.where(above, xp.sqrt(xp.where(above, squares, xp.ones_like(squares))), squares), dtype)


def psnr(image: ArrayT, reference: ArrayT, *, data_range: float) -> ArrayT:
    """Peak signal-to-noise ratio 20 log10(data_range / RMSE), in decibels; infinite for equal pictures.

    Parameters, shapes and errors are those of `ssim`. It expects code values, as `ssim` does.

    Examples
    --------
    >>> import numpy as np
    >>> psnr(np.full((1, 4, 4), 0.6), np.full((1, 4, 4), 0.5), data_range=1.0).round(6)
    np.float64(20.0)
    """
    peak = positive("data_range", data_range, "Use 1 for [0, 1] and 255 for 8-bit codes.")
    xp, x, y, dtype = _pictures(image, reference)
    squares = _mean_square(xp, x, y)
    above = squares > 0
    ratio = 10 * xp.log10(peak * peak / xp.where(above, squares, xp.ones_like(squares)))
    return restore(xp, xp.where(above, ratio, xp.full_like(ratio, xp.inf)), dtype)


def endpoint_error(flow: ArrayT, reference: ArrayT, *, axis: int = -3) -> ArrayT:
    """End-point error: the length of the difference of two velocity (or displacement) vectors, at every place.

    The mean end-point error of a field is the mean of this over its valid places.

    Parameters
    ----------
    flow, reference
        Fields (..., 2, h, w), or probes (n, 2) with ``axis=-1``, both with the same sign of y.
    axis
        The axis of the two components.

    Returns
    -------
    array
        Shape without `axis`, in the unit of `flow` (such as deg/s or px/frame). NaN in, as marks places without truth,
        gives NaN out.

    Raises
    ------
    ValueError
        For different shapes or an axis that is not two long.

    Examples
    --------
    >>> import numpy as np
    >>> endpoint_error(np.array([[3.0, 4.0]]), np.zeros((1, 2)), axis=-1)
    array([5.])
    """
    xp, (a, b) = unpack(flow=flow, reference=reference)
    same_shape(flow=a, reference=b)
    ndim = a.ndim
    check(-ndim <= axis < ndim and a.shape[axis] == 2, "flow", f"two components long on axis {axis}", tuple(a.shape),
          "Name the axis of (u, v) with axis=.")  # fmt: skip
    difference = double(xp, a) - double(xp, b)
    squares = xp.sum(difference * difference, axis=axis)
    apart = squares != 0
    return restore(
        xp, xp.where(apart, xp.sqrt(xp.where(apart, squares, xp.ones_like(squares))), squares), floating(xp, a, b)
    )


class _Window:
    """The window as a banded matrix, with the two constants of SSIM."""

    def __init__(self, taps: np.ndarray, c1: float, c2: float) -> None:
        self.size, self.c1, self.c2 = len(taps), c1, c2
        self._band = np.stack([np.pad(taps, (i, _BLOCK - 1 - i)) for i in range(_BLOCK)])

    def band(self, xp: Any, like: Any) -> Any:
        return xp.asarray(self._band, dtype=like.dtype, device=like.device)


def _pictures(image: Any, reference: Any) -> tuple[Any, Any, Any, Any]:
    """Return both pictures in the type they are worked on: float32 stays, everything else is float64."""
    xp, (a, b) = unpack(image=image, reference=reference)
    same_shape(image=a, reference=b)
    check(a.ndim >= 2, "image", "(h, w), (c, h, w) or (b, c, h, w)", f"shape {tuple(a.shape)}")
    for name, v in (("image", a), ("reference", b)):
        if xp.isdtype(v.dtype, "real floating"):
            finite(name, v)
    dtype = floating(xp, a, b)
    return xp, xp.astype(a, dtype, copy=False), xp.astype(b, dtype, copy=False), dtype


def _window(data_range: float, sigma_px: float, window_px: int, k: tuple[float, float], shape: Any) -> _Window:
    peak = positive("data_range", data_range, "Use 1 for [0, 1] and 255 for 8-bit codes.")
    side = integer("window_px", window_px)
    check(side % 2 == 1, "window_px", "odd", side, "Use 11.")
    check(
        min(shape[-2:]) >= side, "image", f"at least {side} px on each side", tuple(shape), "Use a smaller window_px."
    )
    c1, c2 = (positive("each of k", constant) * peak for constant in k)
    return _make_window(positive("sigma_px", sigma_px), side, c1 * c1, c2 * c2)


@lru_cache(maxsize=8)
def _make_window(sigma_px: float, side: int, c1: float, c2: float) -> _Window:
    taps = np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / sigma_px) ** 2)
    return _Window(taps / taps.sum(), c1, c2)


def _filter(xp: Any, x: Any, band: Any) -> Any:
    """Separable filtering as products with a banded matrix, block by block: one code for every array library."""
    extra = band.shape[1] - band.shape[0]

    def pieces(n: int) -> list[tuple[int, int]]:
        return [(i, min(_BLOCK, n - extra - i)) for i in range(0, n - extra, _BLOCK)]

    rows = [band[:m, : m + extra] @ x[..., i : i + m + extra, :] for i, m in pieces(x.shape[-2])]
    x = xp.concat(rows, axis=-2) if len(rows) > 1 else rows[0]
    turned = xp.matrix_transpose(band)
    columns = [x[..., i : i + m + extra] @ turned[: m + extra, :m] for i, m in pieces(x.shape[-1])]
    return xp.concat(columns, axis=-1) if len(columns) > 1 else columns[0]


def _strips(xp: Any, x: Any, y: Any, window: _Window, *, n_planes: int) -> Any:
    """Yield ``(first plane, similarity, contrast-structure)`` maps of horizontal strips of `n_planes` planes."""
    band = window.band(xp, x)
    height = x.shape[-2] - window.size + 1
    on_cpu = str(array_api_compat.device(x)).startswith("cpu")
    rows = max(_BLOCK, _STRIP // (4 * n_planes * x.shape[-1]) // _BLOCK * _BLOCK) if on_cpu else height
    for first in range(0, x.shape[0], n_planes):
        a, b = x[first : first + n_planes], y[first : first + n_planes]
        # Variances do not change with an offset, but float32 loses digits to one.
        offset = restore(xp, xp.mean(double(xp, b), axis=(-2, -1), keepdims=True), b.dtype)
        a, b = a - offset, b - offset
        for top in range(0, height, rows):
            end = min(top + rows, height) + window.size - 1
            yield first, *_maps(xp, a[:, top:end], b[:, top:end], offset, band, window)


def _maps(xp: Any, x: Any, y: Any, offset: Any, band: Any, window: _Window) -> tuple[Any, Any]:
    """Return the maps of similarity and of contrast times structure (Wang 2004, eq. 13)."""
    filtered = _filter(xp, xp.stack([x, y, x * x + y * y, x * y], axis=1), band)
    mean_x, mean_y, squares, product = (filtered[:, i] for i in range(4))
    covariance = product - mean_x * mean_y
    variances = squares - mean_x * mean_x - mean_y * mean_y
    structure = (2 * covariance + window.c2) / (variances + window.c2)
    mean_x, mean_y = mean_x + offset, mean_y + offset
    luminance = (2 * mean_x * mean_y + window.c1) / (mean_x * mean_x + mean_y * mean_y + window.c1)
    return luminance * structure, structure


def _leading(x: Any) -> tuple[int, ...]:
    return tuple(x.shape[:-2])


def _planes(xp: Any, x: Any) -> Any:
    return xp.reshape(x, (-1, *x.shape[-2:]))


def _similarity(xp: Any, x: Any, y: Any, window: _Window) -> tuple[Any, Any]:
    """Return the mean of both maps for each plane, summed in float64."""
    planes_x, planes_y = _planes(xp, x), _planes(xp, y)
    n, h, w = planes_x.shape
    on_cpu = str(array_api_compat.device(x)).startswith("cpu")
    n_planes = min(n, max(1, _STRIP // (4 * _BLOCK * w))) if on_cpu else n
    sums: dict[int, list[Any]] = {}
    for first, *maps in _strips(xp, planes_x, planes_y, window, n_planes=n_planes):
        new = [xp.sum(m, axis=(-2, -1), dtype=xp.float64) for m in maps]
        sums[first] = [a + b for a, b in zip(sums[first], new, strict=True)] if first in sums else new
    count = (h - window.size + 1) * (w - window.size + 1)
    similarity, structure = (xp.concat([s[i] for s in sums.values()]) / count for i in (0, 1))
    return similarity, structure


def _per_picture(xp: Any, planes: Any, shape: Any) -> Any:
    """Average channels: (planes,) to the leading axes of (..., c, h, w)."""
    by_channel = xp.reshape(planes, tuple(shape[:-2]))
    return xp.mean(by_channel, axis=-1) if by_channel.ndim else by_channel


def _halve(xp: Any, x: Any) -> Any:
    if x.shape[-2] % 2:
        x = xp.concat([x, x[..., -1:, :]], axis=-2)
    if x.shape[-1] % 2:
        x = xp.concat([x, x[..., -1:]], axis=-1)
    x = x[..., 0::2, :] + x[..., 1::2, :]
    return (x[..., 0::2] + x[..., 1::2]) / 4


def _flat(xp: Any, x: Any) -> Any:
    leading = tuple(x.shape[:-3]) if x.ndim > 2 else ()
    return xp.reshape(x, (*leading, -1))


def _mean_square(xp: Any, x: Any, y: Any) -> Any:
    difference = _flat(xp, double(xp, x) - double(xp, y))
    return xp.mean(difference * difference, axis=-1)
