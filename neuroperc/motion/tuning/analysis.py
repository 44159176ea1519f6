"""From responses to tuning: arrays (repeat, condition, ..., unit) in, a table with a row a unit out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..._check import check, fail, finite
from . import _fit

_CRITERION = 1.28  # of the difference of Z values, one-sided 10 %
_CLIP = 1 - 1e-6


def direction_statistics(responses: Any, direction_deg: Any, *, blank: Any = 0.0, level: float = 0.95) -> pd.DataFrame:
    """Describe direction tuning.

    Parameters
    ----------
    responses
        (repeat, direction, unit), such as of gratings that begin at several phases.
    direction_deg
        (direction,) evenly spaced over the circle.
    blank
        Response to a uniform screen, one number or (unit,); it is taken out first.
    level
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``preferred_deg`` (vector mean), ``direction_index`` 1 - null/preferred (at the largest response and opposite),
        ``circular_variance`` ``1 - |sum R exp(i d)| / sum R`` of the rectified responses, ``half_width_deg``, the mean
        distance from the largest response at which half of it is left (NaN when that never happens), and of the first
        three ``_low`` and ``_high``: jackknife over repeats with Student's t, NaN with fewer than three repeats.

    Raises
    ------
    ValueError
        For uneven directions, other shapes, or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> d = np.arange(0, 360, 15)
    >>> tuned = np.exp(3 * (np.cos(np.deg2rad(d - 90)) - 1))[None, :, None]
    >>> direction_statistics(tuned, d).round(2)[["preferred_deg", "direction_index"]].to_numpy().tolist()
    [[90.0, 1.0]]
    """
    array, directions = _checked(responses, 3), _circle(direction_deg)
    _fits(array, 1, len(directions), "direction_deg")
    angle = np.deg2rad(directions)

    def describe(mean: np.ndarray) -> dict[str, np.ndarray]:
        curve = mean - blank
        best = curve.argmax(0)
        unit = np.arange(curve.shape[1])
        null = _between(curve, best + len(curve) / 2)
        driven = np.maximum(curve, 0)
        vector = (driven * np.exp(1j * angle)[:, None]).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "preferred_deg": np.rad2deg(np.angle(vector)) % 360, "direction_index": 1 - null / curve[best, unit],
                "circular_variance": 1 - np.abs(vector) / driven.sum(0),
                "half_width_deg": _half_width(curve, directions),
            }  # fmt: skip

    return _with_intervals(describe, array, level, ("preferred_deg", "direction_index", "circular_variance"))


def plaid_statistics(
    gratings: Any, plaids: Any, direction_deg: Any, *, angle_deg: float = 120.0, level: float = 0.95
) -> pd.DataFrame:
    """Tell pattern from component units by partial correlations with both predictions, on Fisher's scale.

    The pattern prediction is the tuning to gratings g(d), the component prediction g(d - a/2) + g(d + a/2); a response
    to the blank screen adds a constant, which correlations do not see.
    R_p = (r_p - r_c r_pc) / sqrt((1 - r_c^2)(1 - r_pc^2)), Z = atanh(R) sqrt(n - 3).

    Parameters
    ----------
    gratings, plaids
        (repeat, direction, unit); a plaid's direction is that of its pattern.
    direction_deg
        (direction,) evenly spaced, with a step that divides half the angle.
    angle_deg
        Between the directions of a plaid's components.
    level
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``r_pattern r_component`` (partial), ``z_pattern z_component index`` (Z_p - Z_c), each with ``_low`` and
        ``_high`` (jackknife over repeats), and ``kind``: "pattern" when Z_p - max(Z_c, 0) >= 1.28, "component" when
        Z_c - max(Z_p, 0) >= 1.28, else "unclassed". Partial correlations are kept within 1 - 1e-6.

    Raises
    ------
    ValueError
        For shapes that differ, fewer than four directions, or an angle that the directions do not hold.

    References
    ----------
    .. [1] JA Movshon, EH Adelson, MS Gizzi & WT Newsome (1985). The analysis of moving visual patterns.
    .. [2] MA Smith, NJ Majaj & JA Movshon (2005). doi:10.1038/nn1382 (the Z values).

    Examples
    --------
    >>> import numpy as np
    >>> d = np.arange(0, 360, 30)
    >>> g = np.exp(2 * np.cos(np.deg2rad(d)))[None, :, None]
    >>> rng = np.random.default_rng(0)
    >>> both = np.roll(g, 2, 1) + np.roll(g, -2, 1)
    >>> noisy = np.concatenate([g, both], 2) + 0.2 * rng.normal(size=(1, 12, 2))
    >>> plaid_statistics(np.concatenate([g, g], 2), noisy, d).kind.tolist()
    ['pattern', 'component']
    """
    first, second, directions = _checked(gratings, 3, "gratings"), _checked(plaids, 3, "plaids"), _circle(direction_deg)
    check(first.shape == second.shape, "plaids", f"of the shape {first.shape} of gratings", second.shape)
    _fits(first, 1, len(directions), "direction_deg")
    n = len(directions)
    step = angle_deg / 2 / (360 / n)
    shift = round(step)
    check(n >= 4 and abs(step - shift) < 1e-6, "angle_deg", f"twice a whole number of steps of {360 / n:g} degrees",
          angle_deg, "Use 12 or 24 directions for 120 degrees.")  # fmt: skip

    def describe(mean: np.ndarray) -> dict[str, np.ndarray]:
        pattern, seen = mean[0], mean[1]
        component = np.roll(pattern, shift, 0) + np.roll(pattern, -shift, 0)
        r_p, r_c, r_pc = _r(seen, pattern), _r(seen, component), _r(pattern, component)
        partial = [_partial(r_p, r_c, r_pc), _partial(r_c, r_p, r_pc)]
        z = [np.arctanh(np.clip(p, -_CLIP, _CLIP)) * np.sqrt(n - 3) for p in partial]
        return {"r_pattern": partial[0], "r_component": partial[1], "z_pattern": z[0], "z_component": z[1],
                "index": z[0] - z[1]}  # fmt: skip

    table = _with_intervals(describe, np.stack([first, second], 1), level)
    return table.assign(kind=_kind(table["z_pattern"], table["z_component"], ("pattern", "component")))


def speed_statistics(responses: Any, sf_cpd: Any, tf_hz: Any, *, blank: Any = 0.0, level: float = 0.95) -> pd.DataFrame:
    """Ask whether units prefer a speed or a temporal frequency (Priebe's fits), and how separable their maps are.

    R = A exp(-(log2 sf - log2 sf0)^2 / 2 s_sf^2) exp(-(log2 tf - log2 tf_p)^2 / 2 s_tf^2) with
    log2 tf_p = xi (log2 sf - log2 sf0) + log2 tf0. With xi = 1 the preferred speed is the same at every spatial
    frequency; with xi = 0 the map is separable.

    Parameters
    ----------
    responses
        (repeat, sf, tf, unit).
    sf_cpd, tf_hz
        (sf,) and (tf,), above 0.
    blank
        Response to a uniform screen, one number or (unit,); it is taken out first.
    level
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``xi`` with its standard error ``xi_se`` from the fit and ``xi_low xi_high`` over repeats; ``sf_cpd tf_hz
        speed_deg_s sf_octaves tf_octaves gain r2`` of the free fit; ``z_speed z_separable`` and ``kind``
        ("speed", "separable", "unclassed"), by the partial correlations of the two constrained fits as in
        `plaid_statistics`; ``separability``, the share of the first singular value's square.

    Raises
    ------
    ValueError
        For other shapes, frequencies that are not above 0, or fewer than three of either.

    References
    ----------
    .. [1] NJ Priebe, CR Cassanello & SG Lisberger (2003). The neural representation of speed in macaque area MT/V5.
       doi:10.1523/JNEUROSCI.23-13-05650.2003

    Examples
    --------
    >>> import numpy as np
    >>> f, w = 2.0 ** np.arange(-2, 3), 2.0 ** np.arange(0, 6)
    >>> x, y = np.log2(f)[:, None], np.log2(w)
    >>> speedy = np.exp(-(x**2) / 4 - (y - 3 - x) ** 2 / 2)[None, ..., None]
    >>> found = speed_statistics(speedy, f, w).iloc[0]
    >>> round(float(found.xi), 3), round(float(found.speed_deg_s), 3), found.kind
    (1.0, 8.0, 'speed')
    """
    array = _checked(responses, 4)
    x, y = _octaves("sf_cpd", sf_cpd), _octaves("tf_hz", tf_hz)
    _fits(array, 1, len(x), "sf_cpd")
    _fits(array, 2, len(y), "tf_hz")
    grid = [a.ravel() for a in np.meshgrid(x, y, indexing="ij")]
    curve = _fit.priebe(*grid)
    n = len(grid[0])

    def surfaces(mean: np.ndarray) -> tuple[np.ndarray, ...]:
        data = (mean - blank).reshape(n, -1).T
        return _priebe_fits(curve, data, grid)

    def describe(mean: np.ndarray) -> dict[str, np.ndarray]:
        data, at, errors, fixed = surfaces(mean)
        made = curve(at)[0]
        r_s, r_i, r_si = _r(data.T, fixed[1].T), _r(data.T, fixed[0].T), _r(fixed[1].T, fixed[0].T)
        z = [np.arctanh(np.clip(p, -_CLIP, _CLIP)) * np.sqrt(n - 3)
             for p in (_partial(r_s, r_i, r_si), _partial(r_i, r_s, r_si))]  # fmt: skip
        singular = np.linalg.svd(np.moveaxis(mean - blank, -1, 0), compute_uv=False)
        return {
            "xi": at[:, 5], "xi_se": errors[:, 5], "sf_cpd": 2 ** at[:, 1], "tf_hz": 2 ** at[:, 2],
            "speed_deg_s": 2 ** (at[:, 2] - at[:, 1]), "sf_octaves": np.exp(at[:, 3]), "tf_octaves": np.exp(at[:, 4]),
            "gain": np.exp(at[:, 0]), "r2": _r2(data, made), "z_speed": z[0], "z_separable": z[1],
            "separability": singular[:, 0] ** 2 / (singular**2).sum(1),
        }  # fmt: skip

    table = _with_intervals(describe, array, level, ("xi", "separability"))
    return table.assign(kind=_kind(table["z_speed"], table["z_separable"], ("speed", "separable")))


def contrast_statistics(responses: Any, contrast: Any, *, level: float = 0.95) -> pd.DataFrame:
    """Fit Naka and Rushton's curve: base + r_max c^n / (c^n + c50^n).

    Parameters
    ----------
    responses
        (repeat, contrast, unit).
    contrast
        (contrast,) above 0, five or more.
    level
        Of the intervals over repeats.

    Returns
    -------
    pandas.DataFrame
        ``base r_max c50 n`` with ``c50_low c50_high n_low n_high``, and ``r2``. A c50 above the largest contrast is an
        extrapolation.

    Raises
    ------
    ValueError
        For other shapes or contrasts.

    References
    ----------
    .. [1] KI Naka & WAH Rushton (1966). doi:10.1113/jphysiol.1966.sp008001

    Examples
    --------
    >>> import numpy as np
    >>> c = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
    >>> curve = 0.1 + c**2 / (c**2 + 0.1**2)
    >>> contrast_statistics(curve[None, :, None], c).round(3)[["c50", "n"]].to_numpy().tolist()
    [[0.1, 2.0]]
    """
    array = _checked(responses, 3)
    c = np.asarray(contrast, dtype=float)
    good = c.ndim == 1 and len(c) >= 5 and bool((c > 0).all())
    check(good, "contrast", "five or more contrasts above 0", contrast)
    _fits(array, 1, len(c), "contrast")
    curve = _fit.naka_rushton(c)

    def describe(mean: np.ndarray) -> dict[str, np.ndarray]:
        data = mean.T
        low, high = data.min(1), data.max(1)
        middle = np.abs(data - ((low + high) / 2)[:, None]).argmin(1)
        start = np.stack([low, high - low, np.log(c[middle]), np.full(len(data), np.log(2.0))], 1)
        at, _ = _fit.fit(curve, start, data)
        return {"base": at[:, 0], "r_max": at[:, 1], "c50": np.exp(at[:, 2]), "n": np.exp(at[:, 3]),
                "r2": _r2(data, curve(at)[0])}  # fmt: skip

    return _with_intervals(describe, array, level, ("c50", "n"))


def opponent_index(
    responses: Any, unit_direction_deg: Any, *, direction_deg: float = 0.0, within_deg: float = 1.0
) -> np.ndarray:
    """Return (R - L) / (R + L) of the units that prefer a direction and those that prefer the opposite one.

    Parameters
    ----------
    responses
        (..., unit), energies: 0 or more.
    unit_direction_deg
        (unit,); NaN for units without a direction.
    direction_deg
        The direction that counts as positive.
    within_deg
        How near a unit's direction must be.

    Returns
    -------
    numpy.ndarray
        (...,), from -1 to 1; NaN where nothing responds.

    Raises
    ------
    ValueError
        When no unit prefers the direction or its opposite, or a response is negative or NaN.

    Examples
    --------
    >>> opponent_index([3.0, 9.0, 1.0], [0, 90, 180])
    array(0.5)
    """
    values, directions = np.asarray(responses, dtype=float), np.asarray(unit_direction_deg, dtype=float)
    finite("responses", values)
    check(
        values.shape[-1:] == directions.shape,
        "unit_direction_deg",
        f"one a unit, {values.shape[-1:]}",
        directions.shape,
    )
    check(bool((values >= 0).all()), "responses", "energies of 0 or more", float(values.min()), "Not logarithms.")
    sums = []
    for wanted in (direction_deg, direction_deg + 180):
        apart = np.abs((directions - wanted + 180) % 360 - 180)
        near = np.nan_to_num(apart, nan=np.inf) <= within_deg
        check(near.any(), "unit_direction_deg", f"{wanted % 360:g} degrees for one unit or more", directions.tolist())
        sums.append(values[..., near].sum(-1))
    total = sums[0] + sums[1]
    return np.where(total > 0, (sums[0] - sums[1]) / np.where(total > 0, total, 1), np.nan)


def _with_intervals(
    describe: Callable[[np.ndarray], dict[str, np.ndarray]], array: np.ndarray, level: float, names: Any = None
) -> pd.DataFrame:
    """Describe the mean over repeats; add the jackknife's interval of each name."""
    check(0 < level < 1, "level", "between 0 and 1", level, "Use 0.95.")
    found = describe(array.mean(0))
    k = len(array)
    rest = [describe(np.delete(array, i, 0).mean(0)) for i in range(k)] if k >= 3 else []
    table = dict(found)
    for name in found if names is None else names:
        reach = np.full(array.shape[-1], np.nan)
        if rest:
            left = np.stack([r[name] for r in rest])
            around = (left - found[name] + 180) % 360 - 180 if name == "preferred_deg" else left
            error = np.sqrt((k - 1) / k * ((around - around.mean(0)) ** 2).sum(0))
            reach = stats.t.ppf((1 + level) / 2, k - 1) * error
        table[f"{name}_low"], table[f"{name}_high"] = found[name] - reach, found[name] + reach
    return pd.DataFrame(table).rename_axis(index="unit")


def _priebe_fits(curve: _fit.Curve, data: np.ndarray, grid: list[np.ndarray]) -> tuple[Any, ...]:
    """Return data (units, conditions), the best free fit with its errors, and both constrained predictions."""
    weight = np.maximum(data, 1e-12)
    weight = weight / weight.sum(1, keepdims=True)
    middle = [weight @ g for g in grid]
    wide = [np.sqrt(np.maximum(weight @ g**2 - m**2, 0.1)) for g, m in zip(grid, middle, strict=True)]
    top = np.log(np.maximum(data.max(1), 1e-12))
    best: list[Any] = [None, None, np.full(len(data), np.inf)]
    fixed = {}
    for xi in (0.0, 0.5, 1.0):
        start = np.stack([top, *middle, *(np.log(v) for v in wide), np.full(len(data), xi)], 1)
        if xi != 0.5:
            held, _ = _fit.fit(curve, start, data, np.array([True] * 5 + [False]))
            fixed[int(xi)] = curve(held)[0]
            start = held
        at, errors = _fit.fit(curve, start, data)
        loss = ((curve(at)[0] - data) ** 2).sum(1)
        better = loss < best[2]
        best = [at.copy(), errors.copy(), loss] if best[0] is None else [
            np.where(better[:, None], at, best[0]), np.where(better[:, None], errors, best[1]),
            np.minimum(loss, best[2]),
        ]  # fmt: skip
    return data, best[0], best[1], fixed


def _kind(first: pd.Series, second: pd.Series, names: tuple[str, str]) -> np.ndarray:
    a, b = first.to_numpy(), second.to_numpy()
    is_first, is_second = a - np.maximum(b, 0) >= _CRITERION, b - np.maximum(a, 0) >= _CRITERION
    return np.where(is_first, names[0], np.where(is_second, names[1], "unclassed"))


def _r(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlate columns."""
    x, y = x - x.mean(0), y - y.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))


def _partial(r_xy: np.ndarray, r_xz: np.ndarray, r_yz: np.ndarray) -> np.ndarray:
    """Correlate x and y given z; 0 where z leaves nothing of one of them but rounding."""
    rest = (1 - r_xz**2) * (1 - r_yz**2)
    whole = rest < 1e-12
    made = np.clip((r_xy - r_xz * r_yz) / np.sqrt(np.where(whole, 1, rest)), -1, 1)
    return np.where(whole, 0.0, made)


def _r2(data: np.ndarray, made: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - ((data - made) ** 2).sum(1) / ((data - data.mean(1, keepdims=True)) ** 2).sum(1)


def _between(curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Read a circular curve (direction, unit) between its samples."""
    low = np.floor(at).astype(int)
    unit, part = np.arange(curve.shape[1]), at - low
    return (1 - part) * curve[low % len(curve), unit] + part * curve[(low + 1) % len(curve), unit]


def _half_width(curve: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Mean distance, in degrees, from the largest response to where a side first falls to half of it."""
    n, step = len(curve), 360 / len(directions)
    best, unit = curve.argmax(0), np.arange(curve.shape[1])
    half = curve[best, unit] / 2
    sides = []
    for sign in (1, -1):
        side = curve[(best[None] + sign * np.arange(n // 2 + 1)[:, None]) % n, unit]
        below = side <= half
        first = np.where(below.any(0), below.argmax(0), 1)
        inner, outer = side[first - 1, unit], side[first, unit]
        with np.errstate(invalid="ignore", divide="ignore"):
            width = (first - 1 + (inner - half) / (inner - outer)) * step
        sides.append(np.where(below.any(0), width, np.nan))
    return (sides[0] + sides[1]) / 2


def _checked(responses: Any, ndim: int, name: str = "responses") -> np.ndarray:
    array = np.asarray(responses, dtype=float)
    words = {3: "(repeat, condition, unit)", 4: "(repeat, sf, tf, unit)"}[ndim]
    check(array.ndim == ndim and array.size > 0, name, f"of shape {words}", f"shape {array.shape}",
          "Add a first axis of length 1 when there are no repeats.")  # fmt: skip
    finite(name, array)
    return array


def _fits(array: np.ndarray, axis: int, n: int, name: str) -> None:
    if array.shape[axis] != n:
        fail(name, f"{array.shape[axis]} values, as many as responses has conditions", n)


def _circle(direction_deg: Any) -> np.ndarray:
    directions = np.asarray(direction_deg, dtype=float)
    steps = np.diff(directions)
    even = directions.ndim == 1 and len(directions) >= 4 and np.allclose(steps, 360 / len(directions), atol=1e-6)
    check(even, "direction_deg", "4 or more, evenly spaced over 360 degrees", directions.tolist())
    return directions


def _octaves(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    good = array.ndim == 1 and len(array) >= 3 and bool((array > 0).all())
    check(good, name, "three or more frequencies above 0", array.tolist())
    return np.log2(array)
