"""Pictures made equal in luminance, contrast, histogram or spectrum, with what could not be made equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._check import check, fail, finite, one_of, positive
from ..color import luminance
from ..data import StimulusSet

Match = Literal["luminance", "contrast", "histogram", "spectrum"]


@dataclass(frozen=True, eq=False)
class Equalized:
    """Equalized stimuli, and how well it went.

    Attributes
    ----------
    stimuli
        The new StimulusSet; ids, places and other columns are those of the old one.
    report
        A row a stimulus: ``before`` and ``after`` (mean luminance; RMS contrast for the other matches), ``residual``
        (what is left of the difference to the target after clipping, see `equalize`), ``n_clipped`` (values that left
        [0, 1] and were cut), ``share_clipped``, and the ``least`` and ``greatest`` value before cutting.
    match, target
        What was made equal, and to what: a number, sorted luminances, or an amplitude spectrum.

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> pictures = np.random.default_rng(0).random((2, 1, 16, 16)) * [[[[0.3]]], [[[0.6]]]]
    >>> made = npc.stimuli.equalize(npc.StimulusSet.from_arrays(pictures, display=display), match="luminance")
    >>> bool((made.report["residual"].abs() < 1e-12).all()), int(made.report["n_clipped"].sum())
    (True, 0)
    """

    stimuli: StimulusSet
    report: pd.DataFrame
    match: Match
    target: Any

    def __repr__(self) -> str:
        worst, clipped = self.report["residual"].abs().max(), int((self.report["n_clipped"] > 0).sum())
        return (
            f"<Equalized {len(self.report)} stimuli in {self.match}: largest residual {worst:.3g}, "
            f"values clipped in {clipped}>"
        )


def equalize(
    stimuli: StimulusSet,
    *,
    match: Match,
    target: float | None = None,
    window: Any = None,
    out_of_gamut: Literal["clip", "raise"] = "clip",
) -> Equalized:
    """Make stimuli equal in one respect, in linear light, and report what is left.

    Values beyond [0, 1] are cut, or raise; nothing is rescaled to fit.

    Parameters
    ----------
    stimuli
        Pictures or movies (each movie as a whole).
    match
        ``"luminance"``: the mean, by a gain (contrast stays). ``"contrast"``: RMS contrast SD/mean of luminance, by
        stretching about the mean (the mean stays). ``"histogram"``: the distribution of luminance, to the average of
        all quantile functions, by rank. ``"spectrum"``: the amplitude at every spatial frequency, to the average, with
        phases and mean kept (pictures of one size).
    target
        Mean luminance in (0, 1] or RMS contrast; default the mean over the stimuli. Only for these two.
    window
        (h, w) weights of 0 or more in which luminance or contrast is measured; default the whole picture. What
        changes is the whole picture.
    out_of_gamut
        ``"clip"`` and count, or ``"raise"``.

    Returns
    -------
    Equalized
        ``residual`` of its report is measured minus target for luminance and contrast, the root mean square difference
        of sorted luminances for the histogram, and that of amplitudes relative to the target's for the spectrum.

    Raises
    ------
    ValueError
        For a picture of one grey in contrast or spectrum, a black one in luminance or contrast, sizes that differ
        (spectrum), a target outside its range, or values beyond [0, 1] with ``out_of_gamut="raise"``.
    TypeError
        When `stimuli` is not a StimulusSet.

    Notes
    -----
    Colour: gain and stretch act on all channels alike; histogram and spectrum change luminance and add the same
    difference to every channel. Luminance (Rec. 709) is matched exactly in every case. Equal pixels share the mean of
    their ranks in a histogram, so flat areas stay flat and leave a residual.

    References
    ----------
    .. [1] V Willenbockel et al. (2010). Controlling low-level image properties: the SHINE toolbox.
       doi:10.3758/BRM.42.3.671 (the four kinds of match; the arithmetic here is in linear light).

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(16, 16))
    >>> pictures = np.random.default_rng(0).random((2, 1, 16, 16)) * 0.5 + 0.2
    >>> made = equalize(npc.StimulusSet.from_arrays(pictures, display=display), match="contrast", target=0.2)
    >>> made.report["after"].round(6).tolist()
    [0.2, 0.2]
    """
    check(isinstance(stimuli, StimulusSet), "stimuli", "a StimulusSet", type(stimuli).__name__, error=TypeError)
    one_of("match", match, tuple(_RULES))
    one_of("out_of_gamut", out_of_gamut, ("clip", "raise"))
    single = match in ("luminance", "contrast")
    check(single or (target is None and window is None), "target and window", f"left out for match={match!r}",
          target if window is None else "a window", "They are for luminance and contrast.")  # fmt: skip
    linear = [picture.double() for picture in stimuli.to_encoding("linear")]
    for name, picture in zip(stimuli.ids, linear, strict=True):
        finite(f"stimulus {name!r}", picture)
    _check_sizes(match, stimuli)
    weights = _window(window, linear[0].shape[-2:], stimuli) if window is not None else None
    wanted, change = _RULES[match](stimuli.ids, linear, target, weights)
    wide = [change(picture) for picture in linear]
    cut = [picture.clip(0, 1) for picture in wide]
    report = _report(stimuli.ids, match, linear, wide, cut, wanted, weights)
    clipped = report["n_clipped"] > 0
    if out_of_gamut == "raise" and clipped.any():
        row = report[clipped].iloc[0]
        fail(f"stimulus {row.name!r}", "within [0, 1] after equalizing",
             f"values from {row['least']:.4g} to {row['greatest']:.4g}", "Lower the target.")  # fmt: skip
    single_precision = all(picture.dtype == torch.float32 for picture in stimuli)
    made = StimulusSet.from_arrays(
        [p.float() if single_precision else p for p in cut], display=stimuli.display, fps=stimuli.fps,
        table=stimuli.table, truth=stimuli.truth,
    )  # fmt: skip
    return Equalized(made.to_encoding(stimuli.encoding), report, match, wanted)


def _moments(picture: Tensor, weights: Tensor | None) -> tuple[float, float]:
    """Return the mean and the SD of luminance in the window."""
    light = luminance(picture)
    w = torch.ones_like(light) if weights is None else weights.expand_as(light)
    mean = (light * w).sum() / w.sum()
    spread = ((light - mean) ** 2 * w).sum() / w.sum()
    return float(mean), float(spread) ** 0.5


def _rule_luminance(ids: list[str], pictures: list[Tensor], target: Any, weights: Any) -> Any:
    means = [_moments(p, weights)[0] for p in pictures]
    _check_each(ids, means, "of a mean luminance above 0")
    wanted = float(np.mean(means)) if target is None else positive("target", target)
    check(wanted <= 1, "target", "a luminance in (0, 1]", target, "White is 1.")
    return wanted, lambda picture: picture * (wanted / _moments(picture, weights)[0])


def _rule_contrast(ids: list[str], pictures: list[Tensor], target: Any, weights: Any) -> Any:
    moments = [_moments(p, weights) for p in pictures]
    _check_each(ids, [mean for mean, _ in moments], "of a mean luminance above 0")
    _check_each(ids, [spread for _, spread in moments], "of more than one luminance", least=1e-9)
    wanted = float(np.mean([b / a for a, b in moments])) if target is None else positive("target", target)

    def change(picture: Tensor) -> Tensor:
        mean, spread = _moments(picture, weights)
        inside = torch.ones_like(picture) if weights is None else weights.expand_as(picture)
        keep = tuple(i for i in range(picture.ndim) if i != picture.ndim - 3)
        center = (picture * inside).sum(keep, keepdim=True) / inside.sum(keep, keepdim=True)
        return center + (picture - center) * (wanted * mean / spread)

    return wanted, change


def _rule_histogram(ids: list[str], pictures: list[Tensor], target: Any, weights: Any) -> Any:
    n = max(luminance(p).numel() for p in pictures)
    places = (np.arange(n) + 0.5) / n
    wanted = np.mean([_quantiles(p, places) for p in pictures], axis=0)

    def change(picture: Tensor) -> Tensor:
        light = luminance(picture)
        _, index, counts = np.unique(light.numpy(force=True).ravel(), return_inverse=True, return_counts=True)
        last = counts.cumsum()
        middle = (last - counts / 2) / last[-1]  # equal pixels share the mean of their ranks
        new = torch.as_tensor(np.interp(middle, places, wanted)[index].reshape(light.shape))
        return picture + (new.to(picture.device) - light)

    return wanted, change


def _rule_spectrum(ids: list[str], pictures: list[Tensor], target: Any, weights: Any) -> Any:
    spreads = [_moments(p, None)[1] for p in pictures]
    _check_each(ids, spreads, "of more than one luminance", least=1e-9)
    wanted = torch.stack([_amplitude(p) for p in pictures]).mean(0)

    def change(picture: Tensor) -> Tensor:
        light = luminance(picture)
        spectrum = torch.fft.rfft2(light)
        size = spectrum.abs()
        # A frequency that a picture lacks has no phase: it gets phase 0.
        phase = torch.where(size > 0, spectrum / torch.where(size > 0, size, 1), torch.ones_like(spectrum))
        new = wanted * phase
        new[..., 0, 0] = spectrum[..., 0, 0]
        return picture + (torch.fft.irfft2(new, s=light.shape[-2:]) - light)

    return wanted.numpy(force=True), change


_RULES: dict[str, Callable[..., Any]] = {
    "luminance": _rule_luminance, "contrast": _rule_contrast, "histogram": _rule_histogram, "spectrum": _rule_spectrum,
}  # fmt: skip


def _quantiles(picture: Tensor, places: np.ndarray) -> np.ndarray:
    """Return the quantile function at `places`; exact when there are as many as pixels."""
    values = np.sort(luminance(picture).numpy(force=True).ravel())
    return np.interp(places, (np.arange(len(values)) + 0.5) / len(values), values)


def _amplitude(picture: Tensor) -> Tensor:
    """Return the amplitudes (h, w // 2 + 1) of a picture's luminance, the mean left out."""
    size = torch.fft.rfft2(luminance(picture))[0].abs()
    size[0, 0] = 0
    return size


def _residual(match: str, picture: Tensor, wanted: Any, weights: Any) -> float:
    mean, spread = _moments(picture, weights)
    if match == "luminance":
        return mean - wanted
    if match == "contrast":
        return spread / mean - wanted
    if match == "histogram":
        return float(
            np.sqrt(np.mean((_quantiles(picture, (np.arange(len(wanted)) + 0.5) / len(wanted)) - wanted) ** 2))
        )
    left = _amplitude(picture).numpy(force=True) - wanted
    return float(np.sqrt((left**2).mean() / (wanted**2).mean()))


def _report(
    ids: list[str], match: str, old: list[Tensor], wide: list[Tensor], cut: list[Tensor], wanted: Any, weights: Any
) -> pd.DataFrame:
    rows = []
    for before, raw, after in zip(old, wide, cut, strict=True):
        # Rounding beyond the ends is not clipping.
        n_clipped = int(((raw < -1e-12) | (raw > 1 + 1e-12)).sum())
        measured = []
        for picture in (before, after):
            mean, spread = _moments(picture, weights)
            measured.append(mean if match == "luminance" else spread / mean if mean > 0 else np.nan)
        rows.append({
            "before": measured[0], "after": measured[1], "residual": _residual(match, after, wanted, weights),
            "n_clipped": n_clipped, "share_clipped": n_clipped / raw.numel(), "least": float(raw.min()),
            "greatest": float(raw.max()),
        })  # fmt: skip
    return pd.DataFrame(rows, index=pd.Index(ids, name="stimulus_id"))


def _check_each(ids: list[str], values: list[float], rule: str, least: float = 0.0) -> None:
    for name, value in zip(ids, values, strict=True):
        check(value > least, f"stimulus {name!r}", rule, f"{value:.3g}", "Leave it out.")


def _check_sizes(match: str, stimuli: StimulusSet) -> None:
    if match == "spectrum":
        check(stimuli.fps is None, "stimuli", "pictures for match='spectrum'", "movies")
        sizes = sorted({shape[-2:] for shape in stimuli.shapes})
        check(len(sizes) == 1, "stimuli", "of one size for match='spectrum'", sizes, "Crop or pad them first.")


def _window(window: Any, shape: Any, stimuli: StimulusSet) -> Tensor:
    weights = torch.as_tensor(window, dtype=torch.float64)
    sizes = sorted({s[-2:] for s in stimuli.shapes})
    check(len(sizes) == 1, "stimuli", "of one size when there is a window", sizes)
    check(tuple(weights.shape) == tuple(shape), "window", f"of shape {tuple(shape)}", tuple(weights.shape))
    finite("window", weights)
    good = bool((weights >= 0).all()) and float(weights.sum()) > 0
    check(good, "window", "weights of 0 or more, some above 0", "others")
    return weights
