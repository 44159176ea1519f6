"""Stage I: trainable motion energy units in quadrature, over several scales."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import as_rng, check, integer, one_of, positive
from ...display import Display
from ..energy._input import as_frames

if TYPE_CHECKING:
    import pandas as pd

Edge = Literal["zero", "replicate"]
EDGES: tuple[Edge, ...] = ("zero", "replicate")
HIGHEST = 0.25  # cycles per pixel, and cycles per frame

_MEMORY = 2**25  # numbers of spatial responses held at a time


class EnergyUnits(nn.Module):
    """Quadrature pairs in space and time whose frequencies, directions and widths are trained.

    Every parameter has a row a scale and a column a unit; values in brackets are what it becomes. `sf` (0.25 sigmoid,
    cycles per pixel), `theta` (2 pi sigmoid; the unit prefers motion towards pi - theta), `sd` (sigmoid times the s.d.
    of a Gaussian that is half at the last pixel but one), `aspect` (absolute), `phase` (fixed), `tf` (0.25 sigmoid,
    cycles per frame), `tau` (sigmoid times the time constant of a decay to a fifth over the taps), `pooling` (weights
    of the answers over time), and one `spontaneous`, `gain` and `semisaturation` for all.
    """

    def __init__(
        self, n_scales: int, n_units: int, radius_px: int, n_taps: int, n_frames: int, edge: Edge, rng: Any
    ) -> None:
        super().__init__()
        self.n_scales, self.n_units = integer("n_scales", n_scales), integer("n_units", n_units)
        self.radius_px, self.n_taps = integer("radius_px", radius_px, 2), integer("n_taps", n_taps)
        self.n_frames = integer("n_frames", n_frames, self.n_taps, "Every answer needs as many frames as taps.")
        self.edge = one_of("edge", edge, EDGES)
        shape, draw = (self.n_scales, self.n_units), as_rng(rng)

        def between(low: float, high: float) -> nn.Parameter:
            share = draw.uniform(low, high, shape)
            return nn.Parameter(torch.from_numpy(np.log(share / (1 - share))).float())

        self.sf, self.sd, self.theta = between(0.2, 0.8), between(0.8, 0.99), between(0.01, 0.99)
        self.aspect = nn.Parameter(torch.ones(shape))
        self.phase = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.tf = between(0.01, 0.99)
        self.tau = nn.Parameter((torch.arange(self.n_units) / 2 + 1).expand(shape).clone())
        self.pooling = nn.Parameter(torch.ones(*shape, self.n_frames - self.n_taps + 1))
        self.spontaneous = nn.Parameter(torch.tensor(0.3))
        self.gain, self.semisaturation = nn.Parameter(torch.tensor(4.0)), nn.Parameter(torch.tensor(0.2))

    def spatial_kernels(self) -> Tensor:
        """Return (scales, 2, units, y, x): cosine and sine Gabors without mean, y down."""
        steps = torch.arange(-self.radius_px, self.radius_px + 1, dtype=self.sf.dtype, device=self.sf.device)
        y, x = steps[:, None], steps
        widest = (self.radius_px - 1) * math.sqrt(0.5 / math.log(2))
        theta, sf, sd, phase = (
            p[..., None, None]
            for p in (2 * torch.pi * self.theta.sigmoid(), HIGHEST * self.sf.sigmoid(), widest * self.sd.sigmoid(),
                      self.phase)
        )  # fmt: skip
        along, across = x * theta.cos() + y * theta.sin(), y * theta.cos() - x * theta.sin()
        narrower = self.aspect.abs()[..., None, None]
        envelope = torch.exp(-0.5 * (along.square() + (across * narrower).square()) / sd.square())
        carrier = 2 * torch.pi * sf * along + phase
        pair = torch.stack([envelope * carrier.cos(), envelope * carrier.sin()], 1)
        return pair - pair.mean((-1, -2), keepdim=True)

    def temporal_kernels(self) -> Tensor:
        """Return (scales, 2, units, taps): decaying cosine and sine of the frames gone by."""
        lag = torch.arange(self.n_taps, dtype=self.tf.dtype, device=self.tf.device)
        tau = self.tau.sigmoid() * (self.n_taps / math.log(5))
        turns = 2 * torch.pi * HIGHEST * self.tf.sigmoid()[..., None] * lag
        return torch.exp(-lag / tau[..., None])[:, None] * torch.stack([turns.cos(), turns.sin()], 1)

    def energy(self, frames: Tensor, n_clips: int, scale: int, grouped: bool = False) -> Tensor:
        """Return (clips, units, h, w) pooled over time of frames (clips * time, 1 or units, h, w)."""
        spatial = self.spatial_kernels()[scale].transpose(0, 1).flip(-1, -2)  # (units, 2, y, x): convolution
        temporal = self._over_time(scale)
        padded = functional.pad(frames, (self.radius_px,) * 4, mode="constant" if self.edge == "zero" else self.edge)
        step = max(1, _MEMORY // (2 * frames.shape[0] * frames[0, 0].numel()))
        parts = []
        for k in range(0, self.n_units, step):
            seen = padded[:, k : k + step] if grouped else padded
            some = spatial[k : k + step]
            responses = functional.conv2d(seen, some.reshape(-1, 1, *some.shape[2:]), groups=seen.shape[1])
            responses = responses.unflatten(0, (n_clips, -1)).unflatten(2, (-1, 2))  # (clips, time, units, 2, h, w)
            answers = torch.einsum("uodtc,btuchw->boduhw", temporal[k : k + step], responses)
            energy = answers.square().sum(2) + self.spontaneous.square()
            weights = self.pooling[scale, k : k + step].T[..., None, None]
            parts.append((energy * weights).mean(1).abs())
        return torch.cat(parts, 1)

    def _over_time(self, scale: int) -> Tensor:
        """Return (units, answers, 2, frames, 2): from (cosine, sine) in space to (even, odd) of what moves."""
        kernels = self.temporal_kernels()[scale]
        n_answers = self.n_frames - self.n_taps + 1
        frame, answer = torch.arange(self.n_frames), torch.arange(n_answers)[:, None]
        lag = (answer + self.n_taps - 1 - frame).to(kernels.device)
        known = (lag >= 0) & (lag < self.n_taps)
        cos, sin = kernels[:, :, lag.clamp(0, self.n_taps - 1)] * known
        # (c + i s) convolved with (kc + i ks): even c kc - s ks, odd c ks + s kc.
        return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 2)

    def normalised(self, energy: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Divide by the mean over `dims` of each clip."""
        return self.gain.abs() * energy / (energy.mean(dims, keepdim=True) + self.semisaturation.square())


class MotionSensing(EnergyUnits):
    """Stage I: motion energy of trainable Gabor pairs over scales, normalised by the mean of all units at each place.

    The default has the 256 units of the paper: 8 scales of 32, 3,331 parameters.

    Parameters
    ----------
    n_scales, n_units
        Scales, and units in each.
    spread
        Ratio of the sizes of the first and the last scale; scale i shows the picture spread^(-i / (n_scales - 1)) times
        its size, i = 1, ..., n_scales: the first one is shrunk already.
    radius_px
        Spatial kernels have 2 radius + 1 pixels.
    n_taps, n_frames
        Frames of a temporal kernel, and of a clip.
    cell_px
        Side of a place of the answer.
    edge
        What lies outside the picture: ``"zero"``, as published, or ``"replicate"``, its last pixels.
    rng
        Seed or generator of the initial parameters.

    Raises
    ------
    ValueError
        For numbers below their least values.

    References
    ----------
    .. [1] Z Sun, YJ Chen, YH Yang & S Nishida (2023). Modeling human visual motion processing with trainable motion
       energy sensing and a self-attention network. NeurIPS.

    Examples
    --------
    >>> import torch, neuroperc as npc
    >>> sensing = npc.motion.MotionSensing()
    >>> sum(p.numel() for p in sensing.parameters())
    3331
    >>> sensing(torch.rand(2, 11, 1, 64, 64)).shape
    torch.Size([2, 256, 8, 8])
    """

    def __init__(
        self,
        *,
        n_scales: int = 8,
        n_units: int = 32,
        spread: float = 16.0,
        radius_px: int = 7,
        n_taps: int = 6,
        n_frames: int = 11,
        cell_px: int = 8,
        edge: Edge = "zero",
        rng: int | np.random.Generator = 0,
    ) -> None:
        super().__init__(n_scales, n_units, radius_px, n_taps, n_frames, edge, rng)
        check(positive("spread", spread) > 1, "spread", "above 1", spread)
        self.cell_px = integer("cell_px", cell_px)
        self.spread = float(spread)
        self.ratio = self.spread ** (-1 / max(self.n_scales - 1, 1))

    @property
    def least_px(self) -> int:
        """Smallest side that is still a pixel after all scales, each rounded down."""
        side = 1
        while True:
            left = side
            for _ in range(self.n_scales):
                left = math.floor(left * self.ratio)
            if left >= 1:
                return side
            side += 1

    def forward(self, movie: Tensor) -> Tensor:
        """Return energy (batch, units, h / cell, w / cell) of grey movies (batch, n_frames, 1, h, w), codes in [0, 1].

        Raises
        ------
        ValueError
            For another number of frames, a side that is no multiple of `cell_px`, or a picture too small to be shrunk.
        """
        frames = as_frames(movie)
        n_clips, n_frames, height, width = frames.shape
        check(n_frames == self.n_frames, "movie", f"of {self.n_frames} frames", f"{n_frames} frames",
              "Cut out the frames around the moment that is asked for.")  # fmt: skip
        cell = self.cell_px
        check(height % cell == 0 and width % cell == 0, "movie", f"of sides that are multiples of {cell} pixels",
              f"{height} x {width}", "Crop or pad it.")  # fmt: skip
        least = self.least_px
        check(min(height, width) >= least, "movie", f"of {least} pixels or more on each side for its scales",
              f"{height} x {width}", "Use a larger picture or fewer scales.")  # fmt: skip
        image, energies = frames.flatten(0, 1)[:, None], []
        for scale in range(self.n_scales):
            image = functional.interpolate(image, scale_factor=self.ratio, mode="bilinear", align_corners=False)
            energy = self.energy(image, n_clips, scale)
            size = (height // cell, width // cell)
            energies.append(functional.interpolate(energy, size=size, mode="bilinear", align_corners=True))
        return self.normalised(torch.cat(energies, 1), (1,))

    def units(self, display: Display | None = None, *, fps: float | None = None) -> pd.DataFrame:
        """Return what every unit prefers, a row a unit.

        Parameters
        ----------
        display, fps
            Monitor and frames per second of the movies; with both there are columns in degrees and seconds.

        Returns
        -------
        DataFrame
            ``scale direction_deg sf_cpp tf_cpf speed_px_frame sd_px``, pixels of the movie, and ``sf_cpd tf_hz
            speed_deg_s``. The published labels leave out that the first scale is shrunk: their spatial frequencies are
            1.49 times as high and their speeds as much lower.

        Raises
        ------
        ValueError
            For one of display and fps without the other.
        """
        import pandas as pd

        check((display is None) == (fps is None), "display and fps", "given together", (display, fps), "Give both.")
        shrunk = self.ratio ** torch.arange(1, self.n_scales + 1, dtype=torch.float64)[:, None]
        with torch.no_grad():
            sf, tf = HIGHEST * self.sf.double().sigmoid() * shrunk, HIGHEST * self.tf.double().sigmoid()
            direction = (180 - 360 * self.theta.double().sigmoid()) % 360
            widest = (self.radius_px - 1) * math.sqrt(0.5 / math.log(2))
            sd = widest * self.sd.double().sigmoid() / shrunk
        columns = {
            "scale": torch.arange(self.n_scales)[:, None].expand_as(sf), "direction_deg": direction, "sf_cpp": sf,
            "tf_cpf": tf, "speed_px_frame": tf / sf, "sd_px": sd,
        }  # fmt: skip
        table = pd.DataFrame({name: values.flatten().cpu().numpy() for name, values in columns.items()})
        if display is not None and fps is not None:
            per_s, per_deg = positive("fps", fps), display.px_per_deg
            table["sf_cpd"], table["tf_hz"] = table["sf_cpp"] * per_deg, table["tf_cpf"] * per_s
            table["speed_deg_s"] = table["speed_px_frame"] * per_s / per_deg
        return table
