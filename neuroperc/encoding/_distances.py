"""Correlation distances of wide layers, read a block of units at a time."""

from __future__ import annotations

import numpy as np

from .._check import check
from ..regression.gram import column_blocks
from ._inputs import Layer


def correlation_distances(layer: Layer) -> np.ndarray:
    """Return 1 - Pearson r between all rows of a layer, from inner products that are summed a block at a time."""
    n, p = layer.shape
    check(p > 1, f"layer {layer.name}", "of 2 or more units", p)
    products, sums, shift = np.zeros((n, n)), np.zeros(n), None
    for block in column_blocks(layer):
        x = np.asarray(block, dtype=np.float64)
        shift = x.mean() if shift is None else shift  # an origin near the mean keeps the digits of the variance
        x = x - shift
        products += x @ x.T
        sums += x.sum(axis=1)
    centred = products - np.outer(sums, sums) / p
    size = np.sqrt(np.clip(np.diag(centred), 0, None))
    flat = size <= 1e-9 * np.sqrt(np.diag(products) + 1e-300)
    where = f"row {int(np.argmax(flat))} constant"
    check(not flat.any(), f"layer {layer.name}", "with units that differ for every picture", where)
    distances = 1 - centred / np.outer(size, size)
    return np.where(np.abs(distances) < 1e-12, 0.0, distances)  # that much is rounding
