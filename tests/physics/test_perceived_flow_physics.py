"""Intervals cover as often as they say, ceilings recover planted reliabilities."""

import numpy as np
import pandas as pd
import pytest

from neuroperc.data import PerceivedFlow
from neuroperc.motion import flow_agreement, flow_report


def planted(rng, *, n_movies, n_probes, movie_sd, model_sd=0.5, human_sd=0.5):
    """Return data in which the errors of model and people share a part within each movie, and a model."""
    n = n_movies * n_probes
    movie = np.repeat(np.arange(n_movies), n_probes)
    truth = rng.normal(size=(n, 2))
    human = truth + human_sd * rng.normal(size=(n, 2)) + movie_sd * rng.normal(size=(n_movies, 2))[movie]
    model = truth + model_sd * rng.normal(size=(n, 2)) + movie_sd * rng.normal(size=(n_movies, 2))[movie]
    return PerceivedFlow("made", pd.DataFrame({"movie": movie, "subset": "all"}), human, truth), model


def expected_difference(movie_sd, sd=0.5):
    """r(model, human) - r(model, truth) of the population."""
    variance = 1 + sd**2 + movie_sd**2
    return 1 / variance - 1 / np.sqrt(variance)


def coverage(movie_sd, columns, n_runs=500, n_movies=10, n_probes=30, n_resamples=200):
    rng, hits = np.random.default_rng(1), 0
    truth = expected_difference(movie_sd)
    for _ in range(n_runs):
        data, model = planted(rng, n_movies=n_movies, n_probes=n_probes, movie_sd=movie_sd)
        row = flow_agreement(model, data, n_resamples=n_resamples, rng=rng).table.loc["difference_uv"]
        hits += row[columns[0]] <= truth <= row[columns[1]]
    return hits / n_runs


@pytest.mark.slow
def test_intervals_over_movies_cover_under_planted_correlation_within_movies():
    assert 0.92 <= coverage(0.4, ("low_movies", "high_movies"), n_resamples=2) <= 0.98
    # Probes of one movie are not independent then, and an interval over probes is too narrow.
    assert coverage(0.4, ("low", "high"), n_runs=200) < 0.85


@pytest.mark.slow
def test_intervals_over_probes_cover_when_probes_are_independent():
    assert 0.92 <= coverage(0.0, ("low", "high")) <= 0.98


def test_pairing_makes_the_difference_sharper():
    rng = np.random.default_rng(0)
    data, model = planted(rng, n_movies=6, n_probes=30, movie_sd=0)
    table = flow_agreement(model, data, rng=0).table
    width = {k: table.high[k] - table.low[k] for k in ("difference_uv", "r_human_uv", "r_truth_uv")}
    assert width["difference_uv"] < np.hypot(width["r_human_uv"], width["r_truth_uv"])


def test_ceilings_recover_planted_reliability():
    rng = np.random.default_rng(1)
    n, people, each = 600, 6, 4
    truth = rng.normal(size=(n, 2))
    person = 0.8 * rng.normal(size=(people, n, 2))
    trials = truth + np.repeat(person, each, 0) + 1.0 * rng.normal(size=(people * each, n, 2))
    table = pd.DataFrame({"movie": np.repeat(np.arange(20), 30), "subset": "all"})
    data = PerceivedFlow("made", table, trials.mean(0), truth, trials, np.repeat(np.arange(people), each))
    found = flow_report(data, {"truth": truth}, n_resamples=50)
    over_people = 1 / (1 + 0.64 / people + 1 / (people * each))
    assert found.people.ceiling_people.iloc[0] == pytest.approx(over_people, abs=0.02)
    assert found.people.ceiling_trials.iloc[0] > over_people
    # The truth is all there is to know about other people: corrected for their reliability, it agrees as with itself.
    corrected = found.models.set_index("measure").loc["difference_uv_corrected_people"]
    assert corrected.low - 0.02 < 0 < corrected.high + 0.02


def test_an_odd_number_of_people_and_missing_trials():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(300, 2))
    trials = truth + rng.normal(size=(3, 300, 2))
    trials[0, :30] = np.nan
    table = pd.DataFrame({"movie": np.arange(300), "subset": "all"})
    data = PerceivedFlow("made", table, np.nanmean(trials, 0), truth, trials, np.arange(3))
    people = flow_report(data).people.iloc[0]
    assert people.ceiling_people == pytest.approx(0.75, abs=0.04)
    assert np.isnan(people.ceiling_trials)
    assert people.r_between == pytest.approx(0.5, abs=0.05)
