"""Which category was shown, from a pattern of voxels: ridge on class indicators, every permutation fitted at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._check import as_rng, check, finite, integer
from ..regression import cross_predict, rotate
from .permutation import permuted_rows

ALPHAS = tuple(float(a) for a in np.logspace(-1, 6, 15))
_COLUMNS = 4096


@dataclass(frozen=True, eq=False)
class Decoding:
    """Held-out classification and its permutation test.

    Attributes
    ----------
    accuracy
        Share of rows whose class was predicted.
    predicted
        (row,) class of each row, predicted while its run was held out.
    labels
        (row,) class that was shown.
    null
        (permutation,) accuracies with labels permuted within runs, fitted and selected anew.
    p_value
        Share of accuracies at least as high as the real one, which counts among them; NaN without permutations.

    Examples
    --------
    >>> import numpy as np
    >>> Decoding(0.5, np.array(["a", "a"]), np.array(["a", "b"]), np.array([]), float("nan")).confusion.tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """

    accuracy: float
    predicted: np.ndarray
    labels: np.ndarray
    null: np.ndarray
    p_value: float

    @property
    def classes(self) -> np.ndarray:
        """The classes, sorted."""
        return np.unique(self.labels)

    @property
    def confusion(self) -> np.ndarray:
        """(shown, predicted) shares of each class shown."""
        shown, said = (np.searchsorted(self.classes, a) for a in (self.labels, self.predicted))
        counts = np.zeros((len(self.classes),) * 2)
        np.add.at(counts, (shown, said), 1)
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def decode_labels(
    patterns: Any,
    labels: Any,
    *,
    runs: Any,
    alphas: Any = ALPHAS,
    n_permutations: int = 0,
    rng: int | np.random.Generator = 0,
) -> Decoding:
    """Predict the class of each pattern with its whole run held out, and test it by permutation within runs.

    Ridge on indicators of the classes; the penalty of each is chosen by leaving out whole runs of the training data. In
    a permutation the labels of each run's rows change places, and everything is chosen and fitted again.

    Parameters
    ----------
    patterns
        (row, voxel): a mean over a block, or the beta of a trial.
    labels
        (row,) class of each.
    runs
        (row,) run of each; 4 or more.
    alphas
        Penalties that are tried.
    n_permutations
        0 leaves the test out.
    rng
        Seed or generator.

    Returns
    -------
    Decoding

    Raises
    ------
    ValueError
        For NaN, fewer than two classes or four runs, or lengths that differ.

    References
    ----------
    .. [1] J V Haxby et al. (2001). Distributed and overlapping representations of faces and objects.
       doi:10.1126/science.1063736

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels, runs = np.tile(["cat", "face", "house"], 6), np.repeat(np.arange(6), 3)
    >>> patterns = (labels[:, None] == np.unique(labels)) @ rng.normal(size=(3, 40)) + rng.normal(size=(18, 40))
    >>> found = decode_labels(patterns, labels, runs=runs, n_permutations=99, rng=0)
    >>> found.accuracy > 0.8, found.p_value
    (True, 0.01)
    """
    x, shown, of_run = np.asarray(patterns, dtype=float), np.asarray(labels).astype(str), np.asarray(runs)
    check(x.ndim == 2, "patterns", "(row, voxel)", f"shape {x.shape}")
    finite("patterns", x, 'Read with nan="drop".')
    for name, array in (("labels", shown), ("runs", of_run)):
        check(array.shape == (len(x),), name, f"one for each of the {len(x)} rows", f"shape {array.shape}")
    for name, given in (("labels", labels), ("runs", runs)):
        lost = np.flatnonzero(pd.isna(np.asarray(given, dtype=object)))
        check(not lost.size, name, "there for every row", f"none in row {lost[:1]}", "Name it or drop the row.")
    check(np.ptp(x, axis=0).any(), "patterns", "ones that vary", "constant voxels only")
    classes, numbers = np.unique(shown, return_inverse=True)
    check(len(classes) > 1, "labels", "of two or more classes", classes)
    check(len(np.unique(of_run)) > 3, "runs", "four or more", np.unique(of_run), "The penalty leaves a run out too.")
    generator, n = as_rng(rng), integer("n_permutations", n_permutations, minimum=0)
    rows = np.arange(len(x))
    orders = [rows] + [permuted_rows(rows, within=of_run, rng=generator) for _ in range(n)]
    truth = numbers[np.stack(orders)]
    predicted = _predict(x, truth, len(classes), of_run, alphas)
    accuracy = (predicted == truth).mean(axis=1)
    p_value = float((accuracy >= accuracy[0]).mean()) if n else float("nan")
    return Decoding(float(accuracy[0]), classes[predicted[0]], shown, accuracy[1:], p_value)


def _predict(x: np.ndarray, truth: np.ndarray, n_classes: int, runs: np.ndarray, alphas: Any) -> np.ndarray:
    """Return the predicted class (labelling, row) of many labellings (labelling, row)."""
    turned = rotate(x)
    splits = [(np.flatnonzero(runs != r), np.flatnonzero(runs == r)) for r in np.unique(runs)]
    found = np.empty_like(truth)
    step = max(1, _COLUMNS // n_classes)
    for start in range(0, len(truth), step):
        some = truth[start : start + step]
        indicators = (some[:, None, :] == np.arange(n_classes)[:, None]).astype(float)
        y = indicators.reshape(-1, len(x)).T
        held = cross_predict(turned, y, splits=splits, estimator="ridge", alphas=alphas, groups=runs)
        for (_, test), scores in zip(splits, held.predictions, strict=True):
            best = scores.reshape(len(test), len(some), n_classes).argmax(axis=2)
            found[start : start + len(some), test] = best.T
    return found
