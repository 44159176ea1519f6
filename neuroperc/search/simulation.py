"""`simulate`: fixation after fixation of a model that searches, as tables of trials and fixations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .._check import as_rng, atomic_path, check, fail, integer, non_negative, one_of, positive
from ..data import StimulusSet, make_fixations, make_trials
from ._arenas import Arena, Box, read_arenas, target_pictures
from ._trials import Rules, Trial

Regime = Literal["items", "natural"]
_RECORD = "neuroperc search 1"


def simulate(
    model: Any,
    shown: StimulusSet,
    *,
    rng: int | np.random.Generator = 0,
    regime: Regime | None = None,
    ior: Literal["infinite"] | int = "infinite",
    budget: int | None = None,
    window_deg: float = 1 / 3,
    ior_deg: float = 64 / 30,
    fixation_s: float | None = 0.252359,
    batch_size: int = 1,
    device: torch.device | str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let a model search, display by display.

    The gaze starts at the picture's centre and goes to the place of highest priority that can be chosen (the first in
    reading order), until the target is found or the budget is spent [1]_.

    Item arrays: only cells can be chosen. A fixated cell is closed and painted with the background before the next
    fixation. The target is found when its cell reaches into the recognition window; the start is not tested.
    Natural pictures: every place can be chosen. The target is found when its box reaches into the inhibited square
    about the gaze, at the start too; otherwise that square is closed; the picture is not painted.

    Parameters
    ----------
    model
        A priority ``(image, target, fixation_deg) -> map``, such as `EccNet`. One with a method ``look`` (see
        `EccNet.look`) may keep features between fixations.
    shown
        What `neuroperc.stimuli.search_displays` makes, or a set with ``truth["target_picture"]`` (n, c, h, w) in sRGB
        values, the column `background` (sRGB value around the picture; 0 when there is none) and, for item arrays,
        ``truth["cells"]`` (n, cells, 4) of x, y, width, height in degrees (NaN rows are no cells) and the column
        `target_cell`; for natural pictures the columns `target_x_deg target_y_deg target_width_deg
        target_height_deg`. `condition`, `set_size` and `experiment` are handed on.
    rng
        Seed of models that draw numbers; every display has its own stream.
    regime
        "items" or "natural"; default "items" when there are cells.
    ior
        "infinite", or how many of the last fixated places stay inhibited.
    budget
        Most fixations after the start; default cells + 1, or 65 for natural pictures.
    window_deg
        Side of the recognition window of item arrays.
    ior_deg
        Side of the inhibited square of natural pictures; 64 px at 30 px/deg in the paper.
    fixation_s
        Time a fixation takes, for onsets and durations; the paper's line, fitted to people. None leaves NaN.
    batch_size
        Displays that are searched side by side; it changes speed and memory, not the result.
    device
        Where pictures go; default the CPU. The model must be there.
    checkpoint
        File that keeps finished displays, so that a killed run goes on with the next one.
    progress
        Show a bar.

    Returns
    -------
    fixations, trials
        Tables of `neuroperc.data`; `object_id` is the fixated cell. `rt_s` is NaN; see `reaction_times`.

    Raises
    ------
    ValueError, TypeError
        When the set lacks what the regime needs, its pixels per degree are not the model's, the model returns another
        shape, or the checkpoint is of another run.

    References
    ----------
    .. [1] S K Gupta, M Zhang, C-C Wu, J M Wolfe, G Kreiman (2021). Visual search asymmetry: deep nets and humans
       share similar inherent biases. NeurIPS 34; released code.

    Examples
    --------
    >>> import neuroperc as npc
    >>> shown = npc.stimuli.search_displays(None, "t_among_ls", set_size=3, n=1, rng=0)
    >>> fixations, trials = simulate(npc.search.ChancePriority(), shown, rng=0)
    >>> fixations["object_id"].tolist(), trials["found"].tolist()
    ([<NA>, 2, 5, 1], [True])
    """
    regime = one_of("regime", regime or ("items" if "cells" in getattr(shown, "truth", ()) else "natural"),
                    ("items", "natural"))  # fmt: skip
    arenas = read_arenas(shown, regime)
    seed = int(as_rng(rng).integers(2**63)) if isinstance(rng, np.random.Generator) else integer("rng", rng, 0)
    density = _density(model, arenas)
    rules = Rules(
        regime,
        memory=None if ior == "infinite" else integer("ior", ior, 0),
        window_px=max(1, round(density * positive("window_deg", window_deg))),
        ior_px=max(1, round(density * positive("ior_deg", ior_deg))),
        budget=None if budget is None else integer("budget", budget, 1),
    )
    if fixation_s is not None:
        non_negative("fixation_s", fixation_s)
    kept = _Checkpoint(checkpoint, model, shown, rules, seed)
    targets, pictures = target_pictures(shown), shown.to_encoding("linear")
    todo = [i for i, arena in enumerate(arenas) if arena.stimulus_id not in kept.trials]
    with tqdm(total=len(arenas), initial=len(arenas) - len(todo), disable=not progress, unit="display") as bar:
        for part in _parts(arenas, todo, integer("batch_size", batch_size, 1)):
            images = torch.stack([pictures[i] for i in part]).to(device)
            rngs = [np.random.default_rng([seed, i]) for i in part]
            trials = [Trial(arenas[i], rules) for i in part]
            with torch.no_grad():
                _search(model, images, targets[part].to(images), trials, rngs)
            kept.add(trials)
            bar.update(len(part))
    return _tables(shown, arenas, kept.trials, fixation_s)


def _density(model: Any, arenas: Sequence[Arena]) -> float:
    """Return the pixels per degree that pictures and model share."""
    found = sorted({round(arena.px_per_deg, 4) for arena in arenas})
    check(len(found) == 1, "shown", "of one number of pixels per degree", found, "Search each on its own.")
    wanted = getattr(model, "px_per_deg", None)
    same = wanted is None or abs(wanted - found[0]) < 1e-3 * found[0]
    remedy = f"Make the model with px_per_deg={found[0]}."
    check(same, "px_per_deg of the pictures", f"the model's, {wanted}", found[0], remedy)
    return found[0]


def _parts(arenas: Sequence[Arena], todo: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield positions in batches of one shape and background."""
    part: list[int] = []
    for i in todo:
        if part and (len(part) == size or (arenas[i].shape_px, arenas[i].background)
                     != (arenas[part[0]].shape_px, arenas[part[0]].background)):  # fmt: skip
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def _search(model: Any, images: Tensor, targets: Tensor, trials: list[Trial], rngs: list[np.random.Generator]) -> None:
    """Run a batch of trials; `images` are painted over."""
    original, background = images.clone(), trials[0].arena.background
    if hasattr(model, "look"):
        looking = model.look(images, targets, background=background, rngs=rngs)
    else:
        looking = _Plain(model, images, targets, trials[0].arena.px_per_deg)
    active = [i for i, trial in enumerate(trials) if not trial.done]
    while active:
        maps = looking([trials[i].path[-1] for i in active], active)
        wanted = (len(active), *images.shape[-2:])
        check(tuple(maps.shape) == wanted, "the model's map", f"of shape {wanted}", tuple(maps.shape))
        for i, priority in zip(active, maps.detach().cpu().numpy(), strict=True):
            for (top, left, bottom, right), hide in trials[i].choose(priority):
                box = max(top, 0), max(left, 0), min(bottom, wanted[1]), min(right, wanted[2])
                part = (i, slice(None), slice(box[0], box[2]), slice(box[1], box[3]))
                images[part] = background if hide else original[part]
                looking.changed(i, box)
        active = [i for i in active if not trials[i].done]


class _Plain:
    """A priority that keeps nothing between fixations."""

    def __init__(self, model: Callable[..., Tensor], images: Tensor, targets: Tensor, px_per_deg: float) -> None:
        self.model, self.images, self.targets, self.px_per_deg = model, images, targets, px_per_deg

    def __call__(self, gaze_px: Sequence[tuple[int, int]], items: Sequence[int]) -> Tensor:
        height, width = self.images.shape[-2:]
        points = [((column - (width - 1) / 2), ((height - 1) / 2 - row)) for row, column in gaze_px]
        chosen = list(items)
        return self.model(self.images[chosen], self.targets[chosen], torch.tensor(points) / self.px_per_deg)

    def changed(self, item: int, box: Box) -> None:
        """Take note of nothing: the model sees the whole picture again."""


class _Checkpoint:
    """Finished displays: path, cells and outcome by stimulus id, in a file that is replaced as a whole."""

    def __init__(self, path: Any, model: Any, shown: StimulusSet, rules: Rules, seed: int) -> None:
        self.path = None if path is None else Path(path)
        self.trials: dict[str, dict[str, Any]] = {}
        if self.path is None:
            return
        name = getattr(model, "fingerprint", None) or f"{type(model).__module__}.{type(model).__qualname__}"
        self.settings = {
            "model": name,
            "shown": shown.fingerprint,
            "rules": repr(rules),
            "seed": seed,
        }
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))  # type: ignore[union-attr]
            before, trials = record[_RECORD], record["trials"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            fail("checkpoint", "a file that simulate wrote", f"{self.path} ({type(error).__name__}: {error})",
                 "Delete it to start anew, or name another file.")  # fmt: skip
        for key, value in self.settings.items():
            check(before.get(key) == value, "checkpoint", f"of a run with the same {key}", f"{self.path}",
                  "Use the same arguments, name another file, or delete it.")  # fmt: skip
        self.trials = trials

    def add(self, trials: Sequence[Trial]) -> None:
        """Keep finished trials."""
        for trial in trials:
            self.trials[trial.arena.stimulus_id] = {
                "path": [list(place) for place in trial.path], "objects": trial.objects, "found": trial.found,
            }  # fmt: skip
        if self.path is not None:
            with atomic_path(self.path) as temporary:
                temporary.write_text(json.dumps({_RECORD: self.settings, "trials": self.trials}), encoding="utf-8")


def _tables(
    shown: StimulusSet, arenas: Sequence[Arena], done: dict[str, dict[str, Any]], fixation_s: float | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths = [np.array(done[arena.stimulus_id]["path"]) for arena in arenas]
    counts = [len(path) for path in paths]
    order = np.concatenate([np.arange(n) for n in counts])
    points = np.concatenate([shown.picture_deg(i, path[:, ::-1]) for i, path in enumerate(paths)])
    duration = np.nan if fixation_s is None else fixation_s
    fixations = make_fixations(
        points, trial=np.repeat(np.arange(len(arenas)), counts), fixation=order, onset_s=order * duration,
        duration_s=duration, object_id=[k for arena in arenas for k in done[arena.stimulus_id]["objects"]],
        display=shown.display,
    )  # fmt: skip
    table = shown.table
    more = {"experiment": table["experiment"].to_numpy()} if "experiment" in table else {}
    trials = make_trials(
        np.arange(len(arenas)), stimulus_id=shown.ids, target_present=True,
        condition=table["condition"].to_numpy() if "condition" in table else "",
        set_size=table["set_size"].to_numpy() if "set_size" in table else None,
        found=[bool(done[arena.stimulus_id]["found"]) for arena in arenas], **more,
    )  # fmt: skip
    return fixations, trials
