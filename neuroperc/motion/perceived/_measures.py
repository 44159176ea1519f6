"""Agreement of flows as functions of how often each probe counts: weights (resample, probe) to numbers (resample,)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

Measure = Callable[[np.ndarray], np.ndarray]


class Flows(NamedTuple):
    """Predicted, perceived and true velocities (n, 2)."""

    model: np.ndarray
    human: np.ndarray
    truth: np.ndarray


def correlation(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weighted Pearson correlation of (n, c) arrays, components pooled; NaN where one does not vary."""
    # Centring first keeps the sums of squares exact.
    x, y = x - x.mean(), y - y.mean()
    n = weights.sum(-1) * x.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = weights @ x.sum(1) / n, weights @ y.sum(1) / n
        var_x = weights @ (x * x).sum(1) / n - mean_x**2
        var_y = weights @ (y * y).sum(1) / n - mean_y**2
        flat = (var_x <= 1e-12 * (x * x).mean()) | (var_y <= 1e-12 * (y * y).mean())
        r = (weights @ (x * y).sum(1) / n - mean_x * mean_y) / np.sqrt(np.where(flat, 1, var_x * var_y))
    return np.where(flat, np.nan, np.clip(r, -1, 1))


def partial(r_xy: np.ndarray, r_xz: np.ndarray, r_yz: np.ndarray) -> np.ndarray:
    """Return the correlation of x and y given z; NaN where z explains one of them wholly."""
    rest = (1 - r_xz**2) * (1 - r_yz**2)
    whole = ~(rest > 1e-12)
    return np.where(whole, np.nan, (r_xy - r_xz * r_yz) / np.sqrt(np.where(whole, 1, rest)))


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the weighted mean of (n,) values."""
    return weights @ values / weights.sum(-1)


def speed(flow: np.ndarray) -> np.ndarray:
    """Return (n,) lengths."""
    return np.hypot(flow[:, 0], flow[:, 1])


def angles(flows: Flows) -> Flows:
    """Return (n, 1) directions: the truth's in [0, 2 pi), the others' within pi of it."""
    turned = [np.arctan2(f[:, 1], f[:, 0]) for f in flows]
    truth = turned[2] % (2 * np.pi)
    near = [truth + np.angle(np.exp(1j * (t - truth))) for t in turned[:2]]
    return Flows(*(a[:, None] for a in (*near, truth)))


def consistency(flows: Flows) -> np.ndarray:
    """Return (n,) |G-R|/(|G|+|R|) cos(R-G, M-G) |G-M|/(|G-M|+|R-M|): does the model err as people do?"""
    model, human, truth = flows
    with np.errstate(invalid="ignore", divide="ignore"):
        size = speed(truth - human) / (speed(truth) + speed(human))
        product = ((human - truth) * (model - truth)).sum(1)
        cosine = product / (speed(human - truth) * speed(model - truth))
        nearer = speed(truth - model) / (speed(truth - model) + speed(human - model))
    return np.nan_to_num(size * cosine * nearer)  # no error, no consistency of errors


def measures(flows: Flows) -> dict[str, Measure]:
    """Return everything that needs a model and no ceiling."""
    domains = {"uv": flows, "speed": Flows(*(speed(f)[:, None] for f in flows)), "direction": angles(flows)}
    moves = np.stack([speed(f) > 0 for f in flows]).all(0)
    made: dict[str, Measure] = {}
    for name, (m, h, g) in domains.items():
        # A velocity of zero has no direction.
        seen = moves.astype(float) if name == "direction" else np.ones(len(m))
        made[f"r_human_{name}"] = lambda w, m=m, h=h, s=seen: correlation(w * s, m, h)
        made[f"r_truth_{name}"] = lambda w, m=m, g=g, s=seen: correlation(w * s, m, g)
        made[f"partial_{name}"] = lambda w, m=m, h=h, g=g, s=seen: partial(
            correlation(w * s, m, h), correlation(w * s, m, g), correlation(w * s, h, g)
        )
        made[f"difference_{name}"] = lambda w, m=m, h=h, g=g, s=seen: (
            correlation(w * s, m, h) - correlation(w * s, m, g)
        )
    apart = [speed(flows.model - flows.human), speed(flows.model - flows.truth)]
    errs = consistency(flows)
    made["epe_human"] = lambda w: mean(w, apart[0])
    made["epe_truth"] = lambda w: mean(w, apart[1])
    made["gain"] = lambda w: _slope(w, flows)[0]
    made["r2_gain"] = lambda w: _slope(w, flows)[1]
    made["consistency"] = lambda w: mean(w, errs)
    return made


def _slope(weights: np.ndarray, flows: Flows) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope k of human = k model through the origin, and the R2 of that fit."""
    m, h = flows.model, flows.human
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = weights @ (m * h).sum(1) / (weights @ (m * m).sum(1))
        n = 2 * weights.sum(-1)
        squares = weights @ (h * h).sum(1)
        left = squares - slope * (weights @ (m * h).sum(1))
        return slope, 1 - left / (squares - (weights @ h.sum(1)) ** 2 / n)


def reliability(weights: np.ndarray, halves: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the Spearman-Brown reliability of the mean over all trials from halves (n, 2) of them."""
    r = np.mean([correlation(weights, a, b) for a, b in halves], axis=0)
    return 2 * r / (1 + r)


def trial_halves(trials: np.ndarray, n_splits: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide each probe's own trials (k, n, 2) at random into two equal halves, u and v together."""
    there = np.isfinite(trials).all(-1)
    half = there.sum(0) // 2
    values = np.where(there[..., None], trials, 0.0)
    made = []
    for _ in range(n_splits):
        keys = np.where(there, rng.random(there.shape), 2.0)
        place = keys.argsort(0).argsort(0)
        sides = (place < half, (place >= half) & (place < 2 * half))
        made.append(tuple((values * s[..., None]).sum(0) / np.maximum(half, 1)[:, None] for s in sides))
    return made


def person_halves(people: np.ndarray, n_splits: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide people (k, n, 2) into two equal halves in every way, or in `n_splits` random ones when there are more."""
    size = len(people) // 2
    sides = list(combinations(range(len(people)), size))
    pairs = [(a, b) for a in sides for b in sides if a < b and not set(a) & set(b)]
    if len(pairs) > n_splits:
        pairs = [pairs[i] for i in rng.choice(len(pairs), n_splits, replace=False)]
    return [(_present_mean(people[list(a)]), _present_mean(people[list(b)])) for a, b in pairs]


def _present_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is there; 0, the middle of all, where nothing is."""
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1)


def person_means(trials: np.ndarray, observer: np.ndarray) -> np.ndarray:
    """Return (people, n, 2) means over each person's trials, NaN where there is none."""
    made = []
    for person in dict.fromkeys(np.asarray(observer).tolist()):
        own = trials[np.asarray(observer) == person]
        there = np.isfinite(own).all(-1, keepdims=True)
        count = there.sum(0)
        made.append(np.where(count > 0, np.where(there, own, 0).sum(0) / np.maximum(count, 1), np.nan))
    return np.stack(made)
