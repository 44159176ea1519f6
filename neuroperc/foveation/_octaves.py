"""Low-passes an octave apart and their blend: what `FoveatedBlur` computes.

Level k halves a grating of 2^-k cycles a pixel: levels 1 and 2 at full resolution, level 3 on every 2nd pixel, level 4
on every 4th and so on; level 0 is the picture. A sample of a coarse level sits in the middle of the pixels it stands
for, and comes back by quadratic B-spline interpolation, whose transfer the filters allow for. All filters are short,
symmetric and separable, made of `lerp`s of pixel pairs: constants stay what they are to the last bit, and mirrored
edges keep the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

#: Share of the farther neighbour in the spline that doubles: (1, 3, 3, 1) / 4.
FARTHER = 0.25
#: Weights beside the centre of level 1, to either side: searched so that blends with level 2 give, at every cut-off
#: between and in every direction, 0.473 to 0.527 at the cut-off and at least 0.83 at half of it. Coarser blends give
#: 0.488 to 0.512, at least 0.82, and at most 0.141 at twice the cut-off.
_FINEST = (0.11371, -0.02425, 0.01, -0.00233)
#: Levels beyond this one are designed like it; by then the filters have converged to four digits.
_LAST = 7
#: Cut-off in cycles/px from which the blur fades out, to be gone at Nyquist.
_FADE, _NYQUIST = 0.45, 0.5


def _odd(f: np.ndarray, sides: Sequence[float]) -> np.ndarray:
    """Transfer of a kernel of sum one with these weights beside its centre; f in cycles a sample."""
    return np.asarray(1 + sum(2 * a * (np.cos(2 * np.pi * f * (i + 1)) - 1) for i, a in enumerate(sides)))


def _even(f: np.ndarray, outer: float) -> np.ndarray:
    """Transfer of (outer, 1/2 - outer, 1/2 - outer, outer)."""
    return (1 - 2 * outer) * np.cos(np.pi * f) + 2 * outer * np.cos(3 * np.pi * f)


def transfer(f: np.ndarray, level: int, outer: Sequence[float] | None = None) -> np.ndarray:
    """Return what a level does along one axis to f cycles a pixel: filters, halvings and doublings."""
    f = np.asarray(f, dtype=float)
    if level < 2:
        return _odd(f, _FINEST) if level else np.ones_like(f)
    out = _odd(f, (_SECOND,))
    for i, a in enumerate((_OUTER if outer is None else outer)[: level - 2]):
        out = out * _even(2.0**i * f, a)
    for i in range(level - 2):
        out = out * _even(2.0**i * f, FARTHER / 2)
    return out


def _all_round(f: np.ndarray, level: int) -> np.ndarray:
    """Mean transfer of horizontal and oblique gratings."""
    return (transfer(f, level) + transfer(f / math.sqrt(2), level) ** 2) / 2


def _design_second() -> float:
    """Side weight of (a, 1 - 2a, a) that halves 1/4 cycle a pixel on average over horizontal and oblique gratings."""
    u, v = 2 - 2 * math.cos(math.pi / 2), 2 - 2 * math.cos(math.pi / math.sqrt(8))
    return (u + 2 * v - math.sqrt((u + 2 * v) ** 2 - 4 * v * v)) / (2 * v * v)


def _design_outer() -> list[float]:
    """Outer weight of each halving, so that level k halves 2^-k cycles a pixel: a quadratic equation a level."""
    outer: list[float] = []
    for k in range(3, _LAST + 1):
        (p, q), (r, s) = (
            (known * math.cos(math.pi * nu), known * 2 * (math.cos(3 * math.pi * nu) - math.cos(math.pi * nu)))
            for f in (2.0**-k, 2.0**-k / math.sqrt(2))
            for known, nu in [(float(transfer(np.asarray(f), k, outer)), 2.0 ** (k - 3) * f)]
        )
        a, b, c = s * s, q + 2 * r * s, p + r * r - 1
        outer.append((-b - math.sqrt(b * b - 4 * a * c)) / (2 * a))
    return outer


def _shares(sides: Sequence[float]) -> tuple[float, ...]:
    """Turn weights of pixel pairs, innermost first, into the shares of successive lerps."""
    shares, left = [], 1.0
    for side in reversed(sides):
        shares.append(2 * side / left)
        left -= 2 * side
    return tuple(reversed(shares))


def _blend_polynomial(level: int) -> tuple[float, ...]:
    """Coefficients p of B(t) = t (1 + (1 - t) p(t)), t octaves above the lower level's cut-off.

    B is the level's weight against the next one that leaves one half at the cut-off:
    B = (1/2 - T') / (T - T'), T and T' the transfers of the two levels there [Perry & Geisler 2002].
    """
    t = np.linspace(0, 1, 129)[1:-1]
    cutoff = 2.0 ** (t - level - 1)
    upper, lower = _all_round(cutoff, level), _all_round(cutoff, level + 1)
    weight = (0.5 - lower) / (upper - lower)
    return tuple(map(float, np.polyfit(t, (weight - t) / (t * (1 - t)), 4, w=t * (1 - t))))


_SECOND = _design_second()
_OUTER = _design_outer()
_BLEND = [_blend_polynomial(k) for k in range(1, _LAST)]
LEVEL_1, LEVEL_2 = _shares(_FINEST), _shares((_SECOND,))
# From the picture to level 3 level 2's filter and the first halving are one kernel of six.
_HALF = 0.5 - _OUTER[0]
TO_LEVEL_3 = _shares((_SECOND * _HALF + (1 - 2 * _SECOND) * _OUTER[0], _SECOND * _OUTER[0]))
_TO_NEXT = [_shares((a,)) for a in _OUTER[1:]]


def weights(cutoff: Tensor, level: int) -> Tensor:
    """Weight of a level against all coarser ones, from half-amplitude cut-offs in cycles a pixel at its samples."""
    if level == 0:
        return ((cutoff - _FADE) / (_NYQUIST - _FADE)).clamp(0, 1)
    t = (cutoff.clamp(1e-6, 1).log2() + (level + 1)).clamp(0, 1)
    polynomial = _BLEND[min(level, _LAST - 1) - 1]
    total = torch.full_like(t, polynomial[0])
    for coefficient in polynomial[1:]:
        total = total * t + coefficient
    return t * (1 + (1 - t) * total)


def stride(level: int) -> int:
    """Pixels from one sample of a level to the next; the first sits at (stride - 1) / 2."""
    return 2 ** max(level - 2, 0)


def shape_at(shape: tuple[int, int], level: int) -> tuple[int, int]:
    """(height, width) of a level."""
    return -(-shape[0] // stride(level)), -(-shape[1] // stride(level))


# --- Filters -------------------------------------------------------------------------------------------------------


def _samples(x: Tensor, axis: int, start: int, count: int, step: int) -> Tensor:
    part = slice(start, start + step * (count - 1) + 1, step)
    return x[..., part, :] if axis == -2 else x[..., part]


def pairs(
    x: Tensor, axis: int, count: int, step: int, shares: Sequence[float], *, even: bool,
    out: Tensor | None = None, work: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Filter along an axis that is padded by `len(shares)` in front and enough behind.

    With `even` the kernel has an even number of taps; its middle lies half a sample behind the first it is taken at.
    """
    reach = len(shares)
    if even:
        first, second = (_samples(x, axis, reach + i, count, step) for i in (0, 1))
        total = torch.lerp(first, second, 0.5, out=out)
    else:
        total = _samples(x, axis, reach, count, step)
    for i, share in enumerate(shares):
        low = _samples(x, axis, reach - 1 - i, count, step)
        high = _samples(x, axis, reach + 1 + even + i, count, step)
        total = torch.lerp(total, torch.lerp(low, high, 0.5, out=work), share, out=out)
    return total


def _pad(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Mirror the edges, which keeps the mean; by concatenation, whose gradient is repeatable on every device."""
    n = x.shape[axis]

    def mirrored(i: int) -> Tensor:
        i %= 2 * n
        return x.narrow(axis, min(i, 2 * n - 1 - i), 1)

    return torch.cat([*map(mirrored, range(-before, 0)), x, *map(mirrored, range(n, n + after))], axis)


def smooth(x: Tensor, shares: Sequence[float]) -> Tensor:
    """Filter (..., h, w) at full resolution with a kernel of an odd number of taps."""
    for axis in (-2, -1):
        reach = len(shares)
        x = pairs(_pad(x, axis, reach, reach), axis, x.shape[axis], 1, shares, even=False)
    return x


def halve(x: Tensor, shares: Sequence[float]) -> Tensor:
    """Filter (..., h, w) with a kernel of an even number of taps and keep every second sample."""
    for axis in (-2, -1):
        reach, count = len(shares), -(-x.shape[axis] // 2)
        after = 2 * count + reach - x.shape[axis]
        x = pairs(_pad(x, axis, reach, after), axis, count, 2, shares, even=True)
    return x


def double(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate (..., h, w) at the quarter points between samples, cut to `shape`."""
    for axis, size in ((-2, shape[0]), (-1, shape[1])):
        padded, n = _pad(x, axis, 1, 1), x.shape[axis]
        left, middle, right = (padded.narrow(axis, i, n) for i in range(3))
        near = torch.lerp(middle, left, FARTHER), torch.lerp(middle, right, FARTHER)
        x = torch.stack(near, -1).flatten(-2) if axis == -1 else torch.stack(near, -2).flatten(-3, -2)
        x = x.narrow(axis, 0, size)
    return x


def blend(x: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """Blend the levels of (..., h, w) from coarse to fine; `masks[k]` is the weight of level k against all coarser.

    The plain way: gradients for picture and masks, `torch.compile`, a mask an item.
    """
    coarsest, out = len(masks), smooth(x, LEVEL_2)
    if coarsest > 2:
        level = halve(x, TO_LEVEL_3)
        coarse = merge([level, *coarser(level, coarsest)], masks)
        out = torch.lerp(double(coarse, (x.shape[-2], x.shape[-1])), out, masks[2])
    out = torch.lerp(out, smooth(x, LEVEL_1), masks[1])
    return torch.lerp(out, x, masks[0])


def coarser(level: Tensor, coarsest: int) -> list[Tensor]:
    """Levels 4 to `coarsest` from level 3."""
    levels: list[Tensor] = []
    for k in range(4, coarsest + 1):
        level = halve(level, _TO_NEXT[min(k - 4, len(_TO_NEXT) - 1)])
        levels.append(level)
    return levels


def merge(levels: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Blend levels 3 to the coarsest, at the samples of level 3."""
    out = levels[-1]
    for k in range(len(levels) + 1, 2, -1):
        fine = levels[k - 3]
        out = torch.lerp(double(out, (fine.shape[-2], fine.shape[-1])), fine, masks[k])
    return out
