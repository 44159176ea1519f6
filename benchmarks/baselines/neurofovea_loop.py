"""NeuroFovea the way its released code renders: three encoder passes and a loop over windows, later ones overwriting.

Written from the published rule (Deza, Jonnalagadda & Eckstein 2019). Left out, in its favour: masks repeated 512 times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SequentialWindows:
    """Adaptive instance normalisation in one window after the other, on binary supports (n, h, w)."""

    def __init__(self, supports: Tensor, alpha: Tensor) -> None:
        self.supports, self.alpha = supports, alpha

    def __call__(self, content: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """(1, c, h, w) features of the picture, of the picture again, and of noise, to mixed features."""
        mixed = torch.zeros_like(content)
        for support, alpha in zip(self.supports, self.alpha, strict=True):
            own, goal, texture = (features[:, :, support] for features in (content, style, noise))
            (mean, sd), (other_mean, other_sd) = _moments(goal), _moments(texture)
            texture = (texture - other_mean) / other_sd * sd + mean
            mixed[:, :, support] = (1 - alpha) * own + alpha * texture
        return mixed


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(-1, keepdim=True), (x.var(-1, keepdim=True) + 1e-5).sqrt()


def colour_matched(noise: Tensor, picture: Tensor) -> Tensor:
    """Correlation alignment of (3, h, w) noise with a picture: whiten by one covariance, colour by the other."""
    flat, goal = noise.flatten(1), picture.flatten(1)
    mean, sd = goal.mean(1, keepdim=True), goal.std(1, keepdim=True)
    flat = (flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)
    roots = [_root(z @ z.T + torch.eye(3)) for z in ((goal - mean) / sd, flat)]
    return (roots[0] @ (torch.linalg.inv(roots[1]) @ flat) * sd + mean).reshape(noise.shape)


def _root(matrix: Tensor) -> Tensor:
    u, s, v = torch.linalg.svd(matrix)
    return u @ torch.diag(s.sqrt()) @ v


def render(encoder: nn.Module, decoder: nn.Module, windows: SequentialWindows, codes: Tensor) -> Tensor:
    """Codes (3, h, w) to a metamer's codes (1, 3, h, w)."""
    noise = colour_matched(torch.randn(codes.shape), codes)
    features = [encoder(x[None]) for x in (codes, codes, noise)]
    return decoder(windows(*features)).clamp(0, 1)
