"""sRGB, linear light, luminance, and cone and DKL spaces from calibrated primaries."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ._check import check, fail

#: Rec. 709 luminance of linear red, green and blue (IEC 61966-2-1).
LUMINANCE_WEIGHTS = (0.2126, 0.7152, 0.0722)

#: XYZ (Judd-Vos) to L, M, S cone excitations; L + M is luminance (Smith & Pokorny 1975).
SMITH_POKORNY = np.array([[0.15514, 0.54312, -0.03286], [-0.15514, 0.45684, 0.03286], [0.0, 0.0, 0.01608]])


class HasPrimaries(Protocol):
    """What the cone spaces need of a calibration."""

    @property
    def primaries_xyy(self) -> Any: ...  # noqa: D102
    @property
    def spectra(self) -> Any: ...  # noqa: D102
    @property
    def wavelength_nm(self) -> Any: ...  # noqa: D102


def _namespace(x: Any) -> Any:
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(x, torch.Tensor) else np


def _float(name: str, x: Any) -> tuple[Any, Any]:
    xp = _namespace(x)
    if xp is np:
        x = np.asarray(x)
    kind = x.is_floating_point() if xp is not np else x.dtype.kind == "f"
    if not kind:
        fail(name, "floating point in [0, 1]", x.dtype, "Divide 8-bit codes by 255 first.", TypeError)
    return xp, x


def srgb_to_linear(codes: Any) -> Any:
    """Decode sRGB code values in [0, 1] to linear light (IEC 61966-2-1); any shape, NumPy or torch.

    Values outside [0, 1] follow the same curve, odd around 0, so that nothing is clipped silently.

    Examples
    --------
    >>> round(float(srgb_to_linear(np.array(0.5))), 6)
    0.214041
    """
    xp, x = _float("codes", codes)
    size = abs(x)
    curve = ((xp.clip(size, 0.04045, None) + 0.055) / 1.055) ** 2.4
    return xp.sign(x) * xp.where(size <= 0.04045, size / 12.92, curve)


def linear_to_srgb(linear: Any) -> Any:
    """Encode linear light in [0, 1] to sRGB code values; the inverse of `srgb_to_linear`."""
    xp, x = _float("linear", linear)
    size = abs(x)
    curve = 1.055 * xp.clip(size, 0.0031308, None) ** (1 / 2.4) - 0.055
    return xp.sign(x) * xp.where(size <= 0.0031308, size * 12.92, curve)


def luminance(linear: Any, axis: int = -3) -> Any:
    """Return Rec. 709 luminance of linear RGB, keeping the channel axis with one entry; greys come back unchanged.

    Parameters
    ----------
    linear
        Linear light with 1 or 3 channels along `axis`.
    axis
        The channel axis.

    Raises
    ------
    ValueError
        When there are neither 1 nor 3 channels.
    """
    xp, x = _float("linear", linear)
    channels = x.shape[axis]
    if channels == 1:
        return x
    check(channels == 3, "linear", "an image of 1 or 3 channels", f"{channels} channels along axis {axis}")
    moved = xp.moveaxis(x, axis, -1)
    grey = sum(weight * moved[..., i] for i, weight in enumerate(LUMINANCE_WEIGHTS))
    return xp.moveaxis(grey[..., None], -1, axis)


def _apply(matrix: np.ndarray, x: Any, axis: int) -> Any:
    xp, x = _float("linear", x)
    check(x.shape[axis] == 3, "linear", "of 3 channels", f"{x.shape[axis]} along axis {axis}")
    matrix = xp.asarray(matrix, dtype=x.dtype) if xp is np else xp.as_tensor(matrix, dtype=x.dtype, device=x.device)
    return xp.moveaxis(xp.moveaxis(x, axis, -1) @ matrix.T, -1, axis)


def cone_matrix(calibration: HasPrimaries | None, fundamentals: ArrayLike | None = None) -> np.ndarray:
    """Return the (3, 3) matrix from linear RGB to L, M, S excitations of this monitor.

    Parameters
    ----------
    calibration
        With `primaries_xyy`, or with `spectra`.
    fundamentals
        (n_wavelengths, 3) cone fundamentals at the calibration's wavelengths; needed with spectra.

    Raises
    ------
    ValueError
        Without calibrated primaries: an uncalibrated monitor has no cone space.

    References
    ----------
    Smith & Pokorny (1975), Vision Research 15, 161-171, for primaries given as chromaticities.
    """
    if calibration is None or (calibration.primaries_xyy is None and calibration.spectra is None):
        fail(
            "calibration", "one with primaries_xyy or spectra", calibration,
            "Measure the primaries: cone and DKL spaces are not defined for an uncalibrated monitor.",
        )  # fmt: skip
    if calibration.spectra is not None:
        if fundamentals is None:
            fail("fundamentals", "given with spectra", None, "Pass (n_wavelengths, 3) L, M, S sensitivities.")
        sensitivity, spectra = np.asarray(fundamentals, dtype=float), np.asarray(calibration.spectra, dtype=float)
        check(sensitivity.shape == spectra.shape, "fundamentals", f"of shape {spectra.shape}", sensitivity.shape)
        step = np.gradient(np.asarray(calibration.wavelength_nm, dtype=float))
        return np.asarray((sensitivity * step[:, None]).T @ spectra)
    xyy = np.asarray(calibration.primaries_xyy, dtype=float)
    x, y, big_y = xyy.T
    return np.asarray(SMITH_POKORNY @ np.stack((x / y * big_y, big_y, (1 - x - y) / y * big_y)))


def rgb_to_cone(
    linear: Any, calibration: HasPrimaries, *, fundamentals: ArrayLike | None = None, axis: int = -3
) -> Any:
    """Return L, M, S excitations of linear RGB, channels along `axis`; see `cone_matrix`."""
    return _apply(cone_matrix(calibration, fundamentals), linear, axis)


def cone_to_rgb(lms: Any, calibration: HasPrimaries, *, fundamentals: ArrayLike | None = None, axis: int = -3) -> Any:
    """Return the linear RGB that excites the cones so; values outside [0, 1] are out of gamut, never clipped here."""
    return _apply(np.linalg.inv(cone_matrix(calibration, fundamentals)), lms, axis)


def dkl_matrix(
    calibration: HasPrimaries, background: ArrayLike, *, fundamentals: ArrayLike | None = None
) -> np.ndarray:
    """Return the (3, 3) matrix from RGB increments about a background to DKL: luminance, L-M, S-(L+M).

    Each axis is scaled so that the stimulus which isolates it has unit pooled cone contrast at 1.

    Parameters
    ----------
    calibration, fundamentals
        As in `cone_matrix`.
    background
        Linear RGB of the background, (3,), above 0.

    References
    ----------
    Derrington, Krauskopf & Lennie (1984); scaling after Brainard (1996), "Cone contrast and opponent modulation
    color spaces".
    """
    to_cone = cone_matrix(calibration, fundamentals)
    ground = np.asarray(background, dtype=float)
    check(ground.shape == (3,) and bool((ground > 0).all()), "background", "linear RGB above 0, shape (3,)", background)
    el, em, es = lms = to_cone @ ground
    raw = np.array([[1, 1, 0], [1, -el / em, 0], [-1, -1, (el + em) / es]])
    isolating = np.linalg.inv(raw)
    unit = isolating / np.linalg.norm(isolating / lms[:, None], axis=0)
    return np.asarray((raw / np.diag(raw @ unit)[:, None]) @ to_cone)


def rgb_to_dkl(
    linear: Any,
    calibration: HasPrimaries,
    *,
    background: ArrayLike,
    fundamentals: ArrayLike | None = None,
    axis: int = -3,
) -> Any:
    """Return DKL coordinates (luminance, L-M, S-(L+M)) of linear RGB about a named background; see `dkl_matrix`."""
    ground = np.asarray(background, dtype=float)
    matrix = dkl_matrix(calibration, ground, fundamentals=fundamentals)
    xp, x = _float("linear", linear)
    return _apply(matrix, x - _along(ground, xp, x, axis), axis)


def dkl_to_rgb(
    dkl: Any,
    calibration: HasPrimaries,
    *,
    background: ArrayLike,
    fundamentals: ArrayLike | None = None,
    axis: int = -3,
) -> Any:
    """Return the linear RGB of DKL coordinates about a named background; out-of-gamut values are not clipped."""
    ground = np.asarray(background, dtype=float)
    matrix = np.linalg.inv(dkl_matrix(calibration, ground, fundamentals=fundamentals))
    change = _apply(matrix, dkl, axis)
    return change + _along(ground, _namespace(change), change, axis)


def _along(ground: np.ndarray, xp: Any, x: Any, axis: int) -> Any:
    shape = [1] * x.ndim
    shape[axis] = 3
    values = ground.reshape(shape)
    return values.astype(x.dtype) if xp is np else xp.as_tensor(values, dtype=x.dtype, device=x.device)
