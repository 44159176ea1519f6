"""Encoders and generators that others trained, behind two small protocols (extra ``generative``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..._check import as_rng, check, fail, integer, non_negative
from ...color import srgb_to_linear
from ...nets import Net, layers
from ...recording.hooks import Tap, catch
from .lowlevel import LATENT_SCALE

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_SD = (0.26862954, 0.26130258, 0.27577711)


class ImageEncoder(Protocol):
    """Pictures (b, 3, h, w), sRGB codes in [0, 1], to embeddings (b, dim) or (b, token, dim).

    Examples
    --------
    >>> encoder: ImageEncoder = lambda images: images.mean((2, 3))
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Return the embeddings."""
        ...


class SentenceEncoder(Protocol):
    """Sentences to embeddings (sentence, dim).

    `nets.TextEncoder` and `nets.ConSE.embed_text` are such; `open_clip_sentences` loads CLIP's.

    Examples
    --------
    >>> encoder: SentenceEncoder = lambda texts: torch.tensor([[float(len(text))] for text in texts])
    """

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings."""
        ...


class ImageGenerator(Protocol):
    """Embeddings (b, token, dim) to `n_samples` pictures each, (b, n_samples, 3, h, w), sRGB codes in [0, 1].

    `start` is a picture (b, 3, h, w) to begin from, such as the low-level one.

    Examples
    --------
    >>> def generator(embeddings, *, n_samples=1, start=None, rng=0):
    ...     return torch.zeros(len(embeddings), n_samples, 3, 8, 8)
    >>> made: ImageGenerator = generator
    """

    def __call__(
        self, embeddings: Tensor, *, n_samples: int = 1, start: Tensor | None = None, rng: int | np.random.Generator = 0
    ) -> Tensor:
        """Return the pictures."""
        ...


class NetEncoder(nn.Module):
    """A house network, or a layer of it, as an `ImageEncoder`: codes are decoded to the linear light that it takes.

    Parameters
    ----------
    model
        From linear light (b, 3, h, w) to features: a `nets.Net`, or any function such as `nets.ConSE.embed_images`.
    layer
        Path of the layer of a network, see `nets.layers`; what comes after it is not computed. None takes what the
        model returns.
    grid
        Maps (b, channel, h, w) are averaged to a square of so many places a side; None keeps every place, 0 their
        mean alone.

    Raises
    ------
    ValueError
        For a layer that is not there, or features that are neither vectors, tokens nor maps.

    Notes
    -----
    Vectors (b, dim) and tokens (b, token, dim) come as they are; maps become (b, 1 + place, channel), the mean over all
    places first, because MindEye divides all tokens of a picture by the length of the first.

    Examples
    --------
    >>> from neuroperc import nets
    >>> vgg = nets.load("vgg11", weights=None, preprocess={"size_px": None, "resize_px": None})
    >>> NetEncoder(vgg, layer="features.9", grid=2)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 5, 256])
    """

    def __init__(self, model: Any, *, layer: str | None = None, grid: int | None = None) -> None:
        super().__init__()
        if layer is not None:
            check(isinstance(model, nn.Module), "model", "a network, when a layer is named", type(model).__name__)
            found = layers(model, layer)
            check(len(found) == 1, "layer", "the path of one layer", found)
            layer = found[0]
        self.model, self.layer = model, layer
        self.grid = None if grid is None else integer("grid", grid, minimum=0)

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, dim) or (b, token, dim) of sRGB codes (b, 3, h, w)."""
        light = srgb_to_linear(images)
        x = self.model(light) if self.layer is None else self._at_layer(self.layer, light)
        ok = isinstance(x, Tensor) and x.ndim in (2, 3, 4) and len(x) == len(images)
        check(ok, "model", "one that returns (b, dim), (b, token, dim) or (b, channel, h, w)",
              tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__, "Name a layer.")  # fmt: skip
        if x.ndim < 4:
            return torch.as_tensor(x)
        if self.grid == 0:
            return x.mean((2, 3))
        places = x if self.grid is None else adaptive_avg_pool2d(x, self.grid)
        return torch.cat([x.mean((2, 3))[:, None], places.flatten(2).transpose(1, 2)], dim=1)

    def _at_layer(self, layer: str, light: Tensor) -> Any:
        kept: list[Tensor] = []
        inner = self.model.net if isinstance(self.model, Net) else self.model
        tap = Tap(layer, 0, "", layer, "", ())
        catch(inner, [tap], lambda: self.model(light), lambda _, out: kept.append(out))
        return kept[0]


class ClipTokens(nn.Module):
    """All tokens of an OpenCLIP picture tower, after its last LayerNorm and projection, over the first one's length.

    Parameters
    ----------
    visual
        The tower: an OpenCLIP VisionTransformer with ``transformer ln_post proj``.
    side_px
        Pictures are brought to a square of this side.
    tokens
        False gives the tower's own output, the picture embedding, as it is.

    Raises
    ------
    ValueError
        For a tower without these parts.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, section 3.1.

    Examples
    --------
    Without weights: `open_clip_tokens` loads them.

    >>> ClipTokens(nn.Identity())
    Traceback (most recent call last):
    ValueError: visual must be a vision transformer with transformer, ln_post and proj, got Identity...
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, visual: nn.Module, *, side_px: int = 224, tokens: bool = True) -> None:
        super().__init__()
        complete = all(hasattr(visual, part) for part in ("transformer", "ln_post", "proj"))
        check(complete, "visual", "a vision transformer with transformer, ln_post and proj", type(visual).__name__,
              "Name a ViT of OpenCLIP.")  # fmt: skip
        self.visual, self.tokens, self.side_px = visual, tokens, integer("side_px", side_px)
        for name, values in (("mean", _CLIP_MEAN), ("sd", _CLIP_SD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, token, dim), or (b, dim), of sRGB codes (b, 3, h, w)."""
        size = (self.side_px, self.side_px)
        x = interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        x = (x - self.mean) / self.sd
        if not self.tokens:
            out = self.visual(x)
            return torch.as_tensor(out[0] if isinstance(out, tuple) else out)
        kept: list[Tensor] = []
        handle = self.visual.transformer.register_forward_hook(lambda _, __, out: kept.append(out))  # type: ignore[union-attr]
        try:
            self.visual(x)
        finally:
            handle.remove()
        check(len(kept) == 1 and kept[0].ndim == 3 and len(kept[0]) == len(images), "visual.transformer",
              "one whose output is (b, token, width)", [tuple(k.shape) for k in kept],
              "Use open_clip_torch 2.29 or later.")  # fmt: skip
        found = self.visual.ln_post(kept[0]) @ self.visual.proj  # type: ignore[operator]
        return torch.as_tensor(found / found[:, :1].norm(dim=-1, keepdim=True))


def open_clip_tokens(
    model_name: str = "ViT-L-14", *, pretrained: str = "openai", tokens: bool = True, device: Any = "cpu"
) -> ClipTokens:
    """Load the picture tower of an OpenCLIP model as MindEye's target: 257 x 768 numbers for ViT-L/14.

    Parameters
    ----------
    model_name, pretrained
        Names of ``open_clip.create_model``; weights are downloaded by it.
    tokens
        False gives the final embedding, un-normalised, for retrieval in a data base.
    device
        Where it runs.

    Returns
    -------
    ClipTokens
        An `ImageEncoder`.

    Raises
    ------
    RuntimeError
        Without the package ``open_clip``.

    Notes
    -----
    Tested with a miniature tower of random weights alone: no CLIP weights were at hand.

    Examples
    --------
    >>> encoder = open_clip_tokens("ViT-L-14", pretrained="openai")  # doctest: +SKIP
    """
    package = _extra("open_clip")
    model = package.create_model(model_name, pretrained=pretrained)
    size = getattr(model.visual, "image_size", 224)
    side = int(size[0] if isinstance(size, Sequence) else size)
    return ClipTokens(model.visual, side_px=side, tokens=tokens).to(device).eval()


def open_clip_sentences(
    model_name: str = "ViT-B-32", *, pretrained: str = "openai", device: Any = "cpu"
) -> SentenceEncoder:
    """Load the text tower of an OpenCLIP model: embeddings of length 1 beside those of its pictures.

    Parameters, errors and notes are those of `open_clip_tokens`.

    Returns
    -------
    SentenceEncoder

    Examples
    --------
    >>> encoder = open_clip_sentences("ViT-B-32")  # doctest: +SKIP
    """
    package = _extra("open_clip")
    model = package.create_model(model_name, pretrained=pretrained).to(device).eval()
    tokenizer = package.get_tokenizer(model_name)

    def encode(texts: Sequence[str]) -> Tensor:
        with torch.no_grad():
            return torch.as_tensor(model.encode_text(tokenizer(list(texts)).to(device), normalize=True))

    return encode


@dataclass(eq=False)
class LatentDiffusion:
    """An `ImageGenerator` by latent diffusion with guidance, from noise or from a picture.

    Parameters
    ----------
    unet
        ``unet(latents, step, encoder_hidden_states=embeddings).sample``, as diffusers' are.
    vae
        With ``encode(x).latent_dist.mean`` and ``decode(z).sample``.
    scheduler
        With ``set_timesteps timesteps add_noise scale_model_input step``.
    guidance
        Weight of classifier-free guidance against embeddings of zeros; published: 3.5.
    n_steps
        Of the scheduler; published: 20.
    strength
        Share of the steps that are run when there is a picture to start from; published: 0.85.
    side_px
        Of the pictures.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, section 3.4.

    Examples
    --------
    >>> LatentDiffusion(unet=None, vae=None, scheduler=None).guidance
    3.5
    """

    unet: Any
    vae: Any
    scheduler: Any
    guidance: float = 3.5
    n_steps: int = 20
    strength: float = 0.85
    side_px: int = 512

    @torch.no_grad()
    def __call__(
        self, embeddings: Tensor, *, n_samples: int = 1, start: Tensor | None = None, rng: int | np.random.Generator = 0
    ) -> Tensor:
        """Return (b, n_samples, 3, h, w), sRGB codes in [0, 1]; `start` is (b, 3, h, w)."""
        check(embeddings.ndim == 3, "embeddings", "(b, token, dim)", tuple(embeddings.shape))
        check(0 < self.strength <= 1, "strength", "above 0, at most 1", self.strength)
        weight, n = non_negative("guidance", self.guidance), integer("n_samples", n_samples)
        hidden = embeddings.repeat_interleave(n, dim=0)
        both = torch.cat([torch.zeros_like(hidden), hidden])
        self.scheduler.set_timesteps(integer("n_steps", self.n_steps))
        steps = self.scheduler.timesteps
        side = self.side_px // 8
        drawn = as_rng(rng).standard_normal((len(hidden), 4, side, side), dtype=np.float32)
        x = torch.from_numpy(drawn).to(hidden)
        if start is None:
            x = x * getattr(self.scheduler, "init_noise_sigma", 1.0)
        else:
            steps = steps[self.n_steps - max(1, int(self.n_steps * self.strength)) :]
            x = self.scheduler.add_noise(self._encoded(start).repeat_interleave(n, dim=0).to(x), x, steps[:1])
        for step in steps:
            twice = self.scheduler.scale_model_input(torch.cat([x, x]), step)
            without, given = self.unet(twice, step, encoder_hidden_states=both).sample.chunk(2)
            x = self.scheduler.step(without + weight * (given - without), step, x).prev_sample
        made = self.vae.decode(x / LATENT_SCALE).sample / 2 + 0.5
        return torch.as_tensor(made.clamp(0, 1).unflatten(0, (-1, n)))

    def _encoded(self, start: Tensor) -> Tensor:
        side = (self.side_px, self.side_px)
        x = interpolate(start, side, mode="bilinear", antialias=True, align_corners=False)
        return torch.as_tensor(self.vae.encode(2 * x - 1).latent_dist.mean * LATENT_SCALE)


def versatile_diffusion(
    name_or_path: str = "shi-labs/versatile-diffusion",
    *,
    guidance: float = 3.5,
    n_steps: int = 20,
    strength: float = 0.85,
    device: Any = "cuda",
) -> LatentDiffusion:
    """Load Versatile Diffusion's picture branch as MindEye's generator, with a UniPC scheduler.

    Parameters
    ----------
    name_or_path
        Of the weights, which diffusers downloads.
    guidance, n_steps, strength
        As in `LatentDiffusion`.
    device
        Where it runs.

    Returns
    -------
    LatentDiffusion
        An `ImageGenerator`.

    Raises
    ------
    RuntimeError
        Without the package ``diffusers``.

    Notes
    -----
    Tested with a miniature network alone: no weights of Stable or Versatile Diffusion were at hand.

    Examples
    --------
    >>> generator = versatile_diffusion(device="cuda")  # doctest: +SKIP
    """
    package = _extra("diffusers")
    pipeline = package.VersatileDiffusionImageVariationPipeline.from_pretrained(name_or_path).to(device)
    scheduler = package.UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    return LatentDiffusion(pipeline.image_unet, pipeline.vae, scheduler, guidance, n_steps, strength)


def _extra(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        fail("the extra 'generative'", f"installed for {package}", "no such package",
             "Run pip install 'neuroperc[generative]'.", RuntimeError)  # fmt: skip
