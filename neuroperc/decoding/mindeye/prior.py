"""Diffusion prior: from the backbone's tokens to tokens that lie where those of pictures do."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, mse_loss, scaled_dot_product_attention
from tqdm.auto import tqdm

from ..._check import as_rng, check, integer, non_negative


def cosine_signal_shares(n_steps: int, *, offset: float = 0.008) -> np.ndarray:
    """Share of signal variance left at each diffusion step, falling as the square of a cosine.

    Parameters
    ----------
    n_steps
        Of the diffusion.
    offset
        Keeps the first steps from being too small.

    Returns
    -------
    numpy.ndarray
        (n_steps,) the cumulative products of 1 - beta, with beta at most 0.999.

    References
    ----------
    .. [1] A Nichol, P Dhariwal (2021). Improved denoising diffusion probabilistic models. arXiv:2102.09672, eq. 17.

    Examples
    --------
    >>> cosine_signal_shares(4).round(4).tolist()
    [0.847, 0.4938, 0.1443, 0.0001]
    """
    at = np.arange(integer("n_steps", n_steps) + 1) / n_steps
    curve = np.cos((at + offset) / (1 + offset) * math.pi / 2) ** 2
    betas = np.minimum(1 - curve[1:] / curve[:-1], 0.999)
    return np.asarray(np.cumprod(1 - betas))


class DiffusionPrior(nn.Module):
    """Denoises tokens of a picture, given the backbone's tokens: x0 prediction, cosine schedule, DDPM sampling.

    A transformer without a causal mask reads brain tokens, one token for the time and noised tokens with learned
    positions, and answers where the noised ones stood. In training brain and noised tokens are each left out now and
    then, and learned null tokens stand in their place, for classifier-free guidance.

    Parameters
    ----------
    n_tokens, n_dims
        Of the embedding, in brain and picture alike.
    depth, n_heads, head_dims
        Of the transformer; published: 6, 12, 64.
    n_steps
        Of the diffusion; published: 100.
    null_share
        How often each of the two is left out; published: 0.2.

    Raises
    ------
    ValueError
        For a size below 1 or a share outside [0, 1).

    Notes
    -----
    Tokens are multiplied by the root of `n_dims` before noising, so that tokens of length 1 have variance 1.

    References
    ----------
    .. [1] A Ramesh et al. (2022). Hierarchical text-conditional image generation with CLIP latents. arXiv:2204.06125.
    .. [2] P S Scotti et al. (2023). arXiv:2305.18274, section 3.3.

    Examples
    --------
    >>> import torch
    >>> prior = DiffusionPrior(n_tokens=2, n_dims=8, depth=1, n_heads=2, head_dims=4, n_steps=5)
    >>> brain, picture = torch.zeros(3, 2, 8), torch.zeros(3, 2, 8)
    >>> prior.loss(brain, picture, rng=0).shape, prior.sample(brain, rng=0).shape
    (torch.Size([]), torch.Size([3, 2, 8]))
    """

    def __init__(
        self,
        *,
        n_tokens: int,
        n_dims: int,
        depth: int = 2,
        n_heads: int = 4,
        head_dims: int = 32,
        n_steps: int = 100,
        null_share: float = 0.2,
    ) -> None:
        super().__init__()
        check(0 <= null_share < 1, "null_share", "from 0 to below 1", null_share, "Published: 0.2.")
        self.shape = (integer("n_tokens", n_tokens), integer("n_dims", n_dims))
        self.n_steps, self.null_share, self.scale = integer("n_steps", n_steps), null_share, n_dims**0.5
        self.null_brain, self.null_picture = (nn.Parameter(torch.randn(n_tokens, n_dims)) for _ in range(2))
        self.position = nn.Parameter(torch.randn(n_tokens, n_dims) * n_dims**-0.5)
        self.time = nn.Embedding(n_steps, n_dims)
        self.layers = nn.ModuleList(
            _Layer(n_dims, integer("n_heads", n_heads), integer("head_dims", head_dims))
            for _ in range(integer("depth", depth))
        )
        self.bias = _RelativeBias(n_heads)
        self.out = nn.Sequential(nn.LayerNorm(n_dims), nn.Linear(n_dims, n_dims, bias=False))
        signal = torch.as_tensor(cosine_signal_shares(n_steps))
        before = torch.cat([torch.ones(1, dtype=signal.dtype), signal[:-1]])
        beta = 1 - signal / before
        posterior = {
            "signal": signal, "of_clean": beta * before.sqrt() / (1 - signal),
            "of_noised": (1 - before) * (1 - beta).sqrt() / (1 - signal),
            "variance": beta * (1 - before) / (1 - signal),
        }  # fmt: skip
        for name, value in posterior.items():
            self.register_buffer(name, value.float(), persistent=False)

    def denoise(
        self, noised: Tensor, step: Tensor, brain: Tensor, *,
        keep_brain: Tensor | None = None, keep_picture: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Predict the clean tokens (trial, token, dim), scaled, from noised ones, the step (trial,) and the brain's.

        Where `keep_brain` or `keep_picture` (trial,) is False the null tokens take the place of the brain's or of the
        noised ones.
        """
        if keep_brain is not None:
            brain = torch.where(keep_brain[:, None, None], brain, self.null_brain.to(brain))
        if keep_picture is not None:
            noised = torch.where(keep_picture[:, None, None], noised, self.null_picture.to(noised))
        x = torch.cat([brain, self.time(step)[:, None], noised + self.position], dim=1)
        bias = self.bias(x.shape[1])
        for layer in self.layers:
            x = layer(x, bias)
        found: Tensor = self.out(x[:, -self.shape[0] :])
        return found

    def loss(self, brain: Tensor, picture: Tensor, *, rng: int | np.random.Generator) -> Tensor:
        """Return the mean squared error of predicted clean tokens, scaled, at random steps with random null tokens."""
        generator, n = as_rng(rng), len(picture)
        check(brain.shape == picture.shape == (n, *self.shape), "brain and picture", f"(trial, {self.shape})",
              (tuple(brain.shape), tuple(picture.shape)))  # fmt: skip
        clean = picture * self.scale
        step = torch.as_tensor(generator.integers(self.n_steps, size=n), device=clean.device)
        noise = _normal(generator, clean)
        signal = self.signal[step][:, None, None]  # type: ignore[index]
        noised = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        keep = torch.as_tensor(generator.random((2, n)) >= self.null_share, device=clean.device)
        found = self.denoise(noised, step, brain, keep_brain=keep[0], keep_picture=keep[1])
        return mse_loss(found.float(), clean.float())

    @torch.no_grad()
    def sample(
        self, brain: Tensor, *, rng: int | np.random.Generator, guidance: float = 1.0, progress: bool = False
    ) -> Tensor:
        """Draw picture tokens (trial, token, dim) for the brain's by the whole chain of DDPM steps.

        With `guidance` w the prediction is null + w (conditional - null): 1 is conditional, 0 ignores the brain.
        """
        generator, weight = as_rng(rng), non_negative("guidance", guidance)
        nobody = torch.zeros(len(brain), dtype=torch.bool, device=brain.device)
        x = _normal(generator, brain)
        for k in tqdm(reversed(range(self.n_steps)), total=self.n_steps, disable=not progress, desc="prior"):
            step = torch.full((len(brain),), k, device=brain.device)
            clean = self.denoise(x, step, brain) if weight else torch.zeros_like(x)
            if weight != 1:
                null = self.denoise(x, step, brain, keep_brain=nobody)
                clean = null + weight * (clean - null)
            x = self.of_clean[k] * clean + self.of_noised[k] * x  # type: ignore[index]
            if k:
                x = x + self.variance[k].sqrt() * _normal(generator, x)  # type: ignore[index]
        return x / self.scale


class _Layer(nn.Module):
    """Self-attention with rotary positions and a bias by distance, and a feed-forward part four times as wide."""

    def __init__(self, n_dims: int, n_heads: int, head_dims: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before, self.between = nn.LayerNorm(n_dims), nn.LayerNorm(n_dims)
        self.read = nn.Linear(n_dims, 3 * n_heads * head_dims, bias=False)
        self.write = nn.Linear(n_heads * head_dims, n_dims, bias=False)
        self.widen, self.narrow = nn.Linear(n_dims, 4 * n_dims), nn.Linear(4 * n_dims, n_dims)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return tokens (trial, token, dim) after both parts."""
        q, k, v = self.read(self.before(x)).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = _rotated(q), _rotated(k)
        heads = scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        x = x + self.write(heads.transpose(1, 2).flatten(2))
        return x + self.narrow(gelu(self.widen(self.between(x))))


class _RelativeBias(nn.Module):
    """A learned number a head for each distance, logarithmic beyond 8 tokens either way (T5's)."""

    def __init__(self, n_heads: int, n_buckets: int = 32, farthest: int = 128) -> None:
        super().__init__()
        self.n_near, self.farthest = n_buckets // 2, farthest
        self.table = nn.Embedding(n_buckets, n_heads)
        nn.init.zeros_(self.table.weight)

    def forward(self, n: int) -> Tensor:
        """Return (head, query, key)."""
        place = torch.arange(n, device=self.table.weight.device)
        apart = place[None] - place[:, None]
        exact, far = self.n_near // 2, apart.abs().clamp(min=1).float()
        beyond = exact + (far / exact).log() / math.log(self.farthest / exact) * (self.n_near - exact)
        bucket = torch.where(apart.abs() < exact, apart.abs().float(), beyond.clamp(exact, self.n_near - 1)).long()
        found: Tensor = self.table(bucket + self.n_near * (apart > 0)).permute(2, 0, 1)
        return found


def _rotated(x: Tensor) -> Tensor:
    """Turn pairs of numbers (head, token, dim) by angles that grow with the token's place (rotary positions)."""
    n, dims = x.shape[-2], x.shape[-1] // 2
    rate = 10000.0 ** (-torch.arange(dims, device=x.device) / max(dims, 1))
    angle = torch.arange(n, device=x.device)[:, None] * rate
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b, rest = x[..., :dims], x[..., dims : 2 * dims], x[..., 2 * dims :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], dim=-1)


def _normal(generator: np.random.Generator, like: Tensor) -> Tensor:
    drawn = generator.standard_normal(tuple(like.shape), dtype=np.float32)
    return torch.from_numpy(drawn).to(like)
