"""Pictures that share their statistics: in which layers a picture and its matched partner part."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import t

from .._check import as_rng, check, integer
from ..data import StimulusSet
from ..metrics import spearman
from ._distances import correlation_distances
from ._inputs import take_layers

_MEASURES = ("distance", "baseline", "relative", "rdm_agreement")


def compare_stimuli(
    layers: Any,
    originals: Any,
    matched: Any,
    *,
    by: str = "layer",
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Distance between pictures and their matched partners in the eyes of every layer.

    Partners may be texture syntheses, metamers, foveated or corrupted pictures: anything made from an original, one
    for one. A layer that keeps only what was matched cannot tell partners apart.

    Parameters
    ----------
    layers
        A Responses of `record` with both kinds of picture, or a mapping of names to such.
    originals, matched
        (n,) stimulus ids, partners in the same place, or the StimulusSets themselves.
    by
        Coordinate of the units that tells layers apart.
    level
        Coverage of the intervals.
    n_resamples
        Bootstrap draws of pictures.
    rng
        Seed or generator.

    Returns
    -------
    xarray.Dataset
        `distance` (layer): mean over pairs of 1 - Pearson r between the units' answers to partners, and `each`
        (layer, pair). `baseline` (layer): the same between an original and the partner of another one. `relative`
        (layer) is distance / baseline: 0 for a layer that cannot tell partners apart, 1 for one to which partners are
        as different as other pictures. `rdm_agreement` (layer): Spearman correlation of the dissimilarity matrices of
        originals and of partners. `*_interval` (layer, bound): over pictures, Student's t with the bootstrap's
        standard error; pairs of one picture with itself, which resampling makes, are left out.

    Raises
    ------
    ValueError
        For fewer than four pairs, unequal numbers, pictures that a layer lacks, or a picture to which all units of a
        layer answer alike.

    References
    ----------
    .. [1] J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. doi:10.1038/nn.2889
    .. [2] B Long, C-P Yu, T Konkle (2018). Mid-level visual features underlie the high-level categorical organization
       of the ventral stream. doi:10.1073/pnas.1719616115

    Examples
    --------
    >>> import neuroperc as npc
    >>> rng = np.random.default_rng(0)
    >>> answers = rng.normal(size=(8, 50))
    >>> near = answers + 0.5 * rng.normal(size=answers.shape)
    >>> ids = [f"original{i}" for i in range(8)], [f"matched{i}" for i in range(8)]
    >>> units = npc.data.make_responses(np.concatenate([answers, near]), stimulus_id=ids[0] + ids[1], layer="conv")
    >>> found = compare_stimuli(units, *ids, rng=0)
    >>> bool(0 < found.relative[0] < 0.4), bool(found.rdm_agreement[0] > 0.5)
    (True, True)
    """
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    integer("n_resamples", n_resamples, minimum=2)
    first, second = _ids("originals", originals), _ids("matched", matched)
    n = len(first)
    check(len(second) == n and n >= 4, "originals and matched", "of the same number, 4 or more", (n, len(second)))
    both = np.concatenate([first, second])
    check(len(set(both)) == 2 * n, "originals and matched", "all different", f"{2 * n - len(set(both))} names twice")
    rows = xr.DataArray(np.zeros((2 * n, 1)), dims=("presentation", "neuroid"),
                        coords={"stimulus_id": ("presentation", both)})  # fmt: skip
    found, _ = take_layers(layers, by, rows)
    draws = _draws(as_rng(rng), n, n_resamples)
    answers = [_compare(correlation_distances(layer), draws, level) for layer in found]
    variables: dict[str, Any] = {}
    for k, name in enumerate(_MEASURES):
        variables[name] = ("layer", np.array([values[k] for values, _, _ in answers]))
        variables[f"{name}_interval"] = (("layer", "bound"), np.stack([limits[k] for _, limits, _ in answers]),
                                         {"of": f"{100 * level:g} % interval over pictures"})  # fmt: skip
    variables["each"] = (("layer", "pair"), np.stack([each for _, _, each in answers]))
    coords = {"layer": [layer.name for layer in found], "bound": ["low", "high"],
              "original": ("pair", first), "matched": ("pair", second)}  # fmt: skip
    return xr.Dataset(variables, coords, {"metric": "1 - Pearson r over units", "n_resamples": n_resamples})


def _ids(name: str, given: Any) -> np.ndarray:
    ids = np.asarray(given.ids if isinstance(given, StimulusSet) else given).astype(str)
    check(ids.ndim == 1, name, "(n,) stimulus ids or a StimulusSet", f"shape {ids.shape}")
    return ids


def _draws(rng: np.random.Generator, n: int, n_resamples: int) -> np.ndarray:
    """Return draws (resample, n) with three different pictures or more: two have a single distance."""
    draws = rng.integers(n, size=(4 * n_resamples, n))
    ordered = np.sort(draws, axis=1)
    enough = (np.diff(ordered, axis=1) > 0).sum(axis=1) >= 2
    return np.asarray(draws[enough][:n_resamples])


def _compare(matrix: np.ndarray, draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the measures (4,), their limits (4, 2), and each pair's distance (n,)."""
    n = len(matrix) // 2
    everyone = np.arange(n)
    values = _measures(matrix, everyone)
    resampled = np.stack([_measures(matrix, drawn) for drawn in draws])
    # The bootstrap's variance is too small by (n - 1)/n.
    half = t.ppf((1 + level) / 2, n - 1) * resampled.std(axis=0, ddof=1) * (n / (n - 1)) ** 0.5
    return values, np.stack([values - half, values + half], axis=-1), matrix[everyone, everyone + n]


def _measures(matrix: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    n = len(matrix) // 2
    a, b = np.triu_indices(len(drawn), k=1)
    a, b = drawn[a], drawn[b]
    a, b = a[a != b], b[a != b]
    own = matrix[drawn, drawn + n].mean()
    other = (matrix[a, b + n].mean() + matrix[b, a + n].mean()) / 2
    relative = own / other if other > 0 else np.nan  # pictures that all look the same
    return np.array([own, other, relative, spearman(matrix[a, b], matrix[a + n, b + n])])
