"""TwoStageMotion: motion energy sensing, recurrent integration, and the flow that is read from both."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import check, fail, finite, integer, one_of, positive
from ...color import linear_to_srgb
from ...display import Display
from .decoding import ConvexUpsampler, FlowDecoder, bilinear
from .graph import MotionGraph, placed_code
from .higher_order import HigherOrderPath
from .sensing import Edge, MotionSensing

PRETRAINED = Path(__file__).parents[1] / "weights" / "two_stage_small.safetensors"
_GREY = (0.299, 0.587, 0.114)  # of codes, as published
_WITH_FEATURES = 15  # frames that the second path sees


class MotionStages(NamedTuple):
    """What `TwoStageMotion.stages` returns; index 0 is Stage I, then come the iterations.

    Attributes
    ----------
    energy
        (b, c, h / cell, w / cell) each, what the decoder reads.
    velocity_px
        (b, 2, h, w) each, (vx, vy), y up, pixels per frame; from the iterations by the trained upsampling, from Stage I
        bilinear.
    bilinear_px
        The same, all bilinear: used by the loss.
    first_order
        With the higher-order path, the same of the first-order path alone; else None.

    Examples
    --------
    >>> MotionStages((), (), (), None).first_order is None
    True
    """

    energy: tuple[Tensor, ...]
    velocity_px: tuple[Tensor, ...]
    bilinear_px: tuple[Tensor, ...]
    first_order: MotionStages | None


class TwoStageMotion(nn.Module):
    """The trainable model of Sun et al.: velocity of every pixel from motion energy and recurrent attention.

    Stage I, `stage1`, senses motion energy. Stage II, `stage2`, lets all places exchange messages along a graph whose
    edges follow from how alike they are, several times with the same weights. One linear decoder reads flow from
    Stage I and from every iteration. With `higher_order` a 3-D network finds features whose motion is sensed as well.

    Defaults are the sizes of the paper, with random weights; `pretrained` returns the small model that comes with the
    package, `from_published` reads the authors' files.

    Parameters
    ----------
    n_scales, n_units, spread, radius_px, n_taps, n_frames, cell_px, edge
        Of Stage I: see `MotionSensing`. `edge` also holds for the upsampling.
    n_iterations
        Of Stage II; 0 is Stage I and the decoder alone.
    higher_order
        Add the path of features: clips then have 15 frames and 3 channels.
    chunk_places
        Attention over more places than this is made in chunks: the same numbers in bounded memory.
    random_state
        Seed of the initial weights.

    Raises
    ------
    ValueError
        For numbers below their least values, or units that are no multiple of 4 together.

    Notes
    -----
    Means that the published code takes over the clips of a batch (size of the position code, gain of the features) are
    taken over each clip here, so that a batch gives what its clips give one by one.

    References
    ----------
    .. [1] Z Sun, YJ Chen, YH Yang & S Nishida (2023). Modeling human visual motion processing with trainable motion
       energy sensing and a self-attention network. NeurIPS.
    .. [2] Z Sun, YJ Chen, YH Yang, Y Li & S Nishida (2025). Machine learning modelling for multi-order human visual
       motion processing. Nature Machine Intelligence (arXiv:2501.12810).

    Examples
    --------
    >>> import torch, neuroperc as npc
    >>> model = npc.motion.TwoStageMotion(n_scales=2, n_units=4, spread=2.0, n_iterations=2)
    >>> model(torch.rand(1, 11, 1, 32, 40)).shape
    torch.Size([1, 2, 32, 40])
    """

    #: What `record` hands over as it is: linear light.
    preprocess = "linear light"

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
        n_iterations: int = 6,
        higher_order: bool = False,
        chunk_places: int = 2048,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        self.n_iterations = integer("n_iterations", n_iterations, 0)
        seed = integer("random_state", random_state, 0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stage1 = MotionSensing(
                n_scales=n_scales, n_units=n_units, spread=spread, radius_px=radius_px, n_taps=n_taps,
                n_frames=n_frames, cell_px=cell_px, edge=edge, rng=seed,
            )  # fmt: skip
            c = n_scales * n_units
            self.stage2 = MotionGraph(c, chunk_places=chunk_places) if n_iterations else None
            self.decoder = FlowDecoder(c)
            self.upsampler = ConvexUpsampler(c, cell_px, edge) if n_iterations else None
            self.features: HigherOrderPath | None = None
            if higher_order:
                check(n_iterations > 0, "n_iterations", "1 or more with higher_order=True", n_iterations)
                check(cell_px == 8 and c % 8 == 0, "cell_px and units", "8 and a multiple of 8 with higher_order=True",
                      (cell_px, c))  # fmt: skip
                self.features = HigherOrderPath(c, _WITH_FEATURES, 8, radius_px, edge, seed + 1)
                self.fuse = nn.Sequential(
                    nn.Conv2d(2 * c, 2 * c, 1, bias=False), nn.ReLU(), nn.Conv2d(2 * c, c, 3, padding=1, bias=False)
                )

    @property
    def n_frames(self) -> int:
        """Frames of a clip; the velocity is that from its middle frame to the next."""
        return self.stage1.n_frames if self.features is None else _WITH_FEATURES

    @classmethod
    def pretrained(cls, path: str | os.PathLike[str] | None = None) -> TwoStageMotion:
        """Return a model with the weights of a file that `save` wrote; default is the small one in this package.

        That one was trained for minutes on a CPU on made clips of 64 x 64 pixels
        (``neuroperc run sun2023_two_stage --profile paper`` trains it again): no stand-in for the published network.

        Raises
        ------
        ValueError
            When a file is missing or damaged.

        Examples
        --------
        >>> import neuroperc as npc
        >>> npc.motion.TwoStageMotion.pretrained().n_frames
        11
        """
        from safetensors.torch import load_file

        weights = PRETRAINED if path is None else Path(path)
        side = weights.with_suffix(".json")
        for file in (weights, side):
            check(file.is_file(), "path", "of weights with a .json file beside them", str(file))
        try:
            settings = json.loads(side.read_text(encoding="utf-8"))["model"]
            state = {name: value.float() for name, value in load_file(weights).items()}
            model = cls(**settings)
            model.load_state_dict(state)
        except Exception as error:  # whatever a damaged file raises, its user needs the file's name
            fail("path", "of weights that TwoStageMotion.save wrote", f"{weights} ({type(error).__name__}: {error})")
        return model.eval()

    @classmethod
    def from_published(cls, path: str | os.PathLike[str], **settings: Any) -> TwoStageMotion:
        """Return the model with the weights of a file of the authors: the dual-path one, or its first-order part.

        Parameters
        ----------
        path
            File of torch.
        **settings
            `edge`, `n_iterations`, `chunk_places`; the rest follows from the file.

        Raises
        ------
        ValueError
            When the file is not of that layout; the message names what is missing.

        Notes
        -----
        The file itself could not be had where this was written: the layout was taken from the authors' code, and is
        tested with a file of that layout made here.
        """
        from .published import from_published

        return from_published(cls, path, settings)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make this model, but for `random_state`."""
        s = self.stage1
        return {
            "n_scales": s.n_scales, "n_units": s.n_units, "spread": s.spread, "radius_px": s.radius_px,
            "n_taps": s.n_taps, "n_frames": s.n_frames, "cell_px": s.cell_px, "edge": s.edge,
            "n_iterations": self.n_iterations, "higher_order": self.features is not None,
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str], *, note: dict[str, Any] | None = None) -> None:
        """Write the weights in half precision (safetensors) and beside them settings and `note` (JSON).

        Raises
        ------
        ValueError
            When the folder does not exist.
        OSError
            When it cannot be written.
        """
        from safetensors.torch import save_file

        from ..._check import atomic_path

        target = Path(path)
        with atomic_path(target) as temporary:
            save_file({name: value.half().contiguous() for name, value in self.state_dict().items()}, temporary)
        with atomic_path(target.with_suffix(".json")) as temporary:
            text = json.dumps({"model": self.settings(), **(note or {})}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")

    def forward(self, movie: Tensor, *, encoding: Literal["linear", "srgb"] = "linear") -> Tensor:
        """Return the velocity at the middle frame.

        Parameters
        ----------
        movie
            (batch, n_frames, 1 or 3, h, w), floating, in [0, 1].
        encoding
            Of the movie; the model itself works on sRGB codes.

        Returns
        -------
        Tensor
            (batch, 2, h, w), (vx, vy) with y up, pixels per frame; differentiable.

        Raises
        ------
        ValueError
            For another number of frames or channels, values outside [0, 1], NaN, or a picture too small.
        """
        return self.stages(movie, encoding=encoding).velocity_px[-1]

    def velocity_deg_s(self, movie: Tensor, display: Display, *, fps: float, **shown: Any) -> Tensor:
        """Return the velocity in degrees per second at the centre's pixels per degree; see `forward`."""
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        return self.forward(movie, **shown) * (positive("fps", fps) / display.px_per_deg)

    def stages(self, movie: Tensor, *, encoding: Literal["linear", "srgb"] = "linear") -> MotionStages:
        """Return energy and velocity of Stage I and of every iteration; arguments as of `forward`."""
        codes = self._codes(movie, encoding)
        height, width = codes.shape[-2:]
        pad = [-n % self.stage1.cell_px for n in (width, height)]
        if any(pad):  # the last pixels are repeated, and cut off again
            flat = functional.pad(codes.flatten(0, 1), (0, pad[0], 0, pad[1]), mode="replicate")
            codes = flat.unflatten(0, codes.shape[:2])
        skip = (codes.shape[1] - self.stage1.n_frames) // 2
        middle = codes[:, skip : skip + self.stage1.n_frames]
        grey = middle
        if codes.shape[2] == 3:
            grey = (middle * middle.new_tensor(_GREY)[:, None, None]).sum(2, keepdim=True)
        energy = self.stage1(grey)
        first = self._integrate(energy, (height, width))
        if self.features is None:
            return first
        colour = codes.expand(-1, -1, 3, -1, -1)
        fused = self.fuse(torch.cat([energy.detach(), self.features(colour)], 1)).square()
        return self._integrate(fused, (height, width))._replace(first_order=first)

    def _integrate(self, energy: Tensor, size: tuple[int, int]) -> MotionStages:
        cell, height, width = self.stage1.cell_px, *size
        sign = energy.new_tensor([1.0, -1.0])[:, None, None]  # v of the decoder is down

        def cut(flow: Tensor) -> Tensor:
            return sign * flow[..., :height, :width]

        flow = self.decoder(energy)
        energies, coarse = [energy], [cut(bilinear(flow, cell))]
        fine = [coarse[0]]
        if self.stage2 is not None and self.upsampler is not None:
            value, attention = energy, placed_code(energy)
            for _ in range(self.n_iterations):
                value, attention = self.stage2(value, attention)
                energies.append(self.stage2.energy(value))
                flow = self.decoder(energies[-1])
                coarse.append(cut(bilinear(flow, cell)))
                fine.append(cut(self.upsampler(flow, attention)))
        return MotionStages(tuple(energies), tuple(fine), tuple(coarse), None)

    def _codes(self, movie: Any, encoding: str) -> Tensor:
        good = isinstance(movie, Tensor) and movie.is_floating_point()
        got = getattr(movie, "dtype", type(movie).__name__)
        check(good, "movie", "a floating torch.Tensor", got, "Use torch.as_tensor(movie).float().", TypeError)
        n = self.n_frames
        remedy = f"Cut out the {n} frames around the moment that is asked for; stack clips along the first axis."
        fits = movie.ndim == 5 and movie.shape[1] == n and movie.shape[2] in (1, 3) and movie.numel() > 0
        check(fits, "movie", f"of shape (batch, {n}, 1 or 3, h, w)", f"shape {tuple(movie.shape)}", remedy)
        low, high = float(movie.detach().min()), float(movie.detach().max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            finite("movie (batch, time, channel, y, x)", movie.detach(), "Remove frames with NaN or infinity first.")
            fail("movie", "within [0, 1]", f"{low:g} to {high:g}", "Divide 8-bit codes by 255.")
        one_of("encoding", encoding, ("linear", "srgb"))
        return linear_to_srgb(movie.clamp(0, 1)) if encoding == "linear" else movie
