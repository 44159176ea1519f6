"""Angles around the line of sight, for NumPy and torch alike."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

RAD = math.pi / 180


def is_torch(value: object) -> bool:
    """Return whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def like(arrays: tuple[Any, ...]) -> tuple[Any, list[Any]]:
    """Return the namespace (torch if any input is a tensor, else NumPy) and the inputs as its floats."""
    tensors = [a for a in arrays if is_torch(a)]
    if not tensors:
        return np, [np.asarray(a, dtype=np.float64) for a in arrays]
    torch = sys.modules["torch"]
    floats = [t for t in tensors if t.is_floating_point()]
    dtype = torch.get_default_dtype() if not floats else max((t.dtype for t in floats), key=lambda d: d.itemsize)
    device = next((t.device for t in tensors if t.device.type != "cpu"), tensors[0].device)
    return torch, [torch.as_tensor(a, dtype=dtype, device=device) for a in arrays]


def _hypot(xp: Any, x: Any, y: Any) -> Any:
    """Length whose gradient at zero is zero instead of NaN."""
    square = x * x + y * y
    if xp is np:
        return np.sqrt(square)
    safe = xp.where(square > 0, square, xp.ones_like(square))
    return xp.where(square > 0, xp.sqrt(safe), xp.zeros_like(square))


def _atan2(xp: Any, y: Any, x: Any) -> Any:
    if xp is np:
        return np.arctan2(y, x)
    origin = (x == 0) & (y == 0)
    return xp.atan2(xp.where(origin, xp.zeros_like(y), y), xp.where(origin, xp.ones_like(x), x))


def _unit_ray(xp: Any, points_deg: Any) -> Any:
    x, y = xp.tan(points_deg[..., 0] * RAD), xp.tan(points_deg[..., 1] * RAD)
    length = xp.sqrt(x * x + y * y + 1)
    return xp.stack((x / length, y / length, 1 / length), -1)


def _frame(xp: Any, fixation: Any) -> tuple[Any, Any, Any]:
    """Gaze, right and up after the shortest rotation from straight ahead to the fixation."""
    gaze = _unit_ray(xp, fixation)
    x, y, z = gaze[..., 0], gaze[..., 1], gaze[..., 2]
    right = xp.stack((1 - x * x / (1 + z), -x * y / (1 + z), -x), -1)
    up = xp.stack((-x * y / (1 + z), 1 - y * y / (1 + z), -y), -1)
    return gaze, right, up


def polar(xp: Any, fixation: Any, points: Any, tangent: bool) -> tuple[Any, Any]:
    """Eccentricity (deg) and polar angle (rad) of points around a fixation, all in screen degrees."""
    if not tangent:
        delta = points - fixation
        dx, dy = delta[..., 0], delta[..., 1]
        return _hypot(xp, dx, dy), _atan2(xp, dy, dx)
    gaze, right, up = _frame(xp, fixation)
    ray = _unit_ray(xp, points)
    dx, dy, dz = ((ray * axis).sum(-1) for axis in (right, up, gaze))
    return _atan2(xp, _hypot(xp, dx, dy), dz) / RAD, _atan2(xp, dy, dx)


def point_at(xp: Any, ecc: Any, angle: Any, fixation: Any, tangent: bool) -> Any:
    """Return the screen point at a polar position: the inverse of `polar`."""
    cos, sin = xp.cos(angle), xp.sin(angle)
    if not tangent:
        return fixation + xp.stack((ecc * cos, ecc * sin), -1)
    gaze, right, up = _frame(xp, fixation)
    radial = (xp.sin(ecc * RAD) * cos)[..., None] * right + (xp.sin(ecc * RAD) * sin)[..., None] * up
    ray = (xp.cos(ecc * RAD) + 0 * cos)[..., None] * gaze + radial
    depth = xp.clip(ray[..., 2], 1e-4, None)
    return xp.stack((xp.arctan(ray[..., 0] / depth), xp.arctan(ray[..., 1] / depth)), -1) / RAD
