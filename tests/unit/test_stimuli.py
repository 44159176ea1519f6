"""StimulusSet: what it refuses, how it is indexed, what its fingerprint notices."""

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc.data import StimulusSet

DISPLAY = npc.Display.from_px_per_deg(4, resolution_px=(8, 12))


def pictures(n=4, shape=(3, 8, 12), seed=0):
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)


def make(n=4, **options):
    options = {"display": DISPLAY, "ids": list("abcdefgh")[:n], **options}
    return StimulusSet.from_arrays(pictures(n), **options)


def test_a_set_of_full_display_pictures_covers_the_display():
    s = make()
    assert (s.table["height_deg"].iloc[0], s.table["width_deg"].iloc[0]) == DISPLAY.extent_deg
    assert s.shapes == [(3, 8, 12)] * 4
    assert (s.encoding, s.fps, dict(s.truth)) == ("linear", None, {})
    assert s.table.index.name == "stimulus_id"


def test_default_ids_are_numbered_and_unique():
    assert StimulusSet.from_arrays(pictures(3), display=DISPLAY).ids == ["0000", "0001", "0002"]


def test_ids_become_text_so_that_a_number_stays_a_position():
    s = make(3, ids=[7, 8, 9])
    assert s.ids == ["7", "8", "9"]
    assert torch.equal(s["7"], s[0])


@pytest.mark.parametrize(
    ("pick", "names"),
    [
        (slice(1, 3), ["b", "c"]),
        (slice(None, None, -2), ["d", "b"]),
        ([2, 0], ["c", "a"]),
        (["d", "a"], ["d", "a"]),
        (np.array([True, False, False, True]), ["a", "d"]),
        ([False, True, True, False], ["b", "c"]),
        (torch.tensor([3, 1]), ["d", "b"]),
        (np.array([-1]), ["d"]),
        (pd.Index(["b"]), ["b"]),
    ],
)
def test_indexing_picks_rows_of_everything(pick, names):
    s = make(truth={"order": np.arange(4)}, table=pd.DataFrame({"label": list("wxyz")}))
    part = s[pick]
    assert part.ids == names
    assert [list("abcd").index(n) for n in names] == part.truth["order"].tolist()
    assert part.table["label"].tolist() == ["wxyz"["abcd".index(n)] for n in names]
    for name in names:
        assert torch.equal(part[name], s[name])


def test_a_series_mask_comes_from_the_table():
    s = make(table=pd.DataFrame({"label": ["u", "v", "u", "v"]}))
    assert s[s.table["label"] == "v"].ids == ["b", "d"]
    with pytest.raises(ValueError, match="mask must be indexed as the set's table"):
        s[(s.table["label"] == "v")[::-1]]


@pytest.mark.parametrize(
    ("pick", "error", "text"),
    [
        ("nobody", KeyError, "one of this set's ids, got nobody"),
        (4, IndexError, "between -4 and 3, got 4"),
        (-5, IndexError, "got -5"),
        ([True, False], ValueError, r"mask must be of shape \(4,\)"),
        ([0, 0], ValueError, r"unique, got \['a'\] more than once"),
        ([], ValueError, "at least one, got none"),
        (np.zeros(4, bool), ValueError, "at least one, got none"),
        (np.zeros((2, 2), int), TypeError, "index must be"),
        (1.5, TypeError, "index must be an int"),
        ([0.5], TypeError, "index must be an int, .*, got 0.5"),
    ],
)
def test_bad_indices_say_what_is_wrong(pick, error, text):
    with pytest.raises(error, match=text):
        make()[pick]


def test_iteration_and_torch_loader():
    s = make()
    assert all(torch.equal(a, s[i]) for i, a in enumerate(s))
    loaded = torch.cat(list(torch.utils.data.DataLoader(s, batch_size=3)))
    assert torch.equal(loaded, torch.from_numpy(pictures()))


def test_sets_travel_to_other_processes(tmp_path):
    make().save(tmp_path / "s")
    for s in (make(), StimulusSet.load(tmp_path / "s")):
        assert pickle.loads(pickle.dumps(s)) == s


def test_batches_have_ids_device_and_encoding():
    s = make()
    out = list(s.batches(3, device="cpu", encoding="srgb"))
    assert [ids for ids, _ in out] == [["a", "b", "c"], ["d"]]
    assert torch.equal(out[1][1][0], s.to_encoding("srgb")["d"])
    with pytest.raises(ValueError, match="size must be"):
        s.batches(0)
    with pytest.raises(ValueError, match="encoding must be one of"):
        s.batches(1, encoding="gamma")


def test_ragged_sizes_are_kept_and_refused_in_one_batch():
    items = [np.zeros((1, 8, 12)), np.zeros((1, 4, 6))]
    s = StimulusSet.from_arrays(items, display=DISPLAY, size_deg=3)
    assert s.shapes == [(1, 8, 12), (1, 4, 6)]
    with pytest.raises(ValueError, match=r"one shape, got \[\(1, 4, 6\), \(1, 8, 12\)\].*on_display"):
        list(s.batches(2))
    assert [x.shape for _, x in s.to_display(0.5).batches(2)] == [(2, 1, 8, 12)]


def test_nobody_writes_into_a_set():
    values = torch.from_numpy(pictures(2))
    s = StimulusSet.from_arrays(values, display=DISPLAY)
    before = s.fingerprint
    values.zero_()
    s[0].zero_()
    next(s.batches(2))[1].zero_()
    assert torch.equal(s[0], torch.from_numpy(pictures(2)[0]))
    s.table.loc["0000", "x_deg"] = 3.0  # the table is pandas': its change is seen, never missed
    assert s.fingerprint != before
    s.table.loc["0000", "x_deg"] = 0.0
    assert s.fingerprint == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.encoding = "srgb"


def test_float64_is_kept_and_half_is_widened():
    assert StimulusSet.from_arrays(pictures().astype(np.float64), display=DISPLAY)[0].dtype == torch.float64
    assert StimulusSet.from_arrays(pictures().astype(np.float16), display=DISPLAY)[0].dtype == torch.float32


def test_gradients_stay_outside():
    x = torch.rand(1, 3, 8, 12, requires_grad=True)
    assert not StimulusSet.from_arrays(x, display=DISPLAY)[0].requires_grad


@pytest.mark.parametrize(
    ("images", "options", "error", "text"),
    [
        (np.full((1, 3, 8, 12), np.nan), {}, ValueError, "288 NaN or infinite values"),
        (np.full((1, 3, 8, 12), 1.5), {}, ValueError, r"within \[0, 1\], got 1.5 to 1.5"),
        (np.full((1, 3, 8, 12), -0.1), {}, ValueError, r"within \[0, 1\], got -0.1"),
        (np.zeros((1, 3, 8, 12), np.uint8), {}, TypeError, "uint8. Divide 8-bit codes by 255 and pass encoding='srgb'"),
        (np.zeros((1, 3, 8, 12), bool), {}, TypeError, "bool"),
        (np.zeros((1, 3, 8, 12), complex), {}, TypeError, "complex"),
        (np.zeros((1, 8, 12, 3)), {}, ValueError, r"\(c, h, w\).*Channels \(1 or 3\) come before"),
        (np.zeros((3, 8, 12)), {}, ValueError, r"of shape \(n, c, h, w\), got shape \(3, 8, 12\)"),
        ([np.zeros((8, 12))], {}, ValueError, r"shape \(8, 12\)"),
        (np.zeros((1, 2, 8, 12)), {}, ValueError, "1 or 3 channels"),
        ([np.zeros((3, 0, 12))], {}, ValueError, r"shape \(3, 0, 12\)"),
        ([], {}, ValueError, "at least one, got none"),
        ("street.png", {}, TypeError, "an array, a tensor, or a list of them, got str"),
        (np.zeros((1, 3, 6, 6)), {}, ValueError, r"size \(8, 12\) px \(h, w\), got \(6, 6\) px. Give size_deg"),
        (np.zeros((1, 3, 6, 6)), {"size_deg": (1, 2)}, ValueError, "same aspect as size_deg"),
        (np.zeros((1, 3, 8, 12)), {"size_deg": 0}, ValueError, "above 0 degrees"),
        (np.zeros((1, 3, 8, 12)), {"size_deg": (1, -1)}, ValueError, "above 0 degrees"),
        (np.zeros((1, 3, 8, 12)), {"center_deg": (np.nan, 0)}, ValueError, "'x_deg' must be finite degrees, got nan"),
        (np.zeros((1, 3, 8, 12)), {"center_deg": (1, 2, 3)}, ValueError, "center_deg must be"),
        (np.zeros((2, 3, 8, 12)), {"ids": ["a"]}, ValueError, "2 names"),
        (np.zeros((2, 3, 8, 12)), {"ids": ["a", "a"]}, ValueError, r"unique, got \['a'\]"),
        (np.zeros((2, 3, 8, 12)), {"encoding": "gamma"}, ValueError, "encoding must be one of 'linear', 'srgb'"),
        (np.zeros((2, 3, 8, 12)), {"truth": {"m": np.zeros(3)}}, ValueError, r"first axis has 2 entries.*got \(3,\)"),
        (np.zeros((2, 3, 8, 12)), {"truth": {"m": [None, {}]}}, TypeError, "numbers or text, got object"),
        (np.zeros((2, 3, 8, 12)), {"table": pd.DataFrame({"a": [1]})}, ValueError, "2 rows"),
        (np.zeros((1, 3, 8, 12)), {"fps": 24}, ValueError, r"\(n, t, c, h, w\)"),
        (np.zeros((1, 2, 3, 8, 12)), {"fps": -1}, ValueError, "fps must be a finite number above 0, got -1"),
        (np.zeros((1, 2, 3, 8, 12)), {"fps": np.nan}, ValueError, "fps must be"),
    ],
)  # fmt: skip
def test_bad_arrays_name_the_value_and_the_remedy(images, options, error, text):
    with pytest.raises(error, match=text):
        StimulusSet.from_arrays(images, display=DISPLAY, **options)


def test_bad_tables_and_displays():
    s = make()
    with pytest.raises(ValueError, match=r"with the columns .* got no x_deg"):
        dataclasses.replace(s, table=s.table.drop(columns="x_deg"))
    with pytest.raises(ValueError, match=r"'width_deg' must be finite and above 0 degrees, got 0\.0 for 'a'"):
        dataclasses.replace(s, table=s.table.assign(width_deg=[0.0, 1, 1, 1]))
    with pytest.raises(TypeError, match="display must be a Display"):
        dataclasses.replace(s, display=(8, 12))
    with pytest.raises(ValueError, match="Pass fps for movies"):
        dataclasses.replace(s, fps=24.0)
    with pytest.raises(ValueError, match="left out when the table holds the placement"):
        StimulusSet.from_arrays(pictures(), display=DISPLAY, table=s.table, size_deg=3)


def test_placement_may_come_from_the_table_or_item_by_item():
    s = make(size_deg=[(1, 1.5), (2, 3), (1, 1.5), (1, 1.5)], center_deg=[(0, 0), (1, 0), (0, -1), (0, 0)])
    again = StimulusSet.from_arrays(pictures(), display=DISPLAY, table=s.table)
    assert again == s
    assert s.table.loc["b", ["width_deg", "height_deg", "x_deg", "y_deg"]].tolist() == [3, 2, 1, 0]


def test_one_number_as_size_is_the_width():
    s = make(size_deg=1.5)
    assert s.table["width_deg"].iloc[0] == 1.5
    assert s.table["height_deg"].iloc[0] == pytest.approx(1.0, abs=1e-12)


def test_movies_and_their_frames():
    movies = [pictures(5), pictures(3, seed=1)]
    s = StimulusSet.from_arrays(movies, display=DISPLAY, fps=23.976)
    assert s.shapes == [(5, 3, 8, 12), (3, 3, 8, 12)]
    assert [len(part) for part in s.frames(0, size=2)] == [2, 2, 1]
    assert torch.equal(torch.cat(list(s.frames(0, size=2))), s[0])
    with pytest.raises(ValueError, match="stimuli must be movies, got pictures"):
        make().frames(0)


FINGERPRINT_CHANGES = {
    "one pixel": lambda s: StimulusSet.from_arrays(nudged(), display=DISPLAY, ids=s.ids),
    "encoding": lambda s: s.to_encoding("srgb"),
    "size": lambda s: dataclasses.replace(s, table=s.table.assign(width_deg=1.0)),
    "place": lambda s: dataclasses.replace(s, table=s.table.assign(y_deg=1e-9)),
    "order": lambda s: s[::-1],
    "fewer": lambda s: s[:3],
    "ids": lambda s: dataclasses.replace(s, table=s.table.set_axis(list("wxyz"))),
}


def nudged():
    values = pictures()
    values[2, 1, 3, 4] = np.nextafter(values[2, 1, 3, 4], np.float32(1))
    return values


@pytest.mark.parametrize("change", FINGERPRINT_CHANGES)
def test_the_fingerprint_notices(change):
    s = make()
    assert FINGERPRINT_CHANGES[change](s).fingerprint != s.fingerprint


def test_the_fingerprint_ignores_storage_precision_and_other_columns():
    s = make()
    wide = StimulusSet.from_arrays(pictures().astype(np.float64), display=DISPLAY, ids=s.ids)
    listed = StimulusSet.from_arrays(list(pictures()), display=DISPLAY, ids=s.ids)
    assert wide.fingerprint == s.fingerprint == listed.fingerprint
    assert dataclasses.replace(s, table=s.table.assign(label="x")).fingerprint == s.fingerprint
    assert len(s.fingerprint) == 64


def test_frame_rate_changes_the_fingerprint():
    a, b = (StimulusSet.from_arrays(pictures()[None], display=DISPLAY, fps=fps) for fps in (24, 25))
    assert a.fingerprint != b.fingerprint


def test_equality_looks_at_everything():
    s = make(truth={"m": np.arange(4)})
    assert s == make(truth={"m": np.arange(4)})
    assert s != make(truth={"m": np.arange(1, 5)})
    assert s != make()
    assert s != s.to_encoding("srgb")
    assert s != make(truth={"m": np.arange(4)}, table=pd.DataFrame({"label": list("wxyz")}))
    other = npc.Display.from_px_per_deg(4, resolution_px=(8, 12), refresh_hz=75)
    assert s != dataclasses.replace(s, display=other)
    assert s != "s"
    with pytest.raises(TypeError, match="unhashable"):
        hash(s)


def test_encodings_convert_back_exactly():
    s = make()
    assert torch.equal(s.to_encoding("srgb").to_encoding("linear")[0], s[0])
    assert s.to_encoding("srgb")[0].max() <= 1


def test_the_page_shows_thumbnails_and_escapes_ids():
    s = make(2, ids=["<b>", "ok"])
    page = s._repr_html_()
    assert page.count("data:image/png;base64,") == 2
    assert "<b>" not in page.split("</p>")[1].replace("<b>2", "")
    assert "2 pictures" in page
    movie = StimulusSet.from_arrays(pictures()[None], display=DISPLAY, fps=24)
    assert "1 movies at 24 fps" in movie._repr_html_()


def test_backgrounds_are_checked():
    s = make(size_deg=1.5)
    for bad, error in (
        (1.5, ValueError),
        (-1, ValueError),
        ((0, 0), ValueError),
        ("grey", TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error, match="background must be"):
            s.on_display(0, bad)
    assert torch.allclose(s.on_display(0, (0.1, 0.2, 0.3))[:, 0, 0], torch.tensor([0.1, 0.2, 0.3]))
