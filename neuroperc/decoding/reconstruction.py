"""Pictures from voxels: linear reconstruction with whole stimuli held out, and what it must be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .._check import check, integer, one_of
from ..metrics import mean_interval
from ..regression import RidgeCV, fold_splits
from ._ranks import chance_of_first, ranks, similarities
from ._trials import checked_trials

#: Penalties, times the mean squared length of a row of features.
ALPHAS = tuple(float(a) for a in np.logspace(-4, 3, 15))
SOURCES = ("reconstruction", "mean image", "class mean", "nearest image", "encoding model")


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Pictures read from voxels, each while its stimulus was held out, beside what could be guessed without voxels.

    Attributes
    ----------
    images, predictions
        (row, ...) what was shown, and what was read.
    mean_image, class_mean, nearest
        (row, ...) guesses: the mean training picture; the mean training picture of the row's condition, which only an
        oracle knows (of all where the fold has none of it; None without conditions); the training picture most like the
        prediction.
    scores
        A row for each row and source: `row stimulus condition source pixcorr better tied n_candidates two_way n_way`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images = rng.random((40, 4, 4))
    >>> voxels = images.reshape(40, 16) @ rng.normal(size=(16, 60)) + rng.normal(size=(40, 60))
    >>> found = reconstruct(voxels, images, stimuli=np.arange(40), n_folds=5)
    >>> bool(found.identification(10).mean() > 0.5), found.chance(10)
    (True, 0.1)
    """

    images: np.ndarray
    predictions: np.ndarray
    mean_image: np.ndarray
    class_mean: np.ndarray | None
    nearest: np.ndarray
    scores: pd.DataFrame

    @property
    def sources(self) -> list[str]:
        """What was scored, in order."""
        return list(self.scores["source"].unique())

    def of(self, source: str) -> pd.DataFrame:
        """Return the scores of one source, a row a row.

        Raises
        ------
        ValueError
            For a source that was not scored.
        """
        one_of("source", source, self.sources)
        return self.scores[self.scores["source"] == source].reset_index(drop=True)

    def identification(self, n_candidates: int | None = None, *, source: str = "reconstruction") -> np.ndarray:
        """Return the chance (row,) that the shown picture is first among `n_candidates` of its condition, itself too.

        Exact over all draws; None takes all candidates of the row's condition.

        Raises
        ------
        ValueError
            For more candidates than a condition has.
        """
        table = self.of(source)
        there = table["n_candidates"].to_numpy()
        n = there if n_candidates is None else self._few_enough(n_candidates)
        return chance_of_first(table["better"].to_numpy(), table["tied"].to_numpy(), there, n)

    def chance(self, n_candidates: int | None = None) -> float:
        """Return what guessing gives in `identification`."""
        if n_candidates is not None:
            return 1 / self._few_enough(n_candidates)
        return float(np.mean(1 / self.of(self.sources[0])["n_candidates"]))

    def _few_enough(self, n_candidates: int) -> int:
        most = int(self.of(self.sources[0])["n_candidates"].min())
        ok = integer("n_candidates", n_candidates, minimum=2) <= most
        check(ok, "n_candidates", f"at most {most}, the candidates of the smallest condition", n_candidates)
        return n_candidates

    def summary(self, *, n_resamples: int = 1000, rng: int | np.random.Generator) -> pd.DataFrame:
        """Return means with 95 % intervals over stimuli: a row a source.

        Returns
        -------
        pandas.DataFrame
            Index `source`; `pixcorr two_way n_way`, each with ``_low`` and ``_high``; `pixcorr` is NaN for the encoding
            model, which gives no picture.
        """
        rows = []
        for source in self.sources:
            table = self.of(source)
            row: dict[str, float] = {}
            for name in ("pixcorr", "two_way", "n_way"):
                values = table[name].to_numpy()
                found: tuple[float, ...] = (np.nan,) * 3
                if np.isfinite(values).all():
                    found = mean_interval(values, groups=table["stimulus"], n_resamples=n_resamples, rng=rng)[:3]
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index(self.sources, name="source"))


def reconstruct(
    responses: Any,
    images: Any,
    *,
    stimuli: Any = "stimulus_id",
    groups: Any = None,
    conditions: Any = None,
    n_folds: int | None = None,
    alphas: Any = ALPHAS,
    screen: int = 0,
    encoding: bool = True,
    progress: bool = False,
    rng: int | np.random.Generator = 1,
) -> Reconstruction:
    """Reconstruct pictures from voxels by ridge regression, whole stimuli held out, and identify them among others.

    Voxels are standardised, weighted and fitted on training rows only; penalties are chosen within them by leaving out
    whole groups in closed form. Identification compares deviations from the mean training picture: whoever guesses
    that picture stands at chance.

    Parameters
    ----------
    responses
        (row, voxel), or a Responses.
    images
        (row, ...) pictures or features shown, or a StimulusSet whose ids are the Responses' `stimulus_id`.
    stimuli
        What is identified: a coordinate's name or (row,) labels; rows of one label show one picture.
    groups
        Name or labels of what is held out whole, each stimulus inside one; None holds out stimuli. When groups are
        conditions, all candidates are equally unseen, which is the fairest test.
    conditions
        Name or labels, of two stimuli or more each; candidates come from the row's own condition. None takes all
        stimuli.
    n_folds
        Of groups; None leaves out one at a time.
    alphas
        Penalties, times the mean squared length of a row of features.
    screen
        Weights each voxel by the share of its training variance that this many principal components of the training
        pictures explain; 0 leaves all alike.
    encoding
        Identify by predicted voxels, too: ridge from pictures to voxels, compared over voxels weighted by their
        cross-validated R² in the training rows.
    progress
        Show a bar over folds.
    rng
        Order of the groups in folds.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ValueError
        For NaN, rows that do not match, a stimulus of several pictures or in several groups, or fewer than four groups.

    References
    ----------
    .. [1] Y Miyawaki et al. (2008). Visual image reconstruction from human brain activity.
       doi:10.1016/j.neuron.2008.11.004
    .. [2] K N Kay et al. (2008). Identifying natural images from human brain activity. doi:10.1038/nature06713
    .. [3] K Shirakawa et al. (2024). Spurious reconstruction from brain activity. arXiv:2405.10078

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images = np.repeat(rng.random((12, 3, 3)), 2, axis=0)
    >>> voxels = images.reshape(24, 9) @ rng.normal(size=(9, 50)) + 0.3 * rng.normal(size=(24, 50))
    >>> found = reconstruct(voxels, images, stimuli=np.repeat(np.arange(12), 2))
    >>> found.predictions.shape, bool(found.of("reconstruction")["two_way"].mean() > 0.8)
    ((24, 3, 3), True)
    """
    x, shape, y, labels, held, kinds = checked_trials(responses, images, stimuli, groups, conditions)
    first, own = np.unique(labels, return_index=True, return_inverse=True)[1:]
    n_components = integer("screen", screen, minimum=0)
    splits = fold_splits(held, n_folds=len(np.unique(held)) if n_folds is None else n_folds, rng=rng)
    made = {name: np.zeros_like(y) for name in ("prediction", "mean", "class", "nearest")}
    similar = np.zeros((len(y), len(first)))
    for train, test in tqdm(splits, disable=not progress, desc="folds"):
        fold = _Fold.of(x, y, train, np.asarray(alphas, dtype=float), held[train])
        deviation = fold.predict(test, n_components)
        made["prediction"][test], made["mean"][test] = deviation + fold.mean_image, fold.mean_image
        made["nearest"][test] = y[train][_nearest(deviation, fold.dy[train])]
        made["class"][test] = _class_means(y, kinds, train, test)
        if encoding:
            similar[test] = fold.encode(test, y[first])
    if conditions is None:
        del made["class"]
    scores = _scores(made, similar if encoding else None, y[first], own, kinds[first] == kinds[:, None])
    scores.insert(1, "stimulus", labels[scores["row"]])
    scores.insert(2, "condition", kinds[scores["row"]])
    shown = {name: values.reshape(len(x), *shape) for name, values in made.items()}
    return Reconstruction(y.reshape(len(x), *shape), shown["prediction"], shown["mean"], shown.get("class"),
                          shown["nearest"], scores)  # fmt: skip


@dataclass(frozen=True)
class _Fold:
    """Standardised voxels and deviations of pictures, by the training rows, and models fitted to these."""

    dx: np.ndarray
    dy: np.ndarray
    mean_image: np.ndarray
    train: np.ndarray
    alphas: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, train: np.ndarray, *rest: Any) -> _Fold:
        spread = x[train].std(axis=0)
        moving = spread > 1e-12 * np.abs(x[train]).max(axis=0, initial=0)
        dx = (x - x[train].mean(axis=0)) * np.divide(1, spread, out=np.zeros_like(spread), where=moving)
        mean_image = y[train].mean(axis=0)
        return cls(dx, y - mean_image, mean_image, train, *rest)

    def predict(self, test: np.ndarray, n_components: int) -> np.ndarray:
        """Return pictures of the test rows as deviations from the mean training picture."""
        weights = self._voxel_weights(n_components) if n_components else np.ones(self.dx.shape[1])
        return np.asarray(self._fit(self.dx * weights, self.dy).predict(self.dx[test] * weights))

    def _voxel_weights(self, n_components: int) -> np.ndarray:
        left, size, _ = np.linalg.svd(self.dy[self.train], full_matrices=False)
        inside = left[:, :n_components] * (size[:n_components] > 1e-9 * size[0])
        voxels = self.dx[self.train]
        power = np.sum(voxels**2, axis=0)
        found = np.sum((inside.T @ voxels) ** 2, axis=0)
        return np.divide(found, power, out=np.zeros_like(found), where=power > 0)

    def encode(self, test: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return how like (row, candidate) the voxels are to those predicted for each candidate."""
        model = self._fit(self.dy, self.dx)
        variance = self.dx[self.train].var(axis=0)
        explained = 1 + np.divide(model.best_score_, variance, out=np.full_like(variance, -1), where=variance > 0)
        weight = np.clip(explained, 0, None)
        weight = weight if weight.any() else np.ones_like(weight)
        patterns = (self.dx[test], model.predict(candidates - self.mean_image))
        seen, expected = ((v - v @ weight[:, None] / weight.sum()) * weight**0.5 for v in patterns)
        return similarities(seen, np.zeros_like(seen), expected)

    def _fit(self, features: np.ndarray, targets: np.ndarray) -> RidgeCV:
        trained = features[self.train]
        scale = float(np.mean(np.sum(trained**2, axis=1)))
        check(scale > 0, "responses and images", "ones that vary in every fold", "constant ones")
        return RidgeCV(self.alphas * scale).fit(trained, targets[self.train], groups=self.groups)


def _class_means(y: np.ndarray, kinds: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the mean training picture of each test row's condition; of all when it has none left."""
    found = np.empty((len(test), y.shape[1]))
    for kind in np.unique(kinds[test]):
        mine = train[kinds[train] == kind]
        found[kinds[test] == kind] = y[mine if len(mine) else train].mean(axis=0)
    return found


def _centred(v: np.ndarray) -> np.ndarray:
    return np.asarray(v - v.mean(axis=1, keepdims=True))


def _nearest(at: np.ndarray, known: np.ndarray) -> np.ndarray:
    return similarities(_centred(at), np.zeros_like(at), _centred(known)).argmax(axis=1)


def _scores(
    made: dict[str, np.ndarray], similar: np.ndarray | None, candidates: np.ndarray, own: np.ndarray,
    allowed: np.ndarray,
) -> pd.DataFrame:  # fmt: skip
    """Return the table of scores, source by source."""
    reference, known = _centred(made["mean"]), _centred(candidates)
    tables = []
    for source, name in zip(SOURCES, ("prediction", "mean", "class", "nearest"), strict=False):
        if name in made:
            guess = _centred(made[name])
            correlation = similarities(guess, np.zeros_like(guess), known)[np.arange(len(own)), own]
            like = similarities(guess - reference, reference, known)
            tables.append(_table(source, correlation, ranks(like, own, allowed)))
    if similar is not None:
        tables.append(_table(SOURCES[-1], np.full(len(own), np.nan), ranks(similar, own, allowed)))
    return pd.concat(tables, ignore_index=True)


def _table(source: str, correlation: np.ndarray, places: Sequence[np.ndarray]) -> pd.DataFrame:
    better, tied, there = places
    share = np.divide(there - 1 - better - tied / 2, there - 1, out=np.full(len(there), np.nan), where=there > 1)
    return pd.DataFrame({
        "row": np.arange(len(there)), "source": source, "pixcorr": correlation, "better": better, "tied": tied,
        "n_candidates": there, "two_way": share, "n_way": chance_of_first(better, tied, there, there),
    })  # fmt: skip
