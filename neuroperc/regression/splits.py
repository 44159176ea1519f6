"""Splits into training and test rows that never tear a group apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import as_rng, check, fail, integer

Split = tuple[np.ndarray, np.ndarray]


def shuffle_splits(
    groups: Any,
    *,
    n_splits: int = 10,
    test_share: float = 0.1,
    stratify: Any = None,
    rng: int | np.random.Generator = 1,
) -> list[Split]:
    """Random splits whose test sets may overlap, as Brain-Score draws them.

    When every row is its own group and `rng` is an int, these are scikit-learn's ``ShuffleSplit`` or, with `stratify`,
    ``StratifiedShuffleSplit`` with that ``random_state``: Brain-Score's are ``rng=1``.

    Parameters
    ----------
    groups
        (row,) labels; rows of one label stay together.
    n_splits
        How many.
    test_share
        Share of the groups that is held out.
    stratify
        (row,) labels, constant within a group, whose shares are kept on both sides; None for none.
    rng
        Seed or generator.

    Returns
    -------
    list of tuple
        ``(train, test)`` row indices, ascending.

    Raises
    ------
    ValueError
        When there are too few groups, or `stratify` differs within a group or has a label with one group only.

    References
    ----------
    .. [1] M Schrimpf et al. (2018). Brain-Score. doi:10.1101/407007

    Examples
    --------
    >>> train, test = shuffle_splits(["a", "a", "b", "b", "c", "c"], n_splits=1, test_share=0.3, rng=0)[0]
    >>> train.tolist(), test.tolist()
    ([0, 1, 2, 3], [4, 5])
    """
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    index, first = _index(groups)
    check(0 < test_share < 1, "test_share", "between 0 and 1", test_share, "Brain-Score uses 0.1.")
    seed = rng if isinstance(rng, int) and not isinstance(rng, bool) else int(as_rng(rng).integers(2**31))
    kind = ShuffleSplit if stratify is None else StratifiedShuffleSplit
    strata = None if stratify is None else _strata(stratify, index, first)
    splitter = kind(n_splits=integer("n_splits", n_splits), test_size=test_share, random_state=seed)
    try:
        found = list(splitter.split(np.zeros(len(first)), strata))
    except ValueError as error:
        fail("groups", "enough for these splits", f"{len(first)} groups", f"{error}")
    return [_rows(index, test) for _, test in found]


def fold_splits(groups: Any, *, n_folds: int = 10, rng: int | np.random.Generator = 1) -> list[Split]:
    """Folds of groups: each row is held out exactly once.

    Parameters
    ----------
    groups
        (row,) labels; rows of one label stay together.
    n_folds
        How many folds, at least 2 and at most the number of groups.
    rng
        Seed or generator of the order.

    Returns
    -------
    list of tuple
        ``(train, test)`` row indices, ascending.

    Raises
    ------
    ValueError
        For more folds than groups.

    Examples
    --------
    >>> [test.tolist() for _, test in fold_splits(["a", "a", "b", "c"], n_folds=3, rng=0)]
    [[3], [0, 1], [2]]
    """
    index, first = _index(groups)
    integer("n_folds", n_folds, minimum=2)
    check(n_folds <= len(first), "n_folds", f"at most the number of groups, {len(first)}", n_folds)
    order = as_rng(rng).permutation(len(first))
    return [_rows(index, part) for part in np.array_split(order, n_folds)]


def group_index(groups: Any, n_rows: int) -> np.ndarray:
    """Return (row,) group numbers from 0; None makes every row its own group."""
    if groups is None:
        return np.arange(n_rows)
    index, _ = _index(groups)
    check(len(index) == n_rows, "groups", f"one label for each of the {n_rows} rows", f"{len(index)} labels")
    return index


def _index(groups: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's group number, counted in order of appearance, and each group's first row."""
    labels = np.asarray(groups)
    check(labels.ndim == 1 and labels.size > 1, "groups", "(row,) labels of 2 or more rows", f"shape {labels.shape}")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[inverse], first[order]


def _strata(stratify: Any, index: np.ndarray, first: np.ndarray) -> np.ndarray:
    labels = np.asarray(stratify)
    check(labels.shape == index.shape, "stratify", f"one label for each of the {len(index)} rows", labels.shape)
    of_group: np.ndarray = labels[first]
    torn = np.flatnonzero(of_group[index] != labels)
    check(not torn.size, "stratify", "the same for all rows of a group", f"another label in row {torn[:1]}")
    return of_group


def _rows(index: np.ndarray, test_groups: np.ndarray) -> Split:
    held = np.isin(index, test_groups)
    return np.flatnonzero(~held), np.flatnonzero(held)
