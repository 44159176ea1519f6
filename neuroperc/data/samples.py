"""Photographs that installed packages already carry, and a clip made from one of them.

Nothing is downloaded and no package is imported: the files are found where they are installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch

from .._check import as_rng, check, fail, integer, one_of, positive
from ..display import Display
from ._placing import Fit
from .media import load_image
from .stimuli import StimulusSet


@dataclass(frozen=True)
class Sample:
    """A photograph inside an installed package.

    Parameters
    ----------
    package, file
        Where it lies.
    size_px
        (height, width).
    licence, credit
        On what terms, and whose it is, as the package states it.
    """

    package: str
    file: str
    size_px: tuple[int, int]
    licence: str
    credit: str

    @property
    def path(self) -> Path:
        """The file.

        Raises
        ------
        FileNotFoundError
            When the package is not installed or no longer carries the file.
        """
        spec = importlib.util.find_spec(self.package)
        folder = None if spec is None or not spec.submodule_search_locations else spec.submodule_search_locations[0]
        path = None if folder is None else Path(folder) / self.file
        if path is None or not path.is_file():
            remedy = f"Install or update it: pip install -U {self.package.replace('sklearn', 'scikit-learn')}."
            fail("sample", f"inside the package {self.package}", self.file, remedy, FileNotFoundError)
        return path


#: The photographs, by name.
SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {
        "china": Sample(
            "sklearn", "datasets/images/china.jpg", (427, 640), "CC BY 2.0",
            "danielbuechele, flickr.com/photos/danielbuechele/6061409035, in scikit-learn",
        ),
        "flower": Sample(
            "sklearn", "datasets/images/flower.jpg", (427, 640), "CC BY 2.0",
            "vultilion, flickr.com/photos/vultilion/6056698931, in scikit-learn",
        ),
        "grace_hopper": Sample(
            "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (600, 512), "public domain",
            "portrait of Commodore Grace Hopper, United States Navy, in matplotlib's sample data",
        ),
    }
)  # fmt: skip


def sample_image(name: str, display: Display | None = None, *, fit: Fit = "resize") -> StimulusSet:
    """Load one of the photographs in `SAMPLES`.

    Parameters
    ----------
    name
        "china" (temple), "flower" or "grace_hopper" (portrait).
    display
        The monitor. Default: one with the picture's own pixels at 32 pixels per degree.
    fit
        As in `load_image`; by default the photograph is scaled evenly to cover the display and cut to it.

    Returns
    -------
    StimulusSet
        One picture in linear light, with `licence` and `credit` in its table.

    Examples
    --------
    >>> sample_image("china")
    <StimulusSet of 1 pictures, 3×427×640, linear>
    """
    sample = SAMPLES[one_of("name", name, list(SAMPLES))]
    if display is None:
        display = Display.from_px_per_deg(32, resolution_px=sample.size_px)
    loaded = load_image(sample.path, display, fit=fit)
    table = loaded.table.set_axis(pd.Index([name], name="stimulus_id"))
    table = table.assign(path=f"{sample.package}/{sample.file}", licence=sample.licence, credit=sample.credit)
    return StimulusSet(table, display, loaded.pixels, "linear")


def sample_clip(
    display: Display | None = None,
    *,
    name: str = "china",
    duration_s: float = 1.0,
    fps: float = 24.0,
    pan_deg_s: tuple[float, float] = (2.0, 0.0),
    drift_deg_s: tuple[float, float] = (0.0, 3.0),
    disc_radius_deg: float | None = None,
    rng: int | np.random.Generator = 0,
) -> StimulusSet:
    """Make a clip with known motion: a photograph that moves behind a disc of drifting texture.

    This is a made clip, not a recording, and its table says so (`made`, `source`).

    Parameters
    ----------
    display
        The monitor; default 128 × 192 pixels at 16 pixels per degree.
    name
        A photograph of `SAMPLES`.
    duration_s, fps
        Length and frame rate; their product must be a whole number of frames.
    pan_deg_s
        Velocity (x, y) of the photograph in degrees per second, y up.
    drift_deg_s
        Velocity of the texture inside the disc.
    disc_radius_deg
        Radius of the disc at the centre; default a fifth of the display's height, 0 for none.
    rng
        Seed or generator of the texture.

    Returns
    -------
    StimulusSet
        One movie (t, 3, h, w) in linear light, with `truth`: `disc` (1, h, w), where the texture is, and
        `velocity_deg_s` (1, 2, h, w), the velocity (x, y; y up) of each pixel at the screen's centre scale.

    Raises
    ------
    ValueError
        When the photograph would have to be scaled up more than four times to hold the path.

    Examples
    --------
    >>> clip = sample_clip(duration_s=0.25)
    >>> clip, bool(clip.table["made"].iloc[0]), clip.truth["velocity_deg_s"][0, :, 0, 0].tolist()
    (<StimulusSet of 1 movies at 24 fps, 6×3×128×192, linear>, True, [2.0, 0.0])
    """
    display = display or Display.from_px_per_deg(16, resolution_px=(128, 192))
    n_frames = _whole_frames(positive("duration_s", duration_s), positive("fps", fps))
    pan, drift = (np.asarray(v, dtype=float) * display.px_per_deg / fps for v in (pan_deg_s, drift_deg_s))
    photograph = _panned(display, name, pan, n_frames)
    radius = display.extent_deg[0] / 5 if disc_radius_deg is None else disc_radius_deg
    disc = np.hypot(*np.moveaxis(display.pixels_deg(), -1, 0)) < radius
    texture = _texture(display, drift, n_frames, as_rng(rng))
    movie = torch.where(torch.from_numpy(disc), texture[:, None], photograph)
    velocity = np.where(disc, np.reshape(drift_deg_s, (2, 1, 1)), np.reshape(pan_deg_s, (2, 1, 1)))
    table = pd.DataFrame({
        "made": [True], "source": f"made clip: {name} panned, with a disc of drifting noise",
        "licence": SAMPLES[name].licence, "credit": SAMPLES[name].credit,
    })  # fmt: skip
    truth = {"disc": disc[None], "velocity_deg_s": velocity[None].astype(np.float64)}
    return StimulusSet.from_arrays(movie[None], display=display, ids=["clip"], fps=fps, table=table, truth=truth)


def _whole_frames(duration_s: float, fps: float) -> int:
    n_frames = round(duration_s * fps)
    whole = n_frames >= 1 and abs(n_frames - duration_s * fps) < 1e-6
    check(whole, "duration_s", f"a whole number of frames at {fps:g} fps", duration_s)
    return integer("n_frames", n_frames)


def _panned(display: Display, name: str, step_px: Any, n_frames: int) -> torch.Tensor:
    """Crop a window that moves against the velocity, at sub-pixel positions, from a photograph large enough."""
    one_of("name", name, list(SAMPLES))
    (height, width), path_px = display.resolution_px, np.abs(step_px) * (n_frames - 1)
    need = int(np.ceil(height + path_px[1])) + 2, int(np.ceil(width + path_px[0])) + 2
    scale = max(n / have for n, have in zip(need, SAMPLES[name].size_px, strict=True))
    remedy = "Use a smaller display, a shorter clip or a slower pan."
    check(scale <= 4, "clip", "within four times the photograph's size", f"{need} px (h, w)", remedy)
    wide = sample_image(name, Display.from_px_per_deg(1, resolution_px=need))[0]
    frames = []
    for k in range(n_frames):
        # Content moves by +step (x right, y up), so the window moves the other way; rows run downwards.
        left = 1 + max(step_px[0], 0) * (n_frames - 1) - k * step_px[0]
        top = 1 + max(-step_px[1], 0) * (n_frames - 1) + k * step_px[1]
        frames.append(_window(wide, top, left, height, width))
    return torch.stack(frames)


def _window(picture: torch.Tensor, top: float, left: float, height: int, width: int) -> torch.Tensor:
    """Cut a window at a sub-pixel place (linear interpolation)."""
    row, column = int(np.floor(top)), int(np.floor(left))
    part = picture[:, row : row + height + 1, column : column + width + 1]
    down, right = top - row, left - column
    part = (1 - down) * part[:, :-1] + down * part[:, 1:]
    return (1 - right) * part[..., :-1] + right * part[..., 1:]


def _texture(display: Display, step_px: Any, n_frames: int, rng: np.random.Generator) -> torch.Tensor:
    """Band-pass noise that drifts exactly, by a phase ramp: (t, h, w) with mean 0.5."""
    height, width = display.resolution_px
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    radial = np.hypot(fx, fy)
    # One octave around an eighth of a cycle per pixel: fine enough to see, coarse enough not to alias.
    band = np.exp(-(np.log2(np.maximum(radial, 1e-6) / 0.125) ** 2) / 0.5)
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * band
    noise = np.stack([
        np.fft.irfft2(spectrum * np.exp(-2j * np.pi * k * (fx * step_px[0] - fy * step_px[1])), (height, width))
        for k in range(n_frames)
    ])  # fmt: skip
    return torch.from_numpy(np.clip(0.5 + 0.15 * noise / noise[0].std(), 0, 1).astype(np.float32))
