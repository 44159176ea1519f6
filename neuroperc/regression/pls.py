"""Partial least squares for many targets at once, exact, by deflating the covariance instead of the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from .._check import check, integer
from ._linalg import leading_eigenvector, namespace
from ._targets import by_missing_rows, centred, checked_fit, checked_predict, column_means
from .gram import rotate

_GONE = 1e-12  # a covariance this much smaller than the first one is rounding


def pls_components(cross: Any, gram_times: Callable[[Any], Any], n_components: int) -> tuple[Any, Any]:
    """Return the rotations (..., r, k) and target loadings (..., t, k) of PLS2, batched over leading axes.

    Dayal & MacGregor's kernel algorithm: of ``C = XᵀY`` the leading left singular vector is the next weight, and only C
    is deflated. The same components as NIPALS run to convergence.

    Parameters
    ----------
    cross
        C (..., r, t) of centred features and targets.
    gram_times
        The map (..., r) -> G r with ``G = XᵀX``; G itself need not exist.
    n_components
        k. Components beyond the rank are zero.
    """
    xp = namespace(cross)
    c, first = cross, None
    rotations: list[Any] = []
    loadings: list[Any] = []
    y_loadings: list[Any] = []
    for _ in range(n_components):
        w, strength = _leading_left(xp, c)
        r = w
        for old, p in zip(rotations, loadings, strict=True):
            r = r - old * xp.sum(p * w, axis=-1)[..., None]
        g = gram_times(r)
        size = xp.sum(r * g, axis=-1)
        first = (strength, size) if first is None else first
        alive = (strength > _GONE**2 * first[0]) & (size > _GONE * first[1]) & (size > 0)
        safe = xp.where(alive, size, xp.ones_like(size))[..., None]
        keep = xp.astype(alive, c.dtype)[..., None]
        p, r = g / safe * keep, r * keep
        q = xp.sum(c * r[..., None], axis=-2) / safe
        c = c - (safe * p)[..., None] * q[..., None, :]
        rotations.append(r)
        loadings.append(p)
        y_loadings.append(q)
    return xp.stack(rotations, axis=-1), xp.stack(y_loadings, axis=-1)


def _leading_left(xp: Any, c: Any) -> tuple[Any, Any]:
    """Return the leading left singular vector (..., r) of C and the squared size of C."""
    t = xp.matrix_transpose(c)
    strength = xp.sum(c * c, axis=(-2, -1))
    if c.shape[-1] == 1 or c.shape[-2] == 0:
        w = c[..., 0]
    elif c.shape[-1] <= c.shape[-2]:
        w = (c @ leading_eigenvector(t @ c)[..., None])[..., 0]
    else:
        w = leading_eigenvector(c @ t)
    length = xp.sum(w * w, axis=-1)[..., None] ** 0.5
    return w / xp.where(length > 0, length, xp.ones_like(length)), strength


class PLS(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Partial least squares regression without scaling, all targets together, as Brain-Score maps layers to neurons.

    The fit that scikit-learn's ``PLSRegression(n_components, scale=False)`` converges to when its tolerance is tight
    (its default of 1e-6 stops early). The work does not grow with the width of the features beyond one pass over them.

    Parameters
    ----------
    n_components
        Latent directions; Brain-Score uses 25. Those beyond the rank of the data change nothing.

    Attributes
    ----------
    x_mean_ : numpy.ndarray
        (features,) mean of the rows that were fitted.
    x_rotations_, y_loadings_ : numpy.ndarray
        (features, k) and (targets, k): ``coef_ = y_loadings_ @ x_rotations_.T``. Only for targets without NaN.
    intercept_ : numpy.ndarray
        (targets,).

    Raises
    ------
    ValueError
        For more components than rows or features, infinite values, or NaN in the features.

    Notes
    -----
    NaN in the targets marks rows that a neuron was not recorded in. Targets that miss the same rows share their latent
    directions; each such set is a fit of its own.

    References
    ----------
    .. [1] B S Dayal, J F MacGregor (1997). Improved PLS algorithms. J. Chemometrics 11, 73-85.
    .. [2] M Schrimpf et al. (2018). Brain-Score. doi:10.1101/407007

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 500))
    >>> y = x[:, :3] @ rng.normal(size=(3, 8))
    >>> PLS(n_components=10).fit(x, y).predict(x).shape
    (60, 8)
    """

    def __init__(self, n_components: int = 25) -> None:
        self.n_components = n_components

    def fit(self, X: ArrayLike, y: ArrayLike) -> PLS:
        """Fit features (n, p) to targets (n,) or (n, t); NaN in targets marks missing rows.

        Returns
        -------
        PLS
            Itself.
        """
        x, targets, self._flat = checked_fit(self, X, y)
        integer("n_components", self.n_components)
        self._parts = []
        for rows, columns in by_missing_rows(targets):
            most = min(len(rows), x.shape[1])
            check(self.n_components <= most, "n_components", f"at most {most}, the number of rows or features",
                  self.n_components, "Give more stimuli or fewer components.")  # fmt: skip
            self._parts.append((columns, *_fit(x, targets, rows, columns, self.n_components)))
        self._n_targets = targets.shape[1]
        if len(self._parts) == 1:
            _, self.x_mean_, _, self.x_rotations_, self.y_loadings_ = self._parts[0]
        intercepts = [y_mean - loadings @ (mean @ r) for _, mean, y_mean, r, loadings in self._parts]
        self.intercept_ = self._gather(intercepts, axis=0)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return predictions (n,) or (n, t) for features (n, p)."""
        x = checked_predict(self, X)
        found = [(x @ r - mean @ r) @ loadings.T + y_mean for _, mean, y_mean, r, loadings in self._parts]
        return self._gather(found, axis=1)

    @property
    def coef_(self) -> np.ndarray:
        """Weights (targets, features) from units to targets, or (features,) for one target; made when asked for."""
        return self._gather([loadings @ r.T for _, _, _, r, loadings in self._parts], axis=0)

    def _gather(self, found: list[np.ndarray], axis: int) -> np.ndarray:
        """Put the parts' targets back in their order."""
        joined = np.concatenate(found, axis=axis)
        back = np.argsort(np.concatenate([part[0] for part in self._parts]))
        ordered: np.ndarray = joined.take(back, axis=axis)
        return ordered.take(0, axis=axis) if self._flat else ordered

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


def _fit(
    x: np.ndarray, targets: np.ndarray, rows: np.ndarray, columns: np.ndarray, n_components: int
) -> tuple[np.ndarray, ...]:
    """Return feature means, target means, rotations (p, k) and target loadings (t, k) of one set of rows."""
    y, y_mean = centred(targets[:, columns], rows)
    if x.shape[1] <= len(rows):
        z, mean = centred(x, rows)
        rotations, loadings = pls_components(z.T @ y, lambda r: (z @ r) @ z, n_components)
        return mean, y_mean, rotations, loadings
    part = x if len(rows) == len(x) else x[rows]
    mean = column_means(x, rows)
    turned = rotate(part)
    on_scores, loadings = pls_components(turned.scores.T @ y, lambda r: turned.eigenvalues * r, n_components)
    return mean, y_mean, turned.unit_weights(part, on_scores), loadings
