"""Maps of where to look next: `EccNet` and `TemplatePriority` (IVSN)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._check import check, fail, integer, non_negative, one_of, positive
from ..display import Display
from ..nets import Net
from . import _maps
from ._parts import Optics
from ._trunk import Trunk
from ._views import Looking
from .controls import check_pictures

Kernels = tuple[tuple[int, float], tuple[int, float]]

#: Sizes and sigmas (cells) of the two Gaussians that sharpen the map, as the paper's code sets them for its stimuli.
SHARPENING: dict[str, Kernels] = {
    "orientation": ((3, 1.0), (5, 3.0)),
    "curvature": ((3, 1.0), (5, 3.0)),
    "intersection": ((5, 3.0), (7, 5.0)),
    "lighting": ((3, 0.0), (5, 1.0)),
    "natural": ((3, 0.0), (5, 1.0)),
}


class EccNet(nn.Module):
    """Priority of every place of a picture for a target, seen by a network whose pools widen with eccentricity.

    The target's features become templates that slide over the picture's features at several depths of one frozen
    network; the match maps are scaled to their range, mixed and sharpened [1]_. Pooling layers in the trunk follow
    the ring table of `neuroperc.foveation.RingTable.eccnet` around the gaze. Nothing is trained on search.

    Parameters
    ----------
    backbone
        A `neuroperc.nets.Net` such as ``nets.load("vgg16")``, made of convolutions and 2 x 2 pools.
    px_per_deg
        Pixels per degree of the pictures; 30 in the paper.
    layers
        Blocks (from 1) whose last convolution is matched, before its own pool.
    mixing
        "data" weighs the layers' maps by their maxima (the paper's asymmetry experiments), "equal" does not (its
        natural pictures).
    sharpening
        Name in `SHARPENING`, two (size, sigma) in cells (a sigma of 0 is OpenCV's rule), or None.
    eccentric
        Whether pools widen; False keeps all of them 2 x 2.
    method
        "average" pooling (the paper, with weights trained for "max") or "max"; default as the paper has it.
    slopes
        Growth of each pool's window, cells per cell of eccentricity beyond the fovea.
    fovea_deg, ring_deg
        Radius of the fovea and width of a ring.
    margin_px
        Border of a view that is never chosen. A view is the square of twice (picture height + margin) about the gaze.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of its range or the backbone has other layers.

    Notes
    -----
    A view is mostly background. Here the view without the picture is computed once; a fixation then computes only
    what the picture can change (its box grown by the receptive field, layer by layer), and blocks before the first
    widening pool only where the picture has changed, when the gaze falls on the same phase of their stride. Both are
    exact. Priority is in units of the mixed map; its smallest value in the view is 0.

    References
    ----------
    .. [1] S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans
       share similar inherent biases. NeurIPS 34; released code.

    Examples
    --------
    >>> from neuroperc.nets import Net, Preprocess
    >>> conv = torch.nn.Conv2d
    >>> net = torch.nn.Sequential(conv(3, 4, 3, padding=1), torch.nn.MaxPool2d(2), conv(4, 4, 3, padding=1))
    >>> model = EccNet(Net(net, Preprocess(size_px=None)), px_per_deg=16, layers=(2,), slopes=(0.1,))
    >>> model(torch.rand(1, 3, 60, 60), torch.rand(1, 3, 12, 12), fixation_deg=(1, 0)).shape
    torch.Size([1, 60, 60])
    """

    def __init__(
        self,
        backbone: Net,
        *,
        px_per_deg: float = 30.0,
        layers: Sequence[int] = (3, 4, 5),
        mixing: Literal["data", "equal"] = "data",
        sharpening: str | Kernels | None = "curvature",
        eccentric: bool = True,
        method: Literal["average", "max"] | None = None,
        slopes: Sequence[float] | None = None,
        fovea_deg: float = 4.0,
        ring_deg: float = 1.0,
        margin_px: int = 64,
    ) -> None:
        super().__init__()
        remedy = 'Use nets.load("vgg16"), or wrap a module: nets.Net(module, nets.Preprocess(...)).'
        check(isinstance(backbone, Net), "backbone", "a neuroperc.nets.Net", type(backbone).__name__, remedy, TypeError)
        self.trunk = Trunk(backbone.net)
        self.name = backbone.name
        self.preprocess = backbone.preprocess.changed({"size_px": None, "resize_px": None})
        n_blocks = len(self.trunk.blocks)
        self.layers = tuple(integer("layers", layer, 1) for layer in layers)
        known = len(set(self.layers)) == len(self.layers) > 0 and max(self.layers) <= n_blocks
        check(known, "layers", f"different blocks, 1 to {n_blocks}", self.layers)
        self.mixing = one_of("mixing", mixing, ("data", "equal"))
        self.sharpening = _kernels(sharpening)
        self.optics = Optics(
            px_per_deg=positive("px_per_deg", px_per_deg), slopes=_slopes(slopes, eccentric, n_blocks),
            fovea_deg=positive("fovea_deg", fovea_deg), ring_deg=positive("ring_deg", ring_deg),
            margin_px=integer("margin_px", margin_px, 0),
            method=one_of("method", method or ("average" if eccentric else "max"), ("average", "max")),
        )  # fmt: skip
        self._blank: dict[tuple[Any, ...], Any] = {}

    @property
    def px_per_deg(self) -> float:
        """Pixels per degree of the pictures."""
        return self.optics.px_per_deg

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of weights and settings: equal for models that look at the same places."""
        state = hashlib.sha256(repr(self).encode())
        for name, value in self.trunk.state_dict().items():
            state.update(name.encode() + value.detach().cpu().numpy().tobytes())
        return state.hexdigest()

    def forward(
        self, image: Tensor, target: Tensor, fixation_deg: Any = (0.0, 0.0), *, background: Any = 0.0
    ) -> Tensor:
        """Return the priority of every pixel.

        Parameters
        ----------
        image
            (b, 1 or 3, h, w) linear light in [0, 1].
        target
            (b or 1, 1 or 3, h, w) picture of the target.
        fixation_deg
            (2,) or (b, 2), from the picture's centre.
        background
            Linear light around the picture: one number, or one a channel.

        Returns
        -------
        Tensor
            (b, h, w), 0 or more; 0 where the view or its margin ends.

        Raises
        ------
        ValueError, TypeError
            When shapes do not fit, a value is not finite, or a fixation lies off the picture.
        """
        looking = self.look(image, target, background=background)
        display = Display.from_px_per_deg(self.px_per_deg, resolution_px=(image.shape[-2], image.shape[-1]))
        fixation = np.asarray(display.check_fixation(torch.as_tensor(fixation_deg).cpu(), batch=len(image)), float)
        places = np.floor(display.to_px(np.broadcast_to(fixation, (len(image), 2))) + 0.5).astype(int)
        top = np.array(image.shape[-1:-3:-1]) - 1
        return looking([(int(y), int(x)) for x, y in np.clip(places, 0, top)])

    def look(self, image: Tensor, target: Tensor, *, background: Any = 0.0, rngs: Any = None) -> Looking:
        """Return a function of the gaze that keeps what does not change between fixations; see `simulate`."""
        check_pictures("image", image)
        check_pictures("target", target)
        check(len(target) in (1, len(image)), "target", f"1 or {len(image)} pictures, as image", len(target))
        ground = _ground(background, image)
        return Looking(self, image, self.templates(target), ground)

    def templates(self, target: Tensor) -> list[Tensor]:
        """Return the target's features a layer, (b, c, kh, kw): after that layer's pool, pooled on to the last."""
        x, found = self.preprocess(target), {}
        for level in range(1, max(self.layers) + 1):
            x = self.trunk.whole(level, x if level == 1 else self.optics.plain(x))
            if level in self.layers:
                found[level] = self.optics.plain(x, times=self.depth - level + 1)
        return [found[level] for level in self.layers]

    @property
    def depth(self) -> int:
        """Blocks of the trunk, which set the stride of the matched maps."""
        return len(self.trunk.blocks)

    def merge(self, features: list[Tensor], templates: list[Tensor]) -> Tensor:
        """Match, mix and sharpen: maps (b, n, n) of the view, float64, their smallest value 0."""
        matches = torch.stack([_maps.match(f, t) for f, t in zip(features, templates, strict=True)], 1)
        mixed = _maps.mix(matches, self.mixing == "data")
        if self.sharpening is not None:
            mixed = _maps.sharpen(mixed, self.sharpening)
        return mixed - mixed.amin((-2, -1), keepdim=True)

    def extra_repr(self) -> str:
        """Show the settings."""
        parts = {"layers": self.layers, "mixing": self.mixing, "sharpening": self.sharpening, "optics": self.optics}
        return ", ".join(f"{k}={v!r}" for k, v in {"name": self.name, **parts, "preprocess": self.preprocess}.items())


class TemplatePriority(EccNet):
    """IVSN: `EccNet` without eccentricity, one layer, max pooling.

    Parameters
    ----------
    backbone
        As for `EccNet`.
    layers
        Default the last block only [1]_; (3, 4, 5) is the "no eccentricity" control of Gupta et al. 2021.
    **options
        As for `EccNet`.

    References
    ----------
    .. [1] M Zhang, J Feng, K T Ma, J H Lim, Q Zhao, G Kreiman (2018). Finding any Waldo with zero-shot invariant and
       efficient visual search. Nature Communications 9, 3730.

    Examples
    --------
    >>> from neuroperc.nets import Net, Preprocess
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.MaxPool2d(2), torch.nn.ReLU())
    >>> model = TemplatePriority(Net(net, Preprocess(size_px=None)), layers=(1,), px_per_deg=8)
    >>> model(torch.rand(1, 3, 20, 30), torch.rand(1, 3, 6, 6)).shape
    torch.Size([1, 20, 30])
    """

    def __init__(self, backbone: Net, *, layers: Sequence[int] = (5,), **options: Any) -> None:
        super().__init__(backbone, layers=layers, **({"eccentric": False} | options))


def _kernels(sharpening: Any) -> Kernels | None:
    if sharpening is None:
        return None
    if isinstance(sharpening, str):
        return SHARPENING[one_of("sharpening", sharpening, tuple(SHARPENING))]
    try:
        (k1, s1), (k2, s2) = sharpening
    except (TypeError, ValueError):
        fail("sharpening", "a name, two (size, sigma) pairs, or None", sharpening, error=TypeError)
    sizes = [integer("sharpening", k, 1) for k in (k1, k2)]
    check(all(k % 2 for k in sizes), "sharpening", "of odd sizes", sizes)
    return (sizes[0], non_negative("sharpening", s1)), (sizes[1], non_negative("sharpening", s2))


def _slopes(slopes: Sequence[float] | None, eccentric: bool, n_blocks: int) -> tuple[float, ...] | None:
    if not eccentric:
        check(slopes is None, "slopes", "left out when eccentric=False", slopes)
        return None
    given = (0.0, 0.0, 0.07, 0.16, 0.32) if slopes is None else tuple(non_negative("slopes", s) for s in slopes)
    check(len(given) >= n_blocks - 1, "slopes", f"at least {n_blocks - 1}, one a pool between blocks", given)
    return given


def _ground(background: Any, image: Tensor) -> Tensor:
    ground = torch.as_tensor(background, dtype=image.dtype, device=image.device).reshape(-1)
    check(len(ground) in (1, image.shape[1]), "background", f"1 or {image.shape[1]} numbers", len(ground))
    inside = bool(((ground >= 0) & (ground <= 1)).all())
    check(inside, "background", "linear light in [0, 1]", ground.tolist())
    return ground.expand(image.shape[1])[:, None, None]
