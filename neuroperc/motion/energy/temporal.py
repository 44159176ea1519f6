"""Temporal filters in (near) quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Literal

import numpy as np
from scipy.signal import hilbert

from ..._check import check, one_of, positive

TemporalFamily = Literal["adelson_bergen", "watson_ahumada", "gabor"]
FAMILIES: tuple[TemporalFamily, ...] = ("adelson_bergen", "watson_ahumada", "gabor")

_FAST, _SLOW = 3, 5  # Adelson & Bergen's exponents
_TF_OF_RATE = 4.035 / 60  # mean of the two peaks (4.39 and 3.68 Hz) at 60 per second
_UPPER_HALF = 9.8 / 4.035  # upper half-amplitude frequency over the preferred one
_SUPPORT = 30.0  # kt at which the impulse responses end: at 18 (0.3 s at 60 per second) 2 % are left
_TAU_OF_TF = 0.0417  # Watson & Ahumada's tau_1 times the frequency of the peak


@dataclass(frozen=True, eq=False)
class TemporalFilters:
    """Two impulse responses, the second about a quarter of a cycle behind the first.

    Attributes
    ----------
    time_s
        (n,) sampled at the frames, one of them 0; before 0 only where a filter looks ahead.
    lead, lag
        (n,) impulse responses: fast and slow, a filter and its Hilbert transform, cosine and sine. Their gain at the
        frequency they prefer is 1, and still pictures give 0.
    tf_hz
        The temporal frequency at which their gains together are largest.

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> pair = npc.motion.temporal_filters("adelson_bergen", fps=1000, rate_hz=60)
    >>> [int(1e3 * pair.time_s[np.argmax(f)] + 0.5) for f in (pair.lead, pair.lag)]
    [38, 65]
    """

    time_s: np.ndarray
    lead: np.ndarray
    lag: np.ndarray
    tf_hz: float


def temporal_filters(
    family: TemporalFamily, *, fps: float, tf_hz: float | None = None, rate_hz: float | None = None
) -> TemporalFilters:
    """Make a pair of temporal filters, sampled at the frames of a movie.

    Parameters
    ----------
    family
        ``"adelson_bergen"``: (kt)^n exp(-kt) [1/n! - (kt)^2/(n+2)!], fast n = 3 and slow n = 5, causal, only about in
        quadrature. ``"watson_ahumada"``: difference of two gamma low-passes and its Hilbert transform, exactly in
        quadrature, the transform looking ahead a little. ``"gabor"``: Gaussian times cosine and sine, centred.
    fps
        Frames per second.
    tf_hz
        Preferred temporal frequency; default that of `rate_hz`, or 4 Hz.
    rate_hz
        k of Adelson & Bergen in 1/s, instead of `tf_hz`; at 60 the peaks come after 38 ms (fast) and 65 ms (slow).

    Returns
    -------
    TemporalFilters
        The sampled pair.

    Raises
    ------
    ValueError
        For both `tf_hz` and `rate_hz`, a rate with another family, or frames too slow for the filters.

    References
    ----------
    .. [1] EH Adelson & JR Bergen (1985). doi:10.1364/JOSAA.2.000284
    .. [2] AB Watson & AJ Ahumada (1985). Model of human visual-motion sensing. doi:10.1364/JOSAA.2.000322 (the
       form; constants n = 9, 10, ratio 1.33 and zeta 0.9 as commonly quoted).

    Examples
    --------
    >>> pair = temporal_filters("gabor", fps=60, tf_hz=4)
    >>> pair.tf_hz, abs(float(pair.lead.sum())) < 1e-12
    (4.0, True)
    >>> temporal_filters("gabor", fps=6, tf_hz=4)
    Traceback (most recent call last):
    ValueError: fps must be at least 11.6 for filters that pass 4 Hz, got 6. Use a faster movie or a lower tf_hz.
    """
    one_of("family", family, FAMILIES)
    rate = positive("fps", fps)
    check(tf_hz is None or rate_hz is None, "rate_hz", "left out when tf_hz is given", rate_hz)
    if rate_hz is not None:
        check(family == "adelson_bergen", "rate_hz", "given for 'adelson_bergen' only", rate_hz, "Use tf_hz.")
        k_hz = positive("rate_hz", rate_hz)
        wanted = k_hz * _TF_OF_RATE
    else:
        wanted = 60 * _TF_OF_RATE if tf_hz is None and family == "adelson_bergen" else positive("tf_hz", tf_hz or 4.0)
        k_hz = wanted / _TF_OF_RATE
    highest = wanted * (1.45 if family == "gabor" else _UPPER_HALF)
    remedy = "Use a faster movie or a lower tf_hz."
    check(rate >= 2 * highest, "fps", f"at least {2 * highest:.3g} for filters that pass {wanted:.3g} Hz", fps, remedy)
    if family == "adelson_bergen":
        time, lead, lag, envelope = _adelson_bergen(rate, k_hz)
    elif family == "watson_ahumada":
        time, lead, lag, envelope = _watson_ahumada(rate, wanted)
    else:
        time, lead, lag, envelope = _gabor(rate, wanted)
    pair = [f - e * f.sum() / e.sum() for f, e in zip((lead, lag), envelope, strict=True)]
    frequencies = np.linspace(0, rate / 2, 2049)
    spectra = np.abs(np.exp(-2j * np.pi * frequencies[:, None] * time) @ np.stack(pair, 1))
    lead, lag = (f / top for f, top in zip(pair, spectra.max(0), strict=True))
    peak = frequencies[np.argmax((spectra / spectra.max(0)).sum(1))]
    return TemporalFilters(time, lead, lag, wanted if family == "gabor" else float(peak))


def _adelson_bergen(fps: float, k_hz: float) -> tuple[np.ndarray, ...]:
    time = np.arange(int(np.ceil(_SUPPORT / k_hz * fps)) + 1) / fps
    kt = k_hz * time
    envelopes = np.stack([kt**n * np.exp(-kt) for n in (_FAST, _SLOW)])
    fast, slow = (
        e * (1 / factorial(n) - kt**2 / factorial(n + 2)) for n, e in zip((_FAST, _SLOW), envelopes, strict=True)
    )
    return time, fast, slow, envelopes


def _watson_ahumada(fps: float, tf_hz: float) -> tuple[np.ndarray, ...]:
    """Sample finely for the Hilbert transform, which is long, and keep one cycle before and two and a half after."""
    tau = _TAU_OF_TF / tf_hz
    n_before, n_after = (int(np.ceil(c / tf_hz * fps)) for c in (1.0, 2.5))
    n_long = 16 * (n_before + n_after)
    long_s = np.arange(-n_long, n_long) / fps
    t = np.maximum(long_s, 0)

    def gamma(n: int, width: float) -> np.ndarray:
        return (t / width) ** (n - 1) * np.exp(-t / width) / (width * factorial(n - 1))

    whole = gamma(9, tau) - 0.9 * gamma(10, 1.33 * tau)
    whole -= gamma(9, tau) * whole.sum() / gamma(9, tau).sum()
    keep = slice(n_long - n_before, n_long + n_after + 1)
    time, lead, lag = long_s[keep], whole[keep], np.imag(hilbert(whole))[keep]
    bump = np.exp(-((time - 9 * tau) ** 2) / (2 * (0.5 / tf_hz) ** 2))
    return time, lead, lag, np.stack([gamma(9, tau)[keep], bump])


def _gabor(fps: float, tf_hz: float) -> tuple[np.ndarray, ...]:
    """Make a Gabor with an s.d. of 0.45 cycles, 1.3 octaves wide at half amplitude, cut at 3 s.d."""
    sd_s = 0.45 / tf_hz
    half = int(np.ceil(3 * sd_s * fps))
    time = np.arange(-half, half + 1) / fps
    envelope = np.exp(-(time**2) / (2 * sd_s**2))
    turns = 2 * np.pi * tf_hz * time
    return time, envelope * np.cos(turns), envelope * np.sin(turns), np.stack([envelope, envelope])
