"""Scenes made of objects, and the paths of people over them, as padded tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..._check import as_rng, check, integer, positive
from ...data.fixations import scanpaths


class ObjectScenes(NamedTuple):
    """A batch of scenes: where the objects stand on their grid, which one is searched for, what they look like.

    Parameters
    ----------
    cells
        (scene, object, 2) whole numbers: row and column, from 0.
    target
        (scene,) index of the target among the objects.
    patches
        (scene, object, channel, height, width) pictures in [0, 1], or None.

    Examples
    --------
    >>> scenes = make_scenes(np.stack(np.divmod(np.arange(6), 3), -1)[None], [4])
    >>> scenes.cells.shape, scenes.n_objects
    (torch.Size([1, 6, 2]), 6)
    """

    cells: Tensor
    target: Tensor
    patches: Tensor | None = None

    @property
    def n_objects(self) -> int:
        """Objects a scene."""
        return self.cells.shape[1]

    def to(self, device: torch.device | str) -> ObjectScenes:
        """Return the scenes on another device."""
        patches = None if self.patches is None else self.patches.to(device)
        return ObjectScenes(self.cells.to(device), self.target.to(device), patches)

    def take(self, index: Any) -> ObjectScenes:
        """Return the scenes at `index`."""
        index = torch.as_tensor(np.asarray(index), device=self.cells.device)
        return ObjectScenes(
            self.cells[index], self.target[index], None if self.patches is None else self.patches[index]
        )


def make_scenes(cells: Any, target: Any, patches: Any = None) -> ObjectScenes:
    """Check and build `ObjectScenes`.

    Parameters
    ----------
    cells
        (scene, object, 2) rows and columns, or (object, 2) when all scenes share one layout.
    target
        (scene,) index of the target.
    patches
        (scene, object, channel, height, width) in [0, 1], or None.

    Returns
    -------
    ObjectScenes

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, negative cells, or a target that is not among the objects.

    Examples
    --------
    >>> make_scenes([[0, 0], [0, 1]], [1, 0]).target.tolist()
    [1, 0]
    """
    which = torch.as_tensor(np.array(target)).reshape(-1)
    places = torch.as_tensor(np.array(cells))
    check(len(which) > 0, "target", "one a scene", "none")
    for name, values in (("cells", places), ("target", which)):
        check(not values.is_floating_point(), name, "whole numbers", str(values.dtype), "Give indices.", TypeError)
    if places.ndim == 2:
        places = places.expand(len(which), *places.shape)
    good = places.ndim == 3 and places.shape[2] == 2 and len(places) == len(which)
    check(good, "cells", f"of shape ({len(which)}, objects, 2)", f"shape {tuple(places.shape)}")
    check(int(places.min()) >= 0, "cells", "rows and columns from 0", int(places.min()))
    n = places.shape[1]
    inside = bool(((which >= 0) & (which < n)).all())
    check(inside, "target", f"an index among the {n} objects", which.tolist(), "Objects are counted from 0.")
    if patches is not None:
        patches = torch.as_tensor(patches)
        fits = patches.ndim == 5 and tuple(patches.shape[:2]) == (len(which), n)
        check(fits, "patches", f"of shape ({len(which)}, {n}, channel, height, width)", f"shape {tuple(patches.shape)}")
        span = (float(patches.min()), float(patches.max()))
        check(span[0] >= 0 and span[1] <= 1, "patches", "in [0, 1]", f"from {span[0]:g} to {span[1]:g}", "Scale them.")
    return ObjectScenes(places.long(), which.long(), patches)


class ObjectTrials(NamedTuple):
    """Scenes with everybody's paths over them.

    Parameters
    ----------
    scenes
        One a stimulus.
    paths
        (scene, path, step) index of the fixated object, -1 after a path's end; a path of -1 alone is none.
    stimulus_id
        (scene,) text.

    Examples
    --------
    >>> scenes = make_scenes([[0, 0], [0, 1]], [1])
    >>> ObjectTrials(scenes, torch.tensor([[[0, 1]]]), np.array(["a"])).take([0]).stimulus_id.tolist()
    ['a']
    """

    scenes: ObjectScenes
    paths: Tensor
    stimulus_id: np.ndarray

    def take(self, index: Any) -> ObjectTrials:
        """Return the scenes at `index` with their paths, cut to the longest of them."""
        paths = self.paths[torch.as_tensor(np.asarray(index))]
        longest = max(1, int((paths >= 0).sum(-1).max()))
        return ObjectTrials(self.scenes.take(index), paths[..., :longest], self.stimulus_id[np.asarray(index)])


def object_trials(
    fixations: pd.DataFrame, trials: pd.DataFrame, objects: pd.DataFrame, *, length_sd: float | None = 3.0
) -> ObjectTrials:
    """Arrange a recording as scenes and paths over their objects.

    Parameters
    ----------
    fixations, trials
        With `object_id`, and `stimulus_id` and `target_object_id`; trials marked `excluded` are left out.
    objects
        A row an object of a stimulus: stimulus_id, object_id (from 0), row, column.
    length_sd
        Paths whose number of fixations is further than this many standard deviations from the mean of all paths are
        left out; None keeps all.

    Returns
    -------
    ObjectTrials
        Stimuli in the order of `trials`; paths in that order too.

    Raises
    ------
    ValueError
        When a column is missing, a fixation has no object, a stimulus has no objects or different targets, or numbers
        of objects differ between stimuli.

    References
    ----------
    The length filter is that of the code released with OAT (2024).

    Examples
    --------
    >>> from neuroperc.data import make_fixations, make_trials
    >>> trials = make_trials([0], stimulus_id="a", target_object_id=1)
    >>> table = make_fixations([[0, 0], [1, 0]], trial=0, fixation=[1, 2], on_screen=True, object_id=[0, 1])
    >>> objects = pd.DataFrame({"stimulus_id": "a", "object_id": [0, 1], "row": 0, "column": [0, 1]})
    >>> object_trials(table, trials, objects).paths.tolist()
    [[[0, 1]]]
    """
    for name, table, needed in (("trials", trials, ("target_object_id", "stimulus_id")),
                                ("objects", objects, ("stimulus_id", "object_id", "row", "column"))):  # fmt: skip
        missing = [column for column in needed if column not in table]
        check(not missing, f"{name} columns", f"with {', '.join(needed)}", f"no {', '.join(missing)}")
    found = scanpaths(fixations, trials)
    _check_objects(found.object_id, found.lengths, objects)
    keep = ~trials["excluded"].to_numpy(bool) & (found.lengths > 0)
    check(keep.any(), "trials", "with a path that is kept", f"none of {len(trials)}")
    if length_sd is not None:
        far = np.abs(found.lengths - found.lengths[keep].mean())
        keep &= far <= positive("length_sd", length_sd) * found.lengths[keep].std()
    kept = trials[keep]
    names = kept["stimulus_id"].unique()
    row = pd.Index(names).get_indexer(kept["stimulus_id"])
    column = kept.groupby("stimulus_id", sort=False).cumcount().to_numpy()
    paths = np.full((len(names), int(column.max()) + 1, int(found.lengths[keep].max())), -1, dtype=np.int64)
    paths[row, column] = found.object_id[keep][:, : paths.shape[2]]
    return ObjectTrials(_scenes(kept, names, objects), torch.as_tensor(paths), names.astype(str))


def _check_objects(object_id: np.ndarray, lengths: np.ndarray, objects: pd.DataFrame) -> None:
    inside = np.arange(object_id.shape[1]) < lengths[:, None]
    lost = int((object_id[inside] < 0).sum())
    check(lost == 0, "object_id", "known for every fixation", f"{lost} fixations without", "See data.assign_objects.")
    n = objects.groupby("stimulus_id").size()
    check(n.nunique() == 1, "objects", "as many in every stimulus", f"{n.min()} to {n.max()}", "Batch them apart.")
    most, known = int(object_id.max(initial=0)), int(n.iloc[0])
    check(most < known, "object_id", f"below the {known} objects of a stimulus", most)


def _scenes(trials: pd.DataFrame, names: np.ndarray, objects: pd.DataFrame) -> ObjectScenes:
    targets = trials.groupby("stimulus_id", sort=False)["target_object_id"]
    check((targets.nunique() == 1).all(), "target_object_id", "one a stimulus", "several", "Give each its stimulus_id.")
    unknown = sorted(set(names) - set(objects["stimulus_id"]))
    check(not unknown, "objects", "given for every stimulus", f"none for {unknown[:3]}")
    table = objects.sort_values(["stimulus_id", "object_id"]).set_index("stimulus_id")
    cells = np.stack([table.loc[[name], ["row", "column"]].to_numpy(np.int64) for name in names])
    return make_scenes(cells, targets.first().loc[list(names)].to_numpy(np.int64))


def grouped_split(
    groups: Any, *, fractions: tuple[float, ...] = (0.8, 0.1, 0.1), fold: int = 0, rng: int | np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Split rows so that no group, such as a picture, is in two parts.

    Parameters
    ----------
    groups
        (n,) label of each row, such as `stimulus_id`.
    fractions
        Shares of the groups, together 1; the last part is the test set.
    fold
        Rotates the shuffled groups by this many test sets: with one seed, test sets of different folds do not overlap
        as long as fold times the last fraction stays below 1.
    rng
        Seed or generator of the order.

    Returns
    -------
    tuple of ndarray
        Row indices of each part.

    Raises
    ------
    ValueError
        When the fractions do not add up to 1 or a part would be empty.

    Examples
    --------
    >>> train, validation, test = grouped_split(np.repeat(np.arange(10), 6), rng=0)
    >>> len(train), len(validation), len(test)
    (48, 6, 6)
    """
    labels, row = np.unique(np.asarray(groups), return_inverse=True)
    shares = np.asarray(fractions, dtype=float)
    check(np.isclose(shares.sum(), 1) and (shares > 0).all(), "fractions", "positive, together 1", fractions)
    ends = np.round(np.cumsum(shares) * len(labels)).astype(int)
    counts = np.diff(ends, prepend=0)
    check((counts > 0).all(), "fractions", f"large enough for {len(labels)} groups", fractions, "A part is empty.")
    order = np.roll(as_rng(rng).permutation(len(labels)), integer("fold", fold, 0) * int(counts[-1]))
    return tuple(np.flatnonzero(np.isin(row, part)) for part in np.split(order, ends[:-1]))
