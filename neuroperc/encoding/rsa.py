"""Representational similarity: layers' dissimilarity matrices against those of subjects, with bounds and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from .._check import as_rng, check, integer, one_of
from ..metrics import rdm, rdm_agreement, rdm_noise_ceiling
from ._distances import correlation_distances
from ._inputs import Layer, take_layers


def rsa(
    layers: Any,
    subjects: Any,
    *,
    by: str = "layer",
    method: Literal["spearman", "pearson", "cosine"] = "spearman",
    metric: Literal["correlation", "euclidean"] = "correlation",
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Compare dissimilarity matrices of layers with those of several subjects.

    Parameters
    ----------
    layers
        A mapping of names to matrices (n, n), or a Responses of model units (or a mapping to such), whose matrices are
        made here; then `subjects` must be labelled with `stimulus_id`.
    subjects
        (subject, n, n) matrices, an array or an `xarray.DataArray`; (n, n) is one subject.
    by
        Coordinate of the units that tells layers apart.
    method
        Of `metrics.rdm_agreement`.
    metric
        Of `metrics.rdm`.
    level
        Coverage of the interval.
    n_resamples
        Bootstrap draws of stimuli and subjects.
    rng
        Seed or generator.

    Returns
    -------
    xarray.Dataset
        `agreement` (layer, subject); `score` (layer) its mean; `lower`, `upper` bounds of what any model can reach
        (`metrics.rdm_noise_ceiling`; NaN for one subject); `fraction` (layer) score / upper, as Brain-Score divides;
        `interval` (layer, bound) for a new draw of stimuli and subjects: two-factor bootstrap [2]_ whose variance is
        ``a V_subjects + b V_stimuli - a b (V_both - V_subjects - V_stimuli)``, a and b being n/(n-1), kept between its
        largest part and V_both; Student's t with one degree less than the smaller count. Pairs of one stimulus with
        itself, which resampling makes, are left out.

    Raises
    ------
    ValueError
        For matrices of different sizes, NaN, fewer than four stimuli, or stimuli that a layer lacks.

    References
    ----------
    .. [1] H Nili et al. (2014). A toolbox for representational similarity analysis. doi:10.1371/journal.pcbi.1003553
    .. [2] H H Schütt et al. (2023). Statistical inference on representational geometries. doi:10.7554/eLife.82566

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.metrics import rdm
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(20, 30))
    >>> people = rdm(shared + rng.normal(size=(5, 20, 30)))
    >>> found = rsa({"truth": rdm(shared), "noise": rdm(rng.normal(size=(20, 30)))}, people, rng=0)
    >>> bool(found.score[0] > found.lower > found.score[1]), bool(found.interval[0, 0] > found.interval[1, 1])
    (True, True)
    """
    one_of("method", method, ("spearman", "pearson", "cosine"))
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    integer("n_resamples", n_resamples, minimum=2)
    people = np.asarray(subjects, dtype=float)
    people = people[None] if people.ndim == 2 else people
    square = people.ndim == 3 and people.shape[1] == people.shape[2] and people.shape[1] >= 4
    check(square, "subjects", "(subject, n, n) with 4 or more stimuli", f"shape {people.shape}")
    _check_symmetric("subjects", people)
    names, models = _matrices(layers, subjects, by, metric, people.shape[1])
    agreement = np.stack([[float(rdm_agreement(m, p, method=method)) for p in people] for m in models])
    bounds = rdm_noise_ceiling(people, method=method) if len(people) > 1 else (np.nan, np.nan)
    draws = _draws(models, people, agreement, method, n_resamples, as_rng(rng))
    error = dual_variance(draws, len(people), people.shape[1]) ** 0.5
    smaller = min(people.shape[1:2] + people.shape[:1]) if len(people) > 1 else people.shape[1]
    interval = _interval(agreement.mean(axis=1), error, smaller, level)
    of = "stimuli and subjects" if len(people) > 1 else "stimuli"
    return xr.Dataset(
        {"agreement": (("layer", "subject"), agreement), "score": ("layer", agreement.mean(axis=1)),
         "lower": bounds[0], "upper": bounds[1], "fraction": ("layer", agreement.mean(axis=1) / bounds[1]),
         "interval": (("layer", "bound"), interval, {"of": f"{100 * level:g} % interval over {of}"})},
        {"layer": names, "bound": ["low", "high"]},
        {"method": method, "metric": metric, "n_resamples": n_resamples},
    )  # fmt: skip


def dual_variance(draws: np.ndarray, n_subjects: int, n_stimuli: int) -> np.ndarray:
    """Return the variance (layer,) of scores from draws (both | subjects | stimuli, layer, resample).

    Draws without a score, whose stimuli are all of one category, say, are left out.
    """
    known = np.ma.array(draws, mask=np.broadcast_to(~np.isfinite(draws).all(axis=0), draws.shape))
    both, of_subjects, of_stimuli = np.ma.filled(known.var(axis=-1, ddof=1), np.nan)
    b = n_stimuli / (n_stimuli - 1)
    if n_subjects == 1:
        return np.asarray(b * of_stimuli)
    a = n_subjects / (n_subjects - 1)
    found = a * of_subjects + b * of_stimuli - a * b * (both - of_subjects - of_stimuli)
    return np.minimum(np.maximum.reduce([found, a * of_subjects, b * of_stimuli]), both)


def _matrices(layers: Any, subjects: Any, by: str, metric: Any, n: int) -> tuple[list[str], np.ndarray]:
    if isinstance(layers, Mapping) and not any(
        isinstance(v, xr.DataArray) and "neuroid" in v.dims for v in layers.values()
    ):
        found = {str(name): np.asarray(matrix, dtype=float) for name, matrix in layers.items()}
    else:
        labelled = isinstance(subjects, xr.DataArray) and "stimulus_id" in subjects.coords
        check(labelled, "subjects", "a DataArray with stimulus_id, to align the layers with", type(subjects).__name__,
              "Give layers as a mapping of names to matrices instead.")  # fmt: skip
        rows = subjects.coords["stimulus_id"].values
        check(len(set(rows.tolist())) == len(rows), "stimulus_id of subjects", "of different names", rows[:3].tolist())
        wanted = xr.DataArray(
            np.zeros((len(rows), 1)), dims=("presentation", "neuroid"), coords={"stimulus_id": ("presentation", rows)}
        )
        taken, _ = take_layers(layers, by, wanted)
        found = {layer.name: _matrix(layer, metric) for layer in taken}
    check(found, "layers", "at least one", "none")
    for name, matrix in found.items():
        check(matrix.shape == (n, n), f"layer {name}", f"a matrix ({n}, {n}), as the subjects'", matrix.shape)
        _check_symmetric(f"layer {name}", matrix)
    return list(found), np.stack(list(found.values()))


def _check_symmetric(name: str, matrices: np.ndarray) -> None:
    """Only one triangle is read, so the other must say the same; diagonals do not count."""
    first, second = np.triu_indices(matrices.shape[-1], k=1)
    upper, lower = matrices[..., first, second], matrices[..., second, first]
    apart = np.abs(upper - lower)
    ok = np.nanmax(apart, initial=0) <= 1e-6 * np.nanmax(np.abs(upper), initial=0)
    check(ok, name, "symmetric", f"entries {np.nanmax(apart, initial=0):.2g} apart", "Average it with its transpose.")


def _matrix(layer: Layer, metric: Any) -> np.ndarray:
    return correlation_distances(layer) if metric == "correlation" else rdm(layer[:, :].astype(float), metric=metric)


def _draws(
    models: np.ndarray, people: np.ndarray, agreement: np.ndarray, method: str, n_resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return the scores (both | subjects | stimuli, layer, resample) of resampled subjects and stimuli."""
    n_subjects, n = people.shape[:2]
    first, second = np.triu_indices(n, k=1)
    out = np.full((3, len(models), n_resamples), np.nan)
    for i in range(n_resamples):
        chosen = rng.integers(n_subjects, size=n_subjects)
        drawn = rng.integers(n, size=n)
        a, b = np.take(drawn, first), np.take(drawn, second)
        apart = a != b
        a, b = a[apart], b[apart]
        resampled = _standard(models[:, a, b], method) @ _standard(people[:, a, b], method).T
        out[:, :, i] = resampled[:, chosen].mean(1), agreement[:, chosen].mean(1), resampled.mean(1)
    return out


def _standard(vectors: np.ndarray, method: str) -> np.ndarray:
    """Return vectors whose products are the agreement."""
    from scipy.stats import rankdata

    given = rankdata(vectors, axis=-1) if method == "spearman" else vectors
    x = given if method == "cosine" else given - given.mean(axis=-1, keepdims=True)
    size = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    # Of a few stimuli a resample may hold one distance only: what centring leaves of it is rounding.
    rounding = 1e-12 * np.sqrt((given * given).sum(axis=-1, keepdims=True))
    return np.divide(x, size, out=np.full_like(x, np.nan), where=size > rounding)


def _interval(score: np.ndarray, error: np.ndarray, n: int, level: float) -> np.ndarray:
    from scipy.stats import t

    half = error * t.ppf((1 + level) / 2, max(n - 1, 1))
    return np.stack([score - half, score + half], axis=-1)
