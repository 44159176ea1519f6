"""Curves: transfer functions and agreement against eccentricity."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from .._check import check, finite
from .look import axes

__all__ = ["agreement_by_eccentricity", "transfer"]


def _column(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)
    check(array.ndim == 1 and array.size > 0, name, "a list of numbers", array.shape)
    finite(name, array)
    return array


def agreement_by_eccentricity(
    eccentricity_deg: Any,
    agreement: Any,
    *,
    interval: Any = None,
    interval_of: str = "",
    quantity: str = "correlation",
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how an agreement falls with eccentricity.

    Parameters
    ----------
    eccentricity_deg
        (n,) eccentricities.
    agreement
        (n,) values.
    interval
        (2, n) lower and upper limits, drawn as a band.
    interval_of
        What the band is; required with `interval`, and printed in the legend.
    quantity
        Name of the vertical axis.
    label
        Name of this curve.
    ax
        Axes to draw into; call again with it for a second curve.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ, a value is not finite, or the band does not say what it is.

    Examples
    --------
    >>> agreement_by_eccentricity([1, 5, 10], [0.99, 0.9, 0.7]).get_xlabel()
    'eccentricity (deg)'
    """
    x, y = _column("eccentricity_deg", eccentricity_deg), _column("agreement", agreement)
    check(len(x) == len(y), "agreement", f"{len(x)} values, as many as eccentricities", len(y))
    ax = axes(ax)
    (line,) = ax.plot(x, y, "o-", label=label or None)
    if interval is not None:
        limits = np.asarray(interval, dtype=float)
        check(limits.shape == (2, len(x)), "interval", f"of shape (2, {len(x)})", limits.shape)
        check(interval_of, "interval_of", "given with an interval", interval_of, "Say what the band is.")
        ax.fill_between(x, *limits, color=line.get_color(), alpha=0.18, linewidth=0, label=interval_of)
    ax.set(xlabel="eccentricity (deg)", ylabel=quantity)
    ax.set_ylim(top=1.02)
    if label or interval_of:
        ax.legend()
    return ax


def transfer(
    frequency_cpd: Any,
    gain: Any,
    *,
    expected: Any = None,
    cutoff_cpd: float | None = None,
    label: str = "measured",
    ax: Axes | None = None,
) -> Axes:
    """Draw a transfer function on a logarithmic frequency axis.

    Parameters
    ----------
    frequency_cpd
        (n,) spatial frequencies in cycles per degree, above 0.
    gain
        (n,) amplitude out over amplitude in.
    expected
        (n,) gain that theory predicts, drawn dashed.
    cutoff_cpd
        Frequency to mark with a vertical line.
    label
        Name of the measured curve.
    ax
        Axes to draw into.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When lengths differ or a frequency is not above 0.

    Examples
    --------
    >>> transfer([1, 2, 4], [1.0, 0.5, 0.1], cutoff_cpd=2).get_xscale()
    'log'
    """
    x, y = _column("frequency_cpd", frequency_cpd), _column("gain", gain)
    check(len(x) == len(y), "gain", f"{len(x)} values, as many as frequencies", len(y))
    check(bool((x > 0).all()), "frequency_cpd", "above 0", float(x.min()), "A logarithmic axis has no 0.")
    ax = axes(ax)
    (line,) = ax.plot(x, y, "o-" if expected is None else "o", label=label)
    if expected is not None:
        ax.plot(x, _column("expected", expected), "--", color=line.get_color(), linewidth=1, label="expected")
    if cutoff_cpd is not None:
        ax.axvline(cutoff_cpd, color=line.get_color(), linewidth=0.8, alpha=0.6)
    ax.set(xscale="log", xlabel="spatial frequency (cpd)", ylabel="gain (amplitude out / in)", ylim=(-0.03, 1.1))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())  # its labels would lie on each other
    ax.legend()
    return ax
