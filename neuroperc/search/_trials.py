"""One trial of a search: where the gaze has been, what can still be chosen, whether the target was found."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from ._arenas import Arena, Box


@dataclass(frozen=True)
class Rules:
    """How a trial runs: `memory` None is for ever; sides of the recognition window and of the inhibited square."""

    regime: str
    memory: int | None
    window_px: int
    ior_px: int
    budget: int | None


@dataclass
class Trial:
    """The state of one display: where the gaze has been, what can still be chosen."""

    arena: Arena
    rules: Rules
    path: list[tuple[int, int]] = field(default_factory=list)
    objects: list[int | None] = field(default_factory=list)
    found: bool = False
    done: bool = False

    def __post_init__(self) -> None:
        height, width = self.arena.shape_px
        self.open = np.full((height, width), self.rules.regime == "natural")
        for top, left, bottom, right in self.arena.cells:
            self.open[max(top, 0) : bottom, max(left, 0) : right] = True
        self.blocked: deque[Box] = deque()
        n_cells = len(self.arena.cells)
        self.budget = self.rules.budget or (n_cells + 1 if self.rules.regime == "items" else 65)
        self._land((height // 2, width // 2), None)
        if self.rules.regime == "natural":
            self._judge(self.rules.ior_px)

    def choose(self, priority: np.ndarray) -> list[tuple[Box, bool]]:
        """Fixate the first largest value of what can be chosen; return boxes to hide (True) or show again (False)."""
        if not self.open.any():
            self.done = True
            return []
        place = int(np.where(self.open, priority, -np.inf).argmax())
        gaze = place // self.open.shape[1], place % self.open.shape[1]
        index = next((k for k, cell in enumerate(self.arena.cells) if _inside(cell, gaze)), None)
        self._land(gaze, index)
        if self.rules.regime == "natural":
            self._judge(self.rules.ior_px)
            return []
        changes = self._block(self.arena.cells[index]) if index is not None else []
        self._judge(self.rules.window_px)
        return changes

    def _land(self, gaze: tuple[int, int], index: int | None) -> None:
        self.path.append(gaze)
        self.objects.append(index)

    def _judge(self, window_px: int) -> None:
        """Find the target, or inhibit the square about the gaze (natural pictures), or give up."""
        box = _square(self.path[-1], window_px)
        self.found = _overlap(box, self.arena.target)
        if self.rules.regime == "natural" and not self.found:
            self._block(box)
        self.done = self.found or len(self.path) > self.budget

    def _block(self, box: Box) -> list[tuple[Box, bool]]:
        self.blocked.append(box)
        changes = [(box, True)]
        if self.rules.memory is not None and len(self.blocked) > self.rules.memory:
            changes.append((self.blocked.popleft(), False))
        for (top, left, bottom, right), hide in changes:
            self.open[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = not hide
        for top, left, bottom, right in self.blocked:  # squares may overlap one that is released
            self.open[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = False
        return changes


def _square(gaze: tuple[int, int], side: int) -> Box:
    row, column = (v - side // 2 for v in gaze)
    return row, column, row + side, column + side


def _inside(box: Box, gaze: tuple[int, int]) -> bool:
    return box[0] <= gaze[0] < box[2] and box[1] <= gaze[1] < box[3]


def _overlap(a: Box, b: Box) -> bool:
    return max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])
