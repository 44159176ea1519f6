"""LogPolar against samplers without (OpenCV, grid_sample) and with (OpenCV pyramid) a low-pass, and what aliases.

`aliased_share` is the energy that comes out when gratings too fine for the sampling go in (above one cycle in 1.25
samples, five orientations), as a share of what went in: 0 is right.

Run: python -m benchmarks.logpolar
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch.nn import functional

from benchmarks.timing import interleave, write
from neuroperc import Display
from neuroperc.foveation import LogPolar


class OpenCvPyramid:
    """cv2.pyrDown levels, each sampled by cv2.remap and blended: the anti-aliased recipe in OpenCV."""

    def __init__(self, points: np.ndarray, level: np.ndarray) -> None:
        n_levels = math.ceil(level.max()) + 1
        self.maps = [np.ascontiguousarray(points / 2**k, dtype=np.float32) for k in range(n_levels)]
        self.shares = [np.clip(1 - abs(level - k), 0, None)[..., None].astype(np.float32) for k in range(n_levels)]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Sample (h, w) or (h, w, c)."""
        out = np.zeros(1, np.float32)
        for k, (places, share) in enumerate(zip(self.maps, self.shares, strict=True)):
            image = image if k == 0 else cv2.pyrDown(image)
            sampled = cv2.remap(image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            out = out + share * sampled.reshape(*share.shape[:2], -1)
        return out


def aliased_share(sample, module: LogPolar) -> float:
    """Energy of gratings finer than 0.8 cycles a sample, out over in."""
    degrees = torch.from_numpy(module.display.pixels_deg())
    spacing = (module.eccentricities_deg + module.a_deg) * module.step
    out = []
    for orientation in (0.0, 30.0, 45.0, 90.0, 120.0):
        for sf_cpd in module.display.nyquist_cpd * np.array([0.2, 0.35, 0.5, 0.8]):
            angle = math.radians(orientation)
            wave = torch.cos(
                2 * math.pi * sf_cpd * (degrees @ torch.tensor([math.cos(angle), math.sin(angle)]).double())
            )
            energy = np.square(sample(wave.float())).mean(-1) / 0.5
            out.extend(
                energy[
                    (sf_cpd * spacing.numpy() > 0.8)
                    & (module.eccentricities_deg.numpy() < 0.95 * module.max_eccentricity_deg)
                ]
            )
    return float(np.mean(out))


def samplers(module: LogPolar) -> dict:
    """Return every sampler as a function of a grey (h, w) tensor."""
    side, points = module.display.resolution_px[0], module._points_px.numpy()
    grid = module._points_px.float()[None] * (2 / (side - 1)) - 1
    places, pyramid = points.astype(np.float32), OpenCvPyramid(points, module._level.numpy())
    return {
        "ours": lambda x: module(x[None, None])[0, 0].numpy(),
        "opencv_pyramid": lambda x: pyramid(x.numpy())[..., 0],
        "opencv_remap": lambda x: cv2.remap(x.numpy(), places, None, cv2.INTER_LINEAR),
        "grid_sample": lambda x: functional.grid_sample(x[None, None], grid, align_corners=True)[0, 0].numpy(),
    }


def timed(module: LogPolar, x: torch.Tensor) -> dict[str, dict]:
    """Return what to time on an RGB picture, by task."""
    side, points = module.display.resolution_px[0], module._points_px.numpy()
    grid = module._points_px.float()[None] * (2 / (side - 1)) - 1
    picture, places = np.ascontiguousarray(x[0].permute(1, 2, 0).numpy()), points.astype(np.float32)
    pyramid, cortex = OpenCvPyramid(points, module._level.numpy()), module(x)
    middle, reach = ((side - 1) / 2, (side - 1) / 2), side / 2
    polar = cv2.warpPolar(picture, (module.n_rings, module.n_angles), middle, reach, cv2.WARP_POLAR_LOG)
    back = cv2.WARP_POLAR_LOG | cv2.WARP_INVERSE_MAP
    leaf = x.clone().requires_grad_()
    return {
        "forward": {
            "ours": lambda: module(x),
            "opencv_pyramid": lambda: pyramid(picture),
            "opencv_remap": lambda: cv2.remap(picture, places, None, cv2.INTER_LINEAR),
            "opencv_log_polar": lambda: cv2.warpPolar(
                picture, (module.n_rings, module.n_angles), middle, reach, cv2.WARP_POLAR_LOG
            ),
            "grid_sample": lambda: functional.grid_sample(x, grid, align_corners=True),
        },
        "forward, another gaze": {
            "ours": lambda: module(x, (1.0, -2.0)),
            "opencv_log_polar": lambda: cv2.warpPolar(
                picture, (module.n_rings, module.n_angles), (600, 500), reach, cv2.WARP_POLAR_LOG
            ),
        },
        "forward and backward": {
            "ours": lambda: torch.autograd.grad(module(leaf).sum(), leaf),
            "grid_sample": lambda: torch.autograd.grad(
                functional.grid_sample(leaf, grid, align_corners=True).sum(), leaf
            ),
        },
        "inverse": {
            "ours": lambda: module.inverse(cortex),
            "opencv_log_polar": lambda: cv2.warpPolar(polar, (side, side), middle, reach, back),
        },
    }


def main() -> None:
    """Time RGB pictures of 512 and 1024 px, one thread and two, and measure aliasing at 512."""
    rows = []
    for side in (512, 1024):
        display = Display.from_px_per_deg(side / 16, resolution_px=(side, side))
        module = LogPolar(display, a_deg=2.0)
        x = torch.rand(1, 3, side, side)
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            for task, functions in timed(module, x).items():
                best = interleave(functions, repeats=7, threads=threads)
                ratio = {k: v["wall_ms"] / best["ours"]["wall_ms"] for k, v in best.items()}
                rows.append({
                    "task": task, "side_px": side, "rings": module.n_rings, "angles": module.n_angles,
                    "threads": threads, "best": best, "time_over_ours": ratio,
                })  # fmt: skip
                print(task, side, threads, {k: round(v["wall_ms"], 2) for k, v in best.items()})
    coarse = LogPolar(Display.from_px_per_deg(32, resolution_px=(512, 512)), a_deg=1.0, n_rings=48)
    alias = {name: aliased_share(sample, coarse) for name, sample in samplers(coarse).items()}
    print(alias)
    write(
        "logpolar",
        rows,
        aliased_share=alias,
        note="best of 7 rounds, float32 RGB, CPU; only ours and opencv_pyramid low-pass",
    )


if __name__ == "__main__":
    main()
