"""A picture and a place in it as something to search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from .._check import check, finite
from ..color import linear_to_srgb
from ..data import StimulusSet
from ..display import Display

__all__ = ["picture_search"]


def picture_search(
    image: Tensor,
    display: Display,
    target_deg: Sequence[float],
    *,
    template: Tensor | None = None,
    background: float = 0.5,
    stimulus_id: str = "picture",
    condition: str = "natural",
) -> StimulusSet:
    """Return a set of one picture with its target, as `simulate` takes it.

    Parameters
    ----------
    image
        (c, h, w) linear light in [0, 1] that fills the display.
    display
        Geometry.
    target_deg
        x, y of the target's centre from the picture's centre (y up), its width and its height.
    template
        (c, h, w) what the target is known to look like, linear light; default: the picture inside the box.
    background
        sRGB value around the picture.
    stimulus_id, condition
        Names for the tables.

    Raises
    ------
    ValueError
        When the box is not inside the picture, is smaller than a pixel, or shapes do not fit.

    Examples
    --------
    >>> import torch
    >>> display = Display.from_px_per_deg(8, resolution_px=(48, 64))
    >>> shown = picture_search(torch.rand(3, 48, 64), display, (1.0, -0.5, 2.0, 1.0))
    >>> shown.truth["target_picture"].shape
    (1, 3, 8, 16)
    """
    good = isinstance(image, Tensor) and image.ndim == 3 and tuple(image.shape[-2:]) == display.resolution_px
    wanted = f"(channels, {display.resolution_px[0]}, {display.resolution_px[1]})"
    check(good, "image", wanted, tuple(getattr(image, "shape", ())), "Give the display the picture's resolution.")
    finite("image", image)
    box = np.asarray(target_deg, dtype=float)
    check(box.shape == (4,) and bool(np.isfinite(box).all()), "target_deg", "x, y, width and height in degrees", box)
    sought = _inside(image, display, box) if template is None else template
    shape = getattr(sought, "shape", ())
    fits = isinstance(sought, Tensor) and sought.ndim == 3 and len(sought) == len(image) and 0 not in shape
    check(fits, "template", f"a picture of {len(image)} channels", tuple(shape))
    check(0 <= background <= 1, "background", "an sRGB value in [0, 1]", background)
    columns: dict[str, Any] = dict(zip(("x", "y", "width", "height"), box[:, None], strict=True))
    table = pd.DataFrame({f"target_{name}_deg": value for name, value in columns.items()})
    table = table.assign(background=background, condition=condition)
    codes = linear_to_srgb(sought.detach().cpu().double()).numpy().astype(np.float32)
    return StimulusSet.from_arrays(
        image[None].detach().cpu(), display=display, ids=[stimulus_id], table=table,
        truth={"target_picture": codes[None]},
    )  # fmt: skip


def _inside(image: Tensor, display: Display, box: np.ndarray) -> Tensor:
    """Cut out the pixels whose centres lie in the box."""
    x, y, width, height = box
    corners = display.to_px(np.array([[x - width / 2, y + height / 2], [x + width / 2, y - height / 2]]))
    (left, top), (right, bottom) = np.ceil(np.round(corners, 6)).astype(int)
    rows, columns = image.shape[-2:]
    good = width > 0 and height > 0 and 0 <= left < right <= columns and 0 <= top < bottom <= rows
    vertical, horizontal = display.extent_deg
    remedy = f"The picture reaches ±{horizontal / 2:.4g} by ±{vertical / 2:.4g} deg, y up."
    check(good, "target_deg", "a box inside the picture", [float(v) for v in box], remedy)
    return image[:, top:bottom, left:right]
