"""Identification: is the answer to a stimulus closer to that stimulus than to others? Two-way and top-k, exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from .._check import check, integer, one_of
from ._array import ArrayT, complete, constant, divide, double, floating, restore, unpack

Similarity = Literal["pearson", "cosine", "euclidean"]

_SIMILARITIES = ("pearson", "cosine", "euclidean")
_CHUNK = 2**22  # similarities held at a time
_TIE = 1e-12  # equal rows differ by this much after rounding


def two_way_identification(
    prediction: ArrayT, target: ArrayT, *, similarity: Similarity = "pearson", chunk: int | None = None
) -> ArrayT:
    """Share of the other targets that are less similar to a prediction than its own target is.

    All n(n − 1) pairs are compared, so nothing is drawn at random. Ties count one half: chance is 0.5 exactly, for a
    constant answer too.

    Parameters
    ----------
    prediction, target
        (n, ...) features of the same n stimuli, in the same order; what follows n is flattened.
    similarity
        ``"pearson"``, ``"cosine"`` or ``"euclidean"`` (the nearer the more similar).
    chunk
        Rows of the n × n similarities held at a time; None picks it, so that memory does not grow with n².

    Returns
    -------
    array
        (n,) shares in [0, 1]; their mean is the accuracy. NaN where a similarity is undefined (a prediction or its
        target is constant, or zero for ``"cosine"``); such targets are no distractors either.

    Raises
    ------
    ValueError
        For different shapes, fewer than two stimuli, NaN or an unknown similarity.

    Examples
    --------
    >>> import numpy as np
    >>> target = np.eye(4)
    >>> two_way_identification(target, target), two_way_identification(target[::-1], target).mean().round(3)
    (array([1., 1., 1., 1.]), np.float64(0.333))
    """
    xp, a, b, dtype = _features(prediction, target, similarity)
    found = []
    for better, tied, valid, own in _compare(xp, a, b, similarity, chunk):
        n = valid - 1
        share = divide(xp, n - better - tied + tied / 2, n, ~xp.isnan(own) & (n > 0))
        found.append(share)
    return restore(xp, xp.concat(found), dtype)


def top_k_retrieval(
    query: ArrayT,
    gallery: ArrayT,
    *,
    k: int = 1,
    n_candidates: int | None = None,
    similarity: Similarity = "cosine",
    chunk: int | None = None,
) -> ArrayT:
    """Chance that a query's own entry is among the k most similar of `n_candidates` gallery entries.

    With a smaller pool than the gallery the distractors are a random subset; the mean over all subsets follows from the
    rank alone (hypergeometric), so the answer is exact and needs no seed. Chance level is k / n_candidates.

    Parameters
    ----------
    query, gallery
        (n, ...) features of the same n stimuli, in the same order.
    k
        How many guesses count.
    n_candidates
        Size of the pool, own entry included; None means all n.
    similarity, chunk
        As in `two_way_identification`.

    Returns
    -------
    array
        (n,) chances in [0, 1]; 0 or 1 for the whole gallery, unless entries tie, which a fair coin then breaks. NaN
        where the query's similarity to its own entry is undefined.

    Raises
    ------
    ValueError
        For different shapes, NaN, a pool larger than the gallery or smaller than two, or k outside the pool.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> gallery = rng.normal(size=(100, 5))
    >>> query = gallery + rng.normal(size=gallery.shape)
    >>> all_of_them, ten = (top_k_retrieval(query, gallery, n_candidates=n).mean() for n in (None, 10))
    >>> bool(all_of_them < ten)
    True
    """
    xp, a, b, dtype = _features(query, gallery, similarity)
    n = a.shape[0]
    pool = n if n_candidates is None else integer("n_candidates", n_candidates, minimum=2)
    check(pool <= n, "n_candidates", f"at most the {n} entries of the gallery", pool,
          "Give a larger gallery, or n_candidates=None.")  # fmt: skip
    check(integer("k", k) <= pool, "k", f"at most the {pool} candidates", k, "Ask for fewer guesses.")
    hit: Any = np.concatenate([[0.0], np.cumsum(_hit_by_rank(n, pool, k))])
    cumulative = xp.asarray(hit, dtype=xp.float64, device=a.device)
    found = []
    for better, tied, _, own in _compare(xp, a, b, similarity, chunk):
        first = xp.astype(better, xp.int64)
        last = first + xp.astype(tied, xp.int64) + 1
        found.append(divide(xp, cumulative[last] - cumulative[first], tied + 1, ~xp.isnan(own)))
    return restore(xp, xp.concat(found), dtype)


def _hit_by_rank(n: int, pool: int, k: int) -> Any:
    """Return the chance of a hit when `rank` of the n − 1 distractors are better, for every rank."""
    from scipy.stats import hypergeom

    chance: Any = hypergeom.cdf(k - 1, n - 1, np.arange(n), pool - 1)
    return chance


def _features(prediction: Any, target: Any, similarity: str) -> tuple[Any, Any, Any, Any]:
    one_of("similarity", similarity, _SIMILARITIES)
    xp, (a, b) = unpack(prediction=prediction, target=target)
    dtype = floating(xp, a, b)
    for name, v in (("prediction", a), ("target", b)):
        check(v.ndim >= 2 and v.shape[0] >= 2, name, "(stimulus, ...) with at least 2 stimuli", tuple(v.shape))
    check(tuple(a.shape) == tuple(b.shape), "prediction and target", "of one shape", (tuple(a.shape), tuple(b.shape)),
          "Align the rows by stimulus_id first.")  # fmt: skip
    complete(xp, prediction=a, target=b)
    a, b = (xp.reshape(v, (v.shape[0], -1)) for v in (a, b))
    check(similarity != "pearson" or a.shape[1] > 1, "prediction", "of 2 or more features", a.shape[1],
          'Use similarity="euclidean".')  # fmt: skip
    return xp, double(xp, a), double(xp, b), dtype


def _unit(xp: Any, x: Any, similarity: str) -> Any:
    """Rows of length 1, NaN where they have no direction."""
    ok = None
    if similarity == "pearson":
        mean = xp.mean(x, axis=1, keepdims=True)
        x = x - mean
        ok = ~constant(xp, xp.sum(x * x, axis=1, keepdims=True), mean, x.shape[1])
    length = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    return divide(xp, x, length + 0 * x, (length > 0 if ok is None else ok))


def _compare(xp: Any, a: Any, b: Any, similarity: str, chunk: int | None) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yield, chunk by chunk of predictions, how many targets are better, tied and defined, and the own similarity."""
    n = a.shape[0]
    rows = max(1, _CHUNK // n) if chunk is None else integer("chunk", chunk)
    if similarity == "euclidean":
        mean = xp.mean(b, axis=0)
        a, b = a - mean, b - mean
        half = xp.sum(b * b, axis=1) / 2
        tie = _TIE * (xp.max(xp.abs(half)) + xp.max(xp.sum(a * a, axis=1)))
    else:
        a, b, tie, half = _unit(xp, a, similarity), _unit(xp, b, similarity), _TIE, None
    for start in range(0, n, rows):
        score = a[start : start + rows] @ b.T
        # −|a − b|²/2 without |a|², which is the same for all targets.
        score = score if half is None else score - half
        m = score.shape[0]
        index: Any = xp.arange(m, dtype=xp.int64, device=a.device)
        own = score[index, index + start]
        apart = score - own[:, None]
        better, tied, valid = (
            xp.sum(xp.astype(flag, xp.float64), axis=1)
            for flag in (apart > tie, xp.abs(apart) <= tie, ~xp.isnan(score))
        )
        yield better, tied - 1, valid, own
