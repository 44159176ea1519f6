"""The clips that the small model is trained and tested on: made, seeded, with true flow at their middle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..._check import as_rng, check, fail, integer, positive, whole_pair
from ...data import StimulusSet
from ...display import Display
from ...stimuli import drifting_noise, flow_clips, gratings

#: Of every hundred clips: textured shapes, plain shapes, gratings, drifting textures.
SHARES = {"textured": 50, "plain": 20, "grating": 15, "noise": 15}
_PX_PER_DEG, _FPS = 8.0, 30.0  # any scale will do: the model sees pixels and frames


class FlowClips(Dataset[tuple[Tensor, Tensor]]):
    """Clips with the velocity of what is seen at the middle frame, a dataset of (movie, velocity) pairs.

    Parameters
    ----------
    movies
        uint8 sRGB codes (n, time, h, w).
    velocity_px
        (n, 2, h, w) velocities (vx, vy), y up, in pixels per frame; NaN where there is none.
    kind
        (n,) what each clip is.
    augment
        Draw each item turned by quarters, mirrored, played backwards and with another contrast; torch's generator
        decides, so that a training can be repeated.

    Raises
    ------
    ValueError
        When shapes or types do not fit.

    Examples
    --------
    >>> import neuroperc as npc
    >>> clips = npc.motion.flow_training_clips(4, size_px=32, rng=0)
    >>> movie, velocity = clips[0]
    >>> movie.shape, velocity.shape
    (torch.Size([11, 1, 32, 32]), torch.Size([2, 32, 32]))
    """

    def __init__(self, movies: Any, velocity_px: Any, kind: Any, *, augment: bool = False) -> None:
        movies, velocity, kind = torch.as_tensor(movies), torch.as_tensor(velocity_px), np.asarray(kind)
        if movies.ndim != 4 or movies.dtype != torch.uint8 or len(movies) == 0:
            fail("movies", "uint8 codes (n, time, h, w)", f"{movies.dtype} {tuple(movies.shape)}",
                 "Convert pictures to sRGB codes of 0 to 255.")  # fmt: skip
        wanted = (len(movies), 2, *movies.shape[2:])
        check(tuple(velocity.shape) == wanted, "velocity_px", f"of shape {wanted}", tuple(velocity.shape))
        check(kind.shape == (len(movies),), "kind", f"{len(movies)} labels", kind.shape)
        self.movies, self.velocity_px, self.kind, self.augment = movies, velocity.float(), kind, bool(augment)

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.movies)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        """Return codes (time, 1, h, w) in [0, 1] and velocity (2, h, w)."""
        movie, velocity = self.movies[item][:, None].float() / 255, self.velocity_px[item]
        return _varied(movie, velocity, torch.rand(5).tolist()) if self.augment else (movie, velocity)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches in order, as they are."""
        for k in range(0, len(self), integer("size", size)):
            yield self.movies[k : k + size, :, None].float() / 255, self.velocity_px[k : k + size]


def _varied(movie: Tensor, velocity: Tensor, draw: list[float]) -> tuple[Tensor, Tensor]:
    """Turn, mirror, reverse and fade one clip; square pictures only are turned."""
    if draw[0] < 0.5:  # left and right
        movie, velocity = movie.flip(-1), velocity.flip(-1) * velocity.new_tensor([-1.0, 1.0])[:, None, None]
    if draw[1] < 0.5:  # up and down
        movie, velocity = movie.flip(-2), velocity.flip(-2) * velocity.new_tensor([1.0, -1.0])[:, None, None]
    if draw[2] < 0.5 and movie.shape[-1] == movie.shape[-2]:  # about the falling diagonal: right becomes down
        movie, velocity = movie.mT, -velocity.flip(0).mT
    if draw[3] < 0.5:
        movie, velocity = movie.flip(0), -velocity
    return 0.5 + (0.3 + 0.7 * draw[4]) * (movie - 0.5), velocity


def flow_training_clips(
    n: int,
    *,
    size_px: int | tuple[int, int] = 64,
    n_frames: int = 11,
    max_speed_px: float = 4.0,
    augment: bool = False,
    rng: int | np.random.Generator,
) -> FlowClips:
    """Make clips with true flow: textured (50 of 100) and plain (20) moving shapes, gratings (15) and textures (15).

    Shapes move over a textured ground that moves too. A grating's truth is the velocity across its stripes. There are
    no plaids, no second-order and no apparent motion among them, so that what a model does with those was not taught.

    Parameters
    ----------
    n
        Clips.
    size_px
        Side, or (height, width).
    n_frames
        Odd; the truth is that of the middle frame.
    max_speed_px
        Speeds are uniform up to this, pixels per frame, directions uniform.
    augment
        As of `FlowClips`.
    rng
        Seed or generator.

    Returns
    -------
    FlowClips

    Raises
    ------
    ValueError
        For an even number of frames, or sizes that are not positive.

    Examples
    --------
    >>> import neuroperc as npc
    >>> clips = npc.motion.flow_training_clips(20, size_px=24, rng=0)
    >>> sorted(set(clips.kind.tolist())), float(clips.velocity_px.nan_to_num().norm(dim=1).max()) <= 4
    (['grating', 'noise', 'plain', 'textured'], True)
    """
    total, frames = integer("n", n), integer("n_frames", n_frames, 3)
    check(frames % 2 == 1, "n_frames", "odd: the truth belongs to the middle frame", frames)
    shape = whole_pair("size_px", (size_px, size_px) if np.isscalar(size_px) else size_px)
    speed = positive("max_speed_px", max_speed_px) * _FPS / _PX_PER_DEG
    display = Display.from_px_per_deg(_PX_PER_DEG, resolution_px=shape, refresh_hz=_FPS)
    shown = {"size_deg": (shape[0] / _PX_PER_DEG, shape[1] / _PX_PER_DEG), "duration_s": frames / _FPS}
    generator = as_rng(rng)
    kinds = generator.permutation(_dealt(total))
    movies = torch.empty(total, frames, *shape, dtype=torch.uint8)
    velocity = torch.empty(total, 2, *shape)
    for k, kind in enumerate(kinds):
        clip = _one(kind, display, speed, shown, generator)
        codes = clip.pixels[0].read("srgb")[:, 0]
        movies[k] = (codes * 255).round().to(torch.uint8)
        flow = clip.truth["flow_deg_s"][0]
        velocity[k] = torch.as_tensor(flow[len(flow) // 2] * (_PX_PER_DEG / _FPS))
    return FlowClips(movies, velocity, kinds, augment=augment)


def _dealt(n: int) -> np.ndarray:
    """Return n kinds in the shares asked for, the first ones rounded up."""
    ends = np.ceil(np.cumsum(list(SHARES.values())) / 100 * n - 1e-9).astype(int)
    return np.repeat(list(SHARES), np.diff(ends, prepend=0))


def _one(kind: str, display: Display, speed: float, shown: dict[str, Any], rng: np.random.Generator) -> StimulusSet:
    """Make one clip, with speeds up to `speed` in degrees per second."""
    contrast = float(rng.uniform(0.3, 0.9))
    direction, fast = float(rng.uniform(0, 360)), float(rng.uniform(0, speed))
    if kind in ("textured", "plain"):
        return flow_clips(
            display, n=1, n_shapes=int(rng.integers(1, 5)), max_speed_deg_s=speed, textured=kind == "textured",
            contrast=contrast, rng=rng, **shown,
        )  # fmt: skip
    if kind == "noise":
        return drifting_noise(
            display, speed_deg_s=fast, direction_deg=direction, rms_contrast=contrast / 5, rng=rng, **shown
        )
    sf = float(2 ** rng.uniform(-1, 1))  # 16 to 4 pixels a cycle
    tf = min(sf * fast, _FPS / 4)
    return gratings(
        display, sf_cpd=sf, tf_hz=tf, direction_deg=direction, contrast=contrast, phase_deg="random", rng=rng, **shown
    )
