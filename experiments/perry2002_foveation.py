"""Perry & Geisler 2002: resolution halves at fixed eccentricities, and the blur does what its map says."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from neuroperc import plot as npplot
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.foveation import FoveatedBlur


@dataclass(frozen=True)
class Config:
    """Side of the square test picture in pixels, and how many cut-offs and directions are measured."""

    side_px: int
    n_cutoffs: int
    n_directions: int


def run(config: Config) -> Measured:
    """Find where resolution has halved, and measure the transfer of uniform maps on grating patches."""
    display = Display.from_px_per_deg(8, resolution_px=(16, 16))
    half = FoveatedBlur(display, model="half_resolution", half_resolution_deg=2.3)
    eccentricity = np.linspace(0, 80, 800_001)
    resolution = half.cutoff_at(eccentricity).numpy() / display.nyquist_cpd
    hand_overs = [float(np.interp(-(2.0**-i), -resolution, eccentricity)) for i in range(6)]
    cutoffs = np.geomspace(0.0625, 0.25, config.n_cutoffs)
    directions = np.arange(config.n_directions) * 180 / config.n_directions
    gains = {}
    for octave in (1.0, 0.5, 2.0):
        kept = [c for c in cutoffs if octave * c < 0.49]
        gains[octave] = [_gain(config.side_px, c, octave * c, d) for c in kept for d in directions]
    curve = np.geomspace(0.02, 0.48, 40)
    transfer = [_gain(config.side_px, 0.125, f, 0.0) for f in curve]
    values = {
        "hand_overs": hand_overs,
        "gain_at_cutoff": float(np.mean(gains[1.0])),
        "largest_deviation_at_cutoff": float(np.abs(np.array(gains[1.0]) - 0.5).max()),
        "least_gain_an_octave_below": min(gains[0.5]),
        "largest_gain_an_octave_above": max(gains[2.0]),
    }
    return Measured(values, data={"frequency": curve.tolist(), "transfer": transfer})


def _gain(side: int, cutoff: float, frequency: float, direction_deg: float) -> float:
    """Amplitude of a windowed grating after a uniform blur over the one before, in cycles per pixel."""
    display = Display.from_px_per_deg(1, resolution_px=(side, side))
    points, radians = display.pixels_deg(), np.radians(direction_deg)
    phase = 2 * np.pi * frequency * (points[..., 0] * np.cos(radians) + points[..., 1] * np.sin(radians))
    aperture = np.hanning(side)[:, None] * np.hanning(side)
    before = 0.5 + 0.4 * aperture * np.cos(phase + 0.3)
    blur = FoveatedBlur(display, cutoff_cpd=np.full((side, side), cutoff))
    after = blur(torch.as_tensor(before)[None, None])[0, 0].numpy()
    probe = aperture * np.exp(-1j * phase)
    return float(abs(((after - 0.5) * probe).sum()) / abs(((before - 0.5) * probe).sum()))


def plot(result: Result) -> Figure:
    """Draw the transfer that was measured at one cut-off."""
    frequency, transfer = result.data["frequency"], result.data["transfer"]
    with npplot.style():
        canvas = npplot.figure(1, 1, width_in=4.6, height_in=3.2)
        gaussian = 0.5 ** ((np.array(frequency) / 0.125) ** 2)
        ax = npplot.transfer(frequency, transfer, expected=gaussian, cutoff_cpd=0.125, ax=canvas.axes[0])
        ax.set_title("cut-off at 0.125 cycles per pixel; display of 1 px/deg")
    return canvas
