"""Ridge with a penalty for each band of features, through himalaya; the only place that knows himalaya."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from .._check import check, finite, integer
from ._leaving import batches
from ._targets import checked_fit, checked_predict
from .gram import rotate

_ONE_AT_A_TIME = RLock()


@contextmanager
def himalaya_backend(name: str = "numpy") -> Iterator[Any]:
    """Use one of himalaya's array backends for a while; its global choice is put back whatever happens.

    Other threads that use this wait until it is.

    Parameters
    ----------
    name
        ``"numpy"``, ``"torch"``, ``"torch_cuda"`` or ``"cupy"``.

    Yields
    ------
    module
        The backend.

    Examples
    --------
    >>> from himalaya.backend import get_backend
    >>> before = get_backend()
    >>> with himalaya_backend("torch") as backend:
    ...     backend.name
    'torch'
    >>> get_backend() is before
    True
    """
    from himalaya.backend import get_backend, set_backend

    with _ONE_AT_A_TIME:  # himalaya's choice is the whole process's
        before = get_backend()
        try:
            yield set_backend(name)
        finally:
            set_backend(before)


class BandedRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge whose penalty differs between bands of features and between targets, by himalaya's random search.

    Parameters
    ----------
    bands
        Width of each band, in the order of the columns; None is one band.
    alphas
        Penalties that are tried.
    n_iter
        How many random mixtures of the bands.
    cv
        Folds of rows, or pairs (train, test), such as `fold_splits` makes for rows that repeat stimuli.
    backend
        Of himalaya: ``"numpy"``, ``"torch"``, ``"torch_cuda"``.
    random_state
        Seed of the mixtures.

    Attributes
    ----------
    coef_ : numpy.ndarray
        (targets, features).
    intercept_ : numpy.ndarray
        (targets,).
    deltas_ : numpy.ndarray
        (bands, targets) log weight of each band's kernel.

    Raises
    ------
    ValueError
        When the bands do not add up to the features, or values are not finite.

    Notes
    -----
    A band that is wider than rows is turned onto the axes of its rows first, as a kernel would do: nothing that ridge
    can see is lost, and time no longer depends on its width.

    References
    ----------
    .. [1] T Dupré la Tour, M Eickenberg, A O Nunez-Elizalde, J L Gallant (2022). Feature-space selection with banded
       ridge regression. doi:10.1016/j.neuroimage.2022.119728

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 8))
    >>> y = x[:, :4] @ rng.normal(size=(4, 3))
    >>> found = BandedRidge(bands=(4, 4), n_iter=5, random_state=0).fit(x, y)
    >>> found.coef_.shape, found.deltas_.shape
    ((3, 8), (2, 3))
    """

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        *,
        alphas: ArrayLike = (0.1, 1.0, 10.0, 100.0, 1000.0),
        n_iter: int = 50,
        cv: Any = 5,
        backend: str = "numpy",
        random_state: int | None = None,
    ) -> None:
        self.bands = bands
        self.alphas = alphas
        self.n_iter = n_iter
        self.cv = cv
        self.backend = backend
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> BandedRidge:
        """Fit features (n, p) to targets (n,) or (n, t) without NaN.

        Returns
        -------
        BandedRidge
            Itself.
        """
        from himalaya.ridge import GroupRidgeCV

        x, targets, self._flat = checked_fit(self, X, y)
        check(not np.isnan(targets).any(), "y", "without NaN", f"{int(np.isnan(targets).sum())} NaN", "Use RidgeCV.")
        bands = [x.shape[1]] if self.bands is None else list(self.bands)
        check(sum(bands) == x.shape[1], "bands", f"widths that add up to {x.shape[1]} features", bands)
        self._edges = np.cumsum(bands)[:-1]
        options = {"alphas": np.asarray(self.alphas, dtype=float), "n_iter": integer("n_iter", self.n_iter),
                   "progress_bar": False, "warn": False}  # fmt: skip
        x_mean, y_mean = x.mean(axis=0, dtype=np.float64), targets.mean(axis=0)
        parts = np.split(x, self._edges, axis=1)
        turned = [rotate(part) if part.shape[1] > len(x) else None for part in parts]
        inside = [p - p.mean(axis=0, dtype=np.float64) if t is None else t.scores
                  for p, t in zip(parts, turned, strict=True)]  # fmt: skip
        inside = [part if part.shape[1] else np.zeros((len(x), 1)) for part in inside]  # constant, and still a band
        widths = [part.shape[1] for part in inside]
        groups = np.repeat(np.arange(len(bands)), widths)
        with himalaya_backend(self.backend) as backend:
            model = GroupRidgeCV(
                groups, solver_params=options, cv=self.cv, random_state=self.random_state, fit_intercept=True
            )  # so that every fold has its own mean; that of all rows is 0 here
            model.fit(backend.asarray(np.concatenate(inside, axis=1)), backend.asarray(targets - y_mean))
            coef = backend.to_numpy(model.coef_).reshape(sum(widths), -1)
            deltas = backend.to_numpy(model.deltas_)
        weights = np.split(coef, np.cumsum(widths)[:-1])
        coef = np.concatenate([w if t is None else t.unit_weights(p, w[: t.scores.shape[1]])
                               for p, t, w in zip(parts, turned, weights, strict=True)])  # fmt: skip
        intercept = y_mean - x_mean @ coef
        self.coef_, self.intercept_ = (coef[:, 0], intercept[0]) if self._flat else (coef.T, intercept)
        self.deltas_ = deltas
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return predictions (n,) or (n, t) for features (n, p)."""
        found: np.ndarray = checked_predict(self, X) @ self.coef_.T + self.intercept_
        return found

    def split_r2(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return the share of each target's variance that each band explains: the product measure [1]_.

        Band b, whose prediction is ŷ_b, explains Σ ŷ_b (2y - ŷ) / Σ y²; ŷ is the sum over bands, and everything is
        taken about its mean over these rows. What bands explain together is divided between them; one that makes the
        whole worse is negative.

        Parameters
        ----------
        X, y
            Features (n, p) and targets (n,) or (n, t) without NaN, best of rows that were not fitted.

        Returns
        -------
        numpy.ndarray
            (bands, t), or (bands,) for one target; NaN for a target that does not vary. Summed over bands it is
            `neuroperc.metrics.explained_variance` of `predict`: R², but for an error of the mean, which is no band's.

        Raises
        ------
        ValueError
            For other features or targets than were fitted, NaN or infinity.

        References
        ----------
        .. [1] T Dupré la Tour, M Eickenberg, A O Nunez-Elizalde, J L Gallant (2022). Feature-space selection with
           banded ridge regression. doi:10.1016/j.neuroimage.2022.119728

        Examples
        --------
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(200, 8))
        >>> y = np.stack([x[:, 0], x[:, 7], x[:, 0] + x[:, 7]], axis=1)
        >>> model = BandedRidge(bands=(4, 4), n_iter=20, random_state=0).fit(x[:150], y[:150])
        >>> abs(model.split_r2(x[150:], y[150:]).round(1))
        array([[1. , 0. , 0.4],
               [0. , 1. , 0.6]])
        """
        from himalaya.scoring import r2_score_split

        x, known = checked_predict(self, X), np.asarray(y, dtype=np.float64)
        shape = (len(x), *self.coef_.shape[:-1])
        check(known.shape == shape, "y", f"{shape}, as the features and the fit", f"shape {known.shape}")
        finite("y", known)
        known = known.reshape(len(x), -1)
        varies, spread = np.ptp(known, axis=0) > 0, known.std(axis=0)
        truth = (known - known.mean(axis=0)) / np.where(varies, spread, np.nan)
        weights = self.coef_.reshape(-1, x.shape[1]).T / np.where(varies, spread, 1.0)
        parts = np.split(x - x.mean(axis=0), self._edges, axis=1)
        bands = list(zip(parts, np.split(weights, self._edges), strict=True))
        found = np.empty((len(bands), known.shape[1]))
        with himalaya_backend("numpy"):
            for some in batches(len(x) * len(bands), known.shape[1]):
                found[:, some] = r2_score_split(truth[:, some], np.stack([b @ w[:, some] for b, w in bands]))
        return found[:, 0] if self._flat else found
