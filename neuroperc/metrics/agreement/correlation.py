"""Agreement column by column: correlations, R² and explained variance, with one policy for NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._check import check, integer
from .._array import (
    ArrayT,
    NanPolicy,
    complete,
    constant,
    divide,
    double,
    floating,
    missing,
    restore,
    running_max,
    same_shape,
    take_along,
    unpack,
)


def pearson(x: ArrayT, y: ArrayT, *, axis: int = 0, nan_policy: NanPolicy = "raise") -> ArrayT:
    """Pearson correlation along one axis, for instance per neuroid over presentations.

    It ignores gain and offset: a model that is right up to ``y = a x + b`` (a > 0) scores 1. See `r2` for the
    measure that does not.

    Parameters
    ----------
    x, y
        Arrays of one shape, such as (presentation, neuroid). Symmetric in both.
    axis
        The axis that is reduced.
    nan_policy
        ``"raise"``, ``"omit"`` (each column leaves out its own incomplete rows) or ``"propagate"``.

    Returns
    -------
    array
        Shape of `x` without `axis`, dimensionless, in [−1, 1]. NaN where a column of x or y is constant or has fewer
        than two complete rows; `summarize` counts those.

    Raises
    ------
    ValueError
        For different shapes, fewer than two rows, infinite values, or NaN under ``"raise"``.
    TypeError
        For mixed libraries or values that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1., 5.], [2., 5.], [3., 5.]])
    >>> pearson(x, 2 * x + 1)
    array([ 1., nan])
    """
    xp, (a, b) = _columns(axis, x=x, y=y)
    skip = missing(xp, nan_policy, x=a, y=b)
    r = _pearson(xp, double(xp, a), double(xp, b), skip, axis)
    return restore(xp, r, floating(xp, a, b))


def spearman(x: ArrayT, y: ArrayT, *, axis: int = 0, nan_policy: NanPolicy = "raise") -> ArrayT:
    """Spearman rank correlation along one axis; ties share their average rank.

    Parameters and errors are those of `pearson`. Ranks have no gradient, so neither has this.

    Examples
    --------
    >>> import numpy as np
    >>> spearman(np.array([1., 2., 3., 10.]), np.array([1., 4., 9., 1000.]))
    array(1.)
    """
    xp, (a, b) = _columns(axis, x=x, y=y)
    skip = missing(xp, nan_policy, x=a, y=b)
    r = _pearson(xp, ranks(xp, double(xp, a), skip, axis), ranks(xp, double(xp, b), skip, axis), skip, axis)
    if nan_policy == "propagate":
        hole = xp.any(xp.isnan(double(xp, a)) | xp.isnan(double(xp, b)), axis=axis)
        r = xp.where(hole, xp.full_like(r, xp.nan), r)
    return restore(xp, r, floating(xp, a, b))


def r2(prediction: ArrayT, target: ArrayT, *, axis: int = 0, nan_policy: NanPolicy = "raise") -> ArrayT:
    """Coefficient of determination R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)²: sensitive to gain and to offset.

    A prediction with twice the right gain correlates at 1 and has an R² below 1; one worse than the mean is negative.

    Parameters
    ----------
    prediction, target
        Arrays of one shape. The order matters, as in torch: prediction first (scikit-learn has the target first).
    axis, nan_policy
        As in `pearson`.

    Returns
    -------
    array
        Shape without `axis`, a fraction of the variance of the target. NaN where the target is constant.

    Raises
    ------
    ValueError, TypeError
        As `pearson`.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([-1., 0., 1.])
    >>> r2(2 * y, y), pearson(2 * y, y)
    (array(0.), array(1.))
    """
    return _explained(prediction, target, axis, nan_policy, offset_counts=True)


def explained_variance(prediction: ArrayT, target: ArrayT, *, axis: int = 0, nan_policy: NanPolicy = "raise") -> ArrayT:
    """Explained variance 1 − Var(y − ŷ) / Var(y): sensitive to gain, blind to a constant offset.

    Parameters, shapes and errors are those of `r2`.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([-1., 0., 1.])
    >>> explained_variance(y + 5, y)
    array(1.)
    """
    return _explained(prediction, target, axis, nan_policy, offset_counts=False)


def partial_correlation(x: ArrayT, y: ArrayT, given: ArrayT | Sequence[ArrayT], *, axis: int = 0) -> ArrayT:
    """Pearson correlation of x and y after the linear part of `given` has been taken out of both.

    For one covariate it equals (r_xy − r_xz r_yz) / √((1 − r_xz²)(1 − r_yz²)), which is how pattern and component
    cells are told apart.

    Parameters
    ----------
    x, y
        Arrays of one shape.
    given
        One covariate, or a sequence of covariates, each of the shape of `x` (each column has its own).
    axis
        The axis that is reduced.

    Returns
    -------
    array
        Shape without `axis`. NaN where x or y is constant, or is nothing but a linear function of the covariates.

    Raises
    ------
    ValueError
        For different shapes, NaN, or no more rows than covariates plus two.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=5000)
    >>> x, y = z + rng.normal(size=5000), z + rng.normal(size=5000)
    >>> bool(abs(pearson(x, y) - 0.5) < 0.03), bool(abs(partial_correlation(x, y, z)) < 0.03)
    (True, True)
    """
    covariates = list(given) if isinstance(given, list | tuple) else [given]
    named = {"x": x, "y": y} | {f"given[{i}]": g for i, g in enumerate(covariates)}
    xp, arrays = _columns(axis, minimum=len(covariates) + 3, **named)
    complete(xp, **dict(zip(named, arrays, strict=True)))
    axis = axis % arrays[0].ndim
    values, flat, before = [], [], []
    for array in arrays:
        wide = double(xp, array)
        mean = xp.mean(wide, axis=axis, keepdims=True)
        values.append(wide - mean)
        before.append(xp.sum(values[-1] ** 2, axis=axis, keepdims=True))
        flat.append(constant(xp, before[-1], mean, array.shape[axis]))
    _take_out(xp, values, axis)
    # What exact collinearity leaves is rounding, about 1e-30 of the variance that was there.
    gone = [(xp.sum(values[j] ** 2, axis=axis, keepdims=True) <= 1e-24 * before[j]) | flat[j] for j in (0, 1)]
    r = _cosine(xp, values[0], values[1], axis, ~xp.squeeze(gone[0] | gone[1], axis=axis))
    return restore(xp, r, floating(xp, *arrays[:2]))


def _columns(axis: int, *, minimum: int = 2, **named: Any) -> tuple[Any, list[Any]]:
    xp, arrays = unpack(**named)
    same_shape(**dict(zip(named, arrays, strict=True)))
    ndim = arrays[0].ndim
    check(ndim > 0, " and ".join(named), "arrays with at least one axis", "single numbers", "Give one value a row.")
    integer("axis", axis, minimum=-ndim)
    check(axis < ndim, "axis", f"one of the {ndim} axes", axis, "Count from 0, or from the end with -1.")
    n = arrays[0].shape[axis]
    check(n >= minimum, f"the length of axis {axis}", f"at least {minimum}", n, "Give more presentations.")
    return xp, arrays


def _weights(xp: Any, x: Any, skip: Any, axis: int) -> tuple[Any, Any]:
    if skip is None:
        return None, float(x.shape[axis])
    weights = xp.astype(~skip, xp.float64)
    return weights, xp.sum(weights, axis=axis, keepdims=True)


def _centred(xp: Any, x: Any, weights: Any, n: Any, axis: int) -> tuple[Any, Any]:
    """Return the deviations from the mean (0 where a row is left out) and the mean, kept as an axis of length 1."""
    if weights is None:
        mean = xp.mean(x, axis=axis, keepdims=True)
        return x - mean, mean
    x = xp.where(weights > 0, x, xp.zeros_like(x))
    mean = xp.sum(x, axis=axis, keepdims=True) / xp.clip(n, min=1.0)
    return (x - mean) * weights, mean


def _pearson(xp: Any, x: Any, y: Any, skip: Any, axis: int) -> Any:
    weights, n = _weights(xp, x, skip, axis)
    flat = None
    deviations = []
    for values in (x, y):
        d, mean = _centred(xp, values, weights, n, axis)
        still = constant(xp, xp.sum(d * d, axis=axis, keepdims=True), mean, n)
        flat = still if flat is None else flat | still
        deviations.append(d)
    return _cosine(xp, deviations[0], deviations[1], axis, ~xp.squeeze(flat, axis=axis))


def _cosine(xp: Any, x: Any, y: Any, axis: int, ok: Any) -> Any:
    norms = []
    for v in (x, y):
        squares = xp.sum(v * v, axis=axis)
        norms.append(xp.sqrt(xp.where(ok, squares, xp.ones_like(squares))))
    return xp.clip(divide(xp, xp.sum(x * y, axis=axis), norms[0] * norms[1], ok), min=-1.0, max=1.0)


def _explained(prediction: Any, target: Any, axis: int, nan_policy: NanPolicy, *, offset_counts: bool) -> Any:
    xp, (a, b) = _columns(axis, prediction=prediction, target=target)
    skip = missing(xp, nan_policy, prediction=a, target=b)
    x, y = double(xp, a), double(xp, b)
    weights, n = _weights(xp, x, skip, axis)
    deviation, mean = _centred(xp, y, weights, n, axis)
    residual, offset = _centred(xp, y - x, weights, n, axis)
    total = xp.sum(deviation * deviation, axis=axis, keepdims=True)
    error = xp.sum(residual * residual, axis=axis, keepdims=True)
    if offset_counts:
        error = error + n * offset * offset
    value = 1 - divide(xp, error, total, ~constant(xp, total, mean, n))
    return restore(xp, xp.squeeze(value, axis=axis), floating(xp, a, b))


def _take_out(xp: Any, values: list[Any], axis: int) -> None:
    """Gram-Schmidt in place: each covariate leaves x, y (the first two) and every covariate after it."""
    for i in range(2, len(values)):
        z = values[i]
        size = xp.sum(z * z, axis=axis, keepdims=True)
        z = z / xp.where(size > 0, size, xp.ones_like(size))
        for j in (0, 1, *range(i + 1, len(values))):
            values[j] = values[j] - xp.sum(values[j] * values[i], axis=axis, keepdims=True) * z


def ranks(xp: Any, x: Any, skip: Any, axis: int) -> Any:
    """Return average ranks from 1 along the axis; rows left out come last and do not disturb the others."""
    x = xp.moveaxis(x, axis, -1)
    if skip is not None:
        x = xp.where(xp.moveaxis(skip, axis, -1), xp.full_like(x, xp.inf), x)
    order = xp.argsort(x, axis=-1)
    ordered = take_along(xp, x, order)
    n = x.shape[-1]
    index = xp.broadcast_to(xp.arange(n, dtype=xp.int64, device=x.device), x.shape)
    edge = ordered[..., 1:] != ordered[..., :-1]
    ends = xp.ones_like(edge[..., :1]) if n > 1 else xp.ones_like(ordered[..., :1], dtype=xp.bool)
    zero = xp.zeros_like(index)
    first = running_max(xp, xp.where(xp.concat([ends, edge], axis=-1), index, zero))
    backwards = xp.flip(xp.where(xp.concat([edge, ends], axis=-1), n - 1 - index, zero), axis=-1)
    last = n - 1 - xp.flip(running_max(xp, backwards), axis=-1)
    average = xp.astype(first + last, xp.float64) / 2 + 1
    return xp.moveaxis(take_along(xp, average, xp.argsort(order, axis=-1)), -1, axis)
