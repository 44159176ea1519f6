"""Agreement of geometries: dissimilarity matrices (RDM), crossnobis distances, HSIC and CKA."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..._check import check, one_of
from .._array import ArrayT, complete, constant, divide, double, floating, restore, same_shape, unpack
from .correlation import pearson, spearman


def rdm(x: ArrayT, *, metric: Literal["correlation", "euclidean"] = "correlation") -> ArrayT:
    """Representational dissimilarity matrix between the rows of `x`.

    Parameters
    ----------
    x
        (..., n stimuli, p units); leading axes are a batch.
    metric
        ``"correlation"`` is 1 − Pearson r between rows (0 to 2, dimensionless); ``"euclidean"`` is the root of the
        summed squared difference, in the unit of `x`.

    Returns
    -------
    array
        (..., n, n), symmetric, exactly 0 on the diagonal. A row that is constant over units has no correlation: its
        row and column are NaN.

    Raises
    ------
    ValueError
        For fewer than two stimuli, fewer than two units with ``"correlation"``, or NaN.

    References
    ----------
    .. [1] N Kriegeskorte, M Mur, P Bandettini (2008). Representational similarity analysis.
       doi:10.3389/neuro.06.004.2008

    Examples
    --------
    >>> import numpy as np
    >>> rdm(np.array([[1., 2., 3.], [2., 4., 6.], [3., 2., 1.]])).round(12)
    array([[0., 0., 2.],
           [0., 0., 2.],
           [2., 2., 0.]])
    """
    one_of("metric", metric, ("correlation", "euclidean"))
    xp, (a,) = _stimuli(x=x)
    values = double(xp, a)
    # Distances do not change with the origin, but the rounding of the Gram matrix does.
    centre_axis = -1 if metric == "correlation" else -2
    mean = xp.mean(values, axis=centre_axis, keepdims=True)
    values = values - mean
    if metric == "correlation":
        check(a.shape[-1] > 1, "x", "(..., stimulus, unit) with at least 2 units", tuple(a.shape), 'Use "euclidean".')
        squares = xp.sum(values * values, axis=-1, keepdims=True)
        ok = ~constant(xp, squares, mean, a.shape[-1])
        values = divide(xp, values, xp.sqrt(xp.where(ok, squares, xp.ones_like(squares))) + 0 * values, ok)
        distance = 1 - values @ xp.matrix_transpose(values)
    else:
        squares = _squared_distances(xp, values @ xp.matrix_transpose(values))
        apart = squares > 0
        distance = xp.where(apart, xp.sqrt(xp.where(apart, squares, xp.ones_like(squares))), xp.zeros_like(squares))
    off_diagonal = 1 - xp.eye(a.shape[-2], dtype=xp.float64, device=a.device)
    return restore(xp, distance * off_diagonal, floating(xp, a))


def crossnobis(x: ArrayT, *, precision: ArrayT | None = None) -> ArrayT:
    """Cross-validated squared Mahalanobis distance between the rows of `x`, without the bias of noise.

    d_ij = mean over pairs of different folds (m, l) of (x_i^m − x_j^m)ᵀ P (x_i^l − x_j^l) / p. Its expectation is 0
    when two stimuli evoke the same response, whatever the noise, so single values can be negative.

    Parameters
    ----------
    x
        (fold, n stimuli, p units), folds with independent noise, such as runs.
    precision
        (p, p) inverse of the noise covariance P; None means the identity (squared Euclidean distance per unit).

    Returns
    -------
    array
        (n, n), symmetric, 0 on the diagonal, in the squared unit of `x` (without `precision`) per unit.

    Raises
    ------
    ValueError
        For fewer than two folds or stimuli, NaN, or a precision of another shape.

    References
    ----------
    .. [1] A Walther et al. (2016). Reliability of dissimilarity measures for multi-voxel pattern analysis.
       doi:10.1016/j.neuroimage.2015.12.012

    Examples
    --------
    >>> import numpy as np
    >>> crossnobis(np.array([[[0.], [2.]], [[0.], [4.]]]))
    array([[0., 8.],
           [8., 0.]])
    """
    named = {"x": x} if precision is None else {"x": x, "precision": precision}
    xp, arrays = unpack(**named)
    complete(xp, **dict(zip(named, arrays, strict=True)))
    shape = tuple(arrays[0].shape)
    check(
        len(shape) == 3 and shape[0] > 1 and shape[1] > 1,
        "x",
        "(fold, stimulus, unit), 2 or more folds and stimuli",
        shape,
        "Give one fold per run; a single run cannot be cross-validated.",
    )
    folds, _, p = shape
    values = double(xp, arrays[0])
    values = values - xp.mean(values, axis=1, keepdims=True)
    other = values
    if precision is not None:
        check(tuple(arrays[1].shape) == (p, p), "precision", f"of shape {(p, p)}", tuple(arrays[1].shape))
        other = values @ double(xp, arrays[1])
    total, weighted = xp.sum(values, axis=0), xp.sum(other, axis=0)
    # All pairs of different folds = (sum over folds)² − the pairs of a fold with itself.
    kernel = total @ weighted.T - xp.sum(values @ xp.matrix_transpose(other), axis=0)
    distance = _squared_distances(xp, (kernel + kernel.T) / 2) / (folds * (folds - 1) * p)
    off_diagonal = 1 - xp.eye(shape[1], dtype=xp.float64, device=arrays[0].device)
    return restore(xp, distance * off_diagonal, floating(xp, arrays[0]))


def rdm_vector(matrix: ArrayT) -> ArrayT:
    """Return the upper triangle of (..., n, n) as (..., n(n − 1)/2), in the order of `scipy.spatial.distance`.

    Raises
    ------
    ValueError
        When the last two axes are not square or hold fewer than two stimuli.

    Examples
    --------
    >>> import numpy as np
    >>> rdm_vector(np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]]))
    array([1, 2, 3])
    """
    _, (a,) = unpack(matrix=matrix)
    square = a.ndim >= 2 and a.shape[-1] == a.shape[-2] and a.shape[-1] >= 2
    check(square, "matrix", "(..., n, n) with n of 2 or more", tuple(a.shape), "Build it with rdm().")
    rows, columns = np.triu_indices(a.shape[-1], k=1)
    found: ArrayT = a[..., rows, columns]
    return found


def rdm_agreement(a: ArrayT, b: ArrayT, *, method: Literal["spearman", "pearson", "cosine"] = "spearman") -> ArrayT:
    """Agreement of two dissimilarity matrices over their upper triangles.

    Parameters
    ----------
    a, b
        (..., n, n) of one shape; leading axes are a batch.
    method
        ``"spearman"`` (needs no more than order), ``"pearson"``, or ``"cosine"`` (which keeps the zero point).

    Returns
    -------
    array
        (...), in [−1, 1].

    Raises
    ------
    ValueError
        For different or not square shapes, or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(6, 20))
    >>> rdm_agreement(rdm(x), rdm(3 * x + 1))
    array(1.)
    """
    one_of("method", method, ("spearman", "pearson", "cosine"))
    return vector_agreement(rdm_vector(a), rdm_vector(b), method)


def vector_agreement(a: ArrayT, b: ArrayT, method: str) -> ArrayT:
    """Agreement along the last axis; `rdm_agreement` for matrices that are vectors already."""
    if method != "cosine":
        return (spearman if method == "spearman" else pearson)(a, b, axis=-1)
    xp, (u, v) = unpack(a=a, b=b)
    same_shape(a=u, b=v)
    complete(xp, a=u, b=v)
    x, y = double(xp, u), double(xp, v)
    size = xp.sqrt(xp.sum(x * x, axis=-1)) * xp.sqrt(xp.sum(y * y, axis=-1))
    return restore(xp, divide(xp, xp.sum(x * y, axis=-1), size, size > 0), floating(xp, u, v))


def hsic(x: ArrayT, y: ArrayT, *, unbiased: bool = True) -> ArrayT:
    """Hilbert–Schmidt independence criterion of two linear kernels K = x xᵀ and L = y yᵀ.

    Unbiased [1]_: [tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1)/((n−1)(n−2)) − 2/(n−2) 1ᵀK̃L̃1] / (n(n−3)), where K̃ and L̃ have a zero
    diagonal. Biased: tr(KHLH)/(n−1)². No n × n matrix is built when there are fewer units than stimuli.

    Parameters
    ----------
    x, y
        (..., n stimuli, p units) and (..., n, q).
    unbiased
        Use the unbiased estimator (default), whose expectation is 0 for independent responses.

    Returns
    -------
    array
        (...).

    Raises
    ------
    ValueError
        For different numbers of stimuli, fewer than 4 (unbiased) or 2 stimuli, or NaN.

    References
    ----------
    .. [1] L Song et al. (2012). Feature selection via dependence maximization. JMLR 13, eq. 5.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> bool(hsic(x, x) > 1)
    True
    """
    xp, (a, b) = _pair(x, y, unbiased)
    u, v = _centre(xp, a), _centre(xp, b)
    return restore(xp, _hsic(xp, u, v, _traces(xp, u, v)[2], unbiased), floating(xp, a, b))


def cka(x: ArrayT, y: ArrayT, *, unbiased: bool = True) -> ArrayT:
    """Linear centred kernel alignment HSIC(x, y) / √(HSIC(x, x) HSIC(y, y)).

    It does not change with rotations, a common gain or an offset of either side.

    Parameters
    ----------
    x, y
        (..., n stimuli, p units) and (..., n, q); leading axes are a batch.
    unbiased
        Use the unbiased HSIC (default). The biased form tends to 1 for wide random features.

    Returns
    -------
    array
        (...). At most 1 when biased; the unbiased form can fall below 0 and is NaN when a variance estimate is not
        positive.

    Raises
    ------
    ValueError
        As `hsic`.

    References
    ----------
    .. [1] S Kornblith et al. (2019). Similarity of neural network representations revisited. ICML.
    .. [2] T Nguyen, M Raghu, S Kornblith (2021). Do wide and deep networks learn the same things? ICLR, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(float(cka(x, -2 * x[:, ::-1] + 1)), 12)
    1.0
    """
    xp, (a, b) = _pair(x, y, unbiased)
    u, v = _centre(xp, a), _centre(xp, b)
    traces = _traces(xp, u, v)
    size = _hsic(xp, u, u, traces[0], unbiased), _hsic(xp, v, v, traces[1], unbiased)
    ok = (size[0] > 0) & (size[1] > 0)
    one = xp.ones_like(size[0])
    root = xp.sqrt(xp.where(ok, size[0], one)) * xp.sqrt(xp.where(ok, size[1], one))
    return restore(xp, divide(xp, _hsic(xp, u, v, traces[2], unbiased), root, ok), floating(xp, a, b))


def _stimuli(**named: Any) -> tuple[Any, list[Any]]:
    xp, arrays = unpack(**named)
    for name, a in zip(named, arrays, strict=True):
        rows = a.ndim >= 2 and a.shape[-2] >= 2
        check(rows, name, "(..., stimulus, unit) with at least 2 stimuli", tuple(a.shape), "Flatten the units first.")
    complete(xp, **dict(zip(named, arrays, strict=True)))
    return xp, arrays


def _pair(x: Any, y: Any, unbiased: bool) -> tuple[Any, list[Any]]:
    xp, (a, b) = _stimuli(x=x, y=y)
    check(
        a.shape[:-1] == b.shape[:-1],
        "x and y",
        "of the same stimuli",
        (tuple(a.shape), tuple(b.shape)),
        "Rows are stimuli; align them by stimulus_id first.",
    )
    least = 4 if unbiased else 2
    check(a.shape[-2] >= least, "the number of stimuli", f"at least {least}", a.shape[-2], "Give more stimuli.")
    return xp, [a, b]


def _centre(xp: Any, x: Any) -> Any:
    """Centre over stimuli: neither estimator changes, and large offsets no longer cost digits.

    What is left of a constant unit is the rounding of its mean, which is nothing.
    """
    x = double(xp, x)
    mean = xp.mean(x, axis=-2, keepdims=True)
    left = x - mean
    flat = constant(xp, xp.sum(left * left, axis=-2, keepdims=True), mean, x.shape[-2])
    return xp.where(flat, xp.zeros_like(left), left) if bool(xp.any(flat)) else left


def _traces(xp: Any, x: Any, y: Any) -> list[Any]:
    """Return tr(KK), tr(LL) and tr(KL) of the kernels K = xxᵀ, L = yyᵀ; tr(KL) = |xᵀy|², the cheaper for few units."""
    n, p, q = x.shape[-2], x.shape[-1], y.shape[-1]
    if p * p + q * q + p * q <= n * (p + q):
        products = [xp.matrix_transpose(a) @ b for a, b in ((x, x), (y, y), (x, y))]
        return [xp.sum(product * product, axis=(-2, -1)) for product in products]
    k, m = x @ xp.matrix_transpose(x), y @ xp.matrix_transpose(y)
    return [xp.sum(a * b, axis=(-2, -1)) for a, b in ((k, k), (m, m), (k, m))]


def _hsic(xp: Any, x: Any, y: Any, trace: Any, unbiased: bool) -> Any:
    n = x.shape[-2]
    if not unbiased:
        return trace / (n - 1) ** 2
    diagonal = xp.sum(x * x, axis=-1), xp.sum(y * y, axis=-1)
    # Rows of a centred kernel sum to 0, so those of the zero-diagonal kernel sum to minus its diagonal.
    total = xp.sum(diagonal[0], axis=-1) * xp.sum(diagonal[1], axis=-1)
    cross = xp.sum(diagonal[0] * diagonal[1], axis=-1)
    return (trace - cross + total / ((n - 1) * (n - 2)) - 2 / (n - 2) * cross) / (n * (n - 3))


def _squared_distances(xp: Any, kernel: Any) -> Any:
    diagonal = xp.linalg.diagonal(kernel)
    return diagonal[..., :, None] + diagonal[..., None, :] - 2 * kernel
