"""`PoolingWindows`: averages over log-polar windows that grow with eccentricity, and the way back."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._check import check, fail, one_of, pair, positive, whole_pair
from ..display import Display
from ._nodes import Nodes
from ._sparse import transpose
from ._taps import GAUSSIAN_REACH

_HALF_MAXIMUM = {"cosine": 0.5, "gaussian": math.sqrt(2 * math.log(2))}
#: Windows with a smaller share of their area on the picture have no mass.
_LEAST_SHARE = 1e-10


class _Plan(NamedTuple):
    """The windows of one gaze, dtype and device.

    `entries` are the rows of a sparse matrix (pixels x nodes): pointers, columns, values; and perhaps those of its
    transpose; or, where that is too much to store, the coordinates u and v.
    """

    entries: tuple[Tensor, ...]
    mass: Tensor


class PoolingWindows(nn.Module):
    """Average features over windows whose size grows linearly with eccentricity, and spread averages back.

    Window (ring n, wedge m) is h(u - n) h(v - m), h a raised cosine or a Gaussian, on log-polar coordinates around the
    gaze: u = ln(e / e0) / w_e - 1 and v = angle / w_angle. Windows are numbered ring by ring from the fovea, wedges
    counter-clockwise from rightward: index = ring * n_wedges + wedge. Neighbours sum to one.

    Parameters
    ----------
    display
        Geometry of the pictures.
    scaling
        Radial full width at half maximum divided by eccentricity (dimensionless).
    window
        "cosine": raised cosine with a flat top. "gaussian": standard deviation of one window spacing.
    fixation_deg
        Default gaze, (x, y).
    min_eccentricity_deg
        e0; ring n is centred at e0 exp(w_e (n + 1)). The fovea inside is seen by no window.
    max_eccentricity_deg
        Sets the number of rings, whatever the gaze; default half the display's longer side.
    aspect
        Radial width divided by tangential width.
    transition
        Width of the raised cosine's flank, as a share of the window spacing, above 0 to 1.
    convention
        Wedges a ring: "broderick", round(2 pi aspect / w_e), or "freeman", round(2 pi aspect / scaling).

    Attributes
    ----------
    n_rings, n_wedges, n_windows : int
    ring_spacing : float
        w_e, in natural-log units of eccentricity.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range or the default gaze lies off the screen.

    Notes
    -----
    Windows near the fovea may be smaller than a pixel; they still average what they see. A window with less than
    1e-10 of its area on the picture counts as having no mass; windows without mass return 0. Cost and memory
    do not depend on `scaling`: a pixel touches 4 raised cosines at most; Gaussians are drawn by B-splines on a finer
    grid (36 entries a pixel in float32, 100 in float64) and filtered to the windows. Differentiable with respect to the
    picture and the gaze; repeatable bit for bit on one device for the default gaze.

    References
    ----------
    J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. Nature Neuroscience 14.
    W F Broderick et al. Foveated metamers of the early visual system (Gaussian windows).

    Examples
    --------
    >>> display = Display.from_px_per_deg(8.533, resolution_px=(256, 256))
    >>> windows = PoolingWindows(display, scaling=0.5, max_eccentricity_deg=15)
    >>> windows.n_rings, windows.n_wedges
    (8, 25)
    >>> windows(torch.full((2, 3, 256, 256), 0.25)).shape
    torch.Size([2, 3, 200])
    """

    def __init__(
        self,
        display: Display,
        scaling: float,
        window: Literal["cosine", "gaussian"] = "cosine",
        fixation_deg: Any = (0.0, 0.0),
        min_eccentricity_deg: float = 0.5,
        max_eccentricity_deg: float | None = None,
        aspect: float = 2.0,
        transition: float = 0.5,
        convention: Literal["broderick", "freeman"] = "broderick",
    ) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        self.display = display
        self.scaling = positive("scaling", scaling, "Typical values are 0.25 (V1) to 0.5 (V2).")
        self.window = one_of("window", window, ("cosine", "gaussian"))
        self.convention = one_of("convention", convention, ("broderick", "freeman"))
        self.min_eccentricity_deg = positive("min_eccentricity_deg", min_eccentricity_deg)
        reach = max(display.extent_deg) / 2 if max_eccentricity_deg is None else max_eccentricity_deg
        self.max_eccentricity_deg = positive("max_eccentricity_deg", reach)
        if reach <= self.min_eccentricity_deg:
            remedy = "Lower min_eccentricity_deg or use a larger display."
            fail("max_eccentricity_deg", f"above min_eccentricity_deg = {min_eccentricity_deg:g}", reach, remedy)
        self.aspect = positive("aspect", aspect)
        self.transition = positive("transition", transition)
        check(transition <= 1, "transition", "at most 1", transition)
        self._layout()
        fixation = torch.as_tensor(display.check_fixation(fixation_deg), dtype=torch.float64).detach()
        check(fixation.ndim == 1, "fixation_deg", "one default gaze (x, y)", fixation_deg, "Pass gazes to forward.")
        self.fixation_deg = (float(fixation[0]), float(fixation[1]))
        self._shape_px, self._stride_px, self._offset_px = display.resolution_px, (1.0, 1.0), (0.0, 0.0)
        self._plans: dict[tuple[torch.dtype, str], _Plan] = {}
        self._plan(torch.get_default_dtype(), torch.device("cpu"))

    def _layout(self) -> None:
        """Count rings and wedges (module docstring of the specification: closed form of the half-maximum width)."""
        self.ring_spacing = math.asinh(self.scaling / 2) / _HALF_MAXIMUM[self.window]
        density = self.ring_spacing if self.convention == "broderick" else self.scaling
        self.n_wedges = round(2 * math.pi * self.aspect / density)
        beyond = 5 if self.window == "gaussian" else 0
        span = math.log(math.sqrt(2) * self.max_eccentricity_deg / self.min_eccentricity_deg)
        self.n_rings = math.ceil(span / self.ring_spacing + beyond)
        least = 2 if self.window == "cosine" else 2 * GAUSSIAN_REACH
        if self.n_wedges < least:
            fail("scaling", f"small enough for {least} wedges a ring", self.scaling, "Lower scaling or raise aspect.")

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        return self.n_rings * self.n_wedges

    @property
    def wedge_spacing_rad(self) -> float:
        """Angle between neighbouring windows of a ring."""
        return 2 * math.pi / self.n_wedges

    @property
    def eccentricity_deg(self) -> np.ndarray:
        """Eccentricity of every window's centre, (n_windows,)."""
        ring = np.arange(self.n_rings) + 1
        return np.repeat(self.min_eccentricity_deg * np.exp(self.ring_spacing * ring), self.n_wedges)

    @property
    def angle_deg(self) -> np.ndarray:
        """Polar angle of every window's centre around the gaze, counter-clockwise from rightward, (n_windows,)."""
        return np.tile(np.arange(self.n_wedges) * (360 / self.n_wedges), self.n_rings)

    @property
    def width_deg(self) -> np.ndarray:
        """Radial full width at half maximum of every window, (n_windows,)."""
        return self.scaling * self.eccentricity_deg

    @property
    def centers_deg(self) -> np.ndarray:
        """Screen position (x, y) of every window's centre for the default gaze, (n_windows, 2)."""
        angle = np.radians(self.angle_deg)
        return np.asarray(self.display.point_at(self.eccentricity_deg, angle, self.fixation_deg))

    @property
    def mass(self) -> Tensor:
        """Sum of every window over the picture for the default gaze, (n_windows,) float64; 0 for none."""
        return self._plan(torch.float64, torch.device("cpu")).mass

    @property
    def coverage(self) -> Tensor:
        """Sum of all windows at every pixel for the default gaze, (h, w): 1 where covered, 0 where no window sees."""
        return self.unpool(torch.ones(1, 1, self.n_windows))[0, 0]

    def at(
        self, shape_px: tuple[int, int], stride_px: tuple[float, float] = (1.0, 1.0), *, offset_px: Any = (0.0, 0.0)
    ) -> PoolingWindows:
        """Return the same windows on a subsampled grid, such as a pyramid level, evaluated anew at its pixels.

        Parameters
        ----------
        shape_px
            (height, width) of the grid.
        stride_px, offset_px
            Its (vertical, horizontal) step and start in pixels of the display: sample i sits at i * stride + offset.
        """
        shape, stride = whole_pair("shape_px", shape_px), pair("stride_px", stride_px, "(vertical, horizontal)")
        check(min(stride) > 0, "stride_px", "above 0", stride_px)
        twin = PoolingWindows.__new__(PoolingWindows)
        nn.Module.__init__(twin)
        twin.__dict__.update({k: v for k, v in self.__dict__.items() if k not in twin.__dict__ or k == "training"})
        twin._shape_px, twin._stride_px, twin._plans = shape, stride, {}
        twin._offset_px = pair("offset_px", offset_px, "(vertical, horizontal)")
        twin._plan(torch.get_default_dtype(), torch.device("cpu"))
        return twin

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Average pictures over every window.

        Parameters
        ----------
        x
            (b, c, h, w), floating; (h, w) is the display's resolution (or the grid's, see `at`).
        fixation_deg
            (2,) for all items or (b, 2); default the module's.

        Returns
        -------
        Tensor
            (b, c, n_windows) weighted means; 0 for windows without mass.

        Raises
        ------
        ValueError, TypeError
            For another shape, integers, NaN under a window, or a gaze off the screen.
        """
        self._check_picture(x)
        values = x if x.dtype == torch.float64 else x.float()
        flat = values.reshape(*x.shape[:2], -1)
        if fixation_deg is None:
            entries, mass = self._plan(values.dtype, values.device)
            out = self._nodes(values.dtype).pool(flat.reshape(-1, flat.shape[-1]), entries).reshape(*x.shape[:2], -1)
        else:
            out, mass = self._pool_at(flat, self._gaze(fixation_deg, x))
        out = torch.where(mass > 0, out / mass.clamp(min=torch.finfo(mass.dtype).tiny), 0.0)
        if out.device.type == "cpu" and not torch.compiler.is_compiling() and not math.isfinite(out.detach().sum()):
            fail("x", "finite", "NaN or infinite pixels", "Remove or replace them first.")
        return out.to(x.dtype)

    def unpool(self, pooled: Tensor, fixation_deg: Any = None) -> Tensor:
        """Spread values of windows over the picture: unpool(y)(p) = sum_i w_i(p) y_i.

        Parameters
        ----------
        pooled
            (b, c, n_windows), floating.
        fixation_deg
            As in `forward`.

        Returns
        -------
        Tensor
            (b, c, h, w). Averages of a constant come back as the constant wherever windows cover the picture.
        """
        ok = isinstance(pooled, Tensor) and pooled.is_floating_point()
        check(ok, "pooled", "a floating torch.Tensor", getattr(pooled, "dtype", type(pooled)), error=TypeError)
        rule = f"(b, c, {self.n_windows})"
        check(pooled.ndim == 3 and pooled.shape[-1] == self.n_windows, "pooled", rule, tuple(pooled.shape))
        values = pooled if pooled.dtype == torch.float64 else pooled.float()
        if fixation_deg is None:
            entries = self._plan(values.dtype, values.device).entries
            picture = self._nodes(values.dtype).unpool(values.reshape(-1, self.n_windows), entries)
        else:
            picture = self._unpool_at(values, self._gaze(fixation_deg, pooled))
        return picture.reshape(*pooled.shape[:2], *self._shape_px).to(pooled.dtype)

    def window_maps(self, index: Any) -> Tensor:
        """Return the weights of single windows for the default gaze, (n, h, w); `index` is one number or several."""
        chosen = torch.atleast_1d(torch.as_tensor(index))
        inside = bool(((chosen >= 0) & (chosen < self.n_windows)).all())
        check(inside, "index", f"from 0 to {self.n_windows - 1}", index)
        return self.unpool(nn.functional.one_hot(chosen.long(), self.n_windows).float()[:, None])[:, 0]

    def _check_picture(self, x: Tensor) -> None:
        ok = isinstance(x, Tensor) and x.is_floating_point()
        check(ok, "x", "a floating torch.Tensor", getattr(x, "dtype", type(x)), "Use x.float().", TypeError)
        height, width = self._shape_px
        good = x.ndim == 4 and x.shape[-2:] == self._shape_px and x.numel() > 0
        check(good, "x", f"(b, c, {height}, {width})", tuple(x.shape), "Give the Display the picture was made for.")

    def _gaze(self, fixation_deg: Any, like: Tensor) -> Tensor:
        gaze = self.display.check_fixation(fixation_deg, batch=like.shape[0])
        gaze = torch.as_tensor(gaze, dtype=torch.float64, device=like.device)
        return gaze.expand(1, 2) if gaze.ndim == 1 else gaze

    def _coordinates(self, gaze: Tensor) -> tuple[Tensor, Tensor]:
        """Log-polar (u, v) of every pixel in window steps, (..., h * w), float64."""
        grid = self.display.pixels_deg(self._shape_px, self._stride_px, self._offset_px)
        eccentricity, angle = self.display.polar(gaze[..., None, None, :], torch.as_tensor(grid, device=gaze.device))
        u = torch.log(eccentricity.clamp(min=1e-9) / self.min_eccentricity_deg) / self.ring_spacing - 1
        v = torch.remainder(angle / self.wedge_spacing_rad, self.n_wedges)
        return u.flatten(-2), v.flatten(-2)

    def _plan(self, dtype: torch.dtype, device: torch.device) -> _Plan:
        """Return the windows of the default gaze."""
        key = (dtype, str(device))
        if key not in self._plans:
            if torch.compiler.is_compiling():
                fail("x", f"of a dtype and device seen before compiling ({list(self._plans)})", key, "Call once first.")
            with torch.no_grad():
                self._plans[key] = self._build(dtype, device)
        return self._plans[key]

    def _build(self, dtype: torch.dtype, device: torch.device) -> _Plan:
        if device.type != "cpu":
            entries, mass = self._plan(dtype, torch.device("cpu"))
            entries = tuple(part.to(device) for part in entries)
            if len(entries) == 3:  # summing without write conflicts needs the transpose there
                entries += transpose(*entries, self._nodes(dtype).n_nodes)
            return _Plan(entries, mass.to(device))
        nodes = self._nodes(dtype)
        u, v = self._coordinates(torch.as_tensor(self.fixation_deg, dtype=torch.float64))
        entries = nodes.store(u, v)
        ones = torch.ones(1, u.numel(), dtype=dtype)
        return _Plan(entries, self._with_mass(nodes.pool(ones, entries)[0]))

    def _nodes(self, dtype: torch.dtype) -> Nodes:
        return Nodes(self.window, self.n_rings, self.n_wedges, self.transition, dtype)

    def _with_mass(self, mass: Tensor) -> Tensor:
        """Masses, with those too small to divide by set to zero."""
        density = self.display.px_per_deg**2 / (self._stride_px[0] * self._stride_px[1])
        area = self.ring_spacing * self.wedge_spacing_rad * density * torch.as_tensor(self.eccentricity_deg) ** 2
        return torch.where(mass > _LEAST_SHARE * area.to(mass), mass, torch.zeros_like(mass))

    def _pool_at(self, flat: Tensor, gaze: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums (b, c, n) and masses (b or 1, 1, n) for given gazes."""
        nodes, (u, v) = self._nodes(flat.dtype), self._coordinates(gaze)
        ones, sums, masses = torch.ones_like(flat[0, :1]), [], []
        for i in range(len(gaze)):
            pictures = flat[i] if len(gaze) > 1 else flat.reshape(-1, flat.shape[-1])
            both = nodes.spread(torch.cat((pictures, ones)), u[i], v[i])
            sums.append(both[:-1])
            masses.append(both[-1:])
        pooled = nodes.to_windows(torch.cat(sums)).reshape(*flat.shape[:2], -1)
        mass = torch.stack([self._with_mass(m) for m in nodes.to_windows(torch.cat(masses))])
        return pooled, mass[:, None]

    def _unpool_at(self, windows: Tensor, gaze: Tensor) -> Tensor:
        nodes, (u, v) = self._nodes(windows.dtype), self._coordinates(gaze)
        values = nodes.from_windows(windows.reshape(-1, self.n_windows))
        values = values.reshape(len(gaze), -1, values.shape[-1])
        return torch.cat([nodes.interpolate(values[i], u[i], v[i]) for i in range(len(gaze))])

    def extra_repr(self) -> str:
        """Show the layout when printed."""
        return (
            f"scaling={self.scaling:g}, window={self.window!r}, {self.n_rings} rings x {self.n_wedges} wedges, "
            f"{self.min_eccentricity_deg:g} to {self.max_eccentricity_deg:g} deg"
        )
