"""What a model is shown: stimuli placed in degrees, foveated, and brought to the model's own input convention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .._check import check, fail, finite, pair, positive
from ..color import srgb_to_linear
from ..data import StimulusSet
from ..display import Display
from ..nets import Net, Preprocess

#: Linear light of the grey code 128, the canvas of the gray-canvas rule.
GRAY: float = float(srgb_to_linear(np.array(128 / 255)))


class _Unset:
    """Marks an argument that was not given, where None means something."""

    def __repr__(self) -> str:
        return "not given"


UNSET: Any = _Unset()


def place_in_field(
    images: Tensor,
    *,
    size_deg: float | tuple[float, float],
    visual_deg: float | tuple[float, float],
    center_deg: tuple[float, float] = (0.0, 0.0),
    background: float = GRAY,
) -> Tensor:
    """Put pictures on the canvas that a model's visual field covers, without resampling: Brain-Score's place_on_screen.

    A field larger than the picture surrounds it with grey, a smaller one cuts out its middle: the canvas has
    ``round(visual_deg / size_deg * size_px)`` pixels along each axis, so that a pixel keeps its degrees.

    Parameters
    ----------
    images
        (..., h, w), linear light.
    size_deg, visual_deg
        What the picture and the field subtend: (height, width), or one number for both.
    center_deg
        (x, y) of the picture's centre in the field, y up, origin at the field's centre.
    background
        Linear light of the canvas; the default is the code 128.

    Returns
    -------
    Tensor
        (..., canvas h, canvas w). Equal sizes and no offset give the picture back.

    Raises
    ------
    ValueError
        When a size is not positive, or no pixel of the picture lies in the field.

    References
    ----------
    The rule of Brain-Score's ``place_on_screen``, by which it shows stimuli of one size to models of another (Schrimpf
    et al. 2018, doi:10.1101/407007); halves round to even, as there. Of a field of v degrees a picture of s degrees
    leaves the share ``1 - (s / v)²`` grey, and a field that is smaller than the picture none of it.

    Examples
    --------
    >>> import torch
    >>> from neuroperc.recording import place_in_field
    >>> place_in_field(torch.ones(3, 64, 64), size_deg=8, visual_deg=14).shape
    torch.Size([3, 112, 112])
    """
    size, field = _pair_deg("size_deg", size_deg), _pair_deg("visual_deg", visual_deg)
    shift = pair("center_deg", center_deg, "(x, y)")
    shape = (int(images.shape[-2]), int(images.shape[-1]))
    canvas = [int(np.round(f / s * n)) for f, s, n in zip(field, size, shape, strict=True)]
    check(min(canvas) > 0, "visual_deg", "at least one pixel of the picture", field, "Give the field in degrees.")
    # Rows grow downwards, degrees upwards.
    moved = (-shift[1] / size[0] * shape[0], shift[0] / size[1] * shape[1])
    starts = [int(np.round((c - n) / 2 + m)) for c, n, m in zip(canvas, shape, moved, strict=True)]
    into, out_of = [], []
    for start, c, n in zip(starts, canvas, shape, strict=True):
        low, high = max(start, 0), min(start + n, c)
        if low >= high:
            fail(
                "center_deg", f"such that the picture meets the field of {field} degrees", tuple(shift),
                "Its place relative to the gaze lies outside: move fixation_deg or widen visual_deg.",
            )  # fmt: skip
        into.append(slice(low, high))
        out_of.append(slice(low - start, high - start))
    if canvas == list(shape) and starts == [0, 0]:
        return images
    out = images.new_full((*images.shape[:-2], *canvas), background)
    out[..., into[0], into[1]] = images[..., out_of[0], out_of[1]]
    return out


def _pair_deg(name: str, value: Any) -> tuple[float, float]:
    both = (value, value) if np.isscalar(value) else tuple(value)
    check(len(both) == 2, name, "one number of degrees or (height, width)", value)
    return positive(name, both[0]), positive(name, both[1])


def as_stimuli(stimuli: Any, encoding: str | None) -> StimulusSet:
    """Return a StimulusSet that hands out linear light; a bare tensor becomes one when its encoding is said."""
    if isinstance(stimuli, StimulusSet):
        check(encoding is None, "encoding", "left out for a StimulusSet, which knows its own", encoding)
        return stimuli.to_encoding("linear")
    if not isinstance(stimuli, Tensor):
        fail("stimuli", "a StimulusSet or a tensor", type(stimuli).__name__, "Use StimulusSet.from_arrays.", TypeError)
    check(
        encoding in ("linear", "srgb"), "encoding", "'linear' or 'srgb' for a bare tensor", encoding,
        "Say whether its numbers are light or code values.",
    )  # fmt: skip
    check(
        stimuli.ndim == 4 and len(stimuli) > 0, "stimuli", "(n, c, h, w) when a bare tensor", tuple(stimuli.shape),
        "Movies need their fps: use StimulusSet.from_arrays.",
    )  # fmt: skip
    display = Display.from_px_per_deg(1.0, resolution_px=(int(stimuli.shape[-2]), int(stimuli.shape[-1])))
    made = StimulusSet.from_arrays(stimuli, display=display, encoding="srgb" if encoding == "srgb" else "linear")
    return made.to_encoding("linear")


@dataclass(frozen=True)
class Feeder:
    """From stimuli to the tensor that goes into the network, batch by batch.

    `frames` is the length of each movie when a picture network sees movies frame by frame, else None.
    """

    stimuli: StimulusSet
    preprocess: Preprocess | None
    enter: Callable[[Tensor], Any]
    visual_deg: tuple[float, float] | None
    foveate: Any
    fixation_deg: np.ndarray | None
    background: float
    device: torch.device
    dtype: torch.dtype
    frames: int | None

    def batch(self, start: int, stop: int) -> Tensor:
        """Return stimuli `start` to `stop` as the model's input.

        Raises
        ------
        ValueError
            When a stimulus is not finite or not within [0, 1], or sizes differ and nothing makes them equal.
        """
        shown = [self._one(index) for index in range(start, stop)]
        if len({tuple(image.shape) for image in shown}) == 1:
            images = self._prepare(self._foveated(torch.stack(shown), start, stop))
        else:
            each = [self._foveated(image[None], start + k, start + k + 1) for k, image in enumerate(shown)]
            prepared = [self._prepare(image) for image in each]
            sizes = sorted({tuple(image.shape[1:]) for image in prepared})
            check(
                len(sizes) == 1, "stimuli", "of one size for a batch", sizes,
                "Use a preprocess with size_px, or batch_size=1.",
            )  # fmt: skip
            images = torch.cat(prepared)
        return (images.flatten(0, 1) if self.frames else images).to(self.dtype)

    def _one(self, index: int) -> Tensor:
        """Return one stimulus in linear light, in single precision or better also for networks in half precision."""
        name, image = f"stimulus {self.stimuli.ids[index]!r}", self.stimuli[index]
        finite(name, image)
        low, high = float(image.min()), float(image.max())
        check(
            low >= -1e-3 and high <= 1 + 1e-3, name, "within [0, 1]", f"values from {low:.4g} to {high:.4g}",
            "House images are light from black 0 to white 1.",
        )  # fmt: skip
        image = image.to(self.device, torch.promote_types(self.dtype, torch.float32))
        return image if self.foveate is not None else self._placed(image, index)

    def _foveated(self, images: Tensor, start: int, stop: int) -> Tensor:
        if self.foveate is None:
            return images
        flat = images.flatten(0, 1) if images.ndim == 5 else images
        if self.fixation_deg is None:
            seen = self.foveate(flat)
        else:
            gaze = torch.as_tensor(self.fixation_deg[start:stop], dtype=images.dtype, device=images.device)
            seen = self.foveate(flat, gaze.repeat_interleave(len(flat) // len(images), 0))
        images = seen.reshape(*images.shape[:-3], *seen.shape[-3:])
        return torch.stack([self._placed(image, start + k) for k, image in enumerate(images)])

    def _placed(self, image: Tensor, index: int) -> Tensor:
        if self.visual_deg is None:
            return image
        row = self.stimuli.table.iloc[index]
        gaze = np.zeros(2) if self.fixation_deg is None else self.fixation_deg[index]
        return place_in_field(
            image,
            size_deg=(float(row["height_deg"]), float(row["width_deg"])),
            visual_deg=self.visual_deg,
            center_deg=(float(row["x_deg"]) - float(gaze[0]), float(row["y_deg"]) - float(gaze[1])),
            background=self.background,
        )

    def _prepare(self, images: Tensor) -> Tensor:
        return images if self.preprocess is None else self.preprocess(images)


def make_feeder(
    model: nn.Module,
    stimuli: StimulusSet,
    *,
    preprocess: Any,
    visual_deg: Any,
    foveate: Any,
    fixation_deg: ArrayLike | None,
    background: float,
    device: torch.device,
    dtype: torch.dtype,
) -> Feeder:
    """Settle who encodes, what the field is and where the gaze lies; every inconsistency is an error here."""
    check(foveate is None or callable(foveate), "foveate", "a front end that can be called", foveate,
          "Make one, such as FoveatedBlur(stimuli.display).", TypeError)  # fmt: skip
    settings, enter = _convention(model, preprocess, whole=visual_deg is not None)
    field = None if visual_deg is None else _pair_deg("visual_deg", visual_deg)
    check(
        fixation_deg is None or foveate is not None or field is not None, "fixation_deg",
        "given with foveate= or visual_deg=", fixation_deg, "Without either, the gaze changes nothing.",
    )  # fmt: skip
    _check_time(model, stimuli)
    by_frame = stimuli.fps is not None and isinstance(model, Net) and model.takes == "pictures"
    return Feeder(
        # A fovea looks at the whole display; what lies beside the pictures is the background.
        stimuli=stimuli if foveate is None else stimuli.to_display(background),
        preprocess=settings,
        enter=enter,
        visual_deg=field,
        foveate=foveate,
        fixation_deg=_gazes(fixation_deg, len(stimuli)),
        background=float(background),
        device=device,
        dtype=dtype,
        frames=_length(stimuli) if by_frame else None,
    )


def check_geometry(foveate: Any, stimuli: StimulusSet) -> None:
    """Raise when a front end and the stimuli mean different degrees."""
    own, theirs = getattr(foveate, "display", None), stimuli.display
    if isinstance(own, Display):
        seen, shown = ((d.px_per_deg, d.resolution_px, d.geometry) for d in (own, theirs))
        check(seen == shown, "foveate.display", f"the stimuli's ({shown[0]:g} px/deg, {shown[1]} px, {shown[2]})",
              f"{seen[0]:g} px/deg, {seen[1]} px, {seen[2]}", "Make both from one Display.")  # fmt: skip


def _convention(model: nn.Module, preprocess: Any, whole: bool) -> tuple[Preprocess | None, Callable[[Tensor], Any]]:
    """Return (what record applies, what is called with the result)."""
    if isinstance(model, Net):
        own = model.preprocess if isinstance(preprocess, _Unset) else model.preprocess.changed(preprocess)
        # A field in degrees must reach the network whole: a crop would make it smaller than it is said to be.
        return (own.whole() if whole and isinstance(preprocess, _Unset) else own), model.run
    if hasattr(model, "preprocess"):
        check(
            isinstance(preprocess, _Unset), "preprocess", "left out for a model that has its own .preprocess",
            preprocess, "Change the model's instead.",
        )  # fmt: skip
        return None, model
    if isinstance(preprocess, _Unset):
        fail(
            "preprocess", f"given for {type(model).__name__}, which does not say what it takes", "nothing",
            "Pass preprocess=nets.Preprocess(...), or preprocess=None when it takes linear light in [0, 1] as it is.",
        )  # fmt: skip
    if preprocess is not None and not isinstance(preprocess, Preprocess):
        if not isinstance(preprocess, Mapping):
            fail("preprocess", "a Preprocess, a mapping of its fields or None", preprocess, error=TypeError)
        preprocess = Preprocess().changed(preprocess)
    return preprocess, model


def _check_time(model: nn.Module, stimuli: StimulusSet) -> None:
    fps = getattr(model, "fps", None)
    takes = model.takes if isinstance(model, Net) else None
    movies_only = fps is not None or takes in ("movies", "frame pairs")
    if stimuli.fps is None:
        check(not movies_only, "stimuli", "movies for this model", "pictures", "Use load_movie or give fps=.")
    elif fps is not None:
        check(
            abs(float(fps) - float(stimuli.fps)) < 1e-6, "stimuli.fps", f"the model's {float(fps):g}", stimuli.fps,
            "Make the model for this frame rate, or resample the movies.",
        )  # fmt: skip


def _length(movies: StimulusSet) -> int:
    """Return the number of frames that all movies have."""
    lengths = sorted({shape[0] for shape in movies.shapes})
    check(len(lengths) == 1, "stimuli", "movies of one length", f"{lengths} frames", "Record them length by length.")
    return lengths[0]


def _gazes(fixation_deg: ArrayLike | None, n: int) -> np.ndarray | None:
    if fixation_deg is None:
        return None
    gaze = np.asarray(fixation_deg, dtype=np.float64)
    check(gaze.shape in ((2,), (n, 2)), "fixation_deg", f"(x, y), or one for each of the {n} stimuli", gaze.shape)
    finite("fixation_deg", gaze)
    return np.broadcast_to(gaze, (n, 2)).copy()  # writable: torch shares it
