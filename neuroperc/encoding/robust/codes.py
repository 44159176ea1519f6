"""Models of sRGB code values: what attacks, corruptions and robust training see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ..._check import check, fail, finite
from ...color import srgb_to_linear
from ...nets import Net


class CodesNet(nn.Module):
    """A network of `nets.load` that takes sRGB code values in [0, 1] instead of linear light.

    Its own preprocessing (size, mean, standard deviation) runs inside, so that a perturbation of the codes is one of
    the picture and not of the normalised tensor.

    Parameters
    ----------
    net
        Shared, not copied: training this trains `net`.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.nets import Net, Preprocess
    >>> net = Net(torch.nn.Identity(), Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3, size_px=None))
    >>> CodesNet(net)(torch.full((1, 3, 2, 2), 0.75))[0, 0, 0, 0].item()
    1.0
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        # What the network calls encoded must not be encoded a second time.
        self._as_it_is = replace(net.preprocess, encoding="linear")

    def forward(self, codes: Tensor) -> Any:
        """Return the network's answer to codes (b, c, h, w)."""
        if self.net.preprocess.encoding == "linear":
            return self.net(srgb_to_linear(codes))
        return self.net.run(self._as_it_is(codes))


def on_codes(model: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """Return a model of sRGB codes: a `Net` wrapped in `CodesNet`, anything else as it is.

    Examples
    --------
    >>> import torch
    >>> on_codes(torch.nn.Identity())
    Identity()
    """
    return CodesNet(model) if isinstance(model, Net) else model


def check_codes(images: Any) -> Tensor:
    """Return `images`; raise unless they are (b, c, h, w) codes in [0, 1]."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = str(images.dtype) if isinstance(images, Tensor) else type(images).__name__
        fail("images", "a floating-point tensor of sRGB codes in [0, 1]", kind, "Divide 8-bit codes by 255.", TypeError)
    shape = tuple(images.shape)
    remedy = "Add the batch axis with x[None]."
    check(len(shape) == 4 and shape[1] in (1, 3) and min(shape) > 0, "images",
          "of shape (batch, 1 or 3 channels, height, width)", shape, remedy)  # fmt: skip
    finite("images", images)
    low, high = float(images.min()), float(images.max())
    check(low >= 0 and high <= 1, "images", "sRGB codes in [0, 1]", f"{low:.4g} to {high:.4g}",
          "Attack pictures before they are normalised; the model normalises inside.")  # fmt: skip
    return images


def check_labels(labels: Any, n: int) -> Tensor:
    """Return `labels`; raise unless they are `n` whole numbers of 0 or more."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        kind = str(labels.dtype) if isinstance(labels, Tensor) else type(labels).__name__
        fail("labels", "a tensor of whole numbers", kind, "Use torch.as_tensor(labels).long().", TypeError)
    check(tuple(labels.shape) == (n,), "labels", f"one for each of the {n} images", tuple(labels.shape))
    check(int(labels.min()) >= 0, "labels", "0 or more", int(labels.min()))
    return labels.long()
