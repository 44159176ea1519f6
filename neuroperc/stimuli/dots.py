"""Random-dot kinematograms and optic flow of dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np

from .._check import check, non_negative, one_of, positive
from ..data import StimulusSet
from ..display import Display
from ._made import Kind, Patch, Row, Shown, assemble, check_tf, count, crossed, placed, seeded, steady, vector

Signal = Literal["same", "different"]
Noise = Literal["position", "direction", "walk"]
Algorithm = Literal["limited_lifetime", "white_noise", "brownian", "interleaved"]
Wrap = Literal["torus", "respawn"]


class _Tracks(NamedTuple):
    """Positions (frames, dots, 2) in degrees, which are shown, which carried the signal to get there."""

    at: np.ndarray
    shown: np.ndarray
    signal: np.ndarray


def dots(
    display: Display,
    *,
    speed_deg_s: float | Sequence[float],
    direction_deg: float | Sequence[float] = 0.0,
    coherence: float | Sequence[float] = 1.0,
    n_dots: int | None = None,
    density_per_deg2: float | None = None,
    diameter_deg: float = 0.15,
    contrast: float = 1.0,
    polarity: Literal["light", "dark", "both"] = "light",
    algorithm: Algorithm = "limited_lifetime",
    lifetime_frames: int | None = None,
    signal: Signal | None = None,
    noise: Noise | None = None,
    n_sets: int = 3,
    wrap: Wrap = "torus",
    shape: Literal["disc", "gaussian"] = "disc",
    reverse_phi: bool = False,
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make random-dot kinematograms, one for every combination of lists.

    Parameters
    ----------
    display
        The monitor.
    speed_deg_s, direction_deg
        Of the signal dots, in degrees per second whatever the frame rate.
    coherence
        Share of signal dots: exactly ``round(coherence * n)`` of them in every step.
    n_dots, density_per_deg2
        Dots in the whole patch, or their number a square degree; default 2 a square degree. An aperture shows part.
    diameter_deg
        Of a dot.
    contrast
        Weber contrast of light dots, at most 1; dark dots have its negative.
    polarity
        ``"both"``: half light, half dark, drawn at random.
    algorithm
        ``"limited_lifetime"``: `lifetime_frames` (default unlimited), the same dots carry the signal, noise dots get a
        random place. ``"white_noise"``: others carry the signal in every step, noise dots get a random place.
        ``"brownian"``: others carry the signal in every step, noise dots take a step in a random direction.
        ``"interleaved"``: `n_sets` sets shown in turn, each as white noise.
    lifetime_frames
        Frames after which a dot gets a random place, exactly; first ages are spread evenly.
    signal, noise
        Change what the algorithm says: which dots, and what the others do (``"direction"``: a direction of their own
        for life; ``"walk"``: a new one each step).
    n_sets
        Of ``"interleaved"``.
    wrap
        A dot that leaves comes back at the opposite edge with what it went too far (``"torus"``: density stays
        uniform), or anywhere (``"respawn"``).
    shape
        Antialiased discs, or Gaussians with s.d. a quarter of the diameter; both at places between pixels.
    reverse_phi
        Every dot changes polarity in every step (light and dark need `contrast` at most 1).
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth`: ``velocity_deg_s`` and ``flow_deg_s`` of the signal as in `gratings`; ``tracks_deg``
        (n, frames, dots, 2) relative to the patch's centre, y up, NaN where a dot is not shown; ``is_signal``
        (n, frames, dots), whether the dot came to its place by the signal's step; ``is_light`` (n, frames, dots).

    Raises
    ------
    ValueError
        As `gratings`; for a coherence outside [0, 1] or both `n_dots` and a density.

    References
    ----------
    .. [1] MO Scase, OJ Braddick & JE Raymond (1996). doi:10.1016/0042-6989(95)00325-8 (signal and noise rules).
    .. [2] PK Pilly & AR Seitz (2009). What a difference a parameter makes. doi:10.1016/j.visres.2009.03.019
       (algorithms).

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    >>> s = npc.stimuli.dots(display, speed_deg_s=5, coherence=0.29, n_dots=100, algorithm="brownian", rng=0)
    >>> s.truth["is_signal"][0, 1:].sum(1).tolist() == [29] * 29
    True
    """
    common = placed(display, shown)
    fixed: Row = {
        "diameter_deg": positive("diameter_deg", diameter_deg), "contrast": positive("contrast", contrast),
        "polarity": one_of("polarity", polarity, ("light", "dark", "both")), "shape": one_of("shape", shape, _SHAPES),
        "algorithm": one_of("algorithm", algorithm, tuple(_RULES)), "wrap": one_of("wrap", wrap, ("torus", "respawn")),
        "reverse_phi": bool(reverse_phi), "n_sets": count("n_sets", n_sets) if algorithm == "interleaved" else 1,
        "lifetime_frames": 0 if lifetime_frames is None else count("lifetime_frames", lifetime_frames),
    }  # fmt: skip
    rule = _RULES[algorithm]
    fixed["signal"] = one_of("signal", rule[0] if signal is None else signal, ("same", "different"))
    fixed["noise"] = one_of("noise", rule[1] if noise is None else noise, ("position", "direction", "walk"))
    fixed["n_dots"] = _number(display, common, n_dots, density_per_deg2) * fixed["n_sets"]
    rows = []
    for row in crossed(speed_deg_s=speed_deg_s, direction_deg=direction_deg, coherence=coherence):
        non_negative("speed_deg_s", row["speed_deg_s"])
        check(0 <= row["coherence"] <= 1, "coherence", "within [0, 1]", row["coherence"], "0.512 is 51.2 percent.")
        rows.append(row | fixed | common)
    return assemble(DOTS, display, seeded(rows, rng))


_RULES: dict[str, tuple[Signal, Noise]] = {
    "limited_lifetime": ("same", "position"), "white_noise": ("different", "position"),
    "brownian": ("different", "walk"), "interleaved": ("different", "position"),
}  # fmt: skip
_SHAPES = ("disc", "gaussian")


def _number(display: Display, common: Row, n_dots: int | None, density: float | None) -> int:
    check(n_dots is None or density is None, "density_per_deg2", "left out when n_dots is given", density)
    if n_dots is not None:
        return count("n_dots", n_dots)
    height, width = (n / display.px_per_deg for n in common["shape_px"])
    return max(1, round(positive("density_per_deg2", 2.0 if density is None else density) * height * width))


def _field(patch: Patch) -> np.ndarray:
    """Return (width, height) of the patch in degrees at the centre's scale."""
    return np.array([patch.shape_px[1], patch.shape_px[0]]) / patch.px_per_deg


def _dot_tracks(row: Row, patch: Patch) -> _Tracks:
    """Simulate all frames; in step k only the dots of set k mod n_sets move, by the time since they were last seen."""
    rng = np.random.default_rng(row["seed"])
    n, frames, sets = row["n_dots"], row["n_frames"], row["n_sets"]
    field = _field(patch)
    at = np.empty((frames, n, 2))
    shown, signal = np.zeros((frames, n), bool), np.zeros((frames, n), bool)
    now = (rng.random((n, 2)) - 0.5) * field
    member = np.arange(n) % sets
    life = row["lifetime_frames"]
    age = rng.permutation(np.arange(n) % life) if life else np.zeros(n, dtype=int)
    own = rng.uniform(0, 2 * np.pi, n)
    per_set = n // sets
    fixed = rng.permuted(np.tile(np.arange(per_set), (sets, 1)), axis=1).T.ravel() < round(row["coherence"] * per_set)
    length = row["speed_deg_s"] * sets / row["fps"]
    step = vector(length, row["direction_deg"])
    for k in range(frames):
        here = member == k % sets
        if k >= sets:
            now, signal[k], age, own = _step(row, rng, now, here, fixed, step, length, age, own, field)
        at[k], shown[k] = now, here
    return _Tracks(at, shown, signal)


def _step(
    row: Row, rng: np.random.Generator, now: np.ndarray, here: np.ndarray, fixed: np.ndarray, step: np.ndarray,
    length: float, age: np.ndarray, own: np.ndarray, field: np.ndarray,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Move the dots that are `here`."""
    n = len(now)
    if row["signal"] == "same":
        carries = fixed & here
    else:
        among = np.flatnonzero(here)
        carries = np.zeros(n, bool)
        carries[rng.permutation(among)[: round(row["coherence"] * len(among))]] = True
    anywhere = (rng.random((n, 2)) - 0.5) * field
    angle = own if row["noise"] == "direction" else rng.uniform(0, 2 * np.pi, n)
    aside = now + length * np.stack([np.cos(angle), np.sin(angle)], 1)
    moved = np.where(carries[:, None], now + step, anywhere if row["noise"] == "position" else aside)
    outside = (np.abs(moved) > field / 2).any(1)
    back = (moved + field / 2) % field - field / 2
    moved = np.where(outside[:, None], back if row["wrap"] == "torus" else anywhere, moved)
    if row["wrap"] == "respawn":
        carries = carries & ~outside
    if row["lifetime_frames"]:
        age = np.where(here, age + 1, age)
        over = here & (age >= row["lifetime_frames"])
        moved = np.where(over[:, None], anywhere, moved)
        own = np.where(over, rng.uniform(0, 2 * np.pi, n), own)
        carries, age = carries & ~over, np.where(over, 0, age)
    return np.where(here[:, None], moved, now), carries, age, own


def _lightness(row: Row) -> np.ndarray:
    """Return +1 for light and -1 for dark dots, (frames, dots)."""
    n, k = row["n_dots"], np.arange(row["n_frames"])[:, None]
    both = np.random.default_rng([row["seed"], 1]).permutation(np.where(np.arange(n) % 2, 1.0, -1.0))
    first = {"light": np.ones(n), "dark": -np.ones(n), "both": both}[row["polarity"]]
    return first * np.where(k % 2, -1.0, 1.0) if row["reverse_phi"] else np.broadcast_to(first, (len(k), n))


def splat(patch: Patch, at_deg: np.ndarray, values: np.ndarray, diameter_deg: float, shape: str) -> np.ndarray:
    """Draw dots: (frames, n, 2) degrees and (frames, n) values to (frames, h, w); the strongest wins.

    Values of 0 and NaN places are not drawn.
    """
    frames, height, width = len(at_deg), *patch.shape_px
    radius = diameter_deg / 2 * patch.px_per_deg
    reach = int(np.ceil(radius * (1.5 if shape == "gaussian" else 1) + 1))
    f, i = np.nonzero((values != 0) & np.isfinite(at_deg).all(-1))
    x = at_deg[f, i, 0] * patch.px_per_deg + (width - 1) / 2
    y = (height - 1) / 2 - at_deg[f, i, 1] * patch.px_per_deg
    offset = np.arange(-reach, reach + 1)
    columns = np.floor(x + 0.5).astype(int)[:, None, None] + offset[None, None, :]
    rows = np.floor(y + 0.5).astype(int)[:, None, None] + offset[None, :, None]
    distance = np.hypot(columns - x[:, None, None], rows - y[:, None, None])
    cover = np.exp(-(distance**2) / (radius**2 / 2)) if shape == "gaussian" else np.clip(radius - distance + 0.5, 0, 1)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & (cover > 1e-4)
    index = np.broadcast_to(f[:, None, None], inside.shape)[inside] * height * width
    index = index + (rows * width + columns)[inside]
    light = (values[f, i][:, None, None] * cover)[inside]
    drawn = np.zeros((2, frames * height * width))
    np.maximum.at(drawn[0], index, light)
    np.minimum.at(drawn[1], index, light)
    stronger = np.where(drawn[0] >= -drawn[1], drawn[0], drawn[1])
    return stronger.reshape(frames, height, width)


def _draw_dots(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    tracks = _dot_tracks(row, patch)
    values = row["contrast"] * _lightness(row) * tracks.shown
    return splat(patch, tracks.at[start:stop], values[start:stop], row["diameter_deg"], row["shape"])


def _dots_truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    tracks = _dot_tracks(row, patch)
    at = np.where(tracks.shown[..., None], tracks.at, np.nan)
    truth = steady(vector(row["speed_deg_s"], row["direction_deg"]), row, patch)
    return truth | {"tracks_deg": at, "is_signal": tracks.signal, "is_light": _lightness(row) > 0}


def _dots_peak(row: Row) -> float:
    return row["contrast"]


DOTS = Kind("dots", _draw_dots, _dots_truth, _dots_peak)


def optic_flow(
    display: Display,
    *,
    translation_deg_s: tuple[float, float] = (0.0, 0.0),
    expansion_hz: float | Sequence[float] = 0.0,
    rotation_deg_s: float | Sequence[float] = 0.0,
    focus_deg: tuple[float, float] = (0.0, 0.0),
    density_per_deg2: float = 2.0,
    diameter_deg: float = 0.15,
    contrast: float = 1.0,
    polarity: Literal["light", "dark", "both"] = "light",
    lifetime_frames: int = 12,
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make fields of dots that translate, expand, rotate, or spiral (both at once).

    A dot at p moves with v(p) = translation + expansion (p - focus) + rotation x (p - focus), along the exact path of
    that field; it gets a random place after `lifetime_frames` and when it leaves.

    Parameters
    ----------
    display
        The monitor.
    translation_deg_s
        (vx, vy), y up.
    expansion_hz
        Speed over distance from the focus; negative contracts.
    rotation_deg_s
        Angular speed about the focus, counter-clockwise, in degrees of rotation a second.
    focus_deg
        (x, y) relative to the patch's centre.
    density_per_deg2, diameter_deg, contrast, polarity, lifetime_frames, rng
        As in `dots`.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth`: ``flow_deg_s`` (n, 1, 2, h, w), the field at every pixel; ``velocity_deg_s`` (n, 2), at the patch's
        centre; ``tracks_deg`` (n, frames, dots, 2).

    Raises
    ------
    ValueError
        As `dots`.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    >>> s = npc.stimuli.optic_flow(display, expansion_hz=[0.5, -0.5], rng=0)
    >>> s.truth["flow_deg_s"][0, 0, :, 0, -1].tolist()  # the top right corner, 2.94 degrees away on each axis
    [1.46875, 1.46875]
    """
    common = placed(display, shown)
    fixed: Row = {
        "translation_deg_s": [float(v) for v in translation_deg_s], "focus_deg": [float(v) for v in focus_deg],
        "diameter_deg": positive("diameter_deg", diameter_deg), "contrast": positive("contrast", contrast),
        "polarity": one_of("polarity", polarity, ("light", "dark", "both")), "reverse_phi": False,
        "lifetime_frames": count("lifetime_frames", lifetime_frames),
        "n_dots": _number(display, common, None, density_per_deg2),
    }  # fmt: skip
    rows = [row | fixed | common for row in crossed(expansion_hz=expansion_hz, rotation_deg_s=rotation_deg_s)]
    for row in rows:
        check_tf(1e12, row["expansion_hz"], "expansion_hz")
        check_tf(1e12, row["rotation_deg_s"], "rotation_deg_s")
    return assemble(OPTIC_FLOW, display, seeded(rows, rng))


def _velocity(row: Row, x: Any, y: Any) -> tuple[Any, Any]:
    """Return (vx, vy) of the field at places relative to the patch's centre."""
    e, w = row["expansion_hz"], np.deg2rad(row["rotation_deg_s"])
    dx, dy = x - row["focus_deg"][0], y - row["focus_deg"][1]
    return row["translation_deg_s"][0] + e * dx - w * dy, row["translation_deg_s"][1] + e * dy + w * dx


def _flow_tracks(row: Row, patch: Patch) -> np.ndarray:
    """Integrate exactly: about its fixed point (complex numbers) the field multiplies by exp((e + i w) t)."""
    rng = np.random.default_rng(row["seed"])
    field, n = _field(patch), row["n_dots"]
    rate = complex(row["expansion_hz"], np.deg2rad(row["rotation_deg_s"]))
    shift = complex(*row["translation_deg_s"])
    focus = complex(*row["focus_deg"])
    factor = np.exp(rate / row["fps"])
    drift = shift / row["fps"] if rate == 0 else shift * (factor - 1) / rate
    random = (rng.random((row["n_frames"], n, 2)) - 0.5) * field
    at = random[..., 0] + 1j * random[..., 1]
    born = rng.permutation(np.arange(n) % row["lifetime_frames"])
    for k in range(1, row["n_frames"]):
        moved = focus + (at[k - 1] - focus) * factor + drift
        new = (np.abs(moved.real) > field[0] / 2) | (np.abs(moved.imag) > field[1] / 2)
        new |= (k + born) % row["lifetime_frames"] == 0
        at[k] = np.where(new, at[k], moved)
    return np.stack([at.real, at.imag], -1)


def _draw_flow(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    values = row["contrast"] * _lightness(row)
    return splat(patch, _flow_tracks(row, patch)[start:stop], values[start:stop], row["diameter_deg"], "disc")


def _flow_truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    truth = steady(_velocity(row, 0.0, 0.0), row, patch)
    flow = np.stack(_velocity(row, patch.x_deg, patch.y_deg))
    truth["flow_deg_s"] = np.where(np.isnan(truth["flow_deg_s"][0]), np.nan, flow).astype(np.float32)[None]
    return truth | {"tracks_deg": _flow_tracks(row, patch)}


OPTIC_FLOW = Kind("optic_flow", _draw_flow, _flow_truth, _dots_peak)
