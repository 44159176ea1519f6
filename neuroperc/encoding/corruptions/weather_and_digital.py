"""Weather and digital corruptions; arguments as for noise and blur."""

from __future__ import annotations

import numpy as np

from ...data.readers.pictures import jpeg_codes
from ._sampling import Rngs, area_matrix, gaussian, normal, plasma, sample, smear, uniform, zoomed

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]  # ITU-R BT.601
_ICE = np.array([0.85, 0.93, 1.0], np.float32)[:, None, None]


def snow(x: np.ndarray, flakes: tuple[float, ...], rngs: Rngs) -> np.ndarray:
    """Whiten, and add flakes: noise (mean, SD), magnified, cut at a threshold, smeared downwards, and turned by 180."""
    mean, sd, zoom, threshold, radius, smear_sd, kept = flakes
    layer = zoomed(mean + sd * normal(rngs, x.shape[2:]), zoom)
    layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1)[:, None]
    layer = smear(layer, uniform(rngs, (), -135, -45), int(radius), smear_sd)
    grey = (x * _LUMA).sum(1, keepdims=True) if x.shape[1] == 3 else x
    pale = kept * x + (1 - kept) * np.maximum(x, 1.5 * grey + 0.5)
    return pale + layer + layer[:, :, ::-1, ::-1]


def frost(x: np.ndarray, mix: tuple[float, float], rngs: Rngs) -> np.ndarray:
    """Mix with ice. The authors take photographs of frost; this ice is made: ridges of clouds, bluish."""
    ridges = 1 - np.abs(2 * plasma(rngs, x.shape[2:], 1.5) - 1)
    fine = 1 - np.abs(2 * plasma(rngs, x.shape[2:], 1.25) - 1)
    ice = (0.2 + 0.8 * ridges**2 * fine)[:, None]
    return mix[0] * x + mix[1] * (ice * _ICE if x.shape[1] == 3 else ice)


def fog(x: np.ndarray, cloud: tuple[float, float], rngs: Rngs) -> np.ndarray:
    """Add clouds of a thickness and roughness, and scale back to the picture's own maximum."""
    thickness, decay = cloud
    top = x.max((1, 2, 3), keepdims=True)
    return (x + thickness * plasma(rngs, x.shape[2:], decay)[:, None]) * top / (top + thickness)


def brightness(x: np.ndarray, gain: float, rngs: Rngs) -> np.ndarray:
    """Add to the value of HSV; hue and saturation stay."""
    value = x.max(1, keepdims=True)
    raised = np.clip(value + gain, 0, 1)
    return np.where(value > 0, x * (raised / np.where(value > 0, value, 1)), raised)


def contrast(x: np.ndarray, factor: float, rngs: Rngs) -> np.ndarray:
    """Move towards each channel's mean."""
    mean = x.mean((2, 3), keepdims=True)
    return (x - mean) * factor + mean


def elastic(x: np.ndarray, warp: tuple[float, float, float], rngs: Rngs) -> np.ndarray:
    """Shift by smoothed noise (gain, SD) after a random affine map that moves three points by up to `corner` pixels."""
    gain, sd, corner = warp
    h, w = x.shape[2:]
    shifts = uniform(rngs, (2, h, w), -1, 1)
    shifts = gain * gaussian(shifts, sd, "reflect", 3.0) if sd > 0 else gain * shifts
    third, center = min(h, w) // 3, np.array([h // 2, w // 2])
    points = center + third * np.array([(1, 1), (1, -1), (-1, -1)])
    moved = points + uniform(rngs, (3, 2), -corner, corner)
    # Where each pixel comes from: the affine map that takes the moved points back.
    ones = np.ones((len(x), 3, 1))
    back = np.linalg.solve(np.concatenate([moved, ones], 2), np.broadcast_to(points.astype(float), moved.shape))
    at = np.mgrid[:h, :w] + shifts  # (b, 2, h, w)
    source = np.einsum("bkhw,bkj->bjhw", at, back[:, :2]) + back[:, 2, :, None, None]
    return sample(x, source[:, 0], source[:, 1])


def pixelate(x: np.ndarray, share: float, rngs: Rngs) -> np.ndarray:
    """Average into fewer pixels and show these as blocks."""
    (h, w), small = x.shape[2:], [max(1, int(n * share)) for n in x.shape[2:]]
    means = area_matrix(h, small[0]) @ x @ area_matrix(w, small[1]).T
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip((h, w), small, strict=True))
    return means[:, :, rows[:, None], columns]


def jpeg(x: np.ndarray, quality: int, rngs: Rngs) -> np.ndarray:
    """Write and read a JPEG file with halved chroma (4:2:0)."""
    codes = np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)
    return np.stack([jpeg_codes(each, quality, subsampling=2) for each in codes]).astype(np.float32) / 255
