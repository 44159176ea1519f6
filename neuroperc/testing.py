"""Hypothesis strategies for this package's data, and assertions that every vectorised function should pass.

For your own tests of models, metrics and readers. Strategies need hypothesis
(``pip install neuroperc[test]``), which the first one imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ._check import check, fail
from .data.fixations import make_fixations, make_gaze, make_trials
from .data.responses import make_responses
from .data.stimuli import StimulusSet
from .display import Display

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "assert_batch_equals_loop",
    "assert_numpy_equals_torch",
    "displays",
    "gaze",
    "images",
    "response_arrays",
    "responses",
    "stimulus_sets",
    "trials_and_fixations",
]


def displays(*, max_side_px: int = 64) -> SearchStrategy[Display]:
    """Strategy for monitors of both geometries, with sizes from 8 px up to `max_side_px`.

    Examples
    --------
    >>> strategy = displays(max_side_px=32)  # then: @given(strategy)
    """
    st = _strategies()
    sides = st.integers(8, max_side_px)
    resolutions = st.tuples(sides, sides)
    metres = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1))
    simple = st.builds(Display.from_px_per_deg, st.floats(1, 60), resolution_px=resolutions)
    geometry = st.sampled_from(["tangent", "small_angle"])
    full: SearchStrategy[Display] = simple | st.builds(
        Display, resolutions, metres, st.floats(0.3, 2), geometry=geometry
    )
    return full


def images(
    display: Display, *, n: int = 2, channels: int = 3, dtype: torch.dtype = torch.float32
) -> SearchStrategy[torch.Tensor]:
    """Strategy for linear-light pictures (n, channels, h, w) in [0, 1] that fill the display: noise, ramps, flat ones.

    Examples
    --------
    >>> strategy = images(Display.from_px_per_deg(8, resolution_px=(16, 16)), n=1)
    """
    st = _strategies()
    shape = (n, channels, *display.resolution_px)

    def make(seed: int, kind: str) -> torch.Tensor:
        rng = np.random.default_rng(seed)
        values = rng.random((*shape[:2], 1, 1)) + np.zeros(shape)
        if kind == "noise":
            values = rng.random(shape)
        elif kind == "ramp":
            values = values * np.linspace(0, 1, shape[3])
        return torch.as_tensor(values, dtype=dtype)

    return st.builds(make, _seeds(), st.sampled_from(["noise", "ramp", "flat"]))


def stimulus_sets(*, max_n: int = 4, max_side_px: int = 32) -> SearchStrategy[StimulusSet]:
    """Strategy for sets of pictures in memory, on any display, in both encodings.

    Examples
    --------
    >>> strategy = stimulus_sets(max_n=2)
    """
    st = _strategies()

    def on(display: Display) -> SearchStrategy[StimulusSet]:
        pictures = st.integers(1, max_n).flatmap(lambda n: images(display, n=n))
        encodings = st.sampled_from(["linear", "srgb"])
        return st.builds(StimulusSet.from_arrays, pictures, display=st.just(display), encoding=encodings)

    return displays(max_side_px=max_side_px).flatmap(on)


def response_arrays(*, n_stimuli: int = 12, n_neuroids: int = 5) -> SearchStrategy[np.ndarray]:
    """Strategy for float64 arrays (n_stimuli, n_neuroids): normal, offset, skewed, or whole counts with ties.

    Examples
    --------
    >>> strategy = response_arrays(n_stimuli=8)
    """
    st = _strategies()
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "normal": lambda x: x,
        "offset": lambda x: 0.1 * x + 20,
        "skewed": lambda x: np.exp(x),
        "counts": lambda x: np.round(np.abs(3 * x)),
    }

    def make(seed: int, kind: str) -> np.ndarray:
        return kinds[kind](np.random.default_rng(seed).normal(size=(n_stimuli, n_neuroids)))

    return st.builds(make, _seeds(), st.sampled_from(sorted(kinds)))


def responses(*, max_stimuli: int = 8, max_repeats: int = 4, max_neuroids: int = 5) -> SearchStrategy[xr.DataArray]:
    """Strategy for Responses with repeats, rows in random order, and some repeats missing.

    Examples
    --------
    >>> strategy = responses(max_repeats=2)
    """
    st = _strategies()

    def make(seed: int, n_stimuli: int, n_repeats: int, n_neuroids: int) -> xr.DataArray:
        rng = np.random.default_rng(seed)
        stimulus, repetition = (a.ravel() for a in np.mgrid[:n_stimuli, :n_repeats])
        # Every stimulus keeps its first repeat; of the others a quarter was not run.
        kept = rng.permutation(np.flatnonzero((repetition == 0) | (rng.random(stimulus.size) < 0.75)))
        signal = rng.normal(size=(n_stimuli, n_neuroids))[stimulus[kept]]
        return make_responses(
            signal + rng.normal(size=signal.shape),
            stimulus_id=[f"s{i}" for i in stimulus[kept]],
            repetition=repetition[kept],
            units="Hz",
            source="made",
        )

    counts = (st.integers(1, most) for most in (max_stimuli, max_repeats, max_neuroids))
    return st.builds(make, _seeds(), *counts)


def trials_and_fixations(*, max_trials: int = 5) -> SearchStrategy[tuple[pd.DataFrame, pd.DataFrame]]:
    """Strategy for a Trials and its Fixations, with empty, timed-out and off-screen trials among them.

    Examples
    --------
    >>> strategy = trials_and_fixations(max_trials=3)
    """
    st = _strategies()

    def make(seed: int, display: Display, counts: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
        rng = np.random.default_rng(seed)
        late = rng.random(len(counts)) < 0.3
        trial = np.arange(len(counts))
        rt_s = np.where(late, np.nan, rng.uniform(0.2, 3, len(counts)))
        stimuli = [f"s{i}" for i in trial]
        trials = make_trials(trial, subject="p1", stimulus_id=stimuli, rt_s=rt_s, found=[bool(x) for x in ~late])
        height, width = display.extent_deg
        points = rng.uniform(-0.7, 0.7, (sum(counts), 2)) * (width, height)
        order = np.concatenate([np.arange(n) for n in counts])
        onset_s = 0.25 * order
        fixations = make_fixations(
            points, trial=np.repeat(trial, counts), fixation=order, subject="p1", onset_s=onset_s,
            duration_s=rng.uniform(0.1, 0.25, len(order)), display=display,
        )  # fmt: skip
        return trials, fixations

    counts = st.lists(st.integers(0, 5), min_size=1, max_size=max_trials)
    return st.builds(make, _seeds(), displays(), counts)


def gaze(*, sampling_hz: float = 500.0, max_samples: int = 200) -> SearchStrategy[pd.DataFrame]:
    """Strategy for the Gaze of one trial: fixations with jumps between them, tremor, and runs of lost samples.

    Examples
    --------
    >>> strategy = gaze(sampling_hz=1000.0)
    """
    st = _strategies()
    check(sampling_hz > 0, "sampling_hz", "above 0", sampling_hz)

    def make(seed: int, n: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        places = rng.uniform(-8, 8, (1 + n // 50, 2))
        points = places[np.arange(n) // 50] + 0.02 * rng.normal(size=(n, 2))
        start = int(rng.integers(n))
        points[start : start + int(rng.integers(0, 20))] = np.nan
        return make_gaze(points, time_s=np.arange(n) / sampling_hz, trial=0, subject="p1", eye="left")

    return st.builds(make, _seeds(), st.integers(2, max_samples))


def assert_numpy_equals_torch(
    function: Callable[..., Any], *arrays: np.ndarray, rtol: float = 1e-10, atol: float = 1e-12
) -> None:
    """Assert that a function gives tensors for tensors, with the numbers that it gives for NumPy.

    Raises
    ------
    AssertionError
        When the numbers differ, or the answer to tensors is not a tensor.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc.metrics import pearson
    >>> assert_numpy_equals_torch(pearson, np.array([1., 2., 4.]), np.array([1., 2., 3.]))
    """
    expected = function(*arrays)
    found = function(*(torch.as_tensor(a) for a in arrays))
    if not isinstance(found, torch.Tensor):
        raise AssertionError(f"tensors went in, {type(found).__name__} came out")
    np.testing.assert_allclose(found.detach().cpu().numpy(), expected, rtol=rtol, atol=atol)


def assert_batch_equals_loop(
    function: Callable[..., Any], *batches: Any, rtol: float = 1e-6, atol: float = 1e-8
) -> None:
    """Assert that a function of batches (b, ...) gives what it gives for the items one by one, as batches of one.

    Raises
    ------
    AssertionError
        When an item's answer depends on its neighbours in the batch.

    Examples
    --------
    >>> import torch
    >>> assert_batch_equals_loop(lambda x: x.mean((1, 2, 3)), torch.rand(3, 1, 4, 4))
    """
    whole = np.asarray(function(*batches))
    loop = [np.asarray(function(*(b[i : i + 1] for b in batches))) for i in range(len(batches[0]))]
    np.testing.assert_allclose(whole, np.concatenate(loop), rtol=rtol, atol=atol)


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError:
        fail("hypothesis", "installed for neuroperc.testing", "no such package",
             "Run: pip install 'neuroperc[test]'.", ImportError)  # fmt: skip
    return strategies


def _seeds() -> Any:
    return _strategies().integers(0, 2**32 - 1)
