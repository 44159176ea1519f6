"""Networks as observers: which layer stands for which area, and which networks are worth a try."""

from __future__ import annotations

from typing import NamedTuple

from .._check import one_of

#: Visual areas in the order of the ventral stream; "behavior" is the read-out.
REGIONS = ("V1", "V2", "V4", "IT", "behavior")

_CROSSVIT = "blocks.1.blocks.1"  # the second stage, its stream of 16-pixel patches
#: Layer of each area, by network: what their authors, or Brain-Score's registry, committed to.
REGION_LAYERS: dict[str, dict[str, str]] = {
    "crossvit_18_dagger_408": {
        "V1": f"{_CROSSVIT}.0.norm1",
        "V2": f"{_CROSSVIT}.0.mlp.act",
        "V4": f"{_CROSSVIT}.0.mlp.act",
        "IT": f"{_CROSSVIT}.4.norm2",
        "behavior": "blocks.2.revert_projs.1.2",
    },
    "alexnet": {"V1": "features.2", "V2": "features.7", "V4": "features.7", "IT": "features.12"},
}


class Observer(NamedTuple):
    """A candidate network: its family, its name for `load`, and its layers from first to last, by globs.

    Examples
    --------
    >>> OBSERVERS["efficientvit_m0"].layers
    ('patch_embed', 'stages.?')
    """

    family: str
    name: str
    layers: tuple[str, ...]


#: Candidate networks by name. Their papers' weights come with ``load(name)`` where the library can reach them.
OBSERVERS: dict[str, Observer] = {
    name: Observer(family, name, layers)
    for family, name, layers in (
        ("CrossViT", "crossvit_18_dagger_408", ("blocks.?.blocks.1.?", "blocks.2.revert_projs.1")),
        ("MaxViT", "maxvit_tiny_tf_224", ("stem", "stages.?")),
        ("EfficientViT (MSRA)", "efficientvit_m0", ("patch_embed", "stages.?")),
        ("SHViT", "shvit_s1", ("patch_embed", "stages.?")),
        ("HaloNet", "halonet26t", ("stem", "stages.?")),
        ("MambaOut", "mambaout_femto", ("stem", "stages.?")),
        ("ConvNeXt", "convnext_atto", ("stem", "stages.?")),
        ("EfficientNet", "tf_efficientnet_lite0", ("conv_stem", "blocks.?", "conv_head")),
        ("MobileNet", "mobilenet_v2", ("features.?", "features.1?")),
        ("SqueezeNet", "squeezenet1_1", ("features.?", "features.1?")),
        ("ResNet", "resnet50", ("maxpool", "layer?")),
        ("AlexNet", "alexnet", ("features.2", "features.5", "features.7", "features.9", "features.12")),
        ("VGG", "vgg16", ("features.4", "features.9", "features.16", "features.23", "features.30")),
    )
}


def region_layers(name: str) -> dict[str, str]:
    """Return the layer that stands for each visual area in a network.

    Parameters
    ----------
    name
        As for `load`, without a prefix: one of ``"crossvit_18_dagger_408"`` [1]_ and ``"alexnet"`` [2]_.

    Returns
    -------
    dict
        Area to layer path: "V1", "V2", "V4", "IT", and "behavior" where a read-out was named.

    Raises
    ------
    ValueError
        For a network without a known commitment.

    References
    ----------
    .. [1] W Berrios, A Deza (2022). Joint rotational invariance and adversarial training of a dual-stream Transformer
       yields state of the art Brain-Score for area V4. The layers are those of the authors' submission; the net takes
       224 x 224 pixels (``preprocess={"size_px": 224, "resize_px": None}``) and resamples inside.
    .. [2] M Schrimpf et al. (2018). Brain-Score: which artificial neural network is most brain-like?
       doi:10.1101/407007. The layers are those of its registry.

    Examples
    --------
    >>> region_layers("crossvit_18_dagger_408")["V4"]
    'blocks.1.blocks.1.0.mlp.act'
    """
    return dict(REGION_LAYERS[one_of("name", name, tuple(REGION_LAYERS))])
