"""Pictures from embeddings without a diffusion model: a small trained decoder, and the nearest training pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, pixel_shuffle

from ..._check import check, fail, finite, integer, non_negative, positive
from ...training import TrainingResult
from ...training import fit as train
from .._blocks import digest, settings_of
from .lowlevel import Convs

_SEED_PX = 4  # side of the first map of the decoder
_NARROWEST = 32  # channels of its last maps


class PictureDecoder(BaseEstimator):
    """A small network from embeddings to pictures, trained on pictures and their embeddings: an `ImageGenerator`.

    All numbers of an embedding, standardised, go through one linear layer to maps of 4 x 4 places; these are doubled
    in size and convolved until they have the pictures' side. It answers with one blurred picture, near the mean of all
    pictures with such an embedding; it invents nothing, and every sample is the same.

    Parameters
    ----------
    width
        Channels of the first maps, a multiple of 8; they halve at each doubling, down to 32.
    noise_sd
        Standard deviation of the noise that is added to the standardised embeddings in training: what is
        predicted from a brain is not exact either.
    epochs, batch_size, learning_rate
        AdamW on the mean absolute error of codes, one cosine of the rate.
    device
        Where it is trained and stays.
    random_state
        Seed of weights, order and noise.

    Attributes
    ----------
    network_ : torch.nn.Module
        From (picture, token x dim) to (picture, 3, h, w).
    history_ : neuroperc.training.TrainingResult
        Losses a step.

    Raises
    ------
    ValueError
        For NaN, shapes that do not match, or pictures whose side is not 4 x 2, 4, 8, ..., when fitted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> colours = rng.random((64, 3))
    >>> pictures = np.broadcast_to(colours[:, :, None, None], (64, 3, 8, 8))
    >>> decoder = PictureDecoder(width=32, epochs=20, random_state=0).fit(colours[:48], pictures[:48])
    >>> made = decoder(torch.from_numpy(colours[48:]))[:, 0].numpy()
    >>> made.shape, bool(abs(made - pictures[48:]).mean() < 0.5 * abs(pictures[:48].mean(0) - pictures[48:]).mean())
    ((16, 3, 8, 8), True)
    """

    def __init__(
        self,
        *,
        width: int = 128,
        noise_sd: float = 0.3,
        epochs: float = 20,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        device: Any = None,
        random_state: int = 0,
    ) -> None:
        self.width = width
        self.noise_sd = noise_sd
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        embeddings: Any,
        images: Any,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> PictureDecoder:
        """Train on embeddings (picture, dim) or (picture, token, dim) and pictures (picture, 3, h, w), sRGB codes.

        Embeddings must be in the unit of those that will be given later: MindEye's have a first token of length 1.

        Returns
        -------
        PictureDecoder
            Itself.
        """
        vectors, codes = _embeddings("embeddings", embeddings), _codes(images)
        check(len(vectors) == len(codes) > 1, "embeddings", f"one for each of the {len(codes)} pictures, two or more",
              len(vectors))  # fmt: skip
        side, n_doublings = codes.shape[-1], int(np.log2(max(codes.shape[-1] // _SEED_PX, 1)))
        check(codes.shape[-2] == side == _SEED_PX * 2**n_doublings and n_doublings > 0, "images",
              "square, with a side of 8, 16, 32, 64, ...", tuple(codes.shape[-2:]), "Resize them first.")  # fmt: skip
        check(integer("width", self.width, _NARROWEST) % 8 == 0, "width", "a multiple of 8", self.width)
        non_negative("noise_sd", self.noise_sd)
        rate = positive("learning_rate", self.learning_rate)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer("random_state", self.random_state, minimum=0))
            self.network_ = _Upsampler(vectors, codes.mean((0, 2, 3)), self.width, n_doublings)
        self.network_.to(torch.device(self.device or "cpu"))
        key = None if checkpoint is None else digest(settings_of(self), vectors.cpu().numpy(), codes.numpy())
        self.history_: TrainingResult = train(
            self.network_, (vectors, codes), loss=self._loss, optimizer=lambda p: torch.optim.AdamW(p, lr=rate),
            epochs=self.epochs, batch_size=self.batch_size, schedule="cosine", clip_norm=1.0, checkpoint=checkpoint,
            data_key=key, progress=progress, random_state=self.random_state,
        )  # fmt: skip
        self.network_.eval()
        return self

    @torch.no_grad()
    def __call__(
        self, embeddings: Tensor, *, n_samples: int = 1, start: Tensor | None = None, rng: int | np.random.Generator = 0
    ) -> Tensor:
        """Return (b, n_samples, 3, h, w), sRGB codes in [0, 1]; all samples are alike, and nothing is random.

        Raises
        ------
        RuntimeError
            Before `fit`.
        ValueError
            For embeddings of another size, NaN, or a picture to start from, which has no place here.
        """
        if not hasattr(self, "network_"):
            fail("PictureDecoder", "fitted first", "no network", "Call fit(embeddings, images).", RuntimeError)
        _no_start(start, "PictureDecoder")
        x, wanted = _embeddings("embeddings", embeddings), self.network_.mean.shape[0]
        check(x.shape[1] == wanted, "embeddings", f"of {wanted} numbers, as in training", x.shape[1])
        made: Tensor = self.network_(x.to(self.network_.mean.device)).clamp(0, 1)
        return made[:, None].expand(-1, integer("n_samples", n_samples), -1, -1, -1)

    def _loss(self, network: nn.Module, batch: Any) -> Tensor:
        vectors, codes = batch
        # The training loop seeds torch from its seed and the step; the draws of NumPy follow from it.
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        drawn = torch.from_numpy(rng.standard_normal(tuple(vectors.shape), dtype=np.float32)).to(vectors)
        made: Tensor = network(vectors, self.noise_sd * drawn)
        return (made - codes).abs().mean()


class _Upsampler(nn.Module):
    """Standardise, unfold to 4 x 4 places, double and convolve."""

    mean: Tensor
    sd: Tensor

    def __init__(self, vectors: Tensor, grey: Tensor, width: int, n_doublings: int) -> None:
        super().__init__()
        sd = vectors.std(0)
        self.register_buffer("mean", vectors.mean(0))
        self.register_buffer("sd", torch.where(sd > 0, sd, torch.inf))
        widths = [max(_NARROWEST, width // 2**k // 8 * 8) for k in range(n_doublings)]
        self.unfold = nn.Linear(vectors.shape[1], width * _SEED_PX**2)
        self.layers = nn.ModuleList(Convs(a, b) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[-1], 3 * 4, 3, padding=1, bias=False)
        nn.init.zeros_(self.out.weight)  # the training starts from the mean colour
        self.grey = nn.Parameter(grey[:, None, None].clone())

    def forward(self, vectors: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        x = self.unfold((vectors - self.mean) / self.sd + noise).unflatten(1, (-1, _SEED_PX, _SEED_PX))
        for layer in self.layers:
            x = layer(interpolate(x, scale_factor=2.0, mode="nearest"))
        found: Tensor = pixel_shuffle(self.out(x), 2) + self.grey
        return found


@dataclass(frozen=True, eq=False)
class RetrievalGenerator:
    """The training pictures whose embeddings are most like the one given: an `ImageGenerator` that copies.

    Embeddings are compared by the cosine of what sets them apart from the mean training embedding: predictions from
    brains shrink towards that mean, and all have it in common.

    Parameters
    ----------
    embeddings
        (picture, dim) or (picture, token, dim) of training pictures, in the unit of those that will be given.
    images
        (picture, 3, h, w), sRGB codes in [0, 1].

    Raises
    ------
    ValueError
        For NaN, values outside [0, 1], or numbers of pictures that differ.

    Examples
    --------
    >>> pictures = np.stack([np.full((3, 2, 2), v) for v in (0.0, 0.5, 1.0)])
    >>> generator = RetrievalGenerator([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], pictures)
    >>> generator(torch.tensor([[0.2, 0.9]]), n_samples=2)[0, :, 0, 0, 0].tolist()
    [0.5, 0.0]
    """

    embeddings: Any
    images: Any

    def __post_init__(self) -> None:
        """Check both, and keep them as tensors."""
        vectors, codes = _embeddings("embeddings", self.embeddings), _codes(self.images)
        check(len(vectors) == len(codes), "embeddings", f"one for each of the {len(codes)} pictures", len(vectors))
        object.__setattr__(self, "embeddings", vectors)
        object.__setattr__(self, "images", codes)

    def __call__(
        self, embeddings: Tensor, *, n_samples: int = 1, start: Tensor | None = None, rng: int | np.random.Generator = 0
    ) -> Tensor:
        """Return the `n_samples` nearest pictures (b, n_samples, 3, h, w), the nearest first; nothing is random.

        Raises
        ------
        ValueError
            For embeddings of another size, NaN, more samples than pictures, or a picture to start from.
        """
        _no_start(start, "RetrievalGenerator")
        x = _embeddings("embeddings", embeddings)
        wanted = self.embeddings.shape[1]
        check(x.shape[1] == wanted, "embeddings", f"of {wanted} numbers, as in training", x.shape[1])
        n = integer("n_samples", n_samples)
        check(n <= len(self.images), "n_samples", f"at most the {len(self.images)} training pictures", n)
        mean = self.embeddings.mean(0)
        likeness = normalize(x.cpu() - mean) @ normalize(self.embeddings - mean).T
        found: Tensor = self.images[likeness.topk(n).indices]
        return found


def _embeddings(name: str, values: Any) -> Tensor:
    """Return (picture, number) float32 on its device."""
    x = _tensor(values)
    check(x.ndim in (2, 3) and x.numel() > 0, name, "(picture, dim) or (picture, token, dim), not empty",
          tuple(x.shape))  # fmt: skip
    x = x.float().flatten(1)
    finite(name, x)
    return x


def _codes(images: Any) -> Tensor:
    x = _tensor(images).cpu()
    check(x.ndim == 4 and x.shape[1] == 3 and len(x) > 0, "images", "(picture, 3, h, w)", tuple(x.shape))
    check(x.is_floating_point(), "images", "floating point, sRGB codes in [0, 1]", x.dtype, "Divide codes by 255.")
    x = x.float()
    finite("images", x)
    check(bool(x.min() >= 0 and x.max() <= 1), "images", "within [0, 1]", (float(x.min()), float(x.max())),
          "Divide codes by 255.")  # fmt: skip
    return x


def _tensor(values: Any) -> Tensor:
    return values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))


def _no_start(start: Any, name: str) -> None:
    check(start is None, "start", f"None for a {name}", type(start).__name__,
          "Only a diffusion model can begin from a picture.")  # fmt: skip
