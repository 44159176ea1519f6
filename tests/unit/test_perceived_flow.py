"""Readers and harnesses of perceived flow: bad files, bad predictions, flow read at points."""

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch

from neuroperc import data as npdata
from neuroperc import motion

N = 20


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"movie": np.repeat(list("ab"), 10), "subset": "all"})
    truth = rng.normal(size=(N, 2))
    return npdata.PerceivedFlow("made", table, truth + 0.1 * rng.normal(size=(N, 2)), truth)


def huperflow_tables():
    probes = [(d, 1, 1, p) for d in (1, 2) for p in range(1, 11)]
    rng = np.random.default_rng(0)
    rows = [dict(zip(["Dataset", "Session", "Movie", "Location"], k, strict=True), Coordinate_y=5 + k[3],
                 Coordinate_x=10, GT_u=1.0 * k[3], GT_v=-1.0) for k in probes]  # fmt: skip
    mean = pd.DataFrame(rows).assign(Resp_u_mean=2.0, Resp_v_mean=rng.normal(size=20))
    raw = pd.concat([pd.DataFrame(rows).assign(Trial=t, Resp_u=rng.normal(size=20), Resp_v=1.0) for t in range(1, 9)])
    return mean, raw


def write_huperflow(folder, mean, raw):
    mean.to_csv(folder / "HuPerFlow_AveragedPerceivedFlow.csv", index=False)
    raw.to_csv(folder / "HuPerFlow_RawPerceivedFlow.csv", index=False)


def write_session(folder, mean, *, frames=15, size=(30, 40)):
    own = mean[mean.Dataset == 1]
    listed = pd.DataFrame({"LocationIndex": own.Location, "PicX": own.Coordinate_x, "PicY": own.Coordinate_y,
                           "GT_u": own.GT_u, "GT_v": own.GT_v})  # fmt: skip
    listed.to_csv(folder / "KITTI_mov1.csv", index=False)
    for k in range(1, frames + 1):
        npdata.save_image(torch.rand(3, *size), folder / f"Mov1_F{k:02d}.png")


def test_huperflow_is_read_and_sorted(tmp_path):
    mean, raw = huperflow_tables()
    raw.loc[raw.index[0], "Resp_u"] = 500.0
    write_huperflow(tmp_path, mean.sample(frac=1, random_state=0), raw.sample(frac=1, random_state=1))
    found = npdata.read_huperflow(tmp_path)
    assert found.trials.shape == (8, 20, 2)
    assert np.isnan(found.trials).any(-1).sum() == 8  # all trials of the first probe share its row label
    assert found.table.loc[found.table.index[0], ["x_px", "y_px"]].tolist() == [9, 5]
    assert found.observer.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_allclose(found.human[:, 1], mean.Resp_v_mean)
    assert "longer than 60 px" in found.note


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda m, r, f: (f / "HuPerFlow_RawPerceivedFlow.csv").unlink(), FileNotFoundError, "RawPerceivedFlow.csv"),
        (lambda m, r, f: write_huperflow(f, m.drop(columns="GT_v"), r), ValueError, "no GT_v"),
        (lambda m, r, f: write_huperflow(f, m.assign(GT_u="a"), r), ValueError, "column GT_u of .* must be numbers, got 'a'"),
        (lambda m, r, f: write_huperflow(f, m, r[:-1]), ValueError, "8 trials of each of the 20 probes"),
        (lambda m, r, f: write_huperflow(f, m[:0], r), ValueError, "one row or more"),
        (lambda m, r, f: write_huperflow(f, m.assign(GT_u=np.nan), r.assign(GT_u=np.nan)), ValueError, "truth must be finite"),
        (lambda m, r, f: (f / "HuPerFlow_RawPerceivedFlow.csv").write_text(""), ValueError, "comma-separated"),
    ],
)  # fmt: skip
def test_bad_huperflow_files(tmp_path, spoil, error, words):
    mean, raw = huperflow_tables()
    write_huperflow(tmp_path, mean, raw)
    spoil(mean, raw, tmp_path)
    with pytest.raises(error, match=words):
        npdata.read_huperflow(tmp_path)


def test_a_session_runs_models_on_pairs_and_clips(tmp_path):
    mean, raw = huperflow_tables()
    write_huperflow(tmp_path, mean, raw)
    write_session(tmp_path, mean)
    given = {}

    def model(frames):
        given[frames.shape[1]] = frames.shape
        y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
        return torch.stack([x, y])[None]

    report = motion.kitti_session(tmp_path, tmp_path, {"a": model, "b": model}, shown={"a": "pair", "b": "clip"})
    assert given == {2: (1, 2, 3, 30, 40), 15: (1, 15, 3, 30, 40)}
    rows = report.models[report.models.model == "a"].set_index("measure")
    here = np.column_stack([np.full(10, 9.0), 5.0 + np.arange(10)])  # x and y themselves, 0-based
    assert rows.estimate["epe_truth"] == pytest.approx(np.linalg.norm(here - report.data.truth, axis=1).mean())


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (lambda f: f, ValueError, r"models\['m'\] must be a callable that returns flow \(1, 2, 30, 40\)"),
        (lambda f: None, TypeError, "returns a Tensor"),
        (lambda f: torch.full((1, 2, 30, 40), float("nan")), ValueError, r"predictions\['m'\] must be finite"),
    ],
)
def test_bad_models(tmp_path, model, error, words):
    mean, raw = huperflow_tables()
    write_huperflow(tmp_path, mean, raw)
    write_session(tmp_path, mean)
    with pytest.raises(error, match=words):
        motion.kitti_session(tmp_path, tmp_path, {"m": model})


def test_bad_sessions(tmp_path):
    mean, raw = huperflow_tables()
    write_huperflow(tmp_path, mean, raw)
    write_session(tmp_path, mean, frames=14)
    with pytest.raises(FileNotFoundError, match=r"Mov1_F15\.png"):
        npdata.read_huperflow_clip(tmp_path, tmp_path)
    npdata.save_image(torch.rand(3, 30, 41), tmp_path / "Mov1_F15.png")
    with pytest.raises(ValueError, match=r"Mov1_F15\.png must be of the size \(3, 30, 40\)"):
        npdata.read_huperflow_clip(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="movie must be a movie of"):
        npdata.read_huperflow_clip(tmp_path, tmp_path, session=3)
    write_session(tmp_path, mean.assign(GT_u=0.0))
    with pytest.raises(ValueError, match="the probes of movie KITTI/01/1"):
        npdata.read_huperflow_clip(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("read", "name", "shape"),
    [
        (npdata.read_sintel_slow, "HumanResp", (2, 36, 5)),
        (npdata.read_temporal_flow, "Temporal_Response_raw", (2, 4, 4, 2, 5, 5, 4)),
    ],
)
def test_bad_matlab_files(tmp_path, read, name, shape):
    path = tmp_path / f"{name}.mat"
    with pytest.raises(FileNotFoundError, match=name):
        read(tmp_path)
    path.write_bytes(b"not a matlab file at all, but long enough to be looked at" * 8)
    with pytest.raises(ValueError, match="MATLAB"):
        read(tmp_path)
    scipy.io.savemat(path, {"other": np.zeros(3)})
    with pytest.raises(ValueError, match=f"with the array {name}, got \\['other'\\]"):
        read(tmp_path)
    scipy.io.savemat(path, {name: np.zeros((2, 3))})
    with pytest.raises(ValueError, match=f"{name} in .* must be of shape"):
        read(tmp_path)


def test_bad_second_order_files(tmp_path):
    columns = ["Avg_gt_X", "Avg_gt_Y"] + [f"Mod{m}_avg_res_{a}" for m in range(1, 8) for a in "XY"]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 16)), columns=columns)
    for k in (1, 2, 3):
        table.to_csv(tmp_path / f"participant{k}.csv", index=False)
    assert len(npdata.read_second_order_flow(tmp_path)) == 42
    table[:5].to_csv(tmp_path / "participant2.csv", index=False)
    with pytest.raises(ValueError, match=r"participant2\.csv must be a table of 6 scenes, got 5"):
        npdata.read_second_order_flow(tmp_path)
    table.drop(columns="Mod7_avg_res_Y").to_csv(tmp_path / "participant2.csv", index=False)
    with pytest.raises(ValueError, match="no Mod7_avg_res_Y"):
        npdata.read_second_order_flow(tmp_path)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.zeros((N - 1, 2)), ValueError, rf"predictions\['m'\] must be of shape \({N}, 2\)"),
        (np.full((N, 2), np.nan), ValueError, r"predictions\['m'\] must be finite"),
        ("flow", TypeError, "must be numbers of shape"),
    ],
)
def test_bad_predictions(made, values, error, words):
    with pytest.raises(error, match=words):
        motion.flow_report(made, {"m": values})


def test_bad_records(made):
    with pytest.raises(ValueError, match="no subset"):
        npdata.PerceivedFlow("x", made.table[["movie"]], made.human, made.truth)
    with pytest.raises(ValueError, match="trials must be of shape"):
        npdata.PerceivedFlow("x", made.table, made.human, made.truth, np.zeros((4, 3, 2)), np.arange(4))
    with pytest.raises(ValueError, match="observer must be a label"):
        npdata.PerceivedFlow("x", made.table, made.human, made.truth, np.zeros((4, N, 2)))
    with pytest.raises(ValueError, match="level must be between"):
        motion.flow_agreement(made.truth, made, level=95, rng=0)
    with pytest.raises(TypeError, match="rng"):
        motion.flow_agreement(made.truth, made, rng=None)
    with pytest.raises(ValueError, match="measure must be one of"):
        motion.flow_report(made, {"m": made.truth}).mean("r")


def test_a_model_without_motion_has_no_direction(made):
    table = motion.flow_agreement(np.zeros((N, 2)), made, n_resamples=20, rng=0).table
    assert table.estimate[["r_human_uv", "r_human_direction", "gain"]].isna().all()
    assert table.estimate["epe_truth"] == pytest.approx(np.linalg.norm(made.truth, axis=1).mean())


def test_flow_at_points():
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    field = torch.stack([2 * x - y, x * 0 + 3])
    points = [[0, 0], [6, 4], [2.25, 3.5]]
    np.testing.assert_allclose(motion.flow_at(field, points), [[0, 3], [8, 3], [1, 3]])
    with pytest.raises(ValueError, match=r"on the field of 7 by 5 pixels, got \[6.5, 0.0\]"):
        motion.flow_at(field, [[6.5, 0]])
