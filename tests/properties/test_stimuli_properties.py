"""What must hold for every StimulusSet: stores, places, batches, codes, schedules."""

import tempfile
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import neuroperc as npc
from neuroperc.color import linear_to_srgb, srgb_to_linear
from neuroperc.data import StimulusSet
from neuroperc.data._placing import Place, draw, place_on, resample
from neuroperc.data.readers.codes import from_codes, to_codes
from neuroperc.data.readers.psychopy import frame_schedule

text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\r"), max_size=6)
unit = st.floats(0, 1, width=32)
SMALL = npc.Display.from_px_per_deg(4, resolution_px=(6, 9))
FLAT = npc.Display((60, 90), (0.2, 0.3), 0.4)
ROUND = npc.Display.from_px_per_deg(12, resolution_px=(60, 90))
DISPLAYS = pytest.mark.parametrize("display", [FLAT, ROUND], ids=["tangent", "small_angle"])


@st.composite
def stimulus_sets(draw):
    n, channels, movie = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3])), draw(st.booleans())
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shapes = [draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(n)]
    lead = (draw(st.integers(1, 3)),) if movie else ()
    values = st.floats(0, 1, width=32 if dtype == np.float32 else 64)
    images = [draw(arrays(dtype, (*lead, channels, *shape), elements=values)) for shape in shapes]
    table = pd.DataFrame({
        "label": pd.Series([draw(st.none() | text) for _ in range(n)], dtype=object),
        "number": [draw(st.floats(allow_infinity=False)) for _ in range(n)],
        "count": [draw(st.integers(-(2**62), 2**62)) for _ in range(n)],
    })  # fmt: skip
    sizes = np.array([draw(st.floats(0.01, 2.0)) * np.array([h / w, 1.0]) for h, w in shapes])
    return StimulusSet.from_arrays(
        images, display=SMALL, ids=draw(st.lists(text, min_size=n, max_size=n, unique=True)), table=table,
        encoding=draw(st.sampled_from(["linear", "srgb"])), fps=draw(st.floats(0.5, 500)) if movie else None,
        size_deg=sizes, center_deg=draw(arrays(float, (n, 2), elements=st.floats(-5, 5))),
        truth={"m": draw(arrays(np.int16, (n, 2)))},
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(stimulus_sets())
def test_a_saved_set_is_the_same_set(s):
    with tempfile.TemporaryDirectory() as folder:
        s.save(f"{folder}/s")
        back = StimulusSet.load(f"{folder}/s", verify=True)
        assert back == s
        assert back.fingerprint == s.fingerprint
        assert back.ids == s.ids
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(back, s, strict=True))


@settings(max_examples=20, deadline=None)
@given(stimulus_sets())
def test_selecting_everything_changes_nothing(s):
    assert s[:] == s[s.ids] == s[np.ones(len(s), bool)] == s[list(range(len(s)))] == s


@settings(max_examples=20, deadline=None)
@given(arrays(np.float32, (7, 1, 3, 4), elements=unit), st.integers(1, 9), st.sampled_from(["linear", "srgb"]))
def test_batches_do_not_depend_on_their_size(x, size, encoding):
    s = StimulusSet.from_arrays(x, display=SMALL, size_deg=1)
    joined = torch.cat([batch for _, batch in s.batches(size, encoding=encoding)])
    assert torch.equal(joined, torch.stack(list(s.to_encoding(encoding))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("encoding", ["linear", "srgb"])
@pytest.mark.parametrize("file_encoding", ["linear", "srgb"])
def test_every_code_survives_decoding_and_encoding(dtype, encoding, file_encoding):
    codes = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(1, 1, -1)
    values = from_codes(codes, encoding, file_encoding)
    assert values.dtype == np.float32
    assert np.array_equal(to_codes(values, encoding, 8 * codes.itemsize, file_encoding), codes)
    assert (np.diff(values.ravel()) > 0).all()


@given(arrays(np.float64, (1, 2, 5), elements=st.floats(0, 1)))
def test_quantising_is_within_half_a_code(x):
    code = to_codes(x, "linear").astype(float) / 255
    assert np.abs(code - linear_to_srgb(x)).max() <= 0.5 / 255 + 1e-12


@given(st.floats(0, 1))
def test_srgb_and_linear_invert_each_other(v):
    assert float(srgb_to_linear(linear_to_srgb(np.array(v)))) == pytest.approx(v, abs=1e-12)


places = st.tuples(st.floats(0.3, 5), st.floats(0.3, 5), st.floats(-2, 2), st.floats(-1.5, 1.5))


@DISPLAYS
@given(places, arrays(float, (5, 2), elements=st.floats(-10, 40)))
def test_picture_pixels_and_monitor_degrees_invert_each_other(display, place, points):
    height, width, x, y = place
    s = StimulusSet.from_arrays(
        np.zeros((1, 1, 20, 30)), display=display,
        table=pd.DataFrame({"width_deg": [width], "height_deg": [height], "x_deg": [x], "y_deg": [y]}),
    )  # fmt: skip
    there = s.picture_deg(0, points)
    assert np.allclose(s.picture_px(0, there), points, atol=1e-7)
    assert np.allclose(s.picture_px(0, (x, y)), (14.5, 9.5), atol=1e-9)  # the centre lies where it was asked for
    torched = s.picture_px(0, torch.from_numpy(there))
    assert torch.allclose(torched, torch.from_numpy(points), atol=1e-7)


@DISPLAYS
def test_a_full_display_picture_has_the_displays_pixels(display):
    s = StimulusSet.from_arrays(np.zeros((1, 1, 60, 90)), display=display)
    points = display.pixels_deg()
    columns, rows = np.meshgrid(np.arange(90), np.arange(60))
    assert np.allclose(s.picture_px(0, points), np.stack((columns, rows), -1), atol=1e-9)


@DISPLAYS
@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("shift_px", [(0, 0), (7, -4), (-11, 5)])
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 11), st.integers(0, 7))
def test_a_fixation_meets_the_same_picture_pixel_wherever_the_picture_lies(display, scale, shift_px, column, row):
    """Centred, offset and scaled: the light at the fixation is that of the pixel which the fixation was aimed at."""
    picture = np.zeros((1, 1, 8, 12))
    picture[0, 0, row, column] = 1
    x, y = display.center_px
    center = display.to_deg((x + shift_px[0], y - shift_px[1]))
    width, height = 2 * display.to_deg((x + 6 * scale, y - 4 * scale))
    s = StimulusSet.from_arrays(picture, display=display, size_deg=(height, width), center_deg=center)
    fixation = s.picture_deg(0, (column, row))
    assert np.array_equal(np.floor(s.picture_px(0, fixation) + 0.5), (column, row))
    canvas = s.on_display(0, 0.0)[0].numpy()
    at = display.to_px(fixation)
    nearest = np.floor(at + 0.5).astype(int)
    # At even scales the pixel's centre lies between four display pixels, each of which mixes its neighbours in.
    assert canvas[nearest[1], nearest[0]] > (0.99 if scale % 2 else 0.5)
    lit = np.argwhere(canvas > 0)
    assert np.allclose((lit * canvas[tuple(lit.T)][:, None]).sum(0) / canvas.sum(), at[::-1], atol=scale * 0.51)


@DISPLAYS
@settings(max_examples=40, deadline=None)
@given(places, st.floats(0, 1))
def test_a_plain_picture_covers_exactly_its_area(display, place, light):
    height, width, x, y = place
    rectangle = place_on(display, (height, width), (x, y))
    picture = torch.full((1, 7, 5), light, dtype=torch.float64)
    canvas = draw(picture, display, rectangle, torch.tensor([0.25], dtype=torch.float64))
    area = 1.0
    for axis in (0, 1):
        low = rectangle.center_px[1 - axis] - rectangle.size_px[axis] / 2
        high = low + rectangle.size_px[axis]
        area *= max(0.0, min(high, display.resolution_px[axis] - 0.5) - max(low, -0.5))
    assert float((canvas - 0.25).sum()) == pytest.approx(area * (light - 0.25), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (1, 6, 9), elements=st.floats(0, 1)), st.integers(-9, 9), st.integers(-9, 9))
def test_a_picture_on_the_pixel_grid_is_copied_exactly(x, right, down):
    display = npc.Display.from_px_per_deg(10, resolution_px=(10, 13))
    (cx, cy), picture = display.center_px, torch.from_numpy(x)
    canvas = draw(picture, display, Place((cx + right, cy + down), (6, 9)), torch.tensor([2.0]))
    expected = np.full((30, 33), 2.0)
    expected[12 + down : 18 + down, 12 + right : 21 + right] = x[0]
    assert np.array_equal(canvas[0].numpy(), expected[10:20, 10:23])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(-5, 5), st.floats(0.1, 6))
def test_resampling_keeps_constants_and_the_range(n_out, n_in, start, step):
    flat = resample(torch.full((n_in,), 0.7, dtype=torch.float64), 0, n_out, start, step)
    inside = (start + (np.arange(n_out) + 0.5) * step > 0) & (start + (np.arange(n_out) + 0.5) * step < n_in)
    assert np.allclose(flat.numpy()[inside], 0.7, atol=1e-12)
    noise = torch.from_numpy(np.random.default_rng(n_in).random(n_in))
    out = resample(noise, 0, n_out, start, step)
    assert float(out.min()) >= 0
    assert float(out.max()) <= float(noise.max()) + 1e-12


@given(st.integers(1, 200), st.floats(1, 120), st.floats(1, 4))
def test_schedules_never_lose_a_refresh(n_frames, fps, factor):
    refresh_hz = fps * factor
    onset, total = frame_schedule(n_frames, fps, refresh_hz)
    ratio = total / n_frames
    assert abs(float(ratio) - factor) < 1e-5 * factor
    assert (np.diff(onset) >= 1).all()
    assert all(0 <= k * ratio - t < 1 for k, t in enumerate(onset.tolist()))
    assert set(np.diff(onset).tolist()) <= {int(ratio), int(ratio) + 1}
    assert isinstance(total, Fraction)
