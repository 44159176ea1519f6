"""Scanpaths of models and people, compared trial by trial; never a person with themself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import metrics
from .._check import check, fail, one_of
from ..data import Scanpaths, scanpaths
from ..data.fixations.columns import KEY
from ..data.fixations.tables import check_fixations
from ..display import Display
from .clustering import stimulus_of

_ON_PLACES = (
    "multimatch", "scanmatch", "string_edit_distance", "time_delay_embedding", "scaled_time_delay_embedding", "scasim",
)  # fmt: skip
_ON_LABELS = ("sequence_score", "fixation_edit_distance", "levenshtein")


@dataclass(frozen=True)
class ScanpathComparison:
    """What `compare_scanpaths` found.

    Parameters
    ----------
    pairs
        DataFrame, a row a pair: the stimulus, machine_subject, machine_session, machine_trial, human_subject,
        human_session, human_trial, and the scores; NaN where a score is undefined.
    mean
        Series of the mean over the pairs that have a score.
    coverage
        Share of the pairs that have one.
    metric, by
        What was compared, and on which column pairs were formed.

    Examples
    --------
    >>> import pandas as pd
    >>> table, mean = pd.DataFrame({"scasim": [0.1, 0.3]}), pd.Series({"scasim": 0.2})
    >>> found = ScanpathComparison(table, mean, 1.0, "scasim", "trial")
    >>> found.n_pairs
    2
    """

    pairs: pd.DataFrame
    mean: pd.Series
    coverage: float
    metric: str
    by: str

    @property
    def n_pairs(self) -> int:
        """Number of pairs compared, with and without a score."""
        return len(self.pairs)


def compare_scanpaths(
    machine: pd.DataFrame,
    humans: pd.DataFrame,
    *,
    metric: str = "multimatch",
    display: Display,
    machine_trials: pd.DataFrame | None = None,
    human_trials: pd.DataFrame | None = None,
    by: str | None = None,
    eye: str | None = None,
    initial: bool = True,
    labels: str = "object_id",
    **options: Any,
) -> ScanpathComparison:
    """Compare every path of one table with every path of another that was made on the same stimulus.

    Parameters
    ----------
    machine, humans
        Fixations tables. Give the same table twice for how alike people are: each pair counts once. Two paths of one
        subject, known by name, are never compared.
    metric
        Name of a metric of ``npc.metrics``: "multimatch", "scanmatch", "string_edit_distance", "time_delay_embedding",
        "scaled_time_delay_embedding", "scasim", or, of labels, "sequence_score", "fixation_edit_distance",
        "levenshtein".
    display
        The screen. Places are compared on it, in pixels, as published; "scasim" takes the angles between lines of
        sight. Answers in pixels come back in degrees at its centre.
    machine_trials, human_trials
        Trials tables: they say which stimulus each trial showed, and trials without fixations count in the coverage.
    by
        Column that pairs trials; default: ``"stimulus_id"`` where both sides have one, else ``"trial"``.
    eye
        Which eye, when a table holds several.
    initial
        Whether paths begin with fixation 0, the one present at onset.
    labels
        Column of labels, for the metrics on them: "object_id", or "cluster" of `cluster_fixations`.
    **options
        What else the metric takes; lengths in degrees: ``merge_length_deg`` for "multimatch".

    Returns
    -------
    ScanpathComparison

    Raises
    ------
    ValueError
        For an unknown metric or column, no stimulus in common, or one table given twice without subjects.

    Examples
    --------
    >>> from neuroperc import Display
    >>> from neuroperc.data import make_fixations
    >>> screen = Display.from_px_per_deg(30, resolution_px=(600, 800))
    >>> def table(subject, points):
    ...     return make_fixations(points, subject=subject, trial=0, fixation=range(len(points)), duration_s=0.2,
    ...                           display=screen)
    >>> person, model = table("p1", [[0, 0], [5, 1], [5, 5]]), table("model", [[0, 0], [5, 1], [5, 4]])
    >>> found = compare_scanpaths(model, person, display=screen)
    >>> round(float(found.mean["position"]), 3), found.coverage
    (1.0, 1.0)
    """
    one_of("metric", metric, (*_ON_PLACES, *_ON_LABELS))
    same = machine is humans or machine.equals(humans)
    column = labels if metric in _ON_LABELS else None
    given = ((machine, machine_trials), (humans, human_trials))
    sides = [_side(table, trials, by, eye, initial, column) for table, trials in given]
    if sides[0].by != sides[1].by:  # only one side knows its stimuli
        sides = [_side(table, trials, "trial", eye, initial, column) for table, trials in given]
    pairs = _pairs(sides[0], sides[1], same=same)
    score, names = _metric(metric, display, options)
    values = np.asarray(score(sides[0], sides[1], pairs)).reshape(len(pairs), len(names))
    table = pd.concat([_named(sides[0], pairs[:, 0], "machine"), _named(sides[1], pairs[:, 1], "human")], axis=1)
    table.insert(0, sides[0].by, sides[0].stimulus.to_numpy()[pairs[:, 0]])
    table[names] = values
    return ScanpathComparison(table, table[names].mean(), metrics.coverage(values), metric, sides[0].by)


@dataclass(frozen=True)
class _Side:
    paths: Scanpaths
    stimulus: pd.Series
    by: str
    labels: np.ndarray | None


def _side(
    table: pd.DataFrame, trials: pd.DataFrame | None, by: str | None, eye: str | None, initial: bool, labels: str | None
) -> _Side:
    fixations = check_fixations(table, trials)
    if labels is not None:
        check(labels in fixations, "labels", "a column of the fixations", labels, "Use cluster_fixations.")
        fixations = fixations.assign(object_id=fixations[labels])
    paths = scanpaths(fixations, trials, eye=eye, initial=initial)
    source = paths.index
    if trials is None:
        more = [c for c in ("stimulus_id", by) if c is not None and c in fixations and c not in KEY]
        source = source.merge(
            fixations[[*KEY, *dict.fromkeys(more)]].drop_duplicates(list(KEY)), on=list(KEY), how="left"
        )
    stimulus, name = stimulus_of(source, trials, by)
    return _Side(paths, stimulus, name, None if labels is None else paths.object_id)


def _pairs(one: _Side, two: _Side, *, same: bool) -> np.ndarray:
    """Return (pairs, 2) indices of the paths of one stimulus by different people."""
    frames = [
        pd.DataFrame(
            {
                "key": side.stimulus.to_numpy(),
                "who": side.paths.index["subject"].to_numpy(),
                "row": range(len(side.paths)),
            }
        )
        for side in (one, two)
    ]
    joined = frames[0].merge(frames[1], on="key", suffixes=("", "_2"))
    check(len(joined) > 0, "machine and humans", f"of common {one.by}", "none", "Pass trials with stimulus_id, or by=.")
    if same:
        unknown = bool((frames[0]["who"] == "").any())
        check(not unknown, "subject", "known where people are compared with one another", "''", "Fill the column.")
        joined = joined[joined["row"] < joined["row_2"]]
    alone = (joined["who"] == joined["who_2"]) & (joined["who"] != "")
    return joined.loc[~alone, ["row", "row_2"]].to_numpy(np.int64)


def _named(side: _Side, rows: np.ndarray, prefix: str) -> pd.DataFrame:
    return side.paths.index.iloc[rows].reset_index(drop=True).add_prefix(f"{prefix}_")


def _metric(
    metric: str, display: Display, options: dict[str, Any]
) -> tuple[Callable[[_Side, _Side, np.ndarray], Any], list[str]]:
    """Return the metric as a function of two sides and pairs, and the names of its scores."""
    function = getattr(metrics, metric)
    if metric in _ON_LABELS:
        return lambda a, b, pairs: function(_labels(a), _labels(b), pairs=pairs, **options), [metric]
    if metric == "scasim":
        options = {"geometry": display.geometry, **options}
        return lambda a, b, pairs: function(_degrees(a), _degrees(b), pairs=pairs, **options), [metric]
    px_per_deg = display.px_per_deg
    if "merge_length" in options:
        fail("merge_length", "given in degrees", options["merge_length"], "Pass merge_length_deg=.", TypeError)
    if "merge_length_deg" in options:
        options = {**options, "merge_length": options["merge_length_deg"] * px_per_deg}
        del options["merge_length_deg"]
    if metric == "time_delay_embedding":
        return lambda a, b, p: function(_pixels(a, display), _pixels(b, display), pairs=p, **options) / px_per_deg, [
            metric
        ]
    names = list(metrics.MULTIMATCH_DIMENSIONS) if metric == "multimatch" else [metric]
    options = {"screen": display.resolution_px, **options}
    return lambda a, b, pairs: function(_pixels(a, display), _pixels(b, display), pairs=pairs, **options), names


def _pixels(side: _Side, display: Display) -> list[np.ndarray]:
    """Return paths (n, 3) in pixels from the screen's corner, so that the screen spans 0 to its size."""
    return [
        np.column_stack((np.asarray(display.to_px(path)) + 0.5, time))
        for path, time in zip(side.paths, _times(side), strict=True)
    ]


def _degrees(side: _Side) -> list[np.ndarray]:
    return [np.column_stack((path, time)) for path, time in zip(side.paths, _times(side), strict=True)]


def _times(side: _Side) -> list[np.ndarray]:
    return [time[:n] for time, n in zip(side.paths.duration_s, side.paths.lengths, strict=True)]


def _labels(side: _Side) -> list[np.ndarray]:
    if side.labels is None:
        fail("labels", "read", None)
    return [row[:n] for row, n in zip(side.labels, side.paths.lengths, strict=True)]
