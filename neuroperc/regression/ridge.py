"""Ridge regression with a penalty for each target, chosen by leave-one-out in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from .._check import check
from ._leaving import batches, left_out_errors
from ._linalg import cpu, namespace, to
from ._loo import blocks_of
from ._targets import by_missing_rows, checked_fit, checked_predict, column_means
from .gram import column_blocks, rotate
from .splits import group_index

ALPHAS = tuple(float(a) for a in np.logspace(-2, 8, 21))


class RidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge with an intercept; each target's penalty has the least squared error over rows that are left out.

    One class for one target or a hundred thousand, for features narrower or wider than the number of rows.

    Parameters
    ----------
    alphas
        Penalties that are tried, above 0, in the squared unit of the features.
    alpha_per_target
        True chooses for each target on its own; False takes one for all, as Brain-Score does.
    device
        None fits with NumPy; else a torch device, such as ``"cuda"``. Weights and predictions are NumPy's either way.

    Attributes
    ----------
    alpha_ : numpy.ndarray
        (targets,) the penalty of each.
    best_score_ : numpy.ndarray
        (targets,) minus the mean squared error of left-out rows at that penalty.
    intercept_ : numpy.ndarray
        (targets,).

    Raises
    ------
    ValueError
        For a penalty that is not above 0, infinite values, NaN in the features, or fewer than three rows or groups.

    Notes
    -----
    With ``groups`` whole groups are left out, in closed form too; rows that repeat a stimulus need it. NaN in targets
    marks missing rows. Features and targets in float32 are multiplied in float32. For features wider than rows the fit
    keeps a reference to them and makes `coef_` when asked. Beyond the weights a fit needs little memory: targets are
    taken a few columns at a time.

    References
    ----------
    .. [1] R M Rifkin, R A Lippert (2007). Notes on regularized least squares. MIT-CSAIL-TR-2007-025.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 500))
    >>> y = x[:, :3] @ rng.normal(size=(3, 8))
    >>> found = RidgeCV(alphas=[1, 10, 100]).fit(x, y)
    >>> found.predict(x).shape, found.alpha_.shape
    ((60, 8), (8,))
    """

    def __init__(self, alphas: ArrayLike = ALPHAS, *, alpha_per_target: bool = True, device: Any = None) -> None:
        self.alphas = alphas
        self.alpha_per_target = alpha_per_target
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike, groups: Any = None) -> RidgeCV:
        """Fit features (n, p) to targets (n,) or (n, t), leaving out rows or, with `groups` (n,), whole groups.

        Returns
        -------
        RidgeCV
            Itself.
        """
        x, targets, self._flat = checked_fit(self, X, y)
        alphas = checked_alphas(self.alphas)
        index = group_index(groups, len(x))
        n_targets = targets.shape[1]
        self._alpha, self._score, self._intercept = (np.empty(n_targets) for _ in range(3))
        self._parts: list[tuple[Any, ...]] = []
        for rows, columns in by_missing_rows(targets):
            part, weights, found, y_mean = _fit(
                x, targets, rows, columns, alphas, index[rows], self.alpha_per_target, self.device
            )
            self._alpha[columns], self._score[columns] = found
            self._parts.append((columns, column_means(x, rows), y_mean, part, weights))
        for columns, mean, y_mean, part, weights in self._parts:
            self._intercept[columns] = y_mean - _apply(mean[None], mean, part, weights, offset=True)[0]
        for name, value in (("alpha_", self._alpha), ("best_score_", -self._score), ("intercept_", self._intercept)):
            setattr(self, name, value[0] if self._flat else value)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return predictions (n,) or (n, t) for features (n, p)."""
        x = checked_predict(self, X)
        found = np.empty((len(x), len(self._intercept)))
        for columns, mean, y_mean, part, weights in self._parts:
            found[:, columns] = _apply(x, mean, part, weights) + y_mean
        return found[:, 0] if self._flat else found

    @property
    def coef_(self) -> np.ndarray:
        """Weights (targets, features) from units to targets, or (features,) for one target."""
        n_units = len(self._parts[0][1])
        found = np.empty((len(self._intercept), n_units))
        for columns, mean, _, part, weights in self._parts:
            if part is not None:
                blocks = [(np.asarray(b, dtype=np.float64)).T for b in column_blocks(part)]
                weights = np.concatenate([b @ weights for b in blocks]) - np.outer(mean, weights.sum(axis=0))
            found[columns] = weights.T
        return found[0] if self._flat else found


def checked_alphas(alphas: Any) -> np.ndarray:
    """Return penalties as a float vector; raise unless all are above 0."""
    found = np.atleast_1d(np.asarray(alphas, dtype=float))
    ok = found.ndim == 1 and found.size > 0 and bool(np.all(np.isfinite(found) & (found > 0)))
    check(ok, "alphas", "finite and above 0, at least one", alphas, "Leave-one-out has no closed form at 0.")
    return found


def _fit(
    x: np.ndarray, targets: np.ndarray, rows: np.ndarray, columns: np.ndarray, alphas: np.ndarray, groups: np.ndarray,
    per_target: bool, device: Any,
) -> tuple[np.ndarray | None, np.ndarray, tuple[Any, Any], np.ndarray]:  # fmt: skip
    """Return (features kept for a dual fit or None, weights, (alpha, error), means) of targets that share rows."""
    blocks = blocks_of(groups)
    n_groups = sum(len(block) for block in blocks)
    check(n_groups >= 3, "rows", "3 or more, or of 3 or more groups", n_groups, "Nothing could be left out.")
    part = x if len(rows) == len(x) else x[rows]
    turned = rotate(part, device=device)
    # Products of float32 features and targets are float32, as in himalaya; what is inverted is float64.
    dtype = str(np.result_type(x, targets))
    left, values = to(turned.left, device, dtype), turned.eigenvalues
    whole = len(rows) == len(targets) and len(columns) == targets.shape[1]

    def these(some: slice) -> np.ndarray:
        return targets[:, some] if whole else targets[np.ix_(rows, columns[some])]

    means = np.concatenate([these(s).mean(axis=0, dtype=np.float64) for s in batches(len(rows), len(columns))])
    offsets = means.astype(dtype)

    def take(some: slice) -> Any:
        return to(these(some) - offsets[some], device, dtype)

    errors, on_axes = left_out_errors(left, values, take, len(columns), alphas, blocks)
    chosen = errors.argmin(axis=0) if per_target else np.full(len(columns), errors.mean(axis=1).argmin())
    alpha, found = alphas[chosen], errors[chosen, np.arange(len(columns))]
    kept = part if turned.axes is None else None
    turn = left if turned.axes is None else to(turned.axes * values**0.5, device, dtype)
    return kept, cpu(_weights(turn, values, alpha, on_axes)), (alpha, found), means


def _weights(turn: Any, values: Any, alpha: np.ndarray, on_axes: Any) -> Any:
    """Return turn @ (on_axes / (values + alpha)), in the place of `on_axes` where it fits."""
    xp, n_targets = namespace(turn), on_axes.shape[1]
    penalties = xp.asarray(alpha, device=turn.device)
    square = turn.shape[0] == turn.shape[1]
    found = on_axes if square else xp.empty((len(turn), n_targets), dtype=turn.dtype, device=turn.device)
    for some in batches(max(turn.shape), n_targets, turn.device):
        shrunk = on_axes[:, some] / (values[:, None] + penalties[some])
        found[:, some] = turn @ xp.astype(shrunk, turn.dtype, copy=False)
    return found


def _apply(
    x: np.ndarray, mean: np.ndarray, part: np.ndarray | None, weights: np.ndarray, *, offset: bool = False
) -> np.ndarray:
    """Return (x - mean) on the weights; with `offset` x itself on them, as the intercept needs."""
    shift = 0.0 if offset else mean
    if part is None:
        rows = x - shift
    else:
        rows, at = np.zeros((len(x), len(part))), 0
        for block in column_blocks(part):
            here = slice(at, at + block.shape[1])
            wide = np.asarray(block, dtype=np.float64) - mean[here]
            rows += (x[:, here] - (shift if offset else mean[here])) @ wide.T
            at = here.stop
    found = np.empty((len(x), weights.shape[1]))
    for some in batches(len(weights), weights.shape[1]):
        found[:, some] = rows @ weights[:, some].astype(np.float64, copy=False)
    return found
