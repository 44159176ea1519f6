"""Train a decoder that turns relu4_1 of VGG-16 back into a picture, as NeuroFovea needs one.

The profile "paper" is the recipe of the decoder that comes with the package. With NEUROPERC_DATA unset the encoder has
random weights: that exercises the recipe and makes no decoder of use.
"""

import base64
import importlib.util
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from neuroperc import nets
from neuroperc import plot as npplot
from neuroperc.experiment import Measured, Result
from neuroperc.metamers.style.networks import FeatureDecoder
from neuroperc.training import fit

#: Photographs inside installed packages: package, file, licence and whose they are, as the packages state it.
TRAINING = (
    ("skimage", "data/astronaut.png", "public domain", "NASA"),
    ("skimage", "data/chelsea.png", "CC0 1.0", "Stefan van der Walt"),
    ("skimage", "data/rocket.jpg", "public domain", "SpaceX"),
    ("skimage", "data/hubble_deep_field.jpg", "public domain", "NASA"),
    ("skimage", "data/retina.jpg", "CC0 1.0", "Mikael Haggstrom"),
    ("skimage", "data/brick.png", "CC0 1.0", "CC0Textures"),
    ("skimage", "data/grass.png", "CC0 1.0", "linolafett, DeviantArt"),
    ("skimage", "data/gravel.png", "CC0 1.0", "CC0Textures"),
    ("skimage", "data/camera.png", "CC0 1.0", "Lav Varshney"),
    ("skimage", "data/clock_motion.png", "public domain", "Stefan van der Walt"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public domain", "United States Navy"),
    ("sklearn", "datasets/images/flower.jpg", "CC BY 2.0", "vultilion, flickr.com/photos/vultilion/6056698931"),
)
#: Frames of films, where the data folder has them: file, every how many, licence and whose they are.
FILMS = (
    ("motion/videos/bigbuckbunny.mp4", 12, "CC BY 3.0", "Big Buck Bunny, Blender Foundation"),
    ("motion/sintel_clip_50frames.mp4", 10, "CC BY 3.0", "Sintel, Blender Foundation"),
)
#: Never seen in training.
HELD_OUT = (
    ("skimage", "data/coffee.png", "CC0 1.0", "Rachel Michetti"),
    (
        "sklearn",
        "datasets/images/china.jpg",
        "CC BY 2.0",
        "danielbuechele, flickr.com/photos/danielbuechele/6061409035",
    ),
)
WEIGHTS = "weights/vgg16_imagenet_convs_rgb_fp16.pt"
RELU4_1, RELU2_1 = 19, 7  # layers of VGG-16's features up to and with these


@dataclass(frozen=True)
class Config:
    """Length and batch of the training, seed, side of a training crop in pixels, and where to put the weights."""

    steps: int
    batch_size: int
    seed: int
    crop_px: int
    learning_rate: float
    gradient_weight: float
    feature_weight: float
    mixed_precision: str
    save: str


class Crops(Dataset[Tensor]):
    """Random views of photographs: place, size, mirror image, tint and contrast; each is drawn anew when asked for."""

    def __init__(self, pictures: list[Tensor], side: int, length: int) -> None:
        self.pictures, self.side, self.length = pictures, side, length

    def __len__(self) -> int:
        """How many an epoch has."""
        return self.length

    def __getitem__(self, item: int) -> Tensor:
        """Return codes (3, side, side); `item` only counts, the draw follows from the step."""
        draw = torch.rand(12).tolist()
        picture = self.pictures[int(draw[0] * len(self.pictures))]
        height, width = picture.shape[1:]
        largest = min(height, width)
        cut = int(self.side * (min(largest, 4 * self.side) / self.side) ** draw[1])
        top, left = int(draw[2] * (height - cut + 1)), int(draw[3] * (width - cut + 1))
        view = picture[None, :, top : top + cut, left : left + cut]
        view = functional.interpolate(view, (self.side, self.side), mode="bilinear", antialias=True)[0]
        view = view.flip(-1) if draw[4] < 0.5 else view
        view = view[torch.randperm(3)] if draw[5] < 0.3 else view
        grey = bool((picture[0] == picture[2]).all())
        if grey or draw[6] < 0.3:
            view = view * torch.tensor(draw[7:10])[:, None, None].mul(0.8).add(0.5)
        contrast = 0.6 + 0.8 * draw[10]
        return ((view - 0.5) * contrast + 0.5).clamp(0, 1)


def run(config: Config, progress: bool = False) -> Measured:
    """Train, save, and measure on pictures that were held out."""
    torch.manual_seed(config.seed)
    encoder, trained = _encoder()
    decoder = _initialised(FeatureDecoder())
    with torch.no_grad():
        data = Crops(_pictures(TRAINING) + _frames(), config.crop_px, 1000 * config.batch_size)
        features = encoder[:RELU4_1](_codes_to_input(torch.stack([data[i] for i in range(8)])))
        decoder.scale.copy_(features.square().mean().sqrt())
    result = fit(
        decoder.to(memory_format=torch.channels_last), data, loss=_Loss(encoder, config), steps=config.steps,
        optimizer=lambda p: torch.optim.AdamW(p, lr=config.learning_rate, weight_decay=1e-4),
        batch_size=config.batch_size, schedule="cosine", warmup_steps=min(100, config.steps // 4), clip_norm=1.0,
        ema_decay=0.995, mixed_precision=config.mixed_precision, progress=progress, random_state=config.seed,
    )  # fmt: skip
    state = {name: value.half().contiguous() for name, value in decoder.state_dict().items()}
    decoder.load_state_dict({name: value.float() for name, value in state.items()})
    held_out = [_square(picture) for picture in _pictures(HELD_OUT)]
    shown = [(picture, _decode(encoder, decoder, picture)) for picture in held_out]
    values = _judge(encoder, shown) | {
        "size_mb": sum(value.numel() for value in state.values()) * 2 / 1e6,
        "n_parameters": sum(p.numel() for p in decoder.parameters()),
    }
    if config.save:
        save_file(state, config.save)
        side = json.dumps(_side(config, values), indent=1) + "\n"
        Path(config.save).with_suffix(".json").write_text(side, encoding="utf-8")
    losses = result.history["loss"]
    data_out = {"loss": losses[:: max(1, len(losses) // 400)].tolist(), "pictures": [_png(pair) for pair in shown]}
    return Measured(values, data=data_out, deviations=() if trained else ("VGG-16 with random weights",))


def _side(config: Config, values: dict[str, float]) -> dict[str, Any]:
    """Say what the weights are, how they came about, on which pictures, and how good they are."""
    pictures = [{"file": f"{p}/{name}", "licence": licence, "credit": whose} for p, name, licence, whose in TRAINING]
    films = [{"file": name, "licence": licence, "credit": whose} for name, _, licence, whose in FILMS]
    recipe = {key: value for key, value in asdict(config).items() if key not in ("save", "seed")}
    return {
        "what": "decoder of relu4_1 of the original VGG-16 (Simonyan & Zisserman 2015, CC BY 4.0) to sRGB codes",
        "recipe": "experiments/neurofovea_decoder.py, profile paper",
        "settings": recipe,
        "seed": config.seed,
        "licence": "that of this package; trained only on the pictures below",
        "n_parameters": values["n_parameters"],
        "training_pictures": pictures + films,
        "held_out_psnr_db": {
            "mean": values["psnr_db"], "coffee": values["psnr_coffee_db"], "china": values["psnr_china_db"]
        },
        "held_out_gradient_energy_kept": values["gradient_energy_kept"],
        "held_out_relu4_1_correlation": values["relu4_1_correlation"],
    }  # fmt: skip


def _png(pair: tuple[Tensor, Tensor]) -> str:
    pixels = np.round(255 * torch.cat(pair, -1).permute(1, 2, 0).numpy()).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _initialised(decoder: FeatureDecoder) -> FeatureDecoder:
    """Start with signals of one size through all layers (He et al. 2015) and a mid-grey picture."""
    layers = [layer for layer in decoder.layers if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    layers[-1].weight.data.mul_(0.1)
    nn.init.constant_(layers[-1].bias, 0.5)
    return decoder


class _Loss:
    """L1 of codes, of their gradients and of the encoder's relu2_1."""

    def __init__(self, encoder: nn.Sequential, config: Config) -> None:
        self.encoder, self.config = encoder, config

    def __call__(self, model: nn.Module, codes: Tensor) -> Tensor:
        codes = codes.contiguous(memory_format=torch.channels_last)
        half = torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.mixed_precision == "bf16")
        with torch.no_grad(), half:
            low = self.encoder[:RELU2_1](_codes_to_input(codes))
            features = self.encoder[RELU2_1:RELU4_1](low)
        decoded = model(features.float()).float()
        with half:
            again = self.encoder[:RELU2_1](_codes_to_input(decoded))
        error = decoded - codes
        loss = error.abs().mean()
        slopes = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        texture = (again.float() - low.float()).abs().mean() / low.float().abs().mean()
        return loss + self.config.gradient_weight * slopes + self.config.feature_weight * texture


def _encoder() -> tuple[nn.Sequential, bool]:
    """Return the layers of VGG-16 and whether they are trained."""
    folder = os.environ.get("NEUROPERC_DATA")
    path = Path(folder) / WEIGHTS if folder else None
    net = nets.load("vgg16", weights=path, random_state=0)
    layers = net.net.features[:RELU4_1].eval().requires_grad_(False).to(memory_format=torch.channels_last)
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # relu2_1 is kept
    return layers, path is not None


def _codes_to_input(codes: Tensor) -> Tensor:
    mean = codes.new_tensor((123.68, 116.779, 103.939))[:, None, None]
    return 255 * codes - mean


def _pictures(files: Sequence[tuple[str, str, str, str]]) -> list[Tensor]:
    """Codes (3, h, w) of pictures inside installed packages."""
    found = []
    for package, name, *_ in files:
        folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
        with Image.open(folder / name) as picture:
            found.append(_codes(np.asarray(picture.convert("RGB"))))
    return found


def _frames() -> list[Tensor]:
    """Codes of film frames, when there are such."""
    found, folder = [], os.environ.get("NEUROPERC_DATA")
    for name, every, *_ in FILMS:
        if folder and (Path(folder) / name).is_file():
            with av.open(str(Path(folder) / name)) as film:
                frames = enumerate(film.decode(video=0))
                found += [_codes(frame.to_ndarray(format="rgb24")) for k, frame in frames if k % every == 0]
    return found


def _codes(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def _square(picture: Tensor, side: int = 256) -> Tensor:
    """Scale the middle of a picture to (3, side, side)."""
    height, width = picture.shape[1:]
    cut = min(height, width)
    top, left = (height - cut) // 2, (width - cut) // 2
    middle = picture[None, :, top : top + cut, left : left + cut]
    return functional.interpolate(middle, (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)


@torch.no_grad()
def _decode(encoder: nn.Sequential, decoder: nn.Module, picture: Tensor) -> Tensor:
    return decoder(encoder(_codes_to_input(picture[None])))[0].clamp(0, 1)


@torch.no_grad()
def _judge(encoder: nn.Sequential, shown: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """PSNR of codes, share of gradient energy that is left, and correlation of relu4_1, mean over pictures."""
    ratios, kept, agreement = [], [], []
    for picture, decoded in shown:
        ratios.append(-10 * float((picture - decoded).square().mean().log10()))
        energy = [float(p.diff(dim=-1).square().mean()) for p in (decoded, picture)]
        kept.append(energy[0] / energy[1])
        maps = [encoder(_codes_to_input(p[None])).flatten() for p in (picture, decoded)]
        agreement.append(float(torch.corrcoef(torch.stack(maps))[0, 1]))
    return {
        "psnr_db": float(np.mean(ratios)), "psnr_coffee_db": ratios[0], "psnr_china_db": ratios[1],
        "gradient_energy_kept": float(np.mean(kept)), "relu4_1_correlation": float(np.mean(agreement)),
    }  # fmt: skip


def plot(result: Result) -> Figure:
    """Draw the loss, and the held-out pictures beside what the decoder makes of their features."""
    with npplot.style():
        canvas = npplot.figure(1, 3, width_in=4, height_in=2.3)
        loss, *panels = canvas.axes
        steps = np.linspace(0, result.config["steps"], len(result.data["loss"]))
        loss.plot(steps, result.data["loss"], lw=0.8)
        loss.set(xlabel="step", ylabel="training loss", yscale="log")
        loss.set_yticks((0.1, 0.2, 0.4), ("0.1", "0.2", "0.4"))
        loss.minorticks_off()
        for ax, pixels in zip(panels, result.data["pictures"], strict=True):
            ax.imshow(Image.open(io.BytesIO(base64.b64decode(pixels))))
            ax.set_title("held out | decoded")
            ax.set_axis_off()
    return canvas
