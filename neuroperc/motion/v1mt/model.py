"""SimoncelliHeeger: V1 energy, divisive normalisation, and MT units that pool a plane of spatiotemporal frequency."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..._check import check, finite, integer, one_of, positive
from ...display import Display
from ..energy._input import as_frames
from . import populations as pop

Stage = Literal["v1_linear", "v1_energy", "v1", "mt_linear", "mt"]
STAGES: tuple[Stage, ...] = ("v1_linear", "v1_energy", "v1", "mt_linear", "mt")
Pool = Literal["mean", "center", "map"]

_MEMORY = 2**25  # numbers of the V1 population held at a time
_BLOCK = 64


class SimoncelliHeeger(nn.Module):
    """The model of Simoncelli & Heeger (1998): 28 V1 units a scale and MT units tuned to velocities.

    V1: third derivatives of a Gaussian along directions in space and time, squared, blurred and divided by the
    population. MT: V1 units weighted by how near they are to the plane of one velocity, the mean weight taken out,
    pooled, squared and divided by the population. Constants are those of the authors' toolbox: a preferred grating that
    fills the field gives 1, a blank movie 0.1 in MT.

    Parameters
    ----------
    display
        The monitor; with `fps` it turns the model's pixels and frames into degrees and seconds. None leaves them.
    fps
        Frames per second of the movies. Give both or neither.
    stage
        What is returned: ``"v1_linear"`` (signed), ``"v1_energy"`` (squared and blurred), ``"v1"`` (normalised),
        ``"mt_linear"`` (before the square) or ``"mt"``.
    n_scales
        Octaves of V1 units; scale s sees the movie blurred and halved s times in x, y and t. MT units sum over scales,
        with one gain that leaves their largest response to a preferred grating as with one scale.
    velocities_deg_s
        (n, 2) velocities (vx, vy), y up, of the MT units that are returned; default the 19 of the toolbox: static, six
        at 1 and twelve at 6 pixels a frame. Those 19 normalise in any case.
    pool
        ``"mean"`` over space, ``"center"`` for the middle place, or ``"map"``.
    boundary
        ``"valid"`` answers only where all filters see the movie; ``"edge"`` repeats its edge pixels and its first and
        last frames. Filters are symmetric in time: an answer sees as many frames after as before.

    Attributes
    ----------
    units : pandas.DataFrame
        A row a unit returned: ``stage scale direction_deg speed_px_frame sf_cpp tf_cpf`` and, with a display,
        ``speed_deg_s sf_cpd tf_hz``. Frequencies are those that V1 units prefer (NaN for MT units).
    reach_px, reach_frames : int
        How far one answer looks to each side.

    Raises
    ------
    ValueError
        For a display without fps, fewer than one scale, or velocities without a display.

    References
    ----------
    .. [1] EP Simoncelli & DJ Heeger (1998). A model of neuronal responses in visual area MT.
       doi:10.1016/S0042-6989(97)00183-1

    Examples
    --------
    >>> import torch, neuroperc as npc
    >>> model = npc.motion.SimoncelliHeeger()
    >>> model(torch.full((2, 10, 1, 40, 40), 0.5)).shape
    torch.Size([2, 2, 19])
    >>> model(torch.full((1, 9, 1, 37, 37), 0.5)).round(decimals=3).unique()
    tensor([0.1000])
    """

    time_dim = 1
    #: What `record` hands over as it is.
    preprocess = "linear light"

    def __init__(
        self,
        display: Display | None = None,
        *,
        fps: float | None = None,
        stage: Stage = "mt",
        n_scales: int = 1,
        velocities_deg_s: Any = None,
        pool: Pool = "mean",
        boundary: Literal["valid", "edge"] = "valid",
    ) -> None:
        super().__init__()
        check((display is None) == (fps is None), "display and fps", "given together", (display, fps), "Give both.")
        self.fps = None if fps is None else positive("fps", fps)
        self.stage = one_of("stage", stage, STAGES)
        self.n_scales = integer("n_scales", n_scales)
        self.pool = one_of("pool", pool, ("mean", "center", "map"))
        self.boundary = one_of("boundary", boundary, ("valid", "edge"))
        px_per_deg = 1.0 if display is None else display.px_per_deg
        self._velocities = _velocities(velocities_deg_s, px_per_deg, self.fps)
        self.units = _table(self.stage, self.n_scales, self._velocities, px_per_deg, self.fps)
        coarse = 2 ** (self.n_scales - 1)
        steps = 4 + pop.V1_REACH_PX * (stage != "v1_linear") + pop.MT_REACH_PX * stage.startswith("mt")
        self.reach_px = steps * coarse + 2 * (coarse - 1)
        self.reach_frames = 4 * coarse + 2 * (coarse - 1)
        steering = pop.monomials(pop.v1_axes(), 3) * pop.LINEAR
        everyone = np.concatenate([pop.in_plane(pop.MT_UNITS), self._velocities])
        weights = pop.mt_weights(everyone) * pop.MT_LINEAR * pop.scale_gain(self.n_scales)
        constants = {
            "taps": pop.TAPS, "steering": np.stack([pop.v1_gains(s)[:, None] * steering for s in range(self.n_scales)]),
            "binomial": pop.BLUR, "v1_blur": pop.gaussian(pop.V1_SD_PX, pop.V1_REACH_PX),
            "mt_blur": pop.gaussian(pop.MT_SD_PX, pop.MT_REACH_PX), "weights": weights,
        }  # fmt: skip
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values.copy()), persistent=False)

    def forward(self, movie: Tensor) -> Tensor:
        """Return the responses to movies (batch, time, 1, y, x) of values from 0 to 1.

        Returns
        -------
        Tensor
            (batch, time, units), or (batch, time, units, h, w) with ``pool="map"``; differentiable, of the movie's
            dtype and device. With ``boundary="valid"`` `reach_frames` fewer frames at each end, `reach_px` at each side.

        Raises
        ------
        ValueError
            For another shape, NaN, or a movie smaller than the filters.
        """
        edge = self.boundary == "edge"
        frames = as_frames(movie, least=1 if edge else 2 * self.reach_frames + 1)
        least = 1 if edge else 2 * self.reach_px + 1
        check(min(frames.shape[-2:]) >= least, "movie", f"of {least} pixels or more on each side",
              f"{frames.shape[-2]} x {frames.shape[-1]}", "Use a larger picture, fewer scales, or boundary='edge'.")  # fmt: skip
        if edge:
            sides = (self.reach_px,) * 4 + (self.reach_frames,) * 2
            frames = nn.functional.pad(frames[:, None], sides, mode="replicate")[:, 0]
        span = 2 * self.reach_frames
        step = max(8, _MEMORY // (len(pop.V1_UNITS) * frames[:, 0].numel()))
        n = frames.shape[1] - span
        return torch.cat([self._block(frames[:, k : min(k + step, n) + span]) for k in range(0, n, step)], 1)

    def _block(self, frames: Tensor) -> Tensor:
        maps = []
        for octave in range(self.n_scales):
            maps.append(self._scale(frames, octave))
            if octave + 1 < self.n_scales:
                for axis in (1, 2, 3):
                    folded, size = _folded(frames, 2**octave), frames.shape
                    frames = _unfolded(
                        _along(folded, self.binomial.to(frames), axis)[:, None], 2**octave, size, folded
                    )[:, 0]
        if self.stage.startswith("v1"):
            return self._pooled(torch.cat(_cropped(maps), 1))
        return self._pooled(self._mt(torch.stack(_cropped(maps)).sum(0)))

    def _scale(self, frames: Tensor, octave: int) -> Tensor:
        """Return (batch, units, time, h, w): V1, or the weighted and pooled input of MT, of the movie halved in places.

        Every 2^octave-th pixel and frame, from each of the starting points, is a movie of its own.
        """
        folded = _folded(frames, 2**octave)
        maps = self._linear(folded, octave)
        if self.stage != "v1_linear":
            maps = self._v1(maps)
        if self.stage.startswith("mt"):
            maps = _blurred(_steered(self.weights.to(maps), maps), self.mt_blur.to(maps))
        return _unfolded(maps, 2**octave, frames.shape, folded)

    def _linear(self, frames: Tensor, octave: int) -> Tensor:
        """Take all ten third derivatives by separable taps and steer them to the units."""
        batch, time = frames.shape[:2]
        taps = self.taps.to(frames)
        x, y, t = (list(orders) for orders in zip(*pop.ORDERS, strict=True))
        made = nn.functional.conv2d(frames.flatten(0, 1)[:, None], taps[:, None, None])
        upward = taps.flip(1)
        made = nn.functional.conv2d(made[:, x], upward[y][:, None, :, None], groups=10)
        size = made.shape[-2:]
        made = made.view(batch, time, 10, -1).transpose(1, 2)
        made = nn.functional.conv2d(made, upward[t][:, None, :, None], groups=10)
        return _steered(self.steering[octave].to(frames), made.unflatten(-1, size))

    def _v1(self, linear: Tensor) -> Tensor:
        energy = pop.BLURRED * _blurred(pop.ENERGY * linear.square(), self.v1_blur.to(linear))
        if self.stage == "v1_energy":
            return energy
        return 0.99 * energy / (0.98 * pop.V1_POOL * energy.sum(1, keepdim=True) + pop.SIGMA_SQUARED)

    def _mt(self, linear: Tensor) -> Tensor:
        n_pool = len(pop.MT_UNITS)
        if self.stage == "mt_linear":
            return linear[:, n_pool:]
        squared = (linear + pop.MT_OFFSET).clamp(min=0).square() * pop.MT_SQUARE
        total = squared[:, :n_pool].sum(1, keepdim=True)
        return pop.MT_GAIN * squared[:, n_pool:] / (pop.MT_POOL * total + pop.SIGMA_SQUARED)

    def _pooled(self, maps: Tensor) -> Tensor:
        """From (batch, units, time, h, w) to what `pool` asks for."""
        maps = maps.transpose(1, 2)
        if self.pool == "map":
            return maps
        if self.pool == "mean":
            return maps.mean((-1, -2))
        return maps[..., maps.shape[-2] // 2, maps.shape[-1] // 2]

    def extra_repr(self) -> str:
        """Show what it is when printed."""
        return f"stage={self.stage!r}, {len(self.units)} units, n_scales={self.n_scales}, boundary={self.boundary!r}"


def _steered(weights: Tensor, maps: Tensor) -> Tensor:
    """Weight the channels of (batch, channels, time, h, w)."""
    return (weights @ maps.flatten(2)).unflatten(2, maps.shape[2:])


def _along(values: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Convolve one axis with symmetric taps, blocks of it as products with a banded matrix."""
    values = values.movedim(axis, -1)
    k = len(taps)
    n = values.shape[-1] - k + 1
    size = min(_BLOCK, n)
    band = taps.new_zeros(size, size + k - 1)
    band.scatter_(1, torch.arange(size, device=taps.device)[:, None] + torch.arange(k, device=taps.device),
                  taps.expand(size, -1))  # fmt: skip
    padded = nn.functional.pad(values, (0, -n % size))
    made = padded.unfold(-1, size + k - 1, size).reshape(-1, size + k - 1) @ band.T  # one product, not one a row
    return made.view(*values.shape[:-1], -1)[..., :n].movedim(-1, axis)


def _blurred(maps: Tensor, taps: Tensor) -> Tensor:
    """Convolve height and width of (..., h, w)."""
    return _along(_along(maps, taps, -1), taps, -2)


def _folded(frames: Tensor, every: int) -> Tensor:
    """From (batch, time, h, w) to (batch * every^3, ...): each `every`-th frame and pixel as a movie of its own."""
    if every == 1:
        return frames
    t, h, w = (-n % every for n in frames.shape[1:])
    padded = nn.functional.pad(frames, (0, w, 0, h, 0, t))
    split = padded.unflatten(3, (-1, every)).unflatten(2, (-1, every)).unflatten(1, (-1, every))
    return split.permute(0, 2, 4, 6, 1, 3, 5).flatten(0, 3)


def _unfolded(maps: Tensor, every: int, shape: tuple[int, ...], folded: Tensor) -> Tensor:
    """Put maps (batch * every^3, c, ...) made from `folded` back in place; leave out what the padding touched."""
    if every == 1:
        return maps
    split = maps.unflatten(0, (shape[0], every, every, every))
    joined = split.permute(0, 4, 5, 1, 6, 2, 7, 3).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    for axis in (1, 2, 3):
        lost = folded.shape[axis] - maps.shape[axis + 1]
        joined = joined.narrow(axis + 1, 0, shape[axis] - every * lost)
    return joined


def _cropped(maps: list[Tensor]) -> list[Tensor]:
    """Cut the last three axes about their centre to those of the smallest, the last map."""
    target = maps[-1].shape[2:]
    made = []
    for m in maps:
        for axis, n in enumerate(target, start=2):
            m = m.narrow(axis, (m.shape[axis] - n) // 2, n)
        made.append(m)
    return made


def _velocities(velocities_deg_s: Any, px_per_deg: float, fps: float | None) -> np.ndarray:
    if velocities_deg_s is None:
        return pop.in_plane(pop.MT_UNITS)
    check(fps is not None, "display and fps", "given with velocities_deg_s", None, "Degrees need a display.")
    values = np.asarray(velocities_deg_s, dtype=float)
    shaped = values.ndim == 2 and values.shape[1:] == (2,) and len(values) > 0
    check(shaped, "velocities_deg_s", "of shape (n, 2), (vx, vy up)", f"shape {values.shape}")
    finite("velocities_deg_s", values)
    return values * px_per_deg / float(fps or 1)


def _table(stage: Stage, n_scales: int, velocities: np.ndarray, px_per_deg: float, fps: float | None) -> pd.DataFrame:
    if stage.startswith("v1"):
        axes = pop.v1_axes() * pop.RADIUS_CPP
        frequency = np.concatenate([axes / 2**s for s in range(n_scales)])
        sf = np.hypot(frequency[:, 0], frequency[:, 1])
        angle, speed, tf = np.arctan2(frequency[:, 1], frequency[:, 0]), frequency[:, 2] / sf, frequency[:, 2]
        scale: Any = np.repeat(np.arange(n_scales), len(axes))
    else:
        angle, speed = np.arctan2(velocities[:, 1], velocities[:, 0]), np.hypot(*velocities.T)
        sf = tf = np.full(len(speed), np.nan)
        scale = -1
    direction = np.where(speed > 0, np.rad2deg(angle) % 360, np.nan)
    table = pd.DataFrame({"stage": stage, "scale": scale, "direction_deg": direction, "speed_px_frame": speed,
                          "sf_cpp": sf, "tf_cpf": tf})  # fmt: skip
    if fps is None:
        return table
    degrees = {"speed_deg_s": speed * fps / px_per_deg, "sf_cpd": sf * px_per_deg, "tf_hz": tf * fps}
    return table.assign(**degrees)
