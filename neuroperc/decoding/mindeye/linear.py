"""Linear baselines: ridge on every number of the tokens, and Brain-Diffuser's with its re-scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..._check import check, fail, finite, integer, positive
from ...regression import RidgeCV, cross_predict, fold_splits
from ._data import patterns_of

#: Penalties for standardised voxels.
ALPHAS = tuple(float(a) for a in np.logspace(0, 7, 22))


class BrainDiffuser(BaseEstimator):
    """Brain-Diffuser's decoder: ridge from standardised voxels, predictions re-scaled as embeddings spread in training.

    Ridge shrinks its predictions; the paper takes each number of them to mean 0 and standard deviation 1 and then to
    the training embeddings' own. It does so with the mean and deviation of the *test set's* predictions, so that
    every answer depends on the other test trials. Here they come from predictions of held-out training pictures.

    Parameters
    ----------
    alpha
        Penalty for standardised voxels. Published: 50,000 for VDVAE latents, 60,000 for CLIP's picture tokens, 100,000
        for text tokens, with 8,859 training pictures of NSD. None chooses one for each number by leaving out pictures.
    n_folds
        Of the held-out predictions.
    transductive
        True takes mean and deviation of the predictions that are asked for, as the original does.
    random_state
        Seed of the folds.

    Attributes
    ----------
    ridge_ : neuroperc.regression.RidgeCV
        The linear model.

    Raises
    ------
    ValueError
        For NaN, shapes that do not match, or an alpha that is not above 0.

    References
    ----------
    .. [1] F Ozcelik, R VanRullen (2023). Natural scene reconstruction from fMRI signals using generative latent
       diffusion. doi:10.1038/s41598-023-42891-8

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> pictures = rng.normal(size=(80, 6))
    >>> betas = pictures @ rng.normal(size=(6, 30)) + rng.normal(size=(80, 30))
    >>> model = BrainDiffuser(alpha=1000.0).fit(betas[:60], pictures[:60])
    >>> spread = model.predict(betas[60:]).std() / pictures[60:].std()
    >>> bool(0.6 < spread < 1.4)
    True
    """

    def __init__(
        self,
        *,
        alpha: float | None = 6e4,
        n_folds: int = 5,
        transductive: bool = False,
        random_state: int = 0,
    ) -> None:
        self.alpha = alpha
        self.n_folds = n_folds
        self.transductive = transductive
        self.random_state = random_state

    def fit(self, betas: Any, embeddings: Any, *, groups: Any = None) -> BrainDiffuser:
        """Fit (picture, voxel), or (picture, repetition, voxel) to be averaged, to (picture, ...) embeddings.

        With `groups` (picture,) whole groups are held out together; of Responses these are stimuli.

        Returns
        -------
        BrainDiffuser
            Itself.
        """
        x, y = patterns_of(betas).astype(np.float64), np.asarray(embeddings, dtype=np.float64)
        check(y.ndim >= 2 and len(y) == len(x), "embeddings", f"(picture, ...) for {len(x)} pictures", y.shape)
        finite("embeddings", y)
        alphas = ALPHAS if self.alpha is None else [positive("alpha", self.alpha)]
        if groups is None and "stimulus_id" in getattr(betas, "coords", {}):
            groups = betas.coords["stimulus_id"].values
        labels = np.arange(len(x)) if groups is None else np.asarray(groups)
        self.shape_, flat = y.shape[1:], y.reshape(len(y), -1)
        self.mean_, self.sd_ = x.mean(axis=0), x.std(axis=0)
        self.sd_ = np.where(self.sd_ > 0, self.sd_, np.inf)
        check(np.isfinite(self.sd_).any(), "betas", "of voxels that vary", "constant voxels only")
        scaled = (x - self.mean_) / self.sd_
        self.ridge_ = RidgeCV(alphas).fit(scaled, flat, groups=labels)
        self.target_mean_, self.target_sd_ = flat.mean(axis=0), flat.std(axis=0)
        if not self.transductive:
            splits = fold_splits(labels, n_folds=integer("n_folds", self.n_folds, 2), rng=self.random_state)
            held = cross_predict(scaled, flat, splits=splits, estimator="ridge", groups=labels, alphas=alphas)
            said = np.concatenate(held.predictions)
            self.predicted_mean_, self.predicted_sd_ = said.mean(axis=0), said.std(axis=0)
        return self

    def predict(self, betas: Any) -> np.ndarray:
        """Return embeddings (picture, ...) of patterns like those of `fit`.

        Raises
        ------
        ValueError
            For another number of voxels, or one picture alone when `transductive`.
        RuntimeError
            Before `fit`.
        """
        if not hasattr(self, "ridge_"):
            fail("BrainDiffuser", "fitted first", "no ridge_", "Call fit(betas, embeddings).", RuntimeError)
        x = patterns_of(betas).astype(np.float64)
        check(x.shape[1] == len(self.mean_), "betas", f"of {len(self.mean_)} voxels, as in training", x.shape[1])
        said = self.ridge_.predict((x - self.mean_) / self.sd_)
        if self.transductive:
            check(len(said) > 1, "betas", "of two or more pictures when transductive", len(said),
                  "Use transductive=False.")  # fmt: skip
            mean, sd = said.mean(axis=0), said.std(axis=0)
        else:
            mean, sd = self.predicted_mean_, self.predicted_sd_
        unit = (said - mean) / np.where(sd > 0, sd, np.inf)
        return np.asarray((unit * self.target_sd_ + self.target_mean_).reshape(len(x), *self.shape_))
