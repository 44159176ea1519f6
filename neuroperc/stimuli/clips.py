"""Clips of moving shapes on a moving ground with dense flow, for training and for errors of flow; records of all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from .._check import check, fail, non_negative, one_of, positive
from ..data import StimulusSet
from ..display import Display
from ._made import Kind, Patch, Row, Shown, as_times, assemble, count, placed, seeded
from .arrays import GABOR_ARRAY
from .dots import DOTS, OPTIC_FLOW
from .gratings import BARBER_POLE, GRATING, PLAID
from .noise import DRIFTING_NOISE, MOTION_CLOUD, PHI
from .second_order import SECOND_ORDER

_WAVES = 24


def flow_clips(
    display: Display,
    *,
    n: int,
    n_shapes: int = 3,
    max_speed_deg_s: float = 4.0,
    ground_speed_deg_s: float | None = None,
    max_rotation_deg_s: float = 0.0,
    textured: bool = True,
    contrast: float = 0.8,
    shape: Literal["mixed", "disc", "rectangle"] = "mixed",
    rng: int | np.random.Generator,
    **shown: Unpack[Shown],
) -> StimulusSet:
    """Make clips of shapes that move over a textured ground, with the velocity and the shape at every pixel.

    Parameters
    ----------
    display
        The monitor.
    n
        Clips.
    n_shapes
        Shapes in each; later ones cover earlier ones.
    max_speed_deg_s, ground_speed_deg_s
        Speeds are uniform up to these, directions uniform; the ground's default is that of the shapes, 0 keeps it
        still.
    max_rotation_deg_s
        Shapes turn about their centres by up to this.
    textured
        Shapes carry textures (sums of gratings, exact between pixels), or plain greys.
    contrast
        Largest difference from the background, in shares of it.
    shape
        What the shapes are.
    rng
        Seed or generator.
    **shown
        Size, place, time, background and aperture: see `Shown`.

    Returns
    -------
    StimulusSet
        `truth`: ``flow_deg_s`` (n, frames, 2, h, w), the velocity of what is seen at every pixel; ``shape_map``
        (n, frames, h, w), 0 the ground and 1, 2, ... the shapes; ``velocity_deg_s`` (n, 2), the ground's.

    Raises
    ------
    ValueError
        As `gratings`.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(48, 48))
    >>> clips = npc.stimuli.flow_clips(display, n=2, duration_s=0.2, rng=0)
    >>> clips.truth["flow_deg_s"].shape, int(clips.truth["shape_map"].max())
    ((2, 12, 2, 48, 48), 3)
    """
    common = placed(display, shown)
    number, speed = count("n", n), non_negative("max_speed_deg_s", max_speed_deg_s)
    ground = speed if ground_speed_deg_s is None else non_negative("ground_speed_deg_s", ground_speed_deg_s)
    check(positive("contrast", contrast) <= 1, "contrast", "at most 1", contrast)
    row: Row = {
        "n_shapes": count("n_shapes", n_shapes, 0), "max_speed_deg_s": speed, "ground_speed_deg_s": ground,
        "max_rotation_deg_s": non_negative("max_rotation_deg_s", max_rotation_deg_s), "textured": int(bool(textured)),
        "contrast": float(contrast), "shape": one_of("shape", shape, ("mixed", "disc", "rectangle")),
    }  # fmt: skip
    return assemble(FLOW_CLIP, display, seeded([row | common] * number, rng))


def _scene(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    """Draw what there is: layer 0 is the ground."""
    rng = np.random.default_rng(row["seed"])
    n, short = row["n_shapes"] + 1, min(patch.shape_px) / patch.px_per_deg
    fastest = np.where(np.arange(n) == 0, row["ground_speed_deg_s"], row["max_speed_deg_s"])
    speed, direction = rng.uniform(0, 1, n) * fastest, rng.uniform(0, 2 * np.pi, n)
    middle = (row["n_frames"] - 1) / 2 / row["fps"]
    velocity = np.stack([speed * np.cos(direction), speed * np.sin(direction)], 1)
    center = rng.uniform(-0.35, 0.35, (n, 2)) * short - velocity * middle
    kinds = {"disc": 0, "rectangle": 1}.get(row["shape"])
    octave = rng.uniform(np.log2(1 / short), np.log2(patch.px_per_deg / 6), (n, _WAVES))
    angle, phase = rng.uniform(0, 2 * np.pi, (n, _WAVES)), rng.uniform(0, 2 * np.pi, (n, _WAVES))
    weight = 2.0 ** (-0.5 * octave)
    return {
        "velocity": velocity, "center": center, "turn": rng.uniform(-1, 1, n) * np.deg2rad(row["max_rotation_deg_s"]),
        "half": rng.uniform(0.1, 0.25, (n, 2)) * short, "kind": rng.integers(0, 2, n) if kinds is None
        else np.full(n, kinds), "angle0": rng.uniform(0, 2 * np.pi, n),
        "wave": 2.0**octave[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1), "phase": phase,
        "weight": weight / weight.sum(1, keepdims=True), "grey": rng.uniform(-1, 1, n),
    }  # fmt: skip


def _layer(scene: dict[str, np.ndarray], i: int, row: Row, patch: Patch, time: NDArray[Any]) -> tuple[np.ndarray, ...]:
    """Return (signal, cover, vx, vy) of one layer, each (frames, h, w)."""
    moved = scene["center"][i] + scene["velocity"][i] * time[..., 0]
    dx, dy = patch.x_deg - moved[:, 0, None, None], patch.y_deg - moved[:, 1, None, None]
    turn = scene["turn"][i] if i else 0.0
    angle = scene["angle0"][i] + turn * time
    u, v = dx * np.cos(angle) + dy * np.sin(angle), -dx * np.sin(angle) + dy * np.cos(angle)
    if i == 0 or row["textured"]:
        wave = scene["wave"][i]
        turns = u[..., None] * wave[:, 0] + v[..., None] * wave[:, 1]
        signal = np.cos(2 * np.pi * turns + scene["phase"][i]) @ scene["weight"][i]
        signal = np.clip(2.5 * signal, -1, 1)
    else:
        signal = np.full(u.shape, scene["grey"][i])
    half = scene["half"][i]
    box = np.minimum(half[0] - np.abs(u), half[1] - np.abs(v))
    depth = box if scene["kind"][i] else half[0] - np.hypot(u, v)
    cover = np.ones_like(u) if i == 0 else np.clip(depth * patch.px_per_deg + 0.5, 0, 1)
    return signal, cover, scene["velocity"][i, 0] - turn * dy, scene["velocity"][i, 1] + turn * dx


def _draw(row: Row, patch: Patch, start: int, stop: int) -> np.ndarray:
    scene, time = _scene(row, patch), as_times(row, start, stop)
    seen = np.zeros((stop - start, *patch.shape_px))
    for i in range(row["n_shapes"] + 1):  # from back to front
        signal, cover, _, _ = _layer(scene, i, row, patch, time)
        seen += cover * (signal - seen)
    return row["contrast"] * seen


def _truth(row: Row, patch: Patch) -> dict[str, np.ndarray]:
    scene, time = _scene(row, patch), as_times(row, 0, row["n_frames"])
    flow = np.zeros((row["n_frames"], 2, *patch.shape_px), dtype=np.float32)
    shape_map = np.zeros((row["n_frames"], *patch.shape_px), dtype=np.int16)
    for i in range(row["n_shapes"] + 1):
        _, cover, vx, vy = _layer(scene, i, row | {"textured": 0}, patch, time)
        mine = cover >= 0.5
        flow = np.where(mine[:, None], np.stack([vx, vy], 1), flow).astype(np.float32)
        shape_map[mine] = i
    return {"velocity_deg_s": scene["velocity"][0], "flow_deg_s": flow, "shape_map": shape_map}


def _peak(row: Row) -> float:
    return row["contrast"]


FLOW_CLIP = Kind("flow_clip", _draw, _truth, _peak)

_KINDS = {
    kind.name: kind
    for kind in (
        GRATING, PLAID, BARBER_POLE, DOTS, OPTIC_FLOW, DRIFTING_NOISE, MOTION_CLOUD, PHI, SECOND_ORDER, GABOR_ARRAY,
        FLOW_CLIP,
    )
}  # fmt: skip


def regenerate(records: str | Sequence[str]) -> StimulusSet:
    """Make stimuli again from their records, bit by bit.

    Parameters
    ----------
    records
        One text or several, from the column ``record`` of a generator's table; several must share display, size and
        timing.

    Returns
    -------
    StimulusSet
        Pixels, truth and fingerprint are those of the first time.

    Raises
    ------
    ValueError
        For a text that is no record, or records of different kinds or shapes.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 32))
    >>> s = npc.stimuli.dots(display, speed_deg_s=4, direction_deg=[0, 90], rng=3)
    >>> npc.stimuli.regenerate(s.table["record"].tolist()) == s
    True
    """
    texts = [records] if isinstance(records, str) else list(records)
    check(len(texts) > 0, "records", "one or more", "none")
    rows = []
    for text in texts:
        try:
            rows.append(json.loads(text))
        except (TypeError, ValueError):
            fail("records", "texts from the column 'record'", text)
        known = isinstance(rows[-1], dict) and rows[-1].get("kind") in _KINDS
        check(known, "records", "of one of the kinds " + ", ".join(_KINDS), text, "Was it made by a generator?")
    same = ("kind", "display", "corner_px", "shape_px", "fps", "n_frames")
    alike = all(row[name] == rows[0][name] for row in rows for name in same)
    check(alike, "records", "of one kind, display, size and timing", f"{len(rows)} that differ", "Make them in groups.")
    display = Display.from_dict(rows[0]["display"])
    plain = [{k: v for k, v in row.items() if k not in ("kind", "display")} for row in rows]
    return assemble(_KINDS[rows[0]["kind"]], display, plain)


def flow_px(stimuli: StimulusSet, item: int | str) -> np.ndarray:
    """Return the true flow of a moving stimulus in the convention of flow files: (frames, 2, h, w), (u, v) with v down.

    Parameters
    ----------
    stimuli
        What a generator made: its `truth` holds ``flow_deg_s``.
    item
        Position or id.

    Returns
    -------
    ndarray
        Pixels per frame at the display's centre, one frame after the other also for steady motion; NaN where nothing
        moves or no velocity is defined.

    Raises
    ------
    ValueError
        Without ``flow_deg_s``.

    Examples
    --------
    >>> import neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(6, resolution_px=(24, 24), refresh_hz=60)
    >>> s = npc.stimuli.drifting_noise(display, speed_deg_s=10, direction_deg=90, rng=0)
    >>> flow = npc.stimuli.flow_px(s, 0)
    >>> flow.shape, flow[0, :, 0, 0].tolist()  # up is negative
    ((30, 2, 24, 24), [0.0, -1.0])
    """
    check("flow_deg_s" in stimuli.truth and stimuli.fps is not None, "stimuli", "with truth['flow_deg_s']",
          list(stimuli.truth), "Make them with a generator of neuroperc.stimuli.")  # fmt: skip
    position = stimuli.ids.index(item) if isinstance(item, str) else item
    flow = np.asarray(stimuli.truth["flow_deg_s"][position], dtype=float)
    scale = stimuli.display.px_per_deg / float(stimuli.fps or 1)
    signed = flow * np.array([scale, -scale])[:, None, None]
    frames = stimuli.shapes[position][0]
    return np.broadcast_to(signed, (frames, *signed.shape[1:])) + 0.0
