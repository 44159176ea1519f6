"""The search experiments: display sizes, grids, set sizes, and what target and distractors look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ._search_tiles import Tile, arc, area, boxes, four_views, painted, shaded_disc, spun, turned, upright_bar

Rule = Literal["cycle", "random", "balanced"]
Tiles = tuple[tuple[Tile, ...], tuple[Tile, ...]]

_BLACK, _WHITE = 0, 255
_RED, _GREEN = (255, 0, 0), (0, 148, 0)  # sRGB codes of equal luminance
# Clockwise from vertical. The authors' list is -80 -60 -40 20 40 60 80 in OpenCV's sense, counter-clockwise, where the
# tilted target is -20: with the other task's target these are all multiples of 20 but the target itself.
_MIXED = (80, 60, 40, -20, -40, -60, -80)


@dataclass(frozen=True)
class Design:
    """One search task.

    Attributes
    ----------
    experiment
        The experiment to which this task and its counterpart belong.
    view_deg, n_grid, item_deg
        Side of the square display, cells on a side, side of an item's square tile.
    set_sizes, n_displays
        As in the experiment; displays for each set size.
    ground_code
        Grey of the background, 0 to 255.
    tiles
        Function of (pixels per degree) to the looks of the target and those of the distractors.
    rule
        How looks are given to items: by number ("cycle"), at random, or each once before any repeats ("balanced").
    finest_deg
        The thinnest detail, which needs one pixel.
    """

    experiment: str
    view_deg: float
    n_grid: int
    item_deg: float
    set_sizes: tuple[int, ...]
    n_displays: int
    ground_code: int
    tiles: Callable[[float], Tiles]
    rule: Rule
    finest_deg: float


def _curvature(target: str, px_per_deg: float) -> Tiles:
    stroke_deg, half = 1 / 6, (1 / 6 + 1 / 30) / 2
    shapes = {"curve": arc(1.0, 1.3, stroke_deg), "line": boxes((-half, half, -0.6, 0.6))}

    def look(kind: str, i: int, counter_clockwise_deg: int) -> Tile:
        ink = area(1.6, px_per_deg, spun(shapes[kind], -counter_clockwise_deg))
        return Tile(kind, i, (90.0 + counter_clockwise_deg) % 180, painted(ink, (_WHITE,), _BLACK))

    looks = {kind: tuple(look(kind, i, turn) for i, turn in enumerate((-45, -90, -135, 180))) for kind in shapes}
    other = "line" if target == "curve" else "curve"
    return looks[target], looks[other]


def _lighting(target: str, distractor: str, px_per_deg: float) -> Tiles:
    def disc(side: str) -> tuple[Tile, ...]:
        codes = shaded_disc(1.04, 2 / 30, px_per_deg, 27, bright_at=side)
        return (Tile(f"bright_{side}", 0, float("nan"), codes),)

    return disc(target), disc(distractor)


def _strokes(target: str, distractor: str, px_per_deg: float) -> Tiles:
    w, half = 0.55, 2.75
    upright = (-w / 2, w / 2, -half, half)
    made = {
        "cross": (upright, (-half, half, half - 4 * w, half - 3 * w)),
        "non_cross": (upright, (-half, 0, half - 4 * w, half - 3 * w), (0, half, half - 7 * w, half - 6 * w)),
        "l": ((-half, w - half, -half, half), (-half, half, -half, w - half)),
        "t": (upright, (-half, half, half - w, half)),
    }

    def views(kind: str) -> tuple[Tile, ...]:
        return four_views(kind, painted(area(5.9, px_per_deg, boxes(*made[kind])), (_BLACK,), _WHITE))

    return views(target), views(distractor)


def _bars(target_deg: int, distractors_deg: tuple[int, ...], px_per_deg: float) -> Tiles:
    """Bars tilted clockwise from vertical."""
    upright = upright_bar(2.3, 2.0, 0.3, px_per_deg)

    def bars(*tilts: int) -> tuple[Tile, ...]:
        return tuple(
            Tile("bar", i, (90.0 - tilt) % 180, painted(turned(upright, tilt), (_BLACK,), _WHITE))
            for i, tilt in enumerate(tilts)
        )

    return bars(target_deg), bars(*distractors_deg)


def _letters(target: str, distractor: str, px_per_deg: float) -> Tiles:
    """T and L turned by 0, 90, 180 and 270 degrees."""
    w, half = 0.2, 0.6
    made = {
        "t": ((-w / 2, w / 2, -half, half), (-half, half, half - w, half)),
        "l": ((-half, w - half, -half, half), (-half, half, -half, w - half)),
    }

    def letter(kind: str) -> tuple[Tile, ...]:
        ink = area(1.6, px_per_deg, boxes(*made[kind]))
        return tuple(Tile(kind, i, float("nan"), painted(turned(ink, 90 * i), (_BLACK,), _WHITE)) for i in range(4))

    return letter(target), letter(distractor)


def _digits(target: str, distractor: str, px_per_deg: float) -> Tiles:
    """Return the 2 and the 5 of a seven-segment display: mirror images."""
    w, high, wide = 0.2, 0.7, 0.45
    two = boxes(
        (-wide, wide, high - w, high), (-wide, wide, -w / 2, w / 2), (-wide, wide, -high, w - high),
        (wide - w, wide, 0, high), (-wide, w - wide, -high, 0),
    )  # fmt: skip
    codes = painted(area(1.6, px_per_deg, two), (_BLACK,), _WHITE)
    made = {"2": codes, "5": codes[..., ::-1]}
    return (Tile(target, 0, float("nan"), made[target]),), (Tile(distractor, 0, float("nan"), made[distractor]),)


def _colored(distractors: tuple[str, ...], px_per_deg: float) -> Tiles:
    upright = upright_bar(1.6, 1.2, 0.3, px_per_deg)
    colors, turns = {"red": _RED, "green": _GREEN}, {"vertical": 0, "horizontal": 90}

    def bar(name: str, variant: int) -> Tile:
        color, direction = name.split("_")
        codes = painted(turned(upright, turns[direction]), colors[color], _BLACK)
        return Tile(name, variant, 90.0 - turns[direction], codes)

    return (bar("red_vertical", 0),), tuple(bar(name, i) for i, name in enumerate(distractors))


def _pair(
    experiment: str, first: str, second: str, layout: tuple[float, int, float], set_sizes: tuple[int, ...],
    n_displays: int, ground_code: int, tiles: tuple[Callable[[float], Tiles], ...], rule: Rule, finest_deg: float,
) -> dict[str, Design]:  # fmt: skip
    common = (set_sizes, n_displays, ground_code)
    return {
        name: Design(experiment, *layout, *common, each, rule, finest_deg)
        for name, each in zip((first, second), tiles, strict=True)
    }


_SMALL, _LARGE = (11.3, 4, 2.3), (20.5, 3, 5.9)
_OWN = (11.3, 6, 1.6)
_BAR_SIZES, _LARGE_SIZES, _OWN_SIZES = (1, 4, 8, 12), (3, 6, 9), (3, 6, 12, 18)

#: Name of the task to its design.
DESIGNS: dict[str, Design] = {
    **_pair("curvature", "curve_among_lines", "line_among_curves", (11.3, 6, 1.6), (8, 16, 32), 30, _BLACK,
            (partial(_curvature, "curve"), partial(_curvature, "line")), "cycle", 1 / 6),
    **_pair("lighting", "vertical_shading", "horizontal_shading", (6.6, 4, 1.04), (1, 6, 12), 30, 27,
            (partial(_lighting, "top", "bottom"), partial(_lighting, "left", "right")), "cycle", 2 / 30),
    **_pair("cross", "non_cross_among_crosses", "cross_among_non_crosses", _LARGE, _LARGE_SIZES, 36, _WHITE,
            (partial(_strokes, "non_cross", "cross"), partial(_strokes, "cross", "non_cross")), "random", 0.55),
    **_pair("l_vs_t", "t_among_ls", "l_among_ts", _LARGE, _LARGE_SIZES, 36, _WHITE,
            (partial(_strokes, "t", "l"), partial(_strokes, "l", "t")), "random", 0.55),
    **_pair("orientation_homogeneous", "tilted_among_vertical", "vertical_among_tilted", _SMALL, _BAR_SIZES, 30,
            _WHITE, (partial(_bars, 20, (0,)), partial(_bars, 0, (20,))), "cycle", 0.3),
    **_pair("orientation_heterogeneous", "vertical_among_mixed", "tilted_among_mixed", _SMALL, _BAR_SIZES, 30, _WHITE,
            (partial(_bars, 0, (*_MIXED, 20)), partial(_bars, 20, (*_MIXED, 0))), "balanced", 0.3),
    **_pair("turned_letters", "turned_t_among_ls", "turned_l_among_ts", _OWN, _OWN_SIZES, 30, _WHITE,
            (partial(_letters, "t", "l"), partial(_letters, "l", "t")), "random", 0.2),
    **_pair("digits", "two_among_fives", "five_among_twos", _OWN, _OWN_SIZES, 30, _WHITE,
            (partial(_digits, "2", "5"), partial(_digits, "5", "2")), "cycle", 0.2),
    **_pair("color", "feature", "conjunction", _OWN, _OWN_SIZES, 30, _BLACK,
            (partial(_colored, ("green_vertical",)), partial(_colored, ("red_horizontal", "green_vertical"))),
            "balanced", 0.3),
}  # fmt: skip
