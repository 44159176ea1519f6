"""Trial lists: what is shown when, in a seeded random order that obeys its constraints."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .._check import as_rng, check, fail, integer
from ..data import TRIAL_COLUMNS, StimulusSet, make_trials
from ._order import Runs, ordered

_DEALS = 20
_OWN = ("trial", "block", "subject", "session", "stimulus_id")


def trials(
    stimuli: StimulusSet | Sequence[Any] | None = None,
    *,
    factors: Mapping[str, Sequence[Any]] | None = None,
    balance: Mapping[str, Sequence[Any]] | None = None,
    repeats: int = 1,
    n_blocks: int = 1,
    max_run: Mapping[str, int] | None = None,
    subject: str = "",
    session: str = "",
    rng: int | np.random.Generator,
) -> pd.DataFrame:
    """Make a list of trials: stimuli crossed with factors, repeated, balanced, in random order.

    Parameters
    ----------
    stimuli
        What is shown: a StimulusSet or a list of ids; None when `factors` say everything.
    factors
        Column to levels. Every combination of stimuli and levels is a cell, shown `repeats` times.
    balance
        Column to levels that are counterbalanced and not of interest, such as ``{"side": ["left", "right"]}``: within
        every cell each combination of them occurs equally often.
    repeats
        Trials a cell.
    n_blocks
        Every block holds every cell equally often, in an order of its own; `balance` holds over the blocks together.
    max_run
        Column (of factors, balance, or ``"stimulus_id"``) to the largest number of trials in a row with the same
        value; it holds across the ends of blocks too.
    subject, session
        Text for these columns; give each subject another `rng`.
    rng
        Seed or generator.

    Returns
    -------
    pandas.DataFrame
        A Trials table with the columns of `factors` and `balance`, and ``block`` from 0. ``condition`` is the levels of
        the factors joined by ", " unless a factor has that name.

    Raises
    ------
    ValueError
        When repeats cannot be shared equally among blocks or balanced levels, a name is taken twice or unknown, there
        is nothing to show, or no order obeys `max_run`.

    Notes
    -----
    Orders under `max_run` are drawn trial by trial with a look ahead. They are random, but not every order that obeys
    the constraint is exactly as likely.

    Examples
    --------
    >>> table = trials(["a", "b"], balance={"side": ["left", "right"]}, repeats=4, max_run={"side": 2}, rng=0)
    >>> table.groupby(["stimulus_id", "side"]).size().tolist()
    [2, 2, 2, 2]
    >>> trials(["a", "b"], balance={"side": ["left", "right"]}, repeats=3, rng=0)
    Traceback (most recent call last):
    ValueError: repeats must be a multiple of 2, the combinations of balance, got 3. Use 4 repeats.
    """
    ids = _ids(stimuli)
    crossed, balanced = _columns("factors", factors), _columns("balance", balance)
    _check_names(ids, crossed, balanced)
    n_repeats, blocks = integer("repeats", repeats), integer("n_blocks", n_blocks)
    combinations = int(np.prod([len(v) for v in balanced.values()], dtype=int))
    _check_shares(n_repeats, blocks, combinations)
    levels = {**({} if ids is None else {"stimulus_id": ids}), **crossed}
    cells = pd.DataFrame(list(itertools.product(*levels.values())), columns=list(levels))
    sides = pd.DataFrame(list(itertools.product(*balanced.values())), columns=list(balanced), index=range(combinations))
    everything = cells.merge(sides, how="cross") if balanced else cells
    longest = _longest(max_run, everything)
    codes = [pd.factorize(everything[name])[0] for name in longest]
    runs = Runs(
        np.array(codes, dtype=int).reshape(len(codes), len(everything)).T, np.array(list(longest.values()), dtype=int)
    )
    generator = as_rng(rng)
    order = _order(lambda: _shares(len(cells), combinations, n_repeats, blocks, generator), runs, generator, longest)
    rows = everything.iloc[np.concatenate(order)].reset_index(drop=True)
    columns: dict[str, Any] = {"condition": _conditions(rows[list(crossed)])} | {str(c): rows[c] for c in rows}
    block = np.repeat(np.arange(blocks), [len(part) for part in order])
    return make_trials(np.arange(len(rows)), subject=subject, session=session, block=block, **columns)


def _ids(stimuli: Any) -> list[str] | None:
    if stimuli is None:
        return None
    ids = stimuli.ids if isinstance(stimuli, StimulusSet) else stimuli
    if isinstance(ids, str) or not isinstance(ids, Sequence | np.ndarray | pd.Index):
        fail("stimuli", "a StimulusSet, a list of ids or None", type(stimuli).__name__, error=TypeError)
    names = [str(name) for name in ids]
    check(len(names) > 0, "stimuli", "at least one", "none")
    twice = sorted({name for name in names if names.count(name) > 1})
    check(not twice, "stimuli", "different ids", f"{twice[:5]} more than once", "Use repeats.")
    return names


def _columns(name: str, given: Any) -> dict[str, list[Any]]:
    if not isinstance(given, Mapping | None):
        fail(name, "a mapping from column to levels", type(given).__name__, error=TypeError)
    found = {}
    for column, levels in (given or {}).items():
        single = isinstance(levels, str) or np.ndim(levels) != 1
        check(not single, f"{name}[{column!r}]", "a list of levels", levels, "Write it as [a, b].", TypeError)
        found[str(column)] = list(levels)
        check(len(levels) > 0, f"{name}[{column!r}]", "one level or more", "none")
        check(len(set(levels)) == len(levels), f"{name}[{column!r}]", "different levels", list(levels), "Use repeats.")
    return found


def _check_names(ids: list[str] | None, factors: Mapping[str, Any], balance: Mapping[str, Any]) -> None:
    check(ids is not None or factors, "stimuli or factors", "given", "neither", "Say what is shown.")
    twice = sorted(set(factors) & set(balance))
    check(not twice, "factors and balance", "different columns", f"{twice} in both", "Cross it or balance it.")
    taken = sorted((set(factors) | set(balance)) & set(_OWN))
    check(not taken, "factors and balance", f"columns other than {', '.join(_OWN)}", taken, "Rename them.")
    results = sorted((set(factors) | set(balance)) & (set(TRIAL_COLUMNS) - {"condition", "set_size", "target_present"}))
    check(not results, "factors and balance", "columns that are known before the trial", results, "Rename them.")


def _check_shares(repeats: int, blocks: int, combinations: int) -> None:
    remedy = f"Use {-(-repeats // combinations) * combinations} repeats."
    check(repeats % combinations == 0, "repeats", f"a multiple of {combinations}, the combinations of balance", repeats,
          remedy)  # fmt: skip
    check(repeats % blocks == 0, "repeats", f"a multiple of n_blocks = {blocks}", repeats,
          f"Use {-(-repeats // blocks) * blocks} repeats.")  # fmt: skip


def _shares(n_cells: int, combinations: int, repeats: int, blocks: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return for each block how often every (cell, combination) occurs.

    Every cell is dealt random rounds of all combinations, and blocks take equal parts: no block has a combination more
    than once more often than another.
    """
    rounds = np.tile(np.arange(combinations), (n_cells, repeats // combinations, 1))
    dealt = rng.permuted(rounds, axis=-1).reshape(n_cells, blocks, -1)
    return [(dealt[:, b, :, None] == np.arange(combinations)).sum(axis=1) for b in range(blocks)]


def _order(
    deal: Callable[[], list[np.ndarray]], runs: Runs, rng: np.random.Generator, longest: Mapping[str, int]
) -> list[np.ndarray]:
    """Order block after block; deal again when the constraint cannot be kept."""
    for _ in range(_DEALS):
        state, order = runs.copy(), []
        for share in deal():
            part = ordered(share.reshape(-1), state, rng)
            if part is None:
                break
            order.append(part)
        else:
            return order
    fail(
        "max_run", "such that an order exists", dict(longest), "None was found. Allow longer runs, or add levels.",
    )  # fmt: skip


def _longest(max_run: Any, table: pd.DataFrame) -> dict[str, int]:
    if not isinstance(max_run, Mapping | None):
        fail("max_run", "a mapping from column to a number of trials", max_run, "Write {'side': 3}.", TypeError)
    longest = {}
    for name, k in (max_run or {}).items():
        check(name in table.columns, "max_run", f"of the columns {', '.join(table.columns)}", name)
        longest[str(name)] = integer(f"max_run[{name!r}]", k)
        remedy = "Leave this constraint out."
        check(table[name].nunique() > 1, f"max_run[{name!r}]", "of a column with two levels or more", "one level",
              remedy)  # fmt: skip
    return longest


def _conditions(factors: pd.DataFrame) -> list[str]:
    return [", ".join(f"{name}={value}" for name, value in zip(factors, row, strict=True))
            for row in factors.itertuples(index=False)]  # fmt: skip
