"""`TextureModel`: Portilla and Simoncelli's statistics as a model whose metamers are textures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..._check import check, fail, finite, integer, one_of
from ...color import linear_to_srgb
from ...display import Display
from ..models import _PooledModel
from ._averages import Averages, WholePicture, WindowAverages
from ._lags import neighborhood
from ._layout import Group, complete, default_weights, groups, tame
from ._maps import TextureMaps
from ._measure import measure


class TextureModel(_PooledModel):
    """Joint statistics of the magnitudes, phases and low-pass pictures of a steerable pyramid: the model of textures.

    Pictures with the same statistics look like samples of one texture [1]_. Over windows that grow with eccentricity it
    is the V2 model of Freeman and Simoncelli [2]_ in a differentiable form.

    Parameters
    ----------
    display
        Geometry of the pictures, of any size that holds the coarsest scale.
    scaling
        Width of a window divided by its eccentricity; None: one set of statistics for the whole picture.
    n_scales
        Octaves, the finest centred at half the display's Nyquist frequency.
    n_orientations
        Orientations, one every 180 / n_orientations degrees.
    neighborhood_px
        Side of the square of lags of autocorrelations, odd, in samples of each scale (2**s pixels at scale s).
    window, min_eccentricity_deg, max_eccentricity_deg, fixation_deg
        As in `PoolingWindows`; "cosine" windows are an order of magnitude faster than Gaussians.
    encoding
        What statistics are taken of: "linear" light as it comes in, or the "srgb" code values that it is shown with.
    weights
        What groups count for in `forward`, and so in the distance that `synthesize` minimises: one number a group, or
        one an entry. Not named: 1, but 0 for minimum and maximum and 100 for the variance of the high-pass residual;
        over windows also 10 and 40 for the pixels' mean and variance, and 10 / 4**s and 20 / 4**s for the deviations
        (and means) of low-pass pictures and magnitudes at scale s, as correlations would outweigh contrast.

    Attributes
    ----------
    n_scales, n_orientations, neighborhood_px : int
    shapes_px : list of (int, int)
        Samples of every scale and of the low-pass residual.

    Raises
    ------
    ValueError, TypeError
        When an argument is out of range, a weight names no group, or the coarsest scale is smaller than the
        neighbourhood.

    Notes
    -----
    Over the whole picture `statistics` are those of plenoptic's PortillaSimoncelli, name by name and entry by entry:
    correlations and standard deviations (not covariances), amplitudes that grow fourfold a scale, edges that join.
    Variances in denominators have 1e-9 of the picture's variance added, and skew and kurtosis of a map with less than
    1e-6 of it go over into 0 and 3, so that gratings and constant pictures have finite statistics and slopes.

    Over windows, maps of products are averaged by the windows evaluated anew at every scale's samples; for the lag
    between two samples at their mid-point, and only for pairs inside the picture. Means are the windows' own. Variances
    have 1e-6 of the picture's added; skew and kurtosis go over into 0 and 3 below 1e-4 of it; autocorrelations are cut
    at -1 and 1, which pairs that reach beyond a window can exceed. Minimum and maximum are those inside a window's
    half-maximum contour. Magnitude means are one more group. This departs from [2]_, which weights each lag by the root
    of the product of the window at both samples.

    Pictures with several channels have each channel's statistics, and correlations between channels: of pixels, of
    low-pass pictures, and of magnitudes of all orientations.

    Statistics are defined up to float64; second derivatives are supported, forward-mode derivatives are not.

    References
    ----------
    .. [1] J Portilla, E P Simoncelli (2000). A parametric texture model based on joint statistics of complex wavelet
       coefficients. International Journal of Computer Vision 40.
    .. [2] J Freeman, E P Simoncelli (2011). Metamers of the ventral stream. Nature Neuroscience 14.

    Examples
    --------
    >>> display = Display.from_px_per_deg(16, resolution_px=(128, 128))
    >>> model = TextureModel(display)
    >>> picture = torch.rand(1, 1, 128, 128)
    >>> model(picture).shape
    torch.Size([1, 710])
    >>> model.statistics(picture)["auto_correlation_magnitude"].shape
    torch.Size([1, 1, 7, 7, 4, 4])
    >>> foveated = TextureModel(display, scaling=0.5, n_scales=3)
    >>> foveated.statistics(picture)["magnitude_std"].shape == (1, 1, 4, 3, foveated.n_windows)
    True
    """

    def __init__(
        self,
        display: Display,
        *,
        scaling: float | None = None,
        n_scales: int = 4,
        n_orientations: int = 4,
        neighborhood_px: int = 7,
        window: Literal["gaussian", "cosine"] = "cosine",
        min_eccentricity_deg: float = 0.5,
        max_eccentricity_deg: float | None = None,
        fixation_deg: Any = (0.0, 0.0),
        encoding: Literal["linear", "srgb"] = "linear",
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            display, scaling=scaling, window=window, min_eccentricity_deg=min_eccentricity_deg,
            max_eccentricity_deg=max_eccentricity_deg, fixation_deg=fixation_deg,
        )  # fmt: skip
        self.n_scales = integer("n_scales", n_scales)
        self.n_orientations = integer("n_orientations", n_orientations)
        self.neighborhood_px = integer("neighborhood_px", neighborhood_px)
        check(neighborhood_px % 2 == 1, "neighborhood_px", "odd", neighborhood_px, "Lags are symmetric about 0.")
        self.encoding = one_of("encoding", encoding, ("linear", "srgb"))
        self.shapes_px = [display.resolution_px]
        for _ in range(n_scales):
            self.shapes_px.append((-(-self.shapes_px[-1][0] // 2), -(-self.shapes_px[-1][1] // 2)))
        smallest = min(self.shapes_px[-1])
        if smallest < max(neighborhood_px, 2):
            remedy = f"The coarsest of {n_scales} scales has {self.shapes_px[-1]} samples: use fewer scales."
            fail("neighborhood_px", f"at most {smallest}", neighborhood_px, remedy)
        self._lags = neighborhood(neighborhood_px)
        self._maps = TextureMaps(self.shapes_px, n_orientations)
        self._averages = [self._average(shape) for shape in self.shapes_px]
        self._weights = self._check_weights({} if weights is None else weights)

    def _average(self, shape: tuple[int, int]) -> Averages:
        if self.windows is None:
            return WholePicture(shape, self._lags)
        stride = self.display.resolution_px[0] / shape[0], self.display.resolution_px[1] / shape[1]
        return WindowAverages(self.windows, shape, stride, self._lags)

    def forward(self, x: Tensor, fixation_deg: Any = None) -> Tensor:
        """Return weighted statistics without redundant ones (b, n_features), named by `labels_for(c)`.

        Of windows, asinh(skew) and log(kurtosis) stand for skew and kurtosis: one small window across an edge, with a
        kurtosis of hundreds, would otherwise outweigh all the others in the distance between two pictures.

        Parameters
        ----------
        x
            Linear light, (b, c, h, w), (h, w) the display's resolution.
        fixation_deg
            (2,) for all items or (b, 2); default the model's. Ignored without windows.

        Raises
        ------
        ValueError, TypeError
            When `x` is not such a picture, is not finite, or a gaze lies off the screen.
        """
        found = self._measure(x, fixation_deg)
        if self.windows is not None:
            found |= {name: tame(name, values) for name, values in found.items()}
        weighted = {name: values * self._weight(name, values) for name, values in found.items()}
        table = self._groups(x.shape[1])
        own = torch.cat([weighted[name].flatten(2, -2) for name, group in table.items() if group.per_channel], 2)
        between = [weighted[name].flatten(1) for name, group in table.items() if not group.per_channel]
        return torch.cat((own.flatten(1), *between), 1)

    def statistics(self, x: Tensor, fixation_deg: Any = None) -> dict[str, Tensor]:
        """Return the groups by name, unweighted and with redundant entries written out.

        Parameters
        ----------
        x, fixation_deg
            As in `forward`.

        Returns
        -------
        dict of Tensor
            (b, c, ...), with windows a last axis more. Per channel: pixel_statistics (mean, variance, skew, kurtosis,
            minimum, maximum), auto_correlation_magnitude (m, m, K, S), ``{skew,kurtosis,std}_reconstructed`` (S + 1),
            auto_correlation_reconstructed (m, m, S + 1) of the low-pass pictures, the last the residual,
            cross_orientation_correlation_magnitude (K, K, S), magnitude_std (K, S), with windows magnitude_mean (K, S),
            cross_scale_correlation_magnitude (K, K, S - 1), cross_scale_correlation_real (K, 2K, S - 1; real, then
            imaginary parts of the coarser scale), var_highpass_residual (1). Per pair of channels (b, P, ...), in the
            order of `itertools.combinations`: cross_channel_correlation_pixel, cross_channel_correlation_reconstructed
            (S + 1), cross_channel_correlation_magnitude (K, K, S). m is neighborhood_px, K orientations, S scales.
        """
        found = self._measure(x, fixation_deg)
        tables = {name: complete(name, values, self._lags, self.n_orientations) for name, values in found.items()}
        return {name: values[..., 0] if self.windows is None else values for name, values in tables.items()}

    def labels_for(self, n_channels: int) -> dict[str, np.ndarray]:
        """Return what each feature of a picture with `n_channels` is, in the order of `forward`.

        Returns
        -------
        dict of ndarray
            Equally long: statistic (the group), scale (0 the finest and the high-pass residual, n_scales the low-pass
            residual), sf_cpd and orientation_deg (what a band prefers), channel (the first of a pair), eccentricity_deg
            and angle_deg (of the window's centre). NaN, and -1 for scale, where a feature has none. Coarse to fine is
            ``labels["scale"] >= s`` for falling s, with the pixels' statistics, ``labels["scale"] == -1``.
        """
        table = self._groups(n_channels)
        per_channel = [self._entries(name, group) for name, group in table.items() if group.per_channel]
        own = {key: np.concatenate([part[key] for part in per_channel]) for key in per_channel[0]}
        parts = [own | {"channel": np.full(len(own["scale"]), channel)} for channel in range(n_channels)]
        first = [pair[0] for pair in combinations(range(n_channels), 2)]
        for name, group in table.items():
            if not group.per_channel:
                parts += [self._entries(name, group) | {"channel": np.full(group.size, c)} for c in first]
        labels = {key: np.repeat(np.concatenate([part[key] for part in parts]), self.n_windows) for key in parts[0]}
        n_maps = len(labels["scale"]) // self.n_windows
        for key in ("eccentricity_deg", "angle_deg"):
            windows = np.full(1, np.nan) if self.windows is None else getattr(self.windows, key)
            labels[key] = np.tile(windows, n_maps)
        return labels

    def _entries(self, name: str, group: Group) -> dict[str, np.ndarray]:
        fallback = 0 if name == "var_highpass_residual" else -1
        scale, orientation = group.index(group.scale_axis, fallback), group.index(group.orientation_axis, -1)
        band = (scale >= 0) & (scale < self.n_scales) & (name != "var_highpass_residual")
        degrees = (90 - 180 * orientation / self.n_orientations) % 180
        return {
            "statistic": np.full(group.size, name),
            "scale": scale,
            "sf_cpd": np.where(band, 0.25 * self.display.px_per_deg / 2.0**scale, np.nan),
            "orientation_deg": np.where(orientation >= 0, degrees, np.nan),
        }

    def _measure(self, x: Tensor, fixation_deg: Any) -> dict[str, Tensor]:
        self._check_picture(x)
        picture = x if x.dtype == torch.float64 else x.float()
        if self.encoding == "srgb":
            picture = linear_to_srgb(picture)
        averages: Sequence[Averages] = self._averages
        if self.windows is not None and fixation_deg is not None:
            gaze = self.display.check_fixation(fixation_deg, batch=len(x))
            averages = [average.look(gaze) for average in averages if isinstance(average, WindowAverages)]
        return measure(picture, self._maps(picture), averages)

    def _groups(self, n_channels: int) -> dict[str, Group]:
        return groups(
            self.n_scales, self.n_orientations, len(self._lags) - 1,
            windowed=self.windows is not None, n_channels=n_channels,
        )  # fmt: skip

    def _check_weights(self, weights: Mapping[str, Any]) -> dict[str, Tensor]:
        known, out = self._groups(2), {}
        defaults = default_weights(self.n_scales, windowed=self.windows is not None)
        for name, value in (defaults | dict(weights)).items():
            check(name in known, "weights", "of groups " + ", ".join(known), name)
            out[name] = torch.as_tensor(np.asarray(value, dtype=float))
            finite(f"weights[{name!r}]", out[name])
            try:
                out[name] = out[name].expand(known[name].shape)
            except RuntimeError:
                fail(f"weights[{name!r}]", f"one number, or of shape {known[name].shape}", tuple(out[name].shape))
        return out

    def _weight(self, name: str, values: Tensor) -> Tensor | float:
        return self._weights[name].to(values)[..., None] if name in self._weights else 1.0
