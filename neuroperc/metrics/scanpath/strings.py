"""Scanpaths as strings of labels: ScanMatch, edit distances, sequence score; and how places become labels."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..._check import check, integer, one_of, pair, positive
from ._paths import Floats, Labels, Paths, Whole, numpy_of, read_labels, read_paths, restore, score_pairs
from ._programs import corner, edit, lowest

Origin = Literal["corner", "center"]
Outside = Literal["nan", "clip"]


def levenshtein(a: Any, b: Any = None, *, pairs: Any = None, truncate: int | None = None) -> Any:
    """Count the insertions, deletions and substitutions that turn one label sequence into another.

    Parameters
    ----------
    a, b
        A sequence (n,) of whole numbers, a list of them, or a batch (sequences, longest) padded at its end with -1 or
        NaN. One against many is compared with each. Without `b`, those of `a` with one another, each pair once.
    pairs
        As in `multimatch`: None, (p, 2) indices, or ``"all"``.
    truncate
        Compare only the first so many labels of each.

    Returns
    -------
    array
        () for one pair, (pairs,), or (len(a), len(b)) for ``"all"``: not normalised. NaN where either sequence is empty
        or a label within it is missing (negative, NaN).

    Raises
    ------
    ValueError
        For fractions, another shape, or pairs that do not exist.

    References
    ----------
    .. [1] V I Levenshtein (1966). Binary codes capable of correcting deletions, insertions and reversals.

    Examples
    --------
    >>> import numpy as np
    >>> float(levenshtein(np.array([1, 2, 3, 4]), np.array([1, 3, 4, 5])))
    2.0
    >>> levenshtein([[0, 1], [0, 1, 2], []])
    array([ 1., nan, nan])
    """

    def kernel(x: Whole, y: Whole, n: Whole, m: Whole) -> Floats:
        return corner(edit((x[:, None] != y).astype(np.int32), 1, 1), n, m)

    return _on_labels(a, b, pairs, truncate, kernel)


def fixation_edit_distance(a: Any, b: Any = None, *, pairs: Any = None, truncate: int | None = None) -> Any:
    """Return the edit distance of two strings of fixation clusters (FED), or of semantic labels (SemFED).

    Parameters
    ----------
    a, b, pairs, truncate
        As in `levenshtein`: the cluster or category of each fixation. Published tables truncate at 2, 4, 6 fixations
        for search.

    Returns
    -------
    array
        As in `levenshtein`.

    References
    ----------
    .. [1] S Mondal et al. (2023). Gazeformer: scalable, effective and fast prediction of goal-directed human attention.

    Examples
    --------
    >>> float(fixation_edit_distance([3, 1, 1, 2], [3, 1, 2, 2, 5], truncate=4))
    1.0
    """
    return levenshtein(a, b, pairs=pairs, truncate=truncate)


def sequence_score(a: Any, b: Any = None, *, pairs: Any = None, truncate: int | None = None) -> Any:
    """Score how many labels two sequences share in order, as a share of the longer one (SS, SemSS).

    Parameters
    ----------
    a, b, pairs, truncate
        As in `levenshtein`: the cluster of each fixation (``npc.search.cluster_fixations``), its semantic category, or
        the object fixated. With durations: of `repeat_by_duration`.

    Returns
    -------
    array
        () or (pairs,) or (len(a), len(b)) in [0, 1]; NaN where either sequence is empty or a label is missing.

    Notes
    -----
    Global alignment (Needleman & Wunsch) with match 1, mismatch 0 and gap 0, divided by the longer length.

    References
    ----------
    .. [1] Z Yang et al. (2020). Predicting goal-directed human attention using inverse reinforcement learning.
    .. [2] A Borji, D N Tavakoli, D N Sihite, L Itti (2013). Analysis of scores, datasets, and models in visual saliency
       prediction.

    Examples
    --------
    >>> float(sequence_score([3, 1, 1, 2], [3, 1, 2, 5]))
    0.75
    """

    def kernel(x: Whole, y: Whole, n: Whole, m: Whole) -> Floats:
        shared = -corner(edit(-(x[:, None] == y).astype(np.int32), 0, 0), n, m)
        return np.asarray(shared / np.maximum(n, m))

    return _on_labels(a, b, pairs, truncate, kernel)


def _on_labels(a: Any, b: Any, pairs: Any, truncate: int | None, kernel: Any) -> Any:
    left = _cut(read_labels("a", a), truncate)
    right = left if b is None else _cut(read_labels("b", b), truncate)
    return restore(_score(left, right, pairs, kernel, same=b is None), a, b)


def _score(left: Labels, right: Labels, pairs: Any, kernel: Any, *, same: bool) -> Floats:
    def of_pairs(i: Whole, j: Whole) -> Floats:
        n, m = left.n[i], right.n[j]
        return np.asarray(kernel(left.label[: n.max(), i], right.label[: m.max(), j], n, m))

    return score_pairs(left, right, pairs, of_pairs, usable=(left.known, right.known), same=same)


def _cut(labels: Labels, truncate: int | None) -> Labels:
    if truncate is None:
        return labels
    n = np.minimum(labels.n, integer("truncate", truncate))
    inside = np.arange(len(labels.label))[:, None] < n
    known = (n > 0) & ~((labels.label < 0) & inside).any(0)
    return Labels(labels.label, n, known, labels.single)


def grid_labels(
    paths: Any,
    *,
    screen: tuple[float, float],
    grid: tuple[int, int],
    origin: Origin = "corner",
    outside: Outside = "nan",
    whole_pixels: bool = False,
) -> Any:
    """Return the number of the grid cell in which each fixation falls.

    Parameters
    ----------
    paths
        (..., 2 or more) x, y in the unit of `screen`.
    screen
        (height, width).
    grid
        (rows, columns) of cells.
    origin
        Where (0, 0) is: "corner", so that places run from 0 to the width and the height, or "center".
    outside
        What becomes of a place off the screen: "nan", no label, or "clip", that of the nearest cell.
    whole_pixels
        Make cells floor(width / columns) by floor(height / rows) wide, as released code does for screens in pixels; the
        last row and column take what is left.

    Returns
    -------
    ndarray
        (...) int64, row * columns + column; -1 for no label. With y up instead of down the rows are mirrored, which no
        metric here can tell.

    Examples
    --------
    >>> grid_labels([[5, 5], [95, 5], [95, 55], [101, 5]], screen=(60, 100), grid=(3, 5)).tolist()
    [0, 4, 14, -1]
    """
    points = numpy_of("paths", paths).astype(np.float64, copy=False)
    check(points.ndim >= 1 and points.shape[-1] >= 2, "paths", "(..., 2 or more)", f"shape {points.shape}")
    one_of("origin", origin, ("corner", "center"))
    one_of("outside", outside, ("nan", "clip"))
    extent, step, count = _grid(tuple(screen), tuple(grid), whole_pixels)
    columns = int(count[0])
    place = points[..., :2] + extent / 2 if origin == "center" else points[..., :2]
    there = ~np.isnan(place) if outside == "clip" else (place >= 0) & (place <= extent)
    fine = np.asarray(there.all(-1))
    if not fine.all():
        place = np.where(fine[..., None], place, 0.0)
    cell = np.minimum(np.maximum(place / step, 0), count - 1).astype(np.int64)
    label = cell[..., 1] * columns + cell[..., 0]
    return label if fine.all() else np.where(fine, label, -1)


@functools.lru_cache(maxsize=64)
def _grid(screen: tuple[float, float], grid: tuple[int, int], whole_pixels: bool) -> tuple[Floats, Floats, Whole]:
    """Return the screen's extent, the size of a cell, and the number of cells, each (x, y)."""
    height, width = (positive("screen", v) for v in pair("screen", screen))
    rows, columns = (integer("grid", int(v)) for v in pair("grid", grid, "(rows, columns)"))
    extent, count = np.array([width, height]), np.array([columns, rows])
    step = extent // count if whole_pixels else extent / count
    check(bool((step > 0).all()), "screen", f"at least {rows} x {columns} for whole pixels", screen)
    return extent, step, count


def repeat_by_duration(
    labels: Any, duration_s: Any, *, bin_s: float, rounding: Literal["round", "floor"] = "round"
) -> NDArray[np.int64]:
    """Repeat every label of one sequence once for each time bin that its fixation lasted.

    Parameters
    ----------
    labels
        (n,) whole numbers.
    duration_s
        (n,) seconds.
    bin_s
        Length of a bin.
    rounding
        "round", halves to even (ScanMatch), or "floor" (the sequence score with durations, in bins of 0.05 s).

    Returns
    -------
    ndarray
        (m,) labels; a fixation shorter than a bin may have none.

    Raises
    ------
    ValueError
        For a missing or negative duration.

    Examples
    --------
    >>> repeat_by_duration([4, 7], [0.12, 0.31], bin_s=0.1).tolist()
    [4, 7, 7, 7]
    """
    values, times = numpy_of("labels", labels), numpy_of("duration_s", duration_s).astype(np.float64)
    check(values.shape == times.shape and values.ndim == 1, "labels and duration_s", "(n,) both",
          f"shapes {values.shape} and {times.shape}")  # fmt: skip
    check(bool((times >= 0).all()), "duration_s", "0 or more, none missing", "negative or NaN", "Leave bin_s out.")
    return np.repeat(values.astype(np.int64), _bins(times, positive("bin_s", bin_s), rounding))


def _bins(duration_s: Floats, bin_s: float, rounding: str = "round") -> Whole:
    one_of("rounding", rounding, ("round", "floor"))
    # 0.25 s in bins of 0.1 s are 2.5 bins: decimal fractions get their last bit back before they are rounded.
    share = np.round(duration_s / bin_s, 9)
    return (np.round if rounding == "round" else np.floor)(share).astype(np.int64)


def string_edit_distance(
    a: Any,
    b: Any = None,
    *,
    screen: tuple[float, float],
    grid: tuple[int, int] = (5, 5),
    pairs: Any = None,
    origin: Origin = "corner",
    outside: Outside = "nan",
    whole_pixels: bool = False,
) -> Any:
    """Return the edit distance of two scanpaths written as strings of the grid cells they visit (SED).

    Parameters
    ----------
    a, b, pairs
        As in `multimatch`; durations play no part.
    screen, grid, origin, outside, whole_pixels
        As in `grid_labels`.

    Returns
    -------
    array
        () or (pairs,) or (len(a), len(b)): not normalised. NaN where either path is empty or a place is missing, or,
        unless ``outside="clip"``, off the screen. The best over observers is the minimum.

    References
    ----------
    .. [1] S A Brandt, L W Stark (1997). Spontaneous eye movements during visual imagery reflect the content of the
       visual scene.

    Examples
    --------
    >>> a = [[10, 10], [90, 10], [90, 90]]
    >>> float(string_edit_distance(a, [[10, 10], [90, 90]], screen=(100, 100)))
    1.0
    """

    def cells(name: str, paths: Any) -> Labels:
        return _cells(read_paths(name, paths), screen, grid, origin, outside, whole_pixels)

    left = cells("a", a)
    right = left if b is None else cells("b", b)

    def kernel(x: Whole, y: Whole, n: Whole, m: Whole) -> Floats:
        return corner(edit((x[:, None] != y).astype(np.int32), 1, 1), n, m)

    return restore(_score(left, right, pairs, kernel, same=b is None), a, b)


def _cells(
    paths: Paths,
    screen: tuple[float, float],
    grid: tuple[int, int],
    origin: Origin,
    outside: Outside,
    whole_pixels: bool = False,
) -> Labels:
    points = np.stack((paths.x, paths.y), -1)
    labels = grid_labels(points, screen=screen, grid=grid, origin=origin, outside=outside, whole_pixels=whole_pixels)
    inside = np.arange(len(labels))[:, None] < paths.n
    known = paths.known & ~((labels < 0) & inside).any(0)
    return Labels(labels, paths.n, known, paths.single)


def scanmatch(
    a: Any,
    b: Any = None,
    *,
    screen: tuple[float, float],
    grid: tuple[int, int] = (6, 8),
    threshold: float = 3.5,
    gap: float = 0.0,
    bin_s: float | None = None,
    substitution: Any = None,
    regions: Any = None,
    pairs: Any = None,
    origin: Origin = "corner",
    outside: Outside = "nan",
) -> Any:
    """Align two scanpaths, written as strings of grid cells, by how near the cells lie to one another (ScanMatch).

    Parameters
    ----------
    a, b, pairs
        As in `multimatch`.
    screen, grid, origin, outside
        As in `grid_labels`; by default the toolbox's 6 rows of 8.
    threshold
        T, in cells: cells nearer than this score above 0. The toolbox's guide is twice the standard deviation of
        saccade amplitudes within a session.
    gap
        What a label without a partner scores; 0 or less.
    bin_s
        Length of a time bin; every fixation's label is repeated round(duration / bin) times. None ignores durations.
    substitution
        (labels, labels) scores of your own in place of T − distance; its largest value then stands for T.
    regions
        (height, width) whole numbers, a picture over the screen that says in which region of interest each place lies;
        negative for none. It takes the place of `grid` and needs `substitution`.

    Returns
    -------
    array
        () or (pairs,) or (len(a), len(b)): the best alignment's score over T times the longer length, 1 for equal
        strings. NaN where either path is empty (also: every fixation shorter than half a bin), a place is missing, off
        the screen (unless ``outside="clip"``) or in no region, or a duration is missing and `bin_s` is given.

    Raises
    ------
    ValueError
        For a substitution matrix of another size, a positive gap, or regions without substitution.

    Notes
    -----
    As in the released toolbox the score is the largest entry of the alignment's table; with a gap of 0 that is its last
    one.

    References
    ----------
    .. [1] F Cristino, S Mathôt, J Theeuwes, I D Gilchrist (2010). ScanMatch: a novel method for comparing fixation
       sequences. Behavior Research Methods 42.

    Examples
    --------
    >>> a = [[50, 50, 0.2], [700, 50, 0.3], [700, 500, 0.1]]
    >>> b = [[150, 50, 0.2], [700, 500, 0.3]]
    >>> round(float(scanmatch(a, b, screen=(600, 800), bin_s=0.1)), 6)
    0.404762
    """
    check(gap <= 0, "gap", "0 or less", gap, "A gap is a penalty.")
    table = _substitution(substitution, regions, grid, positive("threshold", threshold))
    best = float(table.max())
    check(best > 0, "substitution", "above 0 somewhere", best, "Equal labels should score best.")

    def strings(name: str, paths: Any) -> Labels:
        read = read_paths(name, paths)
        if regions is None:
            found = _cells(read, screen, grid, origin, outside)
        else:
            found = _regions(read, numpy_of("regions", regions), len(table), screen, origin, outside)
        return found if bin_s is None else _in_time(found, read, positive("bin_s", bin_s))

    left = strings("a", a)
    right = left if b is None else strings("b", b)
    scores = -table.reshape(-1)

    def kernel(x: Whole, y: Whole, n: Whole, m: Whole) -> Floats:
        # Beyond their ends labels are -1; any entry does there, for what lies beyond changes nothing.
        costs = edit(scores.take(x[:, None] * len(table) + y, mode="clip"), -gap, -gap)
        total = corner(costs, n, m) if gap == 0 else lowest(costs, n, m)
        return np.asarray(-total / (best * np.maximum(n, m)))

    return restore(_score(left, right, pairs, kernel, same=b is None), a, b)


def _substitution(substitution: Any, regions: Any, grid: tuple[int, int], threshold: float) -> Floats:
    check(regions is None or substitution is not None, "substitution", "given with regions", None,
          "Say how alike the regions are.")  # fmt: skip
    rows, columns = (integer("grid", int(v)) for v in pair("grid", grid, "(rows, columns)"))
    if substitution is None:
        return _nearness(rows, columns, threshold)
    table = numpy_of("substitution", substitution).astype(np.float64)
    n = rows * columns if regions is None else int(numpy_of("regions", regions).max()) + 1
    square = table.ndim == 2 and table.shape[0] == table.shape[1]
    enough = square and len(table) >= n and (regions is not None or len(table) == n)
    check(enough, "substitution", f"({n}, {n}), a score for every two labels", f"shape {table.shape}")
    check(bool(np.isfinite(table).all()), "substitution", "finite", "NaN or infinity")
    return table


@functools.lru_cache(maxsize=16)
def _nearness(rows: int, columns: int, threshold: float) -> Floats:
    row, column = np.divmod(np.arange(rows * columns), columns)
    table = threshold - np.hypot(row[:, None] - row, column[:, None] - column)
    table.flags.writeable = False
    return table


def _regions(
    paths: Paths,
    regions: NDArray[Any],
    n_regions: int,
    screen: tuple[float, float],
    origin: Origin,
    outside: Outside,
) -> Labels:
    check(regions.ndim == 2 and regions.size > 0, "regions", "(height, width)", f"shape {regions.shape}")
    pixel = _cells(paths, screen, (regions.shape[0], regions.shape[1]), origin, outside)
    labels = np.where(pixel.label >= 0, regions.astype(np.int64).reshape(-1)[pixel.label], -1)
    inside = np.arange(len(labels))[:, None] < paths.n
    return Labels(labels, paths.n, pixel.known & ~((labels < 0) & inside).any(0), paths.single)


def _in_time(labels: Labels, paths: Paths, bin_s: float) -> Labels:
    """Repeat the labels of all paths by their durations."""
    inside = np.arange(len(labels.label))[:, None] < labels.n
    counts = np.where(inside, _bins(paths.duration, bin_s), 0).T
    n = counts.sum(1)
    repeated = np.full((len(n), int(n.max(initial=0))), -1, dtype=np.int64)
    repeated[np.arange(repeated.shape[1]) < n[:, None]] = np.repeat(labels.label.T.reshape(-1), counts.reshape(-1))
    return Labels(repeated.T, n, labels.known & paths.timed & (n > 0), labels.single)
