"""TextureModel over windows against windows written out in full and pairs visited lag by lag, in float64."""

import itertools

import numpy as np
import pytest
import torch

from neuroperc import Display
from neuroperc.foveation import SteerablePyramid
from neuroperc.metamers import TextureModel

SHAPE, PX_PER_DEG, N_SCALES, N_ORIENTATIONS, WIDTH = (36, 44), 4.0, 2, 3, 5
SHARE, LEAST = 1e-6, 1e-12
DISPLAY = Display.from_px_per_deg(PX_PER_DEG, resolution_px=SHAPE)


@pytest.fixture(scope="module")
def model():
    return TextureModel(DISPLAY, scaling=0.9, n_scales=N_SCALES, n_orientations=N_ORIENTATIONS, neighborhood_px=WIDTH)


def pictures(n_channels):
    """Smooth noise with a step: means and variances differ from window to window."""
    noise = np.random.default_rng(0).random((n_channels, *SHAPE))
    smooth = sum(np.roll(noise, (i, j), (1, 2)) for i, j in itertools.product((-1, 0, 1), repeat=2)) / 9
    smooth[:, :, 25:] *= 0.4
    return torch.from_numpy(smooth)[None]


def bump(x):
    """Raised cosine with a flat top, half at 1/2 (Freeman and Simoncelli 2011, equation 9 with t = 1/2)."""
    return np.where(abs(x) < 0.25, 1.0, np.where(abs(x) < 0.75, np.cos(np.pi * (abs(x) - 0.25)) ** 2, 0.0))


def dense(model, rows_px, columns_px, gaze_deg):
    """All windows at points given in pixels, (n_windows, *points)."""
    layout = model.windows
    x = (columns_px - (SHAPE[1] - 1) / 2) / PX_PER_DEG - gaze_deg[0]
    y = -(rows_px - (SHAPE[0] - 1) / 2) / PX_PER_DEG - gaze_deg[1]
    u = np.log(np.hypot(x, y).clip(1e-9) / layout.min_eccentricity_deg) / layout.ring_spacing - 1
    v = np.arctan2(y, x) / (2 * np.pi) * layout.n_wedges
    maps = []
    for ring, wedge in itertools.product(range(layout.n_rings), range(layout.n_wedges)):
        turn = (v - wedge + layout.n_wedges / 2) % layout.n_wedges - layout.n_wedges / 2
        maps.append(bump(u - ring) * bump(turn))
    return np.stack(maps)


class Level:
    """One scale: sample positions, windows, and averages with them."""

    def __init__(self, model, shape, gaze_deg):
        self.model, self.shape, self.gaze = model, shape, gaze_deg
        self.stride = SHAPE[0] / shape[0], SHAPE[1] / shape[1]
        self.windows = self.at(*np.mgrid[: shape[0], : shape[1]])
        self.mass = self.windows.sum((1, 2))

    def at(self, rows, columns):
        return dense(self.model, rows * self.stride[0], columns * self.stride[1], self.gaze)

    def mean(self, x):
        return np.tensordot(self.windows, x, 2) / np.where(self.mass > 0, self.mass, np.inf)

    def lagged(self, x, lag):
        """Weighted by windows at the mid-point of each pair inside."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]]
        there = rows + lag[0], columns + lag[1]
        inside = (there[0] >= 0) & (there[0] < self.shape[0]) & (there[1] >= 0) & (there[1] < self.shape[1])
        first = rows[inside], columns[inside]
        second = there[0][inside], there[1][inside]
        windows = self.at((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
        mass = windows.sum(1)
        means = windows @ (x[first] * x[second]) / np.where(mass > 0, mass, np.inf)
        return np.where((mass > 0) & (self.mass > 0), means, 0)

    def covariance(self, a, b):
        return self.mean(a * b) - self.mean(a) * self.mean(b)

    def autocorrelation(self, x, variance, floor):
        reach = WIDTH // 2
        out = np.zeros((WIDTH, WIDTH, len(self.mass)))
        for i, j in itertools.product(range(-reach, reach + 1), repeat=2):
            covariance = self.lagged(x, (i, j)) - self.mean(x) ** 2
            out[i + reach, j + reach] = np.clip(covariance / (variance + floor), -1, 1)
        out[reach, reach] = 1
        return out


def at_scale(x, shape):
    """Values of a band-limited picture at fewer samples: its Fourier series, summed term by term."""
    rows = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) / shape[0], np.fft.fftfreq(x.shape[0], 1 / x.shape[0])))
    columns = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(x.shape[1], 1 / x.shape[1]), np.arange(shape[1]) / shape[1]))
    return rows @ np.fft.fft2(x) @ columns / x.size


def split(picture):
    """Bands of the core's pyramid, and low-pass pictures as what is left when finer bands are taken away."""
    pyramid = SteerablePyramid(SHAPE, n_scales=N_SCALES, n_orientations=N_ORIENTATIONS, tight_frame=False)
    parts = pyramid(picture)
    bands = [(band[..., 0, :, :] + 1j * band[..., 1, :, :]).numpy() for band in parts.bands]
    lowpass = []
    left = parts._replace(highpass=torch.zeros_like(parts.highpass))
    for s in range(N_SCALES + 1):
        low = pyramid.inverse(left).numpy()
        lowpass.append(at_scale(low - low.mean(), pyramid.shapes_px[s]).real)
        if s < N_SCALES:
            left.bands[s] = torch.zeros_like(left.bands[s])
    return parts.highpass.numpy(), lowpass, bands, pyramid.shapes_px


def shape_of(level, x, contrast):
    mean = level.mean(x)
    second, third, fourth = (
        np.array([(w * (x - m) ** k).sum() / max(w.sum(), 1e-300) for w, m in zip(level.windows, mean, strict=True)])
        for k in (2, 3, 4)
    )
    least = (1e-4 * contrast) ** 2 + 1e-16
    return mean, second, third / (second**2 + least) ** 0.75, (fourth + 3 * least) / (second**2 + least)


@pytest.mark.parametrize("gaze_deg", [(0.0, 0.0), (1.5, -2.25)])
def test_groups_are_dense_averages(model, gaze_deg):
    picture = pictures(1)
    x = picture[0, 0].numpy()
    found = {name: values[0, 0].numpy() for name, values in model.statistics(picture, gaze_deg).items()}
    contrast = x.var(ddof=1)
    floor = SHARE * contrast + LEAST
    highpass, lowpass, bands, shapes = split(picture[0, 0])
    levels = [Level(model, shape, gaze_deg) for shape in shapes]

    def same(values, expected, level, scales=()):
        seen = level.mass > 1e-2
        assert seen.mean() > 0.4
        np.testing.assert_allclose(values[..., seen], expected[..., seen], rtol=1e-6, atol=1e-6)

    mean, second, skew, kurtosis = shape_of(levels[0], x, contrast)
    same(found["pixel_statistics"][:4], np.stack((mean, second, skew, kurtosis)), levels[0])
    same(found["var_highpass_residual"][0], levels[0].mean(highpass**2), levels[0])
    for s, (level, low) in enumerate(zip(levels, lowpass, strict=True)):
        _, second, skew, kurtosis = shape_of(level, low, contrast)
        same(found["std_reconstructed"][s], 4**s * np.sqrt(second + 1e-16), level)
        same(found["skew_reconstructed"][s], skew, level)
        same(found["kurtosis_reconstructed"][s], kurtosis, level)
        same(found["auto_correlation_reconstructed"][..., s, :], level.autocorrelation(low, second, floor), level)
    for s, (level, band) in enumerate(zip(levels, bands, strict=False)):
        length = abs(band)
        centered = length - length.mean((1, 2), keepdims=True)
        variance = [level.covariance(one, one) for one in centered]
        for k in range(N_ORIENTATIONS):
            same(found["magnitude_mean"][k, s], 4**s * level.mean(length[k]), level)
            same(found["magnitude_std"][k, s], 4**s * np.sqrt(variance[k] + 1e-16), level)
            auto = level.autocorrelation(centered[k], variance[k], floor)
            same(found["auto_correlation_magnitude"][:, :, k, s], auto, level)
            for j in range(k):
                both = np.sqrt((variance[k] + floor) * (variance[j] + floor))
                cross = level.covariance(centered[k], centered[j]) / both
                same(found["cross_orientation_correlation_magnitude"][k, j, s], cross, level)
                same(found["cross_orientation_correlation_magnitude"][j, k, s], cross, level)
    level = levels[0]
    parents = [at_scale(band, shapes[0]) for band in bands[1]]
    own = [abs(band) - abs(band).mean() for band in bands[0]]
    for k, (j, parent) in itertools.product(range(N_ORIENTATIONS), enumerate(parents)):
        length = abs(parent) - abs(parent).mean()
        scale = np.sqrt((level.covariance(own[k], own[k]) + floor) * (level.covariance(length, length) + floor))
        cross = level.covariance(own[k], length) / scale
        same(found["cross_scale_correlation_magnitude"][k, j, 0], cross, level)
        real, doubled = bands[0][k].real, parent**2 / abs(parent)
        for part, at in ((doubled.real, j), (doubled.imag, j + N_ORIENTATIONS)):
            scale = np.sqrt((level.mean(real**2) + floor) * (level.mean(part**2) + floor))
            same(found["cross_scale_correlation_real"][k, at, 0], level.mean(real * part) / scale, level)


def test_extremes_are_those_inside_half_maximum_contours(model):
    picture = pictures(1)
    found = model.statistics(picture, (1.5, -2.25))["pixel_statistics"][0, 0].numpy()
    windows = dense(model, *np.mgrid[: SHAPE[0], : SHAPE[1]], (1.5, -2.25))
    radial = windows.reshape(model.windows.n_rings, model.windows.n_wedges, *SHAPE)
    # A pixel is inside both half-maximum contours where its window is the greatest of its ring and of its wedge.
    nearest = windows.reshape(len(windows), -1).argmax(0)
    covered = radial.sum((0, 1)).ravel() > 0.5
    x = picture[0, 0].numpy().ravel()
    for i in np.unique(nearest[covered]):
        mine = x[covered & (nearest == i)]
        np.testing.assert_allclose(found[4:, i], (mine.min(), mine.max()))


def test_channels_are_dense_correlations(model):
    picture = pictures(3)
    found = {name: values[0].numpy() for name, values in model.statistics(picture).items()}
    floor = SHARE * picture[0].numpy().var((1, 2), ddof=1) + LEAST
    split_up = [split(channel) for channel in picture[0]]
    for pair, (a, b) in enumerate(itertools.combinations(range(3), 2)):
        for s, shape in enumerate(split_up[0][3]):
            level = Level(model, shape, (0.0, 0.0))
            seen = level.mass > 1e-2

            def correlation(one, two, level=level, a=a, b=b):
                one, two = one - one.mean(), two - two.mean()
                scale = (level.covariance(one, one) + floor[a]) * (level.covariance(two, two) + floor[b])
                return level.covariance(one, two) / np.sqrt(scale)

            low = correlation(split_up[a][1][s], split_up[b][1][s])
            values = found["cross_channel_correlation_reconstructed"][pair, s]
            np.testing.assert_allclose(values[seen], low[seen], rtol=1e-6, atol=1e-6)
            if s == 0:
                pixel = correlation(picture[0, a].numpy(), picture[0, b].numpy())
                values = found["cross_channel_correlation_pixel"][pair]
                np.testing.assert_allclose(values[seen], pixel[seen], rtol=1e-6, atol=1e-6)
            if s < N_SCALES:
                for k, j in itertools.product(range(N_ORIENTATIONS), repeat=2):
                    cross = correlation(abs(split_up[a][2][s][k]), abs(split_up[b][2][s][j]))
                    values = found["cross_channel_correlation_magnitude"][pair, k, j, s]
                    np.testing.assert_allclose(values[seen], cross[seen], rtol=1e-6, atol=1e-6)
