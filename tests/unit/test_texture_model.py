"""TextureModel: shapes, names, weights, sizes, slopes, gazes, channels, and what it refuses."""

import math

import numpy as np
import pytest
import torch

import neuroperc as npc
from neuroperc import Display
from neuroperc.color import linear_to_srgb
from neuroperc.metamers import TextureModel

SHAPE = (40, 48)
DISPLAY = Display.from_px_per_deg(4, resolution_px=SHAPE)
SMALL = {"n_scales": 2, "n_orientations": 3, "neighborhood_px": 3}
GAZES = torch.tensor([[0.0, 0.0], [2.0, -1.0]], dtype=torch.float64)


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def display(*shape):
    return Display.from_px_per_deg(8, resolution_px=shape)


@pytest.mark.parametrize(("settings", "n_features"), [({}, 710), ({"n_scales": 3, "neighborhood_px": 9}, 785)])
def test_number_of_statistics(settings, n_features):
    """710 for the original's settings (Portilla and Simoncelli 2000, section 3)."""
    model = TextureModel(display(160, 160), **settings)
    assert model(random(2, 1, 160, 160)).shape == (2, n_features)


@pytest.mark.parametrize("scaling", [None, 0.8])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_groups_and_their_shapes(scaling, n_channels):
    model = TextureModel(DISPLAY, scaling=scaling, **SMALL)
    groups = model.statistics(random(2, n_channels, *SHAPE))
    shapes = {
        "pixel_statistics": (6,),
        "auto_correlation_magnitude": (3, 3, 3, 2),
        "skew_reconstructed": (3,),
        "kurtosis_reconstructed": (3,),
        "auto_correlation_reconstructed": (3, 3, 3),
        "std_reconstructed": (3,),
        "cross_orientation_correlation_magnitude": (3, 3, 2),
        "magnitude_std": (3, 2),
        "magnitude_mean": (3, 2),
        "cross_scale_correlation_magnitude": (3, 3, 1),
        "cross_scale_correlation_real": (3, 6, 1),
        "var_highpass_residual": (1,),
        "cross_channel_correlation_pixel": (),
        "cross_channel_correlation_reconstructed": (3,),
        "cross_channel_correlation_magnitude": (3, 3, 2),
    }
    if scaling is None:
        del shapes["magnitude_mean"]
    if n_channels == 1:
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("cross_channel")}
    last = () if scaling is None else (model.n_windows,)
    assert {name: tuple(values.shape) for name, values in groups.items()} == {
        name: (2, n_channels, *shape, *last) for name, shape in shapes.items()
    }  # three channels have three pairs


@pytest.mark.parametrize("scaling", [None, 0.8])
@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_every_feature_has_its_labels(scaling, n_channels):
    model = TextureModel(DISPLAY, scaling=scaling, **SMALL)
    x = random(1, n_channels, *SHAPE)
    labels, features, groups = model.labels_for(n_channels), model(x), model.statistics(x)
    assert {len(values) for values in labels.values()} == {features.shape[1]}
    chosen = (labels["statistic"] == "magnitude_std") & (labels["channel"] == n_channels - 1)
    values = features[0, torch.from_numpy(chosen)].reshape(3, 2, model.n_windows)
    values = values / (1 if scaling is None else torch.tensor([[20.0], [5.0]]))  # the weights of windows
    expected = groups["magnitude_std"][0, -1].reshape(3, 2, model.n_windows)
    torch.testing.assert_close(values, expected)
    assert np.array_equal(labels["scale"][chosen], np.tile(np.repeat([0, 1], model.n_windows), 3))
    assert np.allclose(labels["orientation_deg"][chosen], np.repeat([90, 30, 150], 2 * model.n_windows))
    assert set(labels["sf_cpd"][chosen]) == {1.0, 0.5}
    if scaling is not None:
        assert np.array_equal(labels["eccentricity_deg"][: model.n_windows], model.windows.eccentricity_deg)


def test_labels_order_scales_from_coarse_to_fine():
    """What changes when only the finest band changes is of scale 0, or of the pixels."""
    model = TextureModel(DISPLAY, **SMALL)
    x = random(1, 1, *SHAPE)
    checks = (-1.0) ** torch.arange(SHAPE[1]) * 0.01  # at Nyquist: the high-pass residual alone
    moved = ((model(x + checks) - model(x)).abs() > 1e-9)[0].numpy()
    labels = model.labels
    assert set(labels["statistic"][moved]) == {"pixel_statistics", "var_highpass_residual"}
    assert labels["scale"][moved].max() == 0
    assert (labels["scale"] == -1).sum() == 6
    assert labels["scale"].max() == 2


def test_weights_scale_groups_and_entries():
    x = random(1, 1, *SHAPE)
    plain = TextureModel(DISPLAY, **SMALL, weights={"pixel_statistics": 1, "var_highpass_residual": 1})
    default = TextureModel(DISPLAY, **SMALL)
    ratio = (default(x) / plain(x))[0]
    labels = plain.labels["statistic"]
    assert torch.equal(ratio[:6], torch.tensor([1.0, 1, 1, 1, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(ratio[torch.from_numpy(labels == "var_highpass_residual")], ratio.new_tensor([100.0]))
    assert (ratio[6:-1] == 1).all()
    other = TextureModel(DISPLAY, **SMALL, weights={"magnitude_std": [[1, 0]] * 3})
    kept = other(x)[0, torch.from_numpy(labels == "magnitude_std")]
    assert ((kept != 0) == torch.tensor([True, False] * 3)).all()
    windows = TextureModel(DISPLAY, scaling=0.8, **SMALL)
    means = windows(x)[0, torch.from_numpy(windows.labels["statistic"] == "magnitude_mean")].reshape(3, 2, -1)
    torch.testing.assert_close(means, windows.statistics(x)["magnitude_mean"][0, 0] * torch.tensor([[20.0], [5.0]]))
    for name, values in default.statistics(x).items():  # weights do not touch the statistics
        assert torch.equal(values, other.statistics(x)[name])


def test_windows_compress_skew_and_kurtosis():
    model, x = TextureModel(DISPLAY, scaling=0.8, **SMALL), random(1, 2, *SHAPE) ** 4
    labels, features = model.labels_for(2), model(x)[0]
    statistics = model.statistics(x)
    for name, function in (("skew_reconstructed", np.arcsinh), ("kurtosis_reconstructed", np.log)):
        found = features[torch.from_numpy(labels["statistic"] == name)].numpy()
        np.testing.assert_allclose(found, function(statistics[name].numpy()).ravel())
    pixels = features[torch.from_numpy(labels["statistic"] == "pixel_statistics")].numpy().reshape(2, 6, -1)
    expected = statistics["pixel_statistics"][0].numpy()
    expected[:, :2] *= np.array([10, 40])[:, None]  # weights
    np.testing.assert_allclose(pixels[:, 2], np.arcsinh(expected[:, 2]))
    np.testing.assert_allclose(pixels[:, 3], np.log(expected[:, 3]))
    np.testing.assert_allclose(pixels[:, :2], expected[:, :2])


@pytest.mark.parametrize("shape", [(37, 41), (40, 51), (33, 64), (130, 96)])
@pytest.mark.parametrize("scaling", [None, 0.7])
def test_any_size(shape, scaling):
    model = TextureModel(display(*shape), scaling=scaling, n_scales=3, n_orientations=2, neighborhood_px=5)
    x = random(1, 1, *shape).requires_grad_()
    features = model(x)
    assert features.isfinite().all()
    assert torch.autograd.grad(features.square().sum(), x)[0].isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [None, 0.5])
def test_a_screenful(scaling):
    """The pictures of Broderick and colleagues, which plenoptic's model refuses."""
    model = TextureModel(Display.from_px_per_deg(48.5, resolution_px=(2048, 2600)), scaling=scaling)
    features = model(random(1, 1, 2048, 2600).float())
    assert features.isfinite().all()


def patterns(kind, shape=(64, 64)):
    row, column = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    return {
        "grating": 0.5 + 0.5 * torch.cos(2 * math.pi * column / 8),
        "oblique grating": 0.5 + 0.5 * torch.cos(2 * math.pi * (3 * column + 5 * row) / 64),
        "square wave": (column % 16 < 8).float(),
        "checkerboard": ((column // 4 + row // 4) % 2).float(),
        "pixel checkerboard": ((column + row) % 2).float(),
        "black": torch.zeros(shape),
        "grey": torch.full(shape, 0.5),
        "one pixel": ((column == 10) & (row == 20)).float(),
        "half": (column < 32).float() * 0.3,
    }[kind]


PATTERNS = (
    "grating", "oblique grating", "square wave", "checkerboard", "pixel checkerboard", "black", "grey", "one pixel",
    "half",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scaling", [None, 0.7])
@pytest.mark.parametrize("kind", PATTERNS)
def test_finite_where_bands_are_empty(kind, scaling, dtype):
    """Values and slopes, for one channel and three, and correlations within their bounds."""
    model = TextureModel(display(64, 64), scaling=scaling, n_scales=3, neighborhood_px=5)
    for n_channels in (1, 3):
        x = patterns(kind).to(dtype).expand(1, n_channels, 64, 64).clone().requires_grad_()
        features = model(x)
        assert features.dtype == dtype
        assert features.isfinite().all()
        slope = torch.autograd.grad((features - 0.1).square().sum(), x)[0]
        assert slope.isfinite().all()
        for name, values in model.statistics(x.detach()).items():
            if "correlation" in name:
                assert values.abs().max() <= 1 + 1e-3, name


def test_rounding_does_not_decide_what_empty_bands_say():
    for kind in ("grating", "square wave", "checkerboard"):
        model = TextureModel(display(64, 64), n_scales=3)
        x = patterns(kind)[None, None]
        torch.testing.assert_close(model(x).double(), model(x.double()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scaling", [None, 0.8])
@pytest.mark.parametrize("n_orientations", [2, 3])  # filters are imaginary and real
def test_slopes_are_those_of_finite_differences(scaling, n_orientations):
    model = TextureModel(DISPLAY, scaling=scaling, **(SMALL | {"n_orientations": n_orientations}))
    x = random(1, 2, *SHAPE).requires_grad_()
    weight = random(model(x).shape[1], seed=1) - 0.5
    slope = torch.autograd.grad(model(x) @ weight, x)[0]
    for seed in (2, 3):
        along, step = random(1, 2, *SHAPE, seed=seed) - 0.5, 1e-6
        with torch.no_grad():
            rise = (model(x + step * along) - model(x - step * along)) @ weight / (2 * step)
        torch.testing.assert_close((slope * along).sum(), rise[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("scaling", [None, 0.8])
def test_second_derivatives(scaling):
    """Slopes written out by hand hand over to autograd's."""
    model = TextureModel(DISPLAY, scaling=scaling, **SMALL)
    x = random(1, 1, *SHAPE).requires_grad_()
    fast = torch.autograd.grad(model(x).sin().sum(), x)[0]
    slow = torch.autograd.grad(model(x).sin().sum(), x, create_graph=True)[0]
    torch.testing.assert_close(slow, fast)
    along = random(1, 1, *SHAPE, seed=1)
    curve = torch.autograd.grad((slow * along).sum(), x)[0]
    step = 1e-5
    ends = [torch.autograd.grad(model(x + sign * step * along).sin().sum(), x)[0] for sign in (1, -1)]
    torch.testing.assert_close(curve, (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-4 * float(curve.abs().max()))


@pytest.mark.parametrize("scaling", [None, 0.8])
def test_a_batch_is_its_items(scaling):
    model = TextureModel(DISPLAY, scaling=scaling, **SMALL)
    x = random(3, 2, *SHAPE)
    torch.testing.assert_close(model(x), torch.cat([model(item[None]) for item in x]), rtol=1e-9, atol=1e-12)


def test_a_gaze_per_item_equals_the_loop():
    model, x = TextureModel(DISPLAY, scaling=0.8, **SMALL), random(2, 1, *SHAPE)
    loop = torch.cat([model(x[i : i + 1], GAZES[i]) for i in range(2)])
    # Deviations of windows that hold one pixel are roots of rounding.
    torch.testing.assert_close(model(x, GAZES), loop, rtol=1e-9, atol=1e-7)
    there = TextureModel(DISPLAY, scaling=0.8, fixation_deg=(2.0, -1.0), **SMALL)
    torch.testing.assert_close(there(x[1:]), loop[1:], rtol=1e-6, atol=1e-9)


def test_gaussian_windows():
    model = TextureModel(DISPLAY, scaling=0.8, window="gaussian", **SMALL)
    x = random(1, 1, *SHAPE).requires_grad_()
    features = model(x)
    assert features.shape[1] == len(model.labels["scale"])
    assert torch.autograd.grad(features.square().sum(), x)[0].isfinite().all()


def test_encoding_names_what_is_measured():
    x = random(1, 1, *SHAPE)
    light, codes = (TextureModel(DISPLAY, encoding=encoding, **SMALL) for encoding in ("linear", "srgb"))
    assert light.preprocess is None
    torch.testing.assert_close(codes(x), light(linear_to_srgb(x)))
    assert not torch.allclose(codes(x), light(x))


def test_one_scale_has_none_to_compare_with():
    model = TextureModel(DISPLAY, n_scales=1, n_orientations=1, neighborhood_px=3)
    groups = model.statistics(random(1, 1, *SHAPE))
    assert not any(name.startswith("cross_scale") for name in groups)
    assert model(random(1, 1, *SHAPE)).shape[1] == len(model.labels["scale"])


def test_synthesis_approaches_the_target():
    """From white noise to blurred noise: the loss falls all the way, and every group comes nearer by far."""
    blurred = torch.nn.functional.avg_pool2d(random(1, 66, 68), 3, 1)[..., :64]
    target = (2 * (blurred - 0.5) + 0.5)[..., :64].clamp(0, 1).float()
    model = TextureModel(display(64, 64), n_scales=2, neighborhood_px=5)
    start = random(1, 64, 64, seed=1).float()
    metamer = npc.synthesize(model, target, steps=150, init=start)
    loss = metamer.loss
    assert loss[-1] < 0.02 * loss[0]
    assert (loss[10::10] < loss[:-10:10]).all()
    wanted, found, before = (model.statistics(x[None]) for x in (target, metamer.image, start))
    for name in ("magnitude_std", "auto_correlation_magnitude", "auto_correlation_reconstructed", "std_reconstructed"):
        assert (found[name] - wanted[name]).norm() < 0.2 * (before[name] - wanted[name]).norm(), name
    assert (metamer.image - target).abs().mean() > 0.05  # another picture


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, *SHAPE), ValueError, r"\(b, c, 40, 48\)"),
        (torch.zeros(1, 1, 48, 40), ValueError, "Give the Display"),
        (torch.full((1, 1, *SHAPE), math.nan), ValueError, "NaN"),
        (torch.zeros(1, 1, *SHAPE, dtype=torch.uint8), TypeError, "by 255"),
    ],
)
def test_bad_pictures(x, error, message):
    model = TextureModel(DISPLAY, **SMALL)
    for call in (model, model.statistics):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"neighborhood_px": 4}, ValueError, "neighborhood_px must be odd, got 4"),
        ({"neighborhood_px": 9}, ValueError, "neighborhood_px must be at most 3.*use fewer scales"),
        ({"n_scales": 0}, ValueError, "n_scales must be a whole number of at least 1"),
        ({"n_scales": 2.5}, TypeError, "n_scales"),
        ({"n_orientations": 0}, ValueError, "n_orientations"),
        ({"scaling": -1}, ValueError, "scaling"),
        ({"encoding": "rgb"}, ValueError, "encoding must be one of 'linear', 'srgb'"),
        ({"weights": {"kurtosis": 2}}, ValueError, "weights must be of groups pixel_statistics.*got kurtosis"),
        ({"weights": {"pixel_statistics": [1, 2]}}, ValueError, r"one number, or of shape \(6,\), got \(2,\)"),
        ({"weights": {"magnitude_std": math.nan}}, ValueError, "finite"),
    ],
)
def test_bad_arguments(settings, error, message):
    with pytest.raises(error, match=message):
        TextureModel(DISPLAY, **({"n_scales": 2} | settings if "weights" in settings else settings))
    with pytest.raises(TypeError, match="a Display"):
        TextureModel(SHAPE)


def test_a_gaze_off_the_screen():
    with pytest.raises(ValueError, match="on the screen"):
        TextureModel(DISPLAY, scaling=0.8, **SMALL)(random(1, 1, *SHAPE), (50.0, 0.0))
