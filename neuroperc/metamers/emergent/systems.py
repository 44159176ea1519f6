"""The four input systems: what a network is shown instead of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..._check import as_rng, check, positive
from ...color import srgb_to_linear
from ...display import Display
from ..style import NeuroFovea, NeuroFoveaWindows
from ..style.codecs import Codec
from ..style.render import PUBLISHED_D
from ._blur import blurred, codes_of, sigmas
from .matching import DistortionMatch, match_distortion, structural_distortion


class ReferenceSystem(nn.Module):
    """What an encoder's decoder makes of a picture, D(E(x)), without any exchange of texture.

    Parameters
    ----------
    model
        The renderer whose encoder and decoder are used.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(64, 64))
    >>> picture = torch.rand(1, 3, 64, 64)
    >>> bool(torch.allclose(ReferenceSystem(NeuroFovea(display, scaling=0.5))(picture), picture, atol=1e-4))
    True
    """

    #: Takes house images (linear light) as they are.
    preprocess = None

    def __init__(self, model: NeuroFovea) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, *, rng: Any = None) -> Tensor:
        """Return the decoded features of pictures (b, c, h, w); `rng` is not used."""
        return self.model.reference(x)


class UniformBlur(nn.Module):
    """One Gaussian blur of sRGB codes everywhere ("Matched Blur").

    Parameters
    ----------
    display
        Geometry of the pictures.
    sigma_deg
        Standard deviation of the Gaussian.
    reference
        Applied before; such as `ReferenceSystem`. None: the picture itself is blurred.

    Raises
    ------
    ValueError, TypeError
        When a width is negative, or a picture does not fit the display.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> UniformBlur(display, sigma_deg=0.25)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    preprocess = None

    def __init__(self, display: Display, *, sigma_deg: float, reference: nn.Module | None = None) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        check(np.ndim(sigma_deg) == 0, "sigma_deg", "one number", sigma_deg)
        self.display, self.reference = display, reference
        self.sigma_deg = float(sigmas("sigma_deg", sigma_deg)[0])

    def forward(self, x: Tensor, *, rng: Any = None) -> Tensor:
        """Return blurred pictures (b, c, h, w) in linear light; `rng` is not used."""
        codes = codes_of(x if self.reference is None else self.reference(x), self.display.resolution_px)
        widths = np.array([self.sigma_deg * self.display.px_per_deg])
        linear: Tensor = srgb_to_linear(blurred(codes, widths)[0])
        return linear

    def extra_repr(self) -> str:
        """Show the width when printed."""
        return f"sigma_deg={self.sigma_deg:.4g}"


class FoveationBlur(nn.Module):
    """A Gaussian blur of sRGB codes with a width for each ring of windows; the fovea stays sharp ("Ada_Gauss").

    Parameters
    ----------
    windows
        Rings: those of the texture model. Neighbours blend by the windows' weights.
    sigma_deg
        (n_rings,) standard deviations from the innermost ring outwards.
    reference
        As in `UniformBlur`.

    Raises
    ------
    ValueError, TypeError
        When widths do not fit the rings, or a picture does not fit the display.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> from neuroperc.metamers import neurofovea_windows
    >>> windows = neurofovea_windows(Display.from_px_per_deg(8, resolution_px=(64, 64)), scaling=0.5)
    >>> FoveationBlur(windows, sigma_deg=[0.1])(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 3, 64, 64])
    """

    preprocess = None

    def __init__(self, windows: NeuroFoveaWindows, *, sigma_deg: Any, reference: nn.Module | None = None) -> None:
        super().__init__()
        check(isinstance(windows, NeuroFoveaWindows), "windows", "NeuroFoveaWindows", windows, error=TypeError)
        rings = windows.ring_masks()
        self.windows, self.reference = windows, reference
        self.sigma_deg = sigmas("sigma_deg", sigma_deg)
        n = len(self.sigma_deg)
        check(n == len(rings), "sigma_deg", f"({len(rings)},), a number a ring", f"{n} numbers")
        self._weights = torch.from_numpy(np.concatenate(((1 - rings.sum(0))[None], rings)))

    def forward(self, x: Tensor, *, rng: Any = None) -> Tensor:
        """Return blurred pictures (b, c, h, w) in linear light; `rng` is not used."""
        display = self.windows.display
        codes = codes_of(x if self.reference is None else self.reference(x), display.resolution_px)
        layers = blurred(codes, np.r_[0.0, self.sigma_deg * display.px_per_deg])
        mixed = torch.einsum("rhw,rbchw->bchw", self._weights.to(codes), layers)
        linear: Tensor = srgb_to_linear(mixed.clamp(0, 1))
        return linear

    def extra_repr(self) -> str:
        """Show the widths when printed."""
        return f"sigma_deg={self.sigma_deg.round(4).tolist()}"


@dataclass(frozen=True)
class MatchedSystems:
    """Four input systems, and how the two blurs were matched to the texture.

    Attributes
    ----------
    systems
        As `input_systems` returns them.
    uniform
        Match of the uniform blur over whole pictures; its parameter is a width in degrees.
    rings
        Match of the foveated blur ring by ring.

    Examples
    --------
    >>> import dataclasses
    >>> [field.name for field in dataclasses.fields(MatchedSystems)]
    ['systems', 'uniform', 'rings']
    """

    systems: dict[str, nn.Module]
    uniform: DistortionMatch
    rings: DistortionMatch


def input_systems(
    display: Display,
    *,
    sigma_deg: float,
    ring_sigma_deg: Any,
    scaling: float = 0.4,
    d: float = PUBLISHED_D,
    codec: Codec | None = None,
    fixation_deg: Any = (0.0, 0.0),
    cell_deg: float | None = None,
) -> dict[str, nn.Module]:
    """Return the four input systems by name; each is called as ``system(pictures, rng=seed)``.

    Parameters
    ----------
    display
        Geometry of the pictures.
    sigma_deg
        Width of the uniform blur; `match_input_systems` finds it.
    ring_sigma_deg
        (n_rings,) widths of the foveated blur.
    scaling, d, codec, fixation_deg, cell_deg
        Of the texture model, `NeuroFovea`. The default codec is the steerable pyramid, which needs no weights and whose
        reference is the picture itself.

    Returns
    -------
    dict
        "reference" D(E(x)), "foveation_texture" (`NeuroFovea`), "uniform_blur", "foveation_blur". Blurs are applied to
        the reference.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range or widths do not fit the rings.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(64, 64))
    >>> systems = input_systems(display, sigma_deg=0.1, ring_sigma_deg=[0.2], scaling=0.5)
    >>> pictures = torch.rand(2, 3, 64, 64)
    >>> {name: tuple(system(pictures, rng=0).shape) for name, system in systems.items()}["foveation_texture"]
    (2, 3, 64, 64)
    """
    model = NeuroFovea(display, scaling=scaling, codec=codec, fixation_deg=fixation_deg, d=d, cell_deg=cell_deg)
    reference = ReferenceSystem(model)
    return {
        "reference": reference,
        "foveation_texture": model,
        "uniform_blur": UniformBlur(display, sigma_deg=sigma_deg, reference=reference),
        "foveation_blur": FoveationBlur(model.windows, sigma_deg=ring_sigma_deg, reference=reference),
    }


def match_input_systems(
    display: Display,
    images: Tensor,
    *,
    rng: int | np.random.Generator,
    max_sigma_deg: float | None = None,
    n_resamples: int = 1000,
    **texture: Any,
) -> MatchedSystems:
    """Return the four input systems, with both blurs as distorted as the texture on a calibration set.

    The texture model's distortion of every picture, 1 - SSIM to the reference, is the target: its mean over whole
    pictures for the uniform blur, and its mean in each ring for the foveated one.

    Parameters
    ----------
    display
        Geometry of the pictures.
    images
        Calibration set, (b, c, h, w), linear light.
    rng
        Seed or generator of the texture's noise and of the bootstrap.
    max_sigma_deg
        Widest blur that is tried; default a quarter of the picture's shorter side.
    n_resamples
        Of the bootstrap over pictures.
    **texture
        Arguments of `input_systems` for the texture model: scaling, d, codec, fixation_deg, cell_deg.

    Raises
    ------
    ValueError
        When no blur up to `max_sigma_deg` distorts as much, over whole pictures or in any ring. Single rings that
        cannot be matched stand at a bound; see ``rings.reached``.

    References
    ----------
    A Deza, T Konkle (2020). Emergent properties of foveated perceptual systems. arXiv:2006.07991 (rate-distortion).

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(64, 64))
    >>> found = match_input_systems(display, torch.rand(3, 3, 64, 64), rng=0, scaling=0.5)
    >>> bool(abs(found.uniform.achieved - found.uniform.target)[0] < 1e-3)
    True
    """
    rng = as_rng(rng)
    codes_of(images, display.resolution_px, "images")
    largest = min(display.extent_deg) / 4 if max_sigma_deg is None else positive("max_sigma_deg", max_sigma_deg)
    model = NeuroFovea(display, **({"scaling": 0.4} | texture))
    regions = model.windows.ring_masks()
    with torch.no_grad():
        reference = torch.cat([model.reference(part) for part in images.split(64)])
        shown = torch.cat([model(part, rng=rng) for part in images.split(64)])

    def uniform(x: Tensor, width: np.ndarray) -> Tensor:
        return UniformBlur(display, sigma_deg=float(width[0]))(x)

    def ringed(x: Tensor, width: np.ndarray) -> Tensor:
        return FoveationBlur(model.windows, sigma_deg=width)(x)

    common: dict[str, Any] = {"bounds": (0.0, largest), "n_resamples": n_resamples, "rng": rng}
    whole = match_distortion(uniform, reference, structural_distortion(shown, reference), **common)
    target = structural_distortion(shown, reference, regions=regions)
    rings = match_distortion(ringed, reference, target, regions=regions, **common)
    systems = input_systems(display, sigma_deg=float(whole.parameter[0]), ring_sigma_deg=rings.parameter, **texture)
    return MatchedSystems(systems, whole, rings)
