"""PerceivedFlow: what people reported to see moving, probe by probe, beside the true motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from .._check import check, fail, finite, one_of


@dataclass(frozen=True, eq=False)
class PerceivedFlow:
    """Velocities that people reported at probes of movies, with the true ones.

    Velocities are (vx, vy), y up, in pixels per frame.

    Parameters
    ----------
    name
        Of the data set.
    table
        A row a probe, with the columns ``movie`` (probes of one movie are resampled together) and ``subset`` (what is
        reported apart, such as a data set or a kind of modulation). ``x_px`` and ``y_px``, where known, are counted from
        the centre of the top-left pixel, y down, as in pictures.
    human, truth
        (n, 2) mean response, and truth.
    trials
        (k, n, 2) single responses, NaN where there is none; None when only means are known.
    observer
        (k,) who made each trial.
    models
        Predictions that came with the data, name to (n, 2).
    note
        What is not documented, and what was left out.
    v_on_disk
        Whether v was "down" or "up" in the files. Velocities here are up in any case, but a correlation that pools u and
        v changes with the sign of v, and published ones are those of the files.

    Raises
    ------
    ValueError
        When shapes differ, a column is missing, or human, truth or a prediction is not finite.

    Examples
    --------
    >>> import numpy as np, pandas as pd, neuroperc as npc
    >>> table = pd.DataFrame({"movie": ["a", "a", "b"], "subset": "all"})
    >>> npc.data.PerceivedFlow("made", table, human=np.ones((3, 2)), truth=np.ones((3, 2)))
    <PerceivedFlow 'made': 3 probes, 2 movies>
    """

    name: str
    table: pd.DataFrame
    human: np.ndarray
    truth: np.ndarray
    trials: np.ndarray | None = None
    observer: np.ndarray | None = None
    models: Mapping[str, np.ndarray] = field(default_factory=dict)
    note: str = ""
    v_on_disk: Literal["down", "up"] = "down"

    def __post_init__(self) -> None:
        """Check that everything fits."""
        missing = [c for c in ("movie", "subset") if c not in self.table]
        check(not missing, "table", "with the columns movie and subset", f"no {', '.join(missing)}")
        one_of("v_on_disk", self.v_on_disk, ("down", "up"))
        n = len(self.table)
        check(n > 0, "table", "of one probe or more", "none")
        flows = {"human": self.human, "truth": self.truth} | {f"models[{k!r}]": v for k, v in self.models.items()}
        for name, values in flows.items():
            as_flow(name, values, n)
        if self.trials is not None:
            shape = np.shape(self.trials)
            check(shape[1:] == (n, 2), "trials", f"of shape (k, {n}, 2)", shape)
            check(self.observer is not None and np.shape(self.observer) == shape[:1], "observer",
                  f"a label for each of the {shape[0]} trials", np.shape(self.observer))  # fmt: skip

    def __len__(self) -> int:
        """Return the number of probes."""
        return len(self.table)

    def __repr__(self) -> str:
        """Show the size."""
        return f"<PerceivedFlow {self.name!r}: {len(self)} probes, {self.table['movie'].nunique()} movies>"

    def as_on_disk(self, flow: np.ndarray) -> np.ndarray:
        """Return velocities with the sign of v of the files."""
        return np.asarray(flow, dtype=np.float64) * np.array([1.0, 1.0 if self.v_on_disk == "up" else -1.0])

    def select(self, rows: np.ndarray) -> PerceivedFlow:
        """Return the probes of a boolean mask or of positions."""
        at = np.arange(len(self))[np.asarray(rows)]
        return PerceivedFlow(
            self.name, self.table.iloc[at], self.human[at], self.truth[at],
            None if self.trials is None else self.trials[:, at], self.observer,
            {name: values[at] for name, values in self.models.items()}, self.note, self.v_on_disk,
        )  # fmt: skip


def as_flow(name: str, values: object, n: int) -> np.ndarray:
    """Return (n, 2) velocities in float64; raise for another shape, NaN or infinity."""
    detached = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        array = np.asarray(detached, dtype=np.float64)
    except (TypeError, ValueError):
        fail(name, f"numbers of shape ({n}, 2)", type(values).__name__, error=TypeError)
    check(array.shape == (n, 2), name, f"of shape ({n}, 2), (vx, vy up) of every probe", f"shape {array.shape}")
    finite(name, array, "A model must answer at every probe.")
    return array
