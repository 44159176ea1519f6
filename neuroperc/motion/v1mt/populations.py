"""The constants of Simoncelli & Heeger's toolbox, the weights made from them, and their closed-form responses.

Axes are ordered x (right), y (up), t (forward); space in pixels, time in frames.
"""

from __future__ import annotations

from math import factorial

import numpy as np

_HALF = np.array([
    [0.0007, 0.0155, 0.0903, 0.2345, 0.3179],
    [0.0031, 0.0352, 0.1187, 0.1439, 0.0],
    [0.0103, 0.0618, 0.0856, -0.0617, -0.1920],
    [0.0272, 0.0659, -0.0536, -0.2037, 0.0],
])  # fmt: skip
#: (order 0 to 3, 9 taps) derivatives of a Gaussian as weights of a correlation along x; flipped along y and t.
TAPS = np.concatenate([_HALF, np.array([[1], [-1], [1], [-1]]) * _HALF[:, 3::-1]], 1)
#: Orders (x, y, t) of the ten third derivatives.
ORDERS = [(a, b, 3 - a - b) for a in range(4) for b in range(4 - a)]
BLUR = np.array([1, 4, 6, 4, 1]) / 16  # from one octave to the next

#: (28, 2) direction in radians and temporal over spatial frequency of the V1 population.
V1_UNITS = np.array([
    [5.5475, 0.2162], [3.2461, 0.2176], [0.6942, 0.2266], [4.0698, 0.2326], [1.6542, 0.2393], [6.0430, 0.2428],
    [5.0491, 0.2528], [2.6917, 0.2614], [4.5468, 0.2656], [2.1323, 0.2685], [0.2522, 0.2885], [1.1696, 0.3033],
    [3.6457, 0.4343], [3.0694, 0.7118], [5.5522, 0.7333], [2.3645, 0.7374], [1.5678, 0.7681], [0.7111, 0.7819],
    [4.8972, 0.7988], [6.1972, 0.8059], [4.1718, 0.8077], [3.6350, 1.4046], [1.1300, 1.4926], [1.9858, 1.5147],
    [2.8434, 1.5681], [0.2510, 1.5743], [4.5454, 1.6289], [5.5369, 1.6311],
])  # fmt: skip
#: (19, 2) direction in radians and speed in pixels per frame of the MT population.
MT_UNITS = np.array(
    [[0.0, 0.0]]
    + [[k * np.pi / 3, 1.0] for k in range(6)]
    + [[np.pi / 12 + k * np.pi / 6, 6.0] for k in range(12)]
)  # fmt: skip

RADIUS_CPP = 0.2173  # the spatiotemporal frequency that the filters prefer, cycles per pixel and frame
LINEAR, ENERGY, BLURRED, V1_POOL = 6.6084, 1.92625, 1.02054, 0.240054
MT_LINEAR, MT_OFFSET, MT_SQUARE = 1.52696, 0.317129, 0.576426
MT_GAIN, MT_POOL, SIGMA_SQUARED = 0.0212961, 0.00212958, 0.01
V1_SD_PX, V1_REACH_PX, MT_SD_PX, MT_REACH_PX = 1.6, 5, 3.0, 9


def gaussian(sd_px: float, reach_px: int) -> np.ndarray:
    """Return taps that sum to 1."""
    taps = np.exp(-(np.arange(-reach_px, reach_px + 1) ** 2) / (2 * sd_px**2))
    return taps / taps.sum()


def v1_axes(units: np.ndarray = V1_UNITS) -> np.ndarray:
    """Return the unit vectors (n, 3) along which V1 units take the third derivative."""
    elevation = np.arctan(units[:, 1])
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(units[:, 0]), flat * np.sin(units[:, 0]), np.sin(elevation)], 1)


def monomials(axes: np.ndarray, order: int) -> np.ndarray:
    """Return (n, terms): the expansion of (axis . derivative) to a power, multinomial factors included."""
    terms = [(a, b, order - a - b) for a in range(order + 1) for b in range(order + 1 - a)]
    powers = np.prod(axes[:, None, :] ** np.array(terms), axis=2)
    return powers * np.array([factorial(order) / np.prod([factorial(k) for k in term]) for term in terms])


def mt_weights(velocities: np.ndarray) -> np.ndarray:
    """Return the weights (n, 28) of V1 units onto MT units of velocities (n, 2), (vx, vy up) in pixels per frame.

    Motion at v has its energy on the plane w = f . v. The response that squared third derivatives would have along four
    axes of that plane is interpolated from the 28 V1 axes (their squares span the sixth-order monomials); the mean
    weight is taken out, so that energy off the plane suppresses.
    """
    vx, vy = velocities.T
    still = np.hypot(vx, vy) == 0
    zero = np.zeros_like(vx)
    steep = np.stack([np.where(still, 1.0, vx), vy, vx**2 + vy**2], 1)
    level = np.stack([np.where(still, 0.0, vy), np.where(still, 1.0, -vx), zero], 1)
    steep, level = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (steep, level))
    turn = np.arange(4) * np.pi / 4
    axes = np.cos(turn)[:, None] * steep[:, None] + np.sin(turn)[:, None] * level[:, None]
    wanted = monomials(axes.reshape(-1, 3), 6)
    weights = (wanted @ np.linalg.pinv(monomials(v1_axes(), 6))).reshape(len(velocities), 4, -1).sum(1)
    return weights - weights.mean(1, keepdims=True)


def in_plane(units: np.ndarray) -> np.ndarray:
    """Return (vx, vy up) of units given by direction in radians and length."""
    return units[:, 1:] * np.stack([np.cos(units[:, 0]), np.sin(units[:, 0])], 1)


def v1_gains(octave: int) -> np.ndarray:
    """Return what restores (28,) the amplitude of each unit's preferred grating after the blurs down to an octave."""
    preferred = RADIUS_CPP * v1_axes() / 2**octave
    passed = [np.cos(np.pi * preferred * 2**k) ** 4 for k in range(octave)]
    return 1 / np.prod(passed, axis=(0, 2)) if octave else np.ones(len(preferred))


def steady_v1(frequency: np.ndarray, n_scales: int, contrast: float = 1.0) -> np.ndarray:
    """Return the normalised V1 responses (scales, 28), averaged over phase, to 0.5 (1 + contrast grating).

    `frequency` is (fx, fy up, ft), ft positive for motion towards (fx, fy); cycles per pixel and frame.
    """
    at = np.arange(-4, 5)
    energies = []
    for octave in range(n_scales):
        waves = np.exp(2j * np.pi * 2**octave * frequency[:, None] * at * np.array([[1], [-1], [-1]]))
        gains = np.stack([TAPS, TAPS[:, ::-1], TAPS[:, ::-1]]) @ waves[:, :, None]  # (axis, order, 1)
        terms = np.array([gains[0, a, 0] * gains[1, b, 0] * gains[2, c, 0] for a, b, c in ORDERS])
        passed = np.prod([np.cos(np.pi * frequency * 2**k) ** 4 for k in range(octave)])
        amplitude = 0.5 * contrast * passed * np.abs(monomials(v1_axes(), 3) @ terms) * LINEAR * v1_gains(octave)
        energies.append(BLURRED * ENERGY * amplitude**2 / 2)
    energy = np.stack(energies)
    return 0.99 * energy / (0.98 * V1_POOL * energy.sum(1, keepdims=True) + SIGMA_SQUARED)


def scale_gain(n_scales: int) -> float:
    """Return the gain on the sum over scales that leaves the largest response to preferred gratings as with one."""
    side = RADIUS_CPP / np.sqrt(2)
    weights = mt_weights(np.array([[1.0, 0.0]]))[0]
    alone = float(weights @ steady_v1(np.array([side, 0.0, side]), 1)[0])
    tried = [np.array([side, 0.0, side]) / 2**octave for octave in range(n_scales)]
    return alone / max(float((steady_v1(f, n_scales) @ weights).sum()) for f in tried)
