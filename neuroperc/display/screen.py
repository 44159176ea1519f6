"""`Display`: the monitor, in degrees and pixels."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .._check import as_rng, check, fail, finite, integer, one_of, pair, positive, whole_pair
from . import angles, exchange
from .angles import RAD, is_torch, like
from .calibration import Calibration, DacFrames, nearest_codes

Geometry = Literal["tangent", "small_angle"]


@dataclass(frozen=True)
class Display:
    """A monitor and the eye in front of it.

    Degrees have their origin at the screen's centre, x to the right and y up. Pixel (0, 0) is the centre of the
    top-left pixel, so the screen's centre is pixel ((width - 1) / 2, (height - 1) / 2).

    Parameters
    ----------
    resolution_px
        (height, width) in pixels.
    size_m, distance_m
        (height, width) of the lit area and viewing distance, in metres.
    refresh_hz
        Refresh rate in Hz.
    geometry
        "tangent": a flat screen, x_deg = atan(x_m / distance_m) on each axis, eccentricity the angle between rays.
        "small_angle": constant pixels per degree. Default: tangent when size and distance are known.
    calibration
        From code to light; needed for `to_dac` and cone spaces.
    px_per_deg_hw
        (vertical, horizontal) pixels per degree of a display whose size is unknown; see `from_px_per_deg`.

    Raises
    ------
    ValueError, TypeError
        When a size is not positive, or size, distance and pixels per degree do not make one geometry.

    References
    ----------
    PsychoPy's "deg" is "small_angle" with 0.017455 for the tangent of one degree; its "degFlatPos" is "tangent".

    Examples
    --------
    >>> lab = Display(resolution_px=(1080, 1920), size_m=(0.30, 0.53), distance_m=0.57, refresh_hz=120)
    >>> round(lab.px_per_deg, 2)
    35.93
    >>> round(float(lab.eccentricity_deg((0, 0), points_deg=(20, 20))), 4)
    27.2363
    """

    resolution_px: tuple[int, int]
    size_m: tuple[float, float] | None = None
    distance_m: float | None = None
    refresh_hz: float = 60.0
    geometry: Geometry | None = None
    calibration: Calibration | None = None
    px_per_deg_hw: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check every field and settle the geometry."""
        height, width = whole_pair("resolution_px", self.resolution_px)
        object.__setattr__(self, "resolution_px", (height, width))
        positive("refresh_hz", self.refresh_hz)
        if self.distance_m is not None:
            positive("distance_m", self.distance_m, "Give the viewing distance in metres.")
        if self.size_m is not None:
            size = pair("size_m", self.size_m)
            check(min(size) > 0, "size_m", "above 0 metres", self.size_m)
            object.__setattr__(self, "size_m", size)
        if self.px_per_deg_hw is not None:
            density = pair("px_per_deg_hw", self.px_per_deg_hw)
            check(min(density) > 0, "px_per_deg_hw", "above 0", self.px_per_deg_hw)
            object.__setattr__(self, "px_per_deg_hw", density)
        if self.calibration is not None and not isinstance(self.calibration, Calibration):
            fail("calibration", "a Calibration", self.calibration, error=TypeError)
        self._settle_geometry()

    def _settle_geometry(self) -> None:
        measured = self.size_m is not None and self.distance_m is not None
        if self.geometry is not None:
            one_of("geometry", self.geometry, ("tangent", "small_angle"))
        if measured and self.px_per_deg_hw is not None:
            fail("px_per_deg_hw", "left out when size_m and distance_m are given", self.px_per_deg_hw)
        if not measured and (self.px_per_deg_hw is None or self.geometry == "tangent"):
            fail(
                "distance_m", "given (with size_m) for tangent geometry", self.distance_m,
                "Give distance_m and size_m in metres, or use Display.from_px_per_deg for the small-angle rule.",
            )  # fmt: skip
        if self.geometry is None:
            object.__setattr__(self, "geometry", "tangent" if measured else "small_angle")

    @classmethod
    def from_px_per_deg(
        cls,
        px_per_deg: float,
        *,
        resolution_px: tuple[int, int],
        distance_m: float | None = None,
        refresh_hz: float = 60.0,
        geometry: Geometry | None = None,
        calibration: Calibration | None = None,
    ) -> Display:
        """Make a display with square pixels from its pixels per degree at the centre.

        Parameters
        ----------
        px_per_deg
            Pixels per degree of visual angle at the screen's centre.
        resolution_px
            (height, width) in pixels.
        distance_m
            Viewing distance in metres; with it the screen's size is known and the geometry is tangent.
        refresh_hz, geometry, calibration
            As in `Display`.

        Examples
        --------
        >>> Display.from_px_per_deg(32, resolution_px=(512, 512)).extent_deg
        (16.0, 16.0)
        """
        density = positive("px_per_deg", px_per_deg)
        common: dict[str, Any] = {"refresh_hz": refresh_hz, "geometry": geometry, "calibration": calibration}
        if distance_m is None:
            return cls(resolution_px, px_per_deg_hw=(density, density), **common)
        pitch_m = positive("distance_m", distance_m) * RAD / density
        height, width = whole_pair("resolution_px", resolution_px)
        return cls(resolution_px, (height * pitch_m, width * pitch_m), distance_m, **common)

    @property
    def _density_hw(self) -> tuple[float, float]:
        """Pixels per degree at the centre, vertical and horizontal."""
        if self.px_per_deg_hw is not None:
            return self.px_per_deg_hw
        size, distance = self._measured("pixels per degree")
        return (
            self.resolution_px[0] / size[0] * distance * RAD,
            self.resolution_px[1] / size[1] * distance * RAD,
        )

    @property
    def px_per_deg(self) -> float:
        """Pixels per degree at the screen's centre (geometric mean of the axes when pixels are not square)."""
        vertical, horizontal = self._density_hw
        return vertical if vertical == horizontal else math.sqrt(vertical * horizontal)

    @property
    def extent_deg(self) -> tuple[float, float]:
        """(height, width) of the screen in degrees, from edge to edge."""
        height, width = (n / d for n, d in zip(self.resolution_px, self._density_hw, strict=True))
        if self.geometry == "small_angle":
            return height, width
        return 2 * math.atan(height * RAD / 2) / RAD, 2 * math.atan(width * RAD / 2) / RAD

    @property
    def nyquist_cpd(self) -> float:
        """Highest spatial frequency the screen's centre can show, in cycles per degree."""
        return self.px_per_deg / 2

    @property
    def center_px(self) -> tuple[float, float]:
        """(x, y) of the screen's centre in pixels."""
        return (self.resolution_px[1] - 1) / 2, (self.resolution_px[0] - 1) / 2

    def to_deg(self, points_px: Any) -> Any:
        """Convert pixel positions to degrees.

        Parameters
        ----------
        points_px
            (..., 2) array, sequence or tensor of (x, y); pixel centres at whole numbers, y down.

        Returns
        -------
        ndarray of float64 or Tensor
            (..., 2), (x, y) in degrees from the screen's centre, y up. A tensor keeps device, dtype and gradient.
        """
        xp, (points,) = like((points_px,))
        _last_two("points_px", points)
        center, (vertical, horizontal) = self.center_px, self._density_hw
        x, y = (points[..., 0] - center[0]) / horizontal, (center[1] - points[..., 1]) / vertical
        if self.geometry == "tangent":
            x, y = (xp.arctan(v * RAD) / RAD for v in (x, y))
        return xp.stack((x, y), -1)

    def to_px(self, points_deg: Any) -> Any:
        """Convert degrees to pixel positions, (..., 2) (x, y); the inverse of `to_deg`.

        Raises
        ------
        ValueError
            When a point in tangent geometry lies 90 degrees or more from the centre of a flat screen.
        """
        xp, (points,) = like((points_deg,))
        _last_two("points_deg", points)
        x, y = points[..., 0], points[..., 1]
        if self.geometry == "tangent":
            if xp is np and np.any(np.abs(points) >= 90):
                fail("points_deg", "within 90 degrees of a flat screen's centre", float(np.abs(points).max()))
            x, y = (xp.tan(xp.clip(v, -89.99, 89.99) * RAD) / RAD for v in (x, y))
        center, (vertical, horizontal) = self.center_px, self._density_hw
        return xp.stack((center[0] + x * horizontal, center[1] - y * vertical), -1)

    def pixels_deg(
        self,
        shape_px: tuple[int, int] | None = None,
        stride_px: tuple[float, float] = (1.0, 1.0),
        offset_px: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:
        """Return the position of every pixel in degrees, (h, w, 2) float64.

        Parameters
        ----------
        shape_px, stride_px, offset_px
            (height, width) of a subsampled grid, its (vertical, horizontal) step and first sample: its sample i sits at
            pixel i * stride + offset of the full picture. Default: every pixel.
        """
        height, width = self.resolution_px if shape_px is None else whole_pair("shape_px", shape_px)
        rows = np.arange(height) * stride_px[0] + offset_px[0]
        columns = np.arange(width) * stride_px[1] + offset_px[1]
        return np.asarray(self.to_deg(np.stack(np.meshgrid(columns, rows), -1)))

    def check_fixation(self, fixation_deg: Any, batch: int | None = None) -> Any:
        """Return the fixation as a float array or tensor of shape (2,) or (batch, 2).

        Raises
        ------
        ValueError
            When its shape is wrong, a number is not finite, or it lies off the screen.
        """
        xp, (fixation,) = like((fixation_deg,))
        shape = tuple(fixation.shape)
        if shape != (2,) and not (len(shape) == 2 and shape[1] == 2 and (batch is None or shape[0] == batch)):
            wanted = "(2,) or (batch, 2)" if batch is None else f"(2,) or ({batch}, 2)"
            fail("fixation_deg", f"(x, y) in degrees, of shape {wanted}", f"shape {shape}")
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_compiling():
            return fixation  # a check of values would break the compiled graph; the caller's eager run has made it
        finite("fixation_deg", fixation)
        half = np.asarray(self.extent_deg)[::-1] / 2
        values = np.asarray(fixation.detach().cpu() if xp is not np else fixation, dtype=float).reshape(-1, 2)
        off = np.argwhere((np.abs(values) > half + 1e-6).any(1))
        if len(off):
            x, y = values[off[0, 0]]
            fail(
                "fixation_deg", f"on the screen (x within {half[0]:.4g}, y within {half[1]:.4g} degrees)",
                f"({x:.4g}, {y:.4g})", "To look beside a picture, show it on a larger Display (fit='pad').",
            )  # fmt: skip
        return fixation

    def polar(self, fixation_deg: Any = (0.0, 0.0), points_deg: Any = None) -> tuple[Any, Any]:
        """Return eccentricity and polar angle around the gaze.

        Parameters
        ----------
        fixation_deg
            (2,), or (b, 2) for a map an item; with `points_deg` it broadcasts against the points.
        points_deg
            (..., 2); default: every pixel.

        Returns
        -------
        eccentricity_deg, angle_rad
            (h, w), (b, h, w), or the shape of the points. The angle runs counter-clockwise from rightward. In tangent
            geometry it is taken about the line of sight after the shortest rotation from straight ahead (Listing).
        """
        if points_deg is None:
            points_deg = self.pixels_deg()
            fixation_deg = self.check_fixation(fixation_deg)
            if fixation_deg.ndim == 2:
                fixation_deg = fixation_deg[:, None, None]
        xp, (fixation, points) = like((fixation_deg, points_deg))
        _last_two("points_deg", points)
        return angles.polar(xp, fixation, points, self.geometry == "tangent")

    def eccentricity_deg(self, fixation_deg: Any = (0.0, 0.0), points_deg: Any = None) -> Any:
        """Return the eccentricity of every pixel or of given points, in degrees; see `polar`.

        Two arrays of fixations give saccade amplitudes:

        >>> flat = Display.from_px_per_deg(30, resolution_px=(1200, 2400), distance_m=0.6)
        >>> round(float(flat.eccentricity_deg((20, 0), points_deg=(20, 10))), 4)
        9.408
        """
        return self.polar(fixation_deg, points_deg)[0]

    def point_at(self, eccentricity_deg: Any, angle_rad: Any, fixation_deg: Any = (0.0, 0.0)) -> Any:
        """Return the screen point (..., 2) in degrees at a polar position around the gaze; the inverse of `polar`.

        `eccentricity_deg` and `angle_rad` broadcast; `fixation_deg` is (2,) or broadcasts against (..., 2). Rays that
        miss a flat screen come back just inside 90 degrees, off any picture.
        """
        xp, (ecc, angle, fixation) = like((eccentricity_deg, angle_rad, fixation_deg))
        return angles.point_at(xp, ecc, angle, fixation, self.geometry == "tangent")

    def on_screen(self, points_deg: Any) -> Any:
        """Return whether each point (..., 2) falls on a pixel: floor(x + 0.5) is a column, floor(y + 0.5) a row.

        NaN points are not on the screen.
        """
        xp, (points,) = like((points_deg,))
        _last_two("points_deg", points)
        # A flat screen ends before 90 degrees; beyond, the tangent would come back on the other side.
        inside = (abs(points) < 90).all(-1) if self.geometry == "tangent" else True
        bounded = xp.clip(points, -89.99, 89.99) if self.geometry == "tangent" else points
        index = xp.floor(self.to_px(bounded) + 0.5)
        height, width = self.resolution_px
        x, y = index[..., 0], index[..., 1]
        return (x >= 0) & (x < width) & (y >= 0) & (y < height) & inside

    def crop(self, resolution_px: tuple[int, int]) -> Display:
        """Return the central part of the screen, (height, width) in pixels; larger than the screen extends it."""
        height, width = whole_pair("resolution_px", resolution_px)
        size = self.size_m
        if size is not None:
            size = (size[0] * height / self.resolution_px[0], size[1] * width / self.resolution_px[1])
        return dataclasses.replace(self, resolution_px=(height, width), size_m=size)

    def scale(self, factor: float) -> Display:
        """Return the same screen in degrees with `factor` times the pixels on each axis.

        Raises
        ------
        ValueError
            When the new resolution is not a whole number of pixels.
        """
        positive("factor", factor)
        wanted = [n * factor for n in self.resolution_px]
        whole = round(wanted[0]), round(wanted[1])
        ok = min(whole) >= 1 and max(abs(n - w) for n, w in zip(wanted, whole, strict=True)) < 1e-6
        check(ok, "factor", f"one that makes {self.resolution_px} whole pixels", factor, "Crop the display first.")
        density = self.px_per_deg_hw
        if density is not None:
            density = density[0] * factor, density[1] * factor
        return dataclasses.replace(self, resolution_px=whole, px_per_deg_hw=density)

    def to_dac(
        self,
        linear: Any,
        bits: int | None = None,
        dither: Literal["noise"] | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> DacFrames:
        """Turn linear light into codes for the graphics card through the calibration; never rescale.

        Parameters
        ----------
        linear
            Linear light in [0, 1]: (..., 3, h, w), or greys of any shape when the three channels are calibrated alike.
        bits
            8, 10 or 12; default the calibration's.
        dither
            "noise": each pixel takes one of its two nearest codes at random so that its expected light is exact.
        rng
            Seed or generator, needed for dither.

        Returns
        -------
        DacFrames
            `codes` (uint8 or uint16, the shape of the input) and `n_clipped`, values outside [0, 1].

        Raises
        ------
        ValueError
            Without a calibration, for NaN, or for one grey channel on a screen whose channels differ.
        """
        calibration = self._needs_calibration()
        bits = integer("bits", calibration.bits if bits is None else bits, 1)
        one_of("bits", bits, (8, 10, 12, 14, 16))
        one_of("dither", dither, (None, "noise"))
        values = np.asarray(linear.detach().cpu() if is_torch(linear) else linear, dtype=np.float64)
        finite("linear", values)
        generator = as_rng(rng) if dither else None
        n_clipped = int(((values < 0) | (values > 1)).sum())
        values = np.clip(values, 0, 1)
        codes = np.empty(values.shape, dtype=np.uint8 if bits == 8 else np.uint16)
        for part, channel in self._channels(values.shape, calibration):
            codes[part] = nearest_codes(values[part], calibration, channel, 2**bits - 1, generator)
        return DacFrames(codes, n_clipped)

    def from_dac(self, codes: ArrayLike, bits: int | None = None) -> np.ndarray:
        """Return the linear light that codes make on this display; same shape as `codes`."""
        calibration = self._needs_calibration()
        top = 2 ** integer("bits", calibration.bits if bits is None else bits, 1) - 1
        values = np.asarray(codes)
        check(values.dtype.kind in "iu", "codes", "integers", values.dtype, error=TypeError)
        check(values.size == 0 or (values.min() >= 0 and values.max() <= top), "codes", f"0 to {top}", values.max())
        light = np.empty(values.shape)
        for part, channel in self._channels(values.shape, calibration):
            light[part] = calibration.decode(values[part] / top, channel)
        return light

    def _needs_calibration(self) -> Calibration:
        if self.calibration is None:
            fail(
                "calibration",
                "measured before light can be turned into codes",
                None,
                "Pass calibration=Calibration(...).",
            )
        return self.calibration

    @staticmethod
    def _channels(shape: tuple[int, ...], calibration: Calibration) -> list[tuple[Any, int]]:
        if len(shape) >= 3 and shape[-3] == 3:
            return [((..., channel, slice(None), slice(None)), channel) for channel in range(3)]
        if not calibration.channels_alike:
            fail(
                "linear", "of shape (..., 3, h, w) on a screen whose channels differ", shape, "Repeat the grey channel."
            )
        return [(..., 0)]

    def to_bids(self) -> dict[str, Any]:
        """Return the `StimulusPresentation` object of BIDS eye tracking 1.11: metres, pixels, (width, height) order."""
        size, distance = self._measured("BIDS export")
        return exchange.to_bids(self.resolution_px, size, distance, self.refresh_hz)

    @classmethod
    def from_bids(cls, presentation: dict[str, Any], *, geometry: Geometry = "tangent") -> Display:
        """Make a display from the `StimulusPresentation` object of a BIDS events sidecar.

        Raises
        ------
        ValueError
            When one of ScreenDistance, ScreenResolution and ScreenSize is missing.
        """
        return cls(**exchange.from_bids(presentation), geometry=geometry)

    def to_psychopy(self, name: str = "neuroperc") -> dict[str, Any]:
        """Return what PsychoPy's Monitor needs: centimetres, sizePix as (width, height), gamma, and the units to use.

        PsychoPy takes the pixel pitch of the width for both axes, so displays with other than square pixels differ
        vertically; `pixel_aspect` (height over width of a pixel) says by how much.
        """
        size, distance = self._measured("monitor export")
        gamma = None if self.calibration is None else np.ravel(self.calibration.gamma).tolist()
        units = "degFlatPos" if self.geometry == "tangent" else "deg"
        monitor = exchange.to_psychopy(self.resolution_px, size, distance, self.refresh_hz)
        return {"name": name, **monitor, "gamma": gamma, "units": units}

    def _measured(self, what: str) -> tuple[tuple[float, float], float]:
        if self.size_m is None or self.distance_m is None:
            fail(
                "distance_m", f"known for {what}", self.distance_m,
                "Make the display with size_m and distance_m, or from_px_per_deg(..., distance_m=...).",
            )  # fmt: skip
        return self.size_m, self.distance_m

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists that `from_dict` and JSON understand."""
        fields = dataclasses.asdict(self)
        if self.calibration is not None:
            for key in ("table", "spectra", "wavelength_nm"):
                if fields["calibration"][key] is not None:
                    fields["calibration"][key] = np.asarray(fields["calibration"][key]).tolist()
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Display:
        """Make the display that `to_dict` described.

        Raises
        ------
        ValueError
            When a key is unknown or `resolution_px` is missing.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        check(set(fields) <= known, "fields", f"among {sorted(known)}", sorted(set(fields) - known))
        check("resolution_px" in fields, "fields", "with resolution_px", sorted(fields))
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
        if values.get("calibration") is not None:
            inner = {key: _tuples(v) for key, v in values["calibration"].items()}
            values["calibration"] = Calibration(**inner)
        return cls(**values)

    def _repr_html_(self) -> str:
        return exchange.html_table(self)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _last_two(name: str, points: Any) -> None:
    if points.ndim == 0 or points.shape[-1] != 2:
        fail(name, "of shape (..., 2), (x, y)", f"shape {tuple(points.shape)}")
