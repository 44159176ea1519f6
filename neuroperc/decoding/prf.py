"""Gaussian population receptive fields from a stimulus movie, all voxels at once.

A Gaussian is the product of two one-dimensional ones, on a flat screen as in small angles, so that the movie is met by
two narrow matrix products instead of one wide one. Amplitude and baseline are linear and solved, never searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .._check import check, finite, integer, non_negative, pair
from ..display import Display

_DAMPING = 1e-2
_BATCH = 512  # voxels whose responses to every frame are held together


def fit_prf(
    bold: Any,
    movie: Any,
    *,
    display: Display,
    hrf: Any,
    center_deg: tuple[float, float] = (0.0, 0.0),
    sizes_deg: Any = (0.5, 0.8, 1.2, 1.8, 2.6, 3.7, 5.5, 8.0),
    grid_step_deg: float = 0.75,
    outside: float = 1.0,
    negative_gain: float | None = None,
    n_steps: int = 30,
    voxels_per_batch: int = _BATCH,
    progress: bool = False,
) -> xr.Dataset:
    """Fit ``baseline + amplitude * (hrf * sum of the stimulus under a Gaussian)`` to each voxel.

    A grid of places and sizes starts every voxel; damped Gauss-Newton steps on x, y and log size with the linear part
    projected out (variable projection) refine it, all voxels of a batch together.

    Parameters
    ----------
    bold
        (volume, voxel), or Responses whose presentations are the volumes of one run; averages over runs are usual.
    movie
        (volume, height, width) contrast or aperture of each volume, in any unit, shown on `display`.
    display
        Geometry of the movie's pixels.
    hrf
        (time,) response function at the volumes' interval, as `hemodynamic_response` returns it.
    center_deg
        Where the movie's centre lies, x right and y up, from fixation.
    sizes_deg
        Standard deviations of the grid; refinement stays between the smallest and the largest.
    grid_step_deg
        Distance of the grid's places.
    outside
        A centre may lie so many of its own sizes off the movie. Further out only a flank was stimulated, and place,
        size and amplitude cannot be told apart.
    negative_gain
        A response below baseline is taken where it explains at least so much more of the variance than the best
        response above it: where both fit, the picture is often the mirror image. None takes none.
    n_steps
        Of refinement; 0 returns the grid's best.
    voxels_per_batch
        Bounds memory: the movie's responses to so many voxels are held at once.
    progress
        Show a bar over batches.

    Returns
    -------
    xarray.Dataset
        For each voxel ``x_deg y_deg size_deg amplitude baseline r2``: size is the standard deviation, the Gaussian
        peaks at 1 and a pixel counts with its area in square degrees; `r2` is the share of variance. Voxels that do
        not vary, or that no positive response fits, are NaN with an `r2` of 0.

    Raises
    ------
    ValueError
        For NaN, shapes that do not fit, a movie without change, or sizes that are not above 0.

    References
    ----------
    .. [1] S O Dumoulin, B A Wandell (2008). Population receptive field estimates in human visual cortex.
       doi:10.1016/j.neuroimage.2007.09.034, equations 1 to 4
    .. [2] G H Golub, V Pereyra (2003). Separable nonlinear least squares. doi:10.1088/0266-5611/19/2/201

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc import Display
    >>> display = Display.from_px_per_deg(2, resolution_px=(20, 20))
    >>> movie = np.zeros((44, 20, 20))
    >>> for t in range(20):
    ...     movie[t, :, t], movie[22 + t, t] = 1, 1
    >>> truth = {"x_deg": [1.0], "y_deg": [-2.0], "size_deg": [0.9]}
    >>> bold = predict_prf(truth, movie, display=display, hrf=[0.2, 0.5, 0.3])
    >>> found = fit_prf(bold, movie, display=display, hrf=[0.2, 0.5, 0.3])
    >>> [round(float(found[name][0]), 2) for name in ("x_deg", "y_deg", "size_deg", "r2")]
    [1.0, -2.0, 0.9, 1.0]
    """
    scene = _scene(movie, display, hrf, center_deg)
    y = _bold(bold, scene)
    sizes = np.atleast_1d(np.asarray(sizes_deg, dtype=float))
    check(sizes.size and np.all(np.isfinite(sizes) & (sizes > 0)), "sizes_deg", "finite and above 0", sizes_deg)
    integer("n_steps", n_steps, minimum=0)
    step = integer("voxels_per_batch", voxels_per_batch)
    if negative_gain is not None:
        non_negative("negative_gain", negative_gain)
    grid, shapes = _grid(scene, sizes, grid_step_deg, non_negative("outside", outside))
    parts = []
    for start in tqdm(range(0, y.shape[1], step), disable=not progress, desc="pRF"):
        here = y[:, start : start + step]
        found = _refine(here, grid[:, (shapes.T @ here).argmax(axis=0)], scene, n_steps, sizes, outside)
        if negative_gain is not None:
            mirror = _refine(-here, grid[:, (shapes.T @ here).argmin(axis=0)], scene, n_steps, sizes, outside)
            mirror[3:5] *= -1
            found = np.where(mirror[5] >= found[5] + negative_gain, mirror, found)
        parts.append(found)
    return _labelled(np.concatenate(parts, axis=1), bold)


def predict_prf(
    prf: Any,
    movie: Any,
    *,
    display: Display,
    hrf: Any,
    center_deg: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Predict the time series of Gaussian population receptive fields.

    Parameters
    ----------
    prf
        Mapping or Dataset with ``x_deg y_deg size_deg`` and optionally ``amplitude`` (1) and ``baseline`` (0).
    movie, display, hrf, center_deg
        As in `fit_prf`.

    Returns
    -------
    numpy.ndarray
        (volume, voxel).

    Raises
    ------
    ValueError
        As `fit_prf`.

    Examples
    --------
    >>> import numpy as np
    >>> from neuroperc import Display
    >>> display = Display.from_px_per_deg(1, resolution_px=(9, 9))
    >>> flash = np.zeros((4, 9, 9))
    >>> flash[1, 4, 4] = 1
    >>> truth = {"x_deg": [0.0, 1.0], "y_deg": [0.0, 0.0], "size_deg": [1.0, 1.0]}
    >>> predict_prf(truth, flash, display=display, hrf=[0.0, 1.0]).round(3).tolist()
    [[0.0, 0.0], [0.0, 0.0], [1.0, 0.607], [0.0, 0.0]]
    """
    scene = _scene(movie, display, hrf, center_deg)
    values = {name: np.atleast_1d(np.asarray(prf[name], dtype=float)) for name in ("x_deg", "y_deg", "size_deg")}
    for name, each in values.items():
        finite(name, each)
    lengths = {len(each) for each in values.values()}
    check(len(lengths) == 1, "x_deg, y_deg and size_deg", "of one length", sorted(lengths))
    check(np.all(values["size_deg"] > 0), "size_deg", "above 0", values["size_deg"])
    theta = np.stack([values["x_deg"], values["y_deg"], np.log(values["size_deg"])])
    names = list(prf)
    amplitude = np.asarray(prf["amplitude"]) if "amplitude" in names else 1.0
    baseline = np.asarray(prf["baseline"]) if "baseline" in names else 0.0
    return np.asarray(_response(scene, theta)[0] * amplitude + baseline)


@dataclass(frozen=True, eq=False)
class _Scene:
    """The movie (volume, height, width) with pixel areas in it, and its pixels' x (width,) and y (height,)."""

    movie: np.ndarray
    x: np.ndarray
    y: np.ndarray
    kernel: np.ndarray  # (volume, volume) convolution with the response function


def _scene(movie: Any, display: Display, hrf: Any, center_deg: tuple[float, float]) -> _Scene:
    frames = np.asarray(movie, dtype=np.float64)
    check(frames.ndim == 3, "movie", "(volume, height, width)", f"shape {frames.shape}")
    size = (frames.shape[1], frames.shape[2])
    check(size == tuple(display.resolution_px), "movie", f"of the display's {display.resolution_px} pixels", size)
    finite("movie", frames)
    check(np.ptp(frames, axis=0).any(), "movie", "one that changes", "the same frame throughout")
    response = np.asarray(hrf, dtype=np.float64)
    check(response.ndim == 1 and response.size > 0, "hrf", "(time,) numbers", f"shape {response.shape}",
          "Sample one with hemodynamic_response.")  # fmt: skip
    finite("hrf", response)
    check(
        response[: len(frames)].any(), "hrf", f"a response that the movie's {len(frames)} volumes meet", "zeros there"
    )
    offset = pair("center_deg", center_deg, "(x, y)")
    x, y = display.pixels_deg()[0, :, 0] + offset[0], display.pixels_deg()[:, 0, 1] + offset[1]
    weights = np.outer(np.abs(np.gradient(y)), np.abs(np.gradient(x)))
    lag = np.arange(len(frames))[:, None] - np.arange(len(frames))
    kernel = np.where((lag >= 0) & (lag < len(response)), response[np.clip(lag, 0, len(response) - 1)], 0.0)
    return _Scene(frames * weights, np.asarray(x), np.asarray(y), kernel)


def _bold(bold: Any, scene: _Scene) -> np.ndarray:
    y = np.asarray(bold.values if hasattr(bold, "coords") else bold, dtype=np.float64)
    n = len(scene.movie)
    check(y.ndim == 2 and len(y) == n and y.size, "bold", f"({n}, voxel), a row for each volume of the movie",
          f"shape {y.shape}")  # fmt: skip
    n_runs = len(np.unique(bold.coords["run"].values)) if "run" in getattr(bold, "coords", {}) else 1
    check(n_runs == 1, "bold", "of one run", f"{n_runs} runs", "Responses would cross their edges: average the runs.")
    finite("bold", y, 'Read with nan="drop".')
    return y - y.mean(axis=0)


def _inside(theta: np.ndarray, scene: _Scene, sizes: np.ndarray, outside: float) -> np.ndarray:
    """Return parameters brought within bounds: the grid's sizes, and at most `outside` sizes off the movie."""
    size = np.clip(theta[2], np.log(sizes.min()), np.log(sizes.max()))
    room = outside * np.exp(size)
    x = np.clip(theta[0], scene.x.min() - room, scene.x.max() + room)
    y = np.clip(theta[1], scene.y.min() - room, scene.y.max() + room)
    return np.stack([x, y, size])


def _grid(scene: _Scene, sizes: np.ndarray, step_deg: float, outside: float) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters (3, candidate) and their responses (volume, candidate), centred and of length 1."""
    check(step_deg > 0, "grid_step_deg", "above 0", step_deg)
    shapes, parameters = [], []
    for size in sizes:
        room = outside * size
        xs, ys = (_steps(axis.min() - room, axis.max() + room, step_deg) for axis in (scene.x, scene.y))
        gx, gy = _gauss(scene.x, xs, size), _gauss(scene.y, ys, size)
        found = np.einsum("thx,yh->txy", scene.movie @ gx.T, gy, optimize=True)
        shapes.append(found.reshape(len(found), -1))
        places = np.stack(np.meshgrid(xs, ys, indexing="ij")).reshape(2, -1)
        parameters.append(np.vstack([places, np.full(places.shape[1], np.log(size))]))
    all_shapes = scene.kernel @ np.concatenate(shapes, axis=1)
    all_shapes -= all_shapes.mean(axis=0)
    length = np.linalg.norm(all_shapes, axis=0)
    seen = length > 1e-6 * length.max()
    return np.concatenate(parameters, axis=1)[:, seen], all_shapes[:, seen] / length[seen]


def _steps(low: float, high: float, step: float) -> np.ndarray:
    return np.linspace(low, high, max(2, int(np.ceil((high - low) / step)) + 1))


def _gauss(axis: np.ndarray, center: np.ndarray, size: float | np.ndarray) -> np.ndarray:
    z = (axis - np.asarray(center)[:, None]) / np.reshape(size, (-1, 1))
    found: np.ndarray = np.exp(-z * z / 2)
    return found


def _response(scene: _Scene, theta: np.ndarray, *, slopes: bool = False) -> list[np.ndarray]:
    """Return the responses (volume, voxel), and with `slopes` their derivatives by x, y and log size."""
    x0, y0, size = theta[0], theta[1], np.exp(theta[2])
    zx, zy = (scene.x - x0[:, None]) / size[:, None], (scene.y - y0[:, None]) / size[:, None]
    gx, gy = np.exp(-zx * zx / 2), np.exp(-zy * zy / 2)
    n, h, w = scene.movie.shape
    frames = scene.movie.reshape(n * h, w)
    rows = (frames @ gx.T).reshape(n, h, -1)
    found = [np.einsum("thv,vh->tv", rows, gy)]
    if slopes:
        tilted = (frames @ (gx * zx).T).reshape(n, h, -1)
        curved = (frames @ (gx * zx * zx).T).reshape(n, h, -1)
        found.append(np.einsum("thv,vh->tv", tilted, gy) / size)
        found.append(np.einsum("thv,vh->tv", rows, gy * zy) / size)
        found.append(np.einsum("thv,vh->tv", curved, gy) + np.einsum("thv,vh->tv", rows, gy * zy * zy))
    return [scene.kernel @ each for each in found]


def _linear(y: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the centred response, its amplitude and the squared error of each voxel."""
    centred = shape - shape.mean(axis=0)
    power = (centred * centred).sum(axis=0)
    amplitude = (centred * y).sum(axis=0) / np.where(power > 0, power, 1.0)
    amplitude = np.clip(amplitude, 0, None)
    error = ((y - amplitude * centred) ** 2).sum(axis=0)
    return centred, amplitude, error


def _refine(
    y: np.ndarray, theta: np.ndarray, scene: _Scene, n_steps: int, sizes: np.ndarray, outside: float
) -> np.ndarray:
    """Return (6, voxel): x, y, size, amplitude, baseline without the voxel's mean, error."""
    damping = np.full(theta.shape[1], _DAMPING)
    shape, *slopes = _response(scene, theta, slopes=n_steps > 0)
    centred, amplitude, error = _linear(y, shape)
    active = np.arange(theta.shape[1])
    for _ in range(n_steps):
        move = _step(y[:, active], centred[:, active], amplitude[active], [s[:, active] for s in slopes],
                     damping[active])  # fmt: skip
        trial = _inside(theta[:, active] + move, scene, sizes, outside)
        new_shape, *new_slopes = _response(scene, trial, slopes=True)
        new_centred, new_amplitude, new_error = _linear(y[:, active], new_shape)
        better = new_error < error[active]
        gain = 1 - new_error / np.where(error[active] > 0, error[active], 1.0)
        damping[active] = np.clip(damping[active] * np.where(better, 0.3, 4.0), 1e-8, 1e8)
        kept = active[better]
        theta[:, kept], error[kept], amplitude[kept] = trial[:, better], new_error[better], new_amplitude[better]
        shape[:, kept], centred[:, kept] = new_shape[:, better], new_centred[:, better]
        for old, new in zip(slopes, new_slopes, strict=True):
            old[:, kept] = new[:, better]
        done = (better & (gain < 1e-7)) | (damping[active] > 1e6)
        active = active[~done]
        if not active.size:
            break
    return np.vstack([theta[:2], np.exp(theta[2:]), amplitude, -amplitude * shape.mean(axis=0), _r2(y, error)])


def _step(
    y: np.ndarray, centred: np.ndarray, amplitude: np.ndarray, slopes: list[np.ndarray], damping: np.ndarray
) -> np.ndarray:
    """Return the damped Gauss-Newton step (3, voxel) with amplitude and baseline projected out (Kaufman)."""
    power = (centred * centred).sum(axis=0)
    power = np.where(power > 0, power, 1.0)
    jacobian = []
    for slope in slopes:
        flat = slope - slope.mean(axis=0)
        jacobian.append(amplitude * (flat - centred * ((centred * flat).sum(axis=0) / power)))
    j = np.stack(jacobian)
    residual = y - amplitude * centred
    normal = np.einsum("atv,btv->vab", j, j)
    right = np.einsum("atv,tv->va", j, residual)
    diagonal = np.einsum("vaa->va", normal)
    floor = 1e-12 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-30)
    added = damping[:, None] * diagonal + floor
    normal = normal + added[:, :, None] * np.eye(3)
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0].T)


def _r2(y: np.ndarray, error: np.ndarray) -> np.ndarray:
    total = (y * y).sum(axis=0)
    return np.where(total > 0, 1 - error / np.where(total > 0, total, 1.0), 0.0)


def _labelled(found: np.ndarray, bold: Any) -> xr.Dataset:
    means = np.asarray(bold.values if hasattr(bold, "coords") else bold, dtype=np.float64).mean(axis=0)
    found[4] += means
    flat = (found[3] == 0) | (found[5] <= 0)
    found[:5, flat], found[5, flat] = np.nan, 0.0
    names = ("x_deg", "y_deg", "size_deg", "amplitude", "baseline", "r2")
    coords = {}
    if hasattr(bold, "coords"):
        coords = {str(n): c for n, c in bold.coords.items() if c.dims == ("neuroid",)}
    units = {"x_deg": "deg", "y_deg": "deg", "size_deg": "deg", "r2": "1"}
    data = {n: ("neuroid", row, {"units": units.get(n, "of bold")}) for n, row in zip(names, found, strict=True)}
    return xr.Dataset(data, coords=coords)
