"""Critical scalings of many simulated experiments: ours, all at once, against a loop of scipy.optimize.

The loop is a baseline of ours, not a published package: for each experiment Nelder-Mead from nine starts over s0, gain
and lapse, and Brent's method on the profile likelihood for the two limits. Ours is also timed with the calibration of
the limits, which the loop does not do.

Run: python -m benchmarks.critical_scaling
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from benchmarks.timing import interleave, write
from neuroperc import metamers

SCALING = np.geomspace(0.063, 0.27, 8)
N_TRIALS, N_LOOP = 36, 8
OPTIONS = {"observer": "abx_independent", "convention": "broderick"}


def p_correct(ln_s0: float, ln_gain: float, t: float) -> np.ndarray:
    """Proportion correct at the tested scalings, lapses between 0 and 0.06."""
    ln_s0, ln_gain = np.clip(ln_s0, -9, 2), np.clip(ln_gain, -4, 7)  # the bounds of ours
    d = np.exp(ln_gain) * np.clip(1 - np.exp(2 * ln_s0) / SCALING**2, 0, None)
    a, b = special.ndtr(d / 2**0.5), special.ndtr(d / 2)
    lapse = 0.06 * special.expit(t)
    return np.clip((1 - lapse) * (a * b + (1 - a) * (1 - b)) + lapse / 2, 1e-9, 1 - 1e-9)


def scipy_loop(counts: np.ndarray) -> np.ndarray:
    """Return (s0, low, high, cost) of every experiment."""
    found = []
    ln_s = np.log(SCALING)
    for k in counts:

        def cost(theta: np.ndarray, k: np.ndarray = k) -> float:
            p = p_correct(*theta)
            return float(-(k * np.log(p) + (N_TRIALS - k) * np.log1p(-p)).sum())

        starts = [(a, b, 0.0) for a in np.linspace(ln_s[1], ln_s[-2], 3) for b in (0.7, 1.6, 2.5)]
        best = min((minimize(cost, start, method="Nelder-Mead") for start in starts), key=lambda r: r.fun)

        def excess(ln_s0: float, best: object = best) -> float:
            options = [(b, 0.0) for b in (0.7, 1.6, 2.5)]
            runs = [minimize(lambda x: cost((ln_s0, *x)), start, method="Nelder-Mead") for start in options]
            return min(r.fun for r in runs) - best.fun - chi2.ppf(0.95, 1) / 2

        limits = []
        for end, name in ((ln_s[0], 0.0), (ln_s[-1], np.inf)):
            open_side = excess(end) <= 0 or not ln_s[0] < best.x[0] < ln_s[-1]
            limits.append(name if open_side else np.exp(brentq(excess, best.x[0], end, xtol=1e-4)))
        found.append([np.exp(best.x[0]), *limits, best.fun])
    return np.array(found)


def main() -> None:
    """Time a few experiments of the loop, and few and many of ours."""
    rows = []
    counts = metamers.simulate_critical_scaling(SCALING, critical=[0.12] * 500, gain=5, n_trials=N_TRIALS, rng=0,
                                                **OPTIONS)  # fmt: skip

    def ours(part: np.ndarray, interval: str) -> metamers.CriticalScalingFit:
        return metamers.fit_critical_scaling(SCALING, part, N_TRIALS, interval=interval, rng=0, **OPTIONS)

    loop, fit = scipy_loop(counts[:N_LOOP]), ours(counts[:N_LOOP], "profile")
    agreement = {
        "worst_cost_above_the_loop": float(np.max(-fit.log_likelihood - loop[:, 3])),
        "median_relative_difference_of_s0": float(np.median(np.abs(fit.critical / loop[:, 0] - 1))),
        "same_open_sides": float(np.mean(((loop[:, 1] > 0) & np.isfinite(loop[:, 2])) == fit.identifiable)),
    }
    best = interleave(
        {
            f"scipy_loop_{N_LOOP}": lambda: scipy_loop(counts[:N_LOOP]),
            f"ours_profile_{N_LOOP}": lambda: ours(counts[:N_LOOP], "profile"),
            "ours_profile_500": lambda: ours(counts, "profile"),
            "ours_calibrated_500": lambda: ours(counts, "calibrated"),
        },
        repeats=2,
    )
    each = {name: value["cpu_ms"] / int(name.rsplit("_", 1)[1]) for name, value in best.items()}
    slow = each[f"scipy_loop_{N_LOOP}"]
    rows.append({
        "task": "8 scalings, 36 trials, lapse .02", "best": best, "cpu_ms_an_experiment": each,
        "speed_up_cpu": {name: slow / value for name, value in each.items()}, "agreement": agreement,
    })  # fmt: skip
    print({name: round(value, 2) for name, value in rows[0]["speed_up_cpu"].items()}, agreement)
    write("critical_scaling", rows, note="best of 2 rounds, one thread; the loop is a baseline of ours")


if __name__ == "__main__":
    main()
