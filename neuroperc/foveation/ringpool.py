"""`RingPool`: pooling whose window is a table of the distance from the gaze (eccNET's layers)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._check import check, fail, integer, non_negative, one_of, positive
from ..display import Display
from ._boxes import box_means

# Growth of the window beyond the fovea, px per px, of eccNET's five stages (Gupta et al. 2021, released code).
_ECCNET_SLOPES = (0.0, 0.0, 0.07, 0.16, 0.32)


@dataclass(frozen=True)
class RingTable:
    """Which pooling window each distance from the gaze gets.

    A cell at distance r takes ``windows_px[k]`` where k counts the radii that are not above r, so the last window has
    everything outside the last ring.

    Parameters
    ----------
    windows_px
        Side of the square window in cells of the map that is pooled, innermost first; whole numbers.
    radii_px
        Outer radii of all bands but the last, in cells of the *pooled* map, around the cell that the gaze falls in.
    radii_deg
        The same in degrees of eccentricity on the display; give one of the two.

    Raises
    ------
    ValueError, TypeError
        When radii do not increase, are not one fewer than the windows, or both or neither of the two are given.

    Examples
    --------
    >>> RingTable((2, 4, 8), radii_deg=(2.0, 5.0)).windows_px
    (2, 4, 8)
    """

    windows_px: tuple[int, ...]
    radii_px: tuple[float, ...] | None = None
    radii_deg: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the table and turn sequences into tuples."""
        windows = tuple(integer("windows_px", w, 1, "Windows are whole cells.") for w in _sequence(self.windows_px))
        check(windows, "windows_px", "at least one window", self.windows_px)
        object.__setattr__(self, "windows_px", windows)
        if (self.radii_px is None) == (self.radii_deg is None):
            fail("radii_px", "given, or radii_deg, but not both", (self.radii_px, self.radii_deg))
        name = "radii_deg" if self.radii_px is None else "radii_px"
        radii = tuple(positive(name, r) for r in _sequence(getattr(self, name)))
        object.__setattr__(self, name, radii)
        check(len(radii) == len(windows) - 1, name, "one fewer than windows_px", f"{len(radii)} for {len(windows)}")
        check(all(a < b for a, b in pairwise(radii)), name, "increasing", radii)

    @classmethod
    def eccnet(
        cls,
        stage: int,
        *,
        resolution_px: tuple[int, int],
        px_per_deg: float = 30.0,
        fovea_deg: float = 4.0,
        ring_deg: float = 1.0,
        slope: float | None = None,
    ) -> RingTable:
        """Return the table of one of eccNET's five pooling stages.

        With d = round(px_per_deg / 2^(stage-1)) cells per degree of the stage's input, the fovea ends at
        R_0 = round(fovea_deg d / 2) cells of its output, ring k ends at R_k = R_0 + k round(ring_deg d / 2), and its
        window is 2 + round(slope (2 R_k - fovea_deg d)). Rings are added while R_k is below half the longer side; the
        band outside takes the next window. A map whose half side is below R_0 is all fovea [1]_.

        Parameters
        ----------
        stage
            1 to 5, the pooling layer of VGG-16.
        resolution_px
            (height, width) of the picture that the net sees.
        px_per_deg
            Of that picture.
        fovea_deg, ring_deg
            Radius of the fovea and width of a ring.
        slope
            Window cells per input cell of eccentricity; default eccNET's 0, 0, 0.07, 0.16, 0.32.

        References
        ----------
        .. [1] S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans
           share similar inherent biases. NeurIPS 34.

        Examples
        --------
        >>> table = RingTable.eccnet(3, resolution_px=(1358, 1358))
        >>> table.windows_px[:8], table.windows_px[-1]
        ((2, 3, 3, 4, 4, 5, 5, 6), 12)
        >>> table.radii_px[:3]
        (16.0, 20.0, 24.0)
        """
        one_of("stage", stage, range(1, 6))
        height, width = (integer("resolution_px", n, 1) for n in resolution_px)
        positive("fovea_deg", fovea_deg)
        half = math.ceil(max(height, width) / 2**stage) / 2
        per_deg = round(positive("px_per_deg", px_per_deg) / 2 ** (stage - 1))
        fovea, step = round(fovea_deg * per_deg / 2), round(positive("ring_deg", ring_deg) * per_deg / 2)
        if step < 1:
            fail("ring_deg", "one cell or more at this stage", ring_deg, "Widen the rings or take an earlier stage.")
        if fovea > half:
            return cls((2,), radii_px=())
        growth = _ECCNET_SLOPES[stage - 1] if slope is None else non_negative("slope", slope)
        n_rings = max(math.ceil((half - fovea) / step) - 1, 0)
        radii = [fovea + k * step for k in range(n_rings + 2)]  # the last one only sets the window of the outside
        windows = [2] + [2 + round(growth * (2 * radius - fovea_deg * per_deg)) for radius in radii[1:]]
        return cls(tuple(windows), radii_px=tuple(map(float, radii[:-1])))


class RingPool(nn.Module):
    """Pool a feature map with a window that depends on the distance from the gaze, at a stride.

    Windows are laid out as TensorFlow's "same" padding does: ceil(n / stride) cells out, the padding they need split
    in two halves, the smaller first; padded cells count neither in averages nor in maxima. Averages come from one
    summed-area table for all windows at once, so that their cost does not depend on the table. The map's cells are
    taken to tile the display, so a map of any stride is placed to within one of its cells.

    Parameters
    ----------
    display
        Geometry of the picture that the net saw; it places the gaze, and rings that are given in degrees.
    table
        Distance to window; see `RingTable`. `RingPool.eccnet` makes eccNET's.
    method
        "average" (all that eccNET uses) or "max".
    stride_px
        Step between windows, cells.
    fixation_deg
        Default gaze, (x, y).

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range, or the default gaze lies off the screen.

    Notes
    -----
    Differentiable with respect to the features. Windows are whole cells, so the gradient with respect to the gaze is
    zero almost everywhere and none is returned. Repeatable bit for bit on one device.

    References
    ----------
    .. [1] S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans
       share similar inherent biases. NeurIPS 34.

    Examples
    --------
    >>> display = Display.from_px_per_deg(30, resolution_px=(480, 640))
    >>> pool = RingPool.eccnet(display, 3)
    >>> pool(torch.rand(1, 8, 120, 160)).shape
    torch.Size([1, 8, 60, 80])
    >>> pool.window_map_px((120, 160), fixation_deg=(-8, 0))[30, ::10]
    tensor([2, 2, 2, 3, 4, 5, 5, 5])
    """

    fixation_deg: Tensor
    _radii: Tensor
    _windows: Tensor

    def __init__(
        self,
        display: Display,
        table: RingTable,
        *,
        method: Literal["average", "max"] = "average",
        stride_px: int = 2,
        fixation_deg: Any = (0.0, 0.0),
    ) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        check(isinstance(table, RingTable), "table", "a RingTable", table, "See RingTable.eccnet.", TypeError)
        self.display = display
        self.table = table
        self.method = one_of("method", method, ("average", "max"))
        self.stride_px = integer("stride_px", stride_px, 1)
        fixation = torch.as_tensor(display.check_fixation(fixation_deg), dtype=torch.float64)
        self.register_buffer("fixation_deg", fixation.detach(), persistent=False)
        radii = table.radii_deg if table.radii_px is None else table.radii_px
        self.register_buffer("_radii", torch.tensor(radii, dtype=torch.float64), persistent=False)
        self.register_buffer("_windows", torch.tensor(table.windows_px), persistent=False)

    @classmethod
    def eccnet(
        cls,
        display: Display,
        stage: int,
        *,
        method: Literal["average", "max"] = "average",
        fixation_deg: Any = (0.0, 0.0),
        px_per_deg: float | None = None,
    ) -> RingPool:
        """Return the pooling layer that follows block `stage` (1 to 5) of VGG-16 in eccNET.

        `px_per_deg` defaults to the display's; the paper's displays have 30. The rings end at half the display, as the
        paper's views move with the gaze; for a gaze that moves over the display, make the table for one twice as large
        (``RingTable.eccnet(stage, resolution_px=...)``).
        """
        density = display.px_per_deg if px_per_deg is None else px_per_deg
        table = RingTable.eccnet(stage, resolution_px=display.resolution_px, px_per_deg=density)
        return cls(display, table, method=method, fixation_deg=fixation_deg)

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Pool a map.

        Parameters
        ----------
        x
            (b, c, h, w) features; floating.
        fixation_deg
            (2,) for all items or (b, 2); default the module's.

        Returns
        -------
        Tensor
            (b, c, ceil(h / stride), ceil(w / stride)), dtype of `x`.

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a map, has another shape than the display, or (on the CPU) is not finite.
        """
        self._check_map(x)
        height, width = x.shape[-2:]
        window = self._windows_of((height, width), self._fixation(fixation_deg, x))
        if self.method == "max":
            return self._max(x, window)
        top, bottom = self._span(height, window, -2)
        left, right = self._span(width, window, -1)
        corners = [bottom * (width + 1) + right, top * (width + 1) + right]
        corners += [bottom * (width + 1) + left, top * (width + 1) + left]
        count = ((bottom - top) * (right - left)).to(torch.float64)
        means: Tensor = box_means(x, torch.stack(corners, 1).flatten(-2), count.flatten(-2))
        return means.reshape(*x.shape[:2], *window.shape[-2:])

    def window_map_px(self, shape_px: tuple[int, int], fixation_deg: Any = None) -> Tensor:
        """Return the window of every output cell for a map of `shape_px`.

        Returns
        -------
        Tensor
            int64, (h_out, w_out), or (b, h_out, w_out) for fixations (b, 2).
        """
        height, width = (integer("shape_px", n, 1) for n in shape_px)
        fixation = self._fixation(fixation_deg, self._radii)
        window = self._windows_of((height, width), fixation)
        return window if fixation.ndim == 2 else window[0]

    def _fixation(self, fixation_deg: Any, like: Tensor) -> Tensor:
        if fixation_deg is None:
            fixation_deg = self.fixation_deg
        batch = like.shape[0] if like.ndim == 4 else None
        fixation = self.display.check_fixation(fixation_deg, batch=batch)
        return torch.as_tensor(fixation, dtype=torch.float64, device=like.device).detach()

    def _windows_of(self, shape_px: tuple[int, int], fixation_deg: Tensor) -> Tensor:
        """(b or 1, h_out, w_out) windows; distances are to the centres of the output cells, which tile the display."""
        counts = [math.ceil(n / self.stride_px) for n in shape_px]
        cell = [full / n for full, n in zip(self.display.resolution_px, counts, strict=True)]
        rows, columns = (torch.arange(n, dtype=torch.float64, device=fixation_deg.device) for n in counts)
        fixation_deg = fixation_deg.reshape(-1, 1, 1, 2)
        if self.table.radii_px is None:
            grid = torch.stack(torch.meshgrid(columns * cell[1], rows * cell[0], indexing="xy"), -1)
            offset = fixation_deg.new_tensor([cell[1] - 1, cell[0] - 1]) / 2
            distance = self.display.eccentricity_deg(fixation_deg, self.display.to_deg(grid + offset))
        else:
            gaze_px = self.display.to_px(fixation_deg) + 0.5
            dx = columns - torch.floor(gaze_px[..., 0] * counts[1] / self.display.resolution_px[1])
            dy = rows[:, None] - torch.floor(gaze_px[..., 1] * counts[0] / self.display.resolution_px[0])
            distance = torch.hypot(*torch.broadcast_tensors(dx, dy))
        band = torch.bucketize(distance, self._radii.to(distance), right=True)
        return self._windows.to(distance.device)[band]

    def _span(self, length: int, window: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """First cell of each window along one axis, and the cell after its last, inside the map."""
        count = window.shape[axis]
        start = torch.arange(count, device=window.device) * self.stride_px
        before = ((count - 1) * self.stride_px + window - length).clamp(min=0) // 2
        first = (start if axis == -1 else start[:, None]) - before
        return first.clamp(min=0), (first + window).clamp(max=length)

    def _max(self, x: Tensor, window: Tensor) -> Tensor:
        out = x.new_empty(0)
        for size in sorted(set(self.table.windows_px)):  # a maximum has no differences to take: one map a size
            pads = [p for n in (x.shape[-1], x.shape[-2]) for p in self._pads(n, size)]
            pooled = functional.max_pool2d(functional.pad(x, pads, value=-math.inf), size, self.stride_px)
            out = torch.where((window == size)[:, None], pooled, out) if out.numel() else pooled
        return out

    def _pads(self, length: int, size: int) -> tuple[int, int]:
        total = max((math.ceil(length / self.stride_px) - 1) * self.stride_px + size - length, 0)
        return total // 2, total - total // 2

    def _check_map(self, x: Tensor) -> None:
        ok = isinstance(x, Tensor) and x.is_floating_point()
        check(ok, "x", "a floating torch.Tensor", getattr(x, "dtype", type(x)), "Use x.float().", TypeError)
        check(x.ndim == 4 and x.numel() > 0, "x", "(b, c, h, w), none of them 0", tuple(x.shape))
        height, width = self.display.resolution_px
        # Halving rounds, so a map's shape may be off by one cell on each side.
        off = abs(x.shape[-2] * width - x.shape[-1] * height)
        check(
            off <= height + width, "x", f"a map of the whole display (h : w = {height} : {width})",
            tuple(x.shape), "Give the display that the net's picture covers.",
        )  # fmt: skip


def _sequence(values: Any) -> Sequence[Any]:
    if isinstance(values, str) or not hasattr(values, "__len__"):
        fail("windows_px and radii", "sequences of numbers", values, error=TypeError)
    return tuple(values)
