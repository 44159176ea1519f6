"""Outlines in SVG drawings: what a vector editor writes for closed shapes, as points."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np

from ..._check import check, fail

_TOKEN = re.compile(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COUNT = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "Z": 0}
_STEPS = np.linspace(0, 1, 13)[1:, None]  # points on a curve
_LABEL = "{http://www.inkscape.org/namespaces/inkscape}label"


def read_shapes(path: Path, layer: str) -> tuple[tuple[float, float], dict[str, list[np.ndarray]]]:
    """Return the drawing's (width, height) and, by label, the (point, 2) polylines of a layer, y down."""
    check(path.is_file(), "outlines", "a file that exists", str(path))
    try:
        data = path.read_bytes()
        root = ElementTree.fromstring(gzip.decompress(data) if path.name.endswith(".gz") else data)
    except (ElementTree.ParseError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} must be a readable SVG file, got {error}. Copy {path} again.") from error
    layers = [e for e in root.iter() if _name(e) == layer]
    names = sorted({_name(e) for e in root if _name(e)})
    check(layers, "layer", f"one of {path.name}'s ({', '.join(names)})", layer)
    size = tuple(_length(root, side, path) for side in ("width", "height"))
    found: dict[str, list[np.ndarray]] = {}
    _collect(layers[0], "", np.eye(3), found, path)
    return (size[0], size[1]), found


def _name(element: ElementTree.Element) -> str:
    return element.get(_LABEL) or element.get("id") or ""


def _length(root: ElementTree.Element, side: str, path: Path) -> float:
    text = (root.get(side) or "").removesuffix("px")
    try:
        return float(text)
    except ValueError:
        fail(path.name, f"a drawing with {side} in pixels", text or "none")


def _collect(
    element: ElementTree.Element, label: str, to_root: np.ndarray, found: dict[str, list[np.ndarray]], path: Path
) -> None:
    """Add the paths below an element under the label of the innermost group."""
    to_root = to_root @ _transform(element.get("transform", ""), path)
    if element.tag.endswith("}path"):
        lines = polylines(element.get("d", ""), path.name)
        found.setdefault(label, []).extend(p @ to_root[:2, :2].T + to_root[:2, 2] for p in lines)
        return
    for child in element:
        inner = _name(child) if child.tag.endswith("}g") and _name(child) != "shapes" else label
        _collect(child, inner, to_root, found, path)


def _transform(text: str, path: Path) -> np.ndarray:
    made = np.eye(3)
    for kind, inside in re.findall(r"(\w+)\s*\(([^)]*)\)", text):
        values = [float(v) for v in _TOKEN.findall(inside)]
        here = np.eye(3)
        if kind == "translate":
            here[:2, 2] = values if len(values) == 2 else (values[0], 0)
        elif kind == "scale":
            here[0, 0], here[1, 1] = values[0], values[-1]
        elif kind == "matrix" and len(values) == 6:
            here[:2] = np.reshape(values, (3, 2)).T
        else:
            fail(path.name, "of shapes moved, scaled or under a matrix", f"{kind}({inside})", "Apply it in the editor.")
        made = made @ here
    return made


def polylines(data: str, name: str) -> list[np.ndarray]:
    """Turn the ``d`` of a path into (point, 2) lines; curves become 12 pieces; closed ones end where they began."""
    tokens, at = _TOKEN.findall(data), 0
    lines: list[list[np.ndarray]] = []
    here, control, command = np.zeros(2), None, ""
    while at < len(tokens):
        if tokens[at].isalpha():
            command, at = tokens[at], at + 1
        kind = command.upper()
        if kind not in _COUNT or (not lines and kind != "M"):
            _bad(name, command or tokens[at])
        n = _COUNT[kind]
        values = [float(v) for v in tokens[at : at + n] if not v.isalpha()]
        check(len(values) == n, name, f"a path with {n} numbers after {command}", f"{len(values)}")
        at += n
        if kind == "M":
            here = _absolute(values, here, command.islower())[0]
            lines.append([here])
            command = "l" if command == "m" else "L"  # what follows without a letter are lines
            control = None
        elif kind == "Z":
            lines[-1].append(lines[-1][0])
            here, control = lines[-1][0], None
            check(at >= len(tokens) or tokens[at].isalpha(), name, "a path with a letter after z", tokens[at : at + 1])
        else:
            points, control = _piece(kind, values, here, command.islower(), control)
            lines[-1].extend(points)
            here = lines[-1][-1]
    return [np.array(line) for line in lines if len(line) > 1]


def _bad(name: str, command: str) -> NoReturn:
    fail(name, "a path of the commands M L H V C S Q Z", command, "Turn arcs into curves in the editor.")


def _absolute(values: list[float], here: np.ndarray, relative: bool) -> np.ndarray:
    points = np.reshape(values, (-1, 2))
    return points + here if relative else points


def _piece(
    kind: str, values: list[float], here: np.ndarray, relative: bool, control: np.ndarray | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the points of a line or curve, and the control point that a smooth successor mirrors."""
    if kind in "HV":
        end = here.copy()
        axis = "HV".index(kind)
        end[axis] = values[0] + (here[axis] if relative else 0)
        return [end], None
    points = _absolute(values, here, relative)
    if kind == "L":
        return [points[0]], None
    if kind == "S":
        points = np.concatenate([[here if control is None else 2 * here - control], points])
    nodes = np.concatenate([[here], points])
    if kind == "Q":
        a, b = 1 - _STEPS, _STEPS
        return list(a**2 * nodes[0] + 2 * a * b * nodes[1] + b**2 * nodes[2]), None
    a, b = 1 - _STEPS, _STEPS
    curve = a**3 * nodes[0] + 3 * a**2 * b * nodes[1] + 3 * a * b**2 * nodes[2] + b**3 * nodes[3]
    return list(curve), nodes[2]
