"""record: run a model over stimuli and return what its layers answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike, DTypeLike
from torch import Tensor, nn

from .._check import check, integer, non_negative
from ..data import StimulusSet
from .inputs import GRAY, UNSET
from .session import open_session, turn
from .store import lazy_variable


def record(
    model: nn.Module,
    stimuli: StimulusSet | Tensor,
    layers: str | Sequence[str] | None = None,
    *,
    preprocess: Any = UNSET,
    visual_deg: float | tuple[float, float] | None = None,
    foveate: Callable[..., Tensor] | None = None,
    fixation_deg: ArrayLike | None = None,
    background: float = GRAY,
    encoding: str | None = None,
    time_dim: int | None = None,
    batch_size: int = 32,
    store: str | os.PathLike[str] | None = None,
    memory_bytes: int = 2**31,
    device: str | torch.device | None = None,
    dtype: DTypeLike = "float32",
    client: Any = None,
    progress: bool = False,
) -> xr.DataArray:
    """Record what the layers of a model answer to stimuli.

    The model runs in eval mode, without gradients and with deterministic kernels; its own modes are restored. Random
    layers are seeded by the batch, so that a repeated run gives the same numbers. Threads of one process take turns.

    Parameters
    ----------
    model
        Any module. One from `nets.load`, or one with the attribute ``preprocess``, takes house images; any other needs
        `preprocess`.
    stimuli
        A StimulusSet, or a tensor (n, c, h, w) together with `encoding`.
    layers
        A path, a glob, "all", or a list of these, as `list_layers` shows them; None records the model's own output.
        A module called several times is ``path@0``, ``path@1``, ...; a nested output is ``path:0``, ``path:name``.
        A path or glob without these marks takes all of its calls and parts.
    preprocess
        What a raw module takes: a `nets.Preprocess`, a mapping of its fields, or None for linear light as it is.
    visual_deg
        Degrees that the model's input spans, (height, width) or one number. Stimuli keep their size in degrees: they
        are put on a grey canvas or cropped (`place_in_field`), and the whole canvas reaches the network (a crop in the
        network's own preprocessing is left out, unless `preprocess` is given). None feeds each picture as it is.
    foveate
        A front end such as ``FoveatedBlur(display)``: called with linear-light images of the display's size, and with
        the gaze when `fixation_deg` is given. Stimuli that do not fill the display are drawn on it first; the front
        end's own display must be theirs.
    fixation_deg
        Gaze (x, y), or (n, 2) for one a stimulus; for `foveate`, and the centre of the field of `visual_deg`.
    background
        Linear light around the stimuli; the default is the code 128.
    encoding
        Of a bare tensor: "linear" or "srgb".
    time_dim
        Axis of the layers' outputs (batch included) that is time; default is the model's attribute of this name.
        A picture network sees movies frame by frame, which gives the result the axis time too.
    batch_size
        Stimuli at a time.
    store
        Folder that keeps results, a folder a layer, keyed by the content of everything that they depend on: weights,
        structure and code of the model, preprocessing, stimuli, placement, gaze, layer, dtype, device, versions.
        A killed run goes on where it was and gives the same bytes.
    memory_bytes
        Largest result held in memory. A larger one needs `store` and is read on demand.
    device
        Where the model runs; default is where it is. It is moved back afterwards.
    dtype
        Of the result: "float16" (answers too large for it are refused, of too small ones a warning tells), "float32"
        or "float64".
    client
        A ``distributed.Client``: batches of stimuli are spread over its workers, each with its copy of the model, and
        gathered here. The numbers are those of one process; the work of a dying worker is done again by another.
    progress
        Show a bar.

    Returns
    -------
    xarray.DataArray
        A Responses: dims (presentation, neuroid[, time]); coords `stimulus_id`, `neuroid_id` (the index within the
        layer) and `layer`, `time` in seconds; attrs with the layers' shapes and how the stimuli were shown.

    Raises
    ------
    ValueError
        For an unknown layer (near names are listed), a missing preprocess, movies of another frame rate, a result
        larger than `memory_bytes` without `store`, or answers that are not finite or that `dtype` cannot hold.
    OSError
        When the disk is full; what was written stays valid and the same call goes on from there.
    RuntimeError
        When another process records the same result, or the model's control flow changes from batch to batch.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.recording import record
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> r = record(model, torch.rand(5, 3, 8, 8), layers="0", preprocess=None, encoding="linear")
    >>> r.dims, r.shape, str(r.layer.values[0])
    (('presentation', 'neuroid'), (5, 144), '0')
    """
    session = open_session(
        model, stimuli, preprocess=preprocess, visual_deg=visual_deg, foveate=foveate, fixation_deg=fixation_deg,
        background=background, encoding=encoding, time_dim=time_dim, device=device, dtype=dtype,
    )  # fmt: skip
    integer("batch_size", batch_size)
    non_negative("memory_bytes", memory_bytes)
    identity = session.identity() if store is not None else {}
    with turn(session):
        taps = session.chosen(session.taps(), layers)
        shapes = session.shapes(taps)
    with turn(session, client):
        total = sum(int(np.prod(shape)) for shape in shapes) * session.dtype.itemsize
        if store is None:
            check(
                total <= memory_bytes, "the result", f"at most memory_bytes = {memory_bytes / 1e6:.1f} MB",
                f"{total / 1e6:.1f} MB", "Pass store=folder to stream it to disk, fewer layers, or more memory_bytes.",
            )  # fmt: skip
            return session.labelled(session.in_memory(taps, shapes, batch_size, progress, client), taps, shapes)
        parts = session.on_disk(taps, shapes, batch_size, Path(store), identity, progress, client)
    variable = lazy_variable(parts)
    return session.labelled(variable if total > memory_bytes else variable.load(), taps, shapes)


def list_layers(
    model: nn.Module,
    stimuli: StimulusSet | Tensor,
    layers: str | Sequence[str] = "all",
    *,
    preprocess: Any = UNSET,
    visual_deg: float | tuple[float, float] | None = None,
    foveate: Callable[..., Tensor] | None = None,
    fixation_deg: ArrayLike | None = None,
    background: float = GRAY,
    encoding: str | None = None,
    time_dim: int | None = None,
    device: str | torch.device | None = None,
    dtype: DTypeLike = "float32",
) -> pd.DataFrame:
    """List a model's layers with the size of what `record` would return, by showing it one stimulus.

    Parameters
    ----------
    model, stimuli, layers, preprocess, visual_deg, foveate, fixation_deg, background, encoding, time_dim, device, dtype
        As in `record`.

    Returns
    -------
    pandas.DataFrame
        A row a layer, in the order of the forward pass: `layer`, `kind` (its class), `shape` (of one answer, without
        the batch axis), `units`, `megabytes` (of all stimuli). The model's own output comes last.

    Raises
    ------
    ValueError
        As `record`.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.recording import list_layers
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    >>> table = list_layers(model, torch.rand(5, 3, 8, 8), preprocess=None, encoding="linear")
    >>> table[["layer", "shape", "units"]].values.tolist()
    [['0', (4, 6, 6), 144], ['1', (144,), 144], ['output', (144,), 144]]
    """
    session = open_session(
        model, stimuli, preprocess=preprocess, visual_deg=visual_deg, foveate=foveate, fixation_deg=fixation_deg,
        background=background, encoding=encoding, time_dim=time_dim, device=device, dtype=dtype,
    )  # fmt: skip
    with turn(session):
        surveyed = session.taps()
        taps = session.chosen(surveyed, layers)
        taps += [tap for tap in surveyed if not tap.path and layers == "all" and session.usable(tap)]
        shapes = session.shapes(taps)
    sizes = [int(np.prod(shape)) * session.dtype.itemsize / 1e6 for shape in shapes]
    units = [shape[1] for shape in shapes]
    return pd.DataFrame(
        {"layer": [tap.label for tap in taps], "kind": [tap.kind for tap in taps],
         "shape": [tap.shape[1:] for tap in taps], "units": units, "megabytes": sizes}
    )  # fmt: skip
