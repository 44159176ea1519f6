"""`synthesize`: descent on a picture until a model's features match those of a target."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .. import __version__
from .._check import check, integer, non_negative, one_of, positive
from . import _inputs
from ._inputs import Loss, Model
from .checkpoint import read_checkpoint, write_checkpoint
from .engine import Objective, Run
from .metamer import Metamer
from .report import residuals
from .stages import Stages, groups_of, stage_masks
from .steppers import LBFGS, Adam


@torch.enable_grad()
def synthesize(
    model: Model,
    target: Tensor,
    *,
    steps: int = 500,
    init: Literal["noise"] | Tensor = "noise",
    fixed: Tensor | None = None,
    optimizer: Literal["adam", "lbfgs"] = "adam",
    learning_rate: float = 0.01,
    penalty: float = 0.0,
    tolerance: float = 1e-9,
    progress: bool = False,
    rng: int | np.random.Generator | Sequence[int] = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 50,
    n_samples: int = 1,
    loss: Loss | None = None,
    balance: bool = False,
    stages: Stages = None,
    stage_tolerance: float = 1e-4,
    averaging: tuple[int, int] | None = None,
) -> Metamer:
    """Change a picture until the model cannot tell it from the target.

    The loss of a picture is the mean squared difference between its features and its target's. The pictures of a batch
    do not influence one another: each has its own optimiser state, step length and stage, and stops on its own.

    Parameters
    ----------
    model
        Any callable from pictures (b, c, h, w) to features (b, ...), differentiable, each picture on its own.
    target
        (c, h, w) or (b, c, h, w), linear light in [0, 1]. It decides device and dtype.
    steps
        Evaluations of model and gradient at most.
    init
        "noise", uniform in [0, 1] and independent for all pixels, or pictures (another natural picture, say) that
        broadcast to the result.
    fixed
        Share of the target that every picture keeps, 0 to 1, (h, w) or anything that broadcasts to the target: 1 pastes
        the target's pixels in, as one minus the coverage of pooling windows does for the fovea [1]_.
    optimizer
        "adam" [2]_, steady on rough losses, or "lbfgs" [3]_, which needs far fewer steps on smooth ones.
    learning_rate
        Of Adam, or the largest change of a pixel in the first step of L-BFGS; in units of light.
    penalty
        0: light never leaves [0, 1]. Above 0: this times the squared excess, summed over the picture, is added to the
        loss instead, and the range is enforced once, at the end.
    tolerance
        A picture is done when its loss (with penalty) changes by less than this over 50 steps, or has no gradient
        left; 0 stops only then.
    progress
        Show a progress bar.
    rng
        Seed or generator of the noise, or a list of seeds, one for each picture of the result.
    checkpoint
        File to continue from when it exists and to keep up to date: a run that was killed and is started again with
        the same arguments ends with the same bits. `steps` may be raised to go on with a finished run.
    checkpoint_every
        Steps between writes.
    n_samples
        Metamers of every target, as neighbours in the batch; above 1 the result always has a batch axis.
    loss
        (features, wanted), both (b, ...), to one number a picture (b,), in place of the mean squared difference.
    balance
        Before the loss, divide each feature by the root of its sensitivity (RMS change under independent noise on the
        target's pixels). Features of very different sizes then need fewer steps; the loss is in other units.
    stages
        Coarse to fine: which features count at first. "together" adds the model's scales one by one; "alone" takes each
        by itself; a list holds selections, each a name in ``model.scales``, a list of names, or an index of one
        picture's features (slice, mask, integers). All features follow at the end. Features that do not count yet
        enter the loss as if they matched, so any loss will do.
    stage_tolerance
        A picture goes to its next stage when its loss changes by less than this over 50 steps.
    averaging
        (start, every): return the mean of every `every`-th picture after `start` steps of the last stage (stochastic
        weight averaging [4]_; Broderick and colleagues use (50, 5)). Only for Adam.

    Returns
    -------
    Metamer
        Pictures, histories of loss and penalty, residuals by group of features, and the settings.

    Raises
    ------
    ValueError, TypeError
        When the target is not a picture in [0, 1], the model gives NaN, gives no gradient, or mixes pictures, the loss
        does not give a number a picture, stages name what the model does not have, or the checkpoint belongs to other
        arguments.
    RuntimeError
        When loss or gradient become NaN on the way.

    Notes
    -----
    A model may name groups of its features: ``scales``, coarse first, a mapping from names to indices of one picture's
    features or a function of the number of channels that returns one; and ``groups``, likewise, for the report.

    References
    ----------
    .. [1] W F Broderick, G Rufo, J Winawer, E P Simoncelli. Foveated metamers of the early visual system.
    .. [2] D P Kingma, J Ba (2015). Adam: a method for stochastic optimization. ICLR.
    .. [3] R H Byrd, J Nocedal, R B Schnabel (1994). Representations of quasi-Newton matrices and their use in limited
       memory methods. Mathematical Programming 63.
    .. [4] P Izmailov, D Podoprikhin, T Garipov, D Vetrov, A G Wilson (2018). Averaging weights leads to wider optima
       and better generalization. UAI.

    Examples
    --------
    >>> import torch
    >>> target = torch.rand(1, 16, 16)
    >>> pooled = torch.nn.AvgPool2d(4)
    >>> metamer = synthesize(pooled, target, steps=100, rng=0)
    >>> bool(metamer.loss[-1] < 0.01 * metamer.loss[0])
    True
    >>> two = synthesize(pooled, target, steps=30, optimizer="lbfgs", n_samples=2, rng=0)
    >>> two.image.shape, bool(two.distances()[0, 1] > 0.1)
    (torch.Size([2, 1, 16, 16]), True)
    """
    _check_numbers(steps, learning_rate, penalty, tolerance, stage_tolerance, checkpoint_every, n_samples)
    one_of("optimizer", optimizer, ("adam", "lbfgs"))
    averaging = _check_averaging(averaging, optimizer)
    single = _inputs.check_target(target)
    share = _inputs.check_fixed(fixed, single).repeat_interleave(n_samples, 0)
    batch = single.repeat_interleave(n_samples, 0)
    wanted = _inputs.check_model(model, batch)
    measure = _inputs.check_loss(loss, wanted)
    generators, seed = _inputs.check_rng(rng, len(batch))
    start = _inputs.start(init, batch, generators)
    _check_samples(start, n_samples)
    masks = stage_masks(stages, model, batch.shape[1], wanted.shape[1:])
    weights = _inputs.balance(model, batch, wanted) if balance else None
    settings = _settings(model, batch, init, share, seed) | {
        "optimizer": optimizer, "learning_rate": learning_rate, "penalty": penalty, "tolerance": tolerance,
        "n_samples": n_samples, "loss": _name(measure), "balance": balance, "averaging": averaging,
        "stages": None if masks is None else _sha256(masks), "stage_tolerance": stage_tolerance,
    }  # fmt: skip
    run = Run(
        _objective(model, wanted, measure, masks, weights), batch, share if bool(share.any()) else None, start,
        LBFGS(learning_rate, not penalty) if optimizer == "lbfgs" else Adam(learning_rate, not penalty),
        penalty=penalty, n_stages=1 if masks is None else len(masks), averaging=averaging,
    )  # fmt: skip
    _drive(run, steps, (tolerance, stage_tolerance), progress, checkpoint, checkpoint_every, settings, generators)
    groups = groups_of(model, batch.shape[1], wanted.shape[1:])
    return _metamer(run, model, wanted, groups, settings | {"steps": steps}, target.ndim == 3 and n_samples == 1)


def _metamer(
    run: Run, model: Model, wanted: Tensor, groups: dict[str, np.ndarray], settings: dict[str, Any], single: bool
) -> Metamer:
    """Measure the pictures once more and put the record together, without its batch axis when `single`."""
    image = run.pictures()
    losses, excesses = run.close(image)
    with torch.no_grad():
        report = residuals(model(image), wanted, groups)
    pick = 0 if single else slice(None)
    return Metamer(
        image=image[pick],
        target=run.target[pick].clone(),
        loss=losses[:, pick],
        penalty=excesses[:, pick],
        converged=~run.active[pick],
        settings=settings | {"updates": run.step},
        residuals={name: values[pick] for name, values in report.items()},
    )


def _objective(model: Model, wanted: Tensor, loss: Loss, masks: Tensor | None, weights: Tensor | None) -> Objective:
    """Return the loss of the features that count, one number a picture."""
    if masks is not None:
        masks = masks.reshape(-1, *wanted.shape[1:]).to(wanted.device)

    def objective(pictures: Tensor, items: Tensor, stage: Tensor) -> Tensor:
        features, want = model(pictures), wanted[items]
        if masks is not None:
            features = torch.where(masks[stage], features, want)
        if weights is not None:
            features, want = features * weights[items], want * weights[items]
        return loss(features, want)

    return objective


def _drive(
    run: Run,
    steps: int,
    tolerances: tuple[float, float],
    progress: bool,
    checkpoint: str | os.PathLike[str] | None,
    checkpoint_every: int,
    settings: dict[str, Any],
    generators: list[np.random.Generator],
) -> None:
    """Take the steps, from the checkpoint on when there is one."""
    if checkpoint is not None:
        read_checkpoint(checkpoint, run, settings, generators)
    with tqdm(total=steps, initial=min(run.step, steps), disable=not progress, desc="synthesize") as bar:
        while run.step < steps and run.active.any():
            run.update(*tolerances)
            bar.update()
            bar.set_postfix(loss=f"{run.losses[-1].mean():.3g}", refresh=False)
            if checkpoint is not None and run.step % checkpoint_every == 0:
                write_checkpoint(checkpoint, run, settings, generators)
    if checkpoint is not None:
        write_checkpoint(checkpoint, run, settings, generators)


def _check_numbers(
    steps: Any, learning_rate: Any, penalty: Any, tolerance: Any, stage_tolerance: Any, every: Any, n_samples: Any
) -> None:
    integer("steps", steps, 0)
    positive("learning_rate", learning_rate)
    non_negative("penalty", penalty)
    non_negative("tolerance", tolerance)
    non_negative("stage_tolerance", stage_tolerance)
    integer("checkpoint_every", every, 1)
    integer("n_samples", n_samples, 1)


def _check_averaging(averaging: Any, optimizer: str) -> tuple[int, int] | None:
    if averaging is None:
        return None
    check(optimizer == "adam", "averaging", "None with optimizer='lbfgs'", averaging, "Its pictures only improve.")
    start, every = averaging if isinstance(averaging, (tuple, list)) and len(averaging) == 2 else (None, None)
    check(start is not None, "averaging", "(start, every), two whole numbers", averaging, error=TypeError)
    return integer("averaging's start", start, 0), integer("averaging's every", every, 1)


def _check_samples(start: Tensor, n_samples: int) -> None:
    if n_samples > 1:
        groups = start.reshape(-1, n_samples, *start.shape[1:])
        same = bool((groups[:, :1] == groups[:, 1:]).flatten(2).all(2).any())
        check(
            not same, "init", "different for every sample", "one picture for several", "Use 'noise' or more pictures."
        )


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


def _settings(model: Model, target: Tensor, init: Any, share: Tensor, seed: Any) -> dict[str, Any]:
    """Return what identifies a run, in JSON's types."""
    settings = {
        "model": _name(model),
        "target_sha256": _sha256(target),
        "init": init if isinstance(init, str) else _sha256(init),
        "fixed": _sha256(share) if bool(share.any()) else None,
        "rng": seed,
        "dtype": str(target.dtype).removeprefix("torch."),
        "device": target.device.type,
        "versions": {"neuroperc": __version__, "torch": str(torch.__version__)},
    }
    display = getattr(model, "display", None)
    return settings if display is None else settings | {"display": display.to_dict()}


def _sha256(tensor: Tensor) -> str:
    array = np.ascontiguousarray(tensor.detach().cpu().double().numpy())
    return hashlib.sha256(str(array.shape).encode() + array.tobytes()).hexdigest()
