"""Deza, Jonnalagadda & Eckstein 2019: the windows of NeuroFovea and what they do to a photograph."""

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from neuroperc import plot as npplot
from neuroperc.color import linear_to_srgb
from neuroperc.data import sample_image
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.metamers import NeuroFovea, PyramidCodec, neurofovea_windows, texture_strength, vgg16_codec
from neuroperc.metrics import ssim

SCALINGS = (0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
SHOWN = (0.3, 0.5, 0.7)
WEIGHTS = "weights/vgg16_imagenet_convs_rgb_fp16.pt"


@dataclass(frozen=True)
class Config:
    """Side of the square photograph in pixels (the windows are always those of 512), and the seed of the noise."""

    side_px: int
    seed: int


@torch.no_grad()
def run(config: Config) -> Measured:
    """Count windows, and render one photograph at three scalings with and without a network."""
    published = Display.from_px_per_deg(512 / 26, resolution_px=(512, 512))
    windows = [neurofovea_windows(published, scaling=s) for s in SCALINGS]
    display = Display.from_px_per_deg(config.side_px / 26, resolution_px=(config.side_px, config.side_px))
    light = sample_image("china", display)[0][None]
    folder = os.environ.get("NEUROPERC_DATA")
    codecs = {"steerable pyramid": PyramidCodec()}
    if folder:
        codecs["VGG-16"] = vgg16_codec(Path(folder) / WEIGHTS)
    pictures, alike = {"photograph": _jpeg(light)}, {}
    for name, codec in codecs.items():
        models = [NeuroFovea(display, scaling=s, codec=codec, cell_deg=8 * 26 / 512) for s in SHOWN]
        reference = models[0].reference(light)
        pictures[f"{name}: reference"] = _jpeg(reference)
        for model, scaling in zip(models, SHOWN, strict=True):
            metamer = model(light, rng=config.seed)
            pictures[f"{name}: scaling {scaling}"] = _jpeg(metamer)
            alike[f"{name} {scaling}"] = float(ssim(*map(linear_to_srgb, (metamer, reference)), data_range=1.0).mean())
    values = {
        "counts": [w.n_windows for w in windows],
        "largest_strength": [float(texture_strength(w.radius_deg).max()) for w in windows],
        "ssim_falls": {f"scaling_{s}": alike[f"steerable pyramid {s}"] for s in SHOWN},
    }
    return Measured(values, data={"pictures": pictures, "ssim_to_reference": alike})


def _jpeg(light: torch.Tensor) -> str:
    codes = np.round(255 * linear_to_srgb(light)[0].permute(1, 2, 0).numpy()).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "JPEG", quality=88)
    return base64.b64encode(buffer.getvalue()).decode()


def plot(result: Result) -> Figure:
    """Draw reference and metamers, a row a codec."""
    pictures = {name: jpeg for name, jpeg in result.data["pictures"].items() if name != "photograph"}
    rows = len(pictures) // 4
    with npplot.style():
        canvas = npplot.figure(rows, 4, width_in=1.8, height_in=2.0)
        canvas.suptitle("26 by 26 deg, gaze at the cross; reference: coded and decoded, nothing exchanged", fontsize=9)
        for ax, (name, jpeg) in zip(canvas.axes, pictures.items(), strict=True):
            picture = Image.open(io.BytesIO(base64.b64decode(jpeg)))
            ax.imshow(picture)
            ax.plot((picture.width - 1) / 2, (picture.height - 1) / 2, "+", ms=7, color="red")
            ax.set_title(name, fontsize=8)
            ax.set_axis_off()
    return canvas
