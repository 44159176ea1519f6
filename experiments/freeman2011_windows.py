"""Freeman & Simoncelli 2011: how many pooling windows there are, and how wide."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from neuroperc import plot as npplot
from neuroperc.data import sample_image
from neuroperc.display import Display
from neuroperc.experiment import Measured, Result
from neuroperc.foveation import PoolingWindows

SCALINGS = (0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.87)


@dataclass(frozen=True)
class Config:
    """Side of the square picture, which spans 30 degrees."""

    side_px: int


def run(config: Config) -> Measured:
    """Count rings and wedges and measure a window's width on the pixels."""
    display = Display.from_px_per_deg(config.side_px / 30, resolution_px=(config.side_px, config.side_px))

    def windows(scaling: float, **kind: str) -> PoolingWindows:
        return PoolingWindows(display, scaling, **kind)

    kinds = {
        "wedges_freeman": {"convention": "freeman"},
        "wedges_broderick_cosine": {},
        "wedges_broderick_gaussian": {"window": "gaussian"},
    }
    values = {name: [windows(s, **kind).n_wedges for s in SCALINGS] for name, kind in kinds.items()}
    values["spacing_cosine"] = [windows(s).ring_spacing for s in SCALINGS]
    values["spacing_gaussian"] = [windows(s, window="gaussian").ring_spacing for s in SCALINGS]
    counted = [windows(0.5), windows(0.5, window="gaussian"), windows(0.25, window="gaussian")]
    values["rings"] = [w.n_rings for w in counted]
    values["measured_scaling"] = _measured_scaling(windows(0.5))
    return Measured(values)


def _measured_scaling(pooling: PoolingWindows) -> float:
    """Radial width at half maximum over eccentricity of a window on the right, from its pixels."""
    ring = int(np.searchsorted(pooling.eccentricity_deg[:: pooling.n_wedges], 6))
    weights = pooling.window_maps(ring * pooling.n_wedges)[0].numpy()
    row = weights[weights.shape[0] // 2]
    x = pooling.display.pixels_deg()[weights.shape[0] // 2, :, 0]
    peak = int(row.argmax())
    inner = np.interp(row.max() / 2, row[:peak][x[:peak] > 0], x[:peak][x[:peak] > 0])
    outer = np.interp(-row.max() / 2, -row[peak:], x[peak:])
    return float((outer - inner) / pooling.eccentricity_deg[ring * pooling.n_wedges])


def plot(result: Result) -> Figure:
    """Draw the windows of scaling 0.5 over a packaged photograph."""
    with npplot.style():
        canvas = npplot.figure(1, 1, width_in=4.4, height_in=4.3)
        display = Display.from_px_per_deg(8, resolution_px=(240, 240))
        photograph = sample_image("flower", display)[0]
        npplot.windows(PoolingWindows(display, scaling=0.5), image=photograph, ax=canvas.axes[0])
        canvas.axes[0].set_title("raised-cosine windows at half their maximum,\nscaling 0.5")
    return canvas
