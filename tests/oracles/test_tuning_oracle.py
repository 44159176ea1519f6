"""Statistics of tuning against closed forms and planted units."""

import numpy as np
import pytest
from scipy import optimize, stats

from neuroperc.display import Display
from neuroperc.motion import (
    SimoncelliHeeger,
    contrast_statistics,
    direction_statistics,
    opponent_index,
    plaid_statistics,
    plaid_tuning,
    respond,
    speed_statistics,
)
from neuroperc.stimuli import gratings

DIRECTIONS = np.arange(0, 360, 15.0)


def von_mises(kappa, preferred_deg=0.0):
    return np.exp(kappa * (np.cos(np.deg2rad(DIRECTIONS - preferred_deg)) - 1))


def as_responses(*curves):
    return np.stack(curves, -1)[None]


def test_z_values_by_hand():
    rng = np.random.default_rng(0)
    g, p = von_mises(2) + 0.1, rng.random(24)
    found = plaid_statistics(as_responses(g), as_responses(p), DIRECTIONS, blank=0.1).iloc[0]
    component = np.roll(g, 4) + np.roll(g, -4) - 0.1
    left = [v - np.polyval(np.polyfit(component, v, 1), component) for v in (p, g)]
    r_pattern = stats.pearsonr(*left).statistic
    assert found.r_pattern == pytest.approx(r_pattern, abs=1e-10)
    assert found.z_pattern == pytest.approx(np.arctanh(r_pattern) * np.sqrt(21), abs=1e-9)
    left = [v - np.polyval(np.polyfit(g, v, 1), g) for v in (p, component)]
    assert found.z_component == pytest.approx(np.arctanh(stats.pearsonr(*left).statistic) * np.sqrt(21), abs=1e-9)
    assert found["index"] == pytest.approx(found.z_pattern - found.z_component)


def test_planted_pattern_component_and_unclassed_units():
    rng = np.random.default_rng(1)
    g = von_mises(3)
    component = np.roll(g, 4) + np.roll(g, -4)
    plaids = np.stack([g, component, (g / g.std() + component / component.std()) / 2], 1)
    noise = 0.05 * rng.normal(size=(5, 24, 3))
    table = plaid_statistics(np.repeat(g[:, None], 3, 1)[None] + 0 * noise, plaids + noise, DIRECTIONS)
    assert table.kind.tolist() == ["pattern", "component", "unclassed"]
    assert table.index_low[0] > 0 > table.index_high[1]


def test_simoncelli_heeger_mt_is_pattern_and_v1_is_component():
    """Section 3 of the specification: Z_p 5.6, Z_c 0.5 of slow MT units; V1 Z_c about 24."""
    display = Display.from_px_per_deg(1, resolution_px=(39, 39), refresh_hz=100)
    kind = {"sf_cpd": 0.2173 / np.sqrt(2), "tf_hz": 100 * 0.2173 / np.sqrt(2), "duration_s": 0.15, "size_deg": 39,
            "n_phases": 1, "rng": 0, "background": 0.5}  # fmt: skip
    mt = plaid_tuning(SimoncelliHeeger(), display, **kind).table.iloc[1:7]
    assert (mt.kind == "pattern").all()
    assert mt.z_pattern.to_numpy() == pytest.approx(5.6, rel=0.1)
    assert mt.z_component.mean() == pytest.approx(0.53, rel=0.1)
    v1 = plaid_tuning(SimoncelliHeeger(stage="v1"), display, **kind).table
    assert (v1.kind == "component").all()
    assert v1.z_component.median() == pytest.approx(24, rel=0.1)
    assert -3.5 < v1.z_pattern.min() < v1.z_pattern.max() < 2  # the reference's curves give -3.1 to 1.9


@pytest.mark.parametrize("kappa", [1.0, 3.0])
def test_direction_curves_have_closed_forms(kappa):
    fine = np.arange(0, 360, 5.0)
    curve = np.exp(kappa * (np.cos(np.deg2rad(fine - 90)) - 1))
    found = direction_statistics(curve[None, :, None] + 0.3, fine, blank=0.3).iloc[0]
    half = np.rad2deg(np.arccos(1 + np.log(0.5) / kappa))
    bessel = np.i0(kappa), optimize.approx_fprime([kappa], lambda k: np.i0(k[0]))[0]
    assert found.preferred_deg == pytest.approx(90, abs=1e-6)
    assert found.direction_index == pytest.approx(1 - np.exp(-2 * kappa), abs=1e-9)
    assert found.half_width_deg == pytest.approx(half, abs=0.3)
    assert found.circular_variance == pytest.approx(1 - bessel[1] / bessel[0], abs=1e-4)


def test_preferred_direction_across_north_has_a_short_interval():
    repeats = np.stack([von_mises(3, d) for d in (-3, 2, 4, -2)])[..., None]
    found = direction_statistics(repeats, DIRECTIONS).iloc[0]
    assert found.preferred_deg_high - found.preferred_deg_low < 20


def test_planted_speed_units():
    f, w = 2.0 ** np.arange(-2, 3), 2.0 ** np.arange(0, 6)
    x, y = np.log2(f)[:, None], np.log2(w)
    rng = np.random.default_rng(0)
    planted = {"speed": 1.0, "separable": 0.0}
    maps = [2 * np.exp(-((x - 0.3) ** 2) / (2 * 1.2**2) - (y - 2.5 - xi * (x - 0.3)) ** 2 / (2 * 0.9**2))
            for xi in planted.values()]  # fmt: skip
    data = np.stack(maps, -1) + 0.05 * rng.normal(size=(6, 5, 6, 2)) + 0.1
    table = speed_statistics(data, f, w, blank=0.1)
    assert table.kind.tolist() == ["speed", "separable"]
    np.testing.assert_allclose(table.xi, list(planted.values()), atol=0.06)
    np.testing.assert_allclose(np.log2(table.sf_cpd), 0.3, atol=0.1)
    np.testing.assert_allclose(np.log2(table.tf_hz), 2.5, atol=0.1)
    np.testing.assert_allclose(table.sf_octaves, 1.2, atol=0.1)
    np.testing.assert_allclose(table.tf_octaves, 0.9, atol=0.1)
    assert (table.xi_low < list(planted.values())).all()
    assert (table.xi_high > list(planted.values())).all()
    assert table.separability[0] < 0.8 < 0.98 < table.separability[1]


def test_the_fit_is_that_of_scipy():
    f, w = 2.0 ** np.arange(-1, 3), 2.0 ** np.arange(0, 5)
    x, y = (a.ravel() for a in np.meshgrid(np.log2(f), np.log2(w), indexing="ij"))
    rng = np.random.default_rng(3)

    def surface(p):
        return np.exp(p[0] - (x - p[1]) ** 2 / 2 / p[3] ** 2 - (y - p[2] - p[5] * (x - p[1])) ** 2 / 2 / p[4] ** 2)

    data = surface([0.5, 0.4, 1.8, 1.0, 1.1, 0.45]) + 0.1 * rng.normal(size=20)
    best = optimize.least_squares(lambda p: surface(p) - data, [0.5, 0.4, 1.8, 1.0, 1.1, 0.45], xtol=1e-14, ftol=1e-14)
    found = speed_statistics(data.reshape(1, 4, 5, 1), f, w).iloc[0]
    assert found.xi == pytest.approx(best.x[5], abs=1e-4)
    errors = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)) * 2 * best.cost / 14)
    assert found.xi_se == pytest.approx(errors[5], rel=1e-3)


def test_planted_contrast_curves():
    c = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
    planted = [(0.1, 1.0, 0.07, 3.0), (0.0, 5.0, 0.33, 2.4)]
    curves = [b + r * c**n / (c**n + h**n) for b, r, h, n in planted]
    table = contrast_statistics(as_responses(*curves), c)
    np.testing.assert_allclose(table[["base", "r_max", "c50", "n"]], planted, rtol=1e-3, atol=1e-4)


def test_opponent_index_by_hand():
    found = opponent_index([[3, 1, 9, 4], [0, 2, 9, 4]], [0, 180, 90, np.nan])
    np.testing.assert_allclose(found, [0.5, -1])


def test_responses_are_means_over_time():
    display = Display.from_px_per_deg(8, resolution_px=(16, 16))
    movies = gratings(display, sf_cpd=1, tf_hz=[2.0, 4.0, 6.0], duration_s=0.2)

    def model(movie):
        return movie.mean((2, 3, 4))[..., None] + movie[:, :, 0, 0, :2]

    expected = np.stack([(movies[i][3:, 0, 0, :2] + movies[i][3:].mean((1, 2, 3))[:, None]).mean(0).numpy()
                         for i in range(3)])  # fmt: skip
    np.testing.assert_allclose(respond(model, movies, skip_s=0.05, batch_size=2), expected, rtol=1e-6)
