"""Which layer is best, and whether two models differ: intervals over stimuli and neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from .._check import check
from ..data import check_scores
from ..metrics import Interval, difference_interval, score_interval
from ..metrics.intervals import FEWEST_GROUPS
from ._inputs import UNDERLYING, Target, take_target


def layer_intervals(scores: xr.Dataset, target: Target, rule: str, n_resamples: int, seed: int) -> dict[str, Any]:
    """Return `pooled` and `interval` of every layer for a new draw of stimuli and neurons, and who is not in them.

    Rows that a neuron misses are left out for that neuron; rows that no split held out, for all.
    """
    name: Any = UNDERLYING.get(rule, rule)
    y, found = target.values.values, []
    kept, words = np.zeros((scores.sizes["layer"], y.shape[1]), dtype=bool), ""
    for i, predicted in enumerate(scores.prediction.values):
        rows = np.isfinite(predicted).any(axis=1)
        if len(np.unique(target.groups[rows])) < FEWEST_GROUPS:
            found.append((np.nan, np.nan, np.nan))
            continue
        one = score_interval(predicted[rows], y[rows], groups=target.groups[rows], reliability=target.reliability,
                             rule=name, how="median", n_resamples=n_resamples, nan_policy="omit", rng=seed)  # fmt: skip
        kept[i] = ~np.isin(np.arange(y.shape[1]), one.undefined)
        words = one.of if kept[i].any() else words
        found.append((one.estimate, one.low, one.high))
    values = np.array(found)
    nothing = f"no neuron has a score and values in {FEWEST_GROUPS} groups of stimuli"
    of = f"{words}, of the median score of pooled held-out predictions" if words else nothing
    return {
        "pooled": ("layer", values[:, 0]), "interval": (("layer", "bound"), values[:, 1:], {"of": of}),
        "is_pooled": (("layer", "neuroid"), kept), "n_not_pooled": ("layer", (~kept).sum(axis=1)),
        "bound": ["low", "high"],
    }  # fmt: skip


def best_layer(scores: xr.Dataset) -> str:
    """Return the name of the layer with the largest aggregate score.

    It is chosen with the data that it is scored on; `choose_layer` does both on different stimuli.

    Parameters
    ----------
    scores
        A Scores of `benchmark`.

    Raises
    ------
    ValueError
        When no layer has a score.

    Examples
    --------
    >>> import xarray as xr
    >>> best_layer(xr.Dataset({"aggregate": ("layer", [0.1, 0.3])}, {"layer": ["conv1", "conv2"]}))
    'conv2'
    """
    values = scores["aggregate"].values
    check(np.isfinite(values).any(), "scores", "with a score for a layer at least", values.tolist())
    return str(scores["layer"].values[int(np.nanargmax(values))])


def compare_models(
    first: xr.Dataset,
    second: xr.Dataset,
    responses: xr.DataArray,
    *,
    layer: tuple[str, str] | None = None,
    n_resamples: int = 1000,
    rng: int | np.random.Generator,
) -> Interval:
    """Difference of two models' median scores, paired on the same resamples of stimuli and neurons.

    Parameters
    ----------
    first, second
        Scores of `benchmark` from the same responses, splits and rule.
    responses
        What both were scored against.
    layer
        The layer of each; default the best of each.
    n_resamples, rng
        Of the interval.

    Returns
    -------
    metrics.Interval
        Above 0 when `first` is better. Rows that a neuron misses are left out for that neuron; neurons without a score
        are counted in `n_undefined` and named, by their place in `responses`, in `undefined`.

    Raises
    ------
    ValueError
        When the two were made with another rule, other splits, reliabilities, stimuli or neurons, or the responses have
        others.

    Examples
    --------
    >>> compare_models(trained, random, v4, rng=0).low > 0          # doctest: +SKIP
    True
    """
    target = _scored(first, second, responses)
    names = layer or (best_layer(first), best_layer(second))
    predicted = [_prediction(scores, name) for scores, name in zip((first, second), names, strict=True)]
    rows = np.logical_and(*(np.isfinite(one).any(axis=1) for one in predicted))
    rule = UNDERLYING.get(first.attrs["rule"], first.attrs["rule"])
    kept = [one[rows] for one in (*predicted, target.values.values)]
    return difference_interval(*kept, groups=target.groups[rows], reliability=target.reliability, rule=rule,
                               how="median", n_resamples=n_resamples, nan_policy="omit", rng=rng)  # fmt: skip


def _scored(first: xr.Dataset, second: xr.Dataset, responses: xr.DataArray) -> Target:
    """Return what both were scored against; raise unless it was the same, in the same way."""
    for scores in map(check_scores, (first, second)):
        check("prediction" in scores, "scores", "of benchmark, with prediction", sorted(map(str, scores.data_vars)))
    for name in ("rule", "splits", "scheme", "held_out", "seed", "groups", "repeats"):
        pair = first.attrs.get(name), second.attrs.get(name)
        check(pair[0] == pair[1], f"{name} of the two scores", "the same", pair, "Score both in the same way.")
    groups = None if first.attrs["groups"] == "None" else first.attrs["groups"]
    target = take_target(responses, groups=groups, stratify=None, repeats=first.attrs["repeats"],
                         reliability=first["reliability"].values, rule="r", rng=0)  # fmt: skip
    for name in ("stimulus_id", "neuroid_id", "reliability"):
        pair = first[name].values, second[name].values
        check(_same(*pair), f"{name} of the two scores", "the same", [x[:3].tolist() for x in pair])
    for name in ("stimulus_id", "neuroid_id"):
        pair = first[name].values, target.values[name].values
        check(_same(*pair), "responses", f"those of the two scores, in their order (by {name})",
              f"{pair[1][:3].tolist()}, not {pair[0][:3].tolist()}")  # fmt: skip
    return target


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    if first.shape != second.shape:
        return False
    return bool(np.all((first == second) | ((first != first) & (second != second))))  # NaN equals NaN here


def _prediction(scores: xr.Dataset, layer: str) -> np.ndarray:
    names = scores["layer"].values.tolist()
    check(layer in names, "layer", f"one of {', '.join(map(str, names))}", layer)
    found: np.ndarray = scores["prediction"].values[names.index(layer)]
    return found
