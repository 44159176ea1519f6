"""Which of the candidates a pattern is most like, once what everyone could guess is taken out."""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom

_TIE = 1e-9


def similarities(pattern: np.ndarray, reference: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the cosine (row, candidate) of each pattern (row, f) with ``candidate - reference of the row``.

    It is 0 where one of the two has no length.
    """
    top = pattern @ candidates.T - np.sum(pattern * reference, axis=1, keepdims=True)
    square = np.sum(candidates**2, axis=1) + np.sum(reference**2, axis=1, keepdims=True)
    distance = np.clip(square - 2 * reference @ candidates.T, 0, None)
    length = np.sqrt(np.sum(pattern**2, axis=1, keepdims=True) * distance)
    there = (distance > _TIE * square) & (np.sum(pattern**2, axis=1, keepdims=True) > 0)
    return np.asarray(np.divide(top, length, out=np.zeros_like(top), where=there))


def ranks(similarity: np.ndarray, own: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return how many allowed candidates (row, candidate) are more like, as like, and there, each (row,)."""
    mine = np.take_along_axis(similarity, own[:, None], axis=1)
    apart = similarity - mine
    better = (allowed & (apart > _TIE)).sum(axis=1)
    tied = (allowed & (np.abs(apart) <= _TIE)).sum(axis=1) - 1
    return better, tied, allowed.sum(axis=1)


def chance_of_first(better: np.ndarray, tied: np.ndarray, there: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Return the chance (row,) that the own candidate is first among `n` drawn ones, itself included.

    Exact for all draws (hypergeometric); a fair coin breaks ties.
    """
    ahead = better[:, None] + np.arange(int(tied.max(initial=0)) + 1)
    counts = np.arange(ahead.shape[1]) <= tied[:, None]
    others, drawn = np.asarray(there)[:, None] - 1, np.broadcast_to(np.asarray(n), there.shape)[:, None] - 1
    none_ahead = hypergeom.pmf(0, others, np.minimum(ahead, others), drawn)
    return np.asarray((none_ahead * counts).sum(axis=1) / (tied + 1))
