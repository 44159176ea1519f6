"""Training diets: what a network's pictures are changed into, so that it learns from another visual world."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample

from .._check import check, fail, integer, non_negative, one_of

Diet = Literal["plain", "rotated", "fisheye", "grid"]
#: The names that `training_diet` knows.
DIETS: tuple[Diet, ...] = ("plain", "rotated", "fisheye", "grid")


class Rotate90(nn.Module):
    """Turn pictures by quarters, counter-clockwise: light from above becomes light from the left.

    Parameters
    ----------
    n_turns
        Quarters of a turn.

    Raises
    ------
    ValueError, TypeError
        When `n_turns` is no whole number; when called with anything but pictures (..., c, h, w).

    References
    ----------
    S K Gupta et al. (2021). Visual search asymmetry. NeurIPS: ImageNet rotated by 90 degrees after flip and crop.

    Examples
    --------
    >>> import torch
    >>> Rotate90()(torch.arange(4.0).reshape(1, 2, 2)).tolist()
    [[[1.0, 3.0], [0.0, 2.0]]]
    """

    def __init__(self, n_turns: int = 1) -> None:
        super().__init__()
        self.n_turns = integer("n_turns", n_turns, minimum=0)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (..., c, w, h) for an odd number of quarters, else (..., c, h, w)."""
        return torch.rot90(_pictures(pictures), self.n_turns, (-2, -1))

    def extra_repr(self) -> str:
        """Return the setting."""
        return f"n_turns={self.n_turns}"


class Fisheye(nn.Module):
    """Magnify the middle at the cost of the border, as a retina does: straight lines off the middle become curves.

    With r the distance from the middle over that of the corners, the picture shows at r what was at
    (e^(k r) - 1) / (e^k - 1). The corners stay, nothing from outside comes in, and k = 0 changes nothing. The warp of
    the paper is of this kind; its formula was not published with the stimuli.

    Parameters
    ----------
    strength
        k: the middle is magnified by (e^k - 1) / k.
    n_samples
        Samples a pixel on each axis, averaged; 2 keeps the compressed border free of aliasing up to strength 1.6.

    Raises
    ------
    ValueError, TypeError
        When `strength` is negative; when called with anything but floating pictures (..., c, h, w).

    References
    ----------
    S K Gupta et al. (2021). Visual search asymmetry. NeurIPS: ImageNet seen through a fisheye.

    Examples
    --------
    >>> import torch
    >>> Fisheye(1.5)(torch.full((1, 3, 32, 32), 0.5)).unique().tolist()
    [0.5]
    """

    def __init__(self, strength: float = 1.5, *, n_samples: int = 2) -> None:
        super().__init__()
        self.strength = non_negative("strength", strength)
        self.n_samples = integer("n_samples", n_samples)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures of the same shape."""
        x = _pictures(pictures)
        if self.strength == 0:
            return x
        height, width = x.shape[-2:]
        flat = x.reshape(-1, *x.shape[-3:])
        grid = self._grid(height, width).to(x).expand(len(flat), -1, -1, -1)
        warped = grid_sample(flat, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return avg_pool2d(warped, self.n_samples).reshape(x.shape)

    def _grid(self, height: int, width: int) -> Tensor:
        """Return where each sample comes from, (h n, w n, 2) of (x, y), -1 and 1 at the outer edges."""
        y, x = (
            (torch.arange(m * self.n_samples).double() + 0.5) / (m * self.n_samples) * 2 - 1 for m in (height, width)
        )
        corner = math.hypot(height, width)
        r = torch.hypot(x[None, :] * width, y[:, None] * height) / corner
        source = torch.expm1(self.strength * r) / math.expm1(self.strength)
        scale = torch.where(r > 0, source / r.clamp(min=1e-12), self.strength / math.expm1(self.strength))
        return torch.stack((scale * x[None, :], scale * y[:, None]), -1)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"strength={self.strength}, n_samples={self.n_samples}"


class BlackGrid(nn.Module):
    """Draw black lines across pictures, which adds crossings and T junctions everywhere.

    Parameters
    ----------
    line_px, period_px, start_px
        Thickness of the lines, their distance, and the first row and column.

    Raises
    ------
    ValueError, TypeError
        When a number is too small or the lines touch; when called with anything but pictures (..., c, h, w).

    Notes
    -----
    Draw before pictures are normalised: black is 0.

    References
    ----------
    S K Gupta et al. (2021). Visual search asymmetry. NeurIPS: lines of 5 px every 50 px from 45 on, on 224 by 224 px.

    Examples
    --------
    >>> import torch
    >>> BlackGrid(1, 3, 1)(torch.ones(1, 5, 5))[0, 0].tolist()
    [1.0, 0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, line_px: int = 5, period_px: int = 50, start_px: int = 45) -> None:
        super().__init__()
        self.line_px = integer("line_px", line_px)
        self.period_px = integer("period_px", period_px, minimum=self.line_px + 1, remedy="Else all is black.")
        self.start_px = integer("start_px", start_px, minimum=0)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures of the same shape."""
        x = _pictures(pictures)
        row, column = (self._lines(n, x.device) for n in x.shape[-2:])
        return x.masked_fill(row[:, None] | column[None, :], 0)

    def _lines(self, n: int, device: torch.device) -> Tensor:
        at = torch.arange(n, device=device) - self.start_px
        return (at >= 0) & (at % self.period_px < self.line_px)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"line_px={self.line_px}, period_px={self.period_px}, start_px={self.start_px}"


def training_diet(name: Diet) -> nn.Module:
    """Return the published change of training pictures by its name.

    Parameters
    ----------
    name
        "plain" (as they are), "rotated" (`Rotate90`), "fisheye" (`Fisheye`) or "grid" (`BlackGrid`). They come after
        flip and crop and before normalising.

    Returns
    -------
    torch.nn.Module
        From pictures (..., c, h, w) to pictures.

    Raises
    ------
    ValueError
        For another name.

    References
    ----------
    S K Gupta et al. (2021). Visual search asymmetry. NeurIPS, training on other diets.

    Examples
    --------
    >>> training_diet("grid")
    BlackGrid(line_px=5, period_px=50, start_px=45)
    """
    makers = {"plain": nn.Identity, "rotated": Rotate90, "fisheye": Fisheye, "grid": BlackGrid}
    return makers[one_of("name", name, DIETS)]()


def _pictures(pictures: Tensor) -> Tensor:
    if not isinstance(pictures, Tensor):
        fail("pictures", "a tensor (..., c, h, w)", type(pictures).__name__, error=TypeError)
    shape = tuple(pictures.shape)
    check(pictures.ndim >= 3 and 0 not in shape, "pictures", "of shape (..., c, h, w)", f"shape {shape}")
    if not pictures.is_floating_point():
        fail("pictures", "floating point in [0, 1]", str(pictures.dtype), "Divide 8-bit codes by 255.", TypeError)
    return pictures
