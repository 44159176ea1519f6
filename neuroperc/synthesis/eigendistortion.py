"""Eigendistortions: the changes of a picture that a model notices most and least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._check import as_rng, check, integer, positive
from . import _inputs
from ._inputs import Model

_RANK = 1e-6  # share of the scale below which a direction is rounding, single precision
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Eigendistortions:
    """Changes of a picture, of unit length, and how strongly a model answers, as `eigendistortions` returns them.

    Parameters
    ----------
    image
        (c, h, w) or (b, c, h, w), the picture that is changed.
    top, bottom
        (n, c, h, w) or (b, n, c, h, w): most noticed first; least noticed first.
    top_values, bottom_values
        (n,) or (b, n): eigenvalues, the squared length of the model's answer to a change of unit length.
    error
        () or (b,): largest residual of an eigenvector, over the largest eigenvalue.
    n_products
        Products with the Fisher information that it took.

    Examples
    --------
    >>> import torch
    >>> found = eigendistortions(lambda x: x[..., 0], torch.full((1, 3, 3), 0.5))
    >>> found.top.shape, bool(found.top_values[0] > found.bottom_values[0])
    (torch.Size([1, 1, 3, 3]), True)
    """

    image: Tensor
    top: Tensor
    bottom: Tensor
    top_values: Tensor
    bottom_values: Tensor
    error: Tensor
    n_products: int


@torch.enable_grad()
def eigendistortions(
    model: Model,
    image: Tensor,
    *,
    n: int = 1,
    tolerance: float = 1e-4,
    max_products: int = 1000,
    progress: bool = False,
    rng: int | np.random.Generator = 0,
) -> Eigendistortions:
    """Find the eigenvectors of a model's Fisher information with the largest and smallest eigenvalues.

    For a model f with independent unit Gaussian noise on its answers, a small change e of the picture x has
    discriminability squared e' F e with F = J'J, J = df/dx [1]_. Both ends of the spectrum come from one block Lanczos
    process with thick restarts [2]_ that never forms J; pictures of a batch advance side by side.

    Parameters
    ----------
    model
        Any callable from pictures (b, c, h, w) to features (b, ...), differentiable twice, each picture on its own.
    image
        (c, h, w) or (b, c, h, w), linear light in [0, 1].
    n
        Eigenvectors at each end.
    tolerance
        Largest length of ``F v - value v``, over the largest eigenvalue.
    max_products
        Products of F with a vector, a picture; what was reached by then is returned, see ``error``.
    progress
        Show a progress bar.
    rng
        Seed or generator of the vectors to start with.

    Returns
    -------
    Eigendistortions

    Raises
    ------
    ValueError, TypeError
        When the image is not a picture in [0, 1], `n` exceeds half the pixels, or the model is not differentiable.

    Notes
    -----
    A model with fewer features than pixels has many changes that it does not notice at all, and ``bottom`` is any of
    them. Eigenvectors of one eigenvalue are determined up to rotation among themselves, all up to sign. Memory: about
    40 n + 40 pictures, twice.

    References
    ----------
    .. [1] A Berardino, J Ballé, V Laparra, E P Simoncelli (2017). Eigen-distortions of hierarchical representations.
       NeurIPS 30.
    .. [2] K Wu, H Simon (2000). Thick-restart Lanczos method for large symmetric eigenvalue problems. SIAM Journal on
       Matrix Analysis and Applications 22.

    Examples
    --------
    A blur notices an even change most, a checkerboard least.

    >>> import torch
    >>> blur = torch.nn.AvgPool2d(2, stride=1)
    >>> found = eigendistortions(blur, torch.full((1, 8, 8), 0.5))
    >>> round(float(found.top_values[0]), 2), round(float(found.bottom_values[0]), 5)
    (0.93, 0.0)
    """
    batch = _inputs.check_target(image)
    n_pixels = batch[0].numel()
    integer("n", n, 1)
    check(2 * n <= n_pixels, "n", f"half the {n_pixels} pixels or fewer", n)
    positive("tolerance", tolerance)
    integer("max_products", max_products, 2 * n)
    _inputs.check_model(model, batch)
    product = fisher_product(model, batch, n)
    noise = as_rng(rng).standard_normal((len(batch), n_pixels, n))
    lanczos = _Lanczos(product, torch.from_numpy(noise).to(batch), n)
    with tqdm(total=max_products, disable=not progress, desc="eigendistortions") as bar:
        while not lanczos.done(tolerance) and lanczos.n_products + n <= max_products:
            lanczos.step()
            bar.update(n)
    shape = image.shape[:-3]
    top, bottom = (v.mT.reshape(*shape, n, *image.shape[-3:]) for v in (lanczos.top, lanczos.bottom))
    top_values, bottom_values = (v.reshape(*shape, n).to(batch) for v in (lanczos.top_values, lanczos.bottom_values))
    error = lanczos.error.reshape(shape)
    return Eigendistortions(image.detach().clone(), top, bottom, top_values, bottom_values, error, lanczos.n_products)


def fisher_product(model: Model, batch: Tensor, n: int) -> Product:
    """Return F times (b, pixels, up to n), some vectors for each picture at once; the model runs once, here.

    J'u is linear in u, so its derivative with respect to u along v is Jv: two backward passes and no forward mode.
    """
    x = batch.repeat_interleave(n, 0).requires_grad_()
    y = model(x)
    dual = torch.zeros_like(y, requires_grad=True)
    (pulled,) = torch.autograd.grad(y, x, dual, create_graph=True)

    def product(vectors: Tensor) -> Tensor:
        width = vectors.shape[2]
        flat = torch.nn.functional.pad(vectors, (0, n - width)).mT.reshape(x.shape)
        pushed = torch.zeros_like(y)
        if pulled.requires_grad:
            (pushed,) = torch.autograd.grad(pulled, dual, flat, retain_graph=True)
        (result,) = torch.autograd.grad(y, x, pushed, retain_graph=True)
        return result.reshape(len(batch), n, -1).mT[:, :, :width].detach()

    return product


class _Lanczos:
    """Bases (b, pixels, m) whose Ritz vectors close in on both ends of the spectrum."""

    def __init__(self, product: Product, start: Tensor, n: int) -> None:
        self.product, self.n, self.n_products = product, n, 0
        self.limit = min(20 * n + 20, start.shape[1])
        self.basis = self.image = start[:, :, :0]
        self.block = _orthonormal(start, self.basis)
        self.step()

    def step(self) -> None:
        """Apply F to the newest block, and look at the spectrum from the larger basis."""
        self.basis = torch.cat((self.basis, self.block), 2)
        applied = self.product(self.block)
        self.n_products += applied.shape[2]
        self.image = torch.cat((self.image, applied), 2)
        self._solve()
        room = self.basis.shape[1] - self.basis.shape[2]
        if room:
            self.block = _orthonormal(applied[:, :, :room], self.basis)  # before a restart forgets what F maps into
            if self.basis.shape[2] + self.block.shape[2] > self.limit:
                self._restart()

    def done(self, tolerance: float) -> bool:
        """Whether both ends are there, or the basis is the whole space."""
        n_pixels, width = self.basis.shape[1:]
        return width == n_pixels or (width >= 2 * self.n and bool((self.error <= tolerance).all()))

    def _solve(self) -> None:
        """Rayleigh-Ritz."""
        small = (self.basis.mT @ self.image).double()
        self.values, vectors = torch.linalg.eigh((small + small.mT) / 2)
        self.vectors = vectors.to(self.basis)
        k = min(self.n, self.values.shape[1])
        self.top, self.top_values = self._ends(slice(-k, None), flip=True)
        self.bottom, self.bottom_values = self._ends(slice(0, k), flip=False)
        self.error = torch.cat(
            [self._residual(self.top, self.top_values, True), self._residual(self.bottom, self.bottom_values, False)], 1
        ).amax(1) / self.values[:, -1].clamp_min(1e-300).to(self.basis)

    def _ends(self, which: slice, flip: bool) -> tuple[Tensor, Tensor]:
        vectors, values = self.basis @ self.vectors[:, :, which], self.values[:, which].clamp_min(0)
        return (vectors.flip(2), values.flip(1)) if flip else (vectors, values)

    def _residual(self, vectors: Tensor, values: Tensor, top: bool) -> Tensor:
        k = vectors.shape[2]
        picked = self.vectors[:, :, -k:].flip(2) if top else self.vectors[:, :, :k]
        return (self.image @ picked - vectors * values[:, None].to(vectors)).norm(dim=1)

    def _restart(self) -> None:
        """Keep the Ritz vectors at both ends; their images rotate along."""
        keep = self.limit // 4
        ends = torch.cat((self.vectors[:, :, :keep], self.vectors[:, :, -keep:]), 2)
        self.basis, self.image = self.basis @ ends, self.image @ ends


def _orthonormal(block: Tensor, basis: Tensor) -> Tensor:
    """Return (b, pixels, n) orthonormal vectors, orthogonal to `basis`, that span `block`'s part outside it.

    Where the block has no such part, the space of the basis is invariant: fixed noise stands in.
    """
    scale = block.norm(dim=1, keepdim=True).clamp_min(1e-30)
    rng = np.random.default_rng(block.shape[1])
    noise: Any = torch.from_numpy(rng.standard_normal(tuple(block.shape[1:]))).to(block)
    block = block / scale
    block = block - basis @ (basis.mT @ block)
    block = torch.where(block.norm(dim=1, keepdim=True) > _RANK, block, noise)
    for _ in range(3):
        block = block - basis @ (basis.mT @ block)
        block, upper = torch.linalg.qr(block)
        lost = upper.diagonal(dim1=1, dim2=2).abs() < _RANK * upper.abs().amax((1, 2))[:, None]
        block = torch.where(lost[:, None], noise, block)
    block = block - basis @ (basis.mT @ block)
    return torch.linalg.qr(block)[0]
