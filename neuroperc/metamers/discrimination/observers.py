"""Observers: any model plus internal noise, answering the trials of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..._check import as_rng, check, finite, integer, one_of
from .tasks import _BALANCE, Task

Rule = Literal["abx_independent", "abx_differencing", "dual_pair", "two_afc", "oddity"]

#: Decision rules of each task; the first is the default.
RULES: dict[str, tuple[Rule, ...]] = {
    "abx": ("abx_independent", "abx_differencing"),
    "split_screen": ("dual_pair", "two_afc"),
    "oddity": ("oddity",),
}


def task_dprime(
    task: Task, model: Callable[[Tensor], Tensor], *, noise_sd: float | np.ndarray, images_per_batch: int = 8
) -> np.ndarray:
    """Return the d′ of a model with internal noise between the two screens that differ in each trial.

    Parameters
    ----------
    task
        What is shown.
    model
        Screens (b, c, h, w) in linear light to features (b, ...).
    noise_sd
        SD of the Gaussian noise of every feature in every presentation: one number, or one a feature (flattened).
    images_per_batch
        Screens that the model sees at once; every different screen is seen once.

    Returns
    -------
    ndarray
        (n_trials,) distance of the features in units of the noise, ``d′ = ‖Δf‖ / noise_sd``.

    Raises
    ------
    ValueError
        For noise that is not above 0, or features that are not finite.

    Examples
    --------
    >>> import numpy as np, pandas as pd, torch, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> pictures = np.stack([np.full((1, 16, 16), v) for v in (0.2, 0.5)])
    >>> table = pd.DataFrame({"image": "grey", "scaling": [float("nan"), 1.0]})
    >>> shown = npc.StimulusSet.from_arrays(pictures, display=display, table=table)
    >>> task = npc.metamers.abx_task(shown, comparison="original_synth", repeats=4, rng=0)
    >>> task_dprime(task, lambda x: x.mean((-2, -1)), noise_sd=0.1).round(6).tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    noise = np.asarray(noise_sd, dtype=float)
    check(bool((noise > 0).all()) and bool(np.isfinite(noise).all()), "noise_sd", "above 0 and finite", noise_sd)
    first, second = _two_screens(task)
    screens, where = np.unique(np.concatenate([first, second]), axis=0, return_inverse=True)
    where = where.reshape(-1)
    features, size = [], integer("images_per_batch", images_per_batch)
    with torch.inference_mode():
        for start in range(0, len(screens), size):
            shown = torch.stack([task.compose(*sides) for sides in screens[start : start + size]])
            found = model(shown)
            finite("features", found)
            features.append(found.flatten(1).double().numpy(force=True))
    each = np.concatenate(features) / noise
    a, b = each[where[: len(first)]], each[where[len(first) :]]
    return np.linalg.norm(a - b, axis=1)


def simulate_observer(
    task: Task,
    model: Callable[[Tensor], Tensor],
    *,
    noise_sd: float | np.ndarray,
    rule: Rule | None = None,
    lapse: float = 0.0,
    images_per_batch: int = 8,
    rng: int | np.random.Generator,
) -> pd.DataFrame:
    """Let a model with internal noise do a task.

    Every presentation is seen once, with fresh noise, along the axis between the two pictures, which the observer
    knows; what it does with these numbers is the rule.

    Parameters
    ----------
    task, model, noise_sd, images_per_batch
        As in `task_dprime`.
    rule
        ABX: ``"abx_independent"`` (default) or ``"abx_differencing"``; split screen: ``"dual_pair"`` (default: the
        half with the larger change) or ``"two_afc"`` (the direction of the change is known); oddity: ``"oddity"``.
        The expected proportion correct is the function of `neuroperc.metrics` of that name.
    lapse
        Share of trials with a blind guess.
    rng
        Seed or generator.

    Returns
    -------
    pandas.DataFrame
        The task's trials with ``response``, ``correct`` and ``dprime``.

    Raises
    ------
    ValueError
        When the rule is not one of the task's, or a number is out of range.

    References
    ----------
    .. [1] N A Macmillan, C D Creelman (2005). Detection theory: a user's guide.

    Examples
    --------
    >>> import numpy as np, pandas as pd, torch, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> pictures = np.stack([np.full((1, 16, 16), v) for v in (0.2, 0.5)])
    >>> table = pd.DataFrame({"image": "grey", "scaling": [float("nan"), 1.0]})
    >>> shown = npc.StimulusSet.from_arrays(pictures, display=display, table=table)
    >>> task = npc.metamers.abx_task(shown, comparison="original_synth", repeats=400, rng=0)
    >>> done = simulate_observer(task, lambda x: x.mean((-2, -1)), noise_sd=0.1, rng=0)
    >>> bool(abs(done["correct"].mean() - npc.metrics.abx_independent(np.array([3.0]))[0]) < 0.04)
    True
    """
    chosen = RULES[task.name][0] if rule is None else one_of("rule", rule, RULES[task.name])
    check(0 <= lapse < 1, "lapse", "at least 0 and below 1", lapse, "Try 0.02.")
    generator = as_rng(rng)
    d = task_dprime(task, model, noise_sd=noise_sd, images_per_batch=images_per_batch)
    answers = _BALANCE[task.name]["answer"]
    correct = np.array([answers.index(a) for a in task.trials["answer"]])
    given = _DECISIONS[chosen](d, correct, generator)
    guesses = generator.integers(len(answers), size=len(d))
    given = np.where(generator.random(len(d)) < lapse, guesses, given)
    return task.trials.assign(
        response=pd.Series([answers[i] for i in given], index=task.trials.index, dtype=task.trials["response"].dtype),
        correct=pd.array(given == correct, dtype="boolean"), dprime=d,
    )  # fmt: skip


def count_correct(
    trials: pd.DataFrame, *, by: str | list[str] | None = None, level: str = "scaling"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """Count correct answers by level, for `fit_critical_scaling` or `fit_psychometric`.

    Parameters
    ----------
    trials
        A Trials table; excluded trials and those without a known ``correct`` are left out.
    by
        Columns whose combinations are experiments; None puts all trials together.
    level
        The column of levels.

    Returns
    -------
    levels
        (n_levels,) sorted.
    n_correct, n_trials
        (n_groups, n_levels), or (n_levels,) without `by`.
    groups
        (n_groups, columns) in the same order; empty without `by`.

    Raises
    ------
    ValueError
        When a column is missing, nothing is left to count, or a group lacks a level.

    Examples
    --------
    >>> import neuroperc as npc
    >>> table = npc.data.make_trials(range(4), correct=[True, False, True, True], scaling=[0.2, 0.2, 0.5, 0.5])
    >>> count_correct(table)[:3]
    (array([0.2, 0.5]), array([1, 2]), array([2, 2]))
    """
    names = [by] if isinstance(by, str) else list(by or [])
    missing = [name for name in [*names, level, "correct", "excluded"] if name not in trials]
    check(not missing, "trials", "a Trials table with the columns asked for", f"no {missing}")
    used = trials[~trials["excluded"].astype(bool) & trials["correct"].notna()]
    check(len(used) > 0, "trials", "some with a known answer", "none")
    keys = names or ["_all"]
    table = used.assign(_all=0, _right=used["correct"].astype(int)).groupby([*keys, level], sort=True)["_right"]
    k, n = table.sum().unstack(level), table.size().unstack(level)
    check(not n.isna().any(axis=None), "trials", "such that every group has every level", n.isna().sum().to_dict(),
          "Fit groups with different levels one by one.")  # fmt: skip
    groups = k.index.to_frame(index=False)[names]
    counts = [part.to_numpy(dtype=np.int64) for part in (k, n)]
    if not names:
        counts = [part[0] for part in counts]
    return k.columns.to_numpy(dtype=float), counts[0], counts[1], groups


def _two_screens(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return the two different screens of every trial, (trial, side) each."""
    if task.name == "oddity":
        other = np.where(task.index[:, 0, 0] != task.index[:, 1, 0], 0, 2)  # the middle one differs from one of these
        return task.index[np.arange(len(other)), other], task.index[:, 1]
    return task.index[:, 0], task.index[:, 1]


def _abx(d: np.ndarray, answer: np.ndarray, rng: np.random.Generator, differencing: bool) -> np.ndarray:
    a, b, x = rng.standard_normal((3, len(d)))
    a, b, x = a - d / 2, b + d / 2, x + np.where(answer == 0, -d / 2, d / 2)
    criterion = (a + b) / 2 if differencing else 0.0
    return ((x > criterion) == (b > a)).astype(int)


def _larger(d: np.ndarray, answer: np.ndarray, rng: np.random.Generator, signed: bool) -> np.ndarray:
    """Two halves, each the difference of two presentations (or one value each): the larger is said to have changed."""
    change = rng.standard_normal((2, len(d))) * (1.0 if signed else 2**0.5)
    change[answer, np.arange(len(d))] += d
    return (change if signed else np.abs(change)).argmax(axis=0)


def _odd(d: np.ndarray, answer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    seen = rng.standard_normal((3, len(d)))
    seen[answer, np.arange(len(d))] += d
    gaps = np.abs(np.stack([seen[1] - seen[2], seen[0] - seen[2], seen[0] - seen[1]]))
    return gaps.argmin(axis=0)  # the nearest two are taken as the pair


_DECISIONS: dict[str, Callable[..., Any]] = {
    "abx_independent": lambda d, answer, rng: _abx(d, answer, rng, differencing=False),
    "abx_differencing": lambda d, answer, rng: _abx(d, answer, rng, differencing=True),
    "dual_pair": lambda d, answer, rng: _larger(d, answer, rng, signed=False),
    "two_afc": lambda d, answer, rng: _larger(d, answer, rng, signed=True),
    "oddity": _odd,
}
