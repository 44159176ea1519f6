"""Synthesis to one final loss: `synthesize` beside plenoptic's Metamer, on plenoptic's own Portilla-Simoncelli model.

Model, weights of the statistics, target and start are the same; one thread. Plenoptic runs the recipe of its manual
(L-BFGS, rate 1, 10 inner steps, history 100, strong Wolfe, its L2 loss with penalty 0.1 on the range). Ours minimises
the squares of the same weighted differences, balanced, and stops after the steps that a run beforehand needed to get
below plenoptic's final loss, which is then measured anew on the picture returned: whole calls are timed, set-up and
sensitivities included. The same is run with `TextureModel` in place of plenoptic's model (the same statistics:
checked), which is what a user of neuroperc would do. ``python benchmarks/synthesis.py`` writes
results/synthesis.json; it takes ten minutes.
"""

from __future__ import annotations

import os
import warnings

import plenoptic as po
import torch
from timing import interleave, write

import neuroperc as npc

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
RECIPE = {
    "lr": 1, "max_iter": 10, "max_eval": 10, "history_size": 100, "line_search_fn": "strong_wolfe",
    "tolerance_grad": 0, "tolerance_change": 0,
}  # fmt: skip


class Task:
    """One picture, `n` samples of its metamer, and the two ways to get them."""

    def __init__(self, name: str, size_px: int, n: int) -> None:
        image = getattr(po.data, name)()
        self.target = image[..., :size_px, :size_px].contiguous()
        self.batch = self.target.repeat(n, 1, 1, 1)
        self.model = po.models.PortillaSimoncelli((size_px, size_px))
        self.peer_loss = po.loss.portilla_simoncelli_loss_factory(self.model, self.target)
        self.wanted = self.model(self.target)
        ones = torch.ones_like(self.wanted)
        weights = self.model.convert_to_dict(ones)  # what the factory multiplies with
        weights["pixel_statistics"][..., -2:] = 0
        weights["var_highpass_residual"] *= 100
        self.weights = self.model.convert_to_tensor(weights)
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(self.batch.shape, generator=generator)
        self.start = ((noise - 0.5) * 0.1 + self.target.mean()).clamp(0, 1)

    def losses(self, pictures: torch.Tensor) -> torch.Tensor:
        """L2 norm of the weighted differences, a number a picture."""
        with torch.no_grad():
            return (self.weights * (self.model(pictures) - self.wanted)).flatten(1).norm(dim=1)

    def peer(self, n_outer: int) -> torch.Tensor:
        """Run plenoptic's recipe; its pictures."""
        met = po.Metamer(self.batch, self.model, loss_function=self.peer_loss, penalty_lambda=0.1)
        met.setup(self.start.clone(), optimizer=torch.optim.LBFGS, optimizer_kwargs=RECIPE)
        met.synthesize(max_iter=n_outer, stop_criterion=0)
        return met.metamer.detach()

    def square(self, features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Sum of the squared weighted differences."""
        return (self.weights * (features - wanted)).flatten(1).square().sum(1)

    def own_model(self) -> npc.metamers.TextureModel:
        """Our model of the same weighted statistics."""
        size_px = self.target.shape[-1]
        display = npc.Display.from_px_per_deg(16, resolution_px=(size_px, size_px))
        model = npc.metamers.TextureModel(display)
        with torch.no_grad():
            mine = model(self.start[:1]) - model(self.target)
        torch.testing.assert_close(mine.norm(), self.losses(self.start[:1])[0], rtol=1e-3, atol=1e-3)
        return model

    def ours(self, steps: int, model, loss) -> torch.Tensor:
        """Run `synthesize`; its pictures."""
        return npc.synthesize(
            model, self.batch, init=self.start, optimizer="lbfgs", steps=steps, loss=loss, balance=True, tolerance=0
        ).image

    def steps_to(self, goal: float, most: int, model, loss) -> int | None:
        """Count the steps after which the mean loss of our pictures is below `goal`."""
        trace = []

        def watched(pictures: torch.Tensor) -> torch.Tensor:
            trace.append(self.losses(pictures.detach()).mean())
            return model(pictures)

        self.ours(most, watched, loss)
        calls = len(trace) - most - 2  # before the search: the target, sensitivities; after it: two of the result
        below = [i for i, value in enumerate(trace[calls : calls + most]) if value <= goal]
        return below[0] + 1 if below else None


def square(features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Sum of the squared differences."""
    return (features - wanted).flatten(1).square().sum(1)


def contest(name: str, size_px: int, n: int, n_outer: int, repeats: int) -> dict:
    """Time both to plenoptic's final loss."""
    task = Task(name, size_px, n)
    goal = float(task.losses(task.peer(n_outer)).mean())
    row = {"target": name, "size_px": size_px, "n_samples": n, "peer_outer_iterations": n_outer, "peer_loss": goal}
    ways = {"plenoptic's model": (task.model, task.square), "TextureModel": (task.own_model(), square)}
    runs = {"plenoptic": lambda: task.peer(n_outer)}
    for label, way in ways.items():
        steps = task.steps_to(goal, 10 * n_outer, *way)
        if steps is not None:
            reached = float(task.losses(task.ours(steps, *way)).mean())
            row[label] = {"steps": steps, "loss": reached}
            runs[label] = lambda steps=steps, way=way: task.ours(steps, *way)
    times = interleave(runs, repeats=repeats)
    for label in runs:
        if label != "plenoptic":
            row[label]["times_faster"] = round(times["plenoptic"]["cpu_ms"] / times[label]["cpu_ms"], 2)
    return row | {"times": times}


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = []
    for name in ("einstein", "reptile_skin"):
        for size_px, n, n_outer in ((256, 1, 10), (128, 1, 30), (128, 4, 10)):
            rows.append(contest(name, size_px, n, n_outer, repeats=2))
            print(rows[-1], flush=True)
    write("synthesis", rows, peer=f"plenoptic {po.__version__}", unit="ms, minimum of interleaved runs, one thread")
