"""How well a map says where people look: NSS, AUC, information gain, log-likelihood, and maps against maps.

A map belongs to many fixations, or, when it is made anew from each fixation's history, to one (conditional metrics);
`image` says which. Places are pixels: pixel (0, 0) is the centre of the top-left one, x right, y down, so a place
belongs to pixel floor(x + 0.5). Every function gives a value a fixation, so that you choose how to average: over
fixations, or within images first.
"""

from __future__ import annotations

from typing import Any, Literal

import array_api_compat
import numpy as np

from .._check import check, fail, finite, one_of
from ._array import ArrayT, divide, double, floating, restore, same_shape, unpack

Negatives = Literal["all", "non_fixated", "shuffled"]
_BUCKETS = 2**14
_FEW = _BUCKETS + 1  # fewer values are simply sorted
_SLICE = 2**16
_SUM_TOLERANCE = 1e-3


def nss(maps: ArrayT, points_px: ArrayT, *, image: Any = None) -> ArrayT:
    """Return the map's value at each fixation, in standard deviations above the map's mean (NSS).

    Parameters
    ----------
    maps
        (h, w), one for all fixations, or (images, h, w).
    points_px
        (n, 2) x, y in pixels.
    image
        (n,) which map each fixation belongs to. With as many maps as fixations the default is one each: conditional
        NSS.

    Returns
    -------
    array
        (n,); 0 for a constant map, NaN where a place is NaN or off the map.

    Raises
    ------
    ValueError
        For a map with NaN or infinity, or maps that fixations cannot be assigned to.

    References
    ----------
    .. [1] R J Peters, A Iyer, L Itti, C Koch (2005). Components of bottom-up gaze allocation in natural images.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.array([[0.0, 0.0], [0.0, 4.0]])
    >>> nss(maps, np.array([[1, 1], [0, 0], [5, 0]])).round(4)
    array([ 1.7321, -0.5774,     nan])
    """
    xp, stack, points, which, dtype = _inputs(maps, points_px, image)
    flat_maps = xp.reshape(stack, (stack.shape[0], -1))
    mean = xp.mean(flat_maps, axis=1)
    around = flat_maps - mean[:, None]
    sd = xp.sqrt(xp.vecdot(around, around) / around.shape[1])
    _check_finite(xp, stack, sd)
    centred = _look(xp, stack, points, which) - mean[which]
    spread = sd[which]
    # A constant map is 0 everywhere above its mean; NaN places stay NaN.
    flat = spread <= 16 * xp.finfo(xp.float64).eps * xp.abs(mean[which])
    scores = xp.where(flat, centred * 0, centred / xp.where(flat, xp.ones_like(spread), spread))
    return restore(xp, scores, dtype)


def auc(
    maps: ArrayT,
    points_px: ArrayT,
    *,
    negatives: Negatives = "all",
    image: Any = None,
    other_px: Any = None,
) -> ArrayT:
    """Return the share of other places whose value lies below that of each fixation; ties count one half.

    Parameters
    ----------
    maps, points_px, image
        As in `nss`.
    negatives
        What fixations are compared with: "all" pixels of the map (AUC of uniform non-fixations, "AUC-Judd" in most
        tables), "non_fixated" pixels of it, or "shuffled", the fixations on other images (sAUC).
    other_px
        (m, 2) fixations that serve every map with "shuffled"; default: those of `points_px` on other images.

    Returns
    -------
    array
        (n,) in [0, 1]; their mean is the area under the ROC curve. NaN where a place is NaN or off the map, or when
        there is nothing to compare with.

    Raises
    ------
    ValueError
        As in `nss`; for `other_px` without "shuffled", or "shuffled" with one image and no `other_px`.

    References
    ----------
    .. [1] T Judd, K Ehinger, F Durand, A Torralba (2009). Learning to predict where humans look.
    .. [2] B W Tatler, R J Baddeley, I D Gilchrist (2005). Visual correlates of fixation selection.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.array([[0.0, 1.0], [2.0, 2.0]])
    >>> auc(maps, np.array([[1, 1], [0, 0]])), auc(maps, np.array([[1, 1]]), negatives="non_fixated")
    (array([0.75 , 0.125]), array([0.83333333]))
    """
    xp, stack, points, which, dtype = _inputs(maps, points_px, image)
    _check_finite(xp, stack, xp.max(stack) - xp.min(stack))
    one_of("negatives", negatives, ("all", "non_fixated", "shuffled"))
    check(other_px is None or negatives == "shuffled", "other_px", 'given only with negatives="shuffled"', negatives)
    value = _look(xp, stack, points, which)
    others = None if other_px is None else double(xp, _like(xp, other_px, stack))
    enough = negatives != "shuffled" or others is not None or len(stack) > 1
    check(enough, "other_px", "given when there is one image", None, "Shuffled negatives come from other images.")
    shares = xp.full_like(value, xp.nan)
    for k in range(len(stack)):
        mine = (which == k) & ~xp.isnan(value)
        if not bool(xp.any(mine)):
            continue
        against = _negatives(xp, stack, k, points, which, negatives, others)
        if against.shape[0]:
            shares[mine] = _share_below(xp, against, value[mine])
    return restore(xp, shares, dtype)


def _negatives(xp: Any, stack: Any, k: int, points: Any, which: Any, negatives: Negatives, others: Any) -> Any:
    flat = xp.reshape(stack[k], (-1,))
    if negatives == "all":
        return flat
    if negatives == "non_fixated":
        row, column, inside = _pixels(xp, points, stack.shape[1:])
        taken = (row * stack.shape[2] + column)[inside & (which == k)]
        free = xp.ones(flat.shape, dtype=xp.bool, device=array_api_compat.device(flat))
        free[taken] = False
        return flat[free]
    places = points[which != k] if others is None else others
    values = _look(xp, stack[k : k + 1], places, xp.zeros_like(places[:, 0], dtype=xp.int64))
    return values[~xp.isnan(values)]


def _share_below(xp: Any, negatives: Any, positives: Any) -> Any:
    """Return the share of negatives below each positive, ties one half, without sorting a large map.

    Values are first dropped into equal buckets, a step that keeps their order; only those that share a bucket with a
    positive are compared exactly.
    """
    n = negatives.shape[0]
    before = 0
    if n > _FEW:
        before, negatives = _near(xp, negatives, positives)
    ordered = xp.sort(negatives)
    below = xp.searchsorted(ordered, positives, side="left")
    up_to = xp.searchsorted(ordered, positives, side="right")
    return (before + xp.astype(below + up_to, xp.float64) / 2) / n


def _near(xp: Any, values: Any, positives: Any) -> tuple[Any, Any]:
    """Return how many values lie in lower buckets without a positive, and the values in buckets that have one."""
    low, high = xp.min(values), xp.max(values)
    scale = _BUCKETS / (high - low) if bool(high > low) else low * 0
    if not bool(xp.isfinite(scale)):
        return 0, values
    own = xp.astype((xp.clip(positives, low, high) - low) * scale, xp.int64)
    count = xp.zeros_like(values[: _BUCKETS + 1], dtype=xp.int64)
    marked = xp.zeros_like(count, dtype=xp.bool)
    marked[own] = True
    near = []
    for start in range(0, values.shape[0], _SLICE):  # slices stay in the cache
        part = values[start : start + _SLICE]
        scaled = part - low
        scaled *= scale
        bucket = xp.astype(scaled, xp.int64)
        count += xp.bincount(bucket, minlength=_BUCKETS + 1)
        near.append(part[marked[bucket]])
    away = xp.where(marked, xp.zeros_like(count), count)
    return xp.cumulative_sum(away)[own], xp.concat(near)


def log_likelihood(log_density: ArrayT, points_px: ArrayT, *, image: Any = None, above_uniform: bool = True) -> ArrayT:
    """Return the log probability that a density gives to each fixated pixel, in bits.

    Parameters
    ----------
    log_density
        (h, w) or (images, h, w) natural logarithms of probabilities that sum to 1 over the pixels.
    points_px, image
        As in `nss`.
    above_uniform
        Add log2 of the number of pixels, so that a uniform density scores 0 whatever the resolution.

    Returns
    -------
    array
        (n,) bits a fixation; NaN where a place is NaN or off the map.

    Raises
    ------
    ValueError
        When a density does not sum to 1 within 0.001.

    References
    ----------
    .. [1] M Kümmerer, T S A Wallis, M Bethge (2015). Information-theoretic model comparison unifies saliency metrics.

    Examples
    --------
    >>> import numpy as np
    >>> density = np.array([[0.5, 0.25], [0.125, 0.125]])
    >>> log_likelihood(np.log(density), np.array([[0, 0], [0, 1]]))
    array([ 1., -1.])
    """
    xp, stack, points, which, dtype = _inputs(log_density, points_px, image)
    _check_density(xp, "log_density", stack)
    bits = _look(xp, stack, points, which) / np.log(2)
    return restore(xp, bits + np.log2(stack.shape[1] * stack.shape[2]) if above_uniform else bits, dtype)


def information_gain(
    log_density: ArrayT, baseline_log_density: ArrayT, points_px: ArrayT, *, image: Any = None
) -> ArrayT:
    """Return how many bits a fixation is better predicted by a density than by a baseline.

    Parameters
    ----------
    log_density
        As in `log_likelihood`.
    baseline_log_density
        The same for the baseline, such as the centre bias: (h, w) for all images, or of the shape of `log_density`.
    points_px, image
        As in `nss`; one density a fixation gives conditional information gain.

    Returns
    -------
    array
        (n,) bits a fixation; NaN where a place is NaN or off the map.

    References
    ----------
    .. [1] M Kümmerer, T S A Wallis, M Bethge (2015). Information-theoretic model comparison unifies saliency metrics.

    Examples
    --------
    >>> import numpy as np
    >>> model, uniform = np.log(np.array([[0.5, 0.25], [0.125, 0.125]])), np.log(np.full((2, 2), 0.25))
    >>> information_gain(model, uniform, np.array([[0, 0], [0, 1]]))
    array([ 1., -1.])
    """
    xp, stack, points, which, dtype = _inputs(log_density, points_px, image)
    _, base, _, base_which, _ = _inputs(
        baseline_log_density, points_px, image if baseline_log_density.ndim == 3 else None
    )
    same = tuple(base.shape[1:]) == tuple(stack.shape[1:])
    check(same, "baseline_log_density", f"of size {tuple(stack.shape[1:])}", tuple(base.shape[1:]))
    _check_density(xp, "log_density", stack)
    _check_density(xp, "baseline_log_density", base)
    bits = (_look(xp, stack, points, which) - _look(xp, base, points, base_which)) / np.log(2)
    return restore(xp, bits, dtype)


def map_correlation(a: ArrayT, b: ArrayT) -> ArrayT:
    """Return the linear correlation of two maps over their pixels (CC).

    Parameters
    ----------
    a, b
        (..., h, w).

    Returns
    -------
    array
        (...) in [-1, 1]; 0 where either map is constant.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> float(map_correlation(a, 5 - 2 * a)), float(map_correlation(a, np.ones((2, 2))))
    (-1.0, 0.0)
    """
    xp, (a, b), dtype = _two_maps(a, b)
    centred = [x - xp.mean(x, axis=(-2, -1), keepdims=True) for x in (a, b)]
    squares = [xp.sum(c * c, axis=(-2, -1)) for c in centred]
    eps = (16 * xp.finfo(xp.float64).eps) ** 2
    flat = [s <= eps * xp.sum(x * x, axis=(-2, -1)) for s, x in zip(squares, (a, b), strict=True)]
    product = xp.sum(centred[0] * centred[1], axis=(-2, -1))
    fine = ~(flat[0] | flat[1])
    r = divide(xp, product, xp.sqrt(squares[0] * squares[1]), fine)
    return restore(xp, xp.where(fine, xp.clip(r, -1, 1), xp.zeros_like(r)), dtype)


def map_divergence(a: ArrayT, b: ArrayT, *, minimum: float = 1e-20, regularization: float = 0.0) -> ArrayT:
    """Return the Kullback-Leibler divergence of a predicted map from an empirical one, in nats (KL).

    Parameters
    ----------
    a
        (..., h, w) predicted.
    b
        (..., h, w) empirical; the two are not exchangeable.
    minimum
        Added to every pixel before maps are scaled to sum to 1; maps with negative values are first raised to 0.
    regularization
        e in Σ q log(e + q / (p + e)). The MIT/Tübingen benchmark has ``minimum=0`` and 2.2204e-16.

    Returns
    -------
    array
        (...), 0 for equal maps; infinite where the prediction is 0, the other is not and nothing regularises.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array([[1.0, 1.0]]), np.array([[3.0, 1.0]])
    >>> round(float(map_divergence(a, b)), 6)
    0.130812
    """
    check(minimum >= 0, "minimum", "0 or more", minimum)
    check(regularization >= 0, "regularization", "0 or more", regularization)
    xp, maps, dtype = _two_maps(a, b)
    p, q = (_density(xp, x, minimum) for x in maps)
    one, floor = xp.ones_like(q), p + regularization
    ratio = q / xp.where(floor > 0, floor, one)
    terms = q * xp.log(regularization + xp.where(q > 0, ratio, one))
    terms = xp.where((q > 0) & (floor == 0), one * xp.inf, xp.where(q > 0, terms, 0 * one))
    return restore(xp, xp.sum(terms, axis=(-2, -1)), dtype)


def map_similarity(a: ArrayT, b: ArrayT) -> ArrayT:
    """Return the overlap of two maps scaled to sum to 1 (SIM, histogram intersection).

    Parameters
    ----------
    a, b
        (..., h, w); maps with negative values are first raised to 0, and an empty map counts as uniform.

    Returns
    -------
    array
        (...) in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> float(map_similarity(np.array([[1.0, 1.0]]), np.array([[3.0, 1.0]])))
    0.75
    """
    xp, maps, dtype = _two_maps(a, b)
    return restore(xp, xp.sum(xp.minimum(*(_density(xp, x, 0.0) for x in maps)), axis=(-2, -1)), dtype)


def _density(xp: Any, x: Any, minimum: float) -> Any:
    low = xp.min(x, axis=(-2, -1), keepdims=True)
    raised = xp.where(low < 0, x - low, x) + minimum
    total = xp.sum(raised, axis=(-2, -1), keepdims=True)
    uniform = xp.ones_like(raised) / (x.shape[-1] * x.shape[-2])
    return xp.where(total > 0, raised / xp.where(total > 0, total, xp.ones_like(total)), uniform)


def _two_maps(a: Any, b: Any) -> tuple[Any, list[Any], Any]:
    xp, arrays = unpack(a=a, b=b)
    same_shape(a=arrays[0], b=arrays[1])
    check(arrays[0].ndim >= 2, "a and b", "(..., h, w)", f"shape {tuple(arrays[0].shape)}")
    for name, array in zip(("a", "b"), arrays, strict=True):
        finite(name, array)
    return xp, [double(xp, x) for x in arrays], floating(xp, *arrays)


def _inputs(maps: Any, points_px: Any, image: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return the namespace, maps (images, h, w), points (n, 2), the map of each point, and the answer's type."""
    xp, (maps, points) = unpack(maps=maps, points_px=points_px)
    dtype = floating(xp, maps)
    check(maps.ndim in (2, 3), "maps", "(h, w) or (images, h, w)", f"shape {tuple(maps.shape)}")
    fine = points.ndim == 2 and points.shape[1] == 2
    check(fine, "points_px", "(n, 2), x and y", f"shape {tuple(points.shape)}")
    stack = double(xp, maps if maps.ndim == 3 else maps[None, ...])
    n = points.shape[0]
    if image is None:
        check(len(stack) in (1, n), "image", f"given for {len(stack)} maps and {n} fixations", None,
              "Say which map each fixation belongs to.")  # fmt: skip
        image = np.zeros(n, dtype=np.int64) if len(stack) == 1 else np.arange(n)
    which = _like(xp, image, stack)
    whole = which.ndim == 1 and which.shape[0] == n and xp.isdtype(which.dtype, "integral")
    check(whole, "image", f"({n},) whole numbers", f"shape {tuple(which.shape)}, {which.dtype}")
    known = bool(xp.all((which >= 0) & (which < len(stack))))
    check(known, "image", f"from 0 to {len(stack) - 1}", "one outside", "Index the maps from 0.")
    return xp, stack, double(xp, points), xp.astype(which, xp.int64), dtype


def _like(xp: Any, values: Any, other: Any) -> Any:
    if array_api_compat.is_torch_array(other) != array_api_compat.is_torch_array(values):
        if array_api_compat.is_torch_array(values):
            fail("the arrays", "of one library", "NumPy and torch", "Convert them all to one.", TypeError)
        return xp.asarray(np.asarray(values), device=array_api_compat.device(other))
    return xp.asarray(values)


def _pixels(xp: Any, points: Any, size: Any) -> tuple[Any, Any, Any]:
    """Return row, column and whether a place falls on a pixel; others get pixel 0."""
    x, y = xp.floor(points[:, 0] + 0.5), xp.floor(points[:, 1] + 0.5)
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    zero = xp.zeros_like(x)
    row, column = (xp.astype(xp.where(inside, v, zero), xp.int64) for v in (y, x))
    return row, column, inside


def _check_finite(xp: Any, stack: Any, summary: Any) -> None:
    """Look for NaN and infinity only when they show in a sum or range of the maps."""
    if not bool(xp.all(xp.isfinite(summary))):
        finite("maps", stack)


def _look(xp: Any, stack: Any, points: Any, which: Any) -> Any:
    """Return the value of each fixation's map at its pixel, NaN where there is none."""
    row, column, inside = _pixels(xp, points, stack.shape[1:])
    flat = xp.reshape(stack, (-1,))
    value = flat[(which * stack.shape[1] + row) * stack.shape[2] + column]
    return xp.where(inside, value, xp.full_like(value, xp.nan))


def _check_density(xp: Any, name: str, stack: Any) -> None:
    check(not bool(xp.any(xp.isnan(stack))), name, "without NaN", "NaN")
    total = xp.sum(xp.exp(stack), axis=(1, 2))
    off = float(xp.max(xp.abs(total - 1)))
    check(off < _SUM_TOLERANCE, name, "natural logarithms of probabilities that sum to 1 over pixels",
          f"a sum that is off by {off:.3g}", "Subtract its logsumexp.")  # fmt: skip
