"""`Calibration`: the measured path from code to light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._check import check, fail, finite, integer, non_negative, positive


class DacFrames(NamedTuple):
    """Codes for the graphics card, and how many values lay outside the gamut and were clipped.

    Examples
    --------
    >>> DacFrames(np.zeros((2, 2), np.uint8), 1).n_clipped
    1
    """

    codes: np.ndarray
    n_clipped: int


@dataclass(frozen=True)
class Calibration:
    """What a monitor does with a code: the measured path from code to light.

    Parameters
    ----------
    gamma
        Exponent, one number or one a channel (red, green, blue). Ignored when `table` is given.
    offset
        Offset of the gain-offset-gamma model, light = ((1 - offset) code + offset) ** gamma, rescaled to 0 to 1;
        one number or one a channel.
    table
        Measured light, shape (n_levels,) or (n_levels, 3), at evenly spaced codes from 0 to 1; any unit, increasing.
    black_cd_m2, white_cd_m2
        Luminance of the darkest and brightest grey, in cd/m2.
    primaries_xyy
        CIE (x, y, Y) of red, green and blue, three rows; Y in cd/m2.
    spectra, wavelength_nm
        Emission spectra of the primaries, shape (n_wavelengths, 3), and their wavelengths in nm.
    bits
        Bit depth of the graphics card and monitor, 8 to 16.
    date
        When it was measured (ISO 8601).

    Raises
    ------
    ValueError
        When a table does not increase, white is not brighter than black, or a number is not finite.

    Examples
    --------
    >>> Calibration(gamma=(2.1, 2.2, 2.3), black_cd_m2=0.2, white_cd_m2=100).luminance_cd_m2(0.5)
    50.1
    """

    gamma: float | tuple[float, float, float] = 2.2
    offset: float | tuple[float, float, float] = 0.0
    table: ArrayLike | None = None
    black_cd_m2: float = 0.0
    white_cd_m2: float = 100.0
    primaries_xyy: tuple[tuple[float, float, float], ...] | None = None
    spectra: ArrayLike | None = None
    wavelength_nm: ArrayLike | None = None
    bits: int = 8
    date: str = ""

    def __post_init__(self) -> None:
        """Check every field."""
        gamma = np.broadcast_to(np.asarray(self.gamma, dtype=float), (3,))
        offset = np.broadcast_to(np.asarray(self.offset, dtype=float), (3,))
        check(bool((np.isfinite(gamma) & (gamma > 0)).all()), "gamma", "finite and above 0", self.gamma)
        check(bool((np.isfinite(offset) & (abs(offset) < 1)).all()), "offset", "between -1 and 1", self.offset)
        non_negative("black_cd_m2", self.black_cd_m2)
        positive("white_cd_m2", self.white_cd_m2)
        check(self.white_cd_m2 > self.black_cd_m2, "white_cd_m2", "above black_cd_m2", self.white_cd_m2)
        integer("bits", self.bits, 1)
        if self.table is not None:
            self._check_table(np.asarray(self.table, dtype=float))
        if self.primaries_xyy is not None:
            primaries = np.asarray(self.primaries_xyy, dtype=float)
            check(primaries.shape == (3, 3), "primaries_xyy", "three rows of (x, y, Y)", self.primaries_xyy)
            finite("primaries_xyy", primaries)
            check(bool((primaries[:, 1:] > 0).all()), "primaries_xyy", "rows with y and Y above 0", self.primaries_xyy)
        if (self.spectra is None) != (self.wavelength_nm is None):
            fail("spectra", "given together with wavelength_nm", "only one of them")
        if self.spectra is not None:
            spectra = np.asarray(self.spectra, dtype=float)
            finite("spectra", spectra)
            check(
                spectra.shape == (np.asarray(self.wavelength_nm).size, 3),
                "spectra",
                "(n_wavelengths, 3)",
                spectra.shape,
            )

    def _check_table(self, table: np.ndarray) -> None:
        ok = table.ndim in (1, 2) and len(table) >= 2 and (table.ndim == 1 or table.shape[1] == 3)
        check(ok, "table", "of shape (n_levels,) or (n_levels, 3) with two levels or more", table.shape)
        finite("table", table)
        steps = np.diff(table, axis=0)
        check(
            bool((steps > 0).all()), "table", "increasing in every channel", f"a smallest step of {steps.min():g}",
            "Average repeated measurements, or fit gamma and offset instead.",
        )  # fmt: skip

    @property
    def channels_alike(self) -> bool:
        """Whether red, green and blue share one curve, so that a grey picture may stay one channel."""
        if self.table is not None:
            table = np.asarray(self.table, dtype=float)
            if table.ndim == 1:
                return True
            light = (table - table[0]) / (table[-1] - table[0])
            return bool(np.allclose(light, light[:, :1], rtol=0, atol=1e-12))
        return len(set(np.ravel(self.gamma))) == 1 and len(set(np.ravel(self.offset))) == 1

    def _curve(self, channel: int) -> tuple[float, float]:
        gamma = np.broadcast_to(np.asarray(self.gamma, dtype=float), (3,))[channel]
        offset = np.broadcast_to(np.asarray(self.offset, dtype=float), (3,))[channel]
        return float(gamma), float(offset)

    def _levels(self, channel: int) -> np.ndarray | None:
        if self.table is None:
            return None
        table = np.asarray(self.table, dtype=float)
        column = table if table.ndim == 1 else table[:, channel]
        return np.asarray((column - column[0]) / (column[-1] - column[0]))

    def decode(self, code: ArrayLike, channel: int = 0) -> np.ndarray:
        """Return the linear light, 0 to 1, that a code from 0 to 1 makes on one channel."""
        code = np.asarray(code, dtype=np.float64)
        levels = self._levels(channel)
        if levels is not None:
            return np.interp(code, np.linspace(0, 1, len(levels)), levels)
        gamma, offset = self._curve(channel)
        floor = max(offset, 0.0) ** gamma
        return (np.maximum((1 - offset) * code + offset, 0) ** gamma - floor) / (1 - floor)

    def encode(self, linear: ArrayLike, channel: int = 0) -> np.ndarray:
        """Return the real-valued code, 0 to 1, that makes a linear light from 0 to 1 on one channel."""
        linear = np.asarray(linear, dtype=np.float64)
        levels = self._levels(channel)
        if levels is not None:
            return np.interp(linear, levels, np.linspace(0, 1, len(levels)))
        gamma, offset = self._curve(channel)
        floor = max(offset, 0.0) ** gamma
        code = ((np.maximum(linear, 0) * (1 - floor) + floor) ** (1 / gamma) - offset) / (1 - offset)
        return np.where(linear <= 0, 0.0, code)

    def luminance_cd_m2(self, linear: Any) -> Any:
        """Return cd/m2 for linear light (a number, an array or a tensor of greys)."""
        return self.black_cd_m2 + (self.white_cd_m2 - self.black_cd_m2) * linear


def nearest_codes(
    light: np.ndarray, calibration: Calibration, channel: int, top: int, rng: np.random.Generator | None
) -> np.ndarray:
    """Codes whose light is nearest (or, with `rng`, right on average)."""
    low = np.clip(np.floor(calibration.encode(light, channel) * top + 1e-9), 0, top - 1)
    below, above = calibration.decode(low / top, channel), calibration.decode((low + 1) / top, channel)
    share = np.where(above > below, (light - below) / np.where(above > below, above - below, 1), 0.0)
    step = share >= 0.5 if rng is None else rng.random(light.shape) < share
    return np.asarray(low + step)
