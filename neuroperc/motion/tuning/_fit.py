"""Least squares of many units at once (Levenberg-Marquardt), and the two curves that are fitted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_STEPS = 200


def fit(
    curve: Curve, start: np.ndarray, data: np.ndarray, free: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit `data` (units, conditions) from `start` (units, parameters); return parameters and their standard errors.

    `curve` maps parameters to predictions (units, conditions) and derivatives (units, conditions, parameters).
    Parameters that are not `free` keep their start; their standard error is 0.
    """
    free = np.ones(start.shape[1], bool) if free is None else free
    at, damping = start.astype(float).copy(), np.full(len(start), 1e-2)
    made, slopes = curve(at)
    loss = ((made - data) ** 2).sum(1)
    eye = np.eye(int(free.sum()))
    for _ in range(_STEPS):
        j = slopes[:, :, free]
        normal, push = np.swapaxes(j, 1, 2) @ j, np.einsum("ucp,uc->up", j, data - made)
        size = np.einsum("upp->up", normal)[..., None] * eye + 1e-12 * eye
        step = np.linalg.solve(normal + damping[:, None, None] * size, push[..., None])[..., 0]
        tried = at.copy()
        tried[:, free] += np.clip(step, -2, 2)
        new_made, new_slopes = curve(tried)
        new_loss = ((new_made - data) ** 2).sum(1)
        better = new_loss < loss
        at[better], made[better], slopes[better], loss[better] = (
            tried[better], new_made[better], new_slopes[better], new_loss[better],
        )  # fmt: skip
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
    errors = np.zeros_like(at)
    j = slopes[:, :, free]
    spare = max(1, data.shape[1] - int(free.sum()))
    inverse = np.linalg.pinv(np.swapaxes(j, 1, 2) @ j, hermitian=True)
    errors[:, free] = np.sqrt(np.maximum(np.einsum("upp->up", inverse), 0) * (loss / spare)[:, None])
    return at, errors


def priebe(log_sf: np.ndarray, log_tf: np.ndarray) -> Curve:
    """Return Priebe's surface over octaves: parameters ln A, sf0, tf0, ln s_sf, ln s_tf, xi."""

    def curve(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_a, x0, y0, log_sx, log_sy, xi = (p[:, i : i + 1] for i in range(6))
        sx, sy = np.exp(log_sx), np.exp(log_sy)
        u = (log_sf - x0) / sx
        v = (log_tf - y0 - xi * (log_sf - x0)) / sy
        made = np.exp(np.clip(log_a - (u * u + v * v) / 2, -200, 200))
        parts = (np.ones_like(u), u / sx - v * xi / sy, v / sy, u * u, v * v, v * u * sx / sy)
        return made, made[..., None] * np.stack(parts, -1)

    return curve


def naka_rushton(contrast: np.ndarray) -> Curve:
    """Return base + r_max c^n / (c^n + c50^n): parameters base, r_max, ln c50, ln n."""
    log_c = np.log(contrast)

    def curve(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        base, r_max, log_c50, log_n = (p[:, i : i + 1] for i in range(4))
        n = np.exp(np.clip(log_n, -5, 4))
        share = 1 / (1 + np.exp(np.clip(-n * (log_c - log_c50), -200, 200)))
        slope = r_max * share * (1 - share)
        parts = (np.ones_like(share), share, -n * slope, n * (log_c - log_c50) * slope)
        return base + r_max * share, np.stack(parts, -1)

    return curve
