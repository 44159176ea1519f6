"""NeuroFovea at 512 x 512 against the released way of rendering: the step over windows, and whole pictures.

Run: python -m benchmarks.neurofovea
"""

from __future__ import annotations

import torch

from benchmarks.baselines.neurofovea_loop import SequentialWindows, render
from benchmarks.timing import interleave, write
from neuroperc import Display
from neuroperc.color import linear_to_srgb
from neuroperc.data import sample_image
from neuroperc.metamers import ConvCodec, FeatureDecoder, NeuroFovea
from neuroperc.metamers.style.networks import PUBLISHED_DECODER, published_encoder

DISPLAY = Display.from_px_per_deg(512 / 26, resolution_px=(512, 512))


def contestants(scaling: float) -> tuple[dict, dict, dict]:
    """Return what to time for the windows and for the whole, and how far the results of "last" and the loop differ."""
    torch.manual_seed(0)
    encoder, decoder = published_encoder().eval(), FeatureDecoder(PUBLISHED_DECODER).eval()
    codec = ConvCodec(published_encoder(), FeatureDecoder(PUBLISHED_DECODER))
    codec.encoder.load_state_dict(encoder.state_dict())
    codec.decoder.load_state_dict(decoder.state_dict())
    ours = {
        "ours_soft": NeuroFovea(DISPLAY, scaling=scaling, codec=codec),
        "ours_last": NeuroFovea(DISPLAY, scaling=scaling, codec=codec, assign="last", epsilon=1e-5),
    }
    windows = ours["ours_last"].windows
    cells = windows.at((64, 64), (8, 8), (3.5, 3.5))
    weights = torch.zeros(windows.n_windows, 64 * 64, dtype=torch.float64)
    weights[cells.window, cells.cell] = cells.weight
    weights[0] = 1 - weights.sum(0)
    supports = (weights > 1e-3).reshape(-1, 64, 64)
    loop = SequentialWindows(supports, torch.from_numpy(ours["ours_last"].alpha).float())
    light = sample_image("china", DISPLAY)[0][None]
    codes = linear_to_srgb(light)[0]
    content, noise = ours["ours_last"].encoded(light, 0)
    plain = [features[0].contiguous() for features in (content, noise)]
    step = {name: (lambda model=model: model.mix(content, noise)) for name, model in ours.items()}
    step["loop"] = lambda: loop(plain[0], plain[0], plain[1])
    whole = {name: (lambda model=model: model(light, rng=0)) for name, model in ours.items()}
    whole["loop"] = lambda: render(encoder, decoder, loop, codes)
    scale = plain[0].abs().max()
    error = float((ours["ours_last"].mix(content, noise)[0] - loop(plain[0], plain[0], plain[1])).abs().max() / scale)
    sparse = NeuroFovea(DISPLAY, scaling=scaling)
    whole["ours_pyramid"] = lambda: sparse(light, rng=0)
    return step, whole, {"n_windows": windows.n_windows, "largest_difference_of_last": error}


@torch.no_grad()
def main() -> None:
    """Time scalings from most to fewest windows, one thread."""
    rows = []
    for scaling in (0.25, 0.4, 0.7):
        step, whole, facts = contestants(scaling)
        tasks = {"windows": (step, 9)} | ({"whole picture": (whole, 3)} if scaling == 0.4 else {})
        for task, (functions, repeats) in tasks.items():
            best = interleave(functions, repeats=repeats, threads=1)
            speed = {
                f"speed_up{kind}": {name: best["loop"][key] / times[key] for name, times in best.items()}
                for kind, key in (("", "wall_ms"), ("_cpu", "cpu_ms"))
            }
            rows.append({"task": task, "scaling": scaling, **facts, "threads": 1, "best": best, **speed})
            print(task, scaling, {name: round(value, 2) for name, value in speed["speed_up_cpu"].items()})
    note = "VGG-19 and the published decoder's layout with random weights, float32, CPU; speed_up = loop / contestant; "
    note += "other jobs shared the machine, which disturbs wall times most"
    write("neurofovea", rows, note=note)


if __name__ == "__main__":
    main()
