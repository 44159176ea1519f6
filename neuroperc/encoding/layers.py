"""Which layer: chosen on some stimuli, scored on others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .._check import check, one_of
from ..metrics import RULES, normalized_score, summarize
from ..recording.cluster import check_client
from ..regression import shuffle_splits
from ..regression.ridge import ALPHAS, checked_alphas
from ..regression.splits import Split
from ._cells import Cells, cell_key
from ._inputs import Layer, Target, as_seed, take_layers, take_target
from ._spreading import Work, fitted_here, held_out, turn, turned_layers
from .scoring import (
    Fitting,
    about_fit,
    check_memory,
    checked_tests,
    correlations,
    known,
    mean_over_splits,
    take_splits,
    without_short,
)


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
    store: str | os.PathLike[str] | None = None,
    memory_bytes: int = 2**32,
    client: Any = None,
    rng: int | np.random.Generator = 1,
    progress: bool = False,
) -> xr.Dataset:
    """Choose the best layer inside the training stimuli of every split and score it on the held-out ones.

    The largest of many layers' scores is too large by luck. Here the choice never sees the stimuli of its score.

    Parameters
    ----------
    layers, responses, estimator, by, splits, test_share, groups, stratify, reliability, n_components, alphas, device, \
memory_bytes, client, rng, progress
        As in `benchmark`.
    store
        Folder that keeps every finished layer; parts of one are not kept.
    inner_splits
        Divisions of the training stimuli that the choice is made on; the layer with the largest median r wins.
    rule
        One of `metrics.RULES`.

    Returns
    -------
    xarray.Dataset
        `chosen` (split) names; `raw` (split, neuroid) held-out r of the chosen layer; `inner` (layer, split) median r
        of the choice; `reliability`, `score` (neuroid); `aggregate`, the median score. A neuron with too few rows for
        the inner splits has a score all the same, and no say in the choice: the log names it.

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
    seed = as_seed(rng)
    target = take_target(responses, groups=groups, stratify=stratify, repeats="average", reliability=reliability,
                         rule=rule, rng=seed)  # fmt: skip
    found, _ = take_layers(layers, by, target.values)
    pairs = take_splits(target, splits, "shuffle", test_share, seed)
    how = Fitting(estimator, n_components, tuple(checked_alphas(alphas).tolist()), True, device)
    tried = [[*_inside(target, pair[0], inner_splits, test_share, seed), pair] for pair in pairs]
    every = [split for some in tried for split in some]
    fitted = without_short(target, pairs, how)
    choosing = without_short(fitted, every, how, lost="say in the choice")
    planned, cells = check_memory(found, fitted, tried[0], how, memory_bytes), Cells(store)
    about = about_fit(fitted, every, how) | {"inner_splits": inner_splits}
    keys = [cell_key(layer, about) if store is not None else "" for layer in found]
    made = [cells.read(key) for key in keys]
    bar = tqdm(total=len(found), desc=f"layers (about {planned})", disable=not progress)
    bar.update(sum(cell is not None for cell in made))
    for i, cell in _choices(found, made, fitted, choosing, tried, how, client):
        cells.write(keys[i], cell)
        made[i] = cell
        bar.update(1)
    bar.close()
    inner, outer = (np.stack([cell[name] for cell in made if cell is not None]) for name in ("inner", "outer"))
    check(np.isfinite(inner).any(axis=0).all(), "layers", "with a score for one at least inside every split", "none",
          "Neurons or layers may be constant: look at benchmark(...).n_undefined.")  # fmt: skip
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


def _choices(
    layers: list[Layer], made: list[Any], target: Target, choosing: Target, tried: list[list[Split]], how: Fitting,
    client: Any,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:  # fmt: skip
    """Yield (index, r) of every layer that is not made yet: inner medians (split,), outer r (split, neuron).

    Neurons of the target that are NaN in `choosing` are fitted in the outer splits only.
    """
    missing = [i for i, cell in enumerate(made) if cell is None]
    y, inner_y = (np.asarray(one.values.values, dtype=np.float64) for one in (target, choosing))
    late = np.isfinite(y).any(axis=0) & ~np.isfinite(inner_y).any(axis=0)

    def each_r(rotated: Any, y: np.ndarray, splits: list[Split]) -> np.ndarray:
        work = Work(rotated, y, target.groups, splits, how.options)
        held = (fitted_here(work, one_by_one=how.one_by_one) if client is None else
                held_out(client, work, Cells(None), "", one_by_one=how.one_by_one))  # fmt: skip
        return correlations(known(held, y), y)

    turned: Iterator[tuple[int, Any]]
    if client is None:
        turned = ((at, turn(how.device, layers[i])) for at, i in enumerate(missing))
    else:
        check_client(client)
        turned = turned_layers(client, [layers[i] for i in missing], how.device)
    for at, rotated in turned:
        each = [each_r(rotated, inner_y, splits) for splits in tried]
        outer = np.stack([r[-1] for r in each])
        if late.any():
            outer[:, late] = each_r(rotated, y[:, late], [splits[-1] for splits in tried])
        inner = [summarize(mean_over_splits(r[:-1])).value for r in each]
        yield missing[at], {"inner": np.array(inner), "outer": outer}


def _inside(target: Target, train: np.ndarray, n_splits: int, test_share: float, seed: int) -> list[Split]:
    """Divide the training rows of one split once more."""
    strata = None if target.strata is None else target.strata[train]
    found = shuffle_splits(target.groups[train], n_splits=n_splits, test_share=test_share, stratify=strata, rng=seed)
    return checked_tests("inner_splits", [(train[a], train[b]) for a, b in found], target)
