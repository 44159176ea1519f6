"""Learning rates as closed formulas of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Callable

from .._check import check, integer, one_of, positive

Schedule = str | Callable[[int], float]
_NAMES = ("constant", "cosine", "step")


def learning_rate_factor(
    step: int,
    *,
    n_steps: int,
    schedule: Schedule = "constant",
    warmup_steps: int = 0,
    decay_every: int | None = None,
    decay_factor: float = 0.1,
) -> float:
    """Return what the base learning rate is multiplied by at one step.

    Parameters
    ----------
    step
        From 0 to n_steps - 1.
    n_steps
        Length of the training.
    schedule
        "constant"; "cosine", half a cosine from 1 after the warm-up to 0 after the last step; "step", `decay_factor`
        to the number of whole `decay_every` since the warm-up; or a function of the step, which replaces all of these
        but the warm-up.
    warmup_steps
        The factor rises linearly over these: (step + 1) / warmup_steps times the schedule's first value.
    decay_every, decay_factor
        For "step".

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For an unknown schedule, a warm-up as long as the training, or "step" without `decay_every`.

    References
    ----------
    Cosine: Loshchilov & Hutter 2017 (arXiv:1608.03983), equation 5 with one period. Warm-up: Goyal et al. 2017
    (arXiv:1706.02677), section 2.2.

    Examples
    --------
    >>> from neuroperc.training import learning_rate_factor
    >>> [round(learning_rate_factor(k, n_steps=6, schedule="cosine", warmup_steps=2), 3) for k in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    check_schedule(schedule, n_steps, warmup_steps, decay_every, decay_factor)
    since = max(step - warmup_steps, 0)
    if callable(schedule):
        factor = float(schedule(step))
    elif schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * since / (n_steps - warmup_steps)))
    elif schedule == "step":
        factor = decay_factor ** (since // (decay_every or 1))
    else:
        factor = 1.0
    return factor * min((step + 1) / warmup_steps, 1.0) if warmup_steps else factor


def check_schedule(
    schedule: Schedule, n_steps: int, warmup_steps: int, decay_every: int | None, decay_factor: float
) -> None:
    """Raise for settings that make no schedule."""
    if not callable(schedule):
        one_of("schedule", schedule, _NAMES)
    integer("n_steps", n_steps)
    integer("warmup_steps", warmup_steps, 0)
    check(
        warmup_steps < n_steps or warmup_steps == 0, "warmup_steps", f"below the {n_steps} steps of the training",
        warmup_steps, "Train for longer or warm up faster.",
    )  # fmt: skip
    positive("decay_factor", decay_factor)
    if schedule == "step":
        check(
            decay_every is not None, "decay_every", "given with schedule='step'", decay_every,
            "Say after how many steps the rate falls by decay_factor.",
        )  # fmt: skip
        integer("decay_every", decay_every)
