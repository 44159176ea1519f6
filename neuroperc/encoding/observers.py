"""Many networks, many areas, one table: which layer of which network stands for which area, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from torch import nn
from tqdm.auto import tqdm

from .._check import check, fail, integer
from ..data import StimulusSet
from ..metrics import summarize
from ..nets import OBSERVERS, Net
from ..recording import record
from ._inputs import as_seed
from .comparing import best_layer
from .rsa import rsa
from .scoring import benchmark, mean_over_splits

Region = tuple[StimulusSet, xr.DataArray]


def score_models(
    models: Mapping[str, nn.Module],
    regions: Mapping[str, Region],
    *,
    layers: Mapping[str, Sequence[str]] | None = None,
    shown: Mapping[str, Any] | None = None,
    n_resamples: int = 200,
    rng: int | np.random.Generator,
    progress: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Score every layer of every model against every area: models by areas in one call.

    An area with single responses is scored by `benchmark`, one with dissimilarity matrices by `rsa`. The two are
    different quantities: compare models within an area, not areas.

    Parameters
    ----------
    models
        Name to network (of `nets.load`, or any module that `record` takes).
    regions
        Area, in the order of the hierarchy, to (pictures, data): a Responses, or matrices (stimulus, other) or
        (subject, stimulus, other) with the coordinate `stimulus_id`.
    layers
        Model's name to its layers' paths or globs; a network that is left out has those of `nets.OBSERVERS`.
    shown
        Further arguments of `record`: ``{"foveate": blur, "visual_deg": 8, "store": "cache/"}`` puts the same
        front end before every model.
    n_resamples
        Of the intervals.
    rng
        Seed or generator.
    progress
        Show a bar over models.
    **options
        Of `benchmark`: ``estimator="ridge"``, ``rule=...``, ``store=...``.

    Returns
    -------
    pandas.DataFrame
        A row a model, area and layer: `model weights region layer depth score low high measure best r
        ceiling_low ceiling_high n_undefined n_not_pooled`. `weights` is "random" for an untrained network;
        `depth` goes from 0 (first of the recorded layers) to 1 (last); `low` and `high` bound `score` over
        stimuli and neurons (or subjects); `best` marks the best layer of a model in an area, chosen with the
        data that it is scored on (`choose_layer` does both on different stimuli). `r` is the median held-out
        correlation, or the agreement of matrices, and the ceiling what bounds it: the middle half of neurons'
        √reliability, or the lower and upper noise ceiling; `n_undefined` counts neurons without a score of
        their own, `n_not_pooled` those that `score` does without. An area of which nothing can be scored has no
        best layer.

    Raises
    ------
    ValueError
        For a model whose layers are not known, an area that is not (pictures, data), or as `record`, `benchmark` and
        `rsa` do.

    Examples
    --------
    >>> import torch, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(4, resolution_px=(16, 16))
    >>> rng = np.random.default_rng(0)
    >>> pictures = npc.StimulusSet.from_arrays(rng.random((20, 3, 16, 16)), display=display)
    >>> net = npc.nets.Net(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()), npc.nets.Preprocess())
    >>> units = npc.record(net, pictures, "0")
    >>> v4 = xr.DataArray(npc.metrics.rdm(units.values), dims=("stimulus", "other"),
    ...                   coords={"stimulus_id": ("stimulus", list(pictures.ids))})
    >>> table = score_models({"mine": net}, {"V4": (pictures, v4)}, layers={"mine": ["0", "1"]}, rng=0)
    >>> table[table.best].round(3)[["model", "region", "layer", "score"]].values.tolist()
    [['mine', 'V4', '0', 1.0]]
    """
    for name, given in (("models", models), ("regions", regions), ("layers", layers or {})):
        check(isinstance(given, Mapping), name, "a mapping of names", type(given).__name__, error=TypeError)
    check(len(models) > 0 and len(regions) > 0, "models and regions", "one or more each", (len(models), len(regions)))
    strange = sorted(set(layers or {}) - set(models))
    check(not strange, "layers", f"of the models ({', '.join(models)})", strange)
    integer("n_resamples", n_resamples, minimum=2)
    wanted = {name: _layers_of(name, model, layers or {}) for name, model in models.items()}
    seed = as_seed(rng)
    data = {region: _region(region, given) for region, given in regions.items()}
    rows: list[dict[str, Any]] = []
    for name, model in tqdm(models.items(), desc="models", disable=not progress):
        recorded: dict[int, xr.DataArray] = {}  # areas that share their pictures share the answers to them
        for region, (pictures, responses) in data.items():
            if id(pictures) not in recorded:
                recorded = {id(pictures): record(model, pictures, list(wanted[name]), **(shown or {}))}
            about = {"model": name, "weights": _weights(model), "region": region}
            scored = _score(recorded[id(pictures)], responses, n_resamples, seed, options)
            rows += [about | row for row in scored]
    return pd.DataFrame(rows)


def _layers_of(name: str, model: nn.Module, given: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if name in given:
        own = given[name]
        return [own] if isinstance(own, str) else list(own)
    known = model.name.rpartition(":")[2].split(".")[0] if isinstance(model, Net) else ""
    if known not in OBSERVERS:
        fail("layers", f"given for {name}, which nets.OBSERVERS does not know", list(given), "Globs of its blocks do.")
    return OBSERVERS[known].layers


def _region(name: str, given: Any) -> Region:
    pair = isinstance(given, tuple) and len(given) == 2
    ok = pair and isinstance(given[0], StimulusSet) and isinstance(given[1], xr.DataArray)
    got = tuple(type(part).__name__ for part in given) if isinstance(given, tuple) else type(given).__name__
    check(ok, f"regions[{name!r}]", "(StimulusSet, DataArray)", got, "Give the pictures shown, too.")
    pictures, data = given
    check("neuroid" in data.dims or "stimulus_id" in data.coords, f"regions[{name!r}]",
          "a Responses, or matrices with the coordinate stimulus_id", data.dims)  # fmt: skip
    return pictures, data


def _weights(model: nn.Module) -> str:
    found = str(getattr(model, "weights", "") or "not stated")
    return Path(found).name


def _score(
    units: xr.DataArray, data: xr.DataArray, n_resamples: int, seed: int, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row a layer."""
    if "neuroid" in data.dims:
        scores = benchmark(units, data, n_resamples=n_resamples, rng=seed, **options)
        best = best_layer(scores) if np.isfinite(scores["aggregate"].values).any() else None
        value, not_pooled = scores["pooled"].values, scores["n_not_pooled"].values
        measure = f"{scores.attrs['formula']}, {scores.attrs['estimator']}"
        r = np.array([summarize(one).value for one in mean_over_splits(scores["raw"].values)])
        reliability = scores["reliability"].values
        known = np.sqrt(reliability[reliability > 0])
        ceiling: Any = np.percentile(known, [25, 75]) if len(known) else (np.nan, np.nan)
        undefined = scores["n_undefined"].values
    else:
        scores = rsa(units, data, n_resamples=n_resamples, rng=seed)
        value = scores["score"].values
        best = str(scores["layer"].values[int(np.nanargmax(value))]) if np.isfinite(value).any() else None
        measure = f"{scores.attrs['method']} of matrices"
        r, ceiling = value, (scores["lower"], scores["upper"])
        undefined = not_pooled = np.zeros(len(value), dtype=int)
    names, limits = scores["layer"].values.tolist(), scores["interval"].values
    return [
        {"layer": name, "depth": i / max(len(names) - 1, 1), "score": float(value[i]), "low": float(limits[i, 0]),
         "high": float(limits[i, 1]), "measure": measure, "best": name == best, "r": float(r[i]),
         "ceiling_low": float(ceiling[0]), "ceiling_high": float(ceiling[1]), "n_undefined": int(undefined[i]),
         "n_not_pooled": int(not_pooled[i])}
        for i, name in enumerate(names)
    ]  # fmt: skip


def hierarchy_slope(table: pd.DataFrame, *, regions: Sequence[str] | None = None) -> pd.DataFrame:
    """Rank correlation of models with the order of areas: later areas, deeper layers, higher scores.

    Parameters
    ----------
    table
        Of `score_models`.
    regions
        The areas from first to last; default their order in the table.

    Returns
    -------
    pandas.DataFrame
        A row a model: `of_depth` Spearman correlation of an area's place with the depth of its best layer, `of_score`
        with the best layer's score, `n_regions`, `weights`. NaN where all areas have one depth.

    Raises
    ------
    ValueError
        For fewer than three areas, whose rank correlation says nothing, or one that a model lacks.

    References
    ----------
    .. [1] W Berrios, A Deza (2022). Joint rotational invariance and adversarial training of a dual-stream Transformer
       yields state of the art Brain-Score for area V4. Abstract: scores rise along the hierarchy.

    Examples
    --------
    >>> areas = ["V1", "V4", "IT"]
    >>> table = pd.DataFrame({"model": "net", "weights": "random", "region": areas, "depth": [0.1, 0.4, 0.9],
    ...                       "score": [0.5, 0.4, 0.3], "best": True})
    >>> hierarchy_slope(table)[["of_depth", "of_score"]].values.tolist()
    [[1.0, -1.0]]
    """
    lacking = [name for name in ("model", "weights", "region", "depth", "score", "best") if name not in table]
    check(not lacking, "table", "one of score_models", f"without {lacking}")
    order = list(dict.fromkeys(table["region"])) if regions is None else list(regions)
    check(len(order) > 2, "regions", "3 or more areas", order, "A rank correlation of two is always 1 or -1.")
    best = table[table["best"]]
    found = {}
    for name, rows in best.groupby("model", sort=False):
        own = rows.set_index("region")
        check(own.index.is_unique, "table", f"of one best layer of {name} in an area", own.index.tolist())
        missing = sorted(set(order) - set(own.index))
        check(not missing, "regions", f"scored for {name}", f"{missing} missing")
        own = own.loc[order]
        found[name] = {
            "of_depth": _rank_correlation(own["depth"]), "of_score": _rank_correlation(own["score"]),
            "n_regions": len(order), "weights": own["weights"].iloc[0],
        }  # fmt: skip
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("model")


def _rank_correlation(values: pd.Series) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(values.to_numpy(dtype=float))
    if np.ptp(ranks) == 0:
        return float("nan")
    return float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1])
