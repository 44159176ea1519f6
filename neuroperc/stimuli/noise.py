"""Drifting textures, Motion Clouds, and apparent motion of random checks (phi and reverse-phi)."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np
from scipy import fft

from .._check import check, non_negative, one_of, positive
from ..data import StimulusSet
from ..display import Display
from ._made import Kind, Patch, Row, Shown, as_times, assemble, check_sf, count, crossed, placed, seeded, steady, vector


def drifting_noise(
    display: Display,
    *,
    speed_deg_s: float | Sequence[float],
    direction_deg: float | Sequence[float] = 0.0,
    exponent: float | Sequence[float] = 1.0,
    rms_contrast: float | Sequence[float] = 0.2,
    low_cpd: float = 0.0,
    high_cpd: float | None = None,
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make random textures with amplitude 1/f^exponent that translate, by Fourier shifts, on a torus.

    Parameters
    ----------
    display
        The monitor; the texture is made on its pixels, at the centre's pixels per degree.
    speed_deg_s, direction_deg
        Velocity.
    exponent
        0 is white, 1 is natural.
    rms_contrast
        SD over mean of light in the whole patch, in every frame.
    low_cpd, high_cpd
        Pass band; default all that the pixels carry along both axes.
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth` as of `gratings`.

    Raises
    ------
    ValueError
        As `gratings`; Gaussian textures leave the gamut at an RMS contrast of about 0.25.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(64, 64))
    >>> s = npc.stimuli.drifting_noise(display, speed_deg_s=2, rng=0)
    >>> round(float(s[0][7].std(correction=0) / s[0][7].mean()), 3)
    0.2
    """
    common = placed(display, shown)
    high = display.nyquist_cpd if high_cpd is None else check_sf(display, high_cpd, "high_cpd")
    check(0 <= low_cpd < high, "low_cpd", f"0 or more and below {high:.4g}", low_cpd)
    rows = []
    for row in crossed(speed_deg_s=speed_deg_s, direction_deg=direction_deg, exponent=exponent,
                       rms_contrast=rms_contrast):  # fmt: skip
        non_negative("speed_deg_s", row["speed_deg_s"])
        positive("rms_contrast", row["rms_contrast"])
        rows.append(row | {"low_cpd": float(low_cpd), "high_cpd": high} | common)
    return assemble(DRIFTING_NOISE, display, seeded(rows, rng))


def frequencies(patch: Patch) -> tuple[np.ndarray, np.ndarray]:
    """Return (fx, fy up) of a real spectrum of the patch in cycles per degree, (h, 1) and (w // 2 + 1,)."""
    height, width = patch.shape_px
    return fft.rfftfreq(width)[None] * patch.px_per_deg, -fft.fftfreq(height)[:, None] * patch.px_per_deg


def filtered(patch: Patch, gain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the spectrum of Gaussian noise times `gain`, of mean 0 and s.d. 1 in space."""
    gain = gain.copy()
    gain[0, 0] = 0
    height, width = patch.shape_px
    # Samples at Nyquist cannot be shifted by parts of a pixel.
    if height % 2 == 0:
        gain[height // 2] = 0
    if width % 2 == 0:
        gain[:, -1] = 0
    check(bool((gain > 0).any()), "the pass band", "with one frequency of the patch or more", "none",
          "Use a wider band or a larger patch.")  # fmt: skip
    spectrum = fft.rfft2(rng.standard_normal((height, width))) * gain
    return spectrum / fft.irfft2(spectrum, s=(height, width)).std()


def band(patch: Patch, low_cpd: float, high_cpd: float, exponent: float) -> np.ndarray:
    """Return the gain of a 1/f^exponent pass band."""
    fx, fy = frequencies(patch)
    f = np.hypot(fx, fy)
    inside = (f >= low_cpd) & (f <= high_cpd) & (f > 0)
    return np.where(inside, np.where(f > 0, f, 1.0) ** -exponent, 0.0)


def shifted(spectrum: np.ndarray, patch: Patch, moved_deg: np.ndarray) -> np.ndarray:
    """Return the pictures (frames, h, w) of a spectrum shifted by (frames, 2) degrees, y up."""
    fx, fy = frequencies(patch)
    turns = moved_deg[:, 0, None, None] * fx + moved_deg[:, 1, None, None] * fy
    return fft.irfft2(spectrum * np.exp(-2j * np.pi * turns), s=patch.shape_px)


def _draw_noise(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    rng = np.random.default_rng(row["seed"])
    spectrum = filtered(patch, band(patch, row["low_cpd"], row["high_cpd"], row["exponent"]), rng)
    moved = as_times(row, start, stop)[:, :, 0] * vector(row["speed_deg_s"], row["direction_deg"])
    return row["rms_contrast"] * shifted(spectrum, patch, moved)


def _steady_truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    return steady(vector(row["speed_deg_s"], row["direction_deg"]), row, patch)


DRIFTING_NOISE = Kind("drifting_noise", _draw_noise, _steady_truth, None)


def motion_clouds(
    display: Display,
    *,
    sf_cpd: float | Sequence[float],
    sf_bandwidth_cpd: float,
    speed_deg_s: float | Sequence[float] = 0.0,
    direction_deg: float | Sequence[float] = 0.0,
    speed_bandwidth: float | Sequence[float] = 0.5,
    orientation_deg: float | None = None,
    orientation_bandwidth_deg: float | None = None,
    exponent: float = 0.0,
    rms_contrast: float = 0.15,
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make Motion Clouds: random-phase textures whose energy lies around a speed plane, a band and an orientation.

    Parameters
    ----------
    display
        The monitor; the texture is made on its pixels, at the centre's pixels per degree; it repeats in space and time.
    sf_cpd, sf_bandwidth_cpd
        Centre f0 and width B of the log-Gabor envelope (1/f) exp(-ln^2(f/f0) / (2 ln^2((f0 + B)/f0))).
    speed_deg_s, direction_deg
        Mean velocity V.
    speed_bandwidth
        B_V, relative: exp(-(ft + V . f)^2 / (2 (B_V f)^2)) with f and ft in cycles a pixel and a frame.
    orientation_deg, orientation_bandwidth_deg
        Of the stripes and its spread B, exp(cos 2(angle - mean) / (4 B^2)); None keeps all orientations.
    exponent
        Energy falls with radial frequency (space and time) as f_R^-exponent.
    rms_contrast
        SD over mean of light in the whole movie.
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth` as of `gratings`, of the mean velocity.

    Raises
    ------
    ValueError
        As `drifting_noise`.

    References
    ----------
    .. [1] PS Leon, I Vanzetta, GS Masson & LU Perrinet (2012). Motion Clouds. doi:10.1152/jn.00737.2011 (the
       envelopes; amplitudes are normal, phases uniform).

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> s = npc.stimuli.motion_clouds(display, sf_cpd=1, sf_bandwidth_cpd=0.5, speed_deg_s=4, rng=0)
    >>> s.shapes
    [(30, 1, 32, 32)]
    """
    common = placed(display, shown)
    both = (orientation_deg is None) == (orientation_bandwidth_deg is None)
    check(both, "orientation_bandwidth_deg", "given together with orientation_deg", orientation_bandwidth_deg)
    fixed: Row = {
        "sf_bandwidth_cpd": positive("sf_bandwidth_cpd", sf_bandwidth_cpd), "exponent": float(exponent),
        "rms_contrast": positive("rms_contrast", rms_contrast),
        "orientation_deg": -1.0 if orientation_deg is None else float(orientation_deg) % 180,
        "orientation_bandwidth_deg": 0.0 if orientation_bandwidth_deg is None
        else positive("orientation_bandwidth_deg", orientation_bandwidth_deg),
    }  # fmt: skip
    rows = []
    for row in crossed(sf_cpd=sf_cpd, speed_deg_s=speed_deg_s, direction_deg=direction_deg,
                       speed_bandwidth=speed_bandwidth):  # fmt: skip
        check_sf(display, row["sf_cpd"])
        non_negative("speed_deg_s", row["speed_deg_s"])
        positive("speed_bandwidth", row["speed_bandwidth"])
        rows.append(row | fixed | common)
    return assemble(MOTION_CLOUD, display, seeded(rows, rng))


def cloud_envelope(row: Row, patch: Patch) -> np.ndarray:
    """Return the amplitude (frames, h, w // 2 + 1) of every frequency."""
    fx, fy = (f / patch.px_per_deg for f in frequencies(patch))
    ft = -fft.fftfreq(row["n_frames"])[:, None, None]  # a pattern that moves along +x has ft = -V fx
    f = np.hypot(fx, fy)
    radial = np.sqrt(f**2 + ft**2)
    f0, width = row["sf_cpd"] / patch.px_per_deg, row["sf_bandwidth_cpd"] / patch.px_per_deg
    safe, around = np.where(f > 0, f, 1.0), np.where(radial > 0, radial, 1.0)
    ring = np.exp(-(np.log(safe / f0) ** 2) / (2 * np.log((f0 + width) / f0) ** 2)) / safe
    v = vector(row["speed_deg_s"] * patch.px_per_deg / row["fps"], row["direction_deg"])
    plane = np.exp(-((-ft + v[0] * fx + v[1] * fy) ** 2) / (2 * (row["speed_bandwidth"] * around) ** 2))
    gain = ring * plane * around ** -row["exponent"]
    if row["orientation_deg"] >= 0:
        normal = np.deg2rad(row["orientation_deg"] + 90)
        spread = np.deg2rad(row["orientation_bandwidth_deg"])
        gain = gain * np.exp((np.cos(2 * (np.arctan2(fy, fx) - normal)) - 1) / (4 * spread**2))
    return np.where(f > 0, gain, 0.0)


@functools.lru_cache(maxsize=2)
def _cloud(text: str, px_per_deg: float) -> np.ndarray:
    row = json.loads(text)
    height, width = row["shape_px"]
    patch = Patch((height, width), (0, 0), (0, 0), np.empty(0), np.empty(0), px_per_deg)
    rng = np.random.default_rng(row["seed"])
    shape = (row["n_frames"], height, width)
    spectrum = fft.rfftn(rng.standard_normal(shape)) * cloud_envelope(row, patch)
    movie = fft.irfftn(spectrum, s=shape)
    return movie / movie.std()


def _draw_cloud(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    return row["rms_contrast"] * _cloud(json.dumps(row, sort_keys=True), patch.px_per_deg)[start:stop]


MOTION_CLOUD = Kind("motion_cloud", _draw_cloud, _steady_truth, None)


def phi_motion(
    display: Display,
    *,
    step_deg: float,
    check_deg: float,
    direction_deg: float | Sequence[float] = 0.0,
    hold_frames: int = 1,
    contrast: float = 0.5,
    reverse: bool | Sequence[bool] = False,
    dots: Literal["checks", "columns"] = "checks",
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make apparent motion of random light and dark checks; with `reverse` their contrast flips in every step.

    Parameters
    ----------
    display
        The monitor.
    step_deg, check_deg
        Size of the jumps and of the checks, whole pixels of the display at its centre.
    direction_deg
        0, 90, 180 or 270.
    hold_frames
        Frames between jumps.
    contrast
        Michelson.
    reverse
        Reverse-phi: seen, and measured by motion energy, against the direction of the jumps.
    dots
        ``"checks"``, or ``"columns"``, random bars across the direction.
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth` as of `gratings`: the velocity of the jumps, also with `reverse`.

    Raises
    ------
    ValueError
        For other directions, or sizes that are not whole pixels.

    References
    ----------
    .. [1] SM Anstis (1970). Phi movement as a subtraction process. doi:10.1016/0042-6989(70)90092-1 (reverse phi).

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> s = npc.stimuli.phi_motion(display, step_deg=0.25, check_deg=0.25, reverse=[False, True], rng=0)
    >>> s.truth["velocity_deg_s"].tolist()
    [[15.0, 0.0], [15.0, 0.0]]
    """
    common = placed(display, shown)
    px = []
    for name, value in (("step_deg", step_deg), ("check_deg", check_deg)):
        exact = positive(name, value) * display.px_per_deg
        near = abs(exact - round(exact)) < 0.05 and round(exact) >= 1
        check(near, name, "a whole number of pixels", f"{value:g} degrees, {exact:.4g} pixels",
              f"Use {max(round(exact), 1) / display.px_per_deg:.6g}.")  # fmt: skip
        px.append(round(exact))
    one_of("dots", dots, ("checks", "columns"))
    fixed: Row = {"step_px": px[0], "check_px": px[1], "hold_frames": count("hold_frames", hold_frames),
                  "contrast": positive("contrast", contrast), "dots": dots,
                  "speed_deg_s": px[0] / display.px_per_deg * common["fps"] / hold_frames}  # fmt: skip
    rows = []
    for row in crossed(direction_deg=direction_deg, reverse=reverse):
        one_of("direction_deg", row["direction_deg"] % 360, (0, 90, 180, 270))
        rows.append(row | fixed | common)
    seed = seeded([{}], rng)[0]  # the same checks in every condition
    return assemble(PHI, display, [row | seed for row in rows])


def checks(patch: Patch, check_px: int, rng: np.random.Generator, n: int = 1) -> np.ndarray:
    """Return (n, h, w) of random -1 and +1 checks."""
    height, width = (-(-s // check_px) for s in patch.shape_px)
    drawn = rng.integers(0, 2, (n, height, width)) * 2.0 - 1
    return drawn.repeat(check_px, 1).repeat(check_px, 2)[:, : patch.shape_px[0], : patch.shape_px[1]]


def _draw_phi(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    picture = checks(patch, row["check_px"], np.random.default_rng(row["seed"]))[0]
    direction = int(row["direction_deg"]) % 360
    axis, sign = (1, 1) if direction == 0 else (0, -1) if direction == 90 else (1, -1) if direction == 180 else (0, 1)
    if row["dots"] == "columns":
        picture = np.broadcast_to(picture[:1] if axis else picture[:, :1], picture.shape)
    steps = np.arange(start, stop) // row["hold_frames"]
    at = np.arange(picture.shape[axis]) - sign * steps[:, None] * row["step_px"]
    moved = np.moveaxis(np.take(picture, at % picture.shape[axis], axis=axis), axis, 0)
    flip = np.where(steps % 2, -1.0, 1.0) if row["reverse"] else np.ones(len(steps))
    return row["contrast"] * moved * flip[:, None, None]


def _contrast_peak(row: Row) -> float:
    return row["contrast"]


PHI = Kind("phi_motion", _draw_phi, _steady_truth, _contrast_peak)
