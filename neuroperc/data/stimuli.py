"""`StimulusSet`: pictures or movies, where and how large they are shown, and what is known about them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._check import check, fail, integer, one_of, positive
from ..display import Display
from ._pixels import ArrayPixels, DrawnPixels, Pixels, as_background, as_values, frames_at_once
from ._placing import Fit, Place, place_on, to_monitor_deg, to_picture_px
from ._scan import scan_folder
from ._show import as_html
from ._store import Format, load_folder, save_folder
from ._tables import (
    PLACEMENT,
    as_list,
    centers_of,
    checked_table,
    checked_truth,
    placed_table,
    same_array,
    stimulus_names,
    with_placement,
)
from .readers.codes import ENCODINGS, Encoding


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """Pictures or movies with their place on a display; a torch Dataset by its `len` and indexing.

    Make one with `from_arrays`, `from_folder`, `load`, `neuroperc.data.load_image` or `load_movie`. Pixels may lie in
    memory or on disk; those on disk are read on each access. Every picture is a flat rectangle on the monitor:
    `width_deg` and `height_deg` are what it subtends when centred on the screen, and (`x_deg`, `y_deg`) is the centre
    of the picture, x to the right and y up.

    Parameters
    ----------
    table
        One row a stimulus, indexed by `stimulus_id` (text), with at least `width_deg height_deg x_deg y_deg`.
    display
        The monitor.
    pixels
        A source of pixels a stimulus; pictures (c, h, w) or movies (t, c, h, w), 1 or 3 channels.
    encoding
        What indexing returns: "linear" light or "srgb" code values, in [0, 1].
    fps
        Frames per second of movies; None for pictures.
    truth
        What is known about the stimuli (masks, flow, items, targets); the first axis of each array is the stimulus.

    Raises
    ------
    ValueError, TypeError
        When ids repeat, a column is missing or not finite, or lengths, shapes and `fps` do not agree.

    Examples
    --------
    >>> import numpy as np, neuroperc as npc
    >>> display = npc.Display.from_px_per_deg(8, resolution_px=(32, 48))
    >>> pictures = np.random.default_rng(0).random((3, 1, 32, 48), dtype=np.float32)
    >>> s = StimulusSet.from_arrays(pictures, display=display, ids=["a", "b", "c"])
    >>> len(s), s["b"].shape, s[s.table["x_deg"] == 0].ids
    (3, torch.Size([1, 32, 48]), ['a', 'b', 'c'])
    >>> [(ids, x.shape) for ids, x in s.batches(2)]
    [(['a', 'b'], torch.Size([2, 1, 32, 48])), (['c'], torch.Size([1, 1, 32, 48]))]
    """

    table: pd.DataFrame
    display: Display
    pixels: tuple[Pixels, ...]
    encoding: Encoding = "linear"
    fps: float | None = None
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that everything agrees."""
        check(isinstance(self.display, Display), "display", "a Display", self.display, error=TypeError)
        one_of("encoding", self.encoding, ENCODINGS)
        object.__setattr__(self, "pixels", tuple(self.pixels))
        check(len(self.pixels) > 0, "stimuli", "at least one", "none", "Check the folder, the mask or the list.")
        object.__setattr__(self, "table", checked_table(self.table, len(self.pixels)))
        if self.fps is not None:
            object.__setattr__(self, "fps", positive("fps", self.fps))
        n_dims = 3 if self.fps is None else 4
        for name, source in zip(self.ids, self.pixels, strict=True):
            if len(source.shape) != n_dims:
                remedy = "Pass fps for movies (t, c, h, w) and leave it out for pictures (c, h, w)."
                fail(
                    "fps",
                    f"{'given' if n_dims == 3 else 'None'} for {name!r} of shape {source.shape}",
                    self.fps,
                    remedy,
                )
        object.__setattr__(self, "truth", {str(k): checked_truth(k, v, len(self)) for k, v in self.truth.items()})

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        *,
        display: Display,
        ids: Sequence[Any] | None = None,
        encoding: Encoding = "linear",
        fps: float | None = None,
        table: pd.DataFrame | None = None,
        truth: Mapping[str, Any] | None = None,
        size_deg: Any = None,
        center_deg: Any = (0.0, 0.0),
    ) -> StimulusSet:
        """Make a set from values in memory, which are copied.

        Parameters
        ----------
        images
            Pictures (n, c, h, w), or movies (n, t, c, h, w) with `fps`: an array, a tensor, or a list whose items may
            differ in size. Floating point in [0, 1].
        display
            The monitor.
        ids
            A name a stimulus; default the table's index, else "0000", "0001", ...
        encoding
            What the values mean, and what indexing returns.
        fps
            Frames per second of movies.
        table
            More columns, one row a stimulus; it may hold the placement instead of `size_deg` and `center_deg`.
        truth
            Arrays whose first axis is the stimulus.
        size_deg
            (height, width), one number (the width), or (n, 2). Default: the whole display, and then every picture must
            have the display's resolution.
        center_deg
            (x, y) of the picture's centre, or (n, 2).

        Raises
        ------
        TypeError
            For integer values: divide 8-bit codes by 255 and pass encoding="srgb".
        ValueError
            For NaN, values outside [0, 1], wrong shapes, repeated ids, or a picture that is not the display's size.
        """
        n_dims = 3 if fps is None else 4
        items = as_list(images, n_dims)
        names = stimulus_names(ids, table, len(items))
        tensors = [as_values(f"images[{name!r}]", item, n_dims) for name, item in zip(names, items, strict=True)]
        double = any(t.dtype == torch.float64 for t in tensors)
        shapes = [(int(t.shape[-2]), int(t.shape[-1])) for t in tensors]
        full = placed_table(table, names, shapes, display, size_deg, center_deg)
        pixels = tuple(ArrayPixels(t.double() if double else t, encoding) for t in tensors)
        arrays = {k: np.array(v) for k, v in (truth or {}).items()}
        return cls(full, display, pixels, encoding, fps, arrays)

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        display: Display,
        *,
        size_deg: Any = None,
        center_deg: Any = (0.0, 0.0),
        fit: Fit = "error",
        background: float | Sequence[float] | None = None,
        channels: int | None = None,
        encoding: Encoding = "linear",
        file_encoding: Encoding = "srgb",
        fps: float | None = None,
        table: pd.DataFrame | None = None,
    ) -> StimulusSet:
        """Make a set of the picture or movie files in a folder and its subfolders; they stay on disk.

        Parameters
        ----------
        folder
            Where the files lie. Ids are their paths from here without the suffix, in alphabetic order.
        display
            The monitor.
        size_deg, center_deg, fit, background
            As in `neuroperc.data.load_image`, for every file.
        channels
            1 turns colour into luminance, 3 repeats grey; None keeps what each file has.
        encoding
            What indexing returns.
        file_encoding
            What the codes in the files mean.
        fps
            Given for picture files: every folder that holds some is one movie, a file a frame, in natural order.
        table
            More columns, indexed by id; every file must have a row.

        Raises
        ------
        ValueError, FileNotFoundError
            When the folder is missing or holds no picture or movie, pictures and movies are mixed, two files share an
            id, or a file cannot be read or does not fit.
        """
        found = scan_folder(
            folder, display, size_deg=size_deg, fit=fit, background=background, channels=channels,
            file_encoding=file_encoding, fps=fps,
        )  # fmt: skip
        extra = pd.DataFrame({"path": found.paths}, index=pd.Index(found.ids, name="stimulus_id"))
        if table is not None:
            missing = [name for name in found.ids if name not in set(table.index.astype(str))]
            check(not missing, "table", "indexed by stimulus_id with a row for every file", f"no row for {missing[:5]}")
            extra = extra.join(table.set_axis(table.index.astype(str)).drop(columns="path", errors="ignore"))
        full = with_placement(extra, np.array(found.sizes_deg), centers_of(center_deg, len(extra)))
        return cls(full, display, found.pixels, encoding, found.fps)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, verify: bool = False) -> StimulusSet:
        """Open a folder that `save` wrote; pixels stay on disk.

        Parameters
        ----------
        folder
            The folder.
        verify
            Read all pixels and compare them with what was saved.

        Raises
        ------
        FileNotFoundError, ValueError
            When the folder is not one of a StimulusSet, is incomplete, or (with `verify`) has changed.
        """
        return cls(**load_folder(folder, verify=verify))

    def save(
        self, folder: str | os.PathLike[str], *, format: Format = "npy", overwrite: bool = False, progress: bool = False
    ) -> None:
        """Write the set to a folder, which appears whole or not at all.

        Parameters
        ----------
        folder
            A new folder.
        format
            "npy" (exact; mapped into memory when read), "zarr" (exact, compressed; extra `scale`), "png16" or "png8"
            (sRGB codes, rounded to half a code).
        overwrite
            Replace a folder that is there.
        progress
            Show a bar.

        Raises
        ------
        ValueError, TypeError
            When the folder exists, or a column of the table is neither numbers, truth values nor text.
        OSError
            When the disk is full; what was there is untouched.
        """
        fields = {"display": self.display.to_dict(), "fps": self.fps}
        save_folder(
            folder, pixels=self.pixels, table=self.table, truth=self.truth, encoding=self.encoding, fields=fields,
            format=format, overwrite=overwrite, progress=progress,
        )  # fmt: skip

    @property
    def ids(self) -> list[str]:
        """The stimulus ids, in order."""
        return [str(name) for name in self.table.index]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of every stimulus, without reading it."""
        return [source.shape for source in self.pixels]

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of the content: pixel values, encoding, sizes and places in degrees, fps and ids.

        The same stimuli have the same fingerprint in memory and on disk. The display, other columns and `truth` do not
        enter. Pixels are read once; files that have changed since are read again.
        """
        rows = self.table[list(PLACEMENT)].astype(float).to_numpy().tolist()
        head = [self.encoding, self.fps, self.ids, rows]
        state = hashlib.sha256(json.dumps(head).encode())
        for source in self.pixels:
            state.update(bytes.fromhex(source.digest(self.encoding)))
        return state.hexdigest()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, item: Any) -> Any:
        """Return a tensor for an int or an id; a smaller set for a slice, a list, or a boolean mask."""
        if _is_single(item):
            values = self.pixels[self._position(item)].read(self.encoding)
            return values.clone()  # a caller who writes into it must not change the set
        rows = self._rows(item)
        return dataclasses.replace(
            self, table=self.table.iloc[rows], pixels=tuple(self.pixels[i] for i in rows),
            truth={name: values[rows] for name, values in self.truth.items()},
        )  # fmt: skip

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Whether pixels, table, truth, display, encoding and fps are the same, wherever the pixels lie."""
        if not isinstance(other, StimulusSet):
            return NotImplemented
        return (
            self.table.equals(other.table)
            and self.display.to_dict() == other.display.to_dict()
            and self.truth.keys() == other.truth.keys()
            and all(same_array(values, other.truth[name]) for name, values in self.truth.items())
            and self.fingerprint == other.fingerprint
        )

    __hash__ = None  # type: ignore[assignment]

    def batches(
        self, size: int, *, device: torch.device | str | None = None, encoding: Encoding | None = None
    ) -> Iterator[tuple[list[str], Tensor]]:
        """Yield (ids, tensor (b, c, h, w) or (b, t, c, h, w)) in order.

        Parameters
        ----------
        size
            Stimuli in a batch; the last may have fewer.
        device
            Where the tensors go; default where they are.
        encoding
            "linear" or "srgb"; default the set's.

        Raises
        ------
        ValueError
            When the stimuli of one batch differ in shape.
        """
        size = integer("size", size)
        wanted = self.encoding if encoding is None else one_of("encoding", encoding, ENCODINGS)
        return self._batches(size, device, wanted)

    def _batches(self, size: int, device: Any, encoding: Encoding) -> Iterator[tuple[list[str], Tensor]]:
        ids = self.ids
        for start in range(0, len(self), size):
            sources = self.pixels[start : start + size]
            shapes = sorted({source.shape for source in sources})
            remedy = "Use batches(1), or on_display/to_display, which draw every stimulus on the whole display."
            check(len(shapes) == 1, "stimuli of one batch", "of one shape", shapes, remedy)
            yield ids[start : start + size], torch.stack([source.read(encoding) for source in sources]).to(device)

    def frames(self, item: int | str, *, size: int | None = None) -> Iterator[Tensor]:
        """Yield a movie in parts (k, c, h, w) of `size` frames, so that a long one need not fit into memory.

        Raises
        ------
        ValueError
            For a set of pictures.
        """
        source = self.pixels[self._position(item)]
        check(len(source.shape) == 4, "stimuli", "movies", "pictures", "Index the set instead.")
        step = frames_at_once(source.shape) if size is None else integer("size", size)
        encoding = self.encoding
        return (source.read(encoding, k, k + step).clone() for k in range(0, source.shape[0], step))

    def to_encoding(self, encoding: Encoding) -> StimulusSet:
        """Return the same stimuli, handed out as "linear" light or as "srgb" code values."""
        return dataclasses.replace(self, encoding=one_of("encoding", encoding, ENCODINGS))

    def on_display(self, item: int | str, background: float | Sequence[float]) -> Tensor:
        """Draw one stimulus in its place on the whole display.

        Parameters
        ----------
        item
            Position or id.
        background
            Linear light around it: one number, or one a channel.

        Returns
        -------
        Tensor
            (c, h, w) or (t, c, h, w) of the display's resolution, in the set's encoding. Drawing is done in linear
            light; pixels that fall on the display's pixels are copied exactly.

        Raises
        ------
        ValueError
            When the background is outside [0, 1].
        """
        return self._drawn(self._position(item), background).read(self.encoding).clone()

    def to_display(self, background: float | Sequence[float]) -> StimulusSet:
        """Return the set with every stimulus drawn on the whole display, when it is read; see `on_display`."""
        height, width = self.display.extent_deg
        table = self.table.assign(width_deg=width, height_deg=height, x_deg=0.0, y_deg=0.0)
        drawn = tuple(self._drawn(i, background) for i in range(len(self)))
        return dataclasses.replace(self, table=table, pixels=drawn)

    def picture_px(self, item: int | str, points_deg: Any) -> Any:
        """Return the pixel coordinates (..., 2) (x, y; y down) of a picture under monitor points in degrees.

        Points beside the picture come back outside its pixels.
        """
        i = self._position(item)
        return to_picture_px(self.display, self._place(i), self._shape_px(i), points_deg)

    def picture_deg(self, item: int | str, points_px: Any) -> Any:
        """Return the monitor points in degrees (..., 2) of a picture's pixel coordinates; inverse of `picture_px`."""
        i = self._position(item)
        return to_monitor_deg(self.display, self._place(i), self._shape_px(i), points_px)

    def _shape_px(self, i: int) -> tuple[int, int]:
        return self.pixels[i].shape[-2], self.pixels[i].shape[-1]

    def _place(self, i: int) -> Place:
        width, height, x, y = (float(v) for v in self.table[list(PLACEMENT)].iloc[i])
        return place_on(self.display, (height, width), (x, y))

    def _drawn(self, i: int, background: float | Sequence[float]) -> Pixels:
        ground = as_background(background)
        if ground is None:
            fail("background", "linear light in [0, 1]", None, "Give one number, or one a channel.", TypeError)
        n_channels = self.pixels[i].shape[-3]
        check(len(ground) in (1, n_channels), "background", f"1 or {n_channels} values", background)
        return DrawnPixels(self.pixels[i], self.display, self._place(i), ground)

    def _position(self, item: Any) -> int:
        if isinstance(item, str):
            found = int(self.table.index.get_indexer(pd.Index([item]))[0])
            if found < 0:
                fail("stimulus_id", "one of this set's ids", item, f"The first ones are {self.ids[:5]}.", KeyError)
            return found
        try:
            position = operator.index(item)
        except TypeError:
            fail("index", "an int, an id, a slice, a list or a mask", item, error=TypeError)
        if not -len(self) <= position < len(self):
            fail("index", f"between {-len(self)} and {len(self) - 1}", position, error=IndexError)
        return position % len(self)

    def _rows(self, item: Any) -> np.ndarray:
        if isinstance(item, slice):
            return np.arange(len(self))[item]
        if isinstance(item, pd.Series):
            same = item.index.equals(self.table.index) or item.dtype != bool
            check(same, "mask", "indexed as the set's table is", list(item.index[:3]), "Build it from s.table.")
        wanted = item.numpy(force=True) if isinstance(item, Tensor) else np.asarray(item)
        if wanted.dtype == bool:
            check(wanted.shape == (len(self),), "mask", f"of shape ({len(self)},)", wanted.shape)
            return np.flatnonzero(wanted)
        check(wanted.ndim == 1, "index", "an int, an id, a slice, a list or a mask", item, error=TypeError)
        return np.array([self._position(i) for i in wanted.tolist()], dtype=int)

    def __repr__(self) -> str:
        kind = "pictures" if self.fps is None else f"movies at {self.fps:g} fps"
        shapes = sorted(set(self.shapes))
        size = "×".join(map(str, shapes[0])) if len(shapes) == 1 else f"{len(shapes)} shapes"
        return f"<StimulusSet of {len(self)} {kind}, {size}, {self.encoding}>"

    def _repr_html_(self) -> str:
        return as_html(repr(self)[1:-1], self.display, self.table, self.pixels)


def _is_single(item: Any) -> bool:
    if isinstance(item, (str, int, np.integer)) and not isinstance(item, (bool, np.bool_)):
        return True
    return isinstance(item, (np.ndarray, Tensor)) and item.ndim == 0 and "int" in str(item.dtype)
