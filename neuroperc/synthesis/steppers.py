"""Optimisers for batches whose items do not meet: each has its own step, history and line search.

A stepper keeps its state in a dict of tensors whose first axis is the item, so that items can leave, and a checkpoint
can hold it, without either knowing the stepper. The picture to be measured next is ``state["trial"]``, the best or
last one measured is ``state["kept"]``, both (k, n_pixels). After a measurement `judge` says which trials are kept and
`advance` sets the next ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]

_ARMIJO = 1e-4  # share of the promised decrease that a step must bring (Nocedal & Wright 2006, eq. 3.4)
_TRIES = 25  # trials refused in a row after which the curvature learnt so far is forgotten
_CURVATURE = 1e-8  # cosine between step and change of gradient below which a pair is left out


class Adam:
    """Adam with the constants of its paper.

    Parameters
    ----------
    rate
        Step size.
    bounded
        Bring pixels back to [0, 1] after each step.

    References
    ----------
    D P Kingma, J Ba (2015). Adam: a method for stochastic optimization. ICLR. Algorithm 1.
    """

    def __init__(self, rate: float, bounded: bool) -> None:
        self.rate, self.bounded = rate, bounded

    def start(self, pictures: Tensor) -> State:
        """Return the state of pictures (k, n) of which nothing is known."""
        zero = torch.zeros_like(pictures)
        count = torch.zeros(len(pictures), dtype=torch.float64, device=pictures.device)
        return {"trial": pictures.clone(), "kept": pictures.clone(), "first": zero, "second": zero.clone(), "n": count}

    def judge(self, state: State, value: Tensor, grad: Tensor) -> Tensor:
        """Keep every trial."""
        state |= {"kept": state["trial"], "grad": grad}
        return torch.ones_like(value, dtype=torch.bool)

    def advance(self, state: State) -> None:
        """Move."""
        grad = state.pop("grad")
        state["n"] = state["n"] + 1
        state["first"] = torch.lerp(state["first"], grad, 0.1)
        state["second"] = torch.lerp(state["second"], grad.square(), 0.001)
        unbias1, unbias2 = ((1 - beta ** state["n"])[:, None].to(grad) for beta in (0.9, 0.999))
        root = (state["second"] / unbias2).sqrt() + 1e-8
        trial = state["kept"] - self.rate * state["first"] / unbias1 / root
        state["trial"] = trial.clamp(0, 1) if self.bounded else trial

    def restart(self, state: State, which: Tensor) -> None:
        """Go on: moments of an earlier stage are a fair start."""

    def result(self, state: State) -> Tensor:
        """Return the last step, which was not measured yet."""
        return state["trial"]


class LBFGS:
    """L-BFGS in compact form with a backtracking line search, every item for itself.

    All items are measured together and each item uses the measurement for what it needs: a shorter step along its old
    direction, or a new direction. The direction comes from matrix products with the whole history at once.
    Where no step along a direction brings enough, the history is forgotten and the next step goes down the gradient.
    Pixels at a bound that would be pushed through it are held, and steps are bent along the bounds (two-metric
    projection).

    Parameters
    ----------
    rate
        Largest change of a pixel in the first step.
    bounded
        Stay in [0, 1].
    n_pairs
        Steps that the curvature is learnt from.

    References
    ----------
    R H Byrd, J Nocedal, R B Schnabel (1994). Representations of quasi-Newton matrices and their use in limited memory
    methods. Mathematical Programming 63, eq. 2.7 and 3.1.
    D P Bertsekas (1982). Projected Newton methods for optimization problems with simple constraints. SIAM Journal on
    Control and Optimization 20, eq. 32 to 37.
    """

    def __init__(self, rate: float, bounded: bool, n_pairs: int = 30) -> None:
        self.rate, self.bounded, self.n_pairs = rate, bounded, n_pairs

    def start(self, pictures: Tensor) -> State:
        """Return the state of pictures (k, n) of which nothing is known."""
        (k, n), m = pictures.shape, self.n_pairs
        small = torch.zeros(k, m, m, dtype=torch.float64, device=pictures.device)
        one = torch.ones(k, dtype=torch.float64, device=pictures.device)
        return {
            "trial": pictures.clone(),
            "kept": pictures.clone(),
            "value": one.clone(),
            "grad": torch.zeros_like(pictures),
            "direction": torch.zeros_like(pictures),
            "length": one.clone(),
            "fresh": torch.ones(k, dtype=torch.bool, device=pictures.device),
            "count": torch.zeros(k, dtype=torch.long, device=pictures.device),
            "refused": torch.zeros(k, dtype=torch.long, device=pictures.device),
            "scale": one,
            "s": pictures.new_zeros(k, m, n),
            "y": pictures.new_zeros(k, m, n),
            "sy": small,
            "yy": small.clone(),
        }

    def restart(self, state: State, which: Tensor) -> None:
        """Forget all but the picture where `which`: what is minimised has changed."""
        state["fresh"] = state["fresh"] | which

    def result(self, state: State) -> Tensor:
        """Return the best picture measured."""
        return state["kept"]

    def judge(self, state: State, value: Tensor, grad: Tensor) -> Tensor:
        """Keep the trials that bring enough, and learn their curvature."""
        moved, value = state["trial"] - state["kept"], value.double()
        slope = _dot(state["grad"], moved)
        enough = value.isfinite() & (value < state["value"]) & (value <= state["value"] + _ARMIJO * slope)
        kept = enough | state["fresh"]
        self._shorten(state, value, slope, kept)
        self._learn(state, moved, grad - state["grad"], enough & ~state["fresh"])
        state["count"] = torch.where(state["fresh"], 0, state["count"])
        state["value"] = torch.where(kept, value, state["value"])
        for name, new in (("kept", state["trial"]), ("grad", grad)):
            state[name] = torch.where(kept[:, None], new, state[name])
        state["fresh"] = torch.zeros_like(kept)
        state["refused"] = torch.where(kept, 0, state["refused"] + 1)
        stuck = (state["refused"] == _TRIES) & (state["count"] > 0)
        state["count"] = torch.where(stuck, 0, state["count"])
        state["new"] = kept | stuck
        return kept

    def advance(self, state: State) -> None:
        """Set out in new directions where the last trial was kept, and less far in the old ones elsewhere."""
        new = state.pop("new")
        if bool(new.any()):
            direction = self._direction(state)
            state["direction"] = torch.where(new[:, None], direction, state["direction"])
            first = self.rate / direction.abs().amax(1).double().clamp_min(1e-30)  # finite in float32
            length = torch.where(state["count"] > 0, 1.0, first)
            state["length"] = torch.where(new, length, state["length"])
        trial = state["kept"] + state["length"][:, None].to(state["kept"]) * state["direction"]
        trial = torch.where(state["fresh"][:, None], state["kept"], trial)  # measure again what is minimised now
        state["trial"] = trial.clamp(0, 1) if self.bounded else trial

    def _shorten(self, state: State, value: Tensor, slope: Tensor, kept: Tensor) -> None:
        """Aim at the minimum of the parabola through value, slope and trial, between a tenth and a half of the step."""
        parabola = -slope / (2 * (value - state["value"] - slope))
        factor = torch.where(value.isfinite(), parabola.nan_to_num(0.1).clamp(0.1, 0.5), 0.1)  # 0/0: no step at all
        state["length"] = torch.where(kept, state["length"], state["length"] * factor)

    def _learn(self, state: State, s: Tensor, y: Tensor, which: Tensor) -> None:
        """Put step and change of gradient in the slot of the oldest pair, where their curvature is positive."""
        sy, yy, ss = _dot(s, y), _dot(y, y), _dot(s, s)
        which = which & (sy > _CURVATURE * (ss * yy).sqrt())
        if not bool(which.any()):
            return
        rows = which.nonzero()[:, 0]
        slot = state["count"][rows] % self.n_pairs
        state["s"][rows, slot], state["y"][rows, slot] = s[rows], y[rows]
        column = y[rows][:, :, None]
        for name, history in (("sy", "s"), ("yy", "y")):
            products = (state[history][rows] @ column)[..., 0].double()
            state[name][rows, :, slot] = products
        state["yy"][rows, slot] = state["yy"][rows, :, slot]
        state["scale"][rows] = (sy / yy)[rows]
        state["count"][rows] += 1

    def _direction(self, state: State) -> Tensor:
        """-H g, H the compact inverse Hessian, its middle in the pairs' order of age."""
        grad = state["grad"]
        free = _free(state["kept"], grad) if self.bounded else None
        g = grad if free is None else grad * free
        count, m = state["count"], self.n_pairs
        age = torch.arange(m, device=g.device)
        order = torch.where((count > m)[:, None], (count[:, None] + age) % m, age)
        used = age < count[:, None]
        scale = torch.where(count > 0, state["scale"], 1.0)
        sg, yg = (_ordered((state[h] @ g[:, :, None])[..., 0].double(), order) * used for h in ("s", "y"))
        both = used[:, :, None] & used[:, None]
        upper = (_ordered2(state["sy"], order) * both).triu()
        middle = scale[:, None, None] * (_ordered2(state["yy"], order) * both)
        middle = middle + torch.diag_embed(upper.diagonal(dim1=1, dim2=2))
        upper = upper + torch.diag_embed((~used).double())
        p = torch.linalg.solve_triangular(upper, sg[..., None], upper=True)
        right = middle @ p - (scale[:, None] * yg)[..., None]
        q = torch.linalg.solve_triangular(upper.mT, right, upper=False)
        back = order.argsort(1)
        q, p = (_ordered(v[..., 0], back).to(g)[:, None] for v in (q, -scale[:, None, None] * p))
        product = scale[:, None].to(g) * g + (q @ state["s"])[:, 0] + (p @ state["y"])[:, 0]
        product = product if free is None else product * free
        downhill = _dot(product, g) > 0
        state["count"] = torch.where(downhill, count, 0)
        return -torch.where(downhill[:, None], product, g)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1).double()


def _free(x: Tensor, grad: Tensor) -> Tensor:
    return ~(((x <= 0) & (grad > 0)) | ((x >= 1) & (grad < 0)))


def _ordered(values: Tensor, order: Tensor) -> Tensor:
    return values.gather(1, order)


def _ordered2(values: Tensor, order: Tensor) -> Tensor:
    m = order.shape[1]
    rows = values.gather(1, order[:, :, None].expand(-1, -1, m))
    return rows.gather(2, order[:, None].expand(-1, m, -1))
