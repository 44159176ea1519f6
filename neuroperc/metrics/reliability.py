"""How much of a response is signal: split halves, noise ceilings and explainable variance, in one currency.

Every estimator returns a `Reliability`: the fraction of the variance of a mean over `n_repeats` trials that is signal.
A fraction means nothing without its number of repeats; `Reliability.at` converts it to any other.

Arrays of trials are (repeat, stimulus, ...); NaN marks a trial that was not run, so counts may differ between stimuli
and between neuroids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple

import numpy as np

from .._check import as_rng, check, fail, integer, one_of, positive
from ._array import ArrayT, complete, constant, divide, double, floating, missing, restore, unpack
from .agreement.correlation import pearson, ranks
from .agreement.representation import rdm_vector, vector_agreement


@dataclass(frozen=True, eq=False)
class Reliability(Generic[ArrayT]):
    """Fraction of variance that is signal, and of the mean of how many repeats.

    Attributes
    ----------
    value
        Signal variance / variance of the mean over `n_repeats` trials, per neuroid. Noise can push it below 0 (where
        the estimator does not stop at 0) and NaN marks neuroids without an estimate; nothing is clipped at 1.
    n_repeats
        The number of repeats `value` is for, per neuroid; with unequal counts the harmonic mean over stimuli.
    estimator
        ``"split_half"``, ``"noise_ceiling"`` or ``"explainable_variance"``.

    Examples
    --------
    >>> import numpy as np
    >>> one_trial = Reliability(np.array([1 / 3]), np.array([1.0]), "explainable_variance")
    >>> one_trial.at(4).value.round(3), one_trial.ncsnr.round(4)
    (array([0.667]), array([0.7071]))
    """

    value: ArrayT
    n_repeats: ArrayT
    estimator: str

    def at(self, n_repeats: float) -> Reliability[ArrayT]:
        """Return the same reliability for the mean over another number of repeats."""
        value = convert_reliability(self.value, from_n=self.n_repeats, to_n=n_repeats)
        count: Any = 0 * self.n_repeats + positive("n_repeats", n_repeats)
        return Reliability(value, count, self.estimator)

    @property
    def ncsnr(self) -> ArrayT:
        """Noise-ceiling signal-to-noise ratio: signal SD / SD of the noise of one trial; NaN for a negative value."""
        xp, (one,) = unpack(value=self.at(1).value)
        ratio = divide(xp, one, 1 - one, one < 1)
        root: ArrayT = divide(xp, xp.sqrt(xp.where(ratio > 0, ratio, 0 * ratio)), xp.ones_like(ratio), ratio >= 0)
        return root


class CeilingBounds(NamedTuple):
    """Lower and upper bound of what any model can reach, each the mean over subjects.

    Attributes
    ----------
    lower
        Agreement of each subject with the mean of the others.
    upper
        Agreement of each subject with the mean of all, itself included.

    Examples
    --------
    >>> CeilingBounds(lower=0.4, upper=0.6).upper
    0.6
    """

    lower: float
    upper: float


def spearman_brown(r: ArrayT, *, factor: float | ArrayT = 2.0) -> ArrayT:
    """Reliability of a measurement made `factor` times longer: f r / (1 + (f − 1) r).

    Parameters
    ----------
    r
        Reliability, for instance the correlation of two halves.
    factor
        New length / old length; 2 for halves.

    Returns
    -------
    array
        Shape of `r`. NaN where the formula has no value (1 + (f − 1) r not above 0).

    Raises
    ------
    ValueError
        For a factor that is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> spearman_brown(np.array([0.5])).round(3)
    array([0.667])
    """
    xp, (a,) = unpack(r=r)
    if isinstance(factor, int | float):
        positive("factor", factor, "Halves have factor 2.")
    wide = double(xp, a)
    bottom = 1 + (factor - 1) * wide
    return restore(xp, divide(xp, factor * wide, bottom, bottom > 0), floating(xp, a))


def convert_reliability(value: ArrayT, *, from_n: float | ArrayT, to_n: float) -> ArrayT:
    """Convert a fraction of signal variance from the mean over `from_n` repeats to the mean over `to_n`.

    Raises
    ------
    ValueError
        For a number of repeats that is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> convert_reliability(np.array([1 / 3]), from_n=1, to_n=4).round(3)
    array([0.667])
    """
    start = positive("from_n", from_n) if isinstance(from_n, int | float) else from_n
    return spearman_brown(value, factor=positive("to_n", to_n) / start)


def split_half_correlation(
    responses: ArrayT,
    *,
    n_splits: int = 10,
    by: Literal["trial", "repeat"] = "trial",
    rng: int | np.random.Generator,
) -> ArrayT:
    """Pearson correlation over stimuli between the means of two random halves of the repeats, not yet corrected.

    Parameters
    ----------
    responses
        (repeat, stimulus, ...); NaN marks missing trials.
    n_splits
        How many random divisions.
    by
        ``"trial"`` divides each stimulus's own trials, as many as there are (one is left out of an odd count, so that
        halves are equal). ``"repeat"`` sends whole repeats to one side, as Brain-Score does: slow drifts between
        repeats then do not count as noise; it needs complete data.
    rng
        Seed or generator.

    Returns
    -------
    array
        (n_splits, ...). NaN where fewer than two stimuli have two trials, or a half is constant.

    Raises
    ------
    ValueError
        For fewer than two repeats or stimuli, infinite values, or NaN with ``by="repeat"``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> trials = rng.normal(size=(500, 1)) + np.sqrt(2) * rng.normal(size=(4, 500, 1))
    >>> r = split_half_correlation(trials, n_splits=20, rng=0)
    >>> r.shape, bool(abs(r.mean() - 0.5) < 0.05)
    ((20, 1), True)
    """
    one_of("by", by, ("trial", "repeat"))
    integer("n_splits", n_splits)
    generator = as_rng(rng)
    xp, a, ok = _trials(responses)
    if by == "repeat" and not bool(xp.all(ok)):
        fail("responses", 'complete for by="repeat"', "missing trials (NaN)", 'Use by="trial".')
    dtype = floating(xp, a)
    wide, sides = xp.where(ok, double(xp, a), xp.zeros_like(double(xp, a))), []
    for _ in range(n_splits):
        first, second = _divide(xp, ok, generator, by)
        halves = [_mean(xp, wide, half)[0] for half in (first, second)]
        sides.append(pearson(halves[0], halves[1], nan_policy="omit"))
    return restore(xp, xp.stack(sides), dtype)


def split_half(
    responses: ArrayT,
    *,
    n_splits: int = 10,
    by: Literal["trial", "repeat"] = "trial",
    rng: int | np.random.Generator,
) -> Reliability[ArrayT]:
    """Split-half reliability, corrected by Spearman and Brown to the number of repeats that was recorded.

    The halves' correlations are averaged over splits before the correction, which is steadier for weak neuroids.
    Brain-Score corrects each split instead: ``spearman_brown(split_half_correlation(...))``.

    Parameters are those of `split_half_correlation`.

    Returns
    -------
    Reliability
        For ``2 (n // 2)`` repeats.

    Raises
    ------
    ValueError
        As `split_half_correlation`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> trials = rng.normal(size=(2000, 1)) + np.sqrt(2) * rng.normal(size=(4, 2000, 1))
    >>> found = split_half(trials, rng=0)
    >>> bool(abs(found.value[0] - 2 / 3) < 0.03), found.n_repeats
    (True, array([4.]))
    """
    r = split_half_correlation(responses, n_splits=n_splits, by=by, rng=rng)
    xp, a, ok = _trials(responses)
    counts = 2 * (xp.sum(xp.astype(ok, xp.int64), axis=0) // 2)
    n, _ = _harmonic(xp, xp.astype(counts, xp.float64))
    value = spearman_brown(xp.mean(r, axis=0))
    return Reliability(value, restore(xp, n, floating(xp, a)), "split_half")


def noise_ceiling(responses: ArrayT) -> Reliability[ArrayT]:
    """Noise ceiling from the variance between the repeats of one stimulus, as in the Natural Scenes Dataset.

    σ_n² is the variance within stimuli pooled over stimuli, σ_s² = max(0, total variance − σ_n²), ncsnr = σ_s/σ_n and
    NC(n) = ncsnr² / (ncsnr² + 1/n). With unequal counts 1/n is its mean over stimuli.

    Parameters
    ----------
    responses
        (repeat, stimulus, ...); NaN marks missing trials. Stimuli shown once count for the total variance only.

    Returns
    -------
    Reliability
        For the (harmonic) number of repeats recorded; `.at(n)` for any other, `.ncsnr` for the ratio itself. NaN where
        no stimulus was repeated or nothing varies.

    Raises
    ------
    ValueError
        For fewer than two repeats or stimuli, or infinite values.

    References
    ----------
    .. [1] E J Allen et al. (2022). A massive 7T fMRI dataset. doi:10.1038/s41593-021-00962-x, Methods.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> trials = rng.normal(size=(2000, 1)) + np.sqrt(2) * rng.normal(size=(4, 2000, 1))
    >>> found = noise_ceiling(trials)
    >>> bool(abs(found.ncsnr[0] - 0.7071) < 0.03), bool(abs(found.at(4).value[0] - 2 / 3) < 0.03)
    (True, True)
    """
    xp, a, ok = _trials(responses)
    wide = xp.where(ok, double(xp, a), xp.zeros_like(double(xp, a)))
    weights = xp.astype(ok, xp.float64)
    mean, counts = _mean(xp, wide, weights)
    within = wide - xp.where(counts > 0, mean, 0 * counts)[None]
    free = xp.sum(xp.clip(counts - 1, min=0.0), axis=0)
    sums = xp.sum(within * within * weights, axis=(0, 1))
    noise = divide(xp, sums, free, free > 0)
    n_trials = xp.sum(weights, axis=(0, 1))
    grand = divide(xp, xp.sum(wide, axis=(0, 1)), n_trials, n_trials > 0)
    deviation = (wide - grand) * weights
    squares = xp.sum(deviation * deviation, axis=(0, 1))
    total = divide(xp, squares, n_trials - 1, (n_trials > 1) & ~constant(xp, squares, grand, n_trials))
    signal = xp.clip(total - noise, min=0.0)
    n, enough = _harmonic(xp, counts)
    value = divide(xp, signal, signal + noise / n, enough & (signal + noise > 0))
    dtype = floating(xp, a)
    return Reliability(restore(xp, value, dtype), restore(xp, n, dtype), "noise_ceiling")


def explainable_variance(responses: ArrayT) -> Reliability[ArrayT]:
    """Explainable variance of one trial: Var(mean over repeats) / mean(Var of a repeat), noise in the mean taken out.

    EV − (1 − EV)/(n − 1), as for repeated movies. The variance runs over stimuli (or time points). It can fall below 0.

    Parameters
    ----------
    responses
        (repeat, stimulus or time, ...); NaN marks missing trials, which must be missing at random.

    Returns
    -------
    Reliability
        For one trial (``n_repeats`` 1); ``.at(n)`` for the mean over n.

    Raises
    ------
    ValueError
        For fewer than two repeats or stimuli, or infinite values.

    References
    ----------
    .. [1] O Schoppe et al. (2016). Measuring the performance of neural models. doi:10.3389/fncom.2016.00010

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> trials = rng.normal(size=(5000, 1)) + np.sqrt(2) * rng.normal(size=(4, 5000, 1))
    >>> found = explainable_variance(trials)
    >>> bool(abs(found.value[0] - 1 / 3) < 0.03), bool(abs(found.at(4).value[0] - 2 / 3) < 0.03)
    (True, True)
    """
    xp, a, ok = _trials(responses)
    wide = xp.where(ok, double(xp, a), xp.zeros_like(double(xp, a)))
    weights = xp.astype(ok, xp.float64)
    mean, counts = _mean(xp, wide, weights)
    shown = xp.astype(counts > 0, xp.float64)
    of_mean, n_stimuli, flat = _variance(xp, xp.where(counts > 0, mean, 0 * counts), shown)
    each, n_each, _ = _variance(xp, xp.moveaxis(wide, 0, 1), xp.moveaxis(weights, 0, 1))
    # A repeat that shows more stimuli knows its variance better, so it weighs more.
    free = xp.clip(n_each - 1, min=0.0)
    n_free = xp.sum(free, axis=0)
    one = divide(xp, xp.sum(xp.where(free > 0, each, 0 * free) * free, axis=0), n_free, n_free > 0)
    n, enough = _harmonic(xp, counts)
    ratio = divide(xp, of_mean, one, enough & (n_stimuli > 1) & (one > 0) & ~flat)
    value = ratio - divide(xp, 1 - ratio, n - 1, n > 1)
    dtype = floating(xp, a)
    return Reliability(restore(xp, value, dtype), restore(xp, xp.ones_like(value), dtype), "explainable_variance")


def rdm_noise_ceiling(rdms: ArrayT, *, method: Literal["spearman", "pearson", "cosine"] = "spearman") -> CeilingBounds:
    """Bounds of the agreement that a model's RDM can reach with the RDMs of several subjects.

    The mean RDM is taken after the transformation that makes it the best fit for `method`: ranks, z-scores, or division
    by the root mean square.

    Parameters
    ----------
    rdms
        (subject, n, n).
    method
        As in `rdm_agreement`.

    Returns
    -------
    CeilingBounds
        ``(lower, upper)``.

    Raises
    ------
    ValueError
        For fewer than two subjects, arrays that are not square, or NaN.

    References
    ----------
    .. [1] H Nili et al. (2014). A toolbox for representational similarity analysis. doi:10.1371/journal.pcbi.1003553

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.metrics import rdm
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(12, 30))
    >>> bounds = rdm_noise_ceiling(rdm(shared + rng.normal(size=(5, 12, 30))))
    >>> bool(0 < bounds.lower < bounds.upper < 1)
    True
    """
    one_of("method", method, ("spearman", "pearson", "cosine"))
    xp, (a,) = unpack(rdms=rdms)
    check(a.ndim == 3 and a.shape[0] > 1, "rdms", "(subject, n, n) with 2 or more subjects", tuple(a.shape))
    complete(xp, rdms=a)
    pooled = _for_pooling(xp, double(xp, rdm_vector(a)), method)
    everyone = xp.sum(pooled, axis=0)
    others = (everyone - pooled) / (a.shape[0] - 1)
    lower = vector_agreement(others, pooled, method)
    upper = vector_agreement(xp.broadcast_to(everyone, pooled.shape), pooled, method)
    return CeilingBounds(float(xp.mean(lower)), float(xp.mean(upper)))


def stack_repeats(values: ArrayT, labels: Any) -> tuple[ArrayT, list[Any]]:
    """Arrange rows that show the same stimulus as repeats: (presentation, ...) to (repeat, stimulus, ...).

    Parameters
    ----------
    values
        (presentation, ...).
    labels
        (presentation,) stimulus of each row, such as ``responses.stimulus_id``.

    Returns
    -------
    array
        (repeat, stimulus, ...) in floating type, NaN where a stimulus has fewer repeats than the most frequent one.
        Stimuli and their repeats keep the order in which they came.
    list
        The label of each stimulus.

    Raises
    ------
    ValueError
        When labels and rows differ in number.

    Examples
    --------
    >>> import numpy as np
    >>> trials, names = stack_repeats(np.array([1., 2., 3.]), ["cat", "dog", "cat"])
    >>> trials, names
    (array([[ 1.,  2.],
           [ 3., nan]]), ['cat', 'dog'])
    """
    xp, arrays = unpack(values=values)
    a: Any = arrays[0]
    names = np.asarray(labels)
    check(names.shape == (a.shape[0],), "labels", f"one for each of the {a.shape[0]} rows", f"shape {names.shape}")
    known, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    stimulus = np.argsort(order)[inverse]
    by_stimulus = np.argsort(stimulus, kind="stable")
    counts = np.bincount(stimulus)
    repeat = np.empty(len(names), dtype=int)
    repeat[by_stimulus] = np.arange(len(names)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (int(counts.max()), len(known), *a.shape[1:])
    out = xp.full(shape, xp.nan, dtype=floating(xp, a), device=a.device)
    out[repeat, stimulus] = xp.astype(a, out.dtype, copy=False)
    return out, known[order].tolist()


def _trials(responses: Any) -> tuple[Any, Any, Any]:
    xp, (a,) = unpack(responses=responses)
    right = a.ndim >= 2 and a.shape[0] > 1 and a.shape[1] > 1
    check(right, "responses", "(repeat, stimulus, ...) with at least 2 of each", f"shape {tuple(a.shape)}",
          "Arrange presentations with stack_repeats(values, stimulus_id).")  # fmt: skip
    missing(xp, "omit", responses=a)
    floats = xp.isdtype(a.dtype, "real floating")
    return xp, a, ~xp.isnan(a) if floats else xp.ones_like(a, dtype=xp.bool)


def _mean(xp: Any, wide: Any, weights: Any) -> tuple[Any, Any]:
    """Return the mean over repeats, NaN where there is none, and the counts."""
    counts = xp.sum(weights, axis=0)
    return divide(xp, xp.sum(wide * weights, axis=0), counts, counts > 0), counts


def _harmonic(xp: Any, counts: Any) -> tuple[Any, Any]:
    """Return the harmonic mean number of repeats over stimuli that were shown, and whether any was repeated."""
    shown = counts > 0
    inverse = xp.where(shown, 1 / xp.where(shown, counts, xp.ones_like(counts)), 0 * counts)
    n_shown = xp.sum(xp.astype(shown, xp.float64), axis=0)
    total = xp.sum(inverse, axis=0)
    return divide(xp, n_shown, total, n_shown > 0), xp.any(counts > 1, axis=0)


def _variance(xp: Any, x: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Return the variance along the first axis, its number of values, and where it is only rounding."""
    n = xp.sum(weights, axis=0)
    mean = xp.sum(x * weights, axis=0) / xp.clip(n, min=1.0)
    deviation = (x - mean) * weights
    squares = xp.sum(deviation * deviation, axis=0)
    return divide(xp, squares, n - 1, n > 1), n, constant(xp, squares, mean, n)


def _divide(xp: Any, ok: Any, generator: np.random.Generator, by: str) -> tuple[Any, Any]:
    """Return the weights (0 or 1) of two equal random halves of the trials that exist."""
    n_repeats = ok.shape[0]
    drawn = (n_repeats,) if by == "repeat" else tuple(ok.shape[:2])
    keys = xp.asarray(generator.random(drawn), dtype=xp.float64, device=ok.device)
    keys = xp.reshape(keys, drawn + (1,) * (ok.ndim - len(drawn)))
    keys = xp.where(ok, keys, xp.full_like(keys, 2.0))
    order = xp.argsort(xp.moveaxis(keys, 0, -1), axis=-1)
    place = xp.moveaxis(xp.argsort(order, axis=-1), -1, 0)
    half = xp.sum(xp.astype(ok, xp.int64), axis=0) // 2
    return xp.astype(place < half, xp.float64), xp.astype((place >= half) & (place < 2 * half), xp.float64)


def _for_pooling(xp: Any, vectors: Any, method: str) -> Any:
    if method == "spearman":
        return ranks(xp, vectors, None, -1)
    if method == "pearson":
        vectors = vectors - xp.mean(vectors, axis=-1, keepdims=True)
    return vectors / xp.sqrt(xp.mean(vectors * vectors, axis=-1, keepdims=True))
