"""Held-out predictions of many splits from one rotation of the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .._check import check, finite, integer, one_of
from ._linalg import cpu, namespace, solve
from ._loo import Best, blocks_of, left_out_error, outside_projector, residual_maker, shrinkage
from ._targets import by_missing_rows
from .gram import Rotated, rotate
from .pls import pls_components
from .ridge import ALPHAS, checked_alphas
from .splits import Split, group_index


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of rows that took no part in the fit.

    Attributes
    ----------
    predictions
        One array (test rows, targets) a split, float64; NaN where a target has too few training rows.
    splits
        ``(train, test)`` rows, as they were given.
    alphas
        (split, target) penalties of ridge, NaN where there is none; None for PLS.
    spread
        (split, target) standard deviation of the fitted values over the training rows: the scale of a split's
        predictions, by which those of several splits are brought to one scale before they are pooled.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(40, 200))
    >>> split = np.arange(30), np.arange(30, 40)
    >>> found = cross_predict(x, x[:, :5], splits=[split], estimator="ridge")
    >>> found.predictions[0].shape, found.alphas.shape
    ((10, 5), (1, 5))
    """

    predictions: list[np.ndarray]
    splits: list[Split]
    alphas: np.ndarray | None
    spread: np.ndarray


def cross_predict(
    features: Any,
    targets: Any,
    *,
    splits: Sequence[Split],
    estimator: Literal["pls", "ridge"] = "pls",
    n_components: int = 25,
    alphas: Any = ALPHAS,
    alpha_per_target: bool = True,
    groups: Any = None,
    device: Any = None,
) -> HeldOut:
    """Predict the test rows of every split, from features that are read once.

    The same predictions as `PLS` or `RidgeCV` fitted to the training rows of each split.

    Parameters
    ----------
    features
        (n, units) as for `rotate`, or a `Rotated`.
    targets
        (n, t); NaN marks missing rows, and targets that miss the same rows are fitted together.
    splits
        Pairs (train, test) of row indices.
    estimator
        ``"pls"`` or ``"ridge"``.
    n_components
        Of PLS.
    alphas, alpha_per_target
        Of ridge, as in `RidgeCV`. Penalties are chosen within the training rows.
    groups
        (n,) labels; choosing a penalty leaves out whole groups. None leaves out rows, which is right only when no
        stimulus has two of them.
    device
        None computes with NumPy in float64; else a torch device.

    Returns
    -------
    HeldOut

    Raises
    ------
    ValueError
        For rows that do not fit, splits that overlap, fewer training rows than components, or infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.regression import shuffle_splits
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(80, 300))
    >>> y = x[:, :4] @ rng.normal(size=(4, 6))
    >>> found = cross_predict(x, y, splits=shuffle_splits(range(80)), n_components=5)
    >>> len(found.predictions), found.predictions[0].shape
    (10, (8, 6))
    """
    one_of("estimator", estimator, ("pls", "ridge"))
    penalties, k = checked_alphas(alphas), integer("n_components", n_components)
    turned = features if isinstance(features, Rotated) else rotate(features, device=device)
    y, pairs = _checked(targets, splits, len(turned.scores))
    index = group_index(groups, len(y))
    _check_groups(index, pairs)
    out = [np.full((len(test), y.shape[1]), np.nan) for _, test in pairs]
    chosen, spread = np.full((2, len(pairs), y.shape[1]), np.nan)
    for rows, columns in by_missing_rows(y):
        part = turned if len(rows) == len(y) else _of_rows(turned, rows, device)
        folds = [_Fold.within(rows, train, test) for train, test in pairs]
        mine = _like_values(part.scores, y[np.ix_(rows, columns)])
        if estimator == "pls" or part.scores.shape[1] == 0:  # without any axis both give the training mean
            found, spread[:, columns] = _pls(part, mine, folds, k if estimator == "pls" else 1)
        else:
            found, best, spread[:, columns] = _ridge(part, mine, folds, penalties, index[rows], alpha_per_target)
            chosen[:, columns] = best
        for fold, values, filled in zip(folds, found, out, strict=True):
            filled[np.ix_(fold.place, columns)] = values
    return HeldOut(out, pairs, chosen if estimator == "ridge" else None, spread)


def _of_rows(turned: Rotated, rows: np.ndarray, device: Any) -> Rotated:
    scores = turned.scores[_like(turned.scores, rows)]
    return rotate(scores, device=device) if scores.shape[1] else replace(turned, scores=scores)


@dataclass(frozen=True)
class _Fold:
    """One split in the rows of one pattern of missing values: local indices, and where its test rows go."""

    train: np.ndarray
    removed: np.ndarray  # every row that is not trained on
    test_in_removed: np.ndarray
    place: np.ndarray

    @classmethod
    def within(cls, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> _Fold:
        is_train = np.isin(rows, train)
        removed = np.flatnonzero(~is_train)
        place = np.flatnonzero(np.isin(test, rows))
        return cls(np.flatnonzero(is_train), removed, np.searchsorted(rows[removed], test[place]), place)


def _pls(part: Rotated, y: Any, folds: list[_Fold], n_components: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Fit all splits at once: what a split trains on is everything less its removed rows, so sums are corrected."""
    xp, z, values = namespace(y), part.scores, part.eigenvalues
    least = min(len(fold.train) for fold in folds)
    check(n_components <= least, "n_components", f"at most the number of training rows, {least}", n_components,
          "Give more stimuli or fewer components.")  # fmt: skip
    y_mean = xp.mean(y, axis=0)
    y = y - y_mean
    n_train = xp.asarray([float(len(fold.train)) for fold in folds], dtype=y.dtype, device=y.device)[:, None]
    z_out, y_out = _padded(xp, z, folds), _padded(xp, y, folds)
    z_mean, y_shift = -xp.sum(z_out, axis=1) / n_train, -xp.sum(y_out, axis=1) / n_train
    cross = z.T @ y - xp.matrix_transpose(z_out) @ y_out
    cross = cross - (n_train * z_mean)[..., None] * y_shift[:, None, :]

    def gram_times(r: Any) -> Any:
        lost = (xp.matrix_transpose(z_out) @ (z_out @ r[..., None]))[..., 0]
        return values * r - lost - n_train * z_mean * xp.sum(z_mean * r, axis=-1)[..., None]

    rotations, loadings = pls_components(cross, gram_times, n_components)
    scores = (z_out - z_mean[:, None, :]) @ rotations
    found = scores @ xp.matrix_transpose(loadings) + y_shift[:, None, :] + y_mean
    # The training rows' scores are orthogonal, so variances of fitted values add up over components.
    each = [rotations[..., i] for i in range(rotations.shape[-1])]
    squares = xp.stack([xp.sum(one * gram_times(one), axis=-1) for one in each], axis=-1)
    variance = xp.sum(loadings**2 * squares[:, None, :], axis=-1) / n_train
    spread = cpu(xp.clip(variance, min=0.0) ** 0.5)
    return [cpu(one)[fold.test_in_removed] for one, fold in zip(found, folds, strict=True)], spread


def _padded(xp: Any, x: Any, folds: list[_Fold]) -> Any:
    """Return the removed rows of every split, (split, most rows, columns), filled up with zeros."""
    most = max(len(fold.removed) for fold in folds)
    index, there = np.zeros((len(folds), most), dtype=int), np.zeros((len(folds), most))
    for i, fold in enumerate(folds):
        index[i, : len(fold.removed)] = fold.removed
        there[i, : len(fold.removed)] = 1
    return x[_like(x, index)] * _like_values(x, there)[..., None]


def _ridge(
    part: Rotated, y: Any, folds: list[_Fold], alphas: np.ndarray, index: np.ndarray, per_target: bool
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return predictions, penalties and spreads of all splits from the residual maker of all rows, by penalty."""
    xp = namespace(y)
    centred = y - xp.mean(y, axis=0)  # R y does not change with an offset, but its rounding does
    left, outside = part.left, outside_projector(part.left)
    on_axes = left.T @ centred
    blocks = [blocks_of(index[fold.train]) for fold in folds]
    best: list[Best] = []
    for alpha in map(float, alphas):
        maker = residual_maker(left, part.eigenvalues, outside, alpha)
        residual = left @ (shrinkage(part.eigenvalues, alpha)[:, None] * on_axes)
        residual = residual if outside is None else residual + outside @ centred
        for i, fold in enumerate(folds):
            error, held = _left_out(maker, residual, centred, fold, blocks[i])
            error = error if per_target else xp.mean(error) + 0 * error
            if i == len(best):
                best.append(Best(error, xp.full_like(error, alpha), held))
            else:
                best[i] = best[i].or_better(error, alpha, held)
    found = []
    for each, fold in zip(best, folds, strict=True):
        at = fold.removed[fold.test_in_removed]
        found.append(cpu(y)[at] - cpu(each.value)[fold.test_in_removed])
    return found, np.stack([cpu(each.alpha) for each in best]), np.stack([cpu(each.value)[-1] for each in best])


def _left_out(maker: Any, residual: Any, y: Any, fold: _Fold, blocks: list[np.ndarray]) -> tuple[Any, Any]:
    """Return the error of choosing this penalty (t,) and what goes with it in one split.

    That is the residuals of the rows not trained on and, in the last row, the spread of the fitted values.
    """
    xp = namespace(maker)
    out, kept = _like(maker, fold.removed), _like(maker, fold.train)
    rows = maker[out]
    across = rows[:, kept]
    solved = solve(rows[:, out], xp.concat([across, residual[out]], axis=1))
    bridge, held = solved[:, : len(fold.train)], solved[:, len(fold.train) :]

    def within(groups: np.ndarray) -> Any:
        at = _like(maker, groups)
        inside = maker[kept[at][:, :, None], kept[at][:, None, :]]
        return inside - across.T[at] @ xp.matrix_transpose(bridge.T[at])

    inside = residual[kept] - across.T @ held
    spread = xp.std(y[kept] - inside, axis=0)
    return left_out_error(within, inside, blocks), xp.concat([held, spread[None]], axis=0)


def _like(x: Any, index: np.ndarray) -> Any:
    """Return an index array where x lives."""
    return namespace(x).asarray(index, device=x.device)


def _like_values(x: Any, values: np.ndarray) -> Any:
    return namespace(x).asarray(values, dtype=x.dtype, device=x.device)


def _checked(targets: Any, splits: Sequence[Split], n_rows: int) -> tuple[np.ndarray, list[Split]]:
    y = np.asarray(cpu(targets), dtype=np.float64)
    y = y[:, None] if y.ndim == 1 else y
    check(y.ndim == 2 and len(y) == n_rows, "targets", f"({n_rows}, targets), a row for each of the features'",
          f"shape {y.shape}", "Align both by stimulus_id first.")  # fmt: skip
    finite("targets", np.where(np.isnan(y), 0.0, y), "Replace infinite values; NaN is fine.")
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    check(pairs, "splits", "at least one (train, test)", "none", "Use shuffle_splits or fold_splits.")
    for train, test in pairs:
        rows = np.concatenate([train, test])
        inside = len(rows) > 0 and rows.min() >= 0 and rows.max() < n_rows
        check(inside, "splits", f"of rows 0 to {n_rows - 1}", f"rows up to {rows.max(initial=-1)}")
        check(len(test) > 0 and len(train) > 1, "splits", "of 2 or more training rows and 1 or more test rows",
              (len(train), len(test)))  # fmt: skip
        check(len(np.unique(rows)) == len(rows), "splits", "of different rows", "a row twice", "Nothing may leak.")
    return y, pairs


def _check_groups(index: np.ndarray, pairs: list[Split]) -> None:
    for train, test in pairs:
        torn = np.intersect1d(index[train], index[test])
        check(not torn.size, "splits", "without a group on both sides", f"group {torn[:1]} on both",
              "Make them with shuffle_splits(groups).")  # fmt: skip
