"""One model, one way of showing it the stimuli, one kind of result: what `record` and `list_layers` share."""

from __future__ import annotations

import difflib
import fnmatch
import json
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from tqdm.auto import tqdm

from .._check import check, fail, one_of
from ..data import StimulusSet
from ..nets import Net, Preprocess
from .cluster import check_client, spread
from .hooks import Tap, catch, copied, rows, survey
from .identity import digest
from .inputs import Feeder, as_stimuli, check_geometry, make_feeder
from .store import Features, Writer, check_room, locked

_log = logging.getLogger("neuroperc.recording")
_DTYPES = ("float16", "float32", "float64")
_TURN = threading.RLock()


@dataclass(frozen=True)
class Session:
    """One model, one way of showing it the stimuli, one kind of result."""

    model: nn.Module
    feeder: Feeder
    time_dim: int | None
    dtype: np.dtype[Any]

    @property
    def inner(self) -> nn.Module:
        """The module whose paths name the layers."""
        return self.model.net if isinstance(self.model, Net) else self.model

    @property
    def stimuli(self) -> StimulusSet:
        """What is shown, in linear light."""
        return self.feeder.stimuli

    def taps(self) -> list[Tap]:
        """Show the first stimulus and return every tensor that any layer puts out."""
        return survey(self.inner, lambda: self.feeder.enter(self.feeder.batch(0, 1)))

    def usable(self, tap: Tap) -> bool:
        """Tell whether an output has one row a stimulus; inner parts of windowed attention, for one, have not."""
        return len(tap.shape) > 0 and tap.shape[0] == (self.feeder.frames or 1) and 0 not in tap.shape

    def chosen(self, taps: list[Tap], layers: str | Sequence[str] | None) -> list[Tap]:
        """Return the taps that are asked for, in the order of the forward pass."""
        if layers is None:
            own = [tap for tap in taps if not tap.path]
            remedy = "Name layers instead."
            check(len(own) > 0, "the model's output", "one or more tensors", type(self.inner).__name__, remedy)
            return own
        wanted = [layers] if isinstance(layers, str) else list(layers)
        check(len(wanted) > 0, "layers", "one or more names", wanted, "None records the model's own output.")
        below = [tap for tap in taps if tap.path]
        found: set[Tap] = set()
        for pattern in wanted:
            exact = {tap for tap in below if pattern in (tap.label, tap.path, tap.label.partition(":")[0])}
            glob = {tap for tap in below if pattern == "all" or fnmatch.fnmatchcase(tap.label, pattern)}
            if not exact and not glob:
                self._fail_unknown(pattern, [tap.label for tap in below])
            # A glob leaves out what cannot be recorded; a name that is spelled out is an error later on.
            found |= exact | {tap for tap in glob if self.usable(tap)}
        return [tap for tap in below if tap in found]

    def _fail_unknown(self, pattern: str, labels: list[str]) -> None:
        near = ", ".join(difflib.get_close_matches(pattern, labels, n=5, cutoff=0.3)) or "none"
        if pattern in dict(self.inner.named_modules()):
            remedy = f"That module puts out nothing. Near names: {near}."
            fail("layers", "called during the forward pass", pattern, remedy)
        fail("layers", "among those of list_layers", pattern, f"Near names: {near}.")

    def shapes(self, taps: list[Tap]) -> list[tuple[int, ...]]:
        """Return each layer's (presentation, neuroid[, time])."""
        n, frames = len(self.stimuli), self.feeder.frames
        found: list[tuple[int, ...]] = []
        for tap in taps:
            if not self.usable(tap):
                fail(
                    "layers", "outputs with one row a stimulus", f"{tap.label} with shape {tap.shape} for one stimulus",
                    "Choose a layer around it, or wrap the model so that the batch axis comes first.",
                )  # fmt: skip
            if frames is None and self.time_dim is not None:
                n_dims = len(tap.shape)
                inside = -n_dims <= self.time_dim < n_dims and self.time_dim % n_dims != 0
                check(inside, "time_dim", f"an axis after the batch of {tap.label} {tap.shape}", self.time_dim)
            example = rows(torch.empty(tap.shape, device="meta"), 1, frames, self.time_dim)
            found.append((n, *example.shape[1:]))
        lengths = sorted({shape[2:] for shape in found})
        check(len(lengths) == 1, "layers", "of one length in time", lengths, "Record them one by one.")
        return found

    def batches(
        self, taps: list[Tap], starts: Sequence[int], batch_size: int
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Yield the first row of each batch and one array a tap."""
        frames = self.feeder.frames
        kind = getattr(torch, self.dtype.name)
        for start in starts:
            stop = min(start + batch_size, len(self.stimuli))
            caught: dict[Tap, np.ndarray] = {}

            def take(tap: Tap, tensor: Tensor, start: int = start, stop: int = stop) -> None:
                n_rows = (stop - start) * (frames or 1)
                fits = tensor.ndim > 0 and tensor.shape[0] == n_rows
                got = f"{tap.label} with shape {tuple(tensor.shape)}"
                remedy = "Use batch_size=1, or a layer around it."
                check(fits, "layers", f"outputs with {n_rows} rows for this batch", got, remedy)
                kind_of = f"{tensor.dtype} in layer {tap.label}"
                check(not tensor.is_complex(), "answers", "real", kind_of, "Record a layer that takes their size.")
                exact = rows(tensor, stop - start, frames, self.time_dim)
                answer = copied(exact, kind)
                self._check_answer(tap, answer, exact, start)
                caught[tap] = answer.numpy()  # noqa: B023  # emptied below, within the same turn of the loop

            with _seeded(start, self.feeder.device):
                images = self.feeder.batch(start, stop)
                catch(self.inner, taps, lambda images=images: self.feeder.enter(images), take)  # type: ignore[misc]
            yield start, [caught[tap] for tap in taps]

    def _check_answer(self, tap: Tap, answer: Tensor, exact: Tensor, start: int) -> None:
        bad = ~torch.isfinite(answer).flatten(1).all(1)
        if bool(bad.any()):
            row = start + int(bad.nonzero()[0, 0])
            remedy = "dtype='float32' holds larger numbers." if self.dtype.name == "float16" else "Look at the model."
            fail("answers", "finite", f"NaN or infinity in layer {tap.label} for {self.stimuli.ids[row]!r}", remedy)
        least = float(np.finfo(np.float16).smallest_normal)  # below it float16 keeps few digits, or none
        if self.dtype == np.float16 and float(answer.abs().max()) < least and bool(exact.any()):
            # No error: a blank stimulus may be alone in its batch.
            lost = f"A batch of layer {tap.label} has no answer above {least:.1e}, where float16 loses digits or all"
            warnings.warn(f"{lost}: use dtype='float32'.", RuntimeWarning, stacklevel=2)

    def answers(
        self, taps: list[Tap], starts: Sequence[int], batch_size: int, client: Any
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Yield as `batches` does, in any order when a cluster does the work."""
        if client is None:
            yield from self.batches(taps, starts, batch_size)
            return
        check_client(client)
        for at, found in spread(client, _one_batch, starts, shared=(self, taps, batch_size)):
            yield starts[at], found

    def in_memory(
        self, taps: list[Tap], shapes: list[tuple[int, ...]], batch_size: int, progress: bool, client: Any = None
    ) -> xr.Variable:
        """Run everything and return the layers side by side."""
        ends = np.cumsum([shape[1] for shape in shapes])
        out = np.empty((shapes[0][0], int(ends[-1]), *shapes[0][2:]), dtype=self.dtype)
        starts = range(0, len(self.stimuli), batch_size)
        for start, answers in tqdm(
            self.answers(taps, starts, batch_size, client), total=len(starts), disable=not progress
        ):
            for answer, end in zip(answers, ends, strict=True):
                out[start : start + len(answer), end - answer.shape[1] : end] = answer
        return xr.Variable(("presentation", "neuroid", "time")[: out.ndim], out)

    def identity(self) -> dict[str, str]:
        """Return a digest of each thing that the answers depend on, apart from the layer and its dtype.

        Taken before the model runs, so that whatever a module remembers from a run does not count.
        """
        feeder, stimuli = self.feeder, self.stimuli
        places = stimuli.table[["width_deg", "height_deg", "x_deg", "y_deg"]].to_numpy(dtype=float)
        shown = (feeder.preprocess, feeder.visual_deg, feeder.fixation_deg, feeder.background, feeder.frames)
        return {
            "model": digest(self.model),
            "input": digest(shown, feeder.foveate, str(feeder.dtype), feeder.device.type, self.time_dim),
            "stimuli": digest(stimuli.fingerprint, list(stimuli.ids), places, stimuli.display.to_dict()),
            "code": digest(
                Session.batches, Feeder, Preprocess,
                catch, rows, copied, torch.__version__,
            ),
        }  # fmt: skip

    def on_disk(
        self,
        taps: list[Tap],
        shapes: list[tuple[int, ...]],
        batch_size: int,
        store: Path,
        identity: dict[str, str],
        progress: bool,
        client: Any = None,
    ) -> list[Features]:
        """Make what the store lacks, all layers in one pass, and return where everything lies."""
        check(not store.is_file(), "store", "a folder", str(store))
        store.mkdir(parents=True, exist_ok=True)
        parts = []
        for tap, shape in zip(taps, shapes, strict=True):
            key = digest(identity, tap.path, tap.call, tap.key, shape, self.dtype)
            parts.append(Features(store / key[:32], key, shape, self.dtype))
        with locked([part.folder for part in parts]):
            missing = [k for k, part in enumerate(parts) if not part.complete()]
            if missing:
                lacking = [parts[k] for k in missing]
                check_room(store, sum(part.missing_bytes() for part in lacking))
                writers = [Writer(parts[k], batch_size, self._about(taps[k], identity)) for k in missing]
                self._fill(writers, [taps[k] for k in missing], batch_size, progress, client)
            _log.info("%d of %d layers found in %s", len(parts) - len(missing), len(parts), store)
        return parts

    def _fill(self, writers: list[Writer], taps: list[Tap], batch_size: int, progress: bool, client: Any) -> None:
        every = range(0, len(self.stimuli), batch_size)
        starts = [start for start in every if not all(writer.has(start) for writer in writers)]
        done = len(every) - len(starts)
        found = self.answers(taps, starts, batch_size, client)
        bar = tqdm(found, total=len(every), initial=done, disable=not progress)
        for start, answers in bar:
            for writer, answer in zip(writers, answers, strict=True):
                if not writer.has(start):
                    writer.write(start, answer)
        for writer in writers:
            writer.finish()

    def _about(self, tap: Tap, identity: dict[str, str]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"model": _name(self.model), "layer": tap.label, "layer_shape": list(tap.shape[1:]), "created": now,
                "identity": identity, "shown": self._shown()}  # fmt: skip

    def _shown(self) -> dict[str, Any]:
        feeder = self.feeder
        foveate = None if feeder.foveate is None else _name(feeder.foveate)
        return {
            "preprocess": None if feeder.preprocess is None else asdict(feeder.preprocess),
            "visual_deg": feeder.visual_deg, "foveate": foveate, "background": feeder.background,
        }  # fmt: skip

    def labelled(self, variable: xr.Variable, taps: list[Tap], shapes: list[tuple[int, ...]]) -> xr.DataArray:
        """Return the Responses. Labels share one string a layer: a copy a unit would outweigh the numbers."""
        sizes = [shape[1] for shape in shapes]
        layer = np.repeat(np.array([tap.label for tap in taps], dtype=object), sizes)
        coords: dict[str, Any] = {
            "stimulus_id": ("presentation", np.array(self.stimuli.ids, dtype=object)),
            "neuroid_id": ("neuroid", np.concatenate([np.arange(size) for size in sizes])),
            "layer": ("neuroid", layer),
        }
        if variable.ndim == 3:
            coords["time"] = ("time", self._times(shapes[0][2]))
        attrs = {
            "units": "a.u.",
            "source": _name(self.model),
            "layer_shapes": json.dumps({tap.label: list(tap.shape[1:]) for tap in taps}),
            "shown": json.dumps(self._shown()),
        }
        return xr.DataArray(variable, coords=coords, attrs=attrs, name="responses")

    def _times(self, n: int) -> np.ndarray:
        """Centres of n equal bins of the movie, in seconds."""
        fps = self.stimuli.fps
        check(fps is not None, "stimuli", "movies when the answers have a time axis", "pictures", "Leave time_dim out.")
        duration = self.stimuli.shapes[0][0] / float(fps or 1)
        return (np.arange(n) + 0.5) * duration / n


def open_session(
    model: nn.Module, stimuli: Any, *, encoding: str | None, time_dim: int | None, device: Any, dtype: Any, **shown: Any
) -> Session:
    """Check every argument that `record` and `list_layers` share."""
    if not isinstance(model, nn.Module):
        fail(
            "model", "a torch.nn.Module", type(model).__name__, "Wrap a function in a module: its forward calls it.",
            TypeError,
        )  # fmt: skip
    kind = np.dtype(dtype)
    one_of("dtype", kind.name, _DTYPES)
    own = next((t for t in (*model.parameters(), *model.buffers())), torch.empty(0))
    floating = next((t.dtype for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()), torch.float32)
    where = own.device if device is None else torch.device(device)
    given = as_stimuli(stimuli, encoding)
    if shown["visual_deg"] is not None and isinstance(stimuli, Tensor):
        fail("visual_deg", "given with a StimulusSet", "a bare tensor", "A tensor has no size in degrees.")
    if isinstance(stimuli, StimulusSet):
        check_geometry(shown["foveate"], stimuli)
    feeder = make_feeder(model, given, device=where, dtype=floating, **shown)
    axis = getattr(model, "time_dim", None) if time_dim is None else time_dim
    return Session(model, feeder, axis, kind)


def _one_batch(shared: tuple[Session, list[Tap], int], start: int) -> list[np.ndarray]:
    """Answer to one batch on a worker."""
    session, taps, batch_size = shared
    with turn(session):
        return next(session.batches(taps, [start], batch_size))[1]


@contextmanager
def turn(session: Session, client: Any = None) -> Iterator[None]:
    """Measure, one thread at a time: hooks, modes and seeds belong to the process. A cluster's workers do it there."""
    if client is not None:
        yield
        return
    with _TURN, measuring((session.model, session.feeder.foveate), session.feeder.device):
        yield


@contextmanager
def measuring(modules: Sequence[Any], device: torch.device) -> Iterator[None]:
    """Eval mode, no gradients, deterministic kernels, one device; modes and devices are restored.

    Gradients are switched off by no_grad, not by inference_mode: a module that keeps a tensor from this run (a cached
    grid, say) could never again be used with gradients if that were an inference tensor.
    """
    moved = [m for m in modules if isinstance(m, nn.Module)]
    modes = [(part, part.training) for module in moved for part in module.modules()]
    homes = [next((t.device for t in (*m.parameters(), *m.buffers())), device) for m in moved]
    try:
        for module, home in zip(moved, homes, strict=True):
            module.eval()
            if home != device:
                module.to(device)
        flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.no_grad(), flags:
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for module, home in zip(moved, homes, strict=True):
            if home != device:
                module.to(home)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators on the CPU and on the device, and put them back as they were."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def _name(model: Any) -> str:
    if isinstance(model, Net):
        return f"{model.name} ({model.weights})"
    return type(model).__qualname__
