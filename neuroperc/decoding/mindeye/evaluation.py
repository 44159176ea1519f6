"""How good reconstructions are: pixels, structure, identification by networks, with intervals and baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student
from torch import Tensor
from torch.nn.functional import interpolate

from ..._check import as_rng, check, finite, integer, one_of
from ...color import linear_to_srgb, srgb_to_linear
from ...metrics import mean_interval, pixel_correlation, ssim, two_way_identification
from ...nets import Net

Network = Callable[[Tensor], Tensor]
_GREY = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, on code values as the published evaluation does


def evaluate_reconstructions(
    reconstructions: Any,
    images: Any,
    *,
    encoding: Literal["linear", "srgb"],
    two_way: Mapping[str, Network] | None = None,
    distance: Mapping[str, Network] | None = None,
    conditions: Any = None,
    training_images: Any = None,
    nearest: Any = None,
    resize_px: int | None = 425,
    interval: Literal["bootstrap", "fisher_z"] = "bootstrap",
    images_per_batch: int = 32,
    rng: int | np.random.Generator,
) -> pd.DataFrame:
    """Score reconstructions and what anyone could have answered without them.

    Parameters
    ----------
    reconstructions, images
        (n, 3, h, w) in [0, 1]: what was made and what was shown, in the same order.
    encoding
        Of both. Every measure, functions of `two_way` and `distance` included, gets sRGB codes, as in the papers.
    two_way
        Name to a function from pictures (b, 3, h, w) to features (b, ...), with its own resizing and normalisation:
        two-way identification by Pearson's correlation. Published: AlexNet (2, 5), Inception v3, CLIP. A `nets.Net` is
        given the linear light that it takes; `NetEncoder` makes a function of one of its layers.
    distance
        The same, for the mean of one minus the correlation with the own picture. Published: EfficientNet-B1, SwAV.
    conditions
        (n,) labels such as categories; two-way identification is given among pictures of one label too (matched foils).
    training_images
        (m, 3, h, w): adds the mean training picture as a baseline.
    nearest
        (n,) number of the training picture nearest to each prediction (`nearest_training_image`): a second baseline.
    resize_px
        Side to which pictures are brought for pixel correlation and SSIM; None leaves them as they are.
    interval
        ``"bootstrap"`` over pictures, or ``"fisher_z"`` for correlations: estimate and t interval of the mean of
        arctanh r, taken back.
    images_per_batch
        Pictures at a time.
    rng
        Seed or generator of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        A row a source ("reconstruction", "mean training image", "nearest training image") and measure: ``source measure
        estimate low high n chance interval_of``. ``n`` counts pictures with a defined value: a mean picture answers
        every brain alike, so its two-way value is chance, and a uniform one has no correlation.

    Raises
    ------
    ValueError
        For shapes that differ, values outside [0, 1], NaN, or `nearest` without training pictures.

    References
    ----------
    .. [1] P S Scotti et al. (2023). arXiv:2305.18274, section 4.2: the eight measures.
    .. [2] K Shirakawa et al. (2024). Spurious reconstruction from brain activity. arXiv:2405.10078: why baselines.

    Examples
    --------
    >>> shown = np.random.default_rng(0).random((6, 3, 16, 16))
    >>> table = evaluate_reconstructions(shown, shown, encoding="srgb", resize_px=None, rng=0,
    ...                                  two_way={"pixels": lambda x: x.flatten(1)})
    >>> table[["measure", "estimate"]].values.tolist()
    [['PixCorr', 1.0], ['SSIM', 1.0], ['two-way pixels', 1.0]]
    """
    one_of("interval", interval, ("bootstrap", "fisher_z"))
    if resize_px is not None:
        integer("resize_px", resize_px)
    shown = _pictures("images", images, encoding)
    sources = {"reconstruction": _pictures("reconstructions", reconstructions, encoding)}
    check(sources["reconstruction"].shape == shown.shape, "reconstructions",
          f"of the images' shape {tuple(shown.shape)}", tuple(sources["reconstruction"].shape),
          "Resize them first.")  # fmt: skip
    sources |= _baselines(training_images, nearest, encoding, shown)
    labels = None if conditions is None else np.asarray(conditions)
    check(labels is None or labels.shape == (len(shown),), "conditions", f"one for each of the {len(shown)} images",
          None if labels is None else labels.shape)  # fmt: skip
    suite = _Suite(
        two_way or {}, distance or {}, labels, resize_px, integer("images_per_batch", images_per_batch), interval,
        as_rng(rng),
    )  # fmt: skip
    features = {name: suite.features(net, shown) for name, net in suite.networks.items()}
    rows = [
        {"source": source} | row
        for source, pictures in sources.items()
        for row in suite.rows(pictures, shown, features)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@dataclass
class _Suite:
    """The measures that were asked for, and how their intervals are made."""

    two_way: Mapping[str, Network]
    distance: Mapping[str, Network]
    labels: np.ndarray | None
    resize_px: int | None
    per_batch: int
    interval: str
    rng: np.random.Generator

    @property
    def networks(self) -> dict[str, Network]:
        return {f"two-way {k}": v for k, v in self.two_way.items()} | {
            f"distance {k}": v for k, v in self.distance.items()
        }

    def features(self, net: Network, pictures: Tensor) -> np.ndarray:
        shown = torch.as_tensor(srgb_to_linear(pictures)) if isinstance(net, Net) else pictures
        with torch.no_grad():
            parts = [net(part).flatten(1).float().cpu().numpy() for part in shown.split(self.per_batch)]
        return np.concatenate(parts)

    def rows(self, made: Tensor, shown: Tensor, features: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
        pairs = list(zip(made.split(self.per_batch), shown.split(self.per_batch), strict=True))
        resized = [(_resized(a, self.resize_px), _resized(b, self.resize_px)) for a, b in pairs]
        yield self._row("PixCorr", np.concatenate([pixel_correlation(a, b).numpy() for a, b in resized]), r=True)
        yield self._row("SSIM", np.concatenate([_grey_ssim(a, b) for a, b in resized]))
        for name, net in self.networks.items():
            found, wanted = self.features(net, made), features[name]
            if name.startswith("distance "):
                yield self._row(name, 1 - _correlation(found, wanted))
                continue
            yield self._row(name, np.asarray(two_way_identification(found, wanted)), chance=0.5)
            if self.labels is not None:
                yield self._row(f"{name}, matched foils", matched_two_way(found, wanted, self.labels), chance=0.5)

    def _row(self, measure: str, values: np.ndarray, *, r: bool = False, chance: float = np.nan) -> dict[str, Any]:
        kept = values[np.isfinite(values)].astype(np.float64)
        row: dict[str, Any] = {"measure": measure, "estimate": np.nan, "low": np.nan, "high": np.nan, "n": len(kept),
                               "chance": chance, "interval_of": "undefined"}  # fmt: skip
        if r and self.interval == "fisher_z" and len(kept) > 2:
            row["estimate"], row["low"], row["high"] = fisher_z_interval(kept)
            row["interval_of"] = "Fisher z, 95 % t interval over images"
        elif len(kept) > 2:
            found = mean_interval(kept, rng=self.rng)
            row |= {"estimate": found.estimate, "low": found.low, "high": found.high}
            row["interval_of"] = "mean, 95 % bootstrap interval over images"
        elif len(kept):
            row |= {"estimate": float(kept.mean()), "interval_of": "mean of too few images for an interval"}
        return row


def fisher_z_interval(r: Any, *, level: float = 0.95) -> tuple[float, float, float]:
    """Mean correlation and its t interval over pictures, both made of arctanh r and taken back.

    Parameters
    ----------
    r
        (n,) correlations, three or more.
    level
        Coverage.

    Returns
    -------
    tuple of float
        Estimate, low and high. Correlations of 1 or -1 are taken as that of the nearest number below 1.

    Raises
    ------
    ValueError
        For fewer than three, NaN, or values outside [-1, 1].

    Examples
    --------
    >>> [round(v, 3) for v in fisher_z_interval([0.1, 0.3, 0.5])]
    [0.309, -0.234, 0.705]
    """
    values = np.asarray(r, dtype=np.float64)
    check(values.ndim == 1 and len(values) > 2, "r", "(n,) with three or more", values.shape)
    finite("r", values)
    check(bool((np.abs(values) <= 1 + 1e-12).all()), "r", "from -1 to 1", float(np.abs(values).max()))
    z = np.arctanh(np.clip(values, -1 + 1e-12, 1 - 1e-12))
    half = student.ppf((1 + level) / 2, len(z) - 1) * z.std(ddof=1) / np.sqrt(len(z))
    return float(np.tanh(z.mean())), float(np.tanh(z.mean() - half)), float(np.tanh(z.mean() + half))


def matched_two_way(prediction: Any, target: Any, conditions: Any) -> np.ndarray:
    """Two-way identification among pictures of one condition: telling a zebra from other zebras.

    Parameters
    ----------
    prediction, target
        (n, ...) features of the same pictures in the same order.
    conditions
        (n,) labels.

    Returns
    -------
    numpy.ndarray
        (n,) shares; NaN where a condition has one picture. Chance is 0.5.

    Raises
    ------
    ValueError
        For shapes that do not match.

    Examples
    --------
    >>> matched_two_way(np.eye(4), np.eye(4)[[0, 1, 3, 2]], ["cat", "cat", "zebra", "zebra"]).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    found, wanted, labels = np.asarray(prediction), np.asarray(target), np.asarray(conditions)
    check(labels.shape == (len(found),), "conditions", f"one for each of the {len(found)} rows", labels.shape)
    shares = np.full(len(found), np.nan)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            shares[rows] = np.asarray(two_way_identification(found[rows], wanted[rows]))
    return shares


def _pictures(name: str, pictures: Any, encoding: str) -> Tensor:
    one_of("encoding", encoding, ("linear", "srgb"))
    x = torch.as_tensor(pictures).detach().cpu().float()
    check(x.ndim == 4 and x.shape[1] == 3 and len(x) > 1, name, "(n, 3, h, w) with two or more", tuple(x.shape))
    finite(name, x)
    check(bool(x.min() >= 0 and x.max() <= 1), name, "within [0, 1]", (float(x.min()), float(x.max())),
          "Divide codes by 255; clamp what a generator made.")  # fmt: skip
    return x if encoding == "srgb" else torch.as_tensor(linear_to_srgb(x))


def _baselines(training: Any, nearest: Any, encoding: str, shown: Tensor) -> dict[str, Tensor]:
    if training is None:
        check(nearest is None, "training_images", "given with nearest", None)
        return {}
    known = _pictures("training_images", training, encoding)
    check(known.shape[1:] == shown.shape[1:], "training_images", f"pictures of shape {tuple(shown.shape[1:])}",
          tuple(known.shape[1:]))  # fmt: skip
    found = {"mean training image": known.mean(0).expand_as(shown)}
    if nearest is not None:
        index = np.asarray(nearest)
        ok = index.shape == (len(shown),) and index.dtype.kind in "iu" and 0 <= index.min() <= index.max() < len(known)
        check(ok, "nearest", f"the number of a training image, below {len(known)}, for each image", index)
        found["nearest training image"] = known[torch.from_numpy(index.astype(np.int64))]
    return found


def _resized(pictures: Tensor, side: int | None) -> Tensor:
    if side is None:
        return pictures
    made = interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return made.clamp(0, 1)


def _grey_ssim(a: Tensor, b: Tensor) -> np.ndarray:
    weights = torch.tensor(_GREY)[:, None, None]
    grey = [(x * weights).sum(1, keepdim=True) for x in (a, b)]
    return np.asarray(ssim(*grey, data_range=1.0).numpy())


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (a.astype(np.float64), b.astype(np.float64)))
    size = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.asarray(np.where(size > 0, (x * y).sum(axis=1) / np.where(size > 0, size, 1), np.nan))
