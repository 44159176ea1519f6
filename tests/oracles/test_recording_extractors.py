"""record beside other ways to read layers: torchvision's extractor, timm's intermediates, and real neurons."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from timm.layers import Conv2dSame
from torchvision.models.feature_extraction import create_feature_extractor

import neuroperc as npc
from neuroperc import nets
from neuroperc.data import StimulusSet, sample_image
from neuroperc.recording import list_layers, record


def photographs(n, size):
    image = sample_image("china")[0]
    found = torch.stack([image[:, 20 * k : 20 * k + size, 60 * k : 60 * k + size] for k in range(n)])
    display = npc.Display.from_px_per_deg(16, resolution_px=(size, size))
    return StimulusSet.from_arrays(found, display=display), found


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        # Its extractor hands out convolutions that the next layer's in-place ReLU has overwritten; record does not.
        ("squeezenet1_1", ["features.1", "features.6.expand1x1_activation", "classifier"]),
        ("tf_efficientnet_lite0", ["conv_stem", "blocks.2.0", "global_pool"]),
    ],
)
def test_equals_torchvisions_extractor(name, layers):
    stimuli, pixels = photographs(3, 96)
    net = nets.load(name, weights=None, random_state=2, preprocess={"size_px": 96, "resize_px": None})
    extractor = create_feature_extractor(net.net, return_nodes=layers, tracer_kwargs={"leaf_modules": [Conv2dSame]})
    got = record(net, stimuli, layers, batch_size=3)
    with torch.no_grad():
        expected = extractor(net.preprocess(pixels))
    for layer in layers:
        np.testing.assert_allclose(
            got.values[:, got.layer.values == layer], expected[layer].flatten(1).numpy(), rtol=1e-4, atol=1e-5
        )


def test_equals_timms_intermediates_where_tracing_fails():
    """A small CrossViT: two streams in a list, which torch.fx cannot trace."""
    stimuli, pixels = photographs(2, 240)
    net = nets.load("crossvit_tiny_240", weights=None, random_state=2)
    with pytest.raises(Exception):  # noqa: B017  # whatever torch.fx raises here
        create_feature_extractor(net.net, return_nodes=["blocks.1"])
    got = record(net, stimuli, "blocks.1", visual_deg=15)
    assert list(dict.fromkeys(got.layer.values)) == ["blocks.1:0", "blocks.1:1"]
    with torch.no_grad():
        first, second = net.net.blocks[0], net.net.blocks[1]
        streams = second(first(split(net.net, net.preprocess.whole()(pixels))))
    for k, stream in enumerate(streams):
        mine = got.values[:, got.layer.values == f"blocks.1:{k}"]
        np.testing.assert_allclose(mine, stream.flatten(1).numpy(), rtol=1e-4, atol=1e-4)


def split(net, x):
    """The two patch streams as CrossViT's own forward makes them, up to its first block."""
    kept = []
    handle = net.blocks[0].register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    net(x)
    handle.remove()
    return [part.clone() for part in kept[0]]


@pytest.mark.slow
def test_crossvit_layers_of_the_published_model():
    """Paths and sizes that Berrios & Deza (2022) commit to: V1, V2 = V4, IT and behaviour."""
    stimuli, _ = photographs(1, 224)
    net = nets.load("crossvit_18_dagger_408", weights=None)
    assert sum(p.numel() for p in net.parameters()) == 44_606_560
    table = list_layers(net, stimuli).set_index("layer")
    stem = "blocks.1.blocks.1"
    expected = {
        f"{stem}.0.norm1": ((577, 448), 258_496),
        f"{stem}.0.mlp.act": ((577, 1344), 775_488),
        f"{stem}.4.norm2": ((577, 448), 258_496),
        "blocks.2.revert_projs.1.2": ((1, 448), 448),
    }
    assert {layer: (tuple(table["shape"][layer]), table["units"][layer]) for layer in expected} == expected


@pytest.mark.slow
def test_trained_layers_predict_v4_better_than_random_ones(data_dir, tmp_path):
    """Session 210325: 50 neurons; the first 240 of its pictures, kernel ridge on ten shuffled splits."""
    folder = data_dir / "brainscore" / "cowley2023_v4"
    with zipfile.ZipFile(folder / "images" / "images_210325.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:240]
        pictures = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) / 255.0 for name in names]
    neurons = np.load(folder / "responses_repeat_averaged" / "responses_210325.npy").T[:240]
    display = npc.Display.from_px_per_deg(14, resolution_px=(112, 112))
    pixels = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32)
    stimuli = StimulusSet.from_arrays(pixels, display=display, encoding="srgb")
    trained = nets.efficientnet_lite0(preprocess={"size_px": 112, "resize_px": None})
    random = nets.load("tf_efficientnet_lite0", weights=None, preprocess=trained.preprocess)
    scores = [
        ridge_r(record(net, stimuli, "blocks.4", store=tmp_path, memory_bytes=2**20).values, neurons)
        for net in (trained, random)
    ]
    assert scores[0] > 0.45 and scores[0] > scores[1] + 0.15, scores


def ridge_r(features, neurons):
    """Median over neurons of the mean correlation on held-out pictures."""
    centred = features.astype(np.float64) - features.mean(0)
    gram = centred @ centred.T
    rng, found = np.random.default_rng(1), []
    for _ in range(10):
        order = rng.permutation(len(gram))
        train, test = order[24:], order[:24]
        mean = neurons[train].mean(0)
        inner = gram[np.ix_(train, train)]
        weights = np.linalg.solve(inner + np.trace(inner) / len(train) * np.eye(len(train)), neurons[train] - mean)
        guess = gram[np.ix_(test, train)] @ weights + mean
        found.append([np.corrcoef(a, b)[0, 1] for a, b in zip(guess.T, neurons[test].T, strict=True)])
    return float(np.median(np.mean(found, 0)))
