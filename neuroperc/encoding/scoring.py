"""How well each layer of a model predicts neurons: cross-validated, divided by reliability, with an interval."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .._check import check, integer, one_of
from ..data import check_scores
from ..metrics import (
    RULES,
    brainscore,
    brainscore_sem,
    normalized_score,
    pearson,
    r2,
    summarize,
)
from ..recording.cluster import check_client
from ..regression import HeldOut, fold_splits, shuffle_splits
from ..regression.ridge import ALPHAS, checked_alphas
from ..regression.splits import Split
from ._cells import Cells, cell_key, digest
from ._inputs import BRAINSCORE, UNDERLYING, Layer, Target, as_seed, take_layers, take_target
from ._spreading import NEURONS, Work, drop_parts, fitted_here, held_out, turn, turned_layers
from .comparing import layer_intervals

_log = logging.getLogger("neuroperc.encoding")
_FEWEST_TESTED = 3  # stimuli: through two points goes a line, and r is 1 or -1
_WORKSPACE_BYTES = 2**25  # of libraries: buffers of linear algebra, modules that are imported on the way


@dataclass(frozen=True)
class Fitting:
    """How a layer is fitted: the part of a benchmark's arguments that its cells depend on."""

    estimator: Literal["pls", "ridge"]
    n_components: int
    alphas: tuple[float, ...]
    alpha_per_target: bool
    device: Any

    @property
    def one_by_one(self) -> bool:
        """Whether a neuron's fit does not depend on which others are there."""
        return self.estimator == "ridge" and self.alpha_per_target

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `regression.cross_predict`."""
        return dict(vars(self))


def benchmark(
    layers: Any,
    responses: xr.DataArray,
    *,
    estimator: Literal["pls", "ridge"] = "pls",
    by: str = "layer",
    splits: int | Sequence[Split] = 10,
    scheme: Literal["shuffle", "fold"] = "shuffle",
    test_share: float = 0.1,
    groups: str | None = "stimulus_id",
    stratify: str | None = None,
    repeats: Literal["average", "keep"] = "average",
    rule: str = "signed",
    reliability: Any = "split_half",
    n_components: int = 25,
    alphas: Any = ALPHAS,
    alpha_per_target: bool = True,
    n_resamples: int = 1000,
    device: Any = None,
    store: str | os.PathLike[str] | None = None,
    memory_bytes: int = 2**32,
    client: Any = None,
    rng: int | np.random.Generator = 1,
    progress: bool = False,
) -> xr.Dataset:
    """Score every layer of a model against neurons.

    Features may be as wide as they like: they are read once, a block at a time, into an n × n Gram matrix, which serves
    every split, penalty and neuron.

    Parameters
    ----------
    layers
        A Responses of model units, such as `record` returns (also one that is read on demand), split by the coordinate
        `by`; or a mapping of names to such. One row a stimulus, in any order; stimuli that were not shown are left out.
    responses
        A Responses of neurons, with its repeats.
    estimator
        ``"pls"`` (25 components, not scaled, as Brain-Score) or ``"ridge"`` (a penalty for each neuron by
        leave-one-out).
    by
        Coordinate of the units that tells layers apart.
    splits
        How many, or pairs (train, test) of rows of the averaged responses.
    scheme
        ``"shuffle"`` draws test sets anew (they overlap), ``"fold"`` holds out every stimulus once.
    test_share
        Of the groups, for ``"shuffle"``.
    groups
        Coordinate of the presentations whose rows stay together; None only when no stimulus has two rows.
    stratify
        Coordinate whose shares are kept on both sides, such as ``"object_name"``.
    repeats
        ``"average"`` scores the mean over repeats; ``"keep"`` fits single presentations.
    rule
        One of `metrics.RULES` (default ``"signed"``: sign(r) r² / reliability, for each neuron before aggregating), or
        ``"brainscore-2025"`` or ``"brainscore-2026"``, which aggregate first.
    reliability
        ``"split_half"``, ``"noise_ceiling"``, ``"explainable_variance"`` (from the repeats, of their mean or, with
        ``"keep"``, of one), a `metrics.Reliability`, or numbers in variance units, one or one for each neuron.
    n_components, alphas, alpha_per_target
        Of PLS and of ridge; see `regression.PLS` and `regression.RidgeCV`.
    n_resamples
        Of the interval over stimuli and neurons; 0 leaves it out.
    device
        None computes with NumPy; else a torch device.
    store
        Folder that keeps each finished layer, keyed by the content of features, responses and arguments. A killed sweep
        loses the layer that it was at; a damaged file is found by its checksum and made again.
    memory_bytes
        Most that the work may need beyond the data, features on demand and results included. What it will need is
        worked out before it begins, logged (level info) and shown in the bar; more than this is an error.
    client
        A ``distributed.Client``: layers, splits and neurons are spread over its workers, with the same numbers to
        rounding. Features that `record` keeps in a store which the workers see are read there. What a dying worker
        was at is done again by another; with `store`, finished parts of a layer are kept too.
    rng
        Seed or generator of splits, halves and resamples. 1 gives Brain-Score's splits.
    progress
        Show a bar over layers.

    Returns
    -------
    xarray.Dataset
        A Scores: `raw` (layer, split, neuroid) Pearson r on held-out stimuli, `r2` beside it, `score` (layer, neuroid),
        `reliability` (neuroid) with `n_repeats`; `aggregate` (layer) the median over neurons (or Brain-Score's number,
        with `brainscore_sem`); `n_undefined` (layer) neurons without a score; `pooled` (layer) the score of pooled
        held-out predictions and `interval` (layer, bound) its ends over stimuli and neurons, each neuron with the rows
        that it has; `is_pooled` (layer, neuroid) which neurons they rest on, `n_not_pooled` (layer) how many they do
        not; `prediction` (layer, presentation, neuroid) the mean held-out prediction, those of all splits brought to
        one intercept and one scale; `alpha` (layer, split, neuroid) of ridge. Attributes say how it was made.

    Raises
    ------
    ValueError
        When stimuli of the responses are missing in a layer, a coordinate is unknown, nothing repeats and no
        reliability is given, there are fewer training stimuli than components (for every neuron: some are counted in
        `n_undefined`), a feature is NaN, or the work needs more than `memory_bytes`.

    References
    ----------
    .. [1] M Schrimpf et al. (2018). Brain-Score: which artificial neural network is most brain-like? doi:10.1101/407007

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> rng = np.random.default_rng(0)
    >>> names = [f"picture {i}" for i in range(80)]
    >>> units = npc.data.make_responses(rng.normal(size=(80, 300)), stimulus_id=names, layer="conv1")
    >>> truth = units.values[:, :5] @ rng.normal(size=(5, 12))
    >>> trials = [npc.data.make_responses(truth + rng.normal(size=truth.shape), stimulus_id=names) for _ in range(4)]
    >>> v4 = xr.concat(trials, "presentation")
    >>> scores = npc.encoding.benchmark(units, v4, estimator="ridge")
    >>> scores.raw.dims, scores.attrs["rule"], bool(0 < scores.aggregate[0] < 1)
    (('layer', 'split', 'neuroid'), 'signed', True)
    """
    one_of("estimator", estimator, ("pls", "ridge"))
    one_of("rule", rule, (*RULES, *BRAINSCORE))
    seed = as_seed(rng)
    target = take_target(responses, groups=groups, stratify=stratify, repeats=repeats, reliability=reliability,
                         rule=rule, rng=seed)  # fmt: skip
    found, unused = take_layers(layers, by, target.values)
    pairs = take_splits(target, splits, scheme, test_share, seed)
    how = Fitting(estimator, n_components, tuple(checked_alphas(alphas).tolist()), alpha_per_target, device)
    planned = check_memory(found, target, pairs, how, memory_bytes, n_resamples)
    fitted = without_short(target, pairs, how)
    cells, about = Cells(store), about_fit(fitted, pairs, how)
    keys = [cell_key(layer, about) if store is not None else "" for layer in found]
    bar = tqdm(total=len(found), desc=f"layers (about {planned})", disable=not progress)
    made = _every_cell(found, keys, cells, fitted, pairs, how, client, bar)
    scores = _dataset([layer.name for layer in found], made, target, rule)
    drawn = scheme if isinstance(splits, int | np.integer) else "given"
    scores.attrs = _attrs(target, pairs, how, rule, drawn, seed) | {
        "groups": str(groups), "stratify": str(stratify), "repeats": repeats, "n_stimuli_unused": unused,
    }  # fmt: skip
    if n_resamples:
        scores = scores.assign(layer_intervals(scores, target, rule, integer("n_resamples", n_resamples, 2), seed))
    return check_scores(scores)


def take_splits(
    target: Target, splits: int | Sequence[Split], scheme: str, test_share: float, seed: int
) -> list[Split]:
    """Return the splits of a benchmark."""
    one_of("scheme", scheme, ("shuffle", "fold"))
    if not isinstance(splits, int | np.integer):
        pairs = _given_splits(splits, len(target.groups))
    elif scheme == "fold":
        pairs = fold_splits(target.groups, n_folds=int(splits), rng=seed)
    else:
        pairs = shuffle_splits(target.groups, n_splits=splits, test_share=test_share, stratify=target.strata, rng=seed)
    return checked_tests("splits", pairs, target)


def checked_tests(name: str, pairs: list[Split], target: Target) -> list[Split]:
    """Return the splits; raise unless enough stimuli are held out in each."""
    ids = target.values.coords["stimulus_id"].values
    least = min((len(np.unique(ids[test])) for _, test in pairs), default=0)
    check(least >= _FEWEST_TESTED, name, f"with {_FEWEST_TESTED} or more test stimuli each", least,
          "Raise test_share, take fewer folds, or give more stimuli.")  # fmt: skip
    return pairs


def _given_splits(splits: Any, n_rows: int) -> list[Split]:
    """Return (train, test) as arrays of row numbers."""
    remedy = "Make them with regression.shuffle_splits or fold_splits."
    check(isinstance(splits, Iterable), "splits", "a whole number or pairs (train, test)", splits, remedy, TypeError)
    pairs = [tuple(np.asarray(part) for part in pair) for pair in splits]
    for pair in pairs:
        right = len(pair) == 2 and all(part.ndim == 1 and part.dtype.kind in "iu" for part in pair)
        check(right, "splits", "pairs (train, test) of row numbers", [(p.dtype.name, p.shape) for p in pair], remedy)
        rows = np.concatenate(pair)
        inside = rows.size and rows.min() >= 0 and rows.max() < n_rows
        check(inside, "splits", f"of rows 0 to {n_rows - 1}", f"{rows.min(initial=0)} to {rows.max(initial=-1)}")
    return [(train, test) for train, test in pairs]


def without_short(target: Target, splits: list[Split], how: Fitting, *, lost: str = "score") -> Target:
    """Return the target with NaN for neurons that have too few training rows in a split: like constant ones, no score.

    When that is so for all, what is wrong are the splits, and the fit says so. `lost` is what the log says they lose.
    """
    y = np.array(target.values.values, dtype=np.float64)
    least = how.n_components if how.estimator == "pls" else 2
    n_train = np.min([np.isfinite(y[train]).sum(axis=0) for train, _ in splits], axis=0)
    short = (n_train < least) & np.isfinite(y).any(axis=0)
    if not short.any() or not (n_train >= least).any():
        return target
    _log.warning("neuroids %s have fewer than %d training rows in a split, and so no %s",
                 target.values.coords["neuroid_id"].values[short].tolist(), least, lost)  # fmt: skip
    y[:, short] = np.nan
    return replace(target, values=target.values.copy(data=y))


def needed_bytes(
    shapes: list[tuple[int, int]], n_targets: int, splits: list[Split], how: Fitting, *, n_resamples: int = 0,
    incomplete: bool = False,
) -> int:  # fmt: skip
    """Return about how much memory scoring these layers takes at its peak, beyond the data and what is imported."""
    n, t, n_splits, most = shapes[0][0], n_targets, len(splits), 0
    out = max(n - len(train) for train, _ in splits)
    held = 2 * n_splits * out * t  # predictions of all splits, and the parts they are put together from
    at_once = min(t, NEURONS) if how.one_by_one else t
    for _, p in shapes:
        rank, step = min(n - 1, p), min(p, max(n, 2**23 // n))
        # A block is read, brought to the target's rows, widened and centred while the last one is still there.
        reading = 3 * n * p + 2 * p * p if p < n else 5 * n * step + n * n
        if how.estimator == "pls":
            fit = n_splits * (3 * out * rank + 5 * rank * t + 4 * min(rank, t) ** 2)
        else:
            fit = 6 * n * n + 4 * out * (n + at_once) + 7 * n_splits * out * at_once
        again = n * rank + held if incomplete else 0  # rows of some neurons are turned once more, beside the first turn
        most = max(most, reading, again + 7 * n * n, again + n * rank + fit + held, n * rank + held + 6 * n * t)
    intervals = 14 * n * t + 15 * min(n_resamples * max(n, t), 2**21) if n_resamples else 0  # blocks of resamples
    results = len(shapes) * (n * t + 8 * n_splits * t)
    return 8 * (results + max(most, intervals)) + _WORKSPACE_BYTES


def check_memory(
    layers: list[Layer], target: Target, splits: list[Split], how: Fitting, memory_bytes: int, n_resamples: int = 0
) -> str:
    """Return the plan in words; raise before the work when it would not fit."""
    y = target.values
    needed = needed_bytes([layer.shape for layer in layers], y.sizes["neuroid"], splits, how, n_resamples=n_resamples,
                          incomplete=bool(np.isnan(y.values).any()))  # fmt: skip
    widest = max(layers, key=lambda layer: layer.shape[1])
    what = (f"{len(layers)} layers of up to {widest.shape[1]} units ({widest.name}), {y.shape[0]} rows, "
            f"{y.shape[1]} neurons")  # fmt: skip
    check(needed <= memory_bytes, "memory_bytes", f"at least {needed} ({needed / 1e9:.2f} GB) for {what}", memory_bytes,
          "Raise it, use fewer splits, or fewer layers or neurons at a time.")  # fmt: skip
    _log.info("memory: about %.2f GB for %s", needed / 1e9, what)
    return f"{needed / 1e9:.2f} GB"


def _every_cell(
    layers: list[Layer], keys: list[str], cells: Cells, target: Target, splits: list[Split], how: Fitting, client: Any,
    bar: Any,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the cells of all layers on a first axis: stored ones are read, others made and stored, here or there."""
    n, t = target.values.shape
    shapes = dict.fromkeys(("raw", "r2", "alpha"), (len(splits), t)) | {"prediction": (n, t)}
    made = {name: np.empty((len(layers), *shape)) for name, shape in shapes.items()}

    def fill(i: int, cell: dict[str, np.ndarray] | None) -> bool:
        if cell is not None:
            for name, values in made.items():
                values[i] = cell[name]
            bar.update(1)
        return cell is not None

    missing = [i for i, key in enumerate(keys) if not fill(i, cells.read(key))]
    new: Iterator[tuple[int, dict[str, np.ndarray]]]
    if client is None:
        new = ((i, compute_cell(layers[i], target, splits, how)) for i in missing)
    else:
        new = _on_cluster(layers, missing, keys, cells, target, splits, how, client)
    for i, cell in new:
        cells.write(keys[i], cell)
        if client is not None:
            drop_parts(cells, keys[i], len(splits), t, one_by_one=how.one_by_one)
        fill(i, cell)
    bar.close()
    return made


def _on_cluster(
    layers: list[Layer], missing: list[int], keys: list[str], cells: Cells, target: Target, splits: list[Split],
    how: Fitting, client: Any,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:  # fmt: skip
    check_client(client)
    y = np.asarray(target.values.values, dtype=np.float64)
    for at, turned in turned_layers(client, [layers[i] for i in missing], how.device):
        i = missing[at]
        work = Work(turned, y, target.groups, splits, how.options)
        held = held_out(client, work, cells, keys[i], one_by_one=how.one_by_one)
        yield i, cell_of(held, y)


def compute_cell(layer: Layer, target: Target, splits: list[Split], how: Fitting) -> dict[str, np.ndarray]:
    """Fit one layer on every split; return r, R² and the mean held-out predictions."""
    y = np.asarray(target.values.values, dtype=np.float64)
    work = Work(turn(how.device, layer), y, target.groups, splits, how.options)
    return cell_of(fitted_here(work, one_by_one=how.one_by_one), y)


def cell_of(held: HeldOut, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is kept of a layer: r, R², mean held-out predictions and penalties."""
    held = known(held, y)
    tests = zip(held.predictions, held.splits, strict=True)
    determined = np.stack([r2(predicted, y[test], nan_policy="omit") for predicted, (_, test) in tests])
    alpha = np.full((len(held.splits), y.shape[1]), np.nan) if held.alphas is None else held.alphas
    return {"raw": correlations(held, y), "r2": determined, "prediction": pool(held, y), "alpha": alpha}


def known(held: HeldOut, y: np.ndarray) -> HeldOut:
    """Return the predictions without those of fits that do not vary by more than the rounding of what is predicted.

    A penalty far above all eigenvalues leaves such fits: their correlation would be one of rounding errors.
    """
    found = []
    for predicted, spread, (train, _) in zip(held.predictions, held.spread, held.splits, strict=True):
        deviation = mean_over_splits((y[train] - mean_over_splits(y[train])) ** 2) ** 0.5
        found.append(np.where(spread > 1e-12 * deviation, predicted, np.nan))
    return replace(held, predictions=found)


def correlations(held: HeldOut, y: np.ndarray) -> np.ndarray:
    """Return r (split, neuron) over held-out rows; NaN for a neuron that too few of them are known of."""
    found = []
    for predicted, (_, test) in zip(held.predictions, held.splits, strict=True):
        enough = (np.isfinite(predicted) & np.isfinite(y[test])).sum(axis=0) >= _FEWEST_TESTED
        found.append(np.where(enough, pearson(predicted, y[test], nan_policy="omit"), np.nan))
    return np.stack(found)


def pool(held: HeldOut, y: np.ndarray) -> np.ndarray:
    """Return mean held-out predictions (row, neuron), those of all splits with one intercept and one scale.

    A split's intercept is the mean of its training rows, which is low where the held-out rows are high, and its scale
    follows its penalty: mixing either lowers the correlation over all rows below that of any one fit.
    """
    total, count = np.zeros(y.shape), np.zeros(y.shape)
    common = mean_over_splits(held.spread)
    for predicted, spread, (train, test) in zip(held.predictions, held.spread, held.splits, strict=True):
        scale = np.divide(common, spread, out=np.ones_like(common), where=spread > 0)
        known = np.isfinite(predicted)
        total[test] += np.where(known, scale * (predicted - mean_over_splits(y[train])), 0)
        count[test] += known
    mean = np.divide(total, count, out=np.full(y.shape, np.nan), where=count > 0)
    return mean + mean_over_splits(y)


def mean_over_splits(raw: np.ndarray) -> np.ndarray:
    """Return the mean over axis -2 of what is defined; NaN where nothing is."""
    there = np.isfinite(raw)
    n = there.sum(axis=-2)
    return np.divide(np.where(there, raw, 0).sum(axis=-2), n, out=np.full(n.shape, np.nan), where=n > 0)


def about_fit(target: Target, splits: list[Split], how: Fitting) -> dict[str, Any]:
    """Return what the numbers of a cell depend on beside the features."""
    settings = {k: str(v) for k, v in vars(how).items()}
    labels = digest(np.unique(target.groups, return_inverse=True)[1])
    return {"target": digest(target.values.values), "splits": _digest_of(splits), "groups": labels, **settings}


def _digest_of(splits: list[Split]) -> str:
    return digest(np.concatenate([part for pair in splits for part in (np.array([len(pair[0])]), *pair)]))


def _dataset(names: list[str], cells: dict[str, np.ndarray], target: Target, rule: str) -> xr.Dataset:
    raw = cells["raw"]
    name: Any = UNDERLYING.get(rule, rule)
    score = normalized_score(mean_over_splits(raw), target.reliability, rule=name)
    dims = ("layer", "split", "neuroid")
    variables: dict[str, Any] = {
        "raw": (dims, raw), "r2": (dims, cells["r2"]),
        "score": (("layer", "neuroid"), score), "reliability": ("neuroid", target.reliability),
        "n_undefined": ("layer", np.isnan(score).sum(axis=1)),
        "prediction": (("layer", "presentation", "neuroid"), cells["prediction"]),
    }  # fmt: skip
    if np.isfinite(cells["alpha"]).any():
        variables["alpha"] = (dims, cells["alpha"])
    if target.ceilings is None:
        variables["aggregate"] = ("layer", np.array([summarize(s).value for s in score]))
    else:
        variables["ceiling"] = (("division", "neuroid"), target.ceilings)
        variables["aggregate"] = ("layer", np.array([float(brainscore(r, target.ceilings, rule=rule)) for r in raw]))
        variables["brainscore_sem"] = ("layer", np.array([float(brainscore_sem(r)) for r in raw]))
    return xr.Dataset(variables, {"layer": names, **_labels(target)})


def _labels(target: Target) -> dict[str, Any]:
    """Return the target's own labels, and how many rows and repeats each neuron has."""
    values = target.values
    coords: dict[str, Any] = {
        ("n_presentations" if name == "n_repeats" else str(name)): (label.dims, label.values)
        for name, label in values.coords.items()
        if label.dims in (("presentation",), ("neuroid",)) and name != "layer"
    }
    coords["n_repeats"] = ("neuroid", target.n_repeats)
    coords["n_rows"] = ("neuroid", (~np.isnan(values.values)).sum(axis=0))
    return coords


def _attrs(target: Target, splits: list[Split], how: Fitting, rule: str, scheme: str, seed: int) -> dict[str, Any]:
    fitted: dict[str, Any] = {"n_components": how.n_components}
    if how.estimator == "ridge":
        fitted = {"alphas": list(how.alphas), "alpha_per_target": int(how.alpha_per_target)}
    late = "medians over neurons, mean over splits, then the rule"
    return {
        "rule": rule, "formula": RULES[UNDERLYING.get(rule, rule)],
        "order": late if rule in BRAINSCORE else "the rule for each neuron, then the median over neurons",
        "estimator": how.estimator, "splits": len(splits), "scheme": scheme, "seed": seed,
        "held_out": _digest_of(splits)[:16], "reliability_estimator": target.estimator,
        "device": str(how.device or "numpy float64"), **fitted,
    }  # fmt: skip
