"""`PoolingWindows`: averages over log-polar windows that grow with eccentricity, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._check import check, fail, one_of, pair, positive, whole_pair
from ..display import Display
from ._lowpass import banded
from ._sparse import gather, scatter, transpose
from ._taps import GAUSSIAN_REACH, cosine_taps, spline_taps, window_band

_HALF_MAXIMUM = {"cosine": 0.5, "gaussian": math.sqrt(2 * math.log(2))}
#: B-spline order and oversampling: peak errors of 3e-7 and 1e-12 (tests/oracles/test_pooling_dense.py).
_SPLINE = {torch.float32: (6, 4), torch.float64: (10, 6)}
#: Windows with a smaller share of their area on the picture have no mass.
_LEAST_SHARE = 1e-10
#: Entries above which windows are not stored but computed on the fly, in runs of `_RUN` pixels.
_MOST_ENTRIES = 1 << 26
_RUN = 1 << 19
_FEW_ENTRIES = 1 << 22


@dataclass(frozen=True)
class _Grid:
    """Nodes that pixels touch: the windows themselves, or a finer grid that a filter takes to the windows."""

    order: int  # taps a pixel and axis
    oversampling: int
    pad: int  # nodes on either side of the rings
    n_radial: int
    n_angular: int

    @property
    def n_nodes(self) -> int:
        return self.n_radial * self.n_angular


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
        self._plans: dict[tuple[torch.dtype, str], tuple[Tensor, ...]] = {}
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
        return self._plan(torch.float64, torch.device("cpu"))[-1]

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
            *matrix, mass = self._plan(values.dtype, values.device)
            out = self._pool(flat.reshape(-1, flat.shape[-1]), matrix).reshape(*x.shape[:2], -1)
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
            matrix = self._plan(values.dtype, values.device)[:-1]
            picture = self._unpool(values.reshape(-1, self.n_windows), matrix)
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

    def _grid(self, dtype: torch.dtype) -> _Grid:
        if self.window == "cosine":
            return _Grid(2, 1, 1, self.n_rings + 2, self.n_wedges)
        order, q = _SPLINE[dtype]
        pad = GAUSSIAN_REACH * q
        return _Grid(order, q, pad, (self.n_rings - 1) * q + 1 + 2 * pad, self.n_wedges * q)

    def _taps(self, grid: _Grid, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First node and weights on both axes; radial nodes are shifted by the padding."""
        if self.window == "cosine":
            first_u, weight_u = cosine_taps(u, self.transition)
            first_v, weight_v = cosine_taps(v, self.transition)
        else:
            first_u, weight_u = spline_taps(u * grid.oversampling, grid.order)
            first_v, weight_v = spline_taps(v * grid.oversampling, grid.order)
        return first_u + grid.pad, weight_u, first_v, weight_v

    def _plan(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        """Return the windows of the default gaze as rows of a sparse matrix (pixels x nodes), and their mass."""
        key = (dtype, str(device))
        if key not in self._plans:
            if torch.compiler.is_compiling():
                fail("x", f"of a dtype and device seen before compiling ({list(self._plans)})", key, "Call once first.")
            with torch.no_grad():
                self._plans[key] = self._build(dtype, device)
        return self._plans[key]

    def _build(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        if device.type != "cpu":
            return tuple(part.to(device) for part in self._plan(dtype, torch.device("cpu")))
        grid = self._grid(dtype)
        u, v = self._coordinates(torch.as_tensor(self.fixation_deg, dtype=torch.float64))
        ones = torch.ones(1, u.numel(), dtype=dtype)
        if u.numel() * grid.order**2 > _MOST_ENTRIES:
            matrix: tuple[Tensor, ...] = (u, v)
        else:
            runs = [self._entries(grid, u[i : i + _RUN], v[i : i + _RUN], dtype) for i in range(0, u.numel(), _RUN)]
            counts, columns, values = (torch.cat(parts) for parts in zip(*runs, strict=True))
            pointers = nn.functional.pad(torch.cumsum(counts, 0), (1, 0)).int()
            matrix = (pointers, columns, values)
            if columns.numel() < _FEW_ENTRIES:  # a transpose beside it makes pooling a gather too: no write conflicts
                matrix += transpose(*matrix, grid.n_nodes)
        return *matrix, self._with_mass(self._pool(ones, matrix)[0])

    def _entries(self, grid: _Grid, u: Tensor, v: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Entries a pixel, and the column and value of each, dropping zeros and what lies off the rings."""
        first_u, weight_u, first_v, weight_v = self._taps(grid, u, v)
        step = torch.arange(grid.order)
        radial, angular = first_u[:, None] + step, torch.remainder(first_v[:, None] + step, grid.n_angular)
        weight_u = torch.where((radial >= 0) & (radial < grid.n_radial), weight_u, 0.0).to(dtype)
        value = weight_u[:, :, None] * weight_v.to(dtype)[:, None, :]
        kept = value != 0
        columns = (radial.int() * grid.n_angular)[:, :, None] + angular.int()[:, None, :]
        return kept.sum((1, 2)), columns[kept], value[kept]

    def _with_mass(self, mass: Tensor) -> Tensor:
        """Masses, with those too small to divide by set to zero."""
        density = self.display.px_per_deg**2 / (self._stride_px[0] * self._stride_px[1])
        area = self.ring_spacing * self.wedge_spacing_rad * density * torch.as_tensor(self.eccentricity_deg) ** 2
        return torch.where(mass > _LEAST_SHARE * area.to(mass), mass, torch.zeros_like(mass))

    def _pool(self, pixels: Tensor, matrix: Any) -> Tensor:
        grid = self._grid(pixels.dtype)
        if len(matrix) == 6:
            nodes = gather(matrix[3:], pixels)
        elif len(matrix) == 3:
            nodes = scatter(matrix, pixels, grid.n_nodes)
        else:
            nodes = _Spread.apply(self, grid, pixels, *matrix)
        return self._filter(nodes, grid)

    def _unpool(self, windows: Tensor, matrix: Any) -> Tensor:
        grid = self._grid(windows.dtype)
        nodes = self._filter_back(windows, grid)
        if len(matrix) != 2:
            return gather(matrix[:3], nodes)
        return _Interpolate.apply(self, grid, nodes, *matrix)

    def _pool_at(self, flat: Tensor, gaze: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums (b, c, n) and masses (b or 1, 1, n) for given gazes."""
        grid = self._grid(flat.dtype)
        u, v = self._coordinates(gaze)
        nodes = []
        masses = []
        ones = torch.ones_like(flat[0, :1])
        for i in range(len(gaze)):
            picture = flat[i] if len(gaze) > 1 else flat.reshape(-1, flat.shape[-1])
            both = self._spread(grid, torch.cat((picture, ones)), u[i], v[i])
            nodes.append(both[:-1])
            masses.append(both[-1:])
        pooled = self._filter(torch.cat(nodes), grid).reshape(*flat.shape[:2], -1)
        mass = torch.stack([self._with_mass(m) for m in self._filter(torch.cat(masses), grid)])
        return pooled, mass[:, None]

    def _unpool_at(self, windows: Tensor, gaze: Tensor) -> Tensor:
        grid = self._grid(windows.dtype)
        u, v = self._coordinates(gaze)
        nodes = self._filter_back(windows.reshape(-1, self.n_windows), grid)
        nodes = nodes.reshape(len(gaze), -1, nodes.shape[-1])
        return torch.cat([self._interpolate(grid, nodes[i], u[i], v[i]) for i in range(len(gaze))])

    def _spread(self, grid: _Grid, pixels: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """(m, n_pixels) to (m, n_nodes), one pair of taps after the other."""
        nodes = pixels.new_zeros(pixels.shape[0], grid.n_nodes)
        for index, weight in self._pairs(grid, u, v, pixels.dtype):
            update = pixels * weight
            if nodes.device.type == "cpu":
                nodes = (
                    nodes.index_add(1, index, update) if update.requires_grad else nodes.index_add_(1, index, update)
                )
            else:  # index_put sorts, so that sums are repeatable on CUDA
                rows = torch.arange(len(nodes), device=nodes.device)[:, None]
                nodes = nodes.index_put((rows, index[None]), update, accumulate=True)
        return nodes

    def _interpolate(self, grid: _Grid, nodes: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """(m, n_nodes) to (m, n_pixels)."""
        picture = nodes.new_zeros(nodes.shape[0], u.shape[0])
        for index, weight in self._pairs(grid, u, v, nodes.dtype):
            picture = picture + nodes[:, index] * weight
        return picture

    def _pairs(self, grid: _Grid, u: Tensor, v: Tensor, dtype: torch.dtype) -> Any:
        first_u, weight_u, first_v, weight_v = self._taps(grid, u, v)
        for a in range(grid.order):
            radial = first_u + a
            inside = (radial >= 0) & (radial < grid.n_radial)
            share = torch.where(inside, weight_u[..., a], torch.zeros_like(weight_u[..., a])).to(dtype)
            row = radial.clamp(0, grid.n_radial - 1) * grid.n_angular
            for b in range(grid.order):
                yield row + torch.remainder(first_v + b, grid.n_angular), share * weight_v[..., b].to(dtype)

    def _filter(self, nodes: Tensor, grid: _Grid) -> Tensor:
        """From nodes to windows, (m, n_nodes) to (m, n_windows)."""
        nodes = nodes.reshape(-1, grid.n_radial, grid.n_angular)
        if self.window == "cosine":
            return nodes[:, 1:-1].reshape(len(nodes), -1)
        band = window_band(grid.order, grid.oversampling, back=False)
        rings = banded(nodes, band, -2, self.n_rings)
        around = torch.cat((rings[..., -grid.pad :], rings, rings[..., : grid.pad]), -1)
        return banded(around, band, -1, self.n_wedges).reshape(len(nodes), -1)

    def _filter_back(self, windows: Tensor, grid: _Grid) -> Tensor:
        """From windows to nodes: the transpose of `_filter`."""
        windows = windows.reshape(-1, self.n_rings, self.n_wedges)
        if self.window == "cosine":
            return nn.functional.pad(windows, (0, 0, 1, 1)).reshape(len(windows), -1)
        band, reach = window_band(grid.order, grid.oversampling, back=True), GAUSSIAN_REACH
        around = torch.cat((windows[..., -reach:], windows, windows[..., :reach]), -1)
        angular = banded(around, band, -1, grid.n_angular)
        rings = nn.functional.pad(angular, (0, 0, 2 * reach, 2 * reach + band[0].shape[0]))
        return banded(rings, band, -2, grid.n_radial).reshape(len(windows), -1)

    def extra_repr(self) -> str:
        """Show the layout when printed."""
        return (
            f"scaling={self.scaling:g}, window={self.window!r}, {self.n_rings} rings x {self.n_wedges} wedges, "
            f"{self.min_eccentricity_deg:g} to {self.max_eccentricity_deg:g} deg"
        )


class _Spread(torch.autograd.Function):
    """Scatter pixels to nodes with taps computed on the fly; linear, so nothing is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, windows: PoolingWindows, grid: _Grid, pixels: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.parts = windows, grid, u, v
        nodes = pixels.new_zeros(pixels.shape[0], grid.n_nodes)
        for i in range(0, len(u), _RUN):
            run = slice(i, i + _RUN)
            for index, weight in windows._pairs(grid, u[run], v[run], pixels.dtype):
                nodes.index_add_(1, index, pixels[:, run] * weight)
        return nodes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        windows, grid, u, v = ctx.parts
        return None, None, _Interpolate.apply(windows, grid, grads[0].contiguous(), u, v), None, None


class _Interpolate(torch.autograd.Function):
    """Gather pixels from nodes with taps computed on the fly."""

    @staticmethod
    def forward(ctx: Any, windows: PoolingWindows, grid: _Grid, nodes: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.parts = windows, grid, u, v
        picture = nodes.new_empty(nodes.shape[0], len(u))
        for i in range(0, len(u), _RUN):
            run = slice(i, i + _RUN)
            picture[:, run] = windows._interpolate(grid, nodes, u[run], v[run])
        return picture

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        windows, grid, u, v = ctx.parts
        return None, None, _Spread.apply(windows, grid, grads[0].contiguous(), u, v), None, None
