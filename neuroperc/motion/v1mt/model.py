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
            linear = self._linear(frames, octave)  # (batch, units, time, h, w)
            maps.append(linear if self.stage == "v1_linear" else self._v1(linear, octave))
            if octave + 1 < self.n_scales:
                frames = _along_all(frames, self.binomial.to(frames), 2**octave)
        if self.stage.startswith("v1"):
            return self._pooled(torch.cat(_cropped(maps), 1))
        weights = self.weights.to(frames)
        parts = [_steered(weights, m) for m in maps]
        blurs = [_blurred(p, self.mt_blur.to(p), 2**s) for s, p in enumerate(parts)]
        return self._pooled(self._mt(torch.stack(_cropped(blurs)).sum(0)))

    def _linear(self, frames: Tensor, octave: int) -> Tensor:
        """Take all ten third derivatives by separable taps and steer them to the units."""
        batch, time = frames.shape[:2]
        taps, dilation = self.taps.to(frames), 2**octave
        x, y, t = (list(orders) for orders in zip(*pop.ORDERS, strict=True))
        made = nn.functional.conv2d(frames.flatten(0, 1)[:, None], taps[:, None, None], dilation=(1, dilation))
        upward = taps.flip(1)
        made = nn.functional.conv2d(made[:, x], upward[y][:, None, :, None], groups=10, dilation=(dilation, 1))
        size = made.shape[-2:]
        made = made.view(batch, time, 10, -1).transpose(1, 2)
        made = nn.functional.conv2d(made, upward[t][:, None, :, None], groups=10, dilation=(dilation, 1))
        return _steered(self.steering[octave].to(frames), made.unflatten(-1, size))

    def _v1(self, linear: Tensor, octave: int) -> Tensor:
        energy = pop.BLURRED * _blurred(pop.ENERGY * linear.square(), self.v1_blur.to(linear), 2**octave)
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


def _blurred(maps: Tensor, taps: Tensor, dilation: int) -> Tensor:
    """Convolve height and width of (batch, channels, time, h, w) with symmetric taps."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = nn.functional.conv2d(flat, taps[None, None, None], dilation=(1, dilation))
    flat = nn.functional.conv2d(flat, taps[None, None, :, None], dilation=(dilation, 1))
    return flat.view(*maps.shape[:3], *flat.shape[-2:])


def _along_all(frames: Tensor, taps: Tensor, dilation: int) -> Tensor:
    """Convolve (batch, time, h, w) with symmetric taps along x, y and t."""
    flat = _blurred(frames[:, None], taps, dilation)[:, 0]
    size = flat.shape[-2:]
    late = nn.functional.conv2d(flat.flatten(2)[:, None], taps[None, None, :, None], dilation=(dilation, 1))
    return late[:, 0].unflatten(-1, size)


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
