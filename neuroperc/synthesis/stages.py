"""Which features count when: coarse-to-fine for any model whose features have names, and any loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._check import check, fail

#: "together", "alone", or a list of selections of features: names, or anything that indexes one picture's features.
Stages = str | Sequence[Any] | None


def scales_of(model: Any, n_channels: int) -> dict[str, Any]:
    """Return the model's own names of groups of features, coarse first; empty when it has none.

    A model says them as ``scales``: a mapping from names to indices of one picture's features, or a function of the
    number of channels that returns one.
    """
    scales = getattr(model, "scales", None)
    found = scales(n_channels) if callable(scales) else scales
    return {str(name): index for name, index in found.items()} if isinstance(found, Mapping) else {}


def groups_of(model: Any, n_channels: int, shape: Sequence[int]) -> dict[str, np.ndarray]:
    """Return flat indices of the groups a report has: the model's ``groups``, else its ``scales``, else all at once."""
    groups = getattr(model, "groups", None)
    groups = groups(n_channels) if callable(groups) else groups
    named = groups if isinstance(groups, Mapping) and groups else scales_of(model, n_channels)
    return {str(name): _indices(index, {}, shape) for name, index in (named or {"features": slice(None)}).items()}


def stage_masks(stages: Stages, model: Any, n_channels: int, shape: Sequence[int]) -> Tensor | None:
    """Return (n_stages, n_features) bool, the last row all True; None without stages.

    Raises
    ------
    ValueError, TypeError
        When the model has no such names, or a selection does not fit the features.
    """
    if stages is None:
        return None
    names = scales_of(model, n_channels)
    chosen: list[Any]
    if isinstance(stages, str):
        check(stages in ("together", "alone"), "stages", "'together', 'alone' or a list of selections", stages)
        remedy = "Give a list of selections, or give the model `scales`: a mapping from names to features."
        check(names, "stages", "a list for a model that names no scales", stages, remedy)
        keys = list(names)
        chosen = [[*keys[: i + 1]] if stages == "together" else [key] for i, key in enumerate(keys)]
    else:
        ok = isinstance(stages, Sequence)
        check(ok, "stages", "'together', 'alone' or a list of selections", type(stages), error=TypeError)
        chosen = list(stages)
    masks = torch.zeros(len(chosen), int(np.prod(shape)), dtype=torch.bool)
    for row, selection in zip(masks, chosen, strict=True):
        row[torch.from_numpy(_indices(selection, names, shape))] = True
    whole = torch.ones_like(masks[:1]) if not len(masks) else masks[-1:]
    return masks if bool(whole.all()) and len(masks) else torch.cat((masks, torch.ones(1, masks.shape[1]).bool()))


def _indices(selection: Any, names: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
    """Return the flat indices that names, or an index of one picture's features, pick."""
    if isinstance(selection, str):
        known = ", ".join(map(repr, names)) or "nothing"
        check(selection in names, "stages", f"made of names in the model's scales ({known})", selection)
        selection = names[selection]
    elif isinstance(selection, (list, tuple)) and selection and all(isinstance(part, str) for part in selection):
        return np.concatenate([_indices(part, names, shape) for part in selection])
    index = selection.cpu().numpy() if isinstance(selection, Tensor) else selection
    try:
        picked = np.arange(int(np.prod(shape))).reshape(tuple(shape))[index]
    except (IndexError, TypeError, ValueError) as error:
        fail("stages", f"made of names or indices of features {tuple(shape)}", f"{selection!r} ({error})")
    check(np.size(picked), "stages", "selections of at least one feature", repr(selection))
    return np.ravel(picked)
