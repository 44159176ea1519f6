"""Critical scaling of a group: common values plus what subjects and images add, shrunk by how much they vary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special
from scipy.stats import norm

from ..._check import check, one_of, positive
from ...metrics.detection import Convention
from ._likelihood import OBSERVERS, Curve, cost_of
from .fitting import Observer, point_estimates

#: Mean and SD of the priors: ln α₀, and ln s₀ for two models.
_PRIOR_GAIN = (1.6, 1.0)
_PRIOR_CRITICAL = {"energy": (-1.38, 1.0), "luminance": (-4.0, 1.0)}
_CAUCHY = 0.1  # scale of the half-Cauchy prior of every SD
_BETA = (2.0, 50.0)  # of every lapse rate
_ROUNDS = 300


@dataclass(frozen=True, eq=False)
class CriticalScalingGroups:
    """Critical scalings of a group of subjects and images.

    Attributes
    ----------
    comparisons
        A row a comparison: ``critical`` (of the average subject and image), ``low``, ``high``, ``identifiable``,
        ``gain``.
    subjects, images
        ``critical`` and ``gain`` of every subject (with its ``lapse``) and image in every comparison.
    spread
        SDs of ln s₀ and ln α₀ over subjects and images.
    level
        Of the intervals: normal, from the curvature of the penalised likelihood (Laplace), with the SDs held.
    log_posterior
        Penalised log-likelihood at the SDs found.
    converged
        Whether the SDs settled.

    Examples
    --------
    >>> from neuroperc.metamers import CriticalScalingGroups  # made by fit_critical_scaling_groups
    """

    comparisons: pd.DataFrame
    subjects: pd.DataFrame
    images: pd.DataFrame
    spread: pd.DataFrame
    level: float
    log_posterior: float
    converged: bool


@dataclass
class _Model:
    """Which parameters add up to ln s0, ln gain and the lapse of every row of counts."""

    rows: pd.DataFrame
    curve: Curve
    designs: tuple[np.ndarray, np.ndarray, np.ndarray]
    mean: np.ndarray
    precision: np.ndarray
    lapses: slice
    groups: dict[tuple[str, str], slice] = field(default_factory=dict)

    def parts(self, theta: np.ndarray) -> list[np.ndarray]:
        return [design @ theta for design in self.designs]

    def cost(self, theta: np.ndarray) -> float:
        k, n = (self.rows[name].to_numpy(dtype=float) for name in ("k", "n"))
        t = theta[self.lapses]
        # Beta prior of the lapse rate itself, so that 0.02 is its mode.
        beta = ((_BETA[0] - 1) * special.log_expit(t) + (_BETA[1] - 1) * special.log_expit(-t)).sum()
        ridge = 0.5 * (self.precision * (theta - self.mean) ** 2).sum()
        return float(cost_of(k, n, self.curve.p(*self.parts(theta))) + ridge - beta)

    def curvature(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient of -cost and the expected information, penalties included."""
        k, n = (self.rows[name].to_numpy(dtype=float) for name in ("k", "n"))
        p, slopes = self.curve.slopes(*self.parts(theta))
        jacobian = sum(slopes[:, i, None] * design for i, design in enumerate(self.designs))
        weight = n / (p * (1 - p))
        gradient = jacobian.T @ (weight * (k / n - p)) - self.precision * (theta - self.mean)
        information = jacobian.T @ (weight[:, None] * jacobian) + np.diag(self.precision)
        lapse = special.expit(theta[self.lapses])
        total = sum(_BETA) - 2
        where = np.arange(len(theta))[self.lapses]
        gradient[where] += (_BETA[0] - 1) - total * lapse
        information[where, where] += total * lapse * (1 - lapse)
        return gradient, information


def fit_critical_scaling_groups(
    trials: pd.DataFrame,
    *,
    observer: Observer,
    convention: Convention,
    prior: Literal["energy", "luminance"] | tuple[float, float],
    interaction: bool = False,
    level: float = 0.95,
) -> CriticalScalingGroups:
    """Fit critical scalings of several subjects and images together.

    ln s₀ and ln α₀ are a common value for each comparison, plus one for each subject, plus one for each image. The
    penalised likelihood is maximised, and the SDs of subjects and images by EM with its curvature (Laplace).

    Parameters
    ----------
    trials
        A Trials table with ``subject``, ``image``, ``scaling``, ``correct`` and ``comparison`` (one comparison when
        that column is missing).
    observer, convention
        As in `fit_critical_scaling`.
    prior
        ``"energy"``: ln s₀ ~ N(−1.38, 1); ``"luminance"``: N(−4, 1); or (mean, SD) of ln s₀. Further priors: ln α₀ ~
        N(1.6, 1), SDs ~ half-Cauchy(0.1), λ ~ Beta(2, 50) for each subject and comparison.
    interaction
        Also a value for each pair of subject and image.
    level
        Of the intervals.

    Returns
    -------
    CriticalScalingGroups

    Raises
    ------
    ValueError
        When a column is missing, nothing is left to count, or fewer than three scalings were tested.

    References
    ----------
    .. [1] W F Broderick, G Rufo, J Winawer, E P Simoncelli. Foveated metamers of the early visual system (the
       hierarchy and the priors are those of its released code, which samples the posterior instead).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from neuroperc.metamers import fit_critical_scaling_groups, simulate_critical_scaling
    >>> scaling, rng = np.array([0.1, 0.15, 0.2, 0.3, 0.45]), np.random.default_rng(0)
    >>> rows = []
    >>> for subject, s0 in zip("abcd", (0.14, 0.16, 0.15, 0.17)):
    ...     k = simulate_critical_scaling(scaling, critical=s0, gain=5, n_trials=36, observer="abx_independent",
    ...                                   convention="broderick", rng=rng)
    ...     rows += [dict(subject=subject, image="street", scaling=s, correct=i < c, excluded=False)
    ...              for s, c in zip(scaling, k) for i in range(36)]
    >>> fit = fit_critical_scaling_groups(pd.DataFrame(rows), observer="abx_independent", convention="broderick",
    ...                                   prior="energy")
    >>> bool(0.13 < fit.comparisons["critical"].iloc[0] < 0.18), len(fit.subjects)
    (True, 4)
    """
    one_of("observer", observer, OBSERVERS)
    one_of("convention", convention, ("broderick", "freeman"))
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    known = prior if not isinstance(prior, str) else _PRIOR_CRITICAL[one_of("prior", prior, tuple(_PRIOR_CRITICAL))]
    center, width = float(known[0]), positive("prior SD", known[1])
    rows = _counted(trials)
    curve = Curve(rows["scaling"].to_numpy(dtype=float), observer, convention, (0.0, 1.0))
    model = _model(rows, curve, (center, width), interaction)
    theta = _start(model, rows, observer, convention)
    theta, information, converged = _em(model, theta)
    return _summary(model, theta, information, level, converged)


def _counted(trials: pd.DataFrame) -> pd.DataFrame:
    table = trials if "comparison" in trials else trials.assign(comparison="all")
    keys = ["comparison", "subject", "image", "scaling"]
    missing = [name for name in [*keys, "correct", "excluded"] if name not in table]
    check(not missing, "trials", "a Trials table with subject, image, scaling and correct", f"no {missing}")
    used = table[~table["excluded"].astype(bool) & table["correct"].notna()]
    check(len(used) > 0, "trials", "some with a known answer", "none")
    counted = used.assign(_k=used["correct"].astype(int)).groupby(keys, sort=True)["_k"]
    rows = counted.agg(k="sum", n="size").reset_index()
    levels = rows["scaling"].nunique()
    check(levels >= 3, "scaling", "three or more different values", levels, "Test more scalings.")
    check(bool((rows["scaling"] > 0).all()), "scaling", "above 0", float(rows["scaling"].min()))
    return rows


def _model(rows: pd.DataFrame, curve: Curve, prior: tuple[float, float], interaction: bool) -> _Model:
    """Lay the parameters out: common values, then subjects, images and pairs for s0 and gain, then lapses."""
    pair = rows["subject"].astype(str) + "\n" + rows["image"].astype(str)
    factors = {"comparison": rows["comparison"], "subject": rows["subject"], "image": rows["image"]}
    factors |= {"subject x image": pair} if interaction else {}
    blocks: list[tuple[str, str, np.ndarray]] = []
    for what in ("critical", "gain"):
        for name, column in factors.items():
            codes = pd.factorize(column, sort=True)[0]
            blocks.append((name, what, np.eye(codes.max() + 1)[codes]))
    codes = pd.factorize(rows["comparison"].astype(str) + "\n" + rows["subject"].astype(str), sort=True)[0]
    blocks.append(("lapse", "lapse", np.eye(codes.max() + 1)[codes]))
    size = sum(block.shape[1] for _, _, block in blocks)
    designs = tuple(np.zeros((len(rows), size)) for _ in range(3))
    mean, precision = np.zeros(size), np.zeros(size)
    groups, first = {}, 0
    for name, what, block in blocks:
        part = slice(first, first + block.shape[1])
        designs[("critical", "gain", "lapse").index(what)][:, part] = block
        groups[name, what] = part
        first = part.stop
    for what, (center, width) in (("critical", prior), ("gain", _PRIOR_GAIN)):
        mean[groups["comparison", what]], precision[groups["comparison", what]] = center, width**-2
    made = _Model(rows, curve, designs, mean, precision, groups["lapse", "lapse"], groups)  # type: ignore[arg-type]
    for key in _random(made):
        precision[groups[key]] = 0.2**-2
    return made


def _random(model: _Model) -> list[tuple[str, str]]:
    return [key for key in model.groups if key[0] not in ("comparison", "lapse")]


def _start(model: _Model, rows: pd.DataFrame, observer: Observer, convention: Convention) -> np.ndarray:
    """Start from each comparison's pooled counts; where these say nothing, from the prior."""
    theta = model.mean.copy()
    theta[model.lapses] = special.logit(1 / 50)
    for i, (_, part) in enumerate(rows.groupby("comparison", sort=True)):
        pooled = part.groupby("scaling")[["k", "n"]].sum()
        curve = Curve(pooled.index.to_numpy(dtype=float), observer, convention, (0.0, 0.06))
        ln_s0, ln_gain, _, _ = point_estimates(curve, *(pooled[c].to_numpy(dtype=float)[None] for c in ("k", "n")))[0]
        if np.log(curve.scaling.min()) < ln_s0 < np.log(curve.scaling.max()):
            theta[model.groups["comparison", "critical"].start + i] = ln_s0
            theta[model.groups["comparison", "gain"].start + i] = np.clip(ln_gain, 0, 3)
    return theta


def _climb(model: _Model, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fisher scoring with Levenberg's damping to the mode at the present SDs."""
    cost, damping = model.cost(theta), 1e-3
    gradient, information = model.curvature(theta)
    for _ in range(60):
        loaded = information + damping * np.diag(np.diag(information)) + 1e-9 * np.eye(len(theta))
        tried = theta + np.clip(np.linalg.solve(loaded, gradient), -1, 1)
        new = model.cost(tried)
        if new <= cost:
            done = cost - new < 1e-9
            theta, cost, damping = tried, new, damping / 5
            gradient, information = model.curvature(theta)
            if done:
                break
        else:
            damping *= 8
            if damping > 1e6:
                break
    return theta, information


def _em(model: _Model, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Alternate the mode of the effects with the SDs; each SD maximises its expected log posterior in closed form."""
    for _ in range(_ROUNDS):
        theta, information = _climb(model, theta)
        variance = np.diag(np.linalg.inv(information + 1e-9 * np.eye(len(theta))))
        moved = 0.0
        for key in _random(model):
            part = model.groups[key]
            total, count, c = float((theta[part] ** 2 + variance[part]).sum()), part.stop - part.start, _CAUCHY**2
            # (n + 2) v² + (n c - T) v - T c = 0, from -n ln σ - T / 2σ² - ln(1 + σ²/c) with v = σ²
            b = count * c - total
            v = max((-b + np.sqrt(b * b + 4 * (count + 2) * total * c)) / (2 * (count + 2)), 1e-6)
            moved = max(moved, abs(v**0.5 - model.precision[part.start] ** -0.5))
            model.precision[part] = 1 / v
        if moved < 1e-4:
            return theta, information, True
    return theta, information, False


def _summary(
    model: _Model, theta: np.ndarray, information: np.ndarray, level: float, converged: bool
) -> CriticalScalingGroups:
    covariance, z = np.linalg.inv(information + 1e-9 * np.eye(len(theta))), norm.ppf((1 + level) / 2)
    rows, groups = model.rows, model.groups
    names = sorted(rows["comparison"].unique())
    critical, gain = theta[groups["comparison", "critical"]], theta[groups["comparison", "gain"]]
    sd = np.sqrt(np.diag(covariance)[groups["comparison", "critical"]])
    tested = rows.groupby("comparison", sort=True)["scaling"].agg(["min", "max"])
    low, high = np.exp(critical - z * sd), np.exp(critical + z * sd)
    low, high = np.where(low <= tested["min"], 0.0, low), np.where(high >= tested["max"], np.inf, high)
    comparisons = pd.DataFrame({
        "comparison": names, "critical": np.exp(critical), "low": low, "high": high,
        "identifiable": (low > 0) & np.isfinite(high), "gain": np.exp(gain),
    })  # fmt: skip
    members = {}
    for kind in ("subject", "image"):
        who = sorted(rows[kind].unique())
        effect = [theta[groups[kind, what]] for what in ("critical", "gain")]
        table = pd.DataFrame([(c, w) for c in names for w in who], columns=["comparison", kind])
        table["critical"] = np.exp(critical[:, None] + effect[0]).ravel()
        table["gain"] = np.exp(gain[:, None] + effect[1]).ravel()
        members[kind] = table
    pairs = rows[["comparison", "subject"]].astype(str).drop_duplicates().sort_values(["comparison", "subject"])
    lapses = pairs.assign(lapse=special.expit(theta[groups["lapse", "lapse"]]))
    subjects = (
        members["subject"]
        .astype({"comparison": str, "subject": str})
        .merge(lapses.astype({"comparison": str}), how="inner")
    )
    spread = pd.DataFrame(
        [(who, what, model.precision[groups[who, what]][0] ** -0.5) for who, what in _random(model)],
        columns=["over", "of", "sd"],
    )
    return CriticalScalingGroups(
        comparisons, subjects, members["image"], spread, level, -model.cost(theta), bool(converged)
    )
