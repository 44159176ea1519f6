"""The low-level pipeline: a blurred picture as latents of a picture autoencoder, and the losses that train it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from ..._check import as_rng, check, integer, positive

LATENT_SCALE = 0.18215
"""By which Stable Diffusion's autoencoder multiplies its latents."""


def mix_repetitions(
    voxels: Tensor, *, rng: int | np.random.Generator, shares: tuple[float, float, float] = (0.5, 0.3, 0.2)
) -> Tensor:
    """Make one pattern of each picture's repetitions: a random convex mixture, their mean, or one of them.

    Parameters
    ----------
    voxels
        (picture, repetition, voxel).
    rng
        Seed or generator.
    shares
        How often each of the three happens, picture by picture; they sum to 1.

    Returns
    -------
    torch.Tensor
        (picture, voxel).

    Raises
    ------
    ValueError
        For another number of axes, or shares that do not sum to 1.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, low-level pipeline (released code).

    Examples
    --------
    >>> import torch
    >>> mix_repetitions(torch.ones(4, 3, 5), rng=0).allclose(torch.ones(4, 5))
    True
    """
    check(voxels.ndim == 3, "voxels", "(picture, repetition, voxel)", tuple(voxels.shape))
    check(len(shares) == 3 and min(shares) >= 0 and abs(sum(shares) - 1) < 1e-9, "shares",
          "three numbers of 0 or more that sum to 1", shares)  # fmt: skip
    generator, (n, n_repeats) = as_rng(rng), voxels.shape[:2]
    weights = generator.random((n, n_repeats))
    weights /= weights.sum(axis=1, keepdims=True)
    kind = generator.choice(3, size=n, p=shares)
    weights[kind == 1] = 1 / n_repeats
    weights[kind == 2] = np.eye(n_repeats)[generator.integers(n_repeats, size=(kind == 2).sum())]
    return torch.einsum("nr,nrv->nv", torch.as_tensor(weights).to(voxels), voxels)


class LowLevel(nn.Module):
    """Voxels to latents of a picture and, for training alone, to embeddings of its patches.

    Published: ``LowLevel(n_voxels, width=4096, n_blocks=4)``, 4 x 64 x 64 latents of Stable Diffusion's autoencoder and
    256 patches of a VICRegL ConvNeXt-XL teacher. The decoder here is convolutions with GroupNorm; the released one also
    has attention in the middle.

    Parameters
    ----------
    n_voxels
        Voxels in.
    width, n_blocks
        Of the residual network, which has SiLU and no biases.
    side
        Of the square of features that starts the decoder; latents have four times this.
    channels
        Of the decoder at `side`, at twice and at four times it; multiples of 8.
    n_latents, n_patch_dims
        Channels of the latents and of a patch.

    Raises
    ------
    ValueError
        For a size below 1 or channels that are no multiple of 8.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, section 3.4.

    Examples
    --------
    >>> import torch
    >>> net = LowLevel(30, width=32, n_blocks=1, side=4, channels=(8, 8, 8), n_patch_dims=16)
    >>> latents, patches = net(torch.zeros(2, 30))
    >>> latents.shape, patches.shape
    (torch.Size([2, 4, 16, 16]), torch.Size([2, 16, 16]))
    """

    def __init__(
        self,
        n_voxels: int,
        *,
        width: int = 256,
        n_blocks: int = 2,
        side: int = 16,
        channels: tuple[int, int, int] = (64, 128, 256),
        n_latents: int = 4,
        n_patch_dims: int = 512,
    ) -> None:
        super().__init__()
        for name, value in (("n_voxels", n_voxels), ("width", width), ("side", side), ("n_latents", n_latents)):
            integer(name, value)
        check(len(channels) == 3 and all(c > 0 and c % 8 == 0 for c in channels), "channels",
              "three multiples of 8", channels)  # fmt: skip
        first, second, third = channels
        self.start = nn.Sequential(*_block(n_voxels, width, 0.5))
        self.blocks = nn.ModuleList(nn.Sequential(*_block(width, width, 0.25)) for _ in range(n_blocks))
        self.unfold = nn.Linear(width, first * side * side)
        self.shape = (first, side, side)
        self.norm = nn.GroupNorm(1, first)
        self.decoder = nn.ModuleList([Convs(first, second), Convs(second, third)])
        self.out = nn.Conv2d(third, n_latents, 3, padding=1)
        self.patches = nn.Sequential(
            nn.Conv2d(first, n_patch_dims, 1), nn.GroupNorm(1, n_patch_dims), nn.SiLU(),
            nn.Conv2d(n_patch_dims, n_patch_dims, 1), nn.GroupNorm(1, n_patch_dims), nn.SiLU(),
            nn.Conv2d(n_patch_dims, n_patch_dims, 1),
        )  # fmt: skip

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents (picture, latent, 4 side, 4 side) and patches (picture, side², dim) of (picture, voxel)."""
        x = self.start(voxels)
        for block in self.blocks:
            x = x + block(x)
        seed = self.norm(self.unfold(x).unflatten(-1, self.shape))
        x = seed
        for layer in self.decoder:
            x = layer(interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.out(x), self.patches(seed).flatten(2).transpose(1, 2)


def soft_patch_loss(student: Tensor, clean: Tensor, augmented: Tensor, *, temperature: float = 0.075) -> Tensor:
    """Contrast patches predicted from a brain with a teacher's of the augmented picture, softly.

    How similar the teacher finds its clean patches and its augmented ones is what the student's should be.

    Parameters
    ----------
    student, clean, augmented
        (picture, patch, dim): the brain's, and the teacher's of the picture and of the augmented picture. All patches
        of the batch are compared.
    temperature
        Divides the cosines.

    Returns
    -------
    torch.Tensor
        The mean over patches and both directions; least where `student` equals `clean`.

    Raises
    ------
    ValueError
        For shapes that differ or a temperature that is not above 0.

    Examples
    --------
    >>> import torch
    >>> patches = torch.eye(4)[None]
    >>> right, wrong = (soft_patch_loss(s, patches, patches) for s in (patches, patches.flip(1)))
    >>> bool(right < wrong)
    True
    """
    positive("temperature", temperature)
    check(student.shape == clean.shape == augmented.shape and student.ndim == 3, "student, clean and augmented",
          "of one shape (picture, patch, dim)", [tuple(v.shape) for v in (student, clean, augmented)])  # fmt: skip
    with torch.autocast(student.device.type, enabled=False):
        s, c, a = (normalize(v.float().flatten(0, 1), dim=-1) for v in (student, clean, augmented))
        says, should = s @ a.T / temperature, c @ a.T / temperature
        rows = -(should.softmax(-1) * says.log_softmax(-1)).sum(-1).mean()
        columns = -(should.T.softmax(-1) * says.T.log_softmax(-1)).sum(-1).mean()
    return (rows + columns) / 2


def low_level_loss(
    latents: Tensor, target: Tensor, student: Tensor, clean: Tensor, augmented: Tensor, *,
    contrast_weight: float = 0.1, temperature: float = 0.075,
) -> Tensor:  # fmt: skip
    """Mean absolute error of latents in the autoencoder's own unit, plus a tenth of `soft_patch_loss`.

    Parameters
    ----------
    latents, target
        (picture, latent, h, w), scaled as Stable Diffusion's are.
    student, clean, augmented, temperature
        As in `soft_patch_loss`.
    contrast_weight
        Of the contrast of patches.

    Returns
    -------
    torch.Tensor
        Scalar.

    Raises
    ------
    ValueError
        For shapes that differ.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274 (released code of the low-level pipeline).

    Examples
    --------
    >>> import torch
    >>> zeros, patches = torch.zeros(1, 4, 8, 8), torch.eye(4)[None]
    >>> a, b = (low_level_loss(zeros + x, zeros, patches, patches, patches) for x in (0.0, 0.18215))
    >>> round((b - a).item(), 4)
    1.0
    """
    check(latents.shape == target.shape, "latents and target", "of one shape",
          (tuple(latents.shape), tuple(target.shape)))  # fmt: skip
    error = (latents.float() - target.float()).abs().mean() / LATENT_SCALE
    return error + contrast_weight * soft_patch_loss(student, clean, augmented, temperature=temperature)


class Convs(nn.Module):
    """Two 3 x 3 convolutions with GroupNorm and SiLU, the first of which changes the channels; residual."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(before, after, 1)
        self.body = nn.Sequential(
            nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1),
            nn.GroupNorm(8, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return (picture, after, h, w)."""
        found: Tensor = self.skip(x) + self.body(x)
        return found


def _block(before: int, after: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Linear(before, after, bias=False), nn.LayerNorm(after), nn.SiLU(), nn.Dropout(dropout)
