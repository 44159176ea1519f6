"""Which layer is best, and whether two models differ: intervals over stimuli and neurons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from .._check import check
from ..metrics import Interval, difference_interval, score_interval
from ._inputs import UNDERLYING, Target, take_target


def layer_intervals(scores: xr.Dataset, target: Target, rule: str, n_resamples: int, seed: int) -> dict[str, Any]:
    """Return `pooled` and `interval` of every layer, for a new draw of stimuli and neurons."""
    name: Any = UNDERLYING.get(rule, rule)

    def of_layer(i: int, rows: np.ndarray, columns: np.ndarray) -> Interval:
        predicted = scores.prediction.values[i][np.ix_(rows, columns)]
        return score_interval(predicted, target.values.values[np.ix_(rows, columns)], groups=target.groups[rows],
                              reliability=target.reliability[columns], rule=name, how="median",
                              n_resamples=n_resamples, rng=seed)  # fmt: skip

    return _over_layers(scores, target.values.values, of_layer)


def _over_layers(scores: xr.Dataset, y: np.ndarray, of_layer: Callable[..., Interval]) -> dict[str, Any]:
    """Return `interval` and `pooled` for every layer, over complete neurons and rows that were held out."""
    found, words = [], ""
    for i in range(scores.sizes["layer"]):
        predicted = scores.prediction.values[i]
        rows = np.flatnonzero(np.isfinite(predicted).any(axis=1))
        columns = np.flatnonzero(np.isfinite(predicted[rows]).all(axis=0) & np.isfinite(y[rows]).all(axis=0))
        if len(columns) == 0 or len(rows) < 3:
            found.append((np.nan, np.nan, np.nan))
            continue
        one = of_layer(i, rows, columns)
        words = f"{one.of}, of the median score of pooled held-out predictions"
        found.append((one.estimate, one.low, one.high))
    values = np.array(found)
    return {
        "pooled": ("layer", values[:, 0]),
        "interval": (("layer", "bound"), values[:, 1:], {"of": words or "no neuron is complete"}),
        "bound": ["low", "high"],
    }


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
        Above 0 when `first` is better.

    Raises
    ------
    ValueError
        When the two were made with another rule, other splits or stimuli.

    Examples
    --------
    >>> compare_models(trained, random, v4, rng=0).low > 0          # doctest: +SKIP
    True
    """
    for name in ("rule", "splits", "seed", "groups"):
        check(first.attrs[name] == second.attrs[name], f"{name} of the two scores", "the same",
              (first.attrs[name], second.attrs[name]), "Score both in the same way.")  # fmt: skip
    same = first.sizes["presentation"] == second.sizes["presentation"]
    same = same and bool((first["stimulus_id"].values == second["stimulus_id"].values).all())
    check(same, "the two scores", "of the same stimuli in the same order", "others")
    target = take_target(responses, groups=first.attrs["groups"], stratify=None, repeats=first.attrs["repeats"],
                         reliability=first["reliability"].values, rule="r", rng=0)  # fmt: skip
    names = layer or (best_layer(first), best_layer(second))
    y = target.values.values
    predicted = [_prediction(scores, name) for scores, name in zip((first, second), names, strict=True)]
    rows = np.flatnonzero(np.isfinite(predicted[0]).any(axis=1))
    complete = np.isfinite(y[rows]).all(axis=0)
    for one in predicted:
        complete &= np.isfinite(one[rows]).all(axis=0)
    columns = np.flatnonzero(complete)
    kept = [one[np.ix_(rows, columns)] for one in (*predicted, y)]
    rule = UNDERLYING.get(first.attrs["rule"], first.attrs["rule"])
    return difference_interval(*kept, groups=target.groups[rows], reliability=target.reliability[columns], rule=rule,
                               how="median", n_resamples=n_resamples, rng=rng)  # fmt: skip


def _prediction(scores: xr.Dataset, layer: str) -> np.ndarray:
    names = scores["layer"].values.tolist()
    check(layer in names, "layer", f"one of {', '.join(map(str, names))}", layer)
    found: np.ndarray = scores["prediction"].values[names.index(layer)]
    return found
