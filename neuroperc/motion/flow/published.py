"""The layout of the authors' files, and how its parameters go where they belong here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..._check import check, fail
from ...nets.checkpoints import read_state_dict
from .sensing import EnergyUnits

#: Theirs to ours, by prefix.
_RENAMED = {
    "MT.layers.att_proj": "stage2.project",
    "MT.layers.v_proj": "stage2.send",
    "MT.layers.merge": "stage2.merge",
    "MT.layers.norm1": "stage2.merge_norm",
    "MT.layers.mlp": "stage2.mix",
    "MT.layers.norm2": "stage2.mix_norm",
    "MT.layers.attn_updater.proj": "stage2.attention_message",
    "MT.layers.attn_updater.norm": "stage2.attention_norm",
    "MT.layers.attn_updater.conv": "stage2.attention_mix",
    "MT.re_proj": "stage2.read",
    "MT.norm_k": "stage2.gain",
    "MT.norm_sigma": "stage2.semisaturation",
    "decoder.predict_flow.0": "decoder.flow",
    **{f"decoder.conv{i + 1}.0": f"decoder.layers.{i}" for i in range(4)},
    "upsampler": "upsampler.weights",
    "fuse": "fuse",
    "ffv2.0.re_projection.0": "features.squash",
    "ffv2.0.basic_encoder.conv1": "features.stem",
    "ffv2.0.norm_k": "features.gain",
    "ffv2.0.norm_sigma": "features.semisaturation",
}
_GATES = {"convz": "update", "convr": "reset", "convq": "candidate"}
for _theirs, _ours in (("MT.layers.gru", "value_gru"), ("MT.layers.attn_updater.gru", "attention_gru")):
    for _gate, _name in _GATES.items():
        _RENAMED |= {f"{_theirs}.{_gate}{i + 1}": f"stage2.{_ours}.{_name}.{i}" for i in range(2)}
_BLOCKS = ("layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1")
for _index, _block in enumerate(_BLOCKS):
    _RENAMED |= {
        f"ffv2.0.basic_encoder.{_block}.{theirs}": f"features.blocks.{_index}.{ours}"
        for theirs, ours in (("conv1", "first"), ("conv2", "second"), ("downsample.0", "shortcut"))
    }
_SPATIAL = {"fs": "sf", "thetas": "theta", "sigmas": "sd", "gammas": "aspect", "psis": "phase"}
_TEMPORAL = {"ft": "tf", "tao": "tau"}
_SHARED = {"spontaneous_firing": "spontaneous", "norm_k": "gain", "norm_sigma": "semisaturation"}


def names(units: EnergyUnits, theirs: str, several: bool) -> Iterator[tuple[str, str, int]]:
    """Yield (their name, our parameter, scale) of the parameters that have a row a scale."""
    for scale in range(units.n_scales):
        at = f".{scale}" if several else ""
        yield from ((f"{theirs}.spatial_filter{at}.{a}", b, scale) for a, b in _SPATIAL.items())
        yield from ((f"{theirs}.temporal_filter{at}.{a}", b, scale) for a, b in _TEMPORAL.items())


def _take(state: dict[str, Tensor], name: str) -> Tensor:
    if name not in state:
        fail("path", "a file of the published layout", f"one without {name}",
             f"It holds {', '.join(sorted(state)[:5])} ...: was another model saved?")  # fmt: skip
    return state.pop(name)


def _sensed(state: dict[str, Tensor], units: EnergyUnits, theirs: str, ours: str, several: bool) -> dict[str, Tensor]:
    """Return our parameters of energy units, taken out of theirs."""
    found: dict[str, Any] = {}
    for name, parameter, scale in names(units, theirs, several):
        found.setdefault(parameter, {})[scale] = _take(state, name).reshape(-1)
    made = {f"{ours}.{name}": torch.stack([rows[s] for s in sorted(rows)]) for name, rows in found.items()}
    made |= {f"{ours}.{b}": _take(state, f"{theirs}.{a}").reshape(()) for a, b in _SHARED.items()}
    pooling = _take(state, f"{theirs}.temporal_pooling")
    return made | {f"{ours}.pooling": pooling.reshape(units.n_scales, -1, pooling.shape[-1])}


def renamed(state: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Return our state dict of theirs; raise for what is missing or left over."""
    left = {name.removeprefix("module."): value for name, value in state.items()}
    left = {name: value for name, value in left.items() if not name.endswith(".indices")}  # grids, made anew
    made = _sensed(left, model.stage1, "ffv1", "stage1", several=True)
    if model.features is not None:
        made |= _sensed(left, model.features.units, "ffv2.1", "features.units", several=False)
    for theirs, ours in _RENAMED.items():
        for name in [n for n in left if n == theirs or n.startswith(f"{theirs}.")]:
            value = left.pop(name)
            scalar = ours.endswith((".gain", ".semisaturation"))
            made[ours + name[len(theirs) :]] = value.reshape(()) if scalar else value
    check(not left, "path", "a file of the published layout", f"one with {', '.join(sorted(left)[:5])}",
          "Was another model saved?")  # fmt: skip
    return made


def from_published(kind: Any, path: str | os.PathLike[str], settings: dict[str, Any]) -> Any:
    """Build and fill a `TwoStageMotion`."""
    unknown = sorted(set(settings) - {"edge", "n_iterations", "chunk_places"})
    check(not unknown, "settings", "edge, n_iterations or chunk_places", unknown, "The file decides the rest.")
    state = read_state_dict(os.fspath(path))
    second = any(name.removeprefix("module.").startswith("ffv2.") for name in state)
    model = kind(higher_order=second, **settings)
    made = renamed(dict(state), model)
    wanted = model.state_dict()
    wrong = sorted(n for n in wanted if n not in made or made[n].shape != wanted[n].shape)
    check(not wrong, "path", "a file of the published layout and sizes", f"another at {', '.join(wrong[:5])}",
          "Was another model saved?")  # fmt: skip
    model.load_state_dict({name: value.float() for name, value in made.items()})
    return model.eval()
