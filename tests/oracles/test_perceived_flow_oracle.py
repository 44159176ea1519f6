"""The harnesses give the released data's figures; each measure equals a plain formula of SciPy."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from neuroperc import motion
from neuroperc.data import PerceivedFlow, read_huperflow, read_sintel_slow


@pytest.fixture(scope="module")
def folder(data_dir):
    return data_dir / "motion"


@pytest.fixture
def made():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(60, 2)) + [1.0, -0.5]
    human = 0.8 * truth + 0.5 * rng.normal(size=truth.shape)
    table = pd.DataFrame({"movie": np.repeat(np.arange(6), 10), "subset": "all"})
    return PerceivedFlow("made", table, human, truth, v_on_disk="up"), truth + 0.7 * rng.normal(size=truth.shape)


def test_sintel_slow(folder):
    truth = read_sintel_slow(folder / "sintel_slow_human").truth
    report = motion.sintel_slow(folder / "sintel_slow_human", {"truth": truth, "gain": 0.8 * truth}, rng=0)
    people = report.people.loc["all"]
    wanted = {"r_uv": 0.924, "r_speed": 0.900, "r_direction": 0.965, "epe": 0.928, "epe_median": 0.780,
              "epe_zero": 2.486, "epe_movie": 1.975}  # fmt: skip
    assert people[list(wanted)].round(3).to_dict() == wanted
    assert people.gain == pytest.approx(0.91, abs=0.005)
    assert people.angle_deg == pytest.approx(10.2, abs=0.05)
    assert people.consistency == pytest.approx(0.2588, abs=5e-5)
    table = report.models[report.models.model == "truth"].set_index("measure")
    assert table.loc["r_human_uv", ["low", "high"]].to_numpy(float) == pytest.approx([0.899, 0.945], abs=0.004)
    gain = report.models[report.models.model == "gain"].set_index("measure")
    assert gain.loc["consistency", "estimate"] == pytest.approx(0.009, abs=5e-4)
    assert len(report.without[report.without.model == "truth"]) == 5


def test_huperflow(folder):
    people = motion.huperflow(folder / "huperflow").people
    wanted = {"KITTI": 0.846, "vKITTI2": 0.777, "Sintel-NV": 0.280, "VIPER": 0.733, "Spring": 0.509, "Monkaa": 0.440,
              "MHOF": 0.596, "Driving": 0.907, "FlyingThings": 0.715, "TartanAir": 0.798}  # fmt: skip
    assert people.r_uv.round(3).to_dict() == wanted
    assert people.epe.min() == pytest.approx(3.9, abs=0.05)
    assert people.epe.max() == pytest.approx(10.3, abs=0.05)
    assert people.speed_ratio.round(2).agg(["min", "max"]).tolist() == [0.49, 0.89]
    # Responses above 60 px (three) and missing ones (33) left out; random halves of each probe's own trials.
    ceilings = {"KITTI": 0.977, "vKITTI2": 0.967, "VIPER": 0.971, "Spring": 0.947, "Monkaa": 0.922, "MHOF": 0.939,
                "Driving": 0.977, "FlyingThings": 0.942, "TartanAir": 0.969}  # fmt: skip
    for name, value in ceilings.items():
        assert people.ceiling_trials[name] == pytest.approx(value, abs=0.01), name
    # Sintel-NV was given as .904 from few divisions; two hundred make it .915.
    assert people.ceiling_trials["Sintel-NV"] == pytest.approx(0.915, abs=0.003)
    assert (people.ceiling_people < people.ceiling_trials).all()


def test_temporal(folder):
    report = motion.temporal_flow(folder / "temporal_flow")
    assert report.people.loc["all", ["r_uv", "epe"]].round(3).tolist() == [0.797, 2.032]
    truth = np.hypot(*report.data.truth.T)
    assert truth.mean() == pytest.approx(3.21, abs=0.005)
    network = report.models[report.models.model == "flownet2"].set_index("measure").estimate
    assert network[["r_human_uv", "r_truth_uv", "partial_uv"]].round(3).tolist() == [0.798, 0.990, 0.104]
    fits = report.mean("r_human_uv").drop("flownet2")
    assert fits.between(0.88, 0.895).all()


def test_second_order(folder):
    report = motion.second_order(folder / "second_order_human", n_resamples=20)
    wanted = {"dual_final": 0.934, "dual_non_diffuse": 0.902, "dual_diffuse": 0.509, "one_path_non_diffuse": 0.436,
              "videoflow_specular": 0.434, "videoflow": 0.275, "raft_specular": 0.352, "raft_sintel": 0.241,
              "one_path_diffuse": 0.133, "farneback": 0.109, "glow_specular": 0.087, "glow_sintel": 0.073,
              "ffv1mt": -0.038}  # fmt: skip
    assert report.mean("r_human_uv").round(3).to_dict() == wanted
    assert report.people.r_uv.mean() == pytest.approx(0.989, abs=5e-4)
    assert report.people.r_between.between(0.975, 0.986).all()


def test_kitti_with_opencv(folder):
    cv2 = pytest.importorskip("cv2")

    def dis(frames):
        grey = [cv2.cvtColor((255 * f.permute(1, 2, 0).numpy()).round().astype("uint8"), cv2.COLOR_RGB2GRAY)
                for f in frames[0]]  # fmt: skip
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
        return torch.from_numpy(flow * np.float32([1, -1])).permute(2, 0, 1)[None]

    report = motion.kitti_session(folder / "kitti_session1", folder / "huperflow", {"dis": dis})
    found = report.models.set_index("measure").estimate
    assert report.people.n_probes.tolist() == [10]
    assert found["r_truth_uv"] == pytest.approx(0.998, abs=0.002)
    assert found["r_human_uv"] == pytest.approx(0.954, abs=0.01)
    wrong_way = motion.kitti_session(folder / "kitti_session1", read_huperflow(folder / "huperflow"),
                                     {"down": lambda f: dis(f) * torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)})  # fmt: skip
    assert wrong_way.models.set_index("measure").estimate["r_truth_uv"] < 0.7


def test_measures_equal_plain_formulas(made):
    data, model = made
    found = motion.flow_agreement(model, data, n_resamples=50, rng=0).table.estimate
    m, h, g = model.ravel(), data.human.ravel(), data.truth.ravel()
    assert found["r_human_uv"] == pytest.approx(stats.pearsonr(m, h).statistic, abs=1e-12)
    assert found["difference_uv"] == pytest.approx(stats.pearsonr(m, h)[0] - stats.pearsonr(m, g)[0], abs=1e-12)
    left = [y - np.polyval(np.polyfit(g, y, 1), g) for y in (m, h)]
    assert found["partial_uv"] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-10)
    speeds = [np.linalg.norm(v, axis=1) for v in (model, data.human, data.truth)]
    assert found["r_human_speed"] == pytest.approx(stats.pearsonr(*speeds[:2]).statistic, abs=1e-12)
    angles = [np.arctan2(v[:, 1], v[:, 0]) for v in (model, data.human, data.truth)]
    truth = np.unwrap(np.stack([np.full(60, np.pi), angles[2]]), axis=0)[1]
    near = [np.unwrap(np.stack([truth, a]), axis=0)[1] for a in angles[:2]]
    assert found["r_human_direction"] == pytest.approx(stats.pearsonr(*near).statistic, abs=1e-12)
    slope = (m @ h) / (m @ m)
    assert found["gain"] == pytest.approx(slope)
    assert found["r2_gain"] == pytest.approx(1 - ((h - slope * m) ** 2).sum() / ((h - h.mean()) ** 2).sum())
    assert found["epe_human"] == pytest.approx(np.linalg.norm(model - data.human, axis=1).mean())


def test_leaving_a_movie_out_is_dropping_its_rows(made):
    data, model = made
    whole = motion.flow_agreement(model, data, n_resamples=2, rng=0)
    rows = (data.table.movie != 2).to_numpy()
    part = motion.flow_agreement(model[rows], data.select(rows), n_resamples=2, rng=0)
    np.testing.assert_allclose(whole.without.loc[2], part.table.estimate[whole.without.columns], rtol=1e-10)


def test_consistency_by_hand():
    # |G-R|=1, |G|+|R|=3, cos=1, |G-M|=2, |R-M|=1
    assert motion.response_consistency([[3.0, 0]], [[2.0, 0]], [[1.0, 0]]) == pytest.approx(1 / 3 * 2 / 3)
    assert motion.response_consistency([[0.0, 0]], [[2.0, 0]], [[1.0, 0]]) == pytest.approx(-1 / 3 * 1 / 3)
    assert motion.response_consistency([[1.0, 0]], [[2.0, 0]], [[1.0, 0]]) == 0
