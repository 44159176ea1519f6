"""Noise and blur: each takes (b, c, h, w) float32 codes, its published parameters and a generator for each picture."""

from __future__ import annotations

import numpy as np

from ._sampling import Rngs, convolve, gaussian, normal, smear, uniform, zoomed


def gaussian_noise(x: np.ndarray, sd: float, rngs: Rngs) -> np.ndarray:
    """Add normal noise."""
    return x + sd * normal(rngs, x.shape[1:])


def shot_noise(x: np.ndarray, n_photons: float, rngs: Rngs) -> np.ndarray:
    """Count photons: Poisson with mean `n_photons` at full scale."""
    counts = [rng.poisson(n_photons * np.clip(each, 0, 1)) for rng, each in zip(rngs, x, strict=True)]
    return np.stack(counts).astype(np.float32) / np.float32(n_photons)


def impulse_noise(x: np.ndarray, share: float, rngs: Rngs) -> np.ndarray:
    """Set this share of all values to 0 or 1, half each."""
    draw = uniform(rngs, x.shape[1:])
    return np.where(draw < share / 2, 0, np.where(draw > 1 - share / 2, 1, x)).astype(np.float32)


def defocus_blur(x: np.ndarray, disk: tuple[float, float], rngs: Rngs) -> np.ndarray:
    """Filter with a disk of a radius, itself blurred a little against its jagged edge."""
    return convolve(x, disk_kernel(*disk))


def disk_kernel(radius: float, edge_sd: float) -> np.ndarray:
    """Return the pixels inside `radius`, blurred by a Gaussian of 3 (above a radius of 8: 5) taps a side; sum 1."""
    side = 8 if radius <= 8 else int(np.ceil(radius))
    taps = 1 if radius <= 8 else 2
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    inside = np.pad((x**2 + y**2 <= radius**2).astype(float), taps)
    line = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * edge_sd**2))
    blurred = sum(
        (np.roll(inside, (i - taps, j - taps), (0, 1)) * line[i] * line[j] for i in range(len(line)) for j in
         range(len(line))), np.zeros_like(inside),
    )  # fmt: skip
    return blurred / blurred.sum()


def glass_blur(x: np.ndarray, glass: tuple[float, int, int], rngs: Rngs) -> np.ndarray:
    """Blur, let every pixel change places with one nearby, some times over, and blur again."""
    sd, reach, times = glass
    x = gaussian(x, sd)
    for _ in range(times):
        x = shuffled(x, neighbours(x.shape[2:], reach, rngs), reach)
    return gaussian(x, sd)


def neighbours(shape: tuple[int, ...], reach: int, rngs: Rngs) -> np.ndarray:
    """Draw (b, 2, h, w) whole steps (down, right) from -reach to reach - 1."""
    return np.stack([rng.integers(-reach, reach, (2, *shape)) for rng in rngs])


def shuffled(x: np.ndarray, steps: np.ndarray, reach: int) -> np.ndarray:
    """Swap every pixel with its neighbour, one after the other from the last row and column back.

    Swaps that cannot meet are done together: row h is 2 reach + 1 columns behind row h + 1, which keeps the order of
    all that can.
    """
    h, w = x.shape[2:]
    y, z = np.mgrid[h - reach : reach : -1, w - reach : reach : -1]
    if y.size == 0:
        return x
    when = ((h - reach - y) * (2 * reach + 1) + (w - reach - z)).ravel()
    order = np.argsort(when, kind="stable")
    rows, columns, each = y.ravel()[order], z.ravel()[order], np.arange(len(x))[:, None]
    found = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    for i in np.split(np.arange(len(order)), np.flatnonzero(np.diff(when[order])) + 1):
        here, there = (rows[i], columns[i]), steps[:, :, rows[i], columns[i]]
        target = (each, here[0] + there[:, 0], here[1] + there[:, 1])
        kept = found[:, here[0], here[1]].copy()
        found[:, here[0], here[1]] = found[target]
        found[target] = kept
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2))


def motion_blur(x: np.ndarray, motion: tuple[int, float], rngs: Rngs) -> np.ndarray:
    """Smear along a direction from -45 to 45 degrees."""
    return smear(x, uniform(rngs, (), -45, 45), *motion)


def zoom_blur(x: np.ndarray, zoom: tuple[float, float], rngs: Rngs) -> np.ndarray:
    """Average the picture and its magnifications from 1 to an end, in steps."""
    factors = np.arange(1, *zoom)
    total = x.copy()
    for factor in factors:
        total += zoomed(x, float(factor))
    return total / np.float32(len(factors) + 1)
