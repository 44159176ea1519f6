"""Second-order motion: a texture whose contrast, flicker, orientation, frequency, sharpness or structure moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np
from scipy import fft

from .._check import check, one_of, positive
from ..data import StimulusSet
from ..display import Display
from ._made import (
    Kind,
    Patch,
    Row,
    Shown,
    as_times,
    assemble,
    check_sf,
    check_tf,
    crossed,
    placed,
    seeded,
    steady,
    vector,
)
from .noise import band, checks, filtered, frequencies

Modulation = Literal["contrast", "drift_balanced", "flicker", "orientation", "frequency", "blur", "texture"]
MODULATIONS: tuple[Modulation, ...] = (
    "contrast", "drift_balanced", "flicker", "orientation", "frequency", "blur", "texture",
)  # fmt: skip


def second_order(
    display: Display,
    *,
    sf_cpd: float | Sequence[float],
    tf_hz: float | Sequence[float],
    direction_deg: float | Sequence[float] = 0.0,
    modulation: Modulation | Sequence[Modulation] = "contrast",
    depth: float | Sequence[float] = 1.0,
    contrast: float = 0.5,
    carrier: Literal["dynamic", "static"] = "dynamic",
    check_deg: float | None = None,
    carrier_cpd: float | None = None,
    phase_deg: float = 0.0,
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make second-order gratings: a drifting envelope (1 + depth cos) / 2 changes a carrier, not mean luminance.

    Parameters
    ----------
    display
        The monitor.
    sf_cpd, tf_hz, direction_deg, phase_deg
        Of the envelope, as in `gratings`.
    modulation
        What the envelope changes. ``"contrast"`` of binary noise. ``"drift_balanced"``: the sign of binary noise flips
        where a travelling square wave passes; first-order energy is balanced over samples. ``"flicker"``: the rate at
        which noise checks change (the carrier is dynamic by nature). ``"orientation"``: between noise of two
        orientations, 45 and 135. ``"frequency"``: between noise around `carrier_cpd` and an octave below. ``"blur"``:
        between noise and its blurred copy of the same contrast. ``"texture"``: between binary noise and a
        phase-shuffled copy with the same spectrum.
    depth
        Of the modulation, in (0, 1].
    contrast
        Michelson contrast of binary carriers; three times the RMS contrast of the others.
    carrier
        A new sample every frame, or one for all frames, which leaves more first-order energy by chance.
    check_deg
        Side of a noise check; default two pixels.
    carrier_cpd
        Centre of the bands; default a sixth of the pixels per degree, so six pixels a cycle.
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth` as of `gratings`, of the envelope.

    Raises
    ------
    ValueError
        As `gratings`.

    References
    ----------
    .. [1] C Chubb & G Sperling (1988). Drift-balanced random stimuli. doi:10.1364/JOSAA.5.001986
    .. [2] P Cavanagh & G Mather (1989). Motion: the long and short of it. doi:10.1163/156856889X00077

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    >>> s = npc.stimuli.second_order(display, sf_cpd=0.5, tf_hz=2, modulation=["contrast", "drift_balanced"], rng=0)
    >>> bool(abs(s[0].mean() - 0.5) < 0.005)
    True
    """
    common = placed(display, shown)
    positive("contrast", contrast)
    one_of("carrier", carrier, ("dynamic", "static"))
    side = 2 if check_deg is None else max(1, round(positive("check_deg", check_deg) * display.px_per_deg))
    center = display.px_per_deg / 6 if carrier_cpd is None else check_sf(display, carrier_cpd, "carrier_cpd")
    check(center * 1.5 <= display.nyquist_cpd, "carrier_cpd", f"at most {display.nyquist_cpd / 1.5:.4g}", center)
    fixed: Row = {"contrast": float(contrast), "carrier": carrier, "check_px": side, "carrier_cpd": center,
                  "phase_deg": float(phase_deg)}  # fmt: skip
    rows = []
    for row in crossed(sf_cpd=sf_cpd, tf_hz=tf_hz, direction_deg=direction_deg, modulation=modulation, depth=depth):
        check_sf(display, row["sf_cpd"])
        check_tf(common["fps"], row["tf_hz"])
        one_of("modulation", row["modulation"], MODULATIONS)
        check(0 < row["depth"] <= 1, "depth", "in (0, 1]", row["depth"])
        rows.append(row | fixed | common)
    return assemble(SECOND_ORDER, display, seeded(rows, rng))


def _wave(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    """Return the envelope's cosine (frames, h, w)."""
    v = vector(1, row["direction_deg"])
    across = row["sf_cpd"] * (patch.x_deg * v[0] + patch.y_deg * v[1]) + row["phase_deg"] / 360
    return np.cos(2 * np.pi * (across - np.mod(row["tf_hz"] * as_times(row, start, stop), 1)))


def _draw(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    wave = _wave(row, patch, start, stop)
    kind = row["modulation"]
    if kind == "drift_balanced":
        return row["contrast"] * _binary(row, patch, start, stop, static=True) * np.where(wave >= 0, 1.0, -1.0)
    if kind == "flicker":
        return row["contrast"] * _flicker(row, patch, start, stop)
    share = (1 + row["depth"] * wave) / 2
    if kind == "contrast":
        return row["contrast"] * share * _binary(row, patch, start, stop, static=row["carrier"] == "static")
    pairs = _pairs(row, patch, start, stop)
    # Power adds up, so that contrast is the same everywhere.
    return row["contrast"] / 3 * (np.sqrt(share) * pairs[0] + np.sqrt(1 - share) * pairs[1])


def _rng(row: Row, frame: int) -> np.random.Generator:
    """Return the generator of one frame of a dynamic carrier, so that any stretch can be drawn alone."""
    return np.random.default_rng([row["seed"], frame])


def _frames(row: Row, start: int, stop: int, static: bool) -> list[int]:
    return [0] if static else list(range(1 + start, 1 + stop))


def _binary(row: Row, patch: Patch, start: int, stop: int, static: bool) -> np.ndarray:
    made = [checks(patch, row["check_px"], _rng(row, k))[0] for k in _frames(row, start, stop, static)]
    return np.broadcast_to(np.stack(made), (stop - start, *patch.shape_px))


def _flicker(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    """Return binary noise whose checks change sign from frame to frame with the probability of the envelope / 2."""
    whole = _wave(row, patch, 0, stop)
    side = row["check_px"]
    chance = (1 + row["depth"] * whole[:, ::side, ::side]) / 4
    drawn = np.stack([_rng(row, k).random(chance.shape[1:]) for k in range(stop)])
    sign = np.where(drawn < chance, -1.0, 1.0)
    sign[0] = np.where(drawn[0] < 0.5, -1.0, 1.0)
    noise = np.cumprod(sign, axis=0)[start:]
    return noise.repeat(side, 1).repeat(side, 2)[:, : patch.shape_px[0], : patch.shape_px[1]]


def _pairs(row: Row, patch: Patch, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two carriers that the envelope mixes, each of s.d. 1."""
    makers = {"orientation": _oriented, "frequency": _octaves, "blur": _blurred, "texture": _shuffled}
    static = row["carrier"] == "static"
    made = [makers[row["modulation"]](row, patch, _rng(row, k)) for k in _frames(row, start, stop, static)]
    both = [np.broadcast_to(np.stack(p), (stop - start, *patch.shape_px)) for p in zip(*made, strict=True)]
    return both[0], both[1]


def _noise(patch: Patch, gain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return fft.irfft2(filtered(patch, gain, rng), s=patch.shape_px)


def _around(row: Row, patch: Patch, factor: float = 1.0) -> np.ndarray:
    fx, fy = frequencies(patch)
    f = np.hypot(fx, fy) / (row["carrier_cpd"] * factor)
    return np.where(f > 0, np.exp(-(np.log2(np.where(f > 0, f, 1.0)) ** 2) / (2 * 0.3**2)), 0.0)


def _oriented(row: Row, patch: Patch, rng: np.random.Generator) -> list[np.ndarray]:
    fx, fy = frequencies(patch)
    angle = np.arctan2(fy, fx)
    lobes = [np.exp((np.cos(2 * (angle - np.deg2rad(normal))) - 1) / (4 * np.deg2rad(12) ** 2)) for normal in (135, 45)]
    return [_noise(patch, _around(row, patch) * lobe, rng) for lobe in lobes]


def _octaves(row: Row, patch: Patch, rng: np.random.Generator) -> list[np.ndarray]:
    return [_noise(patch, _around(row, patch, factor), rng) for factor in (1.0, 0.5)]


def _blurred(row: Row, patch: Patch, rng: np.random.Generator) -> list[np.ndarray]:
    fx, fy = frequencies(patch)
    spectrum = filtered(patch, band(patch, 0.0, 2 * patch.px_per_deg, 0.0), rng)
    soft = spectrum * np.exp(-(np.hypot(fx, fy) ** 2) / (2 * (row["carrier_cpd"] / 2) ** 2))
    pictures = [fft.irfft2(s, s=patch.shape_px) for s in (spectrum, soft)]
    return [p / p.std() for p in pictures]


def _shuffled(row: Row, patch: Patch, rng: np.random.Generator) -> list[np.ndarray]:
    binary = checks(patch, row["check_px"], rng)[0]
    spectrum = fft.rfft2(binary - binary.mean())
    noise = fft.rfft2(rng.standard_normal(patch.shape_px))
    size = np.abs(noise)
    phase = np.where(size > 0, noise / np.where(size > 0, size, 1), 1)
    pictures = [fft.irfft2(s, s=patch.shape_px) for s in (spectrum, np.abs(spectrum) * phase)]
    return [p / p.std() for p in pictures]


def _truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    return steady(vector(row["tf_hz"] / row["sf_cpd"], row["direction_deg"]), row, patch)


SECOND_ORDER = Kind("second_order", _draw, _truth, None)
