"""Texture statistics over windows, written out in full: dense window maps, pairs visited lag by lag, float64.

The judge of `TextureModel` with windows: nothing of it is used here but the geometry of its windows and the bands of
the core's steerable pyramid. Low-pass pictures and upsampled bands are Fourier series summed term by term.
"""

import itertools

import numpy as np
import torch

from neuroperc.foveation import SteerablePyramid

SHARE, LEAST = 1e-6, 1e-12


def bump(x):
    """Return a raised cosine with a flat top, half at 1/2 (Freeman and Simoncelli 2011, equation 9 with t = 1/2)."""
    return np.where(abs(x) < 0.25, 1.0, np.where(abs(x) < 0.75, np.cos(np.pi * (abs(x) - 0.25)) ** 2, 0.0))


class DenseWindows:
    """All cosine windows of a layout, evaluated wherever they are asked for."""

    def __init__(self, layout, shape_px, px_per_deg, gaze_deg=(0.0, 0.0)):
        self.layout, self.shape_px, self.px_per_deg, self.gaze_deg = layout, shape_px, px_per_deg, gaze_deg

    def at(self, rows_px, columns_px):
        """(n_windows, *points) at points given in pixels of the picture."""
        x = (columns_px - (self.shape_px[1] - 1) / 2) / self.px_per_deg - self.gaze_deg[0]
        y = -(rows_px - (self.shape_px[0] - 1) / 2) / self.px_per_deg - self.gaze_deg[1]
        u = np.log(np.hypot(x, y).clip(1e-9) / self.layout.min_eccentricity_deg) / self.layout.ring_spacing - 1
        v = np.arctan2(y, x) / (2 * np.pi) * self.layout.n_wedges
        turns = [(v - k + self.layout.n_wedges / 2) % self.layout.n_wedges for k in range(self.layout.n_wedges)]
        wedges = np.stack([bump(turn - self.layout.n_wedges / 2) for turn in turns])
        rings = np.stack([bump(u - ring) for ring in range(self.layout.n_rings)])
        return (rings[:, None] * wedges).reshape(-1, *np.shape(u))


class Level:
    """One scale: sample positions, windows, and averages with them."""

    def __init__(self, windows, shape):
        self.shape, self.dense = shape, windows
        self.stride = windows.shape_px[0] / shape[0], windows.shape_px[1] / shape[1]
        self.windows = self.at(*np.mgrid[: shape[0], : shape[1]])
        self.mass = self.windows.sum((1, 2))

    def at(self, rows, columns):
        """Evaluate the windows at points given in samples of this scale."""
        return self.dense.at(rows * self.stride[0], columns * self.stride[1])

    def mean(self, x):
        """Average in every window."""
        return np.tensordot(self.windows, x, 2) / np.where(self.mass > 0, self.mass, np.inf)

    def covariance(self, a, b):
        """Average product, less the product of averages."""
        return self.mean(a * b) - self.mean(a) * self.mean(b)

    def lagged(self, maps, lag):
        """Averages of products of pairs, weighted by windows at the mid-point of each pair inside, (n_maps, n)."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]]
        there = rows + lag[0], columns + lag[1]
        inside = (there[0] >= 0) & (there[0] < self.shape[0]) & (there[1] >= 0) & (there[1] < self.shape[1])
        first = rows[inside], columns[inside]
        second = there[0][inside], there[1][inside]
        windows = self.at((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
        mass = windows.sum(1)
        products = np.stack([x[first] * x[second] for x in maps])
        means = products @ windows.T / np.where(mass > 0, mass, np.inf)
        return np.where((mass > 0) & (self.mass > 0), means, 0)

    def autocorrelations(self, maps, variances, floor, width):
        """(n_maps, width, width, n) of maps with the windows' own means."""
        reach = width // 2
        out = np.ones((len(maps), width, width, len(self.mass)))
        means = np.stack([self.mean(x) for x in maps])
        for i, j in itertools.product(range(-reach, reach + 1), repeat=2):
            if (i, j) != (0, 0):
                covariance = self.lagged(maps, (i, j)) - means**2
                out[:, i + reach, j + reach] = np.clip(covariance / (np.stack(variances) + floor), -1, 1)
        return out

    def shape_of(self, x, contrast):
        """Mean, variance, skew and kurtosis."""
        mean = self.mean(x)
        second, third, fourth = (
            np.array([(w * (x - m) ** k).sum() / max(w.sum(), 1e-300) for w, m in zip(self.windows, mean, strict=True)])
            for k in (2, 3, 4)
        )
        least = (1e-4 * contrast) ** 2 + 1e-16
        return mean, second, third / (second**2 + least) ** 0.75, (fourth + 3 * least) / (second**2 + least)


def at_scale(x, shape):
    """Values of a band-limited picture at fewer samples: its Fourier series, summed term by term."""
    rows = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) / shape[0], np.fft.fftfreq(x.shape[0], 1 / x.shape[0])))
    columns = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(x.shape[1], 1 / x.shape[1]), np.arange(shape[1]) / shape[1]))
    return rows @ np.fft.fft2(x) @ columns / x.size


def split(picture, n_scales, n_orientations):
    """Bands of the core's pyramid, and low-pass pictures as what is left when finer bands are taken away."""
    pyramid = SteerablePyramid(picture.shape, n_scales=n_scales, n_orientations=n_orientations, tight_frame=False)
    parts = pyramid(picture)
    bands = [(band[..., 0, :, :] + 1j * band[..., 1, :, :]).numpy() for band in parts.bands]
    lowpass = []
    left = parts._replace(highpass=torch.zeros_like(parts.highpass))
    for s in range(n_scales + 1):
        low = pyramid.inverse(left).numpy()
        lowpass.append(at_scale(low - low.mean(), pyramid.shapes_px[s]).real)
        if s < n_scales:
            left.bands[s] = torch.zeros_like(left.bands[s])
    return parts.highpass.numpy(), lowpass, bands, pyramid.shapes_px


def dense_texture(picture, windows, *, n_scales, n_orientations, width):
    """Statistics of one (h, w) picture by group, named as `TextureModel.statistics` names them, and windows' masses.

    Returns
    -------
    dict of ndarray
        Last axis: windows. Extremes are left out.
    list of ndarray
        The mass of every window at every scale.
    """
    x = picture.numpy()
    contrast = x.var(ddof=1)
    floor = SHARE * contrast + LEAST
    highpass, lowpass, bands, shapes = split(picture, n_scales, n_orientations)
    levels = [Level(windows, shape) for shape in shapes]
    out = {"pixel_statistics": np.stack(levels[0].shape_of(x, contrast))}
    out["var_highpass_residual"] = levels[0].mean(highpass**2)[None]
    out |= _lowpass(levels, lowpass, contrast, floor, width)
    out |= _magnitudes(levels, bands, floor, width)
    out |= _across_scales(levels, bands, floor)
    return out, [level.mass for level in levels]


def _lowpass(levels, lowpass, contrast, floor, width):
    shapes = [level.shape_of(low, contrast) for level, low in zip(levels, lowpass, strict=True)]
    autos = [
        level.autocorrelations([low], [shape[1]], floor, width)[0]
        for level, low, shape in zip(levels, lowpass, shapes, strict=True)
    ]
    return {
        "std_reconstructed": np.stack([4**s * np.sqrt(shape[1] + 1e-16) for s, shape in enumerate(shapes)]),
        "skew_reconstructed": np.stack([shape[2] for shape in shapes]),
        "kurtosis_reconstructed": np.stack([shape[3] for shape in shapes]),
        "auto_correlation_reconstructed": np.stack(autos, 2),
    }


def _magnitudes(levels, bands, floor, width):
    means, stds, autos, crosses = [], [], [], []
    for s, (level, band) in enumerate(zip(levels, bands, strict=False)):
        length = abs(band)
        centered = length - length.mean((1, 2), keepdims=True)
        variance = np.stack([level.covariance(one, one) for one in centered])
        means.append(4**s * np.stack([level.mean(one) for one in length]))
        stds.append(4**s * np.sqrt(variance + 1e-16))
        autos.append(np.moveaxis(level.autocorrelations(centered, variance, floor, width), 0, 2))
        scale = np.sqrt(variance + floor)
        cross = [[level.covariance(a, b) for b in centered] for a in centered] / (scale[:, None] * scale)
        cross[range(len(band)), range(len(band))] = 1
        crosses.append(cross)
    return {
        "magnitude_mean": np.stack(means, 1),
        "magnitude_std": np.stack(stds, 1),
        "auto_correlation_magnitude": np.stack(autos, 3),
        "cross_orientation_correlation_magnitude": np.stack(crosses, 2),
    }


def _across_scales(levels, bands, floor):
    magnitudes, reals = [], []
    for level, band, coarser in zip(levels, bands, bands[1:], strict=False):
        parents = [at_scale(one, level.shape) for one in coarser]
        own = [abs(one) - abs(one).mean() for one in band]
        lengths = [abs(one) - abs(one).mean() for one in parents]
        doubled = [one**2 / abs(one) for one in parents]
        parts = [one.real for one in doubled] + [one.imag for one in doubled]
        spread = [[np.sqrt(level.covariance(one, one) + floor) for one in maps] for maps in (own, lengths)]
        power = [[np.sqrt(level.mean(one**2) + floor) for one in maps] for maps in (band.real, parts)]
        lengthwise = np.array([[level.covariance(a, b) for b in lengths] for a in own])
        partwise = np.array([[level.mean(a * b) for b in parts] for a in band.real])
        magnitudes.append(lengthwise / (np.array(spread[0])[:, None] * np.array(spread[1])))
        reals.append(partwise / (np.array(power[0])[:, None] * np.array(power[1])))
    return {
        "cross_scale_correlation_magnitude": np.stack(magnitudes, 2),
        "cross_scale_correlation_real": np.stack(reals, 2),
    }
