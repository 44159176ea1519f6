"""`MotionEnergy`: quadrature filters in degrees and hertz at every pixel, and the door to the pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from ..._check import check, integer, one_of, positive
from ...display import Display
from ._input import as_frames
from .grid import Compat, Labels
from .pyramid import STAGES, EnergyPyramid, Stage
from .spatial import FAMILIES as SPATIAL
from .spatial import SpatialFamily, spatial_pair
from .temporal import FAMILIES as TEMPORAL
from .temporal import TemporalFamily, TemporalFilters, temporal_filters

Boundary = Literal["reflect", "zero", "valid"]
_TINY = 1e-30
_FLOOR = 1e-5
_MEMORY = 2**21  # pixels that one block of frames may have
_LARGEST_STRIDE = 16


class _Scale(NamedTuple):
    """The kernels of one spatial frequency, and how the picture is padded for them."""

    even: Tensor
    odd: Tensor
    reach_px: int
    highest: float


class MotionEnergy(nn.Module):
    """Motion energy of Adelson & Bergen: oriented quadrature pairs in space and time, over the whole picture.

    Filters are the products of spatial frequencies, directions and temporal frequencies. `MotionEnergy.pyramid` makes
    the pyramid of encoding models instead.

    Parameters
    ----------
    display
        The display; its pixels per degree at the centre hold for the whole movie, which may be of any size.
    fps
        Frames per second of the movies; default the display's refresh rate.
    sf_cpd
        Spatial frequencies in cycles per degree.
    tf_hz
        Temporal frequencies.
    n_directions
        Even number of directions, counter-clockwise from rightward: the motion that drives the filter.
    space
        ``"gabor"`` or ``"cauchy"``, the filters with which motion energy of random dots is often measured.
    time
        ``"adelson_bergen"``, ``"watson_ahumada"`` or ``"gabor"``; see `temporal_filters`.
    sd_cycles
        s.d. of the Gabor's envelope in cycles.
    aspect
        Width of the envelope along the motion over its length.
    stage
        As in `EnergyPyramid`; of the root and its logarithm, and of the normalised stage, after `pool`.
    pool
        ``"mean"`` over the picture, or ``"map"``, a value a pixel.
    boundary
        Beyond the picture: ``"reflect"``, mirrored; ``"zero"``, black; ``"valid"``: only places whose filters lie
        inside. Before and after the movie the first and the last frame last on.
    timing
        ``"centred"``: the answer at time 0 of the filters (those of Adelson & Bergen are causal, so their answer comes
        with their latency); ``"causal"``: late enough that no filter looks ahead.

    Attributes
    ----------
    filters
        A row a filter: ``direction_deg sf_cpd tf_hz speed_deg_s``.

    Raises
    ------
    ValueError
        For frequencies above Nyquist or what the frames can carry, an odd number of directions, movies without frames
        or with NaN, and pictures too small for `boundary`.

    Notes
    -----
    A preferred grating of amplitude A has energy A^2. Carriers have no mean in space nor in time: uniform and still
    pictures give 0. The pair of Adelson & Bergen is only about in quadrature, so the null direction of a preferred
    grating answers with about 15 % of the energy.

    References
    ----------
    .. [1] EH Adelson & JR Bergen (1985). Spatiotemporal energy models for the perception of motion.
       doi:10.1364/JOSAA.2.000284 (quadrature, opponency).
    .. [2] R Kiani, TD Hanks & MN Shadlen (2008). doi:10.1523/JNEUROSCI.4761-07.2008 (the Cauchy filters).

    Examples
    --------
    >>> import torch, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> energy = npc.motion.MotionEnergy(display, fps=60, sf_cpd=(1.0,))
    >>> x, t = torch.arange(32), torch.arange(40)
    >>> grating = 0.5 + 0.5 * torch.cos(2 * torch.pi * (x / 8 - 4 * t[:, None, None] / 60)).expand(40, 32, 32)
    >>> answer = energy(grating[None, :, None])[0, 30]
    >>> float(energy.filters["direction_deg"][int(answer.argmax())]), answer.shape
    (0.0, torch.Size([8]))
    """

    time_dim = 1
    #: What `record` hands over as it is: linear light.
    preprocess = "linear light"

    def __init__(
        self,
        display: Display,
        *,
        fps: float | None = None,
        sf_cpd: Sequence[float] = (0.5, 1.0, 2.0),
        tf_hz: Sequence[float] = (4.0,),
        n_directions: int = 8,
        space: SpatialFamily = "gabor",
        time: TemporalFamily = "adelson_bergen",
        sd_cycles: float = 0.5,
        aspect: float = 1.0,
        stage: Stage = "energy",
        pool: Literal["mean", "map"] = "mean",
        boundary: Boundary = "reflect",
        timing: Literal["centred", "causal"] = "centred",
    ) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        self.display = display
        self.fps = display.refresh_hz if fps is None else positive("fps", fps)
        self.space, self.time = one_of("space", space, SPATIAL), one_of("time", time, TEMPORAL)
        self.stage, self.pool = one_of("stage", stage, STAGES), one_of("pool", pool, ("mean", "map"))
        self.boundary = one_of("boundary", boundary, ("reflect", "zero", "valid"))
        self.timing = one_of("timing", timing, ("centred", "causal"))
        self.sd_cycles, self.aspect = positive("sd_cycles", sd_cycles), positive("aspect", aspect)
        n = integer("n_directions", n_directions, 2)
        check(n % 2 == 0, "n_directions", "even: directions come in opposite pairs", n)
        sf = [positive("sf_cpd", f, "Give a list of numbers.") for f in sf_cpd]
        tf = [positive("tf_hz", f, "Give a list of numbers.") for f in tf_hz]
        check(sf and tf, "sf_cpd and tf_hz", "lists of one or more", (sf_cpd, tf_hz))
        limit = display.nyquist_cpd
        remedy = "Use lower frequencies, or a display with more pixels per degree."
        check(max(sf) <= limit, "sf_cpd", f"at most {limit:.4g}, Nyquist of the display", max(sf), remedy)
        self.filters: pd.DataFrame = _table(n, sf, tf)
        self._half = n // 2
        self.temporal: list[TemporalFilters] = [temporal_filters(time, fps=self.fps, tf_hz=f) for f in tf]
        angles = np.arange(self._half) * (2 * np.pi / n)
        pairs = [spatial_pair(space, f / display.px_per_deg, angles, self.sd_cycles, self.aspect) for f in sf]
        self._scales = [_Scale(torch.from_numpy(p.even), torch.from_numpy(p.odd), *p[2:]) for p in pairs]
        self._span = _span(self.temporal, self.fps, timing)
        self._cache: dict[Any, Any] = {}

    @classmethod
    def pyramid(
        cls,
        shape_px: tuple[int, int],
        fps: float,
        *,
        sf_cpi: Sequence[float] = (0, 2, 4, 8, 16),
        tf_hz: Sequence[float] = (0, 2, 4),
        n_directions: int = 8,
        display: Display | None = None,
        labels: Labels = "stimulus",
        compat: Compat = None,
        stage: Stage = "log",
        boundary: Literal["edge", "zero", "valid"] | None = None,
        timing: Literal["centred", "causal"] = "centred",
    ) -> EnergyPyramid:
        """Make the motion energy pyramid of encoding models; see `EnergyPyramid` for every argument.

        With ``compat="pymoten"`` it returns the log responses of pymoten 0.1.3 to movies in its luminance scale.

        Examples
        --------
        >>> import neuroperc as npc
        >>> nishimoto = npc.motion.MotionEnergy.pyramid(shape_px=(96, 96), fps=15, sf_cpi=(0, 2, 4, 8, 16, 32))
        >>> len(nishimoto.filters)
        6555
        """
        return EnergyPyramid(
            shape_px, fps, sf_cpi=sf_cpi, tf_hz=tf_hz, n_directions=n_directions, display=display, labels=labels,
            compat=compat, stage=stage, boundary=boundary, timing=timing,
        )  # fmt: skip

    def forward(self, movie: Tensor) -> Tensor:
        """Return the responses.

        Parameters
        ----------
        movie
            (batch, time, 1, h, w), floating.

        Returns
        -------
        Tensor
            (batch, time, filters), or (batch, time, filters, h, w) with ``pool="map"``; differentiable.
        """
        frames = as_frames(movie)
        height, width = frames.shape[-2:]
        reach = max(scale.reach_px for scale in self._scales)
        remedy = "Use a larger picture, higher frequencies, or boundary='zero'."
        least = {"reflect": reach + 1, "zero": 1, "valid": 2 * reach + 1}[self.boundary]
        check(min(height, width) >= least, "movie", f"of {least} pixels or more on each side for boundary="
              f"{self.boundary!r}", f"{height} x {width}", remedy)  # fmt: skip
        before, after = self._span
        padded = torch.cat([frames[:, :1].expand(-1, before, -1, -1), frames,
                            frames[:, -1:].expand(-1, after, -1, -1)], 1)  # fmt: skip
        rim = 0 if self.boundary == "valid" else reach
        area = frames.shape[0] * (height + 2 * rim) * (width + 2 * rim) * len(self.temporal)
        step = max(8, _MEMORY // area)
        n = frames.shape[1]
        parts = [self._block(padded[:, k : k + step + before + after], rim) for k in range(0, n, step)]
        return self._staged(torch.cat(parts, 1))

    def _block(self, padded: Tensor, rim: int) -> Tensor:
        """Return (batch, time, filters[, h, w]) of a stretch that has its margins in time."""
        kernels = self._temporal(padded, padded.shape[1] - sum(self._span))
        size = padded.shape[-2:]
        both = kernels.reshape(-1, kernels.shape[-1]) @ padded.flatten(2)
        both = both.view(len(padded), *kernels.shape[:3], *size).movedim(0, 2)  # (lead | lag, tf, batch, time, h, w)
        if self.boundary == "reflect":
            flat = nn.functional.pad(both.reshape(-1, 1, *size), (rim,) * 4, mode="reflect")
            both = flat.view(*both.shape[:-2], *flat.shape[-2:])
        elif self.boundary == "zero":
            both = nn.functional.pad(both, (rim,) * 4)
        shape = [next_fast_len(-(-n // _LARGEST_STRIDE)) * _LARGEST_STRIDE for n in both.shape[-2:]]
        spectra = torch.fft.rfft2(both, s=shape)
        return torch.cat(
            [self._scale(spectra, scale, shape, (size[0], size[1]), rim, padded) for scale in self._scales], 2
        )

    def _temporal(self, like: Tensor, n: int) -> Tensor:
        """Return (2, tf, n, n + margins): row t weighs the frames that the answer at t sees."""
        key = ("time", n, like.dtype, like.device)
        if key not in self._cache:
            before, after = self._span
            late = before - max(round(f.time_s[-1] * self.fps) for f in self.temporal)
            made = np.zeros((2, len(self.temporal), n, n + before + after))
            for i, f in enumerate(self.temporal):
                lags = np.round(f.time_s * self.fps).astype(int) + late
                rows = np.arange(n)[:, None]
                for k, kernel in enumerate((f.lead, f.lag)):
                    made[k, i, rows, before + rows - lags] = kernel
            self._cache = {k: v for k, v in self._cache.items() if k[0] != "time"}
            self._cache[key] = torch.from_numpy(made).to(like)
        return self._cache[key]

    def _scale(
        self, spectra: Tensor, scale: _Scale, shape: list[int], size: tuple[int, int], rim: int, like: Tensor
    ) -> Tensor:
        """Filter in space and combine: (batch, time, directions * tf[, h, w]) of one spatial frequency."""
        stride = 1
        while self.pool == "mean" and stride < _LARGEST_STRIDE and 4 * stride * scale.highest <= 1:
            stride *= 2  # every stride-th pixel still samples all that passes the kernels
        small = [n // stride for n in shape]
        # Gains: the smaller transform divides by fewer samples, and towards its direction both parts add up.
        gain = 0.5 / stride**2
        lead, lag = (_cropped(s, shape, small) * gain for s in spectra)
        margin = scale.reach_px if self.boundary == "valid" else 0
        spans = [slice(-(-(rim + margin) // stride), (rim + n - margin - 1) // stride + 1) for n in size]

        def made(spectrum: Tensor, kernel: Tensor) -> Tensor:
            product = spectrum[:, :, :, None] * _cropped(kernel, shape, small)
            return torch.fft.irfft2(product, s=small)[..., spans[0], spans[1]]

        kernels = self._spectra(scale, shape, like)
        lead_even, lead_odd, lag_even, lag_odd = (made(s, k) for s in (lead, lag) for k in kernels)
        towards = (lead_even - lag_odd, lead_odd + lag_even)
        away = (lead_even + lag_odd, lead_odd - lag_even)
        values = [a if self.stage == "linear" else a.square() + b.square() for a, b in (towards, away)]
        pooled = torch.cat(values, 3)  # (tf, batch, time, direction, h, w)
        pooled = pooled.mean((-1, -2)) if self.pool == "mean" else pooled
        return pooled.movedim(0, 3).flatten(2, 3)

    def _spectra(self, scale: _Scale, shape: list[int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spectra (directions, y, x) that correlate with the even and the odd kernel, centred on a pixel."""
        key = ("space", scale.highest, tuple(shape), like.dtype, like.device)
        if key not in self._cache:
            made = []
            for kernel in (scale.even, scale.odd):
                room = nn.functional.pad(kernel, (0, shape[1] - kernel.shape[-1], 0, shape[0] - kernel.shape[-2]))
                centred = room.roll((-scale.reach_px, -scale.reach_px), (-2, -1)).to(like)
                made.append(torch.fft.rfft2(centred).conj().resolve_conj())
            self._cache[key] = tuple(made)
        return self._cache[key]

    def _staged(self, energy: Tensor) -> Tensor:
        """Apply what comes after pooling."""
        if self.stage in ("linear", "energy"):
            return energy
        if self.stage in ("sqrt", "log"):
            root = (energy + _TINY).sqrt()
            return root if self.stage == "sqrt" else (root + _FLOOR).log()
        shape = energy.shape
        split = energy.unflatten(2, (len(self._scales), 2 * self._half, len(self.temporal)))
        other = split.roll(self._half, 3).reshape(shape)
        return energy - other if self.stage == "opponent" else (energy - other) / (energy + other + _TINY)

    def extra_repr(self) -> str:
        """Show what it is when printed."""
        return f"{len(self.filters)} filters, {self.space} by {self.time}, {self.fps:g} fps, stage={self.stage!r}"


def _table(n_directions: int, sf: list[float], tf: list[float]) -> pd.DataFrame:
    f, d, w = (a.ravel() for a in np.meshgrid(sf, np.arange(n_directions) * 360.0 / n_directions, tf, indexing="ij"))
    return pd.DataFrame({"direction_deg": d, "sf_cpd": f, "tf_hz": w, "speed_deg_s": w / f})


def _span(filters: list[TemporalFilters], fps: float, timing: str) -> tuple[int, int]:
    """Return the frames that an answer needs before and after its own."""
    ahead = max(-round(f.time_s[0] * fps) for f in filters)
    behind = max(round(f.time_s[-1] * fps) for f in filters)
    return (behind, ahead) if timing == "centred" else (behind + ahead, 0)


def _cropped(spectrum: Tensor, shape: list[int], small: list[int]) -> Tensor:
    """Keep the low frequencies of a real spectrum, so that its transform is the picture at every n-th pixel."""
    if shape == small:
        return spectrum
    height, columns = small[0], small[1] // 2 + 1
    kept = torch.cat(
        [spectrum[..., : (height + 1) // 2, :columns], spectrum[..., shape[0] - height // 2 :, :columns]], -2
    )
    return kept
