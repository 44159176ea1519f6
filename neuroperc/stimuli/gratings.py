"""Gratings, plaids and barber poles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np

from .._check import as_rng, check, fail, one_of, positive
from ..data import StimulusSet
from ..display import Display
from ._made import (
    Kind,
    Patch,
    Row,
    Shown,
    aperture_of,
    as_times,
    assemble,
    check_sf,
    check_tf,
    count,
    crossed,
    placed,
    steady,
    vector,
)

Waveform = Literal["sine", "square", "missing_fundamental"]
Motion = Literal["drift", "counterphase", "step"]


def gratings(
    display: Display,
    *,
    sf_cpd: float | Sequence[float],
    tf_hz: float | Sequence[float] = 0.0,
    direction_deg: float | Sequence[float] = 0.0,
    contrast: float | Sequence[float] = 0.5,
    phase_deg: float | Sequence[float] | Literal["random"] = 0.0,
    waveform: Waveform = "sine",
    motion: Motion = "drift",
    step_cycles: float = 0.25,
    hold_frames: int = 1,
    rng: int | np.random.Generator | None = None,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make gratings, one for every combination of lists: L0 [1 + c cos(2 pi (f (x cos d + y sin d) - w t) + phase)].

    Parameters
    ----------
    display
        The monitor. Degrees are those of every pixel, in its geometry.
    sf_cpd, tf_hz, direction_deg
        Spatial frequency f, temporal frequency w and the direction d of motion, counter-clockwise from rightward;
        stripes have orientation d - 90.
    contrast
        Michelson contrast; of a square wave that of the ideal one, of which a missing fundamental is the rest.
    phase_deg
        At the aperture's centre in the first frame, cosine phase; ``"random"`` draws from `rng`.
    waveform
        ``"square"`` and ``"missing_fundamental"`` are sums of the odd harmonics below Nyquist.
    motion
        ``"drift"``; ``"counterphase"``, reversing sinusoidally `tf_hz` times a second; ``"step"``: jumps of
        `step_cycles` every `hold_frames` frames (`tf_hz` is left out).
    step_cycles, hold_frames
        Of ``"step"``.
    rng
        Seed or generator for random phases.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        Movies, drawn when they are read; `truth` has ``velocity_deg_s`` (n, 2) and ``flow_deg_s`` (n, 1, 2, h, w), y
        up, NaN for gratings without a velocity.

    Raises
    ------
    ValueError
        Above Nyquist, out of gamut, off the display, or for a duration that is not a whole number of frames.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> s = npc.stimuli.gratings(display, sf_cpd=1, tf_hz=4, direction_deg=[0, 90])
    >>> s.shapes[0], s.truth["velocity_deg_s"].tolist()
    ((30, 1, 32, 32), [[4.0, 0.0], [0.0, 4.0]])
    """
    common = placed(display, shown)
    one_of("waveform", waveform, ("sine", "square", "missing_fundamental"))
    one_of("motion", motion, ("drift", "counterphase", "step"))
    hold = count("hold_frames", hold_frames)
    if motion == "step":
        check(tf_hz == 0.0, "tf_hz", "left out for motion='step'", tf_hz, "Steps make the speed.")
        tf_hz = float(step_cycles) * common["fps"] / hold
    rows = []
    for row in crossed(sf_cpd=sf_cpd, tf_hz=tf_hz, direction_deg=direction_deg, contrast=contrast, phase_deg=phase_deg):
        check_sf(display, row["sf_cpd"])
        if motion != "step":
            check_tf(common["fps"], row["tf_hz"])
        _contrast("contrast", row["contrast"])
        kind = {"waveform": waveform, "motion": motion, "step_cycles": float(step_cycles), "hold_frames": hold}
        rows.append(row | kind | {"nyquist_cpd": display.nyquist_cpd} | common)
    return assemble(GRATING, display, _phased(rows, rng, 1))


def _contrast(name: str, value: Any) -> float:
    number = positive(name, value)
    check(number <= 1, name, "at most 1", value)
    return number


def _phased(rows: list[Row], rng: Any, n: int) -> list[Row]:
    """Draw random phases."""
    if all(row["phase_deg"] != "random" for row in rows):
        return rows
    drawn = as_rng(rng).uniform(0, 360, (len(rows), n))
    return [row | {"phase_deg": float(d[0]) if n == 1 else d.tolist()} for row, d in zip(rows, drawn, strict=True)]


def _harmonics(row: Row) -> list[tuple[int, float]]:
    """Return (harmonic, amplitude): a square wave in cosine phase, band-limited in space and time."""
    if row["waveform"] == "sine":
        return [(1, 1.0)]
    most = int(row["nyquist_cpd"] / row["sf_cpd"])
    if row["motion"] == "drift" and row["tf_hz"]:
        most = min(most, int(row["fps"] / 2 / abs(row["tf_hz"])))
    first = 1 if row["waveform"] == "square" else 3
    made = [(k, 4 / np.pi * (-1) ** (k // 2) / k) for k in range(first, most + 1, 2)]
    if not made:
        fail("sf_cpd", "low enough for the third harmonic", row["sf_cpd"], "Use a lower sf_cpd or tf_hz.")
    return made


def _draw_grating(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    across = patch.x_deg * vector(1, row["direction_deg"])[0] + patch.y_deg * vector(1, row["direction_deg"])[1]
    still = row["sf_cpd"] * across + row["phase_deg"] / 360
    time = as_times(row, start, stop)
    signal, swing = 0.0, 1.0
    if row["motion"] == "step":
        moved = row["step_cycles"] * (np.arange(start, stop)[:, None, None] // row["hold_frames"])
    elif row["motion"] == "counterphase":
        moved, swing = 0.0 * time, np.cos(2 * np.pi * row["tf_hz"] * time)
    else:
        moved = row["tf_hz"] * time
    for k, amplitude in _harmonics(row):
        # The difference is taken within one turn, so that long movies keep their precision.
        signal = signal + amplitude * np.cos(2 * np.pi * (k * still - np.mod(k * moved, 1)))
    return row["contrast"] * swing * signal


def _grating_truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    moves = row["motion"] != "counterphase"
    speed = row["tf_hz"] / row["sf_cpd"] if moves else np.nan
    return steady(vector(speed, row["direction_deg"]) if moves else (np.nan, np.nan), row, patch)


def _grating_peak(row: Row) -> float:
    turns = np.linspace(0, 1, 4097)
    wave = sum(a * np.cos(2 * np.pi * k * turns) for k, a in _harmonics(row))
    return float(row["contrast"] * np.abs(wave).max())


GRATING = Kind("grating", _draw_grating, _grating_truth, _grating_peak)


def plaids(
    display: Display,
    *,
    sf_cpd: float | tuple[float, ...],
    tf_hz: float | tuple[float, ...] | None = None,
    direction_deg: float | Sequence[float] = 0.0,
    component_contrast: float | Sequence[float] = 0.25,
    component_offsets_deg: tuple[float, ...] = (-60.0, 60.0),
    speed_deg_s: float | None = None,
    phase_deg: float | tuple[float, ...] | Literal["random"] = 0.0,
    rng: int | np.random.Generator | None = None,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make plaids: sums of drifting gratings.

    Parameters
    ----------
    display
        The monitor.
    sf_cpd, tf_hz, phase_deg
        Of the components: one number, or a tuple with one a component. A component at 0 Hz makes a unikinetic plaid.
    direction_deg
        Of the pattern when the components are alike; components move towards ``direction_deg + offset``.
    component_contrast
        Michelson contrast of each component; their sum is the plaid's.
    component_offsets_deg
        Two for a plaid, three 120 degrees apart for a triplaid. (48.2, 70.5) with `speed_deg_s` is a type II plaid:
        both on one side of the pattern's velocity.
    speed_deg_s
        Of the pattern, towards `direction_deg`, instead of `tf_hz`: each component has the temporal frequency
        f V cos(offset).
    rng
        Seed or generator for random phases.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        As of `gratings`; the velocity is that at which all constraint lines cross (NaN when they do not), and
        ``component_velocity_deg_s`` (n, components, 2) are the components'.

    Raises
    ------
    ValueError
        As `gratings`, and when neither or both of `tf_hz` and `speed_deg_s` are given.

    References
    ----------
    .. [1] EH Adelson & JA Movshon (1982). Phenomenal coherence of moving visual patterns. doi:10.1038/300523a0
       (constraint lines).

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(16, resolution_px=(64, 64))
    >>> s = npc.stimuli.plaids(display, sf_cpd=2, tf_hz=4, direction_deg=range(0, 360, 90), component_contrast=0.25)
    >>> len(s), s.truth["velocity_deg_s"].round(3)[1].tolist()
    (4, [0.0, 4.0])
    """
    common = placed(display, shown)
    n = len(tuple(component_offsets_deg))
    check(n >= 2, "component_offsets_deg", "two or more", component_offsets_deg)
    check((tf_hz is None) != (speed_deg_s is None), "tf_hz and speed_deg_s", "one of the two", (tf_hz, speed_deg_s))
    offsets = [float(o) for o in component_offsets_deg]
    sf = [check_sf(display, f) for f in _each("sf_cpd", sf_cpd, n)]
    if speed_deg_s is not None:
        speed = positive("speed_deg_s", speed_deg_s)
        tf_hz = tuple(f * speed * float(np.cos(np.deg2rad(o))) for f, o in zip(sf, offsets, strict=True))
    tf = [check_tf(common["fps"], w) for w in _each("tf_hz", tf_hz, n)]
    phase = "random" if isinstance(phase_deg, str) else _each("phase_deg", phase_deg, n)
    fixed = {"component_offsets_deg": offsets, "sf_cpd": sf, "tf_hz": tf, "phase_deg": phase}
    rows = []
    for row in crossed(direction_deg=direction_deg, component_contrast=component_contrast):
        _contrast("component_contrast", row["component_contrast"])
        rows.append(row | fixed | common)
    return assemble(PLAID, display, _phased(rows, rng, n))


def _each(name: str, value: Any, n: int) -> list[float]:
    if np.isscalar(value):
        return [float(value)] * n
    check(len(value) == n, name, f"one number, or {n}, one a component", value)
    return [float(v) for v in value]


def _components(row: Row) -> list[Row]:
    parts = zip(row["sf_cpd"], row["tf_hz"], row["component_offsets_deg"], row["phase_deg"], strict=True)
    return [
        row | {"sf_cpd": f, "tf_hz": w, "direction_deg": row["direction_deg"] + o, "phase_deg": p,
               "contrast": row["component_contrast"], "waveform": "sine", "motion": "drift"}
        for f, w, o, p in parts
    ]  # fmt: skip


def _draw_plaid(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    return sum(_draw_grating(part, patch, start, stop) for part in _components(row))


def _plaid_truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    parts = _components(row)
    normals = np.stack([vector(1, part["direction_deg"]) for part in parts])
    speeds = np.array([part["tf_hz"] / part["sf_cpd"] for part in parts])
    velocity, *_ = np.linalg.lstsq(normals, speeds, rcond=None)  # every component: normal . velocity = speed
    crossing = np.allclose(normals @ velocity, speeds, atol=1e-9 * max(1.0, np.abs(speeds).max()))
    known = np.linalg.matrix_rank(normals) == 2 and crossing
    truth = steady(np.where(known, velocity, np.nan), row, patch)
    return truth | {"component_velocity_deg_s": normals * speeds[:, None]}


def _plaid_peak(row: Row) -> float:
    return row["component_contrast"] * len(row["component_offsets_deg"])


PLAID = Kind("plaid", _draw_plaid, _plaid_truth, _plaid_peak)


def barber_poles(
    display: Display,
    *,
    sf_cpd: float,
    tf_hz: float,
    direction_deg: float | Sequence[float] = 45.0,
    axis_deg: float | Sequence[float] = 90.0,
    width_deg: float = 1.0,
    aspect: float | Sequence[float] = 3.0,
    contrast: float = 0.5,
    phase_deg: float = 0.0,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make drifting gratings seen through a long rectangle, whose ends make them appear to move along it.

    Parameters
    ----------
    display
        The monitor.
    sf_cpd, tf_hz, direction_deg, contrast, phase_deg
        Of the grating, as in `gratings`.
    axis_deg
        Orientation of the long side, counter-clockwise from horizontal.
    width_deg
        Short side of the rectangle.
    aspect
        Long side over short side, 1 or more.
    **shown
        Size, place, time and background: see `Shown`. An aperture comes on top.

    Returns
    -------
    StimulusSet
        As of `gratings`; ``velocity_deg_s`` is the grating's own, along its normal, and ``axis_velocity_deg_s`` that
        of its ends along the long side.

    Raises
    ------
    ValueError
        As `gratings`, or when the rectangle leaves the patch.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(16, resolution_px=(64, 64))
    >>> s = npc.stimuli.barber_poles(display, sf_cpd=2, tf_hz=4)
    >>> s.truth["axis_velocity_deg_s"].round(3).tolist()
    [[0.0, 2.828]]
    """
    common = placed(display, shown)
    check_sf(display, sf_cpd)
    check_tf(common["fps"], tf_hz)
    fixed = {"sf_cpd": float(sf_cpd), "tf_hz": float(tf_hz), "contrast": _contrast("contrast", contrast),
             "phase_deg": float(phase_deg), "pole_deg": positive("width_deg", width_deg), "waveform": "sine",
             "motion": "drift"}  # fmt: skip
    rows = []
    for row in crossed(direction_deg=direction_deg, axis_deg=axis_deg, aspect=aspect):
        check(row["aspect"] >= 1, "aspect", "1 or more", row["aspect"])
        long = row["aspect"] * fixed["pole_deg"] / display.extent_deg[0] * display.resolution_px[0]
        check(long <= min(common["shape_px"]), "aspect", "such that the rectangle fits", row["aspect"],
              "Use a larger size_deg.")  # fmt: skip
        rows.append(row | fixed | common)
    return assemble(BARBER_POLE, display, rows)


def _rectangle(row: Row, patch: Patch) -> np.ndarray:
    along, beside = vector(1, row["axis_deg"]), vector(1, row["axis_deg"] + 90)
    u = np.abs(patch.x_deg * along[0] + patch.y_deg * along[1])
    v = np.abs(patch.x_deg * beside[0] + patch.y_deg * beside[1])
    half = row["pole_deg"] / 2
    sides = [np.clip((side - d) * patch.px_per_deg + 0.5, 0, 1) for side, d in ((half * row["aspect"], u), (half, v))]
    return sides[0] * sides[1]


def _draw_pole(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    return _draw_grating(row, patch, start, stop) * _rectangle(row, patch)


def _pole_truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    speed, axis = row["tf_hz"] / row["sf_cpd"], vector(1, row["axis_deg"])
    normal = vector(1, row["direction_deg"])
    truth = steady(speed * normal, row, patch)
    seen = (_rectangle(row, patch) * aperture_of(row, patch)) > 0
    truth["flow_deg_s"] = np.where(seen, truth["flow_deg_s"], np.nan).astype(np.float32)
    across = float(axis @ normal)
    along = speed / across * axis if abs(across) > 1e-9 else np.full(2, np.nan)
    return truth | {"axis_velocity_deg_s": along}


def _pole_peak(row: Row) -> float:
    return row["contrast"]


BARBER_POLE = Kind("barber_pole", _draw_pole, _pole_truth, _pole_peak)
