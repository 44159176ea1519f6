"""Which layers tell a picture from one with its texture, or from a corrupted one, and what a layer keeps of a picture.

Partners are made here, with `TextureModel` and `synthesize`. Each is kept under ``experiments/.progress``, and so is
each inversion: a run that was cut off goes on with the next one.
"""

import base64
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional

import neuroperc as npc
from neuroperc import plot as npplot
from neuroperc.encoding.corruptions import FAMILIES
from neuroperc.experiment import Measured, Result
from neuroperc.metamers.emergent import run_interval

FOLDER = Path("brainscore") / "cowley2023_v4"
SIZE_DEG = 8.0  # of a whole photograph, nominal; layers see the square of it, whatever it is
NO_DATA = (
    "crops of three packaged photographs: NEUROPERC_DATA holds no V4 session, whose photographs are shown otherwise"
)
SHOWN = 3  # pictures in the figure
READOUTS = ("every place", "mean over places")


@dataclass(frozen=True)
class Config:
    """Pictures, the texture model and its steps, layers, what is inverted, and how pictures are corrupted."""

    session: str
    n_pictures: int
    size_px: int  # a square in the middle, inside the session's round aperture
    n_scales: int
    neighborhood_px: int
    steps: int
    layers: tuple[str, ...]
    inverted: tuple[str, ...]
    inversion_steps: int
    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    n_resamples: int
    seed: int
    keep: bool


def run(config: Config, progress: bool = False) -> Measured:
    """Make partners, compare them layer by layer in a trained and a random network; corrupt; invert."""
    torch.set_num_threads(1)
    originals, deviations = _originals(config)
    partners, facts = _partners(config, originals, progress)
    trained = npc.nets.efficientnet_lite0(preprocess={"resize_px": None})
    random = npc.nets.load("tf_efficientnet_lite0", weights=None, preprocess=trained.preprocess)
    found = {name: _compared(config, net, originals, partners) for name, net in _nets(trained, random).items()}
    corrupted = _corrupted(config, trained, originals)
    pictures = _packaged(config, SHOWN)  # drawn in the figure: the photographs of the session are not ours to pass on
    textures, _ = _partners(config, pictures, progress)
    inverted = {layer: _inverted(config, trained, pictures, layer) for layer in config.inverted}
    paired = _paired(found["trained"]["mean over places"], found["random weights"]["mean over places"])
    values: dict[str, Any] = facts | _claims(config, found, corrupted, inverted)
    values["trained_minus_random"] = paired[0]
    intervals = {"trained_minus_random": paired[1:], "known_by_place": values.pop("known_by_place_interval")}
    if not config.keep:  # too few for claims
        values = facts | {"unjudged": values} | dict.fromkeys(key for key in values if key not in facts)
        intervals = {}
    text = "; ".join(
        f"{name}, {readout}: {each['relative'][-1]:.3f}"
        for name, both in found.items()
        for readout, each in both.items()
    )
    data = {
        "layers": list(config.layers), "found": found, "corrupted": corrupted,
        "pictures": _packed([pictures[i] for i in range(SHOWN)]),
        "partners": _packed([textures[i] for i in range(SHOWN)]),
        "inverted": {"picture": _packed([pictures[0]])}
        | {name: _packed([one.image]) for name, one in inverted.items()},
    }  # fmt: skip
    return Measured(values, intervals, "95 % interval over pictures", data, deviations,
                    f"distance of partners over that of other pictures in {config.layers[-1]}: {text}")  # fmt: skip


def _nets(trained: Any, random: Any) -> dict[str, Any]:
    for net in (trained, random):
        net.net.to(memory_format=torch.channels_last)  # the same numbers to rounding, faster
    return {"trained": trained, "random weights": random}


def _screen(config: Config) -> npc.Display:
    return npc.Display.from_px_per_deg(14, resolution_px=(config.size_px, config.size_px))


def _originals(config: Config) -> tuple[npc.StimulusSet, list[str]]:
    """Return photographs that monkeys saw, drawn once; without them crops of packaged photographs."""
    folder, rng = Path(os.environ.get("NEUROPERC_DATA", "")) / FOLDER, np.random.default_rng(config.seed)
    if folder.is_dir():
        screen = npc.Display.from_px_per_deg(14, resolution_px=(112, 112))
        shown = npc.data.read_cowley_stimuli(folder, config.session, display=screen, size_deg=SIZE_DEG)
        ids = [shown.ids[i] for i in np.sort(rng.permutation(len(shown))[: config.n_pictures])]
        return _set(config, ids, torch.stack([shown[name] for name in ids])), []
    return _packaged(config, config.n_pictures), [NO_DATA]


def _packaged(config: Config, n: int) -> npc.StimulusSet:
    """Return crops of three packaged photographs."""
    screen = npc.Display.from_px_per_deg(20, resolution_px=(256, 256))
    wide = [npc.data.sample_image(name, screen, fit="resize")[0] for name in ("china", "flower", "grace_hopper")]
    corners = np.random.default_rng(config.seed).integers(256 - 112, size=(n, 2))
    crops = [wide[i % 3][:, t : t + 112, s : s + 112] for i, (t, s) in enumerate(corners)]
    return _set(config, [f"crop{i}" for i in range(n)], torch.stack(crops))


def _set(config: Config, ids: Any, light: Tensor) -> npc.StimulusSet:
    """Return the grey middle of pictures (n, c, h, w), in three channels."""
    edge = (light.shape[-1] - config.size_px) // 2
    grey = npc.color.luminance(light)[..., edge : edge + config.size_px, edge : edge + config.size_px]
    return npc.StimulusSet.from_arrays(grey.expand(-1, 3, -1, -1), display=_screen(config), ids=list(ids))


def _kept(config: Config, name: str, make: Callable[[], npc.Metamer]) -> npc.Metamer:
    """Return the picture that an earlier run has made, or make and keep it; the folder's name says from what."""
    if not config.keep:
        return make()
    about = {key: value for key, value in dataclasses.asdict(config).items() if key not in ("keep", "n_resamples")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    folder = Path(__file__).parent / ".progress" / f"texture_matched_layers-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{name}.json").is_file():
        make().save(folder / name)
    return npc.Metamer.load(folder / name)


def _partners(config: Config, originals: npc.StimulusSet, progress: bool) -> tuple[npc.StimulusSet, dict[str, Any]]:
    """Return a picture with the texture statistics of each original, and how near and how different they are."""
    model = npc.metamers.TextureModel(_screen(config), n_scales=config.n_scales, encoding="srgb",
                                      neighborhood_px=config.neighborhood_px)  # fmt: skip
    first, made = torch.stack([originals[i] for i in range(len(originals))])[:, :1], []
    for i, (name, picture) in enumerate(zip(originals.ids, first, strict=True)):
        start = _shuffled(picture, config.seed + i)
        made.append(_kept(config, name, lambda picture=picture, start=start: npc.synthesize(  # type: ignore[misc]
            model, picture, init=start, optimizer="lbfgs", steps=config.steps, progress=progress)))  # fmt: skip
    second = torch.stack([one.image for one in made])
    with torch.no_grad():
        a, b = model(first).flatten(1).double(), model(second).flatten(1).double()
    own, other = (a - b).square().sum(1).mean(), torch.cdist(a, a).square().sum() / (len(a) * (len(a) - 1))
    ssim = npc.metrics.ssim(*(npc.color.linear_to_srgb(x) for x in (first, second)), data_range=1.0).flatten().tolist()
    facts = {"matched": float(own / other), "another_picture": float(np.median(ssim)), "ssim": ssim}
    return _set(config, [f"{name} matched" for name in originals.ids], second), facts


def _shuffled(picture: Tensor, seed: int) -> Tensor:
    """Return the picture's pixels in another order: its histogram, nothing else; off 0 and 1, where slopes vanish."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(picture[0].numel()))
    return picture.flatten(1)[:, order].reshape(picture.shape).clamp(0.02, 0.98)


def _means(units: xr.DataArray) -> xr.DataArray:
    """Return each layer's channels, averaged over places."""
    parts, labels, shapes = [], [], json.loads(units.attrs["layer_shapes"])
    for name, (channels, *_) in shapes.items():
        answers = units.values[:, units["layer"].values == name].astype(np.float32)
        parts.append(answers.reshape(len(answers), channels, -1).mean(axis=2))
        labels += [name] * channels
    return npc.data.make_responses(np.concatenate(parts, 1), stimulus_id=units["stimulus_id"].values, layer=labels)


def _record(config: Config, net: Any, *sets: npc.StimulusSet) -> xr.DataArray:
    found = [npc.record(net, one, list(config.layers), dtype="float16") for one in sets]
    return xr.concat(found, "presentation", combine_attrs="override") if len(found) > 1 else found[0]


def _compared(config: Config, net: Any, originals: npc.StimulusSet, partners: npc.StimulusSet) -> dict[str, Any]:
    units, found = _record(config, net, originals, partners), {}
    for readout, answers in zip(READOUTS, (units, _means(units)), strict=True):
        one = npc.encoding.compare_stimuli(answers, originals, partners, n_resamples=config.n_resamples,
                                           rng=config.seed)  # fmt: skip
        one = one.sel(layer=list(config.layers))
        found[readout] = {
            "relative": one.relative.values.tolist(), "interval": one.relative_interval.values.tolist(),
            "each": (one.each / one.baseline).values.tolist(), "rdm_agreement": one.rdm_agreement.values.tolist(),
        }  # fmt: skip
    return found


def _paired(first: dict[str, Any], second: dict[str, Any]) -> tuple[float, float, float]:
    """Return mean and interval over pictures of the difference in the last layer."""
    return run_interval(np.array(first["each"][-1]) - np.array(second["each"][-1]))


def _corrupted(config: Config, net: Any, originals: npc.StimulusSet) -> dict[str, Any]:
    """Return the last layer's relative distance to corrupted pictures: each family (severity, picture)."""
    light = torch.stack([originals[i] for i in range(len(originals))])
    large = functional.interpolate(light, size=(224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    screen = npc.Display.from_px_per_deg(28, resolution_px=(224, 224))
    clean = npc.StimulusSet.from_arrays(large, display=screen, ids=list(originals.ids))
    last = dataclasses.replace(config, layers=config.layers[-1:])
    before = _record(last, net, clean)
    names, rows = [f"{name} corrupted" for name in clean.ids], {}
    for kind in config.kinds:
        shown = [npc.encoding.corrupt_stimuli(clean, kind, s, rng=config.seed) for s in config.severities]
        after = [_record(last, net, one).assign_coords(stimulus_id=("presentation", names)) for one in shown]
        each = [
            npc.encoding.compare_stimuli(xr.concat([before, one], "presentation", combine_attrs="override"), clean.ids,
                                         names, n_resamples=2, rng=0) for one in after
        ]  # fmt: skip
        rows[kind] = np.stack([(one.each / one.baseline).values[0] for one in each])
    families = {family: [kind for kind in config.kinds if FAMILIES[kind] == family] for family in FAMILIES.values()}
    mean = {family: np.mean([rows[kind] for kind in kinds], axis=0) for family, kinds in families.items() if kinds}
    return {
        "severities": list(config.severities),
        "kinds": {kind: each.mean(axis=1).tolist() for kind, each in rows.items()},
        "families": {name: [run_interval(one) for one in each] for name, each in mean.items()},
    }  # fmt: skip


def _inverted(config: Config, net: Any, pictures: npc.StimulusSet, layer: str) -> npc.Metamer:
    return _kept(config, f"{pictures.ids[0]} inverted {layer}", lambda: npc.encoding.invert(
        net, pictures[0], layer, steps=config.inversion_steps, tv=0.1, jitter_px=2, rng=config.seed))  # fmt: skip


def _claims(config: Config, found: Any, corrupted: Any, inverted: dict[str, npc.Metamer]) -> dict[str, Any]:
    place, mean = (found["trained"][readout] for readout in READOUTS)
    by_severity = np.mean(list(corrupted["kinds"].values()), axis=0)
    return {
        "known_by_place": place["relative"][-1], "known_by_place_interval": place["interval"][-1],
        "known_by_mean": {config.layers[0]: mean["relative"][0], config.layers[-1]: mean["relative"][-1]},
        "inversion": {name: float(one.residuals["picture"]) for name, one in inverted.items()},
        "inversion_error": {name: float(one.residuals[name]) for name, one in inverted.items()},
        "severity": {f"s{s}": float(value) for s, value in zip(config.severities, by_severity, strict=True)},
    }  # fmt: skip


def _packed(pictures: list[Tensor]) -> str:
    """Return pictures side by side as the text of a PNG."""
    light = torch.cat([one.expand(3, -1, -1) for one in pictures], -1)
    codes = npc.color.linear_to_srgb(light).mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _unpacked(text: str) -> np.ndarray:
    """Return pictures (n, c, h, w) in codes from 0 to 1."""
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), dtype=float) / 255
    return np.stack(np.split(strip, strip.shape[1] // strip.shape[0], axis=1)).transpose(0, 3, 1, 2)


def plot(result: Result) -> Figure:
    """Draw partners and distances by layer; what a layer keeps, and distances by severity."""
    shown = {key: _unpacked(result.data[key]) for key in ("pictures", "partners")}
    with npplot.style():
        canvas = npplot.figure(2, 3, width_in=4.4, height_in=3.2)
        axes = canvas.axes
        rows = {"photograph": shown["pictures"], "its texture": shown["partners"]}
        npplot.picture_rows(rows, encoding="srgb", title="made to share texture statistics", ax=axes[0])
        for ax, readout in zip(axes[1:3], READOUTS, strict=True):
            _draw_layers(ax, readout, result)
        kept = result.data["inverted"]
        row = {"made from": np.concatenate([_unpacked(one) for one in kept.values()])}
        npplot.picture_rows(
            row, encoding="srgb", captions=list(kept), title="to which a layer answers alike", ax=axes[3]
        )
        _draw_families(axes[4], result)
        _draw_kinds(axes[5], result)
    return canvas


def _draw_layers(ax: Any, readout: str, result: Result) -> None:
    for name, found in result.data["found"].items():
        one = found[readout]
        npplot.layer_profile(
            result.data["layers"], one["relative"], interval=one["interval"], interval_of="95 % over pictures",
            quantity="distance of partners / of others", label=name, ax=ax,
        )  # fmt: skip
    ax.axhline(1, color="black", linestyle=":", linewidth=0.8)
    ax.set_xlabel(f"EfficientNet-Lite0, {readout} (dotted: as far as others)")


def _draw_families(ax: Any, result: Result) -> None:
    found = result.data["corrupted"]
    for name, rows in found["families"].items():
        middle, low, high = np.asarray(rows, dtype=float).T
        ax.errorbar(found["severities"], middle, (middle - low, high - middle), fmt="o-", label=name, elinewidth=1)
    ax.axhline(1, color="black", linestyle=":", linewidth=0.8)
    ax.set(xlabel="severity", ylabel="distance of corrupted / of others", ylim=(0, None), xticks=found["severities"])
    ax.legend(title=f"corruptions, {result.data['layers'][-1]}, trained; 95 % over pictures", ncol=2, title_fontsize=8,
              loc="lower left", bbox_to_anchor=(0, 1))  # fmt: skip


def _draw_kinds(ax: Any, result: Result) -> None:
    found = result.data["corrupted"]
    values = np.asarray(list(found["kinds"].values()), dtype=float)
    image = ax.imshow(values, cmap="cividis", aspect="auto", vmin=0)
    ax.set_xticks(range(len(found["severities"])), found["severities"])
    ax.set_yticks(range(len(values)), [name.replace("_", " ") for name in found["kinds"]], fontsize=7)
    ax.set(xlabel="severity")
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label="distance / of others", shrink=0.8)
