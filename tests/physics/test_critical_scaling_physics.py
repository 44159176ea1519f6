"""What a fit must do on simulated experiments, and what a simulated observer must score."""

import numpy as np
import pandas as pd
import pytest
import torch

import neuroperc as npc
from neuroperc import metamers as mm
from neuroperc import metrics

SCALING = np.geomspace(0.063, 0.27, 8)


def experiments(critical, convention, n, seed=0, **options):
    kind = {"observer": "abx_independent", "convention": convention}
    counts = mm.simulate_critical_scaling(
        SCALING, critical=[critical] * n, gain=5, n_trials=36, lapse=0.02, rng=seed, **kind
    )
    return mm.fit_critical_scaling(SCALING, counts, 36, rng=seed, **kind, **options)


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["broderick", "freeman"])
@pytest.mark.parametrize("critical", [0.12, 0.15])
def test_the_interval_covers(critical, convention):
    fit = experiments(critical, convention, 500)
    covered = (fit.low <= critical) & (critical <= fit.high)
    assert 0.93 <= covered.mean() <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["broderick", "freeman"])
@pytest.mark.parametrize("critical", [0.03, 0.055, 0.3, 0.6])
def test_a_critical_scaling_outside_the_tested_range_is_flagged(critical, convention):
    fit = experiments(critical, convention, 500)
    assert (~fit.identifiable).mean() >= 0.95


def test_one_inside_is_mostly_found():
    fit = experiments(0.12, "broderick", 100, n_resamples=50)
    assert fit.identifiable.mean() >= 0.95
    assert np.median(fit.critical) == pytest.approx(0.12, rel=0.05)
    assert np.median(fit.gain) == pytest.approx(5, rel=0.15)


def test_estimates_converge_with_trials():
    kind = {"observer": "oddity", "convention": "freeman"}
    spread = []
    for n in (40, 4000):
        counts = mm.simulate_critical_scaling(SCALING, critical=[0.13] * 60, gain=9, n_trials=n, rng=1, **kind)
        fit = mm.fit_critical_scaling(SCALING, counts, n, interval="profile", **kind)
        spread.append(np.sqrt(np.mean(np.log(fit.critical / 0.13) ** 2)))
    assert spread[1] < 0.02
    assert spread[1] < spread[0] / 5


def test_the_two_conventions_agree_on_the_critical_scaling_only():
    kind = {"observer": "abx_independent", "n_trials": 2000, "critical": 0.12, "gain": 4.0, "rng": 0}
    counts = mm.simulate_critical_scaling(SCALING, convention="broderick", **kind)
    fits = {
        name: mm.fit_critical_scaling(SCALING, counts, 2000, observer="abx_independent", convention=name,
                                      interval="profile")
        for name in ("broderick", "freeman")
    }  # fmt: skip
    assert float(fits["freeman"].critical) == pytest.approx(0.12, rel=0.15)
    assert float(fits["broderick"].critical) == pytest.approx(0.12, rel=0.03)
    assert float(fits["freeman"].gain) > 1.5 * float(fits["broderick"].gain)
    assert float(fits["freeman"].deviance) > float(fits["broderick"].deviance)


def test_power_grows_with_subjects_and_is_the_level_without_a_difference():
    kind = {"gain": 4, "n_trials": 24, "subject_sd": 0.2, "difference_sd": 0.1, "observer": "abx_independent",
            "convention": "broderick", "rng": 0}  # fmt: skip
    few, many = (
        mm.critical_scaling_power(SCALING, critical=(0.1, 0.15), n_subjects=n, n_experiments=40, **kind)
        for n in (4, 12)
    )
    none = mm.critical_scaling_power(SCALING, critical=(0.12, 0.12), n_subjects=5, n_experiments=80, **kind)
    assert few.power < many.power
    assert many.power > 0.7
    assert none.low <= 0.05  # a t test of such differences is, if anything, too careful
    assert none.low <= none.power <= none.high


@pytest.mark.parametrize(
    ("task", "rule"),
    [("abx", "abx_independent"), ("abx", "abx_differencing"), ("split_screen", "dual_pair"),
     ("split_screen", "two_afc"), ("oddity", "oddity")],
)  # fmt: skip
@pytest.mark.parametrize("lapse", [0.0, 0.2])
def test_a_simulated_observer_scores_what_the_formula_says(task, rule, lapse):
    # Grey pictures 0.2 and 0.4, seen as their mean: d' = 0.2 / noise, half of it when one half changes.
    display = npc.Display.from_px_per_deg(8, resolution_px=(8, 8))
    pictures = np.stack([np.full((1, 8, 8), value) for value in (0.2, 0.4)])
    table = pd.DataFrame({"image": "grey", "scaling": [np.nan, 1.0]})
    stimuli = npc.StimulusSet.from_arrays(pictures, display=display, table=table)
    extra = {"bar_deg": 0.0, "spot_deg": 0.0} if task == "split_screen" else {}
    made = getattr(mm, f"{task}_task")(stimuli, comparison="original_synth", repeats=12000, rng=0, **extra)
    noise = 0.05 if task == "split_screen" else 0.1
    done = mm.simulate_observer(
        made, lambda x: x.mean((-2, -1)), noise_sd=noise, rule=rule, lapse=lapse, rng=1, images_per_batch=2
    )
    np.testing.assert_allclose(done["dprime"], 2.0, rtol=1e-6)
    alternatives = 3 if task == "oddity" else 2
    expected = metrics.with_lapses(getattr(metrics, rule)(np.array([2.0])), lapse=lapse, n_alternatives=alternatives)
    assert done["correct"].mean() == pytest.approx(float(expected[0]), abs=4 * 0.5 / 12000**0.5)
    assert ((done["response"] == done["answer"]) == done["correct"]).all()
    assert done["response"].value_counts(normalize=True).max() < 1 / alternatives + 0.03  # no bias


def test_dual_pair_is_the_larger_of_two_differences():
    rng = np.random.default_rng(0)
    for d in (0.0, 0.7, 2.0, 4.0):
        seen = rng.standard_normal((4, 400_000))
        seen[1] += d
        right = np.abs(seen[1] - seen[0]) > np.abs(seen[3] - seen[2])
        assert right.mean() == pytest.approx(float(metrics.dual_pair(np.array([d]))[0]), abs=0.0035)
    assert metrics.dual_pair(torch.tensor([2.0])).item() == pytest.approx(0.7330, abs=1e-4)


def test_an_observer_with_windows_is_blind_below_them():
    """Averages are linear: a picture moved within the null space of an observer's windows looks the same."""
    display = npc.Display.from_px_per_deg(2, resolution_px=(24, 24))
    model = mm.LuminanceModel(display, scaling=0.6)
    generator = torch.Generator().manual_seed(0)
    picture = 0.4 + 0.2 * torch.rand(1, 1, 24, 24, generator=generator, dtype=torch.float64)
    matrix = torch.autograd.functional.jacobian(lambda x: model(x.reshape(picture.shape)).flatten(), picture.flatten())
    change = torch.rand(24 * 24, generator=generator, dtype=torch.float64) - 0.5
    hidden = change - torch.linalg.pinv(matrix) @ (matrix @ change)
    stack = torch.stack([picture.flatten(), picture.flatten() + 0.2 * hidden, picture.flatten() + 0.2 * change])
    table = pd.DataFrame({"image": "noise", "scaling": [np.nan, 0.5, 1.0]})
    shown = npc.StimulusSet.from_arrays(stack.reshape(3, 1, 24, 24).numpy(), display=display, table=table)
    task = mm.abx_task(shown, comparison="original_synth", repeats=4, rng=0)
    d = pd.Series(mm.task_dprime(task, model, noise_sd=1e-4)).groupby(task.trials["scaling"]).mean()
    assert d[0.5] < 1e-6 * d[1.0]
    assert d[1.0] > 10
