"""Every writer's file gives the tables back: empty, timed-out and off-screen trials too."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroperc as npc
from neuroperc.data import EyeRecording, make_fixations, make_gaze, make_trials

DISPLAY = npc.Display((600, 800), (0.3, 0.4), 0.6)
RATE_HZ = 500.0
WORDS = st.text(st.characters(categories=("L", "N"), include_characters=" -"), max_size=8).map(str.strip)
maybe = st.none() | st.booleans()


@st.composite
def experiments(draw):
    """Trials of one person, each with 0 to 4 fixations of one eye, on and off the screen, and gaze or none."""
    n = draw(st.integers(1, 4))
    columns = {
        "subject": "07",
        "session": draw(st.sampled_from(["", "b2"])),
        "stimulus_id": [f"pic{k}.jpg" for k in range(n)],
        "condition": draw(st.lists(WORDS, min_size=n, max_size=n)),
        "set_size": draw(st.lists(st.none() | st.integers(0, 40), min_size=n, max_size=n)),
        "target_present": draw(st.lists(maybe, min_size=n, max_size=n)),
        "response": draw(st.lists(WORDS, min_size=n, max_size=n)),
        "correct": draw(st.lists(maybe, min_size=n, max_size=n)),
        "rt_s": draw(
            st.lists(st.just(np.nan) | st.integers(0, 9000).map(lambda ms: ms / 1000), min_size=n, max_size=n)
        ),
        "found": draw(st.lists(maybe, min_size=n, max_size=n)),
        "excluded": draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        "reason": draw(st.lists(WORDS, min_size=n, max_size=n)),
    }
    numbers = draw(st.lists(st.integers(0, 99), min_size=n, max_size=n, unique=True))
    trials = make_trials(numbers, **columns, onset_s=[10.0 * k + 5 for k in range(n)], duration_s=[5.0] * n)
    fixations, gaze = [], []
    degree = st.floats(-24, 24).map(lambda v: round(v, 3))  # the screen reaches 18.4 and 14.0 degrees
    for number in numbers:
        places = draw(st.lists(st.tuples(degree, degree), max_size=4))
        k = len(places)
        steps = draw(st.lists(st.integers(2, 100), min_size=2 * k, max_size=2 * k))
        edges = np.cumsum([0, *steps]) / RATE_HZ
        key = {"subject": "07", "session": columns["session"], "trial": number}
        objects = draw(st.lists(st.none() | st.integers(0, 9), min_size=k, max_size=k))
        path = dict(
            fixation=np.arange(k), onset_s=edges[: 2 * k : 2], duration_s=np.diff(edges)[::2], object_id=objects
        )
        fixations.append(make_fixations(places, **key, **path, eye="left", display=DISPLAY))
        m = draw(st.integers(0, 6))
        lost = draw(st.lists(st.booleans(), min_size=m, max_size=m))
        samples = np.array([draw(st.tuples(degree, degree)) if not gone else (np.nan, np.nan) for gone in lost])
        pupil = np.where(lost, np.nan, 1000.0)
        gaze.append(make_gaze(samples, time_s=np.arange(m) / RATE_HZ, eye="left", pupil=pupil, **key))
    join = lambda tables: pd.concat(tables, ignore_index=True)  # noqa: E731
    return EyeRecording(join(gaze), join(fixations), trials, DISPLAY, RATE_HZ)


def same(ours, theirs, columns, keys, atol=1e-6):
    a, b = (t[list(columns)].sort_values(list(keys)).reset_index(drop=True) for t in (ours, theirs))
    pd.testing.assert_frame_equal(a, b, rtol=0, atol=atol, check_exact=False)


def same_counts(fixations, trials, recording):
    """What matters in the end: each trial's number of fixations, in all and on the screen."""
    order = trials.set_index("trial").index.get_indexer(recording.trials["trial"])
    for on in (False, True):
        wanted = npc.data.n_fixations(recording.fixations, recording.trials, on_screen=on)
        found = npc.data.n_fixations(fixations, trials, on_screen=on)
        assert found.to_numpy()[order].tolist() == wanted.tolist()


def columns_of(table, without=()):
    return [name for name in table if name not in without]


KEYS = ["subject", "session", "trial"]
TRIALS = list(npc.data.TRIAL_COLUMNS)
few = settings(max_examples=8, deadline=None)


@few
@given(experiments())
def test_eyelink(recording):
    with tempfile.TemporaryDirectory() as folder:
        path = npc.data.write_eyelink(recording, Path(folder) / "r.asc", decimals=6)
        back = npc.data.read_eyelink(path, display=DISPLAY)
    same(back.trials, recording.trials, [*TRIALS, "onset_s", "duration_s"], KEYS)
    fixations = columns_of(recording.fixations, ("object_id",))
    same(back.fixations, recording.fixations, fixations, [*KEYS, "fixation"], atol=1e-5)
    same(back.gaze, recording.gaze, columns_of(recording.gaze), ["trial", "time_s"], atol=1e-5)
    same_counts(back.fixations, back.trials, recording)


@few
@given(experiments())
def test_bids(recording):
    with tempfile.TemporaryDirectory() as folder:
        npc.data.write_bids_gaze(recording, folder, task="search")
        back = npc.data.read_bids_gaze(folder)
    assert back.display == DISPLAY
    same(back.trials, recording.trials, [*TRIALS, "onset_s", "duration_s"], KEYS)
    same(back.fixations, recording.fixations, columns_of(recording.fixations), [*KEYS, "fixation"])
    same(back.gaze, recording.gaze, columns_of(recording.gaze), ["trial", "time_s"])
    same_counts(back.fixations, back.trials, recording)


@pytest.mark.parametrize("form", ["coco_search", "visions"])
@few
@given(recording=experiments())
def test_json_scanpaths(form, recording):
    write, read = getattr(npc.data, f"write_{form}"), getattr(npc.data, f"read_{form}")
    with tempfile.TemporaryDirectory() as folder:
        path = write(recording.fixations, recording.trials, Path(folder) / "r.json", display=DISPLAY)
        fixations, trials = read(path, display=DISPLAY)
    same(trials, recording.trials, [*TRIALS, "onset_s", "duration_s"], KEYS)
    assert trials["trial"].tolist() == recording.trials["trial"].tolist()
    same(fixations, recording.fixations, columns_of(recording.fixations), [*KEYS, "fixation"])
    same_counts(fixations, trials, recording)


@few
@given(experiments())
def test_fixation_vectors(recording):
    with tempfile.TemporaryDirectory() as folder:
        npc.data.write_fixation_vectors(recording.fixations, recording.trials, folder, display=DISPLAY)
        fixations, trials = npc.data.read_fixation_vectors(folder, display=DISPLAY)
    same(trials, recording.trials, TRIALS, KEYS)
    kept = columns_of(recording.fixations, ("onset_s", "eye", "object_id"))
    same(fixations, recording.fixations, kept, [*KEYS, "fixation"])
    same_counts(fixations, trials, recording)
