"""`FoveatedBlur`: a low-pass whose cut-off follows the gaze."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .._check import check, fail, finite, one_of, positive
from ..display import Display
from . import _octaves as octaves
from . import _strips as strips
from ._sparse import unwatched


class FoveatedBlur(nn.Module):
    """Blur a picture to the resolution the eye has at each eccentricity.

    Parameters
    ----------
    display
        Geometry of the pictures.
    model
        "contrast_threshold": f(e) = e2 ln(contrast / contrast_threshold) / (alpha (e + e2)), the frequency at which a
        grating of this contrast reaches threshold. "half_resolution": the display's Nyquist frequency times
        R(e) = half_resolution_deg / (half_resolution_deg + e).
    cutoff
        What the blur does at that frequency: "half_amplitude" halves a grating's amplitude; "threshold" takes a grating
        of full contrast down to `contrast_threshold`.
    cutoff_cpd
        Your own map instead of a model: a function from eccentricity (tensor, degrees) to cycles per degree, or an
        (h, w) array of the picture, whatever the gaze.
    half_resolution_deg
        Eccentricity at which resolution has halved.
    e2_deg, alpha, contrast_threshold, contrast
        Constants of the contrast-threshold model; the defaults are the ones commonly used (2.3 deg, 0.106, 1/64, 1).
    fixation_deg
        Default gaze, (x, y).

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range, a map has NaN or another shape, or the gaze lies off the screen.

    Notes
    -----
    Wherever the cut-off is at or above the display's Nyquist frequency the picture is returned as it is; the blur fades
    out between 0.45 and 0.5 cycles per pixel. Elsewhere low-passes an octave apart are blended, so that the realised
    transfer is 0.5 at the cut-off, at least 0.8 an octave below and at most 0.15 an octave above, in all directions.
    Differentiable with respect to the picture and the gaze; any size; repeatable bit for bit on one device.

    References
    ----------
    W S Geisler, J S Perry (1998). Real-time foveated multiresolution system for low-bandwidth video communication.
    J S Perry, W S Geisler (2002). Gaze-contingent real-time simulation of arbitrary visual fields.

    Examples
    --------
    >>> display = Display.from_px_per_deg(32, resolution_px=(128, 160))
    >>> blur = FoveatedBlur(display, model="half_resolution")
    >>> blur(torch.rand(2, 3, 128, 160), fixation_deg=[(0, 0), (1, -1)]).shape
    torch.Size([2, 3, 128, 160])
    >>> round(float(blur.cutoff_at(2.3)), 2), display.nyquist_cpd
    (8.0, 16.0)
    """

    def __init__(
        self,
        display: Display,
        *,
        model: Literal["contrast_threshold", "half_resolution"] = "contrast_threshold",
        cutoff: Literal["half_amplitude", "threshold"] = "half_amplitude",
        cutoff_cpd: Callable[[Tensor], Tensor] | Any = None,
        half_resolution_deg: float = 2.3,
        e2_deg: float = 2.3,
        alpha: float = 0.106,
        contrast_threshold: float = 1 / 64,
        contrast: float = 1.0,
        fixation_deg: Any = (0.0, 0.0),
    ) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        self.display = display
        self.model = one_of("model", model, ("contrast_threshold", "half_resolution"))
        self.cutoff = one_of("cutoff", cutoff, ("half_amplitude", "threshold"))
        self.half_resolution_deg = positive("half_resolution_deg", half_resolution_deg)
        self.e2_deg, self.alpha = positive("e2_deg", e2_deg), positive("alpha", alpha)
        self.contrast_threshold = positive("contrast_threshold", contrast_threshold)
        self.contrast = positive("contrast", contrast)
        check(self.contrast_threshold < 1, "contrast_threshold", "below 1", contrast_threshold)
        check(contrast > contrast_threshold, "contrast", f"above contrast_threshold = {contrast_threshold:g}", contrast)
        self._map = self._checked_map(cutoff_cpd)
        fixation = torch.as_tensor(display.check_fixation(fixation_deg), dtype=torch.float64).detach()
        check(fixation.ndim == 1, "fixation_deg", "one default gaze (x, y)", fixation_deg, "Pass gazes to forward.")
        self.fixation_deg = (float(fixation[0]), float(fixation[1]))
        self.n_levels = self._count_levels()
        self._plans: dict[tuple[torch.dtype, str], strips.Plan] = {}
        self._plan(torch.get_default_dtype(), torch.device("cpu"))

    def _checked_map(self, cutoff_cpd: Any) -> Callable[[Tensor], Tensor] | Tensor | None:
        if cutoff_cpd is None or callable(cutoff_cpd):
            return cutoff_cpd
        values = torch.as_tensor(cutoff_cpd, dtype=torch.float64).detach()
        shape = self.display.resolution_px
        check(values.shape == shape, "cutoff_cpd", f"a function or a map of shape {shape}", tuple(values.shape))
        check(not bool(values.isnan().any()), "cutoff_cpd", "free of NaN", f"{int(values.isnan().sum())} NaN")
        check(bool((values > 0).all()), "cutoff_cpd", "above 0 cycles per degree", float(values.min()))
        return values

    def _count_levels(self) -> int:
        """Levels down to the lowest cut-off on this display, or to a picture of four pixels."""
        if isinstance(self._map, Tensor):
            lowest = float(self._map.min())
        else:
            farthest = min(2 * math.hypot(*self.display.extent_deg), 180.0)
            lowest = float(self.cutoff_at(torch.linspace(0, farthest, 513, dtype=torch.float64)).min())
        per_px = max(lowest * self._amplitude_factor / self.display.px_per_deg, 1e-9)
        smallest = max(2, 1 + int(math.log2(max(min(self.display.resolution_px) / 4, 1))))
        return max(2, min(math.ceil(-math.log2(per_px)) if per_px < 1 else 0, smallest + 1))

    @property
    def _amplitude_factor(self) -> float:
        """From the map's frequency to the one at which amplitude is halved."""
        return 1.0 if self.cutoff == "half_amplitude" else 1 / math.sqrt(-math.log2(self.contrast_threshold))

    def cutoff_at(self, eccentricity_deg: Any) -> Tensor:
        """Return the model's cut-off in cycles per degree at eccentricities in degrees (number, array or tensor)."""
        ecc = torch.as_tensor(eccentricity_deg, dtype=None if torch.is_tensor(eccentricity_deg) else torch.float64)
        if isinstance(self._map, Tensor):
            fail("cutoff_cpd", "a function of eccentricity for cutoff_at", "a map of the picture")
        if self._map is not None:
            values = self._map(ecc)
            ok = torch.is_tensor(values) and values.shape == ecc.shape
            check(ok, "cutoff_cpd(eccentricity)", f"a tensor of shape {tuple(ecc.shape)}", values)
            if not torch.compiler.is_compiling():
                check(not bool(values.isnan().any()), "cutoff_cpd(eccentricity)", "finite", "NaN")
                check(bool((values > 0).all()), "cutoff_cpd(eccentricity)", "above 0", float(values.min()))
            return values
        if self.model == "half_resolution":
            return self.display.nyquist_cpd * self.half_resolution_deg / (self.half_resolution_deg + ecc)
        log_ratio = math.log(self.contrast / self.contrast_threshold)
        return self.e2_deg * log_ratio / (self.alpha * (ecc + self.e2_deg))

    def cutoff_map_cpd(self, fixation_deg: Any = None) -> Tensor:
        """Return the half-amplitude cut-off at every pixel in cycles per degree, (h, w), or (b, h, w) for (b, 2)."""
        gaze = torch.as_tensor(self.fixation_deg, dtype=torch.float64)
        if fixation_deg is not None:
            gaze = self._gaze(fixation_deg, None)
        return self._cutoffs(gaze, 1)

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Blur pictures.

        Parameters
        ----------
        x
            (b, c, h, w), floating, (h, w) the display's resolution.
        fixation_deg
            (2,) for all items; (b, 2), one an item; or (b or 1, f, 2), several at once: every pixel counts from the
            nearest. Default the module's.

        Returns
        -------
        Tensor
            (b, c, h, w).

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a picture, is not finite, or a gaze lies off the screen.
        """
        self._check_picture(x)
        image = x if x.dtype == torch.float64 else x.float()
        if fixation_deg is None:
            plan = self._plan(image.dtype, image.device)
            by_strips = unwatched(image) and min(image.shape[-2:]) >= strips.LEAST
            return (strips.blend(image, plan) if by_strips else octaves.blend(image, plan.masks)).to(x.dtype)
        return octaves.blend(image, self._masks(self._gaze(fixation_deg, x), image.dtype)).to(x.dtype)

    def _plan(self, dtype: torch.dtype, device: torch.device) -> strips.Plan:
        """Return masks of the default gaze, and where which of them matter."""
        key = (dtype, str(device))
        if key not in self._plans:
            if torch.compiler.is_compiling():
                fail("x", f"of a dtype and device seen before compiling ({list(self._plans)})", key, "Call once first.")
            with torch.no_grad():
                gaze = torch.as_tensor(self.fixation_deg, dtype=torch.float64)
                masks = self._masks(gaze, dtype)
                plan = strips.make_plan(masks)
                self._plans[key] = plan._replace(masks=[mask.to(device) for mask in plan.masks])
        return self._plans[key]

    def _masks(self, gaze: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """Weights of every level against the coarser ones: (h, w) or (b, 1, h, w) at the level's own samples."""
        full = self._cutoffs(gaze, 1)
        cutoffs = [full] * 3 + [self._cutoffs(gaze, k) for k in range(3, self.n_levels)]
        masks = [octaves.weights(c / self.display.px_per_deg, k) for k, c in enumerate(cutoffs[: self.n_levels])]
        return [(mask if mask.ndim == 2 else mask[:, None]).to(dtype) for mask in masks]

    def _cutoffs(self, gaze: Tensor, level: int) -> Tensor:
        """Half-amplitude cut-offs in cycles per degree at the samples of a level."""
        stride = octaves.stride(level)
        height, width = octaves.shape_at(self.display.resolution_px, level)
        if isinstance(self._map, Tensor):
            rows, columns = (
                (torch.arange(n) * stride + (stride - 1) // 2).clamp(max=most - 1)
                for n, most in zip((height, width), self._map.shape, strict=True)
            )
            return self._map[rows[:, None], columns].to(gaze.device) * self._amplitude_factor
        points = self.display.pixels_deg((height, width), (stride, stride), ((stride - 1) / 2, (stride - 1) / 2))
        eccentricity = self.display.polar(gaze[..., None, None, :], torch.as_tensor(points, device=gaze.device))[0]
        if gaze.ndim == 3:
            eccentricity = eccentricity.amin(1)
        return self.cutoff_at(torch.as_tensor(eccentricity)) * self._amplitude_factor

    def _gaze(self, fixation_deg: Any, like: Tensor | None) -> Tensor:
        several = getattr(fixation_deg, "ndim", None) == 3 or (
            not hasattr(fixation_deg, "ndim") and torch.as_tensor(fixation_deg).ndim == 3
        )
        batch = None if like is None else like.shape[0]
        if several:
            gazes = torch.as_tensor(fixation_deg, dtype=torch.float64)
            check(
                batch in (None, 1) or gazes.shape[0] in (1, batch), "fixation_deg", f"({batch} or 1, f, 2)", gazes.shape
            )
            self.display.check_fixation(gazes.reshape(-1, gazes.shape[-1]))
        else:
            gazes = torch.as_tensor(self.display.check_fixation(fixation_deg, batch=batch), dtype=torch.float64)
        return gazes if like is None else gazes.to(like.device)

    def _check_picture(self, x: Tensor) -> None:
        ok = isinstance(x, Tensor) and x.is_floating_point()
        check(ok, "x", "a floating torch.Tensor", getattr(x, "dtype", type(x)), "Use x.float().", TypeError)
        height, width = self.display.resolution_px
        good = x.ndim == 4 and x.shape[-2:] == (height, width) and x.numel() > 0
        check(good, "x", f"(b, c, {height}, {width})", tuple(x.shape), "Give the Display the picture was made for.")
        if x.device.type == "cpu" and not torch.compiler.is_compiling() and not math.isfinite(x.detach().sum()):
            finite("x", x)

    def extra_repr(self) -> str:
        """Show what it does when printed."""
        return f"model={'own map' if self._map is not None else self.model!r}, cutoff={self.cutoff!r}"
