"""Where the pixels of one stimulus come from: memory, a file, frames, a row of a store, or another source changed.

Every source knows its shape without decoding, reads itself in the encoding asked for, and has a digest of the values
that it returns. Sources are immutable and can be sent to worker processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._check import check, fail, finite
from ..color import linear_to_srgb, luminance, srgb_to_linear
from ..display import Display
from ._placing import FitPlan, Place, draw
from .readers.codes import Encoding, background_column
from .readers.movies import MovieInfo, read_frames
from .readers.pictures import read_picture
from .readers.yuv import Matrix


class Pixels:
    """One picture (c, h, w) or movie (t, c, h, w)."""

    shape: tuple[int, ...]

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the values in [0, 1]; of a movie the frames `start` to `stop`. The caller may not write into them."""
        raise NotImplementedError

    def stamp(self) -> object:
        """Return what changes when the stored pixels change; None when they cannot."""
        return None

    def digest(self, encoding: Encoding) -> str:
        """Return sha256 of shape and values; computed once while the stamp stays the same."""
        known: dict[object, str] = self.__dict__.setdefault("_digests", {})
        key = (encoding, self.stamp())
        if key not in known:
            known[key] = self._hash(encoding)
        return known[key]

    def _hash(self, encoding: Encoding) -> str:
        if len(self.shape) == 3:
            return digest_of([self.read(encoding).numpy(force=True)], self.shape)
        step = frames_at_once(self.shape)
        parts = (self.read(encoding, k, min(k + step, self.shape[0])) for k in range(0, self.shape[0], step))
        return digest_of((part.numpy(force=True) for part in parts), self.shape)


def frames_at_once(shape: tuple[int, ...]) -> int:
    """Frames of a movie that make about 64 MiB of float32."""
    return max(1, 2**24 // max(1, int(np.prod(shape[1:]))))


def digest_of(parts: Any, shape: tuple[int, ...]) -> str:
    """Return sha256 of the values, whatever their precision: float64 that fits float32 counts as float32."""
    state = hashlib.sha256(repr(tuple(int(n) for n in shape)).encode())
    for part in parts:
        single = part.astype(np.float32)
        exact = part.dtype != np.float64 or bool((single == part).all())
        state.update(np.ascontiguousarray(single if exact else part).data)
    return state.hexdigest()


@dataclass(frozen=True, eq=False)
class ArrayPixels(Pixels):
    """Values in memory."""

    values: Tensor
    encoding: Encoding

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the values."""
        return tuple(self.values.shape)

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Return a view, or the converted values."""
        values = self.values if self.values.ndim == 3 else self.values[start:stop]
        return recode(values, self.encoding, encoding)


@dataclass(frozen=True)
class _FilePixels(Pixels):
    """A file or several, read on every access."""

    shape: tuple[int, ...]
    paths: tuple[str, ...]
    file_encoding: Encoding = "srgb"
    background: tuple[float, ...] | None = None

    def stamp(self) -> object:
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in (Path(path).stat() for path in self.paths))

    def _picture(self, path: str, encoding: Encoding) -> np.ndarray:
        values = read_picture(path, encoding=encoding, file_encoding=self.file_encoding, background=self.background)
        if values.shape != self.shape[-3:]:
            fail("picture", f"of shape {self.shape[-3:]} as when the set was made", f"{path} {values.shape}")
        return values


@dataclass(frozen=True)
class PicturePixels(_FilePixels):
    """One picture file."""

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Decode the file."""
        return torch.from_numpy(self._picture(self.paths[0], encoding))


@dataclass(frozen=True)
class FramePixels(_FilePixels):
    """A movie kept as one picture file a frame."""

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Decode the frames asked for."""
        return torch.from_numpy(np.stack([self._picture(path, encoding) for path in self.paths[start:stop]]))


@dataclass(frozen=True)
class MoviePixels(Pixels):
    """Frames `first` to `first + shape[0]` of a movie file."""

    shape: tuple[int, ...]
    info: MovieInfo
    first: int = 0
    matrix: Matrix = "auto"
    background: tuple[float, ...] | None = None

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Decode the frames asked for."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        frames = read_frames(
            self.info, self.first + start, self.first + stop,
            encoding=encoding, background=self.background, matrix=self.matrix,
        )  # fmt: skip
        out = np.empty((stop - start, *self.shape[1:]), dtype=np.float32)
        for number, frame in enumerate(frames):
            out[number] = frame
        return torch.from_numpy(out)

    def stamp(self) -> object:
        """Return when the file was written, and its size."""
        stat = Path(self.info.path).stat()
        return stat.st_mtime_ns, stat.st_size


@dataclass(frozen=True)
class NpyPixels(Pixels):
    """One `.npy` file, or one row of it, mapped into memory while it is read."""

    shape: tuple[int, ...]
    path: str
    row: int | None
    encoding: Encoding

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Copy the values out of the file."""
        try:
            stored = np.load(self.path, mmap_mode="r", allow_pickle=False)
            values = stored if self.row is None else stored[self.row]
            values = np.array(values if values.ndim == 3 else values[start:stop])
        except (OSError, ValueError, EOFError, IndexError) as error:
            fail("stimuli", "stored whole", f"{self.path} ({error})", "The file is damaged or missing; save it again.")
        return recode(torch.from_numpy(values), self.encoding, encoding)

    def stamp(self) -> object:
        """Return when the file was written, and its size."""
        stat = Path(self.path).stat()
        return stat.st_mtime_ns, stat.st_size


@dataclass(frozen=True)
class ZarrPixels(Pixels):
    """One row of a Zarr array."""

    shape: tuple[int, ...]
    path: str
    row: int
    encoding: Encoding

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Read the chunks of this row."""
        from .readers.zarr import open_zarr

        store = open_zarr(self.path)
        values = store[self.row] if len(self.shape) == 3 else store[self.row, start:stop]
        return recode(torch.from_numpy(np.asarray(values)), self.encoding, encoding)

    def stamp(self) -> object:
        """Return when the array was made; its rows are never rewritten in place."""
        return (Path(self.path) / "zarr.json").stat().st_mtime_ns


@dataclass(frozen=True)
class ChannelPixels(Pixels):
    """Another source turned into luminance (1 channel) or into three equal channels."""

    source: Pixels
    n_channels: int

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape with the new number of channels."""
        return (*self.source.shape[:-3], self.n_channels, *self.source.shape[-2:])

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Read and convert; luminance is that of linear light (Rec. 709)."""
        if self.n_channels == 3:
            values = self.source.read(encoding, start, stop)
            return values.expand(*values.shape[:-3], 3, *values.shape[-2:])
        grey: Tensor = luminance(self.source.read("linear", start, stop))
        return recode(grey, "linear", encoding)

    def stamp(self) -> object:
        """Return the source's stamp."""
        return self.source.stamp()


@dataclass(frozen=True)
class FittedPixels(Pixels):
    """Another source cropped, padded or resampled, in linear light."""

    source: Pixels
    plan: FitPlan
    background: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape after the fit."""
        return (*self.source.shape[:-2], *self.plan.shape_px)

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Read and fit."""
        if self.plan.how in ("error", "crop"):
            return self.plan.apply(self.source.read(encoding, start, stop), None)
        linear = self.source.read("linear", start, stop)
        ground = None if self.background is None else ground_of(self.background, self.shape[-3])
        return recode(self.plan.apply(linear, ground), "linear", encoding)

    def stamp(self) -> object:
        """Return the source's stamp."""
        return self.source.stamp()


@dataclass(frozen=True)
class DrawnPixels(Pixels):
    """Another source drawn in its place on the whole display."""

    source: Pixels
    display: Display
    place: Place
    background: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape on the display."""
        return (*self.source.shape[:-2], *self.display.resolution_px)

    def read(self, encoding: Encoding, start: int = 0, stop: int | None = None) -> Tensor:
        """Read and draw."""
        linear = self.source.read("linear", start, stop)
        ground = ground_of(self.background, self.shape[-3])
        return recode(draw(linear, self.display, self.place, ground), "linear", encoding)

    def stamp(self) -> object:
        """Return the source's stamp."""
        return self.source.stamp()


def ground_of(background: float | Sequence[float], n_channels: int) -> Tensor:
    """Return (c,) linear light."""
    return torch.from_numpy(background_column(background, n_channels).copy())


def as_background(background: float | Sequence[float] | None) -> tuple[float, ...] | None:
    """Return a background that can be kept: a tuple of one or three values of linear light."""
    if background is None:
        return None
    n_channels = 3 if np.size(background) == 3 else 1
    return tuple(float(v) for v in background_column(background, n_channels))


def recode(values: Tensor, stored: Encoding, wanted: Encoding) -> Tensor:
    """Convert between linear light and sRGB code values, in float64 and back to the tensor's own precision."""
    if stored == wanted:
        return values
    convert = srgb_to_linear if wanted == "linear" else linear_to_srgb
    converted: Tensor = convert(values.double())
    return converted.clamp(0, 1).to(values.dtype)


def as_values(name: str, image: Any, n_dims: int) -> Tensor:
    """Check one picture or movie and return a copy of it as a float tensor.

    Raises
    ------
    TypeError
        For integers and other types that are not floating point.
    ValueError
        For a wrong shape, NaN, or values outside [0, 1].
    """
    tensor = image.detach() if isinstance(image, Tensor) else torch.from_numpy(np.array(image))
    if not tensor.is_floating_point():
        remedy = "Divide 8-bit codes by 255 and pass encoding='srgb' (or decode them to linear light first)."
        fail(name, "floating point in [0, 1]", str(tensor.dtype).removeprefix("torch."), remedy, TypeError)
    layout = "(c, h, w)" if n_dims == 3 else "(t, c, h, w)"
    good = tensor.ndim == n_dims and tensor.shape[-3] in (1, 3) and tensor.numel() > 0
    remedy = "Channels (1 or 3) come before height and width: move the axis with transpose(2, 0, 1) or add one."
    check(good, name, f"of shape {layout} with 1 or 3 channels", f"shape {tuple(tensor.shape)}", remedy)
    finite(name, tensor)
    low, high = float(tensor.min()), float(tensor.max())
    inside = low >= -1e-6 and high <= 1 + 1e-6
    check(inside, name, "within [0, 1]", f"{low:.6g} to {high:.6g}", "Divide by the largest code, or clip it.")
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    copy = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
    return copy.clamp_(0, 1) if low < 0 or high > 1 else copy
