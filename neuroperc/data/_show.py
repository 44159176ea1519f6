"""How a StimulusSet looks in a notebook."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import pandas as pd
import torch

from ..display import Display
from ._pixels import Pixels
from .readers.pictures import png_bytes

_N_SHOWN = 8


def as_html(title: str, display: Display, table: pd.DataFrame, pixels: Sequence[Pixels]) -> str:
    """Return a caption, thumbnails and the first rows of the table; only the pictures shown are read."""
    cells = "".join(
        f"<figure style='display:inline-block;margin:4px'>{_thumbnail(source)}"
        f"<figcaption style='font-size:small'>{html.escape(str(name))}</figcaption></figure>"
        for name, source in zip(table.index[:_N_SHOWN], pixels, strict=False)
    )
    height, width = display.extent_deg
    caption = f"{html.escape(title)}; display {height:.4g}° × {width:.4g}° (h × w)"
    rows = table.head(_N_SHOWN).to_html()
    return f"<div><p><b>{caption}</b></p>{cells}{rows}</div>"


def _thumbnail(source: Pixels, side_px: int = 96) -> str:
    linear = source.read("linear", 0, 1)
    linear = linear[0] if linear.ndim == 4 else linear
    stride = max(1, max(linear.shape[-2:]) // side_px)
    # The mean light of each block, so that a fine grating does not turn into another one.
    small = torch.nn.functional.avg_pool2d(linear[None].float(), stride, ceil_mode=True)[0].clamp(0, 1)
    data = base64.b64encode(png_bytes(small.numpy(force=True), "linear")).decode()
    return f"<img src='data:image/png;base64,{data}' style='max-width:{side_px}px'>"
