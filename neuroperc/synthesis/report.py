"""How good a metamer is: residuals by group of features, likeness to the target, distances between samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..color import linear_to_srgb
from ..metrics import ssim

if TYPE_CHECKING:
    import pandas as pd

_SSIM_WINDOW_PX = 11


def residuals(features: Tensor, wanted: Tensor, groups: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Return the root-mean-square difference of each group over the root mean square wanted, (b,) each.

    A group that should be and is all 0 has residual 0.
    """
    difference, size = (features - wanted).flatten(1).double(), wanted.flatten(1).double()
    found = {}
    for name, index in groups.items():
        columns = torch.from_numpy(index).to(size.device)
        rms, scale = (part[:, columns].square().mean(1).sqrt() for part in (difference, size))
        found[name] = torch.where(rms > 0, rms / scale, 0).cpu()
    return found


def ssim_to_target(image: Tensor, target: Tensor) -> Tensor:
    """Return the SSIM of every picture and its target in sRGB code values, (b,); NaN below 11 pixels."""
    image, target = (batched(x).double() for x in (image, target))
    if min(image.shape[-2:]) < _SSIM_WINDOW_PX:
        return torch.full((len(image),), torch.nan, dtype=torch.float64)
    return ssim(linear_to_srgb(image), linear_to_srgb(target), data_range=1.0)


def rms_to_target(image: Tensor, target: Tensor) -> Tensor:
    """Return the root-mean-square difference of every picture and its target, (b,), linear light."""
    return (batched(image) - batched(target)).double().flatten(1).square().mean(1).sqrt()


def pairwise_rms(image: Tensor) -> Tensor:
    """Return root-mean-square differences between the pictures of a batch, (b, b), linear light."""
    flat = batched(image).double().flatten(1)
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / flat.shape[1] ** 0.5


def table(
    image: Tensor, target: Tensor, loss: Tensor, converged: Tensor, residuals: Mapping[str, Tensor]
) -> pd.DataFrame:
    """Return a row a picture: loss, convergence, likeness to the target, residual of every group."""
    import pandas as pd

    columns: dict[str, Any] = {
        "loss": loss.reshape(len(loss), -1)[-1],
        "converged": converged.reshape(-1),
        "ssim": ssim_to_target(image, target),
        "rms": rms_to_target(image, target),
    }
    columns |= {f"residual {name}": values.reshape(-1) for name, values in residuals.items()}
    return pd.DataFrame({name: values.numpy() for name, values in columns.items()}).rename_axis("item")


def batched(images: Tensor) -> Tensor:
    """Return (b, c, h, w) on the CPU."""
    return images.detach().cpu().reshape(-1, *images.shape[-3:])
