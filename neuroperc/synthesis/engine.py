"""Pictures under way: measured together, moved, judged and let go one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._check import fail
from .steppers import LBFGS, Adam, State

#: (pictures (k, c, h, w), which items they are (k,), the stage each is in (k,)) to one number a picture.
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]

PLATEAU_STEPS = 50  # over which a loss that hardly changes counts as settled


class Run:
    """A batch of pictures on the way to the minimum of an objective, each for itself.

    Parameters
    ----------
    objective
        What to make small; one number a picture, each of its own picture only.
    target, share
        (b, c, h, w): pictures shown to the objective are ``free + share * (target - free)``; share None: just free.
    start
        (b, c, h, w), the free pictures at first.
    stepper
        How they move.
    penalty
        Weight of the squared excess over [0, 1].
    n_stages
        An item goes through stages 0 to n_stages - 1 when it settles, and is done when it settles in the last.
    averaging
        (start, every): result is the mean of every `every`-th picture after `start` steps of the last stage.
    """

    def __init__(
        self,
        objective: Objective,
        target: Tensor,
        share: Tensor | None,
        start: Tensor,
        stepper: Adam | LBFGS,
        *,
        penalty: float = 0.0,
        n_stages: int = 1,
        averaging: tuple[int, int] | None = None,
    ) -> None:
        self.objective, self.target, self.share, self.stepper = objective, target, share, stepper
        self.penalty, self.n_stages, self.averaging = penalty, n_stages, averaging
        self.shape, n_items = start.shape, len(start)
        self.final = start.flatten(1).clone()
        self.active = torch.ones(n_items, dtype=torch.bool)
        self.step = 0
        self.losses: list[Tensor] = []  # (b,) float64 on the CPU, one a step
        self.excesses: list[Tensor] = []
        index = torch.arange(n_items, device=start.device)
        self.state: State = stepper.start(self.final) | {
            "item": index, "stage": torch.zeros_like(index), "since": torch.zeros_like(index),
            "loss": index.double(), "excess": index.double(),
        }  # fmt: skip
        if averaging is not None:
            self.state |= {"mean": self.final.clone(), "n_mean": torch.zeros_like(index)}

    def update(self, tolerance: float, stage_tolerance: float = 0.0) -> None:
        """Measure, let pictures go that have settled, and move the others one step."""
        state = self.state
        loss, excess, grad = self._measure()
        kept = self.stepper.judge(state, loss + self.penalty * excess, grad)
        state["loss"] = torch.where(kept, loss.double(), state["loss"])
        state["excess"] = torch.where(kept, excess.double(), state["excess"])
        self._check_gradients(grad, kept)
        self._record(state["item"], state["loss"], state["excess"])
        self._go_on(tolerance, stage_tolerance)
        self.step += 1
        if len(self.state["item"]):
            self._average()
            self.stepper.advance(self.state)

    def restart(self) -> None:
        """Let the stepper forget what it knows of the objective, which has changed."""
        self.stepper.restart(self.state, torch.ones_like(self.state["item"], dtype=torch.bool))

    def pictures(self) -> Tensor:
        """Return all pictures as they are now, in [0, 1], (b, c, h, w)."""
        final, state = self.final.clone(), self.state
        final[state["item"]] = self._averaged(self.stepper.result(state))
        return self._blend(final, torch.arange(len(final), device=final.device)).clamp(0, 1).detach()

    def close(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Measure `pictures` in the last stage and return the histories, (n + 1, b)."""
        items = torch.arange(len(pictures), device=pictures.device)
        with torch.no_grad():
            loss = self.objective(pictures, items, torch.full_like(items, self.n_stages - 1))
        self._record(items, loss, torch.zeros_like(loss))
        return torch.stack(self.losses), torch.stack(self.excesses)

    def _measure(self) -> tuple[Tensor, Tensor, Tensor]:
        state = self.state
        free = state["trial"].detach().requires_grad_()
        pictures = self._blend(free, state["item"])
        loss = self.objective(pictures, state["item"], state["stage"])
        excess = (pictures - pictures.clamp(0, 1)).flatten(1).square().sum(1)
        total = loss + self.penalty * excess if self.penalty else loss
        (grad,) = torch.autograd.grad(total.sum(), free)
        return loss.detach(), excess.detach(), grad

    def _blend(self, free: Tensor, items: Tensor) -> Tensor:
        free = free.reshape(-1, *self.shape[1:])
        return free if self.share is None else free + self.share[items] * (self.target[items] - free)

    def _check_gradients(self, grad: Tensor, kept: Tensor) -> None:
        items = self.state["item"]
        bad = kept & ~grad.isfinite().all(1)
        if bool(bad.any()) and bool(self.state["loss"].isfinite().all()):
            fail(
                "gradient", "finite", f"NaN or infinity for item {int(items[bad][0])} at step {self.step}",
                "Square roots, norms and divisions need a small constant where their input can be 0.", RuntimeError,
            )  # fmt: skip
        if self.step == 0:
            dead = (self.state["loss"] > 0) & ~grad.any(1)
            if bool(dead.any()):
                fail("model", "sensitive to the picture", f"a zero gradient for item {int(items[dead][0])}", NO_GRAD)

    def _record(self, items: Tensor, loss: Tensor, excess: Tensor) -> None:
        bad = ~(loss + excess).isfinite()
        if bool(bad.any()):
            fail(
                "loss", "finite", f"NaN or infinity for item {int(items[bad][0])} at step {self.step}",
                "Lower learning_rate, or find the operation in the model that divides by zero.", RuntimeError,
            )  # fmt: skip
        rows = items.cpu()
        for history, values in ((self.losses, loss), (self.excesses, excess)):
            row = history[-1].clone() if history else torch.zeros(self.shape[0], dtype=torch.float64)
            row[rows] = values.detach().double().cpu()
            history.append(row)

    def _go_on(self, tolerance: float, stage_tolerance: float) -> None:
        """Move items that have settled to their next stage, or out."""
        state = self.state
        last = state["stage"] == self.n_stages - 1
        settled = ~state["grad"].any(1)  # nothing to gain
        if len(self.losses) > PLATEAU_STEPS:
            total = [self.losses[k] + self.penalty * self.excesses[k] for k in (-1, -1 - PLATEAU_STEPS)]
            change = (total[0] - total[1]).abs().to(last.device)[state["item"]]
            limit = torch.where(last, tolerance, stage_tolerance)
            settled |= (change < limit) & (self.step - state["since"] >= PLATEAU_STEPS)
        onward, leave = settled & ~last, settled & last
        if bool(onward.any()):
            state["stage"] = state["stage"] + onward.long()
            state["since"] = torch.where(onward, self.step + 1, state["since"])
            self.stepper.restart(state, onward)
        if bool(leave.any()):
            items = state["item"][leave]
            self.final[items] = self._averaged(state["kept"])[leave]
            self.active[items.cpu()] = False
            self.state = {name: value[~leave] for name, value in state.items()}

    def _average(self) -> None:
        if self.averaging is None:
            return
        state, (start, every) = self.state, self.averaging
        n = self.step - state["since"] - start
        due = (state["stage"] == self.n_stages - 1) & (n >= 0) & (n % every == 0)
        state["n_mean"] = state["n_mean"] + due.long()
        step = (state["kept"] - state["mean"]) / state["n_mean"].clamp_min(1)[:, None]
        state["mean"] = torch.where(due[:, None], state["mean"] + step, state["mean"])

    def _averaged(self, pictures: Tensor) -> Tensor:
        if self.averaging is None:
            return pictures
        return torch.where((self.state["n_mean"] > 0)[:, None], self.state["mean"], pictures)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that changes on the way, for a checkpoint."""
        empty = torch.zeros(0, self.shape[0], dtype=torch.float64)
        held = {f"state.{name}": value for name, value in self.state.items()}
        histories = {"losses": self.losses, "excesses": self.excesses}
        held |= {name: torch.stack(rows) if rows else empty for name, rows in histories.items()}
        return held | {"final": self.final, "active": self.active}

    def restore(self, tensors: dict[str, Any], step: int) -> None:
        """Go back to where `tensors` were taken."""
        device = self.final.device
        self.state = {
            name.removeprefix("state."): value.to(device)
            for name, value in tensors.items()
            if name.startswith("state.")
        }
        self.losses, self.excesses = list(tensors["losses"]), list(tensors["excesses"])
        self.final, self.active, self.step = tensors["final"].to(device), tensors["active"], step


NO_GRAD = "Remove torch.no_grad, .detach(), .item(), rounding, comparisons and NumPy calls from the model's forward."
