"""What a layer keeps of a picture: another picture that it cannot tell from it."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._check import as_rng, check, fail, integer, non_negative, positive
from ..nets import Net
from ..recording.hooks import Tap, catch, survey
from ..synthesis import Metamer, synthesize


def invert(
    model: nn.Module,
    target: Tensor,
    layer: str | None = None,
    *,
    steps: int = 200,
    init: Literal["noise"] | Tensor = "noise",
    tv: float = 0.0,
    jitter_px: int = 0,
    max_change: float | None = None,
    optimizer: Literal["adam", "lbfgs"] = "adam",
    learning_rate: float = 0.02,
    rng: int | np.random.Generator = 0,
    progress: bool = False,
) -> Metamer:
    """Make a picture to which a layer answers as it does to `target`: feature inversion.

    The squared distance between the layer's answers, relative to the squared size of the target's, is made small by
    `synthesize`, the engine of metamers.

    Parameters
    ----------
    model
        A network of `nets.load` or any differentiable module that takes pictures (b, c, h, w) in linear light; put a
        front end before it with ``torch.nn.Sequential(blur, net)``.
    target
        (c, h, w) or (b, c, h, w), linear light in [0, 1].
    layer
        As `list_layers` names it; None is the model's own output.
    steps, optimizer, learning_rate, progress
        As in `synthesize`.
    init
        "noise", or the pictures to begin with.
    tv
        Weight of the total variation: the mean length of the light's gradient from pixel to pixel [1]_.
    jitter_px
        Shift the picture by up to so many pixels, around its edges, anew at every step, so that the result does not
        hang on the places where the network samples.
    max_change
        Largest root-mean-square difference from `init`, in units of light: a ball around the start [2]_.
    rng
        Seed or generator of noise and shifts.

    Returns
    -------
    synthesis.Metamer
        ``loss`` includes the total variation. ``residuals`` has the relative error of the layer's answers under the
        layer's name, and the relative difference of the pictures' light under "picture".

    Raises
    ------
    ValueError, TypeError
        For an unknown layer (near names are listed) or one that is silent for the target, `max_change` with "noise",
        jitter with L-BFGS, and as `synthesize`.

    References
    ----------
    .. [1] A Mahendran, A Vedaldi (2015). Understanding deep image representations by inverting them. CVPR; eq. 1 to 3.
    .. [2] L Engstrom et al. (2019). Adversarial robustness as a prior for learned representations. arXiv:1906.00945.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU())
    >>> seen = invert(net, torch.rand(1, 16, 16), "0", steps=150, tv=1e-3)
    >>> seen.image.shape, bool(seen.residuals["0"] < 0.2)
    (torch.Size([1, 16, 16]), True)
    """
    non_negative("tv", tv)
    integer("jitter_px", jitter_px, minimum=0)
    check(isinstance(model, nn.Module), "model", "a torch.nn.Module", type(model).__name__, error=TypeError)
    check(jitter_px == 0 or optimizer == "adam", "jitter_px", "0 with optimizer='lbfgs'", jitter_px, "Use adam.")
    generator = as_rng(rng)
    features = _Features(model, target, layer, jitter_px, generator)
    if max_change is not None:
        check(isinstance(init, Tensor), "max_change", "given with pictures as init", init, "Noise has no near side.")
        features.ball = (torch.as_tensor(init).to(target), positive("max_change", max_change))

    def loss(found: Tensor, wanted: Tensor) -> Tensor:
        answers, want = found[:, : features.n], wanted[:, : features.n]
        error = (answers - want).square().sum(1) / want.square().sum(1).clamp_min(1e-30)
        return error + tv * total_variation(found[:, features.n :].reshape(-1, *target.shape[-3:]))

    made = synthesize(
        features, target, steps=steps, init=init, optimizer=optimizer, learning_rate=learning_rate, loss=loss,
        rng=generator, progress=progress,
    )  # fmt: skip
    settings = made.settings | {"layer": features.label, "tv": tv, "jitter_px": jitter_px, "max_change": max_change}
    return dataclasses.replace(made, image=features.inside(made.image), settings=settings)


def total_variation(pictures: Tensor) -> Tensor:
    """Return the mean length of the gradient of pictures (b, c, h, w), one number a picture."""
    down = pictures[..., 1:, :-1] - pictures[..., :-1, :-1]
    right = pictures[..., :-1, 1:] - pictures[..., :-1, :-1]
    # The constant keeps the slope finite where a picture is flat.
    return (down.square() + right.square() + 1e-8).sqrt().flatten(1).mean(1)


class _Features(nn.Module):
    """A layer's answers with the pictures behind them, so that a loss can see both."""

    def __init__(
        self, model: nn.Module, target: Tensor, layer: str | None, jitter_px: int, rng: np.random.Generator
    ) -> None:
        super().__init__()
        check(isinstance(target, Tensor) and target.ndim in (3, 4), "target", "a tensor (c, h, w) or (b, c, h, w)",
              tuple(getattr(target, "shape", ())))  # fmt: skip
        self.model = model
        self.jitter_px, self.rng = jitter_px, rng
        self.target = target.detach().reshape(-1, *target.shape[-3:])
        self.ball: tuple[Tensor, float] | None = None
        with torch.no_grad():
            self.tap = self._find(layer)
            wanted = self._answers(self.target)
        self.n, self.label = wanted.shape[1], self.tap.label
        check(bool(wanted.any(1).all()), "layer", "one that answers to the target", f"{self.label} with zeros only",
              "Every silent picture would do as well: choose another layer or picture.")  # fmt: skip
        self.groups = {self.label: slice(0, self.n), "picture": slice(self.n, None)}

    @property
    def _inner(self) -> nn.Module:
        return self.model.net if isinstance(self.model, Net) else self.model

    def _find(self, layer: str | None) -> Tap:
        taps = survey(self._inner, lambda: self.model(self.target[:1]))
        found = [tap for tap in taps if (tap.path == "" if layer is None else layer in (tap.label, tap.path))]
        if not found:
            near = ", ".join(difflib.get_close_matches(str(layer), [t.label for t in taps], n=5, cutoff=0.3)) or "none"
            fail("layer", "among those of list_layers", layer, f"Near names: {near}.")
        names = [tap.label for tap in found]
        check(len(found) == 1, "layer", "one output of one call", layer, f"Name one of {', '.join(names)}.")
        return found[0]

    def _answers(self, pictures: Tensor) -> Tensor:
        caught: list[Tensor] = []
        catch(self._inner, [self.tap], lambda: self.model(pictures), lambda _, answer: caught.append(answer))
        return caught[0].flatten(1)

    def inside(self, pictures: Tensor) -> Tensor:
        """Return the pictures, drawn towards the start until they lie within the ball."""
        if self.ball is None:
            return pictures
        start, radius = self.ball
        change = pictures - start
        size = change.flatten(-3).square().mean(-1).clamp_min(1e-30).sqrt()
        return start + change * (radius / size).clamp_max(1)[..., None, None, None]

    def forward(self, pictures: Tensor) -> Tensor:
        # The target itself is looked at as it is: its answers are what is wanted.
        if pictures.shape == self.target.shape and torch.equal(pictures.detach(), self.target):
            return torch.cat([self._answers(pictures), pictures.flatten(1)], 1)
        seen = self.inside(pictures)
        shifted = seen
        if self.jitter_px and torch.is_grad_enabled():
            down, right = self.rng.integers(-self.jitter_px, self.jitter_px + 1, size=2)
            shifted = torch.roll(seen, (int(down), int(right)), (-2, -1))
        return torch.cat([self._answers(shifted), seen.flatten(1)], 1)
