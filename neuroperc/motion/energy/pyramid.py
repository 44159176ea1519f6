"""`EnergyPyramid`: the motion energy pyramid of encoding models, by shared spatial products."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..._check import check, fail, integer, one_of, positive, whole_pair
from ...display import Display
from ._input import as_frames
from .banks import CroppedBank, Products, SeparableBank
from .grid import (
    TIME_SD,
    TIME_SD_CYCLES,
    Compat,
    Labels,
    axes,
    check_frequencies,
    make_scales,
    make_table,
    public_table,
)

Stage = Literal["linear", "energy", "sqrt", "log", "opponent", "normalised"]
STAGES: tuple[Stage, ...] = ("linear", "energy", "sqrt", "log", "opponent", "normalised")
_BLOCK = 32  # frames that one product of the temporal step makes
_TINY = 1e-30
_FLOOR = 1e-5  # added before the logarithm (Nishimoto et al. 2011)


class EnergyPyramid(nn.Module):
    """Motion energy at many places, scales, directions and speeds; made by `MotionEnergy.pyramid`.

    Parameters
    ----------
    shape_px
        (height, width) of the frames.
    fps
        Frames per second of the movies, whole or not.
    sf_cpi
        Spatial frequencies in cycles per picture height; 0 adds a filter without carrier at every place.
    tf_hz
        Temporal frequencies.
    n_directions
        Even number of directions, the first one 0 (rightward).
    display
        The display that the movie fills vertically; gives the table its degrees.
    labels
        Which way `filters.direction_deg` counts: "stimulus", the motion that drives the filter; "pymoten", the label
        that pymoten gives it, 180 degrees away.
    compat
        "pymoten" reproduces the numbers of pymoten 0.1.3 and its ways: pixels on the picture's edges, kernels with a
        mean and cut at a thousandth, a window half a frame late, black before and after the movie. None corrects them.
    stage
        "linear": the even-phase subunit; "energy": sum of squares of both; "sqrt": its root; "log": log(root + 1e-5);
        "opponent": energy minus that of the opposite direction; "normalised": opponent over the sum of the two.
    boundary
        What lies before the first and after the last frame: "edge", that frame; "zero", black; "valid": nothing, and
        `window - 1` frames fewer come out. Default "edge", with compat="pymoten" "zero".
    timing
        "centred": the answer to a frame sits at that frame; "causal": it comes half a window later.

    Attributes
    ----------
    filters
        A row a filter: ``direction_deg sf_cpd tf_hz x_deg y_deg sd_deg speed_deg_s`` (degrees from the picture's
        centre, y up; NaN without `display`) and ``sf_cpi x_image y_image sd_image`` in picture heights, y down from
        the top. Directions of filters without one (0 Hz, or without carrier) are orientations of their carrier + 90.
    window
        Frames in the temporal filters.

    Raises
    ------
    ValueError
        For frequencies above Nyquist, an odd number of directions, movies of another size, without frames, with fewer
        frames than needed or with NaN.

    Notes
    -----
    Without compat, amplitude is that of the stimulus: the pattern that a filter prefers, filling its envelope with
    amplitude A, has a root energy of A, and a filter without carrier at 0 Hz returns mean luminance. The carriers
    have no mean, in space and in time: a uniform picture and a still one give 0 to whatever prefers stripes or motion.

    References
    ----------
    .. [1] S Nishimoto et al. (2011). Reconstructing visual experiences from brain activity evoked by natural movies.
       doi:10.1016/j.cub.2011.08.031 (the pyramid).
    .. [2] EH Adelson & JR Bergen (1985). Spatiotemporal energy models for the perception of motion.
       doi:10.1364/JOSAA.2.000284 (quadrature and energy).

    Examples
    --------
    >>> import torch, neuroperc as npc
    >>> pyramid = npc.motion.MotionEnergy.pyramid(shape_px=(96, 96), fps=15)
    >>> len(pyramid.filters), pyramid(torch.rand(1, 20, 1, 96, 96)).shape
    (1380, torch.Size([1, 20, 1380]))
    """

    time_dim = 1
    #: What `record` hands over as it is: linear light.
    preprocess = "linear light"

    def __init__(
        self,
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
    ) -> None:
        super().__init__()
        self.shape_px = whole_pair("shape_px", shape_px)
        self.fps = positive("fps", fps)
        self.labels = one_of("labels", labels, ("stimulus", "pymoten"))
        self.compat = one_of("compat", compat, (None, "pymoten"))
        self.stage = one_of("stage", stage, STAGES)
        default = "zero" if compat == "pymoten" else "edge"
        self.boundary = default if boundary is None else one_of("boundary", boundary, ("edge", "zero", "valid"))
        self.timing = one_of("timing", timing, ("centred", "causal"))
        directions = integer("n_directions", n_directions, 2)
        check(directions % 2 == 0, "n_directions", "even: directions come in opposite pairs", n_directions)
        sf, tf = np.sort(np.asarray(sf_cpi, dtype=float)), np.sort(np.asarray(tf_hz, dtype=float))
        check_frequencies(sf, tf, self.shape_px[0], self.fps)
        self.tf_hz, self._half = tf, directions // 2
        scales = make_scales(sf, self.shape_px[1] / self.shape_px[0])
        exact = compat == "pymoten"  # whose label d answers motion towards d + 180
        table, own = make_table(scales, tf, directions, bool((sf == 0).any()), exact)
        self.filters: pd.DataFrame = public_table(table, self.shape_px, display, (labels == "pymoten") != exact)
        self._own = torch.from_numpy(own)
        self._other = torch.from_numpy(
            _opposite(own, int((tf > 0).sum()) * self._half * sum(s.n_centers for s in scales))
        )
        n_centers = [s.n_centers for s in scales]
        starts = np.cumsum([0, *n_centers[:-1]])
        self._center = torch.from_numpy(
            np.concatenate([np.tile(np.arange(n) + at, self._half) for n, at in zip(n_centers, starts, strict=True)])
        )
        self._bank = (CroppedBank if exact else SeparableBank)(scales, directions, *axes(self.shape_px, compat))
        self._temporal = torch.from_numpy(_temporal_kernels(tf, self.fps, compat))
        self.window = self._temporal.shape[1]
        ahead = math.ceil(self.window / 2) - 1 if timing == "centred" else 0
        if not exact and timing == "centred":
            ahead = self.window // 2
        self._pad = (self.window - 1 - ahead, ahead)
        self._cache: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = {}
        self._gains = None if exact else self._balance()

    @property
    def n_bytes(self) -> int:
        """Memory of the spatial kernels in float64, in bytes."""
        return self._bank.n_bytes

    def forward(self, movie: Tensor) -> Tensor:
        """Return the responses.

        Parameters
        ----------
        movie
            (batch, time, 1, h, w), floating; light of any scale (pymoten's is CIE L* from 0 to 100).

        Returns
        -------
        Tensor
            (batch, time, filters), of the movie's dtype and device; differentiable.
        """
        least = self.window if self.boundary == "valid" else 1
        frames = as_frames(movie, self.shape_px, least)
        batch, n = frames.shape[:2]
        channels = self._channels(frames.flatten(0, 1)).view(batch, n, -1)
        return self._finish(self._padded(channels, start=True, end=True))

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the responses (time, filters) to a movie that comes in parts, such as `StimulusSet.frames`.

        Parameters
        ----------
        parts
            Tensors (k, 1, h, w) of any number of frames, in order.

        Yields
        ------
        Tensor
            (frames, filters). End to end they equal `forward` of the whole movie; memory is that of one part.

        Examples
        --------
        >>> import torch, neuroperc as npc
        >>> pyramid = npc.motion.MotionEnergy.pyramid(shape_px=(24, 32), fps=24, sf_cpi=(0, 2, 4))
        >>> movie = torch.rand(50, 1, 24, 32, dtype=torch.float64)
        >>> parts = torch.cat(list(pyramid.stream(movie.split(7))))
        >>> bool(torch.allclose(parts, pyramid(movie[None])[0]))
        True
        """
        held, n_frames = None, 0
        for part in parts:
            channels = self._channels(as_frames(part[None], self.shape_px, name="part")[0])[None]
            n_frames += channels.shape[1]
            held = self._padded(channels, start=True) if held is None else torch.cat([held, channels], 1)
            if held.shape[1] >= self.window:
                yield self._finish(held)[0]
                held = held[:, held.shape[1] - self.window + 1 :]
        if held is None:
            fail("parts", "one or more", "none", "The movie has no frames.")
        if self.boundary == "valid":
            check(n_frames >= self.window, "movie", f"of {self.window} frames or more", f"{n_frames} frames")
        elif (held := self._padded(held, end=True)).shape[1] >= self.window:
            yield self._finish(held)[0]

    def _channels(self, frames: Tensor) -> Tensor:
        """Return (frames, odd | even | plain), block by block so that what is in between stays small."""
        parts = [torch.cat(self._balanced(self._bank(block)), 1) for block in frames.split(self._bank.n_at_once)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _balance(self) -> dict[str, Tensor]:
        """Return what a uniform picture of 1 makes of the raw kernels."""
        odd, even, plain = self._bank(torch.ones(1, *self.shape_px, dtype=torch.float64))
        mass = plain[0, self._center]
        return {"odd": odd[0] / mass, "even": even[0] / mass, "gain": 2 / mass, "plain": 1 / plain[0]}

    def _balanced(self, raw: Products) -> Products:
        """Take the mean out of the carriers, and scale to the stimulus' amplitude."""
        if self._gains is None:
            return raw
        k = self._on(raw.odd)
        local = raw.plain.index_select(1, k["center"])
        odd = (raw.odd - local * k["odd"]) * k["gain"]
        return Products(odd, (raw.even - local * k["even"]) * k["gain"], raw.plain * k["plain"])

    def _on(self, like: Tensor) -> dict[str, Tensor]:
        """Return everything constant, on the device and of the dtype of the movie."""
        key = (like.dtype, like.device)
        if key not in self._cache:
            kept = {name: v.to(like) for name, v in (self._gains or {}).items()}
            steps = torch.arange(_BLOCK)[:, None] + torch.arange(self.window)
            shifted = torch.zeros(len(self._temporal), _BLOCK, _BLOCK + self.window - 1, dtype=torch.float64)
            shifted.scatter_(
                2, steps.expand(len(shifted), -1, -1), self._temporal.flip(1)[:, None].expand(-1, _BLOCK, -1)
            )
            kept["kernels"] = shifted.flatten(0, 1).to(like)
            indices = {"own": self._own, "other": self._other, "center": self._center}
            self._cache[key] = kept | {name: v.to(like.device) for name, v in indices.items()}
        return self._cache[key]

    def _padded(self, channels: Tensor, *, start: bool = False, end: bool = False) -> Tensor:
        if self.boundary == "valid":
            return channels
        before, after = self._pad[0] * start, self._pad[1] * end
        keep = float(self.boundary == "edge")
        sides = channels[:, :1].expand(-1, before, -1) * keep, channels[:, -1:].expand(-1, after, -1) * keep
        return torch.cat([sides[0], channels, sides[1]], 1)

    def _finish(self, padded: Tensor) -> Tensor:
        """From channels (batch, time + window - 1, c) to responses (batch, time, filters)."""
        k = self._on(padded)
        batch, n = padded.shape[0], padded.shape[1] - self.window + 1
        n_blocks = -(-n // _BLOCK)
        length = n_blocks * _BLOCK + self.window - 1
        padded = nn.functional.pad(padded, (0, 0, 0, length - padded.shape[1]))
        blocks = padded.unfold(1, _BLOCK + self.window - 1, _BLOCK).permute(3, 0, 1, 2)
        made = k["kernels"] @ blocks.reshape(blocks.shape[0], -1)
        made = made.view(len(self._temporal), _BLOCK, batch, n_blocks, -1).permute(0, 2, 3, 1, 4)
        made = made.reshape(len(self._temporal), batch, n_blocks * _BLOCK, -1)[:, :, :n]
        return self._responses(made, k)

    def _responses(self, made: Tensor, k: dict[str, Tensor]) -> Tensor:
        """Combine the quadrature parts: made is (kernel, batch, time, odd | even | plain)."""
        n_pairs, moving = len(self._center), int((self.tf_hz > 0).sum())
        odd, even, plain = made.split([n_pairs, n_pairs, made.shape[-1] - 2 * n_pairs], -1)
        c, s = slice(0, moving), slice(moving, 2 * moving)
        # (kc + i ks) * (even + i odd) passes motion towards d, its conjugate kernel motion towards d + 180.
        towards = [(even[c] - odd[s], odd[c] + even[s]), (even[c] + odd[s], odd[c] - even[s])]
        still = [(even[2 * moving :], odd[2 * moving :])]
        unmoved = [(plain[2 * moving :], None), (plain[c], plain[s])]
        parts = []
        for real, imaginary in (*towards, *still, *unmoved):
            value = real if self.stage == "linear" else real.square()
            if imaginary is not None and self.stage != "linear":
                value = value.addcmul(imaginary, imaginary)
            parts += list(value.unbind(0))
        energy = torch.cat(parts, -1)
        own = energy.index_select(-1, k["own"])
        if self.stage in ("linear", "energy"):
            return own
        if self.stage in ("sqrt", "log"):
            root = (own + _TINY).sqrt()  # the root has no slope at 0
            return root if self.stage == "sqrt" else (root + _FLOOR).log()
        other = energy.index_select(-1, k["other"])
        return own - other if self.stage == "opponent" else (own - other) / (own + other + _TINY)

    def extra_repr(self) -> str:
        """Show what it is when printed."""
        return f"{len(self.filters)} filters, {self.shape_px} px at {self.fps:g} fps, compat={self.compat!r}"


def _opposite(own: np.ndarray, n_moving: int) -> np.ndarray:
    """Return the own-layout column of the filter that prefers the opposite direction; itself without a direction."""
    return np.where(own < n_moving, own + n_moving, np.where(own < 2 * n_moving, own - n_moving, own))


def _temporal_kernels(tf_hz: np.ndarray, fps: float, compat: Compat) -> np.ndarray:
    """Return (kernels, window): cosines of tf > 0, their sines, and the envelope when there is 0 Hz."""
    duration_s = 2 / 3
    if compat == "pymoten":
        n = int(fps * duration_s)
        check(n > 0, "fps", "at least 1.5", fps, "The window of two thirds of a second holds no frame.")
        tau = np.arange(n) / n - 0.5
        turns = tf_hz[:, None] * (n / fps) * tau
    else:
        half = int(fps * duration_s / 2)
        check(half > 0, "fps", "at least 3", fps, "The window of two thirds of a second holds a single frame.")
        tau = np.arange(-half, half + 1) / fps / duration_s
        turns = tf_hz[:, None] * duration_s * tau
    with np.errstate(divide="ignore"):
        sd = np.minimum(TIME_SD_CYCLES / tf_hz, TIME_SD)[:, None]
    envelope = np.exp(-(tau**2) / (2 * sd**2))
    cosine, sine = envelope * np.cos(2 * np.pi * turns), envelope * np.sin(2 * np.pi * turns)
    moving = tf_hz > 0
    if compat is None:
        mass = envelope.sum(1, keepdims=True)
        cosine[moving] -= (envelope * cosine.sum(1, keepdims=True) / mass)[moving]
        cosine, sine = cosine / mass, sine / mass
    return np.concatenate([cosine[moving], sine[moving], cosine[~moving]])
