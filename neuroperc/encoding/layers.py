"""Which layer: chosen on some stimuli, scored on others."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .._check import one_of
from ..metrics import RULES, normalized_score, pearson, summarize
from ..regression import cross_predict, rotate, shuffle_splits
from ..regression.ridge import ALPHAS, checked_alphas
from ..regression.splits import Split
from ._inputs import Target, take_layers, take_target
from .scoring import Fitting, check_memory, mean_over_splits, take_splits


def choose_layer(
    layers: Any,
    responses: xr.DataArray,
    *,
    estimator: Literal["pls", "ridge"] = "pls",
    by: str = "layer",
    splits: int = 10,
    inner_splits: int = 5,
    test_share: float = 0.1,
    groups: str = "stimulus_id",
    stratify: str | None = None,
    rule: str = "signed",
    reliability: Any = "split_half",
    n_components: int = 25,
    alphas: Any = ALPHAS,
    device: Any = None,
    memory_bytes: int = 2**32,
    rng: int | np.random.Generator = 1,
    progress: bool = False,
) -> xr.Dataset:
    """Choose the best layer inside the training stimuli of every split and score it on the held-out ones.

    The largest of many layers' scores is too large by luck. Here the choice never sees the stimuli of its score.

    Parameters
    ----------
    layers, responses, estimator, by, splits, test_share, groups, stratify, reliability, n_components, alphas, device, \
memory_bytes, rng, progress
        As in `benchmark`.
    inner_splits
        Divisions of the training stimuli that the choice is made on; the layer with the largest median r wins.
    rule
        One of `metrics.RULES`.

    Returns
    -------
    xarray.Dataset
        `chosen` (split) names; `raw` (split, neuroid) held-out r of the chosen layer; `inner` (layer, split) median r
        of the choice; `reliability`, `score` (neuroid); `aggregate`, the median score.

    Raises
    ------
    ValueError
        As `benchmark`.

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> rng = np.random.default_rng(0)
    >>> names = [f"picture {i}" for i in range(60)]
    >>> x = rng.normal(size=(60, 40))
    >>> units = npc.data.make_responses(x, stimulus_id=names, layer=["early"] * 20 + ["late"] * 20)
    >>> v4 = npc.data.make_responses(x[:, 20:] @ rng.normal(size=(20, 6)), stimulus_id=names)
    >>> found = choose_layer(units, v4, estimator="ridge", splits=3, reliability=1.0)
    >>> found.chosen.values.tolist()
    ['late', 'late', 'late']
    """
    one_of("rule", rule, tuple(RULES))
    seed = rng if isinstance(rng, int) else int(rng.integers(2**31))
    target = take_target(responses, groups=groups, stratify=stratify, repeats="average", reliability=reliability,
                         rule=rule, rng=seed)  # fmt: skip
    found, _ = take_layers(layers, by, target.values)
    pairs = take_splits(target, splits, "shuffle", test_share, seed)
    how = Fitting(estimator, n_components, tuple(checked_alphas(alphas).tolist()), True, device)
    y = np.asarray(target.values.values, dtype=np.float64)
    options: dict[str, Any] = {
        "estimator": estimator,
        "n_components": n_components,
        "alphas": how.alphas,
        "device": device,
    }
    inner, outer = np.full((len(found), len(pairs)), np.nan), np.full((len(found), len(pairs), y.shape[1]), np.nan)
    planned = check_memory(found, target, pairs, how, memory_bytes)
    for i, layer in enumerate(tqdm(found, desc=f"layers (about {planned})", disable=not progress)):
        turned = rotate(layer, device=device)
        for j, outer_split in enumerate(pairs):
            tried = [*_inside(target, outer_split[0], inner_splits, test_share, seed), outer_split]
            held = cross_predict(turned, y, splits=tried, groups=target.groups, **options)
            tests = zip(held.predictions, held.splits, strict=True)
            r = np.stack([pearson(p, y[test], nan_policy="omit") for p, (_, test) in tests])
            inner[i, j], outer[i, j] = summarize(mean_over_splits(r[:-1])).value, r[-1]
    best = np.where(np.isfinite(inner), inner, -np.inf).argmax(axis=0)
    raw = outer[best, np.arange(len(pairs))]
    rule_name: Any = rule
    score = normalized_score(mean_over_splits(raw), target.reliability, rule=rule_name)
    names = np.array([layer.name for layer in found])
    variables = {
        "chosen": ("split", names[best]), "raw": (("split", "neuroid"), raw), "inner": (("layer", "split"), inner),
        "reliability": ("neuroid", target.reliability), "score": ("neuroid", score),
        "aggregate": summarize(score).value,
    }  # fmt: skip
    coords = {"layer": names, "neuroid_id": ("neuroid", target.values.coords["neuroid_id"].values)}
    attrs = {"rule": rule, "estimator": estimator, "splits": len(pairs), "inner_splits": inner_splits}
    return xr.Dataset(variables, coords, attrs | {"groups": groups, "seed": seed})


def _inside(target: Target, train: np.ndarray, n_splits: int, test_share: float, seed: int) -> list[Split]:
    """Divide the training rows of one split once more."""
    strata = None if target.strata is None else target.strata[train]
    found = shuffle_splits(target.groups[train], n_splits=n_splits, test_share=test_share, stratify=strata, rng=seed)
    return [(train[a], train[b]) for a, b in found]
