"""SteerablePyramid against plenoptic's and against a complex FFT of the same size; ``results/pyramid.json``."""

from __future__ import annotations

import plenoptic
import torch
from timing import interleave, write

from neuroperc.foveation import SteerablePyramid

if __name__ == "__main__":
    runs = []
    for side in (256, 512):
        x = torch.rand(1, 1, side, side)
        ours = SteerablePyramid((side, side), n_scales=4, n_orientations=4)
        peer = plenoptic.process.SteerablePyramidFreq(
            (side, side), height=4, order=3, is_complex=True, tight_frame=True
        )
        for threads in (1, 2):
            contest = {"ours": lambda a=ours, b=x: a(b), "plenoptic": lambda a=peer, b=x: a(b)}
            times = interleave(contest, repeats=9, threads=threads)
            ratio = times["plenoptic"]["wall_ms"] / times["ours"]["wall_ms"]
            runs.append({"side_px": side, "threads": threads, "times": times, "ratio": ratio})
            print(side, threads, round(ratio, 2))
    write("pyramid", runs)
