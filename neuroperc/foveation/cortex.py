"""`LogPolar`: the picture as cortical magnification spreads it, anti-aliased, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._check import check, fail, finite, integer, positive
from ..display import Display
from ._sampling import Halve, bilinear


class LogPolar(nn.Module):
    """Sample a picture on rings around the gaze whose spacing grows with eccentricity, as the visual cortex does.

    With magnification M(e) = 1 / (e + a), equal steps on cortex are equal steps of ln(e + a): ring i of n lies at
    ``e_i = a (1 + e_max / a)^(i / (n - 1)) - a``, from the gaze itself to `max_eccentricity_deg`, with the same number
    of angles on every ring. Each sample comes from the level of a Gaussian pyramid whose pixels are as far apart as
    the samples are there (linear between levels and between pixels), so that fine patterns fade instead of aliasing.

    Parameters
    ----------
    display
        Geometry of the pictures.
    a_deg
        Eccentricity at which magnification has halved; smaller is more foveal. The default is that of fovi's largest
        published model, whose range is 0.5 to 61.
    n_rings
        Default: one ring a pixel at the gaze.
    n_angles
        Default: as many as make samples on the outermost ring equally far apart along and across it.
    max_eccentricity_deg
        Radius of the outermost ring; default half the display's longer side.
    background
        Value of samples and pixels that no picture reaches: one number, or one a channel.
    fixation_deg
        Default gaze, (x, y).

    Attributes
    ----------
    eccentricities_deg, angles_rad : Tensor
        (n_rings,) and (n_angles,) float64; angles counter-clockwise from rightward.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range, or the default gaze lies off the screen.

    Notes
    -----
    Differentiable with respect to the picture and the gaze. Inputs in half precision are computed in float32.
    Repeatable bit for bit on one device, except for gradients inside a `torch.compile`-d graph on CUDA.

    References
    ----------
    E L Schwartz (1980). Computational anatomy and functional architecture of striate cortex. Vision Research 20.

    Examples
    --------
    >>> display = Display.from_px_per_deg(16, resolution_px=(128, 160))
    >>> cortex = LogPolar(display, a_deg=1.0, n_rings=32)
    >>> picture = torch.rand(2, 3, 128, 160)
    >>> image = cortex(picture, fixation_deg=[(0, 0), (2, -1)])
    >>> image.shape
    torch.Size([2, 3, 32, 91])
    >>> cortex.inverse(image, fixation_deg=[(0, 0), (2, -1)]).shape
    torch.Size([2, 3, 128, 160])
    """

    fixation_deg: Tensor
    eccentricities_deg: Tensor
    angles_rad: Tensor
    background: Tensor
    _points_px: Tensor
    _level: Tensor
    _covered: Tensor
    _places: Tensor

    def __init__(
        self,
        display: Display,
        *,
        a_deg: float = 2.78,
        n_rings: int | None = None,
        n_angles: int | None = None,
        max_eccentricity_deg: float | None = None,
        background: float | Sequence[float] = 0.5,
        fixation_deg: Any = (0.0, 0.0),
    ) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        self.display = display
        self.a_deg = positive("a_deg", a_deg)
        reach = max(display.extent_deg) / 2 if max_eccentricity_deg is None else max_eccentricity_deg
        self.max_eccentricity_deg = positive("max_eccentricity_deg", reach)
        limit = 180.0 if display.geometry == "small_angle" else 90.0
        check(reach < limit, "max_eccentricity_deg", f"below {limit:g}", reach)
        total = math.log1p(self.max_eccentricity_deg / self.a_deg)
        if n_rings is None:
            n_rings = max(2, math.ceil(self.a_deg * display.px_per_deg * total) + 1)
        self.n_rings = integer("n_rings", n_rings, 2)
        self.step = total / (self.n_rings - 1)  # of ln(e + a)
        outermost = (self.max_eccentricity_deg + self.a_deg) * self.step
        if n_angles is None:
            n_angles = max(4, math.ceil(2 * math.pi * self.max_eccentricity_deg / outermost))
        self.n_angles = integer("n_angles", n_angles, 4)
        self.n_levels = self._count_levels(outermost)
        self._register(background, fixation_deg)

    def _register(self, background: float | Sequence[float], fixation_deg: Any) -> None:
        shade = torch.as_tensor(background, dtype=torch.float64)
        check(shade.ndim <= 1 and shade.numel() > 0, "background", "one number, or one a channel", background)
        finite("background", shade)
        ring = torch.arange(self.n_rings, dtype=torch.float64)
        fixation = torch.as_tensor(self.display.check_fixation(fixation_deg), dtype=torch.float64).detach()
        check(fixation.ndim == 1, "fixation_deg", "one default gaze (x, y)", fixation_deg, "Pass gazes to forward.")
        for name, buffer in {
            "background": shade.reshape(-1, 1, 1),
            "eccentricities_deg": self.a_deg * torch.expm1(ring * self.step),
            "angles_rad": torch.arange(self.n_angles, dtype=torch.float64) * (2 * math.pi / self.n_angles),
            "fixation_deg": fixation,
        }.items():
            self.register_buffer(name, buffer, persistent=False)
        points, level, covered = self._samples(fixation)
        self.register_buffer("_points_px", points, persistent=False)
        self.register_buffer("_level", level, persistent=False)
        self.register_buffer("_covered", covered, persistent=False)
        self.register_buffer("_places", self._places_of(fixation).float(), persistent=False)
        self._rings_of_level = self._split_rings(level)

    def _split_rings(self, level: Tensor) -> list[slice]:
        """Rings that each level may have a share in; on a flat screen they depend on the gaze, so all may."""
        if self.display.geometry == "tangent":
            return [slice(0, self.n_rings)] * self.n_levels
        ring = torch.arange(self.n_rings)
        low, high = level.amin(-1) - 1e-3, level.amax(-1) + 1e-3  # points are rounded; one rounding a gaze
        shared = [ring[(low < k + 1) & (high > k - 1)].tolist() or [0] for k in range(self.n_levels)]
        return [slice(rings[0], rings[-1] + 1) for rings in shared]

    def _count_levels(self, outermost_deg: float) -> int:
        """Pyramid levels that the widest spacing on this screen needs."""
        spacing = max(outermost_deg, 2 * math.pi * self.max_eccentricity_deg / self.n_angles) * self.display.px_per_deg
        if self.display.geometry == "tangent":  # a degree covers more pixels at the edge of a flat screen
            spacing /= math.cos(math.radians(max(self.display.extent_deg) / 2)) ** 2
        wanted = math.ceil(math.log2(max(spacing, 1.0))) + 1
        return min(wanted, 1 + int(math.log2(min(self.display.resolution_px))))

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Sample pictures on the rings.

        Parameters
        ----------
        x
            (b, c, h, w), floating, (h, w) the display's resolution.
        fixation_deg
            (2,) for all items or (b, 2); default the module's.

        Returns
        -------
        Tensor
            (b, c, n_rings, n_angles), the gaze in row 0; samples off the picture hold `background` (see `covered`).

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a picture, or a gaze lies off the screen.
        """
        self._check_image("x", x, self.display.resolution_px, "Give the Display the picture was made for.")
        if fixation_deg is None:
            points, level, covered = self._points_px, self._level, self._covered
        else:
            points, level, covered = self._samples(self._fixation(fixation_deg, x))
        image = x if x.dtype == torch.float64 else x.float()
        level, points = level.to(image.dtype), points.to(image.dtype)
        out = image.new_zeros(x.shape[0], x.shape[1], self.n_rings, self.n_angles)
        for k, rings in enumerate(self._rings_of_level):
            share = (1 - (level[..., rings, :] - k).abs()).clamp(min=0)  # linear between neighbouring levels
            out[..., rings, :] += share.unsqueeze(-3) * bilinear(image, points[..., rings, :, :] / 2**k)
            image = Halve.apply(image) if k + 1 < self.n_levels else image
        return torch.where(covered.unsqueeze(-3), out, self.background.to(out)).to(x.dtype)

    def inverse(self, cortex: Tensor, fixation_deg: Any = None) -> Tensor:
        """Return the picture that a cortical image stands for.

        Every pixel is interpolated linearly between the samples around it, of which those that lay off the picture
        are left out.

        Parameters
        ----------
        cortex
            (b, c, n_rings, n_angles), as `forward` returns it.
        fixation_deg
            The gaze it was sampled at: (2,) or (b, 2); default the module's.

        Returns
        -------
        Tensor
            (b, c, h, w); pixels beyond the outermost ring hold `background`.

        Raises
        ------
        ValueError, TypeError
            When `cortex` is not such an image, or a gaze lies off the screen.
        """
        self._check_image("cortex", cortex, (self.n_rings, self.n_angles), "Give what this module's forward returned.")
        values = cortex if cortex.dtype == torch.float64 else cortex.float()
        default = fixation_deg is None
        fixation = self._fixation(fixation_deg, cortex)
        covered = self._covered if default else self._samples(fixation)[2]
        places = self._places if default and values.dtype == torch.float32 else self._places_of(fixation)
        weight = covered.unsqueeze(-3).to(values.dtype).reshape(-1, 1, self.n_rings, self.n_angles)
        known = bilinear(functional.pad(weight, (0, 1, 0, 0), mode="circular"), places.to(values.dtype))
        filled = torch.where(weight > 0, values, torch.zeros_like(values))
        picture = bilinear(functional.pad(filled, (0, 1, 0, 0), mode="circular"), places.to(values.dtype))
        reached = (known > 1e-6) & (places[..., 1] <= self.n_rings - 1).unsqueeze(-3)
        picture = picture / torch.where(reached, known, torch.ones_like(known))
        return torch.where(reached, picture, self.background.to(picture)).to(cortex.dtype)

    def covered(self, fixation_deg: Any = None) -> Tensor:
        """Return which samples lie on the picture: bool, (n_rings, n_angles), or (b, ...) for gazes (b, 2)."""
        if fixation_deg is None:
            return self._covered
        return self._samples(self._fixation(fixation_deg, None))[2]

    def _fixation(self, fixation_deg: Any, like: Tensor | None) -> Tensor:
        value = self.fixation_deg if fixation_deg is None else fixation_deg
        value = self.display.check_fixation(value, batch=None if like is None else like.shape[0])
        device = self.fixation_deg.device if like is None else like.device
        return torch.as_tensor(value, dtype=torch.float64, device=device)

    def _samples(self, fixation_deg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places (..., n, m, 2) in px, pyramid level and coverage (..., n, m) of all samples."""
        ecc, angle = self.eccentricities_deg.to(fixation_deg)[:, None], self.angles_rad.to(fixation_deg)
        points_deg = self.display.point_at(ecc, angle, fixation_deg[..., None, None, :])
        points = self.display.to_px(points_deg)
        # The distance to the next ring and to the next angle, whichever is longer; measured on the screen, so that it
        # holds in both geometries. Squared, as a root has no gradient at the gaze, where all angles meet.
        across = points.diff(dim=-3).square().sum(-1)
        across = torch.cat((across, across[..., -1:, :] * math.exp(2 * self.step)), -2)
        along = (points - points.roll(1, -2)).square().sum(-1)
        level = 0.5 * torch.log2(torch.maximum(across, along).clamp(min=1.0))
        return points, level.clamp(max=self.n_levels - 1), self.display.on_screen(points_deg)

    def _places_of(self, fixation_deg: Tensor) -> Tensor:
        """(..., h, w, 2) (column, row) of every pixel in the cortical image, its first angle repeated at the end."""
        ecc, angle = self.display.polar(fixation_deg)
        column = torch.remainder(torch.as_tensor(angle) * (self.n_angles / (2 * math.pi)), self.n_angles)
        return torch.stack((column, torch.log1p(torch.as_tensor(ecc) / self.a_deg) / self.step), -1)

    def _check_image(self, name: str, x: Tensor, shape: tuple[int, int], remedy: str) -> None:
        ok = isinstance(x, Tensor) and x.is_floating_point()
        check(ok, name, "a floating torch.Tensor", getattr(x, "dtype", type(x)), f"Use {name}.float().", TypeError)
        rule = f"(b, c, {shape[0]}, {shape[1]})"
        check(x.ndim == 4 and x.numel() > 0 and x.shape[-2:] == shape, name, rule, tuple(x.shape), remedy)
        n_shades = self.background.shape[0]
        if n_shades not in (1, x.shape[1]):
            fail("background", f"one number, or one for each of {x.shape[1]} channels", f"{n_shades} numbers")
        if x.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(x.detach().sum().isfinite()):
            finite(name, x)
