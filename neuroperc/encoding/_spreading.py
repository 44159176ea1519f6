"""A benchmark's cells on a cluster: each layer is turned once, splits and neurons are fitted anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from ..recording.cluster import spread
from ..regression import HeldOut, Rotated, cross_predict, rotate
from ..regression.gram import column_blocks
from ..regression.splits import Split
from ._cells import Cells
from ._inputs import Layer

# A fixed division: what a killed sweep left is found whatever the next cluster looks like.
_SPLITS = 3
NEURONS = 512  # fitted at a time where each is fitted on its own


@dataclass(frozen=True, eq=False)
class Work:
    """One layer's fit, the same for all of its parts."""

    turned: Rotated
    y: np.ndarray
    groups: np.ndarray
    splits: list[Split]
    options: dict[str, Any]


Part = tuple[slice, slice]  # of splits and of neurons


def parts_of(n_splits: int, n_neurons: int, *, one_by_one: bool) -> list[Part]:
    """Divide splits and, where each neuron is fitted on its own, neurons."""
    step = NEURONS if one_by_one else n_neurons
    return [
        (slice(i, min(i + _SPLITS, n_splits)), slice(j, min(j + step, n_neurons)))
        for i in range(0, n_splits, _SPLITS)
        for j in range(0, n_neurons, step)
    ]


def turned_layers(client: Any, layers: list[Layer], device: Any) -> Iterator[tuple[int, Rotated]]:
    """Yield (index, rotation): features on disk are read by the workers, features in memory are turned here."""
    here = [i for i, layer in enumerate(layers) if isinstance(layer.source.variable._data, np.ndarray)]
    there = [i for i in range(len(layers)) if i not in here]
    for at, found in spread(client, turn, [_bare(layers[i]) for i in there], shared=device):
        yield there[at], found
    for i in here:
        yield i, turn(device, layers[i])


def held_out(client: Any, work: Work, cells: Cells, key: str, *, one_by_one: bool) -> HeldOut:
    """Fit every part on the cluster and put them together; finished parts are kept as cells of their own."""
    parts = parts_of(len(work.splits), work.y.shape[1], one_by_one=one_by_one)
    found = {i: cells.read(f"{key}-{i}") for i in range(len(parts))}
    missing = [i for i, cell in found.items() if cell is None]
    for at, cell in spread(client, _fit, [parts[i] for i in missing], shared=work) if missing else ():
        cells.write(f"{key}-{missing[at]}", cell)
        found[missing[at]] = cell
    return together(work, [(part, found[i]) for i, part in enumerate(parts)])


def fitted_here(work: Work, *, one_by_one: bool) -> HeldOut:
    """Fit in this process, in the same blocks of neurons, so that the numbers are the same to the last bit."""
    every, n = slice(0, len(work.splits)), work.y.shape[1]
    step = NEURONS if one_by_one else n
    parts = [(every, slice(j, min(j + step, n))) for j in range(0, n, step)]
    return together(work, [(part, _fit(work, part)) for part in parts])


def together(work: Work, found: list[tuple[Part, Any]]) -> HeldOut:
    """Return one result from its parts."""
    n_neurons = work.y.shape[1]
    predictions = [np.full((len(test), n_neurons), np.nan) for _, test in work.splits]
    alphas, spread = np.full((2, len(work.splits), n_neurons), np.nan)
    for (splits, neurons), cell in found:
        for j in range(splits.start, splits.stop):
            predictions[j][:, neurons] = cell[f"prediction{j - splits.start}"]
        alphas[splits, neurons], spread[splits, neurons] = cell["alphas"], cell["spread"]
    return HeldOut(predictions, work.splits, alphas if work.options["estimator"] == "ridge" else None, spread)


def drop_parts(cells: Cells, key: str, n_splits: int, n_neurons: int, *, one_by_one: bool) -> None:
    """Remove the parts of a cell that is whole now."""
    for i in range(len(parts_of(n_splits, n_neurons, one_by_one=one_by_one))):
        cells.drop(f"{key}-{i}")


def turn(device: Any, layer: Layer) -> Rotated:
    """Return the rotation of a layer, without any axis when every unit answers alike to all stimuli.

    What centring leaves of a constant layer is its mean's rounding, which has axes as anything else has.
    """
    turned = rotate(layer, device=device)
    if any(bool((block != block[:1]).any()) for block in column_blocks(layer)):  # the first block says so, mostly
        return turned
    return replace(turned, scores=turned.scores[:, :0], eigenvalues=turned.eigenvalues[:0], axes=None)


def _fit(work: Work, part: Part) -> dict[str, np.ndarray]:
    splits, neurons = part
    found = cross_predict(
        work.turned, work.y[:, neurons], splits=work.splits[splits], groups=work.groups, **work.options
    )
    made = {f"prediction{i}": one for i, one in enumerate(found.predictions)}
    empty = np.full((len(found.splits), found.predictions[0].shape[1]), np.nan)
    return made | {"alphas": empty if found.alphas is None else found.alphas, "spread": found.spread}


def _bare(layer: Layer) -> Layer:
    """Return a layer without the labels of its units and of the other layers, which a worker has no use for."""
    own = layer.source.variable.isel(neuroid=layer.columns)
    return replace(layer, source=xr.DataArray(own), columns=slice(0, own.sizes["neuroid"]))
