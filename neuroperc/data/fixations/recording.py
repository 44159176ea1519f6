"""`EyeRecording`: the tables of one eye tracker's file together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..._check import positive
from ...display import Display
from .tables import check_fixations, check_gaze, check_trials

EVENT_COLUMNS = (
    "kind", "eye", "onset_s", "duration_s", "x_deg", "y_deg", "end_x_deg", "end_y_deg", "amplitude_deg",
    "peak_velocity_deg_s", "pupil",
)  # fmt: skip


def empty_events() -> pd.DataFrame:
    """Return an events table without rows."""
    columns = {name: pd.Series([], dtype=np.float64) for name in EVENT_COLUMNS}
    return pd.DataFrame(columns | {name: pd.Series([""]).iloc[:0] for name in ("kind", "eye")})


def empty_messages() -> pd.DataFrame:
    """Return a messages table without rows."""
    return pd.DataFrame({"time_s": np.empty(0), "text": pd.Series([""]).iloc[:0]})


@dataclass(frozen=True)
class EyeRecording:
    """What an eye tracker's file holds, in degrees and seconds.

    Parameters
    ----------
    gaze, fixations, trials
        Tables of their schemas. Times are seconds after each trial's onset; `trials` also has `onset_s` and
        `duration_s`, seconds on the tracker's clock. Gaze outside any trial has trial -1.
    display
        The screen on which they were recorded.
    sampling_hz
        Samples a second.
    events
        Fixations, saccades and blinks as the tracker reported them, on its own clock.
    messages
        `time_s` on the tracker's clock and `text`.
    info
        What else the file says.

    Raises
    ------
    TypeError, ValueError
        When a table does not obey its schema, or a fixation belongs to no trial.

    Examples
    --------
    >>> from neuroperc.data import make_fixations, make_gaze, make_trials
    >>> screen = Display.from_px_per_deg(32, resolution_px=(512, 512))
    >>> samples = make_gaze([[0.1, 0.2]] * 3, time_s=[0, 0.002, 0.004], trial=0, eye="left")
    >>> held = make_fixations([[0.1, 0.2]], trial=0, fixation=0, eye="left", display=screen)
    >>> recording = EyeRecording(samples, held, make_trials([0], onset_s=[12.5]), screen, 500.0)
    >>> len(recording.gaze), recording.trials["onset_s"].tolist()
    (3, [12.5])
    """

    gaze: pd.DataFrame
    fixations: pd.DataFrame
    trials: pd.DataFrame
    display: Display
    sampling_hz: float
    events: pd.DataFrame = field(default_factory=empty_events)
    messages: pd.DataFrame = field(default_factory=empty_messages)
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the tables against their schemas and against one another."""
        positive("sampling_hz", self.sampling_hz)
        object.__setattr__(self, "gaze", check_gaze(self.gaze))
        object.__setattr__(self, "trials", check_trials(self.trials))
        object.__setattr__(self, "fixations", check_fixations(self.fixations, self.trials))
