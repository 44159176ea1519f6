"""A display in the words of others: BIDS, PsychoPy, a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._check import check, pair, whole_pair

if TYPE_CHECKING:
    from .screen import Display


def to_bids(
    resolution_px: tuple[int, int], size_m: tuple[float, float], distance_m: float, refresh_hz: float
) -> dict[str, Any]:
    """Return BIDS keys; BIDS writes width before height."""
    return {
        "ScreenDistance": distance_m,
        "ScreenOrigin": ["top", "left"],
        "ScreenRefreshRate": refresh_hz,
        "ScreenResolution": [resolution_px[1], resolution_px[0]],
        "ScreenSize": [size_m[1], size_m[0]],
    }


def from_bids(presentation: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a Display from BIDS keys."""
    for key in ("ScreenDistance", "ScreenResolution", "ScreenSize"):
        check(key in presentation, "StimulusPresentation", f"complete ({key})", sorted(presentation))
    width_m, height_m = pair("ScreenSize", presentation["ScreenSize"], "[width, height] in metres")
    width, height = whole_pair("ScreenResolution", presentation["ScreenResolution"])
    return {
        "resolution_px": (height, width),
        "size_m": (height_m, width_m),
        "distance_m": presentation["ScreenDistance"],
        "refresh_hz": presentation.get("ScreenRefreshRate", 60.0),
    }


def to_psychopy(
    resolution_px: tuple[int, int], size_m: tuple[float, float], distance_m: float, refresh_hz: float
) -> dict[str, Any]:
    """Return centimetres and (width, height) pixels as PsychoPy's Monitor takes them."""
    pitch = size_m[0] / resolution_px[0], size_m[1] / resolution_px[1]
    return {
        "width_cm": size_m[1] * 100,
        "distance_cm": distance_m * 100,
        "size_pix": [resolution_px[1], resolution_px[0]],
        "refresh_hz": refresh_hz,
        "pixel_aspect": pitch[0] / pitch[1],
    }


def html_table(display: Display) -> str:
    """Return the notebook's table of a display."""
    height, width = display.extent_deg
    rows = {
        "resolution": f"{display.resolution_px[0]} × {display.resolution_px[1]} px (h × w)",
        "extent": f"{height:.4g}° × {width:.4g}° (h × w)",
        "at the centre": f"{display.px_per_deg:.4g} px/°, Nyquist {display.nyquist_cpd:.4g} cpd",
        "refresh": f"{display.refresh_hz:g} Hz",
        "geometry": f"{display.geometry}, calibration {'measured' if display.calibration else 'none'}",
    }
    cells = "".join(f"<tr><th style='text-align:left'>{key}</th><td>{value}</td></tr>" for key, value in rows.items())
    return f"<table><caption>Display</caption>{cells}</table>"
