"""The Responses and Scores schemas."""

import numpy as np
import pytest
import xarray as xr

import neuroperc as npc
from neuroperc.data import average_repeats, check_responses, check_scores, make_responses, select, split_repeats


def made(n_stimuli=4, n_repeats=3, n_neuroids=5, seed=0, **more):
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"s{i}" for i in range(n_stimuli)], n_repeats)
    return make_responses(
        rng.normal(size=(len(ids), n_neuroids)), stimulus_id=ids, repetition=np.tile(np.arange(n_repeats), n_stimuli),
        region="V4", units="Hz", source="made", **more,
    )  # fmt: skip


def test_make_responses_fills_labels_and_keeps_dtype():
    r = make_responses(np.ones((2, 3), "f4"), stimulus_id=["a", "b"], x_deg=[1, 2, 3], units="Hz")
    assert r.dims == ("presentation", "neuroid")
    assert r.dtype == np.float32
    assert r.neuroid_id.values.tolist() == [0, 1, 2]
    assert r.attrs == {"units": "Hz", "source": ""}


def test_time_axis_is_in_seconds_and_increasing():
    r = make_responses(np.zeros((1, 1, 2)), stimulus_id=["a"], time_s=[0.01, 0.02])
    assert r.dims == ("presentation", "neuroid", "time")
    with pytest.raises(ValueError, match=r"time must be finite and increasing"):
        make_responses(np.zeros((1, 1, 2)), stimulus_id=["a"], time_s=[0.02, 0.01])
    with pytest.raises(ValueError, match=r"time_s must be given"):
        make_responses(np.zeros((1, 1, 2)), stimulus_id=["a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(values=np.zeros(3)), r"values must be \(presentation, neuroid\).*got shape \(3,\)"),
        (dict(stimulus_id=["a"]), "stimulus_id must be one value for each of the 2"),
        (dict(neuroid_id=[1, 1]), "neuroid_id must be unique.*Rename"),
        (dict(colour="red"), "labels must be among.*colour"),
        (dict(values=np.array([[np.inf, 0], [0, 0]])), "finite, or NaN where missing, got 1 infinite"),
        (dict(coords={"o": ("object", [1, 2])}), "dimension of o must be one of"),
        (dict(units=3), "attrs must be with units"),
    ],
)
def test_make_responses_refuses(change, message):
    settings = dict(values=np.zeros((2, 2)), stimulus_id=["a", "b"]) | change
    with pytest.raises(ValueError, match=message):
        make_responses(settings.pop("values"), **settings)


def test_check_responses_names_what_is_wrong():
    with pytest.raises(TypeError, match=r"responses must be an xarray.DataArray, got ndarray"):
        check_responses(np.zeros((2, 2)))
    with pytest.raises(TypeError, match=r"values must be numbers, got dtype"):
        make_responses(np.array([["a"]]), stimulus_id=["x"])
    with pytest.raises(ValueError, match=r"dims must be"):
        check_responses(made().rename(neuroid="cell"))
    with pytest.raises(ValueError, match=r"coords must be with stimulus_id"):
        check_responses(made().drop_vars("stimulus_id"))
    indexed = made().set_index(presentation=["stimulus_id", "repetition"])
    with pytest.raises(ValueError, match=r"(coords must be with stimulus_id|MultiIndex)"):
        check_responses(indexed)


def test_a_name_that_is_missing_is_nobody_elses():
    names = [np.nan, 0.0, 1.0]
    found = make_responses(np.zeros((2, 3)), stimulus_id=["a", "b"], neuroid_id=names, layer=["y", "x", "x"])
    assert found.sizes["neuroid"] == 3
    with pytest.raises(ValueError, match="neuroid_id must be unique"):
        make_responses(np.zeros((2, 3)), stimulus_id=["a", "b"], neuroid_id=names, layer=["y", "x", "x"]).isel(
            neuroid=[0, 0, 1]).pipe(check_responses)  # fmt: skip


def test_neuroid_ids_may_repeat_across_layers():
    r = make_responses(np.zeros((1, 4)), stimulus_id=["a"], neuroid_id=[0, 1, 0, 1], layer=["c1", "c1", "c2", "c2"])
    assert r.sizes["neuroid"] == 4
    with pytest.raises(ValueError, match=r"unique"):
        make_responses(np.zeros((1, 4)), stimulus_id=["a"], neuroid_id=[0, 0, 0, 1], layer=["c1", "c1", "c2", "c2"])


def test_select_takes_repeated_labels_functions_and_lists_what_there_is():
    r = made()
    assert select(r, stimulus_id=["s0", "s3"]).sizes["presentation"] == 6
    assert select(r, repetition=lambda v: v > 0).sizes["presentation"] == 8
    with pytest.raises(ValueError, match=r"stimulus_id must be among those there are \(s0, s1"):
        select(r, stimulus_id="cat")
    with pytest.raises(ValueError, match=r"coordinate must be among"):
        select(r, colour="red")


def test_average_repeats_equals_xarrays_groupby():
    r = made()
    ours = average_repeats(r)
    theirs = r.groupby("stimulus_id").mean()
    np.testing.assert_allclose(ours.values, theirs.sel(stimulus_id=ours.stimulus_id.values).values, rtol=1e-13)
    assert ours.n_repeats.values.tolist() == [3] * 4
    assert "repetition" not in ours.coords  # it differs among the rows that were averaged


def test_average_repeats_keeps_order_dtype_nan_and_constant_labels():
    values = np.array([[1, np.nan], [3, np.nan], [np.nan, np.nan], [np.nan, 4]], "f4")
    kind = ("presentation", ["x", "x", "x", "y"])
    r = make_responses(values, stimulus_id=["b", "b", "b", "a"], coords={"kind": kind})
    out = average_repeats(r)
    assert out.stimulus_id.values.tolist() == ["b", "a"]
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.values, np.array([[2, np.nan], [np.nan, 4]], "f4"))
    assert out.kind.values.tolist() == ["x", "y"]
    assert out.n_repeats.values.tolist() == [2, 1]  # a row of NaN only is no answer
    whole = make_responses(np.array([[1], [2]]), stimulus_id=["a", "a"])
    assert average_repeats(whole).values.tolist() == [[1.5]]


def test_average_repeats_works_over_time():
    r = make_responses(np.arange(8.0).reshape(2, 2, 2), stimulus_id=["a", "a"], time_s=[0.1, 0.2])
    np.testing.assert_array_equal(average_repeats(r).values[0], r.values.mean(0))


@pytest.mark.parametrize("unit", ["presentation", "repetition"])
def test_split_repeats_halves_are_disjoint_and_complete(unit):
    r = made(n_repeats=4)
    first, second = split_repeats(r, rng=3, unit=unit)
    np.testing.assert_allclose((first.values + second.values) / 2, average_repeats(r).values)
    assert first.stimulus_id.values.tolist() == second.stimulus_id.values.tolist()
    assert first.n_repeats.values.tolist() == second.n_repeats.values.tolist() == [2] * 4
    assert not np.allclose(first, second)


def test_split_repeats_is_seeded_and_random():
    r = made(n_repeats=6)
    np.testing.assert_array_equal(split_repeats(r, rng=0)[0], split_repeats(r, rng=0)[0])
    assert not np.array_equal(split_repeats(r, rng=0)[0], split_repeats(r, rng=1)[0])
    rng = np.random.default_rng(0)
    odd = made(n_stimuli=400, n_repeats=3)
    share = split_repeats(odd, rng=rng)[0].n_repeats.values
    assert set(share) == {1, 2}
    assert abs(share.mean() - 1.5) < 0.1


def test_split_repeats_refuses_single_presentations():
    r = make_responses(np.zeros((3, 1)), stimulus_id=["a", "a", "b"])
    with pytest.raises(ValueError, match=r"two or more repeats of each stimulus, got too few of stimulus 'b'"):
        split_repeats(r, rng=0)
    with pytest.raises(TypeError, match=r"rng must be an int"):
        split_repeats(made(), rng=None)
    with pytest.raises(ValueError, match=r"coords must be with repetition"):
        split_repeats(made().drop_vars("repetition"), rng=0, unit="repetition")


def test_check_responses_reads_large_arrays_in_parts(monkeypatch):
    values = np.zeros((1000, 50))
    values[777, 3] = np.inf
    sizes = []
    whole = np.isinf
    monkeypatch.setattr("neuroperc.data.responses.np.isinf", lambda a: (sizes.append(len(a)), whole(a))[1])
    monkeypatch.setattr("neuroperc.data.responses._ROWS", 2**10)
    with pytest.raises(ValueError, match=r"got 1 infinite"):
        make_responses(values, stimulus_id=np.arange(1000))
    assert max(sizes) < 1000


def scores():
    attrs = dict(rule="r2", estimator="ridge", splits=2, groups="stimulus_id", seed=0)
    reliability = xr.DataArray([0.9], dims="neuroid", attrs={"n_repeats": 4})
    raw = (("layer", "split", "neuroid"), [[[0.5], [0.6]]])
    variables = {"raw": raw, "reliability": reliability, "score": (("layer", "neuroid"), [[0.3]])}
    return xr.Dataset(variables, {"layer": ["conv1"]}, attrs)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda s: s.drop_vars("raw"), "with the variable raw"),
        (lambda s: s.transpose("neuroid", ...), "of dims"),
        (lambda s: s.drop_vars("layer"), "coords must be with layer"),
        (lambda s: s.assign_attrs(x=1).drop_attrs(), "attrs must be with rule"),
    ],
)
def test_check_scores_refuses(broken, message):
    assert check_scores(scores()).sizes["split"] == 2
    with pytest.raises(ValueError, match=message):
        check_scores(broken(scores()))
    with pytest.raises(TypeError, match=r"scores must be an xarray.Dataset"):
        check_scores(scores()["raw"])


def test_public_names_are_reachable():
    for name in ("make_responses", "average_repeats", "split_repeats", "select", "check_scores"):
        assert callable(getattr(npc.data, name))
