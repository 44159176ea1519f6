"""Models whose metamers look the same: what they average over windows is all that is left of a picture."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from .._check import check, fail, finite
from ..display import Display
from ..foveation import PoolingWindows, SteerablePyramid


class _PooledModel(nn.Module):
    """Windows (or one average over the whole picture), and names of the features that come out."""

    #: Takes house images (linear light) as they are.
    preprocess = None

    def __init__(
        self,
        display: Display,
        *,
        scaling: float | None,
        window: Literal["gaussian", "cosine"],
        min_eccentricity_deg: float,
        max_eccentricity_deg: float | None,
        fixation_deg: Any,
    ) -> None:
        super().__init__()
        check(isinstance(display, Display), "display", "a Display", display, error=TypeError)
        self.display = display
        self.scaling = scaling
        self.windows: PoolingWindows | None = None
        if scaling is not None:
            self.windows = PoolingWindows(
                display, scaling, window, fixation_deg, min_eccentricity_deg, max_eccentricity_deg
            )

    @property
    def n_windows(self) -> int:
        """Number of windows; 1 for an average over the whole picture."""
        return 1 if self.windows is None else self.windows.n_windows

    @property
    def coverage(self) -> Tensor:
        """What the windows see at the default gaze, (h, w) from 0 to 1; 1 - coverage is `synthesize`'s `fixed`."""
        return torch.ones(self.display.resolution_px) if self.windows is None else self.windows.coverage

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """What each feature of a picture with one channel is; see `labels_for`."""
        return self.labels_for(1)

    def labels_for(self, n_channels: int) -> dict[str, np.ndarray]:
        """Return what each feature of a picture with `n_channels` is, in the order of `forward`.

        Returns
        -------
        dict of ndarray
            Equally long: statistic ("luminance" or "energy"), scale (0 the finest), sf_cpd and orientation_deg (what
            a band prefers), channel, eccentricity_deg and angle_deg (of the window's centre). NaN, and -1 for scale,
            where a feature has none.
        """
        bands = self._bands()
        shape = (n_channels, len(bands), self.n_windows)
        per_band = {key: np.asarray([band[key] for band in bands]) for key in bands[0]}
        labels = {key: np.broadcast_to(v[:, None], shape).ravel() for key, v in per_band.items()}
        labels["channel"] = np.broadcast_to(np.arange(n_channels)[:, None, None], shape).ravel()
        windows, unknown = self.windows, np.full(1, np.nan)
        for key in ("eccentricity_deg", "angle_deg"):
            labels[key] = np.broadcast_to(unknown if windows is None else getattr(windows, key), shape).ravel()
        return labels

    def scales(self, n_channels: int = 1) -> dict[str, np.ndarray]:
        """Return the indices of features by scale, coarse first: the stages of `synthesize`, the rows of its report.

        Returns
        -------
        dict of ndarray
            "luminance", then "scale n" from the coarsest to 0, the finest.
        """
        scale = self.labels_for(n_channels)["scale"]
        names = {-1: "luminance"} | {k: f"scale {k}" for k in sorted(set(scale[scale >= 0].tolist()), reverse=True)}
        return {name: np.flatnonzero(scale == k) for k, name in names.items()}

    def _bands(self) -> list[dict[str, Any]]:
        return [{"statistic": "luminance", "scale": -1, "sf_cpd": np.nan, "orientation_deg": np.nan}]

    def _check_picture(self, x: Tensor) -> None:
        ok = isinstance(x, Tensor) and x.is_floating_point()
        check(ok, "x", "a floating torch.Tensor", getattr(x, "dtype", type(x)), "Divide 8-bit codes by 255.", TypeError)
        height, width = self.display.resolution_px
        good = x.ndim == 4 and x.shape[-2:] == (height, width) and x.numel() > 0
        check(good, "x", f"(b, c, {height}, {width})", tuple(x.shape), "Give the Display the picture was made for.")
        if x.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(x.detach().sum().isfinite()):
            finite("x", x)


def _pool(windows: PoolingWindows | None, maps: Tensor, fixation_deg: Any) -> Tensor:
    """(b, c, h, w) to (b, c, n_windows)."""
    return maps.mean((-2, -1))[..., None] if windows is None else windows(maps, fixation_deg)


class LuminanceModel(_PooledModel):
    """Average light over windows: the model of Broderick and colleagues for retinal ganglion cells.

    Parameters
    ----------
    display
        Geometry of the pictures.
    scaling
        Width of a window divided by its eccentricity; None: one average over the whole picture.
    window, min_eccentricity_deg, max_eccentricity_deg, fixation_deg
        As in `PoolingWindows`.

    References
    ----------
    W F Broderick, G Rufo, J Winawer, E P Simoncelli. Foveated metamers of the early visual system.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(64, 64))
    >>> model = LuminanceModel(display, scaling=0.5)
    >>> features = model(torch.rand(2, 3, 64, 64))
    >>> features.shape == (2, 3 * model.n_windows)
    True
    """

    def __init__(
        self,
        display: Display,
        *,
        scaling: float | None = None,
        window: Literal["gaussian", "cosine"] = "gaussian",
        min_eccentricity_deg: float = 0.5,
        max_eccentricity_deg: float | None = None,
        fixation_deg: Any = (0.0, 0.0),
    ) -> None:
        super().__init__(
            display, scaling=scaling, window=window, min_eccentricity_deg=min_eccentricity_deg,
            max_eccentricity_deg=max_eccentricity_deg, fixation_deg=fixation_deg,
        )  # fmt: skip

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Return the averages (b, c * n_windows) of pictures (b, c, h, w), channel by channel.

        Parameters
        ----------
        x
            Linear light, (b, c, h, w), (h, w) the display's resolution.
        fixation_deg
            (2,) for all items or (b, 2); default the model's.

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a picture, is not finite, or a gaze lies off the screen.
        """
        self._check_picture(x)
        return _pool(self.windows, x, fixation_deg).flatten(1)


class EnergyModel(_PooledModel):
    """Average light and oriented energy over windows: the V1 model of Broderick and colleagues.

    Energies are squared magnitudes of a steerable pyramid's quadrature pairs (tight frame, residuals dropped), averaged
    by windows evaluated anew at the pixels of every band.

    Parameters
    ----------
    display
        Geometry of the pictures.
    scaling
        Width of a window divided by its eccentricity; None: one average over the whole picture.
    n_scales
        Octaves, the finest centred at half the display's Nyquist frequency; default 6, fewer where a picture's shorter
        side is below 128 px (`n_scales` says how many there are).
    n_orientations
        Orientations, one every 180 / n_orientations degrees.
    window, min_eccentricity_deg, max_eccentricity_deg, fixation_deg
        As in `PoolingWindows`.
    normalization
        (mean, standard deviation) of each feature map, luminance first, as `fit_normalization` finds them; features are
        then z-scores, so that scales weigh alike. Default: none.

    Attributes
    ----------
    n_scales : int
    pyramid : SteerablePyramid
    band_mean, band_sd : Tensor
        (1 + n_scales * n_orientations,), 0 and 1 without normalisation; the whole `state_dict`.

    Notes
    -----
    Squares of half-precision pictures overflow easily: use float32 or float64. Windows that no pixel of a coarse band
    falls into give 0 there.

    References
    ----------
    W F Broderick, G Rufo, J Winawer, E P Simoncelli. Foveated metamers of the early visual system.
    J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. Nature Neuroscience 14.

    Examples
    --------
    >>> display = Display.from_px_per_deg(8, resolution_px=(64, 64))
    >>> model = EnergyModel(display, scaling=0.5)
    >>> model.n_scales
    5
    >>> features = model(torch.rand(2, 1, 64, 64))
    >>> features.shape[1] == len(model.labels["sf_cpd"]) == 21 * model.n_windows
    True
    """

    band_mean: Tensor
    band_sd: Tensor

    def __init__(
        self,
        display: Display,
        *,
        scaling: float | None = None,
        n_scales: int | None = None,
        n_orientations: int = 4,
        window: Literal["gaussian", "cosine"] = "gaussian",
        min_eccentricity_deg: float = 0.5,
        max_eccentricity_deg: float | None = None,
        fixation_deg: Any = (0.0, 0.0),
        normalization: tuple[Any, Any] | None = None,
    ) -> None:
        super().__init__(
            display, scaling=scaling, window=window, min_eccentricity_deg=min_eccentricity_deg,
            max_eccentricity_deg=max_eccentricity_deg, fixation_deg=fixation_deg,
        )  # fmt: skip
        shape = display.resolution_px
        if n_scales is None:
            n_scales = min(6, int(math.log2(min(shape))) - 1)
        self.pyramid = SteerablePyramid(shape, n_scales=n_scales, n_orientations=n_orientations)
        self.n_scales = self.pyramid.n_scales
        windows = self.windows  # of the finest scale too, which has all pixels
        coarse = zip(self.pyramid.shapes_px[1:-1], self.pyramid.strides_px[1:-1], strict=True)
        self.coarse_windows = nn.ModuleList(windows.at(*grid) for grid in coarse) if windows is not None else None
        self._set_normalization((0.0, 1.0) if normalization is None else normalization)

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Return features (b, c * (1 + n_scales * n_orientations) * n_windows), named by `labels_for(c)`.

        Parameters
        ----------
        x
            Linear light, (b, c, h, w), (h, w) the display's resolution; channels are analysed one by one.
        fixation_deg
            (2,) for all items or (b, 2); default the model's.

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a picture, is not finite, or a gaze lies off the screen.
        """
        self._check_picture(x)
        pooled = [_pool(self.windows, x, fixation_deg)[:, :, None]]
        for scale, energy in enumerate(self._energies(x)):
            windows: Any = self.windows
            if self.coarse_windows is not None and scale > 0:
                windows = self.coarse_windows[scale - 1]
            values = _pool(windows, energy.flatten(1, 2), fixation_deg)
            pooled.append(values.reshape(*energy.shape[:3], -1))
        features = torch.cat(pooled, 2)
        mean, sd = (value.to(features)[:, None] for value in (self.band_mean, self.band_sd))
        return ((features - mean) / sd).flatten(1)

    def fit_normalization(self, images: Tensor | Iterable[Tensor]) -> Self:
        """Return this model with features that are z-scores over a set of pictures.

        Each map (luminance, or one scale and orientation) gets one mean and one standard deviation: those of its
        average over a whole picture, taken over all pictures and channels.

        Parameters
        ----------
        images
            (b, c, h, w), or several of these (batches of a large set).

        Raises
        ------
        ValueError
            With fewer than two pictures, or when a map's average does not differ between them.
        """
        batches = [images] if isinstance(images, Tensor) else images
        averages = []
        with torch.no_grad():
            for batch in batches:
                self._check_picture(batch)
                maps = (batch[:, :, None], *self._energies(batch))
                averages.append(torch.cat([m.mean((-2, -1)) for m in maps], 2).flatten(0, 1).double())
        check(averages, "images", "at least two pictures", "none")
        values = torch.cat(averages)
        check(len(values) > 1, "images", "at least two pictures (or channels)", len(values))
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)  # a shallow copy shares the dictionary
        twin._set_normalization((values.mean(0), values.std(0)))
        return twin

    def _set_normalization(self, normalization: tuple[Any, Any]) -> None:
        n_bands = len(self._bands())
        for name, value in zip(("band_mean", "band_sd"), normalization, strict=True):
            stats = torch.as_tensor(value, dtype=torch.float64).detach()
            if stats.shape not in ((), (n_bands,)):
                fail("normalization", f"a mean and a standard deviation of {n_bands} maps", tuple(stats.shape))
            finite("normalization", stats)
            self.register_buffer(name, stats.expand(n_bands).clone())
        if not bool((self.band_sd > 0).all()):
            band = int((self.band_sd <= 0).nonzero()[0, 0])
            fail(
                "normalization", "above 0 for every standard deviation", f"{self.band_sd[band]:.4g} for map {band}",
                "Use pictures that differ in every band, such as photographs.",
            )  # fmt: skip

    def _energies(self, x: Tensor) -> list[Tensor]:
        """Squared magnitudes (b, c, n_orientations, h_s, w_s), a map a scale."""
        return [pair.square().sum(-3) for pair in self.pyramid(x).bands]

    def _bands(self) -> list[dict[str, Any]]:
        frequencies = enumerate(self.pyramid.frequencies_cpp)
        energies = [
            {
                "statistic": "energy",
                "scale": scale,
                "sf_cpd": cycles * self.display.px_per_deg,
                "orientation_deg": orientation,
            }
            for scale, cycles in frequencies
            for orientation in self.pyramid.orientations_deg
        ]
        return super()._bands() + energies
