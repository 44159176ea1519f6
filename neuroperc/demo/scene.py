"""What every stage is shown."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..display import Display

#: Where the three gazes of the tour fall, (x, y) in degrees: the middle, the roof on the right, the bushes on the left.
GAZES_DEG = ((0.0, 0.0), (10.0, 4.0), (-12.0, -7.0))


@dataclass(frozen=True)
class Scene:
    """The photograph (c, h, w) in linear light on its display, its credit, the seed, and whether to show progress."""

    display: Display
    image: Tensor
    credit: str
    seed: int
    progress: bool
