"""What must hold for any picture, field and batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neuroperc.recording import place_in_field, record
from neuroperc.recording.inputs import GRAY

sizes = st.integers(1, 40)
degrees = st.floats(0.5, 20)
RAW = {"preprocess": None, "encoding": "linear"}


@given(sizes, sizes, degrees, st.floats(1, 4))
@settings(deadline=None, max_examples=60)
def test_a_larger_field_holds_the_whole_picture_in_its_middle(height, width, size, ratio):
    image = torch.linspace(0, 1, height * width).reshape(1, height, width)
    canvas = place_in_field(image, size_deg=size, visual_deg=size * ratio, background=0.5)
    for axis, n in ((-2, height), (-1, width)):
        assert canvas.shape[axis] == round(size * ratio / size * n)
        # Centred to half a pixel.
        free = canvas.shape[axis] - n
        assert free >= 0
    top, left = (int(np.round((c - n) / 2)) for c, n in zip(canvas.shape[-2:], (height, width), strict=True))
    assert torch.equal(canvas[..., top : top + height, left : left + width], image)
    total = float(image.sum()) + 0.5 * (canvas.numel() - image.numel())
    assert float(canvas.sum()) == pytest.approx(total, rel=1e-5)


@given(sizes, degrees)
@settings(deadline=None, max_examples=30)
def test_the_share_of_grey_is_the_share_of_the_field(n, size):
    canvas = place_in_field(torch.ones(n, n), size_deg=size, visual_deg=2 * size)
    assert float((canvas == GRAY).float().mean()) == pytest.approx(0.75)


@given(st.integers(4, 40), st.floats(0.2, 1), degrees)
@settings(deadline=None, max_examples=60)
def test_there_and_back(n, ratio, size):
    """A cut that is put on the canvas of its origin lies where it was cut."""
    image = torch.rand(n, n, generator=torch.Generator().manual_seed(n))
    cut = place_in_field(image, size_deg=size, visual_deg=size * ratio)
    m = cut.shape[-1]
    back = place_in_field(cut, size_deg=m, visual_deg=n)
    seen = back != GRAY
    assert int(seen.sum()) == m * m and torch.equal(back[seen], image[seen])


@given(st.integers(1, 9), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=15)
def test_batches_and_order_do_not_matter(batch_size, seed):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).double()
    pixels = torch.rand(7, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    plain = record(model, pixels, ["0", "3"], dtype="float64", **RAW)
    other = record(model, pixels[order], ["0", "3"], dtype="float64", batch_size=batch_size, **RAW)
    np.testing.assert_allclose(other.values, plain.values[order], rtol=1e-12, atol=1e-12)
