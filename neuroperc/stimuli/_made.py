"""What all moving stimuli share: where and when they are shown, pixels drawn when they are read, and their record.

A generator makes a row of plain numbers and text a stimulus. A `Kind` draws the contrast signal of such a row, frame
by frame: light is ``background * (1 + ramp * aperture * signal)``. The row, as JSON, is the stimulus: `regenerate`
draws the same bytes from it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._check import as_rng, check, fail, finite, integer, non_negative, one_of, pair, positive
from ..data import StimulusSet
from ..data._pixels import Pixels, recode
from ..display import Display

Aperture = Literal["none", "disc", "gaussian", "raised_cosine"]
APERTURES: tuple[Aperture, ...] = ("none", "disc", "gaussian", "raised_cosine")
DEFAULT_DEG = 6.0
Row = dict[str, Any]


class Shown(TypedDict, total=False):
    """Where, when and on what every moving stimulus is shown.

    Attributes
    ----------
    size_deg
        (height, width) or one number for a square, rounded to whole pixels of the display. Default 6 degrees, or the
        shorter side of a smaller display.
    center_deg
        (x, y) of the centre, moved onto the display's pixels; default (0, 0).
    duration_s
        Default 0.5.
    fps
        Frames per second, at most the refresh rate; default that rate.
    ramp_s
        Contrast rises and falls along half a cosine; default 0.
    rounding
        "nearest" accepts durations and ramps that are not a whole number of frames; the table holds what was realised.
    background
        Mean luminance, linear light; default 0.5.
    aperture
        "none", "disc", "gaussian" or "raised_cosine", blending to the background.
    aperture_deg
        Diameter of disc and raised cosine (where its edge ends), s.d. of the Gaussian; default the shorter side, and a
        sixth of it.
    edge_deg
        Width of the raised cosine's edge; default a fifth of its radius.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> shown = npc.stimuli.Shown(size_deg=4, duration_s=0.25, ramp_s=0.05, aperture="raised_cosine")
    >>> npc.stimuli.gratings(display, sf_cpd=1, tf_hz=4, **shown).shapes
    [(15, 1, 32, 32)]
    """

    size_deg: Any
    center_deg: tuple[float, float]
    duration_s: float
    fps: float
    ramp_s: float
    rounding: Literal["nearest"] | None
    background: float
    aperture: Aperture
    aperture_deg: float
    edge_deg: float


class Patch(NamedTuple):
    """A rectangle of the display's pixels. `x_deg`, `y_deg` (h, w) are degrees from its centre, y up."""

    shape_px: tuple[int, int]
    size_deg: tuple[float, float]
    center_deg: tuple[float, float]
    x_deg: np.ndarray
    y_deg: np.ndarray
    px_per_deg: float

    @property
    def radius_deg(self) -> np.ndarray:
        """Distance of every pixel from the centre."""
        return np.hypot(self.x_deg, self.y_deg)


class Kind(NamedTuple):
    """How one kind of stimulus is drawn.

    `draw(row, patch, start, stop)` returns the signal (frames, h, w); `truth(row, patch)` what is known; `peak(row)`
    the largest absolute signal, or None when it must be looked for.
    """

    name: str
    draw: Callable[[Row, Patch, int, int], np.ndarray]
    truth: Callable[[Row, Patch], dict[str, np.ndarray]]
    peak: Callable[[Row], float] | None


def make_patch(display: Display, corner_px: tuple[int, int], shape_px: tuple[int, int]) -> Patch:
    """Return the patch whose top-left pixel is `corner_px` (row, column)."""
    height, width = shape_px
    middle = corner_px[1] + (width - 1) / 2, corner_px[0] + (height - 1) / 2
    center = np.asarray(display.to_deg(middle))
    columns, rows = np.meshgrid(corner_px[1] + np.arange(width), corner_px[0] + np.arange(height))
    points = np.asarray(display.to_deg(np.stack((columns, rows), -1).astype(float))) - center
    screen = np.asarray(display.center_px)
    half = np.asarray(display.to_deg(screen + np.array([width / 2, -height / 2])))
    size = 2 * float(half[1]), 2 * float(half[0])
    return Patch(
        shape_px, size, (float(center[0]), float(center[1])), points[..., 0], points[..., 1], display.px_per_deg
    )


def _rectangle(display: Display, size_deg: Any, center_deg: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (corner_px, shape_px), both (row, column), on whole pixels of the display."""
    if size_deg is None:
        short = min(display.extent_deg)
        size = (min(DEFAULT_DEG, short),) * 2
    else:
        size = pair("size_deg", (size_deg, size_deg) if np.isscalar(size_deg) else size_deg)
    check(min(size) > 0, "size_deg", "above 0 degrees", size_deg)
    center = pair("center_deg", center_deg, "(x, y)")
    screen, at = np.asarray(display.center_px), np.asarray(display.to_px(center))
    edge = np.abs(np.asarray(display.to_px((size[1] / 2, size[0] / 2))) - screen)[::-1] * 2  # (height, width) in px
    resolution = np.asarray(display.resolution_px)
    # The parity of the screen, so that a centred patch stays centred.
    shape = np.maximum(resolution % 2 + 2 * np.round((edge - resolution % 2) / 2), 1).astype(int)
    corner = np.floor(at[::-1] - (shape - 1) / 2 + 0.5).astype(int)
    inside = (corner >= 0).all() and (corner + shape <= resolution).all()
    extent = tuple(round(v, 4) for v in display.extent_deg)
    check(inside, "size_deg and center_deg", f"on the display of {extent} degrees (h, w)", (size, center),
          "Use a smaller size or another centre.")  # fmt: skip
    return (int(corner[0]), int(corner[1])), (int(shape[0]), int(shape[1]))


def placed(display: Display, shown: Mapping[str, Any]) -> Row:
    """Check the `Shown` arguments and return the part of the row that they make."""
    unknown = sorted(set(shown) - set(Shown.__annotations__))
    check(not unknown, "arguments", f"among those of the generator and {', '.join(Shown.__annotations__)}", unknown,
          error=TypeError)  # fmt: skip
    check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
    corner, shape = _rectangle(display, shown.get("size_deg"), shown.get("center_deg", (0.0, 0.0)))
    fps = positive("fps", shown.get("fps", display.refresh_hz))
    check(fps <= display.refresh_hz * (1 + 1e-9), "fps", f"at most the display's {display.refresh_hz:g} Hz", fps)
    rounding = one_of("rounding", shown.get("rounding"), (None, "nearest"))
    n_frames = whole_frames("duration_s", positive("duration_s", shown.get("duration_s", 0.5)), fps, rounding)
    check(n_frames > 0, "duration_s", "one frame or more", shown.get("duration_s"))
    n_ramp = whole_frames("ramp_s", non_negative("ramp_s", shown.get("ramp_s", 0.0)), fps, rounding)
    check(2 * n_ramp <= n_frames, "ramp_s", "at most half of duration_s", shown.get("ramp_s"))
    background = positive("background", shown.get("background", 0.5))
    check(background < 1, "background", "linear light below 1", background)
    aperture = one_of("aperture", shown.get("aperture", "none"), APERTURES)
    short = min(make_patch(display, corner, shape).size_deg)
    wide = positive("aperture_deg", shown.get("aperture_deg", short / 6 if aperture == "gaussian" else short))
    edge = positive("edge_deg", shown.get("edge_deg", wide / 10))
    check(aperture != "raised_cosine" or edge <= wide / 2, "edge_deg", "at most the radius", edge)
    return {
        "corner_px": list(corner), "shape_px": list(shape), "fps": fps, "n_frames": n_frames, "n_ramp": n_ramp,
        "background": background, "aperture": aperture, "aperture_deg": wide, "edge_deg": edge,
    }  # fmt: skip


def whole_frames(name: str, seconds: float, fps: float, rounding: str | None) -> int:
    """Return the number of frames in a time; raise when it is not whole, unless rounding is "nearest"."""
    exact = seconds * float(Fraction(fps).limit_denominator(10**6))
    n = round(exact)
    if rounding is None and abs(exact - n) > 1e-6 * max(1, n):
        fail(name, f"a whole number of frames at {fps:g} per second", f"{seconds:g} s, {exact:.6g} frames",
             f"Use {n / fps:.6g}, or rounding='nearest'.")  # fmt: skip
    return n


def crossed(**factors: Any) -> list[Row]:
    """Return a row for every combination of values; a single number or a text is one value."""
    lists = []
    for name, values in factors.items():
        several = isinstance(values, (list, tuple, range, np.ndarray)) and np.ndim(values) == 1
        items = [v.item() if isinstance(v, np.generic) else v for v in values] if several else [values]
        check(len(items) > 0, name, "one value or more", "none")
        for value in items:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            check(not number or np.isfinite(value), name, "finite", value)
        lists.append(items)
    return [dict(zip(factors, values, strict=True)) for values in itertools.product(*lists)]


def seeded(rows: list[Row], rng: int | np.random.Generator | None) -> list[Row]:
    """Give every row a seed of its own, drawn from `rng`."""
    seeds = as_rng(rng).integers(2**53, size=len(rows))
    return [row | {"seed": int(seed)} for row, seed in zip(rows, seeds, strict=True)]


def as_times(row: Row, start: int, stop: int) -> np.ndarray:
    """Return the seconds at which frames begin, (frames, 1, 1)."""
    return (np.arange(start, stop) / row["fps"])[:, None, None]


def ramp(row: Row, start: int, stop: int) -> np.ndarray:
    """Return the share of the contrast of each frame."""
    k, n = np.arange(start, stop), row["n_ramp"]
    if n == 0:
        return np.ones(len(k))
    nearer = np.minimum(k, row["n_frames"] - 1 - k)
    return np.sin(np.pi / 2 * np.minimum((nearer + 0.5) / n, 1)) ** 2


def aperture_of(row: Row, patch: Patch) -> np.ndarray:
    """Return the share of the contrast at every pixel."""
    kind, wide = row["aperture"], row["aperture_deg"]
    if kind == "none":
        return np.ones(patch.shape_px)
    r = patch.radius_deg
    if kind == "gaussian":
        return np.exp(-(r**2) / (2 * wide**2))
    if kind == "disc":
        return np.clip((wide / 2 - r) * patch.px_per_deg + 0.5, 0, 1)
    inward = np.clip((wide / 2 - r) / row["edge_deg"], 0, 1)
    return np.sin(np.pi / 2 * inward) ** 2


@dataclass(frozen=True)
class MadePixels(Pixels):
    """A movie drawn from its row when it is read."""

    shape: tuple[int, ...]
    kind: Kind
    row: str
    display: Display

    def read(self, encoding: Any, start: int = 0, stop: int | None = None) -> Tensor:
        """Draw the frames asked for."""
        row = json.loads(self.row)
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        patch = make_patch(self.display, tuple(row["corner_px"]), tuple(row["shape_px"]))
        light = light_of(self.kind, row, patch, start, max(stop, start))
        tensor = torch.from_numpy(light.astype(np.float32)[:, None])
        return recode(tensor.clamp_(0, 1), "linear", encoding)


def light_of(kind: Kind, row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    """Return linear light (frames, h, w)."""
    signal = kind.draw(row, patch, start, stop)
    share = ramp(row, start, stop)[:, None, None] * aperture_of(row, patch)
    return row["background"] * (1 + share * signal)


def assemble(kind: Kind, display: Display, rows: list[Row]) -> StimulusSet:
    """Make the StimulusSet of complete rows, which share size and timing."""
    patch = make_patch(display, tuple(rows[0]["corner_px"]), tuple(rows[0]["shape_px"]))
    shape = (rows[0]["n_frames"], 1, *patch.shape_px)
    pixels, truths = [], []
    for number, row in enumerate(rows):
        _check_gamut(kind, row, patch, number)
        truths.append(kind.truth(row, patch))
        pixels.append(MadePixels(shape, kind, json.dumps(row), display))
    table = pd.DataFrame([_columns(row) for row in rows])
    table["record"] = [json.dumps({"kind": kind.name, "display": display.to_dict(), **row}) for row in rows]
    table = table.assign(
        width_deg=patch.size_deg[1], height_deg=patch.size_deg[0], x_deg=patch.center_deg[0], y_deg=patch.center_deg[1]
    )
    table.index = pd.Index([f"{i:0{max(4, len(str(len(rows))))}d}" for i in range(len(rows))], name="stimulus_id")
    truth = {name: np.stack([t[name] for t in truths]) for name in truths[0]}
    return StimulusSet(table, display, tuple(pixels), "linear", rows[0]["fps"], truth)


def _columns(row: Row) -> Row:
    """Return what the table shows of a row: numbers and text."""
    hidden = ("corner_px", "shape_px", "n_frames", "n_ramp", "fps")
    shown = {k: v if isinstance(v, (int, float, str)) else json.dumps(v) for k, v in row.items() if k not in hidden}
    realised = {"duration_s": row["n_frames"] / row["fps"], "ramp_s": row["n_ramp"] / row["fps"]}
    return shown | realised


def _check_gamut(kind: Kind, row: Row, patch: Patch, number: int) -> None:
    low, high = 0.0, 0.0
    if kind.peak is not None:
        high = kind.peak(row)
        low = -high
    else:
        step = max(1, 2**24 // (patch.shape_px[0] * patch.shape_px[1]))
        share = aperture_of(row, patch)
        for k in range(0, row["n_frames"], step):
            signal = kind.draw(row, patch, k, min(k + step, row["n_frames"])) * share
            finite("signal", signal)
            low, high = min(low, float(signal.min())), max(high, float(signal.max()))
    light = row["background"] * (1 + low), row["background"] * (1 + high)
    if light[0] < -1e-9 or light[1] > 1 + 1e-9:
        factor = min(1 / max(-low, 1e-12), (1 / row["background"] - 1) / max(high, 1e-12))
        fail(f"contrast of stimulus {number}", "such that light stays within [0, 1]",
             f"{light[0]:.4g} to {light[1]:.4g}", f"Multiply the contrast by {factor:.3g} or less.")  # fmt: skip


def steady(velocity: Any, row: Row, patch: Patch) -> dict[str, np.ndarray]:
    """Return the truth of one velocity (vx, vy) in deg/s, y up, wherever the aperture lets it be seen."""
    v = np.asarray(velocity, dtype=float)
    seen = aperture_of(row, patch) > 0
    flow = np.where(seen, v[:, None, None], np.nan).astype(np.float32)
    return {"velocity_deg_s": v, "flow_deg_s": flow[None]}


def vector(speed: float, direction_deg: float) -> np.ndarray:
    """Return (vx, vy) with exact zeros along the axes."""
    a = np.deg2rad(direction_deg)
    return speed * np.round(np.array([np.cos(a), np.sin(a)]), 15)


def check_sf(display: Display, sf_cpd: float, name: str = "sf_cpd") -> float:
    """Return a spatial frequency that the display can show."""
    f = positive(name, sf_cpd)
    limit = display.nyquist_cpd
    check(f <= limit, name, f"at most {limit:.4g}, Nyquist of the display", f, "Use a lower one.")
    return f


def check_tf(fps: float, tf_hz: float, name: str = "tf_hz") -> float:
    """Return a temporal frequency that the frames can show."""
    w = float(tf_hz)
    check(
        np.isfinite(w) and abs(w) <= fps / 2, name, f"within {fps / 2:g}, Nyquist at {fps:g} fps", w, "Use a lower one."
    )
    return w


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number."""
    return integer(name, value, least)
