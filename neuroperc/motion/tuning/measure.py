"""Show gratings, plaids and illusions to a model and describe what its units answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from ..._check import as_rng, check, fail, finite, integer, non_negative
from ...data import StimulusSet
from ...display import Display
from ...stimuli import Shown, gratings, phi_motion, plaids, second_order
from .analysis import (
    contrast_statistics,
    direction_statistics,
    opponent_index,
    plaid_statistics,
    speed_statistics,
)

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Tuning:
    """What units answered, and its description.

    Attributes
    ----------
    table
        A row a unit: see the function that made it.
    responses
        Name of the stimuli to an array (repeat, condition, ..., unit).
    conditions
        Name to the values along the axes of the conditions.
    blank
        (unit,) response to the uniform background.

    Examples
    --------
    >>> Tuning(pd.DataFrame(), {}, {}, np.zeros(2)).blank
    array([0., 0.])
    """

    table: pd.DataFrame
    responses: dict[str, np.ndarray]
    conditions: dict[str, np.ndarray]
    blank: np.ndarray


def respond(model: Model, stimuli: StimulusSet, *, skip_s: float = 0.0, batch_size: int = 8) -> np.ndarray:
    """Return what each unit answers to each movie, averaged over time.

    Parameters
    ----------
    model
        Any callable from movies (batch, time, 1, h, w), linear light, to (batch, time, unit) or (batch, unit). Its
        attribute ``fps``, if it has one, must be that of the movies.
    stimuli
        Movies of one size.
    skip_s
        Time at the beginning of the answer that is left out.
    batch_size
        Movies at a time.

    Returns
    -------
    numpy.ndarray
        (stimulus, unit), float64.

    Raises
    ------
    ValueError
        For pictures, another fps, answers of another shape or with NaN, or nothing left after `skip_s`.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> movies = npc.stimuli.gratings(display, sf_cpd=1, tf_hz=[2, 4])
    >>> respond(lambda m: m.mean((2, 3, 4))[..., None], movies).round(3)
    array([[0.5],
           [0.5]])
    """
    fps = stimuli.fps
    if fps is None:
        fail("stimuli", "movies", "pictures", "Use the generators of neuroperc.stimuli.")
    own = getattr(model, "fps", None)
    same = own is None or abs(own - fps) < 1e-6 * fps
    check(same, "stimuli", f"movies of the {own} frames per second of the model", fps, "Make them with fps=.")
    skip = round(non_negative("skip_s", skip_s) * fps)
    size, answers = integer("batch_size", batch_size), []
    for start in range(0, len(stimuli), size):
        movies = torch.stack([stimuli[i] for i in range(start, min(start + size, len(stimuli)))])
        with torch.no_grad():
            answer = model(movies)
        tensor = isinstance(answer, Tensor) and answer.ndim in (2, 3) and len(answer) == len(movies)
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        check(tensor, "model", "a callable that returns (batch, time, unit) or (batch, unit)", got)
        if answer.ndim == 3:
            check(answer.shape[1] > skip, "skip_s", f"shorter than the answer of {answer.shape[1]} frames", skip_s)
            answer = answer[:, skip:].mean(1)
        answers.append(answer.double().cpu().numpy())
    made = np.concatenate(answers)
    finite("the model's answer (stimulus, unit)", made)
    return made


def direction_tuning(
    model: Model, display: Display, *, sf_cpd: float, tf_hz: float, n_directions: int = 12, contrast: float = 0.5,
    n_phases: int = 4, skip_s: float = 0.0, batch_size: int = 8, level: float = 0.95,
    rng: int | np.random.Generator, **shown: Unpack[Shown],
) -> Tuning:  # fmt: skip
    """Measure direction tuning with gratings.

    Parameters
    ----------
    model
        See `respond`.
    display
        The monitor.
    sf_cpd, tf_hz, contrast
        Of the gratings.
    n_directions
        Evenly spaced, from rightward.
    n_phases
        Repeats, each with random starting phases.
    skip_s, batch_size
        As in `respond`.
    level
        Of the intervals over repeats.
    rng
        Seed or generator of the phases.
    **shown
        Size, place, time, background and aperture: see `neuroperc.stimuli.Shown`.

    Returns
    -------
    Tuning
        ``table`` of `direction_statistics`.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> energy = npc.motion.MotionEnergy(display, fps=60, sf_cpd=(1.0,))
    >>> found = direction_tuning(energy, display, sf_cpd=1, tf_hz=4, n_directions=8, n_phases=1, rng=0)
    >>> (found.table.preferred_deg.round() % 360).tolist()
    [0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0]
    """
    directions = np.arange(integer("n_directions", n_directions, minimum=4)) * 360.0 / n_directions
    made = _repeated(model, n_phases, rng, skip_s, batch_size, lambda g: gratings(
        display, sf_cpd=sf_cpd, tf_hz=tf_hz, direction_deg=directions, contrast=contrast, phase_deg="random", rng=g,
        **shown))  # fmt: skip
    blank = _blank(model, display, skip_s, shown)
    table = direction_statistics(made, directions, blank=blank, level=level)
    return Tuning(table, {"gratings": made}, {"direction_deg": directions}, blank)


def plaid_tuning(
    model: Model, display: Display, *, sf_cpd: float, tf_hz: float, n_directions: int = 24, contrast: float = 1.0,
    angle_deg: float = 120.0, n_phases: int = 4, skip_s: float = 0.0, batch_size: int = 8, level: float = 0.95,
    rng: int | np.random.Generator, **shown: Unpack[Shown],
) -> Tuning:  # fmt: skip
    """Classify units as pattern or component with gratings and the plaids that they make.

    A plaid has two gratings of half the contrast, `angle_deg` apart. Parameters otherwise as in `direction_tuning`.

    Returns
    -------
    Tuning
        ``table`` of `plaid_statistics`; ``responses`` to "gratings" and "plaids".

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(40, 40))
    >>> model = npc.motion.SimoncelliHeeger(stage="v1")
    >>> found = plaid_tuning(model, display, sf_cpd=1.2, tf_hz=9, n_directions=12, n_phases=1, duration_s=0.25, rng=0)
    >>> bool((found.table.kind == "component").mean() > 0.9)
    True
    """
    directions = np.arange(integer("n_directions", n_directions, minimum=4)) * 360.0 / n_directions
    generator = as_rng(rng)
    kind: dict[str, Any] = {"sf_cpd": sf_cpd, "tf_hz": tf_hz, "direction_deg": directions, "phase_deg": "random"}
    offsets = (-angle_deg / 2, angle_deg / 2)
    single = _repeated(model, n_phases, generator, skip_s, batch_size,
                       lambda g: gratings(display, contrast=contrast, rng=g, **kind, **shown))  # fmt: skip
    double = _repeated(model, n_phases, generator, skip_s, batch_size, lambda g: plaids(
        display, component_contrast=contrast / 2, component_offsets_deg=offsets, rng=g, **kind, **shown))  # fmt: skip
    blank = _blank(model, display, skip_s, shown)
    table = plaid_statistics(single, double, directions, blank=blank, angle_deg=angle_deg, level=level)
    return Tuning(table, {"gratings": single, "plaids": double}, {"direction_deg": directions}, blank)


def frequency_tuning(
    model: Model, display: Display, *, sf_cpd: Sequence[float], tf_hz: Sequence[float], direction_deg: float = 0.0,
    contrast: float = 0.5, n_phases: int = 4, skip_s: float = 0.0, batch_size: int = 8, level: float = 0.95,
    rng: int | np.random.Generator, **shown: Unpack[Shown],
) -> Tuning:  # fmt: skip
    """Measure the map of spatial by temporal frequency, its separability, and speed tuning.

    Parameters as in `direction_tuning`, with lists of frequencies.

    Returns
    -------
    Tuning
        ``table`` of `speed_statistics`; ``responses["gratings"]`` is (repeat, sf, tf, unit).

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(16, resolution_px=(64, 64))
    >>> energy = npc.motion.MotionEnergy(display, fps=60, sf_cpd=(2.0,), tf_hz=(4.0,), time="gabor", n_directions=4)
    >>> found = frequency_tuning(energy, display, sf_cpd=[1, 1.5, 2, 3, 4], tf_hz=[2, 3, 4, 6, 8], n_phases=1, rng=0)
    >>> found.table.kind[0], bool(found.table.separability[0] > 0.99)
    ('separable', True)
    """
    f, w = (np.asarray(v, dtype=float) for v in (sf_cpd, tf_hz))
    made = _repeated(model, n_phases, rng, skip_s, batch_size, lambda g: gratings(
        display, sf_cpd=f, tf_hz=w, direction_deg=direction_deg, contrast=contrast, phase_deg="random", rng=g,
        **shown))  # fmt: skip
    maps = made.reshape(len(made), len(f), len(w), -1)
    blank = _blank(model, display, skip_s, shown)
    table = speed_statistics(maps, f, w, blank=blank, level=level)
    return Tuning(table, {"gratings": maps}, {"sf_cpd": f, "tf_hz": w}, blank)


def contrast_tuning(
    model: Model, display: Display, *, sf_cpd: float, tf_hz: float, direction_deg: float = 0.0,
    contrast: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8), n_phases: int = 4, skip_s: float = 0.0,
    batch_size: int = 8, level: float = 0.95, rng: int | np.random.Generator, **shown: Unpack[Shown],
) -> Tuning:  # fmt: skip
    """Measure contrast response functions.

    Parameters as in `direction_tuning`, with a list of contrasts.

    Returns
    -------
    Tuning
        ``table`` of `contrast_statistics`.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(40, 40))
    >>> model = npc.motion.SimoncelliHeeger()
    >>> found = contrast_tuning(model, display, sf_cpd=1.23, tf_hz=9.2, n_phases=1, duration_s=0.25, rng=0)
    >>> bool(0.03 < found.table.c50[1] < 0.07)
    True
    """
    c = np.asarray(contrast, dtype=float)
    made = _repeated(model, n_phases, rng, skip_s, batch_size, lambda g: gratings(
        display, sf_cpd=sf_cpd, tf_hz=tf_hz, direction_deg=direction_deg, contrast=c, phase_deg="random", rng=g,
        **shown))  # fmt: skip
    table = contrast_statistics(made, c, level=level)
    return Tuning(table, {"gratings": made}, {"contrast": c}, _blank(model, display, skip_s, shown))


def illusions(
    model: Model, display: Display, *, unit_direction_deg: Any, sf_cpd: float, step_deg: float, direction_deg: float = 0.0,
    hold_frames: int = 1, contrast: float = 0.5, n_repeats: int = 4, skip_s: float = 0.0, batch_size: int = 8,
    level: float = 0.95, rng: int | np.random.Generator, **shown: Unpack[Shown],
) -> pd.DataFrame:  # fmt: skip
    """Measure the opponent index of an energy model for stimuli that people see move in a known direction.

    Phi and reverse-phi of random checks; a square wave and a missing fundamental in quarter-cycle steps; a
    contrast modulation of dynamic noise, which people see and first-order energy does not.

    Parameters
    ----------
    model
        See `respond`; its units must be energies (0 or more).
    display
        The monitor.
    unit_direction_deg
        (unit,) direction of each unit, NaN for none.
    sf_cpd
        Of the waves and of the modulation, which drifts as fast as the steps, on average.
    step_deg
        Jump and size of the checks of phi, whole pixels.
    direction_deg
        Of the motion: 0, 90, 180 or 270.
    hold_frames
        Frames between steps.
    contrast
        Of everything.
    n_repeats
        Repeats with new checks, phases and noise.
    skip_s, batch_size, level, rng, **shown
        As in `direction_tuning`.

    Returns
    -------
    pandas.DataFrame
        A row a stimulus: ``index``, its mean, ``low`` and ``high`` over repeats (Student's t), and ``seen``, the
        direction that people see (1 forward, -1 backward).

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    >>> energy = npc.motion.MotionEnergy(display, fps=60, sf_cpd=(1.0, 2.0), tf_hz=(4.0, 8.0))
    >>> found = illusions(energy, display, unit_direction_deg=energy.filters.direction_deg, sf_cpd=0.5, step_deg=0.25,
    ...                   hold_frames=2, n_repeats=3, rng=0)
    >>> bool(found.loc["phi", "low"] > 0), bool(found.loc["reverse_phi", "high"] < 0)
    (True, True)
    """
    generator = as_rng(rng)
    fps = shown.get("fps", display.refresh_hz)
    moved: dict[str, Any] = {"direction_deg": direction_deg, "contrast": contrast}
    steps = {**moved, "sf_cpd": sf_cpd, "motion": "step", "hold_frames": hold_frames, "phase_deg": "random"}
    jumps = {**moved, "step_deg": step_deg, "check_deg": step_deg, "hold_frames": hold_frames}
    kinds: dict[str, tuple[int, Callable[[np.random.Generator], StimulusSet]]] = {
        "phi": (1, lambda g: phi_motion(display, **jumps, rng=g, **shown)),
        "reverse_phi": (-1, lambda g: phi_motion(display, **jumps, reverse=True, rng=g, **shown)),
        "square": (1, lambda g: gratings(display, waveform="square", **steps, rng=g, **shown)),
        "missing_fundamental": (-1, lambda g: gratings(display, waveform="missing_fundamental", **steps, rng=g, **shown)),
        "contrast_modulated": (1, lambda g: second_order(
            display, sf_cpd=sf_cpd, tf_hz=fps / hold_frames / 4, **moved, rng=g, **shown)),
    }  # fmt: skip
    rows = {}
    for name, (seen, make) in kinds.items():
        answers = _repeated(model, n_repeats, generator, skip_s, batch_size, make)[:, 0]
        index = opponent_index(answers, unit_direction_deg, direction_deg=direction_deg)
        n = len(index)
        reach = stats.t.ppf((1 + level) / 2, n - 1) * index.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        rows[name] = {"index": index.mean(), "low": index.mean() - reach, "high": index.mean() + reach, "seen": seen}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="stimulus")


def _repeated(
    model: Model, n: int, rng: int | np.random.Generator, skip_s: float, batch_size: int,
    make: Callable[[np.random.Generator], StimulusSet],
) -> np.ndarray:  # fmt: skip
    generator = as_rng(rng)
    repeats = range(integer("n_phases", n))
    return np.stack([respond(model, make(generator), skip_s=skip_s, batch_size=batch_size) for _ in repeats])


def _blank(model: Model, display: Display, skip_s: float, shown: Any) -> np.ndarray:
    """Return the response to the background, shown as long and as large as the stimuli."""
    like = gratings(display, sf_cpd=display.nyquist_cpd / 4, contrast=1e-6, **shown)
    flat = torch.full_like(like[0], shown.get("background", 0.5))[None]
    with torch.no_grad():
        answer = model(flat)
    if answer.ndim == 3:
        answer = answer[:, round(skip_s * float(like.fps or 1)) :].mean(1)
    return answer[0].double().cpu().numpy()
