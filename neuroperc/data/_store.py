"""A StimulusSet in a folder: pixels, `table.csv`, `truth/` and the manifest `stimuli.json`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .. import __version__
from .._check import check, fail, one_of
from ..display import Display
from ._folders import atomic_folder, read_json, read_table, write_json, write_table
from ._pixels import FramePixels, NpyPixels, PicturePixels, Pixels, ZarrPixels, frames_at_once
from .readers.codes import Encoding, to_codes
from .readers.pictures import write_picture
from .readers.zarr import save_zarr

Format = Literal["npy", "zarr", "png8", "png16"]
FORMATS: tuple[Format, ...] = ("npy", "zarr", "png8", "png16")

_KIND = "neuroperc.StimulusSet"


def save_folder(
    folder: str | os.PathLike[str],
    *,
    pixels: Sequence[Pixels],
    table: pd.DataFrame,
    truth: Mapping[str, np.ndarray],
    encoding: Encoding,
    fields: Mapping[str, Any],
    format: Format,
    overwrite: bool,
    progress: bool,
) -> None:
    """Write everything to a temporary folder and rename it; `fields` go into the manifest as they are."""
    one_of("format", format, FORMATS)
    shapes = [p.shape for p in pixels]
    same = len(set(shapes)) == 1
    if format == "zarr":
        check(same, "stimuli", "all of one shape for Zarr", sorted(set(shapes))[:3], "Use format='npy'.")
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        items = tqdm(pixels, disable=not progress, desc="saving")
        _write_pixels(items, shapes, temporary, encoding, format, same)
        manifest = {
            "kind": _KIND, "version": 1, "neuroperc": __version__, **fields, "encoding": encoding,
            "format": format, "stacked": same, "shapes": [list(s) for s in shapes],
            "table": write_table(table, temporary / "table.csv"), "truth": sorted(truth),
        }  # fmt: skip
        _write_truth(truth, temporary / "truth")
        # Read back what was written: PNG rounds, and a disk that lies is found out here.
        manifest["digests"] = [p.digest(encoding) for p in _stored(temporary, manifest)]
        write_json(manifest, temporary / "stimuli.json")


def load_folder(folder: str | os.PathLike[str], *, verify: bool) -> dict[str, Any]:
    """Return the fields of the StimulusSet in a folder, its pixels still on disk."""
    root = Path(folder).absolute()
    manifest = read_json(root / "stimuli.json", _KIND)
    table = read_table(root / "table.csv", manifest["table"]).set_index("stimulus_id")
    pixels = tuple(_stored(root, manifest))
    check(
        len(pixels) == len(table), "table.csv", f"of {len(pixels)} rows, one a stimulus", f"{root}, {len(table)} rows",
        "It was edited; save the folder again.",
    )  # fmt: skip
    for name, source, digest in zip(table.index, pixels, manifest["digests"], strict=True):
        if verify and source.digest(manifest["encoding"]) != digest:
            fail("stimuli", "the pixels that were saved", f"{root} with {name!r} changed", "Save the folder again.")
    return {
        "pixels": pixels, "table": table, "display": Display.from_dict(manifest["display"]),
        "encoding": manifest["encoding"], "fps": manifest["fps"],
        "truth": {name: _read_truth(root / "truth" / f"{name}.npy") for name in manifest["truth"]},
    }  # fmt: skip


def _write_pixels(
    items: Iterable[Pixels], shapes: list[tuple[int, ...]], root: Path, encoding: Encoding, format: Format, same: bool
) -> None:
    if format == "zarr":
        dims = ["stimulus", *(["frame"] if len(shapes[0]) == 4 else []), "channel", "row", "column"]
        rows = (p.read(encoding).numpy(force=True)[None] for p in items)
        save_zarr(rows, root / "pixels.zarr", dims=dims, chunks=(1,) * (len(dims) - 3) + shapes[0][-3:])
        return
    (root / "pixels").mkdir()
    if format in ("png8", "png16"):
        for number, source in enumerate(items):
            _write_png(source, _item(root, number), encoding, int(format[3:]))
    elif same:
        _write_npy(items, root / "pixels" / "all.npy", (len(shapes), *shapes[0]), encoding)
    else:
        for number, source in enumerate(items):
            _write_npy([source], _item(root, number).with_suffix(".npy"), source.shape, encoding)


def _write_npy(sources: Iterable[Pixels], path: Path, shape: tuple[int, ...], encoding: Encoding) -> None:
    """Write sources one after the other as one array.

    Plain writes, because a memory map on a full disk kills the process instead of raising.
    """
    with path.open("wb") as stream:
        for source in sources:
            for _, part in _parts(source, encoding):
                if stream.tell() == 0:
                    header = {"descr": part.dtype.str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(np.ascontiguousarray(part).data)


def _parts(source: Pixels, encoding: Encoding) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first frame, values): a picture at once, a movie in parts that fit into memory."""
    if len(source.shape) == 3:
        yield 0, source.read(encoding).numpy(force=True)
        return
    step = frames_at_once(source.shape)
    for start in range(0, source.shape[0], step):
        yield start, source.read(encoding, start, start + step).numpy(force=True)


def _item(root: Path, number: int) -> Path:
    return root / "pixels" / f"{number:06d}"


def _write_png(source: Pixels, target: Path, encoding: Encoding, bits: int) -> None:
    movie = len(source.shape) == 4
    if movie:
        target.mkdir()
    for start, part in _parts(source, encoding):
        for number, picture in enumerate(part if movie else [part], start):
            path = target / f"{number:06d}.png" if movie else target.with_suffix(".png")
            write_picture(to_codes(picture, encoding, bits), path)


def _stored(root: Path, manifest: dict[str, Any]) -> Iterator[Pixels]:
    format, encoding = manifest["format"], manifest["encoding"]
    for number, shape in enumerate(tuple(s) for s in manifest["shapes"]):
        item = _item(root, number)
        if format == "zarr":
            yield ZarrPixels(shape, os.fspath(root / "pixels.zarr"), number, encoding)
        elif format == "npy":
            path = root / "pixels" / "all.npy" if manifest["stacked"] else item.with_suffix(".npy")
            yield NpyPixels(shape, os.fspath(path), number if manifest["stacked"] else None, encoding)
        elif len(shape) == 3:
            yield PicturePixels(shape, (os.fspath(item.with_suffix(".png")),))
        else:
            yield FramePixels(shape, tuple(os.fspath(item / f"{frame:06d}.png") for frame in range(shape[0])))


def _write_truth(truth: Mapping[str, np.ndarray], folder: Path) -> None:
    if truth:
        folder.mkdir()
    for name, values in truth.items():
        check(Path(name).name == name, "truth", "named so that a file can be", name)
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def _read_truth(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        fail("truth", "stored whole", f"{path} ({error})", "The file is damaged or missing; save the folder again.")
