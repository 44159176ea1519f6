"""record and list_layers: what is recorded, what the model is shown, and what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import neuroperc as npc
from neuroperc import nets
from neuroperc.color import linear_to_srgb
from neuroperc.data import StimulusSet, sample_image
from neuroperc.data.responses import check_responses
from neuroperc.foveation import FoveatedBlur
from neuroperc.nets import Preprocess
from neuroperc.recording import list_layers, place_in_field, record
from neuroperc.recording.inputs import GRAY

DISPLAY = npc.Display.from_px_per_deg(4, resolution_px=(16, 24))


def crops(n=4, size=96):
    """Crops of three real photographs, linear light."""
    rng, found = np.random.default_rng(0), []
    for k in range(n):
        image = sample_image(("china", "flower", "grace_hopper")[k % 3])[0]
        y, x = (int(rng.integers(0, s - size)) for s in image.shape[-2:])
        found.append(image[:, y : y + size, x : x + size])
    return torch.stack(found)


def shown(pixels, *, encoding="linear", ppd=12, **more):
    display = npc.Display.from_px_per_deg(ppd, resolution_px=tuple(pixels.shape[-2:]))
    return StimulusSet.from_arrays(pixels, display=display, encoding=encoding, **more)


@pytest.fixture(scope="module")
def lite0():
    return nets.efficientnet_lite0()


class Nested(nn.Module):
    """A tuple holding a mapping and a list; one child that is called three times; one that is never called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.again, self.unused = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Linear(2, 2)
        self.pack = Pack()

    def forward(self, x):
        x = self.again(self.conv(x))
        x = self.again(x - 0.1)
        x = self.again(x - 0.1)
        return self.pack(x)["hidden"][1]


class Pack(nn.Module):
    def forward(self, x):
        return {"hidden": [x.mean(1), x.sum((2, 3))], "n": 3, "late": (x[:, :1],)}


RAW = {"preprocess": None, "encoding": "linear"}


def test_nested_outputs_and_repeated_calls():
    model, x = Nested(), torch.rand(3, 3, 8, 8)
    table = list_layers(model, x, **RAW)
    assert list(table["layer"]) == [
        "conv", "again@0", "again@1", "again@2", "pack:hidden.0", "pack:hidden.1", "pack:late.0", "output",
    ]  # fmt: skip
    assert table["shape"].tolist()[4:] == [(8, 8), (3,), (1, 8, 8), (3,)]
    assert table["megabytes"].to_numpy() == pytest.approx(table["units"].to_numpy() * 3 * 4 / 1e6)
    out = record(model, x, ["conv", "again", "pack:hidden.1"], batch_size=2, **RAW)
    with torch.no_grad():
        conv = model.conv(x)
        first = conv.relu()
        third = (((first - 0.1).relu()) - 0.1).relu()
    for layer, expected in (
        ("conv", conv),
        ("again@0", first),
        ("again@2", third),
        ("pack:hidden.1", third.sum((2, 3))),
    ):
        got = out.values[:, out.layer.values == layer]
        # Batches of another size may take another kernel; the in-place ReLU must not have reached "conv".
        np.testing.assert_allclose(got, expected.flatten(1).numpy(), atol=1e-5)
    assert json.loads(out.attrs["layer_shapes"])["again@1"] == [3, 8, 8]
    assert out.neuroid_id.values[out.layer.values == "again@1"].tolist() == list(range(192))
    check_responses(out)


def test_globs_order_and_own_output():
    model, x = Nested(), torch.rand(2, 3, 8, 8)
    layers = record(model, x, ["pack*", "again@1"], **RAW).layer.values
    assert list(dict.fromkeys(layers)) == ["again@1", "pack:hidden.0", "pack:hidden.1", "pack:late.0"]
    assert set(record(model, x, **RAW).layer.values) == {"output"}


def test_stops_after_the_last_layer():
    class Bomb(nn.Module):
        armed = False

        def forward(self, x):
            if self.armed:
                raise AssertionError("ran past the last layer")
            return x

    model = nn.Sequential(nn.Conv2d(3, 2, 3), Bomb())
    x = torch.rand(2, 3, 8, 8)

    def arm(module, inputs):
        model[1].armed = model[1].armed or inputs[0].shape[0] == 2

    model[1].register_forward_pre_hook(arm)  # the survey shows one stimulus and may run to the end
    assert record(model, x, "0", **RAW).shape == (2, 72)
    assert not model[1].armed


def test_lite0_on_photographs_equals_a_plain_hook(lite0):
    images = crops()
    got = record(lite0, shown(images), ["blocks.2", "conv_head"], batch_size=4)
    kept = {}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: kept.update({name: o.clone()}))
        for name, module in (("blocks.2", lite0.net.blocks[2]), ("conv_head", lite0.net.conv_head))
    ]
    with torch.no_grad():
        lite0(images)
    for handle in handles:
        handle.remove()
    for name, tensor in kept.items():
        np.testing.assert_allclose(got.values[:, got.layer.values == name], tensor.flatten(1), rtol=1e-4, atol=1e-4)
    assert got.attrs["source"].startswith("timm:tf_efficientnet_lite0")


def test_srgb_and_linear_files_of_one_picture_give_one_answer(lite0):
    images = crops(2).double()
    linear = record(lite0, shown(images), ["blocks.4", "classifier"])
    coded = record(lite0, shown(linear_to_srgb(images), encoding="srgb"), ["blocks.4", "classifier"])
    scale = float(np.abs(linear.values).max())
    assert float(np.abs(linear.values - coded.values).max()) <= 1e-5 * scale
    # Said wrongly, the same numbers give another answer: the encoding is not ignored.
    wrong = record(lite0, shown(images, encoding="srgb"), ["blocks.4", "classifier"])
    assert float(np.abs(linear.values - wrong.values).max()) > 0.05 * scale


@pytest.mark.parametrize(
    ("size", "field", "center", "shape", "top_left"),
    [
        (8, 8, (0, 0), (64, 64), (0, 0)),
        (8, 14, (0, 0), (112, 112), (24, 24)),
        ((8, 8), (10, 12), (0, 0), (80, 96), (8, 16)),
        (8, 16, (2, 1), (128, 128), (24, 48)),  # right is +x; up is fewer rows
        (8, 8.1, (0, 0), (65, 65), (0, 0)),  # half a pixel rounds to even, as in the rule
    ],
)
def test_canvas_vectors(size, field, center, shape, top_left):
    image = torch.rand(2, 3, 64, 64)
    canvas = place_in_field(image, size_deg=size, visual_deg=field, center_deg=center)
    assert canvas.shape == (2, 3, *shape)
    y, x = top_left
    assert torch.equal(canvas[..., y : y + 64, x : x + 64], image)
    outside = torch.ones(shape, dtype=torch.bool)
    outside[y : y + 64, x : x + 64] = False
    assert torch.all(canvas[..., outside] == torch.tensor(GRAY)) and pytest.approx(0.21586, abs=1e-5) == GRAY


@pytest.mark.parametrize(
    ("size", "field", "own", "expected"),
    [
        (8, 14, 0.0, 0.2245), (4, 14, 0.0, 0.3061), (4, 6, 0.0, 0.1852), (8, 8, 0.0, 0.0), (8, 6, 0.0, 0.0),
        (4, 14, 0.3105, 0.3146), (4, 6, 0.3105, 0.2311),  # the two fractions known of the texture set, a grey aperture
    ],
)  # fmt: skip
def test_gray_fractions_are_those_of_place_on_screen(size, field, own, expected):
    """Brain-Score counts grey pixels and divides by height x width x 3: (1 - (1 - own) (s / v)^2) / 3 of the canvas."""
    rng = np.random.default_rng(0)
    picture = 0.05 + 0.1 * torch.tensor(rng.random((3, 240, 240)))  # darker than grey everywhere
    grey = rng.permutation(240 * 240)[: round(own * 240 * 240)]
    picture.flatten(1)[:, grey] = GRAY
    codes = np.round(255 * linear_to_srgb(place_in_field(picture, size_deg=size, visual_deg=field)).numpy())
    found = (codes == 128).all(axis=0).sum() / codes.size
    share = min(1.0, (size / field) ** 2)
    assert found == pytest.approx((1 - (1 - own) * share) / 3, abs=1e-3)
    assert found == pytest.approx(expected, abs=2e-4)


def test_a_smaller_field_cuts_out_the_middle():
    image = torch.rand(3, 64, 64)
    assert torch.equal(place_in_field(image, size_deg=8, visual_deg=4), image[:, 16:48, 16:48])
    with pytest.raises(ValueError, match="widen visual_deg"):
        place_in_field(image, size_deg=8, visual_deg=4, center_deg=(30, 0))


def test_record_places_by_degrees_and_gaze():
    image = torch.zeros(1, 1, 8, 8)
    image[..., 2, 5] = 1.0  # 1.5 px right of and 1.5 px above the centre
    stimuli = shown(image, ppd=4)
    got = record(nn.Identity(), stimuli, visual_deg=4, preprocess=None, background=0.25).values.reshape(16, 16)
    assert np.argwhere(got == 1).tolist() == [[6, 9]] and (got == 0.25).sum() == 256 - 64
    moved = record(
        nn.Identity(), stimuli, visual_deg=4, preprocess=None, background=0.25, fixation_deg=(1, 0.5)
    ).values.reshape(16, 16)
    assert np.argwhere(moved == 1).tolist() == [[8, 5]]  # the gaze goes right and up, the picture left and down


def test_foveate_is_a_front_end():
    images = crops(3, 256)
    stimuli = shown(images, ppd=16)
    blur = FoveatedBlur(stimuli.display)
    gaze = np.array([[-7.0, 0], [0, 0], [6, 3]])
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    got = record(model, stimuli, foveate=blur, fixation_deg=gaze, preprocess=None, batch_size=2)
    expected = model(torch.cat([blur(images[k : k + 1], torch.tensor(gaze[k])) for k in range(3)]))
    np.testing.assert_allclose(got.values, expected.numpy(), atol=1e-5)
    plain = record(model, stimuli, preprocess=None)
    assert float(np.abs(plain.values - got.values).max()) > 0.01
    assert json.loads(got.attrs["shown"])["foveate"] == "FoveatedBlur"


def test_movies_frame_by_frame_and_frame_rates():
    movies = torch.rand(2, 5, 3, 8, 8)
    stimuli = StimulusSet.from_arrays(movies, display=npc.Display.from_px_per_deg(4, resolution_px=(8, 8)), fps=25)
    net = nets.Net(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), Preprocess(size_px=None))
    got = record(net, stimuli, "0", batch_size=1)
    assert got.dims == ("presentation", "neuroid", "time") and got.shape == (2, 72, 5)
    np.testing.assert_allclose(got.time, (np.arange(5) + 0.5) / 25)
    one = record(net, shown(movies[1], ppd=4), "0")
    np.testing.assert_allclose(got.values[1].T, one.values, atol=1e-6)

    class Motion(nn.Module):
        fps, time_dim = 30.0, 1

        def forward(self, x):
            return x.mean((3, 4))

    with pytest.raises(ValueError, match=r"stimuli\.fps must be the model's 30, got 25"):
        record(Motion(), stimuli, preprocess=None)
    timed = Motion()
    timed.fps = 25.0
    out = record(timed, stimuli, preprocess=None)
    assert out.shape == (2, 3, 5)
    with pytest.raises(ValueError, match="movies for this model, got pictures"):
        record(timed, shown(movies[0]), preprocess=None)


def test_modes_and_randomness_are_restored():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
    model[1].eval()
    x = torch.rand(4, 3, 4, 4)
    before = torch.get_rng_state()
    statistics = model[0].running_mean.clone()
    record(model, x, **RAW)
    assert model[0].training and not model[1].training and torch.equal(before, torch.get_rng_state())
    assert torch.equal(statistics, model[0].running_mean) and not model[0]._forward_hooks
    with pytest.raises(ValueError):
        record(model, torch.rand(4, 5, 4, 4), **RAW)
    assert model[0].training and not model[0]._forward_hooks


def test_dtypes_and_memory():
    x = torch.rand(4, 3, 8, 8)
    half = record(nn.Identity(), x, dtype="float16", **RAW)
    assert half.dtype == np.float16
    with pytest.raises(ValueError, match=r"Pass store=folder to stream it"):
        record(nn.Identity(), x, memory_bytes=1000, **RAW)
    with pytest.raises(ValueError, match=r"float32' holds larger numbers"):
        record(Scale(1e6), x, dtype="float16", **RAW)
    with pytest.warns(RuntimeWarning, match="layer output has no answer above 6.1e-05, .* use dtype"):
        assert not record(Scale(1e-9), x, dtype="float16", **RAW).any()
    assert not record(Scale(0), x, dtype="float16", **RAW).any()  # a silent layer is what it is
    assert record(Scale(1e-9), x, **RAW).any()


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x.flatten(1))


def test_complex_answers_are_refused():
    with pytest.raises(ValueError, match=r"answers must be real, got torch.complex64 in layer output"):
        record(Spectrum(), torch.rand(2, 3, 8, 8), **RAW)


def test_threads_that_share_a_model_take_turns():
    net, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(), nn.Conv2d(8, 8, 3)).train(), torch.rand(4, 30, 3, 16, 16)
    alone = [record(net, one, layers="*", batch_size=2, **RAW).values for one in x]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: record(net, one, layers="*", batch_size=2, **RAW).values, x))
    assert all(np.array_equal(a, b) for a, b in zip(alone, found, strict=True)) and net[1].training


class Recording(nn.Module):
    def forward(self, x):
        return torch.from_numpy(record(nn.Identity(), x, **RAW).values)


def test_a_model_may_record_another():
    x = torch.rand(4, 3, 8, 8)
    np.testing.assert_array_equal(record(Recording(), x, **RAW), x.flatten(1))


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Ragged(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x.flatten(0, 1)).unflatten(0, x.shape[:2])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: record(nn.Identity(), x, encoding="linear"), ValueError, "preprocess must be given for Identity"),
        (lambda x: record(nn.Identity(), x, preprocess=None), ValueError, "light or code values"),
        (lambda x: record(nn.Identity(), x, preprocess=3, encoding="linear"), TypeError, "a Preprocess"),
        (lambda x: record(lambda y: y, x, **RAW), TypeError, "Wrap a function in a module"),
        (lambda x: record(nn.Identity(), x.numpy(), **RAW), TypeError, "StimulusSet.from_arrays"),
        (lambda x: record(nn.Identity(), x[0], **RAW), ValueError, r"\(n, c, h, w\)"),
        (lambda x: record(nn.Identity(), x[:0], **RAW), ValueError, r"\(n, c, h, w\)"),
        (lambda x: record(Nested(), x, "agian@0", **RAW), ValueError, "Near names: again@0"),
        (lambda x: record(Nested(), x, "unused", **RAW), ValueError, "puts out nothing"),
        (lambda x: record(Nested(), x, [], **RAW), ValueError, "one or more names"),
        (lambda x: record(Ragged(), x, "inner", **RAW), ValueError, "one row a stimulus"),
        (lambda x: record(nn.Identity(), x, visual_deg=3, **RAW), ValueError, "no size in degrees"),
        (lambda x: record(nn.Identity(), shown(x), fixation_deg=(1, 1), preprocess=None), ValueError, "changes"),
        (
            lambda x: record(nn.Identity(), shown(x), fixation_deg=np.ones((7, 2)), visual_deg=1, preprocess=None),
            ValueError, "one for each of the 3 stimuli",
        ),
        (lambda x: record(nn.Identity(), shown(x), visual_deg=-1, preprocess=None), ValueError, "visual_deg"),
        (lambda x: record(nn.Identity(), shown(x), foveate="blur", preprocess=None), TypeError,
         r"foveate must be a front end that can be called, got blur. Make one, such as FoveatedBlur\(stimuli"),
        (lambda x: record(nn.Identity(), x, batch_size=0, **RAW), ValueError, "batch_size"),
        (lambda x: record(nn.Identity(), x, dtype="int8", **RAW), ValueError, "float16"),
        (lambda x: record(nn.Identity(), 2 * x + 1, **RAW), ValueError, r"within \[0, 1\]"),
        (lambda x: record(nn.Identity(), x * float("nan"), **RAW), ValueError, "finite"),
        (lambda x: record(Scale(float("inf")), x + 0.1, **RAW), ValueError, "NaN or infinity in layer output"),
        (lambda x: record(nn.Identity(), x, time_dim=0, **RAW), ValueError, "time_dim"),
        (lambda x: record(nn.Identity(), shown(x), encoding="srgb", preprocess=None), ValueError, "knows its own"),
    ],
)  # fmt: skip
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.9)


def test_the_result_is_a_lazy_or_loaded_array(tmp_path):
    x = torch.rand(6, 3, 8, 8)
    model = nn.Conv2d(3, 4, 3)
    model.preprocess = "its own"
    memory = record(model, x, encoding="linear")
    lazy = record(model, x, encoding="linear", store=tmp_path, memory_bytes=100)
    assert not isinstance(lazy.variable._data, np.ndarray)
    xr.testing.assert_identical(memory, lazy.compute())
    picked = lazy[[4, 1], 30:90:7]
    np.testing.assert_array_equal(picked.values, memory.values[[4, 1], 30:90:7])
    assert float(lazy[2, 5]) == float(memory[2, 5])
