"""NeuroFovea's windows: raised cosines from where an encoder's cells resolve them, and one for everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, kron
from torch import Tensor

from ..._check import check, fail, pair, positive, whole_pair
from ...display import Display

_CELL_PX = 8  # stride of relu4_1, the encoder of the paper
_LEAST_WIDTH_CELLS = 1.75  # radially, at half maximum; tangentially that is half as much, about one cell
_LEAST_AREA_CELLS = 2  # a mean needs one cell, a variance two
_SEEN = 0.1  # weight above which a pixel counts towards that area
_ASPECT, _TRANSITION = 2.0, 0.5  # radial over tangential width; flank over width (Freeman & Simoncelli 2011)


@dataclass(frozen=True)
class Cells:
    """Weights of windows on a grid of cells: a sparse matrix, entries sorted by window. Window 0 has no entries.

    Attributes
    ----------
    n_windows, n_cells : int
    window, cell : Tensor
        (n_entries,) int64; cells are numbered row by row.
    weight : Tensor
        (n_entries,), above 0.
    """

    n_windows: int
    n_cells: int
    window: Tensor
    cell: Tensor
    weight: Tensor

    def like(self, x: Tensor) -> Cells:
        """Return the same on the device and in the precision of a tensor."""
        parts = self.window.to(x.device), self.cell.to(x.device), self.weight.to(x)
        return Cells(self.n_windows, self.n_cells, *parts)

    def supports(self, threshold: float) -> Cells:
        """Return weights of 1 where they are above a threshold."""
        kept = self.weight > threshold
        ones = torch.ones_like(self.weight[kept])
        return Cells(self.n_windows, self.n_cells, self.window[kept], self.cell[kept], ones)

    def last(self) -> Cells:
        """Keep of every cell the entry of its last window."""
        last = torch.zeros(self.n_cells, dtype=torch.int64, device=self.cell.device)
        last = last.scatter_reduce(0, self.cell, self.window, "amax")
        kept = last[self.cell] == self.window
        return Cells(self.n_windows, self.n_cells, self.window[kept], self.cell[kept], self.weight[kept])


class NeuroFoveaWindows:
    """Windows of `neurofovea_windows`, ring by ring from the fovea; window 0 is everything that is never changed.

    Attributes
    ----------
    display : Display
    scaling : float
    fixation_deg : (float, float)
    n_windows : int
        Window 0 included.
    ring : ndarray
        (n_windows,) number of the ring that a window belongs to, 0 the innermost that is kept; -1 for window 0.
    eccentricity_deg : ndarray
        (n_windows,) of that ring; 0 for window 0.
    radius_deg : ndarray
        (n_windows,) of a disc with the area in which a window is above half its maximum, on the picture; 0 for window
        0. The published strength of the style transfer is a function of it.

    Examples
    --------
    >>> display = Display.from_px_per_deg(19.69, resolution_px=(256, 256))
    >>> windows = neurofovea_windows(display, scaling=0.5)
    >>> windows
    NeuroFoveaWindows(scaling=0.5, 88 windows, 25 wedges a ring, first ring at 2.206 deg)
    >>> windows.masks().shape
    (88, 256, 256)
    """

    def __init__(
        self,
        display: Display,
        *,
        scaling: float,
        fixation_deg: Any = (0.0, 0.0),
        min_eccentricity_deg: float = 6 * 26 / 512,
        cell_deg: float | None = None,
    ) -> None:
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        self.display = display
        self.scaling = positive("scaling", scaling, "Published values are 0.25 to 0.7.")
        self.min_eccentricity_deg = positive("min_eccentricity_deg", min_eccentricity_deg)
        self.cell_deg = positive("cell_deg", _CELL_PX / display.px_per_deg if cell_deg is None else cell_deg)
        self.fixation_deg = pair("fixation_deg", display.check_fixation(fixation_deg), "(x, y)")
        # Raised cosines reach half their maximum half a step away: scaling = 2 sinh(w_e / 2).
        self.ring_spacing = 2 * math.asinh(self.scaling / 2)
        self.n_wedges = round(2 * math.pi * _ASPECT / self.scaling)
        check(self.n_wedges >= 2, "scaling", "small enough for 2 wedges a ring", scaling, "Lower it.")
        self._weights, rings = self._build()
        density = display.px_per_deg**2
        above_half = np.asarray((self._weights > 0.5).sum(1)).ravel() / density
        above_half[0] = 0
        self.radius_deg = np.sqrt(above_half / math.pi)
        self.eccentricity_deg = np.r_[0.0, self.min_eccentricity_deg * np.exp(self.ring_spacing * rings)]
        self.ring = np.r_[-1, rings - rings[0]]

    @property
    def n_windows(self) -> int:
        """Number of windows, window 0 included."""
        return int(self._weights.shape[0])

    def masks(self) -> np.ndarray:
        """Return the weights of all windows, (n_windows, h, w) float32; they sum to 1 over windows at every pixel."""
        return self._weights.astype(np.float32).toarray().reshape(-1, *self.display.resolution_px)

    def ring_masks(self) -> np.ndarray:
        """Return the sum of the windows of every ring, (n_rings, h, w) float64."""
        ring, window = self.ring[1:], np.arange(1, self.n_windows)
        member = csr_array((np.ones(len(ring)), (ring, window)), shape=(ring[-1] + 1, self.n_windows))
        return (member @ self._weights).toarray().reshape(-1, *self.display.resolution_px)

    def at(self, shape_px: tuple[int, int], stride_px: tuple[float, float], first_px: tuple[float, float]) -> Cells:
        """Return the weights on a grid of cells: averages over triangles as wide as two strides.

        Parameters
        ----------
        shape_px
            (height, width) of the grid.
        stride_px, first_px
            (vertical, horizontal) step of the cells' centres and position of the first, in pixels of the display.
            Cells may lie beside the picture; they belong to no window.
        """
        shape = whole_pair("shape_px", shape_px)
        rows, columns = (
            _triangles(n, own, stride, first)
            for n, own, stride, first in zip(shape, self.display.resolution_px, stride_px, first_px, strict=True)
        )
        average: Any = kron(rows, columns, format="csr")  # the stubs know no kron of two csr_array
        weights = (self._weights[1:] @ average.T).tocsr()
        weights.sum_duplicates()
        n_entries = np.diff(weights.indptr)
        return Cells(
            self.n_windows,
            math.prod(shape),
            torch.from_numpy(np.repeat(np.arange(1, self.n_windows), n_entries)),
            torch.from_numpy(weights.indices.astype(np.int64)),
            torch.from_numpy(weights.data),
        )

    def _build(self) -> tuple[csr_array, np.ndarray]:
        """Weights (n_windows, n_pixels), window 0 first, and the ring of every other window."""
        eccentricity, angle = self.display.polar(self.fixation_deg, self.display.pixels_deg())
        u = np.log(np.maximum(eccentricity.ravel(), 1e-9) / self.min_eccentricity_deg) / self.ring_spacing
        # Published: theta = atan2(down, right) + pi, wedge m centred at (m - 1/4) steps.
        v = (math.pi - angle.ravel()) * self.n_wedges / (2 * math.pi) + 0.25
        least = _LEAST_WIDTH_CELLS * self.cell_deg / (self.scaling * self.min_eccentricity_deg)
        first = math.ceil(math.log(least) / self.ring_spacing - 1e-9)
        rings, ring_weights = _taps(u)
        wedges, wedge_weights = _taps(v)
        weights = ring_weights[:, None] * wedge_weights[None]
        codes = (rings[:, None] - first) * self.n_wedges + (wedges % self.n_wedges)[None]
        pixels = np.broadcast_to(np.arange(u.size), weights.shape)
        kept = (weights > 0) & (codes >= 0)
        n_codes = int(codes[kept].max(initial=-1)) + 1
        every = csr_array((weights[kept], (codes[kept], pixels[kept])), shape=(n_codes, u.size))
        area = _LEAST_AREA_CELLS * (self.cell_deg * self.display.px_per_deg) ** 2
        chosen = np.flatnonzero(np.asarray((every > _SEEN).sum(1)).ravel() >= area)
        if not len(chosen):
            fail(
                "scaling", f"large enough for windows of {_LEAST_WIDTH_CELLS} cells on the picture", self.scaling,
                "Raise it, or use a larger display or a smaller cell_deg.",
            )  # fmt: skip
        windows = every[chosen]
        rest = np.clip(1 - np.asarray(windows.sum(0)).ravel(), 0, 1)
        rest[rest < 1e-12] = 0
        return _stacked(rest, windows), chosen // self.n_wedges + first

    def __repr__(self) -> str:
        """Show what there is."""
        return (
            f"NeuroFoveaWindows(scaling={self.scaling:g}, {self.n_windows} windows, {self.n_wedges} wedges a ring, "
            f"first ring at {self.eccentricity_deg[1]:.4g} deg)"
        )


def neurofovea_windows(
    display: Display,
    *,
    scaling: float,
    fixation_deg: Any = (0.0, 0.0),
    min_eccentricity_deg: float = 6 * 26 / 512,
    cell_deg: float | None = None,
) -> NeuroFoveaWindows:
    """Return the windows in which NeuroFovea exchanges texture, and window 0, which it never changes.

    Freeman and Simoncelli's log-polar raised cosines: ring k is centred at min_eccentricity_deg exp(k w_e), with
    w_e = 2 asinh(scaling / 2), and has round(4 pi / scaling) wedges. Two rules choose among them, both because a window
    needs a mean and a variance over an encoder's cells:

    * the first ring is the first that is at least 1.75 cells wide (radially, at half maximum; tangentially, about one);
    * slivers that the picture's corners cut off are dropped: windows above a tenth on less than the area of two cells.

    Whatever is left over, the fovea and those slivers, is window 0, so that all windows sum to one.

    Parameters
    ----------
    display
        Geometry of the pictures.
    scaling
        Radial full width at half maximum divided by eccentricity.
    fixation_deg
        Gaze (x, y).
    min_eccentricity_deg
        Sets where the rings lie; default that of the published masks, 6 of 512 px on 26 deg.
    cell_deg
        Side of an encoder's cell; default 8 pixels, that of relu4_1.

    Returns
    -------
    NeuroFoveaWindows
        On a display of 512 x 512 px and 26 deg: 377, 301, 187, 126, 103, 91 windows at scalings .25 .3 .4 .5 .6 .7,
        as many as published.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range, the gaze is off the screen, or no window is large enough.

    References
    ----------
    A Deza, A Jonnalagadda, M P Eckstein (2019). Towards metamerism via foveated style transfer. ICLR. The two rules are
    ours; they reproduce the counts of the published masks.
    J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. Nature Neuroscience 14.

    Examples
    --------
    >>> display = Display.from_px_per_deg(19.69, resolution_px=(512, 512))
    >>> [neurofovea_windows(display, scaling=s).n_windows for s in (0.5, 0.6, 0.7)]
    [126, 103, 91]
    """
    return NeuroFoveaWindows(
        display,
        scaling=scaling,
        fixation_deg=fixation_deg,
        min_eccentricity_deg=min_eccentricity_deg,
        cell_deg=cell_deg,
    )


def _taps(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and weights, (2, n), of the two raised cosines that a coordinate can touch; weights sum to one."""
    near = np.floor(t)
    ramp = np.clip((t - near - (1 - _TRANSITION) / 2) / _TRANSITION, 0, 1)
    # The cosine's foot is 4e-33, not 0: an exact zero keeps the pixel out of the sparse matrix.
    weight = np.where(ramp < 1, np.cos(np.pi / 2 * ramp) ** 2, 0.0)
    return np.stack((near, near + 1)).astype(np.int64), np.stack((weight, 1 - weight))


def _triangles(n: int, n_pixels: int, stride: float, first: float) -> csr_array:
    """(n, n_pixels): cells average pixels with weights that fall to zero one stride away (bilinear, anti-aliased)."""
    reach = math.ceil(stride)
    centers = first + stride * np.arange(n)
    pixels = np.floor(centers)[:, None].astype(np.int64) + np.arange(-reach, reach + 2)
    weights = np.maximum(1 - np.abs(pixels - centers[:, None]) / stride, 0)
    weights[(pixels < 0) | (pixels >= n_pixels)] = 0
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-12)  # cells beside the picture see nothing
    rows = np.broadcast_to(np.arange(n)[:, None], pixels.shape)
    kept = weights > 0
    return csr_array((weights[kept], (rows[kept], pixels[kept])), shape=(n, n_pixels))


def _stacked(first: np.ndarray, others: csr_array) -> csr_array:
    """Put a dense row before a sparse matrix."""
    column = np.flatnonzero(first)
    return csr_array(
        (
            np.concatenate((first[column], others.data)),
            np.concatenate((column, others.indices)),
            np.concatenate(([0], others.indptr + len(column))),
        ),
        shape=(others.shape[0] + 1, len(first)),
    )
