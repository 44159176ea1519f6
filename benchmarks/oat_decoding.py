"""A hundred sampled paths of OAT, all together, one by one, and one by one without keeping what was computed.

The loops are baselines of ours: the released code decodes a path at a time and feeds the whole path to the decoder at
every step. Weights are those of the start: how long a step takes does not depend on them. Every contestant draws the
same number of steps.

Run: python -m benchmarks.oat_decoding
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.timing import interleave, write
from neuroperc.search import objects as npo

N_PATHS, N_STEPS, N_OBJECTS = 100, 16, 84


class Endless(torch.nn.Module):
    """OAT that never stops, so that all paths have the same length."""

    def __init__(self, model: npo.OAT) -> None:
        super().__init__()
        self.model = model

    def begin(self, scenes: npo.ObjectScenes, n_paths: int, max_steps: int) -> object:
        """As OAT's."""
        return self.model.begin(scenes, n_paths, max_steps)

    def step(self, state: object, last: torch.Tensor) -> torch.Tensor:
        """As OAT's, the stop closed."""
        scores = self.model.step(state, last)
        scores[..., -1] = -torch.inf
        return scores


@torch.no_grad()
def from_scratch(model: npo.OAT, scenes: npo.ObjectScenes, rng: np.random.Generator) -> torch.Tensor:
    """Draw one path; encoder and decoder see everything again at every step."""
    path = torch.full((1, 1, 1), -1)
    for step in range(N_STEPS):
        # The model gives no scores for a path without steps: the first step is asked through a path of one.
        known = path if step else torch.zeros(1, 1, 1, dtype=torch.long)
        scores = model(scenes, known)[0, 0, step, :N_OBJECTS]
        drawn = torch.as_tensor(rng.choice(N_OBJECTS, p=scores.double().softmax(-1).numpy())).view(1, 1, 1)
        path = drawn if step == 0 else torch.cat((path, drawn), -1)
    return path


def main() -> None:
    """Time the three ways in turn."""
    model = npo.OAT(random_state=0).eval()
    endless = Endless(model).eval()
    scenes = npo.make_scenes(np.stack(np.divmod(np.arange(N_OBJECTS), 14), -1), [40])

    def together() -> torch.Tensor:
        return npo.sample_paths(endless, scenes, n_samples=N_PATHS, max_steps=N_STEPS, rng=0)

    def one_by_one() -> torch.Tensor:
        rng = np.random.default_rng(0)
        drawn = [npo.sample_paths(endless, scenes, n_samples=1, max_steps=N_STEPS, rng=rng) for _ in range(N_PATHS)]
        return torch.cat(drawn, 1)

    def a_tenth_from_scratch() -> torch.Tensor:
        rng = np.random.default_rng(0)
        return torch.cat([from_scratch(model, scenes, rng) for _ in range(N_PATHS // 10)], 1)

    for way in (together, one_by_one):
        paths = way()
        if paths.shape != (1, N_PATHS, N_STEPS) or int(paths.min()) < 0:
            raise RuntimeError(f"{way.__name__} drew {tuple(paths.shape)}, not all steps of {N_PATHS} paths")
    ways = {"together": together, "one_by_one": one_by_one, "a_tenth_from_scratch": a_tenth_from_scratch}
    times = interleave(ways, repeats=3)
    cpu = {name: value["cpu_ms"] for name, value in times.items()}
    ratios = {"one_by_one_over_together": cpu["one_by_one"] / cpu["together"],
              "from_scratch_over_together": 10 * cpu["a_tenth_from_scratch"] / cpu["together"]}  # fmt: skip
    rows = [{"way": name, **value} for name, value in times.items()]
    write("oat_decoding", rows, n_paths=N_PATHS, n_steps=N_STEPS, n_objects=N_OBJECTS, threads=1, **ratios,
          note="from_scratch is timed on ten paths, counted ten times; processor time, other jobs ran")  # fmt: skip


if __name__ == "__main__":
    main()
