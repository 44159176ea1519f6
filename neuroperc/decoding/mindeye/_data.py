"""Betas and embeddings of one or several subjects, as a dataset of pictures with all their repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ..._check import check, finite
from ...data import check_responses
from .._trials import check_alike, rows_by_stimulus

Batch = list[tuple[str, Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Patterns:
    """One subject's standardised trials, the rows of each picture's repetitions, and the pictures' tokens."""

    subject: str
    voxels: Tensor  # (row, voxel)
    rows: Tensor  # (picture, repetition); a picture with fewer repetitions goes through its own again
    tokens: Tensor  # (picture, token, dim)
    mean: np.ndarray
    sd: np.ndarray


class Pictures:
    """All subjects' pictures one after the other; an item is (subject, (repetition, voxel), (token, dim))."""

    def __init__(self, subjects: Sequence[Patterns]) -> None:
        self.subjects = subjects
        self._first = np.cumsum([0] + [len(s.rows) for s in subjects])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, item: int) -> tuple[str, Tensor, Tensor]:
        which = int(np.searchsorted(self._first, item, side="right")) - 1
        part = self.subjects[which]
        k = item - int(self._first[which])
        return part.subject, part.voxels[part.rows[k]], part.tokens[k]


def by_subject(items: Sequence[tuple[str, Tensor, Tensor]]) -> Batch:
    """Collate: (subject, (picture, repetition, voxel), (picture, token, dim)) of every subject in the batch."""
    found = []
    for subject in dict.fromkeys(item[0] for item in items):
        own = [item for item in items if item[0] == subject]
        most = max(len(item[1]) for item in own)
        voxels = torch.stack([item[1][torch.arange(most) % len(item[1])] for item in own])
        found.append((subject, voxels, torch.stack([item[2] for item in own])))
    return found


def prepare(subject: str, betas: Any, embeddings: Any) -> Patterns:
    """Check one subject's data, standardise voxels by its trials, and divide tokens by the length of the first one."""
    voxels, rows, first, ids = _trials(betas)
    finite("betas", voxels, 'Read with nan="drop".')
    tokens = _tokens(embeddings, voxels, rows, first, ids)
    mean, sd = voxels.mean(axis=0, dtype=np.float64), voxels.std(axis=0, dtype=np.float64)
    sd = np.where(sd > 1e-9 * np.maximum(np.abs(mean), 1e-30), sd, np.inf)  # a constant voxel says nothing: 0
    check(np.isfinite(sd).any(), "betas", "of voxels that vary", "constant voxels only")
    scaled = ((voxels - mean) / sd).astype(np.float32)
    return Patterns(subject, torch.from_numpy(scaled), torch.from_numpy(rows), torch.from_numpy(tokens), mean, sd)


def patterns_of(betas: Any) -> np.ndarray:
    """Return (row, voxel): repetitions (row, repetition, voxel) are averaged."""
    x = np.asarray(betas.values if isinstance(betas, xr.DataArray) else betas)
    check(x.ndim in (2, 3) and x.size > 0, "betas", "(picture, voxel) or (picture, repetition, voxel), not empty",
          f"shape {x.shape}")  # fmt: skip
    finite("betas", x, 'Read with nan="drop".')
    return x.mean(axis=1) if x.ndim == 3 else x


def _trials(betas: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Return trials (row, voxel), rows (picture, repetition), the first row of each picture, and their names."""
    if isinstance(betas, xr.DataArray):
        check_responses(betas)
        check("time" not in betas.dims, "betas", "without a time axis", betas.dims, "Give one pattern a trial.")
        labels = betas.coords["stimulus_id"].values
        names, first, which = np.unique(labels, return_index=True, return_inverse=True)
        order = np.argsort(which, kind="stable")
        counts = np.bincount(which)
        starts = np.cumsum(counts) - counts
        within = np.arange(counts.max()) % counts[:, None]
        return betas.values, order[starts[:, None] + within], first, names
    x = np.asarray(betas)
    check(x.ndim in (2, 3) and x.size > 0, "betas", "(picture, voxel) or (picture, repetition, voxel), not empty",
          f"shape {x.shape}")  # fmt: skip
    n, n_repeats = len(x), x.shape[1] if x.ndim == 3 else 1
    rows = np.arange(n * n_repeats).reshape(n, n_repeats)
    return x.reshape(n * n_repeats, x.shape[-1]), rows, rows[:, 0], None


def _tokens(embeddings: Any, voxels: np.ndarray, rows: np.ndarray, first: np.ndarray, ids: Any) -> np.ndarray:
    """Return (picture, token, dim) float32 in the order of `rows`, the first token of each picture of length 1."""
    values = np.asarray(embeddings.values if isinstance(embeddings, xr.DataArray) else embeddings, dtype=np.float32)
    if isinstance(embeddings, xr.DataArray) and "stimulus_id" in embeddings.coords and ids is not None:
        values = rows_by_stimulus("embeddings", embeddings, ids, "betas").astype(np.float32, copy=False)
    elif ids is not None:
        check(len(values) == len(voxels), "embeddings", f"one for each of the {len(voxels)} presentations", len(values),
              "Or label one row a stimulus with stimulus_id.")  # fmt: skip
        picture = np.empty(len(voxels), dtype=int)
        picture[rows] = np.arange(len(rows))[:, None]
        finite("embeddings", values)
        check_alike("embeddings", values, picture)
        values = values[first]
    check(values.ndim in (2, 3) and len(values) == len(rows), "embeddings",
          f"(picture, dim) or (picture, token, dim) of the {len(rows)} pictures of the betas",
          f"shape {values.shape}")  # fmt: skip
    finite("embeddings", values)
    tokens = values[:, None] if values.ndim == 2 else values
    length = np.linalg.norm(tokens[:, :1], axis=-1, keepdims=True)
    check(bool((length > 0).all()), "embeddings", "with a first token that is not zero", "a zero token")
    return np.asarray(tokens / length)


def subjects_of(betas: Any, embeddings: Any) -> list[Patterns]:
    """Prepare one subject, named "", or a mapping of several."""
    if not isinstance(betas, Mapping):
        return [prepare("", betas, embeddings)]
    check(isinstance(embeddings, Mapping) and set(embeddings) == set(betas), "embeddings",
          f"a mapping with the subjects {sorted(betas)}", type(embeddings).__name__)  # fmt: skip
    found = [prepare(str(name), betas[name], embeddings[name]) for name in betas]
    shapes = {tuple(part.tokens.shape[1:]) for part in found}
    check(len(shapes) == 1, "embeddings", "of one shape for all subjects", sorted(shapes))
    return found
