"""What objects look like: the small convolutional net of OAT's visual branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._check import check, integer

SIDE = (150, 93)


class PatchNet(nn.Module):
    """Turn patches of objects into vectors: two convolutions and a linear map, trained with the rest.

    Each patch is resized to 150 by 93 pixels and stretched to [0, 1]; one without contrast counts as all ones.

    Parameters
    ----------
    d_out
        Length of a vector.
    pyramid_levels
        None: the features are flattened. 2, 3 or 4: maxima over 1, 2 by 2, 4 by 4 (and 8 by 8) parts instead.

    Raises
    ------
    ValueError, TypeError
        For a level outside 2 to 4.

    References
    ----------
    Y Fang and others (2024). OAT: object-level attention transformer for gaze scanpath prediction, ECCV: released code.

    Examples
    --------
    >>> PatchNet()(torch.rand(2, 3, 60, 40)).shape
    torch.Size([2, 256])
    """

    def __init__(self, d_out: int = 256, *, pyramid_levels: int | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 5), nn.Conv2d(16, 32, 3)
        self.parts: tuple[int, ...] = ()
        n_features = 1440
        if pyramid_levels is not None:
            check(2 <= integer("pyramid_levels", pyramid_levels) <= 4, "pyramid_levels", "2, 3 or 4", pyramid_levels)
            self.parts = tuple(2**k for k in range(pyramid_levels))
            n_features = 32 * sum(p * p for p in self.parts)
        self.out = nn.Linear(n_features, integer("d_out", d_out))

    def forward(self, patches: Tensor) -> Tensor:
        """Return (m, d_out) for (m, 3, height, width)."""
        good = patches.ndim == 4 and patches.shape[1] == 3
        check(good, "patches", "of shape (m, 3, height, width)", f"shape {tuple(patches.shape)}", "Repeat grey thrice.")
        x = functional.interpolate(patches, SIDE, mode="bilinear", antialias=True, align_corners=False)
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        span = high - low
        x = torch.where(span > 1e-6, (x - low) / span.clamp(min=1e-6), 1.0)
        x = functional.max_pool2d(self.first(x).relu(), 5)
        x = self.second(x).relu()
        if not self.parts:
            return self.out(functional.max_pool2d(x, 3).flatten(1))
        return self.out(torch.cat([functional.adaptive_max_pool2d(x, p).flatten(1) for p in self.parts], 1))
