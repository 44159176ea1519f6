"""Layers and responses brought to the same rows: what is predicted, from what, and how reliable it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .._check import as_rng, check, fail, integer, one_of
from ..data import average_repeats, check_responses
from ..metrics import (
    Reliability,
    explainable_variance,
    noise_ceiling,
    spearman_brown,
    split_half,
    split_half_correlation,
    stack_repeats,
)

ESTIMATORS = {"split_half": None, "noise_ceiling": noise_ceiling, "explainable_variance": explainable_variance}
UNDERLYING = {"brainscore-2025": "ev_legacy", "brainscore-2026": "ev"}
BRAINSCORE = tuple(UNDERLYING)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's features, in the rows of the target; columns are read when they are asked for.

    It has `shape` and ``[:, columns]``, which is all that `regression.rotate` needs.
    """

    name: str
    source: xr.DataArray
    rows: np.ndarray
    columns: slice | np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(stimuli, units)."""
        inside = self.columns
        units = inside.stop - inside.start if isinstance(inside, slice) else len(inside)
        return len(self.rows), units

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Return some columns of all rows."""
        asked = key[1]
        start, stop, _ = asked.indices(self.shape[1])
        if isinstance(self.columns, slice):
            wanted: Any = slice(self.columns.start + start, self.columns.start + stop)
        else:
            wanted = self.columns[start:stop]
        block = self.source.isel(neuroid=wanted).values
        found: np.ndarray = block if np.array_equal(self.rows, np.arange(len(block))) else block[self.rows]
        self._check_finite(found, start)
        return found

    def _check_finite(self, block: np.ndarray, start: int) -> None:
        """Raise with the unit's place in its layer, and with the stimulus, not with a place in a block of columns."""
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            names = self.source.coords.get("stimulus_id")  # workers have no labels
            where = f"row {row}" if names is None else f"stimulus {names.values[self.rows[row]]!s}"
            fail(f"layer {self.name}", "finite", f"{bad.sum()} NaN or infinite values, the first in unit "
                 f"{start + column} for {where}", "Record it again, or leave the layer out.")  # fmt: skip


def as_seed(rng: int | np.random.Generator) -> int:
    """Return a seed that scikit-learn takes too."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**31))
    as_rng(rng)
    check(rng < 2**32, "rng", "a seed below 2**32", rng)
    return integer("rng", rng, minimum=0)


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted.

    Attributes
    ----------
    values
        A Responses, one row a stimulus (or a presentation).
    groups, strata
        (row,) labels for the splitter; `strata` may be None.
    reliability, n_repeats
        (neuroid,).
    ceilings
        (division, neuroid) reliabilities of single divisions for Brain-Score's rules, else None.
    estimator
        Of the reliability, in words.
    """

    values: xr.DataArray
    groups: np.ndarray
    strata: np.ndarray | None
    reliability: np.ndarray
    n_repeats: np.ndarray
    ceilings: np.ndarray | None
    estimator: str


def take_target(
    responses: xr.DataArray, *, groups: str | None, stratify: str | None, repeats: str, reliability: Any, rule: str,
    rng: int | np.random.Generator,
) -> Target:  # fmt: skip
    """Return the target of a benchmark with its labels and reliability."""
    check_responses(responses)
    check("time" not in responses.dims, "responses", "without a time axis", responses.dims,
          "Average or select a bin first: responses.mean('time'), responses.isel(time=0).")  # fmt: skip
    check(responses.sizes["presentation"] > 1, "responses", "of 2 or more presentations", responses.shape)
    check_real("responses", responses)
    one_of("repeats", repeats, ("average", "keep"))
    values = average_repeats(responses) if repeats == "average" else responses
    ids = values.coords["stimulus_id"].values
    if groups is None and len(np.unique(ids)) < len(ids):
        fail("groups", "given when stimuli repeat", "None", "Rows of one stimulus on both sides of a split leak: use "
             "groups='stimulus_id'.")  # fmt: skip
    labels = np.arange(len(ids)) if groups is None else _labels(values, "groups", groups)
    torn = pd.Series(labels).groupby(ids).nunique().gt(1)
    check(not torn.any(), "groups", "the same for all rows of a stimulus", f"several for '{torn.idxmax()}' in {groups}",
          "Rows of one stimulus on both sides of a split leak: use groups='stimulus_id'.")  # fmt: skip
    strata = None if stratify is None else _labels(values, "stratify", stratify)
    found, ceilings = _reliability(responses, reliability, rule, rng)
    if repeats == "keep" and isinstance(reliability, str) and rule not in BRAINSCORE:
        found = found.at(1)  # single presentations are predicted
    check(rule == "r" or bool(np.any(found.value > 0)), "reliability", "above 0 for a neuroid at least",
          "none known", "Give reliability=, keep the repeats in responses, or use rule='r'.")  # fmt: skip
    return Target(values, labels, strata, found.value, found.n_repeats, ceilings, found.estimator)


def check_real(name: str, values: xr.DataArray) -> None:
    """Raise for complex numbers, whose imaginary part would be lost."""
    check(values.dtype.kind != "c", name, "real numbers", f"dtype {values.dtype}", "Take np.abs first.", TypeError)


def _labels(values: xr.DataArray, argument: str, name: str) -> np.ndarray:
    there = [str(c) for c in values.coords if values.coords[c].dims == ("presentation",)]
    check(name in there, argument, f"a coordinate of the presentations ({', '.join(sorted(there))})", name,
          "Add it with responses.assign_coords(...); repeats of a stimulus must agree on it.")  # fmt: skip
    found: np.ndarray = values.coords[name].values
    return found


def _reliability(
    responses: xr.DataArray, given: Any, rule: str, rng: int | np.random.Generator
) -> tuple[Reliability[Any], np.ndarray | None]:
    """Return the reliability per neuroid and, for Brain-Score's rules, that of every division."""
    n = responses.sizes["neuroid"]
    if isinstance(given, Reliability):
        return Reliability(_fit(given.value, n), _fit(given.n_repeats, n), given.estimator), None
    if not isinstance(given, str):
        return Reliability(_fit(given, n), np.full(n, np.nan), "given"), None
    one_of("reliability", given, tuple(ESTIMATORS))
    trials, _ = stack_repeats(responses.values.astype(float), responses.coords["stimulus_id"].values)
    if len(trials) < 2 or not _repeated(trials).any():
        return Reliability(np.full(n, np.nan), np.ones(n), "none: no stimulus repeats"), None
    if rule in BRAINSCORE:
        by: Any = "trial" if np.isnan(trials).any() else "repeat"
        ceilings = spearman_brown(split_half_correlation(trials, by=by, rng=as_rng(rng)))
        found = split_half(trials, by=by, rng=as_rng(rng))
        return Reliability(
            np.nanmean(ceilings, axis=0), found.n_repeats, f"split_half by {by}, corrected singly"
        ), ceilings
    estimate: Any = ESTIMATORS[given]
    found = split_half(trials, rng=as_rng(rng)) if estimate is None else estimate(trials)
    return _at_recorded(found, trials), None


def _at_recorded(found: Reliability[Any], trials: np.ndarray) -> Reliability[Any]:
    """Convert to the number of repeats that the target is the mean of.

    Halves of three trials hold two, and stimuli that were shown once have no halves at all.
    """
    counts = (~np.isnan(trials)).sum(axis=0)
    shown, inverse = (counts > 0).sum(axis=0), np.where(counts > 0, 1 / np.maximum(counts, 1), 0).sum(axis=0)
    n = np.divide(shown, inverse, out=np.full(inverse.shape, np.nan), where=shown > 0)
    one = found.at(1).value
    return Reliability(spearman_brown(one, factor=n), n, found.estimator)


def _repeated(trials: np.ndarray) -> np.ndarray:
    return np.asarray((~np.isnan(trials)).sum(axis=0) > 1)


def _fit(value: Any, n: int) -> np.ndarray:
    found = np.asarray(value, dtype=float)
    check(found.shape in ((), (n,)), "reliability", f"one number, or one for each of the {n} neuroids", found.shape)
    return np.broadcast_to(found, (n,)).copy()


def take_layers(layers: Any, by: str, target: xr.DataArray) -> tuple[list[Layer], int]:
    """Return the layers in the rows of the target, and how many of their stimuli the target does not have."""
    found, unused = [], 0
    for name, source, columns in _named(layers, by):
        check(
            "time" not in source.dims, f"layer {name}", "without a time axis", source.dims, "Average over time first."
        )
        check_real(f"layer {name}", source)
        rows, unused = _align(name, source, target)
        found.append(Layer(name, source, rows, columns))
    names = [layer.name for layer in found]
    check(len(set(names)) == len(names), "layers", "of different names", names)
    return found, unused


def _named(layers: Any, by: str) -> list[tuple[str, xr.DataArray, slice | np.ndarray]]:
    if isinstance(layers, Mapping):
        check(layers, "layers", "at least one", "none")
        for source in layers.values():
            check_responses(source[:0])  # labels only: values are read once, where NaN and infinity are looked for too
        return [(str(k), v, slice(0, int(v.sizes.get("neuroid", 0)))) for k, v in layers.items()]
    check(isinstance(layers, xr.DataArray), "layers", "a Responses or a mapping to such", type(layers).__name__)
    check_responses(layers[:0])
    if by not in layers.coords:
        near = sorted(str(c) for c in layers.coords if layers.coords[c].dims == ("neuroid",))
        check(by == "layer", "by", f"a coordinate of the units ({', '.join(near)})", by)
        return [("features", layers, slice(0, layers.sizes["neuroid"]))]
    labels = layers.coords[by].values
    check(labels.ndim == 1 and labels.size, "by", "one label a unit", by)
    inverse, known = pd.factorize(labels)  # by hash: millions of names are slow to sort
    found: list[tuple[str, xr.DataArray, slice | np.ndarray]] = []
    for i in range(len(known)):
        columns = np.flatnonzero(inverse == i)
        whole = columns[-1] - columns[0] + 1 == len(columns)
        found.append((str(known[i]), layers, slice(int(columns[0]), int(columns[-1]) + 1) if whole else columns))
    return found


def _align(name: str, source: xr.DataArray, target: xr.DataArray) -> tuple[np.ndarray, int]:
    have, want = (a.coords["stimulus_id"].values.astype(str) for a in (source, target))
    order = np.argsort(have, kind="stable")
    known = have[order]
    twice = known[1:][known[1:] == known[:-1]]
    check(not twice.size, f"layer {name}", "of one row a stimulus", f"'{twice[0]}' twice" if twice.size else "",
          "Average them with npc.data.average_repeats.")  # fmt: skip
    at = np.searchsorted(known, want).clip(max=len(known) - 1)
    missing = sorted(set(want[known[at] != want].tolist()))
    check(not missing, f"layer {name}", "with every stimulus of the responses",
          f"{len(missing)} missing, such as {missing[:3]}", f"Its own are named like {have[:3].tolist()}.")  # fmt: skip
    return order[at], len(set(have.tolist()) - set(want.tolist()))
